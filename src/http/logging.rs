//! What the server writes about itself, and what each request leaves behind.
//!
//! A request leaves its id, method, route template, status, duration and the caller's partner. Never the path or query as
//! sent, never a header, body, member or title: identifiers of proposals and names of people do not belong in logs.

use super::{
    config::{LogConfig, LogFormat, LogLevel},
    known_members::KnownMembers,
    peer::Peer,
    problem::ProblemSlug,
    refusal::{EdgeRefusal, RefusedCertificate},
    refusals::{Refusals, RefusedRequest},
};
use crate::{
    domain::{ambient::Rng, id::PartnerCode},
    metrics::{self, InFlight},
    service::time::ExchangeTime,
};
use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, Method, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use jiff::fmt::rfc2822::DateTimePrinter;
use std::{net::SocketAddr, panic::AssertUnwindSafe, sync::Arc};
use tokio::time::Instant;
use tracing::{Instrument, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    fmt::{MakeWriter, layer},
    layer::SubscriberExt,
    registry::Registry,
    util::SubscriberInitExt,
};

/// Header with the id under which the log knows the request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Sends log lines to standard error, for the whole process. Works once.
///
/// # Errors
/// When the process has a subscriber already.
pub fn init(log: &LogConfig) -> Result<(), String> {
    subscriber(log, std::io::stderr).try_init().map_err(|error| error.to_string())?;
    // The default hook would print the panic's message, which may quote what was being worked on.
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(at, "panic");
    }));
    Ok(())
}

/// The subscriber that [`init`] installs, writing elsewhere.
pub fn subscriber<W>(log: &LogConfig, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // INVARIANT: below a warning, libraries log request paths, headers and SQL; they never get to.
    let targets = tracing_subscriber::filter::Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("entente", level)
        .with_target("entente_server", level);
    let registry = Registry::default().with(targets);
    match log.format {
        LogFormat::Json => {
            let lines = layer().json().flatten_event(true).with_current_span(true).with_span_list(false);
            Box::new(registry.with(lines.with_writer(writer)))
        }
        LogFormat::Text => Box::new(registry.with(layer().with_ansi(false).with_writer(writer))),
    }
}

/// Where the ids and dates of requests come from: the exchange's own time, since clients learn from `Date` how long they have left.
#[derive(Debug, Clone)]
pub struct RequestIds {
    time: Arc<ExchangeTime>,
    rng: Arc<dyn Rng>,
    refusals: Arc<Refusals>,
}

impl RequestIds {
    #[must_use]
    pub fn new(time: Arc<ExchangeTime>, rng: Arc<dyn Rng>) -> Self {
        Self { time, rng, refusals: Arc::default() }
    }

    /// What was refused to whom.
    #[must_use]
    pub fn refusals(&self) -> Arc<Refusals> {
        Arc::clone(&self.refusals)
    }

    /// Records a certificate that was refused in the handshake. The operator of the host can help the partner with this, so it is logged in
    /// full; the partner's policy officers see it beside what was refused later.
    pub(super) fn refused_certificate(&self, address: SocketAddr, refused: &RefusedCertificate, known: &KnownMembers) {
        let (reason, problem, refusal) = (refused.refusal.slug(), refused.problem(), &refused.refusal);
        let partner = refused.partner.as_ref().map_or("none", PartnerCode::as_str);
        let certificate = refused.key.map(|key| key.to_string());
        let certificate = certificate.as_deref();
        tracing::info!(%address, reason, %refusal, partner, problem, certificate, "a certificate was refused");
        metrics::refused_to(refused.partner.as_ref(), problem);
        if let (Some(partner), Some(key)) = (&refused.partner, refused.key) {
            let has_key_card = known.contains(&key);
            self.refusals.note(
                partner,
                RefusedRequest::in_handshake(key, reason, problem),
                has_key_card,
                self.time.now(),
            );
        }
    }

    fn next(&self) -> RequestId {
        let mut random = [0; 16];
        self.rng.fill(&mut random[6..]);
        let millis = u64::try_from(self.time.now().as_millisecond()).unwrap_or(0);
        RequestId(ulid::Ulid::from_parts(millis, u128::from_be_bytes(random)))
    }

    /// The instant as HTTP writes it (RFC 9110, 5.6.7).
    fn date(&self) -> HeaderValue {
        let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&self.time.now());
        date.ok()
            .and_then(|date| HeaderValue::try_from(date).ok())
            .expect("instants of a clock are of four-digit years")
    }
}

/// The id of a request, in its extensions for handlers that report it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId(ulid::Ulid);

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Has every request of the router logged, measured and given an id; a handler that panics answers 500.
pub(super) fn observe(router: Router, ids: RequestIds, known: Arc<KnownMembers>) -> Router {
    router.layer(middleware::from_fn_with_state((ids, known), observed))
}

async fn observed(
    State((ids, known)): State<(RequestIds, Arc<KnownMembers>)>,
    mut request: Request,
    next: Next,
) -> Response {
    let (began, id) = (Instant::now(), ids.next());
    let in_flight = InFlight::begin();
    let method = method(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("(none)", MatchedPath::as_str);
    let peer = request.extensions().get::<Peer>().cloned();
    let partner = peer.as_ref().map_or("-", |peer| peer.partner.as_str());
    request.extensions_mut().insert(id);
    let span = tracing::info_span!("request", request_id = %id);
    let answered = AssertUnwindSafe(next.run(request).instrument(span.clone())).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|_| {
        // The panic's own message may quote content and goes nowhere.
        span.in_scope(|| tracing::error!(route, "a handler panicked"));
        EdgeRefusal::Internal.into_response()
    });
    drop(in_flight);
    let (status, took) = (response.status().as_u16(), began.elapsed());
    metrics::request(method, route, status, took);
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let problem = response.extensions().get::<ProblemSlug>().map(|ProblemSlug(slug)| slug.as_str());
    let certificate = peer.as_ref().filter(|_| problem.is_some()).map(|peer| peer.spki_sha256.to_string());
    let certificate = certificate.as_deref();
    span.in_scope(|| tracing::info!(method, route, status, millis, partner, problem, certificate, "request"));
    if let (Some(problem), Some(peer)) = (problem, &peer) {
        metrics::refused_to(Some(&peer.partner), problem);
        let refused = RefusedRequest::shown(peer.spki_sha256, method, route, problem);
        ids.refusals.note(&peer.partner, refused, known.contains(&peer.spki_sha256), ids.time.now());
    }
    let headers = response.headers_mut();
    let id = HeaderValue::try_from(id.to_string()).expect("a ULID is letters and digits");
    headers.insert(REQUEST_ID, id);
    // The time that deadlines go by, not the clock of the HTTP library or of the machine.
    headers.insert(header::DATE, ids.date());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The method, from a fixed set: a stranger may invent methods, and each would be a label.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::ambient::{SystemClock, SystemRng},
        http::test_log::Heard,
        service::time::TOLERANCE,
    };
    use axum::{body::Body, routing::get};
    use tower::ServiceExt;

    fn router() -> Router {
        let router = Router::new().route("/v1/proposals/{id}", get(|| async { "ok" })).route(
            "/v1/panic",
            get(|| async {
                assert!(String::new() == "x", "secret title");
            }),
        );
        let time = ExchangeTime::new(Arc::new(SystemClock), TOLERANCE);
        observe(router, RequestIds::new(Arc::new(time), Arc::new(SystemRng)), KnownMembers::new())
    }

    async fn logged(log: &LogConfig, uri: &str) -> (Response, String) {
        let heard = Heard::listen(log);
        let request = Request::get(uri).header("authorization", "Bearer s3cret").body(Body::empty()).unwrap();
        let response = router().oneshot(request).await.unwrap();
        (response, heard.text())
    }

    #[tokio::test]
    async fn request_is_logged_by_template_and_never_by_path_or_query() {
        for format in [LogFormat::Json, LogFormat::Text] {
            let log = LogConfig { format, level: LogLevel::Trace };
            for uri in
                ["/v1/proposals/prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF?title=quantum", "/v1/nowhere/prop_01J9?x=quantum"]
            {
                let (response, text) = logged(&log, uri).await;
                for never in ["prop_01J9", "quantum", "title", "nowhere", "s3cret"] {
                    assert!(!text.contains(never), "{never} in {text}");
                }
                let id = response.headers()[REQUEST_ID].to_str().unwrap();
                assert!(text.contains(id), "{text}");
            }
        }
    }

    #[tokio::test]
    async fn log_line_has_template_status_and_partner() {
        let (_, text) = logged(&LogConfig::default(), "/v1/proposals/p1").await;
        let line: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(line["route"], "/v1/proposals/{id}");
        assert_eq!(line["status"], 200);
        assert_eq!(line["method"], "GET");
        assert_eq!(line["partner"], "-");
        assert!(line["span"]["request_id"].is_string(), "{line}");
    }

    #[tokio::test]
    async fn panicking_handler_answers_500_without_its_message() {
        let (response, text) = logged(&LogConfig::default(), "/v1/panic").await;
        assert_eq!(response.status(), 500);
        assert!(!text.contains("secret title"));
        let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
        assert!(!String::from_utf8_lossy(&body).contains("secret title"));
    }

    #[test]
    fn libraries_never_log_below_a_warning() {
        let heard = Heard::listen(&LogConfig { format: LogFormat::Text, level: LogLevel::Trace });
        tracing::info!(target: "h2::codec", "path=/v1/proposals/prop_01");
        tracing::warn!(target: "sqlx", "slow");
        let text = heard.text();
        assert!(text.contains("slow") && !text.contains("prop_01"), "{text}");
    }
}
