//! stub
use super::{Client, Result};
use crate::{domain::{id::{MemberId, PartnerCode, Sha256}, member::PartnerRole}, sealing::card::{KeyCard, PartnerCard}, wire::directory::{Member, Partner}};
use super::profile::Pinned;
use jiff::Timestamp;
use std::{collections::BTreeSet, sync::Arc};

#[derive(Debug, Default)]
pub(super) struct Cache {}

/// A member whose key card verified to the pinned partner card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedMember { pub card: KeyCard }

impl VerifiedMember {
    pub fn id(&self) -> &MemberId { &self.card.member }
    pub fn recipients(&self) -> &[String] { &self.card.recipients }
}

/// A partner as the exchange states it, next to what is pinned. For listing.
#[derive(Debug)]
pub struct ListedPartner { pub partner: Partner, pub pinned: Option<Sha256>, pub is_verified: bool }

/// A member as listed, and what stands against believing the line.
#[derive(Debug)]
pub struct ListedMember { pub member: Member, pub verified: Result<VerifiedMember> }

/// What a registrar states in a key card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKeyCard {
    pub member: MemberId,
    pub name: String,
    pub organisation: String,
    pub roles: BTreeSet<PartnerRole>,
    pub recipients: Vec<String>,
    /// SHA-256 of the public key of each certificate, see [`certificate_pin`].
    pub certificates: Vec<Sha256>,
    /// Now, if not given.
    pub valid_from: Option<Timestamp>,
    pub valid_until: Timestamp,
}

/// The pin of a certificate in PEM.
pub fn certificate_pin(_pem: &[u8]) -> Result<Sha256> { todo!() }

impl Client {
    /// Pins a partner card (see [`Home::pin_partner`](super::Home::pin_partner)).
    pub fn pin_partner(&self, _card: &[u8], _expected: &Sha256) -> Result<Pinned> { todo!() }
    /// The card of a partner as the exchange holds it and its fingerprint, not verified: to be compared out of band.
    pub async fn offered_partner(&self, _code: &PartnerCode) -> Result<Pinned> { todo!() }
    /// Every partner, next to what is pinned.
    pub async fn list_partners(&self) -> Result<Vec<ListedPartner>> { todo!() }
    /// The pinned card of a partner, which must be what the exchange holds.
    pub async fn partner(&self, _code: &PartnerCode) -> Result<Arc<PartnerCard>> { todo!() }
    /// A member whose key card is in force: to be sealed to.
    pub async fn member(&self, _id: &MemberId) -> Result<Arc<VerifiedMember>> { todo!() }
    /// Members, each verified.
    pub async fn list_members(&self, _partner: Option<&PartnerCode>) -> Result<Vec<ListedMember>> { todo!() }
    /// Signs and publishes a key card, as a registrar. The serial is the next one.
    pub async fn issue_key_card(&self, _card: &NewKeyCard) -> Result<Member> { todo!() }
    /// Revokes a member's key card, as a registrar. `keep_signatures`: what the member signed so far stays provable.
    pub async fn revoke_key_card(&self, _member: &MemberId, _keep_signatures: bool) -> Result<Member> { todo!() }
}
