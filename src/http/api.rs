//! Every route of the API, in one place: what is not here does not exist.
//!
//! The router and its description are made of the same list, so neither can know a route that the other does not.

use super::{
    calls, decisions, directory, documents, drain_refused_body::drain_refused_body, entries, explanation, inbox,
    openapi, plain_request::require_plain, policies, preconditions::keep_preconditions, problem, programs, proposals,
    rankings, reviews, state::Api, uploads, visibility,
};
use axum::{
    Router,
    http::header,
    middleware,
    response::{IntoResponse, Response},
};
use std::sync::LazyLock;
use utoipa::openapi::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The API's handlers. Requests carry a verified [`Peer`](super::peer::Peer); the listener sees to that.
pub fn router(api: Api) -> Router {
    let (router, _) = described().split_for_parts();
    router
        .fallback(problem::no_route)
        .method_not_allowed_fallback(problem::no_method)
        .layer(middleware::from_fn(keep_preconditions))
        .layer(middleware::from_fn(require_plain))
        .layer(middleware::map_request(drain_refused_body))
        .with_state(api)
}

/// Every route with its description.
fn described() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(description))
        .routes(routes!(directory::me))
        .routes(routes!(directory::list_partners))
        .routes(routes!(directory::show_partner))
        .routes(routes!(directory::list_refusals))
        .routes(routes!(directory::show_trust))
        .routes(routes!(directory::list_members))
        .routes(routes!(directory::show_member))
        .routes(routes!(directory::list_key_cards))
        .routes(routes!(directory::publish_key_card))
        .routes(routes!(directory::preview_member))
        .routes(routes!(policies::list))
        .routes(routes!(policies::show))
        .routes(routes!(policies::list_versions, policies::propose))
        .routes(routes!(policies::show_version))
        .routes(routes!(policies::preview))
        .routes(routes!(policies::approve))
        .routes(routes!(policies::withdraw))
        .routes(routes!(programs::list, programs::create))
        .routes(routes!(programs::show))
        .routes(routes!(calls::list, calls::draft))
        .routes(routes!(calls::show, calls::edit, calls::delete))
        .routes(routes!(calls::publish))
        .routes(routes!(calls::amend))
        .routes(routes!(calls::extend))
        .routes(routes!(calls::extensions))
        .routes(routes!(calls::withdraw_extension))
        .routes(routes!(calls::cancel))
        .routes(routes!(calls::close))
        .routes(routes!(calls::reopen))
        .routes(routes!(calls::roles))
        .routes(routes!(calls::role_statements))
        .routes(routes!(calls::grant))
        .routes(routes!(calls::preview_roles))
        .routes(routes!(calls::progress))
        .routes(routes!(calls::panel))
        .routes(routes!(calls::vault))
        .routes(routes!(calls::missing_keys))
        .routes(routes!(calls::assign))
        .routes(routes!(proposals::list, proposals::create))
        .routes(routes!(proposals::count))
        .routes(routes!(proposals::show))
        .routes(routes!(proposals::withdraw))
        .routes(routes!(explanation::explain))
        .routes(routes!(explanation::readers))
        .routes(routes!(visibility::manifest))
        .routes(routes!(proposals::reinstate))
        .routes(routes!(proposals::invite, proposals::remove_member))
        .routes(routes!(proposals::accept))
        .routes(routes!(proposals::joined))
        .routes(routes!(proposals::consent, proposals::take_consent_back))
        .routes(routes!(proposals::list_vaults))
        .routes(routes!(proposals::create_staff_vault))
        .routes(routes!(proposals::create_deliberation_vault))
        .routes(routes!(proposals::missing_keys))
        .routes(routes!(proposals::add_keys))
        .routes(routes!(proposals::surplus_keys))
        .routes(routes!(proposals::remove_key))
        .routes(routes!(proposals::discard_key))
        .routes(routes!(proposals::list_manifests, proposals::sign_manifest))
        .routes(routes!(proposals::list_labels, proposals::sign_label))
        .routes(routes!(proposals::preview_label))
        .routes(routes!(documents::list))
        .routes(routes!(documents::put, documents::remove))
        .routes(routes!(documents::fetch))
        .routes(routes!(uploads::begin_upload))
        .routes(routes!(uploads::show_upload, uploads::append_upload, uploads::remove_upload))
        .routes(routes!(reviews::declare))
        .routes(routes!(reviews::lift))
        .routes(routes!(reviews::declarations))
        .routes(routes!(reviews::assignments))
        .routes(routes!(reviews::unassign))
        .routes(routes!(reviews::preview_unassignment))
        .routes(routes!(reviews::decline))
        .routes(routes!(reviews::resume))
        .routes(routes!(reviews::list, reviews::submit))
        .routes(routes!(reviews::fetch))
        .routes(routes!(reviews::reopen))
        .routes(routes!(reviews::reinstate))
        .routes(routes!(rankings::fetch_ranking, rankings::send_ranking, rankings::withdraw_ranking))
        .routes(routes!(decisions::show, decisions::sign, decisions::unsign))
        .routes(routes!(decisions::list_letters, decisions::send_letter))
        .routes(routes!(decisions::fetch_letter, decisions::withdraw_letter))
        .routes(routes!(entries::list))
        .routes(routes!(inbox::show))
        .routes(routes!(inbox::waiting))
}

/// The description of the API.
#[must_use]
pub fn openapi() -> OpenApi {
    openapi::complete(described().into_openapi())
}

/// The description as it is served and kept in `docs/openapi.json`.
#[must_use]
pub fn openapi_json() -> String {
    openapi::to_json(&openapi())
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "directory", responses((status = 200, body = serde_json::Value)))]
async fn description() -> Response {
    static TEXT: LazyLock<String> = LazyLock::new(openapi_json);
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described_under_its_own_operation() {
        let description = openapi();
        let mut names: Vec<_> =
            openapi::typed_operations(&description).map(|(_, _, operation)| &operation.operation_id).collect();
        assert_eq!(names.len(), 106);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 106);
    }
}
