//! The rules within each statement, and that one statement has one byte form.

use super::*;
use crate::{
    domain::{
        decision::Outcome,
        label::Label,
        member::{CallRole, ConflictGround, Declared, PartnerRole},
        reference::Reference,
    },
    sealing::{
        canonical::MAX_SAFE_INTEGER,
        identity::new_identity,
        jws::sign,
        testing::{Partner, RefusedEdit, signing_key},
    },
};
use serde_json::{Value, json};

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
};

const CALL: &str = "call_01J9ZQ4N6M8V7X5T3R2P1K0HGF";
const PROPOSAL: &str = "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF";
const VAULT: &str = "vault_01J9ZQ4N6M8V7X5T3R2P1K0HGF";
const OTHER_VAULT: &str = "vault_01J9ZQ4N6M8V7X5T3R2P1K0HGG";

fn id<T: FromStr<Err: fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn document(slot: &str, party: Option<&str>, recipient: &str) -> ManifestDocument {
    ManifestDocument {
        slot: id(slot),
        party: party.map(id),
        vault: id(VAULT),
        recipient: recipient.to_owned(),
        sha256: Sha256::of(slot.as_bytes()),
        size: 1234,
        media_type: "application/pdf".to_owned(),
    }
}

fn manifest() -> Manifest {
    let recipient = new_identity().recipient().to_owned();
    Manifest {
        call: id(CALL),
        call_text_sha256: Sha256::of(b"text"),
        proposal: id(PROPOSAL),
        reference: id("BIRD26-48179"),
        version: 1,
        parties: [id("ISR"), id("USA")].into(),
        documents: vec![
            document("budget", None, &recipient),
            document("budget", Some("ISR"), &recipient),
            document("summary", None, &recipient),
        ],
        label: None,
    }
}

fn refusal<T: Statement>(statement: &T) -> String {
    let key = signing_key(&rcgen::PKCS_ED25519);
    let signed = sign(&key, T::TYP, statement).unwrap();
    let refused = verify_signed::<T>(&signed).err().expect("the reader refuses it");
    assert_eq!(sign_statement(&key, statement).unwrap_err(), refused, "and so does the writer");
    refused.to_string()
}

#[test]
fn every_statement_reads_back_as_it_was_signed() {
    fn round<T: Statement + PartialEq + fmt::Debug>(statement: &T) {
        let key = signing_key(&rcgen::PKCS_ECDSA_P256_SHA256);
        let signed = verify_signed::<T>(&sign_statement(&key, statement).unwrap()).unwrap();
        assert_eq!(signed.statement, *statement);
        assert_eq!(signed.signer_spki, key.spki_sha256());
        assert_eq!(signed.payload_sha256, statement.digest().unwrap());
    }
    let recipient = new_identity().recipient().to_owned();
    let (proposal, digest) = (id(PROPOSAL), Sha256::of(b"x"));
    let partner = Partner::new("ISR");
    round(&partner.key_card("avi", &partner.registrar));
    round(&CallPublication {
        call: id(CALL),
        version: 1,
        text: json!({"title": "Water", "slots": []}),
        text_sha256: Sha256::of(br#"{"slots":[],"title":"Water"}"#),
        vault: id(VAULT),
        recipient: recipient.clone(),
        host: id("USA"),
    });
    round(&VaultStatement {
        vault: id(VAULT),
        kind: VaultKind::Staff,
        call: id(CALL),
        proposal: Some(proposal),
        party: Some(id("ISR")),
        recipient: recipient.clone(),
    });
    let roles = BTreeMap::from([(id("USA:dana"), [CallRole::Officer].into())]);
    round(&RollStatement { call: id(CALL), partners: [id("ISR"), id("USA")].into(), roles });
    round(&RoleStatement {
        call: id(CALL),
        number: 2,
        previous: digest,
        member: id("GBR:jo"),
        roles: [CallRole::Reviewer].into(),
    });
    round(&AssignmentStatement { call: id(CALL), proposal, reviewer: id("GBR:jo") });
    for (number, declared, ground) in
        [(1, Declared::Clear, None), (2, Declared::Conflict, Some(ConflictGround::Family)), (3, Declared::Lifted, None)]
    {
        let previous = (number > 1).then_some(digest);
        for reference in [None, Some(Reference::new(&"BIRD26".parse().unwrap(), "4817"))] {
            let member = id("GBR:jo");
            round(&DeclarationStatement { proposal, member, number, previous, declared, ground, reference });
        }
    }
    round(&manifest());
    round(&ReviewStatement {
        proposal,
        manifest_sha256: digest,
        call_text_sha256: digest,
        reviewer: id("GBR:jo"),
        revision: 2,
        sha256: digest,
    });
    round(&DecisionStatement {
        proposal,
        manifest_sha256: digest,
        outcome: Outcome::Reserve,
        partner: id("KOR"),
        supersedes: None,
        reason: None,
    });
    round(&DecisionStatement {
        proposal,
        manifest_sha256: digest,
        outcome: Outcome::Fund,
        partner: id("KOR"),
        supersedes: Some(digest),
        reason: Some("money became free".into()),
    });
    let (reference, stated_at) = ("BIRD26-48179".parse().unwrap(), "2026-05-20T09:30:00.25Z".parse().unwrap());
    round(&RankingStatement {
        proposal,
        reference,
        manifest_sha256: digest,
        call_text_sha256: digest,
        sha256: digest,
        stated_at,
    });
    let roles = [CallRole::Decider, CallRole::Observer].into();
    round(&DossierStatement { call: id(CALL), member: id("KOR:jo"), roles, sha256: digest, stated_at });
    let letter = LetterStatement {
        proposal,
        manifest_sha256: digest,
        sha256: digest,
        decision_sha256: None,
        reference: None,
        party: None,
    };
    round(&letter);
    let reference = Some("BIRD26-48179".parse().unwrap());
    round(&LetterStatement { decision_sha256: Some(digest), reference, party: Some(id("ISR")), ..letter });
    for to in [WrapTarget::Member(id("ISR:avi")), WrapTarget::Vault(id(OTHER_VAULT))] {
        round(&WrapStatement { vault: id(VAULT), to, recipient: recipient.clone(), sha256: digest });
    }
    for statement in [invitation(Some(2)), invitation(None)] {
        round(&statement);
    }
    for invitation_sha256 in [Some(digest), None] {
        round(&JoinRequest { invitation_sha256, ..request() });
    }
    round(&RenewalStatement { member: id("ISR:avi"), request_sha256: digest, serial: 3, stated_at: at(1) });
    round(&TrustList {
        partner: id("ISR"),
        partners: [(id("ISR"), digest), (id("USA"), digest)].into(),
        stated_at: at(1),
    });
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_775_055_600 + second).unwrap()
}

fn invitation(replaces: Option<u64>) -> MemberInvitation {
    MemberInvitation {
        member: id("ISR:avi"),
        name: "Avi Levi".to_owned(),
        organisation: "Kinneret Sensing".to_owned(),
        roles: [PartnerRole::PolicyOfficer].into(),
        replaces,
        server: "https://exchange.example".to_owned(),
        server_ca: "PEM".to_owned(),
        challenge: PossessionChallenge { public_key: "AA==".to_owned(), sealed_private_key: "AA==".to_owned() },
        stated_at: at(0),
        expires_at: at(1),
    }
}

fn request() -> JoinRequest {
    JoinRequest {
        member: id("ISR:avi"),
        invitation_sha256: None,
        recipients: vec![new_identity().recipient().to_owned()],
        certificate_request: "PEM".to_owned(),
        stated_at: at(0),
    }
}

#[test]
fn malformed_statements_of_joining_are_refused() {
    let fine = invitation(None);
    assert!(refusal(&MemberInvitation { expires_at: at(0), ..fine.clone() }).contains("expires after it was made"));
    assert!(refusal(&MemberInvitation { server: "http://x".into(), ..fine.clone() }).contains("`https://`"));
    assert!(refusal(&MemberInvitation { name: String::new(), ..fine.clone() }).contains("the name must have"));
    let roles = [PartnerRole::Relay, PartnerRole::PolicyOfficer].into();
    assert!(refusal(&MemberInvitation { roles, ..fine }).contains("goes with no other role"));
    assert!(refusal(&JoinRequest { recipients: Vec::new(), ..request() }).contains("1 to 16 recipients"));
    assert!(refusal(&JoinRequest { certificate_request: "x".repeat(17_000), ..request() }).contains("16 KiB"));
    let others = TrustList { partner: id("ISR"), partners: BTreeMap::new(), stated_at: at(0) };
    assert!(refusal(&others).contains("names its own nation"));
}

#[test]
fn statement_of_another_type_is_refused() {
    let key = signing_key(&rcgen::PKCS_ED25519);
    let signed = sign_statement(&key, &manifest()).unwrap();
    assert!(matches!(verify_signed::<LetterStatement>(&signed), Err(StatementError::Jws(JwsError::Type { .. }))));
}

#[test]
fn unknown_member_is_refused() {
    let key = signing_key(&rcgen::PKCS_ED25519);
    let mut value = serde_json::to_value(manifest()).unwrap();
    value["note"] = json!("x");
    let refused = verify_signed::<Manifest>(&sign(&key, Manifest::TYP, &value).unwrap()).unwrap_err();
    assert!(refused.to_string().contains("there is no `note` here"), "{refused}");
}

#[test]
fn second_form_of_the_same_statement_is_refused() {
    let key = signing_key(&rcgen::PKCS_ED25519);
    let partner = Partner::new("ISR");
    let card = serde_json::to_value(partner.key_card("avi", &key)).unwrap();
    let manifest = serde_json::to_value(manifest()).unwrap();
    let changed = |value: &Value, change: fn(&mut Value)| {
        let mut value = value.clone();
        change(&mut value);
        value
    };
    let offset = changed(&card, |card| card["valid_from"] = json!("2026-01-01T02:00:00+02:00"));
    let javascript = changed(&card, |card| card["valid_from"] = json!("2026-01-01T00:00:00.000Z"));
    for (other, given) in [(offset, "2026-01-01T02:00:00+02:00"), (javascript, "2026-01-01T00:00:00.000Z")] {
        let signed = sign(&key, "entente-key-card+jws", &other).unwrap();
        let refused = verify_signed::<crate::sealing::card::KeyCard>(&signed).unwrap_err().to_string();
        let wanted = format!("`/valid_from`: write `2026-01-01T00:00:00Z`, not `{given}`");
        assert!(refused.contains("not in canonical form") && refused.contains(&wanted), "{refused}");
    }
    for (other, wanted) in [
        (changed(&manifest, |manifest| manifest["parties"] = json!(["USA", "ISR"])), "`/parties`: sort it"),
        (
            changed(&manifest, |manifest| manifest["parties"] = json!(["ISR", "ISR", "USA"])),
            "`/parties`: name each once",
        ),
        (
            changed(&manifest, |manifest| manifest["documents"][0]["party"] = Value::Null),
            "`/documents/0/party`: leave it",
        ),
    ] {
        let signed = sign(&key, Manifest::TYP, &other).unwrap();
        let refused = verify_signed::<Manifest>(&signed).unwrap_err();
        assert!(matches!(&refused, StatementError::NotNormal(fault) if fault.starts_with(wanted)), "{refused}");
    }
}

#[test]
fn malformed_manifests_are_refused() {
    let good = manifest();
    assert_eq!(good.clone().sorted(), good);
    assert!(good.document(&id("budget"), Some(&id("ISR"))).is_some());
    let changes: [RefusedEdit<Manifest>; 10] = [
        ("sorted by slot", |m| m.documents.reverse()),
        ("sorted by slot", |m| m.documents[1] = m.documents[0].clone()),
        ("1 to 1024 documents", |m| m.documents.clear()),
        ("1 to 24 parties", |m| m.parties.clear()),
        ("not a party of the proposal", |m| m.documents[1].party = Some(id("KOR"))),
        ("`version` begins at 1", |m| m.version = 0),
        ("size of a sealed document", |m| m.documents[0].size = 0),
        ("media type", |m| m.documents[0].media_type = "application/PDF; x=1".to_owned()),
        ("not an age recipient", |m| m.documents[0].recipient = "hello".to_owned()),
        ("is given two recipients", |m| m.documents[0].recipient = new_identity().recipient().to_owned()),
    ];
    for (wanted, change) in changes {
        let mut manifest = good.clone();
        change(&mut manifest);
        let refused = refusal(&manifest);
        assert!(refused.contains(wanted), "{refused}");
    }
}

#[test]
fn size_past_exact_numbers_is_refused() {
    let mut manifest = manifest();
    manifest.documents[0].size = MAX_SAFE_INTEGER + 1;
    assert!(manifest.validate().is_err());
    assert!(matches!(manifest.digest(), Err(StatementError::Canonical(CanonicalError::Number(_)))));
}

#[test]
fn malformed_publications_are_refused() {
    let good = CallPublication {
        call: id(CALL),
        version: 1,
        text: json!({}),
        text_sha256: Sha256::of(b"{}"),
        vault: id(VAULT),
        recipient: new_identity().recipient().to_owned(),
        host: id("USA"),
    };
    assert!(good.validate().is_ok());
    let changes: [RefusedEdit<CallPublication>; 4] = [
        ("not the digest", |p| p.text = json!({"title": "other"})),
        ("JSON object", |p| p.text = json!("text")),
        ("`version`", |p| p.version = 0),
        ("recipient", |p| p.recipient = String::new()),
    ];
    for (wanted, change) in changes {
        let mut publication = good.clone();
        change(&mut publication);
        let refused = refusal(&publication);
        assert!(refused.contains(wanted), "{refused}");
    }
}

#[test]
fn vault_belongs_where_its_kind_says() {
    let recipient = new_identity().recipient().to_owned();
    for kind in VaultKind::ALL {
        for (proposal, party) in [(false, false), (true, false), (true, true), (false, true)] {
            let statement = VaultStatement {
                vault: id(VAULT),
                kind: *kind,
                call: id(CALL),
                proposal: proposal.then(|| id(PROPOSAL)),
                party: party.then(|| id("ISR")),
                recipient: recipient.clone(),
            };
            let wanted = match kind {
                VaultKind::Call => (false, false),
                VaultKind::Staff => (true, true),
                VaultKind::Panel | VaultKind::Parties | VaultKind::Deliberation => (true, false),
            };
            assert_eq!(statement.validate().is_ok(), (proposal, party) == wanted, "{kind} {proposal} {party}");
        }
    }
}

#[test]
fn vault_is_not_wrapped_to_itself() {
    let wrap = WrapStatement {
        vault: id(VAULT),
        to: WrapTarget::Vault(id(VAULT)),
        recipient: new_identity().recipient().to_owned(),
        sha256: Sha256::of(b"x"),
    };
    assert!(refusal(&wrap).contains("wrapped to itself"));
}

#[test]
fn manifest_without_a_label_keeps_its_form_and_one_with_a_label_names_its_owners() {
    let bare = manifest();
    assert!(!serde_json::to_string(&bare).unwrap().contains("label"));
    let labelled = |others: &[&str], owners: &[&str]| {
        let owners: BTreeSet<PartnerCode> = owners.iter().map(|code| id(code)).collect();
        let label = Label::of(&owners, others.iter().map(|code| id(code)), [id("propin")]);
        Manifest { label: Some(label), ..bare.clone() }
    };
    let key = signing_key(&rcgen::PKCS_ED25519);
    let fine = labelled(&["GBR"], &["ISR", "USA"]);
    let signed = sign_statement(&key, &fine).unwrap();
    assert_eq!(verify_signed::<Manifest>(&signed).unwrap().statement, fine);
    assert_ne!(fine.digest().unwrap(), bare.digest().unwrap());
    assert!(refusal(&labelled(&["GBR"], &["ISR"])).contains("leaves `USA` out"));
}

#[test]
fn malformed_label_statements_are_refused() {
    let fine = LabelStatement {
        proposal: id(PROPOSAL),
        manifest_sha256: Sha256::of(b"manifest"),
        number: 1,
        replaces: None,
        label: None,
        stated_at: "2026-04-01T15:00:00.123Z".parse().unwrap(),
    };
    let key = signing_key(&rcgen::PKCS_ED25519);
    assert!(verify_signed::<LabelStatement>(&sign_statement(&key, &fine).unwrap()).is_ok());
    assert!(refusal(&LabelStatement { number: 0, ..fine.clone() }).contains("begins at 1"));
    let finer = "2026-04-01T15:00:00.123456Z".parse().unwrap();
    assert!(refusal(&LabelStatement { stated_at: finer, ..fine }).contains("milliseconds"));
}
