//! Versions of policies: the guardrails' and each partner's, as their policy officers signed them.

use super::{Row, Sql, StoreError, Tx, WriteTx, args};
use crate::{
    domain::{
        id::{MemberId, PartnerCode},
        policy::{PolicyOwner, PolicyVersion},
    },
    policy::{Action, Permit},
};
use jiff::Timestamp;

/// A version with its text and what was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRow {
    pub owner: PolicyOwner,
    pub text: String,
    /// Compact JWS of the proposer's statement.
    pub statement: String,
    pub version: PolicyVersion,
    pub proposed_at: Timestamp,
    pub approval: Option<ApprovalRow>,
    pub withdrawn: Option<(MemberId, Timestamp)>,
}

/// The second policy officer's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalRow {
    /// Compact JWS.
    pub statement: String,
    pub by: MemberId,
    pub at: Timestamp,
    /// The changes that the preview showed them, canonical JSON.
    pub preview: Option<String>,
}

const COLUMNS: &str = "SELECT owner, version, text, statement, statement_sha256, active_at, proposed_by, proposed_at, approval, \
                       approved_by, approved_at, withdrawn_by, withdrawn_at, preview FROM policy_versions";

/// Counts up whenever what is in force may change.
pub async fn generation(tx: &mut Tx) -> Result<i64, StoreError> {
    tx.fetch_one("SELECT generation FROM policy_generation WHERE one = 1", args![]).await?.int("generation")
}

/// Every owner that has a version.
pub async fn owners(tx: &mut Tx) -> Result<Vec<PolicyOwner>, StoreError> {
    let rows = tx.fetch_all("SELECT DISTINCT owner FROM policy_versions ORDER BY owner", args![]).await?;
    rows.iter().map(|row| row.parse("owner")).collect()
}

/// The versions of an owner that count now or can later, lowest first, without texts: the one in force, and later ones that were not taken
/// back. However many there were before, and however many were taken back, they are few.
pub async fn standing(tx: &mut Tx, owner: &PolicyOwner, now: Timestamp) -> Result<Vec<PolicyVersion>, StoreError> {
    let sql = "SELECT version, statement_sha256, active_at, proposed_by, approved_at FROM policy_versions \
               WHERE owner = $1 AND withdrawn_at IS NULL AND version >= COALESCE((SELECT version FROM policy_versions \
               WHERE owner = $1 AND withdrawn_at IS NULL AND approved_at <= $2 AND active_at <= $2 \
               ORDER BY version DESC LIMIT 1), 0) ORDER BY version";
    tx.fetch_all(sql, args![owner.to_string(), now]).await?.iter().map(|row| version(row, false)).collect()
}

/// The highest number of an owner's versions, that of those which were taken back included; 0 before the first.
pub async fn last(tx: &mut Tx, owner: &PolicyOwner) -> Result<u32, StoreError> {
    let sql = "SELECT COALESCE(MAX(version), 0) AS version FROM policy_versions WHERE owner = $1";
    number(&tx.fetch_one(sql, args![owner.to_string()]).await?)
}

/// A stretch of an owner's versions, lowest first: of all, or of those alone that count, did or will.
pub async fn some(
    tx: &mut Tx,
    owner: &PolicyOwner,
    is_all: bool,
    after: u32,
    limit: u32,
) -> Result<Vec<PolicyRow>, StoreError> {
    let which = if is_all { "" } else { "AND approved_at IS NOT NULL AND withdrawn_at IS NULL" };
    let sql = Sql::built(format!("{COLUMNS} WHERE owner = $1 AND version > $2 {which} ORDER BY version LIMIT $3"));
    tx.fetch_all(sql, args![owner.to_string(), after, limit]).await?.iter().map(read).collect()
}

/// When the last of so many versions of an owner's policies was proposed after then, the newest first, if there are as many.
pub async fn proposed_since(
    tx: &mut Tx,
    owner: &PolicyOwner,
    since: Timestamp,
    many: u64,
) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT proposed_at FROM policy_versions WHERE owner = $1 AND proposed_at > $2 \
               ORDER BY proposed_at DESC LIMIT 1 OFFSET $3";
    let row = tx.fetch_optional(sql, args![owner.to_string(), since, many.saturating_sub(1)]).await?;
    row.map(|row| row.time("proposed_at")).transpose()
}

/// One version.
pub async fn find(tx: &mut Tx, owner: &PolicyOwner, number: u32) -> Result<Option<PolicyRow>, StoreError> {
    let sql = Sql::built(format!("{COLUMNS} WHERE owner = $1 AND version = $2"));
    tx.fetch_optional(sql, args![owner.to_string(), number]).await?.as_ref().map(read).transpose()
}

/// Keeps a proposed version.
pub async fn propose(
    tx: &mut WriteTx,
    permit: &Permit,
    partner: &PartnerCode,
    row: &PolicyRow,
) -> Result<(), StoreError> {
    let version = &row.version;
    assert!(
        permit.covers_partner(&[propose_action(&row.owner)], partner) && version.proposed_by == *permit.principal()
    );
    tx.execute(
        "INSERT INTO policy_versions (owner, version, text, statement, statement_sha256, active_at, proposed_by, proposed_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        args![
            row.owner.to_string(),
            version.number,
            row.text,
            row.statement,
            version.statement,
            version.active_at,
            version.proposed_by,
            row.proposed_at
        ],
    )
    .await?;
    Ok(())
}

/// Keeps the second signature.
pub async fn approve(
    tx: &mut WriteTx,
    permit: &Permit,
    partner: &PartnerCode,
    owner: &PolicyOwner,
    number: u32,
    approval: &ApprovalRow,
) -> Result<(), StoreError> {
    assert!(permit.covers_partner(&[approve_action(owner)], partner) && approval.by == *permit.principal());
    tx.execute(
        "UPDATE policy_versions SET approval = $3, approved_by = $4, approved_at = $5, preview = $6 \
         WHERE owner = $1 AND version = $2",
        args![owner.to_string(), number, approval.statement, approval.by, approval.at, approval.preview],
    )
    .await?;
    changed(tx).await
}

/// Takes a version back that has not taken effect.
pub async fn withdraw(
    tx: &mut WriteTx,
    permit: &Permit,
    partner: &PartnerCode,
    owner: &PolicyOwner,
    number: u32,
    now: Timestamp,
) -> Result<(), StoreError> {
    assert!(permit.covers_partner(&[withdraw_action(owner)], partner));
    tx.execute(
        "UPDATE policy_versions SET withdrawn_by = $3, withdrawn_at = $4 WHERE owner = $1 AND version = $2",
        args![owner.to_string(), number, permit.principal(), now],
    )
    .await?;
    changed(tx).await
}

/// The action by which policies of this owner are proposed.
#[must_use]
pub fn propose_action(owner: &PolicyOwner) -> Action {
    if *owner == PolicyOwner::Guardrails { Action::ProposeGuardrails } else { Action::ProposePolicy }
}

/// The action by which policies of this owner are approved.
#[must_use]
pub fn approve_action(owner: &PolicyOwner) -> Action {
    if *owner == PolicyOwner::Guardrails { Action::ApproveGuardrails } else { Action::ApprovePolicy }
}

/// The action by which policies of this owner are taken back.
#[must_use]
pub fn withdraw_action(owner: &PolicyOwner) -> Action {
    if *owner == PolicyOwner::Guardrails { Action::WithdrawGuardrails } else { Action::WithdrawPolicy }
}

async fn changed(tx: &mut WriteTx) -> Result<(), StoreError> {
    tx.execute("UPDATE policy_generation SET generation = generation + 1 WHERE one = 1", args![]).await?;
    Ok(())
}

fn number(row: &Row) -> Result<u32, StoreError> {
    u32::try_from(row.int("version")?).map_err(|_| StoreError::corrupt("version", "a small number"))
}

fn version(row: &Row, is_withdrawn: bool) -> Result<PolicyVersion, StoreError> {
    Ok(PolicyVersion {
        number: number(row)?,
        statement: row.parse("statement_sha256")?,
        proposed_by: row.parse("proposed_by")?,
        active_at: row.time("active_at")?,
        approved_at: row.opt_time("approved_at")?,
        is_withdrawn,
    })
}

fn read(row: &Row) -> Result<PolicyRow, StoreError> {
    let approval = match (row.opt_text("approval")?, row.opt_parse("approved_by")?, row.opt_time("approved_at")?) {
        (Some(statement), Some(by), Some(at)) => {
            Some(ApprovalRow { statement, by, at, preview: row.opt_text("preview")? })
        }
        _ => None,
    };
    Ok(PolicyRow {
        owner: row.parse("owner")?,
        text: row.text("text")?,
        statement: row.text("statement")?,
        version: version(row, row.opt_time("withdrawn_at")?.is_some())?,
        proposed_at: row.time("proposed_at")?,
        approval,
        withdrawn: row.opt_parse("withdrawn_by")?.zip(row.opt_time("withdrawn_at")?),
    })
}
