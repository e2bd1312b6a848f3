//! The state at this instant: rows and the rules of the domain, combined into the facts that policy decides on.
//!
//! Every status and phase is computed here, from the same snapshot that the decision is taken on.

use super::{Exchange, Result, ServiceError};
use crate::{
    domain::{
        call::{CallText, Phase},
        id::{CallId, MemberId, PartnerCode, ProgramId, ProposalId},
        proposal::{Status, TimeLimits, Version, Versions},
        reference::Reference,
        set_aside::SetAside,
    },
    policy::facts::{CallFacts, MemberFacts, ProgramFacts, ProposalFacts},
    remembered::Remembered,
    storage::{
        StoreError, Tx,
        calls::{self, CallRow},
        members::{self, MemberRow},
        programs::{self, ProgramRow},
        proposals::{self, ProposalRow},
    },
    wire,
};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// A program and its facts.
#[derive(Debug, Clone)]
pub struct ProgramState {
    pub row: ProgramRow,
    pub facts: Arc<ProgramFacts>,
}

/// A call at an instant.
#[derive(Debug, Clone)]
pub struct CallState {
    pub row: CallRow,
    pub program: ProgramState,
    pub wire_text: wire::call::CallText,
    pub text: CallText,
    pub phase: Phase,
    pub facts: Arc<CallFacts>,
}

impl CallState {
    /// The deadline that holds for a proposal of these parties.
    #[must_use]
    pub fn deadline_of(&self, id: ProposalId, parties: &BTreeSet<PartnerCode>) -> Timestamp {
        self.text.schedule.deadline_for(&self.row.extensions, Some((id, parties)))
    }

    /// The date by which reviews are due, as it was moved.
    #[must_use]
    pub fn reviews_due_at(&self) -> Timestamp {
        let due = self.text.schedule.reviews_due_at;
        self.row.reviews_until.map_or(due, |until| until.max(due))
    }
}

/// A proposal at an instant.
#[derive(Debug, Clone)]
pub struct ProposalState {
    pub row: ProposalRow,
    pub call: Arc<CallState>,
    pub limits: TimeLimits,
    pub status: Status,
    pub versions: Versions,
    pub facts: ProposalFacts,
}

impl ProposalState {
    /// What people call it.
    #[must_use]
    pub fn reference(&self) -> Reference {
        Reference::kept(&self.call.text.code, &self.row.number)
    }

    /// The version that stands.
    #[must_use]
    pub fn standing(&self) -> Option<&Version> {
        self.versions.standing()
    }
}

/// The facts about a member whose key card is in force.
pub async fn member(exchange: &Exchange, tx: &mut Tx, id: &MemberId, now: Timestamp) -> Result<Option<MemberFacts>> {
    let row = members::find(tx, id).await?.filter(|row| row.is_in_force(now));
    Ok(row.map(|row| member_facts(exchange, &row)))
}

/// The facts about a member by the newest key card, whatever its time, unless it was revoked. This is what decides whether the member
/// keeps the keys that they hold: a card that ran out can be renewed, and a key that was taken nobody may be able to wrap again.
pub async fn holder(exchange: &Exchange, tx: &mut Tx, id: &MemberId) -> Result<Option<MemberFacts>> {
    let row = members::find(tx, id).await?.filter(|row| row.is_active);
    Ok(row.map(|row| member_facts(exchange, &row)))
}

/// The facts about those of these members whose key card is in force.
pub async fn members(
    exchange: &Exchange,
    tx: &mut Tx,
    ids: &[MemberId],
    now: Timestamp,
) -> Result<HashMap<MemberId, MemberFacts>> {
    let rows = members::some(tx, ids).await?;
    let in_force = rows.iter().filter(|row| row.is_in_force(now));
    Ok(in_force.map(|row| (row.member.clone(), member_facts(exchange, row))).collect())
}

/// The members among these whose statement about the proposal is set aside now, with the reason, by the given rule of
/// [`crate::policy::counts`].
pub async fn set_aside(
    exchange: &Exchange,
    tx: &mut Tx,
    proposal: &ProposalFacts,
    signers: &[MemberId],
    rule: fn(&ProposalFacts, &MemberId, Option<&MemberFacts>) -> Option<SetAside>,
) -> Result<BTreeMap<MemberId, SetAside>> {
    let rows = members::some(tx, signers).await?;
    let holders: HashMap<&MemberId, MemberFacts> =
        rows.iter().filter(|row| row.is_active).map(|row| (&row.member, member_facts(exchange, row))).collect();
    let aside = signers.iter().filter_map(|id| Some((id.clone(), rule(proposal, id, holders.get(id))?)));
    Ok(aside.collect())
}

/// The facts about a member without a key card in force: the name, and so the partner.
#[must_use]
pub fn bare_member(exchange: &Exchange, id: &MemberId) -> MemberFacts {
    let host = *id.partner() == exchange.host;
    MemberFacts { id: id.clone(), organisation: String::new(), roles: BTreeSet::new(), host }
}

/// A member's facts from its key card.
#[must_use]
pub fn member_facts(exchange: &Exchange, row: &MemberRow) -> MemberFacts {
    MemberFacts {
        id: row.member.clone(),
        organisation: row.organisation.clone(),
        roles: row.roles.clone(),
        host: *row.member.partner() == exchange.host,
    }
}

/// A program.
pub async fn program(tx: &mut Tx, id: ProgramId) -> Result<Option<ProgramState>> {
    Ok(programs::find(tx, id).await?.map(program_state))
}

/// A program's facts.
#[must_use]
pub fn program_state(row: ProgramRow) -> ProgramState {
    let facts = Arc::new(ProgramFacts { id: row.id, lead: row.lead.clone(), partners: row.partners.clone() });
    ProgramState { row, facts }
}

/// A call.
pub async fn call(tx: &mut Tx, id: CallId, now: Timestamp) -> Result<Option<CallState>> {
    let Some(row) = calls::find(tx, id).await? else { return Ok(None) };
    let damaged = || StoreError::Corrupt { place: "text_json".into(), expected: "the text of a call".into() };
    let program = program(tx, row.program).await?.ok_or_else(damaged)?;
    let wire_text: wire::call::CallText = serde_json::from_str(&row.text_json).map_err(|_| damaged())?;
    let text = wire_text.to_domain().map_err(|_| damaged())?;
    Ok(Some(call_state(row, program, wire_text, text, now)))
}

/// A call's phase and facts.
#[must_use]
pub fn call_state(
    row: CallRow,
    program: ProgramState,
    wire_text: wire::call::CallText,
    text: CallText,
    now: Timestamp,
) -> CallState {
    let acts = row.acts();
    let phase = text.schedule.phase(&acts, now);
    let facts = Arc::new(CallFacts {
        id: row.id,
        program: program.facts.clone(),
        // A draft that was cancelled is one still: nobody but its officers ever knew of it.
        draft: !acts.is_published,
        phase: if phase == Phase::Closed { Phase::Review } else { phase },
        opened: matches!(phase, Phase::Review | Phase::Closed),
        closed: phase == Phase::Closed,
        letters: text.letters,
        eligible: text.eligible.clone(),
        funders: text.funders.clone(),
        roles: CallFacts::roles_in_effect(&row.roles, &row.observers_in_parties),
    });
    CallState { row, program, wire_text, text, phase, facts }
}

/// Calls as they were read, each at one revision. All that is known of a call changes with its revision or with the time; a
/// program never changes.
#[derive(Debug, Default)]
pub struct KnownCalls(Remembered<CallId, (u64, Arc<CallState>), REMEMBERED>);

/// How many calls are remembered.
const REMEMBERED: usize = 2048;

/// These calls, at these revisions, read from the same snapshot.
pub async fn calls(
    exchange: &Exchange,
    tx: &mut Tx,
    wanted: &[(CallId, u64)],
    now: Timestamp,
) -> Result<BTreeMap<CallId, Arc<CallState>>> {
    let known: Vec<_> = wanted.iter().map(|(id, revision)| exchange.calls.0.get_at(id, revision)).collect();
    let mut found = BTreeMap::new();
    for ((id, revision), known) in wanted.iter().zip(known) {
        let call = match known {
            Some(known) if known.text.schedule.phase(&known.row.acts(), now) == known.phase => known,
            Some(known) => {
                let CallState { row, program, wire_text, text, .. } = (*known).clone();
                Arc::new(call_state(row, program, wire_text, text, now))
            }
            None => Arc::new(call(tx, *id, now).await?.ok_or(ServiceError::Hidden)?),
        };
        exchange.calls.0.insert(*id, (*revision, call.clone()));
        found.insert(*id, call);
    }
    Ok(found)
}

/// A proposal.
pub async fn proposal(tx: &mut Tx, id: ProposalId, now: Timestamp) -> Result<Option<ProposalState>> {
    let Some(row) = proposals::find(tx, id).await? else { return Ok(None) };
    let call = call(tx, row.call, now).await?.ok_or(ServiceError::Hidden)?;
    Ok(Some(proposal_state(row, Arc::new(call), now)))
}

/// A proposal's limits, status and facts.
#[must_use]
pub fn proposal_state(row: ProposalRow, call: Arc<CallState>, now: Timestamp) -> ProposalState {
    let parties: BTreeSet<_> = row.parties.keys().cloned().collect();
    let deadline_at = call.deadline_of(row.id, &parties);
    let limits = TimeLimits { deadline_at, grace_until: call.text.schedule.grace_end(deadline_at) };
    let versions =
        Versions { versions: row.versions.clone(), is_withdrawn: row.is_withdrawn, baseline: call.row.baseline };
    let status = versions.status(limits, now);
    let facts = ProposalFacts {
        id: row.id,
        call: call.facts.clone(),
        parties,
        party_members: row.parties.values().flatten().cloned().collect(),
        invited: row.invited.clone(),
        organisations: row.organisations(),
        topic: row.topic.clone(),
        status,
        conflicts: row.conflicts.clone(),
        assigned: row.assigned.clone(),
        declared_clear: row.clear.clone(),
        reviewed: row.reviewed.clone(),
        decided: row.is_decided,
        label: row.label.clone(),
    };
    ProposalState { row, call, limits, status, versions, facts }
}
