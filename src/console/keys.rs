//! The member's keys while the console is unlocked: opened by what was typed into a page, held in this process alone, and forgotten after
//! minutes without use or by a button.
//!
//! Keys that `entente unlock` holds are not used: a console that is locked asks for the passphrase, whatever else is held. It must never
//! keep a passphrase once the keys are open.

use super::who::Who;
use crate::{
    client::{
        Ambient, Client, ClientError, Home, NoProgress, Profile, Result,
        news::NewsReader,
        titles::{ListExtent, PassphraseRule},
        zone::Zone,
    },
    sealing::identity::{Prompt, SecretText},
};
use jiff::{SignedDuration, Timestamp};
use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::{Mutex as AsyncMutex, OnceCell},
    task::AbortHandle,
};
use tokio_util::sync::CancellationToken;

/// Titles that could not be opened are tried again after so long.
const TITLES_AGAIN: Duration = Duration::from_mins(1);

/// What is there while the console is unlocked.
pub(super) struct Unlocked {
    pub(super) client: Client,
    pub(super) zone: Zone,
    /// What happened since the member last looked; taken by who reads on.
    pub(super) news: AsyncMutex<NewsReader>,
    /// The whole log, once a page wants it.
    pub(super) log: AsyncMutex<NewsReader>,
    who: OnceCell<Who>,
    /// What the client warned of.
    warnings: Arc<Mutex<Vec<String>>>,
    /// Whether titles are being opened, so that searches find more by and by.
    is_opening_titles: AtomicBool,
    /// When titles were last begun to be opened.
    titles_at: Mutex<Option<Instant>>,
    /// Pages and acts that are under way end by it.
    ended: CancellationToken,
    /// What goes on beside the pages. Each holds this, so it is ended and not waited for.
    beside: Mutex<Vec<AbortHandle>>,
}

/// So many warnings are kept, the latest, each once.
const WARNINGS: usize = 20;

impl Unlocked {
    /// Who acts; the exchange is asked until it has answered once.
    pub(super) async fn who(&self) -> Who {
        let asked = self.who.get_or_try_init(|| Who::ask(&self.client)).await;
        asked.cloned().unwrap_or_else(|_| Who::of_profile(self.client.profile()))
    }

    /// What the client warned of since the keys were opened.
    pub(super) fn warnings(&self) -> Vec<String> {
        held(&self.warnings).clone()
    }

    /// Whether titles are being opened.
    pub(super) fn is_opening_titles(&self) -> bool {
        self.is_opening_titles.load(Ordering::Relaxed)
    }

    /// Begins what goes on beside the pages until the keys are forgotten: the log is read for the first time, and titles are opened. What
    /// does not succeed is tried again by the page that wants it.
    fn begin(self: &Arc<Self>) {
        let reader = self.clone();
        let reading = tokio::spawn(async move {
            let mut news = reader.news.lock().await;
            let _ = news.read_on(&reader.client).await;
        });
        held(&self.beside).push(reading.abort_handle());
        self.open_titles();
    }

    /// Opens titles beside the pages, unless that is under way or was begun a moment ago.
    pub(super) fn open_titles(self: &Arc<Self>) {
        let mut begun_at = held(&self.titles_at);
        if self.is_opening_titles() || begun_at.is_some_and(|begun_at| begun_at.elapsed() < TITLES_AGAIN) {
            return;
        }
        *begun_at = Some(Instant::now());
        self.is_opening_titles.store(true, Ordering::Relaxed);
        let opener = self.clone();
        let opening = tokio::spawn(async move {
            let client = &opener.client;
            if let Ok(rows) = client.api().all_proposals(None).await {
                client.titles(&rows, ListExtent::Everything, PassphraseRule::Never, Arc::new(NoProgress)).await;
            }
            opener.is_opening_titles.store(false, Ordering::Relaxed);
        });
        let mut beside = held(&self.beside);
        beside.retain(|task| !task.is_finished());
        beside.push(opening.abort_handle());
    }

    /// Completes once the keys are forgotten.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

impl Unlocked {
    fn end(&self) {
        self.ended.cancel();
        for task in held(&self.beside).drain(..) {
            task.abort();
        }
    }
}

/// The lock on the keys of one profile.
pub(super) struct Lock {
    /// The keys are forgotten after so long without use.
    idle: SignedDuration,
    state: Mutex<LockState>,
    /// Passphrases are tried one after the other.
    trying: AsyncMutex<()>,
}

#[derive(Default)]
struct LockState {
    unlocked: Option<Arc<Unlocked>>,
    /// When a page was last asked for, by the clock and by one that nobody sets.
    used_at: Option<(Timestamp, Instant)>,
    /// How often the keys were forgotten.
    locks: u64,
}

/// What came of trying to open the keys.
#[derive(Debug)]
pub(super) enum Unlocking {
    Open,
    /// A file needs a passphrase that was not among those that were typed. What the prompt said of it.
    Closed(String),
}

impl Lock {
    /// How long the keys are held without use.
    pub(super) fn idle(&self) -> SignedDuration {
        self.idle
    }

    pub(super) fn new(idle: SignedDuration) -> Self {
        Self { idle, state: Mutex::default(), trying: AsyncMutex::default() }
    }

    /// The opened keys, for a page: that is a use of them, unless it comes too late.
    pub(super) fn used(&self, now: Timestamp) -> Option<Arc<Unlocked>> {
        // Nobody looked while the machine slept.
        self.lock_if_idle(now);
        let mut state = held(&self.state);
        state.used_at = Some((now, Instant::now()));
        state.unlocked.clone()
    }

    /// Whether the keys are open. That is no use of them.
    pub(super) fn is_open(&self) -> bool {
        held(&self.state).unlocked.is_some()
    }

    /// Forgets the keys. What is under way with them ends.
    pub(super) fn lock(&self) {
        let mut state = held(&self.state);
        // Keys that are being opened meanwhile are not kept, either.
        state.locks += 1;
        if let Some(unlocked) = state.unlocked.take() {
            unlocked.end();
        }
    }

    /// Forgets the keys if nothing used them for too long.
    pub(super) fn lock_if_idle(&self, now: Timestamp) {
        let is_idle = held(&self.state).used_at.is_some_and(|(used_at, at)| {
            let steady = SignedDuration::try_from(at.elapsed()).unwrap_or(SignedDuration::MAX);
            // A clock that was set back says nothing of how long it was.
            now.duration_since(used_at) >= self.idle || steady >= self.idle || now < used_at
        });
        if is_idle {
            self.lock();
        }
    }

    /// Opens the keys of a profile with what was typed.
    ///
    /// # Errors
    /// When a file of the profile cannot be read or is something else. What only needs another passphrase is no error.
    pub(super) async fn open(
        &self,
        home: Home,
        profile: Profile,
        ambient: Ambient,
        typed: Vec<SecretText>,
    ) -> Result<Unlocking> {
        let _one_at_a_time = self.trying.lock().await;
        let now = ambient.clock.now();
        if self.is_open() {
            return Ok(Unlocking::Open);
        }
        let locks = held(&self.state).locks;
        let prompt = Typed { state: Arc::new(Mutex::new(TypedState { passphrases: typed, missing: None })) };
        let opened = open_client(home, profile, ambient, prompt.clone()).await;
        let TypedState { missing, .. } = mem::take(&mut *held(&prompt.state));
        match (opened, missing) {
            (Ok(unlocked), _) => {
                let unlocked = Arc::new(unlocked);
                let mut state = held(&self.state);
                if state.locks != locks {
                    let what = "the console was locked while the keys were being opened";
                    return Err(ClientError::usage(what, "unlock it again"));
                }
                (state.unlocked, state.used_at) = (Some(unlocked.clone()), Some((now, Instant::now())));
                drop(state);
                unlocked.begin();
                Ok(Unlocking::Open)
            }
            // What was asked for was not had. Another fault of a file is said as what it is.
            (Err(error), Some(missing)) if is_about_passphrase(&error) => Ok(Unlocking::Closed(missing)),
            (Err(error), _) => Err(error),
        }
    }
}

async fn open_client(home: Home, profile: Profile, ambient: Ambient, prompt: Typed) -> Result<Unlocked> {
    let zone = home.reader_zone(&profile)?;
    let has_identities = !profile.identities.is_empty();
    // Opening a file takes its time on purpose.
    let client = tokio::task::spawn_blocking(move || Client::new(home, profile, prompt, ambient))
        .await
        .map_err(|error| ClientError::local(format!("a task ended early: {error}"), "try again"))??;
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let heard = warnings.clone();
    let client = client.on_warning(move |sentence| {
        let mut heard = held(&heard);
        heard.retain(|known| known != sentence);
        heard.push(sentence.to_owned());
        if heard.len() > WARNINGS {
            heard.remove(0);
        }
    });
    if has_identities {
        client.keyring().await?;
    }
    Ok(Unlocked {
        // A mark that cannot be read is no reason to show nothing.
        news: AsyncMutex::new(NewsReader::open(&client).unwrap_or_else(|_| NewsReader::unmarked())),
        log: AsyncMutex::new(NewsReader::whole()),
        client,
        zone,
        who: OnceCell::new(),
        warnings,
        is_opening_titles: AtomicBool::new(false),
        titles_at: Mutex::default(),
        ended: CancellationToken::new(),
        beside: Mutex::default(),
    })
}

/// Whether an error says that a passphrase is wrong or missing, and not that a file is something else.
fn is_about_passphrase(error: &ClientError) -> bool {
    error.to_string().contains("passphrase")
}

/// What was typed into the page, for all files of the profile: one passphrase often protects two.
#[derive(Debug, Clone)]
struct Typed {
    state: Arc<Mutex<TypedState>>,
}

#[derive(Debug, Default)]
struct TypedState {
    passphrases: Vec<SecretText>,
    /// What was asked for that none of them is.
    missing: Option<String>,
}

impl Prompt for Typed {
    fn passphrase(&self, _purpose: &str) -> Option<SecretText> {
        // A device's own number: it is asked for by a program of its own, at a terminal.
        None
    }

    fn file_passphrase(&self, purpose: &str) -> Option<SecretText> {
        let mut state = held(&self.state);
        state.missing = Some(purpose.to_owned());
        // An ssh key is opened by no other way. Where there are two, the second was typed for what the first did not open.
        state.passphrases.last().cloned()
    }

    fn opened_before(&self) -> Vec<SecretText> {
        held(&self.state).passphrases.clone()
    }

    fn message(&self, _text: &str) {}
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
