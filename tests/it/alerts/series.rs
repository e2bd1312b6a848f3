//! Alerts have the series that they ask for as soon as a server runs: of what has never succeeded, too.

use super::{named, read};
use crate::{
    harness::{
        process::{Server, Site, until},
        stage::{pdf, quiet, slug},
    },
    process::{NATIONS, open_proposal},
};
use entente::{
    domain::ambient::{Clock, SystemClock},
    storage::{Db, args, scrub},
};
use jiff::{SignedDuration, Timestamp};
use std::{collections::BTreeSet, fs, os::unix::fs::symlink, path::PathBuf};

/// Answers that are counted by status and reason: their alerts ask for many of them, so the first goes without saying.
const COUNTED_AS_THEY_COME: [&str; 2] = ["entente_requests_total", "entente_requests_refused_total"];

/// Whether the server reports a figure that begins like this: a name, or a name with its labels.
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

#[tokio::test]
async fn document_that_the_disk_does_not_give_is_told_and_named() {
    let site = Site::new(None);
    let world = site.world(NATIONS).await;
    let proposal = open_proposal(&world).await;
    let plan = site.path("plan.pdf");
    fs::write(&plan, pdf("the work plan")).unwrap();
    let put = world.client("ISR:avi").put_document(proposal, &slug("work-plan"), &plan, None, quiet()).await.unwrap();
    world.stop().await;
    let file = only_file(site.path("blobs/blobs"));
    fs::rename(&file, site.path("away")).unwrap();
    // It leads to itself, so nobody can open it, whatever their rights.
    symlink(&file, &file).unwrap();
    // The exchange that was just stopped may have looked at all bytes today.
    let db = Db::open(site.database_url()).await.unwrap();
    let mut tx = db.write().await.unwrap();
    tx.execute("DELETE FROM blob_scrub", args![]).await.unwrap();
    tx.commit().await.unwrap();
    db.close().await;

    let server = site.serve().await;
    let is_told = async || server.admin("/metrics").await.1.lines().any(|line| line == "entente_blobs_unreadable 1");
    until("the alarm", async || is_told().await.then_some(())).await;
    let log = fs::read_to_string(site.path("server.log")).unwrap();
    let key = file.file_name().unwrap().to_str().unwrap();
    let told = log.lines().find(|line| line.contains("a sealed document cannot be read")).unwrap();
    assert!(told.contains(key), "{told}");
    assert!(log.contains("the lines above name their files"), "{log}");
    let checked = site.operate(&["blobs", "check"]).await;
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(!checked.status.success() && said.contains(&format!("unreadable {} of {proposal}", put.id)), "{said}");
    assert!(said.contains(key) && !said.contains("blobs status"), "nothing is known to be damaged: {said}");
    fs::rename(site.path("away"), &file).unwrap();
    assert!(site.operate(&["blobs", "check"]).await.status.success());
    assert!(server.stop().await.success());
}

/// The one file in a folder and those below it.
fn only_file(folder: PathBuf) -> PathBuf {
    let (mut folders, mut found) = (vec![folder], Vec::new());
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}
