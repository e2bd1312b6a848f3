//! `/trust`: the partner cards that this machine believes, and how one is pinned: by the fingerprint that the partner's officials told, typed.
//!
//! The fingerprint of a card that is not pinned is never shown: it would be copied and not compared.

use super::{
    answer::{page, see},
    frame::{Frame, Section, Visit},
    guard::{LONGEST_FORM, fields},
    words::{PagePart, Trouble, grouped, part, trouble},
};
use crate::{
    client::{
        ClientError, Result,
        directory::{ListedPartner, typed_fingerprint},
    },
    domain::{id::PartnerCode, name::visible},
};
use askama::Template;
use axum::{
    body::{Body, to_bytes},
    http::StatusCode,
    response::Response,
};

#[derive(Template)]
#[template(path = "trust.html")]
struct TrustPage {
    frame: Frame,
    partners: PagePart<Vec<TrustRow>>,
    /// What was wrong with what was typed, and for which partner.
    refused: Option<(String, Trouble)>,
}

struct TrustRow {
    code: String,
    name: String,
    zone: String,
    takes_part: &'static str,
    state: PinState,
    /// Of the pinned card.
    fingerprint: Vec<String>,
    /// What was wrong with what was typed for it.
    refused: Option<Trouble>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PinState {
    Pinned,
    /// The exchange holds another card than the pinned one.
    Differs,
    NotPinned,
}

/// Shows partners and pins.
pub(super) async fn show(visit: Visit) -> Response {
    let page = trust_page(&visit, None).await;
    visit.answer(Section::Trust, Ok(page)).await
}

/// Pins a card.
pub(super) async fn pin(visit: Visit, body: Body) -> Response {
    let form = to_bytes(body, LONGEST_FORM).await.unwrap_or_default();
    let (mut partner, mut typed) = (String::new(), String::new());
    for (name, value) in fields(&form) {
        match name.as_str() {
            "partner" => value.trim().clone_into(&mut partner),
            "fingerprint" => value.trim().clone_into(&mut typed),
            _ => {}
        }
    }
    match pin_typed(&visit, &partner, &typed).await {
        Ok(code) => see(&format!("/trust#{code}")),
        Err(error) => {
            let refused = trust_page(&visit, Some((partner, trouble(&error)))).await;
            page(StatusCode::UNPROCESSABLE_ENTITY, &refused)
        }
    }
}

async fn pin_typed(visit: &Visit, partner: &str, typed: &str) -> Result<PartnerCode> {
    let code: PartnerCode = partner.parse().map_err(|_| {
        ClientError::usage(format!("`{partner}` is not the code of a partner"), "choose one of the list")
    })?;
    let fingerprint = typed_fingerprint(typed)
        .map_err(|fault| ClientError::usage(fault, "type what the partner's officials told you"))?;
    visit.unlocked.client.pin_offered(&code, &fingerprint).await?;
    Ok(code)
}

async fn trust_page(visit: &Visit, refused: Option<(String, Trouble)>) -> TrustPage {
    let listed = visit.unlocked.client.list_partners().await;
    let of = |code: &str| refused.as_ref().filter(|(partner, _)| partner == code).map(|(_, trouble)| trouble.clone());
    let rows = listed.map(|listed| listed.iter().map(|line| row(line, of(line.partner.code.as_str()))).collect());
    let partners: PagePart<Vec<TrustRow>> = part(rows);
    let is_in_a_row = partners.as_ref().is_ok_and(|rows| rows.iter().any(|row| row.refused.is_some()));
    TrustPage { frame: visit.frame(Section::Trust, "Trust").await, refused: refused.filter(|_| !is_in_a_row), partners }
}

fn row(line: &ListedPartner, refused: Option<Trouble>) -> TrustRow {
    let ListedPartner { partner, pinned, is_verified } = line;
    TrustRow {
        code: partner.code.to_string(),
        name: visible(&partner.name),
        zone: visible(&partner.zone),
        takes_part: match (partner.is_host, partner.suspended.is_some()) {
            (_, true) => "suspended",
            (true, false) => "as host",
            (false, false) => "yes",
        },
        state: match (pinned, is_verified) {
            (None, _) => PinState::NotPinned,
            (Some(_), true) => PinState::Pinned,
            (Some(_), false) => PinState::Differs,
        },
        fingerprint: pinned.as_ref().map(grouped).unwrap_or_default(),
        refused,
    }
}
