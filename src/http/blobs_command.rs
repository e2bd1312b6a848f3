//! What the host's operator does about the folder of sealed documents from the command line.
//!
//! What changes anything has a dry run that counts first, and says afterwards what it did. Nothing here removes a document that the
//! database names.

use super::{
    check::whole,
    config::Config,
    serve::{self, StartError},
};
use crate::{
    domain::{
        ambient::{Clock, Rng},
        text::counted,
    },
    service::{
        Exchange, ServiceError,
        marks::{self, Survey},
        upkeep::{self, Scrubbed},
    },
    storage::{
        BlobEngine, Db, StoreError,
        blob_engine::ask,
        held_blobs,
        mark::Mark,
        sweep::{Extent, Swept},
    },
};
use clap::{ArgGroup, Subcommand};
use jiff::SignedDuration;
use std::{
    io::{self, Write},
    sync::Arc,
};

/// How many damaged documents are named at most.
const LISTED: u32 = 1000;

/// `entente-server blobs …`.
#[derive(Debug, Subcommand)]
pub enum BlobsCommand {
    /// Show whether database and folder belong together, and count what is there
    Status,
    /// Say that database and folder belong together: both get a new mark
    #[command(
        group = ArgGroup::new("how").required(true),
        after_help = "A server that runs on either refuses documents from then on and has to be restarted. Copies with an \
        earlier mark no longer count as this exchange's.\n\nExamples:\n  entente-server --config server.toml blobs adopt \
        --dry-run\n  entente-server --config server.toml blobs adopt --yes"
    )]
    Adopt {
        /// Count what is there and change nothing
        #[arg(long, group = "how")]
        dry_run: bool,
        /// Do it
        #[arg(long, group = "how")]
        yes: bool,
    },
    /// Move files that no document names into quarantine, and put back those that one names again
    #[command(
        after_help = "A server does this once a day. Files younger than a day are left alone. More than one file in twenty is not \
        moved: then the database is most likely an older copy.\n\nExamples:\n  entente-server --config server.toml blobs sweep \
        --dry-run\n  entente-server --config server.toml blobs sweep"
    )]
    Sweep {
        /// Count and change nothing
        #[arg(long, conflicts_with = "everything")]
        dry_run: bool,
        /// However many they are: the database is the newest there is
        #[arg(long)]
        everything: bool,
    },
    /// Read every byte of every document and compare it with what was stored
    #[command(
        after_help = "A server does this once a day, gently. Put a damaged document's file back from a backup, then check again: \
        once its bytes are right it is handed out again.\n\nExamples:\n  entente-server --config server.toml blobs check\n  \
        entente-server --config server.toml blobs check --damaged"
    )]
    Check {
        /// Only the documents that were found damaged
        #[arg(long)]
        damaged: bool,
    },
    /// Remove for good what has been in quarantine for long and no document names
    #[command(
        group = ArgGroup::new("how").required(true),
        after_help = "Nothing else ever empties the quarantine. Before, be sure that no newer copy of the database will be \
        restored. Days are counted back from the latest instant on record.\n\nExample:\n  entente-server --config server.toml blobs empty-quarantine --days 90 --dry-run"
    )]
    EmptyQuarantine {
        /// In quarantine for at least so many days
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u16).range(1..))]
        days: u16,
        /// Count and change nothing
        #[arg(long, group = "how")]
        dry_run: bool,
        /// Do it
        #[arg(long, group = "how")]
        yes: bool,
    },
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum BlobsError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Exchange(#[from] ServiceError),
    #[error(
        "files that belong to no document: {} of {}; a sweep moves at most {}, so nothing was moved\n  if this database is the newest there is, \
         repeat with `--everything`; if it is an older copy, restore the newer one first",
        .0.orphans, .0.blobs, .0.most()
    )]
    TooMuch(Swept),
    #[error("damaged documents: {damaged}; documents that cannot be read: {unreadable}")]
    Damaged { damaged: u64, unreadable: u64 },
    #[error("cannot write the answer: {0}")]
    Write(#[from] io::Error),
}

/// Does what was asked and says what it did on `out`.
pub async fn blobs(
    config: &Config,
    command: BlobsCommand,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    out: &mut impl Write,
) -> Result<(), BlobsError> {
    if let BlobsCommand::Status | BlobsCommand::Adopt { .. } = command {
        // These are for the very case that both do not belong together.
        let db = serve::open_database(config, &*clock).await?;
        let done = look(config, &db, &command, &*clock, &*rng, out).await;
        db.close().await;
        return done;
    }
    let exchange = serve::open(config, clock, rng).await?;
    let done = carry_out(&exchange, &command, out).await;
    exchange.db.close().await;
    done
}

async fn look(
    config: &Config,
    db: &Db,
    command: &BlobsCommand,
    clock: &dyn Clock,
    rng: &dyn Rng,
    out: &mut impl Write,
) -> Result<(), BlobsError> {
    let engine = config.blob_engine();
    describe(config, db, &engine, out).await?;
    for held in held_blobs::damaged(&mut *db.read().await?, LISTED).await? {
        writeln!(out, "damaged   {held}")?;
    }
    match command {
        BlobsCommand::Adopt { yes: true, .. } => {
            let mark = marks::adopt(db, &engine, rng, clock.now()).await?;
            writeln!(out, "both have the mark `{}` now", mark.short())?;
        }
        BlobsCommand::Adopt { .. } => {
            writeln!(out, "nothing was changed: with `--yes` instead of `--dry-run` both get a new mark")?;
        }
        _ => {}
    }
    Ok(())
}

async fn carry_out(exchange: &Exchange, command: &BlobsCommand, out: &mut impl Write) -> Result<(), BlobsError> {
    match *command {
        BlobsCommand::Sweep { dry_run, everything } => sweep(exchange, dry_run, everything, out).await,
        BlobsCommand::Check { damaged } => check(exchange, damaged, out).await,
        BlobsCommand::EmptyQuarantine { days, yes, .. } => empty(exchange, days, yes, out).await,
        BlobsCommand::Status | BlobsCommand::Adopt { .. } => Ok(()),
    }
}

async fn sweep(exchange: &Exchange, dry_run: bool, everything: bool, out: &mut impl Write) -> Result<(), BlobsError> {
    let extent = match (dry_run, everything) {
        (true, _) => Extent::DryRun,
        (_, true) => Extent::Everything,
        _ => Extent::SmallShare,
    };
    let swept = upkeep::sweep(exchange, extent).await?;
    let Swept { blobs, orphans, moved, named_again, partial } = swept;
    for (count, what) in [
        (blobs, "files in the folder"),
        (orphans, "of them of no document, and older than a day"),
        (moved, "of these moved into quarantine"),
        (named_again, "files in quarantine that a document names: put back"),
        (partial, "files of uploads that never ended: removed"),
    ] {
        writeln!(out, "{count:8}  {what}")?;
    }
    if dry_run {
        writeln!(out, "nothing was changed; a sweep moves at most {} of these files", swept.most())?;
    } else if swept.is_too_much() && !everything {
        return Err(BlobsError::TooMuch(swept));
    }
    Ok(())
}

async fn check(exchange: &Exchange, only_damaged: bool, out: &mut impl Write) -> Result<(), BlobsError> {
    let Scrubbed { documents, bytes, damaged, recovered, unreadable, named } =
        upkeep::scrub_now(exchange, only_damaged).await?;
    let (read, bytes) = (counted(documents, "document was", "documents were"), counted(bytes, "byte", "bytes"));
    let right = counted(recovered, "that was damaged is", "that were damaged are");
    writeln!(out, "{read} read, {bytes}; {right} right again")?;
    for (held, error) in &named {
        writeln!(out, "unreadable {held}: {}", whole(error))?;
    }
    if damaged > 0 {
        writeln!(out, "`entente-server blobs status` names the damaged ones")?;
    }
    if damaged + unreadable > 0 {
        return Err(BlobsError::Damaged { damaged, unreadable });
    }
    Ok(())
}

async fn empty(exchange: &Exchange, days: u16, yes: bool, out: &mut impl Write) -> Result<(), BlobsError> {
    let age = SignedDuration::from_hours(24 * i64::from(days));
    let removed = upkeep::empty_quarantine(exchange, age, !yes).await?;
    let done = if yes { "removed for good" } else { "would be removed; nothing was changed" };
    let (files, bytes) = (counted(removed.blobs, "file", "files"), counted(removed.bytes, "byte", "bytes"));
    writeln!(out, "{files}, {bytes}, in quarantine for {} or more: {done}", counted(days, "day", "days"))?;
    Ok(())
}

async fn describe(
    config: &Config,
    db: &Db,
    engine: &Arc<dyn BlobEngine>,
    out: &mut impl Write,
) -> Result<(), BlobsError> {
    let survey = marks::survey(db, engine).await?;
    let known = marks::of_database(db).await?;
    let unsettled = known.as_ref().is_some_and(|known| !known.is_settled);
    let known = known.map(|known| known.mark);
    writeln!(out, "database  {}\n          {}", config.database.url.place(), mark_text(known.as_ref(), unsettled))?;
    let found = match ask(engine, |engine| engine.mark()).await {
        Ok(mark) => mark_text(mark.as_ref(), false),
        Err(error) => error.to_string(),
    };
    writeln!(out, "documents {}\n          {found}", engine.describe())?;
    let Survey { documents, missing, other_size, files, unknown } = survey;
    for (count, what) in [
        (documents, "documents that the database names"),
        (missing, "of them without a file in the folder"),
        (other_size, "of them with a file of another size"),
        (files, "files in the folder"),
        (unknown, "of them of no document that the database names"),
    ] {
        writeln!(out, "{count:8}  {what}")?;
    }
    Ok(())
}

fn mark_text(mark: Option<&Mark>, unsettled: bool) -> String {
    let unsettled = if unsettled { ", which the folder was about to get" } else { "" };
    mark.map_or_else(|| "no mark".to_owned(), |mark| format!("mark {}{unsettled}", mark.short()))
}
