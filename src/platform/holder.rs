//! What a process needs that holds keys for others of its account: a socket that its account alone reaches, and memory that is neither
//! dumped nor written to disk.
//!
//! Decides who is let in: the account of the process, by what the system says of the other side, and nobody else, the administrator
//! included. It must never report a protection that the system did not give: [`harden`] returns what is missing.

use rustix::{
    fs::Mode,
    process::{Resource, Rlimit, chdir, geteuid, setrlimit, setsid, umask},
};
use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::{
        fd::AsFd,
        unix::{
            fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt},
            net::UnixStream,
        },
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::net::UnixListener;

/// Whether keys can be held on this system.
pub(crate) const HOLDS_KEYS: bool = true;

/// The longest path of a socket that every system takes, in bytes.
const MAX_SOCKET_PATH: usize = 103;

/// Locked memory that is enough for the whole process, in bytes. With less, a later request for memory would fail.
#[cfg(target_os = "linux")]
const ENOUGH_LOCKED: u64 = 1 << 30;

/// The socket at which a holder of keys listens.
#[derive(Debug)]
pub(crate) struct HolderListener {
    listener: UnixListener,
    path: PathBuf,
    /// Device and number of the socket's file.
    file: (u64, u64),
}

/// One side of a conversation with a holder of keys, which ends at its deadline, however it is spread over reads and writes.
#[derive(Debug)]
pub(crate) struct HolderConnection {
    stream: UnixStream,
    deadline: Instant,
}

impl HolderListener {
    /// Listens at a path whose file is not there, in a folder of this account alone.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        if path.as_os_str().len() > MAX_SOCKET_PATH {
            return Err(io::Error::new(io::ErrorKind::InvalidFilename, "the path is too long for a socket"));
        }
        require_own_folder(path)?;
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self { listener, path: path.to_owned(), file: (metadata.dev(), metadata.ino()) })
    }

    /// The next conversation, and the number of the account on its other side. All of it may take as long as `patience`.
    pub(crate) async fn accept(&self, patience: Duration) -> io::Result<(HolderConnection, u32)> {
        let (stream, _) = self.listener.accept().await?;
        let peer = stream.peer_cred()?.uid();
        Ok((HolderConnection::patient(stream.into_std()?, patience)?, peer))
    }

    /// Whether others still find this socket under its path.
    pub(crate) fn is_in_place(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.file)
    }

    /// Removes the socket's file, if it is still this socket's.
    pub(crate) fn remove(&self) {
        if self.is_in_place() {
            // What is left is refused by the system when somebody connects, and removed by the next holder.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl HolderConnection {
    /// Connects to the socket at a path, if it is this account's own and in a folder of this account alone.
    pub(crate) fn connect(path: &Path, patience: Duration) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        require_own_folder(path)?;
        if !metadata.file_type().is_socket() || !admits(metadata.uid()) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is not a socket of this account"));
        }
        Self::patient(UnixStream::connect(path)?, patience)
    }

    fn patient(stream: UnixStream, patience: Duration) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        Ok(Self { stream, deadline: Instant::now() + patience })
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for HolderConnection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buffer)
    }
}

impl Write for HolderConnection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Whether an account may talk to a process of this one: it is the same.
pub(crate) fn admits(account: u32) -> bool {
    is_same(account, geteuid().as_raw())
}

fn is_same(account: u32, own: u32) -> bool {
    account == own
}

/// The folder for this program's sockets that the system made for the account's session, if it is there and the account's alone.
pub(crate) fn session_folder(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let folder = variable("XDG_RUNTIME_DIR")?;
    (folder.is_absolute() && is_of_this_account_alone(&folder)).then(|| folder.join("entente"))
}

/// Whether the file at a path stands in a folder that no other account can use.
fn require_own_folder(path: &Path) -> io::Result<()> {
    if path.parent().is_some_and(is_of_this_account_alone) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "its folder is not for this account alone (mode 0700)"))
}

fn is_of_this_account_alone(folder: &Path) -> bool {
    fs::symlink_metadata(folder)
        .is_ok_and(|found| found.is_dir() && admits(found.uid()) && found.permissions().mode().trailing_zeros() >= 6)
}

/// The file that the holder of a socket keeps locked, made if it is not there.
pub(crate) fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Standard input, without a buffer in which what was read stays.
pub(crate) fn unbuffered_input() -> io::Result<File> {
    Ok(io::stdin().as_fd().try_clone_to_owned()?.into())
}

/// Leaves the terminal that the process was started from, and the folder.
pub(crate) fn leave_session() {
    // A process that leads a group already stays in its session, and that is all.
    let _ = setsid();
    let _ = chdir("/");
}

/// Keeps the memory of this process from files and from other programs of the account, as far as the system does that. What it does not do.
pub(crate) fn harden() -> Vec<&'static str> {
    let mut missing = Vec::new();
    umask(Mode::from_raw_mode(0o077));
    if setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).is_err() {
        missing.push("core dumps could not be turned off: after a crash the keys may be in a file");
    }
    missing.extend(hide_memory());
    missing.extend(lock_memory());
    missing
}

/// No program of this account may look into the process, and no dump of it is written.
#[cfg(target_os = "linux")]
fn hide_memory() -> Option<&'static str> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    let hidden = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    hidden.is_err().then_some("other programs of this account can look into the memory that holds the keys")
}

#[cfg(not(target_os = "linux"))]
fn hide_memory() -> Option<&'static str> {
    Some(
        "other programs of this account may be able to look into the memory that holds the keys: this system was not asked to prevent it",
    )
}

/// All memory of the process, present and future, stays out of swap space. It is all or nothing: libraries copy keys where they like.
#[cfg(target_os = "linux")]
fn lock_memory() -> Option<&'static str> {
    use rustix::{
        mm::{MlockAllFlags, mlockall},
        process::getrlimit,
    };
    const NOT_LOCKED: &str = "memory is not locked, so the keys may be written to swap space: encrypt it, or let this account lock memory \
                              (`ulimit -l unlimited`, `LimitMEMLOCK=infinity`)";
    let limit = getrlimit(Resource::Memlock).maximum;
    if limit.is_some_and(|limit| limit < ENOUGH_LOCKED) && !geteuid().is_root() {
        return Some(NOT_LOCKED);
    }
    // What may be locked is more than what is locked by default.
    let _ = setrlimit(Resource::Memlock, Rlimit { current: limit, maximum: limit });
    let locked = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT);
    locked.is_err().then_some(NOT_LOCKED)
}

#[cfg(not(target_os = "linux"))]
fn lock_memory() -> Option<&'static str> {
    Some("memory is not locked, so the keys may be written to swap space: encrypt it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn private_folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        folder
    }

    #[test]
    fn other_account_is_not_let_in_the_administrator_included() {
        let own = geteuid().as_raw();
        assert!(admits(own));
        for (account, holder) in [(1000, 1001), (0, 1000), (1000, 0)] {
            assert!(!is_same(account, holder), "{account} at the socket of {holder}");
        }
    }

    #[tokio::test]
    async fn socket_is_for_its_account_alone_and_tells_who_connects() {
        let folder = private_folder();
        let path = folder.path().join("s.sock");
        let listener = HolderListener::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut caller = HolderConnection::connect(&path, Duration::from_mins(1)).unwrap();
        let (mut holder, peer) = listener.accept(Duration::from_mins(1)).await.unwrap();
        assert!(admits(peer));
        caller.write_all(b"hello").unwrap();
        let mut heard = [0; 5];
        holder.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"hello");
        listener.remove();
        assert!(!path.exists() && !listener.is_in_place());
    }

    #[tokio::test]
    async fn conversation_ends_at_its_deadline_even_if_something_comes_now_and_then() {
        let folder = private_folder();
        let path = folder.path().join("s.sock");
        let listener = HolderListener::bind(&path).unwrap();
        let mut caller = HolderConnection::connect(&path, Duration::from_mins(1)).unwrap();
        let (mut holder, _) = listener.accept(Duration::from_millis(300)).await.unwrap();
        let began = Instant::now();
        let drips = std::thread::spawn(move || {
            let (_never, pause) = std::sync::mpsc::channel::<()>();
            while caller.write_all(b"x").is_ok() && began.elapsed() < Duration::from_secs(20) {
                let _ = pause.recv_timeout(Duration::from_millis(20));
            }
        });
        let refused = holder.read_exact(&mut [0; 4096]).unwrap_err();
        assert!(matches!(refused.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock), "{refused}");
        assert!(began.elapsed() < Duration::from_secs(10));
        assert_eq!(holder.write(b"x").unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(holder);
        drips.join().unwrap();
    }

    #[tokio::test]
    async fn folder_that_others_can_use_has_no_socket() {
        let folder = private_folder();
        let path = folder.path().join("s.sock");
        let listener = HolderListener::bind(&path).unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let refused = HolderConnection::connect(&path, Duration::from_mins(1)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        drop(listener);
        let refused = HolderListener::bind(&folder.path().join("t.sock")).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn file_that_is_no_socket_is_not_connected_to() {
        let folder = private_folder();
        let path = folder.path().join("s.sock");
        fs::write(&path, "").unwrap();
        let refused = HolderConnection::connect(&path, Duration::from_mins(1)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    }

    #[tokio::test]
    async fn path_that_is_too_long_is_told() {
        let folder = private_folder();
        let refused = HolderListener::bind(&folder.path().join("x".repeat(120))).unwrap_err();
        assert!(refused.to_string().contains("too long"), "{refused}");
    }

    #[test]
    fn folder_of_the_session_counts_only_where_it_is_the_accounts_alone() {
        let folder = private_folder();
        let of = |path: &Path| session_folder(|name| (name == "XDG_RUNTIME_DIR").then(|| path.to_owned()));
        assert_eq!(of(folder.path()), Some(folder.path().join("entente")));
        assert_eq!(of(Path::new("relative")), None);
        assert_eq!(of(&folder.path().join("missing")), None);
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        assert_eq!(of(folder.path()), None);
        assert_eq!(session_folder(|_| None), None);
    }
}
