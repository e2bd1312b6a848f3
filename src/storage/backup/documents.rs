//! Copies documents from one place to another, and reports the fault of one that cannot be copied. It relies only on what every engine
//! promises.

use super::{BackupStep, flaw::Flaw, layout::BackupError};
use crate::storage::{
    BlobEngine, BlobKey, StoreError,
    blob_engine::{OpenedBlob, ask},
    db::tables::Tables,
    held_blobs::{self, DocumentBytes, KeptBytes},
};
use aws_lc_rs::digest;
use jiff::Timestamp;
use std::{
    error::Error as _,
    io::{self, Read as _},
    sync::Arc,
};

/// How much is read at a time.
const CHUNK: usize = 512 << 10;

/// A document whose bytes could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsound {
    pub document: String,
    pub proposal: String,
    pub fault: String,
}

impl DocumentBytes {
    /// The fault of its row, or of its bytes in a place for documents, if any. All bytes are read.
    pub async fn fault_in(&self, place: &Arc<dyn BlobEngine>) -> Result<Option<String>, StoreError> {
        let Some(bytes) = self.bytes.clone() else { return Ok(Some(NO_BYTES.to_owned())) };
        ask(place, move |place| Ok(bytes.flaw_in(place)?.map(|flaw| bytes.fault(&flaw)))).await
    }

    fn unsound(&self, fault: String) -> Unsound {
        Unsound { document: self.document.clone(), proposal: self.proposal.clone(), fault }
    }
}

/// The fault of a row that names no bytes.
const NO_BYTES: &str = "its row has no key, size and digest of a document";

impl KeptBytes {
    fn fault(&self, flaw: &Flaw) -> String {
        format!("blob {} {flaw}", self.blob)
    }

    /// The fault of the bytes in a place, if any.
    fn flaw_in(&self, place: &dyn BlobEngine) -> Result<Option<Flaw>, StoreError> {
        self.read(place, |_| Ok(()))
    }

    /// Hands the bytes in a place on, piece by piece; what is wrong with them, if anything, is known after the last one. Fails only
    /// when they cannot be taken.
    fn read(
        &self,
        place: &dyn BlobEngine,
        mut take: impl FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<Option<Flaw>, StoreError> {
        let OpenedBlob { size, mut bytes } = match found(place, &self.blob) {
            Ok(Some(opened)) => opened,
            Ok(None) => return Ok(Some(Flaw::Missing)),
            Err(error) => return Ok(Some(Flaw::Unreadable(cause(&error)))),
        };
        if size != self.size {
            return Ok(Some(Flaw::Size(size)));
        }
        let (mut hash, mut came, mut chunk) = (digest::Context::new(&digest::SHA256), 0, vec![0; CHUNK]);
        loop {
            match bytes.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => {
                    hash.update(&chunk[..read]);
                    came += read as u64;
                    take(&chunk[..read])?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Ok(Some(Flaw::Unreadable(error.to_string()))),
            }
        }
        let is_same = hash.finish().as_ref() == self.sha256.as_bytes();
        Ok(if came == self.size { (!is_same).then_some(Flaw::Digest) } else { Some(Flaw::Size(came)) })
    }

    /// Copies the bytes from one place to another; how many, 0 if they were there.
    fn copy(
        &self,
        from: &dyn BlobEngine,
        to: &dyn BlobEngine,
        trusts_size: bool,
    ) -> Result<Result<u64, Flaw>, StoreError> {
        let there = to.open(&self.blob, 0)?.map(|there| there.size);
        if there == Some(self.size) && (trusts_size || self.flaw_in(to)?.is_none()) {
            return Ok(Ok(0));
        }
        let mut incoming = to.begin(&self.blob, self.size)?;
        if let Some(flaw) = self.read(from, |piece| incoming.write(piece))? {
            return Ok(Err(flaw));
        }
        if there.is_some() {
            // Other bytes than these: an engine need not take a second blob under one key.
            to.delete(&self.blob)?;
        }
        incoming.publish()?;
        Ok(Ok(self.size))
    }
}

/// A blob of a row: from quarantine too, from where the next sweep would put it back.
fn found(place: &dyn BlobEngine, key: &BlobKey) -> Result<Option<OpenedBlob>, StoreError> {
    if let Some(opened) = place.open(key, 0)? {
        return Ok(Some(opened));
    }
    if let Some(opened) = place.open_quarantined(key)? {
        return Ok(Some(opened));
    }
    // A server may have put it back between the two looks.
    place.open(key, 0)
}

/// The system's message, if any.
pub(super) fn cause(error: &StoreError) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

#[derive(Default)]
pub(super) struct CopiedDocuments {
    pub(super) seen: u64,
    pub(super) size: u64,
    pub(super) copied: u64,
    pub(super) copied_bytes: u64,
    pub(super) unsound: Vec<Unsound>,
}

/// Copies the blobs that rows of the tables hold, those alone whose bytes are not there. A place that is copied to is nobody else's
/// meanwhile. Every byte is safe when this returns.
pub(super) async fn copy_documents(
    tables: &Tables,
    (from, to): (&Arc<dyn BlobEngine>, &Arc<dyn BlobEngine>),
    trusts_size: bool,
    progress: &mut dyn FnMut(BackupStep),
) -> Result<CopiedDocuments, BackupError> {
    // What is left of a copy that was broken off.
    let clear = |to: &dyn BlobEngine| {
        (0..=u8::MAX).try_for_each(|part| to.remove_unfinished(part, Timestamp::MAX, false).map(drop))
    };
    ask(to, clear).await?;
    let mut done = CopiedDocuments::default();
    held_blobs::each_in_pages(tables, async |document| {
        done.seen += 1;
        match document.bytes.clone() {
            Some(bytes) => {
                done.size += bytes.size;
                let from = Arc::clone(from);
                let copy = move |to: &dyn BlobEngine| {
                    let copied = bytes.copy(&*from, to, trusts_size)?;
                    Ok(copied.map_err(|flaw| bytes.fault(&flaw)))
                };
                match ask(to, copy).await? {
                    Ok(copied) => {
                        done.copied += u64::from(copied > 0);
                        done.copied_bytes += copied;
                    }
                    Err(fault) => done.unsound.push(document.unsound(fault)),
                }
            }
            None => done.unsound.push(document.unsound(NO_BYTES.to_owned())),
        }
        let CopiedDocuments { seen, copied, copied_bytes: bytes, .. } = done;
        progress(BackupStep::Documents { seen, copied, bytes });
        Ok::<_, BackupError>(())
    })
    .await?;
    // Also those that were there: the copy that was broken off may not have come to that.
    ask(to, |to| to.sync()).await?;
    Ok(done)
}
