//! The log as a member may read it.

use super::{
    api::Api,
    list::{Ask, Everything},
    principal::Caller,
};
use crate::{
    service::{Answer, Result, entries},
    wire::{entry::Entry, page::Page},
};
use axum::extract::State;

/// The entries of the log that you may read, oldest first.
#[utoipa::path(get, path = "/v1/entries", tag = "log", params(Everything),
    responses((status = 200, body = Page<Entry>)))]
pub(super) async fn list(State(api): State<Api>, caller: Caller, Ask(query): Ask<Everything>) -> Result<Answer> {
    let after = query.after()?.unwrap_or_default();
    Ok(Answer::json(200, &entries::list(&api, &caller, after, query.limit()?).await?))
}
