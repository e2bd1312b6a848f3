//! The contract of the folder of ciphertext: what is staged is whole and on the disk, what is not leaves nothing.

use bytes::Bytes;
use entente::{
    domain::{ambient::SystemRng, id::Sha256},
    storage::{
        BlobKey, Blobs, StageError, StoreError,
        blobs::{Expected, Swept},
    },
};
use futures_util::{StreamExt as _, TryStreamExt as _, poll, stream};
use jiff::Timestamp;
use std::{collections::HashSet, convert::Infallible, fs, io, path::Path, pin::pin, sync::Arc};

const MIB: usize = 1 << 20;
const NO_LIMIT: u64 = u64::MAX;

type Piece = Result<Bytes, io::Error>;

fn later() -> Timestamp {
    Timestamp::MAX
}

async fn open(folder: &Path) -> Blobs {
    Blobs::open(folder, Arc::new(SystemRng)).await.unwrap()
}

/// Every file below, relative; what `stage` must not leave behind.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
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

async fn get(blobs: &Blobs, key: &BlobKey) -> Vec<u8> {
    let pieces: Vec<Bytes> = blobs.read(key, None).await.unwrap().bytes.try_collect().await.unwrap();
    pieces.concat()
}

#[tokio::test]
async fn bytes_come_back_whole_whatever_their_number() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path()).await;
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
            assert!(get(&blobs, &staged.keep()).await == content, "{size} bytes in pieces of {piece}");
        }
    }
}

/// Enough for the disk to be told several times to take what came, while more comes.
#[tokio::test]
async fn bytes_that_are_flushed_on_the_way_come_back_whole() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path()).await;
    let content = content(MIB + 1);
    let whole = content.repeat(100);
    let bytes = stream::iter((0..100).map(|_| Piece::Ok(Bytes::copy_from_slice(&content))));
    let expected = Expected { sha256: Some(Sha256::of(&whole)), size: Some(whole.len() as u64) };
    let staged = blobs.stage(bytes, NO_LIMIT, expected, anything).await.unwrap();
    assert!(get(&blobs, &staged.keep()).await == whole);
    assert_eq!(files(folder.path()).len(), 1, "the partial file has become the blob");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn uploads_that_begin_together_in_a_new_folder_all_succeed() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path()).await;
    let puts = (0..40).map(|_| {
        let blobs = blobs.clone();
        tokio::spawn(async move { put(&blobs, b"abc").await })
    });
    let keys = futures_util::future::join_all(puts.collect::<Vec<_>>()).await;
    for key in keys {
        assert_eq!(get(&blobs, &key.unwrap()).await, b"abc");
    }
}

#[tokio::test]
async fn a_part_is_read_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path()).await;
    let content = content(3 * MIB);
    let key = put(&blobs, &content).await;
    for (start, end) in [(0, 1), (5, 5), (700_000, 2_000_001), (3 * MIB - 1, 3 * MIB), (3 * MIB, 3 * MIB)] {
        let reading = blobs.read(&key, Some(start as u64..end as u64)).await.unwrap();
        assert_eq!((reading.size, reading.range.clone()), (content.len() as u64, start as u64..end as u64));
        let found: Vec<Bytes> = reading.bytes.try_collect().await.unwrap();
        assert!(found.concat() == content[start..end], "{start}..{end}");
    }
    let past_the_end = blobs.read(&key, Some(10..u64::MAX)).await.unwrap();
    assert_eq!(past_the_end.range, 10..content.len() as u64);
    let beyond = blobs.read(&key, Some(4_000_000..4_000_001)).await;
    assert!(matches!(beyond, Err(StoreError::Corrupt { .. })), "{beyond:?}");
}

#[tokio::test]
async fn large_reads_come_in_large_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path()).await;
    let key = put(&blobs, &content(2 * MIB)).await;
    let pieces: Vec<Bytes> = blobs.read(&key, None).await.unwrap().bytes.try_collect().await.unwrap();
    assert!(pieces.iter().all(|piece| piece.len() >= 256 << 10));
}

#[tokio::test]
async fn bytes_past_the_limit_are_refused_as_they_arrive_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path()).await;
    // The stream never ends: only a limit that holds while bytes arrive returns.
    let endless = stream::repeat_with(|| Piece::Ok(Bytes::from_static(&[1; 4096])));
    let refused = blobs.stage(endless, 5_000_000, Expected::default(), anything).await;
    assert!(matches!(refused, Err(StageError::TooLarge { limit: 5_000_000 })), "{refused:?}");
    assert_eq!(files(folder.path()), [""; 0]);
}

#[tokio::test]
async fn other_bytes_than_announced_are_refused_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path()).await;
    let content = content(3 * MIB);
    let (size, digest) = (content.len() as u64, Sha256::of(&content));
    for (expected, what) in [
        (Expected { sha256: Some(Sha256::of(b"other")), size: Some(size) }, "digest"),
        (Expected { sha256: Some(digest), size: Some(size - 1) }, "size"),
        (Expected { sha256: Some(digest), size: Some(size + 1) }, "size"),
    ] {
        let refused = blobs.stage(stream::iter(pieces(&content, MIB)), NO_LIMIT, expected, anything).await;
        assert!(matches!(refused, Err(StageError::NotAsAnnounced { what: w }) if w == what), "{refused:?}");
        assert_eq!(files(folder.path()), [""; 0]);
    }
}

#[tokio::test]
async fn bytes_the_caller_refuses_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path()).await;
    let mut seen = 0;
    let no_age_file = |piece: &[u8]| {
        seen += piece.len();
        if seen > 3 * MIB { Err("not an age file") } else { Ok(()) }
    };
    let bytes = stream::iter(pieces(&content(4 * MIB), MIB));
    let refused = blobs.stage(bytes, NO_LIMIT, Expected::default(), no_age_file).await;
    assert!(matches!(refused, Err(StageError::Refused("not an age file"))), "{refused:?}");
    assert_eq!(files(folder.path()), [""; 0]);
}

#[tokio::test]
async fn a_sender_that_stops_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path()).await;
    let broken = stream::iter(pieces(&content(3 * MIB), MIB)).chain(stream::iter([Err(io::Error::other("reset"))]));
    let refused = blobs.stage(broken, NO_LIMIT, Expected::default(), anything).await;
    assert!(matches!(refused, Err(StageError::Interrupted(_))), "{refused:?}");
    assert_eq!(files(folder.path()), [""; 0]);
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
        let folder = tempfile::tempdir().unwrap();
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
        let folder = tempfile::tempdir().unwrap();
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
async fn the_sweep_removes_what_no_row_knows_and_is_old() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path()).await;
    let (known, orphan) = (put(&blobs, b"known").await, put(&blobs, b"orphan").await);
    let partial = folder.path().join(format!("blobs/{}/{orphan}#1", &orphan.to_string()[..2]));
    fs::write(partial, b"half").unwrap();
    let ask = async |asked: Vec<BlobKey>| -> Result<HashSet<BlobKey>, StoreError> {
        Ok(asked.into_iter().filter(|key| *key == known).collect())
    };
    let young = blobs.sweep(Timestamp::UNIX_EPOCH, ask).await.unwrap();
    assert_eq!((young, files(folder.path()).len()), (Swept::default(), 3));
    let swept = blobs.sweep(later(), ask).await.unwrap();
    assert_eq!(swept, Swept { orphans: 1, partial: 1 });
    assert_eq!(get(&blobs, &known).await, b"known");
    assert!(matches!(blobs.read(&orphan, None).await, Err(StoreError::NoSuchBlob(_))));
    assert_eq!(blobs.sweep(later(), ask).await.unwrap(), Swept::default());
}

#[tokio::test]
async fn the_sweep_keeps_everything_when_the_database_cannot_be_asked() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path()).await;
    put(&blobs, b"known").await;
    let refused = blobs.sweep(later(), async |_| Err(StoreError::Unavailable("away".into()))).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))));
    assert_eq!(files(folder.path()).len(), 1);
}

#[tokio::test]
async fn deletion_may_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path()).await;
    let key = put(&blobs, b"abc").await;
    blobs.delete(&key).await.unwrap();
    blobs.delete(&key).await.unwrap();
    assert!(matches!(blobs.read(&key, None).await, Err(StoreError::NoSuchBlob(_))));
}

#[tokio::test]
async fn a_file_cut_short_is_noticed_while_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path()).await;
    let key = put(&blobs, &content(4 * MIB)).await;
    let mut reading = blobs.read(&key, None).await.unwrap();
    let path = folder.path().join(&files(folder.path())[0]);
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(MIB as u64).unwrap();
    let mut last = Ok(Bytes::new());
    while let Some(piece) = reading.bytes.next().await {
        last = piece;
    }
    assert!(matches!(last, Err(StoreError::Corrupt { .. })), "{last:?}");
}

#[test]
fn keys_of_another_shape_are_refused() {
    for text in ["", "../../etc/passwd", "0123456789ABCDEF0123456789ABCDEF", "0123456789abcdef0123456789abcdef0"] {
        assert!(text.parse::<BlobKey>().is_err(), "{text}");
    }
}
