//! Upload and download of one large ciphertext over mutual TLS: the exchange beside nginx with the same certificates, on the
//! same disk, in the same run. Figures are ratios; absolute times say more about the machine.
//!
//! A file is also sealed and sent, by the program on the one side and by `age | curl` on the other.
//!
//! `cargo bench --bench transfer` needs `nginx` (Debian's `nginx-core`), `age` and `curl`. `ENTENTE_BENCH_MIB` sets the size (1024),
//! `ENTENTE_BENCH_ROUNDS` how often each is measured (3). nginx writes without fsync; the exchange checks the digest and the
//! shape, syncs the file and commits a log entry, so a third figure has nginx followed by a `sync` of what it wrote.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on says so and ends")]

#[path = "common/server.rs"]
mod server;

use base64::{Engine, prelude::BASE64_STANDARD};
use entente::{
    client::{Home, Profile, proposals::NewProposal},
    demo::world::{DemoPlan, DemoWorld, example_policies},
    dev_pki::cast::{BOB, DANA, DemoNation, USA},
    domain::{
        ambient::{Clock, SystemClock, SystemRng},
        id::{MemberId, Sha256},
    },
    sealing::seal,
    storage::PostgresLimits,
    wire::{call::CallText, directory::CreateProgram},
};
use jiff::SignedDuration;
use serde_json::json;
use server::{Server, machine};
use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fs::{self, File},
    io::{Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

const NATIONS: &[DemoNation] = &[DemoNation { cast: &[DANA, BOB], ..USA }];

fn main() {
    if env::args().any(|argument| argument == "--test") {
        return;
    }
    let number = |name: &str, usual: u64| env::var(name).map_or(usual, |text| text.parse().unwrap());
    let (mib, rounds) = (number("ENTENTE_BENCH_MIB", 1024), number("ENTENTE_BENCH_ROUNDS", 3));
    let folder = tempfile::Builder::new().prefix("entente-bench-").tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let target = runtime.block_on(prepare(folder.path()));
    let file = folder.path().join("sealed.age");
    let (sha256, size) = sealed_file(&file, mib, &target.recipient);
    println!("{mib} MiB of ciphertext, {rounds} rounds, medians; {}", machine());
    let curl = Curl { pki: folder.path().join("pki"), file, size };
    let nginx = Nginx::start(folder.path(), &curl.pki);
    let server = Server::start(folder.path());
    let (mut put, mut put_nginx, mut put_synced, mut get, mut get_nginx) = (vec![], vec![], vec![], vec![], vec![]);
    let (mut seal, mut seal_nginx) = (vec![], vec![]);
    let plain = folder.path().join("plain.bin");
    plain_file(&plain, mib);
    let home = point_home(folder.path(), server.port);
    let at = |path: &str| format!("https://localhost:{}{path}", server.port);
    for round in 0..rounds {
        let address = format!("https://localhost:{}/{round}.age", nginx.port);
        let began = Instant::now();
        curl.put(&address, &[]);
        put_nginx.push(began.elapsed());
        Command::new("sync").arg(nginx.root.join(format!("{round}.age"))).status().unwrap();
        put_synced.push(began.elapsed());
        let key = format!("idempotency-key: bench-{round}");
        let digest = format!("repr-digest: sha-256=:{}:", BASE64_STANDARD.encode(sha256.as_bytes()));
        let headers =
            [&*key, &*digest, "content-type: application/vnd.age", "entente-media-type: application/octet-stream"];
        let began = Instant::now();
        let answer = curl.put(&at(&format!("/v1/proposals/{}/documents/dataset", target.proposal)), &headers);
        put.push(began.elapsed());
        let document: serde_json::Value = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{answer}"));
        let id = document["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        get_nginx.push(curl.get(&address));
        get.push(curl.get(&at(&format!("/v1/proposals/{}/ciphertexts/{id}", target.proposal))));
        let name = format!("sealed-{round}.age");
        let began = Instant::now();
        curl.seal_and_put(&plain, &target.recipient, &format!("https://localhost:{}/{name}", nginx.port));
        Command::new("sync").arg(nginx.root.join(name)).status().unwrap();
        seal_nginx.push(began.elapsed());
        let began = Instant::now();
        let words = ["proposal", "put", &target.proposal, "dataset"];
        let mut put = Command::new(env!("CARGO_BIN_EXE_entente"));
        put.arg("--home").arg(&home).args(words).arg(&plain).args(["--media-type", "application/octet-stream"]);
        let output = put.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        seal.push(began.elapsed());
    }
    let peak = server.peak_kib();
    let (put, put_nginx, put_synced) = (median(put), median(put_nginx), median(put_synced));
    let (get, get_nginx) = (median(get), median(get_nginx));
    let line = |what: &str, ours: Duration, theirs: Duration| {
        let (ours, theirs) = (ours.as_secs_f64(), theirs.as_secs_f64());
        println!("{what:<38} exchange {ours:7.2} s   nginx {theirs:7.2} s   {:.2} × nginx", theirs / ours);
    };
    line("upload", put, put_nginx);
    line("upload, nginx followed by sync", put, put_synced);
    line("download", get, get_nginx);
    line("seal and send, age | curl and sync", median(seal), median(seal_nginx));
    println!("peak memory of the server: {:.1} MiB", f64::from(peak) / 1024.0);
}

struct Target {
    proposal: String,
    recipient: String,
}

/// Makes the PKI, the members, an open call and a proposal, through a server in this process that then stops.
async fn prepare(dir: &Path) -> Target {
    let plan = DemoPlan {
        dir: dir.to_owned(),
        database_url: format!("sqlite://{}", dir.join("entente.db").display()),
        policies: example_policies(NATIONS),
        host: "USA",
        nations: NATIONS,
        settings: Vec::new(),
        database_limits: PostgresLimits::default(),
    };
    let world = DemoWorld::start(plan, Arc::new(SystemClock), Arc::new(SystemRng)).await.unwrap();
    let dana = world.client("USA:dana");
    let partners = BTreeSet::from(["USA".parse().unwrap()]);
    let program = CreateProgram { name: "Bench".into(), lead: "USA".parse().unwrap(), partners };
    let program = dana.api().create_program(&program).await.unwrap();
    let call = dana.draft_call(program.id, &call_text()).await.unwrap();
    dana.publish_call(call.id).await.unwrap();
    let bob: MemberId = "USA:bob".parse().unwrap();
    let parties = BTreeMap::from([(bob.partner().clone(), BTreeSet::from([bob]))]);
    let new = NewProposal { call: call.id, topic: None, parties };
    let client = world.client("USA:bob");
    let proposal = client.create_proposal(&new).await.unwrap();
    let vaults = client.api().vaults(proposal.id).await.unwrap();
    let panel = vaults.iter().find(|vault| vault.kind.as_str() == "panel").unwrap();
    let target = Target { proposal: proposal.id.to_string(), recipient: panel.recipient.clone() };
    world.stop().await;
    target
}

fn call_text() -> CallText {
    let now = SystemClock.now();
    let after = |hours| now.checked_add(SignedDuration::from_hours(hours)).unwrap();
    serde_json::from_value(json!({
        "code": "BENCH", "title": "Bench", "text": "", "topics": [],
        "criteria": [{ "name": "merit", "title": "Merit", "max": 5.0, "step": 0.5, "weight": 1 }],
        "slots": [{
            "name": "dataset", "title": "Data", "required": false, "media_types": ["application/octet-stream"],
            "max_bytes": 8_u64 << 30, "audience": "panel",
        }],
        "eligible": ["USA"],
        "parties": { "at_least": 1, "at_most": 1, "required": [] },
        "funders": ["USA"],
        "schedule": { "opens_at": now, "deadline_at": after(24), "grace_seconds": 0, "reviews_due_at": after(48) },
    }))
    .unwrap()
}

fn sealed_file(path: &Path, mib: u64, recipient: &str) -> (Sha256, u64) {
    let zeros = std::io::repeat(0).take(mib << 20);
    let sealed = seal::seal_to(&[recipient.to_owned()], zeros, File::create(path).unwrap(), &mut |_| {}).unwrap();
    (sealed.sha256, sealed.size)
}

/// A file that does not shrink when anybody packs it.
fn plain_file(path: &Path, mib: u64) {
    let mut random = File::open("/dev/urandom").unwrap().take(1 << 20);
    let mut piece = Vec::new();
    random.read_to_end(&mut piece).unwrap();
    let mut file = File::create(path).unwrap();
    for _ in 0..mib {
        file.write_all(&piece).unwrap();
    }
    file.sync_all().unwrap();
}

/// The home of the member who sends, with the server that serves now.
fn point_home(folder: &Path, port: u16) -> PathBuf {
    let root = folder.join("homes/USA.bob");
    let home = Home::locate(Some(&root)).unwrap();
    let profile = home.profile(None).unwrap();
    home.save_profile(&Profile { server: format!("https://localhost:{port}"), ..profile }).unwrap();
    root
}

struct Curl {
    pki: PathBuf,
    file: PathBuf,
    size: u64,
}

impl Curl {
    fn command(&self) -> Command {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail-with-body", "--http1.1"]);
        curl.arg("--cacert").arg(self.pki.join("server/ca.crt"));
        curl.arg("--cert").arg(self.pki.join("USA/bob.crt")).arg("--key").arg(self.pki.join("USA/bob.key"));
        curl
    }

    fn put(&self, address: &str, headers: &[&str]) -> String {
        let mut curl = self.command();
        for header in headers {
            curl.args(["--header", header]);
        }
        let output = curl.arg("--upload-file").arg(&self.file).arg(address).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said} {}", String::from_utf8_lossy(&output.stderr));
        said
    }

    fn seal_and_put(&self, plain: &Path, recipient: &str, address: &str) {
        let mut age = Command::new("age").args(["--recipient", recipient]).arg(plain).stdout(Stdio::piped()).spawn();
        let age = age.as_mut().expect("age is installed (apt-get install age)");
        let sealed = age.stdout.take().unwrap();
        let output = self.command().args(["--upload-file", "-", address]).stdin(sealed).output().unwrap();
        assert!(age.wait().unwrap().success() && output.status.success(), "{output:?}");
    }

    fn get(&self, address: &str) -> Duration {
        let began = Instant::now();
        let size = self.command().args(["--output", "/dev/null", "--write-out", "%{size_download}", address]).output();
        let elapsed = began.elapsed();
        assert_eq!(String::from_utf8_lossy(&size.unwrap().stdout), self.size.to_string());
        elapsed
    }
}

struct Nginx {
    child: Child,
    port: u16,
    root: PathBuf,
}

impl Nginx {
    fn start(dir: &Path, pki: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let home = dir.join("nginx");
        let root = home.join("root");
        fs::create_dir_all(&root).unwrap();
        let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
        let user = if is_root { "user root;" } else { "" };
        let config = format!(
            "{user} daemon off; worker_processes 2; pid {home}/pid; error_log {home}/error.log;\n\
             events {{}}\n\
             http {{\n\
               access_log off; client_max_body_size 0; client_body_temp_path {home}/body; sendfile on;\n\
               proxy_temp_path {home}/p; fastcgi_temp_path {home}/f; uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;\n\
               server {{\n\
                 listen 127.0.0.1:{port} ssl; root {root};\n\
                 ssl_protocols TLSv1.3; ssl_certificate {pki}/server/server.crt; ssl_certificate_key {pki}/server/server.key;\n\
                 ssl_client_certificate {pki}/USA/ca.crt; ssl_verify_client on;\n\
                 location / {{ dav_methods PUT; }}\n\
               }}\n\
             }}\n",
            home = home.display(),
            root = root.display(),
            pki = pki.display(),
        );
        fs::write(home.join("nginx.conf"), config).unwrap();
        let child = Command::new("nginx").arg("-p").arg(&home).arg("-c").arg(home.join("nginx.conf")).spawn();
        let child = child.expect("nginx is installed (apt-get install nginx-core)");
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::yield_now();
        }
        Self { child, port, root }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers end with the master, which ends in order on SIGTERM only.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
