//! The contract of ciphertext: what is staged is whole and safe, what is not leaves nothing. In a folder, and on another engine
//! where no file is touched by hand.

use crate::harness::{memory_blobs::MemoryBlobs, scratch::scratch};
use bytes::Bytes;
use entente::{
    domain::{ambient::SystemRng, id::Sha256},
    storage::{
        BlobEngine, BlobFolder, BlobKey, Blobs, Expected, StageError, StoreError, Stored,
        mark::{self, Mark},
    },
};
use futures_util::{StreamExt as _, TryStreamExt as _, poll, stream};
use std::{convert::Infallible, fs, io, path::Path, pin::pin, sync::Arc};

const MIB: usize = 1 << 20;
const NO_LIMIT: u64 = u64::MAX;

type Piece = Result<Bytes, io::Error>;

async fn open(folder: &Path) -> Blobs {
    open_on(Arc::new(BlobFolder::new(folder, 0))).await
}

async fn open_on(engine: Arc<dyn BlobEngine>) -> Blobs {
    let mark = Mark::random(&SystemRng);
    engine.set_mark(&mark).unwrap();
    Blobs::open(engine, mark, Arc::new(SystemRng)).await.unwrap()
}

/// Ciphertext on some engine.
struct Place {
    name: &'static str,
    blobs: Blobs,
    /// How much lies there, whole or not.
    count: Box<dyn Fn() -> usize>,
}

impl Place {
    #[track_caller]
    fn holds(&self, count: usize) {
        assert_eq!((self.count)(), count, "{}", self.name);
    }
}

/// One of each engine.
async fn places() -> [Place; 2] {
    let (folder, memory) = (scratch(), MemoryBlobs::default());
    let in_folder = open(folder.path()).await;
    let in_memory = open_on(Arc::new(memory.clone())).await;
    [
        Place { name: "folder", blobs: in_folder, count: Box::new(move || files(folder.path()).len()) },
        Place { name: "memory", blobs: in_memory, count: Box::new(move || memory.count()) },
    ]
}

/// Every file below but the mark, relative; what `stage` must not leave behind.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with(mark::FILE) {
                found.push(path.strip_prefix(folder).unwrap().display().to_string());
            }
        }
    }
    found
}

/// Bytes that differ from place to place, in pieces of uneven size.
fn content(size: usize) -> Vec<u8> {
    (0..size).map(|n| u8::try_from((n / 7 + n / 65_537) % 251).unwrap()).collect()
}

fn pieces(content: &[u8], size: usize) -> Vec<Piece> {
    content.chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect()
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of what inspects")]
fn anything(_: &[u8]) -> Result<(), Infallible> {
    Ok(())
}

async fn put(blobs: &Blobs, content: &[u8]) -> BlobKey {
    let bytes = stream::iter(pieces(content, 65_000));
    blobs.stage(bytes, NO_LIMIT, Expected::default(), anything).await.unwrap().keep()
}

/// What the row of these bytes says.
fn row(content: &[u8]) -> Stored {
    Stored { size: content.len() as u64, sha256: Sha256::of(content) }
}

async fn get(blobs: &Blobs, key: &BlobKey, stored: Stored) -> Result<Vec<u8>, StoreError> {
    let pieces: Vec<Bytes> = blobs.read(key, stored, None).await?.bytes.try_collect().await?;
    Ok(pieces.concat())
}

#[tokio::test]
async fn bytes_come_back_whole_whatever_their_number() {
    for place in places().await {
        let blobs = &place.blobs;
        for size in [0, 1, MIB / 2 - 1, MIB / 2, MIB / 2 + 1, 2 * MIB, 5 * MIB + 3] {
            for piece in [1000, 3 * MIB] {
                let content = content(size);
                let digest = Sha256::of(&content);
                let expected = Expected { sha256: Some(digest), size: Some(size as u64) };
                let bytes = stream::iter(pieces(&content, piece));
                let mut seen = 0;
                let inspect = |piece: &[u8]| {
                    seen += piece.len();
                    Ok::<_, Infallible>(())
                };
                let staged = blobs.stage(bytes, size as u64, expected, inspect).await.unwrap();
                assert_eq!((staged.sha256(), staged.size(), seen), (digest, size as u64, size));
                assert!(
                    get(blobs, &staged.keep(), row(&content)).await.unwrap() == content,
                    "{size} bytes in pieces of {piece}"
                );
            }
        }
    }
}

/// Enough for several flushes to disk of the bytes that came, while more come.
#[tokio::test]
async fn bytes_that_are_flushed_on_the_way_come_back_whole() {
    for place in places().await {
        let blobs = &place.blobs;
        let content = content(MIB + 1);
        let whole = content.repeat(100);
        let bytes = stream::iter((0..100).map(|_| Piece::Ok(Bytes::copy_from_slice(&content))));
        let expected = Expected { sha256: Some(Sha256::of(&whole)), size: Some(whole.len() as u64) };
        let staged = blobs.stage(bytes, NO_LIMIT, expected, anything).await.unwrap();
        assert!(get(blobs, &staged.keep(), row(&whole)).await.unwrap() == whole);
        place.holds(1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn uploads_that_begin_together_in_a_new_folder_all_succeed() {
    let folder = scratch();
    let blobs = open(folder.path()).await;
    let puts = (0..40).map(|_| {
        let blobs = blobs.clone();
        tokio::spawn(async move { put(&blobs, b"abc").await })
    });
    let keys = futures_util::future::join_all(puts.collect::<Vec<_>>()).await;
    for key in keys {
        assert_eq!(get(&blobs, &key.unwrap(), row(b"abc")).await.unwrap(), b"abc");
    }
}

#[tokio::test]
async fn a_part_is_read_by_itself() {
    for place in places().await {
        let blobs = &place.blobs;
        let content = content(3 * MIB);
        let key = put(blobs, &content).await;
        for (start, end) in [(0, 1), (5, 5), (700_000, 2_000_001), (3 * MIB - 1, 3 * MIB), (3 * MIB, 3 * MIB)] {
            let reading = blobs.read(&key, row(&content), Some(start as u64..end as u64)).await.unwrap();
            assert_eq!((reading.size, reading.range.clone()), (content.len() as u64, start as u64..end as u64));
            let found: Vec<Bytes> = reading.bytes.try_collect().await.unwrap();
            assert!(found.concat() == content[start..end], "{start}..{end}");
        }
        let past_the_end = blobs.read(&key, row(&content), Some(10..u64::MAX)).await.unwrap();
        assert_eq!(past_the_end.range, 10..content.len() as u64);
        let beyond = blobs.read(&key, row(&content), Some(4_000_000..4_000_001)).await;
        assert!(matches!(beyond, Err(StoreError::Corrupt { .. })), "{beyond:?}");
    }
}

#[tokio::test]
async fn large_reads_come_in_large_pieces() {
    for place in places().await {
        let blobs = &place.blobs;
        let content = content(2 * MIB);
        let key = put(blobs, &content).await;
        let pieces: Vec<Bytes> =
            blobs.read(&key, row(&content), None).await.unwrap().bytes.try_collect().await.unwrap();
        assert!(pieces.iter().all(|piece| piece.len() >= 256 << 10));
    }
}

#[tokio::test]
async fn bytes_past_the_limit_are_refused_as_they_arrive_and_leave_nothing() {
    for place in places().await {
        let blobs = &place.blobs;
        // The stream never ends: only a limit that holds while bytes arrive returns.
        let endless = stream::repeat_with(|| Piece::Ok(Bytes::from_static(&[1; 4096])));
        let refused = blobs.stage(endless, 5_000_000, Expected::default(), anything).await;
        assert!(matches!(refused, Err(StageError::TooLarge { limit: 5_000_000 })), "{refused:?}");
        place.holds(0);
    }
}

#[tokio::test]
async fn other_bytes_than_announced_are_refused_and_leave_nothing() {
    for place in places().await {
        let blobs = &place.blobs;
        let content = content(3 * MIB);
        let (size, digest) = (content.len() as u64, Sha256::of(&content));
        for (expected, what) in [
            (Expected { sha256: Some(Sha256::of(b"other")), size: Some(size) }, "digest"),
            (Expected { sha256: Some(digest), size: Some(size - 1) }, "size"),
            (Expected { sha256: Some(digest), size: Some(size + 1) }, "size"),
        ] {
            let refused = blobs.stage(stream::iter(pieces(&content, MIB)), NO_LIMIT, expected, anything).await;
            assert!(matches!(refused, Err(StageError::NotAsAnnounced { what: w }) if w == what), "{refused:?}");
            place.holds(0);
        }
    }
}

#[tokio::test]
async fn bytes_the_caller_refuses_leave_nothing() {
    for place in places().await {
        let blobs = &place.blobs;
        let mut seen = 0;
        let no_age_file = |piece: &[u8]| {
            seen += piece.len();
            if seen > 3 * MIB { Err("not an age file") } else { Ok(()) }
        };
        let bytes = stream::iter(pieces(&content(4 * MIB), MIB));
        let refused = blobs.stage(bytes, NO_LIMIT, Expected::default(), no_age_file).await;
        assert!(matches!(refused, Err(StageError::Refused("not an age file"))), "{refused:?}");
        place.holds(0);
    }
}

#[tokio::test]
async fn a_sender_that_stops_leaves_nothing() {
    for place in places().await {
        let blobs = &place.blobs;
        let broken = stream::iter(pieces(&content(3 * MIB), MIB)).chain(stream::iter([Err(io::Error::other("reset"))]));
        let refused = blobs.stage(broken, NO_LIMIT, Expected::default(), anything).await;
        assert!(matches!(refused, Err(StageError::Interrupted(_))), "{refused:?}");
        place.holds(0);
    }
}

/// One blocking thread runs its work in order, so a task queued after another's proves that one done.
fn in_order(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    runtime.block_on(test);
}

async fn blocking_work_done() {
    tokio::task::spawn_blocking(|| ()).await.unwrap();
}

#[test]
fn a_cancelled_upload_leaves_nothing() {
    in_order(async {
        let folder = scratch();
        let blobs = open(folder.path()).await;
        {
            let started = stream::iter(pieces(&content(3 * MIB), MIB)).chain(stream::pending());
            let mut upload = pin!(blobs.stage(started, NO_LIMIT, Expected::default(), anything));
            while files(folder.path()).is_empty() {
                assert!(poll!(&mut upload).is_pending());
            }
        }
        blocking_work_done().await;
        assert_eq!(files(folder.path()), [""; 0]);
    });
}

#[test]
fn a_staged_blob_that_is_not_kept_is_removed() {
    in_order(async {
        let folder = scratch();
        let blobs = open(folder.path()).await;
        let staged = blobs.stage(stream::iter(pieces(b"abc", 1)), 3, Expected::default(), anything).await.unwrap();
        assert_eq!(files(folder.path()).len(), 1);
        drop(staged);
        // The removal is a task that in turn asks for blocking work.
        tokio::task::yield_now().await;
        blocking_work_done().await;
        assert_eq!(files(folder.path()), [""; 0]);
    });
}

#[tokio::test]
async fn deletion_may_be_repeated() {
    for place in places().await {
        let blobs = &place.blobs;
        let key = put(blobs, b"abc").await;
        blobs.delete(&key).await.unwrap();
        blobs.delete(&key).await.unwrap();
        assert!(matches!(get(blobs, &key, row(b"abc")).await, Err(StoreError::NoSuchBlob(_))));
    }
}

/// Changes one byte of the only blob in the folder.
fn flip(folder: &Path, at: usize) {
    let path = folder.join(&files(folder)[0]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_blob_of_another_size_is_refused_before_its_first_byte() {
    let folder = scratch();
    let blobs = open(folder.path()).await;
    let content = content(2 * MIB);
    let key = put(&blobs, &content).await;
    for len in [0, 2 * MIB as u64 - 1, 2 * MIB as u64 + 1] {
        let path = folder.path().join(&files(folder.path())[0]);
        fs::OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
        for range in [None, Some(0..1)] {
            let refused = blobs.read(&key, row(&content), range).await;
            assert!(matches!(refused, Err(StoreError::DamagedBlob { what: "size", .. })), "{len}: {refused:?}");
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_in_a_small_blob_is_refused_before_its_first_byte() {
    let folder = scratch();
    let blobs = open(folder.path()).await;
    let key = put(&blobs, b"abc").await;
    flip(folder.path(), 1);
    let refused = blobs.read(&key, row(b"abc"), None).await;
    assert!(matches!(refused, Err(StoreError::DamagedBlob { what: "digest", .. })), "{refused:?}");
}

#[tokio::test]
async fn a_flipped_bit_in_a_large_blob_keeps_its_last_piece_back() {
    let folder = scratch();
    let blobs = open(folder.path()).await;
    let content = content(2 * MIB);
    let key = put(&blobs, &content).await;
    for at in [0, MIB, 2 * MIB - 1] {
        flip(folder.path(), at);
        let mut reading = blobs.read(&key, row(&content), None).await.unwrap();
        let (mut given, mut last) = (0, None);
        while let Some(piece) = reading.bytes.next().await {
            given += piece.as_ref().map_or(0, Bytes::len);
            last = Some(piece);
        }
        assert!(matches!(last, Some(Err(StoreError::DamagedBlob { what: "digest", .. }))), "{at}: {last:?}");
        assert!(given < 2 * MIB, "{given} bytes were given out");
        flip(folder.path(), at);
    }
    assert!(get(&blobs, &key, row(&content)).await.unwrap() == content, "every bit is as it was");
}

#[tokio::test]
async fn a_folder_without_its_mark_takes_and_gives_nothing_and_nothing_is_made_in_it() {
    let folder = scratch();
    let blobs = open(folder.path()).await;
    let key = put(&blobs, b"abc").await;
    let away = folder.path().with_extension("away");
    // As when a disk is not mounted: the place is there and empty.
    fs::rename(folder.path(), &away).unwrap();
    fs::create_dir(folder.path()).unwrap();
    let refused = blobs.stage(stream::iter(pieces(b"abc", 1)), 3, Expected::default(), anything).await;
    assert!(matches!(refused, Err(StageError::Store(StoreError::OtherFolder { folder: None, .. }))), "{refused:?}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let refused = blobs.read(&key, row(b"abc"), None).await;
    assert!(matches!(refused, Err(StoreError::OtherFolder { folder: None, .. })), "{refused:?}");
    // Another's folder is no better.
    let other = Mark::random(&SystemRng);
    BlobFolder::new(folder.path(), 0).set_mark(&other).unwrap();
    let told = blobs.check_mark().await.unwrap_err().to_string();
    assert!(told.contains(other.short()) && told.contains(blobs.mark().short()), "{told}");
    fs::remove_dir_all(folder.path()).unwrap();
    fs::rename(away, folder.path()).unwrap();
    assert_eq!(get(&blobs, &key, row(b"abc")).await.unwrap(), b"abc");
}

#[tokio::test]
async fn a_file_cut_short_is_noticed_while_it_is_read() {
    let folder = scratch();
    let blobs = open(folder.path()).await;
    let content = content(4 * MIB);
    let key = put(&blobs, &content).await;
    let mut reading = blobs.read(&key, row(&content), None).await.unwrap();
    let path = folder.path().join(&files(folder.path())[0]);
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(MIB as u64).unwrap();
    let mut last = Ok(Bytes::new());
    while let Some(piece) = reading.bytes.next().await {
        last = piece;
    }
    assert!(matches!(last, Err(StoreError::DamagedBlob { what: "size", .. })), "{last:?}");
}

#[test]
fn keys_of_another_shape_are_refused() {
    for text in ["", "../../etc/passwd", "0123456789ABCDEF0123456789ABCDEF", "0123456789abcdef0123456789abcdef0"] {
        assert!(text.parse::<BlobKey>().is_err(), "{text}");
    }
}
