//! Previews a change: who would gain and who would lose access to which proposals, what the losing members have fetched already, and for
//! whom a key would have to be wrapped.
//!
//! One comparison, whatever would change: a version of policies, a label, a role, an assignment or a key card. It evaluates everybody who
//! has a part, before and after the change, and returns the differences alone: nothing about a proposal that is hidden from everybody
//! concerned before and after. A request examines a bounded number of proposals and returns where to continue.

use super::{
    Exchange, LONGEST_LOOK, Principal, Result, ServiceError,
    comparison::{Comparison, PreviewAudience},
    cursors::SealedCursors,
    lists::{self, ListCondition, ListReader},
    state::{self, CallState, ProposalState},
    unit::View,
};
use crate::{
    domain::{
        Refusal,
        id::{CallId, MemberId, PartnerCode, ProposalId},
        member::PartnerRole,
        policy::PolicyOwner,
        proposal::Sort,
    },
    policy::{Action, Resource, facts::MemberFacts},
    storage::{
        Tx, entries, partners, policies, proposals, vaults,
        visible::{self, ListPosition, PageRequest, PageSearch},
    },
    wire::{
        page,
        policy::{Preview, PreviewedChange},
        proposal::Filter,
    },
};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

/// After so many proposals a scan ends at the next one that the caller may know of.
const MAX_VISITED: u32 = 2000;
/// After so many it ends at any.
const MAX_HIDDEN: u32 = 5 * MAX_VISITED;
/// One answer holds so many changes, and those on the last proposal.
const MAX_CHANGES: usize = 10_000;

/// A scan over proposals for one preview, and its findings so far.
#[derive(Debug, Default)]
pub(super) struct PreviewScan {
    items: Vec<PreviewedChange>,
    considered: u32,
    visited: u32,
}

impl PreviewScan {
    /// Visits one more proposal, in its present state and in its state after the change. Returns whether the scan ends
    /// here: it has visited enough, and the caller may know of this proposal. So most scans tell nothing of how much is
    /// hidden. One that meets nothing else for long ends all the same, and its sealed cursor tells nothing of the position.
    pub(super) async fn visit(
        &mut self,
        comparison: &mut Comparison<'_>,
        tx: &mut Tx,
        states: (&ProposalState, &ProposalState),
        audience: PreviewAudience<'_>,
    ) -> Result<bool> {
        let is_told = comparison.add(tx, states, audience, &mut self.items).await?;
        self.considered += u32::from(is_told);
        self.visited += 1;
        // Decisions are work: others are let on between two proposals.
        tokio::task::yield_now().await;
        let is_enough = self.visited >= MAX_VISITED || self.items.len() >= MAX_CHANGES;
        let is_too_much = self.visited >= MAX_HIDDEN || comparison.is_tired();
        Ok(is_too_much || is_enough && (is_told || comparison.is_known(tx, states.0, audience).await?))
    }

    /// All of it, and where to go on.
    pub(super) async fn finish(mut self, tx: &mut Tx, next: Option<String>) -> Result<Preview> {
        note(tx, &mut self.items).await?;
        Ok(Preview { considered: self.considered, items: self.items, needs_call_key: false, next })
    }
}

/// Previews a version for the proposals from `cursor` on, for the policy officers who write it.
pub async fn preview(
    exchange: &Exchange,
    principal: &Principal,
    owner: &PolicyOwner,
    number: u32,
    cursor: Option<&str>,
) -> Result<Preview> {
    let writer = owner.written_by(&exchange.host).clone();
    of_policies(exchange, &principal.member, &writer).open::<ProposalId>(cursor)?;
    let authorized = async || -> Result<_> {
        let mut view = View::open(exchange, principal).await?;
        partners::find(&mut view.tx, &writer).await?.ok_or(ServiceError::Hidden)?;
        view.authorize(Action::ViewPolicyDrafts, Resource::Partner(&writer))?;
        let row = policies::find(&mut view.tx, owner, number).await?.ok_or(ServiceError::Hidden)?;
        Ok((view, row))
    };
    drop(authorized().await?);
    let turn = exchange.long_work.scan(principal).await?;
    let (mut view, row) = authorized().await?;
    view.tx.hold(turn, LONGEST_LOOK).await?;
    let then = exchange.rules.with(&view.policies, owner, &row.text).await?;
    let comparison = Comparison::new(exchange, &view.me.id, Arc::clone(&view.policies), then, view.now);
    compare(&mut view, comparison, &writer, cursor).await
}

fn of_policies(exchange: &Exchange, member: &MemberId, writer: &PartnerCode) -> SealedCursors {
    SealedCursors::of(exchange, "preview of policies", member).within("partner", writer)
}

/// Previews other policies of `writer` for the proposals from `cursor` on: on its own proposals for everybody, on others' for its members.
/// Proposals of which its policy officer may not know are passed over and not counted.
pub async fn compare(
    view: &mut View<'_>,
    mut comparison: Comparison<'_>,
    writer: &PartnerCode,
    cursor: Option<&str>,
) -> Result<Preview> {
    let cursors = of_policies(view.exchange, &view.me.id, writer);
    let (mut scan, mut passed) = (PreviewScan::default(), cursors.open(cursor)?);
    let mut calls: BTreeMap<CallId, Arc<CallState>> = BTreeMap::new();
    loop {
        let rows = proposals::concerning(&mut view.tx, writer, passed, page::MAX_PAGE).await?;
        let is_last = rows.len() < page::MAX_PAGE as usize;
        for row in rows {
            let id = row.id;
            passed = Some(id);
            let call = match calls.get(&row.call) {
                Some(call) => Arc::clone(call),
                None => {
                    let call = state::call(&mut view.tx, row.call, view.now).await?.ok_or(ServiceError::Hidden)?;
                    Arc::clone(calls.entry(row.call).or_insert(Arc::new(call)))
                }
            };
            let proposal = state::proposal_state(row, call, view.now);
            let audience = PreviewAudience::of_nation(view, writer, &proposal);
            if scan.visit(&mut comparison, &mut view.tx, (&proposal, &proposal), audience).await? {
                return scan.finish(&mut view.tx, Some(cursors.seal(id))).await;
            }
        }
        if is_last {
            return scan.finish(&mut view.tx, None).await;
        }
    }
}

/// The planned change of a member's key card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CardChange {
    /// None is left in force.
    Revoked,
    /// One with another organisation, other roles in the partner, or both.
    Issued { organisation: Option<String>, roles: Option<BTreeSet<PartnerRole>> },
}

impl CardChange {
    /// The cursors of the preview of this change.
    fn within(&self, cursors: SealedCursors) -> SealedCursors {
        match self {
            Self::Revoked => cursors.within("revoked", &true),
            Self::Issued { organisation, roles } => {
                let cursors = organisation.iter().fold(cursors, |cursors, text| cursors.within("organisation", text));
                let all = |roles: &BTreeSet<PartnerRole>| roles.iter().map(|role| role.as_str()).collect::<Vec<_>>();
                roles.iter().fold(cursors, |cursors, roles| cursors.within("roles", &all(roles).join(",")))
            }
        }
    }
}

/// Previews a new, changed or revoked key card, for the policy officers of the member's partner: what the member can see, and where the
/// member is in a party, who is recused from the proposal for working at the same place.
pub async fn of_member(
    exchange: &Exchange,
    principal: &Principal,
    member: &MemberId,
    change: &CardChange,
    cursor: Option<&str>,
) -> Result<Preview> {
    let cursors = SealedCursors::of(exchange, "preview of a key card", &principal.member).within("member", member);
    let cursors = change.within(cursors);
    let after: Option<ListPosition> = cursors.open(cursor)?;
    let nation = member.partner();
    let authorized = async || -> Result<_> {
        let mut view = View::open(exchange, principal).await?;
        partners::find(&mut view.tx, nation).await?.ok_or(ServiceError::Hidden)?;
        view.authorize(Action::ExplainMembers, Resource::Partner(nation))?;
        Ok(view)
    };
    drop(authorized().await?);
    let turn = exchange.long_work.scan(principal).await?;
    let mut view = authorized().await?;
    view.tx.hold(turn, LONGEST_LOOK).await?;
    let now = state::member(exchange, &mut view.tx, member, view.now).await?;
    let then = changed(exchange, member, now.as_ref(), change)?;
    let policies = Arc::clone(&view.policies);
    let comparison = Comparison::new(exchange, &view.me.id, Arc::clone(&policies), Arc::clone(&policies), view.now);
    let mut comparison = comparison.with_member(member, (now.as_ref(), then.as_ref())).await?;
    // Whatever the member can see, as things are or as they would be; what they can see in neither case cannot change for them.
    let mut lists = Vec::new();
    for facts in [&now, &then].into_iter().flatten() {
        let reader = ListReader { facts, asker: &view.asker };
        lists.push(
            lists::ask(exchange, &policies, &mut view.tx, reader, &Filter::default(), true.into(), view.now).await?,
        );
    }
    let (mut scan, mut passed) = (PreviewScan::default(), after);
    loop {
        let (positions, bound) = next_seen(&mut view.tx, member, &lists, passed).await?;
        if let (true, Some(bound)) = (positions.is_empty(), bound) {
            // The search for them looked at as many as it may.
            return scan.finish(&mut view.tx, Some(cursors.seal(bound))).await;
        }
        let ids: Vec<_> = positions.iter().map(|position| position.id).collect();
        let rows = proposals::some(&mut view.tx, &ids).await?;
        let mut found: HashMap<_, _> = rows.into_iter().map(|row| (row.id, row)).collect();
        for position in positions {
            let Some(row) = found.remove(&position.id) else { continue };
            let Some(call) = lists.iter().find_map(|list| list.calls.get(&row.call)) else { continue };
            let proposal = state::proposal_state(row, Arc::clone(call), view.now);
            let elsewhere = elsewhere(&proposal, then.as_ref(), view.now);
            let states = (&proposal, elsewhere.as_ref().unwrap_or(&proposal));
            let audience = PreviewAudience::of_nation(&view, nation, &proposal);
            if scan.visit(&mut comparison, &mut view.tx, states, audience).await? {
                return scan.finish(&mut view.tx, Some(cursors.seal(position))).await;
            }
        }
        passed = bound;
        if passed.is_none() {
            return scan.finish(&mut view.tx, None).await;
        }
    }
}

/// A member's facts as they would be.
fn changed(
    exchange: &Exchange,
    member: &MemberId,
    now: Option<&MemberFacts>,
    change: &CardChange,
) -> Result<Option<MemberFacts>> {
    let CardChange::Issued { organisation, roles } = change else { return Ok(None) };
    let mut facts = match (now, organisation) {
        (Some(now), _) => now.clone(),
        (None, Some(_)) => state::bare_member(exchange, member),
        (None, None) => return Err(Refusal::NoKeyCard { member: member.clone() }.into()),
    };
    facts.organisation = organisation.clone().unwrap_or(facts.organisation);
    facts.roles = roles.clone().unwrap_or(facts.roles);
    Ok(Some(facts))
}

/// The next proposals in either list, in the order of both, and up to where these are all, unless they are the last ones. A proposal can
/// be among them that is in neither list: a proposal without a change is not reported.
async fn next_seen(
    tx: &mut Tx,
    member: &MemberId,
    lists: &[ListCondition],
    after: Option<ListPosition>,
) -> Result<(Vec<ListPosition>, Option<ListPosition>)> {
    let limit = page::MAX_PAGE;
    let (mut positions, mut bound) = (BTreeSet::new(), None::<ListPosition>);
    for list in lists {
        let page = PageRequest { sort: Sort::Created, after, limit };
        let PageSearch { found, until, .. } = visible::page(tx, &list.query(member), page).await?;
        // Past the end of a full page its list may go on, so what the other one has there waits.
        let end = found.last().copied().filter(|_| found.len() == limit as usize);
        bound = bound.into_iter().chain(end).chain(until).min();
        positions.extend(found);
    }
    let positions = positions.into_iter().filter(|position| bound.is_none_or(|bound| *position <= bound)).collect();
    Ok((positions, bound))
}

/// The proposal as it would be if one of its party members worked somewhere else; none if nothing would change: the member is not of its
/// parties, or its deadline has passed.
fn elsewhere(proposal: &ProposalState, then: Option<&MemberFacts>, now: Timestamp) -> Option<ProposalState> {
    let facts = then.filter(|facts| proposal.facts.party_members.contains(&facts.id))?;
    if now > proposal.limits.deadline_at {
        return None;
    }
    let mut changed = proposal.clone();
    if let Some(employer) = changed.row.employers.get_mut(&facts.id) {
        employer.counts.clone_from(&facts.organisation);
        employer.newest.clone_from(&facts.organisation);
    }
    changed.facts.organisations = changed.row.organisations();
    Some(changed)
}

/// Notes which of those who lose content have fetched it, and which of those who gain it hold a key already.
pub(super) async fn note(tx: &mut Tx, items: &mut [PreviewedChange]) -> Result<()> {
    // Many at a time, and not so many that a statement has no room for them.
    const AT_ONCE: usize = 500;
    let is_lost = |change: &PreviewedChange| !change.gains && change.action == Action::Read.as_str();
    let of = |which: &dyn Fn(&PreviewedChange) -> bool| -> Vec<ProposalId> {
        let found: BTreeSet<_> = items.iter().filter(|change| which(change)).map(|change| change.proposal).collect();
        found.into_iter().collect()
    };
    let (losing, gaining) = (of(&is_lost), of(&|change| change.needs_key));
    let (mut fetched, mut held) = (HashSet::new(), HashSet::new());
    for ids in losing.chunks(AT_ONCE) {
        fetched.extend(entries::fetched_among(tx, ids).await?);
    }
    for ids in gaining.chunks(AT_ONCE) {
        held.extend(vaults::panel_holders_among(tx, ids).await?);
    }
    for change in items {
        let of = (change.proposal, change.member.to_string());
        change.has_fetched = is_lost(change) && fetched.contains(&of);
        change.needs_key = change.needs_key && !held.contains(&of);
    }
    Ok(())
}
