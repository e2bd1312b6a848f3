//! What is not taken in: bodies too large, bytes that are not what was announced, files that are not sealed.

use crate::{
    harness::{
        exchange::fresh_key,
        stage::{ANNEX_LIMIT, Stage, Step, code, fresh_code, id, text},
        world::Raw,
    },
    wrapped_keys::vault_id,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use entente::{
    domain::{
        ambient::{Clock, SystemClock, SystemRng},
        id::{ProgramId, ProposalId, Sha256, VaultId},
        vault::VaultKind,
    },
    sealing::{identity::new_identity, seal::seal_bytes},
    wire::{AGE_MEDIA_TYPE, call::CallText, directory::CreateProgram},
};
use futures_util::stream;
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use std::{
    io,
    sync::{Arc, LazyLock, Mutex},
};
use tracing::Dispatch;

const ANY: &str = "application/octet-stream";

/// A document of this size to come, sealed to somebody.
fn sealed(size: usize) -> Vec<u8> {
    seal_bytes(&[new_identity().recipient().to_owned()], &vec![7; size]).unwrap()
}

/// An upload as it should be, under a key of its own.
fn upload(raw: &Raw, proposal: ProposalId, slot: &str, key: &str, bytes: &[u8]) -> RequestBuilder {
    announced(raw, proposal, slot, key, bytes).header("Content-Type", AGE_MEDIA_TYPE).header("Entente-Media-Type", ANY)
}

fn announced(raw: &Raw, proposal: ProposalId, slot: &str, key: &str, bytes: &[u8]) -> RequestBuilder {
    let digest = BASE64_STANDARD.encode(Sha256::of(bytes).as_bytes());
    raw.request(Method::PUT, &format!("/v1/proposals/{proposal}/documents/{slot}"))
        .header("Idempotency-Key", key)
        .header("Repr-Digest", format!("sha-256=:{digest}:"))
        .body(bytes.to_vec())
}

#[tokio::test]
async fn body_of_json_past_the_limit_is_refused() {
    let stage = Stage::open().await;
    let body = json!({ "name": "x".repeat(2 << 20), "lead": "USA", "partners": ["USA"] });
    let raw = stage.raw(Some(stage.credential("USA:dana")));
    let request = raw.request(Method::POST, "/v1/programs").header("Idempotency-Key", "big").json(&body);
    stage.refuses_raw(413, "too-large", request).await;
    // What is a few words by its kind has less room, whatever the operator allows in general.
    let cancel = format!("/v1/calls/{}/cancel", stage.call);
    let raw = stage.raw(Some(stage.credential("ISR:avi")));
    for (length, status, slug) in [(65 << 10, 413, "too-large"), (63 << 10, 403, "denied")] {
        let body = json!({ "reason": "x".repeat(length) });
        let request = raw.request(Method::POST, &cancel).header("Idempotency-Key", fresh_key()).json(&body);
        stage.refuses_raw(status, slug, request).await;
    }
    stage.stop().await;
}

#[tokio::test]
async fn act_that_takes_no_body_reads_little_of_one() {
    let (stage, proposal) = Stage::at(Step::Begun).await;
    let raw = stage.raw(Some(stage.credential("ISR:avi")));
    let withdraw = |bytes: usize| {
        let request = raw.request(Method::POST, &format!("/v1/proposals/{proposal}/withdraw"));
        request.header("Idempotency-Key", fresh_key()).body(vec![b' '; bytes])
    };
    stage.refuses_raw(413, "too-large", withdraw(65 << 10)).await;
    stage.refuses_raw(400, "malformed", withdraw(1)).await;
    stage.stop().await;
}

/// A body that is announced as large and does not come.
fn awaited(raw: &Raw, method: Method, path: &str) -> RequestBuilder {
    let body = reqwest::Body::wrap_stream(stream::pending::<io::Result<Vec<u8>>>());
    let request = raw.request(method, path).header("Idempotency-Key", fresh_key());
    request.header("Content-Type", "application/json").body(body)
}

#[tokio::test]
async fn large_body_is_not_waited_for_when_its_sender_could_not_do_it_whatever_it_says() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let call = stage.call;
    let panel = vault_id(&stage, "USA:carol", proposal, VaultKind::Panel).await;
    let refuses = async |member: &str, status, slug, path: &str| {
        let raw = stage.raw(Some(stage.credential(member)));
        let is_put = path.contains("/members/") || path == format!("/v1/calls/{call}");
        let method = if is_put { Method::PUT } else { Method::POST };
        stage.refuses_raw(status, slug, awaited(&raw, method, path)).await;
    };
    let absent = VaultId::new_of(&id("ISR:tamar"), &SystemClock, &SystemRng);
    for vault in [panel, absent] {
        refuses("ISR:tamar", 404, "not-found", &format!("/v1/vaults/{vault}/keys")).await;
    }
    refuses("ISR:avi", 403, "denied", &format!("/v1/calls/{call}/assignments")).await;
    refuses("USA:carol", 403, "denied", &format!("/v1/calls/{call}/publish")).await;
    refuses("USA:carol", 403, "denied", &format!("/v1/calls/{call}/amend")).await;
    refuses("USA:carol", 403, "denied", &format!("/v1/proposals/{proposal}/manifests")).await;
    refuses("USA:carol", 403, "denied", &format!("/v1/proposals/{proposal}/vaults/deliberation")).await;
    refuses("USA:carol", 403, "denied", &format!("/v1/proposals/{proposal}/vaults/staff")).await;
    refuses("USA:carol", 403, "denied", &format!("/v1/proposals/{proposal}/letters")).await;
    refuses("ISR:avi", 403, "denied", &format!("/v1/proposals/{proposal}/reviews")).await;
    refuses("ISR:avi", 403, "denied", "/v1/policies/ISR/versions").await;
    refuses("ISR:avi", 403, "denied", "/v1/policies/ISR/versions/1/approve").await;
    refuses("USA:carol", 403, "denied", &format!("/v1/calls/{call}")).await;
    refuses("ISR:tamar", 404, "not-found", &format!("/v1/proposals/{proposal}/members/ISR:tamar")).await;
    // Who knows of a proposal asks nobody to join it for that.
    for member in ["USA:carol", "ISR:noa"] {
        refuses(member, 403, "denied", &format!("/v1/proposals/{proposal}/members/ISR:tamar")).await;
    }
    stage.stop().await;
}

/// An answer that a member got is no ticket for bodies that are about something else.
#[tokio::test]
async fn large_body_under_a_key_that_another_request_used_is_not_waited_for() {
    let (stage, proposal) = Stage::at(Step::Begun).await;
    let raw = stage.raw(Some(stage.credential("ISR:avi")));
    let key = fresh_key();
    let withdraw = raw.request(Method::POST, &format!("/v1/proposals/{proposal}/withdraw"));
    let done = withdraw.header("Idempotency-Key", &key).send().await.unwrap();
    assert_eq!(done.status(), 200);
    for path in ["/v1/policies/ISR/versions", "/v1/policies/ISR/versions/1/approve"] {
        let body = reqwest::Body::wrap_stream(stream::pending::<io::Result<Vec<u8>>>());
        let request = raw.request(Method::POST, path).header("Idempotency-Key", &key);
        let request = request.header("Content-Type", "application/json").body(body);
        stage.refuses_raw(403, "denied", request).await;
    }
    stage.stop().await;
}

#[tokio::test]
async fn large_body_of_something_new_is_read_only_if_its_address_says_what_it_is_about() {
    let stage = Stage::open().await;
    let (call, program) = (stage.call, stage.program);
    let refuses = async |member: &str, status, slug, path: &str| {
        let raw = stage.raw(Some(stage.credential(member)));
        stage.refuses_raw(status, slug, awaited(&raw, Method::POST, path)).await;
    };
    for path in ["/v1/proposals", "/v1/calls"] {
        refuses("ISR:avi", 400, "subject-required", path).await;
    }
    for query in [format!("call={program}"), format!("call={call}&x=1"), "program=".to_owned()] {
        refuses("ISR:avi", 400, "malformed", &format!("/v1/proposals?{query}")).await;
    }
    // Who may know of it and not do it; what is hidden; and what does not exist. The officers of a call begin no proposal to it.
    refuses("USA:olivia", 403, "denied", &format!("/v1/proposals?call={call}")).await;
    refuses("ISR:avi", 403, "denied", &format!("/v1/calls?program={program}")).await;
    let draft = stage.client("USA:dana").draft_call(program, &text(stage.clock.now(), stage.deadline)).await.unwrap();
    for hidden in [draft.id.to_string(), "call_01J9ZQ4N6M8V7X5T3R2P1K0HGF".to_owned()] {
        refuses("ISR:avi", 404, "not-found", &format!("/v1/proposals?call={hidden}")).await;
    }
    refuses("USA:dana", 404, "not-found", "/v1/calls?program=prog_01J9ZQ4N6M8V7X5T3R2P1K0HGF").await;
    stage.stop().await;
}

#[tokio::test]
async fn large_body_is_about_what_its_address_names() {
    let stage = Stage::open().await;
    let (dana, body) =
        (stage.client("USA:dana"), stage.client("USA:dana").call(stage.call).await.unwrap().text.clone());
    let partners = [code("USA"), code("ISR")].into();
    let other = CreateProgram { name: "Another".into(), lead: code("USA"), partners };
    let other = dana.api().create_program(&other).await.unwrap().id;
    let raw = stage.raw(Some(stage.credential("USA:dana")));
    let draft = |program: Option<ProgramId>, blanks: usize| {
        let query = program.map(|program| format!("?program={program}")).unwrap_or_default();
        let text = CallText { code: fresh_code(), ..body.clone() };
        let body = json!({ "program": stage.program, "text": text }).to_string();
        let request = raw.request(Method::POST, &format!("/v1/calls{query}")).header("Idempotency-Key", fresh_key());
        request.header("Content-Type", "application/json").body(body + &" ".repeat(blanks))
    };
    for blanks in [0, 128 << 10] {
        stage.refuses_raw(422, "subject-differs", draft(Some(other), blanks)).await;
        let drafted = draft(Some(stage.program), blanks).send().await.unwrap();
        assert_eq!(drafted.status(), 201, "{}", drafted.text().await.unwrap());
    }
    stage.refuses_raw(400, "subject-required", draft(None, 128 << 10)).await;
    assert_eq!(draft(None, 0).send().await.unwrap().status(), 201, "a small one says it in its body");
    stage.stop().await;
}

/// Signatures are verified before anything is known of their subject. What is wrong with them is said where it was needed.
#[tokio::test]
async fn faulty_statement_is_refused_after_what_its_sender_may_not_know_or_do() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let refuses = async |member: &str, status, slug, method: Method, noun: &str, body: serde_json::Value| {
        let raw = stage.raw(Some(stage.credential(member)));
        let request = raw.request(method, &format!("/v1/proposals/{proposal}/{noun}"));
        stage.refuses_raw(status, slug, request.header("Idempotency-Key", fresh_key()).json(&body)).await;
    };
    let sealed = json!({ "statement": "x", "ciphertext": "not base64" });
    for (method, noun, body) in [
        (Method::POST, "manifests", json!({ "manifest": "x" })),
        (Method::POST, "labels", json!({ "statement": "x" })),
        (Method::POST, "reviews", sealed.clone()),
        (Method::POST, "letters", sealed.clone()),
        (Method::PUT, "decision", json!({ "decision": "x" })),
        (Method::POST, "vaults/staff", json!({ "statement": "x", "keys": [] })),
    ] {
        refuses("ISR:tamar", 404, "not-found", method, noun, body).await;
    }
    refuses("ISR:avi", 403, "denied", Method::POST, "reviews", sealed.clone()).await;
    refuses("ISR:avi", 409, "deadline-passed", Method::POST, "manifests", json!({ "manifest": "x" })).await;
    refuses("USA:carol", 422, "statement-invalid", Method::POST, "reviews", sealed).await;
    stage.stop().await;
}

#[tokio::test]
async fn document_that_does_not_fit_its_slot_is_refused() {
    let (stage, proposal) = Stage::at(Step::Begun).await;
    let raw = stage.raw(Some(stage.credential("ISR:avi")));
    let (large, small) = (sealed(usize::try_from(ANNEX_LIMIT).unwrap()), sealed(1000));
    stage.refuses_raw(413, "too-large", upload(&raw, proposal, "annex", "a", &large)).await;
    stage.refuses_raw(422, "unknown-slot", upload(&raw, proposal, "no-such-slot", "b", &small)).await;
    let typed = |content_type: &str, media_type: &str| {
        let request = announced(&raw, proposal, "annex", "c", &small);
        request.header("Content-Type", content_type).header("Entente-Media-Type", media_type)
    };
    stage.refuses_raw(422, "slot-media-type", typed(AGE_MEDIA_TYPE, "application/pdf")).await;
    stage.refuses_raw(415, "wrong-media-type", typed("application/pdf", ANY)).await;
    let colleague = stage.raw(Some(stage.credential("ISR:tamar")));
    stage.refuses_raw(404, "not-found", upload(&colleague, proposal, "annex", "d", &small)).await;
    stage.stop().await;
}

#[tokio::test]
async fn bytes_that_are_not_a_complete_age_file_of_the_announced_digest_are_refused() {
    let (stage, proposal) = Stage::at(Step::Begun).await;
    let raw = stage.raw(Some(stage.credential("ISR:avi")));
    let whole = sealed(1000);
    let mut other = whole.clone();
    *other.last_mut().unwrap() ^= 1;
    let request = upload(&raw, proposal, "annex", "digest", &whole).body(other);
    stage.refuses_raw(422, "digest-mismatch", request).await;

    let header = whole.windows(4).position(|window| window == b"\n---").unwrap() + 1;
    let header = header + whole[header..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
    // In the first line, in the last, before the payload, in its nonce, before its last tag.
    for cut in [10, header - 5, header, header + 8, header + 16 + 15] {
        stage.refuses_raw(422, "not-sealed", upload(&raw, proposal, "annex", "cut", &whole[..cut])).await;
    }
    stage.refuses_raw(422, "not-sealed", upload(&raw, proposal, "annex", "plain", b"%PDF-1.7 not sealed at all")).await;
    let lines: Vec<String> = BASE64_STANDARD
        .encode(&whole)
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8(line.into()).unwrap())
        .collect();
    let armored =
        format!("-----BEGIN AGE ENCRYPTED FILE-----\n{}\n-----END AGE ENCRYPTED FILE-----\n", lines.join("\n"));
    stage.refuses_raw(422, "not-sealed", upload(&raw, proposal, "annex", "armor", armored.as_bytes())).await;

    let taken = upload(&raw, proposal, "annex", "whole", &whole).send().await.unwrap();
    assert_eq!(taken.status(), 201, "the same file whole and as it is");
    stage.stop().await;
}

/// A file with this header and a payload of one chunk.
fn with_header(stanzas: &str) -> Vec<u8> {
    let mut bytes = format!("age-encryption.org/v1\n{stanzas}--- {}\n", "A".repeat(43)).into_bytes();
    bytes.resize(bytes.len() + 100, 7);
    bytes
}

#[tokio::test]
async fn file_that_no_members_key_opens_is_refused() {
    let (stage, proposal) = Stage::at(Step::Begun).await;
    let raw = stage.raw(Some(stage.credential("ISR:avi")));
    let word = "A".repeat(43);
    for (key, stanzas) in [
        ("passphrase", format!("-> scrypt {} 18\n{word}\n", "A".repeat(22))),
        ("no-share", format!("-> X25519\n{word}\n")),
        ("short-share", format!("-> X25519 AAAA\n{word}\n")),
        ("two-shares", format!("-> X25519 {word} {word}\n{word}\n")),
        ("no-body", format!("-> X25519 {word}\n\n")),
    ] {
        stage.refuses_raw(422, "not-sealed", upload(&raw, proposal, "annex", key, &with_header(&stanzas))).await;
    }
    let well_formed = with_header(&format!("-> X25519 {word}\n{word}\n"));
    assert_eq!(upload(&raw, proposal, "annex", "taken", &well_formed).send().await.unwrap().status(), 201);
    stage.stop().await;
}

#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Another subscriber beside a test's own: while there is one alone, `tracing` judges what a thread says first by that thread's, and
/// never passes it on to anybody again.
static BESIDE: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(tracing_subscriber::registry()));

/// The server runs on this thread, so what it says is heard here.
#[tokio::test]
async fn refused_file_leaves_no_warning() {
    let (stage, proposal) = Stage::at(Step::Begun).await;
    let raw = stage.raw(Some(stage.credential("ISR:avi")));
    let whole = sealed(1000);
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    LazyLock::force(&BESIDE);
    let heard = tracing::subscriber::set_default(subscriber);
    // Refused when all of it is here, and at its first byte.
    for bytes in [&whole[..whole.len() - 1015], b"%PDF-1.7"] {
        stage.refuses_raw(422, "not-sealed", upload(&raw, proposal, "annex", "cut", bytes)).await;
    }
    drop(heard);
    let said = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(!said.is_empty(), "requests are logged");
    for unwanted in ["WARN", "remains until the next sweep", "blobs/"] {
        assert!(!said.contains(unwanted), "{said}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn change_that_cannot_be_recognised_when_repeated_is_refused() {
    let stage = Stage::open().await;
    let raw = stage.raw(Some(stage.credential("USA:dana")));
    let body = json!({ "name": "Another", "lead": "USA", "partners": ["USA"] });
    let request = raw.request(Method::POST, "/v1/programs").json(&body);
    stage.refuses_raw(400, "idempotency-key-required", request).await;
    stage.stop().await;
}
