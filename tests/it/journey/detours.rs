//! The ways back: what was uploaded, assigned, declared or granted is taken back, and the keys that went with it go too.

use super::Chronicle;
use crate::harness::stage::{Stage, Step, id, quiet, slug};
use entente::{
    client::verified::VersionChoice,
    domain::{
        call::Phase,
        member::{CallRole, ConflictGround},
    },
    wire::call::ExtendCall,
};
use jiff::SignedDuration;

#[tokio::test]
async fn document_comes_out_again_one_proposal_gets_more_time_and_the_call_is_cancelled() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    let (dana, bob) = (stage.client("USA:dana"), stage.client("USA:bob"));
    let mut log = Chronicle::from_here(&stage).await;
    stage.put("USA:bob", proposal, "annex", &stage.file("annex.bin", b"measurements")).await;
    bob.remove_document(proposal, &slug("annex")).await.unwrap();
    stage.refuses("slot-empty", bob.remove_document(proposal, &slug("annex"))).await;
    log.expect(&stage, &["document.stored", "document.removed"]).await;
    stage.sign("ISR:avi", proposal).await;
    stage.sign("USA:bob", proposal).await;
    log.expect(&stage, &["manifest.signed ×2", "proposal.submitted"]).await;

    let until = stage.deadline + SignedDuration::from_hours(2);
    let extension = ExtendCall {
        until: until.into(),
        reason: "a reason".into(),
        partner: None,
        proposal: Some(proposal),
        reviews: false,
        dry_run: false,
    };
    stage.refuses("not-declared", dana.api().extend_call(stage.call, &extension)).await;
    dana.declare(proposal, None).await.unwrap();
    dana.api().extend_call(stage.call, &extension).await.unwrap();
    log.expect(&stage, &["interest.declared_clear", "proposal.extended"]).await;
    assert_eq!(bob.api().proposal(proposal).await.unwrap().deadline_at.0, until);
    let call = stage.client("USA:carol").api().call(stage.call).await.unwrap().body;
    assert_eq!(call.deadline_at.0, stage.deadline, "the others' deadline stays");

    assert_eq!(dana.api().cancel_call(stage.call, "no money this year").await.unwrap().phase, Phase::Cancelled);
    stage.refuses("wrong-phase", dana.api().cancel_call(stage.call, "again")).await;
    let annex = stage.file("annex-2.bin", b"too late");
    stage.refuses("wrong-phase", bob.put_document(proposal, &slug("annex"), &annex, None, quiet())).await;
    stage.clock.set(until + SignedDuration::from_hours(100));
    let opened = dana.manifest(proposal, VersionChoice::Standing).await.unwrap_err();
    assert_eq!(opened.slug(), Some("denied"), "what was cancelled is never opened");
    log.expect(&stage, &["call.cancelled"]).await;
    stage.stop().await;
}

#[tokio::test]
async fn who_leaves_the_panel_or_finds_a_conflict_loses_every_key() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let (dana, noa) = (stage.client("USA:dana"), stage.client("ISR:noa"));
    let (carol, maya) = (stage.client("USA:carol"), stage.client("ISR:maya"));
    let mut log = Chronicle::from_here(&stage).await;
    dana.api().unassign(proposal, &id("USA:carol")).await.unwrap();
    log.expect(&stage, &["reviewer.unassigned", "key.removed"]).await;
    assert_eq!(carol.api().proposal(proposal).await.unwrap_err().slug(), Some("not-found"));
    stage.refuses("not-assigned", dana.api().unassign(proposal, &id("USA:carol"))).await;
    stage.assign(&[(proposal, "USA:carol")], false).await;
    stage.prepare_panel().await;
    log.expect(&stage, &["reviewer.assigned", "key.wrapped"]).await;
    carol.read_summary(proposal, VersionChoice::Standing).await.unwrap();

    maya.declare(proposal, Some(ConflictGround::Family)).await.unwrap();
    log.expect(&stage, &["interest.declared_conflict", "key.removed"]).await;
    stage.refuses("not-found", maya.lift_conflict(proposal, &id("ISR:maya"), "I misread")).await;
    stage.refuses("denied", carol.lift_conflict(proposal, &id("ISR:maya"), "she misread")).await;
    stage.refuses("denied", noa.lift_conflict(proposal, &id("ISR:maya"), "a compatriot")).await;
    dana.lift_conflict(proposal, &id("ISR:maya"), "she misread the name").await.unwrap();
    stage.refuses("no-conflict", dana.lift_conflict(proposal, &id("ISR:maya"), "once more")).await;
    log.expect(&stage, &["interest.conflict_lifted"]).await;
    assert_eq!(
        maya.manifest(proposal, VersionChoice::Standing).await.unwrap_err().slug(),
        Some("not-declared"),
        "declare again"
    );
    maya.declare(proposal, None).await.unwrap();
    stage.prepare_panel().await;
    log.expect(&stage, &["interest.declared_clear", "key.wrapped"]).await;

    // An officer with a conflict: another lifts it, never they themselves.
    noa.declare(proposal, Some(ConflictGround::Other)).await.unwrap();
    stage.refuses("not-found", noa.lift_conflict(proposal, &id("ISR:noa"), "it is nothing")).await;
    // She leaves the call by the hand of her own nation, which therefore gets another officer first.
    stage.refuses("denied", dana.grant_roles(stage.call, &id("ISR:noa"), &[].into())).await;
    dana.grant_roles(stage.call, &id("ISR:tamar"), &[CallRole::Officer].into()).await.unwrap();
    log.expect(&stage, &["interest.declared_conflict", "call.role_granted", "key.wrapped"]).await;
    stage.client("ISR:tamar").grant_roles(stage.call, &id("ISR:noa"), &[].into()).await.unwrap();
    log.expect(&stage, &["call.role_revoked", "key.removed"]).await;
    dana.grant_roles(stage.call, &id("USA:frank"), &[].into()).await.unwrap();
    log.expect(&stage, &["call.role_revoked", "key.removed ×2"]).await;
    assert_eq!(stage.client("USA:frank").api().vaults(proposal).await.unwrap_err().slug(), Some("not-found"));
    dana.grant_roles(stage.call, &id("USA:frank"), &[CallRole::Observer].into()).await.unwrap();
    assert_eq!(stage.client("USA:frank").api().vaults(proposal).await.unwrap_err().slug(), Some("not-found"));
    stage.stop().await;
}
