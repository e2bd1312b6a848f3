//! `/unlock` and `/lock`: the passphrase opens the member's keys for this console, and a button forgets them.

use super::{
    answer::{page, plain, see},
    frame::Frame,
    guard::{LONGEST_FORM, fields},
    keys::Unlocking,
    sessions::BrowserSession,
    state::Console,
    words::{SentencePiece, Trouble, pieces, trouble},
};
use crate::sealing::identity::SecretText;
use askama::Template;
use axum::{
    Extension,
    body::{Body, to_bytes},
    extract::{RawQuery, State},
    http::StatusCode,
    response::Response,
};

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
    RawQuery(query): RawQuery,
) -> Response {
    let next = place(fields(query.unwrap_or_default().as_bytes()).iter().find(|(name, _)| name == "next"));
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
    body: Body,
) -> Response {
    let Ok(form) = to_bytes(body, LONGEST_FORM).await else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE, "The form is longer than 64 KiB.\n");
    };
    let fields = fields(&form);
    let next = place(fields.iter().find(|(name, _)| name == "next"));
    let typed = fields.iter().filter(|(name, value)| name == "passphrase" && !value.is_empty());
    let typed: Vec<SecretText> =
        typed.take(FIELDS).map(|(_, passphrase)| SecretText::from(passphrase.to_string())).collect();
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
fn place<V: AsRef<str>>(field: Option<&(String, V)>) -> String {
    let place = field.map_or("/", |(_, value)| value.as_ref());
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
        let sent = |next: &str| place(Some(&("next".to_owned(), next)));
        assert_eq!(sent("/search?q=a%20b"), "/search?q=a%20b");
        for elsewhere in ["//evil.example", "/\\evil.example", "https://evil.example", "", "javascript:a", "/a\r\nb"] {
            assert_eq!(sent(elsewhere), "/", "{elsewhere}");
        }
        assert_eq!(place::<&str>(None), "/");
    }
}
