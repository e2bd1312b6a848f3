//! Which partner cards a nation's registrars confirmed.

use super::{Statement, StatementError, invalid};
use crate::domain::id::{PartnerCode, Sha256};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most partners that a trust list names.
const MAX_PARTNERS: usize = 1024;

/// The fingerprints of partner cards that a nation's registrars confirmed out of band, for the nation's own members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TrustList {
    /// The nation whose registrar signs.
    pub partner: PartnerCode,
    /// Fingerprints of partner cards, its own among them.
    pub partners: BTreeMap<PartnerCode, Sha256>,
    /// When the registrar says it was made; a later one replaces it.
    #[cfg_attr(feature = "server", schema(value_type = String, format = DateTime))]
    pub stated_at: Timestamp,
}

impl Statement for TrustList {
    const TYP: &'static str = "entente-trust-list+jws";

    fn validate(&self) -> Result<(), StatementError> {
        if !self.partners.contains_key(&self.partner) || self.partners.len() > MAX_PARTNERS {
            return Err(invalid(format_args!("a trust list names its own nation, and at most {MAX_PARTNERS}")));
        }
        Ok(())
    }

    fn stated_at(&self) -> Option<Timestamp> {
        Some(self.stated_at)
    }
}
