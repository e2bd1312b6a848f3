//! The key cards that a member had before the present one, as far as they still speak for what was signed under them.
//!
//! A registrar who renews a certificate does not take back what the old one signed; one who revokes a card without naming a
//! certificate does. So the exchange keeps every card, and the chain from the present card down is followed link by link: each
//! serial is the next lower one and each card is the registrar's. The host can hide the past, which makes signatures
//! unprovable, but cannot leave out the one card that took earlier keys back, nor put in a card. Nothing is ever sealed to a card
//! found here, and what this machine has seen as the newest stays so. They also say where the member worked at an instant.

use super::{Client, Result, verified::VerifiedMember};
use crate::{
    domain::{id::Sha256, member::PartnerRole},
    sealing::card::{CardStatus, KeyCard, PartnerCard},
    wire::directory::PublishedKeyCard,
};
use jiff::Timestamp;
use std::sync::Arc;

/// The serial of a member's newest card, and the cards below it that still speak.
pub(super) type Lineage = (u64, Arc<Vec<EarlierCard>>);

/// An earlier card, and the time in which it was the newest, by the exchange's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EarlierCard {
    card: KeyCard,
    published_at: Timestamp,
    replaced_at: Timestamp,
    /// Whether it speaks for what was signed under it: no later card took that back, and none is missing that could have.
    speaks: bool,
}

impl EarlierCard {
    /// Whether the card speaks for a signature by this key, recorded at this instant if that is known.
    fn vouches(&self, key: &Sha256, recorded_at: Option<Timestamp>) -> bool {
        self.speaks
            && self.card.status == CardStatus::Active
            && self.card.pins(key)
            && recorded_at.is_none_or(|at| {
                let in_force = self.published_at <= at && at <= self.replaced_at;
                in_force && self.card.check_usable(at).is_ok()
            })
    }
}

impl Client {
    /// Whether an earlier card of the member speaks for a signature by this key.
    pub(super) async fn signed_earlier(
        &self,
        member: &VerifiedMember,
        key: &Sha256,
        recorded_at: Option<Timestamp>,
    ) -> Result<bool> {
        Ok(self.lineage(&member.card).await?.iter().any(|earlier| earlier.vouches(key, recorded_at)))
    }

    /// Whether the present or an earlier card vouches for a signer in a role of the partner, which others may have by now.
    pub(super) async fn signed_as(
        &self,
        member: &VerifiedMember,
        key: &Sha256,
        role: PartnerRole,
        recorded_at: Timestamp,
    ) -> Result<bool> {
        let has_role = |card: &KeyCard| card.roles.contains(&role);
        if member.card.pins(key) && has_role(&member.card) {
            return Ok(true);
        }
        let earlier = self.lineage(&member.card).await?;
        Ok(earlier.iter().any(|earlier| has_role(&earlier.card) && earlier.vouches(key, Some(recorded_at))))
    }

    /// Where the member worked at the instant, by their key cards; none if the chain of cards does not reach so far.
    pub(super) async fn employer_at(&self, member: &VerifiedMember, at: Timestamp) -> Result<Option<String>> {
        let lineage = self.lineage(&member.card).await?;
        Ok(card_at(&member.card, &lineage, at).map(|card| card.organisation.clone()))
    }

    async fn lineage(&self, newest: &KeyCard) -> Result<Arc<Vec<EarlierCard>>> {
        if newest.serial == 1 {
            return Ok(Arc::default());
        }
        if let Some(lineage) = self.0.directory.lineages.get_at(&newest.member, &newest.serial) {
            return Ok(lineage);
        }
        let partner = self.partner(newest.member.partner()).await?;
        let published = match self.api().key_cards(&newest.member).await {
            // An exchange of before the cards were kept.
            Err(error) if error.is_not_found() => Vec::new(),
            published => published?,
        };
        let lineage = Arc::new(follow(newest, &published, &partner));
        self.0.directory.lineages.insert(newest.member.clone(), (newest.serial, lineage.clone()));
        Ok(lineage)
    }
}

/// The cards of one member as a file has them: the newest first, each with the time of its publication.
#[derive(Debug)]
pub(super) struct OfferedCards {
    newest: KeyCard,
    published_at: Timestamp,
    earlier: Vec<EarlierCard>,
}

impl OfferedCards {
    /// Reads them, offline: the partner's card is all that is believed. None if there is none.
    pub(super) fn read(published: &[PublishedKeyCard], partner: &PartnerCard) -> Result<Option<Self>> {
        let Some(first) = published.first() else { return Ok(None) };
        let newest = KeyCard::verify_issued(&first.key_card, partner)?.statement;
        let earlier = follow(&newest, published, partner);
        Ok(Some(Self { newest, published_at: first.published_at.0, earlier }))
    }

    /// The card that vouches for a signature by this key, recorded at this instant.
    pub(super) fn vouching(&self, key: &Sha256, recorded_at: Timestamp) -> Option<&KeyCard> {
        let newest = &self.newest;
        if self.published_at <= recorded_at && newest.pins(key) && newest.check_usable(recorded_at).is_ok() {
            return Some(newest);
        }
        let mut vouching = self.earlier.iter().filter(|earlier| earlier.vouches(key, Some(recorded_at)));
        vouching.next().map(|earlier| &earlier.card)
    }

    /// The last instant, this one or before it, at which the newest card named the key; this one if none did.
    pub(super) fn last_named(&self, key: &Sha256, until: Timestamp) -> Timestamp {
        if self.newest.pins(key) && self.published_at <= until {
            return until;
        }
        let mut naming = self.earlier.iter().filter(|earlier| earlier.card.pins(key) && earlier.published_at <= until);
        naming.next().map_or(until, |earlier| earlier.replaced_at.min(until))
    }
}

/// The card that was the newest at the instant; the first one of all if there was none yet. None if it is not among these.
fn card_at<'c>(newest: &'c KeyCard, earlier: &'c [EarlierCard], at: Timestamp) -> Option<&'c KeyCard> {
    let later = earlier.iter().take_while(|card| card.replaced_at > at).count();
    let found = later.checked_sub(1).map_or(newest, |last| &earlier[last].card);
    // A card below it had been replaced by then, or it is the first one, or it was published by then.
    let is_it =
        later < earlier.len() || found.serial == 1 || earlier.last().is_some_and(|card| card.published_at <= at);
    is_it.then_some(found)
}

/// The cards below the newest, as far as the chain holds. `published` begins with the newest.
fn follow(newest: &KeyCard, published: &[PublishedKeyCard], partner: &PartnerCard) -> Vec<EarlierCard> {
    let (mut chain, mut later, mut speaks) = (Vec::new(), newest.clone(), true);
    let Some((first, rest)) = published.split_first() else { return chain };
    let is_newest = |card: &KeyCard| card == newest;
    if !KeyCard::verify_issued(&first.key_card, partner).is_ok_and(|signed| is_newest(&signed.statement)) {
        return chain;
    }
    let mut replaced_at = first.published_at.0;
    for offered in rest {
        // INVARIANT: below a card that took keys back, and below one that is missing or not the registrar's, which may have, nothing speaks.
        let Ok(signed) = KeyCard::verify_issued(&offered.key_card, partner) else { break };
        let card = signed.statement;
        if card.member != later.member || card.serial >= later.serial {
            break;
        }
        speaks &= card.serial + 1 == later.serial && !later.takes_back();
        later = card.clone();
        let published_at = offered.published_at.0;
        chain.push(EarlierCard { card, published_at, replaced_at, speaks });
        replaced_at = published_at;
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::testing::{Nation, at};

    /// The cards of one member, the first with serial 1; published a month apart, shown the newest first.
    fn shown(nation: &Nation, cards: &[KeyCard]) -> Vec<PublishedKeyCard> {
        let month = |serial: u64| at(&format!("2026-{serial:02}-01T00:00:00Z"));
        let publish = |card: &KeyCard| PublishedKeyCard {
            serial: card.serial,
            key_card: nation.issue(card),
            published_at: month(card.serial).into(),
        };
        cards.iter().rev().map(publish).collect()
    }

    fn key(n: u64) -> Sha256 {
        Sha256::of(&n.to_be_bytes())
    }

    /// A card of its serial's own key.
    fn renewed(nation: &Nation, serial: u64) -> KeyCard {
        KeyCard { serial, certificates: vec![key(serial)], ..nation.member("avi").card }
    }

    fn revoked(nation: &Nation, serial: u64, certificates: Vec<Sha256>) -> KeyCard {
        let recipients = Vec::new();
        KeyCard { status: CardStatus::Revoked, recipients, certificates, ..renewed(nation, serial) }
    }

    fn speaks_for(chain: &[EarlierCard], n: u64, recorded_at: Option<&str>) -> bool {
        chain.iter().any(|earlier| earlier.vouches(&key(n), recorded_at.map(at)))
    }

    #[test]
    fn replaced_cards_speak_for_what_was_signed_while_they_were_the_newest() {
        let isr = Nation::new("ISR");
        let cards = [1, 2, 3].map(|serial| renewed(&isr, serial));
        let chain = follow(&cards[2], &shown(&isr, &cards), &isr.card);
        assert!(speaks_for(&chain, 1, None) && speaks_for(&chain, 2, None));
        assert!(!speaks_for(&chain, 9, None), "no card names this key");
        assert!(speaks_for(&chain, 1, Some("2026-01-20T00:00:00Z")));
        assert!(speaks_for(&chain, 2, Some("2026-02-20T00:00:00Z")));
        assert!(!speaks_for(&chain, 1, Some("2026-02-20T00:00:00Z")), "replaced by then");
        assert!(!speaks_for(&chain, 2, Some("2026-01-20T00:00:00Z")), "not published yet");
        let until = KeyCard { valid_until: at("2026-01-10T00:00:00Z"), ..cards[0].clone() };
        let cards = [until, cards[1].clone()];
        let chain = follow(&cards[1], &shown(&isr, &cards), &isr.card);
        assert!(!speaks_for(&chain, 1, Some("2026-01-20T00:00:00Z")), "expired by then");
    }

    #[test]
    fn signature_of_which_only_the_latest_time_is_known_is_judged_while_its_key_was_named() {
        let isr = Nation::new("ISR");
        let cards = [1, 2].map(|serial| renewed(&isr, serial));
        let offered = OfferedCards::read(&shown(&isr, &cards), &isr.card).unwrap().unwrap();
        let last = |n: u64, until: &str| offered.last_named(&key(n), at(until));
        assert_eq!(last(1, "2026-03-20T00:00:00Z"), at("2026-02-01T00:00:00Z"), "until it was replaced");
        assert_eq!(last(1, "2026-01-20T00:00:00Z"), at("2026-01-20T00:00:00Z"));
        assert_eq!(last(2, "2026-03-20T00:00:00Z"), at("2026-03-20T00:00:00Z"));
        assert!(offered.vouching(&key(1), last(1, "2026-03-20T00:00:00Z")).is_some());
        assert!(offered.vouching(&key(2), last(2, "2026-01-20T00:00:00Z")).is_none(), "not published yet");
        assert!(offered.vouching(&key(9), last(9, "2026-03-20T00:00:00Z")).is_none(), "no card names it");
    }

    #[test]
    fn revocation_without_certificates_takes_back_all_before_it() {
        let isr = Nation::new("ISR");
        let cards = [renewed(&isr, 1), revoked(&isr, 2, Vec::new()), renewed(&isr, 3), renewed(&isr, 4)];
        let chain = follow(&cards[3], &shown(&isr, &cards), &isr.card);
        assert!(speaks_for(&chain, 3, None) && !speaks_for(&chain, 1, None));
        let kept = [renewed(&isr, 1), renewed(&isr, 2), revoked(&isr, 3, vec![key(2)]), renewed(&isr, 4)];
        let chain = follow(&kept[3], &shown(&isr, &kept), &isr.card);
        assert!(speaks_for(&chain, 1, None) && speaks_for(&chain, 2, None), "who left keeps what they signed");
        assert!(!speaks_for(&chain, 2, Some("2026-03-20T00:00:00Z")), "but signs no more");
    }

    #[test]
    fn host_that_leaves_out_the_revocation_proves_nothing() {
        let isr = Nation::new("ISR");
        let cards = [renewed(&isr, 1), revoked(&isr, 2, Vec::new()), renewed(&isr, 3)];
        let mut offered = shown(&isr, &cards);
        offered.remove(1);
        assert!(!speaks_for(&follow(&cards[2], &offered, &isr.card), 1, None));
        // Nor with a card of its own making in the place, nor that of somebody else.
        for forged in
            [Nation::new("ISR").issue(&renewed(&isr, 2)), isr.issue(&KeyCard { serial: 2, ..isr.member("noa").card })]
        {
            let mut offered = shown(&isr, &cards);
            offered[1].key_card = forged;
            assert!(follow(&cards[2], &offered, &isr.card).is_empty());
        }
    }

    #[test]
    fn member_worked_where_the_card_that_was_the_newest_said() {
        let isr = Nation::new("ISR");
        let at_work = |serial: u64, organisation: &str| KeyCard {
            organisation: organisation.to_owned(),
            ..renewed(&isr, serial)
        };
        let taken_back = KeyCard { organisation: "Second".into(), ..revoked(&isr, 2, Vec::new()) };
        let cards = [at_work(1, "First"), taken_back, at_work(4, "Fourth")];
        let chain = follow(&cards[2], &shown(&isr, &cards), &isr.card);
        let worked = |instant: &str| card_at(&cards[2], &chain, at(instant)).unwrap().organisation.as_str();
        assert_eq!(worked("2026-04-01T00:00:00Z"), "Fourth", "from the instant on at which it was published");
        assert_eq!(worked("2026-03-31T23:59:59Z"), "Second", "whatever was taken back");
        assert_eq!(worked("2026-01-01T00:00:00Z"), "First", "beyond a serial that was left out, too");
        assert_eq!(worked("2025-01-01T00:00:00Z"), "First", "there was no other yet");
        assert!(!speaks_for(&chain, 1, None) && !speaks_for(&chain, 2, None));
        // Hidden, or signed by somebody who is no longer a registrar: what is left does not say it.
        assert_eq!(card_at(&cards[2], &[], at("2026-01-01T00:00:00Z")), None);
        assert_eq!(card_at(&cards[2], &chain[..1], at("2026-01-20T00:00:00Z")), None);
        assert!(card_at(&cards[2], &chain[..1], at("2026-02-20T00:00:00Z")).is_some());
        assert!(card_at(&cards[2], &chain[..1], at("2026-04-20T00:00:00Z")).is_some());
        assert!(card_at(&cards[0], &[], at("2026-01-01T00:00:00Z")).is_some());
    }

    #[test]
    fn chain_begins_with_the_card_that_is_the_newest() {
        let isr = Nation::new("ISR");
        let cards = [1, 2, 3].map(|serial| renewed(&isr, serial));
        let other = KeyCard { name: "Somebody else".into(), ..cards[2].clone() };
        assert!(follow(&other, &shown(&isr, &cards), &isr.card).is_empty());
        assert!(follow(&cards[2], &shown(&isr, &cards[..2]), &isr.card).is_empty());
        assert!(follow(&cards[2], &[], &isr.card).is_empty());
    }
}
