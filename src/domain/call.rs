//! A call for proposals: its text, its schedule and the phase it is in.
//!
//! The phase is never stored: it follows from the schedule, the acts on the call and the instant asked about.

use super::{
    Refusal,
    id::{MemberId, PartnerCode, ProposalId, Slug},
    member::CallRole,
    name,
    review::{Criterion, Points},
    worded,
};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;

worded! {
    /// Where a call stands.
    pub enum Phase: "a phase, one of" {
        /// Being written; only its officers see it.
        Draft = "draft",
        /// Published, not yet accepting.
        Announced = "announced",
        /// Accepting proposals.
        Open = "open",
        /// Past the last deadline; announced bytes may still arrive.
        Grace = "grace",
        /// Past every deadline and grace: content may be opened, reviewed and decided on.
        Review = "review",
        /// Ended by its officers without decisions.
        Cancelled = "cancelled",
    }
}

worded! {
    /// For whom a document slot is.
    pub enum Audience: "an audience, one of" {
        /// Parties, officers, assigned reviewers and deciders.
        Panel = "panel",
        /// Its own party, officers and deciders; never the counterpart nor the reviewers.
        Staff = "staff",
    }
}

/// A named place for a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    pub name: Slug,
    pub title: String,
    /// Whether a proposal is incomplete without it; a `staff` slot is asked of each party.
    pub required: bool,
    pub media_types: BTreeSet<String>,
    /// Largest ciphertext, in bytes.
    pub max_bytes: u64,
    pub audience: Audience,
}

/// The slot every call has: title, abstract, team and budget as a sealed document.
pub const SUMMARY_SLOT: &str = "summary";
/// The media type of the sealed summary.
pub const SUMMARY_MEDIA_TYPE: &str = "application/vnd.entente.summary+json";

/// Who has to be in a proposal together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartyRule {
    /// Fewest parties of different partners.
    pub at_least: u32,
    /// Most parties.
    pub at_most: u32,
    /// Partners without which no proposal is possible.
    pub required: BTreeSet<PartnerCode>,
}

/// The instants of a call. All are inclusive: an act at the deadline is in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    pub opens_at: Timestamp,
    pub deadline_at: Timestamp,
    /// How long after the deadline the bytes of a committed manifest may still arrive.
    pub grace: SignedDuration,
    pub reviews_due_at: Timestamp,
}

/// What a call says. Signed and published as a whole; a change is an amendment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallText {
    pub title: String,
    pub text: String,
    pub topics: BTreeSet<Slug>,
    pub criteria: Vec<Criterion>,
    /// Least weighted total a proposal needs, if the call sets one.
    pub total_threshold: Option<Points>,
    pub slots: Vec<Slot>,
    pub eligible: BTreeSet<PartnerCode>,
    pub parties: PartyRule,
    /// Partners that must all sign each decision.
    pub funders: BTreeSet<PartnerCode>,
    /// Those of [`SEPARATED`] that one member may have together; empty: none.
    pub combined_roles: BTreeSet<CallRole>,
    pub schedule: Schedule,
}

/// Who runs a call, who reviews and who decides are different members, unless the call's text says otherwise in public.
pub const SEPARATED: [CallRole; 3] = [CallRole::Officer, CallRole::Reviewer, CallRole::Decider];

const MAX_GRACE: SignedDuration = SignedDuration::from_hours(14 * 24);
const MAX_SLOT_BYTES: u64 = 64 << 30;

impl CallText {
    /// Checks the text as a whole against the program's participating partners.
    pub fn validate(&self, participants: &BTreeSet<PartnerCode>) -> Result<(), Refusal> {
        let fault = |fault: String| Err(Refusal::CallText { fault });
        if self.title.trim().is_empty() || self.title.len() > 200 {
            return fault("the title has 1 to 200 bytes".into());
        }
        let titles = std::iter::once(("title", &self.title))
            .chain(self.slots.iter().map(|slot| ("title of a slot", &slot.title)));
        if let Some((what, c)) = titles.into_iter().find_map(|(what, text)| Some((what, name::unseen(text)?))) {
            return fault(name::unseen_fault(what, c));
        }
        if self.text.len() > 200_000 {
            return fault("the text has at most 200,000 bytes".into());
        }
        if let Some(stranger) = self.eligible.iter().chain(&self.funders).find(|p| !participants.contains(p)) {
            return fault(format!("partner `{stranger}` does not take part in the program"));
        }
        if self.eligible.is_empty() || self.funders.is_empty() {
            return fault("name at least one eligible and one funding partner".into());
        }
        let rule = &self.parties;
        if let Some(outside) = rule.required.iter().find(|p| !self.eligible.contains(p)) {
            return fault(format!("required party `{outside}` is not eligible"));
        }
        if rule.at_least == 0 || rule.at_most < rule.at_least || rule.at_least as usize > self.eligible.len() {
            return fault("the number of parties must be between 1 and the eligible partners".into());
        }
        if self.criteria.is_empty() || self.criteria.len() > 20 {
            return fault("a call has 1 to 20 criteria".into());
        }
        for criterion in &self.criteria {
            criterion.validate()?;
        }
        if let Some(name) = first_double(self.criteria.iter().map(|c| &c.name)) {
            return fault(format!("criterion `{name}` stands twice"));
        }
        if self.slots.len() > 40 {
            return fault("a call has at most 40 slots".into());
        }
        if let Some(name) = first_double(self.slots.iter().map(|s| &s.name)) {
            return fault(format!("slot `{name}` stands twice"));
        }
        for slot in &self.slots {
            if slot.name.as_str() == SUMMARY_SLOT {
                return fault(format!("slot `{SUMMARY_SLOT}` is part of every call; leave it out"));
            }
            if slot.media_types.is_empty() || slot.max_bytes == 0 || slot.max_bytes > MAX_SLOT_BYTES {
                return fault(format!("slot `{}` needs a media type and a size from 1 byte to 64 GiB", slot.name));
            }
        }
        let combined = &self.combined_roles;
        if combined.len() == 1 || combined.iter().any(|role| !SEPARATED.contains(role)) {
            return fault(
                "`combined_roles` names two or three of officer, reviewer and decider, or is left out".into(),
            );
        }
        let schedule = &self.schedule;
        if schedule.opens_at >= schedule.deadline_at || schedule.deadline_at >= schedule.reviews_due_at {
            return fault("the call opens before its deadline, and reviews are due after it".into());
        }
        if schedule.grace.is_negative() || schedule.grace > MAX_GRACE {
            return fault("the grace period is between 0 seconds and 14 days".into());
        }
        Ok(())
    }

    /// All slots, the summary first.
    #[must_use]
    pub fn all_slots(&self) -> Vec<Slot> {
        let summary = Slot {
            name: SUMMARY_SLOT.parse().expect("a short name"),
            title: "Summary: title, abstract, team and budget".into(),
            required: true,
            media_types: BTreeSet::from([SUMMARY_MEDIA_TYPE.to_owned()]),
            max_bytes: 1 << 20,
            audience: Audience::Panel,
        };
        std::iter::once(summary).chain(self.slots.iter().cloned()).collect()
    }

    /// The slot of that name.
    pub fn slot(&self, name: &Slug) -> Result<Slot, Refusal> {
        self.all_slots()
            .into_iter()
            .find(|s| s.name == *name)
            .ok_or_else(|| Refusal::UnknownSlot { slot: name.clone() })
    }

    /// That a member may have all of these roles in the call.
    pub fn check_roles(&self, member: &MemberId, roles: &BTreeSet<CallRole>) -> Result<(), Refusal> {
        let separated: BTreeSet<CallRole> = roles.iter().filter(|role| SEPARATED.contains(role)).copied().collect();
        if separated.len() < 2 || separated.is_subset(&self.combined_roles) {
            return Ok(());
        }
        let roles = separated.into_iter().map(CallRole::as_str).collect::<Vec<_>>().join(" and ");
        Err(Refusal::RolesCombined { member: member.clone(), roles })
    }

    /// The same of a change: what the member has from before is not judged again, only what is gained.
    pub fn check_new_roles(
        &self,
        member: &MemberId,
        present: &BTreeSet<CallRole>,
        wanted: &BTreeSet<CallRole>,
    ) -> Result<(), Refusal> {
        if wanted.difference(present).any(|role| SEPARATED.contains(role)) {
            self.check_roles(member, wanted)
        } else {
            Ok(())
        }
    }

    /// What replacing this text by `next` does to proposals already handed in.
    ///
    /// Whatever changes what was asked for (criteria, slots, topics, parties, eligibility) voids them: their parties
    /// hand in again under the new text. Clarifications, funders, combined roles and the schedule leave them standing.
    #[must_use]
    pub fn amendment_effect(&self, next: &Self) -> AmendmentEffect {
        let same = self.criteria == next.criteria
            && self.total_threshold == next.total_threshold
            && self.slots == next.slots
            && self.topics == next.topics
            && self.eligible == next.eligible
            && self.parties == next.parties;
        if same { AmendmentEffect::Keeps } else { AmendmentEffect::Resubmit }
    }
}

worded! {
    /// What an amendment does to proposals already handed in.
    pub enum AmendmentEffect: "an effect, one of" {
        /// They stand, bound to the text that they were signed under.
        Keeps = "keeps",
        /// They are void until handed in again under the new text.
        Resubmit = "resubmit",
    }
}

/// For whom a deadline was moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExtensionScope {
    Everyone,
    /// Every proposal that this partner is a party of.
    Partner(PartnerCode),
    Proposal(ProposalId),
}

/// A later deadline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    pub scope: ExtensionScope,
    pub until: Timestamp,
}

/// What has been done with a call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallActs {
    pub is_published: bool,
    pub is_cancelled: bool,
    pub extensions: Vec<Extension>,
}

impl Schedule {
    /// The deadline that holds for a proposal of these parties. Without a proposal: the one that holds for everyone.
    #[must_use]
    pub fn deadline_for(
        &self,
        extensions: &[Extension],
        proposal: Option<(ProposalId, &BTreeSet<PartnerCode>)>,
    ) -> Timestamp {
        extensions
            .iter()
            .filter(|extension| match (&extension.scope, proposal) {
                (ExtensionScope::Everyone, _) => true,
                (ExtensionScope::Partner(partner), Some((_, parties))) => parties.contains(partner),
                (ExtensionScope::Proposal(id), Some((asked, _))) => *id == asked,
                _ => false,
            })
            .map(|extension| extension.until)
            .fold(self.deadline_at, Timestamp::max)
    }

    /// The last instant at which anything may still arrive from anyone. Content is withheld up to and including it, so
    /// that a partner with more time never writes with the others' proposals open.
    #[must_use]
    pub fn sealed_until(&self, extensions: &[Extension]) -> Timestamp {
        let last = extensions.iter().map(|e| e.until).fold(self.deadline_at, Timestamp::max);
        after_grace(last, self.grace)
    }

    /// The end of the grace period after `deadline`.
    #[must_use]
    pub fn grace_end(&self, deadline: Timestamp) -> Timestamp {
        after_grace(deadline, self.grace)
    }

    /// The phase at `now`.
    #[must_use]
    pub fn phase(&self, acts: &CallActs, now: Timestamp) -> Phase {
        if acts.is_cancelled {
            return Phase::Cancelled;
        }
        if !acts.is_published {
            return Phase::Draft;
        }
        let last_deadline = acts.extensions.iter().map(|e| e.until).fold(self.deadline_at, Timestamp::max);
        if now < self.opens_at {
            Phase::Announced
        } else if now <= last_deadline {
            Phase::Open
        } else if now <= self.sealed_until(&acts.extensions) {
            Phase::Grace
        } else {
            Phase::Review
        }
    }
}

fn after_grace(deadline: Timestamp, grace: SignedDuration) -> Timestamp {
    deadline.checked_add(grace).unwrap_or(Timestamp::MAX)
}

fn first_double<'a, T: Ord + 'a>(names: impl Iterator<Item = &'a T>) -> Option<&'a T> {
    let mut seen = BTreeSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn schedule() -> Schedule {
        Schedule {
            opens_at: at("2026-03-01T00:00:00Z"),
            deadline_at: at("2026-04-01T15:00:00Z"),
            grace: SignedDuration::from_hours(2),
            reviews_due_at: at("2026-06-01T00:00:00Z"),
        }
    }

    fn published(extensions: Vec<Extension>) -> CallActs {
        CallActs { is_published: true, is_cancelled: false, extensions }
    }

    #[test]
    fn phase_follows_time_and_acts() {
        let (schedule, acts) = (schedule(), published(vec![]));
        for (now, phase) in [
            ("2026-02-28T23:59:59.999Z", Phase::Announced),
            ("2026-03-01T00:00:00Z", Phase::Open),
            ("2026-04-01T15:00:00Z", Phase::Open),
            ("2026-04-01T15:00:00.001Z", Phase::Grace),
            ("2026-04-01T17:00:00Z", Phase::Grace),
            ("2026-04-01T17:00:00.001Z", Phase::Review),
        ] {
            assert_eq!(schedule.phase(&acts, at(now)), phase, "{now}");
        }
        assert_eq!(schedule.phase(&CallActs::default(), at("2026-03-02T00:00:00Z")), Phase::Draft);
        let cancelled = CallActs { is_cancelled: true, ..acts };
        assert_eq!(schedule.phase(&cancelled, at("2026-03-02T00:00:00Z")), Phase::Cancelled);
    }

    #[test]
    fn one_partners_extension_keeps_everyones_content_sealed() {
        let isr: PartnerCode = "ISR".parse().unwrap();
        let until = at("2026-04-05T15:00:00Z");
        let extensions = vec![Extension { scope: ExtensionScope::Partner(isr.clone()), until }];
        let schedule = schedule();
        assert_eq!(schedule.deadline_for(&extensions, None), schedule.deadline_at);
        let id: ProposalId = "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap();
        assert_eq!(schedule.deadline_for(&extensions, Some((id, &BTreeSet::from([isr])))), until);
        let others = BTreeSet::from(["KOR".parse().unwrap()]);
        assert_eq!(schedule.deadline_for(&extensions, Some((id, &others))), schedule.deadline_at);
        assert_eq!(schedule.sealed_until(&extensions), at("2026-04-05T17:00:00Z"));
        assert_eq!(schedule.phase(&published(extensions), at("2026-04-05T14:00:00Z")), Phase::Open);
    }
}
