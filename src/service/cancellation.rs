//! The end of a call, and the way back.
//!
//! One officer of any nation cancels a call alone, so another one must be able to undo it whenever they learn of it. Reopening gives back
//! the time that was lost, as extensions: to cancel a call and reopen it closes it for nobody.

use super::{
    Answer, Exchange, RequestContext, Result,
    calls::{finish, need, required_reason},
    extensions, parties,
    ties::refuse_recused,
    unit::{Act, Subject},
};
use crate::{
    domain::{
        Refusal,
        call::{ExtensionScope, Moved, Phase},
        id::CallId,
    },
    policy::{Action, Resource},
    storage::{calls, proposals},
    wire::{
        call::Reason,
        entry::payloads::{CallClosed, Payload, ReasonStated},
    },
};
use jiff::SignedDuration;

/// How long a call that was closed and reopened stays open.
const REOPENED_FOR: SignedDuration = SignedDuration::from_hours(72);

/// Cancels a call before anything is decided.
pub async fn cancel(exchange: &Exchange, context: &RequestContext, id: CallId, body: &Reason) -> Result<Answer> {
    let mut act = Act::begin(exchange, context).await?;
    let call = act.call(id).await?;
    let permit = act.authorize(Action::CancelCall, Resource::Call(&call.facts))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    if matches!(call.phase, Phase::Cancelled | Phase::Closed) {
        return Err(Refusal::WrongPhase { phase: call.phase, needed: "a call that goes on" }.into());
    }
    refuse_recused(&mut act.tx, &call, &act.me.id, act.now).await?;
    if proposals::is_decided_under(&mut act.tx, id).await? {
        return Err(Refusal::DecisionFinal.into());
    }
    let reason = required_reason(Some(&body.reason))?;
    let now = act.now;
    calls::set_cancelled(&mut act.tx, &permit, id, Some(now)).await?;
    let payload = ReasonStated { reason: reason.to_owned() };
    act.log(Subject::call(&call), Payload::CallCancelled(payload)).await?;
    finish(act, id).await
}

/// Closes a call once everything under it is decided and answered. From then on it is read, and nothing else is done.
///
/// What keeps an officer from it is not named: they may not know of the proposal.
pub async fn close(exchange: &Exchange, context: &RequestContext, id: CallId) -> Result<Answer> {
    let mut act = Act::begin(exchange, context).await?;
    let call = act.call(id).await?;
    let permit = act.authorize(Action::CancelCall, Resource::Call(&call.facts))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    need(&call, &[Phase::Review], "a call under review")?;
    refuse_recused(&mut act.tx, &call, &act.me.id, act.now).await?;
    // What it was reopened for has that long: else one officer takes back at once what another one did.
    let until = call.row.reopened_at.map(|at| at + REOPENED_FOR);
    if let Some(until) = until.filter(|until| act.now < *until) {
        return Err(Refusal::ReopenedLately { until }.into());
    }
    if calls::is_unfinished(&mut act.tx, id).await? {
        return Err(Refusal::CallUnfinished.into());
    }
    let now = act.now;
    calls::close(&mut act.tx, &permit, id, now).await?;
    act.log(Subject::call(&call), CallClosed {}).await?;
    finish(act, id).await
}

/// Brings a cancelled or closed call back. Of a cancelled one it moves what parties and reviewers would be late for; of a closed one all
/// deadlines had passed.
///
/// The inverse of [`cancel`] and [`close`].
pub async fn reopen(exchange: &Exchange, context: &RequestContext, id: CallId, body: &Reason) -> Result<Answer> {
    let mut act = Act::begin(exchange, context).await?;
    let call = act.call(id).await?;
    let permit = act.authorize(Action::CancelCall, Resource::Call(&call.facts))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    need(&call, &[Phase::Cancelled, Phase::Closed], "a cancelled or closed call")?;
    // To reopen a closed call gives nobody time or access, and somebody must be able to, whatever they have declared since.
    if call.row.cancelled_at.is_some() {
        refuse_recused(&mut act.tx, &call, &act.me.id, act.now).await?;
    }
    let reason = required_reason(Some(&body.reason))?;
    let (now, subject) = (act.now, Subject::call(&call));
    let Some(cancelled_at) = call.row.cancelled_at else {
        calls::reopen_closed(&mut act.tx, &permit, id, now).await?;
        act.log(subject, Payload::CallReopened(ReasonStated { reason: reason.to_owned() })).await?;
        return finish(act, id).await;
    };
    calls::set_cancelled(&mut act.tx, &permit, id, None).await?;
    let payload = ReasonStated { reason: reason.to_owned() };
    act.log(subject, Payload::CallReopened(payload)).await?;
    if call.row.version == 0 {
        return finish(act, id).await;
    }
    let (schedule, on_record) = (&call.text.schedule, &call.row.extensions);
    let due = call.reviews_due_at();
    let deadline_at = schedule.deadline_after_cancellation(on_record, cancelled_at, now);
    let reviews_due_at = schedule.review_date_after_cancellation(on_record, due, deadline_at, cancelled_at, now);
    if let Some(until) = deadline_at {
        let moved = Moved::Deadline(ExtensionScope::Everyone);
        extensions::make(&mut act, &permit, subject, id, &moved, until, reason).await?;
        let call = act.call(id).await?;
        parties::follow_newest_employers(&mut act, &permit, &call, None).await?;
    }
    if let Some(until) = reviews_due_at {
        extensions::make(&mut act, &permit, subject, id, &Moved::Reviews, until, reason).await?;
    }
    finish(act, id).await
}
