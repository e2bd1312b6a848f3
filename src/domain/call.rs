//! A call for proposals: its text, its schedule and the phase it is in.
//!
//! The phase is never stored: it follows from the schedule, the acts on the call and the instant asked about.

mod amendment;

pub use super::phase::Phase;
use super::{
    Refusal,
    id::{MemberId, PartnerCode, ProposalId, Slug},
    member::CallRole,
    name,
    reference::CallCode,
    review::{self, Criterion, Points},
    text::choices,
    worded,
};
pub use amendment::AmendmentEffect;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;

worded! {
    /// For whom a document slot is.
    pub enum Audience: "an audience, one of" {
        /// Parties, officers, assigned reviewers and deciders.
        Panel = "panel",
        /// Its own party, officers and deciders; never the counterpart nor the reviewers.
        Staff = "staff",
    }
}

worded! {
    /// Whom a letter about a decision is for.
    #[derive(Default)]
    pub enum LetterAudience: "whom letters are for, one of" {
        /// All parties of the proposal.
        #[default]
        AllParties = "all-parties",
        /// The party that the letter names, and no other.
        OneParty = "one-party",
    }
}

impl LetterAudience {
    /// Whether letters are for all parties, as in calls that say nothing of it.
    #[must_use]
    pub fn is_all_parties(&self) -> bool {
        *self == Self::AllParties
    }

    /// Whether a letter to this party alone, or to all where none is named, is one that the call has.
    #[must_use]
    pub fn admits(&self, party: Option<&PartnerCode>) -> bool {
        self.is_all_parties() == party.is_none()
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
    /// The last instant to which the deadline of anybody is moved. Without it: `reviews_due_at`.
    pub extendable_until: Option<Timestamp>,
}

/// What a call says. Signed and published as a whole; a change is an amendment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallText {
    /// What people call it, and what the references of its proposals begin with. Unique among the published calls of a program.
    pub code: CallCode,
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
    pub letters: LetterAudience,
    pub schedule: Schedule,
}

/// Who runs a call, who reviews and who decides are different members, unless the call's text says otherwise in public. None of them is party
/// to a proposal under it.
pub const SEPARATED: [CallRole; 3] = [CallRole::Officer, CallRole::Reviewer, CallRole::Decider];

/// Longest grace period.
pub const MAX_GRACE: SignedDuration = SignedDuration::from_hours(14 * 24);
/// Least size of a slot: a page of PDF with its fonts, and the header of a file that is sealed to the largest kind of key. Below it a
/// required slot would close the call.
pub const MIN_SLOT_BYTES: u64 = 16 << 10;
/// Largest size of a slot.
pub const MAX_SLOT_BYTES: u64 = 64 << 30;
/// Most characters of a call's title.
pub const MAX_CALL_TITLE: usize = 200;
/// Most characters of a call's text.
pub const MAX_CALL_TEXT: usize = 200_000;
/// Most criteria of a call.
pub const MAX_CRITERIA: usize = 20;
/// Most slots of a call, besides the summary.
pub const MAX_SLOTS: usize = 40;
/// Most parties of a proposal, as its manifest names them.
pub const MAX_PARTIES: usize = 24;
/// Most documents of a proposal, as its manifest lists them.
pub const MAX_DOCUMENTS: usize = 1024;
/// Every call that may be published has proposals whose documents a manifest can list.
const _: () = assert!(MAX_PARTIES * MAX_SLOTS < MAX_DOCUMENTS);
/// Furthest that a deadline is moved from where the text in force has it: a slip of the pen is not a matter of decades.
const MAX_EXTENSION: SignedDuration = SignedDuration::from_hours(366 * 24);

impl CallText {
    /// Checks the text as a whole against the program's participating partners.
    pub fn validate(&self, participants: &BTreeSet<PartnerCode>) -> Result<(), Refusal> {
        let fault = |fault: String| Err(Refusal::CallText { fault });
        if self.title.trim().is_empty() || self.title.chars().count() > MAX_CALL_TITLE {
            return fault("the title has 1 to 200 characters".into());
        }
        let titles = std::iter::once(("title", &self.title))
            .chain(self.criteria.iter().map(|criterion| ("title of a criterion", &criterion.title)))
            .chain(self.slots.iter().map(|slot| ("title of a slot", &slot.title)));
        if let Some((what, c)) = titles.into_iter().find_map(|(what, text)| Some((what, name::unseen(text)?))) {
            return fault(name::unseen_fault(what, c));
        }
        if self.text.chars().count() > MAX_CALL_TEXT {
            return fault("the text has at most 200,000 characters".into());
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
        if rule.required.len() > rule.at_most as usize {
            let (required, at_most) = (rule.required.len(), rule.at_most);
            return fault(format!("{required} parties are required, but a proposal has at most {at_most}"));
        }
        let fewest = self.fewest_parties();
        if fewest > MAX_PARTIES {
            return fault(format!("the call asks for {fewest} parties, and a proposal has at most {MAX_PARTIES}"));
        }
        if self.criteria.is_empty() || self.criteria.len() > MAX_CRITERIA {
            return fault("a call has 1 to 20 criteria".into());
        }
        for criterion in &self.criteria {
            criterion.validate()?;
        }
        if let Some(name) = first_double(self.criteria.iter().map(|c| &c.name)) {
            return fault(format!("criterion `{name}` is a duplicate"));
        }
        if self.total_threshold.is_some_and(|least| !review::is_within_reach(least, &self.criteria)) {
            return fault("no proposal can reach the least total: the highest scores add up to less".into());
        }
        if self.slots.len() > MAX_SLOTS {
            return fault(format!("a call has at most {MAX_SLOTS} slots"));
        }
        if let Some(name) = first_double(self.slots.iter().map(|s| &s.name)) {
            return fault(format!("slot `{name}` is a duplicate"));
        }
        for slot in &self.slots {
            if slot.name.as_str() == SUMMARY_SLOT {
                return fault(format!("slot `{SUMMARY_SLOT}` is part of every call; leave it out"));
            }
            if slot.media_types.is_empty() || !(MIN_SLOT_BYTES..=MAX_SLOT_BYTES).contains(&slot.max_bytes) {
                return fault(format!("slot `{}` needs a media type and a size from 16 KiB to 64 GiB", slot.name));
            }
            if slot.media_types.iter().any(|media_type| !is_media_type(media_type)) {
                return fault(format!(
                    "slot `{}` has an invalid media type; write it like `application/pdf`, in lower case and without parameters",
                    slot.name
                ));
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
        let sealed_until = schedule.sealed_until(&[]);
        if schedule.reviews_due_at <= sealed_until {
            return fault(format!("reviews are due by then, but the call stays sealed until {sealed_until}"));
        }
        let furthest = furthest_from(schedule.deadline_at);
        if schedule.extendable_until.is_some_and(|until| until < schedule.deadline_at || until > furthest) {
            return fault(format!(
                "`extendable_until` lies between the deadline and 366 days after it, {} to {furthest}",
                schedule.deadline_at
            ));
        }
        Ok(())
    }

    /// How many parties a proposal has at least.
    #[must_use]
    pub fn fewest_parties(&self) -> usize {
        self.parties.required.len().max(self.parties.at_least as usize)
    }

    /// How many documents a proposal of so many parties has at least, the summary among them.
    #[must_use]
    pub fn required_documents(&self, parties: usize) -> usize {
        let required = self.slots.iter().filter(|slot| slot.required);
        1 + required.map(|slot| if slot.audience == Audience::Staff { parties } else { 1 }).sum::<usize>()
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
        let slots = self.all_slots();
        slots.iter().find(|slot| slot.name == *name).cloned().ok_or_else(|| Refusal::UnknownSlot {
            slot: name.clone(),
            choices: choices(slots.iter().map(|slot| &slot.name)),
        })
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
}

/// How long everybody has at least to sign again what an amendment of an open call voids, and to go on once an extension was taken back.
pub const LEAST_TIME: SignedDuration = SignedDuration::from_hours(72);

/// What holds for those whom an extension reaches once it is taken back; none: what holds `without` it. Nobody is left less than 72 hours,
/// nor more than they have at present: so nobody is late for having planned, signed again or begun by it.
pub fn taken_back(present: Timestamp, without: Timestamp, now: Timestamp) -> Result<Option<Timestamp>, Refusal> {
    let least = after_grace(now, LEAST_TIME);
    if without >= present || without >= least {
        return Ok(None);
    }
    if least >= present {
        return Err(Refusal::ExtensionReliedOn { until: present, now });
    }
    Ok(Some(least))
}

impl Schedule {
    /// That an amendment to this schedule, which voids what was handed in, leaves everybody the time to sign again: not only whom an
    /// extension reaches. Extensions count: taking them back leaves as much time from then ([`taken_back`]).
    pub fn check_time_to_sign(&self, extensions: &[Extension], now: Timestamp) -> Result<(), Refusal> {
        let deadline_at = self.deadline_for(extensions, None);
        if deadline_at.duration_since(now) < LEAST_TIME {
            return Err(Refusal::NoTimeToSign { deadline_at, now });
        }
        Ok(())
    }

    /// The deadline that everybody gets when a call is brought back, if somebody would be short of time otherwise: whose deadline or
    /// grace period had not ended when it was cancelled. It leaves 72 hours. Near the bound of the text, it leaves what was left then:
    /// the time of the cancellation does not count against the bound.
    #[must_use]
    pub fn deadline_after_cancellation(
        &self,
        extensions: &[Extension],
        cancelled_at: Timestamp,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let for_everyone = self.deadline_for(extensions, None);
        let deadlines = extensions.iter().map(|extension| extension.until.max(for_everyone)).chain([for_everyone]);
        let last = deadlines.clone().max()?;
        let least = after_grace(now, LEAST_TIME);
        let mut ends = deadlines.flat_map(|deadline| [deadline, self.grace_end(deadline)]);
        if !ends.any(|end| cancelled_at <= end && end < least) {
            return None;
        }
        let bound = after_grace(self.extension_bound().max(last), now.duration_since(cancelled_at));
        Some(least.min(bound).max(now)).filter(|until| *until > for_everyone)
    }

    /// The same for the date by which reviews are `due`: 72 hours from now, or after the opening if the deadline moves.
    #[must_use]
    pub fn review_date_after_cancellation(
        &self,
        extensions: &[Extension],
        due: Timestamp,
        deadline_at: Option<Timestamp>,
        cancelled_at: Timestamp,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let from = deadline_at.map_or(now, |until| self.grace_end(until).max(self.sealed_until(extensions)));
        let least = after_grace(from, LEAST_TIME);
        (cancelled_at <= due && due < least).then_some(least)
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

/// What an extension moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moved {
    Deadline(ExtensionScope),
    /// The date by which reviews are due.
    Reviews,
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
    /// Only past the last deadline and its grace.
    pub is_closed: bool,
    pub extensions: Vec<Extension>,
}

impl Schedule {
    /// The last instant to which the deadline of anybody is moved.
    #[must_use]
    pub fn extension_bound(&self) -> Timestamp {
        self.extendable_until.unwrap_or(self.reviews_due_at).min(furthest_from(self.deadline_at))
    }

    /// Refuses a deadline past the last instant to which one is moved.
    pub fn check_extension(&self, until: Timestamp) -> Result<(), Refusal> {
        let bound = self.extension_bound();
        if until > bound { Err(Refusal::ExtensionTooFar { until, bound }) } else { Ok(()) }
    }

    /// Refuses a date for reviews that lies too far from the one in the text and from now.
    pub fn check_review_date(&self, until: Timestamp, now: Timestamp) -> Result<(), Refusal> {
        let bound = furthest_from(self.reviews_due_at.max(now));
        if until > bound { Err(Refusal::ExtensionTooFar { until, bound }) } else { Ok(()) }
    }

    /// The deadline that holds for proposals of this partner, unless another party or the proposal itself has more time.
    #[must_use]
    pub fn partner_deadline(&self, extensions: &[Extension], partner: &PartnerCode) -> Timestamp {
        extensions
            .iter()
            .filter(|extension| match &extension.scope {
                ExtensionScope::Everyone => true,
                ExtensionScope::Partner(extended) => extended == partner,
                ExtensionScope::Proposal(_) => false,
            })
            .map(|extension| extension.until)
            .fold(self.deadline_at, Timestamp::max)
    }

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
        } else if acts.is_closed {
            Phase::Closed
        } else {
            Phase::Review
        }
    }
}

/// `type/subtype` (RFC 6838 section 4.2) in lower case.
#[must_use]
pub fn is_media_type(text: &str) -> bool {
    let is_name = |name: &str| {
        (1..=127).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$&-^_.+".contains(&b))
            && name.as_bytes()[0].is_ascii_alphanumeric()
    };
    text.split_once('/').is_some_and(|(kind, subtype)| is_name(kind) && is_name(subtype))
}

fn worded_list(partners: &BTreeSet<PartnerCode>) -> String {
    partners.iter().map(|partner| format!("`{partner}`")).collect::<Vec<_>>().join(", ")
}

fn furthest_from(deadline: Timestamp) -> Timestamp {
    after_grace(deadline, MAX_EXTENSION)
}

fn after_grace(deadline: Timestamp, grace: SignedDuration) -> Timestamp {
    deadline.checked_add(grace).unwrap_or(Timestamp::MAX)
}

fn first_double<'a, T: Ord + 'a>(names: impl Iterator<Item = &'a T>) -> Option<&'a T> {
    let mut seen = BTreeSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
}

#[cfg(test)]
mod tests;
