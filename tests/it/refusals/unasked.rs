//! What is given to somebody who did not ask for it, a role or an invitation, takes nothing from them and tells the giver nothing.

use super::lies::key_of;
use crate::harness::{
    exchange::fresh_key,
    stage::{NATIONS, Stage, Step, code, id},
    world::{Store, TestWorld},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use entente::{
    client::{api::Paging, proposals::NewProposal, verified::VersionChoice},
    domain::{
        ambient::{Clock, SystemClock, SystemRng},
        entry::EntryKind,
        id::{ProposalId, Sha256, VaultId},
        member::CallRole::{self, Decider, Observer, Officer, Reviewer},
        proposal::Parties,
        vault::{VaultKind, WrapTarget},
    },
    sealing::{
        seal::seal_bytes,
        statement::{InvitationStatement, WrapStatement, sign_statement},
    },
    storage::args,
    wire::{
        call::GrantRoles,
        page::MAX_PAGE,
        proposal::{AcceptInvitation, AddMember, WrappedKeyIn},
    },
};
use reqwest::Method;
use serde_json::json;
use std::collections::BTreeSet;

/// Members of the United States: one who has no part in the call, and an officer, a reviewer, a decider and an observer of it.
const ALL_ALIKE: [&str; 5] = ["USA:opal", "USA:olivia", "USA:carol", "USA:frank", "USA:walt"];

fn roles(roles: &[CallRole]) -> BTreeSet<CallRole> {
    roles.iter().copied().collect()
}

async fn stage_on(store: Store) -> Option<Stage> {
    Some(Stage::open_in(TestWorld::start(NATIONS, store).await?).await)
}

/// What a member is shown of a proposal, and the kinds of the entries about it that they read, with one name in the place of another.
async fn told(stage: &Stage, me: &str, proposal: ProposalId, about: &str) -> (String, Vec<EntryKind>) {
    let api = stage.client(me).api();
    let proposal_shown = api.proposal(proposal).await.unwrap();
    let reference = proposal_shown.reference.to_string();
    let shown = serde_json::to_string(&proposal_shown).unwrap();
    let lists = (
        api.joined(proposal).await.unwrap().len(),
        api.missing_keys(proposal).await.unwrap().len(),
        api.surplus_keys(proposal).await.unwrap().len(),
    );
    let shown = format!("{shown} {lists:?}")
        .replace(about, "somebody")
        .replace(&proposal.to_string(), "it")
        .replace(&reference, "its reference");
    let (mut paging, mut kinds) = (Paging { cursor: None, limit: Some(MAX_PAGE) }, Vec::new());
    loop {
        let page = api.entries(&[], &paging).await.unwrap();
        kinds.extend(page.items.iter().filter(|entry| entry.proposal == Some(proposal)).map(|entry| entry.kind));
        paging.cursor = page.next;
        if paging.cursor.is_none() {
            return (shown, kinds);
        }
    }
}

async fn keys_held(stage: &Stage, member: &str) -> u64 {
    let mut tx = stage.server.exchange.db.read().await.unwrap();
    // An officer has one to the call's vault.
    let sql = "SELECT COUNT(*) AS held FROM wrapped_keys k JOIN vaults v ON v.vault_id = k.vault_id \
               WHERE k.holder = $1 AND v.proposal_id IS NOT NULL";
    tx.fetch_one(sql, args![member]).await.unwrap().count("held").unwrap()
}

async fn list_without_invitations(store: Store) {
    let Some(stage) = stage_on(store).await else { return };
    let absent = ProposalId::new_of(&id("ISR:avi"), &SystemClock, &SystemRng);
    let before = stage.census().await;
    let begin = async |member: &str| {
        let parties = json!({ "ISR": ["ISR:avi"], "USA": [member] });
        let body = json!({ "id": absent, "call": stage.call, "topic": "navigation", "parties": parties, "vaults": [] });
        let raw = stage.raw(Some(stage.credential("ISR:avi")));
        let request = raw.request(Method::POST, "/v1/proposals").header("Idempotency-Key", fresh_key());
        let answer = request.json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap().replace(member, "somebody"))
    };
    let anybody = begin("USA:opal").await;
    assert!(anybody.0 == 422 && anybody.1.contains("the invitation of `somebody` is missing"), "{}", anybody.1);
    for member in ALL_ALIKE {
        assert_eq!(begin(member).await, anybody, "{member}");
    }
    assert_eq!(stage.census().await, before);
    stage.stop().await;
}

#[tokio::test]
async fn naming_members_without_asking_them_tells_nobody_who_judges() {
    list_without_invitations(Store::Sqlite).await;
    list_without_invitations(Store::Postgres).await;
}

async fn asked_at_the_beginning(store: Store) {
    let Some(stage) = stage_on(store).await else { return };
    let avi = stage.client("ISR:avi");
    let mut all = Vec::new();
    for member in ALL_ALIKE {
        let parties: Parties = [(code("ISR"), [id("ISR:avi")].into()), (code("USA"), [id(member)].into())].into();
        let begun = avi.create_proposal(&NewProposal { parties, ..stage.joint() }).await.unwrap().id;
        let mut seen = vec![told(&stage, "ISR:avi", begun, member).await];
        // Taken back and asked again, as often as one likes.
        for _ in 0..2 {
            avi.remove_member(begun, &id(member)).await.unwrap();
            seen.push(told(&stage, "ISR:avi", begun, member).await);
            avi.invite(begun, &id(member)).await.unwrap();
            seen.push(told(&stage, "ISR:avi", begun, member).await);
        }
        all.push(seen);
        // A key is kept for somebody who can use it.
        let is_of_use = ["USA:opal", "USA:walt"].contains(&member);
        assert_eq!(keys_held(&stage, member).await > 0, is_of_use, "{member}");
    }
    assert!(all[0][0].1.contains(&EntryKind::KeyWrapped), "{:?}", all[0][0].1);
    for (member, seen) in ALL_ALIKE.iter().zip(&all) {
        assert_eq!(seen, &all[0], "{member}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn asking_somebody_at_the_beginning_tells_nobody_who_judges() {
    asked_at_the_beginning(Store::Sqlite).await;
    asked_at_the_beginning(Store::Postgres).await;
}

async fn asked_by_a_party(store: Store) {
    let Some(stage) = stage_on(store).await else { return };
    let bob = stage.client("USA:bob");
    let mut all = Vec::new();
    for member in ALL_ALIKE {
        let proposal = stage.prepared().await;
        let mut seen = vec![told(&stage, "USA:bob", proposal, member).await];
        for _ in 0..2 {
            bob.invite(proposal, &id(member)).await.unwrap();
            seen.push(told(&stage, "USA:bob", proposal, member).await);
            bob.remove_member(proposal, &id(member)).await.unwrap();
            seen.push(told(&stage, "USA:bob", proposal, member).await);
        }
        // The identifiers of documents differ, and nothing else does.
        all.push(seen.into_iter().map(|(_, kinds)| kinds).collect::<Vec<_>>());
    }
    for (member, seen) in ALL_ALIKE.iter().zip(&all) {
        assert_eq!(seen, &all[0], "{member}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn party_that_asks_a_colleague_hears_nothing_of_who_judges() {
    asked_by_a_party(Store::Sqlite).await;
    asked_by_a_party(Store::Postgres).await;
}

/// A wrapped key with nothing in it, under a statement that fits.
async fn junk(stage: &Stage, by: &str, vault: VaultId, to: &str) -> WrappedKeyIn {
    let recipient = stage.again("USA:dana").issued_member(&id(to)).await.unwrap().card.recipients[0].clone();
    let ciphertext = seal_bytes(std::slice::from_ref(&recipient), b"nothing").unwrap();
    let said = WrapStatement { vault, to: WrapTarget::Member(id(to)), recipient, sha256: Sha256::of(&ciphertext) };
    let statement = sign_statement(&key_of(stage, by), &said).unwrap();
    WrappedKeyIn { statement, ciphertext: BASE64_STANDARD.encode(ciphertext) }
}

#[tokio::test]
async fn keys_for_whom_one_asks_are_refused_alike() {
    let stage = Stage::open().await;
    let bob = stage.client("USA:bob");
    let proposal = stage.begun().await;
    let vaults = bob.api().vaults(proposal).await.unwrap();
    let panel = vaults.iter().find(|vault| vault.kind == VaultKind::Panel).unwrap().id;
    let invitation = |member: &str| {
        let said = InvitationStatement { proposal, member: id(member), stated_at: stage.clock.now() };
        sign_statement(&key_of(&stage, "USA:bob"), &said).unwrap()
    };
    let ask = async |member: &str, keys: Vec<WrappedKeyIn>| {
        let body = AddMember { invitation: invitation(member), keys: [(panel, keys)].into() };
        let before = stage.census().await;
        let error = bob.api().invite(proposal, &id(member), &body).await.unwrap_err();
        assert_eq!(stage.census().await, before, "{member}");
        let problem = error.problem().unwrap();
        (problem.slug().to_owned(), problem.detail.replace(member, "somebody"))
    };
    let (mut twice, mut of_another) = (Vec::new(), Vec::new());
    for member in ALL_ALIKE {
        let key = junk(&stage, "USA:bob", panel, member).await;
        twice.push(ask(member, vec![key.clone(), key]).await);
        // Whom another act asked gets no key by this one: a second key for them would be refused, unless the first was dropped.
        bob.invite(proposal, &id(member)).await.unwrap();
        let (slug, told) = ask("USA:drafter", vec![junk(&stage, "USA:bob", panel, member).await]).await;
        of_another.push((slug, told.replace(member, "somebody")));
        bob.remove_member(proposal, &id(member)).await.unwrap();
    }
    assert_eq!((&*twice[0].0, &*of_another[0].0), ("already-wrapped", "wrap-refused"));
    assert!(twice.iter().all(|answer| *answer == twice[0]), "{twice:?}");
    assert!(of_another.iter().all(|answer| *answer == of_another[0]), "{of_another:?}");
    stage.stop().await;
}

async fn judge_lays_down_and_joins(store: Store) {
    let Some(stage) = stage_on(store).await else { return };
    let (bob, carol, dana) = (stage.client("USA:bob"), stage.client("USA:carol"), stage.client("USA:dana"));
    let proposal = stage.prepared().await;
    bob.invite(proposal, &id("USA:carol")).await.unwrap();
    stage.refuses("not-found", carol.api().proposal(proposal)).await;
    let any = AcceptInvitation { statement: "a.b.c".into() };
    let refused = carol.api().accept_invitation(proposal, &any).await.unwrap_err();
    assert_eq!(refused.slug(), Some("unsuitable"));
    assert!(refused.to_string().contains("lay that role down first"), "{refused}");
    // Of whom nobody asked, nothing is there.
    stage.refuses("not-found", stage.client("USA:frank").api().accept_invitation(proposal, &any)).await;

    assert_eq!(carol.api().call(stage.call).await.unwrap().body.my_roles, roles(&[Reviewer]), "she is shown it");
    carol.grant_roles(stage.call, &id("USA:carol"), &roles(&[])).await.unwrap();
    assert_eq!(carol.api().call(stage.call).await.unwrap().body.my_roles, roles(&[]));
    assert_eq!(carol.api().proposal(proposal).await.unwrap().id, proposal);
    carol.accept_invitation(proposal).await.unwrap();
    stage.refuses("unsuitable", dana.grant_roles(stage.call, &id("USA:carol"), &roles(&[Reviewer]))).await;
    stage.stop().await;
}

#[tokio::test]
async fn who_judges_hears_the_rule_when_they_accept_and_can_lay_their_role_down() {
    judge_lays_down_and_joins(Store::Sqlite).await;
    judge_lays_down_and_joins(Store::Postgres).await;
}

#[tokio::test]
async fn member_lays_down_any_role_of_their_own_and_nobody_elses() {
    let stage = Stage::open().await;
    let (dana, noa, walt) = (stage.client("USA:dana"), stage.client("ISR:noa"), stage.client("USA:walt"));
    let none = roles(&[]);
    for member in ["USA:carol", "ISR:eitan", "USA:walt"] {
        stage.refuses("denied", stage.client(member).api().roles(stage.call)).await;
        let more = GrantRoles { roles: roles(&[Reviewer, Decider, Observer]), statement: None };
        stage.refuses("denied", stage.client(member).api().grant_roles(stage.call, &id(member), &more)).await;
        let others = GrantRoles { roles: none.clone(), statement: None };
        stage.refuses("denied", stage.client(member).api().grant_roles(stage.call, &id("ISR:maya"), &others)).await;
    }
    // Without a statement only an observer, who cannot read the one before.
    let unsigned = GrantRoles { roles: none.clone(), statement: None };
    let eitan = stage.client("ISR:eitan");
    stage.refuses("statement-invalid", eitan.api().grant_roles(stage.call, &id("ISR:eitan"), &unsigned)).await;
    for (member, client) in [("ISR:eitan", eitan), ("USA:walt", walt), ("ISR:noa", noa)] {
        let laid_down = client.grant_roles(stage.call, &id(member), &none).await.unwrap();
        assert!(laid_down.roles.is_empty(), "{member}");
        assert!(client.api().call(stage.call).await.unwrap().body.my_roles.is_empty(), "{member}");
    }
    // It goes on from there, and every client verifies it; a nation without an officer gets another one from any.
    dana.grant_roles(stage.call, &id("ISR:noa"), &roles(&[Officer])).await.unwrap();
    stage.again("ISR:noa").grant_roles(stage.call, &id("ISR:eitan"), &roles(&[Decider])).await.unwrap();
    stage.again("USA:dana").grant_roles(stage.call, &id("USA:walt"), &roles(&[Observer])).await.unwrap();
    let log = stage.log().await;
    let revoked = log.iter().filter(|entry| entry.kind == EntryKind::RoleRevoked);
    let by: Vec<String> = revoked.map(|entry| entry.actor.as_ref().unwrap().to_string()).collect();
    assert_eq!(by, ["ISR:eitan", "USA:walt", "ISR:noa"]);
    stage.stop().await;
}

async fn observers_propose(store: Store) {
    let Some(stage) = stage_on(store).await else { return };
    let (dana, tamar, opal) = (stage.client("USA:dana"), stage.client("ISR:tamar"), stage.client("USA:opal"));
    let observer = roles(&[Observer]);
    // An officer of a rival nation names all she can think of.
    for member in ["ISR:tamar", "USA:opal"] {
        dana.grant_roles(stage.call, &id(member), &observer).await.unwrap();
    }
    let parties: Parties = [(code("ISR"), [id("ISR:tamar")].into()), (code("USA"), [id("USA:opal")].into())].into();
    let own = tamar.create_proposal(&NewProposal { parties, ..stage.joint() }).await.unwrap().id;
    assert!(opal.api().proposal(own).await.unwrap().mine.is_invited);
    opal.accept_invitation(own).await.unwrap();
    for member in ["ISR:tamar", "USA:opal"] {
        assert!(stage.client(member).api().proposal(own).await.unwrap().mine.is_party, "{member}");
        let vaults = stage.client(member).api().vaults(own).await.unwrap();
        assert!(vaults.iter().any(|vault| !vault.keys.is_empty()), "{member}");
        assert_eq!(stage.client(member).api().call(stage.call).await.unwrap().body.my_roles, observer, "{member}");
    }
    // Officers see who was named, and not who has begun something.
    let holders = dana.api().roles(stage.call).await.unwrap();
    let named = holders.iter().filter(|holder| holder.roles == observer).map(|holder| holder.member.to_string());
    assert_eq!(named.collect::<Vec<_>>(), ["ISR:tamar", "USA:opal", "USA:walt"]);

    // A party observes none of its rivals; who observes and is no party does.
    stage
        .israel_adds(
            "@id(\"observers\") @side(\"release\") @reason(\"observers know of it\")\n\
         permit(principal, action == Action::\"View\", resource) when { resource.call.observers.contains(principal) };",
        )
        .await;
    let rival = stage.submitted().await;
    stage.pass_the_opening();
    let sees = async |member: &str| {
        let client = stage.client(member);
        let listed = client.api().all_proposals(None).await.unwrap().iter().any(|proposal| proposal.id == rival);
        let shown = client.api().proposal(rival).await;
        assert_eq!(listed, shown.is_ok(), "{member}");
        assert!(shown.is_ok() || shown.unwrap_err().is_not_found(), "{member}");
        listed
    };
    assert!(sees("USA:walt").await && !sees("USA:opal").await && !sees("ISR:tamar").await);
    opal.api().withdraw_proposal(own).await.unwrap();
    assert!(sees("USA:opal").await, "the role is in effect once she is party to nothing");
    stage.stop().await;
}

#[tokio::test]
async fn naming_somebody_observer_keeps_them_from_no_proposal_and_shows_a_party_no_rival() {
    observers_propose(Store::Sqlite).await;
    observers_propose(Store::Postgres).await;
}

async fn observers_beside_other_roles(store: Store) {
    let Some(stage) = stage_on(store).await else { return };
    let proposal = stage.under_review().await;
    let (dana, noa) = (stage.client("USA:dana"), stage.client("ISR:noa"));
    let reads = async |member: &str| {
        let read = stage.again(member).read_summary(proposal, VersionChoice::Standing).await;
        assert!(read.is_ok(), "{member}: {read:?}");
    };
    for member in ["ISR:eitan", "ISR:maya", "ISR:noa"] {
        reads(member).await;
    }
    // Another nation adds nothing to what Israel's decider and officer are.
    for (member, own) in [("ISR:eitan", Decider), ("ISR:noa", Officer)] {
        stage.refuses("denied", dana.grant_roles(stage.call, &id(member), &roles(&[own, Observer]))).await;
    }
    // To a reviewer it may, and their own nation may to all: it takes nothing.
    dana.grant_roles(stage.call, &id("ISR:maya"), &roles(&[Reviewer, Observer])).await.unwrap();
    noa.grant_roles(stage.call, &id("ISR:eitan"), &roles(&[Decider, Observer])).await.unwrap();
    for member in ["ISR:eitan", "ISR:maya"] {
        reads(member).await;
        assert!(keys_held(&stage, member).await > 0, "{member}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn role_beside_another_one_takes_nothing_from_its_holder() {
    observers_beside_other_roles(Store::Sqlite).await;
    observers_beside_other_roles(Store::Postgres).await;
}

#[tokio::test]
async fn who_lays_down_a_reviewers_role_reads_no_more() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let carol = stage.client("USA:carol");
    carol.read_summary(proposal, VersionChoice::Standing).await.unwrap();
    carol.grant_roles(stage.call, &id("USA:carol"), &roles(&[])).await.unwrap();
    assert!(stage.again("USA:carol").read_summary(proposal, VersionChoice::Standing).await.is_err());
    assert_eq!(keys_held(&stage, "USA:carol").await, 0);
    stage.stop().await;
}

#[tokio::test]
async fn who_is_still_assigned_hears_that_an_officer_takes_that_back() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let (bob, carol, dana) = (stage.client("USA:bob"), stage.client("USA:carol"), stage.client("USA:dana"));
    bob.invite(proposal, &id("USA:carol")).await.unwrap();
    carol.grant_roles(stage.call, &id("USA:carol"), &roles(&[])).await.unwrap();
    let any = AcceptInvitation { statement: "a.b.c".into() };
    let refused = carol.api().accept_invitation(proposal, &any).await.unwrap_err();
    assert_eq!(refused.slug(), Some("unsuitable"));
    assert!(refused.to_string().contains("is assigned to review the proposal"), "{refused}");
    dana.api().unassign(proposal, &id("USA:carol")).await.unwrap();
    stage.refuses("statement-invalid", carol.api().accept_invitation(proposal, &any)).await;
    stage.stop().await;
}
