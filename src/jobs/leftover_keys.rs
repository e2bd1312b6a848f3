//! Removes the keys that went with a role and that the act left behind.

use crate::{
    metrics,
    service::{Exchange, leftover_keys},
};
use std::{sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};

/// When what failed is tried again.
const AGAIN: Duration = Duration::from_mins(1);

/// While nothing is left behind, it is said so often that nothing is.
const STILL_WELL: Duration = Duration::from_mins(5);

/// Removes them as soon as an act has left some. A failure is said and tried again.
pub(super) async fn run(exchange: Arc<Exchange>) {
    metrics::leftover_keys_removed(exchange.clock.now());
    loop {
        // An act that notes something meanwhile is not missed: what it noted waits for the next round, which begins at once.
        let _ = timeout(STILL_WELL, exchange.leftover_keys.wait()).await;
        while let Err(error) = leftover_keys::remove_noted(&exchange).await {
            tracing::warn!(%error, "keys that went with a role could not be removed");
            sleep(AGAIN).await;
        }
        metrics::leftover_keys_removed(exchange.clock.now());
    }
}
