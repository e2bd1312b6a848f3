//! What each operation can be answered with: the problems of each status by name, and the headers.
//!
//! Problems that the edge answers are the same everywhere. Those of a broken rule are listed by the tag of the operation: some operations
//! of a tag meet fewer of them, none meets another.

use super::operations;
use crate::wire::{
    PROBLEM_JSON,
    problem::{Kind, Problem},
};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Statuses whose problems depend on the tag.
const BY_TAG: &[u16] = &[403, 409, 422];

/// Every tag, and what its operations are about.
pub(super) const TAGS: &[(&str, &str)] = &[
    (
        "directory",
        "Partners, their members, and the key cards by which everybody's keys are known. Believe no key before you \
      have verified the card, up to the fingerprint that officials confirmed. And what waits for a member.",
    ),
    (
        "policies",
        "Each nation's own rules about release and access, in Cedar: versions that two policy officers sign, what a version \
      would change, and why somebody sees a proposal or does not.",
    ),
    ("programs", "Agreements or forums under which calls run."),
    (
        "calls",
        "Calls for proposals: the signed text, its schedule and slots, extensions, roles, and assignments of reviewers.",
    ),
    (
        "proposals",
        "Joint proposals: their parties, signed manifests and releasability labels. A proposal stands when every party has \
      signed the same manifest in time and every byte that it names has arrived.",
    ),
    (
        "vaults",
        "Key pairs that content is sealed to. A vault's identity exists only wrapped, one age file for each holder.",
    ),
    ("documents", "Sealed documents in the slots of a proposal. They are sent and fetched as raw age files."),
    (
        "reviews",
        "Declarations of interest, assignments, sealed reviews and rankings. Who has not declared reads nothing.",
    ),
    ("decisions", "Decisions that every funding partner signs, and sealed letters to the parties."),
    ("log", "Every accepted act, as far as the reader may know of it. From a bookmark on it is a feed of changes."),
];

/// Whether operations of this tag meet this problem.
fn is_met(kind: Kind, tag: &str) -> bool {
    let tags: &[&str] = match kind {
        Kind::StaleKeyCard | Kind::CertificateUnfit | Kind::OfficeDropped => &["directory"],
        Kind::SignedGuardrails => &["directory", "policies"],
        Kind::PolicyInvalid
        | Kind::PolicyWaiting
        | Kind::PolicyOutdated
        | Kind::PolicySettled
        | Kind::SecondOfficer
        | Kind::NoticeTooShort => &["policies"],
        Kind::CallTextInvalid
        | Kind::CallUnfinished
        | Kind::ReopenedLately
        | Kind::ExtensionBackwards
        | Kind::ExtensionTooFar
        | Kind::ExtensionReliedOn
        | Kind::ExtensionWithdrawn
        | Kind::ScheduleFixed
        | Kind::FundersFixed
        | Kind::EligibleFixed
        | Kind::NoTimeToSign
        | Kind::VoidsDiffer
        | Kind::LinesRefused => &["calls"],
        Kind::AlreadyAssigned | Kind::NotAssigned => &["calls", "reviews"],
        Kind::SubjectDiffers | Kind::NotEligible => &["calls", "proposals"],
        Kind::PartyRule
        | Kind::NotOfParty
        | Kind::StillCounted
        | Kind::LastOfParty
        | Kind::NotInvited
        | Kind::NeedsConsent
        | Kind::UnknownTopic
        | Kind::ManifestMismatch
        | Kind::LabelRefused
        | Kind::LabelTaken
        | Kind::SlotEmpty
        | Kind::VersionTaken
        | Kind::AlreadyWished => &["proposals"],
        Kind::AlreadySigned => &["proposals", "decisions"],
        Kind::UnknownSlot | Kind::SlotMediaType | Kind::NotCommitted | Kind::DigestMismatch => {
            &["documents", "proposals"]
        }
        Kind::OtherOffset => &["documents"],
        Kind::DeadlinePassed | Kind::GracePassed => &["calls", "proposals", "documents", "vaults"],
        Kind::WrapRefused | Kind::AlreadyWrapped | Kind::WrappedOften | Kind::StillAdmitted => {
            &["calls", "proposals", "vaults"]
        }
        Kind::LastKey => &["directory", "calls", "vaults"],
        Kind::AlreadyDeclared
        | Kind::NoConflict
        | Kind::AssignmentReplaced
        | Kind::AlreadyReviewed
        | Kind::NoReview => &["reviews"],
        Kind::DecisionDiffers | Kind::NoDecision | Kind::DecisionOpen | Kind::NotFunder => &["decisions", "proposals"],
        Kind::RolesCombined | Kind::Unsuitable => &["calls", "proposals", "reviews", "decisions"],
        Kind::NotSealed
        | Kind::StillSealed
        | Kind::NotDeclared
        | Kind::WrongPhase
        | Kind::WrongStatus
        | Kind::OtherVersion
        | Kind::DecisionFinal => &["calls", "proposals", "vaults", "documents", "reviews", "decisions"],
        _ => return true,
    };
    tags.contains(&tag)
}

/// Adds all of this to a description.
pub(super) fn complete_answers(description: &mut Value) {
    description["tags"] = TAGS.iter().map(|(name, text)| json!({ "name": name, "description": text })).collect();
    let components = &mut description["components"];
    components["headers"] = headers();
    components["examples"] =
        Kind::ALL.iter().map(|kind| (kind.slug().to_owned(), example(*kind))).collect::<Map<_, _>>().into();
    let statuses: BTreeSet<u16> = Kind::ALL.iter().map(|kind| kind.status()).collect();
    let mut responses = Map::new();
    let mut told = BTreeSet::new();
    for operation in operations(description) {
        let tag = operation["tags"][0].as_str().unwrap_or_default().to_owned();
        // What changes something, or says what a change would do, can break a rule. A read has an address alone.
        let can_break_rules = operation["responses"].get("409").is_some();
        for (status, response) in operation["responses"].as_object_mut().into_iter().flatten() {
            match status.parse::<u16>() {
                Ok(304) => {
                    response["headers"] = json!({ "ETag": null });
                    complete_success(response);
                }
                Ok(200..300) => complete_success(response),
                Ok(status) if statuses.contains(&status) => {
                    let is_of_address = status == 422 && !can_break_rules;
                    let by_tag = BY_TAG.contains(&status) && !is_of_address;
                    let by_tag = if by_tag { format!("_{tag}") } else { String::new() };
                    let name = format!("Problem{status}{by_tag}");
                    *response = json!({ "$ref": format!("#/components/responses/{name}") });
                    told.insert(status);
                    let kinds = Kind::ALL.iter().copied().filter(|kind| kind.status() == status && is_met(*kind, &tag));
                    let kinds = kinds.filter(|kind| !is_of_address || *kind == Kind::NulCharacter);
                    responses.entry(name).or_insert_with(|| problems(status, kinds));
                }
                _ => {}
            }
        }
    }
    let others = Kind::ALL.iter().copied().filter(|kind| !told.contains(&kind.status()));
    responses.insert("Problem".into(), problems(0, others));
    description["components"]["responses"] = responses.into();
}

/// The answer of these kinds, which have one status, or 0 for any other.
fn problems(status: u16, kinds: impl Iterator<Item = Kind>) -> Value {
    let kinds: Vec<Kind> = kinds.collect();
    let lines: Vec<_> = kinds.iter().map(|kind| format!("- `{}`: {}", kind.slug(), kind.title())).collect();
    let examples: Map<String, Value> = kinds
        .iter()
        .map(|kind| (kind.slug().to_owned(), json!({ "$ref": format!("#/components/examples/{}", kind.slug()) })))
        .collect();
    let mut headers = vec!["X-Request-Id"];
    match status {
        412 => headers.push("ETag"),
        416 => headers.push("Content-Range"),
        429 | 503 => headers.extend(["Retry-After", "RateLimit-Policy", "RateLimit"]),
        _ => {}
    }
    let headers: Map<String, Value> =
        headers.into_iter().map(|name| (name.to_owned(), header_reference(name))).collect();
    json!({
        "description": lines.join("\n"),
        "headers": headers,
        "content": { PROBLEM_JSON: {
            "schema": { "$ref": "#/components/schemas/Problem" },
            "examples": examples,
        } },
    })
}

fn example(kind: Kind) -> Value {
    let problem = Problem::new(kind, kind.title());
    json!({ "summary": kind.title(), "value": problem })
}

fn complete_success(response: &mut Value) {
    let Some(response) = response.as_object_mut() else { return };
    let headers = response.entry("headers").or_insert_with(|| json!({}));
    headers["X-Request-Id"] = Value::Null;
    for (name, header) in headers.as_object_mut().into_iter().flatten() {
        *header = header_reference(name);
    }
}

fn header_reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/headers/{name}") })
}

/// Every header of answers.
fn headers() -> Value {
    let text =
        |said: &str, example: &str| json!({ "description": said, "schema": { "type": "string" }, "example": example });
    let count = |said: &str, example: u64| json!({ "description": said, "schema": { "type": "integer", "minimum": 0 }, "example": example });
    json!({
        "Accept-Ranges": text("A part can be asked for with `Range`.", "bytes"),
        "Content-Range": text("Which part it is, and of how many bytes.", "bytes 1048576-2097151/7340032"),
        "ETag": text(
            "Names the present state; send it as `If-Match` with a change. Of a document it is the SHA-256.",
            "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"",
        ),
        "Idempotent-Replay": text("`true` when it is the answer that the same request got before.", "true"),
        "Location": text("Address of what was made.", "/v1/proposals/prop_01J9ZQ4N6M8V7X5T3RGY5RS8GG"),
        "RateLimit": text(
            "What is left of the share, and in how many seconds there is more. With some 429 and 503 only.",
            "\"acts\";r=0;t=5",
        ),
        "RateLimit-Policy": text(
            "Whose share is used up and how large it is (draft-ietf-httpapi-ratelimit-headers-10). With some 429 and 503 only.",
            "\"acts\";q=3000;w=300",
        ),
        "Repr-Digest": text(
            "SHA-256 of the whole file (RFC 9530).",
            "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:",
        ),
        "Retry-After": {
            "description": "Seconds after which to try again.", "schema": { "type": "integer", "minimum": 0 }, "example": 5,
        },
        "Upload-Expires": text("When the upload goes.", "Sun, 06 Dec 2026 08:49:37 GMT"),
        "Upload-Length": count("Bytes of the whole.", 7_340_032),
        "Upload-Offset": count("The byte at which the upload goes on.", 1_048_576),
        "X-Request-Id": text("Names the request in the server's log; tell it to the host's operator with a 500.", "01J9ZQ4N6M8V7X5T3R2P1K0HGF"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::openapi_json;

    #[test]
    fn every_problem_is_told_by_some_operation_and_every_tag_has_a_text() {
        let description: Value = serde_json::from_str(&openapi_json()).unwrap();
        let mut told = BTreeSet::new();
        for response in description["components"]["responses"].as_object().unwrap().values() {
            told.extend(response["content"][PROBLEM_JSON]["examples"].as_object().unwrap().keys().cloned());
        }
        let all: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.slug().to_owned()).collect();
        assert_eq!(told, all);
        let tags: BTreeSet<_> = TAGS.iter().map(|(name, _)| *name).collect();
        let mut used = BTreeSet::new();
        for item in description["paths"].as_object().unwrap().values() {
            used.extend(item.as_object().unwrap().values().filter_map(|operation| operation["tags"][0].as_str()));
        }
        assert_eq!(used, tags);
    }
}
