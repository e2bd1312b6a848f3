//! Decisions that every funding partner signs, and sealed letters about them.

use super::{
    act::act,
    change_request::{Change, EmptyChange, LoggedRead},
    list::{Everything, PathIds, StrictQuery},
    principal::Caller,
    state::Api,
};
use crate::{
    service::{Answer, Result, decisions},
    wire::{
        decision::{Decision, Letter, SendLetter, SignDecision},
        page::Page,
    },
};
use axum::extract::State;

/// The decision that is proposed or final; for the parties once it is final.
#[utoipa::path(get, path = "/v1/proposals/{proposal}/decision", tag = "decisions",
    params(("If-None-Match" = Option<String>, Header, description = "`ETag` of the state that you have.")),
    responses((status = 200, body = Decision, headers(("ETag" = String))),
        (status = 304, description = "You have it.")))]
pub(super) async fn show(State(api): State<Api>, caller: Caller, ids: PathIds) -> Result<Answer> {
    let (decision, etag) = decisions::show(&api, &caller, ids.id("proposal")?).await?;
    Ok(Answer::json(200, &decision).with_etag(etag))
}

/// Proposes a decision, or adds your partner's signature to the proposed one.
///
/// `If-Match` with `"none"` says that none is proposed yet.
#[utoipa::path(put, path = "/v1/proposals/{proposal}/decision", tag = "decisions",
    params(("If-Match" = Option<String>, Header)), request_body = SignDecision,
    responses((status = 200, body = Decision, headers(("ETag" = String)))))]
pub(super) async fn sign(State(api): State<Api>, ids: PathIds, change: Change<SignDecision>) -> Result<Answer> {
    act!(api, change.context, |context| decisions::sign(&api, context, ids.id("proposal")?, &change.body))
}

/// Takes your partner's signature back, until the last funding partner has signed.
#[utoipa::path(delete, path = "/v1/proposals/{proposal}/decision", tag = "decisions",
    params(("If-Match" = Option<String>, Header)), responses((status = 204)))]
pub(super) async fn unsign(State(api): State<Api>, ids: PathIds, EmptyChange(context): EmptyChange) -> Result<Answer> {
    act!(api, context, |context| decisions::unsign(&api, context, ids.id("proposal")?))
}

/// The letters that stand, without their ciphertext.
#[utoipa::path(get, path = "/v1/proposals/{proposal}/letters", tag = "decisions", params(Everything),
    responses((status = 200, body = Page<Letter>)))]
pub(super) async fn list_letters(
    State(api): State<Api>,
    caller: Caller,
    ids: PathIds,
    StrictQuery(query): StrictQuery<Everything>,
) -> Result<Answer> {
    let (cursor, limit) = (query.cursor.as_deref(), query.limit()?);
    Ok(Answer::json(200, &decisions::list_letters(&api, &caller, ids.id("proposal")?, cursor, limit).await?))
}

/// Sends the parties a sealed letter about a final decision.
#[utoipa::path(post, path = "/v1/proposals/{proposal}/letters", tag = "decisions", request_body = SendLetter,
    responses((status = 201, body = Letter)))]
pub(super) async fn send_letter(State(api): State<Api>, ids: PathIds, change: Change<SendLetter>) -> Result<Answer> {
    act!(api, change.context, |context| decisions::send_letter(&api, context, ids.id("proposal")?, &change.body))
}

/// One sealed letter with its ciphertext.
///
/// Leaves an entry in the log.
#[utoipa::path(get, path = "/v1/proposals/{proposal}/letters/{letter}", tag = "decisions",
    responses((status = 200, body = Letter)))]
pub(super) async fn fetch_letter(
    State(api): State<Api>,
    LoggedRead(context): LoggedRead,
    ids: PathIds,
) -> Result<Answer> {
    Ok(Answer::json(
        200,
        &act!(api, context, |context| decisions::fetch_letter(&api, context, ids.id("proposal")?, ids.id("letter")?))?,
    ))
}

/// Takes a letter back.
#[utoipa::path(delete, path = "/v1/proposals/{proposal}/letters/{letter}", tag = "decisions",
    responses((status = 204)))]
pub(super) async fn withdraw_letter(
    State(api): State<Api>,
    ids: PathIds,
    EmptyChange(context): EmptyChange,
) -> Result<Answer> {
    act!(api, context, |context| decisions::withdraw_letter(&api, context, ids.id("proposal")?, ids.id("letter")?))
}
