//! Who keeps the office of a registrar: a partner card names registrars by their keys, so somebody who gets another key has the office only once
//! the partner card names that one, too.

use super::{Client, ClientError, Result};
use crate::{
    domain::{
        id::{PartnerCode, Sha256},
        member::PartnerRole,
    },
    sealing::card::{CardStatus, KeyCard},
};
use std::{collections::BTreeSet, path::Path};

impl Client {
    /// Refuses a key card with which a registrar would have a key that the nation's pinned partner card does not name: nobody would believe
    /// what it vouches for, and the key that the partner card names may be gone by then.
    pub(super) fn check_office(&self, before: Option<&KeyCard>, after: &KeyCard) -> Result<()> {
        let code = after.member.partner();
        // Where no card is pinned nothing is published, and what refuses that says so.
        let Some(pinned) = self.home().pinned(code)? else { return Ok(()) };
        match unnamed_key(&pinned.card.registrars, before, after) {
            None => Ok(()),
            Some(key) => Err(ClientError::usage(
                format!(
                    "`{}` would be a registrar whose key the partner card of `{code}` does not name: {key}",
                    after.member
                ),
                next_card(&self.home().pin_path(code), code, key),
            )),
        }
    }
}

/// The key that the member is to use from then on, if it is one of a registrar and the partner card does not name it. A card that changes
/// neither key nor role takes nothing from anybody.
fn unnamed_key<'c>(registrars: &BTreeSet<Sha256>, before: Option<&KeyCard>, after: &'c KeyCard) -> Option<&'c Sha256> {
    let is_registrar =
        |card: &KeyCard| card.status == CardStatus::Active && card.roles.contains(&PartnerRole::Registrar);
    let is_as_before = before.is_some_and(|before| is_registrar(before) && before.certificates == after.certificates);
    // The newest key stands first.
    after.certificates.first().filter(|key| is_registrar(after) && !is_as_before && !registrars.contains(*key))
}

/// What gets the key into the partner card, in the order in which nobody is without a registrar.
fn next_card(pinned: &Path, code: &PartnerCode, key: &Sha256) -> String {
    format!(
        "add the key to the card first and leave the present ones in it: `entente partner card renew '{}' --registrar {key} --to \
         {code}-card-next.json`; once the host has enrolled that, pin it with `entente trust fetch {code} --fingerprint FINGERPRINT`, \
         and do this again",
        pinned.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::testing::Nation;

    #[test]
    fn registrar_gets_no_key_that_the_partner_card_does_not_name() {
        let isr = Nation::new("ISR");
        let (avi, noa) = (isr.member("avi").card.clone(), isr.member("noa").card.clone());
        let (first, second) = (avi.certificates[0], noa.certificates[0]);
        let registrar = KeyCard { roles: [PartnerRole::Registrar].into(), ..avi.clone() };
        let named = BTreeSet::from([first]);
        let renewed = KeyCard { certificates: vec![second, first], ..registrar.clone() };
        assert_eq!(unnamed_key(&named, Some(&registrar), &renewed), Some(&second), "renewed");
        assert_eq!(unnamed_key(&BTreeSet::from([first, second]), Some(&registrar), &renewed), None);
        let newest = KeyCard { certificates: vec![second], ..registrar.clone() };
        assert_eq!(unnamed_key(&named, Some(&renewed), &newest), Some(&second), "the key with the office would end");
        assert_eq!(unnamed_key(&named, None, &newest), Some(&second), "somebody new");
        assert_eq!(unnamed_key(&BTreeSet::from([second]), Some(&avi), &registrar), Some(&first), "the role alone");
        // No registrar, one whose office ends, and one of whom something else changes.
        assert_eq!(unnamed_key(&named, Some(&avi), &KeyCard { certificates: vec![second], ..avi.clone() }), None);
        let revoked = KeyCard { status: CardStatus::Revoked, ..newest.clone() };
        assert_eq!(unnamed_key(&named, Some(&newest), &revoked), None);
        let moved = KeyCard { organisation: "Haifa Photonics".to_owned(), ..newest.clone() };
        assert_eq!(unnamed_key(&named, Some(&newest), &moved), None);
    }
}
