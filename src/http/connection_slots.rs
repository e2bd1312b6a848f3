//! Slots for connections, divided between partners and between certificates, and which connection ends when they are
//! taken.
//!
//! A new connection always gets a slot. A certificate with its full share loses one of its own connections for it; past
//! a partner's share, and when all slots are taken, the holder with most connections loses one, busy or not, the
//! longest idle first, and a registrar's after all others of the partner. So nobody keeps others out, however many
//! connections they open and whatever these do, and a registrar stays in to revoke.

use super::{known_members::KnownMembers, shares::Quota, timeouts::ConnectionActivity};
use crate::domain::id::{PartnerCode, Sha256};
use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Whose a connection is: partner and key of the certificate. None at the loopback listener, which asks for none.
pub(super) type ConnectionHolder = Option<(PartnerCode, Sha256)>;

/// Slots for connections.
#[derive(Debug)]
pub(super) struct ConnectionSlots {
    quota: Quota,
    without_key_card: usize,
    known: Arc<KnownMembers>,
    table: Mutex<SlotTable>,
}

/// A slot, given back when dropped.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    slots: Arc<ConnectionSlots>,
    number: u64,
}

#[derive(Debug, Default)]
struct SlotTable {
    next: u64,
    connections: BTreeMap<u64, OpenConnection>,
}

#[derive(Debug)]
struct OpenConnection {
    holder: ConnectionHolder,
    is_registrars: bool,
    activity: Arc<ConnectionActivity>,
}

impl ConnectionSlots {
    /// So many in all, for a partner and for a certificate, and for one that no key card is known to name.
    pub(super) fn new(quota: Quota, without_key_card: usize, known: Arc<KnownMembers>) -> Arc<Self> {
        Arc::new(Self { quota, without_key_card, known, table: Mutex::default() })
    }

    /// A slot for a connection; another connection may end for it.
    pub(super) fn take(
        self: &Arc<Self>,
        holder: &ConnectionHolder,
        is_registrars: bool,
        activity: &Arc<ConnectionActivity>,
    ) -> ConnectionSlot {
        let Quota { total, per_partner, per_member } = self.quota;
        let is_known = holder.as_ref().is_none_or(|(_, certificate)| self.known.contains(certificate));
        let is_member = is_registrars || is_known;
        let mut table = self.lock();
        let own = if is_member { per_member } else { self.without_key_card.min(per_member) };
        table.make_room(own, holder, |connection| connection.holder == *holder);
        if !is_member {
            let is_stranger = |connection: &OpenConnection| {
                !connection.is_registrars
                    && connection.holder.as_ref().is_some_and(|(_, key)| !self.known.contains(key))
            };
            let of_partner = |connection: &OpenConnection| partner(&connection.holder) == partner(holder);
            // As many certificates as an authority issues, all together.
            table.make_room((per_partner / 4).max(own), holder, |connection| {
                of_partner(connection) && is_stranger(connection)
            });
        }
        table.make_room(per_partner, holder, |connection| partner(&connection.holder) == partner(holder));
        table.make_room(total, holder, |_| true);
        let number = table.next;
        table.next += 1;
        let (holder, activity) = (holder.clone(), Arc::clone(activity));
        table.connections.insert(number, OpenConnection { holder, is_registrars, activity });
        ConnectionSlot { slots: Arc::clone(self), number }
    }

    /// How many there are.
    pub(super) fn total(&self) -> usize {
        self.quota.total
    }

    /// How many are taken.
    pub(super) fn count(&self) -> usize {
        self.lock().connections.len()
    }

    fn lock(&self) -> MutexGuard<'_, SlotTable> {
        // Nothing that holds the lock can panic half-way.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SlotTable {
    /// Has one of these go when there are so many already: of the partner that has most, the newcomer counted, a registrar's last, of its
    /// certificate that has most; the newcomer's own where that is the same, then the one idle longest, then the
    /// oldest.
    fn make_room(&mut self, most: usize, newcomer: &ConnectionHolder, among: impl Fn(&OpenConnection) -> bool) {
        if self.connections.values().filter(|connection| among(connection)).count() < most {
            return;
        }
        let (mut partners, mut certificates) = (BTreeMap::new(), BTreeMap::new());
        for holder in self.connections.values().map(|connection| &connection.holder).chain([newcomer]) {
            *partners.entry(partner(holder)).or_insert(0) += 1;
            *certificates.entry(holder).or_insert(0) += 1;
        }
        let rank = |(number, connection): &(&u64, &OpenConnection)| {
            let idle = connection.activity.idle_since().map(Reverse);
            let of_partner = partners[&partner(&connection.holder)];
            let counts = (of_partner, !connection.is_registrars, certificates[&connection.holder]);
            (counts, connection.holder == *newcomer, idle, Reverse(**number))
        };
        let victim = self
            .connections
            .iter()
            .filter(|(_, connection)| among(connection))
            .max_by_key(rank)
            .map(|(number, _)| *number);
        if let Some(connection) = victim.and_then(|number| self.connections.remove(&number)) {
            connection.activity.displace();
        }
    }
}

fn partner(holder: &ConnectionHolder) -> Option<&PartnerCode> {
    holder.as_ref().map(|(partner, _)| partner)
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.slots.lock().connections.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::timeouts::OpenRequest;
    use std::time::Duration;
    use tokio::time::advance;
    use tokio_util::sync::CancellationToken;

    #[expect(clippy::unnecessary_wraps, reason = "what a connection with a certificate has")]
    fn holder(partner: &str, certificate: u16) -> ConnectionHolder {
        Some((partner.parse().unwrap(), Sha256::of(&certificate.to_be_bytes())))
    }

    fn note(known: &KnownMembers, certificate: u16, has_key_card: bool) {
        known.note(
            &"ISR".parse().unwrap(),
            Sha256::of(&certificate.to_be_bytes()),
            [192, 0, 2, 1].into(),
            has_key_card,
        );
    }

    fn slots(total: usize, per_partner: usize, per_member: usize) -> Arc<ConnectionSlots> {
        let known = KnownMembers::new();
        (0..50).chain(1000..2000).for_each(|certificate| note(&known, certificate, true));
        ConnectionSlots::new(Quota { total, per_partner, per_member }, 1, known)
    }

    /// A connection, with a request open or without.
    struct Connection {
        activity: Arc<ConnectionActivity>,
        _slot: ConnectionSlot,
        _request: Option<OpenRequest>,
    }

    impl Connection {
        fn busy(slots: &Arc<ConnectionSlots>, partner: &str, certificate: u16) -> Self {
            Self::of(slots, &holder(partner, certificate), false)
        }

        fn of(slots: &Arc<ConnectionSlots>, holder: &ConnectionHolder, is_registrars: bool) -> Self {
            let activity = ConnectionActivity::new(true, CancellationToken::new());
            let slot = slots.take(holder, is_registrars, &activity);
            let request = Some(activity.open_request());
            Self { activity, _slot: slot, _request: request }
        }

        fn idle(slots: &Arc<ConnectionSlots>, partner: &str, certificate: u16) -> Self {
            Self { _request: None, ..Self::busy(slots, partner, certificate) }
        }

        fn is_there(&self) -> bool {
            !self.activity.displaced().is_cancelled()
        }
    }

    fn there(connections: &[Connection]) -> Vec<bool> {
        connections.iter().map(Connection::is_there).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn longest_idle_gives_way_before_anybody_who_is_busy() {
        let slots = slots(3, 3, 3);
        let busy = Connection::busy(&slots, "ISR", 1);
        let old = Connection::idle(&slots, "ISR", 1);
        advance(Duration::from_secs(1)).await;
        let new = Connection::idle(&slots, "ISR", 1);
        let newest = Connection::idle(&slots, "ISR", 1);
        assert_eq!(there(&[busy, old, new, newest]), [true, false, true, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn certificate_past_its_share_loses_its_own_busy_or_not() {
        let slots = slots(10, 10, 2);
        let other = Connection::idle(&slots, "ISR", 2);
        let own: Vec<_> = (0..5).map(|_| Connection::busy(&slots, "ISR", 1)).collect();
        assert_eq!(there(&own), [false, false, false, true, true]);
        assert!(other.is_there() && slots.count() == 3);
    }

    #[tokio::test(start_paused = true)]
    async fn certificates_without_a_key_card_take_a_quarter_of_their_partner_all_together() {
        let slots = slots(40, 16, 4);
        let members: Vec<_> = (0..8).map(|certificate| Connection::idle(&slots, "ISR", certificate)).collect();
        let strangers: Vec<_> = (60..100).map(|certificate| Connection::busy(&slots, "ISR", certificate)).collect();
        assert!(there(&members).iter().all(|there| *there), "no member gives way for them");
        assert_eq!(there(&strangers).iter().filter(|there| **there).count(), 4);
        assert!(strangers.last().is_some_and(Connection::is_there), "the newcomer is in");
    }

    #[tokio::test(start_paused = true)]
    async fn registrar_comes_in_though_colleagues_hold_all_that_the_partner_has() {
        let slots = slots(10, 4, 3);
        let held: Vec<_> = [1, 1, 1, 2].map(|certificate| Connection::busy(&slots, "ISR", certificate)).into();
        let registrar = Connection::busy(&slots, "ISR", 3);
        assert_eq!(there(&held), [false, true, true, true], "the one with most gives way");
        // With one each, the oldest goes, and the newcomer is in.
        let more = Connection::busy(&slots, "ISR", 4);
        let last = Connection::busy(&slots, "ISR", 5);
        assert_eq!(there(&held), [false, false, false, true]);
        assert!(registrar.is_there() && more.is_there() && last.is_there());
    }

    #[tokio::test(start_paused = true)]
    async fn registrar_comes_in_and_stays_however_many_colleagues_open_as_much_as_they_can() {
        for colleagues in [9, 30] {
            let slots = slots(1024, 512, 64);
            let flood = || -> Vec<_> {
                let certificates = (0..colleagues).flat_map(|certificate| [certificate; 64]);
                certificates.map(|certificate| Connection::busy(&slots, "ISR", certificate)).collect()
            };
            let before = flood();
            let registrar = Connection::busy(&slots, "ISR", 49);
            let after = flood();
            assert!(registrar.is_there(), "{colleagues}");
            assert_eq!(slots.count(), 512);
            drop((before, after));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn registrar_stays_though_more_colleagues_come_than_the_partner_has_places() {
        for (colleagues, each) in [(70, 16), (200, 6), (900, 1)] {
            let slots = slots(1024, 512, 64);
            let flood = || -> Vec<_> {
                let certificates = (0..colleagues).flat_map(|certificate| (0..each).map(move |_| 1000 + certificate));
                certificates.map(|certificate| Connection::busy(&slots, "ISR", certificate)).collect()
            };
            let before = flood();
            // No key card is known to name the certificate, as after a start.
            let registrar = Connection::of(&slots, &holder("ISR", 99), true);
            let after = flood();
            assert!(registrar.is_there(), "{colleagues}");
            assert_eq!(slots.count(), 512);
            // Those of another registrar's own give way to each other, and take none from another partner.
            let other = Connection::busy(&slots, "KOR", 1);
            let own: Vec<_> = (0..70).map(|_| Connection::of(&slots, &holder("ISR", 98), true)).collect();
            assert_eq!(there(&own).iter().filter(|there| **there).count(), 64);
            assert!(registrar.is_there() && other.is_there());
            drop((before, after));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_partners_that_hold_everything_lock_no_third_one_out() {
        let slots = slots(4, 2, 2);
        let held: Vec<_> = ["ISR", "ISR", "KOR", "KOR"].map(|partner| Connection::busy(&slots, partner, 1)).into();
        let first = Connection::busy(&slots, "USA", 1);
        let second = Connection::busy(&slots, "USA", 2);
        assert!(first.is_there() && second.is_there());
        assert_eq!(there(&held).iter().filter(|there| **there).count(), 2);
        // A partner that has as many as any other makes room among its own.
        let third = Connection::busy(&slots, "ISR", 2);
        assert!(third.is_there() && first.is_there() && second.is_there());
    }

    #[tokio::test(start_paused = true)]
    async fn certificate_without_a_key_card_has_a_small_share_until_one_names_it() {
        let slots = slots(40, 40, 5);
        let stranger = |slots| Connection::busy(slots, "ISR", 99);
        let before: Vec<_> = (0..3).map(|_| stranger(&slots)).collect();
        assert_eq!(there(&before), [false, false, true]);
        note(&slots.known, 99, true);
        let after: Vec<_> = (0..4).map(|_| stranger(&slots)).collect();
        assert!(there(&after).into_iter().all(|there| there) && before[2].is_there());
        note(&slots.known, 99, false);
        let _newest = stranger(&slots);
        assert_eq!(slots.count(), 5, "what there is goes one by one");
    }

    #[tokio::test(start_paused = true)]
    async fn slot_is_given_back_when_its_connection_ends() {
        let slots = slots(2, 2, 2);
        drop(Connection::busy(&slots, "ISR", 1));
        let rest = [Connection::busy(&slots, "ISR", 1), Connection::busy(&slots, "ISR", 1)];
        assert_eq!(there(&rest), [true, true]);
        drop(rest);
        assert_eq!(slots.count(), 0);
    }
}
