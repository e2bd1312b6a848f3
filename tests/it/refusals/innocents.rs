//! A member takes as much as they can of what is shared: one of another partner acts meanwhile, and none of their acts waits for long.

use super::lies::key_of;
use crate::harness::{
    exchange::fresh_key,
    hostile::{upload_head, wrapped_keys},
    innocent::innocent_acts_in_time,
    process::until,
    stage::{Stage, id},
    tus::Sender,
    world::{Raw, Store},
    worst_texts::worst_texts,
};
use entente::{
    client::api::Paging,
    domain::{
        id::{ProposalId, Sha256, VaultId},
        policy::PolicyOwner,
    },
    sealing::seal::seal_bytes,
};
use futures_util::{future::join_all, stream};
use reqwest::{Method, RequestBuilder, Response};
use std::{
    collections::VecDeque,
    io,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsConnector;

/// What one does at a time in a flood that nothing else bounds.
const GREED: usize = 4;

/// Acts of another partner's member, each over a new connection.
async fn innocent_acts(stage: &Stage) {
    innocent_acts_in_time(stage, "USA:dana").await;
}

/// The same beside a flood, which has no end.
async fn beside(stage: &Stage, flood: impl Future<Output = ()>) {
    tokio::select! {
        () = flood => unreachable!("it has no end"),
        () = innocent_acts(stage) => {}
    }
}

/// Opens connections without an end and reads no answer.
async fn connections(stage: &Stage) {
    let connector = TlsConnector::from(Arc::new(stage.tls(Some(stage.credential("ISR:avi")))));
    let mut kept = VecDeque::new();
    loop {
        let tcp = TcpStream::connect(stage.address()).await.unwrap();
        // It may have given way to the next one already.
        let Ok(mut tls) = connector.connect("localhost".try_into().unwrap(), tcp).await else { continue };
        let _ = tls.write_all(b"GET /v1/me HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        kept.push_back(tls);
        if kept.len() > 100 {
            kept.pop_front();
        }
    }
}

/// Connects under one certificate after another that no key card names, all of one authority, and asks.
async fn certificates_without_key_cards(stage: &Stage) {
    let strangers: Vec<_> = (0..8).map(|_| stage.next_credential("ISR:nobody")).collect();
    let connectors = strangers.iter().map(|stranger| TlsConnector::from(Arc::new(stage.tls(Some(stranger)))));
    let mut kept = VecDeque::new();
    for connector in connectors.collect::<Vec<_>>().iter().cycle() {
        let tcp = TcpStream::connect(stage.address()).await.unwrap();
        let Ok(mut tls) = connector.connect("localhost".try_into().unwrap(), tcp).await else { continue };
        let _ = tls.write_all(b"GET /v1/me HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        kept.push_back(tls);
        if kept.len() > 100 {
            kept.pop_front();
        }
    }
}

/// Connects and says nothing, without an end, from addresses of this machine alone where it has more than one.
async fn silent_strangers(stage: &Stage) {
    let mut kept = VecDeque::new();
    for last in (1..=u8::MAX).cycle() {
        let socket = TcpSocket::new_v4().unwrap();
        // Where this machine has one such address only, all come from it.
        let _ = socket.bind((Ipv4Addr::new(127, 7, 7, last), 0).into());
        let Ok(tcp) = socket.connect(stage.address()).await else { continue };
        kept.push_back(tcp);
        if kept.len() > 600 {
            kept.pop_front();
        }
    }
}

/// Withdraws a proposal and brings it back without an end, and as often does what is refused.
async fn acts(stage: &Stage, proposal: ProposalId) {
    let (avi, tamar) = (stage.raw(Some(stage.credential("ISR:avi"))), stage.raw(Some(stage.credential("ISR:tamar"))));
    loop {
        for raw in [&avi, &tamar] {
            for what in ["withdraw", "reinstate"] {
                let request = raw.request(Method::POST, &format!("/v1/proposals/{proposal}/{what}"));
                drop(request.header("idempotency-key", fresh_key()).send().await.unwrap());
            }
        }
    }
}

/// Sends such requests without an end, several at a time, whatever is answered. Keeps the last answers unread if it is to hold them.
async fn flood(stage: &Stage, member: &str, holds: bool, request: impl Fn(&Raw) -> RequestBuilder) {
    let raw = stage.raw(Some(stage.credential(member)));
    many(|| repeated(&raw, holds, &request)).await;
}

async fn repeated(raw: &Raw, holds: bool, request: &impl Fn(&Raw) -> RequestBuilder) {
    let mut held = VecDeque::new();
    loop {
        let Ok(answer) = request(raw).send().await else { continue };
        if holds {
            held.push_back(answer);
            if held.len() > GREED {
                held.pop_front();
            }
        } else {
            // It may break off.
            let _ = answer.bytes().await;
        }
    }
}

/// Breaks documents off in the middle, without an end.
async fn broken_uploads(stage: &Stage, proposal: ProposalId, sealed: &[u8]) {
    let connector = TlsConnector::from(Arc::new(stage.tls(Some(stage.credential("ISR:avi")))));
    let digest = Sha256::of(sealed);
    loop {
        let tcp = TcpStream::connect(stage.address()).await.unwrap();
        let Ok(mut tls) = connector.connect("localhost".try_into().unwrap(), tcp).await else { continue };
        let head = upload_head(proposal, ("annex", "application/octet-stream"), &fresh_key(), &digest, sealed.len());
        let _ = tls.write_all(head.as_bytes()).await;
        let _ = tls.write_all(&sealed[..sealed.len() / 2]).await;
        let _ = tls.flush().await;
    }
}

/// Begins uploads that can be resumed, sends single bytes, and last bytes again and again, each of which would be the end of it if the digest
/// were the announced one. Without an end.
async fn resumable_uploads(stage: &Stage, proposal: ProposalId, sealed: &[u8]) {
    let (avi, another, last) = (Sender::new(stage, "ISR:avi", proposal), Sha256::of(b"another"), sealed.len() - 1);
    loop {
        let Ok(begun) = avi.beginning(sealed.len(), Some(another)).send().await else { continue };
        let Some(path) = begun.headers().get("location").map(|path| path.to_str().unwrap().to_owned()) else {
            continue;
        };
        // Whatever is answered: others begin in its place.
        for at in 0..8 {
            let _ = avi.appending(&path, at).body(sealed[at..=at].to_vec()).send().await;
        }
        let _ = avi.appending(&path, 8).body(sealed[8..last].to_vec()).send().await;
        for _ in 0..4 {
            let _ = avi.appending(&path, last).body(sealed[last..].to_vec()).send().await;
        }
    }
}

/// Requests whose bodies do not come, until their sender gets no more.
async fn slow_bodies(stage: &Stage, path: &str, length: usize) -> JoinSet<reqwest::Result<Response>> {
    let avi = stage.raw(Some(stage.credential("ISR:avi")));
    let post = || {
        let request = avi.request(Method::POST, path).header("idempotency-key", fresh_key());
        request.header("content-type", "application/json")
    };
    let mut slow = JoinSet::new();
    // A question takes a place, too, and may have taken that of a slow one: so another one comes with each.
    until(&format!("that one has as much as one may of {path}"), async || {
        let body = reqwest::Body::wrap_stream(stream::pending::<io::Result<Vec<u8>>>());
        slow.spawn(post().header("content-length", length).body(body).send());
        let answer = post().body("{}").send().await.unwrap();
        (answer.status() == 429).then_some(())
    })
    .await;
    slow
}

/// So many of a flood at a time.
async fn many<F: Future<Output = ()>>(one: impl Fn() -> F) {
    join_all((0..GREED).map(|_| one())).await;
}

/// The panel's vault of a proposal, and Avi's recipient for it.
async fn panel(stage: &Stage, proposal: ProposalId) -> (VaultId, String) {
    let vaults = stage.client("ISR:avi").api().vaults(proposal).await.unwrap();
    let panel = vaults.into_iter().find(|vault| vault.kind.as_str() == "panel").unwrap();
    let key = panel.keys.into_iter().find(|key| key.holder == "ISR:avi").unwrap();
    (panel.id, key.recipient)
}

async fn innocent_acts_beside_readers(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let proposal = stage.begun().await;
    let israel: PolicyOwner = "ISR".parse().unwrap();
    let (_, text) = worst_texts(true).swap_remove(0);
    let draft = stage.client("ISR:drafter").propose_policy(&israel, "ISR", &text, None).await.unwrap().version;
    let number = AtomicUsize::new(0);
    let get = |raw: &Raw, path: &str| raw.request(Method::GET, path);
    let manifest = |raw: &Raw| get(raw, "/v1/partners/ISR/visibility");
    let preview = |raw: &Raw| get(raw, &format!("/v1/policies/ISR/versions/{draft}/preview"));
    for holds in [false, true] {
        beside(&stage, flood(&stage, "ISR:drafter", holds, manifest)).await;
        beside(&stage, flood(&stage, "ISR:drafter", holds, preview)).await;
    }
    // Each count by another topic, so that none is known from before.
    let count = |raw: &Raw| get(raw, &format!("/v1/proposals/count?topic=t{}", number.fetch_add(1, Ordering::Relaxed)));
    beside(&stage, flood(&stage, "ISR:avi", false, count)).await;
    beside(&stage, flood(&stage, "ISR:avi", false, |raw| get(raw, "/v1/entries"))).await;
    beside(&stage, flood(&stage, "ISR:avi", false, |raw| get(raw, "/v1/inbox"))).await;
    // All places for requests that wait, which hold none of the others.
    let bookmark = stage.client("ISR:avi").api().entries(&[], &Paging::default()).await.unwrap().bookmark.unwrap();
    let waits = format!("/v1/entries?wait=30&cursor={bookmark}");
    beside(&stage, flood(&stage, "ISR:avi", false, |raw| get(raw, &waits))).await;
    // It leaves an entry.
    let vaults = format!("/v1/proposals/{proposal}/vaults");
    beside(&stage, flood(&stage, "ISR:avi", false, |raw| get(raw, &vaults))).await;
    // Under the worst text in force each decision costs most, and these make many.
    stage.client("ISR:drafter").api().withdraw_policy(&israel, draft).await.unwrap();
    stage.israel_adds(&text).await;
    let why = format!("/v1/proposals/{proposal}/explanation?action=ReadStaff&owner=USA");
    beside(&stage, flood(&stage, "ISR:avi", false, |raw| get(raw, &why))).await;
    let missing = format!("/v1/proposals/{proposal}/missing-keys");
    beside(&stage, flood(&stage, "ISR:avi", false, |raw| get(raw, &missing))).await;
    beside(&stage, flood(&stage, "ISR:avi", false, |raw| get(raw, "/v1/entries"))).await;
    stage.stop().await;
}

async fn innocent_acts_beside_senders(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let proposal = stage.begun().await;
    let (vault, recipient) = panel(&stage, proposal).await;
    let keys = wrapped_keys(&key_of(&stage, "ISR:avi"), vault, &id("ISR:avi"), &recipient);
    let wrap = |raw: &Raw| {
        let request = raw.request(Method::POST, &format!("/v1/vaults/{vault}/keys"));
        let request = request.header("Idempotency-Key", fresh_key()).header("Content-Type", "application/json");
        request.body(keys.clone())
    };
    beside(&stage, flood(&stage, "ISR:avi", false, wrap)).await;
    let sealed = seal_bytes(&[recipient], &vec![7; 150_000]).unwrap();
    beside(&stage, many(|| broken_uploads(&stage, proposal, &sealed))).await;
    beside(&stage, many(|| resumable_uploads(&stage, proposal, &sealed))).await;
    stage.stop().await;
}

async fn innocent_acts_beside(store: Store) {
    let settings = [("limits.requests_per_member", "10")];
    let Some(stage) = Stage::open_with(store, &settings).await else { return };
    let proposal = stage.begun().await;
    beside(&stage, many(|| connections(&stage))).await;
    beside(&stage, many(|| certificates_without_key_cards(&stage))).await;
    beside(&stage, silent_strangers(&stage)).await;
    beside(&stage, many(|| acts(&stage, proposal))).await;
    // As many requests as one may have; and fewer, with as many bytes as one may have on the way.
    let begin = format!("/v1/proposals?call={}", stage.call);
    for (path, length) in [("/v1/programs", 1000), (&*begin, 4 << 20)] {
        let slow = slow_bodies(&stage, path, length).await;
        innocent_acts(&stage).await;
        drop(slow);
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn innocent_member_of_another_partner_acts_soon_whatever_one_takes() {
    innocent_acts_beside(Store::Sqlite).await;
    innocent_acts_beside(Store::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn innocent_member_of_another_partner_acts_soon_whatever_one_reads() {
    innocent_acts_beside_readers(Store::Sqlite).await;
    innocent_acts_beside_readers(Store::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn innocent_member_of_another_partner_acts_soon_whatever_one_sends_or_breaks_off() {
    innocent_acts_beside_senders(Store::Sqlite).await;
    innocent_acts_beside_senders(Store::Postgres).await;
}
