//! Documents whose stored bytes differ from the acknowledged ones: found at a fetch or by the daily check, noted, and not served until they
//! are right again.
//!
//! The log names blobs by their keys, which are file names and reveal nothing about a proposal. The operator's command lists the documents.

use crate::storage::{
    Db, StoreError,
    documents::{self, DocumentRow},
};
use jiff::Timestamp;

/// Notes that the bytes of a document are damaged, and says so loudly. The caller goes on, also when it cannot be noted.
pub(super) async fn note(db: &Db, row: &DocumentRow, now: Timestamp, error: &StoreError) {
    tracing::error!(blob = %row.blob, %error, "a sealed document is damaged: put its file back from a backup");
    if let Err(error) = set(db, row, Some(now)).await {
        tracing::warn!(%error, blob = %row.blob, "the damage of a sealed document could not be recorded");
    }
}

/// Notes that the bytes of a document are right again.
pub(super) async fn clear(db: &Db, row: &DocumentRow) -> Result<(), StoreError> {
    set(db, row, None).await?;
    tracing::info!(blob = %row.blob, "a sealed document that was damaged is right again");
    Ok(())
}

async fn set(db: &Db, row: &DocumentRow, at: Option<Timestamp>) -> Result<bool, StoreError> {
    let mut tx = db.write().await?;
    let changed = documents::set_damaged(&mut tx, row.id, at).await?;
    tx.commit().await?;
    Ok(changed)
}
