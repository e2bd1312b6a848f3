//! Upkeep of the folder of documents, daily by the server and by hand by the operator: sweep blobs that no document names into quarantine,
//! and check every byte of every document.
//!
//! INVARIANT: nothing that a document names, or named in any copy of the database, is removed here without the operator's order.

use super::{
    Exchange, Result, damage,
    sealed_bytes::give_up,
    state, time,
    unit::{Subject, new_entry},
};
use crate::{
    domain::id::ProposalId,
    storage::{
        BlobKey, Db, StoreError, Tx, announced,
        documents::{self, DocumentRow},
        entries,
        held_blobs::{self, HeldBlob},
        mark::{self, Mark},
        pulse,
        scrub::{self, Scrub},
        sweep::{Extent, Quarantined, Swept},
        uploads,
    },
    wire::entry::payloads::{DocumentNamed, Payload},
};
use futures_util::TryStreamExt as _;
use jiff::{SignedDuration, Timestamp};
use std::{collections::HashSet, error::Error as _, time::Duration};

/// Younger files are left alone: longer than any upload takes, so a blob on its way into a row is younger.
const YOUNG: SignedDuration = SignedDuration::from_hours(24);

/// How many documents go in one unit of work.
const AT_ONCE: u32 = 20;

/// How many documents are read from the database at a time.
const BATCH: u32 = 100;

/// How often it is noted how far a look at all bytes has come: well within the time for which a server holds it.
const NOTE: SignedDuration = SignedDuration::from_mins(5);

/// Between two pieces of a quarter of a MiB: at most 16 MiB a second, 1.4 TB a day. With more than that a look takes longer than a day,
/// and the next one begins when it is over.
pub const GENTLE: Duration = Duration::from_micros(15_625);

/// How many documents that cannot be read are named at most.
const NAMED: usize = 1000;

/// The findings of a check of bytes.
#[derive(Debug, Default)]
pub struct Scrubbed {
    pub documents: u64,
    pub bytes: u64,
    /// Missing, or of another size or digest.
    pub damaged: u64,
    /// Damaged before, and right now.
    pub recovered: u64,
    /// The disk did not give them; nothing is known of them.
    pub unreadable: u64,
    /// The first thousand of these, and why. They are noted nowhere: the next look may be able to read them.
    pub named: Vec<(HeldBlob, StoreError)>,
}

/// By what age is judged.
struct Instants {
    /// By a clock that can be relied on.
    now: Timestamp,
    /// The latest instant that is on record. Nothing is on record by a clock that jumped while servers ran, so files are old by this one alone.
    on_record: Timestamp,
}

/// The instants at which something may be moved or removed.
///
/// # Errors
/// When the clock cannot be relied on.
async fn instants(exchange: &Exchange) -> Result<Instants> {
    let mark = pulse::mark(&mut *exchange.db.read().await?).await?;
    Ok(Instants { now: exchange.time.of_act(&mark)?, on_record: mark.last })
}

/// Puts back what a document names again and moves aside what none names.
pub async fn sweep(exchange: &Exchange, extent: Extent) -> Result<Swept> {
    let Instants { now, on_record } = instants(exchange).await?;
    let older_than = on_record.checked_sub(YOUNG).expect("what is on record happened after 1970");
    let (db, mark) = (exchange.db.clone(), exchange.blobs.mark().clone());
    let named = |keys| named(db.clone(), mark.clone(), keys);
    Ok(exchange.blobs.sweep(now, older_than, extent, named).await?)
}

/// Lets documents go that were replaced or taken out so long ago, and that no version names: they no longer count, and their bytes are moved
/// into quarantine. How many.
pub async fn drop_replaced(exchange: &Exchange) -> Result<u64> {
    let days = i64::from(exchange.quotas.replaced_documents_days.max(1));
    let Instants { now, on_record } = instants(exchange).await?;
    let age = SignedDuration::from_hours(24 * days);
    let before = on_record.checked_sub(age).expect("what is on record happened after 1970");
    let (mut dropped, mut after) = (0, None);
    loop {
        // Found while others act, a few at a time, and asked once more in the unit of work in which they go.
        let rows = documents::replaced(&mut *exchange.db.read().await?, before, after, AT_ONCE).await?;
        let Some(last) = rows.last() else { return Ok(dropped) };
        after = Some(last.id);
        let mut tx = exchange.db.write().await?;
        let (at, mut gone) = (time::of_act(exchange, &mut tx).await?, Vec::new());
        for row in rows {
            if !documents::drop_replaced(&mut tx, row.id).await? {
                continue;
            }
            if let Some(proposal) = state::proposal(&mut tx, row.proposal, at).await? {
                let DocumentRow { id: document, slot, party, sha256, .. } = row;
                let payload = Payload::DocumentDropped(DocumentNamed { document, slot, party, sha256 });
                let entry = new_entry(exchange, Subject::proposal(&proposal), None, at, &payload);
                entries::append(&mut tx, &entry).await?;
            }
            gone.push(row.blob);
        }
        tx.commit().await?;
        dropped += gone.len() as u64;
        // If the machine stops here, a sweep finds the bytes that stay behind.
        exchange.blobs.set_aside(gone, now).await?;
    }
}

/// Lets uploads go whose time is over, or whose member's key card is no longer in force: those that never came to their end, with what is here of
/// them, and the memory of those that did. How many.
pub async fn drop_uploads(exchange: &Exchange) -> Result<u64> {
    let on_record = instants(exchange).await?.on_record;
    let mut dropped = 0;
    loop {
        let rows = uploads::expired(&mut *exchange.db.read().await?, on_record, AT_ONCE).await?;
        if rows.is_empty() {
            return Ok(dropped);
        }
        let mut tx = exchange.db.write().await?;
        for row in &rows {
            uploads::drop_expired(&mut tx, row.id, on_record).await?;
        }
        tx.commit().await?;
        dropped += rows.len() as u64;
        // If the machine stops here, a sweep finds the bytes that stay behind.
        for row in &rows {
            give_up(exchange, row).await;
        }
    }
}

/// Releases the room for what was announced to proposals that documents can no longer reach. How many proposals.
pub async fn release_announced(exchange: &Exchange) -> Result<u64> {
    let now = instants(exchange).await?.now;
    let (mut released, mut after) = (0, None);
    loop {
        let mut over = Vec::new();
        let mut tx = exchange.db.read().await?;
        let ids = announced::proposals(&mut tx, after, AT_ONCE).await?;
        for id in &ids {
            if is_past_its_grace(&mut tx, *id, now).await? {
                over.push(*id);
            }
        }
        drop(tx);
        if !over.is_empty() {
            let mut tx = exchange.db.write().await?;
            let now = time::of_act(exchange, &mut tx).await?;
            for id in over {
                // Again, since somebody may have got more time meanwhile.
                if is_past_its_grace(&mut tx, id, now).await? {
                    announced::release(&mut tx, id).await?;
                    released += 1;
                }
            }
            tx.commit().await?;
        }
        let Some(last) = ids.last() else { return Ok(released) };
        after = Some(*last);
    }
}

async fn is_past_its_grace(tx: &mut Tx, id: ProposalId, now: Timestamp) -> Result<bool> {
    let proposal = state::proposal(tx, id, now).await?;
    Ok(proposal.is_none_or(|proposal| now > proposal.limits.grace_until))
}

/// Removes for good what was moved aside so long ago and no document names.
pub async fn empty_quarantine(exchange: &Exchange, age: SignedDuration, is_dry: bool) -> Result<Quarantined> {
    let before = instants(exchange).await?.on_record.checked_sub(age).expect("what is on record happened after 1970");
    let (db, mark) = (exchange.db.clone(), exchange.blobs.mark().clone());
    let named = |keys| named(db.clone(), mark.clone(), keys);
    Ok(exchange.blobs.empty_quarantine(before, is_dry, named).await?)
}

/// Goes on with the daily look at all bytes, or begins the next, if this server is to: gently, to its end. None when it is not due.
pub async fn scrub_when_due(exchange: &Exchange, holder: &str) -> Result<Option<Scrubbed>> {
    let now = exchange.clock.now();
    let last = scrub::last(&mut *exchange.db.read().await?).await?;
    if last.is_some_and(|last| !last.is_due(holder, now)) {
        return Ok(None);
    }
    let mut tx = exchange.db.write().await?;
    let Some(claimed) = scrub::claim(&mut tx, holder, now).await? else { return Ok(None) };
    tx.commit().await?;
    let mut scrubbed = Scrubbed::default();
    let (mut after, mut noted_at, mut noted) = (claimed.after, now, 0);
    loop {
        let batch = held_blobs::next(&mut *exchange.db.read().await?, after.as_ref(), BATCH).await?;
        for held in &batch {
            look(exchange, held, Some(GENTLE), &mut scrubbed).await?;
            let now = exchange.clock.now();
            if now.duration_since(noted_at) > NOTE || batch.last() == Some(held) {
                let mut tx = exchange.db.write().await?;
                if !scrub::advance(&mut tx, holder, held.key(), scrubbed.unreadable - noted, now).await? {
                    return Ok(Some(scrubbed));
                }
                tx.commit().await?;
                (noted_at, noted) = (now, scrubbed.unreadable);
            }
        }
        let Some(last) = batch.last() else {
            let mut tx = exchange.db.write().await?;
            scrub::end(&mut tx, holder, exchange.clock.now()).await?;
            tx.commit().await?;
            return Ok(Some(scrubbed));
        };
        after = Some(last.key().clone());
    }
}

/// How many documents are damaged, and the last look at all bytes.
pub async fn state(exchange: &Exchange) -> Result<(u64, Option<Scrub>), StoreError> {
    let mut tx = exchange.db.read().await?;
    let damaged = held_blobs::count_damaged(&mut tx).await?;
    Ok((damaged, scrub::last(&mut tx).await?))
}

async fn note_unreadable(exchange: &Exchange, documents: u64) -> Result<(), StoreError> {
    let mut tx = exchange.db.write().await?;
    scrub::found_unreadable(&mut tx, documents, exchange.clock.now()).await?;
    tx.commit().await
}

/// Looks at all bytes at once, or only at those that were found damaged.
pub async fn scrub_now(exchange: &Exchange, only_damaged: bool) -> Result<Scrubbed> {
    let mut scrubbed = Scrubbed::default();
    let mut after: Option<BlobKey> = None;
    loop {
        let batch = held_blobs::next(&mut *exchange.db.read().await?, after.as_ref(), BATCH).await?;
        let Some(last) = batch.last() else {
            // What was found is reported, whatever becomes of the note.
            if !only_damaged && let Err(error) = note_unreadable(exchange, scrubbed.unreadable).await {
                tracing::warn!(%error, "an unreadable document could not be recorded");
            }
            return Ok(scrubbed);
        };
        after = Some(last.key().clone());
        for held in batch.iter().filter(|held| held.is_damaged() || !only_damaged) {
            look(exchange, held, None, &mut scrubbed).await?;
        }
    }
}

/// Looks at the bytes of one blob and notes what is new.
async fn look(
    exchange: &Exchange,
    held: &HeldBlob,
    pause: Option<Duration>,
    scrubbed: &mut Scrubbed,
) -> Result<(), StoreError> {
    scrubbed.documents += 1;
    match verify(exchange, held, pause, &mut scrubbed.bytes).await {
        Ok(()) if held.is_damaged() => {
            scrubbed.recovered += 1;
            damage::clear(&exchange.db, held).await
        }
        Ok(()) => Ok(()),
        // It went meanwhile, as documents do that were replaced.
        Err(StoreError::NoSuchBlob(_)) if !held.is_held(&mut *exchange.db.read().await?).await? => Ok(()),
        Err(error @ (StoreError::NoSuchBlob(_) | StoreError::DamagedBlob { .. })) => {
            // A disk that was unmounted meanwhile is no damage.
            exchange.blobs.check_mark().await?;
            scrubbed.damaged += 1;
            damage::note(&exchange.db, held, exchange.clock.now(), &error).await;
            Ok(())
        }
        Err(error @ StoreError::Io(_)) => {
            scrubbed.unreadable += 1;
            let cause = error.source().map(ToString::to_string);
            tracing::error!(blob = %held.key(), %error, cause, "a sealed document cannot be read");
            if scrubbed.named.len() < NAMED {
                scrubbed.named.push((held.clone(), error));
            }
            Ok(())
        }
        Err(error) => Err(error),
    }
}

async fn verify(
    exchange: &Exchange,
    held: &HeldBlob,
    pause: Option<Duration>,
    bytes: &mut u64,
) -> Result<(), StoreError> {
    let mut reading = exchange.blobs.read(held.key(), held.stored(), None).await?;
    while let Some(piece) = reading.bytes.try_next().await? {
        *bytes += piece.len() as u64;
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
    }
    Ok(())
}

/// The blobs among these that a row names, provided that the folder has the mark of the database.
async fn named(db: Db, mark: Mark, keys: Vec<BlobKey>) -> Result<HashSet<BlobKey>, StoreError> {
    let mut tx = db.read().await?;
    match mark::of_database(&mut tx).await? {
        Some(found) if found.mark == mark => held_blobs::named(&mut tx, keys).await,
        found => Err(StoreError::OtherFolder {
            database: found.map_or_else(|| "none".to_owned(), |found| found.mark.short().to_owned()),
            folder: Some(mark.short().to_owned()),
        }),
    }
}
