//! A change of a member's roles in a published call.
//!
//! Policies decide on it. A client that is asked to wrap a key goes by it and not by the exchange's word.

use super::{Statement, StatementError, invalid};
use crate::domain::{
    id::{CallId, MemberId, Sha256},
    member::CallRole,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Which roles a member has in a published call from now on; signed by an officer of it by what came before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RoleStatement {
    /// The call.
    pub call: CallId,
    /// Which statement about the call's roles; the first is the [`RollStatement`](super::RollStatement).
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
