//! The two kinds of transaction, and how they end.

use super::{Tx, TxOf, of_sqlite_commit};
use crate::storage::{StoreError, turns::Turn};
use std::{
    ops::{Deref, DerefMut},
    task::{Context, Poll, Waker},
};
use tokio::runtime::Handle;

const UNTIL_DROPPED: &str = "a read has its connection until it is dropped";

/// A consistent read; ends when dropped.
#[derive(Debug)]
pub struct ReadTx {
    /// There until it is dropped.
    tx: Option<Tx>,
    /// Passed on when the connection is free again.
    turns: Vec<Turn>,
}

impl ReadTx {
    pub(super) fn new(tx: Tx, turn: Turn) -> Self {
        Self { tx: Some(tx), turns: vec![turn] }
    }

    /// Holds another turn for as long as the connection works for this read.
    pub fn hold(&mut self, turn: Turn) {
        self.turns.push(turn);
    }
}

impl Drop for ReadTx {
    /// A statement runs to its end though nobody waits for its answer any more. So long the turns are held: a caller who asks, goes away
    /// and asks again has no more at work than one who waits.
    fn drop(&mut self) {
        let turns = std::mem::take(&mut self.turns);
        match self.tx.take() {
            Some(Tx(TxOf::Sqlite(tx))) => {
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
            Some(Tx(TxOf::Postgres(session))) => session.end_holding(turns),
            None => {}
        }
    }
}

/// The unit of work that may write; dropped without [`WriteTx::commit`] it leaves nothing behind.
#[derive(Debug)]
pub struct WriteTx {
    // Dropped in this order: the transaction ends before the turn is passed on.
    tx: Tx,
    turn: Turn,
}

impl WriteTx {
    pub(super) fn new(tx: Tx, turn: Turn) -> Self {
        Self { tx, turn }
    }

    /// Makes the unit of work durable. Once begun the commit runs to its end even if the caller goes away.
    ///
    /// # Errors
    /// [`StoreError::OutcomeUnknown`] when nobody said what became of it; after any other error nothing was kept.
    pub async fn commit(self) -> Result<(), StoreError> {
        let Self { tx, turn } = self;
        let commit = async {
            let committed = match tx.0 {
                TxOf::Sqlite(tx) => tx.commit().await.map_err(of_sqlite_commit),
                TxOf::Postgres(session) => session.commit().await,
            };
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
        &self.tx
    }
}

impl DerefMut for WriteTx {
    fn deref_mut(&mut self) -> &mut Tx {
        &mut self.tx
    }
}
