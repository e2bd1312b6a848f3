//! A long read ends, whatever it asks: when its time is over, and when nobody waits for it any more. Its turn is then the next one's.

use crate::store_facade::{Store, on_both_engines};
use entente::storage::{Db, PostgresLimits, Queue, StoreError, Whose, args};
use std::time::Duration;
use tokio::time::timeout;

on_both_engines! {
    long_read_ends_when_its_time_is_over,
    long_read_ends_when_nobody_waits_for_it,
    read_after_a_long_one_has_its_own_time,
}

/// What no engine comes to an end of.
const ENDLESS: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT (i + 1) % 1000 FROM n) SELECT COUNT(*) AS c FROM n";
/// Long enough for SQLite to ask whether to go on.
const LONG: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT COUNT(*) AS c FROM n";
const PATIENCE: Duration = Duration::from_secs(30);

/// The same database, with a limit that a test can wait for.
async fn impatient(store: &Store) -> Db {
    let limits = PostgresLimits { read: Duration::from_secs(1), ..PostgresLimits::default() };
    Db::open_with(store.url(), limits).await.unwrap()
}

async fn long_read_ends_when_its_time_is_over(store: Store) {
    let (db, queue) = (impatient(&store).await, Queue::of(1));
    let mut tx = db.read().await.unwrap();
    tx.hold(queue.take(Whose::Exchange).await, Duration::from_secs(1)).await.unwrap();
    let ended = timeout(PATIENCE, tx.fetch_one(ENDLESS, args![])).await.expect("it went on past its time");
    assert!(matches!(ended, Err(StoreError::Unavailable(_))), "{ended:?}");
    drop(tx);
    drop(timeout(PATIENCE, queue.take(Whose::Exchange)).await.expect("its turn is free"));
    db.close().await;
}

async fn long_read_ends_when_nobody_waits_for_it(store: Store) {
    let (db, queue) = (impatient(&store).await, Queue::of(1));
    let mut tx = db.read().await.unwrap();
    tx.hold(queue.take(Whose::Exchange).await, Duration::from_hours(1)).await.unwrap();
    let asked = timeout(Duration::from_millis(300), tx.fetch_one(ENDLESS, args![])).await;
    assert!(asked.is_err(), "{asked:?}");
    drop(tx);
    drop(timeout(PATIENCE, queue.take(Whose::Exchange)).await.expect("the statement went on"));
    db.close().await;
}

async fn read_after_a_long_one_has_its_own_time(store: Store) {
    let (db, queue) = (store.db.clone(), Queue::of(1));
    // All connections at once are free again only after each was put back.
    for _ in 0..4 {
        let mut tx = db.read().await.unwrap();
        tx.hold(queue.take(Whose::Exchange).await, Duration::ZERO).await.unwrap();
        drop(tx);
        let mut reads = Vec::new();
        for _ in 0..8 {
            reads.push(db.read().await.unwrap());
        }
        for read in &mut reads {
            assert_eq!(read.fetch_one(LONG, args![]).await.unwrap().count("c").unwrap(), 20_000);
        }
    }
}
