//! Where each blob lies in the folder of ciphertext, and what is there.
//!
//! Looks only; what is taken in, moved or removed is decided by those who ask.

use super::{BlobKey, StoreError, blocking::blocking};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where blobs are served from.
const LIVE: &str = "blobs";

/// Where blobs go that no row names.
pub(super) const QUARANTINE: &str = "quarantine";

/// Which of these blobs are there, in quarantine or not, with their sizes.
pub async fn sizes(folder: &Path, keys: Vec<BlobKey>) -> Result<Vec<Option<u64>>, StoreError> {
    let folder = folder.to_owned();
    let size = move |key: &BlobKey| {
        for place in [live(&folder, key), quarantined(&folder, key)] {
            if let Some(metadata) = absent(fs::metadata(place))? {
                return Ok(Some(metadata.len()));
            }
        }
        Ok(None)
    };
    blocking(move || keys.iter().map(size).collect()).await
}

/// How many blobs are served from the folder.
pub async fn count(folder: &Path) -> Result<u64, StoreError> {
    let folder = folder.to_owned();
    blocking(move || {
        let mut count = 0;
        for shard in shards(&folder)? {
            for_each(&shard, |file| {
                count += u64::from(key(file).is_some());
                Ok(())
            })?;
        }
        Ok(count)
    })
    .await
}

/// The file of a blob that is served.
pub(super) fn live(folder: &Path, key: &BlobKey) -> PathBuf {
    let name = key.to_string();
    // 256 folders, so that none grows past what file systems like.
    folder.join(LIVE).join(&name[..2]).join(name)
}

/// The file of a blob in quarantine.
pub(super) fn quarantined(folder: &Path, key: &BlobKey) -> PathBuf {
    folder.join(QUARANTINE).join(key.to_string())
}

/// The folders of served blobs.
pub(super) fn shards(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let Some(shards) = absent(fs::read_dir(folder.join(LIVE)))? else { return Ok(Vec::new()) };
    Ok(shards.map(|shard| Ok(shard?.path())).collect::<io::Result<_>>()?)
}

/// Every file in a folder of blobs, partial ones included; nothing when it is not there.
pub(super) fn for_each(
    shard: &Path,
    mut found: impl FnMut(&fs::DirEntry) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    for file in absent(fs::read_dir(shard))?.into_iter().flatten() {
        found(&file?)?;
    }
    Ok(())
}

/// The key that a file is named by, if it is a whole blob's.
pub(super) fn key(file: &fs::DirEntry) -> Option<BlobKey> {
    file.file_name().to_str().and_then(|name| name.parse().ok())
}

/// What is not there is nothing, any other failure is one.
pub(super) fn absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What came of an attempt to put a blob back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PutBack {
    Moved,
    /// It is where it is served from: another server was faster, or the operator brought it from a backup.
    IsThere,
    IsNowhere,
}
