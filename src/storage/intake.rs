//! Takes in the bytes of one upload: gathers, hashes and writes them at the same time, and has the disk keep up.
//!
//! Bytes go into a partial file beside their final place, which gets its name only when every byte is on the disk. What is
//! written is flushed while more arrives: left to itself, the kernel would keep a gigabyte for the last flush, with sender
//! and processor idle meanwhile. Memory does not grow with the size, and no thread waits for a slow sender.

use super::{
    blocking::blocking,
    error::{BoxedCause, StoreError},
    mark::MarkedFolder,
};
use crate::domain::id::Sha256;
use aws_lc_rs::digest;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
};
use tokio::{
    runtime::Handle,
    task::{JoinHandle, spawn_blocking},
};

/// What is gathered before it is hashed and written; one more is gathered meanwhile, so an upload holds two of them. Larger
/// ones would fall out of the processor's cache between the one and the other.
const CHUNK: usize = 512 << 10;

/// What the kernel is given at a time. Linux caches a write in memory as contiguous as the write is long. Up to 32 KiB that is
/// memory in use a moment ago; beyond, it is cut from large free blocks, which the host of a virtual machine may have taken
/// back: then a write of 512 KiB takes up to five times, one of 2 MiB seven times the processor's time.
const WRITE: usize = 32 << 10;

/// How much is written before it is flushed to disk.
const FLUSH_EVERY: u64 = 32 << 20;

/// Marks a partial file: no key has it in its name, and the sweep looks for it.
pub(super) const PARTIAL: u8 = b'#';

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
    Interrupted(#[source] BoxedCause),
    /// They could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Bytes that came as they should, in a file that has no name yet.
pub(super) struct Received {
    pub(super) sha256: Sha256,
    pub(super) size: u64,
    pub(super) partial: Partial,
}

/// Where an upload goes.
pub(super) struct Destination {
    pub(super) marked: Arc<MarkedFolder>,
    /// Not there yet.
    pub(super) place: PathBuf,
    /// What is left free on the disk, in bytes.
    pub(super) reserve: u64,
}

/// Takes a stream into a partial file for its place. A folder without its mark takes nothing, and nothing is made in it.
pub(super) async fn receive<E, X: Into<BoxedCause>>(
    to: Destination,
    bytes: impl Stream<Item = Result<Bytes, X>>,
    limit: u64,
    expected: Expected,
    mut inspect: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<Received, StageError<E>> {
    let limit = expected.size.map_or(limit, |size| size.min(limit));
    let too_large = || match expected.size {
        Some(size) if size == limit => StageError::NotAsAnnounced { what: "size" },
        _ => StageError::TooLarge { limit },
    };
    let Destination { marked, place, reserve } = to;
    let announced = expected.size.unwrap_or_default();
    let create = move || {
        marked.check()?;
        leave_free(&marked.folder, reserve.saturating_add(announced))?;
        Ok(Partial::create(place)?)
    };
    let mut writer = Writer::new(blocking(create).await?, reserve);
    // Copied into one buffer: a sender of single bytes would otherwise make us hold millions of pieces.
    let mut gathered = BytesMut::new();
    let mut size = 0_u64;
    let mut bytes = pin!(bytes);
    while let Some(piece) = bytes.next().await {
        let piece = piece.map_err(|error| StageError::Interrupted(error.into()))?;
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
    let (sha256, partial) = writer.finish().await?;
    if expected.sha256.is_some_and(|expected| expected != sha256) {
        return Err(StageError::NotAsAnnounced { what: "digest" });
    }
    Ok(Received { sha256, size, partial })
}

/// Hashes and writes one chunk while the caller gathers the next.
struct Writer {
    partial: Partial,
    /// Absent while it is busy.
    digest: Option<digest::Context>,
    busy: Option<Busy>,
    flushing: Option<JoinHandle<Result<(), StoreError>>>,
    unflushed: u64,
    reserve: u64,
}

/// A chunk that is being hashed and written.
struct Busy {
    chunk: Bytes,
    hashing: JoinHandle<digest::Context>,
    writing: JoinHandle<io::Result<()>>,
}

impl Writer {
    fn new(partial: Partial, reserve: u64) -> Self {
        let digest = Some(digest::Context::new(&digest::SHA256));
        Self { partial, digest, busy: None, flushing: None, unflushed: 0, reserve }
    }

    /// Takes a chunk, and returns a buffer for the next.
    async fn write(&mut self, chunk: BytesMut) -> Result<BytesMut, StoreError> {
        let spare = self.idle().await?;
        let chunk = chunk.freeze();
        let mut digest = self.digest.take().ok_or_else(|| StoreError::Io("an earlier part was not written".into()))?;
        let (hashed, written, file) = (chunk.clone(), chunk.clone(), Arc::clone(&self.partial.file));
        let hashing = spawn_blocking(move || {
            digest.update(&hashed);
            digest
        });
        let (folder, reserve) = (parent(&self.partial.place).to_owned(), self.reserve);
        let writing = spawn_blocking(move || {
            // Each time: others upload meanwhile.
            leave_free(&folder, reserve)?;
            written.chunks(WRITE).try_for_each(|part| (&*file).write_all(part))
        });
        self.busy = Some(Busy { chunk, hashing, writing });
        Ok(spare.unwrap_or_else(|| BytesMut::with_capacity(CHUNK)))
    }

    /// The digest, and the file with all its bytes handed to the kernel.
    async fn finish(mut self) -> Result<(Sha256, Partial), StoreError> {
        self.idle().await?;
        if let Some(flushing) = self.flushing.take() {
            joined(flushing).await??;
        }
        let digest = self.digest.ok_or_else(|| StoreError::Io("an earlier part was not written".into()))?.finish();
        let sha256 = Sha256::from_bytes(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"));
        Ok((sha256, self.partial))
    }

    /// Waits for the chunk that is being written, and gives its buffer back.
    async fn idle(&mut self) -> Result<Option<BytesMut>, StoreError> {
        let Some(Busy { chunk, hashing, writing }) = self.busy.take() else { return Ok(None) };
        joined(writing).await??;
        self.digest = Some(joined(hashing).await?);
        self.unflushed += chunk.len() as u64;
        if self.unflushed >= FLUSH_EVERY && self.flushing.as_ref().is_none_or(JoinHandle::is_finished) {
            // INVARIANT: every flush is asked how it went, for the kernel reports a failure to write only once.
            if let Some(flushed) = self.flushing.take() {
                joined(flushed).await??;
            }
            let file = Arc::clone(&self.partial.file);
            self.flushing = Some(spawn_blocking(move || Ok(file.sync_data()?)));
            self.unflushed = 0;
        }
        Ok(chunk.try_into_mut().ok().map(|mut buffer| {
            buffer.clear();
            buffer
        }))
    }
}

async fn joined<T>(task: JoinHandle<T>) -> Result<T, StoreError> {
    task.await.map_err(|error| StoreError::Io(error.into()))
}

/// A file without its final name; removed when dropped.
pub(super) struct Partial {
    file: Arc<File>,
    path: PathBuf,
    place: PathBuf,
    is_published: bool,
}

impl Partial {
    fn create(place: PathBuf) -> io::Result<Self> {
        let mut path = place.clone().into_os_string();
        path.push(format!("{}1", char::from(PARTIAL)));
        let path = PathBuf::from(path);
        let open = || File::options().write(true).create_new(true).open(&path);
        let file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create_folder(parent(&place))?;
                open()?
            }
            opened => opened?,
        };
        Ok(Self { file: Arc::new(file), path, place, is_published: false })
    }

    /// Puts the bytes on the disk, then gives the file its name, then puts that on the disk.
    pub(super) fn publish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, &self.place)?;
        self.is_published = true;
        sync_folder(parent(&self.place))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self.is_published {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "a partial file of a refused upload remains until the next sweep");
        }
        // Only closing it frees what it holds on the disk, which takes long enough to be kept from threads that answer.
        if let Ok(runtime) = Handle::try_current() {
            let file = Arc::clone(&self.file);
            runtime.spawn_blocking(move || drop(file));
        }
    }
}

/// Refuses when less than this would be left of the disk. A disk that does not say is asked by writing to it.
pub(super) fn leave_free(folder: &Path, bytes: u64) -> io::Result<()> {
    let Ok(disk) = rustix::fs::statvfs(folder) else { return Ok(()) };
    if disk.f_bavail.saturating_mul(disk.f_frsize) >= bytes {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::StorageFull,
        "it would take what is kept in reserve on the disk (`blobs.reserve_bytes`)",
    ))
}

/// Makes a folder and those above it, each known to the disk.
pub(super) fn create_folder(folder: &Path) -> io::Result<()> {
    if let Err(error) = fs::create_dir(folder) {
        match error.kind() {
            // Made meanwhile; the one that made it may not have flushed it yet.
            io::ErrorKind::AlreadyExists => {}
            io::ErrorKind::NotFound => {
                create_folder(parent(folder))?;
                return create_folder(folder);
            }
            _ => return Err(error),
        }
    }
    sync_folder(parent(folder))
}

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn parent(path: &Path) -> &Path {
    path.parent().expect("a blob lies in a folder")
}
