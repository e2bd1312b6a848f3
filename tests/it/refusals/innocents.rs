//! A member takes as much as they can of what is shared: one of another partner acts meanwhile, and none of their acts waits for long.

use crate::harness::{
    exchange::fresh_key, innocent::innocent_acts_in_time, process::until, stage::Stage, world::Store,
};
use entente::domain::id::ProposalId;
use futures_util::{future::join_all, stream};
use reqwest::{Method, Response};
use std::{collections::VecDeque, io, sync::Arc};
use tokio::{io::AsyncWriteExt, net::TcpStream, task::JoinSet};
use tokio_rustls::TlsConnector;

/// What one does at a time in a flood that nothing else bounds.
const GREED: usize = 8;

/// Acts of another partner's member, each over a new connection.
async fn innocent_acts(stage: &Stage) {
    for _ in 0..5 {
        innocent_acts_in_time(stage, "USA:dana").await;
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

async fn innocent_acts_beside(store: Store) {
    let settings = [("limits.requests_per_member", "10")];
    let Some(stage) = Stage::open_with(store, &settings).await else { return };
    let proposal = stage.begun().await;
    tokio::select! {
        _ = join_all((0..GREED).map(|_| connections(&stage))) => unreachable!("they have no end"),
        () = innocent_acts(&stage) => {}
    }
    tokio::select! {
        _ = join_all((0..GREED).map(|_| acts(&stage, proposal))) => unreachable!("they have no end"),
        () = innocent_acts(&stage) => {}
    }
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
