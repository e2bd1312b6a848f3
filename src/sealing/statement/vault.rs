//! A vault: what it is for, and which recipient opens it.

use super::{Statement, StatementError, invalid};
use crate::{
    domain::{
        id::{CallId, PartnerCode, ProposalId, VaultId},
        vault::VaultKind,
    },
    sealing::recipient,
};
use serde::{Deserialize, Serialize};

/// That a vault exists, what it is for and which recipient opens it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct VaultStatement {
    /// The vault.
    pub vault: VaultId,
    /// Who its content is for.
    pub kind: VaultKind,
    /// The call it belongs to.
    pub call: CallId,
    /// The proposal it belongs to; every kind but `call` has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<ProposalId>,
    /// The party it belongs to; only `staff` has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<PartnerCode>,
    /// Its age recipient.
    pub recipient: String,
}

impl Statement for VaultStatement {
    const TYP: &'static str = "entente-vault+jws";

    fn validate(&self) -> Result<(), StatementError> {
        recipient::check(&self.recipient)?;
        if self.proposal.is_some() == (self.kind == VaultKind::Call) {
            return Err(invalid("every vault but the call's own belongs to one proposal"));
        }
        if self.party.is_some() != (self.kind == VaultKind::Staff) {
            return Err(invalid("a `staff` vault belongs to one party, and no other kind does"));
        }
        Ok(())
    }
}
