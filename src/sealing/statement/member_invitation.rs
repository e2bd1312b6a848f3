//! Who is to become a member.

use super::{
    Statement, StatementError, invalid,
    vouched::{check_name, check_roles},
};
use crate::domain::{id::MemberId, member::PartnerRole, name};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What an invitation asks to be answered with the identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PossessionChallenge {
    /// The public key, base64.
    pub public_key: String,
    /// Its private key, an age file sealed to the registrars, base64.
    pub sealed_private_key: String,
}

/// Who somebody is to be, signed by a registrar of their nation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MemberInvitation {
    /// Who they are to be.
    pub member: MemberId,
    /// The person's or system's name.
    pub name: String,
    /// The organisation within the partner.
    pub organisation: String,
    /// Roles in the partner itself.
    pub roles: BTreeSet<PartnerRole>,
    /// Serial of the key card that the invitation replaces; none for a new member.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub replaces: Option<u64>,
    /// The address of the exchange.
    pub server: String,
    /// The authority of its certificate, PEM.
    pub server_ca: String,
    /// What proves that who answers has the identity of the recipient they name.
    pub challenge: PossessionChallenge,
    /// When the registrar says it was made.
    #[cfg_attr(feature = "server", schema(value_type = String, format = DateTime))]
    pub stated_at: Timestamp,
    /// From then on the registrar takes no request that answers it.
    #[cfg_attr(feature = "server", schema(value_type = String, format = DateTime))]
    pub expires_at: Timestamp,
}

impl Statement for MemberInvitation {
    const TYP: &'static str = "entente-member-invitation+jws";

    fn validate(&self) -> Result<(), StatementError> {
        for (what, text) in [("name", &self.name), ("organisation", &self.organisation)] {
            if let Some(c) = name::unseen(text) {
                return Err(invalid(name::unseen_fault(what, c)));
            }
            check_name(what, text)?;
        }
        check_roles(&self.roles)?;
        if self.expires_at <= self.stated_at {
            return Err(invalid("an invitation expires after it was made"));
        }
        if !self.server.starts_with("https://") {
            return Err(invalid("the address of the exchange begins with `https://`"));
        }
        Ok(())
    }

    fn stated_at(&self) -> Option<Timestamp> {
        Some(self.stated_at)
    }
}
