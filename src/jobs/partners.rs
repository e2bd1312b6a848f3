//! Notices that the operator changed a partner in the database.

use crate::service::{Exchange, operator};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval},
};

/// How often the database is asked whether the operator changed a partner.
const TRUST_POLL: Duration = Duration::from_secs(1);

/// Notifies when the operator changed a partner in the database.
pub(super) async fn run(exchange: Arc<Exchange>, mut seen: i64, changes: Arc<Notify>) {
    let mut ticks = interval(TRUST_POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match operator::trust_generation(&exchange).await {
            Ok(now) if now != seen => {
                seen = now;
                changes.notify_one();
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "the partners could not be checked"),
        }
    }
}
