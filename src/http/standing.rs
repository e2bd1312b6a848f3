//! Ends what began under a certificate when it stops counting: an upload at the next piece, a download at the next piece by the
//! certificate and within some MiB or a second by the key card.
//!
//! Bytes that were handed to the connection before stay handed over. Acts do not rely on this: they ask once more when they take
//! place.

use super::{peer::Peer, principal::Caller, state::Api};
use crate::service::{Credential, directory};
use axum::BoxError;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use std::{pin::Pin, time::Duration};
use tokio::time::Instant;

/// Bytes after which a download asks the database again whether its caller is still a member: rarely enough to cost nothing.
const ASK_EVERY: usize = 4 << 20;
/// The same for a slow one.
const ASK_AFTER: Duration = Duration::from_secs(1);

/// Why bytes stop.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the certificate is no longer accepted: {0}")]
    Certificate(String),
    #[error("the key card no longer names the certificate")]
    KeyCard,
}

/// The bytes, while the certificate is accepted.
pub(super) fn while_accepted<E: Into<BoxError>>(
    peer: Peer,
    bytes: impl Stream<Item = Result<Bytes, E>>,
) -> impl Stream<Item = Result<Bytes, BoxError>> {
    bytes.map(move |piece| {
        peer.check().map_err(Ended::Certificate)?;
        piece.map_err(Into::into)
    })
}

/// The bytes, while the certificate is accepted and names the same member.
pub(super) fn while_member<E: Into<BoxError> + Send + 'static>(
    api: Api,
    peer: Peer,
    holder: directory::CertificateHolder,
    Caller(caller): Caller,
    bytes: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, BoxError>> + Send {
    struct Running {
        bytes: Pin<Box<dyn Stream<Item = Result<Bytes, BoxError>> + Send>>,
        since: usize,
        asked_at: Instant,
    }
    let bytes = while_accepted(peer, bytes).boxed();
    let running = Running { bytes, since: 0, asked_at: Instant::now() };
    stream::try_unfold((running, api, holder, caller), async |(mut running, api, holder, caller)| {
        let Some(piece) = running.bytes.try_next().await? else { return Ok(None) };
        running.since += piece.len();
        if running.since >= ASK_EVERY || running.asked_at.elapsed() >= ASK_AFTER {
            let found = directory::identify(&api, &holder).await?;
            if found.as_ref() != Some(&caller) {
                return Err(Ended::KeyCard.into());
            }
            (running.since, running.asked_at) = (0, Instant::now());
        }
        Ok(Some((piece, (running, api, holder, caller))))
    })
}
