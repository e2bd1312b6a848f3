//! What tests are given to work with.

#[cfg(feature = "client")]
pub(crate) mod census;
#[cfg(feature = "client")]
pub(crate) mod exchange;
pub(crate) mod many;
pub(crate) mod memory_blobs;
#[cfg(feature = "client")]
#[path = "../../../src/dev_pki/testing.rs"]
pub(crate) mod pki;
pub(crate) mod postgres;
#[cfg(feature = "client")]
pub(crate) mod process;
#[cfg(feature = "client")]
pub(crate) mod process_acts;
#[cfg(feature = "client")]
pub(crate) mod process_proposals;
#[cfg(feature = "client")]
pub(crate) mod process_records;
pub(crate) mod relay;
pub(crate) mod scratch;
#[cfg(feature = "client")]
pub(crate) mod stage;
#[cfg(feature = "client")]
pub(crate) mod wire;
#[cfg(feature = "client")]
pub(crate) mod world;
