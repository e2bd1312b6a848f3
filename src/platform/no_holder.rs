//! Windows: no process holds keys for others there. Named pipes with access lists of their own would be the way, and are not written.
//!
//! The names are those of the other systems, so that nothing outside `platform` differs; no value of these types exists.

use std::{
    convert::Infallible,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

pub(crate) use self::{AbsentConnection as HolderConnection, AbsentListener as HolderListener};

/// Whether keys can be held on this system.
pub(crate) const HOLDS_KEYS: bool = false;

/// The socket at which a holder of keys listens.
#[derive(Debug)]
pub(crate) struct AbsentListener(Infallible);

/// One side of a conversation with a holder of keys.
#[derive(Debug)]
pub(crate) struct AbsentConnection(Infallible);

impl AbsentListener {
    pub(crate) fn bind(_path: &Path) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[expect(clippy::unused_async, reason = "on other systems it waits")]
    pub(crate) async fn accept(&self, _patience: Duration) -> io::Result<(AbsentConnection, u32)> {
        match self.0 {}
    }

    pub(crate) fn is_in_place(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn remove(&self) {
        match self.0 {}
    }
}

impl AbsentConnection {
    /// As if nobody listened there.
    pub(crate) fn connect(_path: &Path, _patience: Duration) -> io::Result<Self> {
        Err(io::ErrorKind::NotFound.into())
    }
}

impl Read for AbsentConnection {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        match self.0 {}
    }
}

impl Write for AbsentConnection {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        match self.0 {}
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0 {}
    }
}

pub(crate) fn admits(_account: u32) -> bool {
    false
}

pub(crate) fn session_folder(_variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    None
}

pub(crate) fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

pub(crate) fn unbuffered_input() -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn leave_session() {}

pub(crate) fn harden() -> Vec<&'static str> {
    Vec::new()
}
