//! What waits for one member, in a database of many proposals: on SQLite and, where it is installed, PostgreSQL.
//!
//! `cargo bench --bench inbox` makes 100,000 proposals of 15 partners and 2,000 members under 40 calls, which takes a minute; `-- --rows
//! 10000` fewer, to see that an inbox does not cost more as the table grows; `--only sqlite` or `--only postgres` on one engine. What is to
//! hold is 20 ms for each reader but the last, as `GET /v1/inbox` computes and writes it, without the connection. The first look finds
//! nothing remembered of the reader; the median is that of those after it.
//!
//! Each reviewer has declared to be clear, has a key and has read every other proposal. The officer of all calls has declared on nothing, the
//! officer of one call on all of it, with keys missing. The member of many parties has invitations, proposals that are not handed in shortly
//! before a deadline, signatures of the other party and letters; the log has what was fetched. The last reader has declared on
//! everything there is, which no person does.

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
    domain::id::{CallId, MemberId, PartnerCode, ProposalId},
    service::{Exchange, inbox, state, unit::View},
    storage::{Arg, Sql, args},
};
use jiff::SignedDuration;
use many::{Call, Proposal, Rows, id};
use std::{
    collections::BTreeSet,
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
    let (busy_reviewer, many_parties) = (member(4, 1), member(3, 1));
    add_reviews(&exchange, &busy_reviewer).await;
    add_parties(&exchange, &many_parties).await;
    add_log(&exchange).await;
    exchange.db.keep_statistics().await.unwrap();
    println!("\n{name}, {rows} proposals (made in {:.0} s)", began.elapsed().as_secs_f64());
    println!("{:<28} {:>6} {:>6} {:>10} {:>10}", "reader", "items", "more", "first ms", "median ms");
    let policies = common::policies();
    let readers = [
        ("reviewer of ten", member(2, 0)),
        ("reviewer of a hundred", busy_reviewer),
        ("party member", member(1, 1)),
        ("member of many parties", many_parties),
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
            let mut view = View::of(&exchange, tx, me, now(), policies.clone());
            let found = inbox::of_member(&mut view).await.unwrap();
            (serde_json::to_vec(&found).unwrap().len(), found)
        };
        let began = Instant::now();
        let (_, found) = look().await;
        let first = began.elapsed().as_secs_f64() * 1e3;
        let took = median(30, &look).await.as_secs_f64() * 1e3;
        println!("{reader:<28} {:>6} {:>6} {first:>10.2} {took:>10.2}", found.items.len(), found.more);
    }
}

/// A hundred proposals for one reviewer, who is clear and has a key to each.
async fn add_reviews(exchange: &Exchange, reviewer: &MemberId) {
    let mut tx = exchange.db.write().await.unwrap();
    let mut run = async |sql: &str, args: Vec<Arg>| {
        tx.execute(Sql::once(sql.to_owned()), args).await.unwrap();
    };
    let first: CallId = id("call", 10);
    run(
        "INSERT INTO call_roles (call_id, member, role, granted_by, granted_at) SELECT call_id, $1, 'reviewer', $1, 0 FROM calls c \
         WHERE NOT EXISTS (SELECT 1 FROM call_roles r WHERE r.call_id = c.call_id AND r.member = $1)",
        args![reviewer],
    )
    .await;
    run(
        "INSERT INTO assignments (proposal_id, reviewer, assigned_by, assigned_at) \
         SELECT p.proposal_id, $1, $1, 0 FROM proposals p WHERE p.call_id = $2 AND p.withdrawn_at IS NULL AND NOT EXISTS \
         (SELECT 1 FROM assignments a WHERE a.proposal_id = p.proposal_id AND a.reviewer = $1) ORDER BY p.proposal_id LIMIT 100",
        args![reviewer, first],
    )
    .await;
    run(
        "INSERT INTO declarations (proposal_id, member, conflict, declared_at) \
         SELECT a.proposal_id, a.reviewer, FALSE, 0 FROM assignments a WHERE a.reviewer = $1 AND NOT EXISTS \
         (SELECT 1 FROM declarations d WHERE d.proposal_id = a.proposal_id AND d.member = a.reviewer)",
        args![reviewer],
    )
    .await;
    run(
        "INSERT INTO wrapped_keys (key_id, vault_id, holder, recipient, statement, ciphertext, wrapped_by, wrapped_at) \
         SELECT 'more ' || a.proposal_id, 'vault' || substr(a.proposal_id, 5), $1, 'age1' || $1, '', $2, $1, 0 FROM assignments a \
         WHERE a.reviewer = $1 AND NOT EXISTS (SELECT 1 FROM wrapped_keys k \
         WHERE k.vault_id = 'vault' || substr(a.proposal_id, 5) AND k.holder = $1)",
        vec![Arg::text(reviewer), Arg::Bytes(Some(vec![0]))],
    )
    .await;
    tx.commit().await.unwrap();
}

/// A call that is open for three days more, and in it for one member: 100 proposals that are not handed in, 100 that the other party has signed
/// and 100 invitations. Of 100 that were handed in under other calls there are letters, one of two of which was fetched.
async fn add_parties(exchange: &Exchange, who: &MemberId) {
    const EACH: u64 = 100;
    const BASE: u64 = 10_000_000;
    let (other, call): (_, CallId) = (member(0, 2), id("call", 1_000));
    let everybody: BTreeSet<PartnerCode> = common::PARTNERS.iter().map(|code| code.parse().unwrap()).collect();
    let text = many::text(
        &everybody,
        &BTreeSet::from([common::PARTNERS[0].parse().unwrap()]),
        now() - SignedDuration::from_hours(100),
        now() + SignedDuration::from_hours(72),
        0,
    );
    let mut rows = Rows::new();
    let program = id("prog", 1);
    rows.call(&Call { id: call, program, text, version: 1, baseline: 1, is_cancelled: false, by: &other });
    let mut add = |number: u64, call: CallId, members: &[MemberId], is_signed: bool, is_complete: bool| {
        let proposal: ProposalId = id("prop", BASE + number);
        let created_at =
            now() - SignedDuration::from_hours(50) + SignedDuration::from_secs(i64::try_from(number).unwrap());
        rows.proposal(&Proposal { id: proposal, call, topic: Some("ai"), members, created_at, is_withdrawn: false });
        if is_signed || is_complete {
            rows.version(proposal, 1, 1, "{}", is_complete, is_complete);
        }
    };
    let both = [who.clone(), other.clone()];
    for number in 0..EACH {
        add(number, call, &both, false, false);
        add(EACH + number, call, &both, true, false);
        add(2 * EACH + number, call, std::slice::from_ref(&other), false, false);
        add(3 * EACH + number, id("call", 1 + number % 30), &both, true, true);
    }
    rows.write(&exchange.db).await;
    many::index(&exchange.db).await;
    let from = |kind: u64| id::<ProposalId>("prop", BASE + kind * EACH).to_string();
    let mut tx = exchange.db.write().await.unwrap();
    let mut run = async |sql: &str, args: Vec<Arg>| {
        tx.execute(Sql::once(sql.to_owned()), args).await.unwrap();
    };
    run(
        "INSERT INTO manifest_signatures (proposal_id, version, partner, member, jws, signed_at) \
         SELECT proposal_id, version, $3, $4, '', 0 FROM manifests WHERE proposal_id >= $1 AND proposal_id < $2",
        args![from(1), from(2), other.partner(), other],
    )
    .await;
    run(
        "INSERT INTO party_invitations (proposal_id, member, number, partner, invited_by, invited_at, sha256, statement) \
         SELECT proposal_id, $3, 1, $5, $4, 0, '', '' FROM proposals WHERE proposal_id >= $1 AND proposal_id < $2",
        args![from(2), from(3), who, other, who.partner()],
    )
    .await;
    run(
        "INSERT INTO letters (letter_id, proposal_id, sent_by, sent_at, statement, ciphertext) \
         SELECT 'doc' || substr(proposal_id, 5), proposal_id, $3, 0, '', $4 FROM proposals WHERE proposal_id >= $1 AND proposal_id < $2",
        vec![Arg::text(from(3)), Arg::text(from(4)), Arg::text(&other), Arg::Bytes(Some(vec![0]))],
    )
    .await;
    tx.commit().await.unwrap();
}

/// What is on the log of a year: each proposal's documents fetched by each reviewer of one in two, and letters fetched by one party member.
async fn add_log(exchange: &Exchange) {
    let mut tx = exchange.db.write().await.unwrap();
    let sql = "INSERT INTO log_entries (seq, at, kind, readers, actor, proposal_id, payload, salt) \
               SELECT (SELECT COALESCE(MAX(e.seq), 0) FROM log_entries e) + ROW_NUMBER() OVER (ORDER BY n.proposal_id, n.actor), 0, n.kind, \
               'proposal', n.actor, n.proposal_id, n.payload, $1 FROM (\
               SELECT 'document.fetched' AS kind, a.reviewer AS actor, a.proposal_id, '{}' AS payload FROM assignments a \
               WHERE a.proposal_id > '' AND substr(a.proposal_id, 31, 1) IN ('0', '2', '4', '6', '8') \
               UNION ALL SELECT 'letter.fetched', q.member, l.proposal_id, '{\"letter\":\"' || l.letter_id || '\"}' \
               FROM letters l JOIN proposal_members q ON q.proposal_id = l.proposal_id \
               WHERE substr(l.proposal_id, 31, 1) IN ('0', '2', '4', '6', '8')) n";
    tx.execute(Sql::once(sql.to_owned()), vec![Arg::Bytes(Some(vec![0]))]).await.unwrap();
    tx.commit().await.unwrap();
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
         SELECT 'vault_7' || substr(c.call_id, 7), c.call_id, 'call', c.call_id, 'age1', '', c.created_by, 0 FROM calls c",
        args![],
    )
    .await;
    run("UPDATE calls SET vault_id = 'vault_7' || substr(call_id, 7), revision = revision + 1", args![]).await;
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
