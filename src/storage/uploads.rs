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
    /// Whether it was begun as the one that every party has signed for: its bytes are among those that are announced.
    pub is_awaited: bool,
    /// When all of its bytes were here; none while not all are.
    pub whole_at: Option<Timestamp>,
    /// Their digest, once it was taken of them.
    pub whole_sha256: Option<Sha256>,
}

/// How much there is of the uploads that are not at their end and count beside a document on its way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenUploads {
    /// Of the member to the slot.
    pub of_member_in_slot: u64,
    /// Of the member in all, in bytes.
    pub bytes_of_member: u64,
    /// Of the member's partner to the slot.
    pub in_slot: u64,
    /// Of the partner to the proposal.
    pub in_proposal: u64,
    pub bytes_in_proposal: u64,
}

const COLUMNS: &str = "SELECT upload_id, proposal_id, slot, member, size, media_type, sha256, blob_key, begun_at, expires_at, \
                       document_id, is_awaited, whole_at, whole_sha256 FROM uploads";

/// An upload that goes: its time is over, or it is not at its end and its member, whose key card is not in force, adds no more to it.
const IS_OVER: &str = "(expires_at <= $1 OR document_id IS NULL AND EXISTS (SELECT 1 FROM members m \
                       WHERE m.member = uploads.member AND (m.status <> 'active' OR m.valid_until < $1)))";

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

/// What counts of the uploads of a member and of the member's partner beside a document to this slot; without the member's own upload to it if
/// the document is that one, or takes its place.
pub async fn open(
    tx: &mut Tx,
    member: &MemberId,
    proposal: ProposalId,
    slot: &Slug,
    without_own: bool,
) -> Result<OpenUploads, StoreError> {
    let sql = "SELECT COUNT(CASE WHEN member = $2 AND proposal_id = $3 AND slot = $4 THEN 1 END) AS of_member_in_slot, \
               CAST(COALESCE(SUM(CASE WHEN member = $2 THEN size ELSE 0 END), 0) AS BIGINT) AS bytes_of_member, \
               COUNT(CASE WHEN proposal_id = $3 AND slot = $4 THEN 1 END) AS in_slot, \
               COUNT(CASE WHEN proposal_id = $3 THEN 1 END) AS in_proposal, \
               CAST(COALESCE(SUM(CASE WHEN proposal_id = $3 THEN size ELSE 0 END), 0) AS BIGINT) AS bytes_in_proposal \
               FROM uploads WHERE partner = $1 AND document_id IS NULL \
               AND NOT ($5 AND member = $2 AND proposal_id = $3 AND slot = $4)";
    let row = tx.fetch_one(sql, args![member.partner(), member, proposal, slot, without_own]).await?;
    Ok(OpenUploads {
        of_member_in_slot: row.count("of_member_in_slot")?,
        bytes_of_member: row.count("bytes_of_member")?,
        in_slot: row.count("in_slot")?,
        in_proposal: row.count("in_proposal")?,
        bytes_in_proposal: row.count("bytes_in_proposal")?,
    })
}

/// The bytes of a partner's uploads that are not at their end and that nothing else counts: those that are awaited are among the announced
/// bytes of their proposal, as far as these go. Without the upload of this member to this slot, if one is named.
pub async fn bytes_of_partner(
    tx: &mut Tx,
    partner: &PartnerCode,
    without: Option<(&MemberId, ProposalId, &Slug)>,
) -> Result<u64, StoreError> {
    let sql = "SELECT CAST(COALESCE(SUM(u.others + CASE WHEN u.awaited > COALESCE(a.bytes, 0) \
               THEN u.awaited - COALESCE(a.bytes, 0) ELSE 0 END), 0) AS BIGINT) AS bytes \
               FROM (SELECT proposal_id, SUM(CASE WHEN is_awaited THEN 0 ELSE size END) AS others, \
               SUM(CASE WHEN is_awaited THEN size ELSE 0 END) AS awaited FROM uploads \
               WHERE partner = $1 AND document_id IS NULL AND NOT (member = $2 AND proposal_id = $3 AND slot = $4) \
               GROUP BY proposal_id) u \
               LEFT JOIN (SELECT b.proposal_id, b.bytes FROM announced_bytes b \
               JOIN members m ON m.member = b.member AND m.status = 'active' WHERE b.partner = $1) a \
               ON a.proposal_id = u.proposal_id";
    let (member, proposal, slot) = match without {
        Some((member, proposal, slot)) => (Arg::text(member), Arg::text(proposal), Arg::text(slot)),
        // No upload is like this.
        None => (Arg::text(""), Arg::text(""), Arg::text("")),
    };
    tx.fetch_one(sql, args![partner, member, proposal, slot]).await?.count("bytes")
}

/// How many uploads of a member are not at their end, without the one to this slot.
pub async fn open_of_member(
    tx: &mut Tx,
    member: &MemberId,
    proposal: ProposalId,
    slot: &Slug,
) -> Result<u64, StoreError> {
    let sql = "SELECT COUNT(*) AS uploads FROM uploads WHERE member = $1 AND document_id IS NULL \
               AND NOT (proposal_id = $2 AND slot = $3)";
    tx.fetch_one(sql, args![member, proposal, slot]).await?.count("uploads")
}

/// Whether members of the partner, apart from this one, have an upload to the slot that was begun as the one that is awaited.
pub async fn is_awaited_of(
    tx: &mut Tx,
    partner: &PartnerCode,
    besides: Option<&MemberId>,
    proposal: ProposalId,
    slot: &Slug,
) -> Result<bool, StoreError> {
    let besides = Arg::text(besides.map(MemberId::to_string).unwrap_or_default());
    let sql = "SELECT EXISTS (SELECT 1 FROM uploads WHERE proposal_id = $1 AND slot = $2 AND partner = $3 AND member <> $4 \
               AND document_id IS NULL AND is_awaited) AS is_awaited";
    tx.fetch_one(sql, args![proposal, slot, partner, besides]).await?.bool("is_awaited")
}

/// Adds an upload in place of the one that the member has for the slot: that one.
pub async fn begin(tx: &mut WriteTx, permit: &Permit, row: &UploadRow) -> Result<Option<UploadRow>, StoreError> {
    assert!(permit.covers_proposal(&[Action::Upload], row.proposal));
    let earlier = of_slot(tx, row.proposal, &row.slot, &row.member).await?;
    if let Some(earlier) = &earlier {
        tx.execute("DELETE FROM uploads WHERE upload_id = $1", args![earlier.id]).await?;
    }
    tx.execute(
        "INSERT INTO uploads (upload_id, proposal_id, slot, member, partner, size, media_type, sha256, blob_key, begun_at, expires_at, \
         is_awaited) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
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
            row.expires_at,
            row.is_awaited
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

/// Notes when all bytes of an upload were here and their digest if it was taken, or that not all are here.
pub async fn note_whole(
    tx: &mut WriteTx,
    permit: &Permit,
    row: &UploadRow,
    whole_at: Option<Timestamp>,
    sha256: Option<Sha256>,
) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::Upload], row.proposal));
    let sql = "UPDATE uploads SET whole_at = $2, whole_sha256 = $3 WHERE upload_id = $1 AND document_id IS NULL";
    tx.execute(sql, args![row.id, whole_at, sha256]).await?;
    Ok(())
}

/// Takes an upload back, whatever else its member may do by now.
pub async fn remove(tx: &mut WriteTx, permit: &Permit, row: &UploadRow) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::View], row.proposal) && *permit.principal() == row.member);
    tx.execute("DELETE FROM uploads WHERE upload_id = $1", args![row.id]).await?;
    Ok(())
}

/// Lets the uploads to a proposal go that are not at their end, of a member who leaves its party: these.
pub async fn drop_of_leaver(
    tx: &mut WriteTx,
    permit: &Permit,
    proposal: ProposalId,
    member: &MemberId,
) -> Result<Vec<UploadRow>, StoreError> {
    assert!(permit.covers_proposal(&[Action::RemoveMember], proposal));
    let sql = Sql::built(format!("{COLUMNS} WHERE member = $1 AND proposal_id = $2 AND document_id IS NULL"));
    let rows: Vec<UploadRow> =
        tx.fetch_all(sql, args![member, proposal]).await?.iter().map(read).collect::<Result<_, _>>()?;
    let sql = "DELETE FROM uploads WHERE member = $1 AND proposal_id = $2 AND document_id IS NULL";
    tx.execute(sql, args![member, proposal]).await?;
    Ok(rows)
}

/// Lets the uploads go that are not at their end, of a member whose key card is revoked: these.
pub async fn drop_of_revoked(
    tx: &mut WriteTx,
    permit: &Permit,
    member: &MemberId,
) -> Result<Vec<UploadRow>, StoreError> {
    assert!(permit.covers_partner(&[Action::PublishKeyCard], member.partner()));
    let sql = Sql::built(format!("{COLUMNS} WHERE member = $1 AND document_id IS NULL"));
    let rows: Vec<UploadRow> = tx.fetch_all(sql, args![member]).await?.iter().map(read).collect::<Result<_, _>>()?;
    tx.execute("DELETE FROM uploads WHERE member = $1 AND document_id IS NULL", args![member]).await?;
    Ok(rows)
}

/// The uploads whose time is over, or whose member can add no more to them, up to `limit`.
pub async fn expired(tx: &mut Tx, now: Timestamp, limit: u32) -> Result<Vec<UploadRow>, StoreError> {
    let sql = Sql::built(format!("{COLUMNS} WHERE {IS_OVER} ORDER BY expires_at, upload_id LIMIT $2"));
    tx.fetch_all(sql, args![now, i64::from(limit)]).await?.iter().map(read).collect()
}

/// Removes one of [`expired`]; whether it was there. An act of the server itself, which needs no permit.
pub async fn drop_expired(tx: &mut WriteTx, id: UploadId, now: Timestamp) -> Result<bool, StoreError> {
    let sql = Sql::built(format!("DELETE FROM uploads WHERE upload_id = $2 AND {IS_OVER}"));
    Ok(tx.execute(sql, args![now, id]).await? > 0)
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
        is_awaited: row.bool("is_awaited")?,
        whole_at: row.opt_time("whole_at")?,
        whole_sha256: row.opt_parse("whole_sha256")?,
    })
}
