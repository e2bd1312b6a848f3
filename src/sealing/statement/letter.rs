//! A sealed letter to the parties.

use super::{Statement, StatementError};
use crate::domain::{
    id::{PartnerCode, ProposalId, Sha256},
    reference::Reference,
};
use serde::{Deserialize, Serialize};

/// A sealed letter to the parties.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LetterStatement {
    /// The proposal.
    pub proposal: ProposalId,
    /// Digest of the manifest it is about.
    pub manifest_sha256: Sha256,
    /// SHA-256 of the sealed letter.
    pub sha256: Sha256,
    /// Digest of the decision it is about; letters of before decisions could be superseded are about the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision_sha256: Option<Sha256>,
    /// What people call the proposal, so that a letter on paper says it by its sender's word. Letters of before it was signed have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Reference>,
    /// The party that it is for, under a call whose letters are for one party alone. Left out: it is for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<PartnerCode>,
}

impl Statement for LetterStatement {
    const TYP: &'static str = "entente-letter+jws";

    fn validate(&self) -> Result<(), StatementError> {
        Ok(())
    }
}
