//! A joint proposal: its parties, its versions and what may still be done with it at an instant.
//!
//! A version is a manifest. It stands once every party has signed it by the deadline and every byte it names has arrived by
//! the end of the grace period; the highest such version is the proposal. Nothing is ever rewritten to say so.

use super::{
    Refusal,
    call::{Audience, CallText, PartyRule},
    id::{MemberId, PartnerCode, Sha256, Slug},
    text::{choices, counted},
    worded,
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

worded! {
    /// Where a proposal stands.
    pub enum Status: "a status, one of" {
        /// Being prepared by its parties.
        Preparing = "preparing",
        /// Signed by every party in time; bytes are still to come.
        Committed = "committed",
        /// A version stands.
        Submitted = "submitted",
        /// Taken back: by a party, or by all once all have signed.
        Withdrawn = "withdrawn",
        /// The time went by without a version that stands.
        Lapsed = "lapsed",
    }
}

worded! {
    /// What a member has to do with a proposal.
    pub enum Relation: "a relation, one of" {
        /// A member of a party.
        Party = "party",
        /// To review it.
        Assigned = "assigned",
        /// To declare an interest in it or none: an officer or a decider of the call, or to review it, who has not. Once it is decided,
        /// officers alone.
        Undeclared = "undeclared",
    }
}

worded! {
    /// The order of a list of proposals; of those begun in one millisecond, by identifier.
    pub enum Sort: "an order, one of" {
        /// The oldest first.
        Created = "created",
        /// The newest first.
        Newest = "-created",
    }
}

/// The members of each party; the parties are its keys.
pub type Parties = BTreeMap<PartnerCode, BTreeSet<MemberId>>;

/// A signed version as the rules see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub number: u32,
    pub manifest: Sha256,
    /// Version of the call text it was made under.
    pub call_version: u32,
    /// When the last party signed, if all have.
    pub committed_at: Option<Timestamp>,
    /// When the last byte it names had arrived, if all have and it is committed.
    pub complete_at: Option<Timestamp>,
}

/// The time limits that hold for one proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimits {
    /// Last instant for signatures.
    pub deadline_at: Timestamp,
    /// Last instant for the bytes of a committed manifest.
    pub grace_until: Timestamp,
}

/// A proposal's versions and whether it was withdrawn.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Versions {
    pub versions: Vec<Version>,
    pub is_withdrawn: bool,
    /// Lowest version of the call text whose proposals still count; raised by amendments that ask for a new submission.
    pub baseline: u32,
}

impl Versions {
    /// The version that stands, if any.
    #[must_use]
    pub fn standing(&self) -> Option<&Version> {
        self.current().filter(|v| v.complete_at.is_some()).max_by_key(|v| v.number)
    }

    /// The newest version that every party has signed but whose bytes are not all here, if newer than the standing one.
    #[must_use]
    pub fn committed(&self) -> Option<&Version> {
        let standing = self.standing().map_or(0, |v| v.number);
        self.current()
            .filter(|v| v.committed_at.is_some() && v.complete_at.is_none() && v.number > standing)
            .max_by_key(|v| v.number)
    }

    /// The newest version, if some party still has to sign it.
    #[must_use]
    pub fn pending(&self) -> Option<&Version> {
        self.current().max_by_key(|v| v.number).filter(|v| v.committed_at.is_none())
    }

    /// The newest version that an amendment voided, until every party has signed one under the text that counts now.
    #[must_use]
    pub fn voided(&self) -> Option<&Version> {
        if self.is_withdrawn || self.current().any(|v| v.committed_at.is_some()) {
            return None;
        }
        self.versions.iter().filter(|v| v.call_version < self.baseline).max_by_key(|v| v.number)
    }

    /// The number that a new manifest must have.
    #[must_use]
    pub fn next_number(&self) -> u32 {
        self.versions.iter().map(|v| v.number).max().unwrap_or(0) + 1
    }

    /// The status at `now`.
    #[must_use]
    pub fn status(&self, limits: TimeLimits, now: Timestamp) -> Status {
        if self.is_withdrawn {
            Status::Withdrawn
        } else if self.standing().is_some() {
            Status::Submitted
        } else if self.committed().is_some() && now <= limits.grace_until {
            Status::Committed
        } else if now <= limits.deadline_at {
            Status::Preparing
        } else {
            Status::Lapsed
        }
    }

    fn current(&self) -> impl Iterator<Item = &Version> {
        self.versions.iter().filter(|v| v.call_version >= self.baseline)
    }
}

impl PartyRule {
    /// Checks who is in a proposal together.
    pub fn check(&self, eligible: &BTreeSet<PartnerCode>, parties: &Parties) -> Result<(), Refusal> {
        self.check_owners(eligible, parties)?;
        for (partner, members) in parties {
            if members.is_empty() {
                return Err(Refusal::PartyRule { fault: format!("party `{partner}` names no member") });
            }
            if let Some(member) = members.iter().find(|m| m.partner() != partner) {
                return Err(Refusal::NotOfParty { member: member.clone(), partner: partner.clone() });
            }
        }
        Ok(())
    }

    /// Checks which partners own a proposal together, whether anybody of theirs has joined it yet or not.
    pub fn check_owners(&self, eligible: &BTreeSet<PartnerCode>, parties: &Parties) -> Result<(), Refusal> {
        let fault = |fault: String| Err(Refusal::PartyRule { fault });
        if let Some(partner) = parties.keys().find(|p| !eligible.contains(p)) {
            return Err(Refusal::NotEligible { partner: partner.clone(), choices: choices(eligible) });
        }
        if let Some(missing) = self.required.iter().find(|p| !parties.contains_key(p)) {
            return fault(format!("a party of `{missing}` is required"));
        }
        let count = parties.len();
        if count < self.at_least as usize || count > self.at_most as usize {
            let most = counted(self.at_most, "party", "parties");
            let asked = if self.at_least == self.at_most { most } else { format!("{} to {most}", self.at_least) };
            return fault(format!("the call asks for {asked}, and the proposal has {count}"));
        }
        Ok(())
    }
}

/// What a manifest says about one document, as far as the rules care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub slot: Slug,
    /// The party whose restricted document it is; none for a document of all parties.
    pub party: Option<PartnerCode>,
    pub size: u64,
    pub media_type: String,
}

/// Checks one document against its slot: the audience, the media type and the size.
pub fn check_document(text: &CallText, listed: &Listed, parties: &Parties) -> Result<(), Refusal> {
    let slot = text.slot(&listed.slot)?;
    let mismatch = |fault: String| Err(Refusal::ManifestMismatch { fault });
    match (slot.audience, &listed.party) {
        (Audience::Panel, Some(_)) => return mismatch(format!("slot `{}` belongs to all parties", slot.name)),
        (Audience::Staff, None) => return mismatch(format!("slot `{}` is asked of each party by itself", slot.name)),
        (Audience::Staff, Some(party)) if !parties.contains_key(party) => {
            return mismatch(format!("`{party}` is not a party of this proposal"));
        }
        _ => {}
    }
    if !slot.media_types.contains(&listed.media_type) {
        let allowed = slot.media_types.iter().map(|m| format!("`{m}`")).collect::<Vec<_>>().join(", ");
        return Err(Refusal::MediaType { slot: slot.name, allowed, given: listed.media_type.clone() });
    }
    if listed.size > slot.max_bytes {
        return Err(Refusal::TooLarge { slot: slot.name, limit: slot.max_bytes, size: listed.size });
    }
    Ok(())
}

/// Checks a manifest's list of documents as a whole: each fits its slot, no slot is filled twice, no required document is missing.
pub fn check_documents(text: &CallText, documents: &[Listed], parties: &Parties) -> Result<(), Refusal> {
    let mut places = BTreeSet::new();
    for listed in documents {
        check_document(text, listed, parties)?;
        if !places.insert((&listed.slot, &listed.party)) {
            return Err(Refusal::ManifestMismatch { fault: format!("slot `{}` is listed twice", listed.slot) });
        }
    }
    for slot in text.all_slots().into_iter().filter(|slot| slot.required) {
        let owners: Vec<Option<PartnerCode>> = match slot.audience {
            Audience::Panel => vec![None],
            Audience::Staff => parties.keys().cloned().map(Some).collect(),
        };
        for party in owners {
            if !places.contains(&(&slot.name, &party)) {
                return Err(Refusal::SlotEmpty { slot: slot.name, party });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    const LIMITS: fn() -> TimeLimits = || TimeLimits { deadline_at: at(100), grace_until: at(200) };

    fn version(number: u32, committed: bool, complete: bool) -> Version {
        Version {
            number,
            manifest: Sha256::of(&number.to_be_bytes()),
            call_version: 1,
            committed_at: committed.then(|| at(50)),
            complete_at: complete.then(|| at(60)),
        }
    }

    fn versions(versions: Vec<Version>) -> Versions {
        Versions { versions, is_withdrawn: false, baseline: 1 }
    }

    #[test]
    fn status_follows_signatures_bytes_and_time() {
        for (list, second, status) in [
            (vec![], 100, Status::Preparing),
            (vec![], 101, Status::Lapsed),
            (vec![version(1, false, false)], 101, Status::Lapsed),
            (vec![version(1, true, false)], 200, Status::Committed),
            (vec![version(1, true, false)], 201, Status::Lapsed),
            (vec![version(1, true, true)], 201, Status::Submitted),
            (vec![version(1, true, true), version(2, true, false)], 201, Status::Submitted),
        ] {
            assert_eq!(versions(list.clone()).status(LIMITS(), at(second)), status, "{list:?} at {second}");
        }
    }

    #[test]
    fn last_complete_version_stands_when_a_newer_one_was_not_finished() {
        let all = versions(vec![version(1, true, true), version(2, true, true), version(3, true, false)]);
        assert_eq!(all.standing().unwrap().number, 2);
        assert_eq!(all.committed().unwrap().number, 3);
        assert_eq!(all.next_number(), 4);
    }

    #[test]
    fn amendment_that_asks_for_resubmission_voids_earlier_versions() {
        let mut all = versions(vec![version(1, true, true)]);
        all.baseline = 2;
        assert_eq!(all.standing(), None);
        assert_eq!(all.status(LIMITS(), at(10)), Status::Preparing);
    }

    #[test]
    fn party_rule_wants_the_required_and_the_eligible() {
        let code = |c: &str| c.parse::<PartnerCode>().unwrap();
        let rule = PartyRule { at_least: 2, at_most: 2, required: BTreeSet::from([code("USA")]) };
        let eligible = BTreeSet::from([code("USA"), code("ISR"), code("KOR")]);
        let parties = |members: &[&str]| -> Parties {
            members
                .iter()
                .map(|m| m.parse::<MemberId>().unwrap())
                .map(|m| (m.partner().clone(), BTreeSet::from([m])))
                .collect()
        };
        assert!(rule.check(&eligible, &parties(&["USA:a", "ISR:b"])).is_ok());
        for wrong in [&["ISR:b", "KOR:c"][..], &["USA:a"], &["USA:a", "ISR:b", "KOR:c"], &["USA:a", "EU:d"]] {
            assert!(rule.check(&eligible, &parties(wrong)).is_err(), "{wrong:?}");
        }
        let nobody_yet = Parties::from([(code("USA"), BTreeSet::new()), (code("ISR"), BTreeSet::new())]);
        assert!(rule.check_owners(&eligible, &nobody_yet).is_ok() && rule.check(&eligible, &nobody_yet).is_err());

        let one = parties(&["USA:a"]);
        for (at_most, said) in [(2, "asks for 2 parties, and the proposal has 1"), (3, "asks for 2 to 3 parties, and")]
        {
            let refused = PartyRule { at_most, ..rule.clone() }.check(&eligible, &one).unwrap_err().to_string();
            assert!(refused.contains(said), "{refused}");
        }
    }
}
