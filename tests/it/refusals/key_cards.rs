//! A key card for a member who could not connect or sign, and one that ends an office unsaid: whatever the registrar's client asked
//! before it signed, the exchange asks again.

use crate::harness::stage::{Stage, code, id};
use base64::{Engine, prelude::BASE64_STANDARD};
use entente::{
    client::{Client, ClientError, directory::NewKeyCard},
    dev_pki::{CertificateAndKey, CertificatePurpose, LeafProfile},
    domain::{ambient::Clock, id::Sha256, member::PartnerRole},
    sealing::{identity::new_identity, jws::spki_sha256},
};
use jiff::SignedDuration;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, PKCS_RSA_SHA256, SanType};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::fs;

/// A card of Lior's, who is new, that says what Avi's says and names this key.
async fn card(stage: &Stage, key: Sha256, shown: Vec<String>) -> NewKeyCard {
    let avis = stage.client("ISR:registrar").issued_member(&id("ISR:avi")).await.unwrap().card.clone();
    let recipients = vec![new_identity().recipient().to_owned()];
    NewKeyCard { member: id("ISR:lior"), recipients, certificates: vec![key], shown, ..NewKeyCard::like(avis) }
}

/// An RSA certificate of Lior's by the authority of Israel, and the digest of its key.
fn rsa(stage: &Stage) -> (Sha256, String) {
    let files = stage.plan.dir.join("pki/ISR");
    let [ca, key] = ["crt", "key"].map(|kind| fs::read_to_string(files.join(format!("ca.{kind}"))).unwrap());
    let authority = Issuer::from_ca_cert_pem(&ca, KeyPair::from_pem(&key).unwrap()).unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(id("ISR:lior").san_uri().try_into().unwrap())];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap(), &authority).unwrap();
    (spki_sha256(certificate.der()).unwrap(), certificate.pem())
}

/// The same certificate as one of version 1.
fn of_version_one(certificate: &str) -> String {
    let der = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap().to_vec();
    let version = [0xa0, 3, 2, 1, 2];
    let at = der.windows(version.len()).position(|bytes| bytes == version).unwrap() + version.len() - 1;
    let der = der.iter().enumerate().map(|(place, byte)| if place == at { 0 } else { *byte }).collect::<Vec<_>>();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", BASE64_STANDARD.encode(der))
}

/// The registrar's attempt, which leaves nothing behind.
async fn is_refused(stage: &Stage, slug: &str, saying: &str, new: &NewKeyCard) {
    let before = stage.census().await;
    let refused: ClientError = stage.client("ISR:registrar").issue_key_card(new).await.unwrap_err();
    assert_eq!(refused.slug(), Some(slug), "{refused}");
    assert!(refused.to_string().contains(saying), "{refused}");
    assert_eq!(stage.census().await, before, "`{saying}`");
}

#[tokio::test]
async fn nobody_is_vouched_for_whose_certificate_could_not_be_used() {
    let stage = Stage::open().await;
    let authority = &stage.pki.partners[&code("ISR")].authority;
    let issue = |leaf: &LeafProfile| authority.issue(leaf, &*stage.rng).unwrap();
    let usual = authority.member(&id("ISR:lior"));
    let unfit = async |key: Sha256, shown: &str, saying: &str| {
        is_refused(&stage, "certificate-unfit", saying, &card(&stage, key, vec![shown.to_owned()]).await).await;
    };
    let of = async |credential: CertificateAndKey, saying: &str| {
        unfit(credential.spki, &credential.certificate, saying).await;
    };

    let right = issue(&usual);
    let missing = card(&stage, right.spki, Vec::new()).await;
    is_refused(&stage, "certificate-unfit", "no certificate came for the key", &missing).await;
    unfit(right.spki, "a card", "not in PEM").await;
    unfit(right.spki, &of_version_one(&right.certificate), "not of version 3").await;
    unfit(Sha256::of(b"another key"), &right.certificate, "which the key card does not name").await;
    let (key, certificate) = rsa(&stage);
    unfit(key, &certificate, "wanted P-256, P-384 or Ed25519").await;
    of(issue(&LeafProfile { usage: CertificatePurpose::Unstated, ..usual.clone() }), "`clientAuth`").await;
    of(issue(&authority.member(&id("ISR:noa"))), "a certificate names `ISR:noa`").await;
    of(authority.expired(&id("ISR:lior"), stage.clock.now(), &*stage.rng).unwrap(), "has expired").await;
    let valid_until = stage.clock.now() + SignedDuration::from_hours(24);
    of(issue(&LeafProfile { valid_until, ..usual.clone() }), "before the key card").await;
    // By another partner's authority: its own member's, and one whose name only is Israel's.
    of(stage.next_credential("USA:lior"), "an authority of `USA` vouches for a certificate").await;
    let korea = &stage.pki.partners[&code("KOR")].authority;
    of(korea.issue(&usual, &*stage.rng).unwrap(), "vouched for by `KOR` but claims a member of `ISR`").await;

    let new = card(&stage, right.spki, vec![right.certificate.clone()]).await;
    stage.client("ISR:registrar").issue_key_card(&new).await.unwrap();
    // The same keys again need no certificate, unless the card is to end later.
    let present = registrar_sees(stage.client("ISR:registrar")).await;
    let longer = NewKeyCard { valid_until: present.valid_until + SignedDuration::from_hours(24), ..present.clone() };
    is_refused(&stage, "certificate-unfit", "later than the one before", &longer).await;
    stage.client("ISR:registrar").issue_key_card(&present).await.unwrap();
    stage.stop().await;
}

async fn registrar_sees(registrar: &Client) -> NewKeyCard {
    NewKeyCard::like(registrar.issued_member(&id("ISR:lior")).await.unwrap().card.clone())
}

#[tokio::test]
async fn office_ends_only_when_the_registrar_says_so() {
    let stage = Stage::open().await;
    let registrar = stage.client("ISR:registrar");
    let present = registrar.issued_member(&id("ISR:drafter")).await.unwrap().card.clone();
    assert_eq!(present.roles, [PartnerRole::PolicyOfficer].into());
    let new = NewKeyCard { roles: [].into(), ..NewKeyCard::like(present) };
    is_refused(&stage, "office-dropped", "`ISR:drafter` is `policy_officer` by the card before", &new).await;
    let other = NewKeyCard { without: [PartnerRole::Custodian].into(), ..new.clone() };
    is_refused(&stage, "office-dropped", "`policy_officer`", &other).await;
    let said = NewKeyCard { without: [PartnerRole::PolicyOfficer].into(), ..new };
    registrar.issue_key_card(&said).await.unwrap();
    // Revoked, a card has no office to speak of.
    registrar.revoke_key_card(&id("ISR:approver"), true).await.unwrap();
    stage.stop().await;
}
