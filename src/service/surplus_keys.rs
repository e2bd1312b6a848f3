//! Keys that outlived the permission to use them: who holds one and may not read any more, and their removal.
//!
//! A member who may pass a key to a vault on may take one away, but only from a holder whom policy refuses at that moment. So nobody
//! locks out the counterpart, the panel or a colleague: what takes a key is the policy, the role or the revocation of the key card, never
//! the caller. A card that ran out takes none, although its holder may not use the keys until it is renewed.

use super::{
    Answer, Exchange, Principal, RequestContext, Result, ServiceError,
    state::{self, ProposalState},
    unit::{Act, Subject, View},
    vault_access::{may_name, may_wrap, reads, wrap_action},
    vaults::{remove_held_keys, remove_keys},
};
use crate::{
    domain::{
        Refusal,
        id::{CallId, MemberId, ProposalId, VaultId},
    },
    policy::{Action, Authorization, Engine, Permit, Resource, facts::MemberFacts},
    storage::{
        proposals,
        vaults::{self, VaultRow},
    },
    wire::{page::Page, proposal::SurplusKey},
};
use std::{collections::BTreeMap, sync::Arc};

/// Who holds a key to a vault of the proposal that policy does not let them use any more, as far as the caller could have wrapped
/// it. A party learns of members of the parties only.
pub async fn list(exchange: &Exchange, principal: &Principal, id: ProposalId) -> Result<Page<SurplusKey>> {
    let mut view = View::open(exchange, principal).await?;
    let proposal = view.proposal(id).await?;
    let mut items = Vec::new();
    for vault in vaults::of_proposal(&mut view.tx, id).await? {
        if !may_wrap(&view.me, &view.policies, &vault, &proposal)? {
            continue;
        }
        for holder in vaults::member_holders(&mut view.tx, vault.id).await?.into_keys() {
            if !may_name(&view.me, &proposal, &holder) {
                continue;
            }
            let who = state::member(exchange, &mut view.tx, &holder, view.now).await?;
            if !still_reads(who.as_ref(), &view.policies, &vault, &proposal)? {
                items.push(SurplusKey { vault: vault.id, kind: vault.kind, holder });
            }
        }
    }
    Ok(Page { items, next: None })
}

/// Removes the keys to a vault that a member holds, who must not be permitted to use them any more, be their key card renewed or not.
pub async fn remove(exchange: &Exchange, context: &RequestContext, id: VaultId, holder: &MemberId) -> Result<Answer> {
    let mut act = Act::begin(exchange, context).await?;
    let vault = vaults::find(&mut act.tx, id).await?.ok_or(ServiceError::Hidden)?;
    let (permit, subject, proposal) = if let Some(proposal) = vault.proposal {
        let proposal = act.proposal(proposal).await?;
        let permit = act.authorize(wrap_action(&vault), Resource::Proposal(&proposal.facts))?;
        if !may_wrap(&act.me, &act.policies, &vault, &proposal)? {
            return Err(ServiceError::Hidden);
        }
        (permit, Subject::proposal(&proposal), Some(proposal))
    } else {
        let call = act.call(vault.call).await?;
        (act.authorize(Action::UseCallVault, Resource::Call(&call.facts))?, Subject::call(&call), None)
    };
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let holds = vaults::holds_key(&mut act.tx, id, holder).await?;
    // Of whom a party may not hear, it may not hear that they hold a key either.
    let may_hear_of = proposal.as_ref().is_none_or(|proposal| may_name(&act.me, proposal, holder));
    if !holds || !may_hear_of {
        return Err(ServiceError::Hidden);
    }
    let who = state::holder(exchange, &mut act.tx, holder).await?;
    let is_admitted = match &proposal {
        Some(proposal) => still_reads(who.as_ref(), &act.policies, &vault, proposal)?,
        None => {
            let call = act.call(vault.call).await?;
            let may = |who| act.policies.authorize(who, Action::UseCallVault, Resource::Call(&call.facts));
            who.as_ref().is_some_and(|who| matches!(may(who), Authorization::Permitted(_)))
        }
    };
    // INVARIANT: nobody takes a key from whom policy still lets read, or would with a card of the present time.
    if is_admitted {
        return Err(Refusal::StillAdmitted { holder: holder.clone() }.into());
    }
    remove_keys(&mut act, &permit, subject, &vault, holder).await?;
    act.finish(Answer::done()).await
}

fn still_reads(
    who: Option<&MemberFacts>,
    policies: &Engine,
    vault: &VaultRow,
    proposal: &ProposalState,
) -> Result<bool> {
    who.map_or(Ok(false), |who| reads(who, policies, vault, proposal))
}

/// Removes the keys that a member holds to any vault of a proposal.
pub(super) async fn remove_all_keys(
    act: &mut Act<'_>,
    permit: &Permit,
    proposal: &ProposalState,
    holder: &MemberId,
) -> Result<()> {
    for vault in vaults::of_proposal(&mut act.tx, proposal.row.id).await? {
        remove_keys(act, permit, Subject::proposal(proposal), &vault, holder).await?;
    }
    Ok(())
}

/// Removes the keys that an invitation brought, once it has ended: those to vaults of a proposal that their holder may not read. That the
/// invitation ended is all that is logged: an entry for each key would tell the one who takes it back whether the holder had another part.
pub(super) async fn drop_unreadable_keys(
    act: &mut Act<'_>,
    permit: &Permit,
    proposal: &ProposalState,
    holder: &MemberId,
) -> Result<()> {
    let who = state::holder(act.exchange, &mut act.tx, holder).await?;
    for vault in vaults::of_proposal(&mut act.tx, proposal.row.id).await? {
        if !still_reads(who.as_ref(), &act.policies, &vault, proposal)? {
            vaults::remove_keys(&mut act.tx, permit, &vault, holder).await?;
        }
    }
    Ok(())
}

/// Removes the keys to vaults of a call's proposals that a member cannot use any more: a role is gone, and no other lets them read. The key
/// to the call's own vault goes with the officer's role.
///
/// A member of the panel holds keys to every proposal, and others wait meanwhile: so call and holder are read once, and many proposals at
/// a time.
pub(super) async fn remove_surplus_keys(
    act: &mut Act<'_>,
    permit: &Permit,
    call: CallId,
    holder: &MemberId,
) -> Result<()> {
    let mut held: BTreeMap<ProposalId, Vec<VaultRow>> = BTreeMap::new();
    for vault in vaults::held_under(&mut act.tx, call, holder).await? {
        if let Some(proposal) = vault.proposal {
            held.entry(proposal).or_default().push(vault);
        }
    }
    if held.is_empty() {
        return Ok(());
    }
    let call = Arc::new(act.call(call).await?);
    let who = state::holder(act.exchange, &mut act.tx, holder).await?;
    let ids: Vec<ProposalId> = held.keys().copied().collect();
    for part in ids.chunks(proposals::AT_ONCE) {
        let mut surplus = Vec::new();
        for row in proposals::some_once(&mut act.tx, part).await? {
            let proposal = state::proposal_state(row, call.clone(), act.now);
            for vault in held.remove(&proposal.row.id).unwrap_or_default() {
                if !still_reads(who.as_ref(), &act.policies, &vault, &proposal)? {
                    surplus.push((Subject::proposal(&proposal), vault, holder.clone()));
                }
            }
        }
        remove_held_keys(act, permit, &surplus).await?;
    }
    Ok(())
}
