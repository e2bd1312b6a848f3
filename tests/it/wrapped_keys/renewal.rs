//! A new identity: announced beside the old one, or in place of one that is gone.

use super::{
    first,
    junk::{junk, to},
    machine, made, missing, publish, recipients, vault_id, words,
};
use crate::harness::{
    scratch::scratch,
    stage::{Stage, Step, id, pdf, quiet, review, slug},
    world::Store,
};
use entente::{
    client::{Client, ClientError, ExitClass, agent::Agent, own_keys::KeyState, verified::VersionChoice},
    domain::{
        decision::Outcome,
        id::{DocumentId, PartnerCode, ProposalId},
        member::CallRole,
        vault::VaultKind,
    },
};
use std::{collections::BTreeSet, path::PathBuf};

/// Everybody who opens something of the case, officers through the call's vault.
const READERS: &[&str] = &["ISR:avi", "USA:bob", "USA:carol", "ISR:maya", "USA:frank", "USA:dana", "ISR:noa"];

/// A case with both reviews in, decided by both funders and with a letter sent, to which everybody who reads holds a key.
async fn decided(stage: &Stage) -> (ProposalId, DocumentId) {
    let proposal = stage.under_review().await;
    for reviewer in ["USA:carol", "ISR:maya"] {
        stage.client(reviewer).submit_review(proposal, &review(4.0, 4.0)).await.unwrap();
    }
    stage.prepare_panel().await;
    for decider in ["USA:frank", "ISR:eitan"] {
        stage.client(decider).sign_decision(proposal, Outcome::Fund).await.unwrap();
    }
    let letter = stage.client("USA:dana").send_letter(proposal, "It is funded.").await.unwrap().id;
    (proposal, letter)
}

/// Opens everything that a member may open.
async fn opens_all(client: &Client, member: &str, proposal: ProposalId, letter: DocumentId) {
    client.read_summary(proposal, VersionChoice::Standing).await.unwrap();
    let is_party = ["ISR:avi", "USA:bob"].contains(&member);
    if is_party || ["USA:dana", "ISR:noa"].contains(&member) {
        assert_eq!(&*client.read_letter(proposal, letter).await.unwrap().text, "It is funded.", "{member}");
        opens_restricted(client, member, proposal).await;
    }
    if !is_party {
        let opened = client.open_reviews(proposal).await.unwrap();
        assert_eq!((opened.reviews.len(), opened.invalid.len()), (2, 0), "{member}");
    }
}

/// Opens the restricted document of the member's own nation.
async fn opens_restricted(client: &Client, member: &str, proposal: ProposalId) {
    let (partner, folder) = (id(member).partner().clone(), scratch());
    let out = folder.path().join("restricted.pdf");
    let slot = slug("shareholders");
    client.open_document(proposal, &slot, Some(&partner), VersionChoice::Standing, &out, quiet()).await.unwrap();
    let party = if partner == "ISR".parse::<PartnerCode>().unwrap() { "ISR:avi" } else { "USA:bob" };
    assert_eq!(std::fs::read(out).unwrap(), pdf(party), "{member}");
}

/// Who passes keys on once cards name two recipients: people at their keyboards, or agents.
#[derive(Clone, Copy)]
enum Passing {
    ByHand,
    ByAgents,
}

async fn renewal_loses_nothing(store: Store, passing: Passing) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let (proposal, letter) = decided(&stage).await;
    for member in READERS {
        opens_all(&stage.again(member), member, proposal, letter).await;
    }

    // Each card names the old recipient and the new one.
    let mut renewed: Vec<(&str, String, PathBuf)> = Vec::new();
    for member in READERS {
        let (identity, path) = made(&stage, member, "next.txt");
        let mut both = recipients(&stage, member).await;
        both.push(identity.recipient().to_owned());
        publish(&stage, member, &both).await;
        renewed.push((member, identity.recipient().to_owned(), path));
    }
    // A party learns of parties, its own restricted vault included; officers open through the call's vault.
    let of_israel = ["panel ISR:avi", "panel USA:bob", "parties ISR:avi", "parties USA:bob", "staff ISR:avi"];
    let mut told = missing(&stage, "ISR:avi", proposal).await;
    told.sort();
    assert_eq!(told, of_israel);
    let told = missing(&stage, "USA:dana", proposal).await;
    for lacking in
        ["panel USA:carol", "panel ISR:maya", "panel USA:frank", "deliberation USA:carol", "deliberation USA:frank"]
    {
        assert!(told.iter().any(|word| word == lacking), "{lacking}: {told:?}");
    }
    assert!(!told.iter().any(|word| word.ends_with("noa") || word.ends_with("dana")), "{told:?}");
    let of_call = stage.client("ISR:noa").api().missing_call_keys(stage.call).await.unwrap();
    assert_eq!(words(&of_call), ["call ISR:noa", "call USA:dana"]);
    assert!(of_call.iter().all(|key| key.recipients.len() == 1), "only the new one: {of_call:?}");

    match passing {
        Passing::ByHand => {
            stage.again("ISR:avi").wrap_missing(proposal).await.unwrap();
            let shared = stage.again("USA:dana").prepare_panel(stage.call).await.unwrap();
            assert!(shared.wrapped.refused.is_empty() && !shared.wrapped.done.is_empty(), "{shared:?}");
        }
        Passing::ByAgents => {
            for member in ["ISR:avi", "USA:dana"] {
                let mut agent = Agent::new(|| Ok::<_, ClientError>(stage.again(member)), Some(stage.call));
                let tally = agent.round(&|| false, &mut |_| {}).await.unwrap();
                assert!(tally.wrapped > 0 && tally.not_done == 0, "{member}: {tally:?}");
            }
        }
    }
    for member in ["ISR:avi", "USA:bob", "USA:dana"] {
        assert!(missing(&stage, member, proposal).await.is_empty(), "{member}");
    }
    assert!(stage.client("USA:dana").api().missing_call_keys(stage.call).await.unwrap().is_empty());

    // Each checks before the old one goes: with the new one alone every vault opens.
    for (member, _, path) in &renewed {
        let next = machine(&stage, member, std::slice::from_ref(path));
        let checked = match *member {
            "USA:dana" | "ISR:noa" => next.check_call_keys(stage.call).await.unwrap(),
            _ => next.check_keys(proposal).await.unwrap(),
        };
        let opening = checked.iter().filter(|key| matches!(key.found, KeyState::Opens { .. })).count();
        let elsewhere = checked.iter().filter(|key| matches!(key.found, KeyState::Elsewhere { .. })).count();
        assert!(opening > 0 && elsewhere == opening && checked.len() == 2 * opening, "{member}: {checked:?}");
    }
    for (member, recipient, _) in &renewed {
        publish(&stage, member, std::slice::from_ref(recipient)).await;
    }
    for (member, _, path) in &renewed {
        opens_all(&machine(&stage, member, std::slice::from_ref(path)), member, proposal, letter).await;
    }
    for member in ["ISR:avi", "USA:bob", "USA:dana"] {
        assert!(missing(&stage, member, proposal).await.is_empty(), "what the old recipients had counts for nothing");
    }
    // The old keys are kept, count for nothing, and are their holder's to discard.
    let avi = machine(&stage, "ISR:avi", &[renewed[0].2.clone()]);
    let old = avi.check_keys(proposal).await.unwrap().into_iter().filter(|key| !key.is_on_card);
    let old: Vec<_> = old
        .map(|key| match key.found {
            KeyState::Elsewhere { key: id, .. } => (key.vault, id),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(old.len(), 3);
    for (vault, key) in old {
        avi.discard_key(vault, key).await.unwrap();
    }
    assert!(missing(&stage, "USA:bob", proposal).await.is_empty());
    opens_all(&machine(&stage, "ISR:avi", &[renewed[0].2.clone()]), "ISR:avi", proposal, letter).await;
    stage.stop().await;
}

#[tokio::test]
async fn renewal_of_identities_loses_nothing_when_people_pass_keys_on() {
    renewal_loses_nothing(Store::Sqlite, Passing::ByHand).await;
}

#[tokio::test]
async fn renewal_of_identities_loses_nothing_when_agents_pass_keys_on() {
    renewal_loses_nothing(Store::Postgres, Passing::ByAgents).await;
}

/// Somebody's identity is gone, and the card names a new one alone. A client that has the new one.
async fn lose(stage: &Stage, member: &str) -> Client {
    let (identity, path) = made(stage, member, "after.txt");
    publish(stage, member, &[identity.recipient().to_owned()]).await;
    machine(stage, member, &[path])
}

#[tokio::test]
async fn lost_identity_of_a_party_is_mended_by_the_counterpart_and_an_officer_after_the_decision() {
    let stage = Stage::open().await;
    let (proposal, letter) = decided(&stage).await;
    let avi = lose(&stage, "ISR:avi").await;
    stage.declines(ExitClass::Failure, "none of your identities", avi.read_letter(proposal, letter)).await;
    let mut told = missing(&stage, "USA:bob", proposal).await;
    told.sort();
    assert_eq!(
        told,
        ["panel ISR:avi", "parties ISR:avi"],
        "the counterpart has nothing to do with the restricted vault"
    );
    let wrapped = stage.again("USA:bob").wrap_missing(proposal).await.unwrap();
    assert!(wrapped.refused.is_empty(), "{wrapped:?}");
    avi.read_summary(proposal, VersionChoice::Standing).await.unwrap();
    assert_eq!(&*avi.read_letter(proposal, letter).await.unwrap().text, "It is funded.");
    assert_eq!(missing(&stage, "USA:dana", proposal).await, ["staff ISR:avi"]);
    stage.again("ISR:noa").wrap_missing(proposal).await.unwrap();
    opens_restricted(&avi, "ISR:avi", proposal).await;
    assert!(missing(&stage, "USA:dana", proposal).await.is_empty());
    stage.stop().await;
}

#[tokio::test]
async fn lost_identity_is_mended_by_a_colleague_before_anything_is_handed_in() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    stage.joins("ISR:avi", proposal, "ISR:tamar").await;
    let avi = lose(&stage, "ISR:avi").await;
    let staff = vault_id(&stage, "ISR:avi", proposal, VaultKind::Staff).await;
    let lacking = stage.client("ISR:tamar").api().missing_keys(proposal).await.unwrap();
    assert_eq!(lacking.iter().filter(|key| key.vault == staff).count(), 1, "{lacking:?}");
    let wrapped = stage.again("ISR:tamar").wrap_missing(proposal).await.unwrap();
    assert_eq!((wrapped.done.len(), wrapped.refused.len()), (3, 0), "{wrapped:?}");
    avi.read_summary(proposal, VersionChoice::Working).await.unwrap();
    let out = stage.plan.dir.join("restricted.pdf");
    avi.open_document(proposal, &slug("shareholders"), None, VersionChoice::Working, &out, quiet()).await.unwrap();
    // She goes on with what she began, her new identity alone.
    let plan = avi.plan_signature(proposal).await.unwrap();
    avi.sign(&plan).await.unwrap();
    stage.sign("USA:bob", proposal).await;
    assert!(missing(&stage, "USA:bob", proposal).await.is_empty());
    stage.stop().await;
}

#[tokio::test]
async fn lost_identities_of_the_panel_and_of_an_officer_are_mended_by_another_officer() {
    let stage = Stage::open().await;
    let (proposal, letter) = decided(&stage).await;
    let members = ["USA:carol", "USA:frank", "ISR:noa"];
    let mut clients = Vec::new();
    for member in members {
        clients.push(lose(&stage, member).await);
    }
    stage.declines(ExitClass::Failure, "none of your identities", clients[2].read_letter(proposal, letter)).await;
    // No party hears who judges, and none of them can help an officer.
    assert!(missing(&stage, "ISR:avi", proposal).await.is_empty());
    let shared = stage.again("USA:dana").prepare_panel(stage.call).await.unwrap();
    assert!(shared.wrapped.refused.is_empty(), "{shared:?}");
    for (member, client) in members.iter().zip(&clients) {
        opens_all(client, member, proposal, letter).await;
    }
    assert!(missing(&stage, "USA:dana", proposal).await.is_empty());
    stage.stop().await;
}

#[tokio::test]
async fn officer_who_is_given_the_role_again_gets_the_keys_that_are_missing() {
    let stage = Stage::open().await;
    let noa = lose(&stage, "ISR:noa").await;
    let roles = [CallRole::Officer].into();
    let dana = stage.again("USA:dana");
    dana.grant_roles(stage.call, &id("ISR:noa"), &roles).await.unwrap();
    dana.grant_roles(stage.call, &id("ISR:noa"), &roles).await.unwrap();
    let checked = noa.check_call_keys(stage.call).await.unwrap();
    assert_eq!(checked.iter().filter(|key| matches!(key.found, KeyState::Opens { .. })).count(), 1, "{checked:?}");
    stage.stop().await;
}

#[tokio::test]
async fn last_key_to_a_calls_vault_is_taken_by_nobody() {
    let stage = Stage::open().await;
    let officer: BTreeSet<CallRole> = [CallRole::Officer].into();
    let dana = id("USA:dana");
    let own = async |client: &Client| {
        let checked = client.check_call_keys(stage.call).await.unwrap();
        checked.into_iter().find_map(|key| match key.found {
            KeyState::Opens { key: id, .. } => Some((key.vault, id)),
            _ => None,
        })
    };
    // The other officers are without theirs: then Dana is the only one who can open anything.
    for officer in ["ISR:noa", "USA:olivia"] {
        let (vault, key) = own(&stage.again(officer)).await.unwrap();
        stage.client(officer).discard_key(vault, key).await.unwrap();
    }
    let (vault, key) = own(&stage.again("USA:dana")).await.unwrap();
    stage.refuses("last-key", stage.client("USA:dana").api().discard_key(vault, key)).await;
    let none = BTreeSet::new();
    for client in [stage.again("USA:olivia"), stage.again("USA:dana")] {
        stage.refuses("last-key", client.grant_roles(stage.call, &dana, &none)).await;
        stage.refuses("last-key", client.preview_roles(stage.call, &dana, &none)).await;
    }
    // Nor does another stand in its place, which opens or does not.
    let own_recipient = recipients(&stage, "USA:dana").await.remove(0);
    let in_its_place = junk(&stage, "USA:dana", vault, &to("USA:dana"), &own_recipient);
    stage.refuses("last-key", stage.client("USA:dana").api().add_keys(vault, &in_its_place)).await;
    assert_eq!(own(&stage.again("USA:dana")).await, Some((vault, key)), "nothing was taken");

    // A second identity of Dana's: the first key goes once the second one opens, and not before.
    let (identity, path) = made(&stage, "USA:dana", "next.txt");
    let first = first(&stage, "USA:dana");
    publish(&stage, "USA:dana", &[recipients(&stage, "USA:dana").await.remove(0), identity.recipient().to_owned()])
        .await;
    let both = machine(&stage, "USA:dana", &[first, path.clone()]);
    stage.refuses("last-key", both.api().discard_key(vault, key)).await;
    both.wrap_missing_of_call(stage.call).await.unwrap();
    both.discard_key(vault, key).await.unwrap();
    assert!(own(&machine(&stage, "USA:dana", &[path])).await.is_some());

    // Olivia has one again, by the same act: the office changes hands.
    assert!(own(&stage.again("USA:olivia")).await.is_some());
    stage.again("USA:olivia").grant_roles(stage.call, &dana, &none).await.unwrap();
    stage.again("USA:olivia").grant_roles(stage.call, &dana, &officer).await.unwrap();
    assert!(own(&both).await.is_some());
    stage.stop().await;
}
