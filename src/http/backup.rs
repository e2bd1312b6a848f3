//! `entente-server backup`, `restore` and `verify`: takes a backup beside running servers, puts one into empty places, and looks
//! whether everything is what it was. Says how far it is on standard error, and what came of it on standard output.

use super::config::Config;
use crate::{
    domain::{
        ambient::{Clock, Rng},
        text::counted,
    },
    service::{
        ServiceError,
        verify::{self, VerificationCounts, VerificationEvent},
    },
    storage::{
        BlobEngine, Db, PostgresLimits, StoreError,
        backup::{self, BackupError, BackupManifest, BackupOutcome, BackupStep, Site, Unsound},
        blob_engine::ask,
        db::tables::Tables,
    },
};
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use std::{
    io::{self, IsTerminal as _, Write},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// How much older than its copy a state may be without a word: servers note that they are well many times a minute.
const STALE: SignedDuration = SignedDuration::from_hours(1);

/// `entente-server backup DIR`.
#[derive(Debug, Args)]
#[command(
    after_help = "Servers go on meanwhile. A second backup into the same folder copies only documents that are new.\n\nExample:\n  \
    entente-server --config server.toml backup /backup/entente"
)]
pub struct BackUp {
    /// Folder of backups: empty, not there yet, or with backups already
    folder: PathBuf,
    /// Begin a new folder although earlier backups are in another one
    #[arg(long)]
    new_folder: bool,
}

/// `entente-server restore DIR`.
#[derive(Debug, Args)]
#[command(
    after_help = "Database and folder of documents must be empty. If it is interrupted, repeat the command: it continues.\n\nExample:\n  \
    entente-server --config server.toml restore /backup/entente"
)]
pub struct Restore {
    /// Folder of backups
    folder: PathBuf,
    /// Name of the backup, when it is not the newest
    #[arg(long, value_name = "NAME")]
    backup: Option<String>,
}

/// `entente-server verify [DIR]`.
#[derive(Debug, Args)]
#[command(
    after_help = "Reads every document. Exit code 0 when nothing that was checked has changed, 1 when something is damaged.\n\nExamples:\n  \
    entente-server --config server.toml verify\n  entente-server verify /backup/entente"
)]
pub struct Verify {
    /// Folder of backups; without, the configured database and documents are verified
    pub folder: Option<PathBuf>,
    /// Name of the backup, when it is not the newest
    #[arg(long, value_name = "NAME", requires = "folder")]
    backup: Option<String>,
}

/// Why it was not done, or what was found.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    #[error("{0}\n  {help}", help = .0.help())]
    Backup(#[from] BackupError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error("cannot write the answer: {0}")]
    Write(#[from] io::Error),
    #[error("documents that could not be copied, because they are missing or damaged: {0}")]
    Unsound(usize),
    #[error("items that are damaged or differ from what was recorded: {0}")]
    Damaged(u64),
    #[error(
        "without a folder of backups `verify` checks a configured exchange: name its configuration with `--config FILE`"
    )]
    NoConfiguration,
}

/// Takes a backup.
pub async fn back_up(config: &Config, words: BackUp, clock: &dyn Clock, out: &mut impl Write) -> Result<(), KeepError> {
    let documents = config.blob_engine();
    let site = site(config, &documents);
    if !words.new_folder {
        backup::refuse_new_folder(site, &words.folder).await?;
    }
    let mut teller = Teller::new();
    let done = backup::take(site, &words.folder, clock, &mut |step| teller.step(step)).await;
    teller.end();
    let done = done?;
    let is_complete = done.is_complete();
    let BackupOutcome { name, manifest, is_of, unsound, copied, copied_bytes } = done;
    let state = if is_complete { "is complete" } else { "is taken and lacks documents" };
    writeln!(out, "backup `{name}` {state}: {}", contents(&manifest))?;
    writeln!(out, "{} new, {} copied", counted(copied, "document was", "documents were"), size(copied_bytes))?;
    let behind = manifest.begun_at.duration_since(is_of);
    if behind > STALE {
        writeln!(
            out,
            "its state is of {is_of}, {} earlier: either no server has run since, or this is a standby that replication does not reach",
            ago(behind)
        )?;
    }
    tell_unsound(&unsound, out)
}

/// Puts a backup where the configuration says.
pub async fn restore(
    config: &Config,
    words: Restore,
    (clock, rng): (&dyn Clock, &dyn Rng),
    out: &mut impl Write,
) -> Result<(), KeepError> {
    let mut teller = Teller::new();
    let mut progress = |step| teller.step(step);
    let documents = config.blob_engine();
    let (site, name) = (site(config, &documents), words.backup.as_deref());
    let done = backup::restore(site, &words.folder, name, (clock, rng), &mut progress).await;
    teller.end();
    let BackupOutcome { name, manifest, unsound, .. } = done?;
    writeln!(out, "backup `{name}` is restored: {}", contents(&manifest))?;
    writeln!(out, "{}", age(&manifest, clock.now()))?;
    writeln!(
        out,
        "Acts that were acknowledged after that are missing: tell the partners. Clients that saw a newer state say so."
    )?;
    tell_unsound(&unsound, out)
}

/// Looks through a backup, or through what is configured.
pub async fn verify(
    config: Option<&Config>,
    words: Verify,
    clock: &dyn Clock,
    out: &mut impl Write,
) -> Result<(), KeepError> {
    let Some(folder) = &words.folder else {
        return verify_live(config.ok_or(KeepError::NoConfiguration)?, out).await;
    };
    let opened = backup::open(folder, words.backup.as_deref()).await?;
    let mut damaged = 0;
    for (name, flaw) in &opened.flaws {
        damaged += 1;
        writeln!(out, "damaged: `{name}` of the backup {flaw}")?;
    }
    let verified = look(&opened.tables, &opened.documents, out).await;
    opened.tables.close().await;
    let verified = match verified {
        // What can no longer be read was named above.
        Err(KeepError::Service(ServiceError::Store(error))) if damaged > 0 => {
            writeln!(out, "the copy of the database cannot be looked through: {error}")?;
            return Err(KeepError::Damaged(damaged));
        }
        verified => verified?,
    };
    let manifest = &opened.manifest;
    for (what, is_same) in [
        ("schema", verified.state.schema == manifest.schema),
        ("mark", verified.state.mark == manifest.mark),
        ("last entry", verified.state.last_entry == manifest.last_entry),
        ("number of documents", verified.documents == manifest.documents),
    ] {
        if !is_same {
            damaged += 1;
            writeln!(out, "damaged: the {what} of the database is another than the manifest says")?;
        }
    }
    writeln!(out, "backup `{}`, {}", opened.name, summary(&verified))?;
    writeln!(out, "{}", age(manifest, clock.now()))?;
    conclude(damaged + verified.findings, out)
}

async fn verify_live(config: &Config, out: &mut impl Write) -> Result<(), KeepError> {
    let url = config.database.url.reveal();
    let tables = Tables::In(Db::look(url, true).await?);
    let has_engine_check = tables.has_engine_check();
    let documents = config.blob_engine();
    let verified = look(&tables, &documents, out).await;
    tables.close().await;
    let verified = verified?;
    let mut damaged = 0;
    let found = ask(&documents, |place| place.mark()).await?.map(|mark| mark.to_string());
    if found != verified.state.mark {
        damaged += 1;
        writeln!(out, "damaged: the folder of documents has another mark than the database, or one of them has none")?;
    }
    writeln!(out, "{}", summary(&verified))?;
    if !has_engine_check {
        writeln!(out, "PostgreSQL's own files and indexes were not checked: that is for `pg_amcheck`")?;
    }
    conclude(damaged + verified.findings, out)
}

async fn look(
    tables: &Tables,
    documents: &Arc<dyn BlobEngine>,
    out: &mut impl Write,
) -> Result<VerificationCounts, KeepError> {
    let mut teller = Teller::new();
    let mut written = Ok(());
    let mut hear = |look| match look {
        VerificationEvent::Found(finding) => {
            teller.end();
            let line = writeln!(out, "damaged: {}: {}", finding.what, finding.fault);
            written = std::mem::replace(&mut written, Ok(())).and(line);
        }
        VerificationEvent::Documents { read, bytes } => {
            teller.tell(|| format!("{} read, {}", counted(read, "document", "documents"), size(bytes)));
        }
        VerificationEvent::Statements(count) => {
            teller.tell(|| format!("{} verified", counted(count, "statement", "statements")));
        }
    };
    let verified = verify::verify(tables, documents, &mut hear).await;
    teller.end();
    written?;
    Ok(verified?)
}

fn conclude(damaged: u64, out: &mut impl Write) -> Result<(), KeepError> {
    if damaged > 0 {
        return Err(KeepError::Damaged(damaged));
    }
    Ok(writeln!(out, "nothing that was checked has changed")?)
}

fn site<'a>(config: &'a Config, blobs: &'a Arc<dyn BlobEngine>) -> Site<'a> {
    let database_url = config.database.url.reveal();
    Site { database_url, blobs, host: &config.host, limits: PostgresLimits::default() }
}

fn tell_unsound(unsound: &[Unsound], out: &mut impl Write) -> Result<(), KeepError> {
    for Unsound { document, proposal, fault } in unsound {
        writeln!(out, "not copied: document {document} of proposal {proposal}: {fault}")?;
    }
    if unsound.is_empty() { Ok(()) } else { Err(KeepError::Unsound(unsound.len())) }
}

fn contents(manifest: &BackupManifest) -> String {
    format!(
        "{}, {}, schema {}, taken at {}",
        counted(manifest.documents, "document", "documents"),
        size(manifest.document_bytes),
        manifest.schema,
        manifest.begun_at,
    )
}

fn summary(verified: &VerificationCounts) -> String {
    format!(
        "schema {}, mark {}, {}: {} ({}) and {} were looked at",
        verified.state.schema,
        verified.state.mark.as_deref().and_then(|mark| mark.get(..8)).unwrap_or("none"),
        counted(verified.state.entries, "entry", "entries"),
        counted(verified.documents, "document", "documents"),
        size(verified.document_bytes),
        counted(verified.statements, "statement", "statements"),
    )
}

/// How old the state of a backup is.
fn age(manifest: &BackupManifest, now: Timestamp) -> String {
    match manifest.last_entry_at {
        Some(at) => {
            format!("the last entry is number {} of {at}, {} ago", manifest.last_entry, ago(now.duration_since(at)))
        }
        None => "its log has no entry".to_owned(),
    }
}

/// A span in words, to the largest two units.
pub(super) fn ago(span: SignedDuration) -> String {
    let seconds = span.as_secs().max(0);
    let parts = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let text: Vec<String> = parts
        .iter()
        .skip_while(|(count, unit)| *count == 0 && *unit != "s")
        .take(2)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    text.join(" ")
}

fn size(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(shift, _)| bytes >> shift > 0) {
        Some((shift, unit)) => {
            let tenths = (u128::from(bytes) * 10) >> shift;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} bytes"),
    }
}

/// Says on standard error how far something is: in place on a terminal, else a line every few seconds.
struct Teller {
    is_terminal: bool,
    last: Option<Instant>,
    has_line: bool,
}

impl Teller {
    fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal(), last: None, has_line: false }
    }

    fn step(&mut self, step: BackupStep) {
        self.tell(|| match step {
            BackupStep::Database(bytes) => format!("database: {}", size(bytes)),
            BackupStep::Documents { seen, copied, bytes } => {
                format!("documents: {seen} looked at, {copied} copied, {}", size(bytes))
            }
        });
    }

    fn tell(&mut self, line: impl FnOnce() -> String) {
        let pause = if self.is_terminal { Duration::from_millis(200) } else { Duration::from_secs(5) };
        if self.last.is_some_and(|last| last.elapsed() < pause) {
            return;
        }
        self.last = Some(Instant::now());
        let line = line();
        // Nobody may be there to read it, which is no reason to stop.
        let _ = if self.is_terminal {
            self.has_line = true;
            write!(io::stderr(), "\r\x1b[K{line}")
        } else {
            writeln!(io::stderr(), "{line}")
        };
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.has_line) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_sizes_are_told_in_units_that_people_use() {
        for (seconds, text) in
            [(0, "0 s"), (61, "1 min 1 s"), (86_400 * 3 + 7300, "3 d 2 h"), (3600, "1 h 0 min"), (-5, "0 s")]
        {
            assert_eq!(ago(SignedDuration::from_secs(seconds)), text);
        }
        for (bytes, text) in [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (3 << 30, "3.0 GiB")] {
            assert_eq!(size(bytes), text);
        }
    }
}
