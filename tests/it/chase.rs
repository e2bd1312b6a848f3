//! The officer's way through the panel: a suggestion that changes nothing, a file that is merged, and who the call waits for.

use crate::{
    harness::{
        stage::{Stage, Step, id, review, run},
        world::Store,
    },
    rankings::judged,
};
use entente::{
    client::{chase::BlockKind, suggest::SuggestionRules},
    domain::{ambient::Clock, member::ConflictGround},
    wire::{
        proposal::Proposal,
        review::{Assignment, DeclineAssignment},
    },
};
use jiff::SignedDuration;
use serde_json::Value;
use std::{collections::BTreeMap, fs};

/// Two proposals, opened; Dana has declared on both.
async fn opened() -> (Stage, Vec<Proposal>) {
    let stage = Stage::open().await;
    for _ in 0..2 {
        let proposal = stage.submitted().await;
        stage.clear(proposal, &["USA:dana"]).await;
    }
    stage.pass_the_opening();
    let mut rows = stage.client("USA:dana").api().all_proposals(Some(stage.call)).await.unwrap();
    rows.sort_by_key(|row| row.reference.to_string());
    (stage, rows)
}

fn rules(each: u32) -> SuggestionRules {
    SuggestionRules { each, most: None, topics: BTreeMap::new() }
}

#[tokio::test]
async fn suggestion_keeps_to_what_assigning_would_refuse_and_is_loaded_as_it_is() {
    let (stage, rows) = opened().await;
    let call = stage.call.to_string();
    // Israel shows it to assigned reviewers alone.
    stage.assign(&[(rows[0].id, "ISR:maya")], false).await;
    stage.client("ISR:maya").declare(rows[0].id, Some(ConflictGround::Family)).await.unwrap();
    stage.client("USA:dana").api().unassign(rows[0].id, &id("ISR:maya")).await.unwrap();
    let file = stage.plan.dir.join("assignments.csv").display().to_string();
    let (code, said, notes) = run(&stage, "USA:dana", &["assignment", "suggest", &call, "--out", &file]).await;
    assert_eq!(code, 0, "{notes}");
    assert!(said.contains("declared a conflict") && said.contains("ISR funds"), "{said}");
    let dana = stage.client("USA:dana");
    for row in &rows {
        assert!(dana.api().assignments(row.id).await.unwrap().is_empty(), "nothing was assigned");
    }
    let (code, _, said) = run(&stage, "USA:dana", &["assignment", "suggest", &call, "--out", &file]).await;
    assert!(code == 1 && said.contains("cannot write"), "a file that is there is kept: {said}");
    let (code, said, notes) = run(&stage, "USA:dana", &["--json", "assignment", "load", &call, &file, "--yes"]).await;
    assert_eq!(code, 0, "{notes}");
    let answer: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((answer["accepted"].as_u64(), answer["skipped"].as_array().unwrap().len()), (Some(4), 0), "{said}");
    for row in &rows {
        let assigned = dana.api().assignments(row.id).await.unwrap();
        let mut nations: Vec<&str> = assigned.iter().map(|line| line.reviewer.partner().as_str()).collect();
        nations.sort_unstable();
        assert_eq!(nations, ["ISR", "USA"]);
        assert!(row.id != rows[0].id || assigned.iter().all(|line| line.reviewer != id("ISR:maya")));
    }
    // What is there is enough: nothing more is suggested.
    let again = dana.suggest_assignments(stage.call, &rules(2)).await.unwrap();
    assert!(again.panels.iter().all(|panel| panel.chosen.is_empty() && panel.unmet.is_empty()), "{again:?}");
    stage.refuses("denied", stage.client("USA:carol").suggest_assignments(stage.call, &rules(2))).await;
    stage.stop().await;
}

#[tokio::test]
async fn load_skips_what_is_there_and_does_all_of_the_rest_or_nothing() {
    let (stage, rows) = opened().await;
    let (call, dana) = (stage.call.to_string(), stage.client("USA:dana"));
    stage.assign(&[(rows[0].id, "USA:carol")], false).await;
    let text = |reviewer: &str| {
        format!(
            "proposal,reviewer\n{},USA:carol\n\n{},{reviewer}\n{},ISR:maya\n",
            rows[0].reference, rows[1].reference, rows[1].reference
        )
    };
    let file = stage.file("assignments.csv", text("USA:walt").as_bytes());
    let path = file.display().to_string();
    let words = ["assignment", "load", &call, &path];
    for more in [&["--dry-run"][..], &[]] {
        let (code, said, notes) = run(&stage, "USA:dana", &[&words[..], more].concat()).await;
        assert!(code == 3 && said.contains("there already") && notes.contains("line 4: "), "{said}{notes}");
        assert!(notes.contains("1 of 3 lines cannot be done"), "{notes}");
        assert!(dana.api().assignments(rows[1].id).await.unwrap().is_empty(), "nothing was done");
    }
    fs::write(&file, text("USA:carol")).unwrap();
    let (code, _, notes) = run(&stage, "USA:dana", &[&words[..], &["--dry-run"]].concat()).await;
    assert!(code == 0 && notes.contains("2 assignments can be made; 1 line is there already"), "{notes}");
    let (code, said, notes) = run(&stage, "USA:dana", &words).await;
    assert!(code == 2 && notes.contains("making 2 assignments to 1 proposal"), "{said}{notes}");
    assert!(notes.contains("ISR:maya 1, USA:carol 1") && notes.contains("there is no terminal"), "{notes}");
    let (code, said, notes) = run(&stage, "USA:dana", &[&words[..], &["--yes"]].concat()).await;
    assert!(
        code == 0 && notes.contains("2 assignments were made; 1 line is there already and skipped"),
        "{said}{notes}"
    );
    let (code, said, notes) = run(&stage, "USA:dana", &words).await;
    assert!(code == 0 && notes.contains("0 assignments were made; 3 lines are there already"), "{said}{notes}");
    fs::write(&file, format!("{0}{1},ISR:maya\n", text("USA:carol"), rows[1].reference)).unwrap();
    let (code, _, notes) = run(&stage, "USA:dana", &words).await;
    assert!(code == 2 && notes.contains("line 6 assigns what line 5 does"), "{notes}");
    stage.stop().await;
}

#[tokio::test]
async fn chase_says_on_whom_each_proposal_waits_until_it_is_decided() {
    let (stage, proposal) = Stage::at(Step::AwaitingKeys).await;
    let (call, dana) = (stage.call.to_string(), stage.client("USA:dana"));
    let blocks = async || {
        let chase = dana.chase(stage.call).await.unwrap();
        let blocks = chase.proposals.iter().flat_map(|proposal| &proposal.blocks);
        blocks.map(|block| (block.what, block.by.iter().cloned().collect::<Vec<_>>().join(" "))).collect::<Vec<_>>()
    };
    assert_eq!(blocks().await, [(BlockKind::Key, "ISR:maya USA:carol".to_owned())]);
    stage.prepare_panel().await;
    assert_eq!(blocks().await, [(BlockKind::Review, "ISR:maya USA:carol".to_owned())]);
    stage.client("USA:carol").submit_review(proposal, &review(4.0, 4.0)).await.unwrap();
    let due = dana.call(stage.call).await.unwrap().call.reviews_due_at.0;
    stage.clock.set(due + SignedDuration::from_secs(1));
    assert_eq!(blocks().await, [(BlockKind::ReviewLate, "ISR:maya".to_owned())]);
    let (code, said, notes) = run(&stage, "USA:dana", &["call", "chase", &call]).await;
    assert!(code == 0 && said.contains("LATE with the review") && said.contains("ISR:maya"), "{said}{notes}");
    assert!(notes.contains("entente call extend") && notes.contains("--reviews"), "{notes}");
    let (code, said, _) = run(&stage, "USA:dana", &["call", "progress", &call]).await;
    assert!(code == 0 && said.contains("reviews in") && said.contains("1 of 2") && said.contains('#'), "{said}");

    stage.client("ISR:maya").api().decline_assignment(proposal, &DeclineAssignment { reason: None }).await.unwrap();
    assert_eq!(
        blocks().await,
        [(BlockKind::Replace, "ISR:maya".to_owned()), (BlockKind::DeciderDeclares, "ISR USA".to_owned())]
    );
    let chase = dana.chase(stage.call).await.unwrap();
    let tallies: BTreeMap<String, _> =
        chase.reviewers.iter().map(|of| (of.reviewer.to_string(), (of.assigned, of.handed_in, of.declined))).collect();
    assert_eq!((tallies["ISR:maya"], tallies["USA:carol"], tallies["ISR:yael"]), ((0, 0, 1), (1, 1, 0), (0, 0, 0)));

    // Others see no panel: not who judges, nor how far they are.
    for member in ["USA:carol", "ISR:avi", "USA:frank"] {
        stage.refuses("denied", stage.client(member).api().panel(stage.call, false)).await;
    }
    stage.refuses("not-found", stage.client("KOR:minjun").api().panel(stage.call, true)).await;
    assert!(stage.clock.now() > due);
    stage.stop().await;
}

#[tokio::test]
async fn officer_in_conflict_has_no_line_of_it() {
    let (stage, rows) = opened().await;
    stage.client("ISR:noa").declare(rows[0].id, Some(ConflictGround::Other)).await.unwrap();
    let lines = stage.client("ISR:noa").api().panel(stage.call, true).await.unwrap();
    let shown: Vec<_> = lines.iter().map(|line| line.proposal).collect();
    assert_eq!(shown, [rows[1].id]);
    // Who has not declared assigns nobody, and is told so of each.
    let refusals: Vec<_> = lines[0].candidates.iter().filter_map(|candidate| candidate.refusal.as_ref()).collect();
    assert!(!refusals.is_empty() && refusals.iter().all(|refusal| refusal.problem == "not-declared"), "{refusals:?}");
    stage.stop().await;
}

#[tokio::test]
async fn both_lists_of_assignments_say_when_a_review_was_handed_in() {
    for store in [Store::Sqlite, Store::Postgres] {
        let Some(stage) = Stage::open_on(store).await else { continue };
        let [proposal, ..] = judged(&stage).await;
        let handed_in = stage.clock.now();
        let (dana, maya) = (stage.client("USA:dana"), stage.client("ISR:maya"));
        let lists = async || {
            let panel = dana.api().panel(stage.call, false).await.unwrap();
            let panel = panel.into_iter().find(|line| line.proposal == proposal).unwrap().assignments;
            let said = |lines: Vec<Assignment>| -> Vec<_> {
                lines.into_iter().map(|line| (line.reviewer.to_string(), line.handed_in_at.map(|at| at.0))).collect()
            };
            let lists = [said(dana.api().assignments(proposal).await.unwrap()), said(panel)];
            assert_eq!(lists[0], lists[1]);
            lists.into_iter().next().unwrap()
        };
        let carol = ("USA:carol".to_owned(), Some(handed_in));
        assert_eq!(lists().await, [("ISR:maya".to_owned(), None), carol.clone()]);
        stage.clock.set(handed_in + SignedDuration::from_hours(1));
        maya.submit_review(proposal, &review(4.0, 4.0)).await.unwrap();
        let maya_too = ("ISR:maya".to_owned(), Some(handed_in + SignedDuration::from_hours(1)));
        assert_eq!(lists().await, [maya_too, carol]);
        // A reviewer is shown their own line alone.
        let own = maya.api().assignments(proposal).await.unwrap();
        assert_eq!(own.iter().map(|line| line.reviewer.to_string()).collect::<Vec<_>>(), ["ISR:maya"]);
        stage.stop().await;
    }
}
