//! Places for handshakes, which cost nothing to begin: a stranger has shown no certificate yet.
//!
//! A newcomer always gets one. Who has not said a word of TLS yet gives way before those in the middle of a handshake, and among
//! those an address with many before one with few. An address is told to IPv4's whole and to the first 64 bits of IPv6, which one
//! machine has for itself.

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
    taken: Mutex<Taken>,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub(super) struct Stranger {
    strangers: Arc<Strangers>,
    number: u64,
    leave: CancellationToken,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    by_number: BTreeMap<u64, Seat>,
}

#[derive(Debug)]
struct Seat {
    source: IpAddr,
    has_spoken: bool,
    leave: CancellationToken,
}

impl Strangers {
    pub(super) fn new(total: usize, per_address: usize) -> Arc<Self> {
        Arc::new(Self { total, per_address, taken: Mutex::default() })
    }

    /// A place for somebody from this address; another may have to go for it.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Stranger {
        let source = source(address);
        let mut taken = self.lock();
        taken.make_room(self.per_address, source, |seat| seat.source == source);
        taken.make_room(self.total, source, |_| true);
        let (number, leave) = (taken.next, CancellationToken::new());
        taken.next += 1;
        taken.by_number.insert(number, Seat { source, has_spoken: false, leave: leave.clone() });
        Stranger { strangers: Arc::clone(self), number, leave }
    }

    /// How many there are.
    pub(super) fn total(&self) -> usize {
        self.total
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Nothing that holds the lock can panic half-way.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Has one of these go when there are so many already.
    fn make_room(&mut self, most: usize, newcomer: IpAddr, among: impl Fn(&Seat) -> bool) {
        if self.by_number.values().filter(|seat| among(seat)).count() < most {
            return;
        }
        let mut sources = BTreeMap::new();
        for source in self.by_number.values().map(|seat| seat.source).chain([newcomer]) {
            *sources.entry(source).or_insert(0) += 1;
        }
        let rank = |(number, seat): &(&u64, &Seat)| (!seat.has_spoken, sources[&seat.source], Reverse(**number));
        let victim = self.by_number.iter().filter(|(_, seat)| among(seat)).max_by_key(rank).map(|(number, _)| *number);
        if let Some(seat) = victim.and_then(|number| self.by_number.remove(&number)) {
            seat.leave.cancel();
        }
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

fn source(address: IpAddr) -> IpAddr {
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

    fn from(strangers: &Arc<Strangers>, address: &str) -> Stranger {
        strangers.take(address.parse().unwrap())
    }

    fn there(strangers: &[Stranger]) -> Vec<bool> {
        strangers.iter().map(|stranger| !stranger.leave().is_cancelled()).collect()
    }

    #[test]
    fn silent_ones_give_way_before_those_in_the_middle_of_a_handshake() {
        let strangers = Strangers::new(3, 3);
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
        let strangers = Strangers::new(10, 2);
        let other = from(&strangers, "192.0.2.1");
        let many: Vec<_> = (0..4).map(|_| from(&strangers, "198.51.100.7")).collect();
        many.iter().for_each(Stranger::has_spoken);
        let more = from(&strangers, "::ffff:198.51.100.7");
        assert_eq!(there(&many), [false, false, false, true]);
        assert_eq!(there(&[other, more]), [true, true]);
    }

    #[test]
    fn ipv6_counts_by_the_part_that_one_machine_has_for_itself() {
        let strangers = Strangers::new(10, 1);
        let all: Vec<_> = ["2001:db8:0:1::1", "2001:db8:0:1::ffff", "2001:db8:0:2::1"]
            .map(|address| from(&strangers, address))
            .into();
        assert_eq!(there(&all), [false, true, true]);
    }

    #[test]
    fn place_is_given_back() {
        let strangers = Strangers::new(1, 1);
        drop(from(&strangers, "192.0.2.1"));
        assert!(strangers.lock().by_number.is_empty());
    }
}
