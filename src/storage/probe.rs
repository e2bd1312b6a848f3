//! Tests whether a folder takes bytes and keeps them, before a write of the exchange fails there.
//!
//! Never makes a folder. A path whose disk is not mounted must fail, not be filled beside the disk.

use super::{blocking::blocking, error::StoreError};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// One block of a disk: less could be kept where a full disk still has room.
const SIZE: usize = 4096;

/// The name of the file that is written. Hidden, and in no folder that is swept.
const NAME: &str = ".entente-probe";

/// Writes a file into the folder, syncs both and removes it again.
pub async fn folder(folder: PathBuf) -> Result<(), StoreError> {
    blocking(move || Ok(attempt(&folder)?)).await
}

/// The same, waiting for the disk.
pub(super) fn attempt(folder: &Path) -> io::Result<()> {
    let path = folder.join(NAME);
    let written = write(folder, &path);
    let removed = match fs::remove_file(&path) {
        // Another server on the same folder was faster.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    };
    written.and(removed)
}

fn write(folder: &Path, path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(&[0; SIZE])?;
    file.sync_all()?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn folder_is_tried_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        super::folder(folder.path().to_owned()).await.unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn folder_that_is_not_there_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let absent = folder.path().join("unmounted");
        assert!(matches!(super::folder(absent.clone()).await, Err(StoreError::Io(_))));
        assert!(!absent.exists());
    }
}
