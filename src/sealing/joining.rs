//! What passes between a registrar and somebody who is to become a member, or whose key or certificate is renewed: one signed file each way.
//!
//! The **invitation** says who the person is to be and where the exchange is, with the nation's partner card and its trust list. Who is
//! invited believes it by the fingerprint of their own nation's card, which officials told them. The **request** answers it with their
//! public keys, signed by the new key, with proof that they have the identity. A **renewal** has no invitation: the key that is in force
//! signs for the new one.

use crate::domain::id::MemberId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The file that a registrar gives to somebody who is invited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InvitationFile {
    /// A [`MemberInvitation`](super::statement::MemberInvitation) as JWS.
    pub invitation: String,
    pub trust: TrustFile,
}

/// What a nation's members are to believe: its trust list, and the cards that it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustFile {
    /// A [`TrustList`](super::statement::TrustList) as JWS.
    pub trust_list: String,
    /// Partner cards, each as its canonical text; that of the nation itself is among them.
    pub partner_cards: Vec<String>,
}

/// The file with which a registrar is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestFile {
    /// The [`MemberInvitation`](super::statement::MemberInvitation) that is answered, as JWS; none for a renewal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub invitation: Option<String>,
    /// A [`JoinRequest`](super::statement::JoinRequest) as JWS.
    pub request: String,
    /// For each recipient the answer to the challenge, if its kind of identity can answer.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub possession: BTreeMap<String, String>,
    /// A [`RenewalStatement`](super::statement::RenewalStatement) as JWS; none where an invitation is answered.
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
