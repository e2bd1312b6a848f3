//! A key card before and after, as every command shows it that changes one, with what follows from it.

use super::{
    act::{self, DryRun, Question},
    context::{Context, joined},
    error::Result,
    output::Screen,
};
use crate::{client::forecast::CardForecast, sealing::card::KeyCard};
use serde_json::{Value, json};
use std::future::ready;

/// Whether a change of somebody's keys goes ahead: as [`act::goes_ahead`], and both cards are shown before it is done.
///
/// # Errors
/// When the person at the terminal does not mean it, or nobody can be asked.
pub(super) async fn goes_ahead(
    context: &Context,
    card: &CardForecast,
    dry_run: DryRun,
    question: Question,
) -> Result<bool> {
    let zone = context.zone()?;
    let show = |screen: &mut Screen| {
        if let Some(newest) = card.after.as_ref().or(card.before.as_ref()) {
            changed(screen, card.before.as_ref(), newest);
        }
        act::show(screen, &card.forecast, &zone);
    };
    if dry_run.is_meant() {
        act::shown(context, &as_json(card), show)?;
        return Ok(false);
    }
    context.out.aside(show);
    act::goes_ahead(context, dry_run, question, ready(Ok(card.forecast.clone()))).await
}

/// A key card before and after.
pub(super) fn changed(screen: &mut Screen, before: Option<&KeyCard>, after: &KeyCard) {
    screen.heading(after.member.to_string().as_str());
    fields(screen, before, after);
}

/// What a key card says, with what it said before where that differs.
pub(super) fn fields(screen: &mut Screen, before: Option<&KeyCard>, after: &KeyCard) {
    let was = |was: Option<String>, is: String| match was {
        Some(was) if was != is => {
            format!("{} → {}", if was.is_empty() { "-" } else { &was }, if is.is_empty() { "-" } else { &is })
        }
        _ => is,
    };
    let of = |part: fn(&KeyCard) -> String| was(before.map(part), part(after));
    screen.fields(&[
        ("name", of(|card| card.name.clone())),
        ("organisation", of(|card| card.organisation.clone())),
        ("roles", of(|card| joined(&card.roles))),
        ("recipients", of(|card| card.recipients.join("\n"))),
        ("keys", of(|card| joined(&card.certificates).replace(' ', "\n"))),
    ]);
}

/// A change for programs.
pub(super) fn as_json(card: &CardForecast) -> Value {
    let member = card.after.as_ref().or(card.before.as_ref()).map(|card| &card.member);
    let mut answer = json!({ "member": member, "before": card.before, "after": card.after });
    let forecast = &card.forecast;
    for (name, value) in
        [("act", json!(forecast.act)), ("effects", json!(forecast.effects)), ("undo", json!(forecast.undo))]
    {
        answer[name] = value;
    }
    answer
}
