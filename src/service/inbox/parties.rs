//! What waits for members of the parties: to join, to sign, to send, to hand in, to read a letter.

use super::{CANDIDATES, FoundItems, LOADED_AT_ONCE, OF_ONE_PARTNER, on_proposal};
use crate::{
    domain::{
        call::Phase,
        id::{CallId, ProposalId},
        inbox::{DEADLINE_IS_NEAR, ItemKind},
        proposal::Status,
        reference::CallCode,
    },
    service::{Result, state::ProposalState, unit::View},
    storage::inbox::{self as store, UnfinishedProposal},
    wire::inbox::InboxItem,
};
use jiff::Timestamp;

impl FoundItems {
    pub(super) async fn add_of_parties(&mut self, view: &mut View<'_>) -> Result<()> {
        let (me, now) = (view.me.id.clone(), view.now);
        let found = store::invitations(&mut view.tx, &me, OF_ONE_PARTNER, CANDIDATES).await?;
        let found = found.into_iter().map(|candidate| (candidate.proposal, candidate.since)).collect();
        self.take(view, found, |state, since| invited(state, since, now).into_iter().collect()).await?;

        let found = store::unfinished(&mut view.tx, &me, CANDIDATES).await?;
        let found = found.into_iter().map(|unfinished| (unfinished.proposal, unfinished)).collect();
        let mut preparing = Vec::new();
        let to_finish = |state: &ProposalState, unfinished: UnfinishedProposal| {
            if state.status == Status::Preparing && state.limits.deadline_at > now {
                preparing.push((state.limits.deadline_at, state.row.id));
            }
            unfinished_items(state, unfinished, now)
        };
        self.take(view, found, to_finish).await?;
        preparing.sort_unstable();
        self.preparing = preparing;

        let found = store::unsigned_labels(&mut view.tx, &me, CANDIDATES).await?;
        let found = found.into_iter().map(|label| (label.proposal, label)).collect();
        let label = |state: &ProposalState, label: store::UnsignedLabel| {
            let stands = state.standing().is_some_and(|version| version.manifest == label.manifest);
            let waits = stands
                && state.status == Status::Submitted
                && !matches!(state.call.phase, Phase::Cancelled | Phase::Closed);
            let item = || InboxItem {
                version: Some(label.number),
                ..on_proposal(state, ItemKind::SignLabel, None, Some(label.since))
            };
            waits.then(item).into_iter().collect()
        };
        self.take(view, found, label).await?;

        let found = store::unread_letters(&mut view.tx, &me, CANDIDATES).await?;
        let found = found.into_iter().map(|candidate| (candidate.proposal, candidate.since)).collect();
        self.take(view, found, |state, since| vec![on_proposal(state, ItemKind::ReadLetter, None, since)]).await
    }

    /// The first deadline of the proposals that are being prepared of which the member may know: what hides a proposal from its own party hides
    /// its deadline.
    pub(super) async fn first_deadline(
        &mut self,
        view: &mut View<'_>,
    ) -> Result<Option<(Timestamp, CallId, CallCode)>> {
        let preparing = std::mem::take(&mut self.preparing);
        for some in preparing.chunks(LOADED_AT_ONCE) {
            let ids: Vec<ProposalId> = some.iter().map(|(_, id)| *id).collect();
            let states = self.loaded(view, &ids).await?.into_values().collect();
            let seen = view.seen_among(states).await?;
            let first =
                seen.iter().map(|state| (state.limits.deadline_at, state.row.call, state.call.text.code.clone())).min();
            if first.is_some() {
                return Ok(first);
            }
        }
        Ok(None)
    }
}

/// The invitation, while the proposal can be joined to any purpose.
fn invited(state: &ProposalState, since: Option<Timestamp>, now: Timestamp) -> Option<InboxItem> {
    let stands = matches!(state.status, Status::Preparing | Status::Committed | Status::Submitted);
    let goes_on = matches!(state.call.phase, Phase::Open | Phase::Grace | Phase::Review);
    let due = Some(state.limits.deadline_at).filter(|deadline| now <= *deadline);
    (stands && goes_on).then(|| on_proposal(state, ItemKind::Invited, due, since))
}

/// What a party has to do so that its proposal stands as its newest version has it. Nothing waits once nobody can do it any more.
fn unfinished_items(state: &ProposalState, unfinished: UnfinishedProposal, now: Timestamp) -> Vec<InboxItem> {
    let (versions, limits) = (&state.versions, state.limits);
    let mut items = Vec::new();
    let numbered =
        |kind, due, since, version| InboxItem { version: Some(version), ..on_proposal(state, kind, Some(due), since) };
    if matches!(state.call.phase, Phase::Open | Phase::Grace)
        && now <= limits.grace_until
        && let Some(version) = versions.committed()
    {
        items.push(numbered(ItemKind::BytesMissing, limits.grace_until, version.committed_at, version.number));
    }
    if state.call.phase != Phase::Open || now > limits.deadline_at {
        return items;
    }
    let due = limits.deadline_at;
    match versions.pending() {
        Some(version) if version.number > unfinished.signed => {
            items.push(numbered(ItemKind::Sign, due, unfinished.newest_at, version.number));
        }
        None if items.is_empty() => {
            items.extend(versions.voided().map(|version| numbered(ItemKind::Void, due, None, version.number)));
        }
        _ => {}
    }
    let is_near = due.duration_since(now) <= DEADLINE_IS_NEAR;
    if items.is_empty() && is_near && state.status == Status::Preparing {
        items.push(on_proposal(state, ItemKind::DeadlineNear, Some(due), Some(state.row.created_at)));
    }
    items
}
