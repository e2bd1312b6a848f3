//! The routes of the log.

use super::{ApiClient, Paging, Result};
use crate::{domain::entry::EntryKind, wire::entry::EntryPage};
use std::time::Duration;

impl ApiClient {
    /// Entries of the log; of these kinds alone, or of all where no kind is named.
    pub async fn entries(&self, kinds: &[EntryKind], paging: &Paging) -> Result<EntryPage> {
        self.new_entries(kinds, paging, Duration::ZERO).await
    }

    /// The same. If there are none yet, the exchange waits for so many seconds until there are, 30 at most.
    pub async fn new_entries(&self, kinds: &[EntryKind], paging: &Paging, wait: Duration) -> Result<EntryPage> {
        let is_whole = kinds.is_empty();
        let words: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
        let query = [
            ("kind", Some(words.join(",")).filter(|words| !words.is_empty())),
            ("wait", Some(wait.as_secs()).filter(|wait| *wait > 0).map(|wait| wait.to_string())),
            ("cursor", paging.cursor.clone()),
            ("limit", paging.limit.map(|limit| limit.to_string())),
        ];
        let query: Vec<_> = query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let page: EntryPage = self.transport.get("/v1/entries", &query).await?.body;
        self.witness.entries(&page.items)?;
        // A page from the middle that is empty does not show where the log ends.
        if is_whole && page.next.is_none() && (paging.cursor.is_none() || !page.items.is_empty()) {
            self.witness.end()?;
        }
        Ok(page)
    }
}
