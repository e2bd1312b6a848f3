//! What every request must be before anything is looked at that it is about: one host, single headers once, an address of plain text.
//!
//! A header or a parameter that is given twice is taken in another way by each program on its way: refused here for all operations. What is
//! refused depends on the request alone, so it says nothing of what exists.

use super::{
    change_request::IDEMPOTENCY_KEY,
    header_names::{
        CONTENT_DIGEST, PLAINTEXT_TYPE, REPR_DIGEST, TUS_RESUMABLE, UPLOAD_LENGTH, UPLOAD_METADATA, UPLOAD_OFFSET,
    },
    problem::Fault,
};
use crate::wire::problem::Kind;
use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, Uri, Version, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::collections::HashSet;

/// Headers with one value, which a request has once or not at all.
const SINGLE: [HeaderName; 12] = [
    header::CONTENT_TYPE,
    header::IF_MATCH,
    header::IF_RANGE,
    header::RANGE,
    IDEMPOTENCY_KEY,
    CONTENT_DIGEST,
    REPR_DIGEST,
    PLAINTEXT_TYPE,
    TUS_RESUMABLE,
    UPLOAD_LENGTH,
    UPLOAD_OFFSET,
    UPLOAD_METADATA,
];

/// Refuses a request that is not plain.
pub(super) async fn require_plain(request: Request, next: Next) -> Response {
    let found = check_host(request.version(), request.uri(), request.headers())
        .and_then(|()| check_headers(request.headers()))
        .and_then(|()| check_address(request.uri()));
    match found {
        Ok(()) => next.run(request).await,
        Err(fault) => fault.into_response(),
    }
}

/// RFC 9112 section 3.2 and RFC 9113 section 8.3.1: which host is meant is said once, or twice in the same way.
fn check_host(version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), Fault> {
    let wrong = || Err(Fault::malformed("send exactly one `Host`, or `:authority` over HTTP/2, with a host in it"));
    let mut hosts = headers.get_all(header::HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    let named = host.map(|host| Authority::try_from(host.as_bytes()));
    let is_host = |authority: &Authority| !authority.host().is_empty() && !authority.as_str().contains('@');
    match (named, uri.authority()) {
        _ if second.is_some() => wrong(),
        (Some(Ok(named)), Some(authority)) if is_host(&named) && named == *authority => Ok(()),
        (Some(Ok(named)), None) if is_host(&named) => Ok(()),
        (None, Some(authority)) if version >= Version::HTTP_2 && is_host(authority) => Ok(()),
        // The first version did without.
        (None, None) if version <= Version::HTTP_10 => Ok(()),
        _ => wrong(),
    }
}

fn check_headers(headers: &HeaderMap) -> Result<(), Fault> {
    match SINGLE.iter().find(|name| headers.get_all(*name).iter().nth(1).is_some()) {
        Some(name) => Err(Fault::malformed(format!("`{name}` is to be sent once"))),
        None => Ok(()),
    }
}

fn check_address(uri: &Uri) -> Result<(), Fault> {
    let address = uri.path_and_query().map_or("", |address| address.as_str());
    if address.contains("%00") {
        return Err(Fault::new(Kind::NulCharacter, "the address has the character U+0000, which no text may have"));
    }
    let mut names = HashSet::new();
    let parameters = uri.query().unwrap_or_default().split('&').filter(|parameter| !parameter.is_empty());
    for parameter in parameters {
        let name = parameter.split_once('=').map_or(parameter, |(name, _)| name);
        if !names.insert(name) {
            return Err(Fault::malformed("the query: a parameter is given twice"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    fn is_plain(found: Result<(), Fault>) -> bool {
        match found {
            Ok(()) => true,
            Err(Fault::Request(Kind::Malformed | Kind::NulCharacter, _)) => false,
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn host_is_said_once_or_twice_in_the_same_way() {
        let host = |version, uri: &'static str, hosts: &[&'static str]| {
            let pairs: Vec<_> = hosts.iter().map(|host| (header::HOST, *host)).collect();
            is_plain(check_host(version, &Uri::from_static(uri), &headers(&pairs)))
        };
        for (version, uri, hosts) in [
            (Version::HTTP_11, "/v1/me", &["localhost"][..]),
            (Version::HTTP_11, "/v1/me", &["[::1]:8443"]),
            (Version::HTTP_11, "https://localhost:8443/v1/me", &["LocalHost:8443"]),
            (Version::HTTP_10, "/v1/me", &[]),
            (Version::HTTP_2, "https://localhost/v1/me", &[]),
            (Version::HTTP_2, "https://localhost/v1/me", &["localhost"]),
        ] {
            assert!(host(version, uri, hosts), "{version:?} {uri} {hosts:?}");
        }
        for (version, uri, hosts) in [
            (Version::HTTP_11, "/v1/me", &[][..]),
            (Version::HTTP_11, "/v1/me", &[""]),
            (Version::HTTP_11, "/v1/me", &["local host"]),
            (Version::HTTP_11, "/v1/me", &["me@localhost"]),
            (Version::HTTP_11, "/v1/me", &["localhost", "localhost"]),
            (Version::HTTP_11, "/v1/me", &["localhost", "elsewhere"]),
            (Version::HTTP_11, "https://localhost/v1/me", &["elsewhere"]),
            (Version::HTTP_11, "https://localhost/v1/me", &[]),
            (Version::HTTP_10, "/v1/me", &["a", "b"]),
            (Version::HTTP_2, "/v1/me", &[]),
            (Version::HTTP_2, "https://localhost/v1/me", &["elsewhere"]),
        ] {
            assert!(!host(version, uri, hosts), "{version:?} {uri} {hosts:?}");
        }
    }

    #[test]
    fn single_header_is_sent_once() {
        for name in SINGLE {
            assert!(is_plain(check_headers(&headers(&[(name.clone(), "a")]))));
            assert!(!is_plain(check_headers(&headers(&[(name.clone(), "a"), (name, "a")]))));
        }
        assert!(is_plain(check_headers(&headers(&[(header::ACCEPT, "a"), (header::ACCEPT, "b")]))));
    }

    #[test]
    fn address_has_no_nul_and_no_parameter_twice() {
        let address = |uri: &'static str| is_plain(check_address(&Uri::from_static(uri)));
        for uri in ["/v1/calls", "/v1/calls?limit=1&cursor=a", "/v1/calls?", "/v1/calls?a&&b=", "/v1/%2500"] {
            assert!(address(uri), "{uri}");
        }
        for uri in ["/v1/calls?limit=1&limit=1", "/v1/calls?a&a=", "/v1/%00", "/v1/calls?kind=a%00b"] {
            assert!(!address(uri), "{uri}");
        }
    }
}
