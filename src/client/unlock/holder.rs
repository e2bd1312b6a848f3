//! The holder: a process that holds opened keys and answers the commands of its account, until its time has passed, somebody locks, its
//! socket is gone, or a signal ends it.
//!
//! Decides whom it answers, and that nothing is answered once the time has passed, whatever the timers of the system did meanwhile. Only one
//! holder lives for each profile: it keeps a lock as long as it does.

use super::{
    held::HeldSecrets,
    lease::{HoldLimits, Moment},
    opened::{Handover, OpenedKeys},
    place::SocketPlace,
    protocol::{HolderAnswer, HolderQuestion, HolderStatus, MAX_QUESTION, Reply, read_piece},
};
use crate::{
    client::{ClientError, Home, Result},
    domain::ambient::Clock,
    platform::{
        self,
        holder::{self as system, HolderConnection, HolderListener},
    },
};
use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    pin::pin,
    process::{Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// How long a conversation may take in all.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it looks whether its time has passed or its socket is gone, while nobody asks.
const LOOK: Duration = Duration::from_secs(5);
/// The pause after a conversation that the system could not begin.
const PAUSE: Duration = Duration::from_millis(100);
/// The most conversations at a time.
const CONVERSATIONS: usize = 16;

const ENDED: &str = "the time for which the keys were held has passed";

/// Starts a holder as a process of its own by `program`, which has to call [`run`], and waits until it listens.
///
/// # Errors
/// Among others when another holder of the profile was faster.
pub fn start(mut program: Command, home: &Home, opened: OpenedKeys, limits: HoldLimits) -> Result<HolderStatus> {
    let place = SocketPlace::new(home, &opened.profile)?;
    let failed = |error: io::Error| {
        ClientError::local(format!("the process that holds the keys did not start: {error}"), "run the command again")
    };
    program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = program.spawn().map_err(failed)?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let (mut input, mut output) = (input.expect("it is a pipe"), output.expect("it is a pipe"));
    let handed_over = Handover { place, limits, opened }.write(&mut input);
    drop(input);
    // A process that refuses says why, and may do so before it has read everything.
    match Reply::read(&mut output).map(|reply| reply.answer) {
        Ok(HolderAnswer::Status(status)) => Ok(status),
        Ok(HolderAnswer::Refused { reason }) => Err(ClientError::local(reason, "see `entente unlock --status`")),
        Ok(_) => Err(failed(io::ErrorKind::InvalidData.into())),
        Err(error) => Err(failed(handed_over.err().unwrap_or(error))),
    }
}

/// The process that [`start`] started: takes the keys from its standard input, says on its standard output that it listens, and holds them
/// until `ending`.
///
/// # Errors
/// When it could not hold them; its standard output has said why.
pub async fn run(clock: Arc<dyn Clock>, ending: impl Future<Output = ()>) -> Result<()> {
    // Before there is anything to protect.
    let missing = system::harden();
    system::leave_session();
    let unread = |error: io::Error| ClientError::local(format!("no keys came: {error}"), "run `entente unlock`");
    let mut input = system::unbuffered_input().map_err(unread)?;
    let Handover { place, limits, opened } = Handover::read(&mut input).map_err(unread)?;
    drop(input);
    let say = |reply: Reply| reply.write(&mut io::stdout().lock());
    let holding = Holding::begin(place, opened, limits, &missing, clock);
    match holding {
        Ok(holding) => {
            // Nobody waits for it: the command was interrupted.
            say(HolderAnswer::Status(holding.status()).into()).map_err(unread)?;
            holding.serve(ending, system::admits).await;
            Ok(())
        }
        Err(error) => {
            say(HolderAnswer::Refused { reason: error.to_string() }.into()).map_err(unread)?;
            Err(error)
        }
    }
}

/// Holds keys in this process until `ending`; `ready` hears when it listens.
///
/// # Errors
/// Among others when another holder of the profile lives.
pub async fn hold(
    home: &Home,
    opened: OpenedKeys,
    limits: HoldLimits,
    clock: Arc<dyn Clock>,
    ending: impl Future<Output = ()>,
    ready: impl FnOnce(&HolderStatus),
) -> Result<()> {
    let missing = system::harden();
    let place = SocketPlace::new(home, &opened.profile)?;
    let holding = Holding::begin(place, opened, limits, &missing, clock)?;
    ready(&holding.status());
    holding.serve(ending, system::admits).await;
    Ok(())
}

/// Takes the lock of a holder, if no other one has it.
pub(super) fn take_lock(place: &SocketPlace) -> Result<Option<File>> {
    let path = place.lock_path();
    let lock = place.open_lock().map_err(|error| ClientError::io("make", &path, &error))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(ClientError::io("lock", &path, &error)),
    }
}

/// A holder that listens. Its keys are wiped when it goes.
struct Holding {
    listener: HolderListener,
    place: SocketPlace,
    secrets: Mutex<Option<HeldSecrets>>,
    clock: Arc<dyn Clock>,
    locked: Notify,
    _lock: File,
}

impl Holding {
    fn begin(
        place: SocketPlace,
        opened: OpenedKeys,
        limits: HoldLimits,
        missing: &[&str],
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>> {
        let (socket, profile) = (&place.socket, opened.profile.clone());
        let Some(lock) = take_lock(&place)? else {
            let what =
                format!("the keys of the profile `{profile}` are held already: another `entente unlock` was faster");
            return Err(ClientError::local(what, "see `entente unlock --status`"));
        };
        let secrets = HeldSecrets::new(opened, limits, missing, Moment::of(&*clock))?;
        // With the lock taken, a socket that is there is that of a holder that was killed.
        if let Err(error) = fs::remove_file(socket)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(ClientError::io("remove", socket, &error));
        }
        if let Some(folder) = socket.parent() {
            platform::make_private_folder(folder).map_err(|error| ClientError::io("make", folder, &error))?;
        }
        // In this order: one that listens is found.
        place.write_down()?;
        let listener = HolderListener::bind(socket).map_err(|error| {
            place.forget();
            let what = format!("cannot listen at `{}`: {error}", socket.display());
            ClientError::local(
                what,
                "log in so that `XDG_RUNTIME_DIR` is set, or use a home folder with a shorter name that is yours alone",
            )
        })?;
        let (secrets, locked) = (Mutex::new(Some(secrets)), Notify::new());
        Ok(Arc::new(Self { listener, place, secrets, clock, locked, _lock: lock }))
    }

    fn status(&self) -> HolderStatus {
        self.secrets().as_ref().expect("it has just begun").status()
    }

    fn secrets(&self) -> MutexGuard<'_, Option<HeldSecrets>> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers the accounts that it `admits` until its time has passed, somebody locks, the socket is gone, or `ending`.
    async fn serve(self: Arc<Self>, ending: impl Future<Output = ()>, admits: impl Fn(u32) -> bool) {
        let conversations = Arc::new(Semaphore::new(CONVERSATIONS));
        let mut ending = pin!(ending);
        while let Some(left) = self.left() {
            tokio::select! {
                () = &mut ending => break,
                () = self.locked.notified() => break,
                () = tokio::time::sleep(left.min(LOOK)) => {
                    if !self.listener.is_in_place() || !self.place.is_written_down() {
                        break;
                    }
                }
                // Waiting for a place is part of what is waited for: conversations that take their time hold up no end.
                (permit, accepted) = self.next(&conversations) => match accepted {
                    Ok((connection, account)) if admits(account) => {
                        let holding = self.clone();
                        tokio::task::spawn_blocking(move || {
                            holding.converse(connection);
                            // In this order: with the last permit the lock is free.
                            drop(holding);
                            drop(permit);
                        });
                    }
                    // Another account hears nothing.
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(PAUSE).await,
                },
            }
        }
        self.leave();
        *self.secrets() = None;
        // What was asked is answered; who asks and does not listen holds up nothing.
        let all = u32::try_from(CONVERSATIONS).expect("they are few");
        let _ = tokio::time::timeout(PAUSE, conversations.acquire_many(all)).await;
    }

    /// The next conversation, once there is a place for it.
    async fn next(
        &self,
        conversations: &Arc<Semaphore>,
    ) -> (OwnedSemaphorePermit, io::Result<(HolderConnection, u32)>) {
        let permit = conversations.clone().acquire_owned().await.expect("nobody closes it");
        (permit, self.listener.accept(PATIENCE).await)
    }

    /// Is found by nobody from here on.
    fn leave(&self) {
        self.listener.remove();
        self.place.forget();
    }

    /// The time that is left; none once nothing is held.
    fn left(&self) -> Option<Duration> {
        let now = Moment::of(&*self.clock);
        self.secrets().as_ref().and_then(|held| held.lease().left(now))
    }

    /// Answers one question.
    fn converse(&self, mut connection: HolderConnection) {
        let Ok(question) = read_piece(&mut connection, MAX_QUESTION) else { return };
        let reply = match HolderQuestion::parse(&question) {
            Ok(question) => self.answer(&question),
            Err(reason) => HolderAnswer::Refused { reason }.into(),
        };
        // One that does not wait for the answer has none.
        let _ = reply.write(&mut connection).and_then(|()| connection.flush());
        if self.secrets().is_none() {
            self.locked.notify_one();
        }
    }

    fn answer(&self, question: &HolderQuestion) -> Reply {
        let now = Moment::of(&*self.clock);
        let mut secrets = self.secrets();
        let Some(held) = secrets.as_mut().filter(|held| held.lease().left(now).is_some()) else {
            *secrets = None;
            return HolderAnswer::Refused { reason: ENDED.to_owned() }.into();
        };
        let reply = held.answer(question, now);
        if matches!(question, HolderQuestion::Lock {}) {
            // In this order: one that hears that it is locked finds no socket.
            *secrets = None;
            self.leave();
        }
        reply
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
