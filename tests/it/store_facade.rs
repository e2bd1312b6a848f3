//! The contract of the storage facade: every rule here holds on SQLite and on PostgreSQL alike.

use crate::harness::{postgres, scratch::scratch};
use entente::{
    domain::id::{MemberId, Sha256},
    storage::{
        Arg, Db, Sql, StoreError, args,
        idempotency::{self, Recorded},
        members,
        migrate::{self, Migration},
        pulse,
    },
};
use futures_util::{future::join_all, poll};
use jiff::Timestamp;
use std::pin::pin;

/// A database of one's own, on either engine.
pub(crate) struct Store {
    url: String,
    pub(crate) db: Db,
    _folder: Option<tempfile::TempDir>,
    _database: Option<postgres::Database>,
}

impl Store {
    pub(crate) async fn sqlite() -> Option<Self> {
        let folder = scratch();
        let url = format!("sqlite://{}/exchange.db", folder.path().display());
        Some(Self { db: Db::open(&url).await.unwrap(), url, _folder: Some(folder), _database: None })
    }

    pub(crate) async fn postgres() -> Option<Self> {
        let database = postgres::Database::fresh().await?;
        let url = database.url();
        let db = Db::open_with(&url, postgres::LIMITS).await.unwrap();
        Some(Self { db, url, _folder: None, _database: Some(database) })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// With a table of every type, `things`, and one that refers to it, `parts`.
    async fn with_tables(self) -> Self {
        migrate::apply(&self.db, &[THINGS], at(0)).await.unwrap();
        self
    }

    async fn add(&self, name: &str, amount: i64) {
        let mut tx = self.db.write().await.unwrap();
        tx.execute("INSERT INTO things (name, amount) VALUES ($1, $2)", args![name, amount]).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn names(&self) -> Vec<String> {
        let mut tx = self.db.read().await.unwrap();
        let rows = tx.fetch_all("SELECT name FROM things ORDER BY name", args![]).await.unwrap();
        rows.iter().map(|row| row.text("name").unwrap()).collect()
    }

    /// Runs a statement that must be refused by a constraint, and names that.
    pub(crate) async fn refusal(&self, sql: &'static str, args: Vec<Arg>) -> String {
        let mut tx = self.db.write().await.unwrap();
        let error = tx.execute(sql, args).await.unwrap_err();
        error.constraint().unwrap_or_else(|| panic!("{error:?}")).to_owned()
    }
}

const THINGS: Migration = Migration {
    version: 1,
    name: "things",
    sqlite: "CREATE TABLE things (
                 name TEXT NOT NULL PRIMARY KEY, amount INTEGER NOT NULL CONSTRAINT things_amount_positive CHECK (amount > 0),
                 flag INTEGER, content BLOB, seen_at INTEGER, kind TEXT, code TEXT, UNIQUE (kind, code)) STRICT;
             CREATE TABLE parts (
                 part_id INTEGER PRIMARY KEY, name TEXT NOT NULL REFERENCES things (name), open INTEGER NOT NULL) STRICT;
             CREATE UNIQUE INDEX parts_name_key ON parts (name) WHERE open = TRUE;",
    postgres: "CREATE TABLE things (
                 name TEXT COLLATE \"C\" NOT NULL PRIMARY KEY,
                 amount BIGINT NOT NULL CONSTRAINT things_amount_positive CHECK (amount > 0),
                 flag BOOLEAN, content BYTEA, seen_at BIGINT, kind TEXT COLLATE \"C\", code TEXT COLLATE \"C\",
                 UNIQUE (kind, code));
             CREATE TABLE parts (
                 part_id BIGINT PRIMARY KEY, name TEXT COLLATE \"C\" NOT NULL REFERENCES things (name),
                 open BOOLEAN NOT NULL);
             CREATE UNIQUE INDEX parts_name_key ON parts (name) WHERE open = TRUE;",
};

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Each rule becomes a test of both engines.
macro_rules! on_both_engines {
    ($($rule:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $rule() {
                super::$rule(super::Store::sqlite().await.unwrap()).await;
            })*
        }

        mod postgres_engine {
            $(#[tokio::test]
            async fn $rule() {
                if let Some(store) = super::Store::postgres().await {
                    super::$rule(store).await;
                }
            })*
        }
    };
}
pub(crate) use on_both_engines;

on_both_engines! {
    what_is_dropped_leaves_nothing,
    what_is_cancelled_midway_leaves_nothing,
    a_waiting_writer_that_gives_up_holds_up_nobody,
    a_read_sees_one_snapshot,
    a_read_cannot_write,
    one_unit_of_work_runs_at_a_time_across_servers,
    values_come_back_as_they_went,
    nothing_comes_back_as_nothing,
    damage_names_the_column_and_not_the_content,
    numbers_past_the_range_are_refused,
    constants_and_aggregates_read_as_numbers,
    insert_returns_what_it_made,
    a_conflict_updates_or_does_nothing,
    text_sorts_by_its_bytes_and_pages_follow,
    constraints_have_the_same_names,
    a_refused_statement_can_be_followed_by_another_unit_of_work,
    migrations_run_once,
    key_cards_from_before_they_were_kept_are_kept,
    two_servers_that_start_at_once_migrate_once,
    a_changed_migration_is_refused,
    a_newer_schema_is_refused,
    a_failing_migration_leaves_nothing,
    entries_of_the_log_stay_as_they_are,
    unique_indexes_are_named_after_their_columns,
    answers_are_recorded_found_and_expired,
}

async fn what_is_dropped_leaves_nothing(store: Store) {
    let store = store.with_tables().await;
    let mut tx = store.db.write().await.unwrap();
    tx.execute("INSERT INTO things (name, amount) VALUES ($1, $2)", args!["a", 1]).await.unwrap();
    drop(tx);
    store.add("b", 1).await;
    assert_eq!(store.names().await, ["b"]);
}

async fn what_is_cancelled_midway_leaves_nothing(store: Store) {
    let store = store.with_tables().await;
    // Wherever the work has got to after so many polls, it is dropped there.
    for polls in 0..12 {
        let mut work = pin!(async {
            let mut tx = store.db.write().await.unwrap();
            for name in ["a", "b", "c"] {
                tx.execute("INSERT INTO things (name, amount) VALUES ($1, $2)", args![name, 1]).await.unwrap();
            }
            std::future::pending::<()>().await;
        });
        for _ in 0..polls {
            assert!(poll!(&mut work).is_pending());
            tokio::task::yield_now().await;
        }
    }
    store.add("d", 1).await;
    assert_eq!(store.names().await, ["d"]);
}

async fn a_waiting_writer_that_gives_up_holds_up_nobody(store: Store) {
    let store = store.with_tables().await;
    let first = store.db.write().await.unwrap();
    {
        let mut second = pin!(store.db.write());
        assert!(poll!(&mut second).is_pending());
    }
    // One that gives up while it begins, too.
    drop(first);
    {
        let mut third = pin!(store.db.write());
        drop(poll!(&mut third));
    }
    store.add("a", 1).await;
    assert_eq!(store.names().await, ["a"]);
}

async fn a_read_sees_one_snapshot(store: Store) {
    let store = store.with_tables().await;
    store.add("a", 1).await;
    let mut tx = store.db.read().await.unwrap();
    let count = "SELECT COUNT(*) AS n FROM things";
    assert_eq!(tx.fetch_one(count, args![]).await.unwrap().count("n").unwrap(), 1);
    store.add("b", 1).await;
    assert_eq!(tx.fetch_one(count, args![]).await.unwrap().count("n").unwrap(), 1);
    drop(tx);
    assert_eq!(store.names().await, ["a", "b"]);
}

async fn a_read_cannot_write(store: Store) {
    let store = store.with_tables().await;
    let mut tx = store.db.read().await.unwrap();
    let refused = tx.execute("INSERT INTO things (name, amount) VALUES ($1, $2)", args!["a", 1]).await;
    assert!(refused.is_err());
}

async fn one_unit_of_work_runs_at_a_time_across_servers(store: Store) {
    let store = store.with_tables().await;
    store.add("counter", 1).await;
    let other = Db::open_with(&store.url, postgres::LIMITS).await.unwrap();
    let increment = async |db: &Db| {
        let mut tx = db.write().await.unwrap();
        let read = tx.fetch_one("SELECT amount FROM things WHERE name = $1", args!["counter"]).await.unwrap();
        let amount = read.int("amount").unwrap() + 1;
        tx.execute("UPDATE things SET amount = $1 WHERE name = $2", args![amount, "counter"]).await.unwrap();
        tx.commit().await.unwrap();
    };
    join_all((0..40).map(|n| increment(if n % 2 == 0 { &store.db } else { &other }))).await;
    let mut tx = other.read().await.unwrap();
    assert_eq!(tx.fetch_one("SELECT amount FROM things", args![]).await.unwrap().int("amount").unwrap(), 41);
}

async fn values_come_back_as_they_went(store: Store) {
    let store = store.with_tables().await;
    let member: MemberId = "ISR:avi.levi".parse().unwrap();
    let digest = Sha256::of(b"abc");
    let seen = Timestamp::from_millisecond(1_762_000_000_123).unwrap();
    let content = vec![0, 255, 39, 0];
    let mut tx = store.db.write().await.unwrap();
    tx.execute(
        "INSERT INTO things (name, amount, flag, content, seen_at, kind, code) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        args!["it's שלום", i64::MAX, true, content, seen, &member, Some(digest)],
    )
    .await
    .unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.db.read().await.unwrap();
    let found = tx
        .fetch_optional(
            "SELECT * FROM things WHERE flag = $1 AND content = $2 AND seen_at = $3 AND kind = $4",
            args![true, content, seen, member],
        )
        .await;
    let row = found.unwrap().unwrap();
    assert_eq!(row.text("name").unwrap(), "it's שלום");
    assert_eq!(row.int("amount").unwrap(), i64::MAX);
    assert_eq!(row.count("amount").unwrap(), i64::MAX as u64);
    assert!(row.bool("flag").unwrap());
    assert_eq!(row.bytes("content").unwrap(), content);
    assert_eq!(row.time("seen_at").unwrap(), seen);
    assert_eq!(row.parse::<MemberId>("kind").unwrap(), member);
    assert_eq!(row.opt_parse::<Sha256>("code").unwrap(), Some(digest));
}

async fn nothing_comes_back_as_nothing(store: Store) {
    let store = store.with_tables().await;
    let mut tx = store.db.write().await.unwrap();
    tx.execute(
        "INSERT INTO things (name, amount, flag, content, seen_at, kind, code) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        args!["a", 1, None::<bool>, None::<Vec<u8>>, None::<Timestamp>, None::<MemberId>, None::<&str>],
    )
    .await
    .unwrap();
    let row = tx.fetch_one("SELECT * FROM things", args![]).await.unwrap();
    assert_eq!(row.opt_bool("flag").unwrap(), None);
    assert_eq!(row.opt_bytes("content").unwrap(), None);
    assert_eq!(row.opt_time("seen_at").unwrap(), None);
    assert_eq!(row.opt_parse::<MemberId>("kind").unwrap(), None);
    assert_eq!(row.opt_text("code").unwrap(), None);
    assert!(matches!(row.text("code"), Err(StoreError::Corrupt { .. })));
}

async fn damage_names_the_column_and_not_the_content(store: Store) {
    let store = store.with_tables().await;
    store.add("secret name", 5).await;
    let mut tx = store.db.read().await.unwrap();
    let row = tx.fetch_one("SELECT name, amount FROM things", args![]).await.unwrap();
    let errors = [
        row.parse::<MemberId>("name").unwrap_err(),
        row.int("name").unwrap_err(),
        row.text("amount").unwrap_err(),
        row.time("name").unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
        assert!(!format!("{error:?} {error}").contains("secret"), "{error:?}");
    }
    assert_eq!(
        row.parse::<MemberId>("name").unwrap_err().to_string(),
        "`name` is damaged: expected the text of a `MemberId`"
    );
    assert!(matches!(row.text("absent"), Err(StoreError::Statement(_))));
}

async fn numbers_past_the_range_are_refused(store: Store) {
    let store = store.with_tables().await;
    let mut tx = store.db.write().await.unwrap();
    let refused = tx.execute("INSERT INTO things (name, amount) VALUES ($1, $2)", args!["a", u64::MAX]).await;
    assert!(matches!(refused, Err(StoreError::Statement(_))));
}

async fn constants_and_aggregates_read_as_numbers(store: Store) {
    let store = store.with_tables().await;
    store.add("a", 2).await;
    store.add("b", 3).await;
    let mut tx = store.db.read().await.unwrap();
    let row = tx
        .fetch_one(
            "SELECT 7 AS seven, COUNT(*) AS n, CAST(SUM(amount) AS BIGINT) AS total, MAX(seen_at) AS latest, \
             EXISTS (SELECT 1 FROM things WHERE amount > $1) AS found FROM things",
            args![2],
        )
        .await
        .unwrap();
    assert_eq!(row.int("seven").unwrap(), 7);
    assert_eq!(row.count("n").unwrap(), 2);
    assert_eq!(row.int("total").unwrap(), 5);
    assert_eq!(row.opt_time("latest").unwrap(), None);
    assert!(row.bool("found").unwrap());
}

async fn insert_returns_what_it_made(store: Store) {
    let store = store.with_tables().await;
    let mut tx = store.db.write().await.unwrap();
    let made = tx
        .fetch_optional(
            "INSERT INTO things (name, amount) VALUES ($1, $2) RETURNING name, amount + 1 AS next",
            args!["a", 1],
        )
        .await
        .unwrap()
        .unwrap();
    assert_eq!(made.int("next").unwrap(), 2);
    tx.commit().await.unwrap();
    assert_eq!(store.names().await, ["a"]);
}

async fn a_conflict_updates_or_does_nothing(store: Store) {
    let store = store.with_tables().await;
    store.add("a", 1).await;
    let mut tx = store.db.write().await.unwrap();
    let kept = "INSERT INTO things (name, amount) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    assert_eq!(tx.execute(kept, args!["a", 5]).await.unwrap(), 0);
    let added = "INSERT INTO things (name, amount) VALUES ($1, $2) \
                 ON CONFLICT (name) DO UPDATE SET amount = things.amount + excluded.amount";
    assert_eq!(tx.execute(added, args!["a", 5]).await.unwrap(), 1);
    assert_eq!(tx.fetch_one("SELECT amount FROM things", args![]).await.unwrap().int("amount").unwrap(), 6);
}

async fn text_sorts_by_its_bytes_and_pages_follow(store: Store) {
    let store = store.with_tables().await;
    for (name, amount) in [("b", 1), ("B", 1), ("_", 2), ("a", 2), ("Z", 1)] {
        store.add(name, amount).await;
    }
    assert_eq!(store.names().await, ["B", "Z", "_", "a", "b"]);
    let mut tx = store.db.read().await.unwrap();
    let condition = "(amount, name) > ($1, $2)";
    let page = Sql::built(format!("SELECT name FROM things WHERE {condition} ORDER BY amount, name LIMIT $3"));
    let rows = tx.fetch_all(page, args![1, "Z", 2]).await.unwrap();
    let names: Vec<_> = rows.iter().map(|row| row.text("name").unwrap()).collect();
    assert_eq!(names, ["b", "_"]);
}

async fn constraints_have_the_same_names(store: Store) {
    let store = store.with_tables().await;
    let thing = "INSERT INTO things (name, amount, kind, code) VALUES ($1, $2, $3, $4)";
    let part = "INSERT INTO parts (part_id, name, open) VALUES ($1, $2, $3)";
    let mut tx = store.db.write().await.unwrap();
    tx.execute(thing, args!["a", 1, "k", "c"]).await.unwrap();
    tx.execute(part, args![1, "a", true]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(store.refusal(thing, args!["a", 1, "k", "d"]).await, "things_pkey");
    assert_eq!(store.refusal(thing, args!["b", 1, "k", "c"]).await, "things_kind_code_key");
    assert_eq!(store.refusal(thing, args!["b", 0, "k", "d"]).await, "things_amount_positive");
    assert_eq!(store.refusal(thing, args![None::<&str>, 1, "k", "d"]).await, "things_name_not_null");
    assert_eq!(store.refusal(part, args![2, "a", true]).await, "parts_name_key");
    assert_eq!(store.refusal(part, args![1, "a", false]).await, "parts_pkey");
    assert_eq!(store.refusal(part, args![2, "absent", false]).await, "foreign_key");
}

async fn a_refused_statement_can_be_followed_by_another_unit_of_work(store: Store) {
    let store = store.with_tables().await;
    let mut tx = store.db.write().await.unwrap();
    assert!(matches!(tx.execute("SELECT nonsense FROM nowhere", args![]).await, Err(StoreError::Statement(_))));
    drop(tx);
    store.add("a", 1).await;
    assert_eq!(store.names().await, ["a"]);
}

async fn migrations_run_once(store: Store) {
    assert_eq!(migrate::run(&store.db, at(1)).await.unwrap(), migrate::ALL.last().unwrap().version);
    migrate::run(&store.db, at(2)).await.unwrap();
    let mut tx = store.db.read().await.unwrap();
    let rows =
        tx.fetch_all("SELECT version, applied_at FROM schema_migrations ORDER BY version", args![]).await.unwrap();
    assert_eq!(rows.len(), migrate::ALL.len());
    assert!(rows.iter().all(|row| row.time("applied_at").unwrap() == at(1)));
}

async fn key_cards_from_before_they_were_kept_are_kept(store: Store) {
    migrate::apply(&store.db, &migrate::ALL[..2], at(0)).await.unwrap();
    let mut tx = store.db.write().await.unwrap();
    let partner = "INSERT INTO partners (partner, name, zone, card, card_sha256, enrolled_at, changed_at) \
                   VALUES ('ISR', 'Israel', 'UTC', '{}', '', 1, 1)";
    tx.execute(partner, args![]).await.unwrap();
    let member = "INSERT INTO members (member, partner, name, organisation, roles, key_card, serial, status, valid_from, \
                  valid_until, published_at) VALUES ('ISR:avi', 'ISR', 'Avi', 'Optics', '', 'a.b.c', 4, 'active', 1, 9, $1)";
    tx.execute(member, args![at(7)]).await.unwrap();
    tx.commit().await.unwrap();

    migrate::run(&store.db, at(8)).await.unwrap();
    let mut tx = store.db.read().await.unwrap();
    let kept = members::key_cards(&mut tx, &"ISR:avi".parse().unwrap(), None, 10).await.unwrap();
    let card = members::KeyCardRow { serial: 4, key_card: "a.b.c".into(), published_at: at(7) };
    assert_eq!(kept, [card]);
    drop(tx);
    for change in ["UPDATE key_cards SET serial = 5", "DELETE FROM key_cards"] {
        assert_eq!(store.refusal(change, args![]).await, "key_cards_append_only");
    }
}

async fn two_servers_that_start_at_once_migrate_once(store: Store) {
    let starts = (1..=4).map(|second| {
        let url = &store.url;
        async move { migrate::run(&Db::open_with(url, postgres::LIMITS).await.unwrap(), at(second)).await.unwrap() }
    });
    join_all(starts).await;
    let mut tx = store.db.read().await.unwrap();
    let row = tx.fetch_one("SELECT COUNT(*) AS n FROM schema_migrations", args![]).await.unwrap();
    assert_eq!(row.count("n").unwrap(), migrate::ALL.len() as u64);
}

async fn a_changed_migration_is_refused(store: Store) {
    let store = store.with_tables().await;
    let changed = Migration { sqlite: "SELECT 1", postgres: "SELECT 1", ..THINGS };
    let refused = migrate::apply(&store.db, &[changed], at(1)).await;
    assert!(matches!(refused, Err(StoreError::ChangedMigration { version: 1 })));
}

async fn a_newer_schema_is_refused(store: Store) {
    let store = store.with_tables().await;
    let second = Migration { version: 2, name: "more", sqlite: "SELECT 1", postgres: "SELECT 1" };
    migrate::apply(&store.db, &[THINGS, second], at(1)).await.unwrap();
    let refused = migrate::apply(&store.db, &[THINGS], at(2)).await;
    assert!(matches!(refused, Err(StoreError::NewerSchema { found: 2, known: 1 })));
}

async fn a_failing_migration_leaves_nothing(store: Store) {
    let store = store.with_tables().await;
    let script = "CREATE TABLE half (a BIGINT); INSERT INTO nowhere VALUES (1);";
    let second = Migration { version: 2, name: "half", sqlite: script, postgres: script };
    assert!(migrate::apply(&store.db, &[THINGS, second], at(1)).await.is_err());
    let mut tx = store.db.write().await.unwrap();
    tx.execute("CREATE TABLE half (a BIGINT)", args![]).await.unwrap();
    let row = tx.fetch_one("SELECT MAX(version) AS version FROM schema_migrations", args![]).await.unwrap();
    assert_eq!(row.int("version").unwrap(), 1);
}

async fn entries_of_the_log_stay_as_they_are(store: Store) {
    migrate::run(&store.db, at(0)).await.unwrap();
    let mut tx = store.db.write().await.unwrap();
    let insert = "INSERT INTO log_entries (seq, at, kind, readers, payload, salt) VALUES (1, $1, 'k', 'r', '{}', $2)";
    tx.execute(insert, args![at(1), b"salt".as_slice()]).await.unwrap();
    tx.commit().await.unwrap();
    for change in ["UPDATE log_entries SET at = 5", "DELETE FROM log_entries"] {
        assert_eq!(store.refusal(change, args![]).await, "log_entries_append_only");
    }
}

/// What SQLite's names are made from must be what PostgreSQL's are.
async fn unique_indexes_are_named_after_their_columns(store: Store) {
    if store.url.starts_with("sqlite") {
        return;
    }
    migrate::run(&store.db, at(0)).await.unwrap();
    let mut tx = store.db.read().await.unwrap();
    let rows = tx
        .fetch_all(
            "SELECT c.relname::text AS name, i.indisprimary AS is_primary, t.relname::text || '_' || ( \
               SELECT string_agg(a.attname, '_' ORDER BY k.n) FROM unnest(i.indkey) WITH ORDINALITY AS k (col, n) \
               JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.col) AS expected, \
               t.relname::text AS of_table \
             FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid \
             JOIN pg_namespace s ON s.oid = t.relnamespace WHERE s.nspname = 'public' AND i.indisunique",
            args![],
        )
        .await
        .unwrap();
    assert!(!rows.is_empty());
    for row in rows {
        let expected = if row.bool("is_primary").unwrap() {
            format!("{}_pkey", row.text("of_table").unwrap())
        } else {
            format!("{}_key", row.text("expected").unwrap())
        };
        assert_eq!(row.text("name").unwrap(), expected);
    }
}

async fn answers_are_recorded_found_and_expired(store: Store) {
    migrate::run(&store.db, at(0)).await.unwrap();
    let member: MemberId = "USA:grace".parse().unwrap();
    let answer = Recorded {
        request_sha256: Sha256::of(b"POST /v1/proposals"),
        address_sha256: None,
        status: 201,
        content_type: Some("application/json".to_owned()),
        body: b"{}".to_vec(),
        etag: Some("\"1\"".to_owned()),
        location: None,
        created_at: at(100),
    };
    let mut tx = store.db.write().await.unwrap();
    idempotency::record(&mut tx, &member, "k1", &answer).await.unwrap();
    idempotency::record(&mut tx, &member, "k2", &Recorded { created_at: at(200), ..answer.clone() }).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.db.write().await.unwrap();
    assert_eq!(idempotency::find(&mut tx, &member, "k1").await.unwrap().as_ref(), Some(&answer));
    assert_eq!(idempotency::find(&mut tx, &"USA:alan".parse().unwrap(), "k1").await.unwrap(), None);
    assert_eq!(
        idempotency::expire(&mut tx, at(200), 168).await.unwrap(),
        0,
        "a clock that jumps ahead makes nothing old"
    );
    pulse::ran(&mut tx, 168).await.unwrap();
    assert_eq!(idempotency::expire(&mut tx, at(200), 168).await.unwrap(), 1);
    assert_eq!(idempotency::find(&mut tx, &member, "k1").await.unwrap(), None);
    let again = idempotency::record(&mut tx, &member, "k2", &answer).await.unwrap_err();
    assert_eq!(again.constraint(), Some("idempotency_keys_pkey"));
}

/// SQLite ends the transaction itself then, and the one writer must be fit for the next.
#[tokio::test]
async fn a_full_disk_is_told_and_survived_by_sqlite() {
    let store = Store::sqlite().await.unwrap().with_tables().await;
    let mut tx = store.db.write().await.unwrap();
    tx.execute("PRAGMA max_page_count = 12", args![]).await.unwrap();
    let much = vec![7; 100_000];
    let insert = "INSERT INTO things (name, amount, content) VALUES ($1, $2, $3)";
    let full = tx.execute(insert, args!["a", 1, much]).await;
    assert!(matches!(full, Err(StoreError::Full(_))), "{full:?}");
    drop(tx);
    store.add("b", 1).await;
    assert_eq!(store.names().await, ["b"]);
}

#[tokio::test]
async fn a_full_disk_is_told_by_postgres() {
    let Some(store) = Store::postgres().await else { return };
    let mut tx = store.db.write().await.unwrap();
    let full = tx.execute("DO 'BEGIN RAISE EXCEPTION USING ERRCODE = ''disk_full''; END'", args![]).await;
    assert!(matches!(full, Err(StoreError::Full(_))), "{full:?}");
}

#[tokio::test]
async fn a_damaged_sqlite_file_is_refused_when_opened() {
    let folder = scratch();
    let path = folder.path().join("exchange.db");
    std::fs::write(&path, vec![0x55; 8192]).unwrap();
    let refused = Db::open(&format!("sqlite://{}", path.display())).await;
    assert!(matches!(refused, Err(StoreError::Corrupt { .. })), "{refused:?}");
}

#[tokio::test]
async fn addresses_of_no_lasting_database_are_refused() {
    for url in ["mysql://localhost/x", "sqlite://:memory:", "sqlite::memory:", "sqlite://x?mode=memory", ""] {
        assert!(matches!(Db::open(url).await, Err(StoreError::Address(_))), "{url}");
    }
}

#[tokio::test]
async fn an_absent_server_is_unavailable() {
    let folder = scratch();
    let refused = Db::open(&format!("postgres:///x?host={}&user=entente", folder.path().display())).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
}
