//! Verifies that nothing was changed in the database, the bytes of documents and the signed statements.
//!
//! It verifies a running exchange or a backup, from rows and bytes alone: no key opens anything here. A signature counts when it is by a
//! key that some key card of the member it is said to be by names, and a key card when a registrar of its partner, of today or of an
//! earlier partner card in the log, signed it. A statement must say what the columns beside it say, and versions, labels and decisions what
//! their signatures are under; every party member has signed that they joined. Whether the member might say so was decided when it was
//! said.
//!
//! All rows are read as one state, so that what is written meanwhile is no damage, and documents after that, since a row never
//! loses its document. Nothing is open in the database while their bytes are read.
//!
//! Looks only: nothing is fixed here, and a fault does not end the look. What it cannot see: rows that were removed whole and
//! that nothing else names, the end of the log among them, and whatever was replaced together with the partner cards.

mod cards;
mod members;
mod signed;
mod versions;

use self::{
    signed::{SIGNED, Signatures},
    versions::Complete,
};
use super::Result;
use crate::{
    domain::{id::Sha256, text::counted},
    storage::{
        BlobEngine, StoreError,
        backup::{DatabaseState, state_of},
        db::tables::{Cell, Cells, Column, Tables},
        held_blobs, migrate,
    },
};
use std::{collections::HashSet, sync::Arc};

/// Something that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The damaged thing: a document with its proposal, a row with its key.
    pub what: String,
    /// The fault.
    pub fault: String,
}

/// A step of a verification, reported while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerificationEvent {
    Found(Finding),
    /// Documents that were read, and their bytes.
    Documents {
        read: u64,
        bytes: u64,
    },
    /// Statements that were verified.
    Statements(u64),
}

/// The counts of a verification.
#[derive(Debug, Default)]
pub struct VerificationCounts {
    pub state: DatabaseState,
    pub documents: u64,
    pub document_bytes: u64,
    pub statements: u64,
    pub findings: u64,
}

/// Looks through tables and the place with the documents that go with them.
pub async fn verify(
    tables: &Tables,
    place: &Arc<dyn BlobEngine>,
    hear: &mut dyn FnMut(VerificationEvent),
) -> Result<VerificationCounts> {
    let mut verifier = Verifier { tables, report: Report { hear, verified: VerificationCounts::default() } };
    verifier.database().await?;
    let complete = verifier.rows().await?;
    verifier.documents(place, &complete).await?;
    Ok(verifier.report.verified)
}

struct Verifier<'a> {
    tables: &'a Tables,
    report: Report<'a>,
}

/// The findings so far, and their listener.
struct Report<'a> {
    hear: &'a mut dyn FnMut(VerificationEvent),
    verified: VerificationCounts,
}

impl Report<'_> {
    fn found(&mut self, what: impl Into<String>, fault: impl Into<String>) {
        self.verified.findings += 1;
        (self.hear)(VerificationEvent::Found(Finding { what: what.into(), fault: fault.into() }));
    }

    /// A statement was verified, whatever came of it.
    fn statement(&mut self) {
        self.verified.statements += 1;
        (self.hear)(VerificationEvent::Statements(self.verified.statements));
    }

    fn document(&mut self, bytes: u64) {
        self.verified.documents += 1;
        self.verified.document_bytes += bytes;
        let VerificationCounts { documents: read, document_bytes: bytes, .. } = self.verified;
        (self.hear)(VerificationEvent::Documents { read, bytes });
    }
}

impl Verifier<'_> {
    async fn database(&mut self) -> Result<()> {
        for fault in self.tables.engine_check().await? {
            self.report.found("the database", fault);
        }
        let state = state_of(self.tables).await?;
        let known = migrate::ALL.last().map_or(0, |step| step.version);
        if state.schema > known {
            return Err(StoreError::NewerSchema { found: state.schema, known }.into());
        }
        if state.entries != state.last_entry {
            let missing = state.last_entry.abs_diff(state.entries);
            let missing = counted(missing, "entry is", "entries are");
            let fault = format!("{missing} missing: the last one is number {}", state.last_entry);
            self.report.found("the log", fault);
        }
        self.report.verified.state = state;
        Ok(())
    }

    /// All that rows show; the versions whose documents must be there.
    async fn rows(&mut self) -> Result<Vec<Complete>> {
        let tables = self.tables;
        let mut snapshot = tables.snapshot().await?;
        let pins = self.cards(&mut snapshot).await?;
        let mut signatures = Signatures::default();
        for column in SIGNED {
            self.signed(&mut snapshot, column, &pins, &mut signatures).await?;
        }
        self.members(&mut snapshot).await?;
        self.texts(&mut snapshot).await?;
        let funders = self.funders(&mut snapshot).await?;
        self.decisions(&mut snapshot, &signatures, &funders).await?;
        self.versions(&mut snapshot, &signatures).await
    }

    /// Reads every document's bytes; what complete versions name must be among them.
    async fn documents(&mut self, place: &Arc<dyn BlobEngine>, complete: &[Complete]) -> Result<()> {
        let (mut held, report) = (HashSet::new(), &mut self.report);
        held_blobs::each_in_pages(self.tables, async |document| {
            if let Some(fault) = document.fault_in(place).await? {
                report.found(format!("document {} of proposal {}", document.document, document.proposal), fault);
            }
            let bytes = document.bytes.as_ref();
            let place = document.place.each_ref().map(String::as_str);
            held.extend(bytes.map(|bytes| document_key(&document.proposal, place, &bytes.sha256, bytes.size)));
            report.document(bytes.map_or(0, |bytes| bytes.size));
            Ok::<_, StoreError>(())
        })
        .await?;
        for version in complete {
            let gone = version.documents.iter().filter(|named| !held.contains(*named)).count();
            if gone > 0 {
                self.report.found(
                    &*version.what,
                    format!("{gone} of the documents that it names have no row that says the same"),
                );
            }
        }
        Ok(())
    }
}

/// The fields by which versions name documents, packed: proposal, slot, party, vault, digest and size.
fn document_key(proposal: &str, [slot, party, vault]: [&str; 3], sha256: &Sha256, size: u64) -> Sha256 {
    Sha256::of(format!("{proposal} {slot} {party} {vault} {sha256} {size}").as_bytes())
}

/// A row whose columns are read by name.
struct Named<'a> {
    columns: &'a [Column],
    cells: &'a Cells,
}

impl Named<'_> {
    fn cell(&self, name: &str) -> Option<&Cell> {
        let at = self.columns.iter().position(|(column, _)| *column == name)?;
        self.cells.get(at)?.as_ref()
    }

    /// The text in a column; empty where there is none.
    fn text(&self, name: &str) -> &str {
        match self.cell(name) {
            Some(Cell::Text(text)) => text,
            _ => "",
        }
    }

    /// The number in a column; 0 where there is none.
    fn int(&self, name: &str) -> i64 {
        match self.cell(name) {
            Some(Cell::Int(value)) => *value,
            _ => 0,
        }
    }

    /// Whether a column holds the digest of another.
    fn has_digest(&self, content: &str, digest: &str) -> bool {
        Sha256::of(self.text(content).as_bytes()).to_string() == self.text(digest)
    }

    /// The key in words.
    fn key(&self, key: &[Column]) -> String {
        let shown = |(name, _): &Column| match self.cell(name) {
            Some(Cell::Text(text)) => text.clone(),
            Some(Cell::Int(value)) => value.to_string(),
            Some(Cell::Bytes(_)) | None => String::new(),
        };
        key.iter().map(shown).collect::<Vec<_>>().join(" ")
    }
}
