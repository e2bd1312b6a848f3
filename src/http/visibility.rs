//! What a partner can see and what others see of it, as one signed file.

use super::{list::PathIds, principal::Caller, shares::SpoolPlace, state::Api};
use crate::{
    service::{ServiceError, visibility},
    storage::StoreError,
    wire::visibility::MEDIA_TYPE,
};
use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout_at};

/// What is not taken by then is cut off: it takes room on the disk meanwhile.
const TAKEN_WITHIN: Duration = Duration::from_hours(1);

/// Everything that your partner's members can see and everything of its own that others can see, for its policy officers.
///
/// Lines of JSON: `head`, `call`, `proposal`, `member`, and last `signature`, whose statement is signed by the key of the
/// exchange's own certificate over the bytes of all lines before it. Without that line it broke off.
#[utoipa::path(get, path = "/v1/partners/{partner}/visibility", tag = "policies",
    responses((status = 200, body = String, content_type = "application/x-ndjson")))]
pub(super) async fn manifest(
    State(api): State<Api>,
    caller: Caller,
    ids: PathIds,
    place: SpoolPlace,
) -> Result<Response, ServiceError> {
    let (partner, Caller(principal)) = (ids.id("partner")?, caller);
    let manifest = visibility::manifest(Arc::clone(api.exchange()), principal, partner).await?;
    let until = Instant::now() + TAKEN_WITHIN;
    let pieces = stream::try_unfold((manifest, until), async |(mut manifest, until)| {
        let piece = timeout_at(until, manifest.next()).await;
        let piece = piece.map_err(|_| StoreError::Unavailable("a manifest was not taken within an hour".into()))??;
        Ok::<_, StoreError>(piece.map(|piece| (piece, (manifest, until))))
    });
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE))];
    let mut response = (headers, Body::from_stream(pieces)).into_response();
    place.keep(response.extensions_mut());
    Ok(response)
}
