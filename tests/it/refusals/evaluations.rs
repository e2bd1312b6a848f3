//! What a nation's policies cost is taken from its own turns at evaluating: reads that decide much wait for one.

use super::turns::greedy;
use crate::harness::{
    innocent::innocent_acts_in_time,
    stage::{Stage, id},
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
