//! Whatever happens to a connection to PostgreSQL, or to whoever has the turn at writing: others go on within the limits.

use crate::harness::{postgres::Database, relay::Relay};
use entente::{
    domain::id::Sha256,
    storage::{
        Db, Limits, StoreError, args,
        idempotency::{self, Recorded},
        migrate,
    },
};
use jiff::Timestamp;
use sqlx::{Connection as _, PgConnection};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// The longest that anything here is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// Short, but a machine that is busy with other things still answers within them.
const LIMITS: Limits = Limits {
    queue: Duration::from_secs(20),
    connect: Duration::from_secs(10),
    answer: Duration::from_secs(2),
    turn: Duration::from_secs(15),
    write: Duration::from_secs(16),
    read: Duration::from_secs(16),
    silence: Duration::from_secs(1),
    read_silence: Duration::from_secs(20),
    upkeep: Duration::from_mins(1),
};

async fn migrated(url: &str) -> Db {
    let db = Db::open_with(url, LIMITS).await.unwrap();
    migrate::run(&db, Timestamp::UNIX_EPOCH).await.unwrap();
    db
}

/// A unit of work that writes something.
async fn act(db: &Db, key: &str) -> Result<(), StoreError> {
    let mut tx = db.write().await?;
    idempotency::record(&mut tx, &"USA:grace".parse().unwrap(), key, &recorded()).await?;
    tx.commit().await
}

async fn is_recorded(db: &Db, key: &str) -> bool {
    let mut tx = db.read().await.unwrap();
    idempotency::find(&mut tx, &"USA:grace".parse().unwrap(), key).await.unwrap().is_some()
}

fn recorded() -> Recorded {
    Recorded {
        request_sha256: Sha256::of(b"POST"),
        status: 204,
        content_type: None,
        body: Vec::new(),
        etag: None,
        location: None,
        created_at: Timestamp::UNIX_EPOCH,
    }
}

#[tokio::test]
async fn silent_connections_are_given_up_and_the_next_act_is_done_on_a_new_one() {
    let Some(database) = Database::fresh().await else { return };
    let relay = Relay::start(&database).await;
    let db = migrated(&relay.url()).await;
    act(&db, "first").await.unwrap();
    assert!(is_recorded(&db, "first").await);
    relay.fall_silent();
    timeout(PATIENCE, act(&db, "second")).await.expect("an act ends").unwrap();
    assert!(timeout(PATIENCE, is_recorded(&db, "second")).await.expect("a read ends"));
    db.close().await;
}

#[tokio::test]
async fn connection_that_falls_silent_within_a_unit_of_work_ends_it_and_frees_its_turn() {
    let Some(database) = Database::fresh().await else { return };
    let relay = Relay::start(&database).await;
    let db = migrated(&relay.url()).await;
    // A statement has the time of the database and of the answer; here both are short.
    let limits = Limits { write: Duration::from_secs(1), turn: Duration::from_secs(1), ..LIMITS };
    let hasty = Db::open_with(&relay.url(), limits).await.unwrap();
    let mut tx = hasty.write().await.unwrap();
    relay.fall_silent();
    let silent = timeout(PATIENCE, tx.fetch_one("SELECT 1 AS one", args![])).await.expect("a statement ends");
    assert!(matches!(silent, Err(StoreError::Unavailable(_))), "{silent:?}");
    let kept = timeout(PATIENCE, tx.commit()).await.expect("a commit ends");
    assert!(matches!(kept, Err(StoreError::Statement(_) | StoreError::Unavailable(_))), "{kept:?}");
    timeout(PATIENCE, act(&db, "next")).await.expect("another server has its turn").unwrap();
}

#[tokio::test]
async fn commit_without_an_answer_is_of_unknown_outcome() {
    let Some(database) = Database::fresh().await else { return };
    let relay = Relay::start(&database).await;
    let db = migrated(&database.url()).await;
    let limits = Limits { write: Duration::from_secs(1), turn: Duration::from_secs(1), ..LIMITS };
    let hasty = Db::open_with(&relay.url(), limits).await.unwrap();
    let mut tx = hasty.write().await.unwrap();
    idempotency::record(&mut tx, &"USA:grace".parse().unwrap(), "k", &recorded()).await.unwrap();
    relay.fall_silent();
    let unsaid = timeout(PATIENCE, tx.commit()).await.expect("a commit ends");
    assert!(matches!(unsaid, Err(StoreError::OutcomeUnknown(_))), "{unsaid:?}");
    let member = "USA:grace".parse().unwrap();
    let settled = timeout(PATIENCE, idempotency::find_settled(&db, &member, "k")).await.expect("a look ends").unwrap();
    assert_eq!(settled, None, "the database never heard of the commit, and the look outwaits the silent turn");
}

#[tokio::test]
async fn server_that_is_frozen_in_its_turn_loses_it() {
    let Some(database) = Database::fresh().await else { return };
    let (frozen, other) = (migrated(&database.url()).await, migrated(&database.url()).await);
    let mut tx = frozen.write().await.unwrap();
    idempotency::record(&mut tx, &"USA:grace".parse().unwrap(), "frozen", &recorded()).await.unwrap();
    let began = Instant::now();
    // Nothing is asked of the frozen one meanwhile, as of a process that was stopped.
    timeout(PATIENCE, act(&other, "other")).await.expect("others go on").unwrap();
    assert!(began.elapsed() < LIMITS.turn, "{:?}", began.elapsed());
    // It wakes, and nothing of its unit of work is kept.
    let kept = timeout(PATIENCE, tx.commit()).await.expect("a commit ends");
    assert!(kept.is_err(), "its turn was over");
    assert!(!is_recorded(&other, "frozen").await && is_recorded(&other, "other").await);
    timeout(PATIENCE, act(&frozen, "awake")).await.expect("it goes on").unwrap();
}

#[tokio::test]
async fn lock_of_another_account_holds_up_nobody() {
    let Some(database) = Database::fresh().await else { return };
    let db = migrated(&database.url()).await;
    let mut owner = PgConnection::connect(&database.url()).await.unwrap();
    sqlx::raw_sql("CREATE ROLE stranger LOGIN").execute(&mut owner).await.unwrap();
    let url = database.url().replace("user=entente", "user=stranger");
    let mut stranger = PgConnection::connect(&url).await.unwrap();
    // Every lock that an account without rights to our tables can take: each that this program ever took by a number, and the table.
    for sql in ["SELECT pg_advisory_lock(28550418844775525)", "SELECT pg_advisory_lock(0)"] {
        sqlx::raw_sql(sql).execute(&mut stranger).await.unwrap();
    }
    let taken = sqlx::raw_sql("BEGIN; LOCK TABLE writer_turn IN ACCESS SHARE MODE").execute(&mut stranger).await;
    assert!(taken.is_err(), "the table is the exchange's own");
    timeout(PATIENCE, act(&db, "k")).await.expect("it does not wait for the stranger").unwrap();
    stranger.close().await.unwrap();
    db.close().await;
    sqlx::raw_sql("DROP ROLE stranger").execute(&mut owner).await.unwrap();
    owner.close().await.unwrap();
}

#[tokio::test]
async fn relay_that_is_closed_and_a_standby_are_unavailable_with_their_cause() {
    let Some(database) = Database::fresh().await else { return };
    let relay = Relay::start(&database).await;
    let db = migrated(&relay.url()).await;
    let cause = |error: StoreError| match error {
        StoreError::Unavailable(cause) => cause.to_string(),
        other => panic!("{other:?}"),
    };
    let mut tx = db.write().await.unwrap();
    let standby = "DO 'BEGIN RAISE EXCEPTION ''cannot set transaction read-write mode during recovery'' \
                   USING ERRCODE = ''25006''; END'";
    let refused = cause(tx.execute(standby, args![]).await.unwrap_err());
    assert!(refused.contains("read-write mode during recovery"), "{refused}");
    drop(tx);
    relay.fall_silent();
    relay.close();
    for refused in [db.write().await.map(drop), db.read().await.map(drop)] {
        assert!(!cause(refused.unwrap_err()).is_empty());
    }
    relay.open();
    act(&db, "again").await.unwrap();
}
