//! A bounded number of places, and who gives way when all are taken.
//!
//! A newcomer takes the place of whoever has been idle longest; somebody with a request open is never displaced. So
//! people who hold connections open without using them cannot keep others out, however many they are.

use super::pace::Pace;
use crate::domain::id::PartnerCode;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Places for connections.
#[derive(Debug)]
pub(super) struct Places {
    total: usize,
    per_partner: usize,
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
    by_number: BTreeMap<u64, (Option<PartnerCode>, Arc<Pace>)>,
}

impl Places {
    pub(super) fn new(total: usize, per_partner: usize) -> Arc<Self> {
        Arc::new(Self { total, per_partner, taken: Mutex::default() })
    }

    /// A place for a connection of `partner` (absent before the handshake), or nothing when all who could give way are
    /// busy.
    pub(super) fn take(self: &Arc<Self>, partner: Option<&PartnerCode>, pace: &Arc<Pace>) -> Option<Place> {
        let mut taken = self.lock();
        if let Some(partner) = partner
            && taken.of(partner).count() >= self.per_partner
        {
            let victim = longest_idle(taken.of(partner))?;
            taken.displace(victim);
        }
        if taken.by_number.len() >= self.total {
            let victim = longest_idle(taken.by_number.iter())?;
            taken.displace(victim);
        }
        let number = taken.next;
        taken.next += 1;
        taken.by_number.insert(number, (partner.cloned(), Arc::clone(pace)));
        Some(Place { places: Arc::clone(self), number })
    }

    /// How many there are.
    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// How many are taken.
    pub(super) fn count(&self) -> usize {
        self.lock().by_number.len()
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Nothing that holds the lock can panic half-way.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Entry<'a> = (&'a u64, &'a (Option<PartnerCode>, Arc<Pace>));

impl Taken {
    fn of(&self, partner: &PartnerCode) -> impl Iterator<Item = Entry<'_>> {
        self.by_number.iter().filter(move |(_, (owner, _))| owner.as_ref() == Some(partner))
    }

    fn displace(&mut self, number: u64) {
        if let Some((_, pace)) = self.by_number.remove(&number) {
            pace.retire();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().by_number.remove(&self.number);
    }
}

fn longest_idle<'a>(entries: impl Iterator<Item = Entry<'a>>) -> Option<u64> {
    entries.filter_map(|(number, (_, pace))| Some((pace.idle_since()?, *number))).min().map(|(_, number)| number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::advance;
    use tokio_util::sync::CancellationToken;

    fn pace() -> Arc<Pace> {
        Pace::new(true, CancellationToken::new())
    }

    #[tokio::test(start_paused = true)]
    async fn newcomer_displaces_the_longest_idle() {
        let places = Places::new(2, 2);
        let (old, busy, new) = (pace(), pace(), pace());
        let _first = places.take(None, &old).unwrap();
        let _second = places.take(None, &busy).unwrap();
        let _request = busy.open_request();
        advance(Duration::from_secs(1)).await;
        assert!(places.take(None, &new).is_some());
        assert!(old.retired().is_cancelled() && !busy.retired().is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_with_a_request_open_gives_way() {
        let places = Places::new(1, 1);
        let busy = pace();
        let place = places.take(None, &busy).unwrap();
        let _request = busy.open_request();
        assert!(places.take(None, &pace()).is_none());
        drop(place);
        assert!(places.take(None, &pace()).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn one_partner_cannot_displace_another_beyond_its_share() {
        let places = Places::new(3, 2);
        let (isr, kor) = ("ISR".parse().unwrap(), "KOR".parse().unwrap());
        let others = pace();
        let _kor = places.take(Some(&kor), &others).unwrap();
        let own: Vec<_> = (0..5).map(|_| pace()).collect();
        let _held: Vec<_> = own.iter().map(|pace| places.take(Some(&isr), pace).unwrap()).collect();
        assert!(!others.retired().is_cancelled());
        assert_eq!(own.iter().filter(|pace| pace.retired().is_cancelled()).count(), 3);
        assert_eq!(places.count(), 3);
    }
}
