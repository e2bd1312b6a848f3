//! Acts that cannot be undone, by the program itself: refused where nobody can be asked, done after a yes and not after a no.

use crate::harness::{
    process::{PATIENCE, ended, entente},
    stage::{Stage, Step, id},
};
use entente::domain::{call::Phase, decision::Outcome, id::ProposalId, proposal::Status};
use jiff::SignedDuration;
use std::process::{Output, Stdio};
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

/// The words of a command for a member, each without blanks.
fn words(stage: &Stage, member: &str, line: &str) -> Vec<String> {
    let home = stage.home(&id(member)).display().to_string();
    ["--home", &home].into_iter().chain(line.split(' ')).map(str::to_owned).collect()
}

/// Runs a command as a script does: exit code and what it said on standard error.
async fn scripted(stage: &Stage, member: &str, line: &str) -> (i32, String) {
    let words = words(stage, member, line);
    let Output { status, stderr, .. } = ended(entente(&words.iter().map(String::as_str).collect::<Vec<_>>())).await;
    (status.code().unwrap(), String::from_utf8(stderr).unwrap())
}

/// Runs a command at a terminal of its own, where somebody types `answer`: exit code and everything on the screen.
async fn typed(stage: &Stage, member: &str, line: &str, answer: &str) -> (i32, String) {
    let words = words(stage, member, line).join(" ");
    let mut command = Command::new("script");
    let shown = format!("{} {words}", env!("CARGO_BIN_EXE_entente"));
    command.args(["--quiet", "--return", "--command", &shown, "/dev/null"]).env_clear().env("TERM", "dumb");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("`script` of util-linux makes the terminal");
    let mut keyboard = child.stdin.take().unwrap();
    keyboard.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
    let Output { status, stdout, .. } = timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
    drop(keyboard);
    (status.code().unwrap(), String::from_utf8(stdout).unwrap())
}

/// The act is refused in a script that does not say yes, asked about at a terminal, and left after a no.
async fn holds_back(stage: &Stage, member: &str, line: &str, consequence: &str) {
    let (code, said) = scripted(stage, member, line).await;
    assert_eq!(code, 2, "{line}: {said}");
    assert!(said.contains(consequence) || said.contains("cannot be undone"), "{line}: {said}");
    assert!(said.contains("`--yes`"), "{line}: {said}");
    let (code, screen) = typed(stage, member, line, "no").await;
    assert_eq!(code, 1, "{line}: {screen}");
    assert!(screen.contains(consequence) && screen.contains("nothing was done"), "{line}: {screen}");
}

async fn status(stage: &Stage, proposal: ProposalId) -> Status {
    stage.client("ISR:avi").api().proposal(proposal).await.unwrap().status
}

#[tokio::test]
async fn call_is_cancelled_only_by_somebody_who_means_it() {
    let stage = Stage::open().await;
    let line = format!("call cancel {} --reason budget", stage.call);
    holds_back(&stage, "USA:dana", &line, "until an officer brings it back").await;
    let phase = async || stage.client("USA:dana").api().call(stage.call).await.unwrap().body.phase;
    assert_eq!(phase().await, Phase::Open);
    // Another answer asks again, and `y` is one that counts.
    let (code, screen) = typed(&stage, "USA:dana", &line, "perhaps\nY").await;
    assert_eq!((code, phase().await), (0, Phase::Cancelled), "{screen}");
    assert!(screen.contains("answer `yes` (or `y`) or `no` (or `n`)"), "{screen}");
    stage.stop().await;
}

#[tokio::test]
async fn amendment_that_voids_what_was_handed_in_is_made_only_by_somebody_who_means_it() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    let (dana, avi) = (stage.client("USA:dana"), stage.client("ISR:avi"));
    let mut text = dana.call(stage.call).await.unwrap().text.clone();
    text.criteria[0].threshold = Some(4.0);
    let file = stage.file("call.json", &serde_json::to_vec(&text).unwrap());
    let line = format!("call amend {} --file {} --reason stricter", stage.call, file.display());
    holds_back(&stage, "USA:dana", &line, "1 proposal that you may see is void until every party signs it again").await;
    let (code, said) = scripted(&stage, "USA:dana", &format!("{line} --dry-run")).await;
    assert_eq!((code, status(&stage, proposal).await), (0, Status::Submitted), "{said}");
    let (code, screen) = typed(&stage, "USA:dana", &line, "yes").await;
    assert_eq!((code, status(&stage, proposal).await), (0, Status::Preparing), "{screen}");
    let (code, screen) = typed(&stage, "ISR:avi", &format!("proposal show {proposal}"), "").await;
    assert!(code == 0 && screen.contains("version 1 is void since"), "{screen}");
    assert!(screen.contains("because stricter: sign again"), "{screen}");
    let (_, screen) = typed(&stage, "ISR:avi", "proposal list", "").await;
    assert!(screen.contains("1 void"), "{screen}");
    // What voids nothing is not asked about.
    for party in [avi, stage.client("USA:bob")] {
        let _ = party.api().withdraw_proposal(proposal).await;
    }
    assert_eq!(status(&stage, proposal).await, Status::Withdrawn);
    text.criteria[0].threshold = Some(4.5);
    let file = stage.file("next.json", &serde_json::to_vec(&text).unwrap());
    let line = format!("call amend {} --file {} --reason stricter", stage.call, file.display());
    let (code, said) = scripted(&stage, "USA:dana", &line).await;
    assert_eq!(code, 0, "{said}");
    stage.stop().await;
}

#[tokio::test]
async fn deadline_is_moved_only_by_somebody_who_saw_from_where_to_where() {
    let stage = Stage::open().await;
    let deadline = async || stage.client("USA:dana").api().call(stage.call).await.unwrap().body.deadline_at.0;
    let until = stage.deadline + SignedDuration::from_hours(24 * 45) - SignedDuration::from_mins(30);
    let line = format!("call extend {} --until {until} --reason outage", stage.call);
    let (code, said) = scripted(&stage, "USA:dana", &line).await;
    assert!(code == 2 && said.contains("`--yes`"), "{said}");
    for words in ["the deadline of everyone moves from", "44 d 23 h later", "the grace period after it ends past"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let (code, said) = scripted(&stage, "USA:dana", &format!("{line} --dry-run")).await;
    assert_eq!((code, deadline().await), (0, stage.deadline), "{said}");
    let (code, screen) = typed(&stage, "USA:dana", &line, "no").await;
    assert_eq!((code, deadline().await), (1, stage.deadline), "{screen}");
    let (code, screen) = typed(&stage, "USA:dana", &line, "yes").await;
    assert_eq!((code, deadline().await), (0, until), "{screen}");
    assert!(screen.contains(&format!("call withdraw-extension {} 1", stage.call)), "{screen}");
    let (_, screen) = typed(&stage, "ISR:avi", &format!("call show {}", stage.call), "").await;
    assert!(screen.contains("outage") && screen.contains("everyone"), "{screen}");
    let line = format!("call withdraw-extension {} 1 --reason slip", stage.call);
    let (code, said) = scripted(&stage, "USA:dana", &line).await;
    assert_eq!((code, deadline().await), (0, stage.deadline), "{said}");
    // Whose partner has more time than the others reads both.
    let line = format!("call extend {} --until {until} --reason snow --partner ISR --yes", stage.call);
    assert_eq!(scripted(&stage, "USA:dana", &line).await.0, 0);
    let (_, screen) = typed(&stage, "ISR:avi", &format!("call show {}", stage.call), "").await;
    assert!(screen.contains("for others"), "{screen}");
    let (_, screen) = typed(&stage, "USA:bob", &format!("call show {}", stage.call), "").await;
    assert!(!screen.contains("for others"), "{screen}");
    stage.stop().await;
}

#[tokio::test]
async fn key_card_is_revoked_only_by_somebody_who_means_it() {
    let stage = Stage::open().await;
    let card = async || stage.client("USA:dana").api().member(&id("ISR:maya")).await.unwrap().status;
    holds_back(&stage, "ISR:registrar", "key-card revoke ISR:maya --keep-signatures", "can no longer connect").await;
    let line = "key-card revoke ISR:maya --distrust-signatures";
    holds_back(&stage, "ISR:registrar", line, "nobody can open the vaults").await;
    assert_eq!(card().await, "active");
    let (code, said) = scripted(&stage, "ISR:registrar", &format!("{line} --yes")).await;
    assert_eq!((code, card().await.as_str()), (0, "revoked"), "{said}");
    stage.stop().await;
}

#[tokio::test]
async fn withdrawal_is_asked_about_whatever_deadline_the_exchange_shows() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    // This machine's clock is far past the deadline of a call that the exchange still has open: the later of the two counts.
    let line = format!("proposal withdraw {proposal}");
    holds_back(&stage, "ISR:avi", &line, "it cannot be reinstated").await;
    stage.pass_the_opening();
    holds_back(&stage, "ISR:avi", &line, "it cannot be reinstated").await;
    assert_eq!(status(&stage, proposal).await, Status::Submitted);
    stage.client("USA:bob").api().withdraw_proposal(proposal).await.unwrap();
    let (code, said) = scripted(&stage, "ISR:avi", &format!("{line} --yes")).await;
    assert_eq!((code, status(&stage, proposal).await), (0, Status::Withdrawn), "{said}");
    stage.stop().await;
}

#[tokio::test]
async fn winner_reads_before_stepping_back_that_nothing_brings_the_proposal_back() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let line = format!("proposal withdraw {proposal}");
    let (_, screen) = typed(&stage, "ISR:avi", &line, "no").await;
    assert!(screen.contains("it cannot be reinstated") && !screen.contains("in its place"), "{screen}");
    stage.client("USA:frank").sign_decision(proposal, Outcome::Fund).await.unwrap();
    stage.client("ISR:eitan").sign_decision(proposal, Outcome::Fund).await.unwrap();
    let told = "the decision `fund` does not bring it back, and another may be funded in its place";
    holds_back(&stage, "ISR:avi", &line, told).await;
    // A wish is taken back; what every party wished is not.
    let (avi, bob) = (stage.client("ISR:avi").api(), stage.client("USA:bob").api());
    let (code, said) = scripted(&stage, "ISR:avi", &format!("{line} --yes")).await;
    assert_eq!((code, status(&stage, proposal).await), (0, Status::Submitted), "{said}");
    avi.reinstate_proposal(proposal).await.unwrap();
    avi.withdraw_proposal(proposal).await.unwrap();
    holds_back(&stage, "USA:bob", &line, told).await;
    bob.withdraw_proposal(proposal).await.unwrap();
    for party in [avi, bob] {
        stage.refuses("deadline-passed", party.reinstate_proposal(proposal)).await;
    }
    stage.stop().await;
}

#[tokio::test]
async fn each_signature_on_a_decision_and_letters_are_asked_about() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let line = format!("decision sign {proposal} fund");
    // That it is the first one, nobody but the exchange says: a signature that it hides would make it the last.
    holds_back(&stage, "USA:frank", &line, "the exchange shows no such signature yet").await;
    assert_eq!(stage.client("USA:dana").decision(proposal).await.unwrap(), None);
    let (code, said) = scripted(&stage, "USA:frank", &format!("{line} --yes")).await;
    assert_eq!(code, 0, "{said}");
    holds_back(&stage, "ISR:eitan", &line, "only another one that every funder signs").await;
    let decision = async || stage.client("USA:dana").decision(proposal).await.unwrap().unwrap();
    assert_eq!(decision().await.final_at, None);
    let (code, screen) = typed(&stage, "ISR:eitan", &line, "yes").await;
    assert_eq!(code, 0, "{screen}");
    let decision = decision().await;
    assert!(decision.final_at.is_some() && decision.outcome == Outcome::Fund);

    let letter = stage.file("letter.txt", b"You are funded.");
    let line = format!("letter send {proposal} --file {}", letter.display());
    holds_back(&stage, "USA:dana", &line, "every party can open it at once").await;
    assert!(stage.client("USA:dana").api().letters(proposal).await.unwrap().is_empty());
    // Nobody sees the text beside the decision then, so the script says what it is about.
    let (code, said) = scripted(&stage, "USA:dana", &format!("{line} --yes")).await;
    assert!(code == 2 && said.contains("--outcome fund"), "{said}");
    let (code, said) = scripted(&stage, "USA:dana", &format!("{line} --outcome decline --yes")).await;
    assert!(code == 2 && said.contains("the letter is about `decline`, and the decision is `fund`"), "{said}");
    assert!(stage.client("USA:dana").api().letters(proposal).await.unwrap().is_empty());
    let (code, said) = scripted(&stage, "USA:dana", &format!("{line} --outcome fund --yes")).await;
    assert_eq!((code, stage.client("USA:dana").api().letters(proposal).await.unwrap().len()), (0, 1), "{said}");
    stage.stop().await;
}

/// A signature that another made the last one in the meantime is not given unasked.
#[tokio::test]
async fn signature_planned_as_the_first_is_not_given_as_the_last() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let (frank, eitan) = (stage.client("USA:frank"), stage.client("ISR:eitan"));
    let plan = frank.plan_decision(proposal, Outcome::Fund).await.unwrap();
    assert!(!plan.is_last());
    eitan.sign_decision(proposal, Outcome::Fund).await.unwrap();
    stage.refuses("precondition-failed", frank.decide(&plan)).await;
    let plan = frank.plan_decision(proposal, Outcome::Fund).await.unwrap();
    assert!(plan.is_last());
    assert!(frank.decide(&plan).await.unwrap().final_at.is_some());
    stage.stop().await;
}
