//! Evaluating policies for many: off the threads that serve others and by turns, or with a pause after each stretch.
//!
//! What a nation writes in its policies costs each reader of its proposals. Nothing here decides anything: it says where and when
//! other code does.

use super::{Exchange, Result, ServiceError, aside};
use crate::{
    domain::id::MemberId,
    policy::{Action, Engine, Predicate, facts::MemberFacts},
};
use std::sync::Arc;
use tokio::task::yield_now;

/// Work of so many steps is done where it stands: handing it over would take as long.
const INLINE: usize = 2_000;
/// After so many steps others are let on.
const STRETCH: usize = 10_000;

/// What the policies leave open for a member, made for `who` if it is not known.
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

/// Does what takes so many steps, on the present thread if they are few.
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

/// Counts steps that are taken on the threads that serve others, and lets others on after each stretch.
#[derive(Debug, Default)]
pub(super) struct Pace {
    in_stretch: usize,
    in_all: usize,
}

impl Pace {
    /// So many steps were taken.
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
