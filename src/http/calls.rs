//! Calls: draft, publish, amend, extend, cancel, close, delete, roles, progress.

use super::{
    act::act,
    change_request::{Change, EmptyChange, LoggedRead},
    list::{Calls, Everything, PanelQuery, PathIds, RolesQuery, StrictQuery},
    named_subject::DraftedIn,
    principal::Caller,
    state::Api,
};
use crate::{
    service::{Answer, Result, assignments, calls, cancellation, extensions, missing_keys, panel, roles, vaults},
    wire::{
        call::{
            Amended, Call, CallExtension, DraftCall, EditCall, ExtendCall, Extended, GrantRoles, Progress, PublishCall,
            Reason, RoleHolder, StatedRoles,
        },
        page::Page,
        policy::Preview,
        proposal::{MissingKey, Vault},
        review::{Assign, Assigned, PanelLine},
    },
};
use axum::extract::State;

/// The calls that you may know of.
#[utoipa::path(get, path = "/v1/calls", tag = "calls", params(Calls), responses((status = 200, body = Page<Call>)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    StrictQuery(query): StrictQuery<Calls>,
) -> Result<Answer> {
    let (cursor, limit) = (query.cursor.as_deref(), query.limit()?);
    Ok(Answer::json(200, &calls::list(&api, &caller, query.program, cursor, limit).await?))
}

/// Drafts a call; you become its first officer.
#[utoipa::path(post, path = "/v1/calls", tag = "calls", params(DraftedIn), request_body = DraftCall,
    responses((status = 201, body = Call, headers(("ETag" = String)))))]
pub(super) async fn draft(State(api): State<Api>, change: Change<DraftCall>) -> Result<Answer> {
    act!(api, change.context, |context| calls::draft(&api, context, &change.body))
}

/// One call.
#[utoipa::path(get, path = "/v1/calls/{call}", tag = "calls",
    params(("If-None-Match" = Option<String>, Header, description = "`ETag` of the state that you have.")),
    responses((status = 200, body = Call, headers(("ETag" = String))), (status = 304, description = "You have it.")))]
pub(super) async fn show(State(api): State<Api>, caller: Caller, ids: PathIds) -> Result<Answer> {
    let (call, etag) = calls::show(&api, &caller, ids.id("call")?).await?;
    Ok(Answer::json(200, &call).with_etag(etag))
}

/// Replaces the text of a draft.
#[utoipa::path(put, path = "/v1/calls/{call}", tag = "calls", params(("If-Match" = String, Header)),
    request_body = EditCall, responses((status = 200, body = Call, headers(("ETag" = String)))))]
pub(super) async fn edit(State(api): State<Api>, ids: PathIds, change: Change<EditCall>) -> Result<Answer> {
    act!(api, change.context, |context| calls::edit(&api, context, ids.id("call")?, &change.body))
}

/// Publishes a draft with the vault that proposals will be wrapped to.
#[utoipa::path(post, path = "/v1/calls/{call}/publish", tag = "calls", params(("If-Match" = String, Header)),
    request_body = PublishCall, responses((status = 200, body = Call, headers(("ETag" = String)))))]
pub(super) async fn publish(State(api): State<Api>, ids: PathIds, change: Change<PublishCall>) -> Result<Answer> {
    act!(api, change.context, |context| calls::publish(&api, context, ids.id("call")?, &change.body))
}

/// Amends a published call before its deadline. What changed decides what that does to proposals handed in.
#[utoipa::path(post, path = "/v1/calls/{call}/amend", tag = "calls", params(("If-Match" = String, Header)),
    request_body = PublishCall, responses((status = 200, body = Amended, headers(("ETag" = String)))))]
pub(super) async fn amend(State(api): State<Api>, ids: PathIds, change: Change<PublishCall>) -> Result<Answer> {
    act!(api, change.context, |context| calls::amend(&api, context, ids.id("call")?, &change.body))
}

/// Moves the deadline later, for everyone, one partner or one proposal, or the date by which reviews are due.
///
/// For one proposal the officer declares first to be free of conflict with it.
#[utoipa::path(post, path = "/v1/calls/{call}/extend", tag = "calls", params(("If-Match" = Option<String>, Header)),
    request_body = ExtendCall,
    responses((status = 200, body = Extended, headers(("ETag" = String)))))]
pub(super) async fn extend(State(api): State<Api>, ids: PathIds, change: Change<ExtendCall>) -> Result<Answer> {
    act!(api, change.context, |context| extensions::extend(&api, context, ids.id("call")?, &change.body))
}

/// The extensions in force that you may know of: for everyone, for your own partner and proposals; all for officers and observers.
///
/// A page can be short, or empty, and still have a `next`.
#[utoipa::path(get, path = "/v1/calls/{call}/extensions", tag = "calls", params(Everything),
    responses((status = 200, body = Page<CallExtension>)))]
pub(super) async fn extensions(
    State(api): State<Api>,
    caller: Caller,
    ids: PathIds,
    StrictQuery(query): StrictQuery<Everything>,
) -> Result<Answer> {
    let (cursor, limit) = (query.cursor.as_deref(), query.limit()?);
    Ok(Answer::json(200, &extensions::list(&api, &caller, ids.id("call")?, cursor, limit).await?))
}

/// Takes an extension back. If less than 72 hours would be left without it, a shorter one, of 72 hours from now, takes its place.
///
/// For one proposal the officer declares first to be free of conflict with it.
#[utoipa::path(post, path = "/v1/calls/{call}/extensions/{number}/withdraw", tag = "calls", request_body = Reason,
    responses((status = 200, body = Call, headers(("ETag" = String)))))]
pub(super) async fn withdraw_extension(State(api): State<Api>, ids: PathIds, change: Change<Reason>) -> Result<Answer> {
    act!(api, change.context, |context| extensions::withdraw(
        &api,
        context,
        ids.id("call")?,
        ids.id("number")?,
        &change.body
    ))
}

/// Cancels a call.
#[utoipa::path(post, path = "/v1/calls/{call}/cancel", tag = "calls", request_body = Reason,
    responses((status = 200, body = Call, headers(("ETag" = String)))))]
pub(super) async fn cancel(State(api): State<Api>, ids: PathIds, change: Change<Reason>) -> Result<Answer> {
    act!(api, change.context, |context| cancellation::cancel(&api, context, ids.id("call")?, &change.body))
}

/// Closes a call under review, once each submitted proposal has a decision in force and a letter that was sent since.
///
/// From then on it is read, and nothing else is done. Declaring a conflict, and leaving or being taken out of a role or a party, go on.
#[utoipa::path(post, path = "/v1/calls/{call}/close", tag = "calls",
    responses((status = 200, body = Call, headers(("ETag" = String)))))]
pub(super) async fn close(State(api): State<Api>, ids: PathIds, EmptyChange(context): EmptyChange) -> Result<Answer> {
    act!(api, context, |context| cancellation::close(&api, context, ids.id("call")?))
}

/// Brings a closed or cancelled call back. If less than 72 hours are left of a time that parties or reviewers had when it was cancelled, an
/// extension for everyone is made, or one of the date for reviews.
#[utoipa::path(post, path = "/v1/calls/{call}/reopen", tag = "calls", request_body = Reason,
    responses((status = 200, body = Call, headers(("ETag" = String)))))]
pub(super) async fn reopen(State(api): State<Api>, ids: PathIds, change: Change<Reason>) -> Result<Answer> {
    act!(api, change.context, |context| cancellation::reopen(&api, context, ids.id("call")?, &change.body))
}

/// Deletes a call that was never published, cancelled or not. Its officers keep the entries of what they did themselves.
#[utoipa::path(delete, path = "/v1/calls/{call}", tag = "calls", params(("If-Match" = String, Header)),
    responses((status = 204)))]
pub(super) async fn delete(State(api): State<Api>, ids: PathIds, EmptyChange(context): EmptyChange) -> Result<Answer> {
    act!(api, context, |context| calls::delete(&api, context, ids.id("call")?))
}

/// The roles in the call, and who has them.
#[utoipa::path(get, path = "/v1/calls/{call}/roles", tag = "calls",
    responses((status = 200, body = Page<RoleHolder>)))]
pub(super) async fn roles(State(api): State<Api>, caller: Caller, ids: PathIds) -> Result<Answer> {
    Ok(Answer::json(200, &roles::list(&api, &caller, ids.id("call")?).await?))
}

/// What was signed about the roles since the call was published, in its order: the roll, then each change. For officers,
/// reviewers and deciders of the call.
#[utoipa::path(get, path = "/v1/calls/{call}/role-statements", tag = "calls", params(Everything),
    responses((status = 200, body = Page<StatedRoles>)))]
pub(super) async fn role_statements(
    State(api): State<Api>,
    caller: Caller,
    ids: PathIds,
    StrictQuery(query): StrictQuery<Everything>,
) -> Result<Answer> {
    let (cursor, limit) = (query.cursor.as_deref(), query.limit()?);
    Ok(Answer::json(200, &roles::statements(&api, &caller, ids.id("call")?, cursor, limit).await?))
}

/// Replaces a member's roles in the call; none takes them all away.
///
/// Once the call is published, the change is signed, as the next after those of `role-statements`.
/// Once a nation has an officer in the call, its own officers name its deciders and take its officers and deciders out again.
#[utoipa::path(put, path = "/v1/calls/{call}/roles/{member}", tag = "calls", request_body = GrantRoles,
    responses((status = 200, body = RoleHolder)))]
pub(super) async fn grant(State(api): State<Api>, ids: PathIds, change: Change<GrantRoles>) -> Result<Answer> {
    act!(api, change.context, |context| roles::set(&api, context, ids.id("call")?, &ids.id("member")?, &change.body))
}

/// What other roles of a member would change: who would gain and who would lose access to which proposals, what they have fetched, which
/// keys they would need. Among the proposals that you may know of; refuses what the change itself would be refused for.
#[utoipa::path(get, path = "/v1/calls/{call}/roles/{member}/preview", tag = "calls", params(RolesQuery),
    responses((status = 200, body = Preview)))]
pub(super) async fn preview_roles(
    State(api): State<Api>,
    caller: Caller,
    ids: PathIds,
    StrictQuery(query): StrictQuery<RolesQuery>,
) -> Result<Answer> {
    let (roles, cursor) = (query.roles()?, query.cursor.as_deref());
    let (call, member) = (ids.id("call")?, ids.id("member")?);
    Ok(Answer::json(200, &roles::preview(&api, &caller, call, &member, &roles, cursor).await?))
}

/// How the call stands, counted over what you may see.
#[utoipa::path(get, path = "/v1/calls/{call}/progress", tag = "calls", responses((status = 200, body = Progress)))]
pub(super) async fn progress(State(api): State<Api>, caller: Caller, ids: PathIds) -> Result<Answer> {
    Ok(Answer::json(200, &calls::progress(&api, &caller, ids.id("call")?).await?))
}

/// Who reviews each submitted proposal and where they stand, as far as you may know who judges it; for officers.
///
/// A page can be short, or empty, and still have a `next`.
#[utoipa::path(get, path = "/v1/calls/{call}/panel", tag = "calls", params(PanelQuery),
    responses((status = 200, body = Page<PanelLine>)))]
pub(super) async fn panel(
    State(api): State<Api>,
    caller: Caller,
    ids: PathIds,
    StrictQuery(query): StrictQuery<PanelQuery>,
) -> Result<Answer> {
    let (part, candidates) = ((query.cursor.as_deref(), query.limit()?), query.candidates.unwrap_or_default());
    Ok(Answer::json(200, &panel::list(&api, &caller, ids.id("call")?, candidates, part).await?))
}

/// The call vault, with your key to it; for officers.
///
/// Leaves an entry in the log.
#[utoipa::path(get, path = "/v1/calls/{call}/vault", tag = "calls", responses((status = 200, body = Vault)))]
pub(super) async fn vault(State(api): State<Api>, LoggedRead(context): LoggedRead, ids: PathIds) -> Result<Answer> {
    Ok(Answer::json(200, &act!(api, context, |context| vaults::of_call(&api, context, ids.id("call")?))?))
}

/// The officers who lack a key to the call vault for a recipient of their key card in force: what you, who hold one, are to wrap.
#[utoipa::path(get, path = "/v1/calls/{call}/missing-keys", tag = "calls", params(Everything),
    responses((status = 200, body = Page<MissingKey>)))]
pub(super) async fn missing_keys(
    State(api): State<Api>,
    caller: Caller,
    ids: PathIds,
    StrictQuery(query): StrictQuery<Everything>,
) -> Result<Answer> {
    let (cursor, limit) = (query.cursor.as_deref(), query.limit()?);
    Ok(Answer::json(200, &missing_keys::of_call(&api, &caller, ids.id("call")?, cursor, limit).await?))
}

/// Assigns reviewers to proposals of the call, all or none.
///
/// The officer declares first to be free of conflict with each. When a line cannot be done nothing is, and the problem
/// `lines-refused` names the fault of each line.
#[utoipa::path(post, path = "/v1/calls/{call}/assignments", tag = "calls", request_body = Assign,
    responses((status = 200, body = Assigned)))]
pub(super) async fn assign(State(api): State<Api>, ids: PathIds, change: Change<Assign>) -> Result<Answer> {
    assignments::assign(&api, &change.context, ids.id("call")?, &change.body).await
}
