//! Many decisions signed from a file, and letters made of a template: one look, one yes, one statement each; done twice nothing more happens,
//! and what was cut off goes on.

use crate::{
    harness::stage::{Stage, Step, review},
    rankings::{judged, ran},
};
use entente::{
    client::letters::LetterTemplate,
    domain::{decision::Outcome, entry::EntryKind, id::ProposalId, member::ConflictGround},
};
use serde_json::Value;
use std::{fs, path::PathBuf};

async fn references(stage: &Stage, proposals: &[ProposalId]) -> Vec<String> {
    let mut found = Vec::new();
    for proposal in proposals {
        found.push(stage.client("USA:dana").api().proposal(*proposal).await.unwrap().reference.to_string());
    }
    found
}

async fn count(stage: &Stage, kind: EntryKind) -> usize {
    stage.log().await.iter().filter(|entry| entry.kind == kind).count()
}

fn file(stage: &Stage, name: &str, content: &str) -> PathBuf {
    stage.file(name, content.as_bytes())
}

#[tokio::test]
async fn lines_of_a_file_are_signed_after_one_look_and_once() {
    let stage = Stage::open().await;
    let proposals = judged(&stage).await;
    let [low, middle, high] = proposals;
    let names = references(&stage, &proposals).await;
    let dana = stage.client("USA:dana");
    let plan = dana.plan_ranking(stage.call).await.unwrap();
    dana.send_ranking(stage.call, &plan).await.unwrap();
    // Eitan has proposed another outcome for the one in the middle, and the same for the best.
    stage.client("ISR:eitan").sign_decision(middle, Outcome::Decline).await.unwrap();
    stage.client("ISR:eitan").sign_decision(high, Outcome::Fund).await.unwrap();
    let csv = format!(
        "proposal,outcome,amount\n{},decline,\n{},fund,100000 USD\n{},fund,250000.50 USD\n",
        names[0], names[1], names[2]
    );
    let csv = file(&stage, "sheet.csv", &csv);
    let line = format!("decision sign {} --from {}", stage.call, csv.display());
    let before = count(&stage, EntryKind::DecisionSigned).await;

    let (code, said, _) = ran(&stage, "USA:frank", &format!("{line} --dry-run")).await;
    assert_eq!(code, 0, "{said}");
    for words in [
        "signing 2 decisions",
        "`fund` for 1, 250000.50 USD",
        "`decline` for 1",
        "1 of them is final then",
        "the proposed decision is `decline`",
        "1 review missing",
        "decision unsign",
    ] {
        assert!(said.contains(words), "`{words}`: {said}");
    }
    let (code, _, refused) = ran(&stage, "USA:frank", &line).await;
    assert!(code == 2 && refused.contains("--yes") && refused.contains("250000.50 USD"), "{refused}");
    assert_eq!(count(&stage, EntryKind::DecisionSigned).await, before, "nothing is signed at a look");

    let (code, said, refused) = ran(&stage, "USA:frank", &format!("{line} --yes")).await;
    assert!(code == 1 && said.contains("2 decisions are signed, 1 of them is final"), "{said}{refused}");
    assert!(refused.contains("1 line is not signed") && refused.contains(&names[1]), "{refused}");
    assert_eq!(count(&stage, EntryKind::DecisionSigned).await, before + 2);
    let decision = |proposal| dana.decision(proposal);
    assert!(decision(high).await.unwrap().unwrap().final_at.is_some());
    assert_eq!(decision(low).await.unwrap().unwrap().outcome, Outcome::Decline);
    assert_eq!(decision(middle).await.unwrap().unwrap().signatures.len(), 1, "what another proposed is left alone");

    // Done again, with the line corrected: what is signed stays signed, and what is left is signed.
    let markdown = format!("# Decline\n- {} last\n- {}\n# Fund\n- {}\n", names[0], names[1], names[2]);
    let markdown = file(&stage, "decisions.md", &markdown);
    let line = format!("decision sign {} --from {} --yes", stage.call, markdown.display());
    let (code, said, refused) = ran(&stage, "USA:frank", &line).await;
    assert!(code == 0 && said.contains("1 decision is signed, 1 of them is final"), "{said}{refused}");
    let (code, said, _) = ran(&stage, "USA:frank", &line).await;
    assert!(code == 0 && said.contains("nothing is to be signed"), "{said}");
    assert_eq!(count(&stage, EntryKind::DecisionSigned).await, before + 3);
    stage.stop().await;
}

#[tokio::test]
async fn reason_for_a_first_decision_is_held_back_before_anybody_agrees() {
    let stage = Stage::open().await;
    let proposals = judged(&stage).await;
    let names = references(&stage, &proposals).await;
    let csv = format!("proposal,outcome,reason\n{},decline,weak consortium\n{},fund,\n", names[0], names[2]);
    let csv = file(&stage, "sheet.csv", &csv);
    let line = format!("decision sign {} --from {}", stage.call, csv.display());
    let (_, said, refused) = ran(&stage, "USA:frank", &format!("{line} --dry-run")).await;
    assert!(said.contains("`fund` for 1") && !said.contains("`decline` for"), "{said}{refused}");
    let (code, said, refused) = ran(&stage, "USA:frank", &format!("{line} --yes")).await;
    assert!(code == 1 && said.contains("1 decision is signed"), "{said}{refused}");
    assert!(refused.contains("supersedes a final one") && !refused.contains("registrar"), "{refused}");

    let line = format!("decision sign {} decline --reason weak --yes", names[0]);
    let (code, _, refused) = ran(&stage, "USA:frank", &line).await;
    assert!(code == 2 && refused.contains("their letter, which is sealed"), "{refused}");
    stage.stop().await;
}

#[tokio::test]
async fn file_with_a_fault_signs_nothing() {
    let stage = Stage::open().await;
    let proposals = judged(&stage).await;
    let names = references(&stage, &proposals).await;
    for (content, fault) in [
        (format!("proposal,outcome\n{},fond\n", names[0]), "line 2: `fond`"),
        (format!("fund:\n- {0}\ndecline:\n- {0}\n", names[0]), "is in two lines"),
        ("fund:\n- BIRD26-48179\n".to_owned(), "BIRD26-48179"),
    ] {
        let written = file(&stage, "faulty.md", &content);
        let line = format!("decision sign {} --from {} --yes", stage.call, written.display());
        let (code, _, refused) = ran(&stage, "USA:frank", &line).await;
        assert!(code != 0 && refused.contains(fault), "{content}: {refused}");
    }
    assert_eq!(count(&stage, EntryKind::DecisionSigned).await, 0);
    stage.stop().await;
}

#[tokio::test]
async fn decider_has_ranking_reviews_and_what_others_signed_by_one_command() {
    let stage = Stage::open().await;
    let proposals = judged(&stage).await;
    let [low, middle, high] = proposals;
    let names = references(&stage, &proposals).await;
    let dana = stage.client("USA:dana");
    let plan = dana.plan_ranking(stage.call).await.unwrap();
    dana.send_ranking(stage.call, &plan).await.unwrap();
    stage.client("ISR:eitan").sign_decision(high, Outcome::Fund).await.unwrap();
    stage.client("USA:frank").declare(middle, Some(ConflictGround::Family)).await.unwrap();
    let folder = stage.plan.dir.join("board");
    let line = format!("--json decision sheet {} --output {}", stage.call, folder.display());
    let (code, said, notes) = ran(&stage, "USA:frank", &line).await;
    assert_eq!(code, 0, "{said}{notes}");
    let shown: Value = serde_json::from_str(&said).unwrap();
    let items = shown["items"].as_array().unwrap();
    let order: Vec<&str> = items.iter().map(|item| item["proposal"].as_str().unwrap()).collect();
    assert_eq!(order, [high, low].map(|id| id.to_string()), "none about what its reader is kept from");
    assert_eq!((&items[0]["signed"]["ISR"], &items[1]["rank"]), (&Value::from("fund"), &Value::from(2)));
    let sheet = fs::read_to_string(folder.join("sheet.csv")).unwrap();
    let rows: Vec<&str> = sheet.lines().collect();
    assert!(rows[0].ends_with("NOTE,ISR,OUTCOME,AMOUNT,REASON"), "{sheet}");
    assert!(rows[1].starts_with(&format!("1,{},Lodestone,10.00,", names[2])), "{sheet}");
    let reviews = fs::read_to_string(folder.join(format!("{}.md", names[2]))).unwrap();
    assert!(reviews.contains("USA:carol") && reviews.contains("Sound."), "{reviews}");
    assert!(!folder.join(format!("{}.md", names[1])).exists());
    let about = stage.client("USA:frank").sent_ranking(stage.call).await.unwrap().about;
    assert_eq!(about[&high].unopened_reviews, 0, "they were opened");
    let (code, _, refused) = ran(&stage, "USA:frank", &line).await;
    assert!(code == 2 && refused.contains("exists already"), "{refused}");
    stage.stop().await;
}

const TEMPLATE: &str = "=== fund ===\nTo {organisations}: {title} ({reference}) is funded, {total} points.\n\n\
                        === decline ===\n{title} ({reference}) is not funded.\n\n{comments}\n";

/// Decided: the best one is funded, the others are declined. What Carol said stands in her reviews.
async fn decided(stage: &Stage) -> [ProposalId; 3] {
    let proposals = judged(stage).await;
    for (proposal, outcome) in proposals.into_iter().zip([Outcome::Decline, Outcome::Decline, Outcome::Fund]) {
        for member in ["USA:frank", "ISR:eitan"] {
            stage.client(member).sign_decision(proposal, outcome).await.unwrap();
        }
    }
    proposals
}

#[tokio::test]
async fn each_final_decision_gets_one_letter_of_its_own_section() {
    let stage = Stage::open().await;
    let proposals = decided(&stage).await;
    let [_, middle, high] = proposals;
    let names = references(&stage, &proposals).await;
    let template = file(&stage, "letters.txt", TEMPLATE);
    let line = format!("letter send {} --template {}", stage.call, template.display());
    let folder = stage.plan.dir.join("look");
    let look = format!("{line} --dry-run --output {}", folder.display());
    let (code, said, notes) = ran(&stage, "USA:dana", &look).await;
    assert!(code == 0 && said.contains("sending 3 letters"), "{said}{notes}");
    let letter = fs::read_to_string(folder.join(format!("{}-fund.txt", names[2]))).unwrap();
    assert!(letter.contains(&format!("Lodestone ({}) is funded, 10.00 points.", names[2])), "{letter}");
    let (code, said, _) = ran(&stage, "USA:dana", &format!("{line} --dry-run")).await;
    assert!(code == 0 && said.contains(&format!("Lodestone ({}) is not funded.", names[0])), "{said}");
    let (code, _, refused) = ran(&stage, "USA:dana", &line).await;
    assert!(code == 2 && refused.contains("--yes"), "{refused}");
    assert_eq!(count(&stage, EntryKind::LetterSent).await, 0);

    // One was sent by hand before: it gets no second one.
    stage.client("ISR:noa").send_letter(middle, "You will hear more.").await.unwrap();
    let (code, said, refused) = ran(&stage, "USA:dana", &format!("{line} --yes")).await;
    assert!(code == 0 && said.contains("2 letters are sent"), "{said}{refused}");
    let (code, said, _) = ran(&stage, "USA:dana", &format!("{line} --yes")).await;
    assert!(code == 0 && said.contains("no letter is to be sent"), "{said}");
    assert_eq!(count(&stage, EntryKind::LetterSent).await, 3);
    let bob = stage.client("USA:bob");
    let sent = bob.api().letters(high).await.unwrap().remove(0).id;
    assert!(bob.read_letter(high, sent).await.unwrap().text.contains("is funded"));

    let (code, said, _) = ran(&stage, "USA:dana", &format!("--json letter list --call {}", stage.call)).await;
    let listed: Value = serde_json::from_str(&said).unwrap();
    let fetched = |proposal: ProposalId| {
        let items = listed["items"].as_array().unwrap().iter();
        let found = items.filter(|item| item["proposal"] == proposal.to_string().as_str());
        found.map(|item| item["fetched_by"].as_object().unwrap().keys().cloned().collect()).collect::<Vec<Vec<_>>>()
    };
    assert_eq!((code, fetched(high), fetched(middle)), (0, vec![vec!["USA:bob".to_owned()]], vec![Vec::new()]));

    // Taken back, the decision is without a letter again.
    stage.client("USA:dana").api().withdraw_letter(high, sent).await.unwrap();
    let (code, said, _) = ran(&stage, "USA:dana", &format!("{line} --yes")).await;
    assert!(code == 0 && said.contains("1 letter is sent"), "{said}");
    stage.stop().await;
}

#[tokio::test]
async fn template_that_contradicts_or_is_not_understood_sends_nothing() {
    let stage = Stage::open().await;
    let [low, ..] = decided(&stage).await;
    for (content, fault) in [
        ("=== fund ===\nDear {titel},\n", "line 2, column 6: `{titel}` is not a field"),
        ("Dear {title},\n", "line 1: no section begins above"),
        ("=== decline ===\n{score.style}\n", "line 2, column 1"),
    ] {
        let template = file(&stage, "faulty.txt", content);
        let line = format!("letter send {} --template {} --yes", stage.call, template.display());
        let (code, _, refused) = ran(&stage, "USA:dana", &line).await;
        assert!(code == 2 && refused.contains(fault), "{content}: {refused}");
    }
    let folder = stage.plan.dir.join("crossed");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("decline.txt"), "=== fund ===\nYou are funded.\n").unwrap();
    let line = format!("letter send {} --template {} --yes", stage.call, folder.display());
    let (code, _, refused) = ran(&stage, "USA:dana", &line).await;
    assert!(code == 2 && refused.contains("this is not the section `decline`"), "{refused}");
    // As a plain letter a template is no letter.
    let template = file(&stage, "letters.txt", TEMPLATE);
    let line = format!("letter send {low} --file {} --yes", template.display());
    let (code, _, refused) = ran(&stage, "USA:dana", &line).await;
    assert!(code == 2 && refused.contains("is a template"), "{refused}");
    assert_eq!(count(&stage, EntryKind::LetterSent).await, 0);

    // Without a section for what was decided those get none, and the others theirs.
    let template = file(&stage, "half.txt", "=== fund ===\nYou are funded.\n");
    let line = format!("letter send {} --template {} --yes", stage.call, template.display());
    let (code, said, refused) = ran(&stage, "USA:dana", &line).await;
    assert!(code == 1 && said.contains("1 letter is sent") && refused.contains("2 letters are not sent"), "{refused}");
    stage.stop().await;
}

#[tokio::test]
async fn letter_is_not_sent_about_another_decision_than_was_looked_at() {
    let stage = Stage::open().await;
    let [low, ..] = decided(&stage).await;
    let dana = stage.client("USA:dana");
    let criteria = dana.call(stage.call).await.unwrap().rules.criteria.clone();
    let template = LetterTemplate::of_file("=== fund ===\nYes.\n=== decline ===\nNo.\n", &criteria).unwrap();
    let batch = dana.plan_letters(stage.call, &template, &entente::client::titles::Titles::default()).await.unwrap();
    assert_eq!(batch.letters.len(), 3);
    for member in ["USA:frank", "ISR:eitan"] {
        stage.client(member).supersede_decision(low, Outcome::Fund, "money became free").await.unwrap();
    }
    let came = dana.send_letters(&batch).await.unwrap();
    assert_eq!((came.sent.len(), came.failed.len()), (2, 1));
    assert!(came.failed[0].1.to_string().contains("another one than at the look"), "{:?}", came.failed);
    let batch = dana.plan_letters(stage.call, &template, &entente::client::titles::Titles::default()).await.unwrap();
    assert_eq!(batch.letters.iter().map(|letter| letter.outcome).collect::<Vec<_>>(), [Outcome::Fund]);
    assert_eq!(*batch.letters[0].text, "Yes.\n");
    stage.stop().await;
}

#[tokio::test]
async fn comments_are_those_of_reviews_that_count_and_name_nobody() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let said = |text: &str| {
        let mut body = review(4.0, 4.0);
        body.comments = [("impact".parse().unwrap(), text.to_owned())].into();
        body
    };
    stage.client("USA:carol").submit_review(proposal, &said("Two markets.")).await.unwrap();
    stage.client("ISR:maya").submit_review(proposal, &said("Nothing new.")).await.unwrap();
    stage.prepare_panel().await;
    for member in ["USA:frank", "ISR:eitan"] {
        stage.client(member).sign_decision(proposal, Outcome::Decline).await.unwrap();
    }
    stage.client("ISR:maya").declare(proposal, Some(ConflictGround::Financial)).await.unwrap();
    let dana = stage.again("USA:dana");
    let criteria = dana.call(stage.call).await.unwrap().rules.criteria.clone();
    let template = LetterTemplate::of_file("=== decline ===\n{scores}\n\n{comments}\n", &criteria).unwrap();
    let batch = dana.plan_letters(stage.call, &template, &entente::client::titles::Titles::default()).await.unwrap();
    let text = &*batch.letters[0].text;
    assert_eq!(text, "Excellence: 4.00 of 5.00\nImpact: 4.00 of 5.00\n\nImpact\n\nTwo markets.\n");
    stage.stop().await;
}
