//! What others wrote cannot steer the terminal of the reader: as text, as JSON, or as a document.

use crate::harness::{
    process::PATIENCE,
    stage::{Stage, Step, id, pdf},
};
use entente::storage::args;
use serde_json::Value;
use std::process::{Output, Stdio};
use tokio::{process::Command, time::timeout};

/// Clears the screen in one byte, hides what follows in a second, and turns the direction of text.
const STEERING: &str = "Joint\u{9b}2J\u{1b}[8m\u{202e}\u{2066}\u{200f}\u{61c}\u{7f} research";

/// Runs a member's command at a terminal of its own: the exit code, and everything on the screen.
async fn at_terminal(stage: &Stage, member: &str, line: &str) -> (i32, String) {
    let home = stage.home(&id(member)).display().to_string();
    let shown = format!("{} --home {home} {line}", env!("CARGO_BIN_EXE_entente"));
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &shown, "/dev/null"]).env_clear().env("TERM", "dumb");
    command.stdin(Stdio::null()).kill_on_drop(true);
    let Output { status, stdout, .. } = timeout(PATIENCE, command.output()).await.unwrap().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap())
}

async fn screen(stage: &Stage, line: &str) -> String {
    let (code, said) = at_terminal(stage, "USA:dana", line).await;
    assert_eq!(code, 0, "{said}");
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

#[tokio::test]
async fn document_of_another_nation_is_not_written_to_the_terminal() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    stage.put("ISR:avi", proposal, "work-plan", &stage.file("steering.pdf", &pdf(STEERING))).await;
    for flags in ["", " --sealed"] {
        let line = format!("proposal open {proposal} work-plan --version working -o -{flags}");
        let (code, said) = at_terminal(&stage, "USA:bob", &line).await;
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("a document is not written to a terminal") && said.contains("-o FILE"), "{said}");
        assert!(!said.contains("PDF") && !said.contains("age-encryption"), "{said}");
    }
    stage.stop().await;
}
