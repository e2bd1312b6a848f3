//! What a change would do, before it is made: who would gain and who would lose sight of which proposals, what those who lose it
//! have fetched already, and to whom a key would have to be wrapped.
//!
//! One comparison, whatever would change: a version of policies, a label, a role, an assignment or a key card. It decides about
//! everybody who bears a part, as things stand and as they would, and tells the differences alone: of a proposal that is hidden from
//! everybody concerned before and after, nothing. A question looks at a bounded number of proposals and says where to go on.

use super::{
    Exchange, Principal, Result, ServiceError,
    lists::{self, Asked},
    sight::Hearing,
    state::{self, CallState, ProposalState},
    unit::View,
    vaults::needs_own_key,
};
use crate::{
    domain::{
        Refusal,
        id::{CallId, MemberId, PartnerCode, ProposalId},
        member::{CallRole, PartnerRole},
        policy::PolicyOwner,
        proposal::Sort,
        vault::VaultKind,
    },
    policy::{
        Action, Engine, Predicate, Resource,
        facts::{MemberFacts, ProposalFacts},
    },
    storage::{
        Tx, entries, members, partners, policies, proposals, vaults,
        visible::{self, Cut, Key, Question},
    },
    wire::{
        page,
        policy::{Preview, PreviewedChange},
        proposal::Filter,
    },
};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// The most proposals that one question looks at.
pub(super) const LOOKED_AT: u32 = 1000;
/// The most changes that one answer tells, but for those on the last proposal.
pub(super) const TOLD: usize = 10_000;

/// What a version would change for the proposals after `after`, for the policy officers who write it.
pub async fn preview(
    exchange: &Exchange,
    principal: &Principal,
    owner: &PolicyOwner,
    number: u32,
    after: Option<ProposalId>,
) -> Result<Preview> {
    let mut view = View::open(exchange, principal).await?;
    let writer = owner.written_by(&exchange.host).clone();
    partners::find(&mut view.tx, &writer).await?.ok_or(ServiceError::Hidden)?;
    view.authorize(Action::ViewPolicyDrafts, Resource::Partner(&writer))?;
    let row = policies::find(&mut view.tx, owner, number).await?.ok_or(ServiceError::Hidden)?;
    let then = exchange.rules.with(&view.policies, owner, &row.text)?;
    let comparison = Comparison::new(exchange, Arc::clone(&view.policies), then, view.now);
    compare(&mut view, comparison, &writer, after).await
}

/// What other policies of `writer` would change for the proposals after `after`: on its own for everybody, on others' for its
/// members.
pub async fn compare(
    view: &mut View<'_>,
    mut comparison: Comparison<'_>,
    writer: &PartnerCode,
    mut after: Option<ProposalId>,
) -> Result<Preview> {
    let (mut items, mut considered) = (Vec::new(), 0);
    let mut calls: BTreeMap<CallId, Arc<CallState>> = BTreeMap::new();
    'looking: while considered < LOOKED_AT && items.len() < TOLD {
        let rows = proposals::after(&mut view.tx, after, page::MAX_PAGE).await?;
        let is_last = rows.len() < page::MAX_PAGE as usize;
        let told_before = items.len();
        for row in rows {
            after = Some(row.id);
            considered += 1;
            let call = match calls.get(&row.call) {
                Some(call) => Arc::clone(call),
                None => {
                    let call = state::call(&mut view.tx, row.call, view.now).await?.ok_or(ServiceError::Hidden)?;
                    Arc::clone(calls.entry(row.call).or_insert(Arc::new(call)))
                }
            };
            let proposal = state::proposal_state(row, call, view.now);
            let is_own = proposal.facts.parties.contains(writer);
            let hearing = Hearing::of(&view.me, &proposal.facts);
            let tells = |member: &MemberId| (is_own || member.partner() == writer) && hearing.of_member(member);
            comparison.add(&mut view.tx, (&proposal, &proposal), is_own, &tells, &mut items).await?;
            // Decisions are work: others are let on between two proposals.
            tokio::task::yield_now().await;
            if items.len() >= TOLD {
                note(&mut view.tx, &mut items[told_before..]).await?;
                break 'looking;
            }
        }
        note(&mut view.tx, &mut items[told_before..]).await?;
        if is_last {
            after = None;
            break;
        }
    }
    Ok(Preview { considered, items, needs_call_key: false, next: after.map(|id| page::cursor(&id.to_string())) })
}

/// What is to become of a member's key card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CardChange {
    /// None is in force any more.
    Revoked,
    /// One with another organisation, other roles in the partner, or both.
    Issued { organisation: Option<String>, roles: Option<BTreeSet<PartnerRole>> },
}

/// What another key card, or none, would change, for the policy officers of the member's partner: what the member can see, and where
/// the member is in a party, who is kept from the proposal for working at the same place.
pub async fn of_member(
    exchange: &Exchange,
    principal: &Principal,
    member: &MemberId,
    change: &CardChange,
    mut after: Option<Key>,
) -> Result<Preview> {
    let mut view = View::open(exchange, principal).await?;
    partners::find(&mut view.tx, member.partner()).await?.ok_or(ServiceError::Hidden)?;
    view.authorize(Action::ExplainMembers, Resource::Partner(member.partner()))?;
    let now = state::member(exchange, &mut view.tx, member, view.now).await?;
    let then = match change {
        CardChange::Revoked => None,
        CardChange::Issued { organisation, roles } => {
            let mut facts = match (&now, organisation) {
                (Some(now), _) => now.clone(),
                (None, Some(_)) => state::bare_member(exchange, member),
                (None, None) => return Err(Refusal::NoKeyCard { member: member.clone() }.into()),
            };
            facts.organisation = organisation.clone().unwrap_or(facts.organisation);
            facts.roles = roles.clone().unwrap_or(facts.roles);
            Some(facts)
        }
    };
    let policies = Arc::clone(&view.policies);
    let comparison = Comparison::new(exchange, Arc::clone(&policies), Arc::clone(&policies), view.now);
    let mut comparison = comparison.with_member(member, (now.as_ref(), then.as_ref()))?;
    // Whatever the member can see, as things are or as they would be; what they can see in neither case cannot change for them.
    let mut asked = Vec::new();
    for facts in [&now, &then].into_iter().flatten() {
        asked.push(
            lists::ask(exchange, &policies, &mut view.tx, facts, &Filter::default(), true.into(), view.now).await?,
        );
    }
    let (mut items, mut considered) = (Vec::new(), 0);
    while considered < LOOKED_AT && items.len() < TOLD {
        let (keys, is_last) = next_seen(&mut view.tx, member, &asked, after).await?;
        let ids: Vec<_> = keys.iter().map(|key| key.id).collect();
        let rows = proposals::some(&mut view.tx, &ids).await?;
        let mut found: HashMap<_, _> = rows.into_iter().map(|row| (row.id, row)).collect();
        let told_before = items.len();
        for row in ids.iter().filter_map(|id| found.remove(id)) {
            considered += 1;
            let call = asked.iter().find_map(|asked| asked.calls.get(&row.call)).ok_or(ServiceError::Hidden)?;
            let proposal = state::proposal_state(row, Arc::clone(call), view.now);
            let elsewhere = elsewhere(&mut view, &proposal, then.as_ref()).await?;
            let is_own = proposal.facts.parties.contains(member.partner());
            let hearing = Hearing::of(&view.me, &proposal.facts);
            let tells = |other: &MemberId| (is_own || other == member) && hearing.of_member(other);
            let states = (&proposal, elsewhere.as_ref().unwrap_or(&proposal));
            comparison.add(&mut view.tx, states, is_own, &tells, &mut items).await?;
            tokio::task::yield_now().await;
        }
        note(&mut view.tx, &mut items[told_before..]).await?;
        after = keys.last().copied();
        if is_last {
            after = None;
            break;
        }
    }
    Ok(Preview { considered, items, needs_call_key: false, next: after.map(|key| page::cursor(&key.to_string())) })
}

/// The next proposals in either list, in the order of both, and whether they are the last ones.
async fn next_seen(tx: &mut Tx, member: &MemberId, asked: &[Asked], after: Option<Key>) -> Result<(Vec<Key>, bool)> {
    let limit = page::MAX_PAGE;
    let (mut keys, mut bound) = (BTreeSet::new(), None::<Key>);
    for asked in asked {
        let question = Question::new(member, asked.classes.clone());
        let found = visible::page(tx, &question, Cut { sort: Sort::Created, after, limit }).await?;
        // Past the end of a full page its list may go on, so what the other one has there waits.
        if found.len() == limit as usize {
            bound = bound.into_iter().chain(found.last().copied()).min();
        }
        keys.extend(found);
    }
    let keys = keys.into_iter().filter(|key| bound.is_none_or(|bound| *key <= bound)).collect();
    Ok((keys, bound.is_none()))
}

/// The proposal as it would be if one of its party members worked somewhere else; none if the member is not of its parties.
async fn elsewhere(
    view: &mut View<'_>,
    proposal: &ProposalState,
    then: Option<&MemberFacts>,
) -> Result<Option<ProposalState>> {
    let Some(facts) = then.filter(|facts| proposal.facts.party_members.contains(&facts.id)) else { return Ok(None) };
    let mut organisations = BTreeSet::from([facts.organisation.clone()]);
    for other in proposal.facts.party_members.iter().filter(|other| **other != facts.id) {
        // As storage has it: whoever was ever vouched for works where the last card said.
        if let Some(row) = members::find(&mut view.tx, other).await? {
            organisations.insert(row.organisation);
        }
    }
    let mut changed = proposal.clone();
    changed.row.organisations.clone_from(&organisations);
    changed.facts.organisations = organisations;
    Ok(Some(changed))
}

/// What a member may do with a proposal, as far as previews tell of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sight {
    sees: bool,
    reads: bool,
}

/// What the policies leave open once a member is known.
#[derive(Debug, Clone, PartialEq)]
struct Conditions {
    sees: Arc<Predicate>,
    reads: Arc<Predicate>,
}

impl Conditions {
    fn of(policies: &Engine, member: Option<&MemberFacts>) -> Result<Self> {
        let made = |action| match member {
            Some(facts) => policies.predicate(facts, action).map_err(|error| ServiceError::Policies(error.to_string())),
            // Who has no key card in force is let in nowhere.
            None => Ok(Arc::new(Predicate::Const(false))),
        };
        Ok(Self { sees: made(Action::View)?, reads: made(Action::Read)? })
    }

    /// What is left of them for the proposals under a call.
    fn under(&self, call: &CallState, member: &MemberId, now: Timestamp) -> Self {
        let settled = |condition: &Predicate| Arc::new(lists::settled(condition, call, member, now));
        Self { sees: settled(&self.sees), reads: settled(&self.reads) }
    }

    fn sight(&self, member: &MemberId, proposal: &ProposalFacts) -> Sight {
        let sees = self.sees.holds(member, proposal);
        Sight { sees, reads: sees && self.reads.holds(member, proposal) }
    }
}

/// A member's conditions as things stand and as they would.
type Both = [Conditions; 2];

/// Somebody with a role in a call.
struct Judge {
    member: MemberId,
    conditions: Both,
    /// Whether anything can change for them while a proposal's own rows stay as they are.
    differs: bool,
}

/// Things as they stand beside things as they would be.
pub struct Comparison<'e> {
    exchange: &'e Exchange,
    now: Arc<Engine>,
    then: Arc<Engine>,
    at: Timestamp,
    /// Who was looked up, or is given.
    known: HashMap<MemberId, Both>,
    judges: HashMap<CallId, Arc<Vec<Judge>>>,
}

impl<'e> Comparison<'e> {
    /// Between these policies; twice the same when it is something else that would change.
    #[must_use]
    pub fn new(exchange: &'e Exchange, now: Arc<Engine>, then: Arc<Engine>, at: Timestamp) -> Self {
        Self { exchange, now, then, at, known: HashMap::new(), judges: HashMap::new() }
    }

    /// With one member as they would be; none without a key card in force.
    pub(super) fn with_member(
        mut self,
        member: &MemberId,
        (now, then): (Option<&MemberFacts>, Option<&MemberFacts>),
    ) -> Result<Self> {
        let both = [Conditions::of(&self.now, now)?, Conditions::of(&self.then, then)?];
        self.known.insert(member.clone(), both);
        Ok(self)
    }

    /// Adds what changes between two states of one proposal, for the members of whom the asker may hear. The states are of the
    /// same call each time that the call is met.
    pub(super) async fn add(
        &mut self,
        tx: &mut Tx,
        states: (&ProposalState, &ProposalState),
        names_nations: bool,
        tells: &(dyn Fn(&MemberId) -> bool + Sync),
        items: &mut Vec<PreviewedChange>,
    ) -> Result<()> {
        let (now, then) = (&states.0.facts, &states.1.facts);
        let is_same = std::ptr::eq(states.0, states.1) || states.0.row == states.1.row;
        let judges = self.judges(tx, states).await?;
        let start = items.len();
        for Judge { member, conditions, differs } in judges.iter() {
            if (*differs || !is_same) && tells(member) {
                let sights = [conditions[0].sight(member, now), conditions[1].sight(member, then)];
                tell(states.1, member, sights, items);
            }
        }
        let others: BTreeSet<&MemberId> = [now, then]
            .into_iter()
            .flat_map(|facts| facts.party_members.iter().chain(&facts.assigned))
            .filter(|member| !judges.iter().any(|judge| judge.member == **member))
            .collect();
        for member in others.iter().copied().filter(|member| tells(member)) {
            let conditions = self.conditions(tx, member).await?;
            let sights = [conditions[0].sight(member, now), conditions[1].sight(member, then)];
            tell(states.1, member, sights, items);
        }
        if !names_nations {
            return Ok(());
        }
        // Of a nation that gains: whether anybody of theirs could know of it before.
        let mut knew: BTreeMap<PartnerCode, bool> = BTreeMap::new();
        for change in items[start..].iter_mut().filter(|change| change.gains && change.action == Action::View.as_str())
        {
            let nation = change.member.partner();
            if !knew.contains_key(nation) {
                let sees =
                    |member: &MemberId, both: &Both| member.partner() == nation && both[0].sees.holds(member, now);
                let mut found = judges.iter().any(|judge| sees(&judge.member, &judge.conditions));
                for member in others.iter().copied().filter(|member| member.partner() == nation) {
                    found = found || sees(member, self.conditions(tx, member).await?);
                }
                knew.insert(nation.clone(), found);
            }
            change.admits_nation = !knew[nation];
        }
        Ok(())
    }

    async fn conditions(&mut self, tx: &mut Tx, member: &MemberId) -> Result<&Both> {
        if !self.known.contains_key(member) {
            let facts = state::member(self.exchange, tx, member, self.at).await?;
            let both = [Conditions::of(&self.now, facts.as_ref())?, Conditions::of(&self.then, facts.as_ref())?];
            self.known.insert(member.clone(), both);
        }
        Ok(&self.known[member])
    }

    /// Everybody with a role in the call now or then, with what is left of their conditions under it.
    async fn judges(&mut self, tx: &mut Tx, states: (&ProposalState, &ProposalState)) -> Result<Arc<Vec<Judge>>> {
        let (now, then) = (&states.0.call, &states.1.call);
        if let Some(judges) = self.judges.get(&now.row.id) {
            return Ok(Arc::clone(judges));
        }
        let roles = [CallRole::Officer, CallRole::Reviewer, CallRole::Decider, CallRole::Observer];
        let holders: BTreeSet<MemberId> = [now, then]
            .into_iter()
            .flat_map(|call| roles.into_iter().flat_map(|role| call.row.holders(role)))
            .collect();
        let mut judges = Vec::with_capacity(holders.len());
        for member in holders {
            let at = self.at;
            let both = self.conditions(tx, &member).await?;
            let conditions = [both[0].under(now, &member, at), both[1].under(then, &member, at)];
            let differs = conditions[0] != conditions[1];
            judges.push(Judge { member, conditions, differs });
        }
        let judges = Arc::new(judges);
        self.judges.insert(now.row.id, Arc::clone(&judges));
        Ok(judges)
    }
}

impl std::fmt::Debug for Comparison<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Comparison").field("at", &self.at).finish_non_exhaustive()
    }
}

/// Adds what changes for one member; what is fetched and wrapped already is noted later, for many at a time.
fn tell(proposal: &ProposalState, member: &MemberId, [now, then]: [Sight; 2], items: &mut Vec<PreviewedChange>) {
    for (action, before, after) in [(Action::View, now.sees, then.sees), (Action::Read, now.reads, then.reads)] {
        if before != after {
            let gains_content = action == Action::Read && after;
            items.push(PreviewedChange {
                proposal: proposal.row.id,
                member: member.clone(),
                action: action.to_string(),
                gains: after,
                admits_nation: false,
                has_fetched: false,
                needs_key: gains_content && needs_own_key(VaultKind::Panel, proposal, member),
            });
        }
    }
}

/// Notes which of those who lose content have fetched it, and which of those who gain it hold a key already.
pub(super) async fn note(tx: &mut Tx, items: &mut [PreviewedChange]) -> Result<()> {
    let is_lost = |change: &PreviewedChange| !change.gains && change.action == Action::Read.as_str();
    let of = |which: &dyn Fn(&PreviewedChange) -> bool| -> Vec<ProposalId> {
        let found: BTreeSet<_> = items.iter().filter(|change| which(change)).map(|change| change.proposal).collect();
        found.into_iter().collect()
    };
    let (losing, gaining) = (of(&is_lost), of(&|change| change.needs_key));
    let fetched = entries::fetched_among(tx, &losing).await?;
    let held = vaults::panel_holders_among(tx, &gaining).await?;
    for change in items {
        change.has_fetched = is_lost(change) && fetched.contains(&(change.proposal, change.member.to_string()));
        change.needs_key = change.needs_key && !held.contains(&(change.proposal, change.member.to_string()));
    }
    Ok(())
}
