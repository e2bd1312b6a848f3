//! Announced bytes: of documents that parties have signed for and that are not here yet. A nation's quota keeps room for them.

use super::{StoreError, Tx, WriteTx, args};
use crate::{
    domain::id::{MemberId, PartnerCode, ProposalId},
    policy::{Action, Permit},
};
use std::collections::BTreeMap;

/// The bytes that a partner has announced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AnnouncedBytes {
    /// To the proposal that is asked about.
    pub here: u64,
    /// To all others.
    pub elsewhere: u64,
    /// To all others, by the member who is asked about.
    pub elsewhere_by_member: u64,
}

/// The bytes that a party must still upload, and the member who signed for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    pub member: MemberId,
    pub bytes: u64,
}

/// The bytes that the member's partner has announced to a proposal, and to the others. Bytes that a member with a revoked key card
/// announced do not count.
pub async fn of_partner(tx: &mut Tx, member: &MemberId, id: ProposalId) -> Result<AnnouncedBytes, StoreError> {
    let sql = "SELECT CAST(COALESCE(SUM(CASE WHEN a.proposal_id = $2 THEN a.bytes ELSE 0 END), 0) AS BIGINT) AS here, \
               CAST(COALESCE(SUM(CASE WHEN a.proposal_id = $2 THEN 0 ELSE a.bytes END), 0) AS BIGINT) AS elsewhere, \
               CAST(COALESCE(SUM(CASE WHEN a.proposal_id <> $2 AND a.member = $3 THEN a.bytes ELSE 0 END), 0) AS BIGINT) AS own \
               FROM announced_bytes a JOIN members m ON m.member = a.member AND m.status = 'active' WHERE a.partner = $1";
    let row = tx.fetch_one(sql, args![member.partner(), id, member]).await?;
    Ok(AnnouncedBytes {
        here: row.count("here")?,
        elsewhere: row.count("elsewhere")?,
        elsewhere_by_member: row.count("own")?,
    })
}

/// Whether anything is announced to a proposal.
pub async fn is_awaited(tx: &mut Tx, id: ProposalId) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM announced_bytes WHERE proposal_id = $1) AS is_awaited";
    tx.fetch_one(sql, args![id]).await?.bool("is_awaited")
}

/// The proposals after `after` to which something is announced, in order, so many.
pub async fn proposals(tx: &mut Tx, after: Option<ProposalId>, limit: u32) -> Result<Vec<ProposalId>, StoreError> {
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    let sql = "SELECT DISTINCT proposal_id FROM announced_bytes WHERE proposal_id > $1 ORDER BY proposal_id LIMIT $2";
    let rows = tx.fetch_all(sql, args![after, limit]).await?;
    rows.iter().map(|row| row.parse("proposal_id")).collect()
}

/// Replaces what is announced to a proposal.
pub async fn replace(
    tx: &mut WriteTx,
    permit: &Permit,
    id: ProposalId,
    announced: &BTreeMap<PartnerCode, Announcement>,
) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::Sign, Action::Upload], id));
    release(tx, id).await?;
    for (partner, Announcement { member, bytes }) in announced {
        let sql = "INSERT INTO announced_bytes (proposal_id, partner, member, bytes) VALUES ($1, $2, $3, $4)";
        tx.execute(sql, args![id, partner, member, *bytes]).await?;
    }
    Ok(())
}

/// Keeps no more room for what was announced to a proposal. An act of the server itself, which needs no permit.
pub async fn release(tx: &mut WriteTx, id: ProposalId) -> Result<(), StoreError> {
    tx.execute("DELETE FROM announced_bytes WHERE proposal_id = $1", args![id]).await?;
    Ok(())
}
