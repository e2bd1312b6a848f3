//! The deadlines and review dates of calls that were moved, and those that were moved back: each stays on record.

use super::{Row, StoreError, Tx, WriteTx, args, revision::touch};
use crate::{
    domain::{
        call::{Extension, ExtensionScope, Moved},
        id::{CallId, MemberId, PartnerCode},
    },
    policy::{Action, Permit},
};
use jiff::Timestamp;

/// An extension on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtensionRow {
    /// From 1 in its call; a number is never given twice.
    pub number: u32,
    pub moved: Moved,
    pub until: Timestamp,
    pub reason: String,
    pub made_by: MemberId,
    pub made_at: Timestamp,
    pub is_withdrawn: bool,
}

/// The deadlines that were moved, of each scope the latest, and the latest date for reviews, as they are in force. However often a date was
/// moved, nothing else follows from it.
pub async fn in_force(tx: &mut Tx, call: CallId) -> Result<(Vec<Extension>, Option<Timestamp>), StoreError> {
    let sql = "SELECT scope, partner, proposal_id, MAX(until_at) AS until_at FROM call_extensions \
               WHERE call_id = $1 AND withdrawn_at IS NULL GROUP BY scope, partner, proposal_id \
               ORDER BY MIN(number)";
    let (mut deadlines, mut reviews_until) = (Vec::new(), None);
    for row in tx.fetch_all(sql, args![call]).await? {
        let until = row.time("until_at")?;
        match moved(&row)? {
            Moved::Deadline(scope) => deadlines.push(Extension { scope, until }),
            Moved::Reviews => reviews_until = reviews_until.max(Some(until)),
        }
    }
    Ok((deadlines, reviews_until))
}

/// How many extensions of a call officers of a partner have made, withdrawn ones included.
pub async fn made_by(tx: &mut Tx, call: CallId, partner: &PartnerCode) -> Result<u64, StoreError> {
    // A code holds none of the letters that LIKE reads as patterns.
    let theirs = format!("{partner}:%");
    let sql = "SELECT COUNT(*) AS made FROM call_extensions WHERE call_id = $1 AND made_by LIKE $2";
    tx.fetch_one(sql, args![call, theirs]).await?.count("made")
}

/// Every extension of a call, withdrawn or not, in the order in which they were made.
pub async fn of_call(tx: &mut Tx, call: CallId) -> Result<Vec<ExtensionRow>, StoreError> {
    let sql = "SELECT number, scope, partner, proposal_id, until_at, reason, made_by, made_at, withdrawn_at \
               FROM call_extensions WHERE call_id = $1 ORDER BY number";
    tx.fetch_all(sql, args![call]).await?.iter().map(extension).collect()
}

/// A page of those in force, after a number.
pub async fn some_in_force(tx: &mut Tx, call: CallId, after: u32, limit: u32) -> Result<Vec<ExtensionRow>, StoreError> {
    let sql = "SELECT number, scope, partner, proposal_id, until_at, reason, made_by, made_at, withdrawn_at \
               FROM call_extensions WHERE call_id = $1 AND withdrawn_at IS NULL AND number > $2 ORDER BY number LIMIT $3";
    tx.fetch_all(sql, args![call, after, limit]).await?.iter().map(extension).collect()
}

fn extension(row: &Row) -> Result<ExtensionRow, StoreError> {
    Ok(ExtensionRow {
        number: number(row, "number")?,
        moved: moved(row)?,
        until: row.time("until_at")?,
        reason: row.text("reason")?,
        made_by: row.parse("made_by")?,
        made_at: row.time("made_at")?,
        is_withdrawn: row.opt_time("withdrawn_at")?.is_some(),
    })
}

/// Moves a deadline or the date for reviews; its number. The permit is for the call, also to bring it back, or for the one proposal that
/// gets more time.
pub async fn make(
    tx: &mut WriteTx,
    permit: &Permit,
    call: CallId,
    moved: &Moved,
    until: Timestamp,
    reason: &str,
    now: Timestamp,
) -> Result<u32, StoreError> {
    assert!(is_covered(permit, call, moved));
    let (scope, partner, proposal) = match moved {
        Moved::Deadline(ExtensionScope::Everyone) => ("everyone", None, None),
        Moved::Deadline(ExtensionScope::Partner(partner)) => ("partner", Some(partner.clone()), None),
        Moved::Deadline(ExtensionScope::Proposal(proposal)) => ("proposal", None, Some(*proposal)),
        Moved::Reviews => ("reviews", None, None),
    };
    let sql = "SELECT COALESCE(MAX(number), 0) + 1 AS next FROM call_extensions WHERE call_id = $1";
    let number = number(&tx.fetch_one(sql, args![call]).await?, "next")?;
    tx.execute(
        "INSERT INTO call_extensions (call_id, number, scope, partner, proposal_id, until_at, reason, made_by, made_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        args![call, number, scope, partner, proposal, until, reason, permit.principal(), now],
    )
    .await?;
    touch(tx, call).await?;
    Ok(number)
}

/// Marks an extension as withdrawn, so that it no longer counts.
pub async fn withdraw(
    tx: &mut WriteTx,
    permit: &Permit,
    call: CallId,
    extension: &ExtensionRow,
    reason: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    assert!(is_covered(permit, call, &extension.moved));
    tx.execute(
        "UPDATE call_extensions SET withdrawn_at = $3, withdrawn_by = $4, withdrawn_reason = $5 \
         WHERE call_id = $1 AND number = $2",
        args![call, extension.number, now, permit.principal(), reason],
    )
    .await?;
    touch(tx, call).await
}

fn is_covered(permit: &Permit, call: CallId, moved: &Moved) -> bool {
    permit.covers_call(&[Action::ExtendCall, Action::CancelCall], call)
        || matches!(moved, Moved::Deadline(ExtensionScope::Proposal(proposal))
            if permit.covers_proposal(&[Action::ExtendProposal], *proposal))
}

fn moved(row: &Row) -> Result<Moved, StoreError> {
    let partner: Option<PartnerCode> = row.opt_parse("partner")?;
    match (row.text("scope")?.as_str(), partner, row.opt_parse("proposal_id")?) {
        ("everyone", None, None) => Ok(Moved::Deadline(ExtensionScope::Everyone)),
        ("partner", Some(partner), None) => Ok(Moved::Deadline(ExtensionScope::Partner(partner))),
        ("proposal", None, Some(proposal)) => Ok(Moved::Deadline(ExtensionScope::Proposal(proposal))),
        ("reviews", None, None) => Ok(Moved::Reviews),
        _ => Err(StoreError::corrupt("scope", "a scope with what it is about")),
    }
}

fn number(row: &Row, column: &str) -> Result<u32, StoreError> {
    u32::try_from(row.int(column)?).map_err(|_| StoreError::corrupt(column, "a small number"))
}
