//! Sealed documents: where their bytes are and what they were announced to be. Who looks at bytes whatever they belong to asks
//! [`super::held_blobs`].

use super::{Arg, BlobKey, Row, Sql, StoreError, Tx, WriteTx, args, many};
use crate::{
    domain::id::{DocumentId, MemberId, PartnerCode, ProposalId, Sha256, Slug, VaultId},
    policy::{Action, Permit},
};
use jiff::Timestamp;
use std::collections::HashSet;

/// A document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentRow {
    pub id: DocumentId,
    pub proposal: ProposalId,
    pub slot: Slug,
    /// The party whose restricted document it is.
    pub party: Option<PartnerCode>,
    pub vault: VaultId,
    pub sha256: Sha256,
    pub size: u64,
    pub media_type: String,
    pub blob: BlobKey,
    pub uploaded_by: MemberId,
    pub uploaded_at: Timestamp,
    /// Whether it is in the working set: the newest of its slot, not taken out.
    pub is_current: bool,
    /// Whether its bytes were found to be missing or others than these, and were not found right since.
    pub is_damaged: bool,
}

const COLUMNS: &str = "SELECT document_id, proposal_id, slot, party, vault_id, sha256, size, media_type, blob_key, \
                       uploaded_by, uploaded_at, removed_at, damaged_at FROM documents";

/// One document.
pub async fn find(tx: &mut Tx, id: DocumentId) -> Result<Option<DocumentRow>, StoreError> {
    let sql = Sql::built(format!("{COLUMNS} WHERE document_id = $1"));
    tx.fetch_optional(sql, args![id]).await?.as_ref().map(read).transpose()
}

/// The working set of a proposal, oldest first.
pub async fn current(tx: &mut Tx, proposal: ProposalId) -> Result<Vec<DocumentRow>, StoreError> {
    let sql = Sql::built(format!("{COLUMNS} WHERE proposal_id = $1 AND removed_at IS NULL ORDER BY document_id"));
    tx.fetch_all(sql, args![proposal]).await?.iter().map(read).collect()
}

/// One member's uploads to a slot, replaced documents included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotUploads {
    pub uploaded_by: MemberId,
    pub slot: Slug,
    pub documents: u64,
    pub bytes: u64,
}

/// The stored documents of a proposal, by member and slot.
pub async fn kept(tx: &mut Tx, proposal: ProposalId) -> Result<Vec<SlotUploads>, StoreError> {
    let sql = "SELECT uploaded_by, slot, COUNT(*) AS documents, CAST(SUM(size) AS BIGINT) AS bytes FROM documents \
               WHERE proposal_id = $1 GROUP BY uploaded_by, slot";
    let rows = tx.fetch_all(sql, args![proposal]).await?;
    let kept = rows.iter().map(|row| {
        Ok(SlotUploads {
            uploaded_by: row.parse("uploaded_by")?,
            slot: row.parse("slot")?,
            documents: row.count("documents")?,
            bytes: row.count("bytes")?,
        })
    });
    kept.collect()
}

/// The bytes of all documents on the exchange that members of a partner have uploaded, replaced ones included.
pub async fn bytes_of_partner(tx: &mut Tx, partner: &PartnerCode) -> Result<u64, StoreError> {
    // Kept with each document, for others wait while a nation's documents would be added up.
    let sql = "SELECT document_bytes FROM partner_tallies WHERE partner = $1";
    let row = tx.fetch_optional(sql, args![partner]).await?;
    row.map_or(Ok(0), |row| row.count("document_bytes"))
}

/// The documents of a proposal, replaced ones too, that have one of these digests; oldest first.
pub async fn with_digests(
    tx: &mut Tx,
    proposal: ProposalId,
    digests: &[Sha256],
) -> Result<Vec<DocumentRow>, StoreError> {
    if digests.is_empty() {
        return Ok(Vec::new());
    }
    let marks = many::marks(2, digests.len());
    let sql = Sql::built(format!("{COLUMNS} WHERE proposal_id = $1 AND sha256 IN ({marks}) ORDER BY document_id"));
    let arguments = args![proposal].into_iter().chain(digests.iter().map(Arg::text)).collect();
    tx.fetch_all(sql, arguments).await?.iter().map(read).collect()
}

/// The next documents of the whole exchange in the order of their blobs' keys.
pub(super) async fn by_blob(tx: &mut Tx, after: Option<&BlobKey>, limit: u32) -> Result<Vec<DocumentRow>, StoreError> {
    let after = after.map(ToString::to_string).unwrap_or_default();
    let sql = Sql::built(format!("{COLUMNS} WHERE blob_key > $1 ORDER BY blob_key LIMIT $2"));
    tx.fetch_all(sql, args![after, i64::from(limit)]).await?.iter().map(read).collect()
}

/// Puts a document into its slot; the one that was there leaves the working set.
pub async fn put(tx: &mut WriteTx, permit: &Permit, row: &DocumentRow) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::Upload], row.proposal));
    clear_slot(tx, row.proposal, &row.slot, row.party.as_ref(), row.uploaded_at).await?;
    tx.execute(
        "INSERT INTO documents (document_id, proposal_id, slot, party, vault_id, sha256, size, media_type, blob_key, \
         uploaded_by, uploaded_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        args![
            row.id,
            row.proposal,
            row.slot,
            row.party,
            row.vault,
            row.sha256,
            row.size,
            row.media_type,
            row.blob,
            row.uploaded_by,
            row.uploaded_at
        ],
    )
    .await?;
    let sql = "INSERT INTO partner_tallies (partner, document_bytes) VALUES ($1, $2) \
               ON CONFLICT (partner) DO UPDATE SET document_bytes = partner_tallies.document_bytes + excluded.document_bytes";
    tx.execute(sql, args![row.uploaded_by.partner(), row.size]).await?;
    Ok(())
}

/// Takes a document out of the working set; how many were in the slot (0 or 1).
pub async fn remove(
    tx: &mut WriteTx,
    permit: &Permit,
    proposal: ProposalId,
    slot: &Slug,
    party: Option<&PartnerCode>,
    now: Timestamp,
) -> Result<u64, StoreError> {
    assert!(permit.covers_proposal(&[Action::Upload], proposal));
    clear_slot(tx, proposal, slot, party, now).await
}

/// Documents that left the working set before `before` and that no version of their proposal names: those after `after`, up to `limit`.
pub async fn replaced(
    tx: &mut Tx,
    before: Timestamp,
    after: Option<DocumentId>,
    limit: u32,
) -> Result<Vec<DocumentRow>, StoreError> {
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    let unnamed = unnamed(tx);
    let sql =
        format!("{COLUMNS} WHERE removed_at < $1 AND document_id > $2 AND {unnamed} ORDER BY document_id LIMIT $3");
    tx.fetch_all(Sql::built(sql), args![before, after, i64::from(limit)]).await?.iter().map(read).collect()
}

/// The condition that no version of its proposal names a document.
fn unnamed(tx: &Tx) -> String {
    let position = tx.dialect().position;
    format!(
        "NOT EXISTS (SELECT 1 FROM manifests m WHERE m.proposal_id = documents.proposal_id \
         AND {position}(m.body, documents.sha256) > 0)"
    )
}

/// Drops one of [`replaced`], if it still is one. An act of the server itself, which needs no permit.
pub async fn drop_replaced(tx: &mut WriteTx, id: DocumentId) -> Result<bool, StoreError> {
    let unnamed = unnamed(tx);
    let sql = format!(
        "DELETE FROM documents WHERE document_id = $1 AND removed_at IS NOT NULL AND {unnamed} RETURNING uploaded_by, size"
    );
    let Some(gone) = tx.writing()?.fetch_optional(Sql::built(sql), args![id]).await? else { return Ok(false) };
    let (by, size) = (gone.parse::<MemberId>("uploaded_by")?, gone.count("size")?);
    let sql = "UPDATE partner_tallies SET document_bytes = CASE WHEN document_bytes > $2 THEN document_bytes - $2 ELSE 0 END \
               WHERE partner = $1";
    tx.execute(sql, args![by.partner(), size]).await?;
    Ok(true)
}

/// Notes that a document's bytes were found damaged at this moment, or are right again; whether that is news. An act of the server
/// itself, which needs no permit.
pub(super) async fn set_damaged(tx: &mut WriteTx, id: DocumentId, at: Option<Timestamp>) -> Result<bool, StoreError> {
    let sql = "UPDATE documents SET damaged_at = $2 WHERE document_id = $1 AND (damaged_at IS NULL) <> ($2 IS NULL)";
    Ok(tx.execute(sql, args![id, at]).await? > 0)
}

/// The documents whose bytes are damaged, by identifier: the first of them, up to `limit`.
pub(super) async fn damaged(tx: &mut Tx, limit: u32) -> Result<Vec<DocumentRow>, StoreError> {
    let sql = Sql::built(format!("{COLUMNS} WHERE damaged_at IS NOT NULL ORDER BY document_id LIMIT $1"));
    tx.fetch_all(sql, args![i64::from(limit)]).await?.iter().map(read).collect()
}

/// How many documents have damaged bytes.
pub(super) async fn count_damaged(tx: &mut Tx) -> Result<u64, StoreError> {
    let sql = "SELECT COUNT(*) AS damaged FROM documents WHERE damaged_at IS NOT NULL";
    tx.fetch_one(sql, args![]).await?.count("damaged")
}

/// The blobs among these to which a document refers; for the sweep of orphans.
pub(super) async fn known_blobs(tx: &mut Tx, keys: Vec<BlobKey>) -> Result<HashSet<BlobKey>, StoreError> {
    if keys.is_empty() {
        return Ok(HashSet::new());
    }
    let marks = many::marks(1, keys.len());
    let sql = Sql::built(format!("SELECT blob_key FROM documents WHERE blob_key IN ({marks})"));
    let rows = tx.fetch_all(sql, keys.iter().map(Arg::text).collect()).await?;
    rows.iter().map(|row| row.parse("blob_key")).collect()
}

/// How many documents there are, and their bytes.
pub(super) async fn totals(tx: &mut Tx) -> Result<(u64, u64), StoreError> {
    let sql = "SELECT COUNT(*) AS documents, CAST(COALESCE(SUM(size), 0) AS BIGINT) AS bytes FROM documents";
    let row = tx.fetch_one(sql, args![]).await?;
    Ok((row.count("documents")?, row.count("bytes")?))
}

async fn clear_slot(
    tx: &mut WriteTx,
    proposal: ProposalId,
    slot: &Slug,
    party: Option<&PartnerCode>,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let party = party.map(PartnerCode::as_str).unwrap_or_default();
    let sql = "UPDATE documents SET removed_at = $4 WHERE proposal_id = $1 AND slot = $2 \
               AND COALESCE(party, '') = $3 AND removed_at IS NULL";
    tx.execute(sql, args![proposal, slot, party, now]).await
}

fn read(row: &Row) -> Result<DocumentRow, StoreError> {
    Ok(DocumentRow {
        id: row.parse("document_id")?,
        proposal: row.parse("proposal_id")?,
        slot: row.parse("slot")?,
        party: row.opt_parse("party")?,
        vault: row.parse("vault_id")?,
        sha256: row.parse("sha256")?,
        size: row.count("size")?,
        media_type: row.text("media_type")?,
        blob: row.parse("blob_key")?,
        uploaded_by: row.parse("uploaded_by")?,
        uploaded_at: row.time("uploaded_at")?,
        is_current: row.opt_time("removed_at")?.is_none(),
        is_damaged: row.opt_time("damaged_at")?.is_some(),
    })
}
