//! Who is asking: from the certificate that TLS verified to the member that a key card names for it.
//!
//! A certificate alone makes nobody a member. Nothing here is remembered between requests: a key card that was revoked a
//! moment ago lets nobody in.

use super::{listener::Introduced, peer::Peer, problem::Fault, state::Api};
use crate::service::{Principal, ServiceError, directory};
use axum::{
    extract::FromRequestParts,
    http::request::Parts,
    response::{IntoResponse, Response},
};
use std::{ops::Deref, sync::Arc};

/// The member who asks.
#[derive(Debug)]
pub(super) struct Caller(pub(super) Principal);

/// The holder of a verified certificate, who may or may not be a member.
#[derive(Debug)]
pub(super) struct Holder(pub(super) directory::CertificateHolder);

impl Deref for Caller {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.0
    }
}

/// Notes for shares whether a key card names the certificate that the request came under, and when a member's certificate ends.
pub(super) fn introduce(api: &Api, parts: &Parts, has_key_card: bool) {
    let Some(peer) = parts.extensions.get::<Peer>() else { return };
    if let Some(introduced) = parts.extensions.get::<Introduced>() {
        introduced.note(peer, has_key_card);
    }
    if has_key_card {
        api.seen_certificates.note(&peer.partner, peer.spki_sha256, peer.not_after, api.time.now());
    }
}

impl FromRequestParts<Api> for Holder {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Response> {
        let peer = Peer::from_request_parts(parts, api).await.map_err(IntoResponse::into_response)?;
        Ok(Self(directory::CertificateHolder {
            partner: peer.partner.clone(),
            certificate: peer.spki_sha256,
            named: peer.san_member.clone(),
            credential: Arc::new(peer),
        }))
    }
}

impl FromRequestParts<Api> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Response> {
        let Holder(peer) = Holder::from_request_parts(parts, api).await?;
        let found = directory::identify(api, &peer).await;
        if let Ok(found) = &found {
            introduce(api, parts, found.is_some());
        }
        let found = found.and_then(|found| found.ok_or(ServiceError::NotAMember));
        found.map(Self).map_err(|error| Fault::from(error).into_response())
    }
}
