//! Many lines in one request, and what only says what would be: neither holds up others who have something to write.

use super::lies::key_of;
use crate::harness::{
    stage::{Stage, Step, id},
    world::Store,
};
use entente::{
    client::api::Paging,
    domain::{
        ambient::{SystemClock, SystemRng},
        call::AmendmentEffect,
        entry::EntryKind,
        id::{MemberId, ProposalId, Sha256},
        proposal::Sort,
    },
    sealing::statement::{AssignmentStatement, sign_statement},
    service::Principal,
    wire::{
        call::{CallText, ExtendCall},
        problem::LineFault,
        proposal::Filter,
        review::{Assign, Pair},
    },
};
use jiff::SignedDuration;
use reqwest::Method;

/// So many pairs of Carol with unknown proposals.
fn of_absent(count: usize) -> Vec<(ProposalId, MemberId)> {
    (0..count).map(|_| (ProposalId::new(&SystemClock, &SystemRng), id("USA:carol"))).collect()
}

async fn dry_run_waits_for_nobody(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let proposal = stage.submitted().await;
    let dana = stage.client("USA:dana");
    let shown = dana.call(stage.call).await.unwrap();
    let text = CallText { total_threshold: Some(7.0), ..shown.text.clone() };
    let until = stage.deadline + SignedDuration::from_hours(24);
    let (reason, dry_run) = ("more time".to_owned(), true);
    let longer = ExtendCall { until: until.into(), reason, partner: None, proposal: None, reviews: false, dry_run };
    let before = stage.census().await;
    let busy = stage.server.exchange.db.write().await.unwrap();
    let foreseen = dana.preview_amendment(stage.call, &text, "the funders agreed").await.unwrap();
    assert_eq!(foreseen.effect, AmendmentEffect::Resubmit);
    assert_eq!(dana.api().extend_call(stage.call, &longer).await.unwrap().until.0, until);
    drop(busy);
    assert_eq!(stage.census().await, before);

    stage.pass_the_opening();
    stage.clear(proposal, &["USA:dana"]).await;
    let before = stage.census().await;
    let busy = stage.server.exchange.db.write().await.unwrap();
    let lines = [(proposal, "USA:carol"), (proposal, "ISR:maya"), (proposal, "USA:carol"), (proposal, "USA:walt")];
    let foreseen = stage.assign(&lines, true).await;
    assert_eq!(foreseen.accepted, 2);
    let faults: Vec<_> = foreseen.faults.iter().map(|fault| (fault.line, fault.problem.as_str())).collect();
    assert_eq!(faults[0], (3, "already-assigned"), "what an earlier line does counts for later ones");
    assert_eq!(faults[1].0, 4);
    assert!(foreseen.changes.iter().any(|change| change.member == id("ISR:maya") && change.gains));
    drop(busy);
    assert_eq!(stage.census().await, before);
    let assigned = stage.assign(&lines[..2], false).await;
    assert_eq!((assigned.accepted, assigned.faults), (2, Vec::new()));
    stage.stop().await;
}

#[tokio::test]
async fn dry_run_takes_no_turn_at_writing_and_leaves_nothing() {
    dry_run_waits_for_nobody(Store::Sqlite).await;
    dry_run_waits_for_nobody(Store::Postgres).await;
}

#[tokio::test]
async fn request_has_so_many_assignments_and_a_client_sends_more_in_several() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    stage.pass_the_opening();
    stage.clear(proposal, &["USA:dana"]).await;
    let dana = stage.client("USA:dana");
    for dry_run in [true, false] {
        let absent = of_absent(Assign::MOST + 1);
        let pair = |(proposal, reviewer): (ProposalId, MemberId)| Pair { proposal, reviewer, statement: None };
        let body = Assign { assignments: absent.into_iter().map(pair).collect(), dry_run };
        stage.refuses("malformed", dana.api().assign(stage.call, &body)).await;
    }

    // One line that can be done, in the third request.
    let mut lines = of_absent(2 * Assign::MOST + 5);
    let place = 2 * Assign::MOST + 2;
    lines[place] = (proposal, id("USA:carol"));
    let stands: Vec<u32> = (1..).take(lines.len()).filter(|line| *line as usize != place + 1).collect();
    let of = |faults: &[LineFault]| faults.iter().map(|fault| fault.line).collect::<Vec<_>>();
    let foreseen = dana.assign(stage.call, &lines, true).await.unwrap();
    assert_eq!((foreseen.accepted, of(&foreseen.faults)), (1, stands.clone()));
    let before = stage.census().await;
    let refused = dana.assign(stage.call, &lines, false).await.unwrap_err();
    assert_eq!((refused.slug(), of(&refused.problem().unwrap().faults)), (Some("lines-refused"), stands));
    assert_eq!(stage.census().await, before, "what can be done waits for the rest");

    // Said twice, in two requests.
    lines[0] = lines[place].clone();
    let refused = dana.assign(stage.call, &lines, false).await.unwrap_err();
    assert_eq!(refused.to_string(), format!("line {} assigns what line 1 does", place + 1));
    stage.stop().await;
}

async fn lines_of_one_request(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let proposals = [stage.submitted().await, stage.submitted().await];
    stage.pass_the_opening();
    for proposal in proposals {
        stage.clear(proposal, &["USA:dana"]).await;
    }
    let key = key_of(&stage, "USA:dana");
    let line = |proposal: ProposalId, reviewer: &str| {
        let statement = AssignmentStatement { call: stage.call, proposal, reviewer: id(reviewer) };
        Pair { proposal, reviewer: id(reviewer), statement: Some(sign_statement(&key, &statement).unwrap()) }
    };
    let reviewers = ["USA:carol", "ISR:yael", "ISR:maya"];
    let good: Vec<Pair> =
        proposals.iter().flat_map(|proposal| reviewers.map(|reviewer| line(*proposal, reviewer))).collect();
    let dana = stage.client("USA:dana").api();
    // Twice the same, and of a member who reviews nothing here: what can be done waits for both.
    let assignments = [&good[..5], &[line(proposals[0], "USA:carol"), line(proposals[1], "USA:walt")]].concat();
    let before = stage.census().await;
    let refused = dana.assign(stage.call, &Assign { assignments, dry_run: false }).await.unwrap_err();
    let faults = refused.problem().unwrap().faults.iter().map(|fault| (fault.line, fault.problem.clone()));
    let faults: Vec<_> = faults.collect();
    assert_eq!((faults.len(), &faults[0], faults[1].0), (2, &(6, "already-assigned".to_owned()), 7));
    assert_eq!(stage.census().await, before);

    let (raw, path) = (stage.raw(Some(stage.credential("USA:dana"))), format!("/v1/calls/{}/assignments", stage.call));
    let body = Assign { assignments: good, dry_run: false };
    let send = async || {
        let sent =
            raw.request(Method::POST, &path).header("Idempotency-Key", "lines").json(&body).send().await.unwrap();
        let is_repeated = sent.headers().contains_key("idempotent-replay");
        (sent.status().as_u16(), is_repeated, sent.text().await.unwrap())
    };
    let (status, is_repeated, answer) = send().await;
    assert_eq!((status, is_repeated), (200, false), "{answer}");
    let after = stage.census().await;
    assert_eq!(send().await, (200, true, answer));
    assert_eq!(stage.census().await, after, "nothing is done twice");
    let entries = stage.log().await.into_iter().filter(|entry| entry.kind == EntryKind::ReviewerAssigned);
    let told: Vec<_> = entries.map(|entry| (entry.proposal.unwrap(), entry.payload)).collect();
    assert_eq!(told.len(), body.assignments.len());
    for (pair, (proposal, payload)) in body.assignments.iter().zip(&told) {
        assert!(pair.proposal == *proposal && payload.contains(&pair.reviewer.to_string()), "{payload}");
    }
    for proposal in proposals {
        let assigned = dana.assignments(proposal).await.unwrap();
        let statements: Vec<_> = assigned.iter().map(|line| line.statement.clone()).collect();
        let mut signed = body.assignments.iter().filter(|pair| pair.proposal == proposal).map(|pair| &pair.statement);
        assert!(assigned.len() == reviewers.len() && signed.all(|signed| statements.contains(signed)));
    }
    stage.stop().await;
}

#[tokio::test]
async fn lines_of_one_request_are_assigned_in_their_order_or_none_is() {
    lines_of_one_request(Store::Sqlite).await;
    lines_of_one_request(Store::Postgres).await;
}

#[tokio::test]
async fn line_without_a_signature_that_holds_is_named_and_nothing_is_assigned() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    stage.pass_the_opening();
    stage.clear(proposal, &["USA:dana", "ISR:noa"]).await;
    stage.assign(&[(proposal, "ISR:yael")], false).await;
    let dana = stage.client("USA:dana").api();
    let theirs = dana.assignments(proposal).await.unwrap()[0].statement.clone();
    let pair = |reviewer: &str, statement: Option<&str>| Pair {
        proposal,
        reviewer: id(reviewer),
        statement: statement.map(ToOwned::to_owned),
    };
    // None, none that is one, one for somebody else; and what is hidden or done stands before them.
    let assignments = vec![
        pair("USA:carol", None),
        pair("USA:carol", Some("no statement")),
        pair("USA:carol", theirs.as_deref()),
        pair("ISR:yael", None),
        Pair { proposal: ProposalId::new(&SystemClock, &SystemRng), ..pair("USA:carol", None) },
    ];
    let before = stage.census().await;
    let refused = dana.assign(stage.call, &Assign { assignments, dry_run: false }).await.unwrap_err();
    let faults = &refused.problem().unwrap().faults;
    let faults: Vec<_> = faults.iter().map(|fault| (fault.line, fault.problem.as_str())).collect();
    let invalid = "statement-invalid";
    let expected = [(1, invalid), (2, invalid), (3, invalid), (4, "already-assigned"), (5, "not-found")];
    assert_eq!(faults, expected);
    assert_eq!(stage.census().await, before);
    let entries = dana.entries(&[EntryKind::ReviewerAssigned], &Paging::default()).await.unwrap();
    assert_eq!(entries.items.len(), 1);
    stage.stop().await;
}

#[tokio::test]
async fn counts_that_take_long_leave_readers_to_those_who_want_a_page() {
    let (stage, proposal) = Stage::at(Step::Begun).await;
    let turns = &stage.server.exchange.long_work;
    let dana = Principal { member: id("USA:dana"), certificate: Sha256::of(b"one of hers") };
    let minjun = Principal { member: id("KOR:minjun"), certificate: Sha256::of(b"one of his") };
    let under_way = [turns.count(&dana).await, turns.count(&dana).await, turns.count(&minjun).await];
    let avi = stage.client("ISR:avi");
    let filter = Filter::default();
    let pages = async {
        for _ in 0..3 {
            let page = avi.api().proposals(&filter, Sort::Created, &Paging::default()).await.unwrap();
            assert_eq!(page.items[0].id, proposal);
        }
    };
    let mut count = Box::pin(avi.api().count_proposals(&filter));
    tokio::select! {
        _ = &mut count => panic!("a fourth count goes on beside three"),
        () = pages => {}
    }
    drop(under_way);
    assert_eq!(count.await.unwrap().proposals, 1);
    stage.stop().await;
}
