//! Keeps ciphertext in a folder, each piece under a random key that a row of the database refers to.
//!
//! # Order of events
//!
//! Bytes stream into a partial file beside their final place while no transaction is open. When the last one has
//! arrived and digest and size are right, the file is flushed, given its final name and the folder flushed: only then
//! does [`Blobs::stage`] return. The unit of work that follows stores the key; there is nothing left to do after its
//! commit. So whenever the machine stops, a row never refers to bytes that are not on the disk, and what can be left
//! over is a partial file or a blob without a row. [`Blobs::sweep`] removes both, asking the database what it knows.
//! Deletion goes the other way round: the row first, then the blob.
//!
//! A [`Staged`] blob removes itself unless it is kept, so a refused request leaves nothing. Keep it right *before* the
//! commit: when the answer to a commit is lost, a blob too many is harmless and a blob too few is not.
//!
//! Knows nothing of what the bytes mean; the caller looks at each piece as it arrives and may refuse.

use super::{
    error::{Cause, StoreError},
    intake::{self, PARTIAL, Received},
};
use crate::domain::{ambient::Rng, id::Sha256};
use bytes::Bytes;
use futures_util::{
    Stream, StreamExt as _, TryStreamExt as _, future,
    stream::{self, BoxStream},
};
use jiff::Timestamp;
use object_store::{
    GetOptions, GetRange, GetResultPayload, ObjectStore as _, ObjectStoreExt as _, local::LocalFileSystem, path::Path,
};
use std::{
    collections::HashSet,
    fmt, fs,
    io::{Read as _, Seek as _, SeekFrom},
    ops::Range,
    path::PathBuf,
    pin::pin,
    str::FromStr,
    sync::Arc,
    time::SystemTime,
};
use tokio::task::spawn_blocking;

/// What is read at a time; the next is read while one is sent.
const READ_CHUNK: u64 = 512 << 10;

/// How many blobs [`Blobs::sweep`] asks about at a time.
const SWEEP_BATCH: usize = 500;

/// The folder of ciphertext.
#[derive(Debug, Clone)]
pub struct Blobs {
    store: LocalFileSystem,
    folder: PathBuf,
    rng: Arc<dyn Rng>,
}

/// The key of a blob: 32 hexadecimal digits nobody can guess, kept in the database as text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlobKey(String);

/// What the bytes were announced to be, as far as they were.
#[derive(Debug, Clone, Copy, Default)]
pub struct Expected {
    /// The digest of the bytes.
    pub sha256: Option<Sha256>,
    /// Their number.
    pub size: Option<u64>,
}

/// Why bytes were not taken. Nothing of them remains.
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
    #[error("the bytes stopped coming")]
    Interrupted(#[source] Cause),
    /// They could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Bytes that are on the disk but in no row yet; removed when dropped, unless kept.
#[derive(Debug)]
pub struct Staged {
    key: BlobKey,
    sha256: Sha256,
    size: u64,
    unkept: Option<LocalFileSystem>,
}

/// A blob, or a part of one, on its way out.
pub struct Reading {
    /// The size of the whole blob.
    pub size: u64,
    /// The part that is read.
    pub range: Range<u64>,
    /// Its bytes, in pieces of half a MiB.
    pub bytes: BoxStream<'static, Result<Bytes, StoreError>>,
}

/// What [`Blobs::sweep`] removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Blobs no row refers to.
    pub orphans: u64,
    /// Files of uploads that never ended.
    pub partial: u64,
}

impl Blobs {
    /// Opens the folder, made if absent.
    pub async fn open(folder: impl Into<PathBuf>, rng: Arc<dyn Rng>) -> Result<Self, StoreError> {
        let folder = folder.into();
        blocking(move || {
            fs::create_dir_all(&folder)?;
            let store = LocalFileSystem::new_with_prefix(&folder)?.with_fsync(true);
            Ok(Self { store, folder, rng })
        })
        .await
    }

    /// Takes a stream of bytes, at most `limit` of them, and returns when they are safe on the disk. `inspect` sees
    /// every piece in order, before it is written. Memory does not grow with the size.
    pub async fn stage<E, X: Into<Cause>>(
        &self,
        bytes: impl Stream<Item = Result<Bytes, X>>,
        limit: u64,
        expected: Expected,
        inspect: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Staged, StageError<E>> {
        let key = BlobKey::random(&*self.rng);
        let place = self.store.path_to_filesystem(&key.path()).map_err(StoreError::from)?;
        let Received { sha256, size, partial } = intake::receive(place, bytes, limit, expected, inspect).await?;
        let staged = Staged { key, sha256, size, unkept: Some(self.store.clone()) };
        // Handed over and back, so that a request cancelled meanwhile leaves nothing either.
        let staged = blocking(move || {
            partial.publish()?;
            Ok(staged)
        });
        Ok(staged.await?)
    }

    /// Reads a blob, or the part of it in `range` (the end may lie past the blob's).
    ///
    /// # Errors
    /// [`StoreError::NoSuchBlob`]; [`StoreError::Corrupt`] when `range` begins past the end, since the caller knows
    /// the size from the row. The stream ends with [`StoreError::Corrupt`] should the file be cut short meanwhile.
    pub async fn read(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<Reading, StoreError> {
        let path = key.path();
        let found = self.store.get_opts(&path, GetOptions::default()).await?;
        let size = found.meta.size;
        let range = range.map_or(0..size, |range| range.start..range.end.min(size));
        if range.start > range.end {
            return Err(StoreError::corrupt(&key.0, "a blob as long as its row says"));
        }
        let bytes = match found.payload {
            // The store's own stream would read 8 KiB at a time.
            GetResultPayload::File(file, _) => read_file(file, range.clone(), key.clone()),
            GetResultPayload::Stream(_) => {
                let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
                self.store.get_opts(&path, options).await?.into_stream().map_err(StoreError::from).boxed()
            }
        };
        Ok(Reading { size, range, bytes })
    }

    /// Removes a blob whose row is gone. One that is not there is not missed.
    pub async fn delete(&self, key: &BlobKey) -> Result<(), StoreError> {
        match self.store.delete(&key.path()).await {
            Err(object_store::Error::NotFound { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes what a stopped server left: partial files, and blobs that `known`, asked for some hundreds at a time,
    /// does not return. Nothing younger than `older_than` is touched: it may be on its way into a row, here or on
    /// another server, so leave more than the longest upload takes.
    pub async fn sweep<F>(
        &self,
        older_than: Timestamp,
        mut known: impl FnMut(Vec<BlobKey>) -> F,
    ) -> Result<Swept, StoreError>
    where
        F: Future<Output = Result<HashSet<BlobKey>, StoreError>>,
    {
        let folder = self.folder.clone();
        let mut swept = Swept { orphans: 0, partial: blocking(move || sweep_partial(folder, older_than)).await? };
        let old = self.store.list(Some(&Path::from(FOLDER))).map_err(StoreError::from);
        // No async closure: the compiler could not tell that a task may hold it.
        let old = old.try_filter_map(|found| {
            let is_old = found.last_modified.timestamp_millis() < older_than.as_millisecond();
            let key = found.location.filename().and_then(|name| name.parse().ok());
            future::ready(Ok(key.filter(|_| is_old)))
        });
        let mut batches = pin!(old.try_chunks(SWEEP_BATCH));
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(|error| error.1)?;
            let kept = known(batch.clone()).await?;
            for orphan in batch.iter().filter(|key| !kept.contains(key)) {
                self.delete(orphan).await?;
                swept.orphans += 1;
            }
        }
        Ok(swept)
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

    /// Keeps the bytes from here on: call it right before the commit of the unit of work that refers to them.
    pub fn keep(mut self) -> BlobKey {
        self.unkept = None;
        self.key.clone()
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Outside a runtime, as when the server stops, the next sweep does it.
        if let (Some(store), Ok(runtime)) = (self.unkept.take(), tokio::runtime::Handle::try_current()) {
            let path = self.key.path();
            runtime.spawn(async move {
                if let Err(error) = store.delete(&path).await {
                    tracing::warn!(%error, "a blob without a row remains until the next sweep");
                }
            });
        }
    }
}

/// The folder inside the folder.
const FOLDER: &str = "blobs";

impl BlobKey {
    fn random(rng: &dyn Rng) -> Self {
        let mut random = [0; 16];
        rng.fill(&mut random);
        Self(format!("{:032x}", u128::from_be_bytes(random)))
    }

    fn path(&self) -> Path {
        // 256 folders, so that none grows past what file systems like.
        Path::from_iter([FOLDER, &self.0[..2], &self.0])
    }
}

impl FromStr for BlobKey {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        if text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(StoreError::corrupt("blob key", "32 hexadecimal digits"))
        }
    }
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("size", &self.size).field("range", &self.range).finish_non_exhaustive()
    }
}

fn read_file(mut file: fs::File, range: Range<u64>, key: BlobKey) -> BoxStream<'static, Result<Bytes, StoreError>> {
    let first = spawn_blocking(move || {
        file.seek(SeekFrom::Start(range.start))?;
        read_chunk(file, range.end - range.start, &key)
    });
    let bytes = stream::try_unfold(Some(first), async |reading| {
        let Some(reading) = reading else { return Ok(None) };
        let Chunk { bytes, file, left, key } = reading.await.map_err(|error| StoreError::Io(error.into()))??;
        let next = (left > 0).then(|| spawn_blocking(move || read_chunk(file, left, &key)));
        Ok(Some((bytes, next)))
    });
    bytes.try_filter(|bytes| std::future::ready(!bytes.is_empty())).boxed()
}

struct Chunk {
    bytes: Bytes,
    file: fs::File,
    left: u64,
    key: BlobKey,
}

fn read_chunk(mut file: fs::File, left: u64, key: &BlobKey) -> Result<Chunk, StoreError> {
    let wanted = left.min(READ_CHUNK);
    let mut bytes = Vec::with_capacity(usize::try_from(wanted).expect("a chunk fits into memory"));
    (&mut file).take(wanted).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < wanted {
        return Err(StoreError::corrupt(&key.0, "a blob as long as when it was opened"));
    }
    Ok(Chunk { bytes: bytes.into(), file, left: left - wanted, key: key.clone() })
}

/// Removes partial files, which are marked so that the object store hides them from its listings.
fn sweep_partial(folder: PathBuf, older_than: Timestamp) -> Result<u64, StoreError> {
    let mut removed = 0;
    let Some(folders) = absent(fs::read_dir(folder.join(FOLDER)))? else { return Ok(0) };
    for shard in folders {
        let Some(files) = absent(fs::read_dir(shard?.path()))? else { continue };
        for file in files {
            let file = file?;
            let is_partial = file.file_name().as_encoded_bytes().contains(&PARTIAL);
            if is_partial
                && let Some(metadata) = absent(file.metadata())?
                && is_before(metadata.modified()?, older_than)
                && absent(fs::remove_file(file.path()))?.is_some()
            {
                removed += 1;
            }
        }
    }
    Ok(removed)
}

fn is_before(time: SystemTime, limit: Timestamp) -> bool {
    Timestamp::try_from(time).is_ok_and(|time| time < limit)
}

fn absent<T>(result: std::io::Result<T>) -> std::io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    spawn_blocking(work).await.map_err(|error| StoreError::Io(error.into()))?
}
