//! What a running server does by itself once a day about the folder of sealed documents, over some days that are made to pass.

use crate::harness::{
    process::until,
    stage::{NATIONS, Stage},
    world::{Store, TestWorld, written},
};
use entente::{
    domain::ambient::Clock,
    service::{Exchange, upkeep},
    storage::documents,
};
use jiff::{SignedDuration, Timestamp};
use std::{fs, path::PathBuf, time::Duration};

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Lets so much time pass for everything that waits in this process, by no clock that shows a date.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// A file that no document names, of two days before.
fn unnamed(exchange: &Exchange, digit: char, now: Timestamp) -> PathBuf {
    let key = digit.to_string().repeat(32);
    written(exchange.blobs.folder().join("blobs").join(&key[..2]).join(&key), now - DAY * 2)
}

#[tokio::test]
async fn running_server_sweeps_daily() {
    let world = TestWorld::start(NATIONS, Store::Sqlite).await.unwrap();
    let exchange = &world.server.exchange;
    for digit in ['1', '2'] {
        let file = unnamed(exchange, digit, world.clock.now());
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
    let file = exchange.blobs.folder().join("blobs").join(&key[..2]).join(&key);
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
