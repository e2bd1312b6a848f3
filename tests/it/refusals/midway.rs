//! What began under a certificate ends with it: acts whose bytes were on their way and downloads that were running when a
//! certificate was revoked or a key card stopped naming it.

use crate::harness::{
    stage::{NATIONS, Stage, code, id, text},
    world::{Store, TestWorld},
};
use axum::body::Body;
use base64::{Engine, prelude::BASE64_STANDARD};
use entente::{
    client::api::Paging,
    dev_pki::{CertificateAndKey, cast::ISR},
    domain::{
        ambient::{Clock, SystemRng},
        id::{DocumentId, ProposalId, Sha256},
        member::PartnerRole,
    },
    sealing::{
        card::{CardStatus, KeyCard},
        identity::new_identity,
        jws::SigningKey,
        seal::seal_bytes,
        statement::sign_statement,
    },
    service::operator,
    wire::{
        AGE_MEDIA_TYPE,
        call::DraftCall,
        directory::{CreateProgram, PublishKeyCard},
        proposal::Document,
    },
};
use futures_util::StreamExt;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::SignedDuration;
use std::{path::Path, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};

/// More than sockets and both sides hold between them, by far.
const SIZE: usize = 48 << 20;

/// How a caller stops counting.
#[derive(Debug, Clone, Copy)]
enum Ending {
    Revoked,
    LeftByTheKeyCard,
}

/// A call with room for a large annex, and Avi's proposal to it.
async fn large() -> (Stage, ProposalId) {
    let world = TestWorld::start(NATIONS, Store::Sqlite).await.unwrap();
    let program = Stage::program(&world).await;
    let now = world.clock.now();
    let deadline = now + SignedDuration::from_hours(24 * 30);
    let mut text = text(now, deadline);
    text.slots.iter_mut().find(|slot| slot.name.as_str() == "annex").unwrap().max_bytes = 2 * SIZE as u64;
    let dana = world.client("USA:dana");
    let draft = dana.draft_call(program, &text).await.unwrap();
    let call = dana.publish_call(draft.id).await.unwrap().id;
    let stage = Stage::around(world, program, call, deadline);
    let proposal = stage.begun().await;
    (stage, proposal)
}

fn sealed() -> Vec<u8> {
    seal_bytes(&[new_identity().recipient().to_owned()], &vec![7; SIZE]).unwrap()
}

async fn end(stage: &Stage, ending: Ending) {
    match ending {
        Ending::Revoked => {
            let authority = &stage.pki.partners[&code("ISR")].authority;
            let list = authority.crl(&[stage.credential("ISR:avi")], 2).unwrap();
            std::fs::write(stage.plan.dir.join("crls/ISR.pem"), list).unwrap();
            assert!(stage.server.tls.reload().await.is_ok());
        }
        Ending::LeftByTheKeyCard => {
            stage.client("ISR:registrar").revoke_key_card(&id("ISR:avi"), false).await.unwrap();
        }
    }
}

/// A member's connection, which speaks one of the two protocols.
enum Connection {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl Connection {
    async fn open(world: &TestWorld, member: &str, is_http_2: bool) -> Self {
        let mut tls = world.tls(Some(world.credential(member)));
        tls.alpn_protocols = vec![if is_http_2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        let tcp = TcpStream::connect(world.address()).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(tls));
        let io = TokioIo::new(connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap());
        if is_http_2 {
            let (send, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            Self::Http2(send)
        } else {
            let (send, connection) = http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            Self::Http1(send)
        }
    }

    async fn send(&mut self, request: http::request::Builder, path: &str, body: Body) -> http::Response<Body> {
        match self {
            Self::Http1(send) => {
                let request = request.uri(path).header("host", "localhost").body(body).unwrap();
                // The answer before may have been read before its end was.
                send.ready().await.unwrap();
                send.send_request(request).await.unwrap().map(Body::new)
            }
            Self::Http2(send) => {
                let request = request.uri(format!("https://localhost{path}")).body(body).unwrap();
                send.send_request(request).await.unwrap().map(Body::new)
            }
        }
    }
}

fn upload(bytes: &[u8]) -> http::request::Builder {
    let digest = BASE64_STANDARD.encode(Sha256::of(bytes).as_bytes());
    http::Request::builder()
        .method("PUT")
        .header("idempotency-key", "midway")
        .header("content-type", AGE_MEDIA_TYPE)
        .header("content-length", bytes.len())
        .header("entente-media-type", "application/octet-stream")
        .header("repr-digest", format!("sha-256=:{digest}:"))
}

/// Whether bytes of an upload lie in the folder of sealed documents.
fn has_begun(folder: &Path) -> bool {
    let inside = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    inside(&folder.join("blobs")).flat_map(|shard| inside(&shard).collect::<Vec<_>>()).next().is_some()
}

async fn upload_that_was_under_way(is_http_2: bool, ending: Ending) -> (u16, String) {
    let (stage, proposal) = large().await;
    let bytes = sealed();
    let mut connection = Connection::open(&stage, "ISR:avi", is_http_2).await;
    let (pieces, body) = fed();
    let (first, rest) = bytes.split_at(4 << 20);
    let path = format!("/v1/proposals/{proposal}/documents/annex");
    let feed = async {
        pieces.send(first.to_vec()).await.unwrap();
        while !has_begun(&stage.plan.dir.join("blobs")) {
            tokio::task::yield_now().await;
        }
        end(&stage, ending).await;
        // The server may have said no already and take no more.
        let _ = pieces.send(rest.to_vec()).await;
        drop(pieces);
    };
    let (answer, ()) = tokio::join!(connection.send(upload(&bytes), &path, body), feed);
    let status = answer.status().as_u16();
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    let slug = serde_json::from_slice::<entente::wire::problem::Problem>(&body).unwrap().slug().to_owned();
    stage.stop().await;
    (status, slug)
}

#[tokio::test(flavor = "multi_thread")]
async fn upload_whose_certificate_is_revoked_meanwhile_is_refused() {
    for is_http_2 in [false, true] {
        let answer = upload_that_was_under_way(is_http_2, Ending::Revoked).await;
        assert_eq!((answer.0, &*answer.1), (401, "certificate-refused"), "{is_http_2}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn upload_whose_certificate_the_key_card_no_longer_names_is_refused() {
    for is_http_2 in [false, true] {
        let answer = upload_that_was_under_way(is_http_2, Ending::LeftByTheKeyCard).await;
        assert_eq!((answer.0, &*answer.1), (403, "not-a-member"), "{is_http_2}");
    }
}

/// Dana's act that would be done, in a world where JSON may be long.
async fn dana() -> (TestWorld, &'static [u8]) {
    let settings = [("limits.body_bytes", "8388608")];
    let world = TestWorld::start_with(NATIONS, Store::Sqlite, &settings).await.unwrap();
    (world, br#"{"name":"Joint industrial research","lead":"USA","partners":["USA","ISR"]}"#)
}

async fn revoke_dana(world: &TestWorld) {
    let authority = &world.pki.partners[&code("USA")].authority;
    std::fs::write(world.plan.dir.join("crls/USA.pem"), authority.crl(&[world.credential("USA:dana")], 2).unwrap())
        .unwrap();
    assert!(world.server.tls.reload().await.is_ok());
}

/// What is answered to an act over HTTP/1.1 that was let in, and whose body comes after `end`.
async fn answer_after(
    world: &TestWorld,
    credential: &CertificateAndKey,
    (method, path): (&str, &str),
    act: &[u8],
    end: impl Future<Output = ()>,
) -> String {
    let tcp = TcpStream::connect(world.address()).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(world.tls(Some(credential))));
    let mut tls = connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nidempotency-key: midway\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nexpect: 100-continue\r\n\r\n",
        act.len()
    );
    tls.write_all(head.as_bytes()).await.unwrap();
    // Said when the body is waited for: the request was let in.
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        assert_ne!(tls.read_buf(&mut answer).await.unwrap(), 0);
    }
    assert!(answer.starts_with(b"HTTP/1.1 100 "));
    end.await;
    tls.write_all(act).await.unwrap();
    answer.clear();
    while !answer.ends_with(b"}") {
        assert_ne!(tls.read_buf(&mut answer).await.unwrap(), 0);
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn act_whose_body_arrives_after_revocation_is_refused() {
    let (world, act) = dana().await;
    let before = world.census().await;
    let dana = world.credential("USA:dana");
    let answer = answer_after(&world, dana, ("POST", "/v1/programs"), act, revoke_dana(&world)).await;
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("certificate-refused"), "{answer}");
    assert_eq!(world.census().await, before);
    world.stop().await;
}

#[tokio::test]
async fn act_whose_body_arrives_after_the_key_card_was_revoked_is_refused() {
    let (world, act) = dana().await;
    let dana = world.credential("USA:dana");
    let end = async {
        world.client("USA:registrar").revoke_key_card(&id("USA:dana"), false).await.unwrap();
    };
    let answer = answer_after(&world, dana, ("POST", "/v1/programs"), act, end).await;
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("not-a-member"), "{answer}");
    assert_eq!(world.client("USA:bob").api().programs(&Paging::default()).await.unwrap().items, []);
    world.stop().await;
}

/// A second registrar of Israel's, who has no key card yet, and the act that publishes the first one.
async fn newcomer(world: &TestWorld) -> (CertificateAndKey, Vec<u8>) {
    let israel = &world.pki.partners[&code("ISR")];
    let member = id("ISR:second-registrar");
    let credential = israel.authority.issue(&israel.authority.member(&member), &SystemRng).unwrap();
    let mut card = israel.card.clone();
    card.registrars.insert(credential.spki);
    operator::enrol(&world.server.exchange, &card).await.unwrap();
    let now = world.clock.now();
    let key_card = KeyCard {
        member,
        name: "Second registrar".into(),
        organisation: ISR.authority.1.into(),
        roles: [PartnerRole::Registrar].into(),
        recipients: vec![new_identity().recipient().to_owned()],
        certificates: vec![credential.spki],
        serial: 1,
        valid_from: now - SignedDuration::from_hours(1),
        valid_until: now + SignedDuration::from_hours(24),
        status: CardStatus::Active,
    };
    let key = credential.private_key.expose().as_bytes();
    let key = SigningKey::from_pem(key, credential.certificate.as_bytes()).unwrap();
    let body = PublishKeyCard {
        key_card: sign_statement(&key, &key_card).unwrap(),
        certificates: vec![credential.certificate.clone()],
        without: [].into(),
    };
    (credential, serde_json::to_vec(&body).unwrap())
}

const FIRST_CARD: (&str, &str) = ("PUT", "/v1/members/ISR:second-registrar/key-card");

#[tokio::test]
async fn first_key_card_whose_body_arrives_after_revocation_is_refused() {
    let world = TestWorld::start(NATIONS, Store::Sqlite).await.unwrap();
    let (credential, act) = newcomer(&world).await;
    let before = world.census().await;
    let end = async {
        let list = world.pki.partners[&code("ISR")].authority.crl(&[&credential], 2).unwrap();
        std::fs::write(world.plan.dir.join("crls/ISR.pem"), list).unwrap();
        assert!(world.server.tls.reload().await.is_ok());
    };
    let answer = answer_after(&world, &credential, FIRST_CARD, &act, end).await;
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("certificate-refused"), "{answer}");
    assert_eq!(world.census().await, before);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn act_over_http_2_whose_body_arrives_after_revocation_is_refused() {
    let (world, _) = dana().await;
    let partners = [code("USA"), code("ISR")].into();
    let program = CreateProgram { name: "Joint industrial research".into(), lead: code("USA"), partners };
    let program = world.client("USA:dana").api().create_program(&program).await.unwrap().id;
    let before = world.census().await;
    let mut connection = Connection::open(&world, "USA:dana", true).await;
    // The text of a call can be as long as the operator allows.
    let now = world.clock.now();
    let act = DraftCall { program, text: text(now, now + SignedDuration::from_hours(240)) };
    let act = serde_json::to_vec(&act).unwrap();
    // More blanks than the stream's window and the client's own buffer take: when they have gone, the body is being read.
    let blanks = vec![b' '; 64 << 10];
    let count = 80;
    let (pieces, body) = fed();
    let request = http::Request::builder()
        .method("POST")
        .header("idempotency-key", "midway")
        .header("content-type", "application/json")
        .header("content-length", count * blanks.len() + act.len());
    let feed = async {
        for _ in 0..count {
            pieces.send(blanks.clone()).await.unwrap();
        }
        revoke_dana(&world).await;
        pieces.send(act.clone()).await.unwrap();
        drop(pieces);
    };
    let path = format!("/v1/calls?program={program}");
    let (answer, ()) = tokio::join!(connection.send(request, &path, body), feed);
    assert_eq!(answer.status(), 401);
    assert_eq!(world.census().await, before);
    world.stop().await;
}

/// A body that is sent piece by piece.
fn fed() -> (mpsc::Sender<Vec<u8>>, Body) {
    let (pieces, mut taken) = mpsc::channel::<Vec<u8>>(1);
    let body = futures_util::stream::poll_fn(move |cx| taken.poll_recv(cx));
    (pieces, Body::from_stream(body.map(Ok::<_, std::convert::Infallible>)))
}

/// How much of a document came, and whether it came to its end, when its caller stopped counting after the first piece.
async fn download_that_was_under_way(is_http_2: bool, ending: Ending) -> (usize, bool) {
    let (stage, proposal) = large().await;
    let bytes = sealed();
    let mut connection = Connection::open(&stage, "ISR:avi", is_http_2).await;
    let path = format!("/v1/proposals/{proposal}/documents/annex");
    let stored = connection.send(upload(&bytes), &path, Body::from(bytes.clone())).await;
    assert_eq!(stored.status(), 201);
    let stored = axum::body::to_bytes(stored.into_body(), 1 << 20).await.unwrap();
    let document: DocumentId = serde_json::from_slice::<Document>(&stored).unwrap().id;
    let path = format!("/v1/proposals/{proposal}/ciphertexts/{document}");
    let answer = connection.send(http::Request::builder(), &path, Body::empty()).await;
    assert_eq!(answer.status(), 200);
    let mut coming = answer.into_body().into_data_stream();
    let mut length = coming.next().await.unwrap().unwrap().len();
    end(&stage, ending).await;
    let is_whole = loop {
        match coming.next().await {
            Some(Ok(piece)) => length += piece.len(),
            // A broken stream of HTTP/2 says so whenever it is asked.
            Some(Err(_)) => break false,
            None => break true,
        }
    };
    drop((coming, connection));
    stage.stop().await;
    (length, is_whole)
}

#[tokio::test(flavor = "multi_thread")]
async fn download_ends_with_its_certificate() {
    for is_http_2 in [false, true] {
        let (length, is_whole) = download_that_was_under_way(is_http_2, Ending::Revoked).await;
        assert!(length < SIZE && !is_whole, "{is_http_2}: {length} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn download_ends_with_the_key_card() {
    for is_http_2 in [false, true] {
        let (length, is_whole) = download_that_was_under_way(is_http_2, Ending::LeftByTheKeyCard).await;
        assert!(length < SIZE && !is_whole, "{is_http_2}: {length} bytes");
    }
}
