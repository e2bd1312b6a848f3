//! Notes beside the documents: the last backup, the backup that they were restored from, and an unfinished restore.

use super::{documents::cause, layout::BackupError};
use crate::storage::{BlobEngine, StoreError, blob_engine::ask};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::sync::Arc;

pub(super) const LAST: &str = "entente-last-backup.json";
pub(super) const RESTORED: &str = "entente-restored.json";
pub(super) const RESTORING: &str = "entente-restoring.json";

/// A note about the last backup, or about the backup that the documents were restored from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupNote {
    /// The name of the backup.
    pub name: String,
    /// The instant of its state: its beginning, as its manifest says, unless the copied database was older.
    pub begun_at: Timestamp,
    /// When this was noted: the end of the backup, or of the restore.
    pub noted_at: Timestamp,
    pub last_entry: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_entry_at: Option<Timestamp>,
}

/// The progress of an unfinished restore.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Restoring {
    pub(super) backup: String,
    /// The mark that the database gets.
    pub(super) mark: String,
}

/// When the last backup of these documents and their database ended.
pub async fn last_backup(place: &Arc<dyn BlobEngine>) -> Result<Option<BackupNote>, BackupError> {
    read(place, LAST).await
}

/// The backup that these documents and their database were restored from, unless another one was taken since.
pub async fn restored_from(place: &Arc<dyn BlobEngine>) -> Result<Option<BackupNote>, BackupError> {
    let restored: Option<BackupNote> = read(place, RESTORED).await?;
    let last = last_backup(place).await?;
    Ok(restored.filter(|restored| last.is_none_or(|last| last.noted_at < restored.noted_at)))
}

/// Refuses a place for documents in which a restore is not done.
pub async fn refuse_half_restored(place: &Arc<dyn BlobEngine>) -> Result<(), BackupError> {
    let begun: Option<Restoring> = read(place, RESTORING).await?;
    begun.map_or(Ok(()), |begun| Err(BackupError::HalfRestored(begun.backup)))
}

pub(super) async fn read<T: DeserializeOwned>(
    place: &Arc<dyn BlobEngine>,
    name: &'static str,
) -> Result<Option<T>, BackupError> {
    let text = ask(place, move |place| place.note(name)).await.map_err(|error| failed(name, &error))?;
    let read = text.map(|text| serde_json::from_slice(&text)).transpose();
    read.map_err(|error| BackupError::Note { name, why: error.to_string() })
}

pub(super) async fn write(
    place: &Arc<dyn BlobEngine>,
    name: &'static str,
    value: &impl Serialize,
) -> Result<(), BackupError> {
    let text = json(value);
    ask(place, move |place| place.set_note(name, Some(&text))).await.map_err(|error| failed(name, &error))
}

pub(super) async fn remove(place: &Arc<dyn BlobEngine>, name: &'static str) -> Result<(), BackupError> {
    ask(place, move |place| place.set_note(name, None)).await.map_err(|error| failed(name, &error))
}

/// The form of what is written beside documents and into a folder of backups.
pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).expect("our notes have string keys and finite numbers");
    text.push(b'\n');
    text
}

fn failed(name: &'static str, error: &StoreError) -> BackupError {
    BackupError::Note { name, why: cause(error) }
}
