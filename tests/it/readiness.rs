//! `/readyz` is red when something that acts need does not work, and says which; it is green again by itself.

use crate::harness::{
    exchange::{Answered, fresh_key},
    postgres::OwnCluster,
    process::{Server, Site, until},
    stage::NATIONS,
    world::{Store, TestWorld},
};
use entente::{domain::ambient::Clock, storage::args};
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, sync::Arc};

/// Trials follow each other at once, so that a test sees what comes of them; one that is stuck shows within a second.
const EAGER: &[(&str, &str)] = &[("limits.probe_seconds", "0.3")];

/// The fault of a part, if it has one.
async fn fault(world: &TestWorld, part: &str) -> Option<String> {
    let tls = world.tls(None);
    let http = reqwest::Client::builder().tls_backend_preconfigured(tls).build().unwrap();
    let answer = http.get(format!("http://{}/readyz", world.server.admin_addr)).send().await.unwrap();
    let status = answer.status().as_u16();
    let ready: Value = answer.json().await.unwrap();
    assert_eq!(status == 200, ready["ready"].as_bool().unwrap());
    let parts = ready["parts"].as_array().unwrap();
    let part = parts.iter().find(|found| found["part"] == part).unwrap_or_else(|| panic!("no `{part}`: {ready}"));
    part["fault"].as_str().map(str::to_owned)
}

async fn becomes_red(world: &TestWorld, part: &str, word: &str) {
    let told = until(part, async || fault(world, part).await.filter(|fault| fault.contains(word))).await;
    assert!(!told.contains("/tmp"), "no path is shown to those who can reach the machine: {told}");
}

async fn becomes_green(world: &TestWorld, part: &str) {
    until(part, async || fault(world, part).await.is_none().then_some(())).await;
}

#[tokio::test]
async fn folder_that_is_gone_or_cannot_be_written_is_red_until_it_is_back() {
    let world = TestWorld::start_with(NATIONS, Store::Sqlite, EAGER).await.unwrap();
    becomes_green(&world, "blobs").await;
    let blobs = world.plan.dir.join("blobs");
    let away = world.plan.dir.join("unmounted");
    fs::rename(&blobs, &away).unwrap();
    becomes_red(&world, "blobs", "do not belong together").await;
    assert!(!blobs.exists(), "a folder that is not mounted is not made");
    fs::create_dir(&blobs).unwrap();
    becomes_red(&world, "blobs", "do not belong together").await;
    assert_eq!(fs::read_dir(&blobs).unwrap().count(), 0, "into another folder nothing is written");
    fs::remove_dir(&blobs).unwrap();
    fs::rename(&away, &blobs).unwrap();
    becomes_green(&world, "blobs").await;

    // The folder is the right one and takes no file: this one cannot be made over.
    // A trial that is running has a file of that name for a moment.
    until("the place is free", async || fs::create_dir(blobs.join(".entente-probe")).ok()).await;
    becomes_red(&world, "blobs", "cannot be read or written").await;
    fs::remove_dir(blobs.join(".entente-probe")).unwrap();
    becomes_green(&world, "blobs").await;
    world.stop().await;
}

#[tokio::test]
async fn writer_that_comes_to_no_commit_is_red_and_green_again_when_it_does() {
    let world = TestWorld::start_with(NATIONS, Store::Sqlite, EAGER).await.unwrap();
    becomes_green(&world, "database").await;
    let stuck = world.server.exchange.db.write().await.unwrap();
    becomes_red(&world, "database", "it is stuck").await;
    drop(stuck);
    becomes_green(&world, "database").await;
    world.stop().await;
}

/// While one cannot be tried because of the other it stays as it was.
#[tokio::test]
async fn clock_that_is_wrong_makes_no_database_green_and_a_database_that_fails_no_clock() {
    let world = TestWorld::start_with(NATIONS, Store::Sqlite, EAGER).await.unwrap();
    for part in ["database", "clock"] {
        becomes_green(&world, part).await;
    }
    let right = world.clock.now();
    world.clock.set(right - SignedDuration::from_hours(1));
    becomes_red(&world, "clock", "clock is 1h behind what is on record").await;
    let change = async |sql: &'static str| {
        let mut tx = world.server.exchange.db.write().await.unwrap();
        tx.execute(sql, args![]).await.unwrap();
        tx.commit().await.unwrap();
    };
    // The record can no longer be read, and no clock can be compared with it.
    change("ALTER TABLE pulse RENAME TO away").await;
    becomes_red(&world, "database", "the database refuses a statement").await;
    let told = fault(&world, "clock").await;
    assert!(told.as_ref().is_some_and(|told| told.contains("1h behind")), "{told:?}");

    world.clock.set(right - SignedDuration::from_hours(2));
    change("ALTER TABLE away RENAME TO pulse").await;
    becomes_red(&world, "clock", "clock is 2h behind what is on record").await;
    assert!(fault(&world, "database").await.is_some(), "nothing was written since it failed");
    world.clock.set(right);
    for part in ["database", "clock"] {
        becomes_green(&world, part).await;
    }
    world.stop().await;
}

#[tokio::test]
async fn database_that_is_away_is_red_with_its_cause() {
    let Some((world, relay)) = TestWorld::start_behind_relay_with(NATIONS, EAGER).await else { return };
    becomes_green(&world, "database").await;
    relay.close();
    relay.fall_silent();
    becomes_red(&world, "database", "the store is not available: ").await;
    relay.open();
    becomes_green(&world, "database").await;
    world.stop().await;
}

#[tokio::test]
async fn standby_refuses_acts_with_its_cause_until_it_is_promoted() {
    let Some(mut cluster) = OwnCluster::start().await else { return };
    let site = Site::new(Some(cluster.url()));
    site.world(NATIONS).await.stop().await;
    let server = site.serve().await;
    let dana = site.speaker("USA:dana");
    let body = json!({ "name": "Another", "lead": "USA", "partners": ["USA"] });
    let post = async || {
        let request = dana.http.post(format!("{}/v1/programs", server.base()));
        request.header("Idempotency-Key", fresh_key()).json(&body).send().await.unwrap()
    };
    post().await.expect_status(201).await;

    cluster.become_standby();
    let cause = "cannot set transaction read-write mode during recovery";
    assert_eq!(post().await.problem().await, (503, "unavailable".to_owned()));
    dana.http.get(format!("{}/v1/programs", server.base())).send().await.unwrap().expect_status(200).await;
    let log = fs::read_to_string(site.path("server.log")).unwrap();
    assert!(log.contains(cause), "{log}");
    let told = until("a red part", async || {
        let (status, ready) = server.admin("/readyz").await;
        (status == 503 && ready.contains(cause)).then_some(ready)
    });
    assert!(told.await.contains("the store is not available: "));
    let check = site.operate(&["--check"]).await;
    let said = String::from_utf8_lossy(&[check.stdout, check.stderr].concat()).into_owned();
    assert!(!check.status.success() && said.contains("it is a standby or read-only: name the primary"), "{said}");

    cluster.become_primary();
    post().await.expect_status(201).await;
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn certificate_of_the_server_that_has_expired_is_red() {
    let world = TestWorld::start_with(NATIONS, Store::Sqlite, EAGER).await.unwrap();
    becomes_green(&world, "certificate").await;
    world.clock.set(world.server.tls.expires_at() + SignedDuration::from_secs(1));
    becomes_red(&world, "certificate", "has expired").await;
    world.stop().await;
}

#[tokio::test]
async fn trials_leave_no_entry_no_row_and_no_file() {
    let world = TestWorld::start_with(NATIONS, Store::Sqlite, EAGER).await.unwrap();
    let exchange = Arc::clone(&world.server.exchange);
    let count = async || {
        let mut tx = exchange.db.read().await.unwrap();
        let sql = "SELECT (SELECT COUNT(*) FROM log_entries) AS entries, (SELECT COUNT(*) FROM pulse) AS beats, \
                   (SELECT at FROM pulse) AS at, (SELECT page_count FROM pragma_page_count()) AS pages";
        let row = tx.fetch_one(sql, args![]).await.unwrap();
        (row.int("entries").unwrap(), row.int("beats").unwrap(), row.int("pages").unwrap(), row.int("at").unwrap())
    };
    let before = count().await;
    world.clock.set(world.clock.now() + SignedDuration::from_secs(60));
    let after = until("another trial", async || {
        let now = count().await;
        (now.3 > before.3).then_some(now)
    })
    .await;
    assert_eq!((after.0, after.1, after.2), (before.0, before.1, before.2));
    world.stop().await;
}

/// The age of the last trial is a figure.
#[tokio::test]
async fn trials_are_figures() {
    let site = Site::new(None);
    site.world(NATIONS).await.stop().await;
    let server: Server = site.serve().await;
    for part in ["database", "clock", "blobs"] {
        let name = format!("entente_probe_success_timestamp_seconds{{part=\"{part}\"}} ");
        until(part, async || {
            let (_, figures) = server.admin("/metrics").await;
            let at = figures.lines().find_map(|line| line.strip_prefix(&name)?.parse::<f64>().ok());
            at.filter(|at| *at > 0.0)
        })
        .await;
    }
    assert!(server.stop().await.success());
}

/// As full as a disk becomes without being root's: no file grows any more, that of the log neither.
#[tokio::test]
async fn disk_that_takes_nothing_more_is_red_until_it_does_and_what_was_acknowledged_stays() {
    let site = Site::new(None);
    site.world(NATIONS).await.stop().await;
    let plain = fs::read_to_string(site.config()).unwrap();
    fs::write(site.config(), format!("{plain}[limits]\nprobe_seconds = 0.3\n")).unwrap();
    let server = site.serve_within_limits().await;
    let programs = format!("{}/v1/programs", server.base());
    let dana = site.speaker("USA:dana");
    let create = async |name: &str| {
        let act = dana.http.post(&programs).header("idempotency-key", name).header("content-type", "application/json");
        let body = json!({ "name": name, "lead": "USA", "partners": ["USA", "ISR"] }).to_string();
        act.body(body).send().await.unwrap().status().as_u16()
    };
    let names = async |server: &Server| {
        let answer = dana.http.get(format!("{}/v1/programs", server.base())).send().await.unwrap();
        let page: Value = answer.json().await.unwrap();
        let items = page["items"].as_array().unwrap();
        items.iter().map(|program| program["name"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let both = async |wanted: bool| {
        let (_, told) = server.admin("/readyz").await;
        let ready: Value = serde_json::from_str(&told).unwrap();
        let parts = ready["parts"].as_array().unwrap();
        let is_green = |name: &str| parts.iter().any(|part| part["part"] == name && part["fault"].is_null());
        (is_green("database") == wanted && is_green("blobs") == wanted).then_some(())
    };
    assert_eq!(create("before").await, 201);
    server.limit_files(Some(0));
    until("database and folder are red", async || both(false).await).await;
    let refused = create("meanwhile").await;
    assert!(refused >= 500, "{refused}");
    assert_eq!(names(&server).await, ["before".to_owned()].into(), "it goes on reading");
    server.limit_files(None);
    until("database and folder are green", async || both(true).await).await;
    assert_eq!(create("meanwhile").await, 201, "the same request again");
    let known: BTreeSet<String> = ["before".to_owned(), "meanwhile".to_owned()].into();
    assert_eq!(names(&server).await, known);
    assert!(server.stop().await.success());
    let server = site.serve().await;
    assert_eq!(names(&server).await, known);
    assert!(server.stop().await.success());
}
