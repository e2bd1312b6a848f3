//! Requests of this server that add to uploads: one at a time for each, and the latest ends the one before.
//!
//! A client whose connection broke asks again long before the server notices that the first request is dead. So the newer request ends the
//! older one, and goes on from what the older one brought.

use crate::domain::id::UploadId;
use futures_util::{Stream, StreamExt as _};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, OwnedMutexGuard},
    time::timeout,
};

/// How long a request waits for the one that it ended: that one may be checking the bytes of a whole document.
const PATIENCE: Duration = Duration::from_secs(30);

/// Cheap to clone; all clones know of the same requests.
#[derive(Debug, Clone, Default)]
pub struct Appends(Arc<Mutex<HashMap<UploadId, AppendPlace>>>);

/// The place of the one request that adds to an upload.
#[derive(Debug, Clone, Default)]
struct AppendPlace {
    ended: Arc<Notify>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// The turn of a request at adding to an upload, until it is dropped.
#[derive(Debug)]
pub(super) struct Append {
    appends: Appends,
    upload: UploadId,
    place: AppendPlace,
    _turn: OwnedMutexGuard<()>,
}

impl Appends {
    /// Ends the request that adds to an upload, and takes its place; none when it does not let go in time.
    pub(super) async fn begin(&self, upload: UploadId) -> Option<Append> {
        let place = self.places().entry(upload).or_default().clone();
        place.ended.notify_waiters();
        let turn = timeout(PATIENCE, Arc::clone(&place.turn).lock_owned()).await;
        let appends = self.clone();
        turn.ok().map(|turn| Append { appends, upload, place, _turn: turn })
    }

    /// Ends the request that adds to an upload, if there is one.
    pub(super) fn end(&self, upload: UploadId) {
        if let Some(place) = self.places().get(&upload) {
            place.ended.notify_waiters();
        }
    }

    fn places(&self) -> MutexGuard<'_, HashMap<UploadId, AppendPlace>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Append {
    /// The bytes of the request. They end where a newer one takes its place, or the upload is taken back: what came until then is here.
    pub(super) fn until_ended<T>(&self, bytes: impl Stream<Item = T> + Send) -> impl Stream<Item = T> + Send {
        let ended = Arc::clone(&self.place.ended);
        bytes.take_until(async move { ended.notified().await })
    }
}

impl Drop for Append {
    fn drop(&mut self) {
        let mut places = self.appends.places();
        // The map and this one: nobody waits.
        if Arc::strong_count(&self.place.turn) <= 3 {
            places.remove(&self.upload);
        }
    }
}
