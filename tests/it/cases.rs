//! The small inputs in `tests/cases/`, each given to the programs as a person would, and files as editors and spreadsheets write them.

use crate::harness::{
    exchange::fresh_key,
    process::{ended, entente},
    stage::{Stage, id},
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Output,
};

fn folder(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(kind)
}

/// That these are all files of the folder.
fn are_all<'a>(kind: &str, names: impl Iterator<Item = &'a str>) {
    let files = fs::read_dir(folder(kind)).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let (files, names): (BTreeSet<String>, BTreeSet<String>) = (files.collect(), names.map(str::to_owned).collect());
    assert_eq!(files, names);
}

/// What the command says with a file.
async fn with_file(stage: &Stage, words: &[&str], file: &OsStr) -> Output {
    let home = stage.home(&id("USA:dana")).display().to_string();
    let mut command = entente(&["--home", &home]);
    command.args(words).arg(file);
    ended(command).await
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn call_that_nobody_could_fulfil_or_that_says_two_things_is_refused_in_the_draft() {
    let stage = Stage::open().await;
    let program = stage.program.to_string();
    let words = ["call", "draft", "--program", &program, "--file"];
    // What is said of it; nothing of one that is taken.
    let cases = [
        ("call-unsat-parties.toml", Some("2 parties are required, but a proposal has at most 1")),
        ("call-unsat-size-threshold.toml", Some("no proposal can reach the least total")),
        ("x-rev-before-deadline.toml", Some("reviews are due by then, but the call stays sealed until")),
        ("x-media-case.toml", Some("write it like `application/pdf`, in lower case")),
        ("x-offs.toml", Some("is not an instant in the zone in brackets; its offset may be another one")),
        ("x-est.toml", Some("`EST` is an abbreviation")),
        ("last-year.toml", Some("the deadline, 2024-12-05T15:00:00Z, has already passed")),
        ("x-kor.toml", None),
    ];
    are_all("calls", cases.iter().map(|(name, _)| *name));
    for (name, fault) in cases {
        let output = with_file(&stage, &words, folder("calls").join(name).as_os_str()).await;
        let said = said(&output);
        assert_eq!(output.status.success(), fault.is_none(), "{name}: {said}");
        assert!(fault.is_none_or(|fault| said.contains(fault)), "{name}: {said}");
    }
    // The second fault of one of them, once the first is corrected.
    let text = fs::read_to_string(folder("calls").join("call-unsat-size-threshold.toml")).unwrap();
    let corrected = text.replace("total_threshold = 16", "total_threshold = 9");
    assert_ne!(corrected, text);
    let corrected = stage.file("call-unsat-size.toml", corrected.as_bytes());
    let output = with_file(&stage, &words, corrected.as_os_str()).await;
    assert!(!output.status.success() && said(&output).contains("a size from 16 KiB to 64 GiB"), "{}", said(&output));
    stage.stop().await;
}

#[tokio::test]
async fn table_of_a_spreadsheet_is_read_or_refused_with_its_line() {
    let stage = Stage::open().await;
    let call = stage.call.to_string();
    let words = ["assignment", "load", &call, "--dry-run"];
    let cases = [
        ("a-ok.csv", None),
        ("a-comma.csv", None),
        ("a-quote.csv", None),
        ("a-blank.csv", None),
        ("a-u16.csv", None),
        ("a-dupcol.csv", Some("line 1: columns 1 and 3 are both `proposal`")),
    ];
    are_all("csv", cases.iter().map(|(name, _)| *name));
    for (name, fault) in cases {
        let output = with_file(&stage, &words, folder("csv").join(name).as_os_str()).await;
        let (said, answer) = (said(&output), String::from_utf8_lossy(&output.stdout).into_owned());
        match fault {
            Some(fault) => assert!(output.status.code() == Some(2) && said.contains(fault), "{name}: {said}"),
            // What it asks for are proposals that this exchange does not have, and so it was read.
            None => {
                assert!(output.status.code() == Some(3) && said.contains("cannot be done"), "{name}: {said}");
                assert!(
                    answer.contains("prop_01M8G29EZSKANSANKYGHR9GMMV") && answer.contains("NO: "),
                    "{name}: {answer}"
                );
            }
        }
    }
    stage.stop().await;
}

#[tokio::test]
async fn policy_that_costs_more_than_it_says_is_refused_with_line_and_bound() {
    let stage = Stage::open().await;
    let raw = stage.raw(Some(stage.credential("ISR:drafter")));
    let cases = [
        ("nested-200.cedar", "deep"),
        ("not-200.cedar", "deep"),
        ("equal-20.cedar", "deep"),
        ("and-1000.cedar", "operators"),
        ("if-1000.cedar", "operators"),
    ];
    are_all("policies", cases.iter().map(|(name, _)| *name));
    for (name, bound) in cases {
        let file = folder("policies").join(name);
        let output = with_file(&stage, &["policy", "check", "--owner", "ISR"], file.as_os_str()).await;
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{name}: {said}");
        assert!(said.contains(&format!("{name}:4")) && said.contains(bound), "{name}: {said}");

        let body = json!({ "text": fs::read_to_string(file).unwrap(), "statement": "no statement at all" });
        // The text comes first, also while somebody writes and the request is rehearsed.
        let writer = if bound == "deep" { Some(stage.server.exchange.db.write().await.unwrap()) } else { None };
        let request = raw.request(Method::POST, "/v1/policies/ISR/versions").header("Idempotency-Key", fresh_key());
        let response = request.json(&body).send().await.unwrap();
        assert_eq!(response.status(), 422, "{name}");
        let problem: Value = response.json().await.unwrap();
        assert_eq!(problem["type"], "urn:entente:problem:policy-invalid", "{name}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(bound), "{name}: {problem}");
        drop(writer);
    }
    stage.stop().await;
}

/// A byte order mark, the line ends of Windows, and a name that is no UTF-8.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn file_of_an_editor_with_any_name_is_read() {
    use std::os::unix::ffi::OsStrExt;
    let stage = Stage::open().await;
    let text = fs::read_to_string(folder("calls").join("x-kor.toml")).unwrap();
    let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    let utf_16: Vec<u8> = windows.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let program = stage.program.to_string();
    for content in [windows.as_bytes(), &utf_16] {
        let path = stage.plan.dir.join(OsStr::from_bytes(b"call-\xff\xfe.toml"));
        fs::write(&path, content).unwrap();
        let output = with_file(&stage, &["call", "draft", "--program", &program, "--file"], path.as_os_str()).await;
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }
    // Such a file, too, is answered by what is wrong with it, and in no words of Rust's for types.
    let path = stage.plan.dir.join(OsStr::from_bytes(b"wrong-\xff.toml"));
    fs::write(&path, text.replace("max = 5", "max = \"five\"")).unwrap();
    let output = with_file(&stage, &["call", "draft", "--program", &program, "--file"], path.as_os_str()).await;
    let said = said(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("`/criteria/0/max`: wanted a number, not text"), "{said}");
    stage.stop().await;
}
