//! What an act reads while others wait for their turn at writing: what it needs, and not all that is stored about it.

use crate::harness::{
    many::{self, Proposal, Rows},
    process::until,
    stage::{Stage, code, id},
    world::Store,
};
use entente::{
    client::directory::NewKeyCard,
    domain::{
        ambient::Clock,
        call::Phase,
        id::{MemberId, ProposalId},
        member::CallRole,
        proposal::Status,
    },
    service::{Principal, RequestContext, proposals},
    storage::{args, db::READERS},
    wire::call::ExtendCall,
};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// More than two statements name.
const MANY: u64 = 1_100;

/// Proposals of these members. Whatever reads one of them as a whole fails: its topic is none.
async fn write_proposals(stage: &Stage, members: &[MemberId]) {
    let mut rows = Rows::new();
    for number in 0..MANY {
        rows.proposal(&Proposal {
            id: many::id("prop", number),
            call: stage.call,
            topic: Some("No topic"),
            members,
            created_at: stage.clock.now(),
            is_withdrawn: false,
        });
    }
    let db = &stage.server.exchange.db;
    rows.write(db).await;
    many::index(db).await;
}

/// Another card for Avi, of the same keys, from another employer.
async fn moves_to(stage: &Stage, organisation: &str) {
    let registrar = stage.client("ISR:registrar");
    let present = registrar.issued_member(&id("ISR:avi")).await.unwrap().card.clone();
    let new = NewKeyCard { organisation: organisation.to_owned(), ..NewKeyCard::like(present) };
    registrar.issue_key_card(&new).await.unwrap();
}

async fn more_time(stage: &Stage, proposal: Option<ProposalId>, until: Timestamp) {
    let body = ExtendCall {
        until: until.into(),
        reason: "an outage".into(),
        partner: None,
        proposal,
        reviews: false,
        dry_run: false,
    };
    stage.client("USA:dana").api().extend_call(stage.call, &body).await.unwrap();
}

async fn key_card_of_who_has_many_proposals(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let (one, later) = (stage.submitted().await, stage.submitted().await);
    stage.clear(later, &["USA:dana"]).await;
    more_time(&stage, Some(later), stage.deadline + DAY).await;
    write_proposals(&stage, &[id("ISR:avi"), id("USA:bob")]).await;
    let kept = async || {
        let sql = "SELECT COUNT(*) AS kept FROM proposal_members WHERE member = 'ISR:avi' \
                   AND deadline_organisation = 'Kinneret Sensing' AND deadline_organisation_folded = 'kinneret sensing'";
        let mut tx = stage.server.exchange.db.read().await.unwrap();
        tx.fetch_one(sql, args![]).await.unwrap().count("kept").unwrap()
    };
    stage.clock.set(stage.deadline + HOUR);
    moves_to(&stage, "Galil Optics").await;
    assert_eq!(kept().await, MANY + 1, "of all but the one that has more time");
    more_time(&stage, None, stage.deadline + DAY * 2).await;
    assert_eq!(kept().await, 0, "before the deadline once more");
    let shown = stage.client("USA:bob").api().proposal(one).await.unwrap();
    assert_eq!(shown.organisations, ["Blue Ridge Navigation", "Galil Optics"].map(String::from).into());
    stage.stop().await;
}

#[tokio::test]
async fn key_card_reads_of_its_members_proposals_what_their_deadlines_follow_from_alone() {
    key_card_of_who_has_many_proposals(Store::Sqlite).await;
    key_card_of_who_has_many_proposals(Store::Postgres).await;
}

async fn act_after_a_change_of_policies(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let proposal = stage.begun().await;
    let exchange = &stage.server.exchange;
    let sql = "SELECT spki FROM member_certificates WHERE member = 'ISR:avi'";
    let row = exchange.db.read().await.unwrap().fetch_one(sql, args![]).await.unwrap();
    let principal = Principal { member: id("ISR:avi"), certificate: row.parse("spki").unwrap() };
    let context = RequestContext::read(principal, false);
    // No connection is free for reading policies, and none are in mind.
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(exchange.db.read().await.unwrap());
    }
    exchange.rules.forget();
    let mut act = Box::pin(proposals::withdraw(exchange, &context, proposal));
    let waits = until("the look at the policies", async || (exchange.db.readers_waiting() == 1).then_some(()));
    tokio::select! {
        done = &mut act => panic!("policies were read in its turn: {done:?}"),
        () = waits => {}
    }
    // Others write meanwhile.
    exchange.db.write().await.unwrap().commit().await.unwrap();
    drop(readers);
    act.await.unwrap();
    assert_eq!(stage.client("ISR:avi").api().proposal(proposal).await.unwrap().status, Status::Withdrawn);
    stage.stop().await;
}

#[tokio::test]
async fn first_act_after_a_change_of_policies_gives_its_turn_back_until_they_are_read() {
    act_after_a_change_of_policies(Store::Sqlite).await;
    act_after_a_change_of_policies(Store::Postgres).await;
}

/// Lapsed proposals of Avi and Bob with which Dana has declared a conflict, and whose label leaves Israel out. None can be read as a whole.
async fn write_lapsed(stage: &Stage) {
    let mut rows = Rows::new();
    let (members, dana) = ([id("ISR:avi"), id("USA:bob")], id("USA:dana"));
    for number in 0..MANY {
        let id = many::id("prop", number);
        let (call, created_at) = (stage.call, stage.clock.now());
        let topic = Some("No topic");
        rows.proposal(&Proposal { id, call, topic, members: &members, created_at, is_withdrawn: false });
        rows.version(id, 1, 1, "{}", true, false);
        rows.label(id, [&code("USA")], &BTreeSet::new());
        rows.declaration(id, &dana, true);
    }
    let db = &stage.server.exchange.db;
    rows.write(db).await;
    many::index(db).await;
}

async fn officer_of_a_large_call(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    write_lapsed(&stage).await;
    let dana = stage.client("USA:dana");
    let gives = async |member: &str, roles: &[CallRole]| {
        let roles: BTreeSet<CallRole> = roles.iter().copied().collect();
        dana.grant_roles(stage.call, &id(member), &roles).await
    };
    // As long as the call is sealed, each of them could come back.
    stage.refuses("unsuitable", gives("USA:walt", &[])).await;
    stage.pass_the_opening();
    gives("ISR:avi", &[CallRole::Observer]).await.unwrap();
    gives("ISR:tamar", &[CallRole::Officer]).await.unwrap();
    gives("USA:frank", &[]).await.unwrap();
    assert_eq!(dana.api().cancel_call(stage.call, "a reason").await.unwrap().phase, Phase::Cancelled);
    stage.stop().await;
}

#[tokio::test]
async fn roles_and_cancellation_read_no_proposal_of_their_call() {
    officer_of_a_large_call(Store::Sqlite).await;
    officer_of_a_large_call(Store::Postgres).await;
}
