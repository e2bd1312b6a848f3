//! Why the edge turns somebody away: a certificate that is not accepted, or a request that may not go on.
//!
//! Texts here are read by strangers and by logs, so they name the rule that was broken and never what is in a
//! certificate beyond a partner's code.

use crate::{
    domain::{
        id::{PartnerCode, Sha256},
        suspension::Suspension,
        text::{LimitNoun, counted},
    },
    wire::problem::{Kind, Problem},
};
use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use rustls::{CertRevocationListError, CertificateError, Error as TlsError, OtherError};
use std::{sync::Arc, time::Duration};

/// Why a client certificate is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateRefusal {
    #[error("no enrolled partner's anchor issued this certificate")]
    UnknownIssuer,
    #[error("the certificate is not signed by the anchor it names")]
    BadSignature,
    #[error("the certificate cannot be read: {0}")]
    Malformed(&'static str),
    #[error("the certificate, or one between it and the anchor, has expired")]
    Expired,
    #[error("the certificate is not valid yet")]
    NotYetValid,
    #[error("the certificate was revoked")]
    Revoked,
    #[error("the partner publishes revocation lists, but no usable one covers this certificate")]
    RevocationUnknown,
    #[error("the partner's revocation list is past its next update")]
    RevocationListExpired,
    #[error("the partner's revocation list is not signed by the certificate's issuer")]
    RevocationListForeign,
    #[error("the certificate's issuer may not sign revocation lists: its key usage lacks `cRLSign`")]
    NoCrlSign,
    #[error("the anchor that issued the certificate has expired")]
    AnchorExpired,
    #[error("there are more certificates between the certificate and its anchor than the anchor allows")]
    PathTooLong,
    #[error("an authority between the certificate and its anchor may not sign certificates")]
    NotAuthority,
    #[error(
        "the certificate, or one between it and the anchor, has the critical extension `{0}`, which cannot be honoured"
    )]
    CriticalExtension(String),
    #[error("an authority above the certificate may not vouch for the {0} in it, or for one in an authority below")]
    NameConstraint(&'static str),
    #[error(
        "an authority above the certificate requires a certificate policy, and no policy is valid along the whole chain"
    )]
    NoPolicy,
    #[error("the certificates that were sent hold the key of an anchor of `{other}`")]
    OtherPartnersAnchor { other: PartnerCode },
    #[error("the certificate is one of a certificate authority, not of a member")]
    IsAuthority,
    #[error("the certificate does not state the purpose `clientAuth`")]
    NoClientAuth,
    #[error("the certificate's key may not make signatures")]
    NoDigitalSignature,
    #[error("the certificate is vouched for by `{anchor}` but claims a member of `{claimed}`")]
    ClaimsOtherPartner { anchor: PartnerCode, claimed: PartnerCode },
    #[error("the certificate has more than one member URI")]
    SeveralMembers,
    #[error("the certificate has an `urn:entente:` URI that does not name a member")]
    MalformedMember,
    #[error("the certificate chain is not acceptable")]
    Other,
}

impl CertificateRefusal {
    /// A short stable name, for metrics and problem types.
    #[must_use]
    pub fn slug(&self) -> &'static str {
        match self {
            Self::UnknownIssuer => "unknown-issuer",
            Self::BadSignature => "bad-signature",
            Self::Malformed(_) => "malformed",
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::Revoked => "revoked",
            Self::RevocationUnknown => "revocation-unknown",
            Self::RevocationListExpired => "revocation-list-expired",
            Self::RevocationListForeign => "revocation-list-foreign",
            Self::NoCrlSign => "no-crl-sign",
            Self::AnchorExpired => "anchor-expired",
            Self::PathTooLong => "path-too-long",
            Self::NotAuthority => "not-authority",
            Self::CriticalExtension(_) => "critical-extension",
            Self::NameConstraint(_) => "name-constraint",
            Self::NoPolicy => "no-policy",
            Self::OtherPartnersAnchor { .. } => "other-partners-anchor",
            Self::IsAuthority => "is-authority",
            Self::NoClientAuth => "no-client-auth",
            Self::NoDigitalSignature => "no-digital-signature",
            Self::ClaimsOtherPartner { .. } => "claims-other-partner",
            Self::SeveralMembers => "several-members",
            Self::MalformedMember => "malformed-member",
            Self::Other => "other",
        }
    }

    /// What the holder of the certificate can do.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::UnknownIssuer | Self::BadSignature => {
                "use a certificate of an enrolled partner, with its intermediates; the host's operator can say which \
                 anchors are enrolled"
            }
            Self::Expired | Self::NotYetValid => "ask your partner's registrar for a current certificate",
            Self::Revoked => "ask your partner's registrar for a new certificate",
            Self::RevocationUnknown | Self::RevocationListExpired | Self::RevocationListForeign => {
                "your partner's registrar must hand the host a current revocation list"
            }
            Self::NoCrlSign => {
                "your partner needs a CA certificate with the key usage `cRLSign` beside `keyCertSign`, enrolled with the host \
                 or sent along by you"
            }
            Self::AnchorExpired => "your partner's registrar must enrol a current anchor with the host",
            Self::ClaimsOtherPartner { .. } | Self::SeveralMembers | Self::MalformedMember => {
                "ask your partner's registrar for a certificate with exactly one URI \
                 `urn:entente:member:<partner>:<handle>` of that partner"
            }
            Self::OtherPartnersAnchor { .. } => {
                "send only your certificate and the authorities between it and your own partner's anchor"
            }
            Self::CriticalExtension(_) | Self::NameConstraint(_) | Self::NoPolicy => {
                "ask your partner's registrar for a certificate that keeps what its authorities require, or one from an \
                 authority without that requirement"
            }
            Self::Malformed(_)
            | Self::NotAuthority
            | Self::PathTooLong
            | Self::IsAuthority
            | Self::NoClientAuth
            | Self::NoDigitalSignature
            | Self::Other => "ask your partner's registrar for a member certificate for TLS clients",
        }
    }

    /// How far a certificate got before it was refused: of several answers the farthest explains most. From 2 on its signatures lead to the
    /// anchor.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::UnknownIssuer => 0,
            Self::BadSignature => 1,
            _ => 2,
        }
    }

    /// Whether the anchor that gave this answer is the one that the certificate's signatures lead to.
    pub(super) fn is_of_its_anchor(&self) -> bool {
        self.rank() >= 2
    }

    pub(super) fn from_tls(error: &TlsError) -> Self {
        match error {
            TlsError::InvalidCertificate(error) => match error {
                CertificateError::UnknownIssuer => Self::UnknownIssuer,
                CertificateError::BadSignature
                | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => Self::BadSignature,
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
                CertificateError::Revoked => Self::Revoked,
                CertificateError::UnknownRevocationStatus => Self::RevocationUnknown,
                CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
                    Self::RevocationListExpired
                }
                CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => Self::NoClientAuth,
                CertificateError::BadEncoding => Self::Malformed("its encoding is wrong"),
                _ => Self::Other,
            },
            TlsError::InvalidCertRevocationList(
                CertRevocationListError::BadSignature
                | CertRevocationListError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. },
            ) => Self::RevocationListForeign,
            _ => Self::Other,
        }
    }

    /// The form in which the handshake carries it; decides the TLS alert that the client sees.
    pub(super) fn to_tls(&self) -> TlsError {
        TlsError::InvalidCertificate(match self {
            Self::UnknownIssuer | Self::BadSignature | Self::AnchorExpired => CertificateError::UnknownIssuer,
            Self::Malformed(_) => CertificateError::BadEncoding,
            Self::Expired => CertificateError::Expired,
            Self::NotYetValid => CertificateError::NotValidYet,
            Self::Revoked => CertificateError::Revoked,
            Self::RevocationUnknown | Self::RevocationListForeign | Self::NoCrlSign => {
                CertificateError::UnknownRevocationStatus
            }
            Self::RevocationListExpired => CertificateError::ExpiredRevocationList,
            Self::IsAuthority | Self::NoClientAuth | Self::NoDigitalSignature => CertificateError::InvalidPurpose,
            Self::ClaimsOtherPartner { .. } | Self::SeveralMembers | Self::MalformedMember => {
                CertificateError::ApplicationVerificationFailure
            }
            Self::PathTooLong
            | Self::NotAuthority
            | Self::CriticalExtension(_)
            | Self::NameConstraint(_)
            | Self::NoPolicy
            | Self::OtherPartnersAnchor { .. }
            | Self::Other => CertificateError::Other(OtherError(Arc::new(self.clone()))),
        })
    }
}

/// A certificate that was refused, and whose it is as far as its signatures show. Nobody has proved to hold its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RefusedCertificate {
    pub(super) refusal: CertificateRefusal,
    /// SHA-256 of its subject public key info; none where it cannot be read.
    pub(super) key: Option<Sha256>,
    /// The partner to whose anchor its signatures lead.
    pub(super) partner: Option<PartnerCode>,
}

impl RefusedCertificate {
    /// Slug of the problem that it would be in an answer.
    pub(super) fn problem(&self) -> &'static str {
        EdgeRefusal::CertificateRefused(self.refusal.clone()).kind().slug()
    }
}

/// A share that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// How many there can be a minute, one minute after another.
    pub per_minute: u32,
    /// How many at once: as many as in a window of that many seconds.
    pub at_once: u32,
    pub window: u64,
    /// Until there can be one more.
    pub wait: Duration,
}

/// What is divided between everybody who asks, and is held while a request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shared {
    Requests,
    Bodies,
    Downloads,
    Answers,
    Waits,
}

impl Shared {
    /// The name of a certificate's share of it, in the fields of an answer.
    fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Bodies => "bodies",
            Self::Downloads => "downloads",
            Self::Answers => "answers",
            Self::Waits => "waits",
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Requests | Self::Downloads | Self::Waits => "concurrent-requests",
            Self::Bodies | Self::Answers => "content-bytes",
        }
    }

    /// So many of it, in words.
    fn counted(self, limit: usize) -> String {
        let noun = match self {
            Self::Requests => LimitNoun::new("request", "requests", "under way"),
            Self::Bodies => LimitNoun::bytes("of request bodies under way"),
            Self::Downloads => LimitNoun::new("download", "downloads", "under way"),
            Self::Answers => LimitNoun::bytes("of answers that nobody has read yet"),
            Self::Waits => LimitNoun::new("request", "requests", "waiting for something new"),
        };
        noun.counted(limit as u64)
    }
}

/// Why the edge does not let a request go on, as a problem document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EdgeRefusal {
    /// The certificate was fine when the connection began and is no longer.
    #[error("{0}")]
    CertificateRefused(CertificateRefusal),
    /// A route that needs a peer was reached without one: the listener is not the mutual-TLS one.
    #[error("this needs a client certificate")]
    CertificateRequired,
    #[error("the request header has more than {limit} bytes")]
    HeadersTooLarge { limit: u32 },
    /// Anyone of it may still ask who they are, and a registrar for partners and members.
    #[error("`{partner}` is suspended since {:.0}: {}", .suspension.since, .suspension.reason.sentence())]
    PartnerSuspended { partner: PartnerCode, suspension: Suspension },
    #[error("the server answers as many requests as it can")]
    Overloaded,
    /// The caller holds less than they may, and all members of their partner together as much as it may.
    #[error(
        "the members of one partner may have at most {} at a time, and have as many now",
        what.counted(*limit)
    )]
    OverloadedPartner { what: Shared, limit: usize },
    #[error("one certificate may have at most {} at a time", Shared::Requests.counted(*limit))]
    TooManyRequests { limit: usize },
    #[error(
        "one certificate may have at most {} at a time, and a body without `Content-Length` counts as the longest allowed",
        Shared::Bodies.counted(*limit)
    )]
    TooManyBodies { limit: usize },
    #[error("one certificate may have at most {} at a time", Shared::Downloads.counted(*limit))]
    TooManyDownloads { limit: usize },
    #[error("one certificate may have at most {} at a time", Shared::Waits.counted(*limit))]
    TooManyWaits { limit: usize },
    #[error("one member may make at most {} a minute that leave an entry in the log", counted(.0.per_minute, "read", "reads"))]
    TooManyReads(Spent),
    #[error("one member may make at most {} a minute, and {} at once", counted(.0.per_minute, "act", "acts"), .0.at_once)]
    TooManyActs(Spent),
    #[error(
        "the members of one partner may make at most {} a minute, and {} at once",
        counted(.0.per_minute, "act", "acts"), .0.at_once
    )]
    TooManyActsOfPartner(Spent),
    #[error("the answers that this certificate has not read yet reach the limit: {limit} bytes")]
    AnswersWaiting { limit: usize },
    #[error("the request body arrived too slowly")]
    BodyTooSlow,
    #[error("the server failed; nothing was half-written")]
    Internal,
}

impl EdgeRefusal {
    pub(super) fn suspended(partner: &PartnerCode, suspension: Suspension) -> Self {
        Self::PartnerSuspended { partner: partner.clone(), suspension }
    }

    /// Which problem of the catalogue it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::CertificateRefused(CertificateRefusal::ClaimsOtherPartner { .. }) => {
                Kind::CertificateClaimsOtherPartner
            }
            Self::CertificateRefused(_) | Self::CertificateRequired => Kind::CertificateRefused,
            Self::PartnerSuspended { .. } => Kind::PartnerSuspended,
            Self::HeadersTooLarge { .. } => Kind::HeadersTooLarge,
            Self::Overloaded | Self::OverloadedPartner { .. } => Kind::Overloaded,
            Self::TooManyRequests { .. } | Self::TooManyBodies { .. } | Self::TooManyWaits { .. } => {
                Kind::TooManyRequests
            }
            Self::TooManyDownloads { .. } | Self::AnswersWaiting { .. } => Kind::TooManyAnswers,
            Self::TooManyReads(_) => Kind::TooManyReads,
            Self::TooManyActs(_) | Self::TooManyActsOfPartner(_) => Kind::TooManyActs,
            Self::BodyTooSlow => Kind::Timeout,
            Self::Internal => Kind::Internal,
        }
    }
}

impl EdgeRefusal {
    /// The share of the caller, or of their partner, that is used up, and how large it is, as the fields of draft-ietf-httpapi-ratelimit-headers-10 give it.
    fn exceeded(&self) -> Option<[(&'static str, String); 2]> {
        let held = |what: &Shared, whose: &str, limit: usize| {
            let (policy, unit) = (what.name(), what.unit());
            [
                ("ratelimit-policy", format!("\"{policy}{whose}\";q={limit};qu=\"{unit}\"")),
                ("ratelimit", format!("\"{policy}{whose}\";r=0")),
            ]
        };
        match self {
            Self::TooManyRequests { limit } => Some(held(&Shared::Requests, "", *limit)),
            Self::TooManyBodies { limit } => Some(held(&Shared::Bodies, "", *limit)),
            Self::TooManyDownloads { limit } => Some(held(&Shared::Downloads, "", *limit)),
            Self::AnswersWaiting { limit } => Some(held(&Shared::Answers, "", *limit)),
            Self::TooManyWaits { limit } => Some(held(&Shared::Waits, "", *limit)),
            Self::OverloadedPartner { what, limit } => Some(held(what, "-of-partner", *limit)),
            _ => {
                let (policy, Spent { at_once, window, wait, .. }) = self.spent()?;
                Some([
                    ("ratelimit-policy", format!("\"{policy}\";q={at_once};w={window}")),
                    ("ratelimit", format!("\"{policy}\";r=0;t={}", wait.as_secs())),
                ])
            }
        }
    }
}

impl EdgeRefusal {
    /// A share by time that is used up, and its name.
    fn spent(&self) -> Option<(&'static str, &Spent)> {
        match self {
            Self::TooManyReads(spent) => Some(("logged-reads", spent)),
            Self::TooManyActs(spent) => Some(("acts", spent)),
            Self::TooManyActsOfPartner(spent) => Some(("acts-of-partner", spent)),
            _ => None,
        }
    }
}

impl IntoResponse for EdgeRefusal {
    fn into_response(self) -> Response {
        let (exceeded, wait) = (self.exceeded(), self.spent().map(|(_, spent)| spent.wait));
        let mut problem = Problem::new(self.kind(), self.to_string());
        if let Self::CertificateRefused(refusal) = &self {
            // Closer to the case than what holds for every refused certificate.
            refusal.help().clone_into(&mut problem.remedy);
        }
        let mut response = problem.into_response();
        for (name, value) in exceeded.into_iter().flatten() {
            let value = HeaderValue::from_str(&value).expect("a name and a number are a header's value");
            response.headers_mut().insert(name, value);
        }
        if let Some(wait) = wait {
            response.headers_mut().insert(header::RETRY_AFTER, wait.as_secs().into());
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::to_bytes;

    #[tokio::test]
    async fn refusal_is_a_problem_of_the_catalogue() {
        let response = EdgeRefusal::CertificateRefused(CertificateRefusal::Revoked).into_response();
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let body: Problem = serde_json::from_slice(&to_bytes(response.into_body(), 4096).await.unwrap()).unwrap();
        assert_eq!((body.slug(), body.status), ("certificate-refused", 401));
        assert_eq!(body.detail, "the certificate was revoked");
        assert_eq!(body.remedy, CertificateRefusal::Revoked.help());
    }

    #[test]
    fn overload_says_when_to_come_back() {
        let overloads = [EdgeRefusal::Overloaded, EdgeRefusal::OverloadedPartner { what: Shared::Bodies, limit: 7 }];
        let [everybody, partner] = overloads.map(|refusal| refusal.into_response().headers().clone());
        assert!(everybody.contains_key("retry-after") && !everybody.contains_key("ratelimit"));
        assert!(partner.contains_key("retry-after"));
        assert_eq!(partner["ratelimit-policy"], "\"bodies-of-partner\";q=7;qu=\"content-bytes\"");
        assert_eq!(partner["ratelimit"], "\"bodies-of-partner\";r=0");
    }
}
