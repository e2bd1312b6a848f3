//! `/unlock` and `/lock`: the passphrase opens the member's keys for this console, and a button forgets them.

use super::{
    answer::{page, see},
    fields::Fields,
    frame::Frame,
    keys::Unlocking,
    sessions::BrowserSession,
    state::Console,
    words::{SentencePiece, Trouble, pieces, trouble},
};
use crate::sealing::identity::SecretText;
use askama::Template;
use axum::{Extension, extract::State, http::StatusCode, response::Response};

/// So many passphrases may be tried at once: a profile has two files, as a rule.
const FIELDS: usize = 4;

#[derive(Template)]
#[template(path = "unlock.html")]
struct UnlockPage {
    frame: Frame,
    /// Where to go on.
    next: String,
    /// What is not open yet, and why.
    closed: Option<Vec<SentencePiece>>,
    trouble: Option<Trouble>,
}

/// Asks for the passphrase.
pub(super) async fn show(
    State(console): State<Console>,
    Extension(session): Extension<BrowserSession>,
    fields: Fields,
) -> Response {
    let next = place(fields.exact("next"));
    if console.lock.is_open() {
        return see(&next);
    }
    let frame = Frame::closed(&console, "Unlock", Some(&session));
    page(StatusCode::OK, &UnlockPage { frame, next, closed: None, trouble: None })
}

/// Opens the keys.
pub(super) async fn unlock(
    State(console): State<Console>,
    Extension(session): Extension<BrowserSession>,
    fields: Fields,
) -> Response {
    let next = place(fields.exact("next"));
    let typed = fields.each("passphrase").filter(|passphrase| !passphrase.is_empty()).take(FIELDS);
    let typed: Vec<SecretText> = typed.map(|passphrase| SecretText::from(passphrase.to_owned())).collect();
    let is_empty = typed.is_empty();
    let (closed, trouble) = match console.open(typed).await {
        Ok(Unlocking::Open) => return see(&next),
        Ok(Unlocking::Closed(file)) if is_empty => (Some(pieces(&format!("type the {file}"))), None),
        Ok(Unlocking::Closed(file)) => (Some(pieces(&format!("nothing that you typed is the {file}"))), None),
        Err(error) => (None, Some(trouble(&error))),
    };
    let frame = Frame::closed(&console, "Unlock", Some(&session));
    page(StatusCode::UNPROCESSABLE_ENTITY, &UnlockPage { frame, next, closed, trouble })
}

/// Forgets the keys.
pub(super) async fn lock(State(console): State<Console>) -> Response {
    console.lock.lock();
    see("/unlock")
}

/// A place within the console; anything else is its first page.
fn place(place: &str) -> String {
    // `//other.example` and `/\other.example` are other places to a browser.
    let is_within = place.starts_with('/')
        && !place[1..].starts_with(['/', '\\'])
        && place.bytes().all(|byte| byte.is_ascii_graphic());
    if is_within { place.to_owned() } else { "/".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere_after_the_passphrase() {
        assert_eq!(place("/search?q=a%20b"), "/search?q=a%20b");
        for elsewhere in ["//evil.example", "/\\evil.example", "https://evil.example", "", "javascript:a", "/a\r\nb"] {
            assert_eq!(place(elsewhere), "/", "{elsewhere}");
        }
    }
}
