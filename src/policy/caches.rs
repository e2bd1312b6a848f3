//! What evaluating policies found, as long as it holds: predicates of an engine, and what one set of policies leaves open.

use super::{
    Action,
    facts::{MemberFacts, ProposalFacts},
    predicate::Predicate,
};
use crate::{
    domain::id::{MemberId, ProposalId},
    remembered::Remembered,
};
use std::sync::Arc;

/// How many predicates a cache holds.
const CACHED: usize = 4096;
/// The size of all predicates that a cache holds: some hundred MiB.
const CACHED_SIZE: usize = 1 << 20;

/// Predicates by member and action, each with the facts that it follows from.
type PredicatesByMember<F> = Remembered<(MemberId, Action), (F, Arc<Predicate>), CACHED, CACHED_SIZE>;

/// Caches the predicates of one engine, and so of one version of all policies.
#[derive(Debug, Default)]
pub(super) struct PredicateCache(PredicatesByMember<MemberFacts>);

impl PredicateCache {
    /// The predicate, if it follows from the same facts.
    pub(super) fn get(&self, principal: &MemberFacts, action: Action) -> Option<Arc<Predicate>> {
        self.0.get_at(&(principal.id.clone(), action), principal)
    }

    pub(super) fn insert(&self, principal: &MemberFacts, action: Action, predicate: Arc<Predicate>) {
        let size = predicate.size();
        self.0.insert_weighing((principal.id.clone(), action), (principal.clone(), predicate), size);
    }
}

/// Caches what one set of policies leaves open. It belongs to the text of these policies and outlives the engines that
/// contain the text: when one nation's policies change, the others' are not evaluated again.
#[derive(Debug, Default)]
pub(super) struct ResidualCache {
    by_member: PredicatesByMember<Arc<MemberFacts>>,
    /// Each predicate once, since policies leave the same open for most members.
    distinct: Remembered<Arc<Predicate>, Arc<Predicate>, CACHED, CACHED_SIZE>,
}

impl ResidualCache {
    pub(super) fn get(&self, principal: &Arc<MemberFacts>, action: Action) -> Option<Arc<Predicate>> {
        self.by_member.get_at(&(principal.id.clone(), action), principal)
    }

    pub(super) fn insert(&self, principal: &Arc<MemberFacts>, action: Action, residual: Predicate) -> Arc<Predicate> {
        let residual = Arc::new(residual);
        let size = residual.size();
        let residual = self.distinct.get(&residual).unwrap_or_else(|| {
            self.distinct.insert_weighing(Arc::clone(&residual), Arc::clone(&residual), size);
            residual
        });
        let found = (Arc::clone(principal), Arc::clone(&residual));
        self.by_member.insert_weighing((principal.id.clone(), action), found, size);
        residual
    }
}

/// How many decisions a cache holds.
const DECISIONS: usize = 1 << 15;
/// How many members, partners and organisations the facts of all decisions in a cache name together: some 50 MiB.
const DECISIONS_SIZE: usize = 1 << 19;

/// A decision on a proposal, with all that it follows from beside the policies.
#[derive(Debug)]
struct Decision {
    principal: MemberFacts,
    proposal: ProposalFacts,
    is_permitted: bool,
}

/// Caches what one engine, and so one version of all policies, decided on proposals.
#[derive(Debug, Default)]
pub(super) struct DecisionCache(Remembered<(MemberId, Action, ProposalId), Arc<Decision>, DECISIONS, DECISIONS_SIZE>);

impl DecisionCache {
    /// Whether it was permitted, if the same was decided before from the same facts.
    pub(super) fn get(&self, principal: &MemberFacts, action: Action, proposal: &ProposalFacts) -> Option<bool> {
        let known = self.0.get(&(principal.id.clone(), action, proposal.id))?;
        (known.principal == *principal && known.proposal == *proposal).then_some(known.is_permitted)
    }

    pub(super) fn insert(&self, principal: &MemberFacts, action: Action, proposal: &ProposalFacts, is_permitted: bool) {
        let named = [
            &proposal.party_members,
            &proposal.invited,
            &proposal.conflicts,
            &proposal.assigned,
            &proposal.declared_clear,
            &proposal.reviewed,
        ];
        // The call is shared with others.
        let size = named.iter().map(|members| members.len()).sum::<usize>()
            + proposal.parties.len()
            + proposal.organisations.len()
            + principal.roles.len();
        let decision = Decision { principal: principal.clone(), proposal: proposal.clone(), is_permitted };
        self.0.insert_weighing((principal.id.clone(), action, proposal.id), Arc::new(decision), size);
    }
}
