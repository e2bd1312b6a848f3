//! What the check of a dossier found: how many statements of each part verify, what does not and why, and what it cannot show.

use super::{Dossier, DossierPart};
use crate::{
    client::{Result, receipt::TrustedCard},
    domain::{
        entry::EntryKind,
        id::{CallId, MemberId, PartnerCode},
        member::CallRole,
        reference::CallCode,
        text::counted,
    },
    wire::Time,
};
use serde::Serialize;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

/// The most faults of different kinds that are kept; further ones are counted.
const MOST_FAULTS: usize = 500;
/// How many places are named of a fault.
const MOST_PLACES: usize = 5;

/// What the check found.
#[derive(Debug, Clone, PartialEq)]
pub struct DossierReport {
    pub call: CallId,
    pub code: CallCode,
    pub exported_by: MemberId,
    /// As the key card of that time has it.
    pub exporter: String,
    pub exported_as: BTreeSet<CallRole>,
    pub exported_at: Time,
    pub proposals: u64,
    /// Entries of the log.
    pub entries: u64,
    /// Of each part that the dossier has something of.
    pub tallies: BTreeMap<DossierPart, DossierTally>,
    pub faults: Vec<DossierFault>,
    /// How many faults beside these there were.
    pub more_faults: u64,
    /// In sentences.
    pub cannot_show: Vec<String>,
    pub partner_cards: BTreeMap<PartnerCode, TrustedCard>,
}

/// How many statements verified, and how many did not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct DossierTally {
    pub verified: u64,
    pub failed: u64,
}

/// Something that does not verify.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DossierFault {
    pub what: String,
    pub count: u64,
    /// The first references that it is about; the call's code for what concerns the call.
    pub places: Vec<String>,
}

impl DossierReport {
    /// Whether everything verified.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty() && self.more_faults == 0
    }

    /// How many statements it has.
    #[must_use]
    pub fn statements(&self) -> u64 {
        self.tallies.values().map(|tally| tally.verified + tally.failed).sum()
    }

    /// How many statements verified.
    #[must_use]
    pub fn verified(&self) -> u64 {
        self.tallies.values().map(|tally| tally.verified).sum()
    }
}

/// Keeps count while a dossier is checked.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) tallies: BTreeMap<DossierPart, DossierTally>,
    faults: BTreeMap<String, (u64, BTreeSet<String>)>,
    more: u64,
}

impl Ledger {
    /// Counts a statement.
    pub(super) fn statement(&mut self, part: DossierPart, place: &str, checked: Result<()>) {
        let tally = self.tallies.entry(part).or_default();
        match checked {
            Ok(()) => tally.verified += 1,
            Err(error) => {
                tally.failed += 1;
                self.fault(place, error.to_string());
            }
        }
    }

    /// Notes what follows from no single statement.
    pub(super) fn require(&mut self, place: &str, checked: Result<()>) {
        if let Err(error) = checked {
            self.fault(place, error.to_string());
        }
    }

    fn fault(&mut self, place: &str, what: String) {
        if self.faults.len() >= MOST_FAULTS && !self.faults.contains_key(&what) {
            self.more += 1;
            return;
        }
        let (count, places) = self.faults.entry(what).or_default();
        *count += 1;
        if places.len() < MOST_PLACES {
            places.insert(place.to_owned());
        }
    }

    /// The faults, the most frequent first: what several rest on is among these.
    pub(super) fn faults(self) -> (Vec<DossierFault>, u64) {
        let fault = |(what, (count, places)): (String, (u64, BTreeSet<String>))| DossierFault {
            what,
            count,
            places: places.into_iter().collect(),
        };
        let mut faults: Vec<DossierFault> = self.faults.into_iter().map(fault).collect();
        faults.sort_by_key(|fault| Reverse(fault.count));
        (faults, self.more)
    }
}

/// What a dossier does not have, and what no dossier has: what is not known is not claimed.
pub(super) fn cannot_show(dossier: &Dossier, exporter: &str) -> Vec<String> {
    let words: Vec<&str> = dossier.exported_as.iter().copied().map(CallRole::as_str).collect();
    let mut said = vec![format!(
        "It has what {exporter} was shown as {} of the call. Others are shown other things, and what the exchange kept from them is in no \
         count here.",
        words.join(" and ")
    )];
    let cut = "Nobody can tell by it whether a proposal, the last of a chain of statements, a later key card or an entry that none follows \
               was left out by the exporter or the exchange. Extensions, assignments that were taken back and whatever else nobody signs \
               are the exchange's word.";
    said.push(cut.to_owned());
    if dossier.not_shown.contains(&DossierPart::Roles) {
        let roles = "Who had which role is not shown: members signed for their nations, and whether they had the role then is not known.";
        said.push(roles.to_owned());
    }
    for part in DossierPart::ALL {
        let without = dossier.proposals.iter().filter(|case| case.not_shown.contains(&part)).count();
        if without > 0 {
            let (what, of) = (part.in_words(), counted(without as u64, "proposal", "proposals"));
            said.push(format!("All {what} are not shown of {of}."));
        }
    }
    let mut entries = dossier.proposals.iter().flat_map(|case| &case.entries);
    if !dossier.exported_as.contains(&CallRole::Officer)
        && !entries.any(|entry| entry.kind == EntryKind::ProposalSubmitted)
    {
        said.push("When proposals were handed in is said by no entry of the log that is shown.".to_owned());
    }
    said.extend([
        "Times are the exchange's word, as the exporter heard it; no signature says them.".to_owned(),
        "Documents, reviews, lines of the ranking and letters are named by digests of what was sealed; what they say is not in it.".to_owned(),
        "Which policies were in force, and who held which key, is not in it.".to_owned(),
    ]);
    said
}
