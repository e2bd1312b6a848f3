//! What a clock that is set does to the exchange: nothing returns, nothing is written at a wrong instant, and there is a way out.

use crate::harness::{
    exchange::{Answered, fresh_key},
    process::{Site, until},
    stage::{GRACE, NATIONS, Stage, Step, slug},
    world::{Store, TestClock, written},
};
use entente::{
    client::api::Paging,
    domain::{
        ambient::{Clock, SystemClock, SystemRng},
        call::Phase,
        entry::EntryKind,
        id::ProposalId,
        proposal::{Sort, Status},
    },
    http::{
        blobs_command::{self, BlobsCommand},
        config::Config,
        operator::{ClockWord, OperatorCommand, partner},
        serve,
    },
    service::{
        ServiceError, operator,
        time::{self, ClockFault},
        upkeep,
    },
    storage::{Db, args, sweep::Extent},
    wire::{problem::Problem, proposal::Filter},
};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822::DateTimeParser};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const MILLISECOND: SignedDuration = SignedDuration::from_millis(1);

async fn on(store: Store) -> Option<Stage> {
    Stage::open_on(store).await
}

async fn shown(stage: &Stage, proposal: ProposalId) -> (Phase, Status, usize) {
    let bob = stage.client("USA:bob").api();
    let filter = Filter { status: Some(Status::Submitted), ..Filter::default() };
    let listed = bob.proposals(&filter, Sort::Created, &Paging::default()).await.unwrap();
    let (call, proposal) = (bob.call(stage.call).await.unwrap().body, bob.proposal(proposal).await.unwrap());
    (call.phase, proposal.status, listed.items.len())
}

/// An act as a member makes it, with the problem if it is refused.
async fn act(stage: &Stage) -> Result<(), Problem> {
    let raw = stage.raw(Some(stage.credential("USA:dana")));
    let body = json!({ "name": "Another", "lead": "USA", "partners": ["USA"] });
    let request = raw.request(Method::POST, "/v1/programs").header("Idempotency-Key", fresh_key()).json(&body);
    let answer = request.send().await.unwrap();
    if answer.status() == 201 { Ok(()) } else { Err(answer.json().await.unwrap()) }
}

/// The `Date` of an answer, by which clients know how long they have left.
async fn date(stage: &Stage) -> Timestamp {
    let raw = stage.raw(Some(stage.credential("USA:dana")));
    let answer = raw.request(Method::GET, "/v1/me").send().await.unwrap();
    DateTimeParser::new().parse_timestamp(answer.headers()["date"].to_str().unwrap()).unwrap()
}

/// The clock of the machine that PostgreSQL runs on, as far as a world's server can see.
struct DatabaseClock(PgConnection);

impl DatabaseClock {
    /// Shows this instant from here on, until it is set.
    async fn of(stage: &Stage, at: Timestamp) -> Self {
        let mut connection = PgConnection::connect(&stage.plan.database_url).await.unwrap();
        // What stands before the engine's own functions is asked in their place.
        let shadow = "CREATE TABLE machine_clock AS SELECT now() AS at;
            CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
                AS 'SELECT at FROM public.machine_clock';
            DO $$ BEGIN
                EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database());
            END $$";
        sqlx::raw_sql(shadow).execute(&mut connection).await.unwrap();
        let mut clock = Self(connection);
        clock.set(at).await;
        // What the server connects from here on sees it.
        let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                      WHERE datname = current_database() AND pid <> pg_backend_pid()";
        sqlx::raw_sql(others).execute(&mut clock.0).await.unwrap();
        clock
    }

    async fn set(&mut self, at: Timestamp) {
        let set = sqlx::query("UPDATE machine_clock SET at = to_timestamp($1::bigint / 1000.0)");
        set.bind(at.as_millisecond()).execute(&mut self.0).await.unwrap();
    }
}

async fn phase_that_has_passed_never_returns(store: Store) {
    let Some(stage) = on(store).await else { return };
    let (proposal, late) = (stage.submitted().await, stage.prepared().await);
    // Small differences are bridged: time stands still.
    stage.clock.set(stage.deadline + MILLISECOND);
    act(&stage).await.unwrap();
    stage.clock.set(stage.deadline - SignedDuration::from_secs(3));
    act(&stage).await.unwrap();
    let work_plan = slug("work-plan");
    stage.refuses("deadline-passed", stage.client("ISR:avi").api().remove_document(late, &work_plan)).await;

    stage.clock.set(stage.deadline + GRACE + MILLISECOND);
    act(&stage).await.unwrap();
    let after = shown(&stage, proposal).await;
    assert_eq!(after, (Phase::Review, Status::Submitted, 1));

    // Beyond them nothing is written, and what is looked at is as it was.
    stage.clock.set(stage.deadline - HOUR);
    assert_eq!(shown(&stage, proposal).await, after);
    let refused = act(&stage).await.unwrap_err();
    assert_eq!((refused.slug(), refused.status), ("clock-not-trusted", 503));
    assert!(refused.detail.contains("behind what is on record"), "{}", refused.detail);
    stage.refuses("clock-not-trusted", stage.client("USA:bob").api().withdraw_proposal(proposal)).await;

    // The operator accepts it: time goes on from where it was, for every member to read.
    let until = operator::accept_clock(&stage.server.exchange).await.unwrap().unwrap();
    act(&stage).await.unwrap();
    assert_eq!(shown(&stage, proposal).await, after);
    let entries = stage.client("USA:bob").api().entries(&[EntryKind::ClockAccepted], &Paging::default()).await.unwrap();
    assert_eq!(entries.items.len(), 1);
    assert_eq!(entries.items[0].at.0, until);
    stage.stop().await;
}

#[tokio::test]
async fn phase_that_has_passed_never_returns_on_sqlite() {
    phase_that_has_passed_never_returns(Store::Sqlite).await;
}

#[tokio::test]
async fn phase_that_has_passed_never_returns_on_postgresql() {
    phase_that_has_passed_never_returns(Store::Postgres).await;
}

#[tokio::test]
async fn clock_that_jumps_ahead_opens_nothing_writes_nothing_and_forgets_nothing() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    let raw = stage.raw(Some(stage.credential("USA:dana")));
    let body = json!({ "name": "Once", "lead": "USA", "partners": ["USA"] });
    let once = || raw.request(Method::POST, "/v1/programs").header("Idempotency-Key", "once").json(&body);
    let made = once().send().await.unwrap().expect_status(201).await;
    stage.clock.becomes_a_machines();
    let before = shown(&stage, proposal).await;
    let right = stage.clock.now();

    stage.clock.set(stage.deadline + GRACE + SignedDuration::from_hours(24 * 40));
    assert_eq!(shown(&stage, proposal).await, before, "a deadline passes when its time has come");
    assert_eq!(date(&stage).await, right, "members are not told that their time is over");
    assert_eq!(act(&stage).await.unwrap_err().slug(), "clock-not-trusted");
    let exchange = &stage.server.exchange;
    assert!(operator::expire_answers(exchange, 1).await.is_err());

    stage.clock.set(right);
    act(&stage).await.unwrap();
    let again = once().send().await.unwrap();
    assert_eq!(again.headers()["idempotent-replay"], "true");
    assert_eq!(again.expect_status(201).await, made);
    stage.stop().await;
}

#[tokio::test]
async fn servers_go_by_the_clock_of_their_database() {
    let Some(stage) = on(Store::Postgres).await else { return };
    act(&stage).await.unwrap();
    // Months behind the machine of the database.
    stage.clock.becomes_a_machines();
    let refused = act(&stage).await.unwrap_err();
    assert_eq!(refused.slug(), "clock-not-trusted");
    assert!(refused.detail.contains("differs from its database's"), "{}", refused.detail);
    // It was wrong from the start and is set right: the database confirms it.
    stage.clock.set(SystemClock.now());
    act(&stage).await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn server_that_starts_ahead_of_its_database_shows_nothing_early_and_goes_on_once_it_is_set_right() {
    let Some(stage) = on(Store::Postgres).await else { return };
    let proposal = stage.submitted().await;
    let before = shown(&stage, proposal).await;
    let right = stage.clock.now();
    let mut database = DatabaseClock::of(&stage, right).await;
    // From here on it is a machine's, of which nothing was known before: so it is for a server that starts.
    stage.clock.set(stage.deadline + GRACE + SignedDuration::from_hours(24 * 40));
    stage.clock.becomes_a_machines();
    assert_eq!(shown(&stage, proposal).await, before, "the database's clock is the earlier one");
    assert_eq!(date(&stage).await, right);
    let refused = act(&stage).await.unwrap_err();
    assert!(refused.detail.contains("differs from its database's"), "{}", refused.detail);

    stage.clock.set(right);
    act(&stage).await.unwrap();
    assert_eq!(shown(&stage, proposal).await, before);
    assert_eq!(date(&stage).await, right);
    // It is not stuck there either.
    let later = stage.deadline + GRACE + MILLISECOND;
    stage.clock.pass(later);
    database.set(later).await;
    act(&stage).await.unwrap();
    assert_eq!(shown(&stage, proposal).await.0, Phase::Review);
    stage.stop().await;
}

#[tokio::test]
async fn database_whose_clock_jumps_ahead_opens_nothing_and_acts_go_on_once_it_is_set_right() {
    let Some(stage) = on(Store::Postgres).await else { return };
    let proposal = stage.submitted().await;
    let before = shown(&stage, proposal).await;
    let right = stage.clock.now();
    let mut database = DatabaseClock::of(&stage, right).await;
    stage.clock.becomes_a_machines();
    act(&stage).await.unwrap();

    database.set(stage.deadline + GRACE + SignedDuration::from_hours(24 * 40)).await;
    assert_eq!(shown(&stage, proposal).await, before, "the server's clock is the earlier one");
    let refused = act(&stage).await.unwrap_err();
    assert!(refused.detail.contains("differs from its database's"), "{}", refused.detail);

    database.set(right).await;
    act(&stage).await.unwrap();
    assert_eq!(shown(&stage, proposal).await, before);
    stage.stop().await;
}

#[tokio::test]
async fn machine_that_server_and_database_share_jumps_and_nothing_is_written_or_opened() {
    let Some(stage) = on(Store::Postgres).await else { return };
    let proposal = stage.submitted().await;
    let before = shown(&stage, proposal).await;
    let right = stage.clock.now();
    let mut database = DatabaseClock::of(&stage, right).await;
    stage.clock.becomes_a_machines();
    act(&stage).await.unwrap();

    let wrong = stage.deadline + GRACE + SignedDuration::from_hours(24 * 40);
    stage.clock.set(wrong);
    database.set(wrong).await;
    let exchange = &stage.server.exchange;
    for _ in 0..2 {
        assert_eq!(act(&stage).await.unwrap_err().slug(), "clock-not-trusted");
        assert!(time::beat(exchange).await.is_err(), "a server that notes that it is well notes no wrong instant");
        assert!(upkeep::sweep(exchange, Extent::Everything).await.is_err());
        assert_eq!((shown(&stage, proposal).await, date(&stage).await), (before, right));
    }
    stage.clock.set(right);
    database.set(right).await;
    act(&stage).await.unwrap();
    assert_eq!(shown(&stage, proposal).await, before);
    stage.stop().await;
}

/// A file of an upload, last written to at this instant.
fn unfinished(folder: &Path, at: Timestamp) -> PathBuf {
    written(folder.join(format!("blobs/00/{}#1", "0".repeat(32))), at)
}

#[tokio::test]
async fn server_that_is_ahead_of_its_database_sweeps_nothing_and_empties_no_quarantine() {
    let Some(stage) = on(Store::Postgres).await else { return };
    let (exchange, right) = (&stage.server.exchange, stage.clock.now());
    let mut database = DatabaseClock::of(&stage, right).await;
    let upload = unfinished(&stage.blobs_folder(), right);
    stage.clock.set(right + HOUR * 25);
    stage.clock.becomes_a_machines();
    for refused in [
        upkeep::sweep(exchange, Extent::Everything).await.map(drop),
        upkeep::empty_quarantine(exchange, HOUR, false).await.map(drop),
    ] {
        assert!(matches!(refused, Err(ServiceError::Clock(ClockFault::Differs(_)))), "{refused:?}");
    }
    assert!(upload.exists(), "another server is still taking it");

    database.set(right + HOUR * 25).await;
    act(&stage).await.unwrap();
    assert_eq!(upkeep::sweep(exchange, Extent::SmallShare).await.unwrap().partial, 1);
    assert!(!upload.exists());
    stage.stop().await;
}

/// A program that starts by a clock that is ahead has, on SQLite, what is on record to hold against it.
#[tokio::test]
async fn operator_whose_clock_is_ahead_removes_nothing_that_is_young_by_what_is_on_record() {
    let site = Site::new(None);
    site.world(NATIONS).await.stop().await;
    let (now, folder) = (SystemClock.now(), site.path("blobs"));
    let upload = unfinished(&folder, now - HOUR);
    let [young, old] = [("1", HOUR * 24), ("2", HOUR * 24 * 91)]
        .map(|(digit, age)| written(folder.join("quarantine").join(digit.repeat(32)), now - age));
    let config = Config::load(Some(&site.config()), [], &[]).unwrap();
    let ahead = TestClock::days_ago(-120);
    let mut said = Vec::new();
    for command in [
        BlobsCommand::Sweep { dry_run: false, everything: true },
        BlobsCommand::EmptyQuarantine { days: 90, dry_run: false, yes: true },
    ] {
        blobs_command::blobs(&config, command, ahead.clone(), Arc::new(SystemRng), &mut said).await.unwrap();
    }
    assert!(upload.exists() && young.exists());
    assert!(!old.exists(), "{}", String::from_utf8_lossy(&said));
}

/// Servers go by what is on record, so an entry by a clock that has jumped would open what is sealed.
#[tokio::test]
async fn operator_whose_clock_is_ahead_of_what_servers_noted_enters_nothing_without_saying_that_it_is_right() {
    let site = Site::new(None);
    site.world(NATIONS).await.stop().await;
    let config = Config::load(Some(&site.config()), [], &[]).unwrap();
    let open = async |clock: Arc<dyn Clock>| serve::open(&config, clock, Arc::new(SystemRng)).await.unwrap();
    let right = open(Arc::new(SystemClock)).await;
    time::beat(&right).await.unwrap();
    let last = time::show(&right).await.unwrap().mark.last;
    let clock = TestClock::days_ago(-40);
    clock.becomes_a_machines();
    let ahead = open(clock).await;
    let enter = async |exchange, of: &str, clock_is_right| {
        let (code, clock) = (of.parse().unwrap(), ClockWord { clock_is_right });
        partner(exchange, OperatorCommand::WaiveLists { code, clock }, &mut Vec::new()).await
    };
    let refused = enter(&ahead, "ISR", false).await.unwrap_err().to_string();
    assert!(refused.contains("nothing was done") && refused.contains("`--clock-is-right`"), "{refused}");
    assert_eq!(time::show(&right).await.unwrap().mark.last, last);
    // A machine that repeats at its start what is so already, after a night without servers, is not asked.
    enter(&right, "ISR", false).await.unwrap();
    enter(&ahead, "ISR", false).await.unwrap();
    let card = site.path("ISR.json");
    let enrolled = operator::partners(&right).await.unwrap().into_iter().find(|(code, _)| code.as_str() == "ISR");
    fs::write(&card, enrolled.unwrap().1.canonical().unwrap()).unwrap();
    let again = OperatorCommand::Card { files: vec![card], clock: ClockWord { clock_is_right: false } };
    partner(&ahead, again, &mut Vec::new()).await.unwrap();
    let repeated = time::show(&right).await.unwrap().mark.last;
    assert!(repeated < last + HOUR);
    enter(&ahead, "USA", true).await.unwrap();
    assert!(time::show(&right).await.unwrap().mark.last > last + HOUR);
    right.db.close().await;
    ahead.db.close().await;
}

/// A server that starts by a wrong clock on SQLite has nothing to hold it against. Answers are kept all the same.
#[tokio::test]
async fn answers_are_forgotten_by_the_hours_that_servers_ran_as_well_as_by_the_clock() {
    let stage = Stage::open().await;
    let raw = stage.raw(Some(stage.credential("USA:dana")));
    let body = json!({ "name": "Once", "lead": "USA", "partners": ["USA"] });
    let once = || raw.request(Method::POST, "/v1/programs").header("Idempotency-Key", "once").json(&body);
    once().send().await.unwrap().expect_status(201).await;
    let exchange = &stage.server.exchange;
    stage.clock.set(stage.clock.now() + SignedDuration::from_hours(24 * 8));
    act(&stage).await.unwrap();
    assert_eq!(operator::expire_answers(exchange, 1).await.unwrap(), 0);
    assert!(once().send().await.unwrap().headers().contains_key("idempotent-replay"));
    assert!(operator::expire_answers(exchange, 7 * 24).await.unwrap() > 0);
    stage.stop().await;
}

#[tokio::test]
async fn server_whose_clock_is_behind_the_log_is_not_ready_until_its_operator_has_seen_to_it() {
    let site = Site::new(None);
    site.world(NATIONS).await.stop().await;
    // A clock had jumped ahead, an entry was written, and then the clock was set right.
    let ahead = SystemClock.now() + SignedDuration::from_hours(24 * 3);
    let db = Db::open(site.database_url()).await.unwrap();
    let mut tx = db.write().await.unwrap();
    let entry = "INSERT INTO log_entries (seq, at, kind, readers, payload, salt) \
                 SELECT MAX(seq) + 1, $1, 'program.created', 'program', '{}', $2 FROM log_entries";
    tx.execute(entry, args![ahead, vec![0_u8; 32]]).await.unwrap();
    tx.commit().await.unwrap();
    db.close().await;

    let server = site.serve().await;
    until("the clock is at fault and nothing could be tried to be written", async || {
        let (status, ready) = server.admin("/readyz").await;
        let ready: Value = serde_json::from_str(&ready).unwrap();
        let parts = ready["parts"].as_array().unwrap();
        let fault = |name: &str| parts.iter().find(|part| part["part"] == name).unwrap()["fault"].as_str();
        let is_behind = fault("clock").is_some_and(|fault| fault.contains("behind what is on record"));
        (status == 503 && is_behind && fault("database") == Some("it has not been tried yet")).then_some(())
    })
    .await;
    let dana = site.speaker("USA:dana");
    let body = json!({ "name": "Another", "lead": "USA", "partners": ["USA"] });
    let post = async || {
        let request = dana.http.post(format!("{}/v1/programs", server.base()));
        request.header("Idempotency-Key", fresh_key()).json(&body).send().await.unwrap()
    };
    assert_eq!(post().await.problem().await, (503, "clock-not-trusted".to_owned()));

    let show = site.operate(&["clock", "show"]).await;
    assert!(String::from_utf8_lossy(&show.stdout).contains("nothing is written"), "{show:?}");
    let accept = site.operate(&["clock", "accept"]).await;
    assert!(accept.status.success(), "{accept:?}");
    assert!(
        String::from_utf8_lossy(&accept.stdout).starts_with("accepted: time on the exchange stands still"),
        "{accept:?}"
    );
    post().await.expect_status(201).await;
    let again = site.operate(&["clock", "accept"]).await;
    assert!(String::from_utf8_lossy(&again.stdout).starts_with("nothing to accept"), "{again:?}");
    assert!(server.stop().await.success());
}
