//! Amounts that this server counts in memory for [`quotas`](super::quotas): bytes that acts have added to the database lately, and
//! documents that are on their way.

use super::Result;
use crate::domain::{
    DailyQuota, Refusal,
    id::{MemberId, PartnerCode, ProposalId, Sha256, Slug},
};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The bytes that an act adds beside its request and its answer: its entry in the log and rows of a few columns.
pub(super) const OF_AN_ENTRY: u64 = 1 << 10;
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Past so many members, those for whom nothing counts now are forgotten.
const REMEMBERED: usize = 4096;

/// Most bytes that acts and logged reads of one member, and of one partner's members, add to the database within 24 hours.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoredLimits {
    pub(super) member: u64,
    pub(super) partner: u64,
}

/// Cheap to clone; all clones count together.
#[derive(Debug, Clone, Default)]
pub struct Usage(Arc<Mutex<UsageCounts>>);

#[derive(Debug, Default)]
struct UsageCounts {
    members: Levels<MemberId>,
    partners: Levels<PartnerCode>,
    coming: HashMap<u64, Coming>,
    next: u64,
}

/// A document whose bytes are on their way.
#[derive(Debug, Clone)]
pub(super) struct Coming {
    pub(super) member: MemberId,
    pub(super) proposal: ProposalId,
    pub(super) slot: Slug,
    /// Absent where its sender does not know it yet.
    pub(super) sha256: Option<Sha256>,
    pub(super) size: u64,
    /// Whether it was signed for and so counts as announced.
    pub(super) is_awaited: bool,
}

impl Coming {
    /// Whether members of one partner send the same document to the same place, as far as is known.
    fn is_same(&self, other: &Self) -> bool {
        self.member.partner() == other.member.partner()
            && (self.proposal, &self.slot) == (other.proposal, &other.slot)
            && match (self.sha256, other.sha256) {
                (Some(one), Some(another)) => one == another,
                _ => self.size == other.size,
            }
    }
}

/// Counts a document as coming until it is dropped.
#[derive(Debug)]
pub(super) struct Arrival {
    usage: Usage,
    number: u64,
}

impl Usage {
    fn counted(&self) -> MutexGuard<'_, UsageCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts bytes that an act adds to the database, for its member and the member's partner, or refuses them. They count less and less,
    /// and no longer after a day.
    pub(super) fn add(&self, member: &MemberId, bytes: u64, limits: StoredLimits, now: Timestamp) -> Result<()> {
        let mut counted = self.counted();
        let StoredLimits { member: of_member, partner: of_partner } = limits;
        counted.members.check(member, bytes, of_member, DailyQuota::StoredBytes, now)?;
        counted.partners.check(member.partner(), bytes, of_partner, DailyQuota::StoredBytesOfPartner, now)?;
        counted.members.add(member, bytes, of_member, now);
        counted.partners.add(member.partner(), bytes, of_partner, now);
        Ok(())
    }

    /// The same for the member alone, who can publish key cards whatever colleagues have added.
    pub(super) fn add_key_card(
        &self,
        member: &MemberId,
        bytes: u64,
        limits: StoredLimits,
        now: Timestamp,
    ) -> Result<()> {
        let (mut counted, limit) = (self.counted(), limits.member);
        counted.members.check(member, bytes, limit, DailyQuota::StoredBytes, now)?;
        counted.members.add(member, bytes, limit, now);
        Ok(())
    }

    /// Bytes of a partner's documents that are coming and that nobody signed for.
    pub(super) fn coming_of(&self, partner: &PartnerCode) -> u64 {
        let counted = self.counted();
        let theirs = counted.coming.values().filter(|coming| coming.member.partner() == partner && !coming.is_awaited);
        theirs.map(|coming| coming.size).fold(0, u64::saturating_add)
    }

    /// All documents that come in one request.
    pub(super) fn all_coming(&self) -> Vec<Coming> {
        self.counted().coming.values().cloned().collect()
    }

    /// Whether this document, as far as is known, comes in one request to the same place.
    pub(super) fn is_coming(&self, document: &Coming) -> bool {
        self.counted().coming.values().any(|other| other.is_same(document))
    }

    /// Counts a document as coming.
    pub(super) fn coming(&self, coming: Coming) -> Arrival {
        let mut counted = self.counted();
        let number = counted.next;
        counted.next += 1;
        counted.coming.insert(number, coming);
        Arrival { usage: self.clone(), number }
    }
}

impl Arrival {
    /// The documents that are coming beside this one.
    pub(super) fn others(&self) -> Vec<Coming> {
        let counted = self.usage.counted();
        counted.coming.iter().filter(|(number, _)| **number != self.number).map(|(_, coming)| coming.clone()).collect()
    }

    /// Notes whether the document counts as announced already.
    pub(super) fn note(&self, is_awaited: bool) {
        if let Some(own) = self.usage.counted().coming.get_mut(&self.number) {
            own.is_awaited = is_awaited;
        }
    }

    /// Whether nobody of its partner began to send the same document to the same place before.
    pub(super) fn is_first(&self) -> bool {
        let counted = self.usage.counted();
        let Some(own) = counted.coming.get(&self.number) else { return true };
        !counted.coming.iter().any(|(number, other)| *number < self.number && other.is_same(own))
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.usage.counted().coming.remove(&self.number);
    }
}

/// Bytes by the one who added them. Each falls evenly, by a whole quota in a day.
#[derive(Debug)]
struct Levels<K>(HashMap<K, Level>);

#[derive(Debug, Clone, Copy)]
struct Level {
    bytes: u64,
    at: Timestamp,
}

impl<K> Default for Levels<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq + Clone> Levels<K> {
    fn check(&self, who: &K, bytes: u64, per_day: u64, quota: DailyQuota, now: Timestamp) -> Result<()> {
        let level = self.0.get(who).copied().unwrap_or(Level { bytes: 0, at: now });
        let present = level.at(now, per_day);
        if present.saturating_add(bytes) <= per_day {
            return Ok(());
        }
        let Some(room) = per_day.checked_sub(bytes) else {
            // At no time is there room for more than the whole.
            return Err(Refusal::QuotaReached { what: quota.noun(), limit: per_day }.into());
        };
        let (left, again_at) = (per_day.saturating_sub(present), level.falls_to(room, per_day));
        Err(Refusal::DailyQuotaReached { quota, limit: per_day, left, again_at, now }.into())
    }

    fn add(&mut self, who: &K, bytes: u64, per_day: u64, now: Timestamp) {
        if self.0.len() > REMEMBERED {
            self.0.retain(|_, level| level.at(now, per_day) > 0);
        }
        let level = self.0.entry(who.clone()).or_insert(Level { bytes: 0, at: now });
        *level = Level { bytes: level.at(now, per_day).saturating_add(bytes), at: now.max(level.at) };
    }
}

impl Level {
    /// What is left of it. A clock that was set back frees nothing.
    fn at(self, now: Timestamp, per_day: u64) -> u64 {
        let passed = u128::try_from(now.duration_since(self.at).as_millis()).unwrap_or_default();
        let day = u128::try_from(DAY.as_millis()).expect("a day has milliseconds");
        let freed = u64::try_from(u128::from(per_day) * passed / day).unwrap_or(u64::MAX);
        self.bytes.saturating_sub(freed)
    }

    /// When so much is left of it, or less.
    fn falls_to(self, bytes: u64, per_day: u64) -> Timestamp {
        let day = u128::try_from(DAY.as_millis()).expect("a day has milliseconds");
        let passed = (u128::from(self.bytes.saturating_sub(bytes)) * day).div_ceil(u128::from(per_day.max(1)));
        let passed = SignedDuration::from_millis(i64::try_from(passed).unwrap_or(i64::MAX));
        self.at.saturating_add(passed).unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::ServiceError;

    const LIMITS: StoredLimits = StoredLimits { member: 100, partner: 150 };

    fn at(hours: i64) -> Timestamp {
        "2026-03-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(hours)
    }

    fn id(member: &str) -> MemberId {
        member.parse().unwrap()
    }

    #[test]
    fn bytes_of_a_day_count_for_member_and_partner_and_fall_evenly() {
        let usage = Usage::default();
        usage.add(&id("ISR:avi"), 100, LIMITS, at(0)).unwrap();
        assert!(usage.add(&id("ISR:avi"), 1, LIMITS, at(0)).is_err(), "the member's are used up");
        usage.add(&id("ISR:tamar"), 50, LIMITS, at(0)).unwrap();
        assert!(usage.add(&id("ISR:tamar"), 1, LIMITS, at(0)).is_err(), "the partner's are used up");
        usage.add_key_card(&id("ISR:tamar"), 50, LIMITS, at(0)).unwrap();
        usage.add(&id("USA:bob"), 100, LIMITS, at(0)).unwrap();
        // Half a day later half a quota is free again, and what was refused was not counted.
        assert!(usage.add(&id("ISR:avi"), 51, LIMITS, at(12)).is_err());
        usage.add(&id("ISR:avi"), 50, LIMITS, at(12)).unwrap();
        assert!(usage.add(&id("ISR:avi"), 1, LIMITS, at(11)).is_err(), "a clock that was set back frees nothing");
        usage.add(&id("ISR:avi"), 100, LIMITS, at(36)).unwrap();
    }

    #[test]
    fn one_who_is_refused_hears_when_there_is_room_and_there_is_none_a_moment_before() {
        let usage = Usage::default();
        usage.add(&id("ISR:avi"), 90, LIMITS, at(0)).unwrap();
        let refused = usage.add(&id("ISR:avi"), 25, LIMITS, at(1)).unwrap_err();
        let ServiceError::Refused(Refusal::DailyQuotaReached { quota, limit, left, again_at, .. }) = refused else {
            panic!("{refused}")
        };
        assert_eq!((quota, limit, left), (DailyQuota::StoredBytes, 100, 14));
        // Fifteen of a hundred are free after so large a part of a day.
        assert_eq!(again_at, at(0) + SignedDuration::from_mins(216));
        assert!(usage.add(&id("ISR:avi"), 25, LIMITS, again_at - SignedDuration::from_millis(1)).is_err());
        usage.add(&id("ISR:avi"), 25, LIMITS, again_at).unwrap();
        // More than a day's is never taken, so there is no time to name.
        let refused = usage.add(&id("ISR:noa"), 101, LIMITS, at(0)).unwrap_err();
        assert!(matches!(refused, ServiceError::Refused(Refusal::QuotaReached { limit: 100, .. })), "{refused}");
    }

    #[test]
    fn document_counts_as_coming_until_it_is_dropped() {
        let usage = Usage::default();
        let coming = |slot: &str| Coming {
            member: id("ISR:avi"),
            proposal: "prop_00000000000000000000000000".parse().unwrap(),
            slot: slot.parse().unwrap(),
            sha256: Some(Sha256::of(b"a document")),
            size: 7,
            is_awaited: false,
        };
        let one = usage.coming(coming("one"));
        let two = usage.coming(coming("two"));
        assert_eq!(one.others().iter().map(|coming| coming.slot.as_str()).collect::<Vec<_>>(), ["two"]);
        drop(two);
        assert!(one.others().is_empty());
    }

    #[test]
    fn document_is_the_first_until_its_own_partner_sends_it_twice() {
        let usage = Usage::default();
        let coming = |member: &str, slot: &str, content: &[u8]| {
            usage.coming(Coming {
                member: id(member),
                proposal: "prop_00000000000000000000000000".parse().unwrap(),
                slot: slot.parse().unwrap(),
                sha256: Some(Sha256::of(content)),
                size: 7,
                is_awaited: false,
            })
        };
        let first = coming("ISR:avi", "plan", b"a");
        let unknown = |size| Coming {
            member: id("ISR:tamar"),
            proposal: "prop_00000000000000000000000000".parse().unwrap(),
            slot: "plan".parse().unwrap(),
            sha256: None,
            size,
            is_awaited: false,
        };
        assert!(usage.is_coming(&unknown(7)) && !usage.is_coming(&unknown(8)), "its digest is not known yet");
        let others =
            [coming("ISR:avi", "plan", b"b"), coming("ISR:avi", "annex", b"a"), coming("USA:bob", "plan", b"a")];
        let again = coming("ISR:tamar", "plan", b"a");
        assert!(first.is_first() && others.iter().all(Arrival::is_first) && !again.is_first());
        // What broke off is sent again.
        drop(first);
        assert!(again.is_first());
    }
}
