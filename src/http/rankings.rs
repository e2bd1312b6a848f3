//! The ranking that officers send to those who decide, a sealed line for each proposal.

use super::{
    act::act,
    change_request::{Change, EmptyChange, LoggedRead},
    list::PathIds,
    state::Api,
};
use crate::{
    service::{Answer, Result, rankings},
    wire::review::{RankingLine, SendRanking},
};
use axum::extract::State;

/// The sealed line of the ranking about the proposal, with its ciphertext. For officers and deciders who have declared to be free of conflict.
///
/// Leaves an entry in the log.
#[utoipa::path(get, path = "/v1/proposals/{proposal}/ranking", tag = "reviews",
    responses((status = 200, body = RankingLine)))]
pub(super) async fn fetch_ranking(
    State(api): State<Api>,
    LoggedRead(context): LoggedRead,
    ids: PathIds,
) -> Result<Answer> {
    Ok(Answer::json(200, &act!(api, context, |context| rankings::fetch(&api, context, ids.id("proposal")?))?))
}

/// Sends those who decide the sealed line of the ranking about the proposal, in the place of an earlier one. For officers who have declared
/// to be free of conflict.
#[utoipa::path(put, path = "/v1/proposals/{proposal}/ranking", tag = "reviews", request_body = SendRanking,
    responses((status = 200, body = RankingLine)))]
pub(super) async fn send_ranking(State(api): State<Api>, ids: PathIds, change: Change<SendRanking>) -> Result<Answer> {
    act!(api, change.context, |context| rankings::send(&api, context, ids.id("proposal")?, &change.body))
}

/// Takes the line back; who opened it keeps what they read.
#[utoipa::path(delete, path = "/v1/proposals/{proposal}/ranking", tag = "reviews", responses((status = 204)))]
pub(super) async fn withdraw_ranking(
    State(api): State<Api>,
    ids: PathIds,
    EmptyChange(context): EmptyChange,
) -> Result<Answer> {
    act!(api, context, |context| rankings::withdraw(&api, context, ids.id("proposal")?))
}
