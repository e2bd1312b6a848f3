//! Lists that ask for one reference. Codes are unique within a program, so there are few proposals with it, and each is decided on by itself:
//! the answer is the same whether there is none or the policies hide it.
//!
//! References are short enough to be tried one by one. So where none has it, another proposal of the call is loaded and decided on in its
//! place, and dropped: the time that an answer takes must not count a call's proposals.

use super::{evaluated::holds, narrowed};
use crate::{
    domain::{proposal::Sort, reference::Reference},
    service::{
        Result,
        state::{self, ProposalState},
        unit::View,
    },
    storage::{
        references,
        visible::{ListPosition, PageRequest},
    },
    wire::proposal::Filter,
};

impl View<'_> {
    /// The proposals of the list with the reference.
    pub(super) async fn referred(&mut self, filter: &Filter, reference: &Reference) -> Result<Vec<ProposalState>> {
        let referred_to = references::referred_to(&mut self.tx, reference).await?;
        let mut ids = referred_to.clone();
        if ids.is_empty() {
            ids.extend(references::some_other(&mut self.tx, reference.code()).await?);
        }
        let mut states = Vec::new();
        for id in ids {
            states.extend(state::proposal(&mut self.tx, id, self.now).await?);
        }
        let mut seen = self.seen_among(states).await?;
        let narrowed = narrowed(filter);
        seen.retain(|state| {
            referred_to.contains(&state.row.id)
                && filter.call.is_none_or(|call| state.row.call == call)
                && holds(&narrowed, &self.me.id, state)
        });
        Ok(seen)
    }
}

/// One part of these, in the order of the page, and where it goes on.
pub(super) fn part(states: Vec<ProposalState>, page: PageRequest) -> (Vec<ProposalState>, Option<ListPosition>) {
    let position = |state: &ProposalState| ListPosition { created_at: state.row.created_at, id: state.row.id };
    let is_beyond = |state: &ProposalState| {
        page.after.is_none_or(|after| match page.sort {
            Sort::Created => position(state) > after,
            Sort::Newest => position(state) < after,
        })
    };
    let mut states: Vec<_> = states.into_iter().filter(is_beyond).collect();
    states.sort_by_key(position);
    if page.sort == Sort::Newest {
        states.reverse();
    }
    let has_more = states.len() > page.limit as usize;
    states.truncate(page.limit as usize);
    let next = states.last().filter(|_| has_more).map(position);
    (states, next)
}
