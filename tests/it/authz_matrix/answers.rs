//! What came back, and which of six words says it.

use super::requests::Ask;
use crate::harness::world::Raw;
use entente::wire::problem::Problem;
use std::fmt;

/// Everything in an answer that a caller could learn from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// But for the number of the request and the date.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// A cell of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cell {
    RefusedTls,
    NotAMember,
    Denied,
    Undeclared,
    Hidden,
    Permitted,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::RefusedTls => "refused-tls",
            Self::NotAMember => "not-a-member",
            Self::Denied => "denied",
            Self::Undeclared => "undeclared",
            Self::Hidden => "hidden",
            Self::Permitted => "permitted",
        })
    }
}

impl Answer {
    /// Asks; none when the handshake was refused.
    pub(super) async fn to(ask: &Ask, caller: &Raw) -> Option<Self> {
        // With which alert is asked once a certificate; here it is enough that nothing comes back on a connection.
        let response = match ask.of(caller).send().await {
            Ok(response) => response,
            Err(error) => {
                assert!(error.is_connect() || error.is_request(), "{}: {error:?}", ask.name());
                return None;
            }
        };
        let headers = response.headers().iter().filter(|(name, _)| !["x-request-id", "date"].contains(&name.as_str()));
        let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        let (status, mut headers) = (response.status().as_u16(), headers.collect::<Vec<_>>());
        headers.sort();
        Some(Self { status, headers, body: response.bytes().await.unwrap().to_vec() })
    }

    /// The problem in it.
    pub(super) fn problem(&self) -> Option<Problem> {
        let is_problem =
            self.headers.iter().any(|(name, value)| name == "content-type" && value == "application/problem+json");
        is_problem.then(|| serde_json::from_slice(&self.body).unwrap())
    }

    /// Status and slug, short.
    pub(super) fn outcome(&self) -> String {
        let slug = self.problem().map(|problem| format!(" {}", problem.slug()));
        format!("{}{}", self.status, slug.unwrap_or_default())
    }

    /// What authorization said, derived from the answer.
    pub(super) fn cell(&self, ask: &Ask) -> Cell {
        let problem = self.problem();
        let slug = problem.as_ref().map_or("", |problem| problem.slug());
        let shown = || format!("{}: {} {}", ask.name(), self.status, String::from_utf8_lossy(&self.body));
        match (self.status, slug) {
            (403, "not-a-member") => Cell::NotAMember,
            (403, "denied") => Cell::Denied,
            (403, "not-declared") => Cell::Undeclared,
            (404, "not-found") => Cell::Hidden,
            // The last: refused before anybody was asked, so it shows nothing.
            (401 | 403 | 404 | 405 | 406 | 408 | 411 | 415 | 500.., _) | (400, "idempotency-key-required") => {
                panic!("{}", shown())
            }
            (400, "malformed") => {
                let detail = problem.map(|problem| problem.detail).unwrap_or_default();
                let is_shape =
                    detail.starts_with("the body:") || detail.contains("takes no body") || detail.contains("header");
                assert!(!is_shape, "{}", shown());
                Cell::Permitted
            }
            _ => Cell::Permitted,
        }
    }
}
