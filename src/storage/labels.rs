//! Labels: the one in force for each proposal, and the relabellings that its parties sign.

use super::{Row, StoreError, Tx, WriteTx, args, proposals::SignatureRow, visible::parties_key};
use crate::{
    domain::{
        id::{ProposalId, Sha256},
        label::Label,
    },
    policy::{Action, Permit},
};
use jiff::Timestamp;

/// A relabelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelRow {
    pub number: u32,
    /// The manifest of the version that it is about.
    pub manifest: Sha256,
    pub sha256: Sha256,
    /// Its statement in canonical JSON.
    pub body: String,
    /// When every party had signed, if all have.
    pub in_force_at: Option<Timestamp>,
}

/// Under which a label takes effect: with a signature, or with the last document of a version.
const WRITERS: &[Action] = &[Action::Sign, Action::Upload];

/// The number of the newest relabelling of a proposal, 0 if there is none. They are numbered without a gap.
pub async fn newest(tx: &mut Tx, id: ProposalId) -> Result<u32, StoreError> {
    let sql = "SELECT COALESCE(MAX(number), 0) AS number FROM label_statements WHERE proposal_id = $1";
    number(&tx.fetch_one(sql, args![id]).await?)
}

/// The relabelling of a proposal with this digest: its parties sign the same statement.
pub async fn with_digest(tx: &mut Tx, id: ProposalId, sha256: Sha256) -> Result<Option<LabelRow>, StoreError> {
    let sql = "SELECT number, manifest_sha256, sha256, body, in_force_at FROM label_statements \
               WHERE proposal_id = $1 AND sha256 = $2 ORDER BY number LIMIT 1";
    tx.fetch_optional(sql, args![id, sha256]).await?.as_ref().map(read).transpose()
}

/// The relabellings of a proposal after a number, in order, so many.
pub async fn some_statements(tx: &mut Tx, id: ProposalId, after: u32, limit: u32) -> Result<Vec<LabelRow>, StoreError> {
    let sql = "SELECT number, manifest_sha256, sha256, body, in_force_at FROM label_statements \
               WHERE proposal_id = $1 AND number > $2 ORDER BY number LIMIT $3";
    tx.fetch_all(sql, args![id, after, limit]).await?.iter().map(read).collect()
}

/// The relabelling that holds for the version with this manifest.
pub async fn in_force(tx: &mut Tx, id: ProposalId, manifest: Sha256) -> Result<Option<LabelRow>, StoreError> {
    let sql = "SELECT number, manifest_sha256, sha256, body, in_force_at FROM label_statements \
               WHERE proposal_id = $1 AND manifest_sha256 = $2 AND in_force_at IS NOT NULL ORDER BY number DESC LIMIT 1";
    tx.fetch_optional(sql, args![id, manifest]).await?.as_ref().map(read).transpose()
}

fn read(row: &Row) -> Result<LabelRow, StoreError> {
    Ok(LabelRow {
        number: number(row)?,
        manifest: row.parse("manifest_sha256")?,
        sha256: row.parse("sha256")?,
        body: row.text("body")?,
        in_force_at: row.opt_time("in_force_at")?,
    })
}

fn number(row: &Row) -> Result<u32, StoreError> {
    u32::try_from(row.int("number")?).map_err(|_| StoreError::corrupt("number", "a small number"))
}

/// The signatures under a relabelling, by partner.
pub async fn signatures(tx: &mut Tx, id: ProposalId, number: u32) -> Result<Vec<SignatureRow>, StoreError> {
    let sql =
        "SELECT partner, member, jws FROM label_signatures WHERE proposal_id = $1 AND number = $2 ORDER BY partner";
    let rows = tx.fetch_all(sql, args![id, number]).await?;
    rows.iter()
        .map(|row| {
            Ok(SignatureRow { partner: row.parse("partner")?, member: row.parse("member")?, jws: row.text("jws")? })
        })
        .collect()
}

/// Proposes a relabelling.
pub async fn add(
    tx: &mut WriteTx,
    permit: &Permit,
    id: ProposalId,
    row: &LabelRow,
    now: Timestamp,
) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::Sign], id));
    tx.execute(
        "INSERT INTO label_statements (proposal_id, number, manifest_sha256, sha256, body, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6)",
        args![id, row.number, row.manifest, row.sha256, row.body, now],
    )
    .await?;
    Ok(())
}

/// Adds the principal's signature under a relabelling.
pub async fn sign(
    tx: &mut WriteTx,
    permit: &Permit,
    id: ProposalId,
    number: u32,
    jws: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::Sign], id));
    let member = permit.principal();
    tx.execute(
        "INSERT INTO label_signatures (proposal_id, number, partner, member, jws, signed_at) \
         VALUES ($1, $2, $3, $4, $5, $6)",
        args![id, number, member.partner(), member, jws, now],
    )
    .await?;
    Ok(())
}

/// Notes that every party has signed a relabelling.
pub async fn complete(
    tx: &mut WriteTx,
    permit: &Permit,
    id: ProposalId,
    number: u32,
    now: Timestamp,
) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::Sign], id));
    let sql = "UPDATE label_statements SET in_force_at = $3 WHERE proposal_id = $1 AND number = $2";
    tx.execute(sql, args![id, number, now]).await?;
    Ok(())
}

/// Puts a label in force, or takes away the one that is.
pub async fn put(tx: &mut WriteTx, permit: &Permit, id: ProposalId, label: Option<&Label>) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(WRITERS, id));
    tx.execute("DELETE FROM label_partners WHERE proposal_id = $1", args![id]).await?;
    tx.execute("DELETE FROM label_caveats WHERE proposal_id = $1", args![id]).await?;
    for partner in label.into_iter().flat_map(|label| &label.releasable_to) {
        let sql = "INSERT INTO label_partners (proposal_id, partner) VALUES ($1, $2)";
        tx.execute(sql, args![id, partner]).await?;
    }
    for caveat in label.into_iter().flat_map(|label| &label.caveats) {
        tx.execute("INSERT INTO label_caveats (proposal_id, caveat) VALUES ($1, $2)", args![id, caveat]).await?;
    }
    let key = label.map(|label| parties_key(&label.releasable_to)).unwrap_or_default();
    tx.execute("UPDATE proposals SET releasable_key = $2 WHERE proposal_id = $1", args![id, key]).await?;
    Ok(())
}
