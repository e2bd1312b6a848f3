//! What waits: for the caller, and, for a nation's relay, how much for each of its members.

use super::{
    list::{Everything, StrictQuery},
    principal::Caller,
    state::Api,
};
use crate::{
    service::{Answer, Result, inbox},
    wire::{
        inbox::{Inbox, Waiting},
        page::Page,
    },
};
use axum::extract::State;

/// What waits for you: to declare, to read, to review, to sign, to hand in, to pass on. What is due first comes first.
///
/// Computed when it is asked for, by the policies that decide on each act: an item is there while you may do what it asks for. At most 500,
/// and 100 of a kind; `more` says that more waits.
#[utoipa::path(get, path = "/v1/inbox", tag = "directory", responses((status = 200, body = Inbox)))]
pub(super) async fn show(State(api): State<Api>, caller: Caller) -> Result<Answer> {
    Ok(Answer::json(200, &inbox::list(&api, &caller).await?))
}

/// How much waits for each member of your nation, and when the next of it is due; for its relay.
///
/// At most 20 members a page, in the order of their names.
#[utoipa::path(get, path = "/v1/waiting", tag = "directory", params(Everything),
    responses((status = 200, body = Page<Waiting>)))]
pub(super) async fn waiting(
    State(api): State<Api>,
    caller: Caller,
    StrictQuery(query): StrictQuery<Everything>,
) -> Result<Answer> {
    Ok(Answer::json(200, &inbox::waiting(&api, &caller, query.cursor.as_deref(), query.limit()?).await?))
}
