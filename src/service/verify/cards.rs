//! Partner cards, and the key cards that their registrars signed: which key is whose.

use super::{Named, Report, Verifier};
use crate::{
    domain::id::{MemberId, PartnerCode, Sha256},
    sealing::{
        card::{KeyCard, PartnerCard},
        statement::verify_signed,
    },
    service::Result,
    storage::{
        StoreError,
        db::tables::{Column, ColumnKind, Snapshot},
    },
};
use serde::de::IgnoredAny;
use std::collections::{HashMap, HashSet};

/// The keys that key cards of a member ever named.
#[derive(Default)]
pub(super) struct Pins(HashMap<MemberId, HashSet<Sha256>>);

impl Pins {
    pub(super) fn has(&self, member: &MemberId, key: &Sha256) -> bool {
        self.0.get(member).is_some_and(|keys| keys.contains(key))
    }

    /// Whether it is a key of some member of the partner.
    pub(super) fn has_of(&self, partner: &PartnerCode, key: &Sha256) -> bool {
        self.0.iter().any(|(member, keys)| member.partner() == partner && keys.contains(key))
    }
}

/// The registrars that cards of a partner ever named.
type Registrars = HashMap<PartnerCode, HashSet<Sha256>>;

const PARTNERS: &[Column] =
    &[("partner", ColumnKind::Text), ("card", ColumnKind::Text), ("card_sha256", ColumnKind::Text)];

const ENTRIES: &[Column] = &[("seq", ColumnKind::Int), ("kind", ColumnKind::Text), ("payload", ColumnKind::Text)];

const KEY_CARDS: &[Column] =
    &[("member", ColumnKind::Text), ("serial", ColumnKind::Int), ("key_card", ColumnKind::Text)];

impl Verifier<'_> {
    pub(super) async fn cards(&mut self, snapshot: &mut Snapshot<'_>) -> Result<Pins> {
        let (mut registrars, report) = (Registrars::new(), &mut self.report);
        snapshot
            .each("partners", &PARTNERS[..1], PARTNERS, |cells| {
                partner_card(&Named { columns: PARTNERS, cells: &cells }, &mut registrars, report);
                Ok::<_, StoreError>(())
            })
            .await?;
        snapshot
            .each("log_entries", &ENTRIES[..1], ENTRIES, |cells| {
                entry(&Named { columns: ENTRIES, cells: &cells }, &mut registrars, report);
                Ok::<_, StoreError>(())
            })
            .await?;
        let mut pins = Pins::default();
        for (table, key) in [("key_cards", &KEY_CARDS[..2]), ("members", &KEY_CARDS[..1])] {
            snapshot
                .each(table, key, KEY_CARDS, |cells| {
                    let row = Named { columns: KEY_CARDS, cells: &cells };
                    match key_card(&row, &registrars) {
                        Ok(card) => pins.0.entry(card.member).or_default().extend(card.certificates),
                        Err(fault) => {
                            let what = format!("key card {} of {} in `{table}`", row.int("serial"), row.text("member"));
                            report.found(what, fault);
                        }
                    }
                    report.statement();
                    Ok::<_, StoreError>(())
                })
                .await?;
        }
        Ok(pins)
    }
}

fn partner_card(row: &Named<'_>, registrars: &mut Registrars, report: &mut Report<'_>) {
    let what = || format!("the card of partner {}", row.text("partner"));
    if !row.has_digest("card", "card_sha256") {
        report.found(what(), "does not have the digest on record");
    }
    match PartnerCard::from_json(row.text("card").as_bytes()) {
        Ok(card) if card.code.as_str() == row.text("partner") => {
            registrars.entry(card.code).or_default().extend(card.registrars);
        }
        Ok(_) => report.found(what(), "is the card of another partner"),
        Err(error) => report.found(what(), error.to_string()),
    }
}

/// An entry of the log, which may bring a partner card of an earlier time.
fn entry(row: &Named<'_>, registrars: &mut Registrars, report: &mut Report<'_>) {
    let what = || format!("entry {} of the log", row.int("seq"));
    let payload = row.text("payload");
    if !row.text("kind").starts_with("partner.") {
        if serde_json::from_str::<IgnoredAny>(payload).is_err() {
            report.found(what(), "its payload is not JSON");
        }
        return;
    }
    let Ok(payload) = serde_json::from_str::<serde_json::Value>(payload) else {
        return report.found(what(), "its payload is not JSON");
    };
    let Some(card) = payload["card"].as_str() else { return };
    match PartnerCard::from_json(card.as_bytes()) {
        Ok(card) => registrars.entry(card.code).or_default().extend(card.registrars),
        Err(error) => report.found(what(), error.to_string()),
    }
}

fn key_card(row: &Named<'_>, registrars: &Registrars) -> Result<KeyCard, String> {
    let signed = verify_signed::<KeyCard>(row.text("key_card")).map_err(|error| error.to_string())?;
    let card = signed.statement;
    if card.member.to_string() != row.text("member") || i64::try_from(card.serial) != Ok(row.int("serial")) {
        return Err("is the card of another member or another number".to_owned());
    }
    if !registrars.get(card.member.partner()).is_some_and(|keys| keys.contains(&signed.signer_spki)) {
        return Err("is not signed by a registrar of its partner".to_owned());
    }
    Ok(card)
}
