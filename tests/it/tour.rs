//! The README's tour: its commands, read from the page, played by the program itself. Nobody in it copies an identifier, a recipient or a digest;
//! what is typed is the fingerprint of a card, as officials tell it. Every command of every part is played.

mod offices;

use crate::harness::{
    process::{Site, ended, entente},
    stage::{NATIONS, Stage, pdf},
    world::{Store, TestWorld},
};
use entente::{
    domain::{
        ambient::{Clock, SystemClock},
        reference::Reference,
    },
    sealing::card::PartnerCard,
};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The parts of those who propose, run a call, review and decide.
const WORK: [&str; 4] = ["Submitter", "Officer", "Reviewer", "Decider"];

/// What the page calls the proposal.
const SHOWN: &str = "BIRD26-48179";

/// How the page begins a fingerprint, which officials tell.
const TOLD: &str = "3f9a…";

/// The tour as it is played.
struct Tour {
    /// Where the members' folders are.
    homes: PathBuf,
    folder: PathBuf,
    /// What is left of it: the part and the command.
    left: Vec<(String, String)>,
    /// What stands on the page, and what it is here.
    here: Vec<(&'static str, String)>,
}

/// The commands of the page, each under the part that it belongs to; those of `entente` without the name of the program.
fn commands() -> Vec<(String, String)> {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let (_, tour) = page.split_once("\n## A tour by role\n").unwrap();
    let (tour, _) = tour.split_once("\n## ").unwrap();
    let tour = tour.replace("\\\n        ", "");
    let (mut part, mut found) = (String::new(), Vec::new());
    for line in tour.lines() {
        if let Some((name, _)) = line.strip_prefix("**").and_then(|line| line.split_once('.')) {
            name.clone_into(&mut part);
        }
        if let Some(command) = line.strip_prefix("    ") {
            let command = command.split("   ").next().unwrap_or_default().trim();
            let command = command.strip_prefix("entente ").unwrap_or(command);
            found.push((part.clone(), command.to_owned()));
        }
    }
    found
}

/// The words of a command: a quoted piece is one, and a pattern stands for the files that it matches.
fn words(command: &str, folder: &Path) -> Vec<String> {
    let pieces = command.split('\'').enumerate();
    let words = pieces.flat_map(|(at, piece)| match at % 2 {
        0 => piece.split_whitespace().flat_map(|word| matched(word, folder)).collect(),
        _ => vec![piece.to_owned()],
    });
    words.collect()
}

/// The files in the folder that a pattern such as `requests/*.json` matches; any other word is itself.
fn matched(word: &str, folder: &Path) -> Vec<String> {
    let Some((place, ending)) = word.split_once("/*") else { return vec![word.to_owned()] };
    let files = fs::read_dir(folder.join(place)).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<String> =
        files.filter(|name| name.ends_with(ending)).map(|name| format!("{place}/{name}")).collect();
    files.sort();
    files
}

/// The fingerprint of a card in a file.
fn fingerprint(card: &Path) -> String {
    PartnerCard::from_json(&fs::read(card).unwrap()).unwrap().fingerprint().unwrap().to_string()
}

impl Tour {
    /// These parts of the page.
    fn of(parts: &[&str], homes: PathBuf, folder: PathBuf) -> Self {
        fs::create_dir(&folder).unwrap();
        let left = commands().into_iter().filter(|(part, _)| parts.contains(&&**part)).collect();
        Self { homes, folder, left, here: Vec::new() }
    }

    /// Takes the next command of the page that begins so.
    fn take(&mut self, part: &str, beginning: &str) -> String {
        let is_meant = |(of, command): &(String, String)| of == part && command.starts_with(beginning);
        let at = self.left.iter().position(is_meant).unwrap_or_else(|| panic!("the page has no `{beginning}`"));
        self.left.remove(at).1
    }

    /// Plays the next command of the page that begins so, as the member, with more words where a script needs them.
    async fn play(&mut self, part: &str, beginning: &str, member: &str, more: &[&str]) -> String {
        let command = self.take(part, beginning);
        self.run(member, &command, more).await
    }

    /// The same of the host's operator: the words after the configuration.
    async fn operate(&mut self, site: &Site, beginning: &str) -> String {
        let server = "entente-server --config server.toml";
        let command = self.take("Host operator", &format!("{server}{beginning}"));
        let words = words(&self.as_here(command.strip_prefix(server).unwrap()), &self.folder);
        let in_folder = |word: String| match self.folder.join(&word) {
            file if file.is_file() => file.display().to_string(),
            _ => word,
        };
        let words: Vec<String> = words.into_iter().map(in_folder).collect();
        let output = site.operate(&words.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let (said, faults) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{command}: {said}{faults}");
        said
    }

    /// What is typed for a fingerprint from now on.
    fn is_told(&mut self, fingerprint: String) {
        self.here.retain(|(shown, _)| *shown != TOLD);
        self.here.push((TOLD, fingerprint));
    }

    fn as_here(&self, command: &str) -> String {
        self.here.iter().fold(command.to_owned(), |command, (shown, here)| command.replace(shown, here))
    }

    /// Runs a command of a member, and keeps what it says in a file if the command says so.
    async fn run(&self, member: &str, command: &str, more: &[&str]) -> String {
        let home = self.homes.join(member.replace(':', ".")).display().to_string();
        let command = self.as_here(command).replace("~/.config/entente", &home);
        let (command, to) = match command.split_once(" > ") {
            Some((command, file)) => (command, Some(file.trim())),
            None => (&*command, None),
        };
        let words = words(command, &self.folder);
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

    /// Fills something into a form, as somebody does in an editor.
    fn edit(&self, name: &str, blank: &str, filled: &str) {
        let text = fs::read_to_string(self.folder.join(name)).unwrap();
        assert!(text.contains(blank), "{text}");
        self.write(name, text.replace(blank, filled).as_bytes());
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

#[test]
fn nothing_is_copied_but_a_fingerprint_that_is_told() {
    let commands = commands();
    let parts: BTreeSet<&str> = commands.iter().map(|(part, _)| &**part).collect();
    assert_eq!(parts, WORK.into_iter().chain(offices::OFFICES).collect(), "each part is played by a test");
    for (_, command) in &commands {
        let words = words(&command.replace('*', ""), Path::new(""));
        for (at, word) in words.iter().enumerate() {
            let is_told = word == TOLD && at > 0 && words[at - 1] == "--fingerprint";
            let is_digest = word.len() >= 32 && word.chars().all(|c| c.is_ascii_hexdigit());
            let is_copied =
                ["prop_", "call_", "prog_", "vault_", "doc_", "age1", "…"].iter().any(|of| word.contains(of));
            assert!(is_told || !(is_copied || is_digest), "`{word}` in `{command}`");
        }
    }
}

#[tokio::test]
async fn tour_of_the_readme_is_played_without_an_identifier() {
    let world = TestWorld::start(NATIONS, Store::Sqlite).await.unwrap();
    Stage::program(&world).await;
    let (now, folder) = (world.clock.now(), world.plan.dir.join("tour"));
    let mut tour = Tour::of(&WORK, world.plan.dir.join("homes"), folder);

    // A call, published by an officer.
    let deadline = now + SignedDuration::from_hours(24 * 30);
    tour.play("Officer", "call new", "USA:dana", &[]).await;
    tour.fill_in_the_call(now, deadline);
    tour.play("Officer", "call draft", "USA:dana", &[]).await;
    tour.play("Officer", "call role add", "USA:dana", &[]).await;
    tour.run("USA:dana", "call role set BIRD26 ISR:noa --role officer", &[]).await;
    tour.run("USA:dana", "call role set BIRD26 USA:frank --role decider", &[]).await;
    tour.play("Officer", "call publish", "USA:dana", &["--yes"]).await;
    tour.run("ISR:noa", "call role set BIRD26 ISR:eitan --role decider", &[]).await;

    // A joint proposal of two companies.
    assert!(tour.play("Submitter", "call list", "ISR:avi", &[]).await.contains("BIRD26"));
    let begun = tour.play("Submitter", "proposal create", "ISR:avi", &[]).await;
    let shown = begun.split_whitespace().find(|word| word.starts_with("BIRD26-")).expect("it is shown");
    let reference: Reference = shown.parse().unwrap();
    tour.here.push((SHOWN, reference.to_string()));
    tour.play("Submitter", "proposal accept", "USA:bob", &[]).await;
    tour.play("Submitter", "proposal summary", "ISR:avi", &[]).await;
    tour.edit("summary.md", "> One line.\n\n", "> One line.\n\nLodestone");
    tour.write("plan.pdf", &pdf("the work plan"));
    tour.play("Submitter", "proposal summary", "ISR:avi", &[]).await;
    tour.play("Submitter", "proposal put", "ISR:avi", &[]).await;
    tour.run("ISR:avi", &format!("proposal put {SHOWN} executive-summary plan.pdf"), &[]).await;
    for member in ["ISR:avi", "USA:bob"] {
        tour.run(member, &format!("proposal put {SHOWN} shareholders plan.pdf"), &[]).await;
    }
    assert!(tour.play("Submitter", "proposal check", "ISR:avi", &[]).await.contains("entente proposal sign"));
    tour.play("Submitter", "proposal sign", "ISR:avi", &[]).await;
    tour.run("USA:bob", &format!("proposal sign {SHOWN}"), &[]).await;
    assert!(tour.play("Submitter", "proposal status", "ISR:avi", &[]).await.contains("submitted"));
    tour.play("Submitter", "proposal receipt", "ISR:avi", &[]).await;
    assert!(tour.play("Submitter", "verify receipt", "ISR:avi", &[]).await.contains("verified"));

    // Its review, once the call is open.
    world.clock.set(deadline + SignedDuration::from_hours(25));
    tour.write("sheet.csv", format!("proposal,conflict\n{reference},\n").as_bytes());
    // At a terminal the list is answered there.
    let sheet = ["--file", "sheet.csv", "--yes"];
    tour.play("Officer", "conflict sheet", "USA:dana", &sheet).await;
    tour.play("Officer", "assignment suggest", "USA:dana", &[]).await;
    tour.play("Officer", "assignment load", "USA:dana", &[]).await;
    tour.play("Officer", "assignment load", "USA:dana", &["--yes"]).await;
    tour.play("Reviewer", "conflict sheet", "ISR:maya", &sheet).await;
    tour.play("Decider", "conflict declare", "USA:frank", &[]).await;
    tour.run("ISR:eitan", &format!("conflict declare {SHOWN} --none"), &[]).await;
    let waits = tour.play("Officer", "call chase", "USA:dana", &[]).await;
    assert!(waits.contains("gets a key") && waits.contains("ISR:maya"), "{waits}");
    tour.play("Officer", "agent run", "USA:dana", &["--once"]).await;
    let listed = tour.play("Reviewer", "proposal list", "ISR:maya", &[]).await;
    assert!(listed.contains(&reference.to_string()), "{listed}");
    tour.play("Reviewer", "assignment decline", "ISR:maya", &[]).await;
    tour.play("Reviewer", "proposal open", "ISR:maya", &[]).await;
    assert!(tour.folder.join(format!("reading/{reference} Lodestone/work-plan.pdf")).is_file());
    tour.play("Reviewer", "review form", "ISR:maya", &["--titles"]).await;
    tour.edit("reviews.md", "score:\n", "score: 4.5\n");
    tour.play("Reviewer", "review form", "ISR:maya", &[]).await;
    tour.play("Reviewer", "review submit", "ISR:maya", &["--yes"]).await;
    assert!(tour.play("Officer", "ranking show", "USA:dana", &[]).await.contains("BIRD26-"));
    // The program signs by the machine's clock.
    world.clock.set(SystemClock.now());
    tour.play("Officer", "ranking send", "USA:dana", &["--yes"]).await;

    // The decision of both funders, and the letter.
    assert!(tour.play("Decider", "decision sheet", "USA:frank", &[]).await.contains("BIRD26-"));
    let sheet = fs::read_to_string(tour.folder.join("board/sheet.csv")).unwrap();
    assert!(fs::read_to_string(tour.folder.join(format!("board/{reference}.md"))).unwrap().contains("ISR:maya"));
    // The last three columns are the ones to fill in.
    let filled = sheet.lines().map(|line| match line.strip_suffix(",,,") {
        Some(line) => format!("{line},fund,250000 USD,"),
        None => line.to_owned(),
    });
    tour.write("board/sheet.csv", filled.collect::<Vec<_>>().join("\n").as_bytes());
    tour.play("Decider", "decision sign", "USA:frank", &["--yes"]).await;
    tour.run("ISR:eitan", &format!("decision sign {SHOWN} fund"), &["--yes"]).await;
    assert!(tour.play("Decider", "decision show", "USA:frank", &[]).await.contains("final"));
    tour.write("letters.txt", b"=== fund ===\nCongratulations to {organisations}: {title} is funded.\n");
    tour.play("Officer", "letter send", "USA:dana", &["--yes"]).await;
    tour.play("Officer", "dossier", "USA:dana", &[]).await;
    assert!(tour.play("Officer", "verify dossier", "USA:dana", &[]).await.contains("verified  every statement"));

    // The keys of the demo's members have no passphrases: there is nothing to unlock.
    tour.left.retain(|(_, command)| command != "unlock");
    assert_eq!(tour.left, [], "every command of these parts was played");
    world.stop().await;
}
