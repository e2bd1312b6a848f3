//! Reads that leave an entry, gathered: those whose turns at writing follow one another share one transaction, and so one commit.
//!
//! Each has it to itself while it decides and writes, and hands it back. What one wrote is undone to a savepoint if that one fails or goes
//! away. Nobody has their answer before the commit that they all wait for.

use super::{Tx, TxOf};
use crate::{
    share_table::{GATHERED_FOR, GATHERED_READS},
    storage::{
        StoreError, args,
        turns::{Given, Turn},
    },
};
use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};
use tokio::{sync::oneshot, time::Instant};

/// How much is gathered into one transaction.
#[derive(Debug, Clone, Copy)]
pub struct Gathering {
    /// So many reads.
    pub most: usize,
    /// None joins so long after the first began.
    pub longest: Duration,
}

impl Default for Gathering {
    fn default() -> Self {
        Self { most: GATHERED_READS, longest: GATHERED_FOR }
    }
}

const UNTIL_HANDED_BACK: &str = "the transaction is there until it is handed back";

/// The turn at writing.
pub(super) type WriterTurn = Turn<TxShare>;

/// The transaction, for the part of one of those who share it. Dropped without [`TxShare::commit`], that part is undone.
#[derive(Debug)]
pub(super) struct TxShare {
    /// There until it is handed back.
    tx: Option<Tx>,
    back: Option<oneshot::Sender<HandedBack>>,
}

/// The transaction, and who waits for its commit: nobody if that part is to be undone.
type HandedBack = (Tx, Option<oneshot::Sender<Result<(), StoreError>>>);

impl TxShare {
    fn of(tx: Tx) -> (Self, oneshot::Receiver<HandedBack>) {
        let (back, handed_back) = oneshot::channel();
        (Self { tx: Some(tx), back: Some(back) }, handed_back)
    }

    /// Waits until what all of them wrote is durable.
    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        let (sender, outcome) = oneshot::channel();
        self.hand_back(Some(sender));
        outcome.await.map_err(|error| StoreError::OutcomeUnknown(error.into()))?
    }

    fn hand_back(&mut self, waiter: Option<oneshot::Sender<Result<(), StoreError>>>) {
        if let (Some(tx), Some(back)) = (self.tx.take(), self.back.take()) {
            // Where nobody takes it back the runtime ends, and so does the transaction.
            let _ = back.send((tx, waiter));
        }
    }
}

impl Drop for TxShare {
    fn drop(&mut self) {
        self.hand_back(None);
    }
}

impl Deref for TxShare {
    type Target = Tx;
    fn deref(&self) -> &Tx {
        self.tx.as_ref().expect(UNTIL_HANDED_BACK)
    }
}

impl DerefMut for TxShare {
    fn deref_mut(&mut self) -> &mut Tx {
        self.tx.as_mut().expect(UNTIL_HANDED_BACK)
    }
}

/// The first share in a transaction that has begun. A task of its own lends the others theirs, so one that goes away takes nothing along.
pub(super) fn begin(tx: Tx, turn: WriterTurn, limits: Gathering) -> TxShare {
    let (share, handed_back) = TxShare::of(tx);
    tokio::spawn(async move {
        let mut waiting = Vec::new();
        let outcome = gather(handed_back, &turn, limits, &mut waiting).await;
        drop(turn);
        for waiter in waiting {
            let outcome = outcome.as_ref().copied().map_err(StoreError::shared);
            // Somebody who has gone away does not hear of it; their entry is in the log.
            let _ = waiter.send(outcome);
        }
    });
    share
}

/// Lends the transaction to one after another and commits what those wait for who handed it back.
async fn gather(
    mut handed_back: oneshot::Receiver<HandedBack>,
    turn: &WriterTurn,
    limits: Gathering,
    waiting: &mut Vec<oneshot::Sender<Result<(), StoreError>>>,
) -> Result<(), StoreError> {
    let began = Instant::now();
    loop {
        let (mut tx, waiter) = handed_back.await.map_err(|error| StoreError::Unavailable(error.into()))?;
        match waiter {
            Some(waiter) => waiting.push(waiter),
            // Nobody's part is lost with it.
            None if waiting.is_empty() => return Ok(()),
            None => tx.undo_part().await?,
        }
        if waiting.len() >= limits.most || began.elapsed() >= limits.longest || !turn.is_shared_by_next() {
            return tx.commit().await;
        }
        tx.begin_part().await?;
        // They may have gone away since.
        let Some(next) = turn.next_sharer() else { return tx.commit().await };
        let share;
        (share, handed_back) = TxShare::of(tx);
        // One who goes away now hands it back by that.
        let _ = next.send(Given::Share(share));
    }
}

impl Tx {
    async fn begin_part(&mut self) -> Result<(), StoreError> {
        self.execute("SAVEPOINT part", args![]).await.map(drop)
    }

    async fn undo_part(&mut self) -> Result<(), StoreError> {
        self.execute("ROLLBACK TO SAVEPOINT part", args![]).await?;
        if let TxOf::Postgres(session) = &mut self.engine {
            session.forget_failure();
        }
        Ok(())
    }
}
