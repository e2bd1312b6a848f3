//! `/me`: the member's card, keys and their ends, and how they are renewed.

use super::{
    frame::{Frame, Section, Visit},
    words::{SentencePiece, When, grouped, pieces},
};
use crate::{
    client::{Result, own_standing::StandingNote},
    domain::name::visible,
};
use askama::Template;
use axum::response::Response;

#[derive(Template)]
#[template(path = "me.html")]
struct MePage {
    frame: Frame,
    profile: String,
    server: String,
    member: String,
    partner: String,
    organisation: String,
    roles: String,
    host: String,
    certificate: Vec<String>,
    exchange_time: When,
    note: Option<Vec<SentencePiece>>,
    key_card_ends: Option<When>,
    certificate_ends: Option<When>,
    recipients: Vec<String>,
}

/// Shows who the member is.
pub(super) async fn show(visit: Visit) -> Response {
    let made = me(&visit).await;
    visit.answer(Section::Me, made).await
}

async fn me(visit: &Visit) -> Result<MePage> {
    let (client, zone) = (&visit.unlocked.client, &visit.unlocked.zone);
    let standing = client.own_standing(zone).await?;
    let me = standing.me;
    // Where the own nation's card is not pinned, nothing is known of the key card.
    let ends = client.key_expiry().await.ok();
    let now = client.exchange_now();
    let when = |at| When::new(at, now, zone);
    let roles: Vec<String> = me.roles.iter().map(ToString::to_string).collect();
    Ok(MePage {
        frame: visit.frame(Section::Me, "Me").await,
        profile: client.profile().name.clone(),
        server: visible(&client.profile().server),
        member: me.member.as_ref().map(ToString::to_string).unwrap_or_default(),
        partner: me.partner.to_string(),
        organisation: me.organisation.as_deref().map(visible).unwrap_or_default(),
        roles: roles.join(", "),
        host: me.host.to_string(),
        certificate: grouped(&me.certificate),
        exchange_time: when(me.now.0),
        note: standing.note.map(|note| match note {
            StandingNote::Warning(note) | StandingNote::Hint(note) => pieces(&note),
        }),
        key_card_ends: ends.as_ref().map(|ends| when(ends.key_card)),
        certificate_ends: ends.as_ref().map(|ends| when(ends.certificate)),
        recipients: client.own_recipients().await.unwrap_or_default(),
    })
}
