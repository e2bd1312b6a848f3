//! An exchange that asks for keys which the nations do not permit: the holder of the key asks the signed policies themselves, of
//! facts that they verified, and wraps nothing.

use super::lies::{key_of, tamper};
use crate::harness::{
    stage::{Stage, Step, code, id, review},
    world::Store,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use entente::{
    client::{ExitClass, vaults::Wrapped},
    domain::{
        id::Sha256,
        inbox::ItemKind,
        policy::PolicyOwner,
        suspension::SuspensionReason,
        vault::{VaultKind, WrapTarget},
    },
    sealing::{
        statement::{PolicyApproval, PolicyStatement, WrapStatement, sign_statement, verify_signed},
        vault::VaultSecret,
    },
    service::suspension,
    storage::args,
    wire::proposal::{AddKeys, MissingKey, WrappedKeyIn},
};
use std::{collections::BTreeSet, sync::Arc};

/// Takes out of the way what keeps the database from being changed.
async fn unguard(stage: &Stage, sql: &'static str) {
    let mut tx = stage.server.exchange.db.write().await.unwrap();
    tx.execute(sql, args![]).await.unwrap();
    tx.commit().await.unwrap();
}

/// Who got a key and who was refused one for what the error has to say.
fn sorted(wrapped: &Wrapped, saying: &str) -> (Vec<String>, Vec<String>) {
    for (key, error) in &wrapped.refused {
        assert_eq!(error.class(), ExitClass::Unverified, "{key:?}: {error:?}");
        assert!(error.to_string().contains(saying), "{key:?}: {error}");
    }
    let name = |key: &MissingKey| key.holder.to_string();
    (wrapped.done.iter().map(name).collect(), wrapped.refused.iter().map(|(key, _)| name(key)).collect())
}

/// A key of nothing to the vault, as a client that heeds nothing would send it.
fn wrapped_by(stage: &Stage, member: &str, key: &MissingKey) -> AddKeys {
    let recipient = key.recipients[0].clone();
    let ciphertext = VaultSecret::generate().wrap(&recipient).unwrap();
    let (vault, to) = (key.vault, WrapTarget::Member(key.holder.clone()));
    let statement = WrapStatement { vault, to, recipient, sha256: Sha256::of(&ciphertext) };
    let statement = sign_statement(&key_of(stage, member), &statement).unwrap();
    AddKeys { keys: vec![WrappedKeyIn { statement, ciphertext: BASE64_STANDARD.encode(ciphertext) }] }
}

async fn no_key_is_asked_for_or_taken_for_members_of_a_suspended_partner_on(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let proposal = stage.awaiting_keys().await;
    let (dana, exchange, israel) = (stage.client("USA:dana"), Arc::clone(&stage.server.exchange), code("ISR"));
    let asked = dana.api().missing_keys(proposal).await.unwrap();
    let of_maya = asked.iter().find(|key| key.holder == id("ISR:maya")).unwrap();
    let lacking = async || -> BTreeSet<String> {
        let missing = dana.api().missing_keys(proposal).await.unwrap();
        missing.into_iter().map(|key| key.holder.to_string()).collect()
    };
    let is_item = async || {
        let inbox = dana.api().inbox().await.unwrap();
        inbox.items.iter().any(|item| item.kind == ItemKind::PassKeys)
    };
    assert_eq!(lacking().await, ["USA:carol", "ISR:maya"].map(str::to_owned).into());

    suspension::suspend(&exchange, &israel, SuspensionReason::KeysInDoubt).await.unwrap();
    assert_eq!(lacking().await, [String::from("USA:carol")].into());
    assert!(is_item().await);
    stage.refuses("wrap-refused", dana.api().add_keys(of_maya.vault, &wrapped_by(&stage, "USA:dana", of_maya))).await;
    let wrapped = dana.wrap_missing(proposal).await.unwrap();
    assert!(wrapped.refused.is_empty() && wrapped.done.iter().all(|key| key.holder == id("USA:carol")));
    assert!(!is_item().await && lacking().await.is_empty());

    suspension::resume(&exchange, &israel).await.unwrap();
    assert!(is_item().await);
    let wrapped = dana.wrap_missing(proposal).await.unwrap();
    assert!(wrapped.done.iter().all(|key| key.holder == id("ISR:maya")) && !wrapped.done.is_empty(), "{wrapped:?}");
    assert!(!is_item().await && lacking().await.is_empty());
    stage.stop().await;
}

#[tokio::test]
async fn no_key_is_asked_for_or_taken_for_members_of_a_suspended_partner() {
    no_key_is_asked_for_or_taken_for_members_of_a_suspended_partner_on(Store::Sqlite).await;
    no_key_is_asked_for_or_taken_for_members_of_a_suspended_partner_on(Store::Postgres).await;
}

const NO_REVIEWERS: &str = r#"@id("no-reviewers") @side("release") @reason("reviewers read nothing for now")
forbid(principal, action == Action::"Read", resource) when { resource.assigned.contains(principal) };"#;

#[tokio::test]
async fn nothing_is_wrapped_by_policies_that_were_rolled_back() {
    let (stage, proposal) = Stage::at(Step::AwaitingKeys).await;
    stage.israel_adds(NO_REVIEWERS).await;
    assert_eq!(stage.again("USA:dana").policy(&"ISR".parse().unwrap()).await.unwrap().version, 2);
    assert!(stage.client("USA:dana").api().missing_keys(proposal).await.unwrap().is_empty());

    unguard(&stage, "DROP TRIGGER policy_versions_are_kept").await;
    tamper(&stage, "DELETE FROM policy_versions WHERE owner = 'ISR' AND version = 2", args![]).await;
    tamper(&stage, "UPDATE policy_generation SET generation = generation + 1", args![]).await;
    assert_eq!(stage.client("USA:dana").api().missing_keys(proposal).await.unwrap().len(), 2, "so it asks");
    let before = stage.census().await;
    let wrapped = stage.again("USA:dana").wrap_missing(proposal).await.unwrap();
    let (done, refused) = sorted(&wrapped, "this machine has seen version 2");
    assert_eq!((done, refused.len()), (Vec::new(), 2));
    assert_eq!(stage.census().await, before);
    stage.stop().await;
}

#[tokio::test]
async fn nothing_is_wrapped_by_policies_that_the_host_signed_for_a_nation() {
    let (stage, proposal) = Stage::at(Step::AwaitingKeys).await;
    let israel: PolicyOwner = "ISR".parse().unwrap();
    let released = stage.client("ISR:drafter").policy(&israel).await.unwrap().text.unwrap();
    stage.israel_adds(NO_REVIEWERS).await;
    let genuine = stage.client("ISR:drafter").policy(&israel).await.unwrap();

    // Israel's earlier text as its second version, by keys that the database says are those of its policy officers.
    let (first, second) = ("USA:bob", "USA:walt");
    let text_sha256 = Sha256::of(released.as_bytes());
    let active_at = genuine.active_at.unwrap().0;
    let forged = PolicyStatement { owner: israel.clone(), version: 2, text_sha256, active_at, follows: None };
    let forged = sign_statement(&key_of(&stage, first), &forged).unwrap();
    let policy_sha256 = verify_signed::<PolicyStatement>(&forged).unwrap().payload_sha256;
    let approval = PolicyApproval { owner: israel.clone(), version: 2, policy_sha256, preview_sha256: None };
    let approval = sign_statement(&key_of(&stage, second), &approval).unwrap();
    for (signer, officer) in [(first, "ISR:drafter"), (second, "ISR:approver")] {
        let sql = "INSERT INTO member_certificates (partner, spki, member) VALUES ('ISR', $1, $2)";
        tamper(&stage, sql, args![stage.credential(signer).spki, officer]).await;
    }
    unguard(&stage, "DROP TRIGGER policy_texts_are_final").await;
    let sql = "UPDATE policy_versions SET text = $1, statement = $2, statement_sha256 = $3, approval = $4 \
               WHERE owner = 'ISR' AND version = 2";
    tamper(&stage, sql, args![released, forged, policy_sha256, approval]).await;
    tamper(&stage, "UPDATE policy_generation SET generation = generation + 1", args![]).await;
    // The server notices too, and then nothing of Israel's is to be seen; what it serves convinces no client.
    stage.refuses("not-found", stage.client("USA:dana").api().missing_keys(proposal)).await;
    let asks = stage.again("USA:dana");
    stage.declines(ExitClass::Unverified, "was no policy officer of `ISR` with that key", asks.policy(&israel)).await;
    stage.stop().await;
}

#[tokio::test]
async fn policies_are_asked_of_the_key_card_and_not_of_what_the_exchange_says_of_a_member() {
    let (stage, proposal) = Stage::at(Step::AwaitingKeys).await;
    let not_them = r#"@id("not-galilee") @side("release") @reason("not to Galilee University")
forbid(principal, action == Action::"Read", resource) when { principal.organisation == "galilee university" };"#;
    stage.israel_adds(not_them).await;
    tamper(&stage, "UPDATE members SET organisation = 'Elsewhere' WHERE member = 'ISR:maya'", args![]).await;
    let asked = stage.client("USA:dana").api().missing_keys(proposal).await.unwrap();
    assert!(asked.iter().any(|key| key.holder == id("ISR:maya")), "{asked:?}");
    let wrapped = stage.again("USA:dana").wrap_missing(proposal).await.unwrap();
    let (done, refused) = sorted(&wrapped, "version 2 of the policies of `ISR` does not permit");
    assert_eq!((done, refused), (vec!["USA:carol".to_owned()], vec!["ISR:maya".to_owned()]));
    let (_, error) = &wrapped.refused[0];
    assert!(error.to_string().contains("`ISR/not-galilee`") && error.help().contains("officers of `ISR`"), "{error:?}");
    let still = stage.client("USA:dana").api().missing_keys(proposal).await.unwrap();
    assert_eq!(still.iter().map(|key| key.holder.to_string()).collect::<Vec<_>>(), ["ISR:maya"]);
    stage.stop().await;
}

#[tokio::test]
async fn reviewer_whose_review_is_made_up_gets_no_key_to_the_others() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    stage.client("USA:carol").submit_review(proposal, &review(4.0, 4.0)).await.unwrap();
    let made_up = "INSERT INTO reviews (review_id, proposal_id, reviewer, revision, manifest_sha256, statement, ciphertext, \
                   submitted_at) SELECT 'rev_01J9ZQ4N6M8V7X5T3R2P1K0HGF', proposal_id, 'ISR:maya', revision, \
                   manifest_sha256, statement, ciphertext, submitted_at FROM reviews";
    tamper(&stage, made_up, args![]).await;
    let wrapped = stage.again("USA:dana").wrap_missing(proposal).await.unwrap();
    let (done, refused) = sorted(&wrapped, "no guardrail permits ViewDeliberation");
    assert_eq!((done, refused), (vec!["USA:carol".to_owned()], vec!["ISR:maya".to_owned()]));
    assert_eq!(wrapped.done[0].kind, VaultKind::Deliberation);
    stage.stop().await;
}

#[tokio::test]
async fn party_hands_nothing_to_a_colleague_whom_an_owner_does_not_admit() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    let officer = id("ISR:approver");
    let apart = r#"@id("apart") @side("reader") @reason("who writes policies reads no proposals")
forbid(principal, action == Action::"Read", resource) when { principal.roles.contains("policy_officer") };"#;
    stage.israel_adds(apart).await;
    let avi = stage.again("ISR:avi");
    stage.declines(ExitClass::Unverified, "`ISR/apart`", avi.invite(proposal, &officer)).await;
    let mut joint = stage.joint();
    joint.parties.get_mut(officer.partner()).unwrap().insert(officer.clone());
    stage.declines(ExitClass::Unverified, "`ISR/apart`", avi.create_proposal(&joint)).await;
    avi.invite(proposal, &id("ISR:tamar")).await.unwrap();
    stage.stop().await;
}
