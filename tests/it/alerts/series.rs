//! Alerts have the series that they ask for as soon as a server runs: of what has never succeeded, too.

use super::{named, read};
use crate::{
    harness::process::{Server, Site, until},
    process::NATIONS,
};
use entente::{
    domain::ambient::{Clock, SystemClock},
    storage::{Db, args, scrub},
};
use jiff::{SignedDuration, Timestamp};
use std::{collections::BTreeSet, fs};

/// Answers that are counted by status and reason: their alerts ask for many of them, so the first goes without saying.
const COUNTED_AS_THEY_COME: [&str; 2] = ["entente_requests_total", "entente_requests_refused_total"];

/// Whether the server tells a figure that begins like this: a name, or a name with its labels.
async fn tells(server: &Server, series: &str) -> bool {
    let (_, figures) = server.admin("/metrics").await;
    figures.lines().any(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with([' ', '{'])))
}

#[tokio::test]
async fn every_alert_has_its_series_before_anything_has_happened() {
    let rules = read("examples/prometheus/entente-alerts.yml");
    let expressions = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: "));
    let mut wanted: BTreeSet<String> = expressions.flat_map(named).collect();
    for figure in COUNTED_AS_THEY_COME {
        assert!(wanted.remove(figure), "{figure}");
    }
    let kinds = ["unavailable", "outcome-unknown", "full", "io", "damaged", "other-folder", "newer-schema", "other"];
    wanted.extend(kinds.map(|kind| format!("entente_store_errors_total{{kind=\"{kind}\"}}")));
    let whats = ["trust", "certificate"];
    wanted.extend(whats.map(|what| format!("entente_reloads_total{{what=\"{what}\",outcome=\"failed\"}}")));
    let site = Site::new(None);
    site.world(NATIONS).await.stop().await;
    let server = site.serve().await;
    for series in wanted {
        until(&series, async || tells(&server, &series).await.then_some(())).await;
    }
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn trial_that_never_succeeded_and_look_that_never_ended_have_an_age() {
    let site = Site::new(None);
    site.world(NATIONS).await.stop().await;
    // As of a folder that takes no file, from the first trial on.
    fs::create_dir(site.path("blobs/.entente-probe")).unwrap();
    // Another server began to look at all bytes days ago, was broken off again and again, and is at it.
    let now = SystemClock.now();
    let began_at = Timestamp::from_second(now.as_second()).unwrap() - SignedDuration::from_hours(24 * 4);
    let db = Db::open(site.database_url()).await.unwrap();
    let mut tx = db.write().await.unwrap();
    tx.execute("DELETE FROM blob_scrub", args![]).await.unwrap();
    scrub::claim(&mut tx, "another server", began_at).await.unwrap();
    let held_until = now + SignedDuration::from_mins(50);
    tx.execute("UPDATE blob_scrub SET held_until = $1", args![held_until]).await.unwrap();
    tx.commit().await.unwrap();
    db.close().await;

    let server = site.serve().await;
    for line in [
        "entente_probe_success_timestamp_seconds{part=\"blobs\"} 0".to_owned(),
        format!("entente_blobs_checked_timestamp_seconds {}", began_at.as_second()),
    ] {
        let is_told = async || server.admin("/metrics").await.1.lines().any(|found| found == line).then_some(());
        until(&line, is_told).await;
    }
    assert!(server.stop().await.success());
}
