//! What this machine saw of the exchange's state, so that an older one is noticed whoever shows it: a host that turned time back, or one
//! that restored an old backup and does not say so.
//!
//! Versions of a proposal only count up, unless the call was amended; entries of the log get later as their numbers grow, and what
//! a member read of it stays, unless policy hides it from them. What was seen is kept, whatever is shown afterwards: it is this
//! machine's evidence. Notices are for the person; nothing is refused here.

use super::{Client, Home, Result, clock::ExchangeClock};
use crate::{
    domain::{
        id::{CallId, ProposalId, Sha256},
        proposal::Status,
    },
    wire::{entry::Entry, proposal::Proposal},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
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
    /// Whether it may be nothing but a policy that hides what was seen.
    pub may_be_hidden: bool,
}

/// Something older than what was seen before.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Older {
    Proposal {
        id: ProposalId,
        call: CallId,
        seen: SeenState,
        now: String,
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
        };
        let seen = self.home.seen_state(shown.id)?;
        match seen {
            Some(seen) if version < seen.version || (shown.mine.is_party && newest < seen.newest) => {
                let now = match shown.version {
                    Some(version) => format!("{} in version {version}", shown.status),
                    None => shown.status.to_string(),
                };
                self.meet(Older::Proposal { id: shown.id, call: shown.call, seen, now });
                Ok(())
            }
            Some(seen) if version == seen.version && newest <= seen.newest && now.status == seen.status => Ok(()),
            // A version that waits for signatures may be the first thing that there is to remember.
            _ if remember && (version > 0 || newest > 0) => self.home.write_seen_state(shown.id, &now),
            _ => Ok(()),
        }
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
                    let amended = self.api().call(call).await.is_ok_and(|call| call.body.version > seen.call_version);
                    if amended {
                        self.home().forget_seen_state(id)?;
                    } else {
                        let notice = seen.worded(id, &now, &self.home().state_path(id).display().to_string());
                        told.push(OlderState { subject: id.to_string(), notice, may_be_hidden: false });
                    }
                }
                Older::Log { seen, now: (seq, at) } => told.push(OlderState {
                    subject: "a number of the log".to_owned(),
                    notice: format!(
                        "the log is at entry {seq} on {at}, but entry {} of {} was seen here before: the exchange has gone back to \
                         an older state than it showed, perhaps to a backup; tell the host's operator and the other partners",
                        seen.seq, seen.at
                    ),
                    may_be_hidden: false,
                }),
                Older::End { seen, highest } => told.push(OlderState {
                    subject: "the end of the log".to_owned(),
                    notice: seen.worded_end(highest),
                    may_be_hidden: self.is_hidden(seen.proposal).await,
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
    fn worded(&self, id: ProposalId, now: &str, kept: &str) -> String {
        let was = if self.version > 0 {
            format!("was {} in version {}", self.status, self.version)
        } else {
            format!("had a version {} that waited", self.newest)
        };
        let digest = self.manifest_sha256.map(|digest| format!(" (manifest {digest})")).unwrap_or_default();
        format!(
            "`{id}` is shown as {now}, but {was}{digest} on {:.0}: the exchange shows an older state than it did, perhaps from a \
             backup; tell the host's operator and the other parties. What was seen is kept in `{kept}`",
            self.seen_at
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        client::testing::{at, proposal},
        domain::ambient::SystemClock,
    };

    fn witness() -> (tempfile::TempDir, Witness) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(folder.path())).unwrap();
        (folder, Witness::new(home, "work".into(), ExchangeClock::new(Arc::new(SystemClock))))
    }

    fn shown(version: Option<u32>, status: Status) -> Proposal {
        Proposal { version, status, manifest_sha256: version.map(|_| Sha256::of(b"manifest")), ..proposal() }
    }

    #[test]
    fn version_that_is_gone_is_met_and_what_was_seen_stays() {
        let (_folder, witness) = witness();
        witness.proposal(shown(None, Status::Preparing)).unwrap();
        witness.proposal(shown(Some(1), Status::Submitted)).unwrap();
        witness.proposal(shown(Some(2), Status::Submitted)).unwrap();
        witness.proposal(shown(Some(2), Status::Withdrawn)).unwrap();
        assert!(witness.met().is_empty());
        let kept = witness.home.seen_state(proposal().id).unwrap().unwrap();
        for older in [shown(Some(1), Status::Submitted), shown(None, Status::Preparing)] {
            witness.proposal(older.clone()).unwrap();
            witness.proposals(&[older]).unwrap();
        }
        assert_eq!(witness.met().len(), 2, "each once");
        assert_eq!(witness.home.seen_state(proposal().id).unwrap(), Some(kept.clone()));
        let said = kept.worded(proposal().id, "preparing", "/x");
        assert!(said.contains("is shown as preparing, but was withdrawn in version 2"), "{said}");
    }

    #[test]
    fn number_that_was_given_out_twice_is_met() {
        let (_folder, witness) = witness();
        let number = |seq, time: &str| witness.number(seq, at(time), |seen| seq <= seen.seq).unwrap();
        number(5, "2026-03-01T00:00:00Z");
        number(9, "2026-03-02T00:00:00Z");
        number(9, "2026-03-02T00:00:00Z");
        number(7, "2026-03-01T12:00:00Z");
        assert!(witness.met().is_empty(), "earlier entries are earlier");
        number(7, "2026-03-03T00:00:00Z");
        number(9, "2026-03-04T00:00:00Z");
        assert_eq!(witness.met().len(), 2);
        witness.last_entry(9, at("2026-03-05T00:00:00Z")).unwrap();
        assert_eq!(witness.met().len(), 2, "nothing has happened since");
        witness.last_entry(8, at("2026-03-05T00:00:00Z")).unwrap();
        assert_eq!(witness.met().len(), 3);
        assert_eq!(witness.home.seen_entry().unwrap().unwrap().seq, 9);
    }
    fn entry(seq: u64, proposal: Option<ProposalId>) -> Entry {
        serde_json::from_value(serde_json::json!({
            "seq": seq, "at": "2026-03-01T00:00:00Z", "kind": "proposal.submitted", "proposal": proposal, "payload": "{}", "salt": "",
        }))
        .unwrap()
    }

    #[test]
    fn log_that_ends_before_what_its_reader_saw_is_met_and_another_reader_s_is_not() {
        let (_folder, witness) = witness();
        let id = proposal().id;
        witness.entries(&[entry(50, None), entry(80, Some(id))]).unwrap();
        witness.end().unwrap();
        assert!(witness.met().is_empty());
        let clock = || ExchangeClock::new(Arc::new(SystemClock));
        let again = |profile: &str| Witness::new(witness.home.clone(), profile.into(), clock());
        let other = again("other");
        other.entries(&[entry(50, None)]).unwrap();
        other.end().unwrap();
        assert!(other.met().is_empty(), "another member reads another part of it");
        for shown in [&[entry(50, None)][..], &[]] {
            let restored = again("work");
            restored.entries(shown).unwrap();
            restored.end().unwrap();
            let met = restored.met().clone();
            let [Older::End { seen, highest }] = met.as_slice() else { panic!("{met:?}") };
            assert_eq!((seen.seq, seen.proposal, *highest), (80, Some(id), shown.last().map_or(0, |entry| entry.seq)));
        }
        let said = witness.home.seen_end("work").unwrap().unwrap().worded_end(50);
        assert!(said.starts_with("the log ends at entry 50, but entry 80 about `prop_"), "{said}");
        assert!(said.contains("or policy hides it now"), "{said}");
    }
}
