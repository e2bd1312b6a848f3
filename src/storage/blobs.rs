//! Keeps ciphertext in a folder, each piece under a random key that a row of the database refers to.
//!
//! # Order of events
//!
//! Bytes stream into a partial file beside their final place while no transaction is open. When the last one has
//! arrived and digest and size are right, the file is flushed, given its final name and the folder flushed: only then
//! does [`Blobs::stage`] return. The unit of work that follows stores the key; there is nothing left to do after its
//! commit. So whenever the machine stops, a row never refers to bytes that are not on the disk, and what can be left
//! over is a partial file or a blob without a row. [`Blobs::sweep`] removes the one and moves the other aside, asking the database
//! what it knows.
//! Deletion goes the other way round: the row first, then the blob.
//!
//! The mark of the folder says whose it is ([`super::mark`]): it is checked before bytes are taken, served or swept, so that a disk
//! which is not mounted takes nothing.
//!
//! A [`Staged`] blob removes itself unless it is kept, so a refused request leaves nothing. Keep it right *before* the
//! commit: when the answer to a commit is lost, a blob too many is harmless and a blob too few is not.
//!
//! Knows nothing of what the bytes mean; the caller looks at each piece as it arrives and may refuse.

use super::{
    blob_key::BlobKey,
    blocking::blocking,
    error::{BoxedCause, StoreError},
    folder::{self, PutBack, absent},
    intake::{self, Destination, Expected, Received, StageError},
    mark::{Mark, MarkedFolder},
    reading::{Reading, Stored},
    spool::{Spool, Spooled, spool},
};
use crate::domain::{ambient::Rng, id::Sha256};
use bytes::Bytes;
use futures_util::Stream;
use std::{
    fs::{self, File},
    ops::Range,
    path::PathBuf,
    sync::Arc,
};

/// The folder of ciphertext.
#[derive(Debug, Clone)]
pub struct Blobs {
    pub(super) marked: Arc<MarkedFolder>,
    rng: Arc<dyn Rng>,
    /// What is left free on the disk, in bytes.
    reserve: u64,
}

/// Bytes that are on the disk but in no row yet; removed when dropped, unless kept.
#[derive(Debug)]
pub struct Staged {
    key: BlobKey,
    sha256: Sha256,
    size: u64,
    unkept: Option<Arc<MarkedFolder>>,
}

impl Blobs {
    /// Opens the folder, which must have this mark.
    ///
    /// # Errors
    /// [`StoreError::OtherFolder`] when it has another or none.
    pub async fn open(folder: impl Into<PathBuf>, mark: Mark, rng: Arc<dyn Rng>) -> Result<Self, StoreError> {
        let marked = Arc::new(MarkedFolder { folder: folder.into(), mark });
        blocking(move || {
            marked.check()?;
            Ok(Self { marked, rng, reserve: 0 })
        })
        .await
    }

    /// The same, but no blob takes the last bytes of the disk: acts go on when uploads have filled the rest.
    #[must_use]
    pub fn with_reserve(self, bytes: u64) -> Self {
        Self { reserve: bytes, ..self }
    }

    /// The mark of the database and of this folder.
    #[must_use]
    pub fn mark(&self) -> &Mark {
        &self.marked.mark
    }

    /// Where the folder is.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        &self.marked.folder
    }

    /// Whether the folder has its mark at this moment. Cheap enough to be asked before each upload.
    ///
    /// # Errors
    /// [`StoreError::OtherFolder`] when it has another or none, as when its disk is not mounted.
    pub async fn check_mark(&self) -> Result<(), StoreError> {
        let marked = Arc::clone(&self.marked);
        blocking(move || marked.check()).await
    }

    /// Room for an answer that waits to be taken, beside the ciphertext.
    ///
    /// # Errors
    /// [`StoreError::OtherFolder`] as in [`Blobs::check_mark`], and [`StoreError::Full`] when it would take the reserve.
    pub async fn spool(&self) -> Result<(Spool, Spooled), StoreError> {
        spool(Arc::clone(&self.marked), self.reserve).await
    }

    /// Takes a stream of bytes, at most `limit` of them, and returns when they are safe on the disk. `inspect` sees
    /// every piece in order, before it is written. Memory does not grow with the size.
    pub async fn stage<E, X: Into<BoxedCause>>(
        &self,
        bytes: impl Stream<Item = Result<Bytes, X>>,
        limit: u64,
        expected: Expected,
        inspect: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Staged, StageError<E>> {
        let key = BlobKey::random(&*self.rng);
        let place = folder::live(self.folder(), &key);
        let marked = Arc::clone(&self.marked);
        let to = Destination { marked: Arc::clone(&marked), place, reserve: self.reserve };
        let Received { sha256, size, partial } = intake::receive(to, bytes, limit, expected, inspect).await?;
        let staged = Staged { key, sha256, size, unkept: Some(Arc::clone(&marked)) };
        // Handed over and back, so that a request cancelled meanwhile leaves nothing either.
        let staged = blocking(move || {
            partial.publish()?;
            // Once more: a disk that was mounted over the folder meanwhile would hide what came.
            marked.check()?;
            Ok(staged)
        });
        Ok(staged.await?)
    }

    /// Reads a blob that its row says to be `stored`, or the part of it in `range` (the end may lie past the blob's).
    ///
    /// The size is compared at once. Bytes of a whole blob are hashed on their way, and the last piece is given out only when the
    /// digest is right, so that nobody can take other bytes for complete; a blob of one piece is refused before its first byte.
    /// A part is not hashed: the client puts it together with others and has the digest of the whole.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBlob`] and [`StoreError::DamagedBlob`], also from the stream; [`StoreError::OtherFolder`];
    /// [`StoreError::Corrupt`] when `range` begins past the end, since the caller knows the size from the row.
    pub async fn read(&self, key: &BlobKey, stored: Stored, range: Option<Range<u64>>) -> Result<Reading, StoreError> {
        self.check_mark().await?;
        let found = match self.find(key).await? {
            // A row names again what a sweep moved aside under an older copy of the database.
            None if self.put_back_one(key).await? != PutBack::IsNowhere => self.find(key).await?,
            found => found,
        };
        let (file, size) = found.ok_or_else(|| StoreError::NoSuchBlob(key.to_string()))?;
        if size != stored.size {
            return Err(StoreError::damaged(key, "size"));
        }
        let range = range.map_or(0..stored.size, |range| range.start..range.end.min(stored.size));
        if range.start > range.end {
            return Err(StoreError::corrupt(&key.0, "a range within the blob"));
        }
        Reading::begin(file, key.clone(), stored, range).await
    }

    /// Removes a blob whose row is gone. One that is not there is not missed.
    pub async fn delete(&self, key: &BlobKey) -> Result<(), StoreError> {
        delete(&self.marked, key).await
    }

    /// The file of a blob, and how many bytes it has.
    async fn find(&self, key: &BlobKey) -> Result<Option<(File, u64)>, StoreError> {
        let place = folder::live(self.folder(), key);
        blocking(move || {
            let Some(file) = absent(File::open(place))? else { return Ok(None) };
            let size = file.metadata()?.len();
            Ok(Some((file, size)))
        })
        .await
    }
}

impl Staged {
    /// The key to store in the row.
    #[must_use]
    pub fn key(&self) -> &BlobKey {
        &self.key
    }

    /// The digest of the bytes.
    #[must_use]
    pub fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// The number of bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Removes the bytes, which are gone when this returns. Dropping does the same a moment later.
    pub async fn discard(mut self) {
        if let Some(folder) = self.unkept.take() {
            remove(&folder, &self.key).await;
        }
    }

    /// Keeps the bytes from here on: call it right before the commit of the unit of work that refers to them.
    pub fn keep(mut self) -> BlobKey {
        self.unkept = None;
        self.key.clone()
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Outside a runtime, as when the server stops, the next sweep does it.
        if let (Some(folder), Ok(runtime)) = (self.unkept.take(), tokio::runtime::Handle::try_current()) {
            let key = self.key.clone();
            runtime.spawn(async move { remove(&folder, &key).await });
        }
    }
}

/// Removes a blob that no row names. One that is not there is not missed, and no path is reported.
async fn remove(folder: &MarkedFolder, key: &BlobKey) {
    if let Err(error) = delete(folder, key).await {
        tracing::warn!(%error, blob = %key, "a blob without a row remains until the next sweep");
    }
}

async fn delete(folder: &MarkedFolder, key: &BlobKey) -> Result<(), StoreError> {
    let place = folder::live(&folder.folder, key);
    blocking(move || Ok(absent(fs::remove_file(place))?.unwrap_or_default())).await
}
