//! A member with a thousand proposals: what waits, the list with all titles, the ranking and a look at all letters take the client little
//! time once they are known.
//!
//! What is bounded depends on neither the machine's load nor its network: requests, by the server's own figures, and the processor time of
//! the client's process. The time that passed is printed.

use crate::harness::{
    console::{Browser, ConsoleProgram},
    many::{self, Rows},
    process::{PATIENCE, Server, Site},
    stage::{NATIONS, code, id, text},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use entente::{
    demo::world::DemoWorld,
    domain::{
        ambient::{Clock, SystemClock, SystemRng},
        id::{CallId, ProposalId, Sha256},
    },
    sealing::local_key::LocalKey,
    wire::{directory::CreateProgram, proposal::Proposal},
};
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Output, Stdio},
    time::{Duration, Instant},
};
use tokio::{process::Command, time::timeout};

const TITLED: u64 = 1_000;
/// More that are not handed in, so that there is something to do.
const UNFINISHED: u64 = 100;
/// The one that is searched for.
const SOUGHT: u64 = 777;
/// The client's processor time for one command. The tests run a client that nothing optimises.
const BOUND: Duration = Duration::from_secs(1);

/// A command of the client, run to its end.
struct Measured {
    said: String,
    took: Duration,
    /// In the process and in the kernel.
    processor: Duration,
    /// How many requests the server answered meanwhile, by route.
    requests: BTreeMap<String, u64>,
}

async fn measure(server: &Server, home: &Path, words: &[&str]) -> Measured {
    let before = requests(server).await;
    let mut command = Command::new("sh");
    // The shell says how much processor time what it ran took.
    command.args(["-c", "\"$@\" && times", "sh", env!("CARGO_BIN_EXE_entente"), "--home"]).arg(home).args(words);
    command.env_clear().stdin(Stdio::null()).kill_on_drop(true);
    let began = Instant::now();
    let Output { status, stdout, stderr } = timeout(PATIENCE, command.output()).await.unwrap().unwrap();
    let took = began.elapsed();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    let said = String::from_utf8(stdout).unwrap();
    let (rest, times) = said.trim_end().rsplit_once('\n').unwrap();
    let (said, _of_the_shell) = rest.rsplit_once('\n').unwrap();
    let seconds = |time: &str| {
        let (minutes, seconds) = time.strip_suffix('s').unwrap().split_once('m').unwrap();
        minutes.parse::<f64>().unwrap() * 60.0 + seconds.parse::<f64>().unwrap()
    };
    let processor = Duration::from_secs_f64(times.split_whitespace().map(seconds).sum());
    let mut requests = requests(server).await;
    for (route, count) in before {
        *requests.get_mut(&route).unwrap() -= count;
    }
    requests.retain(|_, count| *count > 0);
    println!("`entente {}`: {took:.0?}, {processor:.0?} of the processor, {requests:?}", words.join(" "));
    Measured { said: said.to_owned(), took, processor, requests }
}

/// How many requests were answered so far, by route.
async fn requests(server: &Server) -> BTreeMap<String, u64> {
    let figures = server.admin("/metrics").await.1;
    let mut counts = BTreeMap::new();
    for line in figures.lines().filter(|line| line.starts_with("entente_requests_total{")) {
        let (labels, count) = line.rsplit_once(' ').unwrap();
        let route = labels.split("route=\"").nth(1).unwrap().split('"').next().unwrap();
        *counts.entry(route.to_owned()).or_default() += count.parse::<u64>().unwrap();
    }
    counts
}

/// Writes the file of a member's titles as it is after all were opened once.
fn keep_titles(home: &Path, recipient: &str, access: &str, proposals: &[Proposal]) {
    let key = LocalKey::generate(&SystemRng);
    let titles: Vec<Value> = (1..)
        .zip(proposals)
        .filter_map(|(number, proposal)| {
            let (id, call, manifest) = (proposal.id, proposal.call, proposal.manifest_sha256?);
            let text = json!({ "title": title(number), "organisations": ["Kinneret Instruments"] }).to_string();
            let sealed = key.seal(&format!("{id} {call} {manifest}"), text.as_bytes());
            let sealed = BASE64_STANDARD.encode(sealed);
            Some(json!({ "proposal": id, "call": call, "manifest": manifest, "access": access, "sealed": sealed }))
        })
        .collect();
    assert_eq!(titles.len() as u64, TITLED);
    let sealed = BASE64_STANDARD.encode(key.seal_to(&[recipient.to_owned()]).unwrap());
    fs::create_dir_all(home.join("titles")).unwrap();
    fs::write(home.join("titles/default.json"), json!({ "key": sealed, "titles": titles }).to_string()).unwrap();
}

/// Writes what is known of the reviews and of the decision of each proposal as it is after a ranking and a look at the letters.
fn keep_judging(home: &Path, recipient: &str, call: CallId, marks: &BTreeMap<ProposalId, Sha256>) {
    let key = LocalKey::generate(&SystemRng);
    let scores = json!({ "excellence": 400, "impact": 350 });
    let reviews = json!({
        "scores": { "USA:carol": scores, "ISR:maya": scores }, "missing": [], "set_aside": {},
        "revisions": { "USA:carol": 1, "ISR:maya": 1 }, "said": { "impact": ["Two markets, one product.", "Sound."] },
    });
    let decision = json!({
        "outcome": "fund", "sha256": Sha256::of(b"decision"), "reached": [], "organisations": { "ISR": ["Kinneret Instruments"] },
    });
    let mut items = Vec::new();
    for (proposal, mark) in marks {
        for (kind, about, text) in [("reviews", "Reviews", &reviews), ("decision", "Decision", &decision)] {
            let sealed = key.seal(&format!("{about} {proposal} {mark}"), text.to_string().as_bytes());
            let sealed = BASE64_STANDARD.encode(sealed);
            items.push(json!({ "kind": kind, "proposal": proposal, "call": call, "mark": mark, "sealed": sealed }));
        }
    }
    let sealed = BASE64_STANDARD.encode(key.seal_to(&[recipient.to_owned()]).unwrap());
    fs::create_dir_all(home.join("judging")).unwrap();
    fs::write(home.join("judging/default.json"), json!({ "key": sealed, "items": items }).to_string()).unwrap();
}

/// As many proposals of others that are decided, with their officer clear of them.
fn add_decided(rows: &mut Rows, call: CallId) {
    let (members, dana, now) = ([id("ISR:tamar"), id("USA:bob")], id("USA:dana"), SystemClock.now());
    for number in 1..=TITLED {
        let proposal = many::id("prop", 100_000 + number);
        rows.proposal(&many::Proposal {
            id: proposal,
            call,
            topic: Some("navigation"),
            members: &members,
            created_at: now + SignedDuration::from_millis(i64::try_from(number).unwrap()),
            is_withdrawn: false,
        });
        rows.version(proposal, 1, 1, "{}", true, true);
        rows.declaration(proposal, &dana, false);
        rows.decision(proposal, true);
    }
}

/// Writes what is known of each of them into the officer's home.
async fn make_known(site: &Site, world: &DemoWorld, call: CallId) {
    let (client, dana) = (world.client("USA:dana"), id("USA:dana"));
    let marks = client.judging_marks(call).await.unwrap();
    assert_eq!(marks.len() as u64, TITLED);
    let (home, recipient) = (world.home(&dana), site.speaker("USA:dana").recipient);
    keep_judging(&home, &recipient, call, &marks);
    keep_titles(&home, &recipient, "office", &client.api().all_proposals(Some(call)).await.unwrap());
}

const LETTERS: &str =
    "=== fund ===\nTo {organisations}: {title} ({reference}) is funded, {total} points.\n\n{comments}\n";

/// One of them has a word that is in no other, and in no reference.
fn title(number: u64) -> String {
    let how = if number == SOUGHT { " by starlight" } else { "" };
    format!("part {number:04} of finding the way{how}")
}

/// The first page and the table of all, in a console. Its times are printed: nothing optimises it here.
async fn show_in_a_console(home: &Path) {
    let began = Instant::now();
    let console = ConsoleProgram::start(home).await;
    println!("`entente console` listens after {:.0?}", began.elapsed());
    let mut browser = Browser::of(&console.address);
    assert_eq!(browser.enter(&console.address).await.status, 303);
    for (path, wanted) in [("/", 100), ("/", 100), ("/search", TITLED), ("/search?q=starlight", 1), ("/log", 1)] {
        let began = Instant::now();
        let page = browser.get(path).await;
        println!("`{path}`: {:.0?}, {} KiB", began.elapsed(), page.text.len() >> 10);
        let rows = page.text.matches("<tr>").count() as u64;
        let entries = page.text.matches("<li value=").count() as u64;
        assert!(page.status == 200 && (rows + entries) > wanted, "{path}: {} {rows} {entries}", page.status);
    }
    if let Some(memory) = console.memory() {
        println!("the console has {} MiB", memory >> 10);
        assert!(memory >> 10 <= 96, "the console has {} MiB", memory >> 10);
    }
    assert!(console.stop().await.success());
}

#[cfg(unix)]
#[tokio::test]
async fn what_waits_and_a_thousand_titles_that_are_known_take_a_moment() {
    let site = Site::new(None);
    let world = site.world(NATIONS).await;
    let (dana, avi) = (world.client("USA:dana"), world.client("ISR:avi"));
    let partners = ["ISR", "USA"].map(code).into();
    let program = CreateProgram { name: "Joint research".into(), lead: code("USA"), partners };
    let program = dana.api().create_program(&program).await.unwrap().id;
    let now = SystemClock.now();
    let publish = async || {
        let draft = dana.draft_call(program, &text(now, now + SignedDuration::from_hours(24))).await.unwrap();
        dana.publish_call(draft.id).await.unwrap().id
    };
    let (call, decided) = (publish().await, publish().await);
    let (mut rows, members) = (Rows::new(), [id("ISR:avi"), id("USA:bob")]);
    for number in 1..=TITLED + UNFINISHED {
        let proposal = many::id("prop", number);
        rows.proposal(&many::Proposal {
            id: proposal,
            call,
            topic: Some("navigation"),
            members: &members,
            created_at: now + SignedDuration::from_millis(i64::try_from(number).unwrap()),
            is_withdrawn: false,
        });
        if number <= TITLED {
            rows.version(proposal, 1, 1, "{}", true, true);
        }
    }
    // Each is assigned to two.
    let reviewers = [id("USA:carol"), id("ISR:maya")];
    for reviewer in &reviewers {
        rows.role(call, reviewer, "reviewer");
        for number in 1..=TITLED {
            rows.assignment(many::id("prop", number), reviewer);
        }
    }
    add_decided(&mut rows, decided);
    let db = &world.server.exchange.db;
    rows.write(db).await;
    many::index(db).await;
    let proposals = avi.api().all_proposals(None).await.unwrap();
    assert_eq!(proposals.len() as u64, TITLED + UNFINISHED);
    make_known(&site, &world, decided).await;
    world.stop().await;

    let server = site.serve().await;
    let home = site.point_home("ISR:avi", &server);
    keep_titles(&home, &site.speaker("ISR:avi").recipient, "party", &proposals);
    let todo = measure(&server, &home, &["--json", "todo"]).await;
    let waits: Value = serde_json::from_str(&todo.said).unwrap();
    assert_eq!(waits["items"].as_array().unwrap().len(), 100, "{}", todo.said);
    let list = measure(&server, &home, &["proposal", "list", "--all"]).await;
    let sorted = measure(&server, &home, &["proposal", "list", "--sort", "title"]).await;
    let found = measure(&server, &home, &["proposal", "list", "--search", "starlight"]).await;
    for number in 1..=TITLED {
        let part = format!("part {number:04}");
        for list in [&list, &sorted] {
            assert_eq!(list.said.matches(&part).count(), 1, "{part}");
        }
        assert_eq!(found.said.contains(&part), number == SOUGHT, "{part}");
    }
    show_in_a_console(&home).await;
    // Who the call waits for, with a key and without: of a thousand proposals as much as of ten.
    let dana = site.point_home("USA:dana", &server);
    let chase = measure(&server, &dana, &["call", "chase", &call.to_string()]).await;
    assert_eq!(chase.said.matches("an officer declares").count(), 1_000);
    assert_eq!(chase.requests.get("/v1/calls/{call}/panel"), Some(&5), "{:?}", chase.requests);
    let progress = measure(&server, &dana, &["call", "progress", &call.to_string()]).await;
    assert!(progress.said.contains("1000 of 1000"), "{}", progress.said);
    for measured in [&chase, &progress] {
        assert!(measured.processor < BOUND, "{:?} of {:?}", measured.processor, measured.took);
    }
    // The ranking, and a look at the letter of each: nothing of a single proposal is asked for.
    let ranking = measure(&server, &dana, &["ranking", "show", &decided.to_string()]).await;
    let template = site.path("letters.txt");
    fs::write(&template, LETTERS).unwrap();
    let template = template.display().to_string();
    let letters = ["letter", "send", &decided.to_string(), "--template", &template, "--dry-run"];
    let letters = measure(&server, &dana, &letters).await;
    for number in 1..=TITLED {
        let part = format!("part {number:04}");
        assert_eq!(ranking.said.matches(&part).count(), 1, "{part}");
        assert!(letters.said.contains(&format!("Kinneret Instruments: {part}")), "{part}");
    }
    for measured in [&ranking, &letters] {
        assert!(measured.processor < BOUND, "{:?} of {:?}", measured.processor, measured.took);
        assert!(measured.requests.values().sum::<u64>() < 40, "{:?}", measured.requests);
    }
    // A request for each page and none for a title; what waits is one request, however much there is.
    let pages = BTreeMap::from([("/v1/proposals".to_owned(), 6)]);
    for list in [&list, &sorted, &found] {
        assert_eq!(list.requests, pages);
    }
    assert_eq!(todo.requests.get("/v1/inbox"), Some(&1));
    assert!(todo.requests.values().sum::<u64>() < 6, "{:?}", todo.requests);
    for measured in [&todo, &list, &sorted, &found] {
        assert!(measured.processor < BOUND, "{:?} of {:?}", measured.processor, measured.took);
    }
    assert!(server.stop().await.success());
}
