//! Cards: who a partner is, and which keys belong to which of its members.
//!
//! A **partner card** is plain canonical JSON; officials confirm its fingerprint out of band and clients pin it. A **key
//! card** is signed by that partner's registrar. Everything a client believes about a key comes from here; the host's
//! word never counts. What a card may *do* is decided elsewhere: roles are only stated here.

pub use super::statement::MAX_KEYS;
use super::{
    canonical, jws, leaf, recipient,
    statement::{Signed, Statement, StatementError, check_name, check_roles, invalid, verify_signed},
};
use crate::domain::id::{MemberId, PartnerCode, Sha256};
use crate::domain::member::PartnerRole;
use crate::domain::name;
pub use crate::domain::vault::CardStatus;
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

const MAX_ANCHORS: usize = 8;
const MAX_REGISTRARS: usize = 16;

/// A partner as its officials state it. Pinned by [`PartnerCard::fingerprint`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartnerCard {
    /// The partner's code.
    pub code: PartnerCode,
    /// The name people know it by.
    pub name: String,
    /// The IANA time zone its deadlines are shown in.
    pub zone: String,
    /// Its trust anchors: CA certificates in PEM, each as [`normal_pem`] writes it.
    pub anchors: Vec<String>,
    /// SHA-256 of its registrars' `SubjectPublicKeyInfo`.
    pub registrars: BTreeSet<Sha256>,
}

impl PartnerCard {
    /// A card from its parts; `anchors` is a bundle of one or more certificates in PEM, in any layout.
    pub fn new(
        code: PartnerCode,
        name: &str,
        zone: &str,
        anchors: &[u8],
        registrars: BTreeSet<Sha256>,
    ) -> Result<Self, StatementError> {
        let anchors = normal_pem(anchors)?;
        let card = Self { code, name: name.to_owned(), zone: zone.to_owned(), anchors, registrars };
        card.validate()?;
        card.check_seen()?;
        Ok(card)
    }

    /// Reads a card from JSON in any layout.
    pub fn from_json(bytes: &[u8]) -> Result<Self, StatementError> {
        let value = canonical::parse_unique(bytes)?;
        let card: Self = serde_json::from_value(value).map_err(|error| StatementError::Malformed(error.to_string()))?;
        card.validate()?;
        Ok(card)
    }

    /// The canonical JSON of the card.
    pub fn canonical(&self) -> Result<Vec<u8>, StatementError> {
        Ok(canonical::to_vec(self)?)
    }

    /// SHA-256 of the canonical JSON: what officials read to each other over the telephone.
    pub fn fingerprint(&self) -> Result<Sha256, StatementError> {
        Ok(canonical::digest(self)?)
    }

    /// The fingerprint as it is read out over the telephone: groups of four digits, eight on a line.
    pub fn spoken_fingerprint(&self) -> Result<[String; 2], StatementError> {
        let digits = self.fingerprint()?.to_string();
        let groups: Vec<&str> = (0..digits.len()).step_by(4).map(|at| &digits[at..at + 4]).collect();
        let (first, second) = groups.split_at(groups.len() / 2);
        Ok([first.join(" "), second.join(" ")])
    }

    /// The trust anchors, DER. Whether each can be honoured as an anchor is for enrolment to say.
    pub fn anchors_der(&self) -> Result<Vec<Vec<u8>>, StatementError> {
        self.anchors.iter().map(|pem| one_certificate(pem)).collect()
    }

    /// Checks that the name has no character that nobody sees. Cards from before this was asked stay readable.
    pub fn check_seen(&self) -> Result<(), StatementError> {
        check_seen("name", &self.name)
    }

    /// Checks what can be checked without asking anybody.
    pub fn validate(&self) -> Result<(), StatementError> {
        check_name("name", &self.name)?;
        jiff::tz::TimeZone::get(&self.zone)
            .map_err(|_| invalid(format_args!("`{}` is not an IANA time zone such as `Asia/Seoul`", self.zone)))?;
        check_count("anchors", self.anchors.len(), 1, MAX_ANCHORS)?;
        check_count("registrars", self.registrars.len(), 1, MAX_REGISTRARS)?;
        for (at, anchor) in self.anchors.iter().enumerate() {
            if normal_pem(anchor.as_bytes())?.as_slice() != [anchor.as_str()] {
                return Err(invalid("an anchor is not in the usual PEM layout, one certificate each"));
            }
            jws::spki_sha256(&one_certificate(anchor)?)?;
            if self.anchors[..at].contains(anchor) {
                return Err(invalid("an anchor appears twice"));
            }
        }
        Ok(())
    }
}

/// The keys of a member, as the partner's registrar vouches for them. A later card (greater `serial`) replaces it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct KeyCard {
    /// Whose keys these are.
    pub member: MemberId,
    /// The person's or system's name.
    pub name: String,
    /// The organisation within the partner.
    pub organisation: String,
    /// Roles in the partner itself.
    pub roles: BTreeSet<PartnerRole>,
    /// age recipients; whatever is wrapped to the member is wrapped to each of them.
    pub recipients: Vec<String>,
    /// SHA-256 of the `SubjectPublicKeyInfo` of each key the member signs and connects with.
    pub certificates: Vec<Sha256>,
    /// Grows with each card of the member, from 1.
    pub serial: u64,
    /// First instant of validity.
    #[cfg_attr(feature = "server", schema(value_type = String, format = DateTime))]
    pub valid_from: Timestamp,
    /// First instant past validity.
    #[cfg_attr(feature = "server", schema(value_type = String, format = DateTime))]
    pub valid_until: Timestamp,
    /// Whether it stands.
    pub status: CardStatus,
}

impl Statement for KeyCard {
    const TYP: &'static str = "entente-key-card+jws";

    fn validate(&self) -> Result<(), StatementError> {
        check_name("name", &self.name)?;
        check_name("organisation", &self.organisation)?;
        let least = usize::from(self.status == CardStatus::Active);
        check_count("recipients", self.recipients.len(), least, MAX_KEYS)?;
        check_count("certificates", self.certificates.len(), least, MAX_KEYS)?;
        self.recipients.iter().try_for_each(|text| recipient::check(text))?;
        if self.recipients.iter().collect::<BTreeSet<_>>().len() != self.recipients.len() {
            return Err(invalid("a recipient appears twice"));
        }
        if self.certificates.iter().collect::<BTreeSet<_>>().len() != self.certificates.len() {
            return Err(invalid("a certificate pin appears twice"));
        }
        check_roles(&self.roles)?;
        if self.serial == 0 {
            return Err(invalid("the serial of a key card begins at 1"));
        }
        if self.valid_from >= self.valid_until {
            return Err(invalid("`valid_until` must be later than `valid_from`"));
        }
        Ok(())
    }
}

impl KeyCard {
    /// Verifies a key card that is to be relied upon at `now`: issued by the partner, valid and not revoked.
    pub fn verify(jws: &str, partner: &PartnerCard, now: Timestamp) -> Result<Signed<Self>, StatementError> {
        let signed = Self::verify_issued(jws, partner)?;
        signed.statement.check_usable(now)?;
        Ok(signed)
    }

    /// Verifies only that the partner issued the card: one of its registrars signed it, for a member of its own. Take
    /// this for cards that are published or kept as history; [`KeyCard::verify`] to rely on one.
    pub fn verify_issued(jws: &str, partner: &PartnerCard) -> Result<Signed<Self>, StatementError> {
        let signed: Signed<Self> = verify_signed(jws)?;
        let member = &signed.statement.member;
        if *member.partner() != partner.code {
            let (member, partner) = (member.clone(), partner.code.clone());
            return Err(StatementError::ForeignMember { member, partner });
        }
        if !partner.registrars.contains(&signed.signer_spki) {
            let (member, partner) = (member.clone(), partner.code.clone());
            return Err(StatementError::NotRegistrar { member, partner });
        }
        Ok(signed)
    }

    /// Checks what is asked of a card when it is published: name and organisation have no character that nobody sees, and something can be
    /// sealed to each recipient. Cards from before this was asked stay readable, and can be revoked as they are.
    pub fn check_new(&self) -> Result<(), StatementError> {
        if self.status == CardStatus::Revoked {
            return Ok(());
        }
        check_seen("name", &self.name)?;
        check_seen("organisation", &self.organisation)?;
        self.recipients.iter().try_for_each(|text| recipient::check_whole(text))?;
        Ok(())
    }

    /// Whether the card stands at `now`, its last instant included, as for the exchange.
    pub fn check_usable(&self, now: Timestamp) -> Result<(), StatementError> {
        let member = || self.member.clone();
        if self.status == CardStatus::Revoked {
            Err(StatementError::CardRevoked { member: member() })
        } else if now < self.valid_from {
            Err(StatementError::CardNotYetValid { member: member(), valid_from: self.valid_from })
        } else if now > self.valid_until {
            Err(StatementError::CardExpired { member: member(), valid_until: self.valid_until })
        } else {
            Ok(())
        }
    }

    /// Whether the card takes back whatever was signed under those before it: a key was stolen.
    #[must_use]
    pub fn takes_back(&self) -> bool {
        self.status == CardStatus::Revoked && self.certificates.is_empty()
    }

    /// Whether the card pins the key with this digest.
    pub fn pins(&self, spki: &Sha256) -> bool {
        self.certificates.contains(spki)
    }
}

/// Checks that `signed` has the signature of a key that `card` pins, and a certificate that names nobody else.
pub fn check_signer<T>(signed: &Signed<T>, card: &KeyCard) -> Result<(), StatementError> {
    if card.pins(&signed.signer_spki) {
        leaf::check_name(&signed.leaf, &card.member)
    } else {
        Err(StatementError::SignerNotPinned { member: card.member.clone() })
    }
}

/// The certificates of a PEM bundle, each in the layout of RFC 7468 (64 columns, line feeds) and nothing around it.
pub fn normal_pem(bundle: &[u8]) -> Result<Vec<String>, StatementError> {
    CertificateDer::pem_slice_iter(bundle)
        .map(|certificate| {
            let certificate = certificate.map_err(|_| invalid("malformed PEM"))?;
            let body = STANDARD.encode(certificate);
            let lines: Vec<&str> = body.as_bytes().chunks(64).filter_map(|line| str::from_utf8(line).ok()).collect();
            Ok(format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n")))
        })
        .collect()
}

fn one_certificate(pem: &str) -> Result<Vec<u8>, StatementError> {
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| invalid("malformed PEM"))?;
    Ok(certificate.to_vec())
}

fn check_seen(what: &str, text: &str) -> Result<(), StatementError> {
    name::unseen(text).map_or(Ok(()), |c| Err(invalid(name::unseen_fault(what, c))))
}

fn check_count(what: &str, count: usize, least: usize, most: usize) -> Result<(), StatementError> {
    if (least..=most).contains(&count) {
        Ok(())
    } else {
        Err(invalid(format_args!("{count} {what}; wanted {least} to {most}")))
    }
}

#[cfg(test)]
#[cfg(feature = "client")]
mod tests {
    use super::*;
    use crate::sealing::{
        jws::{JwsError, sign},
        testing::{Partner, RefusedEdit, at, signing_key},
    };

    const NOW: &str = "2026-06-01T12:00:00Z";

    #[test]
    fn card_of_the_partners_registrar_is_verified() {
        let (partner, key) = (Partner::new("ISR"), signing_key(&rcgen::PKCS_ED25519));
        let card = partner.key_card("avi", &key);
        let signed = KeyCard::verify(&partner.issue(&card), &partner.card, at(NOW)).unwrap();
        assert_eq!(signed.statement, card);
        assert!(card.pins(&key.spki_sha256()));
    }

    #[test]
    fn card_by_anybody_else_is_refused() {
        let (partner, other) = (Partner::new("ISR"), Partner::new("ISR"));
        let card = partner.key_card("avi", &other.registrar);
        let refused = KeyCard::verify(&other.issue(&card), &partner.card, at(NOW)).unwrap_err();
        assert!(matches!(refused, StatementError::NotRegistrar { .. }), "{refused}");
    }

    #[test]
    fn registrar_cannot_vouch_for_another_partners_member() {
        let (ours, theirs) = (Partner::new("ISR"), Partner::new("KOR"));
        let card = theirs.key_card("kim", &theirs.registrar);
        let refused = KeyCard::verify(&ours.issue(&card), &ours.card, at(NOW)).unwrap_err();
        assert!(matches!(refused, StatementError::ForeignMember { .. }), "{refused}");
    }

    #[test]
    fn card_outside_its_validity_is_refused_to_the_instant() {
        let partner = Partner::new("ISR");
        let jws = partner.issue(&partner.key_card("avi", &partner.registrar));
        let verify = |now: &str| KeyCard::verify(&jws, &partner.card, at(now));
        assert!(verify("2026-01-01T00:00:00Z").is_ok());
        assert!(verify("2027-01-01T00:00:00Z").is_ok());
        let early = verify("2025-12-31T23:59:59.999Z").unwrap_err();
        assert!(matches!(early, StatementError::CardNotYetValid { .. }), "{early}");
        let late = verify("2027-01-01T00:00:00.001Z").unwrap_err();
        assert!(matches!(late, StatementError::CardExpired { .. }), "{late}");
    }

    #[test]
    fn revoked_card_is_history_but_not_usable() {
        let partner = Partner::new("ISR");
        let mut card = partner.key_card("avi", &partner.registrar);
        (card.status, card.serial, card.recipients) = (CardStatus::Revoked, 2, Vec::new());
        let jws = partner.issue(&card);
        let refused = KeyCard::verify(&jws, &partner.card, at(NOW)).unwrap_err();
        assert!(matches!(refused, StatementError::CardRevoked { .. }), "{refused}");
        assert_eq!(KeyCard::verify_issued(&jws, &partner.card).unwrap().statement.serial, 2);
    }

    #[test]
    fn malformed_cards_are_refused() {
        let partner = Partner::new("ISR");
        let good = partner.key_card("avi", &partner.registrar);
        let changes: [RefusedEdit<KeyCard>; 8] = [
            ("recipients; wanted", |card| card.recipients.clear()),
            ("recipient appears twice", |card| card.recipients.push(card.recipients[0].clone())),
            ("not an age recipient", |card| card.recipients[0] = "age1nobody".to_owned()),
            ("certificates; wanted", |card| card.certificates.clear()),
            ("pin appears twice", |card| card.certificates.push(card.certificates[0])),
            ("serial", |card| card.serial = 0),
            ("`valid_until`", |card| card.valid_until = card.valid_from),
            ("the name must", |card| card.name = " Avi\n".to_owned()),
        ];
        for (wanted, change) in changes {
            let mut card = good.clone();
            change(&mut card);
            let jws = sign(&partner.registrar, KeyCard::TYP, &card).unwrap();
            let refused = KeyCard::verify(&jws, &partner.card, at(NOW)).unwrap_err().to_string();
            assert!(refused.contains(wanted), "{refused}");
        }
    }

    #[test]
    fn unknown_role_and_unknown_member_are_refused() {
        let partner = Partner::new("ISR");
        let card = serde_json::to_value(partner.key_card("avi", &partner.registrar)).unwrap();
        for (member, value) in [("roles", serde_json::json!(["admin"])), ("note", serde_json::json!("x"))] {
            let mut card = card.clone();
            card[member] = value;
            let jws = sign(&partner.registrar, KeyCard::TYP, &card).unwrap();
            let refused = KeyCard::verify_issued(&jws, &partner.card).unwrap_err();
            assert!(matches!(refused, StatementError::Malformed(_)), "{refused}");
        }
    }

    #[test]
    fn signature_by_an_unpinned_key_is_refused() {
        let (partner, key) = (Partner::new("ISR"), signing_key(&rcgen::PKCS_ED25519));
        let card = partner.key_card("avi", &key);
        let signed = KeyCard::verify_issued(&partner.issue(&card), &partner.card).unwrap();
        let refused = check_signer(&signed, &card).unwrap_err();
        assert_eq!(refused.to_string(), "the signature is by a key that the key card of `ISR:avi` does not name");
    }

    #[test]
    fn fingerprint_is_the_same_in_every_layout() {
        let card = Partner::new("ISR").card;
        let pretty = serde_json::to_vec_pretty(&card).unwrap();
        let read = PartnerCard::from_json(&pretty).unwrap();
        assert_eq!(read.fingerprint().unwrap(), Sha256::of(&card.canonical().unwrap()));
        assert_eq!(read.anchors_der().unwrap().len(), 1);
        let other = PartnerCard { name: "Ministry of Defence".to_owned(), ..card.clone() };
        assert_ne!(other.fingerprint().unwrap(), card.fingerprint().unwrap());
    }

    #[test]
    fn malformed_partner_cards_are_refused() {
        let good = Partner::new("ISR").card;
        let changes: [RefusedEdit<PartnerCard>; 6] = [
            ("IANA", |card| card.zone = "Mars/Olympus".to_owned()),
            ("anchors; wanted", |card| card.anchors.clear()),
            ("appears twice", |card| card.anchors.push(card.anchors[0].clone())),
            ("layout", |card| card.anchors[0].insert(0, '\n')),
            ("registrars; wanted", |card| card.registrars.clear()),
            ("the name must", |card| card.name = String::new()),
        ];
        for (wanted, change) in changes {
            let mut card = good.clone();
            change(&mut card);
            let refused = card.validate().unwrap_err().to_string();
            assert!(refused.contains(wanted), "{refused}");
        }
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let refused = PartnerCard { anchors: vec![garbage.to_owned()], ..good }.validate();
        assert!(matches!(refused, Err(StatementError::Jws(JwsError::Leaf(_)))));
    }
}
