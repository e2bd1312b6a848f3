//! Uploads that can be resumed: what was announced, by whom, and under which key the bytes are kept until all are here.

use super::{Arg, BlobKey, Row, Sql, StoreError, Tx, WriteTx, args, many};
use crate::{
    domain::id::{DocumentId, MemberId, PartnerCode, ProposalId, Sha256, Slug, UploadId},
    policy::{Action, Permit},
};
use jiff::Timestamp;
use std::collections::HashSet;

/// An upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRow {
    pub id: UploadId,
    pub proposal: ProposalId,
    pub slot: Slug,
    pub member: MemberId,
    /// Of the whole, in bytes.
    pub size: u64,
    /// Of the plaintext.
    pub media_type: String,
    /// As it was announced, if it was.
    pub sha256: Option<Sha256>,
    /// Of the resumable blob, never of the document.
    pub blob: BlobKey,
    pub begun_at: Timestamp,
    pub expires_at: Timestamp,
    /// The document that was made of it; it can have been dropped since.
    pub document: Option<DocumentId>,
}

const COLUMNS: &str = "SELECT upload_id, proposal_id, slot, member, size, media_type, sha256, blob_key, begun_at, expires_at, \
                       document_id FROM uploads";

/// One upload.
pub async fn find(tx: &mut Tx, id: UploadId) -> Result<Option<UploadRow>, StoreError> {
    let sql = Sql::built(format!("{COLUMNS} WHERE upload_id = $1"));
    tx.fetch_optional(sql, args![id]).await?.as_ref().map(read).transpose()
}

/// The upload of a member to a slot of a proposal.
pub async fn of_slot(
    tx: &mut Tx,
    proposal: ProposalId,
    slot: &Slug,
    member: &MemberId,
) -> Result<Option<UploadRow>, StoreError> {
    let sql = Sql::built(format!("{COLUMNS} WHERE proposal_id = $1 AND slot = $2 AND member = $3"));
    tx.fetch_optional(sql, args![proposal, slot, member]).await?.as_ref().map(read).transpose()
}

/// The uploads of a partner's members that are not at their end.
pub async fn open_of_partner(tx: &mut Tx, partner: &PartnerCode) -> Result<Vec<UploadRow>, StoreError> {
    let sql = Sql::built(format!("{COLUMNS} WHERE partner = $1 AND document_id IS NULL ORDER BY upload_id"));
    tx.fetch_all(sql, args![partner]).await?.iter().map(read).collect()
}

/// Adds an upload in place of the one that the member has for the slot: that one.
pub async fn begin(tx: &mut WriteTx, permit: &Permit, row: &UploadRow) -> Result<Option<UploadRow>, StoreError> {
    assert!(permit.covers_proposal(&[Action::Upload], row.proposal));
    let earlier = of_slot(tx, row.proposal, &row.slot, &row.member).await?;
    if let Some(earlier) = &earlier {
        tx.execute("DELETE FROM uploads WHERE upload_id = $1", args![earlier.id]).await?;
    }
    tx.execute(
        "INSERT INTO uploads (upload_id, proposal_id, slot, member, partner, size, media_type, sha256, blob_key, begun_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        args![
            row.id,
            row.proposal,
            row.slot,
            row.member,
            row.member.partner(),
            row.size,
            row.media_type,
            row.sha256,
            row.blob,
            row.begun_at,
            row.expires_at
        ],
    )
    .await?;
    Ok(earlier)
}

/// Notes the document that was made of an upload.
pub async fn end(tx: &mut WriteTx, permit: &Permit, row: &UploadRow, document: DocumentId) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::Upload], row.proposal));
    tx.execute("UPDATE uploads SET document_id = $2 WHERE upload_id = $1", args![row.id, document]).await?;
    Ok(())
}

/// Takes an upload back.
pub async fn remove(tx: &mut WriteTx, permit: &Permit, row: &UploadRow) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::Upload], row.proposal));
    tx.execute("DELETE FROM uploads WHERE upload_id = $1", args![row.id]).await?;
    Ok(())
}

/// The uploads whose time is over, up to `limit`.
pub async fn expired(tx: &mut Tx, now: Timestamp, limit: u32) -> Result<Vec<UploadRow>, StoreError> {
    let sql = Sql::built(format!("{COLUMNS} WHERE expires_at <= $1 ORDER BY expires_at, upload_id LIMIT $2"));
    tx.fetch_all(sql, args![now, i64::from(limit)]).await?.iter().map(read).collect()
}

/// Removes one of [`expired`]; whether it was there. An act of the server itself, which needs no permit.
pub async fn drop_expired(tx: &mut WriteTx, id: UploadId, now: Timestamp) -> Result<bool, StoreError> {
    Ok(tx.execute("DELETE FROM uploads WHERE upload_id = $1 AND expires_at <= $2", args![id, now]).await? > 0)
}

/// The blobs among these to which an upload refers that is not at its end.
pub(super) async fn known_blobs(tx: &mut Tx, keys: &[BlobKey]) -> Result<HashSet<BlobKey>, StoreError> {
    if keys.is_empty() {
        return Ok(HashSet::new());
    }
    let marks = many::marks(1, keys.len());
    let sql = Sql::built(format!("SELECT blob_key FROM uploads WHERE document_id IS NULL AND blob_key IN ({marks})"));
    let rows = tx.fetch_all(sql, keys.iter().map(Arg::text).collect()).await?;
    rows.iter().map(|row| row.parse("blob_key")).collect()
}

fn read(row: &Row) -> Result<UploadRow, StoreError> {
    Ok(UploadRow {
        id: row.parse("upload_id")?,
        proposal: row.parse("proposal_id")?,
        slot: row.parse("slot")?,
        member: row.parse("member")?,
        size: row.count("size")?,
        media_type: row.text("media_type")?,
        sha256: row.opt_parse("sha256")?,
        blob: row.parse("blob_key")?,
        begun_at: row.time("begun_at")?,
        expires_at: row.time("expires_at")?,
        document: row.opt_parse("document_id")?,
    })
}
