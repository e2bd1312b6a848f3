//! Whatever the instant at which the server is killed: what was acknowledged is there, what was asked again is done once, and
//! nothing is half done.
//!
//! `ENTENTE_CRASH_SEED` makes other choices, `ENTENTE_CRASH_ROUNDS` sets how often the server is killed (15). Only the
//! server dies, by SIGKILL: the machine, its disk cache and PostgreSQL live on.

use crate::harness::{
    postgres::Database,
    process::{Server, Site, until},
    process_acts::{Answer, Done, Drafts, Effect, Lane, Numbers, Proposals, Request, Roles, Stage, send},
    process_records::{Kinds, Records},
};
use entente::{
    dev_pki::cast::{AVI, BOB, CAROL, DANA, DemoNation, GAL, ISR, KATE, MAYA, USA, YAEL},
    domain::ambient::{Clock, SystemClock},
    sealing::statement,
    wire::{call::CallText, directory::CreateProgram},
};
use futures_util::future::{Either, join_all, select};
use jiff::SignedDuration;
use serde_json::json;
use std::{
    env, fs,
    path::PathBuf,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, UNIX_EPOCH},
};
use tokio_util::sync::CancellationToken;

const ROUNDS: u64 = 15;
const SEED: u64 = 20_260_301;

/// Earlier acts that are asked for again after each round.
const SAMPLED: u64 = 8;

const NATIONS: &[DemoNation] =
    &[DemoNation { cast: &[DANA, BOB, KATE, CAROL], ..USA }, DemoNation { cast: &[AVI, GAL, YAEL, MAYA], ..ISR }];

#[tokio::test]
async fn killed_server_on_sqlite_keeps_what_it_acknowledged_and_does_nothing_twice() {
    kill_again_and_again("SQLite", None).await;
}

#[tokio::test]
async fn killed_server_on_postgresql_keeps_what_it_acknowledged_and_does_nothing_twice() {
    let Some(database) = Database::fresh().await else { return };
    kill_again_and_again("PostgreSQL", Some(database.url())).await;
}

/// A lane and what it has done.
struct Worker {
    lane: Lane,
    numbers: Numbers,
    done: Vec<Done>,
    /// How many of them were done before this round.
    earlier: usize,
    /// The act whose answer was lost.
    lost: Option<(Request, Effect)>,
}

/// What a run came to.
#[derive(Debug, Default)]
struct Figures {
    acknowledged: u64,
    lost: u64,
    /// Lost answers to what had been done.
    lost_but_done: u64,
    leftovers: u64,
    starts: Vec<Duration>,
}

async fn kill_again_and_again(engine: &str, database_url: Option<String>) {
    let began = Instant::now();
    let seed = number("ENTENTE_CRASH_SEED").unwrap_or(SEED);
    let rounds = number("ENTENTE_CRASH_ROUNDS").unwrap_or(ROUNDS);
    println!("{engine}: {rounds} rounds, ENTENTE_CRASH_SEED={seed}");
    let mut numbers = Numbers::new(seed);
    let site = Site::new(database_url);
    let stage = Arc::new(set_up(&site).await);
    let wal = site.path("entente.db-wal");
    let lanes = [
        Lane::Proposals(Proposals::new(["ISR:avi", "USA:bob"])),
        Lane::Proposals(Proposals::new(["USA:kate", "ISR:gal"])),
        Lane::Proposals(Proposals::new(["USA:bob", "ISR:avi"])),
        Lane::Roles(Roles::new(stage.roll)),
        Lane::Drafts(Drafts::default()),
    ];
    let mut workers: Vec<Worker> = lanes
        .into_iter()
        .map(|lane| Worker { lane, numbers: Numbers::new(numbers.next()), done: Vec::new(), earlier: 0, lost: None })
        .collect();
    let mut server = site.serve().await;
    let mut records = Records::open(&site).await;
    let (mut told, answers) = (records.kinds().await, records.answers().await);
    let mut figures = Figures::default();
    for round in 1..=rounds {
        let death = Arc::new(Death::new(server, &mut numbers, wal.exists().then_some(&wal)));
        let work = join_all(workers.iter_mut().map(|worker| worker.work(&stage, &death)));
        let (learnt, ()) = tokio::join!(work, death.come());
        for kinds in learnt {
            add(&mut told, kinds);
        }
        Death::buried(death).await;
        server = site.serve().await;
        figures.starts.push(server.started_in);
        let base = server.base();
        for worker in &mut workers {
            worker.recover(&stage, &base, &mut told, &mut figures).await;
        }
        let all: Vec<&Done> = workers.iter().flat_map(|worker| &worker.done[..worker.earlier]).collect();
        for _ in 0..SAMPLED.min(all.len() as u64) {
            let at = usize::try_from(numbers.below(all.len() as u64)).unwrap();
            ask_again(&stage, &base, all[at]).await;
        }
        let is_last = round == rounds;
        for worker in &mut workers {
            worker.lane.check(&stage, &base, is_last).await;
            worker.earlier = worker.done.len();
        }
        figures.leftovers = records.check().await;
        let count: usize = workers.iter().map(|worker| worker.done.len()).sum();
        assert_eq!(records.answers().await - answers, i64::try_from(count).unwrap(), "kept answers, round {round}");
        assert_eq!(acts(records.kinds().await), acts(told.clone()), "entries of the log, round {round}");
    }
    let mut again = 0;
    for worker in &workers {
        for done in &worker.done {
            ask_again(&stage, &server.base(), done).await;
            again += 1;
        }
    }
    figures.acknowledged = again - figures.lost;
    assert_eq!(acts(records.kinds().await), acts(told), "asking again did something");
    assert!(server.stop().await.success());
    assert!(figures.lost > 0, "no answer was ever lost: the server was killed while it had nothing to do");
    figures.starts.sort();
    println!(
        "{engine}: killed {rounds} times in {:.1?}: {} acts acknowledged, {} answers lost ({} of them to acts that were \
         done), {again} asked again, {} leftover files; ready again in {:.0?} (median), {:.0?} (longest)",
        began.elapsed(),
        figures.acknowledged,
        figures.lost,
        figures.lost_but_done,
        figures.leftovers,
        figures.starts[figures.starts.len() / 2],
        figures.starts[figures.starts.len() - 1],
    );
}

impl Worker {
    /// Acts until the server is dead; the entries that the acts left.
    async fn work(&mut self, stage: &Stage, death: &Arc<Death>) -> Kinds {
        let (mut told, mut put_off) = (Kinds::new(), None);
        while !death.has_come() && !death.deaf.is_cancelled() {
            let (request, effect) = put_off.take().unwrap_or_else(|| self.lane.next(stage, &mut self.numbers));
            let progress = {
                let death = Arc::clone(death);
                move || death.step()
            };
            let answered = {
                let sending = pin!(send(stage, &death.base, &request, &progress));
                match select(sending, pin!(death.deaf.cancelled())).await {
                    Either::Left((answered, _)) => answered.map_err(Some),
                    Either::Right(((), _unheard)) => {
                        // The connection stays, so the server goes on; only nobody hears the answer.
                        death.struck.cancelled().await;
                        Err(None)
                    }
                }
            };
            match answered {
                Ok((answer, _)) if answer.status == TOO_BUSY => put_off = Some((request, effect)),
                Ok((answer, _)) => {
                    assert!(answer.status < 300, "{} {}: {}", request.method, request.path, answer.text());
                    self.lane.learn(effect, &answer, &mut told);
                    self.done.push(Done { request, answer });
                }
                Err(error) => {
                    assert!(death.has_come(), "a living server gave no answer: {error:?}");
                    self.lost = Some((request, effect));
                }
            }
        }
        self.lost = self.lost.take().or(put_off);
        told
    }

    /// Sends again what was lost, and then everything of this round.
    async fn recover(&mut self, stage: &Stage, base: &str, told: &mut Kinds, figures: &mut Figures) {
        if let Some((request, effect)) = self.lost.take() {
            let (answer, is_repeated) = answered(stage, base, &request).await;
            assert!(answer.status < 300, "{} {}: {}", request.method, request.path, answer.text());
            self.lane.learn(effect, &answer, told);
            self.done.push(Done { request, answer });
            figures.lost += 1;
            figures.lost_but_done += u64::from(is_repeated);
        }
        for done in &self.done[self.earlier..] {
            ask_again(stage, base, done).await;
        }
    }
}

/// The answer of a living server, and whether it is a repeated one.
async fn answered(stage: &Stage, base: &str, request: &Request) -> (Answer, bool) {
    until("an answer", async || {
        let (answer, is_repeated) = send(stage, base, request, &|| ()).await.unwrap();
        (answer.status != TOO_BUSY).then_some((answer, is_repeated))
    })
    .await
}

/// The same request under the same key: the same answer, said to be a repeated one.
pub(crate) async fn ask_again(stage: &Stage, base: &str, done: &Done) {
    let (answer, is_repeated) = answered(stage, base, &done.request).await;
    let what = format!("{} {} under {}", done.request.method, done.request.path, done.request.key);
    assert!(is_repeated, "{what} was not recognised: {}", answer.text());
    assert_eq!(answer, done.answer, "{what}");
}

/// At which instant, once the step is due.
#[derive(Debug)]
enum Hour {
    /// With it: as a request goes out, in the middle of a body or as an answer comes.
    WithTheStep,
    /// When the members' tasks have had their turn so many times more.
    LongWorkQueues(u64),
    /// When this file changes: in the middle of a unit of work, where the engine lets us see one.
    Change(PathBuf),
    /// When the server, by this file, has written so many times more, to whatever it writes to.
    Writes(PathBuf, u64),
}

/// A busy machine may be too slow for the database's limits: then the server says so, and the same request is sent again.
const TOO_BUSY: u16 = 503;

/// The longest wait for a sign that does not come.
const TURNS: u64 = 20_000;

/// How the server of this round dies.
struct Death {
    server: Mutex<Server>,
    base: String,
    steps: AtomicU64,
    /// The step of the members at which it is due.
    due: u64,
    hour: Hour,
    /// Whether the members stop listening when the step is due, so that answers are lost to acts that were done.
    deafens: bool,
    is_due: CancellationToken,
    deaf: CancellationToken,
    struck: CancellationToken,
}

impl Death {
    fn new(server: Server, numbers: &mut Numbers, wal: Option<&PathBuf>) -> Self {
        let due = 1 + numbers.below(70);
        let pid = server.child.id().unwrap();
        let hour = match (numbers.below(4), wal) {
            (0, _) => Hour::WithTheStep,
            (1, _) => Hour::LongWorkQueues(1 + numbers.below(2000)),
            (2, Some(wal)) => Hour::Change(wal.clone()),
            _ => Hour::Writes(PathBuf::from(format!("/proc/{pid}/io")), 1 + numbers.below(240)),
        };
        Self {
            base: server.base(),
            server: Mutex::new(server),
            steps: AtomicU64::new(0),
            due,
            deafens: numbers.below(2) == 0 && !matches!(hour, Hour::WithTheStep),
            hour,
            is_due: CancellationToken::new(),
            deaf: CancellationToken::new(),
            struck: CancellationToken::new(),
        }
    }

    fn has_come(&self) -> bool {
        self.struck.is_cancelled()
    }

    /// A member has got one step further.
    fn step(&self) {
        if self.steps.fetch_add(1, Ordering::SeqCst) + 1 >= self.due {
            if matches!(self.hour, Hour::WithTheStep) {
                self.strike();
            }
            self.is_due.cancel();
        }
    }

    fn strike(&self) {
        let mut server = self.server.lock().unwrap();
        if !self.has_come() {
            server.child.start_kill().unwrap();
            self.struck.cancel();
        }
    }

    /// Waits for its hour and strikes.
    async fn come(&self) {
        self.is_due.cancelled().await;
        if self.deafens {
            self.deaf.cancel();
        }
        let before = self.hour.hand();
        let (turns, end) = match self.hour {
            Hour::WithTheStep => (0, 0),
            Hour::LongWorkQueues(turns) => (turns, u128::MAX),
            Hour::Change(_) => (TURNS, before + 1),
            Hour::Writes(_, writes) => (TURNS, before + u128::from(writes)),
        };
        for _ in 0..turns {
            if self.hour.hand() >= end {
                break;
            }
            tokio::task::yield_now().await;
        }
        self.strike();
    }

    /// Waits until nothing of it is left.
    async fn buried(death: Arc<Self>) {
        let death = Arc::into_inner(death).expect("nobody acts any more");
        let ended = death.server.into_inner().unwrap().ended().await;
        assert!(!ended.success(), "it was to be killed");
    }
}

impl Hour {
    /// What only goes forward while the server works.
    fn hand(&self) -> u128 {
        match self {
            Self::WithTheStep | Self::LongWorkQueues(_) => 0,
            Self::Change(file) => {
                let changed = fs::metadata(file).and_then(|metadata| metadata.modified()).ok();
                changed.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map_or(0, |since| since.as_nanos())
            }
            Self::Writes(file, _) => {
                let text = fs::read_to_string(file).unwrap_or_default();
                let calls = text.lines().find_map(|line| line.strip_prefix("syscw: ")?.parse().ok());
                calls.unwrap_or_default()
            }
        }
    }
}

/// What members did; reading leaves entries of its own, which no lane counts.
fn acts(mut kinds: Kinds) -> Kinds {
    kinds.retain(|kind, times| *times > 0 && !kind.ends_with(".fetched"));
    kinds
}

fn add(told: &mut Kinds, more: Kinds) {
    for (kind, times) in more {
        *told.entry(kind).or_default() += times;
    }
}

/// Nations, members and a call that stays open; the server that made them is stopped again.
pub(crate) async fn set_up(site: &Site) -> Stage {
    let world = site.world(NATIONS).await;
    let dana = world.client("USA:dana");
    let program = CreateProgram {
        name: "Joint research".into(),
        lead: "USA".parse().unwrap(),
        partners: ["ISR", "USA"].map(|c| c.parse().unwrap()).into(),
    };
    let program = dana.api().create_program(&program).await.unwrap().id;
    let text = call_text();
    let call = dana.draft_call(program, &text).await.unwrap();
    dana.publish_call(call.id).await.unwrap();
    let publication = dana.call(call.id).await.unwrap().publication.clone();
    let roll = dana.api().role_statements(call.id).await.unwrap().remove(0).statement;
    world.stop().await;
    let members = NATIONS.iter().flat_map(|nation| nation.cast).map(|cast| cast.member);
    Stage {
        speakers: members.map(|member| (member, site.speaker(member))).collect(),
        program,
        call: call.id,
        call_text_sha256: publication.text_sha256,
        roll: statement::verify_signed::<statement::RollStatement>(&roll).unwrap().payload_sha256,
        call_vault: (publication.vault, publication.recipient),
        text,
    }
}

fn call_text() -> CallText {
    let now = SystemClock.now();
    let at = |hours: i64| now.checked_add(SignedDuration::from_hours(hours)).unwrap();
    let slot = |name: &str, audience: &str| {
        json!({ "name": name, "title": name, "required": false, "media_types": ["application/pdf"],
                "max_bytes": 10 << 20, "audience": audience })
    };
    serde_json::from_value(json!({
        "code": "JOINT26", "title": "Joint research", "text": "Whatever happens.", "topics": ["energy"],
        "criteria": [{ "name": "excellence", "title": "Excellence", "max": 5.0, "step": 0.5, "weight": 1 }],
        "slots": [slot("work-plan", "panel"), slot("shareholders", "staff")],
        "eligible": ["ISR", "USA"], "combined_roles": ["decider", "reviewer"],
        "parties": { "at_least": 2, "at_most": 2, "required": ["ISR", "USA"] },
        "funders": ["ISR", "USA"],
        "schedule": { "opens_at": at(-1), "deadline_at": at(24), "grace_seconds": 86_400, "reviews_due_at": at(240) },
    }))
    .unwrap()
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("`{variable}` is no number")))
}
