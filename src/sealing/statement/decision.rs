//! A decision about a proposal, as a funding partner signs it.
//!
//! A decision that takes the place of a final one names it by its digest, and that digest names the one before it in turn.

use super::{Statement, StatementError, invalid};
use crate::domain::{
    decision::{MAX_REASON, Outcome, is_reason},
    id::{PartnerCode, ProposalId, Sha256},
};
use serde::{Deserialize, Serialize};
use std::fmt::Display;

/// A funding partner's decision on exactly one version of a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DecisionStatement {
    /// The proposal.
    pub proposal: ProposalId,
    /// Digest of the manifest decided upon.
    pub manifest_sha256: Sha256,
    /// What is decided.
    pub outcome: Outcome,
    /// The partner for which it is decided.
    pub partner: PartnerCode,
    /// Digest of the final decision that it takes the place of, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<Sha256>,
    /// Why that one is superseded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl DecisionStatement {
    /// What names the decision: the digest of what all its signers say alike, the one that it supersedes among it.
    #[must_use]
    pub fn joint_digest(&self) -> Sha256 {
        let Self { proposal, manifest_sha256, outcome, partner: _, supersedes, reason } = self;
        decision_digest(proposal, manifest_sha256, outcome, supersedes.as_ref(), reason.as_deref())
    }
}

/// The same of its parts.
pub fn decision_digest(
    proposal: impl Display,
    manifest: impl Display,
    outcome: impl Display,
    supersedes: Option<impl Display>,
    reason: Option<&str>,
) -> Sha256 {
    let said = match supersedes {
        None => format!("{proposal} {manifest} {outcome}"),
        Some(supersedes) => {
            format!("{proposal} {manifest} {outcome} {supersedes} {}", reason.unwrap_or_default())
        }
    };
    Sha256::of(said.as_bytes())
}

impl Statement for DecisionStatement {
    const TYP: &'static str = "entente-decision+jws";

    fn validate(&self) -> Result<(), StatementError> {
        match &self.reason {
            Some(reason) if !is_reason(reason) => {
                Err(invalid(format_args!("a reason has 1 to {MAX_REASON} characters")))
            }
            Some(_) if self.supersedes.is_none() => {
                Err(invalid("only a decision that supersedes another gives a reason"))
            }
            _ => Ok(()),
        }
    }
}
