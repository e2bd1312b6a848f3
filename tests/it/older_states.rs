//! An exchange that goes back to a backup: a client that saw more says so, keeps what it saw, and goes by it until it is explained. A
//! command that runs on and on says it, and that clocks are apart, while it runs.

use crate::{
    harness::{
        process::{PATIENCE, Server, Site, ended, entente, signal},
        stage::{Stage, Step, id, pdf, quiet, review, slug, summary},
    },
    process::{NATIONS, open_proposal, spoken},
};
use entente::{
    domain::{decision::Outcome, member::ConflictGround},
    storage::args,
    wire::directory::CreateProgram,
};
use std::{collections::BTreeSet, fs, path::Path, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStderr, ChildStdout, Command},
    time::timeout,
};

/// Copies the database as it stands while nobody has it open.
fn copy(site: &Site, from: &str, to: &str) {
    for ending in ["", "-wal", "-shm"] {
        let (from, to) = (site.path(&format!("{from}{ending}")), site.path(&format!("{to}{ending}")));
        let _ = fs::remove_file(&to);
        if from.exists() {
            fs::copy(from, to).unwrap();
        }
    }
}

async fn run(site: &Site, server: &Server, member: &str, line: &str) -> (i32, String, String) {
    let home = site.point_home(member, server).display().to_string();
    let words: Vec<&str> = ["--home", &home].into_iter().chain(line.split(' ')).collect();
    spoken(ended(entente(&words)).await)
}

/// A command that runs until it gets a signal to stop.
struct Running {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
    warned: Lines<BufReader<ChildStderr>>,
}

impl Running {
    fn start(home: &Path, line: &str) -> Self {
        // Signals that the process that runs the tests ignores are not to be ignored here.
        let mut command = Command::new("env");
        command.args(["--default-signal=INT,TERM", env!("CARGO_BIN_EXE_entente"), "--home"]).arg(home);
        command.args(line.split(' ')).env_clear().env("PATH", "/usr/bin:/bin");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        let warned = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, said, warned }
    }

    /// Waits until it warns of something.
    async fn warns(&mut self, of: &str) {
        loop {
            let line = timeout(PATIENCE, self.warned.next_line()).await.expect("it warns while it runs").unwrap();
            if line.expect("it runs on").contains(of) {
                return;
            }
        }
    }

    /// Waits until it says something.
    async fn says(&mut self, what: &str) {
        loop {
            let line = timeout(PATIENCE, self.said.next_line()).await.expect("it says something").unwrap();
            if line.expect("it runs on").contains(what) {
                return;
            }
        }
    }

    /// Stops it: its exit code, and what else it warned of.
    async fn stopped(mut self, by: &str) -> (i32, Vec<String>) {
        signal(&self.child, by).await;
        let mut warned = Vec::new();
        while let Some(line) = timeout(PATIENCE, self.warned.next_line()).await.expect("it ends").unwrap() {
            warned.push(line);
        }
        (timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap().code().unwrap(), warned)
    }
}

#[tokio::test]
async fn command_that_runs_on_says_once_and_while_it_runs_that_clocks_are_apart() {
    // The exchange's clock stands a hundred and ten days back.
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    stage.pass_the_opening();
    stage.clear(proposal, &["USA:dana"]).await;
    let mut log = Running::start(&stage.home(&id("ISR:noa")), "log --follow --limit 0");
    log.warns("ahead of the exchange's").await;
    let mut agent = Running::start(&stage.home(&id("USA:dana")), "agent run --every 1s");
    agent.warns("ahead of the exchange's").await;
    for name in ["One", "Another"] {
        let partners = ["USA", "ISR"].map(|code| code.parse().unwrap()).into();
        let body = CreateProgram { name: name.into(), lead: "USA".parse().unwrap(), partners };
        stage.client("USA:dana").api().create_program(&body).await.unwrap();
        log.says(&format!("created the program “{name}”")).await;
    }
    for reviewer in ["USA:carol", "ISR:maya"] {
        stage.assign(&[(proposal, reviewer)], false).await;
        stage.clear(proposal, &[reviewer]).await;
        agent.says(&format!("holder={reviewer}")).await;
    }
    assert_eq!(log.stopped("INT").await, (0, Vec::new()), "once");
    assert_eq!(agent.stopped("TERM").await, (0, Vec::new()), "once");
    stage.stop().await;
}

#[tokio::test]
async fn log_that_ends_earlier_because_a_conflict_hides_the_proposal_is_told_and_is_no_error() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    stage.pass_the_opening();
    let reference = stage.client("USA:olivia").api().proposal(proposal).await.unwrap().reference;
    let home = stage.home(&id("USA:olivia")).display().to_string();
    let log = async || spoken(ended(entente(&["--home", &home, "log"])).await);
    let (code, said, notes) = log().await;
    assert!(code == 0 && said.contains("is submitted") && !notes.contains("the log ends"), "{said}{notes}");
    stage.client("USA:olivia").declare(proposal, Some(ConflictGround::Employment)).await.unwrap();
    let (code, said, notes) = log().await;
    assert!(code == 0 && !said.contains("is submitted"), "{said}{notes}");
    assert!(notes.contains(&format!("about `{reference}`")) && notes.contains("or policy hides it now"), "{notes}");
    stage.stop().await;
}

#[tokio::test]
async fn every_command_that_meets_an_older_state_says_so_and_keeps_what_it_saw() {
    let site = Site::new(None);
    let world = site.world(NATIONS).await;
    let proposal = open_proposal(&world).await;
    let avi = world.client("ISR:avi");
    let plan = site.path("plan.pdf");
    fs::write(&plan, pdf("the plan")).unwrap();
    avi.put_summary(proposal, &summary("Lodestone"), quiet()).await.unwrap();
    avi.put_document(proposal, &slug("work-plan"), &plan, None, quiet()).await.unwrap();
    let reference = avi.api().proposal(proposal).await.unwrap().reference;
    world.stop().await;
    copy(&site, "entente.db", "backup.db");

    let server = site.serve().await;
    for member in ["ISR:avi", "USA:bob"] {
        let (code, _, notes) = run(&site, &server, member, &format!("proposal sign {proposal} --yes")).await;
        assert_eq!(code, 0, "{notes}");
    }
    let (code, said, notes) = run(&site, &server, "USA:bob", &format!("proposal status {proposal}")).await;
    assert!(code == 0 && said.contains("submitted") && notes.is_empty(), "{said}{notes}");
    let (code, _, notes) = run(&site, &server, "USA:bob", "log").await;
    assert_eq!((code, notes.as_str()), (0, ""));
    assert!(server.stop().await.success());
    let home = site.path("homes/USA.bob/seen");
    let kept = |name: &str| fs::read(home.join(name)).unwrap();
    let state = format!("states/{proposal}.json");
    let (seen, log) = (kept(&state), kept("log.json"));

    copy(&site, "backup.db", "entente.db");
    let server = site.serve().await;
    for line in [format!("proposal status {proposal}"), "proposal list".to_owned()] {
        let (code, said, faults) = run(&site, &server, "USA:bob", &line).await;
        assert!(code == 4 && said.contains("preparing"), "{said}{faults}");
        let told = format!("`{reference}` is shown as preparing, but was submitted in version 1 (manifest ");
        assert!(faults.contains(&told) && faults.contains("older state"), "{faults}");
        assert!(faults.contains(Path::new(&state).file_name().unwrap().to_str().unwrap()), "{faults}");
    }
    // Nobody has acted since: only the missing entry shows it.
    let (code, said, faults) = run(&site, &server, "USA:bob", "log").await;
    assert!(code == 4 && said.contains("ISR:avi began JOINT26-"), "{said}{faults}");
    assert!(faults.contains("the log ends at entry ") && faults.contains("or policy hides it now"), "{faults}");
    for (member, line, end) in [("USA:bob", "log --follow", "INT"), ("ISR:avi", "agent run --every 1s", "TERM")] {
        let mut running = Running::start(&site.point_home(member, &server), line);
        running.warns("older state").await;
        assert_eq!(running.stopped(end).await.0, 4, "{line}");
    }
    // Whatever happens now gets numbers that were given out before.
    let (_, _, faults) = run(&site, &server, "ISR:avi", &format!("proposal withdraw {proposal} --yes")).await;
    assert!(faults.contains("older state"), "he saw what he signed, too: {faults}");
    let (code, _, faults) = run(&site, &server, "USA:bob", "log").await;
    assert!(code == 4 && faults.contains("was seen here before"), "{faults}");
    assert_eq!((kept(&state), kept("log.json")), (seen, log), "what was seen stays");
    // Who saw nothing has nothing to say.
    let (code, _, faults) = run(&site, &server, "USA:dana", &format!("proposal status {proposal}")).await;
    assert!(code == 0 && faults.is_empty(), "{faults}");
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn final_decision_that_is_gone_is_reported_to_those_who_saw_it_or_made_it_final() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let reference = stage.client("ISR:avi").api().proposal(proposal).await.unwrap().reference;
    for decider in ["USA:frank", "ISR:eitan"] {
        stage.client(decider).sign_decision(proposal, Outcome::Fund).await.unwrap();
    }
    let show = async |member: &str| {
        let (home, proposal) = (stage.home(&id(member)).display().to_string(), proposal.to_string());
        spoken(ended(entente(&["--home", &home, "decision", "show", &proposal])).await)
    };
    let (code, said, notes) = show("USA:frank").await;
    assert!(code == 0 && said.contains("fund") && !notes.contains("the decision on"), "{said}{notes}");
    // As an older state has it: one signature short, and then none.
    execute(&stage, "UPDATE decisions SET final_at = NULL").await;
    for member in ["USA:frank", "ISR:eitan"] {
        let (code, _, faults) = show(member).await;
        assert!(code == 4 && faults.contains("is shown as `fund, but not final`, but on "), "{member}: {faults}");
    }
    execute(&stage, "DELETE FROM decision_signatures").await;
    execute(&stage, "DELETE FROM decisions").await;
    for member in ["USA:frank", "ISR:eitan"] {
        let (code, _, faults) = show(member).await;
        assert!(code == 1 && faults.contains("there is no decision"), "{member}: {faults}");
        let told = format!("the decision on `{reference}` is not shown, but on ");
        assert!(faults.contains(&told) && faults.contains("or policy hides it now"), "{member}: {faults}");
    }
    // Who saw none has nothing to say.
    let (code, _, faults) = show("USA:dana").await;
    assert!(code == 1 && !faults.contains("is not shown"), "{faults}");
    stage.stop().await;
}

#[tokio::test]
async fn proposal_that_is_not_shown_any_more_is_reported_to_those_who_saw_it() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    let reference = stage.client("ISR:avi").api().proposal(proposal).await.unwrap().reference;
    stage.pass_the_opening();
    let run = async |member: &str, line: &str| spoken_by(&stage, member, line).await;
    let (status, told) =
        (format!("proposal status {proposal}"), format!("`{reference}` is not shown, but was seen here as submitted"));
    assert_eq!(run("USA:olivia", &status).await.0, 0);
    assert_eq!(run("USA:bob", "proposal list").await.0, 0);
    // Somebody else hides it from Olivia; what Noa declares herself hides it from her, and is no reason for a warning.
    stage.client("USA:dana").grant_roles(stage.call, &id("USA:olivia"), &BTreeSet::new()).await.unwrap();
    assert_eq!(run("ISR:noa", &status).await.0, 0);
    stage.client("ISR:noa").declare(proposal, Some(ConflictGround::Employment)).await.unwrap();
    let (code, _, faults) = run("ISR:noa", &status).await;
    assert!(code == 3 && !faults.contains(&told), "{code} {faults}");
    let (code, _, faults) = run("USA:olivia", &status).await;
    assert!(code == 3 && faults.contains(&told) && faults.contains("or policy hides it now"), "{code} {faults}");
    // An older state, which lacks the proposal: the lists of its parties' members lack it, too.
    execute(&stage, "UPDATE proposal_members SET member = 'USA:walt', partner = 'USA' WHERE member = 'USA:bob'").await;
    let (code, said, notes) = run("USA:bob", "proposal list").await;
    assert!(code == 0 && !said.contains(&reference.to_string()) && notes.contains(&told), "{said}{notes}");
    for (member, line) in [("USA:olivia", "proposal list"), ("USA:bob", "proposal list --status withdrawn")] {
        let (code, _, notes) = run(member, line).await;
        assert!(code == 0 && !notes.contains(&told), "not of her own, or not asked for: {notes}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn proposal_that_a_member_has_left_is_not_found_and_no_older_state() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    let reference = stage.client("ISR:avi").api().proposal(proposal).await.unwrap().reference;
    stage.joins("ISR:avi", proposal, "ISR:tamar").await;
    let run = async |line: &str| spoken_by(&stage, "ISR:tamar", line).await;
    let (status, told) =
        (format!("proposal status {proposal}"), format!("`{reference}` is not shown, but was seen here"));
    for is_back in [false, true] {
        if is_back {
            stage.joins("ISR:avi", proposal, "ISR:tamar").await;
        }
        let (code, said, notes) = run(&status).await;
        assert!(code == 0 && said.contains("submitted"), "{said}{notes}");
        let (code, _, notes) = run(&format!("proposal member remove {proposal} ISR:tamar --yes")).await;
        assert_eq!(code, 0, "{notes}");
        for line in [&*status, "proposal list"] {
            let (code, _, notes) = run(line).await;
            assert_eq!(code, if line == status { 3 } else { 0 }, "{notes}");
            assert!(!notes.contains(&told) && !notes.contains("older state"), "{notes}");
        }
    }
    // An older state is told to a member who has not left.
    assert_eq!(spoken_by(&stage, "ISR:avi", &status).await.0, 0);
    execute(&stage, "UPDATE proposal_members SET member = 'USA:walt', partner = 'USA' WHERE member = 'ISR:avi'").await;
    let (code, _, notes) = spoken_by(&stage, "ISR:avi", &status).await;
    assert!(code == 3 && notes.contains(&told), "{notes}");
    stage.stop().await;
}

async fn spoken_by(stage: &Stage, member: &str, line: &str) -> (i32, String, String) {
    let home = stage.home(&id(member)).display().to_string();
    let words: Vec<&str> = ["--home", &home].into_iter().chain(line.split(' ')).collect();
    spoken(ended(entente(&words)).await)
}

#[tokio::test]
async fn review_that_is_gone_is_reported_to_the_one_who_handed_it_in() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let reference = stage.client("ISR:avi").api().proposal(proposal).await.unwrap().reference;
    stage.client("USA:carol").submit_review(proposal, &review(4.0, 4.5)).await.unwrap();
    let home = stage.home(&id("USA:carol")).display().to_string();
    let words = ["--home", &home, "review", "show", &proposal.to_string()].map(ToOwned::to_owned);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (code, _, notes) = spoken(ended(entente(&words)).await);
    assert!(code == 0 && !notes.contains("older state"), "{notes}");
    execute(&stage, "DELETE FROM reviews").await;
    let (code, _, faults) = spoken(ended(entente(&words)).await);
    let told = format!("your review of `{reference}` is not shown, but revision 1 was handed in here");
    assert!(code == 1 && faults.contains(&told), "{faults}");
    stage.stop().await;
}

#[tokio::test]
async fn proposal_that_is_reinstated_is_told_once_to_those_who_saw_it_withdrawn() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    let status = async |member: &str| {
        let (home, proposal) = (stage.home(&id(member)).display().to_string(), proposal.to_string());
        spoken(ended(entente(&["--home", &home, "proposal", "status", &proposal])).await)
    };
    for party in ["ISR:avi", "USA:bob"] {
        stage.client(party).api().withdraw_proposal(proposal).await.unwrap();
    }
    assert_eq!(status("ISR:avi").await.0, 0);
    stage.client("USA:bob").api().reinstate_proposal(proposal).await.unwrap();
    for is_told in [true, false] {
        let (code, said, notes) = status("ISR:avi").await;
        assert!(code == 0 && said.contains("submitted"), "{said}{notes}");
        assert_eq!(notes.contains("a party may have reinstated it"), is_told, "{notes}");
    }
    let (code, _, notes) = status("USA:bob").await;
    assert!(code == 0 && !notes.contains("reinstated"), "{notes}");
    stage.stop().await;
}

async fn execute(stage: &Stage, sql: &'static str) {
    let mut tx = stage.server.exchange.db.write().await.unwrap();
    assert!(tx.execute(sql, args![]).await.unwrap() > 0, "nothing was changed");
    tx.commit().await.unwrap();
}
