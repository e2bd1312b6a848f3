//! Who is a member of a party: asked by somebody who is one already, and joining by their own signature.
//!
//! Whoever begins a proposal is bound to it by its identifier. Everybody else is led back to them by invitations and acceptances, so the
//! exchange can make nobody a member of a party.

use super::{Statement, StatementError, invalid};
use crate::domain::id::{MemberId, ProposalId, Sha256};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// That a member is asked to join their nation's party to a proposal; signed by somebody who is a member of one of its parties.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InvitationStatement {
    /// The proposal.
    pub proposal: ProposalId,
    /// Who is asked.
    pub member: MemberId,
    /// When the one who asks says it was made.
    pub stated_at: Timestamp,
}

impl Statement for InvitationStatement {
    const TYP: &'static str = "entente-invitation+jws";

    fn validate(&self) -> Result<(), StatementError> {
        check_time(self.stated_at)
    }

    fn stated_at(&self) -> Option<Timestamp> {
        Some(self.stated_at)
    }
}

/// That the member joins; signed by them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptanceStatement {
    /// The proposal.
    pub proposal: ProposalId,
    /// Who joins.
    pub member: MemberId,
    /// Digest of the [`InvitationStatement`] that is accepted.
    pub invitation_sha256: Sha256,
    /// When the member says it was made.
    pub stated_at: Timestamp,
}

impl Statement for AcceptanceStatement {
    const TYP: &'static str = "entente-acceptance+jws";

    fn validate(&self) -> Result<(), StatementError> {
        check_time(self.stated_at)
    }

    fn stated_at(&self) -> Option<Timestamp> {
        Some(self.stated_at)
    }
}

fn check_time(stated_at: Timestamp) -> Result<(), StatementError> {
    if stated_at.subsec_nanosecond() % 1_000_000 != 0 {
        return Err(invalid("`stated_at` has at most milliseconds"));
    }
    Ok(())
}
