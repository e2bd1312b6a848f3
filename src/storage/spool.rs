//! An answer that is made faster than it is taken: it waits in a file without a name beside the ciphertext, so whoever makes it is done
//! with the database when it is made, however slowly it is read.
//!
//! The file is gone with the last one who holds it, and with the process.

use super::StoreError;
use bytes::Bytes;
use std::{fs::File, io, os::unix::fs::FileExt, path::Path, sync::Arc};
use tokio::{sync::watch, task::spawn_blocking};

/// How much is read at a time.
const PIECE: u64 = 64 << 10;

/// How far an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Progress {
    bytes: u64,
    is_whole: bool,
}

/// The end at which an answer is made. Dropped before [`Spool::end`], what was made broke off.
#[derive(Debug)]
pub struct Spool {
    file: Arc<File>,
    progress: watch::Sender<Progress>,
}

/// The end at which it is taken.
#[derive(Debug)]
pub struct Spooled {
    file: Arc<File>,
    progress: watch::Receiver<Progress>,
    taken: u64,
}

/// A new answer, in this folder.
///
/// # Errors
/// When the folder takes no file.
pub fn spool(folder: &Path) -> Result<(Spool, Spooled), StoreError> {
    let file = Arc::new(tempfile::tempfile_in(folder)?);
    let (sender, receiver) = watch::channel(Progress { bytes: 0, is_whole: false });
    Ok((Spool { file: Arc::clone(&file), progress: sender }, Spooled { file, progress: receiver, taken: 0 }))
}

impl Spool {
    /// Adds a piece. Says whether anybody is there to take it.
    ///
    /// # Errors
    /// When the disk takes it not.
    pub async fn add(&mut self, piece: Vec<u8>) -> Result<bool, StoreError> {
        let Progress { bytes: at, .. } = *self.progress.borrow();
        let (file, bytes) = (Arc::clone(&self.file), at + piece.len() as u64);
        blocking(move || file.write_all_at(&piece, at)).await?;
        self.progress.send_replace(Progress { bytes, is_whole: false });
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
    /// When whoever made it stopped before that.
    pub async fn begun(&mut self) -> Result<(), StoreError> {
        let begun = self.progress.wait_for(|progress| progress.bytes > 0 || progress.is_whole).await;
        begun.map(drop).map_err(|_| broken_off())
    }

    /// The next piece, as soon as there is one; none after the last.
    ///
    /// # Errors
    /// [`io::ErrorKind::BrokenPipe`] when whoever made it stopped before the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        let taken = self.taken;
        let come = self.progress.wait_for(|progress| progress.bytes > taken || progress.is_whole).await;
        let Progress { bytes, .. } = *come.map_err(|_| broken_off())?;
        let len = (bytes - taken).min(PIECE);
        if len == 0 {
            return Ok(None);
        }
        let file = Arc::clone(&self.file);
        let mut piece = vec![0; usize::try_from(len).expect("a piece is small")];
        let piece = blocking(move || file.read_exact_at(&mut piece, taken).map(|()| piece)).await?;
        self.taken += len;
        Ok(Some(piece.into()))
    }
}

fn broken_off() -> StoreError {
    StoreError::Io(io::Error::from(io::ErrorKind::BrokenPipe).into())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, StoreError> {
    Ok(spawn_blocking(work).await.map_err(io::Error::from)??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_made_is_there_at_once_and_waits_however_long_nobody_takes_it() {
        let folder = tempfile::tempdir().unwrap();
        let (mut made, mut taken) = spool(folder.path()).unwrap();
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
        assert!(folder.path().read_dir().unwrap().next().is_none(), "it has no name");
    }

    #[tokio::test]
    async fn what_broke_off_is_not_taken_for_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (mut made, mut taken) = spool(folder.path()).unwrap();
        made.add(b"first\n".to_vec()).await.unwrap();
        drop(made);
        assert_eq!(taken.next().await.unwrap().unwrap(), "first\n");
        let error = taken.next().await.unwrap_err();
        assert!(matches!(error, StoreError::Io(_)));
    }

    #[tokio::test]
    async fn whoever_makes_it_hears_that_nobody_takes_it() {
        let folder = tempfile::tempdir().unwrap();
        let (mut made, taken) = spool(folder.path()).unwrap();
        drop(taken);
        assert!(!made.add(b"first\n".to_vec()).await.unwrap());
    }
}
