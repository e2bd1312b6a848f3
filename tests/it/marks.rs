//! Database and folder of documents belong together or nothing is served: how they come by their mark, what is refused without it,
//! and that an older copy of the database costs nothing.

use crate::harness::{
    process::{PATIENCE, Site, until},
    stage::{NATIONS, Stage, Step, pdf, quiet, slug, summary, text},
    world::Store,
};
use entente::{
    domain::{
        ambient::{Clock, SystemRng},
        id::ProposalId,
    },
    service::{
        Exchange,
        marks::{self, MarkFault},
    },
    storage::{
        BlobEngine, BlobFolder, args, blob_engine,
        mark::{self, Mark},
    },
};
use sqlx::Connection as _;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::process::Command;

/// Each rule becomes a test of both engines.
macro_rules! on_both_engines {
    ($($rule:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $rule() {
                super::$rule(super::Stage::open().await).await;
            })*
        }

        mod postgres_engine {
            $(#[tokio::test]
            async fn $rule() {
                if let Some(stage) = super::Stage::open_on(super::Store::Postgres).await {
                    super::$rule(stage).await;
                }
            })*
        }
    };
}

on_both_engines! {
    installation_from_before_is_marked_when_every_document_is_there,
    machine_that_stopped_between_both_marks_goes_on,
    folder_of_another_database_is_refused_and_both_are_named,
}

/// Settles the marks again, as a start does.
async fn settle(stage: &Stage) -> Result<Mark, MarkFault> {
    let exchange = &stage.server.exchange;
    marks::settle(&exchange.db, &engine(stage), &SystemRng, stage.clock.now()).await
}

fn engine(stage: &Stage) -> Arc<dyn BlobEngine> {
    Arc::new(BlobFolder::new(stage.blobs_folder(), 0))
}

async fn write(exchange: &Exchange, sql: &'static str) {
    let mut tx = exchange.db.write().await.unwrap();
    tx.execute(sql, args![]).await.unwrap();
    tx.commit().await.unwrap();
}

/// Every blob's file.
fn blobs(folder: &Path) -> Vec<PathBuf> {
    let shards = fs::read_dir(folder.join("blobs")).unwrap();
    let mut files: Vec<_> = shards
        .flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap().map(|file| file.unwrap().path()))
        .collect();
    files.sort();
    files
}

/// As a program left it that knew no marks.
async fn forget(stage: &Stage) {
    write(&stage.server.exchange, "DELETE FROM blob_mark").await;
    fs::remove_file(stage.blobs_folder().join(mark::FILE)).unwrap();
}

async fn installation_from_before_is_marked_when_every_document_is_there(stage: Stage) {
    stage.prepared().await;
    let exchange = &stage.server.exchange;
    forget(&stage).await;
    let mark = settle(&stage).await.unwrap();
    assert_eq!(engine(&stage).mark().unwrap(), Some(mark.clone()));
    let known = marks::of_database(&exchange.db).await.unwrap().unwrap();
    assert!(known.mark == mark && known.is_settled);
    assert_eq!(settle(&stage).await.unwrap(), mark, "once made it stays");

    forget(&stage).await;
    let file = blobs(&stage.blobs_folder()).remove(0);
    fs::rename(&file, stage.file("away", b"")).unwrap();
    let fault = settle(&stage).await.unwrap_err();
    let MarkFault::Unproven(survey) = fault else { panic!("{fault}") };
    assert_eq!((survey.documents, survey.missing, survey.files, survey.unknown), (4, 1, 3, 0));
    assert_eq!(engine(&stage).mark().unwrap(), None, "nothing was marked");
    assert!(marks::of_database(&exchange.db).await.unwrap().is_none());

    // An empty database proves nothing about a full folder.
    write(exchange, "DELETE FROM documents").await;
    let fault = settle(&stage).await.unwrap_err();
    assert!(fault.to_string().contains("names 0 documents"), "{fault}");
    assert_eq!(blob_engine::count(&*engine(&stage)).unwrap(), 3);
    stage.stop().await;
}

async fn machine_that_stopped_between_both_marks_goes_on(stage: Stage) {
    stage.prepared().await;
    let exchange = &stage.server.exchange;
    let mark = exchange.blobs.mark().clone();
    // The database had its mark, the folder not yet.
    write(exchange, "UPDATE blob_mark SET settled_at = NULL").await;
    fs::remove_file(stage.blobs_folder().join(mark::FILE)).unwrap();
    assert_eq!(settle(&stage).await.unwrap(), mark);
    assert!(marks::of_database(&exchange.db).await.unwrap().unwrap().is_settled);
    // The folder had it too, and the database did not know.
    write(exchange, "UPDATE blob_mark SET settled_at = NULL").await;
    assert_eq!(settle(&stage).await.unwrap(), mark);
    assert!(marks::of_database(&exchange.db).await.unwrap().unwrap().is_settled);
    stage.stop().await;
}

async fn folder_of_another_database_is_refused_and_both_are_named(stage: Stage) {
    let exchange = &stage.server.exchange;
    let (own, other) = (exchange.blobs.mark().clone(), Mark::random(&SystemRng));
    let folder = &stage.blobs_folder();
    engine(&stage).set_mark(&other).unwrap();
    let told = settle(&stage).await.unwrap_err().to_string();
    assert!(told.contains(own.short()) && told.contains(other.short()), "{told}");
    // A disk that is not mounted.
    fs::remove_file(folder.join(mark::FILE)).unwrap();
    let told = settle(&stage).await.unwrap_err().to_string();
    assert!(told.contains(own.short()) && told.contains("the folder has none"), "{told}");
    // A database from before marks with a folder that was marked since.
    engine(&stage).set_mark(&own).unwrap();
    write(exchange, "DELETE FROM blob_mark").await;
    let told = settle(&stage).await.unwrap_err().to_string();
    assert!(told.contains(own.short()) && told.contains("the database has none"), "{told}");
    // The operator says that they belong together: both get a mark that neither had.
    let adopted = marks::adopt(&exchange.db, &engine(&stage), &SystemRng, stage.clock.now()).await.unwrap();
    assert!(adopted != own && adopted != other);
    assert_eq!(settle(&stage).await.unwrap(), adopted);
    stage.stop().await;
}

#[tokio::test]
async fn folder_that_is_not_mounted_takes_and_gives_nothing_and_readiness_says_so() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    let exchange = &stage.server.exchange;
    let folder = stage.blobs_folder();
    let away = folder.with_extension("away");
    fs::rename(&folder, &away).unwrap();
    fs::create_dir(&folder).unwrap();

    let avi = stage.client("ISR:avi");
    let file = stage.file("annex.bin", b"measurements");
    let error = avi.put_document(proposal, &slug("annex"), &file, None, quiet()).await.unwrap_err();
    assert_eq!(error.slug(), Some("unavailable"), "{error:?}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "nothing was made in it");
    until("readiness says which mark is missing", async || {
        let (status, body) = readiness(&stage).await;
        (status == 503 && body.contains(exchange.blobs.mark().short()) && body.contains("has no mark")).then_some(())
    })
    .await;
    let fetched = fetched(exchange).await;
    let raw = stage.raw(Some(stage.credential("ISR:avi")));
    let refused = raw.request(reqwest::Method::GET, &path(&stage, proposal, "work-plan").await).send().await.unwrap();
    assert_eq!(refused.status(), 503);
    assert_eq!(self::fetched(exchange).await, fetched, "what failed leaves no entry");

    fs::remove_dir(&folder).unwrap();
    fs::rename(&away, &folder).unwrap();
    until("it is ready", async || (readiness(&stage).await.0 == 200).then_some(())).await;
    stage.put("ISR:avi", proposal, "annex", &file).await;
    stage.stop().await;
}

async fn readiness(stage: &Stage) -> (u16, String) {
    let tls =
        crate::harness::process::tls().with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    let http = reqwest::Client::builder().tls_backend_preconfigured(tls).timeout(PATIENCE).build().unwrap();
    let answer = http.get(format!("http://{}/readyz", stage.server.admin_addr)).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// How many entries say that a document was fetched.
async fn fetched(exchange: &Exchange) -> i64 {
    let mut tx = exchange.db.read().await.unwrap();
    let sql = "SELECT COUNT(*) AS fetched FROM log_entries WHERE kind = 'document.fetched'";
    tx.fetch_one(sql, args![]).await.unwrap().int("fetched").unwrap()
}

/// Where the document in a slot is fetched.
async fn path(stage: &Stage, proposal: ProposalId, slot: &str) -> String {
    let mut tx = stage.server.exchange.db.read().await.unwrap();
    let rows = entente::storage::documents::current(&mut tx, proposal).await.unwrap();
    let row = rows.into_iter().find(|row| row.slot.as_str() == slot).unwrap();
    format!("/v1/proposals/{proposal}/ciphertexts/{}", row.id)
}

/// The program, asked to serve what it must not; what it says.
async fn refused(site: &Site) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_entente-server"));
    command.arg("--config").arg(site.config()).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it does not serve").unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

/// Makes every file look as old as those of last week.
fn age(folder: &Path) {
    #[expect(clippy::disallowed_methods, reason = "times of files are the machine's")]
    let then = SystemTime::now() - Duration::from_hours(48);
    for file in blobs(folder) {
        fs::File::open(file).unwrap().set_modified(then).unwrap();
    }
}

/// What the program says when it is run for the operator, and whether it was content.
async fn operate(site: &Site, words: &[&str]) -> (bool, String) {
    let output = site.operate(words).await;
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap()).concat();
    (output.status.success(), said)
}

/// Serves until the first sweep is through.
async fn serve_a_sweep(site: &Site) {
    let server = site.serve().await;
    until("a sweep", async || server.admin("/metrics").await.1.contains("\nentente_blobs ").then_some(())).await;
    assert!(server.stop().await.success());
}

fn replace(database: &Path, with: &Path) {
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", database.display()));
    }
    fs::copy(with, database).unwrap();
}

#[tokio::test]
async fn mondays_backup_and_then_fridays_lose_nothing() {
    let site = Site::new(None);
    let (database, folder) = (site.path("entente.db"), site.path("blobs"));
    let world = site.world(NATIONS).await;
    let (monday, friday) = (site.path("monday.db"), site.path("friday.db"));
    begin(&world).await;
    copy(site.database_url(), &monday).await;
    begin(&world).await;
    world.stop().await;
    fs::copy(&database, &friday).unwrap();
    age(&folder);
    let all = blobs(&folder);
    assert_eq!(all.len(), 4);

    replace(&database, &monday);
    serve_a_sweep(&site).await;
    assert_eq!(blobs(&folder), all, "two of four would be more than a small share");
    let log = fs::read_to_string(site.path("server.log")).unwrap();
    assert!(log.contains("\"orphans\":2") && log.contains("Nothing was moved"), "{log}");
    let (done, said) = operate(&site, &["blobs", "sweep", "--dry-run"]).await;
    assert!(done && said.contains("       2  of them of no document"), "{said}");
    let (done, said) = operate(&site, &["blobs", "sweep"]).await;
    assert!(!done && said.contains("a sweep moves at most 1"), "{said}");
    let (done, said) = operate(&site, &["blobs", "sweep", "--everything"]).await;
    assert!(done && said.contains("       2  of these moved into quarantine"), "{said}");
    assert_eq!(blobs(&folder).len(), 2);

    replace(&database, &friday);
    serve_a_sweep(&site).await;
    assert_eq!(blobs(&folder), all, "what Friday names again is back");
    let (done, said) = operate(&site, &["blobs", "check"]).await;
    assert!(done && said.starts_with("4 documents were read"), "{said}");

    // An empty database does not even get a server.
    fs::remove_file(&database).unwrap();
    let said = refused(&site).await;
    let mark = fs::read_to_string(folder.join(mark::FILE)).unwrap();
    let mark: Mark = mark.trim().rsplit(' ').next().unwrap().parse().unwrap();
    for part in [&database.display().to_string(), &folder.display().to_string(), mark.short(), "the database has none"]
    {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert_eq!(blobs(&folder), all);
    let (done, said) = operate(&site, &["blobs", "adopt", "--dry-run"]).await;
    assert!(
        done && said.contains("       4  of them of no document") && said.contains("nothing was changed"),
        "{said}"
    );
}

/// Two documents of a new proposal.
async fn begin(world: &entente::demo::world::DemoWorld) {
    use jiff::SignedDuration;
    let (dana, avi) = (world.client("USA:dana"), world.client("ISR:avi"));
    let partners = ["USA", "ISR"].map(|code| code.parse().unwrap()).into();
    let body = entente::wire::directory::CreateProgram { name: "Joint".into(), lead: "USA".parse().unwrap(), partners };
    let program = dana.api().create_program(&body).await.unwrap().id;
    let now = world.clock.now();
    let draft = dana.draft_call(program, &text(now, now + SignedDuration::from_hours(720))).await.unwrap();
    let call = dana.publish_call(draft.id).await.unwrap().id;
    let parties = [("ISR", "ISR:avi"), ("USA", "USA:bob")]
        .map(|(code, member)| (code.parse().unwrap(), [member.parse().unwrap()].into()))
        .into();
    let joint = entente::client::proposals::NewProposal { call, topic: Some(slug("navigation")), parties };
    let proposal = avi.create_proposal(&joint).await.unwrap();
    world.join_all(&proposal).await.unwrap();
    let proposal = proposal.id;
    avi.put_summary(proposal, &summary("Lodestone"), quiet()).await.unwrap();
    let file = world.plan.dir.join("work-plan.pdf");
    fs::write(&file, pdf("the work plan")).unwrap();
    avi.put_document(proposal, &slug("work-plan"), &file, None, quiet()).await.unwrap();
}

/// A copy of a SQLite file that is in use.
async fn copy(url: &str, to: &Path) {
    let mut connection = sqlx::SqliteConnection::connect(url).await.unwrap();
    let sql = format!("VACUUM INTO '{}'", to.display());
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
