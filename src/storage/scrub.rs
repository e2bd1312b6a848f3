//! How far the daily check of all bytes has come, and which server goes on with it.
//!
//! One of several servers holds the check at a time, for a while and then again; when it stops, another goes on from there. A time in the
//! future binds nobody: it comes from a clock that was wrong.

use super::{BlobKey, Row, StoreError, Tx, WriteTx, args};
use jiff::{SignedDuration, Timestamp};

/// For how long a server holds the check without saying that it goes on; longer than one document takes.
pub const LEASE: SignedDuration = SignedDuration::from_hours(1);

/// How often a check begins.
pub const EVERY: SignedDuration = SignedDuration::from_hours(24);

/// The last check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scrub {
    pub began_at: Timestamp,
    /// The last blob that was looked at.
    pub after: Option<BlobKey>,
    pub ended_at: Option<Timestamp>,
    /// Documents of it that the disk did not give.
    found_unreadable: u64,
    /// The same of the whole check before it.
    unreadable_before: u64,
    holder: String,
    held_until: Timestamp,
}

/// The last check, if there was any.
pub async fn last(tx: &mut Tx) -> Result<Option<Scrub>, StoreError> {
    let sql =
        "SELECT began_at, after_blob, ended_at, unreadable, unreadable_before, holder, held_until FROM blob_scrub";
    tx.fetch_optional(sql, args![]).await?.as_ref().map(read).transpose()
}

impl Scrub {
    /// Whether somebody has to go on with this check or begin the next.
    #[must_use]
    pub fn is_due(&self, holder: &str, now: Timestamp) -> bool {
        let is_held = self.holder != holder && now < self.held_until && self.held_until <= now + LEASE;
        let is_over = self.ended_at.is_some() && self.began_at <= now && now < self.began_at + EVERY;
        !is_held && !is_over
    }

    /// How many documents the disk did not give. Until a check has come to its end, what the one before found holds, too.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        if self.ended_at.is_some() { self.found_unreadable } else { self.found_unreadable.max(self.unreadable_before) }
    }

    /// The instant from which its age counts: its end, or its beginning while it goes on or after it was broken off.
    #[must_use]
    pub fn checked_at(&self) -> Timestamp {
        self.ended_at.unwrap_or(self.began_at)
    }
}

/// Takes over the check that is due, or begins the next: the last blob that was looked at. None when nothing is due.
pub async fn claim(tx: &mut WriteTx, holder: &str, now: Timestamp) -> Result<Option<Scrub>, StoreError> {
    let last = last(tx).await?;
    if last.as_ref().is_some_and(|last| !last.is_due(holder, now)) {
        return Ok(None);
    }
    let (holder, held_until) = (holder.to_owned(), now + LEASE);
    let scrub = match last {
        // It keeps its beginning, so that its age is seen however often it is broken off; no beginning lies in the future.
        Some(last) if last.ended_at.is_none() => Scrub { began_at: last.began_at.min(now), holder, held_until, ..last },
        last => {
            let unreadable_before = last.map_or(0, |last| last.unreadable());
            Scrub {
                began_at: now,
                after: None,
                ended_at: None,
                found_unreadable: 0,
                unreadable_before,
                holder,
                held_until,
            }
        }
    };
    tx.execute(
        "INSERT INTO blob_scrub (one, began_at, after_blob, ended_at, unreadable, unreadable_before, holder, held_until) \
         VALUES (1, $1, $2, NULL, $3, $4, $5, $6) ON CONFLICT (one) DO UPDATE SET began_at = excluded.began_at, \
         after_blob = excluded.after_blob, ended_at = NULL, unreadable = excluded.unreadable, \
         unreadable_before = excluded.unreadable_before, holder = excluded.holder, held_until = excluded.held_until",
        args![
            scrub.began_at,
            scrub.after.as_ref().map(ToString::to_string).unwrap_or_default(),
            scrub.found_unreadable,
            scrub.unreadable_before,
            scrub.holder,
            scrub.held_until
        ],
    )
    .await?;
    Ok(Some(scrub))
}

/// Notes how far this server has come, and how many more documents the disk did not give; false when another has taken the check over.
pub async fn advance(
    tx: &mut WriteTx,
    holder: &str,
    after: &BlobKey,
    unreadable: u64,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "UPDATE blob_scrub SET after_blob = $2, unreadable = unreadable + $3, held_until = $4 \
               WHERE holder = $1 AND ended_at IS NULL";
    Ok(tx.execute(sql, args![holder, after, unreadable, now + LEASE]).await? > 0)
}

/// Notes what somebody has found who looked at everything beside the daily check: one that is under way is over by that.
pub async fn found_unreadable(tx: &mut WriteTx, documents: u64, now: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE blob_scrub SET unreadable = $1, unreadable_before = $1, ended_at = COALESCE(ended_at, $2)";
    tx.execute(sql, args![documents, now]).await.map(drop)
}

/// Notes that everything was looked at.
pub async fn end(tx: &mut WriteTx, holder: &str, now: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE blob_scrub SET ended_at = $2 WHERE holder = $1 AND ended_at IS NULL";
    tx.execute(sql, args![holder, now]).await?;
    Ok(())
}

fn read(row: &Row) -> Result<Scrub, StoreError> {
    let after = row.text("after_blob")?;
    Ok(Scrub {
        began_at: row.time("began_at")?,
        after: if after.is_empty() { None } else { Some(after.parse()?) },
        ended_at: row.opt_time("ended_at")?,
        found_unreadable: row.count("unreadable")?,
        unreadable_before: row.count("unreadable_before")?,
        holder: row.text("holder")?,
        held_until: row.time("held_until")?,
    })
}
