//! What reading and evaluating policies found, as long as it holds: sets of policies by their text, predicates of an engine, and
//! what one set of policies leaves open.

use super::{
    Action,
    facts::{MemberFacts, ProposalFacts},
    predicate::Predicate,
};
use crate::{
    domain::{
        id::{MemberId, ProposalId, Sha256},
        policy::PolicyOwner,
    },
    remembered::Remembered,
};
use std::sync::{Arc, Weak};

/// Finds sets of policies by their text while anybody in this process uses them: a text is read once for all clients and exchanges
/// that are in one process. It keeps no set alive, and none that was refused.
#[derive(Debug)]
pub(super) struct SharedSets<V>(Remembered<(PolicyOwner, Sha256), Weak<V>, CACHED>);

impl<V> Default for SharedSets<V> {
    fn default() -> Self {
        Self(Remembered::default())
    }
}

impl<V> SharedSets<V> {
    /// The owner's policies of this text, which `read` reads if nobody uses them.
    pub(super) fn find_or<E>(
        &self,
        owner: PolicyOwner,
        text: &str,
        read: impl FnOnce() -> Result<V, E>,
    ) -> Result<Arc<V>, E> {
        let key = (owner, Sha256::of(text.as_bytes()));
        if let Some(shared) = self.0.get(&key).and_then(|shared| shared.upgrade()) {
            return Ok(shared);
        }
        let read = Arc::new(read()?);
        self.0.insert(key, Arc::downgrade(&read));
        Ok(read)
    }
}

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
struct CachedDecision {
    principal: MemberFacts,
    proposal: ProposalFacts,
    is_permitted: bool,
}

/// Caches what one engine, and so one version of all policies, decided on proposals.
#[derive(Debug, Default)]
pub(super) struct DecisionCache(
    Remembered<(MemberId, Action, ProposalId), Arc<CachedDecision>, DECISIONS, DECISIONS_SIZE>,
);

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
        let decision = CachedDecision { principal: principal.clone(), proposal: proposal.clone(), is_permitted };
        self.0.insert_weighing((principal.id.clone(), action, proposal.id), Arc::new(decision), size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_once_for_all_who_use_it_and_again_when_nobody_does() {
        let (sets, reads) = (SharedSets::<String>::default(), std::cell::Cell::new(0));
        let find = |owner: &str, text: &str| {
            let read = || {
                reads.set(reads.get() + 1);
                if text.is_empty() { Err("nothing in it") } else { Ok(text.to_owned()) }
            };
            sets.find_or(owner.parse().unwrap(), text, read)
        };
        let (one, same) = (find("ISR", "a").unwrap(), find("ISR", "a").unwrap());
        assert!(Arc::ptr_eq(&one, &same) && reads.get() == 1);
        // Another owner's set is another, though the text is the same; so is another text of the owner.
        let others = [find("USA", "a"), find("guardrails", "a"), find("ISR", "b")].map(Result::unwrap);
        assert_eq!(reads.get(), 4);
        assert!(others.iter().all(|other| !Arc::ptr_eq(&one, other)));
        drop((one, same));
        find("ISR", "a").unwrap();
        assert_eq!(reads.get(), 5, "what nobody uses is not kept");
        assert_eq!([find("ISR", ""), find("ISR", "")], [Err("nothing in it"), Err("nothing in it")]);
        assert_eq!(reads.get(), 7, "what was refused is not kept");
    }
}
