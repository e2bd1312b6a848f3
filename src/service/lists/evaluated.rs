//! Lists whose condition names more values than a statement takes: the database finds what the calls, the parties and the member's own
//! rows leave, and the condition is evaluated here, for so many proposals a page.
//!
//! A count has to evaluate it for all of them; the time of a long look bounds that.

use super::ListCondition;
use crate::{
    domain::{
        id::MemberId,
        proposal::{Sort, Version},
    },
    policy::{HeldRoles, Predicate, predicate::RowFact},
    service::{Exchange, Result, evaluation, state::ProposalState, unit::View},
    storage::{
        Tx,
        visible::{self, ListPosition, PageRequest, PageSearch, Totals},
    },
    wire::page::MAX_PAGE,
};
use std::sync::Arc;

/// For so many proposals a page evaluates a condition that no statement has room for, and for so many at a time.
const EVALUATED: u32 = 200;
const EVALUATED_AT_ONCE: u32 = 50;

impl View<'_> {
    /// The proposals of the page for which the condition holds, and where it goes on: among those that the first search found, of one more
    /// than the page takes, and then among those of further searches.
    pub(super) async fn proposals_evaluated(
        &mut self,
        list: &ListCondition,
        page: PageRequest,
        first: PageSearch,
    ) -> Result<(Vec<ProposalState>, Option<ListPosition>)> {
        let (mut states, mut examined): (Vec<ProposalState>, _) = (Vec::new(), 0);
        let (mut search, mut limit) = (first, page.limit + 1);
        loop {
            for positions in search.found.chunks(EVALUATED_AT_ONCE as usize) {
                let candidates = list.loaded(&mut self.tx, positions).await?;
                let holding = list.holding(self.exchange, (&self.asker, &self.me.id), candidates).await?;
                for state in self.confirmed(holding).await? {
                    if states.len() == page.limit as usize {
                        let last =
                            states.last().map(|last| ListPosition { created_at: last.row.created_at, id: last.row.id });
                        return Ok((states, last));
                    }
                    states.push(state);
                }
            }
            if search.found.len() < limit as usize {
                return Ok((states, search.until));
            }
            let after = search.found.last().copied();
            examined += limit;
            if examined >= EVALUATED {
                return Ok((states, after));
            }
            // The plan of the first search serves again, but for the smallest pages.
            limit = limit.max(EVALUATED_AT_ONCE);
            let next = PageRequest { after, limit, ..page };
            search = visible::page(&mut self.tx, &list.query(&self.me.id), next).await?;
        }
    }
}

impl ListCondition {
    /// What there is to the proposals in the list; no more than how many there are unless all is asked for.
    pub(super) async fn evaluated_totals(
        &self,
        exchange: &Exchange,
        tx: &mut Tx,
        me: &MemberId,
        is_all: bool,
    ) -> Result<Totals> {
        let (mut sum, mut after) = (Totals::default(), None);
        loop {
            let page = PageRequest { sort: Sort::Created, after, limit: MAX_PAGE };
            let PageSearch { found, until, .. } = visible::page(tx, &self.query(me), page).await?;
            let states = self.loaded(tx, &found).await?;
            let ids: Vec<_> =
                self.holding(exchange, (me, me), states).await?.iter().map(|state| state.row.id).collect();
            sum.proposals += ids.len() as u64;
            if is_all {
                let totals = visible::totals_of(tx, me, &ids).await?;
                sum.assignments += totals.assignments;
                sum.reviews += totals.reviews;
                sum.reopened += totals.reopened;
                sum.decided += totals.decided;
            }
            let is_full = found.len() == MAX_PAGE as usize;
            after = until.or(found.last().copied().filter(|_| is_full));
            if after.is_none() {
                return Ok(sum);
            }
        }
    }

    /// Those for which the condition holds, evaluated on the turns of `asker`.
    async fn holding(
        &self,
        exchange: &Exchange,
        (asker, me): (&MemberId, &MemberId),
        states: Vec<ProposalState>,
    ) -> Result<Vec<ProposalState>> {
        let (whole, who) = (Arc::clone(&self.whole), me.clone());
        let steps = whole.size().saturating_mul(states.len());
        let evaluate = move || states.into_iter().filter(|state| holds(&whole, &who, state)).collect();
        evaluation::done(exchange, asker, steps, evaluate).await
    }
}

/// Whether a condition holds for a proposal, with what its rows say.
pub(super) fn holds(condition: &Predicate, me: &MemberId, state: &ProposalState) -> bool {
    let row = &state.row;
    let since = |version: u32, is_so: fn(&Version) -> bool| {
        row.versions.iter().any(|known| known.call_version >= version && is_so(known))
    };
    let rows = |fact: &RowFact| match fact {
        RowFact::Withdrawn => row.is_withdrawn,
        RowFact::CommittedSince(version) => since(*version, |known| known.committed_at.is_some()),
        RowFact::CompleteSince(version) => since(*version, |known| known.complete_at.is_some()),
        RowFact::OneOf(ids) => ids.contains(&row.id),
        RowFact::Begins(beginning) => beginning.begins(&row.id.to_string()),
    };
    condition.holds_with(me, &state.facts, HeldRoles::of(me, &state.facts.call), &rows)
}
