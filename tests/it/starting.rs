//! What stands in the way of a start is found before it, without changing anything; a SQLite file has one server; and who says stop twice
//! means now.

use crate::harness::{
    exchange::Answered,
    postgres::Database,
    process::{Server, Site, ended, server_program, until},
    world::TestClock,
};
use bytes::Bytes;
use entente::{
    dev_pki::cast::{AVI, DANA, DemoNation, ISR, USA},
    http::{check::check, config::Config},
};
use futures_util::stream;
use serde_json::json;
use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    os::unix::fs::{FileExt, PermissionsExt, chown, symlink},
    path::Path,
    process::Output,
};
use tokio::sync::mpsc;

const NATIONS: &[DemoNation] = &[DemoNation { cast: &[DANA], ..USA }, DemoNation { cast: &[AVI], ..ISR }];

#[tokio::test]
async fn check_finds_what_a_start_would_stumble_over_and_changes_nothing() {
    let site = Site::new(None);
    site.world(NATIONS).await.stop().await;
    let (text, strange) = (site.path("text.db"), site.path("strange.db"));
    fs::write(&text, "Dear sirs, this is no database. ".repeat(200)).unwrap();
    let url = format!("sqlite://{}?mode=rwc", strange.display());
    let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect(&url).await.unwrap();
    sqlx::query("CREATE TABLE invoices (number INTEGER)").execute(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    let newer = site.path("newer.db");
    fs::copy(site.path("entente.db"), &newer).unwrap();
    let mut connection =
        <sqlx::SqliteConnection as sqlx::Connection>::connect(&format!("sqlite://{}", newer.display())).await.unwrap();
    let insert = "INSERT INTO schema_migrations (version, name, sha256, applied_at) VALUES (999, 'x', 'x', 0)";
    sqlx::query(insert).execute(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    let damaged = site.path("damaged.db");
    damaged_copy(&site.path("entente.db"), &damaged).await;
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = busy.local_addr().unwrap();
    let closed = site.path("closed");
    fs::create_dir(&closed).unwrap();
    // Root may write everywhere, so there it is the owner that is another.
    let wanted =
        if chown(&closed, Some(65_534), None).is_ok() { "belongs to account 65534" } else { "cannot be written" };
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).unwrap();
    let other = site.path("other");
    fs::create_dir(&other).unwrap();
    let lists = site.path("lists");
    fs::create_dir(&lists).unwrap();
    fs::write(lists.join("ISR.pem"), "no list").unwrap();

    let sqlite = |path: &Path| format!("database.url=sqlite://{}", path.display());
    let before = contents(&site);
    for (setting, faults) in [
        (
            "database.url=postgres://entente:secret@127.0.0.1:1/entente".to_owned(),
            vec!["`database.url`: `postgres://127.0.0.1:1/entente`", "refused"],
        ),
        (sqlite(&text), vec!["text.db", "expected a well-formed SQLite file"]),
        (sqlite(&strange), vec!["strange.db` holds 1 table of another program"]),
        (sqlite(&newer), vec!["newer.db", "the schema of the database is version 999"]),
        (sqlite(&damaged), vec!["damaged.db", "is damaged: expected a SQLite file that passes `PRAGMA quick_check`"]),
        (format!("blobs.folder={}", closed.display()), vec!["`blobs.folder`", "closed", wanted]),
        (format!("blobs.folder={}", other.display()), vec!["`blobs.folder`", "other", "the folder has none"]),
        (sqlite(&site.path("fresh.db")), vec!["`blobs.folder`", "the database has none"]),
        (format!("api.listen={taken}"), vec!["`api.listen`: cannot listen on", "choose another port"]),
        ("host=GBR".to_owned(), vec!["`host`: `GBR` is not enrolled as a partner"]),
        (
            format!("trust.crl_folder={}", lists.display()),
            vec!["`trust.crl_folder`", "lists/ISR.pem", "holds no revocation list"],
        ),
    ] {
        let (code, said) = failed(&site.operate(&["--set", &setting, "--check"]).await);
        assert_eq!(code, 1, "{setting}: {said}");
        for fault in faults {
            assert!(said.contains(fault), "{setting}: wanted {fault} in {said}");
        }
        assert!(!said.contains("secret"), "{said}");
    }
    // What is not there yet is reported, and not made.
    let fresh = site.path("fresh.db");
    let empty = format!("blobs.folder={}", site.path("made").display());
    let output = site.operate(&["--set", &sqlite(&fresh), "--set", &empty, "--check"]).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("fresh.db` is empty and gets its tables on start"), "{said}");
    assert_eq!(contents(&site), before, "a check changes nothing");
    drop(busy);
}

/// By a clock that is decades ahead: a start then would let nobody in.
#[tokio::test]
async fn check_finds_anchors_and_revocation_lists_that_have_expired() {
    let site = Site::new(None);
    site.world(NATIONS).await.stop().await;
    let config = Config::load(Some(&site.config()), [], &[]).unwrap();
    let found = check(&config, std::iter::empty(), TestClock::days_ago(0)).await;
    assert!(found.faults.is_empty(), "{found:?}");
    let found = check(&config, std::iter::empty(), TestClock::days_ago(-15_000)).await;
    let told: Vec<_> = found.faults.iter().map(|fault| fault.message.as_str()).collect();
    assert_eq!(told.len(), 4, "{told:?}");
    for code in ["USA", "ISR"] {
        for (begin, middle) in [
            ("the anchor ", format!("` of `{code}` expired at ")),
            ("the revocation list ", format!("`{code}`, expired at ")),
        ] {
            let is_it = |told: &&str| told.starts_with(begin) && told.contains(&middle);
            assert!(told.iter().any(is_it), "{begin}{middle}: {told:?}");
        }
    }
}

#[tokio::test]
async fn check_finds_listeners_in_each_other_s_way_and_a_quarantine_of_another_account() {
    let site = Site::new(None);
    site.world(NATIONS).await.stop().await;
    assert!(site.operate(&["--check"]).await.status.success());
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (api, admin) = (format!("api.listen=0.0.0.0:{port}"), format!("admin.listen=127.0.0.1:{port}"));
    let (code, said) = failed(&site.operate(&["--set", &api, "--set", &admin, "--check"]).await);
    assert!(code == 1 && said.contains("`admin.listen`: cannot listen on"), "{said}");

    let quarantine = site.path("blobs/quarantine");
    fs::create_dir(&quarantine).unwrap();
    // Root may write everywhere, so there it is the owner that is another.
    let wanted =
        if chown(&quarantine, Some(65_534), None).is_ok() { "belongs to account 65534" } else { "cannot be written" };
    fs::set_permissions(&quarantine, fs::Permissions::from_mode(0o500)).unwrap();
    let (code, said) = failed(&site.operate(&["--check"]).await);
    assert!(code == 1 && said.contains("blobs/quarantine` ") && said.contains(wanted), "{said}");
}

#[tokio::test]
async fn check_tells_a_standby_or_closed_database_from_one_that_can_serve() {
    let Some(database) = Database::fresh().await else { return };
    let site = Site::new(Some(database.url()));
    site.world(NATIONS).await.stop().await;
    assert!(site.operate(&["--check"]).await.status.success());
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&database.url()).await.unwrap();
    let read_only = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$";
    sqlx::raw_sql(read_only).execute(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    let (code, said) = failed(&site.operate(&["--check"]).await);
    assert!(code == 1 && said.contains("it is a standby or read-only: name the primary"), "{said}");
}

#[tokio::test]
async fn setting_with_one_underscore_is_refused_with_the_name_that_is_right() {
    let site = Site::new(None);
    site.world(NATIONS).await.stop().await;
    let config = site.config();
    for words in [&["--check"][..], &[]] {
        let mut command = server_program(&[&["--config", config.to_str().unwrap()][..], words].concat());
        command.env("ENTENTE_API_LISTEN", "127.0.0.1:4433");
        let (code, said) = failed(&ended(command).await);
        assert!(code == 2 && said.contains("`ENTENTE_API_LISTEN` is not a setting"), "{said}");
        assert!(said.contains("write `ENTENTE_API__LISTEN`"), "{said}");
    }
    // What others put there is reported and does no harm.
    let mut command = server_program(&["--config", config.to_str().unwrap(), "--check"]);
    command.env("ENTENTE_API_PORT", "tcp://10.0.0.1:8443");
    let output = ended(command).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.contains("`ENTENTE_API_PORT` in the environment is not a setting"),
        "{said}"
    );
}

#[tokio::test]
async fn second_server_on_a_sqlite_file_is_refused_and_operators_go_on() {
    let site = Site::new(None);
    site.world(NATIONS).await.stop().await;
    let server = site.serve().await;
    let process = server.child.id().unwrap();
    for words in [&["--check"][..], &[]] {
        let (code, said) = failed(&site.operate(words).await);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("another server runs on") && said.contains(&process.to_string()), "{said}");
        assert!(said.contains(&site.path("entente.db").display().to_string()), "{said}");
    }
    // By another name it is the same file: one that is a link, and one by a folder that is.
    symlink("entente.db", site.path("link.db")).unwrap();
    symlink(".", site.path("way")).unwrap();
    for name in ["link.db", "way/entente.db"] {
        let setting = format!("database.url=sqlite://{}", site.path(name).display());
        for words in [&["--set", &setting, "--check"][..], &["--set", &setting]] {
            let (code, said) = failed(&site.operate(words).await);
            assert!(code == 1 && said.contains("another server runs on"), "{name}: {said}");
        }
    }
    let output = site.operate(&["partner", "list"]).await;
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("ISR"));
    until("it is ready", async || (server.admin("/readyz").await.0 == 200).then_some(())).await;
    // Killed, it leaves nothing in the way.
    server.signal("KILL").await;
    server.ended().await;
    assert!(site.operate(&["--check"]).await.status.success());
    assert!(site.serve().await.stop().await.success());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn server_takes_as_many_descriptors_as_it_may() {
    let site = Site::new(None);
    site.world(NATIONS).await.stop().await;
    let server = site.serve_with_descriptors(128).await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.child.id().unwrap())).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    let [soft, hard, ..] = words[..] else { panic!("{limits}") };
    assert_eq!(soft, hard, "{limits}");
    assert!(hard != "128", "there is nothing to take here");
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn second_order_to_stop_ends_the_server_at_once() {
    let site = Site::new(None);
    site.world(NATIONS).await.stop().await;
    let server = site.serve().await;
    let dana = site.speaker("USA:dana");
    let (hand_over, pieces) = mpsc::channel::<Bytes>(1);
    let pieces = stream::unfold(pieces, async |mut pieces| {
        let piece = pieces.recv().await?;
        Some((Ok::<_, std::io::Error>(piece), pieces))
    });
    let body = json!({ "name": "Joint research", "lead": "USA", "partners": ["ISR", "USA"] }).to_string();
    hand_over.send(Bytes::copy_from_slice(&body.as_bytes()[..10])).await.unwrap();
    let request = dana.http.post(format!("{}/v1/programs", server.base())).header("idempotency-key", "slow");
    let request = request.header("content-type", "application/json").header("content-length", body.len());
    let answer = tokio::spawn(request.body(reqwest::Body::wrap_stream(pieces)).send());
    until("the request's arrival", async || {
        let figures = server.admin("/metrics").await.1;
        figures.lines().any(|line| line == "entente_requests_in_flight 1").then_some(())
    })
    .await;
    server.signal("TERM").await;
    until("the refusal of new work", async || (server.admin("/readyz").await.0 == 503).then_some(())).await;
    server.signal("TERM").await;
    // After one signal it would wait for the request, and end with 0.
    assert_eq!(server.ended().await.code(), Some(1));
    assert!(answer.await.unwrap().is_err());
    drop(hand_over);
    let server: Server = site.serve().await;
    let programs =
        dana.http.get(format!("{}/v1/programs", server.base())).send().await.unwrap().expect_status(200).await;
    assert_eq!(programs["items"], json!([]));
    assert!(server.stop().await.success());
}

/// Copies a SQLite file that no server has open, but for the first page of a table that nothing reads before a start.
async fn damaged_copy(whole: &Path, damaged: &Path) {
    fs::copy(whole, damaged).unwrap();
    let url = format!("sqlite://{}", damaged.display());
    let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect(&url).await.unwrap();
    let page = "SELECT (rootpage - 1) * page_size FROM sqlite_schema, pragma_page_size WHERE name = 'call_texts'";
    let at: i64 = sqlx::query_scalar(page).fetch_one(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    // Beside the file there is no log that could have the page whole.
    assert!(!damaged.with_extension("db-wal").exists());
    let file = fs::File::options().write(true).open(damaged).unwrap();
    file.write_all_at(&[0xff; 12], at.try_into().unwrap()).unwrap();
}

/// Every file of a site with its bytes.
fn contents(site: &Site) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(site.config().parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        // SQLite notes beside a database which of its pages are read: that is no content.
        if path.is_file() && !path.to_string_lossy().ends_with("-shm") {
            found.insert(path.display().to_string(), fs::read(&path).unwrap());
        }
    }
    found
}

/// Exit code and what it said on standard error.
fn failed(output: &Output) -> (i32, String) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{said}");
    (output.status.code().unwrap(), said)
}
