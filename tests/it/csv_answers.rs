//! The answers of commands as CSV: the table alone on standard output, everything in it, and nothing that a spreadsheet would compute.

use crate::harness::{
    process::{ended, entente},
    stage::{Stage, id, quiet, summary},
};
use std::process::Output;

/// What a command of a member's says: exit code, answer, notes but for the one on the clock of a stage, which is not this machine's.
async fn run(stage: &Stage, member: &str, words: &[&str]) -> (i32, String, String) {
    let home = stage.home(&id(member)).display().to_string();
    let words: Vec<&str> = ["--home", &home].into_iter().chain(words.iter().copied()).collect();
    let Output { status, stdout, stderr } = ended(entente(&words)).await;
    let notes = String::from_utf8(stderr).unwrap();
    let notes = notes.split_inclusive('\n').filter(|line| !line.starts_with("warning: this machine's clock"));
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), notes.collect())
}

#[tokio::test]
async fn list_is_csv_with_whole_titles_and_times_in_utc() {
    let stage = Stage::open().await;
    let (proposal, avi) = (stage.prepared().await, stage.client("ISR:avi"));
    let title =
        "=HYPERLINK(\"http://example.org\"), ניווט בלי לוויין, by maps of the magnetic field and sensors for drones";
    avi.put_summary(proposal, &summary(title), quiet()).await.unwrap();
    stage.sign("ISR:avi", proposal).await;
    let (code, said, notes) = run(&stage, "ISR:avi", &["--zone", "Asia/Seoul", "--csv", "proposal", "list"]).await;
    assert_eq!((code, &*notes), (0, ""), "{said}");
    let row = avi.api().proposal(proposal).await.unwrap();
    let quoted = title.replace('"', "\"\"");
    let lines: Vec<&str> = said.split("\r\n").collect();
    assert_eq!(lines[0], "PROPOSAL,TITLE,STATUS,DEADLINE,LEFT,YOU,PARTIES,TOPIC,VERSION");
    let begins = format!("{},\"'{quoted}\",preparing,{},", row.reference, stage.deadline);
    assert!(lines[1].starts_with(&begins), "{said}\n{begins}");
    assert_eq!(lines[2..], [""], "{said}");
    assert!(lines[1].contains(",party,ISR USA,"), "{said}");
    stage.stop().await;
}

#[tokio::test]
async fn second_table_follows_after_an_empty_line_and_the_rest_is_said_aside() {
    let stage = Stage::open().await;
    let call = stage.call.to_string();
    let (code, said, notes) = run(&stage, "USA:dana", &["call", "show", &call, "--csv"]).await;
    assert_eq!(code, 0, "{notes}");
    let tables: Vec<&str> = said.split("\r\n\r\n").collect();
    assert_eq!(tables.len(), 2, "{said}");
    assert!(tables[0].starts_with("NAME,TITLE,MAX,STEP,WEIGHT,THRESHOLD\r\n"), "{said}");
    assert!(tables[1].starts_with("SLOT,TITLE,REQUIRED,FOR,AT MOST,MEDIA TYPES\r\nsummary,"), "{said}");
    assert!(!said.contains(" MiB") && notes.contains("deadline"), "{said}{notes}");
    // An empty table has its headings.
    let (code, said, notes) = run(&stage, "USA:dana", &["--csv", "assignment", "list", "--call", &call]).await;
    assert_eq!((code, &*said), (0, "PROPOSAL,TITLE,REVIEWER,CONFLICT,REVIEW,ASSIGNED\r\n"));
    assert_eq!(notes, "nobody is assigned\n");
    stage.stop().await;
}

#[tokio::test]
async fn csv_of_an_answer_without_a_table_is_refused_before_the_act() {
    let stage = Stage::open().await;
    let proposal = stage.submitted().await.to_string();
    let declare = ["--csv", "conflict", "declare", &proposal, "--none"];
    let (code, said, notes) = run(&stage, "USA:dana", &declare).await;
    assert_eq!((code, &*said), (2, ""));
    assert!(notes.contains("the answer of `entente conflict declare` has no table"), "{notes}");
    let row = stage.client("USA:dana").api().proposal(proposal.parse().unwrap()).await.unwrap();
    assert!(!row.mine.is_clear, "nothing was declared");
    let (code, _, notes) = run(&stage, "USA:dana", &["--json", "call", "list", "--csv"]).await;
    assert!(code == 2 && notes.contains("JSON or CSV, not both"), "{notes}");
    let (code, _, notes) = run(&stage, "USA:dana", &["--csv", "log", "--follow"]).await;
    assert!(code == 2 && notes.contains("a log that goes on has no table"), "{notes}");
    let (code, said, notes) = run(&stage, "USA:dana", &["--csv", "proposal", "list", "--count"]).await;
    assert_eq!((code, &*said), (0, ""));
    assert!(notes.ends_with("this answer has no table: `--json` prints all of it for programs\n"), "{notes}");
    stage.stop().await;
}
