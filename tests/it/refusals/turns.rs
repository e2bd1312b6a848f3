//! Who is refused takes no turn at writing from others, and hears no as it would in its turn.

use super::arrivals::waiting;
use crate::harness::{
    exchange::fresh_key,
    stage::{NATIONS, Stage, code, slug},
    world::{Store, TestWorld},
};
use entente::{
    domain::{
        ambient::{SystemClock, SystemRng},
        id::ProposalId,
    },
    wire::{directory::CreateProgram, problem::Problem},
};
use reqwest::Method;

async fn refused_act_waits_for_nobody(store: Store) {
    let Some(world) = TestWorld::start(NATIONS, store).await else { return };
    let stage = Stage::open_in(world).await;
    let (proposal, withdrawn) = (stage.begun().await, stage.begun().await);
    let (avi, annex) = (stage.client("ISR:avi").api(), slug("annex"));
    let raw = |member: &str| stage.raw(Some(stage.credential(member)));
    let (avis, tamars) = (raw("ISR:avi"), raw("ISR:tamar"));
    let withdraw = async |key: &str, of: ProposalId| {
        let path = format!("/v1/proposals/{of}/withdraw");
        let answer = avis.request(Method::POST, &path).header("idempotency-key", key).send().await.unwrap();
        let is_replay = answer.headers().contains_key("idempotent-replay");
        (answer.status().as_u16(), is_replay, answer.text().await.unwrap())
    };
    stage.put("ISR:avi", proposal, "annex", &stage.file("annex.bin", b"measurements")).await;
    let (status, _, first) = withdraw("once", withdrawn).await;
    assert_eq!(status, 200);
    avi.remove_document(proposal, &annex).await.unwrap();
    let before = stage.census().await;

    let busy = stage.server.exchange.db.write().await.unwrap();
    // What was answered a moment ago is seen.
    stage.refuses("slot-empty", avi.remove_document(proposal, &annex)).await;
    let partners = ["USA", "ISR"].map(code).into();
    let body = CreateProgram { name: "Another".into(), lead: code("USA"), partners };
    stage.refuses("denied", stage.client("USA:carol").api().create_program(&body)).await;
    // What is hidden is as what does not exist, also for a read that would leave an entry.
    let absent = ProposalId::new(&SystemClock, &SystemRng);
    for (method, what) in [(Method::POST, "withdraw"), (Method::GET, "vaults")] {
        let mut told = Vec::new();
        for of in [proposal, absent] {
            let request = tamars.request(method.clone(), &format!("/v1/proposals/{of}/{what}"));
            let answer = request.header("idempotency-key", fresh_key()).send().await.unwrap();
            assert_eq!(answer.status(), 404);
            told.push(answer.text().await.unwrap());
        }
        assert_eq!(told[0], told[1]);
    }
    // A repetition is answered as before, and a key that was used for something else is refused.
    assert_eq!(withdraw("once", withdrawn).await, (200, true, first));
    let (status, _, reused) = withdraw("once", proposal).await;
    assert_eq!((status, serde_json::from_str::<Problem>(&reused).unwrap().slug()), (422, "idempotency-key-reused"));
    assert_eq!(stage.census().await, before);

    // What is permitted waits, and is done in its turn.
    let turn = async {
        waiting(&stage, 1).await;
        drop(busy);
    };
    let key = fresh_key();
    let (allowed, ()) = tokio::join!(withdraw(&key, proposal), turn);
    assert_eq!((allowed.0, allowed.1), (200, false));
    stage.stop().await;
}

#[tokio::test]
async fn refused_act_takes_no_turn_at_writing_and_a_permitted_one_waits_for_its() {
    refused_act_waits_for_nobody(Store::Sqlite).await;
    refused_act_waits_for_nobody(Store::Postgres).await;
}
