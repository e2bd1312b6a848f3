//! The accept loop: from a TCP connection to a request with a verified peer, within limits at every step.
//!
//! Handshakes run beside the loop, so one slow stranger delays nobody. Which HTTP version is spoken is settled by ALPN and
//! never guessed from bytes. Every request is let through only while its certificate still holds under the trust now in
//! force. The listener reads no header and no body itself.

use super::{
    config::Limits,
    connection_slots::{ConnectionHolder, ConnectionSlots},
    descriptors::ACCEPTED,
    known_members::KnownMembers,
    logging::{RequestIds, observe},
    outgoing::ResponseBody,
    peer::Peer,
    refusal::{EdgeRefusal, Shared},
    shares::{Downloads, HeldByAnswer, Quota, Shares},
    strangers::{Stranger, Strangers, source},
    suspended,
    timeouts::{ConnectionActivity, OpenAnswer, Overrun, RequestBody, TimedIo, drain_before_close},
    tls::Tls,
    waiting_room::{RequestPlace, Waits},
};
use crate::{
    metrics,
    share_table::{ANSWER_BYTES, BODY_BYTES, SMALL_BODY_BYTES, STREAMS_PER_CONNECTION, UNANNOUNCED_BODY_BYTES, WAITS},
    wire::{AGE_MEDIA_TYPE, UPLOAD_MEDIA_TYPE},
};
use axum::{
    Router,
    body::{Body, HttpBody},
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderValue, Method, Response, Version, header},
    middleware::{self, Next},
    response::IntoResponse,
};
use hyper::{body::Incoming, server::conn::http1, server::conn::http2, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulConnection,
};
use rustls::{ServerConfig, server::Acceptor};
use std::{
    convert::Infallible,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    task::{Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// An upload at full speed over a long path needs a wide window; hyper's default of 64 KiB ran 2 to 4 times slower.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;
/// What HTTP/2 takes of one answer ahead of the connection, beside a piece of it.
const SEND_BUFFER: usize = 64 << 10;
/// What the system takes ahead of what it has sent. It asks for more once half of that has gone, which is when a slow client is seen to
/// move: within the stall limit, at half a KiB a second. More would be memory that nobody counts.
const UNSENT: u32 = 32 << 10;
const PING_EVERY: Duration = Duration::from_secs(20);
/// For a retired connection without requests to say goodbye.
const FAREWELL: Duration = Duration::from_secs(2);

/// How a listener ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were still busy after the limit and were cut.
    pub cut: usize,
}

/// Serves `router` over mutual TLS until `shutdown`, then lets open requests finish within `limits.drain`.
///
/// Requests carry a [`Peer`] and a [`RequestId`](super::logging::RequestId) in their extensions. Bodies read by axum's
/// extractors are limited to `limits.body_bytes`; a handler that streams takes the body as it is.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Arc<Tls>,
    limits: Limits,
    ids: RequestIds,
    shutdown: impl Future<Output = ()>,
) -> Drained {
    let known = KnownMembers::new();
    let shares = |quota, one| Shares::new(quota, one, Arc::clone(&known));
    let (requests, bodies) = (shares(limits.request_quota(), 1), shares(BODY_BYTES.into(), SMALL_BODY_BYTES));
    // A member who holds no answer is answered in any case.
    let answers = shares(ANSWER_BYTES.into(), 0);
    let downloads = Downloads(shares(limits.download_quota(), 1));
    let waits = Waits(shares(WAITS.into(), 1));
    let gate = Gate { requests, bodies, downloads, answers, waits, header_bytes: limits.header_bytes };
    let router =
        router.layer(DefaultBodyLimit::max(limits.body_bytes)).layer(middleware::from_fn_with_state(gate, let_through));
    let server = Arc::new(Server {
        router: observe(router, ids.clone(), Arc::clone(&known)),
        handshakes: Strangers::new(limits.handshakes, limits.handshakes_per_address, Arc::clone(&known)),
        connections: ConnectionSlots::new(
            limits.connection_quota(),
            limits.connections_without_key_card,
            Arc::clone(&known),
        ),
        known,
        tls: Some((tls, ids)),
        limits,
    });
    accept(listener, server, shutdown).await
}

/// Serves `router` in the clear, HTTP/1.1 alone, with the same limits on time and size: for the loopback listener.
pub(super) async fn serve_plain(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) -> Drained {
    let known = KnownMembers::new();
    let connections =
        ConnectionSlots::new(Quota { total: 64, per_partner: 64, per_member: 64 }, 64, Arc::clone(&known));
    let handshakes = Strangers::new(1, 1, Arc::clone(&known));
    accept(listener, Arc::new(Server { router, handshakes, connections, known, tls: None, limits }), shutdown).await
}

struct Server {
    router: Router,
    handshakes: Arc<Strangers>,
    connections: Arc<ConnectionSlots>,
    known: Arc<KnownMembers>,
    /// Without it there are no certificates, and no record of those that are refused.
    tls: Option<(Arc<Tls>, RequestIds)>,
    limits: Limits,
}

async fn accept(listener: TcpListener, server: Arc<Server>, shutdown: impl Future<Output = ()>) -> Drained {
    let drain = CancellationToken::new();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    let mut patience = Duration::from_millis(5);
    // INVARIANT: at most as many sockets as there are places, so that descriptors are left for files.
    let sockets = server.connections.total() + server.handshakes.total() + ACCEPTED;
    let sockets = Arc::new(Semaphore::new(sockets.min(Semaphore::MAX_PERMITS)));
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = next(&listener, &sockets) => match accepted {
                Ok((tcp, address, socket)) => {
                    patience = Duration::from_millis(5);
                    let connection = Arc::clone(&server).connection(tcp, address, drain.child_token());
                    connections.spawn(async move {
                        connection.await;
                        drop(socket);
                    });
                }
                Err(error) if concerns_one_connection(&error) => metrics::accept_failed(),
                Err(error) => {
                    // Out of descriptors or memory: trying again at once would only spin.
                    metrics::accept_failed();
                    tracing::error!(%error, "connections cannot be accepted");
                    sleep(patience).await;
                    patience = (patience * 2).min(Duration::from_secs(1));
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    drop(listener);
    drain.cancel();
    let finished = timeout(server.limits.drain, async { while connections.join_next().await.is_some() {} }).await;
    let cut = if finished.is_ok() { 0 } else { connections.len() };
    if cut > 0 {
        tracing::warn!(cut, "connections were still busy and are cut");
    }
    connections.shutdown().await;
    Drained { cut }
}

/// The next connection, once there may be one more.
async fn next(
    listener: &TcpListener,
    sockets: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let socket = Arc::clone(sockets).acquire_owned().await.map_err(io::Error::other)?;
    let (tcp, address) = listener.accept().await?;
    Ok((tcp, address, socket))
}

impl Server {
    async fn connection(self: Arc<Self>, tcp: TcpStream, address: SocketAddr, retire: CancellationToken) {
        let _ = tcp.set_nodelay(true);
        hold_little_unsent(&tcp);
        let Some((tls, ids)) = &self.tls else {
            let activity = ConnectionActivity::new(true, retire);
            let _slot = self.connections.take(&None, false, &activity);
            self.speak(tcp, Protocol::Http1, None, activity).await;
            return;
        };
        let Some((stream, peer)) = self.handshake(tls, ids, tcp, address, &retire).await else { return };
        let protocol = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Protocol::Http2,
            _ => Protocol::Http1,
        };
        let activity = ConnectionActivity::new(protocol == Protocol::Http1, retire);
        let holder: ConnectionHolder = Some((peer.partner.clone(), peer.spki_sha256));
        let slot = self.connections.take(&holder, peer.is_registrar(), &activity);
        metrics::connections(self.connections.count());
        self.speak(stream, protocol, Some(peer), activity).await;
        drop(slot);
        metrics::connections(self.connections.count());
    }

    /// A verified peer, or nothing: refusals have been counted and logged.
    async fn handshake(
        &self,
        tls: &Tls,
        ids: &RequestIds,
        tcp: TcpStream,
        address: SocketAddr,
        retire: &CancellationToken,
    ) -> Option<(TlsStream<TcpStream>, Peer)> {
        let stranger = self.handshakes.take(address.ip());
        let (config, witness) = tls.for_handshake();
        let shaken = tokio::select! {
            shaken = timeout(self.limits.handshake, shake(tcp, config, &stranger)) => shaken,
            () = stranger.leave().cancelled() => {
                metrics::handshake("displaced");
                return None;
            }
            () = retire.cancelled() => return None,
        };
        let (reason, tcp) = match (shaken, witness.judged()) {
            (Ok(Ok(stream)), Some(Ok(identity))) => {
                metrics::handshake("ok");
                let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
                let intermediates = chain.iter().skip(1).map(|der| der.clone().into_owned()).collect();
                let peer =
                    Peer::new(identity.clone(), intermediates, witness.generation(), address, Arc::clone(tls.trust()));
                return Some((stream, peer));
            }
            (Ok(Err((_, tcp))), Some(Err(refused))) => {
                ids.refused_certificate(address, refused, &self.known);
                (refused.refusal.slug(), tcp)
            }
            (Ok(Err((error, tcp))), _) => (handshake_fault(&error), tcp),
            (Err(_), _) => ("timeout", None),
            // INVARIANT: no connection without an identity that its own handshake proved.
            (Ok(Ok(_)), _) => ("no-certificate", None),
        };
        tracing::debug!(%address, reason, "a handshake failed");
        metrics::handshake(reason);
        if let Some(mut tcp) = tcp {
            // rustls has sent the alert that says why; let it arrive.
            let _ = tcp.shutdown().await;
            tokio::select! {
                () = drain_before_close(&mut tcp) => {}
                () = stranger.leave().cancelled() => {}
                () = retire.cancelled() => {}
            }
        }
        None
    }

    async fn speak<S>(
        self: &Arc<Self>,
        stream: S,
        protocol: Protocol,
        peer: Option<Peer>,
        activity: Arc<ConnectionActivity>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = TokioIo::new(TimedIo::new(stream, Arc::clone(&activity)));
        let partner = peer.as_ref().map(|peer| peer.partner.clone());
        let service = {
            let (server, activity) = (Arc::clone(self), Arc::clone(&activity));
            service_fn(move |request| Arc::clone(&server).answer(request, peer.clone(), Arc::clone(&activity)))
        };
        // hyper refuses a header over its limit without a word, so the gate's own limit is the lower one where there is a gate.
        let header_bytes = self.limits.header_bytes.saturating_mul(if self.tls.is_some() { 2 } else { 1 });
        let ended = match protocol {
            Protocol::Http1 => {
                let mut http = http1::Builder::new();
                // Time is kept by `ConnectionActivity`, which distinguishes a slow header from an idle connection.
                http.timer(TokioTimer::new()).header_read_timeout(None).max_header_size(header_bytes as usize);
                drive(http.serve_connection(io, service), &activity, &self.limits).await
            }
            Protocol::Http2 => {
                let mut http = http2::Builder::new(TokioExecutor::new());
                http.timer(TokioTimer::new())
                    .max_concurrent_streams(STREAMS_PER_CONNECTION)
                    .max_send_buf_size(SEND_BUFFER)
                    .initial_stream_window_size(STREAM_WINDOW)
                    .initial_connection_window_size(CONNECTION_WINDOW)
                    .max_header_list_size(header_bytes)
                    .keep_alive_interval(PING_EVERY)
                    .keep_alive_timeout(self.limits.stall);
                drive(http.serve_connection(io, service), &activity, &self.limits).await
            }
        };
        if let (Some(Overrun::Displaced), Some(partner)) = (&ended, &partner) {
            metrics::displaced(partner);
        }
        if let Some(overrun) = ended {
            metrics::cut(match overrun {
                Overrun::Header => "header",
                Overrun::Idle => "idle",
                Overrun::Stall => "stall",
                Overrun::Displaced => "displaced",
            });
        }
    }

    async fn answer(
        self: Arc<Self>,
        request: hyper::Request<Incoming>,
        peer: Option<Peer>,
        activity: Arc<ConnectionActivity>,
    ) -> Result<Response<ResponseBody>, Infallible> {
        let open = activity.open_request();
        let mut request = request.map(|body| Body::new(RequestBody::new(body, Arc::clone(&activity), &self.limits)));
        request.extensions_mut().insert(ActivityExtension(activity));
        request.extensions_mut().insert(Introduced(Arc::clone(&self.known)));
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        let mut response = self.router.clone().oneshot(request).await?;
        let answer = OpenAnswer::begin(open, response.extensions_mut().remove());
        Ok(response.map(|body| ResponseBody::new(body, answer)))
    }
}

/// Where it is noted whether a key card names the certificate that a request came under.
#[derive(Debug, Clone)]
pub(super) struct Introduced(Arc<KnownMembers>);

impl Introduced {
    pub(super) fn note(&self, peer: &Peer, has_key_card: bool) {
        self.0.note(&peer.partner, peer.spki_sha256, source(peer.address().ip()), has_key_card);
    }
}

/// Lets the gate retire the connection a request came by.
#[derive(Clone)]
struct ActivityExtension(Arc<ConnectionActivity>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

/// Runs a connection to its end, or to the limit that it overruns.
///
/// ```text
///                      retired by the gate, or idle past its limit
///   serving ────────────────────────────────────────────────────────► retiring: finishes what is open, takes no request
///    │  │  │                                                            │  │  │
///    │  │  └── ends by itself ──► None ◄── ends by itself ──────────────┘  │  │
///    │  │                          ▲                                       │  │
///    │  │                          └── the limit, or `FAREWELL` later ─────┘  │
///    │  └── overruns a limit but idle ──► Some(overrun)                       │
///    └── displaced by another connection ──► Some(Displaced) ◄────────────────┘
/// ```
///
/// While an answer stalls, `FAREWELL` does not count: its own limit does.
async fn drive<C: GracefulConnection>(
    connection: C,
    activity: &ConnectionActivity,
    limits: &Limits,
) -> Option<Overrun> {
    let mut connection = pin!(connection);
    let mut retired = pin!(activity.retired().cancelled());
    let mut displaced = pin!(activity.displaced().cancelled());
    let mut alarm = pin!(sleep_until(Instant::now()));
    let mut retired_at = None::<Instant>;
    poll_fn(|cx| {
        if displaced.as_mut().poll(cx).is_ready() {
            // An HTTP/2 client is notified; HTTP/1.1 has no message for it.
            connection.as_mut().graceful_shutdown();
            let _ = connection.as_mut().poll(cx);
            return Poll::Ready(Some(Overrun::Displaced));
        }
        if retired_at.is_none() && retired.as_mut().poll(cx).is_ready() {
            retired_at = Some(Instant::now());
            connection.as_mut().graceful_shutdown();
        }
        // An error is of the one client (reset, garbage): it has had its answer or wants none.
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        // The connection may just have moved its own deadline, forward or back.
        loop {
            let (mut due, overrun) = activity.deadline(limits);
            if let Some(at) = retired_at
                && overrun != Overrun::Stall
            {
                due = due.min(at + FAREWELL);
            }
            if Instant::now() < due {
                if due < alarm.deadline() || alarm.is_elapsed() {
                    alarm.as_mut().reset(due);
                }
                ready!(alarm.as_mut().poll(cx));
            } else if overrun == Overrun::Idle && retired_at.is_none() {
                // The next poll begins to retire it; a client that does not listen is cut after `FAREWELL`.
                metrics::cut("idle");
                activity.retire();
                cx.waker().wake_by_ref();
                return Poll::Pending;
            } else {
                return Poll::Ready(retired_at.is_none().then_some(overrun));
            }
        }
    })
    .await
}

#[derive(Clone)]
struct Gate {
    requests: Arc<Shares>,
    bodies: Arc<Shares>,
    downloads: Downloads,
    answers: Arc<Shares>,
    waits: Waits,
    header_bytes: u32,
}

/// Lets a request through while its certificate holds and there is a place for it.
async fn let_through(State(gate): State<Gate>, mut request: Request, next: Next) -> axum::response::Response {
    let Some(peer) = request.extensions().get::<Peer>().cloned() else {
        return EdgeRefusal::CertificateRequired.into_response();
    };
    let peer = suspended::marked(peer, request.method(), request.uri().path());
    request.extensions_mut().insert(peer.clone());
    if let Err(refusal) = peer.still_accepted() {
        tracing::info!(reason = refusal.slug(), "a certificate is no longer accepted");
        metrics::refused(refusal.slug());
        if let Some(ActivityExtension(activity)) = request.extensions().get() {
            activity.retire();
        }
        let version = request.version();
        let mut response = EdgeRefusal::CertificateRefused(refusal).into_response();
        // HTTP/2 knows no such header; there the connection says goodbye in a frame.
        if version <= Version::HTTP_11 {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        return response;
    }
    if let Some(refusal) = suspended::refusal(&peer, request.uri().path()) {
        return no_more("suspended", refusal);
    }
    if header_bytes(&request) > gate.header_bytes as usize {
        metrics::refused("headers");
        return EdgeRefusal::HeadersTooLarge { limit: gate.header_bytes }.into_response();
    }
    if let Err(full) = gate.answers.check(&peer) {
        return no_more("answers", gate.answers.refusal(Shared::Answers, full));
    }
    request.extensions_mut().insert(gate.downloads.clone());
    request.extensions_mut().insert(gate.waits.clone());
    let place = match gate.requests.take(&peer, 1) {
        Ok(place) => RequestPlace::from(place),
        Err(full) => return no_more("overloaded", gate.requests.refusal(Shared::Requests, full)),
    };
    request.extensions_mut().insert(place.clone());
    let _body = match kept_bytes(&request) {
        0 => None,
        bytes => match gate.bodies.take(&peer, bytes) {
            Ok(body) => Some(body),
            Err(full) => return no_more("bodies", gate.bodies.refusal(Shared::Bodies, full)),
        },
    };
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let mut response = next.run(request).await;
    let hsts = HeaderValue::from_static("max-age=63072000");
    response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, hsts);
    if response.extensions().get::<HeldByAnswer>().is_none()
        && let Some(bytes @ 1..) = HttpBody::size_hint(response.body()).exact()
    {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let share = match gate.answers.take(&peer, bytes) {
            Ok(share) => share,
            // What was only looked at can be looked at again; that something was done has to be said.
            Err(full) if is_read && gate.answers.check(&peer).is_err() => {
                return no_more("answers", gate.answers.refusal(Shared::Answers, full));
            }
            Err(_) => gate.answers.count(&peer, bytes),
        };
        response.extensions_mut().insert(HeldByAnswer::from(share));
    }
    response
}

/// A handshake, whose stranger is known to have spoken once a whole `ClientHello` is there. What fails gives the socket back, if there is one
/// left to say why by.
async fn shake(
    tcp: TcpStream,
    config: Arc<ServerConfig>,
    stranger: &Stranger,
) -> Result<TlsStream<TcpStream>, (io::Error, Option<TcpStream>)> {
    let mut greeting = LazyConfigAcceptor::new(Acceptor::default(), tcp);
    let hello = match (&mut greeting).await {
        Ok(hello) => hello,
        Err(error) => return Err((error, greeting.take_io())),
    };
    stranger.has_spoken();
    hello.into_stream(config).into_fallible().await.map_err(|(error, tcp)| (error, Some(tcp)))
}

/// Where the system has no such setting, its own buffers decide.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn hold_little_unsent(tcp: &TcpStream) {
    let _ = socket2::SockRef::from(tcp).set_tcp_notsent_lowat(UNSENT);
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn hold_little_unsent(_: &TcpStream) {}

/// The answer to somebody for whom nothing is left.
fn no_more(what: &'static str, refusal: EdgeRefusal) -> axum::response::Response {
    metrics::refused(what);
    refusal.into_response()
}

/// What a request's body may take of memory. More than any operation keeps is refused before it is read.
fn kept_bytes(request: &Request) -> usize {
    let is_sent = |method, place, kind| {
        request.method() == method
            && request.uri().path().contains(place)
            && request.headers().get(header::CONTENT_TYPE).is_some_and(|given| given == kind)
    };
    let is_document =
        is_sent(Method::PUT, "/documents/", AGE_MEDIA_TYPE) || is_sent(Method::PATCH, "/uploads/", UPLOAD_MEDIA_TYPE);
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let announced = request.body().size_hint();
    match announced.upper() {
        _ if is_read => 0,
        // A small one is read before it is known whose it is.
        upper if is_document && upper.is_none_or(|upper| upper > SMALL_BODY_BYTES as u64) => 0,
        Some(upper) => usize::try_from(upper).unwrap_or(usize::MAX).min(UNANNOUNCED_BODY_BYTES),
        None => UNANNOUNCED_BODY_BYTES,
    }
}

/// The header as HTTP/1.1 writes it, in bytes, but for the method and what stands between the parts of the first line.
fn header_bytes(request: &Request) -> usize {
    let address = request.uri().path_and_query().map_or(0, |address| address.as_str().len());
    request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>() + address
}

fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn handshake_fault(error: &io::Error) -> &'static str {
    match error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::NoCertificatesPresented) => "no-certificate",
        Some(rustls::Error::PeerIncompatible(_)) => "incompatible",
        Some(_) => "protocol",
        None => "gone",
    }
}

#[cfg(test)]
#[cfg(feature = "client")]
mod downloads;
#[cfg(test)]
#[cfg(feature = "client")]
mod tests;
