//! A proposal in the form that is sent, with the parts that its reader may know.

use super::{Result, state::ProposalState, versions};
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
use std::collections::{BTreeMap, BTreeSet};

/// The proposal as it travels. What waits for signatures or bytes is for its parties and shown to nobody else.
pub(super) async fn describe(
    tx: &mut Tx,
    proposal: &ProposalState,
    who: &MemberFacts,
    policies: &Engine,
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
    let may = |actions: &[Action]| {
        let permits = |action: &Action| policies.explain(who, *action, Resource::Proposal(&proposal.facts)).standing;
        actions.iter().any(|action| permits(action) == Standing::Permitted)
    };
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
        decided: proposal.row.outcome.filter(|_| may(DECISION_READERS)),
        letters: if proposal.row.letters > 0 && may(&[Action::ReadLetter]) { proposal.row.letters } else { 0 },
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
