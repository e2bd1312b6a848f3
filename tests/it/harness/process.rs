//! The programs themselves, as processes, on an exchange that was set up beforehand in a folder of its own.
//!
//! Whatever is waited for says so itself (a line, an end, an answer); nothing here waits for time to pass, but nothing
//! waits for ever either.

use super::{
    kept_world::{self, KeptWorld},
    scratch::scratch,
};
use entente::{
    client::{Home, Profile},
    demo::world::{DemoPlan, DemoWorld},
    dev_pki::cast::DemoNation,
    domain::{
        ambient::{SystemClock, SystemRng},
        id::MemberId,
    },
    http::crypto::provider,
    sealing::jws::SigningKey,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Output, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::UnixDatagram,
    process::{Child, Command},
    sync::OnceCell,
    time::timeout,
};

/// The longest that anything is waited for; what takes it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);

const SERVER: &str = env!("CARGO_BIN_EXE_entente-server");
const CLIENT: &str = env!("CARGO_BIN_EXE_entente");

/// A folder in which an exchange lives.
#[derive(Debug)]
pub(crate) struct Site {
    folder: TempDir,
    database_url: String,
}

impl Site {
    /// On SQLite, unless a database is given.
    pub(crate) fn new(database_url: Option<String>) -> Self {
        let folder = scratch();
        let own = database_in(folder.path());
        Self { folder, database_url: database_url.unwrap_or(own) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn database_url(&self) -> &str {
        &self.database_url
    }

    /// An exchange in this process, with members that have homes and key cards; the first nation hosts. Writes the
    /// configuration with which the program serves the same data once this one is stopped.
    pub(crate) async fn world(&self, nations: &'static [DemoNation]) -> DemoWorld {
        let plan = kept_world::plan(self.folder.path().to_owned(), self.database_url.clone(), nations);
        fs::write(self.config(), config(&plan)).unwrap();
        if self.database_url == database_in(self.folder.path()) {
            made(nations)
                .await
                .copy(plan.dir, (plan.database_url, plan.database_limits), &[], Arc::new(SystemClock))
                .await
        } else {
            DemoWorld::start(plan, Arc::new(SystemClock), Arc::new(SystemRng)).await.unwrap()
        }
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("server.toml")
    }

    /// `entente-server` with this configuration and these words, run to its end.
    pub(crate) async fn operate(&self, words: &[&str]) -> Output {
        let mut command = Command::new(SERVER);
        command.arg("--config").arg(self.config()).args(words);
        ended(command).await
    }

    /// The program, serving.
    pub(crate) async fn serve(&self) -> Server {
        Server::start(&self.config(), &self.path("server.log")).await
    }

    /// The program, serving, started by a service manager that listens at this socket.
    #[cfg(target_os = "linux")]
    pub(crate) async fn serve_for_manager(&self, socket: &Path) -> Server {
        let mut command = Command::new(SERVER);
        command.arg("--config").arg(self.config()).env("NOTIFY_SOCKET", socket);
        Server::start_by(command, &self.path("server.log")).await
    }

    /// The program, serving, that begins with so many descriptors and may take more by itself.
    #[cfg(target_os = "linux")]
    pub(crate) async fn serve_with_descriptors(&self, soft: u64) -> Server {
        let mut command = Command::new("sh");
        let script = format!("ulimit -Sn {soft} && exec \"$0\" --config \"$1\"");
        command.args(["-c", &script, SERVER]).arg(self.config());
        Server::start_by(command, &self.path("server.log")).await
    }

    /// The program, serving, to which a file that may not grow is an error and no signal.
    pub(crate) async fn serve_within_limits(&self) -> Server {
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" --config \"$1\"", SERVER]).arg(self.config());
        Server::start_by(command, &self.path("server.log")).await
    }

    /// Makes the profile of a member's home name this server.
    pub(crate) fn point_home(&self, member: &str, server: &Server) -> PathBuf {
        self.point_home_to(member, server.base())
    }

    /// The same to this address.
    pub(crate) fn point_home_to(&self, member: &str, server: String) -> PathBuf {
        let root = self.path("homes").join(member.replace(':', "."));
        let home = Home::locate(Some(&root)).unwrap();
        let profile = home.profile(None).unwrap();
        home.save_profile(&Profile { server, ..profile }).unwrap();
        root
    }

    /// Somebody who speaks HTTP with the certificate and key that the development PKI made.
    pub(crate) fn speaker(&self, member: &str) -> Speaker {
        let member: MemberId = member.parse().unwrap();
        let file = |ending: &str| {
            let name = format!("pki/{}/{}.{ending}", member.partner(), member.handle());
            fs::read(self.path(&name)).unwrap()
        };
        let (certificate, key) = (file("crt"), file("key"));
        let signing = SigningKey::from_pem(&key, &certificate).unwrap();
        let authority = fs::read(self.path("pki/server/ca.crt")).unwrap();
        let home = self.path("homes").join(format!("{}.{}", member.partner(), member.handle()));
        let identity = fs::read_to_string(home.join("identity.txt")).unwrap_or_default();
        let recipient = identity.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap_or_default();
        let http = http(&authority, &certificate, &key);
        Speaker { member, http, signing, recipient: recipient.to_owned() }
    }
}

/// TLS as the exchange wants it.
pub(crate) fn tls() -> rustls::ConfigBuilder<rustls::ClientConfig, rustls::WantsVerifier> {
    rustls::ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&rustls::version::TLS13]).unwrap()
}

/// A client that trusts this authority and shows this certificate.
fn http(authority: &[u8], certificate: &[u8], key: &[u8]) -> reqwest::Client {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority).unwrap()).unwrap();
    let certificate = CertificateDer::from_pem_slice(certificate).unwrap();
    let tls = tls()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], PrivateKeyDer::from_pem_slice(key).unwrap())
        .unwrap();
    reqwest::Client::builder().tls_backend_preconfigured(tls).timeout(PATIENCE).build().unwrap()
}

/// A member who signs and speaks without the client library.
pub(crate) struct Speaker {
    pub(crate) member: MemberId,
    pub(crate) http: reqwest::Client,
    pub(crate) signing: SigningKey,
    /// Empty for somebody without a home.
    pub(crate) recipient: String,
}

/// A server process; it is killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) api: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// From start to the line that says it is ready.
    pub(crate) started_in: Duration,
}

impl Server {
    /// Starts it and waits for its line.
    pub(crate) async fn start(config: &Path, log: &Path) -> Self {
        let mut command = Command::new(SERVER);
        command.arg("--config").arg(config);
        Self::start_by(command, log).await
    }

    /// Starts it by a command that becomes it.
    async fn start_by(mut command: Command, log: &Path) -> Self {
        let log_file = File::options().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log_file).envs(unhurried());
        let began = Instant::now();
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = timeout(PATIENCE, lines.next_line()).await.expect("a server starts in time").unwrap();
        let started_in = began.elapsed();
        let line = line.unwrap_or_else(|| panic!("it did not start: {}", fs::read_to_string(log).unwrap_or_default()));
        let address = |name: &str| line.split(' ').find_map(|word| word.strip_prefix(name)?.parse().ok());
        assert!(line.starts_with("ready "), "{line}");
        let (api, admin) = (address("api=").unwrap(), address("admin=").unwrap());
        Self { child, api, admin, started_in }
    }

    pub(crate) fn base(&self) -> String {
        format!("https://localhost:{}", self.api.port())
    }

    /// What it answers on the admin listener: status and body.
    pub(crate) async fn admin(&self, path: &str) -> (u16, String) {
        // It is plain HTTP, but no client is made without TLS that could be used.
        let tls = tls().with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
        let http = reqwest::Client::builder().tls_backend_preconfigured(tls).timeout(PATIENCE).build().unwrap();
        let answer = http.get(format!("http://{}{path}", self.admin)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// A figure of `/proc`, in KiB, such as `VmRSS`.
    pub(crate) fn memory(&self, name: &str) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()?)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse().ok()
    }

    /// How long its files may become; as long as the system allows without a limit.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) {
        use rustix::process::{Pid, Resource, Rlimit, prlimit};
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)).expect("it runs");
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(Some(pid), Resource::Fsize, limit).unwrap();
    }

    /// Sends it a signal, such as `TERM`.
    pub(crate) async fn signal(&self, name: &str) {
        signal(&self.child, name).await;
    }

    /// Waits for its end.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        timeout(PATIENCE, self.child.wait()).await.expect("a server ends in time").unwrap()
    }

    /// Stops it and waits until it has ended.
    pub(crate) async fn stop(self) -> ExitStatus {
        self.signal("TERM").await;
        self.ended().await
    }
}

/// Sends a process a signal, such as `TERM`.
pub(crate) async fn signal(child: &Child, name: &str) {
    let pid = child.id().expect("a process that was not waited for has its number").to_string();
    // The shell's own: not every machine has `kill` as a program.
    assert!(Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().await.unwrap().success());
}

/// The next state that a process reports to its service manager.
#[cfg(target_os = "linux")]
pub(crate) async fn heard(manager: &UnixDatagram) -> String {
    let mut text = [0; 64];
    let length = timeout(PATIENCE, manager.recv(&mut text)).await.expect("it is told in time").unwrap();
    String::from_utf8(text[..length].to_vec()).unwrap()
}

/// `entente-server` with these words, in an environment without settings for it.
pub(crate) fn server_program(words: &[&str]) -> Command {
    let mut command = Command::new(SERVER);
    command.args(words).env_clear();
    command
}

/// `entente` with these words, in an environment without settings for it.
pub(crate) fn entente(words: &[&str]) -> Command {
    let mut command = Command::new(CLIENT);
    command.args(words).env_clear().stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(crate) async fn ended(mut command: Command) -> Output {
    command.stdin(Stdio::null()).kill_on_drop(true);
    timeout(PATIENCE, command.output()).await.expect("a command ends in time").unwrap()
}

/// Asks again and again, a bounded number of times, until there is an answer; each attempt makes real requests.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Some(found) = ask().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what} did not happen within {} seconds", PATIENCE.as_secs());
}

/// The settings of [`kept_world::UNHURRIED`] as variables, and a tolerance for a clock that is read and compared on a busy machine.
fn unhurried() -> impl Iterator<Item = (String, &'static str)> {
    let settings = kept_world::UNHURRIED.iter().chain(&[("limits.clock_tolerance_seconds", "30")]);
    settings.map(|(key, value)| (format!("ENTENTE_{}", key.replace('.', "__").to_uppercase()), *value))
}

fn database_in(folder: &Path) -> String {
    format!("sqlite://{}", folder.join("entente.db").display())
}

/// What worlds of these nations on SQLite are copied from, made when the first is wanted.
async fn made(nations: &'static [DemoNation]) -> &'static KeptWorld {
    static MADE: Mutex<BTreeMap<String, &'static OnceCell<KeptWorld>>> = Mutex::new(BTreeMap::new());
    let key = format!("{nations:?}");
    let cell = *MADE.lock().unwrap().entry(key).or_insert_with(|| Box::leak(Box::<OnceCell<_>>::default()));
    let make = || {
        Box::pin(async {
            let folder = scratch();
            let dir = folder.path().to_owned();
            let plan = kept_world::plan(dir, database_in(folder.path()), nations);
            let world = DemoWorld::start(plan, Arc::new(SystemClock), Arc::new(SystemRng)).await.unwrap();
            KeptWorld::of(world, None).await
        })
    };
    cell.get_or_init(make).await
}

fn config(plan: &DemoPlan) -> String {
    let path = |name: &str| plan.dir.join(name).display().to_string();
    format!(
        "host = \"{}\"\n[api]\nlisten = \"127.0.0.1:0\"\ncertificate = \"{}\"\nprivate_key = \"{}\"\n[admin]\n\
         listen = \"127.0.0.1:0\"\n[database]\nurl = \"{}\"\n[blobs]\nfolder = \"{}\"\nreserve_bytes = 0\n\
         [trust]\ncrl_folder = \"{}\"\n",
        plan.host,
        path("pki/server/server.crt"),
        path("pki/server/server.key"),
        plan.database_url,
        path("blobs"),
        path("crls"),
    )
}
