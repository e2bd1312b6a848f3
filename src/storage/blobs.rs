//! Keeps ciphertext, each piece under a random key that a row of the database refers to. Where it lies is the business of a
//! [`BlobEngine`]; what is here holds over every one of them.
//!
//! # Order of events
//!
//! Bytes stream in while no transaction is open, and nobody sees them. When the last one has arrived and digest and size are
//! right, the blob is published: only when every byte is safe does [`Blobs::stage`] return. The unit of work that follows
//! stores the key; there is nothing left to do after its commit. So whenever the machine stops, a row never refers to bytes that
//! could be lost, and what can be left over is an unfinished blob or one without a row. [`Blobs::sweep`] removes the one and
//! moves the other aside, asking the database what it knows.
//! Deletion goes the other way round: the row first, then the blob.
//!
//! The mark of the place says whose it is ([`super::mark`]): it is checked before bytes are taken, served or swept, so that a
//! disk which is not mounted takes nothing.
//!
//! A [`Staged`] blob removes itself unless it is kept, so a refused request leaves nothing. Keep it right *before* the
//! commit: when the answer to a commit is lost, a blob too many is harmless and a blob too few is not.
//!
//! Knows nothing of what the bytes mean; the caller looks at each piece as it arrives and may refuse.

use super::{
    blob_engine::{self, BlobEngine, PutBack, require_mark},
    blob_key::BlobKey,
    error::{BoxedCause, StoreError},
    intake::{self, Cut, Expected, Received, StageError},
    mark::Mark,
    reading::{Reading, Stored},
};
use crate::domain::{ambient::Rng, id::Sha256};
use bytes::Bytes;
use futures_util::Stream;
use std::{ops::Range, sync::Arc};

/// The ciphertext of an exchange.
#[derive(Debug, Clone)]
pub struct Blobs {
    pub(super) engine: Arc<dyn BlobEngine>,
    pub(super) mark: Mark,
    pub(super) rng: Arc<dyn Rng>,
}

/// Bytes that are safe but in no row yet; removed when dropped, unless kept.
#[derive(Debug)]
pub struct Staged {
    key: BlobKey,
    sha256: Sha256,
    size: u64,
    unkept: Option<Arc<dyn BlobEngine>>,
}

impl Blobs {
    /// Opens the place, which must have this mark.
    ///
    /// # Errors
    /// [`StoreError::OtherFolder`] when it has another or none.
    pub async fn open(engine: Arc<dyn BlobEngine>, mark: Mark, rng: Arc<dyn Rng>) -> Result<Self, StoreError> {
        let blobs = Self { engine, mark, rng };
        blobs.check_mark().await?;
        Ok(blobs)
    }

    /// The mark of the database and of this place.
    #[must_use]
    pub fn mark(&self) -> &Mark {
        &self.mark
    }

    /// Whether the place has its mark at this moment. Cheap enough to check before each upload.
    ///
    /// # Errors
    /// [`StoreError::OtherFolder`] when it has another or none, as when its disk is not mounted.
    pub async fn check_mark(&self) -> Result<(), StoreError> {
        self.marked(|_| Ok(())).await
    }

    /// Tries whether the place takes bytes.
    pub async fn probe(&self) -> Result<(), StoreError> {
        blob_engine::ask(&self.engine, |engine| engine.probe()).await
    }

    /// Takes a stream of bytes, at most `limit` of them, and returns when they are safe. `inspect` sees every piece in order,
    /// before it is written. Memory does not grow with the size. A place without its mark takes nothing, and nothing is made in
    /// it.
    pub async fn stage<E, X: Into<BoxedCause>>(
        &self,
        bytes: impl Stream<Item = Result<Bytes, X>>,
        limit: u64,
        expected: Expected,
        inspect: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Staged, StageError<E>> {
        let key = BlobKey::random(&*self.rng);
        let (begun, announced) = (key.clone(), expected.size.unwrap_or_default());
        let incoming = self.marked(move |engine| engine.begin(&begun, announced)).await?;
        let Received { sha256, size, incoming } =
            intake::receive(incoming, bytes, limit, expected, Cut::Discards, inspect).await?;
        let staged = Staged::new(key, sha256, size, &self.engine);
        let mark = self.mark.clone();
        // Handed over and back, so that a request cancelled meanwhile leaves nothing either.
        let staged = blob_engine::ask(&self.engine, move |engine| {
            incoming.publish()?;
            // Once more: a disk that was mounted over the folder meanwhile would hide what came.
            require_mark(engine, &mark)?;
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
        let range = range.map_or(0..stored.size, |range| range.start..range.end.min(stored.size));
        let (wanted, from, mark) = (key.clone(), range.start.min(stored.size), self.mark.clone());
        let found = self.marked(move |engine| {
            if let Some(found) = engine.open(&wanted, from)? {
                return Ok(Some(found));
            }
            // A row names again what a sweep moved aside under an older copy of the database.
            require_mark(engine, &mark)?;
            if engine.put_back(&wanted)? == PutBack::IsNowhere { Ok(None) } else { engine.open(&wanted, from) }
        });
        let found = found.await?.ok_or_else(|| StoreError::NoSuchBlob(key.to_string()))?;
        if found.size != stored.size {
            return Err(StoreError::damaged(key, "size"));
        }
        if range.start > range.end {
            return Err(StoreError::corrupt(&key.0, "a range within the blob"));
        }
        Reading::begin(found.bytes, key.clone(), stored, range).await
    }

    /// Removes a blob whose row is gone. One that is not there is not missed.
    pub async fn delete(&self, key: &BlobKey) -> Result<(), StoreError> {
        delete(&self.engine, key).await
    }

    /// Does something if the place has its mark at this moment.
    pub(super) async fn marked<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn BlobEngine) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mark = self.mark.clone();
        blob_engine::ask(&self.engine, move |engine| {
            require_mark(engine, &mark)?;
            work(engine)
        })
        .await
    }
}

impl Staged {
    pub(super) fn new(key: BlobKey, sha256: Sha256, size: u64, engine: &Arc<dyn BlobEngine>) -> Self {
        Self { key, sha256, size, unkept: Some(Arc::clone(engine)) }
    }

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
        if let Some(engine) = self.unkept.take() {
            remove(&engine, &self.key).await;
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
        if let (Some(engine), Ok(runtime)) = (self.unkept.take(), tokio::runtime::Handle::try_current()) {
            let key = self.key.clone();
            runtime.spawn(async move { remove(&engine, &key).await });
        }
    }
}

/// Removes a blob that no row names. One that is not there is not missed, and no path is reported.
async fn remove(engine: &Arc<dyn BlobEngine>, key: &BlobKey) {
    if let Err(error) = delete(engine, key).await {
        tracing::warn!(%error, blob = %key, "a blob without a row remains until the next sweep");
    }
}

async fn delete(engine: &Arc<dyn BlobEngine>, key: &BlobKey) -> Result<(), StoreError> {
    let key = key.clone();
    blob_engine::ask(engine, move |engine| engine.delete(&key)).await
}
