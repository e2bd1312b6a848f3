//! What is logged while a test runs, for the test to read.

use super::{config::LogConfig, logging::subscriber};
use std::{
    io,
    sync::{Arc, LazyLock, Mutex},
};
use tracing::{
    Dispatch,
    subscriber::{DefaultGuard, set_default},
};

/// Another subscriber beside a test's own: while there is one alone, `tracing` judges what a thread says first by that thread's, and
/// never passes it on to anybody again.
static BESIDE: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(tracing_subscriber::registry()));

/// Hears what this thread logs, until dropped.
pub(super) struct Heard {
    lines: Lines,
    _listening: DefaultGuard,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Heard {
    pub(super) fn listen(log: &LogConfig) -> Self {
        let lines = Lines::default();
        let writer = lines.clone();
        LazyLock::force(&BESIDE);
        Self { lines, _listening: set_default(subscriber(log, move || writer.clone())) }
    }

    /// All of it so far.
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
