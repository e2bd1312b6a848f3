//! Wrapped keys: nobody takes from a holder what they can open, and what does not open can be replaced, by the members' own acts over
//! mutual TLS. What a holder lacks is counted for each recipient of the key card in force.

mod junk;
mod many;
mod renewal;
mod rsa;

use crate::harness::stage::{Stage, id};
use entente::{
    client::{Ambient, Client, Profile, directory::NewKeyCard},
    domain::{
        ambient::Clock,
        id::{ProposalId, VaultId},
        vault::VaultKind,
    },
    sealing::identity::{NewIdentity, NoPrompt, new_identity, write_identity_file},
    wire::proposal::{MissingKey, Vault},
};
use std::path::PathBuf;

/// A new identity of a member, in a file of its own.
fn made(stage: &Stage, member: &str, name: &str) -> (NewIdentity, PathBuf) {
    let (identity, path) = (new_identity(), stage.home(&id(member)).join(name));
    write_identity_file(&path, identity.file_text(stage.clock.now()).expose().as_bytes()).unwrap();
    (identity, path)
}

/// The identity that the member began with.
fn first(stage: &Stage, member: &str) -> PathBuf {
    stage.home(&id(member)).join("identity.txt")
}

/// A machine of the member's with these identities, which holds nothing in mind.
fn machine(stage: &Stage, member: &str, identities: &[PathBuf]) -> Client {
    let before = stage.again(member);
    let profile = Profile { identities: identities.to_vec(), ..before.profile().clone() };
    let ambient = Ambient { clock: stage.clock.clone(), rng: stage.rng.clone() };
    Client::new(before.home().clone(), profile, NoPrompt, ambient).unwrap()
}

/// The registrar publishes the member's card with these recipients.
async fn publish(stage: &Stage, member: &str, recipients: &[String]) {
    let (member, registrar) = (id(member), format!("{}:registrar", &member[..3]));
    let present = stage.again("USA:dana").issued_member(&member).await.unwrap().card.clone();
    let new = NewKeyCard { recipients: recipients.to_vec(), ..NewKeyCard::like(present) };
    stage.client(&registrar).issue_key_card(&new).await.unwrap();
}

/// The recipients of the member's card in force.
async fn recipients(stage: &Stage, member: &str) -> Vec<String> {
    stage.again("USA:dana").issued_member(&id(member)).await.unwrap().card.recipients.clone()
}

/// The vault of a kind as the member is shown it.
async fn shown(stage: &Stage, member: &str, proposal: ProposalId, kind: VaultKind) -> Vault {
    let vaults = stage.client(member).api().vaults(proposal).await.unwrap();
    let own = |vault: &Vault| vault.party.as_ref().is_none_or(|party| party == id(member).partner());
    vaults.into_iter().find(|vault| vault.kind == kind && own(vault)).unwrap()
}

pub(crate) async fn vault_id(stage: &Stage, member: &str, proposal: ProposalId, kind: VaultKind) -> VaultId {
    shown(stage, member, proposal, kind).await.id
}

/// Who lacks a key to what, in words.
fn words(missing: &[MissingKey]) -> Vec<String> {
    missing.iter().map(|key| format!("{} {}", key.kind, key.holder)).collect()
}

/// What the exchange reports to a member as missing of a proposal.
async fn missing(stage: &Stage, member: &str, proposal: ProposalId) -> Vec<String> {
    words(&stage.client(member).api().missing_keys(proposal).await.unwrap())
}
