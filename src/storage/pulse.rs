//! The database's record of time: the instant of the last entry, the latest instant at which a server was well, how long servers have run,
//! and the instant up to which the operator has accepted entries ahead of the clock. One row, which belongs to no member.

use super::{
    db::{Tx, WriteTx},
    error::StoreError,
    statement::{Sql, args},
};
use jiff::Timestamp;

/// The instants on record that a reading of the clock is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockMark {
    /// The latest instant that is on record: of the last entry, or at which a server was well.
    pub last: Timestamp,
    /// Entries up to here may be ahead of the clock: the operator knows.
    pub accepted_until: Timestamp,
    /// By the clock of the database's machine, if that may be another.
    pub database: Option<Timestamp>,
}

/// The present record.
pub async fn mark(tx: &mut Tx) -> Result<ClockMark, StoreError> {
    // INVARIANT: the only text put in is a constant of the dialect.
    let sql = Sql::built(format!(
        "SELECT at, accepted_until, {} AS machine_at, \
         (SELECT at FROM log_entries ORDER BY seq DESC LIMIT 1) AS entry_at FROM pulse",
        tx.dialect().machine_time
    ));
    let row = tx.fetch_one(sql, args![]).await?;
    let beat = row.time("at")?;
    Ok(ClockMark {
        last: row.opt_time("entry_at")?.map_or(beat, |entry| entry.max(beat)),
        accepted_until: row.time("accepted_until")?,
        database: row.opt_time("machine_at")?,
    })
}

/// When a server was last well; none where none ever was.
pub async fn last_beat(tx: &mut Tx) -> Result<Option<Timestamp>, StoreError> {
    let beat = tx.fetch_one("SELECT at FROM pulse", args![]).await?.time("at")?;
    Ok(Some(beat).filter(|beat| *beat > Timestamp::UNIX_EPOCH))
}

/// Notes that a server is well at this instant; an earlier one changes nothing but is written all the same.
pub async fn beat(tx: &mut WriteTx, at: Timestamp) -> Result<(), StoreError> {
    tx.execute("UPDATE pulse SET at = CASE WHEN at < $1 THEN $1 ELSE at END", args![at]).await?;
    Ok(())
}

/// Notes that the operator knows that entries are ahead of the clock up to this instant.
pub async fn accept(tx: &mut WriteTx, until: Timestamp) -> Result<(), StoreError> {
    tx.execute("UPDATE pulse SET accepted_until = $1", args![until]).await?;
    Ok(())
}

/// Notes that a server has run for so many hours more, by a clock that nobody sets.
pub async fn ran(tx: &mut WriteTx, hours: u32) -> Result<(), StoreError> {
    tx.execute("UPDATE pulse SET hours = hours + $1", args![hours]).await?;
    Ok(())
}
