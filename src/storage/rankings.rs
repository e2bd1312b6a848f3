//! The lines of rankings that officers sent: one for each proposal, sealed.

use super::{Row, StoreError, Tx, WriteTx, args};
use crate::{
    domain::id::{MemberId, ProposalId},
    policy::{Action, Permit},
};
use jiff::Timestamp;

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RankingRow {
    pub proposal: ProposalId,
    pub sent_by: MemberId,
    pub sent_at: Timestamp,
    pub statement: String,
    pub ciphertext: Vec<u8>,
}

/// The line about a proposal that stands.
pub async fn find(tx: &mut Tx, proposal: ProposalId) -> Result<Option<RankingRow>, StoreError> {
    let sql = "SELECT proposal_id, sent_by, sent_at, statement, ciphertext FROM ranking_lines WHERE proposal_id = $1";
    tx.fetch_optional(sql, args![proposal]).await?.as_ref().map(line).transpose()
}

/// Sends a line, in the place of an earlier one.
pub async fn send(tx: &mut WriteTx, permit: &Permit, row: &RankingRow) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::SendRanking], row.proposal));
    tx.execute(
        "INSERT INTO ranking_lines (proposal_id, sent_by, sent_at, statement, ciphertext) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (proposal_id) DO UPDATE SET sent_by = excluded.sent_by, sent_at = excluded.sent_at, \
         statement = excluded.statement, ciphertext = excluded.ciphertext",
        args![row.proposal, row.sent_by, row.sent_at, row.statement, row.ciphertext],
    )
    .await?;
    Ok(())
}

/// Takes a line back.
pub async fn withdraw(tx: &mut WriteTx, permit: &Permit, proposal: ProposalId) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::WithdrawRanking], proposal));
    tx.execute("DELETE FROM ranking_lines WHERE proposal_id = $1", args![proposal]).await?;
    Ok(())
}

fn line(row: &Row) -> Result<RankingRow, StoreError> {
    Ok(RankingRow {
        proposal: row.parse("proposal_id")?,
        sent_by: row.parse("sent_by")?,
        sent_at: row.time("sent_at")?,
        statement: row.text("statement")?,
        ciphertext: row.bytes("ciphertext")?,
    })
}
