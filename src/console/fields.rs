//! What a page or an act was given: the fields of its form, or those of its address.

use super::answer::plain;
use axum::{
    body::to_bytes,
    extract::{FromRequest, Request},
    http::{Method, StatusCode},
    response::Response,
};
use zeroize::Zeroizing;

/// The longest form, in bytes.
pub(super) const LONGEST_FORM: usize = 64 << 10;

/// Fields by name, without copies that stay in memory longer than their reader.
pub(super) struct Fields(Vec<(String, Zeroizing<String>)>);

impl Fields {
    pub(super) fn read(form: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(form);
        Self(pairs.map(|(name, value)| (name.into_owned(), Zeroizing::new(value.into_owned()))).collect())
    }

    /// A field as it came; empty where it is not there.
    pub(super) fn exact(&self, name: &str) -> &str {
        self.each(name).next().unwrap_or_default()
    }

    /// A field without the blanks around it.
    pub(super) fn get(&self, name: &str) -> &str {
        self.exact(name).trim()
    }

    /// Every field of that name.
    pub(super) fn each(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl<S: Sync> FromRequest<S> for Fields {
    type Rejection = Response;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Response> {
        if request.method() != Method::POST {
            return Ok(Self::read(request.uri().query().unwrap_or_default().as_bytes()));
        }
        match to_bytes(request.into_body(), LONGEST_FORM).await {
            Ok(form) => Ok(Self::read(&form)),
            Err(_) => Err(too_long()),
        }
    }
}

/// A form with more in it than any page asks for.
pub(super) fn too_long() -> Response {
    plain(StatusCode::PAYLOAD_TOO_LARGE, "The form is longer than 64 KiB. Nothing was done.\n")
}
