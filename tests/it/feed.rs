//! A request waits until the log has something that its caller may read: what is hidden does not end it, and while it waits it holds nothing
//! that others need.

use crate::harness::{
    exchange::Answered,
    many::{self, Proposal, Rows},
    process::{PATIENCE, Server, Site, ended, entente, signal, until},
    stage::{Stage, id, run},
    wire::Wire,
    world::Store,
};
use entente::{
    dev_pki::cast::{ISR, USA},
    domain::{
        ambient::Clock,
        entry::{EntryKind, Readers},
        id::{ProposalId, Sha256},
        member::ConflictGround,
    },
    service::Principal,
    storage::{
        args,
        db::READERS,
        entries::{self, EntryRow},
    },
};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::{
    process::Stdio,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    task::JoinHandle,
    time::timeout,
};

/// A stage on each engine that is here.
async fn stages() -> Vec<Stage> {
    let mut stages = Vec::new();
    for store in [Store::Sqlite, Store::Postgres] {
        stages.extend(Stage::open_on(store).await);
    }
    stages
}

async fn get(stage: &Stage, member: &str, query: &str) -> Value {
    let raw = stage.raw(Some(stage.credential(member)));
    raw.request(Method::GET, &format!("/v1/entries?limit=200{query}")).send().await.unwrap().expect_status(200).await
}

/// Where the log ends for a member, as far as these kinds go.
async fn bookmark(stage: &Stage, member: &str, kind: &str) -> String {
    let mut cursor = String::new();
    loop {
        let found = get(stage, member, &format!("{kind}{cursor}")).await;
        if let Some(bookmark) = found["bookmark"].as_str() {
            assert!(found.get("next").is_none(), "the last page has no next one");
            return bookmark.to_owned();
        }
        cursor = format!("&cursor={}", found["next"].as_str().unwrap());
    }
}

/// Waits for so many seconds from a bookmark on.
fn waiting(stage: &Stage, member: &str, bookmark: &str, seconds: u64) -> JoinHandle<Response> {
    let waits = waiting_for(stage, member, bookmark, seconds);
    tokio::spawn(async { waits.await.unwrap().0 })
}

/// The same, with how long it took.
fn waiting_for(stage: &Stage, member: &str, bookmark: &str, seconds: u64) -> JoinHandle<(Response, Duration)> {
    let raw = stage.raw(Some(stage.credential(member)));
    let request = raw.request(Method::GET, &format!("/v1/entries?limit=200&wait={seconds}&cursor={bookmark}"));
    tokio::spawn(async move {
        let began = Instant::now();
        (request.send().await.unwrap(), began.elapsed())
    })
}

/// Until so many requests wait.
async fn until_wait(stage: &Stage, count: usize) {
    let feed = &stage.server.exchange.feed;
    until("to wait", async || (feed.waiting() == count).then_some(())).await;
}

/// Writes an entry that every member may read, or one about a proposal: past all acts of this server, as another server of its database does.
async fn append(stage: &Stage, proposal: Option<ProposalId>) -> u64 {
    let mut tx = stage.server.exchange.db.write().await.unwrap();
    let row = EntryRow {
        seq: 0,
        at: stage.clock.now(),
        kind: if proposal.is_some() { EntryKind::ProposalCreated } else { EntryKind::KeyCardPublished },
        readers: if proposal.is_some() { Readers::Parties } else { Readers::Members },
        actor: Some(id("ISR:registrar")),
        program: proposal.map(|_| stage.program),
        call: proposal.map(|_| stage.call),
        proposal,
        payload: "{}".to_owned(),
        salt: vec![0; 32],
    };
    let seq = entries::append(&mut tx, &row).await.unwrap();
    tx.commit().await.unwrap();
    seq
}

/// The numbers of the entries on a page.
fn numbers(page: &Value) -> Vec<u64> {
    page["items"].as_array().unwrap().iter().map(|entry| entry["seq"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wait_ends_with_what_the_caller_may_read_and_never_with_what_is_hidden() {
    for stage in stages().await {
        let proposal = stage.submitted().await;
        stage.client("USA:olivia").declare(proposal, Some(ConflictGround::Employment)).await.unwrap();
        let mut bookmarks = Vec::new();
        for member in ["ISR:avi", "USA:olivia", "KOR:minjun"] {
            bookmarks.push(bookmark(&stage, member, "").await);
        }
        let party = waiting(&stage, "ISR:avi", &bookmarks[0], 30);
        let (recused, stranger) =
            (waiting_for(&stage, "USA:olivia", &bookmarks[1], 3), waiting_for(&stage, "KOR:minjun", &bookmarks[2], 3));
        until_wait(&stage, 3).await;
        let seq = append(&stage, Some(proposal)).await;
        let seen = party.await.unwrap().expect_status(200).await;
        assert_eq!(numbers(&seen), [seq]);
        for (hidden_from, before) in [(recused, &bookmarks[1]), (stranger, &bookmarks[2])] {
            let (empty, lasted) = hidden_from.await.unwrap();
            let empty = empty.expect_status(200).await;
            assert!(lasted >= Duration::from_secs(3), "what is hidden ended a wait");
            assert!(lasted < Duration::from_secs(25), "it lasted for as long as was asked for, and not as is possible");
            assert_eq!(numbers(&empty), [0_u64; 0]);
            let after = empty["bookmark"].as_str().unwrap();
            assert!(after != before && after.len() == before.len(), "whether it has moved cannot be seen");
            assert!(empty.get("next").is_none(), "that much of it is hidden would show");
        }
        // From the bookmark after a wait one goes on: nothing that may be read is left out, nothing comes twice.
        let go_on = bookmark(&stage, "KOR:minjun", "").await;
        let waits = waiting(&stage, "KOR:minjun", &go_on, 30);
        until_wait(&stage, 1).await;
        append(&stage, Some(proposal)).await;
        let seq = append(&stage, None).await;
        assert_eq!(numbers(&waits.await.unwrap().expect_status(200).await), [seq]);
        stage.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wait_goes_past_more_hidden_entries_than_one_look_examines() {
    for stage in stages().await {
        let (mut rows, members) = (Rows::new(), [id("ISR:avi"), id("USA:bob")]);
        let proposals: Vec<ProposalId> = (1..=450).map(|number| many::id("prop", number)).collect();
        for proposal in &proposals {
            rows.proposal(&Proposal {
                id: *proposal,
                call: stage.call,
                topic: Some("navigation"),
                members: &members,
                created_at: stage.clock.now(),
                is_withdrawn: false,
            });
        }
        let db = &stage.server.exchange.db;
        rows.write(db).await;
        many::index(db).await;
        let waits = waiting(&stage, "KOR:minjun", &bookmark(&stage, "KOR:minjun", "").await, 30);
        until_wait(&stage, 1).await;
        // It goes on from beat to beat, and needs none of the turns at long looks: others have all of them.
        let principal = |member| Principal { member: id(member), certificate: Sha256::of(b"any") };
        let turns = &stage.server.exchange.long_work;
        let _taken =
            [turns.log(&principal("USA:dana")).await.unwrap(), turns.log(&principal("ISR:avi")).await.unwrap()];
        for proposal in proposals {
            append(&stage, Some(proposal)).await;
        }
        let seq = append(&stage, None).await;
        assert_eq!(numbers(&waits.await.unwrap().expect_status(200).await), [seq]);
        stage.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bookmark_counts_for_its_member_and_its_kinds_alone() {
    let stage = Stage::open().await;
    let mine = bookmark(&stage, "ISR:avi", "&kind=call").await;
    assert_ne!(mine, bookmark(&stage, "ISR:avi", "&kind=call").await, "two at one place differ");
    assert_eq!(get(&stage, "ISR:avi", &format!("&kind=call&cursor={mine}")).await["items"], json!([]));
    for (member, kind) in [("USA:bob", "&kind=call"), ("ISR:avi", "&kind=program"), ("ISR:avi", "")] {
        let raw = stage.raw(Some(stage.credential(member)));
        let answer = raw.request(Method::GET, &format!("/v1/entries?cursor={mine}{kind}")).send().await.unwrap();
        assert_eq!(answer.problem().await, (400, "bad-cursor".into()), "{member} {kind}");
    }
    let raw = stage.raw(Some(stage.credential("ISR:avi")));
    for wait in ["31", "-1", "1.5", "soon"] {
        let answer = raw.request(Method::GET, &format!("/v1/entries?wait={wait}")).send().await.unwrap();
        assert_eq!(answer.problem().await, (400, "malformed".into()), "{wait}");
    }
    stage.stop().await;
}

/// A log that was restored from a backup is shorter than what its readers had seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bookmark_past_the_end_of_a_restored_log_is_refused_and_the_reader_is_told_where_to_begin() {
    for store in [Store::Sqlite, Store::Postgres] {
        let Some(stage) = Stage::open_on(store).await else { continue };
        append(&stage, None).await;
        let file = stage.plan.dir.join("seen.txt").display().to_string();
        let read = ["--json", "log", "--bookmark", &file];
        assert_eq!(run(&stage, "USA:bob", &read).await.0, 0);
        let mark = bookmark(&stage, "USA:bob", "").await;
        let mut tx = stage.server.exchange.db.write().await.unwrap();
        let last = entries::last(&mut tx).await.unwrap();
        let trigger = match store {
            Store::Sqlite => "DROP TRIGGER log_entries_are_kept",
            Store::Postgres => "DROP TRIGGER log_entries_are_kept ON log_entries",
        };
        tx.execute(trigger, args![]).await.unwrap();
        tx.execute("DELETE FROM log_entries WHERE seq = $1", args![i64::try_from(last).unwrap()]).await.unwrap();
        tx.commit().await.unwrap();
        let raw = stage.raw(Some(stage.credential("USA:bob")));
        for wait in ["", "&wait=20"] {
            let answer = raw.request(Method::GET, &format!("/v1/entries?cursor={mark}{wait}")).send().await.unwrap();
            assert_eq!(answer.problem().await, (400, "bad-cursor".into()), "{wait}");
        }
        let (code, _, told) = run(&stage, "USA:bob", &read).await;
        assert!(code == 2 && told.contains(&format!("the bookmark in `{file}`")), "{code}: {told}");
        assert!(told.contains("remove the file"), "{told}");
        // Read from the beginning, which is done, and by its exit code the command says that the exchange has gone back.
        std::fs::remove_file(&file).unwrap();
        let (code, said, told) = run(&stage, "USA:bob", &read).await;
        let listed: Value = serde_json::from_str(&said).unwrap();
        assert!(code == 4 && !listed["items"].as_array().unwrap().is_empty(), "{code}: {told}");
        assert!(std::path::Path::new(&file).exists(), "the next run goes on from here");
        stage.stop().await;
    }
}

#[tokio::test]
async fn log_that_is_followed_goes_on_when_the_exchange_is_started_again() {
    let site = Site::new(None);
    site.world(&[USA, ISR]).await.stop().await;
    let server = site.serve().await;
    // What the client dials stays, and leads to the exchange that runs at the time.
    let address = |server: &Server| server.base().replace("https://localhost", "127.0.0.1").parse().unwrap();
    let exchange = Arc::new(Mutex::new(Some(address(&server))));
    let wire = Wire::to_present(Arc::clone(&exchange)).await;
    let home = site.point_home_to("ISR:drafter", format!("https://localhost:{}", wire.port)).display().to_string();
    let words = ["--home", &home, "log", "--follow", "--limit", "0"];
    let mut command = entente(&words);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut hears = async |words: &str| loop {
        let line = timeout(PATIENCE, told.next_line()).await.expect("it says something").unwrap();
        let line = line.expect("it goes on");
        if line.contains(words) {
            return line;
        }
    };
    hears("times are in").await;
    *exchange.lock().unwrap() = None;
    assert!(server.stop().await.success());
    hears("the log goes on once the exchange answers").await;
    let server = site.serve().await;
    *exchange.lock().unwrap() = Some(address(&server));
    hears("the exchange answers again").await;
    // What is done from then on is shown.
    let registrar = site.point_home("ISR:registrar", &server).display().to_string();
    let moved = ["--home", &registrar, "member", "move", "ISR:approver", "--name", "Ron B", "--yes"];
    assert!(ended(entente(&moved)).await.status.success());
    let line = timeout(PATIENCE, said.next_line()).await.expect("an entry").unwrap().expect("it goes on");
    assert!(line.contains("ISR:registrar issued key card"), "{line}");
    signal(&child, "TERM").await;
    timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
    assert!(server.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_wait_are_counted_by_themselves_and_leave_other_places_free() {
    let settings = [("limits.requests_per_member", "1")];
    let stage = Stage::open_with(Store::Sqlite, &settings).await.unwrap();
    let place = bookmark(&stage, "KOR:minjun", "").await;
    let mut waits = Vec::new();
    for member in ["USA:bob", "KOR:minjun"] {
        let place = bookmark(&stage, member, "").await;
        for _ in 0..8 {
            // Each of them is alone among those that are answered, since those before it wait.
            waits.push(waiting(&stage, member, &place, 30));
            until_wait(&stage, waits.len()).await;
        }
    }
    assert!(waits.len() > READERS as usize);
    let refused = waiting(&stage, "KOR:minjun", &place, 30).await.unwrap();
    assert_eq!(refused.headers()["ratelimit-policy"], "\"waits\";q=8;qu=\"concurrent-requests\"");
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(refused.problem().await, (429, "too-many-requests".into()));
    // Neither what is asked without waiting nor what others ask is kept from an answer, and more wait than there are readers of the database:
    // they hold none.
    assert!(!numbers(&get(&stage, "KOR:minjun", "").await).is_empty());
    assert!(!numbers(&get(&stage, "USA:dana", "&wait=30").await).is_empty(), "there is something: nothing to wait for");
    let seq = append(&stage, None).await;
    for wait in waits {
        assert_eq!(numbers(&wait.await.unwrap().expect_status(200).await), [seq]);
    }
    until_wait(&stage, 0).await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wait_ends_when_the_key_card_is_revoked_and_when_the_server_stops() {
    let stage = Stage::open().await;
    let revoked = waiting(&stage, "ISR:tamar", &bookmark(&stage, "ISR:tamar", "").await, 30);
    until_wait(&stage, 1).await;
    stage.client("ISR:registrar").revoke_key_card(&id("ISR:tamar"), false).await.unwrap();
    assert_eq!(revoked.await.unwrap().problem().await, (403, "not-a-member".into()));

    let stopped = waiting(&stage, "ISR:avi", &bookmark(&stage, "ISR:avi", "").await, 30);
    until_wait(&stage, 1).await;
    let began = Instant::now();
    let (answer, ()) = tokio::join!(stopped, stage.stop());
    assert_eq!(numbers(&answer.unwrap().expect_status(200).await), [0_u64; 0]);
    assert!(began.elapsed() < Duration::from_secs(20), "it waited on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_goes_on_from_the_bookmark_in_a_file_and_says_each_entry_in_a_sentence() {
    let stage = Stage::open().await;
    let home = stage.home(&id("USA:bob")).display().to_string();
    let file = stage.plan.dir.join("bookmark").display().to_string();
    let run = async |words: &[&str]| {
        let ended = ended(entente(&[&["--home", &*home][..], words].concat())).await;
        assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8(ended.stdout).unwrap()
    };
    let new = async || {
        let listed: Value = serde_json::from_str(&run(&["--json", "log", "--bookmark", &file]).await).unwrap();
        assert!(listed["bookmark"].is_string());
        listed["items"].as_array().unwrap().len()
    };
    let first = new().await;
    assert!(first > 3, "{first}");
    assert_eq!(new().await, 0);
    append(&stage, None).await;
    assert_eq!(new().await, 1);
    // What a limit leaves out between two bookmarks is named, to programs, too, and is there to be seen.
    for _ in 0..3 {
        append(&stage, None).await;
    }
    let limited = ended(entente(&["--home", &*home, "--json", "log", "--bookmark", &file, "--limit", "1"])).await;
    let listed: Value = serde_json::from_slice(&limited.stdout).unwrap();
    let last = listed["items"][0]["seq"].as_u64().unwrap();
    // One line each: the stage's clock is not this machine's, which is said, too.
    let notes = String::from_utf8(limited.stderr).unwrap();
    let warned = notes.lines().find(|line| line.contains("after the bookmark")).unwrap_or_else(|| panic!("{notes}"));
    let warned: Value = serde_json::from_str(warned).unwrap();
    let sentence = warned["warning"].as_str().unwrap();
    let begins = format!("2 entries after the bookmark, numbers {} to {}, are not shown", last - 2, last - 1);
    assert!(sentence.starts_with(&begins), "{sentence}");
    let (_, since) = sentence.split_once("`--since ").unwrap();
    let since = since.split('`').next().unwrap();
    let again: Value = serde_json::from_str(&run(&["--json", "log", "--since", since]).await).unwrap();
    let again: Vec<u64> =
        again["items"].as_array().unwrap().iter().map(|entry| entry["seq"].as_u64().unwrap()).collect();
    assert!((last - 2..=last).all(|number| again.contains(&number)), "{again:?}");
    assert_eq!(new().await, 0);
    let said = run(&["log", "--kind", "call", "--all"]).await;
    assert!(said.contains("USA:dana published CALL"), "{said}");
    let about_olivia = run(&["--json", "log", "--member", "USA:olivia", "--all"]).await;
    let listed: Value = serde_json::from_str(&about_olivia).unwrap();
    assert!(listed["items"].as_array().unwrap().iter().all(|entry| entry.to_string().contains("USA:olivia")));
    stage.stop().await;
}
