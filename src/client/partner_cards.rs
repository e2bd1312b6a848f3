//! A nation's own partner card: made from its authority's certificates and its registrars', and changed when one of them does.
//!
//! Nobody signs a partner card: what counts is its fingerprint, which officials tell each other (ADR 7). So what the host would refuse, or would
//! shut members out, is found before the fingerprint is told to anybody.

use super::{ClientError, Result};
use crate::{
    domain::{
        id::{MemberId, PartnerCode, Sha256},
        text::counted,
    },
    sealing::{
        card::{PartnerCard, normal_pem},
        certificates::{self, AuthorityCertificate, check_chain, check_member_certificate, read_authority},
        leaf,
        statement::StatementError,
    },
};
use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::collections::BTreeSet;

const HELP: &str = "docs/operations.md says what a partner card is made of";

/// A registrar in a partner card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistrarKey {
    /// Certificate, PEM: it is checked.
    Certificate(Vec<u8>),
    /// SHA-256 of a public key whose certificate is not at hand.
    Digest(Sha256),
}

/// What a nation's officials state in its card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPartnerCard {
    pub code: PartnerCode,
    pub name: String,
    pub zone: String,
    /// Certificates of authorities, PEM, one after another.
    pub anchors: Vec<u8>,
    pub registrars: Vec<RegistrarKey>,
}

/// A change of a partner card. What it does not speak of stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartnerCardEdit {
    pub name: Option<String>,
    pub zone: Option<String>,
    /// Certificates of further authorities, PEM.
    pub anchors: Vec<u8>,
    /// Authorities that go, by the SHA-256 of their keys or its beginning.
    pub without_anchors: Vec<String>,
    /// Whether authorities whose certificates have ended go.
    pub without_ended: bool,
    pub registrars: Vec<RegistrarKey>,
    /// Registrars that go.
    pub without_registrars: Vec<RegistrarKey>,
}

/// A line of what differs between two cards of a partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CardDifference {
    Field { what: &'static str, before: String, after: String },
    Gone { what: &'static str, which: String },
    New { what: &'static str, which: String },
}

impl NewPartnerCard {
    /// Makes the card.
    ///
    /// # Errors
    /// Among others for an authority that has ended, and a registrar's certificate that leads to none of the authorities.
    pub fn make(&self, now: Timestamp) -> Result<PartnerCard> {
        let anchors = checked_anchors(&self.anchors, now)?;
        let registrars = registrars(&self.code, &self.registrars, &anchors, now)?;
        PartnerCard::new(self.code.clone(), &self.name, &self.zone, &self.anchors, registrars).map_err(contradiction)
    }
}

impl PartnerCardEdit {
    /// The card after the change.
    ///
    /// # Errors
    /// Among others when it changes nothing, or names an authority or registrar to leave out that the card does not have.
    pub fn apply(&self, before: &PartnerCard, now: Timestamp) -> Result<PartnerCard> {
        if !self.anchors.is_empty() {
            checked_anchors(&self.anchors, now)?;
        }
        let mut anchors: Vec<String> = Vec::new();
        let mut unused: BTreeSet<&str> = self.without_anchors.iter().map(String::as_str).collect();
        for pem in before.anchors.iter().cloned().chain(normal_pem(&self.anchors).map_err(contradiction)?) {
            let authority = authority_of(&pem)?;
            let key = authority.key.to_string();
            let named = self.without_anchors.iter().find(|named| key.starts_with(named.as_str()));
            unused.retain(|name| !key.starts_with(*name));
            let has_ended = self.without_ended && now > authority.not_after;
            if named.is_none() && !has_ended && !anchors.contains(&pem) {
                anchors.push(pem);
            }
        }
        if let Some(name) = unused.first() {
            let what = format!("no authority of the card has a key that begins with `{name}`");
            return Err(ClientError::usage(what, "see `entente partner card show` for its authorities"));
        }
        let ders: Vec<Vec<u8>> = anchors.iter().map(|pem| der_of(pem)).collect::<Result<_>>()?;
        let mut kept = before.registrars.clone();
        for gone in &self.without_registrars {
            let key = gone.key()?;
            if !kept.remove(&key) {
                let what = format!("the card names no registrar with the key {key}");
                return Err(ClientError::usage(what, "see `entente partner card show` for its registrars"));
            }
        }
        kept.extend(registrars(&before.code, &self.registrars, &ders, now)?);
        let (name, zone) = (self.name.as_ref().unwrap_or(&before.name), self.zone.as_ref().unwrap_or(&before.zone));
        let after = PartnerCard::new(before.code.clone(), name, zone, anchors.concat().as_bytes(), kept);
        let after = after.map_err(contradiction)?;
        if after == *before {
            return Err(ClientError::usage("the card would stay as it is", "say what is to change, see `--help`"));
        }
        Ok(after)
    }
}

impl RegistrarKey {
    fn key(&self) -> Result<Sha256> {
        match self {
            Self::Certificate(pem) => super::directory::certificate_pin(pem),
            Self::Digest(key) => Ok(*key),
        }
    }
}

/// The authorities of a card, in its order.
pub fn authorities(card: &PartnerCard) -> Result<Vec<AuthorityCertificate>> {
    card.anchors.iter().map(|pem| authority_of(pem)).collect()
}

/// What differs between two cards of a partner.
pub fn differences(before: &PartnerCard, after: &PartnerCard) -> Result<Vec<CardDifference>> {
    let mut found = Vec::new();
    for (what, old, new) in [("name", &before.name, &after.name), ("zone", &before.zone, &after.zone)] {
        if old != new {
            found.push(CardDifference::Field { what, before: old.clone(), after: new.clone() });
        }
    }
    let (old, new) = (authorities(before)?, authorities(after)?);
    let shown = |authority: &AuthorityCertificate| {
        format!("{}, until {:.0}, key {}", authority.subject, authority.not_after, authority.key)
    };
    let gone = old.iter().filter(|one| !new.contains(one)).map(shown);
    found.extend(gone.map(|which| CardDifference::Gone { what: "authority", which }));
    let come = new.iter().filter(|one| !old.contains(one)).map(shown);
    found.extend(come.map(|which| CardDifference::New { what: "authority", which }));
    let gone = before.registrars.difference(&after.registrars).map(ToString::to_string);
    found.extend(gone.map(|which| CardDifference::Gone { what: "registrar", which }));
    let come = after.registrars.difference(&before.registrars).map(ToString::to_string);
    found.extend(come.map(|which| CardDifference::New { what: "registrar", which }));
    Ok(found)
}

/// The authorities in a bundle, DER, each of which is one and valid now.
fn checked_anchors(bundle: &[u8], now: Timestamp) -> Result<Vec<Vec<u8>>> {
    let pems = normal_pem(bundle).map_err(contradiction)?;
    if pems.is_empty() {
        return Err(ClientError::usage("no certificate of an authority is in PEM", HELP));
    }
    let mut ders = Vec::new();
    for pem in &pems {
        let authority = authority_of(pem)?;
        let AuthorityCertificate { subject, not_before, not_after, .. } = &authority;
        if now > *not_after || now < *not_before {
            let what = format!(
                "the certificate of the authority `{subject}` is valid from {not_before:.0} until {not_after:.0}"
            );
            return Err(ClientError::usage(what, "take one that is valid now, and check this machine's clock"));
        }
        ders.push(der_of(pem)?);
    }
    Ok(ders)
}

fn authority_of(pem: &str) -> Result<AuthorityCertificate> {
    read_authority(&der_of(pem)?).map_err(unfit)
}

fn der_of(pem: &str) -> Result<Vec<u8>> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes());
    der.map(|der| der.to_vec()).map_err(|_| ClientError::usage("malformed PEM", HELP))
}

/// The keys of registrars. A certificate is one with which its holder can connect: of the nation, valid, and under one of its authorities.
fn registrars(
    code: &PartnerCode,
    given: &[RegistrarKey],
    anchors: &[Vec<u8>],
    now: Timestamp,
) -> Result<BTreeSet<Sha256>> {
    let mut keys = BTreeSet::new();
    for registrar in given {
        let key = registrar.key()?;
        if let RegistrarKey::Certificate(pem) = registrar {
            let der = der_of(str::from_utf8(pem).unwrap_or_default())?;
            if let Some(member) = leaf::named(&der).into_iter().next() {
                require_of(code, &member)?;
                check_member_certificate(pem, &member).map_err(unfit)?;
            }
            check_chain(pem, anchors, now).map_err(unfit)?;
        }
        if !keys.insert(key) {
            return Err(ClientError::usage(format!("the registrar with the key {key} is named twice"), HELP));
        }
    }
    Ok(keys)
}

fn require_of(code: &PartnerCode, member: &MemberId) -> Result<()> {
    if member.partner() == code {
        return Ok(());
    }
    let what = format!("the registrar's certificate names `{member}`, who does not belong to `{code}`");
    Err(ClientError::usage(what, "a nation's registrars are its own members"))
}

fn contradiction(error: StatementError) -> ClientError {
    ClientError::usage(error.to_string(), HELP)
}

fn unfit(error: certificates::MemberCertificateError) -> ClientError {
    ClientError::usage(error.to_string(), HELP)
}

/// Reads a partner card that somebody made or sent.
pub fn read_card(bytes: &[u8]) -> Result<PartnerCard> {
    let read = |error: StatementError| ClientError::usage(format!("it is not a partner card: {error}"), HELP);
    PartnerCard::from_json(bytes).map_err(read)
}

/// When an authority ends, in words: `ends in 12 days`.
#[must_use]
pub fn ends_in_words(authority: &AuthorityCertificate, now: Timestamp) -> String {
    let days = authority.not_after.duration_since(now).as_hours() / 24;
    if now > authority.not_after {
        return "HAS ENDED".to_owned();
    }
    format!("ends in {}", counted(days, "day", "days"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dev_pki::{DevPki, Spec},
        domain::ambient::SystemRng,
    };

    fn now() -> Timestamp {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    fn pki(days: u16, at: Timestamp) -> DevPki {
        DevPki::generate(&Spec::usual(at, days).unwrap(), &SystemRng).unwrap()
    }

    /// The parts of Israel's card.
    fn parts(pki: &DevPki) -> NewPartnerCard {
        let (code, partner) = pki.partners.iter().find(|(code, _)| code.as_str() == "ISR").unwrap();
        let registrar = partner.members.iter().find(|(member, _)| member.handle() == "registrar").unwrap().1;
        NewPartnerCard {
            code: code.clone(),
            name: partner.card.name.clone(),
            zone: partner.card.zone.clone(),
            anchors: partner.authority.certificate.clone().into_bytes(),
            registrars: vec![RegistrarKey::Certificate(registrar.certificate.clone().into_bytes())],
        }
    }

    #[test]
    fn card_is_made_of_the_parts_that_the_host_takes() {
        let pki = pki(30, now());
        let parts = parts(&pki);
        let card = parts.make(now()).unwrap();
        assert_eq!(card, pki.partners[&parts.code].card);
        let spoken = card.spoken_fingerprint().unwrap();
        assert_eq!(spoken.concat().replace(' ', ""), card.fingerprint().unwrap().to_string());
        assert!(spoken.iter().all(|line| line.split(' ').count() == 8));
    }

    #[test]
    fn parts_that_would_let_nobody_in_are_refused() {
        let (ours, theirs) = (pki(30, now()), pki(30, now()));
        let good = parts(&ours);
        let foreign = NewPartnerCard { anchors: parts(&theirs).anchors, ..good.clone() };
        let error = foreign.make(now()).unwrap_err().to_string();
        assert!(error.contains("does not lead to an authority of the nation's card"), "{error}");
        let other = NewPartnerCard { code: "KOR".parse().unwrap(), ..good.clone() };
        let error = other.make(now()).unwrap_err().to_string();
        assert!(error.contains("names `ISR:registrar`, who does not belong to `KOR`"), "{error}");
        let late = now() + jiff::SignedDuration::from_hours(24 * 40);
        assert!(good.make(late).unwrap_err().to_string().contains("is valid from"));
        let RegistrarKey::Certificate(leaf) = good.registrars[0].clone() else { unreachable!() };
        let no_authority = NewPartnerCard { anchors: leaf, ..good.clone() };
        let error = no_authority.make(now()).unwrap_err().to_string();
        assert!(error.contains("not the certificate of an authority"), "{error}");
        let twice = [good.registrars.clone(), good.registrars.clone()].concat();
        let error = NewPartnerCard { registrars: twice, ..good }.make(now()).unwrap_err().to_string();
        assert!(error.contains("named twice"), "{error}");
    }

    #[test]
    fn renewal_adds_the_next_authority_and_leaves_out_the_one_that_has_ended() {
        let (old, new) = (pki(30, now()), pki(365, now()));
        let before = parts(&old).make(now()).unwrap();
        let next = parts(&new);
        let edit = PartnerCardEdit {
            anchors: next.anchors.clone(),
            registrars: next.registrars.clone(),
            ..PartnerCardEdit::default()
        };
        let both = edit.apply(&before, now()).unwrap();
        assert_eq!((both.anchors.len(), both.registrars.len()), (2, 2));
        assert_ne!(both.fingerprint().unwrap(), before.fingerprint().unwrap());
        let told = differences(&before, &both).unwrap();
        assert!(matches!(
            told.as_slice(),
            [CardDifference::New { what: "authority", .. }, CardDifference::New { what: "registrar", .. }]
        ));
        let late = now() + jiff::SignedDuration::from_hours(24 * 40);
        let drop = PartnerCardEdit {
            without_ended: true,
            without_registrars: parts(&old).registrars,
            ..PartnerCardEdit::default()
        };
        let alone = drop.apply(&both, late).unwrap();
        assert_eq!(alone, next.make(late).unwrap());
        let again = PartnerCardEdit { without_ended: true, ..PartnerCardEdit::default() };
        assert!(again.apply(&alone, late).unwrap_err().to_string().contains("would stay as it is"));
        let unknown = PartnerCardEdit { without_anchors: vec!["zz".to_owned()], ..PartnerCardEdit::default() };
        assert!(unknown.apply(&alone, late).unwrap_err().to_string().contains("begins with `zz`"));
    }
}
