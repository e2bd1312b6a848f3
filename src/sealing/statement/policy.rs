//! One version of an owner's policies.

use super::{Statement, StatementError, check_milliseconds, check_version};
use crate::domain::{id::Sha256, policy::PolicyOwner};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One version of an owner's policies, proposed by a policy officer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PolicyStatement {
    /// Whose policies.
    pub owner: PolicyOwner,
    /// Version, from 1.
    pub version: u32,
    /// SHA-256 of the text.
    pub text_sha256: Sha256,
    /// When it takes effect, if approved by then.
    #[cfg_attr(feature = "server", schema(value_type = String, format = DateTime))]
    pub active_at: Timestamp,
    /// Digest of the statement of the approved version before; the versions of an owner form a chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<Sha256>,
}

impl Statement for PolicyStatement {
    const TYP: &'static str = "entente-policy+jws";

    fn validate(&self) -> Result<(), StatementError> {
        check_version("version", self.version)?;
        check_milliseconds("active_at", self.active_at)
    }
}
