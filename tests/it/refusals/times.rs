//! What comes too late, to the millisecond, and what an extension cannot do.

use crate::harness::stage::{GRACE, Stage, Step, code, pdf, quiet, slug};
use entente::{
    client::{ClientError, ExitClass},
    domain::{
        call::Phase,
        id::{PartnerCode, ProposalId},
        proposal::Status,
    },
    sealing::statement::sign_statement,
    wire::{call::ExtendCall, call::Extended, proposal::SignManifest},
};
use jiff::{SignedDuration, Timestamp};

const MILLISECOND: SignedDuration = SignedDuration::from_millis(1);

#[tokio::test]
async fn signature_is_in_time_at_the_deadline_and_not_a_millisecond_later() {
    let stage = Stage::open().await;
    let (proposal, late) = (stage.prepared().await, stage.prepared().await);
    for proposal in [proposal, late] {
        stage.sign("ISR:avi", proposal).await;
    }
    let bob = stage.client("USA:bob");
    let (plan, late) = (bob.plan_signature(proposal).await.unwrap(), bob.plan_signature(late).await.unwrap());
    stage.clock.set(stage.deadline);
    assert_eq!(bob.sign(&plan).await.unwrap().status, Status::Submitted);

    // The same manifest again: by a new signature over it, since the client itself says that there is nothing to do.
    stage.declines(ExitClass::Usage, "nothing has changed", bob.plan_signature(proposal)).await;
    let manifest = sign_statement(&*bob.signer().unwrap(), &plan.manifest).unwrap();
    stage.refuses("already-signed", bob.api().sign_manifest(proposal, &SignManifest { manifest })).await;

    stage.clock.set(stage.deadline + MILLISECOND);
    stage.refuses("deadline-passed", bob.sign(&late)).await;
    stage.stop().await;
}

#[tokio::test]
async fn bytes_follow_a_commitment_to_the_end_of_the_grace_period_and_no_others_do() {
    let stage = Stage::open().await;
    let (proposal, late) = (stage.prepared().await, stage.prepared().await);
    let avi = stage.client("ISR:avi");
    let plan = stage.file("final.pdf", &pdf("the final work plan"));
    let mut records = Vec::new();
    for proposal in [proposal, late] {
        records.push(avi.seal_document(proposal, &slug("work-plan"), &plan, None, quiet()).await.unwrap());
        stage.sign("ISR:avi", proposal).await;
        stage.sign("USA:bob", proposal).await;
        assert_eq!(avi.api().proposal(proposal).await.unwrap().status, Status::Committed);
    }
    stage.clock.set(stage.deadline + MILLISECOND);
    let other = stage.file("other.bin", b"nobody signed for this");
    let bob = stage.client("USA:bob");
    stage.refuses("not-committed", bob.put_document(proposal, &slug("annex"), &other, None, quiet())).await;
    stage.clock.set(stage.deadline + GRACE);
    avi.resume_upload(&records[0], quiet()).await.unwrap();
    assert_eq!(avi.api().proposal(proposal).await.unwrap().status, Status::Submitted);
    stage.clock.set(stage.deadline + GRACE + SignedDuration::from_secs(1));
    stage.refuses("grace-passed", avi.resume_upload(&records[1], quiet())).await;
    stage.stop().await;
}

#[tokio::test]
async fn proposal_that_a_party_did_not_sign_lapses_and_concerns_nobody_else() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    stage.sign("ISR:avi", proposal).await;
    let status = async || stage.client("ISR:avi").api().proposal(proposal).await.unwrap().status;
    stage.clock.set(stage.deadline);
    assert_eq!(status().await, Status::Preparing);
    stage.clock.set(stage.deadline + MILLISECOND);
    assert_eq!(status().await, Status::Lapsed);
    stage.pass_the_opening();
    assert_eq!(status().await, Status::Lapsed);
    let dana = stage.client("USA:dana");
    stage.refuses("not-found", dana.api().proposal(proposal)).await;
    stage.refuses("not-found", dana.declare(proposal, None)).await;
    assert!(dana.api().call_progress(stage.call).await.unwrap().proposals.is_empty());
    stage.stop().await;
}

async fn extend(
    stage: &Stage,
    until: Timestamp,
    partner: Option<PartnerCode>,
    proposal: Option<ProposalId>,
) -> Result<Extended, ClientError> {
    let body = ExtendCall {
        until: until.into(),
        reason: "a reason".into(),
        partner,
        proposal,
        reviews: false,
        dry_run: false,
    };
    stage.client("USA:dana").api().extend_call(stage.call, &body).await
}

#[tokio::test]
async fn deadline_only_moves_later_and_not_after_the_opening() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    stage.clear(proposal, &["USA:dana"]).await;
    let hour = SignedDuration::from_hours(1);
    let earlier = stage.deadline - hour;
    for (partner, only) in [(None, None), (Some(code("ISR")), None), (None, Some(proposal))] {
        stage.refuses("extension-backwards", extend(&stage, earlier, partner.clone(), only)).await;
        stage.refuses("extension-backwards", extend(&stage, stage.deadline, partner, only)).await;
    }
    stage.refuses("malformed", extend(&stage, stage.deadline + hour, Some(code("ISR")), Some(proposal))).await;
    stage.refuses("not-eligible", extend(&stage, stage.deadline + hour, Some(code("KOR")), None)).await;
    stage.pass_the_opening();
    let later = stage.deadline + SignedDuration::from_hours(48);
    for (partner, only) in [(None, None), (Some(code("ISR")), None), (None, Some(proposal))] {
        stage.refuses("wrong-phase", extend(&stage, later, partner, only)).await;
    }
    assert_eq!(stage.client("USA:dana").api().call(stage.call).await.unwrap().body.phase, Phase::Review);
    stage.stop().await;
}
