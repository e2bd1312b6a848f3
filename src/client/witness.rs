//! What this machine saw of the exchange's state, so that an older one is noticed whoever shows it: a host that turned time back, or one
//! that restored an old backup and does not say so.
//!
//! Versions of a proposal only count up, unless the call was amended, and a number has one manifest; a final decision stays; entries of
//! the log get later as their numbers grow, and what a member read of it stays, unless policy hides it from them. What was seen is kept,
//! whatever is shown afterwards: it is this machine's evidence. Notices are for the person; nothing is refused here.

use super::{Client, Home, Result, clock::ExchangeClock};
use crate::{
    domain::{
        decision::Outcome,
        id::{CallId, DecisionId, ProposalId, Sha256},
        proposal::Status,
    },
    wire::{decision::Decision, entry::Entry, proposal::Proposal},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

/// How many earlier states of a proposal are kept beside the newest.
const MAX_BEFORE: usize = 32;

/// What is seen of one exchange by one client.
#[derive(Debug, Clone)]
pub(super) struct Witness {
    home: Home,
    /// What one member reads of the log another may not.
    profile: String,
    clock: ExchangeClock,
    met: Arc<Mutex<Vec<Older>>>,
    /// The highest number of an entry that was shown.
    highest: Arc<AtomicU64>,
}

/// The newest state of a proposal that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SeenState {
    status: Status,
    /// The version that stood; 0 for none.
    version: u32,
    /// The newest version, for a party that hears of those which wait, too.
    newest: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    manifest_sha256: Option<Sha256>,
    /// The newest version of the call's text that was seen by then: an amendment can make versions void.
    call_version: u32,
    /// By the exchange's clock.
    seen_at: Timestamp,
    /// What was seen earlier, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    before: Vec<SeenState>,
}

/// A decision that was seen to be final.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SeenDecision {
    id: DecisionId,
    outcome: Outcome,
    manifest_sha256: Sha256,
    final_at: Timestamp,
    /// By the exchange's clock.
    seen_at: Timestamp,
}

/// The entry with the highest number that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SeenEntry {
    seq: u64,
    at: Timestamp,
    seen_at: Timestamp,
    /// What it was about, in the record of a profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proposal: Option<ProposalId>,
}

/// Something that was shown and is older than what was seen before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OlderState {
    /// The same for each notice of the same thing.
    pub subject: String,
    pub notice: String,
    /// Whether it may be in order: policy hides what was seen, or a party reinstated what it had withdrawn.
    pub may_be_in_order: bool,
}

/// Something older than what was seen before.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Older {
    Proposal {
        id: ProposalId,
        /// The call, where an amendment of it can be all.
        call: Option<CallId>,
        seen: SeenState,
        now: String,
    },
    /// What was withdrawn is not withdrawn any more, and no newer version says why.
    NotWithdrawn {
        id: ProposalId,
        seen: SeenState,
        now: Status,
    },
    /// A final decision is gone, not final any more or another one.
    Decision {
        id: ProposalId,
        seen: SeenDecision,
        /// None if there is none.
        now: Option<String>,
    },
    Log {
        seen: SeenEntry,
        now: (u64, Timestamp),
    },
    /// The log as the member reads it ends earlier.
    End {
        seen: SeenEntry,
        highest: u64,
    },
}

impl Witness {
    pub(super) fn new(home: Home, profile: String, clock: ExchangeClock) -> Self {
        Self { home, profile, clock, met: Arc::default(), highest: Arc::default() }
    }

    /// A proposal as it is shown now.
    pub(super) fn proposal(&self, shown: Proposal) -> Result<Proposal> {
        self.look(&shown, true)?;
        Ok(shown)
    }

    /// Proposals of a list. Only those of one's own are remembered: a list may have a million.
    pub(super) fn proposals(&self, shown: &[Proposal]) -> Result<()> {
        shown.iter().try_for_each(|proposal| self.look(proposal, proposal.mine.is_party))
    }

    /// A proposal that the member has just reinstated.
    pub(super) fn reinstated(&self, shown: Proposal) -> Result<Proposal> {
        let shown = self.proposal(shown)?;
        self.met().retain(|older| !matches!(older, Older::NotWithdrawn { id, .. } if *id == shown.id));
        Ok(shown)
    }

    /// The decision on a proposal as it is shown now, if any.
    pub(super) fn decision(&self, id: ProposalId, shown: Option<&Decision>) -> Result<()> {
        let now = shown.and_then(|shown| {
            let final_at = shown.final_at?.0;
            let Decision { id, outcome, manifest_sha256, .. } = shown;
            let (id, outcome, manifest_sha256) = (*id, *outcome, *manifest_sha256);
            Some(SeenDecision { id, outcome, manifest_sha256, final_at, seen_at: self.clock.now() })
        });
        match (self.home.seen_decision(id)?, now) {
            (None, Some(now)) => self.home.write_seen_decision(id, &now),
            (Some(seen), Some(now)) if seen.is_same(&now) => Ok(()),
            (Some(seen), now) => {
                let now = match (shown, now) {
                    (_, Some(now)) => Some(format!("{} by another decision of {}", now.outcome, now.final_at)),
                    (shown, None) => shown.map(|shown| format!("{}, but not final", shown.outcome)),
                };
                self.meet(Older::Decision { id, seen, now });
                Ok(())
            }
            (None, None) => Ok(()),
        }
    }

    /// Entries of the log.
    pub(super) fn entries(&self, shown: &[Entry]) -> Result<()> {
        let Some(last) = shown.iter().max_by_key(|entry| entry.seq) else { return Ok(()) };
        // Numbers grow with time: one that was there before cannot be of a later instant.
        if let Some(seen) = self.home.seen_entry()?
            && let Some(again) = shown.iter().find(|entry| entry.seq <= seen.seq && entry.at.0 > seen.at)
        {
            self.meet(Older::Log { seen, now: (again.seq, again.at.0) });
        }
        self.number(last.seq, last.at.0, |_| false)?;
        self.highest.fetch_max(last.seq, Ordering::Relaxed);
        match self.home.seen_end(&self.profile)? {
            Some(seen) if last.seq <= seen.seq => Ok(()),
            _ => {
                let (seq, at, seen_at) = (last.seq, last.at.0, self.clock.now());
                self.home.write_seen_end(&self.profile, &SeenEntry { seq, at, seen_at, proposal: last.proposal })
            }
        }
    }

    /// The end of the log as the member reads it, when it was read without a filter.
    pub(super) fn end(&self) -> Result<()> {
        let highest = self.highest.load(Ordering::Relaxed);
        let seen = self.home.seen_end(&self.profile)?;
        if let Some(seen) = seen.filter(|seen| highest < seen.seq) {
            self.meet(Older::End { seen, highest });
        }
        Ok(())
    }

    /// The last number of the log at an instant.
    pub(super) fn last_entry(&self, seq: u64, at: Timestamp) -> Result<()> {
        self.number(seq, at, |seen| seq < seen.seq)
    }

    fn number(&self, seq: u64, at: Timestamp, was_there: impl FnOnce(&SeenEntry) -> bool) -> Result<()> {
        match self.home.seen_entry()? {
            Some(seen) if was_there(&seen) && at > seen.at => {
                self.meet(Older::Log { seen, now: (seq, at) });
                Ok(())
            }
            Some(seen) if seq <= seen.seq => Ok(()),
            _ => self.home.write_seen_entry(&SeenEntry { seq, at, seen_at: self.clock.now(), proposal: None }),
        }
    }

    fn look(&self, shown: &Proposal, remember: bool) -> Result<()> {
        let pending = shown.pending.as_ref().map_or(0, |pending| pending.version);
        let version = shown.version.unwrap_or(0);
        let newest = if shown.mine.is_party { version.max(pending) } else { 0 };
        let now = SeenState {
            status: shown.status,
            version,
            newest,
            manifest_sha256: shown.manifest_sha256,
            call_version: self.home.seen_call_version(shown.call)?,
            seen_at: self.clock.now(),
            before: Vec::new(),
        };
        let Some(seen) = self.home.seen_state(shown.id)? else {
            // A version that waits for signatures may be the first thing that there is to remember.
            let is_something = version > 0 || newest > 0;
            return if remember && is_something { self.home.write_seen_state(shown.id, &now) } else { Ok(()) };
        };
        let is_older = version < seen.version || (shown.mine.is_party && newest < seen.newest);
        if is_older || now.is_another(&seen) {
            let call = is_older.then_some(shown.call);
            self.meet(Older::Proposal { id: shown.id, call, seen, now: now.shown() });
            return Ok(());
        }
        let is_same_version = version == seen.version && newest <= seen.newest;
        if is_same_version && now.status == seen.status {
            return Ok(());
        }
        if is_same_version && seen.status == Status::Withdrawn {
            self.meet(Older::NotWithdrawn { id: shown.id, seen: seen.clone(), now: now.status });
        }
        self.home.write_seen_state(shown.id, &now.after(seen))
    }

    fn meet(&self, older: Older) {
        let mut met = self.met();
        if !met.contains(&older) {
            met.push(older);
        }
    }

    fn met(&self) -> MutexGuard<'_, Vec<Older>> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    /// What was shown to this client that is older than what this machine saw before. Told once; what was seen stays.
    pub async fn older_states(&self) -> Result<Vec<OlderState>> {
        let met = std::mem::take(&mut *self.api().witness().met());
        let mut told = Vec::new();
        for older in met {
            match older {
                Older::Proposal { id, call, seen, now } => {
                    // An amendment that asks for new submissions makes the earlier ones void.
                    let is_amended = match call {
                        Some(call) => self.api().call(call).await.is_ok_and(|call| call.body.version > seen.call_version),
                        None => false,
                    };
                    if is_amended {
                        self.home().forget_seen_state(id)?;
                    } else {
                        let notice = seen.worded(id, &now, &self.home().state_path(id).display().to_string());
                        told.push(OlderState { subject: id.to_string(), notice, may_be_in_order: false });
                    }
                }
                Older::NotWithdrawn { id, seen, now } => {
                    let kept = self.home().state_path(id).display().to_string();
                    let notice = seen.worded_not_withdrawn(id, now, &kept);
                    told.push(OlderState { subject: format!("{id}, withdrawn"), notice, may_be_in_order: true });
                }
                Older::Decision { id, seen, now } => {
                    let kept = self.home().decision_path(id).display().to_string();
                    let notice = seen.worded(id, now.as_deref(), &kept);
                    let subject = format!("the decision on {id}");
                    told.push(OlderState { subject, notice, may_be_in_order: now.is_none() });
                }
                Older::Log { seen, now: (seq, at) } => told.push(OlderState {
                    subject: "a number of the log".to_owned(),
                    notice: format!(
                        "the log is at entry {seq} on {at}, but entry {} of {} was seen here before: the exchange has gone back to \
                         an older state than it showed, perhaps to a backup; tell the host's operator and the other partners",
                        seen.seq, seen.at
                    ),
                    may_be_in_order: false,
                }),
                Older::End { seen, highest } => told.push(OlderState {
                    subject: "the end of the log".to_owned(),
                    notice: seen.worded_end(highest),
                    may_be_in_order: self.is_hidden(seen.proposal).await,
                }),
            }
        }
        Ok(told)
    }

    /// Whether a proposal is not shown to this member, as after a conflict of interest that they declared.
    async fn is_hidden(&self, proposal: Option<ProposalId>) -> bool {
        match proposal {
            Some(id) => self.api().proposal(id).await.is_err_and(|error| error.is_not_found()),
            None => false,
        }
    }
}

impl SeenEntry {
    fn worded_end(&self, highest: u64) -> String {
        let ends = if highest > 0 { format!("ends at entry {highest}") } else { "shows no entry".to_owned() };
        let about = self.proposal.map(|id| format!(" about `{id}`")).unwrap_or_default();
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
    fn is_another(&self, seen: &Self) -> bool {
        let (now, then) = (self.manifest_sha256, seen.manifest_sha256);
        self.version == seen.version && now.is_some() && then.is_some() && now != then
    }

    /// This state with what was seen before it.
    fn after(self, seen: Self) -> Self {
        let newest = self.newest.max(seen.newest);
        let mut before = seen.before.clone();
        before.push(Self { before: Vec::new(), ..seen });
        let surplus = before.len().saturating_sub(MAX_BEFORE);
        before.drain(..surplus);
        Self { newest, before, ..self }
    }

    /// What it is, in words.
    fn shown(&self) -> String {
        if self.version > 0 {
            format!("{} in version {}{}", self.status, self.version, self.manifest())
        } else {
            self.status.to_string()
        }
    }

    fn manifest(&self) -> String {
        self.manifest_sha256.map(|digest| format!(" (manifest {digest})")).unwrap_or_default()
    }

    fn worded(&self, id: ProposalId, now: &str, kept: &str) -> String {
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

    fn worded_not_withdrawn(&self, id: ProposalId, now: Status, kept: &str) -> String {
        format!(
            "`{id}` is shown as {now}, but was {} on {:.0}: a party may have reinstated it, which the log says; if none has, the exchange \
             has gone back to an older state than it showed. What was seen is kept in `{kept}`",
            self.shown(),
            self.seen_at
        )
    }
}

impl SeenDecision {
    fn is_same(&self, other: &Self) -> bool {
        *self == Self { seen_at: self.seen_at, ..other.clone() }
    }

    fn worded(&self, id: ProposalId, now: Option<&str>, kept: &str) -> String {
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

#[cfg(test)]
mod tests;
