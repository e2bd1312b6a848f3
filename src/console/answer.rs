//! What the console answers with: pages by their templates, redirections after acts, and plain words where there is no page.

use askama::Template;
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

/// A page.
pub(super) fn page(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => (status, [(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))], html)
            .into_response(),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("this page could not be written: {error}\n")),
    }
}

/// Words without a page, for who has not come by an address of the console.
pub(super) fn plain(status: StatusCode, words: &str) -> Response {
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    (status, [(header::CONTENT_TYPE, kind)], words.to_owned()).into_response()
}

/// After an act: the browser goes on with a page, and pressing reload does nothing twice.
pub(super) fn see(path: &str) -> Response {
    let place = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response()
}

/// There is no such page.
pub(super) fn not_found() -> Response {
    plain(StatusCode::NOT_FOUND, "There is no such page in the console.\n")
}
