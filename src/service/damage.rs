//! Blobs whose stored bytes differ from the acknowledged ones: found at a fetch or by the daily check, noted, and not served until they
//! are right again.
//!
//! The log names blobs by their keys, which are file names and reveal nothing about a proposal. The operator's command lists the documents.

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
