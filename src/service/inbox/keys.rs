//! Keys that wait to be passed on: by officers to those who judge and to other officers, within the parties to those who lack one.
//!
//! Officers pass on all keys of a call by one command, so they have one item for each call.

use super::{CANDIDATES, FoundItems, LOADED_AT_ONCE, on_proposal};
use crate::{
    domain::{
        id::{CallId, MemberId, ProposalId},
        inbox::ItemKind,
        reference::CallCode,
    },
    policy::{Action, Resource, facts::MemberFacts},
    service::{
        Result,
        evaluation::{self, DECISION},
        state::{self, ProposalState},
        unit::View,
        vault_access::{may_name, may_wrap, opens_call_vault, reads},
        vaults::needs_own_key,
    },
    storage::inbox::{self as store, LackingHolder},
    wire::inbox::InboxItem,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// How many keys that are missing are looked at first: mostly some of them can be passed on, and one is enough for each call.
const FIRST_LOOK: usize = 10;

/// How many of the proposals on which a member has declared are looked at for keys that somebody lacks, the newest first: each costs some
/// 0.1 ms.
const DECLARED: u32 = 5_000;

/// The facts about those who lack keys.
type Holders = Arc<HashMap<MemberId, MemberFacts>>;

impl FoundItems {
    pub(super) async fn add_keys(&mut self, view: &mut View<'_>) -> Result<()> {
        let mut calls = Self::lacking_officers(view).await?;
        self.add_lacking_on_panel(view, &mut calls).await?;
        let items = calls.into_iter().map(|(call, code)| InboxItem {
            call: Some(call),
            code: Some(code),
            ..InboxItem::new(ItemKind::PassKeys)
        });
        self.items.extend(items);
        self.add_lacking_in_parties(view).await
    }

    /// The calls of which another officer lacks the key, with their codes.
    async fn lacking_officers(view: &mut View<'_>) -> Result<BTreeMap<CallId, CallCode>> {
        let me = view.me.id.clone();
        let lacking = store::lacking_officers(&mut view.tx, &me, view.now, CANDIDATES).await?;
        let ids: BTreeSet<CallId> = lacking.iter().map(|(call, _)| *call).collect();
        let ids: Vec<CallId> = ids.into_iter().collect();
        let revisions = store::revisions(&mut view.tx, &ids).await?;
        let mut calls = state::calls(view.exchange, &mut view.tx, &revisions, view.now).await?;
        let holders: Vec<MemberId> = lacking.iter().map(|(_, holder)| holder.clone()).collect();
        let facts = state::members(view.exchange, &mut view.tx, &holders, view.now).await?;
        calls.retain(|id, call| {
            let mut lacking = lacking.iter().filter(|(of, _)| of == id).filter_map(|(_, holder)| facts.get(holder));
            view.may(Action::UseCallVault, Resource::Call(&call.facts))
                && lacking.any(|holder| opens_call_vault(holder, &view.policies, call))
        });
        Ok(calls.into_iter().map(|(id, call)| (id, call.text.code.clone())).collect())
    }

    /// Adds the calls of which somebody who judges lacks a key that the member may pass on.
    async fn add_lacking_on_panel(
        &mut self,
        view: &mut View<'_>,
        calls: &mut BTreeMap<CallId, CallCode>,
    ) -> Result<()> {
        let me = view.me.id.clone();
        let mut waiting = store::lacking_on_panel(&mut view.tx, &me, view.now, DECLARED, CANDIDATES).await?;
        let facts = holders(view, &waiting).await?;
        let mut at_once = FIRST_LOOK;
        loop {
            waiting.retain(|one| !calls.contains_key(&one.vault.call));
            if waiting.is_empty() {
                return Ok(());
            }
            let some: Vec<LackingHolder> = waiting.drain(..at_once.min(waiting.len())).collect();
            at_once = LOADED_AT_ONCE;
            let some = by_proposal(some);
            let ids: Vec<ProposalId> = some.keys().copied().collect();
            let mut states = self.loaded(view, &ids).await?;
            for (id, lacking) in some {
                let Some(state) = states.remove(&id).filter(|state| !calls.contains_key(&state.row.call)) else {
                    continue;
                };
                let (call, code) = (state.row.call, state.call.text.code.clone());
                if can_pass_on(view, state, lacking, &facts).await? {
                    calls.insert(call, code);
                }
            }
        }
    }

    /// One item for each proposal of the member's own of whose parties somebody lacks a key that the member may pass on.
    async fn add_lacking_in_parties(&mut self, view: &mut View<'_>) -> Result<()> {
        let (me, since) = (view.me.id.clone(), self.items.len());
        let lacking = store::lacking_in_parties(&mut view.tx, &me, view.now, CANDIDATES).await?;
        let facts = holders(view, &lacking).await?;
        // The newest first, as they were found.
        let mut waiting: Vec<(ProposalId, Vec<LackingHolder>)> = by_proposal(lacking).into_iter().rev().collect();
        while !waiting.is_empty() && !self.is_enough(since) {
            let some: Vec<_> = waiting.drain(..LOADED_AT_ONCE.min(waiting.len())).collect();
            let ids: Vec<ProposalId> = some.iter().map(|(id, _)| *id).collect();
            let mut states = self.loaded(view, &ids).await?;
            for (id, lacking) in some {
                let Some(state) = states.remove(&id) else { continue };
                let item = on_proposal(&state, ItemKind::PassKeys, None, None);
                if can_pass_on(view, state, lacking, &facts).await? {
                    self.items.push(item);
                }
            }
        }
        Ok(())
    }
}

fn by_proposal(lacking: Vec<LackingHolder>) -> BTreeMap<ProposalId, Vec<LackingHolder>> {
    let mut by_proposal: BTreeMap<ProposalId, Vec<LackingHolder>> = BTreeMap::new();
    for one in lacking {
        by_proposal.entry(one.proposal).or_default().push(one);
    }
    by_proposal
}

async fn holders(view: &mut View<'_>, lacking: &[LackingHolder]) -> Result<Holders> {
    let ids: BTreeSet<&MemberId> = lacking.iter().map(|lacking| &lacking.holder).collect();
    let ids: Vec<MemberId> = ids.into_iter().cloned().collect();
    Ok(Arc::new(state::members(view.exchange, &mut view.tx, &ids, view.now).await?))
}

/// Whether the member may pass on one of these keys, and its holder may read by it: as the list of missing keys has it.
async fn can_pass_on(
    view: &View<'_>,
    state: Arc<ProposalState>,
    lacking: Vec<LackingHolder>,
    facts: &Holders,
) -> Result<bool> {
    let (policies, me, facts) = (Arc::clone(&view.policies), view.me.clone(), Arc::clone(facts));
    // Of each: whether one may wrap, and whether the other may read.
    let steps = lacking.len() * 3 * DECISION;
    let decide = move || -> Result<bool> {
        for LackingHolder { vault, holder, .. } in &lacking {
            let Some(holder) = facts.get(holder) else { continue };
            let is_asked = may_name(&me, &state, &holder.id) && needs_own_key(vault.kind, &state, &holder.id);
            if is_asked && reads(holder, &policies, vault, &state)? && may_wrap(&me, &policies, vault, &state)? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    evaluation::done(view.exchange, &view.asker, steps, decide).await?
}
