//! Keys that outlived the permission to use them: who holds one and may no longer read, and their removal.
//!
//! A member who may pass a key to a vault on may take one away, but only from a holder whom policy refuses at that moment. So nobody
//! locks out the counterpart, the panel or a colleague: what takes a key is the policy, the role or the revocation of the key card, never
//! the caller. A card that ran out takes none, although its holder may not use the keys until it is renewed.

use super::{
    Answer, Exchange, Principal, RequestContext, Result, ServiceError, aside,
    state::{self, CallState, ProposalState},
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
        Tx,
        proposals::{self, ProposalRow},
        vaults::{self, VaultRow},
    },
    wire::{page::Page, proposal::SurplusKey},
};
use jiff::Timestamp;
use std::{collections::BTreeMap, sync::Arc};

/// The holders of keys to the proposal's vaults that policy no longer lets them use, as far as the caller could have wrapped the keys. A
/// party learns of members of the parties only.
pub async fn list(exchange: &Exchange, principal: &Principal, id: ProposalId) -> Result<Page<SurplusKey>> {
    let mut view = View::open(exchange, principal).await?;
    let proposal = view.proposal(id).await?;
    let mut items = Vec::new();
    for vault in vaults::of_proposal(&mut view.tx, id).await? {
        if !may_wrap(&view.me, &view.policies, &vault, &proposal)? {
            continue;
        }
        let holders = vaults::member_holders(&mut view.tx, vault.id).await?.into_keys();
        let holders: Vec<_> = holders.filter(|holder| may_name(&view.me, &proposal, holder)).collect();
        let who = state::members(exchange, &mut view.tx, &holders, view.now).await?;
        for holder in holders {
            if !still_reads(who.get(&holder), &view.policies, &vault, &proposal)? {
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

/// So many of the keys that a member holds under a call are looked at in one turn at writing: others wait for it.
const IN_A_TURN: u32 = 50;

/// Some of the keys under a call that a member holds, in the order of their vaults.
#[derive(Debug, Default)]
pub(super) struct HeldStretch {
    /// The vaults that policy does not let their holder read, with their proposals.
    pub(super) surplus: Vec<(ProposalId, VaultRow)>,
    /// The last vault that was looked at, if the member holds keys to more.
    pub(super) next: Option<VaultId>,
}

/// Looks at the next keys under a call that a member holds: which of them policy does not let the member use, be their key card renewed or
/// not. The key to the call's own vault is none of them: it goes with the officer's role.
pub(super) async fn held_after(
    exchange: &Exchange,
    tx: &mut Tx,
    policies: &Arc<Engine>,
    call: &Arc<CallState>,
    holder: &MemberId,
    after: Option<VaultId>,
    now: Timestamp,
) -> Result<HeldStretch> {
    let mut held = vaults::held_under(tx, call.row.id, holder, after, IN_A_TURN + 1).await?;
    let are_more = held.len() > IN_A_TURN as usize;
    held.truncate(IN_A_TURN as usize);
    let next = held.last().filter(|_| are_more).map(|vault| vault.id);
    let who = state::holder(exchange, tx, holder).await?;
    let held = read(tx, call, by_proposal(held), now).await?;
    let policies = Arc::clone(policies);
    // They are few, and an act in its turn waits for nobody's place.
    let surplus = aside(move || unreadable(&held, who.as_ref(), &policies)).await??;
    Ok(HeldStretch { surplus, next })
}

/// The first keys under a call that a member cannot use any more, of as many as one turn looks at: a role is gone, and no other lets them read.
pub(super) async fn first_held(act: &mut Act<'_>, call: CallId, holder: &MemberId) -> Result<HeldStretch> {
    let call = Arc::new(act.call(call).await?);
    held_after(act.exchange, &mut act.tx, &act.policies, &call, holder, None, act.now).await
}

/// Removes the keys that [`first_held`] found.
pub(super) async fn remove_surplus(
    act: &mut Act<'_>,
    permit: &Permit,
    call: &CallState,
    holder: &MemberId,
    surplus: Vec<(ProposalId, VaultRow)>,
) -> Result<()> {
    let held = surplus.into_iter().map(|(proposal, vault)| {
        let subject = Subject { proposal: Some(proposal), ..Subject::call(call) };
        (subject, vault, holder.clone())
    });
    remove_held_keys(act, permit, &held.collect::<Vec<_>>()).await
}

/// Vaults by the proposal that they are of.
fn by_proposal(rows: Vec<VaultRow>) -> BTreeMap<ProposalId, Vec<VaultRow>> {
    let mut held: BTreeMap<ProposalId, Vec<VaultRow>> = BTreeMap::new();
    for vault in rows {
        if let Some(proposal) = vault.proposal {
            held.entry(proposal).or_default().push(vault);
        }
    }
    held
}

/// The proposals of these vaults.
async fn read(
    tx: &mut Tx,
    call: &Arc<CallState>,
    mut part: BTreeMap<ProposalId, Vec<VaultRow>>,
    now: Timestamp,
) -> Result<Vec<(ProposalState, Vec<VaultRow>)>> {
    let ids: Vec<ProposalId> = part.keys().copied().collect();
    let rows = proposals::some(tx, &ids).await?;
    let with_vaults = |row: ProposalRow| {
        let vaults = part.remove(&row.id).unwrap_or_default();
        (state::proposal_state(row, Arc::clone(call), now), vaults)
    };
    Ok(rows.into_iter().map(with_vaults).collect())
}

/// Those of the vaults that policy does not let the member read.
fn unreadable(
    held: &[(ProposalState, Vec<VaultRow>)],
    who: Option<&MemberFacts>,
    policies: &Engine,
) -> Result<Vec<(ProposalId, VaultRow)>> {
    let mut found = Vec::new();
    for (proposal, vaults) in held {
        for vault in vaults {
            if !still_reads(who, policies, vault, proposal)? {
                found.push((proposal.row.id, vault.clone()));
            }
        }
    }
    Ok(found)
}
