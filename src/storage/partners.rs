//! Partners as the host's operator enrolled them.
//!
//! These are the operator's own acts, done on the machine itself and logged: the only writes that need no permit.

use super::{ReadTx, Row, StoreError, Tx, WriteTx, args};
use crate::domain::id::{PartnerCode, Sha256};
use jiff::Timestamp;

/// A partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartnerRow {
    pub partner: PartnerCode,
    pub name: String,
    /// IANA time zone.
    pub zone: String,
    /// The partner card in canonical JSON.
    pub card: String,
    pub card_sha256: Sha256,
}

const COLUMNS: &str = "SELECT partner, name, zone, card, card_sha256 FROM partners";

/// Every partner, by code. There are tens of them.
pub async fn all(tx: &mut Tx) -> Result<Vec<PartnerRow>, StoreError> {
    let sql = super::Sql::built(format!("{COLUMNS} ORDER BY partner"));
    tx.fetch_all(sql, args![]).await?.iter().map(partner).collect()
}

/// One partner.
pub async fn find(tx: &mut Tx, code: &PartnerCode) -> Result<Option<PartnerRow>, StoreError> {
    let sql = super::Sql::built(format!("{COLUMNS} WHERE partner = $1"));
    tx.fetch_optional(sql, args![code]).await?.as_ref().map(partner).transpose()
}

/// Enrols a partner, or replaces its card.
pub async fn enrol(tx: &mut WriteTx, row: &PartnerRow, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO partners (partner, name, zone, card, card_sha256, enrolled_at, changed_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT (partner) DO UPDATE SET name = excluded.name, \
         zone = excluded.zone, card = excluded.card, card_sha256 = excluded.card_sha256, \
         changed_at = excluded.changed_at",
        args![row.partner, row.name, row.zone, row.card, row.card_sha256, now],
    )
    .await?;
    tx.execute("UPDATE trust_generation SET generation = generation + 1", args![]).await?;
    Ok(())
}

/// Counts up with each change of a partner.
pub async fn generation(tx: &mut ReadTx) -> Result<i64, StoreError> {
    tx.fetch_one("SELECT generation FROM trust_generation", args![]).await?.int("generation")
}

fn partner(row: &Row) -> Result<PartnerRow, StoreError> {
    Ok(PartnerRow {
        partner: row.parse("partner")?,
        name: row.text("name")?,
        zone: row.text("zone")?,
        card: row.text("card")?,
        card_sha256: row.parse("card_sha256")?,
    })
}
