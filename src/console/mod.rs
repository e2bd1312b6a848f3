//! The console: pages on this machine's loopback for who will never open a terminal, made by the member's own client.
//!
//! Keys, plaintext and decisions about trust never leave the machine, and no page comes from the exchange. A page adds no rule and no joining
//! of data of its own: both are the client's. What stands before every page is in [`guard`]; one page is one file, with its template
//! beside it. It must never answer another account, another site or another browser than the one that came by a printed address (ADR 53).

mod address;
mod answer;
mod assets;
mod enter;
mod fields;
mod frame;
mod guard;
mod help;
mod home;
mod keys;
mod log;
mod me;
mod search;
mod secret;
mod sessions;
mod state;
mod trust;
mod unlock;
mod who;
mod why;
mod words;

pub use address::ConsoleName;

use crate::{
    client::{Ambient, ClientError, Home, Result},
    domain::id::Sha256,
};
use address::AccountListener;
use assets::Assets;
use axum::{
    Router,
    extract::State,
    http::Uri,
    middleware,
    response::Response,
    routing::{get, post},
};
use jiff::SignedDuration;
use secret::Secret;
use sessions::Sessions;
use state::{Console, ConsoleParts};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use who::Who;

/// The keys are forgotten after so long without use, if nothing else is said.
pub const USUAL_IDLE: Duration = Duration::from_mins(15);
/// The longest time without use.
pub const LONGEST_IDLE: Duration = Duration::from_hours(8);
/// So often it is looked whether that time has come.
const LOOK: Duration = Duration::from_secs(5);

/// How a console is started.
#[derive(Debug, Clone)]
pub struct ConsoleOptions {
    pub home: Home,
    /// The name of the profile.
    pub profile: String,
    pub ambient: Ambient,
    /// A free one if none is named.
    pub port: Option<u16>,
    pub name: ConsoleName,
    /// The keys are forgotten after so long without use.
    pub idle: Duration,
}

/// A console that listens and answers nobody yet.
pub struct RunningConsole {
    console: Console,
    listener: AccountListener,
}

/// Gives addresses of a console that runs.
#[derive(Clone)]
pub struct Doorkeeper(Console);

impl Doorkeeper {
    /// An address that lets one browser in.
    #[must_use]
    pub fn new_address(&self) -> String {
        self.0.new_address()
    }
}

impl RunningConsole {
    /// Begins to listen.
    ///
    /// # Errors
    /// When there is no such profile, or the port is not free.
    pub async fn start(options: ConsoleOptions) -> Result<Self> {
        let ConsoleOptions { home, profile, ambient, port, name, idle } = options;
        // What is wrong with it is said now, and not in a browser.
        let who = Who::of_profile(&home.profile(Some(&profile))?);
        let (listener, address) = AccountListener::bind(port, name, &*ambient.rng).await.map_err(|error| {
            ClientError::local(
                format!("cannot listen on loopback: {error}"),
                "name another port with `--port`, or none",
            )
        })?;
        let cookie =
            format!("entente-{}", &Sha256::of(Secret::new(&*ambient.rng).expose().as_bytes()).to_string()[..16]);
        let console = Console::new(ConsoleParts {
            home,
            profile,
            who,
            ambient,
            address,
            cookie,
            sessions: Sessions::default(),
            lock: keys::Lock::new(SignedDuration::try_from(idle).unwrap_or(SignedDuration::MAX)),
            assets: Assets::new(),
        });
        Ok(Self { console, listener })
    }

    /// What gives addresses while it runs.
    #[must_use]
    pub fn doorkeeper(&self) -> Doorkeeper {
        Doorkeeper(self.console.clone())
    }

    /// Answers until `ending` completes; the keys are forgotten then.
    ///
    /// # Errors
    /// When the listener breaks.
    pub async fn run(self, ending: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        let Self { console, listener } = self;
        let app = router(&console);
        let watch = watch(console.clone());
        let served = tokio::select! {
            served = async { axum::serve(listener, app).await } => served,
            () = ending => Ok(()),
            () = watch => Ok(()),
        };
        console.lock.lock();
        served.map_err(|error| ClientError::local(format!("the console stopped: {error}"), "start it again"))
    }
}

/// Forgets the keys when nothing used them for too long.
async fn watch(console: Console) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        console.lock.lock_if_idle(console.ambient.clock.now());
    }
}

/// Every page and act. Each passes the guard, also one that is not there.
fn router(console: &Console) -> Router {
    Router::new()
        .route("/enter", get(enter::show).post(enter::enter))
        .route("/unlock", get(unlock::show).post(unlock::unlock))
        .route("/lock", post(unlock::lock))
        .route("/", get(home::show))
        .route("/seen", post(home::seen))
        .route("/search", get(search::show))
        .route("/log", get(log::show))
        .route("/why", get(why::show))
        .route("/trust", get(trust::show).post(trust::pin))
        .route("/me", get(me::show))
        .route("/help", get(help::show).post(help::turn))
        .fallback(asset_or_nothing)
        .layer(middleware::from_fn_with_state(console.clone(), guard::guard))
        .with_state(console.clone())
}

async fn asset_or_nothing(State(console): State<Console>, uri: Uri) -> Response {
    console.assets.file(uri.path())
}

impl std::fmt::Debug for RunningConsole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunningConsole").field("origin", &self.console.address.origin).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Doorkeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Doorkeeper(..)")
    }
}
