//! What an officer who amends a call cannot do to those who prepare and hand in, and what they learn of what was done.

use crate::{
    harness::{
        stage::{GRACE, NATIONS, Stage, Step, code, id, pdf, quiet, summary, text},
        world::{Store, TestWorld},
    },
    refusals::lies::{key_of, tamper},
};
use entente::{
    client::{ClientError, proposals::NewProposal},
    domain::{
        ambient::Clock,
        call::{AmendmentEffect, Phase},
        id::ProposalId,
        proposal::Status,
    },
    sealing::{
        identity::new_identity,
        statement::{CallPublication, sign_statement},
    },
    storage::args,
    wire::{
        call::{Amended, CallText, ExtendCall, PublishCall},
        directory::CreateProgram,
    },
};
use jiff::SignedDuration;
use std::collections::BTreeSet;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

async fn amended(stage: &Stage, change: impl FnOnce(&mut CallText)) -> Result<Amended, ClientError> {
    let dana = stage.client("USA:dana");
    let mut text = dana.call(stage.call).await?.text.clone();
    change(&mut text);
    dana.amend_call(stage.call, &text, "a reason", None).await
}

/// The member signs a next version of the call that no client of ours would.
async fn signed_amendment(
    stage: &Stage,
    member: &str,
    change: impl FnOnce(&mut CallPublication),
) -> Result<(), ClientError> {
    let client = stage.client(member);
    let present = client.api().call(stage.call).await?;
    let mut publication = client.call(stage.call).await?.publication.clone();
    publication.version += 1;
    change(&mut publication);
    let body = PublishCall {
        publication: sign_statement(&key_of(stage, member), &publication).unwrap(),
        vault: None,
        roll: None,
        keys: Vec::new(),
        reason: Some("a reason".into()),
        voids: None,
        dry_run: false,
    };
    client.api().amend_call(stage.call, &present.etag.unwrap(), &body).await.map(drop)
}

#[tokio::test]
async fn call_is_amended_by_the_nation_that_leads_it_and_keeps_what_is_sealed_to() {
    let stage = Stage::open().await;
    let before = stage.census().await;
    // Clients believe the text of the lead's officers alone: whatever another one signed would end the call for them.
    for host in ["ISR", "USA"] {
        stage.refuses("denied", signed_amendment(&stage, "ISR:noa", |said| said.host = code(host))).await;
    }
    stage.refuses("statement-invalid", signed_amendment(&stage, "USA:dana", |said| said.host = code("ISR"))).await;
    let recipient = new_identity().recipient().to_owned();
    stage.refuses("statement-invalid", signed_amendment(&stage, "USA:dana", |said| said.recipient = recipient)).await;
    assert_eq!(stage.census().await, before);
    signed_amendment(&stage, "USA:dana", |_| {}).await.unwrap();
    stage.client("ISR:noa").call(stage.call).await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn amendment_of_an_open_call_takes_no_time_away_and_swaps_no_funder() {
    let stage = Stage::open().await;
    let deadline = stage.deadline;
    stage.refuses("schedule-fixed", amended(&stage, |text| text.schedule.opens_at.0 += HOUR)).await;
    stage.refuses("schedule-fixed", amended(&stage, |text| text.schedule.opens_at.0 -= HOUR)).await;
    stage.refuses("extension-backwards", amended(&stage, |text| text.schedule.deadline_at.0 -= HOUR)).await;
    stage.refuses("schedule-fixed", amended(&stage, |text| text.schedule.grace_seconds -= 1)).await;
    let opening = deadline + GRACE;
    stage.refuses("schedule-fixed", amended(&stage, |text| text.schedule.reviews_due_at.0 = opening + HOUR * 71)).await;
    stage.refuses("funders-fixed", amended(&stage, |text| text.funders = [code("USA")].into())).await;
    let far = deadline + HOUR * (24 * 45);
    stage
        .refuses(
            "extension-too-far",
            amended(&stage, |text| {
                text.schedule.deadline_at.0 = far + HOUR;
                text.schedule.reviews_due_at.0 = far + HOUR * 100;
            }),
        )
        .await;
    let later = amended(&stage, |text| {
        text.schedule.deadline_at.0 += HOUR;
        text.schedule.grace_seconds += 1;
        text.schedule.extendable_until = Some((far + HOUR).into());
    });
    let later = later.await.unwrap();
    assert_eq!((later.effect, later.call.deadline_at.0), (AmendmentEffect::Keeps, deadline + HOUR));
    assert_eq!(later.call.sealed_until.0, deadline + HOUR + GRACE + SignedDuration::from_secs(1));
    // The bound that was raised holds for the next one.
    let further = amended(&stage, |text| {
        text.schedule.deadline_at.0 = far + HOUR;
        text.schedule.reviews_due_at.0 = far + HOUR * 100;
    });
    assert_eq!(further.await.unwrap().call.deadline_at.0, far + HOUR);
    stage.stop().await;
}

#[tokio::test]
async fn what_is_voided_can_be_signed_again_by_everybody() {
    let stage = Stage::open().await;
    let changed = |text: &mut CallText| {
        text.topics.insert("sensing".parse().unwrap());
    };
    stage.clock.set(stage.deadline - HOUR * 72 + SignedDuration::from_millis(1));
    stage.refuses("no-time-to-sign", amended(&stage, changed)).await;
    // More time for one nation gives the others no more.
    let body = ExtendCall {
        until: (stage.deadline + HOUR * 240).into(),
        reason: "a reason".into(),
        partner: Some(code("ISR")),
        proposal: None,
        reviews: false,
        dry_run: false,
    };
    stage.client("USA:dana").api().extend_call(stage.call, &body).await.unwrap();
    stage.refuses("no-time-to-sign", amended(&stage, changed)).await;
    let later = amended(&stage, |text| {
        changed(text);
        text.schedule.deadline_at.0 += HOUR;
    });
    assert_eq!(later.await.unwrap().effect, AmendmentEffect::Resubmit);
    stage.stop().await;
}

/// An officer has more time for everyone, voids what was handed in while that lasts, and takes the time back.
async fn what_is_voided_can_be_signed_again_whatever_is_taken_back(store: Store) {
    let Some(world) = TestWorld::start(NATIONS, store).await else { return };
    let stage = Stage::open_in(world).await;
    let proposal = stage.submitted().await;
    let dana = stage.client("USA:dana").api();
    let more = async |hours: i32| {
        let until = (stage.deadline + HOUR * hours).into();
        let reason = "a reason".into();
        let body = ExtendCall { until, reason, partner: None, proposal: None, reviews: false, dry_run: false };
        dana.extend_call(stage.call, &body).await.unwrap()
    };
    more(1).await;
    stage.clock.set(stage.deadline + HOUR);
    more(80).await;
    let changed = amended_voiding(&stage, 1, |text| text.criteria[0].threshold = Some(3.5)).await.unwrap();
    assert_eq!((changed.effect, changed.voided), (AmendmentEffect::Resubmit, 1));
    let least = stage.clock.now() + HOUR * 72;
    for number in [2, 1] {
        let call = dana.withdraw_extension(stage.call, number, "a slip").await.unwrap();
        assert_eq!(call.deadline_at.0, least, "after extension {number} was taken back");
    }
    stage.refuses("extension-relied-on", dana.withdraw_extension(stage.call, 3, "a slip")).await;
    stage.clock.set(least);
    stage.sign("ISR:avi", proposal).await;
    stage.sign("USA:bob", proposal).await;
    assert_eq!(stage.client("USA:bob").api().proposal(proposal).await.unwrap().status, Status::Submitted);
    stage.stop().await;
}

#[tokio::test]
async fn what_is_voided_can_be_signed_again_whatever_is_taken_back_on_sqlite() {
    what_is_voided_can_be_signed_again_whatever_is_taken_back(Store::Sqlite).await;
}

#[tokio::test]
async fn what_is_voided_can_be_signed_again_whatever_is_taken_back_on_postgres() {
    what_is_voided_can_be_signed_again_whatever_is_taken_back(Store::Postgres).await;
}

#[tokio::test]
async fn announced_call_opens_at_another_time_and_its_deadline_stays() {
    let stage = Stage::open().await;
    let dana = stage.client("USA:dana");
    let opens_at = stage.clock.now() + HOUR;
    let draft = dana.draft_call(stage.program, &text(opens_at, stage.deadline)).await.unwrap();
    let call = dana.publish_call(draft.id).await.unwrap();
    assert_eq!(call.phase, Phase::Announced);
    let mut earlier = dana.call(call.id).await.unwrap().text.clone();
    earlier.schedule.deadline_at.0 -= HOUR;
    stage.refuses("extension-backwards", dana.amend_call(call.id, &earlier, "a slip", None)).await;
    // Nobody could hand in what opens a minute before its deadline.
    let mut later = dana.call(call.id).await.unwrap().text.clone();
    later.schedule.opens_at.0 = later.schedule.deadline_at.0 - HOUR * 71;
    stage.refuses("schedule-fixed", dana.amend_call(call.id, &later, "a slip", None)).await;
    let mut sooner = dana.call(call.id).await.unwrap().text.clone();
    sooner.schedule.opens_at.0 -= HOUR;
    assert_eq!(dana.amend_call(call.id, &sooner, "we are ready", None).await.unwrap().call.phase, Phase::Open);
    sooner.schedule.opens_at.0 += HOUR;
    stage.refuses("schedule-fixed", dana.amend_call(call.id, &sooner, "we are not", None)).await;
    stage.stop().await;
}

#[tokio::test]
async fn parties_are_told_since_when_and_why_what_they_signed_is_void() {
    let stage = Stage::open().await;
    let (dana, avi, bob) = (stage.client("USA:dana"), stage.client("ISR:avi"), stage.client("USA:bob"));
    let proposal = stage.submitted().await;
    let void = async |member: &str| stage.client(member).api().proposal(proposal).await.unwrap().void;
    amended(&stage, |text| text.text.push_str(" A clarification.")).await.unwrap();
    assert_eq!(void("ISR:avi").await, None, "it stands");
    let mut stricter = dana.call(stage.call).await.unwrap().text.clone();
    for (least, reason) in [(3.5, "the funders agreed"), (4.0, "they agreed again")] {
        stage.clock.set(stage.clock.now() + HOUR);
        stricter.criteria[0].threshold = Some(least);
        let voids = dana.preview_amendment(stage.call, &stricter, reason).await.unwrap().voided;
        dana.amend_call(stage.call, &stricter, reason, (voids > 0).then_some(voids)).await.unwrap();
    }
    let since = stage.clock.now() - HOUR;
    for member in ["ISR:avi", "USA:bob"] {
        let void = void(member).await.unwrap();
        assert_eq!((void.version, void.since.0), (1, since), "by the first amendment that did it");
        assert_eq!(void.reason.as_deref(), Some("the funders agreed"));
    }
    let listed = bob.api().all_proposals(Some(stage.call)).await.unwrap();
    assert!(listed[0].void.is_some() && listed[0].status == Status::Preparing);
    stage.sign("ISR:avi", proposal).await;
    assert!(void("USA:bob").await.is_some(), "one of them has signed again, the other has not");
    stage.sign("USA:bob", proposal).await;
    assert_eq!((void("USA:bob").await, void("ISR:avi").await), (None, None));
    assert_eq!(avi.api().proposal(proposal).await.unwrap().version, Some(2));
    stage.stop().await;
}

/// Refuses a text both as a draft and as an amendment of the open call, saying so.
async fn refuses_text(stage: &Stage, saying: &str, change: impl Fn(&mut CallText)) {
    let dana = stage.client("USA:dana");
    let mut next = dana.call(stage.call).await.unwrap().text.clone();
    change(&mut next);
    stage.refuses("call-text-invalid", dana.draft_call(stage.program, &next)).await;
    stage.refuses("call-text-invalid", dana.preview_amendment(stage.call, &next, "a reason")).await;
    let refused = dana.amend_call(stage.call, &next, "a reason", Some(1)).await.unwrap_err();
    assert!(refused.slug() == Some("call-text-invalid") && refused.to_string().contains(saying), "{refused}");
}

#[tokio::test]
async fn text_whose_slots_nobody_could_fill_is_neither_drafted_nor_in_an_amendment() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    let before = stage.census().await;
    for (slot, size) in [(0, 1), (0, 200), (2, (16 << 10) - 1)] {
        refuses_text(&stage, "a size from 16 KiB to 64 GiB", |text| text.slots[slot].max_bytes = size).await;
    }
    for unmatched in ["APPLICATION/PDF", "Application/PDF", "x", "application/pdf; version=1.7"] {
        let saying = "slot `work-plan` has an invalid media type";
        refuses_text(&stage, saying, |text| text.slots[0].media_types = [unmatched.to_owned()].into()).await;
    }
    assert_eq!(stage.census().await, before);
    assert_eq!(stage.client("ISR:avi").api().proposal(proposal).await.unwrap().status, Status::Submitted);
    // A smaller slot that something fits into is a change like any other.
    let smaller = amended_voiding(&stage, 1, |text| text.slots[0].max_bytes = 16 << 10).await.unwrap();
    assert_eq!((smaller.effect, smaller.voided), (AmendmentEffect::Resubmit, 1));
    stage.sign("ISR:avi", proposal).await;
    stage.sign("USA:bob", proposal).await;
    stage.stop().await;
}

async fn amended_voiding(
    stage: &Stage,
    voids: u32,
    change: impl FnOnce(&mut CallText),
) -> Result<Amended, ClientError> {
    let dana = stage.client("USA:dana");
    let mut text = dana.call(stage.call).await?.text.clone();
    change(&mut text);
    dana.amend_call(stage.call, &text, "a reason", Some(voids)).await
}

#[tokio::test]
async fn text_for_more_documents_than_parties_upload_is_refused() {
    let stage = Stage::open_with(Store::Sqlite, &[("quotas.documents_per_party", "2")]).await.unwrap();
    let saying = "would need 5 documents, and each of its parties uploads at most 2";
    refuses_text(&stage, saying, |text| text.slots[1].required = true).await;
    stage.stop().await;
}

/// An amendment asks for a party of a third nation, where nobody could be one.
async fn party_that_nobody_can_be_is_not_asked_for(store: Store) {
    let Some(world) = TestWorld::start(NATIONS, store).await else { return };
    let dana = world.client("USA:dana");
    let partners = ["USA", "ISR", "KOR"].map(code).into();
    let body = CreateProgram { name: "Three nations".into(), lead: code("USA"), partners };
    let program = dana.api().create_program(&body).await.unwrap().id;
    let now = world.clock.now();
    let deadline = now + HOUR * (24 * 30);
    let draft = dana.draft_call(program, &text(now, deadline)).await.unwrap();
    let call = dana.publish_call(draft.id).await.unwrap().id;
    let stage = Stage::around(world, program, call, deadline);
    let with_korea = |text: &mut CallText| {
        text.eligible.insert(code("KOR"));
        text.parties.at_most = 3;
        text.parties.required.insert(code("KOR"));
    };
    let any_three = |text: &mut CallText| {
        text.eligible.insert(code("KOR"));
        (text.parties.at_least, text.parties.at_most) = (3, 3);
        text.parties.required.clear();
    };
    tamper(&stage, "UPDATE members SET status = 'revoked' WHERE partner = 'KOR'", args![]).await;
    for (change, saying) in [
        (&with_korea as &dyn Fn(&mut CallText), "`KOR` has no member with a key card in force"),
        (&any_three as &dyn Fn(&mut CallText), "only 2 of the eligible partners can be one"),
    ] {
        stage.refuses("call-text-invalid", amended(&stage, change)).await;
        let refused = amended(&stage, change).await.unwrap_err().to_string();
        assert!(refused.contains(saying), "{refused}");
    }
    let eligible = amended(&stage, |text| text.eligible.extend([code("KOR")])).await.unwrap();
    assert_eq!(eligible.effect, AmendmentEffect::Resubmit, "those who can be parties are enough");
    tamper(&stage, "UPDATE members SET status = 'active' WHERE member = 'KOR:minjun'", args![]).await;
    amended(&stage, with_korea).await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn party_that_nobody_can_be_is_not_asked_for_on_sqlite() {
    party_that_nobody_can_be_is_not_asked_for(Store::Sqlite).await;
}

#[tokio::test]
async fn party_that_nobody_can_be_is_not_asked_for_on_postgres() {
    party_that_nobody_can_be_is_not_asked_for(Store::Postgres).await;
}

/// Every party takes it back, whether it needs all of them or one.
async fn withdrawn(stage: &Stage, proposal: ProposalId) {
    for member in ["ISR:avi", "USA:bob"] {
        let _ = stage.client(member).api().withdraw_proposal(proposal).await;
    }
    assert_eq!(stage.client("ISR:avi").api().proposal(proposal).await.unwrap().status, Status::Withdrawn);
}

#[tokio::test]
async fn who_did_not_sign_it_is_not_told_what_became_of_it() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    let (dana, avi) = (stage.client("USA:dana"), stage.client("ISR:avi"));
    let mut stricter = dana.call(stage.call).await.unwrap().text.clone();
    stricter.criteria[0].threshold = Some(3.5);
    dana.amend_call(stage.call, &stricter, "the funders agreed", Some(1)).await.unwrap();
    stage.refuses("not-found", dana.api().proposal(proposal)).await;
    stage.sign("ISR:avi", proposal).await;
    stage.sign("USA:bob", proposal).await;
    assert_eq!(dana.api().proposal(proposal).await.unwrap().void, None);
    // What was withdrawn is not among what an amendment voids, and is void as little as it counts.
    withdrawn(&stage, proposal).await;
    stricter.criteria[0].threshold = Some(4.0);
    let tried = dana.preview_amendment(stage.call, &stricter, "once more").await.unwrap();
    assert_eq!((tried.effect, tried.voided), (AmendmentEffect::Resubmit, 0));
    dana.amend_call(stage.call, &stricter, "once more", None).await.unwrap();
    assert_eq!(avi.api().proposal(proposal).await.unwrap().void, None);
    stage.stop().await;
}

/// A call in which a nation may propose alone, and what Avi has handed in.
async fn handed_in_alone(world: TestWorld) -> (Stage, ProposalId) {
    let (program, now) = (Stage::program(&world).await, world.clock.now());
    let deadline = now + HOUR * (24 * 30);
    let mut alone = text(now, deadline);
    (alone.parties.at_least, alone.parties.required) = (1, BTreeSet::new());
    let dana = world.client("USA:dana");
    let draft = dana.draft_call(program, &alone).await.unwrap();
    let call = dana.publish_call(draft.id).await.unwrap().id;
    let stage = Stage::around(world, program, call, deadline);
    let avi = stage.client("ISR:avi");
    let new = NewProposal { parties: [(code("ISR"), [id("ISR:avi")].into())].into(), ..stage.joint() };
    let proposal = avi.create_proposal(&new).await.unwrap().id;
    avi.put_summary(proposal, &summary("Lodestone"), quiet()).await.unwrap();
    for slot in ["work-plan", "shareholders"] {
        stage.put("ISR:avi", proposal, slot, &stage.file(&format!("{slot}.pdf"), &pdf(slot))).await;
    }
    stage.sign("ISR:avi", proposal).await;
    (stage, proposal)
}

async fn signed_again_under_other_parties_and_topics(store: Store) {
    let Some(world) = TestWorld::start(NATIONS, store).await else { return };
    let (stage, proposal) = handed_in_alone(world).await;
    let (avi, dana) = (stage.client("ISR:avi"), stage.client("USA:dana"));
    let signed_again = async || {
        let plan = avi.plan_signature(proposal).await?;
        avi.sign(&plan).await
    };
    let mut text = dana.call(stage.call).await.unwrap().text.clone();
    text.parties.at_least = 2;
    let voiding = dana.amend_call(stage.call, &text, "only joint ones", Some(1)).await.unwrap();
    assert_eq!((voiding.effect, voiding.voided), (AmendmentEffect::Resubmit, 1));
    stage.refuses("party-rule", signed_again()).await;
    let other_topic = amended(&stage, |text| {
        text.parties.at_least = 1;
        text.topics = ["energy".parse().unwrap()].into();
    });
    other_topic.await.unwrap();
    stage.refuses("unknown-topic", signed_again()).await;
    let both_topics = amended(&stage, |text| {
        text.topics.insert("navigation".parse().unwrap());
    });
    both_topics.await.unwrap();
    assert_eq!(signed_again().await.unwrap().status, Status::Submitted);
    stage.stop().await;
}

#[tokio::test]
async fn version_that_is_signed_again_fits_the_amended_rules_of_parties_and_topics() {
    signed_again_under_other_parties_and_topics(Store::Sqlite).await;
    signed_again_under_other_parties_and_topics(Store::Postgres).await;
}

async fn same_text_again(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let proposal = stage.prepared().await;
    stage.sign("ISR:avi", proposal).await;
    let bob = stage.client("USA:bob");
    let plan = bob.plan_signature(proposal).await.unwrap();
    for threshold in [7.0, 6.0] {
        amended(&stage, |text| text.total_threshold = Some(threshold)).await.unwrap();
    }
    stage.refuses("manifest-mismatch", bob.sign(&plan)).await;
    stage.sign("ISR:avi", proposal).await;
    stage.sign("USA:bob", proposal).await;
    assert_eq!(bob.api().proposal(proposal).await.unwrap().status, Status::Submitted);
    stage.stop().await;
}

#[tokio::test]
async fn version_that_an_amendment_voided_is_signed_by_nobody_though_the_same_text_is_back() {
    same_text_again(Store::Sqlite).await;
    same_text_again(Store::Postgres).await;
}
