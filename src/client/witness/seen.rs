//! What was seen, as it is kept, and how it is described. Nothing is compared here but one state with another.

use crate::domain::{
    decision::Outcome,
    id::{DecisionId, MemberId, ProposalId, Sha256},
    proposal::Status,
    reference::Reference,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
};

/// How many earlier states of a proposal are kept beside the newest.
pub(super) const MAX_BEFORE: usize = 32;

/// The newest state of a proposal that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::client) struct SeenState {
    /// What it is called; earlier versions of the program did not note it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::client) reference: Option<Reference>,
    pub(super) status: Status,
    /// The version that stood; 0 for none.
    pub(super) version: u32,
    /// The newest version, for a party that hears of those which wait, too.
    pub(super) newest: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) manifest_sha256: Option<Sha256>,
    /// The newest version of the call's text that was seen by then: an amendment can make versions void.
    pub(super) call_version: u32,
    /// By the exchange's clock.
    pub(super) seen_at: Timestamp,
    /// The profiles to which it was shown, and whether their member was of its parties.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) shown_to: BTreeMap<String, bool>,
    /// The profiles whose member has left it and to which it was not shown since.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) left: BTreeSet<String>,
    /// What was seen earlier, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) before: Vec<SeenState>,
}

/// A decision that was seen to be final.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::client) struct SeenDecision {
    pub(super) id: DecisionId,
    pub(super) outcome: Outcome,
    pub(super) manifest_sha256: Sha256,
    pub(super) final_at: Timestamp,
    /// By the exchange's clock.
    pub(super) seen_at: Timestamp,
    /// Those that it superseded and that were seen in force, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) before: Vec<SeenDecision>,
}

/// The entry with the highest number that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::client) struct SeenEntry {
    pub(super) seq: u64,
    pub(super) at: Timestamp,
    pub(super) seen_at: Timestamp,
    /// What it was about, in the record of a profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) proposal: Option<ProposalId>,
}

/// The newest review that was handed in with a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::client) struct SeenReview {
    pub(super) reviewer: MemberId,
    pub(super) revision: u32,
    /// Of the sealed review.
    pub(super) statement_sha256: Sha256,
    /// By the exchange's clock.
    pub(super) seen_at: Timestamp,
}

impl SeenEntry {
    pub(super) fn worded_end(&self, highest: u64, about: Option<String>) -> String {
        let ends = if highest > 0 { format!("ends at entry {highest}") } else { "shows no entry".to_owned() };
        let about = about.map(|name| format!(" about `{name}`")).unwrap_or_default();
        format!(
            "the log {ends}, but entry {}{about} of {} was seen here on {:.0}: the exchange has gone back to an older state than it \
             showed, perhaps to a backup, or policy hides it now; if you know of no reason for that, tell the host's operator and \
             the other partners",
            self.seq, self.at, self.seen_at
        )
    }
}

impl SeenState {
    /// Whether the version has another manifest than one that was seen under the same number.
    pub(super) fn is_another(&self, seen: &Self) -> bool {
        let (now, then) = (self.manifest_sha256, seen.manifest_sha256);
        self.version == seen.version && now.is_some() && then.is_some() && now != then
    }

    /// To whom this or that was shown; what was of somebody's own once stays so until they leave it.
    pub(super) fn shown_to_as_well_as(&self, seen: &Self) -> BTreeMap<String, bool> {
        let mut shown_to = seen.shown_to.clone();
        for (profile, is_own) in &self.shown_to {
            *shown_to.entry(profile.clone()).or_default() |= is_own;
        }
        shown_to
    }

    /// Who has left it, if this was shown to nobody else: who is shown it again is back.
    pub(super) fn left_since(&self, seen: &Self) -> BTreeSet<String> {
        seen.left.iter().filter(|profile| !self.shown_to.contains_key(*profile)).cloned().collect()
    }

    /// This state with what was seen before it.
    pub(super) fn after(self, seen: Self) -> Self {
        let newest = self.newest.max(seen.newest);
        let (shown_to, left) = (self.shown_to_as_well_as(&seen), self.left_since(&seen));
        let mut before = seen.before.clone();
        before.push(Self { before: Vec::new(), ..seen });
        let surplus = before.len().saturating_sub(MAX_BEFORE);
        before.drain(..surplus);
        Self { newest, shown_to, left, before, ..self }
    }

    /// What it is, in words.
    pub(super) fn shown(&self) -> String {
        if self.version > 0 {
            format!("{} in version {}{}", self.status, self.version, self.manifest())
        } else {
            self.status.to_string()
        }
    }

    pub(super) fn manifest(&self) -> String {
        self.manifest_sha256.map(|digest| format!(" (manifest {digest})")).unwrap_or_default()
    }

    pub(super) fn worded(&self, id: impl Display, now: &str, kept: &str) -> String {
        let was = if self.version > 0 {
            format!("was {}", self.shown())
        } else {
            format!("had a version {} that waited", self.newest)
        };
        format!(
            "`{id}` is shown as {now}, but {was} on {:.0}: the exchange has gone back to an older state than it showed, perhaps to a \
             backup; tell the host's operator and the other parties. What was seen is kept in `{kept}`",
            self.seen_at
        )
    }

    pub(super) fn worded_gone(&self, id: impl Display, kept: &str) -> String {
        format!(
            "`{id}` is not shown, but was seen here as {} on {:.0}: the exchange has gone back to an older state than it showed, perhaps to a \
             backup, or policy hides it now; if you know of no reason for that, tell the host's operator and the other parties. What was \
             seen is kept in `{kept}`",
            self.shown(),
            self.seen_at
        )
    }

    pub(super) fn worded_not_withdrawn(&self, id: impl Display, now: Status, kept: &str) -> String {
        format!(
            "`{id}` is shown as {now}, but was {} on {:.0}: a party may have reinstated it, which the log says; if none has, the exchange \
             has gone back to an older state than it showed. What was seen is kept in `{kept}`",
            self.shown(),
            self.seen_at
        )
    }
}

impl SeenDecision {
    pub(super) fn is_same(&self, other: &Self) -> bool {
        *self == Self { seen_at: self.seen_at, before: self.before.clone(), ..other.clone() }
    }

    /// This decision, which superseded the one that was seen.
    pub(super) fn after(self, seen: Self) -> Self {
        let mut before = seen.before.clone();
        before.push(Self { before: Vec::new(), ..seen });
        Self { before, ..self }
    }

    pub(super) fn worded(&self, id: impl Display, now: Option<&str>, kept: &str) -> String {
        let Self { outcome, final_at, seen_at, .. } = self;
        let (now, or_hidden) = match now {
            Some(now) => (format!("is shown as `{now}`"), ""),
            None => ("is not shown".to_owned(), ", or policy hides it now"),
        };
        format!(
            "the decision on `{id}` {now}, but on {seen_at:.0} it was `{outcome}`, final since {final_at}: the exchange has gone back to an \
             older state than it showed, perhaps to a backup{or_hidden}; if you know of no reason for that, tell the host's operator and \
             the other funders. What was seen is kept in `{kept}`"
        )
    }
}

impl SeenReview {
    pub(super) fn worded(&self, id: impl Display, now: Option<u32>, kept: &str) -> String {
        let now = now.map_or_else(|| "is not shown".to_owned(), |revision| format!("is shown in revision {revision}"));
        format!(
            "your review of `{id}` {now}, but revision {} was handed in here on {:.0}: the exchange has gone back to an older state than it \
             showed, perhaps to a backup, or policy hides it now; if you know of no reason for that, tell the host's operator and the call \
             officers, and hand it in again. What was seen is kept in `{kept}`",
            self.revision, self.seen_at
        )
    }
}
