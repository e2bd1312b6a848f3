//! Sweeps the folder of sealed documents once a day. A failure is said and tried again.

use crate::{
    metrics,
    service::{Exchange, upkeep},
    storage::sweep::{Extent, Swept},
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until};

/// How often the folder is swept; first at the start.
const SWEEP: Duration = Duration::from_hours(24);

/// When a sweep that failed is tried again.
const SWEEP_AGAIN: Duration = Duration::from_hours(1);

/// Sweeps once a day.
pub(super) async fn run(exchange: Arc<Exchange>) {
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
    if let Err(error) = upkeep::release_announced(exchange).await {
        tracing::warn!(%error, "room is still kept for documents that can no longer come");
    }
    let swept = upkeep::sweep(exchange, Extent::SmallShare).await?;
    let quarantined = exchange.blobs.quarantined().await?.blobs;
    metrics::swept(&swept, quarantined);
    metrics::swept_at(exchange.clock.now());
    let Swept { blobs, orphans, moved, named_again, partial } = swept;
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
