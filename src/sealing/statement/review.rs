//! A review of exactly one version.

use super::{Statement, StatementError, check_version};
use crate::domain::id::{MemberId, ProposalId, Sha256};
use serde::{Deserialize, Serialize};

/// A reviewer's sealed review of exactly the version they read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ReviewStatement {
    /// The proposal.
    pub proposal: ProposalId,
    /// Digest of the manifest that was read.
    pub manifest_sha256: Sha256,
    /// The call text whose criteria were applied.
    pub call_text_sha256: Sha256,
    /// Who reviewed.
    pub reviewer: MemberId,
    /// Revision of the review, from 1.
    pub revision: u32,
    /// SHA-256 of the sealed review.
    pub sha256: Sha256,
}

impl Statement for ReviewStatement {
    const TYP: &'static str = "entente-review+jws";

    fn validate(&self) -> Result<(), StatementError> {
        check_version("revision", self.revision)
    }
}
