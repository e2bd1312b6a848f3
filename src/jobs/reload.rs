//! When to load trust and certificate again: files changed, the operator asked (SIGHUP), or the database did.
//!
//! Files are compared by size, time of change and inode every few seconds: that notices a replaced file, a replaced
//! folder behind a symbolic link and a file system that gives no events. What could not be used, at the start or in a reload, is tried again:
//! a file that is given to the right account stays as it was in all three. Now and then everything is loaded again though nothing changed:
//! nothing says when a date passes.

use futures_util::{FutureExt, future::BoxFuture};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval_at},
};

/// How often files are looked at.
pub const INTERVAL: Duration = Duration::from_secs(2);

/// Looks after a failed reload until the next attempt.
const LOOKS_BEFORE_RETRY: u32 = 15;

/// Looks after one that went well until the next reload: an hour at [`INTERVAL`].
const LOOKS_BEFORE_REFRESH: u32 = 1800;

/// Why a reload happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadCause {
    Files,
    Signal,
    Source,
    Retry,
    Refresh,
}

/// How everything is loaded again.
pub(crate) struct Reload(Box<dyn Fn(ReloadCause) -> BoxFuture<'static, bool> + Send + Sync>);

impl Reload {
    /// `learn` answers whether all went well.
    pub(crate) fn new(learn: impl Fn(ReloadCause) -> BoxFuture<'static, bool> + Send + Sync + 'static) -> Self {
        Self(Box::new(learn))
    }

    fn learn(&self, cause: ReloadCause) -> BoxFuture<'static, bool> {
        (self.0)(cause)
    }
}

/// Files and folders to watch, and how they were when first looked at.
#[derive(Debug)]
pub struct Watch {
    paths: Vec<PathBuf>,
    interval: Duration,
    seen: Snapshot,
}

type Snapshot = BTreeMap<PathBuf, (u64, Option<SystemTime>, u64)>;

impl Watch {
    /// Looks at the files a first time. Do this before they are read, so that no change falls between.
    #[must_use]
    pub fn new(paths: Vec<PathBuf>, interval: Duration) -> Self {
        let seen = snapshot(&paths);
        Self { paths, interval, seen }
    }

    /// Calls `reload` on each cause, one at a time, until dropped. `reload` answers whether all went well, `went_well` says it of what was
    /// read at the start. `changed` completes when another source changed; it is called again after each and must lose nothing when dropped.
    pub async fn run<R, C>(mut self, went_well: bool, reload: R, mut changed: C) -> std::convert::Infallible
    where
        R: AsyncFn(ReloadCause) -> bool,
        C: AsyncFnMut(),
    {
        let mut looks = interval_at(Instant::now() + self.interval, self.interval);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut hangup = Hangup::listen();
        let (mut went_well, mut looked) = (went_well, 0);
        loop {
            let cause = tokio::select! {
                _ = looks.tick() => {
                    looked += 1;
                    match self.look(went_well, looked).await {
                        Some(cause) => cause,
                        None => continue,
                    }
                }
                () = hangup.next() => ReloadCause::Signal,
                () = changed() => ReloadCause::Source,
            };
            tracing::info!(?cause, "reloading");
            (went_well, looked) = (reload(cause).await, 0);
        }
    }

    /// Looks for the `looked`th time since the last reload.
    async fn look(&mut self, went_well: bool, looked: u32) -> Option<ReloadCause> {
        let paths = self.paths.clone();
        let now = tokio::task::spawn_blocking(move || snapshot(&paths)).await.expect("looking does not panic");
        if now != self.seen {
            self.seen = now;
            return Some(ReloadCause::Files);
        }
        if went_well {
            (looked >= LOOKS_BEFORE_REFRESH).then_some(ReloadCause::Refresh)
        } else {
            (looked >= LOOKS_BEFORE_RETRY).then_some(ReloadCause::Retry)
        }
    }
}

/// Loads trust and certificate again on each cause, and when `changes` says that a partner changed.
pub(super) async fn run(watch: Watch, went_well: bool, reload: Reload, changes: Arc<Notify>) {
    let changed = move || {
        let changes = Arc::clone(&changes);
        async move { changes.notified().await }.boxed()
    };
    match watch.run(went_well, move |cause| reload.learn(cause), changed).await {}
}

/// SIGHUP; pending for ever on systems without it.
struct Hangup(#[cfg(unix)] Option<tokio::signal::unix::Signal>);

impl Hangup {
    #[cfg(unix)]
    fn listen() -> Self {
        let signal = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup());
        Self(signal.inspect_err(|error| tracing::error!(%error, "SIGHUP cannot be received; files are watched")).ok())
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        let heard = match &mut self.0 {
            Some(signal) => signal.recv().await,
            None => None,
        };
        if heard.is_none() {
            std::future::pending::<()>().await;
        }
    }

    #[cfg(not(unix))]
    fn listen() -> Self {
        Self()
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        std::future::pending().await
    }
}

fn snapshot(paths: &[PathBuf]) -> Snapshot {
    let mut seen = Snapshot::new();
    for path in paths {
        add(path, 2, &mut seen);
    }
    seen
}

/// Notes a file, or a folder and what is in it down to `depth`.
fn add(path: &Path, depth: u32, seen: &mut Snapshot) {
    // A file that is missing is a state too: its coming back is a change.
    let Ok(metadata) = std::fs::metadata(path) else { return };
    seen.insert(path.to_owned(), (metadata.len(), metadata.modified().ok(), inode(&metadata)));
    if metadata.is_dir() && depth > 0 {
        for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
            add(&entry.path(), depth - 1, seen);
        }
    }
}

#[cfg(unix)]
fn inode(metadata: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &std::fs::Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    /// Runs a watch after a start that went well, until it has reported once, and says why it did.
    async fn first_cause(watch: Watch, ok: bool, mut changes: mpsc::Receiver<()>) -> Vec<ReloadCause> {
        let (tell, mut received) = mpsc::channel(2);
        let reload = async |cause| {
            tell.send(cause).await.unwrap();
            ok
        };
        let changed = async || match changes.recv().await {
            Some(()) => {}
            None => std::future::pending().await,
        };
        let mut causes = Vec::new();
        tokio::select! {
            never = watch.run(true, reload, changed) => match never {},
            () = async {
                causes.extend(received.recv().await);
                if !ok {
                    causes.extend(received.recv().await);
                }
            } => {}
        }
        causes
    }

    #[tokio::test]
    async fn replaced_file_is_noticed_even_with_the_same_size() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("KOR/a.crl");
        std::fs::create_dir(folder.path().join("KOR")).unwrap();
        std::fs::write(&file, "old").unwrap();
        let watch = Watch::new(vec![folder.path().to_owned()], Duration::from_millis(1));
        let new = folder.path().join("new");
        std::fs::write(&new, "new").unwrap();
        std::fs::rename(new, &file).unwrap();
        assert_eq!(first_cause(watch, true, mpsc::channel(1).1).await, [ReloadCause::Files]);
    }

    #[tokio::test]
    async fn another_source_is_heard() {
        let (change, changes) = mpsc::channel(1);
        change.send(()).await.unwrap();
        let watch = Watch::new(Vec::new(), Duration::from_hours(1));
        assert_eq!(first_cause(watch, true, changes).await, [ReloadCause::Source]);
    }

    #[tokio::test]
    async fn failed_reload_is_tried_again() {
        let (change, changes) = mpsc::channel(1);
        change.send(()).await.unwrap();
        let watch = Watch::new(Vec::new(), Duration::from_millis(1));
        assert_eq!(first_cause(watch, false, changes).await, [ReloadCause::Source, ReloadCause::Retry]);
    }

    /// Time goes by as fast as the looks do.
    #[tokio::test(start_paused = true)]
    async fn everything_is_loaded_again_after_an_hour_though_nothing_changes() {
        let began = Instant::now();
        let watch = Watch::new(Vec::new(), INTERVAL);
        assert_eq!(first_cause(watch, true, mpsc::channel(1).1).await, [ReloadCause::Refresh]);
        let hour = Duration::from_hours(1);
        assert!((hour..hour + Duration::from_mins(1)).contains(&began.elapsed()), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn start_that_did_not_go_well_is_tried_again_though_nothing_changes() {
        let (tell, mut received) = mpsc::channel(1);
        let reload = async |cause| {
            tell.send(cause).await.unwrap();
            true
        };
        let cause = tokio::select! {
            never = Watch::new(Vec::new(), Duration::from_millis(1)).run(false, reload, std::future::pending) => match never {},
            cause = received.recv() => cause,
        };
        assert_eq!(cause, Some(ReloadCause::Retry));
    }
}
