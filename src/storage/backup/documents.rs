//! Documents on their way from one folder to another, and what is wrong with one that cannot go.

use super::{
    BackupStep,
    flaw::Flaw,
    layout::{BackupError, at, make_folder, remove_if_there},
};
use crate::{
    domain::id::Sha256,
    storage::{
        BlobKey,
        db::{
            copy::{Hashed, beside, digest_of, sync_folder},
            tables::{Cell, Cells, Column, ColumnKind, Tables},
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

/// A document as its row has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentBytes {
    pub document: String,
    pub proposal: String,
    /// The slot it fills, the party it belongs to where each party hands in its own, and the vault it is sealed to.
    pub place: [String; 3],
    /// None when the row has no key, size or digest that can be one.
    pub bytes: Option<KeptBytes>,
}

/// Where the bytes of a document lie and what they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptBytes {
    pub blob: BlobKey,
    pub size: u64,
    pub sha256: Sha256,
}

/// A document whose bytes could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsound {
    pub document: String,
    pub proposal: String,
    pub fault: String,
}

impl DocumentBytes {
    /// The key of the table `documents`.
    pub const KEY: &[Column] = &[("document_id", ColumnKind::Text)];

    /// The columns that [`DocumentBytes::read`] wants, of the table `documents`.
    pub const COLUMNS: &[Column] = &[
        ("document_id", ColumnKind::Text),
        ("proposal_id", ColumnKind::Text),
        ("blob_key", ColumnKind::Text),
        ("size", ColumnKind::Int),
        ("sha256", ColumnKind::Text),
        ("slot", ColumnKind::Text),
        ("party", ColumnKind::Text),
        ("vault_id", ColumnKind::Text),
    ];

    #[must_use]
    pub fn read(cells: &Cells) -> Self {
        let text = |at: usize| match cells.get(at) {
            Some(Some(Cell::Text(text))) => text.as_str(),
            _ => "",
        };
        let size = match cells.get(3) {
            Some(Some(Cell::Int(size))) => u64::try_from(*size).ok(),
            _ => None,
        };
        let bytes = || Some(KeptBytes { blob: text(2).parse().ok()?, size: size?, sha256: text(4).parse().ok()? });
        let place = [5, 6, 7].map(|at| text(at).to_owned());
        Self { document: text(0).to_owned(), proposal: text(1).to_owned(), place, bytes: bytes() }
    }

    /// What is wrong with its row, or with its bytes in a folder of documents or of backups, if anything. All of them are read.
    #[must_use]
    pub fn fault_in(&self, folder: &Path) -> Option<String> {
        match &self.bytes {
            Some(bytes) => bytes.flaw_in(folder).map(|flaw| bytes.fault(&flaw)),
            None => Some(NO_BYTES.to_owned()),
        }
    }

    fn unsound(&self, fault: String) -> Unsound {
        Unsound { document: self.document.clone(), proposal: self.proposal.clone(), fault }
    }
}

/// What is wrong with a row that says no bytes.
const NO_BYTES: &str = "its row has no key, size and digest of a document";

impl KeptBytes {
    fn fault(&self, flaw: &Flaw) -> String {
        format!("blob {} {flaw}", self.blob)
    }

    /// What is wrong with the bytes in a folder, if anything.
    fn flaw_in(&self, folder: &Path) -> Option<Flaw> {
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

    /// Copies the bytes from one folder to another; how many, 0 if they were there.
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
    pub(super) unsound: Vec<Unsound>,
}

pub(super) async fn copy_documents(
    tables: &Tables,
    from: &Path,
    to: &Path,
    trusts_size: bool,
    progress: &mut dyn FnMut(BackupStep),
) -> Result<CopiedDocuments, BackupError> {
    let mut done = CopiedDocuments::default();
    let mut shards = BTreeSet::new();
    tables
        .each_in_pages("documents", DocumentBytes::KEY, DocumentBytes::COLUMNS, |cells| {
            let document = DocumentBytes::read(&cells);
            done.seen += 1;
            match &document.bytes {
                Some(bytes) => {
                    done.size += bytes.size;
                    match bytes.copy(from, to, trusts_size)? {
                        Ok(copied) => {
                            done.copied += u64::from(copied > 0);
                            done.copied_bytes += copied;
                            // Also of one that was there: the copy that was broken off may not have come to that.
                            shards.extend(live(to, &bytes.blob).parent().map(Path::to_owned));
                        }
                        Err(flaw) => done.unsound.push(document.unsound(bytes.fault(&flaw))),
                    }
                }
                None => done.unsound.push(document.unsound(NO_BYTES.to_owned())),
            }
            let CopiedDocuments { seen, copied, copied_bytes: bytes, .. } = done;
            progress(BackupStep::Documents { seen, copied, bytes });
            Ok::<_, BackupError>(())
        })
        .await?;
    shards.insert(to.join("blobs"));
    for folder in shards.iter().filter(|path| path.exists()) {
        sync_folder(folder)?;
    }
    Ok(done)
}
