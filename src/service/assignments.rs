//! Assignments: reviewers to proposals, many in one request and every line or none; taking one back; who is assigned, and who declined.
//!
//! Others wait while lines are written. So one request has at most [`Assign::MOST`] of them. Their signatures are verified before its turn
//! comes, their proposals and members are read at once, and they are written together. A dry run takes no turn at all.

use super::{
    Answer, Exchange, LONGEST_LOOK, Principal, RequestContext, Result, ServiceError, aside,
    comparison::Comparison,
    cursors::SealedCursors,
    preview,
    reviews::need_review,
    state::{self, CallState, ProposalState},
    stepwise::{STEP, StepwisePage},
    surplus_keys,
    unit::{self, Act, Reads, Rehearsal, Subject, View},
    verified::Verified,
};
use crate::{
    domain::{
        Refusal,
        id::{CallId, MemberId, ProposalId},
    },
    policy::{Action, Engine, Permit, Resource, counts, facts::MemberFacts},
    sealing::statement::AssignmentStatement,
    storage::{
        Tx,
        proposals::{self, ProposalRow},
        reviews::{self, AssignmentRow, DeclinedRow, NewAssignment},
    },
    wire::{
        entry::payloads::{ReviewerAssigned, ReviewerUnassigned},
        page::Page,
        policy::{Preview, PreviewedChange},
        problem::{Kind, LineFault, Problem},
        review::{Assign, Assigned, Assignment, DeclinedAssignment, Pair},
    },
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};
use tokio::task::yield_now;

/// Assigns reviewers to proposals of a call: every line or none.
pub async fn assign(exchange: &Exchange, context: &RequestContext, call: CallId, body: &Assign) -> Result<Answer> {
    let mut first = Rehearsal::rehearse(exchange, context).await?;
    call_to_assign(&mut first, call).await?;
    if body.dry_run {
        check_count(body)?;
        drop(first);
        let turn = exchange.long_work.scan(&context.principal).await?;
        let mut look = Rehearsal::rehearse(exchange, context).await?;
        look.tx.hold(turn, LONGEST_LOOK).await?;
        let state = call_to_assign(&mut look, call).await?;
        return foresee(look, state, body).await;
    }
    if let Some(answer) = first.replayed()? {
        return Ok(answer);
    }
    check_count(body)?;
    drop(first);
    let verified = verify(body).await?;
    let mut act = Act::begin(exchange, context).await?;
    // Everything again: others acted meanwhile.
    let call = call_to_assign(&mut act, call).await?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let mut lines = Lines::of(&mut act, call, body).await?;
    let (mut faults, mut checked) = (Vec::new(), Vec::with_capacity(body.assignments.len()));
    for ((line, pair), verified) in (1..).zip(&body.assignments).zip(verified) {
        match check_one(&mut act, &mut lines, pair, verified).await {
            Ok(one) => checked.push((pair, one)),
            Err(error) => faults.push(fault(line, error)?),
        }
    }
    if !faults.is_empty() {
        return Err(ServiceError::Lines(faults));
    }
    write(&mut act, checked).await?;
    act.finish(Answer::json(200, &assigned(body, faults, Vec::new()))).await
}

/// Reports what assigning would do, and for each refused line the reason.
async fn foresee(mut act: Rehearsal<'_>, call: CallState, body: &Assign) -> Result<Answer> {
    let mut comparison = Comparison::new(act.exchange, &act.me.id, act.policies.clone(), act.policies.clone(), act.now);
    let (mut faults, mut changes) = (Vec::new(), Vec::new());
    let mut lines = Lines::of(&mut act, call, body).await?;
    for (line, pair) in (1..).zip(&body.assignments) {
        match lines.judge(&act, pair) {
            Ok(PossibleLine { before, then, .. }) => {
                comparison.add_one(&mut act.tx, (&before, &then), &pair.reviewer, &mut changes).await?;
                lines.record(then);
            }
            Err(error) => faults.push(fault(line, error)?),
        }
        // Decisions are work: others are let on between two lines.
        yield_now().await;
    }
    preview::note(&mut act.tx, &mut changes).await?;
    Ok(Answer::json(200, &assigned(body, faults, changes)))
}

fn assigned(body: &Assign, faults: Vec<LineFault>, changes: Vec<PreviewedChange>) -> Assigned {
    let accepted = u32::try_from(body.assignments.len() - faults.len()).expect("there are no more than `Assign::MOST`");
    Assigned { dry_run: body.dry_run, accepted, faults, changes }
}

/// A call whose officer the caller is.
async fn call_to_assign<T: Reads>(act: &mut Act<'_, T>, id: CallId) -> Result<CallState> {
    let call = act.call(id).await?;
    act.authorize(Action::ViewProgress, Resource::Call(&call.facts))?;
    Ok(call)
}

fn check_count(body: &Assign) -> Result<()> {
    let most = Assign::MOST;
    if (1..=most).contains(&body.assignments.len()) {
        return Ok(());
    }
    Err(ServiceError::Malformed(format!("1 to {most} assignments at a time; send more of them in several requests")))
}

/// Verifies the signatures, off the threads that serve others; nothing for a line without one.
async fn verify(body: &Assign) -> Result<Vec<Option<Verified<AssignmentStatement>>>> {
    let statements: Vec<Option<String>> = body.assignments.iter().map(|pair| pair.statement.clone()).collect();
    let verify = move || statements.iter().map(|jws| jws.as_deref().map(Verified::look)).collect();
    aside(verify).await
}

/// Why a line is refused. An error that is not about the line is one of the whole request.
pub(super) fn fault(line: u32, error: ServiceError) -> Result<LineFault> {
    let problem = match error {
        ServiceError::Hidden => Problem::not_found(),
        ServiceError::Denied(detail) => Problem::new(Kind::Denied, detail),
        ServiceError::Refused(refusal) => Problem::from(&refusal),
        error => return Err(error),
    };
    Ok(LineFault { line, problem: problem.slug().to_owned(), detail: problem.detail })
}

/// The proposals and members that the lines of one request name, read at once, with the assignments of earlier lines.
struct Lines {
    call: Arc<CallState>,
    /// Those of the call, whether the caller may know of them or not.
    rows: HashMap<ProposalId, ProposalRow>,
    /// Those that the caller may know of.
    proposals: HashMap<ProposalId, ProposalState>,
    members: HashMap<MemberId, MemberFacts>,
}

/// A line that can be done: the proposal before and after it.
struct PossibleLine {
    permit: Permit,
    before: ProposalState,
    then: ProposalState,
}

/// A line that will be done, and what was signed for it.
struct SignedLine {
    permit: Permit,
    subject: Subject,
    statement: String,
}

impl Lines {
    async fn of<T: Reads>(act: &mut Act<'_, T>, call: CallState, body: &Assign) -> Result<Self> {
        let named: BTreeSet<_> = body.assignments.iter().map(|pair| pair.proposal).collect();
        let rows = proposals::some(&mut act.tx, &named.into_iter().collect::<Vec<_>>()).await?;
        let rows = rows.into_iter().filter(|row| row.call == call.row.id).map(|row| (row.id, row)).collect();
        let named: BTreeSet<_> = body.assignments.iter().map(|pair| pair.reviewer.clone()).collect();
        let members = act.members(&named.into_iter().collect::<Vec<_>>()).await?;
        Ok(Self { call: Arc::new(call), rows, proposals: HashMap::new(), members })
    }

    /// Whether a line can be done, its statement aside.
    fn judge<T: Reads>(&mut self, act: &Act<'_, T>, pair: &Pair) -> Result<PossibleLine> {
        let before = self.proposal(act, pair.proposal)?.clone();
        let subject = self.members.get(&pair.reviewer);
        let judged = possible(&act.policies, &act.me, &before, (&pair.reviewer, subject));
        let (permit, then) = judged.map_err(|refused| act.unless_repeated(refused))?;
        Ok(PossibleLine { permit, before, then })
    }

    /// Notes what a line makes of its proposal, for those after it.
    fn record(&mut self, then: ProposalState) {
        self.proposals.insert(then.row.id, then);
    }

    /// A proposal of the call that the caller may know of.
    fn proposal<T: Reads>(&mut self, act: &Act<'_, T>, id: ProposalId) -> Result<&ProposalState> {
        if !self.proposals.contains_key(&id) {
            let row = self.rows.get(&id).ok_or(ServiceError::Hidden)?;
            let proposal = state::proposal_state(row.clone(), Arc::clone(&self.call), act.now);
            act.authorize(Action::View, Resource::Proposal(&proposal.facts))?;
            self.proposals.insert(id, proposal);
        }
        Ok(&self.proposals[&id])
    }
}

/// Whether a member with these facts, by a key card in force, can be assigned to a proposal, and what the proposal would be then.
pub(super) fn possible(
    policies: &Engine,
    me: &MemberFacts,
    before: &ProposalState,
    (reviewer, facts): (&MemberId, Option<&MemberFacts>),
) -> Result<(Permit, ProposalState)> {
    let subject = facts.ok_or_else(|| Refusal::NoKeyCard { member: reviewer.clone() })?;
    let resource = Resource::ProposalMember { proposal: &before.facts, subject };
    let permit = unit::permit(policies, me, Action::Assign, resource)?;
    need_review(before)?;
    if before.facts.assigned.contains(reviewer) {
        return Err(Refusal::AlreadyAssigned { member: reviewer.clone() }.into());
    }
    // Judged as if assigned already: some nations release to assigned reviewers only.
    let then = with_assigned(before, |assigned| assigned.insert(reviewer.clone()));
    if !policies.visible(subject, Resource::Proposal(&then.facts)) {
        let fault =
            "would not see the proposal: the policy of an owner or of the reviewer's own nation says no".to_owned();
        return Err(Refusal::Unsuitable { member: reviewer.clone(), fault }.into());
    }
    Ok((permit, then))
}

/// Whether a line can be done, with its statement.
async fn check_one(
    act: &mut Act<'_>,
    lines: &mut Lines,
    pair: &Pair,
    verified: Option<Verified<AssignmentStatement>>,
) -> Result<SignedLine> {
    let PossibleLine { permit, before, then } = lines.judge(act, pair)?;
    let refuse = |fault: &str| ServiceError::from(Refusal::Statement { fault: fault.to_owned() });
    let verified = verified.ok_or_else(|| refuse("each line needs a statement of type `entente-assignment+jws`"))?;
    let signed = act.signed(verified).await?;
    let said = &signed.statement;
    if said.call != lines.call.row.id || said.proposal != pair.proposal || said.reviewer != pair.reviewer {
        return Err(refuse("it must say this call, proposal and reviewer"));
    }
    lines.record(then);
    Ok(SignedLine { permit, subject: Subject::proposal(&before), statement: signed.jws })
}

/// Makes the assignments of all lines.
async fn write(act: &mut Act<'_>, lines: Vec<(&Pair, SignedLine)>) -> Result<()> {
    let new: Vec<_> = lines
        .iter()
        .map(|(pair, line)| NewAssignment {
            permit: &line.permit,
            proposal: pair.proposal,
            reviewer: &pair.reviewer,
            statement: &line.statement,
        })
        .collect();
    reviews::assign(&mut act.tx, &new, act.now).await?;
    let entry = |(pair, line): (&Pair, SignedLine)| {
        let payload = ReviewerAssigned { reviewer: pair.reviewer.clone(), statement: line.statement };
        (line.subject, payload.into())
    };
    act.log_all(lines.into_iter().map(entry).collect()).await
}

/// The proposal as it would be with other assignments.
pub(super) fn with_assigned(
    proposal: &ProposalState,
    change: impl Fn(&mut BTreeSet<MemberId>) -> bool,
) -> ProposalState {
    let mut then = proposal.clone();
    change(&mut then.row.assigned);
    change(&mut then.facts.assigned);
    then
}

/// Takes an assignment back; the reviewer's keys go too.
pub async fn unassign(
    exchange: &Exchange,
    context: &RequestContext,
    id: ProposalId,
    reviewer: &MemberId,
) -> Result<Answer> {
    let mut act = Act::begin(exchange, context).await?;
    let proposal = act.proposal(id).await?;
    let permit = act.authorize(Action::Unassign, Resource::Proposal(&proposal.facts))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    check_unassignable(&mut act.tx, &proposal, reviewer).await?;
    reviews::unassign(&mut act.tx, &permit, id, reviewer).await?;
    act.log(Subject::proposal(&proposal), ReviewerUnassigned { reviewer: reviewer.clone() }).await?;
    surplus_keys::remove_all_keys(&mut act, &permit, &proposal, reviewer).await?;
    act.finish(Answer::done()).await
}

/// Previews taking an assignment back. Refuses whatever [`unassign`] would.
pub async fn preview_unassignment(
    exchange: &Exchange,
    principal: &Principal,
    id: ProposalId,
    reviewer: &MemberId,
) -> Result<Preview> {
    let mut view = View::open(exchange, principal).await?;
    let proposal = state::proposal(&mut view.tx, id, view.now).await?.ok_or(ServiceError::Hidden)?;
    view.authorize(Action::Unassign, Resource::Proposal(&proposal.facts))?;
    check_unassignable(&mut view.tx, &proposal, reviewer).await?;
    let then = with_assigned(&proposal, |assigned| assigned.remove(reviewer));
    let mut comparison = Comparison::new(exchange, &view.me.id, view.policies.clone(), view.policies.clone(), view.now);
    let mut items = Vec::new();
    comparison.add_one(&mut view.tx, (&proposal, &then), reviewer, &mut items).await?;
    preview::note(&mut view.tx, &mut items).await?;
    Ok(Preview { considered: 1, items, needs_call_key: false, next: None })
}

/// Refuses to take back what is no assignment, or one whose review is in. One that was declined ends for good by it.
async fn check_unassignable(tx: &mut Tx, proposal: &ProposalState, reviewer: &MemberId) -> Result<()> {
    let is_assigned = proposal.facts.assigned.contains(reviewer);
    if !is_assigned && reviews::find_declined(tx, proposal.row.id, reviewer).await?.is_none() {
        return Err(Refusal::NotAssigned { member: reviewer.clone() }.into());
    }
    if proposal.facts.reviewed.contains(reviewer) {
        return Err(Refusal::AlreadyReviewed { member: reviewer.clone() }.into());
    }
    Ok(())
}

/// A page of who is assigned and where they stand: for officers all, for a reviewer the own line.
pub async fn assignments(
    exchange: &Exchange,
    principal: &Principal,
    id: ProposalId,
    cursor: Option<&str>,
    limit: u32,
) -> Result<Page<Assignment>> {
    let mut view = View::open(exchange, principal).await?;
    let proposal = view.proposal(id).await?;
    let sees_all = view.may(Action::ViewOfficerLog, Resource::Proposal(&proposal.facts));
    let me = view.me.id.clone();
    let is_named = proposal.facts.assigned.contains(&me)
        || reviews::find_declined(&mut view.tx, proposal.row.id, &me).await?.is_some();
    if !sees_all && !is_named {
        return Err(ServiceError::Denied("guardrails: only officers and assigned reviewers see assignments".into()));
    }
    let of = (!sees_all).then_some(&me);
    let cursors = SealedCursors::of(exchange, "assignments", &principal.member).within("proposal", &id);
    let mut page = StepwisePage::<MemberId, _>::new(limit, cursors, cursor)?;
    while page.is_open() {
        let rows = reviews::some_assignments(&mut view.tx, id, of, page.after(), STEP).await?;
        let reviewers: Vec<MemberId> = rows.iter().map(|row| row.reviewer.clone()).collect();
        let (facts, rule) = (&proposal.facts, counts::review_set_aside);
        let mut aside = state::set_aside(exchange, &mut view.tx, facts, &reviewers, rule).await?;
        aside.retain(|reviewer, _| facts.assigned.contains(reviewer));
        let item = |row: AssignmentRow| {
            let reopened = proposal.row.reopened.get(&row.reviewer);
            Assignment {
                proposal: id,
                reference: proposal.reference(),
                set_aside: aside.get(&row.reviewer).copied(),
                conflict: declared(&proposal, &row.reviewer),
                has_reviewed: facts.reviewed.contains(&row.reviewer),
                reopened_at: reopened.map(|reopening| reopening.at.into()),
                reopened_by: reopened.and_then(|reopening| reopening.by.clone()),
                assigned_at: row.assigned_at.into(),
                assigned_by: row.assigned_by,
                statement: row.statement,
                handed_in_at: row.handed_in_at.map(Into::into),
                declined: row.declined.map(declined),
                reviewer: row.reviewer,
            }
        };
        page.add(rows.into_iter().map(|row| (row.reviewer.clone(), item(row))).collect());
    }
    Ok(page.finish())
}

/// That a reviewer declined, as it travels.
pub(super) fn declined(row: DeclinedRow) -> DeclinedAssignment {
    DeclinedAssignment {
        declined_at: row.declined_at.into(),
        reason: row.reason,
        replaced_at: row.replaced_at.map(Into::into),
    }
}

/// Whether a member declared a conflict; none until they declare.
pub(super) fn declared(proposal: &ProposalState, member: &MemberId) -> Option<bool> {
    if proposal.facts.conflicts.contains(member) {
        Some(true)
    } else {
        proposal.facts.declared_clear.contains(member).then_some(false)
    }
}
