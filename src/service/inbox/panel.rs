//! What waits for members who judge, and for officers where a reviewer declined: to declare, to read, to review, to sign a decision.

use super::{CANDIDATES, FoundItems, LOADED_AT_ONCE, on_proposal, permitted};
use crate::{
    domain::{
        call::Phase,
        inbox::ItemKind,
        proposal::{Relation, Sort, Status},
    },
    service::{Result, state::ProposalState, unit::View},
    storage::{inbox as store, visible::PageRequest},
    wire::proposal::Filter,
};
use std::sync::Arc;

/// The pages of the list of what is undeclared that are looked at, until there are enough items.
const PAGES: usize = 5;

impl FoundItems {
    pub(super) async fn add_of_panel(&mut self, view: &mut View<'_>) -> Result<()> {
        self.add_undeclared(view).await?;
        let me = view.me.id.clone();
        let found = store::to_review(&mut view.tx, &me, CANDIDATES).await?;
        let found = found.into_iter().map(|review| (review.proposal, review)).collect();
        let review = |state: &ProposalState, review: store::ToReview| {
            let kind = if review.has_read { ItemKind::Review } else { ItemKind::Read };
            let item = || on_proposal(state, kind, Some(state.call.reviews_due_at()), Some(review.since));
            is_judged(state).then(item).into_iter().collect()
        };
        self.take(view, found, review).await?;

        let found = store::declined_assignments(&mut view.tx, &me, CANDIDATES).await?;
        let found = found.into_iter().map(|candidate| (candidate.proposal, candidate.since)).collect();
        let declined = |state: &ProposalState, since| {
            let item = || on_proposal(state, ItemKind::Declined, Some(state.call.reviews_due_at()), since);
            is_judged(state).then(item).into_iter().collect()
        };
        self.take(view, found, declined).await?;

        let found = store::unsigned_decisions(&mut view.tx, &me, CANDIDATES).await?;
        let found = found.into_iter().map(|candidate| (candidate.proposal, candidate.since)).collect();
        let decision = |state: &ProposalState, since| {
            let waits = state.call.phase == Phase::Review && state.status == Status::Submitted;
            waits.then(|| on_proposal(state, ItemKind::SignDecision, None, since)).into_iter().collect()
        };
        self.take(view, found, decision).await
    }

    /// Declarations: of officers and deciders on whatever they may know of, so the list finds them, which leaves out the rest at once.
    async fn add_undeclared(&mut self, view: &mut View<'_>) -> Result<()> {
        let filter = Filter {
            phase: Some(Phase::Review),
            status: Some(Status::Submitted),
            mine: Some(Relation::Undeclared),
            ..Filter::default()
        };
        let (since, mut after) = (self.items.len(), None);
        for _ in 0..PAGES {
            let limit = u32::try_from(LOADED_AT_ONCE).unwrap_or(u32::MAX);
            let request = PageRequest { sort: Sort::Created, after, limit };
            let (states, next) = view.proposals(&filter, request).await?;
            let mut items = Vec::with_capacity(states.len());
            for state in states.into_iter().map(Arc::new) {
                self.keep(&state);
                let item = on_proposal(&state, ItemKind::Declare, Some(state.call.reviews_due_at()), None);
                items.push((state, item));
            }
            self.items.extend(permitted(view, items).await?);
            after = next;
            if after.is_none() || self.is_enough(since) {
                break;
            }
        }
        Ok(())
    }
}

/// Whether reviews are still asked for.
fn is_judged(state: &ProposalState) -> bool {
    state.call.phase == Phase::Review && state.status == Status::Submitted && !state.facts.decided
}
