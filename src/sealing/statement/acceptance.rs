//! The acceptance of an invitation.

use super::{Statement, StatementError, check_milliseconds};
use crate::domain::id::{MemberId, ProposalId, Sha256};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// That the member joins; signed by them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AcceptanceStatement {
    /// The proposal.
    pub proposal: ProposalId,
    /// Who joins.
    pub member: MemberId,
    /// Digest of the [`InvitationStatement`](super::InvitationStatement) that is accepted.
    pub invitation_sha256: Sha256,
    /// When the member says it was made.
    #[cfg_attr(feature = "server", schema(value_type = String, format = DateTime))]
    pub stated_at: Timestamp,
}

impl Statement for AcceptanceStatement {
    const TYP: &'static str = "entente-acceptance+jws";

    fn validate(&self) -> Result<(), StatementError> {
        check_milliseconds("stated_at", self.stated_at)
    }

    fn stated_at(&self) -> Option<Timestamp> {
        Some(self.stated_at)
    }
}
