//! Entente: nations that do not fully trust each other exchange research proposals under joint calls.
//!
//! # Where to begin
//!
//! - To **use an exchange** from a program, take [`client::Client`]: it signs, seals, opens, and verifies what the exchange answers. Whole
//!   in `examples/submit.rs`.
//! - To **speak the API** yourself, take the types of [`wire`] and `docs/openapi.json`.
//! - To **seal, open and sign** without an exchange, take [`sealing`].
//! - To **ask policies** who may see what, take [`policy`].
//! - To **run an exchange**, take the program `entente-server`; [`http::serve`] is what it calls.
//!
//! The tree shows the data's path; `docs/GUIDE.md` says where to start reading and `ARCHITECTURE.md` states the invariants. Import
//! direction, held by a test: `domain ← {wire, policy, sealing, storage} ← service ← http ← bin/entente-server` and
//! `{wire, policy, sealing} ← client ← {console, cli} ← bin/entente`.
//!
//! # Sealing and opening
//!
//! ```
//! # #[cfg(feature = "client")] {
//! use entente::sealing::{
//!     identity::{Keyring, NoPrompt, new_identity},
//!     seal::{open_bytes, seal_bytes},
//! };
//!
//! let identity = new_identity();
//! let sealed = seal_bytes(&[identity.recipient().to_owned()], b"a proposal")?;
//! let file = identity.file_text("2026-03-01T12:00:00Z".parse()?);
//! let keyring = Keyring::parse(file.expose().as_bytes(), "identity.txt", &NoPrompt)?;
//! assert_eq!(*open_bytes(&keyring.identities(), &sealed, 1024)?, b"a proposal");
//! // A changed byte is found out.
//! let mut changed = sealed;
//! *changed.last_mut().expect("there are some") ^= 1;
//! assert!(open_bytes(&keyring.identities(), &changed, 1024).is_err());
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A nation's policies
//!
//! A text that is not understood in full is refused, with its line and what to write instead.
//!
//! ```
//! use entente::policy::PartnerRules;
//!
//! let text = r#"
//! @id("funders-read") @side("release") @reason("funders read what we send")
//! permit(principal, action, resource is Proposal)
//! when { resource.call.funders.contains(principal.partner) };
//! "#;
//! assert!(PartnerRules::parse("ISR.cedar", &"ISR".parse()?, text).is_ok());
//! let refused = PartnerRules::parse("ISR.cedar", &"ISR".parse()?, &text.replace("funders.", "founders.")).unwrap_err();
//! assert!(refused.to_string().contains("ISR.cedar"), "{refused}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(all(feature = "server", not(unix)))]
compile_error!(
    "the server runs on Unix alone; build the client with `--no-default-features --features client --bin entente`"
);

#[cfg(feature = "client")]
pub mod cli;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "client")]
pub mod console;
#[cfg(feature = "client")]
pub mod demo;
#[cfg(feature = "client")]
pub mod dev_pki;
pub mod domain;
#[cfg(feature = "server")]
pub mod http;
#[cfg(feature = "server")]
pub mod jobs;
#[cfg(feature = "server")]
pub mod metrics;
#[cfg(feature = "client")]
mod platform;
pub mod policy;
pub mod process;
pub mod reading;
pub mod remembered;
pub mod sealing;
#[cfg(feature = "server")]
pub mod service;
#[cfg(feature = "server")]
pub mod share_table;
#[cfg(feature = "server")]
pub mod storage;
pub mod wire;
