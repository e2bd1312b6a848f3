//! Programs: the agreements and forums that calls run under.

use super::{
    act::act,
    change_request::Change,
    list::{Everything, PathIds, StrictQuery},
    principal::Caller,
    state::Api,
};
use crate::{
    service::{Answer, Result, programs},
    wire::{
        directory::{CreateProgram, Program},
        page::Page,
    },
};
use axum::extract::State;

/// The programs that you may know of.
#[utoipa::path(get, path = "/v1/programs", tag = "programs", params(Everything),
    responses((status = 200, body = Page<Program>)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    StrictQuery(query): StrictQuery<Everything>,
) -> Result<Answer> {
    Ok(Answer::json(200, &programs::list(&api, &caller, query.cursor.as_deref(), query.limit()?).await?))
}

/// Creates a program.
#[utoipa::path(post, path = "/v1/programs", tag = "programs", request_body = CreateProgram,
    responses((status = 201, body = Program)))]
pub(super) async fn create(State(api): State<Api>, change: Change<CreateProgram>) -> Result<Answer> {
    act!(api, change.context, |context| programs::create(&api, context, &change.body))
}

/// One program.
#[utoipa::path(get, path = "/v1/programs/{program}", tag = "programs", responses((status = 200, body = Program)))]
pub(super) async fn show(State(api): State<Api>, caller: Caller, ids: PathIds) -> Result<Answer> {
    Ok(Answer::json(200, &programs::show(&api, &caller, ids.id("program")?).await?))
}
