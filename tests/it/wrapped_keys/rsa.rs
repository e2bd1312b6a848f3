//! A member whose identity is an `ssh-rsa` key. How long it takes to open something with it can reveal the key, so the client warns of it,
//! opens with it only what the member signed whom the exchange names, and the key agent refuses it.

use super::{first, machine, publish, recipients, vault_id};
use crate::{
    harness::stage::{Stage, id},
    refusals::lies::tamper,
};
use entente::{
    client::{ExitClass, agent::Agent, own_keys::KeyState, verified::VersionChoice},
    domain::{
        id::{ProposalId, WrappedKeyId},
        vault::VaultKind,
    },
    sealing::identity::write_identity_file,
    storage::args,
};
use std::{
    path::PathBuf,
    slice,
    sync::{Arc, Mutex},
};

const RSA: &str = include_str!("../../../src/sealing/testdata/id_rsa");
const RSA_PUBLIC: &str = include_str!("../../../src/sealing/testdata/id_rsa.pub");

/// The private key, in the member's home and for its owner alone.
fn rsa(stage: &Stage, member: &str) -> PathBuf {
    let path = stage.home(&id(member)).join("id_rsa");
    write_identity_file(&path, RSA.as_bytes()).unwrap();
    path
}

/// A proposal to which Bob has a second key, for his `ssh-rsa` identity: Avi wrapped it.
async fn wrapped_for_rsa(stage: &Stage) -> ProposalId {
    let proposal = stage.submitted().await;
    let recipients = [recipients(stage, "USA:bob").await.remove(0), RSA_PUBLIC.trim().to_owned()];
    publish(stage, "USA:bob", &recipients).await;
    let wrapped = stage.again("ISR:avi").wrap_missing(proposal).await.unwrap();
    assert!(wrapped.refused.is_empty() && !wrapped.done.is_empty(), "{wrapped:?}");
    proposal
}

#[tokio::test]
async fn client_warns_of_an_rsa_identity_once_and_of_no_other() {
    let stage = Stage::open().await;
    for (path, times) in [(rsa(&stage, "USA:bob"), 1), (first(&stage, "USA:bob"), 0)] {
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = told.clone();
        let bob = machine(&stage, "USA:bob", &[path]);
        let bob = bob.on_warning(move |told| heard.lock().unwrap().push(told.to_owned()));
        for _ in 0..2 {
            bob.keyring().await.unwrap();
        }
        let told = told.lock().unwrap().clone();
        assert_eq!(told.len(), times, "{told:?}");
        assert!(told.iter().all(|told| told.contains("`ssh-rsa`") && told.contains("RUSTSEC-2023-0071")), "{told:?}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn agent_does_not_start_with_an_rsa_identity_alone_or_beside_another() {
    let stage = Stage::open().await;
    let (rsa, other) = (rsa(&stage, "USA:dana"), first(&stage, "USA:dana"));
    let here = &stage;
    let agent = |identities: &[PathBuf]| {
        let identities = identities.to_vec();
        Agent::new(move || Ok(machine(here, "USA:dana", &identities)), Some(here.call))
    };
    agent(slice::from_ref(&other)).check().await.unwrap();
    for identities in [vec![rsa.clone()], vec![other, rsa]] {
        stage.declines(ExitClass::Failure, "can reveal an `ssh-rsa` identity", agent(&identities).check()).await;
    }
    stage.stop().await;
}

#[tokio::test]
async fn key_that_another_signed_than_the_exchange_says_is_not_tried_with_an_rsa_identity() {
    let stage = Stage::open().await;
    let proposal = wrapped_for_rsa(&stage).await;
    let panel = vault_id(&stage, "USA:bob", proposal, VaultKind::Panel).await;
    let rsa = rsa(&stage, "USA:bob");
    let before = machine(&stage, "USA:bob", slice::from_ref(&rsa));
    before.read_summary(proposal, VersionChoice::Standing).await.unwrap();

    // The signature stays, and the exchange names somebody else for it.
    let sql = "INSERT INTO wrapped_keys (key_id, vault_id, holder, recipient, statement, ciphertext, wrapped_by, wrapped_at) \
               SELECT $2, vault_id, holder, recipient, statement, ciphertext, 'ISR:tamar', wrapped_at FROM wrapped_keys \
               WHERE vault_id = $1 AND holder = 'USA:bob' AND recipient LIKE 'ssh-rsa %'";
    tamper(&stage, sql, args![panel, WrappedKeyId::new(&*stage.clock, &*stage.rng)]).await;
    let sql = "DELETE FROM wrapped_keys WHERE vault_id = $1 AND holder = 'USA:bob' AND wrapped_by = 'ISR:avi' \
               AND recipient LIKE 'ssh-rsa %'";
    tamper(&stage, sql, args![panel]).await;
    let bob = machine(&stage, "USA:bob", &[rsa]);
    let saying = "a wrapped key is signed by somebody else than the exchange says";
    stage.declines(ExitClass::Unverified, saying, bob.read_summary(proposal, VersionChoice::Standing)).await;
    let checked = bob.check_keys(proposal).await.unwrap();
    let of_panel = checked.iter().filter(|key| key.vault == panel && key.recipient.starts_with("ssh-rsa "));
    let broken = of_panel.filter(|key| matches!(key.found, KeyState::Broken { .. })).count();
    assert_eq!(broken, 1, "{checked:?}");

    // The time that another identity takes does not depend on the key, so it is tried without that proof.
    let bob = machine(&stage, "USA:bob", &[first(&stage, "USA:bob")]);
    bob.read_summary(proposal, VersionChoice::Standing).await.unwrap();
    stage.stop().await;
}
