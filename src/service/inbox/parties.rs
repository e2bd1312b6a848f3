//! What waits for members of the parties: to join, to sign, to send, to hand in, to read a letter.

use super::{CANDIDATES, FoundItems, LOADED_AT_ONCE, OF_ONE_PARTNER, on_proposal};
use crate::{
    domain::{
        call::Phase,
        id::{CallId, MemberId, ProposalId},
        inbox::{DEADLINE_IS_NEAR, ItemKind},
        proposal::Status,
        reference::CallCode,
    },
    policy::facts::MemberFacts,
    service::{
        Result,
        parties::{consent_stands, needs_consent},
        state::{self, ProposalState},
        unit::View,
    },
    storage::inbox::{self as store, UnfinishedProposal},
    wire::inbox::InboxItem,
};
use jiff::Timestamp;
use std::{collections::BTreeMap, sync::Arc};

impl FoundItems {
    pub(super) async fn add_of_parties(&mut self, view: &mut View<'_>) -> Result<()> {
        let (me, now) = (view.me.id.clone(), view.now);
        let found = store::invitations(&mut view.tx, &me, OF_ONE_PARTNER, CANDIDATES).await?;
        let consents = consents(view, &found).await?;
        let found = found.into_iter().map(|invitation| (invitation.proposal, invitation)).collect();
        let (policies, subject) = (Arc::clone(&view.policies), view.me.clone());
        let to_answer = |state: &ProposalState, invitation: store::OpenInvitation| {
            let consent = invitation.consent.as_ref().and_then(|(officer, of)| Some((consents.get(officer)?, &**of)));
            let may_join = !needs_consent(state, &subject, now)
                || consent.is_some_and(|consent| consent_stands(&policies, state, &subject, consent));
            may_join.then(|| invited(state, invitation.since, now)).flatten().into_iter().collect()
        };
        self.take(view, found, to_answer).await?;

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
        let found = found.into_iter().map(|unread| (unread.proposal, unread)).collect();
        // One for each: to fetch one of them leaves the others unread.
        let letter = |state: &ProposalState, unread: store::UnreadLetter| {
            let item = on_proposal(state, ItemKind::ReadLetter, None, Some(unread.since));
            vec![InboxItem { letter: Some(unread.letter), ..item }]
        };
        self.take(view, found, letter).await
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

/// The officers who consented to the member joining, as far as they take part now.
async fn consents(
    view: &mut View<'_>,
    invitations: &[store::OpenInvitation],
) -> Result<BTreeMap<MemberId, MemberFacts>> {
    let (mut known, now) = (BTreeMap::new(), view.now);
    for (officer, _) in invitations.iter().filter_map(|invitation| invitation.consent.as_ref()) {
        if !known.contains_key(officer)
            && let Some(facts) = state::member(view.exchange, &mut view.tx, officer, now).await?
        {
            known.insert(officer.clone(), facts);
        }
    }
    Ok(known)
}

/// The invitation, while the proposal can be joined to any purpose.
fn invited(state: &ProposalState, since: Timestamp, now: Timestamp) -> Option<InboxItem> {
    let stands = matches!(state.status, Status::Preparing | Status::Committed | Status::Submitted);
    let goes_on = matches!(state.call.phase, Phase::Open | Phase::Grace | Phase::Review);
    let due = Some(state.limits.deadline_at).filter(|deadline| now <= *deadline);
    (stands && goes_on).then(|| on_proposal(state, ItemKind::Invited, due, Some(since)))
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
