//! What evaluating policies found, as long as it holds: predicates of an engine, and what one set of policies leaves open.

use super::{Action, facts::MemberFacts, predicate::Predicate};
use crate::domain::id::MemberId;
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

/// How many predicates a cache holds before it is emptied.
const CACHED: usize = 4096;
/// The size of all predicates that a cache holds before it is emptied: some hundred MiB.
const MAX_CACHED_SIZE: usize = 1 << 20;

/// Caches the predicates of one engine, and so of one version of all policies.
#[derive(Debug, Default)]
pub(super) struct PredicateCache(Mutex<Predicates>);

#[derive(Debug, Default)]
struct Predicates {
    /// By member and action, each with the facts it follows from.
    by_member: HashMap<(MemberId, Action), (MemberFacts, Arc<Predicate>)>,
    size: usize,
}

impl PredicateCache {
    /// The predicate, if it follows from the same facts.
    pub(super) fn get(&self, principal: &MemberFacts, action: Action) -> Option<Arc<Predicate>> {
        let cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (facts, predicate) = cache.by_member.get(&(principal.id.clone(), action))?;
        (facts == principal).then(|| Arc::clone(predicate))
    }

    pub(super) fn insert(&self, principal: &MemberFacts, action: Action, predicate: Arc<Predicate>) {
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.by_member.len() >= CACHED || cache.size >= MAX_CACHED_SIZE {
            *cache = Predicates::default();
        }
        cache.size += predicate.size();
        cache.by_member.insert((principal.id.clone(), action), (principal.clone(), predicate));
    }
}

/// Caches what one set of policies leaves open. It belongs to the text of these policies and outlives the engines that
/// contain the text: when one nation's policies change, the others' are not evaluated again.
#[derive(Debug, Default)]
pub(super) struct ResidualCache(Mutex<Residuals>);

#[derive(Debug, Default)]
struct Residuals {
    by_member: HashMap<(MemberId, Action), (Arc<MemberFacts>, Arc<Predicate>)>,
    /// Each predicate once, since policies leave the same open for most members.
    distinct: HashSet<Arc<Predicate>>,
    size: usize,
}

impl ResidualCache {
    pub(super) fn get(&self, principal: &MemberFacts, action: Action) -> Option<Arc<Predicate>> {
        let residuals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (facts, residual) = residuals.by_member.get(&(principal.id.clone(), action))?;
        (**facts == *principal).then(|| Arc::clone(residual))
    }

    pub(super) fn insert(&self, principal: &Arc<MemberFacts>, action: Action, residual: Predicate) -> Arc<Predicate> {
        let mut residuals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if residuals.by_member.len() >= CACHED || residuals.size >= MAX_CACHED_SIZE {
            *residuals = Residuals::default();
        }
        let residual = match residuals.distinct.get(&residual) {
            Some(known) => Arc::clone(known),
            None => {
                let residual = Arc::new(residual);
                residuals.size += residual.size();
                residuals.distinct.insert(Arc::clone(&residual));
                residual
            }
        };
        residuals.by_member.insert((principal.id.clone(), action), (Arc::clone(principal), Arc::clone(&residual)));
        residual
    }
}
