//! Clients that stock generators make of `docs/openapi.json`, in Python and in TypeScript: the programs of `examples/` hand in a whole
//! proposal with them, and Entente's own client finds it in order and opens it.
//!
//! What comes from the registries of Python and of Node is kept in the target folder, and fetched again only when the pinned
//! versions change.

use crate::harness::{
    fetched::{Untried, copy, installed, place},
    process::ended,
    stage::{NATIONS, Stage, id, quiet, slug},
    world::{Store, TestWorld},
};
use entente::{
    client::{proposals::Summary, verified::VersionChoice},
    domain::{
        ambient::{Clock, SystemClock},
        id::{MemberId, ProposalId, Sha256},
        proposal::Status,
    },
    sealing::{identity::new_identity, seal::seal_bytes},
};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};
use tokio::process::Command;

/// Where what a registry has cannot be had.
const NOT_TRIED: Untried =
    Untried { required_by: "ENTENTE_REQUIRE_STOCK_CLIENTS", said: "THIS STOCK CLIENT IS NOT TRIED" };

/// How the programs of a language are started, in a folder that has everything they need.
struct StockClient {
    folder: PathBuf,
    /// The program that runs them.
    interpreter: PathBuf,
    hand_in: &'static str,
    nightly_sync: &'static str,
    /// Of this folder, beside the programs: an upload that is broken off and gone on with.
    go_on: &'static str,
    /// Nobody else works in the folder meanwhile.
    _lock: File,
}

#[tokio::test]
async fn client_that_a_generator_makes_in_python_hands_in_a_proposal_and_follows_the_log() {
    if let Some(python) = python().await {
        Box::pin(hands_in_and_follows(&python)).await;
    }
}

#[tokio::test]
async fn client_that_a_generator_makes_in_typescript_hands_in_a_proposal_and_follows_the_log() {
    if let Some(typescript) = typescript().await {
        Box::pin(hands_in_and_follows(&typescript)).await;
    }
}

async fn hands_in_and_follows(stock: &StockClient) {
    // The programs go by the machine's clock, so the story plays now.
    let world = TestWorld::start(NATIONS, Store::Sqlite).await.unwrap();
    world.clock.set(SystemClock.now());
    let stage = Box::pin(Stage::open_in(world)).await;
    let folder = stage.plan.dir.clone();
    let run = async |member: &str, program: &str, words: &[&str]| {
        let output = ended(stock.command(&stage, member, program, words)).await;
        let (said, faults) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{program} {words:?} as {member}: {said}{faults}");
        said.trim_end().to_owned()
    };

    let begun = run("ISR:avi", stock.hand_in, &["begin", &stage.call.to_string(), "USA:bob"]).await;
    let proposal: ProposalId = begun.parse().unwrap();
    let annex =
        stage.file("annex.age", &seal_bytes(&[new_identity().recipient().to_owned()], &vec![7; 90_000]).unwrap());
    let uploads = format!("/v1/proposals/{proposal}/documents/annex/uploads");
    let told = run("ISR:avi", stock.go_on, &[&uploads, annex.to_str().unwrap()]).await;
    assert_eq!(told, format!("1000 {}", fs::metadata(&annex).unwrap().len()));
    let held = stage.client("ISR:avi").api().documents(proposal).await.unwrap();
    let digest = Sha256::of(&fs::read(&annex).unwrap());
    assert!(held.iter().any(|document| document.slot == slug("annex") && document.sha256 == digest), "{held:?}");
    run("USA:bob", stock.hand_in, &["join", &begun]).await;
    assert_eq!(run("USA:bob", stock.hand_in, &["sign", &begun]).await, format!("{begun} is preparing"));
    assert_eq!(run("ISR:avi", stock.hand_in, &["sign", &begun]).await, format!("{begun} is submitted"));
    let kept = folder.join("receipt.json");
    let told = run("ISR:avi", stock.hand_in, &["receipt", &begun, kept.to_str().unwrap()]).await;
    let receipt: serde_json::Value = serde_json::from_slice(&fs::read(&kept).unwrap()).unwrap();
    let manifest: Sha256 = receipt["manifest_sha256"].as_str().unwrap().parse().unwrap();
    assert_eq!(told, format!("{begun} is submitted, version 1, manifest {manifest}"));
    assert_eq!(receipt["signatures"].as_object().unwrap().len(), 2);

    // Entente's client verifies every signature on its way to the plaintext.
    let shown = stage.client("USA:bob").api().proposal(proposal).await.unwrap();
    assert_eq!((shown.status, shown.manifest_sha256), (Status::Submitted, Some(manifest)));
    let opens = async |member: &str, out: &str| {
        let out = folder.join(out);
        let (client, standing) = (stage.client(member), VersionChoice::Standing);
        client.open_document(proposal, &slug("work-plan"), None, standing, &out, quiet()).await.unwrap();
        assert_eq!(fs::read(out).unwrap(), fs::read(documents().join("work-plan.pdf")).unwrap(), "{member}");
    };
    opens("USA:bob", "bob.pdf").await;

    let changes = folder.join("changes.ndjson");
    let sync = async || run("ISR:avi", stock.nightly_sync, &[changes.to_str().unwrap()]).await;
    let first = sync().await;
    assert!(first.ends_with(" new entries"), "{first}");
    let lines = fs::read_to_string(&changes).unwrap();
    let entry = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let entries: Vec<_> = lines.lines().map(entry).collect();
    assert_eq!(format!("{} new entries", entries.len()), first);
    assert!(entries.iter().all(|entry| entry["actor"].as_str().unwrap().starts_with("ISR:")), "{lines}");
    assert!(entries.iter().any(|entry| entry["kind"] == "proposal.created" && entry["proposal"] == *begun), "{lines}");
    assert_eq!(sync().await, "0 new entries", "what was read is read once");
    assert_eq!(fs::read_to_string(&changes).unwrap(), lines);
    // A bookmark that the exchange does not take: everything is read once more, and nothing is lost.
    let kept = folder.join("changes.ndjson.bookmark");
    let mut mark: serde_json::Value = serde_json::from_slice(&fs::read(&kept).unwrap()).unwrap();
    (mark["cursor"], mark["seq"]) = ("AAAA".into(), 1_000_000.into());
    fs::write(&kept, mark.to_string()).unwrap();
    assert_eq!(sync().await, first, "it starts over");
    assert_eq!(sync().await, "0 new entries");

    // The call's vault opens it, too: the party that sealed it has wrapped the keys as the rules ask.
    stage.pass_the_opening();
    stage.clear(proposal, &["USA:dana"]).await;
    opens("USA:dana", "dana.pdf").await;
    let summary: Summary = serde_json::from_slice(&fs::read(first_summary()).unwrap()).unwrap();
    assert_eq!(
        stage.client("USA:dana").read_summary(proposal, VersionChoice::Standing).await.unwrap().title,
        summary.title
    );
    stage.stop().await;
}

impl StockClient {
    /// One of the programs, as a member: with the variables that `docs/api.md` names.
    fn command(&self, stage: &Stage, member: &str, program: &str, words: &[&str]) -> Command {
        let member: MemberId = id(member);
        let pki = stage.plan.dir.join("pki");
        let of_member = |ending: &str| pki.join(format!("{}/{}.{ending}", member.partner(), member.handle()));
        let pins = stage.plan.dir.join("pins");
        let lines = stage
            .pki
            .partners
            .iter()
            .map(|(code, partner)| format!("{code} {}\n", partner.card.fingerprint().unwrap()));
        fs::write(&pins, lines.collect::<String>()).unwrap();
        let mut command = Command::new(&self.interpreter);
        command.arg(self.folder.join(program)).args(words).current_dir(&self.folder);
        command.env("EXCHANGE", format!("https://localhost:{}", stage.address().port()));
        command.env("EXCHANGE_CA", pki.join("server/ca.crt")).env("PINS", pins).env("DOCUMENTS", documents());
        command.env("ME", member.to_string()).env("CERT", of_member("crt")).env("KEY", of_member("key"));
        command.env("AGE_KEY", stage.home(&member).join("identity.txt"));
        command
    }
}

/// The Python example with a client that was generated for it; `None` where Python or its registry cannot be reached.
async fn python() -> Option<StockClient> {
    let (folder, lock) = place("stock-client-python");
    let bin = folder.join("venv/bin");
    copy("examples/python", &folder, &["py", "yaml", "txt"]);
    copy("tests/it/stock_clients", &folder, &["py"]);
    let made = folder.join("venv").display().to_string();
    let pip = bin.join("pip").display().to_string();
    let steps: [&[&str]; 2] = [
        &["python3", "-m", "venv", "--clear", &made],
        &[&pip, "install", "--quiet", "--require-hashes", "--requirement", "requirements.txt"],
    ];
    installed(&folder, "requirements.txt", &steps, NOT_TRIED).await?;
    let mut generate = Command::new(bin.join("openapi-python-client"));
    generate.args(["generate", "--meta", "none", "--overwrite", "--config", "generator.yaml", "--path"]);
    generate.arg(root().join("docs/openapi.json")).args(["--output-path", "exchange_client"]);
    let said = succeeded(generate, &folder).await;
    assert!(!said.contains("WARNING"), "the generator leaves something out: {said}");
    let interpreter = bin.join("python");
    let (hand_in, nightly_sync, go_on) = ("hand_in.py", "nightly_sync.py", "go_on.py");
    Some(StockClient { folder, interpreter, hand_in, nightly_sync, go_on, _lock: lock })
}

/// The TypeScript example, compiled with types that were generated for it; `None` where Node or its registry cannot be reached.
async fn typescript() -> Option<StockClient> {
    let (folder, lock) = place("stock-client-typescript");
    copy("examples/typescript", &folder, &["json"]);
    copy("examples/typescript/src", &folder.join("src"), &["ts"]);
    copy("tests/it/stock_clients", &folder, &["mjs"]);
    let steps: [&[&str]; 2] =
        [&["node", "--version"], &["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]];
    installed(&folder, "package-lock.json", &steps, NOT_TRIED).await?;
    let bin = folder.join("node_modules/.bin");
    let mut generate = Command::new(bin.join("openapi-typescript"));
    generate.arg(root().join("docs/openapi.json")).args(["--output", "src/schema.ts"]);
    succeeded(generate, &folder).await;
    succeeded(Command::new(bin.join("tsc")), &folder).await;
    let (hand_in, nightly_sync, go_on) = ("dist/hand-in.js", "dist/nightly-sync.js", "go_on.mjs");
    Some(StockClient { folder, interpreter: "node".into(), hand_in, nightly_sync, go_on, _lock: lock })
}

/// What a command said that has to succeed.
async fn succeeded(mut command: Command, folder: &Path) -> String {
    command.current_dir(folder);
    let output = ended(command).await;
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{said}");
    said
}

/// The summary that the programs take: the first of those in the folder.
fn first_summary() -> PathBuf {
    documents().join("summary-batteries.json")
}

fn documents() -> PathBuf {
    root().join("examples/documents")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
