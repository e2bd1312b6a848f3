//! How much of something that all use a member, a partner and everybody together may hold at a time: downloads, and the bytes of
//! other answers that wait to be taken.
//!
//! Nobody takes it from the others: a member comes to an end before its partner, and a partner before everybody; and who holds more
//! than is left gets no more, so that something is left for those who hold little. A quarter more is kept for those who hold nothing, one
//! small thing each. And the registrars of a partner, by the keys that its card names, take a few small things past everything: however many
//! colleagues act together, a registrar can ask for what revokes them. A member is known here by the certificate's key; of
//! certificates that no key card is known to name each has a small share, and all of a partner's together a quarter of what it has.
//! What is held is given back when its holder lets go, however that comes about.

use super::{
    known_members::KnownMembers,
    peer::Peer,
    refusal::{EdgeRefusal, Shared},
};
use crate::{
    domain::id::{PartnerCode, Sha256},
    metrics,
    share_table::{Division, PART_KEPT, PART_OF_A_STRANGER, PART_OF_STRANGERS, SMALL_THINGS_OF_A_REGISTRAR},
};
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
    one: usize,
    known: Arc<KnownMembers>,
    held: Mutex<Holdings>,
}

#[derive(Debug, Default)]
struct Holdings {
    total: usize,
    partners: BTreeMap<PartnerCode, usize>,
    members: BTreeMap<(PartnerCode, Sha256), usize>,
    /// Of each partner what was taken for certificates that were not known then.
    strangers: BTreeMap<PartnerCode, usize>,
    /// Of each partner what was taken of that which is kept for those who hold nothing.
    kept: BTreeMap<PartnerCode, usize>,
}

/// Something held, given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    shares: Arc<Shares>,
    holder: (PartnerCode, Sha256),
    amount: usize,
    is_strangers: bool,
    is_kept: bool,
}

/// Who takes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taker {
    /// The partner's card names the key as a registrar's.
    Registrar,
    Member,
    /// No key card is known to name the certificate.
    Stranger,
}

/// Whose end was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    Member,
    Partner,
    Everybody,
}

impl From<Division> for Quota {
    fn from(Division { all: total, per_partner, per_certificate: per_member }: Division) -> Self {
        Self { total, per_partner, per_member }
    }
}

impl Quota {
    /// No member may hold more than its partner, and no partner more than all.
    pub(super) fn ordered(self) -> Self {
        let per_partner = self.per_partner.min(self.total);
        Self { per_partner, per_member: self.per_member.min(per_partner), ..self }
    }
}

impl Shares {
    /// So much in all, for a partner and for a member. A member who holds nothing may take as much as `one` where nothing is left.
    pub(super) fn new(quota: Quota, one: usize, known: Arc<KnownMembers>) -> Arc<Self> {
        Arc::new(Self { quota: quota.ordered(), one, known, held: Mutex::default() })
    }

    /// Whether this holder could take more of it at all. Who holds nothing can.
    pub(super) fn check(&self, peer: &Peer) -> Result<(), Full> {
        let holder = (peer.partner.clone(), peer.spki_sha256);
        let held = self.lock();
        if held.members.contains_key(&holder) {
            self.room(&held, &holder, 1, self.taker(&holder, peer.is_registrar())).map(drop)
        } else {
            Ok(())
        }
    }

    /// Takes this much, or nothing.
    pub(super) fn take(self: &Arc<Self>, peer: &Peer, amount: usize) -> Result<Share, Full> {
        self.take_for((peer.partner.clone(), peer.spki_sha256), peer.is_registrar(), amount)
    }

    /// Counts what is held already, whatever there is of it.
    pub(super) fn count(self: &Arc<Self>, peer: &Peer, amount: usize) -> Share {
        let holder = (peer.partner.clone(), peer.spki_sha256);
        let taker = self.taker(&holder, peer.is_registrar());
        self.add(holder, amount, taker, false, &mut self.lock())
    }

    /// How somebody is refused who finds this full, of which this is the share.
    pub(super) fn refusal(&self, what: Shared, full: Full) -> EdgeRefusal {
        let Quota { per_partner, per_member: limit, .. } = self.quota;
        match (full, what) {
            (Full::Everybody, _) => EdgeRefusal::Overloaded,
            (Full::Partner, what) => EdgeRefusal::OverloadedPartner { what, limit: per_partner },
            (Full::Member, Shared::Requests) => EdgeRefusal::TooManyRequests { limit },
            (Full::Member, Shared::Bodies) => EdgeRefusal::TooManyBodies { limit },
            (Full::Member, Shared::Downloads) => EdgeRefusal::TooManyDownloads { limit },
            (Full::Member, Shared::Answers) => EdgeRefusal::AnswersWaiting { limit },
            (Full::Member, Shared::Waits) => EdgeRefusal::TooManyWaits { limit },
        }
    }

    fn take_for(
        self: &Arc<Self>,
        holder: (PartnerCode, Sha256),
        is_registrar: bool,
        amount: usize,
    ) -> Result<Share, Full> {
        let taker = self.taker(&holder, is_registrar);
        let mut held = self.lock();
        let is_kept = self.room(&held, &holder, amount, taker)?;
        Ok(self.add(holder, amount, taker, is_kept, &mut held))
    }

    fn add(
        self: &Arc<Self>,
        holder: (PartnerCode, Sha256),
        amount: usize,
        taker: Taker,
        is_kept: bool,
        held: &mut Holdings,
    ) -> Share {
        let is_strangers = taker == Taker::Stranger;
        held.add(&holder, amount, is_strangers, is_kept);
        Share { shares: Arc::clone(self), holder, amount, is_strangers, is_kept }
    }

    fn taker(&self, holder: &(PartnerCode, Sha256), is_registrar: bool) -> Taker {
        if is_registrar {
            Taker::Registrar
        } else if self.known.contains(&holder.1) {
            Taker::Member
        } else {
            Taker::Stranger
        }
    }

    /// Whether what there is room for is of that which is kept for those who hold nothing.
    fn room(&self, held: &Holdings, holder: &(PartnerCode, Sha256), amount: usize, taker: Taker) -> Result<bool, Full> {
        let is_stranger = taker == Taker::Stranger;
        let Quota { total, per_partner, per_member } = self.quota;
        let of_member = held.members.get(holder).copied().unwrap_or_default();
        let of_partner = held.partners.get(&holder.0).copied().unwrap_or_default();
        let of_strangers = held.strangers.get(&holder.0).copied().unwrap_or_default();
        let own = if is_stranger && of_member > 0 { per_member / PART_OF_A_STRANGER } else { per_member };
        if of_member + amount > own {
            return Err(Full::Member);
        }
        if is_stranger && of_strangers + amount > per_partner.div_ceil(PART_OF_STRANGERS) {
            return Err(Full::Partner);
        }
        let left = |end: usize, held: usize| end.saturating_sub(held);
        let full = if amount > left(per_partner, of_partner) || of_member > left(per_partner, of_partner) {
            Full::Partner
        } else if amount > left(total, held.total) || of_partner > left(total, held.total) {
            Full::Everybody
        } else {
            return Ok(false);
        };
        if taker == Taker::Registrar && of_member + amount <= SMALL_THINGS_OF_A_REGISTRAR * self.one {
            return Ok(false);
        }
        let is_kept = of_member == 0 && amount <= self.one && self.is_left_of_kept(held, holder, amount, is_stranger);
        if is_kept { Ok(true) } else { Err(full) }
    }

    fn is_left_of_kept(
        &self,
        held: &Holdings,
        holder: &(PartnerCode, Sha256),
        amount: usize,
        is_stranger: bool,
    ) -> bool {
        let Quota { total, per_partner, .. } = self.quota;
        // Half of it is for members alone.
        let most = if is_stranger { per_partner / PART_KEPT / 2 } else { per_partner.div_ceil(PART_KEPT) };
        let of_partner = held.kept.get(&holder.0).copied().unwrap_or_default();
        let of_all: usize = held.kept.values().sum();
        of_partner + amount <= most && of_all + amount <= total.div_ceil(PART_KEPT)
    }

    fn lock(&self) -> MutexGuard<'_, Holdings> {
        // Nothing that holds the lock can panic half-way.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holdings {
    fn add(&mut self, holder: &(PartnerCode, Sha256), amount: usize, is_strangers: bool, is_kept: bool) {
        if is_kept {
            *self.kept.entry(holder.0.clone()).or_default() += amount;
        }
        if is_strangers {
            *self.strangers.entry(holder.0.clone()).or_default() += amount;
        }
        self.total += amount;
        *self.partners.entry(holder.0.clone()).or_default() += amount;
        *self.members.entry(holder.clone()).or_default() += amount;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.shares.lock();
        held.total -= self.amount;
        if self.is_strangers {
            give_back(&mut held.strangers, &self.holder.0, self.amount);
        }
        if self.is_kept {
            give_back(&mut held.kept, &self.holder.0, self.amount);
        }
        give_back(&mut held.partners, &self.holder.0, self.amount);
        give_back(&mut held.members, &self.holder, self.amount);
    }
}

/// A holder of nothing is forgotten.
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

/// The place of an answer that waits on the disk until it is taken: as many as one may have downloads, so a member has one such answer at a time and a
/// partner a few.
#[derive(Debug)]
pub(super) struct SpoolPlace(DownloadPlace);

impl SpoolPlace {
    pub(super) fn keep(self, extensions: &mut Extensions) {
        self.0.keep(extensions);
    }
}

impl<S: Sync> FromRequestParts<S> for DownloadPlace {
    type Rejection = EdgeRefusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, EdgeRefusal> {
        download_places(parts, |_| 1)
    }
}

impl<S: Sync> FromRequestParts<S> for SpoolPlace {
    type Rejection = EdgeRefusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, EdgeRefusal> {
        download_places(parts, |quota| quota.per_member).map(Self)
    }
}

fn download_places(parts: &Parts, amount: impl FnOnce(Quota) -> usize) -> Result<DownloadPlace, EdgeRefusal> {
    let (Some(Downloads(shares)), Some(peer)) = (parts.extensions.get(), parts.extensions.get::<Peer>()) else {
        return Ok(DownloadPlace(None));
    };
    let share = shares.take(peer, amount(shares.quota)).map_err(|full| {
        metrics::refused("downloads");
        shares.refusal(Shared::Downloads, full)
    })?;
    Ok(DownloadPlace(Some(share)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::share_table::{BODY_BYTES, REQUESTS, SMALL_BODY_BYTES};

    fn holder(partner: &str, key: u16) -> (PartnerCode, Sha256) {
        (partner.parse().unwrap(), Sha256::of(&key.to_be_bytes()))
    }

    impl Shares {
        /// Takes it for somebody who is no registrar.
        fn take_as(self: &Arc<Self>, holder: (PartnerCode, Sha256), amount: usize) -> Result<Share, Full> {
            self.take_for(holder, false, amount)
        }
    }

    /// In which certificates below 100, and from 1000 to 1999, have a key card.
    fn shares(total: usize, per_partner: usize, per_member: usize) -> Arc<Shares> {
        of_size(1, Quota { total, per_partner, per_member })
    }

    /// The same of what is taken in pieces.
    fn of_size(one: usize, quota: Quota) -> Arc<Shares> {
        let known = KnownMembers::new();
        let members = (0..100).chain(1000..2000);
        members
            .map(|key| holder("ISR", key))
            .for_each(|(partner, key)| known.note(&partner, key, [192, 0, 2, 1].into(), true));
        Shares::new(quota, one, known)
    }

    /// Takes one at a time until no more is given.
    fn all_there_is(shares: &Arc<Shares>, holder: &(PartnerCode, Sha256)) -> (Vec<Share>, Full) {
        let mut taken = Vec::new();
        loop {
            match shares.take_as(holder.clone(), shares.one) {
                Ok(share) => taken.push(share),
                Err(full) => return (taken, full),
            }
        }
    }

    #[test]
    fn member_ends_before_its_partner_and_a_partner_before_everybody() {
        let shares = shares(12, 4, 2);
        let (own, full) = all_there_is(&shares, &holder("ISR", 1));
        assert_eq!((own.len(), full), (2, Full::Member));
        let (of_colleague, full) = all_there_is(&shares, &holder("ISR", 2));
        assert_eq!((of_colleague.len(), full), (2, Full::Member));
        let _kept = shares.take_as(holder("ISR", 3), 1).unwrap();
        assert_eq!(shares.take_as(holder("ISR", 4), 1).unwrap_err(), Full::Partner);
        let take = |partner: &str, key| shares.take_as(holder(partner, key), 1);
        let _korean: Vec<_> = [1, 2, 3, 4].map(|key| take("KOR", key).unwrap()).into();
        let mut american: Vec<_> = [1, 1, 2].map(|key| take("USA", key).unwrap()).into();
        assert_eq!(take("USA", 3).unwrap_err(), Full::Everybody);
        american.pop();
        assert!(take("USA", 3).is_ok());
    }

    #[test]
    fn greedy_ones_leave_something_to_those_who_hold_nothing_however_many_act_together() {
        let places = REQUESTS.into();
        let bytes = BODY_BYTES.into();
        for (one, quota) in [(1, places), (SMALL_BODY_BYTES, bytes)] {
            for colleagues in [7, 9, 30] {
                let shares = of_size(one, quota);
                let mut held = Vec::new();
                for partner in ["ISR", "KOR", "USA"] {
                    for key in 0..colleagues {
                        held.push(all_there_is(&shares, &holder(partner, key)).0);
                    }
                    // Any of them who holds nothing, who may be their registrar.
                    let registrar = shares.take_as(holder(partner, 99), one);
                    assert!(registrar.is_ok(), "{partner}: {:?}", held.iter().map(Vec::len).collect::<Vec<_>>());
                    held.push(registrar.into_iter().collect());
                }
                let innocent = shares.take_as(holder("GBR", 1), one);
                assert!(innocent.is_ok(), "{:?}", held.iter().map(Vec::len).collect::<Vec<_>>());
                drop((held, innocent));
                let left = shares.lock();
                assert_eq!((left.total, left.kept.len()), (0, 0));
            }
        }
    }

    #[test]
    fn registrar_gets_a_few_small_things_though_more_colleagues_act_together_than_any_share_is_for() {
        let places = REQUESTS.into();
        let bytes = BODY_BYTES.into();
        for (one, quota) in [(1, places), (SMALL_BODY_BYTES, bytes)] {
            for colleagues in [7, 70, 200, 900] {
                let shares = of_size(one, quota);
                let mut held = Vec::new();
                for partner in ["ISR", "KOR", "USA", "GBR"] {
                    // All there is, and then all that is kept, one by one.
                    for key in (1000..1000 + colleagues).chain(1000..1000 + colleagues) {
                        held.push(all_there_is(&shares, &holder(partner, key)).0);
                    }
                }
                for partner in ["ISR", "KOR", "USA", "GBR"] {
                    // Whether a key card is known to name the certificate or not, as after a start.
                    for key in [99, 100] {
                        let take = || shares.take_for(holder(partner, key), true, one);
                        let few: Vec<_> = (0..SMALL_THINGS_OF_A_REGISTRAR).map(|_| take()).collect();
                        assert!(few.iter().all(Result::is_ok), "{colleagues} of {partner}");
                        if colleagues > 200 {
                            assert!(take().is_err() && shares.take_for(holder(partner, key), true, one + 1).is_err());
                            let no_registrar = shares.take_as(holder(partner, 98), one);
                            assert!(no_registrar.is_err(), "it is for registrars alone");
                        }
                    }
                }
                drop(held);
                let left = shares.lock();
                assert_eq!((left.total, left.kept.len(), left.strangers.len()), (0, 0, 0));
            }
        }
    }

    #[test]
    fn what_is_kept_for_those_who_hold_nothing_is_bounded() {
        let shares = shares(32, 16, 16);
        let greedy: Vec<_> = (0..9).map(|key| all_there_is(&shares, &holder("ISR", key)).0).collect();
        let more: Vec<_> = (9..50).filter_map(|key| shares.take_as(holder("ISR", key), 1).ok()).collect();
        let held: usize = greedy.iter().map(Vec::len).sum();
        assert_eq!(held + more.len(), 16 + 4, "a quarter more, and one for each");
        assert_eq!(shares.take_as(holder("ISR", 50), 1).unwrap_err(), Full::Partner);
        assert!(shares.take_as(holder("KOR", 1), 1).is_ok());
        // Of a certificate that no key card is known to name, as after a start, half of it.
        let shares = self::shares(32, 16, 16);
        let greedy: Vec<_> = (0..3).map(|key| all_there_is(&shares, &holder("ISR", key)).0).collect();
        let strangers: Vec<_> = (100..150).filter_map(|key| shares.take_as(holder("ISR", key), 1).ok()).collect();
        assert!((1..=4).contains(&strangers.len()), "{}", strangers.len());
        assert!(shares.take_as(holder("ISR", 9), 1).is_ok(), "a member has one all the same");
        drop(greedy);
    }

    #[test]
    fn certificates_without_a_key_card_have_little_each_and_a_quarter_together() {
        let shares = shares(1024, 512, 128);
        let (one, full) = all_there_is(&shares, &holder("ISR", 100));
        assert_eq!((one.len(), full), (8, Full::Member));
        let others: Vec<_> = (101..150).map(|key| all_there_is(&shares, &holder("ISR", key)).0).collect();
        assert_eq!(8 + others.iter().map(Vec::len).sum::<usize>(), 128);
        assert_eq!(shares.take_as(holder("ISR", 200), 1).unwrap_err(), Full::Partner);
        assert_eq!(all_there_is(&shares, &holder("ISR", 1)).0.len(), 128, "members have what they always have");
        // Of what is large they get one, since the first request after a start is a stranger's.
        let large = self::shares(1024, 512, 128);
        let first = large.take_as(holder("ISR", 100), 100).unwrap();
        assert_eq!(large.take_as(holder("ISR", 100), 1).unwrap_err(), Full::Member);
        drop(first);
        assert!(large.take_as(holder("ISR", 100), 100).is_ok());
    }

    #[test]
    fn limits_of_another_order_are_put_in_order() {
        let quota = Quota { total: 100, per_partner: 512, per_member: 128 }.ordered();
        assert_eq!(quota, Quota { total: 100, per_partner: 100, per_member: 100 });
        // A member that holds as much as is left gets no more, so nobody takes all.
        assert_eq!(all_there_is(&shares(100, 512, 128), &holder("ISR", 1)).0.len(), 51);
    }

    #[test]
    fn what_is_given_back_leaves_no_trace() {
        let shares = shares(9, 8, 3);
        let held: Vec<_> = [1, 2, 100].map(|key| shares.take_as(holder("ISR", key), 1).unwrap()).into();
        let (partner, key) = holder("ISR", 100);
        shares.known.note(&partner, key, [192, 0, 2, 1].into(), true);
        drop(held);
        let left = shares.lock();
        assert_eq!((left.total, left.partners.len(), left.members.len(), left.strangers.len()), (0, 0, 0, 0));
    }
}
