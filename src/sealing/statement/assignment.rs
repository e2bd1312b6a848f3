//! The assignment of a reviewer.
//!
//! Policies decide on it. A client that is asked to wrap a key goes by it and not by the exchange's word.

use super::{Statement, StatementError};
use crate::domain::id::{CallId, MemberId, ProposalId};
use serde::{Deserialize, Serialize};

/// That a reviewer is assigned to a proposal; signed by an officer of the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AssignmentStatement {
    /// The call.
    pub call: CallId,
    /// The proposal.
    pub proposal: ProposalId,
    /// Who is to review it.
    pub reviewer: MemberId,
}

impl Statement for AssignmentStatement {
    const TYP: &'static str = "entente-assignment+jws";

    fn validate(&self) -> Result<(), StatementError> {
        Ok(())
    }
}
