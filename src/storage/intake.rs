//! Takes in the bytes of one upload: gathers, hashes and writes them at the same time, to whatever place they go.
//!
//! Memory does not grow with the size, and no thread waits for a slow sender.

use super::{
    blob_engine::IncomingBlob,
    error::{BoxedCause, StoreError},
};
use crate::domain::id::Sha256;
use aws_lc_rs::digest::{self, Context};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use std::pin::pin;
use tokio::task::{JoinHandle, spawn_blocking};

/// The bytes that are gathered before they are hashed and written; one more is gathered meanwhile, so an upload holds two of them. Larger
/// ones would fall out of the processor's cache between the one and the other.
const CHUNK: usize = 512 << 10;

/// The announced size and digest, as far as they were announced.
#[derive(Debug, Clone, Copy, Default)]
pub struct Expected {
    /// The digest of the bytes.
    pub sha256: Option<Sha256>,
    /// Their number.
    pub size: Option<u64>,
}

/// What becomes of bytes whose sender stops before the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// They go with the blob.
    Discards,
    /// All that came is written; the blob stays.
    Keeps,
}

/// Why bytes were not taken. Nothing of them remains, unless the blob is resumable.
#[derive(Debug, thiserror::Error)]
pub enum StageError<E> {
    /// More bytes came than are allowed.
    #[error("more than {limit} bytes")]
    TooLarge {
        /// The number that is allowed.
        limit: u64,
    },
    /// The bytes are not those announced.
    #[error("the bytes have another {what} than announced")]
    NotAsAnnounced {
        /// `size` or `digest`.
        what: &'static str,
    },
    /// The caller did not like what it saw.
    #[error("the bytes were refused")]
    Refused(E),
    /// The sender stopped before the end.
    #[error("the upload ended early")]
    Interrupted(#[source] BoxedCause),
    /// They could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Bytes that came as they should and that nobody sees yet.
pub(super) struct Received {
    pub(super) sha256: Sha256,
    pub(super) size: u64,
    pub(super) incoming: Box<dyn IncomingBlob>,
}

/// Takes a stream. What is refused is gone when this returns.
pub(super) async fn receive<E, X: Into<BoxedCause>>(
    incoming: Box<dyn IncomingBlob>,
    bytes: impl Stream<Item = Result<Bytes, X>>,
    limit: u64,
    expected: Expected,
    cut: Cut,
    inspect: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<Received, StageError<E>> {
    let mut writer = Writer::new(incoming);
    match take(&mut writer, bytes, limit, expected, cut, inspect).await {
        Ok(size) => {
            let (sha256, incoming) = writer.finish().await?;
            if expected.sha256.is_some_and(|expected| expected != sha256) {
                discard(incoming).await;
                return Err(StageError::NotAsAnnounced { what: "digest" });
            }
            Ok(Received { sha256, size, incoming })
        }
        Err(error) => {
            // What came before is still being written.
            if let Ok((_, incoming)) = writer.finish().await {
                discard(incoming).await;
            }
            Err(error)
        }
    }
}

/// Hands everything over to be written: how many bytes.
async fn take<E, X: Into<BoxedCause>>(
    writer: &mut Writer,
    bytes: impl Stream<Item = Result<Bytes, X>>,
    limit: u64,
    expected: Expected,
    cut: Cut,
    mut inspect: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<u64, StageError<E>> {
    let limit = expected.size.map_or(limit, |size| size.min(limit));
    let too_large = || match expected.size {
        Some(size) if size == limit => StageError::NotAsAnnounced { what: "size" },
        _ => StageError::TooLarge { limit },
    };
    // Copied into one buffer: a sender of single bytes would otherwise make us hold millions of pieces.
    let mut gathered = BytesMut::new();
    let mut size = 0_u64;
    let mut bytes = pin!(bytes);
    while let Some(piece) = bytes.next().await {
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) => {
                if cut == Cut::Keeps && !gathered.is_empty() {
                    writer.write(gathered).await?;
                }
                return Err(StageError::Interrupted(error.into()));
            }
        };
        size += piece.len() as u64;
        if size > limit {
            return Err(too_large());
        }
        inspect(&piece).map_err(StageError::Refused)?;
        let mut rest = &*piece;
        while !rest.is_empty() {
            let (part, after) = rest.split_at(rest.len().min(CHUNK - gathered.len()));
            gathered.extend_from_slice(part);
            rest = after;
            if gathered.len() == CHUNK {
                gathered = writer.write(gathered).await?;
            }
        }
    }
    if expected.size.is_some_and(|expected| expected != size) {
        return Err(StageError::NotAsAnnounced { what: "size" });
    }
    if !gathered.is_empty() {
        writer.write(gathered).await?;
    }
    Ok(size)
}

/// Drops a blob where waiting is allowed.
async fn discard(incoming: Box<dyn IncomingBlob>) {
    if let Err(error) = joined(spawn_blocking(move || drop(incoming))).await {
        tracing::warn!(%error, "what is left of a refused upload remains until the next sweep");
    }
}

/// Hashes and writes one chunk while the caller gathers the next.
struct Writer {
    /// Absent while they are busy, and after a failure.
    idle: Option<(Context, Box<dyn IncomingBlob>)>,
    busy: Option<Busy>,
}

/// A chunk that is being hashed and written.
struct Busy {
    chunk: Bytes,
    hashing: JoinHandle<Context>,
    /// Drops the blob when it fails.
    writing: JoinHandle<Result<Box<dyn IncomingBlob>, StoreError>>,
}

impl Writer {
    fn new(incoming: Box<dyn IncomingBlob>) -> Self {
        Self { idle: Some((Context::new(&digest::SHA256), incoming)), busy: None }
    }

    /// Takes a chunk, and returns a buffer for the next.
    async fn write(&mut self, chunk: BytesMut) -> Result<BytesMut, StoreError> {
        let spare = self.wait().await?;
        let (mut digest, mut incoming) = self.idle.take().ok_or_else(failed_before)?;
        let chunk = chunk.freeze();
        let (hashed, written) = (chunk.clone(), chunk.clone());
        let hashing = spawn_blocking(move || {
            digest.update(&hashed);
            digest
        });
        let writing = spawn_blocking(move || {
            incoming.write(&written)?;
            Ok(incoming)
        });
        self.busy = Some(Busy { chunk, hashing, writing });
        Ok(spare.unwrap_or_else(|| BytesMut::with_capacity(CHUNK)))
    }

    /// The digest, and the blob with all its bytes handed over.
    async fn finish(mut self) -> Result<(Sha256, Box<dyn IncomingBlob>), StoreError> {
        self.wait().await?;
        let (digest, incoming) = self.idle.ok_or_else(failed_before)?;
        let sha256: [u8; 32] = digest.finish().as_ref().try_into().expect("SHA-256 has 32 bytes");
        Ok((Sha256::from_bytes(sha256), incoming))
    }

    /// Waits for the chunk that is being written, and gives its buffer back.
    async fn wait(&mut self) -> Result<Option<BytesMut>, StoreError> {
        let Some(Busy { chunk, hashing, writing }) = self.busy.take() else { return Ok(None) };
        let incoming = joined(writing).await??;
        self.idle = Some((joined(hashing).await?, incoming));
        Ok(chunk.try_into_mut().ok().map(|mut buffer| {
            buffer.clear();
            buffer
        }))
    }
}

fn failed_before() -> StoreError {
    StoreError::Io("an earlier part was not written".into())
}

async fn joined<T>(task: JoinHandle<T>) -> Result<T, StoreError> {
    task.await.map_err(|error| StoreError::Io(error.into()))
}
