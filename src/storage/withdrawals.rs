//! Parties that wish to withdraw a proposal that all of them have signed: one row for each.

use super::{StoreError, Tx, WriteTx, args};
use crate::{
    domain::id::{MemberId, PartnerCode, ProposalId},
    policy::{Action, Permit},
};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// A party's wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WishRow {
    /// The member who said so for the party.
    pub member: MemberId,
    pub wished_at: Timestamp,
}

/// The wishes about a proposal, by party.
pub async fn wishes(tx: &mut Tx, proposal: ProposalId) -> Result<BTreeMap<PartnerCode, WishRow>, StoreError> {
    let sql = "SELECT partner, member, wished_at FROM withdrawal_wishes WHERE proposal_id = $1";
    let rows = tx.fetch_all(sql, args![proposal]).await?;
    let read = |row: &super::Row| {
        let wish = WishRow { member: row.parse("member")?, wished_at: row.time("wished_at")? };
        Ok((row.parse("partner")?, wish))
    };
    rows.iter().map(read).collect()
}

/// Notes the wish of the principal's party.
pub async fn wish(tx: &mut WriteTx, permit: &Permit, proposal: ProposalId, now: Timestamp) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::Withdraw], proposal));
    let member = permit.principal();
    let sql = "INSERT INTO withdrawal_wishes (proposal_id, partner, member, wished_at) VALUES ($1, $2, $3, $4)";
    tx.execute(sql, args![proposal, member.partner(), member, now]).await?;
    Ok(())
}

/// Takes the wish of the principal's party back; whether there was one.
pub async fn take_back(tx: &mut WriteTx, permit: &Permit, proposal: ProposalId) -> Result<bool, StoreError> {
    assert!(permit.covers_proposal(&[Action::Reinstate, Action::Sign], proposal));
    let sql = "DELETE FROM withdrawal_wishes WHERE proposal_id = $1 AND partner = $2";
    Ok(tx.execute(sql, args![proposal, permit.principal().partner()]).await? > 0)
}
