//! An invitation to join a nation's party.
//!
//! The member who begins a proposal is bound to it by its identifier. Everybody else is led back to them by invitations and
//! acceptances, so the exchange can make nobody a member of a party.

use super::{Statement, StatementError, check_milliseconds};
use crate::domain::id::{MemberId, ProposalId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// That a member is asked to join their nation's party to a proposal; signed by somebody who is a member of one of its parties.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct InvitationStatement {
    /// The proposal.
    pub proposal: ProposalId,
    /// Who is asked.
    pub member: MemberId,
    /// When the one who asks says it was made.
    #[cfg_attr(feature = "server", schema(value_type = String, format = DateTime))]
    pub stated_at: Timestamp,
}

impl Statement for InvitationStatement {
    const TYP: &'static str = "entente-invitation+jws";

    fn validate(&self) -> Result<(), StatementError> {
        check_milliseconds("stated_at", self.stated_at)
    }

    fn stated_at(&self) -> Option<Timestamp> {
        Some(self.stated_at)
    }
}
