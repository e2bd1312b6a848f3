//! What a running server does by itself once a day about the folder of sealed documents, over some days that are made to pass.

use crate::harness::{
    process::until,
    stage::{NATIONS, Stage, pdf, slug},
    world::{Store, TestWorld, written},
};
use entente::{
    client::api::Paging,
    domain::{ambient::Clock, entry::EntryKind},
    service::{Exchange, upkeep},
    storage::{documents, sweep::Extent},
};
use jiff::{SignedDuration, Timestamp};
use std::{fs, path::PathBuf, time::Duration};

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Lets so much time pass for everything that waits in this process, by no clock that shows a date.
#[expect(clippy::disallowed_methods, reason = "a test stops time")]
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// A file that no document names, of two days before.
fn unnamed(world: &TestWorld, digit: char) -> PathBuf {
    let key = digit.to_string().repeat(32);
    written(world.blobs_folder().join("blobs").join(&key[..2]).join(&key), world.clock.now() - DAY * 2)
}

#[tokio::test]
async fn running_server_sweeps_daily() {
    let world = TestWorld::start(NATIONS, Store::Sqlite).await.unwrap();
    let exchange = &world.server.exchange;
    for digit in ['1', '2'] {
        let file = unnamed(&world, digit);
        pass(Duration::from_hours(24)).await;
        until("the next day's sweep", async || (!file.exists()).then_some(())).await;
    }
    assert_eq!(exchange.blobs.quarantined().await.unwrap().blobs, 2);
    world.stop().await;
}

/// When all bytes were last looked at to the end.
async fn looked_at(exchange: &Exchange) -> Option<Timestamp> {
    upkeep::state(exchange).await.unwrap().1.and_then(|last| last.ended_at)
}

#[tokio::test]
async fn running_server_looks_at_all_bytes_daily() {
    let stage = Stage::open().await;
    let (exchange, first) = (&stage.server.exchange, stage.clock.now());
    assert_eq!(until("the look at the start", async || looked_at(exchange).await).await, first);
    let proposal = stage.prepared().await;
    let row = documents::current(&mut exchange.db.read().await.unwrap(), proposal).await.unwrap().remove(0);
    let key = row.blob.to_string();
    let file = stage.blobs_folder().join("blobs").join(&key[..2]).join(&key);
    let whole = fs::read(&file).unwrap();

    stage.clock.set(first + DAY - SignedDuration::from_mins(1));
    assert!(upkeep::scrub_when_due(exchange, "another server").await.unwrap().is_none(), "the day is not over");
    // What a day's look finds, the next one finds to be right again.
    for (day, bytes, damaged) in [(1, &whole[1..], 1), (2, &whole[..], 0)] {
        fs::write(&file, bytes).unwrap();
        stage.clock.set(first + DAY * day);
        // It asks every minute whether the day is over.
        pass(Duration::from_mins(1)).await;
        until("the day's look", async || (looked_at(exchange).await == Some(first + DAY * day)).then_some(())).await;
        assert_eq!(upkeep::state(exchange).await.unwrap().0, damaged);
    }
    stage.stop().await;
}

async fn replaced_documents_go(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let (exchange, avi) = (&stage.server.exchange, stage.client("ISR:avi"));
    let proposal = stage.begun().await;
    let put = async |content: &str| {
        let file = stage.file("plan.pdf", &pdf(content));
        stage.put("ISR:avi", proposal, "work-plan", &file).await;
        let all = avi.api().documents(proposal).await.unwrap();
        all.into_iter().find(|document| document.slot == slug("work-plan")).unwrap()
    };
    let replaced = put("never signed for").await;
    stage.upload_all(proposal).await;
    let named = put("signed for").await;
    for member in ["ISR:avi", "USA:bob"] {
        stage.sign(member, proposal).await;
    }
    put("the newest").await;
    let began = stage.clock.now();
    // What is old is so by the record, and something has to be on it.
    let after = async |time: SignedDuration| {
        stage.clock.set(began + time);
        avi.api().vaults(proposal).await.unwrap();
        upkeep::drop_replaced(exchange).await.unwrap()
    };
    assert_eq!(after(DAY * 30).await, 0);
    assert_eq!(after(DAY * 30 + SignedDuration::from_millis(1)).await, 2, "both that no version names");
    assert_eq!(after(DAY * 31).await, 0);
    assert_eq!(exchange.blobs.quarantined().await.unwrap().blobs, 2);
    let mut tx = exchange.db.read().await.unwrap();
    assert!(documents::find(&mut tx, replaced.id).await.unwrap().is_none());
    assert!(documents::find(&mut tx, named.id).await.unwrap().is_some(), "a version names it");
    drop(tx);
    let told = avi.api().entries(&[EntryKind::DocumentDropped], &Paging::default()).await.unwrap().items;
    assert_eq!(told.len(), 2);
    assert!(told.iter().any(|entry| entry.payload.contains(&replaced.sha256.to_string())), "{told:?}");
    // Nothing is left behind that a sweep would wonder about.
    assert_eq!(upkeep::sweep(exchange, Extent::DryRun).await.unwrap().orphans, 0);
    stage.stop().await;
}

#[tokio::test]
async fn documents_that_were_replaced_go_unless_a_version_names_them() {
    replaced_documents_go(Store::Sqlite).await;
    replaced_documents_go(Store::Postgres).await;
}
