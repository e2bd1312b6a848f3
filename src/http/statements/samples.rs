//! A payload of each type of statement. People and things are those of the documentation.

use crate::{domain::id::Sha256, sealing::canonical};
use serde_json::{Value, json};

pub(in crate::http) const CALL: &str = "call_01J9ZQ4N6M8V7X5T3R2P1K0HGF";
pub(in crate::http) const PROPOSAL: &str = "prop_01J9ZQ4N6M8V7X5T3RGY5RS8GG";
const VAULT: &str = "vault_01J9ZQ4N6M8V7X5T3R2P1K0HGF";
const STAFF_VAULT: &str = "vault_01J9ZQ4N6M8V7X5T3R2P1K0HGG";
const CALL_VAULT: &str = "vault_01J9ZQ4N6M8V7X5T3R2P1K0HGH";
const RECIPIENT: &str = "age1qdgmzhqzj27paxmal5pdkpltwpakmsz6v38cyx7p9mglja063cdquvucwl";
const OTHER_RECIPIENT: &str = "age1fzz0p7wq5lf0mmfyleeqg28870edu9hqpz5a06csq662vlx04ysqptx74d";
const STATED_AT: &str = "2026-03-01T09:30:00Z";

/// A digest of something that is not shown.
fn digest(of: &str) -> String {
    Sha256::of(of.as_bytes()).to_string()
}

/// The digest of a sample.
fn digest_of(sample: &Value) -> String {
    canonical::digest(sample).expect("a sample has string keys and small numbers").to_string()
}

pub(super) fn trust_list() -> Value {
    let partners = json!({ "ISR": digest("card of ISR"), "USA": digest("card of USA") });
    json!({ "partner": "ISR", "partners": partners, "stated_at": STATED_AT })
}

pub(super) fn member_invitation() -> Value {
    json!({
        "member": "ISR:avi.levi", "name": "Avi Levi", "organisation": "Galil Optics", "roles": [],
        "server": "https://exchange.example", "server_ca": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        "challenge": { "public_key": "AA==", "sealed_private_key": "YWdl" },
        "stated_at": STATED_AT, "expires_at": "2026-03-31T09:30:00Z",
    })
}

pub(super) fn join_request() -> Value {
    json!({
        "member": "ISR:avi.levi", "invitation_sha256": digest_of(&member_invitation()), "recipients": [RECIPIENT],
        "certificate_request": "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n",
        "stated_at": STATED_AT,
    })
}

pub(super) fn renewal() -> Value {
    let request = digest("request with the new key");
    json!({ "member": "ISR:avi.levi", "request_sha256": request, "serial": 1, "stated_at": "2027-12-01T08:00:00Z" })
}

pub(super) fn key_card() -> Value {
    json!({
        "member": "ISR:avi.levi", "name": "Avi Levi", "organisation": "Galil Optics", "roles": [],
        "recipients": [RECIPIENT], "certificates": [digest("key")], "serial": 1,
        "valid_from": "2026-01-01T00:00:00Z", "valid_until": "2027-01-01T00:00:00Z", "status": "active",
    })
}

pub(super) fn policy() -> Value {
    json!({ "owner": "ISR", "version": 1, "text_sha256": digest("text"), "active_at": "2026-04-01T00:00:00Z" })
}

pub(super) fn policy_approval() -> Value {
    let policy = digest_of(&policy());
    json!({ "owner": "ISR", "version": 1, "policy_sha256": policy, "preview_sha256": digest("preview") })
}

/// The text of a call.
pub(in crate::http) fn call_text() -> Value {
    let slot = |name: &str, title: &str, audience: &str| {
        json!({
            "name": name, "title": title, "required": true, "media_types": ["application/pdf"],
            "max_bytes": 52_428_800, "audience": audience,
        })
    };
    json!({
        "code": "BIRD26", "title": "Joint industrial research", "text": "One company from each nation proposes jointly.",
        "topics": ["energy", "navigation"],
        "criteria": [
            { "name": "excellence", "title": "Excellence", "max": 5.0, "step": 0.5, "weight": 2, "threshold": 3.0 },
            { "name": "impact", "title": "Impact", "max": 5.0, "step": 0.5, "weight": 1 },
        ],
        "total_threshold": 6.0,
        "slots": [slot("work-plan", "Work plan", "panel"), slot("shareholders", "Shareholders", "staff")],
        "eligible": ["ISR", "USA"], "parties": { "at_least": 2, "at_most": 2, "required": ["ISR", "USA"] },
        "funders": ["ISR", "USA"],
        "schedule": {
            "opens_at": "2026-04-01T08:00:00Z", "deadline_at": "2026-06-30T15:00:00Z", "grace_seconds": 86_400,
            "reviews_due_at": "2026-09-15T15:00:00Z",
        },
    })
}

pub(super) fn call() -> Value {
    let (text, text_sha256) = (call_text(), digest_of(&call_text()));
    json!({
        "call": CALL, "version": 1, "text": text, "text_sha256": text_sha256, "vault": CALL_VAULT,
        "recipient": RECIPIENT, "host": "USA",
    })
}

pub(super) fn roll() -> Value {
    json!({
        "call": CALL, "partners": ["ISR", "USA"],
        "roles": { "ISR:noa": ["officer"], "USA:carol": ["reviewer"], "USA:dana": ["officer"] },
    })
}

pub(super) fn role() -> Value {
    json!({ "call": CALL, "number": 2, "previous": digest_of(&roll()), "member": "ISR:yael", "roles": ["reviewer"] })
}

pub(super) fn vault() -> Value {
    json!({
        "vault": STAFF_VAULT, "kind": "staff", "call": CALL, "proposal": PROPOSAL, "party": "ISR", "recipient": RECIPIENT,
    })
}

pub(super) fn wrap() -> Value {
    json!({ "vault": STAFF_VAULT, "to": "ISR:avi.levi", "recipient": RECIPIENT, "sha256": digest("wrapped key") })
}

pub(super) fn invitation() -> Value {
    json!({ "proposal": PROPOSAL, "member": "USA:bob", "stated_at": STATED_AT })
}

pub(super) fn acceptance() -> Value {
    let invitation = digest_of(&invitation());
    json!({ "proposal": PROPOSAL, "member": "USA:bob", "invitation_sha256": invitation, "stated_at": STATED_AT })
}

pub(super) fn manifest() -> Value {
    json!({
        "call": CALL, "call_text_sha256": digest_of(&call_text()), "proposal": PROPOSAL,
        "reference": "BIRD26-48179", "version": 1, "parties": ["ISR", "USA"],
        "documents": [
            {
                "slot": "shareholders", "party": "ISR", "vault": STAFF_VAULT, "recipient": RECIPIENT,
                "sha256": digest("shareholders"), "size": 3_197, "media_type": "application/pdf",
            },
            {
                "slot": "summary", "vault": VAULT, "recipient": OTHER_RECIPIENT, "sha256": digest("summary"), "size": 1_421,
                "media_type": "application/vnd.entente.summary+json",
            },
            {
                "slot": "work-plan", "vault": VAULT, "recipient": OTHER_RECIPIENT, "sha256": digest("work plan"), "size": 7_465,
                "media_type": "application/pdf",
            },
        ],
        "label": { "releasable_to": ["GBR", "ISR", "USA"], "caveats": ["no-contractors"] },
    })
}

pub(super) fn label() -> Value {
    json!({
        "proposal": PROPOSAL, "manifest_sha256": digest_of(&manifest()), "number": 1,
        "label": { "releasable_to": ["ISR", "USA"] }, "stated_at": STATED_AT,
    })
}

pub(super) fn declaration() -> Value {
    json!({ "proposal": PROPOSAL, "member": "ISR:yael", "number": 1, "declared": "conflict", "ground": "employment" })
}

pub(super) fn assignment() -> Value {
    json!({ "call": CALL, "proposal": PROPOSAL, "reviewer": "USA:carol" })
}

pub(super) fn review() -> Value {
    json!({
        "proposal": PROPOSAL, "manifest_sha256": digest_of(&manifest()), "call_text_sha256": digest_of(&call_text()),
        "reviewer": "USA:carol", "revision": 1, "sha256": digest("review"),
    })
}

pub(super) fn ranking() -> Value {
    json!({
        "proposal": PROPOSAL, "reference": "BIRD26-48179", "manifest_sha256": digest_of(&manifest()),
        "call_text_sha256": digest_of(&call_text()), "sha256": digest("line of the ranking"), "stated_at": STATED_AT,
    })
}

pub(super) fn decision() -> Value {
    json!({ "proposal": PROPOSAL, "manifest_sha256": digest_of(&manifest()), "outcome": "fund", "partner": "USA" })
}

pub(super) fn letter() -> Value {
    json!({
        "proposal": PROPOSAL, "manifest_sha256": digest_of(&manifest()), "sha256": digest("letter"),
        "decision_sha256": digest("decision"), "reference": "BIRD26-48179",
    })
}

pub(super) fn preview() -> Value {
    json!({ "host": "USA", "by": "ISR:noa", "made_at": STATED_AT, "summary_sha256": digest("summary of a preview") })
}

pub(super) fn dossier() -> Value {
    json!({ "call": CALL, "member": "USA:dana", "roles": ["officer"], "sha256": digest("dossier"), "stated_at": STATED_AT })
}

pub(super) fn visibility() -> Value {
    json!({
        "host": "USA", "partner": "ISR", "by": "ISR:noa", "at": STATED_AT, "seq": 512, "lines": 14,
        "sha256": digest("lines"),
    })
}
