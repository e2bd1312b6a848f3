//! A check before a large body is read: a member who may not do the act, whatever the body says, is refused before they have sent it.
//!
//! The check uses the address alone and facts that need no body; the act decides everything again.

use super::{
    Exchange, Idempotency, Principal, Result, ServiceError, parties, policies, state,
    unit::View,
    vault_access::{may_wrap, wrap_action},
};
use crate::{
    domain::{
        Refusal,
        id::{CallId, MemberId, ProgramId, ProposalId, VaultId},
        policy::PolicyOwner,
    },
    policy::{Action, Resource},
    storage::{
        idempotency,
        policies::{approve_action, propose_action},
        vaults as vault_store,
    },
};

/// The subject of an act with a large body.
#[derive(Debug, Clone)]
pub enum About {
    /// Any of the actions on a call.
    Call(CallId, &'static [Action]),
    /// A call that is drafted under a program.
    Draft(ProgramId),
    /// Any of the actions on a proposal.
    Proposal(ProposalId, &'static [Action]),
    /// An invitation of a member to a party.
    Invitation(ProposalId, MemberId),
    /// Keys to a vault.
    Vault(VaultId),
    /// A version of policies, proposed or approved.
    Policies(PolicyOwner),
}

/// Refuses a caller who could not do it in any case. A request to the same address that was answered before under its key is left to the act:
/// its sender may have lost the right by it.
pub async fn check(exchange: &Exchange, principal: &Principal, request: &Idempotency, about: About) -> Result<()> {
    let mut view = View::open(exchange, principal).await?;
    let earlier = idempotency::find(&mut view.tx, &principal.member, &request.key).await?;
    if earlier.is_some_and(|earlier| earlier.address_sha256 == Some(request.address_sha256)) {
        return Ok(());
    }
    match about {
        About::Call(id, actions) => {
            let call = view.call(id).await?;
            permitted_any(&view, actions, Resource::Call(&call.facts))
        }
        About::Draft(id) => {
            let program = state::program(&mut view.tx, id).await?.ok_or(ServiceError::Hidden)?;
            permitted_any(&view, &[Action::CreateCall], Resource::Program(&program.facts))
        }
        About::Proposal(id, actions) => {
            let proposal = view.proposal(id).await?;
            permitted_any(&view, actions, Resource::Proposal(&proposal.facts))
        }
        About::Invitation(id, member) => {
            let proposal = view.proposal(id).await?;
            let now = view.now;
            let subject = state::member(exchange, &mut view.tx, &member, now).await?;
            let subject = subject.ok_or(Refusal::NoKeyCard { member })?;
            let permit = parties::speaks_for(&proposal, &subject, Action::AddMember, |action, resource| {
                view.authorize(action, resource)
            });
            permit.map(drop)
        }
        About::Vault(id) => {
            let vault = vault_store::find(&mut view.tx, id).await?.ok_or(ServiceError::Hidden)?;
            if let Some(proposal) = vault.proposal {
                let proposal = view.proposal(proposal).await?;
                view.authorize(wrap_action(&vault), Resource::Proposal(&proposal.facts))?;
                let may_wrap = may_wrap(&view.me, &view.policies, &vault, &proposal)?;
                return if may_wrap { Ok(()) } else { Err(ServiceError::Hidden) };
            }
            let call = view.call(vault.call).await?;
            permitted_any(&view, &[Action::UseCallVault], Resource::Call(&call.facts))
        }
        About::Policies(owner) => {
            let partner = policies::writer(&mut view.tx, exchange, &owner).await?;
            permitted_any(&view, &[propose_action(&owner), approve_action(&owner)], Resource::Partner(&partner))
        }
    }
}

/// Passes if any of the actions is permitted; else returns the refusal of the first.
fn permitted_any(view: &View<'_>, actions: &[Action], resource: Resource<'_>) -> Result<()> {
    let mut refused = None;
    for action in actions {
        match view.authorize(*action, resource) {
            Ok(_) => return Ok(()),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    refused.map_or(Ok(()), Err)
}
