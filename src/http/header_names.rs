//! Names of headers that the HTTP library does not know.

use axum::http::HeaderName;

/// RFC 9530: of the representation, whatever part of it travels.
pub(super) const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
/// RFC 9530: of the bytes that travel.
pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
/// The media type of the plaintext, as the manifest will say.
pub(super) const PLAINTEXT_TYPE: HeaderName = HeaderName::from_static("entente-media-type");
/// tus 1.0: the version of the protocol that a request follows.
pub(super) const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
/// The versions that are served.
pub(super) const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
/// Bytes of the whole.
pub(super) const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
/// Bytes before those that are sent, or bytes that are here.
pub(super) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
/// Names with values in base64.
pub(super) const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
/// When an upload that is not at its end goes.
pub(super) const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
/// A digest of what one request adds. None is compared here, so it is refused.
pub(super) const UPLOAD_CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");
