//! A relay between a server and PostgreSQL that fails on command: before or after a commit has reached the database, or
//! by falling silent without closing anything, as a network does that has lost one of its ends.
//!
//! It runs on a thread of its own, so that its end is the end of its connections, whatever the test's runtime does: a database
//! that is kept from sending holds up others that are dropped. Must never change a byte of what it forwards.

use super::postgres::Database;
use std::{
    future::pending,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    sync::{Notify, oneshot},
    task::JoinSet,
};

/// When to cut the connection on which a commit comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The database never hears of the commit.
    Commit,
    /// The database has committed and said so; nobody hears that.
    Answer,
    /// The same, and no connection is taken after it until [`Relay::open`].
    AnswerAndLater,
}

#[derive(Debug, Default)]
struct State {
    /// What to do at the commit of the unit of work in which these bytes were sent.
    due: Mutex<Option<(Vec<u8>, Cut)>>,
    /// Which bytes to the database never arrive, and nothing after them.
    silent_at: Mutex<Option<Vec<u8>>>,
    /// Told when a connection falls silent.
    fell_silent: Notify,
    /// How often all connections were made to fall silent.
    silences: AtomicU64,
    is_closed: AtomicBool,
}

/// A relay; gone when dropped.
#[derive(Debug)]
pub(crate) struct Relay {
    port: u16,
    name: String,
    state: Arc<State>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    pub(crate) async fn start(database: &Database) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap().into_std().unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let (of_thread, socket) = (state.clone(), database.cluster.folder.join(".s.PGSQL.5432"));
        let (end, ended) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = accept(listener, socket, of_thread) => {}
                    _ = ended => {}
                }
            });
        });
        Self { port, name: database.name.clone(), state, end: Some(end), thread: Some(thread) }
    }

    /// The address by which the database is reached through here.
    pub(crate) fn url(&self) -> String {
        format!("postgres://entente@127.0.0.1:{}/{}?sslmode=disable", self.port, self.name)
    }

    /// Cuts at the commit of the next unit of work in which `sign` was sent to the database.
    pub(crate) fn cut(&self, sign: &str, cut: Cut) {
        *self.state.due.lock().unwrap() = Some((sign.as_bytes().to_vec(), cut));
    }

    /// Whether the cut that was ordered has happened.
    pub(crate) fn has_cut(&self) -> bool {
        self.state.due.lock().unwrap().is_none()
    }

    /// From here on nothing passes on any connection that there is, and none of them ends. New ones work.
    pub(crate) fn fall_silent(&self) {
        self.state.silences.fetch_add(1, Ordering::SeqCst);
        self.state.fell_silent.notify_one();
    }

    /// The same on the connection on which these bytes come, before they reach the database.
    pub(crate) fn fall_silent_at(&self, sign: &str) {
        *self.state.silent_at.lock().unwrap() = Some(sign.as_bytes().to_vec());
    }

    /// Waits until a connection falls silent.
    pub(crate) async fn fell_silent(&self) {
        self.state.fell_silent.notified().await;
    }

    /// Whether the bytes have come at which one was to fall silent.
    pub(crate) fn is_silent(&self) -> bool {
        self.state.silent_at.lock().unwrap().is_none()
    }

    /// Ends whatever connects from here on, without a word.
    pub(crate) fn close(&self) {
        self.state.is_closed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn open(&self) {
        self.state.is_closed.store(false, Ordering::SeqCst);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        drop(self.end.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

async fn accept(listener: TcpListener, database: PathBuf, state: Arc<State>) {
    // Aborted with this task.
    let mut connections = JoinSet::new();
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        if state.is_closed.load(Ordering::SeqCst) {
            continue;
        }
        client.set_nodelay(true).unwrap();
        let (database, state) = (database.clone(), state.clone());
        let born = state.silences.load(Ordering::SeqCst);
        connections.spawn(async move {
            let Ok(mut server) = UnixStream::connect(database).await else { return };
            carry(&mut client, &mut server, &state, born).await;
        });
    }
}

/// Forwards until one side ends or the commit comes at which to cut.
async fn carry(client: &mut TcpStream, server: &mut UnixStream, state: &State, born: u64) {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let is_cutting = AtomicBool::new(false);
    // Silent: neither bytes nor an end go through.
    let unless_silent = async || {
        if state.silences.load(Ordering::SeqCst) > born {
            pending::<()>().await;
        }
    };
    let up = async {
        let (mut bytes, mut sent) = (vec![0; 64 << 10], Vec::new());
        loop {
            let len = from_client.read(&mut bytes).await.unwrap_or(0);
            unless_silent().await;
            if len == 0 {
                return;
            }
            if state.silent_at.lock().unwrap().take_if(|sign| holds(&bytes[..len], sign)).is_some() {
                state.fell_silent.notify_one();
                return pending().await;
            }
            sent.extend_from_slice(&bytes[..len]);
            // What was sent before was of a unit of work that has ended; one that is rolled back sends no commit.
            if let Some(begun) = sent.windows(BEGIN.len()).rposition(|window| window == BEGIN) {
                sent.drain(..begun);
            }
            if holds(&bytes[..len], COMMIT) {
                match due(state, &sent) {
                    Some(Cut::Commit) => return,
                    Some(_) => is_cutting.store(true, Ordering::SeqCst),
                    None => {}
                }
                sent.clear();
            }
            if to_server.write_all(&bytes[..len]).await.is_err() {
                return;
            }
        }
    };
    let down = async {
        let mut bytes = vec![0; 64 << 10];
        loop {
            let len = from_server.read(&mut bytes).await.unwrap_or(0);
            unless_silent().await;
            // Nothing was under way when the commit was sent, so what comes after it is its answer.
            if len == 0 || is_cutting.load(Ordering::SeqCst) || to_client.write_all(&bytes[..len]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}

/// How every unit of work begins.
const BEGIN: &[u8] = b"BEGIN ISOLATION LEVEL";

/// A simple query of the protocol: its letter, its length, its text.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

fn due(state: &State, sent: &[u8]) -> Option<Cut> {
    let mut due = state.due.lock().unwrap();
    let (_, cut) = due.take_if(|(sign, _)| holds(sent, sign))?;
    if cut == Cut::AnswerAndLater {
        state.is_closed.store(true, Ordering::SeqCst);
    }
    Some(cut)
}

fn holds(bytes: &[u8], sign: &[u8]) -> bool {
    bytes.windows(sign.len()).any(|window| window == sign)
}
