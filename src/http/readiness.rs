//! What `/readyz` answers: what came of the last attempts of each part, and whether policies and certificate count.

use super::{
    admin::{PartReady, Readiness},
    tls::Tls,
};
use crate::jobs::probes::Probes;
use jiff::Timestamp;
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long a look at policies and mark may hold up an answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// What `/readyz` asks.
pub(super) fn readiness(probes: Arc<Probes>, tls: Arc<Tls>, draining: CancellationToken) -> Readiness {
    Arc::new(move || {
        let (probes, tls, draining) = (Arc::clone(&probes), Arc::clone(&tls), draining.clone());
        Box::pin(async move {
            let (policies, marked) = tokio::join!(in_time(probes.policies()), in_time(probes.marked()));
            let folder = marked.and_then(|()| probes.folder());
            let server = if draining.is_cancelled() { Err("it is stopping") } else { Ok(()) };
            let certificate = still_valid(tls.expires_at(), probes.now());
            vec![
                PartReady::from_result("database", probes.database()),
                PartReady::from_result("clock", probes.clock()),
                PartReady::from_result("blobs", folder),
                PartReady::from_result("policies", policies),
                PartReady::from_result("certificate", certificate),
                PartReady::from_result("server", server),
            ]
        })
    })
}

async fn in_time(look: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    timeout(PATIENCE, look).await.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")))
}

fn still_valid(until: Timestamp, now: Timestamp) -> Result<(), String> {
    if now > until { Err(format!("the server's certificate has expired, {until}")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_counts_to_its_last_instant() {
        let until: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
        assert!(still_valid(until, until).is_ok());
        assert!(still_valid(until, until + Duration::from_millis(1)).is_err());
    }
}
