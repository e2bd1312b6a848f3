//! Which certificates a key card is known to name, and from where they came, for shares: authorities issue as many certificates as they like,
//! and key cards are signed one by one.
//!
//! It lets nobody in: every caller is looked up each time. It holds what was found the last time. Each partner's certificates are counted by
//! themselves, so no partner makes the server forget the members of another.

use crate::{
    domain::id::{PartnerCode, Sha256},
    share_table::{ADDRESS_KNOWN_FOR, KNOWN_ADDRESSES_PER_CERTIFICATE, KNOWN_CERTIFICATES_PER_PARTNER},
};
use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::time::Instant;

/// Certificates, by their keys, that a key card in force named when they last asked for something.
#[derive(Debug, Default)]
pub(super) struct KnownMembers(Mutex<RecentMembers>);

#[derive(Debug, Default)]
struct RecentMembers {
    certificates: BTreeMap<Sha256, KnownCertificate>,
    /// How many certificates of a partner there are. A partner without any is not here.
    partners: BTreeMap<PartnerCode, usize>,
    addresses: BTreeMap<IpAddr, AddressUse>,
}

/// Who came with a certificate.
#[derive(Debug)]
struct KnownCertificate {
    partner: PartnerCode,
    /// Where they came from, the latest last.
    addresses: VecDeque<IpAddr>,
    latest: Instant,
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

    /// Notes what was found of a certificate of this partner that came from there.
    pub(super) fn note(&self, partner: &PartnerCode, certificate: Sha256, from: IpAddr, has_key_card: bool) {
        let mut known = self.lock();
        if has_key_card {
            known.came(partner, certificate, from);
        } else {
            known.forget(&certificate);
        }
    }

    pub(super) fn contains(&self, certificate: &Sha256) -> bool {
        self.lock().certificates.contains_key(certificate)
    }

    /// Whether a member came from there lately.
    pub(super) fn came_from(&self, address: IpAddr) -> bool {
        self.lock().addresses.get(&address).is_some_and(|came| came.latest.elapsed() < ADDRESS_KNOWN_FOR)
    }

    fn lock(&self) -> MutexGuard<'_, RecentMembers> {
        // Nothing that holds the lock can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RecentMembers {
    fn came(&mut self, partner: &PartnerCode, certificate: Sha256, from: IpAddr) {
        let now = Instant::now();
        if self.certificates.get(&certificate).is_none_or(|known| known.partner != *partner) {
            self.forget(&certificate);
            self.make_room(partner);
            *self.partners.entry(partner.clone()).or_default() += 1;
        }
        let came = self.addresses.entry(from).or_insert(AddressUse { certificates: 0, latest: now });
        came.latest = now;
        let known = self.certificates.entry(certificate).or_insert_with(|| KnownCertificate {
            partner: partner.clone(),
            addresses: VecDeque::new(),
            latest: now,
        });
        known.latest = now;
        if known.addresses.back() == Some(&from) {
            return;
        }
        if let Some(place) = known.addresses.iter().position(|address| *address == from) {
            known.addresses.remove(place);
        } else {
            came.certificates += 1;
        }
        known.addresses.push_back(from);
        let gone =
            if known.addresses.len() > KNOWN_ADDRESSES_PER_CERTIFICATE { known.addresses.pop_front() } else { None };
        self.leave(gone);
    }

    /// Forgets the half of a partner's certificates that came longest ago, if there are as many as may be: so one that comes costs little.
    fn make_room(&mut self, partner: &PartnerCode) {
        if self.partners.get(partner).is_none_or(|certificates| *certificates < KNOWN_CERTIFICATES_PER_PARTNER) {
            return;
        }
        let of_partner = self.certificates.iter().filter(|(_, known)| known.partner == *partner);
        let mut oldest: Vec<_> = of_partner.map(|(certificate, known)| (known.latest, *certificate)).collect();
        oldest.sort_unstable();
        oldest.truncate(KNOWN_CERTIFICATES_PER_PARTNER / 2);
        for (_, certificate) in oldest {
            self.forget(&certificate);
        }
    }

    fn forget(&mut self, certificate: &Sha256) {
        let Some(known) = self.certificates.remove(certificate) else { return };
        if let Some(certificates) = self.partners.get_mut(&known.partner) {
            *certificates -= 1;
            if *certificates == 0 {
                self.partners.remove(&known.partner);
            }
        }
        self.leave(known.addresses);
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
    use std::time::Duration;

    fn israel() -> PartnerCode {
        "ISR".parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn address_is_known_for_a_week_after_a_member_came() {
        let known = KnownMembers::new();
        let (avi, from) = (Sha256::of(b"avi"), IpAddr::from([192, 0, 2, 1]));
        let nearly = ADDRESS_KNOWN_FOR.checked_sub(Duration::from_secs(1)).unwrap();
        known.note(&israel(), avi, from, true);
        tokio::time::advance(nearly).await;
        assert!(known.came_from(from));
        known.note(&israel(), avi, from, true);
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
        known.note(&israel(), avi, at(1), true);
        known.note(&israel(), noa, at(1), true);
        known.note(&israel(), noa, at(1), false);
        assert!(known.came_from(at(1)) && !known.contains(&noa));
        (2..=5).for_each(|last| known.note(&israel(), avi, at(last), true));
        assert!(!known.came_from(at(1)), "the last four");
        known.note(&israel(), avi, at(2), true);
        known.note(&israel(), avi, at(6), true);
        assert_eq!([2, 3, 4, 5, 6].map(|last| known.came_from(at(last))), [true, false, true, true, true]);
        known.note(&israel(), avi, at(2), false);
        let left = known.lock();
        assert!(left.addresses.is_empty() && left.certificates.is_empty() && left.partners.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn partner_with_too_many_certificates_is_forgotten_in_part_and_no_other_is() {
        let known = KnownMembers::new();
        let certificate = |number: usize| Sha256::of(&number.to_be_bytes());
        let (korea, of_korea, from_korea) = ("KOR".parse().unwrap(), Sha256::of(b"minjun"), [192, 0, 2, 9].into());
        known.note(&korea, of_korea, from_korea, true);
        for number in 0..KNOWN_CERTIFICATES_PER_PARTNER {
            tokio::time::advance(Duration::from_millis(1)).await;
            known.note(&israel(), certificate(number), [192, 0, 2, 1].into(), true);
        }
        assert!((0..KNOWN_CERTIFICATES_PER_PARTNER).all(|number| known.contains(&certificate(number))));
        // Who comes again is no longer the one who came longest ago.
        tokio::time::advance(Duration::from_millis(1)).await;
        known.note(&israel(), certificate(0), [192, 0, 2, 1].into(), true);
        known.note(&israel(), certificate(KNOWN_CERTIFICATES_PER_PARTNER), [192, 0, 2, 2].into(), true);
        assert!(known.contains(&certificate(0)) && known.contains(&certificate(KNOWN_CERTIFICATES_PER_PARTNER)));
        assert!(!known.contains(&certificate(1)) && !known.contains(&certificate(KNOWN_CERTIFICATES_PER_PARTNER / 2)));
        assert!(
            (KNOWN_CERTIFICATES_PER_PARTNER / 2 + 1..KNOWN_CERTIFICATES_PER_PARTNER)
                .all(|number| known.contains(&certificate(number)))
        );
        assert!(known.contains(&of_korea) && known.came_from(from_korea));
        assert_eq!(known.lock().partners, [(israel(), KNOWN_CERTIFICATES_PER_PARTNER / 2 + 1), (korea, 1)].into());
    }
}
