//! Who signed: by the key cards in a dossier, under partner cards that its reader believes.

use super::Dossier;
use crate::{
    client::{
        ClientError, Result,
        lineage::OfferedCards,
        receipt::{MOST_CARDS, TrustedCard, believe, vouched},
        verify::invalid,
    },
    domain::id::{MemberId, PartnerCode},
    sealing::{
        card::KeyCard,
        statement::{Signed, Statement, verify_signed},
    },
};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// The key cards of a dossier, each verified once.
pub(super) struct Vouchers {
    /// Why a partner's card is not believed, or the card.
    partners: BTreeMap<PartnerCode, Result<TrustedCard>>,
    /// Why a member's key cards say nothing, or the cards.
    members: BTreeMap<MemberId, Result<OfferedCards>>,
}

impl Vouchers {
    pub(super) fn new(dossier: &Dossier, trusted: &[TrustedCard]) -> Self {
        let codes = dossier.key_cards.keys().map(MemberId::partner).chain([&dossier.lead]);
        let partners: BTreeMap<PartnerCode, Result<TrustedCard>> =
            codes.map(|code| (code.clone(), believe(code, dossier.partner_cards.get(code), trusted))).collect();
        let read = |member: &MemberId| {
            let Some(Ok(partner)) = partners.get(member.partner()) else {
                return Err(invalid(format!("the card of `{}` is not known to be theirs", member.partner())));
            };
            let cards = &dossier.key_cards[member];
            if cards.len() > MOST_CARDS {
                return Err(invalid(format!("it has more than {MOST_CARDS} key cards of `{member}`")));
            }
            let cards = OfferedCards::read(cards, &partner.card)?;
            cards.ok_or_else(|| invalid(format!("the dossier has no key card of `{member}`")))
        };
        let members = dossier.key_cards.keys().map(|member| (member.clone(), read(member))).collect();
        Self { partners, members }
    }

    /// A statement that the member signed, by a key card and a certificate of that time.
    pub(super) fn signed<T: Statement>(&self, jws: &str, by: Option<&MemberId>, at: Timestamp) -> Result<Signed<T>> {
        let signed: Signed<T> = verify_signed(jws)?;
        let by = by.ok_or_else(|| invalid("nobody is known to have signed it"))?;
        self.card(&signed, by, at)?;
        Ok(signed)
    }

    /// The card by which the member signed.
    pub(super) fn card<T: Statement>(&self, signed: &Signed<T>, by: &MemberId, at: Timestamp) -> Result<&KeyCard> {
        vouched(signed, by, at, Some(self.cards(by)?))
    }

    /// The same of what was recorded at that time or before: it is judged at the last instant at which their cards named the key.
    pub(super) fn card_until<T: Statement>(
        &self,
        signed: &Signed<T>,
        by: &MemberId,
        until: Timestamp,
    ) -> Result<&KeyCard> {
        let at = self.cards(by)?.last_named(&signed.signer_spki, until);
        self.card(signed, by, at)
    }

    fn cards(&self, of: &MemberId) -> Result<&OfferedCards> {
        match (self.partners.get(of.partner()), self.members.get(of)) {
            (Some(Err(error)), _) | (_, Some(Err(error))) => Err(again(error)),
            (_, Some(Ok(cards))) => Ok(cards),
            (_, None) => Err(invalid(format!("the dossier has no key card of `{of}`"))),
        }
    }

    /// The partner cards that are believed.
    pub(super) fn believed(self) -> BTreeMap<PartnerCode, TrustedCard> {
        self.partners.into_iter().filter_map(|(code, card)| Some((code, card.ok()?))).collect()
    }
}

/// The same fault, of another statement.
fn again(error: &ClientError) -> ClientError {
    ClientError::unverified(error.to_string(), error.help())
}
