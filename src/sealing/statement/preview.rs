//! The summary of a preview.

use super::{Statement, StatementError, check_milliseconds};
use crate::domain::id::{MemberId, PartnerCode, Sha256};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The effect of a change on who sees what, as a member saw it before the change was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PreviewStatement {
    /// The partner that hosts the exchange that was asked.
    pub host: PartnerCode,
    /// Who asked.
    pub by: MemberId,
    /// When.
    #[cfg_attr(feature = "server", schema(value_type = String, format = DateTime))]
    pub made_at: Timestamp,
    /// Digest of the canonical JSON of what they saw.
    pub summary_sha256: Sha256,
}

impl Statement for PreviewStatement {
    const TYP: &'static str = "entente-preview+jws";

    fn validate(&self) -> Result<(), StatementError> {
        check_milliseconds("made_at", self.made_at)
    }
}
