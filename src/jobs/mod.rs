//! What a running server does by itself, from time to time: one file a job, and one line in [`start`].
//!
//! A job never decides anything: it calls an operation of `service` and counts what came of it. It runs until the server has
//! stopped, says when something failed, and tries again.

pub mod figures;
mod housekeeping;
mod leftover_keys;
mod partners;
mod policies;
pub mod probes;
pub mod reload;
mod scrubs;
mod sweeps;

use crate::service::Exchange;
use figures::Figures;
use probes::Probes;
use reload::{Reload, Watch};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// What the jobs of a server work with.
pub(crate) struct Jobs {
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) probes: Arc<Probes>,
    pub(crate) figures: Figures,
    pub(crate) watch: Watch,
    pub(crate) reload: Reload,
    /// Whether everything could be used that was read at the start.
    pub(crate) went_well: bool,
    /// Of the partners in the database, when they were read.
    pub(crate) trust_generation: i64,
}

/// Starts every job. Each runs until `stopped`.
pub(crate) fn start(jobs: Jobs, stopped: &CancellationToken) {
    let Jobs { exchange, probes, figures, watch, reload, went_well, trust_generation } = jobs;
    let changes = Arc::new(Notify::new());
    until(stopped, Arc::clone(&probes).keep_trying_the_database());
    until(stopped, probes.keep_trying_the_folder());
    until(stopped, figures.run(Arc::clone(&exchange)));
    until(stopped, housekeeping::run(Arc::clone(&exchange)));
    until(stopped, leftover_keys::run(Arc::clone(&exchange)));
    until(stopped, sweeps::run(Arc::clone(&exchange)));
    until(stopped, scrubs::run(Arc::clone(&exchange)));
    until(stopped, policies::run(Arc::clone(&exchange)));
    until(stopped, partners::run(exchange, trust_generation, Arc::clone(&changes)));
    until(stopped, reload::run(watch, went_well, reload, changes));
}

fn until(stopped: &CancellationToken, work: impl Future<Output: Send> + Send + 'static) {
    let stopped = stopped.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = stopped.cancelled() => {}
            _ = work => {}
        }
    });
}
