//! What attackers cost somebody who has nothing to do with them: while they do what they can with what all use, an officer of another
//! nation opens new connections and acts, again and again.
//!
//! `cargo bench --bench attacks` runs each attack for some seconds against the server as it is configured by default; `-- --only NAME` one of
//! them, `--seconds N` for another time. `--away MS` puts the officer so far away, each way, and `--strangers N` has as many connections a
//! second come from strangers. It says how often the officer acted, how long that took at the median and at worst, beside the same
//! with nobody attacking in the same run, and what the attackers sent and heard. The attackers run on the same machine and take its
//! processors, too, so a figure is an upper bound of what the exchange adds.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on says so and ends")]

#[path = "common/asking.rs"]
mod asking;
#[path = "common/away.rs"]
mod away;
#[path = "../tests/it/harness/hostile.rs"]
mod hostile;
#[path = "common/server.rs"]
mod server;
#[path = "../tests/it/harness/worst_texts.rs"]
mod worst_texts;

use asking::{ask, hear_all, upload_beginning, upload_part};
use away::from_away;
use entente::{
    client::proposals::NewProposal,
    demo::world::{DemoPlan, DemoWorld, example_policies},
    dev_pki::cast::{AVI, BOB, DANA, DemoNation, GAL, ISR, USA},
    domain::{
        ambient::{Clock, SystemClock, SystemRng},
        id::{MemberId, ProposalId, Sha256, VaultId},
        policy::PolicyOwner,
    },
    sealing::{jws::SigningKey, seal::seal_bytes},
    storage::PostgresLimits,
    wire::{call::CallText, directory::CreateProgram},
};
use hostile::{upload_head, wrapped_keys};
use jiff::SignedDuration;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::json;
use server::{Server, machine};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    env, fs, io, iter,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{interval, sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use worst_texts::worst_texts;

const NATIONS: &[DemoNation] = &[DemoNation { cast: &[DANA, BOB], ..USA }, DemoNation { cast: &[AVI, GAL], ..ISR }];
/// Those who attack: two members and a policy officer of one nation.
const ATTACKERS: [&str; 2] = ["ISR:avi", "ISR:gal"];
const DRAFTER: &str = "ISR:drafter";
const INNOCENT: &str = "USA:dana";
const HOME: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// How long the officer waits for one act before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is attacked, and what the attackers sent and heard.
struct Ground {
    address: SocketAddr,
    /// Where the officer reaches the server.
    of_innocent: SocketAddr,
    /// How many connections strangers open a second.
    strangers: u32,
    tls: BTreeMap<&'static str, Arc<ClientConfig>>,
    proposal: ProposalId,
    vault: VaultId,
    /// A request with as many wrapped keys as one may have.
    keys: String,
    /// A document, sealed.
    sealed: Vec<u8>,
    /// Requests that propose the texts of policies that cost most.
    texts: Vec<String>,
    hello: Vec<u8>,
    number: AtomicU64,
    sent: AtomicU64,
    heard: Mutex<BTreeMap<String, u64>>,
}

type Attack = fn(&Arc<Ground>, &mut JoinSet<()>);

const ATTACKS: &[(&str, &str, Attack)] = &[
    ("nobody", "", |_, _| {}),
    ("silent", "connections from 1,024 addresses that say nothing", |ground, tasks| {
        from_everywhere(ground, tasks, false);
    }),
    ("hello", "the same, each with a ClientHello and nothing after it", |ground, tasks| {
        from_everywhere(ground, tasks, true);
    }),
    ("connections", "two certificates keep as many connections open as they can", |ground, tasks| {
        for who in ATTACKERS {
            tasks.spawn(keep_connections(Arc::clone(ground), who));
        }
    }),
    ("bodies", "two certificates send bodies of 60 kB, a byte a second", |ground, tasks| {
        for who in ATTACKERS {
            (0..64).for_each(|_| drop(tasks.spawn(slow_body(Arc::clone(ground), who))));
        }
    }),
    ("unread", "two certificates ask a thousand times and read no answer", |ground, tasks| {
        for who in ATTACKERS {
            (0..32).for_each(|_| drop(tasks.spawn(unread(Arc::clone(ground), who))));
        }
    }),
    ("acts", "two members act without an end, each refused", |ground, tasks| {
        for who in ATTACKERS {
            (0..32).for_each(|_| drop(tasks.spawn(repeated(Arc::clone(ground), who, act))));
        }
    }),
    ("keys", "two members send as many wrapped keys as one request may have", |ground, tasks| {
        for who in ATTACKERS {
            (0..16).for_each(|_| drop(tasks.spawn(repeated(Arc::clone(ground), who, keys))));
        }
    }),
    ("reads", "two members read what leaves an entry", |ground, tasks| {
        for who in ATTACKERS {
            (0..32).for_each(|_| drop(tasks.spawn(repeated(Arc::clone(ground), who, logged_read))));
        }
    }),
    ("looks", "a policy officer asks for manifests without an end", |ground, tasks| {
        (0..32).for_each(|_| drop(tasks.spawn(repeated(Arc::clone(ground), DRAFTER, manifest))));
    }),
    ("texts", "a policy officer proposes the texts that cost most to read", |ground, tasks| {
        (0..32).for_each(|_| drop(tasks.spawn(repeated(Arc::clone(ground), DRAFTER, text))));
    }),
    ("previews", "a policy officer previews drafts that cost most to evaluate", |ground, tasks| {
        (0..32).for_each(|_| drop(tasks.spawn(repeated(Arc::clone(ground), DRAFTER, preview))));
    }),
    ("lists", "two members list, each time by another topic", |ground, tasks| {
        for who in ATTACKERS {
            (0..32).for_each(|_| drop(tasks.spawn(repeated(Arc::clone(ground), who, list))));
        }
    }),
    ("counts", "the same, counting", |ground, tasks| {
        for who in ATTACKERS {
            (0..32).for_each(|_| drop(tasks.spawn(repeated(Arc::clone(ground), who, count))));
        }
    }),
    ("entries", "two members read the log from its start", |ground, tasks| {
        for who in ATTACKERS {
            (0..32).for_each(|_| drop(tasks.spawn(repeated(Arc::clone(ground), who, entries))));
        }
    }),
    ("inbox", "two members ask what waits for them", |ground, tasks| {
        for who in ATTACKERS {
            (0..32).for_each(|_| drop(tasks.spawn(repeated(Arc::clone(ground), who, inbox))));
        }
    }),
    ("waits", "two members wait for something new, as often as they can", |ground, tasks| {
        for who in ATTACKERS {
            (0..32).for_each(|_| drop(tasks.spawn(repeated(Arc::clone(ground), who, wait))));
        }
    }),
    ("uploads", "two members break documents off in the middle", |ground, tasks| {
        for who in ATTACKERS {
            (0..32).for_each(|_| drop(tasks.spawn(broken_upload(Arc::clone(ground), who))));
        }
    }),
    (
        "resumed",
        "two members begin uploads that can be resumed, send single bytes and repeat last ones",
        |ground, tasks| {
            for who in ATTACKERS {
                (0..32).for_each(|_| drop(tasks.spawn(resumable_upload(Arc::clone(ground), who))));
            }
        },
    ),
];

fn main() {
    let arguments: Vec<String> = env::args().collect();
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    let after = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        Some(arguments.get(place + 1).unwrap_or_else(|| panic!("`{name}` takes a value")).clone())
    };
    let time = Duration::from_secs(after("--seconds").map_or(10, |seconds| seconds.parse().unwrap()));
    let only = after("--only");
    let away = Duration::from_millis(after("--away").map_or(0, |ms| ms.parse().unwrap()));
    let strangers: u32 = after("--strangers").map_or(1_500, |count| count.parse().unwrap());
    let folder = tempfile::Builder::new().prefix("entente-bench-").tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (proposal, vault, recipient) = runtime.block_on(prepare(folder.path()));
    println!("{} s each; {}", time.as_secs(), machine());
    println!("strangers open {strangers} connections a second; the officer is {} ms away", away.as_millis());
    println!("{:<12} {:>5} {:>9} {:>9} {:>7}   attackers", "attack", "acts", "median", "worst", "failed");
    for (name, what, attack) in ATTACKS {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        // A server of its own for each, which remembers nothing of the one before.
        let server = Server::start(folder.path());
        let mut ground = Ground::new(folder.path(), server.port, proposal, vault, &recipient);
        ground.strangers = strangers;
        let (ground, acted) = runtime.block_on(async {
            if !away.is_zero() {
                ground.of_innocent = from_away(ground.address, away).await;
            }
            let ground = Arc::new(ground);
            // Members are known from where they came before.
            innocent(&ground).await.unwrap();
            let mut tasks = JoinSet::new();
            attack(&ground, &mut tasks);
            sleep(Duration::from_secs(1)).await;
            let acted = act_for(&ground, time).await;
            tasks.shutdown().await;
            (ground, acted)
        });
        let heard: Vec<String> =
            ground.heard.lock().unwrap().iter().map(|(what, count)| format!("{count} × {what}")).collect();
        let (sent, failed) = (ground.sent.load(Ordering::Relaxed), acted.iter().filter(|time| time.is_none()).count());
        let mut times: Vec<Duration> = acted.iter().copied().flatten().collect();
        times.sort();
        let ms =
            |time: Option<&Duration>| time.map_or("-".into(), |time| format!("{:.1} ms", time.as_secs_f64() * 1e3));
        println!(
            "{name:<12} {:>5} {:>9} {:>9} {failed:>7}   {what}; {} kB sent; {}; server's peak {:.0} MiB",
            times.len(),
            ms(times.get(times.len() / 2)),
            ms(times.last()),
            sent / 1000,
            heard.join(", "),
            f64::from(server.peak_kib()) / 1024.0,
        );
    }
}

/// The PKI, the members, an open call and a proposal of Israel, made through a server in this process that then stops.
async fn prepare(dir: &Path) -> (ProposalId, VaultId, String) {
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
    let partners = ["USA", "ISR"].map(|code| code.parse().unwrap()).into();
    let program = CreateProgram { name: "Bench".into(), lead: "USA".parse().unwrap(), partners };
    let program = dana.api().create_program(&program).await.unwrap();
    let call = dana.draft_call(program.id, &call_text()).await.unwrap();
    dana.publish_call(call.id).await.unwrap();
    let members = ATTACKERS.map(|member| member.parse::<MemberId>().unwrap());
    let parties = BTreeMap::from([("ISR".parse().unwrap(), BTreeSet::from(members))]);
    let avi = world.client(ATTACKERS[0]);
    let proposal = avi.create_proposal(&NewProposal { call: call.id, topic: None, parties }).await.unwrap();
    let vaults = avi.api().vaults(proposal.id).await.unwrap();
    let panel = vaults.iter().find(|vault| vault.kind.as_str() == "panel").unwrap();
    let key = panel.keys.iter().find(|key| key.holder == ATTACKERS[0]).unwrap();
    let found = (proposal.id, panel.id, key.recipient.clone());
    // Drafts that were taken back, to preview: one at a time may wait.
    let israel: PolicyOwner = "ISR".parse().unwrap();
    let drafter = world.client(DRAFTER);
    for (_, text) in worst_texts(false) {
        let draft = drafter.propose_policy(&israel, "ISR", &text, None).await.unwrap();
        drafter.api().withdraw_policy(&israel, draft.version).await.unwrap();
    }
    world.stop().await;
    found
}

fn call_text() -> CallText {
    let now = SystemClock.now();
    let after = |hours| now.checked_add(SignedDuration::from_hours(hours)).unwrap();
    serde_json::from_value(json!({
        "code": "BENCH", "title": "Bench", "text": "", "topics": [],
        "criteria": [{ "name": "merit", "title": "Merit", "max": 5.0, "step": 0.5, "weight": 1 }],
        "slots": [{
            "name": "work-plan", "title": "Work plan", "required": true, "media_types": ["application/pdf"],
            "max_bytes": 1 << 20, "audience": "panel",
        }],
        "eligible": ["USA", "ISR"],
        "parties": { "at_least": 1, "at_most": 2, "required": [] },
        "funders": ["USA"],
        "schedule": { "opens_at": now, "deadline_at": after(24), "grace_seconds": 0, "reviews_due_at": after(48) },
    }))
    .unwrap()
}

/// A request with as many wrapped keys as one may have, by the first attacker.
fn keys_of(pki: &Path, vault: VaultId, recipient: &str) -> String {
    let read = |what: &str| fs::read(pki.join(format!("ISR/avi.{what}"))).unwrap();
    let key = SigningKey::from_pem(&read("key"), &read("crt")).unwrap();
    wrapped_keys(&key, vault, &ATTACKERS[0].parse().unwrap(), recipient)
}

impl Ground {
    fn new(dir: &Path, port: u16, proposal: ProposalId, vault: VaultId, recipient: &str) -> Self {
        let pki = dir.join("pki");
        let mut roots = RootCertStore::empty();
        let authority = pki.join("server/ca.crt");
        for der in CertificateDer::pem_file_iter(authority).unwrap() {
            roots.add(der.unwrap()).unwrap();
        }
        let config = |who: &str| {
            let path = |what: &str| pki.join(format!("{}.{what}", who.replace(':', "/")));
            let chain = CertificateDer::pem_file_iter(path("crt")).unwrap().map(Result::unwrap).collect();
            let key = PrivateKeyDer::from_pem_file(path("key")).unwrap();
            let builder = ClientConfig::builder().with_root_certificates(roots.clone());
            Arc::new(builder.with_client_auth_cert(chain, key).unwrap())
        };
        let tls: BTreeMap<_, _> =
            [ATTACKERS[0], ATTACKERS[1], DRAFTER, INNOCENT].into_iter().map(|who| (who, config(who))).collect();
        let mut hello = Vec::new();
        let mut client = ClientConnection::new(Arc::clone(&tls[INNOCENT]), "localhost".try_into().unwrap()).unwrap();
        client.write_tls(&mut hello).unwrap();
        let address = SocketAddr::from((HOME, port));
        Self {
            address,
            of_innocent: address,
            strangers: 0,
            tls,
            proposal,
            vault,
            keys: keys_of(&pki, vault, recipient),
            sealed: seal_bytes(&[recipient.to_owned()], &vec![0; 1 << 19]).unwrap(),
            texts: worst_texts(false)
                .into_iter()
                .map(|(_, text)| json!({ "text": text, "statement": "none" }).to_string())
                .collect(),
            hello,
            number: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            heard: Mutex::default(),
        }
    }

    async fn connect(&self, from: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(IpAddr::V4(from), 0))?;
        socket.connect(to).await
    }

    async fn open(&self, who: &str) -> io::Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(Arc::clone(&self.tls[who]));
        let tcp = self.connect(HOME, if who == INNOCENT { self.of_innocent } else { self.address }).await?;
        tcp.set_nodelay(true)?;
        connector.connect("localhost".try_into().unwrap(), tcp).await
    }

    fn hear(&self, what: impl ToString) {
        *self.heard.lock().unwrap().entry(what.to_string()).or_default() += 1;
    }

    /// One after the other, over all requests.
    fn next_of<'a>(&self, bodies: &'a [String]) -> &'a str {
        let number = usize::try_from(self.number.load(Ordering::Relaxed)).unwrap();
        &bodies[number % bodies.len()]
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Vec<u8> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let length = body.len();
        let head = if method == "GET" {
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")
        } else {
            format!(
                "{method} {path} HTTP/1.1\r\nhost: localhost\r\nidempotency-key: bench-{}-{number}\r\n\
                 content-type: application/json\r\ncontent-length: {length}\r\n\r\n",
                std::process::id()
            )
        };
        [head.as_bytes(), body.as_bytes()].concat()
    }
}

/// Connects again and acts: a program is begun.
async fn innocent(ground: &Ground) -> io::Result<()> {
    let body = json!({ "name": "Innocent", "lead": "USA", "partners": ["USA"] }).to_string();
    let mut stream = ground.open(INNOCENT).await?;
    let status = ask(&mut stream, &ground.request("POST", "/v1/programs", &body)).await?;
    if status == 201 { Ok(()) } else { Err(io::Error::other(format!("{status}"))) }
}

/// How long each act took; nothing for one that failed.
async fn act_for(ground: &Ground, time: Duration) -> Vec<Option<Duration>> {
    let (began, mut acted) = (Instant::now(), Vec::new());
    // Below what a member may do in a minute.
    let mut pace = interval(Duration::from_millis(150));
    while began.elapsed() < time {
        pace.tick().await;
        let at = Instant::now();
        let done = timeout(PATIENCE, innocent(ground)).await;
        acted.push(matches!(done, Ok(Ok(()))).then(|| at.elapsed()));
    }
    acted
}

fn from_everywhere(ground: &Arc<Ground>, tasks: &mut JoinSet<()>, speaks: bool) {
    for part in 0..4_u8 {
        let ground = Arc::clone(ground);
        tasks.spawn(async move {
            // One of four.
            let mut pace = interval(Duration::from_secs(4) / ground.strangers.max(1));
            let mut open = VecDeque::new();
            for number in (0..=u8::MAX).cycle() {
                pace.tick().await;
                let Ok(mut tcp) = ground.connect(Ipv4Addr::new(127, 1, part, number), ground.address).await else {
                    ground.hear("not connected");
                    continue;
                };
                if speaks && tcp.write_all(&ground.hello).await.is_ok() {
                    ground.sent.fetch_add(ground.hello.len() as u64, Ordering::Relaxed);
                }
                ground.hear("connection");
                open.push_back(tcp);
                if open.len() > 1_000 {
                    open.pop_front();
                }
            }
        });
    }
}

async fn keep_connections(ground: Arc<Ground>, who: &'static str) {
    let mut open = VecDeque::new();
    loop {
        match ground.open(who).await {
            Ok(mut stream) => {
                // A request that does not end keeps it busy.
                let _ = stream.write_all(b"GET /v1/me HTTP/1.1\r\nhost: localhost\r\n").await;
                ground.hear("connection");
                open.push_back(stream);
            }
            Err(_) => ground.hear("not connected"),
        }
        if open.len() > 600 {
            open.pop_front();
        }
    }
}

async fn slow_body(ground: Arc<Ground>, who: &'static str) {
    loop {
        let Ok(mut stream) = ground.open(who).await else { continue };
        let whole = ground.request("POST", "/v1/programs", &" ".repeat(60_000));
        let (head, body) = whole.split_at(whole.len() - 60_000);
        ground.hear("body begun");
        if stream.write_all(head).await.is_err() {
            continue;
        }
        for byte in body.chunks(1) {
            if stream.write_all(byte).await.is_err() || stream.flush().await.is_err() {
                break;
            }
            ground.sent.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_secs(1)).await;
        }
    }
}

async fn unread(ground: Arc<Ground>, who: &'static str) {
    loop {
        let Ok(mut stream) = ground.open(who).await else { continue };
        let request = ground.request("GET", "/v1/me", "");
        for _ in 0..1_000 {
            match timeout(PATIENCE, stream.write_all(&request)).await {
                Ok(Ok(())) => ground.hear("request"),
                _ => break,
            }
            ground.sent.fetch_add(request.len() as u64, Ordering::Relaxed);
        }
        sleep(Duration::from_secs(5)).await;
    }
}

/// The same request again and again on one connection, whatever is answered.
async fn repeated(ground: Arc<Ground>, who: &'static str, request: fn(&Ground) -> Vec<u8>) {
    loop {
        let Ok(mut stream) = ground.open(who).await else {
            ground.hear("not connected");
            continue;
        };
        loop {
            let request = request(&ground);
            ground.sent.fetch_add(request.len() as u64, Ordering::Relaxed);
            match ask(&mut stream, &request).await {
                Ok(status) => ground.hear(status),
                Err(_) => break,
            }
        }
    }
}

fn act(ground: &Ground) -> Vec<u8> {
    let body = json!({ "name": "Flood", "lead": "ISR", "partners": ["ISR"] }).to_string();
    ground.request("POST", "/v1/programs", &body)
}

fn keys(ground: &Ground) -> Vec<u8> {
    ground.request("POST", &format!("/v1/vaults/{}/keys", ground.vault), &ground.keys)
}

fn logged_read(ground: &Ground) -> Vec<u8> {
    ground.request("GET", &format!("/v1/proposals/{}/vaults", ground.proposal), "")
}

fn manifest(ground: &Ground) -> Vec<u8> {
    ground.request("GET", "/v1/partners/ISR/visibility", "")
}

fn text(ground: &Ground) -> Vec<u8> {
    ground.request("POST", "/v1/policies/ISR/versions", ground.next_of(&ground.texts))
}

/// The first version is the one in force.
fn preview(ground: &Ground) -> Vec<u8> {
    let version = 2 + ground.number.load(Ordering::Relaxed) % ground.texts.len() as u64;
    ground.request("GET", &format!("/v1/policies/ISR/versions/{version}/preview"), "")
}

fn list(ground: &Ground) -> Vec<u8> {
    let number = ground.number.load(Ordering::Relaxed);
    ground.request("GET", &format!("/v1/proposals?topic=t{number}"), "")
}

fn count(ground: &Ground) -> Vec<u8> {
    let number = ground.number.load(Ordering::Relaxed);
    ground.request("GET", &format!("/v1/proposals/count?topic=t{number}"), "")
}

fn entries(ground: &Ground) -> Vec<u8> {
    ground.request("GET", "/v1/entries", "")
}

fn inbox(ground: &Ground) -> Vec<u8> {
    ground.request("GET", "/v1/inbox", "")
}

/// What the officer begins meanwhile is not theirs to read.
fn wait(ground: &Ground) -> Vec<u8> {
    ground.request("GET", "/v1/entries?wait=30&kind=decision.final", "")
}

/// Announces a document of 512 KiB, sends half of it, and goes away.
async fn broken_upload(ground: Arc<Ground>, who: &'static str) {
    let digest = Sha256::of(&ground.sealed);
    let (half, length) = (&ground.sealed[..ground.sealed.len() / 2], ground.sealed.len());
    loop {
        let Ok(mut stream) = ground.open(who).await else {
            ground.hear("not connected");
            continue;
        };
        let number = ground.number.fetch_add(1, Ordering::Relaxed);
        let key = format!("bench-{}-{number}", std::process::id());
        let head = upload_head(ground.proposal, ("work-plan", "application/pdf"), &key, &digest, length);
        if stream.write_all(head.as_bytes()).await.is_ok() && stream.write_all(half).await.is_ok() {
            ground.sent.fetch_add(half.len() as u64, Ordering::Relaxed);
            ground.hear("broken off");
        } else {
            ground.hear("refused");
        }
    }
}

/// Begins an upload with a digest that its bytes do not have, sends single bytes, the rest, and the last byte again and again. Members have one
/// for each slot, so the tasks of one member end the uploads of one another.
async fn resumable_upload(ground: Arc<Ground>, who: &'static str) {
    loop {
        let Ok(mut stream) = ground.open(who).await else { continue };
        while let Ok(()) = resumed(&ground, &mut stream).await {}
    }
}

async fn resumed(ground: &Ground, stream: &mut TlsStream<TcpStream>) -> io::Result<()> {
    let (number, last) = (ground.number.fetch_add(1, Ordering::Relaxed), ground.sealed.len() - 1);
    let begin = upload_beginning(ground.proposal, "work-plan", number, ground.sealed.len());
    let (status, told) = hear_all(stream, begin.as_bytes()).await?;
    ground.hear(status);
    let Some(path) = told.lines().find_map(|line| line.strip_prefix("location: ")) else { return Ok(()) };
    let singles = (0..8).map(|at| at..at + 1);
    for part in singles.chain(iter::once(8..last)).chain((0..8).map(|_| last..last + 1)) {
        let bytes = &ground.sealed[part.clone()];
        ground.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        ground.hear(ask(stream, &upload_part(path, part.start, bytes)).await?);
    }
    Ok(())
}
