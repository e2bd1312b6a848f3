//! Members' statements about roles and parts, numbered by subject.

use super::{Row, StoreError};
use crate::domain::id::{MemberId, Sha256};
use jiff::Timestamp;
use std::{fmt, str::FromStr};

/// The position of something numbered for each member, in the order of members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberedPosition {
    pub member: MemberId,
    pub number: u32,
}

impl fmt::Display for NumberedPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.member, self.number)
    }
}

/// The text is not a position among what is numbered for each member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no position of a member and a number")]
pub struct InvalidNumberedPosition;

impl FromStr for NumberedPosition {
    type Err = InvalidNumberedPosition;

    fn from_str(text: &str) -> Result<Self, InvalidNumberedPosition> {
        let (member, number) = text.split_once(' ').ok_or(InvalidNumberedPosition)?;
        let member = member.parse().map_err(|_| InvalidNumberedPosition)?;
        Ok(Self { member, number: number.parse().map_err(|_| InvalidNumberedPosition)? })
    }
}

impl NumberedPosition {
    /// Member and number to compare rows with; those before every row, if there is no position.
    pub(super) fn bounds(after: Option<&Self>) -> (String, u32) {
        after.map(|after| (after.member.to_string(), after.number)).unwrap_or_default()
    }
}

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
