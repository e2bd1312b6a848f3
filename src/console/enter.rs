//! `/enter`: where an address of the console arrives. The page shows whose console it is; its button lets the browser in.
//!
//! Nothing is used up by looking at the page, so that a program that looks at addresses takes nobody's.

use super::{
    answer::{page, see},
    fields::Fields,
    frame::Frame,
    guard::cookies,
    secret::Secret,
    sessions::Entered,
    state::Console,
};
use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};

#[derive(Template)]
#[template(path = "enter.html")]
struct EnterPage {
    frame: Frame,
    word: String,
}

#[derive(Template)]
#[template(path = "not_entered.html")]
struct NotEnteredPage {
    frame: Frame,
    /// Whether another browser came by the address before.
    is_used: bool,
}

/// Shows whose console it is.
pub(super) async fn show(State(console): State<Console>, headers: HeaderMap, fields: Fields) -> Response {
    // A browser that is in came back to its address.
    if cookies(&headers, &console.cookie).any(|cookie| console.sessions.find(cookie).is_some()) {
        return see("/");
    }
    let word = fields.exact("word").to_owned();
    if !console.sessions.knows(&word) {
        return not_entered(&console, false);
    }
    let frame = Frame::closed(&console, "Open the console", None);
    let mut response = page(StatusCode::OK, &EnterPage { frame, word });
    // By it a button that is pressed twice is known.
    let name = visitor_cookie(&console);
    if cookies(&headers, &name).next().is_none() {
        set_cookie(&mut response, &name, &Secret::new(&*console.ambient.rng));
    }
    response
}

/// Lets the browser in, once by each word.
pub(super) async fn enter(State(console): State<Console>, headers: HeaderMap, fields: Fields) -> Response {
    let name = visitor_cookie(&console);
    let visitor = cookies(&headers, &name).next().unwrap_or_default();
    match console.sessions.enter(fields.exact("word"), visitor, &*console.ambient.rng) {
        Entered::In(cookie) => {
            // Keys that no passphrase protects are open now; for others the next page asks.
            let _ = console.open(Vec::new()).await;
            let mut response = see("/");
            set_cookie(&mut response, &console.cookie, &cookie);
            response
        }
        Entered::Unknown => not_entered(&console, false),
        Entered::Twice => {
            console.lock.lock();
            not_entered(&console, true)
        }
    }
}

fn not_entered(console: &Console, is_used: bool) -> Response {
    let frame = Frame::anonymous(console, "Not open here");
    page(StatusCode::FORBIDDEN, &NotEnteredPage { frame, is_used })
}

/// The cookie of a browser at the door. Another one than that of a session, which a page at the door must not take away.
fn visitor_cookie(console: &Console) -> String {
    format!("{}-door", console.cookie)
}

fn set_cookie(response: &mut Response, name: &str, value: &Secret) {
    let cookie = format!("{name}={}; HttpOnly; SameSite=Strict; Path=/", value.expose());
    let cookie = HeaderValue::from_str(&cookie).expect("its name and value are letters, digits and signs of base64url");
    response.headers_mut().append(header::SET_COOKIE, cookie);
}
