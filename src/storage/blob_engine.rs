//! The trait of every place for ciphertext, a folder or another one.
//!
//! An engine takes bytes in, gives them out, lists, moves aside and deletes. It knows nothing of rows, digests and shares, and it
//! never decides what may be removed: that is [`super::Blobs`], which is the same over every engine and compares the mark before
//! each step. Backups copy from one place into another and know no more of either. `tests/it/blob_engines.rs` holds each engine to
//! what is promised here.
//!
//! Every call waits, for a disk or for a network, so calls are made by [`ask`], off the threads that serve requests. An engine
//! that speaks to a network may wait with `tokio::runtime::Handle::block_on` there.

use super::{blob_key::BlobKey, blocking::blocking, error::StoreError, mark::Mark};
use jiff::Timestamp;
use std::{fmt, io, path::Path, sync::Arc};

/// A place for ciphertext. Several servers may work on one at the same time.
pub trait BlobEngine: fmt::Debug + Send + Sync {
    /// The mark of the place; none when it has none, or when the place is not there.
    fn mark(&self) -> Result<Option<Mark>, StoreError>;

    /// Gives the place, made if absent, a mark instead of the one it had. When this returns, the mark outlasts a power failure.
    fn set_mark(&self, mark: &Mark) -> Result<(), StoreError>;

    /// A short text that is kept beside the blobs, such as when the last backup ended; none when there is none, or no place.
    fn note(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Keeps a note, in a place that is made if absent, instead of the one of this name, or removes it. A reader sees the one or the
    /// other, whole. When this returns, it outlasts a power failure.
    fn set_note(&self, name: &str, text: Option<&[u8]>) -> Result<(), StoreError>;

    /// The name of any thing in the place; none when the place is empty or missing.
    fn anything(&self) -> Result<Option<String>, StoreError>;

    /// What messages to the operator call the place, as in ``the folder `/srv/blobs` ``.
    fn describe(&self) -> String;

    /// The folder that the place is, if it is one: backups are kept apart from it, and its disk is measured.
    fn folder(&self) -> Option<&Path> {
        None
    }

    /// Writes a few bytes and removes them again. Never makes the place.
    fn probe(&self) -> Result<(), StoreError>;

    /// Begins to take a blob of `announced` bytes, 0 if their number is unknown. No two blobs have one key.
    ///
    /// # Errors
    /// [`StoreError::Full`] when the place has no room for so many.
    fn begin(&self, key: &BlobKey, announced: u64) -> Result<Box<dyn IncomingBlob>, StoreError>;

    /// Goes on with a resumable blob where it was left, or begins it: `announced` bytes are still to come. What is written stays when the blob is
    /// dropped, or the process ends; it is published by [`BlobEngine::publish_resumable`], under another key. None while somebody else adds to it.
    ///
    /// # Errors
    /// [`StoreError::Full`] when the place has no room for so many.
    fn resume(&self, key: &BlobKey, announced: u64) -> Result<Option<ResumedBlob>, StoreError>;

    /// How many bytes of a resumable blob are here, all of which outlast a power failure when this returns; 0 where there is none.
    fn resumable_size(&self, key: &BlobKey) -> Result<u64, StoreError>;

    /// A resumable blob, to be read from its byte `from` on.
    fn open_resumable(&self, key: &BlobKey, from: u64) -> Result<Option<OpenedBlob>, StoreError>;

    /// Makes what is here of a resumable blob visible under the key `as_key`, whole and at once, as [`IncomingBlob::publish`] does; whether there
    /// is one. It stays resumable until it is removed, and nobody adds to it from here on.
    fn publish_resumable(&self, key: &BlobKey, as_key: &BlobKey) -> Result<bool, StoreError>;

    /// Removes a resumable blob for good, but for what was published of it. One that is not there is not missed.
    fn remove_resumable(&self, key: &BlobKey) -> Result<(), StoreError>;

    /// The resumable blobs, in any order.
    fn resumables(&self) -> Result<Vec<ListedBlob>, StoreError>;

    /// A published blob, to be read from its byte `from` on, which may be its end. None where there is none under the key, one
    /// that was moved aside included.
    fn open(&self, key: &BlobKey, from: u64) -> Result<Option<OpenedBlob>, StoreError>;

    /// When this returns, every published blob outlasts a power failure, also one whose process ended while it published it.
    fn sync(&self) -> Result<(), StoreError>;

    /// The size of a published blob, or of one that was moved aside.
    fn size(&self, key: &BlobKey) -> Result<Option<u64>, StoreError>;

    /// Removes a published blob for good. One that is not there is not missed.
    fn delete(&self, key: &BlobKey) -> Result<(), StoreError>;

    /// The published blobs whose keys begin with this byte, in any order.
    fn list(&self, part: u8) -> Result<Vec<ListedBlob>, StoreError>;

    /// Removes what is left of blobs with such keys that were never published and that nobody has added to since `before`: how
    /// many. A dry run counts.
    fn remove_unfinished(&self, part: u8, before: Timestamp, is_dry: bool) -> Result<u64, StoreError>;

    /// Moves published blobs into quarantine, whole and under their keys, each with the instant of the move: how many there were.
    /// A machine that stops meanwhile leaves each of them in one of the two places.
    fn set_aside(&self, keys: &[BlobKey], now: Timestamp) -> Result<u64, StoreError>;

    /// A blob in quarantine, to be read from its beginning; it stays there.
    fn open_quarantined(&self, key: &BlobKey) -> Result<Option<OpenedBlob>, StoreError>;

    /// Publishes a blob from quarantine again. When this returns, that outlasts a power failure.
    fn put_back(&self, key: &BlobKey) -> Result<PutBack, StoreError>;

    /// The blobs in quarantine, in any order.
    fn quarantined(&self) -> Result<Vec<ListedBlob>, StoreError>;

    /// Removes a blob from quarantine for good; whether it was there.
    fn remove_quarantined(&self, key: &BlobKey) -> Result<bool, StoreError>;
}

/// A blob that is being taken. Nobody sees any of it before it is published. Dropped before that, it leaves nothing unless it was resumed;
/// dropping must not wait for a network.
pub trait IncomingBlob: fmt::Debug + Send {
    /// Takes the next bytes, some hundred KiB at a time. They need not be safe when this returns.
    ///
    /// # Errors
    /// [`StoreError::Full`] when they would take what the operator keeps in reserve. After an error the blob is dropped.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError>;

    /// Makes the blob visible, whole and at once. When this returns, every byte and the key outlast a power failure. After an
    /// error the blob may be visible or not, and the caller deletes it.
    fn publish(self: Box<Self>) -> Result<(), StoreError>;
}

/// A resumable blob that somebody adds to. Nobody else does until it is dropped.
#[derive(Debug)]
pub struct ResumedBlob {
    /// How many bytes are here.
    pub at: u64,
    /// Takes those that follow. It is never published by itself.
    pub incoming: Box<dyn IncomingBlob>,
}

/// A blob that is read. It stays readable to its end when it is moved aside or deleted meanwhile, or reading fails.
pub struct OpenedBlob {
    /// The size of the whole blob.
    pub size: u64,
    /// Its bytes from where it was opened.
    pub bytes: Box<dyn io::Read + Send>,
}

/// A blob of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedBlob {
    pub key: BlobKey,
    pub size: u64,
    /// When its last bytes came or, in quarantine, when it was moved there.
    pub at: Timestamp,
}

/// The outcome of an attempt to put a blob back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutBack {
    Moved,
    /// It is published: another server was faster, or the operator brought it from a backup.
    IsThere,
    IsNowhere,
}

/// Does something with an engine, off the threads that serve requests.
pub async fn ask<T: Send + 'static>(
    engine: &Arc<dyn BlobEngine>,
    work: impl FnOnce(&dyn BlobEngine) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let engine = Arc::clone(engine);
    blocking(move || work(&*engine)).await
}

/// How many blobs are published.
pub fn count(engine: &dyn BlobEngine) -> Result<u64, StoreError> {
    (0..=u8::MAX).map(|part| engine.list(part).map(|blobs| blobs.len() as u64)).sum()
}

/// Whether the place has this mark at this moment.
pub(super) fn require_mark(engine: &dyn BlobEngine, mark: &Mark) -> Result<(), StoreError> {
    match engine.mark()? {
        Some(found) if found == *mark => Ok(()),
        found => Err(StoreError::OtherFolder {
            database: mark.short().to_owned(),
            folder: found.map(|found| found.short().to_owned()),
        }),
    }
}

impl fmt::Debug for OpenedBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedBlob").field("size", &self.size).finish_non_exhaustive()
    }
}
