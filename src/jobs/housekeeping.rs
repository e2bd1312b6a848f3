//! Forgets answers to requests that are no longer repeated and uploads whose time is over, and keeps up the database's statistics.

use crate::service::{Exchange, operator, upkeep};
use std::{sync::Arc, time::Duration};
use tokio::time::{MissedTickBehavior, interval};

/// How often they are forgotten.
const EXPIRY: Duration = Duration::from_hours(1);

/// Forgets old answers and uploads, and keeps up the database's statistics from time to time. A failure is said and tried again.
pub(super) async fn run(exchange: Arc<Exchange>) {
    let mut ticks = interval(EXPIRY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ran_hours = 0;
    loop {
        ticks.tick().await;
        match operator::expire_answers(&exchange, std::mem::replace(&mut ran_hours, 1)).await {
            Ok(0) => {}
            Ok(answers) => tracing::debug!(answers, "old answers were forgotten"),
            Err(error) => tracing::warn!(%error, "old answers could not be forgotten"),
        }
        match upkeep::drop_uploads(&exchange).await {
            Ok(0) => {}
            Ok(uploads) => tracing::info!(uploads, "uploads whose time is over were given up"),
            Err(error) => tracing::warn!(%error, "uploads whose time is over could not be given up"),
        }
        if let Err(error) = exchange.db.keep_statistics().await {
            tracing::warn!(%error, "the database's statistics could not be kept up");
        }
    }
}
