//! What members of a suspended partner may still ask for: who they are and since when they take no part. A registrar also puts the nation's
//! keys in order before it takes part again: reads partners and members, and publishes and revokes key cards (ADR 42).
//!
//! It looks at addresses alone, before any handler runs, so that no operation can forget it.

use super::{peer::Peer, refusal::EdgeRefusal};
use crate::service::Credential;
use axum::http::Method;

/// The peer, who knows from here on whether the request is one that outlasts a suspension while it is under way.
pub(super) fn marked(peer: Peer, method: &Method, path: &str) -> Peer {
    peer.for_request(is_for_registrars(method, path))
}

/// Why a request of this peer goes no further, if its partner is suspended.
pub(super) fn refusal(peer: &Peer, path: &str) -> Option<EdgeRefusal> {
    let suspension = peer.suspension()?;
    let is_let_through = is_about_oneself(path) || peer.outlasts_suspension();
    (!is_let_through).then(|| EdgeRefusal::suspended(&peer.partner, suspension))
}

fn is_about_oneself(path: &str) -> bool {
    path == "/v1/me" || !path.starts_with("/v1/")
}

fn is_for_registrars(method: &Method, path: &str) -> bool {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    let parts: Vec<&str> = path.split('/').skip(2).collect();
    match parts.as_slice() {
        ["partners" | "members"]
        | ["partners" | "members", _]
        | ["partners", _, "trust"]
        | ["members", _, "key-cards"] => is_read,
        ["members", _, "key-card"] => *method == Method::PUT,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registrars_put_keys_in_order_and_reach_nothing_else() {
        for path in
            ["/v1/partners", "/v1/partners/KOR", "/v1/partners/KOR/trust", "/v1/members", "/v1/members/KOR:jiwoo"]
        {
            assert!(is_for_registrars(&Method::GET, path), "{path}");
            assert!(!is_for_registrars(&Method::POST, path), "{path}");
        }
        assert!(is_for_registrars(&Method::GET, "/v1/members/KOR:jiwoo/key-cards"));
        assert!(is_for_registrars(&Method::PUT, "/v1/members/KOR:jiwoo/key-card"));
        for path in [
            "/v1/partners/KOR/visibility",
            "/v1/partners/KOR/refusals",
            "/v1/members/KOR:jiwoo/preview",
            "/v1/calls",
            "/v1/proposals",
            "/v1/entries",
            "/v1/policies",
            "/v1/partners/KOR/trust/x",
        ] {
            assert!(!is_for_registrars(&Method::GET, path), "{path}");
        }
        assert!(is_about_oneself("/v1/me") && is_about_oneself("/openapi.json") && !is_about_oneself("/v1/calls"));
    }
}
