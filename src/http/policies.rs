//! Policies: what is in force, and the versions that policy officers propose, approve and take back.

use super::{
    act::act,
    change_request::{Change, EmptyChange},
    list::{CursorQuery, Everything, PathIds, StrictQuery},
    principal::Caller,
    state::Api,
};
use crate::{
    service::{Answer, Result, policies, preview},
    wire::{
        page::Page,
        policy::{ApprovePolicy, PolicyVersion, Preview, ProposePolicy},
    },
};
use axum::extract::State;

/// The policies in force, without their texts: the guardrails, and each partner's that has any.
#[utoipa::path(get, path = "/v1/policies", tag = "policies", responses((status = 200, body = Page<PolicyVersion>)))]
pub(super) async fn list(State(api): State<Api>, caller: Caller) -> Result<Answer> {
    Ok(Answer::json(200, &policies::list(&api, &caller).await?))
}

/// The version of an owner that is in force, with its text and both signatures.
#[utoipa::path(get, path = "/v1/policies/{owner}", tag = "policies", responses((status = 200, body = PolicyVersion)))]
pub(super) async fn show(State(api): State<Api>, caller: Caller, ids: PathIds) -> Result<Answer> {
    Ok(Answer::json(200, &policies::show(&api, &caller, &ids.id("owner")?).await?))
}

/// An owner's versions, without their texts. Its own policy officers see all; others what is in force, and of guardrails also what
/// is announced and what was.
#[utoipa::path(get, path = "/v1/policies/{owner}/versions", tag = "policies", params(Everything),
    responses((status = 200, body = Page<PolicyVersion>)))]
pub(super) async fn list_versions(
    State(api): State<Api>,
    caller: Caller,
    ids: PathIds,
    StrictQuery(query): StrictQuery<Everything>,
) -> Result<Answer> {
    let (owner, cursor, limit) = (ids.id("owner")?, query.cursor.as_deref(), query.limit()?);
    Ok(Answer::json(200, &policies::list_versions(&api, &caller, &owner, cursor, limit).await?))
}

/// One version, with its text.
#[utoipa::path(get, path = "/v1/policies/{owner}/versions/{version}", tag = "policies",
    responses((status = 200, body = PolicyVersion)))]
pub(super) async fn show_version(State(api): State<Api>, caller: Caller, ids: PathIds) -> Result<Answer> {
    let (owner, version) = (ids.id("owner")?, ids.id("version")?);
    Ok(Answer::json(200, &policies::show_version(&api, &caller, &owner, version).await?))
}

/// What a version would change: who gains and who loses access to which proposals, what they have fetched, which keys they would
/// need. For the policy officers who write it; looks at some 2,000 proposals, or at 10,000 if it meets none that you may know of,
/// and says where to go on.
#[utoipa::path(get, path = "/v1/policies/{owner}/versions/{version}/preview", tag = "policies", params(CursorQuery),
    responses((status = 200, body = Preview)))]
pub(super) async fn preview(
    State(api): State<Api>,
    caller: Caller,
    ids: PathIds,
    StrictQuery(query): StrictQuery<CursorQuery>,
) -> Result<Answer> {
    let (owner, version, cursor) = (ids.id("owner")?, ids.id("version")?, query.cursor.as_deref());
    Ok(Answer::json(200, &preview::preview(&api, &caller, &owner, version, cursor).await?))
}

/// Proposes the next version, as a policy officer of the partner that writes these policies.
#[utoipa::path(post, path = "/v1/policies/{owner}/versions", tag = "policies", request_body = ProposePolicy,
    responses((status = 201, body = PolicyVersion)))]
pub(super) async fn propose(State(api): State<Api>, ids: PathIds, change: Change<ProposePolicy>) -> Result<Answer> {
    act!(api, change.context, |context| policies::propose(&api, context, &ids.id("owner")?, &change.body))
}

/// Approves a version that another policy officer of the same partner proposed.
#[utoipa::path(post, path = "/v1/policies/{owner}/versions/{version}/approve", tag = "policies", request_body = ApprovePolicy,
    responses((status = 200, body = PolicyVersion)))]
pub(super) async fn approve(State(api): State<Api>, ids: PathIds, change: Change<ApprovePolicy>) -> Result<Answer> {
    act!(api, change.context, |context| policies::approve(
        &api,
        context,
        &ids.id("owner")?,
        ids.id("version")?,
        &change.body
    ))
}

/// Takes a version back that has not taken effect.
#[utoipa::path(post, path = "/v1/policies/{owner}/versions/{version}/withdraw", tag = "policies",
    responses((status = 200, body = PolicyVersion)))]
pub(super) async fn withdraw(
    State(api): State<Api>,
    ids: PathIds,
    EmptyChange(context): EmptyChange,
) -> Result<Answer> {
    act!(api, context, |context| policies::withdraw(&api, context, &ids.id("owner")?, ids.id("version")?))
}
