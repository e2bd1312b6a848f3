//! What waits for members who judge: to declare, to read, to review, to sign a decision.

use super::{CANDIDATES, FoundItems, PER_KIND, on_proposal, permitted};
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
        let request = PageRequest { sort: Sort::Created, after: None, limit: PER_KIND };
        let (states, next) = view.proposals(&filter, request).await?;
        self.more |= next.is_some();
        let officer = |state: &ProposalState| state.call.facts.officers().contains(&view.me.id);
        // Once it is decided, only officers have anything left to do there.
        let waits = states.into_iter().filter(|state| !state.facts.decided || officer(state));
        let items = waits.map(|state| {
            let item = on_proposal(&state, ItemKind::Declare, Some(state.call.reviews_due_at()), None);
            (Arc::new(state), item)
        });
        let items = items.collect();
        self.items.extend(permitted(view, items).await?);
        Ok(())
    }
}

/// Whether reviews are still asked for.
fn is_judged(state: &ProposalState) -> bool {
    state.call.phase == Phase::Review && state.status == Status::Submitted && !state.facts.decided
}
