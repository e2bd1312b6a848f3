//! Lists of proposals beside SQL that somebody wrote by hand for the same reader: a page of 50 and the count, on SQLite and,
//! where it is installed, PostgreSQL. Figures are medians and ratios; absolute times say more about the machine.
//!
//! `cargo bench --bench lists` makes 1,000,000 proposals of 15 partners and 2,000 members under 40 calls, which takes minutes;
//! `cargo bench --bench lists -- --rows 100000` fewer, to see that a page does not cost more as the table grows; `--only sqlite` or
//! `--only postgres` on one engine. The readers: a
//! reviewer of 30 calls who may see the 10 proposals assigned to them, a reviewer of all calls for whom two nations release
//! what they own together (one proposal in 400), a decider in half of the calls, and an officer of all.
//!
//! *select* is finding the 50; *page* is all that is done before the answer is written: the
//! member is looked up, the 50 are found and loaded, and the policies are asked about each once more,
//! beside the hand-written statement with the same loading and no policies at all.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on says so and ends")]

mod common;
#[path = "common/filled.rs"]
mod filled;
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

use common::{member, now};
use entente::{
    domain::{
        id::{CallId, MemberId, ProposalId},
        proposal::Sort,
    },
    policy::{Action, Engine, Resource, Standing},
    service::{Exchange, lists, state, unit::View},
    storage::{
        self, Sql, args,
        visible::{self, PageRequest},
    },
    wire::proposal::Filter,
};
use filled::build;
use many::id;
use std::{
    env,
    path::Path,
    time::{Duration, Instant},
};

const LIMIT: u32 = 50;

fn main() {
    let given: Vec<String> = env::args().collect();
    if given.iter().any(|argument| argument == "--test") {
        return;
    }
    let only = given.iter().position(|argument| argument == "--only").map(|at| given[at + 1].clone());
    let is_asked_for = |engine: &str| only.as_ref().is_none_or(|only| only == engine);
    let rows =
        given.iter().position(|argument| argument == "--rows").map_or(1_000_000, |at| given[at + 1].parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::Builder::new().prefix("entente-bench-").tempdir().unwrap();
        if is_asked_for("sqlite") {
            measure("SQLite", &format!("sqlite://{}/lists.db", folder.path().display()), folder.path(), rows).await;
        }
        if !is_asked_for("postgres") {
            return;
        }
        match postgres::Database::fresh().await {
            Some(database) => measure("PostgreSQL", &database.url(), folder.path(), rows).await,
            None => println!("PostgreSQL is not installed here"),
        }
    });
}

/// Somebody who looks, and the statement that an expert would write for them. `$1` is the member, `$2` the limit.
struct Reader {
    name: &'static str,
    member: MemberId,
    from: String,
}

/// What holds for everybody: nobody sees what they have a conflict with or what colleagues take part in.
const CLEAR: &str = "NOT EXISTS (SELECT 1 FROM declarations d WHERE d.proposal_id = p.proposal_id AND d.member = $1 AND d.conflict) \
    AND NOT EXISTS (SELECT 1 FROM proposal_members s JOIN members m ON m.member = s.member \
    WHERE s.proposal_id = p.proposal_id AND m.organisation_folded = (SELECT organisation_folded FROM members WHERE member = $1))";
const STANDS: &str = "p.withdrawn_at IS NULL AND p.complete_under >= 1";

fn readers() -> Vec<Reader> {
    let calls = |role: &str| {
        format!("p.call_id IN (SELECT r.call_id FROM call_roles r WHERE r.member = $1 AND r.role = '{role}')")
    };
    vec![
        Reader {
            name: "narrow reviewer",
            member: member(2, 0),
            from: format!(
                "assignments a JOIN proposals p ON p.proposal_id = a.proposal_id WHERE a.reviewer = $1 AND {STANDS} AND {CLEAR}"
            ),
        },
        Reader {
            name: "1 in 400",
            member: member(5, 0),
            from: format!(
                "proposals p WHERE {} AND p.parties_key = ' GBR NLD ' AND {STANDS} AND {CLEAR}",
                calls("reviewer")
            ),
        },
        Reader {
            name: "broad decider",
            member: member(6, 0),
            from: format!("proposals p WHERE {} AND {STANDS} AND {CLEAR}", calls("decider")),
        },
        Reader {
            name: "officer",
            member: member(0, 0),
            from: format!(
                "proposals p WHERE {} AND (p.withdrawn_at IS NOT NULL OR p.complete_under >= 1) AND {CLEAR}",
                calls("officer")
            ),
        },
    ]
}

async fn measure(name: &str, url: &str, folder: &Path, rows: u64) {
    let began = Instant::now();
    let exchange = build(url, folder, rows).await;
    let policies = common::policies();
    println!("\n{name}, {rows} proposals (made in {:.0} s)", began.elapsed().as_secs_f64());
    println!(
        "{:<16} {:>8}  {:>26}  {:>26}  {:>30}",
        "reader", "visible", "select ms (by hand, ratio)", "page ms (by hand, ratio)", "count ms (by hand, ratio)"
    );
    for reader in readers() {
        let me = {
            let mut tx = exchange.db.read().await.unwrap();
            state::member(&exchange, &mut tx, &reader.member, now()).await.unwrap().unwrap()
        };
        // As an operation opens it: the member is looked up each time.
        let view = async || {
            let mut tx = exchange.db.read().await.unwrap();
            let me = state::member(&exchange, &mut tx, &reader.member, now()).await.unwrap().unwrap();
            View::of(&exchange, tx, me, now(), policies.clone())
        };
        let (filter, request) = (Filter::default(), PageRequest { sort: Sort::Created, after: None, limit: LIMIT });
        let page = format!(
            "SELECT p.proposal_id, p.created_at FROM {} ORDER BY p.created_at, p.proposal_id LIMIT $2",
            reader.from
        );
        let by_hand = async || {
            let mut tx = exchange.db.read().await.unwrap();
            let found = tx.fetch_all(Sql::built(page.clone()), args![reader.member, LIMIT + 1]).await.unwrap();
            found.iter().take(LIMIT as usize).map(|row| row.parse("proposal_id").unwrap()).collect::<Vec<_>>()
        };
        let ours = async || {
            let mut tx = exchange.db.read().await.unwrap();
            let list = lists::ask(&exchange, &policies, &mut tx, &me, &filter, true.into(), now()).await.unwrap();
            let request = PageRequest { limit: LIMIT + 1, ..request };
            let found = visible::page(&mut tx, &list.query(&me.id), request).await.unwrap().found;
            found.iter().take(LIMIT as usize).map(|key| key.id).collect::<Vec<_>>()
        };
        assert_eq!(ours().await, by_hand().await, "{}", reader.name);
        let select = [median(100, &ours).await, median(100, &by_hand).await];
        let page = [
            median(100, &async || view().await.proposals(&filter, request).await.unwrap().0.len()).await,
            median(100, &async || {
                let ids = by_hand().await;
                let mut tx = exchange.db.read().await.unwrap();
                state::member(&exchange, &mut tx, &reader.member, now()).await.unwrap().unwrap();
                storage::proposals::some(&mut tx, &ids).await.unwrap().len()
            })
            .await,
        ];
        let counted = view().await.count_proposals(&filter).await.unwrap();
        let sql = format!("SELECT COUNT(*) AS n FROM {}", reader.from);
        let count_by_hand = async || {
            let mut tx = exchange.db.read().await.unwrap();
            tx.fetch_one(Sql::built(sql.clone()), args![reader.member]).await.unwrap().count("n").unwrap()
        };
        assert_eq!(counted, count_by_hand().await, "{}", reader.name);
        let count = [
            median(5, &async || view().await.count_proposals(&filter).await.unwrap()).await,
            median(5, &count_by_hand).await,
        ];
        let pair = |[ours, theirs]: [Duration; 2]| {
            let (ours, theirs) = (ours.as_secs_f64() * 1e3, theirs.as_secs_f64() * 1e3);
            format!("{ours:.2} ({theirs:.2}, {:.2} ×)", ours / theirs)
        };
        println!("{:<16} {counted:>8}  {:>26}  {:>26}  {:>30}", reader.name, pair(select), pair(page), pair(count));
    }
    let officer = member(0, 0);
    let call: CallId = id("call", 20);
    let filter = Filter { call: Some(call), ..Filter::default() };
    let count = async || {
        let mut tx = exchange.db.read().await.unwrap();
        let me = state::member(&exchange, &mut tx, &officer, now()).await.unwrap().unwrap();
        let view = View::of(&exchange, tx, me, now(), policies.clone());
        { view }.count_proposals(&filter).await.unwrap()
    };
    let sql = format!(
        "SELECT COUNT(*) AS n FROM proposals p WHERE p.call_id = $2 \
         AND (p.withdrawn_at IS NOT NULL OR p.complete_under >= 1) AND {CLEAR}"
    );
    let by_hand = async || {
        let mut tx = exchange.db.read().await.unwrap();
        tx.fetch_one(Sql::built(sql.clone()), args![officer, call]).await.unwrap().count("n").unwrap()
    };
    let counted = count().await;
    assert_eq!(counted, by_hand().await, "one call");
    let [ours, theirs] = [median(20, &count).await, median(20, &by_hand).await].map(|took| took.as_secs_f64() * 1e3);
    println!("count of one call, {counted}: {ours:.2} ms ({theirs:.2}, {:.2} ×)", ours / theirs);
    let [told, refused] = explain(&exchange, &policies).await;
    println!("explain: {:.2} ms of what is permitted, {:.2} ms with what would permit it", told * 1e3, refused * 1e3);
}

/// How many seconds an explanation takes: of what is permitted, and of what is not, with the search for what would change it.
async fn explain(exchange: &Exchange, policies: &Engine) -> [f64; 2] {
    let one = async |who: MemberId, proposal: ProposalId| {
        let mut tx = exchange.db.read().await.unwrap();
        let me = state::member(exchange, &mut tx, &who, now()).await.unwrap().unwrap();
        let proposal = state::proposal(&mut tx, proposal, now()).await.unwrap().unwrap();
        let decision = policies.explain(&me, Action::View, Resource::Proposal(&proposal.facts));
        (decision.standing, policies.what_would_permit(&me, Action::View, &proposal.facts, None).len())
    };
    let found = {
        let mut tx = exchange.db.read().await.unwrap();
        let sql = "SELECT s.proposal_id FROM assignments s JOIN proposals p ON p.proposal_id = s.proposal_id \
                   WHERE s.reviewer = $1 AND p.withdrawn_at IS NULL AND p.complete_under >= 1 \
                   AND NOT EXISTS (SELECT 1 FROM declarations d WHERE d.proposal_id = p.proposal_id AND d.member = $2) LIMIT 1";
        let row = tx.fetch_one(Sql::built(sql.to_owned()), args![member(2, 0), member(0, 0)]).await.unwrap();
        row.parse("proposal_id").unwrap()
    };
    // The officer sees it, and a member without any part in it does not.
    assert_eq!(one(member(0, 0), found).await.0, Standing::Permitted);
    assert_eq!(one(member(13, 1), found).await.0, Standing::Hidden);
    let permitted = median(50, &async || one(member(0, 0), found).await).await;
    let hidden = median(50, &async || one(member(13, 1), found).await).await;
    [permitted.as_secs_f64(), hidden.as_secs_f64()]
}

async fn median<T>(rounds: usize, what: &impl AsyncFn() -> T) -> Duration {
    let mut took = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let began = Instant::now();
        std::hint::black_box(what().await);
        took.push(began.elapsed());
    }
    took.sort();
    took[rounds / 2]
}
