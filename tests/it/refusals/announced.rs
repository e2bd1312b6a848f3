//! What every party has signed for is taken once, and a nation announces no more than it may keep.

use super::arrivals::{begun_in, in_pieces, put};
use crate::harness::{
    process::until,
    stage::{GRACE, NATIONS, Stage, id, pdf, quiet, slug},
    world::{Store, TestWorld},
};
use entente::{
    client::ClientError,
    domain::{id::ProposalId, proposal::Status},
    service::upkeep,
    storage::announced,
    wire::problem::Problem,
};
use jiff::SignedDuration;
use std::fs;

pub(super) async fn with(store: Store, settings: &[(&str, &str)]) -> Option<Stage> {
    Some(Stage::open_in(TestWorld::start_with(NATIONS, store, settings).await?).await)
}

/// An annex that is sealed on the member's machine alone: more than 64 KiB.
async fn sealed_annex(stage: &Stage, member: &str, proposal: ProposalId) -> Vec<u8> {
    let annex = stage.file(&format!("{proposal}.bin"), &vec![7; 90_000]);
    let record = stage.client(member).seal_document(proposal, &slug("annex"), &annex, None, quiet()).await.unwrap();
    fs::read(record.sealed.unwrap()).unwrap()
}

/// A proposal whose only version every party has signed, and the annex that the version names and nobody has sent. It names a work plan
/// that nobody has sent either, so it does not become complete.
pub(super) async fn committed(stage: &Stage) -> (ProposalId, Vec<u8>) {
    let proposal = stage.prepared().await;
    let annex = sealed_annex(stage, "ISR:avi", proposal).await;
    let plan = stage.file("final.pdf", &pdf("the final work plan"));
    stage.client("ISR:avi").seal_document(proposal, &slug("work-plan"), &plan, None, quiet()).await.unwrap();
    stage.sign("ISR:avi", proposal).await;
    stage.sign("USA:bob", proposal).await;
    assert_eq!(stage.client("ISR:avi").api().proposal(proposal).await.unwrap().status, Status::Committed);
    (proposal, annex)
}

/// Uploads the annex at once: the status, and the refusal if there is one.
pub(super) async fn send(stage: &Stage, member: &str, proposal: ProposalId, annex: &[u8]) -> (u16, String) {
    let answer = put(stage, member, proposal, annex).body(annex.to_vec()).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json::<Problem>().await.map(|problem| problem.detail).unwrap_or_default())
}

async fn awaited_document_passes_the_quotas_once(store: Store) {
    let Some(stage) = with(store, &[("quotas.documents_per_slot", "1")]).await else { return };
    let (proposal, annex) = committed(&stage).await;
    assert_eq!(send(&stage, "ISR:avi", proposal, &annex).await.0, 201);
    let before = stage.census().await;
    let (status, told) = send(&stage, "ISR:avi", proposal, &annex).await;
    assert_eq!(status, 409, "{told}");
    assert!(told.contains("no more than 1 document of one party in one slot"), "{told}");
    assert_eq!(stage.census().await, before);
    // The other party's quota is its own, and the work plan is awaited still.
    assert_eq!(send(&stage, "USA:bob", proposal, &annex).await.0, 201);
    let avi = stage.client("ISR:avi");
    for record in avi.interrupted_uploads().unwrap() {
        if record.slot == slug("work-plan") {
            avi.resume_upload(&record, quiet()).await.unwrap();
        }
    }
    assert_eq!(avi.api().proposal(proposal).await.unwrap().status, Status::Submitted);
    stage.stop().await;
}

#[tokio::test]
async fn document_that_is_awaited_passes_the_quotas_once() {
    awaited_document_passes_the_quotas_once(Store::Sqlite).await;
    awaited_document_passes_the_quotas_once(Store::Postgres).await;
}

#[tokio::test]
async fn awaited_document_that_a_colleague_sends_already_counts_as_any_other_until_that_breaks_off() {
    let stage = with(Store::Sqlite, &[("quotas.documents_per_slot", "1")]).await.unwrap();
    let (proposal, annex) = committed(&stage).await;
    let (hand_over, body) = in_pieces();
    hand_over.send(annex[..4000].to_vec()).await.unwrap();
    let begun = begun_in(&stage.plan.dir);
    let coming = tokio::spawn(put(&stage, "ISR:avi", proposal, &annex).body(body).send());
    until("the first bytes", async || (begun_in(&stage.plan.dir) > begun).then_some(())).await;
    let (status, told) = send(&stage, "ISR:avi", proposal, &annex).await;
    assert!(status == 409 && told.contains("no more than 1 document of one party in one slot"), "{told}");
    // It breaks off, and is sent again.
    drop(hand_over);
    drop(coming.await.unwrap());
    until("room for another attempt", async || {
        (send(&stage, "ISR:avi", proposal, &annex).await.0 == 201).then_some(())
    })
    .await;
    stage.stop().await;
}

#[tokio::test]
async fn awaited_documents_count_as_those_that_a_member_has_on_the_way() {
    let stage = with(Store::Sqlite, &[("quotas.arriving_bytes_per_member", "50000")]).await.unwrap();
    let (proposal, annex) = committed(&stage).await;
    let (status, told) = send(&stage, "ISR:avi", proposal, &annex).await;
    assert_eq!(status, 409, "{told}");
    assert!(told.contains("no more than 50000 bytes of one member's documents that are on their way"), "{told}");
    stage.stop().await;
}

async fn nation_announces_so_many_bytes(store: Store) {
    // What is prepared has some 30 KiB of a party's own, and an annex some 90 KiB.
    let Some(stage) = with(store, &[("quotas.bytes_per_partner", "220000")]).await else { return };
    let (first, annex) = committed(&stage).await;
    let other = stage.prepared().await;
    let avi = stage.client("ISR:avi");
    let sealed = sealed_annex(&stage, "ISR:avi", other).await;
    let plan = avi.plan_signature(other).await.unwrap();
    let told = avi.sign(&plan).await.map(drop).unwrap_err();
    assert_eq!(told.slug(), Some("quota-reached"), "{told}");
    assert!(
        told.to_string()
            .contains("no more than 220000 bytes of all documents that one partner has uploaded or announces"),
        "{told}"
    );
    assert!(avi.api().manifests(other).await.unwrap().is_empty());
    // Nor is the room used up by what nobody signed for, and what was signed for arrives.
    let (status, told) = send(&stage, "ISR:avi", other, &sealed).await;
    assert_eq!(status, 409, "{told}");
    assert_eq!(send(&stage, "ISR:avi", first, &annex).await.0, 201);
    stage.stop().await;
}

#[tokio::test]
async fn nation_announces_no_more_bytes_than_it_may_keep() {
    nation_announces_so_many_bytes(Store::Sqlite).await;
    nation_announces_so_many_bytes(Store::Postgres).await;
}

/// Signs for an annex of some 90 KiB that stays on the member's machine: the refusal, if there is one.
async fn announces(stage: &Stage, member: &str, proposal: ProposalId) -> Result<(), ClientError> {
    sealed_annex(stage, member, proposal).await;
    let client = stage.client(member);
    let plan = client.plan_signature(proposal).await.unwrap();
    client.sign(&plan).await.map(drop)
}

async fn member_announces_so_many_bytes(store: Store) {
    let settings = [("quotas.announced_bytes_per_member", "150000"), ("quotas.bytes_per_partner", "330000")];
    let Some(stage) = with(store, &settings).await else { return };
    committed(&stage).await;
    let (second, third) = (stage.prepared().await, stage.prepared().await);
    for proposal in [second, third] {
        stage.joins("ISR:avi", proposal, "ISR:tamar").await;
    }
    let told = announces(&stage, "ISR:avi", second).await.unwrap_err();
    assert_eq!(told.slug(), Some("quota-reached"), "{told}");
    assert!(
        told.to_string().contains("no more than 150000 bytes of documents that one member has signed for"),
        "{told}"
    );
    // What a member may not, a colleague still may, as long as their nation has room.
    announces(&stage, "ISR:tamar", second).await.unwrap();
    let told = announces(&stage, "ISR:tamar", third).await.unwrap_err();
    assert!(told.to_string().contains("no more than 150000 bytes"), "{told}");
    stage.stop().await;
}

#[tokio::test]
async fn member_announces_a_share_of_what_their_nation_may() {
    member_announces_so_many_bytes(Store::Sqlite).await;
    member_announces_so_many_bytes(Store::Postgres).await;
}

async fn room_of_whose_card_is_revoked_is_free_again(store: Store) {
    let Some(stage) = with(store, &[("quotas.bytes_per_partner", "220000")]).await else { return };
    committed(&stage).await;
    let other = stage.prepared().await;
    stage.joins("ISR:avi", other, "ISR:tamar").await;
    let told = announces(&stage, "ISR:tamar", other).await.unwrap_err();
    assert!(told.to_string().contains("no more than 220000 bytes of all documents"), "{told}");
    stage.client("ISR:registrar").revoke_key_card(&id("ISR:avi"), true).await.unwrap();
    announces(&stage, "ISR:tamar", other).await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn no_room_is_kept_for_whose_key_card_is_revoked() {
    room_of_whose_card_is_revoked_is_free_again(Store::Sqlite).await;
    room_of_whose_card_is_revoked_is_free_again(Store::Postgres).await;
}

async fn room_is_kept_until_documents_are_here(store: Store) {
    let Some(stage) = with(store, &[]).await else { return };
    let (proposal, annex) = committed(&stage).await;
    let announced = async |member: &str| {
        let mut tx = stage.server.exchange.db.read().await.unwrap();
        announced::of_partner(&mut tx, &id(member), proposal).await.unwrap().here
    };
    let (both, size) = (announced("ISR:avi").await, annex.len() as u64);
    assert!(both > size, "the annex and the work plan: {both}");
    assert_eq!(announced("USA:bob").await, both, "either party may send what belongs to all");
    assert_eq!(send(&stage, "ISR:avi", proposal, &annex).await.0, 201);
    assert_eq!((announced("ISR:avi").await, announced("USA:bob").await), (both - size, both - size));
    let release = async || upkeep::release_announced(&stage.server.exchange).await.unwrap();
    stage.clock.set(stage.deadline + GRACE);
    assert_eq!(release().await, 0, "it can still come");
    stage.clock.set(stage.deadline + GRACE + SignedDuration::from_secs(1));
    assert_eq!((release().await, release().await), (1, 0));
    assert_eq!((announced("ISR:avi").await, announced("USA:bob").await), (0, 0));
    stage.stop().await;
}

#[tokio::test]
async fn room_for_what_was_signed_for_is_kept_until_it_is_here_or_can_no_longer_come() {
    room_is_kept_until_documents_are_here(Store::Sqlite).await;
    room_is_kept_until_documents_are_here(Store::Postgres).await;
}
