//! A wrapped key: which vault it opens, and for whom.

use super::{Statement, StatementError, invalid};
use crate::{
    domain::{
        id::{Sha256, VaultId},
        vault::WrapTarget,
    },
    sealing::recipient,
};
use serde::{Deserialize, Serialize};

/// That somebody who holds a vault wrapped its identity to one more reader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct WrapStatement {
    /// The vault whose identity is wrapped.
    pub vault: VaultId,
    /// Who can unwrap it now.
    pub to: WrapTarget,
    /// The age recipient it was wrapped to.
    pub recipient: String,
    /// SHA-256 of the wrapped key, an age file.
    pub sha256: Sha256,
}

impl Statement for WrapStatement {
    const TYP: &'static str = "entente-wrap+jws";

    fn validate(&self) -> Result<(), StatementError> {
        recipient::check(&self.recipient)?;
        if self.to == WrapTarget::Vault(self.vault) {
            return Err(invalid("a vault cannot be wrapped to itself"));
        }
        Ok(())
    }
}
