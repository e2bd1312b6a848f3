//! Health, readiness and metrics for the operator of this machine, in the clear: on a loopback address, or on another one where the
//! settings say that it is meant.
//!
//! Nothing here may reveal content, names or identifiers: anyone who can reach the address can read it.

use super::{
    config::{AdminConfig, Limits},
    listener,
};
use crate::metrics::FigureRecorder;
use axum::{
    Json, Router,
    extract::{Request, State},
    http::{StatusCode, header, uri::Authority},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::future::BoxFuture;
use serde::Serialize;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpListener, time::timeout};

/// Parts that take longer are not ready.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether a part of the server can do its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartReady {
    /// `database`, `blobs`, `policies`.
    pub part: &'static str,
    pub ready: bool,
    /// What is wrong, without content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

impl PartReady {
    /// From a probe's outcome.
    #[must_use]
    pub fn from_result<E: std::fmt::Display>(part: &'static str, result: Result<(), E>) -> Self {
        let fault = result.err().map(|error| error.to_string());
        Self { part, ready: fault.is_none(), fault }
    }
}

/// Asks every part whether it is ready.
pub type Readiness = Arc<dyn Fn() -> BoxFuture<'static, Vec<PartReady>> + Send + Sync>;

/// The admin address is reachable from other machines, or is taken.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("`{0}` is not a loopback address, and the admin listener does not ask for certificates")]
    NotLoopback(SocketAddr),
    #[error("cannot listen on `{address}`: {error}")]
    Bind { address: SocketAddr, error: io::Error },
}

/// Opens the admin listener; anything but a loopback address is refused, unless the settings allow it.
pub async fn bind(config: &AdminConfig) -> Result<TcpListener, AdminError> {
    let address = config.listen;
    if !config.is_allowed() {
        return Err(AdminError::NotLoopback(address));
    }
    TcpListener::bind(address).await.map_err(|error| AdminError::Bind { address, error })
}

/// `/healthz`, `/readyz` and `/metrics`, for those who ask under an address or `localhost`.
pub fn router(metrics: FigureRecorder, readiness: Readiness) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready).with_state(readiness))
        .route("/metrics", get(figures).with_state(metrics))
        .layer(middleware::from_fn(only_addresses))
}

/// A page on the web can have its own name resolve to this machine and read what is there; the name it asks under gives it away. A
/// request without any name is not from a browser.
async fn only_addresses(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    let host = host.or_else(|| request.uri().authority().map(Authority::as_str));
    match host {
        Some(host) if !is_address(host) => {
            let text = "this listener answers under `localhost` and addresses in numbers alone\n";
            (StatusCode::MISDIRECTED_REQUEST, text).into_response()
        }
        _ => next.run(request).await,
    }
}

fn is_address(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

/// Serves until `shutdown`.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, shutdown: impl Future<Output = ()>) {
    listener::serve_plain(listener, router, limits, shutdown).await;
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
    parts: Vec<PartReady>,
}

async fn ready(State(readiness): State<Readiness>) -> Response {
    let parts = timeout(PATIENCE, readiness()).await.unwrap_or_else(|_| {
        let fault = Some(format!("no answer within {} seconds", PATIENCE.as_secs()));
        vec![PartReady { part: "server", ready: false, fault }]
    });
    let ready = parts.iter().all(|part| part.ready);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Ready { ready, parts })).into_response()
}

async fn figures(State(metrics): State<FigureRecorder>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use futures_util::FutureExt;
    use tower::ServiceExt;

    async fn get(readiness: Readiness, path: &str) -> (StatusCode, String) {
        let recorder = FigureRecorder::default();
        metrics::with_local_recorder(&recorder, || crate::metrics::handshake("ok"));
        let router = router(recorder, readiness);
        let response = router.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    fn parts(fault: Option<&'static str>) -> Readiness {
        Arc::new(move || {
            let database = PartReady::from_result("database", fault.map_or(Ok(()), Err));
            async move { vec![database, PartReady::from_result("blobs", Ok::<_, String>(()))] }.boxed()
        })
    }

    #[tokio::test]
    async fn ready_only_when_every_part_is() {
        assert_eq!(get(parts(None), "/readyz").await.0, 200);
        let (status, body) = get(parts(Some("disk full")), "/readyz").await;
        assert_eq!(status, 503);
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["parts"][0]["fault"], "disk full");
        assert_eq!(body["parts"][1]["ready"], true);
    }

    #[tokio::test(start_paused = true)]
    async fn part_that_hangs_is_not_ready() {
        let (status, body) = get(Arc::new(|| std::future::pending().boxed()), "/readyz").await;
        assert_eq!(status, 503);
        assert!(body.contains("no answer within 2 seconds"));
    }

    #[tokio::test]
    async fn health_and_metrics_answer() {
        assert_eq!(get(parts(None), "/healthz").await, (StatusCode::OK, "ok\n".to_owned()));
        let (_, text) = get(parts(None), "/metrics").await;
        assert!(text.contains("entente_handshakes_total{outcome=\"ok\"} 1"), "{text}");
    }

    #[tokio::test]
    async fn name_of_another_machine_gets_no_answer() {
        let asked = async |host: Option<&str>| {
            let router = router(FigureRecorder::default(), parts(None));
            let request = host.into_iter().fold(Request::get("/metrics"), |request, host| request.header("host", host));
            router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status().as_u16()
        };
        for host in
            ["localhost", "LOCALHOST:9080", "127.0.0.1:9080", "127.8.9.1", "[::1]:9080", "10.0.0.1:9080", "[::2]"]
        {
            assert_eq!(asked(Some(host)).await, 200, "{host}");
        }
        for host in ["rebind.example:9080", "localhost.example", "127.0.0.1.example", "10.0.0.1.example", ""] {
            assert_eq!(asked(Some(host)).await, 421, "{host}");
        }
        assert_eq!(asked(None).await, 200);
    }

    #[tokio::test]
    async fn only_a_loopback_address_is_opened_unless_another_one_is_meant() {
        let on = |address: [u8; 4], beyond_loopback| AdminConfig { listen: (address, 0).into(), beyond_loopback };
        assert!(matches!(bind(&on([0, 0, 0, 0], false)).await, Err(AdminError::NotLoopback(_))));
        assert!(bind(&on([127, 0, 0, 1], false)).await.is_ok());
        assert!(bind(&on([0, 0, 0, 0], true)).await.is_ok());
    }
}
