//! The README's tour for those who propose, run a call, review and decide: its commands, read from the page, played by the program itself.
//! Nobody in it copies an identifier, and every command of these parts is played.

use crate::harness::{
    process::{ended, entente},
    stage::{NATIONS, Stage, id, pdf},
    world::{Store, TestWorld},
};
use entente::domain::{ambient::Clock, reference::Reference};
use jiff::{SignedDuration, Timestamp};
use std::{fs, path::PathBuf};

/// The parts of the tour that are played here. Those of registrars and policy officers are played in tests of their own.
const PARTS: [&str; 4] = ["Submitter", "Officer", "Reviewer", "Decider"];

/// What the page calls the proposal.
const SHOWN: &str = "BIRD26-48179";

/// The tour as it is played.
struct Tour {
    world: TestWorld,
    folder: PathBuf,
    /// What is left of it: the part and the command.
    left: Vec<(String, String)>,
    /// What the exchange called the proposal.
    reference: Option<Reference>,
}

/// The commands of the page, each under the part that it belongs to.
fn commands() -> Vec<(String, String)> {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let (_, tour) = page.split_once("\n## A tour by role\n").unwrap();
    let (tour, _) = tour.split_once("\n## ").unwrap();
    let (mut part, mut found) = (String::new(), Vec::new());
    for line in tour.lines() {
        if let Some((name, _)) = line.strip_prefix("**").and_then(|line| line.split_once('.')) {
            name.clone_into(&mut part);
        }
        if let Some(command) = line.strip_prefix("    entente ")
            && PARTS.contains(&&*part)
        {
            let command = command.split("   ").next().unwrap_or_default().trim();
            found.push((part.clone(), command.to_owned()));
        }
    }
    found
}

/// The words of a command: a quoted piece is one.
fn words(command: &str) -> Vec<String> {
    let pieces = command.split('\'').enumerate();
    let words = pieces.flat_map(|(at, piece)| match at % 2 {
        0 => piece.split_whitespace().map(str::to_owned).collect(),
        _ => vec![piece.to_owned()],
    });
    words.collect()
}

impl Tour {
    /// Plays the next command of the page that begins so, as the member, with more words where a script needs them.
    async fn play(&mut self, part: &str, beginning: &str, member: &str, more: &[&str]) -> String {
        let is_meant = |(of, command): &(String, String)| of == part && command.starts_with(beginning);
        let at = self.left.iter().position(is_meant).unwrap_or_else(|| panic!("the page has no `{beginning}`"));
        let (_, command) = self.left.remove(at);
        self.run(member, &command, more).await
    }

    /// Runs a command of a member, and keeps what it says in a file if the command says so.
    async fn run(&self, member: &str, command: &str, more: &[&str]) -> String {
        assert!(!["prop_", "call_", "prog_"].iter().any(|prefix| command.contains(prefix)), "`{command}`");
        let command = match &self.reference {
            Some(reference) => command.replace(SHOWN, &reference.to_string()),
            None => command.to_owned(),
        };
        let (command, to) = match command.split_once(" > ") {
            Some((command, file)) => (command, Some(file.trim())),
            None => (&*command, None),
        };
        let home = self.world.home(&id(member)).display().to_string();
        let words = words(command);
        let words: Vec<&str> = ["--home", &home].into_iter().chain(words.iter().map(String::as_str)).collect();
        let mut process = entente(&[&words[..], more].concat());
        process.current_dir(&self.folder);
        let output = ended(process).await;
        let (said, faults) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{member}: entente {command}: {said}{faults}");
        if let Some(file) = to {
            fs::write(self.folder.join(file), &said).unwrap();
        }
        said
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.folder.join(name), content).unwrap();
    }

    /// Fills in the call's file, as its officer does: the code, and instants from now on.
    fn fill_in_the_call(&self, opens_at: Timestamp, deadline_at: Timestamp) {
        let file = self.folder.join("call.toml");
        let text = fs::read_to_string(&file).unwrap();
        let due = deadline_at + SignedDuration::from_hours(24 * 45);
        let lines = text.lines().map(|line| match line.split_once(" = ").map(|(name, _)| name) {
            // Typed in any case.
            Some("code") => "code = \"bird26\"".to_owned(),
            Some("opens_at") => format!("opens_at = {opens_at}"),
            Some("deadline_at") => format!("deadline_at = {deadline_at}"),
            Some("reviews_due_at") => format!("reviews_due_at = {due}"),
            _ => line.to_owned(),
        });
        fs::write(&file, lines.collect::<Vec<_>>().join("\n")).unwrap();
    }
}

#[tokio::test]
async fn tour_of_the_readme_is_played_without_an_identifier() {
    let world = TestWorld::start(NATIONS, Store::Sqlite).await.unwrap();
    Stage::program(&world).await;
    let (now, folder) = (world.clock.now(), world.plan.dir.join("tour"));
    fs::create_dir(&folder).unwrap();
    let mut tour = Tour { world, folder, left: commands(), reference: None };

    // A call, published by an officer.
    let deadline = now + SignedDuration::from_hours(24 * 30);
    tour.play("Officer", "call example", "USA:dana", &[]).await;
    tour.fill_in_the_call(now, deadline);
    tour.play("Officer", "call draft", "USA:dana", &[]).await;
    tour.play("Officer", "call role set", "USA:dana", &[]).await;
    tour.run("USA:dana", "call role set BIRD26 ISR:noa --role officer", &[]).await;
    tour.run("USA:dana", "call role set BIRD26 USA:frank --role decider", &[]).await;
    tour.play("Officer", "call publish", "USA:dana", &["--yes"]).await;
    tour.run("ISR:noa", "call role set BIRD26 ISR:eitan --role decider", &[]).await;

    // A joint proposal of two companies.
    assert!(tour.play("Submitter", "call list", "ISR:avi", &[]).await.contains("BIRD26"));
    let begun = tour.play("Submitter", "proposal create", "ISR:avi", &[]).await;
    let shown = begun.split_whitespace().find(|word| word.starts_with("BIRD26-")).expect("it is shown");
    tour.reference = Some(shown.parse().unwrap());
    tour.play("Submitter", "proposal accept", "USA:bob", &[]).await;
    tour.write("summary.json", br#"{ "title": "Lodestone", "abstract": "Navigation.", "team": [], "budget": [] }"#);
    tour.write("plan.pdf", &pdf("the work plan"));
    tour.play("Submitter", "proposal summary", "ISR:avi", &[]).await;
    tour.play("Submitter", "proposal put", "ISR:avi", &[]).await;
    for member in ["ISR:avi", "USA:bob"] {
        tour.run(member, &format!("proposal put {SHOWN} shareholders plan.pdf"), &[]).await;
    }
    tour.play("Submitter", "proposal sign", "ISR:avi", &[]).await;
    tour.run("USA:bob", &format!("proposal sign {SHOWN}"), &[]).await;
    assert!(tour.play("Submitter", "proposal status", "ISR:avi", &[]).await.contains("submitted"));

    // Its review, once the call is open.
    tour.world.clock.set(deadline + SignedDuration::from_hours(25));
    tour.play("Officer", "conflict declare", "USA:dana", &[]).await;
    tour.write(
        "assignments.csv",
        format!("proposal,reviewer\n{},ISR:maya\n", tour.reference.as_ref().unwrap()).as_bytes(),
    );
    tour.play("Officer", "assignment load", "USA:dana", &[]).await;
    tour.run("USA:dana", "assignment load BIRD26 assignments.csv", &[]).await;
    tour.play("Reviewer", "conflict declare", "ISR:maya", &[]).await;
    tour.play("Decider", "conflict declare", "USA:frank", &[]).await;
    tour.run("ISR:eitan", &format!("conflict declare {SHOWN} --none"), &[]).await;
    tour.play("Officer", "key share", "USA:dana", &[]).await;
    let listed = tour.play("Reviewer", "proposal list", "ISR:maya", &[]).await;
    assert!(listed.contains(&tour.reference.as_ref().unwrap().to_string()), "{listed}");
    tour.play("Reviewer", "proposal open", "ISR:maya", &[]).await;
    assert!(tour.folder.join("case").is_dir());
    tour.play("Reviewer", "review draft", "ISR:maya", &[]).await;
    tour.play("Reviewer", "review submit", "ISR:maya", &["--yes"]).await;
    assert!(tour.play("Officer", "ranking", "USA:dana", &[]).await.contains("BIRD26-"));

    // The decision of both funders, and the letter.
    tour.play("Decider", "decision sign", "USA:frank", &[]).await;
    tour.run("ISR:eitan", &format!("decision sign {SHOWN} fund"), &["--yes"]).await;
    assert!(tour.play("Decider", "decision show", "USA:frank", &[]).await.contains("final"));
    tour.write("award.txt", b"Congratulations.");
    tour.play("Officer", "letter send", "USA:dana", &["--yes"]).await;

    // The keys of the demo's members have no passphrases: there is nothing to unlock.
    tour.left.retain(|(_, command)| command != "unlock");
    assert_eq!(tour.left, [], "every command of these parts was played");
    tour.world.stop().await;
}
