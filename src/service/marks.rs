//! The mark that says which folder of documents belongs to which database: how both get it, and how an operator gives them a new one.
//!
//! A mark is made without anybody's help only where it is certain that both belong together: nothing was stored yet, or every
//! document that the database names is in the folder. In every other case the server does not start, since it would answer
//! for documents that it does not have and sweep others that it knows nothing of.
//!
//! The database gets the mark first, unsettled, then the folder, then the database notes that the folder has it. A machine that
//! stops in between goes on from there at its next start; a folder with a mark that its database does not know is another's.

use crate::{
    domain::{ambient::Rng, text::counted},
    storage::{
        BlobEngine, Db, StoreError,
        blob_engine::{self, ask},
        held_blobs,
        mark::{self, DatabaseMark, Mark},
    },
};
use jiff::Timestamp;
use std::sync::Arc;

/// How many documents are looked at a time.
const BATCH: u32 = 500;

/// The documents that a database names and those that a folder has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Survey {
    /// Documents that the database names.
    pub documents: u64,
    /// Those whose file is not there.
    pub missing: u64,
    /// Those whose file has another size.
    pub other_size: u64,
    /// Files that the folder serves from.
    pub files: u64,
    /// Files that no document names.
    pub unknown: u64,
}

impl Survey {
    /// Whether folder and database certainly belong together.
    fn proves(&self) -> bool {
        self.missing == 0 && (self.documents > 0 || self.files == 0)
    }
}

/// Why folder and database are not taken to belong together. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum MarkFault {
    #[error("the database has the mark `{}`, the folder has none", .database.short())]
    FolderUnmarked { database: Mark },
    #[error("the folder has the mark `{}`, the database has none", .folder.short())]
    DatabaseUnmarked { folder: Mark },
    #[error("the database has the mark `{}`, the folder has the mark `{}`", .database.short(), .folder.short())]
    Different { database: Mark, folder: Mark },
    #[error(
        "neither has a mark: the database names {}, {} of them not in the folder; the folder has {}, {} of them of no document",
        counted(.0.documents, "document", "documents"), .0.missing, counted(.0.files, "file", "files"), .0.unknown
    )]
    Unproven(Survey),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl MarkFault {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::FolderUnmarked { .. } => {
                "mount the disk with the documents of this database, or put the folder back from the backup of the same day"
            }
            Self::DatabaseUnmarked { .. } | Self::Different { .. } => {
                "set `database.url` and `blobs.folder` to a pair that belongs together, or restore both from one backup"
            }
            Self::Unproven(_) => "check that `database.url` and `blobs.folder` are those of one exchange",
            Self::Store(_) => "see the cause",
        }
    }
}

/// Why a start would not take this folder for the database's, as far as the marks alone show.
pub fn compare(database: Option<DatabaseMark>, folder: Option<Mark>) -> Result<(), MarkFault> {
    match (database, folder) {
        (Some(DatabaseMark { mark, .. }), Some(folder)) if mark != folder => {
            Err(MarkFault::Different { database: mark, folder })
        }
        (Some(DatabaseMark { mark, is_settled: true }), None) => Err(MarkFault::FolderUnmarked { database: mark }),
        (None, Some(folder)) => Err(MarkFault::DatabaseUnmarked { folder }),
        _ => Ok(()),
    }
}

/// The mark that database and folder have in common; made now if this is their beginning.
///
/// # Errors
/// Every [`MarkFault`]; nothing is made or changed then.
pub async fn settle(db: &Db, blobs: &Arc<dyn BlobEngine>, rng: &dyn Rng, now: Timestamp) -> Result<Mark, MarkFault> {
    let known = of_database(db).await?;
    // Read after that of the database: another server that starts now gives the folder its mark second.
    match (known, ask(blobs, |blobs| blobs.mark()).await?) {
        (Some(DatabaseMark { mark, is_settled }), Some(found)) if mark == found => {
            if !is_settled {
                note(db, &mark, now).await?;
            }
            Ok(mark)
        }
        (Some(DatabaseMark { mark, .. }), Some(found)) => Err(MarkFault::Different { database: mark, folder: found }),
        (Some(DatabaseMark { mark, is_settled: true }), None) => Err(MarkFault::FolderUnmarked { database: mark }),
        (None, Some(found)) => match of_database(db).await? {
            // Another server that started at the same moment gave both their mark in between.
            Some(DatabaseMark { mark, .. }) if mark == found => Ok(mark),
            _ => Err(MarkFault::DatabaseUnmarked { folder: found }),
        },
        (known, None) => {
            let survey = survey(db, blobs).await?;
            if !survey.proves() {
                return Err(MarkFault::Unproven(survey));
            }
            let mark = match known {
                Some(begun) => begun.mark,
                None => begin_once(db, rng, now).await?,
            };
            put(blobs, &mark).await?;
            note(db, &mark, now).await?;
            tracing::info!(mark = mark.short(), documents = survey.documents, "database and documents were marked");
            Ok(mark)
        }
    }
}

/// Gives database and folder a new mark in common, whatever they had: the operator says that they belong together. A copy of either
/// that has an earlier mark is no longer taken for this one's.
pub async fn adopt(db: &Db, blobs: &Arc<dyn BlobEngine>, rng: &dyn Rng, now: Timestamp) -> Result<Mark, StoreError> {
    let mark = Mark::random(rng);
    let mut tx = db.write().await?;
    mark::begin(&mut tx, &mark, now).await?;
    tx.commit().await?;
    put(blobs, &mark).await?;
    note(db, &mark, now).await?;
    Ok(mark)
}

/// The mark of a database.
pub async fn of_database(db: &Db) -> Result<Option<DatabaseMark>, StoreError> {
    mark::of_database(&mut *db.read().await?).await
}

/// Counts what the database names and what the folder has. Each file is looked at, none is read.
pub async fn survey(db: &Db, blobs: &Arc<dyn BlobEngine>) -> Result<Survey, StoreError> {
    let mut survey = Survey::default();
    let mut after = None;
    loop {
        let held = held_blobs::next(&mut *db.read().await?, after.as_ref(), BATCH).await?;
        let Some(last) = held.last() else { break };
        after = Some(last.key().clone());
        let keys: Vec<_> = held.iter().map(|held| held.key().clone()).collect();
        let sizes = ask(blobs, move |blobs| keys.iter().map(|key| blobs.size(key)).collect::<Result<Vec<_>, _>>());
        for (held, found) in held.iter().zip(sizes.await?) {
            survey.documents += 1;
            survey.missing += u64::from(found.is_none());
            survey.other_size += u64::from(found.is_some_and(|size| size != held.stored().size));
        }
    }
    survey.files = ask(blobs, blob_engine::count).await?;
    survey.unknown = survey.files.saturating_sub(survey.documents - survey.missing);
    Ok(survey)
}

/// Gives the database a mark, unless another server that started at the same moment just did.
async fn begin_once(db: &Db, rng: &dyn Rng, now: Timestamp) -> Result<Mark, StoreError> {
    let mut tx = db.write().await?;
    if let Some(begun) = mark::of_database(&mut tx).await? {
        return Ok(begun.mark);
    }
    let mark = Mark::random(rng);
    mark::begin(&mut tx, &mark, now).await?;
    tx.commit().await?;
    Ok(mark)
}

async fn put(blobs: &Arc<dyn BlobEngine>, mark: &Mark) -> Result<(), StoreError> {
    let mark = mark.clone();
    ask(blobs, move |blobs| blobs.set_mark(&mark)).await
}

async fn note(db: &Db, mark: &Mark, now: Timestamp) -> Result<(), StoreError> {
    let mut tx = db.write().await?;
    mark::settle(&mut tx, mark, now).await?;
    tx.commit().await
}
