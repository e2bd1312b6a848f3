//! Each command that `entente todo` prints, run in the state in which it is printed, as its reader would type it.

use crate::harness::{
    process::{ended, entente},
    scratch::scratch,
    stage::{Stage, Step, id, review},
};
use entente::{
    client::labels::LabelChoice,
    domain::{ambient::Clock, decision::Outcome, inbox::ItemKind, member::ConflictGround, policy::PolicyOwner},
};
use jiff::SignedDuration;
use serde_json::Value;
use std::{collections::BTreeSet, path::Path};

/// Runs a command line of a member's in a folder; its exit code and what it said.
async fn typed(stage: &Stage, member: &str, line: &str, folder: &Path) -> (i32, String) {
    let home = stage.home(&id(member)).display().to_string();
    let words: Vec<&str> = line.split(' ').skip(1).collect();
    let mut command = entente(&[&["--home", &*home], &words[..]].concat());
    command.current_dir(folder);
    let output = ended(command).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), said)
}

/// Runs what is printed for a member and returns for which kinds. A command that asks is told yes, as a person would.
async fn printed(stage: &Stage, member: &str) -> Vec<ItemKind> {
    let home = stage.home(&id(member)).display().to_string();
    let listed = ended(entente(&["--json", "--home", &home, "todo"])).await;
    let todo: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let (mut kinds, folder) = (Vec::new(), scratch());
    for item in todo["items"].as_array().unwrap() {
        let line = item["command"].as_str().unwrap();
        let (mut code, mut said) = typed(stage, member, line, folder.path()).await;
        if code == 2 && said.contains("`--yes`") {
            (code, said) = typed(stage, member, &format!("{line} --yes"), folder.path()).await;
        }
        assert_eq!(code, 0, "{member}: {line}: {said}");
        kinds.push(item["kind"].as_str().unwrap().parse().unwrap());
    }
    kinds
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_for_what_waits_before_the_deadline_work_as_they_are_printed() {
    let stage = Stage::open().await;
    let mut seen = BTreeSet::new();
    let mut runs = async |member: &str, kinds: &[ItemKind]| {
        assert_eq!(printed(&stage, member).await, kinds, "{member}");
        seen.extend(kinds.iter().copied());
    };
    let proposal = stage.client("ISR:avi").create_proposal(&stage.joint()).await.unwrap().id;
    runs("USA:bob", &[ItemKind::Invited]).await;
    runs("USA:bob", &[]).await;
    stage.clock.set(stage.deadline - SignedDuration::from_hours(24 * 10));
    runs("ISR:avi", &[ItemKind::DeadlineNear]).await;
    stage.upload_all(proposal).await;
    stage.sign("ISR:avi", proposal).await;
    runs("USA:bob", &[ItemKind::Sign]).await;
    runs("USA:bob", &[]).await;
    let choice = LabelChoice::Put { others: ["KOR".parse().unwrap()].into(), caveats: BTreeSet::new() };
    let avi = stage.client("ISR:avi");
    avi.sign_label(&avi.plan_label(proposal, &choice).await.unwrap()).await.unwrap();
    runs("USA:bob", &[ItemKind::SignLabel]).await;
    runs("USA:bob", &[]).await;
    let dana = stage.client("USA:dana");
    let mut text = dana.call(stage.call).await.unwrap().text.clone();
    text.total_threshold = None;
    dana.amend_call(stage.call, &text, "a reason", Some(1)).await.unwrap();
    runs("ISR:avi", &[ItemKind::Void]).await;
    runs("USA:bob", &[ItemKind::Sign]).await;
    let (drafter, israel) = (stage.client("ISR:drafter"), "ISR".parse::<PolicyOwner>().unwrap());
    let text = drafter.policy(&israel).await.unwrap().text.unwrap();
    drafter.propose_policy(&israel, "ISR", &text, None).await.unwrap();
    runs("ISR:approver", &[ItemKind::ApprovePolicy]).await;
    runs("ISR:approver", &[]).await;
    assert_eq!(seen.len(), 6, "{seen:?}");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_for_what_waits_after_the_deadline_work_as_they_are_printed() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    let mut seen = BTreeSet::new();
    let mut runs = async |member: &str, kinds: &[ItemKind]| {
        assert_eq!(printed(&stage, member).await, kinds, "{member}");
        seen.extend(kinds.iter().copied());
    };
    stage.pass_the_opening();
    runs("USA:dana", &[ItemKind::Declare]).await;
    stage.clear(proposal, &["USA:dana"]).await;
    stage.assign(&[(proposal, "USA:carol"), (proposal, "ISR:maya")], false).await;
    stage.clear(proposal, &["USA:carol"]).await;
    runs("USA:dana", &[ItemKind::PassKeys]).await;
    runs("USA:dana", &[]).await;
    runs("USA:carol", &[ItemKind::Read]).await;
    // Without a draft the next step is the form, and with one it is to hand in.
    runs("USA:carol", &[ItemKind::Review]).await;
    runs("USA:carol", &[ItemKind::Review]).await;
    stage.client("USA:carol").save_draft(proposal, &review(4.0, 4.0)).await.unwrap();
    runs("USA:carol", &[ItemKind::Review]).await;
    runs("USA:carol", &[]).await;
    stage.client("ISR:maya").declare(proposal, Some(ConflictGround::Other)).await.unwrap();

    stage.clear(proposal, &["USA:frank", "ISR:eitan"]).await;
    stage.prepare_panel().await;
    stage.client("USA:frank").sign_decision(proposal, Outcome::Fund).await.unwrap();
    runs("ISR:eitan", &[ItemKind::SignDecision]).await;
    stage.client("ISR:eitan").sign_decision(proposal, Outcome::Fund).await.unwrap();
    for text in ["Funded.", "The contract follows."] {
        stage.client("USA:dana").send_letter(proposal, text).await.unwrap();
    }
    runs("ISR:avi", &[ItemKind::ReadLetter, ItemKind::ReadLetter]).await;
    runs("ISR:avi", &[]).await;
    assert_eq!(seen.len(), 6, "{seen:?}");
    stage.stop().await;
}

/// A renewal that is under way has another next step than one that is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewal_under_way_waits_for_the_welcome() {
    let stage = Stage::open().await;
    let ends = stage.client("ISR:avi").key_expiry().await.unwrap().first();
    stage.clock.set(ends - SignedDuration::from_hours(24 * 20));
    let commands = async || {
        let items = stage.again("ISR:avi").todo().await.unwrap().items.into_iter();
        items.filter(|item| item.item.kind == ItemKind::CardExpiring).map(|item| item.command).collect::<Vec<_>>()
    };
    assert_eq!(commands().await, ["entente member renew"]);
    stage.again("ISR:avi").renew(false, None).await.unwrap();
    assert_eq!(commands().await, ["entente join welcome-ISR-avi.json"]);
    let refused = stage.again("ISR:avi").renew(false, None).await.unwrap_err();
    assert!(refused.help().contains("`entente join welcome-ISR-avi.json`"), "{}", refused.help());
    let folder = scratch();
    let (_, said) = typed(&stage, "ISR:avi", "entente me", folder.path()).await;
    assert!(said.contains("`entente join welcome-ISR-avi.json` takes your registrar's answer"), "{said}");
    assert!(stage.clock.now() < ends);
    stage.stop().await;
}
