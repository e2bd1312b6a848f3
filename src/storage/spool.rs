//! An answer that is made faster than it is taken: it waits in a file without a name, beside the ciphertext or in a folder of its own,
//! so its maker is done with the database when it is made, however slowly it is read.
//!
//! The file is gone with the last one who holds it, and with the process.

use super::{StoreError, blob_engine::require_mark, blocking::blocking, folder::BlobFolder, mark::Mark};
use bytes::Bytes;
use std::{fs::File, io, os::unix::fs::FileExt, path::Path, sync::Arc};
use tokio::{runtime::Handle, sync::watch};

/// How much is read at a time.
const PIECE: u64 = 64 << 10;

/// How far an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct HeaderProgress {
    bytes: u64,
    is_whole: bool,
}

/// The folder where answers wait. Like uploads they leave the reserve of its disk.
#[derive(Debug, Clone)]
pub struct Spools {
    folder: Arc<BlobFolder>,
    /// What the folder must have, if ciphertext is in it.
    mark: Option<Mark>,
}

/// The end at which an answer is made. Dropped before [`Spool::end`], what was made broke off.
#[derive(Debug, Clone)]
pub struct Spool {
    file: Arc<Unnamed>,
    folder: Arc<BlobFolder>,
    progress: watch::Sender<HeaderProgress>,
}

/// The end at which it is taken.
#[derive(Debug)]
pub struct Spooled {
    file: Arc<Unnamed>,
    progress: watch::Receiver<HeaderProgress>,
    taken: u64,
}

/// A file that is removed when its last holder drops it.
#[derive(Debug)]
struct Unnamed(Option<File>);

impl Unnamed {
    fn file(&self) -> &File {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        // Only closing it frees what it holds on the disk, which takes long enough to be kept from threads that answer.
        let file = self.0.take();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn_blocking(move || drop(file));
        }
    }
}

impl Spools {
    /// Room for answers beside ciphertext, in the folder with its mark.
    #[must_use]
    pub fn new(folder: BlobFolder, mark: Mark) -> Self {
        Self { folder: Arc::new(folder), mark: Some(mark) }
    }

    /// Room for answers in a folder without ciphertext, which leaves so many bytes of its disk free.
    #[must_use]
    pub fn in_own_folder(path: &Path, reserve: u64) -> Self {
        Self { folder: Arc::new(BlobFolder::new(path, reserve)), mark: None }
    }

    /// Room for one more answer.
    ///
    /// # Errors
    /// [`StoreError::OtherFolder`] when the folder of ciphertext has another mark or none, as when its disk is not mounted.
    pub async fn begin(&self) -> Result<(Spool, Spooled), StoreError> {
        let Self { folder, mark } = self.clone();
        let made = Arc::clone(&folder);
        let file = blocking(move || {
            if let Some(mark) = &mark {
                require_mark(&*made, mark)?;
            }
            Ok(tempfile::tempfile_in(made.path())?)
        });
        let file = Arc::new(Unnamed(Some(file.await?)));
        let (progress, receiver) = watch::channel(HeaderProgress { bytes: 0, is_whole: false });
        Ok((Spool { file: Arc::clone(&file), folder, progress }, Spooled { file, progress: receiver, taken: 0 }))
    }
}

impl Spool {
    /// Adds a piece. Says whether anybody is there to take it.
    ///
    /// # Errors
    /// [`StoreError::Full`] when it would take the reserve, and when the disk does not take it.
    pub async fn add(&mut self, piece: Vec<u8>) -> Result<bool, StoreError> {
        let HeaderProgress { bytes: at, .. } = *self.progress.borrow();
        let len = piece.len() as u64;
        let (file, folder, bytes) = (Arc::clone(&self.file), Arc::clone(&self.folder), at + len);
        let written = blocking(move || {
            folder.leave_free(len)?;
            Ok(file.file().write_all_at(&piece, at)?)
        });
        written.await?;
        self.progress.send_replace(HeaderProgress { bytes, is_whole: false });
        Ok(!self.progress.is_closed())
    }

    /// Returns once nobody is there to take it.
    pub async fn given_up(&self) {
        self.progress.closed().await;
    }

    /// That was all.
    pub fn end(self) {
        self.progress.send_modify(|progress| progress.is_whole = true);
    }
}

impl Spooled {
    /// Returns once there is something to take.
    ///
    /// # Errors
    /// When its maker stopped before that.
    pub async fn begun(&mut self) -> Result<(), StoreError> {
        let begun = self.progress.wait_for(|progress| progress.bytes > 0 || progress.is_whole).await;
        begun.map(drop).map_err(|_| broken_off())
    }

    /// The next piece, as soon as there is one; none after the last.
    ///
    /// # Errors
    /// [`io::ErrorKind::BrokenPipe`] when its maker stopped before the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        let taken = self.taken;
        let come = self.progress.wait_for(|progress| progress.bytes > taken || progress.is_whole).await;
        let HeaderProgress { bytes, .. } = *come.map_err(|_| broken_off())?;
        let len = (bytes - taken).min(PIECE);
        if len == 0 {
            return Ok(None);
        }
        let file = Arc::clone(&self.file);
        let mut piece = vec![0; usize::try_from(len).expect("a piece is small")];
        let piece = blocking(move || {
            file.file().read_exact_at(&mut piece, taken)?;
            Ok(piece)
        });
        let piece = piece.await?;
        self.taken += len;
        Ok(Some(piece.into()))
    }
}

fn broken_off() -> StoreError {
    StoreError::Io(io::Error::from(io::ErrorKind::BrokenPipe).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::ambient::SystemRng,
        storage::{BlobEngine as _, mark::FILE},
    };
    use std::fs;

    /// An answer in a folder of its own, which leaves so much of the disk.
    async fn begun(folder: &Path, reserve: u64) -> Result<(Spool, Spooled), StoreError> {
        let mark = Mark::random(&SystemRng);
        let folder = BlobFolder::new(folder, reserve);
        folder.set_mark(&mark)?;
        Spools::new(folder, mark).begin().await
    }

    #[tokio::test]
    async fn what_is_made_is_there_at_once_and_waits_however_long_nobody_takes_it() {
        let folder = tempfile::tempdir().unwrap();
        let (mut made, mut taken) = begun(folder.path(), 0).await.unwrap();
        assert!(made.add(b"first\n".to_vec()).await.unwrap());
        assert_eq!(taken.next().await.unwrap().unwrap(), "first\n");
        // Far more than would wait in memory.
        let large = vec![7; 300 << 10];
        for _ in 0..20 {
            assert!(made.add(large.clone()).await.unwrap());
        }
        made.end();
        let mut bytes = 0;
        while let Some(piece) = taken.next().await.unwrap() {
            assert!(piece.len() as u64 <= PIECE && piece.iter().all(|byte| *byte == 7));
            bytes += piece.len();
        }
        assert_eq!(bytes, 20 * large.len());
        let names: Vec<_> = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [FILE], "it has no name");
    }

    #[tokio::test]
    async fn no_answer_takes_the_reserve_of_the_disk_or_goes_to_another_disk() {
        let folder = tempfile::tempdir().unwrap();
        let (mut made, mut taken) = begun(folder.path(), u64::MAX).await.unwrap();
        assert!(matches!(made.add(b"first\n".to_vec()).await, Err(StoreError::Full(_))));
        drop(made);
        assert!(taken.begun().await.is_err());
        fs::remove_file(folder.path().join(FILE)).unwrap();
        let unmarked = Spools::new(BlobFolder::new(folder.path(), 0), Mark::random(&SystemRng));
        assert!(matches!(unmarked.begin().await, Err(StoreError::OtherFolder { .. })));
    }

    #[tokio::test]
    async fn folder_of_its_own_needs_no_mark_and_keeps_the_reserve() {
        let folder = tempfile::tempdir().unwrap();
        let (mut made, mut taken) = Spools::in_own_folder(folder.path(), 0).begin().await.unwrap();
        assert!(made.add(b"first\n".to_vec()).await.unwrap());
        assert_eq!(taken.next().await.unwrap().unwrap(), "first\n");
        assert_eq!(folder.path().read_dir().unwrap().count(), 0, "it has no name");
        let (mut made, _taken) = Spools::in_own_folder(folder.path(), u64::MAX).begin().await.unwrap();
        assert!(matches!(made.add(b"first\n".to_vec()).await, Err(StoreError::Full(_))));
    }

    #[tokio::test]
    async fn what_broke_off_is_not_taken_for_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (mut made, mut taken) = begun(folder.path(), 0).await.unwrap();
        made.add(b"first\n".to_vec()).await.unwrap();
        drop(made);
        assert_eq!(taken.next().await.unwrap().unwrap(), "first\n");
        let error = taken.next().await.unwrap_err();
        assert!(matches!(error, StoreError::Io(_)));
    }

    #[tokio::test]
    async fn the_one_who_makes_it_hears_that_nobody_takes_it() {
        let folder = tempfile::tempdir().unwrap();
        let (mut made, taken) = begun(folder.path(), 0).await.unwrap();
        drop(taken);
        assert!(!made.add(b"first\n".to_vec()).await.unwrap());
    }
}
