//! What the record holds of a partner: what its operator is shown before it is suspended, and what keeps it from being removed. Looking only,
//! for one partner at a time, and rarely.

use super::{Sql, StoreError, Tx, args};
use crate::domain::id::{CallId, PartnerCode, ProgramId, ProposalId};
use jiff::Timestamp;

/// The programs that a partner leads or takes part in, in order.
pub async fn programs(tx: &mut Tx, code: &PartnerCode) -> Result<Vec<ProgramId>, StoreError> {
    let sql = "SELECT program_id FROM programs WHERE lead = $1 \
               UNION SELECT program_id FROM program_partners WHERE partner = $1 ORDER BY program_id";
    tx.fetch_all(sql, args![code]).await?.iter().map(|row| row.parse("program_id")).collect()
}

/// The proposals that a partner is party to, in order.
pub async fn proposals(tx: &mut Tx, code: &PartnerCode) -> Result<Vec<ProposalId>, StoreError> {
    let sql = "SELECT DISTINCT proposal_id FROM proposal_members WHERE partner = $1 ORDER BY proposal_id";
    tx.fetch_all(sql, args![code]).await?.iter().map(|row| row.parse("proposal_id")).collect()
}

/// The calls under which decisions are on the table that a partner has not signed, one for each decision.
pub async fn unsigned_decisions(tx: &mut Tx, code: &PartnerCode) -> Result<Vec<CallId>, StoreError> {
    let sql = "SELECT p.call_id FROM decisions d JOIN proposals p ON p.proposal_id = d.proposal_id \
               WHERE d.withdrawn_at IS NULL AND d.final_at IS NULL AND NOT EXISTS (\
               SELECT 1 FROM decision_signatures s WHERE s.decision_id = d.decision_id AND s.partner = $1) \
               ORDER BY p.call_id";
    tx.fetch_all(sql, args![code]).await?.iter().map(|row| row.parse("call_id")).collect()
}

/// How many of a partner's members have a key card in force.
pub async fn members_in_force(tx: &mut Tx, code: &PartnerCode, now: Timestamp) -> Result<u64, StoreError> {
    let sql = "SELECT COUNT(*) AS members FROM members \
               WHERE partner = $1 AND status = 'active' AND valid_from <= $2 AND valid_until >= $2";
    tx.fetch_one(sql, args![code, now]).await?.count("members")
}

/// How many labels name a partner, those that are no longer in force included.
pub async fn labels_naming(tx: &mut Tx, code: &PartnerCode) -> Result<u64, StoreError> {
    // LIKE of SQLite disregards letter case, so a word in lower case would keep a partner.
    let position = tx.dialect().position;
    let sql = Sql::built(format!(
        "SELECT (SELECT COUNT(*) FROM label_partners WHERE partner = $1) \
         + (SELECT COUNT(*) FROM label_statements WHERE {position}(body, $2) > 0) \
         + (SELECT COUNT(*) FROM manifests WHERE {position}(body, $2) > 0) AS labels"
    ));
    tx.fetch_one(sql, args![code, format!("\"{code}\"")]).await?.count("labels")
}
