//! The panel of a call, proposal by proposal: who reviews what and where they stand, and who else could.
//!
//! It is for officers and says of each proposal no more than its own lists do: what an officer may not know of has no line. Whether somebody
//! could be assigned is asked of the same function as assigning itself, [`assignments::possible`].

use super::{
    Exchange, LONGEST_LOOK, Principal, Result,
    assignments::{self, declared, declined},
    cursors::SealedCursors,
    evaluation::{self, DECISION},
    state::{self, ProposalState},
    unit::View,
};
use crate::{
    domain::{
        entry::EntryKind,
        id::{CallId, MemberId, PartnerCode, ProposalId, Sha256},
        member::CallRole,
        proposal::{Sort, Status},
    },
    policy::{
        Action, Engine, Resource, Standing, counts,
        facts::{MemberFacts, ProposalFacts},
    },
    storage::{
        decisions, entries, members,
        reviews::{self, AssignmentRow},
        vaults,
        visible::PageRequest,
    },
    wire::{
        page::{MAX_PAGE, Page},
        proposal::Filter,
        review::{Assignment, CandidateRefusal, PanelCandidate, PanelLine},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// How many candidates one page examines.
const CANDIDATES: usize = 1_000;

/// A page of the call's submitted proposals that the caller may know of, each with its panel; with who else could review it, if that is
/// asked for.
pub async fn list(
    exchange: &Exchange,
    principal: &Principal,
    id: CallId,
    with_candidates: bool,
    (cursor, limit): (Option<&str>, u32),
) -> Result<Page<PanelLine>> {
    let authorized = async || -> Result<_> {
        let mut view = View::open(exchange, principal).await?;
        let call = view.call(id).await?;
        view.authorize(Action::ViewProgress, Resource::Call(&call.facts))?;
        Ok((view, call))
    };
    drop(authorized().await?);
    let turn = exchange.long_work.scan(principal).await?;
    let (mut view, call) = authorized().await?;
    view.tx.hold(turn, LONGEST_LOOK).await?;
    let reviewers: Vec<MemberId> =
        if with_candidates { call.facts.with(CallRole::Reviewer).iter().cloned().collect() } else { Vec::new() };
    let most = (CANDIDATES / reviewers.len().max(1)).clamp(1, MAX_PAGE as usize);
    let limit = limit.min(u32::try_from(most).unwrap_or(MAX_PAGE));
    let cursors = SealedCursors::of(exchange, "panel", &principal.member).within("call", &id);
    let cursors = cursors.within("candidates", &with_candidates);
    let filter = Filter { call: Some(id), status: Some(Status::Submitted), ..Filter::default() };
    let page = PageRequest { sort: Sort::Created, after: cursors.open(cursor)?, limit };
    let (states, next) = view.proposals(&filter, page).await?;
    let judged = judged(&mut view, states, reviewers).await?;
    let items = described(&mut view, judged).await?;
    Ok(Page { items, next: next.map(|position| cursors.seal(position)) })
}

/// Those of the proposals of which the caller may know who judges them, with who else could.
async fn judged(
    view: &mut View<'_>,
    states: Vec<ProposalState>,
    reviewers: Vec<MemberId>,
) -> Result<Vec<(ProposalState, Vec<PanelCandidate>)>> {
    let facts = Arc::new(state::members(view.exchange, &mut view.tx, &reviewers, view.now).await?);
    let each = 1 + 2 * reviewers.len();
    let (policies, me, reviewers) = (Arc::clone(&view.policies), Arc::new(view.me.clone()), Arc::new(reviewers));
    let decide = move |some: Vec<ProposalState>| -> Vec<(ProposalState, Vec<PanelCandidate>)> {
        let sees = |state: &ProposalState| {
            let resource = Resource::Proposal(&state.facts);
            policies.explain(&me, Action::ViewOfficerLog, resource).standing == Standing::Permitted
        };
        let with_candidates = |state: ProposalState| {
            let candidates = reviewers.iter().map(|reviewer| candidate(&policies, &me, &state, reviewer, &facts));
            let candidates = candidates.collect();
            (state, candidates)
        };
        some.into_iter().filter(sees).map(with_candidates).collect()
    };
    evaluation::decided(view.exchange, &view.asker, states, |some| some.len() * each * DECISION, decide).await
}

fn candidate(
    policies: &Engine,
    me: &MemberFacts,
    proposal: &ProposalState,
    reviewer: &MemberId,
    facts: &HashMap<MemberId, MemberFacts>,
) -> PanelCandidate {
    let subject = facts.get(reviewer);
    let refused = assignments::possible(policies, me, proposal, (reviewer, subject)).err();
    // Where it cannot be said why, it is no yes.
    let refusal = refused.map(|error| match assignments::fault(1, error) {
        Ok(fault) => CandidateRefusal { problem: fault.problem, detail: fault.detail },
        Err(_) => CandidateRefusal { problem: "internal".into(), detail: "it could not be decided".into() },
    });
    PanelCandidate {
        reviewer: reviewer.clone(),
        conflict: declared(proposal, reviewer),
        same_organisation: subject.is_some_and(|facts| counts::works_at_one_of(facts, &proposal.facts.organisations)),
        refusal,
    }
}

/// The lines of these proposals, from what is on record of their panels.
async fn described(view: &mut View<'_>, judged: Vec<(ProposalState, Vec<PanelCandidate>)>) -> Result<Vec<PanelLine>> {
    let ids: Vec<ProposalId> = judged.iter().map(|(state, _)| state.row.id).collect();
    let mut rows: HashMap<ProposalId, Vec<AssignmentRow>> = HashMap::new();
    for (proposal, row) in reviews::assignments_among(&mut view.tx, &ids).await? {
        rows.entry(proposal).or_default().push(row);
    }
    let with_key = vaults::panel_holders_among(&mut view.tx, &ids).await?;
    let deliberating = vaults::with_deliberation_among(&mut view.tx, &ids).await?;
    let mut signatures: HashMap<ProposalId, BTreeSet<PartnerCode>> = HashMap::new();
    for (proposal, partner) in decisions::pending_signatures_among(&mut view.tx, &ids).await? {
        signatures.entry(proposal).or_default().insert(partner);
    }
    let last = entries::last_among(&mut view.tx, &ids, &leaving_judging()).await?;
    let named: BTreeSet<MemberId> = rows.values().flatten().map(|row| row.reviewer.clone()).collect();
    let cards = members::some(&mut view.tx, &named.into_iter().collect::<Vec<_>>()).await?;
    let holders: BTreeMap<MemberId, MemberFacts> = cards
        .iter()
        .filter(|row| row.is_active)
        .map(|row| (row.member.clone(), state::member_facts(view.exchange, row)))
        .collect();
    let mut line = |(state, candidates): (ProposalState, Vec<PanelCandidate>)| {
        let rows = rows.remove(&state.row.id).unwrap_or_default();
        let has_key = |row: &AssignmentRow| with_key.contains(&(state.row.id, row.reviewer.to_string()));
        PanelLine {
            proposal: state.row.id,
            reference: state.reference(),
            topic: state.row.topic.clone(),
            parties: state.facts.parties.clone(),
            clear: judges_clear(&state.facts),
            with_key: rows.iter().filter(|row| has_key(row)).map(|row| row.reviewer.clone()).collect(),
            has_deliberation: deliberating.contains(&state.row.id),
            signed_by: signatures.remove(&state.row.id).unwrap_or_default(),
            decided: state.row.outcome.filter(|_| state.row.is_decided),
            state_sha256: Some(state_digest(state.row.id, last.get(&state.row.id).copied())),
            assignments: rows.into_iter().map(|row| assignment(&state, row, &holders)).collect(),
            candidates,
        }
    };
    Ok(judged.into_iter().map(&mut line).collect())
}

/// Of the last entry that changed something about judging a proposal.
fn state_digest(proposal: ProposalId, last: Option<u64>) -> Sha256 {
    Sha256::of(format!("{proposal} {}", last.unwrap_or(0)).as_bytes())
}

fn leaving_judging() -> Vec<EntryKind> {
    EntryKind::ALL.iter().copied().filter(|kind| kind.leaves_judging()).collect()
}

/// The officers and deciders who declared to have no conflict.
fn judges_clear(proposal: &ProposalFacts) -> BTreeSet<MemberId> {
    let judges = |member: &&MemberId| {
        [CallRole::Officer, CallRole::Decider].iter().any(|role| proposal.call.has_role(member, *role))
    };
    proposal.declared_clear.iter().filter(judges).cloned().collect()
}

/// An assignment as it travels here: without its statement, which the list of the proposal's own has.
fn assignment(state: &ProposalState, row: AssignmentRow, holders: &BTreeMap<MemberId, MemberFacts>) -> Assignment {
    let holder = holders.get(&row.reviewer);
    let aside = counts::review_set_aside(&state.facts, &row.reviewer, holder);
    let reopened = state.row.reopened.get(&row.reviewer);
    Assignment {
        proposal: state.row.id,
        reference: state.reference(),
        set_aside: aside.filter(|_| row.declined.is_none()),
        conflict: declared(state, &row.reviewer),
        has_reviewed: state.facts.reviewed.contains(&row.reviewer),
        reopened_at: reopened.map(|reopening| reopening.at.into()),
        reopened_by: reopened.and_then(|reopening| reopening.by.clone()),
        assigned_at: row.assigned_at.into(),
        assigned_by: row.assigned_by,
        statement: None,
        handed_in_at: row.handed_in_at.map(Into::into),
        declined: row.declined.map(declined),
        reviewer: row.reviewer,
    }
}
