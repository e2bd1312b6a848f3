//! Proposals by what people call them: the code of a call and a number within it.

use super::{StoreError, Tx, args};
use crate::domain::{
    id::{CallId, ProposalId},
    reference::{CallCode, Reference},
};

/// The proposals with a reference: of each program that has a call with its code one at the most.
pub async fn referred_to(tx: &mut Tx, reference: &Reference) -> Result<Vec<ProposalId>, StoreError> {
    let sql = "SELECT p.proposal_id FROM calls c JOIN proposals p ON p.call_id = c.call_id \
               WHERE c.code = $1 AND c.version > 0 AND c.code <> '' AND p.number = $2 AND p.number <> '' ORDER BY p.proposal_id";
    let rows = tx.fetch_all(sql, args![reference.code(), reference.number()]).await?;
    rows.iter().map(|row| row.parse("proposal_id")).collect()
}

/// Some proposal: of a published call with the code, or else any at all.
pub async fn some_other(tx: &mut Tx, code: &CallCode) -> Result<Option<ProposalId>, StoreError> {
    let under = "SELECT p.proposal_id FROM calls c JOIN proposals p ON p.call_id = c.call_id \
                 WHERE c.code = $1 AND c.version > 0 AND c.code <> '' LIMIT 1";
    let found = match tx.fetch_optional(under, args![code]).await? {
        None => tx.fetch_optional("SELECT proposal_id FROM proposals ORDER BY proposal_id LIMIT 1", args![]).await?,
        found => found,
    };
    found.map(|row| row.parse("proposal_id")).transpose()
}

/// Whether a proposal under the call has the number.
pub async fn is_number_taken(tx: &mut Tx, call: CallId, number: &str) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM proposals WHERE call_id = $1 AND number = $2 AND number <> '') AS is_taken";
    tx.fetch_one(sql, args![call, number]).await?.bool("is_taken")
}
