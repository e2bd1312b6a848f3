//! What passes between a registrar and somebody who is to become a member, or whose key or certificate is renewed: one signed file each way.
//!
//! The **invitation** says who the person is to be and where the exchange is, with the nation's partner card and its trust list. Who is
//! invited believes it by the fingerprint of their own nation's card, which officials told them. The **request** answers it with their
//! public keys, signed by the new key, with proof that they have the identity. A **renewal** has no invitation: the key that is in force
//! signs for the new one.

use super::{
    card::{MAX_KEYS, check_name, check_roles},
    possession::PossessionChallenge,
    recipient,
    statement::{Statement, StatementError, invalid},
};
use crate::domain::{
    id::{MemberId, PartnerCode, Sha256},
    member::PartnerRole,
    name,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The most partners that a trust list names.
const MAX_PARTNERS: usize = 1024;
/// The longest request for a certificate, in bytes.
const MAX_CSR: usize = 16 * 1024;

/// The fingerprints of partner cards that a nation's registrars confirmed out of band, for the nation's own members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustList {
    /// The nation whose registrar signs.
    pub partner: PartnerCode,
    /// Fingerprints of partner cards, its own among them.
    pub partners: BTreeMap<PartnerCode, Sha256>,
    /// When the registrar says it was made; a later one replaces it.
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

/// Who somebody is to be, signed by a registrar of their nation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberInvitation {
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
    pub stated_at: Timestamp,
    /// From then on the registrar takes no request that answers it.
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

/// The public keys of somebody who was invited, or whose certificate is renewed; signed by the new key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    pub member: MemberId,
    /// Digest of the [`MemberInvitation`] that is answered; none for a renewal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub invitation_sha256: Option<Sha256>,
    /// age recipients: what is sealed to the member is sealed to each.
    pub recipients: Vec<String>,
    /// PKCS #10 in PEM.
    pub certificate_request: String,
    /// When the member says it was made.
    pub stated_at: Timestamp,
}

impl Statement for JoinRequest {
    const TYP: &'static str = "entente-join-request+jws";

    fn validate(&self) -> Result<(), StatementError> {
        if self.recipients.is_empty() || self.recipients.len() > MAX_KEYS {
            return Err(invalid(format_args!("a request names 1 to {MAX_KEYS} recipients")));
        }
        if self.certificate_request.len() > MAX_CSR {
            return Err(invalid("the request for a certificate is longer than 16 KiB"));
        }
        self.recipients.iter().try_for_each(|text| recipient::check_whole(text))?;
        Ok(())
    }

    fn stated_at(&self) -> Option<Timestamp> {
        Some(self.stated_at)
    }
}

/// That a member renews their own key: signed by the key that is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewalStatement {
    pub member: MemberId,
    /// Digest of the [`JoinRequest`] with the new key.
    pub request_sha256: Sha256,
    /// Serial of the key card in force: a renewal counts for the card that it was made under, and for no later one.
    pub serial: u64,
    /// When the member says it was made.
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

/// The file that a registrar gives to somebody who is invited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InvitationFile {
    /// A [`MemberInvitation`] as JWS.
    pub invitation: String,
    pub trust: TrustFile,
}

/// What a nation's members are to believe: its trust list, and the cards that it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustFile {
    /// A [`TrustList`] as JWS.
    pub trust_list: String,
    /// Partner cards, each as its canonical text; that of the nation itself is among them.
    pub partner_cards: Vec<String>,
}

/// The file with which a registrar is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestFile {
    /// The [`MemberInvitation`] that is answered, as JWS; none for a renewal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub invitation: Option<String>,
    /// A [`JoinRequest`] as JWS.
    pub request: String,
    /// For each recipient the answer to the challenge, if its kind of identity can answer.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub possession: BTreeMap<String, String>,
    /// A [`RenewalStatement`] as JWS; none where an invitation is answered.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub renewal: Option<String>,
}

/// The file that a registrar gives back: the certificate, and the key card that was published. Nothing in it is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WelcomeFile {
    pub member: MemberId,
    /// The member's certificate, PEM, followed by the authority's.
    pub certificate: String,
    /// The key card as JWS.
    pub key_card: String,
}
