//! A body of each request, as the server reads it: a test has each one read by its type and written the same again. What is signed
//! in them is a sample of `docs/statements.md`.

use super::operations;
use crate::http::statements::{
    sample_jws,
    samples::{CALL, PROPOSAL, call_text},
};
use serde_json::{Value, json};

const REASON: &str = "The portal of one nation was out of reach on the last day.";
/// The beginning of an age file, in base64; a whole one is longer.
const CIPHERTEXT: &str = "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSA=";

/// The beginning of a certificate in PEM; a whole one is longer.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMIIBxTCCAWugAwIBAgIQ\n-----END CERTIFICATE-----\n";

/// The name of each body's schema, and a sample.
pub(super) fn samples() -> Vec<(&'static str, Value)> {
    let jws = |noun: &str| sample_jws(&format!("entente-{noun}+jws"));
    let key = json!({ "statement": jws("wrap"), "ciphertext": CIPHERTEXT });
    let vault = json!({ "statement": jws("vault"), "keys": [key] });
    vec![
        ("AcceptInvitation", json!({ "statement": jws("acceptance") })),
        ("AddKeys", json!({ "keys": [key] })),
        (
            "AddMember",
            json!({ "invitation": jws("invitation"), "keys": { "vault_01J9ZQ4N6M8V7X5T3R2P1K0HGF": [key] } }),
        ),
        ("ApprovePolicy", json!({ "approval": jws("policy-approval") })),
        (
            "Assign",
            json!({
                "assignments": [{ "proposal": PROPOSAL, "reviewer": "USA:carol", "statement": jws("assignment") }],
                "dry_run": false,
            }),
        ),
        ("CreateProgram", json!({ "name": "Joint industrial research", "lead": "USA", "partners": ["ISR", "USA"] })),
        (
            "CreateProposal",
            json!({
                "id": PROPOSAL, "call": CALL, "topic": "navigation",
                "parties": { "ISR": ["ISR:avi.levi"], "USA": ["USA:bob"] },
                "invitations": { "USA:bob": jws("invitation") }, "vaults": [vault, vault, vault],
            }),
        ),
        ("DeclareConflict", json!({ "conflict": true, "ground": "employment", "statement": jws("declaration") })),
        ("DeclineAssignment", json!({ "reason": "time" })),
        ("DraftCall", json!({ "program": "prog_01J9ZQ4N6M8V7X5T3R2P1K0HGF", "text": call_text() })),
        ("EditCall", json!({ "text": call_text() })),
        ("ExtendCall", json!({ "until": "2026-07-07T15:00:00Z", "reason": REASON, "partner": "ISR" })),
        ("GrantRoles", json!({ "roles": ["reviewer"], "statement": jws("role") })),
        ("LiftConflict", json!({ "reason": REASON, "statement": jws("declaration") })),
        ("NewVault", vault),
        (
            "ProposePolicy",
            json!({ "text": "permit (principal, action == Action::\"View\", resource);", "statement": jws("policy") }),
        ),
        (
            "PublishCall",
            json!({
                "publication": jws("call"), "vault": jws("vault"), "roll": jws("roll"), "keys": [key], "dry_run": false,
            }),
        ),
        (
            "PublishKeyCard",
            json!({ "key_card": jws("key-card"), "certificates": [CERTIFICATE], "without": ["custodian"] }),
        ),
        ("Reason", json!({ "reason": REASON })),
        ("SendLetter", json!({ "statement": jws("letter"), "ciphertext": CIPHERTEXT })),
        ("SendRanking", json!({ "statement": jws("ranking"), "ciphertext": CIPHERTEXT })),
        ("SignDecision", json!({ "decision": jws("decision") })),
        ("SignLabel", json!({ "statement": jws("label") })),
        ("SignManifest", json!({ "manifest": jws("manifest") })),
        ("SubmitReview", json!({ "statement": jws("review"), "ciphertext": CIPHERTEXT })),
    ]
}

/// Adds the samples to the bodies of a description.
pub(super) fn illustrate(description: &mut Value) {
    let samples = samples();
    for operation in operations(description) {
        let Some(content) = operation.pointer_mut("/requestBody/content/application~1json") else { continue };
        let place = content["schema"]["$ref"].as_str().unwrap_or_default();
        let name = place.rsplit('/').next().unwrap_or_default();
        let sample = samples.iter().find(|(schema, _)| *schema == name);
        let (_, sample) = sample.unwrap_or_else(|| panic!("the body `{name}` has no sample"));
        content["example"] = sample.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{call, decision, directory, policy, proposal, review};
    use serde::{Serialize, de::DeserializeOwned};

    fn again<T: Serialize + DeserializeOwned>(sample: &Value) -> Value {
        let read: T = serde_json::from_value(sample.clone()).unwrap();
        serde_json::to_value(read).unwrap()
    }

    #[test]
    fn every_sample_is_read_by_the_type_of_its_body_and_written_the_same_again() {
        for (name, sample) in samples() {
            let written = match name {
                "AcceptInvitation" => again::<proposal::AcceptInvitation>(&sample),
                "AddKeys" => again::<proposal::AddKeys>(&sample),
                "AddMember" => again::<proposal::AddMember>(&sample),
                "ApprovePolicy" => again::<policy::ApprovePolicy>(&sample),
                "Assign" => again::<review::Assign>(&sample),
                "CreateProgram" => again::<directory::CreateProgram>(&sample),
                "CreateProposal" => again::<proposal::CreateProposal>(&sample),
                "DeclareConflict" => again::<review::DeclareConflict>(&sample),
                "DeclineAssignment" => again::<review::DeclineAssignment>(&sample),
                "DraftCall" => again::<call::DraftCall>(&sample),
                "EditCall" => again::<call::EditCall>(&sample),
                "ExtendCall" => again::<call::ExtendCall>(&sample),
                "GrantRoles" => again::<call::GrantRoles>(&sample),
                "LiftConflict" => again::<review::LiftConflict>(&sample),
                "NewVault" => again::<proposal::NewVault>(&sample),
                "ProposePolicy" => again::<policy::ProposePolicy>(&sample),
                "PublishCall" => again::<call::PublishCall>(&sample),
                "PublishKeyCard" => again::<directory::PublishKeyCard>(&sample),
                "Reason" => again::<call::Reason>(&sample),
                "SendLetter" => again::<decision::SendLetter>(&sample),
                "SendRanking" => again::<review::SendRanking>(&sample),
                "SignDecision" => again::<decision::SignDecision>(&sample),
                "SignLabel" => again::<proposal::SignLabel>(&sample),
                "SignManifest" => again::<proposal::SignManifest>(&sample),
                "SubmitReview" => again::<review::SubmitReview>(&sample),
                other => panic!("no type reads the sample `{other}`"),
            };
            assert_eq!(written, sample, "{name}");
        }
    }
}
