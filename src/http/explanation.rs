//! Who can see a proposal, and why.

use super::{
    list::{Everything, PathIds, StrictQuery, WhyQuery},
    principal::Caller,
    state::Api,
};
use crate::{
    policy::Action,
    service::{
        Answer, Result, ServiceError,
        explanation::{self, ExplainRequest},
    },
    wire::{
        explanation::{Explanation, Reader},
        page::Page,
    },
};
use axum::extract::State;

/// Why a member may or may not do something on a proposal: the outcome, what each side said by which policies, and what would
/// change it. Ask about yourself and, as a policy officer, about your nation's members and your nation's proposals.
#[utoipa::path(get, path = "/v1/proposals/{proposal}/explanation", tag = "policies", params(WhyQuery),
    responses((status = 200, body = Explanation)))]
pub(super) async fn explain(
    State(api): State<Api>,
    caller: Caller,
    ids: PathIds,
    StrictQuery(query): StrictQuery<WhyQuery>,
) -> Result<Answer> {
    let action = match query.action.as_deref() {
        None => Action::Read,
        Some(name) => *Action::ALL
            .iter()
            .find(|action| action.is_three_sided() && action.as_str() == name)
            .ok_or_else(|| ServiceError::Malformed("`action` is View, Read, ReadStaff or ViewDeliberation".into()))?,
    };
    let request = ExplainRequest { proposal: ids.id("proposal")?, member: query.member, action, owner: query.owner };
    Ok(Answer::json(200, &explanation::explain(&api, &caller, &request).await?))
}

/// Everybody who may know of a proposal, for the policy officers of the nations that own it.
///
/// A page can be short, or empty, and still have a `next`.
#[utoipa::path(get, path = "/v1/proposals/{proposal}/readers", tag = "policies", params(Everything),
    responses((status = 200, body = Page<Reader>)))]
pub(super) async fn readers(
    State(api): State<Api>,
    caller: Caller,
    ids: PathIds,
    StrictQuery(query): StrictQuery<Everything>,
) -> Result<Answer> {
    let (cursor, limit) = (query.cursor.as_deref(), query.limit()?);
    Ok(Answer::json(200, &explanation::readers(&api, &caller, ids.id("proposal")?, cursor, limit).await?))
}
