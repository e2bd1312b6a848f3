//! The API as a stranger to its code meets it: HTTP, JSON, certificates and age files over real mutual TLS.

use crate::harness::{
    exchange::{Answered, Connection, Exchange, Nation, Person, fresh_key, now},
    process::until,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use entente::{
    domain::{
        ambient::{SystemClock, SystemRng},
        id::{CallId, ProposalId, Sha256},
        member::{CallRole, PartnerRole},
    },
    sealing::{
        seal::seal_bytes,
        statement::{CallPublication, RollStatement, VaultKind, WrapTarget, sign_statement},
    },
    wire::call::CallText,
};
use jiff::SignedDuration;
use reqwest::{Method, Response, header::HeaderMap};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ABSENT: &str = "01J9ZQ4N6M8V7X5T3R2P1K0HGF";

/// Two nations, an officer of the host and a submitter, all with key cards.
struct Stage {
    exchange: Exchange,
    dana: Person,
    avi: Person,
}

async fn stage(settings: &str) -> Stage {
    let (usa, isr) = (Nation::new("USA"), Nation::new("ISR"));
    let exchange = Exchange::start_with(&[&usa, &isr], settings).await;
    let (dana, avi) = (usa.ca.person("USA:dana"), isr.ca.person("ISR:avi"));
    exchange.publish(&usa, &[(&dana, &[PartnerRole::ProgramOfficer])]).await;
    exchange.publish(&isr, &[(&avi, &[])]).await;
    Stage { exchange, dana, avi }
}

impl Stage {
    fn dana(&self) -> Connection {
        self.exchange.connect(&self.dana)
    }

    fn avi(&self) -> Connection {
        self.exchange.connect(&self.avi)
    }

    /// A published call with one slot, and a proposal of Avi's.
    async fn proposal(&self) -> ProposalId {
        let (dana, avi) = (self.dana(), self.avi());
        let program = json!({ "name": "Joint research", "lead": "USA", "partners": ["USA", "ISR"] });
        let program = dana.change(Method::POST, "/v1/programs", &program).await.expect_status(201).await;
        let draft = json!({ "program": program["id"], "text": text() });
        let call = dana.change(Method::POST, "/v1/calls", &draft).await.expect_status(201).await;
        let id: CallId = serde_json::from_value(call["id"].clone()).unwrap();
        let call_vault = self.dana.make_vault(VaultKind::Call, id, None);
        let text: CallText = serde_json::from_value(call["text"].clone()).unwrap();
        let publication = CallPublication {
            call: id,
            version: 1,
            text: serde_json::to_value(&text).unwrap(),
            text_sha256: text.digest(),
            vault: call_vault.id,
            recipient: call_vault.secret.recipient().to_owned(),
            host: "USA".parse().unwrap(),
        };
        let roll = RollStatement {
            call: id,
            partners: ["ISR", "USA"].map(|code| code.parse().unwrap()).into(),
            roles: [(self.dana.member.clone(), [CallRole::Officer].into())].into(),
        };
        let body = json!({
            "publication": sign_statement(&self.dana.signing, &publication).unwrap(),
            "vault": call_vault.statement,
            "roll": sign_statement(&self.dana.signing, &roll).unwrap(),
            "keys": [self.dana.wrap_to_self(&call_vault)],
        });
        let path = format!("/v1/calls/{id}");
        let etag = dana.get(&path).await.headers()["etag"].clone();
        let publish = dana.request(Method::POST, &format!("{path}/publish")).header("If-Match", etag);
        let publish = publish.header("Idempotency-Key", fresh_key()).json(&body).send().await.unwrap();
        publish.expect_status(200).await;

        let proposal = ProposalId::new_of(&self.avi.member, &SystemClock, &SystemRng);
        let vaults: Vec<Value> = [VaultKind::Panel, VaultKind::Parties]
            .into_iter()
            .map(|kind| {
                let vault = self.avi.make_vault(kind, id, Some(proposal));
                let to_call = self.avi.wrap(&vault, WrapTarget::Vault(call_vault.id), call_vault.secret.recipient());
                json!({ "statement": vault.statement, "keys": [self.avi.wrap_to_self(&vault), to_call] })
            })
            .collect();
        let body = json!({ "id": proposal, "call": id, "parties": { "ISR": ["ISR:avi"] }, "vaults": vaults });
        let made = avi.change(Method::POST, "/v1/proposals", &body).await;
        assert_eq!(made.headers()["location"], format!("/v1/proposals/{proposal}"));
        made.expect_status(201).await;
        proposal
    }
}

fn text() -> Value {
    let hours = |hours| (now() + SignedDuration::from_hours(hours)).to_string();
    json!({
        "code": "SMOKE", "title": "A call", "text": "What is wanted.",
        "criteria": [{ "name": "merit", "title": "Merit", "max": 5, "step": 0.5 }],
        "slots": [{
            "name": "plan", "title": "Plan", "required": true, "media_types": ["application/pdf"],
            "max_bytes": 4_000_000, "audience": "panel",
        }],
        "eligible": ["ISR"], "parties": { "at_least": 1, "at_most": 1 }, "funders": ["USA"],
        "schedule": {
            "opens_at": hours(-1), "deadline_at": hours(24), "grace_seconds": 3600, "reviews_due_at": hours(72),
        },
    })
}

/// A sealed document of about this size.
fn sealed(size: usize) -> Vec<u8> {
    let to = entente::sealing::identity::new_identity().recipient().to_owned();
    seal_bytes(&[to], &vec![7; size]).unwrap()
}

fn upload(connection: &Connection, path: &str, key: &str, bytes: &[u8]) -> reqwest::RequestBuilder {
    let digest = BASE64_STANDARD.encode(Sha256::of(bytes).as_bytes());
    connection
        .request(Method::PUT, path)
        .header("Idempotency-Key", key)
        .header("Content-Type", "application/vnd.age")
        .header("Repr-Digest", format!("sha-256=:{digest}:"))
        .header("Entente-Media-Type", "application/pdf")
        .body(bytes.to_vec())
}

/// What must not differ between two answers.
async fn comparable(response: Response) -> (u16, HeaderMap, Vec<u8>) {
    let mut headers = response.headers().clone();
    for varies in ["x-request-id", "date"] {
        headers.remove(varies);
    }
    (response.status().as_u16(), headers, response.bytes().await.unwrap().to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn caller_is_known_by_certificate_and_becomes_a_member_by_key_card() {
    let (usa, isr) = (Nation::new("USA"), Nation::new("ISR"));
    let exchange = Exchange::start(&[&usa, &isr]).await;
    let avi = isr.ca.person("ISR:avi");
    let connection = exchange.connect(&avi);
    let me = connection.get("/v1/me").await.expect_status(200).await;
    assert_eq!((&me["partner"], &me["host"], me.get("member")), (&json!("ISR"), &json!("USA"), None));
    assert_eq!(me["certificate"], avi.signing.spki_sha256().to_string());
    assert_eq!(connection.get("/v1/partners").await.problem().await, (403, "not-a-member".into()));
    exchange.publish(&isr, &[(&avi, &[])]).await;
    assert_eq!(connection.get("/v1/me").await.expect_status(200).await["member"], "ISR:avi");
    let partners = connection.get("/v1/partners").await.expect_status(200).await;
    assert_eq!(partners["items"].as_array().unwrap().len(), 2);
    // A certificate under ISR's anchor that claims the USA gets no connection at all.
    let liar = exchange.connect(&isr.ca.person("USA:dana"));
    assert!(liar.request(Method::GET, "/v1/me").send().await.is_err());
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_absent_malformed_and_unknown_answer_the_same_bytes() {
    let stage = stage("").await;
    let proposal = stage.proposal().await;
    let dana = stage.dana();
    let unknown = comparable(dana.get("/v1/nothing").await).await;
    assert_eq!(unknown.0, 404);
    for path in [
        format!("/v1/proposals/prop_{ABSENT}"),
        "/v1/proposals/prop_nonsense".into(),
        "/v1/proposals/%FF".into(),
        format!("/v1/calls/call_{ABSENT}"),
        format!("/v1/proposals/{proposal}/letters/doc_{ABSENT}/"),
        format!("/v1/reviews/rev_{ABSENT}"),
        "/".into(),
    ] {
        assert_eq!(comparable(dana.get(&path).await).await, unknown, "{path}");
    }
    let avi = stage.avi();
    for path in [format!("/v1/reviews/rev_{ABSENT}/reopen"), "/v1/reviews/7/reopen".into()] {
        let refused = avi.change(Method::POST, &path, &json!({ "reason": "x" })).await;
        assert_eq!(comparable(refused).await, unknown, "{path}");
    }
    stage.exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_in_a_request_answers_with_a_problem() {
    let stage = stage("").await;
    let dana = stage.dana();
    let program = json!({ "name": "P", "lead": "USA", "partners": ["USA"] });
    let post = || dana.request(Method::POST, "/v1/programs");
    let keyed = || post().header("Idempotency-Key", fresh_key());
    let cases = [
        (post().json(&program), 400, "idempotency-key-required"),
        (keyed().body("{}"), 415, "wrong-media-type"),
        (keyed().json(&json!({ "nom": 1 })), 400, "malformed"),
        (keyed().json(&"x".repeat(2 << 20)), 413, "too-large"),
        (keyed().header("If-Match", "*").json(&program), 400, "malformed"),
        (dana.request(Method::PATCH, "/v1/programs"), 405, "method-not-allowed"),
        (dana.request(Method::GET, "/v1/programs?limit=201"), 400, "malformed"),
        (dana.request(Method::GET, "/v1/programs?limit=many"), 400, "malformed"),
        (dana.request(Method::GET, "/v1/programs?colour=red"), 400, "malformed"),
        (dana.request(Method::GET, "/v1/programs?cursor=7"), 400, "bad-cursor"),
        (dana.request(Method::GET, "/v1/calls?program=7"), 400, "malformed"),
    ];
    for (request, status, slug) in cases {
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers().contains_key("allow"), status == 405);
        assert_eq!(response.problem().await, (status, slug.into()));
    }
    let avi = stage.avi();
    assert_eq!(avi.change(Method::POST, "/v1/programs", &program).await.problem().await, (403, "denied".into()));
    stage.exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_request_gets_the_same_answer_and_another_is_refused() {
    let stage = stage("").await;
    let dana = stage.dana();
    let ask = |name: &str| {
        let body = json!({ "name": name, "lead": "USA", "partners": ["USA"] });
        dana.request(Method::POST, "/v1/programs").header("Idempotency-Key", "once").json(&body).send()
    };
    let first = ask("P").await.unwrap();
    assert!(!first.headers().contains_key("idempotent-replay"));
    let location = first.headers()["location"].clone();
    let first = first.expect_status(201).await;
    let again = ask("P").await.unwrap();
    assert_eq!(again.headers()["idempotent-replay"], "true");
    assert_eq!(again.headers()["location"], location);
    assert_eq!(again.expect_status(201).await, first);
    assert_eq!(ask("Q").await.unwrap().problem().await, (422, "idempotency-key-reused".into()));
    let all = dana.get("/v1/programs").await.expect_status(200).await;
    assert_eq!(all["items"], json!([first]));
    stage.exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_their_cursor_to_the_end() {
    let stage = stage("").await;
    let dana = stage.dana();
    let mut path = "/v1/entries?limit=2".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = dana.get(&path).await.expect_status(200).await;
        seen.extend(page["items"].as_array().unwrap().iter().map(|entry| entry["seq"].as_u64().unwrap()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/entries?limit=2&cursor={next}");
    }
    let all = dana.get("/v1/entries").await.expect_status(200).await;
    let all: Vec<_> = all["items"].as_array().unwrap().iter().map(|entry| entry["seq"].as_u64().unwrap()).collect();
    assert!(all.len() > 4);
    assert_eq!(seen, all);
    stage.exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn document_goes_in_and_comes_out_whole_and_in_part() {
    let stage = stage("").await;
    let proposal = stage.proposal().await;
    let avi = stage.avi();
    let (place, bytes) = (format!("/v1/proposals/{proposal}/documents/plan"), sealed(3_000_000));
    let put = upload(&avi, &place, "plan-1", &bytes).send().await.unwrap();
    let document = put.expect_status(201).await;
    assert_eq!(document["sha256"], Sha256::of(&bytes).to_string());
    let again = upload(&avi, &place, "plan-1", &bytes).send().await.unwrap();
    assert_eq!(again.headers()["idempotent-replay"], "true");
    assert_eq!(again.expect_status(201).await, document);

    let path = format!("/v1/proposals/{proposal}/ciphertexts/{}", document["id"].as_str().unwrap());
    let whole = avi.get(&path).await;
    let headers = whole.headers().clone();
    assert_eq!((whole.status().as_u16(), &headers["content-type"]), (200, &"application/vnd.age".parse().unwrap()));
    assert_eq!(headers["content-length"], bytes.len().to_string());
    let digest = BASE64_STANDARD.encode(Sha256::of(&bytes).as_bytes());
    assert_eq!(headers["repr-digest"], format!("sha-256=:{digest}:"));
    assert!(whole.bytes().await.unwrap() == bytes);

    let part = avi.request(Method::GET, &path).header("Range", "bytes=2000000-").header("If-Range", &headers["etag"]);
    let part = part.send().await.unwrap();
    assert_eq!(part.status(), 206);
    let last = bytes.len() - 1;
    assert_eq!(part.headers()["content-range"], format!("bytes 2000000-{last}/{}", bytes.len()));
    assert!(part.bytes().await.unwrap() == bytes[2_000_000..]);
    let past = avi.request(Method::GET, &path).header("Range", "bytes=9000000-").send().await.unwrap();
    assert_eq!(past.headers()["content-range"], format!("bytes */{}", bytes.len()));
    assert_eq!(past.problem().await, (416, "range-not-satisfiable".into()));
    // A proposal that is being prepared concerns its parties alone.
    assert_eq!(stage.dana().get(&path).await.problem().await, (404, "not-found".into()));
    stage.exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn document_is_replaced_only_in_the_state_that_its_sender_knows() {
    let stage = stage("").await;
    let proposal = stage.proposal().await;
    let avi = stage.avi();
    let place = format!("/v1/proposals/{proposal}/documents/plan");
    let tag = |bytes: &[u8]| format!("\"{}\"", Sha256::of(bytes));
    let (first, second) = (sealed(1000), sealed(2000));
    let put = |bytes: &[u8], known: &str| upload(&avi, &place, &fresh_key(), bytes).header("If-Match", known).send();
    let remove = |known: &str| {
        let request = avi.request(Method::DELETE, &place).header("Idempotency-Key", fresh_key());
        request.header("If-Match", known).send()
    };
    let none = "\"none\"";
    let stored = put(&first, none).await.unwrap();
    assert_eq!(stored.headers()["etag"], tag(&first));
    stored.expect_status(201).await;
    for (answer, present) in [
        (put(&second, none).await.unwrap(), &first),
        (put(&second, &tag(&second)).await.unwrap(), &first),
        (remove(none).await.unwrap(), &first),
    ] {
        assert_eq!(answer.headers()["etag"], tag(present));
        assert_eq!(answer.problem().await, (412, "precondition-failed".into()));
    }
    assert_eq!(put(&second, "*").await.unwrap().problem().await, (400, "malformed".into()));
    let documents = avi.get(&format!("/v1/proposals/{proposal}/documents")).await.expect_status(200).await;
    assert_eq!(documents["items"][0]["sha256"], Sha256::of(&first).to_string(), "refused ones leave nothing");
    put(&second, &tag(&first)).await.unwrap().expect_status(201).await;
    assert_eq!(remove(&tag(&first)).await.unwrap().problem().await, (412, "precondition-failed".into()));
    assert_eq!(remove(&tag(&second)).await.unwrap().status(), 204);
    assert_eq!(remove(none).await.unwrap().problem().await, (422, "slot-empty".into()));
    // Without it, the last one counts.
    upload(&avi, &place, &fresh_key(), &first).send().await.unwrap().expect_status(201).await;
    stage.exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn known_state_is_answered_without_content_and_leaves_no_entry() {
    let stage = stage("").await;
    let proposal = stage.proposal().await;
    let avi = stage.avi();
    let bytes = sealed(1000);
    let put = upload(&avi, &format!("/v1/proposals/{proposal}/documents/plan"), "plan-1", &bytes).send().await.unwrap();
    let document = put.expect_status(201).await["id"].as_str().unwrap().to_owned();
    let ciphertext = format!("/v1/proposals/{proposal}/ciphertexts/{document}");
    let call = avi.get(&format!("/v1/proposals/{proposal}")).await.expect_status(200).await["call"].clone();
    let call = format!("/v1/calls/{}", call.as_str().unwrap());
    let call_tag = avi.get(&call).await.headers()["etag"].to_str().unwrap().to_owned();
    let ask = |connection: &Connection, path: &str, known: &str| {
        connection.request(Method::GET, path).header("If-None-Match", known).send()
    };
    let fetched = async || {
        let entries = avi.get("/v1/entries?kind=document.fetched").await.expect_status(200).await;
        entries["items"].as_array().unwrap().len()
    };
    for (path, tag) in [(&ciphertext, format!("\"{}\"", Sha256::of(&bytes))), (&call, call_tag)] {
        for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
            let answer = ask(&avi, path, &known).await.unwrap();
            assert_eq!((answer.status().as_u16(), &answer.headers()["etag"]), (304, &tag.parse().unwrap()), "{known}");
            assert!(!answer.headers().contains_key("content-type"));
            assert!(answer.bytes().await.unwrap().is_empty());
        }
    }
    assert_eq!(fetched().await, 0);
    for path in [&ciphertext, &call] {
        assert_eq!(ask(&avi, path, "\"other\"").await.unwrap().status(), 200, "{path}");
    }
    assert_eq!(fetched().await, 1);
    // What is hidden answers as what is absent, whatever is known of it.
    let dana = stage.dana();
    let unknown = comparable(dana.get("/v1/nothing").await).await;
    for known in ["*".to_owned(), format!("\"{}\"", Sha256::of(&bytes))] {
        assert_eq!(comparable(ask(&dana, &ciphertext, &known).await.unwrap()).await, unknown);
        assert_eq!(comparable(ask(&dana, "/v1/nothing", &known).await.unwrap()).await, unknown);
    }
    stage.exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn condition_that_nothing_compares_is_refused() {
    let stage = stage("").await;
    let dana = stage.dana();
    let program = json!({ "name": "P", "lead": "USA", "partners": ["USA"] });
    let post = || dana.request(Method::POST, "/v1/programs").header("Idempotency-Key", fresh_key()).json(&program);
    for request in [
        post().header("If-Match", "\"1\""),
        post().header("If-None-Match", "*"),
        dana.request(Method::GET, "/v1/me").header("If-Match", "\"1\""),
    ] {
        assert_eq!(request.send().await.unwrap().problem().await, (400, "malformed".into()));
    }
    assert_eq!(dana.get("/v1/programs").await.expect_status(200).await, json!({ "items": [] }));
    stage.exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_as_they_must_be_leave_nothing() {
    let stage = stage("").await;
    let proposal = stage.proposal().await;
    let avi = stage.avi();
    let place = format!("/v1/proposals/{proposal}/documents/plan");
    let good = sealed(1000);
    let put = |bytes: &[u8]| upload(&avi, &place, &fresh_key(), bytes);
    let mut short = good.clone();
    short.truncate(150);
    let other = BASE64_STANDARD.encode(Sha256::of(b"other").as_bytes());
    let changed = |request: reqwest::RequestBuilder, name: &'static str, value: String| {
        let mut request = request.build().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
        reqwest::RequestBuilder::from_parts(avi.http.clone(), request)
    };
    let stream = reqwest::Body::wrap_stream(futures_util::stream::iter([Ok::<_, std::io::Error>(good.clone())]));
    let cases = [
        (put(b"plain text, much longer than nothing at all"), 422, "not-sealed"),
        (put(&short), 422, "not-sealed"),
        (put(&sealed(4_100_000)), 413, "too-large"),
        (changed(put(&good), "repr-digest", format!("sha-256=:{other}:")), 422, "digest-mismatch"),
        (changed(put(&good), "repr-digest", "sha-512=:AA==:".into()), 400, "digest-required"),
        (changed(put(&good), "repr-digest", format!("sha-256=:{other}:, sha-256=:{other}:")), 400, "malformed"),
        (changed(put(&good), "content-digest", format!("sha-256=:{other}:")), 400, "malformed"),
        (changed(put(&good), "content-type", "application/octet-stream".into()), 415, "wrong-media-type"),
        (changed(put(&good), "entente-media-type", "image/png".into()), 422, "slot-media-type"),
        (changed(put(&good), "idempotency-key", " ".into()), 400, "idempotency-key-required"),
        (put(&good).body(stream), 411, "length-required"),
        (upload(&avi, &place.replace("plan", "elsewhere"), &fresh_key(), &good), 422, "unknown-slot"),
        (upload(&stage.dana(), &place, &fresh_key(), &good), 404, "not-found"),
    ];
    for (request, status, slug) in cases {
        assert_eq!(request.send().await.unwrap().problem().await, (status, slug.into()));
    }
    let documents = avi.get(&format!("/v1/proposals/{proposal}/documents")).await.expect_status(200).await;
    assert_eq!(documents, json!({ "items": [] }));
    stage.exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upload_that_may_not_be_is_refused_before_its_first_byte() {
    let stage = stage("").await;
    let proposal = stage.proposal().await;
    let digest = BASE64_STANDARD.encode(Sha256::of(b"").as_bytes());
    let head = |proposal: &str, size: u64| {
        format!(
            "PUT /v1/proposals/{proposal}/documents/plan HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\
             Content-Length: {size}\r\nContent-Type: application/vnd.age\r\nRepr-Digest: sha-256=:{digest}:\r\n\
             Entente-Media-Type: application/pdf\r\nIdempotency-Key: {}\r\n\r\n",
            fresh_key()
        )
    };
    for (head, wanted) in [
        (head(&format!("prop_{ABSENT}"), 1000), "HTTP/1.1 404"),
        (head(&proposal.to_string(), 1 << 40), "HTTP/1.1 413"),
        (head(&proposal.to_string(), 1000), "HTTP/1.1 100"),
    ] {
        let tcp = tokio::net::TcpStream::connect(stage.exchange.running.api_addr).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(stage.exchange.tls(Some(&stage.avi))));
        let mut stream = connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(str::from_utf8(&answer).unwrap(), wanted);
    }
    stage.exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn description_is_served_and_the_admin_listener_answers() {
    let stage = stage("").await;
    let served = stage.avi().get("/openapi.json").await.expect_status(200).await;
    let kept = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json")).unwrap();
    assert_eq!(served, serde_json::from_str::<Value>(&kept).unwrap());
    let admin = reqwest::Client::builder().tls_backend_preconfigured(stage.exchange.tls(None)).build().unwrap();
    let url = |path| format!("http://{}{path}", stage.exchange.running.admin_addr);
    let ready = until("it is ready", async || {
        let answer = admin.get(url("/readyz")).send().await.unwrap();
        (answer.status() == 200).then_some(answer)
    });
    assert_eq!(ready.await.expect_status(200).await["ready"], true);
    let figures = admin.get(url("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(figures.contains("route=\"/v1/members/{member}/key-card\""), "{figures}");
    assert!(!figures.contains("ISR:avi"));
    stage.exchange.stop().await;
}
