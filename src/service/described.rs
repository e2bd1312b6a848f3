//! A proposal in the form that is sent, with the parts that its reader may know.

use super::{
    Result,
    evaluation::{self, DECISION},
    state::ProposalState,
    unit::View,
    versions,
};
use crate::{
    domain::id::{MemberId, PartnerCode},
    policy::{Action, Engine, Resource, Standing, facts::MemberFacts},
    sealing::statement::Manifest,
    storage::{
        StoreError, Tx, calls, proposals,
        withdrawals::{self, WishRow},
    },
    wire::{
        Time,
        proposal::{Mine, Pending, Place, Proposal, Void, Wish},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The proposal as it travels. What waits for signatures or bytes is for its parties and shown to nobody else.
pub(super) async fn describe(
    tx: &mut Tx,
    proposal: &ProposalState,
    who: &MemberFacts,
    policies: &Engine,
) -> Result<Proposal> {
    let told = Disclosure::of(proposal, who, policies);
    describe_disclosed(tx, proposal, who, told).await
}

/// The same of the proposals of a page. What a reader may be told of each is decided for many at once, off the threads that serve others.
pub(super) async fn describe_page(view: &mut View<'_>, states: Vec<ProposalState>) -> Result<Vec<Proposal>> {
    let (policies, me) = (Arc::clone(&view.policies), Arc::new(view.me.clone()));
    let steps = |some: &[ProposalState]| some.iter().map(Disclosure::decisions).sum::<usize>() * DECISION;
    let decide = move |some: Vec<ProposalState>| -> Vec<(ProposalState, Disclosure)> {
        let told = |state: ProposalState| {
            let told = Disclosure::of(&state, &me, &policies);
            (state, told)
        };
        some.into_iter().map(told).collect()
    };
    let mut described = Vec::with_capacity(states.len());
    for (state, told) in evaluation::decided(view.exchange, &view.asker, states, steps, decide).await? {
        described.push(describe_disclosed(&mut view.tx, &state, &view.me, told).await?);
    }
    Ok(described)
}

async fn describe_disclosed(
    tx: &mut Tx,
    proposal: &ProposalState,
    who: &MemberFacts,
    told: Disclosure,
) -> Result<Proposal> {
    let me = &who.id;
    let (is_party, is_invited) = (proposal.facts.party_members.contains(me), proposal.facts.invites(me));
    let looks_as_party = is_party || is_invited;
    let is_officer = proposal.facts.call.officers().contains(me);
    let standing = proposal.standing();
    let pending = if looks_as_party { pending(tx, proposal).await? } else { None };
    let wishes = if looks_as_party { withdrawals::wishes(tx, proposal.row.id).await? } else { BTreeMap::new() };
    let wish = |(partner, row): (PartnerCode, WishRow)| {
        (partner, Wish { member: row.member, wished_at: row.wished_at.into() })
    };
    let reopened = proposal.row.reopened.get(me);
    Ok(Proposal {
        id: proposal.row.id,
        reference: proposal.reference(),
        call: proposal.row.call,
        topic: proposal.row.topic.clone(),
        status: proposal.status,
        parties: proposal.row.parties.clone(),
        // Whom a party asks is for the parties, and for the officer who is to consent.
        invited: if looks_as_party || is_officer { proposal.row.invited.clone() } else { BTreeSet::new() },
        organisations: proposal.row.organisations(),
        later_organisations: proposal.row.later_organisations(),
        joined_late: joined_late(proposal),
        deadline_at: proposal.limits.deadline_at.into(),
        grace_until: proposal.limits.grace_until.into(),
        version: standing.map(|version| version.number),
        manifest_sha256: standing.map(|version| version.manifest),
        label: proposal.row.label.clone(),
        decided: proposal.row.outcome.filter(|_| told.outcome),
        ranking_sent_at: proposal.row.ranking_sent_at.filter(|_| told.ranking).map(Into::into),
        letters: if told.letters { letters_for(proposal, me) } else { 0 },
        pending,
        void: if looks_as_party { void(tx, proposal).await? } else { None },
        withdrawal: wishes.into_iter().map(wish).collect(),
        created_at: proposal.row.created_at.into(),
        mine: Mine {
            is_party,
            is_invited,
            is_assigned: proposal.row.assigned.contains(me),
            is_clear: proposal.row.clear.contains(me),
            has_reviewed: proposal.row.reviewed.contains(me),
            reopened_at: reopened.map(|reopening| reopening.at.into()),
            reopened_by: reopened.and_then(|reopening| reopening.by.clone()),
        },
    })
}

/// Who may do one of these is told what was decided, as the decision itself has it.
const DECISION_READERS: &[Action] = &[Action::ViewPartyLog, Action::ViewOfficerLog, Action::Decide];

/// Who may do both is told when a line of the ranking was sent: it speaks of the reviews.
pub(super) const RANKING_READERS: &[Action] = &[Action::ReadRanking, Action::ViewDeliberation];

/// What the reader of a row may be told beside it.
#[derive(Debug, Clone, Copy)]
struct Disclosure {
    outcome: bool,
    ranking: bool,
    letters: bool,
}

impl Disclosure {
    /// Asks the policies where there is something to tell.
    fn of(proposal: &ProposalState, who: &MemberFacts, policies: &Engine) -> Self {
        let may = |action: &Action| {
            policies.explain(who, *action, Resource::Proposal(&proposal.facts)).standing == Standing::Permitted
        };
        Self {
            outcome: proposal.row.outcome.is_some() && DECISION_READERS.iter().any(may),
            ranking: proposal.row.ranking_sent_at.is_some() && RANKING_READERS.iter().all(may),
            letters: !proposal.row.letters.is_empty() && may(&Action::ReadLetter),
        }
    }

    /// How many decisions that takes at most.
    fn decisions(proposal: &ProposalState) -> usize {
        let outcome = if proposal.row.outcome.is_some() { DECISION_READERS.len() } else { 0 };
        let ranking = if proposal.row.ranking_sent_at.is_some() { RANKING_READERS.len() } else { 0 };
        outcome + ranking + usize::from(!proposal.row.letters.is_empty())
    }
}

/// How many letters stand that are for the member: a party has no part in those that are for another one alone.
fn letters_for(proposal: &ProposalState, me: &MemberId) -> u64 {
    let is_party = proposal.facts.shows_as_party(me);
    let for_me = |party: &PartnerCode| !is_party || me.partner() == party;
    proposal.row.letters.iter().filter(|(party, _)| party.as_ref().is_none_or(for_me)).map(|(_, count)| count).sum()
}

/// The members who joined after the deadline.
fn joined_late(proposal: &ProposalState) -> BTreeMap<MemberId, Time> {
    let joined = proposal.row.employers.iter().map(|(member, employer)| (member.clone(), employer.joined_at));
    let late = joined.filter(|(_, joined_at)| *joined_at > proposal.limits.deadline_at);
    late.map(|(member, joined_at)| (member, joined_at.into())).collect()
}

/// The signed version that an amendment voided, until all parties have signed again.
async fn void(tx: &mut Tx, proposal: &ProposalState) -> Result<Option<Void>> {
    let Some(version) = proposal.versions.voided() else { return Ok(None) };
    let amended = calls::voided(tx, proposal.row.call, version.call_version, proposal.versions.baseline).await?;
    Ok(amended.map(|amended| Void { version: version.number, since: amended.at.into(), reason: amended.reason }))
}

/// The signatures and documents that the newest version still needs, if it does not stand.
async fn pending(tx: &mut Tx, proposal: &ProposalState) -> Result<Option<Pending>> {
    let Some(version) = proposal.versions.pending().or_else(|| proposal.versions.committed()) else { return Ok(None) };
    let signatures = proposals::signatures(tx, proposal.row.id, version.number).await?;
    let signed_by: BTreeSet<_> = signatures.into_iter().map(|signature| signature.partner).collect();
    let awaiting_signatures = proposal.facts.parties.difference(&signed_by).cloned().collect();
    let body = proposals::manifest_body(tx, proposal.row.id, version.number).await?.unwrap_or_default();
    let manifest: Manifest = serde_json::from_str(&body)
        .map_err(|_| StoreError::Corrupt { place: "body".into(), expected: "a manifest".into() })?;
    let held = versions::held(tx, proposal.row.id, &manifest).await?;
    let awaiting_documents = versions::missing(&manifest, &held)
        .map(|document| Place { slot: document.slot.clone(), party: document.party.clone() })
        .collect();
    Ok(Some(Pending {
        version: version.number,
        manifest_sha256: version.manifest,
        signed_by,
        awaiting_signatures,
        awaiting_documents,
    }))
}
