//! Uploads that can be resumed take no more than their members may have: what is awaited once, so many of a member, and nothing of those who
//! can add no more to them. What keeps the exchange from making a document of bytes that are here makes nobody late.

use super::{
    announced::{committed, send, with},
    arrivals::{begun_in, in_pieces, put},
};
use crate::harness::{
    process::until,
    stage::{GRACE, Stage, Step, id},
    tus::{Sender, address, kept, problem, sealed},
    world::Store,
};
use entente::{
    client::directory::NewKeyCard,
    domain::{
        ambient::Clock as _,
        id::{ProposalId, Sha256, UploadId},
    },
    service::upkeep,
    storage::{
        Turn,
        uploads::{self, UploadRow},
    },
    wire::problem::Problem,
};
use jiff::{SignedDuration, Timestamp};
use reqwest::Response;

const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// What of a refusal says which quota it is.
async fn quota(response: Response) -> String {
    assert_eq!(response.status(), 409);
    let problem = response.json::<Problem>().await.unwrap();
    assert_eq!(problem.slug(), "quota-reached", "{}", problem.detail);
    problem.detail
}

/// The row of an upload, by its address.
async fn row(stage: &Stage, path: &str) -> UploadRow {
    let upload: UploadId = path.rsplit('/').next().unwrap().parse().unwrap();
    let mut tx = stage.server.exchange.db.read().await.unwrap();
    uploads::find(&mut tx, upload).await.unwrap().unwrap()
}

async fn is_taken_once(store: Store) {
    let Some(stage) = with(store, &[("quotas.documents_per_slot", "1")]).await else { return };
    let (proposal, annex) = committed(&stage).await;
    let none_of_them = "no more than 1 document of one party in one slot";
    let [avi, bob] = ["ISR:avi", "USA:bob"].map(|member| Sender::new(&stage, member, proposal));
    let of_avi = avi.begin(annex.len(), None).await;
    // One that is sent at once is another one, with its digest as without, and so is one that takes its time.
    let (status, told) = send(&stage, "ISR:avi", proposal, &annex).await;
    assert!(status == 409 && told.contains(none_of_them), "{told}");
    // The other party has one of its own.
    let of_bob = bob.begin(annex.len(), Some(Sha256::of(&annex))).await;
    // Each part passes, and another begun by the same member in its place.
    assert_eq!(avi.append(&of_avi, 0, &annex[..500]).await.status(), 204);
    let of_avi = avi.begin(annex.len(), None).await;
    assert_eq!(avi.append(&of_avi, 0, &annex[..500]).await.status(), 204);
    assert_eq!(avi.append(&of_avi, 500, &annex[500..]).await.status(), 204);
    // It is here, so nobody waits for another one of the same nation. What the other nation began is within its own number.
    let told = quota(avi.beginning(annex.len(), None).send().await.unwrap()).await;
    assert!(told.contains(none_of_them), "{told}");
    assert_eq!(bob.append(&of_bob, 0, &annex).await.status(), 204);
    stage.stop().await;
}

#[tokio::test]
async fn awaited_document_passes_the_quotas_in_one_upload_of_a_nation() {
    is_taken_once(Store::Sqlite).await;
    is_taken_once(Store::Postgres).await;
}

#[tokio::test]
async fn awaited_document_that_a_colleague_sends_over_time_counts_as_any_other() {
    let stage = with(Store::Sqlite, &[("quotas.documents_per_slot", "1")]).await.unwrap();
    let (proposal, annex) = committed(&stage).await;
    stage.joins("ISR:avi", proposal, "ISR:tamar").await;
    let [avi, tamar] = ["ISR:avi", "ISR:tamar"].map(|member| Sender::new(&stage, member, proposal));
    let path = avi.begin(annex.len(), None).await;
    let told = quota(tamar.beginning(annex.len(), None).send().await.unwrap()).await;
    assert!(told.contains("no more than 1 document of one party in one slot"), "{told}");
    // Taken back, it is the colleague's to send; and beside one that comes at once none is begun.
    assert_eq!(avi.removing(&path).send().await.unwrap().status(), 204);
    let (hand_over, body) = in_pieces();
    hand_over.send(annex[..4000].to_vec()).await.unwrap();
    let begun = begun_in(&stage.plan.dir);
    let coming = tokio::spawn(put(&stage, "ISR:avi", proposal, &annex).body(body).send());
    until("the first bytes", async || (begun_in(&stage.plan.dir) > begun).then_some(())).await;
    quota(tamar.beginning(annex.len(), None).send().await.unwrap()).await;
    drop(hand_over);
    drop(coming.await.unwrap());
    let path = until("room for another attempt", async || {
        let begun = tamar.beginning(annex.len(), None).send().await.unwrap();
        (begun.status() == 201).then(|| address(begun))
    })
    .await;
    assert_eq!(tamar.append(&path, 0, &annex).await.status(), 204);
    stage.stop().await;
}

async fn counts_once(store: Store) {
    // A party's own have some 30 KiB, and an annex some 90 KiB.
    let Some(stage) = with(store, &[("quotas.bytes_per_partner", "220000")]).await else { return };
    let (proposal, annex) = committed(&stage).await;
    let other = stage.begun().await;
    let (avi, elsewhere) = (Sender::new(&stage, "ISR:avi", proposal), Sender::new(&stage, "ISR:avi", other));
    let path = avi.begin(annex.len(), None).await;
    // For the announced annex there is room, and for another document beside it, but not for two.
    let bytes = sealed(60_000);
    let beside = elsewhere.begin(bytes.len(), None).await;
    let told = quota(elsewhere.begins("work-plan", "application/pdf", 60_000, None).send().await.unwrap()).await;
    assert!(told.contains("no more than 220000 bytes of all documents that one partner has uploaded"), "{told}");
    for (sender, path, bytes) in [(&avi, path, &annex), (&elsewhere, beside, &bytes)] {
        assert_eq!(sender.append(&path, 0, bytes).await.status(), 204);
    }
    stage.stop().await;
}

#[tokio::test]
async fn awaited_upload_counts_once_against_its_own_nation() {
    counts_once(Store::Sqlite).await;
    counts_once(Store::Postgres).await;
}

async fn member_has_so_many(store: Store) {
    let Some(stage) = Stage::open_with(store, &[("quotas.uploads_per_member", "2")]).await else { return };
    let (proposal, other) = (stage.begun().await, stage.begun().await);
    stage.joins("ISR:avi", other, "ISR:tamar").await;
    let (avi, elsewhere) = (Sender::new(&stage, "ISR:avi", proposal), Sender::new(&stage, "ISR:avi", other));
    let bytes = sealed(1000);
    let path = avi.begin(bytes.len(), None).await;
    address(avi.begins("work-plan", "application/pdf", bytes.len(), None).send().await.unwrap());
    let before = stage.census().await;
    let told = quota(elsewhere.beginning(bytes.len(), None).send().await.unwrap()).await;
    assert!(told.contains("no more than 2 unfinished uploads of one member"), "{told}");
    assert_eq!(stage.census().await, before);
    // One in the place of another is none more; a colleague has their own; and what is at its end counts no longer.
    avi.begin(bytes.len(), None).await;
    Sender::new(&stage, "ISR:tamar", other).begin(bytes.len(), None).await;
    assert_eq!(problem(avi.append(&path, 0, &bytes).await).await.0, 404);
    let path = avi.begin(bytes.len(), None).await;
    assert_eq!(avi.append(&path, 0, &bytes).await.status(), 204);
    elsewhere.begin(bytes.len(), None).await;
    stage.stop().await;
}

#[tokio::test]
async fn member_has_so_many_uploads_that_are_not_at_their_end() {
    member_has_so_many(Store::Sqlite).await;
    member_has_so_many(Store::Postgres).await;
}

/// Sends an upload in two parts while a colleague's is looked through, and breaks off while it waits to be looked through itself: its request
/// has gone then. With what is returned the wait ends.
async fn gone_before_the_look(stage: &Stage, avi: &Sender, path: &str, (first, rest): (&[u8], &[u8])) -> Turn {
    let exchange = &stage.server.exchange;
    assert_eq!(avi.append(path, 0, first).await.status(), 204);
    let turn = exchange.long_work.upload(&id("ISR:noa")).await.unwrap();
    let sent = tokio::spawn(avi.appending(path, first.len()).body(rest.to_vec()).send());
    until("the look", async || (exchange.long_work.uploads_waiting() == 1).then_some(())).await;
    sent.abort();
    assert!(sent.await.unwrap_err().is_cancelled());
    // A request holds the file of its upload until it ends.
    let UploadRow { blob, size, whole_at, .. } = row(stage, path).await;
    assert!(whole_at.is_some());
    drop(until("the end of the request", async || exchange.blobs.resume(&blob, size).await.unwrap()).await);
    assert_eq!(exchange.long_work.uploads_waiting(), 1, "the look goes on waiting");
    turn
}

/// Sends an upload in two parts of which no document is made, since its request has gone by the time at which it is looked through.
async fn here_and_no_document(stage: &Stage, avi: &Sender, path: &str, bytes: &[u8]) {
    let turn = gone_before_the_look(stage, avi, path, bytes.split_at(500)).await;
    // Another nation's waits for neither.
    let (bob, also) = (Sender::new(stage, "USA:bob", avi.proposal), sealed(2000));
    let of_bob = bob.begin(also.len(), None).await;
    assert_eq!(bob.append(&of_bob, 0, &also[..500]).await.status(), 204);
    assert_eq!(bob.append(&of_bob, 500, &also[500..]).await.status(), 204);
    drop(turn);
    // The look goes on without its request, so the next one has nothing to look through.
    let noted = until("the digest", async || row(stage, path).await.whole_sha256).await;
    assert_eq!(noted, Sha256::of(bytes));
    assert!(row(stage, path).await.document.is_none());
}

async fn is_settled_when_not_sealed(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let (avi, bytes) = (Sender::new(&stage, "ISR:avi", stage.begun().await), sealed(90_000));
    let path = avi.begin(bytes.len(), None).await;
    // The first line of an age file, and no such file after it.
    let (first, rest) = bytes.split_at(bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1);
    let turn = gone_before_the_look(&stage, &avi, &path, (first, vec![b'x'; rest.len()].as_slice())).await;
    drop(turn);
    until("the end of the look", async || row(&stage, &path).await.whole_at.is_none().then_some(())).await;
    until("the bytes are gone", async || (kept(&stage) == 0).then_some(())).await;
    let settled = row(&stage, &path).await;
    assert_eq!((settled.whole_sha256, settled.document, avi.offset(&path).await), (None, None, 0));
    // It is empty and stays its member's: what is sealed follows.
    assert_eq!(avi.append(&path, 0, first).await.status(), 204);
    assert_eq!(avi.append(&path, first.len(), rest).await.status(), 204);
    assert_eq!(avi.shown(&path).await.document.unwrap().sha256, Sha256::of(&bytes));
    stage.stop().await;
}

#[tokio::test]
async fn upload_that_is_not_sealed_is_thrown_away_though_its_request_has_gone() {
    is_settled_when_not_sealed(Store::Sqlite).await;
    is_settled_when_not_sealed(Store::Postgres).await;
}

/// Sends the last byte of an upload again: when the document arrived, or the problem.
async fn again(avi: &Sender, path: &str, bytes: &[u8]) -> Result<Timestamp, String> {
    let last = bytes.len() - 1;
    assert_eq!(avi.offset(path).await, last, "clients would take it for done");
    let answer = avi.append(path, last, &bytes[last..]).await;
    if answer.status() != 204 {
        return Err(problem(answer).await.1);
    }
    Ok(avi.shown(path).await.document.unwrap().uploaded_at.0)
}

async fn here_in_time(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let bytes = sealed(90_000);
    let (proposal, other) = (stage.begun().await, stage.begun().await);
    stage.clock.set(stage.deadline);
    let [avi, also] = [proposal, other].map(|proposal| Sender::new(&stage, "ISR:avi", proposal));
    let (path, path_also) = (avi.begin(bytes.len(), None).await, also.begin(bytes.len(), None).await);
    here_and_no_document(&stage, &avi, &path, &bytes).await;
    here_and_no_document(&stage, &also, &path_also, &bytes).await;
    stage.clock.set(stage.deadline + SignedDuration::from_mins(5));
    assert_eq!(again(&avi, &path, &bytes).await, Ok(stage.deadline));
    // Nobody decides long after the deadline whether a document was in time.
    stage.clock.set(stage.deadline + GRACE + SECOND);
    assert_eq!(again(&also, &path_also, &bytes).await, Err("grace-passed".to_owned()));
    stage.stop().await;
}

#[tokio::test]
async fn upload_whose_bytes_were_here_by_the_deadline_is_in_time_though_its_document_is_made_later() {
    here_in_time(Store::Sqlite).await;
    here_in_time(Store::Postgres).await;
}

#[tokio::test]
async fn bytes_that_are_sent_after_others_were_thrown_away_count_from_their_own_arrival() {
    let stage = Stage::open().await;
    let (avi, bytes) = (Sender::new(&stage, "ISR:avi", stage.begun().await), sealed(90_000));
    let path = avi.begin(bytes.len(), Some(Sha256::of(&bytes))).await;
    let mut others = bytes.clone();
    *others.last_mut().unwrap() ^= 1;
    stage.clock.set(stage.deadline);
    here_and_no_document(&stage, &avi, &path, &others).await;
    assert_eq!(again(&avi, &path, &others).await, Err("digest-mismatch".to_owned()));
    assert_eq!((avi.offset(&path).await, kept(&stage)), (0, 0));
    // By the instant of those that are gone they may come still, and the document is late.
    stage.clock.set(stage.deadline + SECOND);
    assert_eq!(avi.append(&path, 0, &bytes[..500]).await.status(), 204);
    assert_eq!(row(&stage, &path).await.whole_at, None);
    let late = problem(avi.append(&path, 500, &bytes[500..]).await).await;
    assert_eq!(late, (409, "not-committed".to_owned()));
    stage.stop().await;
}

/// Avi and Tamar are of one party, and Avi has as much on the way as leaves Tamar no room.
async fn without_room(store: Store) -> Option<(Stage, ProposalId, Vec<u8>)> {
    let stage = Stage::open_with(store, &[("quotas.documents_per_slot", "1")]).await?;
    let (proposal, bytes) = (stage.begun().await, sealed(1000));
    stage.joins("ISR:avi", proposal, "ISR:tamar").await;
    let avi = Sender::new(&stage, "ISR:avi", proposal);
    let path = avi.begin(bytes.len(), None).await;
    assert_eq!(avi.append(&path, 0, &bytes[..10]).await.status(), 204);
    quota(Sender::new(&stage, "ISR:tamar", proposal).beginning(bytes.len(), None).send().await.unwrap()).await;
    Some((stage, proposal, bytes))
}

/// Nothing of Avi's is left, and Tamar sends hers.
async fn room_is_free(stage: &Stage, proposal: ProposalId, bytes: &[u8]) {
    assert_eq!(kept(stage), 0);
    let tamar = Sender::new(stage, "ISR:tamar", proposal);
    let path = tamar.begin(bytes.len(), None).await;
    assert_eq!(tamar.append(&path, 0, bytes).await.status(), 204);
}

async fn goes_with_the_key_card(store: Store) {
    let Some((stage, proposal, bytes)) = without_room(store).await else { return };
    stage.client("ISR:registrar").revoke_key_card(&id("ISR:avi"), true).await.unwrap();
    room_is_free(&stage, proposal, &bytes).await;
    stage.stop().await;
}

async fn goes_with_the_part(store: Store) {
    let Some((stage, proposal, bytes)) = without_room(store).await else { return };
    stage.client("ISR:avi").remove_member(proposal, &id("ISR:avi")).await.unwrap();
    room_is_free(&stage, proposal, &bytes).await;
    stage.stop().await;
}

async fn goes_when_the_key_card_ended(store: Store) {
    let Some((stage, proposal, bytes)) = without_room(store).await else { return };
    let present = stage.again("USA:dana").issued_member(&id("ISR:avi")).await.unwrap().card.clone();
    let valid_until = stage.clock.now() + SignedDuration::from_hours(1);
    let shown = vec![stage.credential("ISR:avi").certificate.clone()];
    let ends_soon = NewKeyCard { shown, valid_until, ..NewKeyCard::like(present) };
    stage.client("ISR:registrar").issue_key_card(&ends_soon).await.unwrap();
    let exchange = &stage.server.exchange;
    assert_eq!(upkeep::drop_uploads(exchange).await.unwrap(), 0);
    stage.clock.set(valid_until + SECOND);
    // The latest instant on record counts, so something has to happen.
    Stage::program(&stage).await;
    assert_eq!(upkeep::drop_uploads(exchange).await.unwrap(), 1);
    room_is_free(&stage, proposal, &bytes).await;
    stage.stop().await;
}

#[tokio::test]
async fn upload_to_which_its_member_can_add_no_more_takes_no_room_from_colleagues() {
    for store in [Store::Sqlite, Store::Postgres] {
        goes_with_the_key_card(store).await;
        goes_with_the_part(store).await;
        goes_when_the_key_card_ended(store).await;
    }
}

#[tokio::test]
async fn upload_is_taken_back_by_its_member_also_where_nothing_is_uploaded_any_more() {
    let (stage, proposal) = Stage::at(Step::Begun).await;
    let (avi, bytes) = (Sender::new(&stage, "ISR:avi", proposal), sealed(1000));
    let path = avi.begin(bytes.len(), None).await;
    assert_eq!(avi.append(&path, 0, &bytes[..10]).await.status(), 204);
    stage.pass_the_opening();
    stage.client("USA:dana").api().close_call(stage.call).await.unwrap();
    assert_eq!(problem(avi.append(&path, 10, &bytes[10..]).await).await, (409, "wrong-phase".to_owned()));
    for (member, status) in [("USA:bob", 404), ("USA:dana", 404), ("ISR:avi", 204), ("ISR:avi", 404)] {
        let removed = Sender::new(&stage, member, proposal).removing(&path).send().await.unwrap();
        assert_eq!(removed.status(), status, "{member}");
    }
    assert_eq!(kept(&stage), 0);
    stage.stop().await;
}
