//! The edge: mutual TLS, limits, peers, handlers, and what the operator sees of a running server.
//!
//! A request's way: [`listener`] accepts and shakes hands by [`tls`], which asks [`trust`] whose certificate it is;
//! [`pace`] and `places` bound time and room; [`logging`] gives the request its id; then a handler finds its
//! [`peer::Peer`]. Nothing up to there knows proposals, members' rights or the database.
//!
//! [`api`] holds every route. A handler, one file a noun, reads what was asked (`principal`, `asked`, `list`), calls one function
//! of `service` and answers; whatever goes wrong becomes a problem body in `problem`. [`serve`] puts it all together.

pub mod admin;
pub mod anchor;
pub mod api;
mod asked;
pub mod backup;
mod blob_jobs;
pub mod blobs_command;
mod calls;
pub mod check;
pub mod clock;
pub mod config;
pub mod crl;
mod decisions;
pub mod descriptors;
mod directory;
mod documents;
mod entries;
mod figures;
mod known_members;
mod linger;
mod list;
pub mod listener;
pub mod logging;
pub mod metrics;
pub mod openapi;
pub mod operator;
mod outgoing;
pub mod pace;
mod path;
pub mod peer;
mod places;
mod policies;
mod principal;
pub mod problem;
mod programs;
mod proposals;
mod rates;
mod readiness;
pub mod refusal;
pub mod refusals;
mod reviews;
mod revocation;
pub mod serve;
mod shares;
mod sight;
mod signed;
mod standing;
mod strangers;
pub mod tls;
pub mod trust;
mod visibility;
pub mod watch;

#[cfg(test)]
mod test_log;
#[cfg(test)]
#[cfg(feature = "client")]
mod test_pki;
