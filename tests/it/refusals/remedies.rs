//! What a refusal says to do next is something that its reader can do, and it leads on.

use super::set_aside::moves_to;
use crate::harness::stage::{GRACE, Stage, Step, code, id, pdf, quiet, review, slug};
use entente::{
    client::ClientError,
    domain::{
        ambient::Clock,
        decision::Outcome::{self, Decline, Fund, Rescind, Reserve},
        id::{PartnerCode, ProposalId},
        member::{CallRole::Officer, ConflictGround},
        proposal::Status,
    },
    sealing::statement::{DecisionStatement, sign_statement},
    wire::{
        call::{ExtendCall, Extended},
        decision::{Decision, SignDecision},
    },
};
use jiff::{SignedDuration, Timestamp};

/// What the exchange says to do next, refusing by that name.
async fn remedy<T>(slug: &str, attempt: impl Future<Output = Result<T, ClientError>>) -> String {
    let Err(refused) = attempt.await else { panic!("`{slug}` was expected, and it succeeded") };
    let problem = refused.problem().unwrap_or_else(|| panic!("{refused}"));
    assert_eq!(problem.slug(), slug, "{refused}");
    problem.remedy.clone()
}

#[tokio::test]
async fn member_on_record_as_clear_is_told_to_declare_a_conflict_themselves() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let maya = stage.client("ISR:maya");
    let said = remedy("already-declared", maya.declare(proposal, None)).await;
    assert!(said.contains("declare it yourself") && said.contains("--ground") && !said.contains("officer"), "{said}");
    maya.declare(proposal, Some(ConflictGround::Financial)).await.unwrap();
    stage.refuses("not-found", maya.declare(proposal, None)).await;
    stage.stop().await;
}

#[tokio::test]
async fn member_whose_nation_alone_has_officers_is_told_to_ask_for_another_one() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let (dana, noa, opal) = (stage.client("USA:dana"), stage.client("ISR:noa"), id("USA:opal"));
    noa.grant_roles(stage.call, &id("ISR:noa"), &[].into()).await.unwrap();
    moves_to(&stage, "USA:opal", "Elsewhere").await;
    stage.client("USA:bob").invite(proposal, &opal).await.unwrap();
    let said = remedy("needs-consent", stage.client("USA:opal").accept_invitation(proposal)).await;
    assert!(said.contains("ask them to name one of another nation"), "{said}");
    stage.refuses("denied", dana.api().consent_to_join(proposal, &opal)).await;
    dana.grant_roles(stage.call, &id("ISR:noa"), &[Officer].into()).await.unwrap();
    noa.api().consent_to_join(proposal, &opal).await.unwrap();
    stage.client("USA:opal").accept_invitation(proposal).await.unwrap();
    stage.stop().await;
}

/// Dana gives a nation or a proposal more time.
async fn extend(
    stage: &Stage,
    until: Timestamp,
    partner: Option<PartnerCode>,
    proposal: Option<ProposalId>,
) -> Result<Extended, ClientError> {
    let (until, reason) = (until.into(), "their line was down".to_owned());
    let body = ExtendCall { until, reason, partner, proposal, reviews: false, dry_run: false };
    stage.client("USA:dana").api().extend_call(stage.call, &body).await
}

#[tokio::test]
async fn party_whose_bytes_are_late_asks_for_more_time_for_its_nation_and_they_are_taken() {
    let stage = Stage::open().await;
    let (proposal, other) = (stage.prepared().await, stage.prepared().await);
    let (avi, plan) = (stage.client("ISR:avi"), stage.file("final.pdf", &pdf("the final work plan")));
    let record = avi.seal_document(proposal, &slug("work-plan"), &plan, None, quiet()).await.unwrap();
    for proposal in [proposal, other] {
        stage.sign("ISR:avi", proposal).await;
        stage.sign("USA:bob", proposal).await;
        stage.clear(proposal, &["USA:dana"]).await;
    }
    let day = SignedDuration::from_hours(24);
    extend(&stage, stage.deadline + day * 10, None, Some(other)).await.unwrap();
    stage.clock.set(stage.deadline + GRACE + day);
    let said = remedy("grace-passed", avi.resume_upload(&record, quiet())).await;
    assert!(said.contains("give your nation or everybody more time"), "{said}");
    // What has lapsed concerns its parties alone: no officer may extend it by itself.
    let until = stage.clock.now() + day;
    stage.refuses("not-found", extend(&stage, until, None, Some(proposal))).await;
    extend(&stage, until, Some(code("ISR")), None).await.unwrap();
    avi.resume_upload(&record, quiet()).await.unwrap();
    assert_eq!(avi.api().proposal(proposal).await.unwrap().status, Status::Submitted);
    stage.stop().await;
}

#[tokio::test]
async fn decider_who_finds_another_decision_signs_that_one_or_another_once_it_is_taken_back() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let (frank, eitan) = (stage.client("USA:frank"), stage.client("ISR:eitan"));
    let manifest_sha256 = frank.api().proposal(proposal).await.unwrap().manifest_sha256.unwrap();
    // As when both sign at once: the client would say beforehand that another one is proposed.
    let sign = async |member: &str, outcome: Outcome| {
        let (client, partner) = (stage.client(member), id(member).partner().clone());
        let said = DecisionStatement { proposal, manifest_sha256, outcome, partner, supersedes: None, reason: None };
        let decision = sign_statement(&*client.signer().unwrap(), &said).unwrap();
        client.api().sign_decision(proposal, &SignDecision { decision }, None).await
    };
    frank.sign_decision(proposal, Fund).await.unwrap();
    let said = remedy("decision-differs", sign("ISR:eitan", Decline)).await;
    assert!(said.contains("sign that one") && said.contains("`entente decision unsign`"), "{said}");
    frank.unsign_decision(proposal).await.unwrap();
    eitan.sign_decision(proposal, Decline).await.unwrap();
    remedy("decision-differs", sign("USA:frank", Fund)).await;
    let last = frank.sign_decision(proposal, Decline).await.unwrap();
    assert!(last.final_at.is_some(), "{last:?}");
    stage.stop().await;
}

#[tokio::test]
async fn final_decision_that_is_in_the_way_is_replaced_or_rescinded_by_every_funder() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let review = stage.client("USA:carol").submit_review(proposal, &review(4.0, 4.0)).await.unwrap().id;
    let (dana, frank, eitan) = (stage.client("USA:dana").api(), stage.client("USA:frank"), stage.client("ISR:eitan"));
    frank.sign_decision(proposal, Fund).await.unwrap();
    eitan.sign_decision(proposal, Fund).await.unwrap();
    let said = remedy("decision-final", dana.reopen_review(review, "look again")).await;
    assert!(said.contains("every funder together") && said.contains("--reason"), "{said}");
    let by_all = async |outcome: Outcome| -> Decision {
        frank.supersede_decision(proposal, outcome, "an error").await.unwrap();
        eitan.supersede_decision(proposal, outcome, "an error").await.unwrap()
    };
    let other = by_all(Reserve).await;
    assert!(other.outcome == Reserve && other.final_at.is_some(), "{other:?}");
    stage.refuses("decision-final", dana.reopen_review(review, "look again")).await;
    by_all(Rescind).await;
    dana.reopen_review(review, "look again").await.unwrap();
    stage.stop().await;
}
