//! What is done about blobs that no row names: they are moved aside into quarantine, never removed, and put back as soon as a row names
//! them again.
//!
//! Such blobs are what a stopped server leaves of an upload, which is rare. They are also what every document looks like to an older
//! copy of the database. So a sweep moves nothing at all when it would be more than a small share; the operator may insist. Only
//! files of uploads that never ended are removed; quarantine is emptied by the operator alone.

use super::{
    BlobKey, Blobs, StoreError,
    blocking::blocking,
    folder::{self, PutBack, QUARANTINE, absent},
    intake::{PARTIAL, create_folder, sync_folder},
    mark::MarkedFolder,
};
use jiff::Timestamp;
use std::{
    collections::HashSet,
    fs::{self, File},
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// How many blobs are asked about at a time.
const BATCH: usize = 500;

/// A sweep moves no more than one blob in so many, rounded up.
pub const SHARE: u64 = 20;

/// Nor more than this many.
pub const MOST: u64 = 10_000;

/// How far a sweep goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// It counts and changes nothing.
    DryRun,
    /// It moves a small share, or nothing.
    SmallShare,
    /// It moves whatever no row names: the operator insists.
    Everything,
}

/// What a sweep found and did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Blobs in the folder, but for those in quarantine.
    pub blobs: u64,
    /// Those that no row names and that are old enough.
    pub orphans: u64,
    /// Those that were moved into quarantine.
    pub moved: u64,
    /// Blobs in quarantine that a row names; they were put back, but for a dry run.
    pub named_again: u64,
    /// Files of uploads that never ended; they were removed, but for a dry run.
    pub partial: u64,
}

impl Swept {
    /// How many blobs a sweep moves at most.
    #[must_use]
    pub fn most(&self) -> u64 {
        self.blobs.div_ceil(SHARE).min(MOST)
    }

    /// Whether more blobs are without a row than a sweep moves by itself.
    #[must_use]
    pub fn is_too_much(&self) -> bool {
        self.orphans > self.most()
    }
}

/// What is in quarantine, or was removed from it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quarantined {
    pub blobs: u64,
    pub bytes: u64,
}

impl Blobs {
    /// Puts back what a row names again, then moves aside the blobs that `known`, asked for some hundreds at a time, does not return.
    /// Nothing younger than `older_than` is touched: it may be on its way into a row, here or on another server, so leave more than
    /// the longest upload takes.
    pub async fn sweep<F>(
        &self,
        now: Timestamp,
        older_than: Timestamp,
        extent: Extent,
        mut known: impl FnMut(Vec<BlobKey>) -> F,
    ) -> Result<Swept, StoreError>
    where
        F: Future<Output = Result<HashSet<BlobKey>, StoreError>>,
    {
        self.check_mark().await?;
        let is_dry = extent == Extent::DryRun;
        let mut swept = Swept { named_again: self.put_back(is_dry, &mut known).await?, ..Swept::default() };
        let folder = self.folder().to_owned();
        let mut orphans = Vec::new();
        for shard in blocking(move || folder::shards(&folder)).await? {
            let marked = Arc::clone(&self.marked);
            let looked = blocking(move || look(&marked, &shard, older_than, is_dry)).await?;
            swept.blobs += looked.blobs;
            swept.partial += looked.partial;
            for batch in looked.old.chunks(BATCH) {
                let named = known(batch.to_vec()).await?;
                let unnamed = batch.iter().filter(|key| !named.contains(key));
                swept.orphans += unnamed.clone().count() as u64;
                // More than it would move, it need not keep in mind.
                if extent == Extent::Everything || swept.orphans <= MOST {
                    orphans.extend(unnamed.cloned());
                }
            }
        }
        if is_dry || (extent == Extent::SmallShare && swept.is_too_much()) {
            return Ok(swept);
        }
        for batch in orphans.chunks(BATCH) {
            // Each time: what was unmounted meanwhile is not to be touched.
            self.check_mark().await?;
            let (folder, batch) = (self.folder().to_owned(), batch.to_vec());
            swept.moved += blocking(move || move_aside(&folder, &batch, now)).await?;
        }
        Ok(swept)
    }

    /// Moves blobs that no row names any more into quarantine.
    pub async fn set_aside(&self, keys: Vec<BlobKey>, now: Timestamp) -> Result<u64, StoreError> {
        self.check_mark().await?;
        let folder = self.folder().to_owned();
        blocking(move || move_aside(&folder, &keys, now)).await
    }

    /// Moves a blob from quarantine to where it is served from.
    pub(super) async fn put_back_one(&self, key: &BlobKey) -> Result<PutBack, StoreError> {
        let (marked, key) = (Arc::clone(&self.marked), key.clone());
        blocking(move || {
            marked.check()?;
            put_back(&marked.folder, &key)
        })
        .await
    }

    /// What is in quarantine.
    pub async fn quarantined(&self) -> Result<Quarantined, StoreError> {
        let folder = self.folder().to_owned();
        blocking(move || {
            let mut found = Quarantined::default();
            for_each_quarantined(&folder, |_, metadata| {
                found.blobs += 1;
                found.bytes += metadata.len();
                Ok(())
            })?;
            Ok(found)
        })
        .await
    }

    /// Removes for good what has been in quarantine since before `before` and no row names. A dry run counts.
    pub async fn empty_quarantine<F>(
        &self,
        before: Timestamp,
        is_dry: bool,
        mut known: impl FnMut(Vec<BlobKey>) -> F,
    ) -> Result<Quarantined, StoreError>
    where
        F: Future<Output = Result<HashSet<BlobKey>, StoreError>>,
    {
        self.check_mark().await?;
        let folder = self.folder().to_owned();
        let old = blocking(move || {
            let mut old = Vec::new();
            for_each_quarantined(&folder, |key, metadata| {
                if Timestamp::try_from(metadata.modified()?).is_ok_and(|time| time < before) {
                    old.push((key, metadata.len()));
                }
                Ok(())
            })?;
            Ok(old)
        });
        let mut removed = Quarantined::default();
        for batch in old.await?.chunks(BATCH) {
            let named = known(batch.iter().map(|(key, _)| key.clone()).collect()).await?;
            // Each time: what was unmounted meanwhile is not to be touched.
            self.check_mark().await?;
            for (key, bytes) in batch.iter().filter(|(key, _)| !named.contains(key)) {
                let place = folder::quarantined(self.folder(), key);
                if is_dry || blocking(move || Ok(absent(fs::remove_file(place))?.is_some())).await? {
                    removed.blobs += 1;
                    removed.bytes += bytes;
                }
            }
        }
        Ok(removed)
    }

    /// Puts back what is in quarantine and named by a row: how many blobs.
    async fn put_back<F>(&self, is_dry: bool, known: &mut impl FnMut(Vec<BlobKey>) -> F) -> Result<u64, StoreError>
    where
        F: Future<Output = Result<HashSet<BlobKey>, StoreError>>,
    {
        let folder = self.folder().to_owned();
        let all = blocking(move || {
            let mut all = Vec::new();
            for_each_quarantined(&folder, |key, _| {
                all.push(key);
                Ok(())
            })?;
            Ok(all)
        });
        let mut count = 0;
        for batch in all.await?.chunks(BATCH) {
            for key in known(batch.to_vec()).await? {
                count += u64::from(is_dry || self.put_back_one(&key).await? == PutBack::Moved);
            }
        }
        Ok(count)
    }
}

/// What is in one folder of blobs.
#[derive(Debug, Default)]
struct Looked {
    blobs: u64,
    /// Those that are older than what is left alone.
    old: Vec<BlobKey>,
    partial: u64,
}

/// Looks at one folder of blobs and removes files of uploads that never ended, but for a dry run.
fn look(marked: &MarkedFolder, shard: &Path, older_than: Timestamp, is_dry: bool) -> Result<Looked, StoreError> {
    let mut looked = Looked::default();
    let mut unfinished = Vec::new();
    folder::for_each(shard, |file| {
        let is_partial = file.file_name().as_encoded_bytes().contains(&PARTIAL);
        let key = folder::key(file);
        if !is_partial && key.is_none() {
            return Ok(());
        }
        let Some(metadata) = absent(file.metadata())? else { return Ok(()) };
        let is_old = Timestamp::try_from(metadata.modified()?).is_ok_and(|time| time < older_than);
        looked.blobs += u64::from(key.is_some());
        looked.old.extend(key.filter(|_| is_old));
        if is_partial && is_old {
            unfinished.push(file.path());
        }
        Ok(())
    })?;
    if !is_dry && !unfinished.is_empty() {
        marked.check()?;
    }
    for file in unfinished {
        looked.partial += u64::from(is_dry || absent(fs::remove_file(file))?.is_some());
    }
    Ok(looked)
}

/// Moves blobs into quarantine, each marked with the time of its move; how many were there.
fn move_aside(folder: &Path, keys: &[BlobKey], now: Timestamp) -> Result<u64, StoreError> {
    create_folder(&folder.join(QUARANTINE))?;
    let millis = u64::try_from(now.as_millisecond()).expect("the clock stands after 1970");
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
    let mut moved = 0;
    for key in keys {
        let place = folder::live(folder, key);
        let Some(file) = absent(File::open(&place))? else { continue };
        // Before the move: what stays behind if the machine stops is a young blob without a row.
        file.set_modified(now)?;
        moved += u64::from(absent(fs::rename(place, folder::quarantined(folder, key)))?.is_some());
    }
    sync_folder(&folder.join(QUARANTINE))?;
    Ok(moved)
}

fn put_back(folder: &Path, key: &BlobKey) -> Result<PutBack, StoreError> {
    let (from, to) = (folder::quarantined(folder, key), folder::live(folder, key));
    let is_there = || Ok::<_, StoreError>(absent(fs::metadata(&to))?.is_some());
    if is_there()? {
        return Ok(PutBack::IsThere);
    }
    if absent(fs::metadata(&from))?.is_some() {
        let shard = to.parent().expect("a blob lies in a folder");
        create_folder(shard)?;
        let moved = absent(fs::rename(from, &to))?.is_some();
        sync_folder(shard)?;
        if moved {
            return Ok(PutBack::Moved);
        }
    }
    Ok(if is_there()? { PutBack::IsThere } else { PutBack::IsNowhere })
}

fn for_each_quarantined(
    folder: &Path,
    mut found: impl FnMut(BlobKey, fs::Metadata) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    folder::for_each(&folder.join(QUARANTINE), |file| {
        let Some(key) = folder::key(file) else { return Ok(()) };
        absent(file.metadata())?.map_or(Ok(()), |metadata| found(key, metadata))
    })
}
