//! The edge: mutual TLS, limits, peers, handlers, and what the operator sees of a running server.
//!
//! A request's way: [`listener`] accepts and shakes hands by [`tls`], which asks [`trust`] whose certificate it is;
//! [`timeouts`] and `connection_slots` bound time and room; [`logging`] gives the request its id; then a handler finds
//! its [`peer::Peer`]. Nothing up to there knows proposals, members' rights or the database.
//!
//! [`api`] holds every route. A handler, one file a noun, reads the request (`principal`, `change_request`, `list`), calls one function
//! of `service` and answers; whatever goes wrong becomes a problem body in `problem`. [`serve`] puts it all together.

mod act;
pub mod admin;
pub mod anchor;
pub mod api;
pub mod arguments;
pub mod backup;
pub mod blobs_command;
mod body_limit;
mod calls;
mod change_request;
pub mod check;
pub mod clock;
pub mod config;
mod connection_slots;
pub mod crl;
pub mod crypto;
mod decisions;
pub mod descriptors;
mod directory;
mod documents;
mod drain_refused_body;
mod entries;
mod explanation;
mod header_names;
pub mod health;
mod inbox;
mod known_members;
pub mod leaf;
mod list;
pub mod listener;
pub mod logging;
mod named_subject;
mod offered;
mod openapi;
pub mod operator;
mod outgoing;
mod path;
pub mod peer;
mod plain_request;
mod policies;
mod preconditions;
mod principal;
pub mod problem;
mod programs;
mod proposals;
mod rankings;
mod rates;
mod readiness;
pub mod refusal;
pub mod refusals;
mod reviews;
mod revocation;
pub mod serve;
mod shares;
mod signed;
mod standing;
pub mod state;
pub mod statements;
mod strangers;
mod suspended;
pub mod timeouts;
pub mod tls;
pub mod trust;
mod uploads;
mod visibility;
mod waiting_room;

#[cfg(test)]
mod test_log;
#[cfg(test)]
#[cfg(feature = "client")]
mod test_pki;
