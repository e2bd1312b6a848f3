//! How much one may keep: who comes to the end of a quota hears the number, before bytes travel, and nobody else is kept from anything.

use super::arrivals::{begun_in, in_pieces, put as put_annex, sealed_annex};
use crate::harness::{
    exchange::fresh_key,
    process::until,
    stage::{Stage, fresh_code, id, pdf, quiet, slug, text},
    world::{Raw, Store},
};
use entente::{
    client::{Client, Result, api::Paging, directory::NewKeyCard},
    domain::{
        ambient::{Clock as _, SystemClock, SystemRng},
        id::ProposalId,
        member::ConflictGround,
        policy::PolicyOwner,
        proposal::Status,
    },
    sealing::identity::new_identity,
    wire::{
        call::{Call, CallText},
        directory::CreateProgram,
        problem::Problem,
    },
};
use jiff::SignedDuration;
use reqwest::Method;
use std::collections::BTreeSet;

async fn with(store: Store, settings: &[(&str, &str)]) -> Option<Stage> {
    Stage::open_with(store, settings).await
}

/// What a refusal says, which must be that of a quota.
fn reached<T>(refused: Result<T>) -> String {
    let error = refused.map(drop).unwrap_err();
    assert_eq!(error.slug(), Some("quota-reached"), "{error}");
    error.to_string()
}

/// The same of a quota of 24 hours, which says when there is room again.
fn reached_today<T>(refused: Result<T>) -> String {
    let error = refused.map(drop).unwrap_err();
    assert_eq!(error.slug(), Some("daily-quota-reached"), "{error}");
    let told = error.to_string();
    assert!(told.contains("; there is room for this again at 2"), "{told}");
    told
}

async fn put(stage: &Stage, member: &str, proposal: ProposalId, name: &str, content: &str) -> Result<()> {
    let file = stage.file(&format!("{}-{}.pdf", &member[4..], content), &pdf(content));
    stage.client(member).put_document(proposal, &slug(name), &file, None, quiet()).await.map(drop)
}

async fn member_begins_so_many_proposals(store: Store) {
    let Some(stage) = with(store, &[("quotas.proposals_per_member", "2")]).await else { return };
    let avi = stage.client("ISR:avi");
    let submitted = stage.submitted().await;
    assert_eq!(avi.api().proposal(submitted).await.unwrap().status, Status::Submitted);
    let mut begun = Vec::new();
    for _ in 0..2 {
        begun.push(stage.begun().await);
    }
    let told = reached(avi.create_proposal(&stage.joint()).await);
    assert!(told.contains("no more than 2 proposals of one member"), "{told}");
    // A member who withdraws one can bring it back, so it counts.
    avi.api().withdraw_proposal(begun[0]).await.unwrap();
    reached(avi.create_proposal(&stage.joint()).await);
    // The colleague has their own, and one that is submitted makes room.
    stage.client("USA:bob").create_proposal(&stage.joint()).await.unwrap();
    stage.upload_all(begun[1]).await;
    stage.sign("ISR:avi", begun[1]).await;
    stage.sign("USA:bob", begun[1]).await;
    avi.create_proposal(&stage.joint()).await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn member_begins_so_many_proposals_under_a_call() {
    member_begins_so_many_proposals(Store::Sqlite).await;
    member_begins_so_many_proposals(Store::Postgres).await;
}

async fn member_drafts_so_many_calls(store: Store) {
    let settings = [("quotas.drafts_per_member", "2"), ("quotas.calls_per_day_per_partner", "4")];
    let Some(stage) = with(store, &settings).await else { return };
    let dana = stage.client("USA:dana");
    let text = text(stage.clock.now(), stage.deadline);
    let draft = async || dana.draft_call(stage.program, &CallText { code: fresh_code(), ..text.clone() }).await;
    let first = draft().await.unwrap().id;
    draft().await.unwrap();
    let told = reached(draft().await);
    assert!(told.contains("no more than 2 calls that one member has drafted"), "{told}");
    // What is deleted or published makes room, and the stage's own call was published.
    dana.delete_draft(first).await.unwrap();
    let second = draft().await.unwrap().id;
    reached(draft().await);
    dana.publish_call(second).await.unwrap();
    draft().await.unwrap();
    // The stage's call, the one that was published and two drafts are four within a day.
    dana.publish_call(drafts_of(dana).await[0].id).await.unwrap();
    let told = reached_today(draft().await);
    assert!(told.contains("no more than 4 calls that one partner's members draft within 24 hours"), "{told}");
    stage.clock.set(stage.clock.now() + SignedDuration::from_hours(25));
    draft().await.unwrap();
    stage.stop().await;
}

async fn partner_leads_so_many_programs(store: Store) {
    let Some(stage) = with(store, &[("quotas.programs_per_partner", "2")]).await else { return };
    let dana = stage.client("USA:dana");
    let create = async |lead: &str| {
        let lead = lead.parse().unwrap();
        let partners = ["USA", "ISR"].map(|code| code.parse().unwrap()).into();
        dana.api().create_program(&CreateProgram { name: "Another".into(), lead, partners }).await
    };
    // The stage's own is the first.
    create("USA").await.unwrap();
    let told = reached(create("USA").await);
    assert!(told.contains("no more than 2 programs that one partner leads"), "{told}");
    create("ISR").await.unwrap();
    assert_eq!(dana.api().programs(&Paging::default()).await.unwrap().items.len(), 3, "what was refused left nothing");
    stage.stop().await;
}

#[tokio::test]
async fn partner_leads_so_many_programs_at_most() {
    partner_leads_so_many_programs(Store::Sqlite).await;
    partner_leads_so_many_programs(Store::Postgres).await;
}

async fn drafts_of(dana: &Client) -> Vec<Call> {
    let calls = dana.api().calls(None, &Paging::default()).await.unwrap().items;
    calls.into_iter().filter(|call| call.version == 0).collect()
}

#[tokio::test]
async fn member_drafts_so_many_calls_and_a_partner_so_many_a_day() {
    member_drafts_so_many_calls(Store::Sqlite).await;
    member_drafts_so_many_calls(Store::Postgres).await;
}

async fn party_keeps_so_many_documents(store: Store) {
    let settings = [("quotas.documents_per_slot", "2"), ("quotas.documents_per_party", "3")];
    let Some(stage) = with(store, &settings).await else { return };
    let proposal = stage.begun().await;
    for content in ["one", "two"] {
        put(&stage, "ISR:avi", proposal, "work-plan", content).await.unwrap();
    }
    let told = reached(put(&stage, "ISR:avi", proposal, "work-plan", "three").await);
    assert!(told.contains("no more than 2 documents of one party in one slot"), "{told}");
    put(&stage, "ISR:avi", proposal, "shareholders", "four").await.unwrap();
    let told = reached(put(&stage, "ISR:avi", proposal, "shareholders", "five").await);
    assert!(told.contains("no more than 3 documents of one party"), "{told}");
    // What the others keep is theirs.
    put(&stage, "USA:bob", proposal, "shareholders", "six").await.unwrap();
    let held = stage.client("ISR:avi").api().documents(proposal).await.unwrap().len();
    assert_eq!(held, 3, "the work plan, and each party's shareholders");
    stage.stop().await;
}

#[tokio::test]
async fn party_keeps_so_many_documents_of_a_slot_and_in_all() {
    party_keeps_so_many_documents(Store::Sqlite).await;
    party_keeps_so_many_documents(Store::Postgres).await;
}

#[tokio::test]
async fn party_keeps_so_many_bytes() {
    // One of these has some 14 KiB.
    let stage = with(Store::Sqlite, &[("quotas.bytes_per_party", "32768")]).await.unwrap();
    let proposal = stage.begun().await;
    for content in ["one", "two"] {
        put(&stage, "ISR:avi", proposal, "work-plan", content).await.unwrap();
    }
    let told = reached(put(&stage, "ISR:avi", proposal, "work-plan", "three").await);
    assert!(told.contains("no more than 32768 bytes of one party's documents"), "{told}");
    stage.stop().await;
}

#[tokio::test]
async fn document_that_is_on_its_way_counts_as_one_that_is_here() {
    let settings = [("quotas.documents_per_slot", "1"), ("quotas.bytes_per_partner", "200000")];
    let stage = with(Store::Sqlite, &settings).await.unwrap();
    let (proposal, other) = (stage.begun().await, stage.begun().await);
    let sealed = sealed_annex();
    let (hand_over, body) = in_pieces();
    hand_over.send(sealed[..4000].to_vec()).await.unwrap();
    let coming = tokio::spawn(put_annex(&stage, "ISR:avi", proposal, &sealed).body(body).send());
    until("the first bytes", async || (begun_in(&stage.plan.dir) == 1).then_some(())).await;
    let refused = async |proposal| {
        let answer = put_annex(&stage, "ISR:avi", proposal, &sealed).body(sealed.clone()).send().await.unwrap();
        assert_eq!(answer.status(), 409);
        answer.json::<Problem>().await.unwrap().detail
    };
    let told = refused(proposal).await;
    assert!(told.contains("no more than 1 document of one party in one slot"), "{told}");
    // The other proposal has room in the slot; two of these and the third have more bytes than the partner may keep.
    let (second, body) = in_pieces();
    let also_coming = tokio::spawn(put_annex(&stage, "ISR:avi", other, &sealed).body(body).send());
    second.send(sealed[..4000].to_vec()).await.unwrap();
    until("both", async || (begun_in(&stage.plan.dir) == 2).then_some(())).await;
    let told = refused(stage.begun().await).await;
    assert!(told.contains("replaced ones and those on their way included"), "{told}");
    // The other nation has room, and what was let in arrives.
    let answer = put_annex(&stage, "USA:bob", other, &sealed).body(sealed.clone()).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    for (hand_over, coming) in [(hand_over, coming), (second, also_coming)] {
        hand_over.send(sealed[4000..].to_vec()).await.unwrap();
        drop(hand_over);
        assert_eq!(coming.await.unwrap().unwrap().status(), 201);
    }
    stage.stop().await;
}

#[tokio::test]
async fn member_has_so_much_on_its_way_and_colleagues_have_room() {
    let settings = [("quotas.arriving_per_slot_per_member", "1"), ("quotas.arriving_bytes_per_member", "120000")];
    let stage = with(Store::Sqlite, &settings).await.unwrap();
    let (proposal, other) = (stage.begun().await, stage.begun().await);
    stage.joins("ISR:avi", proposal, "ISR:tamar").await;
    let sealed = sealed_annex();
    let (hand_over, body) = in_pieces();
    hand_over.send(sealed[..4000].to_vec()).await.unwrap();
    let coming = tokio::spawn(put_annex(&stage, "ISR:avi", proposal, &sealed).body(body).send());
    until("the first bytes", async || (begun_in(&stage.plan.dir) == 1).then_some(())).await;
    let told = async |proposal| {
        let answer = put_annex(&stage, "ISR:avi", proposal, &sealed).body(sealed.clone()).send().await.unwrap();
        assert_eq!(answer.status(), 409);
        answer.json::<Problem>().await.unwrap().detail
    };
    let slot = told(proposal).await;
    assert!(slot.contains("no more than 1 document of one member on their way to one slot"), "{slot}");
    let bytes = told(other).await;
    assert!(bytes.contains("no more than 120000 bytes of one member's documents that are on their way"), "{bytes}");
    // A colleague of the same party has room in the same slot, and what was let in arrives.
    let answer = put_annex(&stage, "ISR:tamar", proposal, &sealed).body(sealed.clone()).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    hand_over.send(sealed[4000..].to_vec()).await.unwrap();
    drop(hand_over);
    assert_eq!(coming.await.unwrap().unwrap().status(), 201);
    // What is here is no longer on its way.
    let answer = put_annex(&stage, "ISR:avi", other, &sealed).body(sealed.clone()).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    stage.stop().await;
}

#[tokio::test]
async fn bytes_that_a_version_announces_count_as_those_that_are_here() {
    let stage = with(Store::Sqlite, &[("quotas.bytes_per_party", "65536")]).await.unwrap();
    let proposal = stage.prepared().await;
    let avi = stage.client("ISR:avi");
    let large = stage.file("large.pdf", &pdf(&"x".repeat(150_000)));
    avi.seal_document(proposal, &slug("work-plan"), &large, None, quiet()).await.unwrap();
    let told = reached(avi.sign(&avi.plan_signature(proposal).await.unwrap()).await);
    assert!(told.contains("no more than 131072 bytes of all parties' documents"), "{told}");
    assert!(avi.api().manifests(proposal).await.unwrap().is_empty());
    stage.stop().await;
}

#[tokio::test]
async fn parties_propose_so_many_versions() {
    let stage = with(Store::Sqlite, &[("quotas.versions_per_proposal", "1")]).await.unwrap();
    let proposal = stage.prepared().await;
    stage.sign("ISR:avi", proposal).await;
    put(&stage, "ISR:avi", proposal, "work-plan", "another").await.unwrap();
    let avi = stage.client("ISR:avi");
    let told = reached(avi.sign(&avi.plan_signature(proposal).await.unwrap()).await);
    assert!(told.contains("no more than 1 version of one proposal"), "{told}");
    assert_eq!(avi.api().manifests(proposal).await.unwrap().len(), 1);
    stage.stop().await;
}

async fn officers_change_roles_so_often(store: Store) {
    // When the stage is set, Dana has signed seven changes, and Noa one.
    let Some(stage) = with(store, &[("quotas.role_changes_per_call_per_partner", "8")]).await else { return };
    let (dana, noa, nothing) = (stage.client("USA:dana"), stage.client("ISR:noa"), BTreeSet::new());
    let (carol, maya) = (id("USA:carol"), id("ISR:maya"));
    dana.grant_roles(stage.call, &id("ISR:yael"), &nothing).await.unwrap();
    let before = stage.census().await;
    let told = reached(dana.grant_roles(stage.call, &maya, &nothing).await);
    assert!(told.contains("no more than 8 changes of the roles in one call"), "{told}");
    reached(dana.preview_roles(stage.call, &maya, &nothing).await);
    assert_eq!(stage.census().await, before);
    // The officers of the other nation have their own number, and everybody lays down a role of their own.
    noa.grant_roles(stage.call, &maya, &nothing).await.unwrap();
    stage.client("USA:carol").grant_roles(stage.call, &carol, &nothing).await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn officers_of_a_partner_change_the_roles_of_a_call_so_often() {
    officers_change_roles_so_often(Store::Sqlite).await;
    officers_change_roles_so_often(Store::Postgres).await;
}

async fn call_is_amended_so_often(store: Store) {
    let Some(stage) = with(store, &[("quotas.amendments_per_call", "2")]).await else { return };
    let dana = stage.client("USA:dana");
    let amend = async |words: &str| {
        let mut text = dana.call(stage.call).await?.text.clone();
        words.clone_into(&mut text.text);
        dana.amend_call(stage.call, &text, "the funders agreed", None).await
    };
    amend("One company from each nation.").await.unwrap();
    assert_eq!(amend("One company from each nation, and no more.").await.unwrap().call.version, 3);
    let before = stage.census().await;
    let told = reached(amend("Two companies.").await);
    assert!(told.contains("no more than 2 amendments of one call"), "{told}");
    assert_eq!(stage.census().await, before);
    stage.stop().await;
}

#[tokio::test]
async fn call_is_amended_so_often_and_no_more() {
    call_is_amended_so_often(Store::Sqlite).await;
    call_is_amended_so_often(Store::Postgres).await;
}

async fn interests_are_declared_so_often(store: Store) {
    let Some(stage) = with(store, &[("quotas.declarations_per_member_and_proposal", "3")]).await else { return };
    let proposal = stage.under_review().await;
    let (carol, noa, ground) = (stage.client("USA:carol"), stage.client("ISR:noa"), Some(ConflictGround::Other));
    carol.declare(proposal, ground).await.unwrap();
    noa.lift_conflict(proposal, &id("USA:carol"), "another firm of that name").await.unwrap();
    let before = stage.census().await;
    let told = reached(carol.declare(proposal, None).await);
    assert!(told.contains("no more than 3 statements about one member's interest in one proposal"), "{told}");
    assert_eq!(stage.census().await, before);
    // A conflict is taken all the same, and nothing after it.
    carol.declare(proposal, ground).await.unwrap();
    let before = stage.census().await;
    reached(noa.lift_conflict(proposal, &id("USA:carol"), "once more").await);
    stage.refuses("not-found", carol.declare(proposal, ground)).await;
    assert_eq!(stage.census().await, before);
    // What others declare is counted by itself.
    stage.client("ISR:maya").declare(proposal, ground).await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn interest_of_a_member_in_a_proposal_is_declared_so_often_and_a_conflict_always() {
    interests_are_declared_so_often(Store::Sqlite).await;
    interests_are_declared_so_often(Store::Postgres).await;
}

async fn nation_keeps_so_many_bytes(store: Store) {
    let Some(stage) = with(store, &[("quotas.bytes_per_partner", "32768")]).await else { return };
    for content in ["one", "two"] {
        let proposal = stage.begun().await;
        put(&stage, "ISR:avi", proposal, "work-plan", content).await.unwrap();
    }
    let proposal = stage.begun().await;
    let told = reached(put(&stage, "ISR:avi", proposal, "work-plan", "three").await);
    assert!(told.contains("no more than 32768 bytes of all documents that one partner has uploaded"), "{told}");
    // The other nation has room.
    put(&stage, "USA:bob", proposal, "work-plan", "four").await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn nation_keeps_so_many_bytes_over_all_its_proposals() {
    nation_keeps_so_many_bytes(Store::Sqlite).await;
    nation_keeps_so_many_bytes(Store::Postgres).await;
}

#[tokio::test]
async fn uploads_leave_a_reserve_of_the_disk_to_acts() {
    // More than any disk has: none of it is left to uploads.
    let stage = with(Store::Sqlite, &[("blobs.reserve_bytes", "9000000000000000000")]).await.unwrap();
    let proposal = stage.begun().await;
    let before = stage.blobs();
    let refused = put(&stage, "ISR:avi", proposal, "work-plan", "one").await.unwrap_err();
    assert_eq!(refused.slug(), Some("storage-full"), "{refused}");
    assert_eq!(stage.blobs(), before, "what is refused leaves no bytes");
    stage.client("ISR:avi").api().withdraw_proposal(proposal).await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn nation_proposes_so_many_versions_of_its_policies_a_day() {
    let stage = with(Store::Sqlite, &[("quotas.policy_versions_per_day", "2")]).await.unwrap();
    let israel: PolicyOwner = "ISR".parse().unwrap();
    let drafter = stage.client("ISR:drafter");
    let text = drafter.policy(&israel).await.unwrap().text.unwrap();
    // Those of the world's beginning were proposed the day before.
    stage.clock.set(stage.clock.now() + SignedDuration::from_hours(25));
    let propose = async || drafter.propose_policy(&israel, "ISR", &text, None).await;
    for _ in 0..2 {
        let version = propose().await.unwrap();
        drafter.api().withdraw_policy(&israel, version.version).await.unwrap();
    }
    let told = reached_today(propose().await);
    assert!(told.contains("no more than 2 versions of one owner's policies proposed within 24 hours"), "{told}");
    stage.clock.set(stage.clock.now() + SignedDuration::from_hours(24));
    propose().await.unwrap();
    stage.stop().await;
}

/// The member's card once more; a new member's with what Avi's says.
async fn issue(stage: &Stage, member: &str, is_new: bool) -> Result<()> {
    let registrar = stage.client(&format!("{}:registrar", id(member).partner()));
    let like = if is_new { "ISR:avi" } else { member };
    let mut new = NewKeyCard::like(registrar.issued_member(&id(like)).await?.card.clone());
    if is_new {
        let next = stage.next_credential(member);
        new = NewKeyCard {
            member: id(member),
            recipients: vec![new_identity().recipient().to_owned()],
            certificates: vec![next.spki],
            shown: vec![next.certificate],
            ..new
        };
    }
    registrar.issue_key_card(&new).await.map(drop)
}

async fn member_gets_so_many_key_cards(store: Store) {
    let Some(stage) = with(store, &[("quotas.key_cards_per_day_per_member", "3")]).await else { return };
    let (registrar, avi) = (stage.client("ISR:registrar"), id("ISR:avi"));
    // Those of the world's beginning were published the day before.
    stage.clock.set(stage.clock.now() + SignedDuration::from_hours(25));
    for _ in 0..3 {
        issue(&stage, "ISR:avi", false).await.unwrap();
    }
    let before = stage.census().await;
    let told = reached_today(issue(&stage, "ISR:avi", false).await);
    assert!(told.contains("no more than 3 key cards of one member published within 24 hours"), "{told}");
    assert_eq!(stage.census().await, before);
    issue(&stage, "ISR:tamar", false).await.unwrap();
    // A card in force is revoked at any time, once.
    registrar.revoke_key_card(&avi, true).await.unwrap();
    reached_today(registrar.revoke_key_card(&avi, false).await);
    stage.clock.set(stage.clock.now() + SignedDuration::from_hours(25));
    registrar.revoke_key_card(&avi, false).await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn member_gets_so_many_key_cards_a_day_and_is_revoked_all_the_same() {
    member_gets_so_many_key_cards(Store::Sqlite).await;
    member_gets_so_many_key_cards(Store::Postgres).await;
}

async fn partner_has_so_many_members(store: Store) {
    // Minjun, the registrar and two policy officers are Korea's; Israel has more.
    let Some(stage) = with(store, &[("quotas.members_per_partner", "5")]).await else { return };
    let told = reached(issue(&stage, "ISR:newcomer", true).await);
    assert!(told.contains("no more than 5 members of one partner"), "{told}");
    issue(&stage, "KOR:newcomer", true).await.unwrap();
    reached(issue(&stage, "KOR:another", true).await);
    // Who is a member gets the next card, and who was revoked stays one.
    issue(&stage, "ISR:avi", false).await.unwrap();
    stage.client("KOR:registrar").revoke_key_card(&id("KOR:newcomer"), true).await.unwrap();
    reached(issue(&stage, "KOR:another", true).await);
    stage.stop().await;
}

#[tokio::test]
async fn partner_has_so_many_members_revoked_ones_included() {
    partner_has_so_many_members(Store::Sqlite).await;
    partner_has_so_many_members(Store::Postgres).await;
}

#[tokio::test]
async fn member_and_partner_add_so_many_bytes_to_the_database_a_day() {
    let settings = [("quotas.stored_bytes_per_day_per_member", "60000")];
    let stage = with(Store::Sqlite, &settings).await.unwrap();
    let (dana, mut text) = (stage.client("USA:dana"), text(stage.clock.now(), stage.deadline));
    text.text = "x".repeat(20_000);
    let draft = dana.draft_call(stage.program, &text).await;
    // Its request and its answer have the text, so a second one is too much.
    let told = match draft {
        Ok(_) => reached_today(dana.draft_call(stage.program, &text).await),
        refused => reached_today(refused),
    };
    let what = "no more than 60000 bytes that acts and logged reads of one member add to the database within 24 hours";
    assert!(told.contains(what), "{told}");
    assert!(drafts_of(dana).await.len() <= 1, "what is refused is not kept");
    // Others go on, and the next day there is room again.
    stage.begun().await;
    stage.clock.set(stage.clock.now() + SignedDuration::from_hours(24));
    dana.draft_call(stage.program, &text).await.unwrap();
    stage.stop().await;
}

/// Acts that come to nothing, by one who never learns of the proposal, until one is refused for their number: how many, and the answer.
async fn acts(stage: &Stage, member: &str, most: usize) -> (usize, Option<reqwest::Response>) {
    let raw = stage.raw(Some(stage.credential(member)));
    let path = format!("/v1/proposals/{}/withdraw", ProposalId::new(&SystemClock, &SystemRng));
    for done in 0..most {
        let answer = raw.request(Method::POST, &path).header("idempotency-key", fresh_key()).send().await.unwrap();
        if answer.status() == 429 {
            return (done, Some(answer));
        }
        assert_eq!(answer.status(), 404);
    }
    (most, None)
}

#[tokio::test]
async fn member_acts_so_often_a_minute_and_others_go_on() {
    let stage = with(Store::Sqlite, &[("quotas.acts_per_minute_per_member", "20")]).await.unwrap();
    // One more comes free every three seconds: a member who acts faster than that comes to the end.
    let (done, refused) = acts(&stage, "ISR:avi", 400).await;
    assert!(done >= 100, "those of five minutes come at once: {done}");
    let refused = refused.expect("more than the share of five minutes at once");
    let header = |name: &str| refused.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("ratelimit-policy"), "\"acts\";q=100;w=300");
    assert!(header("ratelimit").starts_with("\"acts\";r=0;t="), "{}", header("ratelimit"));
    assert!((1..=4).contains(&header("retry-after").parse::<u64>().unwrap()));
    let problem: Problem = refused.json().await.unwrap();
    assert_eq!(problem.slug(), "too-many-acts");
    assert!(problem.detail.contains("one member may make at most 20 acts a minute"), "{}", problem.detail);
    // Colleagues and other partners act meanwhile, and the member who has come to the end reads.
    assert_eq!(acts(&stage, "ISR:tamar", 1).await.0, 1);
    stage.client("USA:bob").create_proposal(&stage.joint()).await.unwrap();
    stage.client("ISR:avi").call(stage.call).await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn partner_acts_so_often_a_minute_and_its_registrar_revokes_all_the_same() {
    let stage = with(Store::Sqlite, &[("quotas.acts_per_minute_per_partner", "20")]).await.unwrap();
    let (_, refused) = acts(&stage, "ISR:avi", 400).await;
    let refused = refused.expect("more than the partner's share");
    assert_eq!(refused.headers()["ratelimit-policy"], "\"acts-of-partner\";q=100;w=300");
    let problem: Problem = refused.json().await.unwrap();
    assert_eq!(problem.slug(), "too-many-acts");
    stage.client("USA:bob").create_proposal(&stage.joint()).await.unwrap();
    stage.client("ISR:registrar").revoke_key_card(&id("ISR:avi"), true).await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn member_reads_so_much_a_minute_of_what_leaves_an_entry() {
    let stage = with(Store::Sqlite, &[("quotas.logged_reads_per_minute", "60")]).await.unwrap();
    let proposal = stage.begun().await;
    let path = format!("/v1/proposals/{proposal}/vaults");
    let raw = |member: &str| stage.raw(Some(stage.credential(member)));
    let (avi, bob) = (raw("ISR:avi"), raw("USA:bob"));
    let read = async |raw: &Raw| raw.request(Method::GET, &path).send().await.unwrap();
    // One more comes free each second: a member who asks faster than that comes to the end.
    let mut refused = None;
    for _ in 0..600 {
        let answer = read(&avi).await;
        if answer.status() == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status(), 200);
    }
    let refused = refused.expect("more than a minute's share at once");
    let header = |name: &str| refused.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("ratelimit-policy"), "\"logged-reads\";q=60;w=60");
    assert!(header("ratelimit").starts_with("\"logged-reads\";r=0;t="), "{}", header("ratelimit"));
    assert!((1..=60).contains(&header("retry-after").parse::<u64>().unwrap()));
    let problem: Problem = refused.json().await.unwrap();
    assert_eq!(problem.slug(), "too-many-reads");
    // Others read meanwhile, and what leaves no entry is read by all.
    assert_eq!(read(&bob).await.status(), 200);
    stage.client("ISR:avi").api().proposal(proposal).await.unwrap();
    stage.stop().await;
}
