//! Nations, members and their keys for the tests of this folder; new in each test.

use super::verified::VerifiedCall;
use crate::{
    dev_pki::testing::{Issued, self_signed, uri},
    domain::{
        call::Phase,
        id::{MemberId, PartnerCode},
    },
    sealing::{
        card::{CardStatus, KeyCard, PartnerCard},
        identity::{NewIdentity, new_identity},
        jws::SigningKey,
        statement::{CallPublication, sign_statement},
    },
    wire::{
        call::{Call, CallText},
        proposal::Proposal,
    },
};
use jiff::Timestamp;
use serde_json::json;

/// A partner with its registrar.
pub(crate) struct Nation {
    pub(crate) card: PartnerCard,
    pub(crate) registrar: SigningKey,
}

/// A member with keys and an unsigned key card, valid through 2026.
pub(crate) struct Person {
    pub(crate) key: SigningKey,
    pub(crate) identity: NewIdentity,
    pub(crate) card: KeyCard,
}

impl Nation {
    pub(crate) fn new(code: &str) -> Self {
        let registrar = signing_key(None);
        let anchor = pem(None).1;
        let card = PartnerCard::new(
            code.parse().unwrap(),
            "Ministry of Science",
            "Asia/Jerusalem",
            anchor.as_bytes(),
            [registrar.spki_sha256()].into(),
        );
        Self { card: card.unwrap(), registrar }
    }

    pub(crate) fn code(&self) -> &PartnerCode {
        &self.card.code
    }

    pub(crate) fn member(&self, handle: &str) -> Person {
        let member = MemberId::new(self.code().clone(), handle).unwrap();
        let (key, identity) = (signing_key(Some(&member)), new_identity());
        let card = KeyCard {
            member,
            name: handle.to_owned(),
            organisation: format!("{handle} and sons"),
            roles: [].into(),
            recipients: vec![identity.recipient().to_owned()],
            certificates: vec![key.spki_sha256()],
            serial: 1,
            valid_from: at("2026-01-01T00:00:00Z"),
            valid_until: at("2027-01-01T00:00:00Z"),
            status: CardStatus::Active,
        };
        Person { key, identity, card }
    }

    pub(crate) fn issue(&self, card: &KeyCard) -> String {
        sign_statement(&self.registrar, card).unwrap()
    }
}

/// A signing key whose certificate names the member, if one is given.
pub(crate) fn signing_key(member: Option<&MemberId>) -> SigningKey {
    let (key, certificate) = pem(member);
    SigningKey::from_pem(key.as_bytes(), certificate.as_bytes()).unwrap()
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn pem(member: Option<&MemberId>) -> (String, String) {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let names = member.map(|member| uri(&member.san_uri())).into_iter().collect();
    let Issued { certificate, key } = self_signed(key, |params| params.subject_alt_names = names);
    (key.serialize_pem(), certificate.pem())
}

/// A bilateral call, as published and verified.
pub(crate) fn call() -> VerifiedCall {
    let text: CallText = serde_json::from_value(json!({
        "code": "WATER26", "title": "Water", "text": "Joint work on water.",
        "criteria": [
            { "name": "merit", "title": "Merit", "max": 5.0, "step": 0.5, "weight": 2, "threshold": 3.0 },
            { "name": "impact", "title": "Impact", "max": 5.0, "step": 0.5 },
        ],
        "slots": [
            { "name": "plan", "title": "Plan", "required": true, "media_types": ["application/pdf"],
              "max_bytes": 1_000_000, "audience": "panel" },
            { "name": "owners", "title": "Owners", "required": true, "media_types": ["text/csv"],
              "max_bytes": 1_000_000, "audience": "staff" },
        ],
        "eligible": ["ISR", "USA"],
        "parties": { "at_least": 2, "at_most": 2, "required": ["ISR", "USA"] },
        "funders": ["ISR", "USA"],
        "schedule": {
            "opens_at": "2026-03-01T00:00:00Z", "deadline_at": "2026-04-01T15:00:00Z", "grace_seconds": 7200,
            "reviews_due_at": "2026-06-01T00:00:00Z",
        },
    }))
    .unwrap();
    let id = "call_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap();
    let publication = CallPublication {
        call: id,
        version: 1,
        text: serde_json::to_value(&text).unwrap(),
        text_sha256: text.digest(),
        vault: "vault_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap(),
        recipient: new_identity().recipient().to_owned(),
        host: "USA".parse().unwrap(),
    };
    let call = Call {
        id,
        program: "prog_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap(),
        lead: "USA".parse().unwrap(),
        phase: Phase::Open,
        version: 1,
        text: text.clone(),
        text_sha256: text.digest(),
        publication: Some("signed".into()),
        vault: Some(publication.vault),
        deadline_at: at("2026-04-01T15:00:00Z").into(),
        my_deadline_at: at("2026-04-01T15:00:00Z").into(),
        sealed_until: at("2026-04-01T17:00:00Z").into(),
        reviews_due_at: at("2026-06-01T00:00:00Z").into(),
        my_roles: [].into(),
    };
    VerifiedCall { rules: text.to_domain().unwrap(), text, publication, call, signed_by: "USA:olga".parse().unwrap() }
}

/// A proposal of `ISR:avi` and `USA:dana` under [`call`].
pub(crate) fn proposal() -> Proposal {
    serde_json::from_value(json!({
        "id": "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF", "reference": "WATER26-48175", "call": "call_01J9ZQ4N6M8V7X5T3R2P1K0HGF", "status": "submitted",
        "parties": { "ISR": ["ISR:avi"], "USA": ["USA:dana"] }, "organisations": [],
        "deadline_at": "2026-04-01T15:00:00Z", "grace_until": "2026-04-01T17:00:00Z",
        "created_at": "2026-03-02T00:00:00Z",
        "mine": { "is_party": true, "is_assigned": false, "is_clear": false, "has_reviewed": false },
    }))
    .unwrap()
}
