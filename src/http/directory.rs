//! Partners, members and key cards.

use super::{
    act::act,
    change_request::FirstChange,
    list::{CardQuery, Everything, Members, PathIds, StrictQuery},
    offered,
    peer::Peer,
    principal::{Caller, Holder},
    state::Api,
};
use crate::{
    service::{Answer, Result, directory, endings, preview},
    wire::{
        directory::{Me, Member, MemberRefusal, Partner, PartnerTrustReport, PublishKeyCard, PublishedKeyCard},
        page::Page,
        policy::Preview,
    },
};
use axum::extract::State;

/// Which member your certificate belongs to. Answers any holder of an accepted certificate, a member or not.
#[utoipa::path(get, path = "/v1/me", tag = "directory", responses((status = 200, body = Me)))]
pub(super) async fn me(State(api): State<Api>, Holder(peer): Holder) -> Result<Answer> {
    Ok(Answer::json(200, &directory::me(&api, &peer).await?))
}

/// Every partner, with the card that its members pin.
#[utoipa::path(get, path = "/v1/partners", tag = "directory", responses((status = 200, body = Page<Partner>)))]
pub(super) async fn list_partners(State(api): State<Api>, caller: Caller) -> Result<Answer> {
    Ok(Answer::json(200, &directory::list_partners(&api, &caller).await?))
}

/// One partner.
#[utoipa::path(get, path = "/v1/partners/{partner}", tag = "directory", responses((status = 200, body = Partner)))]
pub(super) async fn show_partner(State(api): State<Api>, caller: Caller, ids: PathIds) -> Result<Answer> {
    Ok(Answer::json(200, &directory::show_partner(&api, &caller, &ids.id("partner")?).await?))
}

/// What members of the partner were refused, the latest first, for its policy officers: who, on which route, and by which problem, but not
/// what they asked about.
///
/// Since the start of the server that answers, the last 500 different ones: so many come at most, without pages.
#[utoipa::path(get, path = "/v1/partners/{partner}/refusals", tag = "directory",
    responses((status = 200, body = Page<MemberRefusal>)))]
pub(super) async fn list_refusals(State(api): State<Api>, caller: Caller, ids: PathIds) -> Result<Answer> {
    let partner = ids.id("partner")?;
    let refused = api.refusals().of(&partner);
    let certificates = refused.iter().map(|(refused, _)| refused.certificate).collect();
    let names = directory::names_for_refusals(&api, &caller, &partner, &certificates).await?;
    let refused = refused.into_iter().map(|(refused, times)| MemberRefusal {
        member: names.get(&refused.certificate).cloned(),
        certificate: refused.certificate,
        method: refused.method.to_owned(),
        route: refused.route,
        problem: refused.problem,
        times: times.count,
        first_at: times.first_at.into(),
        last_at: times.last_at.into(),
    });
    Ok(Answer::json(200, &Page { items: refused.collect(), next: None }))
}

/// What the exchange goes by when it judges the certificates of your partner's members, beside the partner card: until when its revocation
/// lists hold, and which certificates end soon. For its registrars and policy officers.
#[utoipa::path(get, path = "/v1/partners/{partner}/trust", tag = "directory",
    responses((status = 200, body = PartnerTrustReport)))]
pub(super) async fn show_trust(State(api): State<Api>, caller: Caller, peer: Peer, ids: PathIds) -> Result<Answer> {
    let partner = ids.id("partner")?;
    // Others than the caller's own are denied.
    Ok(Answer::json(200, &endings::trust_report(&api, &caller, &partner, peer.lists()).await?))
}

/// Members, with the key cards that vouch for them.
#[utoipa::path(get, path = "/v1/members", tag = "directory", params(Members),
    responses((status = 200, body = Page<Member>)))]
pub(super) async fn list_members(
    State(api): State<Api>,
    caller: Caller,
    StrictQuery(query): StrictQuery<Members>,
) -> Result<Answer> {
    let cursor = query.cursor.as_deref();
    let page = directory::list_members(&api, &caller, query.partner.as_ref(), cursor, query.limit()?).await?;
    Ok(Answer::json(200, &page))
}

/// One member.
#[utoipa::path(get, path = "/v1/members/{member}", tag = "directory", responses((status = 200, body = Member)))]
pub(super) async fn show_member(State(api): State<Api>, caller: Caller, ids: PathIds) -> Result<Answer> {
    Ok(Answer::json(200, &directory::show_member(&api, &caller, &ids.id("member")?).await?))
}

/// Every key card that the member has had, the newest first.
///
/// Serials without a gap let clients follow the cards back from the newest, and so believe what was signed under a replaced one.
#[utoipa::path(get, path = "/v1/members/{member}/key-cards", tag = "directory", params(Everything),
    responses((status = 200, body = Page<PublishedKeyCard>)))]
pub(super) async fn list_key_cards(
    State(api): State<Api>,
    caller: Caller,
    ids: PathIds,
    StrictQuery(query): StrictQuery<Everything>,
) -> Result<Answer> {
    let (member, cursor) = (ids.id("member")?, query.cursor.as_deref());
    Ok(Answer::json(200, &directory::list_key_cards(&api, &caller, &member, cursor, query.limit()?).await?))
}

/// Publishes a member's key card, signed by a registrar of the member's partner.
///
/// A registrar without a key card publishes its own first; nobody else does anything before theirs is published. Certificates beside the
/// card show that its member can connect and sign with each key that it names for the first time.
#[utoipa::path(put, path = "/v1/members/{member}/key-card", tag = "directory", request_body = PublishKeyCard,
    responses((status = 200, body = Member)))]
pub(super) async fn publish_key_card(
    State(api): State<Api>,
    ids: PathIds,
    connection: Peer,
    change: FirstChange<PublishKeyCard>,
) -> Result<Answer> {
    let FirstChange { peer, context, idempotency, body } = change;
    let id = ids.id("member")?;
    let judged = offered::judged(&connection, &id, &body.certificates).await;
    match context {
        Some(context) => act!(api, context, |context| directory::publish_key_card(&api, context, &id, &body, &judged)),
        None => directory::publish_first_card(&api, &idempotency, &peer, &id, &body, &judged).await,
    }
}

/// What another key card, or none, would change: who would gain and who would lose access to which proposals, what they have fetched,
/// which keys they would need. For the policy officers of the member's partner.
#[utoipa::path(get, path = "/v1/members/{member}/preview", tag = "directory", params(CardQuery),
    responses((status = 200, body = Preview)))]
pub(super) async fn preview_member(
    State(api): State<Api>,
    caller: Caller,
    ids: PathIds,
    StrictQuery(query): StrictQuery<CardQuery>,
) -> Result<Answer> {
    let (change, cursor) = (query.change()?, query.cursor.as_deref());
    Ok(Answer::json(200, &preview::of_member(&api, &caller, &ids.id("member")?, &change, cursor).await?))
}
