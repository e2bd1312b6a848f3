//! The approval of a version of policies by a second policy officer.

use super::{Statement, StatementError, check_version};
use crate::domain::{id::Sha256, policy::PolicyOwner};
use serde::{Deserialize, Serialize};

/// That a second policy officer approves a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PolicyApproval {
    /// Whose policies.
    pub owner: PolicyOwner,
    /// Version.
    pub version: u32,
    /// Digest of the [`PolicyStatement`](super::PolicyStatement) that is approved.
    pub policy_sha256: Sha256,
    /// Digest of the canonical JSON of the changes that the approving officer saw in the preview.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview_sha256: Option<Sha256>,
}

impl Statement for PolicyApproval {
    const TYP: &'static str = "entente-policy-approval+jws";

    fn validate(&self) -> Result<(), StatementError> {
        check_version("version", self.version)
    }
}
