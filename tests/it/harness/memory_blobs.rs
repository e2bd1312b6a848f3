//! A second place for ciphertext, in memory: it shows that what is asked of an engine presumes no folder.

use entente::storage::{
    BlobEngine, BlobKey, StoreError,
    blob_engine::{IncomingBlob, ListedBlob, OpenedBlob, PutBack, ResumedBlob},
    mark::Mark,
};
use jiff::Timestamp;
use std::{
    collections::{HashMap, HashSet},
    io::Cursor,
    mem,
    sync::{Arc, Mutex, MutexGuard},
};

/// Blobs in memory, shared by those who clone it.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryBlobs(Arc<Mutex<Contents>>);

#[derive(Debug, Default)]
struct Contents {
    mark: Option<Mark>,
    notes: HashMap<String, Vec<u8>>,
    published: HashMap<BlobKey, Kept>,
    quarantined: HashMap<BlobKey, Kept>,
    /// Of a blob that is being taken, what came. One that is forgotten stays, like a file.
    unfinished: HashMap<u64, (BlobKey, Vec<u8>)>,
    begun: u64,
    resumable: HashMap<BlobKey, Vec<u8>>,
    /// Those that somebody adds to.
    resumed: HashSet<BlobKey>,
}

#[derive(Debug, Clone)]
struct Kept {
    bytes: Arc<[u8]>,
    at: Timestamp,
}

#[derive(Debug)]
struct Incoming {
    place: MemoryBlobs,
    number: u64,
}

#[derive(Debug)]
struct Resumed {
    place: MemoryBlobs,
    key: BlobKey,
}

impl MemoryBlobs {
    /// How many blobs are in it, published or moved aside or unfinished.
    pub(crate) fn count(&self) -> usize {
        let contents = self.contents();
        contents.published.len() + contents.quarantined.len() + contents.unfinished.len() + contents.resumable.len()
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap()
    }
}

/// When everything comes: this engine has no clock.
fn came_at() -> Timestamp {
    "2026-03-01T11:00:00Z".parse().unwrap()
}

fn is_in(part: u8, key: &BlobKey) -> bool {
    key.to_string().starts_with(&format!("{part:02x}"))
}

fn opened(kept: &Kept, from: u64) -> OpenedBlob {
    let size = kept.bytes.len() as u64;
    let mut bytes = Cursor::new(Arc::clone(&kept.bytes));
    bytes.set_position(from);
    OpenedBlob { size, bytes: Box::new(bytes) }
}

fn listed(blobs: &HashMap<BlobKey, Kept>) -> Vec<ListedBlob> {
    let listed =
        |(key, kept): (&BlobKey, &Kept)| ListedBlob { key: key.clone(), size: kept.bytes.len() as u64, at: kept.at };
    blobs.iter().map(listed).collect()
}

impl BlobEngine for MemoryBlobs {
    fn describe(&self) -> String {
        "the memory of this test".to_owned()
    }

    fn mark(&self) -> Result<Option<Mark>, StoreError> {
        Ok(self.contents().mark.clone())
    }

    fn set_mark(&self, mark: &Mark) -> Result<(), StoreError> {
        self.contents().mark = Some(mark.clone());
        Ok(())
    }

    fn note(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.contents().notes.get(name).cloned())
    }

    fn set_note(&self, name: &str, text: Option<&[u8]>) -> Result<(), StoreError> {
        let notes = &mut self.contents().notes;
        notes.remove(name);
        notes.extend(text.map(|text| (name.to_owned(), text.to_owned())));
        Ok(())
    }

    fn anything(&self) -> Result<Option<String>, StoreError> {
        let contents = self.contents();
        let blob = contents.published.keys().chain(contents.quarantined.keys()).map(ToString::to_string).next();
        let note = contents.notes.keys().next().cloned();
        Ok(blob.or(note).or_else(|| contents.mark.as_ref().map(ToString::to_string)))
    }

    fn probe(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn begin(&self, key: &BlobKey, _announced: u64) -> Result<Box<dyn IncomingBlob>, StoreError> {
        let mut contents = self.contents();
        contents.begun += 1;
        let number = contents.begun;
        contents.unfinished.insert(number, (key.clone(), Vec::new()));
        Ok(Box::new(Incoming { place: self.clone(), number }))
    }

    fn resume(&self, key: &BlobKey, _announced: u64) -> Result<Option<ResumedBlob>, StoreError> {
        let mut contents = self.contents();
        if !contents.resumed.insert(key.clone()) {
            return Ok(None);
        }
        let at = contents.resumable.entry(key.clone()).or_default().len() as u64;
        Ok(Some(ResumedBlob { at, incoming: Box::new(Resumed { place: self.clone(), key: key.clone() }) }))
    }

    fn resumable_size(&self, key: &BlobKey) -> Result<u64, StoreError> {
        Ok(self.contents().resumable.get(key).map_or(0, |came| came.len() as u64))
    }

    fn open_resumable(&self, key: &BlobKey, from: u64) -> Result<Option<OpenedBlob>, StoreError> {
        let contents = self.contents();
        let kept = |came: &Vec<u8>| Kept { bytes: came.clone().into(), at: came_at() };
        Ok(contents.resumable.get(key).map(|came| opened(&kept(came), from)))
    }

    fn publish_resumable(&self, key: &BlobKey, as_key: &BlobKey) -> Result<bool, StoreError> {
        let contents = &mut *self.contents();
        let Some(came) = contents.resumable.get(key) else { return Ok(false) };
        let kept = Kept { bytes: came.clone().into(), at: came_at() };
        contents.published.insert(as_key.clone(), kept);
        Ok(true)
    }

    fn remove_resumable(&self, key: &BlobKey) -> Result<(), StoreError> {
        self.contents().resumable.remove(key);
        Ok(())
    }

    fn resumables(&self) -> Result<Vec<ListedBlob>, StoreError> {
        let contents = self.contents();
        let listed =
            |(key, came): (&BlobKey, &Vec<u8>)| ListedBlob { key: key.clone(), size: came.len() as u64, at: came_at() };
        Ok(contents.resumable.iter().map(listed).collect())
    }

    fn open(&self, key: &BlobKey, from: u64) -> Result<Option<OpenedBlob>, StoreError> {
        Ok(self.contents().published.get(key).map(|kept| opened(kept, from)))
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn size(&self, key: &BlobKey) -> Result<Option<u64>, StoreError> {
        let contents = self.contents();
        let found = contents.published.get(key).or_else(|| contents.quarantined.get(key));
        Ok(found.map(|kept| kept.bytes.len() as u64))
    }

    fn delete(&self, key: &BlobKey) -> Result<(), StoreError> {
        self.contents().published.remove(key);
        Ok(())
    }

    fn list(&self, part: u8) -> Result<Vec<ListedBlob>, StoreError> {
        let mut blobs = listed(&self.contents().published);
        blobs.retain(|blob| is_in(part, &blob.key));
        Ok(blobs)
    }

    fn remove_unfinished(&self, part: u8, before: Timestamp, is_dry: bool) -> Result<u64, StoreError> {
        let mut removed = 0;
        self.contents().unfinished.retain(|_, (key, _)| {
            let is_old = is_in(part, key) && came_at() < before;
            removed += u64::from(is_old);
            !is_old || is_dry
        });
        Ok(removed)
    }

    fn set_aside(&self, keys: &[BlobKey], now: Timestamp) -> Result<u64, StoreError> {
        let (contents, mut moved) = (&mut *self.contents(), 0);
        for key in keys {
            if let Some(kept) = contents.published.remove(key) {
                contents.quarantined.insert(key.clone(), Kept { at: now, ..kept });
                moved += 1;
            }
        }
        Ok(moved)
    }

    fn open_quarantined(&self, key: &BlobKey) -> Result<Option<OpenedBlob>, StoreError> {
        Ok(self.contents().quarantined.get(key).map(|kept| opened(kept, 0)))
    }

    fn put_back(&self, key: &BlobKey) -> Result<PutBack, StoreError> {
        let contents = &mut *self.contents();
        if contents.published.contains_key(key) {
            return Ok(PutBack::IsThere);
        }
        let Some(kept) = contents.quarantined.remove(key) else { return Ok(PutBack::IsNowhere) };
        contents.published.insert(key.clone(), kept);
        Ok(PutBack::Moved)
    }

    fn quarantined(&self) -> Result<Vec<ListedBlob>, StoreError> {
        Ok(listed(&self.contents().quarantined))
    }

    fn remove_quarantined(&self, key: &BlobKey) -> Result<bool, StoreError> {
        Ok(self.contents().quarantined.remove(key).is_some())
    }
}

impl IncomingBlob for Incoming {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if let Some((_, came)) = self.place.contents().unfinished.get_mut(&self.number) {
            came.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn publish(self: Box<Self>) -> Result<(), StoreError> {
        let contents = &mut *self.place.contents();
        if let Some((key, came)) = contents.unfinished.get_mut(&self.number) {
            let kept = Kept { bytes: mem::take(came).into(), at: came_at() };
            contents.published.insert(key.clone(), kept);
        }
        Ok(())
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.place.contents().unfinished.remove(&self.number);
    }
}

impl IncomingBlob for Resumed {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if let Some(came) = self.place.contents().resumable.get_mut(&self.key) {
            came.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn publish(self: Box<Self>) -> Result<(), StoreError> {
        unreachable!("a resumable blob is published by its engine")
    }
}

impl Drop for Resumed {
    fn drop(&mut self) {
        self.place.contents().resumed.remove(&self.key);
    }
}
