//! Declarations of interest, assignments and sealed reviews.

use super::{
    act::act,
    change_request::{Change, EmptyChange, LoggedRead},
    list::{Everything, PathIds, StrictQuery},
    principal::Caller,
    state::Api,
};
use crate::{
    service::{Answer, Result, assignments, declines, reviews},
    wire::{
        call::Reason,
        page::Page,
        policy::Preview,
        review::{Assignment, Declaration, DeclareConflict, DeclineAssignment, LiftConflict, Review, SubmitReview},
    },
};
use axum::extract::State;

/// Declares whether you have a conflict of interest with the proposal.
///
/// With a conflict declared you lose every key to it, and after the answer you may no longer know of it.
#[utoipa::path(put, path = "/v1/proposals/{proposal}/declaration", tag = "reviews", request_body = DeclareConflict,
    responses((status = 204)))]
pub(super) async fn declare(State(api): State<Api>, ids: PathIds, change: Change<DeclareConflict>) -> Result<Answer> {
    act!(api, change.context, |context| reviews::declare(&api, context, ids.id("proposal")?, &change.body))
}

/// Takes a member's declaration of conflict off the record; the member declares again. For officers.
#[utoipa::path(post, path = "/v1/proposals/{proposal}/declarations/{member}/lift", tag = "reviews",
    request_body = LiftConflict, responses((status = 204)))]
pub(super) async fn lift(State(api): State<Api>, ids: PathIds, change: Change<LiftConflict>) -> Result<Answer> {
    act!(api, change.context, |context| reviews::lift(
        &api,
        context,
        ids.id("proposal")?,
        &ids.id("member")?,
        &change.body
    ))
}

/// What was stated about interests in the proposal, each member's in its order; for members who are not officers about themselves.
#[utoipa::path(get, path = "/v1/proposals/{proposal}/declarations", tag = "reviews", params(Everything),
    responses((status = 200, body = Page<Declaration>)))]
pub(super) async fn declarations(
    State(api): State<Api>,
    caller: Caller,
    ids: PathIds,
    StrictQuery(query): StrictQuery<Everything>,
) -> Result<Answer> {
    let (cursor, limit) = (query.cursor.as_deref(), query.limit()?);
    Ok(Answer::json(200, &reviews::declarations(&api, &caller, ids.id("proposal")?, cursor, limit).await?))
}

/// Who is assigned to review the proposal, and who declined; for a reviewer the own assignment.
#[utoipa::path(get, path = "/v1/proposals/{proposal}/assignments", tag = "reviews", params(Everything),
    responses((status = 200, body = Page<Assignment>)))]
pub(super) async fn assignments(
    State(api): State<Api>,
    caller: Caller,
    ids: PathIds,
    StrictQuery(query): StrictQuery<Everything>,
) -> Result<Answer> {
    let (cursor, limit) = (query.cursor.as_deref(), query.limit()?);
    Ok(Answer::json(200, &assignments::assignments(&api, &caller, ids.id("proposal")?, cursor, limit).await?))
}

/// Takes an assignment back; the reviewer's keys go too. For officers who have declared to be free of conflict.
#[utoipa::path(delete, path = "/v1/proposals/{proposal}/assignments/{member}", tag = "reviews",
    responses((status = 204)))]
pub(super) async fn unassign(
    State(api): State<Api>,
    ids: PathIds,
    EmptyChange(context): EmptyChange,
) -> Result<Answer> {
    act!(api, context, |context| assignments::unassign(&api, context, ids.id("proposal")?, &ids.id("member")?))
}

/// What taking an assignment back would change: what the reviewer would lose access to, and whether they have fetched it. Refuses what
/// the change itself would be refused for.
#[utoipa::path(get, path = "/v1/proposals/{proposal}/assignments/{member}/preview", tag = "reviews",
    responses((status = 200, body = Preview)))]
pub(super) async fn preview_unassignment(State(api): State<Api>, caller: Caller, ids: PathIds) -> Result<Answer> {
    let (proposal, member) = (ids.id("proposal")?, ids.id("member")?);
    Ok(Answer::json(200, &assignments::preview_unassignment(&api, &caller, proposal, &member).await?))
}

/// Declines your own assignment. It is no conflict of interest, and does not count against you; your keys go.
///
/// The call's officers are told. Until they assign somebody else you can take it back.
#[utoipa::path(post, path = "/v1/proposals/{proposal}/assignment/decline", tag = "reviews",
    request_body = DeclineAssignment, responses((status = 204)))]
pub(super) async fn decline(State(api): State<Api>, ids: PathIds, change: Change<DeclineAssignment>) -> Result<Answer> {
    act!(api, change.context, |context| declines::decline(&api, context, ids.id("proposal")?, &change.body))
}

/// Takes back that you declined your assignment, until somebody else was assigned.
#[utoipa::path(post, path = "/v1/proposals/{proposal}/assignment/resume", tag = "reviews",
    responses((status = 204)))]
pub(super) async fn resume(State(api): State<Api>, ids: PathIds, EmptyChange(context): EmptyChange) -> Result<Answer> {
    act!(api, context, |context| declines::resume(&api, context, ids.id("proposal")?))
}

/// The reviews of the proposal, without their ciphertext: all once yours is in, only yours before.
#[utoipa::path(get, path = "/v1/proposals/{proposal}/reviews", tag = "reviews", params(Everything),
    responses((status = 200, body = Page<Review>)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    ids: PathIds,
    StrictQuery(query): StrictQuery<Everything>,
) -> Result<Answer> {
    let (cursor, limit) = (query.cursor.as_deref(), query.limit()?);
    Ok(Answer::json(200, &reviews::list(&api, &caller, ids.id("proposal")?, cursor, limit).await?))
}

/// Hands in a sealed review of the standing version.
#[utoipa::path(post, path = "/v1/proposals/{proposal}/reviews", tag = "reviews", request_body = SubmitReview,
    responses((status = 201, body = Review)))]
pub(super) async fn submit(State(api): State<Api>, ids: PathIds, change: Change<SubmitReview>) -> Result<Answer> {
    act!(api, change.context, |context| reviews::submit(&api, context, ids.id("proposal")?, &change.body))
}

/// One sealed review with its ciphertext.
///
/// Leaves an entry in the log.
#[utoipa::path(get, path = "/v1/reviews/{review}", tag = "reviews", responses((status = 200, body = Review)))]
pub(super) async fn fetch(State(api): State<Api>, LoggedRead(context): LoggedRead, ids: PathIds) -> Result<Answer> {
    Ok(Answer::json(200, &act!(api, context, |context| reviews::fetch(&api, context, ids.id("review")?))?))
}

/// Reopens a review so that its reviewer can hand in a new revision. For officers who have declared to be free of conflict.
#[utoipa::path(post, path = "/v1/reviews/{review}/reopen", tag = "reviews", request_body = Reason,
    responses((status = 204)))]
pub(super) async fn reopen(State(api): State<Api>, ids: PathIds, change: Change<Reason>) -> Result<Answer> {
    act!(api, change.context, |context| reviews::reopen(&api, context, ids.id("review")?, &change.body.reason))
}

/// Takes a reopening back, with a reason: the review counts again, unless its reviewer has handed in another revision since. For the
/// officers who may reopen it.
#[utoipa::path(post, path = "/v1/reviews/{review}/reinstate", tag = "reviews", request_body = Reason,
    responses((status = 204)))]
pub(super) async fn reinstate(State(api): State<Api>, ids: PathIds, change: Change<Reason>) -> Result<Answer> {
    act!(api, change.context, |context| reviews::reinstate(&api, context, ids.id("review")?, &change.body.reason))
}
