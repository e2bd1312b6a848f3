//! Entente: nations that do not fully trust each other exchange research proposals under joint calls.
//!
//! The tree shows the data's path; `ARCHITECTURE.md` tells the invariants. Import direction, held by a test:
//! `domain ← {wire, policy, sealing, storage} ← service ← http ← bin/entente-server` and
//! `{wire, policy, sealing} ← client ← cli ← bin/entente`.

#[cfg(feature = "client")]
pub mod cli;
#[cfg(feature = "client")]
pub mod client;
pub mod domain;
#[cfg(feature = "server")]
pub mod http;
pub mod policy;
pub mod sealing;
#[cfg(feature = "server")]
pub mod service;
#[cfg(feature = "server")]
pub mod storage;
pub mod wire;
