//! Figures that nobody counts while they happen, and alerts need: how large things are, what room is left, how old the last backup is, and
//! what the process takes. Read from time to time, by looking only.

use crate::{
    domain::{ambient::Clock, expiry::WARNED_DAYS},
    metrics::as_float,
    service::{
        self, Exchange,
        endings::{self, PartnerEndings},
        time,
    },
    storage::{BlobEngine, StoreError, backup, held_blobs, sizes},
};
use jiff::SignedDuration;
use metrics::{Unit, describe_gauge, gauge};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::time::{MissedTickBehavior, interval};

const BUILD: &str = "entente_build_info";
const STARTED: &str = "process_start_time_seconds";
const RESIDENT: &str = "process_resident_memory_bytes";
const DESCRIPTORS: &str = "process_open_fds";
const MOST_DESCRIPTORS: &str = "process_max_fds";
const DATABASE: &str = "entente_database_bytes";
const DATABASE_LOG: &str = "entente_database_log_bytes";
const DOCUMENTS: &str = "entente_documents";
const DOCUMENT_BYTES: &str = "entente_document_bytes";
const DISK: &str = "entente_disk_bytes";
const DISK_FREE: &str = "entente_disk_free_bytes";
const CLOCK_OFFSET: &str = "entente_clock_offset_seconds";
const CLOCK_FAULT: &str = "entente_clock_fault";
const ENDING: &str = "entente_ending_soon";
const BACKUP: &str = "entente_backup_completed_timestamp_seconds";

/// How often the process, the disks and the last backup are looked at.
const OFTEN: Duration = Duration::from_secs(15);

/// How many of those go by before documents are counted again, which reads every row of theirs.
const SELDOM: u32 = 20;

/// What the figures are of.
#[derive(Debug)]
pub(crate) struct Figures {
    documents: Arc<dyn BlobEngine>,
    /// The file of a SQLite database, and the folder that it is in.
    database: Option<(PathBuf, PathBuf)>,
    started_at: f64,
}

impl Figures {
    /// Of a SQLite database its file is given, and the folder that it is in.
    pub(crate) fn new(documents: Arc<dyn BlobEngine>, database: Option<(PathBuf, PathBuf)>, clock: &dyn Clock) -> Self {
        Self { documents, database, started_at: clock.now().as_duration().as_secs_f64() }
    }

    /// Keeps the figures up to date until dropped.
    pub(super) async fn run(self, exchange: Arc<Exchange>) {
        let mut ticks = interval(OFTEN);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let figures = Arc::new(self);
        let mut turn = 0;
        loop {
            ticks.tick().await;
            let looking = Arc::clone(&figures);
            // Files and disks may take their time.
            let _ = tokio::task::spawn_blocking(move || looking.look()).await;
            tell_backup(&figures.documents).await;
            if let Err(error) = count(&exchange, turn % SELDOM == 0).await {
                tracing::debug!(%error, "the database's sizes could not be read");
            }
            if turn % SELDOM == 0
                && let Err(error) = tell_endings(&exchange).await
            {
                tracing::debug!(%error, "what ends soon could not be counted");
            }
            match time::show(&exchange).await {
                Ok(shown) => tell_clock(&shown),
                Err(error) => tracing::debug!(%error, "the clock could not be compared with what is on record"),
            }
            turn += 1;
        }
    }

    fn look(&self) {
        gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        gauge!(STARTED).set(self.started_at);
        process();
        if let Some((file, _)) = &self.database {
            let mut log = file.clone();
            log.as_mut_os_string().push("-wal");
            gauge!(DATABASE_LOG).set(fs::metadata(log).map_or(0.0, |metadata| as_float(metadata.len())));
        }
        for (place, folder) in
            [("documents", self.documents.folder()), ("database", self.database.as_ref().map(|(_, folder)| &**folder))]
        {
            if let Some(folder) = folder {
                disk(place, folder);
            }
        }
    }
}

/// Before the first note that can be read it is 0, and none yet is as old as the epoch: that is what an alert is to see.
async fn tell_backup(documents: &Arc<dyn BlobEngine>) {
    let completed = gauge!(BACKUP);
    match backup::last_backup(documents).await {
        Ok(last) => completed.set(last.map_or(0.0, |last| last.begun_at.as_duration().as_secs_f64())),
        Err(error) => tracing::warn!(%error, "the note of the last backup cannot be read"),
    }
}

/// What each figure says.
pub(crate) fn describe() {
    describe_gauge!(BUILD, "1, with the version of the program");
    describe_gauge!(STARTED, Unit::Seconds, "When the server started");
    describe_gauge!(RESIDENT, Unit::Bytes, "Memory that the process has");
    describe_gauge!(DESCRIPTORS, "Files and connections that the process has open");
    describe_gauge!(MOST_DESCRIPTORS, "How many it may have open");
    describe_gauge!(DATABASE, Unit::Bytes, "Size of the database");
    describe_gauge!(DATABASE_LOG, Unit::Bytes, "Size of the write-ahead log beside a SQLite file");
    describe_gauge!(DOCUMENTS, "Documents that rows name");
    describe_gauge!(DOCUMENT_BYTES, Unit::Bytes, "Their bytes");
    describe_gauge!(DISK, Unit::Bytes, "Size of the disk with `documents` or `database`");
    describe_gauge!(DISK_FREE, Unit::Bytes, "What of it is left to the server");
    describe_gauge!(
        CLOCK_OFFSET,
        Unit::Seconds,
        "How far this machine's clock is ahead of the database's; on SQLite how far it is behind what is on record, 0 for not at all"
    );
    describe_gauge!(CLOCK_FAULT, "1 while nothing is written since the clock cannot be relied on");
    describe_gauge!(
        ENDING,
        "How many things of a partner (`what`: `key_card`, `certificate`) end within so many `days`; certificates as far as they came to this server"
    );
    describe_gauge!(BACKUP, Unit::Seconds, "The instant whose state the last complete backup holds; 0 for none");
}

/// Compared with the clock of the database's machine, or with what is on record where that is the same machine.
fn tell_clock(shown: &time::ClockReading) {
    let offset = match shown.mark.database {
        Some(database) => shown.clock.duration_since(database),
        None => shown.clock.duration_since(shown.mark.last).min(SignedDuration::ZERO),
    };
    gauge!(CLOCK_OFFSET).set(offset.as_secs_f64());
    gauge!(CLOCK_FAULT).set(if shown.fault.is_some() { 1.0 } else { 0.0 });
}

/// Numbers by nation alone: who it is, its own registrars and policy officers see.
async fn tell_endings(exchange: &Exchange) -> service::Result<()> {
    for (partner, PartnerEndings { key_cards, certificates }) in endings::endings(exchange).await? {
        for (what, counts) in [("key_card", key_cards), ("certificate", certificates)] {
            for (days, count) in WARNED_DAYS.into_iter().zip(counts) {
                let (partner, days) = (partner.to_string(), days.to_string());
                gauge!(ENDING, "partner" => partner, "what" => what, "days" => days).set(as_float(count));
            }
        }
    }
    Ok(())
}

async fn count(exchange: &Exchange, documents: bool) -> Result<(), StoreError> {
    let mut tx = exchange.db.read().await?;
    gauge!(DATABASE).set(as_float(sizes::of_database(&mut tx).await?));
    if documents {
        let (count, bytes) = held_blobs::totals(&mut tx).await?;
        gauge!(DOCUMENTS).set(as_float(count));
        gauge!(DOCUMENT_BYTES).set(as_float(bytes));
    }
    Ok(())
}

/// Of Linux alone; elsewhere these figures are not there.
fn process() {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(kibibytes) = figure(&status, "VmRSS:") {
        gauge!(RESIDENT).set(as_float(kibibytes * 1024));
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        gauge!(DESCRIPTORS).set(as_float(open.count() as u64));
    }
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    if let Some(most) = figure(&limits, "Max open files") {
        gauge!(MOST_DESCRIPTORS).set(as_float(most));
    }
}

/// The first number of the line that begins so.
fn figure(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn disk(place: &'static str, folder: &Path) {
    if let Ok(found) = rustix::fs::statvfs(folder) {
        gauge!(DISK, "place" => place).set(as_float(found.f_blocks * found.f_frsize));
        gauge!(DISK_FREE, "place" => place).set(as_float(found.f_bavail * found.f_frsize));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_in_what_the_kernel_says() {
        assert_eq!(figure("VmHWM:\t  9 kB\nVmRSS:\t  1234 kB\n", "VmRSS:"), Some(1234));
        let limits = "Limit  Soft Limit  Hard Limit\nMax open files            1024                 4096   files\n";
        assert_eq!(figure(limits, "Max open files"), Some(1024));
        assert_eq!(figure("Max open files  unlimited", "Max open files"), None);
    }
}
