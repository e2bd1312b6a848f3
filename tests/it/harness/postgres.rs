//! A throw-away PostgreSQL: one cluster a test process, one database a test; and a cluster of its own for a test that turns it into a
//! standby.
//!
//! The cluster lives in a temporary folder, listens on a socket in it and on no port. A shell supervises it and waits
//! on a pipe that only this process holds, so the cluster stops and its folder goes however the tests end, killed ones
//! included. It sorts text the English way, so that a column without `COLLATE "C"` is noticed.
//!
//! Without PostgreSQL on the machine the tests say so and go on with SQLite alone; `ENTENTE_REQUIRE_POSTGRES=1`
//! makes that a failure.

use super::{loud::loud, scratch::scratch};
use entente::storage::{Db, PostgresLimits, migrate};
use jiff::Timestamp;
use sqlx::Connection as _;
use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::sync::OnceCell;

/// Far longer than anything takes on a machine that is busy with other things: no test fails because it was held up, and whatever a
/// test has given up in silence ends within its own patience.
pub(crate) const LIMITS: PostgresLimits = PostgresLimits {
    queue: Duration::from_secs(50),
    connect: Duration::from_secs(50),
    answer: Duration::from_secs(20),
    turn: Duration::from_secs(30),
    write: Duration::from_secs(31),
    read: Duration::from_secs(31),
    silence: Duration::from_secs(20),
    read_silence: Duration::from_secs(40),
    upkeep: Duration::from_mins(2),
};

/// A database of one's own; gone when dropped.
#[derive(Debug)]
pub(crate) struct Database {
    pub(super) name: String,
    pub(super) cluster: &'static Cluster,
}

impl Database {
    /// An empty database, or `None` when there is no PostgreSQL on this machine.
    pub(crate) async fn fresh() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        // Starting takes seconds: the test's own thread is the place to wait for them.
        let cluster = tokio::task::spawn_blocking(Cluster::of_this_process).await.unwrap()?;
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        cluster.administer(format!("CREATE DATABASE {name}")).await;
        Some(Self { name, cluster })
    }

    /// A database with the present schema, copied from one that was migrated once; or `None` when there is no PostgreSQL on this machine.
    pub(crate) async fn migrated() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        static TEMPLATE: OnceCell<()> = OnceCell::const_new();
        let cluster = tokio::task::spawn_blocking(Cluster::of_this_process).await.unwrap()?;
        let migrate = || async {
            cluster.administer("CREATE DATABASE migrated".to_owned()).await;
            let db = Db::open_with(&cluster.url("migrated"), LIMITS).await.unwrap();
            migrate::run(&db, Timestamp::UNIX_EPOCH).await.unwrap();
            db.close().await;
        };
        TEMPLATE.get_or_init(migrate).await;
        let name = format!("migrated_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        cluster.administer(format!("CREATE DATABASE {name} TEMPLATE migrated")).await;
        Some(Self { name, cluster })
    }

    /// Another database with the same rows; nobody may be connected to this one.
    #[cfg(feature = "client")]
    pub(crate) async fn copy(&self) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let name = format!("copy_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.cluster.administer(format!("CREATE DATABASE {name} TEMPLATE {}", self.name)).await;
        Self { name, cluster: self.cluster }
    }

    /// The address to open it with.
    pub(crate) fn url(&self) -> String {
        self.cluster.url(&self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // The runtime of the test may be ending, so another does it.
        let cluster = self.cluster;
        let statement = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(cluster.administer(statement));
        });
        dropping.join().unwrap();
    }
}

/// A cluster of one's own, which becomes a standby and the primary again; gone when dropped.
#[cfg(feature = "client")]
#[derive(Debug)]
pub(crate) struct OwnCluster(Cluster);

#[cfg(feature = "client")]
impl OwnCluster {
    /// One with an empty database, or `None` when there is no PostgreSQL on this machine.
    pub(crate) async fn start() -> Option<Self> {
        let cluster = tokio::task::spawn_blocking(|| programs().map(|programs| Cluster::start(&programs)));
        let cluster = cluster.await.unwrap();
        assert!(cluster.is_some() || !is_required(), "PostgreSQL is required and not installed");
        let cluster = cluster?;
        cluster.administer("CREATE DATABASE exchange".to_owned()).await;
        Some(Self(cluster))
    }

    /// The address of the database.
    pub(crate) fn url(&self) -> String {
        self.0.url("exchange")
    }

    /// Restarts it as a standby that has no primary to follow: it answers reads and nothing else.
    pub(crate) fn become_standby(&mut self) {
        self.0.order("standby");
    }

    /// Promotes it, as at a fail-over.
    pub(crate) fn become_primary(&mut self) {
        self.0.order("primary");
    }
}

#[derive(Debug)]
pub(super) struct Cluster {
    /// Where it listens.
    pub(super) folder: PathBuf,
    /// It waits for orders on a pipe in here, which closes when this process ends.
    supervisor: Child,
    said: BufReader<ChildStdout>,
}

impl Cluster {
    fn of_this_process() -> Option<&'static Self> {
        static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
        let cluster = CLUSTER.get_or_init(|| {
            let programs = programs();
            if programs.is_none() {
                assert!(!is_required(), "PostgreSQL is required and not installed");
                loud("NO POSTGRESQL ON THIS MACHINE: ITS HALF OF THE STORE TESTS DOES NOT RUN");
            }
            programs.map(|programs| Self::start(&programs))
        });
        cluster.as_ref()
    }

    fn start(programs: &Path) -> Self {
        let folder = scratch().keep();
        let mut supervisor = unprivileged(&folder);
        supervisor.args(["sh", "-c", SUPERVISE, "supervisor"]).args([programs, &folder]);
        // A group of its own: Ctrl-C is for the tests, whose end is what stops the cluster.
        supervisor.process_group(0).current_dir(&folder);
        supervisor.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut supervisor = supervisor.spawn().unwrap();
        let said = BufReader::new(supervisor.stdout.take().unwrap());
        let mut cluster = Self { folder, supervisor, said };
        cluster.becomes_ready();
        cluster
    }

    /// Waits until it says that it is.
    fn becomes_ready(&mut self) {
        let mut said = String::new();
        self.said.read_line(&mut said).unwrap();
        if said.trim() != "ready" {
            let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            panic!("PostgreSQL did not start: {log}");
        }
    }

    #[cfg(feature = "client")]
    fn order(&mut self, what: &str) {
        writeln!(self.supervisor.stdin.as_mut().unwrap(), "{what}").unwrap();
        self.becomes_ready();
    }

    fn url(&self, database: &str) -> String {
        format!("postgres:///{database}?host={}&user=entente", self.folder.display())
    }

    async fn administer(&self, statement: String) {
        let mut connection = sqlx::PgConnection::connect(&self.url("postgres")).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}

fn is_required() -> bool {
    env::var_os("ENTENTE_REQUIRE_POSTGRES").is_some()
}

/// `$1` is the folder of programs, `$2` that of the cluster. Durability is off: nothing here outlives the tests. Ends when nobody is left
/// who could give an order.
const SUPERVISE: &str = r#"
exec 3>&1 >"$2/log" 2>&1
trap 'cd /; rm -rf "$2"' EXIT
"$1/initdb" --pgdata="$2/data" --username=entente --auth=trust --no-sync --encoding=UTF8 \
    --locale=C --locale-provider=icu --icu-locale=en-US || exit
start() {
    "$1/pg_ctl" start --wait --silent --pgdata="$2/data" --log="$2/server.log" --options="-F -k '$2' \
        -c listen_addresses= -c max_connections=300 -c shared_buffers=32MB -c synchronous_commit=off \
        -c full_page_writes=off -c autovacuum=off" 3>&- </dev/null || { cat "$2/server.log"; exit 1; }
    echo ready >&3
}
start "$1" "$2"
while read -r order; do
    case "$order" in
    standby)
        "$1/pg_ctl" stop --wait --silent --pgdata="$2/data" --mode=fast 3>&-
        touch "$2/data/standby.signal"
        start "$1" "$2" ;;
    primary)
        "$1/pg_ctl" promote --wait --silent --pgdata="$2/data" 3>&- && echo ready >&3 ;;
    esac
done
"$1/pg_ctl" stop --wait --silent --pgdata="$2/data" --mode=immediate
"#;

/// A command that is run by somebody else than root, whom PostgreSQL refuses to serve; `folder` becomes theirs.
fn unprivileged(folder: &Path) -> Command {
    let number = |args: &[&str]| -> Option<u32> {
        let output = Command::new("id").args(args).stderr(Stdio::null()).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    if number(&["-u"]) != Some(0) {
        return Command::new("env");
    }
    let user = if number(&["-u", "postgres"]).is_some() { "postgres" } else { "nobody" };
    let (uid, gid) = (number(&["-u", user]).unwrap(), number(&["-g", user]).unwrap());
    chown(folder, Some(uid), Some(gid)).unwrap();
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".to_owned()]);
    command
}

/// The folder with `initdb`, `pg_ctl` and `postgres`: on the path, or where Debian keeps them, the newest first.
fn programs() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut debian: Vec<PathBuf> =
        fs::read_dir("/usr/lib/postgresql").into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    debian.sort_by_key(|folder| folder.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()));
    let debian = debian.into_iter().rev().map(|version| version.join("bin"));
    env::split_paths(&path)
        .chain(debian)
        .find(|folder| ["initdb", "pg_ctl", "postgres"].iter().all(|program| folder.join(program).is_file()))
}
