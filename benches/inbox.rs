//! What waits for one member, in a database of many proposals: on SQLite and, where it is installed, PostgreSQL.
//!
//! `cargo bench --bench inbox` makes 100,000 proposals of 15 partners and 2,000 members under 40 calls, which takes a minute; `-- --rows
//! 10000` fewer, to see that an inbox does not cost more as the table grows; `--only sqlite` or `--only postgres` on one engine. What is to
//! hold is 20 ms for each reader but the last.
//!
//! Each reviewer has declared to be clear and has a key. The officer of all calls has declared on nothing, the officer of one call on all of
//! it, with keys missing; the last reader has declared on everything there is, which no person does.

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
    domain::id::{CallId, MemberId},
    service::{Exchange, inbox, state, unit::View},
    storage::{Arg, Sql, args},
};
use many::id;
use std::{
    env,
    path::Path,
    time::{Duration, Instant},
};

fn main() {
    let given: Vec<String> = env::args().collect();
    if given.iter().any(|argument| argument == "--test") {
        return;
    }
    let only = given.iter().position(|argument| argument == "--only").map(|at| given[at + 1].clone());
    let is_asked_for = |engine: &str| only.as_ref().is_none_or(|only| only == engine);
    let rows =
        given.iter().position(|argument| argument == "--rows").map_or(100_000, |at| given[at + 1].parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::Builder::new().prefix("entente-bench-").tempdir().unwrap();
        if is_asked_for("sqlite") {
            measure("SQLite", &format!("sqlite://{}/inbox.db", folder.path().display()), folder.path(), rows).await;
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

async fn measure(name: &str, url: &str, folder: &Path, rows: u64) {
    let began = Instant::now();
    let exchange = filled::build(url, folder, rows).await;
    let (one_call, everywhere) = (member(7, 0), member(8, 0));
    add_keys(&exchange, &one_call, &everywhere).await;
    println!("\n{name}, {rows} proposals (made in {:.0} s)", began.elapsed().as_secs_f64());
    println!("{:<28} {:>6} {:>6} {:>10}", "reader", "items", "more", "inbox ms");
    let policies = common::policies();
    let readers = [
        ("reviewer of ten", member(2, 0)),
        ("party member", member(1, 1)),
        ("decider in half of the calls", member(6, 0)),
        ("officer of all calls", member(0, 0)),
        ("officer of one call", one_call),
        ("no part in anything", member(13, 0)),
        ("officer of all, all declared", everywhere),
    ];
    for (reader, who) in readers {
        let look = async || {
            let mut tx = exchange.db.read().await.unwrap();
            let me = state::member(&exchange, &mut tx, &who, now()).await.unwrap().unwrap();
            let mut view = View { exchange: &exchange, tx, me, now: now(), policies: policies.clone() };
            inbox::of_member(&mut view).await.unwrap()
        };
        let found = look().await;
        let took = median(30, &look).await.as_secs_f64() * 1e3;
        println!("{reader:<28} {:>6} {:>6} {took:>10.2}", found.items.len(), found.more);
    }
}

/// Vaults of all proposals, keys of all reviewers, and two officers who have declared: one under one call, one under all.
async fn add_keys(exchange: &Exchange, one_call: &MemberId, everywhere: &MemberId) {
    let call: CallId = id("call", 7);
    let blob = || Arg::Bytes(Some(vec![0]));
    let mut tx = exchange.db.write().await.unwrap();
    let mut run = async |sql: &str, args: Vec<Arg>| {
        tx.execute(Sql::once(sql.to_owned()), args).await.unwrap();
    };
    run("INSERT INTO member_recipients (member, recipient) SELECT member, 'age1' || member FROM members", args![])
        .await;
    run(
        "INSERT INTO vaults (vault_id, place, kind, call_id, proposal_id, recipient, statement, created_by, created_at) \
         SELECT 'vault' || substr(p.proposal_id, 5), p.proposal_id || '/panel', 'panel', p.call_id, p.proposal_id, 'age1', '', \
         p.created_by, 0 FROM proposals p",
        args![],
    )
    .await;
    run(
        "INSERT INTO declarations (proposal_id, member, conflict, declared_at) \
         SELECT a.proposal_id, a.reviewer, FALSE, 0 FROM assignments a WHERE NOT EXISTS \
         (SELECT 1 FROM declarations d WHERE d.proposal_id = a.proposal_id AND d.member = a.reviewer)",
        args![],
    )
    .await;
    run(
        "INSERT INTO wrapped_keys (key_id, vault_id, holder, recipient, statement, ciphertext, wrapped_by, wrapped_at) \
         SELECT 'key ' || a.proposal_id || a.reviewer, 'vault' || substr(a.proposal_id, 5), a.reviewer, 'age1' || a.reviewer, '', $1, \
         a.assigned_by, 0 FROM assignments a WHERE a.proposal_id > $2",
        // Those of the first proposals are missing.
        vec![blob(), Arg::text(id::<entente::domain::id::ProposalId>("prop", 5_000))],
    )
    .await;
    run(
        "INSERT INTO vaults (vault_id, place, kind, call_id, recipient, statement, created_by, created_at) \
         SELECT 'vault' || substr(c.call_id, 5), c.call_id, 'call', c.call_id, 'age1', '', c.created_by, 0 FROM calls c",
        args![],
    )
    .await;
    run("UPDATE calls SET vault_id = 'vault' || substr(call_id, 5), revision = revision + 1", args![]).await;
    for (officer, under) in [(one_call, Some(call)), (everywhere, None)] {
        let under = under.map(|call| call.to_string()).unwrap_or_default();
        run(
            "INSERT INTO call_roles (call_id, member, role, granted_by, granted_at) \
             SELECT c.call_id, $1, 'officer', $1, 0 FROM calls c WHERE $2 = '' OR c.call_id = $2",
            args![officer, under],
        )
        .await;
        run(
            "INSERT INTO wrapped_keys (key_id, vault_id, holder, recipient, statement, ciphertext, wrapped_by, wrapped_at) \
             SELECT 'key ' || c.call_id || $1, c.vault_id, $1, 'age1' || $1, '', $3, $1, 0 FROM calls c WHERE $2 = '' OR c.call_id = $2",
            vec![Arg::text(officer), Arg::text(&under), blob()],
        )
        .await;
        run(
            "INSERT INTO declarations (proposal_id, member, conflict, declared_at) \
             SELECT p.proposal_id, $1, FALSE, 0 FROM proposals p WHERE ($2 = '' OR p.call_id = $2) AND NOT EXISTS \
             (SELECT 1 FROM declarations d WHERE d.proposal_id = p.proposal_id AND d.member = $1)",
            args![officer, under],
        )
        .await;
    }
    tx.commit().await.unwrap();
    exchange.db.keep_statistics().await.unwrap();
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
