//! What this machine saw of the exchange's state, so that an older one is noticed no matter who shows it: a host that turned time back, or
//! one that restored an old backup and does not say so.
//!
//! Versions of a proposal only count up, unless the call was amended, and a number has one manifest; a final decision stays; entries of
//! the log get later as their numbers grow, and what a member read of it stays, unless policy hides it from them. What was seen is kept,
//! whatever is shown afterwards: it is this machine's evidence. Notices are for the person; nothing is refused here.

mod seen;

pub(super) use seen::{SeenDecision, SeenEntry, SeenReview, SeenState};

use super::{Client, Home, Result, clock::ExchangeClock};
use crate::{
    domain::{
        id::{CallId, ProposalId, Sha256},
        proposal::Status,
    },
    wire::{decision::Decision, entry::Entry, proposal::Proposal, review::Review},
};
use jiff::Timestamp;
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

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
    /// What was withdrawn is no longer withdrawn, and no newer version says why.
    NotWithdrawn {
        id: ProposalId,
        seen: SeenState,
        now: Status,
    },
    /// What was seen is not shown.
    Gone {
        id: ProposalId,
        seen: SeenState,
    },
    /// A review that was handed in is not shown, or an earlier one is.
    Review {
        id: ProposalId,
        seen: SeenReview,
        /// The newest revision that is shown.
        now: Option<u32>,
    },
    /// A final decision is gone, no longer final, or another one.
    Decision {
        id: ProposalId,
        seen: SeenDecision,
        /// `None` if there is no such decision.
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

    /// A proposal as it is asked for: shown, or not.
    pub(super) fn asked(&self, id: ProposalId, answer: Result<Proposal>) -> Result<Proposal> {
        match answer {
            Ok(shown) => self.proposal(shown),
            Err(error) => {
                if error.is_not_found() {
                    // Its title goes from this machine, too. That it cannot be removed must not stand in place of the answer.
                    let _ = self.home.forget_title(&self.profile, id);
                    // Another member of the same home may know of it; earlier versions of the program did not note who. To a member who
                    // has left it is not shown, which is in order.
                    self.gone(id, |seen| {
                        !seen.left.contains(&self.profile)
                            && (seen.shown_to.is_empty() || seen.shown_to.contains_key(&self.profile))
                    })?;
                }
                Err(error)
            }
        }
    }

    /// Everything that the member may know of, read to its end: what was of their own and is not there is gone.
    pub(super) fn whole(&self, shown: &[Proposal]) -> Result<()> {
        let there: BTreeSet<_> = shown.iter().map(|proposal| proposal.id).collect();
        let seen = self.home.seen_states()?;
        seen.into_iter()
            .filter(|id| !there.contains(id))
            .try_for_each(|id| self.gone(id, |seen| seen.shown_to.get(&self.profile) == Some(&true)))
    }

    fn gone(&self, id: ProposalId, is_meant: impl FnOnce(&SeenState) -> bool) -> Result<()> {
        if let Some(seen) = self.home.seen_state(id)?.filter(is_meant) {
            self.meet(Older::Gone { id, seen });
        }
        Ok(())
    }

    /// A proposal that the member has left: it is no longer of their own, and need not be shown to them.
    pub(super) fn left(&self, id: ProposalId) -> Result<()> {
        let Some(mut seen) = self.home.seen_state(id)? else { return Ok(()) };
        if let Some(is_own) = seen.shown_to.get_mut(&self.profile) {
            *is_own = false;
        }
        seen.left.insert(self.profile.clone());
        self.home.write_seen_state(id, &seen)
    }

    /// A proposal that the member had left and takes part in again.
    pub(super) fn is_back(&self, id: ProposalId) -> Result<()> {
        let Some(mut seen) = self.home.seen_state(id)? else { return Ok(()) };
        if seen.left.remove(&self.profile) { self.home.write_seen_state(id, &seen) } else { Ok(()) }
    }

    /// Whether the member has left a proposal that was shown to them here, as far as this machine did it.
    pub(super) fn has_left(&self, seen: &SeenState) -> bool {
        seen.left.contains(&self.profile)
    }

    /// A review that the member has handed in.
    pub(super) fn review(&self, handed_in: Review) -> Result<Review> {
        let Review { reviewer, revision, statement, .. } = &handed_in;
        let (reviewer, revision) = (reviewer.clone(), *revision);
        let statement_sha256 = Sha256::of(statement.as_bytes());
        let seen = SeenReview { reviewer, revision, statement_sha256, seen_at: self.clock.now() };
        self.home.write_seen_review(&self.profile, handed_in.proposal, &seen)?;
        Ok(handed_in)
    }

    /// The reviews of a proposal as they are shown: one's own among them, or what is left of it.
    pub(super) fn reviews(&self, id: ProposalId, shown: Vec<Review>) -> Result<Vec<Review>> {
        if let Some(seen) = self.home.seen_review(&self.profile, id)? {
            let own = shown.iter().filter(|review| review.reviewer == seen.reviewer);
            let newest = own.max_by_key(|review| review.revision);
            let is_there = newest.is_some_and(|newest| {
                newest.revision > seen.revision
                    || (newest.revision == seen.revision
                        && Sha256::of(newest.statement.as_bytes()) == seen.statement_sha256)
            });
            if !is_there {
                self.meet(Older::Review { id, seen, now: newest.map(|newest| newest.revision) });
            }
        }
        Ok(shown)
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
        let as_seen = |shown: &Decision| {
            let final_at = shown.final_at?.0;
            let Decision { id, outcome, manifest_sha256, .. } = shown;
            let (id, outcome, manifest_sha256) = (*id, *outcome, *manifest_sha256);
            let (seen_at, before) = (self.clock.now(), Vec::new());
            Some(SeenDecision { id, outcome, manifest_sha256, final_at, seen_at, before })
        };
        let now = shown.and_then(as_seen);
        let superseded: Vec<_> = shown.iter().flat_map(|shown| &shown.before).filter_map(as_seen).collect();
        match (self.home.seen_decision(id)?, now) {
            (None, Some(now)) => self.home.write_seen_decision(id, &now),
            (Some(seen), Some(now)) if seen.is_same(&now) => Ok(()),
            (Some(seen), Some(now)) if superseded.iter().any(|earlier| seen.is_same(earlier)) => {
                self.home.write_seen_decision(id, &now.after(seen))
            }
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
        let shown_to = [(self.profile.clone(), shown.mine.is_party)].into();
        let now = SeenState {
            reference: Some(shown.reference.clone()),
            shown_to,
            left: BTreeSet::new(),
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
            // Another profile of the same home may have seen it before.
            let (shown_to, left) = (now.shown_to_as_well_as(&seen), now.left_since(&seen));
            let is_known = shown_to == seen.shown_to && left == seen.left && now.reference == seen.reference;
            return if is_known {
                Ok(())
            } else {
                let reference = now.reference;
                self.home.write_seen_state(shown.id, &SeenState { reference, shown_to, left, ..seen })
            };
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
    /// What was shown to this client that is older than what this machine saw before. Reported once; what was seen stays.
    pub async fn older_states(&self) -> Result<Vec<OlderState>> {
        let met = std::mem::take(&mut *self.api().witness().met());
        let mut states = Vec::new();
        for older in met {
            match older {
                Older::Proposal { id, call, seen, now } => {
                    // An amendment that asks for new submissions makes the earlier ones void.
                    // Believed where it was signed alone.
                    let is_amended = match call {
                        Some(call) => self.call(call).await.is_ok_and(|call| call.publication.version > seen.call_version),
                        None => false,
                    };
                    if is_amended {
                        self.home().put_seen_state_aside(id)?;
                    } else {
                        let notice = seen.worded(
                            self.proposal_name(id),
                            &now,
                            &self.home().state_path(id).display().to_string(),
                        );
                        states.push(OlderState { subject: id.to_string(), notice, may_be_in_order: false });
                    }
                }
                Older::NotWithdrawn { id, seen, now } => {
                    let kept = self.home().state_path(id).display().to_string();
                    let notice = seen.worded_not_withdrawn(self.proposal_name(id), now, &kept);
                    states.push(OlderState { subject: format!("{id}, withdrawn"), notice, may_be_in_order: true });
                }
                Older::Gone { id, seen } => {
                    let kept = self.home().state_path(id).display().to_string();
                    let notice = seen.worded_gone(self.proposal_name(id), &kept);
                    states.push(OlderState { subject: format!("{id}, not shown"), notice, may_be_in_order: true });
                }
                Older::Review { id, seen, now } => {
                    let kept = self.home().review_path(&self.profile().name, id).display().to_string();
                    let notice = seen.worded(self.proposal_name(id), now, &kept);
                    let subject = format!("the review of {id}");
                    states.push(OlderState { subject, notice, may_be_in_order: now.is_none() });
                }
                Older::Decision { id, seen, now } => {
                    let kept = self.home().decision_path(id).display().to_string();
                    let notice = seen.worded(self.proposal_name(id), now.as_deref(), &kept);
                    let subject = format!("the decision on {id}");
                    states.push(OlderState { subject, notice, may_be_in_order: now.is_none() });
                }
                Older::Log { seen, now: (seq, at) } => states.push(OlderState {
                    subject: "a number of the log".to_owned(),
                    notice: format!(
                        "the log is at entry {seq} on {at}, but entry {} of {} was seen here before: the exchange has gone back to \
                         an older state than it showed, perhaps to a backup; tell the host's operator and the other partners",
                        seen.seq, seen.at
                    ),
                    may_be_in_order: false,
                }),
                Older::End { seen, highest } => states.push(OlderState {
                    subject: "the end of the log".to_owned(),
                    notice: seen.worded_end(highest, seen.proposal.map(|id| self.proposal_name(id))),
                    may_be_in_order: self.is_hidden(seen.proposal).await,
                }),
            }
        }
        Ok(states)
    }

    /// Whether a proposal is not shown to this member, as after a conflict of interest that they declared.
    async fn is_hidden(&self, proposal: Option<ProposalId>) -> bool {
        match proposal {
            Some(id) => !self.api().is_shown(id).await,
            None => false,
        }
    }
}

#[cfg(test)]
mod tests;
