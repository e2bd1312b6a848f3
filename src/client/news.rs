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
            Some(SeenMark { bookmark, seq }) => Self::at(Some(bookmark), Some(seq)),
            None => Self::whole(),
        })
    }

    /// A reader of the whole log, marked or not.
    #[must_use]
    pub fn whole() -> Self {
        Self::at(None, None)
    }

    fn at(bookmark: Option<String>, seen: Option<u64>) -> Self {
        let reader = LogReader::new(LogFilter::default(), bookmark);
        Self { reader, seen, latest: VecDeque::new(), earlier: 0 }
    }

    /// Reads to the end of the log. A mark that the exchange does not take, since it was restored or knows the caller as somebody else, is
    /// given up.
    pub async fn read_on(&mut self, client: &Client) -> Result<()> {
        let read = match self.reader.rest(client.api(), KEPT, Duration::ZERO).await {
            Err(error) if error.slug() == Some(Kind::BadCursor.slug()) => {
                *self = Self::whole();
                self.reader.rest(client.api(), KEPT, Duration::ZERO).await
            }
            read => read,
        }?;
        self.earlier += read.left_out.map_or(0, |left_out| left_out.count);
        self.latest.extend(read.entries);
        while self.latest.len() > KEPT {
            self.latest.pop_front();
            self.earlier += 1;
        }
        Ok(())
    }

    /// The latest entries since the mark, `most` at most, newest first. What the member did is no news to them.
    #[must_use]
    pub fn news(&self, me: Option<&MemberId>, most: usize) -> News {
        let seen = self.seen.unwrap_or_default();
        let is_new = |entry: &&Entry| entry.seq > seen;
        let is_all_new = self.latest.iter().all(|entry| is_new(&entry));
        let earlier = if is_all_new { self.earlier } else { 0 };
        let new = self.latest.iter().rev().filter(is_new).filter(|entry| me.is_none() || entry.actor.as_ref() != me);
        let new: Vec<Entry> = new.cloned().collect();
        let left_out = u64::try_from(new.len().saturating_sub(most)).unwrap_or(u64::MAX);
        let entries = new.into_iter().take(most).collect();
        let last = self.latest.back().map(|entry| entry.seq).filter(|last| *last > seen);
        News { entries, earlier: earlier + left_out, is_since_mark: self.seen.is_some(), last }
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
        let is_last = self.latest.back().is_some_and(|entry| entry.seq == last);
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
        NewsReader { latest: entries.into_iter().map(entry).collect(), ..NewsReader::at(None, seen) }
    }

    fn numbers(news: &News) -> Vec<u64> {
        news.entries.iter().map(|entry| entry.seq).collect()
    }

    #[test]
    fn news_are_the_entries_after_the_mark_newest_first() {
        let all = reader(None, [3, 5, 9]).news(None, 2);
        assert_eq!((numbers(&all), all.earlier, all.is_since_mark), (vec![9, 5], 1, false));
        let new = reader(Some(5), [3, 5, 9]).news(None, 20);
        assert_eq!((numbers(&new), new.earlier, new.last), (vec![9], 0, Some(9)));
        let none = reader(Some(9), [3, 5, 9]).news(None, 20);
        assert_eq!((none.entries.len(), none.last), (0, None));
        let many = NewsReader { earlier: 40, ..reader(Some(1), [3, 5, 9]) };
        assert_eq!(many.news(None, 20).earlier, 40, "those that are not kept are new as well");
        let seen = NewsReader { earlier: 40, ..reader(Some(3), [3, 5, 9]) };
        assert_eq!(seen.news(None, 20).earlier, 0);
    }

    #[test]
    fn what_the_member_did_is_no_news_and_is_marked_with_the_rest() {
        let mut read = reader(Some(3), [5, 9]);
        read.latest[1].actor = Some("ISR:avi".parse().unwrap());
        let news = read.news(Some(&"ISR:avi".parse().unwrap()), 20);
        assert_eq!((numbers(&news), news.last), (vec![5], Some(9)));
    }
}
