//! Commands that are cut off in the middle, by every signal and by a kill: nothing readable stays on the disk, or nothing after the next
//! command, and what they say of it is so. The middle is held still: by a wire that passes no more on, or by a pipe that is full.

use crate::harness::{
    process::{PATIENCE, ended, entente, signal, until},
    scratch::scratch,
    stage::{Stage, Step, id, quiet, slug},
    wire::Wire,
};
use entente::{
    client::{Home, Profile},
    domain::id::ProposalId,
};
use std::{
    fs,
    io::{PipeReader, Read, Write},
    path::{Path, PathBuf},
    process::{Output, Stdio},
};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

/// Larger than what is passed on, and than what a sealed file gathers before it is written.
const DOCUMENT: usize = 3_000_000;
/// Enough for everything that comes before the document, and for a good part of it.
const PASSED_ON: usize = 1_500_000;
/// What a pipe of Linux holds.
const PIPE: usize = 64 << 10;

/// A proposal with a large document, and Bob's home, whose exchange falls silent in the middle of it.
async fn held() -> (Stage, ProposalId, String) {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    let mut content = b"%PDF-1.7\n".to_vec();
    content.resize(DOCUMENT, b'x');
    stage.put("ISR:avi", proposal, "work-plan", &stage.file("large.pdf", &content)).await;
    let wire = Wire::to(stage.address(), PASSED_ON).await;
    let home = stage.home(&id("USA:bob"));
    let kept = Home::locate(Some(&home)).unwrap();
    let profile = kept.profile(None).unwrap();
    kept.save_profile(&Profile { server: format!("https://localhost:{}", wire.port), ..profile }).unwrap();
    (stage, proposal, home.display().to_string())
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

fn unfinished(folder: &Path) -> Option<PathBuf> {
    entries(folder).into_iter().find(|path| path.extension().is_some_and(|extension| extension == "part"))
}

/// Begins to open the document into `folder`; returns once a part of it stands there in the clear.
async fn opening(proposal: ProposalId, home: &str, folder: &Path) -> (Child, PathBuf) {
    opening_by(with_signals, proposal, home, folder).await
}

/// The program as a terminal starts it, even if the process that runs the tests ignores signals, as shells do for what runs behind.
fn with_signals(words: &[&str]) -> Command {
    let mut command = Command::new("/usr/bin/env");
    command.args(["--default-signal=HUP,INT,TERM", env!("CARGO_BIN_EXE_entente")]).args(words).env_clear();
    command
}

/// The program as `nohup` starts it: hanging up is ignored.
fn without_hangup(words: &[&str]) -> Command {
    let mut command = Command::new("/usr/bin/env");
    let without = ["--default-signal=INT,TERM", "--ignore-signal=HUP"];
    command.args(without).arg(env!("CARGO_BIN_EXE_entente")).args(words).env_clear();
    command
}

async fn opening_by(
    start: impl Fn(&[&str]) -> Command,
    proposal: ProposalId,
    home: &str,
    folder: &Path,
) -> (Child, PathBuf) {
    let (id, out) = (proposal.to_string(), folder.join("plan.pdf"));
    let words = [
        "--home",
        home,
        "proposal",
        "open",
        &id,
        "work-plan",
        "--version",
        "working",
        "--output",
        out.to_str().unwrap(),
    ];
    let mut command = start(&words);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let part = until("the part of a document", async || {
        let part = unfinished(folder)?;
        (fs::metadata(&part).ok()?.len() > 0).then_some(part)
    })
    .await;
    assert!(fs::read(&part).unwrap().starts_with(b"%PDF-1.7\n"));
    (child, part)
}

async fn end_of(child: Child) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

async fn run(home: &str, line: &str) -> (i32, String) {
    let words: Vec<&str> = ["--home", home].into_iter().chain(line.split(' ')).collect();
    let Output { status, stderr, .. } = ended(entente(&words)).await;
    (status.code().unwrap(), String::from_utf8(stderr).unwrap())
}

#[tokio::test]
async fn opening_that_a_signal_ends_leaves_nothing_and_says_what_was_done() {
    for (name, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let (stage, proposal, home) = held().await;
        let folder = scratch();
        let (child, _) = opening(proposal, &home, folder.path()).await;
        // Another command of the same member does not take it away under the one that writes it.
        assert_eq!(run(&home, "profile list").await.0, 0);
        assert!(unfinished(folder.path()).is_some());
        signal(&child, name).await;
        let (ended_with, said) = end_of(child).await;
        assert_eq!(ended_with, Some(code), "{said}");
        assert_eq!(entries(folder.path()), Vec::<PathBuf>::new(), "{name}: {said}");
        assert!(said.contains("interrupted") && said.contains("the unfinished file was removed"), "{said}");
        assert_eq!(entries(&Path::new(&home).join("unfinished")), Vec::<PathBuf>::new());
        stage.stop().await;
    }
}

#[tokio::test]
async fn hangup_that_was_ignored_beforehand_stays_ignored() {
    let (stage, proposal, home) = held().await;
    let folder = scratch();
    let (child, part) = opening_by(without_hangup, proposal, &home, folder.path()).await;
    signal(&child, "HUP").await;
    assert_eq!(run(&home, "profile list").await.0, 0);
    assert!(part.exists(), "it goes on");
    signal(&child, "TERM").await;
    let (ended_with, said) = end_of(child).await;
    assert_eq!((ended_with, entries(folder.path())), (Some(143), Vec::new()), "{said}");
    stage.stop().await;
}

#[tokio::test]
async fn what_a_killed_opening_left_goes_with_the_next_command_whatever_it_is() {
    let (stage, proposal, home) = held().await;
    let folder = scratch();
    let (child, part) = opening(proposal, &home, folder.path()).await;
    signal(&child, "KILL").await;
    end_of(child).await;
    assert!(part.exists(), "nobody could remove it yet");
    let (code, said) = run(&home, "profile list").await;
    assert!(code == 0 && said.contains("was cut off") && said.contains(part.to_str().unwrap()), "{said}");
    assert_eq!(entries(folder.path()), Vec::<PathBuf>::new());
    let (_, said) = run(&home, "profile list").await;
    assert_eq!(said, "", "it is told once");
    stage.stop().await;
}

#[tokio::test]
async fn what_a_killed_opening_left_on_a_disk_that_is_away_goes_once_it_is_back() {
    let (stage, proposal, home) = held().await;
    let folder = scratch();
    let (disk, elsewhere) = (folder.path().join("disk"), folder.path().join("elsewhere"));
    fs::create_dir(&disk).unwrap();
    let (child, part) = opening(proposal, &home, &disk).await;
    signal(&child, "KILL").await;
    end_of(child).await;
    fs::rename(&disk, &elsewhere).unwrap();
    for _ in 0..2 {
        let (code, said) = run(&home, "profile list").await;
        assert!(code == 0 && said.lines().count() == 1, "once a command: {said}");
        assert!(said.contains("which is not there now") && said.contains("to end this warning"), "{said}");
    }
    fs::rename(&elsewhere, &disk).unwrap();
    let (_, said) = run(&home, "profile list").await;
    assert!(said.contains(part.to_str().unwrap()) && said.contains("was removed now"), "{said}");
    assert_eq!(entries(&disk), Vec::<PathBuf>::new());
    assert_eq!(run(&home, "profile list").await.1, "");
    stage.stop().await;
}

#[tokio::test]
async fn document_on_its_way_to_a_pipe_has_no_name_on_the_disk() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    let home = stage.home(&id("ISR:avi")).display().to_string();
    let temporary = scratch();
    let (id, version) = (proposal.to_string(), "working");
    for (sealed, begins) in [(None, &b"%PDF-1.7\n"[..]), (Some("--sealed"), b"age-encryption.org/v1\n")] {
        let words = ["--home", &home, "proposal", "open", &id, "work-plan", "--version", version, "--output", "-"];
        let words: Vec<&str> = words.into_iter().chain(sealed).collect();
        let mut command = entente(&words);
        command.env("TMPDIR", temporary.path());
        let Output { status, stdout, stderr } = ended(command).await;
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        assert!(stdout.starts_with(begins));
    }
    assert_eq!(entries(temporary.path()), Vec::<PathBuf>::new());
    stage.stop().await;
}

/// Begins to put a large file; returns once it is being sealed, held still by what it has to say about that.
async fn sealing(proposal: ProposalId, home: &str, file: &Path) -> (Child, PipeReader, PathBuf) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&vec![b'.'; PIPE]).unwrap();
    let id = proposal.to_string();
    let mut command = with_signals(&["--home", home, "proposal", "put", &id, "work-plan", file.to_str().unwrap()]);
    let child = command.stdout(Stdio::null()).stderr(writer).kill_on_drop(true).spawn().unwrap();
    drop(command);
    let folder = Path::new(home).join("uploads/default");
    let part = until("the sealing", async || {
        let part = unfinished(&folder)?;
        (fs::metadata(&part).ok()?.len() > 0).then_some(part)
    })
    .await;
    (child, reader, part)
}

#[tokio::test]
async fn sealing_that_is_cut_off_leaves_what_was_sealed_before_and_nothing_of_its_own() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    let avi = stage.client("ISR:avi");
    let home = stage.home(&id("ISR:avi")).display().to_string();
    let first = stage.file("first.pdf", b"%PDF-1.7\nthe first");
    let record = avi.seal_document(proposal, &slug("work-plan"), &first, None, quiet()).await.unwrap();
    let kept = record.sealed.clone().unwrap();
    let mut content = b"%PDF-1.7\n".to_vec();
    content.resize(DOCUMENT, b'x');
    content.extend(b"\n%%EOF\n");
    let second = stage.file("second.pdf", &content);

    let (mut child, mut reader, part) = sealing(proposal, &home, &second).await;
    signal(&child, "KILL").await;
    child.wait().await.unwrap();
    assert!(part.exists() && kept.exists());
    let (code, said) = run(&home, "proposal resume --list").await;
    assert!(code == 0 && said.contains("was cut off"), "{said}");
    assert!(!part.exists() && kept.exists());
    drop(reader.read(&mut [0; 1]));

    let (child, mut reader, part) = sealing(proposal, &home, &second).await;
    signal(&child, "INT").await;
    let said = tokio::task::spawn_blocking(move || {
        let mut said = String::new();
        reader.read_to_string(&mut said).map(|_| said)
    });
    let (ended_with, _) = end_of(child).await;
    let said = said.await.unwrap().unwrap();
    assert_eq!(ended_with, Some(130), "{said}");
    assert!(
        said.contains("what was sealed before is kept") && said.contains("the unfinished file was removed"),
        "{said}"
    );
    assert!(!part.exists() && kept.exists());
    let waiting: Vec<String> =
        avi.interrupted_uploads().unwrap().into_iter().map(|record| record.idempotency_key).collect();
    assert_eq!(waiting, [record.idempotency_key]);
    stage.stop().await;
}
