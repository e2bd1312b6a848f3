//! The demonstration's world for tests: the same server, PKI, members and client library, on a clock that stands still until
//! the test moves it, on SQLite or PostgreSQL, in a folder that goes when the test ends.
//!
//! Must never do what a member could not: it hands out members' clients and certificates, and what is beneath for looking.

use super::{
    kept_world::{self, KeptWorld},
    postgres::{Database, LIMITS},
    process::PATIENCE,
    relay::Relay,
    scratch::scratch,
};
use entente::{
    demo::world::DemoWorld,
    dev_pki::{CertificateAndKey, cast::DemoNation},
    domain::ambient::{Clock, SystemClock, SystemRng},
    http::crypto::provider,
    storage::PostgresLimits,
};
use jiff::Timestamp;
use reqwest::{Method, RequestBuilder};
use rustls::{
    AlertDescription,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    collections::BTreeMap,
    fs,
    ops::Deref,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::OnceCell,
};

/// Stands still until it is set.
#[derive(Debug)]
pub(crate) struct TestClock {
    now: AtomicI64,
    is_machines: AtomicBool,
    /// What a machine's steady clock shows, in milliseconds.
    steady: AtomicU64,
}

impl TestClock {
    /// A clock that shows the start of the minute, this many days ago. Clients judge the server's certificate by the
    /// machine's own clock, so a story has to play in the three years around the present.
    pub(crate) fn days_ago(days: i64) -> Arc<Self> {
        let then = SystemClock.now().as_second() - days * 86_400;
        Self::at(Timestamp::from_second(then - then % 60).unwrap())
    }

    /// A clock that shows this instant.
    fn at(now: Timestamp) -> Arc<Self> {
        Arc::new(Self {
            now: AtomicI64::new(now.as_millisecond()),
            is_machines: AtomicBool::new(false),
            steady: AtomicU64::new(0),
        })
    }

    pub(crate) fn set(&self, at: Timestamp) {
        self.now.store(at.as_millisecond(), Ordering::SeqCst);
    }

    /// From here on it counts as a machine's: one beside which no time passes until it is [passed](Self::pass), so that setting it makes
    /// it jump.
    pub(crate) fn becomes_a_machines(&self) {
        self.is_machines.store(true, Ordering::SeqCst);
    }

    /// Time passes until this instant.
    pub(crate) fn pass(&self, until: Timestamp) {
        let passed = until.duration_since(self.now()).as_millis();
        self.steady.fetch_add(passed.try_into().expect("time does not pass backwards"), Ordering::SeqCst);
        self.set(until);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.now.load(Ordering::SeqCst)).unwrap()
    }

    fn steady(&self) -> Option<Duration> {
        self.is_machines.load(Ordering::SeqCst).then(|| Duration::from_millis(self.steady.load(Ordering::SeqCst)))
    }
}

/// Where the exchange keeps what it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Store {
    Sqlite,
    Postgres,
}

/// A running exchange with its nations and members. The first nation hosts.
pub(crate) struct TestWorld {
    world: DemoWorld,
    pub(crate) clock: Arc<TestClock>,
    // Fields are dropped in this order: the database only after the server has closed it.
    _database: Option<Database>,
    folder: TempDir,
}

impl Deref for TestWorld {
    type Target = DemoWorld;

    fn deref(&self) -> &DemoWorld {
        &self.world
    }
}

impl TestWorld {
    /// Starts with the shipped policies. `None` when there is no PostgreSQL on this machine and that is what was asked for.
    pub(crate) async fn start(nations: &'static [DemoNation], store: Store) -> Option<Self> {
        Self::start_with(nations, store, &[]).await
    }

    /// The same with more settings of the server, as `key`, `value`.
    pub(crate) async fn start_with(
        nations: &'static [DemoNation],
        store: Store,
        settings: &[(&str, &str)],
    ) -> Option<Self> {
        Some(Self::made(nations, store).await?.copy(settings).await)
    }

    /// On PostgreSQL that is reached through a relay.
    pub(crate) async fn start_behind_relay(nations: &'static [DemoNation]) -> Option<(Self, Relay)> {
        Self::start_behind_relay_with(nations, &[]).await
    }

    /// The same with more settings of the server.
    pub(crate) async fn start_behind_relay_with(
        nations: &'static [DemoNation],
        settings: &[(&str, &str)],
    ) -> Option<(Self, Relay)> {
        let made = Self::made(nations, Store::Postgres).await?;
        let database = made.world.database.as_ref()?.copy().await;
        let relay = Relay::start(&database).await;
        // What falls silent is given up after this time, for which tests wait.
        let limits = PostgresLimits { answer: Duration::from_secs(7), ..LIMITS };
        let place = (relay.url(), limits);
        Some((made.copy_on(Some(database), Some(place), settings).await, relay))
    }

    /// What worlds of these nations are copied from, made when the first is wanted.
    async fn made(nations: &'static [DemoNation], store: Store) -> Option<&'static KeptTestWorld> {
        type Cell = OnceCell<Option<KeptTestWorld>>;
        static MADE: Mutex<BTreeMap<(String, Store), &'static Cell>> = Mutex::new(BTreeMap::new());
        let key = (format!("{nations:?}"), store);
        let cell: &'static Cell = MADE.lock().unwrap().entry(key).or_insert_with(|| Box::leak(Box::<Cell>::default()));
        let make = || Box::pin(async { Some(Self::make(nations, store).await?.keep().await) });
        cell.get_or_init(make).await.as_ref()
    }

    async fn make(nations: &'static [DemoNation], store: Store) -> Option<Self> {
        if std::env::var_os("ENTENTE_TEST_LOG").is_some() {
            let _ =
                tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(std::io::stderr).try_init();
        }
        let database = match store {
            Store::Sqlite => None,
            Store::Postgres => Some(Database::migrated().await?),
        };
        let folder = scratch();
        let dir = folder.path().canonicalize().unwrap();
        let url = database.as_ref().map_or_else(|| sqlite(&dir), Database::url);
        let clock = TestClock::days_ago(110);
        let plan = kept_world::plan(dir, url, nations);
        let world = DemoWorld::start(plan, clock.clone(), Arc::new(SystemRng)).await.unwrap();
        Some(Self { world, clock, _database: database, folder })
    }

    /// Stops it, for copies of it to begin where it ended.
    pub(crate) async fn keep(self) -> KeptTestWorld {
        let Self { world, clock, _database: database, folder: _folder } = self;
        KeptTestWorld { world: KeptWorld::of(world, database).await, now: clock.now() }
    }

    /// The folder of sealed documents.
    pub(crate) fn blobs_folder(&self) -> PathBuf {
        self.plan.dir.join("blobs")
    }

    /// How many files there are in the folder of sealed documents.
    pub(crate) fn blobs(&self) -> usize {
        let files =
            |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
        files(self.folder.path().join("blobs/blobs")).flat_map(files).count()
    }

    /// A file with these bytes in the world's folder.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join("files").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The certificate of a member or a registrar.
    pub(crate) fn credential(&self, member: &str) -> &CertificateAndKey {
        let member = member.parse::<entente::domain::id::MemberId>().unwrap();
        &self.world.pki.partners[member.partner()].members[&member]
    }

    /// Another certificate of a member, in the cast or not, with a new key.
    pub(crate) fn next_credential(&self, member: &str) -> CertificateAndKey {
        let member = member.parse::<entente::domain::id::MemberId>().unwrap();
        let authority = &self.world.pki.partners[member.partner()].authority;
        authority.issue(&authority.member(&member), &*self.world.rng).unwrap()
    }

    /// Raw HTTP under a certificate, or under none.
    pub(crate) fn raw(&self, credential: Option<&CertificateAndKey>) -> Raw {
        let tls = self.tls(credential);
        let http = reqwest::Client::builder().tls_backend_preconfigured(tls).timeout(PATIENCE).build().unwrap();
        Raw { http, base: format!("https://localhost:{}", self.world.address().port()) }
    }

    /// The TLS of a client that trusts the server and shows a certificate, or none.
    pub(crate) fn tls(&self, credential: Option<&CertificateAndKey>) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        let ca = self.world.pki.server_authority.certificate.as_bytes();
        roots.add(CertificateDer::from_pem_slice(ca).unwrap()).unwrap();
        let tls = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots);
        let Some(credential) = credential else { return tls.with_no_client_auth() };
        let certificate = CertificateDer::from_pem_slice(credential.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(credential.private_key.expose().as_bytes()).unwrap();
        tls.with_client_auth_cert(vec![certificate], key).unwrap()
    }

    /// The alert with which the server refuses a certificate, or `None` when it takes it.
    pub(crate) async fn alert(&self, credential: Option<&CertificateAndKey>) -> Option<AlertDescription> {
        let tcp = TcpStream::connect(self.world.address()).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(self.tls(credential)));
        // In TLS 1.3 the client is done before the server has looked at its certificate: what it says comes with the first read.
        let mut tls = connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
        tls.write_all(b"GET /v1/me HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let Err(error) = tls.read_u8().await else { return None };
        match error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::AlertReceived(alert)) => Some(*alert),
            _ => panic!("neither an answer nor an alert: {error}"),
        }
    }

    /// Stops the server; open requests finish first.
    pub(crate) async fn stop(self) {
        self.world.stop().await;
    }

    /// The same, but the members' homes stay as long as the folder that is returned.
    pub(crate) async fn stop_keeping(self) -> TempDir {
        self.world.stop().await;
        self.folder
    }
}

/// A world that each test gets a copy of.
#[derive(Debug)]
pub(crate) struct KeptTestWorld {
    world: KeptWorld,
    now: Timestamp,
}

impl KeptTestWorld {
    /// A copy, with more settings of the server, as `key`, `value`.
    pub(crate) async fn copy(&self, settings: &[(&str, &str)]) -> TestWorld {
        let database = match &self.world.database {
            Some(database) => Some(database.copy().await),
            None => None,
        };
        let place = database.as_ref().map(|database| (database.url(), LIMITS));
        self.copy_on(database, place, settings).await
    }

    /// A copy on this copy of the database, reached by this address and waited for so long.
    async fn copy_on(
        &self,
        database: Option<Database>,
        place: Option<(String, PostgresLimits)>,
        settings: &[(&str, &str)],
    ) -> TestWorld {
        let folder = scratch();
        let dir = folder.path().canonicalize().unwrap();
        let place = place.unwrap_or_else(|| (sqlite(&dir), LIMITS));
        let clock = TestClock::at(self.now);
        // An innocent member begins programs as long as others attack.
        let settings = [&[("quotas.programs_per_partner", "1000000")], settings].concat();
        let world = self.world.copy(dir, place, &settings, clock.clone()).await;
        TestWorld { world, clock, _database: database, folder }
    }
}

fn sqlite(dir: &Path) -> String {
    format!("sqlite://{}", dir.join("entente.db").display())
}

/// Makes an empty file that was last written to at this instant.
pub(crate) fn written(path: PathBuf, at: Timestamp) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let since = Duration::from_millis(at.as_millisecond().try_into().unwrap());
    fs::File::create(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH + since).unwrap();
    path
}

/// A client that knows nothing but HTTP.
pub(crate) struct Raw {
    http: reqwest::Client,
    base: String,
}

impl Raw {
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }
}
