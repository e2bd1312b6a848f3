//! What others wrote cannot steer the terminal of whoever reads it, as text or as JSON.

use crate::harness::{
    process::PATIENCE,
    stage::{Stage, id},
};
use entente::storage::args;
use serde_json::Value;
use std::process::{Output, Stdio};
use tokio::{process::Command, time::timeout};

/// Clears the screen in one byte, hides what follows in a second, and turns the direction of text.
const STEERING: &str = "Joint\u{9b}2J\u{1b}[8m\u{202e}\u{2066}\u{200f}\u{61c}\u{7f} research";

/// Runs a command at a terminal of its own; everything on the screen.
async fn screen(stage: &Stage, line: &str) -> String {
    let home = stage.home(&id("USA:dana")).display().to_string();
    let shown = format!("{} --home {home} {line}", env!("CARGO_BIN_EXE_entente"));
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &shown, "/dev/null"]).env_clear().env("TERM", "dumb");
    command.stdin(Stdio::null()).kill_on_drop(true);
    let Output { status, stdout, .. } = timeout(PATIENCE, command.output()).await.unwrap().unwrap();
    let said = String::from_utf8(stdout).unwrap();
    assert!(status.success(), "{said}");
    said
}

#[tokio::test]
async fn names_of_others_do_not_steer_the_terminal_as_text_or_as_json() {
    let stage = Stage::open().await;
    let mut tx = stage.server.exchange.db.write().await.unwrap();
    assert_eq!(tx.execute("UPDATE programs SET name = $1", args![STEERING]).await.unwrap(), 1);
    tx.commit().await.unwrap();
    let steers = |c: char| (c.is_control() && !"\r\n".contains(c)) || STEERING.contains(c) && !c.is_ascii();
    for line in ["program list", "--json program list"] {
        let said = screen(&stage, line).await;
        assert!(said.contains("Joint") && !said.chars().any(steers), "{line}: {said:?}");
        if line.starts_with("--json") {
            let json = &said[said.find('{').unwrap()..=said.rfind('}').unwrap()];
            // The warning about the clock goes to the same screen, after the answer.
            let answer: Value = serde_json::Deserializer::from_str(json).into_iter().next().unwrap().unwrap();
            assert_eq!(answer["items"][0]["name"], STEERING, "it means what it meant");
        }
    }
    stage.stop().await;
}
