//! Who runs a call, who reviews and who decides are three people, unless the call's text says otherwise in public.

use super::lies::key_of;
use crate::harness::{
    stage::{GRACE, Stage, id, text},
    world::Store,
};
use entente::{
    client::{Client, ExitClass},
    domain::{
        ambient::{Clock, SystemClock, SystemRng},
        call::Phase,
        id::{CallId, VaultId},
        member::{
            CallRole::{self, Decider, Observer, Officer, Reviewer},
            ConflictGround,
        },
        proposal::Status,
        vault::VaultKind,
    },
    sealing::{
        statement::{CallPublication, RoleStatement, RollStatement, VaultStatement, sign_statement, verify_signed},
        vault::VaultSecret,
    },
    storage::args,
    wire::call::{CallText, GrantRoles, PublishCall},
};
use jiff::SignedDuration;
use std::collections::BTreeSet;

fn roles(roles: &[CallRole]) -> BTreeSet<CallRole> {
    roles.iter().copied().collect()
}

/// The next change of roles as a client that asks nothing would sign it.
async fn change(stage: &Stage, member: &str, wanted: &[CallRole]) -> GrantRoles {
    let stated = stage.client("USA:dana").api().role_statements(stage.call).await.unwrap();
    let last = &stated.last().unwrap().statement;
    let previous = match verify_signed::<RoleStatement>(last) {
        Ok(change) => change.payload_sha256,
        Err(_) => verify_signed::<RollStatement>(last).unwrap().payload_sha256,
    };
    let number = u32::try_from(stated.len()).unwrap() + 1;
    let said = RoleStatement { call: stage.call, number, previous, member: id(member), roles: roles(wanted) };
    let statement = Some(sign_statement(&key_of(stage, "USA:dana"), &said).unwrap());
    GrantRoles { roles: roles(wanted), statement }
}

fn combining(stage: &Stage, combined: &[CallRole]) -> CallText {
    let now = stage.clock.now();
    CallText { combined_roles: roles(combined), ..text(now, now + SignedDuration::from_hours(240)) }
}

#[tokio::test]
async fn member_is_one_of_officer_reviewer_and_decider_in_a_call() {
    let stage = Stage::open().await;
    let dana = stage.client("USA:dana");
    for (member, wanted) in
        [("USA:carol", [Reviewer, Decider]), ("USA:olivia", [Officer, Decider]), ("USA:opal", [Officer, Reviewer])]
    {
        let said = "of one call, whose text keeps these apart";
        stage.declines(ExitClass::Usage, said, dana.grant_roles(stage.call, &id(member), &roles(&wanted))).await;
        let signed = change(&stage, member, &wanted).await;
        stage.refuses("roles-combined", dana.api().grant_roles(stage.call, &id(member), &signed)).await;
        stage.refuses("roles-combined", dana.preview_roles(stage.call, &id(member), &roles(&wanted))).await;
    }
    // One for the other with the same change, and to observe beside it, is nobody's business.
    for wanted in [[Decider].as_slice(), &[Decider, Observer], &[Reviewer]] {
        dana.grant_roles(stage.call, &id("USA:carol"), &roles(wanted)).await.unwrap();
    }

    // Who has both from a time before this was asked keeps them, and can lose and gain what is not kept apart.
    let before = "INSERT INTO call_roles (call_id, member, role, granted_by, granted_at) \
                  SELECT call_id, member, 'decider', granted_by, granted_at FROM call_roles WHERE member = 'USA:carol'";
    super::lies::tamper(&stage, before, args![]).await;
    for wanted in [[Reviewer, Decider, Observer].as_slice(), &[Reviewer, Decider], &[Reviewer]] {
        let signed = change(&stage, "USA:carol", wanted).await;
        dana.api().grant_roles(stage.call, &id("USA:carol"), &signed).await.unwrap();
    }
    stage.stop().await;
}

#[tokio::test]
async fn text_of_a_call_says_in_public_which_roles_one_member_may_have() {
    let stage = Stage::open().await;
    let dana = stage.client("USA:dana");
    for wrong in [[Officer].as_slice(), &[Officer, Observer], &[Decider, Reviewer, Officer, Observer]] {
        stage.refuses("call-text-invalid", dana.draft_call(stage.program, &combining(&stage, wrong))).await;
    }
    let draft = dana.draft_call(stage.program, &combining(&stage, &[Officer, Decider])).await.unwrap().id;
    stage.refuses("roles-combined", dana.grant_roles(draft, &id("USA:olivia"), &roles(&[Officer, Reviewer]))).await;
    let all = roles(&[Officer, Reviewer, Decider]);
    stage.refuses("roles-combined", dana.grant_roles(draft, &id("USA:olivia"), &all)).await;
    dana.grant_roles(draft, &id("USA:olivia"), &roles(&[Officer, Decider])).await.unwrap();

    // The text takes it back before it is published: neither the client signs that roll, nor does the exchange take it.
    dana.edit_call(draft, &combining(&stage, &[])).await.unwrap();
    let said = "`USA:olivia` would be officer and decider of one call";
    stage.declines(ExitClass::Usage, said, dana.publish_call(draft)).await;
    let (etag, body) = by_hand(&stage, dana, draft).await;
    stage.refuses("roles-combined", dana.api().publish_call(draft, &etag, &body)).await;

    dana.edit_call(draft, &combining(&stage, &[Officer, Decider])).await.unwrap();
    let published = dana.publish_call(draft).await.unwrap();
    assert_eq!((published.phase, published.text.combined_roles), (Phase::Open, roles(&[Officer, Decider])));
    let shown = stage.client("ISR:avi").call(draft).await.unwrap();
    assert_eq!(shown.text.combined_roles, roles(&[Officer, Decider]), "every party reads it");
    stage.stop().await;
}

/// A publication of the draft as it stands, put together by hand.
async fn by_hand(stage: &Stage, dana: &Client, draft: CallId) -> (String, PublishCall) {
    let shown = dana.api().call(draft).await.unwrap();
    let (text, secret) = (shown.body.text, VaultSecret::generate());
    let recipient = secret.recipient().to_owned();
    let vault = VaultId::new_of(&id("USA:dana"), &SystemClock, &SystemRng);
    let made = VaultStatement {
        vault,
        kind: VaultKind::Call,
        call: draft,
        proposal: None,
        party: None,
        recipient: recipient.clone(),
    };
    let publication = CallPublication {
        call: draft,
        version: 1,
        text: serde_json::to_value(&text).unwrap(),
        text_sha256: text.digest(),
        vault,
        recipient,
        host: "USA".parse().unwrap(),
    };
    let holders = dana.api().roles(draft).await.unwrap();
    let roll = RollStatement {
        call: draft,
        partners: ["ISR", "USA"].map(|code| code.parse().unwrap()).into(),
        roles: holders.into_iter().map(|holder| (holder.member, holder.roles)).collect(),
    };
    let key = key_of(stage, "USA:dana");
    let body = PublishCall {
        publication: sign_statement(&key, &publication).unwrap(),
        vault: Some(sign_statement(&key, &made).unwrap()),
        roll: Some(sign_statement(&key, &roll).unwrap()),
        keys: Vec::new(),
        reason: None,
        voids: None,
        dry_run: false,
    };
    (shown.etag.unwrap(), body)
}

/// Olivia has a conflict with a proposal of which nothing is left. Until nothing can bring it back, she is kept from roles and the call's end.
async fn conflict_bars_while_the_proposal_can_come_back(store: Store, is_withdrawn: bool) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let proposal = stage.submitted().await;
    let (dana, olivia) = (stage.client("USA:dana"), stage.client("USA:olivia"));
    olivia.declare(proposal, Some(ConflictGround::Employment)).await.unwrap();
    let (opal, observer) = (id("USA:opal"), roles(&[Observer]));
    let is_barred = async || {
        stage.refuses("unsuitable", olivia.grant_roles(stage.call, &opal, &observer)).await;
        stage.refuses("unsuitable", olivia.preview_roles(stage.call, &opal, &observer)).await;
        stage.refuses("unsuitable", olivia.api().cancel_call(stage.call, "no money this year")).await;
    };
    is_barred().await;
    dana.api().cancel_call(stage.call, "an outage").await.unwrap();
    stage.refuses("unsuitable", olivia.api().reopen_call(stage.call, "it is over")).await;
    dana.api().reopen_call(stage.call, "it is over").await.unwrap();
    if is_withdrawn {
        for member in ["ISR:avi", "USA:bob"] {
            stage.client(member).api().withdraw_proposal(proposal).await.unwrap();
        }
    } else {
        let mut stricter = dana.call(stage.call).await.unwrap().text.clone();
        stricter.criteria[0].threshold = Some(3.5);
        dana.amend_call(stage.call, &stricter, "the funders agreed", Some(1)).await.unwrap();
    }
    let status = async || stage.client("ISR:avi").api().proposal(proposal).await.unwrap().status;
    is_barred().await;
    // Past the deadline officers can still give its parties more time.
    stage.clock.set(stage.deadline + SignedDuration::from_millis(1));
    assert_eq!(status().await, if is_withdrawn { Status::Withdrawn } else { Status::Lapsed });
    is_barred().await;
    // So does bringing back a call that was cancelled before its opening, whenever that is.
    dana.api().cancel_call(stage.call, "an outage").await.unwrap();
    stage.pass_the_opening();
    stage.refuses("unsuitable", olivia.api().reopen_call(stage.call, "it is over")).await;
    let deadline_at = dana.api().reopen_call(stage.call, "it is over").await.unwrap().deadline_at.0;
    assert_eq!(deadline_at, stage.clock.now() + SignedDuration::from_hours(72));
    assert_eq!(status().await, if is_withdrawn { Status::Withdrawn } else { Status::Preparing });
    is_barred().await;

    stage.clock.set(deadline_at + GRACE + SignedDuration::from_millis(1));
    olivia.preview_roles(stage.call, &opal, &observer).await.unwrap();
    olivia.grant_roles(stage.call, &opal, &observer).await.unwrap();
    olivia.api().cancel_call(stage.call, "nothing was handed in").await.unwrap();
    olivia.api().reopen_call(stage.call, "it was").await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn conflict_with_what_was_withdrawn_for_good_bars_nobody() {
    conflict_bars_while_the_proposal_can_come_back(Store::Sqlite, true).await;
    conflict_bars_while_the_proposal_can_come_back(Store::Postgres, true).await;
}

#[tokio::test]
async fn conflict_with_what_has_lapsed_for_good_bars_nobody() {
    conflict_bars_while_the_proposal_can_come_back(Store::Sqlite, false).await;
    conflict_bars_while_the_proposal_can_come_back(Store::Postgres, false).await;
}
