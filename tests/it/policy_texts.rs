//! A policy officer's way to the next version: the text in force in a file, changed, looked at, proposed, and read by the second officer.

use crate::harness::stage::{Stage, run};
use serde_json::Value;
use std::fs;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn next_version_begins_from_the_text_in_force_and_its_difference_is_seen_before_it_is_proposed_and_approved() {
    let stage = Stage::open().await;
    let israel = "ISR".parse().unwrap();
    let file = stage.plan.dir.join("ISR.cedar");
    let path = file.display().to_string();
    let begin = ["policy", "propose", "--from-in-force", &path];
    let (code, _, said) = run(&stage, "ISR:drafter", &begin).await;
    assert!(code == 0 && said.contains("this is version 1 of ISR"), "{said}");
    let in_force = stage.client("ISR:drafter").policy(&israel).await.unwrap().text.unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), in_force);
    let (code, _, said) = run(&stage, "ISR:drafter", &begin).await;
    assert!(code != 0 && said.contains("cannot write"), "what was edited is not written over: {said}");

    let reason = "@reason(\"the party members of all owners see and read the proposal\")";
    let other = "@reason(\"its parties have the proposal\")";
    assert!(in_force.contains(reason));
    fs::write(&file, in_force.replacen(reason, other, 1)).unwrap();
    let has_both = |said: &str| said.contains(&format!("- {reason}")) && said.contains(&format!("+ {other}"));
    let (code, shown, said) = run(&stage, "ISR:drafter", &["policy", "propose", &path, "--dry-run"]).await;
    assert!(code == 0 && has_both(&said) && said.contains("nothing was done"), "{shown}{said}");
    let (_, shown, _) = run(&stage, "ISR:drafter", &["policy", "diff", "ISR", "--file", &path]).await;
    assert!(has_both(&shown), "{shown}");
    let versions = async || stage.client("ISR:drafter").api().policy_versions(&israel).await.unwrap().len();
    assert_eq!(versions().await, 1);
    let (code, _, said) = run(&stage, "ISR:drafter", &["policy", "propose", &path]).await;
    assert!(code == 0 && has_both(&said), "{said}");
    assert_eq!(versions().await, 2);

    // The second officer sees what it changes, and the rules in plain words.
    for words in [&["policy", "diff", "ISR", "2"][..], &["policy", "diff", "ISR", "1", "2"]] {
        let (code, shown, said) = run(&stage, "ISR:approver", words).await;
        assert!(code == 0 && has_both(&shown), "{words:?}: {shown}{said}");
        assert!(
            shown.contains("- version 1 of ISR (in_force)") && shown.contains("+ version 2 of ISR (proposed)"),
            "{shown}"
        );
    }
    let (_, shown, _) = run(&stage, "ISR:approver", &["policy", "show", "ISR", "--version", "2"]).await;
    let table = shown.split("Text").next().unwrap();
    assert!(table.contains("its parties have the proposal") && table.contains("permits View Read"), "{shown}");
    let (_, shown, _) = run(&stage, "ISR:approver", &["--json", "policy", "show", "ISR", "--version", "2"]).await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["rules"][0]["words"], "its parties have the proposal");
    let (_, shown, _) = run(&stage, "ISR:approver", &["policy", "diff", "ISR", "1", "1"]).await;
    assert!(shown.contains("are the same text"), "{shown}");
    let (code, _, said) = run(&stage, "ISR:approver", &["policy", "diff", "ISR"]).await;
    assert!(code == 2 && said.contains("not clear which two texts"), "{said}");

    // A version that waits is for the nation's own officers alone.
    let (code, _, said) = run(&stage, "USA:dana", &["policy", "diff", "ISR", "2"]).await;
    assert_eq!(code, 3, "{said}");
    stage.stop().await;
}
