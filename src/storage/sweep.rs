//! Moves blobs that no row names into quarantine, never removes them, and puts them back as soon as a row names them again.
//!
//! Such blobs are what a stopped server leaves of an upload, which is rare. They are also what every document looks like to an older
//! copy of the database. So a sweep moves nothing at all when it would be more than a small share; the operator may insist. Only
//! files of uploads that never ended are removed; quarantine is emptied by the operator alone.

use super::{
    BlobKey, Blobs, StoreError,
    blob_engine::{PutBack, ask},
};
use jiff::Timestamp;
use std::collections::HashSet;

/// The number of blobs that are looked up at a time.
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

/// The outcome of a sweep.
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

/// The blobs in quarantine, or those removed from it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quarantined {
    pub blobs: u64,
    pub bytes: u64,
}

impl Blobs {
    /// Puts back what a row names again, then moves aside the blobs that `known` does not return; it is called for some hundreds at a time.
    /// Nothing younger than `older_than` is touched: it may be on its way into a row, here or on another server, so leave more than the
    /// longest upload takes.
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
        let mut orphans = Vec::new();
        for part in 0..=u8::MAX {
            let looked = self.marked(move |engine| {
                let partial = engine.remove_unfinished(part, older_than, is_dry)?;
                Ok((partial, engine.list(part)?))
            });
            let (partial, blobs) = looked.await?;
            swept.blobs += blobs.len() as u64;
            swept.partial += partial;
            let old: Vec<_> = blobs.into_iter().filter(|blob| blob.at < older_than).map(|blob| blob.key).collect();
            for batch in old.chunks(BATCH) {
                let named = known(batch.to_vec()).await?;
                let unnamed = batch.iter().filter(|key| !named.contains(key));
                swept.orphans += unnamed.clone().count() as u64;
                // More than it would move, it need not keep in mind.
                if extent == Extent::Everything || swept.orphans <= MOST {
                    orphans.extend(unnamed.cloned());
                }
            }
        }
        swept.partial += self.remove_forgotten(older_than, is_dry, &mut known).await?;
        if is_dry || (extent == Extent::SmallShare && swept.is_too_much()) {
            return Ok(swept);
        }
        for batch in orphans.chunks(BATCH) {
            swept.moved += self.set_aside(batch.to_vec(), now).await?;
        }
        Ok(swept)
    }

    /// Removes resumable blobs that no upload names and that nobody has added to since `before`: how many. A dry run counts.
    async fn remove_forgotten<F>(
        &self,
        before: Timestamp,
        is_dry: bool,
        known: &mut impl FnMut(Vec<BlobKey>) -> F,
    ) -> Result<u64, StoreError>
    where
        F: Future<Output = Result<HashSet<BlobKey>, StoreError>>,
    {
        let mut old = self.marked(|engine| engine.resumables()).await?;
        old.retain(|blob| blob.at < before);
        let mut removed = 0;
        for batch in old.chunks(BATCH) {
            let named = known(batch.iter().map(|blob| blob.key.clone()).collect()).await?;
            for blob in batch.iter().filter(|blob| !named.contains(&blob.key)) {
                if !is_dry {
                    self.remove_resumable(&blob.key).await?;
                }
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Moves blobs that no row names any more into quarantine.
    pub async fn set_aside(&self, keys: Vec<BlobKey>, now: Timestamp) -> Result<u64, StoreError> {
        // The mark is checked each time: what was unmounted meanwhile is not to be touched.
        self.marked(move |engine| engine.set_aside(&keys, now)).await
    }

    /// The blobs in quarantine.
    pub async fn quarantined(&self) -> Result<Quarantined, StoreError> {
        let mut found = Quarantined::default();
        for blob in ask(&self.engine, |engine| engine.quarantined()).await? {
            found.blobs += 1;
            found.bytes += blob.size;
        }
        Ok(found)
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
        let mut old = self.marked(|engine| engine.quarantined()).await?;
        old.retain(|blob| blob.at < before);
        let mut removed = Quarantined::default();
        for batch in old.chunks(BATCH) {
            let named = known(batch.iter().map(|blob| blob.key.clone()).collect()).await?;
            let unnamed: Vec<_> = batch.iter().filter(|blob| !named.contains(&blob.key)).cloned().collect();
            // The mark is checked each time: what was unmounted meanwhile is not to be touched.
            let gone = self.marked(move |engine| {
                let mut gone = Quarantined::default();
                for blob in unnamed {
                    if is_dry || engine.remove_quarantined(&blob.key)? {
                        gone.blobs += 1;
                        gone.bytes += blob.size;
                    }
                }
                Ok(gone)
            });
            let gone = gone.await?;
            removed.blobs += gone.blobs;
            removed.bytes += gone.bytes;
        }
        Ok(removed)
    }

    /// Puts back what is in quarantine and named by a row: how many blobs.
    async fn put_back<F>(&self, is_dry: bool, known: &mut impl FnMut(Vec<BlobKey>) -> F) -> Result<u64, StoreError>
    where
        F: Future<Output = Result<HashSet<BlobKey>, StoreError>>,
    {
        let all = self.marked(|engine| engine.quarantined()).await?;
        let mut count = 0;
        for batch in all.chunks(BATCH) {
            for key in known(batch.iter().map(|blob| blob.key.clone()).collect()).await? {
                let is_back = is_dry || self.marked(move |engine| engine.put_back(&key)).await? == PutBack::Moved;
                count += u64::from(is_back);
            }
        }
        Ok(count)
    }
}
