//! The two kinds of transaction, and how they end.

use super::{
    Tx, TxOf,
    gathered::{TxShare, WriterTurn},
};
use crate::storage::{Arg, Sql, StoreError, turns::Turn};
use std::{
    ops::{Deref, DerefMut},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{runtime::Handle, time::Instant};

/// After this many instructions, some tenths of a millisecond, SQLite checks whether a statement of a read may go on.
const BETWEEN_QUESTIONS: i32 = 10_000;

const UNTIL_DROPPED: &str = "a read has its connection until it is dropped";

/// A consistent read; ends when dropped.
#[derive(Debug)]
pub struct ReadTx {
    /// There until it is dropped.
    tx: Option<Tx>,
    /// Passed on when the connection is free again.
    turns: Vec<Turn>,
    is_dropped: Arc<AtomicBool>,
}

impl ReadTx {
    pub(super) fn new(tx: Tx, turn: Turn) -> Self {
        Self { tx: Some(tx), turns: vec![turn], is_dropped: Arc::default() }
    }

    /// Holds another turn for as long as the connection works for this read, which is a long one: it ends after `limit` from now on, as
    /// [`ReadTx::end_within`] says.
    ///
    /// # Errors
    /// Those of the database; the turn is held all the same.
    pub async fn hold(&mut self, turn: Turn, limit: Duration) -> Result<(), StoreError> {
        self.turns.push(turn);
        self.end_within(limit).await
    }

    /// Gives all further statements of this read so long together, whatever it was given before. After that each is refused, and the
    /// database ends one that runs; PostgreSQL also ends each by [`read`](super::PostgresLimits::read). SQLite ends one that nobody waits
    /// for any more.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn end_within(&mut self, limit: Duration) -> Result<(), StoreError> {
        let until = Instant::now() + limit;
        let tx = self.tx.as_mut().expect(UNTIL_DROPPED);
        tx.until = Some(until);
        match &mut tx.engine {
            TxOf::Sqlite(tx) => {
                let is_dropped = Arc::clone(&self.is_dropped);
                // The pool takes it off again.
                tx.lock_handle().await?.set_progress_handler(BETWEEN_QUESTIONS, move || {
                    !is_dropped.load(Ordering::Relaxed) && Instant::now() < until
                });
            }
            TxOf::Postgres(session) => session.end_at(until),
        }
        Ok(())
    }
}

impl Drop for ReadTx {
    /// The database may still work on a statement after its caller has gone. The turns are held until it ends: a caller who leaves and
    /// repeats a request has no more statements at work than one who waits.
    fn drop(&mut self) {
        self.is_dropped.store(true, Ordering::Relaxed);
        let turns = std::mem::take(&mut self.turns);
        match self.tx.take() {
            Some(Tx { engine: TxOf::Sqlite(tx), .. }) => {
                let mut ending = Box::pin(tx.rollback());
                // The first poll orders the end now, however busy others keep this thread; the spawned task waits for it.
                let is_told = ending.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                // Outside a runtime the connection ends here.
                if let (Poll::Pending, Ok(runtime)) = (is_told, Handle::try_current()) {
                    runtime.spawn(async move {
                        // A connection that cannot even end a read is not given out again.
                        let _ = ending.await;
                        drop(turns);
                    });
                }
            }
            Some(Tx { engine: TxOf::Postgres(session), .. }) => session.end_holding(turns),
            None => {}
        }
    }
}

/// The unit of work that may write; dropped without [`WriteTx::commit`] it leaves nothing behind.
#[derive(Debug)]
pub struct WriteTx(Unit);

#[derive(Debug)]
enum Unit {
    // Dropped in this order: the transaction ends before the turn is passed on.
    Turn {
        tx: Tx,
        turn: WriterTurn,
    },
    /// A part of a transaction that others share.
    Share(TxShare),
    /// On a snapshot, where nothing can be written.
    Rehearsal(ReadTx),
}

impl WriteTx {
    pub(super) fn new(tx: Tx, turn: WriterTurn) -> Self {
        Self(Unit::Turn { tx, turn })
    }

    pub(super) fn sharing(share: TxShare) -> Self {
        Self(Unit::Share(share))
    }

    pub(super) fn rehearsing(tx: ReadTx) -> Self {
        Self(Unit::Rehearsal(tx))
    }

    /// Runs a statement; the number of rows it changed.
    ///
    /// # Errors
    /// [`StoreError::Rehearsed`] in a rehearsal.
    pub async fn execute(&mut self, sql: impl Into<Sql>, args: Vec<Arg>) -> Result<u64, StoreError> {
        self.writing()?.execute(sql, args).await
    }

    /// For a statement that writes and has rows to tell of it. Should one be run in a rehearsal in another way, the engine refuses it.
    ///
    /// # Errors
    /// [`StoreError::Rehearsed`] in a rehearsal.
    pub fn writing(&mut self) -> Result<&mut Tx, StoreError> {
        match &mut self.0 {
            Unit::Turn { tx, .. } => Ok(tx),
            Unit::Share(share) => Ok(share),
            Unit::Rehearsal(_) => Err(StoreError::Rehearsed),
        }
    }

    /// Makes the unit of work durable. Once begun the commit runs to its end even if the caller goes away.
    ///
    /// # Errors
    /// [`StoreError::OutcomeUnknown`] when nobody said what became of it; after any other error nothing was kept.
    pub async fn commit(self) -> Result<(), StoreError> {
        let (tx, turn) = match self.0 {
            Unit::Turn { tx, turn } => (tx, turn),
            Unit::Share(share) => return share.commit().await,
            Unit::Rehearsal(_) => return Err(StoreError::Rehearsed),
        };
        let commit = async {
            let committed = tx.commit().await;
            drop(turn);
            committed
        };
        tokio::spawn(commit).await.map_err(|error| StoreError::OutcomeUnknown(error.into()))?
    }
}

impl Deref for ReadTx {
    type Target = Tx;
    fn deref(&self) -> &Tx {
        self.tx.as_ref().expect(UNTIL_DROPPED)
    }
}

impl DerefMut for ReadTx {
    fn deref_mut(&mut self) -> &mut Tx {
        self.tx.as_mut().expect(UNTIL_DROPPED)
    }
}

impl Deref for WriteTx {
    type Target = Tx;
    fn deref(&self) -> &Tx {
        match &self.0 {
            Unit::Turn { tx, .. } => tx,
            Unit::Share(share) => share,
            Unit::Rehearsal(tx) => tx,
        }
    }
}

impl DerefMut for WriteTx {
    fn deref_mut(&mut self) -> &mut Tx {
        match &mut self.0 {
            Unit::Turn { tx, .. } => tx,
            Unit::Share(share) => share,
            Unit::Rehearsal(tx) => tx,
        }
    }
}
