//! Instants in the answers of commands: in tables as the reader has them, with their exact form for programs.

use super::{
    cell::TableCell,
    error::{CliError, Result},
};
use crate::{client::zone, domain::id::MemberId};
use jiff::Timestamp;

pub(super) use zone::{Zone, by_whom, left, left_cell, span, until};

impl Zone {
    /// An instant for a table.
    pub(super) fn cell(&self, at: Timestamp) -> TableCell {
        self.cell_of(|said| said(at))
    }

    /// The same of an act, with who did it where that is known.
    pub(super) fn cell_by(&self, at: Timestamp, by: Option<&MemberId>) -> TableCell {
        self.cell_of(|said| format!("{}{}", said(at), by_whom(by)))
    }

    /// Words for a table, in which instants are said as the reader or a program has them.
    pub(super) fn cell_of(&self, words: impl Fn(&dyn Fn(Timestamp) -> String) -> String) -> TableCell {
        let (shown, exact) = (words(&|at| self.here(at)), words(&|at| at.to_string()));
        // They are the same where no instant is in them.
        if shown == exact { shown.into() } else { TableCell::new(shown, exact).in_zone(self.name()) }
    }
}

/// Reads an instant: RFC 3339 (`2026-04-01T15:00:00Z`) or local (`2026-04-01 17:00 Asia/Seoul`).
///
/// # Errors
/// As [`zone::instant`].
pub(super) fn instant(text: &str) -> Result<Timestamp> {
    zone::instant(text).map_err(CliError::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn table_has_the_readers_zone_and_programs_have_utc() {
        let (at, zone) = (at("2026-04-01T15:00:00Z"), Zone::named("Asia/Seoul").unwrap());
        let by = "USA:dana".parse().unwrap();
        let cell = zone.cell_by(at, Some(&by));
        assert_eq!((cell.shown(), cell.exact()), ("2026-04-02 00:00 by USA:dana", "2026-04-01T15:00:00Z by USA:dana"));
        assert_eq!(cell.zone(), Some("Asia/Seoul"));
        assert_eq!(Zone::utc().cell(at).zone(), Some("UTC"));
        assert_eq!(zone.cell_of(|_| "always".into()).zone(), None, "a zone is named where times are shown");
    }
}
