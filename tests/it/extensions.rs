//! More time, for whom and how far; who takes it back and what is left then; and what each reader learns of it.

use crate::harness::{
    exchange::fresh_key,
    stage::{GRACE, NATIONS, Stage, Step, code, id, review},
    world::{Store, TestWorld},
};
use entente::{
    client::{ClientError, api::Paging, directory::NewKeyCard},
    domain::{call::Phase, entry::EntryKind, id::ProposalId, member::ConflictGround, proposal::Status},
    wire::call::{Call, ExtendCall, Extended},
};
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::json;

const MILLISECOND: SignedDuration = SignedDuration::from_millis(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

fn until(until: Timestamp) -> ExtendCall {
    ExtendCall {
        until: until.into(),
        reason: "an outage".into(),
        partner: None,
        proposal: None,
        reviews: false,
        dry_run: false,
    }
}

fn of_israel(at: Timestamp) -> ExtendCall {
    ExtendCall { partner: Some(code("ISR")), ..until(at) }
}

fn of_proposal(proposal: ProposalId, at: Timestamp) -> ExtendCall {
    ExtendCall { proposal: Some(proposal), ..until(at) }
}

fn of_reviews(at: Timestamp) -> ExtendCall {
    ExtendCall { reviews: true, ..until(at) }
}

async fn extend(stage: &Stage, body: &ExtendCall) -> Result<Extended, ClientError> {
    stage.client("USA:dana").api().extend_call(stage.call, body).await
}

async fn withdraw(stage: &Stage, number: u32) -> Result<Call, ClientError> {
    stage.client("USA:dana").api().withdraw_extension(stage.call, number, "a slip").await
}

async fn numbers(stage: &Stage, member: &str) -> Vec<u32> {
    let extensions = stage.client(member).api().extensions(stage.call).await.unwrap();
    extensions.iter().map(|extension| extension.number).collect()
}

#[tokio::test]
async fn no_deadline_moves_past_the_bound_of_the_text() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    stage.clear(proposal, &["USA:dana"]).await;
    let bound = stage.deadline + DAY * 45;
    let slip: Timestamp = "9999-12-01T00:00:00Z".parse().unwrap();
    for at in [bound + MILLISECOND, slip] {
        for body in [until(at), of_israel(at), of_proposal(proposal, at)] {
            stage.refuses("extension-too-far", extend(&stage, &body)).await;
        }
    }
    stage.refuses("extension-too-far", extend(&stage, &of_reviews(slip))).await;
    let tried = ExtendCall { dry_run: true, ..until(bound) };
    let before = stage.census().await;
    let tried = extend(&stage, &tried).await.unwrap();
    assert_eq!(stage.census().await, before, "a dry run does nothing");
    assert_eq!((tried.number, tried.from.0, tried.until.0), (None, stage.deadline, bound));
    assert_eq!((tried.seconds, tried.call.deadline_at.0), (45 * 86_400, stage.deadline));
    let extended = extend(&stage, &until(bound)).await.unwrap();
    assert_eq!((extended.number, extended.call.deadline_at.0), (Some(1), bound));
    assert_eq!(extended.grace_until.unwrap().0, bound + GRACE);
    stage.stop().await;
}

async fn officers_move_dates_so_often(store: Store) {
    let settings = [("quotas.extensions_per_call_per_partner", "2")];
    let Some(world) = TestWorld::start_with(NATIONS, store, &settings).await else { return };
    let stage = Stage::open_in(world).await;
    extend(&stage, &until(stage.deadline + HOUR)).await.unwrap();
    extend(&stage, &of_israel(stage.deadline + HOUR * 2)).await.unwrap();
    // What is taken back stays on record.
    withdraw(&stage, 2).await.unwrap();
    let before = stage.census().await;
    let more = until(stage.deadline + HOUR * 3);
    stage.refuses("quota-reached", extend(&stage, &more)).await;
    stage.refuses("quota-reached", extend(&stage, &ExtendCall { dry_run: true, ..more.clone() })).await;
    assert_eq!(stage.census().await, before);
    // Nobody keeps the officers of another nation from giving more time.
    let extended = stage.client("ISR:noa").api().extend_call(stage.call, &more).await.unwrap();
    assert_eq!(extended.call.deadline_at.0, stage.deadline + HOUR * 3);
    stage.stop().await;
}

#[tokio::test]
async fn officers_of_a_partner_move_the_dates_of_a_call_so_often() {
    officers_move_dates_so_often(Store::Sqlite).await;
    officers_move_dates_so_often(Store::Postgres).await;
}

async fn deadlines(stage: &Stage, member: &str) -> (Timestamp, Timestamp) {
    let call = stage.client(member).api().call(stage.call).await.unwrap().body;
    (call.my_deadline_at.0, call.deadline_at.0)
}

async fn phase(stage: &Stage) -> Phase {
    stage.client("USA:dana").api().call(stage.call).await.unwrap().body.phase
}

/// Who planned by an extension for ten days is not late because it is taken back at the last instant.
async fn extension_that_is_taken_back_leaves_three_days(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let proposal = stage.prepared().await;
    extend(&stage, &until(stage.deadline + DAY * 10)).await.unwrap();
    stage.clock.set(stage.deadline - DAY * 3);
    let call = withdraw(&stage, 1).await.unwrap();
    assert_eq!((call.deadline_at.0, call.sealed_until.0), (stage.deadline, stage.deadline + GRACE));
    assert_eq!(numbers(&stage, "USA:dana").await, [] as [u32; 0], "three days are left without it");
    stage.refuses("extension-withdrawn", withdraw(&stage, 1)).await;
    stage.refuses("not-found", withdraw(&stage, 2)).await;

    extend(&stage, &until(stage.deadline + DAY * 10)).await.unwrap();
    stage.clock.set(stage.deadline - MILLISECOND);
    let call = withdraw(&stage, 2).await.unwrap();
    assert_eq!(call.deadline_at.0, stage.deadline + DAY * 3 - MILLISECOND);
    let listed = stage.client("ISR:avi").api().extensions(stage.call).await.unwrap();
    assert_eq!((listed.len(), listed[0].number, &*listed[0].reason), (1, 3, "a slip"), "on record like any other");
    stage.refuses("extension-relied-on", withdraw(&stage, 3)).await;

    // A slip of the pen that is found after the earlier deadline: what parties do by it is in time.
    extend(&stage, &until(stage.deadline + DAY * 45)).await.unwrap();
    stage.clock.set(stage.deadline + DAY * 20);
    stage.sign("ISR:avi", proposal).await;
    assert_eq!(withdraw(&stage, 4).await.unwrap().deadline_at.0, stage.deadline + DAY * 23);
    assert_eq!(withdraw(&stage, 3).await.unwrap().deadline_at.0, stage.deadline + DAY * 23, "long past");
    stage.clock.set(stage.deadline + DAY * 23);
    stage.sign("USA:bob", proposal).await;
    assert_eq!(stage.client("USA:bob").api().proposal(proposal).await.unwrap().status, Status::Submitted);
    for (at, expected, slug) in [
        (SignedDuration::ZERO, Phase::Open, "extension-relied-on"),
        (MILLISECOND, Phase::Grace, "extension-relied-on"),
        (HOUR * 2, Phase::Review, "wrong-phase"),
    ] {
        stage.clock.set(stage.deadline + DAY * 23 + at);
        assert_eq!(phase(&stage).await, expected);
        stage.refuses(slug, withdraw(&stage, 5)).await;
        assert_eq!(phase(&stage).await, expected, "no phase comes back");
    }
    stage.stop().await;
}

#[tokio::test]
async fn extension_that_is_taken_back_leaves_three_days_on_sqlite() {
    extension_that_is_taken_back_leaves_three_days(Store::Sqlite).await;
}

#[tokio::test]
async fn extension_that_is_taken_back_leaves_three_days_on_postgres() {
    extension_that_is_taken_back_leaves_three_days(Store::Postgres).await;
}

#[tokio::test]
async fn one_partners_extension_is_not_taken_from_beneath_it_by_way_of_everyones() {
    let stage = Stage::open().await;
    extend(&stage, &until(stage.deadline + DAY)).await.unwrap();
    extend(&stage, &of_israel(stage.deadline + DAY * 10)).await.unwrap();
    stage.clock.set(stage.deadline + HOUR);
    stage.refuses("extension-relied-on", withdraw(&stage, 1)).await;
    withdraw(&stage, 2).await.unwrap();
    assert_eq!(numbers(&stage, "ISR:avi").await, [1, 3]);
    let (everyone, israel) = (stage.deadline + DAY, stage.deadline + HOUR + DAY * 3);
    assert_eq!(deadlines(&stage, "ISR:avi").await, (israel, everyone));
    assert_eq!(deadlines(&stage, "USA:bob").await, (everyone, everyone));
    stage.stop().await;
}

#[tokio::test]
async fn slip_of_the_pen_in_grace_costs_three_days_and_is_told_to_its_circle_alone() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    stage.clear(proposal, &["USA:dana"]).await;
    stage.clock.set(stage.deadline + GRACE);
    extend(&stage, &of_proposal(proposal, stage.deadline + DAY * 45)).await.unwrap();
    let call = withdraw(&stage, 1).await.unwrap();
    let least = stage.deadline + GRACE + DAY * 3;
    assert_eq!((call.phase, call.deadline_at.0, call.sealed_until.0), (Phase::Open, stage.deadline, least + GRACE));
    assert_eq!(stage.client("ISR:avi").api().proposal(proposal).await.unwrap().deadline_at.0, least);
    assert_eq!(numbers(&stage, "ISR:avi").await, [2]);
    assert_eq!(numbers(&stage, "USA:carol").await, [] as [u32; 0]);
    let kinds = [EntryKind::ProposalExtended, EntryKind::ProposalExtensionWithdrawn];
    for (member, expected) in [("ISR:avi", 3), ("USA:dana", 3), ("USA:carol", 0)] {
        let entries = stage.client(member).api().entries(&kinds, &Paging::default()).await.unwrap();
        assert_eq!(entries.items.len(), expected, "{member}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn each_reader_is_shown_the_deadline_and_the_extensions_that_concern_them() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    stage.clear(proposal, &["USA:dana"]).await;
    let (dana, olivia) = (stage.client("USA:dana"), stage.client("USA:olivia"));
    let (theirs, alone) = (stage.deadline + DAY, stage.deadline + DAY * 2);
    extend(&stage, &of_israel(theirs)).await.unwrap();
    extend(&stage, &of_proposal(proposal, alone)).await.unwrap();
    for (member, mine) in [("ISR:avi", theirs), ("ISR:maya", theirs), ("USA:bob", stage.deadline)] {
        let call = stage.client(member).api().call(stage.call).await.unwrap().body;
        assert_eq!((call.my_deadline_at.0, call.deadline_at.0), (mine, stage.deadline), "{member}");
        let listed = stage.client(member).api().all_calls().await.unwrap();
        assert_eq!(listed[0].my_deadline_at.0, mine, "{member}");
    }
    assert_eq!(stage.client("ISR:avi").api().proposal(proposal).await.unwrap().deadline_at.0, alone);
    let expected: [(&str, &[u32]); 6] = [
        ("USA:dana", &[1, 2]),
        ("USA:olivia", &[1, 2]),
        ("ISR:avi", &[1, 2]),
        ("USA:bob", &[2]),
        ("ISR:maya", &[1]),
        ("USA:carol", &[]),
    ];
    for (member, expected) in expected {
        assert_eq!(numbers(&stage, member).await, expected, "{member}");
    }
    // With a conflict of interest an officer reads nothing of that proposal's, and takes nothing of it back.
    stage.refuses("not-declared", olivia.api().withdraw_extension(stage.call, 2, "a slip")).await;
    olivia.declare(proposal, Some(ConflictGround::Employment)).await.unwrap();
    assert_eq!(numbers(&stage, "USA:olivia").await, [1]);
    let raw = stage.raw(Some(stage.credential("USA:olivia")));
    let ask = async |number: u32| {
        let path = format!("/v1/calls/{}/extensions/{number}/withdraw", stage.call);
        let request = raw.request(Method::POST, &path).header("Idempotency-Key", fresh_key());
        let answer = request.json(&json!({ "reason": "a slip" })).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(ask(2).await, ask(3).await, "as one that does not exist");
    for member in ["ISR:avi", "USA:carol"] {
        let answer = stage.client(member).api().withdraw_extension(stage.call, 1, "not mine");
        stage.refuses("denied", answer).await;
    }
    dana.api().withdraw_extension(stage.call, 2, "it was another proposal").await.unwrap();
    assert_eq!(stage.client("ISR:avi").api().proposal(proposal).await.unwrap().deadline_at.0, theirs);
    stage.stop().await;
}

#[tokio::test]
async fn key_cards_count_again_for_a_proposal_whose_deadline_is_moved_after_it() {
    let stage = Stage::open().await;
    let (proposal, other) = (stage.submitted().await, stage.submitted().await);
    for proposal in [proposal, other] {
        stage.clear(proposal, &["USA:dana"]).await;
    }
    let moves = async |organisation: &str| {
        let present = stage.client("ISR:registrar").issued_member(&id("ISR:avi")).await.unwrap().card.clone();
        let new = NewKeyCard { organisation: organisation.to_owned(), ..NewKeyCard::like(present) };
        stage.client("ISR:registrar").issue_key_card(&new).await.unwrap();
    };
    let shown = async || {
        let shown = stage.client("USA:bob").api().proposal(proposal).await.unwrap();
        [shown.organisations, shown.later_organisations].map(|names| names.into_iter().collect::<Vec<_>>().join(", "))
    };
    moves("Negev Optics").await;
    assert_eq!(shown().await, ["Blue Ridge Navigation, Negev Optics", ""], "before the deadline");
    extend(&stage, &of_proposal(other, stage.deadline + DAY * 2)).await.unwrap();
    stage.clock.set(stage.deadline + HOUR);
    moves("Galil Optics").await;
    assert_eq!(shown().await, ["Blue Ridge Navigation, Negev Optics", "Galil Optics"], "after it");
    extend(&stage, &of_proposal(proposal, stage.deadline + DAY)).await.unwrap();
    assert_eq!(shown().await, ["Blue Ridge Navigation, Galil Optics", ""], "before it once more");
    moves("Golan Optics").await;
    assert_eq!(shown().await, ["Blue Ridge Navigation, Golan Optics", ""]);
    stage.clock.set(stage.deadline + DAY + HOUR);
    moves("Galil Optics").await;
    assert_eq!(shown().await, ["Blue Ridge Navigation, Golan Optics", "Galil Optics"]);
    moves("golan optics").await;
    assert_eq!(shown().await, ["Blue Ridge Navigation, Golan Optics", ""], "where he worked");
    stage.stop().await;
}

#[tokio::test]
async fn date_for_reviews_moves_during_review_and_every_review_stays_good() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let dana = stage.client("USA:dana");
    stage.client("USA:carol").submit_review(proposal, &review(4.0, 4.0)).await.unwrap();
    let due = stage.deadline + DAY * 45;
    let before = dana.api().call(stage.call).await.unwrap().body;
    assert_eq!(before.reviews_due_at.0, due);
    for at in [due, due - DAY] {
        stage.refuses("extension-backwards", extend(&stage, &of_reviews(at))).await;
    }
    stage.refuses("extension-too-far", extend(&stage, &of_reviews(due + DAY * 367))).await;
    stage.refuses("wrong-phase", extend(&stage, &until(due + DAY))).await;
    let both = ExtendCall { partner: Some(code("ISR")), ..of_reviews(due + DAY) };
    stage.refuses("malformed", extend(&stage, &both)).await;

    let later = extend(&stage, &of_reviews(due + DAY)).await.unwrap();
    assert_eq!((later.from.0, later.grace_until, later.call.reviews_due_at.0), (due, None, due + DAY));
    assert_eq!((later.call.phase, later.call.sealed_until), (Phase::Review, before.sealed_until));
    assert_eq!(later.call.text_sha256, before.text_sha256, "what reviewers sign by is the same text");
    let opened = dana.open_reviews(proposal).await.unwrap();
    assert_eq!((opened.reviews.len(), opened.invalid.len()), (1, 0));
    stage.client("ISR:maya").submit_review(proposal, &review(3.0, 4.0)).await.unwrap();

    assert_eq!(withdraw(&stage, 1).await.unwrap().reviews_due_at.0, due);
    extend(&stage, &of_reviews(due + DAY)).await.unwrap();
    stage.clock.set(due + MILLISECOND);
    stage.refuses("extension-relied-on", withdraw(&stage, 2)).await;
    // A slip of the pen that is found after the earlier date: reviewers keep three days.
    extend(&stage, &of_reviews(due + DAY * 300)).await.unwrap();
    assert_eq!(withdraw(&stage, 3).await.unwrap().reviews_due_at.0, due + MILLISECOND + DAY * 3);
    stage.refuses("extension-relied-on", withdraw(&stage, 4)).await;
    dana.api().cancel_call(stage.call, "no money this year").await.unwrap();
    stage.refuses("wrong-phase", extend(&stage, &of_reviews(due + DAY * 5))).await;
    stage.refuses("wrong-phase", withdraw(&stage, 4)).await;
    stage.stop().await;
}

#[tokio::test]
async fn extension_that_was_shown_for_another_state_of_the_call_is_not_made() {
    let stage = Stage::open().await;
    let dana = stage.client("USA:dana");
    let body = until(stage.deadline + DAY);
    let seen = dana.api().preview_extension(stage.call, &body).await.unwrap();
    let noa = stage.client("ISR:noa").api().extend_call(stage.call, &until(stage.deadline + HOUR)).await.unwrap();
    assert_eq!(noa.number, Some(1));
    let stale = dana.api().extend_call_as_seen(stage.call, seen.etag.as_deref(), &body);
    stage.refuses("precondition-failed", stale).await;
    let seen = dana.api().preview_extension(stage.call, &body).await.unwrap();
    assert_eq!(seen.body.from.0, stage.deadline + HOUR);
    dana.api().extend_call_as_seen(stage.call, seen.etag.as_deref(), &body).await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn log_tells_the_circle_of_an_extension_that_it_was_taken_back() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    stage.clear(proposal, &["USA:dana"]).await;
    extend(&stage, &until(stage.deadline + HOUR)).await.unwrap();
    extend(&stage, &of_proposal(proposal, stage.deadline + DAY)).await.unwrap();
    for number in [1, 2] {
        withdraw(&stage, number).await.unwrap();
    }
    let kinds = ["call.extension_withdrawn", "proposal.extension_withdrawn"].map(|kind| kind.parse().unwrap());
    for (member, expected) in [("ISR:avi", 2), ("USA:dana", 2), ("USA:carol", 1)] {
        let entries = stage.client(member).api().entries(&kinds, &Paging::default()).await.unwrap();
        assert_eq!(entries.items.len(), expected, "{member}");
        assert!(entries.items.iter().all(|entry| entry.payload.contains("a slip")), "{member}");
    }
    stage.stop().await;
}
