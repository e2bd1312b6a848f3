//! The edge: mutual TLS, limits, peers, and what the operator sees of a running server.
//!
//! A request's way: [`listener`] accepts and shakes hands by [`tls`], which asks [`trust`] whose certificate it is;
//! [`pace`] and `places` bound time and room; [`logging`] gives the request its id; then a handler finds its
//! [`peer::Peer`]. Nothing here knows proposals, members' rights or the database: those are behind the handlers.

pub mod admin;
pub mod anchor;
pub mod config;
pub mod crl;
pub mod listener;
pub mod logging;
pub mod metrics;
pub mod pace;
pub mod peer;
mod places;
pub mod refusal;
pub mod tls;
pub mod trust;
pub mod watch;

#[cfg(test)]
#[cfg(feature = "client")]
mod test_pki;
