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
    Exchange, LONGEST_LOOK, Principal, Result, evaluation,
    state::{self, ProposalState},
    unit::View,
};
use crate::{
    domain::{
        call::Phase,
        id::{CallId, MemberId, ProposalId},
        inbox::ItemKind,
    },
    policy::{Action, Resource, Standing},
    storage::{inbox as store, members, proposals},
    wire::{
        inbox::{Inbox, InboxItem, NextDeadline, Waiting, WaitingPage},
        page::{self, MAX_PAGE, Page},
    },
};
use jiff::Timestamp;
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// The most items of one kind.
const PER_KIND: u32 = 100;
/// How many candidates of one kind are examined, as in lists that leave out the hidden ones one by one: some wait for nobody.
const CANDIDATES: u32 = 2 * MAX_PAGE;
/// The number of proposals that are loaded at a time.
const LOADED_AT_ONCE: usize = 100;
/// The number of decisions of one turn at evaluating, as for a page of a list.
const DECIDED_AT_ONCE: usize = 32;
/// The steps that one decision counts as.
const STEPS: usize = 250;
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
    let found = Box::pin(FoundItems::of(view)).await?;
    let next_deadline = found.next_deadline(view).await?;
    Ok(Inbox { items: found.items, more: found.more, next_deadline, now: view.now.into() })
}

/// How much waits for each member of the caller's nation, for its relay: numbers and instants, found as the member's own inbox is.
pub async fn waiting(
    exchange: &Exchange,
    principal: &Principal,
    after: Option<&MemberId>,
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
    let after = after.map(ToString::to_string);
    let mut rows = members::page(&mut view.tx, Some(partner), after.as_deref(), limit + 1).await?;
    let goes_on = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| goes_on).map(|row| page::cursor(&row.member.to_string()));
    let mut items = Vec::with_capacity(rows.len());
    let now = view.now;
    for row in rows.into_iter().filter(|row| row.is_in_force(now)) {
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
// INVARIANT: proposals are not counted. The number goes out in mail, and to do the same with twelve proposals is one thing, as with one.
fn things(items: &[InboxItem]) -> u32 {
    let things: BTreeSet<_> = items.iter().map(|item| (item.kind, item.call, item.owner.as_ref())).collect();
    u32::try_from(things.len()).unwrap_or(u32::MAX)
}

/// The items of one member.
#[derive(Debug, Default)]
struct FoundItems {
    items: Vec<InboxItem>,
    /// Whether some kind has more than was looked for.
    more: bool,
    /// The deadlines of the member's own proposals that are not finished.
    deadlines: Vec<(Timestamp, CallId)>,
}

impl FoundItems {
    /// What waits for the member who looks.
    async fn of(view: &mut View<'_>) -> Result<Self> {
        let mut found = Self::default();
        found.add_of_parties(view).await?;
        found.add_of_panel(view).await?;
        found.add_keys(view).await?;
        found.add_of_office(view).await?;
        let due = |item: &InboxItem| item.due_at.map_or(Timestamp::MAX, |due| due.0);
        found.items.sort_by(|one, other| {
            let key = |item: &InboxItem| (due(item), item.kind, item.call, item.proposal);
            key(one).cmp(&key(other))
        });
        if found.items.len() > Inbox::MOST {
            found.items.truncate(Inbox::MOST);
            found.more = true;
        }
        Ok(found)
    }

    /// Loads the candidates of one kind, makes items of what waits there, and keeps those whose act is permitted.
    async fn take<C>(
        &mut self,
        view: &mut View<'_>,
        candidates: Vec<(ProposalId, C)>,
        mut items: impl FnMut(&ProposalState, C) -> Vec<InboxItem>,
    ) -> Result<()> {
        self.more |= candidates.len() >= CANDIDATES as usize;
        let (mut kept, mut candidates) = (0, candidates.into_iter());
        loop {
            let some: Vec<(ProposalId, C)> = candidates.by_ref().take(LOADED_AT_ONCE).collect();
            if some.is_empty() {
                return Ok(());
            }
            let ids: Vec<ProposalId> = some.iter().map(|(id, _)| *id).collect();
            let mut states = loaded(view, &ids).await?;
            let mut proposed = Vec::with_capacity(some.len());
            for (id, candidate) in some {
                let Some(state) = states.remove(&id) else { continue };
                let state = Arc::new(state);
                proposed.extend(items(&state, candidate).into_iter().map(|item| (Arc::clone(&state), item)));
            }
            let permitted = permitted(view, proposed).await?;
            kept += permitted.len();
            self.items.extend(permitted);
            if kept >= PER_KIND as usize && !candidates.as_slice().is_empty() {
                self.more = true;
                return Ok(());
            }
        }
    }

    /// The next deadline of a call in which the member has a role, or of a proposal of the member's own that is not handed in.
    async fn next_deadline(&self, view: &mut View<'_>) -> Result<Option<NextDeadline>> {
        let now = view.now;
        let wanted = store::calls_with_role(&mut view.tx, &view.me.id, CALLS).await?;
        let calls = state::calls(view.exchange, &mut view.tx, &wanted, now).await?;
        let mut coming: Vec<(Timestamp, CallId)> = self.deadlines.clone();
        for call in calls.values() {
            let at = match call.phase {
                Phase::Announced | Phase::Open => call.text.schedule.deadline_for(&call.row.extensions, None),
                Phase::Review => call.reviews_due_at(),
                Phase::Draft | Phase::Grace | Phase::Cancelled => continue,
            };
            coming.push((at, call.row.id));
        }
        coming.retain(|(at, _)| *at > now);
        coming.sort_unstable();
        // A call of the member's own proposal was seen with it; of the others the first that may be known of.
        let seen =
            coming.into_iter().find(|(_, id)| calls.get(id).is_none_or(|call| view.sees(Resource::Call(&call.facts))));
        Ok(seen.map(|(at, call)| NextDeadline { call, at: at.into() }))
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
        proposal: Some(state.row.id),
        due_at: due_at.map(Into::into),
        since: since.map(Into::into),
        ..bare(kind)
    }
}

/// An item on nothing yet.
fn bare(kind: ItemKind) -> InboxItem {
    InboxItem { kind, call: None, proposal: None, owner: None, version: None, members: None, due_at: None, since: None }
}

/// These proposals as they stand at the instant of the look.
async fn loaded(view: &mut View<'_>, ids: &[ProposalId]) -> Result<HashMap<ProposalId, ProposalState>> {
    let rows = proposals::some_once(&mut view.tx, ids).await?;
    let mut calls: Vec<CallId> = rows.iter().map(|row| row.call).collect();
    calls.sort_unstable();
    calls.dedup();
    let revisions = store::revisions(&mut view.tx, &calls).await?;
    let calls = state::calls(view.exchange, &mut view.tx, &revisions, view.now).await?;
    let states = rows.into_iter().filter_map(|row| {
        let call = calls.get(&row.call)?;
        Some((row.id, state::proposal_state(row, Arc::clone(call), view.now)))
    });
    Ok(states.collect())
}

/// The items whose act the member is permitted. Each is a decision of its own, so many are made off the threads that serve others.
async fn permitted(view: &View<'_>, items: Vec<(Arc<ProposalState>, InboxItem)>) -> Result<Vec<InboxItem>> {
    let (mut all, mut permitted) = (items.into_iter(), Vec::new());
    loop {
        let some: Vec<_> = all.by_ref().take(DECIDED_AT_ONCE).collect();
        if some.is_empty() {
            return Ok(permitted);
        }
        let (policies, me, steps) = (Arc::clone(&view.policies), view.me.clone(), some.len() * STEPS);
        let decide = move || -> Vec<InboxItem> {
            let may = |state: &ProposalState, kind: ItemKind| {
                act(kind).is_some_and(|action| {
                    let resource = Resource::Proposal(&state.facts);
                    policies.explain(&me, action, resource).standing == Standing::Permitted
                })
            };
            some.into_iter().filter(|(state, item)| may(state, item.kind)).map(|(_, item)| item).collect()
        };
        permitted.extend(evaluation::done(view.exchange, &view.me.id, steps, decide).await?);
    }
}
