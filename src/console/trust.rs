//! `/trust`: the partner cards that this machine believes, and how one is pinned: by the fingerprint that the partner's officials told, typed.
//!
//! The fingerprint of a card that is not pinned is never shown: it would be copied and not compared.

use super::{
    answer::{page, see},
    fields::Fields,
    frame::{Frame, Section, Visit},
    words::{PagePart, Trouble, grouped, part, trouble},
};
use crate::{
    client::{
        ClientError, Result,
        directory::{ListedPartner, typed_fingerprint},
    },
    domain::{id::PartnerCode, name::visible, text::counted},
};
use askama::Template;
use axum::{http::StatusCode, response::Response};

#[derive(Template)]
#[template(path = "trust.html")]
struct TrustPage {
    frame: Frame,
    partners: PagePart<Vec<TrustRow>>,
    /// What was wrong with a form that is of no partner of the list.
    refused: Option<Trouble>,
    /// The partner whose card was just pinned.
    pinned: Option<String>,
    count: String,
}

struct TrustRow {
    code: String,
    name: String,
    zone: String,
    takes_part: &'static str,
    state: PinState,
    /// Of the pinned card.
    fingerprint: Vec<String>,
    /// What was typed for it, and what was wrong with that.
    refused: Option<(String, Trouble)>,
}

/// What is to be done comes before what is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum PinState {
    /// The exchange holds another card than the pinned one.
    Differs,
    NotPinned,
    Pinned,
}

/// What was typed into the form of a partner, and what is wrong with it.
struct RefusedPin {
    partner: String,
    typed: String,
    trouble: Trouble,
}

/// Shows partners and pins.
pub(super) async fn show(visit: Visit, fields: Fields) -> Response {
    let mut page = trust_page(&visit, None).await;
    let pinned = page.partners.iter().flatten().find(|row| row.is_pinned(fields.get("pinned")));
    page.pinned = pinned.map(|row| row.code.clone());
    visit.answer(Section::Trust, Ok(page)).await
}

/// Pins a card.
pub(super) async fn pin(visit: Visit, fields: Fields) -> Response {
    let (partner, typed) = (fields.get("partner").to_owned(), fields.get("fingerprint").to_owned());
    match pin_typed(&visit, &partner, &typed).await {
        Ok(code) => see(&format!("/trust?pinned={code}#{code}")),
        Err(error) => {
            let refused = trust_page(&visit, Some(RefusedPin { partner, typed, trouble: trouble(&error) })).await;
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

async fn trust_page(visit: &Visit, refused: Option<RefusedPin>) -> TrustPage {
    let listed = visit.unlocked.client.list_partners().await;
    let mut refused = refused;
    let mut of = |code: &str| {
        let found = refused.take_if(|refused| refused.partner == code)?;
        Some((visible(&found.typed), found.trouble))
    };
    let rows = listed.map(|listed| {
        let mut rows: Vec<_> = listed.iter().map(|line| row(line, of(line.partner.code.as_str()))).collect();
        // What has to be done comes first.
        rows.sort_by_key(|row| row.state);
        rows
    });
    let partners: PagePart<Vec<TrustRow>> = part(rows);
    let all = partners.as_ref().map(Vec::len).unwrap_or_default();
    let pinned = partners.iter().flatten().filter(|row| row.state == PinState::Pinned).count();
    TrustPage {
        frame: visit.frame(Section::Trust, "Trust").await,
        refused: refused.map(|refused| refused.trouble),
        partners,
        pinned: None,
        count: format!("{pinned} of {} pinned", counted(all as u64, "card is", "cards are")),
    }
}

impl TrustRow {
    fn is_pinned(&self, code: &str) -> bool {
        self.code == code && self.state == PinState::Pinned
    }
}

fn row(line: &ListedPartner, refused: Option<(String, Trouble)>) -> TrustRow {
    let ListedPartner { partner, pinned, is_verified } = line;
    TrustRow {
        code: partner.code.to_string(),
        name: visible(&partner.name),
        zone: visible(&partner.zone),
        takes_part: match (partner.is_host, partner.suspended.is_some()) {
            (_, true) => "suspended",
            (true, false) => "host",
            (false, false) => "takes part",
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
