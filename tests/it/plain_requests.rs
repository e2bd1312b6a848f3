//! `entente api`: a request as its author wrote it, under the profile's certificate, and the answer as it came.

use crate::harness::{
    process::{ended, entente},
    programs::has_all,
    stage::{Stage, id},
};
use entente::client::api::Paging;
use serde_json::{Value, json};
use std::{fs, process::Output};
use tokio::process::Command;

async fn asked(stage: &Stage, member: &str, words: &[&str]) -> Output {
    let home = stage.home(&id(member)).display().to_string();
    ended(entente(&[&["--home", &home, "api"], words].concat())).await
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn answer_is_printed_as_it_came_and_a_refusal_ends_with_its_code() {
    let stage = Stage::open().await;
    let output = asked(&stage, "ISR:avi", &["get", "/v1/me"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let me: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(me["member"], "ISR:avi");

    let output = asked(&stage, "ISR:avi", &["GET", "/v1/members/ISR:nobody", "--include"]).await;
    let (answer, said) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(3), "{said}");
    let (head, body) = answer.split_once("\n\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 404 Not Found\n") && head.contains("x-request-id: "), "{head}");
    assert_eq!(serde_json::from_str::<Value>(body).unwrap()["type"], "urn:entente:problem:not-found");
    assert!(said.contains("error: the exchange answered 404: ") && said.contains("help: "), "{said}");
    stage.stop().await;
}

#[tokio::test]
async fn change_is_sent_once_under_the_key_and_the_headers_that_were_given() {
    let stage = Stage::open().await;
    let file = stage.plan.dir.join("program.json");
    fs::write(&file, json!({ "name": "Optics", "lead": "USA", "partners": ["ISR", "USA"] }).to_string()).unwrap();
    let file = file.display().to_string();
    let programs = async || stage.client("USA:dana").api().programs(&Paging::default()).await.unwrap().items.len();
    let before = programs().await;
    let key = "Idempotency-Key: once";
    for replayed in [false, true] {
        let words = ["post", "/v1/programs", "--body", &file, "-H", key, "--include"];
        let output = asked(&stage, "USA:dana", &words).await;
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert_eq!(text(&output.stdout).contains("idempotent-replay: true"), replayed);
        assert_eq!(programs().await, before + 1, "done once");
    }
    let output = asked(&stage, "USA:dana", &["POST", "/v1/programs", "--body", &file]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(programs().await, before + 2, "under a key of its own");

    for (words, fault) in [
        (vec!["PATCH", "/v1/me"], "GET, HEAD, POST, PUT or DELETE"),
        (vec!["GET", "https://elsewhere.example/v1/me"], "begin it with `/`"),
        (vec!["GET", "/v1/me", "-H", "If-Match"], "Name: value"),
        (vec!["POST", "/v1/programs", "--body", "nowhere.json"], "cannot read `nowhere.json`"),
    ] {
        let output = asked(&stage, "USA:dana", &words).await;
        assert!(matches!(output.status.code(), Some(1 | 2)), "{words:?}");
        assert!(text(&output.stderr).contains(fault), "{words:?}: {}", text(&output.stderr));
    }
    assert_eq!(programs().await, before + 2, "and nothing was done");
    stage.stop().await;
}

/// What is printed for a shell does what the command itself does.
#[tokio::test]
async fn request_printed_for_curl_is_the_same_request() {
    let stage = Stage::open().await;
    let output = asked(&stage, "ISR:avi", &["GET", "/v1/calls?limit=1", "--curl"]).await;
    let line = text(&output.stdout);
    assert!(
        line.starts_with("curl --tlsv1.3 --globoff --request GET --cacert ") && line.lines().count() == 1,
        "{line}"
    );
    if !has_all(&["curl"], "THE LINE THAT `entente api --curl` PRINTS WAS NOT RUN") {
        return stage.stop().await;
    }
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{} --silent --show-error --fail-with-body", line.trim_end())]);
    let by_curl = ended(shell).await;
    assert!(by_curl.status.success(), "{}", text(&by_curl.stderr));
    let direct = asked(&stage, "ISR:avi", &["GET", "/v1/calls?limit=1"]).await;
    assert_eq!(by_curl.stdout, direct.stdout);
    stage.stop().await;
}
