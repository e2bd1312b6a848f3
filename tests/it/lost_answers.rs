//! What members hear when the database's answer to a commit is lost, over the real API: never that nothing was done when it
//! was, and never that it was done when it was not. What is refused leaves no bytes.

use crate::harness::{
    exchange::Answered,
    relay::{Cut, Relay},
    stage::{NATIONS, Stage, slug},
    world::{Raw, Store, TestWorld},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use entente::{
    domain::id::{ProposalId, Sha256},
    sealing::{identity::new_identity, seal::seal_bytes},
    storage::args,
    wire::{AGE_MEDIA_TYPE, problem::Problem, proposal::Document},
};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::json;

fn begin_program(raw: &Raw, key: &str) -> RequestBuilder {
    let body = json!({ "name": key, "lead": "USA", "partners": ["USA"] });
    raw.request(Method::POST, "/v1/programs").header("Idempotency-Key", key).json(&body)
}

fn upload(raw: &Raw, proposal: ProposalId, key: &str, bytes: &[u8]) -> RequestBuilder {
    let digest = BASE64_STANDARD.encode(Sha256::of(bytes).as_bytes());
    raw.request(Method::PUT, &format!("/v1/proposals/{proposal}/documents/annex"))
        .header("Idempotency-Key", key)
        .header("Repr-Digest", format!("sha-256=:{digest}:"))
        .header("Content-Type", AGE_MEDIA_TYPE)
        .header("Entente-Media-Type", "application/octet-stream")
        .body(bytes.to_vec())
}

fn sealed() -> Vec<u8> {
    seal_bytes(&[new_identity().recipient().to_owned()], b"an annex").unwrap()
}

fn is_replay(response: &Response) -> bool {
    response.headers().contains_key("idempotent-replay")
}

async fn programs(raw: &Raw, name: &str) -> usize {
    let page = raw.request(Method::GET, "/v1/programs?limit=200").send().await.unwrap().expect_status(200).await;
    page["items"].as_array().unwrap().iter().filter(|program| program["name"] == name).count()
}

async fn behind_relay() -> Option<(TestWorld, Relay)> {
    TestWorld::start_behind_relay(NATIONS).await
}

#[tokio::test]
async fn act_that_was_done_though_the_answer_to_its_commit_was_lost_is_answered_as_done() {
    let Some((world, relay)) = behind_relay().await else { return };
    let dana = world.raw(Some(world.credential("USA:dana")));
    relay.cut("lost-answer", Cut::Answer);
    let made = begin_program(&dana, "lost-answer").send().await.unwrap();
    assert!(relay.has_cut());
    let made = made.expect_status(201).await;
    let again = begin_program(&dana, "lost-answer").send().await.unwrap();
    assert!(is_replay(&again));
    assert_eq!(again.expect_status(201).await, made);
    assert_eq!(programs(&dana, "lost-answer").await, 1);
    world.stop().await;
}

#[tokio::test]
async fn act_whose_commit_never_reached_the_database_is_said_not_to_be_done_and_is_not() {
    let Some((world, relay)) = behind_relay().await else { return };
    let dana = world.raw(Some(world.credential("USA:dana")));
    relay.cut("lost-commit", Cut::Commit);
    let refused = begin_program(&dana, "lost-commit").send().await.unwrap();
    assert!(relay.has_cut());
    let refused: Problem = refused.json().await.unwrap();
    assert_eq!(refused.slug(), "unavailable");
    assert!(refused.remedy.contains("nothing was done"), "{}", refused.remedy);
    assert_eq!(programs(&dana, "lost-commit").await, 0);
    let again = begin_program(&dana, "lost-commit").send().await.unwrap();
    assert!(!is_replay(&again));
    again.expect_status(201).await;
    assert_eq!(programs(&dana, "lost-commit").await, 1);
    world.stop().await;
}

#[tokio::test]
async fn act_of_which_nobody_can_say_whether_it_was_done_is_said_to_be_unknown() {
    let Some((world, relay)) = behind_relay().await else { return };
    let dana = world.raw(Some(world.credential("USA:dana")));
    relay.cut("in-doubt", Cut::AnswerAndLater);
    let unknown = begin_program(&dana, "in-doubt").send().await.unwrap();
    assert!(unknown.headers().contains_key("retry-after"));
    let unknown: Problem = unknown.json().await.unwrap();
    assert_eq!((unknown.slug(), unknown.status), ("outcome-unknown", 503));
    assert!(unknown.remedy.contains("the same `Idempotency-Key`"), "{}", unknown.remedy);
    assert!(!format!("{unknown:?}").contains("nothing was done"), "{unknown:?}");
    relay.open();
    let again = begin_program(&dana, "in-doubt").send().await.unwrap();
    assert!(is_replay(&again), "it had been done");
    again.expect_status(201).await;
    assert_eq!(programs(&dana, "in-doubt").await, 1);
    world.stop().await;
}

#[tokio::test]
async fn upload_whose_commit_is_lost_keeps_its_bytes_if_and_only_if_it_was_done() {
    let Some((world, relay)) = behind_relay().await else { return };
    let stage = Stage::open_in(world).await;
    let proposal = stage.begun().await;
    let avi = stage.raw(Some(stage.credential("ISR:avi")));
    let before = stage.blobs();
    relay.cut("upload-lost", Cut::Commit);
    let refused = upload(&avi, proposal, "upload-lost", &sealed()).send().await.unwrap();
    assert_eq!(refused.problem().await, (503, "unavailable".to_owned()));
    assert_eq!(stage.blobs(), before, "what is refused leaves no bytes");

    relay.cut("upload-done", Cut::Answer);
    let bytes = sealed();
    let done = upload(&avi, proposal, "upload-done", &bytes).send().await.unwrap();
    assert!(relay.has_cut());
    let document: Document = serde_json::from_value(done.expect_status(201).await).unwrap();
    let path = format!("/v1/proposals/{proposal}/ciphertexts/{}", document.id);
    let fetched = avi.request(Method::GET, &path).send().await.unwrap();
    assert_eq!(fetched.bytes().await.unwrap(), bytes);

    relay.cut("upload-doubt", Cut::AnswerAndLater);
    let (bytes, held) = (sealed(), stage.blobs());
    let unknown = upload(&avi, proposal, "upload-doubt", &bytes).send().await.unwrap();
    assert_eq!(unknown.problem().await, (503, "outcome-unknown".to_owned()));
    relay.open();
    assert_eq!(stage.blobs(), held + 1, "what may have been done keeps its bytes");
    let again = upload(&avi, proposal, "upload-doubt", &bytes).send().await.unwrap();
    assert!(is_replay(&again));
    assert_eq!(again.status(), 201);
    stage.stop().await;
}

/// The member's own client repeats by itself, so that nobody has to.
#[tokio::test]
async fn client_learns_that_its_act_was_done() {
    let Some((world, relay)) = behind_relay().await else { return };
    let stage = Stage::open_in(world).await;
    let proposal = stage.prepared().await;
    relay.cut("manifest.signed", Cut::Answer);
    stage.sign("ISR:avi", proposal).await;
    assert!(relay.has_cut());
    stage.sign("USA:bob", proposal).await;
    let found = stage.client("ISR:avi").api().proposal(proposal).await.unwrap();
    assert_eq!(found.status.to_string(), "submitted");
    stage.stop().await;
}

/// `ENTENTE_CUT_ROUNDS` sets how often a connection is cut (9).
#[tokio::test]
async fn whatever_is_cut_nothing_is_answered_that_is_not_so() {
    let Some((world, relay)) = behind_relay().await else { return };
    let dana = world.raw(Some(world.credential("USA:dana")));
    let rounds = std::env::var("ENTENTE_CUT_ROUNDS").map_or(9, |rounds| rounds.parse().unwrap());
    let (mut done, mut not_done, mut unknown) = (0, 0, 0);
    for round in 0..rounds {
        let key = format!("round-{round}");
        relay.cut(&key, [Cut::Commit, Cut::Answer, Cut::AnswerAndLater][round % 3]);
        let answer = begin_program(&dana, &key).send().await.unwrap();
        assert!(relay.has_cut());
        relay.open();
        match answer.status().as_u16() {
            201 => {
                done += 1;
                assert_eq!(programs(&dana, &key).await, 1, "{key} was answered as done");
            }
            status => {
                assert_eq!(status, 503, "{key}");
                match answer.problem().await.1.as_str() {
                    "unavailable" => {
                        not_done += 1;
                        assert_eq!(programs(&dana, &key).await, 0, "{key} was answered as not done");
                    }
                    "outcome-unknown" => unknown += 1,
                    other => panic!("{key}: {other}"),
                }
            }
        }
        begin_program(&dana, &key).send().await.unwrap().expect_status(201).await;
        assert_eq!(programs(&dana, &key).await, 1, "{key} was repeated");
    }
    println!("{rounds} connections cut: {done} answered as done, {not_done} as not done, {unknown} as unknown");
    assert!(done > 0 && not_done > 0 && unknown > 0);
    world.stop().await;
}

async fn upload_whose_commit_is_refused_leaves_no_bytes(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let proposal = stage.begun().await;
    let avi = stage.raw(Some(stage.credential("ISR:avi")));
    // The database itself refuses the commit of whatever stores a document, and no statement before it.
    let db = &stage.server.exchange.db;
    let mut tx = db.write().await.unwrap();
    for sql in match store {
        Store::Sqlite => &[
            "CREATE TABLE refused (n INTEGER REFERENCES refused_by (n) DEFERRABLE INITIALLY DEFERRED) STRICT",
            "CREATE TABLE refused_by (n INTEGER PRIMARY KEY) STRICT",
            "CREATE TRIGGER refuse AFTER INSERT ON documents BEGIN INSERT INTO refused VALUES (1); END",
        ][..],
        Store::Postgres => &[
            "CREATE TABLE refused_by (n BIGINT PRIMARY KEY)",
            "CREATE TABLE refused (n BIGINT REFERENCES refused_by (n) DEFERRABLE INITIALLY DEFERRED)",
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO refused VALUES (1); RETURN NULL; END'",
            "CREATE TRIGGER refuse AFTER INSERT ON documents FOR EACH STATEMENT EXECUTE FUNCTION refuse()",
        ][..],
    } {
        tx.execute(*sql, args![]).await.unwrap();
    }
    tx.commit().await.unwrap();
    let before = stage.blobs();
    for n in 0..3 {
        let refused = upload(&avi, proposal, &format!("refused-{n}"), &sealed()).send().await.unwrap();
        assert_eq!(refused.problem().await, (500, "internal".to_owned()));
        assert_eq!(stage.blobs(), before);
    }
    let mut tx = db.write().await.unwrap();
    let drop = match store {
        Store::Sqlite => "DROP TRIGGER refuse",
        Store::Postgres => "DROP TRIGGER refuse ON documents",
    };
    tx.execute(drop, args![]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(upload(&avi, proposal, "taken", &sealed()).send().await.unwrap().status(), 201);
    assert_eq!(stage.blobs(), before + 1);
    let listed = stage.client("ISR:avi").api().documents(proposal).await.unwrap();
    assert!(listed.iter().any(|document| document.slot == slug("annex")));
    stage.stop().await;
}

#[tokio::test]
async fn upload_whose_commit_sqlite_refuses_leaves_no_bytes() {
    upload_whose_commit_is_refused_leaves_no_bytes(Store::Sqlite).await;
}

#[tokio::test]
async fn upload_whose_commit_postgresql_refuses_leaves_no_bytes() {
    upload_whose_commit_is_refused_leaves_no_bytes(Store::Postgres).await;
}
