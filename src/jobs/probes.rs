//! Whether the server can do its work, found out by doing some: every few seconds a small act of the writer and a small file in each folder,
//! synced like any other.
//!
//! An attempt that does not come back is as bad as one that failed: each part has its own, so that the one that hangs is
//! named. Leaves no entry, no row and no file behind.

use crate::{
    metrics,
    service::{Exchange, ServiceError, operator, time},
    storage::{StoreError, probe},
};
use jiff::Timestamp;
use std::{
    error::Error,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};

/// After how many intervals without a word a part is taken for stuck.
const STUCK: u32 = 3;

/// How long the first attempts may hold up the start.
const FIRST: Duration = Duration::from_secs(5);

/// What is tried, and what came of it last.
#[derive(Debug)]
pub(crate) struct Probes {
    exchange: Arc<Exchange>,
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
    /// Of an embedded database the folder is given in which it keeps its files.
    pub(crate) fn new(exchange: Arc<Exchange>, beside_database: Option<PathBuf>, every: Duration) -> Arc<Self> {
        Arc::new(Self {
            exchange,
            beside_database,
            every,
            database: Attempts::new("database"),
            clock: Attempts::new("clock"),
            mark: Attempts::new("mark"),
            folder: Attempts::new("blobs"),
        })
    }

    /// Tries everything a first time, so that a server that says it is ready was.
    pub(crate) async fn first(&self) {
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

    /// What came of the last attempts at the database.
    pub(crate) fn database(&self) -> Result<(), String> {
        self.database.now(self.every * STUCK)
    }

    /// What came of the last attempts at the clock.
    pub(crate) fn clock(&self) -> Result<(), String> {
        self.clock.now(self.every * STUCK)
    }

    /// What came of the last attempts at the folder of documents.
    pub(crate) fn folder(&self) -> Result<(), String> {
        self.folder.now(self.every * STUCK)
    }

    /// The instant of the exchange.
    pub(crate) fn now(&self) -> Timestamp {
        self.exchange.time.now()
    }

    /// Whether the guardrails in force count.
    pub(crate) async fn policies(&self) -> Result<(), String> {
        operator::guardrails_count(&self.exchange).await.map_err(|error| fault_text(&error))
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
                // The clock is compared with what is on record.
                self.clock.put_off();
                self.database.came(Err(fault_text(&error)), now);
            }
        }
    }

    async fn try_folder(&self) {
        // First whether it is this folder: into another nothing is written, and it says nothing of this one.
        let marked = self.marked().await;
        if marked.is_ok() {
            let tried = self.exchange.blobs.probe().await;
            self.folder.came(tried.map_err(|error| store_fault_text(&error)), self.exchange.time.now());
        } else {
            self.folder.put_off();
        }
        self.mark.came(marked, self.exchange.time.now());
    }

    /// Whether the folder of documents is the one of the database.
    pub(crate) async fn marked(&self) -> Result<(), String> {
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

    fn now(&self, limit: Duration) -> Result<(), String> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let age = last.0.elapsed();
        match &last.1 {
            Ok(()) if age > limit => Err(format!("no word from it for {} seconds: it is stuck", age.as_secs())),
            result => result.clone(),
        }
    }
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
        assert!(writer.now(limit).is_err(), "it was not tried yet");
        writer.came(Ok(()), Timestamp::UNIX_EPOCH);
        tokio::time::advance(limit).await;
        assert!(writer.now(limit).is_ok());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(writer.now(limit).unwrap_err(), "no word from it for 16 seconds: it is stuck");
        writer.came(Err("the disk is full".into()), Timestamp::UNIX_EPOCH);
        assert_eq!(writer.now(limit).unwrap_err(), "the disk is full");
    }
}
