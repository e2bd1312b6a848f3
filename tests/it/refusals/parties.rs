//! Who cannot be what: parties, officers and reviewers are different people; and calls are changed only by a member who has read
//! them and is vouched for.

use super::set_aside::moves_to;
use crate::harness::{
    stage::{Stage, Step, code, id, pdf, text},
    world::Store,
};
use entente::{
    client::{ExitClass, proposals::NewProposal},
    domain::{ambient::Clock, member::CallRole, proposal::Parties},
    sealing::statement::Statement,
    wire::proposal::{AcceptInvitation, AddMember},
};
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::json;
use std::collections::BTreeMap;

#[tokio::test]
async fn hand_over_stays_within_the_party_and_leaves_somebody_in_it() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    let avi = stage.client("ISR:avi");
    for stranger in ["USA:frank", "KOR:minjun"] {
        stage.declines(ExitClass::Usage, "another partner", avi.hand_over(proposal, &id(stranger), true)).await;
        let body = AddMember { invitation: String::new(), keys: BTreeMap::new() };
        stage.refuses("denied", avi.api().invite(proposal, &id(stranger), &body)).await;
    }
    stage.refuses("denied", avi.api().remove_member(proposal, &id("USA:bob"))).await;
    stage.refuses("last-of-party", avi.api().remove_member(proposal, &id("ISR:avi"))).await;
    stage.stop().await;
}

#[tokio::test]
async fn who_runs_or_judges_a_call_is_no_party_in_it() {
    let stage = Stage::open().await;
    let parties = |american: &str| -> Parties {
        [(code("ISR"), [id("ISR:avi")].into()), (code("USA"), [id(american)].into())].into()
    };
    // Who asks them hears nothing of it; they hear it when they accept.
    let accept = async |member: &str, proposal| {
        let any = AcceptInvitation { statement: "a.b.c".into() };
        stage.refuses("unsuitable", stage.client(member).api().accept_invitation(proposal, &any)).await;
    };
    for member in ["USA:dana", "USA:carol", "USA:frank"] {
        let new = NewProposal { parties: parties(member), ..stage.joint() };
        let begun = stage.client("ISR:avi").create_proposal(&new).await.unwrap();
        accept(member, begun.id).await;
        stage.refuses("denied", stage.client(member).create_proposal(&new)).await;
    }
    let proposal = stage.prepared().await;
    for member in ["USA:olivia", "USA:carol", "USA:frank"] {
        stage.client("USA:bob").invite(proposal, &id(member)).await.unwrap();
        accept(member, proposal).await;
    }
    stage.stop().await;
}

#[tokio::test]
async fn party_has_no_role_in_its_call() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    let dana = stage.client("USA:dana");
    // What is being prepared is hidden from officers: the refusal says no more than that somebody else must be chosen.
    stage.refuses("unsuitable", dana.grant_roles(stage.call, &id("USA:bob"), &[CallRole::Reviewer].into())).await;
    stage.sign("ISR:avi", proposal).await;
    stage.sign("USA:bob", proposal).await;
    for role in [CallRole::Reviewer, CallRole::Officer, CallRole::Decider, CallRole::Observer] {
        stage.refuses("unsuitable", dana.grant_roles(stage.call, &id("USA:bob"), &[role].into())).await;
    }
    stage.refuses("denied", dana.grant_roles(stage.call, &id("KOR:minjun"), &[CallRole::Reviewer].into())).await;
    stage.stop().await;
}

async fn who_was_party_has_no_role(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let proposal = stage.begun().await;
    let (avi, tamar, dana) = (stage.client("ISR:avi"), stage.client("ISR:tamar"), stage.client("USA:dana"));
    stage.joins("ISR:avi", proposal, "ISR:tamar").await;
    // Neither who began the proposal nor who joined it judges it by leaving and working elsewhere.
    avi.remove_member(proposal, &id("ISR:avi")).await.unwrap();
    moves_to(&stage, "ISR:avi", "Galilee Optics").await;
    stage.refuses("unsuitable", dana.grant_roles(stage.call, &id("ISR:avi"), &[CallRole::Observer].into())).await;
    stage.joins("ISR:tamar", proposal, "ISR:approver").await;
    tamar.remove_member(proposal, &id("ISR:tamar")).await.unwrap();
    stage.refuses("unsuitable", dana.grant_roles(stage.call, &id("ISR:tamar"), &[CallRole::Reviewer].into())).await;
    // A withdrawn one keeps nobody from a role.
    stage.client("ISR:approver").api().withdraw_proposal(proposal).await.unwrap();
    dana.grant_roles(stage.call, &id("ISR:tamar"), &[CallRole::Reviewer].into()).await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn who_was_party_has_no_role_in_its_call() {
    who_was_party_has_no_role(Store::Sqlite).await;
    who_was_party_has_no_role(Store::Postgres).await;
}

#[tokio::test]
async fn counterpart_signs_the_version_that_waits_or_learns_what_was_changed_since() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    stage.sign("ISR:avi", proposal).await;
    let bob = stage.client("USA:bob");
    let pending = bob.api().proposal(proposal).await.unwrap().pending.unwrap();
    let plan = bob.plan_new_version(proposal).await.unwrap();
    assert_eq!(plan.manifest.digest().unwrap(), pending.manifest_sha256, "nothing has changed: that one and no other");

    stage.put("ISR:avi", proposal, "work-plan", &stage.file("other.pdf", &pdf("another work plan"))).await;
    stage.put("USA:bob", proposal, "annex", &stage.file("annex.bin", b"more")).await;
    let told = "version 1 waits for your party, but something else is put in now: \
                `work-plan` was replaced by `ISR:avi`, `annex` was added by `USA:bob`";
    stage.declines(ExitClass::Usage, told, bob.plan_signature(proposal)).await;
    let plan = bob.plan_new_version(proposal).await.unwrap();
    assert_eq!((plan.manifest.version, plan.is_countersignature()), (2, false));
    bob.sign(&plan).await.unwrap();
    // The member who proposed the version before is in the same place now.
    let waits = stage.client("ISR:avi").plan_signature(proposal).await.unwrap();
    assert_eq!((waits.manifest.version, waits.is_countersignature()), (2, true));
    stage.sign("ISR:avi", proposal).await;
    assert_eq!(bob.api().proposal(proposal).await.unwrap().version, Some(2));
    stage.stop().await;
}

#[tokio::test]
async fn call_is_changed_only_by_those_who_read_its_present_state() {
    let stage = Stage::open().await;
    let dana = stage.client("USA:dana");
    let now = stage.clock.now();
    let mut wanted = text(now, now + SignedDuration::from_hours(240));
    let draft = dana.draft_call(stage.program, &wanted).await.unwrap();
    wanted.title = "Another title".into();
    dana.edit_call(draft.id, &wanted).await.unwrap();
    let raw = stage.raw(Some(stage.credential("USA:dana")));
    let edit = |key: &str| {
        let path = format!("/v1/calls/{}", draft.id);
        raw.request(Method::PUT, &path).header("Idempotency-Key", key).json(&json!({ "text": wanted }))
    };
    let publish = |key: &str| {
        let path = format!("/v1/calls/{}/publish", draft.id);
        raw.request(Method::POST, &path).header("Idempotency-Key", key).json(&json!({ "publication": "a.b.c" }))
    };
    stage.refuses_raw(428, "precondition-required", edit("1")).await;
    stage.refuses_raw(428, "precondition-required", publish("2")).await;
    let current = dana.api().call(draft.id).await.unwrap().etag.unwrap();
    for stale in ["\"0\"", "\"1\"", "\"none\""].into_iter().filter(|tag| **tag != *current) {
        stage.refuses_raw(412, "precondition-failed", edit("3").header("If-Match", stale)).await;
        stage.refuses_raw(412, "precondition-failed", publish("4").header("If-Match", stale)).await;
    }
    stage.refuses_raw(400, "malformed", edit("5").header("If-Match", "W/\"1\"")).await;
    // The present state alone does not make up for a publication that nobody signed.
    stage.refuses_raw(422, "statement-invalid", publish("6").header("If-Match", current)).await;
    stage.stop().await;
}

#[tokio::test]
async fn officer_whom_no_registrar_vouches_for_does_not_publish() {
    let stage = Stage::open().await;
    let (dana, opal) = (stage.client("USA:dana"), stage.client("USA:opal"));
    let now = stage.clock.now();
    let draft = dana.draft_call(stage.program, &text(now, now + SignedDuration::from_hours(240))).await.unwrap();
    dana.grant_roles(draft.id, &id("USA:opal"), &[CallRole::Officer].into()).await.unwrap();
    stage.refuses("denied", opal.publish_call(draft.id)).await;
    stage.refuses("denied", opal.draft_call(stage.program, &text(now, stage.deadline))).await;
    dana.publish_call(draft.id).await.unwrap();
    let amended = dana.call(draft.id).await.unwrap().text.clone();
    stage.refuses("denied", opal.amend_call(draft.id, &amended, "why not", None)).await;
    let nobody = dana.grant_roles(draft.id, &id("USA:dana"), &[].into()).await;
    assert!(nobody.is_ok(), "Opal is an officer too");
    stage.refuses("unsuitable", opal.grant_roles(draft.id, &id("USA:opal"), &[].into())).await;
    stage.stop().await;
}

#[tokio::test]
async fn policy_officer_in_a_party_does_not_hear_who_judges_its_proposal() {
    let stage = Stage::open().await;
    let approver = stage.client("ISR:approver");
    let proposal = stage.awaiting_keys().await;
    let readers = approver.api().readers(proposal).await.unwrap();
    assert!(readers.iter().any(|reader| reader.member == id("USA:carol")), "as long as it is only the nation's");
    stage.joins_late("ISR:avi", proposal, "ISR:approver").await;
    stage.refuses("not-found", approver.api().readers(proposal)).await;
    stage.refuses("not-found", approver.api().explanation(proposal, Some(&id("ISR:maya")), "View", None)).await;
    stage.stop().await;
}
