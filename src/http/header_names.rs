//! Names of headers that the HTTP library does not know.

use axum::http::HeaderName;

/// RFC 9530: of the representation, whatever part of it travels.
pub(super) const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
/// RFC 9530: of the bytes that travel.
pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
/// The media type of the plaintext, as the manifest will say.
pub(super) const PLAINTEXT_TYPE: HeaderName = HeaderName::from_static("entente-media-type");
