//! The bytes of each payload against the JSON that it stands for, and back. The log keeps them for ever, so no field is renamed or left out.

use super::*;
use serde_json::{Value, json};
use std::{collections::BTreeSet, fmt::Debug, str::FromStr};

const JWS: &str = "header.payload.signature";
const INSTANT: &str = "2026-04-01T15:00:00Z";
const RECIPIENT: &str = "age1recipient";

fn id<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn typed<T: FromStr<Err: Debug>>(prefix: &str) -> T {
    id(&format!("{prefix}_01J9ZQ4N6M8V7X5T3R2P1K0HGF"))
}

fn instant() -> crate::wire::Time {
    crate::wire::Time(INSTANT.parse().unwrap())
}

fn sha256(of: &str) -> crate::domain::id::Sha256 {
    crate::domain::id::Sha256::of(of.as_bytes())
}

/// A payload of each kind that is about the exchange or a call, and its fields as they stand in the log.
fn exchange_and_calls() -> Vec<(Payload, Value)> {
    let card = PartnerRecorded { partner: id("ISR"), card_sha256: sha256("card"), card: "{}".into() };
    let card_json = json!({ "partner": "ISR", "card_sha256": sha256("card"), "card": "{}" });
    let draft = DraftText { text_sha256: sha256("text") };
    let draft_json = json!({ "text_sha256": sha256("text") });
    let extension = ExtensionMade {
        number: 2,
        until: instant(),
        partner: Some(id("ISR")),
        reviews: false,
        reason: "a storm".into(),
    };
    let extension_json =
        json!({ "number": 2, "until": INSTANT, "partner": "ISR", "reviews": false, "reason": "a storm" });
    let taken_back = ExtensionTakenBack { number: 2, reason: "a slip".into() };
    let taken_back_json = json!({ "number": 2, "reason": "a slip" });
    let stated = ReasonStated { reason: "no money".into() };
    let stated_json = json!({ "reason": "no money" });
    let roles = RolesChanged { member: id("ISR:avi"), roles: [id("reviewer"), id("officer")].into(), statement: None };
    let roles_json = json!({ "member": "ISR:avi", "roles": ["officer", "reviewer"], "statement": null });
    let publication = CallPublished {
        version: 1,
        text_sha256: sha256("text"),
        vault: typed("vault"),
        recipient: RECIPIENT.into(),
        publication: JWS.into(),
    };
    let vault = "vault_01J9ZQ4N6M8V7X5T3R2P1K0HGF";
    vec![
        (Payload::PartnerEnrolled(card.clone()), card_json.clone()),
        (Payload::PartnerChanged(card), card_json),
        (
            ListsWaived { partner: id("ISR"), files: vec!["isr.crl".into()] }.into(),
            json!({ "partner": "ISR", "files": ["isr.crl"] }),
        ),
        (
            ClockAccepted { until: instant(), behind_seconds: 90 }.into(),
            json!({ "until": INSTANT, "behind_seconds": 90 }),
        ),
        (
            KeyCardPublished { member: id("ISR:avi"), serial: 3, is_active: true, key_card_sha256: sha256("card") }
                .into(),
            json!({ "member": "ISR:avi", "serial": 3, "is_active": true, "key_card_sha256": sha256("card") }),
        ),
        (
            PolicyProposed { owner: id("ISR"), version: 4, text_sha256: sha256("text"), statement: JWS.into() }.into(),
            json!({ "owner": "ISR", "version": 4, "text_sha256": sha256("text"), "statement": JWS }),
        ),
        (
            PolicyApproved {
                owner: id("guardrails"),
                version: 4,
                text_sha256: sha256("text"),
                effective_at: Some(instant()),
                statement: JWS.into(),
                approval: JWS.into(),
            }
            .into(),
            json!({
                "owner": "guardrails", "version": 4, "text_sha256": sha256("text"), "effective_at": INSTANT,
                "statement": JWS, "approval": JWS,
            }),
        ),
        (PolicyWithdrawn { owner: id("ISR"), version: 4 }.into(), json!({ "owner": "ISR", "version": 4 })),
        (
            ProgramCreated { lead: id("USA"), partners: [id("USA"), id("ISR")].into() }.into(),
            json!({ "lead": "USA", "partners": ["ISR", "USA"] }),
        ),
        (Payload::CallDrafted(draft.clone()), draft_json.clone()),
        (Payload::CallEdited(draft.clone()), draft_json.clone()),
        (Payload::CallDeleted(draft), draft_json),
        (
            publication.into(),
            json!({
                "version": 1, "text_sha256": sha256("text"), "vault": vault, "recipient": RECIPIENT, "publication": JWS,
            }),
        ),
        (
            CallAmended {
                version: 2,
                text_sha256: sha256("text"),
                effect: id("resubmit"),
                voids: 7,
                reason: "a slip".into(),
                publication: JWS.into(),
            }
            .into(),
            json!({
                "version": 2, "text_sha256": sha256("text"), "effect": "resubmit", "voids": 7, "reason": "a slip",
                "publication": JWS,
            }),
        ),
        (Payload::CallExtended(extension.clone()), extension_json),
        (
            Payload::ProposalExtended(ExtensionMade { partner: None, ..extension }),
            json!({ "number": 2, "until": INSTANT, "partner": null, "reviews": false, "reason": "a storm" }),
        ),
        (Payload::ExtensionWithdrawn(taken_back.clone()), taken_back_json.clone()),
        (Payload::ProposalExtensionWithdrawn(taken_back), taken_back_json),
        (Payload::CallCancelled(stated.clone()), stated_json.clone()),
        (Payload::CallReopened(stated), stated_json),
        (CallClosed {}.into(), json!({})),
        (Payload::RoleGranted(roles.clone()), roles_json),
        (
            Payload::RoleRevoked(RolesChanged { roles: [].into(), statement: Some(JWS.into()), ..roles }),
            json!({ "member": "ISR:avi", "roles": [], "statement": JWS }),
        ),
    ]
}

/// The same of each kind that is about a proposal, its vaults among them.
fn proposals() -> Vec<(Payload, Value)> {
    let named = PartyMemberNamed { member: id("ISR:avi") };
    let named_json = json!({ "member": "ISR:avi" });
    let wish = WithdrawalWish { partner: id("ISR") };
    let wish_json = json!({ "partner": "ISR" });
    let document =
        DocumentNamed { document: typed("doc"), slot: id("work-plan"), party: None, sha256: sha256("sealed") };
    let (doc, vault, key) =
        ("doc_01J9ZQ4N6M8V7X5T3R2P1K0HGF", "vault_01J9ZQ4N6M8V7X5T3R2P1K0HGF", "key_01J9ZQ4N6M8V7X5T3R2P1K0HGF");
    let document_json = json!({ "document": doc, "slot": "work-plan", "party": null, "sha256": sha256("sealed") });
    let label = crate::domain::label::Label { releasable_to: [id("ISR"), id("USA")].into(), caveats: [].into() };
    let wrapped = KeyWrapped {
        vault: typed("vault"),
        key: typed("key"),
        holder: "ISR:avi".into(),
        recipient: RECIPIENT.into(),
        statement: JWS.into(),
        replaces: None,
    };
    let discarded = DiscardedKey { key: typed("key"), recipient: RECIPIENT.into(), wrapped_by: id("USA:bob") };
    vec![
        (
            ProposalCreated {
                topic: None,
                parties: [(id("ISR"), [id("ISR:avi")].into())].into(),
                arrived_at: instant(),
            }
            .into(),
            json!({ "topic": null, "parties": { "ISR": ["ISR:avi"] }, "arrived_at": INSTANT }),
        ),
        (
            MemberInvited { member: id("ISR:avi"), statement: JWS.into() }.into(),
            json!({ "member": "ISR:avi", "statement": JWS }),
        ),
        (Payload::InvitationWithdrawn(named.clone()), named_json.clone()),
        (Payload::InvitationDeclined(named.clone()), named_json.clone()),
        (Payload::MemberRemoved(named), named_json),
        (
            Payload::ConsentGiven(JoinConsent { member: id("ISR:avi"), organisation: Some("Technion".into()) }),
            json!({ "member": "ISR:avi", "organisation": "Technion" }),
        ),
        (
            Payload::ConsentWithdrawn(JoinConsent { member: id("ISR:avi"), organisation: None }),
            json!({ "member": "ISR:avi", "organisation": null }),
        ),
        (
            MemberJoined { member: id("ISR:avi"), statement: JWS.into(), arrived_at: instant() }.into(),
            json!({ "member": "ISR:avi", "statement": JWS, "arrived_at": INSTANT }),
        ),
        (
            DocumentStored {
                document: typed("doc"),
                slot: id("budget"),
                party: Some(id("ISR")),
                sha256: sha256("sealed"),
                size: 5_000_000_000,
                arrived_at: instant(),
            }
            .into(),
            json!({
                "document": doc, "slot": "budget", "party": "ISR", "sha256": sha256("sealed"),
                "size": 5_000_000_000_u64, "arrived_at": INSTANT,
            }),
        ),
        (
            DocumentRemoved { slot: id("budget"), party: Some(id("ISR")), arrived_at: instant() }.into(),
            json!({ "slot": "budget", "party": "ISR", "arrived_at": INSTANT }),
        ),
        (Payload::DocumentDropped(document.clone()), document_json.clone()),
        (Payload::DocumentFetched(document), document_json),
        (
            ManifestSigned {
                version: 1,
                manifest_sha256: sha256("manifest"),
                partner: id("ISR"),
                manifest: JWS.into(),
                arrived_at: instant(),
            }
            .into(),
            json!({
                "version": 1, "manifest_sha256": sha256("manifest"), "partner": "ISR", "manifest": JWS,
                "arrived_at": INSTANT,
            }),
        ),
        (
            ProposalSubmitted { version: 1, manifest_sha256: sha256("manifest") }.into(),
            json!({ "version": 1, "manifest_sha256": sha256("manifest") }),
        ),
        (
            LabelSigned {
                number: 1,
                label_sha256: sha256("label"),
                manifest_sha256: sha256("manifest"),
                partner: id("ISR"),
                statement: JWS.into(),
            }
            .into(),
            json!({
                "number": 1, "label_sha256": sha256("label"), "manifest_sha256": sha256("manifest"), "partner": "ISR",
                "statement": JWS,
            }),
        ),
        (
            LabelInForce { number: None, manifest_sha256: sha256("manifest"), label: Some(label) }.into(),
            json!({
                "number": null, "manifest_sha256": sha256("manifest"), "label": { "releasable_to": ["ISR", "USA"] },
            }),
        ),
        (
            LabelInForce { number: Some(2), manifest_sha256: sha256("manifest"), label: None }.into(),
            json!({ "number": 2, "manifest_sha256": sha256("manifest"), "label": null }),
        ),
        (Payload::WithdrawalWished(wish.clone()), wish_json.clone()),
        (Payload::WithdrawalUnwished(wish), wish_json),
        (ProposalWithdrawn {}.into(), json!({})),
        (ProposalReinstated { arrived_at: instant() }.into(), json!({ "arrived_at": INSTANT })),
        (
            VaultCreated { vault: typed("vault"), kind: id("panel"), party: None, recipient: RECIPIENT.into() }.into(),
            json!({ "vault": vault, "kind": "panel", "party": null, "recipient": RECIPIENT }),
        ),
        (
            wrapped.clone().into(),
            json!({ "vault": vault, "key": key, "holder": "ISR:avi", "recipient": RECIPIENT, "statement": JWS }),
        ),
        (
            KeyWrapped { replaces: Some(typed("key")), ..wrapped }.into(),
            json!({
                "vault": vault, "key": key, "holder": "ISR:avi", "recipient": RECIPIENT, "statement": JWS,
                "replaces": key,
            }),
        ),
        (
            KeyRemoved { vault: typed("vault"), holder: "ISR:avi".into(), discarded: None }.into(),
            json!({ "vault": vault, "holder": "ISR:avi" }),
        ),
        (
            KeyRemoved { vault: typed("vault"), holder: "ISR:avi".into(), discarded: Some(discarded) }.into(),
            json!({
                "vault": vault, "key": key, "holder": "ISR:avi", "recipient": RECIPIENT, "wrapped_by": "USA:bob",
            }),
        ),
        (
            KeyFetched { vault: typed("vault"), keys: vec![typed("key")] }.into(),
            json!({ "vault": vault, "keys": [key] }),
        ),
    ]
}

/// The same of each kind that is about judging a proposal.
fn judgements() -> Vec<(Payload, Value)> {
    let (review, decision, letter) =
        ("rev_01J9ZQ4N6M8V7X5T3R2P1K0HGF", "dec_01J9ZQ4N6M8V7X5T3R2P1K0HGF", "doc_01J9ZQ4N6M8V7X5T3R2P1K0HGF");
    let signed = DecisionSigned {
        decision: typed("dec"),
        outcome: id("fund"),
        partner: id("USA"),
        manifest_sha256: sha256("manifest"),
        statement: JWS.into(),
        in_place_of: None,
    };
    let final_one = DecisionFinal {
        decision: typed("dec"),
        outcome: id("decline"),
        manifest_sha256: sha256("manifest"),
        superseded: None,
    };
    let superseded = SupersededDecision { supersedes: sha256("before"), reason: None };
    let named = LetterNamed { letter: typed("doc") };
    let line = RankingNamed { sha256: sha256("sealed") };
    vec![
        (
            Payload::ConflictDeclared(InterestDeclared {
                member: id("USA:kim"),
                ground: Some(id("employment")),
                statement: JWS.into(),
            }),
            json!({ "member": "USA:kim", "ground": "employment", "statement": JWS }),
        ),
        (
            Payload::ClearDeclared(InterestDeclared { member: id("USA:kim"), ground: None, statement: JWS.into() }),
            json!({ "member": "USA:kim", "ground": null, "statement": JWS }),
        ),
        (
            ConflictLifted { member: id("USA:kim"), reason: "a slip".into(), statement: JWS.into() }.into(),
            json!({ "member": "USA:kim", "reason": "a slip", "statement": JWS }),
        ),
        (
            ReviewerAssigned { reviewer: id("USA:kim"), statement: JWS.into() }.into(),
            json!({ "reviewer": "USA:kim", "statement": JWS }),
        ),
        (ReviewerUnassigned { reviewer: id("USA:kim") }.into(), json!({ "reviewer": "USA:kim" })),
        (
            AssignmentDeclined { reviewer: id("USA:kim"), reason: Some(id("time")) }.into(),
            json!({ "reviewer": "USA:kim", "reason": "time" }),
        ),
        (AssignmentResumed { reviewer: id("USA:kim") }.into(), json!({ "reviewer": "USA:kim" })),
        (
            ReviewSubmitted {
                review: typed("rev"),
                reviewer: id("USA:kim"),
                revision: 1,
                manifest_sha256: sha256("manifest"),
                sha256: sha256("sealed"),
                statement: JWS.into(),
            }
            .into(),
            json!({
                "review": review, "reviewer": "USA:kim", "revision": 1, "manifest_sha256": sha256("manifest"),
                "sha256": sha256("sealed"), "statement": JWS,
            }),
        ),
        (
            ReviewReopened { review: typed("rev"), reviewer: id("USA:kim"), revision: 1, reason: "a slip".into() }
                .into(),
            json!({ "review": review, "reviewer": "USA:kim", "revision": 1, "reason": "a slip" }),
        ),
        (
            ReviewReinstated { review: typed("rev"), reviewer: id("USA:kim"), revision: 1, reason: "no slip".into() }
                .into(),
            json!({ "review": review, "reviewer": "USA:kim", "revision": 1, "reason": "no slip" }),
        ),
        (
            ReviewFetched { review: typed("rev"), reviewer: id("USA:kim"), revision: 1 }.into(),
            json!({ "review": review, "reviewer": "USA:kim", "revision": 1 }),
        ),
        (
            signed.clone().into(),
            json!({
                "decision": decision, "outcome": "fund", "partner": "USA", "manifest_sha256": sha256("manifest"),
                "statement": JWS,
            }),
        ),
        (
            DecisionSigned { in_place_of: Some(id("USA:frank")), ..signed }.into(),
            json!({
                "decision": decision, "outcome": "fund", "partner": "USA", "manifest_sha256": sha256("manifest"),
                "statement": JWS, "in_place_of": "USA:frank",
            }),
        ),
        (
            DecisionUnsigned { decision: typed("dec"), partner: id("USA") }.into(),
            json!({ "decision": decision, "partner": "USA" }),
        ),
        (DecisionWithdrawn { decision: typed("dec") }.into(), json!({ "decision": decision })),
        (
            final_one.clone().into(),
            json!({ "decision": decision, "outcome": "decline", "manifest_sha256": sha256("manifest") }),
        ),
        (
            DecisionFinal { superseded: Some(superseded), ..final_one }.into(),
            json!({
                "decision": decision, "outcome": "decline", "manifest_sha256": sha256("manifest"),
                "supersedes": sha256("before"), "reason": null,
            }),
        ),
        (
            RankingSent {
                manifest_sha256: sha256("manifest"),
                sha256: sha256("sealed"),
                statement: JWS.into(),
                in_place_of: Some(sha256("before")),
            }
            .into(),
            json!({
                "manifest_sha256": sha256("manifest"), "sha256": sha256("sealed"), "statement": JWS,
                "in_place_of": sha256("before"),
            }),
        ),
        (Payload::RankingWithdrawn(line.clone()), json!({ "sha256": sha256("sealed") })),
        (Payload::RankingFetched(line), json!({ "sha256": sha256("sealed") })),
        (
            LetterSent { letter: typed("doc"), sha256: sha256("sealed"), party: None, statement: JWS.into() }.into(),
            json!({ "letter": letter, "sha256": sha256("sealed"), "statement": JWS }),
        ),
        (
            LetterSent {
                letter: typed("doc"),
                sha256: sha256("sealed"),
                party: Some("ISR".parse().unwrap()),
                statement: JWS.into(),
            }
            .into(),
            json!({ "letter": letter, "party": "ISR", "sha256": sha256("sealed"), "statement": JWS }),
        ),
        (Payload::LetterWithdrawn(named.clone()), json!({ "letter": letter })),
        (Payload::LetterFetched(named), json!({ "letter": letter })),
    ]
}

/// The same of kinds that are about a partner that stops.
fn partners_that_stop() -> Vec<(Payload, Value)> {
    vec![
        (
            PartnerSuspended { partner: id("ISR"), reason: id("keys_in_doubt") }.into(),
            json!({ "partner": "ISR", "reason": "keys_in_doubt" }),
        ),
        (
            PartnerResumed { partner: id("ISR"), suspended_at: instant() }.into(),
            json!({ "partner": "ISR", "suspended_at": INSTANT }),
        ),
        (
            PartnerRemoved { partner: id("ISR"), card_sha256: sha256("card") }.into(),
            json!({ "partner": "ISR", "card_sha256": sha256("card") }),
        ),
    ]
}

/// A payload of each kind, and its fields.
pub(crate) fn samples() -> Vec<(Payload, Value)> {
    [exchange_and_calls(), partners_that_stop(), proposals(), judgements()].concat()
}

#[test]
fn payload_of_each_kind_has_these_fields_and_reads_back() {
    for (payload, fields) in samples() {
        let (kind, text) = (payload.kind(), payload.canonical());
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), fields, "{kind}");
        assert_eq!(text, serde_json_canonicalizer::to_string(&fields).unwrap(), "{kind}");
        assert_eq!(Payload::parse(kind, &text).unwrap(), payload, "{kind}");
    }
}

#[test]
fn each_kind_has_a_sample() {
    let kinds: BTreeSet<EntryKind> = samples().iter().map(|(payload, _)| payload.kind()).collect();
    assert_eq!(kinds, EntryKind::ALL.iter().copied().collect());
}

#[test]
fn payload_without_a_field_is_refused_and_an_unknown_field_is_not() {
    let kind = EntryKind::DecisionWithdrawn;
    assert!(Payload::parse(kind, "{}").is_err());
    let later = r#"{"decision":"dec_01J9ZQ4N6M8V7X5T3R2P1K0HGF","later":1}"#;
    assert_eq!(Payload::parse(kind, later).unwrap(), DecisionWithdrawn { decision: typed("dec") }.into());
}
