//! What a nation's registrars and policy officers want to see at a glance: who vouches, which rules hold, what waits, and what ends when. Of
//! other nations the same, as far as the caller may see it.
//!
//! Registrars and authorities are those of the card that is pinned here; of a nation whose card is not confirmed nothing is shown of them.

use super::{
    Client, ClientError, Result,
    directory::{ListedMember, ListedPartner},
    partner_cards::authorities,
};
use crate::{
    domain::{
        expiry::{NearEnd, has_ended, near_end},
        id::{MemberId, PartnerCode, Sha256},
        policy::PolicyOwner,
    },
    sealing::{
        card::{CardStatus, KeyCard},
        certificates::AuthorityCertificate,
    },
    wire::{directory::PartnerTrustReport, policy::PolicyVersion},
};
use jiff::{SignedDuration, Timestamp};

/// A partner at an instant.
#[derive(Debug)]
pub struct PartnerStatus {
    pub partner: ListedPartner,
    /// Of the pinned card.
    pub authorities: Vec<AuthorityCertificate>,
    /// Of the pinned card.
    pub registrars: Vec<RegistrarStatus>,
    /// The version of its policies that is in force, verified.
    pub policy: Option<PolicyVersion>,
    /// Versions that wait for a second officer or for their time.
    pub waiting: Vec<PolicyVersion>,
    /// Members with a key card in force.
    pub members_in_force: usize,
    /// Key cards that end soon or have ended, the first one first.
    pub ending: Vec<CardEnd>,
    /// For registrars and policy officers of the partner itself. The exchange's word.
    pub trust: Option<PartnerTrustReport>,
    /// By the exchange's clock.
    pub now: Timestamp,
}

/// A registrar of a partner card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrarStatus {
    pub key: Sha256,
    /// Whose key card names the key; nobody's while the registrar has not published one.
    pub holder: Option<RegistrarHolder>,
}

/// Who vouches with a registrar's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrarHolder {
    pub member: MemberId,
    pub is_in_force: bool,
    pub card_until: Timestamp,
}

/// The end of a key card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardEnd {
    pub member: MemberId,
    pub ends_at: Timestamp,
    /// None once it has ended.
    pub near: Option<NearEnd>,
}

impl Client {
    /// The status of a partner; of the caller's own if none is named.
    pub async fn partner_status(&self, code: Option<&PartnerCode>) -> Result<PartnerStatus> {
        let own = self.member_id().await?.partner().clone();
        let code = code.unwrap_or(&own);
        let listed = self.list_partners().await?.into_iter().find(|listed| listed.partner.code == *code);
        let partner = listed.ok_or_else(|| {
            let what = format!("`{code}` is not a partner of this exchange");
            ClientError::usage(what, "see `entente partner list`")
        })?;
        let pinned = self.home().pinned(code)?.filter(|_| partner.is_verified);
        let members = self.list_members(Some(code)).await?;
        let now = self.exchange_now();
        let cards = || members.iter().filter_map(card_of);
        let (mut registrars, mut authorities_of) = (Vec::new(), Vec::new());
        if let Some(pinned) = &pinned {
            authorities_of = authorities(&pinned.card)?;
            registrars = pinned.card.registrars.iter().map(|key| registrar(*key, cards(), now)).collect();
        }
        let owner = PolicyOwner::Partner(code.clone());
        let (policy, waiting) = if pinned.is_some() {
            let policy = unless_suspended(self.policy_in_force(&owner).await)?.flatten();
            (policy, unless_suspended(self.waiting_policies(&owner).await)?.unwrap_or_default())
        } else {
            (None, Vec::new())
        };
        let trust = if *code == own { permitted(self.api().partner_trust(code).await)? } else { None };
        let members_in_force = cards().filter(|card| is_usable(card, now)).count();
        let ending = ending_cards(cards(), now);
        Ok(PartnerStatus {
            partner,
            authorities: authorities_of,
            registrars,
            policy,
            waiting,
            members_in_force,
            ending,
            trust,
            now,
        })
    }

    /// The key cards of the caller's nation among these that end soon or have ended, the first one first.
    pub async fn own_ending_cards(&self, members: &[ListedMember]) -> Result<Vec<CardEnd>> {
        let own = self.member_id().await?.partner().clone();
        let cards = members.iter().filter_map(card_of).filter(|card| *card.member.partner() == own);
        Ok(ending_cards(cards, self.exchange_now()))
    }
}

/// Whether a key card is in force. The exchange's clock is known to the second, and a card can begin within it.
fn is_usable(card: &KeyCard, now: Timestamp) -> bool {
    card.check_usable(now).is_ok() || card.check_usable(now + SignedDuration::from_secs(1)).is_ok()
}

fn card_of(listed: &ListedMember) -> Option<&KeyCard> {
    listed.verified.as_ref().ok().map(|verified| &verified.card)
}

fn ending_cards<'a>(cards: impl Iterator<Item = &'a KeyCard>, now: Timestamp) -> Vec<CardEnd> {
    let active = cards.filter(|card| card.status == CardStatus::Active);
    let ending = active.filter_map(|card| {
        let near = near_end(card.valid_until, now);
        let is_told = near.is_some() || has_ended(card.valid_until, now);
        is_told.then(|| CardEnd { member: card.member.clone(), ends_at: card.valid_until, near })
    });
    let mut found: Vec<CardEnd> = ending.collect();
    found.sort_by(|one, other| (one.ends_at, &one.member).cmp(&(other.ends_at, &other.member)));
    found
}

fn registrar<'a>(key: Sha256, mut cards: impl Iterator<Item = &'a KeyCard>, now: Timestamp) -> RegistrarStatus {
    let holder = cards.find(|card| card.pins(&key)).map(|card| RegistrarHolder {
        member: card.member.clone(),
        is_in_force: is_usable(card, now),
        card_until: card.valid_until,
    });
    RegistrarStatus { key, holder }
}

/// None where only registrars and policy officers of the partner are answered.
fn permitted<T>(answered: Result<T>) -> Result<Option<T>> {
    match answered {
        Err(error) if error.slug() == Some("denied") => Ok(None),
        answered => answered.map(Some),
    }
}

/// None where the caller's partner is suspended: a registrar sees what is left to see.
fn unless_suspended<T>(answered: Result<T>) -> Result<Option<T>> {
    match answered {
        Err(error) if error.slug() == Some("partner-suspended") => Ok(None),
        answered => answered.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::testing::Nation;

    #[test]
    fn registrar_is_seen_once_a_key_card_names_the_key_and_ends_are_told_in_order() {
        let isr = Nation::new("ISR");
        let (mut avi, mut noa, mut lior) =
            (isr.member("avi").card.clone(), isr.member("noa").card.clone(), isr.member("lior").card.clone());
        let now = avi.valid_from + SignedDuration::from_hours(24);
        let in_days = |days: i64| now + SignedDuration::from_hours(24 * days);
        (avi.valid_until, noa.valid_until, lior.valid_until) = (in_days(40), in_days(5), in_days(400));
        let mut gone = KeyCard { status: CardStatus::Revoked, ..noa.clone() };
        gone.valid_until = in_days(3);
        let cards = [avi.clone(), noa.clone(), lior, gone];
        let ending = ending_cards(cards.iter(), now);
        let told: Vec<_> = ending.iter().map(|end| (end.member.handle(), end.near.unwrap().within)).collect();
        assert_eq!(told, [("noa", 7), ("avi", 60)], "who was revoked is not warned of");
        let later = ending_cards(cards.iter(), in_days(6));
        assert_eq!(later[0].near, None, "it has ended");
        let key = avi.certificates[0];
        let seen = registrar(key, cards.iter(), now).holder.unwrap();
        assert_eq!((seen.member.handle(), seen.is_in_force), ("avi", true));
        assert_eq!(registrar(Sha256::of(b"another"), cards.iter(), now).holder, None);
    }
}
