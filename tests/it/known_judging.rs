//! What an officer opened once of the judging of a call is known on their machine, sealed, until something changes; and nothing is sent by
//! it alone.

use crate::{
    harness::{
        census::files,
        stage::{Stage, id, review},
        world::Store,
    },
    rankings::judged,
};
use entente::{
    client::{letters::LetterTemplate, ranking::Ranking, titles::Titles, verified::VersionChoice},
    domain::{decision::Outcome, entry::EntryKind, id::ProposalId, member::ConflictGround, set_aside::SetAside},
    storage::args,
};
use std::{collections::BTreeSet, fs};

/// The ranking, and how many reviews were fetched for it.
async fn ranked(stage: &Stage) -> (Ranking, usize) {
    let fetched = async || stage.log().await.iter().filter(|entry| entry.kind == EntryKind::ReviewFetched).count();
    let before = fetched().await;
    // A command of its own each time.
    let ranking = stage.again("USA:dana").ranking(stage.call).await.unwrap();
    assert!(ranking.closed.is_empty() && ranking.invalid.is_empty(), "{ranking:?}");
    (ranking, fetched().await - before)
}

async fn execute(stage: &Stage, sql: &'static str) {
    let mut tx = stage.server.exchange.db.write().await.unwrap();
    assert!(tx.execute(sql, args![]).await.unwrap() > 0);
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn ranking_opens_again_what_changed_alone_and_keeps_nothing_in_clear() {
    let stage = Stage::open().await;
    let [low, middle, high] = judged(&stage).await;
    let line = |ranking: &Ranking, proposal: ProposalId| {
        ranking.lines.iter().find(|line| line.proposal == proposal).unwrap().clone()
    };
    let (first, opened) = ranked(&stage).await;
    assert_eq!(opened, 3);
    let (again, opened) = ranked(&stage).await;
    assert_eq!((opened, &again.lines), (0, &first.lines));
    assert_eq!(
        (&again.counted, &again.comments, &again.references),
        (&first.counted, &first.comments, &first.references)
    );

    let mut said = review(5.0, 5.0);
    said.comments = [("impact".parse().unwrap(), "zqOchre lantern".to_owned())].into();
    stage.client("ISR:maya").submit_review(low, &said).await.unwrap();
    stage.prepare_panel().await;
    let (changed, opened) = ranked(&stage).await;
    assert_eq!((opened, line(&changed, low).reviews), (2, 2), "both of one proposal");
    let (again, opened) = ranked(&stage).await;
    assert_eq!((opened, &again.comments), (0, &changed.comments));
    let leaks = files(&stage.home(&id("USA:dana"))).into_iter();
    let leaks = leaks.filter(|path| memchr::memmem::find(&fs::read(path).unwrap(), b"zqOchre").is_some());
    assert_eq!(leaks.count(), 0, "it is sealed");

    // A conflict, a reopening and a role count at once.
    stage.client("USA:carol").declare(high, Some(ConflictGround::Financial)).await.unwrap();
    let (ranking, _) = ranked(&stage).await;
    assert_eq!(line(&ranking, high).set_aside, [(id("USA:carol"), SetAside::Conflict)].into());
    let reviews = stage.client("USA:dana").api().reviews(middle).await.unwrap();
    stage.client("USA:dana").api().reopen_review(reviews[0].id, "another version").await.unwrap();
    for _ in 0..2 {
        let (ranking, _) = ranked(&stage).await;
        assert!(line(&ranking, middle).reopened.contains_key(&id("USA:carol")), "{ranking:?}");
    }
    stage.client("USA:dana").grant_roles(stage.call, &id("ISR:maya"), &BTreeSet::new()).await.unwrap();
    let (ranking, _) = ranked(&stage).await;
    assert_eq!(line(&ranking, low).set_aside, [(id("ISR:maya"), SetAside::Role)].into());

    // With the officer's own conflict it goes from her machine.
    let kept = stage.home(&id("USA:dana")).join("judging/default.json");
    assert!(fs::read_to_string(&kept).unwrap().contains(&low.to_string()));
    stage.client("USA:dana").declare(low, Some(ConflictGround::Family)).await.unwrap();
    assert!(!fs::read_to_string(&kept).unwrap_or_default().contains(&low.to_string()));
    // Who is no officer keeps nothing.
    stage.client("USA:frank").ranking(stage.call).await.unwrap();
    assert!(!stage.home(&id("USA:frank")).join("judging/default.json").exists());
    stage.stop().await;
}

#[tokio::test]
async fn letters_are_looked_at_by_what_is_known_and_sent_by_what_is_verified() {
    let stage = Stage::open().await;
    let proposals = judged(&stage).await;
    for proposal in proposals {
        for member in ["USA:frank", "ISR:eitan"] {
            stage.client(member).sign_decision(proposal, Outcome::Decline).await.unwrap();
        }
    }
    let criteria = stage.client("USA:dana").call(stage.call).await.unwrap().rules.criteria.clone();
    let template = LetterTemplate::of_file("=== decline ===\n{organisations}: {total} points.\n", &criteria).unwrap();
    let titles = Titles::default();
    let plan = async || stage.again("USA:dana").plan_letters(stage.call, &template, &titles).await.unwrap();
    let first = plan().await;
    assert_eq!((first.letters.len(), first.held.len()), (3, 0));
    // A letter that was sent is known of at once, and so is a decision that is another one.
    stage.client("ISR:noa").send_letter(proposals[0], "You will hear more.").await.unwrap();
    for member in ["USA:frank", "ISR:eitan"] {
        let decider = stage.client(member);
        decider.supersede_decision(proposals[1], Outcome::Reserve, "money became free").await.unwrap();
    }
    let second = plan().await;
    assert_eq!((second.letters.len(), second.sent_before.len(), second.held.len()), (1, 1, 1), "{second:?}");

    execute(&stage, "UPDATE decision_signatures SET jws = 'x'").await;
    let third = plan().await;
    assert_eq!(third.letters.len(), 1, "it was verified before, and its look is as it was");
    assert_eq!(*third.letters[0].text, *second.letters[0].text);
    let came = stage.client("USA:dana").send_letters(&third).await.unwrap();
    assert_eq!((came.sent.len(), came.failed.len()), (0, 1), "{came:?}");
    stage.stop().await;
}

#[tokio::test]
async fn mark_of_a_proposal_changes_with_what_is_done_about_its_judging_and_with_nothing_else() {
    for store in [Store::Sqlite, Store::Postgres] {
        let Some(stage) = Stage::open_on(store).await else { continue };
        let (proposal, other) = (stage.submitted().await, stage.submitted().await);
        stage.pass_the_opening();
        let marks = async || stage.client("USA:dana").judging_marks(stage.call).await.unwrap();
        let mut before = marks().await;
        let mut changes = async |what: &str, is_change: bool| {
            let now = marks().await;
            assert_eq!(now[&proposal] != before[&proposal], is_change, "{what}, {store:?}");
            assert_eq!(now[&other], before[&other], "{what}, {store:?}: another proposal");
            before = now;
        };
        stage.clear(proposal, &["USA:dana", "USA:frank", "ISR:eitan"]).await;
        changes("an officer declares", true).await;
        stage.assign(&[(proposal, "USA:carol")], false).await;
        changes("a reviewer is assigned", true).await;
        stage.clear(proposal, &["USA:carol"]).await;
        changes("she declares", true).await;
        stage.client("USA:dana").prepare_proposal(proposal).await.unwrap();
        changes("keys are passed on", false).await;
        stage.client("USA:carol").read_summary(proposal, VersionChoice::Standing).await.unwrap();
        changes("she reads", false).await;
        stage.client("USA:carol").submit_review(proposal, &review(4.0, 4.0)).await.unwrap();
        changes("she reviews", true).await;
        stage.client("USA:dana").ranking(stage.call).await.unwrap();
        changes("it is ranked", false).await;
        for member in ["USA:frank", "ISR:eitan"] {
            stage.client(member).sign_decision(proposal, Outcome::Fund).await.unwrap();
            changes("a funder signs", true).await;
        }
        stage.client("USA:dana").send_letter(proposal, "Yes.").await.unwrap();
        changes("a letter is sent", true).await;
        stage.stop().await;
    }
}
