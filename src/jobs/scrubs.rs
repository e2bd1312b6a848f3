//! Looks at all bytes of sealed documents once a day. A failure is said and tried again.

use crate::{
    metrics,
    service::{
        Exchange,
        upkeep::{self, Scrubbed},
    },
    storage::{mark::Mark, scrub::Scrub},
};
use jiff::Timestamp;
use std::{sync::Arc, time::Duration};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often it is asked whether bytes are to be looked at, and how many documents are damaged.
const ASK: Duration = Duration::from_mins(1);

/// Looks at all bytes once a day, gently; of several servers one does. Reports the progress, also while it goes on, which takes hours.
pub(super) async fn run(exchange: Arc<Exchange>) {
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
            tracing::warn!(%error, "the sealed documents could not be checked");
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
