//! Partners as the host's operator enrolled them.
//!
//! These are the operator's own acts, done on the machine itself and logged, so they need no permit.

use super::{Arg, ReadTx, Row, StoreError, Tx, WriteTx, args};
use crate::domain::{
    id::{PartnerCode, Sha256},
    suspension::Suspension,
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

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
    /// None while it takes part.
    pub suspension: Option<Suspension>,
}

const COLUMNS: &str = "SELECT partner, name, zone, card, card_sha256, suspended_at, suspended_for FROM partners";

/// The recorded state of a partner's revocation lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ListRecord {
    /// None was ever used.
    #[default]
    Never,
    /// They were found in these files, so the partner's certificates need lists.
    Found(Vec<String>),
    /// The operator has said that the partner publishes none any more.
    Waived,
}

/// A partner whose revocation lists were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundLists {
    pub partner: PartnerCode,
    /// The files that hold them.
    pub files: Vec<String>,
    /// The recorded state when they were found.
    pub before: ListRecord,
}

/// Every partner in a database that does not know yet what a suspension is.
pub async fn all_before_suspensions(tx: &mut Tx) -> Result<Vec<PartnerRow>, StoreError> {
    let sql = "SELECT partner, name, zone, card, card_sha256, CAST(NULL AS BIGINT) AS suspended_at, \
               CAST(NULL AS TEXT) AS suspended_for FROM partners ORDER BY partner";
    tx.fetch_all(sql, args![]).await?.iter().map(partner).collect()
}

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

/// Since when and why a partner takes no part, if it is enrolled and suspended.
pub async fn suspension(tx: &mut Tx, code: &PartnerCode) -> Result<Option<Suspension>, StoreError> {
    let sql = "SELECT suspended_at, suspended_for FROM partners WHERE partner = $1";
    let row = tx.fetch_optional(sql, args![code]).await?;
    Ok(row.as_ref().map(suspension_in).transpose()?.flatten())
}

/// The partners that take no part.
pub async fn suspended(tx: &mut Tx) -> Result<BTreeSet<PartnerCode>, StoreError> {
    let rows = tx.fetch_all("SELECT partner FROM partners WHERE suspended_at IS NOT NULL", args![]).await?;
    rows.iter().map(|row| row.parse("partner")).collect()
}

/// Enrols a partner, or replaces its card. A suspension stays as it is.
pub async fn enrol(tx: &mut WriteTx, row: &PartnerRow, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO partners (partner, name, zone, card, card_sha256, enrolled_at, changed_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT (partner) DO UPDATE SET name = excluded.name, \
         zone = excluded.zone, card = excluded.card, card_sha256 = excluded.card_sha256, \
         changed_at = excluded.changed_at",
        args![row.partner, row.name, row.zone, row.card, row.card_sha256, now],
    )
    .await?;
    tell_servers(tx).await
}

/// Suspends a partner, or ends its suspension.
pub async fn set_suspension(
    tx: &mut WriteTx,
    code: &PartnerCode,
    suspension: Option<Suspension>,
) -> Result<(), StoreError> {
    let (since, reason) = (suspension.map(|found| found.since), Arg::opt_text(suspension.map(|found| found.reason)));
    let sql = "UPDATE partners SET suspended_at = $2, suspended_for = $3 WHERE partner = $1";
    tx.execute(sql, args![code, since, reason]).await?;
    tell_servers(tx).await
}

/// Removes a partner whom no other row names; the database refuses it for any other one.
pub async fn remove(tx: &mut WriteTx, code: &PartnerCode) -> Result<(), StoreError> {
    tx.execute("DELETE FROM partners WHERE partner = $1", args![code]).await?;
    tell_servers(tx).await
}

/// The recorded state of revocation lists, by partner that has any.
pub async fn list_records(tx: &mut Tx) -> Result<BTreeMap<PartnerCode, ListRecord>, StoreError> {
    let rows = tx.fetch_all("SELECT partner, list_files FROM partners WHERE list_files IS NOT NULL", args![]).await?;
    let record = |row: &Row| {
        let files: Vec<_> = row.text("list_files")?.lines().map(ToOwned::to_owned).collect();
        let record = if files.is_empty() { ListRecord::Waived } else { ListRecord::Found(files) };
        Ok((row.parse("partner")?, record))
    };
    rows.iter().map(record).collect()
}

/// Records in which files a partner's revocation lists were found; without any they are waived.
pub async fn record_lists(tx: &mut WriteTx, code: &PartnerCode, files: &[String]) -> Result<(), StoreError> {
    let sql = "UPDATE partners SET list_files = $2 WHERE partner = $1";
    tx.execute(sql, args![code, files.join("\n")]).await.map(drop)
}

/// Has running servers look at the partners again.
pub async fn tell_servers(tx: &mut WriteTx) -> Result<(), StoreError> {
    tx.execute("UPDATE trust_generation SET generation = generation + 1", args![]).await.map(drop)
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
        suspension: suspension_in(row)?,
    })
}

fn suspension_in(row: &Row) -> Result<Option<Suspension>, StoreError> {
    Ok(match (row.opt_time("suspended_at")?, row.opt_parse("suspended_for")?) {
        (Some(since), Some(reason)) => Some(Suspension { since, reason }),
        _ => None,
    })
}
