//! Decides who may read the content of a vault, who may pass on its keys, and which keys must stay.

use super::{
    Result, ServiceError,
    state::{CallState, ProposalState},
};
use crate::{
    domain::{
        Refusal,
        id::{MemberId, PartnerCode, WrappedKeyId},
        vault::VaultKind,
    },
    policy::{self, Action, Authorization, Resource, facts::MemberFacts},
    sealing::statement::VaultStatement,
    storage::{
        StoreError, Tx,
        vaults::{self, VaultRow},
    },
};

/// Whether policy permits somebody to read what the vault protects.
pub(super) fn reads(
    who: &MemberFacts,
    policies: &policy::Engine,
    vault: &VaultRow,
    proposal: &ProposalState,
) -> Result<bool> {
    let Some((action, resource)) = reading(vault, proposal, &who.id)? else { return Ok(false) };
    Ok(matches!(policies.authorize(who, action, resource), Authorization::Permitted(_)))
}

/// The action that permits a member to read the content of the vault. A call's vault has no content of its own, and belongs to no proposal.
pub(super) fn reading<'p>(
    vault: &'p VaultRow,
    proposal: &'p ProposalState,
    member: &MemberId,
) -> Result<Option<(Action, Resource<'p>)>> {
    let facts = &proposal.facts;
    Ok(Some(match vault.kind {
        VaultKind::Panel => (Action::Read, Resource::Proposal(facts)),
        VaultKind::Parties => (Action::ReadLetter, Resource::Proposal(facts)),
        VaultKind::Deliberation => (Action::ViewDeliberation, Resource::Proposal(facts)),
        VaultKind::Staff => reading_of_party(proposal, staff_owner(vault)?, member),
        VaultKind::Call => return Ok(None),
    }))
}

/// The action that permits a member to read what is sealed for one party alone.
pub(super) fn reading_of_party<'p>(
    proposal: &'p ProposalState,
    owner: &'p PartnerCode,
    member: &MemberId,
) -> (Action, Resource<'p>) {
    let facts = &proposal.facts;
    if facts.gets_letters_alone(member, owner) {
        return (Action::ReadLetter, Resource::Proposal(facts));
    }
    (Action::ReadStaff, Resource::StaffSlots { proposal: facts, owner })
}

pub(super) fn opens_call_vault(who: &MemberFacts, policies: &policy::Engine, call: &CallState) -> bool {
    matches!(policies.authorize(who, Action::UseCallVault, Resource::Call(&call.facts)), Authorization::Permitted(_))
}

/// Whether somebody may pass on a key: permitted to wrap, and permitted to read what it opens.
pub(super) fn may_wrap(
    who: &MemberFacts,
    policies: &policy::Engine,
    vault: &VaultRow,
    proposal: &ProposalState,
) -> Result<bool> {
    let outcome = policies.authorize(who, wrap_action(vault), Resource::Proposal(&proposal.facts));
    Ok(matches!(outcome, Authorization::Permitted(_)) && reads(who, policies, vault, proposal)?)
}

pub(super) fn wrap_action(vault: &VaultRow) -> Action {
    if vault.kind == VaultKind::Deliberation { Action::WrapDeliberation } else { Action::WrapKey }
}

/// The vault that a statement makes.
pub(super) fn said(statement: VaultStatement, jws: String, by: &MemberId) -> VaultRow {
    let VaultStatement { vault, kind, call, proposal, party, recipient } = statement;
    VaultRow { id: vault, kind, call, proposal, party, recipient, statement: jws, created_by: by.clone() }
}

fn staff_owner(vault: &VaultRow) -> Result<&PartnerCode> {
    let damaged = || StoreError::Corrupt { place: "party".into(), expected: "the party of a staff vault".into() };
    Ok(vault.party.as_ref().ok_or_else(damaged)?)
}

/// Whether somebody may learn that a member reads the proposal: parties hear of parties only, never of who judges them.
pub(super) fn may_name(who: &MemberFacts, proposal: &ProposalState, member: &MemberId) -> bool {
    let parties = &proposal.facts.party_members;
    !parties.contains(&who.id) || parties.contains(member)
}

/// Refuses to take away the last key to a call's vault: to open it takes a key, and so does wrapping another. A proposal's vaults
/// are wrapped to the call's for good.
pub(super) async fn require_other_key(
    tx: &mut Tx,
    vault: &VaultRow,
    goes: impl Fn(WrappedKeyId, &MemberId) -> bool,
) -> Result<()> {
    let is_call = vault.kind == VaultKind::Call;
    if is_call && vaults::keys_in_force(tx, vault.id).await?.iter().all(|(key, holder)| goes(*key, holder)) {
        return Err(last_key(vault));
    }
    Ok(())
}

pub(super) fn last_key(vault: &VaultRow) -> ServiceError {
    Refusal::LastKey { call: vault.call }.into()
}

/// The same of all keys of a member. Who has left, and whose keys are for no card in force, takes nothing along.
pub(super) async fn require_other_holder(tx: &mut Tx, vault: &VaultRow, holder: &MemberId) -> Result<()> {
    if vault.kind != VaultKind::Call {
        return Ok(());
    }
    let keys = vaults::keys_in_force(tx, vault.id).await?;
    if !keys.is_empty() && keys.iter().all(|(_, whose)| whose == holder) { Err(last_key(vault)) } else { Ok(()) }
}

pub(super) fn wrap_refused(fault: &str) -> ServiceError {
    Refusal::WrapRefused { fault: fault.to_owned() }.into()
}
