//! What a partner can see and what others see of it, as one signed file.

use super::{api::Api, list::At, principal::Caller};
use crate::{
    service::{ServiceError, visibility},
    wire::visibility::MEDIA_TYPE,
};
use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

/// Everything that your partner's members can see and everything of its own that others can see, for its policy officers.
///
/// Lines of JSON: `head`, `call`, `proposal`, `member`, and last `signature`, whose statement is signed by the key of the
/// exchange's own certificate over the bytes of all lines before it. Without that line it broke off.
#[utoipa::path(get, path = "/v1/partners/{partner}/visibility", tag = "policies",
    responses((status = 200, body = String, content_type = "application/x-ndjson")))]
pub(super) async fn manifest(State(api): State<Api>, caller: Caller, at: At) -> Result<Response, ServiceError> {
    let partner = at.id("partner")?;
    let (sender, mut pieces) = mpsc::channel(2);
    let Caller(principal) = caller;
    tokio::spawn(async move {
        if let Err(error) = visibility::write(&api, &principal, &partner, &sender).await {
            // Nobody is left to tell when the caller has gone.
            let _ = sender.send(Err(error)).await;
        }
    });
    let first = pieces.recv().await.ok_or(ServiceError::Interrupted)??;
    let rest = stream::unfold(pieces, async |mut pieces| {
        let piece = pieces.recv().await?;
        let piece = piece.map_err(|error| {
            tracing::error!(%error, "a visibility manifest broke off");
            std::io::Error::other("broken off")
        });
        Some((piece, pieces))
    });
    let body = Body::from_stream(stream::iter([Ok(first)]).chain(rest));
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE))], body).into_response())
}
