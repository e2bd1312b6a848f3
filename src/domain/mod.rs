//! What is true: partners, members, programs, calls, proposals, reviews and decisions, and the rules between them.
//!
//! No I/O, no serde and no clock of its own: every rule that depends on time takes the instant as an argument.

pub mod ambient;
pub mod id;
