//! A page that is filled a few rows at a time, so that no more is in memory than what it takes and one step.

use super::{Result, cursors::SealedCursors};
use crate::wire::page::{Page, PageRoom};
use serde::Serialize;
use std::{fmt::Display, str::FromStr};

/// How many rows one step reads. A row can have a mebibyte.
pub(super) const STEP: u32 = 10;

/// A page on its way.
#[derive(Debug)]
pub(super) struct StepwisePage<K, T> {
    cursors: SealedCursors,
    room: PageRoom,
    items: Vec<T>,
    /// The key of the last row that was taken.
    after: Option<K>,
    /// Whether the list goes on after that row; none while more rows may fit.
    goes_on: Option<bool>,
}

impl<K: Display + FromStr, T: Serialize> StepwisePage<K, T> {
    /// A page of at most `limit` items, which follow the row that the cursor stands for, of the list that these cursors are of.
    pub(super) fn new(limit: u32, cursors: SealedCursors, cursor: Option<&str>) -> Result<Self> {
        let after = cursors.open(cursor)?;
        Ok(Self { cursors, room: PageRoom::new(limit), items: Vec::new(), after, goes_on: None })
    }

    /// Whether another step is to be read.
    pub(super) fn is_open(&self) -> bool {
        self.goes_on.is_none()
    }

    /// The key that the next step follows.
    pub(super) fn after(&self) -> Option<&K> {
        self.after.as_ref()
    }

    /// Takes the rows of a step, in their order. Fewer than [`STEP`] are the last ones.
    pub(super) fn add(&mut self, rows: Vec<(K, T)>) {
        let is_last = rows.len() < STEP as usize;
        for (key, item) in rows {
            if !self.takes(key, item) {
                return;
            }
        }
        if is_last {
            self.goes_on = Some(false);
        }
    }

    /// Takes one row, if it fits; otherwise the page is full.
    pub(super) fn takes(&mut self, key: K, item: T) -> bool {
        let fits = self.room.takes(&item);
        if fits {
            self.items.push(item);
            self.after = Some(key);
        } else {
            self.goes_on = Some(true);
        }
        fits
    }

    /// All of it, and where to go on.
    pub(super) fn finish(self) -> Page<T> {
        let after = self.after.filter(|_| self.goes_on == Some(true));
        Page { items: self.items, next: after.map(|key| self.cursors.seal(key)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_follows_its_steps_until_it_is_full_or_the_rows_end() {
        let rows: Vec<u32> = (1..=25).collect();
        let cursors = || SealedCursors::under("a", "rows", &"ISR:avi".parse().unwrap());
        let listed = |limit: u32, after: Option<u32>| {
            let cursor = after.map(|after| cursors().seal(after));
            let mut page = StepwisePage::new(limit, cursors(), cursor.as_deref()).unwrap();
            let mut steps = 0;
            while page.is_open() {
                let from = page.after().copied().unwrap_or(0);
                let step = rows.iter().filter(|row| **row > from).take(STEP as usize);
                page.add(step.map(|row| (*row, *row)).collect());
                steps += 1;
            }
            let page = page.finish();
            (page.items, cursors().open::<String>(page.next.as_deref()).unwrap(), steps)
        };
        assert_eq!(listed(200, None), (rows.clone(), None, 3));
        assert_eq!(listed(12, None), (rows[..12].to_vec(), Some("12".into()), 2));
        assert_eq!(listed(12, Some(12)), (rows[12..24].to_vec(), Some("24".into()), 2));
        assert_eq!(listed(12, Some(24)), (vec![25], None, 1));
        assert_eq!(listed(12, Some(25)), (vec![], None, 1));
    }
}
