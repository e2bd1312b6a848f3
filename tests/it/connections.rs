//! Whatever happens to a connection to PostgreSQL, or to the one with the turn at writing: others go on within the limits.

use crate::harness::{
    postgres::{Database, LIMITS},
    relay::Relay,
    scratch::scratch,
};
use entente::{
    domain::{
        ambient::{SystemClock, SystemRng},
        id::Sha256,
    },
    service::{ServiceError, verify::verify},
    storage::{
        BlobEngine, BlobFolder, Db, StoreError, Tx, WriteTx, args,
        backup::{self, BackupError, BackupStep, Site},
        db::tables::Tables,
        idempotency::{self, Recorded},
        migrate::{self, Migration},
    },
};
use jiff::Timestamp;
use sqlx::{Connection as _, PgConnection};
use std::{
    future::{Future, pending},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::time::{sleep, timeout};

/// The longest that anything here is waited for.
const PATIENCE: Duration = Duration::from_mins(2);

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
        address_sha256: None,
        status: 204,
        content_type: None,
        body: Vec::new(),
        etag: None,
        location: None,
        created_at: Timestamp::UNIX_EPOCH,
    }
}

/// Begins a unit of work that writes, which the database is to end some seconds after it fell silent. No short limit holds before its first
/// statements are through, and none that a busy machine could break after them.
async fn begun(db: &Db, key: &str) -> WriteTx {
    let mut tx = db.write().await.unwrap();
    idempotency::record(&mut tx, &"USA:grace".parse().unwrap(), key, &recorded()).await.unwrap();
    tx.execute("SET LOCAL idle_in_transaction_session_timeout = 12000", args![]).await.unwrap();
    tx
}

/// What comes of something that first finds its connection silent, without waiting for that to be noticed.
#[expect(clippy::disallowed_methods, reason = "a test stops time")]
async fn given_up<T>(asking: impl Future<Output = T>) -> T {
    let noticing = async {
        tokio::time::pause();
        // Nothing else happens here meanwhile, so time is led on to just before the limit, and from there goes on by itself.
        sleep(LIMITS.answer.saturating_sub(Duration::from_millis(1))).await;
        tokio::time::resume();
    };
    let (came, ()) = tokio::join!(timeout(PATIENCE, asking), noticing);
    came.expect("it goes on without the connection")
}

/// What comes of something that is never answered, without waiting for its limit: nothing else happens here meanwhile, so time is led
/// on to the limit.
#[expect(clippy::disallowed_methods, reason = "a test stops time")]
async fn unanswered<T>(asking: impl Future<Output = T>) -> T {
    tokio::time::pause();
    let came = timeout(PATIENCE, asking).await.expect("it has a limit");
    tokio::time::resume();
    came
}

#[tokio::test]
async fn silent_connections_are_given_up_and_the_next_act_is_done_on_a_new_one() {
    let Some(database) = Database::fresh().await else { return };
    let relay = Relay::start(&database).await;
    let db = migrated(&relay.url()).await;
    act(&db, "first").await.unwrap();
    assert!(is_recorded(&db, "first").await);
    relay.fall_silent();
    given_up(act(&db, "second")).await.unwrap();
    assert!(given_up(is_recorded(&db, "second")).await);
    db.close().await;
}

#[tokio::test]
async fn connection_that_falls_silent_within_a_unit_of_work_ends_it_and_frees_its_turn() {
    let Some(database) = Database::fresh().await else { return };
    let relay = Relay::start(&database).await;
    let db = migrated(&relay.url()).await;
    let mut tx = begun(&db, "silent").await;
    relay.fall_silent();
    let silent = unanswered(tx.fetch_one("SELECT 1 AS one", args![])).await;
    assert!(matches!(silent, Err(StoreError::Unavailable(_))), "{silent:?}");
    let kept = unanswered(tx.commit()).await;
    assert!(matches!(kept, Err(StoreError::Statement(_) | StoreError::Unavailable(_))), "{kept:?}");
    timeout(PATIENCE, act(&db, "next")).await.expect("another server has its turn").unwrap();
    assert!(!is_recorded(&db, "silent").await);
}

#[tokio::test]
async fn commit_without_an_answer_is_of_unknown_outcome() {
    let Some(database) = Database::fresh().await else { return };
    let relay = Relay::start(&database).await;
    let (db, cut_off) = (migrated(&database.url()).await, migrated(&relay.url()).await);
    let tx = begun(&cut_off, "k").await;
    relay.fall_silent();
    let unsaid = unanswered(tx.commit()).await;
    assert!(matches!(unsaid, Err(StoreError::OutcomeUnknown(_))), "{unsaid:?}");
    let member = "USA:grace".parse().unwrap();
    let settled = timeout(PATIENCE, idempotency::find_settled(&db, &member, "k")).await.expect("a look ends").unwrap();
    assert_eq!(settled, None, "the database never heard of the commit, and the look outwaits the silent turn");
}

#[tokio::test]
async fn server_that_is_frozen_in_its_turn_loses_it() {
    let Some(database) = Database::fresh().await else { return };
    let (frozen, other) = (migrated(&database.url()).await, migrated(&database.url()).await);
    let tx = begun(&frozen, "frozen").await;
    // Nothing is asked of the frozen one meanwhile, as of a process that was stopped. Others have their turn before they give it up.
    timeout(PATIENCE, act(&other, "other")).await.expect("others go on").unwrap();
    // It wakes, and nothing of its unit of work is kept.
    let kept = timeout(PATIENCE, tx.commit()).await.expect("a commit ends");
    assert!(kept.is_err(), "its turn was over");
    assert!(!is_recorded(&other, "frozen").await && is_recorded(&other, "other").await);
    timeout(PATIENCE, act(&frozen, "awake")).await.expect("it goes on").unwrap();
}

/// The limits that the database itself keeps on a connection, in milliseconds.
async fn kept_by_the_database(tx: &mut Tx) -> [i64; 3] {
    let sql = "SELECT (SELECT CAST(setting AS BIGINT) FROM pg_settings WHERE name = 'statement_timeout') AS statement, \
               (SELECT CAST(setting AS BIGINT) FROM pg_settings WHERE name = 'lock_timeout') AS turn, \
               (SELECT CAST(setting AS BIGINT) FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout') AS silence";
    let row = tx.fetch_one(sql, args![]).await.unwrap();
    ["statement", "turn", "silence"].map(|limit| row.int(limit).unwrap())
}

/// When the database gives up a connection whose other end is gone: count, idle and interval of keepalives, and how long bytes may stay
/// without an answer. On a socket of one machine, as here, they do not apply and are shown as 0; a reset leads back to what was asked for.
async fn asked_of_the_connection(tx: &mut Tx) -> Vec<i64> {
    let sql =
        "SELECT CAST(reset_val AS BIGINT) AS asked FROM pg_settings WHERE name LIKE 'tcp%' ORDER BY name COLLATE \"C\"";
    let rows = tx.fetch_all(sql, args![]).await.unwrap();
    rows.iter().map(|row| row.int("asked").unwrap()).collect()
}

#[tokio::test]
async fn database_keeps_the_limits_of_each_unit_of_work() {
    let Some(database) = Database::fresh().await else { return };
    let db = migrated(&database.url()).await;
    assert_eq!(asked_of_the_connection(&mut db.write().await.unwrap()).await, [3, 10, 5, 15_000]);
    assert_eq!(asked_of_the_connection(&mut db.read().await.unwrap()).await, [3, 10, 5, 15_000]);
    assert_eq!(kept_by_the_database(&mut db.write().await.unwrap()).await, [31_000, 30_000, 20_000]);
    assert_eq!(kept_by_the_database(&mut db.read().await.unwrap()).await, [31_000, 30_000, 40_000]);
    db.close().await;
}

#[tokio::test]
async fn migration_has_time_for_its_statements_and_none_for_silence() {
    let Some(database) = Database::fresh().await else { return };
    let db = Db::open_with(&database.url(), LIMITS).await.unwrap();
    let migration = Migration {
        version: 1,
        name: "limits",
        sqlite: "",
        postgres: "CREATE TABLE kept AS SELECT name, CAST(setting AS BIGINT) AS setting FROM pg_settings \
                   WHERE name IN ('statement_timeout', 'idle_in_transaction_session_timeout')",
    };
    migrate::apply(&db, &[migration], Timestamp::UNIX_EPOCH).await.unwrap();
    let mut tx = db.read().await.unwrap();
    let mut kept = Vec::new();
    for row in tx.fetch_all("SELECT setting FROM kept ORDER BY name DESC", args![]).await.unwrap() {
        kept.push(row.int("setting").unwrap());
    }
    assert_eq!(kept, [120_000, 20_000], "a server that is frozen in a migration loses its turn, too");
    drop(tx);
    db.close().await;
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
async fn relay_that_is_closed_and_a_database_that_takes_no_writes_are_unavailable_with_their_cause() {
    let Some(database) = Database::fresh().await else { return };
    let relay = Relay::start(&database).await;
    let db = migrated(&relay.url()).await;
    let cause = |error: StoreError| match error {
        StoreError::Unavailable(cause) => cause.to_string(),
        other => panic!("{other:?}"),
    };
    let mut tx = db.write().await.unwrap();
    tx.execute("SET TRANSACTION READ ONLY", args![]).await.unwrap();
    let refused = cause(tx.execute("UPDATE pulse SET hours = hours", args![]).await.unwrap_err());
    assert!(refused.contains("read-only transaction"), "{refused}");
    drop(tx);
    relay.fall_silent();
    relay.close();
    for refused in [given_up(db.write()).await.map(drop), given_up(db.read()).await.map(drop)] {
        assert!(!cause(refused.unwrap_err()).is_empty());
    }
    relay.open();
    act(&db, "again").await.unwrap();
}

/// What comes of something whose connection falls silent on the way. No limit is near before that, and none is waited for after it.
#[expect(clippy::disallowed_methods, reason = "a test stops time")]
async fn given_up_in_silence<T>(relay: &Relay, asking: impl Future<Output = T>) -> T {
    let led_on = async {
        relay.fell_silent().await;
        tokio::time::pause();
        pending().await
    };
    let came = tokio::select! {
        came = timeout(PATIENCE, asking) => came,
        never = led_on => never,
    };
    tokio::time::resume();
    came.expect("it has a limit")
}

/// A place for documents that nothing is in yet.
fn documents(folder: &Path) -> Arc<dyn BlobEngine> {
    Arc::new(BlobFolder::new(folder, 0))
}

/// A database with more than the buffers of a connection hold.
async fn filled(database: &Database) -> Db {
    let db = migrated(&database.url()).await;
    let mut tx = db.write().await.unwrap();
    for key in 0..16 {
        let answer = Recorded { body: vec![7; 1 << 20], ..recorded() };
        idempotency::record(&mut tx, &"USA:grace".parse().unwrap(), &key.to_string(), &answer).await.unwrap();
    }
    tx.commit().await.unwrap();
    db
}

#[tokio::test]
async fn backup_whose_connection_falls_silent_ends_and_leaves_its_folder_to_the_next() {
    let Some(database) = Database::fresh().await else { return };
    let relay = Relay::start(&database).await;
    filled(&database).await;
    let folder = scratch();
    let (backups, host) = (folder.path().join("backups"), "USA".parse().unwrap());
    let blobs = documents(&folder.path().join("blobs"));
    let url = relay.url();
    let site = Site { database_url: &url, blobs: &blobs, host: &host, limits: LIMITS };
    let is_unavailable = |error: &BackupError| matches!(error, BackupError::Store(StoreError::Unavailable(_)));
    // In the middle of a table, and before one.
    let mut is_silent = false;
    let mut fall_silent = |step| {
        if !is_silent && matches!(step, BackupStep::Database(bytes) if bytes > 1 << 20) {
            is_silent = true;
            relay.fall_silent();
        }
    };
    let error =
        given_up_in_silence(&relay, backup::take(site, &backups, &SystemClock, &mut fall_silent)).await.unwrap_err();
    assert!(is_silent && is_unavailable(&error), "{error:?}");
    relay.fall_silent_at("TO STDOUT");
    let error = given_up_in_silence(&relay, backup::take(site, &backups, &SystemClock, &mut |_| ())).await.unwrap_err();
    assert!(relay.is_silent() && is_unavailable(&error), "{error:?}");
    // The folder is free again, and nothing in it passes for a backup.
    let done = timeout(PATIENCE, backup::take(site, &backups, &SystemClock, &mut |_| ())).await.unwrap().unwrap();
    assert!(done.name.starts_with("000001-"), "{}", done.name);
    drop(relay);

    let Some(other) = Database::fresh().await else { return };
    let relay = Relay::start(&other).await;
    let (url, blobs) = (relay.url(), documents(&folder.path().join("restored")));
    let site = Site { database_url: &url, blobs: &blobs, ..site };
    relay.fall_silent_at("FROM STDIN");
    let ambient = (&SystemClock as _, &SystemRng as _);
    let error =
        given_up_in_silence(&relay, backup::restore(site, &backups, None, ambient, &mut |_| ())).await.unwrap_err();
    assert!(relay.is_silent() && is_unavailable(&error), "{error:?}");
    // Its end is noticed by the database, and the same command goes on.
    drop(relay);
    let url = other.url();
    let site = Site { database_url: &url, ..site };
    timeout(PATIENCE, backup::restore(site, &backups, None, ambient, &mut |_| ())).await.unwrap().unwrap();
}

#[tokio::test]
async fn verification_whose_connection_falls_silent_ends() {
    let Some(database) = Database::fresh().await else { return };
    migrated(&database.url()).await;
    let relay = Relay::start(&database).await;
    let tables = Tables::In(Db::open_with(&relay.url(), LIMITS).await.unwrap());
    for table in ["FROM calls", "FROM documents"] {
        relay.fall_silent_at(table);
        let nowhere = documents(Path::new("/nowhere"));
        let error = given_up_in_silence(&relay, verify(&tables, &nowhere, &mut |_| ())).await.unwrap_err();
        assert!(relay.is_silent(), "{table}");
        assert!(matches!(error, ServiceError::Store(StoreError::Unavailable(_))), "{error:?}");
    }
}
