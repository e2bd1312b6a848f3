//! What an exchange signs: a visibility manifest, by the digest of its lines.

use super::statement::{Statement, StatementError};
use crate::domain::id::{MemberId, PartnerCode, Sha256};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// That these lines are what an exchange answered a partner at an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct VisibilityStatement {
    /// The partner that hosts the exchange.
    pub host: PartnerCode,
    /// The partner whose manifest it is.
    pub partner: PartnerCode,
    /// The policy officer who asked.
    pub by: MemberId,
    /// When it was made.
    #[cfg_attr(feature = "server", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
    /// The number of the last entry in the log.
    pub seq: u64,
    /// How many lines were signed, the head's included.
    pub lines: u64,
    /// SHA-256 of their bytes, each with its line feed.
    pub sha256: Sha256,
}

impl Statement for VisibilityStatement {
    const TYP: &'static str = "entente-visibility+jws";

    fn validate(&self) -> Result<(), StatementError> {
        if self.by.partner() != &self.partner {
            return Err(StatementError::Invalid(format!("`{}` is not a member of `{}`", self.by, self.partner)));
        }
        Ok(())
    }
}
