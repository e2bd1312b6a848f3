//! What a nation's policies cost is taken from its own turns at evaluating: reads that decide much wait for one, and acts decide before their
//! turn at writing.

use super::{arrivals::waiting, turns::greedy};
use crate::harness::{
    bulk::{signing_key, wrap},
    innocent::innocent_acts_in_time,
    process::until,
    stage::{Stage, id},
};
use entente::{
    domain::{
        ambient::Clock,
        vault::{VaultKind, WrapTarget},
    },
    sealing::identity::new_identity,
    storage::{args, db::READERS},
    wire::proposal::AddKeys,
};
use reqwest::Method;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explanation_missing_keys_log_and_manifest_are_decided_in_turns_at_evaluating() {
    let stage = Stage::open().await;
    let proposal = stage.submitted().await;
    // Before it, the policy officer hears nothing of it.
    stage.pass_the_opening();
    let (turns, noa) = (&stage.server.exchange.long_work, id("ISR:noa"));
    let mut held = Vec::new();
    let waits = greedy(|| turns.evaluation(&noa), &mut held).await;
    let explained = format!("/v1/proposals/{proposal}/explanation?member=ISR:tamar&action=Read");
    let missing = format!("/v1/proposals/{proposal}/missing-keys");
    let asked = [
        ("ISR:drafter", &*explained),
        ("ISR:avi", &*missing),
        ("ISR:avi", "/v1/entries"),
        ("ISR:drafter", "/v1/partners/ISR/visibility"),
    ];
    let mut answers = Vec::new();
    for (member, path) in asked {
        let raw = stage.raw(Some(stage.credential(member)));
        let mut answer = Box::pin(async move {
            let answer = raw.request(Method::GET, path).send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        });
        tokio::select! {
            answer = &mut answer => panic!("{path} took no turn: {answer:?}"),
            () = innocent_acts_in_time(&stage, "USA:dana") => {}
        }
        answers.push((path, answer));
    }
    drop((held, waits));
    for (path, answer) in answers {
        let (status, body) = answer.await;
        assert_eq!(status, 200, "{path}: {body}");
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_turn_at_evaluating_keeps_no_place_at_reading() {
    let stage = Stage::open().await;
    let proposal = stage.submitted().await;
    stage.pass_the_opening();
    let (exchange, noa) = (&stage.server.exchange, id("ISR:noa"));
    let turns = &exchange.long_work;
    for (member, what) in [
        ("ISR:drafter", "explanation?member=ISR:tamar&action=Read"),
        ("ISR:drafter", "readers"),
        ("ISR:avi", "missing-keys"),
    ] {
        let mut held = Vec::new();
        let next = greedy(|| turns.evaluation(&noa), &mut held).await;
        let raw = stage.raw(Some(stage.credential(member)));
        let asked = raw.request(Method::GET, &format!("/v1/proposals/{proposal}/{what}"));
        let asked = tokio::spawn(asked.send());
        until("the turn is waited for", async || (turns.evaluations_waiting() == 2).then_some(())).await;
        let mut reads = Vec::new();
        for _ in 0..READERS {
            reads.push(exchange.db.read().await.unwrap());
        }
        assert!(!asked.is_finished(), "{what}: nobody's turn has ended");
        drop((reads, held, next));
        assert_eq!(asked.await.unwrap().unwrap().status(), 200, "{what}");
    }
    stage.stop().await;
}

/// How many decisions the policies in force are asked for from the moment at which the act waits for its turn.
pub(super) async fn decisions_in_turn<T>(stage: &Stage, act: impl Future<Output = T>) -> (T, u64) {
    let exchange = &stage.server.exchange;
    let mut tx = exchange.db.read().await.unwrap();
    let policies = exchange.rules.at(&mut tx, &exchange.host, stage.clock.now()).await.unwrap();
    drop(tx);
    let busy = exchange.db.write().await.unwrap();
    let turn = async {
        waiting(stage, 1).await;
        let before = policies.decisions_made();
        drop(busy);
        before
    };
    let (done, before) = tokio::join!(act, turn);
    (done, policies.decisions_made() - before)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_for_many_members_are_decided_on_before_their_turn() {
    const HOLDERS: [&str; 4] = ["ISR:avi", "ISR:tamar", "ISR:drafter", "USA:bob"];
    let stage = Stage::open().await;
    let proposal = stage.begun().await;
    for member in &HOLDERS[1..3] {
        stage.joins("ISR:avi", proposal, member).await;
    }
    let avi = stage.client("ISR:avi").api();
    let vaults = avi.vaults(proposal).await.unwrap();
    let panel = vaults.iter().find(|vault| vault.kind == VaultKind::Panel).unwrap().id;
    let key = signing_key(&stage, "ISR:avi");
    let mut made = Vec::new();
    for count in [1, HOLDERS.len()] {
        let mut keys = Vec::new();
        for holder in &HOLDERS[..count] {
            let recipient = new_identity().recipient().to_owned();
            let mut tx = stage.server.exchange.db.write().await.unwrap();
            let sql = "INSERT INTO member_recipients (member, recipient) VALUES ($1, $2)";
            tx.execute(sql, args![holder, recipient]).await.unwrap();
            tx.commit().await.unwrap();
            keys.push(wrap(&key, panel, WrapTarget::Member(id(holder)), &recipient));
        }
        let (added, decisions) = decisions_in_turn(&stage, avi.add_keys(panel, &AddKeys { keys })).await;
        added.unwrap();
        made.push(decisions);
    }
    // One key alone is decided on in its turn.
    assert_eq!(made[1], made[0] - 1, "{made:?}");
    stage.stop().await;
}
