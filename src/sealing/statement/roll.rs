//! The roles in a call when it is published.
//!
//! Policies decide on it. A client that is asked to wrap a key goes by it and not by the exchange's word.

use super::{Statement, StatementError, invalid};
use crate::domain::{
    id::{CallId, MemberId, PartnerCode},
    member::CallRole,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Most members that have a role when a call is published.
const MAX_MEMBERS: usize = 2000;

/// The roles of members in a call when it is published; signed by the officer of the lead who publishes it.
///
/// It stands apart from the publication, which parties read too: who reviews is not for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RollStatement {
    /// The call.
    pub call: CallId,
    /// The partners of the call's program.
    pub partners: BTreeSet<PartnerCode>,
    /// Every member that has a role.
    pub roles: BTreeMap<MemberId, BTreeSet<CallRole>>,
}

impl Statement for RollStatement {
    const TYP: &'static str = "entente-roll+jws";

    fn validate(&self) -> Result<(), StatementError> {
        if self.roles.len() > MAX_MEMBERS {
            return Err(invalid(format_args!("at most {MAX_MEMBERS} members have a role when a call is published")));
        }
        if self.roles.values().any(BTreeSet::is_empty) {
            return Err(invalid("leave out members without a role"));
        }
        Ok(())
    }
}
