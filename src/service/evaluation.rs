//! Evaluating policies for many: off the threads that serve others and by turns, or with a pause after each stretch.
//!
//! A nation's policies cost time for each reader of its proposals. Nothing here decides anything: this file schedules the evaluation that
//! other code asks for.

use super::{Exchange, Result, ServiceError, aside};
use crate::{
    domain::id::MemberId,
    policy::{Action, Engine, Predicate, facts::MemberFacts},
};
use std::sync::Arc;
use tokio::task::yield_now;

/// Work below this many steps runs on the calling thread: handing it over would take as long.
const INLINE: usize = 2_000;
/// The steps that one decision counts as.
pub(super) const DECISION: usize = 250;
/// The number of things that are decided on in one turn.
const AT_ONCE: usize = 32;
/// Longer work yields to others after this many steps.
const STRETCH: usize = 10_000;

/// The condition that the policies leave for a member, evaluated for `who` if it is not cached.
pub(super) async fn predicate(
    exchange: &Exchange,
    who: &MemberId,
    policies: &Arc<Engine>,
    member: &MemberFacts,
    action: Action,
) -> Result<Arc<Predicate>> {
    if let Some(known) = policies.known_predicate(member, action) {
        return Ok(known);
    }
    let turn = exchange.long_work.evaluation(who).await?;
    let (policies, member) = (Arc::clone(policies), member.clone());
    let made = aside(move || {
        let _turn = turn;
        policies.predicate(&member, action)
    });
    made.await?.map_err(|error| ServiceError::Policies(error.to_string()))
}

/// Runs work of this many steps, on the present thread if they are few.
pub(super) async fn done<T: Send + 'static>(
    exchange: &Exchange,
    who: &MemberId,
    steps: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    if steps <= INLINE {
        return Ok(work());
    }
    let turn = exchange.long_work.evaluation(who).await?;
    aside(move || {
        let _turn = turn;
        work()
    })
    .await
}

/// Decides on many things, some at a time, each time in a turn of its own and off the threads that serve others. `steps` says how much work
/// some of them are.
pub(super) async fn decided<A: Send + 'static, B: Send + 'static>(
    exchange: &Exchange,
    who: &MemberId,
    things: Vec<A>,
    steps: impl Fn(&[A]) -> usize,
    decide: impl Fn(Vec<A>) -> Vec<B> + Clone + Send + 'static,
) -> Result<Vec<B>> {
    let (mut all, mut decided) = (things.into_iter(), Vec::new());
    loop {
        let some: Vec<A> = all.by_ref().take(AT_ONCE).collect();
        if some.is_empty() {
            return Ok(decided);
        }
        let (steps, decide) = (steps(&some), decide.clone());
        decided.extend(done(exchange, who, steps, move || decide(some)).await?);
    }
}

/// Counts steps that are taken on the threads that serve others, and lets others on after each stretch.
#[derive(Debug, Default)]
pub(super) struct Pace {
    in_stretch: usize,
    in_all: usize,
}

impl Pace {
    /// Counts these steps.
    pub(super) async fn took(&mut self, steps: usize) {
        self.in_all = self.in_all.saturating_add(steps);
        self.in_stretch += steps;
        if self.in_stretch >= STRETCH {
            self.in_stretch = 0;
            yield_now().await;
        }
    }

    /// How many were taken since the start.
    pub(super) fn in_all(&self) -> usize {
        self.in_all
    }
}
