//! A blob on its way into a folder: a partial file beside its final place, which gets its name only when every byte is on the disk.
//!
//! Written bytes are flushed while more arrive: left to itself, the kernel would keep a gigabyte for the last flush, with sender and
//! processor idle meanwhile.

use super::leave_free;
use crate::storage::{
    blob_engine::IncomingBlob,
    durable::{above, create_folder, sync_folder},
    error::StoreError,
};
use std::{
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
};
use tokio::runtime::Handle;

/// The bytes that are given to the kernel at a time. Linux caches a write in memory as contiguous as the write is long. Up to 32 KiB that
/// is memory in use a moment ago; beyond, it is cut from large free blocks, which the host of a virtual machine may have taken back: then a
/// write of 512 KiB takes up to five times, one of 2 MiB seven times the processor's time.
const WRITE: usize = 32 << 10;

/// How much is written before it is flushed to disk.
const FLUSH_EVERY: u64 = 32 << 20;

/// Marks a partial file: no key has it in its name, and the sweep looks for it.
pub(super) const PARTIAL: u8 = b'#';

/// A file without its final name; removed when dropped, unless it is resumable.
#[derive(Debug)]
pub(super) struct IncomingFile {
    file: Arc<File>,
    path: PathBuf,
    place: PathBuf,
    reserve: u64,
    unflushed: u64,
    flushing: Option<JoinHandle<io::Result<()>>>,
    stays: bool,
}

impl IncomingFile {
    pub(super) fn create(place: PathBuf, reserve: u64) -> io::Result<Self> {
        let mut path = place.clone().into_os_string();
        path.push(format!("{}1", char::from(PARTIAL)));
        let path = PathBuf::from(path);
        let open = || File::options().write(true).create_new(true).mode(0o600).open(&path);
        let file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create_folder(above(&place))?;
                open()?
            }
            opened => opened?,
        };
        let file = Arc::new(file);
        Ok(Self { file, path, place, reserve, unflushed: 0, flushing: None, stays: false })
    }

    /// Opens a file that stays, made if absent, behind its last byte; how many there are. None while another process or thread has it.
    pub(super) fn resume(path: PathBuf, reserve: u64) -> io::Result<Option<(u64, Self)>> {
        let open = || File::options().append(true).create(true).mode(0o600).open(&path);
        let file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create_folder(above(&path))?;
                open()?
            }
            opened => opened?,
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let at = file.metadata()?.len();
        let (file, place) = (Arc::new(file), path.clone());
        Ok(Some((at, Self { file, path, place, reserve, unflushed: 0, flushing: None, stays: true })))
    }

    /// Waits for the flush that was begun.
    ///
    /// INVARIANT: the result of every flush is checked, because the kernel reports a failure to write only once.
    fn flushed(&mut self) -> io::Result<()> {
        let Some(flushing) = self.flushing.take() else { return Ok(()) };
        flushing.join().unwrap_or_else(|_| Err(io::Error::other("a flush did not come to its end")))
    }
}

impl IncomingBlob for IncomingFile {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        // Each time: others upload meanwhile.
        leave_free(above(&self.place), self.reserve)?;
        bytes.chunks(WRITE).try_for_each(|part| (&*self.file).write_all(part))?;
        self.unflushed += bytes.len() as u64;
        if self.unflushed >= FLUSH_EVERY && self.flushing.as_ref().is_none_or(JoinHandle::is_finished) {
            self.flushed()?;
            let file = Arc::clone(&self.file);
            // Where there is no thread for it, a later flush does it.
            if let Ok(flushing) = thread::Builder::new().spawn(move || file.sync_data()) {
                self.flushing = Some(flushing);
                self.unflushed = 0;
            }
        }
        Ok(())
    }

    /// Puts the bytes on the disk, then gives the file its name, then puts that on the disk.
    fn publish(mut self: Box<Self>) -> Result<(), StoreError> {
        self.flushed()?;
        self.file.sync_all()?;
        fs::rename(&self.path, &self.place)?;
        self.stays = true;
        Ok(sync_folder(above(&self.place))?)
    }
}

impl Drop for IncomingFile {
    fn drop(&mut self) {
        if self.stays {
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
