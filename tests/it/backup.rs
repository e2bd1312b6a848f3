//! A backup that was taken while members acted, restored elsewhere: everything that was acknowledged before it began is there, nothing
//! is half done, and what is damaged is named. By the program itself, on both engines.

use crate::{
    crash,
    harness::{
        postgres::Database,
        process::{Server, Site, ended, server_program, until},
        process_acts::{Done, Drafts, Lane, Numbers, Proposals, Roles, Stage, send},
        process_records::{Kinds, Records},
    },
};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Output,
};
use tokio_util::sync::CancellationToken;

/// Acts of each lane before the backup begins.
const BEFORE: usize = 12;

#[tokio::test]
async fn backup_under_load_on_sqlite_is_restored_with_all_that_was_acknowledged_before_it() {
    back_up_under_load(None, None).await;
}

#[tokio::test]
async fn backup_under_load_on_postgresql_is_restored_with_all_that_was_acknowledged_before_it() {
    let (Some(from), Some(to)) = (Database::fresh().await, Database::fresh().await) else { return };
    back_up_under_load(Some(from.url()), Some(to.url())).await;
}

/// A lane of acts, and what was answered.
struct Worker {
    lane: Lane,
    numbers: Numbers,
    done: Vec<Done>,
}

impl Worker {
    async fn act(&mut self, stage: &Stage, server: &Server) {
        let (request, effect) = self.lane.next(stage, &mut self.numbers);
        // A busy machine may be too slow for the database's limits: then it says so, and the same request is sent again.
        let answer = until("an answer", async || {
            let (answer, _) = send(stage, &server.base(), &request, &|| ()).await.unwrap();
            (answer.status != 503).then_some(answer)
        })
        .await;
        assert!(answer.status < 300, "{} {}: {}", request.method, request.path, answer.text());
        self.lane.learn(effect, &answer, &mut Kinds::new());
        self.done.push(Done { request, answer });
    }
}

async fn back_up_under_load(from: Option<String>, target: Option<String>) {
    let site = Site::new(from);
    let stage = crash::set_up(&site).await;
    let server = site.serve().await;
    let lanes = [
        Lane::Proposals(Proposals::new(["ISR:avi", "USA:bob"])),
        Lane::Proposals(Proposals::new(["USA:kate", "ISR:gal"])),
        Lane::Roles(Roles::new(stage.roll)),
        Lane::Drafts(Drafts::default()),
    ];
    let mut workers: Vec<Worker> =
        (1..).zip(lanes).map(|(seed, lane)| Worker { lane, numbers: Numbers::new(seed), done: Vec::new() }).collect();
    for worker in &mut workers {
        for _ in 0..BEFORE {
            worker.act(&stage, &server).await;
        }
    }
    let earlier: Vec<usize> = workers.iter().map(|worker| worker.done.len()).collect();

    // Members go on for as long as the backup takes, and at least once.
    let folder = site.path("backups");
    let over = CancellationToken::new();
    let (on, to, until_over) = (&stage, &server, &over);
    let acting = workers.iter_mut().map(|worker| async move {
        loop {
            worker.act(on, to).await;
            if until_over.is_cancelled() {
                break;
            }
        }
    });
    let backing_up = async {
        let output = site.operate(&["backup", folder.to_str().unwrap()]).await;
        over.cancel();
        output
    };
    let (output, _) = tokio::join!(backing_up, join_all(acting));
    let said = succeeded(&output);
    assert!(said.contains("backup `000001-") && said.contains("is complete"), "{said}");
    assert!(on_the_way(&output).contains("database: "), "{}", on_the_way(&output));
    assert_private(&folder);

    // The backup is sound, and so is the running exchange.
    let output = operate_alone(&["verify", folder.to_str().unwrap()]).await;
    let said = succeeded(&output);
    assert!(said.contains("nothing that was checked has changed"), "{said}");
    assert!(on_the_way(&output).contains(" verified"), "{}", on_the_way(&output));
    let said = succeeded(&site.operate(&["verify"]).await);
    assert!(said.contains("nothing that was checked has changed"), "{said}");

    // A second one copies what is new.
    let said = succeeded(&site.operate(&["backup", folder.to_str().unwrap()]).await);
    assert!(said.contains("backup `000002-"), "{said}");
    let number = |said: &str| -> u64 {
        let line =
            said.lines().find(|line| line.contains("documents were new") || line.contains("document was new")).unwrap();
        line.split(' ').next().unwrap().parse().unwrap()
    };
    let all = documents(&folder);
    assert!(number(&said) < all.len() as u64, "{said}");
    assert!(server.stop().await.success());

    // Elsewhere: an empty database and an empty folder.
    let first = backups(&folder).remove(0);
    let elsewhere = elsewhere(&site, target);
    let restore = ["restore", folder.to_str().unwrap(), "--backup", &first];
    let said = succeeded(&elsewhere.operate(&restore).await);
    assert!(said.contains(&format!("backup `{first}` is restored")) && said.contains(" ago"), "{said}");
    let said = succeeded(&elsewhere.operate(&["verify"]).await);
    assert!(said.contains("nothing that was checked has changed"), "{said}");
    // A second time there is something already.
    let (code, said) = failed(&elsewhere.operate(&restore).await);
    assert!(code == 1 && said.contains("nothing was restored, because the target is not empty"), "{said}");

    // The database that was backed up has another mark than the folder that was restored.
    let mixed = format!("blobs.folder={}", elsewhere.path("blobs").display());
    let (_, said) = failed(&site.operate(&["--set", &mixed]).await);
    assert!(said.contains("mark"), "{said}");

    let server = elsewhere.serve().await;
    assert!(fs::read_to_string(elsewhere.path("server.log")).unwrap().contains("restored from a backup"));
    for (worker, earlier) in workers.iter().zip(earlier) {
        for done in &worker.done[..earlier] {
            crash::ask_again(&stage, &server.base(), done).await;
        }
    }
    Records::open(&elsewhere).await.check().await;
    until("members can go on", async || (server.admin("/readyz").await.0 == 200).then_some(())).await;
    assert!(server.stop().await.success());

    // One document of the backup loses a bit: it is named, and nothing else.
    let damaged = &all[all.len() / 2];
    let mut bytes = fs::read(damaged).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(damaged, bytes).unwrap();
    let (code, said) = failed(&operate_alone(&["verify", folder.to_str().unwrap()]).await);
    let blob = damaged.file_name().unwrap().to_str().unwrap();
    assert_eq!(code, 1);
    assert_eq!(said.matches("damaged:").count(), 1, "{said}");
    assert!(
        said.contains("damaged: document doc_") && said.contains("of proposal prop_") && said.contains(blob),
        "{said}"
    );
    assert!(said.contains("other bytes than when it was stored"), "{said}");
}

#[tokio::test]
async fn restore_that_was_broken_off_is_refused_by_servers_and_goes_on_when_repeated() {
    let site = Site::new(None);
    let stage = crash::set_up(&site).await;
    let server = site.serve().await;
    let mut worker = Worker {
        lane: Lane::Proposals(Proposals::new(["ISR:avi", "USA:bob"])),
        numbers: Numbers::new(7),
        done: Vec::new(),
    };
    for _ in 0..8 {
        worker.act(&stage, &server).await;
    }
    let folder = site.path("backups");
    let words = ["backup", folder.to_str().unwrap()];
    succeeded(&site.operate(&words).await);
    assert!(server.stop().await.success());

    // A copy that is not what it was is refused before anything is begun.
    let name = backups(&folder).remove(0);
    let database = folder.join(&name).join("database.sqlite");
    let whole = fs::read(&database).unwrap();
    let mut changed = whole.clone();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    fs::write(&database, &changed).unwrap();
    let elsewhere = elsewhere(&site, None);
    let restore = ["restore", folder.to_str().unwrap()];
    let (code, said) = failed(&elsewhere.operate(&restore).await);
    assert!(code == 1 && said.contains("nothing was restored: `database.sqlite` of the backup"), "{said}");
    // Nor one of an exchange that another partner hosts, though that is enrolled here, too.
    let (code, said) = failed(&elsewhere.operate(&[&["--set", "host=ISR"][..], &restore].concat()).await);
    assert!(code == 1 && said.contains("`USA` hosts, and this one is hosted by `ISR`"), "{said}");
    assert!(!elsewhere.path("entente.db").exists() && !elsewhere.path("blobs").exists());
    let (_, said) = failed(&operate_alone(&["verify", folder.to_str().unwrap()]).await);
    assert!(said.contains("damaged: `database.sqlite`"), "{said}");
    fs::write(&database, &whole).unwrap();

    // A disk that was mounted for documents just now. Something is in the way of the database, after they came over.
    fs::create_dir_all(elsewhere.path("blobs/lost+found")).unwrap();
    let in_the_way = elsewhere.path("entente.db.restoring");
    fs::create_dir(&in_the_way).unwrap();
    let (code, _) = failed(&elsewhere.operate(&restore).await);
    assert_eq!(code, 1);
    assert!(!elsewhere.path("entente.db").exists() && !documents(&elsewhere.path("blobs")).is_empty());
    for words in [&["partner", "list"][..], &["--check"], &[]] {
        let (_, said) = failed(&elsewhere.operate(words).await);
        assert!(said.contains(&format!("a restore of the backup `{name}` was begun here and is not done")), "{said}");
    }
    fs::remove_dir(&in_the_way).unwrap();
    succeeded(&elsewhere.operate(&restore).await);
    let server = elsewhere.serve().await;
    for done in &worker.done {
        crash::ask_again(&stage, &server.base(), done).await;
    }
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn restore_that_was_broken_off_behind_the_database_of_sqlite_goes_on_when_repeated() {
    break_off_behind_the_database(None, None).await;
}

#[tokio::test]
async fn restore_that_was_broken_off_behind_the_database_of_postgresql_goes_on_when_repeated() {
    let (Some(from), Some(to)) = (Database::fresh().await, Database::fresh().await) else { return };
    break_off_behind_the_database(Some(from.url()), Some(to.url())).await;
}

/// The database is there and has its mark, and the folder has none yet.
async fn break_off_behind_the_database(from: Option<String>, target: Option<String>) {
    let site = Site::new(from);
    let stage = crash::set_up(&site).await;
    let server = site.serve().await;
    let mut worker = Worker {
        lane: Lane::Proposals(Proposals::new(["ISR:avi", "USA:bob"])),
        numbers: Numbers::new(9),
        done: Vec::new(),
    };
    for _ in 0..8 {
        worker.act(&stage, &server).await;
    }
    let folder = site.path("backups");
    succeeded(&site.operate(&["backup", folder.to_str().unwrap()]).await);
    assert!(server.stop().await.success());

    // As a restore leaves it that has just begun, and something in the way of what it notes once the database is there.
    let elsewhere = elsewhere(&site, target);
    let blobs = elsewhere.path("blobs");
    let in_the_way = blobs.join("entente-restored.json");
    fs::create_dir_all(&in_the_way).unwrap();
    let begun = json!({ "backup": backups(&folder).remove(0), "mark": "3f".repeat(16) });
    fs::write(blobs.join("entente-restoring.json"), begun.to_string()).unwrap();
    let restore = ["restore", folder.to_str().unwrap()];
    let (_, said) = failed(&elsewhere.operate(&restore).await);
    assert!(said.contains("entente-restored.json"), "{said}");
    let (_, said) = failed(&elsewhere.operate(&["--check"]).await);
    assert!(said.contains("was begun here and is not done"), "{said}");
    fs::remove_dir(&in_the_way).unwrap();
    let said = succeeded(&elsewhere.operate(&restore).await);
    assert!(said.contains("is restored"), "{said}");
    let said = succeeded(&elsewhere.operate(&["verify"]).await);
    assert!(said.contains("nothing that was checked has changed"), "{said}");
    let server = elsewhere.serve().await;
    for done in &worker.done {
        crash::ask_again(&stage, &server.base(), done).await;
    }
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn folder_that_is_no_folder_of_backups_is_left_alone() {
    let site = Site::new(None);
    crash::set_up(&site).await;
    let folder = site.path("letters");
    fs::create_dir_all(folder.join("lost+found")).unwrap();
    fs::write(folder.join("letter.txt"), "dear sirs").unwrap();
    let words = ["backup", folder.to_str().unwrap()];
    let (code, said) = failed(&site.operate(&words).await);
    assert!(code == 1 && said.contains("is not a folder of backups, and it is not empty"), "{said}");
    for words in [&["restore", folder.to_str().unwrap()], &["verify", folder.to_str().unwrap()]] {
        let (_, said) = failed(&site.operate(words).await);
        assert!(said.contains("there is no complete backup in"), "{said}");
    }
    let inside = site.path("blobs").join("backups");
    let (_, said) = failed(&site.operate(&["backup", inside.to_str().unwrap()]).await);
    assert!(said.contains("is inside the folder of documents") && !inside.exists(), "{said}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    // What a file system keeps for repairs is nobody's: a disk that was mounted just now is empty.
    fs::remove_file(folder.join("letter.txt")).unwrap();
    let said = succeeded(&site.operate(&words).await);
    assert!(said.contains("is complete"), "{said}");
}

#[tokio::test]
async fn verification_of_what_runs_names_a_statement_that_was_changed_and_a_document_that_is_gone() {
    let site = Site::new(None);
    let stage = crash::set_up(&site).await;
    let server = site.serve().await;
    let mut worker = Worker {
        lane: Lane::Proposals(Proposals::new(["ISR:avi", "USA:bob"])),
        numbers: Numbers::new(3),
        done: Vec::new(),
    };
    for _ in 0..8 {
        worker.act(&stage, &server).await;
    }
    assert!(server.stop().await.success());
    let gone = documents(&site.path("blobs")).remove(0);
    fs::remove_file(&gone).unwrap();
    let url = site.database_url();
    let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect(url).await.unwrap();
    // Somebody with the database in hand puts another member's name under a vault.
    let changed = sqlx::query("UPDATE vaults SET created_by = 'USA:dana' WHERE kind = 'panel'");
    changed.execute(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    let (code, said) = failed(&site.operate(&["verify"]).await);
    let blob = gone.file_name().unwrap().to_str().unwrap();
    assert!(code == 1 && said.contains(&format!("blob {blob} is not there")), "{said}");
    assert!(said.contains("of `vaults` vault_") && said.contains("no key card of USA:dana names"), "{said}");
}

#[tokio::test]
async fn folder_of_documents_that_is_not_mounted_gives_no_backup() {
    let site = Site::new(None);
    crash::set_up(&site).await;
    let folder = site.path("backups");
    let words = ["backup", folder.to_str().unwrap()];
    let (blobs, away) = (site.path("blobs"), site.path("away"));
    fs::rename(&blobs, &away).unwrap();
    fs::create_dir(&blobs).unwrap();
    let (code, said) = failed(&site.operate(&words).await);
    assert!(code == 1 && said.contains("another mark than the database, or none"), "{said}");
    assert_eq!(backups(&folder), Vec::<String>::new());
    assert_eq!(fs::read_dir(&blobs).unwrap().count(), 0, "no backup is noted");
    fs::remove_dir(&blobs).unwrap();
    fs::rename(&away, &blobs).unwrap();
    succeeded(&site.operate(&words).await);
    assert_eq!(backups(&folder).len(), 1);
}

/// As of a standby whose replication has ended: the copy is new, and what it holds is not.
#[tokio::test]
async fn backup_of_a_database_that_stood_still_is_as_old_as_what_came_last() {
    let site = Site::new(None);
    crash::set_up(&site).await;
    let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect(site.database_url()).await.unwrap();
    for sql in [
        "DROP TRIGGER log_entries_are_final",
        // Ten days.
        "UPDATE log_entries SET at = at - 864000000",
        "UPDATE pulse SET at = (SELECT MAX(at) FROM log_entries) + 1000",
    ] {
        sqlx::query(sql).execute(&mut connection).await.unwrap();
    }
    let (at,): (i64,) = sqlx::query_as("SELECT at FROM pulse").fetch_one(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    let said = succeeded(&site.operate(&["backup", site.path("backups").to_str().unwrap()]).await);
    let at = jiff::Timestamp::from_millisecond(at).unwrap();
    assert!(said.contains(&format!("its state is of {at}, ")) && said.contains(" earlier: "), "{said}");
    let note = fs::read(site.path("blobs").join("entente-last-backup.json")).unwrap();
    let note: Value = serde_json::from_slice(&note).unwrap();
    assert_eq!(note["begun_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap(), at);
}

#[tokio::test]
async fn backup_that_lacks_a_document_is_kept_and_not_noted_as_the_last_one() {
    let site = Site::new(None);
    let stage = crash::set_up(&site).await;
    let server = site.serve().await;
    let mut worker = Worker {
        lane: Lane::Proposals(Proposals::new(["ISR:avi", "USA:bob"])),
        numbers: Numbers::new(3),
        done: Vec::new(),
    };
    for _ in 0..8 {
        worker.act(&stage, &server).await;
    }
    assert!(server.stop().await.success());
    succeeded(&site.operate(&["backup", site.path("first").to_str().unwrap()]).await);
    let note = || fs::read(site.path("blobs").join("entente-last-backup.json")).unwrap();
    let noted = note();
    let all = documents(&site.path("blobs"));
    let gone = all[0].file_name().unwrap().to_str().unwrap();
    fs::remove_file(&all[0]).unwrap();
    // And the row of another one says no digest any more.
    let broken = all[1].file_name().unwrap().to_str().unwrap();
    let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect(site.database_url()).await.unwrap();
    let sql = "UPDATE documents SET sha256 = 'none' WHERE blob_key = $1";
    assert_eq!(sqlx::query(sql).bind(broken).execute(&mut connection).await.unwrap().rows_affected(), 1);
    sqlx::Connection::close(connection).await.unwrap();

    let folder = site.path("second");
    let (code, said) = failed(&site.operate(&["backup", folder.to_str().unwrap()]).await);
    assert!(code == 1 && said.contains("is a disk not mounted?") && said.contains("`--new-folder`"), "{said}");
    assert_eq!(said.matches("holds no backups").count(), 1, "once: {said}");
    assert!(!folder.exists());
    let (code, said) = failed(&site.operate(&["backup", folder.to_str().unwrap(), "--new-folder"]).await);
    assert!(code == 1 && said.contains("is taken and lacks documents"), "{said}");
    assert!(said.contains(&format!("blob {gone} is not there")), "{said}");
    assert!(said.contains("its row has no key, size and digest of a document"), "{said}");
    assert_eq!(said.matches("not copied: document doc_").count(), 2, "{said}");
    assert_eq!(documents(&folder).len(), all.len() - 2);
    assert!(note() == noted, "the age that is watched is that of the complete one");
    let (_, said) = failed(&operate_alone(&["verify", folder.to_str().unwrap()]).await);
    assert_eq!(said.matches("damaged: document doc_").count(), 2, "{said}");
    let elsewhere = elsewhere(&site, None);
    let (_, said) = failed(&elsewhere.operate(&["restore", folder.to_str().unwrap()]).await);
    assert!(said.contains("is restored") && said.matches("not copied: document doc_").count() == 2, "{said}");
    assert_eq!(documents(&elsewhere.path("blobs")).len(), all.len() - 2);
}

/// A place with the same configuration but for database and documents.
fn elsewhere(site: &Site, database_url: Option<String>) -> Site {
    let elsewhere = Site::new(database_url);
    let text = fs::read_to_string(site.config()).unwrap();
    let text = text.replace(
        &format!("folder = \"{}\"", site.path("blobs").display()),
        &format!("folder = \"{}\"", elsewhere.path("blobs").display()),
    );
    fs::write(elsewhere.config(), text.replace(site.database_url(), elsewhere.database_url())).unwrap();
    elsewhere
}

/// The program without a configuration.
async fn operate_alone(words: &[&str]) -> Output {
    ended(server_program(words)).await
}

fn succeeded(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// What it said of how far it was.
fn on_the_way(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Exit code, and what it said on both streams.
fn failed(output: &Output) -> (i32, String) {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success(), "{said}");
    (output.status.code().unwrap(), said)
}

/// The names of the backups in a folder, oldest first.
fn backups(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("00")).collect();
    names.sort();
    names
}

/// Every document's file, in order.
fn documents(folder: &Path) -> Vec<PathBuf> {
    let shards = fs::read_dir(folder.join("blobs")).unwrap().map(|shard| shard.unwrap().path());
    let mut files: Vec<PathBuf> =
        shards.flat_map(|shard| fs::read_dir(shard).unwrap().map(|file| file.unwrap().path())).collect();
    files.sort();
    files
}

/// A backup holds what the host sees: nobody else reads it.
fn assert_private(folder: &Path) {
    let metadata = fs::metadata(folder).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o700, "{}", folder.display());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_private(&path);
        } else {
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        }
    }
}
