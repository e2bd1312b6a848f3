//! The preview of one changed policy, beside deciding each pair of a member and a proposal by the policies themselves.
//!
//! `cargo bench --bench preview` makes 10,000 proposals under 20 calls, with 500 members on the panel of each, so that every member
//! has to be judged on every proposal: five million pairs, twice. The United Kingdom, an owner of two in fifteen, then releases to assigned
//! reviewers alone instead of the panel. Deciding is measured on some of the pairs and put in proportion.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on says so and ends")]

mod common;
#[path = "../tests/it/harness/loud.rs"]
mod loud;
#[path = "../tests/it/harness/many.rs"]
#[expect(dead_code, reason = "made for tests, which use all of it")]
mod many;
#[path = "../tests/it/harness/postgres.rs"]
#[expect(dead_code, reason = "made for tests, which use all of it")]
mod postgres;
#[path = "common/scratch.rs"]
mod scratch;

use common::{PARTNERS, member, now};
use entente::{
    domain::id::{CallId, MemberId, PartnerCode, ProposalId},
    policy::{Action, Engine, Resource},
    service::{Exchange, comparison::Comparison, preview::compare, state, unit::View},
    storage::{Db, migrate},
};
use jiff::SignedDuration;
use many::{Call, Chance, Proposal, Rows, id, index, text};
use std::{
    collections::BTreeSet,
    env, fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

const MEMBERS: usize = 500;
const CALLS: u64 = 20;
const PROPOSALS: u64 = 10_000;
/// The policy officer who asks.
const ASKER: usize = 2_000;
/// So many proposals are decided on pair by pair.
const SAMPLED: usize = 20;

fn main() {
    if env::args().any(|argument| argument == "--test") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::Builder::new().prefix("entente-bench-").tempdir().unwrap();
        measure("SQLite", &format!("sqlite://{}/preview.db", folder.path().display()), folder.path()).await;
        match postgres::Database::fresh().await {
            Some(database) => measure("PostgreSQL", &database.url(), folder.path()).await,
            None => println!("PostgreSQL is not installed here"),
        }
    });
}

async fn measure(name: &str, url: &str, folder: &Path) {
    let (exchange, members) = build(url, folder).await;
    let policies = common::policies();
    let changed: PartnerCode = "GBR".parse().unwrap();
    println!("\n{name}, {PROPOSALS} proposals, {MEMBERS} members");
    for round in 1..=3 {
        let memory = peak_memory();
        let then = Arc::new(policies.with_partner(Arc::new(common::rules("GBR", "ISR"))));
        let began = Instant::now();
        let (mut cursor, mut requests, mut longest, mut considered, mut changes) =
            (None::<String>, 0, Duration::ZERO, 0, 0);
        loop {
            let asked = Instant::now();
            let mut view = view(&exchange, &policies, &member(3, ASKER)).await;
            let comparison = Comparison::new(&exchange, &view.me.id, policies.clone(), then.clone(), now());
            let found = compare(&mut view, comparison, &changed, cursor.as_deref()).await.unwrap();
            longest = longest.max(asked.elapsed());
            requests += 1;
            considered += u64::from(found.considered);
            changes += found.items.len();
            cursor = found.next;
            if cursor.is_none() {
                break;
            }
        }
        let took = began.elapsed();
        let each = decide(&exchange, &policies, &then, &members).await;
        let by_deciding = (each * u32::try_from(PROPOSALS * MEMBERS as u64).unwrap()).as_secs_f64();
        println!(
            "round {round}: {:.2} s in {requests} questions, the longest {:.2} s; {changes} changes on {considered} that may be told of; peak memory {} MiB (before {memory}); \
             by deciding {by_deciding:.0} s ({:.1} µs a decision), {:.4} ×",
            took.as_secs_f64(),
            longest.as_secs_f64(),
            peak_memory(),
            each.as_secs_f64() * 1e6 / 4.0,
            took.as_secs_f64() / by_deciding
        );
    }
}

async fn view<'e>(exchange: &'e Exchange, policies: &Arc<Engine>, who: &MemberId) -> View<'e> {
    let mut tx = exchange.db.read().await.unwrap();
    let me = state::member(exchange, &mut tx, who, now()).await.unwrap().unwrap();
    View::of(exchange, tx, me, now(), policies.clone())
}

/// How long it takes to decide what one member may do with one proposal now and then.
async fn decide(exchange: &Exchange, policies: &Engine, then: &Engine, members: &[MemberId]) -> Duration {
    let mut tx = exchange.db.read().await.unwrap();
    let mut proposals = Vec::new();
    for number in 0..SAMPLED {
        let id: ProposalId = id("prop", number as u64 * 499);
        proposals.push(state::proposal(&mut tx, id, now()).await.unwrap().unwrap());
    }
    let mut facts = Vec::new();
    for member in members.iter().step_by(25) {
        facts.push(state::member(exchange, &mut tx, member, now()).await.unwrap().unwrap());
    }
    let began = Instant::now();
    for proposal in &proposals {
        for facts in &facts {
            for engine in [policies, then] {
                for action in [Action::View, Action::Read] {
                    let _ = std::hint::black_box(engine.authorize(facts, action, Resource::Proposal(&proposal.facts)));
                }
            }
        }
    }
    began.elapsed() / u32::try_from(proposals.len() * facts.len()).unwrap()
}

/// The most memory that this program ever had, in MiB.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1024
}

async fn build(url: &str, folder: &Path) -> (Exchange, Vec<MemberId>) {
    let db = Db::open(url).await.unwrap();
    migrate::run(&db, now()).await.unwrap();
    let mut chance = Chance::new(1);
    let mut rows = Rows::new();
    let partners: Vec<PartnerCode> = PARTNERS.iter().map(|code| code.parse().unwrap()).collect();
    let everybody: BTreeSet<PartnerCode> = partners.iter().cloned().collect();
    for partner in &partners {
        rows.partner(partner);
    }
    let members: Vec<MemberId> =
        (0..MEMBERS).map(|number| member(number % PARTNERS.len(), number / PARTNERS.len())).collect();
    for (number, member) in members.iter().enumerate() {
        rows.member(member, &format!("Institute {number}"), "");
    }
    rows.member(&member(3, ASKER), "Office of Release", "policy_officer");
    // Who proposes is on no panel.
    let authors: Vec<MemberId> = (0..60).map(|number| member(number % PARTNERS.len(), 1000 + number)).collect();
    for (number, author) in authors.iter().enumerate() {
        rows.member(author, &format!("Company {number}"), "");
    }
    let program = id("prog", 1);
    rows.program(program, &partners[0], &everybody, &members[0]);
    let calls: Vec<CallId> = (1..=CALLS).map(|number| id("call", number)).collect();
    for call in &calls {
        let (opens_at, deadline_at) = (now() - SignedDuration::from_hours(900), now() - SignedDuration::from_hours(90));
        let text = text(&everybody, &BTreeSet::from([partners[0].clone()]), opens_at, deadline_at, 0);
        rows.call(&Call { id: *call, program, text, version: 1, baseline: 1, is_cancelled: false, by: &members[0] });
        for (number, member) in members.iter().enumerate() {
            rows.role(*call, member, if number < 3 { "officer" } else { "reviewer" });
        }
    }
    rows.write(&db).await;
    for number in 0..PROPOSALS {
        let call = chance.below(calls.len());
        let (left, mut right) = (chance.below(15), chance.below(14));
        right += usize::from(right >= left);
        let of = |partner: usize, chance: &mut Chance| authors[partner + 15 * chance.below(4)].clone();
        let parties = [of(left, &mut chance), of(right, &mut chance)];
        let id = id("prop", number);
        let created_at =
            now() - SignedDuration::from_hours(800) + SignedDuration::from_millis(i64::try_from(number * 700).unwrap());
        rows.proposal(&Proposal {
            id,
            call: calls[call],
            topic: None,
            members: &parties,
            created_at,
            is_withdrawn: chance.percent(3),
        });
        rows.version(id, 1, 1, "{}", true, true);
        for reviewer in chance.some(&members[3..], 3) {
            rows.assignment(id, &reviewer);
            rows.declaration(id, &reviewer, chance.percent(5));
        }
        if number % 1_000 == 999 {
            rows.write(&db).await;
        }
    }
    rows.write(&db).await;
    index(&db).await;
    (common::exchange(url, db, folder, &partners[0]).await, members)
}
