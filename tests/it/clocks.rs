//! What a clock that is set does to the exchange: nothing returns, nothing is written at a wrong instant, and there is a way out.

use crate::harness::{
    exchange::{Answered, fresh_key},
    process::Site,
    stage::{GRACE, NATIONS, Stage, slug},
    world::{Store, TestWorld},
};
use entente::{
    client::api::Paging,
    domain::{
        ambient::{Clock, SystemClock},
        call::Phase,
        entry::EntryKind,
        id::ProposalId,
        proposal::{Sort, Status},
    },
    service::{operator, time},
    storage::{Db, args},
    wire::{problem::Problem, proposal::Filter},
};
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const MILLISECOND: SignedDuration = SignedDuration::from_millis(1);

async fn on(store: Store) -> Option<Stage> {
    Some(Stage::open_in(TestWorld::start(NATIONS, store).await?).await)
}

async fn shown(stage: &Stage, proposal: ProposalId) -> (Phase, Status, usize) {
    let bob = stage.client("USA:bob").api();
    let filter = Filter { status: Some(Status::Submitted), ..Filter::default() };
    let listed = bob.proposals(&filter, Sort::Created, &Paging::default()).await.unwrap();
    let (call, proposal) = (bob.call(stage.call).await.unwrap().body, bob.proposal(proposal).await.unwrap());
    (call.phase, proposal.status, listed.items.len())
}

/// An act as a member makes it, with the problem if it is refused.
async fn act(stage: &Stage) -> Result<(), Problem> {
    let raw = stage.raw(Some(stage.credential("USA:dana")));
    let body = json!({ "name": "Another", "lead": "USA", "partners": ["USA"] });
    let request = raw.request(Method::POST, "/v1/programs").header("Idempotency-Key", fresh_key()).json(&body);
    let answer = request.send().await.unwrap();
    if answer.status() == 201 { Ok(()) } else { Err(answer.json().await.unwrap()) }
}

async fn phase_that_has_passed_never_returns(store: Store) {
    let Some(stage) = on(store).await else { return };
    let (proposal, late) = (stage.submitted().await, stage.prepared().await);
    // Small differences are bridged: time stands still.
    stage.clock.set(stage.deadline + MILLISECOND);
    act(&stage).await.unwrap();
    stage.clock.set(stage.deadline - SignedDuration::from_secs(3));
    act(&stage).await.unwrap();
    let work_plan = slug("work-plan");
    stage.refuses("deadline-passed", stage.client("ISR:avi").api().remove_document(late, &work_plan)).await;

    stage.clock.set(stage.deadline + GRACE + MILLISECOND);
    act(&stage).await.unwrap();
    let after = shown(&stage, proposal).await;
    assert_eq!(after, (Phase::Review, Status::Submitted, 1));

    // Beyond them nothing is written, and what is looked at is as it was.
    stage.clock.set(stage.deadline - HOUR);
    assert_eq!(shown(&stage, proposal).await, after);
    let refused = act(&stage).await.unwrap_err();
    assert_eq!((refused.slug(), refused.status), ("clock-not-trusted", 503));
    assert!(refused.detail.contains("behind what is on record"), "{}", refused.detail);
    stage.refuses("clock-not-trusted", stage.client("USA:bob").api().withdraw_proposal(proposal)).await;

    // The operator accepts it: time goes on from where it was, for every member to read.
    let until = time::accept(&stage.server.exchange).await.unwrap().unwrap();
    act(&stage).await.unwrap();
    assert_eq!(shown(&stage, proposal).await, after);
    let entries = stage.client("USA:bob").api().entries(&[EntryKind::ClockAccepted], &Paging::default()).await.unwrap();
    assert_eq!(entries.items.len(), 1);
    assert_eq!(entries.items[0].at.0, until);
    stage.stop().await;
}

#[tokio::test]
async fn phase_that_has_passed_never_returns_on_sqlite() {
    phase_that_has_passed_never_returns(Store::Sqlite).await;
}

#[tokio::test]
async fn phase_that_has_passed_never_returns_on_postgresql() {
    phase_that_has_passed_never_returns(Store::Postgres).await;
}

#[tokio::test]
async fn clock_that_jumps_ahead_opens_nothing_writes_nothing_and_forgets_nothing() {
    let stage = Stage::open().await;
    let proposal = stage.submitted().await;
    let raw = stage.raw(Some(stage.credential("USA:dana")));
    let body = json!({ "name": "Once", "lead": "USA", "partners": ["USA"] });
    let once = || raw.request(Method::POST, "/v1/programs").header("Idempotency-Key", "once").json(&body);
    let made = once().send().await.unwrap().expect_status(201).await;
    stage.clock.becomes_a_machines();
    let before = shown(&stage, proposal).await;
    let right = stage.clock.now();

    stage.clock.set(stage.deadline + GRACE + SignedDuration::from_hours(24 * 40));
    assert_eq!(shown(&stage, proposal).await, before, "a deadline passes when its time has come");
    assert_eq!(act(&stage).await.unwrap_err().slug(), "clock-not-trusted");
    let exchange = &stage.server.exchange;
    assert!(operator::expire_answers(exchange, 1).await.is_err());

    stage.clock.set(right);
    act(&stage).await.unwrap();
    let again = once().send().await.unwrap();
    assert_eq!(again.headers()["idempotent-replay"], "true");
    assert_eq!(again.expect_status(201).await, made);
    stage.stop().await;
}

#[tokio::test]
async fn servers_go_by_the_clock_of_their_database() {
    let Some(stage) = on(Store::Postgres).await else { return };
    act(&stage).await.unwrap();
    // Months behind the machine of the database.
    stage.clock.becomes_a_machines();
    let refused = act(&stage).await.unwrap_err();
    assert_eq!(refused.slug(), "clock-not-trusted");
    assert!(refused.detail.contains("differs from its database's"), "{}", refused.detail);
    // A machine that was paused and is set right: the database confirms it.
    stage.clock.set(SystemClock.now());
    act(&stage).await.unwrap();
    stage.stop().await;
}

/// A server that starts by a wrong clock on SQLite has nothing to hold it against. Answers are kept all the same.
#[tokio::test]
async fn answers_are_forgotten_by_the_hours_that_servers_ran_as_well_as_by_the_clock() {
    let stage = Stage::open().await;
    let raw = stage.raw(Some(stage.credential("USA:dana")));
    let body = json!({ "name": "Once", "lead": "USA", "partners": ["USA"] });
    let once = || raw.request(Method::POST, "/v1/programs").header("Idempotency-Key", "once").json(&body);
    once().send().await.unwrap().expect_status(201).await;
    let exchange = &stage.server.exchange;
    stage.clock.set(stage.clock.now() + SignedDuration::from_hours(24 * 8));
    act(&stage).await.unwrap();
    assert_eq!(operator::expire_answers(exchange, 1).await.unwrap(), 0);
    assert!(once().send().await.unwrap().headers().contains_key("idempotent-replay"));
    assert!(operator::expire_answers(exchange, 7 * 24).await.unwrap() > 0);
    stage.stop().await;
}

#[tokio::test]
async fn server_whose_clock_is_behind_the_log_is_not_ready_until_its_operator_has_seen_to_it() {
    let site = Site::new(None);
    site.world(NATIONS).await.stop().await;
    // A clock had jumped ahead, an entry was written, and then the clock was set right.
    let ahead = SystemClock.now() + SignedDuration::from_hours(24 * 3);
    let db = Db::open(site.database_url()).await.unwrap();
    let mut tx = db.write().await.unwrap();
    let entry = "INSERT INTO log_entries (seq, at, kind, readers, payload, salt) \
                 SELECT MAX(seq) + 1, $1, 'program.created', 'program', '{}', $2 FROM log_entries";
    tx.execute(entry, args![ahead, vec![0_u8; 32]]).await.unwrap();
    tx.commit().await.unwrap();
    db.close().await;

    let server = site.serve().await;
    let (status, ready) = server.admin("/readyz").await;
    let ready: Value = serde_json::from_str(&ready).unwrap();
    let part =
        |name: &str| ready["parts"].as_array().unwrap().iter().find(|part| part["part"] == name).unwrap().clone();
    assert_eq!((status, &part("clock")["ready"], &part("database")["ready"]), (503, &json!(false), &json!(true)));
    assert!(part("clock")["fault"].as_str().unwrap().contains("behind what is on record"), "{ready}");
    let dana = site.speaker("USA:dana");
    let body = json!({ "name": "Another", "lead": "USA", "partners": ["USA"] });
    let post = async || {
        let request = dana.http.post(format!("{}/v1/programs", server.base()));
        request.header("Idempotency-Key", fresh_key()).json(&body).send().await.unwrap()
    };
    assert_eq!(post().await.problem().await, (503, "clock-not-trusted".to_owned()));

    let show = site.operate(&["clock", "show"]).await;
    assert!(String::from_utf8_lossy(&show.stdout).contains("nothing is written"), "{show:?}");
    let accept = site.operate(&["clock", "accept"]).await;
    assert!(accept.status.success(), "{accept:?}");
    assert!(
        String::from_utf8_lossy(&accept.stdout).starts_with("accepted: time on the exchange stands still"),
        "{accept:?}"
    );
    post().await.expect_status(201).await;
    let again = site.operate(&["clock", "accept"]).await;
    assert!(String::from_utf8_lossy(&again.stdout).starts_with("nothing to accept"), "{again:?}");
    assert!(server.stop().await.success());
}
