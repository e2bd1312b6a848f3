//! Forecasts of what registrars do with key cards, and of a member's renewal: which keys count from then on, who has to wrap keys again, and
//! until when.

use super::{Effect, Forecast, Undo};
use crate::{
    client::{Client, Result, directory::NewKeyCard},
    domain::{
        id::{MemberId, Sha256},
        member::PartnerRole,
    },
    sealing::card::{CardStatus, KeyCard},
};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// What a change of somebody's keys would do.
#[derive(Debug, Clone, PartialEq)]
pub struct CardForecast {
    /// The newest key card; none for a first one.
    pub before: Option<KeyCard>,
    /// The next one; none where its keys are not made yet.
    pub after: Option<KeyCard>,
    pub forecast: Forecast,
}

impl Client {
    /// What publishing a key card would do (registrars).
    pub async fn forecast_issue(&self, new: &NewKeyCard) -> Result<CardForecast> {
        let after = self.plan_key_card(new).await?;
        let before = match self.present_card(&new.member).await {
            Ok(before) => before,
            // The first card of a partner is its registrar's own, who is nobody here before it.
            Err(error) if error.slug() == Some("not-a-member") => None,
            Err(error) => return Err(error),
        };
        Ok(forecast_of(before, after))
    }

    /// What a change of a key card whose keys stay would do, as planned (registrars).
    #[must_use]
    pub fn forecast_move(&self, before: KeyCard, after: KeyCard) -> CardForecast {
        forecast_of(Some(before), after)
    }

    /// What revoking a member's key card would do (registrars).
    pub async fn forecast_revocation(&self, member: &MemberId, keep_signatures: bool) -> Result<CardForecast> {
        let before = self.fetch_member(member).await?.card.clone();
        let mut effects = if before.status == CardStatus::Revoked {
            vec![Effect::that("the card is revoked already")]
        } else {
            vec![Effect::at("the card in force would be valid until", before.valid_until)]
        };
        let undo = if keep_signatures {
            effects.push(Effect::that("the member can no longer connect, and nothing more is sealed to them"));
            effects.push(Effect::that("what they signed so far stays provable"));
            Undo::Meanwhile(
                "another card lets them in again: `entente key-card issue`, `entente member replace`".to_owned(),
            )
        } else {
            effects.push(Effect::that(
                "nothing that the member ever signed is believed any longer, and nobody can open the vaults that the member made, nor \
                 the proposals in them",
            ));
            Undo::Nobody
        };
        let forecast = Forecast::new(format!("revoking the key card of {member}"), effects, undo);
        Ok(CardForecast { before: Some(before), after: None, forecast })
    }

    /// What inviting a member to make other keys would lead to, once their answer is approved (registrars).
    pub async fn forecast_replacement(&self, member: &MemberId, expires_at: Timestamp) -> Result<CardForecast> {
        let before = self.issued_member(member).await?.card.clone();
        let now = self.now();
        let mut effects = vec![Effect::at("the invitation is good until", expires_at)];
        if before.check_usable(now).is_ok() {
            effects.push(Effect::at(
                "the keys in force count until you approve the answer; the key card ends at",
                before.valid_until,
            ));
        } else {
            effects.push(Effect::that("no key of the member is in force"));
        }
        effects.extend(
            before
                .certificates
                .iter()
                .map(|key| Effect::that(format!("once you approve, {} no longer connects", short(key)))),
        );
        effects.push(Effect::that(
            "once you approve, members who hold keys wrap them again for the new recipient; agents do it by themselves",
        ));
        let undo = Undo::Meanwhile("nothing changes before `entente member approve`, which asks".to_owned());
        let forecast = Forecast::new(format!("inviting {member} to make other keys"), effects, undo);
        Ok(CardForecast { before: Some(before), after: None, forecast })
    }

    /// What making a new key for oneself would lead to, once the registrar approves it.
    pub async fn forecast_renewal(&self) -> Result<CardForecast> {
        let me = self.member_id().await?;
        let before = self.recent_member(&me).await?.card.clone();
        let ends = self.key_expiry().await?;
        let mut effects = vec![
            Effect::at("the certificate in force serves until the welcome comes, and ends at", ends.certificate),
            Effect::at("the key card, which the registrar replaces, ends at", ends.key_card),
            Effect::that("nobody wraps keys again: the recipients stay"),
        ];
        if before.roles.contains(&PartnerRole::Registrar) {
            effects.push(Effect::that(OFFICE_STAYS));
        }
        let undo = Undo::Yourself("entente member renew --again".to_owned());
        let forecast = Forecast::new(format!("asking for another certificate for {me}"), effects, undo);
        Ok(CardForecast { before: Some(before), after: None, forecast })
    }
}

/// What a registrar's renewal takes before it is approved.
const OFFICE_STAYS: &str = "the partner card names registrars by their keys, and the request is approved once it names the new one, too: \
                            `entente partner card renew` adds it, and everybody confirms the fingerprint, which takes its time";

/// What follows from one card in the place of another.
fn forecast_of(before: Option<KeyCard>, after: KeyCard) -> CardForecast {
    let member = &after.member;
    let mut effects = Vec::new();
    if let Some(before) = &before {
        let gone = before.certificates.iter().filter(|key| !after.certificates.contains(key));
        effects.extend(gone.map(|key| Effect::that(format!("{} no longer connects or signs", short(key)))));
        let gone = before.recipients.iter().filter(|recipient| !after.recipients.contains(recipient));
        effects.extend(gone.map(|recipient| Effect::that(format!("nothing more is sealed to {recipient}"))));
        let was: BTreeSet<&String> = before.recipients.iter().collect();
        let new = after.recipients.iter().filter(|recipient| !was.contains(recipient));
        effects.extend(new.map(|recipient| {
            Effect::that(format!("members who hold keys wrap them again for {recipient}; agents do it by themselves"))
        }));
        effects.extend(
            before.roles.difference(&after.roles).map(|role| Effect::that(format!("{member} is no longer {role}"))),
        );
        if before.organisation != after.organisation {
            effects.push(Effect::that(format!("{member} judges nothing of parties at `{}`", after.organisation)));
        }
    } else {
        effects.push(Effect::that(format!("{member} can connect, and others seal to them")));
    }
    effects.push(Effect::at("the key card is valid until", after.valid_until));
    let (act, undo) = match &before {
        Some(_) => (format!("replacing the key card of {member}"), "entente key-card issue"),
        None => (format!("publishing the first key card of {member}"), "entente key-card revoke"),
    };
    let forecast = Forecast::new(act, effects, Undo::Yourself(format!("{undo} {member}")));
    CardForecast { before, after: Some(after), forecast }
}

/// The beginning of a key's digest, as people compare it.
fn short(key: &Sha256) -> String {
    format!("the key {:.12}…", key.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::testing::Nation;

    fn said(before: &KeyCard, after: &KeyCard) -> Vec<String> {
        forecast_of(Some(before.clone()), after.clone())
            .forecast
            .effects
            .into_iter()
            .map(|effect| effect.what)
            .collect()
    }

    #[test]
    fn card_forecast_says_which_keys_end_and_who_wraps_again() {
        let isr = Nation::new("ISR");
        let (avi, noa) = (isr.member("avi").card.clone(), isr.member("noa").card.clone());
        assert_eq!(said(&avi, &avi), ["the key card is valid until"]);
        let other_keys =
            KeyCard { recipients: noa.recipients.clone(), certificates: noa.certificates.clone(), ..avi.clone() };
        let told = said(&avi, &other_keys);
        let has = |words: &str| told.iter().any(|line| line.contains(words));
        assert!(has(&format!("{} no longer connects or signs", short(&avi.certificates[0]))), "{told:?}");
        assert!(has(&format!("nothing more is sealed to {}", avi.recipients[0])), "{told:?}");
        assert!(has(&format!("wrap them again for {}", noa.recipients[0])), "{told:?}");
        let moved = KeyCard { organisation: "Haifa Photonics".to_owned(), ..avi.clone() };
        assert_eq!(said(&avi, &moved)[0], "ISR:avi judges nothing of parties at `Haifa Photonics`");
        let first = forecast_of(None, avi.clone()).forecast;
        assert_eq!(first.undo, Undo::Yourself("entente key-card revoke ISR:avi".to_owned()));
    }
}
