//! Sealed documents on their way in and out, in constant memory.
//!
//! Bytes are announced before they come (length, digest, media type), so a caller who may not send them is refused before the
//! first. They leave as they came; a part of them can be asked for, so that a broken download goes on where it stopped.

use super::{
    act::act,
    change_request::{Arriving, Conditions, EmptyChange, LoggedRead, check_media_type, one},
    header_names::{CONTENT_DIGEST, PLAINTEXT_TYPE, REPR_DIGEST},
    list::PathIds,
    peer::Peer,
    preconditions,
    principal::{Caller, Holder},
    problem::Fault,
    shares::DownloadPlace,
    standing::{while_accepted, while_member},
    state::Api,
};
use crate::{
    domain::id::Sha256,
    service::{Answer, Credential, RequestContext, Result, ServiceError, documents},
    share_table::SMALL_BODY_BYTES,
    wire::{AGE_MEDIA_TYPE, page::Page, problem::Kind, proposal::Document},
};
use axum::{
    body::{Body, BodyDataStream},
    extract::{FromRequest, FromRequestParts, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::TryStreamExt;
use jiff::Timestamp;
use std::ops::Range;

/// The documents that you may fetch: for the parties what is uploaded, for others what the standing version names.
#[utoipa::path(get, path = "/v1/proposals/{proposal}/documents", tag = "documents",
    responses((status = 200, body = Page<Document>)))]
pub(super) async fn list(State(api): State<Api>, caller: Caller, ids: PathIds) -> Result<Answer> {
    Ok(Answer::json(200, &documents::list(&api, &caller, ids.id("proposal")?).await?))
}

/// Puts a sealed document into a slot: the raw bytes of an age file, sealed to the vault of the slot's audience.
///
/// `Content-Length` is needed; a chunked body is refused. With `Expect: 100-continue` a refusal comes before the bytes are sent. `If-Match`
/// names the document that is to be replaced, by the `ETag` of its upload or of its bytes; `"none"` says that the slot is empty.
#[utoipa::path(put, path = "/v1/proposals/{proposal}/documents/{slot}", tag = "documents",
    params(
        ("Repr-Digest" = String, Header, description = "`sha-256=:<base64>:` of the age file (RFC 9530)."),
        ("Entente-Media-Type" = String, Header, description = "Media type of the plaintext, as the manifest will say."),
        ("If-Match" = Option<String>, Header),
    ),
    request_body(content = Vec<u8>, content_type = "application/vnd.age"),
    responses((status = 201, body = Document, headers(("ETag" = String)))))]
pub(super) async fn put(State(api): State<Api>, ids: PathIds, sealed: SealedUpload) -> Result<Answer> {
    let SealedUpload { context, sha256, size, media_type, bytes, here_at, peer } = sealed;
    let (proposal, slot) = (ids.id("proposal")?, ids.id("slot")?);
    let announced = documents::Announced { proposal, slot, sha256: Some(sha256), size, media_type, here_at };
    let stored = documents::put(&api, &context, &announced, sha256, while_accepted(peer.clone(), bytes)).await;
    match stored {
        // Said as what it is rather than as bytes that stopped coming.
        Err(ServiceError::Interrupted) => {
            Err(peer.check().map_or_else(ServiceError::CertificateRefused, |()| ServiceError::Interrupted))
        }
        stored => stored,
    }
}

/// Takes a document out of a slot. Versions handed in that name it keep it.
#[utoipa::path(delete, path = "/v1/proposals/{proposal}/documents/{slot}", tag = "documents",
    params(("If-Match" = Option<String>, Header)), responses((status = 204)))]
pub(super) async fn remove(State(api): State<Api>, ids: PathIds, EmptyChange(context): EmptyChange) -> Result<Answer> {
    act!(api, context, |context| documents::remove(&api, context, ids.id("proposal")?, &ids.id("slot")?))
}

/// The age file of a document, or the part of it that `Range` names.
///
/// Leaves an entry in the log, but for `HEAD` and for a 304. One range is served; several, or another unit than bytes, get the whole file. A file that
/// is not what was stored is refused (`document-damaged`); where that shows only on the way, the connection ends before the last bytes. It also ends there
/// when the caller's certificate or key card stops counting meanwhile.
#[utoipa::path(get, path = "/v1/proposals/{proposal}/ciphertexts/{document}", tag = "documents",
    params(
        ("Range" = Option<String>, Header, description = "One range, such as `bytes=1048576-` (RFC 9110)."),
        ("If-Range" = Option<String>, Header, description = "`ETag` of the part that you have."),
        ("If-None-Match" = Option<String>, Header, description = "`ETag` of the whole that you have."),
    ),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/vnd.age", headers(
            ("ETag" = String), ("Repr-Digest" = String), ("Accept-Ranges" = String))),
        (status = 206, body = Vec<u8>, content_type = "application/vnd.age", headers(
            ("ETag" = String), ("Repr-Digest" = String), ("Content-Range" = String))),
        (status = 304, description = "You have it."),
        (status = 416),
    ))]
pub(super) async fn fetch(
    State(api): State<Api>,
    peer: Peer,
    Holder(holder): Holder,
    LoggedRead(context): LoggedRead,
    place: DownloadPlace,
    ids: PathIds,
    headers: HeaderMap,
) -> Result<Response, ServiceError> {
    let mut is_part = false;
    let wanted = |document: &Document| {
        // INVARIANT: nothing is handed out and no entry is left; that the caller may have it was decided before.
        if preconditions::has(&headers, &etag(document)) {
            return Err(ServiceError::Repeated(Box::new(Answer::not_modified(etag(document)))));
        }
        part(&headers, document).inspect(|part| is_part = part.is_some())
    };
    let (document, reading) =
        documents::fetch(&api, &context, ids.id("proposal")?, ids.id("document")?, wanted).await?;
    let Range { start, end } = reading.range;
    let text = |text: String| HeaderValue::try_from(text).expect("digests and numbers are visible characters");
    let digest = BASE64_STANDARD.encode(document.sha256.as_bytes());
    let mut answer = HeaderMap::new();
    answer.insert(header::CONTENT_TYPE, HeaderValue::from_static(AGE_MEDIA_TYPE));
    answer.insert(header::CONTENT_LENGTH, (end - start).into());
    answer.insert(header::ETAG, text(etag(&document)));
    answer.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    answer.insert(REPR_DIGEST, text(format!("sha-256=:{digest}:")));
    if is_part {
        answer.insert(header::CONTENT_RANGE, text(format!("bytes {start}-{}/{}", end - 1, reading.size)));
    }
    let status = if is_part { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let bytes = while_member(api, peer, holder, Caller(context.principal), reading.bytes);
    let bytes = bytes.inspect_err(|error| tracing::error!(%error, "a download broke off"));
    let mut response = (status, answer, Body::from_stream(bytes)).into_response();
    place.keep(response.extensions_mut());
    Ok(response)
}

/// The bytes of a document and what their sender says about them.
#[derive(Debug)]
pub(super) struct SealedUpload {
    context: RequestContext,
    sha256: Sha256,
    size: u64,
    media_type: String,
    bytes: BodyDataStream,
    here_at: Option<Timestamp>,
    peer: Peer,
}

impl FromRequest<Api> for SealedUpload {
    type Rejection = Response;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let body = Arriving::begin(api, &parts.headers, body, SMALL_BODY_BYTES).await;
        let Caller(principal) = Caller::from_request_parts(&mut parts, api).await?;
        api.rates().act(&principal.member).map_err(IntoResponse::into_response)?;
        let peer = Peer::from_request_parts(&mut parts, api).await.map_err(IntoResponse::into_response)?;
        let headers = &parts.headers;
        let read = || {
            let conditions = Conditions::read(headers)?;
            check_media_type(headers, AGE_MEDIA_TYPE)?;
            let size = length(headers)?;
            let sha256 = digest(headers)?;
            let media_type = plaintext_type(headers)?;
            // The digest stands for the bytes, which a repetition may not even have to send.
            let said = format!("{sha256}\n{size}\n{media_type}");
            let (bytes, here_at) = body.stream()?;
            let arrived_at = here_at.unwrap_or_else(|| api.time.now());
            let context = conditions.context(principal, &parts, said.as_bytes(), arrived_at);
            Ok::<_, Fault>(Self { context, sha256, size, media_type, bytes, here_at, peer })
        };
        read().map_err(IntoResponse::into_response)
    }
}

fn length(headers: &HeaderMap) -> Result<u64, Fault> {
    let given = one(headers, &header::CONTENT_LENGTH)?.and_then(|length| length.parse().ok());
    given.ok_or_else(|| Fault::new(Kind::LengthRequired, "the header is missing; a chunked body is not taken"))
}

fn digest(headers: &HeaderMap) -> Result<Sha256, Fault> {
    let digest = digest_in(headers, &REPR_DIGEST)?.ok_or_else(|| {
        Fault::new(Kind::DigestRequired, "`Repr-Digest` has no member `sha-256` with the base64 of 32 bytes")
    })?;
    // The bytes that travel are the whole representation.
    let of_content = one(headers, &CONTENT_DIGEST)?.is_some_and(|given| given.contains("sha-256="));
    if of_content && digest_in(headers, &CONTENT_DIGEST)? != Some(digest) {
        return Err(Fault::malformed("`Content-Digest` and `Repr-Digest` announce two digests for the same bytes"));
    }
    Ok(digest)
}

/// The SHA-256 that a header of RFC 9530 announces once.
fn digest_in(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Sha256>, Fault> {
    let given = one(headers, name)?.unwrap_or_default();
    let mut named = given.split(',').filter_map(|entry| entry.trim().strip_prefix("sha-256="));
    let (first, second) = (named.next(), named.next());
    if second.is_some() {
        return Err(Fault::malformed(format!("`{name}` announces two digests by `sha-256`; send one")));
    }
    let text = first.and_then(|text| text.strip_prefix(':')?.strip_suffix(':'));
    let bytes = text.and_then(|text| BASE64_STANDARD.decode(text).ok()).and_then(|bytes| bytes.try_into().ok());
    Ok(bytes.map(Sha256::from_bytes))
}

fn plaintext_type(headers: &HeaderMap) -> Result<String, Fault> {
    let wrong = || {
        Fault::malformed(format!("send `{PLAINTEXT_TYPE}`, the media type of the plaintext, such as `application/pdf`"))
    };
    let given = one(headers, &PLAINTEXT_TYPE)?.ok_or_else(wrong)?;
    if is_media_type(given) { Ok(given.to_owned()) } else { Err(wrong()) }
}

/// Whether it is a media type without parameters.
pub(super) fn is_media_type(text: &str) -> bool {
    let is_token = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte))
    };
    text.len() <= 127 && text.split_once('/').is_some_and(|(kind, sub)| is_token(kind) && is_token(sub))
}

fn etag(document: &Document) -> String {
    format!("\"{}\"", document.sha256)
}

/// The part of a document that is asked for; the whole when none is, or not in a way that is served here.
fn part(headers: &HeaderMap, document: &Document) -> Result<Option<Range<u64>>> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::IF_RANGE).is_some_and(|tag| tag != etag(document)) {
        return Ok(None);
    }
    let spec = text(header::RANGE).and_then(|range| range.strip_prefix("bytes="));
    let Some((first, last)) = spec.and_then(|spec| spec.trim().split_once('-')) else { return Ok(None) };
    let size = document.size;
    let number =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    let range = match (number(first), number(last)) {
        (Some(first), None) if last.is_empty() => first..size,
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
        (None, Some(count)) if first.is_empty() => size - count.min(size)..size,
        _ => return Ok(None),
    };
    if range.start < range.end { Ok(Some(range)) } else { Err(ServiceError::OutOfRange { size }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::try_from(*value).unwrap())).collect()
    }

    fn document() -> Document {
        serde_json::from_value(serde_json::json!({
            "id": "doc_01J9ZQ4N6M8V7X5T3R2P1K0HGF", "slot": "plan", "vault": "vault_01J9ZQ4N6M8V7X5T3R2P1K0HGF",
            "sha256": Sha256::of(b"x"), "size": 1000, "media_type": "application/pdf", "uploaded_by": "ISR:avi",
            "uploaded_at": "2026-04-01T15:00:00Z",
        }))
        .unwrap()
    }

    fn range(spec: &str) -> Result<Option<Range<u64>>> {
        part(&headers(&[(header::RANGE, spec)]), &document())
    }

    #[test]
    fn one_range_is_served_within_the_document() {
        for (spec, wanted) in [
            ("bytes=0-0", 0..1),
            ("bytes=500-", 500..1000),
            ("bytes=500-9999", 500..1000),
            ("bytes=-300", 700..1000),
            ("bytes=-5000", 0..1000),
            ("bytes=0-18446744073709551615", 0..1000),
        ] {
            assert_eq!(range(spec).unwrap(), Some(wanted), "{spec}");
        }
    }

    #[test]
    fn range_that_is_none_of_ours_gets_the_whole() {
        for spec in ["bytes=9-3", "bytes=0-1,5-6", "lines=0-1", "bytes=-", "bytes=a-b", "bytes=+1-2", ""] {
            assert_eq!(range(spec).unwrap(), None, "{spec}");
        }
    }

    #[test]
    fn range_past_the_end_is_refused() {
        for spec in ["bytes=1000-", "bytes=1000-2000", "bytes=-0"] {
            assert!(matches!(range(spec), Err(ServiceError::OutOfRange { size: 1000 })), "{spec}");
        }
    }

    #[test]
    fn range_of_another_document_gets_the_whole() {
        let of = |tag: &str| part(&headers(&[(header::RANGE, "bytes=5-"), (header::IF_RANGE, tag)]), &document());
        assert_eq!(of("\"other\"").unwrap(), None);
        assert_eq!(of(&etag(&document())).unwrap(), Some(5..1000));
    }

    #[test]
    fn digest_is_found_among_others_and_must_be_whole() {
        let whole = BASE64_STANDARD.encode(Sha256::of(b"x").as_bytes());
        let of = |text: &str| digest(&headers(&[(REPR_DIGEST, text)])).ok();
        assert_eq!(of(&format!("sha-256=:{whole}:")), Some(Sha256::of(b"x")));
        assert_eq!(of(&format!("sha-512=:AAAA:, sha-256=:{whole}:")), Some(Sha256::of(b"x")));
        let twice = format!("sha-256=:{whole}:, sha-256=:{whole}:");
        for wrong in
            ["", "sha-256=", "sha-256=:AAAA:", &format!("sha-256={whole}"), &format!("sha-256=:{whole}"), &twice]
        {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn digest_of_the_content_is_the_same_or_refused() {
        let member = |bytes: &[u8]| format!("sha-256=:{}:", BASE64_STANDARD.encode(Sha256::of(bytes).as_bytes()));
        let of = |content: &str| digest(&headers(&[(REPR_DIGEST, &member(b"x")), (CONTENT_DIGEST, content)])).ok();
        assert_eq!(of(&member(b"x")), Some(Sha256::of(b"x")));
        assert_eq!(of("sha-512=:AAAA:"), Some(Sha256::of(b"x")), "by another algorithm it is not compared");
        for wrong in [member(b"y"), "sha-256=:AAAA:".into(), format!("{0}, {0}", member(b"x"))] {
            assert_eq!(of(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn media_type_of_the_plaintext_has_the_shape_of_one() {
        let of = |text: &str| plaintext_type(&headers(&[(PLAINTEXT_TYPE, text)])).ok();
        assert_eq!(of("application/pdf").as_deref(), Some("application/pdf"));
        for wrong in ["", "pdf", "application/", "a b/c", "text/plain; charset=utf-8"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
