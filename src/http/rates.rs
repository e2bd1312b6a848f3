//! How often a member may act, and read what leaves an entry in the log: each takes a turn at writing and stays on record for ever.
//!
//! Turns are divided (`storage::turns`), so nobody waits long for a member who acts without an end; but the disk, the log and its
//! readers would fill. Acts of five minutes may come at once, since an officer prepares a whole call in one go.

use super::refusal::{EdgeRefusal, Spent};
use crate::{
    domain::id::{MemberId, PartnerCode, Sha256},
    metrics,
    service::quotas::Quotas,
    share_table::MINUTES_OF_ACTS_AT_ONCE,
};
use governor::{Quota, RateLimiter, clock::Clock as _, clock::DefaultClock, state::keyed::HashMapStateStore};
use std::{hash::Hash, num::NonZeroU32, time::Duration};

/// Past as many of them those are forgotten who have their whole share again.
const REMEMBERED: usize = 4096;

/// Who acts: a member, or a certificate that no key card names yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Actor {
    Member(MemberId),
    Certificate(Sha256),
}

/// What each has done lately.
#[derive(Debug)]
pub(super) struct Rates {
    reads: Rate<MemberId>,
    acts: Rate<Actor>,
    acts_of_partner: Rate<PartnerCode>,
}

impl Rates {
    pub(super) fn new(quotas: &Quotas) -> Self {
        Self {
            reads: Rate::new(quotas.logged_reads_per_minute, 1),
            acts: Rate::new(quotas.acts_per_minute_per_member, MINUTES_OF_ACTS_AT_ONCE),
            acts_of_partner: Rate::new(quotas.acts_per_minute_per_partner, MINUTES_OF_ACTS_AT_ONCE),
        }
    }

    /// Counts one more read that leaves an entry, or says when there can be one.
    pub(super) fn read(&self, member: &MemberId) -> Result<(), EdgeRefusal> {
        self.reads.count(member).map_err(|share| {
            metrics::refused("reads");
            EdgeRefusal::TooManyReads(share)
        })
    }

    /// Counts one more act, or says when there can be one.
    pub(super) fn act(&self, member: &MemberId) -> Result<(), EdgeRefusal> {
        self.acts.count(&Actor::Member(member.clone())).map_err(too_many_acts)?;
        self.acts_of_partner.count(member.partner()).map_err(|share| {
            metrics::refused("acts-of-partner");
            EdgeRefusal::TooManyActsOfPartner(share)
        })
    }

    /// The same of a key card that is published: no colleague's acts keep a registrar from revoking one.
    pub(super) fn card(&self, member: Option<&MemberId>, certificate: &Sha256) -> Result<(), EdgeRefusal> {
        let actor = member.map_or(Actor::Certificate(*certificate), |member| Actor::Member(member.clone()));
        self.acts.count(&actor).map_err(too_many_acts)
    }
}

fn too_many_acts(share: Spent) -> EdgeRefusal {
    metrics::refused("acts");
    EdgeRefusal::TooManyActs(share)
}

/// So many a minute of each.
#[derive(Debug)]
struct Rate<K: Hash + Eq + Clone> {
    per_minute: NonZeroU32,
    at_once: NonZeroU32,
    minutes: u32,
    seen: RateLimiter<K, HashMapStateStore<K>, DefaultClock>,
}

impl<K: Hash + Eq + Clone> Rate<K> {
    /// Those of so many minutes all at once or one after another.
    fn new(per_minute: u32, minutes: u32) -> Self {
        let per_minute = NonZeroU32::new(per_minute).unwrap_or(NonZeroU32::MIN);
        let at_once = per_minute.saturating_mul(NonZeroU32::new(minutes).unwrap_or(NonZeroU32::MIN));
        let seen = RateLimiter::hashmap(Quota::per_minute(per_minute).allow_burst(at_once));
        Self { per_minute, at_once, minutes, seen }
    }

    fn count(&self, who: &K) -> Result<(), Spent> {
        if self.seen.len() > REMEMBERED {
            self.seen.retain_recent();
        }
        self.seen.check_key(who).map_err(|early| {
            let wait = early.wait_time_from(DefaultClock::default().now());
            Spent {
                per_minute: self.per_minute.get(),
                at_once: self.at_once.get(),
                window: 60 * u64::from(self.minutes),
                wait: Duration::from_secs(wait.as_secs() + 1),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(member: &str) -> MemberId {
        member.parse().unwrap()
    }

    #[test]
    fn member_comes_to_an_end_of_reads_and_others_do_not() {
        let rates = Rates::new(&Quotas { logged_reads_per_minute: 3, ..Quotas::default() });
        for _ in 0..3 {
            rates.read(&id("ISR:avi")).unwrap();
        }
        let Err(EdgeRefusal::TooManyReads(spent)) = rates.read(&id("ISR:avi")) else { panic!("a fourth is given") };
        assert_eq!((spent.per_minute, spent.at_once, spent.window), (3, 3, 60));
        assert!(spent.wait <= Duration::from_secs(21), "{spent:?}");
        rates.read(&id("USA:bob")).unwrap();
    }

    #[test]
    fn acts_of_five_minutes_come_at_once_and_no_more() {
        let rates = Rates::new(&Quotas { acts_per_minute_per_member: 3, ..Quotas::default() });
        for _ in 0..15 {
            rates.act(&id("ISR:avi")).unwrap();
        }
        let Err(EdgeRefusal::TooManyActs(spent)) = rates.act(&id("ISR:avi")) else { panic!("a sixteenth is done") };
        assert_eq!((spent.per_minute, spent.at_once, spent.window), (3, 15, 300));
        assert!(spent.wait <= Duration::from_secs(21), "{spent:?}");
        rates.act(&id("ISR:tamar")).unwrap();
    }

    #[test]
    fn partner_comes_to_an_end_of_acts_and_its_registrar_publishes_all_the_same() {
        let rates = Rates::new(&Quotas { acts_per_minute_per_partner: 1, ..Quotas::default() });
        for _ in 0..5 {
            rates.act(&id("ISR:avi")).unwrap();
        }
        assert!(matches!(rates.act(&id("ISR:tamar")), Err(EdgeRefusal::TooManyActsOfPartner(_))));
        rates.act(&id("USA:bob")).unwrap();
        rates.card(Some(&id("ISR:registrar")), &Sha256::of(b"registrar")).unwrap();
    }

    #[test]
    fn certificate_without_a_key_card_comes_to_an_end_by_itself() {
        let rates = Rates::new(&Quotas { acts_per_minute_per_member: 1, ..Quotas::default() });
        let (one, other) = (Sha256::of(b"one"), Sha256::of(b"other"));
        for _ in 0..5 {
            rates.card(None, &one).unwrap();
        }
        assert!(rates.card(None, &one).is_err());
        rates.card(None, &other).unwrap();
    }
}
