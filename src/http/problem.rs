//! How the exchange says no, and yes: every failure becomes an RFC 9457 problem body, every answer a response.
//!
//! What the caller may not know of and what does not exist are one answer, byte for byte. What went wrong inside is said to
//! the log under the request's id, never to the caller, and never with content.

use crate::{
    domain::Refusal,
    metrics,
    service::{Answer, ServiceError},
    storage::StoreError,
    wire::{
        PROBLEM_JSON,
        problem::{Kind, Problem},
    },
};
use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use std::{error::Error, fmt::Write as _};

/// Marks the answer that an earlier, equal request got.
pub const IDEMPOTENT_REPLAY: HeaderName = HeaderName::from_static("idempotent-replay");

/// The caller's share and what is left of it, as draft-ietf-httpapi-ratelimit-headers-10 gives them.
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// In seconds.
const A_DAY: u32 = 24 * 60 * 60;

/// Seconds after which to try again when a part of the exchange is away.
const RETRY_AFTER: &str = "5";

/// Why a request got no answer of its operation.
#[derive(Debug)]
pub(super) enum Fault {
    Service(ServiceError),
    /// The request itself is not in order.
    Request(Kind, String),
}

impl Fault {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self::Request(kind, detail.into())
    }

    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(Kind::Malformed, detail)
    }
}

impl From<ServiceError> for Fault {
    fn from(error: ServiceError) -> Self {
        Self::Service(error)
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        match self {
            Self::Service(error) => error.into_response(),
            Self::Request(kind, detail) => Problem::new(kind, detail).into_response(),
        }
    }
}

impl IntoResponse for ServiceError {
    fn into_response(self) -> Response {
        if let Self::Repeated(answer) = self {
            return answer.into_response();
        }
        if let Self::Store(error) = &self {
            tell_log(error);
        }
        if let Self::Clock(fault) = &self {
            tracing::error!(%fault, "nothing is written by this clock");
        }
        if let Self::CannotSign(cause) = &self {
            tracing::error!(cause, "the exchange cannot sign");
        }
        let mut response = problem_of(&self).into_response();
        let header = match &self {
            Self::PreconditionFailed { current } => HeaderValue::try_from(current).ok().map(|tag| (header::ETAG, tag)),
            Self::OutOfRange { size } => {
                let range = HeaderValue::try_from(format!("bytes */{size}")).expect("a number is visible");
                Some((header::CONTENT_RANGE, range))
            }
            _ => None,
        };
        response.headers_mut().extend(header);
        if let Self::Refused(Refusal::DailyQuotaReached { quota, limit, left, again_at, now }) = &self {
            let wait = again_at.duration_since(*now).as_millis().max(1).unsigned_abs().div_ceil(1000);
            let (name, unit) = (quota.name(), if quota.is_of_bytes() { ";qu=\"content-bytes\"" } else { "" });
            for (field, value) in [
                (header::RETRY_AFTER, wait.to_string()),
                (RATE_LIMIT_POLICY, format!("\"{name}\";q={limit};w={A_DAY}{unit}")),
                (RATE_LIMIT, format!("\"{name}\";r={left};t={wait}")),
            ] {
                let value = HeaderValue::from_str(&value).expect("a name and numbers are a header's value");
                response.headers_mut().insert(field, value);
            }
        }
        response
    }
}

/// Which problem an answer is, in its extensions for the code that accounts for refusals.
#[derive(Debug, Clone)]
pub(super) struct ProblemSlug(pub(super) String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).expect("the catalogue has statuses of HTTP");
        let body = serde_json::to_vec(&self).expect("a problem is strings and a number");
        let mut response = (status, [(header::CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
        response.extensions_mut().insert(ProblemSlug(self.slug().to_owned()));
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
        }
        response
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).expect("services answer with statuses of HTTP");
        let is_json = !self.body.is_empty();
        let mut response = (status, self.body).into_response();
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_TYPE);
        if is_json {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for (name, text) in [(header::ETAG, self.etag), (header::LOCATION, self.location)] {
            let text = text.map(|text| HeaderValue::try_from(text).expect("tags and addresses are visible characters"));
            headers.extend(text.map(|text| (name, text)));
        }
        if self.is_replay {
            headers.insert(IDEMPOTENT_REPLAY, HeaderValue::from_static("true"));
        }
        response
    }
}

/// The answer to an address that is no route: the one for what is hidden.
pub(super) async fn no_route() -> Problem {
    Problem::not_found()
}

/// The answer to a method that an address does not take. axum adds `Allow`.
pub(super) async fn no_method() -> Problem {
    Problem::new(Kind::MethodNotAllowed, "see `Allow` for the methods that this address takes")
}

/// The catalogue as a page: `docs/problems.md`.
#[must_use]
pub fn catalogue() -> String {
    let mut page = String::from(
        "<!-- Made by `entente-server problems > docs/problems.md`. Do not edit. -->\n\n# Problems\n\nEvery refusal is an \
         `application/problem+json` body (RFC 9457): `type`, `title`, `status`, `detail`, `remedy`. The type\n\
         is `urn:entente:problem:` and one of the names below; name and status never change once released. `detail` says why this\n\
         very request was refused, `remedy` what to do next.\n\n| name | status | what it is | what to do next |\n\
         |---|---|---|---|\n",
    );
    for kind in Kind::ALL {
        let (slug, status, title, remedy) = (kind.slug(), kind.status(), kind.title(), kind.remedy());
        let cell = |text: &str| text.replace('|', "\\|");
        writeln!(page, "| `{slug}` | {status} | {} | {} |", cell(title), cell(remedy)).expect("a string grows");
    }
    page
}

fn problem_of(error: &ServiceError) -> Problem {
    let kind = match error {
        ServiceError::Hidden => return Problem::not_found(),
        ServiceError::Denied(_) => Kind::Denied,
        ServiceError::Refused(refusal) => refusal.into(),
        ServiceError::Lines(faults) => {
            return Problem { faults: faults.clone(), ..Problem::new(Kind::LinesRefused, error.to_string()) };
        }
        ServiceError::Malformed(_) => Kind::Malformed,
        ServiceError::NotSealed(_) => Kind::NotSealed,
        ServiceError::NotAsAnnounced(_) => Kind::DigestMismatch,
        ServiceError::TooLarge { .. } => Kind::TooLarge,
        ServiceError::Interrupted => Kind::Timeout,
        ServiceError::OtherOffset { .. } => Kind::OtherOffset,
        ServiceError::UploadBusy => Kind::UploadBusy,
        ServiceError::OutOfRange { .. } => Kind::RangeNotSatisfiable,
        ServiceError::Damaged => Kind::DocumentDamaged,
        ServiceError::NotAMember => Kind::NotAMember,
        ServiceError::CertificateRefused(_) => Kind::CertificateRefused,
        ServiceError::PreconditionRequired => Kind::PreconditionRequired,
        ServiceError::PreconditionFailed { .. } => Kind::PreconditionFailed,
        ServiceError::IdempotencyKeyReused => Kind::IdempotencyKeyReused,
        ServiceError::BadCursor => Kind::BadCursor,
        ServiceError::Clock(_) => Kind::ClockNotTrusted,
        ServiceError::Store(StoreError::Unavailable(_)) => Kind::Unavailable,
        ServiceError::Store(StoreError::OutcomeUnknown(_)) => Kind::OutcomeUnknown,
        ServiceError::Store(StoreError::Full(_)) => Kind::StorageFull,
        // Which marks, the log and `/readyz` say.
        ServiceError::Store(StoreError::OtherFolder { .. }) => {
            return Problem::new(Kind::Unavailable, "the sealed documents are not available");
        }
        // What broke inside is the log's to know. An earlier answer is given as it is.
        ServiceError::Repeated(_)
        | ServiceError::Policies(_)
        | ServiceError::CannotSign(_)
        | ServiceError::Store(_) => {
            return Problem::new(Kind::Internal, "the log knows it by the `X-Request-Id`");
        }
    };
    Problem::new(kind, error.to_string())
}

/// Runs inside the request's span, which has its id.
fn tell_log(error: &StoreError) {
    // The cause of a failed statement may quote what was stored; those of files, disks and connections do not.
    let cause = match error {
        StoreError::Unavailable(_) | StoreError::OutcomeUnknown(_) | StoreError::Full(_) | StoreError::Io(_) => {
            error.source().map(ToString::to_string)
        }
        _ => None,
    };
    metrics::store_error(error);
    tracing::error!(%error, cause, "the store failed");
}

/// What a reader of JSON or of a query found wrong, without repeating what was sent: texts may be titles or names.
pub(super) fn without_values(message: &str) -> String {
    let message = match (message.find('"'), message.rfind('"')) {
        (Some(first), Some(last)) if first < last => format!("{}…{}", &message[..first], &message[last + 1..]),
        _ => message.to_owned(),
    };
    match message.rfind("` is not ") {
        Some(end) => {
            let start = message.find('`').unwrap_or(end);
            format!("{}the value{}", &message[..start], &message[end + 1..])
        }
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::DailyQuota;
    use axum::body::to_bytes;

    async fn answered(error: ServiceError) -> (StatusCode, axum::http::HeaderMap, Problem) {
        let (parts, body) = error.into_response().into_parts();
        assert_eq!(parts.headers[header::CONTENT_TYPE], PROBLEM_JSON);
        let problem: Problem = serde_json::from_slice(&to_bytes(body, 1 << 16).await.unwrap()).unwrap();
        assert_eq!(problem.status, parts.status.as_u16());
        (parts.status, parts.headers, problem)
    }

    #[tokio::test]
    async fn hidden_is_the_same_bytes_as_an_unknown_route() {
        let (hidden, unknown) = (ServiceError::Hidden.into_response(), no_route().await.into_response());
        assert_eq!(hidden.status(), unknown.status());
        assert_eq!(hidden.headers(), unknown.headers());
        let bytes = |response: Response| to_bytes(response.into_body(), 4096);
        assert_eq!(bytes(hidden).await.unwrap(), bytes(unknown).await.unwrap());
    }

    #[tokio::test]
    async fn store_that_is_away_says_when_to_come_back_and_a_full_one_says_so() {
        let away = ServiceError::Store(StoreError::Unavailable("gone".into()));
        let (status, headers, problem) = answered(away).await;
        assert_eq!((status.as_u16(), problem.slug()), (503, "unavailable"));
        assert_eq!(headers[header::RETRY_AFTER], RETRY_AFTER);
        let unsaid = ServiceError::Store(StoreError::OutcomeUnknown("gone".into()));
        let (status, headers, problem) = answered(unsaid).await;
        assert_eq!((status.as_u16(), problem.slug()), (503, "outcome-unknown"));
        assert_eq!(headers[header::RETRY_AFTER], RETRY_AFTER);
        assert!(!format!("{problem:?}").contains("nothing was done"), "{problem:?}");
        let (status, _, problem) = answered(ServiceError::Store(StoreError::Full("disk".into()))).await;
        assert_eq!((status.as_u16(), problem.slug()), (507, "storage-full"));
    }

    #[tokio::test]
    async fn what_broke_inside_is_not_told() {
        let error = StoreError::Statement("value `quantum radar` is too long".into());
        let (status, _, problem) = answered(error.into()).await;
        assert_eq!(status, 500);
        assert!(!format!("{problem:?}").contains("quantum"), "{problem:?}");
    }

    #[tokio::test]
    async fn failed_precondition_names_the_present_state() {
        let (status, headers, _) = answered(ServiceError::PreconditionFailed { current: "\"7\"".into() }).await;
        assert_eq!(status, 412);
        assert_eq!(headers[header::ETAG], "\"7\"");
        let (status, headers, _) = answered(ServiceError::OutOfRange { size: 9 }).await;
        assert_eq!(status, 416);
        assert_eq!(headers[header::CONTENT_RANGE], "bytes */9");
    }

    #[tokio::test]
    async fn refusal_keeps_its_kind_and_detail() {
        let refusal = Refusal::UnknownSlot { slot: "work-plan".parse().unwrap(), choices: "summary, plan".into() };
        let (status, _, problem) = answered(refusal.clone().into()).await;
        assert_eq!((status.as_u16(), problem.slug()), (422, "unknown-slot"));
        assert_eq!(problem.detail, refusal.to_string());
    }

    #[tokio::test]
    async fn quota_of_a_day_says_when_there_is_room_again() {
        let now: jiff::Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let again_at = "2026-03-01T14:00:00.001Z".parse().unwrap();
        for (quota, policy) in [
            (DailyQuota::Calls, "\"calls-of-day\";q=50;w=86400"),
            (DailyQuota::StoredBytes, "\"stored-bytes-of-day\";q=50;w=86400;qu=\"content-bytes\""),
        ] {
            let refusal = Refusal::DailyQuotaReached { quota, limit: 50, left: 3, again_at, now };
            let (status, headers, problem) = answered(refusal.into()).await;
            assert_eq!((status.as_u16(), problem.slug()), (429, "daily-quota-reached"));
            assert!(problem.detail.contains("again at 2026-03-01T14:00:00.001Z"), "{}", problem.detail);
            assert_eq!(headers[header::RETRY_AFTER], "7201");
            assert_eq!(headers["ratelimit-policy"], policy);
            assert_eq!(headers["ratelimit"], format!("\"{}\";r=3;t=7201", quota.name()));
        }
    }

    #[tokio::test]
    async fn answer_carries_its_headers_and_an_empty_one_has_no_type() {
        let made = Answer { is_replay: true, ..Answer::created("/v1/calls/c".into(), &1).with_etag("\"1\"".into()) };
        let response = made.into_response();
        assert_eq!(response.status(), 201);
        for (name, text) in [("location", "/v1/calls/c"), ("etag", "\"1\""), ("idempotent-replay", "true")] {
            assert_eq!(response.headers()[name], text);
        }
        let done = Answer::done().into_response();
        assert_eq!((done.status().as_u16(), done.headers().get(header::CONTENT_TYPE)), (204, None));
    }

    #[test]
    fn catalogue_lists_every_kind() {
        let page = catalogue();
        for kind in Kind::ALL {
            assert!(page.contains(&format!("| `{}` | {} |", kind.slug(), kind.status())), "{kind:?}");
        }
    }
}
