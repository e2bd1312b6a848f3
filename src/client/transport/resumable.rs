//! Uploads that can be resumed (tus 1.0): begun, and sent on from the byte that the exchange has reached, however often the connection
//! breaks, until they are documents.
//!
//! A file may still be growing while it is sent: its sender waits for what is not there yet. What was sent is never taken back, so a
//! file that turns out to be another one than was meant must not be released to its last byte.

use super::{
    Fate, IDEMPOTENCY_KEY, PIECE, SAME_ACT, TRIES, Transport, Tries, in_doubt, may_have_arrived, refusal, retry_after,
};
use crate::{
    client::{
        ClientError, Result,
        progress::{ProgressListener, ProgressStep},
    },
    domain::id::Sha256,
    wire::{
        UPLOAD_MEDIA_TYPE,
        proposal::{Document, ResumableUpload},
    },
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{HeaderName, Method, StatusCode, header};
use reqwest::Body;
use std::{
    collections::VecDeque,
    io::{self, SeekFrom},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _},
    sync::watch,
};

const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const VERSION: &str = "1.0.0";

/// A sealed file on its way up, which may still be written.
#[derive(Debug, Clone, Default)]
pub struct GrowingFile {
    /// Where it is at the moment.
    pub path: PathBuf,
    /// How many of its bytes may be sent.
    pub ready: u64,
    /// How many it has in the end, once that is known.
    pub size: Option<u64>,
    /// What was written last: a sender who keeps up need not read it from the disk.
    pub recent: RecentBytes,
}

/// The last bytes that were written to a file, as far as they find room.
#[derive(Debug, Clone, Default)]
pub struct RecentBytes(Arc<Mutex<VecDeque<(u64, Bytes)>>>);

/// How much of a growing file is held in memory.
const HELD: u64 = 8 << 20;

impl RecentBytes {
    /// Holds what was written at this place, and lets the oldest go.
    pub fn hold(&self, at: u64, bytes: &[u8]) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.push_back((at, Bytes::copy_from_slice(bytes)));
        let end = at + bytes.len() as u64;
        while held.front().is_some_and(|(first, _)| end - first > HELD) {
            held.pop_front();
        }
    }

    /// What stands from this place on, at most so much of it; none if it is not held.
    fn from(&self, at: u64, most: u64) -> Option<Bytes> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, bytes) = held.iter().rev().find(|(first, _)| *first <= at)?;
        let skipped = usize::try_from(at - first).ok()?;
        let end = usize::try_from(most).unwrap_or(usize::MAX).saturating_add(skipped).min(bytes.len());
        (skipped < end).then(|| bytes.slice(skipped..end))
    }
}

impl Transport {
    /// Begins an upload; where it is on the exchange.
    pub async fn begin_upload(
        &self,
        path: &str,
        size: u64,
        media_type: &str,
        sha256: Option<Sha256>,
    ) -> Result<String> {
        let mut metadata = format!("media_type {}", BASE64_STANDARD.encode(media_type));
        if let Some(sha256) = sha256 {
            metadata = format!("{metadata},sha256 {}", BASE64_STANDARD.encode(sha256.to_string()));
        }
        let key = self.new_key();
        let build = || {
            let request = self.request(Method::POST, path).header(IDEMPOTENCY_KEY, &key);
            let request = request.header(TUS_RESUMABLE, VERSION).header(UPLOAD_LENGTH, size);
            Ok(request.header(UPLOAD_METADATA, &metadata).body(Vec::new()))
        };
        let begun = self.whole(build, &mut Tries::default()).await?;
        let location = begun.headers.get(header::LOCATION).and_then(|location| location.to_str().ok());
        location.filter(|location| location.starts_with("/v1/")).map(str::to_owned).ok_or_else(|| {
            ClientError::Transport {
                what: "the exchange does not say where the upload is that it began".into(),
                help: "check that client and exchange have compatible versions".into(),
            }
        })
    }

    /// Sends a file from the byte that the exchange has reached, and what is added to it meanwhile, until it is a document. `at` is the first
    /// byte to send where it is known.
    ///
    /// # Errors
    /// Not found when the exchange no longer has the upload. Any error when the file is not written to its end.
    pub async fn send_on(
        &self,
        upload: &str,
        mut at: Option<u64>,
        growing: watch::Receiver<GrowingFile>,
        progress: &Arc<dyn ProgressListener>,
    ) -> Result<Document> {
        let (mut broken, mut waited, mut reached, mut fate) = (0, 0, at.unwrap_or_default(), Fate::Unsent);
        loop {
            let from = if let Some(at) = at.take() {
                at
            } else {
                let state =
                    self.get::<ResumableUpload>(upload, &[]).await.map_err(|error| in_doubt(error, fate, SAME_ACT))?;
                if let Some(document) = state.body.document {
                    return Ok(document);
                }
                state.body.offset
            };
            if from > reached {
                (broken, waited, reached) = (0, 0, from);
            }
            let Some(size) = growing.borrow().size.filter(|size| from < *size) else {
                let what = "the exchange wants an upload to go on behind its end";
                return Err(ClientError::unverified(what, "tell the host's operator"));
            };
            let pieces = pieces(growing.clone(), from, size, progress.clone());
            let request = self.http.patch(self.address(upload)).header(header::CONTENT_TYPE, UPLOAD_MEDIA_TYPE);
            let request = request.header(TUS_RESUMABLE, VERSION).header(UPLOAD_OFFSET, from);
            let sent = request.header(header::CONTENT_LENGTH, size - from).body(Body::wrap_stream(pieces)).send().await;
            let error = match sent {
                Ok(response) if response.status().is_success() => {
                    self.clock.hear(response.headers());
                    continue;
                }
                Ok(response) => {
                    self.clock.hear(response.headers());
                    let (status, wait) = (response.status(), retry_after(&response));
                    let refused = refusal(response).await;
                    let goes_on = match status {
                        StatusCode::REQUEST_TIMEOUT | StatusCode::LOCKED => true,
                        StatusCode::CONFLICT => refused.slug() == Some("other-offset"),
                        _ => wait.is_some(),
                    };
                    waited += 1;
                    if !goes_on || waited >= TRIES {
                        return Err(refused);
                    }
                    tokio::time::sleep(wait.unwrap_or_else(|| self.wait(waited))).await;
                    continue;
                }
                Err(error) => error,
            };
            if growing.has_changed().is_err() && growing.borrow().ready < size {
                return Err(ClientError::local("the file that is sent was not written to its end", "try again"));
            }
            if may_have_arrived(&error) {
                fate = Fate::Unknown;
            }
            broken += 1;
            if broken >= TRIES {
                return Err(in_doubt(self.failure(&error, fate), fate, SAME_ACT));
            }
            tokio::time::sleep(self.wait(broken)).await;
        }
    }

    /// Takes an upload back that will not be gone on with. Whether that succeeds matters little: it goes by itself.
    pub async fn give_up_upload(&self, upload: &str) {
        let key = self.new_key();
        let request = self.request(Method::DELETE, upload).header(IDEMPOTENCY_KEY, key).header(TUS_RESUMABLE, VERSION);
        let _ = request.send().await;
    }
}

/// The bytes of a file from one of them on, each as soon as it may be sent.
fn pieces(
    growing: watch::Receiver<GrowingFile>,
    from: u64,
    size: u64,
    progress: Arc<dyn ProgressListener>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    // The file is opened once something is to be read from it; then it stands at the place beside it.
    let file: Option<(File, u64)> = None;
    stream::try_unfold((growing, file, from), move |(mut growing, mut file, at)| {
        let progress = progress.clone();
        async move {
            if at >= size {
                return Ok(None);
            }
            let there = growing.wait_for(|growing| growing.ready > at).await.map(|growing| growing.clone());
            let GrowingFile { path, ready, size: known, recent } = there.map_err(io::Error::other)?;
            let most = (ready.min(size) - at).min(PIECE as u64);
            let piece = match recent.from(at, most) {
                Some(piece) => piece,
                None => {
                    let (opened, place) = match &mut file {
                        Some(file) => file,
                        None => {
                            let opened = match File::open(path).await {
                                // It got its name meanwhile.
                                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                                    let path = growing.borrow().path.clone();
                                    File::open(path).await?
                                }
                                opened => opened?,
                            };
                            file.insert((opened, 0))
                        }
                    };
                    if *place != at {
                        opened.seek(SeekFrom::Start(at)).await?;
                    }
                    let mut piece = vec![0; usize::try_from(most).expect("a piece is small")];
                    opened.read_exact(&mut piece).await?;
                    *place = at + most;
                    Bytes::from(piece)
                }
            };
            let at = at + piece.len() as u64;
            // While it is sealed, that is what is shown.
            if known == Some(ready) {
                progress.update(ProgressStep::Uploading, at, size);
            }
            Ok(Some((piece, (growing, file, at))))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_last_is_held_and_the_oldest_goes() {
        let recent = RecentBytes::default();
        assert_eq!(recent.from(0, 9), None);
        recent.hold(0, b"age-encryption");
        recent.hold(14, b".org/v1");
        assert_eq!(recent.from(0, 3).unwrap(), "age");
        assert_eq!(recent.from(4, 99).unwrap(), "encryption", "to the end of what was written at once");
        assert_eq!(recent.from(14, 99).unwrap(), ".org/v1");
        assert_eq!((recent.from(21, 9), recent.from(14, 0)), (None, None));
        let piece = vec![7; 1 << 20];
        for number in 0..20 {
            recent.hold(21 + number * piece.len() as u64, &piece);
        }
        assert_eq!(recent.from(14, 9), None);
        let held: usize = recent.0.lock().unwrap().iter().map(|(_, bytes)| bytes.len()).sum();
        assert_eq!(held as u64, HELD);
    }
}
