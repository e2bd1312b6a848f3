//! Rules about a call that follow from any of its proposals, also from those that the caller may not know of.
//!
//! Each is one statement, because an act that runs it holds up all others, and a call has thousands of proposals.

use super::{Result, lists, state::CallState};
use crate::{
    domain::{Refusal, id::MemberId},
    policy::{
        Predicate,
        predicate::{Atom, RowFact},
    },
    storage::{
        Tx,
        visible::{Tie, is_tied},
    },
};
use jiff::Timestamp;

/// An officer with a declared conflict leaves roles and the end of the call to others: through either they could reach what
/// they are recused from. Nothing is left to reach of what is gone for good: as long as the call is sealed, officers can give more time
/// to the parties of what is withdrawn or has lapsed. A call that was cancelled before its opening gives it with the reopening,
/// whenever that is.
pub(super) async fn refuse_recused(tx: &mut Tx, call: &CallState, me: &MemberId, now: Timestamp) -> Result<()> {
    let sealed_until = call.text.schedule.sealed_until(&call.row.extensions);
    let comes_back = call.row.cancelled_at.unwrap_or(now) <= sealed_until;
    let is_left = if comes_back { true.into() } else { lists::is_alive(call, now) };
    if is_tied(tx, call.row.id, me, Tie::Conflict, &is_left).await? {
        let fault = "has declared a conflict under this call; another officer does this".to_owned();
        return Err(Refusal::Unsuitable { member: me.clone(), fault }.into());
    }
    Ok(())
}

/// Whether the member is or was party to a proposal that is alive: one who wrote it and left does not judge it. One that was withdrawn or
/// has lapsed keeps nobody from a role.
pub(super) async fn is_party(tx: &mut Tx, call: &CallState, member: &MemberId, now: Timestamp) -> Result<bool> {
    Ok(is_tied(tx, call.row.id, member, Tie::Party, &lists::is_alive(call, now)).await?)
}

/// Whether a label leaves the member's nation out of a proposal that is alive and that every party has signed for: an officer holds the key
/// to the call's vault, and with it to every proposal under the call.
pub(super) async fn is_left_out(tx: &mut Tx, call: &CallState, member: &MemberId, now: Timestamp) -> Result<bool> {
    let signed = Predicate::from(Atom::Row(RowFact::CommittedSince(call.row.baseline.max(1))));
    let holds = Predicate::all([signed, lists::is_alive(call, now)]);
    Ok(is_tied(tx, call.row.id, member, Tie::LeftOut, &holds).await?)
}
