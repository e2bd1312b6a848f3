//! The exchange's storage: rows in SQLite or PostgreSQL, ciphertext in a folder.
//!
//! The only importer of `sqlx`. [`db`] is a small facade over both engines, so every statement is written once; [`blobs`] holds
//! the ciphertext, in whatever place [`BlobEngine`] is written for; [`migrate`] brings a database to the schema this program
//! knows.
//!
//! Nothing here decides who may do what: that was decided, by `policy`, before a statement is run.

pub mod announced;
pub mod backup;
pub mod blob_engine;
mod blob_key;
pub mod blobs;
mod blocking;
pub mod calls;
pub mod db;
pub mod decisions;
pub mod documents;
mod durable;
pub mod entries;
pub mod error;
pub mod extensions;
mod folder;
pub mod held_blobs;
pub mod idempotency;
pub mod inbox;
pub mod inspect;
mod intake;
pub mod invitations;
pub mod labels;
mod many;
pub mod mark;
pub mod members;
pub mod migrate;
mod migrations;
pub mod partner_ties;
pub mod partners;
pub mod policies;
mod postgres;
pub mod probe;
pub mod programs;
pub mod proposals;
pub mod pulse;
pub mod rankings;
pub mod reading;
pub mod references;
pub mod resumable;
pub mod reviews;
mod revision;
pub mod row;
pub mod scrub;
pub mod sizes;
mod spool;
pub mod stated;
pub mod statement;
pub mod sweep;
mod turns;
pub mod uploads;
pub mod vaults;
pub mod visible;
pub mod withdrawals;

pub use blob_engine::BlobEngine;
pub use blob_key::BlobKey;
pub use blobs::{Blobs, Staged};
pub use db::{Db, Gathering, PostgresLimits, ReadTx, Tx, WriteTx};
pub use error::StoreError;
pub use folder::BlobFolder;
pub use intake::{Expected, StageError};
pub use reading::{Reading, Stored};
pub use row::Row;
pub use spool::{Spool, Spooled, Spools};
pub use statement::{Arg, Sql, ToArg, args};
pub use turns::{Queue, Turn, Whose};
