//! The contract of sweeps: what no row names is moved aside and never removed, never more than a small share of it, and it is back
//! where it was as soon as a row names it.

use crate::harness::scratch::scratch;
use bytes::Bytes;
use entente::{
    domain::{ambient::SystemRng, id::Sha256},
    storage::{
        BlobKey, Blobs, Expected, StoreError, Stored,
        mark::{self, Mark},
        sweep::{Extent, MOST, Quarantined, SHARE, Swept},
    },
};
use futures_util::{TryStreamExt as _, stream};
use jiff::Timestamp;
use std::{collections::HashSet, convert::Infallible, fs, io, path::Path, sync::Arc};
use tempfile::TempDir;

/// Everything is old by then.
const LATER: Timestamp = Timestamp::MAX;

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// A folder with blobs, each of which holds its own number as text.
struct Folder {
    dir: TempDir,
    blobs: Blobs,
    keys: Vec<BlobKey>,
}

impl Folder {
    async fn with(count: usize) -> Self {
        let dir = scratch();
        let mark = Mark::random(&SystemRng);
        mark::put_into_folder(dir.path(), &mark).await.unwrap();
        let blobs = Blobs::open(dir.path(), mark, Arc::new(SystemRng)).await.unwrap();
        let mut keys = Vec::new();
        for number in 0..count {
            let bytes = stream::iter([Ok::<_, io::Error>(Bytes::from(number.to_string()))]);
            let inspect = |_: &[u8]| Ok::<_, Infallible>(());
            keys.push(blobs.stage(bytes, 100, Expected::default(), inspect).await.unwrap().keep());
        }
        Self { dir, blobs, keys }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Sweeps for a database that names all but these.
    async fn sweep(&self, extent: Extent, older_than: Timestamp, unnamed: &[usize]) -> Result<Swept, StoreError> {
        let named: HashSet<_> = self.named(unnamed);
        self.blobs
            .sweep(now(), older_than, extent, async |asked: Vec<BlobKey>| {
                Ok(asked.into_iter().filter(|key| named.contains(key)).collect())
            })
            .await
    }

    fn named(&self, unnamed: &[usize]) -> HashSet<BlobKey> {
        let named = self.keys.iter().enumerate().filter(|(number, _)| !unnamed.contains(number));
        named.map(|(_, key)| key.clone()).collect()
    }

    async fn read(&self, number: usize) -> Result<Vec<u8>, StoreError> {
        let content = number.to_string();
        let stored = Stored { size: content.len() as u64, sha256: Sha256::of(content.as_bytes()) };
        let pieces: Vec<Bytes> = self.blobs.read(&self.keys[number], stored, None).await?.bytes.try_collect().await?;
        Ok(pieces.concat())
    }

    fn is_in_quarantine(&self, number: usize) -> bool {
        self.path().join("quarantine").join(self.keys[number].to_string()).exists()
    }
}

#[tokio::test]
async fn what_no_row_names_and_is_old_is_moved_aside_and_kept() {
    let folder = Folder::with(21).await;
    let swept = folder.sweep(Extent::SmallShare, LATER, &[3, 8]).await.unwrap();
    assert_eq!(swept, Swept { blobs: 21, orphans: 2, moved: 2, ..Swept::default() });
    assert!(folder.is_in_quarantine(3) && folder.is_in_quarantine(8) && !folder.is_in_quarantine(4));
    let bytes = fs::read(folder.path().join("quarantine").join(folder.keys[8].to_string())).unwrap();
    assert_eq!(bytes, b"8", "nothing of it is lost");
    assert_eq!(folder.blobs.quarantined().await.unwrap(), Quarantined { blobs: 2, bytes: 2 });
    assert_eq!(folder.read(4).await.unwrap(), b"4");
}

#[tokio::test]
async fn what_is_young_is_left_alone() {
    let folder = Folder::with(3).await;
    let swept = folder.sweep(Extent::Everything, Timestamp::UNIX_EPOCH, &[0, 1, 2]).await.unwrap();
    assert_eq!(swept, Swept { blobs: 3, ..Swept::default() });
}

#[tokio::test]
async fn more_than_a_small_share_is_not_moved_unless_the_operator_insists() {
    let folder = Folder::with(41).await;
    // A part in twenty, rounded up: three of 41.
    assert_eq!((SHARE, MOST), (20, 10_000));
    let swept = folder.sweep(Extent::SmallShare, LATER, &[0, 1, 2, 3]).await.unwrap();
    assert_eq!(swept, Swept { blobs: 41, orphans: 4, ..Swept::default() });
    assert!(swept.is_too_much() && swept.most() == 3);
    let everything: Vec<_> = (0..41).collect();
    let swept = folder.sweep(Extent::SmallShare, LATER, &everything).await.unwrap();
    assert_eq!((swept.orphans, swept.moved), (41, 0), "an empty database takes nothing with it");
    for number in 0..41 {
        folder.read(number).await.unwrap();
    }
    let swept = folder.sweep(Extent::Everything, LATER, &[0, 1, 2, 3]).await.unwrap();
    assert_eq!((swept.orphans, swept.moved), (4, 4));
}

#[tokio::test]
async fn a_dry_run_counts_and_changes_nothing() {
    let folder = Folder::with(3).await;
    fs::write(partial(&folder), b"half").unwrap();
    let swept = folder.sweep(Extent::DryRun, LATER, &[0, 1, 2]).await.unwrap();
    assert_eq!(swept, Swept { blobs: 3, orphans: 3, partial: 1, ..Swept::default() });
    assert!(partial(&folder).exists() && !folder.path().join("quarantine").exists());
}

#[tokio::test]
async fn what_a_row_names_again_is_put_back_by_the_next_sweep() {
    let folder = Folder::with(20).await;
    folder.sweep(Extent::SmallShare, LATER, &[7]).await.unwrap();
    assert_eq!(folder.sweep(Extent::DryRun, LATER, &[]).await.unwrap().named_again, 1);
    assert!(folder.is_in_quarantine(7));
    let swept = folder.sweep(Extent::SmallShare, LATER, &[]).await.unwrap();
    assert_eq!(swept, Swept { blobs: 20, named_again: 1, ..Swept::default() });
    assert!(!folder.is_in_quarantine(7));
    assert_eq!(folder.read(7).await.unwrap(), b"7");
}

#[tokio::test]
async fn what_a_row_names_again_is_found_before_any_sweep() {
    let folder = Folder::with(20).await;
    folder.sweep(Extent::SmallShare, LATER, &[7]).await.unwrap();
    assert_eq!(folder.read(7).await.unwrap(), b"7");
    assert!(!folder.is_in_quarantine(7));
}

#[tokio::test]
async fn quarantine_is_emptied_by_order_and_keeps_what_a_row_names() {
    let folder = Folder::with(40).await;
    folder.sweep(Extent::SmallShare, LATER, &[1, 2]).await.unwrap();
    let empty = async |before: Timestamp, is_dry: bool, unnamed: &[usize]| {
        let named = folder.named(unnamed);
        let known =
            async |asked: Vec<BlobKey>| Ok(asked.into_iter().filter(|key| named.contains(key)).collect::<HashSet<_>>());
        folder.blobs.empty_quarantine(before, is_dry, known).await.unwrap()
    };
    let second = jiff::SignedDuration::from_secs(1);
    assert_eq!(
        empty(now(), false, &[1, 2]).await,
        Quarantined::default(),
        "by the time of the move, not of the upload"
    );
    assert_eq!(empty(now() + second, true, &[1, 2]).await, Quarantined { blobs: 2, bytes: 2 });
    assert!(folder.is_in_quarantine(1) && folder.is_in_quarantine(2));
    assert_eq!(empty(now() + second, false, &[2]).await, Quarantined { blobs: 1, bytes: 1 });
    assert!(folder.is_in_quarantine(1) && !folder.is_in_quarantine(2));
}

#[tokio::test]
async fn files_of_uploads_that_never_ended_are_removed_once_they_are_old() {
    let folder = Folder::with(1).await;
    fs::write(partial(&folder), b"half").unwrap();
    assert_eq!(folder.sweep(Extent::SmallShare, Timestamp::UNIX_EPOCH, &[]).await.unwrap().partial, 0);
    assert_eq!(folder.sweep(Extent::SmallShare, LATER, &[]).await.unwrap().partial, 1);
    assert!(!partial(&folder).exists());
    assert_eq!(folder.read(0).await.unwrap(), b"0");
}

#[tokio::test]
async fn nothing_is_moved_when_the_database_cannot_be_asked() {
    let folder = Folder::with(1).await;
    let refused =
        folder.blobs.sweep(now(), LATER, Extent::Everything, async |_| Err(StoreError::Unavailable("away".into())));
    assert!(matches!(refused.await, Err(StoreError::Unavailable(_))));
    assert_eq!(folder.read(0).await.unwrap(), b"0");
}

#[tokio::test]
async fn a_folder_with_another_mark_is_not_swept() {
    let folder = Folder::with(1).await;
    mark::put_into_folder(folder.path(), &Mark::random(&SystemRng)).await.unwrap();
    let refused = folder.sweep(Extent::Everything, LATER, &[0]).await;
    assert!(matches!(refused, Err(StoreError::OtherFolder { .. })), "{refused:?}");
    assert!(!folder.path().join("quarantine").exists());
}

/// Nothing is named, and while that is found out the disk is unmounted.
async fn unmounting(folder: &Folder) -> Result<HashSet<BlobKey>, StoreError> {
    mark::put_into_folder(folder.path(), &Mark::random(&SystemRng)).await?;
    Ok(HashSet::new())
}

#[tokio::test]
async fn folder_that_is_unmounted_during_a_sweep_keeps_the_files_of_uploads() {
    let folder = Folder::with(20).await;
    folder.sweep(Extent::SmallShare, LATER, &[7]).await.unwrap();
    fs::write(partial(&folder), b"half").unwrap();
    // What is in quarantine is asked about first.
    let refused = folder.blobs.sweep(now(), LATER, Extent::Everything, async |_| unmounting(&folder).await).await;
    assert!(matches!(refused, Err(StoreError::OtherFolder { .. })), "{refused:?}");
    assert!(partial(&folder).exists());
}

#[tokio::test]
async fn folder_that_is_unmounted_meanwhile_keeps_its_quarantine() {
    let folder = Folder::with(20).await;
    folder.sweep(Extent::SmallShare, LATER, &[7]).await.unwrap();
    let refused = folder.blobs.empty_quarantine(LATER, false, async |_| unmounting(&folder).await).await;
    assert!(matches!(refused, Err(StoreError::OtherFolder { .. })), "{refused:?}");
    assert!(folder.is_in_quarantine(7));
}

fn partial(folder: &Folder) -> std::path::PathBuf {
    let key = folder.keys[0].to_string();
    folder.path().join(format!("blobs/{}/{key}#1", &key[..2]))
}
