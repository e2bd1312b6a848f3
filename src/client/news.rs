//! What happened since the member last looked: the log, read on from where it was marked as seen on this machine.
//!
//! The first time the whole log is read, which may take many pages: who shows it does that beside. Nothing is marked but by the member's own
//! word, and never past an entry that was not shown.

use super::{
    Client, Home, Result, files,
    log::{LogFilter, LogReader},
    records::{read_record, write_record},
};
use crate::{
    domain::id::MemberId,
    wire::{entry::Entry, problem::Kind},
};
use serde::{Deserialize, Serialize};
use std::{collections::VecDeque, path::PathBuf, time::Duration};

/// So many of the latest entries are kept to be shown.
const KEPT: usize = 200;

/// Up to where the member has seen the log, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SeenMark {
    /// The exchange's bookmark after it.
    bookmark: String,
    /// The number of the last entry.
    seq: u64,
}

/// The log from the member's mark on.
#[derive(Debug)]
pub struct NewsReader {
    reader: LogReader,
    /// The last entry that was seen; none where nothing was marked.
    seen: Option<u64>,
    latest: VecDeque<Entry>,
    /// How many came before the latest and are not kept.
    earlier: u64,
    /// The last entry that was read, kept or not.
    last: Option<u64>,
    /// Whose acts are not kept.
    left_out: LeftOut,
}

/// Whose acts a reader leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
enum LeftOut {
    Nobody,
    /// The member of the profile, who is not known yet.
    Own,
    Member(MemberId),
}

/// What happened, newest first.
#[derive(Debug, Clone, Default)]
pub struct News {
    pub entries: Vec<Entry>,
    /// How many more there are, before them.
    pub earlier: u64,
    /// Whether all of it is new: something was marked as seen before.
    pub is_since_mark: bool,
    /// The number by which the member marks all of it as seen.
    pub last: Option<u64>,
}

impl NewsReader {
    /// A reader that begins where the member of the profile marked the log as seen, or with the log.
    ///
    /// # Errors
    /// When the mark cannot be read.
    pub fn open(client: &Client) -> Result<Self> {
        let mark: Option<SeenMark> = read_record(&client.home().news_path(&client.profile().name))?;
        Ok(match mark {
            Some(SeenMark { bookmark, seq }) => Self::at(Some(bookmark), Some(seq), LeftOut::Own),
            None => Self::unmarked(),
        })
    }

    /// One that begins with the log, as where nothing was marked.
    #[must_use]
    pub fn unmarked() -> Self {
        Self::at(None, None, LeftOut::Own)
    }

    /// A reader of the whole log, marked or not, own acts included.
    #[must_use]
    pub fn whole() -> Self {
        Self::at(None, None, LeftOut::Nobody)
    }

    fn at(bookmark: Option<String>, seen: Option<u64>, left_out: LeftOut) -> Self {
        let reader = LogReader::new(LogFilter::default(), bookmark);
        Self { reader, seen, latest: VecDeque::new(), earlier: 0, last: None, left_out }
    }

    /// Reads to the end of the log. A mark that the exchange does not take, since it was restored or knows the caller as somebody else, is
    /// given up.
    pub async fn read_on(&mut self, client: &Client) -> Result<()> {
        // Who has no key card yet has done nothing.
        if self.left_out == LeftOut::Own
            && let Ok(me) = client.member_id().await
        {
            self.left_out = LeftOut::Member(me);
        }
        let read = match self.reader.rest(client.api(), KEPT * 4, Duration::ZERO).await {
            Err(error) if error.slug() == Some(Kind::BadCursor.slug()) => {
                *self = Self::at(None, None, self.left_out.clone());
                self.reader.rest(client.api(), KEPT * 4, Duration::ZERO).await
            }
            read => read,
        }?;
        self.earlier += read.left_out.map_or(0, |left_out| left_out.count);
        self.take(read.entries);
        Ok(())
    }

    fn take(&mut self, entries: VecDeque<Entry>) {
        self.last = entries.back().map(|entry| entry.seq).or(self.last);
        let is_left_out =
            |entry: &Entry| matches!(&self.left_out, LeftOut::Member(me) if entry.actor.as_ref() == Some(me));
        self.latest.extend(entries.into_iter().filter(|entry| !is_left_out(entry)));
        while self.latest.len() > KEPT {
            let is_new = self.latest.pop_front().is_some_and(|entry| self.seen.is_none_or(|seen| entry.seq > seen));
            self.earlier += u64::from(is_new);
        }
    }

    /// The latest entries since the mark, `most` at most, newest first.
    #[must_use]
    pub fn news(&self, most: usize) -> News {
        let seen = self.seen.unwrap_or_default();
        let new: Vec<Entry> = self.latest.iter().rev().filter(|entry| entry.seq > seen).cloned().collect();
        let left_out = u64::try_from(new.len().saturating_sub(most)).unwrap_or(u64::MAX);
        let entries = new.into_iter().take(most).collect();
        let last = self.last.filter(|last| *last > seen);
        News { entries, earlier: self.earlier + left_out, is_since_mark: self.seen.is_some(), last }
    }

    /// The latest entries that were read, seen or not, `most` at most, newest first.
    #[must_use]
    pub fn latest(&self, most: usize) -> News {
        let left_out = u64::try_from(self.latest.len().saturating_sub(most)).unwrap_or(u64::MAX);
        let entries = self.latest.iter().rev().take(most).cloned().collect();
        News { entries, earlier: self.earlier + left_out, ..News::default() }
    }

    /// Marks the log as seen up to an entry, if it is the last that was read; otherwise nothing changes, and there is more to be shown first.
    ///
    /// # Errors
    /// When the mark cannot be kept.
    pub fn mark(&mut self, client: &Client, last: u64) -> Result<bool> {
        let is_last = self.last == Some(last);
        let Some(bookmark) = self.reader.bookmark().filter(|_| is_last).map(str::to_owned) else { return Ok(false) };
        write_record(&client.home().news_path(&client.profile().name), &SeenMark { bookmark, seq: last })?;
        (self.seen, self.earlier) = (Some(last), 0);
        Ok(true)
    }
}

impl Home {
    fn news_path(&self, profile: &str) -> PathBuf {
        self.root().join("news").join(format!("{profile}.json"))
    }

    /// Forgets up to where the member of a profile has seen the log.
    pub(super) fn forget_news(&self, profile: &str) -> Result<()> {
        files::remove(&self.news_path(profile)).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: u64) -> Entry {
        serde_json::from_value(serde_json::json!({
            "seq": seq, "at": "2026-04-01T15:00:00Z", "kind": "key_card.published", "actor": "ISR:registrar",
            "payload": "{\"member\":\"ISR:avi\"}", "salt": "",
        }))
        .unwrap()
    }

    fn reader(seen: Option<u64>, entries: impl IntoIterator<Item = u64>) -> NewsReader {
        let mut reader = NewsReader::at(None, seen, LeftOut::Nobody);
        reader.take(entries.into_iter().map(entry).collect());
        reader
    }

    fn numbers(news: &News) -> Vec<u64> {
        news.entries.iter().map(|entry| entry.seq).collect()
    }

    #[test]
    fn news_are_the_entries_after_the_mark_newest_first() {
        let all = reader(None, [3, 5, 9]).news(2);
        assert_eq!((numbers(&all), all.earlier, all.is_since_mark), (vec![9, 5], 1, false));
        let new = reader(Some(5), [3, 5, 9]).news(20);
        assert_eq!((numbers(&new), new.earlier, new.last), (vec![9], 0, Some(9)));
        let none = reader(Some(9), [3, 5, 9]).news(20);
        assert_eq!((none.entries.len(), none.last), (0, None));
    }

    #[test]
    fn entries_that_are_not_kept_are_counted_if_they_are_new() {
        let many = reader(Some(10), 1..=KEPT as u64 + 20).news(5);
        assert_eq!((many.entries.len(), many.earlier), (5, KEPT as u64 + 5));
        let mut marked = reader(None, 1..=KEPT as u64);
        marked.seen = Some(KEPT as u64);
        marked.take((1..=KEPT as u64).map(|more| entry(KEPT as u64 + more)).collect());
        assert_eq!(marked.news(KEPT).earlier, 0, "those that went were seen");
    }

    #[test]
    fn what_the_member_did_is_no_news_keeps_none_away_and_is_marked_with_the_rest() {
        let mut read = NewsReader::at(None, Some(3), LeftOut::Member("ISR:avi".parse().unwrap()));
        let mine = |seq: u64| Entry { actor: Some("ISR:avi".parse().unwrap()), ..entry(seq) };
        read.take([entry(5)].into_iter().chain((6..=500).map(mine)).collect());
        let news = read.news(20);
        assert_eq!((numbers(&news), news.earlier, news.last), (vec![5], 0, Some(500)));
    }
}
