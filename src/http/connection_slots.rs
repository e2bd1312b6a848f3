//! Places for connections, divided between partners and between certificates, and who gives way when they are taken.
//!
//! A newcomer always gets one. Whoever has as many as their share loses one of their own for it; past a partner's share, and when all
//! are taken, it is a connection of whoever has most, busy or not, the longest idle first. So nobody keeps others out, however many
//! connections they open and whatever these do.

use super::{known_members::KnownMembers, pace::Pace, shares::Quota};
use crate::domain::id::{PartnerCode, Sha256};
use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Whose a connection is: partner and key of the certificate. None at the loopback listener, which asks for none.
pub(super) type Holder = Option<(PartnerCode, Sha256)>;

/// Places for connections.
#[derive(Debug)]
pub(super) struct Places {
    quota: Quota,
    without_key_card: usize,
    known: Arc<KnownMembers>,
    taken: Mutex<Taken>,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    seats: BTreeMap<u64, Seat>,
}

#[derive(Debug)]
struct Seat {
    holder: Holder,
    pace: Arc<Pace>,
}

impl Places {
    /// So many in all, for a partner and for a certificate, and for one that no key card is known to name.
    pub(super) fn new(quota: Quota, without_key_card: usize, known: Arc<KnownMembers>) -> Arc<Self> {
        Arc::new(Self { quota, without_key_card, known, taken: Mutex::default() })
    }

    /// A place for a connection; another may have to go for it.
    pub(super) fn take(self: &Arc<Self>, holder: &Holder, pace: &Arc<Pace>) -> Place {
        let Quota { total, per_partner, per_member } = self.quota;
        let is_member = holder.as_ref().is_none_or(|(_, certificate)| self.known.contains(certificate));
        let mut taken = self.lock();
        let own = if is_member { per_member } else { self.without_key_card.min(per_member) };
        taken.make_room(own, holder, |seat| seat.holder == *holder);
        if !is_member {
            let is_stranger = |seat: &Seat| seat.holder.as_ref().is_some_and(|(_, key)| !self.known.contains(key));
            let of_partner = |seat: &Seat| partner(&seat.holder) == partner(holder);
            // As many certificates as an authority issues, all together.
            taken.make_room((per_partner / 4).max(own), holder, |seat| of_partner(seat) && is_stranger(seat));
        }
        taken.make_room(per_partner, holder, |seat| partner(&seat.holder) == partner(holder));
        taken.make_room(total, holder, |_| true);
        let number = taken.next;
        taken.next += 1;
        taken.seats.insert(number, Seat { holder: holder.clone(), pace: Arc::clone(pace) });
        Place { places: Arc::clone(self), number }
    }

    /// How many there are.
    pub(super) fn total(&self) -> usize {
        self.quota.total
    }

    /// How many are taken.
    pub(super) fn count(&self) -> usize {
        self.lock().seats.len()
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Nothing that holds the lock can panic half-way.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Has one of these go when there are so many already: of the partner that has most, the newcomer counted, of its certificate that has
    /// most; the newcomer's own where that is the same, then whoever is idle longest, then the oldest.
    fn make_room(&mut self, most: usize, newcomer: &Holder, among: impl Fn(&Seat) -> bool) {
        if self.seats.values().filter(|seat| among(seat)).count() < most {
            return;
        }
        let (mut partners, mut certificates) = (BTreeMap::new(), BTreeMap::new());
        for holder in self.seats.values().map(|seat| &seat.holder).chain([newcomer]) {
            *partners.entry(partner(holder)).or_insert(0) += 1;
            *certificates.entry(holder).or_insert(0) += 1;
        }
        let rank = |(number, seat): &(&u64, &Seat)| {
            let idle = seat.pace.idle_since().map(Reverse);
            let counts = (partners[&partner(&seat.holder)], certificates[&seat.holder]);
            (counts, seat.holder == *newcomer, idle, Reverse(**number))
        };
        let victim = self.seats.iter().filter(|(_, seat)| among(seat)).max_by_key(rank).map(|(number, _)| *number);
        if let Some(seat) = victim.and_then(|number| self.seats.remove(&number)) {
            seat.pace.displace();
        }
    }
}

fn partner(holder: &Holder) -> Option<&PartnerCode> {
    holder.as_ref().map(|(partner, _)| partner)
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().seats.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::pace::OpenRequest;
    use std::time::Duration;
    use tokio::time::advance;
    use tokio_util::sync::CancellationToken;

    #[expect(clippy::unnecessary_wraps, reason = "what a connection with a certificate has")]
    fn holder(partner: &str, certificate: u8) -> Holder {
        Some((partner.parse().unwrap(), Sha256::of(&[certificate])))
    }

    fn places(total: usize, per_partner: usize, per_member: usize) -> Arc<Places> {
        let known = KnownMembers::new();
        (0..10).for_each(|certificate| known.note(Sha256::of(&[certificate]), [192, 0, 2, 1].into(), true));
        Places::new(Quota { total, per_partner, per_member }, 1, known)
    }

    /// A connection, with a request open or without.
    struct Connection {
        pace: Arc<Pace>,
        _place: Place,
        _request: Option<OpenRequest>,
    }

    impl Connection {
        fn busy(places: &Arc<Places>, partner: &str, certificate: u8) -> Self {
            let pace = Pace::new(true, CancellationToken::new());
            let place = places.take(&holder(partner, certificate), &pace);
            let request = Some(pace.open_request());
            Self { pace, _place: place, _request: request }
        }

        fn idle(places: &Arc<Places>, partner: &str, certificate: u8) -> Self {
            Self { _request: None, ..Self::busy(places, partner, certificate) }
        }

        fn is_there(&self) -> bool {
            !self.pace.displaced().is_cancelled()
        }
    }

    fn there(connections: &[Connection]) -> Vec<bool> {
        connections.iter().map(Connection::is_there).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn longest_idle_gives_way_before_anybody_who_is_busy() {
        let places = places(3, 3, 3);
        let busy = Connection::busy(&places, "ISR", 1);
        let old = Connection::idle(&places, "ISR", 1);
        advance(Duration::from_secs(1)).await;
        let new = Connection::idle(&places, "ISR", 1);
        let newest = Connection::idle(&places, "ISR", 1);
        assert_eq!(there(&[busy, old, new, newest]), [true, false, true, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn certificate_past_its_share_loses_its_own_busy_or_not() {
        let places = places(10, 10, 2);
        let other = Connection::idle(&places, "ISR", 2);
        let own: Vec<_> = (0..5).map(|_| Connection::busy(&places, "ISR", 1)).collect();
        assert_eq!(there(&own), [false, false, false, true, true]);
        assert!(other.is_there() && places.count() == 3);
    }

    #[tokio::test(start_paused = true)]
    async fn certificates_without_a_key_card_take_a_quarter_of_their_partner_all_together() {
        let places = places(40, 16, 4);
        let members: Vec<_> = (0..8).map(|certificate| Connection::idle(&places, "ISR", certificate)).collect();
        let strangers: Vec<_> = (20..60).map(|certificate| Connection::busy(&places, "ISR", certificate)).collect();
        assert!(there(&members).iter().all(|there| *there), "no member gives way for them");
        assert_eq!(there(&strangers).iter().filter(|there| **there).count(), 4);
        assert!(strangers.last().is_some_and(Connection::is_there), "the newcomer is in");
    }

    #[tokio::test(start_paused = true)]
    async fn registrar_comes_in_though_colleagues_hold_all_that_the_partner_has() {
        let places = places(10, 4, 3);
        let held: Vec<_> = [1, 1, 1, 2].map(|certificate| Connection::busy(&places, "ISR", certificate)).into();
        let registrar = Connection::busy(&places, "ISR", 3);
        assert_eq!(there(&held), [false, true, true, true], "whoever has most gives way");
        // With one each, the oldest goes, and the newcomer is in.
        let more = Connection::busy(&places, "ISR", 4);
        let last = Connection::busy(&places, "ISR", 5);
        assert_eq!(there(&held), [false, false, false, true]);
        assert!(registrar.is_there() && more.is_there() && last.is_there());
    }

    #[tokio::test(start_paused = true)]
    async fn two_partners_that_hold_everything_lock_no_third_one_out() {
        let places = places(4, 2, 2);
        let held: Vec<_> = ["ISR", "ISR", "KOR", "KOR"].map(|partner| Connection::busy(&places, partner, 1)).into();
        let first = Connection::busy(&places, "USA", 1);
        let second = Connection::busy(&places, "USA", 2);
        assert!(first.is_there() && second.is_there());
        assert_eq!(there(&held).iter().filter(|there| **there).count(), 2);
        // A partner that has as many as any other makes room among its own.
        let third = Connection::busy(&places, "ISR", 2);
        assert!(third.is_there() && first.is_there() && second.is_there());
    }

    #[tokio::test(start_paused = true)]
    async fn certificate_without_a_key_card_has_a_small_share_until_one_names_it() {
        let places = places(40, 40, 5);
        let stranger = |places| Connection::busy(places, "ISR", 99);
        let before: Vec<_> = (0..3).map(|_| stranger(&places)).collect();
        assert_eq!(there(&before), [false, false, true]);
        places.known.note(Sha256::of(&[99]), [192, 0, 2, 1].into(), true);
        let after: Vec<_> = (0..4).map(|_| stranger(&places)).collect();
        assert!(there(&after).into_iter().all(|there| there) && before[2].is_there());
        places.known.note(Sha256::of(&[99]), [192, 0, 2, 1].into(), false);
        let _newest = stranger(&places);
        assert_eq!(places.count(), 5, "what there is goes one by one");
    }

    #[tokio::test(start_paused = true)]
    async fn place_is_given_back_when_its_connection_ends() {
        let places = places(2, 2, 2);
        drop(Connection::busy(&places, "ISR", 1));
        let rest = [Connection::busy(&places, "ISR", 1), Connection::busy(&places, "ISR", 1)];
        assert_eq!(there(&rest), [true, true]);
        drop(rest);
        assert_eq!(places.count(), 0);
    }
}
