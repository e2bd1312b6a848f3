//! Puts a server together, keeps it up to date while it runs, and takes it down without losing a request.
//!
//! Time and randomness come from the caller, so a test or a demonstration runs the very same server on a clock of its own.
//! Nothing here decides who may do what.

use super::{
    admin::{self, AdminError},
    api,
    backup::ago,
    config::{Config, ConfigFault, DatabaseKind, Limits, folder_of},
    descriptors,
    listener::{self, Drained},
    logging::RequestIds,
    readiness::readiness,
    state::Api,
    tls::{CertificateError, Tls},
    trust::{PartnerSource, PartnerTrust, Reloaded, SourceError, Trust, TrustError},
};
use crate::{
    domain::{
        ambient::{Clock, Rng},
        text::counted,
    },
    jobs::{
        self, Jobs,
        figures::{self, Figures},
        probes::Probes,
        reload::{self, Reload, ReloadCause, Watch},
    },
    metrics::{self, FigureRecorder},
    process::{ServiceState, tell_manager},
    service::{
        Exchange, LongWorkQueues,
        appends::Appends,
        endings::SeenCertificates,
        feed::Feed,
        leftover_keys::LeftoverKeys,
        lists::KnownLists,
        marks::{self, MarkFault},
        operator,
        rules::Rules,
        state::KnownCalls,
        suspension,
        time::ExchangeTime,
        usage::Usage,
        visibility::ExchangeKey,
    },
    storage::{
        BlobEngine, Blobs, Db, StoreError,
        backup::{self, BackupError, refuse_half_restored},
        db::copy::Serving,
        migrate,
        partners::FoundLists,
        visible,
    },
};
use futures_util::{FutureExt, future::BoxFuture};
use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};
use tokio::{
    net::{TcpListener, TcpSocket},
    task::JoinHandle,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the configuration has {}", faults(.0.len()))]
    Config(Vec<ConfigFault>),
    #[error("the folder `{}` cannot be made: {error}", .folder.display())]
    Folder { folder: PathBuf, error: io::Error },
    #[error("the database `{place}`: {error}")]
    Database {
        place: String,
        #[source]
        error: StoreError,
    },
    #[error("{0}\n  {help}", help = .0.help())]
    HalfRestored(#[from] BackupError),
    #[error("sealed documents in {place}: {error}")]
    Blobs {
        place: String,
        #[source]
        error: StoreError,
    },
    #[error(
        "the place of sealed documents is not known to belong to the database: {fault}\n  database  {database}\n  \
         documents {place}\n  {}; `entente-server blobs adopt --dry-run` counts what is there",
        .fault.help()
    )]
    Marks { database: String, place: String, fault: MarkFault },
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error("cannot listen on `{address}`: {error}")]
    Bind { address: SocketAddr, error: io::Error },
}

fn faults(count: usize) -> String {
    counted(count, "fault", "faults")
}

/// A server that answers.
#[derive(Debug)]
pub struct Running {
    /// Where the API listens.
    pub api_addr: SocketAddr,
    /// Where health, readiness and metrics are.
    pub admin_addr: SocketAddr,
    /// What it serves.
    pub exchange: Arc<Exchange>,
    /// Trust and certificate in force.
    pub tls: Arc<Tls>,
    ending: JoinHandle<Drained>,
}

impl Running {
    /// Waits until the server received the order to stop and has stopped.
    pub async fn ended(self) -> Drained {
        self.ending.await.expect("the server's own task does not panic")
    }
}

/// Opens everything an operation needs, and brings the database to the schema of this program.
pub async fn open(config: &Config, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Result<Arc<Exchange>, StartError> {
    refuse_half_restored(&config.blob_engine()).await?;
    let db = open_database(config, &*clock).await?;
    let blobs = open_blobs(config, &db, &*clock, &rng).await?;
    let spools = config.spools(blobs.mark());
    let signer = ExchangeKey::new(config.api.certificate.clone(), config.api.private_key.clone());
    if let Err(cause) = signer.check().await {
        tracing::warn!(%cause, "visibility manifests cannot be signed with the server's key");
    }
    Ok(Arc::new(Exchange {
        db,
        blobs,
        spools,
        rules: Rules::default(),
        time: Arc::new(ExchangeTime::new(Arc::clone(&clock), config.limits.clock_tolerance)),
        clock,
        rng,
        calls: KnownCalls::default(),
        lists: KnownLists::default(),
        host: config.host.clone(),
        leftover_keys: LeftoverKeys::default(),
        long_work: LongWorkQueues::default(),
        feed: Feed::lasting(config.limits.stall / 2),
        signer,
        document_limit: config.limits.document_bytes,
        quotas: config.quotas,
        usage: Usage::default(),
        appends: Appends::default(),
        seen_certificates: SeenCertificates::default(),
    }))
}

/// Opens the database alone and brings it to the schema of this program.
pub(super) async fn open_database(config: &Config, clock: &dyn Clock) -> Result<Db, StartError> {
    make_folders(config)?;
    let database = async {
        let db = Db::open_with(config.database.url.reveal(), config.database.limits).await?;
        migrate::run(&db, clock.now()).await?;
        visible::fold_organisations(&db).await?;
        Ok(db)
    };
    database.await.map_err(|error| StartError::Database { place: config.database.url.place(), error })
}

/// Opens the place of documents, once it is certain that it is this database's.
async fn open_blobs(config: &Config, db: &Db, clock: &dyn Clock, rng: &Arc<dyn Rng>) -> Result<Blobs, StartError> {
    let engine = config.blob_engine();
    let place = engine.describe();
    let mark = marks::settle(db, &engine, &**rng, clock.now()).await.map_err(|fault| match fault {
        MarkFault::Store(error) => StartError::Blobs { place: place.clone(), error },
        fault => StartError::Marks { database: config.database.url.place(), place: place.clone(), fault },
    })?;
    let blobs = Blobs::open(engine, mark, Arc::clone(rng)).await;
    blobs.map_err(|error| StartError::Blobs { place, error })
}

/// Makes the folders for data on the first start, for the server's account alone. That of documents is made with its mark, and only
/// for a database that has none yet.
fn make_folders(config: &Config) -> Result<(), StartError> {
    let documents = config.blob_engine();
    for folder in config.missing_folders().into_iter().filter(|folder| Some(&**folder) != documents.folder()) {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&folder).map_err(|error| StartError::Folder { folder: folder.clone(), error })?;
    }
    Ok(())
}

/// Starts a server; it answers from then on until `shutdown`, finishes the requests that are open, and ends.
///
/// # Errors
/// When anything it needs is not in order. Nothing listens then.
pub async fn run(
    config: Config,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<Running, StartError> {
    let began = Instant::now();
    let faults = config.validate(clock.now());
    if !faults.is_empty() {
        return Err(StartError::Config(faults));
    }
    // Before the files are read, so that no change falls between.
    let watch = Watch::new(watched(&config), reload::INTERVAL);
    let metrics = recorder();
    refuse_half_restored(&config.blob_engine()).await?;
    make_folders(&config)?;
    let place = config.database.url.place();
    let serving = Serving::begin(config.database.url.reveal());
    let serving = serving.map_err(|error| StartError::Database { place, error })?;
    let exchange = open(&config, Arc::clone(&clock), Arc::clone(&rng)).await?;
    let generation = operator::trust_generation(&exchange).await.unwrap_or_default();
    let (tls, trusted) = start_tls(&config, clock, &exchange).await?;
    let Listeners { api: listener, api_addr, admin: admin_listener, admin_addr } = bind(&config).await?;

    // `draining` is cancelled when the server is no longer ready, `stopped` once every request has its answer.
    let (draining, stopped) = (CancellationToken::new(), CancellationToken::new());
    let probes = probes_of(&config, Arc::clone(&exchange));
    probes.first().await;
    let readiness = readiness(Arc::clone(&probes), Arc::clone(&tls), draining.clone());
    let limits = limits_that_fit(&config.limits);
    let jobs = Jobs {
        exchange: Arc::clone(&exchange),
        probes,
        figures: figures_of(&config, &*exchange.clock),
        watch,
        reload: reload_with(Arc::clone(&tls)),
        went_well: trusted.is_as_its_sources_say(),
        trust_generation: generation,
    };
    jobs::start(jobs, &stopped);
    let admin = admin::router(metrics, readiness);
    let admin = tokio::spawn(admin::serve(admin_listener, admin, limits.clone(), stopped.clone().cancelled_owned()));

    let waiting = Arc::clone(&exchange);
    let order = async move {
        shutdown.await;
        tracing::info!("stopping: open requests finish first");
        waiting.feed.end();
        draining.cancel();
    };
    let ids = RequestIds::new(Arc::clone(&exchange.time), rng);
    let router = api::router(Api::new(Arc::clone(&exchange), limits.body_bytes, ids.refusals()));
    let served = listener::serve(listener, router, Arc::clone(&tls), limits, ids, order);
    let db = exchange.db.clone();
    let ending = tokio::spawn(async move {
        let drained = served.await;
        stopped.cancel();
        let _ = admin.await;
        db.close().await;
        drop(serving);
        tracing::info!(cut = drained.cut, "stopped");
        drained
    });
    warn_if_restored(&config.blob_engine(), &*exchange.clock).await;
    let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(millis, partners = trusted.partners, api = %api_addr, admin = %admin_addr, "ready");
    Ok(Running { api_addr, admin_addr, exchange, tls, ending })
}

/// Trust and the server's certificate, and what of trust could be used.
async fn start_tls(
    config: &Config,
    clock: Arc<dyn Clock>,
    exchange: &Arc<Exchange>,
) -> Result<(Arc<Tls>, Reloaded), StartError> {
    let enrolled = Enrolled(Arc::clone(exchange));
    let (trust, learnt) = Trust::start(clock, config.trust.crl_folder.clone(), enrolled).await?;
    if learnt.partners == 0 {
        tracing::warn!("no partner is enrolled, so nobody can connect; see `entente-server partner add --help`");
    }
    Ok((Tls::start(config.api.files(), trust)?, learnt))
}

/// The sockets of the API and of the operator, and their addresses.
struct Listeners {
    api: TcpListener,
    api_addr: SocketAddr,
    admin: TcpListener,
    admin_addr: SocketAddr,
}

async fn bind(config: &Config) -> Result<Listeners, StartError> {
    let address = config.api.listen;
    let api = listen(address).map_err(|error| StartError::Bind { address, error })?;
    let api_addr = api.local_addr().map_err(|error| StartError::Bind { address, error })?;
    let admin = admin::bind(&config.admin).await?;
    let address = config.admin.listen;
    let admin_addr = admin.local_addr().map_err(|error| StartError::Bind { address, error })?;
    Ok(Listeners { api, api_addr, admin, admin_addr })
}

/// A connection that finds the queue of the system full is tried again by its client after a second. So the queue is longer than the usual
/// 1,024: thousands of strangers a second come in front of a member.
const WAITING_TO_BE_ACCEPTED: u32 = 8192;

/// A socket that listens; the system may make its queue shorter (`net.core.somaxconn`).
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(WAITING_TO_BE_ACCEPTED)
}

/// The limits of the configuration, as far as the system lets the process have so many files and connections.
fn limits_that_fit(wanted: &Limits) -> Limits {
    let descriptors = descriptors::raise();
    if let Some(shortfall) = descriptors::shortfall(wanted, descriptors) {
        tracing::warn!("{shortfall}");
    }
    descriptors::fit(wanted, descriptors)
}

/// Warns of the age of a restored state, until a backup of it is taken.
async fn warn_if_restored(documents: &Arc<dyn BlobEngine>, clock: &dyn Clock) {
    match backup::restored_from(documents).await {
        Ok(Some(restored)) => tracing::warn!(
            last_entry = restored.last_entry,
            last_entry_at = restored.last_entry_at.map(tracing::field::display),
            age = ago(clock.now().duration_since(restored.last_entry_at.unwrap_or(restored.begun_at))),
            "this state was restored from a backup and is as old as that; what was acknowledged later is not there"
        ),
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "the note of a restore cannot be read"),
    }
}

/// Certificates and revocation lists.
fn watched(config: &Config) -> Vec<PathBuf> {
    let files = [&config.api.certificate, &config.api.private_key];
    files.into_iter().chain(config.trust.crl_folder.as_ref()).cloned().collect()
}

/// The file of a SQLite database.
fn database_file(config: &Config) -> Option<PathBuf> {
    match config.database.url.kind() {
        Some(DatabaseKind::Sqlite(path)) => Some(path),
        _ => None,
    }
}

fn probes_of(config: &Config, exchange: Arc<Exchange>) -> Arc<Probes> {
    let beside_database = database_file(config).and_then(|file| file.parent().map(Path::to_owned));
    Probes::new(exchange, beside_database, config.limits.probe)
}

fn figures_of(config: &Config, clock: &dyn Clock) -> Figures {
    let database = database_file(config).map(|file| {
        let folder = folder_of(&file).to_owned();
        (file, folder)
    });
    Figures::new(config.blob_engine(), database, clock)
}

/// Takes up changes of certificate, revocation lists and partners, and what could not be used at the start.
fn reload_with(tls: Arc<Tls>) -> Reload {
    Reload::new(move |cause| {
        let tls = Arc::clone(&tls);
        async move {
            // The service manager waits for a reload that its operator asked for, and for no other.
            let is_asked_for = cause == ReloadCause::Signal;
            if is_asked_for {
                tell_manager(ServiceState::Reloading);
            }
            let went_well = tls.reload().await.is_ok();
            if is_asked_for {
                tell_manager(ServiceState::Ready);
            }
            went_well
        }
        .boxed()
    })
}

/// The process has one recorder, however many servers it runs.
fn recorder() -> FigureRecorder {
    static RECORDER: OnceLock<FigureRecorder> = OnceLock::new();
    let install = || metrics::install().inspect(|_| figures::describe()).unwrap_or_default();
    RECORDER.get_or_init(install).clone()
}

/// Partners as the database has them.
struct Enrolled(Arc<Exchange>);

impl PartnerSource for Enrolled {
    fn partners(&self) -> BoxFuture<'static, Result<Vec<PartnerTrust>, SourceError>> {
        let exchange = Arc::clone(&self.0);
        async move {
            let mut records = operator::list_records(&exchange).await?;
            let mut suspensions = suspension::suspensions(&exchange).await?;
            let cards = operator::partners(&exchange).await?;
            let trust = cards.into_iter().map(|(code, card)| {
                let anchors = card.anchors_der()?.into_iter().map(Into::into).collect();
                let record = records.remove(&code).unwrap_or_default();
                let suspension = suspensions.remove(&code);
                Ok(PartnerTrust { code, anchors, registrars: card.registrars, crls: Vec::new(), record, suspension })
            });
            trust.collect()
        }
        .boxed()
    }

    fn record_lists(&self, found: Vec<FoundLists>) -> BoxFuture<'static, Result<(), SourceError>> {
        let exchange = Arc::clone(&self.0);
        async move { Ok(operator::record_lists(&exchange, &found).await?) }.boxed()
    }
}
