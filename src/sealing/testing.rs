//! Keys, certificates and cards for the tests of this folder; new in each test, never a fixture of the product.

use super::{
    card::{CardStatus, KeyCard, PartnerCard},
    identity::new_identity,
    jws::SigningKey,
    signer::{SignatureAlgorithm, Signer, SignerError},
    statement::sign_statement,
};
use crate::{
    dev_pki::{
        cast::AVI,
        testing::{Issued, self_signed},
    },
    domain::{
        id::{MemberId, PartnerCode},
        member::PartnerRole,
    },
};
use jiff::Timestamp;

/// What a refusal says, and the change that provokes it.
pub(crate) type RefusedEdit<T> = (&'static str, fn(&mut T));

/// A self-signed certificate: its key and itself, as PEM.
pub(crate) fn certificate(algorithm: &'static rcgen::SignatureAlgorithm) -> (String, String) {
    let Issued { certificate, key } = self_signed(rcgen::KeyPair::generate_for(algorithm).unwrap(), |_| {});
    (key.serialize_pem(), certificate.pem())
}

/// A fresh signing key of the given kind.
pub(crate) fn signing_key(algorithm: &'static rcgen::SignatureAlgorithm) -> SigningKey {
    let (key, cert) = certificate(algorithm);
    SigningKey::from_pem(key.as_bytes(), cert.as_bytes()).unwrap()
}

/// A signer that keeps its key to itself, as a card does.
#[derive(Debug)]
pub(crate) struct Card {
    pub(crate) key: rcgen::KeyPair,
    pub(crate) certificate: Vec<u8>,
    pub(crate) algorithm: SignatureAlgorithm,
    pub(crate) fails: Option<SignerError>,
}

impl Card {
    pub(crate) fn new() -> Self {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
        Self { certificate: certificate.der().to_vec(), key, algorithm: SignatureAlgorithm::EdDsa, fails: None }
    }
}

impl Signer for Card {
    fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        match &self.fails {
            Some(error) => Err(error.clone()),
            None => Ok(rcgen::SigningKey::sign(&self.key, message).unwrap()),
        }
    }
}

/// A partner with its registrar.
pub(crate) struct Partner {
    pub(crate) card: PartnerCard,
    pub(crate) registrar: SigningKey,
}

impl Partner {
    pub(crate) fn new(code: &str) -> Self {
        let registrar = signing_key(&rcgen::PKCS_ECDSA_P256_SHA256);
        let (_, anchor) = certificate(&rcgen::PKCS_ECDSA_P384_SHA384);
        let card = PartnerCard::new(
            code.parse().unwrap(),
            "Ministry of Science",
            "Asia/Jerusalem",
            anchor.as_bytes(),
            [registrar.spki_sha256()].into(),
        );
        Self { card: card.unwrap(), registrar }
    }

    /// A key card of a member, not yet signed, valid through 2026.
    pub(crate) fn key_card(&self, handle: &str, key: &SigningKey) -> KeyCard {
        let partner: PartnerCode = self.card.code.clone();
        KeyCard {
            member: MemberId::new(partner, handle).unwrap(),
            name: AVI.name.to_owned(),
            organisation: AVI.organisation.to_owned(),
            roles: [PartnerRole::Custodian].into(),
            recipients: vec![new_identity().recipient().to_owned()],
            certificates: vec![key.spki_sha256()],
            serial: 1,
            valid_from: at("2026-01-01T00:00:00Z"),
            valid_until: at("2027-01-01T00:00:00Z"),
            status: CardStatus::Active,
        }
    }

    /// Signs a key card as the registrar.
    pub(crate) fn issue(&self, card: &KeyCard) -> String {
        sign_statement(&self.registrar, card).unwrap()
    }
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}
