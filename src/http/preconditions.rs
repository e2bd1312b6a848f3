//! Conditions on the state that a client knows (RFC 9110 section 13): honoured or refused, never passed over.
//!
//! `If-Match` is compared by the service, in the act's own transaction; here stands for which operations. `If-None-Match` is compared with the
//! `ETag` of an answer that was made as ever: what is hidden or absent is answered before, whatever the condition says.

use super::problem::Fault;
use axum::{
    body::Body,
    extract::{MatchedPath, Request},
    http::{HeaderMap, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

/// The operations that compare `If-Match`; the description says the same of each.
pub(super) const COMPARED: [(&str, &str); 9] = [
    ("PUT", "/v1/calls/{call}"),
    ("DELETE", "/v1/calls/{call}"),
    ("POST", "/v1/calls/{call}/publish"),
    ("POST", "/v1/calls/{call}/amend"),
    ("POST", "/v1/calls/{call}/extend"),
    ("PUT", "/v1/proposals/{proposal}/decision"),
    ("DELETE", "/v1/proposals/{proposal}/decision"),
    ("PUT", "/v1/proposals/{proposal}/documents/{slot}"),
    ("DELETE", "/v1/proposals/{proposal}/documents/{slot}"),
];

/// Refuses a condition that nothing compares, and answers 304 where the client has what it would get.
pub(super) async fn keep_preconditions(request: Request, next: Next) -> Response {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if let Err(fault) = check(&request, is_read) {
        return fault.into_response();
    }
    if !is_read || !request.headers().contains_key(header::IF_NONE_MATCH) {
        return next.run(request).await;
    }
    let conditions = request.headers().clone();
    let response = next.run(request).await;
    let tag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok());
    let is_known = response.status() == StatusCode::OK && tag.is_some_and(|tag| has(&conditions, tag));
    if is_known { not_modified(response) } else { response }
}

fn check(request: &Request, is_read: bool) -> Result<(), Fault> {
    // An unknown address gets the answer of what is hidden.
    let Some(route) = request.extensions().get::<MatchedPath>() else { return Ok(()) };
    let is_compared = COMPARED.contains(&(request.method().as_str(), route.as_str()));
    if request.headers().contains_key(header::IF_MATCH) && !is_compared {
        return Err(Fault::malformed("this operation compares no `If-Match`; send it without"));
    }
    if request.headers().contains_key(header::IF_NONE_MATCH) && !is_read {
        return Err(Fault::malformed("`If-None-Match` is for `GET` and `HEAD`; send this without"));
    }
    Ok(())
}

/// Whether the client has the state with this `ETag`: it is among those in `If-None-Match`, which may be weak ones.
pub(super) fn has(headers: &HeaderMap, tag: &str) -> bool {
    let fields = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|field| field.to_str().ok());
    let mut given = fields.flat_map(|field| field.split(',')).map(str::trim);
    given.any(|given| given == "*" || given.strip_prefix("W/").unwrap_or(given) == tag)
}

/// The same without content, and without what describes the content.
fn not_modified(response: Response) -> Response {
    let (mut parts, _) = response.into_parts();
    parts.status = StatusCode::NOT_MODIFIED;
    for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH] {
        parts.headers.remove(name);
    }
    Response::from_parts(parts, Body::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{api, openapi};
    use axum::http::HeaderValue;
    use std::collections::BTreeSet;
    use utoipa::openapi::RefOr;

    #[test]
    fn description_says_which_operations_compare_if_match() {
        let description = api::openapi();
        let described: BTreeSet<(String, String)> = openapi::typed_operations(&description)
            .filter(|(_, _, operation)| {
                let mut parameters = operation.parameters.iter().flatten();
                parameters.any(|p| matches!(p, RefOr::T(p) if p.name == "If-Match"))
            })
            .map(|(path, method, _)| (method.to_owned(), path.to_owned()))
            .collect();
        let compared = COMPARED.iter().map(|(method, path)| ((*method).to_owned(), (*path).to_owned())).collect();
        assert_eq!(described, compared);
    }

    #[test]
    fn known_state_is_found_among_several_and_weak_ones() {
        let of = |fields: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(header::IF_NONE_MATCH, HeaderValue::from_static(field));
            }
            has(&headers, "\"a1\"")
        };
        for fields in [&["\"a1\""][..], &["\"b\", \"a1\""], &["W/\"a1\""], &["\"b\"", "\"a1\""], &["*"]] {
            assert!(of(fields), "{fields:?}");
        }
        for fields in [&["\"b\""][..], &["a1"], &[""], &["\"a\""], &[]] {
            assert!(!of(fields), "{fields:?}");
        }
    }
}
