//! What a version of policies would change, before anybody approves it: who would gain and who would lose sight of which
//! proposals, what those who lose it have fetched already, and to whom a key would have to be wrapped.
//!
//! For the policy officers who write the version. It shows changes alone: of a proposal that is hidden from everybody concerned
//! before and after, nothing. A question looks at a bounded number of proposals and says where to go on.

use super::{
    Exchange, Principal, Result, ServiceError,
    policies::check_text,
    sight::parts,
    state::{self, CallState, ProposalState},
    unit::View,
};
use crate::{
    domain::{
        Refusal,
        id::{CallId, MemberId, PartnerCode, ProposalId},
        policy::PolicyOwner,
        vault::VaultKind,
    },
    policy::{Action, Engine, Guardrails, PartnerRules, Predicate, Resource, facts::MemberFacts},
    storage::{Tx, entries, members, partners, policies, proposals, vaults},
    wire::{
        page,
        policy::{Preview, PreviewedChange},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// The most proposals that one question looks at.
const LOOKED_AT: u32 = 1000;

/// What a version would change for the proposals after `after`.
pub async fn preview(
    exchange: &Exchange,
    principal: &Principal,
    owner: &PolicyOwner,
    number: u32,
    mut after: Option<ProposalId>,
) -> Result<Preview> {
    let mut view = View::open(exchange, principal).await?;
    let writer = owner.written_by(&exchange.host).clone();
    partners::find(&mut view.tx, &writer).await?.ok_or(ServiceError::Hidden)?;
    view.authorize(Action::ViewPolicyDrafts, Resource::Partner(&writer))?;
    let row = policies::find(&mut view.tx, owner, number).await?.ok_or(ServiceError::Hidden)?;
    check_text(owner, &row.text)?;
    let mut comparison = Comparison::new(&view.policies, owner, &row.text)?;
    let (mut items, mut considered) = (Vec::new(), 0);
    let mut calls: BTreeMap<CallId, Arc<CallState>> = BTreeMap::new();
    let next = loop {
        let rows = proposals::after(&mut view.tx, after, page::MAX_PAGE).await?;
        let is_last = rows.len() < page::MAX_PAGE as usize;
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
            compare(&mut view, &mut comparison, &writer, &proposal, &mut items).await?;
        }
        if is_last {
            break None;
        }
        if considered >= LOOKED_AT {
            break after.map(|id| page::cursor(&id.to_string()));
        }
    };
    Ok(Preview { considered, items, next })
}

/// What is asked of each member before and after.
const ACTIONS: [Action; 2] = [Action::View, Action::Read];

/// The policies in force and those with the version in its owner's place.
struct Comparison {
    now: Arc<Engine>,
    then: Engine,
    /// Who was looked up, with the conditions of both; none whose key card is not in force, or for whom nothing can change.
    known: HashMap<MemberId, Option<Conditions>>,
}

/// For each of [`ACTIONS`]: the condition now and then.
type Conditions = [(Arc<Predicate>, Arc<Predicate>); 2];

impl Comparison {
    fn new(now: &Arc<Engine>, owner: &PolicyOwner, text: &str) -> Result<Self> {
        let refused = |error: crate::policy::PolicyError| Refusal::PolicyInvalid { fault: error.to_string() };
        let then = match owner {
            PolicyOwner::Guardrails => {
                now.with_guardrails(Arc::new(Guardrails::parse("guardrails", text).map_err(refused)?))
            }
            PolicyOwner::Partner(code) => {
                now.with_partner(Arc::new(PartnerRules::parse(code.as_str(), code, text).map_err(refused)?))
            }
        };
        Ok(Self { now: Arc::clone(now), then, known: HashMap::new() })
    }

    /// The conditions of a member for whom something can change.
    async fn conditions(&mut self, view: &mut View<'_>, member: &MemberId) -> Result<Option<Conditions>> {
        if let Some(known) = self.known.get(member) {
            return Ok(known.clone());
        }
        let row = members::find(&mut view.tx, member).await?.filter(|row| row.is_in_force(view.now));
        let made = match row.map(|row| state::member_facts(view.exchange, &row)) {
            Some(facts) => {
                let made = [self.pair(&facts, ACTIONS[0])?, self.pair(&facts, ACTIONS[1])?];
                made.iter().any(|(now, then)| now != then).then_some(made)
            }
            None => None,
        };
        self.known.insert(member.clone(), made.clone());
        Ok(made)
    }

    fn pair(&self, facts: &MemberFacts, action: Action) -> Result<(Arc<Predicate>, Arc<Predicate>)> {
        let made = |engine: &Engine| {
            engine.predicate(facts, action).map_err(|error| ServiceError::Policies(error.to_string()))
        };
        Ok((made(&self.now)?, made(&self.then)?))
    }
}

/// The changes on one proposal: for everybody if it is the writer's own, else for the writer's members.
async fn compare(
    view: &mut View<'_>,
    comparison: &mut Comparison,
    writer: &PartnerCode,
    proposal: &ProposalState,
    items: &mut Vec<PreviewedChange>,
) -> Result<()> {
    let is_own = proposal.facts.parties.contains(writer);
    let (mut saw, mut changes) = (BTreeSet::new(), Vec::new());
    for member in parts(proposal).into_keys().filter(|member| is_own || member.partner() == writer) {
        let Some(conditions) = comparison.conditions(view, &member).await? else {
            // Nothing changes for them; whether their nation sees it already tells who is newly admitted.
            let facts = state::member(view.exchange, &mut view.tx, &member, view.now).await?;
            if is_own && facts.is_some_and(|facts| view.policies.visible(&facts, Resource::Proposal(&proposal.facts))) {
                saw.insert(member.partner().clone());
            }
            continue;
        };
        for (action, (now, then)) in ACTIONS.into_iter().zip(&conditions) {
            let (before, after) = (now.holds(&member, &proposal.facts), then.holds(&member, &proposal.facts));
            if before && action == Action::View {
                saw.insert(member.partner().clone());
            }
            if before != after {
                changes.push((member.clone(), action, after));
            }
        }
    }
    for (member, action, gains) in changes {
        let reads = action == Action::Read;
        let needs_key = reads && gains && !holds_key(&mut view.tx, proposal.row.id, &member).await?;
        let has_fetched = reads && !gains && entries::has_fetched(&mut view.tx, proposal.row.id, &member).await?;
        items.push(PreviewedChange {
            proposal: proposal.row.id,
            admits_nation: is_own && gains && action == Action::View && !saw.contains(member.partner()),
            member,
            action: action.to_string(),
            gains,
            has_fetched,
            needs_key,
        });
    }
    Ok(())
}

/// Whether a key to what the panel reads is wrapped to the member already.
pub(super) async fn holds_key(tx: &mut Tx, proposal: ProposalId, member: &MemberId) -> Result<bool> {
    let holder = member.to_string();
    for vault in vaults::of_proposal(tx, proposal).await? {
        if vault.kind == VaultKind::Panel {
            let keys = vaults::keys(tx, vault.id).await?;
            return Ok(keys.iter().any(|key| key.holder == holder));
        }
    }
    Ok(false)
}
