//! `/help`: the keys of the keyboard, and what words of the pages mean.

use super::frame::{Frame, Section, Visit};
use askama::Template;
use axum::response::Response;

#[derive(Template)]
#[template(path = "help.html")]
struct HelpPage {
    frame: Frame,
}

/// Shows it.
pub(super) async fn show(visit: Visit) -> Response {
    let frame = visit.frame(Section::Other, "Keys and words").await;
    visit.answer(Section::Other, Ok(HelpPage { frame })).await
}
