//! Uploads that can be resumed, by tus 1.0 with its extensions for creation, expiration and termination (<https://tus.io/protocols/resumable-upload>).
//!
//! Here is the protocol alone: its headers, and what they ask for. An upload is announced as a document is, but for its digest, which may be
//! unknown while it is still being sealed; its last byte makes it the document.

use super::{
    act::act,
    change_request::{Arriving, Conditions, EmptyChange, check_media_type, credential, one},
    documents::is_media_type,
    header_names::{
        TUS_RESUMABLE, TUS_VERSION, UPLOAD_CHECKSUM, UPLOAD_EXPIRES, UPLOAD_LENGTH, UPLOAD_METADATA, UPLOAD_OFFSET,
    },
    list::PathIds,
    peer::Peer,
    principal::Caller,
    problem::Fault,
    standing::while_accepted,
    state::Api,
};
use crate::{
    domain::id::Sha256,
    service::{
        Credential as _, RequestContext, ServiceError,
        documents::Announced,
        uploads::{self, Continuation},
    },
    share_table::SMALL_BODY_BYTES,
    wire::{UPLOAD_MEDIA_TYPE, problem::Kind, proposal::ResumableUpload},
};
use axum::{
    Json,
    body::BodyDataStream,
    extract::{FromRequest, FromRequestParts, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::{Timestamp, fmt::rfc2822::DateTimePrinter};

/// The version of the protocol.
const VERSION: HeaderValue = HeaderValue::from_static("1.0.0");

/// Begins an upload of a sealed document into a slot; its bytes follow in one `PATCH` or several.
///
/// As tus 1.0 has it, so its clients work. `Upload-Metadata` has `media_type`, that of the plaintext, and may have `sha256`, the digest of the age file
/// in hexadecimal digits; nothing else, since the host could read it. A member has one upload for each slot: an earlier one of theirs ends. It
/// leaves no entry, and nobody else sees it.
#[utoipa::path(post, path = "/v1/proposals/{proposal}/documents/{slot}/uploads", tag = "documents",
    params(
        ("Tus-Resumable" = String, Header, description = "`1.0.0`."),
        ("Upload-Length" = u64, Header, description = "Bytes of the age file."),
        ("Upload-Metadata" = String, Header, description = "`media_type <base64>`, and `sha256 <base64>` if it is known."),
    ),
    responses((status = 201, body = ResumableUpload, headers(("Upload-Expires" = String))), (status = 412)))]
pub(super) async fn begin_upload(State(api): State<Api>, ids: PathIds, new: NewUpload) -> Response {
    let NewUpload { context, size, media_type, sha256 } = new;
    let begun = async {
        let (proposal, slot) = (ids.id("proposal")?, ids.id("slot")?);
        let announced = Announced { proposal, slot, sha256, size, media_type, here_at: None };
        act!(api, context, |context| uploads::begin(&api, context, &announced))
    };
    let answer = match begun.await {
        Ok(answer) => answer,
        Err(error) => return spoken(error.into_response()),
    };
    let upload: Option<ResumableUpload> = serde_json::from_slice(&answer.body).ok();
    let mut response = answer.into_response();
    response.headers_mut().extend(upload.map(|upload| expires(&upload)));
    spoken(response)
}

/// How far an upload of yours has come: the byte at which it goes on, or the document that it became.
///
/// `HEAD` has the same headers. Every byte before `Upload-Offset` outlasts a power failure.
#[utoipa::path(get, path = "/v1/proposals/{proposal}/uploads/{upload}", tag = "documents",
    responses((status = 200, body = ResumableUpload, headers(
        ("Upload-Offset" = u64), ("Upload-Length" = u64), ("Upload-Expires" = String)))))]
pub(super) async fn show_upload(State(api): State<Api>, caller: Caller, ids: PathIds) -> Response {
    let shown = async { uploads::show(&api, &caller, ids.id("proposal")?, ids.id("upload")?).await };
    spoken(match shown.await {
        Ok(upload) => (progress(&upload), Json(upload)).into_response(),
        Err(error) => error.into_response(),
    })
}

/// Adds bytes to an upload of yours; the last one makes it the document, as a `PUT` of all bytes would.
///
/// What came stays when the connection breaks: ask for `Upload-Offset` with `HEAD`, and go on there. A request that still adds to the same upload ends. A
/// deadline is met by the arrival of the last byte. Where the last byte makes no document, the reason is said, and that byte is asked for again.
#[utoipa::path(patch, path = "/v1/proposals/{proposal}/uploads/{upload}", tag = "documents",
    params(
        ("Tus-Resumable" = String, Header, description = "`1.0.0`."),
        ("Upload-Offset" = u64, Header, description = "Bytes before those that are sent."),
    ),
    request_body(content = Vec<u8>, content_type = "application/offset+octet-stream"),
    responses((status = 204, headers(("Upload-Offset" = u64), ("Upload-Expires" = String))), (status = 412), (status = 423)))]
pub(super) async fn append_upload(State(api): State<Api>, ids: PathIds, more: MoreBytes) -> Response {
    let MoreBytes { context, offset, bytes, here_at, peer } = more;
    let appended = async {
        let continuation = Continuation { proposal: ids.id("proposal")?, upload: ids.id("upload")?, offset, here_at };
        Box::pin(uploads::append(api.exchange(), &context, continuation, while_accepted(peer.clone(), bytes))).await
    };
    spoken(match appended.await {
        Ok(upload) => (StatusCode::NO_CONTENT, progress(&upload)).into_response(),
        // Said as what it is rather than as bytes that stopped coming.
        Err(ServiceError::Interrupted) => {
            peer.check().map_or_else(ServiceError::CertificateRefused, |()| ServiceError::Interrupted).into_response()
        }
        Err(error) => {
            let at = match &error {
                ServiceError::OtherOffset { at } => Some(number(UPLOAD_OFFSET, *at)),
                _ => None,
            };
            let mut response = error.into_response();
            response.headers_mut().extend(at);
            response
        }
    })
}

/// Takes an upload of yours back, and what is here of it. A document that it became stays.
#[utoipa::path(delete, path = "/v1/proposals/{proposal}/uploads/{upload}", tag = "documents", responses((status = 204)))]
pub(super) async fn remove_upload(State(api): State<Api>, ids: PathIds, EmptyChange(context): EmptyChange) -> Response {
    let removed = async {
        let (proposal, upload) = (ids.id("proposal")?, ids.id("upload")?);
        act!(api, context, |context| uploads::remove(&api, context, proposal, upload))
    };
    spoken(match removed.await {
        Ok(answer) => answer.into_response(),
        Err(error) => error.into_response(),
    })
}

/// What is announced of an upload.
#[derive(Debug)]
pub(super) struct NewUpload {
    context: RequestContext,
    size: u64,
    media_type: String,
    sha256: Option<Sha256>,
}

impl FromRequest<Api> for NewUpload {
    type Rejection = Response;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let body = Arriving::begin(api, &parts.headers, body, SMALL_BODY_BYTES).await;
        let Caller(principal) = Caller::from_request_parts(&mut parts, api).await?;
        api.rates().act(&principal.member).map_err(IntoResponse::into_response)?;
        check_version(&parts.headers)?;
        let read = async {
            let conditions = Conditions::read(&parts.headers)?;
            let size = announced_length(&parts.headers)?;
            let (media_type, sha256) = metadata(&parts.headers)?;
            let (body, arrived_at) = body.whole(api, &parts.headers, SMALL_BODY_BYTES).await?;
            if !body.is_empty() {
                return Err(Fault::malformed("an upload is begun without bytes; send them with `PATCH`"));
            }
            let digest = sha256.map(|sha256| sha256.to_string()).unwrap_or_default();
            let said = format!("{digest}\n{size}\n{media_type}");
            let context = conditions.context(principal, &parts, said.as_bytes(), arrived_at);
            Ok::<_, Fault>(Self { context, size, media_type, sha256 })
        };
        read.await.map_err(IntoResponse::into_response)
    }
}

/// Bytes of an upload and where they belong.
#[derive(Debug)]
pub(super) struct MoreBytes {
    context: RequestContext,
    offset: u64,
    bytes: BodyDataStream,
    here_at: Option<Timestamp>,
    peer: Peer,
}

impl FromRequest<Api> for MoreBytes {
    type Rejection = Response;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let body = Arriving::begin(api, &parts.headers, body, SMALL_BODY_BYTES).await;
        let Caller(principal) = Caller::from_request_parts(&mut parts, api).await?;
        api.rates().act(&principal.member).map_err(IntoResponse::into_response)?;
        let peer = Peer::from_request_parts(&mut parts, api).await.map_err(IntoResponse::into_response)?;
        check_version(&parts.headers)?;
        let read = || {
            check_media_type(&parts.headers, UPLOAD_MEDIA_TYPE)?;
            let offset = counted(&parts.headers, &UPLOAD_OFFSET)?;
            if parts.headers.contains_key(UPLOAD_CHECKSUM) {
                return Err(Fault::malformed("`Upload-Checksum` is not compared here; announce `sha256` of the whole"));
            }
            let (bytes, here_at) = body.stream()?;
            // The offset makes it recognisable when it is sent again.
            let arrived_at = Some(here_at.unwrap_or_else(|| api.time.now()));
            let credential = credential(&parts);
            let context = RequestContext { credential, arrived_at, ..RequestContext::read(principal, false) };
            Ok::<_, Fault>(Self { context, offset, bytes, here_at, peer })
        };
        read().map_err(IntoResponse::into_response)
    }
}

/// Refuses a request that follows another version of the protocol, or does not say which.
#[expect(clippy::result_large_err, reason = "an answer as axum takes it, made once a request")]
fn check_version(headers: &HeaderMap) -> Result<(), Response> {
    if headers.get(TUS_RESUMABLE) == Some(&VERSION) {
        return Ok(());
    }
    let mut response = Fault::new(Kind::TusVersion, "send `Tus-Resumable: 1.0.0`").into_response();
    response.headers_mut().insert(TUS_VERSION, VERSION);
    Err(spoken(response))
}

fn announced_length(headers: &HeaderMap) -> Result<u64, Fault> {
    match counted(headers, &UPLOAD_LENGTH)? {
        0 => Err(Fault::malformed("an age file has at least one byte; announce how many in `Upload-Length`")),
        size => Ok(size),
    }
}

fn counted(headers: &HeaderMap, name: &HeaderName) -> Result<u64, Fault> {
    let given = one(headers, name)?.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = given.and_then(|text| text.parse().ok()).filter(|number| i64::try_from(*number).is_ok());
    number.ok_or_else(|| Fault::malformed(format!("send `{name}`, a number of bytes")))
}

/// The media type of the plaintext, and the digest of the age file if it is known.
fn metadata(headers: &HeaderMap) -> Result<(String, Option<Sha256>), Fault> {
    let given = one(headers, &UPLOAD_METADATA)?.unwrap_or_default();
    let (mut media_type, mut sha256) = (None, None);
    for pair in given.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once(' ').unwrap_or((pair, ""));
        let text = BASE64_STANDARD.decode(value.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.ok_or_else(|| Fault::malformed("the values of `Upload-Metadata` are text in base64"))?;
        let place = match name {
            "media_type" => &mut media_type,
            "sha256" => &mut sha256,
            // Clients like to send the name of the file, and what is sent here the host can read.
            _ => {
                return Err(Fault::malformed(
                    "`Upload-Metadata` has `media_type` and `sha256` and nothing else: the host can read it",
                ));
            }
        };
        if place.replace(text).is_some() {
            return Err(Fault::malformed("`Upload-Metadata` has each name once"));
        }
    }
    let media_type = media_type.filter(|text| is_media_type(text)).ok_or_else(|| {
        Fault::malformed(
            "send `media_type` in `Upload-Metadata`, that of the plaintext, such as `application/pdf` in base64",
        )
    })?;
    let sha256 = sha256.map(|text| text.parse()).transpose();
    let sha256 = sha256.map_err(|_| Fault::malformed("`sha256` in `Upload-Metadata` is 64 hexadecimal digits"))?;
    Ok((media_type, sha256))
}

/// What an answer says of how far an upload has come.
fn progress(upload: &ResumableUpload) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.extend([number(UPLOAD_OFFSET, upload.offset), number(UPLOAD_LENGTH, upload.size), expires(upload)]);
    headers
}

fn number(name: HeaderName, number: u64) -> (HeaderName, HeaderValue) {
    (name, number.into())
}

fn expires(upload: &ResumableUpload) -> (HeaderName, HeaderValue) {
    let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&upload.expires_at.0);
    let date = date.ok().and_then(|date| HeaderValue::try_from(date).ok());
    (UPLOAD_EXPIRES, date.unwrap_or(HeaderValue::from_static("Fri, 31 Dec 9999 23:59:59 GMT")))
}

/// An answer that says which protocol it follows.
fn spoken(mut response: Response) -> Response {
    response.headers_mut().insert(TUS_RESUMABLE, VERSION);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::try_from(*value).unwrap())).collect()
    }

    fn announced(text: &str) -> Option<(String, Option<Sha256>)> {
        metadata(&headers(&[(UPLOAD_METADATA, text)])).ok()
    }

    #[test]
    fn metadata_has_the_media_type_and_the_digest_and_nothing_that_the_host_should_not_read() {
        let base64 = |text: &str| BASE64_STANDARD.encode(text);
        let (pdf, digest) = (base64("application/pdf"), Sha256::of(b"x"));
        let (name, hex) = (base64("secret plan.pdf"), base64(&digest.to_string()));
        let plain = Some(("application/pdf".to_owned(), None));
        assert_eq!(announced(&format!("media_type {pdf}")), plain);
        let both = Some(("application/pdf".to_owned(), Some(digest)));
        assert_eq!(announced(&format!("sha256 {hex},media_type {pdf}")), both);
        assert_eq!(announced(&format!("sha256 {hex} , media_type {pdf}")), both);
        for wrong in [
            String::new(),
            "media_type".to_owned(),
            format!("media_type {}", base64("pdf")),
            format!("media_type {pdf},media_type {pdf}"),
            format!("media_type {pdf},filename {name}"),
            format!("media_type {pdf},sha256 {}", base64("00")),
            format!("media_type {pdf},sha256 {digest}"),
        ] {
            assert_eq!(announced(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn numbers_are_digits_and_fit_the_database() {
        let length = |text: &str| announced_length(&headers(&[(UPLOAD_LENGTH, text)])).ok();
        assert_eq!(length("1"), Some(1));
        assert_eq!(length("9223372036854775807"), Some(u64::MAX / 2));
        for wrong in ["", "0", "+1", "-1", "1.0", "9223372036854775808", "a"] {
            assert_eq!(length(wrong), None, "{wrong}");
        }
        assert!(announced_length(&HeaderMap::new()).is_err());
    }

    #[test]
    fn only_the_version_that_is_served_is_followed() {
        assert!(check_version(&headers(&[(TUS_RESUMABLE, "1.0.0")])).is_ok());
        for other in [HeaderMap::new(), headers(&[(TUS_RESUMABLE, "0.2.2")])] {
            let refused = check_version(&other).unwrap_err();
            assert_eq!((refused.status().as_u16(), &refused.headers()[TUS_VERSION]), (412, &VERSION));
        }
    }
}
