//! Programs and the partners that take part in them.

use super::{StoreError, Tx, WriteTx, args};
use crate::{
    domain::id::{MemberId, PartnerCode, ProgramId},
    policy::{Action, Permit},
};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// A program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramRow {
    pub id: ProgramId,
    pub name: String,
    pub lead: PartnerCode,
    pub partners: BTreeSet<PartnerCode>,
    pub created_by: MemberId,
    pub created_at: Timestamp,
}

/// One program.
pub async fn find(tx: &mut Tx, id: ProgramId) -> Result<Option<ProgramRow>, StoreError> {
    let sql = "SELECT name, lead, created_by, created_at FROM programs WHERE program_id = $1";
    let Some(row) = tx.fetch_optional(sql, args![id]).await? else { return Ok(None) };
    let partners =
        tx.fetch_all("SELECT partner FROM program_partners WHERE program_id = $1 ORDER BY partner", args![id]).await?;
    Ok(Some(ProgramRow {
        id,
        name: row.text("name")?,
        lead: row.parse("lead")?,
        partners: partners.iter().map(|row| row.parse("partner")).collect::<Result<_, _>>()?,
        created_by: row.parse("created_by")?,
        created_at: row.time("created_at")?,
    }))
}

/// How many programs a partner leads.
pub async fn led_by(tx: &mut Tx, lead: &PartnerCode) -> Result<u64, StoreError> {
    tx.fetch_one("SELECT COUNT(*) AS programs FROM programs WHERE lead = $1", args![lead]).await?.count("programs")
}

/// The identifiers after `after`, in order.
pub async fn ids(tx: &mut Tx, after: Option<ProgramId>, limit: u32) -> Result<Vec<ProgramId>, StoreError> {
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    let sql = "SELECT program_id FROM programs WHERE program_id > $1 ORDER BY program_id LIMIT $2";
    tx.fetch_all(sql, args![after, limit]).await?.iter().map(|row| row.parse("program_id")).collect()
}

/// Creates a program.
pub async fn create(tx: &mut WriteTx, permit: &Permit, row: &ProgramRow) -> Result<(), StoreError> {
    assert!(permit.covers_exchange(&[Action::CreateProgram]));
    let sql = "INSERT INTO programs (program_id, name, lead, created_by, created_at) VALUES ($1, $2, $3, $4, $5)";
    tx.execute(sql, args![row.id, row.name, row.lead, row.created_by, row.created_at]).await?;
    for partner in &row.partners {
        let sql = "INSERT INTO program_partners (program_id, partner) VALUES ($1, $2)";
        tx.execute(sql, args![row.id, partner]).await?;
    }
    Ok(())
}
