//! The contract of places for ciphertext, checked for each engine: the folder, and one in memory. Published bytes are whole, unpublished
//! ones are never seen, and bytes that are moved aside are not lost.

use crate::harness::{memory_blobs::MemoryBlobs, scratch::scratch};
use entente::{
    domain::ambient::SystemRng,
    storage::{
        BlobEngine, BlobFolder, BlobKey, StoreError,
        blob_engine::{self, ListedBlob, PutBack},
        mark::Mark,
    },
};
use jiff::Timestamp;
use std::{collections::HashSet, fs, io::Read as _, mem, os::unix::fs::PermissionsExt as _, slice, thread};
use tempfile::TempDir;

/// Everything is old by then.
const LATER: Timestamp = Timestamp::MAX;

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// An engine with nothing in it.
struct Place {
    name: &'static str,
    engine: Box<dyn BlobEngine>,
    _folder: Option<TempDir>,
}

/// One of each engine. Another one gets its line here.
fn places() -> Vec<Place> {
    let folder = scratch();
    let engine = Box::new(BlobFolder::new(folder.path(), 0));
    let memory = Box::new(MemoryBlobs::default());
    vec![
        Place { name: "folder", engine, _folder: Some(folder) },
        Place { name: "memory", engine: memory, _folder: None },
    ]
}

impl Place {
    fn publish(&self, key: &BlobKey, bytes: &[u8]) {
        let mut incoming = self.engine.begin(key, bytes.len() as u64).unwrap();
        for part in bytes.chunks(50_000) {
            incoming.write(part).unwrap();
        }
        incoming.publish().unwrap();
    }

    /// The bytes of a published blob from one of them on.
    fn read(&self, key: &BlobKey, from: u64) -> Option<Vec<u8>> {
        let mut opened = self.engine.open(key, from).unwrap()?;
        let mut bytes = Vec::new();
        opened.bytes.read_to_end(&mut bytes).unwrap();
        assert_eq!(opened.size, from + bytes.len() as u64, "{}", self.name);
        Some(bytes)
    }

    /// The keys of all that is published.
    fn keys(&self) -> HashSet<BlobKey> {
        (0..=u8::MAX).flat_map(|part| self.engine.list(part).unwrap()).map(|blob| blob.key).collect()
    }

    fn remove_unfinished(&self, before: Timestamp, is_dry: bool) -> u64 {
        (0..=u8::MAX).map(|part| self.engine.remove_unfinished(part, before, is_dry).unwrap()).sum()
    }

    fn quarantined(&self) -> Vec<ListedBlob> {
        self.engine.quarantined().unwrap()
    }
}

fn key(digit: char) -> BlobKey {
    digit.to_string().repeat(32).parse().unwrap()
}

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|n| u8::try_from((n / 7 + n / 65_537) % 251).unwrap()).collect()
}

#[test]
fn blob_is_seen_whole_once_it_is_published_and_not_before() {
    for place in places() {
        let (key, bytes) = (key('a'), content(120_000));
        let mut incoming = place.engine.begin(&key, 0).unwrap();
        for part in bytes.chunks(50_000) {
            incoming.write(part).unwrap();
            assert_eq!((place.read(&key, 0), place.engine.size(&key).unwrap()), (None, None), "{}", place.name);
            assert!(place.keys().is_empty(), "{}", place.name);
        }
        incoming.publish().unwrap();
        assert!(place.read(&key, 0).unwrap() == bytes, "{}", place.name);
        assert_eq!(place.engine.size(&key).unwrap(), Some(120_000), "{}", place.name);
        assert_eq!(place.remove_unfinished(LATER, true), 0, "{}", place.name);
    }
}

#[test]
fn blob_without_bytes_is_a_blob() {
    for place in places() {
        place.publish(&key('a'), b"");
        assert_eq!(place.read(&key('a'), 0).unwrap(), b"", "{}", place.name);
        assert_eq!(place.engine.size(&key('a')).unwrap(), Some(0), "{}", place.name);
    }
}

#[test]
fn blob_is_read_from_any_of_its_bytes_on() {
    for place in places() {
        let bytes = content(120_000);
        place.publish(&key('a'), &bytes);
        for from in [0, 1, 65_537, 119_999, 120_000] {
            assert!(place.read(&key('a'), from as u64).unwrap() == bytes[from..], "{} from {from}", place.name);
        }
    }
}

#[test]
fn what_is_not_there_is_neither_found_nor_missed() {
    for place in places() {
        place.publish(&key('a'), b"abc");
        let (engine, absent) = (&place.engine, key('b'));
        assert_eq!((place.read(&absent, 0), engine.size(&absent).unwrap()), (None, None), "{}", place.name);
        engine.delete(&absent).unwrap();
        assert_eq!(engine.set_aside(slice::from_ref(&absent), now()).unwrap(), 0, "{}", place.name);
        assert_eq!(engine.put_back(&absent).unwrap(), PutBack::IsNowhere, "{}", place.name);
        assert!(!engine.remove_quarantined(&absent).unwrap(), "{}", place.name);
        assert_eq!((place.keys(), place.quarantined()), (HashSet::from([key('a')]), vec![]), "{}", place.name);
    }
}

#[test]
fn deleted_blob_is_gone_and_others_stay() {
    for place in places() {
        for digit in ['a', 'b'] {
            place.publish(&key(digit), b"abc");
        }
        place.engine.delete(&key('a')).unwrap();
        assert_eq!((place.read(&key('a'), 0), place.keys()), (None, HashSet::from([key('b')])), "{}", place.name);
        assert_eq!(place.read(&key('b'), 0).unwrap(), b"abc", "{}", place.name);
    }
}

#[test]
fn list_has_each_blob_under_the_first_byte_of_its_key() {
    for place in places() {
        let near: BlobKey = format!("ab{}", "0".repeat(30)).parse().unwrap();
        for key in [key('a'), near.clone(), key('0'), key('f')] {
            place.publish(&key, b"abc");
        }
        let listed = place.engine.list(0xab).unwrap();
        let [ListedBlob { key: found, size: 3, at }] = &listed[..] else { panic!("{}: {listed:?}", place.name) };
        assert!(*found == near && Timestamp::UNIX_EPOCH < *at && *at < LATER, "{}", place.name);
        assert_eq!(place.keys(), HashSet::from([key('a'), near, key('0'), key('f')]), "{}", place.name);
        assert_eq!(blob_engine::count(&*place.engine).unwrap(), 4, "{}", place.name);
    }
}

#[test]
fn blob_that_is_given_up_leaves_nothing() {
    for place in places() {
        let mut incoming = place.engine.begin(&key('a'), 3).unwrap();
        incoming.write(b"ab").unwrap();
        drop(incoming);
        assert_eq!((place.read(&key('a'), 0), place.remove_unfinished(LATER, true)), (None, 0), "{}", place.name);
    }
}

#[test]
fn machine_that_stops_halfway_leaves_nothing_to_be_seen() {
    for place in places() {
        let key = key('a');
        let mut incoming = place.engine.begin(&key, 3).unwrap();
        incoming.write(b"ab").unwrap();
        mem::forget(incoming);
        assert_eq!((place.read(&key, 0), place.engine.size(&key).unwrap()), (None, None), "{}", place.name);
        assert!(place.keys().is_empty(), "{}", place.name);
        assert_eq!(place.engine.set_aside(slice::from_ref(&key), now()).unwrap(), 0, "{}", place.name);
        let removed = |before, is_dry| place.remove_unfinished(before, is_dry);
        assert_eq!(removed(Timestamp::UNIX_EPOCH, false), 0, "{}: it may still be coming", place.name);
        assert_eq!([removed(LATER, true), removed(LATER, false), removed(LATER, false)], [1, 1, 0], "{}", place.name);
        place.publish(&key, b"abc");
        assert_eq!(place.read(&key, 0).unwrap(), b"abc", "{}", place.name);
        assert_eq!(place.remove_unfinished(LATER, false), 0, "{}: what is published is not unfinished", place.name);
    }
}

#[test]
fn blobs_that_come_together_in_a_new_place_are_all_whole() {
    for place in places() {
        let digits = ['0', '1', '2', '3', '4', '5', '6', '7'];
        thread::scope(|scope| {
            for digit in digits {
                let place = &place;
                scope.spawn(move || place.publish(&key(digit), digit.to_string().repeat(200_000).as_bytes()));
            }
        });
        for digit in digits {
            assert!(
                place.read(&key(digit), 0).unwrap() == digit.to_string().repeat(200_000).as_bytes(),
                "{}",
                place.name
            );
        }
    }
}

/// No two blobs have one key, so an engine may refuse. It never mixes them.
#[test]
fn blobs_that_come_under_one_key_do_not_mix() {
    for place in places() {
        let published = thread::scope(|scope| {
            let publish = |byte: u8| -> bool {
                let Ok(mut incoming) = place.engine.begin(&key('a'), 0) else { return false };
                (0..5).all(|_| incoming.write(&vec![byte; 50_000]).is_ok()) && incoming.publish().is_ok()
            };
            let threads: Vec<_> = (1..=8).map(|byte| scope.spawn(move || publish(byte))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).filter(|is_published| *is_published).count()
        });
        assert!(published > 0, "{}", place.name);
        let found = place.read(&key('a'), 0).unwrap();
        assert!(found.len() == 250_000 && found.iter().all(|byte| *byte == found[0]), "{}", place.name);
        assert_eq!(
            (place.keys(), place.remove_unfinished(LATER, true)),
            (HashSet::from([key('a')]), 0),
            "{}",
            place.name
        );
    }
}

#[test]
fn what_is_moved_aside_is_whole_and_not_served_and_comes_back() {
    for place in places() {
        let (engine, bytes) = (&place.engine, content(120_000));
        for digit in ['a', 'b'] {
            place.publish(&key(digit), &bytes);
        }
        assert_eq!(engine.set_aside(&[key('a')], now()).unwrap(), 1, "{}", place.name);
        assert_eq!((place.read(&key('a'), 0), place.keys()), (None, HashSet::from([key('b')])), "{}", place.name);
        assert_eq!(engine.size(&key('a')).unwrap(), Some(120_000), "{}: it is not lost", place.name);
        let aside = ListedBlob { key: key('a'), size: 120_000, at: now() };
        assert_eq!(place.quarantined(), [aside], "{}", place.name);
        let put_back = || engine.put_back(&key('a')).unwrap();
        assert_eq!([put_back(), put_back()], [PutBack::Moved, PutBack::IsThere], "{}", place.name);
        assert!(place.read(&key('a'), 0).unwrap() == bytes && place.quarantined().is_empty(), "{}", place.name);
    }
}

#[test]
fn what_is_in_quarantine_is_read_and_stays_there() {
    for place in places() {
        let (engine, bytes) = (&place.engine, content(120_000));
        place.publish(&key('a'), &bytes);
        assert!(engine.open_quarantined(&key('a')).unwrap().is_none(), "{}: it is served", place.name);
        engine.set_aside(&[key('a')], now()).unwrap();
        let mut opened = engine.open_quarantined(&key('a')).unwrap().unwrap();
        let mut found = Vec::new();
        opened.bytes.read_to_end(&mut found).unwrap();
        assert!(opened.size == 120_000 && found == bytes, "{}", place.name);
        assert_eq!((place.read(&key('a'), 0), place.quarantined().len()), (None, 1), "{}", place.name);
    }
}

#[test]
fn note_is_what_was_written_last_and_no_blob() {
    for place in places() {
        let engine = &place.engine;
        assert_eq!((engine.note("letter.json").unwrap(), engine.anything().unwrap()), (None, None), "{}", place.name);
        for text in [&b"{}"[..], b"{\"a\": 1}"] {
            engine.set_note("letter.json", Some(text)).unwrap();
            assert_eq!(engine.note("letter.json").unwrap().as_deref(), Some(text), "{}", place.name);
        }
        assert_eq!(engine.anything().unwrap().as_deref(), Some("letter.json"), "{}", place.name);
        assert!(place.keys().is_empty() && place.quarantined().is_empty(), "{}", place.name);
        assert_eq!((engine.note("other.json").unwrap(), engine.mark().unwrap()), (None, None), "{}", place.name);
        for _ in 0..2 {
            engine.set_note("letter.json", None).unwrap();
            assert_eq!(
                (engine.note("letter.json").unwrap(), engine.anything().unwrap()),
                (None, None),
                "{}",
                place.name
            );
        }
    }
}

#[test]
fn place_with_a_blob_or_a_mark_is_not_empty() {
    for place in places() {
        assert_eq!(place.engine.anything().unwrap(), None, "{}", place.name);
        place.publish(&key('a'), b"abc");
        assert!(place.engine.anything().unwrap().is_some(), "{}", place.name);
    }
    for place in places() {
        place.engine.set_mark(&Mark::random(&SystemRng)).unwrap();
        assert!(place.engine.anything().unwrap().is_some(), "{}", place.name);
    }
}

/// That the disk has what was synced would show only when its power is cut, so no test here proves it.
#[test]
fn folder_that_cannot_be_synced_is_an_error_and_one_that_is_not_there_is_none() {
    for place in places() {
        place.engine.sync().unwrap();
    }
    let folder = scratch();
    let engine = BlobFolder::new(folder.path(), 0);
    fs::write(folder.path().join("blobs"), "no folder").unwrap();
    assert!(matches!(engine.sync(), Err(StoreError::Io(_))));
}

#[test]
fn only_what_was_moved_aside_is_removed_from_quarantine() {
    for place in places() {
        place.publish(&key('a'), b"abc");
        assert!(!place.engine.remove_quarantined(&key('a')).unwrap(), "{}", place.name);
        assert_eq!(place.read(&key('a'), 0).unwrap(), b"abc", "{}", place.name);
        place.engine.set_aside(&[key('a')], now()).unwrap();
        place.engine.delete(&key('a')).unwrap();
        assert_eq!(place.quarantined().len(), 1, "{}: only what is served is deleted", place.name);
        assert!(place.engine.remove_quarantined(&key('a')).unwrap(), "{}", place.name);
        assert_eq!(place.engine.size(&key('a')).unwrap(), None, "{}", place.name);
    }
}

#[test]
fn reading_never_takes_a_deleted_blob_for_a_shorter_one() {
    for place in places() {
        let bytes = content(300_000);
        place.publish(&key('a'), &bytes);
        let mut opened = place.engine.open(&key('a'), 0).unwrap().unwrap();
        place.engine.delete(&key('a')).unwrap();
        let mut found = Vec::new();
        assert!(opened.bytes.read_to_end(&mut found).is_err() || found == bytes, "{}", place.name);
    }
}

#[test]
fn place_has_the_mark_that_it_was_given_last() {
    for place in places() {
        assert_eq!(place.engine.mark().unwrap(), None, "{}", place.name);
        for mark in [Mark::random(&SystemRng), Mark::random(&SystemRng)] {
            place.engine.set_mark(&mark).unwrap();
            assert_eq!(place.engine.mark().unwrap(), Some(mark), "{}", place.name);
        }
        assert!(place.keys().is_empty() && place.quarantined().is_empty(), "{}", place.name);
    }
}

#[test]
fn trying_a_place_leaves_nothing() {
    for place in places() {
        place.engine.probe().unwrap();
        assert!(place.keys().is_empty() && place.remove_unfinished(LATER, true) == 0, "{}", place.name);
    }
}

#[test]
fn folder_and_all_that_is_in_it_is_for_the_account_alone() {
    let scratch = scratch();
    let path = scratch.path().join("documents");
    let folder = BlobFolder::new(&path, 0);
    folder.set_note("letter.json", Some(b"{}")).unwrap();
    let mut incoming = folder.begin(&key('a'), 3).unwrap();
    incoming.write(b"abc").unwrap();
    incoming.publish().unwrap();
    folder.set_aside(&[key('a')], now()).unwrap();
    let mut open = vec![path];
    let (mut folders, mut files) = (0, 0);
    while let Some(path) = open.pop() {
        let metadata = fs::metadata(&path).unwrap();
        let is_folder = metadata.is_dir();
        let wanted = if is_folder { 0o700 } else { 0o600 };
        assert_eq!(metadata.permissions().mode() & 0o777, wanted, "{}", path.display());
        if is_folder {
            folders += 1;
            open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            files += 1;
        }
    }
    assert_eq!((folders, files), (4, 2));
}

#[test]
fn folder_leaves_the_reserve_of_its_disk_and_is_not_made_before_it_has_a_mark() {
    let scratch = scratch();
    let full = BlobFolder::new(scratch.path(), u64::MAX);
    assert!(matches!(full.begin(&key('a'), 0), Err(StoreError::Full(_))));
    let roomy = BlobFolder::new(scratch.path(), 0);
    assert!(matches!(roomy.begin(&key('a'), u64::MAX), Err(StoreError::Full(_))));
    assert_eq!(scratch.path().read_dir().unwrap().count(), 0, "nothing is made for what is refused");
    let absent = BlobFolder::new(scratch.path().join("unmounted"), 0);
    assert_eq!(absent.mark().unwrap(), None);
    assert!(absent.probe().is_err() && absent.quarantined().unwrap().is_empty());
    assert_eq!(blob_engine::count(&absent).unwrap(), 0);
    assert!(!scratch.path().join("unmounted").exists());
    absent.set_mark(&Mark::random(&SystemRng)).unwrap();
    absent.probe().unwrap();
}

#[test]
fn resumable_blob_goes_on_where_it_was_left_and_is_published_under_another_key() {
    for place in places() {
        let (engine, bytes, resumed, published) = (&place.engine, content(120_000), key('a'), key('b'));
        assert_eq!(engine.resumable_size(&resumed).unwrap(), 0, "{}", place.name);
        for (from, to) in [(0, 1), (1, 70_000), (70_000, 70_000), (70_000, 120_000)] {
            let mut part = engine.resume(&resumed, 120_000).unwrap().unwrap();
            assert_eq!(part.at, from as u64, "{}", place.name);
            assert!(engine.resume(&resumed, 120_000).unwrap().is_none(), "{}: one at a time adds to it", place.name);
            part.incoming.write(&bytes[from..to]).unwrap();
            drop(part);
            assert_eq!(engine.resumable_size(&resumed).unwrap(), to as u64, "{}", place.name);
        }
        // It is none of those that are served, swept or taken for unfinished.
        assert_eq!((place.read(&resumed, 0), engine.size(&resumed).unwrap()), (None, None), "{}", place.name);
        assert_eq!((place.keys(), place.remove_unfinished(LATER, true)), (HashSet::new(), 0), "{}", place.name);
        let listed = engine.resumables().unwrap();
        let [ListedBlob { key: found, size: 120_000, at }] = &listed[..] else { panic!("{}: {listed:?}", place.name) };
        assert!(*found == resumed && Timestamp::UNIX_EPOCH < *at && *at < LATER, "{}", place.name);
        let mut opened = engine.open_resumable(&resumed, 70_000).unwrap().unwrap();
        let mut rest = Vec::new();
        opened.bytes.read_to_end(&mut rest).unwrap();
        assert!(opened.size == 120_000 && rest == bytes[70_000..], "{}", place.name);

        assert!(engine.publish_resumable(&resumed, &published).unwrap(), "{}", place.name);
        assert!(place.read(&published, 0).unwrap() == bytes, "{}", place.name);
        // An attempt that comes to nothing leaves it as it was.
        engine.delete(&published).unwrap();
        assert_eq!(engine.resumable_size(&resumed).unwrap(), 120_000, "{}", place.name);
        assert!(engine.publish_resumable(&resumed, &published).unwrap(), "{}", place.name);
        for _ in 0..2 {
            engine.remove_resumable(&resumed).unwrap();
        }
        assert!(place.read(&published, 0).unwrap() == bytes, "{}: what was published stays", place.name);
        assert!(engine.resumables().unwrap().is_empty(), "{}", place.name);
        assert!(!engine.publish_resumable(&resumed, &key('c')).unwrap(), "{}", place.name);
        assert!(engine.open_resumable(&resumed, 0).unwrap().is_none(), "{}", place.name);
    }
}

#[test]
fn resumable_blob_outlasts_a_process_that_ends_while_it_adds_to_it() {
    let folder = scratch();
    let engine = BlobFolder::new(folder.path(), 0);
    let mut part = engine.resume(&key('a'), 3).unwrap().unwrap();
    part.incoming.write(b"ab").unwrap();
    // A process that is killed closes its files, and with them goes the lock.
    drop(part);
    let part = BlobFolder::new(folder.path(), 0).resume(&key('a'), 1).unwrap().unwrap();
    assert_eq!(part.at, 2);
    let path = folder.path().join("resumable").join(key('a').to_string());
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(BlobFolder::new(folder.path(), u64::MAX).resume(&key('b'), 1), Err(StoreError::Full(_))));
}
