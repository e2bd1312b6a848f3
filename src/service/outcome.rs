//! Commits an act, and finds out what became of it when the database did not say.
//!
//! Must never say that nothing was done unless that is certain. The answer to a repetition is recorded in the act's own
//! transaction, so looking for that record shows whether the act was kept.

use super::{Answer, Exchange, Idempotency, Result, ServiceError};
use crate::{
    domain::id::MemberId,
    storage::{StoreError, WriteTx, idempotency},
};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long the record is looked for: a server that was frozen in its turn is gone by then, and the caller still listens.
const PATIENCE: Duration = Duration::from_secs(20);

/// The waits between looks while the database cannot be reached.
const WAITS: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(400), Duration::from_millis(1600)];

/// Commits; the answer, also when the database kept the act and its word for that was lost.
///
/// # Errors
/// [`StoreError::OutcomeUnknown`] when it cannot be found out. After any other error nothing was done.
pub(super) async fn commit(
    exchange: &Exchange,
    tx: WriteTx,
    asker: Option<(&MemberId, &Idempotency)>,
    answer: Answer,
) -> Result<Answer> {
    let cause = match tx.commit().await {
        Ok(()) => return Ok(answer),
        Err(StoreError::OutcomeUnknown(cause)) => cause,
        Err(error) => return Err(error.into()),
    };
    tracing::warn!(%cause, "the answer to a commit was lost; checking whether it was committed");
    let Some((member, idempotency)) = asker else { return Err(StoreError::OutcomeUnknown(cause).into()) };
    match timeout(PATIENCE, look(exchange, member, idempotency)).await {
        Ok(Ok(true)) => Ok(answer),
        Ok(Ok(false)) => Err(StoreError::Unavailable(cause).into()),
        Ok(Err(_)) | Err(_) => Err(StoreError::OutcomeUnknown(cause).into()),
    }
}

/// Whether the act was kept.
async fn look(exchange: &Exchange, member: &MemberId, idempotency: &Idempotency) -> Result<bool, StoreError> {
    let mut waits = WAITS.into_iter();
    loop {
        match idempotency::find_settled(&exchange.db, member, &idempotency.key).await {
            Ok(found) => return Ok(found.is_some_and(|found| found.request_sha256 == idempotency.request_sha256)),
            Err(error) => match waits.next() {
                Some(wait) => sleep(wait).await,
                None => return Err(error),
            },
        }
    }
}

impl ServiceError {
    /// Whether it is certain that nothing was done.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        !matches!(self, Self::Store(StoreError::OutcomeUnknown(_)))
    }
}
