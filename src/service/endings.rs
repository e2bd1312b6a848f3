//! What ends soon: key cards, and certificates that came to this server. Members are told of their own, registrars and policy officers of their
//! nation's, and the operator of numbers alone.
//!
//! When a certificate ends only the certificate says, and the exchange keeps none. So this server notes the ends of those that come, in memory,
//! as far as they are near.

use super::{Exchange, Principal, Result, time, unit::View};
use crate::{
    domain::{
        expiry::{WARNED_DAYS, has_ended, horizon, near_end},
        id::{PartnerCode, Sha256},
    },
    policy::{Action, Resource},
    share_table::KNOWN_CERTIFICATES_PER_PARTNER,
    storage::{Tx, members, partners},
    wire::directory::{PartnerTrustReport, SeenCertificate},
};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Certificates that came to this server since it was started and end soon, by their keys.
#[derive(Debug, Default)]
pub struct SeenCertificates(Mutex<BTreeMap<PartnerCode, NotedEnds>>);

/// When the certificates of one partner end, as many as are kept: of more those that end first.
#[derive(Debug, Default)]
struct NotedEnds {
    by_key: BTreeMap<Sha256, Timestamp>,
    by_end: BTreeSet<(Timestamp, Sha256)>,
}

/// How many of something end within 60, 30 and 7 days; each number counts those of the next one, too.
pub type EndingCounts = [u64; WARNED_DAYS.len()];

/// What of a partner ends soon.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartnerEndings {
    pub key_cards: EndingCounts,
    pub certificates: EndingCounts,
}

/// Until when a partner's revocation lists hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListsHeld {
    pub are_needed: bool,
    /// When the first of those in force expires.
    pub until: Option<Timestamp>,
}

impl SeenCertificates {
    /// Notes a certificate that a key card in force names, if it ends soon.
    pub fn note(&self, partner: &PartnerCode, certificate: Sha256, ends_at: Timestamp, now: Timestamp) {
        if near_end(ends_at, now).is_none() {
            return;
        }
        self.lock().entry(partner.clone()).or_default().note(certificate, ends_at, now);
    }

    /// Those of a partner that have not ended.
    fn of(&self, partner: &PartnerCode, now: Timestamp) -> BTreeMap<Sha256, Timestamp> {
        let mut seen = self.lock();
        let Some(of_partner) = seen.get_mut(partner) else { return BTreeMap::new() };
        of_partner.drop_ended(now);
        of_partner.by_key.clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PartnerCode, NotedEnds>> {
        // Nothing that holds the lock can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NotedEnds {
    /// Notes one. It is asked with every request, so the usual case, one that is known, costs next to nothing.
    fn note(&mut self, certificate: Sha256, ends_at: Timestamp, now: Timestamp) {
        match self.by_key.get(&certificate) {
            Some(known) if *known == ends_at => return,
            Some(known) => {
                self.by_end.remove(&(*known, certificate));
            }
            None => {
                self.drop_ended(now);
                if self.by_key.len() >= KNOWN_CERTIFICATES_PER_PARTNER {
                    let Some(latest) = self.by_end.last().copied().filter(|(end, _)| *end > ends_at) else { return };
                    self.by_end.remove(&latest);
                    self.by_key.remove(&latest.1);
                }
            }
        }
        self.by_key.insert(certificate, ends_at);
        self.by_end.insert((ends_at, certificate));
    }

    fn drop_ended(&mut self, now: Timestamp) {
        while let Some(ended) = self.by_end.first().copied().filter(|(end, _)| has_ended(*end, now)) {
            self.by_end.remove(&ended);
            self.by_key.remove(&ended.1);
        }
    }
}

/// What ends soon, of every partner that is enrolled.
pub async fn endings(exchange: &Exchange) -> Result<BTreeMap<PartnerCode, PartnerEndings>> {
    let mut tx = exchange.db.read().await?;
    let now = time::of_view(exchange, &mut tx).await?;
    let mut found = BTreeMap::new();
    let mut cards = members::ending(&mut tx, now, WARNED_DAYS.map(|days| horizon(now, days))).await?;
    for row in partners::all(&mut tx).await? {
        let seen = certificates(exchange, &mut tx, &row.partner, now).await?;
        let key_cards = cards.remove(&row.partner).unwrap_or_default();
        let ends = || seen.iter().map(|seen| seen.ends_at.0);
        let certificates = WARNED_DAYS.map(|days| ends().filter(|end| *end <= horizon(now, days)).count() as u64);
        found.insert(row.partner, PartnerEndings { key_cards, certificates });
    }
    Ok(found)
}

/// What the exchange goes by when it judges a partner's certificates, for its registrars and policy officers.
pub async fn trust_report(
    exchange: &Exchange,
    principal: &Principal,
    code: &PartnerCode,
    lists: ListsHeld,
) -> Result<PartnerTrustReport> {
    let mut view = View::open(exchange, principal).await?;
    let vouches = view.authorize(Action::PublishKeyCard, Resource::Partner(code));
    vouches.or_else(|_| view.authorize(Action::ExplainMembers, Resource::Partner(code)))?;
    let now = view.now;
    Ok(PartnerTrustReport {
        needs_lists: lists.are_needed,
        lists_until: lists.until.map(Into::into),
        certificates: certificates(exchange, &mut view.tx, code, now).await?,
    })
}

/// The certificates of a partner that end soon, the next one first, as far as a key card names them still.
async fn certificates(
    exchange: &Exchange,
    tx: &mut Tx,
    code: &PartnerCode,
    now: Timestamp,
) -> Result<Vec<SeenCertificate>> {
    let seen = exchange.seen_certificates.of(code, now);
    let keys: BTreeSet<Sha256> = seen.keys().copied().collect();
    let named = members::behind(tx, code, &keys).await?;
    let named = seen.into_iter().filter_map(|(certificate, ends_at)| {
        let member = named.get(&certificate)?.clone();
        Some(SeenCertificate { member, certificate, ends_at: ends_at.into() })
    });
    let mut found: Vec<_> = named.collect();
    found.sort_by(|one, other| (one.ends_at, &one.member).cmp(&(other.ends_at, &other.member)));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    #[test]
    fn certificates_are_noted_once_they_end_soon_and_until_they_have_ended() {
        let seen = SeenCertificates::default();
        let (israel, now): (PartnerCode, Timestamp) = ("ISR".parse().unwrap(), "2026-03-01T12:00:00Z".parse().unwrap());
        let in_days = |days: i64| now + SignedDuration::from_hours(24 * days);
        for (key, days) in [(b"past", -1), (b"soon", 5), (b"next", 59), (b"late", 61)] {
            seen.note(&israel, Sha256::of(key), in_days(days), now);
        }
        let noted = |at: Timestamp| seen.of(&israel, at).into_values().collect::<BTreeSet<_>>();
        assert_eq!(noted(now), [in_days(5), in_days(59)].into());
        assert_eq!(noted(in_days(6)), [in_days(59)].into());
        assert!(seen.of(&"KOR".parse().unwrap(), now).is_empty());
        // The same key in a later certificate.
        seen.note(&israel, Sha256::of(b"soon"), in_days(40), now);
        assert_eq!(noted(now), [in_days(40), in_days(59)].into());
    }

    #[test]
    fn of_too_many_certificates_those_that_end_first_are_noted() {
        let (mut noted, now): (_, Timestamp) = (NotedEnds::default(), "2026-03-01T12:00:00Z".parse().unwrap());
        let most = i64::try_from(KNOWN_CERTIFICATES_PER_PARTNER).unwrap();
        let end = |minutes: i64| now + SignedDuration::from_mins(minutes);
        for number in 1..=most {
            noted.note(Sha256::of(&number.to_be_bytes()), end(2 * number), now);
        }
        noted.note(Sha256::of(b"later than all"), end(2 * most + 1), now);
        noted.note(Sha256::of(b"earlier than some"), end(3), now);
        let kept: Vec<Timestamp> = noted.by_end.iter().map(|(end, _)| *end).collect();
        assert_eq!((kept.len(), noted.by_key.len()), (KNOWN_CERTIFICATES_PER_PARTNER, KNOWN_CERTIFICATES_PER_PARTNER));
        assert!(kept.contains(&end(3)) && kept.last() == Some(&end(2 * most - 2)), "{:?}", kept.last());
        // What has ended makes room.
        noted.note(Sha256::of(b"later than all"), end(2 * most + 1), end(10));
        assert!(noted.by_end.first().unwrap().0 >= end(10) && noted.by_end.len() < KNOWN_CERTIFICATES_PER_PARTNER);
    }
}
