//! The bytes of a blob on their way out, in pieces, the next read while one is sent; those of a whole blob are hashed meanwhile.
//!
//! INVARIANT: the last piece of a whole blob is not given out unless the digest of all of them is the row's. The sender, which announced
//! the length, then breaks off short of it, and the receiver cannot take what came for the document.

use super::{BlobKey, StoreError};
use crate::domain::id::Sha256;
use aws_lc_rs::digest::{self, Context};
use bytes::Bytes;
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use std::{fmt, io::Read, ops::Range};
use tokio::task::{JoinHandle, spawn_blocking};

/// The bytes that are read at a time. The next is read while one is sent, and a slow connection still holds a piece of the one before, so a
/// download holds three of them.
const CHUNK: u64 = 256 << 10;

/// The size and digest in the row of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    pub size: u64,
    pub sha256: Sha256,
}

/// A blob, or a part of one, on its way out.
pub struct Reading {
    /// The size of the whole blob.
    pub size: u64,
    /// The part that is read.
    pub range: Range<u64>,
    /// Its bytes, in pieces of a quarter of a MiB.
    pub bytes: BoxStream<'static, Result<Bytes, StoreError>>,
}

impl Reading {
    /// Begins to read, from bytes that begin with those of the range. A whole blob of a single piece has been hashed when this
    /// returns.
    pub(super) async fn begin(
        from: Box<dyn Read + Send>,
        key: BlobKey,
        stored: Stored,
        range: Range<u64>,
    ) -> Result<Self, StoreError> {
        let left = range.end - range.start;
        let expected = (left == stored.size).then(|| (Context::new(&digest::SHA256), stored.sha256));
        let mut first = spawn_blocking(move || Rest { from, left, key, expected }.read());
        let bytes = if left <= CHUNK {
            let (only, _) = joined(&mut first).await?;
            stream::iter((!only.is_empty()).then_some(Ok(only))).boxed()
        } else {
            let pieces = stream::try_unfold(Some(first), async |reading| {
                let Some(mut reading) = reading else { return Ok(None) };
                let (piece, rest) = joined(&mut reading).await?;
                Ok(Some((piece, rest.map(|rest| spawn_blocking(|| rest.read())))))
            });
            pieces.boxed()
        };
        Ok(Self { size: stored.size, range, bytes })
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("size", &self.size).field("range", &self.range).finish_non_exhaustive()
    }
}

/// A piece, and what follows it.
type ReadPiece = Result<(Bytes, Option<Rest>), StoreError>;

/// The rest of a blob that is still to be read.
struct Rest {
    from: Box<dyn Read + Send>,
    left: u64,
    key: BlobKey,
    /// The digest so far and what it has to become, where the whole blob is read.
    expected: Option<(Context, Sha256)>,
}

impl Rest {
    fn read(mut self) -> ReadPiece {
        let wanted = self.left.min(CHUNK);
        let mut bytes = Vec::with_capacity(usize::try_from(wanted).expect("a chunk fits into memory"));
        (&mut *self.from).take(wanted).read_to_end(&mut bytes)?;
        if (bytes.len() as u64) < wanted {
            return Err(StoreError::damaged(&self.key, "size"));
        }
        self.left -= wanted;
        if let Some((digest, _)) = &mut self.expected {
            digest.update(&bytes);
        }
        if self.left > 0 {
            return Ok((bytes.into(), Some(self)));
        }
        let differs = |(digest, expected): (Context, Sha256)| digest.finish().as_ref() != expected.as_bytes();
        if self.expected.is_some_and(differs) {
            return Err(StoreError::damaged(&self.key, "digest"));
        }
        Ok((bytes.into(), None))
    }
}

async fn joined(reading: &mut JoinHandle<ReadPiece>) -> ReadPiece {
    reading.await.map_err(|error| StoreError::Io(error.into()))?
}
