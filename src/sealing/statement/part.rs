//! Who takes which part: roles in a call, assignments, and declarations of interest.
//!
//! These are what policies decide on. A client that is asked to wrap a key goes by them and not by the exchange's word.

use super::{Statement, StatementError, check_version, invalid};
use crate::domain::{
    id::{CallId, MemberId, PartnerCode, ProposalId, Sha256},
    member::{CallRole, ConflictGround, Declared},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Most members that bear a role when a call is published.
const MAX_MEMBERS: usize = 2000;

/// Who bears which role in a call when it is published; signed by the officer of the lead who publishes it.
///
/// It stands apart from the publication, which parties read too: who reviews is not for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollStatement {
    /// The call.
    pub call: CallId,
    /// The partners of the call's program.
    pub partners: BTreeSet<PartnerCode>,
    /// Every member that bears a role.
    pub roles: BTreeMap<MemberId, BTreeSet<CallRole>>,
}

impl Statement for RollStatement {
    const TYP: &'static str = "entente-roll+jws";

    fn validate(&self) -> Result<(), StatementError> {
        if self.roles.len() > MAX_MEMBERS {
            return Err(invalid(format_args!("at most {MAX_MEMBERS} members bear a role when a call is published")));
        }
        if self.roles.values().any(BTreeSet::is_empty) {
            return Err(invalid("who bears no role is left out"));
        }
        Ok(())
    }
}

/// Which roles a member bears in a published call from now on; signed by whoever is an officer of it by what came before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleStatement {
    /// The call.
    pub call: CallId,
    /// Which statement about the call's roles; the first is the [`RollStatement`].
    pub number: u32,
    /// Digest of the one before. So none can be left out but the newest.
    pub previous: Sha256,
    /// Whose roles.
    pub member: MemberId,
    /// All of them; empty takes them all away.
    pub roles: BTreeSet<CallRole>,
}

impl Statement for RoleStatement {
    const TYP: &'static str = "entente-role+jws";

    fn validate(&self) -> Result<(), StatementError> {
        if self.number < 2 { Err(invalid("changes of roles are numbered from 2")) } else { Ok(()) }
    }
}

/// That a reviewer is assigned to a proposal; signed by an officer of the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// A declaration of interest, signed by the member; or that it was lifted, signed by an officer of another nation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
