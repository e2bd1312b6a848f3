//! Nobody finds out by a refusal, a tag or a question about others what they may not know of: it answers as what is not there.

use super::lies::key_of;
use crate::harness::{
    exchange::fresh_key,
    stage::{NATIONS, Stage, Step, code, id, review, text},
    world::Store,
};
use entente::{
    client::{Client, api::Paging, directory::NewKeyCard, preview::PreviewedAct, proposals::NewProposal},
    domain::{
        ambient::{Clock, SystemClock, SystemRng},
        call::Phase,
        entry::EntryKind,
        id::{CallId, ProposalId, ReviewId, VaultId},
        member::{CallRole, ConflictGround},
        proposal::Parties,
        vault::VaultKind,
    },
    sealing::{
        identity::new_identity,
        statement::{VaultStatement, sign_statement},
    },
    wire::{
        call::{CallText, ExtendCall},
        entry::Entry,
        page::MAX_PAGE,
    },
};
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::json;
use std::{collections::BTreeSet, fs};

const ABSENT_REVIEW: &str = "rev_01J9ZQ4N6M8V7X5T3R2P1K0HGF";
const ABSENT_CALL: &str = "call_01J9ZQ4N6M8V7X5T3R2P1K0HGF";

/// Status and body of a member's request.
async fn answer(stage: &Stage, member: &str, method: Method, path: &str, tag: Option<&str>) -> (u16, String) {
    let raw = stage.raw(Some(stage.credential(member)));
    let mut request = raw.request(method.clone(), path);
    if method != Method::GET {
        request = request.header("Idempotency-Key", fresh_key());
    }
    if let Some(tag) = tag {
        request = request.header("If-Match", tag);
    }
    if method == Method::POST {
        request = request.json(&json!({ "reason": "once more" }));
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn reopening_and_taking_it_back_tell_nobody_whether_there_is_a_review() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let review = stage.client("USA:carol").submit_review(proposal, &review(4.0, 4.0)).await.unwrap().id;
    let ask = async |member: &str, verb: &str, review: ReviewId| {
        answer(&stage, member, Method::POST, &format!("/v1/reviews/{review}/{verb}"), None).await
    };
    let absent: ReviewId = ABSENT_REVIEW.parse().unwrap();
    let hidden = async |member: &str, verb: &str| {
        let found = ask(member, verb, review).await;
        assert_eq!(found.0, 404, "{member}: {}", found.1);
        assert_eq!(found, ask(member, verb, absent).await, "{member}");
    };
    for verb in ["reopen", "reinstate"] {
        // An assigned reviewer whose own review is not in, one who is not assigned, parties, an observer, an officer who has not
        // declared, somebody of another nation.
        for member in ["ISR:maya", "ISR:yael", "ISR:avi", "USA:bob", "USA:walt", "USA:olivia", "KOR:minjun"] {
            hidden(member, verb).await;
        }
        // Who wrote it and who reads it know of it anyway.
        for member in ["USA:carol", "USA:frank"] {
            assert_eq!(ask(member, verb, review).await.0, 403, "{member}");
        }
        assert_eq!(ask("USA:dana", verb, review).await.0, 204, "{verb}");
    }
    // An officer who declares a conflict after all, while it is in and while it is reopened.
    stage.client("ISR:noa").declare(proposal, Some(ConflictGround::Family)).await.unwrap();
    hidden("ISR:noa", "reopen").await;
    assert_eq!(ask("USA:dana", "reopen", review).await.0, 204);
    hidden("ISR:noa", "reinstate").await;
    stage.stop().await;
}

#[tokio::test]
async fn tag_of_a_call_moves_with_what_its_reader_is_shown_and_nothing_else() {
    let stage = Stage::open().await;
    let (dana, noa) = (stage.client("USA:dana"), stage.client("ISR:noa"));
    let tag = async |member: &str| stage.client(member).api().call(stage.call).await.unwrap().etag.unwrap();
    let all = async || [tag("ISR:avi").await, tag("USA:walt").await, tag("USA:dana").await];
    let before = all().await;
    assert_eq!(all().await, before);
    let observer = BTreeSet::from([CallRole::Observer]);
    dana.grant_roles(stage.call, &id("USA:opal"), &observer).await.unwrap();
    let after = all().await;
    assert_eq!((&after[0], &after[1]), (&before[0], &before[1]), "who reads no roles is not told that they changed");
    assert_ne!(after[2], before[2], "an officer is");
    let opal = tag("USA:opal").await;
    dana.grant_roles(stage.call, &id("USA:opal"), &BTreeSet::new()).await.unwrap();
    assert_ne!(tag("USA:opal").await, opal, "one's own roles are shown");
    assert_eq!(all().await, before, "what is as it was has the tag that it had");
    let until = stage.deadline + SignedDuration::from_hours(24);
    let body = ExtendCall {
        until: until.into(),
        reason: "more time".into(),
        partner: None,
        proposal: None,
        reviews: false,
        dry_run: false,
    };
    noa.api().extend_call(stage.call, &body).await.unwrap();
    assert!(all().await.iter().zip(&before).all(|(now, then)| now != then), "everybody is shown the deadline");
    stage.stop().await;
}

#[tokio::test]
async fn beginning_a_proposal_tells_nobody_whether_there_is_one_by_that_name() {
    let (stage, hidden) = Stage::at(Step::Prepared).await;
    let absent = ProposalId::new_of(&id("ISR:avi"), &SystemClock, &SystemRng);
    let begin = async |member: &str, proposal: ProposalId| {
        let raw = stage.raw(Some(stage.credential(member)));
        let parties =
            json!({ "ISR": [if member.starts_with("ISR") { member } else { "ISR:avi" }], "USA": ["USA:bob"] });
        let body =
            json!({ "id": proposal, "call": stage.call, "topic": "navigation", "parties": parties, "vaults": [] });
        let request = raw.request(Method::POST, "/v1/proposals").header("Idempotency-Key", fresh_key()).json(&body);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let before = stage.census().await;
    for member in ["ISR:tamar", "USA:opal", "USA:bob"] {
        let found = begin(member, hidden).await;
        assert_eq!((found.0, &found), (400, &begin(member, absent).await), "{member}");
    }
    let own = begin("ISR:avi", hidden).await;
    assert!(own.0 == 409 && own.1.contains("exists"), "who made it knows of it: {}", own.1);
    assert_eq!(stage.census().await, before);
    stage.stop().await;
}

#[tokio::test]
async fn making_a_vault_tells_nobody_whether_there_is_one_by_that_name() {
    let (stage, hidden) = Stage::at(Step::Prepared).await;
    let taken = stage.client("ISR:avi").api().vaults(hidden).await.unwrap()[0].id;
    let absent = VaultId::new_of(&id("ISR:avi"), &SystemClock, &SystemRng);
    // The call's other proposal is between others, who have no `staff` vault of Bob's yet.
    let own = stage.client("ISR:tamar").create_proposal(&joint(&stage, "ISR:tamar")).await.unwrap();
    stage.join_all(&own).await.unwrap();
    let own = own.id;
    let make = async |vault: VaultId| {
        let recipient = new_identity().recipient().to_owned();
        let (kind, party) = (VaultKind::Staff, Some(code("USA")));
        let said = VaultStatement { vault, kind, call: stage.call, proposal: Some(own), party, recipient };
        let statement = sign_statement(&key_of(&stage, "USA:opal"), &said).unwrap();
        let raw = stage.raw(Some(stage.credential("USA:opal")));
        let request = raw.request(Method::POST, &format!("/v1/proposals/{own}/vaults/staff"));
        let body = json!({ "statement": statement, "keys": [] });
        let answer = request.header("Idempotency-Key", fresh_key()).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let before = stage.census().await;
    let found = make(taken).await;
    assert_eq!(found.0, 422, "{}", found.1);
    assert_eq!(found, make(absent).await);
    assert_eq!(stage.census().await, before);
    stage.stop().await;
}

/// What a member of Israel begins with Opal.
fn joint(stage: &Stage, member: &str) -> NewProposal {
    let parties: Parties = [(code("ISR"), [id(member)].into()), (code("USA"), [id("USA:opal")].into())].into();
    NewProposal { parties, ..stage.joint() }
}

/// The kinds of the entries about a call that the member reads.
async fn entries(client: &Client, call: CallId) -> Vec<EntryKind> {
    let about = |entry: &Entry| entry.call == Some(call);
    let (mut paging, mut kinds) = (Paging { cursor: None, limit: Some(MAX_PAGE) }, Vec::new());
    loop {
        let page = client.api().entries(&[], &paging).await.unwrap();
        kinds.extend(page.items.iter().filter(|entry| about(entry)).map(|entry| entry.kind));
        paging.cursor = page.next;
        if paging.cursor.is_none() {
            return kinds;
        }
    }
}

#[tokio::test]
async fn cancelled_draft_is_shown_to_nobody_but_its_officers() {
    let stage = Stage::open().await;
    let (dana, now) = (stage.client("USA:dana"), stage.clock.now());
    let wanted = text(now, now + SignedDuration::from_hours(240));
    let draft = dana.draft_call(stage.program, &wanted).await.unwrap().id;
    dana.api().cancel_call(draft, "never mind").await.unwrap();
    assert_eq!(dana.api().call(draft).await.unwrap().body.phase, Phase::Cancelled);
    for member in ["ISR:noa", "ISR:avi", "USA:olivia", "USA:walt", "KOR:minjun"] {
        let look = async |call: &str| answer(&stage, member, Method::GET, &format!("/v1/calls/{call}"), None).await;
        let found = look(&draft.to_string()).await;
        assert_eq!((found.0, &found), (404, &look(ABSENT_CALL).await), "{member}");
        let listed = answer(&stage, member, Method::GET, "/v1/calls", None).await.1;
        assert!(!listed.contains(&draft.to_string()), "{member}");
        assert!(entries(stage.client(member), draft).await.is_empty(), "{member}");
    }
    stage.refuses("wrong-phase", dana.edit_call(draft, &wanted)).await;
    stage.stop().await;
}

#[tokio::test]
async fn draft_is_deleted_by_its_officers_and_leaves_nothing_to_others() {
    let stage = Stage::open().await;
    let (dana, olivia, now) = (stage.client("USA:dana"), stage.client("USA:olivia"), stage.clock.now());
    let wanted = text(now, now + SignedDuration::from_hours(240));
    let draft = dana.draft_call(stage.program, &wanted).await.unwrap().id;
    dana.grant_roles(draft, &id("USA:olivia"), &BTreeSet::from([CallRole::Officer])).await.unwrap();
    let seen = olivia.api().call(draft).await.unwrap().etag.unwrap();
    dana.edit_call(draft, &CallText { title: "Another".into(), ..wanted.clone() }).await.unwrap();

    let path = format!("/v1/calls/{draft}");
    let before = stage.census().await;
    let delete =
        async |member: &str, path: &str, tag: Option<&str>| answer(&stage, member, Method::DELETE, path, tag).await;
    assert_eq!(delete("USA:olivia", &path, None).await.0, 428);
    assert_eq!(delete("USA:olivia", &path, Some(&seen)).await.0, 412, "she has not read what Dana wrote since");
    for member in ["ISR:noa", "ISR:avi", "KOR:minjun"] {
        let absent = delete(member, &format!("/v1/calls/{ABSENT_CALL}"), Some(&seen)).await;
        assert_eq!((absent.0, &absent), (404, &delete(member, &path, Some(&seen)).await), "{member}");
    }
    assert_eq!(stage.census().await, before);
    stage.refuses("wrong-phase", dana.delete_draft(stage.call)).await;
    stage.refuses("denied", stage.client("ISR:avi").delete_draft(stage.call)).await;

    let raw = stage.raw(Some(stage.credential("USA:olivia")));
    let tag = olivia.api().call(draft).await.unwrap().etag.unwrap();
    let mut answers = Vec::new();
    for _ in 0..2 {
        let request = raw.request(Method::DELETE, &path).header("If-Match", &tag).header("Idempotency-Key", "once");
        answers.push(request.send().await.unwrap().status().as_u16());
    }
    assert_eq!(answers, [204, 204], "the same request again has the same answer");
    for member in ["USA:olivia", "USA:dana", "ISR:avi"] {
        let look = async |path: &str| answer(&stage, member, Method::GET, path, None).await;
        assert_eq!(look(&path).await, look(&format!("/v1/calls/{ABSENT_CALL}")).await, "{member}");
    }
    assert_eq!(entries(olivia, draft).await, [EntryKind::CallDeleted], "what she did herself");
    let of_dana = [EntryKind::CallDrafted, EntryKind::RoleGranted, EntryKind::CallEdited];
    assert_eq!(entries(dana, draft).await, of_dana);
    assert!(entries(stage.client("ISR:noa"), draft).await.is_empty());

    // One that was cancelled before goes, too.
    let other = dana.draft_call(stage.program, &wanted).await.unwrap().id;
    dana.api().cancel_call(other, "never mind").await.unwrap();
    dana.delete_draft(other).await.unwrap();
    assert!(dana.api().call(other).await.unwrap_err().is_not_found());
    stage.stop().await;
}

/// What the policy officers of a nation that owns a proposal ask about: no answer reveals anything of it.
async fn nothing_is_told(stage: &Stage, proposal: ProposalId) {
    let drafter = stage.client("ISR:drafter");
    for member in NATIONS.iter().flat_map(|nation| nation.cast).map(|cast| id(cast.member)) {
        stage.refuses("not-found", drafter.api().explanation(proposal, Some(&member), "View", None)).await;
    }
    stage.refuses("not-found", drafter.api().explanation(proposal, None, "View", None)).await;
    stage.refuses("not-found", drafter.api().readers(proposal)).await;
    stage.refuses("not-found", drafter.api().preview_label(proposal, None)).await;
    let file = stage.file("visibility/now.jsonl", b"");
    let manifest = drafter.fetch_visibility(&"ISR".parse().unwrap(), &file).await.unwrap();
    assert!(manifest.proposals.is_empty() && !fs::read_to_string(&file).unwrap().contains(&proposal.to_string()));
    for member in ["ISR:avi", "ISR:noa", "ISR:maya"] {
        let revoked = PreviewedAct::KeyCardRevoked { member: id(member) };
        let (changes, sum) = drafter.preview_member(&revoked).await.unwrap();
        assert_eq!((changes.len(), sum.considered), (0, 0), "{member}");
    }
    let shut = "@id(\"shut\") @side(\"release\") @reason(\"nobody for now\")\nforbid(principal, action, resource is Proposal);";
    let israel = "ISR".parse().unwrap();
    let proposed = drafter.propose_policy(&israel, "ISR", shut, None).await.unwrap();
    let (changes, sum) = drafter.preview_policy(&proposed).await.unwrap();
    assert_eq!((changes.len(), sum.considered), (0, 0));
    drafter.api().withdraw_policy(&israel, proposed.version).await.unwrap();
}

#[tokio::test]
async fn policy_officer_hears_nothing_before_the_opening_that_is_kept_to_parties_and_officers() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    nothing_is_told(&stage, proposal).await;
    stage.pass_the_opening();
    let readers = stage.client("ISR:drafter").api().readers(proposal).await.unwrap();
    assert!(readers.iter().any(|reader| reader.member == id("ISR:noa")), "{readers:?}");
    stage.stop().await;
}

#[tokio::test]
async fn policy_officer_who_works_where_a_party_works_hears_nothing() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let card = stage.again("USA:dana").issued_member(&id("ISR:drafter")).await.unwrap().card.clone();
    let new = NewKeyCard { organisation: "kinneret  SENSING".into(), ..NewKeyCard::like(card) };
    stage.client("ISR:registrar").issue_key_card(&new).await.unwrap();
    nothing_is_told(&stage, proposal).await;
    stage.stop().await;
}

/// A policy officer whom a party asks to join reads as a party, and hears nothing of those who judge.
async fn invited_policy_officer_hears_nothing(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let proposal = stage.under_review().await;
    let drafter = stage.client("ISR:drafter");
    let judges = ["USA:carol", "ISR:maya", "USA:dana", "ISR:noa", "USA:frank"];
    let hears = async || {
        let readers = drafter.api().readers(proposal).await.unwrap();
        assert!(judges.iter().all(|judge| readers.iter().any(|reader| reader.member == id(judge))), "{readers:?}");
    };
    hears().await;
    stage.client("ISR:avi").invite(proposal, &id("ISR:drafter")).await.unwrap();
    assert_eq!(drafter.api().proposal(proposal).await.unwrap().id, proposal, "looks at what she is asked to join");
    let own = drafter.api().explanation(proposal, None, "Read", None).await.unwrap();
    assert_eq!(own.outcome, "permitted");
    stage.refuses("not-found", drafter.api().readers(proposal)).await;
    for member in judges {
        stage.refuses("not-found", drafter.api().explanation(proposal, Some(&id(member)), "View", None)).await;
    }
    stage.refuses("denied", drafter.api().preview_label(proposal, None)).await;
    let file = stage.file("visibility/invited.jsonl", b"");
    let manifest = drafter.fetch_visibility(&code("ISR"), &file).await.unwrap();
    assert!(manifest.proposals.is_empty() && !manifest.calls.contains_key(&stage.call), "{:?}", manifest.calls);
    let revoked = PreviewedAct::KeyCardRevoked { member: id("ISR:maya") };
    let (changes, sum) = drafter.preview_member(&revoked).await.unwrap();
    assert_eq!((changes.len(), sum.considered), (0, 0));
    // A colleague whom nobody asked goes on hearing, and so does she once she has declined.
    assert!(!stage.client("ISR:approver").api().readers(proposal).await.unwrap().is_empty());
    drafter.remove_member(proposal, &id("ISR:drafter")).await.unwrap();
    hears().await;
    let manifest = drafter.fetch_visibility(&code("ISR"), &file).await.unwrap();
    assert!(manifest.proposals.contains_key(&proposal) && manifest.calls.contains_key(&stage.call));
    stage.stop().await;
}

#[tokio::test]
async fn policy_officer_who_is_asked_to_join_hears_nothing_of_who_judges() {
    invited_policy_officer_hears_nothing(Store::Sqlite).await;
    invited_policy_officer_hears_nothing(Store::Postgres).await;
}
