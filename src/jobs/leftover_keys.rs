//! Removes the keys that went with a role and that the act left behind.

use crate::service::{Exchange, leftover_keys};
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;

/// When what failed is tried again.
const AGAIN: Duration = Duration::from_mins(1);

/// Removes them as soon as an act has left some. A failure is said and tried again.
pub(super) async fn run(exchange: Arc<Exchange>) {
    loop {
        exchange.leftover_keys.wait().await;
        while let Err(error) = leftover_keys::remove_noted(&exchange).await {
            tracing::warn!(%error, "keys that went with a role could not be removed");
            sleep(AGAIN).await;
        }
    }
}
