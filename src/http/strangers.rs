//! Places for handshakes, which cost nothing to begin: a stranger has shown no certificate yet.
//!
//! A newcomer always gets one. Up to half of the places are kept for addresses from which members came lately, a few for each; all others
//! give way first: who has not said a word of TLS yet, before
//! those in the middle of a handshake; and among those an address with many before one with few. So however many addresses strangers have,
//! members come in from where they came before, and strangers from elsewhere have half of the places. Addresses are compared as a whole
//! in IPv4, and by the first 64 bits in IPv6, which one machine has for itself.

use super::known_members::KnownMembers;
use crate::share_table::HANDSHAKES_OF_A_MEMBERS_ADDRESS;
use std::{
    cmp::Reverse,
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio_util::sync::CancellationToken;

/// Places for handshakes.
#[derive(Debug)]
pub(super) struct Strangers {
    total: usize,
    per_address: usize,
    known: Arc<KnownMembers>,
    taken: Mutex<StrangerSlots>,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub(super) struct Stranger {
    strangers: Arc<Strangers>,
    number: u64,
    leave: CancellationToken,
}

#[derive(Debug, Default)]
struct StrangerSlots {
    next: u64,
    by_number: BTreeMap<u64, StrangerSlot>,
}

#[derive(Debug)]
struct StrangerSlot {
    source: IpAddr,
    is_members: bool,
    has_spoken: bool,
    leave: CancellationToken,
}

impl Strangers {
    pub(super) fn new(total: usize, per_address: usize, known: Arc<KnownMembers>) -> Arc<Self> {
        Arc::new(Self { total, per_address, known, taken: Mutex::default() })
    }

    /// A place for somebody from this address; another may have to go for it.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Stranger {
        let source = source(address);
        let came = self.known.came_from(source);
        let mut taken = self.lock();
        taken.make_room(self.per_address, source, |seat| seat.source == source);
        taken.make_room(self.total, source, |_| true);
        let is_members = came && taken.keep_for_member(self.total / 2, source);
        let (number, leave) = (taken.next, CancellationToken::new());
        taken.next += 1;
        taken.by_number.insert(number, StrangerSlot { source, is_members, has_spoken: false, leave: leave.clone() });
        Stranger { strangers: Arc::clone(self), number, leave }
    }

    /// How many there are.
    pub(super) fn total(&self) -> usize {
        self.total
    }

    fn lock(&self) -> MutexGuard<'_, StrangerSlots> {
        // Nothing that holds the lock can panic half-way.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StrangerSlots {
    /// Has one of these go when there are so many already.
    fn make_room(&mut self, most: usize, newcomer: IpAddr, among: impl Fn(&StrangerSlot) -> bool) {
        if self.by_number.values().filter(|seat| among(seat)).count() < most {
            return;
        }
        let mut sources = BTreeMap::new();
        for source in self.by_number.values().map(|seat| seat.source).chain([newcomer]) {
            *sources.entry(source).or_insert(0) += 1;
        }
        let rank = |(number, seat): &(&u64, &StrangerSlot)| {
            (!seat.is_members, !seat.has_spoken, sources[&seat.source], Reverse(**number))
        };
        let victim = self.by_number.iter().filter(|(_, seat)| among(seat)).max_by_key(rank).map(|(number, _)| *number);
        if let Some(seat) = victim.and_then(|number| self.by_number.remove(&number)) {
            seat.leave.cancel();
        }
    }
}

impl StrangerSlots {
    /// Whether a newcomer from where a member came lately has a place that is kept for members. When all of these are taken, the address
    /// with most of them gives one up, if it has more than the newcomer's would have.
    fn keep_for_member(&mut self, most: usize, newcomer: IpAddr) -> bool {
        let mut kept: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for seat in self.by_number.values().filter(|seat| seat.is_members) {
            *kept.entry(seat.source).or_default() += 1;
        }
        let own = kept.get(&newcomer).copied().unwrap_or_default();
        if own >= HANDSHAKES_OF_A_MEMBERS_ADDRESS {
            return false;
        }
        if kept.values().sum::<usize>() < most {
            return true;
        }
        let with_most = kept.into_iter().max_by_key(|(_, count)| *count).filter(|(_, count)| *count > own + 1);
        let Some((source, _)) = with_most else { return false };
        let mut theirs = self.by_number.values_mut().rev().filter(|seat| seat.is_members && seat.source == source);
        theirs.next().is_some_and(|seat| {
            seat.is_members = false;
            true
        })
    }
}

impl Stranger {
    /// A whole `ClientHello` has come.
    pub(super) fn has_spoken(&self) {
        if let Some(seat) = self.strangers.lock().by_number.get_mut(&self.number) {
            seat.has_spoken = true;
        }
    }

    /// Cancelled when somebody else has the place.
    pub(super) fn leave(&self) -> &CancellationToken {
        &self.leave
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.strangers.lock().by_number.remove(&self.number);
    }
}

/// The part of an address that one machine has for itself.
pub(super) fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{PartnerCode, Sha256};

    fn israel() -> PartnerCode {
        "ISR".parse().unwrap()
    }

    fn from(strangers: &Arc<Strangers>, address: &str) -> Stranger {
        strangers.take(address.parse().unwrap())
    }

    fn there(strangers: &[Stranger]) -> Vec<bool> {
        strangers.iter().map(|stranger| !stranger.leave().is_cancelled()).collect()
    }

    #[test]
    fn silent_ones_give_way_before_those_in_the_middle_of_a_handshake() {
        let strangers = Strangers::new(3, 3, KnownMembers::new());
        let member = from(&strangers, "192.0.2.1");
        member.has_spoken();
        let silent: Vec<_> = (0..1500).map(|_| from(&strangers, "198.51.100.7")).collect();
        assert!(!member.leave().is_cancelled(), "however many come");
        assert_eq!(there(&silent[1497..]), [false, true, true]);
        // With everybody in the middle of one, it is the address with most.
        silent[1498..].iter().for_each(Stranger::has_spoken);
        let newcomer = from(&strangers, "192.0.2.2");
        assert_eq!(there(&silent[1498..]), [false, true]);
        assert_eq!(there(&[member, newcomer]), [true, true]);
    }

    #[test]
    fn address_with_many_makes_room_among_its_own() {
        let strangers = Strangers::new(10, 2, KnownMembers::new());
        let other = from(&strangers, "192.0.2.1");
        let many: Vec<_> = (0..4).map(|_| from(&strangers, "198.51.100.7")).collect();
        many.iter().for_each(Stranger::has_spoken);
        let more = from(&strangers, "::ffff:198.51.100.7");
        assert_eq!(there(&many), [false, false, false, true]);
        assert_eq!(there(&[other, more]), [true, true]);
    }

    #[test]
    fn ipv6_counts_by_the_part_that_one_machine_has_for_itself() {
        let strangers = Strangers::new(10, 1, KnownMembers::new());
        let all: Vec<_> = ["2001:db8:0:1::1", "2001:db8:0:1::ffff", "2001:db8:0:2::1"]
            .map(|address| from(&strangers, address))
            .into();
        assert_eq!(there(&all), [false, true, true]);
    }

    #[test]
    fn member_comes_in_from_where_they_came_before_however_many_addresses_strangers_have() {
        let strangers = Strangers::new(256, 128, KnownMembers::new());
        strangers.known.note(&israel(), Sha256::of(b"avi"), "192.0.2.1".parse().unwrap(), true);
        let member = from(&strangers, "192.0.2.1");
        let many: Vec<_> = (0..1024).map(|n| from(&strangers, &format!("198.51.{}.{}", n / 256, n % 256))).collect();
        many[512..].iter().for_each(Stranger::has_spoken);
        let more: Vec<_> = (0..512).map(|n| from(&strangers, &format!("203.0.{}.{}", n / 256, n % 256))).collect();
        assert!(!member.leave().is_cancelled(), "silent itself, and whether they have spoken or not");
        let [first, .., last] = &more[..] else { unreachable!() };
        assert!(first.leave().is_cancelled() && !last.leave().is_cancelled(), "a newcomer comes in");
        // The same machine may have more at a time, and its first ones stay.
        let flood: Vec<_> = (0..200).map(|_| from(&strangers, "192.0.2.1")).collect();
        assert!(!member.leave().is_cancelled() && there(&flood[..15]).into_iter().all(|there| there));
        assert!(there(&flood).into_iter().any(|there| !there), "past sixteen they are like others");
    }

    #[test]
    fn members_who_flood_leave_half_of_the_places_to_others_and_a_few_to_each_other() {
        let strangers = Strangers::new(256, 128, KnownMembers::new());
        let known = |n: u8| format!("192.0.2.{n}");
        (1..=20).for_each(|n| strangers.known.note(&israel(), Sha256::of(&[n]), known(n).parse().unwrap(), true));
        let flood: Vec<_> = (0..=255).map(|n| from(&strangers, &known(n % 16 + 1))).collect();
        let colleague = from(&strangers, &known(20));
        let newcomer = from(&strangers, "203.0.113.1");
        newcomer.has_spoken();
        let more: Vec<_> = (0..=255).map(|n| from(&strangers, &known(n % 16 + 1))).collect();
        assert!(!newcomer.leave().is_cancelled(), "who comes from where none came");
        assert!(!colleague.leave().is_cancelled(), "and who comes from where another member came");
        drop((flood, more));
    }

    #[test]
    fn registrar_comes_in_from_their_own_address_however_many_colleagues_flood() {
        for colleagues in [9, 30] {
            let strangers = Strangers::new(256, 128, KnownMembers::new());
            let known = |n: u8| format!("192.0.2.{n}");
            (0..=colleagues)
                .for_each(|n| strangers.known.note(&israel(), Sha256::of(&[n]), known(n).parse().unwrap(), true));
            let flood = || -> Vec<_> {
                let begun = (1..=colleagues).flat_map(|n| [n; 128]).map(|n| from(&strangers, &known(n)));
                begun.inspect(Stranger::has_spoken).collect()
            };
            let before = flood();
            let registrar = from(&strangers, &known(0));
            let after = flood();
            assert!(!registrar.leave().is_cancelled(), "{colleagues}");
            drop((before, after));
        }
    }

    #[test]
    fn place_is_given_back() {
        let strangers = Strangers::new(1, 1, KnownMembers::new());
        drop(from(&strangers, "192.0.2.1"));
        assert!(strangers.lock().by_number.is_empty());
    }
}
