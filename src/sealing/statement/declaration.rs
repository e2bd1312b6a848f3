//! A declaration of interest, or its lifting.
//!
//! Policies decide on it. A client that is asked to wrap a key goes by it and not by the exchange's word.

use super::{Statement, StatementError, check_version, invalid};
use crate::domain::{
    id::{MemberId, ProposalId, Sha256},
    member::{ConflictGround, Declared},
    reference::Reference,
};
use serde::{Deserialize, Serialize};

/// A declaration of interest, signed by the member; or that it was lifted, signed by an officer of another nation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DeclarationStatement {
    /// The proposal.
    pub proposal: ProposalId,
    /// Whose interest.
    pub member: MemberId,
    /// Which statement about this member and proposal, from 1.
    pub number: u32,
    /// Digest of the statement before; none for the first. So none can be left out but the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Sha256>,
    /// What holds from now on.
    pub declared: Declared,
    /// With a conflict only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ground: Option<ConflictGround>,
    /// What the proposal was called where it was looked at: who declares mostly knows its parties and no more, and an exchange that shows
    /// one proposal under another's name changes nothing by it. Declarations of before it was signed have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Reference>,
}

impl Statement for DeclarationStatement {
    const TYP: &'static str = "entente-declaration+jws";

    fn validate(&self) -> Result<(), StatementError> {
        check_version("number", self.number)?;
        if self.previous.is_some() != (self.number > 1) {
            return Err(invalid("the first names none before it, and every other one does"));
        }
        if self.ground.is_some() != (self.declared == Declared::Conflict) {
            return Err(invalid("a conflict has a ground, and nothing else does"));
        }
        Ok(())
    }
}
