//! The transport against a server that does what a script says, over real mutual TLS on the loopback.

use super::*;
use crate::{
    client::{files, progress::NoProgress},
    dev_pki::testing::{Issued, TestAuthority, dns},
    sealing::signer::{SignatureAlgorithm, SignerError},
};
use rustls::{
    CertificateError, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime, pem::PemObject},
    server::WebPkiClientVerifier,
};
use serde_json::{Value, json};
use std::sync::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

/// What the server does with the connection whose turn it is.
enum Turn {
    /// Reads the request and says nothing.
    Break,
    /// Answers with these bytes and closes.
    Answer(String),
    /// Shows a certificate that nobody vouches for.
    Stranger,
}

/// An authority, and when what it issues expires if that is not far away.
struct Authority(TestAuthority, Option<time::OffsetDateTime>);

struct Bench {
    folder: tempfile::TempDir,
    profile: Profile,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Authority {
    fn new() -> Self {
        Self(TestAuthority::with("Root", |_| {}), None)
    }

    /// A certificate for a name, of a server or of a client, and its key, both PEM.
    fn leaf(&self, name: &str) -> (String, String) {
        let Issued { certificate, key } = self.0.issue(|params| {
            params.subject_alt_names = vec![dns(name)];
            params.extended_key_usages = Vec::new();
            params.not_after = self.1.unwrap_or(params.not_after);
        });
        (certificate.pem(), key.serialize_pem())
    }
}

/// A server that takes its turns, one connection each, and a profile that reaches it. `clients` vouches for whom it lets in.
async fn bench(turns: Vec<Turn>, server: &Authority, trusted: &Authority, clients: &Authority) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        path
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (certificate, private_key) = trusted.leaf("member");
    let profile = Profile {
        name: "test".into(),
        server: format!("https://localhost:{}", listener.local_addr().unwrap().port()),
        server_ca: vec![file("ca.pem", &trusted.0.certificate.pem())],
        certificate: file("me.pem", &certificate),
        private_key: file("me.key", &private_key),
        identities: Vec::new(),
        member: None,
        zone: None,
    };
    let (acceptor, stranger) = (acceptor(server, clients), acceptor(&Authority::new(), clients));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let heard = seen.clone();
    tokio::spawn(async move {
        for turn in turns {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = if matches!(turn, Turn::Stranger) { &stranger } else { &acceptor };
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let request = read_request(&mut stream).await;
            heard.lock().unwrap().push(request);
            if let Turn::Answer(answer) = turn {
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.shutdown().await.ok();
            }
        }
    });
    Bench { folder, profile, seen }
}

fn acceptor(server: &Authority, clients: &Authority) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(clients.0.certificate.der().clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build().unwrap();
    let (certificate, key) = server.leaf("localhost");
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    let key = PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let config = config.unwrap().with_client_cert_verifier(verifier).with_single_cert(vec![certificate], key.into());
    TlsAcceptor::from(Arc::new(config.unwrap()))
}

async fn read_request(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = field(head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                return text.into_owned();
            }
        }
        match stream.read(&mut piece).await.unwrap() {
            0 => return String::from_utf8_lossy(&bytes).into_owned(),
            len => bytes.extend_from_slice(&piece[..len]),
        }
    }
}

fn field(head: &str, name: &str) -> Option<String> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
}

fn answer(status: &str, fields: &str, body: &str) -> Turn {
    let length = body.len();
    Turn::Answer(format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{fields}\r\n{body}"))
}

async fn served(turns: Vec<Turn>) -> (Transport, Bench) {
    let authority = Authority::new();
    let bench = bench(turns, &authority, &authority, &authority).await;
    (transport(&bench), bench)
}

fn made(profile: &Profile) -> Result<Transport> {
    Transport::new(profile, &files::read_private(&profile.private_key)?, Ambient::system())
}

fn transport(bench: &Bench) -> Transport {
    Transport { first_wait: Duration::ZERO, ..made(&bench.profile).unwrap() }
}

async fn post(transport: &Transport) -> Result<Tagged<Value>> {
    transport.send(Method::POST, "/v1/programs", Some(&json!({ "name": "x" })), None).await
}

#[tokio::test]
async fn broken_request_is_repeated_with_the_same_key() {
    let (transport, bench) = served(vec![Turn::Break, answer("201 Created", "etag: \"1\"\r\n", "{\"id\":1}")]).await;
    let done = post(&transport).await.unwrap();
    assert_eq!((done.body, done.etag.as_deref()), (json!({ "id": 1 }), Some("\"1\"")));
    let seen = bench.seen.lock().unwrap().clone();
    let keys: Vec<_> = seen.iter().map(|request| field(request, "idempotency-key").unwrap()).collect();
    assert_eq!(keys.len(), 2);
    assert!(keys[0] == keys[1] && keys[0].len() == 32, "{keys:?}");
    assert!(seen[1].ends_with("{\"name\":\"x\"}"));
}

/// A signer whose key has gone.
#[derive(Debug)]
struct Gone;

impl Signer for Gone {
    fn certificate(&self) -> &[u8] {
        &[]
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::Es256
    }

    fn sign(&self, _message: &[u8]) -> Result<Vec<u8>, SignerError> {
        Err(SignerError::Failed("what held it has ended".into()))
    }
}

#[tokio::test]
async fn key_that_has_gone_is_no_fault_of_the_network_and_is_not_tried_again() {
    let (_, bench) = served(vec![answer("200 OK", "", "{}")]).await;
    let transport = Transport::by_signer(&bench.profile, Arc::new(Gone), Ambient::system()).unwrap();
    let error = post(&transport).await.unwrap_err();
    assert!(matches!(error, ClientError::Local { .. }), "{error:?}");
    assert!(error.to_string().contains("what held it has ended"), "{error}");
    assert_eq!(error.help(), "run the command again");
    assert!(bench.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn answer_cut_short_is_asked_for_again() {
    let cut = Turn::Answer("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{\"id\":".into());
    let (transport, bench) = served(vec![cut, answer("200 OK", "", "{\"id\":1}")]).await;
    assert_eq!(post(&transport).await.unwrap().body, json!({ "id": 1 }));
    let seen = bench.seen.lock().unwrap().clone();
    assert_eq!(field(&seen[0], "idempotency-key"), field(&seen[1], "idempotency-key"));
}

#[tokio::test]
async fn third_break_is_the_last() {
    let (transport, bench) = served(vec![Turn::Break, Turn::Break, Turn::Break, answer("200 OK", "", "{}")]).await;
    assert_eq!(post(&transport).await.unwrap_err().class().code(), 5);
    assert_eq!(bench.seen.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn refusal_is_a_problem_and_is_not_repeated() {
    let problem = Problem::new(Kind::Denied, "guardrails: embargo");
    let body = serde_json::to_string(&problem).unwrap();
    let fields = "content-type: application/problem+json\r\nx-request-id: r7\r\n";
    let (transport, bench) = served(vec![answer("403 Forbidden", fields, &body), answer("200 OK", "", "{}")]).await;
    let refused = post(&transport).await.unwrap_err();
    assert_eq!((refused.problem(), refused.class().code()), (Some(&problem), 3));
    assert_eq!(refused.to_string(), "guardrails: embargo (request r7)");
    assert_eq!(bench.seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn busy_exchange_is_asked_once_more_after_the_time_it_names() {
    let busy = || answer("503 Service Unavailable", "retry-after: 0\r\n", "");
    let (transport, bench) = served(vec![busy(), answer("200 OK", "", "{}")]).await;
    post(&transport).await.unwrap();
    let seen = bench.seen.lock().unwrap().clone();
    assert_eq!(field(&seen[0], "idempotency-key"), field(&seen[1], "idempotency-key"));
    let (transport, _bench) = served(vec![busy(), busy(), answer("200 OK", "", "{}")]).await;
    assert_eq!(post(&transport).await.unwrap_err().class().code(), 3);
}

#[tokio::test]
async fn wait_of_hours_is_told_and_not_waited_for() {
    let refused = || {
        let problem = Problem::new(Kind::DailyQuotaReached, "room again at noon");
        let fields = "content-type: application/problem+json\r\nretry-after: 7200\r\n";
        answer("429 Refused", fields, &serde_json::to_string(&problem).unwrap())
    };
    let (transport, bench) = served(vec![refused(), answer("200 OK", "", "{}")]).await;
    let told = post(&transport).await.unwrap_err();
    assert_eq!((told.slug(), told.to_string().as_str()), (Some("daily-quota-reached"), "room again at noon"));
    assert_eq!(bench.seen.lock().unwrap().len(), 1);
}

/// The exchange's refusal of this kind, to be repeated at once if at all.
fn refuses(kind: Kind) -> Turn {
    let problem = Problem::new(kind, "the detail");
    let fields = "content-type: application/problem+json\r\nretry-after: 0\r\n";
    answer(&format!("{} Refused", problem.status), fields, &serde_json::to_string(&problem).unwrap())
}

/// An answer that ends before it is whole.
fn cut_short() -> Turn {
    Turn::Answer("HTTP/1.1 201 Created\r\nconnection: close\r\ncontent-length: 50\r\n\r\n{\"id\":".into())
}

#[tokio::test]
async fn exchange_that_does_not_know_what_became_of_an_act_is_asked_again_with_the_same_key() {
    let unknown = || refuses(Kind::OutcomeUnknown);
    let (transport, bench) = served(vec![unknown(), unknown(), answer("201 Created", "", "{}")]).await;
    post(&transport).await.unwrap();
    let seen = bench.seen.lock().unwrap().clone();
    let keys: Vec<_> = seen.iter().map(|request| field(request, "idempotency-key").unwrap()).collect();
    assert!(keys.len() == 3 && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    let (transport, bench) = served((0..4).map(|_| unknown()).collect()).await;
    let doubt = post(&transport).await.unwrap_err();
    assert_eq!((doubt.slug(), bench.seen.lock().unwrap().len()), (Some("outcome-unknown"), 3));
    assert!(doubt.help().contains("repeat the command only if it is not"), "{}", doubt.help());
}

#[tokio::test]
async fn act_whose_answer_never_came_is_said_to_be_in_doubt_and_one_that_was_never_sent_is_not() {
    let (transport, _bench) = served(vec![Turn::Break, Turn::Break, Turn::Break]).await;
    let doubt = post(&transport).await.unwrap_err();
    assert!(doubt.to_string().ends_with("whether it was done is not known"), "{doubt}");
    assert!(!doubt.help().contains("repeating is safe"), "{}", doubt.help());
    let (transport, bench) = served(Vec::new()).await;
    drop(bench);
    let unsent = post(&transport).await.unwrap_err();
    assert!(unsent.help().ends_with("nothing was sent") && !unsent.to_string().contains("not known"), "{unsent}");
}

/// Requires that an act is said to be in doubt, with the advice to look before it is repeated, and never not to be done.
fn says_in_doubt(error: &ClientError) {
    let (what, help) = (error.to_string(), error.help());
    assert!(what.contains("whether it was done is not known"), "{what}");
    assert!(help.contains("repeat the command only if it is not"), "{help}");
    assert!(!help.contains("nothing was") && !what.contains("nothing was"), "{what}: {help}");
}

/// Requires that an act is said to be done, and not to be repeated.
fn says_done(error: &ClientError) {
    assert!(error.to_string().starts_with("it was done, but its answer cannot be read: "), "{error}");
    assert!(error.help().ends_with("do not repeat the command"), "{}", error.help());
}

#[tokio::test]
async fn act_of_which_the_exchange_was_not_sure_stays_in_doubt_when_it_goes_away() {
    let (transport, _bench) = served(vec![refuses(Kind::OutcomeUnknown)]).await;
    says_in_doubt(&post(&transport).await.unwrap_err());
}

#[tokio::test]
async fn act_whose_answer_was_cut_short_is_said_to_be_done() {
    for turns in
        [vec![cut_short()], vec![cut_short(), cut_short(), cut_short()], vec![cut_short(), refuses(Kind::NotFound)]]
    {
        let (transport, _bench) = served(turns).await;
        says_done(&post(&transport).await.unwrap_err());
    }
}

#[tokio::test]
async fn refusal_after_a_try_without_an_answer_leaves_the_act_in_doubt() {
    let kinds = [
        Kind::Unavailable,
        Kind::Overloaded,
        Kind::TooManyAnswers,
        Kind::CertificateRefused,
        Kind::NotAMember,
        Kind::NotFound,
        Kind::Denied,
        Kind::NoKeyCard,
    ];
    for refusal in kinds {
        let (transport, _bench) = served(vec![Turn::Break, refuses(refusal), refuses(refusal)]).await;
        let doubt = post(&transport).await.unwrap_err();
        assert_eq!(doubt.slug(), Some("outcome-unknown"), "{refusal:?}");
        assert!(doubt.to_string().starts_with("the detail; "), "{doubt}");
        says_in_doubt(&doubt);
    }
    // The answer of something in between proves nothing, not even at the first try.
    for turns in [vec![Turn::Break, answer("404 Not Found", "", "")], vec![answer("502 Bad Gateway", "", "")]] {
        let (transport, _bench) = served(turns).await;
        says_in_doubt(&post(&transport).await.unwrap_err());
    }
    // A rule is asked only after the exchange has looked for an earlier answer.
    let (transport, _bench) = served(vec![Turn::Break, refuses(Kind::Exists)]).await;
    assert_eq!(post(&transport).await.unwrap_err().slug(), Some("exists"));
}

#[tokio::test]
async fn exchange_that_refused_and_then_went_away_has_done_nothing() {
    let (transport, _bench) = served(vec![refuses(Kind::Unavailable)]).await;
    let refused = post(&transport).await.unwrap_err();
    assert_eq!(refused.class().code(), 5);
    assert!(refused.help().ends_with("try again; nothing was done"), "{}", refused.help());
}

#[tokio::test]
async fn stranger_in_place_of_the_exchange_leaves_an_act_that_was_sent_in_doubt() {
    let (transport, _bench) = served(vec![Turn::Break, Turn::Stranger]).await;
    let doubt = post(&transport).await.unwrap_err();
    assert_eq!(doubt.class().code(), 4, "{doubt}");
    says_in_doubt(&doubt);
    let (transport, _bench) = served(vec![Turn::Stranger]).await;
    let unsent = post(&transport).await.unwrap_err();
    assert!(unsent.help().ends_with("; nothing was sent"), "{}", unsent.help());
}

#[tokio::test]
async fn act_whose_answer_is_not_understood_is_said_to_be_done() {
    let (transport, _bench) = served(vec![answer("201 Created", "", "<html>")]).await;
    says_done(&post(&transport).await.unwrap_err());
}

#[tokio::test]
async fn download_goes_on_where_it_stopped() {
    let cut = Turn::Answer("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n01234".into());
    let (transport, bench) = served(vec![cut, answer("206 Partial Content", "", "56789")]).await;
    let got = Mutex::new(Vec::new());
    let take = async |piece: Bytes| -> Result<()> {
        got.lock().unwrap().extend_from_slice(&piece);
        Ok(())
    };
    transport.download("/v1/x", 10, take).await.unwrap();
    assert_eq!(*got.lock().unwrap(), b"0123456789");
    assert_eq!(field(&bench.seen.lock().unwrap()[1], "range").as_deref(), Some("bytes=5-"));
}

#[tokio::test]
async fn download_ends_at_the_size_that_it_may_have_in_one_piece_or_in_several() {
    let long = answer("200 OK", "", "0123456789");
    let cut = Turn::Answer("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n01234".into());
    for turns in [vec![long], vec![cut, answer("206 Partial Content", "", "56789")]] {
        let (transport, _bench) = served(turns).await;
        let got = Mutex::new(0);
        let take = async |piece: Bytes| -> Result<()> {
            *got.lock().unwrap() += piece.len();
            Ok(())
        };
        let refused = transport.download("/v1/x", 9, take).await.unwrap_err();
        assert_eq!((refused.class().code(), *got.lock().unwrap() <= 9), (4, true), "{refused}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn private_key_that_others_can_read_is_not_used_any_more() {
    let (_, bench) = served(Vec::new()).await;
    let set = |mode| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs::set_permissions(&bench.profile.private_key, mode).unwrap();
    };
    set(0o644);
    let refused = made(&bench.profile).unwrap_err();
    assert!(refused.class().code() == 1 && refused.to_string().contains("can be read by others"), "{refused}");
    set(0o600);
    assert!(made(&bench.profile).is_ok());
}

#[tokio::test]
async fn exchange_s_clock_is_heard_from_answers_and_refusals_alike() {
    let date = |date: &str| format!("date: {date}\r\n");
    let early = answer("200 OK", &date("Wed, 01 Apr 2026 14:30:00 GMT"), "{}");
    let late = answer("403 Forbidden", &date("Wed, 01 Apr 2099 14:30:00 GMT"), "");
    let (transport, _bench) = served(vec![early, late]).await;
    assert_eq!(transport.clock().ahead(), None);
    post(&transport).await.unwrap();
    assert!(transport.clock().now() < "2026-04-01T15:00:00Z".parse().unwrap());
    post(&transport).await.unwrap_err();
    assert!(transport.clock().now() > "2099-04-01T14:00:00Z".parse().unwrap());
}

/// Sends a sealed file to a server that takes these turns.
async fn upload(turns: Vec<Turn>) -> (Result<Value>, Bench) {
    let (transport, bench) = served(turns).await;
    let file = bench.folder.path().join("plan.age");
    fs::write(&file, "sealed").unwrap();
    let (sha256, media_type) = (Sha256::of(b"sealed"), "application/pdf");
    let upload = Upload { file: &file, sha256, size: 6, media_type, idempotency_key: "k1" };
    let progress: Arc<dyn ProgressListener> = Arc::new(NoProgress);
    (transport.upload("/v1/x", &upload, &progress).await, bench)
}

#[tokio::test]
async fn upload_says_what_it_sends_and_begins_again_when_broken() {
    let (sent, bench) = upload(vec![Turn::Break, answer("201 Created", "", "{}")]).await;
    sent.unwrap();
    let sha256 = Sha256::of(b"sealed");
    for request in bench.seen.lock().unwrap().iter() {
        let digest = format!("sha-256=:{}:", BASE64_STANDARD.encode(sha256.as_bytes()));
        for (name, value) in [
            ("content-length", "6"),
            ("content-type", "application/vnd.age"),
            ("entente-media-type", "application/pdf"),
            ("idempotency-key", "k1"),
            ("repr-digest", digest.as_str()),
        ] {
            assert_eq!(field(request, name).as_deref(), Some(value), "{name}");
        }
        assert!(request.ends_with("\r\n\r\nsealed"), "{request}");
    }
    assert_eq!(bench.seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn upload_that_may_have_been_taken_is_in_doubt_and_goes_on_with_the_same_command() {
    for refusal in [Kind::Unavailable, Kind::TooLarge, Kind::WrongMediaType, Kind::NoKeyCard] {
        let doubt = upload(vec![Turn::Break, refuses(refusal), refuses(refusal)]).await.0.unwrap_err();
        assert_eq!(doubt.slug(), Some("outcome-unknown"), "{refusal:?}");
        assert_eq!(doubt.to_string(), "the detail; whether it was done is not known");
        assert!(doubt.help().starts_with("run the same command again"), "{}", doubt.help());
        // What was refused and nothing else is not in doubt.
        let refused = upload(vec![refuses(refusal), refuses(refusal)]).await.0.unwrap_err();
        assert_eq!(refused.to_string(), "the detail");
    }
    let doubt = upload(vec![Turn::Break, Turn::Break, Turn::Break]).await.0.unwrap_err();
    assert!(doubt.to_string().ends_with("whether it was done is not known"), "{doubt}");
    assert!(doubt.help().starts_with("run the same command again"), "{}", doubt.help());
}

#[tokio::test]
async fn upload_whose_answer_cannot_be_read_is_said_to_be_done() {
    for turns in [
        vec![answer("201 Created", "", "")],
        vec![answer("201 Created", "", "<html>")],
        vec![cut_short(), cut_short(), cut_short()],
        vec![cut_short(), refuses(Kind::TooLarge)],
    ] {
        let done = upload(turns).await.0.unwrap_err();
        assert!(done.to_string().starts_with("it was done, but its answer cannot be read: "), "{done}");
        assert!(done.help().starts_with("run the same command again"), "{}", done.help());
    }
}

#[tokio::test]
async fn server_that_the_profile_does_not_vouch_for_is_told_nothing() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let bench = bench(vec![answer("200 OK", "", "{}")], &theirs, &ours, &ours).await;
    let refused = post(&transport(&bench)).await.unwrap_err();
    assert_eq!(refused.class().code(), 4, "{refused}");
    assert!(bench.seen.lock().unwrap().is_empty());
}

#[test]
fn fault_of_the_servers_certificate_is_told_in_words() {
    for fault in [CertificateError::UnknownIssuer, CertificateError::BadSignature] {
        assert_eq!(certificate_fault(&fault), "no CA in it issued the certificate");
    }
}

#[test]
fn certificate_out_of_its_time_names_the_clock_in_words() {
    let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let (then, now) = (at(1_775_055_600), at(1_617_289_207));
    let early = untimely(&CertificateError::NotValidYetContext { time: now, not_before: then }).unwrap();
    assert_eq!(
        early,
        "is not valid yet (limit: 2026-04-01 15:00:00 UTC) by this machine's clock: 2021-04-01 15:00:07 UTC; the clock may be wrong"
    );
    let late = untimely(&CertificateError::ExpiredContext { time: then, not_after: now }).unwrap();
    assert!(late.starts_with("has expired (limit: 2021-04-01 15:00:07 UTC) by this machine's clock: 2026-"), "{late}");
    assert!(untimely(&CertificateError::Expired).is_some() && untimely(&CertificateError::BadSignature).is_none());
}

#[tokio::test]
async fn server_whose_certificate_has_expired_is_told_with_the_clock() {
    let mut ours = Authority::new();
    ours.1 = Some(rcgen::date_time_ymd(2020, 1, 1));
    let bench = bench(vec![answer("200 OK", "", "{}")], &ours, &ours, &ours).await;
    let refused = post(&transport(&bench)).await.unwrap_err();
    assert_eq!(refused.class().code(), 4, "{refused}");
    assert!(refused.to_string().contains("has expired (limit: 2020-01-01 00:00:00 UTC)"), "{refused}");
    assert!(refused.help().contains("clock") && bench.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn server_that_speaks_another_tls_is_not_one_that_refuses_the_certificate() {
    let ours = Authority::new();
    let bench = bench(Vec::new(), &ours, &ours, &ours).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_u8().await.unwrap();
        // A fatal alert, `protocol_version`: what a server of TLS 1.2 says.
        stream.write_all(&[0x15, 3, 3, 0, 2, 2, 70]).await.unwrap();
        stream.shutdown().await.ok();
    });
    let transport = made(&Profile { server, ..bench.profile.clone() }).unwrap();
    let unreached = post(&transport).await.unwrap_err();
    assert_eq!((unreached.class().code(), unreached.slug()), (5, None), "{unreached}");
}

#[tokio::test]
async fn certificate_that_the_exchange_refuses_is_a_refusal() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let turns = (0..3).map(|_| answer("200 OK", "", "{}")).collect();
    let bench = bench(turns, &ours, &ours, &theirs).await;
    let refused = post(&transport(&bench)).await.unwrap_err();
    assert_eq!(refused.slug(), Some("certificate-refused"), "{refused}");
    assert_eq!(refused.class().code(), 3);
}

#[tokio::test]
async fn silence_where_the_exchange_should_be_is_its_own_class() {
    let (transport, bench) = served(Vec::new()).await;
    drop(bench);
    // The listener is gone with the script, so nobody answers.
    assert_eq!(post(&transport).await.unwrap_err().class().code(), 5);
}

#[test]
fn address_must_be_https_and_nothing_more() {
    let profile = |server: &str| Profile {
        name: "x".into(),
        server: server.into(),
        server_ca: Vec::new(),
        certificate: "x".into(),
        private_key: "x".into(),
        identities: Vec::new(),
        member: None,
        zone: None,
    };
    for server in ["http://exchange.example", "exchange.example", "https://exchange.example/v1", ""] {
        assert_eq!(Transport::new(&profile(server), &[], Ambient::system()).unwrap_err().class().code(), 2, "{server}");
    }
}

#[cfg(feature = "server")]
#[test]
fn client_waits_longer_than_an_exchange_works_on_a_request() {
    let work = crate::share_table::LONGEST_WORK;
    assert!(PATIENCE > work, "given up after {PATIENCE:?}, worked on for {work:?}");
}
