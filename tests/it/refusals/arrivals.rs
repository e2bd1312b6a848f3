//! Who was here by the deadline is in time, however long others keep the writer busy; and nobody keeps another partner waiting for
//! more than one act.

use crate::harness::{
    census::files,
    exchange::fresh_key,
    process::until,
    stage::{GRACE, Stage, Step, slug},
    world::Store,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use entente::{
    client::api::Paging,
    domain::{
        entry::EntryKind,
        id::{ProposalId, Sha256},
        proposal::Status,
    },
    sealing::{identity::new_identity, seal::seal_bytes, statement::sign_statement},
    storage::{args, db::READERS},
    wire::{AGE_MEDIA_TYPE, directory::CreateProgram, entry::Entry, problem::Problem},
};
use futures_util::{future::join_all, stream};
use jiff::{SignedDuration, Timestamp};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::Path};
use tokio::sync::mpsc;

const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// Waits until so many acts of members stand in the queue of writers.
pub(super) async fn waiting(stage: &Stage, count: usize) {
    until("the acts that wait for the writer", async || {
        (stage.server.exchange.db.members_waiting() == count).then_some(())
    })
    .await;
}

/// The entries of a kind that the member sees.
async fn entries(stage: &Stage, member: &str, kind: EntryKind) -> Vec<Entry> {
    stage.client(member).api().entries(&[kind], &Paging::default()).await.unwrap().items
}

/// How many entries say that somebody fetched keys of a vault, by member and vault.
async fn fetches(stage: &Stage) -> BTreeMap<(String, String), u64> {
    let mut tx = stage.server.exchange.db.read().await.unwrap();
    let sql = "SELECT actor, payload FROM log_entries WHERE kind = 'key.fetched'";
    let mut found = BTreeMap::new();
    for row in tx.fetch_all(sql, args![]).await.unwrap() {
        let payload: Value = serde_json::from_str(&row.text("payload").unwrap()).unwrap();
        let vault = payload["vault"].as_str().unwrap().to_owned();
        *found.entry((row.text("actor").unwrap(), vault)).or_default() += 1;
    }
    found
}

/// When the request behind the newest entry of a kind had arrived, and when the act took place.
async fn instants(stage: &Stage, kind: EntryKind) -> (Timestamp, Timestamp) {
    let entry = entries(stage, "ISR:avi", kind).await.pop().unwrap();
    let payload: Value = serde_json::from_str(&entry.payload).unwrap();
    (payload["arrived_at"].as_str().unwrap().parse().unwrap(), entry.at.0)
}

async fn acts_that_arrived_by_the_deadline_are_in_time(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let (signed, withdrawn, edited) = (stage.prepared().await, stage.prepared().await, stage.prepared().await);
    let late = stage.prepared().await;
    let (avi, bob) = (stage.client("ISR:avi"), stage.client("USA:bob"));
    for proposal in [signed, late] {
        stage.sign("ISR:avi", proposal).await;
    }
    avi.api().withdraw_proposal(withdrawn).await.unwrap();
    let (plan, late) = (bob.plan_signature(signed).await.unwrap(), bob.plan_signature(late).await.unwrap());

    stage.clock.set(stage.deadline);
    let busy = stage.server.exchange.db.write().await.unwrap();
    let plan_slot = slug("work-plan");
    let later = stage.deadline + SECOND;
    let hours_pass = async {
        waiting(&stage, 4).await;
        stage.clock.set(later);
        drop(busy);
    };
    let joint = stage.joint();
    let (sign, reinstate, remove, create, ()) = tokio::join!(
        bob.sign(&plan),
        avi.api().reinstate_proposal(withdrawn),
        avi.api().remove_document(edited, &plan_slot),
        avi.create_proposal(&joint),
        hours_pass,
    );
    assert_eq!(sign.unwrap().status, Status::Submitted);
    // Prepared again, and by now too late to be handed in.
    assert_eq!(reinstate.unwrap().status, Status::Lapsed);
    remove.unwrap();
    create.unwrap();
    for kind in [
        EntryKind::ManifestSigned,
        EntryKind::ProposalReinstated,
        EntryKind::DocumentRemoved,
        EntryKind::ProposalCreated,
    ] {
        assert_eq!(instants(&stage, kind).await, (stage.deadline, later), "{kind}");
    }
    // The exchange has other things to do at this moment, and who arrives now is late all the same.
    stage.refuses("deadline-passed", bob.sign(&late)).await;
    stage.stop().await;
}

#[tokio::test]
async fn acts_that_arrived_by_the_deadline_are_in_time_however_long_the_writer_is_busy() {
    acts_that_arrived_by_the_deadline_are_in_time(Store::Sqlite).await;
    acts_that_arrived_by_the_deadline_are_in_time(Store::Postgres).await;
}

async fn requests_that_arrived_by_the_deadline_are_in_time(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let (signed, withdrawn, edited) = (stage.prepared().await, stage.prepared().await, stage.prepared().await);
    let large = stage.prepared().await;
    let (avi, bob, db) = (stage.client("ISR:avi"), stage.client("USA:bob"), &stage.server.exchange.db);
    stage.sign("ISR:avi", signed).await;
    stage.sign("ISR:avi", large).await;
    avi.api().withdraw_proposal(withdrawn).await.unwrap();
    let plan = bob.plan_signature(signed).await.unwrap();
    let sealed = sealed(9000);
    // As long as the manifest of a consortium with hundreds of documents.
    let manifest = bob.plan_signature(large).await.unwrap().manifest;
    let manifest = sign_statement(&*bob.signer().unwrap(), &manifest).unwrap();
    let long = format!("{}{}", json!({ "manifest": manifest }), " ".repeat(500_000));
    let raw = stage.raw(Some(stage.credential("USA:bob")));
    let signing = raw.request(Method::POST, &format!("/v1/proposals/{large}/manifests"));
    let signing = signing.header("content-type", "application/json").header("idempotency-key", fresh_key()).body(long);

    stage.clock.set(stage.deadline);
    let mut busy = Vec::new();
    for _ in 0..READERS {
        busy.push(db.read().await.unwrap());
    }
    let plan_slot = slug("work-plan");
    let later = stage.deadline + SECOND;
    let hours_pass = async {
        // Who sends them is not even known yet.
        until("the requests that wait for a reader", async || (db.readers_waiting() == 5).then_some(())).await;
        stage.clock.set(later);
        drop(busy);
    };
    let (sign, long, reinstate, remove, uploaded, ()) = tokio::join!(
        bob.sign(&plan),
        signing.send(),
        avi.api().reinstate_proposal(withdrawn),
        avi.api().remove_document(edited, &plan_slot),
        put(&stage, "ISR:avi", edited, &sealed).body(sealed.clone()).send(),
        hours_pass,
    );
    assert_eq!(sign.unwrap().status, Status::Submitted);
    let status = long.unwrap().status();
    assert!(status.is_success(), "{status}");
    reinstate.unwrap();
    remove.unwrap();
    assert_eq!(uploaded.unwrap().status(), 201);
    for kind in [
        EntryKind::ManifestSigned,
        EntryKind::ProposalReinstated,
        EntryKind::DocumentRemoved,
        EntryKind::DocumentStored,
    ] {
        assert_eq!(instants(&stage, kind).await, (stage.deadline, later), "{kind}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn requests_that_arrived_by_the_deadline_are_in_time_however_long_the_readers_are_busy() {
    requests_that_arrived_by_the_deadline_are_in_time(Store::Sqlite).await;
    requests_that_arrived_by_the_deadline_are_in_time(Store::Postgres).await;
}

/// How many documents, whole or in part, lie in the folder of sealed documents.
pub(super) fn begun_in(folder: &Path) -> usize {
    files(&folder.join("blobs").join("blobs")).len()
}

/// A body that is sent piece by piece, until the other end is dropped.
pub(super) fn in_pieces() -> (mpsc::Sender<Vec<u8>>, reqwest::Body) {
    let (hand_over, pieces) = mpsc::channel::<Vec<u8>>(1);
    let pieces = stream::unfold(pieces, async |mut pieces| {
        let piece = pieces.recv().await?;
        Some((Ok::<_, std::io::Error>(piece), pieces))
    });
    (hand_over, reqwest::Body::wrap_stream(pieces))
}

/// A document of some such size, sealed to nobody of this world.
fn sealed(size: usize) -> Vec<u8> {
    seal_bytes(&[new_identity().recipient().to_owned()], &vec![7; size]).unwrap()
}

/// One that is too large to be read before it is known who sends it.
pub(super) fn sealed_annex() -> Vec<u8> {
    sealed(90_000)
}

/// The request by which a member uploads it.
pub(super) fn put(stage: &Stage, member: &str, proposal: ProposalId, sealed: &[u8]) -> RequestBuilder {
    let digest = BASE64_STANDARD.encode(Sha256::of(sealed).as_bytes());
    stage
        .raw(Some(stage.credential(member)))
        .request(Method::PUT, &format!("/v1/proposals/{proposal}/documents/annex"))
        .header("idempotency-key", fresh_key())
        .header("content-type", AGE_MEDIA_TYPE)
        .header("content-length", sealed.len())
        .header("entente-media-type", "application/octet-stream")
        .header("repr-digest", format!("sha-256=:{digest}:"))
}

/// Sends a document whose last bytes leave at `last_byte`, while the writer is busy until `turn`: the status and the problem.
async fn upload(stage: &Stage, proposal: ProposalId, last_byte: Timestamp, turn: Timestamp) -> (u16, Option<Problem>) {
    let sealed = sealed_annex();
    let (first, second) = sealed.split_at(4000);
    let (hand_over, body) = in_pieces();
    hand_over.send(first.to_vec()).await.unwrap();
    let request = put(stage, "ISR:avi", proposal, &sealed).body(body);
    let answer = tokio::spawn(request.send());
    until("the first bytes", async || (begun_in(&stage.plan.dir) > 0).then_some(())).await;
    let busy = stage.server.exchange.db.write().await.unwrap();
    stage.clock.set(last_byte);
    hand_over.send(second.to_vec()).await.unwrap();
    drop(hand_over);
    waiting(stage, 1).await;
    stage.clock.set(turn);
    drop(busy);
    let answer = answer.await.unwrap().unwrap();
    (answer.status().as_u16(), answer.json().await.ok())
}

#[tokio::test]
async fn document_is_judged_by_the_arrival_of_its_last_byte() {
    let (stage, proposal) = Stage::at(Step::Begun).await;
    let (status, _) = upload(&stage, proposal, stage.deadline, stage.deadline + GRACE + SECOND).await;
    assert_eq!(status, 201);
    assert_eq!(instants(&stage, EntryKind::DocumentStored).await, (stage.deadline, stage.deadline + GRACE + SECOND));
    stage.stop().await;

    // Begun in time is not arrived in time.
    let (stage, proposal) = Stage::at(Step::Begun).await;
    let late = stage.deadline + SignedDuration::from_millis(1);
    let (status, problem) = upload(&stage, proposal, late, late + SECOND).await;
    assert_eq!((status, problem.unwrap().slug()), (409, "not-committed"));
    stage.stop().await;
}

async fn document_takes_no_turn_before_its_last_byte(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let proposal = stage.client("ISR:avi").create_proposal(&stage.joint()).await.unwrap().id;
    let sealed = sealed_annex();
    stage.clock.set(stage.deadline);
    let busy = stage.server.exchange.db.write().await.unwrap();
    // A member who may not is refused while others write.
    let refused = put(&stage, "ISR:tamar", proposal, &sealed).body(sealed.clone()).send().await.unwrap();
    assert_eq!(refused.status(), 404);
    // The first thing that waits is the whole document.
    let answer = tokio::spawn(put(&stage, "ISR:avi", proposal, &sealed).body(sealed.clone()).send());
    waiting(&stage, 1).await;
    let turn = stage.deadline + GRACE + SECOND;
    stage.clock.set(turn);
    drop(busy);
    assert_eq!(answer.await.unwrap().unwrap().status(), 201);
    assert_eq!(instants(&stage, EntryKind::DocumentStored).await, (stage.deadline, turn));
    stage.stop().await;
}

#[tokio::test]
async fn document_takes_no_turn_at_writing_before_its_last_byte_is_here() {
    document_takes_no_turn_before_its_last_byte(Store::Sqlite).await;
    document_takes_no_turn_before_its_last_byte(Store::Postgres).await;
}

async fn flood_of_one_partner_holds_up_the_others_for_one_act(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let busy = stage.server.exchange.db.write().await.unwrap();
    let dana = stage.client("USA:dana").api();
    let bodies: Vec<CreateProgram> = (0..20)
        .map(|number| CreateProgram {
            name: format!("Program {number}"),
            lead: "USA".parse().unwrap(),
            partners: ["USA".parse().unwrap(), "ISR".parse().unwrap()].into(),
        })
        .collect();
    let flood = join_all(bodies.iter().map(|body| dana.create_program(body)));
    let joint = stage.joint();
    let innocent = async {
        waiting(&stage, 20).await;
        let theirs = async {
            waiting(&stage, 21).await;
            drop(busy);
        };
        tokio::join!(stage.client("ISR:avi").create_proposal(&joint), theirs).0
    };
    let (flood, innocent) = tokio::join!(flood, innocent);
    assert!(flood.iter().all(Result::is_ok));
    innocent.unwrap();
    let theirs = entries(&stage, "ISR:avi", EntryKind::ProposalCreated).await.pop().unwrap().seq;
    let before = entries(&stage, "USA:dana", EntryKind::ProgramCreated).await;
    // The stage's own program, and the one act of the flood that was first.
    assert_eq!(before.iter().filter(|entry| entry.seq < theirs).count(), 2);
    stage.stop().await;
}

#[tokio::test]
async fn flood_of_one_partner_holds_up_the_others_for_one_act_only() {
    flood_of_one_partner_holds_up_the_others_for_one_act(Store::Sqlite).await;
    flood_of_one_partner_holds_up_the_others_for_one_act(Store::Postgres).await;
}

async fn gathered_reads(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let proposal = stage.begun().await;
    let before = fetches(&stage).await;
    let busy = stage.server.exchange.db.write().await.unwrap();
    let readers = ["ISR:avi", "USA:bob"];
    let clients = readers.map(|member| stage.client(member).api());
    let reads = (0..20).map(|number| clients[number % 2].vaults(proposal));
    let turn = async {
        waiting(&stage, 20).await;
        drop(busy);
    };
    let (read, ()) = tokio::join!(join_all(reads), turn);
    // A read leaves an entry for each vault of which it hands out keys.
    let mut wanted = before;
    for (number, vaults) in read.into_iter().enumerate() {
        let fetched: Vec<_> = vaults.unwrap().into_iter().filter(|vault| !vault.keys.is_empty()).collect();
        assert!(!fetched.is_empty());
        for vault in fetched {
            *wanted.entry((readers[number % 2].to_owned(), vault.id.to_string())).or_default() += 1;
        }
    }
    assert_eq!(fetches(&stage).await, wanted);
    stage.stop().await;
}

#[tokio::test]
async fn reads_that_wait_together_leave_an_entry_each() {
    gathered_reads(Store::Sqlite).await;
    gathered_reads(Store::Postgres).await;
}
