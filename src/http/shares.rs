//! How much of something that all use a member, a partner and everybody together may hold at a time: downloads, and the bytes of
//! other answers that wait to be taken.
//!
//! Nobody takes it from the others: a member comes to an end before its partner, and a partner before everybody. A member is known
//! here by the certificate's key. What is held is given back when its holder lets go, however that comes about.

use super::{metrics, peer::Peer, refusal::EdgeRefusal};
use crate::domain::id::{PartnerCode, Sha256};
use axum::{
    extract::FromRequestParts,
    http::{Extensions, request::Parts},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The most that may be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quota {
    pub(super) total: usize,
    pub(super) per_partner: usize,
    pub(super) per_member: usize,
}

/// What is held, and by whom.
#[derive(Debug)]
pub(super) struct Shares {
    quota: Quota,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    total: usize,
    partners: BTreeMap<PartnerCode, usize>,
    members: BTreeMap<(PartnerCode, Sha256), usize>,
}

/// Something held, given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    shares: Arc<Shares>,
    holder: (PartnerCode, Sha256),
    amount: usize,
}

/// Whose end was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    Member,
    Partner,
    Everybody,
}

impl Shares {
    pub(super) fn new(quota: Quota) -> Arc<Self> {
        Arc::new(Self { quota, held: Mutex::default() })
    }

    /// The most that may be held.
    pub(super) fn quota(&self) -> Quota {
        self.quota
    }

    /// Whether this holder could take more of it at all.
    pub(super) fn check(&self, peer: &Peer) -> Result<(), Full> {
        self.room(&self.lock(), &(peer.partner.clone(), peer.spki_sha256), 1)
    }

    /// Takes this much, or nothing.
    pub(super) fn take(self: &Arc<Self>, peer: &Peer, amount: usize) -> Result<Share, Full> {
        self.take_as((peer.partner.clone(), peer.spki_sha256), amount)
    }

    /// Counts what is held already: an answer that was made must be given.
    pub(super) fn count(self: &Arc<Self>, peer: &Peer, amount: usize) -> Share {
        let holder = (peer.partner.clone(), peer.spki_sha256);
        self.lock().add(&holder, amount);
        Share { shares: Arc::clone(self), holder, amount }
    }

    fn take_as(self: &Arc<Self>, holder: (PartnerCode, Sha256), amount: usize) -> Result<Share, Full> {
        let mut held = self.lock();
        self.room(&held, &holder, amount)?;
        held.add(&holder, amount);
        drop(held);
        Ok(Share { shares: Arc::clone(self), holder, amount })
    }

    fn room(&self, held: &Held, holder: &(PartnerCode, Sha256), amount: usize) -> Result<(), Full> {
        let Quota { total, per_partner, per_member } = self.quota;
        let of_member = held.members.get(holder).copied().unwrap_or_default();
        let of_partner = held.partners.get(&holder.0).copied().unwrap_or_default();
        if of_member + amount > per_member {
            Err(Full::Member)
        } else if of_partner + amount > per_partner {
            Err(Full::Partner)
        } else if held.total + amount > total {
            Err(Full::Everybody)
        } else {
            Ok(())
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // Nothing that holds the lock can panic half-way.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn add(&mut self, holder: &(PartnerCode, Sha256), amount: usize) {
        self.total += amount;
        *self.partners.entry(holder.0.clone()).or_default() += amount;
        *self.members.entry(holder.clone()).or_default() += amount;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.shares.lock();
        held.total -= self.amount;
        give_back(&mut held.partners, &self.holder.0, self.amount);
        give_back(&mut held.members, &self.holder, self.amount);
    }
}

/// Whoever holds nothing is forgotten.
fn give_back<K: Ord>(held: &mut BTreeMap<K, usize>, holder: &K, amount: usize) {
    if let Some(of_holder) = held.get_mut(holder) {
        *of_holder -= amount;
        if *of_holder == 0 {
            held.remove(holder);
        }
    }
}

/// The downloads under way, in the extensions of requests that came by the listener.
#[derive(Debug, Clone)]
pub(super) struct Downloads(pub(super) Arc<Shares>);

/// A download's place, taken before anything is done for it. Put it into the answer's extensions: it is given back when the last
/// byte has gone.
#[derive(Debug)]
pub(super) struct DownloadPlace(Option<Share>);

impl DownloadPlace {
    pub(super) fn keep(self, extensions: &mut Extensions) {
        if let Some(share) = self.0 {
            extensions.insert(HeldByAnswer::from(share));
        }
    }
}

/// What an answer holds until its last byte has gone.
#[derive(Debug, Clone)]
pub(super) struct HeldByAnswer {
    _share: Arc<Share>,
}

impl From<Share> for HeldByAnswer {
    fn from(share: Share) -> Self {
        Self { _share: Arc::new(share) }
    }
}

impl<S: Sync> FromRequestParts<S> for DownloadPlace {
    type Rejection = EdgeRefusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, EdgeRefusal> {
        let (Some(Downloads(shares)), Some(peer)) = (parts.extensions.get(), parts.extensions.get::<Peer>()) else {
            return Ok(Self(None));
        };
        let share = shares.take(peer, 1).map_err(|full| {
            metrics::refused("downloads");
            match full {
                Full::Member => EdgeRefusal::TooManyDownloads { limit: shares.quota.per_member },
                Full::Partner | Full::Everybody => EdgeRefusal::Overloaded,
            }
        })?;
        Ok(Self(Some(share)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: Quota = Quota { total: 5, per_partner: 4, per_member: 3 };

    fn holder(partner: &str, key: u8) -> (PartnerCode, Sha256) {
        (partner.parse().unwrap(), Sha256::of(&[key]))
    }

    #[test]
    fn member_ends_before_its_partner_and_a_partner_before_everybody() {
        let shares = Shares::new(QUOTA);
        let take = |partner: &str, key| shares.take_as(holder(partner, key), 1);
        let _own: Vec<_> = (0..3).map(|_| take("ISR", 1).unwrap()).collect();
        assert_eq!(take("ISR", 1).unwrap_err(), Full::Member);
        let _colleague = take("ISR", 2).unwrap();
        assert_eq!(take("ISR", 2).unwrap_err(), Full::Partner);
        let innocent = take("KOR", 1).unwrap();
        assert_eq!(take("KOR", 1).unwrap_err(), Full::Everybody);
        drop(innocent);
        assert!(take("KOR", 1).is_ok());
    }

    #[test]
    fn what_is_given_back_leaves_no_trace() {
        let shares = Shares::new(QUOTA);
        let held: Vec<_> = (0..3).map(|key| shares.take_as(holder("ISR", key), 1).unwrap()).collect();
        drop(held);
        let left = shares.lock();
        assert_eq!((left.total, left.partners.len(), left.members.len()), (0, 0, 0));
    }
}
