//! Joint proposals, their members, vaults and manifests.

use super::{
    act::act,
    change_request::{Change, EmptyChange, LoggedRead},
    list::{CountQuery, Everything, LabelQuery, PathIds, Proposals, StrictQuery},
    named_subject::BegunIn,
    principal::Caller,
    state::Api,
};
use crate::{
    service::{
        Answer, Result, labels, manifests, missing_keys, own_keys, parties, proposals, surplus_keys as surplus, vaults,
    },
    wire::{
        page::Page,
        proposal::{
            AcceptInvitation, AddKeys, AddMember, Count, CreateProposal, Joined, LabelPreview, MissingKey, NewVault,
            Proposal, SignLabel, SignManifest, SignedLabel, SignedManifest, SurplusKey, Vault,
        },
    },
};
use axum::extract::State;

/// The proposals that you may know of.
///
/// A page can be short, or empty, and still have a `next`.
#[utoipa::path(get, path = "/v1/proposals", tag = "proposals", params(Proposals),
    responses((status = 200, body = Page<Proposal>)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    StrictQuery(query): StrictQuery<Proposals>,
) -> Result<Answer> {
    Ok(Answer::json(200, &proposals::list(&api, &caller, &query.filter(), query.part()?).await?))
}

/// How many proposals there are that you may know of.
#[utoipa::path(get, path = "/v1/proposals/count", tag = "proposals", params(CountQuery),
    responses((status = 200, body = Count)))]
pub(super) async fn count(
    State(api): State<Api>,
    caller: Caller,
    StrictQuery(query): StrictQuery<CountQuery>,
) -> Result<Answer> {
    Ok(Answer::json(200, &proposals::count(&api, &caller, &query.into()).await?))
}

/// Begins a joint proposal with its vaults.
#[utoipa::path(post, path = "/v1/proposals", tag = "proposals", params(BegunIn), request_body = CreateProposal,
    responses((status = 201, body = Proposal)))]
pub(super) async fn create(State(api): State<Api>, change: Change<CreateProposal>) -> Result<Answer> {
    act!(api, change.context, |context| proposals::create(&api, context, &change.body))
}

/// One proposal.
#[utoipa::path(get, path = "/v1/proposals/{proposal}", tag = "proposals",
    responses((status = 200, body = Proposal)))]
pub(super) async fn show(State(api): State<Api>, caller: Caller, ids: PathIds) -> Result<Answer> {
    Ok(Answer::json(200, &proposals::show(&api, &caller, ids.id("proposal")?).await?))
}

/// Takes a proposal back, or says that your party wishes to.
///
/// What every party has signed is withdrawn once each of them has asked for it.
#[utoipa::path(post, path = "/v1/proposals/{proposal}/withdraw", tag = "proposals",
    responses((status = 200, body = Proposal)))]
pub(super) async fn withdraw(
    State(api): State<Api>,
    ids: PathIds,
    EmptyChange(context): EmptyChange,
) -> Result<Answer> {
    act!(api, context, |context| proposals::withdraw(&api, context, ids.id("proposal")?))
}

/// Takes your party's wish to withdraw back; a withdrawn proposal stands again, until the deadline.
#[utoipa::path(post, path = "/v1/proposals/{proposal}/reinstate", tag = "proposals",
    responses((status = 200, body = Proposal)))]
pub(super) async fn reinstate(
    State(api): State<Api>,
    ids: PathIds,
    EmptyChange(context): EmptyChange,
) -> Result<Answer> {
    act!(api, context, |context| proposals::reinstate(&api, context, ids.id("proposal")?))
}

/// Asks a colleague to join your own party, with keys to what the party holds.
///
/// They can read what its members read, and are no party until they accept. To a party that nobody has joined yet the others ask.
#[utoipa::path(put, path = "/v1/proposals/{proposal}/members/{member}", tag = "proposals", request_body = AddMember,
    responses((status = 200, body = Proposal)))]
pub(super) async fn invite(State(api): State<Api>, ids: PathIds, change: Change<AddMember>) -> Result<Answer> {
    act!(api, change.context, |context| parties::invite(
        &api,
        context,
        ids.id("proposal")?,
        &ids.id("member")?,
        &change.body
    ))
}

/// Takes a member out of your own party, or takes an invitation back; declines, if you are the one who is invited. The member's keys go
/// too.
#[utoipa::path(delete, path = "/v1/proposals/{proposal}/members/{member}", tag = "proposals",
    responses((status = 204)))]
pub(super) async fn remove_member(
    State(api): State<Api>,
    ids: PathIds,
    EmptyChange(context): EmptyChange,
) -> Result<Answer> {
    act!(api, context, |context| parties::remove(&api, context, ids.id("proposal")?, &ids.id("member")?))
}

/// Joins the party that you are asked to join.
#[utoipa::path(post, path = "/v1/proposals/{proposal}/acceptance", tag = "proposals", request_body = AcceptInvitation,
    responses((status = 200, body = Proposal)))]
pub(super) async fn accept(State(api): State<Api>, ids: PathIds, change: Change<AcceptInvitation>) -> Result<Answer> {
    act!(api, change.context, |context| parties::accept(&api, context, ids.id("proposal")?, &change.body))
}

/// What was signed about who is asked to join the parties and joined them: for the parties, for
/// members who are asked to join, and for those who may wrap keys.
#[utoipa::path(get, path = "/v1/proposals/{proposal}/joined", tag = "proposals", params(Everything),
    responses((status = 200, body = Page<Joined>)))]
pub(super) async fn joined(
    State(api): State<Api>,
    caller: Caller,
    ids: PathIds,
    StrictQuery(query): StrictQuery<Everything>,
) -> Result<Answer> {
    let (cursor, limit) = (query.cursor.as_deref(), query.limit()?);
    Ok(Answer::json(200, &parties::joined(&api, &caller, ids.id("proposal")?, cursor, limit).await?))
}

/// Consents to a member joining a party after the deadline from another organisation; for officers.
#[utoipa::path(put, path = "/v1/proposals/{proposal}/members/{member}/consent", tag = "proposals",
    responses((status = 204)))]
pub(super) async fn consent(State(api): State<Api>, ids: PathIds, EmptyChange(context): EmptyChange) -> Result<Answer> {
    act!(api, context, |context| parties::consent(&api, context, ids.id("proposal")?, &ids.id("member")?))
}

/// Takes the consent back, until the member has joined.
#[utoipa::path(delete, path = "/v1/proposals/{proposal}/members/{member}/consent", tag = "proposals",
    responses((status = 204)))]
pub(super) async fn take_consent_back(
    State(api): State<Api>,
    ids: PathIds,
    EmptyChange(context): EmptyChange,
) -> Result<Answer> {
    act!(api, context, |context| parties::take_consent_back(&api, context, ids.id("proposal")?, &ids.id("member")?))
}

/// The vaults that you may know of, with the keys that you can use.
///
/// Handing out keys leaves an entry in the log.
#[utoipa::path(get, path = "/v1/proposals/{proposal}/vaults", tag = "vaults",
    responses((status = 200, body = Page<Vault>)))]
pub(super) async fn list_vaults(
    State(api): State<Api>,
    LoggedRead(context): LoggedRead,
    ids: PathIds,
) -> Result<Answer> {
    Ok(Answer::json(200, &act!(api, context, |context| vaults::of_proposal(&api, context, ids.id("proposal")?))?))
}

/// Adds the `staff` vault of your own party, for its restricted documents.
#[utoipa::path(post, path = "/v1/proposals/{proposal}/vaults/staff", tag = "vaults", request_body = NewVault,
    responses((status = 204)))]
pub(super) async fn create_staff_vault(
    State(api): State<Api>,
    ids: PathIds,
    change: Change<NewVault>,
) -> Result<Answer> {
    act!(api, change.context, |context| proposals::create_staff_vault(&api, context, ids.id("proposal")?, &change.body))
}

/// Makes the deliberation vault, to which the proposal's reviews will be sealed; for officers.
#[utoipa::path(post, path = "/v1/proposals/{proposal}/vaults/deliberation", tag = "vaults", request_body = NewVault,
    responses((status = 201, body = Vault)))]
pub(super) async fn create_deliberation_vault(
    State(api): State<Api>,
    ids: PathIds,
    change: Change<NewVault>,
) -> Result<Answer> {
    act!(api, change.context, |context| vaults::create_deliberation(&api, context, ids.id("proposal")?, &change.body))
}

/// Who may read what a vault protects but lacks a key to it for a recipient of their key card in force: what you, who hold one, are
/// to wrap.
///
/// A page can be short, or empty, and still have a `next`.
#[utoipa::path(get, path = "/v1/proposals/{proposal}/missing-keys", tag = "vaults", params(Everything),
    responses((status = 200, body = Page<MissingKey>)))]
pub(super) async fn missing_keys(
    State(api): State<Api>,
    caller: Caller,
    ids: PathIds,
    StrictQuery(query): StrictQuery<Everything>,
) -> Result<Answer> {
    let (cursor, limit) = (query.cursor.as_deref(), query.limit()?);
    Ok(Answer::json(200, &missing_keys::of_proposal(&api, &caller, ids.id("proposal")?, cursor, limit).await?))
}

/// Adds wrapped keys to a vault, all or none, beside those that are there.
///
/// No key of somebody else's is ever overwritten: one by each wrapper stands for each recipient of a holder. One that you wrapped for
/// yourself takes the place of your earlier one.
#[utoipa::path(post, path = "/v1/vaults/{vault}/keys", tag = "vaults", request_body = AddKeys,
    responses((status = 204)))]
pub(super) async fn add_keys(State(api): State<Api>, ids: PathIds, change: Change<AddKeys>) -> Result<Answer> {
    act!(api, change.context, |context| vaults::add_keys(&api, context, ids.id("vault")?, &change.body))
}

/// Who holds a key to a vault of the proposal that policy no longer lets them use: what you, who could wrap it, are to remove.
#[utoipa::path(get, path = "/v1/proposals/{proposal}/surplus-keys", tag = "vaults",
    responses((status = 200, body = Page<SurplusKey>)))]
pub(super) async fn surplus_keys(State(api): State<Api>, caller: Caller, ids: PathIds) -> Result<Answer> {
    Ok(Answer::json(200, &surplus::list(&api, &caller, ids.id("proposal")?).await?))
}

/// Removes a member's keys to a vault, if policy no longer lets the member use them.
#[utoipa::path(delete, path = "/v1/vaults/{vault}/keys/{member}", tag = "vaults", responses((status = 204)))]
pub(super) async fn remove_key(
    State(api): State<Api>,
    ids: PathIds,
    EmptyChange(context): EmptyChange,
) -> Result<Answer> {
    act!(api, context, |context| surplus::remove(&api, context, ids.id("vault")?, &ids.id("member")?))
}

/// Discards a wrapped key of your own, which does not open or which is for a recipient that you have no longer.
///
/// Unless another key for that recipient is there it is then listed as missing, and others can wrap you a new one.
#[utoipa::path(delete, path = "/v1/vaults/{vault}/own-keys/{key}", tag = "vaults", responses((status = 204)))]
pub(super) async fn discard_key(
    State(api): State<Api>,
    ids: PathIds,
    EmptyChange(context): EmptyChange,
) -> Result<Answer> {
    act!(api, context, |context| own_keys::discard(&api, context, ids.id("vault")?, ids.id("key")?))
}

/// The versions handed in, with their signatures: all for the parties, the standing one for everybody else.
#[utoipa::path(get, path = "/v1/proposals/{proposal}/manifests", tag = "proposals", params(Everything),
    responses((status = 200, body = Page<SignedManifest>)))]
pub(super) async fn list_manifests(
    State(api): State<Api>,
    caller: Caller,
    ids: PathIds,
    StrictQuery(query): StrictQuery<Everything>,
) -> Result<Answer> {
    let (cursor, limit) = (query.cursor.as_deref(), query.limit()?);
    Ok(Answer::json(200, &manifests::list(&api, &caller, ids.id("proposal")?, cursor, limit).await?))
}

/// Signs a manifest for your party. With every party's signature the version is handed in.
#[utoipa::path(post, path = "/v1/proposals/{proposal}/manifests", tag = "proposals", request_body = SignManifest,
    responses((status = 200, body = Proposal)))]
pub(super) async fn sign_manifest(
    State(api): State<Api>,
    ids: PathIds,
    change: Change<SignManifest>,
) -> Result<Answer> {
    act!(api, change.context, |context| manifests::sign(&api, context, ids.id("proposal")?, &change.body))
}

/// The relabellings that the parties signed, with their signatures: all for the parties, the one in force for everybody else.
///
/// Without one the label is that of the manifest.
#[utoipa::path(get, path = "/v1/proposals/{proposal}/labels", tag = "proposals", params(Everything),
    responses((status = 200, body = Page<SignedLabel>)))]
pub(super) async fn list_labels(
    State(api): State<Api>,
    caller: Caller,
    ids: PathIds,
    StrictQuery(query): StrictQuery<Everything>,
) -> Result<Answer> {
    let (cursor, limit) = (query.cursor.as_deref(), query.limit()?);
    Ok(Answer::json(200, &labels::list(&api, &caller, ids.id("proposal")?, cursor, limit).await?))
}

/// Signs a relabelling of the version that stands for your party. With every party's signature it is in force, and the wrapped
/// keys of those whom it takes the content from are gone.
#[utoipa::path(post, path = "/v1/proposals/{proposal}/labels", tag = "proposals", request_body = SignLabel,
    responses((status = 200, body = Proposal)))]
pub(super) async fn sign_label(State(api): State<Api>, ids: PathIds, change: Change<SignLabel>) -> Result<Answer> {
    act!(api, change.context, |context| labels::sign(&api, context, ids.id("proposal")?, &change.body))
}

/// What another label would change now: who would gain and who would lose access, what they have fetched, which keys would go. By
/// nation for parties, by member for the policy officers of the nations that own the proposal.
#[utoipa::path(get, path = "/v1/proposals/{proposal}/labels/preview", tag = "proposals", params(LabelQuery),
    responses((status = 200, body = LabelPreview)))]
pub(super) async fn preview_label(
    State(api): State<Api>,
    caller: Caller,
    ids: PathIds,
    StrictQuery(query): StrictQuery<LabelQuery>,
) -> Result<Answer> {
    let wanted = query.label()?;
    Ok(Answer::json(200, &labels::preview(&api, &caller, ids.id("proposal")?, wanted.as_ref()).await?))
}
