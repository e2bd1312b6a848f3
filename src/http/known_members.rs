//! Which certificates a key card is known to name, and from where they came, for shares: authorities issue as many certificates as they like,
//! and key cards are signed one by one.
//!
//! It lets nobody in: every caller is looked up each time. It holds what was found the last time.

use crate::domain::id::Sha256;
use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// So many are remembered; beyond that all start again as strangers.
const REMEMBERED: usize = 65_536;
/// From so many addresses one certificate is remembered to come, the latest ones.
const ADDRESSES: usize = 4;
/// For so long an address counts from which a member came: who was shut out since then has no part in it for ever.
const LATELY: Duration = Duration::from_hours(24 * 7);

/// Certificates, by their keys, that a key card in force named when they last asked for something.
#[derive(Debug, Default)]
pub(super) struct KnownMembers(Mutex<RecentMembers>);

#[derive(Debug, Default)]
struct RecentMembers {
    /// With the addresses they came from, the latest last.
    certificates: BTreeMap<Sha256, VecDeque<IpAddr>>,
    addresses: BTreeMap<IpAddr, AddressUse>,
}

/// Who came from an address.
#[derive(Debug)]
struct AddressUse {
    /// How many certificates.
    certificates: usize,
    latest: Instant,
}

impl KnownMembers {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Notes what was found of a certificate that came from there.
    pub(super) fn note(&self, certificate: Sha256, from: IpAddr, has_key_card: bool) {
        let mut known = self.lock();
        if has_key_card {
            if known.certificates.len() >= REMEMBERED && !known.certificates.contains_key(&certificate) {
                *known = RecentMembers::default();
            }
            known.came(certificate, from);
        } else {
            known.forget(&certificate);
        }
    }

    pub(super) fn contains(&self, certificate: &Sha256) -> bool {
        self.lock().certificates.contains_key(certificate)
    }

    /// Whether a member came from there lately.
    pub(super) fn came_from(&self, address: IpAddr) -> bool {
        self.lock().addresses.get(&address).is_some_and(|came| came.latest.elapsed() < LATELY)
    }

    fn lock(&self) -> MutexGuard<'_, RecentMembers> {
        // Nothing that holds the lock can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RecentMembers {
    fn came(&mut self, certificate: Sha256, from: IpAddr) {
        let now = Instant::now();
        let came = self.addresses.entry(from).or_insert(AddressUse { certificates: 0, latest: now });
        came.latest = now;
        let addresses = self.certificates.entry(certificate).or_default();
        if addresses.back() == Some(&from) {
            return;
        }
        if let Some(place) = addresses.iter().position(|address| *address == from) {
            addresses.remove(place);
        } else {
            came.certificates += 1;
        }
        addresses.push_back(from);
        let gone = if addresses.len() > ADDRESSES { addresses.pop_front() } else { None };
        self.leave(gone);
    }

    fn forget(&mut self, certificate: &Sha256) {
        let addresses = self.certificates.remove(certificate);
        self.leave(addresses.into_iter().flatten());
    }

    fn leave(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        for address in addresses {
            if let Some(came) = self.addresses.get_mut(&address) {
                came.certificates -= 1;
                if came.certificates == 0 {
                    self.addresses.remove(&address);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn address_is_known_for_a_week_after_a_member_came() {
        let known = KnownMembers::new();
        let (avi, from) = (Sha256::of(b"avi"), IpAddr::from([192, 0, 2, 1]));
        let nearly = LATELY.checked_sub(Duration::from_secs(1)).unwrap();
        known.note(avi, from, true);
        tokio::time::advance(nearly).await;
        assert!(known.came_from(from));
        known.note(avi, from, true);
        tokio::time::advance(nearly).await;
        assert!(known.came_from(from));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!known.came_from(from) && known.contains(&avi));
    }

    #[test]
    fn address_is_known_while_a_member_is_who_came_from_it_lately() {
        let known = KnownMembers::new();
        let [avi, noa] = [1, 2].map(|key| Sha256::of(&[key]));
        let at = |last: u8| IpAddr::from([192, 0, 2, last]);
        known.note(avi, at(1), true);
        known.note(noa, at(1), true);
        known.note(noa, at(1), false);
        assert!(known.came_from(at(1)) && !known.contains(&noa));
        (2..=5).for_each(|last| known.note(avi, at(last), true));
        assert!(!known.came_from(at(1)), "the last four");
        known.note(avi, at(2), true);
        known.note(avi, at(6), true);
        assert_eq!([2, 3, 4, 5, 6].map(|last| known.came_from(at(last))), [true, false, true, true, true]);
        known.note(avi, at(2), false);
        assert!(known.lock().addresses.is_empty() && known.lock().certificates.is_empty());
    }
}
