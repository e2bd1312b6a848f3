//! The text of a call as it is published.

use super::{Statement, StatementError, check_version, invalid};
use crate::{
    domain::id::{CallId, PartnerCode, Sha256, VaultId},
    sealing::{canonical, recipient},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The text of a call as published, and the vault that proposals are wrapped to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CallPublication {
    /// The call.
    pub call: CallId,
    /// Version of the text, from 1.
    pub version: u32,
    /// The text itself: criteria, slots, deadlines, rules.
    #[cfg_attr(feature = "server", schema(value_type = Object))]
    pub text: Value,
    /// SHA-256 of the text's canonical JSON.
    pub text_sha256: Sha256,
    /// The call's opening vault.
    pub vault: VaultId,
    /// The vault's age recipient.
    pub recipient: String,
    /// The partner that hosts the call.
    pub host: PartnerCode,
}

impl Statement for CallPublication {
    const TYP: &'static str = "entente-call+jws";

    fn validate(&self) -> Result<(), StatementError> {
        check_version("version", self.version)?;
        recipient::check(&self.recipient)?;
        if !self.text.is_object() {
            return Err(invalid("the text of a call is a JSON object"));
        }
        if canonical::digest(&self.text)? != self.text_sha256 {
            return Err(invalid("`text_sha256` is not the digest of the call's text"));
        }
        Ok(())
    }
}
