//! What a running server does about the folder of sealed documents by itself: once a day it sweeps and looks at all bytes. A failure is
//! said and tried again.

use super::metrics;
use crate::{
    service::{
        Exchange,
        upkeep::{self, Scrubbed},
    },
    storage::{mark::Mark, scrub::Scrub, sweep::Extent},
};
use jiff::Timestamp;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

/// How often the folder is swept; first at the start.
const SWEEP: Duration = Duration::from_hours(24);

/// When a sweep that failed is tried again.
const SWEEP_AGAIN: Duration = Duration::from_hours(1);

/// How often it is asked whether bytes are to be looked at, and how many documents are damaged.
const ASK: Duration = Duration::from_mins(1);

/// Sweeps once a day.
pub(super) async fn sweeps(exchange: Arc<Exchange>) {
    metrics::swept_at(exchange.clock.now());
    let mut next = Instant::now();
    loop {
        sleep_until(next).await;
        next = Instant::now() + SWEEP;
        if let Err(error) = sweep(&exchange).await {
            tracing::warn!(%error, "the folder of sealed documents could not be swept");
            next = Instant::now() + SWEEP_AGAIN;
        }
    }
}

async fn sweep(exchange: &Exchange) -> crate::service::Result<()> {
    match upkeep::drop_replaced(exchange).await {
        Ok(0) => {}
        Ok(dropped) => {
            tracing::info!(
                dropped,
                "documents that were replaced long ago and that no version names are in quarantine"
            );
        }
        Err(error) => {
            tracing::warn!(%error, "documents that were replaced long ago could not be moved into quarantine");
        }
    }
    let swept = upkeep::sweep(exchange, Extent::SmallShare).await?;
    let quarantined = exchange.blobs.quarantined().await?.blobs;
    metrics::swept(&swept, quarantined);
    metrics::swept_at(exchange.clock.now());
    let crate::storage::sweep::Swept { blobs, orphans, moved, named_again, partial } = swept;
    if named_again > 0 {
        tracing::warn!(named_again, "files in quarantine belong to documents of this database and were put back");
    }
    if partial > 0 {
        tracing::info!(partial, "files of uploads that never ended were removed");
    }
    if moved > 0 {
        tracing::warn!(moved, blobs, quarantined, "files that no document names were moved into quarantine");
    } else if orphans > 0 {
        tracing::error!(
            orphans,
            blobs,
            most = swept.most(),
            "more files than a sweep moves belong to no document: is this an older copy of the database? Nothing was moved; see \
             `entente-server blobs sweep --dry-run`"
        );
    }
    Ok(())
}

/// Looks at all bytes once a day, gently; of several servers one does. Tells how that stands, also while it goes on, which takes hours.
pub(super) async fn scrubs(exchange: Arc<Exchange>) {
    let holder = Mark::random(&*exchange.rng).to_string();
    let began_at = exchange.clock.now();
    metrics::unreadable(0);
    let looking = async {
        let mut ticks = minutes();
        loop {
            ticks.tick().await;
            scrub(&exchange, &holder).await;
            figures(&exchange, began_at).await;
        }
    };
    let telling = async {
        let mut ticks = minutes();
        loop {
            ticks.tick().await;
            figures(&exchange, began_at).await;
        }
    };
    tokio::select! {
        () = looking => {}
        () = telling => {}
    }
}

fn minutes() -> Interval {
    let mut ticks = interval(ASK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn scrub(exchange: &Exchange, holder: &str) {
    let Scrubbed { documents, bytes, damaged, unreadable, .. } = match upkeep::scrub_when_due(exchange, holder).await {
        Ok(Some(done)) => done,
        Ok(None) => return,
        Err(error) => {
            tracing::warn!(%error, "the sealed documents could not be looked at");
            return;
        }
    };
    if damaged + unreadable > 0 {
        let what = "sealed documents are damaged or cannot be read: the lines above name their files";
        tracing::error!(damaged, unreadable, documents, "{what}");
    } else {
        tracing::info!(documents, bytes, "every sealed document is as stored");
    }
}

/// Before the first look at all bytes its age is that of this server.
async fn figures(exchange: &Exchange, began_at: Timestamp) {
    match upkeep::state(exchange).await {
        Ok((damaged, last)) => {
            metrics::damaged(damaged);
            metrics::unreadable(last.as_ref().map_or(0, Scrub::unreadable));
            metrics::bytes_checked(last.map_or(began_at, |last| last.checked_at()));
        }
        Err(error) => tracing::debug!(%error, "the damaged documents could not be counted"),
    }
}
