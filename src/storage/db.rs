//! One facade over SQLite and PostgreSQL: consistent reads, one writer at a time, and one SQL text for both.
//!
//! A unit of work begins with [`Db::write`], reads, decides, writes and commits; no other unit of work of any server
//! runs meanwhile, so what was read still holds when the effect is written. [`Db::read`] sees one snapshot throughout,
//! taken at its first statement. Whatever is dropped without [`WriteTx::commit`] is rolled back, also when the future
//! around it is cancelled.
//!
//! Statements use `$1` placeholders and the types both engines share: text, 64-bit integers, booleans, bytes. Instants
//! are BIGINT epoch milliseconds, so anything finer is lost: round before signing or comparing. In the migrations these
//! are TEXT, INTEGER, INTEGER and BLOB in `STRICT` tables of SQLite, and `TEXT COLLATE "C"` (without it PostgreSQL
//! sorts text its own way and pages come in another order), BIGINT, BOOLEAN and BYTEA in PostgreSQL. `SUM` of BIGINT
//! is NUMERIC in PostgreSQL: cast it.
//!
//! No other file asks which engine is underneath; where a text must differ it is a field of [`Dialect`].

use super::{error::StoreError, row::Row};
use crate::domain::id::{
    CallId, DecisionId, DocumentId, MemberId, PartnerCode, ProgramId, ProposalId, ReviewId, Sha256, Slug, VaultId,
    WrappedKeyId,
};
use sqlx::{
    Connection as _, Pool, Postgres, SqlSafeStr as _, SqlStr, Sqlite, Transaction,
    pool::PoolOptions,
    postgres::{PgArguments, PgConnectOptions},
    sqlite::{SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use std::{
    fmt::Display,
    fs::File,
    ops::{Deref, DerefMut},
    path::PathBuf,
    str::FromStr as _,
    time::Duration,
};

/// How long a caller waits for a connection, another process's lock or a statement before the store is `Unavailable`.
const PATIENCE: Duration = Duration::from_secs(30);

/// Connections for reading: with SQLite a thread each.
const READERS: u32 = 8;

/// The texts that differ between the engines.
#[derive(Debug)]
pub struct Dialect {
    begin_read: &'static str,
    begin_write: &'static str,
    lock: Option<&'static str>,
    /// Run before the texts of a migration, which may take longer than a request may.
    pub(super) before_migration: &'static str,
}

static SQLITE: Dialect =
    Dialect { begin_read: "BEGIN DEFERRED", begin_write: "BEGIN IMMEDIATE", lock: None, before_migration: "SELECT 1" };

static POSTGRES: Dialect = Dialect {
    begin_read: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    // Read committed: each statement after the lock sees what the previous holder of the lock committed.
    begin_write: "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
    // "entente" in ASCII.
    lock: Some("SELECT pg_advisory_xact_lock(28550418844775525)"),
    before_migration: "SET LOCAL statement_timeout = 0",
};

/// The database. Cheap to clone; all clones share the connections.
#[derive(Debug, Clone)]
pub struct Db(Engine);

/// For each engine a writer, of which there is one so that waiting writers queue here in order and take no connection
/// from the readers, and a pool of readers.
#[derive(Debug, Clone)]
enum Engine {
    Sqlite { writer: Pool<Sqlite>, readers: Pool<Sqlite> },
    Postgres { writer: Pool<Postgres>, readers: Pool<Postgres> },
}

impl Db {
    /// Opens `sqlite://<path>` (made if absent) or `postgres://…`, and checks that it can be used: a SQLite file is
    /// read through once. The schema is not looked at; see [`super::migrate::run`].
    ///
    /// # Errors
    /// [`StoreError::Address`] for another kind of address, [`StoreError::Corrupt`] when the SQLite file fails its
    /// check, [`StoreError::Unavailable`] when there is no database.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        if url.starts_with("sqlite:") {
            open_sqlite(url).await
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            open_postgres(url).await
        } else {
            Err(StoreError::Address("it begins with neither `sqlite://` nor `postgres://`"))
        }
    }

    /// Begins a consistent read. The engine refuses any write in it.
    pub async fn read(&self) -> Result<ReadTx, StoreError> {
        let tx = match &self.0 {
            Engine::Sqlite { readers, .. } => TxOf::Sqlite(begin(readers, SQLITE.begin_read).await?),
            Engine::Postgres { readers, .. } => TxOf::Postgres(begin(readers, POSTGRES.begin_read).await?),
        };
        Ok(ReadTx(Tx(tx)))
    }

    /// Begins the one unit of work that may write, after every earlier one has ended.
    pub async fn write(&self) -> Result<WriteTx, StoreError> {
        let tx = match &self.0 {
            Engine::Sqlite { writer, .. } => TxOf::Sqlite(begin(writer, SQLITE.begin_write).await?),
            Engine::Postgres { writer, .. } => TxOf::Postgres(begin(writer, POSTGRES.begin_write).await?),
        };
        let mut tx = Tx(tx);
        if let Some(lock) = tx.dialect().lock {
            tx.execute(lock, args![]).await?;
        }
        Ok(WriteTx(tx))
    }

    /// Waits until all transactions have ended and closes every connection.
    pub async fn close(&self) {
        match &self.0 {
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

/// A consistent read; ends when dropped.
#[derive(Debug)]
pub struct ReadTx(Tx);

/// The unit of work that may write; dropped without [`WriteTx::commit`] it leaves nothing behind.
#[derive(Debug)]
pub struct WriteTx(Tx);

impl WriteTx {
    /// Makes the unit of work durable. Once begun the commit runs to its end even if the caller goes away; an error
    /// other than a constraint's leaves open whether it took effect, as with any lost answer.
    pub async fn commit(self) -> Result<(), StoreError> {
        let commit = async {
            match self.0.0 {
                TxOf::Sqlite(tx) => tx.commit().await,
                TxOf::Postgres(tx) => tx.commit().await,
            }
        };
        to_its_end(commit).await
    }
}

impl Deref for ReadTx {
    type Target = Tx;
    fn deref(&self) -> &Tx {
        &self.0
    }
}

impl DerefMut for ReadTx {
    fn deref_mut(&mut self) -> &mut Tx {
        &mut self.0
    }
}

impl Deref for WriteTx {
    type Target = Tx;
    fn deref(&self) -> &Tx {
        &self.0
    }
}

impl DerefMut for WriteTx {
    fn deref_mut(&mut self) -> &mut Tx {
        &mut self.0
    }
}

/// What both kinds of transaction can do: run statements.
#[derive(Debug)]
pub struct Tx(TxOf);

#[derive(Debug)]
enum TxOf {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Tx {
    /// Runs a statement; the number of rows it changed.
    pub async fn execute(&mut self, sql: impl Into<Sql>, args: Vec<Arg>) -> Result<u64, StoreError> {
        let Sql(sql) = sql.into();
        check_arguments(sql.as_str(), &args);
        Ok(match &mut self.0 {
            TxOf::Sqlite(tx) => {
                sqlx::query_with(sql, sqlite_arguments(args)?).execute(&mut **tx).await?.rows_affected()
            }
            TxOf::Postgres(tx) => {
                sqlx::query_with(sql, postgres_arguments(args)?).execute(&mut **tx).await?.rows_affected()
            }
        })
    }

    /// Runs a query (or `INSERT … RETURNING`); its first row, if any.
    pub async fn fetch_optional(&mut self, sql: impl Into<Sql>, args: Vec<Arg>) -> Result<Option<Row>, StoreError> {
        let Sql(sql) = sql.into();
        check_arguments(sql.as_str(), &args);
        Ok(match &mut self.0 {
            TxOf::Sqlite(tx) => {
                sqlx::query_with(sql, sqlite_arguments(args)?).fetch_optional(&mut **tx).await?.map(Row::Sqlite)
            }
            TxOf::Postgres(tx) => {
                sqlx::query_with(sql, postgres_arguments(args)?).fetch_optional(&mut **tx).await?.map(Row::Postgres)
            }
        })
    }

    /// Runs a query that always has a row, such as `SELECT COUNT(*)`; the row.
    pub async fn fetch_one(&mut self, sql: impl Into<Sql>, args: Vec<Arg>) -> Result<Row, StoreError> {
        let row = self.fetch_optional(sql, args).await?;
        row.ok_or_else(|| StoreError::corrupt("answer", "at least one row"))
    }

    /// Runs a query; all its rows. Anything that can grow is asked for in pages.
    pub async fn fetch_all(&mut self, sql: impl Into<Sql>, args: Vec<Arg>) -> Result<Vec<Row>, StoreError> {
        let Sql(sql) = sql.into();
        check_arguments(sql.as_str(), &args);
        Ok(match &mut self.0 {
            TxOf::Sqlite(tx) => {
                let rows = sqlx::query_with(sql, sqlite_arguments(args)?).fetch_all(&mut **tx).await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
            TxOf::Postgres(tx) => {
                let rows = sqlx::query_with(sql, postgres_arguments(args)?).fetch_all(&mut **tx).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// The texts that differ between the engines.
    #[must_use]
    pub fn dialect(&self) -> &'static Dialect {
        self.choose(&SQLITE, &POSTGRES)
    }

    /// Runs the statements of the script written for this engine.
    pub(super) async fn script(&mut self, sqlite: &'static str, postgres: &'static str) -> Result<(), StoreError> {
        match &mut self.0 {
            TxOf::Sqlite(tx) => sqlx::raw_sql(sqlite).execute(&mut **tx).await.map(drop)?,
            TxOf::Postgres(tx) => sqlx::raw_sql(postgres).execute(&mut **tx).await.map(drop)?,
        }
        Ok(())
    }

    pub(super) fn choose<T>(&self, sqlite: T, postgres: T) -> T {
        match &self.0 {
            TxOf::Sqlite(_) => sqlite,
            TxOf::Postgres(_) => postgres,
        }
    }
}

/// The text of a statement: a constant, or one that was put together.
#[derive(Debug, Clone)]
pub struct Sql(SqlStr);

impl Sql {
    /// A statement put together at run time, such as a page whose condition follows from a policy.
    ///
    /// INVARIANT: its pieces are constants of this program and `$n` placeholders; values travel as arguments only.
    #[must_use]
    pub fn built(text: String) -> Self {
        Self(sqlx::AssertSqlSafe(text).into_sql_str())
    }
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self(text.into_sql_str())
    }
}

/// A value for a placeholder; `None` is NULL of that type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arg {
    /// TEXT.
    Text(Option<String>),
    /// BIGINT.
    Int(Option<i64>),
    /// BOOLEAN.
    Bool(Option<bool>),
    /// BLOB or BYTEA.
    Bytes(Option<Vec<u8>>),
    /// A number past the range of BIGINT: the statement fails, nothing is written.
    OutOfRange,
}

impl Arg {
    /// Anything with a text, as TEXT.
    pub fn text(value: impl Display) -> Self {
        Self::Text(Some(value.to_string()))
    }

    /// Anything with a text, or NULL.
    pub fn opt_text(value: Option<impl Display>) -> Self {
        Self::Text(value.map(|value| value.to_string()))
    }
}

/// What can stand in [`args!`](args).
pub trait ToArg {
    /// NULL of the type this becomes: PostgreSQL wants to know.
    const NULL: Arg;

    /// The value for the placeholder.
    fn to_arg(&self) -> Arg;
}

impl<T: ToArg + ?Sized> ToArg for &T {
    const NULL: Arg = T::NULL;

    fn to_arg(&self) -> Arg {
        (**self).to_arg()
    }
}

impl<T: ToArg> ToArg for Option<T> {
    const NULL: Arg = T::NULL;

    fn to_arg(&self) -> Arg {
        self.as_ref().map_or(T::NULL, ToArg::to_arg)
    }
}

impl ToArg for Arg {
    const NULL: Arg = Arg::Text(None);

    fn to_arg(&self) -> Arg {
        self.clone()
    }
}

macro_rules! to_arg {
    ($variant:ident: $($type:ty),* => |$value:ident| $convert:expr) => {$(
        impl ToArg for $type {
            const NULL: Arg = Arg::$variant(None);

            fn to_arg(&self) -> Arg {
                let $value = self;
                Arg::$variant(Some($convert))
            }
        }
    )*};
}

to_arg!(Text: str, String, PartnerCode, MemberId, Slug, Sha256, ProgramId, CallId, ProposalId, DocumentId, VaultId,
    WrappedKeyId, ReviewId, DecisionId, super::blobs::BlobKey => |value| value.to_string());
to_arg!(Int: i64, i32, u32, u16, u8 => |value| i64::from(*value));
to_arg!(Int: jiff::Timestamp => |value| value.as_millisecond());
to_arg!(Bool: bool => |value| *value);
to_arg!(Bytes: [u8], Vec<u8>, bytes::Bytes => |value| value.to_vec());

impl ToArg for u64 {
    const NULL: Arg = Arg::Int(None);

    fn to_arg(&self) -> Arg {
        i64::try_from(*self).map_or(Arg::OutOfRange, |value| Arg::Int(Some(value)))
    }
}

/// The values of a statement, in the order of its placeholders: `args![proposal_id, version, now]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __storage_args {
    ($($value:expr),* $(,)?) => {
        ::std::vec::Vec::<$crate::storage::Arg>::from([$($crate::storage::ToArg::to_arg(&$value)),*])
    };
}
pub use crate::__storage_args as args;

macro_rules! bind {
    ($name:ident, $arguments:ty) => {
        fn $name(args: Vec<Arg>) -> Result<$arguments, StoreError> {
            let mut bound = <$arguments>::default();
            for arg in args {
                match arg {
                    Arg::Text(value) => sqlx::Arguments::add(&mut bound, value),
                    Arg::Int(value) => sqlx::Arguments::add(&mut bound, value),
                    Arg::Bool(value) => sqlx::Arguments::add(&mut bound, value),
                    Arg::Bytes(value) => sqlx::Arguments::add(&mut bound, value),
                    Arg::OutOfRange => Err("a number is past the range of BIGINT".into()),
                }
                .map_err(StoreError::Statement)?;
            }
            Ok(bound)
        }
    };
}

bind!(sqlite_arguments, SqliteArguments);
bind!(postgres_arguments, PgArguments);

/// SQLite takes a missing argument for NULL, silently: a mistake of ours that a debug build must not let pass.
fn check_arguments(sql: &str, args: &[Arg]) {
    if cfg!(debug_assertions) {
        let numbers = sql.split('$').skip(1).filter_map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            rest[..end].parse::<usize>().ok()
        });
        assert_eq!(numbers.max().unwrap_or(0), args.len(), "placeholders and arguments of `{sql}`");
    }
}

/// Begins a transaction in a task of its own: a `BEGIN` abandoned between question and answer would leave the
/// connection inside a transaction nobody ends. If the caller is gone, the finished transaction is dropped, which
/// rolls it back.
async fn begin<E: sqlx::Database>(
    pool: &Pool<E>,
    statement: &'static str,
) -> Result<Transaction<'static, E>, StoreError> {
    let pool = pool.clone();
    to_its_end(async move { pool.begin_with(statement).await }).await
}

async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, sqlx::Error>> + Send + 'static,
) -> Result<T, StoreError> {
    let result = tokio::spawn(work).await.map_err(|error| StoreError::Unavailable(error.into()))?;
    Ok(result?)
}

/// A pool that lets no connection back in while a transaction is open on it. SQLite ends a transaction by itself when
/// the disk is full, the driver does not notice, and the one writer would refuse to begin ever after.
fn pool<E: sqlx::Database>(connections: u32) -> PoolOptions<E> {
    PoolOptions::new().max_connections(connections).acquire_timeout(PATIENCE).after_release(
        |connection: &mut E::Connection, _| {
            Box::pin(async move {
                // The rollback of a dropped transaction is still in the queue; the ping stands behind it.
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            })
        },
    )
}

async fn open_sqlite(url: &str) -> Result<Db, StoreError> {
    let options = SqliteConnectOptions::from_str(url)?
        .create_if_missing(true)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(PATIENCE);
    let path = options.get_filename().to_owned();
    if url.contains(":memory:") || url.contains("mode=memory") || path.as_os_str().is_empty() {
        return Err(StoreError::Address("a database in memory cannot be shared by readers and writer"));
    }
    // The change to write-ahead logging cannot wait for another process that is opening the same file.
    let opening = tokio::task::spawn_blocking(move || lock_beside(path));
    let opening = opening.await.map_err(|error| StoreError::Unavailable(error.into()))??;
    let writer = pool::<Sqlite>(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_with(options.clone().journal_mode(SqliteJournalMode::Wal))
        .await?;
    drop(opening);
    let found: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&writer).await?;
    if found != "ok" {
        return Err(StoreError::corrupt("database", "a SQLite file that passes `PRAGMA quick_check`"));
    }
    let readers = pool::<Sqlite>(READERS)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_with(options.pragma("query_only", "ON"))
        .await?;
    Ok(Db(Engine::Sqlite { writer, readers }))
}

fn lock_beside(mut path: PathBuf) -> std::io::Result<File> {
    path.as_mut_os_string().push(".opening");
    let file = File::create(path)?;
    file.lock()?;
    Ok(file)
}

async fn open_postgres(url: &str) -> Result<Db, StoreError> {
    let patience = PATIENCE.as_millis();
    let options = PgConnectOptions::from_str(url)?.application_name("entente-server").options([
        ("jit", "off".to_owned()),
        ("statement_timeout", patience.to_string()),
        // A server that was cut off while it held the writer's lock must not hold up the others for good.
        ("idle_in_transaction_session_timeout", (2 * patience).to_string()),
    ]);
    let writer = pool::<Postgres>(1).connect_with(options.clone()).await?;
    let readers = pool::<Postgres>(READERS).connect_with(options).await?;
    Ok(Db(Engine::Postgres { writer, readers }))
}
