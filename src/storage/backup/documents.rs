//! Documents on their way from one folder to another, and what is wrong with one that cannot go.

use super::{
    BackupStep,
    layout::{BackupError, at, make_folder, remove_if_there},
};
use crate::{
    domain::id::Sha256,
    storage::{
        BlobKey, StoreError,
        db::{
            copy::{Hashed, beside, digest_of, sync_folder},
            tables::{Cell, Cells, ColumnKind, Tables},
        },
        folder::{live, quarantined},
    },
};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

/// What a copy or a folder of documents has of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    Missing,
    /// Another size, this one.
    Size(u64),
    /// Other bytes.
    Digest,
    /// It cannot be read, for this reason.
    Unreadable(String),
}

impl std::fmt::Display for Flaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("is not there"),
            Self::Size(found) => write!(f, "has {found} bytes, another number than when it was stored"),
            Self::Digest => f.write_str("has other bytes than when it was stored"),
            Self::Unreadable(why) => write!(f, "cannot be read: {why}"),
        }
    }
}

/// A document as its row has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentBytes {
    pub document: String,
    pub proposal: String,
    pub blob: BlobKey,
    pub size: u64,
    pub sha256: Sha256,
}

impl DocumentBytes {
    /// The columns that [`DocumentBytes::read`] wants, of the table `documents`.
    pub const COLUMNS: &[(&str, ColumnKind)] = &[
        ("document_id", ColumnKind::Text),
        ("proposal_id", ColumnKind::Text),
        ("blob_key", ColumnKind::Text),
        ("size", ColumnKind::Int),
        ("sha256", ColumnKind::Text),
    ];

    pub fn read(cells: &Cells) -> Result<Self, StoreError> {
        let damaged = || StoreError::corrupt("documents", "documents with key, size and digest");
        match &cells[..] {
            [
                Some(Cell::Text(document)),
                Some(Cell::Text(proposal)),
                Some(Cell::Text(blob)),
                Some(Cell::Int(size)),
                Some(Cell::Text(sha256)),
            ] => Ok(Self {
                document: document.clone(),
                proposal: proposal.clone(),
                blob: blob.parse()?,
                size: u64::try_from(*size).map_err(|_| damaged())?,
                sha256: sha256.parse().map_err(|_| damaged())?,
            }),
            _ => Err(damaged()),
        }
    }

    /// What is wrong with its bytes in a folder of documents or of backups, if anything. All of them are read.
    #[must_use]
    pub fn flaw_in(&self, folder: &Path) -> Option<Flaw> {
        let path = found(folder, &self.blob);
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Some(Flaw::Missing),
            Err(error) => return Some(Flaw::Unreadable(error.to_string())),
            Ok(metadata) if metadata.len() != self.size => return Some(Flaw::Size(metadata.len())),
            Ok(_) => {}
        }
        match digest_of(&path) {
            Ok((sha256, _)) if sha256 == self.sha256 => None,
            Ok(_) => Some(Flaw::Digest),
            Err(error) => Some(Flaw::Unreadable(error.to_string())),
        }
    }

    /// Copies its bytes from one folder to another; how many, 0 if they were there.
    fn copy(&self, from: &Path, to: &Path, trusts_size: bool) -> Result<Result<u64, Flaw>, BackupError> {
        let target = live(to, &self.blob);
        let is_there = fs::metadata(&target).is_ok_and(|metadata| metadata.len() == self.size);
        if is_there && (trusts_size || self.flaw_in(to).is_none()) {
            return Ok(Ok(0));
        }
        let mut source = match File::open(found(from, &self.blob)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Err(Flaw::Missing)),
            Err(error) => return Ok(Err(Flaw::Unreadable(error.to_string()))),
        };
        let folder = target.parent().unwrap_or(to);
        make_folder(folder)?;
        // With the sign by which the sweep knows what was left over.
        let partial = beside(&target, "#1");
        at(&partial, remove_if_there(&partial))?;
        let mut out = Hashed::create(&partial)?;
        let mut chunk = vec![0; 512 << 10];
        let flaw = loop {
            match source.read(&mut chunk) {
                Ok(0) => break None,
                Ok(read) => out.write(&chunk[..read])?,
                Err(error) => break Some(Flaw::Unreadable(error.to_string())),
            }
        };
        let (sha256, size) = out.finish()?;
        let flaw = flaw.or((size != self.size).then_some(Flaw::Size(size)));
        if let Some(flaw) = flaw.or((sha256 != self.sha256).then_some(Flaw::Digest)) {
            at(&partial, remove_if_there(&partial))?;
            return Ok(Err(flaw));
        }
        at(&target, fs::rename(&partial, &target))?;
        Ok(Ok(size))
    }
}

/// Where a blob of a row lies: in quarantine too, from where the next sweep would put it back.
fn found(folder: &Path, key: &BlobKey) -> PathBuf {
    let (live, quarantined) = (live(folder, key), quarantined(folder, key));
    if !live.exists() && quarantined.exists() { quarantined } else { live }
}

#[derive(Default)]
pub(super) struct CopiedDocuments {
    pub(super) seen: u64,
    pub(super) size: u64,
    pub(super) copied: u64,
    pub(super) copied_bytes: u64,
    pub(super) unsound: Vec<(DocumentBytes, Flaw)>,
}

pub(super) async fn copy_documents(
    tables: &Tables,
    from: &Path,
    to: &Path,
    trusts_size: bool,
    progress: &mut dyn FnMut(BackupStep),
) -> Result<CopiedDocuments, BackupError> {
    let mut done = CopiedDocuments::default();
    let mut touched = BTreeSet::new();
    tables
        .each("documents", DocumentBytes::COLUMNS, async |cells| {
            let document = DocumentBytes::read(&cells)?;
            done.seen += 1;
            done.size += document.size;
            match document.copy(from, to, trusts_size)? {
                Ok(0) => {}
                Ok(bytes) => {
                    done.copied += 1;
                    done.copied_bytes += bytes;
                    touched.extend(live(to, &document.blob).parent().map(Path::to_owned));
                }
                Err(flaw) => done.unsound.push((document, flaw)),
            }
            let CopiedDocuments { seen, copied, copied_bytes: bytes, .. } = done;
            progress(BackupStep::Documents { seen, copied, bytes });
            Ok::<_, BackupError>(())
        })
        .await?;
    for folder in touched.iter().map(PathBuf::as_path).chain([to.join("blobs").as_path()]).filter(|path| path.exists())
    {
        sync_folder(folder)?;
    }
    Ok(done)
}
