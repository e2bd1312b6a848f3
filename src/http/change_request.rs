//! What comes with a request for a change: the member, the key that makes a repetition recognisable, the state that they saw, and a body
//! within limits.
//!
//! Everything is looked at in one order, before anything is known of the thing the change is about: who, headers, media type,
//! size, and only then the bytes. So a client that waits for `100 Continue` is refused before it sends, and a mistake in
//! the request reveals nothing of what exists. A small body is read before all of that and looked at in its place: when it
//! was here must not depend on how long the database is busy with others.

use super::{
    body_limit::{BodyLimit, MIB},
    list::PathIds,
    named_subject::{NamedSubject, not_named},
    peer::Peer,
    principal::{Caller, Holder, introduce},
    problem::{Fault, without_values},
    state::Api,
    timeouts::BodyTooSlow,
};
use crate::{
    policy::Action,
    reading::{self, ReadingFault},
    service::{
        Credential, Idempotency, Principal, RequestContext, ServiceError, directory,
        first_look::{self, About},
    },
    share_table::SMALL_BODY_BYTES,
    wire::{call, decision, directory as bodies, policy, problem::Kind, proposal, review},
};
use axum::{
    body::{Body, BodyDataStream, Bytes, HttpBody, to_bytes},
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, HeaderName, Method, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// Names a request, so that the same one sent again has no second effect.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A change with a JSON body.
#[derive(Debug)]
pub(super) struct Change<T> {
    pub(super) context: RequestContext,
    pub(super) body: T,
}

/// A change that the address and the headers say in full.
#[derive(Debug)]
pub(super) struct EmptyChange(pub(super) RequestContext);

/// A read that leaves an entry in the log.
#[derive(Debug)]
pub(super) struct LoggedRead(pub(super) RequestContext);

/// A change with a JSON body by somebody who may not be a member yet.
#[derive(Debug)]
pub(super) struct FirstChange<T> {
    pub(super) peer: directory::CertificateHolder,
    /// None while no key card names the certificate.
    pub(super) context: Option<RequestContext>,
    pub(super) idempotency: Idempotency,
    pub(super) body: T,
}

/// The JSON body of a change.
pub(super) trait ChangeBody: DeserializeOwned {
    const LIMIT: BodyLimit;

    /// What the address says of its subject beside the path.
    fn named(_: &Uri) -> Result<Option<NamedSubject>, Fault> {
        Ok(None)
    }

    /// The same by the body, of one whose address may name it.
    fn subject(&self) -> Option<NamedSubject> {
        None
    }

    /// What the caller has to be permitted before a large one is taken, as far as the address says it.
    fn about(_: &PathIds, _: Option<NamedSubject>) -> Option<Result<About, Fault>> {
        None
    }
}

macro_rules! change_bodies {
    ($($limit:expr => $($name:ty),*;)*) => {
        $($(impl ChangeBody for $name { const LIMIT: BodyLimit = $limit; })*)*
    };
}

/// A body that can be large, and what it is about.
macro_rules! checked_change_bodies {
    ($($name:ty: $limit:expr, $ids:ident => $about:expr;)*) => {
        $(impl ChangeBody for $name {
            const LIMIT: BodyLimit = $limit;

            fn about($ids: &PathIds, _: Option<NamedSubject>) -> Option<Result<About, Fault>> {
                Some($about.map_err(Fault::from))
            }
        })*
    };
}

/// A body that can be large, and what it is about, which is in the body and in the query of a large one.
macro_rules! named_change_bodies {
    ($($name:ty: $limit:expr, $subject:path, $read:path, $field:ident;)*) => {
        $(impl ChangeBody for $name {
            const LIMIT: BodyLimit = $limit;

            fn named(uri: &Uri) -> Result<Option<NamedSubject>, Fault> {
                $read(uri)
            }

            fn subject(&self) -> Option<NamedSubject> {
                Some($subject(self.$field))
            }

            fn about(_: &PathIds, named: Option<NamedSubject>) -> Option<Result<About, Fault>> {
                Some(named.map(NamedSubject::about).ok_or_else(not_named))
            }
        })*
    };
}

/// For a whole body that is read into memory, and more for each 16 KiB that it may have.
const BODY_TIME: Duration = Duration::from_mins(1);
const A_SECOND: u64 = 16 << 10;

change_bodies! {
    BodyLimit::Small => bodies::PublishKeyCard, bodies::CreateProgram, call::ExtendCall, call::Reason, call::GrantRoles,
        proposal::SignLabel, proposal::AcceptInvitation, review::DeclareConflict, review::DeclineAssignment, review::LiftConflict,
        decision::SignDecision;
}

named_change_bodies! {
    call::DraftCall: BodyLimit::General, NamedSubject::Program, NamedSubject::program, program;
    proposal::CreateProposal: BodyLimit::Ciphertext(4 * MIB), NamedSubject::Call, NamedSubject::call, call;
}

checked_change_bodies! {
    call::EditCall: BodyLimit::General, ids => of_call(ids, &[Action::EditCall]);
    proposal::SignManifest: BodyLimit::Arrival, ids => of_proposal(ids, &[Action::Sign]);
    // It holds the preview that it is for.
    policy::ApprovePolicy: BodyLimit::General, ids => ids.id("owner").map(About::Policies);
    policy::ProposePolicy: BodyLimit::Ciphertext(MIB), ids => ids.id("owner").map(About::Policies);
    review::SubmitReview: BodyLimit::Ciphertext(2 * MIB), ids => of_proposal(ids, &[Action::Review]);
    review::SendRanking: BodyLimit::Ciphertext(MIB), ids => of_proposal(ids, &[Action::SendRanking]);
    decision::SendLetter: BodyLimit::Ciphertext(2 * MIB), ids => of_proposal(ids, &[Action::SendLetter]);
    // Twenty signed lines.
    review::Assign: BodyLimit::Ciphertext(2 * MIB), ids => of_call(ids, &[Action::ViewProgress]);
    call::PublishCall: BodyLimit::Ciphertext(4 * MIB), ids => of_call(ids, &[Action::PublishCall, Action::AmendCall]);
    proposal::NewVault: BodyLimit::Ciphertext(4 * MIB), ids => of_proposal(ids, &[Action::WrapDeliberation, Action::Upload]);
    proposal::AddKeys: BodyLimit::Ciphertext(4 * MIB), ids => ids.id("vault").map(About::Vault);
    proposal::AddMember: BodyLimit::Ciphertext(4 * MIB), ids => of_invitation(ids);
}

fn of_call(ids: &PathIds, actions: &'static [Action]) -> Result<About, ServiceError> {
    Ok(About::Call(ids.id("call")?, actions))
}

fn of_proposal(ids: &PathIds, actions: &'static [Action]) -> Result<About, ServiceError> {
    Ok(About::Proposal(ids.id("proposal")?, actions))
}

fn of_invitation(ids: &PathIds) -> Result<About, ServiceError> {
    Ok(About::Invitation(ids.id("proposal")?, ids.id("member")?))
}

impl<T: ChangeBody> FromRequest<Api> for Change<T> {
    type Rejection = Response;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let limit = T::LIMIT.bytes(api.body_bytes());
        let body = Arriving::begin_up_to(api, &parts.headers, body, (limit, T::LIMIT.read_first())).await;
        let Caller(principal) = Caller::from_request_parts(&mut parts, api).await?;
        api.rates().act(&principal.member).map_err(IntoResponse::into_response)?;
        let read = async {
            let conditions = Conditions::read(&parts.headers)?;
            check_media_type(&parts.headers, "application/json")?;
            let length = check_length(&parts.headers, limit)?;
            let named = T::named(&parts.uri)?;
            let is_coming = matches!(body, Arriving::Coming(_));
            if is_coming && length.is_none_or(|length| length > SMALL_BODY_BYTES as u64) {
                let Ok(ids) = PathIds::from_request_parts(&mut parts, api).await;
                if let Some(about) = T::about(&ids, named) {
                    // The body is not here yet, and not asked for.
                    first_look::check(api, &principal, &conditions.idempotency(&parts, &[]), about?).await?;
                }
            }
            let (bytes, arrived_at) = body.whole(api, &parts.headers, limit).await?;
            let body: T = parsed(&bytes)?;
            body.subject().map_or(Ok(()), |subject| subject.check(named))?;
            still_accepted(&parts)?;
            Ok::<_, Fault>((conditions.context(principal, &parts, &bytes, arrived_at), body))
        };
        let (context, body) = read.await.map_err(IntoResponse::into_response)?;
        Ok(Self { context, body })
    }
}

impl<T: ChangeBody> FromRequest<Api> for FirstChange<T> {
    type Rejection = Response;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let limit = T::LIMIT.bytes(api.body_bytes());
        let body = Arriving::begin(api, &parts.headers, body, limit).await;
        let Holder(peer) = Holder::from_request_parts(&mut parts, api).await?;
        let principal = directory::identify(api, &peer).await.map_err(|error| Fault::from(error).into_response())?;
        introduce(api, &parts, principal.is_some());
        let member = principal.as_ref().map(|principal| &principal.member);
        api.rates().card(member, &peer.certificate).map_err(IntoResponse::into_response)?;
        let read = async {
            let conditions = Conditions::read(&parts.headers)?;
            check_media_type(&parts.headers, "application/json")?;
            let (bytes, arrived_at) = body.whole(api, &parts.headers, limit).await?;
            let body = parsed(&bytes)?;
            still_accepted(&parts)?;
            let idempotency = conditions.idempotency(&parts, &bytes);
            let context = principal.map(|principal| conditions.context(principal, &parts, &bytes, arrived_at));
            Ok::<_, Fault>((context, idempotency, body))
        };
        let (context, idempotency, body) = read.await.map_err(IntoResponse::into_response)?;
        Ok(Self { peer, context, idempotency, body })
    }
}

impl FromRequestParts<Api> for LoggedRead {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Response> {
        let Caller(principal) = Caller::from_request_parts(parts, api).await?;
        api.rates().read(&principal.member).map_err(IntoResponse::into_response)?;
        let context = RequestContext::read(principal, parts.method == Method::HEAD);
        Ok(Self(RequestContext { credential: credential(parts), ..context }))
    }
}

impl FromRequest<Api> for EmptyChange {
    type Rejection = Response;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        // These operations take no body. One that is sent is read up to the smallest limit, and then refused.
        let limit = BodyLimit::Small.bytes(api.body_bytes());
        let body = Arriving::begin(api, &parts.headers, body, limit).await;
        let Caller(principal) = Caller::from_request_parts(&mut parts, api).await?;
        api.rates().act(&principal.member).map_err(IntoResponse::into_response)?;
        let read = async {
            let conditions = Conditions::read(&parts.headers)?;
            let (body, arrived_at) = body.whole(api, &parts.headers, limit).await?;
            still_accepted(&parts)?;
            if !body.is_empty() {
                return Err(Fault::malformed("this operation takes no body"));
            }
            Ok(conditions.context(principal, &parts, &body, arrived_at))
        };
        read.await.map(Self).map_err(IntoResponse::into_response)
    }
}

/// The headers that every change has or may have.
#[derive(Debug)]
pub(super) struct Conditions {
    key: String,
    if_match: Option<String>,
}

impl Conditions {
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Fault> {
        let missing = || Fault::new(Kind::IdempotencyKeyRequired, "the header is missing");
        let key = one(headers, &IDEMPOTENCY_KEY)?.ok_or_else(missing)?;
        if !(1..=128).contains(&key.len()) || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let detail = "a key has 1 to 128 visible ASCII characters and no spaces";
            return Err(Fault::new(Kind::IdempotencyKeyRequired, detail));
        }
        let if_match = one(headers, &header::IF_MATCH)?;
        if let Some(tag) = if_match {
            let inner = tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            if inner.is_none_or(|inner| inner.contains('"')) {
                return Err(Fault::malformed("`If-Match` takes one `ETag` as it was sent, with its double quotes"));
            }
        }
        Ok(Self { key: key.to_owned(), if_match: if_match.map(ToOwned::to_owned) })
    }

    /// The request of this principal, which was here at that instant; `said` is its body, or whatever stands for it.
    pub(super) fn context(
        self,
        principal: Principal,
        parts: &Parts,
        said: &[u8],
        arrived_at: Timestamp,
    ) -> RequestContext {
        let idempotency = Some(self.idempotency(parts, said));
        let (if_match, arrived_at) = (self.if_match, Some(arrived_at));
        let (credential, size) = (credential(parts), said.len() as u64);
        let (is_head, is_rehearsal) = (false, false);
        RequestContext { principal, idempotency, if_match, is_head, credential, arrived_at, size, is_rehearsal }
    }

    /// What makes this request recognisable when it is sent again.
    fn idempotency(&self, parts: &Parts, said: &[u8]) -> Idempotency {
        let address = parts.uri.path_and_query().map_or("", |address| address.as_str());
        Idempotency::of(&self.key, (parts.method.as_str(), address), self.if_match.as_deref(), said)
    }
}

pub(super) fn credential(parts: &Parts) -> Option<Arc<dyn Credential>> {
    parts.extensions.get::<Peer>().map(|peer| Arc::new(peer.clone()) as Arc<dyn Credential>)
}

/// Refuses a caller whose certificate stopped counting while the body came. An act asks again when its turn has come.
pub(super) fn still_accepted(parts: &Parts) -> Result<(), Fault> {
    let Some(peer) = parts.extensions.get::<Peer>() else { return Ok(()) };
    peer.check().map_err(|reason| ServiceError::CertificateRefused(reason).into())
}

/// The only value of a header, as visible ASCII.
pub(super) fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Fault> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    text.map(Some).ok_or_else(|| Fault::malformed(format!("`{name}` is to be sent once, in visible ASCII")))
}

/// Refuses a body that is not of this media type, or is packed.
pub(super) fn check_media_type(headers: &HeaderMap, wanted: &str) -> Result<(), Fault> {
    let wrong =
        || Fault::new(Kind::WrongMediaType, format!("send `Content-Type: {wanted}` without `Content-Encoding`"));
    let given = one(headers, &header::CONTENT_TYPE)?.ok_or_else(wrong)?;
    let (essence, parameters) = given.split_once(';').unwrap_or((given, ""));
    let parameters = parameters.trim();
    let is_plain = parameters.is_empty() || parameters.eq_ignore_ascii_case("charset=utf-8");
    let is_packed = headers.contains_key(header::CONTENT_ENCODING);
    if essence.trim().eq_ignore_ascii_case(wanted) && is_plain && !is_packed { Ok(()) } else { Err(wrong()) }
}

/// The length that is announced, if one is. Refuses one past the limit.
fn check_length(headers: &HeaderMap, limit: usize) -> Result<Option<u64>, Fault> {
    let announced = one(headers, &header::CONTENT_LENGTH)?.and_then(|length| length.parse::<u64>().ok());
    match announced {
        Some(length) if length > limit as u64 => Err(ServiceError::TooLarge { limit: limit as u64 }.into()),
        announced => Ok(announced),
    }
}

/// A body on its way. INVARIANT: a small one was read before anything was asked of the database, and when its last byte was here is known
/// from then: a request that waits its turn at reading is not late for that.
#[derive(Debug)]
pub(super) enum Arriving {
    /// All that came, and when it was here.
    Here(Result<Bytes, Fault>, Timestamp),
    /// A long one, one of unknown length, or one whose sender waits for leave to send it.
    Coming(Body),
}

impl Arriving {
    /// Reads a small one. What it takes of memory is in the sender's share already.
    pub(super) async fn begin(api: &Api, headers: &HeaderMap, body: Body, limit: usize) -> Self {
        Self::begin_up_to(api, headers, body, (limit, SMALL_BODY_BYTES)).await
    }

    /// The same of one that is small if it has no more bytes than this.
    async fn begin_up_to(api: &Api, headers: &HeaderMap, body: Body, (limit, small): (usize, usize)) -> Self {
        let is_small = body.size_hint().upper().is_some_and(|most| most <= limit.min(small) as u64);
        if !is_small || headers.contains_key(header::EXPECT) {
            return Self::Coming(body);
        }
        let read = bytes(headers, body, limit).await;
        Self::Here(read, api.time.now())
    }

    /// All of it, and when its last byte was here.
    pub(super) async fn whole(self, api: &Api, headers: &HeaderMap, limit: usize) -> Result<(Bytes, Timestamp), Fault> {
        match self {
            Self::Here(read, at) => Ok((read?, at)),
            Self::Coming(body) => {
                let read = bytes(headers, body, limit).await?;
                Ok((read, api.time.now()))
            }
        }
    }

    /// Its bytes as they come, and when the last one was here if all are.
    pub(super) fn stream(self) -> Result<(BodyDataStream, Option<Timestamp>), Fault> {
        match self {
            Self::Here(read, at) => Ok((Body::from(read?).into_data_stream(), Some(at))),
            Self::Coming(body) => Ok((body.into_data_stream(), None)),
        }
    }
}

fn parsed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    reading::json(bytes).map_err(|fault| {
        let (kind, fault) = match fault {
            nul @ ReadingFault::Nul { .. } => (Kind::NulCharacter, nul),
            ReadingFault::Value { place, fault } => {
                (Kind::Malformed, ReadingFault::Value { place, fault: without_values(&fault) })
            }
            other @ ReadingFault::Json(_) => (Kind::Malformed, other),
        };
        Fault::new(kind, format!("the body: {fault}"))
    })
}

pub(super) async fn bytes(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Fault> {
    let too_large = || Fault::from(ServiceError::TooLarge { limit: limit as u64 });
    let announced = check_length(headers, limit)?;
    // INVARIANT: no place is held by a body that keeps moving and never ends.
    let patience = BODY_TIME + Duration::from_secs(announced.unwrap_or(limit as u64) / A_SECOND);
    let Ok(read) = timeout(patience, to_bytes(body, limit)).await else {
        return Err(Fault::from(ServiceError::Interrupted));
    };
    read.map_err(|error| {
        // Of the errors here, those that are neither garbage, slowness nor a connection gone are the limit's.
        if is_garbled(&error) {
            Fault::malformed("the body is not in the chunks that its header announces")
        } else if BodyTooSlow::caused(&error) || is_connection(&error) {
            Fault::from(ServiceError::Interrupted)
        } else {
            too_large()
        }
    })
}

/// Whether what came is no piece of a body: the size of a chunk that is no number, or no line end after it.
fn is_garbled(error: &axum::Error) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if matches!(kind, Some(std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData)) {
            return true;
        }
        next = error.source();
    }
    false
}

fn is_connection(error: &axum::Error) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if error.is::<hyper::Error>() || error.is::<std::io::Error>() {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::Sha256;
    use axum::http::HeaderValue;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn kind_of(fault: Fault) -> Kind {
        match fault {
            Fault::Request(kind, _) => kind,
            Fault::Service(ServiceError::TooLarge { .. }) => Kind::TooLarge,
            Fault::Service(ServiceError::Interrupted) => Kind::Timeout,
            Fault::Service(other) => panic!("{other}"),
        }
    }

    fn digest(method: &str, address: &str, if_match: Option<&str>, body: &[u8]) -> Sha256 {
        let request = Request::builder().method(method).uri(address).body(()).unwrap();
        let principal = Principal { member: "ISR:avi".parse().unwrap(), certificate: Sha256::of(b"") };
        let conditions = Conditions { key: "k".into(), if_match: if_match.map(ToOwned::to_owned) };
        conditions
            .context(principal, &request.into_parts().0, body, Timestamp::UNIX_EPOCH)
            .idempotency
            .unwrap()
            .request_sha256
    }

    #[test]
    fn key_is_required_and_bounded() {
        let read = |pairs| Conditions::read(&headers(pairs)).map_err(kind_of);
        assert_eq!(read(&[]).unwrap_err(), Kind::IdempotencyKeyRequired);
        for wrong in ["", "two words", &*"k".repeat(129).leak()] {
            let wrong = Conditions::read(&headers(&[("idempotency-key", wrong.to_owned().leak())]));
            assert_eq!(kind_of(wrong.unwrap_err()), Kind::IdempotencyKeyRequired);
        }
        assert_eq!(read(&[("idempotency-key", "a"), ("idempotency-key", "b")]).unwrap_err(), Kind::Malformed);
        assert_eq!(read(&[("idempotency-key", "a")]).unwrap().key, "a");
    }

    #[test]
    fn if_match_takes_one_quoted_tag() {
        let read = |tag: &'static str| Conditions::read(&headers(&[("idempotency-key", "k"), ("if-match", tag)]));
        assert_eq!(read("\"3.1\"").unwrap().if_match.as_deref(), Some("\"3.1\""));
        for wrong in ["3", "*", "W/\"3\"", "\"3\", \"4\"", "\""] {
            assert_eq!(kind_of(read(wrong).unwrap_err()), Kind::Malformed, "{wrong}");
        }
    }

    #[test]
    fn every_part_of_a_request_makes_it_another_one() {
        let base = digest("PUT", "/v1/calls/a?x=1", Some("\"1\""), b"{}");
        assert_eq!(base, digest("PUT", "/v1/calls/a?x=1", Some("\"1\""), b"{}"));
        for other in [
            digest("POST", "/v1/calls/a?x=1", Some("\"1\""), b"{}"),
            digest("PUT", "/v1/calls/b?x=1", Some("\"1\""), b"{}"),
            digest("PUT", "/v1/calls/a?x=2", Some("\"1\""), b"{}"),
            digest("PUT", "/v1/calls/a?x=1", Some("\"2\""), b"{}"),
            digest("PUT", "/v1/calls/a?x=1", None, b"{}"),
            digest("PUT", "/v1/calls/a?x=1", Some("\"1\""), b"{} "),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn only_the_named_media_type_unpacked_is_taken() {
        let json = |pairs: &[(&'static str, &'static str)]| check_media_type(&headers(pairs), "application/json");
        for fine in ["application/json", "Application/JSON", "application/json; charset=utf-8"] {
            assert!(json(&[("content-type", fine)]).is_ok(), "{fine}");
        }
        for wrong in ["text/plain", "application/json; charset=latin1", "application/jsonx", ""] {
            assert_eq!(kind_of(json(&[("content-type", wrong)]).unwrap_err()), Kind::WrongMediaType, "{wrong}");
        }
        assert!(json(&[]).is_err());
        assert!(json(&[("content-type", "application/json"), ("content-encoding", "gzip")]).is_err());
    }

    #[tokio::test]
    async fn body_past_the_limit_is_refused_announced_or_not() {
        let announced = headers(&[("content-length", "9")]);
        let endless = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(kind_of(bytes(&announced, endless, 8).await.unwrap_err()), Kind::TooLarge);
        assert_eq!(kind_of(bytes(&HeaderMap::new(), Body::from("123456789"), 8).await.unwrap_err()), Kind::TooLarge);
        assert_eq!(bytes(&HeaderMap::new(), Body::from("12345678"), 8).await.unwrap().len(), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn body_that_keeps_moving_and_never_ends_is_given_up() {
        let drop_by_drop = futures_util::stream::unfold((), async |()| {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b" ")), ()))
        });
        let body = Body::from_stream(drop_by_drop);
        assert_eq!(kind_of(bytes(&HeaderMap::new(), body, 1 << 20).await.unwrap_err()), Kind::Timeout);
    }

    #[tokio::test]
    async fn body_that_stops_is_no_matter_of_size() {
        for cause in [Box::new(BodyTooSlow) as axum::BoxError, Box::new(std::io::Error::other("gone"))] {
            let body = Body::from_stream(futures_util::stream::iter([Err::<Bytes, _>(cause)]));
            assert_eq!(kind_of(bytes(&HeaderMap::new(), body, 8).await.unwrap_err()), Kind::Timeout);
        }
    }

    #[test]
    fn fault_in_a_body_is_told_without_what_was_sent() {
        let tell = |body: &str| match parsed::<review::Pair>(body.as_bytes()).unwrap_err() {
            Fault::Request(Kind::Malformed, detail) => detail,
            other => panic!("{other:?}"),
        };
        let detail = tell(r#"{"proposal":"Quantum \" radar","reviewer":"ISR:avi"}"#);
        assert!(detail.contains("`/proposal`: the value is not an identifier such as `prop_"), "{detail}");
        assert!(!detail.contains("radar"), "{detail}");
        let detail = tell(r#"{"proposal":{"t":1},"reviewer":7}"#);
        assert!(detail.contains("`/proposal`: wanted text, not an object"), "{detail}");
        let detail = tell(r#""Quantum radar""#);
        assert!(!detail.contains("radar"), "{detail}");
        let detail = tell(r#"{"reviewers":1}"#);
        assert!(detail.contains("there is no `reviewers` here; it takes `proposal`, `reviewer`"), "{detail}");
    }
}
