//! Which rows hold blobs, whatever they are rows of: the one place that lists the tables. Sweeps, the daily check, marks, figures,
//! backups and `verify` ask here, so that what another noun keeps is never swept away, left out of a backup or read by nobody.
//!
//! Today documents alone hold blobs. Another table gets a variant of [`HeldBlob`], and one more query in each function below; a blob
//! belongs to one row of one table.

use super::{
    BlobKey, StoreError, Stored, Tx, WriteTx,
    db::tables::{Cell, Cells, Column, ColumnKind, Tables},
    documents::{self, DocumentRow},
    uploads,
};
use crate::domain::id::Sha256;
use jiff::Timestamp;
use std::{collections::HashSet, fmt};

/// A blob with the row that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeldBlob {
    Document(DocumentRow),
}

impl HeldBlob {
    /// The key of the blob.
    #[must_use]
    pub fn key(&self) -> &BlobKey {
        match self {
            Self::Document(row) => &row.blob,
        }
    }

    /// What the row says of the bytes.
    #[must_use]
    pub fn stored(&self) -> Stored {
        match self {
            Self::Document(row) => Stored { size: row.size, sha256: row.sha256 },
        }
    }

    /// Whether the bytes were found to be missing or others than these, and were not found right since.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        match self {
            Self::Document(row) => row.is_damaged,
        }
    }

    /// Whether the row is still there.
    pub async fn is_held(&self, tx: &mut Tx) -> Result<bool, StoreError> {
        match self {
            Self::Document(row) => Ok(documents::find(tx, row.id).await?.is_some()),
        }
    }

    /// Notes that the bytes were found damaged at this moment, or are right again; whether that is news. An act of the server itself,
    /// which needs no permit.
    pub async fn set_damaged(&self, tx: &mut WriteTx, at: Option<Timestamp>) -> Result<bool, StoreError> {
        match self {
            Self::Document(row) => documents::set_damaged(tx, row.id, at).await,
        }
    }
}

/// What the operator reads of it.
impl fmt::Display for HeldBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document(DocumentRow { id, proposal, slot, blob, .. }) => {
                write!(f, "{id} of {proposal}, slot `{slot}`, file {blob}")
            }
        }
    }
}

/// Which of these blobs a row names, those of uploads that are not at their end among them.
pub async fn named(tx: &mut Tx, keys: Vec<BlobKey>) -> Result<HashSet<BlobKey>, StoreError> {
    let mut named = uploads::known_blobs(tx, &keys).await?;
    named.extend(documents::known_blobs(tx, keys).await?);
    Ok(named)
}

/// The next blobs of the whole exchange that a row names, in the order of their keys.
pub async fn next(tx: &mut Tx, after: Option<&BlobKey>, limit: u32) -> Result<Vec<HeldBlob>, StoreError> {
    let rows = documents::by_blob(tx, after, limit).await?;
    Ok(rows.into_iter().map(HeldBlob::Document).collect())
}

/// How many blobs rows name, and their bytes.
pub async fn totals(tx: &mut Tx) -> Result<(u64, u64), StoreError> {
    documents::totals(tx).await
}

/// The blobs whose bytes are damaged, by what holds them: the first of them, up to `limit`.
pub async fn damaged(tx: &mut Tx, limit: u32) -> Result<Vec<HeldBlob>, StoreError> {
    let rows = documents::damaged(tx, limit).await?;
    Ok(rows.into_iter().map(HeldBlob::Document).collect())
}

/// How many blobs have damaged bytes.
pub async fn count_damaged(tx: &mut Tx) -> Result<u64, StoreError> {
    documents::count_damaged(tx).await
}

/// A row that holds a blob, as any tables have it, those of a backup too: nothing of it is believed yet.
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

/// Hands every row that holds a blob to `each`, one at a time and in pages ([`Tables::each_in_pages`]); how many there were.
pub async fn each_in_pages<E: From<StoreError>>(
    tables: &Tables,
    mut each: impl AsyncFnMut(DocumentBytes) -> Result<(), E>,
) -> Result<u64, E> {
    tables.each_in_pages("documents", KEY, COLUMNS, async |cells| each(DocumentBytes::read(&cells)).await).await
}

const KEY: &[Column] = &[("document_id", ColumnKind::Text)];

/// The columns that [`DocumentBytes::read`] wants.
const COLUMNS: &[Column] = &[
    ("document_id", ColumnKind::Text),
    ("proposal_id", ColumnKind::Text),
    ("blob_key", ColumnKind::Text),
    ("size", ColumnKind::Int),
    ("sha256", ColumnKind::Text),
    ("slot", ColumnKind::Text),
    ("party", ColumnKind::Text),
    ("vault_id", ColumnKind::Text),
];

impl DocumentBytes {
    fn read(cells: &Cells) -> Self {
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
}
