//! A request that is sent again because its answer was lost: also when it ended its caller's own access to what it was about. It is
//! answered as done, does nothing twice, and says nothing of what is hidden by then.

use crate::{
    harness::{
        stage::{Stage, Step, code, id, slug},
        world::{Raw, Store},
    },
    refusals::lies::key_of,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use entente::{
    client::directory::NewKeyCard,
    domain::{
        ambient::Clock,
        id::{ProposalId, Sha256},
        member::{ConflictGround, Declared},
        policy::PolicyOwner,
    },
    sealing::{
        identity::new_identity,
        seal::seal_bytes,
        statement::{
            DeclarationStatement, InvitationStatement, PolicyApproval, PolicyStatement, sign_statement, verify_signed,
        },
    },
    wire::{
        AGE_MEDIA_TYPE, Time,
        call::ExtendCall,
        policy::{ApprovePolicy, ProposePolicy},
        proposal::AddMember,
        review::DeclareConflict,
    },
};
use jiff::SignedDuration;
use reqwest::{Method, RequestBuilder, Response};
use std::collections::BTreeMap;

/// A request of a member under a key.
fn request(raw: &Raw, method: Method, path: &str, key: &str) -> RequestBuilder {
    raw.request(method, path).header("Idempotency-Key", key)
}

/// Status, and what comes with it: whether it is repeated, where it points, and the body.
async fn told(response: Response) -> (u16, bool, Option<String>, String) {
    let field = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (is_repeated, location) = (field("idempotent-replay").is_some(), field("location"));
    (response.status().as_u16(), is_repeated, location, response.text().await.unwrap())
}

async fn sees(raw: &Raw, proposal: ProposalId) -> bool {
    raw.request(Method::GET, &format!("/v1/proposals/{proposal}")).send().await.unwrap().status() == 200
}

async fn conflict_that_hides_the_proposal_is_answered_again(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let proposal = stage.submitted().await;
    stage.pass_the_opening();
    let olivia = stage.raw(Some(stage.credential("USA:olivia")));
    let ground = Some(ConflictGround::Employment);
    let said = DeclarationStatement {
        proposal,
        member: id("USA:olivia"),
        number: 1,
        previous: None,
        declared: Declared::Conflict,
        ground,
        reference: None,
    };
    let statement = sign_statement(&key_of(&stage, "USA:olivia"), &said).unwrap();
    let body = DeclareConflict { conflict: true, ground, statement };
    let path = format!("/v1/proposals/{proposal}/declaration");
    let declare = |key: &str| request(&olivia, Method::PUT, &path, key).json(&body).send();
    assert!(sees(&olivia, proposal).await);
    assert_eq!(told(declare("conflict").await.unwrap()).await, (204, false, None, String::new()));
    assert!(!sees(&olivia, proposal).await);
    let before = stage.census().await;
    assert_eq!(told(declare("conflict").await.unwrap()).await, (204, true, None, String::new()));
    assert_eq!(stage.census().await, before, "it was done once");
    // Under another key it is another act, about something that does not exist for her.
    stage.refuses_raw(404, "not-found", request(&olivia, Method::PUT, &path, "another").json(&body)).await;
    let withdraw = format!("/v1/proposals/{proposal}/withdraw");
    stage.refuses_raw(404, "not-found", request(&olivia, Method::POST, &withdraw, "conflict")).await;
    // Nobody else learns anything by her key.
    let noa = stage.raw(Some(stage.credential("ISR:noa")));
    stage.refuses_raw(422, "statement-invalid", request(&noa, Method::PUT, &path, "conflict").json(&body)).await;
    stage.stop().await;
}

#[tokio::test]
async fn conflict_that_hides_the_proposal_is_answered_again_on_sqlite() {
    conflict_that_hides_the_proposal_is_answered_again(Store::Sqlite).await;
}

#[tokio::test]
async fn conflict_that_hides_the_proposal_is_answered_again_on_postgresql() {
    conflict_that_hides_the_proposal_is_answered_again(Store::Postgres).await;
}

async fn hand_over_that_ends_in_leaving_is_answered_again(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let proposal = stage.prepared().await;
    let avi = stage.raw(Some(stage.credential("ISR:avi")));
    let annex = seal_bytes(&[new_identity().recipient().to_owned()], b"measurements").unwrap();
    let digest = BASE64_STANDARD.encode(Sha256::of(&annex).as_bytes());
    let annex_path = format!("/v1/proposals/{proposal}/documents/annex");
    let upload = || {
        request(&avi, Method::PUT, &annex_path, "annex")
            .header("Repr-Digest", format!("sha-256=:{digest}:"))
            .header("Content-Type", AGE_MEDIA_TYPE)
            .header("Entente-Media-Type", "application/octet-stream")
            .body(annex.clone())
    };
    let (status, _, location, body) = told(upload().send().await.unwrap()).await;
    assert!(status == 201 && location.is_some() && body.contains("annex"), "{body}");
    stage.joins("ISR:avi", proposal, "ISR:tamar").await;
    let leave = format!("/v1/proposals/{proposal}/members/ISR:avi");
    let leaving = |key: &str| request(&avi, Method::DELETE, &leave, key);
    assert_eq!(told(leaving("leaving").send().await.unwrap()).await, (204, false, None, String::new()));
    assert!(!sees(&avi, proposal).await);
    let before = stage.census().await;
    assert_eq!(told(leaving("leaving").send().await.unwrap()).await, (204, true, None, String::new()));
    // What an earlier answer said of the proposal is for him no more: only that it was done.
    assert_eq!(told(upload().send().await.unwrap()).await, (201, true, None, String::new()));
    assert_eq!(stage.census().await, before, "nothing was done twice");
    stage.refuses_raw(404, "not-found", leaving("another")).await;
    stage.stop().await;
}

#[tokio::test]
async fn hand_over_that_ends_in_leaving_is_answered_again_on_sqlite() {
    hand_over_that_ends_in_leaving_is_answered_again(Store::Sqlite).await;
}

#[tokio::test]
async fn hand_over_that_ends_in_leaving_is_answered_again_on_postgresql() {
    hand_over_that_ends_in_leaving_is_answered_again(Store::Postgres).await;
}

#[tokio::test]
async fn what_was_done_is_answered_again_whatever_rule_stands_against_it_since() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    let (avi, dana) = (stage.raw(Some(stage.credential("ISR:avi"))), stage.client("USA:dana"));
    let annex = seal_bytes(&[new_identity().recipient().to_owned()], b"measurements").unwrap();
    let digest = BASE64_STANDARD.encode(Sha256::of(&annex).as_bytes());
    let annex_path = format!("/v1/proposals/{proposal}/documents/annex");
    let upload = |key: &str| {
        request(&avi, Method::PUT, &annex_path, key)
            .header("Repr-Digest", format!("sha-256=:{digest}:"))
            .header("Content-Type", AGE_MEDIA_TYPE)
            .header("Entente-Media-Type", "application/octet-stream")
            .body(annex.clone())
    };
    let add = |key: &str| request(&avi, Method::PUT, &format!("/v1/proposals/{proposal}/members/ISR:tamar"), key);
    let extend = |key: &str| {
        let until = Time(stage.deadline + SignedDuration::from_hours(1));
        let body = ExtendCall {
            until,
            partner: Some(code("ISR")),
            proposal: None,
            reason: "snow".into(),
            reviews: false,
            dry_run: false,
        };
        let dana = stage.raw(Some(stage.credential("USA:dana")));
        request(&dana, Method::POST, &format!("/v1/calls/{}/extend", stage.call), key).json(&body)
    };
    let first = told(upload("annex").send().await.unwrap()).await;
    assert!(first.0 == 201 && !first.1, "{first:?}");
    let asked = InvitationStatement { proposal, member: id("ISR:tamar"), stated_at: stage.clock.now() };
    let invitation = sign_statement(&key_of(&stage, "ISR:avi"), &asked).unwrap();
    let invite = AddMember { invitation, keys: BTreeMap::new() };
    let added = told(add("add").json(&invite).send().await.unwrap()).await;
    assert!((200..300).contains(&added.0) && !added.1, "{added:?}");
    let extended = told(extend("extend").send().await.unwrap()).await;
    assert!(extended.0 == 200 && !extended.1, "{extended:?}");

    let mut text = dana.api().call(stage.call).await.unwrap().body.text;
    text.slots.iter_mut().find(|slot| slot.name == slug("annex")).unwrap().media_types =
        ["application/pdf".into()].into();
    dana.amend_call(stage.call, &text, "annexes are to be read by everybody", None).await.unwrap();
    stage.client("ISR:registrar").revoke_key_card(&id("ISR:tamar"), false).await.unwrap();

    let before = stage.census().await;
    let again = told(upload("annex").send().await.unwrap()).await;
    assert_eq!((again.0, again.1, again.3), (201, true, first.3));
    assert_eq!(told(upload("another").send().await.unwrap()).await.0, 422);
    let again = told(add("add").json(&invite).send().await.unwrap()).await;
    assert_eq!((again.0, again.1), (added.0, true));
    let again = told(extend("extend").send().await.unwrap()).await;
    assert_eq!((again.0, again.1), (200, true));
    assert_eq!(stage.census().await, before, "nothing was done twice");
    stage.stop().await;
}

/// The registrar vouches for somebody as before, but for their offices.
async fn loses_office(stage: &Stage, member: &str) {
    let registrar = stage.client("ISR:registrar");
    let card = registrar.issued_member(&id(member)).await.unwrap().card.clone();
    let new = NewKeyCard { roles: [].into(), without: card.roles.clone(), ..NewKeyCard::like(card) };
    registrar.issue_key_card(&new).await.unwrap();
}

async fn officers_who_lost_their_office_hear_that_it_was_done(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let israel: PolicyOwner = "ISR".parse().unwrap();
    let present = stage.client("ISR:drafter").policy(&israel).await.unwrap();
    let follows = verify_signed::<PolicyStatement>(&present.proposed.unwrap().statement).unwrap().payload_sha256;
    let text = format!("{}\n// Again.", present.text.unwrap());
    let says = PolicyStatement {
        owner: israel.clone(),
        version: 2,
        text_sha256: Sha256::of(text.as_bytes()),
        active_at: stage.clock.now(),
        follows: Some(follows),
    };
    let statement = sign_statement(&key_of(&stage, "ISR:drafter"), &says).unwrap();
    let policy_sha256 = verify_signed::<PolicyStatement>(&statement).unwrap().payload_sha256;
    let proposed = ProposePolicy { text, statement };
    let drafter = stage.raw(Some(stage.credential("ISR:drafter")));
    let propose = |key: &str| request(&drafter, Method::POST, "/v1/policies/ISR/versions", key).json(&proposed).send();
    let says = PolicyApproval { owner: israel, version: 2, policy_sha256, preview_sha256: None };
    let approval = sign_statement(&key_of(&stage, "ISR:approver"), &says).unwrap();
    let approver = stage.raw(Some(stage.credential("ISR:approver")));
    let body = ApprovePolicy { approval, preview: None };
    let path = "/v1/policies/ISR/versions/2/approve";
    let approve = |key: &str| request(&approver, Method::POST, path, key).json(&body).send();
    for (done, told_of) in [(propose("propose").await, 201), (approve("approve").await, 200)] {
        let (status, is_repeated, _, body) = told(done.unwrap()).await;
        assert!(status == told_of && !is_repeated && body.contains("\"version\":2"), "{status} {body}");
    }
    loses_office(&stage, "ISR:drafter").await;
    loses_office(&stage, "ISR:approver").await;
    let before = stage.census().await;
    assert_eq!(told(propose("propose").await.unwrap()).await, (201, true, None, String::new()));
    assert_eq!(told(approve("approve").await.unwrap()).await, (200, true, None, String::new()));
    assert_eq!(told(propose("another").await.unwrap()).await.0, 403);
    assert_eq!(told(approve("another").await.unwrap()).await.0, 403);
    assert_eq!(stage.census().await, before, "it was done once");
    stage.stop().await;
}

#[tokio::test]
async fn officers_who_lost_their_office_hear_that_it_was_done_on_sqlite() {
    officers_who_lost_their_office_hear_that_it_was_done(Store::Sqlite).await;
}

#[tokio::test]
async fn officers_who_lost_their_office_hear_that_it_was_done_on_postgresql() {
    officers_who_lost_their_office_hear_that_it_was_done(Store::Postgres).await;
}
