//! A reviewer's work in three files' worth of typing: one form for all proposals, read back into sealed drafts, handed in at once.

use crate::harness::{
    census::files,
    stage::{Stage, id, pdf, review, run, slug},
};
use entente::{client::Client, domain::id::ProposalId};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Two proposals that Carol can read and has to review.
async fn two_for_carol() -> (Stage, [ProposalId; 2]) {
    let stage = Stage::open().await;
    let both = [stage.submitted().await, stage.submitted().await];
    stage.pass_the_opening();
    for proposal in both {
        stage.clear(proposal, &["USA:dana"]).await;
        stage.assign(&[(proposal, "USA:carol")], false).await;
        stage.clear(proposal, &["USA:carol"]).await;
    }
    stage.prepare_panel().await;
    (stage, both)
}

/// The form of a member as a new file.
async fn printed(stage: &Stage, name: &str) -> PathBuf {
    let path = stage.plan.dir.join(name);
    let (call, shown) = (stage.call.to_string(), path.display().to_string());
    let (code, said, notes) = run(stage, "USA:carol", &["review", "form", &call, "--titles", "-o", &shown]).await;
    assert_eq!(code, 0, "{said}{notes}");
    path
}

async fn read_back(stage: &Stage, path: &Path, more: &[&str]) -> (i32, String, String) {
    let (call, shown) = (stage.call.to_string(), path.display().to_string());
    let words = [&["--json", "review", "form", &call, "--file", &shown], more].concat();
    run(stage, "USA:carol", &words).await
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

#[tokio::test]
async fn form_is_filled_offline_saved_sealed_and_handed_in_at_once() {
    let (stage, [first, second]) = two_for_carol().await;
    let (path, call) = (printed(&stage, "reviews.md").await, stage.call.to_string());
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches("\n## ").count(), 2, "{text}");
    assert_eq!(text.matches("> Lodestone\n").count(), 2, "{text}");
    assert!(text.contains("> Impact: 0 to 5 in steps of 0.5; at least 3 to pass"), "{text}");
    // One that is there may be filled in already.
    let shown = path.display().to_string();
    let (code, _, notes) = run(&stage, "USA:carol", &["review", "form", &call, "-o", &shown]).await;
    assert!(code == 1 && notes.contains("name a new file"), "{notes}");
    edit(&path, "score:\n\ncomment:\n", "score: 3.5\n\ncomment:\nzqOchre lantern\n");
    let (code, said, notes) = read_back(&stage, &path, &[]).await;
    assert_eq!(code, 0, "{said}{notes}");
    let answer: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(answer["items"][0]["state"], "saved");
    assert_eq!(answer["items"][0]["total"], 7.0);
    let carol = stage.client("USA:carol");
    assert_eq!(carol.draft(first).await.unwrap().unwrap().comments[&slug("impact")], "zqOchre lantern");
    let leaks = files(&stage.home(&id("USA:carol"))).into_iter();
    let leaks = leaks.filter(|path| memchr::memmem::find(&fs::read(path).unwrap(), b"zqOchre").is_some());
    assert_eq!(leaks.count(), 0, "drafts are sealed");
    // A look, and one confirmation for all.
    let submit = ["--json", "review", "submit", "--call", &call];
    let (code, said, _) = run(&stage, "USA:carol", &[&submit[..], &["--dry-run"]].concat()).await;
    let looked: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, looked["items"].as_array().unwrap().len()), (0, 2), "{said}");
    let (code, _, notes) = run(&stage, "USA:carol", &submit).await;
    assert!(code == 2 && notes.contains("--yes"), "nobody was asked: {notes}");
    assert!(carol.api().reviews(first).await.unwrap().is_empty());
    let (code, said, notes) = run(&stage, "USA:carol", &[&submit[..], &["--yes"]].concat()).await;
    assert_eq!(code, 0, "{said}{notes}");
    for proposal in [first, second] {
        assert_eq!(carol.api().reviews(proposal).await.unwrap().len(), 1);
        assert!(carol.draft(proposal).await.unwrap().is_none(), "the draft has become the review");
    }
    // Done twice: nothing is left to hand in, and the form passes over what is in.
    let (code, _, notes) = run(&stage, "USA:carol", &[&submit[..], &["--yes"]].concat()).await;
    assert!(code == 1 && notes.contains("can be handed in"), "{notes}");
    let (code, said, _) = read_back(&stage, &path, &[]).await;
    let answer: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, answer["handed_in"].as_array().unwrap().len()), (0, 2), "{said}");
    assert!(carol.drafts().unwrap().is_empty());
    stage.stop().await;
}

#[tokio::test]
async fn faults_are_all_shown_and_nothing_is_saved_while_there_is_one() {
    let (stage, [first, second]) = two_for_carol().await;
    let path = printed(&stage, "reviews.md").await;
    edit(&path, "score:\n\ncomment:\n", "score: 3.7\n\ncomment:\n");
    let (code, said, notes) = read_back(&stage, &path, &[]).await;
    assert_eq!((code, &*said), (2, ""));
    let faults: Value = serde_json::from_str(notes.lines().find(|line| line.contains("faults")).unwrap()).unwrap();
    let lines: Vec<u64> =
        faults["faults"].as_array().unwrap().iter().map(|fault| fault["line"].as_u64().unwrap()).collect();
    let text = fs::read_to_string(&path).unwrap();
    let wrong = (1..).zip(text.lines()).filter(|(_, line)| line.contains("3.7")).map(|(at, _)| at);
    assert_eq!(lines, wrong.collect::<Vec<u64>>());
    assert_eq!(lines.len(), 4);
    let carol = stage.client("USA:carol");
    assert!(carol.draft(first).await.unwrap().is_none() && carol.draft(second).await.unwrap().is_none());
    stage.stop().await;
}

/// What a draft scores for impact, as it is written.
async fn impact(reviewer: &Client, proposal: ProposalId) -> String {
    reviewer.draft(proposal).await.unwrap().unwrap().scores[&slug("impact")].to_string()
}

#[tokio::test]
async fn draft_that_was_changed_since_is_replaced_only_if_that_is_said() {
    let (stage, [first, second]) = two_for_carol().await;
    let (path, carol) = (printed(&stage, "reviews.csv").await, stage.client("USA:carol"));
    edit(&path, ",,,none", ",4,,none");
    // The rows of the assessment as a whole have no score.
    let text = fs::read_to_string(&path).unwrap();
    let whole = |line: &str| line.contains(",(overall),") || line.contains(",(recommendation),");
    let kept = |line: &str| if whole(line) { line.replace(",4,,none", ",,,none") } else { line.to_owned() };
    fs::write(&path, text.split("\r\n").map(kept).collect::<Vec<_>>().join("\r\n")).unwrap();
    let (code, said, notes) = read_back(&stage, &path, &[]).await;
    assert_eq!(code, 0, "{said}{notes}");
    assert_eq!(impact(carol, first).await, "4");
    // The same form again, after more of it was filled: what it made itself is not newer.
    edit(&path, ",4,,none", ",4.5,better,none");
    let (code, said, notes) = read_back(&stage, &path, &[]).await;
    assert_eq!(code, 0, "{said}{notes}");
    assert_eq!(impact(carol, second).await, "4.5");
    // Somebody writes a draft by hand; the form knows nothing of it.
    let by_hand = review(1.0, 1.0);
    carol.save_draft(first, &by_hand).await.unwrap();
    edit(&path, ",4.5,better,none", ",5,best,none");
    let (code, _, notes) = read_back(&stage, &path, &[]).await;
    let reference = carol.api().proposal(first).await.unwrap().reference.to_string();
    assert!(code == 1 && notes.contains(&reference) && notes.contains("--replace"), "{notes}");
    assert_eq!(carol.draft(first).await.unwrap().unwrap(), by_hand);
    assert_eq!(impact(carol, second).await, "4.5", "all or nothing");
    let (code, said, notes) = read_back(&stage, &path, &["--replace"]).await;
    assert_eq!(code, 0, "{said}{notes}");
    assert_eq!(impact(carol, first).await, "5");
    // What is left empty takes nothing away.
    let empty = printed(&stage, "again.md").await;
    let text = fs::read_to_string(&empty).unwrap();
    let blank: Vec<&str> = text
        .lines()
        .map(|line| {
            if line.starts_with("score:") {
                "score:"
            } else if line == "best" {
                ""
            } else {
                line
            }
        })
        .collect();
    fs::write(&empty, blank.join("\n")).unwrap();
    let (code, said, notes) = read_back(&stage, &empty, &[]).await;
    assert!(code == 0 && said.contains("\"empty\""), "{said}{notes}");
    assert_eq!(impact(carol, first).await, "5");
    stage.stop().await;
}

#[tokio::test]
async fn reviewer_who_is_assigned_nothing_has_no_form() {
    let stage = Stage::open().await;
    let call = stage.call.to_string();
    let (code, said, notes) = run(&stage, "ISR:yael", &["review", "form", &call]).await;
    assert_eq!((code, &*said), (1, ""));
    assert!(notes.contains("you have nothing to review"), "{notes}");
    stage.stop().await;
}

#[tokio::test]
async fn everything_assigned_is_opened_into_folders_and_only_what_changed_again() {
    let (stage, [first, _]) = two_for_carol().await;
    let into = stage.plan.dir.join("reading");
    let (call, shown) = (stage.call.to_string(), into.display().to_string());
    let open = ["--json", "proposal", "open", "--assigned", &call, "--into", &shown];
    let (code, said, notes) = run(&stage, "USA:carol", &open).await;
    assert_eq!(code, 0, "{said}{notes}");
    let answer: Value = serde_json::from_str(&said).unwrap();
    let states = |answer: &Value| -> Vec<String> {
        let files = answer["items"].as_array().unwrap().iter().flat_map(|case| case["files"].as_array().unwrap());
        files.map(|file| format!("{} {}", file["slot"].as_str().unwrap(), file["state"].as_str().unwrap())).collect()
    };
    let once = ["shareholders closed", "shareholders closed", "summary opened", "work-plan opened"];
    assert_eq!(states(&answer), [once, once].concat(), "{said}");
    let reference = stage.client("USA:carol").api().proposal(first).await.unwrap().reference.to_string();
    let folder = into.join(format!("{reference} Lodestone"));
    assert_eq!(fs::read(folder.join("work-plan.pdf")).unwrap(), pdf("the work plan"));
    // Twice: nothing is written, nor fetched.
    let fetched = async || stage.log().await.iter().filter(|entry| entry.kind.as_str() == "document.fetched").count();
    let (before, written) = (fetched().await, fs::metadata(folder.join("work-plan.pdf")).unwrap().modified().unwrap());
    let (code, said, _) = run(&stage, "USA:carol", &open).await;
    let twice = once.map(|state| state.replace("opened", "unchanged"));
    assert_eq!((code, states(&serde_json::from_str(&said).unwrap())), (0, [twice.clone(), twice.clone()].concat()));
    assert_eq!(fs::metadata(folder.join("work-plan.pdf")).unwrap().modified().unwrap(), written);
    assert_eq!(fetched().await, before);
    // Notes in the margin stay, a lost note of ours is made again, and a folder may get another name behind its reference.
    fs::write(folder.join("work-plan.pdf"), "annotated").unwrap();
    let renamed = into.join(format!("{reference} read this first"));
    fs::rename(&folder, &renamed).unwrap();
    let (code, said, _) = run(&stage, "USA:carol", &open).await;
    assert!(
        code == 0 && states(&serde_json::from_str(&said).unwrap()).contains(&"work-plan kept".to_owned()),
        "{said}"
    );
    assert_eq!(fs::read(renamed.join("work-plan.pdf")).unwrap(), b"annotated");
    assert!(!folder.exists());
    fs::remove_file(renamed.join(".entente-opened.json")).unwrap();
    let (_, said, _) = run(&stage, "USA:carol", &open).await;
    let states = states(&serde_json::from_str(&said).unwrap());
    assert!(
        states.contains(&"work-plan kept".to_owned()) && states.contains(&"summary unchanged".to_owned()),
        "{said}"
    );
    let names: Vec<_> = files(&renamed).into_iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    stage.stop().await;
}

#[tokio::test]
async fn proposal_that_cannot_be_opened_is_named_and_the_others_are_opened() {
    let (stage, [_, second]) = two_for_carol().await;
    let into = stage.plan.dir.join("reading");
    let (call, shown) = (stage.call.to_string(), into.display().to_string());
    let forged = stage.client("USA:carol").api().proposal(second).await.unwrap().reference.to_string();
    fs::create_dir_all(&into).unwrap();
    // A file where the folder of one would be.
    fs::write(into.join(format!("{forged} Lodestone")), "in the way").unwrap();
    let open = ["--json", "proposal", "open", "--assigned", &call, "--into", &shown];
    let (code, said, notes) = run(&stage, "USA:carol", &open).await;
    assert_eq!(code, 1, "{said}{notes}");
    assert!(notes.contains(&forged) && notes.contains("1 thing was not opened"), "{notes}");
    let answer: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(answer["items"].as_array().unwrap().len(), 1, "{said}");
    stage.stop().await;
}

#[tokio::test]
async fn form_that_was_filled_in_is_handed_in_by_one_command() {
    let (stage, both) = two_for_carol().await;
    let (path, call) = (printed(&stage, "reviews.md").await, stage.call.to_string());
    let text = fs::read_to_string(&path).unwrap();
    // The first is filled in whole, of the second one criterion alone.
    let (first, second) = text.split_at(text.rfind("\n## ").unwrap());
    let filled = first.replace("score:\n", "score: 4\n") + &second.replacen("score:\n", "score: 3\n", 1);
    fs::write(&path, &filled).unwrap();
    let carol = stage.client("USA:carol");
    let shown = path.display().to_string();
    let submit = ["--json", "review", "submit", "--call", &call, "--file", &shown];
    let (code, said, notes) = run(&stage, "USA:carol", &[&submit[..], &["--dry-run"]].concat()).await;
    let looked: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, looked["items"].as_array().unwrap().len()), (0, 1), "{said}{notes}");
    assert_eq!((looked["items"][0]["total"].as_f64(), looked["left"].as_array().unwrap().len()), (Some(8.0), 1));
    let (code, _, notes) = run(&stage, "USA:carol", &submit).await;
    assert!(code == 2 && notes.contains("--yes"), "nobody was asked: {notes}");
    assert!(carol.drafts().unwrap().is_empty(), "nothing is kept before it is agreed to");

    // A fault anywhere, and nothing of it is done.
    fs::write(&path, filled.replace("score: 3\n", "score: 3.7\n")).unwrap();
    let (code, _, notes) = run(&stage, "USA:carol", &[&submit[..], &["--yes"]].concat()).await;
    assert!(code == 2 && notes.contains("3.7"), "{notes}");
    for proposal in both {
        assert!(carol.api().reviews(proposal).await.unwrap().is_empty());
    }

    fs::write(&path, &filled).unwrap();
    let (code, said, notes) = run(&stage, "USA:carol", &[&submit[..], &["--yes"]].concat()).await;
    assert_eq!(code, 0, "{said}{notes}");
    let mut in_or_kept = Vec::new();
    for proposal in both {
        let is_in = carol.api().reviews(proposal).await.unwrap().len() == 1;
        in_or_kept.push((is_in, carol.draft(proposal).await.unwrap().is_some()));
    }
    in_or_kept.sort_unstable();
    assert_eq!(in_or_kept, [(false, true), (true, false)], "what is not complete is a draft");

    // A draft that was changed since is not replaced.
    let left = carol.drafts().unwrap()[0];
    carol.save_draft(left, &review(1.0, 1.0)).await.unwrap();
    let (code, _, notes) = run(&stage, "USA:carol", &[&submit[..], &["--yes"]].concat()).await;
    assert!(code == 1 && notes.contains("--replace"), "{notes}");
    assert!(carol.api().reviews(left).await.unwrap().is_empty());
    stage.stop().await;
}
