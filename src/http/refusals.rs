//! What a partner's members were refused, for its policy officers: who asked, on which route, and by which problem. Never what was asked
//! about: no identifier, no content.
//!
//! It is in memory, since the start of this server: writing it down would let refused callers fill the database. The same refusal again is
//! counted, so a thousand of one kind take the place of one.

use crate::domain::id::{PartnerCode, Sha256};
use jiff::Timestamp;
use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// How many different refusals are kept of a partner; of more the one that was longest ago goes.
const KEPT: usize = 500;

/// The same, of one certificate.
const OF_ONE: usize = 50;

/// Refusals of each partner's members.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<BTreeMap<PartnerCode, BTreeMap<RefusedRequest, Times>>>);

/// Something that was refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RefusedRequest {
    /// SHA-256 of the certificate's subject public key info.
    pub(super) certificate: Sha256,
    pub(super) method: &'static str,
    /// The template of the route, without identifiers.
    pub(super) route: String,
    /// Slug of the problem.
    pub(super) problem: String,
}

/// How often, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) count: u64,
    pub(super) first_at: Timestamp,
    pub(super) last_at: Timestamp,
}

impl Refusals {
    /// Notes one.
    pub(super) fn note(&self, partner: &PartnerCode, refused: RefusedRequest, at: Timestamp) {
        let mut all = self.lock();
        let of_partner = all.entry(partner.clone()).or_default();
        if let Some(times) = of_partner.get_mut(&refused) {
            times.count += 1;
            times.last_at = times.last_at.max(at);
            return;
        }
        // Nobody drives out what others were refused: who has a share of their own full loses their own oldest.
        let of_certificate = of_partner.keys().filter(|kept| kept.certificate == refused.certificate).count();
        let goes = |kept: &RefusedRequest| of_certificate < OF_ONE || kept.certificate == refused.certificate;
        if of_partner.len() >= KEPT || of_certificate >= OF_ONE {
            let oldest = of_partner.iter().filter(|(kept, _)| goes(kept)).min_by_key(|(_, times)| times.last_at);
            if let Some(oldest) = oldest.map(|(kept, _)| kept.clone()) {
                of_partner.remove(&oldest);
            }
        }
        of_partner.insert(refused, Times { count: 1, first_at: at, last_at: at });
    }

    /// Those of a partner's members, the latest first.
    pub(super) fn of(&self, partner: &PartnerCode) -> Vec<(RefusedRequest, Times)> {
        let all = self.lock();
        let mut found: Vec<_> =
            all.get(partner).into_iter().flatten().map(|(key, times)| (key.clone(), *times)).collect();
        found.sort_by_key(|(_, times)| Reverse(times.last_at));
        found
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PartnerCode, BTreeMap<RefusedRequest, Times>>> {
        // Nothing that holds the lock can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(problem: &str) -> RefusedRequest {
        let certificate = Sha256::of(b"avi");
        RefusedRequest {
            certificate,
            method: "GET",
            route: "/v1/proposals/{proposal}".into(),
            problem: problem.to_owned(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn same_refusal_again_is_counted_and_the_oldest_of_many_goes() {
        let (refusals, israel): (_, PartnerCode) = (Refusals::default(), "ISR".parse().unwrap());
        refusals.note(&israel, refused("not-found"), at(0));
        refusals.note(&israel, refused("denied"), at(1));
        refusals.note(&israel, refused("not-found"), at(2));
        let times = |count, first, last| Times { count, first_at: at(first), last_at: at(last) };
        let wanted = [(refused("not-found"), times(2, 0, 2)), (refused("denied"), times(1, 1, 1))];
        assert_eq!(refusals.of(&israel), wanted);
        let other = RefusedRequest { certificate: Sha256::of(b"yael"), ..refused("denied") };
        refusals.note(&israel, other.clone(), at(3));
        for number in 0..KEPT {
            refusals.note(&israel, refused(&number.to_string()), at(10));
        }
        let kept = refusals.of(&israel);
        assert_eq!(kept.len(), OF_ONE + 1);
        assert!(kept.iter().all(|(refused, _)| refused.problem != "not-found"));
        assert!(kept.iter().any(|(refused, _)| *refused == other), "others' refusals stay");
        assert!(refusals.of(&"USA".parse().unwrap()).is_empty());
    }
}
