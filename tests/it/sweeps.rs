//! The contract of sweeps, on each engine: what no row names is moved aside and never removed, never more than a small share of
//! it, and it is back where it was as soon as a row names it.

use crate::harness::{memory_blobs::MemoryBlobs, scratch::scratch};
use bytes::Bytes;
use entente::{
    domain::{ambient::SystemRng, id::Sha256},
    storage::{
        BlobEngine, BlobFolder, BlobKey, Blobs, Expected, StoreError, Stored,
        mark::Mark,
        sweep::{Extent, MOST, Quarantined, SHARE, Swept},
    },
};
use futures_util::{TryStreamExt as _, stream};
use jiff::Timestamp;
use std::{collections::HashSet, convert::Infallible, io, mem, sync::Arc};
use tempfile::TempDir;

/// Everything is old by then.
const LATER: Timestamp = Timestamp::MAX;

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// A place with blobs, each of which holds its own number as text.
struct Place {
    name: &'static str,
    engine: Arc<dyn BlobEngine>,
    blobs: Blobs,
    keys: Vec<BlobKey>,
    _folder: Option<TempDir>,
}

/// One of each engine, with so many blobs.
async fn places(count: usize) -> [Place; 2] {
    let folder = scratch();
    let in_folder = Arc::new(BlobFolder::new(folder.path(), 0));
    let in_memory = Arc::new(MemoryBlobs::default());
    [
        Place { _folder: Some(folder), ..Place::with("folder", in_folder, count).await },
        Place::with("memory", in_memory, count).await,
    ]
}

impl Place {
    async fn with(name: &'static str, engine: Arc<dyn BlobEngine>, count: usize) -> Self {
        let mark = Mark::random(&SystemRng);
        engine.set_mark(&mark).unwrap();
        let blobs = Blobs::open(Arc::clone(&engine), mark, Arc::new(SystemRng)).await.unwrap();
        let mut keys = Vec::new();
        for number in 0..count {
            let bytes = stream::iter([Ok::<_, io::Error>(Bytes::from(number.to_string()))]);
            let inspect = |_: &[u8]| Ok::<_, Infallible>(());
            keys.push(blobs.stage(bytes, 100, Expected::default(), inspect).await.unwrap().keep());
        }
        Self { name, engine, blobs, keys, _folder: None }
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

    /// The numbers of the blobs in quarantine.
    fn aside(&self) -> HashSet<usize> {
        let aside = self.engine.quarantined().unwrap().into_iter();
        aside.map(|blob| self.keys.iter().position(|key| *key == blob.key).unwrap()).collect()
    }

    /// Begins a blob, as an upload does that never ends.
    fn leave_unfinished(&self) {
        let key = "0123456789abcdef0123456789abcdef".parse().unwrap();
        let mut incoming = self.engine.begin(&key, 0).unwrap();
        incoming.write(b"half").unwrap();
        mem::forget(incoming);
    }

    /// How many blobs never ended.
    fn unfinished(&self) -> u64 {
        (0..=u8::MAX).map(|part| self.engine.remove_unfinished(part, LATER, true).unwrap()).sum()
    }
}

#[tokio::test]
async fn what_no_row_names_and_is_old_is_moved_aside_and_kept() {
    for place in places(21).await {
        let swept = place.sweep(Extent::SmallShare, LATER, &[3, 8]).await.unwrap();
        assert_eq!(swept, Swept { blobs: 21, orphans: 2, moved: 2, ..Swept::default() }, "{}", place.name);
        assert_eq!(place.aside(), HashSet::from([3, 8]), "{}", place.name);
        assert_eq!(place.blobs.quarantined().await.unwrap(), Quarantined { blobs: 2, bytes: 2 }, "{}", place.name);
        assert_eq!(place.read(4).await.unwrap(), b"4", "{}", place.name);
        assert_eq!(place.read(8).await.unwrap(), b"8", "{}: nothing of it is lost", place.name);
    }
}

#[tokio::test]
async fn what_is_young_is_left_alone() {
    for place in places(3).await {
        let swept = place.sweep(Extent::Everything, Timestamp::UNIX_EPOCH, &[0, 1, 2]).await.unwrap();
        assert_eq!(swept, Swept { blobs: 3, ..Swept::default() }, "{}", place.name);
    }
}

#[tokio::test]
async fn more_than_a_small_share_is_not_moved_unless_the_operator_insists() {
    // A part in twenty, rounded up: three of 41.
    assert_eq!((SHARE, MOST), (20, 10_000));
    for place in places(41).await {
        let swept = place.sweep(Extent::SmallShare, LATER, &[0, 1, 2, 3]).await.unwrap();
        assert_eq!(swept, Swept { blobs: 41, orphans: 4, ..Swept::default() }, "{}", place.name);
        assert!(swept.is_too_much() && swept.most() == 3, "{}", place.name);
        let everything: Vec<_> = (0..41).collect();
        let swept = place.sweep(Extent::SmallShare, LATER, &everything).await.unwrap();
        assert_eq!((swept.orphans, swept.moved), (41, 0), "{}: an empty database takes nothing with it", place.name);
        assert!(place.aside().is_empty(), "{}", place.name);
        for number in 0..41 {
            place.read(number).await.unwrap();
        }
        let swept = place.sweep(Extent::Everything, LATER, &[0, 1, 2, 3]).await.unwrap();
        assert_eq!((swept.orphans, swept.moved), (4, 4), "{}", place.name);
    }
}

#[tokio::test]
async fn a_dry_run_counts_and_changes_nothing() {
    for place in places(3).await {
        place.leave_unfinished();
        let swept = place.sweep(Extent::DryRun, LATER, &[0, 1, 2]).await.unwrap();
        assert_eq!(swept, Swept { blobs: 3, orphans: 3, partial: 1, ..Swept::default() }, "{}", place.name);
        assert_eq!((place.unfinished(), place.aside()), (1, HashSet::new()), "{}", place.name);
    }
}

#[tokio::test]
async fn what_a_row_names_again_is_put_back_by_the_next_sweep() {
    for place in places(20).await {
        place.sweep(Extent::SmallShare, LATER, &[7]).await.unwrap();
        assert_eq!(place.sweep(Extent::DryRun, LATER, &[]).await.unwrap().named_again, 1, "{}", place.name);
        assert_eq!(place.aside(), HashSet::from([7]), "{}", place.name);
        let swept = place.sweep(Extent::SmallShare, LATER, &[]).await.unwrap();
        assert_eq!(swept, Swept { blobs: 20, named_again: 1, ..Swept::default() }, "{}", place.name);
        assert!(place.aside().is_empty(), "{}", place.name);
        assert_eq!(place.read(7).await.unwrap(), b"7", "{}", place.name);
    }
}

#[tokio::test]
async fn what_a_row_names_again_is_found_before_any_sweep() {
    for place in places(20).await {
        place.sweep(Extent::SmallShare, LATER, &[7]).await.unwrap();
        assert_eq!(place.read(7).await.unwrap(), b"7", "{}", place.name);
        assert!(place.aside().is_empty(), "{}", place.name);
    }
}

#[tokio::test]
async fn quarantine_is_emptied_by_order_and_keeps_what_a_row_names() {
    for place in places(40).await {
        place.sweep(Extent::SmallShare, LATER, &[1, 2]).await.unwrap();
        let empty = async |before: Timestamp, is_dry: bool, unnamed: &[usize]| {
            let named = place.named(unnamed);
            let known = async |asked: Vec<BlobKey>| {
                Ok(asked.into_iter().filter(|key| named.contains(key)).collect::<HashSet<_>>())
            };
            place.blobs.empty_quarantine(before, is_dry, known).await.unwrap()
        };
        let second = jiff::SignedDuration::from_secs(1);
        assert_eq!(
            empty(now(), false, &[1, 2]).await,
            Quarantined::default(),
            "{}: by the time of the move, not of the upload",
            place.name
        );
        let both = Quarantined { blobs: 2, bytes: 2 };
        assert_eq!(empty(now() + second, true, &[1, 2]).await, both, "{}", place.name);
        assert_eq!(place.aside(), HashSet::from([1, 2]), "{}", place.name);
        let one = Quarantined { blobs: 1, bytes: 1 };
        assert_eq!(empty(now() + second, false, &[2]).await, one, "{}", place.name);
        assert_eq!(place.aside(), HashSet::from([1]), "{}", place.name);
    }
}

#[tokio::test]
async fn uploads_that_never_ended_are_removed_once_they_are_old() {
    for place in places(1).await {
        place.leave_unfinished();
        let young = place.sweep(Extent::SmallShare, Timestamp::UNIX_EPOCH, &[]).await.unwrap();
        assert_eq!((young.partial, place.unfinished()), (0, 1), "{}", place.name);
        let old = place.sweep(Extent::SmallShare, LATER, &[]).await.unwrap();
        assert_eq!((old.partial, place.unfinished()), (1, 0), "{}", place.name);
        assert_eq!(place.read(0).await.unwrap(), b"0", "{}", place.name);
    }
}

#[tokio::test]
async fn nothing_is_moved_when_the_database_cannot_be_asked() {
    for place in places(1).await {
        let refused =
            place.blobs.sweep(now(), LATER, Extent::Everything, async |_| Err(StoreError::Unavailable("away".into())));
        assert!(matches!(refused.await, Err(StoreError::Unavailable(_))), "{}", place.name);
        assert!(place.aside().is_empty(), "{}", place.name);
        assert_eq!(place.read(0).await.unwrap(), b"0", "{}", place.name);
    }
}

#[tokio::test]
async fn a_place_with_another_mark_is_not_swept() {
    for place in places(1).await {
        place.leave_unfinished();
        place.engine.set_mark(&Mark::random(&SystemRng)).unwrap();
        let refused = place.sweep(Extent::Everything, LATER, &[0]).await;
        assert!(matches!(refused, Err(StoreError::OtherFolder { .. })), "{}: {refused:?}", place.name);
        let refused = place.blobs.set_aside(place.keys.clone(), now()).await;
        assert!(matches!(refused, Err(StoreError::OtherFolder { .. })), "{}: {refused:?}", place.name);
        assert_eq!((place.unfinished(), place.aside()), (1, HashSet::new()), "{}", place.name);
    }
}

/// Nothing is named, and while that is found out the disk is unmounted.
fn unmounting(place: &Place) -> Result<HashSet<BlobKey>, StoreError> {
    place.engine.set_mark(&Mark::random(&SystemRng))?;
    Ok(HashSet::new())
}

#[tokio::test]
async fn place_that_is_unmounted_during_a_sweep_keeps_what_is_unfinished() {
    for place in places(20).await {
        place.sweep(Extent::SmallShare, LATER, &[7]).await.unwrap();
        place.leave_unfinished();
        // What is in quarantine is asked about first.
        let refused = place.blobs.sweep(now(), LATER, Extent::Everything, async |_| unmounting(&place)).await;
        assert!(matches!(refused, Err(StoreError::OtherFolder { .. })), "{}: {refused:?}", place.name);
        assert_eq!(place.unfinished(), 1, "{}", place.name);
    }
}

#[tokio::test]
async fn place_that_is_unmounted_before_anything_is_moved_keeps_every_blob() {
    for place in places(20).await {
        let refused = place.blobs.sweep(now(), LATER, Extent::Everything, async |_| unmounting(&place)).await;
        assert!(matches!(refused, Err(StoreError::OtherFolder { .. })), "{}: {refused:?}", place.name);
        assert!(place.aside().is_empty(), "{}", place.name);
    }
}

#[tokio::test]
async fn place_that_is_unmounted_meanwhile_keeps_its_quarantine() {
    for place in places(20).await {
        place.sweep(Extent::SmallShare, LATER, &[7]).await.unwrap();
        let refused = place.blobs.empty_quarantine(LATER, false, async |_| unmounting(&place)).await;
        assert!(matches!(refused, Err(StoreError::OtherFolder { .. })), "{}: {refused:?}", place.name);
        assert_eq!(place.aside(), HashSet::from([7]), "{}", place.name);
    }
}

#[tokio::test]
async fn resumable_blob_that_no_upload_names_is_removed_once_it_is_old() {
    for place in places(1).await {
        let [named, forgotten] = ["a", "b"].map(|digit| digit.repeat(32).parse::<BlobKey>().unwrap());
        for key in [&named, &forgotten] {
            place.engine.resume(key, 4).unwrap().unwrap().incoming.write(b"half").unwrap();
        }
        let sweep = async |extent, older_than| {
            let known = async |asked: Vec<BlobKey>| {
                Ok(asked.into_iter().filter(|key| *key == named || place.keys.contains(key)).collect())
            };
            place.blobs.sweep(now(), older_than, extent, known).await.unwrap().partial
        };
        assert_eq!(sweep(Extent::SmallShare, Timestamp::UNIX_EPOCH).await, 0, "{}: it may still come", place.name);
        assert_eq!(sweep(Extent::DryRun, LATER).await, 1, "{}", place.name);
        assert_eq!(sweep(Extent::SmallShare, LATER).await, 1, "{}", place.name);
        let left: Vec<_> = place.engine.resumables().unwrap().into_iter().map(|blob| blob.key).collect();
        assert_eq!(left, [named], "{}", place.name);
    }
}
