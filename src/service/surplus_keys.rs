//! Keys that outlived the permission to use them: who holds one and may no longer read, and their removal.
//!
//! A member who may pass a key to a vault on may take one away, but only from a holder whom policy refuses at that moment. So nobody
//! locks out the counterpart, the panel or a colleague: what takes a key is the policy, the role or the revocation of the key card, never
//! the caller. A card that ran out takes none, although its holder may not use the keys until it is renewed.

use super::{
    Answer, Exchange, Principal, RequestContext, Result, ServiceError, aside, evaluation,
    foreseen::Foresight,
    state::{self, CallState, ProposalState},
    unit::{Act, Rehearsal, Subject, View},
    vault_access::{may_name, may_wrap, reads, wrap_action},
    vaults::{remove_held_keys, remove_keys},
};
use crate::{
    domain::{
        Refusal,
        entry::EntryKind,
        id::{CallId, MemberId, ProposalId, VaultId},
    },
    policy::{
        Action, Authorization, Engine, Permit, Resource,
        facts::{CallFacts, MemberFacts},
    },
    storage::{
        Tx,
        proposals::{self, ProposalRow},
        vaults::{self, VaultRow},
    },
    wire::{page::Page, proposal::SurplusKey},
};
use jiff::Timestamp;
use std::{collections::BTreeMap, iter, mem, sync::Arc};

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

/// A member with keys to so many vaults of a call's proposals, and no more, holds few.
const FEW: u32 = 50;

/// Whether a member holds so few keys under a call that an act finds in its turn which of them go.
pub(super) async fn are_few_under(tx: &mut Tx, call: CallId, holder: &MemberId) -> Result<bool> {
    Ok(vaults::held_under(tx, call, holder, FEW + 1).await?.len() <= FEW as usize)
}

/// Kinds of entries about a proposal that leave who holds and may use its keys as they were.
const LEAVES_KEYS: &[EntryKind] =
    &[EntryKind::DocumentFetched, EntryKind::ReviewFetched, EntryKind::LetterFetched, EntryKind::KeyFetched];

/// The keys under a call that a member can no longer use once their roles are others, with what that follows from.
///
/// A member of the panel holds keys to every proposal. So they are found before the turn, and in it once more for the few proposals alone that
/// something was done about in between.
#[derive(Debug)]
pub(super) struct ForeseenKeys {
    surplus: Vec<(ProposalId, VaultRow)>,
    who: Option<MemberFacts>,
    /// As it would be. A role can lose its effect, or get it back, by what is done about any proposal.
    call: Arc<CallFacts>,
    foresight: Foresight,
}

impl ForeseenKeys {
    /// Those that would be surplus in the call as it will be.
    pub(super) async fn of(look: &mut Rehearsal<'_>, then: CallState, holder: &MemberId) -> Result<Self> {
        let call = Arc::new(then);
        let who = state::holder(look.exchange, &mut look.tx, holder).await?;
        let mut surplus = Vec::new();
        let held = by_proposal(vaults::held_under(&mut look.tx, call.row.id, holder, u32::MAX).await?);
        for part in parts(held) {
            let part = read(&mut look.tx, &call, part, look.now).await?;
            let (who, policies) = (who.clone(), Arc::clone(&look.policies));
            let decide = move || unreadable(&part, who.as_ref(), &policies);
            surplus.extend(evaluation::done(look.exchange, &look.me.id, usize::MAX, decide).await??);
        }
        Ok(Self { surplus, who, call: Arc::clone(&call.facts), foresight: Foresight::of(look).await? })
    }
}

/// The keys under a call that a member cannot use: a role is gone, and no other lets them read. The key to the call's own vault goes with
/// the officer's role. None if too many proposals have to be looked at to find them in a turn.
pub(super) async fn surplus_under(
    act: &mut Act<'_>,
    call: CallId,
    holder: &MemberId,
    foreseen: Option<ForeseenKeys>,
) -> Result<Option<Vec<(ProposalId, VaultRow)>>> {
    let call = Arc::new(act.call(call).await?);
    let who = state::holder(act.exchange, &mut act.tx, holder).await?;
    let (mut surplus, mut held) = (Vec::new(), BTreeMap::new());
    match foreseen {
        None => held = by_proposal(vaults::held_under(&mut act.tx, call.row.id, holder, FEW + 1).await?),
        Some(foreseen) => {
            if foreseen.who != who || foreseen.call != call.facts {
                return Ok(None);
            }
            let changed = foreseen.foresight.changed(act, call.row.id, LEAVES_KEYS).await?;
            let Some(changed) = changed.filter(|changed| changed.len() <= FEW as usize) else { return Ok(None) };
            surplus = foreseen.surplus;
            surplus.retain(|(proposal, _)| !changed.contains(proposal));
            for proposal in changed {
                for vault in vaults::of_proposal(&mut act.tx, proposal).await? {
                    if vaults::holds_key(&mut act.tx, vault.id, holder).await? {
                        held.entry(proposal).or_insert_with(Vec::new).push(vault);
                    }
                }
            }
        }
    }
    if held.values().map(Vec::len).sum::<usize>() > FEW as usize {
        return Ok(None);
    }
    for part in parts(held) {
        let part = read(&mut act.tx, &call, part, act.now).await?;
        let (who, policies) = (who.clone(), Arc::clone(&act.policies));
        // They are few, and an act in its turn waits for nobody's place.
        surplus.extend(aside(move || unreadable(&part, who.as_ref(), &policies)).await??);
    }
    Ok(Some(surplus))
}

/// Removes the keys that [`surplus_under`] found.
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

/// As many of them at a time as are read at once.
fn parts(mut held: BTreeMap<ProposalId, Vec<VaultRow>>) -> impl Iterator<Item = BTreeMap<ProposalId, Vec<VaultRow>>> {
    iter::from_fn(move || {
        let rest = held.keys().nth(proposals::AT_ONCE).copied();
        let rest = rest.map(|first| held.split_off(&first)).unwrap_or_default();
        let part = mem::replace(&mut held, rest);
        (!part.is_empty()).then_some(part)
    })
}

/// The proposals of these vaults.
async fn read(
    tx: &mut Tx,
    call: &Arc<CallState>,
    mut part: BTreeMap<ProposalId, Vec<VaultRow>>,
    now: Timestamp,
) -> Result<Vec<(ProposalState, Vec<VaultRow>)>> {
    let ids: Vec<ProposalId> = part.keys().copied().collect();
    let rows = proposals::some_once(tx, &ids).await?;
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
