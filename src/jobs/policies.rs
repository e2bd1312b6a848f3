//! Verifies the policies in force again and again.

use crate::{
    metrics,
    service::{Exchange, operator},
};
use std::{sync::Arc, time::Duration};
use tokio::time::{MissedTickBehavior, interval};

/// How often the signatures of the policies in force are verified again.
const POLICY_CHECK: Duration = Duration::from_mins(1);

/// Verifies the policies in force again from time to time: somebody with the database in hand could have changed a text.
pub(super) async fn run(exchange: Arc<Exchange>) {
    let mut ticks = interval(POLICY_CHECK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match operator::check_policies(&exchange).await {
            Ok(faults) => metrics::policy_faults(faults.len()),
            Err(error) => tracing::warn!(%error, "the policies could not be checked"),
        }
    }
}
