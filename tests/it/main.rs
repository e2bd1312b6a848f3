//! The one integration binary: what the whole program, or a layer of it, does against real engines.

#![cfg(feature = "server")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod api_page;
mod architecture;
mod blobs;
mod generated;
mod harness;
mod store_facade;
