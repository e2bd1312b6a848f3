//! The log: one entry for each accepted act, appended in the transaction of its effect.

use super::{Arg, Row, Sql, StoreError, ToArg, Tx, WriteTx, args, many};
use crate::domain::{
    entry::{EntryKind, Readers},
    id::{CallId, MemberId, ProgramId, ProposalId},
};
use jiff::Timestamp;
use std::collections::{BTreeSet, HashMap, HashSet};

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRow {
    /// Counts up without gaps; given by [`append`].
    pub seq: u64,
    pub at: Timestamp,
    pub kind: EntryKind,
    pub readers: Readers,
    pub actor: Option<MemberId>,
    pub program: Option<ProgramId>,
    pub call: Option<CallId>,
    pub proposal: Option<ProposalId>,
    /// Canonical JSON. Empty until [`add_payloads`] has read it: it can have more than a mebibyte.
    pub payload: String,
    pub salt: Vec<u8>,
}

/// Appends an entry after the last one; `row.seq` is not looked at. Returns its number.
pub async fn append(tx: &mut WriteTx, row: &EntryRow) -> Result<u64, StoreError> {
    // One writer at a time holds the log (see `Db::write`), so the next number is free and no number is skipped.
    let sql = "INSERT INTO log_entries (seq, at, kind, readers, actor, program_id, call_id, proposal_id, payload, salt) \
               SELECT COALESCE(MAX(seq), 0) + 1, $1, $2, $3, $4, $5, $6, $7, $8, $9 FROM log_entries RETURNING seq";
    let args = args![
        row.at,
        row.kind.as_str(),
        row.readers.as_str(),
        row.actor,
        row.program,
        row.call,
        row.proposal,
        row.payload,
        row.salt
    ];
    tx.writing()?.fetch_one(sql, args).await?.count("seq")
}

/// Appends entries after the last one, in this order; no `row.seq` is looked at.
pub async fn append_all(tx: &mut WriteTx, rows: &[EntryRow]) -> Result<(), StoreError> {
    match rows {
        [] => return Ok(()),
        [row] => return append(tx, row).await.map(drop),
        _ => {}
    }
    // As in `append`: nobody else takes these numbers.
    let next = last(tx).await? + 1;
    let values = (next..).zip(rows).map(|(seq, row)| {
        args![
            seq,
            row.at,
            row.kind.as_str(),
            row.readers.as_str(),
            row.actor,
            row.program,
            row.call,
            row.proposal,
            row.payload,
            row.salt
        ]
    });
    let into =
        "INSERT INTO log_entries (seq, at, kind, readers, actor, program_id, call_id, proposal_id, payload, salt)";
    many::insert(tx, into, values.collect()).await
}

/// The number of the last entry; 0 while the log is empty.
pub async fn last(tx: &mut Tx) -> Result<u64, StoreError> {
    tx.fetch_one("SELECT COALESCE(MAX(seq), 0) AS seq FROM log_entries", args![]).await?.count("seq")
}

/// The subjects of later entries that can concern a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntriesSince {
    /// The proposals under the call; none if one is about the call as a whole.
    pub proposals: Option<BTreeSet<ProposalId>>,
    /// The payloads of key cards.
    pub cards: BTreeSet<String>,
}

/// The subjects of later entries of other kinds than these, as far as they are the call or a key card.
pub async fn since(tx: &mut Tx, after: u64, call: CallId, but: &[EntryKind]) -> Result<EntriesSince, StoreError> {
    // Between two numbers, so that both engines read the newest entries and no others.
    let sql = "SELECT DISTINCT proposal_id, CASE WHEN call_id IS NULL THEN payload END AS card FROM log_entries \
               WHERE seq > $1 AND seq <= (SELECT MAX(l.seq) FROM log_entries l) \
               AND (call_id = $2 AND REPLACE($3, ' ' || kind || ' ', '') = $3 OR call_id IS NULL AND kind = $4)";
    let listed: String = but.iter().flat_map(|kind| [" ", kind.as_str(), " "]).collect();
    let mut since = EntriesSince { proposals: Some(BTreeSet::new()), cards: BTreeSet::new() };
    for row in tx.fetch_all(sql, args![after, call, listed, EntryKind::KeyCardPublished.as_str()]).await? {
        let (card, proposal) = (row.opt_text("card")?, row.opt_parse("proposal_id")?);
        match (card, proposal, &mut since.proposals) {
            (Some(card), ..) => drop(since.cards.insert(card)),
            (None, None, proposals) => *proposals = None,
            (None, Some(proposal), Some(proposals)) => drop(proposals.insert(proposal)),
            (None, Some(_), None) => {}
        }
    }
    Ok(since)
}

/// Examines `limit` entries after `after`, oldest first, and returns those of these kinds, or all if no kind is given, without payloads;
/// and the number of the last one that was examined, if there may be more.
pub async fn page(
    tx: &mut Tx,
    after: u64,
    kinds: &[EntryKind],
    limit: u32,
) -> Result<(Vec<EntryRow>, Option<u64>), StoreError> {
    // One text for any number of kinds and for both engines: a kind is among them if taking it out changes the list.
    let sql = "SELECT seq, at, kind, readers, actor, program_id, call_id, proposal_id, '' AS payload, salt \
               FROM log_entries WHERE seq > $1 AND seq <= $3 AND ($2 = '' OR REPLACE($2, ' ' || kind || ' ', '') <> $2) ORDER BY seq";
    // Numbers have no gaps, so this is how many are looked at.
    let until = after.saturating_add(u64::from(limit)).min(i64::MAX.unsigned_abs());
    let listed: String = kinds.iter().flat_map(|kind| [" ", kind.as_str(), " "]).collect();
    let rows = tx.fetch_all(sql, args![after, listed, until]).await?.iter().map(read).collect::<Result<_, _>>()?;
    let is_last = last(tx).await? <= until;
    Ok((rows, (!is_last).then_some(until)))
}

/// Reads the payloads of these entries.
pub async fn add_payloads(tx: &mut Tx, entries: &mut [EntryRow]) -> Result<(), StoreError> {
    if entries.is_empty() {
        return Ok(());
    }
    let sql = format!("SELECT seq, payload FROM log_entries WHERE seq IN ({})", many::marks(1, entries.len()));
    let rows = tx.fetch_all(Sql::built(sql), entries.iter().map(|entry| entry.seq.to_arg()).collect()).await?;
    let mut payloads = HashMap::with_capacity(rows.len());
    for row in rows {
        payloads.insert(row.count("seq")?, row.text("payload")?);
    }
    for entry in entries {
        let missing = || StoreError::corrupt("seq", "an entry that stays");
        entry.payload = payloads.remove(&entry.seq).ok_or_else(missing)?;
    }
    Ok(())
}

/// The number of the last entry about each of these proposals, of other kinds than these.
pub async fn last_among(
    tx: &mut Tx,
    proposals: &[ProposalId],
    but: &[EntryKind],
) -> Result<HashMap<ProposalId, u64>, StoreError> {
    let listed: String = but.iter().flat_map(|kind| [" ", kind.as_str(), " "]).collect();
    let mut last = HashMap::new();
    for some in proposals.chunks(many::AT_ONCE) {
        let sql = format!(
            "SELECT proposal_id, MAX(seq) AS seq FROM log_entries WHERE proposal_id IN ({}) \
             AND REPLACE($1, ' ' || kind || ' ', '') = $1 GROUP BY proposal_id",
            many::marks(2, some.len())
        );
        let args = std::iter::once(Arg::text(&listed)).chain(some.iter().map(Arg::text)).collect();
        for row in tx.fetch_all(Sql::once(sql), args).await? {
            last.insert(row.parse("proposal_id")?, row.count("seq")?);
        }
    }
    Ok(last)
}

/// The members who have fetched a document, by proposal.
pub async fn fetched_among(tx: &mut Tx, proposals: &[ProposalId]) -> Result<HashSet<(ProposalId, String)>, StoreError> {
    if proposals.is_empty() {
        return Ok(HashSet::new());
    }
    let marks = many::marks(2, proposals.len());
    let sql =
        format!("SELECT DISTINCT proposal_id, actor FROM log_entries WHERE kind = $1 AND proposal_id IN ({marks})");
    let kind = Arg::text(EntryKind::DocumentFetched.as_str());
    let args = std::iter::once(kind).chain(proposals.iter().map(Arg::text)).collect();
    let rows = tx.fetch_all(Sql::once(sql), args).await?;
    rows.iter().map(|row| Ok((row.parse("proposal_id")?, row.text("actor")?))).collect()
}

fn read(row: &Row) -> Result<EntryRow, StoreError> {
    Ok(EntryRow {
        seq: row.count("seq")?,
        at: row.time("at")?,
        kind: row.parse("kind")?,
        readers: row.parse("readers")?,
        actor: row.opt_parse("actor")?,
        program: row.opt_parse("program_id")?,
        call: row.opt_parse("call_id")?,
        proposal: row.opt_parse("proposal_id")?,
        payload: row.text("payload")?,
        salt: row.bytes("salt")?,
    })
}
