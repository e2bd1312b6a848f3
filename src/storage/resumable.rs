//! Ciphertext that is taken over several requests: each adds to what is here, until all of it is.
//!
//! It has a key of its own, which a row of an upload names, and nobody reads it. When its last byte is here it is published under a new key
//! as one that came at once would be; what was here stays until the row says that it became a document. So an attempt that fails, at whatever
//! moment, loses nothing.
//!
//! INVARIANT: a blob that is whole is never written to again: it may be published already.

use super::{
    BlobKey, Blobs, Staged, StoreError, Turn,
    blob_engine::{IncomingBlob, OpenedBlob, ResumedBlob, ask, require_mark},
    error::BoxedCause,
    intake::{self, Cut, Expected, Received, StageError},
};
use crate::domain::id::Sha256;
use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use futures_util::Stream;
use std::{io::Read as _, time::Duration};
use tokio::time::sleep;

/// How often it is tried to go on with a blob that somebody else adds to, and the wait in between: a request that was ended lets go in a moment.
const TRIES: u32 = 200;
const WAIT: Duration = Duration::from_millis(50);

/// The bytes that are read at a time to be hashed.
const PIECE: usize = 512 << 10;

/// A blob that this request alone adds to.
#[derive(Debug)]
pub struct Resumed {
    key: BlobKey,
    at: u64,
    incoming: Box<dyn IncomingBlob>,
}

/// A blob after bytes were added. Nobody else adds to it until this is dropped.
#[derive(Debug)]
pub struct Appended {
    /// How many bytes are here.
    pub at: u64,
    /// The digest of all of them, if they came in this one request.
    pub sha256: Option<Sha256>,
    incoming: Box<dyn IncomingBlob>,
}

impl Resumed {
    /// How many bytes are here.
    #[must_use]
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Adds nothing, since all is here.
    #[must_use]
    pub fn whole(self) -> Appended {
        Appended { at: self.at, sha256: None, incoming: self.incoming }
    }
}

impl Appended {
    /// Lets others add to it, where waiting is allowed.
    pub async fn release(self) {
        let incoming = self.incoming;
        let _ = tokio::task::spawn_blocking(move || drop(incoming)).await;
    }
}

impl Blobs {
    /// A key for a resumable blob.
    #[must_use]
    pub fn new_key(&self) -> BlobKey {
        BlobKey::random(&*self.rng)
    }

    /// How many bytes of a resumable blob are here and outlast a power failure.
    pub async fn resumable_size(&self, key: &BlobKey) -> Result<u64, StoreError> {
        let key = key.clone();
        self.marked(move |engine| engine.resumable_size(&key)).await
    }

    /// Goes on with a blob that has `size` bytes in the end; none when somebody else has added to it for ten seconds.
    pub async fn resume(&self, key: &BlobKey, size: u64) -> Result<Option<Resumed>, StoreError> {
        for _ in 0..TRIES {
            let wanted = key.clone();
            let resumed = self.marked(move |engine| {
                let still = size.saturating_sub(engine.resumable_size(&wanted)?);
                engine.resume(&wanted, still)
            });
            if let Some(ResumedBlob { at, incoming }) = resumed.await? {
                return Ok(Some(Resumed { key: key.clone(), at, incoming }));
            }
            sleep(WAIT).await;
        }
        Ok(None)
    }

    /// Adds bytes, at most as many as are missing to `size`. What came stays, also when the sender stops before the end. `inspect` sees every piece
    /// in order.
    pub async fn append<E, X: Into<BoxedCause>>(
        &self,
        resumed: Resumed,
        size: u64,
        bytes: impl Stream<Item = Result<Bytes, X>>,
        inspect: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Appended, StageError<E>> {
        let Resumed { key, at, incoming } = resumed;
        let limit = size.saturating_sub(at);
        let received = intake::receive(incoming, bytes, limit, Expected::default(), Cut::Keeps, inspect).await?;
        let Received { sha256, size: came, incoming } = received;
        let at_once = (at == 0).then_some(sha256);
        // INVARIANT: no offset is told that a power failure could take back.
        self.resumable_size(&key).await?;
        Ok(Appended { at: at + came, sha256: at_once, incoming })
    }

    /// The last byte of a blob, if it has `size` bytes.
    pub async fn last_byte(&self, key: &BlobKey, size: u64) -> Result<Option<u8>, StoreError> {
        let key = key.clone();
        self.marked(move |engine| {
            let Some(OpenedBlob { size: found, mut bytes }) = engine.open_resumable(&key, size - 1)? else {
                return Ok(None);
            };
            let mut last = [0];
            Ok(if found == size { bytes.read_exact(&mut last).map(|()| Some(last[0]))? } else { None })
        })
        .await
    }

    /// Reads a resumable blob from its beginning, showing each piece to `see`: its digest and its size. The turn at it is held until the read
    /// has ended, even if nobody waits any more, so that no member takes all threads on which everybody's documents are read and written.
    pub async fn look_through<T: Send + 'static>(
        &self,
        key: &BlobKey,
        mut seen: T,
        see: fn(&mut T, &[u8]),
        turn: Turn,
    ) -> Result<(Sha256, u64, T), StoreError> {
        let wanted = key.clone();
        self.marked(move |engine| {
            let _turn = turn;
            let opened = engine.open_resumable(&wanted, 0)?;
            let mut bytes = opened.ok_or_else(|| StoreError::NoSuchBlob(wanted.to_string()))?.bytes;
            let (mut digest, mut size, mut piece) = (Context::new(&SHA256), 0, vec![0; PIECE]);
            loop {
                let len = bytes.read(&mut piece)?;
                if len == 0 {
                    break;
                }
                digest.update(&piece[..len]);
                see(&mut seen, &piece[..len]);
                size += len as u64;
            }
            let sha256: [u8; 32] = digest.finish().as_ref().try_into().expect("SHA-256 has 32 bytes");
            Ok((Sha256::from_bytes(sha256), size, seen))
        })
        .await
    }

    /// Publishes a whole blob under a new key; none when it is gone. It is removed again unless it is kept.
    pub async fn publish_resumable(
        &self,
        key: &BlobKey,
        sha256: Sha256,
        size: u64,
    ) -> Result<Option<Staged>, StoreError> {
        let as_key = self.new_key();
        let staged = Staged::new(as_key.clone(), sha256, size, &self.engine);
        let (key, mark) = (key.clone(), self.mark.clone());
        // Handed over and back, so that a request cancelled meanwhile leaves nothing either.
        ask(&self.engine, move |engine| {
            require_mark(engine, &mark)?;
            let is_there = engine.publish_resumable(&key, &as_key)?;
            require_mark(engine, &mark)?;
            Ok(is_there.then_some(staged))
        })
        .await
    }

    /// Removes a resumable blob. One that is not there is not missed.
    pub async fn remove_resumable(&self, key: &BlobKey) -> Result<(), StoreError> {
        let key = key.clone();
        self.marked(move |engine| engine.remove_resumable(&key)).await
    }
}
