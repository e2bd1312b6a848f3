//! Keeps the histograms of the figures small.

use metrics_exporter_prometheus::PrometheusHandle;
use std::time::Duration;

/// Keeps histograms from piling up when nobody reads them. Runs until dropped.
pub(super) async fn run(handle: PrometheusHandle) {
    let mut ticks = tokio::time::interval(Duration::from_secs(5));
    loop {
        ticks.tick().await;
        handle.run_upkeep();
    }
}
