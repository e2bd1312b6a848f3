//! One facade over SQLite and PostgreSQL: consistent reads, one writer at a time, and one SQL text for both.
//!
//! A unit of work begins with [`Db::write`] or [`Db::write_for`], reads, decides, writes and commits; no other unit of work of any server
//! runs meanwhile, and [`super::turns`] decides which comes next. So the facts that were read still hold when the effect is written.
//! [`Db::read`] sees one snapshot throughout, taken at its first statement. Whatever is dropped without [`WriteTx::commit`] is rolled back,
//! also when the future around it is cancelled.
//!
//! Nothing waits for a database without an end: the limits are those of [`PostgresLimits`] on PostgreSQL; on SQLite a
//! caller waits for its turn and for another process's lock. A read for a member has one time for all its statements, on both.
//!
//! Statements use `$1` placeholders and the types both engines share: text, 64-bit integers, booleans, bytes. Instants
//! are BIGINT epoch milliseconds, so anything finer is lost: round before signing or comparing. In the migrations these
//! are TEXT, INTEGER, INTEGER and BLOB in `STRICT` tables of SQLite, and `TEXT COLLATE "C"` (without it PostgreSQL
//! sorts text its own way and pages come in another order), BIGINT, BOOLEAN and BYTEA in PostgreSQL. `SUM` of BIGINT
//! is NUMERIC in PostgreSQL: cast it.
//!
//! No other file depends on the engine; a text that must differ is a field of [`Dialect`].

pub use super::postgres::PostgresLimits;
use super::{
    error::StoreError,
    postgres::{Connections, Purpose, Session},
    row::Row,
    statement::{Arg, Sql, args, check_arguments, postgres_arguments, sqlite_arguments},
    turns::{Given, Queue, Whose},
};
use metrics::{gauge, histogram};
use sqlx::{
    Connection as _, Pool, Sqlite, SqliteConnection, Transaction,
    pool::PoolOptions,
    postgres::PgConnectOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use std::{fs::File, path::PathBuf, str::FromStr as _, time::Duration};
use tokio::time::{Instant, timeout};

pub mod copy;
mod gathered;
pub mod schema;
pub mod tables;
#[cfg(test)]
mod tests;
mod unit;

pub use crate::share_table::{LONGEST_READ, READERS};
pub use gathered::Gathering;
pub use unit::{ReadTx, WriteTx};

/// How long a caller of SQLite waits for a connection or another process's lock before the store is `Unavailable`.
const PATIENCE: Duration = Duration::from_secs(30);

/// Figures of waiting for the turn to write.
pub const WRITERS_WAITING: &str = "entente_writers_waiting";
pub const WRITER_WAIT: &str = "entente_writer_wait_seconds";

/// Why a caller of SQLite got no turn or connection in time.
const WRITER_BUSY: &str = "it did not come to its turn in time: the writer is busy or stuck";
const READERS_BUSY: &str = "no connection for reading became free in time: reads are many, or stuck";

/// Why a statement was refused.
const TIME_IS_OVER: &str = "the read has taken as long as one may";

/// The texts that differ between the engines.
#[derive(Debug)]
pub struct Dialect {
    begin_read: &'static str,
    begin_write: &'static str,
    lock: Option<&'static str>,
    /// The text before the name of an index that the engine is to use, if the engine takes such a hint.
    pub(super) indexed_by: Option<&'static str>,
    /// The instant by the clock of the database's machine, in epoch milliseconds; NULL where that is this machine's.
    pub(super) machine_time: &'static str,
    /// The function that gives the position of a text in another, 0 for nowhere.
    pub(super) position: &'static str,
    /// The aggregate that puts texts together.
    pub(super) joined: &'static str,
    /// What goes before and after the placeholder of a list of texts, for one of which a column is looked up.
    among: (&'static str, &'static str),
    /// What goes before and after the value that is gathered of each row into one text of JSON.
    gathered: (&'static str, &'static str),
    /// The function that makes an array of JSON of several values.
    array: &'static str,
    pub(super) like: Like,
}

/// How a pattern is matched with regard to letter case.
#[derive(Debug)]
pub(super) struct Like {
    pub(super) operator: &'static str,
    /// What follows the pattern.
    pub(super) suffix: &'static str,
    /// What stands for any number of any characters.
    pub(super) anything: char,
    /// Characters with a meaning, and what goes before and after one that has none.
    pub(super) special: &'static [char],
    pub(super) escape: (&'static str, &'static str),
}

pub(super) static SQLITE: Dialect = Dialect {
    begin_read: "BEGIN DEFERRED",
    begin_write: "BEGIN IMMEDIATE",
    lock: None,
    indexed_by: Some("INDEXED BY"),
    machine_time: "CAST(NULL AS INTEGER)",
    position: "instr",
    joined: "group_concat",
    among: ("IN (SELECT value FROM json_each(", "))"),
    gathered: ("json_group_array(", ")"),
    array: "json_array",
    // LIKE of SQLite disregards letter case.
    like: Like { operator: "GLOB", suffix: "", anything: '*', special: &['*', '?', '['], escape: ("[", "]") },
};

static POSTGRES: Dialect = Dialect {
    begin_read: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    // Read committed: each statement after the lock sees what the previous holder of the lock committed.
    begin_write: "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
    // A table of our own: an advisory lock could be taken by any account of the database.
    lock: Some("LOCK TABLE writer_turn IN EXCLUSIVE MODE"),
    indexed_by: None,
    machine_time: "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
    position: "strpos",
    joined: "string_agg",
    among: ("= ANY(", ")"),
    gathered: ("CAST(json_agg(", ") AS TEXT)"),
    array: "json_build_array",
    like: Like {
        operator: "LIKE",
        suffix: r" ESCAPE '\'",
        anything: '%',
        special: &['%', '_', '\\'],
        escape: (r"\", ""),
    },
};

impl Dialect {
    /// The condition that a column is among the texts behind the placeholder of this number. The text of the statement is the same however
    /// many they are, so it can be kept prepared, and one value is bound: SQLite's driver looks up each by its name among all of them.
    pub(super) fn among(&self, column: &str, number: usize) -> String {
        let (before, after) = self.among;
        format!("{column} {before}${number}{after}")
    }

    /// The aggregate that gathers these values of all rows into one text, which [`Row::gathered`] reads: a row costs more to hand over
    /// than to find.
    pub(super) fn gathered(&self, values: &[&str]) -> String {
        let ((before, after), all) = (self.gathered, values.join(", "));
        if values.len() == 1 {
            format!("{before}{all}{after}")
        } else {
            format!("{before}{}({all}){after}", self.array)
        }
    }
}

/// The database. Cheap to clone; all clones share the connections and the queues.
#[derive(Debug, Clone)]
pub struct Db {
    engine: Engine,
    writers: Queue<gathered::TxShare>,
    readers: Queue,
    /// How long one waits in a queue.
    patience: Duration,
    gathering: Gathering,
}

/// For each engine a writer, of which there is one so that waiting writers take no connection from the readers, and a pool of readers.
#[derive(Debug, Clone)]
enum Engine {
    Sqlite { writer: Pool<Sqlite>, readers: Pool<Sqlite> },
    Postgres { writer: Connections, readers: Connections },
}

impl Db {
    fn of(engine: Engine, patience: Duration) -> Self {
        Self {
            engine,
            writers: Queue::of(1),
            readers: Queue::of(READERS as usize),
            patience,
            gathering: Gathering::default(),
        }
    }

    /// The same database, of which this copy gathers another number of reads into one transaction.
    #[must_use]
    pub fn gathering(self, gathering: Gathering) -> Self {
        Self { gathering, ..self }
    }

    /// Opens `sqlite://<path>` (made if absent) or `postgres://…`, and checks that it can be used: a SQLite file is
    /// read through once. The schema is not looked at; see [`super::migrate::run`].
    ///
    /// # Errors
    /// [`StoreError::Address`] for another kind of address, [`StoreError::Corrupt`] when the SQLite file fails its
    /// check, [`StoreError::Unavailable`] when there is no database.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        Self::open_with(url, PostgresLimits::default()).await
    }

    /// The same with other limits for statements on PostgreSQL.
    pub async fn open_with(url: &str, limits: PostgresLimits) -> Result<Self, StoreError> {
        if url.starts_with("sqlite:") {
            open_sqlite(url).await
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            open_postgres(url, limits).await
        } else {
            Err(StoreError::Address("it begins with neither `sqlite://` nor `postgres://`"))
        }
    }

    /// Begins a consistent read, for the exchange itself. The engine refuses any write in it.
    pub async fn read(&self) -> Result<ReadTx, StoreError> {
        self.read_for(Whose::Exchange).await
    }

    /// The same, once it is their turn at reading. Of all but the exchange itself it ends after [`LONGEST_READ`], counted from the first moment
    /// on. One that looks long has the limit that [`ReadTx::hold`] is given.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the turn does not come in time.
    pub async fn read_for(&self, whose: Whose) -> Result<ReadTx, StoreError> {
        let has_limit = whose != Whose::Exchange;
        let turn = timeout(self.patience, self.readers.take(whose)).await;
        let turn = turn.map_err(|_| StoreError::Unavailable(READERS_BUSY.into()))?;
        let tx = match &self.engine {
            Engine::Sqlite { readers, .. } => {
                TxOf::Sqlite(begin_sqlite(readers, SQLITE.begin_read, READERS_BUSY).await?)
            }
            Engine::Postgres { readers, .. } => TxOf::Postgres(readers.begin(POSTGRES.begin_read).await?),
        };
        let mut tx = ReadTx::new(Tx::of(tx), turn);
        if has_limit {
            tx.end_within(LONGEST_READ).await?;
        }
        Ok(tx)
    }

    /// Begins the one unit of work that may write, for the exchange itself.
    pub async fn write(&self) -> Result<WriteTx, StoreError> {
        self.write_for(Whose::Exchange).await
    }

    /// Begins the one unit of work that may write, once it is their turn.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the turn does not come in time.
    pub async fn write_for(&self, whose: Whose) -> Result<WriteTx, StoreError> {
        let _waiting = WaitTime::begin();
        let turn = timeout(self.patience, self.writers.take(whose)).await;
        let turn = turn.map_err(|_| StoreError::Unavailable(WRITER_BUSY.into()))?;
        Ok(WriteTx::new(self.begin_write().await?, turn))
    }

    /// The same for a read that leaves an entry. Those whose turns follow one another are in one transaction, one after another, so that a
    /// thousand of them are not a thousand commits. Each sees what is committed when its turn comes, and what goes wrong with one undoes
    /// what that one wrote.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the turn does not come in time.
    pub async fn write_gathered_for(&self, whose: Whose) -> Result<WriteTx, StoreError> {
        let _waiting = WaitTime::begin();
        let given = timeout(self.patience, self.writers.take_or_share(whose)).await;
        Ok(WriteTx::sharing(match given.map_err(|_| StoreError::Unavailable(WRITER_BUSY.into()))? {
            Given::Share(share) => share,
            Given::Turn(turn) => gathered::begin(self.begin_write().await?, turn, self.gathering),
        }))
    }

    async fn begin_write(&self) -> Result<Tx, StoreError> {
        let tx = match &self.engine {
            Engine::Sqlite { writer, .. } => TxOf::Sqlite(begin_sqlite(writer, SQLITE.begin_write, WRITER_BUSY).await?),
            Engine::Postgres { writer, .. } => TxOf::Postgres(writer.begin(POSTGRES.begin_write).await?),
        };
        let mut tx = Tx::of(tx);
        if let Some(lock) = tx.dialect().lock {
            tx.execute(lock, args![]).await?;
        }
        Ok(tx)
    }

    /// Begins on a snapshot what would be a unit of work, and ends at the first thing that it would write. It takes no turn at writing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the turn at reading does not come in time.
    pub async fn rehearse_for(&self, whose: Whose) -> Result<WriteTx, StoreError> {
        Ok(WriteTx::rehearsing(self.read_for(whose).await?))
    }

    /// Whether somebody writes or waits to, on this server.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        self.writers.is_taken()
    }

    /// How many units of work of members wait for their turn on this server.
    #[must_use]
    pub fn members_waiting(&self) -> usize {
        self.writers.members()
    }

    /// How many reads for members, and for those who may be, wait for their turn on this server.
    #[must_use]
    pub fn readers_waiting(&self) -> usize {
        self.readers.members()
    }

    /// Keeps up the statistics that plans are made by. Without any SQLite takes each table for a large one.
    pub async fn keep_statistics(&self) -> Result<(), StoreError> {
        // PostgreSQL does it by itself.
        if matches!(self.engine, Engine::Sqlite { .. }) {
            let mut tx = self.write().await?;
            // All tables, also those that this connection never asked (0x10000); those that grew much are analysed (0x2), by a sample
            // (0x10), for others wait for the writer.
            tx.execute("PRAGMA optimize = 0x10012", args![]).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Waits until all transactions have ended and closes every connection.
    pub async fn close(&self) {
        match &self.engine {
            Engine::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Engine::Postgres { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
        }
    }
}

/// Waits for its turn until dropped, whatever ends it.
struct WaitTime(Instant);

impl WaitTime {
    fn begin() -> Self {
        gauge!(WRITERS_WAITING).increment(1.0);
        Self(Instant::now())
    }
}

impl Drop for WaitTime {
    fn drop(&mut self) {
        gauge!(WRITERS_WAITING).decrement(1.0);
        histogram!(WRITER_WAIT).record(self.0.elapsed().as_secs_f64());
    }
}

/// The common part of both kinds of transaction: it runs statements.
#[derive(Debug)]
pub struct Tx {
    engine: TxOf,
    /// No statement begins after this.
    until: Option<Instant>,
}

#[derive(Debug)]
enum TxOf {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Session),
}

impl Tx {
    fn of(engine: TxOf) -> Self {
        Self { engine, until: None }
    }

    /// Refuses what comes after the time of a read is over, however short it is: the database ends what runs by then, and not what
    /// begins later.
    fn check_time(&self) -> Result<(), StoreError> {
        match self.until {
            Some(until) if Instant::now() >= until => Err(StoreError::Unavailable(TIME_IS_OVER.into())),
            _ => Ok(()),
        }
    }

    /// Runs a statement; the number of rows it changed.
    pub async fn execute(&mut self, sql: impl Into<Sql>, args: Vec<Arg>) -> Result<u64, StoreError> {
        self.check_time()?;
        let Sql { text: sql, is_kept: kept } = sql.into();
        check_arguments(sql.as_str(), &args);
        Ok(match &mut self.engine {
            TxOf::Sqlite(tx) => sqlx::query_with(sql, sqlite_arguments(args)?)
                .persistent(kept)
                .execute(&mut **tx)
                .await?
                .rows_affected(),
            TxOf::Postgres(session) => {
                let query = sqlx::query_with(sql, postgres_arguments(args)?).persistent(kept);
                let (connection, limit) = session.connection().await?;
                let done = timeout(limit, query.execute(connection)).await;
                session.judge(done)?.rows_affected()
            }
        })
    }

    /// Runs a query (or `INSERT … RETURNING`); its first row, if any.
    pub async fn fetch_optional(&mut self, sql: impl Into<Sql>, args: Vec<Arg>) -> Result<Option<Row>, StoreError> {
        self.check_time()?;
        let Sql { text: sql, is_kept: kept } = sql.into();
        check_arguments(sql.as_str(), &args);
        Ok(match &mut self.engine {
            TxOf::Sqlite(tx) => sqlx::query_with(sql, sqlite_arguments(args)?)
                .persistent(kept)
                .fetch_optional(&mut **tx)
                .await?
                .map(Row::Sqlite),
            TxOf::Postgres(session) => {
                let query = sqlx::query_with(sql, postgres_arguments(args)?).persistent(kept);
                let (connection, limit) = session.connection().await?;
                let done = timeout(limit, query.fetch_optional(connection)).await;
                session.judge(done)?.map(Row::Postgres)
            }
        })
    }

    /// Runs a query that always has a row, such as `SELECT COUNT(*)`; the row.
    pub async fn fetch_one(&mut self, sql: impl Into<Sql>, args: Vec<Arg>) -> Result<Row, StoreError> {
        let row = self.fetch_optional(sql, args).await?;
        row.ok_or_else(|| StoreError::corrupt("answer", "at least one row"))
    }

    /// Runs a query; all its rows. Anything that can grow is read in pages.
    pub async fn fetch_all(&mut self, sql: impl Into<Sql>, args: Vec<Arg>) -> Result<Vec<Row>, StoreError> {
        self.check_time()?;
        let Sql { text: sql, is_kept: kept } = sql.into();
        check_arguments(sql.as_str(), &args);
        Ok(match &mut self.engine {
            TxOf::Sqlite(tx) => {
                let rows = sqlx::query_with(sql, sqlite_arguments(args)?).persistent(kept).fetch_all(&mut **tx).await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
            TxOf::Postgres(session) => {
                let query = sqlx::query_with(sql, postgres_arguments(args)?).persistent(kept);
                let (connection, limit) = session.connection().await?;
                let done = timeout(limit, query.fetch_all(connection)).await;
                session.judge(done)?.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    async fn commit(self) -> Result<(), StoreError> {
        match self.engine {
            TxOf::Sqlite(tx) => tx.commit().await.map_err(of_sqlite_commit),
            TxOf::Postgres(session) => session.commit().await,
        }
    }

    /// The texts that differ between the engines.
    #[must_use]
    pub fn dialect(&self) -> &'static Dialect {
        self.choose(&SQLITE, &POSTGRES)
    }

    /// Runs the statements of the script written for this engine.
    pub(super) async fn script(&mut self, sqlite: &'static str, postgres: &'static str) -> Result<(), StoreError> {
        match &mut self.engine {
            TxOf::Sqlite(tx) => sqlx::raw_sql(sqlite).execute(&mut **tx).await.map(drop)?,
            TxOf::Postgres(session) => {
                let (connection, limit) = session.connection().await?;
                let done = timeout(limit, sqlx::raw_sql(postgres).execute(connection)).await;
                session.judge(done)?;
            }
        }
        Ok(())
    }

    /// For a transaction that may take longer than a request may: a migration, lists planned again.
    pub(super) async fn take_your_time(&mut self) -> Result<(), StoreError> {
        match &mut self.engine {
            TxOf::Sqlite(_) => Ok(()),
            TxOf::Postgres(session) => session.take_your_time().await,
        }
    }

    pub(super) fn choose<T>(&self, sqlite: T, postgres: T) -> T {
        match &self.engine {
            TxOf::Sqlite(_) => sqlite,
            TxOf::Postgres(_) => postgres,
        }
    }
}

/// Begins a transaction of SQLite, whose driver undoes a `BEGIN` that nobody waits for any more. `busy` says why none could begin in time.
async fn begin_sqlite(
    pool: &Pool<Sqlite>,
    statement: &'static str,
    busy: &'static str,
) -> Result<Transaction<'static, Sqlite>, StoreError> {
    pool.begin_with(statement).await.map_err(|error| match error {
        sqlx::Error::PoolTimedOut => StoreError::Unavailable(busy.into()),
        error => error.into(),
    })
}

/// The outcome of a commit that failed with this error. SQLite undoes what it could not write. A commit whose sync failed is undone, too,
/// but its pages may be on the disk: had the machine stopped here, the next start would find it done.
fn of_sqlite_commit(error: sqlx::Error) -> StoreError {
    let is_told = matches!(error, sqlx::Error::Database(_));
    match StoreError::from(error) {
        StoreError::Io(cause) => StoreError::OutcomeUnknown(cause),
        StoreError::Unavailable(cause) if !is_told => StoreError::OutcomeUnknown(cause),
        known => known,
    }
}

/// A pool that lets no connection back in while a transaction is open on it: SQLite ends a transaction by itself when
/// the disk is full, the driver does not notice, and the one writer would refuse to begin ever after.
fn pool(connections: u32) -> PoolOptions<Sqlite> {
    PoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(PATIENCE)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .after_release(|connection: &mut SqliteConnection, _| {
            Box::pin(async move {
                if connection.is_in_transaction() {
                    // The rollback of a dropped transaction may still be in the queue; the ping stands behind it.
                    connection.ping().await?;
                }
                // What ended the statements of a long read must not end those of the next one.
                connection.lock_handle().await?.remove_progress_handler();
                Ok(!connection.is_in_transaction())
            })
        })
}

/// How many rows SQLite's thread has ready before they are taken.
const ROWS_AHEAD: usize = 512;

async fn open_sqlite(url: &str) -> Result<Db, StoreError> {
    let options = SqliteConnectOptions::from_str(url)?
        .create_if_missing(true)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(PATIENCE);
    let path = options.get_filename();
    if url.contains(":memory:") || url.contains("mode=memory") || path.as_os_str().is_empty() {
        return Err(StoreError::Address("a database in memory cannot be shared by readers and writer"));
    }
    // The change to write-ahead logging cannot wait for another process that is opening the same file.
    let path = copy::own_name(path);
    let opening = tokio::task::spawn_blocking(move || lock_beside(path));
    let opening = opening.await.map_err(|error| StoreError::Unavailable(error.into()))??;
    let writer = pool(1).connect_with(options.clone().journal_mode(SqliteJournalMode::Wal)).await?;
    drop(opening);
    let found: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&writer).await?;
    if found != "ok" {
        return Err(StoreError::corrupt("database", "a SQLite file that passes `PRAGMA quick_check`"));
    }
    // Rows cross a thread: with few places for them each side waits for the other again and again.
    let readers = options.pragma("query_only", "ON").row_buffer_size(ROWS_AHEAD);
    let readers = pool(READERS).connect_with(readers).await?;
    Ok(Db::of(Engine::Sqlite { writer, readers }, PATIENCE))
}

fn lock_beside(mut path: PathBuf) -> std::io::Result<File> {
    path.as_mut_os_string().push(".opening");
    let file = File::create(path)?;
    file.lock()?;
    Ok(file)
}

/// Connects when something is asked.
fn postgres(url: &str, limits: PostgresLimits) -> Result<Db, StoreError> {
    let options = PgConnectOptions::from_str(url)?;
    let writer = Connections::new(&options, Purpose::Write, 1, limits);
    let readers = Connections::new(&options, Purpose::Read, READERS, limits);
    Ok(Db::of(Engine::Postgres { writer, readers }, limits.queue))
}

async fn open_postgres(url: &str, limits: PostgresLimits) -> Result<Db, StoreError> {
    let db = postgres(url, limits)?;
    // What writers take turns at. No migration makes it, since migrations take turns, too.
    let mut tx = db.read().await?;
    let is_there = tx.fetch_one("SELECT to_regclass('writer_turn') IS NOT NULL AS found", args![]).await?;
    if !is_there.bool("found")? {
        drop(tx);
        if let Engine::Postgres { writer, .. } = &db.engine {
            writer.once(TURN).await?;
        }
    }
    Ok(db)
}

/// Two servers that start at once may both find it missing: the second gets an error that says it is there by now.
const TURN: &str = "DO $$ BEGIN CREATE TABLE IF NOT EXISTS writer_turn (); \
    EXCEPTION WHEN unique_violation OR duplicate_table THEN NULL; END $$";
