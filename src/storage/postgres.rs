//! Connections to PostgreSQL on which nothing waits without an end.
//!
//! A connection whose other end is gone has no timer of its own: what is sent into it is never answered. So whatever goes over a connection
//! has a limit here, and one that broke its limit, or whose error is about more than a statement, is thrown away with all idle ones; the
//! next unit of work opens a new connection. The server has limits of its own, somewhat shorter, so that it ends first what it can still
//! end, and frees the turn of a client that has gone silent. A read has one limit for all its statements; each gets what is left of it, and
//! the server gets the new limit.
//!
//! Must never guess what became of a commit: without an answer it is [`StoreError::OutcomeUnknown`].

use super::{
    error::{BoxedCause, StoreError},
    turns::Turn,
};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection,
    postgres::{PgConnectOptions, PgDatabaseError, PgSeverity},
};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, error::Elapsed, timeout},
};

/// After how long unused a connection is tried before it is used again.
const IDLE: Duration = Duration::from_secs(1);

/// The time limits for PostgreSQL.
#[derive(Debug, Clone, Copy)]
pub struct PostgresLimits {
    /// Until a connection of this server becomes free; for a writer, until it is its turn in this server.
    pub queue: Duration,
    /// To connect and sign in.
    pub connect: Duration,
    /// The limit for what a reachable database answers at once: a check that it is there, a begin, a rollback. Also how much longer than
    /// the database this program waits for anything else.
    pub answer: Duration,
    /// Until another server ends its turn at writing. Not longer than `write`.
    pub turn: Duration,
    /// A statement of a unit of work that writes, and its commit.
    pub write: Duration,
    /// A statement of a read.
    pub read: Duration,
    /// How long a unit of work that writes may be silent before the database ends it and frees its turn. Shorter than `turn`.
    pub silence: Duration,
    /// The same for a read, which holds up nobody.
    pub read_silence: Duration,
    /// A statement of a migration or of lists that are planned again, and its commit.
    pub upkeep: Duration,
}

impl Default for PostgresLimits {
    fn default() -> Self {
        Self {
            queue: Duration::from_secs(30),
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(3),
            turn: Duration::from_secs(8),
            write: Duration::from_secs(10),
            read: Duration::from_secs(30),
            silence: Duration::from_secs(5),
            read_silence: Duration::from_mins(1),
            upkeep: Duration::from_hours(1),
        }
    }
}

/// The purpose of the transactions of a group of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    Write,
}

/// Some connections, and who waits for one. Cheap to clone; all clones share them.
#[derive(Debug, Clone)]
pub(super) struct Connections(Arc<Home>);

#[derive(Debug)]
struct Home {
    options: PgConnectOptions,
    purpose: Purpose,
    limits: PostgresLimits,
    /// Of one statement.
    statement: Duration,
    count: u32,
    places: Arc<Semaphore>,
    /// The latest used last.
    idle: Mutex<Vec<(PgConnection, Instant)>>,
    is_closed: AtomicBool,
}

/// A transaction on a connection of its own. Dropped without a commit it is rolled back, and the connection goes home after that.
#[derive(Debug)]
pub(super) struct Session {
    /// None once it is thrown away or gone home.
    connection: Option<PgConnection>,
    place: Option<OwnedSemaphorePermit>,
    home: Arc<Home>,
    /// Of one statement.
    limit: Duration,
    /// The limit of one statement that the database keeps in this transaction.
    kept: Duration,
    /// When the time of all statements together is over.
    until: Option<Instant>,
    /// Passed on with the place.
    turns: Vec<Turn>,
    /// PostgreSQL answers a commit by a rollback once a statement has failed, and calls that no error.
    has_failed: bool,
}

impl Connections {
    /// Connects at the first statement.
    pub(super) fn new(options: &PgConnectOptions, purpose: Purpose, count: u32, limits: PostgresLimits) -> Self {
        let (statement, silence) = match purpose {
            Purpose::Read => (limits.read, limits.read_silence),
            Purpose::Write => (limits.write, limits.silence),
        };
        let millis = |limit: Duration| limit.as_millis().to_string();
        let options = options.clone().application_name("entente-server").options([
            ("jit", "off".to_owned()),
            // To start helpers takes as long as a page. Only a look at hundreds of thousands of rows is worth it.
            ("parallel_setup_cost", "10000".to_owned()),
            ("statement_timeout", millis(statement)),
            ("lock_timeout", millis(limits.turn)),
            // A server that was cut off or frozen in its turn must not hold up the others.
            ("idle_in_transaction_session_timeout", millis(silence)),
            // So that the database notices a server that is gone; the driver gives no way to set them on this side.
            ("tcp_keepalives_idle", "10".to_owned()),
            ("tcp_keepalives_interval", "5".to_owned()),
            ("tcp_keepalives_count", "3".to_owned()),
            ("tcp_user_timeout", "15000".to_owned()),
        ]);
        let places = Arc::new(Semaphore::new(count as usize));
        let (idle, is_closed) = (Mutex::default(), AtomicBool::new(false));
        Self(Arc::new(Home { options, purpose, limits, statement, count, places, idle, is_closed }))
    }

    /// Begins a transaction with this statement, on a connection that answers.
    pub(super) async fn begin(&self, statement: &'static str) -> Result<Session, StoreError> {
        let home = Arc::clone(&self.0);
        let place = timeout(home.limits.queue, Arc::clone(&home.places).acquire_owned()).await;
        let place = place.map_err(|_| unavailable(format!("no connection became free within {:?}", home.limits.queue)));
        let place = place?.map_err(|_| closed())?;
        if home.is_closed.load(Ordering::SeqCst) {
            return Err(closed());
        }
        let (limit, kept) = (home.statement, home.statement);
        let (place, turns) = (Some(place), Vec::new());
        let mut session = Session { connection: None, place, home, limit, kept, until: None, turns, has_failed: false };
        loop {
            let idle = session.home.idle().pop();
            let Some((connection, since)) = idle else { break };
            session.connection = Some(connection);
            match session.start(since.elapsed() > IDLE, statement).await {
                Ok(()) => return Ok(session),
                Err(error) if session.connection.is_some() => return Err(error),
                // What took one connection has mostly taken all.
                Err(error) => {
                    session.home.idle().clear();
                    tracing::warn!(cause = %cause_text(&error), "a connection to the database was lost; connecting again");
                }
            }
            session.has_failed = false;
        }
        session.connection = Some(session.home.connect().await?);
        session.start(false, statement).await?;
        Ok(session)
    }

    /// Runs one statement by itself, outside any transaction.
    pub(super) async fn once(&self, statement: &'static str) -> Result<(), StoreError> {
        let mut connection = self.0.connect().await?;
        let done = timeout(self.0.statement, sqlx::raw_sql(statement).execute(&mut connection)).await;
        done.map_err(|_| no_answer(self.0.statement))??;
        let _ = timeout(self.0.limits.answer, connection.close()).await;
        Ok(())
    }

    /// Lets nobody begin any more, waits until every transaction has ended and closes the connections.
    pub(super) async fn close(&self) {
        let home = &self.0;
        home.is_closed.store(true, Ordering::SeqCst);
        let _all = timeout(home.limits.queue, home.places.acquire_many(home.count)).await;
        let idle: Vec<_> = home.idle().drain(..).collect();
        for (connection, _) in idle {
            let _ = timeout(home.limits.answer, connection.close()).await;
        }
    }
}

impl Home {
    fn idle(&self) -> MutexGuard<'_, Vec<(PgConnection, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<PgConnection, StoreError> {
        let limit = self.limits.connect;
        let connected = timeout(limit, self.options.connect()).await;
        Ok(connected.map_err(|_| unavailable(format!("no connection to the database within {limit:?}")))??)
    }
}

impl Session {
    /// The connection and the limit of one statement on it. Ask [`Session::judge`] of what came of it.
    pub(super) async fn connection(&mut self) -> Result<(&mut PgConnection, Duration), StoreError> {
        let limit = self.statement_limit().await?;
        self.connected(limit)
    }

    /// The connection and the limit of one piece of what goes over it in many, such as the rows of a copy.
    pub(super) fn connection_for_pieces(&mut self) -> Result<(&mut PgConnection, Duration), StoreError> {
        self.connected(self.home.limits.read)
    }

    /// Gives all further statements together until then, so that they need no limit of their own here.
    pub(super) fn end_at(&mut self, until: Instant) {
        self.until = Some(until);
    }

    /// The connection, and how long the answer to what the database ends after `limit` is waited for.
    fn connected(&mut self, limit: Duration) -> Result<(&mut PgConnection, Duration), StoreError> {
        let limit = limit + self.home.limits.answer;
        let connection = self.connection.as_mut();
        Ok((connection.ok_or_else(|| unavailable("the connection to the database was lost before"))?, limit))
    }

    /// The limit of the next statement: no more than is left of the time of all. The database gets a new limit when the difference is
    /// noticeable, so some twenty times at the most while a limit of thirty seconds runs out.
    async fn statement_limit(&mut self) -> Result<Duration, StoreError> {
        let Some(until) = self.until else { return Ok(self.limit) };
        // PostgreSQL takes 0 for no limit.
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let limit = self.limit.min(left);
        if self.kept.abs_diff(limit) > self.home.limits.answer / 2 {
            self.keep(limit, "").await?;
        }
        Ok(limit)
    }

    /// Has the database keep this limit of a statement, and other settings, until the transaction ends.
    async fn keep(&mut self, limit: Duration, others: &str) -> Result<(), StoreError> {
        let sql = format!("SET LOCAL statement_timeout = {}{others}", limit.as_millis());
        let (connection, patience) = self.connected(Duration::ZERO)?;
        let done = timeout(patience, sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection)).await;
        self.judge(done)?;
        self.kept = limit;
        Ok(())
    }

    /// Takes what came of a statement. A connection that cannot be relied on any more is thrown away.
    pub(super) fn judge<T>(&mut self, done: Result<Result<T, sqlx::Error>, Elapsed>) -> Result<T, StoreError> {
        let error = match done {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(error)) => {
                if ends_connection(&error) {
                    self.connection = None;
                }
                error.into()
            }
            Err(_) => {
                self.connection = None;
                no_answer(self.limit + self.home.limits.answer)
            }
        };
        self.has_failed = true;
        Err(error)
    }

    /// Allows the statements from here on what those of a migration need. A read may be silent for as long while what it found is worked
    /// on; a server that is frozen in its turn at writing loses it in a migration as in any other unit of work.
    pub(super) async fn take_your_time(&mut self) -> Result<(), StoreError> {
        let upkeep = self.home.limits.upkeep;
        let silence = match self.home.purpose {
            Purpose::Read => format!("; SET LOCAL idle_in_transaction_session_timeout = {}", upkeep.as_millis()),
            Purpose::Write => String::new(),
        };
        self.keep(upkeep, &silence).await?;
        self.limit = upkeep;
        Ok(())
    }

    /// Commits. An answer that does not come leaves open what became of it; the task that waits for it should not be cancelled.
    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        if self.has_failed {
            return Err(StoreError::Statement("a statement of the unit of work has failed before its commit".into()));
        }
        let (connection, limit) = self.connected(self.limit)?;
        let unknown: BoxedCause = match timeout(limit, sqlx::raw_sql("COMMIT").execute(connection)).await {
            Ok(Ok(_)) => {
                self.go_home();
                return Ok(());
            }
            // The database says that it did not, and goes on with this connection.
            Ok(Err(error)) if matches!(error, sqlx::Error::Database(_)) && !ends_connection(&error) => {
                return Err(error.into());
            }
            Ok(Err(error)) => error.into(),
            Err(_) => format!("the database did not answer a commit within {limit:?}").into(),
        };
        self.connection = None;
        Err(StoreError::OutcomeUnknown(unknown))
    }

    /// The statements that failed are undone: what was before them can be committed.
    pub(super) fn forget_failure(&mut self) {
        self.has_failed = false;
    }

    /// Begins; a connection that was idle is tested first.
    async fn start(&mut self, was_idle: bool, statement: &'static str) -> Result<(), StoreError> {
        let limit = self.home.limits.answer;
        if was_idle {
            let (connection, _) = self.connected(limit)?;
            let done = timeout(limit, connection.ping()).await;
            self.judge(done)?;
        }
        let (connection, _) = self.connected(limit)?;
        let done = timeout(limit, sqlx::raw_sql(statement).execute(connection)).await;
        match self.judge(done) {
            Ok(_) => Ok(()),
            // The statement is always the same and right, so what it is refused for is the state of the database: a standby takes no
            // `READ WRITE` and calls that a feature that it does not support (0A000).
            Err(StoreError::Statement(cause)) => Err(StoreError::Unavailable(cause)),
            Err(error) => Err(error),
        }
    }

    fn go_home(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.home.idle().push((connection, Instant::now()));
        }
    }
}

impl Session {
    /// Ends it without a commit; the turns are passed on when its place is.
    pub(super) fn end_holding(mut self, turns: Vec<Turn>) {
        self.turns = turns;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        // Outside a runtime the connection ends here, and the transaction with it.
        let Ok(runtime) = Handle::try_current() else { return };
        let (home, place, turns) = (Arc::clone(&self.home), self.place.take(), std::mem::take(&mut self.turns));
        // A read for a member may be at a statement still. It holds its place and its turns until the database has ended that, by itself
        // at the latest: who asks, goes away and asks again has no more at work than one who waits.
        let limit = home.limits.answer + if self.until.is_some() { self.limit } else { Duration::ZERO };
        runtime.spawn(async move {
            let rollback = timeout(limit, sqlx::raw_sql("ROLLBACK").execute(&mut connection)).await;
            if matches!(rollback, Ok(Ok(_))) {
                home.idle().push((connection, Instant::now()));
            }
            drop((place, turns));
        });
    }
}

/// Whether the connection is done for: the error is not the database's word about a statement.
fn ends_connection(error: &sqlx::Error) -> bool {
    use sqlx::Error as E;
    match error {
        E::Database(error) => error
            .try_downcast_ref::<PgDatabaseError>()
            .is_none_or(|error| matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic)),
        E::Io(_) | E::Tls(_) | E::Protocol(_) | E::WorkerCrashed => true,
        _ => false,
    }
}

fn unavailable(cause: impl Into<BoxedCause>) -> StoreError {
    StoreError::Unavailable(cause.into())
}

/// The outcome of one piece of a longer answer, or of a longer request. A connection that breaks the limit is the caller's to drop.
pub(super) async fn within<T>(
    limit: Duration,
    piece: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, StoreError> {
    Ok(timeout(limit, piece).await.map_err(|_| no_answer(limit))??)
}

fn no_answer(limit: Duration) -> StoreError {
    unavailable(format!("the database did not answer within {limit:?}"))
}

fn closed() -> StoreError {
    unavailable("the connections to the database are closed")
}

fn cause_text(error: &StoreError) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}
