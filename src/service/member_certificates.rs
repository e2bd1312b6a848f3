//! What is asked of the certificates that come beside a key card, so that nobody is vouched for who cannot connect or sign.
//!
//! A key card names keys alone, and a key does not say who has it, what it may do or when it ends. The edge judges each certificate as when its
//! member connects; here it is compared with the card. Nothing of it is kept: what counts later is the certificate on the connection.

use super::{Result, ServiceError};
use crate::{
    domain::{
        Refusal,
        id::{MemberId, Sha256},
        member::PartnerRole,
    },
    sealing::{
        card::{CardStatus, KeyCard},
        jws,
    },
    storage::{
        Tx,
        members::{self, MemberRow},
    },
};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// A certificate that came beside a key card and that would be accepted on a connection now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedCertificate {
    pub der: Vec<u8>,
    /// The member whom it names, if it names one.
    pub named: Option<MemberId>,
    /// The last instant of the first to end of it and the authorities above it, to the second.
    pub not_after: Timestamp,
}

/// What the edge says of one; why it would not be accepted otherwise.
pub type JudgedCertificate = std::result::Result<OfferedCertificate, String>;

/// Refuses a key card with a key that its member could not use, and one that ends an office without saying so.
pub(super) async fn check(
    tx: &mut Tx,
    card: &KeyCard,
    before: Option<&MemberRow>,
    without: &BTreeSet<PartnerRole>,
    judged: &[JudgedCertificate],
) -> Result<()> {
    if card.status == CardStatus::Revoked {
        return Ok(());
    }
    if let Some(before) = before {
        let dropped = before.roles.iter().filter(|role| !card.roles.contains(role) && !without.contains(role));
        let dropped: Vec<&str> = dropped.map(|role| role.as_str()).collect();
        if !dropped.is_empty() {
            let roles = format!("`{}`", dropped.join("`, `"));
            return Err(Refusal::OfficeDropped { member: card.member.clone(), roles }.into());
        }
    }
    let named = members::behind(tx, card.member.partner(), &card.certificates.iter().copied().collect()).await?;
    let known: BTreeSet<Sha256> =
        named.into_iter().filter_map(|(key, member)| (member == card.member).then_some(key)).collect();
    let held_until = before.filter(|before| before.is_active).map(|before| before.valid_until);
    check_certificates(card, &known, held_until, judged)
        .map_err(|fault| ServiceError::from(Refusal::MemberCertificate { fault }))
}

/// `known` are the keys that the card before names, which ends at `held_until` if it is active.
fn check_certificates(
    card: &KeyCard,
    known: &BTreeSet<Sha256>,
    held_until: Option<Timestamp>,
    judged: &[JudgedCertificate],
) -> std::result::Result<(), String> {
    let mut shown = BTreeSet::new();
    let mut lasts = held_until.is_some_and(|until| card.valid_until <= until);
    for certificate in judged {
        let OfferedCertificate { der, named, not_after } = certificate.as_ref().map_err(Clone::clone)?;
        let key = jws::check_key(der).map_err(|error| error.to_string())?;
        if !card.certificates.contains(&key) {
            return Err(format!("a certificate is for the key `{key}`, which the key card does not name"));
        }
        if let Some(other) = named.as_ref().filter(|named| **named != card.member) {
            return Err(format!("a certificate names `{other}`, and the key card is about `{}`", card.member));
        }
        // Certificates end with a whole second.
        let ends_with_the_card = not_after.as_second() >= card.valid_until.as_second();
        if !ends_with_the_card && !known.contains(&key) {
            let (member, until) = (&card.member, card.valid_until);
            return Err(format!(
                "the certificate of `{member}`, or an authority above it, ends on {not_after:.0}, before the key card, on {until:.0}"
            ));
        }
        lasts |= ends_with_the_card;
        shown.insert(key);
    }
    if let Some(key) = card.certificates.iter().find(|key| !known.contains(key) && !shown.contains(key)) {
        return Err(format!("no certificate came for the key `{key}`, which the key card names for the first time"));
    }
    if !lasts {
        return Err(format!(
            "the key card ends on {:.0}, later than the one before, and no certificate came that lasts as long",
            card.valid_until
        ));
    }
    Ok(())
}

#[cfg(test)]
#[cfg(feature = "client")]
mod tests {
    use super::*;
    use crate::dev_pki::testing::self_signed;
    use rcgen::{KeyPair, PKCS_ED25519, PKCS_RSA_SHA256, SignatureAlgorithm};

    const LATER: &str = "2027-06-01T00:00:00Z";

    fn at(instant: &str) -> Timestamp {
        instant.parse().unwrap()
    }

    /// Avi's certificate of a new key.
    fn offered(algorithm: &'static SignatureAlgorithm) -> OfferedCertificate {
        let issued = self_signed(KeyPair::generate_for(algorithm).unwrap(), |_| {});
        let (der, named) = (issued.certificate.der().to_vec(), Some("ISR:avi".parse().unwrap()));
        OfferedCertificate { der, named, not_after: at(LATER) }
    }

    /// A card of two keys, with the certificate of each.
    fn card() -> (KeyCard, [OfferedCertificate; 2]) {
        let offered = [offered(&PKCS_ED25519), offered(&PKCS_ED25519)];
        let card = KeyCard {
            member: "ISR:avi".parse().unwrap(),
            name: "Avi Levi".into(),
            organisation: "Galil Optics".into(),
            roles: BTreeSet::new(),
            recipients: Vec::new(),
            certificates: offered.each_ref().map(|offered| jws::check_key(&offered.der).unwrap()).to_vec(),
            serial: 2,
            valid_from: at("2026-01-01T00:00:00Z"),
            valid_until: at("2027-01-01T00:00:00Z"),
            status: CardStatus::Active,
        };
        (card, offered)
    }

    #[test]
    fn key_that_is_new_comes_with_a_certificate_and_one_that_is_known_needs_none() {
        let (card, [old, new]) = card();
        let known: BTreeSet<Sha256> = [card.certificates[0]].into();
        let until = Some(card.valid_until);
        let check = |judged: &[JudgedCertificate]| check_certificates(&card, &known, until, judged);
        let missing = check(&[]).unwrap_err();
        assert!(missing.contains(&format!("no certificate came for the key `{}`", card.certificates[1])), "{missing}");
        assert_eq!(check(&[Ok(old.clone())]).unwrap_err(), missing);
        check(&[Ok(new.clone())]).unwrap();
        check_certificates(&card, &BTreeSet::new(), None, &[Ok(old), Ok(new)]).unwrap();
    }

    #[test]
    fn certificate_of_a_new_key_lasts_as_long_as_the_card_to_the_second() {
        let (card, [old, new]) = card();
        let known: BTreeSet<Sha256> = [card.certificates[0]].into();
        let ends = |offered: &OfferedCertificate, not_after| Ok(OfferedCertificate { not_after, ..offered.clone() });
        let card = KeyCard { valid_until: at("2027-01-01T00:00:00.5Z"), ..card };
        let (second, before) = (at("2027-01-01T00:00:00Z"), at("2026-12-31T23:59:59Z"));
        let check = |judged: &[JudgedCertificate]| check_certificates(&card, &known, Some(before), judged);
        check(&[ends(&new, second)]).unwrap();
        let short = check(&[ends(&new, before)]).unwrap_err();
        assert!(short.contains("ends on 2026-12-31T23:59:59Z, before the key card"), "{short}");
        // The old key may end before the card, beside one that does not.
        check(&[ends(&old, before), ends(&new, second)]).unwrap();
    }

    #[test]
    fn card_that_ends_later_than_the_one_before_shows_a_certificate_that_lasts() {
        let (card, [old, _]) = card();
        let known: BTreeSet<Sha256> = card.certificates.iter().copied().collect();
        let earlier = at("2026-12-31T00:00:00Z");
        let check = |judged: &[JudgedCertificate]| check_certificates(&card, &known, Some(earlier), judged);
        let refused = check(&[]).unwrap_err();
        assert!(refused.contains("later than the one before"), "{refused}");
        check(&[Ok(old.clone())]).unwrap();
        assert_eq!(check(&[Ok(OfferedCertificate { not_after: earlier, ..old })]).unwrap_err(), refused);
        check_certificates(&card, &known, Some(card.valid_until), &[]).unwrap();
    }

    #[test]
    fn certificate_of_somebody_else_of_a_key_that_is_not_named_or_that_the_edge_refused_vouches_for_nobody() {
        let (card, [old, new]) = card();
        let check = |one: JudgedCertificate| check_certificates(&card, &BTreeSet::new(), None, &[Ok(new.clone()), one]);
        let named = |member: Option<&str>| {
            Ok(OfferedCertificate { named: member.map(|member| member.parse().unwrap()), ..old.clone() })
        };
        check(named(None)).unwrap();
        assert!(check(named(Some("ISR:noa"))).unwrap_err().contains("names `ISR:noa`"));
        assert_eq!(check(Err("it was revoked".into())).unwrap_err(), "it was revoked");
        assert!(check(Ok(offered(&PKCS_ED25519))).unwrap_err().contains("which the key card does not name"));
        let refused = check(Ok(offered(&PKCS_RSA_SHA256))).unwrap_err();
        assert!(refused.contains("wanted P-256, P-384 or Ed25519"), "{refused}");
    }
}
