//! The whole edge over real sockets: a server on a free port, clients with certificates of a test PKI.

use super::*;
use crate::{
    domain::ambient::SystemRng,
    http::{
        crypto::provider,
        refusal::CertificateRefusal,
        shares::DownloadPlace,
        test_pki::{Ca, Calendar, Held, day},
        timeouts::BodyTooSlow,
        tls::CertificateFiles,
        trust::{PartnerTrust, Trust},
    },
    jobs::reload::Watch,
    service::time::{ExchangeTime, TOLERANCE},
};
use axum::{
    body::Bytes,
    http::HeaderMap,
    routing::{get, post},
};
use futures_util::{FutureExt, future::Shared};
use hyper::client::conn as client;
use rustls::{
    AlertDescription, ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion,
    pki_types::CertificateDer,
    version::{TLS12, TLS13},
};
use std::sync::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Notify, oneshot},
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

mod refused;
mod sharing;

/// A running server whose trust, certificate and clock the test can change.
struct World {
    address: SocketAddr,
    clock: Arc<Calendar>,
    tls: Arc<Tls>,
    partners: Arc<Mutex<Vec<PartnerTrust>>>,
    server_ca: Ca,
    folder: tempfile::TempDir,
    /// Lets `/wait` answer.
    go_on: Arc<Notify>,
    /// Notified when `/wait` has begun.
    waiting: Arc<Notify>,
    stop: Option<oneshot::Sender<()>>,
    drained: Shared<futures_util::future::BoxFuture<'static, Drained>>,
}

impl World {
    async fn start(partners: Vec<PartnerTrust>) -> Self {
        Self::with_limits(partners, |_| {}).await
    }

    async fn with_limits(partners: Vec<PartnerTrust>, change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits { handshake: FAR, header: FAR, idle: FAR, stall: FAR, ..Limits::default() };
        change(&mut limits);
        let (clock, server_ca, folder) = (Calendar::at_day(1), Ca::new("Server CA"), tempfile::tempdir().unwrap());
        let files = CertificateFiles {
            certificate: folder.path().join("server.pem"),
            private_key: folder.path().join("server-key.pem"),
        };
        write_certificate(&files, &server_ca.server());
        let partners = Arc::new(Mutex::new(partners));
        let source = Arc::clone(&partners);
        let load = move || {
            let partners = source.lock().unwrap().clone();
            async move { Ok(partners) }
        };
        let (trust, reloaded) = Trust::start(Arc::clone(&clock) as _, None, load).await.unwrap();
        assert_eq!(reloaded.faults, []);
        let tls = Tls::start(files, trust).unwrap();
        let (go_on, waiting) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let time = ExchangeTime::new(Arc::clone(&clock) as _, TOLERANCE);
        let ids = RequestIds::new(Arc::new(time), Arc::new(SystemRng));
        let router = router(Arc::clone(&go_on), Arc::clone(&waiting));
        let shutdown = async { drop(stopped.await) };
        let serving = tokio::spawn(serve(listener, router, Arc::clone(&tls), limits, ids, shutdown));
        let drained = serving.map(|drained| drained.unwrap()).boxed().shared();
        Self { address, clock, tls, partners, server_ca, folder, go_on, waiting, stop: Some(stop), drained }
    }

    fn files(&self) -> CertificateFiles {
        CertificateFiles {
            certificate: self.folder.path().join("server.pem"),
            private_key: self.folder.path().join("server-key.pem"),
        }
    }

    fn config(
        &self,
        held: Option<&Held>,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&str],
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.server_ca.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let time = Arc::new(TestTime(Arc::clone(&self.clock)));
        let builder = ClientConfig::builder_with_details(provider, time)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match held {
            Some(held) => builder.with_client_auth_cert(vec![held.der.clone()], held.key_der()).unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    async fn connect_by(&self, config: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.address).await?;
        TlsConnector::from(Arc::new(config)).connect("localhost".try_into().unwrap(), tcp).await
    }

    async fn connect(&self, held: &Held) -> TlsStream<TcpStream> {
        self.connect_by(self.config(Some(held), &[&TLS13], &["http/1.1"])).await.unwrap()
    }

    /// What a client without a usable certificate gets: in TLS 1.3 it learns it from its first read.
    async fn alert(&self, held: Option<&Held>) -> AlertDescription {
        let mut stream = self.connect_by(self.config(held, &[&TLS13], &[])).await.unwrap();
        let error = stream.read(&mut [0; 64]).await.unwrap_err();
        match error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::AlertReceived(alert)) => *alert,
            other => panic!("{other:?}"),
        }
    }

    async fn stop(&mut self) -> Drained {
        drop(self.stop.take());
        self.drained.clone().await
    }
}

#[derive(Debug)]
struct TestTime(Arc<Calendar>);

impl rustls::time_provider::TimeProvider for TestTime {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        Some(crate::http::trust::unix(crate::domain::ambient::Clock::now(&*self.0)))
    }
}

fn write_certificate(files: &CertificateFiles, held: &Held) {
    std::fs::write(&files.certificate, &held.pem).unwrap();
    std::fs::write(&files.private_key, held.key.serialize_pem()).unwrap();
}

fn router(go_on: Arc<Notify>, waiting: Arc<Notify>) -> Router {
    let begun = Arc::clone(&waiting);
    let wait = move || {
        let (go_on, waiting) = (Arc::clone(&go_on), Arc::clone(&waiting));
        async move {
            waiting.notify_one();
            go_on.notified().await;
            "at last"
        }
    };
    Router::new()
        .route(
            "/slow",
            post(move |body: Body| async move {
                begun.notify_one();
                axum::body::to_bytes(body, usize::MAX).await.map_or(0, |bytes| bytes.len()).to_string()
            }),
        )
        .route("/who", get(who))
        .route("/wait", get(wait))
        .route("/big", get(big))
        .route(
            "/body",
            post(|headers: HeaderMap, body: Body| async move {
                crate::http::change_request::bytes(&headers, body, 1000).await.map(|bytes| bytes.len().to_string())
            }),
        )
        .route("/size", post(|body: Bytes| async move { body.len().to_string() }))
        .route(
            "/stream",
            post(|body: Body| async move {
                let read = axum::body::to_bytes(body, usize::MAX).await;
                read.map_or_else(
                    |error| {
                        if BodyTooSlow::caused(&error) { EdgeRefusal::BodyTooSlow } else { EdgeRefusal::Internal }
                            .into_response()
                    },
                    |bytes| bytes.len().to_string().into_response(),
                )
            }),
        )
}

/// Has a key card for everybody, as far as shares go.
async fn who(axum::Extension(introduced): axum::Extension<Introduced>, peer: Peer) -> String {
    introduced.note(&peer, true);
    peer.partner.to_string()
}

/// A download without end.
async fn big(place: DownloadPlace) -> axum::response::Response {
    let piece = || Ok::<_, std::convert::Infallible>(Bytes::from_static(&[7; 1024]));
    let mut response = Body::from_stream(futures_util::stream::repeat_with(piece)).into_response();
    place.keep(response.extensions_mut());
    response
}

/// Sends raw HTTP/1.1 and reads one answer with a `content-length`.
async fn ask<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, request: &str) -> (u16, String) {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return (head[9..12].parse().unwrap(), text);
            }
        }
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "closed after {text:?}");
    }
}

const WHO: &str = "GET /who HTTP/1.1\r\nhost: localhost\r\n\r\n";
const WAIT: &str = "GET /wait HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Waits until the server has closed the connection, gently or not, and says what came before.
async fn closed<S: AsyncRead + Unpin>(mut stream: S) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Ok(1..) = stream.read_buf(&mut bytes).await {}
    bytes
}

/// So long no connection lasts here, however busy the machine is.
const FAR: Duration = Duration::from_hours(1);

/// One limit that ends at once, so that nothing else can have ended a connection.
fn only(brief: impl Fn(&mut Limits) -> &mut Duration) -> impl FnOnce(&mut Limits) {
    move |limits| *brief(limits) = Duration::from_millis(100)
}

#[tokio::test]
async fn member_of_a_partner_is_served_over_tls_13_with_the_hybrid_group() {
    let ca = Ca::new("Root");
    let world = World::start(vec![ca.of("ISR")]).await;
    let mut stream = world.connect(&ca.member("ISR:avi")).await;
    let (status, text) = ask(&mut stream, WHO).await;
    assert_eq!(status, 200);
    assert!(text.ends_with("ISR"), "{text}");
    for header in ["x-request-id: ", "strict-transport-security: ", "cache-control: no-store"] {
        assert!(text.contains(header), "{text}");
    }
    let connection = stream.get_ref().1;
    assert_eq!(connection.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    let group = connection.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
}

#[tokio::test]
async fn strangers_are_refused_in_the_handshake() {
    let (ca, other) = (Ca::new("Root"), Ca::new("Root"));
    let world = World::start(vec![ca.of("ISR")]).await;
    assert_eq!(world.alert(None).await, AlertDescription::CertificateRequired);
    assert_eq!(world.alert(Some(&Ca::new("Unknown").member("ISR:avi"))).await, AlertDescription::UnknownCA);
    assert_eq!(world.alert(Some(&other.member("ISR:avi"))).await, AlertDescription::UnknownCA);
    assert_eq!(world.alert(Some(&ca.member("KOR:min"))).await, AlertDescription::AccessDenied);
    let expired = ca.leaf(|params| params.not_after = day(0));
    assert_eq!(world.alert(Some(&expired)).await, AlertDescription::CertificateExpired);
    let server = ca.server();
    assert_eq!(world.alert(Some(&server)).await, AlertDescription::UnsupportedCertificate);
}

#[tokio::test]
async fn tls_12_is_refused() {
    let ca = Ca::new("Root");
    let world = World::start(vec![ca.of("ISR")]).await;
    let config = world.config(Some(&ca.member("ISR:avi")), &[&TLS12], &[]);
    let error = world.connect_by(config).await.unwrap_err();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
}

#[tokio::test]
async fn no_session_is_ever_resumed() {
    let ca = Ca::new("Root");
    let world = World::start(vec![ca.of("ISR")]).await;
    let config = Arc::new(world.config(Some(&ca.member("ISR:avi")), &[&TLS13], &["http/1.1"]));
    for _ in 0..3 {
        let tcp = TcpStream::connect(world.address).await.unwrap();
        let connector = TlsConnector::from(Arc::clone(&config));
        let mut stream = connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
        assert_eq!(ask(&mut stream, WHO).await.0, 200);
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(stream.get_ref().1.tls13_tickets_received(), 0, "nothing to resume from");
    }
}

#[tokio::test]
async fn certificate_revoked_meanwhile_is_refused_on_the_next_request() {
    let ca = Ca::new("Root");
    let (bad, good) = (ca.member("ISR:avi"), ca.member("ISR:noa"));
    let world = World::start(vec![ca.of("ISR")]).await;
    let (mut of_bad, mut of_good) = (world.connect(&bad).await, world.connect(&good).await);
    assert_eq!(ask(&mut of_bad, WHO).await.0, 200);
    world.partners.lock().unwrap()[0].crls = vec![ca.crl(&[bad.serial], day(30))];
    assert!(world.tls.reload().await.is_ok());
    let (status, text) = ask(&mut of_bad, WHO).await;
    assert_eq!(status, 401);
    assert!(text.contains("urn:entente:problem:certificate-refused"), "{text}");
    assert!(text.contains("content-type: application/problem+json") && text.contains("connection: close"), "{text}");
    assert_eq!(closed(of_bad).await, b"");
    assert_eq!(ask(&mut of_good, WHO).await.0, 200);
    assert_eq!(world.alert(Some(&bad)).await, AlertDescription::CertificateRevoked);
}

#[tokio::test]
async fn certificate_and_list_that_expire_meanwhile_are_refused_on_the_next_request() {
    let ca = Ca::new("Root");
    let crls = vec![ca.crl(&[], day(30))];
    let world = World::start(vec![PartnerTrust { crls, ..ca.of("ISR") }]).await;
    let (brief, long) = (ca.leaf(|params| params.not_after = day(10)), ca.member("ISR:noa"));
    let (mut of_brief, mut of_long) = (world.connect(&brief).await, world.connect(&long).await);
    assert_eq!(ask(&mut of_brief, WHO).await.0, 200);
    world.clock.pass(15);
    let (status, text) = ask(&mut of_brief, WHO).await;
    assert!(status == 401 && text.contains(&CertificateRefusal::Expired.to_string()), "{text}");
    assert_eq!(ask(&mut of_long, WHO).await.0, 200);
    world.clock.pass(20);
    let (status, text) = ask(&mut of_long, WHO).await;
    assert!(status == 401 && text.contains(&CertificateRefusal::RevocationListExpired.to_string()), "{text}");
}

#[tokio::test]
async fn partner_withdrawn_meanwhile_is_refused_on_the_next_request() {
    let ca = Ca::new("Root");
    let world = World::start(vec![ca.of("ISR")]).await;
    let mut stream = world.connect(&ca.member("ISR:avi")).await;
    assert_eq!(ask(&mut stream, WHO).await.0, 200);
    // The same anchor for another partner: a holder accepted for the first must not go on for either.
    *world.partners.lock().unwrap() = vec![ca.of("KOR")];
    world.tls.reload().await;
    assert_eq!(ask(&mut stream, WHO).await.0, 401);
}

#[tokio::test]
async fn http_2_is_served_judged_per_request_and_told_goodbye() {
    let ca = Ca::new("Root");
    let held = ca.member("ISR:avi");
    let world = World::start(vec![ca.of("ISR")]).await;
    let stream = world.connect_by(world.config(Some(&held), &[&TLS13], &["h2"])).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut send, connection) =
        client::http2::handshake::<_, _, Body>(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection: JoinHandle<_> = tokio::spawn(connection);
    let request = |path: &str| http::Request::post(format!("https://localhost{path}"));
    let big = request("/stream").body(Body::from(vec![7; 6 << 20])).unwrap();
    let response = send.send_request(big).await.unwrap();
    let body = axum::body::to_bytes(Body::new(response.into_body()), 100).await.unwrap();
    assert_eq!(body, (6 << 20).to_string());
    world.partners.lock().unwrap()[0].crls = vec![ca.crl(&[held.serial], day(30))];
    world.tls.reload().await;
    let who = http::Request::get("https://localhost/who").body(Body::empty()).unwrap();
    let response = send.send_request(who).await.unwrap();
    assert_eq!(response.status(), 401);
    drop(response);
    connection.await.unwrap().unwrap();
}

#[tokio::test]
async fn silent_stranger_is_closed_in_the_handshake() {
    let ca = Ca::new("Root");
    let world = World::with_limits(vec![ca.of("ISR")], only(|limits| &mut limits.handshake)).await;
    closed(TcpStream::connect(world.address).await.unwrap()).await;
}

#[tokio::test]
async fn connection_without_a_whole_header_is_closed() {
    let ca = Ca::new("Root");
    let held = ca.member("ISR:avi");
    let world = World::with_limits(vec![ca.of("ISR")], only(|limits| &mut limits.header)).await;
    closed(world.connect(&held).await).await;
    closed(world.connect_by(world.config(Some(&held), &[&TLS13], &["h2"])).await.unwrap()).await;
    let mut slow = world.connect(&held).await;
    // The connection may be closed by the time that this is written.
    let _ = slow.write_all(b"GET /who HTTP/1.1\r\nhost: local").await;
    closed(slow).await;
}

#[tokio::test]
async fn idle_connection_is_closed() {
    let ca = Ca::new("Root");
    let held = ca.member("ISR:avi");
    let world = World::with_limits(vec![ca.of("ISR")], only(|limits| &mut limits.idle)).await;
    let mut idle = world.connect(&held).await;
    assert_eq!(ask(&mut idle, WHO).await.0, 200);
    closed(idle).await;
}

#[tokio::test]
async fn slow_body_gets_408_and_untaken_answer_is_cut() {
    let ca = Ca::new("Root");
    let held = ca.member("ISR:avi");
    let world = World::with_limits(vec![ca.of("ISR")], only(|limits| &mut limits.idle)).await;
    let mut slow = world.connect(&held).await;
    let (status, text) = ask(&mut slow, "POST /stream HTTP/1.1\r\nhost: l\r\ncontent-length: 10\r\n\r\nabc").await;
    assert!(status == 408 && text.contains("problem:timeout"), "{text}");
    let world = World::with_limits(vec![ca.of("ISR")], |limits| {
        (limits.stall, limits.work) = (Duration::from_millis(1), Duration::from_millis(1));
    })
    .await;
    let mut waits = world.connect(&held).await;
    waits.write_all(WAIT.as_bytes()).await.unwrap();
    assert_eq!(closed(waits).await, b"");
}

#[tokio::test]
async fn oversize_header_and_body_are_refused() {
    let ca = Ca::new("Root");
    let held = ca.member("ISR:avi");
    let world = World::with_limits(vec![ca.of("ISR")], |limits| {
        (limits.header_bytes, limits.body_bytes) = (8192, 1000);
    })
    .await;
    let header = format!("GET /who HTTP/1.1\r\nhost: l\r\nx: {}\r\n\r\n", "y".repeat(9000));
    let (status, text) = ask(&mut world.connect(&held).await, &header).await;
    assert_eq!(status, 431);
    assert!(text.contains("urn:entente:problem:headers-too-large") && text.contains("8192 bytes"), "{text}");
    // At the limit it is let through.
    let header = format!("GET /who HTTP/1.1\r\nhost: l\r\nx: {}\r\n\r\n", "y".repeat(8192 - 9 - 5 - 4));
    assert_eq!(ask(&mut world.connect(&held).await, &header).await.0, 200);
    assert_eq!(ask(&mut world.connect(&held).await, &header.replace("x: ", "x: y")).await.0, 431);
    let body =
        |path: &str| format!("POST {path} HTTP/1.1\r\nhost: l\r\ncontent-length: 1001\r\n\r\n{}", "y".repeat(1001));
    assert_eq!(ask(&mut world.connect(&held).await, &body("/size")).await.0, 413);
    assert_eq!(ask(&mut world.connect(&held).await, &body("/stream")).await.0, 200, "documents stream");
}

#[tokio::test]
async fn body_that_is_not_in_chunks_is_told_so() {
    let ca = Ca::new("Root");
    let held = ca.member("ISR:avi");
    let world = World::with_limits(vec![ca.of("ISR")], |_| {}).await;
    let head = "POST /body HTTP/1.1\r\nhost: l\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunks = |body: &str| format!("{head}{body}");
    assert_eq!(ask(&mut world.connect(&held).await, &chunks("3\r\nabc\r\n0\r\n\r\n")).await.0, 200);
    for garbled in ["xyz\r\nabc\r\n0\r\n\r\n", "3\r\nabcdef\r\n0\r\n\r\n"] {
        let (status, text) = ask(&mut world.connect(&held).await, &chunks(garbled)).await;
        assert_eq!(status, 400, "{text}");
        assert!(text.contains("urn:entente:problem:malformed") && text.contains("x-request-id: "), "{text}");
    }
}

#[tokio::test]
async fn refusal_reaches_a_client_that_is_still_sending() {
    let ca = Ca::new("Root");
    let held = ca.member("ISR:avi");
    let world = World::with_limits(vec![ca.of("ISR")], |limits| limits.body_bytes = 1000).await;
    let mut stream = world.connect(&held).await;
    let length = 20 << 20;
    stream
        .write_all(format!("POST /size HTTP/1.1\r\nhost: l\r\ncontent-length: {length}\r\n\r\n").as_bytes())
        .await
        .unwrap();
    stream.write_all(&vec![7; length]).await.unwrap();
    let text = String::from_utf8(closed(stream).await).unwrap();
    assert!(text.starts_with("HTTP/1.1 413 "), "{text}");
    let config = world.config(Some(&ca.member("KOR:min")), &[&TLS13], &[]);
    let mut stranger = world.connect_by(config).await.unwrap();
    stranger.write_all(WHO.as_bytes()).await.unwrap();
    let error = stranger.read(&mut [0; 64]).await.unwrap_err();
    assert!(error.to_string().contains("AccessDenied"), "{error}");
}

#[tokio::test]
async fn server_certificate_is_taken_up_when_its_files_change() {
    let ca = Ca::new("Root");
    let held = ca.member("ISR:avi");
    let world = World::start(vec![ca.of("ISR")]).await;
    let leaf = |stream: &TlsStream<TcpStream>| -> CertificateDer<'static> {
        stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    };
    let mut live = world.connect(&held).await;
    let old = leaf(&live);
    let files = world.files();
    let watch = Watch::new(vec![files.certificate.clone(), files.private_key.clone()], Duration::from_millis(1));
    let new = world.server_ca.server();
    write_certificate(&files, &new);
    let reloaded = Notify::new();
    let reload = async |_| {
        let ok = world.tls.reload().await.is_ok();
        if ok {
            reloaded.notify_one();
        }
        ok
    };
    tokio::select! {
        never = watch.run(true, reload, async || std::future::pending().await) => match never {},
        () = reloaded.notified() => {}
    }
    assert_eq!(leaf(&world.connect(&held).await), new.der);
    assert_ne!(old, new.der);
    assert_eq!(ask(&mut live, WHO).await.0, 200, "connections outlive the change");
}

#[tokio::test]
async fn unusable_certificate_leaves_the_old_one_in_use() {
    let ca = Ca::new("Root");
    let world = World::start(vec![ca.of("ISR")]).await;
    let other = world.server_ca.server();
    std::fs::write(world.files().private_key, other.key.serialize_pem()).unwrap();
    let reloaded = world.tls.reload().await;
    assert_eq!(reloaded.certificate.unwrap_err().key(), "api.private_key");
    assert!(reloaded.trust.is_ok());
    assert_eq!(ask(&mut world.connect(&ca.member("ISR:avi")).await, WHO).await.0, 200);
}

#[tokio::test]
async fn open_requests_finish_before_the_server_stops() {
    let ca = Ca::new("Root");
    let held = ca.member("ISR:avi");
    let mut world = World::start(vec![ca.of("ISR")]).await;
    let (mut busy, mut idle) = (world.connect(&held).await, world.connect(&held).await);
    assert_eq!(ask(&mut idle, WHO).await.0, 200);
    busy.write_all(WAIT.as_bytes()).await.unwrap();
    world.waiting.notified().await;
    drop(world.stop.take());
    assert_eq!(closed(idle).await, b"");
    assert!(TcpStream::connect(world.address).await.is_err(), "no new connections");
    world.go_on.notify_one();
    let text = String::from_utf8(closed(busy).await).unwrap();
    assert!(text.contains("at last"), "{text}");
    assert_eq!(world.stop().await, Drained { cut: 0 });
}

#[tokio::test]
async fn requests_that_never_end_are_cut_after_the_drain_limit() {
    let ca = Ca::new("Root");
    let mut world = World::with_limits(vec![ca.of("ISR")], |limits| limits.drain = Duration::from_millis(50)).await;
    let mut busy = world.connect(&ca.member("ISR:avi")).await;
    busy.write_all(WAIT.as_bytes()).await.unwrap();
    world.waiting.notified().await;
    assert_eq!(world.stop().await, Drained { cut: 1 });
    assert_eq!(closed(busy).await, b"");
}

#[test]
fn provider_has_the_hybrid_group_first_and_no_tls_12() {
    assert_eq!(provider().kx_groups[0].name(), rustls::NamedGroup::X25519MLKEM768);
    assert!(provider().cipher_suites.iter().all(|suite| suite.tls13().is_some()));
}
