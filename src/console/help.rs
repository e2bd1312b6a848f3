//! `/help`: what keys of the keyboard do, and what words of the pages mean.

use super::{
    answer::see,
    frame::{Frame, Section, Visit},
    guard::{LONGEST_FORM, fields},
};
use askama::Template;
use axum::{
    body::{Body, to_bytes},
    response::Response,
};

#[derive(Template)]
#[template(path = "help.html")]
struct HelpPage {
    frame: Frame,
}

/// Shows it.
pub(super) async fn show(visit: Visit) -> Response {
    let frame = visit.frame(Section::Other, "Help").await;
    visit.answer(Section::Other, Ok(HelpPage { frame })).await
}

/// Turns what single keys do on or off.
pub(super) async fn turn(visit: Visit, body: Body) -> Response {
    let form = to_bytes(body, LONGEST_FORM).await.unwrap_or_default();
    let are_on = fields(&form).iter().any(|(name, value)| name == "shortcuts" && value.as_str() == "on");
    visit.console.sessions.turn_shortcuts(&visit.session, are_on);
    see("/help")
}
