//! What stands before every page: whose request it is, where it comes from, and whether it may act.
//!
//! Decides by the name under which the console was asked for, by what the browser says of the page that asks, by the session's cookie, and
//! for acts by the word in the form. No page can forget any of it, since requests pass here first. It must never let a request through that
//! another site, another program's page or another browser made.

use super::{
    answer::{page, plain, see},
    fields::{Fields, LONGEST_FORM, too_long},
    frame::{Frame, Visit},
    sessions::BrowserSession,
    state::Console,
};
use askama::Template;
use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::Response,
};

/// The field of a form with the session's word.
const WORD_FIELD: &str = "csrf";

/// Headers of every answer: nothing is taken from elsewhere, shown within another page, or kept.
const ALWAYS: [(HeaderName, &str); 9] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // Not `no-referrer`: with it a browser hides from the console which page sent a form.
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-embedder-policy"), "require-corp"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("origin-agent-cluster"), "?1"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=(), browsing-topics=()",
    ),
];

/// What a request is for, as far as the guard has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    /// The page at which an address of the console arrives.
    Door,
    /// The console's style and script.
    Assets,
    /// Where passphrases are typed, and what forgets the keys: for who is in, whether the keys are open or not.
    Lock,
    /// Everything else.
    Inside,
}

impl Room {
    fn of(path: &str) -> Self {
        match path {
            "/enter" => Self::Door,
            "/unlock" | "/lock" => Self::Lock,
            _ if path.starts_with("/assets/") => Self::Assets,
            _ => Self::Inside,
        }
    }
}

/// Every request comes through here.
pub(super) async fn guard(State(console): State<Console>, request: Request, next: Next) -> Response {
    let mut response = match admit(&console, request).await {
        Ok(request) => run(&console, request, next).await,
        Err(refusal) => *refusal,
    };
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The page, unless the keys are forgotten before it is made: then nothing of it is shown.
async fn run(console: &Console, request: Request, next: Next) -> Response {
    let Some(visit) = request.extensions().get::<Visit>().cloned() else { return next.run(request).await };
    let acts = request.method() == Method::POST;
    tokio::select! {
        biased;
        () = visit.unlocked.ended() => {
            if acts { under_way(console, &visit.session) } else { see("/unlock") }
        }
        response = next.run(request) => response,
    }
}

/// The request with what its page needs, or why there is no page for it.
async fn admit(console: &Console, request: Request) -> Result<Request, Box<Response>> {
    let (mut parts, mut body) = request.into_parts();
    let room = Room::of(parts.uri.path());
    if let Some((status, words)) = from_elsewhere(console, &parts, room) {
        return Err(Box::new(plain(status, words)));
    }
    let acts = parts.method == Method::POST;
    let session = cookies(&parts.headers, &console.cookie).find_map(|cookie| console.sessions.find(cookie));
    if acts && room != Room::Door {
        let Some(session) = &session else { return Err(Box::new(stranger(console))) };
        body = with_word(body, session).await?;
    }
    match (room, session) {
        (Room::Door | Room::Assets, _) => {}
        (_, None) => return Err(Box::new(stranger(console))),
        (Room::Lock, Some(session)) => drop(parts.extensions.insert(session)),
        (Room::Inside, Some(session)) => match console.lock.used(console.ambient.clock.now()) {
            Some(unlocked) => {
                drop(parts.extensions.insert(Visit { console: console.clone(), session, unlocked }));
            }
            None => return Err(Box::new(locked(console, &parts, acts, &session))),
        },
    }
    Ok(Request::from_parts(parts, body))
}

/// What is wrong with where a request comes from.
fn from_elsewhere(console: &Console, parts: &Parts, room: Room) -> Option<(StatusCode, &'static str)> {
    let Parts { method, uri, headers, .. } = parts;
    let mut hosts = headers.get_all(header::HOST).iter();
    let is_ours = |name: &str| name == console.address.host;
    let named = hosts.next().is_some_and(|host| host.to_str().is_ok_and(is_ours)) && hosts.next().is_none();
    if !named || uri.authority().is_some_and(|name| !is_ours(name.as_str())) {
        return Some((StatusCode::FORBIDDEN, "This is not the address of the console.\n"));
    }
    let acts = method == Method::POST;
    if !acts && method != Method::GET && method != Method::HEAD {
        return Some((StatusCode::METHOD_NOT_ALLOWED, "The console answers GET and POST.\n"));
    }
    let elsewhere = (StatusCode::FORBIDDEN, "Another site asked for this in your browser. Nothing was done.\n");
    let site = only(headers, &HeaderName::from_static("sec-fetch-site"));
    let origin = only(headers, &header::ORIGIN);
    let (Ok(site), Ok(origin)) = (site, origin) else { return Some(elsewhere) };
    let may_come_from_anywhere = room == Room::Door && !acts;
    let is_same_site = match site {
        None | Some("same-origin") => true,
        // Typed, or opened by another program. No page acts that way.
        Some("none") => !acts,
        Some(_) => may_come_from_anywhere,
    };
    let is_same_origin = match origin {
        None => true,
        Some(origin) => origin == console.address.origin || (may_come_from_anywhere && origin == "null"),
    };
    // What acts says where it comes from.
    let is_said = !acts || site.is_some() || origin.is_some();
    (!is_same_site || !is_same_origin || !is_said).then_some(elsewhere)
}

/// The value of a header that may be there once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(drop),
        (Some(_), Some(_)) => Err(()),
    }
}

/// The cookies of that name. Other programs of this machine may have set some of their own.
pub(super) fn cookies<'h>(headers: &'h HeaderMap, name: &'h str) -> impl Iterator<Item = &'h str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(';')).filter_map(move |pair| {
        let (found, value) = pair.trim().split_once('=')?;
        (found == name).then_some(value)
    })
}

/// The body of a form, read, once it has the session's word.
async fn with_word(body: Body, session: &BrowserSession) -> Result<Body, Box<Response>> {
    let Ok(bytes) = to_bytes(body, LONGEST_FORM).await else {
        return Err(Box::new(too_long()));
    };
    let fields = Fields::read(&bytes);
    let mut words = fields.each(WORD_FIELD);
    let is_there = words.next().is_some_and(|word| session.csrf.is(word)) && words.next().is_none();
    if !is_there {
        let said = "This form is not of this session. Nothing was done; load the page again.\n";
        return Err(Box::new(plain(StatusCode::FORBIDDEN, said)));
    }
    Ok(Body::from(bytes))
}

#[derive(Template)]
#[template(path = "stranger.html")]
struct StrangerPage {
    frame: Frame,
}

/// A browser that did not come by an address of this console.
fn stranger(console: &Console) -> Response {
    let frame = Frame::anonymous(console, "Not open here");
    page(StatusCode::UNAUTHORIZED, &StrangerPage { frame })
}

#[derive(Template)]
#[template(path = "cut.html")]
struct CutPage {
    frame: Frame,
}

/// The keys were forgotten while an act was under way.
fn under_way(console: &Console, session: &BrowserSession) -> Response {
    let frame = Frame::closed(console, "Locked", Some(session));
    page(StatusCode::CONFLICT, &CutPage { frame })
}

#[derive(Template)]
#[template(path = "locked.html")]
struct LockedPage {
    frame: Frame,
}

/// The keys are forgotten: a page comes after the passphrase, an act has to be done again.
fn locked(console: &Console, parts: &Parts, acts: bool, session: &BrowserSession) -> Response {
    if acts {
        let frame = Frame::closed(console, "Locked", Some(session));
        return page(StatusCode::CONFLICT, &LockedPage { frame });
    }
    let place = parts.uri.path_and_query().map_or("/", |place| place.as_str());
    let next: String = form_urlencoded::byte_serialize(place.as_bytes()).collect();
    see(&format!("/unlock?next={next}"))
}
