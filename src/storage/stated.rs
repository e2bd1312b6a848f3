//! What members stated about who takes which part, numbered within what it is about.

use super::{Row, StoreError};
use crate::domain::id::{MemberId, Sha256};
use jiff::Timestamp;

/// A statement that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated {
    pub number: u32,
    /// Compact JWS.
    pub statement: String,
    /// Of its payload.
    pub sha256: Sha256,
    pub by: MemberId,
    pub at: Timestamp,
}

/// A statement to be kept.
#[derive(Debug, Clone, Copy)]
pub struct NewStated<'a> {
    pub number: u32,
    pub statement: &'a str,
    pub sha256: Sha256,
}

impl Stated {
    pub(super) fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            number: u32::try_from(row.int("number")?).map_err(|_| StoreError::corrupt("number", "a small number"))?,
            statement: row.text("statement")?,
            sha256: row.parse("statement_sha256")?,
            by: row.parse("stated_by")?,
            at: row.time("stated_at")?,
        })
    }
}
