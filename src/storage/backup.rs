//! Backups: a folder that holds one copy of each document and, for each backup that was taken into it, a copy of the database with
//! a manifest that says what belongs to it.
//!
//! ```text
//! DIR/entente-backups              says that the folder is one of these
//! DIR/blobs/3f/3f…                 documents, each once, as a folder of documents has them
//! DIR/000002-2026-11-28T051451Z/   a backup: the database's files and manifest.json
//! DIR/unfinished/                  one that is being taken, or was broken off
//! ```
//!
//! The database is copied first, as one snapshot, then the documents that the rows of that copy name: what was dropped
//! meanwhile lies in quarantine and is looked for there, too, so every one of them is still there. A backup gets its name as
//! the last thing; what has a name is whole. A document that is there already is not copied again, so a second backup into the
//! same folder takes what is new.
//!
//! A restore goes the other way: documents, then database, then the mark that both have in common, a new one, so that neither
//! is taken for a part of what was there before. A file in the folder of documents says that it is not done; servers do not
//! start then, and the same command goes on.
//!
//! A backup holds everything that the host can see and nothing that opens a document. Folders are for the account alone.

mod documents;
mod flaw;
mod layout;
mod notes;
mod state;

pub use documents::Unsound;
pub use flaw::Flaw;
pub use layout::{BackupError, BackupManifest};
pub use notes::{BackupNote, last_backup, refuse_half_restored, restored_from};
pub use state::{DatabaseState, state_of};

use self::{
    documents::{CopiedDocuments, copy_documents},
    layout::{FORMAT, MANIFEST, SIGN, UNFINISHED, apart, at, choose, make_folder, names, of_this_host, prepare},
    notes::{LAST, RESTORED, RESTORING, Restoring, json},
};
use super::{
    BlobEngine, BlobFolder, PostgresLimits, StoreError,
    blob_engine::ask,
    db::{
        copy::{self, digest_of, sync_folder},
        schema,
        tables::Tables,
    },
    folder::write_whole,
    mark::{self, Mark},
    migrate,
};
use crate::domain::{
    ambient::{Clock, Rng},
    id::PartnerCode,
};
use jiff::Timestamp;
use std::{
    fs::{self, File},
    path::Path,
    sync::Arc,
};

/// How far a backup or restore is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupStep {
    /// Bytes of the database that were written.
    Database(u64),
    /// Documents that were looked at and copied, and the bytes of the latter.
    Documents { seen: u64, copied: u64, bytes: u64 },
}

/// The place of a database and its documents.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    pub database_url: &'a str,
    pub blobs: &'a Arc<dyn BlobEngine>,
    pub host: &'a PartnerCode,
    /// How long PostgreSQL may take.
    pub limits: PostgresLimits,
}

/// The outcome of a backup or restore.
#[derive(Debug)]
pub struct BackupOutcome {
    pub name: String,
    pub manifest: BackupManifest,
    /// The instant of its state: not later than the backup, and earlier where the copied database was older.
    pub is_of: Timestamp,
    /// Documents whose bytes could not be had.
    pub unsound: Vec<Unsound>,
    pub copied: u64,
    pub copied_bytes: u64,
}

impl BackupOutcome {
    fn new(name: String, manifest: BackupManifest, is_of: Timestamp, documents: CopiedDocuments) -> Self {
        let CopiedDocuments { unsound, copied, copied_bytes, .. } = documents;
        Self { name, manifest, is_of, unsound, copied, copied_bytes }
    }

    /// Whether every document is there.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.unsound.is_empty()
    }

    fn note(&self, noted_at: Timestamp) -> BackupNote {
        let BackupManifest { last_entry, last_entry_at, .. } = self.manifest;
        BackupNote { name: self.name.clone(), begun_at: self.is_of, noted_at, last_entry, last_entry_at }
    }
}

/// The documents of a folder of backups: a place like any other.
fn documents_in(folder: &Path) -> Arc<dyn BlobEngine> {
    Arc::new(BlobFolder::new(folder, 0))
}

/// Refuses a folder without backups where others were taken before: its disk is not mounted, or the folder is new.
pub async fn refuse_new_folder(site: Site<'_>, folder: &Path) -> Result<(), BackupError> {
    if folder.join(SIGN).exists() {
        return Ok(());
    }
    last_backup(site.blobs).await?.map_or(Ok(()), |last| Err(BackupError::NewFolder(folder.to_owned(), last.name)))
}

/// Takes a backup into a folder, beside running servers. One that lacks a document is kept, and not noted as the last backup: an operator
/// who watches the age of the last backup notices.
pub async fn take(
    site: Site<'_>,
    folder: &Path,
    clock: &dyn Clock,
    progress: &mut dyn FnMut(BackupStep),
) -> Result<BackupOutcome, BackupError> {
    let _lock = prepare(site, folder)?;
    let unfinished = folder.join(UNFINISHED);
    if unfinished.exists() {
        at(&unfinished, fs::remove_dir_all(&unfinished))?;
    }
    make_folder(&unfinished)?;
    let begun_at = clock.now();
    let database = copy::copy_out((site.database_url, site.limits), &unfinished, &mut |bytes| {
        progress(BackupStep::Database(bytes));
    })
    .await?;
    let tables = Tables::of_copy(&unfinished, &database).await?;
    let state = state_of(&tables).await?;
    let found = ask(site.blobs, |place| place.mark()).await?;
    if state.mark.is_some() && state.mark != found.map(|found| found.to_string()) {
        return Err(BackupError::OtherFolder);
    }
    let documents = copy_documents(&tables, (site.blobs, &documents_in(folder)), true, progress).await?;
    tables.close().await;
    let engine = if copy::sqlite_path(site.database_url)?.is_some() { "sqlite" } else { "postgresql" };
    let is_of = state.is_of(begun_at);
    let manifest = BackupManifest {
        format: FORMAT,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        host: site.host.to_string(),
        engine: engine.to_owned(),
        schema: state.schema,
        mark: state.mark,
        begun_at,
        ended_at: clock.now(),
        last_entry: state.last_entry,
        last_entry_at: state.last_entry_at,
        documents: documents.seen,
        document_bytes: documents.size,
        unsound: documents.unsound.iter().map(|unsound| unsound.document.clone()).collect(),
        database,
    };
    let place = unfinished.join(MANIFEST);
    at(&place, write_whole(&place, &json(&manifest)))?;
    let number = names(folder)?.last().and_then(|name| name.get(..6)?.parse::<u32>().ok()).unwrap_or(0) + 1;
    let name = format!("{number:06}-{}", begun_at.strftime("%Y-%m-%dT%H%M%SZ"));
    at(&unfinished, fs::rename(&unfinished, folder.join(&name)))?;
    sync_folder(folder)?;
    let outcome = BackupOutcome::new(name, manifest, is_of, documents);
    if outcome.is_complete() {
        notes::write(site.blobs, LAST, &outcome.note(outcome.manifest.ended_at)).await?;
    }
    Ok(outcome)
}

/// Puts a backup, the newest unless one is named, into an empty database and an empty folder of documents. Broken off, it goes
/// on when it is repeated.
pub async fn restore(
    site: Site<'_>,
    folder: &Path,
    name: Option<&str>,
    (clock, rng): (&dyn Clock, &dyn Rng),
    progress: &mut dyn FnMut(BackupStep),
) -> Result<BackupOutcome, BackupError> {
    let (_lock, name, manifest) = choose(folder, name)?;
    of_this_host(site, &manifest)?;
    apart(site, folder)?;
    let wanted = if copy::sqlite_path(site.database_url)?.is_some() { "sqlite" } else { "postgresql" };
    if manifest.engine != wanted {
        return Err(BackupError::OtherEngine { found: manifest.engine, wanted });
    }
    let known = migrate::ALL.last().map_or(0, |step| step.version);
    if manifest.schema > known {
        return Err(StoreError::NewerSchema { found: manifest.schema, known }.into());
    }
    let source = folder.join(&name);
    if let Some((file, flaw)) = flaws_of(&source, &manifest).into_iter().next() {
        return Err(BackupError::Damaged(name, file, flaw));
    }
    let there = copy::occupied((site.database_url, site.limits)).await?;
    let (mark, has_database) = match notes::read::<Restoring>(site.blobs, RESTORING).await? {
        Some(begun) if begun.backup != name => return Err(BackupError::OtherRestore(begun.backup)),
        Some(begun) => {
            let mark: Mark = begun.mark.parse()?;
            let has_database = there.is_some() && mark_of(site.database_url).await? == Some(begun.mark);
            (mark, has_database)
        }
        None => {
            if let Some(name) = ask(site.blobs, |place| place.anything()).await? {
                return Err(BackupError::Occupied(format!("`{name}` in the folder of documents")));
            }
            (Mark::random(rng), false)
        }
    };
    if let Some(there) = there
        && !has_database
    {
        return Err(BackupError::Occupied(there));
    }
    let begun = Restoring { backup: name.clone(), mark: mark.to_string() };
    notes::write(site.blobs, RESTORING, &begun).await?;
    let tables = Tables::of_copy(&source, &manifest.database).await?;
    let documents = copy_documents(&tables, (&documents_in(folder), site.blobs), false, progress).await?;
    tables.close().await;
    let now = clock.now();
    if !has_database {
        if let Some(path) = copy::sqlite_path(site.database_url)? {
            make_folder(path.parent().unwrap_or(Path::new(".")))?;
        }
        let finish = async |tx: &mut super::WriteTx| {
            schema::apply_within(tx, migrate::ALL, now).await?;
            mark::begin(tx, &mark, now).await?;
            mark::settle(tx, &mark, now).await
        };
        let target = (site.database_url, site.limits);
        copy::copy_in(target, &source, &manifest.database, (manifest.schema, now), finish).await?;
        progress(BackupStep::Database(manifest.database.iter().map(|file| file.bytes).sum()));
    }
    let begun_at = manifest.begun_at;
    let outcome = BackupOutcome::new(name, manifest, begun_at, documents);
    notes::write(site.blobs, RESTORED, &outcome.note(now)).await?;
    ask(site.blobs, move |place| place.set_mark(&mark)).await?;
    notes::remove(site.blobs, RESTORING).await?;
    Ok(outcome)
}

/// A backup that was opened to be verified; nobody changes the folder meanwhile.
#[derive(Debug)]
pub struct OpenBackup {
    pub name: String,
    pub manifest: BackupManifest,
    pub tables: Tables,
    pub documents: Arc<dyn BlobEngine>,
    /// Files of the database that are not what they were, and why.
    pub flaws: Vec<(String, Flaw)>,
    _lock: File,
}

/// Opens a backup, the newest unless one is named, and reads the files of its database through.
pub async fn open(folder: &Path, name: Option<&str>) -> Result<OpenBackup, BackupError> {
    let (lock, name, manifest) = choose(folder, name)?;
    let source = folder.join(&name);
    let flaws = flaws_of(&source, &manifest);
    let tables = Tables::of_copy(&source, &manifest.database).await?;
    Ok(OpenBackup { name, manifest, tables, documents: documents_in(folder), flaws, _lock: lock })
}

/// The files of a backup's database that are not what they were.
fn flaws_of(folder: &Path, manifest: &BackupManifest) -> Vec<(String, Flaw)> {
    let mut flaws = Vec::new();
    for file in &manifest.database {
        let flaw = match digest_of(&folder.join(&file.name)) {
            Ok((sha256, _)) if sha256 == file.sha256.0 => continue,
            Ok((_, bytes)) if bytes != file.bytes => Flaw::Size(bytes),
            Ok(_) => Flaw::Digest,
            Err(error) => Flaw::Unreadable(error.to_string()),
        };
        flaws.push((file.name.clone(), flaw));
    }
    flaws
}

async fn mark_of(url: &str) -> Result<Option<String>, StoreError> {
    let tables = Tables::In(super::Db::look(url, true).await?);
    let state = state_of(&tables).await;
    tables.close().await;
    Ok(state?.mark)
}
