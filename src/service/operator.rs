//! Acts of the host's operator on the machine itself: enrol partners, and record that one publishes no revocation lists. Each act is logged
//! like any other.

use super::{
    Exchange, Result, ServiceError,
    rules::PolicyFault,
    time::{self, ClockFault},
    unit::{Subject, new_entry},
};
use crate::{
    domain::{id::PartnerCode, policy::PolicyOwner},
    sealing::card::PartnerCard,
    storage::{
        entries, idempotency,
        partners::{self, FoundLists, ListRecord, PartnerRow},
        pulse,
    },
    wire::entry::payloads::{ClockAccepted, ListsWaived, PartnerRecorded, Payload},
};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// Enrols a partner or replaces its card; true when it is new.
pub async fn enrol(exchange: &Exchange, card: &PartnerCard) -> Result<bool> {
    card.check_seen()?;
    let json = String::from_utf8(card.canonical()?).expect("canonical JSON is UTF-8");
    let mut tx = exchange.db.write().await?;
    let now = time::of_act(exchange, &mut tx).await?;
    let is_new = partners::find(&mut tx, &card.code).await?.is_none();
    let row = PartnerRow {
        partner: card.code.clone(),
        name: card.name.clone(),
        zone: card.zone.clone(),
        card: json,
        card_sha256: card.fingerprint()?,
        // One that there is stays.
        suspension: None,
    };
    partners::enrol(&mut tx, &row, now).await?;
    let kind = if is_new { Payload::PartnerEnrolled } else { Payload::PartnerChanged };
    let payload = kind(PartnerRecorded { partner: row.partner, card_sha256: row.card_sha256, card: row.card });
    let entry = new_entry(exchange, Subject::default(), None, now, &payload);
    entries::append(&mut tx, &entry).await?;
    tx.commit().await?;
    Ok(is_new)
}

/// Every enrolled partner's card.
pub async fn partners(exchange: &Exchange) -> Result<Vec<(PartnerCode, PartnerCard)>> {
    let mut tx = exchange.db.read().await?;
    let rows = partners::all(&mut tx).await?;
    rows.into_iter().map(|row| Ok((row.partner, PartnerCard::from_json(row.card.as_bytes())?))).collect()
}

/// The recorded state of partners' revocation lists.
pub async fn list_records(exchange: &Exchange) -> Result<BTreeMap<PartnerCode, ListRecord>> {
    Ok(partners::list_records(&mut *exchange.db.read().await?).await?)
}

/// Records in which files partners' revocation lists were found: from then on their certificates need lists. What was put on record
/// since they were found stays: a waiver outlasts a look at the folder that was made before it. No act of anybody's, so nothing is logged.
pub async fn record_lists(exchange: &Exchange, found: &[FoundLists]) -> Result<()> {
    let mut tx = exchange.db.write().await?;
    let mut records = partners::list_records(&mut tx).await?;
    for FoundLists { partner, files, before } in found {
        if records.remove(partner).unwrap_or_default() == *before {
            partners::record_lists(&mut tx, partner, files).await?;
        }
    }
    Ok(tx.commit().await?)
}

/// Records that a partner no longer publishes revocation lists, so that its certificates need none. In which files they were; nothing
/// when they were waived before.
pub async fn waive_lists(exchange: &Exchange, partner: &PartnerCode) -> Result<Option<Vec<String>>> {
    let mut tx = exchange.db.write().await?;
    let now = time::of_act(exchange, &mut tx).await?;
    let files = match partners::list_records(&mut tx).await?.remove(partner).unwrap_or_default() {
        ListRecord::Waived => return Ok(None),
        ListRecord::Never => Vec::new(),
        ListRecord::Found(files) => files,
    };
    partners::record_lists(&mut tx, partner, &[]).await?;
    partners::tell_servers(&mut tx).await?;
    let payload = ListsWaived { partner: partner.clone(), files: files.clone() }.into();
    let entry = new_entry(exchange, Subject::default(), None, now, &payload);
    entries::append(&mut tx, &entry).await?;
    tx.commit().await?;
    Ok(Some(files))
}

/// Counts up with each change of a partner; running servers watch it.
pub async fn trust_generation(exchange: &Exchange) -> Result<i64> {
    Ok(partners::generation(&mut exchange.db.read().await?).await?)
}

/// Reads and verifies the policies in force again. Those that do not count are left out from here on, and returned.
pub async fn check_policies(exchange: &Exchange) -> Result<Vec<PolicyFault>> {
    exchange.rules.forget();
    let mut tx = exchange.db.read().await?;
    exchange.rules.faults(&mut tx, &exchange.host, exchange.time.now()).await
}

/// Whether the guardrails in force are those that were signed; without them nobody may do anything.
pub async fn guardrails_count(exchange: &Exchange) -> Result<()> {
    let mut tx = exchange.db.read().await?;
    let faults = exchange.rules.faults(&mut tx, &exchange.host, exchange.time.now()).await?;
    match faults.into_iter().find(|fault| fault.owner == PolicyOwner::Guardrails) {
        Some(fault) => {
            Err(ServiceError::Malformed(format!("version {} of the guardrails: {}", fault.version, fault.what)))
        }
        None => Ok(()),
    }
}

/// Forgets the answers to requests that are no longer repeated, after the server has run for so many hours since it last did. How
/// many.
pub async fn expire_answers(exchange: &Exchange, ran_hours: u32) -> Result<u64> {
    // A client that was cut off asks again within minutes; a week covers one that had to be fixed first.
    const WEEK: u32 = 7 * 24;
    let mut tx = exchange.db.write().await?;
    let now = time::of_act(exchange, &mut tx).await?;
    let older_than = now.checked_sub(SignedDuration::from_hours(WEEK.into())).expect("the clock stands after 1970");
    pulse::ran(&mut tx, ran_hours).await?;
    let expired = idempotency::expire(&mut tx, older_than, WEEK).await?;
    tx.commit().await?;
    Ok(expired)
}

/// Accepts that what is on record is ahead of a clock that is right now: time stands still until the clock has caught up. Until when;
/// none when nothing is ahead of it.
pub async fn accept_clock(exchange: &Exchange) -> Result<Option<Timestamp>> {
    let mut tx = exchange.db.write().await?;
    let mark = pulse::mark(&mut tx).await?;
    let behind = match exchange.time.of_act(&mark) {
        Err(ClockFault::Behind(by)) => by,
        Err(fault) => return Err(ServiceError::Clock(fault)),
        Ok(_) => return Ok(None),
    };
    pulse::accept(&mut tx, mark.last).await?;
    let payload = ClockAccepted { until: mark.last.into(), behind_seconds: behind.as_secs() }.into();
    let entry = new_entry(exchange, Subject::default(), None, mark.last, &payload);
    entries::append(&mut tx, &entry).await?;
    tx.commit().await?;
    Ok(Some(mark.last))
}
