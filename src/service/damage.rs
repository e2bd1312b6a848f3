//! Blobs whose stored bytes are not what was acknowledged: found when they are fetched and by a daily check, noted, and not handed
//! out until they are right again.
//!
//! The log names blobs by their keys, which are names of files and say nothing of a proposal; which documents they are, the operator
//! asks the program.

use crate::storage::{Db, StoreError, held_blobs::HeldBlob};
use jiff::Timestamp;

/// Notes that the bytes of a document are damaged, and says so loudly. The caller goes on, also when it cannot be noted.
pub(super) async fn note(db: &Db, held: &HeldBlob, now: Timestamp, error: &StoreError) {
    tracing::error!(blob = %held.key(), %error, "a sealed document is damaged: put its file back from a backup");
    if let Err(error) = set(db, held, Some(now)).await {
        tracing::warn!(%error, blob = %held.key(), "the damage of a sealed document could not be recorded");
    }
}

/// Notes that the bytes of a document are right again.
pub(super) async fn clear(db: &Db, held: &HeldBlob) -> Result<(), StoreError> {
    set(db, held, None).await?;
    tracing::info!(blob = %held.key(), "a sealed document that was damaged is right again");
    Ok(())
}

async fn set(db: &Db, held: &HeldBlob, at: Option<Timestamp>) -> Result<bool, StoreError> {
    let mut tx = db.write().await?;
    let changed = held.set_damaged(&mut tx, at).await?;
    tx.commit().await?;
    Ok(changed)
}
