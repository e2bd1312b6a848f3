//! Reviewers who decline an assignment: no time is no conflict of interest, and it counts against nobody.
//!
//! What was assigned is no assignment while it is declined: the keys go, and nothing waits for the reviewer. The officer's statement is kept
//! beside it, so that the reviewer can take it back until somebody else is assigned. Whether they may is judged as an officer's assigning is:
//! as if they were assigned.

use super::{
    Answer, Exchange, RequestContext, Result,
    assignments::with_assigned,
    reviews::need_review,
    surplus_keys,
    unit::{Act, Subject},
};
use crate::{
    domain::{Refusal, id::ProposalId},
    policy::{Action, Resource},
    storage::reviews,
    wire::{
        entry::payloads::{AssignmentDeclined, AssignmentResumed},
        review::DeclineAssignment,
    },
};

/// Declines the caller's own assignment; their keys go.
pub async fn decline(
    exchange: &Exchange,
    context: &RequestContext,
    id: ProposalId,
    body: &DeclineAssignment,
) -> Result<Answer> {
    let mut act = Act::begin(exchange, context).await?;
    let proposal = act.proposal(id).await?;
    let permit = act.authorize(Action::DeclineAssignment, Resource::Proposal(&proposal.facts))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    need_review(&proposal)?;
    let me = act.me.id.clone();
    if proposal.facts.reviewed.contains(&me) {
        return Err(Refusal::AlreadyReviewed { member: me }.into());
    }
    if proposal.row.is_decided {
        return Err(Refusal::DecisionFinal.into());
    }
    let now = act.now;
    reviews::decline(&mut act.tx, &permit, (proposal.row.call, id), body.reason, now).await?;
    let payload = AssignmentDeclined { reviewer: me.clone(), reason: body.reason };
    act.log(Subject::proposal(&proposal), payload).await?;
    surplus_keys::remove_all_keys(&mut act, &permit, &proposal, &me).await?;
    act.finish(Answer::done()).await
}

/// Takes back that the caller declined, until somebody else was assigned.
pub async fn resume(exchange: &Exchange, context: &RequestContext, id: ProposalId) -> Result<Answer> {
    let mut act = Act::begin(exchange, context).await?;
    let proposal = act.proposal(id).await?;
    let me = act.me.id.clone();
    let declined = reviews::find_declined(&mut act.tx, id, &me).await?;
    let then = match &declined {
        // Some nations release to assigned reviewers only: who declined knows of the proposal, and may not see it meanwhile.
        Some(_) => with_assigned(&proposal, |assigned| assigned.insert(me.clone())),
        None => proposal.clone(),
    };
    let permit = act.authorize(Action::ResumeAssignment, Resource::Proposal(&then.facts))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    need_review(&proposal)?;
    match declined {
        None => return Err(Refusal::AlreadyAssigned { member: me }.into()),
        Some(declined) if declined.replaced_at.is_some() => {
            return Err(Refusal::AssignmentReplaced { member: me }.into());
        }
        Some(_) if proposal.row.is_decided => return Err(Refusal::DecisionFinal.into()),
        Some(_) => {}
    }
    reviews::resume(&mut act.tx, &permit, id).await?;
    act.log(Subject::proposal(&proposal), AssignmentResumed { reviewer: me }).await?;
    act.finish(Answer::done()).await
}
