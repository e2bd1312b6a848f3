//! Sealed bytes on their way in, whatever they belong to: taken while no transaction is open, checked, and adopted by
//! the act that names them.
//!
//! The server checks what bytes can show without a key: their number, their digest and that they have the shape of a
//! complete age file. The operation that takes them decides where they belong and whether they may come.

use super::{Answer, Exchange, Result, ServiceError, aside, unit::Act};
use crate::{
    domain::id::Sha256,
    sealing::header::HeaderCheck,
    storage::{
        Expected, StageError, Staged, Turn,
        resumable::{Appended, Resumed},
        uploads::UploadRow,
    },
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use jiff::Timestamp;

/// The facts about sealed bytes before the first of them arrives.
#[derive(Debug, Clone, Copy)]
pub(super) struct ExpectedBytes {
    pub(super) sha256: Sha256,
    /// In bytes.
    pub(super) size: u64,
    /// How many are taken at most.
    pub(super) limit: u64,
}

/// Sealed bytes that are on the disk and belong to nothing yet. They are gone unless an act adopts them.
#[derive(Debug)]
pub(super) struct ArrivedBytes {
    pub(super) staged: Staged,
    /// When the last byte was here.
    pub(super) arrived_at: Timestamp,
}

/// Streams sealed bytes to the disk and checks them on the way.
pub(super) async fn take<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    exchange: &Exchange,
    expected: ExpectedBytes,
    bytes: impl Stream<Item = Result<Bytes, E>> + Send,
) -> Result<ArrivedBytes> {
    // The last byte says when the request was here, not the sync that follows it.
    let mut arrived_at = exchange.time.now();
    let staged = stage(exchange, expected, bytes.inspect(|_| arrived_at = exchange.time.now())).await?;
    Ok(ArrivedBytes { staged, arrived_at })
}

async fn stage<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    exchange: &Exchange,
    expected: ExpectedBytes,
    bytes: impl Stream<Item = Result<Bytes, E>> + Send,
) -> Result<Staged> {
    let ExpectedBytes { sha256, size, limit } = expected;
    let mut check = HeaderCheck::new();
    let expected = Expected { sha256: Some(sha256), size: Some(size) };
    let staged = exchange.blobs.stage(bytes, limit, expected, |chunk| check.push(chunk).map(drop)).await;
    let staged = staged.map_err(|error| match error {
        StageError::TooLarge { limit } => ServiceError::TooLarge { limit },
        StageError::NotAsAnnounced { what } => ServiceError::NotAsAnnounced(what),
        StageError::Refused(error) => ServiceError::NotSealed(error.to_string()),
        StageError::Interrupted(_) => ServiceError::Interrupted,
        StageError::Store(error) => error.into(),
    })?;
    if let Err(error) = check.finish(staged.size()) {
        // Gone before the refusal is heard, not a moment later.
        staged.discard().await;
        return Err(ServiceError::NotSealed(error.to_string()));
    }
    Ok(staged)
}

/// An upload after bytes were added to it.
#[derive(Debug)]
pub(super) struct TakenBytes {
    appended: Appended,
    check: HeaderCheck,
    /// When the last byte was here.
    arrived_at: Timestamp,
}

impl TakenBytes {
    /// How many bytes are here.
    pub(super) fn at(&self) -> u64 {
        self.appended.at
    }

    /// Whether all of them came in this one request, which hashed them.
    pub(super) fn came_at_once(&self) -> bool {
        self.appended.sha256.is_some()
    }

    /// When the last of those was here that came in this request.
    pub(super) fn arrived_at(&self) -> Timestamp {
        self.arrived_at
    }

    /// Lets other requests add to it.
    pub(super) async fn release(self) {
        self.appended.release().await;
    }
}

/// Streams sealed bytes behind those of an upload that are here. What came stays, however it ends, unless it is seen not to be sealed.
pub(super) async fn append<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    exchange: &Exchange,
    row: &UploadRow,
    resumed: Resumed,
    bytes: impl Stream<Item = Result<Bytes, E>> + Send,
) -> Result<TakenBytes> {
    let (mut check, mut arrived_at) = (HeaderCheck::new(), exchange.time.now());
    let bytes = bytes.inspect(|_| arrived_at = exchange.time.now());
    let at = resumed.at();
    let appended = if at == row.size {
        same_last_byte(exchange, row, bytes).await?;
        resumed.whole()
    } else {
        // The header is in the first bytes; whether all that follows is here is seen at the end.
        let inspect = |chunk: &[u8]| if at == 0 { check.push(chunk).map(drop) } else { Ok(()) };
        match exchange.blobs.append(resumed, row.size, bytes, inspect).await {
            Ok(appended) => appended,
            Err(StageError::Refused(error)) => {
                exchange.blobs.remove_resumable(&row.blob).await?;
                return Err(ServiceError::NotSealed(error.to_string()));
            }
            Err(StageError::TooLarge { .. }) => return Err(ServiceError::TooLarge { limit: row.size }),
            Err(StageError::NotAsAnnounced { what }) => return Err(ServiceError::NotAsAnnounced(what)),
            Err(StageError::Interrupted(_)) => return Err(ServiceError::Interrupted),
            Err(StageError::Store(error)) => return Err(error.into()),
        }
    };
    Ok(TakenBytes { appended, check, arrived_at })
}

/// Takes the last byte again of an upload whose bytes are all here and that did not become a document. It is compared, and written nowhere.
async fn same_last_byte<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    exchange: &Exchange,
    row: &UploadRow,
    bytes: impl Stream<Item = Result<Bytes, E>> + Send,
) -> Result<()> {
    let (mut bytes, mut came) = (std::pin::pin!(bytes), Vec::new());
    while let Some(piece) = bytes.next().await {
        came.extend_from_slice(&piece.map_err(|_| ServiceError::Interrupted)?);
        if came.len() > 1 {
            return Err(ServiceError::TooLarge { limit: row.size });
        }
    }
    let kept = exchange.blobs.last_byte(&row.blob, row.size).await?;
    match came.first() {
        Some(last) if Some(*last) == kept => Ok(()),
        Some(_) => Err(ServiceError::NotAsAnnounced("digest")),
        None => Err(ServiceError::Interrupted),
    }
}

/// The digest of an upload whose bytes came over several requests, so that none hashed them all, if they are sealed.
pub(super) async fn look_through(exchange: &Exchange, row: &UploadRow, turn: Turn) -> Result<Sha256> {
    // The check remembers its failure.
    let see = |check: &mut HeaderCheck, piece: &[u8]| drop(check.push(piece));
    let (sha256, _, check) = exchange.blobs.look_through(&row.blob, HeaderCheck::new(), see, turn).await?;
    check.finish(row.size).map_err(|error| ServiceError::NotSealed(error.to_string()))?;
    Ok(sha256)
}

/// The bytes of an upload if all are here, checked and safe, and in no row yet. An upload that is not what was announced is empty again.
pub(super) async fn whole(
    exchange: &Exchange,
    row: &UploadRow,
    taken: &mut TakenBytes,
) -> Result<Option<ArrivedBytes>> {
    if taken.appended.at < row.size {
        return Ok(None);
    }
    let (sha256, checked) = match (taken.appended.sha256, row.whole_sha256) {
        (Some(sha256), _) => (sha256, std::mem::take(&mut taken.check).finish(row.size).map(drop)),
        // They were looked through, and found to be sealed.
        (None, Some(sha256)) => (sha256, Ok(())),
        (None, None) => return Err(ServiceError::Interrupted),
    };
    let fault = match (checked, row.sha256) {
        (Err(error), _) => Some(ServiceError::NotSealed(error.to_string())),
        (Ok(()), Some(announced)) if announced != sha256 => Some(ServiceError::NotAsAnnounced("digest")),
        (Ok(()), _) => None,
    };
    if let Some(fault) = fault {
        exchange.blobs.remove_resumable(&row.blob).await?;
        return Err(fault);
    }
    let staged = exchange.blobs.publish_resumable(&row.blob, sha256, row.size).await?;
    let staged = staged.ok_or(ServiceError::Hidden)?;
    Ok(Some(ArrivedBytes { staged, arrived_at: taken.arrived_at }))
}

/// Lets go what is here of an upload whose row is gone, and ends the request that adds to it.
pub(super) async fn give_up(exchange: &Exchange, row: &UploadRow) {
    exchange.appends.end(row.id);
    if let Err(error) = exchange.blobs.remove_resumable(&row.blob).await {
        tracing::warn!(%error, "what is left of an upload that was given up remains until the next sweep");
    }
}

impl ArrivedBytes {
    /// Finishes the act that has written the row which names the bytes.
    pub(super) async fn adopt(self, act: Act<'_>, answer: Answer) -> Result<Answer> {
        let exchange = act.exchange;
        // Kept first, since the commit goes on when the caller goes away.
        let blob = self.staged.keep();
        let done = act.finish(answer).await;
        if done.as_ref().is_err_and(ServiceError::is_certain)
            && let Err(error) = exchange.blobs.delete(&blob).await
        {
            tracing::warn!(%error, "a blob without a row remains until the next sweep");
        }
        done
    }
}

/// Ciphertext of a request that travels in JSON, standard base64 of a complete age file: looked at before its turn and off the threads that
/// serve others. What is wrong with it is said within the act.
#[derive(Debug)]
pub(super) struct Base64Ciphertext(Result<(Vec<u8>, Sha256)>);

impl Base64Ciphertext {
    /// Looks at one here and now: for several of a request, which go aside together.
    pub(super) fn look(base64: &str, limit: usize) -> Self {
        Self(from_base64(base64, limit).map(|bytes| {
            let sha256 = Sha256::of(&bytes);
            (bytes, sha256)
        }))
    }

    /// Looks at the one of a request.
    pub(super) async fn of(base64: &str, limit: usize) -> Result<Self> {
        let base64 = base64.to_owned();
        aside(move || Self::look(&base64, limit)).await
    }

    /// The bytes and their digest, if nothing is wrong with them.
    pub(super) fn checked(self) -> Result<(Vec<u8>, Sha256)> {
        self.0
    }
}

fn from_base64(base64: &str, limit: usize) -> Result<Vec<u8>> {
    if base64.len() / 4 * 3 > limit + 3 {
        return Err(ServiceError::TooLarge { limit: limit as u64 });
    }
    let bytes =
        BASE64_STANDARD.decode(base64).map_err(|_| ServiceError::Malformed("the ciphertext is not base64".into()))?;
    if bytes.len() > limit {
        return Err(ServiceError::TooLarge { limit: limit as u64 });
    }
    HeaderCheck::check(&bytes).map_err(|error| ServiceError::NotSealed(error.to_string()))?;
    Ok(bytes)
}
