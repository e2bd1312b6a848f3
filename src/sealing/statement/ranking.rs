//! A proposal's line of the ranking.

use super::{Statement, StatementError, check_milliseconds};
use crate::domain::{
    id::{ProposalId, Sha256},
    reference::Reference,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What an officer's ranking says of one proposal, sealed to those who decide.
///
/// Each proposal has a line of its own, sealed to the vault of its own deliberation: who may not know of a proposal gets no line of it, and
/// no other line says anything about it, not even by a rank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RankingStatement {
    /// The proposal.
    pub proposal: ProposalId,
    /// What people call the proposal.
    pub reference: Reference,
    /// Digest of the manifest of the version that was ranked.
    pub manifest_sha256: Sha256,
    /// The call text whose criteria and thresholds were applied.
    pub call_text_sha256: Sha256,
    /// SHA-256 of the sealed line.
    pub sha256: Sha256,
    /// When the officer says that the ranking was made; lines of one ranking say the same.
    #[cfg_attr(feature = "server", schema(value_type = String, format = DateTime))]
    pub stated_at: Timestamp,
}

impl Statement for RankingStatement {
    const TYP: &'static str = "entente-ranking+jws";

    fn validate(&self) -> Result<(), StatementError> {
        check_milliseconds("stated_at", self.stated_at)
    }

    fn stated_at(&self) -> Option<Timestamp> {
        Some(self.stated_at)
    }
}
