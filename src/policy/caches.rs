//! What evaluating policies found, as long as it holds: predicates of an engine, and what one set of policies leaves open.

use super::{Action, facts::MemberFacts, predicate::Predicate};
use crate::{domain::id::MemberId, remembered::Remembered};
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
