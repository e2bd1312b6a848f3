//! Remembers the answer to a request that had an idempotency key, so that the same request sent again gets the same answer and has no
//! second effect.
//!
//! The record is written in the unit of work of the effect itself: either both are there or neither. The caller takes
//! `request_sha256` over method, path and body; it shows whether a request is the same. `address_sha256` is over method and path alone, and is
//! compared where the body is not here yet.

use super::{
    db::{Db, Tx, WriteTx},
    error::StoreError,
    statement::args,
};
use crate::domain::id::{MemberId, Sha256};
use jiff::Timestamp;

/// A request and the answer it got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The digest of the request.
    pub request_sha256: Sha256,
    /// The digest of its method and address alone; none of one that was kept before there were such digests.
    pub address_sha256: Option<Sha256>,
    /// The HTTP status of the answer.
    pub status: u16,
    /// Its `Content-Type`.
    pub content_type: Option<String>,
    /// Its body.
    pub body: Vec<u8>,
    /// Its `ETag`.
    pub etag: Option<String>,
    /// Its `Location`.
    pub location: Option<String>,
    /// When it was given.
    pub created_at: Timestamp,
}

/// The answer that `member` got under `key`.
pub async fn find(tx: &mut Tx, member: &MemberId, key: &str) -> Result<Option<Recorded>, StoreError> {
    let row = tx
        .fetch_optional(
            "SELECT request_sha256, address_sha256, status, content_type, body, etag, location, created_at FROM idempotency_keys \
             WHERE member = $1 AND key = $2",
            args![member, key],
        )
        .await?;
    row.map(|row| {
        Ok(Recorded {
            request_sha256: row.parse("request_sha256")?,
            address_sha256: row.opt_parse("address_sha256")?,
            status: u16::try_from(row.int("status")?).map_err(|_| StoreError::corrupt("status", "an HTTP status"))?,
            content_type: row.opt_text("content_type")?,
            body: row.bytes("body")?,
            etag: row.opt_text("etag")?,
            location: row.opt_text("location")?,
            created_at: row.time("created_at")?,
        })
    })
    .transpose()
}

/// The same of a unit of work whose commit got no answer. When nothing is found, nothing of it will ever be there.
pub async fn find_settled(db: &Db, member: &MemberId, key: &str) -> Result<Option<Recorded>, StoreError> {
    // It had its turn until it ended: the one with a turn now sees what became of it.
    let mut tx = db.write().await?;
    let found = find(&mut tx, member, key).await?;
    if found.is_none() {
        // SQLite may have left pages of it in the file, which a start after a power cut would find: the next commit overwrites them.
        tx.execute("UPDATE pulse SET at = at", args![]).await?;
        tx.commit().await?;
    }
    Ok(found)
}

/// Records the answer given to `member` under `key`.
///
/// # Errors
/// The constraint `idempotency_keys_pkey` when there is one already: [`find`] in the same unit of work comes first.
pub async fn record(tx: &mut WriteTx, member: &MemberId, key: &str, answer: &Recorded) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO idempotency_keys \
         (member, key, request_sha256, address_sha256, status, content_type, body, etag, location, created_at, hours) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, (SELECT hours FROM pulse))",
        args![
            member,
            key,
            answer.request_sha256,
            answer.address_sha256,
            answer.status,
            answer.content_type,
            answer.body,
            answer.etag,
            answer.location,
            answer.created_at
        ],
    )
    .await?;
    Ok(())
}

/// Forgets the answers given before `older_than` if servers have run for `hours` since; how many. The hours keep a clock that
/// has jumped ahead from making everything old.
pub async fn expire(tx: &mut WriteTx, older_than: Timestamp, hours: u32) -> Result<u64, StoreError> {
    let sql = "DELETE FROM idempotency_keys WHERE created_at < $1 AND hours <= (SELECT hours FROM pulse) - $2";
    tx.execute(sql, args![older_than, hours]).await
}
