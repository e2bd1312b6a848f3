//! How a reader knows what entries are about: instants as the reader has them, and programs by their names.

use super::words::LogNames;
use crate::{client::Client, domain::id::ProgramId, wire::entry::Entry};
use jiff::Timestamp;
use std::{collections::BTreeMap, fmt};

/// The names of programs.
pub type ProgramNames = BTreeMap<ProgramId, String>;

/// Instants in sentences as the reader has them, and what programs are called.
pub struct ReaderNames<'s> {
    pub instant: &'s dyn Fn(Timestamp) -> String,
    pub programs: &'s ProgramNames,
}

impl LogNames for ReaderNames<'_> {
    fn program(&self, id: ProgramId) -> String {
        self.programs.get(&id).map_or_else(|| format!("program {id}"), |name| format!("the program “{name}”"))
    }

    fn instant(&self, at: Timestamp) -> String {
        (self.instant)(at)
    }
}

impl fmt::Debug for ReaderNames<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReaderNames").field("programs", &self.programs).finish_non_exhaustive()
    }
}

impl Client {
    /// What the programs are called that entries are about, as far as the exchange shows them. It is asked only where a sentence names one.
    pub async fn programs_of<'e>(&self, entries: impl IntoIterator<Item = &'e Entry>) -> ProgramNames {
        let is_about_one = |entry: &Entry| entry.program.is_some() && entry.call.is_none() && entry.proposal.is_none();
        if !entries.into_iter().any(is_about_one) {
            return ProgramNames::new();
        }
        let programs = self.list_programs().await.unwrap_or_default();
        programs.into_iter().map(|program| (program.id, program.name)).collect()
    }
}
