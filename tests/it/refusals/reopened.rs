//! A reopened review counts for nothing and is shown as reopened, until its reviewer hands in another revision or an officer takes the
//! reopening back.

use crate::harness::{
    exchange::fresh_key,
    stage::{Stage, id, review},
    world::Store,
};
use entente::{
    client::api::Paging,
    domain::{
        ambient::Clock,
        decision::Outcome,
        entry::EntryKind,
        id::{MemberId, ProposalId, ReviewId},
        member::ConflictGround,
        reopening::Reopening,
        review::Points,
        set_aside::SetAside,
    },
};
use reqwest::Method;
use serde_json::json;
use std::collections::BTreeMap;

/// Reviews of 5 and 5 by Carol, of 1 and 1 by Maya, which officers can open; Carol's.
async fn reviewed(stage: &Stage) -> (ProposalId, ReviewId) {
    let proposal = stage.under_review().await;
    let carol = stage.client("USA:carol").submit_review(proposal, &review(5.0, 5.0)).await.unwrap().id;
    stage.client("ISR:maya").submit_review(proposal, &review(1.0, 1.0)).await.unwrap();
    stage.prepare_panel().await;
    (proposal, carol)
}

/// What an officer counts under the call: assignments, reviews and reopened ones.
async fn counted(stage: &Stage) -> (u32, u32, u32) {
    let progress = stage.client("USA:dana").api().call_progress(stage.call).await.unwrap();
    (progress.assignments, progress.reviews, progress.reopened)
}

/// Which assigned reviewers are shown as reopened, and as not in.
async fn assigned_and_reopened(stage: &Stage, proposal: ProposalId) -> BTreeMap<MemberId, Reopening> {
    let lines = stage.client("USA:dana").api().assignments(proposal).await.unwrap();
    let reopened = lines.into_iter().filter_map(|line| {
        let at = line.reopened_at?.0;
        assert!(!line.has_reviewed && line.set_aside.is_none(), "{line:?}");
        Some((line.reviewer, Reopening { at, by: line.reopened_by }))
    });
    reopened.collect()
}

async fn reopening_is_taken_back(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let (proposal, review) = reviewed(&stage).await;
    let (dana, noa, carol) = (stage.client("USA:dana"), stage.client("ISR:noa"), stage.client("USA:carol"));
    let before = dana.ranking(stage.call).await.unwrap().lines;
    assert_eq!((before[0].reviews, before[0].total), (2, Some(Points::from_hundredths(600).into())));

    noa.api().reopen_review(review, "the impact is to be explained").await.unwrap();
    let reopening = Reopening { at: stage.clock.now(), by: Some(id("ISR:noa")) };
    let lines = dana.ranking(stage.call).await.unwrap().lines;
    assert_eq!((lines[0].reviews, lines[0].total), (1, Some(Points::from_hundredths(200).into())));
    assert_eq!(lines[0].reopened, [(id("USA:carol"), reopening.clone())].into(), "it does not vanish without a word");
    assert_eq!((&lines[0].missing, lines[0].set_aside.len()), (&[id("USA:carol")].into(), 0), "she owes another");
    assert_eq!(counted(&stage).await, (2, 1, 1));
    assert_eq!(assigned_and_reopened(&stage, proposal).await, [(id("USA:carol"), reopening)].into());
    let mine = carol.api().proposal(proposal).await.unwrap().mine;
    assert_eq!((mine.has_reviewed, mine.reopened_by), (false, Some(id("ISR:noa"))), "and she is told");
    let opened = dana.open_reviews(proposal).await.unwrap();
    assert_eq!((opened.reviews.len(), opened.reopened.len()), (1, 1));

    // An officer of another nation, whom nobody has to ask.
    dana.api().reinstate_review(review, "she is on leave").await.unwrap();
    assert_eq!(dana.ranking(stage.call).await.unwrap().lines, before);
    assert_eq!(counted(&stage).await, (2, 2, 0));
    assert!(assigned_and_reopened(&stage, proposal).await.is_empty());
    stage.refuses("already-reviewed", carol.submit_review(proposal, &self::review(4.0, 4.0))).await;
    // Her key to the others' reviews went with the reopening, and comes from an officer as at the first time.
    stage.prepare_panel().await;
    assert_eq!(carol.open_reviews(proposal).await.unwrap().reviews.len(), 2);

    let kinds = [EntryKind::ReviewReopened, EntryKind::ReviewReinstated];
    for officer in [dana, noa] {
        let told = officer.api().entries(&kinds, &Paging::default()).await.unwrap().items;
        assert_eq!(told.iter().map(|entry| entry.kind).collect::<Vec<_>>(), kinds);
        assert!(told[1].payload.contains("she is on leave"), "{}", told[1].payload);
    }
    let party = stage.client("ISR:avi").api();
    assert!(party.entries(&kinds, &Paging::default()).await.unwrap().items.is_empty());
    // It can be reopened again, and then is.
    noa.api().reopen_review(review, "she is back").await.unwrap();
    assert_eq!(carol.submit_review(proposal, &self::review(4.0, 4.0)).await.unwrap().revision, 2);
    stage.stop().await;
}

#[tokio::test]
async fn reopening_is_taken_back_by_an_officer_of_another_nation_and_the_review_counts_as_before() {
    reopening_is_taken_back(Store::Sqlite).await;
    reopening_is_taken_back(Store::Postgres).await;
}

#[tokio::test]
async fn review_that_is_reopened_and_set_aside_is_shown_as_both() {
    let stage = Stage::open().await;
    let (proposal, review) = reviewed(&stage).await;
    let dana = stage.client("USA:dana");
    dana.api().reopen_review(review, "look again").await.unwrap();
    stage.client("USA:carol").declare(proposal, Some(ConflictGround::Financial)).await.unwrap();
    let line = dana.ranking(stage.call).await.unwrap().lines.remove(0);
    assert_eq!(line.set_aside, [(id("USA:carol"), SetAside::Conflict)].into());
    assert!(line.reopened.contains_key(&id("USA:carol")) && line.missing.is_empty(), "{line:?}");
    assert_eq!(counted(&stage).await, (1, 1, 0), "none of hers is waited for");
    stage.stop().await;
}

#[tokio::test]
async fn only_a_reopening_that_nothing_followed_is_taken_back() {
    let stage = Stage::open().await;
    let (proposal, first) = reviewed(&stage).await;
    let (dana, carol) = (stage.client("USA:dana").api(), stage.client("USA:carol"));
    let reinstate = async |review: ReviewId| dana.reinstate_review(review, "it was right").await;
    stage.refuses("already-reviewed", reinstate(first)).await;
    dana.reopen_review(first, "look again").await.unwrap();
    stage.refuses("denied", carol.api().reinstate_review(first, "it was right")).await;
    stage.refuses("malformed", dana.reinstate_review(first, " ")).await;

    let second = carol.submit_review(proposal, &review(4.0, 4.0)).await.unwrap().id;
    stage.refuses("already-reviewed", reinstate(first)).await;
    stage.refuses("already-reviewed", reinstate(second)).await;
    dana.reopen_review(second, "and again").await.unwrap();
    stage.refuses("no-review", reinstate(first)).await;
    reinstate(second).await.unwrap();

    dana.reopen_review(second, "and again").await.unwrap();
    stage.client("USA:frank").sign_decision(proposal, Outcome::Fund).await.unwrap();
    stage.client("ISR:eitan").sign_decision(proposal, Outcome::Fund).await.unwrap();
    stage.refuses("decision-final", reinstate(second)).await;
    stage.stop().await;
}

#[tokio::test]
async fn taking_a_reopening_back_is_done_once_however_often_it_is_sent() {
    let stage = Stage::open().await;
    let (_, review) = reviewed(&stage).await;
    let dana = stage.client("USA:dana").api();
    dana.reopen_review(review, "look again").await.unwrap();
    let (raw, key) = (stage.raw(Some(stage.credential("USA:dana"))), fresh_key());
    let mut answers = Vec::new();
    for _ in 0..2 {
        let request = raw.request(Method::POST, &format!("/v1/reviews/{review}/reinstate"));
        let request = request.header("Idempotency-Key", key.clone()).json(&json!({ "reason": "it was right" }));
        let answer = request.send().await.unwrap();
        answers.push((answer.status().as_u16(), answer.headers().contains_key("idempotent-replay")));
    }
    assert_eq!(answers, [(204, false), (204, true)]);
    let told = dana.entries(&[EntryKind::ReviewReinstated], &Paging::default()).await.unwrap().items;
    assert_eq!(told.len(), 1);
    // Also once it was reopened again: the repetition takes nothing back.
    dana.reopen_review(review, "and again").await.unwrap();
    let request = raw.request(Method::POST, &format!("/v1/reviews/{review}/reinstate"));
    let request = request.header("Idempotency-Key", key).json(&json!({ "reason": "it was right" }));
    assert_eq!(request.send().await.unwrap().status(), 204);
    let shown = dana.review(review).await.unwrap();
    assert!(shown.reopened_at.is_some());
    stage.stop().await;
}
