//! A member who has nothing to do with the attackers, and what an attack may cost them.

use super::{
    exchange::fresh_key,
    world::{Raw, TestWorld},
};
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};

/// How long an act may take while others attack, when the machine does nothing else. Alone it takes some milliseconds.
const AT_BEST: Duration = Duration::from_secs(1);
/// The median. An act waits for the processor as well, which it has together with the attackers, the server and all tests that run
/// beside this one: that is a matter of the machine, so it has five times as long. An attack that works holds an act up for as long
/// as it goes on, which no such limit lets through.
const MEDIAN: Duration = Duration::from_secs(5);
/// So many acts are tried at most.
const TRIES: usize = 5;

/// How long the acts so far took, the shortest first.
#[derive(Debug, Default)]
struct Waits(Vec<Duration>);

impl Waits {
    fn add(&mut self, took: Duration) {
        self.0.push(took);
        self.0.sort();
    }

    /// Whether the median of all acts is in time, however long those take that are not tried yet.
    fn are_in_time(&self) -> bool {
        self.0.first().is_some_and(|best| *best < AT_BEST) && self.0.get(TRIES / 2).is_some_and(|took| *took < MEDIAN)
    }

    /// Whether one more is to be tried.
    fn go_on(&self, member: &str) -> bool {
        let are_in_time = self.are_in_time();
        assert!(are_in_time || self.0.len() < TRIES, "{member} waited {:?} for acts", self.0);
        !are_in_time
    }
}

/// A program officer of a nation that does not attack connects and acts, again and again: they begin programs of their own nation, in time.
pub(crate) async fn innocent_acts_in_time(world: &TestWorld, member: &str) {
    let mut waits = Waits::default();
    while waits.go_on(member) {
        waits.add(act(&world.raw(Some(world.credential(member))), member).await);
    }
}

/// The same as the holder of a certificate whose connection may be open already, for a task of its own.
pub(crate) async fn acts_in_time(raw: &Raw, member: &str) {
    let mut waits = Waits::default();
    while waits.go_on(member) {
        waits.add(act(raw, member).await);
    }
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
