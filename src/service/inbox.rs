//! What waits for a member: computed whenever it is asked for and stored nowhere.
//!
//! Each kind begins at the member's own rows: parties, assignments, declarations, roles. Then the rules of the domain say whether anything
//! is to be done, and the policies whether the member may do it at this instant, by the same question that the act itself puts. So what is
//! hidden from somebody, and what they are recused from, has neither an item nor a part in a number.
//!
//! It decides nothing else and writes nothing: it leaves no entry, as lists leave none.

mod keys;
mod office;
mod panel;
mod parties;

use super::{
    Exchange, LONGEST_LOOK, Principal, Result,
    cursors::SealedCursors,
    evaluation::{self, DECISION},
    state::{self, ProposalState},
    unit::View,
};
use crate::{
    domain::{
        call::Phase,
        id::{CallId, MemberId, ProposalId},
        inbox::ItemKind,
        reference::CallCode,
    },
    policy::{Action, Resource},
    storage::{inbox as store, members, proposals},
    wire::{
        inbox::{Inbox, InboxItem, NextDeadline, Waiting, WaitingPage},
        page::Page,
    },
};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// The most items of one kind.
const PER_KIND: usize = 100;
/// How many candidates of one kind are examined at most, some at a time until there are enough items: some wait for nobody, or are hidden.
const CANDIDATES: u32 = 2_000;
/// How many invitations of one inviting partner are looked at, so that none fills the place of the others.
const OF_ONE_PARTNER: u32 = 200;
/// The number of proposals that are loaded at a time: where each makes an item, the first ones show that there are more than are kept.
const LOADED_AT_ONCE: usize = PER_KIND + 1;
/// How many proposals are kept for the kinds that follow: mostly the same ones wait to be read, reviewed and given keys.
const KEPT: usize = 500;
/// The calls with a role of the member that are looked at for the next deadline.
const CALLS: u32 = 100;
/// The members of one page of what waits for a nation: each costs as much as an inbox.
const MEMBERS: u32 = 20;

/// What waits for the caller.
pub async fn list(exchange: &Exchange, principal: &Principal) -> Result<Inbox> {
    let mut view = View::open(exchange, principal).await?;
    view.authorize(Action::ReadInbox, Resource::Exchange)?;
    of_member(&mut view).await
}

/// What waits for the member who looks, who may ask.
pub async fn of_member(view: &mut View<'_>) -> Result<Inbox> {
    let mut found = Box::pin(FoundItems::of(view)).await?;
    let next_deadline = found.next_deadline(view).await?;
    Ok(Inbox { items: found.items, more: found.more, next_deadline, now: view.now.into() })
}

/// How much waits for each member of the caller's nation, for its relay: numbers and instants, found as the member's own inbox is.
pub async fn waiting(
    exchange: &Exchange,
    principal: &Principal,
    cursor: Option<&str>,
    limit: u32,
) -> Result<WaitingPage> {
    let partner = principal.member.partner();
    let authorized = async || -> Result<_> {
        let view = View::open(exchange, principal).await?;
        view.authorize(Action::CountWaiting, Resource::Partner(partner))?;
        Ok(view)
    };
    drop(authorized().await?);
    let turn = exchange.long_work.count(principal).await?;
    let mut view = authorized().await?;
    view.tx.hold(turn, LONGEST_LOOK).await?;
    let limit = limit.min(MEMBERS);
    let cursors = SealedCursors::of(exchange, "waiting", &principal.member);
    let after = cursors.open::<MemberId>(cursor)?.map(|member| member.to_string());
    let mut rows = members::page(&mut view.tx, Some(partner), after.as_deref(), limit + 1).await?;
    let goes_on = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| goes_on).map(|row| cursors.seal(&row.member));
    let mut items = Vec::with_capacity(rows.len());
    let now = view.now;
    for row in rows.into_iter().filter(|row| row.is_in_force(now)) {
        // The relay stays the one who asks: it takes the turns, and what is evaluated takes no place of the members' own lists.
        view.me = state::member_facts(exchange, &row);
        // A relay has no inbox.
        if !view.may(Action::ReadInbox, Resource::Exchange) {
            continue;
        }
        let found = Box::pin(FoundItems::of(&mut view)).await?.items;
        let due = found.iter().filter_map(|item| item.due_at).filter(|due| due.0 > now);
        let next_due_at = due.min();
        items.push(Waiting { member: row.member, items: things(&found), next_due_at });
    }
    Ok(Page { items, next })
}

/// How many different things wait, as a relay is told: what is to be done, in which call or on whose policies.
// INVARIANT: proposals are not counted. The number goes out in mail, and to do the same with twelve proposals is one thing, as with one. What is
// beyond the bound of a kind has no part in it.
fn things(items: &[InboxItem]) -> u32 {
    let things: BTreeSet<_> = items.iter().map(|item| (item.kind, item.call, item.owner.as_ref())).collect();
    u32::try_from(things.len()).unwrap_or(u32::MAX)
}

/// The items of one member.
#[derive(Debug, Default)]
struct FoundItems {
    items: Vec<InboxItem>,
    /// Whether an item was left out. What the member may not know of, or may not do, has no part in it.
    more: bool,
    /// The deadlines to come of the member's own proposals that are not finished, the first one first, whether the member may know of them or
    /// not.
    preparing: Vec<(Timestamp, ProposalId)>,
    /// Proposals that were loaded in this look, which is of one instant.
    states: HashMap<ProposalId, Arc<ProposalState>>,
}

impl FoundItems {
    /// What waits for the member who looks.
    async fn of(view: &mut View<'_>) -> Result<Self> {
        let mut found = Self::default();
        found.add_of_parties(view).await?;
        found.add_of_panel(view).await?;
        found.add_keys(view).await?;
        found.add_of_office(view).await?;
        found.bound();
        Ok(found)
    }

    /// Puts the items in order and keeps so many of each kind, and so many of all: of each kind those that are due first, so that none
    /// takes the place of the others.
    fn bound(&mut self) {
        self.sort();
        let mut of_kind: BTreeMap<ItemKind, usize> = BTreeMap::new();
        let place = |item: InboxItem| {
            let place = of_kind.entry(item.kind).or_default();
            *place += 1;
            (*place, item)
        };
        let found = self.items.len();
        let mut placed: Vec<(usize, InboxItem)> = std::mem::take(&mut self.items).into_iter().map(place).collect();
        placed.retain(|(place, _)| *place <= PER_KIND);
        placed.sort_by_key(|(place, _)| *place);
        placed.truncate(Inbox::MOST);
        self.more |= placed.len() < found;
        self.items = placed.into_iter().map(|(_, item)| item).collect();
        self.sort();
    }

    fn sort(&mut self) {
        let due = |item: &InboxItem| item.due_at.map_or(Timestamp::MAX, |due| due.0);
        self.items.sort_by(|one, other| {
            let key = |item: &InboxItem| (due(item), item.kind, item.call, item.proposal);
            key(one).cmp(&key(other))
        });
    }

    /// Whether some kind has more items than are kept, since there were so many items in all. Nothing else has to be looked for then.
    fn is_enough(&self, since: usize) -> bool {
        let mut of_kind: BTreeMap<ItemKind, usize> = BTreeMap::new();
        for item in &self.items[since..] {
            *of_kind.entry(item.kind).or_default() += 1;
        }
        of_kind.into_values().any(|count| count > PER_KIND)
    }

    /// Loads the candidates of one kind, makes items of what waits there, and keeps those whose act is permitted.
    async fn take<C>(
        &mut self,
        view: &mut View<'_>,
        candidates: Vec<(ProposalId, C)>,
        mut items: impl FnMut(&ProposalState, C) -> Vec<InboxItem>,
    ) -> Result<()> {
        let (since, mut candidates) = (self.items.len(), candidates.into_iter());
        loop {
            let some: Vec<(ProposalId, C)> = candidates.by_ref().take(LOADED_AT_ONCE).collect();
            if some.is_empty() || self.is_enough(since) {
                return Ok(());
            }
            // One proposal can have several candidates.
            let ids: BTreeSet<ProposalId> = some.iter().map(|(id, _)| *id).collect();
            let states = self.loaded(view, &ids.into_iter().collect::<Vec<_>>()).await?;
            let mut proposed = Vec::with_capacity(some.len());
            for (id, candidate) in some {
                let Some(state) = states.get(&id) else { continue };
                proposed.extend(items(state, candidate).into_iter().map(|item| (Arc::clone(state), item)));
            }
            self.items.extend(permitted(view, proposed).await?);
        }
    }

    /// These proposals as they stand at the instant of the look.
    async fn loaded(
        &mut self,
        view: &mut View<'_>,
        ids: &[ProposalId],
    ) -> Result<HashMap<ProposalId, Arc<ProposalState>>> {
        let wanted: Vec<ProposalId> = ids.iter().copied().filter(|id| !self.states.contains_key(id)).collect();
        let known = ids.iter().filter_map(|id| Some((*id, Arc::clone(self.states.get(id)?))));
        let mut states: HashMap<ProposalId, Arc<ProposalState>> = known.collect();
        let read = loaded(view, &wanted).await?.into_iter().map(Arc::new);
        for state in read {
            self.keep(&state);
            states.insert(state.row.id, state);
        }
        Ok(states)
    }

    fn keep(&mut self, state: &Arc<ProposalState>) {
        if self.states.len() < KEPT {
            self.states.insert(state.row.id, Arc::clone(state));
        }
    }

    /// The next deadline of a call in which the member has a role, or of a proposal of the member's own that is not handed in.
    async fn next_deadline(&mut self, view: &mut View<'_>) -> Result<Option<NextDeadline>> {
        let now = view.now;
        let wanted = store::calls_with_role(&mut view.tx, &view.me.id, CALLS).await?;
        let calls = state::calls(view.exchange, &mut view.tx, &wanted, now).await?;
        let own = self.first_deadline(view).await?;
        let mut coming: Vec<(Timestamp, CallId, CallCode)> = own.into_iter().collect();
        for call in calls.values() {
            let at = match call.phase {
                Phase::Announced | Phase::Open => call.text.schedule.deadline_for(&call.row.extensions, None),
                Phase::Review => call.reviews_due_at(),
                Phase::Draft | Phase::Grace | Phase::Cancelled | Phase::Closed => continue,
            };
            coming.push((at, call.row.id, call.text.code.clone()));
        }
        coming.retain(|(at, ..)| *at > now);
        coming.sort_unstable();
        // A call of the member's own proposal was seen with it; of the others the first that may be known of.
        let seen = coming
            .into_iter()
            .find(|(_, id, _)| calls.get(id).is_none_or(|call| view.sees(Resource::Call(&call.facts))));
        Ok(seen.map(|(at, call, code)| NextDeadline { call, code, at: at.into() }))
    }
}

/// The act that an item on a proposal asks for.
fn act(kind: ItemKind) -> Option<Action> {
    Some(match kind {
        ItemKind::Invited => Action::AnswerInvitation,
        ItemKind::Void | ItemKind::Sign | ItemKind::SignLabel => Action::Sign,
        ItemKind::BytesMissing | ItemKind::DeadlineNear => Action::Upload,
        ItemKind::ReadLetter => Action::ReadLetter,
        ItemKind::Declare => Action::DeclareClear,
        ItemKind::PassKeys => Action::WrapKey,
        ItemKind::Read | ItemKind::Review => Action::Review,
        // An assignment names somebody; whether the officer may handle the panel at all does not hang on whom.
        ItemKind::Declined => Action::Unassign,
        ItemKind::SignDecision => Action::Decide,
        ItemKind::ApprovePolicy | ItemKind::CardExpiring | ItemKind::RenewMembers => return None,
    })
}

/// An item on a proposal.
fn on_proposal(
    state: &ProposalState,
    kind: ItemKind,
    due_at: Option<Timestamp>,
    since: Option<Timestamp>,
) -> InboxItem {
    InboxItem {
        call: Some(state.row.call),
        code: Some(state.call.text.code.clone()),
        proposal: Some(state.row.id),
        reference: Some(state.reference()),
        due_at: due_at.map(Into::into),
        since: since.map(Into::into),
        ..InboxItem::new(kind)
    }
}

/// These proposals as they stand at the instant of the look.
async fn loaded(view: &mut View<'_>, ids: &[ProposalId]) -> Result<Vec<ProposalState>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = proposals::some(&mut view.tx, ids).await?;
    let mut calls: Vec<CallId> = rows.iter().map(|row| row.call).collect();
    calls.sort_unstable();
    calls.dedup();
    let revisions = store::revisions(&mut view.tx, &calls).await?;
    let calls = state::calls(view.exchange, &mut view.tx, &revisions, view.now).await?;
    let states = rows.into_iter().filter_map(|row| {
        let call = calls.get(&row.call)?;
        Some(state::proposal_state(row, Arc::clone(call), view.now))
    });
    Ok(states.collect())
}

/// The items whose act the member is permitted. What was not decided before is a decision of its own, so many are made off the threads that
/// serve others.
async fn permitted(view: &View<'_>, items: Vec<(Arc<ProposalState>, InboxItem)>) -> Result<Vec<InboxItem>> {
    let (policies, me) = (Arc::clone(&view.policies), Arc::new(view.me.clone()));
    let steps = |some: &[(Arc<ProposalState>, InboxItem)]| {
        let is_known = |(state, item): &&(Arc<ProposalState>, InboxItem)| {
            act(item.kind).is_none_or(|action| policies.known_decision(&me, action, &state.facts).is_some())
        };
        some.len() + some.iter().filter(|one| !is_known(one)).count() * DECISION
    };
    let (policies, me) = (Arc::clone(&policies), Arc::clone(&me));
    let decide = move |some: Vec<(Arc<ProposalState>, InboxItem)>| -> Vec<InboxItem> {
        let may = |state: &ProposalState, kind: ItemKind| {
            act(kind).is_some_and(|action| policies.decides(&me, action, &state.facts))
        };
        some.into_iter().filter(|(state, item)| may(state, item.kind)).map(|(_, item)| item).collect()
    };
    evaluation::decided(view.exchange, &view.asker, items, steps, decide).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_kind_takes_more_than_its_share_and_none_is_left_out() {
        let kinds = &ItemKind::ALL[..6];
        let of = |kind: ItemKind, count: usize| std::iter::repeat_with(move || InboxItem::new(kind)).take(count);
        let count = |found: &FoundItems, kind: ItemKind| found.items.iter().filter(|item| item.kind == kind).count();
        let bound = |items: Vec<InboxItem>| {
            let mut found = FoundItems { items, ..FoundItems::default() };
            found.bound();
            found
        };
        let found = bound(of(kinds[0], PER_KIND + 1).chain(of(kinds[1], 3)).collect());
        assert_eq!((count(&found, kinds[0]), count(&found, kinds[1]), found.more), (PER_KIND, 3, true));
        let found = bound(of(kinds[0], PER_KIND).collect());
        assert_eq!((found.items.len(), found.more), (PER_KIND, false));
        let found = bound(kinds.iter().flat_map(|kind| of(*kind, PER_KIND)).collect());
        assert_eq!((found.items.len(), found.more), (Inbox::MOST, true));
        assert!(kinds.iter().all(|kind| count(&found, *kind) >= Inbox::MOST / kinds.len()));
    }
}
