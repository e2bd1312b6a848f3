//! A read ends, whatever it asks: when its time is over, and a long one when nobody waits for it any more. Its turn is then the next one's.

use crate::{
    harness::postgres::LIMITS,
    store_facade::{Store, on_both_engines},
};
use entente::storage::{
    Db, PostgresLimits, Queue, StoreError, Whose, args,
    db::{LONGEST_READ, READERS},
};
use futures_util::future::join_all;
use std::time::{Duration, Instant};
use tokio::time::timeout;

on_both_engines! {
    long_read_ends_when_its_time_is_over,
    long_read_ends_when_nobody_waits_for_it,
    statement_after_the_time_of_a_long_read_is_refused,
    reads_for_members_have_one_time_and_those_of_the_exchange_have_none,
    read_after_a_long_one_has_its_own_time,
}

/// What no engine comes to an end of.
const ENDLESS: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT (i + 1) % 1000 FROM n) SELECT COUNT(*) AS c FROM n";
/// What each engine answers at once.
const ONE: &str = "SELECT COUNT(*) AS c FROM (SELECT 1) n";
/// Long enough for SQLite to ask whether to go on.
const LONG: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT COUNT(*) AS c FROM n";
const PATIENCE: Duration = Duration::from_mins(1);

/// The same database, with a limit that a test can wait for, and that holds no sooner than a test has given up what it asked.
async fn impatient(store: &Store) -> Db {
    let limits = PostgresLimits { read: Duration::from_secs(12), ..LIMITS };
    Db::open_with(store.url(), limits).await.unwrap()
}

async fn long_read_ends_when_its_time_is_over(store: Store) {
    // Far less than PostgreSQL gives one statement.
    const SOON: Duration = Duration::from_secs(20);
    let queue = Queue::of(1);
    let mut tx = store.db.read().await.unwrap();
    tx.hold(queue.take(Whose::Exchange).await, Duration::from_secs(1)).await.unwrap();
    let ended = timeout(SOON, tx.fetch_one(ENDLESS, args![])).await.expect("it went on past its time");
    assert!(matches!(ended, Err(StoreError::Unavailable(_))), "{ended:?}");
    drop(tx);
    drop(timeout(SOON, queue.take(Whose::Exchange)).await.expect("its turn is free"));
}

#[tokio::test]
async fn read_for_a_member_keeps_its_place_until_postgres_has_ended_it() {
    let Some(store) = Store::postgres().await else { return };
    // Its place would be free too soon, were it waited for no longer than for an answer.
    let (answer, read) = (Duration::from_secs(8), Duration::from_secs(16));
    let limits = PostgresLimits { answer, read, ..LIMITS };
    let db = Db::open_with(store.url(), limits).await.unwrap();
    let mut abandoned = Vec::new();
    for place in 0..READERS {
        // The last place is for another nation than the one that has all others.
        let reader = if place + 1 == READERS { "ISR:avi" } else { "USA:grace" };
        let mut tx = db.read_for(Whose::Member(reader.parse().unwrap())).await.unwrap();
        abandoned.push(async move {
            let asked = timeout(Duration::from_millis(500), tx.fetch_one(ENDLESS, args![])).await;
            assert!(asked.is_err(), "{asked:?}");
        });
    }
    join_all(abandoned).await;
    // The next one comes when a place is free.
    let sql = "SELECT COUNT(*) AS c FROM pg_stat_activity \
               WHERE state = 'active' AND datname = current_database() AND query LIKE 'WITH RECURSIVE n(i)%'";
    // The database says that it has ended one before it counts it as ended; a place that was free too soon is so by seconds.
    let mut came = None;
    loop {
        let mut tx = timeout(PATIENCE, db.read()).await.expect("the database ends each").unwrap();
        if tx.fetch_one(sql, args![]).await.unwrap().count("c").unwrap() < u64::from(READERS) {
            break;
        }
        let came = came.get_or_insert_with(Instant::now);
        assert!(came.elapsed() < answer / 2, "{READERS} are at work and one more was let in");
    }
    db.close().await;
}

async fn statement_after_the_time_of_a_long_read_is_refused(store: Store) {
    let queue = Queue::of(1);
    let mut tx = store.db.read().await.unwrap();
    tx.hold(queue.take(Whose::Exchange).await, Duration::from_hours(1)).await.unwrap();
    assert_eq!(tx.fetch_one(ONE, args![]).await.unwrap().count("c").unwrap(), 1);
    // The last word counts, as where a plain read becomes a long one.
    tx.end_within(Duration::ZERO).await.unwrap();
    let refused = tx.fetch_one(ONE, args![]).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
}

#[expect(clippy::disallowed_methods, reason = "a test leads time on")]
async fn reads_for_members_have_one_time_and_those_of_the_exchange_have_none(store: Store) {
    let mut for_member = store.db.read_for(Whose::Member("USA:grace".parse().unwrap())).await.unwrap();
    let mut own = store.db.read().await.unwrap();
    assert_eq!(for_member.fetch_one(ONE, args![]).await.unwrap().count("c").unwrap(), 1);
    tokio::time::pause();
    tokio::time::advance(LONGEST_READ).await;
    tokio::time::resume();
    let refused = for_member.fetch_one(ONE, args![]).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert_eq!(own.fetch_one(ONE, args![]).await.unwrap().count("c").unwrap(), 1);
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
