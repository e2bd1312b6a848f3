//! That a member renews their own key.

use super::{Statement, StatementError};
use crate::domain::id::{MemberId, Sha256};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// That a member renews their own key: signed by the key that is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RenewalStatement {
    /// Who renews it.
    pub member: MemberId,
    /// Digest of the [`JoinRequest`](super::JoinRequest) with the new key.
    pub request_sha256: Sha256,
    /// Serial of the key card in force: a renewal counts for the card that it was made under, and for no later one.
    pub serial: u64,
    /// When the member says it was made.
    #[cfg_attr(feature = "server", schema(value_type = String, format = DateTime))]
    pub stated_at: Timestamp,
}

impl Statement for RenewalStatement {
    const TYP: &'static str = "entente-renewal+jws";

    fn validate(&self) -> Result<(), StatementError> {
        Ok(())
    }

    fn stated_at(&self) -> Option<Timestamp> {
        Some(self.stated_at)
    }
}
