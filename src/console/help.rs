//! `/help`: what keys of the keyboard do, and what words of the pages mean.

use super::{
    answer::see,
    fields::Fields,
    frame::{Frame, Section, Visit},
};
use askama::Template;
use axum::response::Response;

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
pub(super) async fn turn(visit: Visit, fields: Fields) -> Response {
    visit.console.sessions.turn_shortcuts(&visit.session, fields.get("shortcuts") == "on");
    see("/help")
}
