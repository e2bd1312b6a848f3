//! Whether the server can do its work, found out by doing some: every few seconds a small act of the writer and a small file in each folder,
//! synced like any other.
//!
//! `/readyz` tells what came of the last attempts. An attempt that does not come back is as bad as one that failed: each part has its own, so
//! that the one that hangs is named. Leaves no entry, no row and no file behind.

use super::{
    admin::{PartReady, Readiness},
    config::{Config, DatabaseKind},
    metrics,
    tls::Tls,
};
use crate::{
    service::{Exchange, ServiceError, operator, time},
    storage::{StoreError, probe},
};
use jiff::Timestamp;
use std::{
    error::Error,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// After how many intervals without a word a part is taken for stuck.
const STUCK: u32 = 3;

/// How long the first attempts may hold up the start.
const FIRST: Duration = Duration::from_secs(5);

/// How long a look at policies and mark may hold up an answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is tried, and what came of it last.
#[derive(Debug)]
pub(super) struct Probes {
    exchange: Arc<Exchange>,
    blobs: PathBuf,
    /// Where an embedded database keeps its files.
    beside_database: Option<PathBuf>,
    every: Duration,
    database: Attempts,
    clock: Attempts,
    mark: Attempts,
    folder: Attempts,
}

/// What came of the last attempt at one thing.
#[derive(Debug)]
struct Attempts {
    part: &'static str,
    last: Mutex<(Instant, Result<(), String>)>,
}

impl Probes {
    pub(super) fn new(exchange: Arc<Exchange>, config: &Config) -> Arc<Self> {
        let beside_database = match config.database.url.kind() {
            Some(DatabaseKind::Sqlite(path)) => path.parent().map(Path::to_owned),
            _ => None,
        };
        Arc::new(Self {
            exchange,
            blobs: config.blobs.folder.clone(),
            beside_database,
            every: config.limits.probe,
            database: Attempts::new("database"),
            clock: Attempts::new("clock"),
            mark: Attempts::new("mark"),
            folder: Attempts::new("blobs"),
        })
    }

    /// Tries everything a first time, so that a server that says it is ready was.
    pub(super) async fn first(&self) {
        let _ = timeout(FIRST, async { tokio::join!(self.try_database(), self.try_folder()) }).await;
    }

    /// Tries the writer again and again.
    pub(super) async fn keep_trying_the_database(self: Arc<Self>) {
        let mut ticks = self.ticks();
        loop {
            ticks.tick().await;
            self.try_database().await;
        }
    }

    /// Tries the folder of documents again and again.
    pub(super) async fn keep_trying_the_folder(self: Arc<Self>) {
        let mut ticks = self.ticks();
        loop {
            ticks.tick().await;
            self.try_folder().await;
        }
    }

    /// What `/readyz` asks.
    pub(super) fn readiness(self: Arc<Self>, tls: Arc<Tls>, draining: CancellationToken) -> Readiness {
        Arc::new(move || {
            let (probes, tls, draining) = (Arc::clone(&self), Arc::clone(&tls), draining.clone());
            Box::pin(async move {
                let limit = probes.every * STUCK;
                let policies =
                    async { operator::guardrails_count(&probes.exchange).await.map_err(|error| fault_text(&error)) };
                let (policies, marked) = tokio::join!(in_time(policies), in_time(probes.marked()));
                let folder = match marked {
                    Ok(()) => probes.folder.now(limit),
                    marked => PartReady::from_result("blobs", marked),
                };
                let server = if draining.is_cancelled() { Err("it is stopping") } else { Ok(()) };
                let certificate = still_valid(tls.expires_at(), probes.exchange.time.now());
                vec![
                    probes.database.now(limit),
                    probes.clock.now(limit),
                    folder,
                    PartReady::from_result("policies", policies),
                    PartReady::from_result("certificate", certificate),
                    PartReady::from_result("server", server),
                ]
            })
        })
    }

    fn ticks(&self) -> Interval {
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    }

    async fn try_database(&self) {
        let beaten = time::beat(&self.exchange).await;
        let beside = match &self.beside_database {
            Some(folder) => probe::folder(folder.clone()).await.map_err(|error| store_fault_text(&error)),
            None => Ok(()),
        };
        let now = self.exchange.time.now();
        match beaten {
            Ok(()) => {
                self.clock.came(Ok(()), now);
                self.database.came(beside, now);
            }
            Err(ServiceError::Clock(fault)) => {
                self.clock.came(Err(fault.to_string()), now);
                // By such a clock nothing is written, so only what is beside the database was tried.
                if beside.is_err() {
                    self.database.came(beside, now);
                } else {
                    self.database.put_off();
                }
            }
            Err(error) => {
                // The clock is held against what is on record.
                self.clock.put_off();
                self.database.came(Err(fault_text(&error)), now);
            }
        }
    }

    async fn try_folder(&self) {
        // First whether it is this folder: into another nothing is written, and it says nothing of this one.
        let marked = self.marked().await;
        if marked.is_ok() {
            let tried = probe::folder(self.blobs.clone()).await;
            self.folder.came(tried.map_err(|error| store_fault_text(&error)), self.exchange.time.now());
        } else {
            self.folder.put_off();
        }
        self.mark.came(marked, self.exchange.time.now());
    }

    async fn marked(&self) -> Result<(), String> {
        self.exchange.blobs.check_mark().await.map_err(|error| store_fault_text(&error))
    }
}

impl Attempts {
    fn new(part: &'static str) -> Self {
        metrics::probes_begin(part);
        Self { part, last: Mutex::new((Instant::now(), Err("it has not been tried yet".to_owned()))) }
    }

    fn came(&self, result: Result<(), String>, at: Timestamp) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &result {
            Ok(()) => metrics::probed(self.part, at),
            // Said once, not every few seconds.
            Err(fault) if last.1 != result => tracing::error!(part = self.part, fault, "not ready"),
            Err(_) => {}
        }
        *last = (Instant::now(), result);
    }

    /// What came of the last attempt still counts, since another cannot be made.
    fn put_off(&self) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).0 = Instant::now();
    }

    fn now(&self, limit: Duration) -> PartReady {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let age = last.0.elapsed();
        let result = match &last.1 {
            Ok(()) if age > limit => Err(format!("no word from it for {} seconds: it is stuck", age.as_secs())),
            result => result.clone(),
        };
        PartReady::from_result(self.part, result)
    }
}

async fn in_time(look: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    timeout(PATIENCE, look).await.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")))
}

fn still_valid(until: Timestamp, now: Timestamp) -> Result<(), String> {
    if now > until { Err(format!("the server's certificate has expired, {until}")) } else { Ok(()) }
}

fn fault_text(error: &ServiceError) -> String {
    match error {
        ServiceError::Store(error) => store_fault_text(error),
        other => other.to_string(),
    }
}

/// With the cause, if that can hold nothing that was stored.
fn store_fault_text(error: &StoreError) -> String {
    match error {
        StoreError::Unavailable(_) | StoreError::OutcomeUnknown(_) | StoreError::Full(_) | StoreError::Io(_) => {
            error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn attempt_that_does_not_come_back_is_not_ready() {
        let limit = Duration::from_secs(15);
        let writer = Attempts::new("database");
        assert!(!writer.now(limit).ready, "it was not tried yet");
        writer.came(Ok(()), Timestamp::UNIX_EPOCH);
        tokio::time::advance(limit).await;
        assert!(writer.now(limit).ready);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(writer.now(limit).fault.as_deref(), Some("no word from it for 16 seconds: it is stuck"));
        writer.came(Err("the disk is full".into()), Timestamp::UNIX_EPOCH);
        assert_eq!(writer.now(limit).fault.as_deref(), Some("the disk is full"));
    }

    #[test]
    fn certificate_counts_to_its_last_instant() {
        let until: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
        assert!(still_valid(until, until).is_ok());
        assert!(still_valid(until, until + Duration::from_millis(1)).is_err());
    }
}
