//! The log of the exchange as its reader goes through it: to its end, and on from there whenever there may be something new.
//!
//! What an entry says is the exchange's word, as all of the log is. [`words`] says it in a sentence.

pub mod names;
pub mod words;

use super::{ClientError, Result, api::ApiClient, api::Paging, files, pages::Pages};
use crate::{
    domain::{
        entry::EntryKind,
        id::{CallId, MemberId, ProposalId},
    },
    wire::{
        entry::{Entry, EntryPage},
        page::MAX_PAGE,
    },
};
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::{
    collections::{BTreeSet, VecDeque},
    path::{self, Path},
    time::Duration,
};

/// The longest text that is taken for a bookmark, in bytes.
const MAX_BOOKMARK: usize = 1 << 10;

/// Which entries a reader wants. Of several members, calls or proposals each will do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// These kinds alone; all where none is named.
    pub kinds: BTreeSet<EntryKind>,
    /// Vaults and wrapped keys as well. Naming their kinds gets them in any case.
    pub with_keys: bool,
    pub calls: BTreeSet<CallId>,
    pub proposals: BTreeSet<ProposalId>,
    /// Entries that one of them made, or is named in.
    pub members: BTreeSet<MemberId>,
    pub since: Option<Timestamp>,
    /// Up to this instant, itself included.
    pub until: Option<Timestamp>,
}

impl LogFilter {
    /// The kinds to ask the exchange for; none for all.
    #[must_use]
    pub fn asked_kinds(&self) -> Vec<EntryKind> {
        self.kinds.iter().copied().collect()
    }

    /// Whether the reader wants this entry.
    #[must_use]
    pub fn takes(&self, entry: &Entry) -> bool {
        let among = |wanted: bool, is_empty: bool| is_empty || wanted;
        let is_kind = if self.kinds.is_empty() {
            self.with_keys || !is_about_keys(entry.kind)
        } else {
            self.kinds.contains(&entry.kind)
        };
        is_kind
            && among(entry.call.is_some_and(|call| self.calls.contains(&call)), self.calls.is_empty())
            && among(entry.proposal.is_some_and(|id| self.proposals.contains(&id)), self.proposals.is_empty())
            && among(self.members.iter().any(|member| concerns(entry, member)), self.members.is_empty())
            && self.since.is_none_or(|since| entry.at.0 >= since)
            && self.until.is_none_or(|until| entry.at.0 <= until)
    }

    /// Whether no later entry can be wanted either: times grow with numbers.
    fn is_past(&self, entry: &Entry) -> bool {
        self.until.is_some_and(|until| entry.at.0 > until)
    }
}

/// Whether an entry is about vaults and wrapped keys, of which there are many and which few readers want.
#[must_use]
pub fn is_about_keys(kind: EntryKind) -> bool {
    matches!(kind, EntryKind::VaultCreated | EntryKind::KeyWrapped | EntryKind::KeyRemoved | EntryKind::KeyFetched)
}

/// Whether a member made an entry or is named in it.
fn concerns(entry: &Entry, member: &MemberId) -> bool {
    if entry.actor.as_ref() == Some(member) {
        return true;
    }
    let wanted = member.to_string();
    let payload: Value = serde_json::from_str(&entry.payload).unwrap_or_default();
    let named = ["member", "reviewer", "holder", "in_place_of"].iter().filter_map(|field| payload[*field].as_str());
    let parties = payload["parties"].as_object().into_iter().flat_map(Map::values);
    let invited = parties.filter_map(Value::as_array).flatten().filter_map(Value::as_str);
    named.chain(invited).any(|named| named == wanted)
}

/// What was read: the last entries that were wanted, and which before them were left out.
#[derive(Debug, Default)]
pub struct ReadEntries {
    pub entries: VecDeque<Entry>,
    pub left_out: Option<EntriesLeftOut>,
}

/// Entries that were wanted, and were more than the reader keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntriesLeftOut {
    pub count: u64,
    /// The number and the time of the first of them.
    pub first: u64,
    pub since: Timestamp,
    /// The number of the last of them.
    pub last: u64,
}

impl ReadEntries {
    /// Keeps the last so many.
    fn keep(&mut self, most: usize) {
        while self.entries.len() > most {
            let Some(entry) = self.entries.pop_front() else { return };
            let none = EntriesLeftOut { count: 0, first: entry.seq, since: entry.at.0, last: entry.seq };
            let before = self.left_out.unwrap_or(none);
            self.left_out = Some(EntriesLeftOut { count: before.count + 1, last: entry.seq, ..before });
        }
    }
}

/// Where pages of the log come from.
trait EntrySource: Sync {
    /// The page at a cursor; if there is nothing yet, it may come so much later.
    fn page(&self, paging: Paging, wait: Duration) -> impl Future<Output = Result<EntryPage>> + Send;
}

/// The exchange, asked for some kinds.
struct EntriesOfExchange<'a> {
    api: &'a ApiClient,
    kinds: &'a [EntryKind],
}

impl EntrySource for EntriesOfExchange<'_> {
    async fn page(&self, paging: Paging, wait: Duration) -> Result<EntryPage> {
        self.api.new_entries(self.kinds, &paging, wait).await
    }
}

/// A reader, and where in the log it is.
#[derive(Debug)]
pub struct LogReader {
    filter: LogFilter,
    kinds: Vec<EntryKind>,
    cursor: Option<String>,
    /// The number of the last entry that came: an exchange that shows one again shows nothing new.
    seen: u64,
}

impl LogReader {
    /// A reader at the beginning, or at a bookmark.
    #[must_use]
    pub fn new(filter: LogFilter, bookmark: Option<String>) -> Self {
        Self { kinds: filter.asked_kinds(), filter, cursor: bookmark, seen: 0 }
    }

    /// Where the reader goes on: after [`LogReader::rest`] the exchange's bookmark.
    #[must_use]
    pub fn bookmark(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// Everything to the end of the log, the latest `keep` of what is wanted, oldest first. If there is nothing yet, the exchange waits so long.
    pub async fn rest(&mut self, api: &ApiClient, keep: usize, wait: Duration) -> Result<ReadEntries> {
        let kinds = self.kinds.clone();
        self.rest_of(&EntriesOfExchange { api, kinds: &kinds }, keep, wait).await
    }

    async fn rest_of(&mut self, source: &impl EntrySource, keep: usize, mut wait: Duration) -> Result<ReadEntries> {
        let (mut read, mut pages) = (ReadEntries::default(), Pages::default());
        // INVARIANT: the reader is never past entries that nobody was given, also when this is given up on the way.
        let (mut cursor, mut seen) = (self.cursor.clone(), self.seen);
        loop {
            let page = source.page(Paging { cursor: cursor.clone(), limit: Some(MAX_PAGE) }, wait).await?;
            let mut is_past = false;
            for entry in page.items {
                if entry.seq <= seen {
                    continue;
                }
                seen = entry.seq;
                is_past |= self.filter.is_past(&entry);
                if self.filter.takes(&entry) {
                    read.entries.push_back(entry);
                }
            }
            read.keep(keep);
            // What is there is shown before anything is waited for.
            wait = Duration::ZERO;
            let is_last = match (pages.follow(page.next)?, page.bookmark) {
                (Some(next), _) => {
                    cursor = Some(next);
                    false
                }
                (None, Some(bookmark)) => {
                    cursor = Some(bookmark);
                    true
                }
                (None, None) => {
                    let what = "the exchange gives no bookmark with the last page of the log";
                    return Err(ClientError::unverified(
                        what,
                        "its version may be older than this client's; tell the host's operator",
                    ));
                }
            };
            if is_last || is_past {
                (self.cursor, self.seen) = (cursor, seen);
                return Ok(read);
            }
        }
    }
}

/// The bookmark in a file; none where there is no such file yet.
///
/// # Errors
/// When the file cannot be read, or holds something else.
pub fn read_bookmark(path: &Path) -> Result<Option<String>> {
    let Some(content) = files::read(path)? else { return Ok(None) };
    let bookmark = str::from_utf8(&content).unwrap_or_default().trim();
    let is_one = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if bookmark.is_empty() || bookmark.len() > MAX_BOOKMARK || !bookmark.chars().all(is_one) {
        let what = format!("`{}` does not hold a bookmark", path.display());
        return Err(ClientError::usage(what, "name the file that an earlier run wrote, or one that is not there yet"));
    }
    Ok(Some(bookmark.to_owned()))
}

/// Writes a bookmark to a file, which is there whole or as it was before.
///
/// # Errors
/// When it cannot be written.
pub fn write_bookmark(path: &Path, bookmark: &str) -> Result<()> {
    let path = path::absolute(path).map_err(|error| ClientError::io("write", path, &error))?;
    files::write(&path, format!("{bookmark}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    };

    fn entry(seq: u64) -> Entry {
        serde_json::from_value(serde_json::json!({
            "seq": seq, "at": format!("2026-04-01T15:00:{seq:02}Z"), "kind": "key_card.published", "actor": "ISR:registrar",
            "payload": "{\"member\":\"ISR:avi\"}", "salt": "",
        }))
        .unwrap()
    }

    fn numbers(read: &ReadEntries) -> Vec<u64> {
        read.entries.iter().map(|entry| entry.seq).collect()
    }

    /// Four entries on two pages, a bookmark, and nothing new. The second page may break once.
    #[derive(Default)]
    struct TwoPages {
        is_broken: AtomicBool,
        waits: Mutex<Vec<u64>>,
    }

    impl EntrySource for TwoPages {
        async fn page(&self, paging: Paging, wait: Duration) -> Result<EntryPage> {
            self.waits.lock().unwrap().push(wait.as_secs());
            if paging.cursor.is_some() && self.is_broken.swap(false, Ordering::Relaxed) {
                return Err(ClientError::usage("the line broke", "try again"));
            }
            Ok(match paging.cursor.as_deref() {
                None => EntryPage { items: vec![entry(1), entry(2)], next: Some("second".into()), bookmark: None },
                Some("second") => {
                    EntryPage { items: vec![entry(4), entry(7)], next: None, bookmark: Some("end".into()) }
                }
                _ => EntryPage { items: vec![], next: None, bookmark: Some("later".into()) },
            })
        }
    }

    #[tokio::test]
    async fn reader_that_met_a_failure_goes_on_where_it_was() {
        let source = TwoPages { is_broken: true.into(), ..TwoPages::default() };
        let mut reader = LogReader::new(LogFilter::default(), None);
        reader.rest_of(&source, 9, Duration::ZERO).await.unwrap_err();
        assert_eq!(reader.bookmark(), None);
        assert_eq!(numbers(&reader.rest_of(&source, 9, Duration::ZERO).await.unwrap()), [1, 2, 4, 7]);
    }

    #[tokio::test]
    async fn reader_sees_each_entry_once_in_order_and_goes_on_from_the_bookmark() {
        let mut reader = LogReader::new(LogFilter::default(), None);
        let read = reader.rest_of(&TwoPages::default(), 3, Duration::ZERO).await.unwrap();
        let left_out = EntriesLeftOut { count: 1, first: 1, since: entry(1).at.0, last: 1 };
        assert_eq!((numbers(&read), read.left_out, reader.bookmark()), (vec![2, 4, 7], Some(left_out), Some("end")));
        assert!(reader.rest_of(&TwoPages::default(), 3, Duration::ZERO).await.unwrap().entries.is_empty());
        assert_eq!(reader.bookmark(), Some("later"));
        let mut reader = LogReader::new(LogFilter::default(), None);
        let left_out = EntriesLeftOut { count: 3, first: 1, since: entry(1).at.0, last: 4 };
        assert_eq!(reader.rest_of(&TwoPages::default(), 1, Duration::ZERO).await.unwrap().left_out, Some(left_out));
        let mut reader = LogReader::new(LogFilter::default(), Some("second".into()));
        assert_eq!(numbers(&reader.rest_of(&TwoPages::default(), 3, Duration::ZERO).await.unwrap()), [4, 7]);
        let until = Some(entry(1).at.0);
        let mut reader = LogReader::new(LogFilter { until, ..LogFilter::default() }, None);
        let read = reader.rest_of(&TwoPages::default(), 3, Duration::ZERO).await.unwrap();
        assert_eq!((numbers(&read), reader.bookmark()), (vec![1], Some("second")), "nothing later can be wanted");
    }

    #[tokio::test]
    async fn reader_waits_before_the_first_page_alone() {
        let source = TwoPages::default();
        let mut reader = LogReader::new(LogFilter::default(), None);
        reader.rest_of(&source, 9, Duration::from_secs(30)).await.unwrap();
        assert_eq!(*source.waits.lock().unwrap(), [30, 0]);
    }

    #[test]
    fn filter_takes_what_is_asked_for_and_keys_only_if_they_are() {
        let any = LogFilter::default();
        assert!(any.takes(&entry(1)));
        let wrapped = Entry { kind: EntryKind::KeyWrapped, ..entry(2) };
        assert!(!any.takes(&wrapped));
        assert!(LogFilter { with_keys: true, ..any.clone() }.takes(&wrapped));
        assert!(LogFilter { kinds: [EntryKind::KeyWrapped].into(), ..any.clone() }.takes(&wrapped));
        let of = |member: &str| LogFilter { members: [member.parse().unwrap()].into(), ..any.clone() };
        assert!(
            of("ISR:registrar").takes(&entry(1)) && of("ISR:avi").takes(&entry(1)) && !of("USA:bob").takes(&entry(1))
        );
        let call: CallId = "call_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap();
        let under = LogFilter { calls: [call].into(), ..any.clone() };
        assert!(!under.takes(&entry(1)) && under.takes(&Entry { call: Some(call), ..entry(1) }));
        let between = LogFilter { since: Some(entry(2).at.0), until: Some(entry(3).at.0), ..any };
        assert_eq!((1..=4).filter(|seq| between.takes(&entry(*seq))).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn bookmark_is_read_back_and_nothing_else_is_taken_for_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bookmark");
        assert_eq!(read_bookmark(&path).unwrap(), None);
        write_bookmark(&path, "a-b_9").unwrap();
        assert_eq!(read_bookmark(&path).unwrap().as_deref(), Some("a-b_9"));
        for wrong in ["", "two words", "{\"items\":[]}", "\u{0}", &"a".repeat(2000)] {
            std::fs::write(&path, wrong).unwrap();
            assert_eq!(read_bookmark(&path).unwrap_err().class().code(), 2, "{wrong}");
        }
    }
}
