//! A member who has nothing to do with the attackers, and what an attack may cost them.

use super::{
    exchange::fresh_key,
    world::{Raw, TestWorld},
};
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};

/// How long an act may take while others attack. Alone it takes some milliseconds; on a slow disk that others write to, a second.
const IN_TIME: Duration = Duration::from_secs(3);
/// So many acts are tried: a machine that does much else beside the tests holds up one now and then, an attack that works holds up each.
const TRIES: usize = 5;

/// A program officer of a nation that does not attack connects and acts: they begin a program of their own nation, in time.
pub(crate) async fn innocent_acts_in_time(world: &TestWorld, member: &str) {
    acts_in_time(&world.raw(Some(world.credential(member))), member).await;
}

/// The same as the holder of a certificate whose connection may be open already, for a task of its own.
pub(crate) async fn acts_in_time(raw: &Raw, member: &str) {
    let mut waits = Vec::new();
    while waits.len() < TRIES {
        let took = act(raw, member).await;
        if took < IN_TIME {
            return;
        }
        waits.push(took);
    }
    panic!("{member} waited {waits:?} for an act");
}

async fn act(raw: &Raw, member: &str) -> Duration {
    let (partner, _) = member.split_once(':').unwrap();
    let body = json!({ "name": "Innocent", "lead": partner, "partners": [partner] });
    let request = raw.request(Method::POST, "/v1/programs").header("Idempotency-Key", fresh_key()).json(&body);
    let began = Instant::now();
    let response = request.send().await.unwrap();
    let (status, took) = (response.status().as_u16(), began.elapsed());
    assert_eq!(status, 201, "{member} may begin programs: {}", response.text().await.unwrap());
    took
}
