//! What a member was shown of a whole call.

use super::{Statement, StatementError, check_milliseconds, invalid};
use crate::domain::{
    id::{CallId, MemberId, Sha256},
    member::CallRole,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// That a dossier holds what a member was shown of a call; signed by the member who exported it.
///
/// It says nothing about what others are shown. Nothing can be taken out of the dossier, put in or changed without it being noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DossierStatement {
    /// The call.
    pub call: CallId,
    /// Who exported it.
    pub member: MemberId,
    /// The roles by which they did: officer, decider or observer.
    pub roles: BTreeSet<CallRole>,
    /// SHA-256 of the canonical JSON of all that is in it.
    pub sha256: Sha256,
    /// When the member says it was exported.
    #[cfg_attr(feature = "server", schema(value_type = String, format = DateTime))]
    pub stated_at: Timestamp,
}

impl Statement for DossierStatement {
    const TYP: &'static str = "entente-dossier+jws";

    fn validate(&self) -> Result<(), StatementError> {
        if self.roles.is_empty() || self.roles.contains(&CallRole::Reviewer) {
            return Err(invalid("a dossier is exported as officer, decider or observer"));
        }
        check_milliseconds("stated_at", self.stated_at)
    }

    fn stated_at(&self) -> Option<Timestamp> {
        Some(self.stated_at)
    }
}
