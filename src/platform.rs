//! What the client does in another way on each system: where its folder is, who else may use its files, how names reach the disk,
//! what a console shows and how much room a program has.
//!
//! Decides by `cfg(unix)` and `cfg(windows)`. Nothing else in the client does, but for the signals (`cli::signals`) and tests. It must
//! never report something as private that it has not checked: [`UNCHECKED`] says what a system leaves open. [`holder`] has what a process
//! that holds keys needs, [`loopback`] who is on the other side of a connection.

pub(crate) mod browser;
#[cfg(unix)]
pub(crate) mod holder;
#[cfg(windows)]
#[path = "platform/no_holder.rs"]
pub(crate) mod holder;
pub(crate) mod loopback;

use std::{
    env,
    fs::{self, DirBuilder, File, Metadata, OpenOptions},
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The environment variable in which systemd names the folder with a service's credentials.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// What is not checked on this system, and what to do about it.
pub(crate) const UNCHECKED: Option<&str> = match SYSTEM {
    System::Unix => None,
    System::Windows => Some(
        "on Windows it is not checked which other accounts can read key files: keep them in a folder of your own account, such as the home \
         folder, and protect them by a passphrase",
    ),
};

/// The system that the program was built for.
const SYSTEM: System = if cfg!(windows) { System::Windows } else { System::Unix };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum System {
    /// Linux and macOS.
    Unix,
    Windows,
}

/// The folder in which programs keep an account's settings, by the environment.
pub(crate) fn settings_folder(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    settings_folder_of(SYSTEM, variable)
}

fn settings_folder_of(system: System, variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    match system {
        System::Unix => variable("XDG_CONFIG_HOME").or_else(|| variable("HOME").map(|home| home.join(".config"))),
        // Not `APPDATA`: Windows copies that folder to other machines, and keys stay on this one. Not `HOME`: some shells set it and
        // some do not, and the folder is the same in all.
        System::Windows => variable("LOCALAPPDATA")
            .or_else(|| variable("USERPROFILE").map(|profile| profile.join("AppData").join("Local"))),
    }
}

/// The folder with the credentials that systemd gave to this service.
pub(crate) fn service_credentials() -> Option<PathBuf> {
    env::var_os(CREDENTIALS).map(PathBuf::from)
}

/// The mode of a file with a secret, if others than its owner may read or change it. `credentials` is the folder in which systemd puts
/// the files of a service.
#[cfg(unix)]
pub(crate) fn mode_for_others(path: &Path, metadata: &Metadata, credentials: Option<&Path>) -> Option<u32> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777;
    // systemd lets a service read its credentials by an access list, whose mask is shown as the bits of the group.
    let is_credential = credentials.is_some_and(|folder| folder.is_absolute() && path.parent() == Some(folder));
    let of_others = if is_credential { 0o037 } else { 0o077 };
    (mode & of_others != 0).then_some(mode)
}

/// None: a file has an access list there, which is not read ([`UNCHECKED`]).
#[cfg(windows)]
pub(crate) fn mode_for_others(_path: &Path, _metadata: &Metadata, _credentials: Option<&Path>) -> Option<u32> {
    None
}

/// Makes a new file that its owner alone may use. On Windows it gets the access list of its folder.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    create(path, 0o600)
}

/// Makes a new file that everybody may read.
pub(crate) fn create_public(path: &Path) -> io::Result<File> {
    create(path, 0o644)
}

fn create(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(windows)]
    let _ = mode;
    options.open(path)
}

/// Makes a folder, and those above it that are missing, for its owner alone. On Windows they get the access list of the folder that is
/// there: of an account's own settings, that is the account, its administrators and the system.
pub(crate) fn make_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Has a folder on disk as it is, so that no name that a file got in it is lost with the power.
#[cfg(unix)]
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = match File::open(folder) {
        // One that takes files and does not show them cannot be opened.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
        folder => folder?,
    };
    match folder.sync_all() {
        // Some file systems know no such thing of a folder.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}

/// Windows has no such call for a folder. NTFS writes names to its own journal: after a loss of power the last of them can be missing.
#[cfg(windows)]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere folders can be synced")]
pub(crate) fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

/// The number of the device that something is on, where devices have one.
#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "on Windows devices have no number")]
pub(crate) fn device_of(metadata: &Metadata) -> Option<u64> {
    Some(std::os::unix::fs::MetadataExt::dev(metadata))
}

#[cfg(windows)]
pub(crate) fn device_of(_metadata: &Metadata) -> Option<u64> {
    None
}

/// The path that has this encoding ([`OsStr::as_encoded_bytes`](std::ffi::OsStr::as_encoded_bytes)).
#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "on Windows some paths have no bytes that could be read back")]
pub(crate) fn path_of(bytes: &[u8]) -> Option<PathBuf> {
    let path: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(bytes);
    Some(PathBuf::from(path))
}

/// None for a path that is not Unicode: only unsafe code could read it back.
#[cfg(windows)]
pub(crate) fn path_of(bytes: &[u8]) -> Option<PathBuf> {
    str::from_utf8(bytes).ok().map(PathBuf::from)
}

/// The full path of something that is there.
#[cfg(unix)]
pub(crate) fn full_path(path: &Path) -> io::Result<PathBuf> {
    fs::canonicalize(path)
}

/// Links stay in it: a path that Windows resolved begins with `\\?\`, which few other programs take.
#[cfg(windows)]
pub(crate) fn full_path(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    fs::metadata(&path)?;
    Ok(path)
}

/// Whether a terminal takes the escape sequences of colours. Windows has to be asked to, each time that a program starts.
pub(crate) fn takes_colours() -> bool {
    #[cfg(windows)]
    let takes = anstyle_query::windows::enable_ansi_colors().unwrap_or(false);
    #[cfg(unix)]
    let takes = true;
    takes
}

/// Runs the program with 8 MiB of stack, which the first thread has on other systems. On Windows it has 1 MiB, and reading the command
/// line takes more than half of that in a build without optimisation.
#[cfg(windows)]
pub(crate) fn with_stack(run: fn() -> ExitCode) -> ExitCode {
    match std::thread::Builder::new().stack_size(8 << 20).spawn(run) {
        Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        Err(_) => run(),
    }
}

#[cfg(unix)]
pub(crate) fn with_stack(run: fn() -> ExitCode) -> ExitCode {
    run()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(system: System, set: &[(&str, &str)]) -> Option<PathBuf> {
        settings_folder_of(system, |name| {
            set.iter().find(|(variable, _)| *variable == name).map(|(_, value)| PathBuf::from(value))
        })
    }

    #[test]
    fn settings_of_unix_are_where_xdg_says_or_below_home() {
        let home = ("HOME", "/home/avi");
        assert_eq!(found(System::Unix, &[home]), Some("/home/avi/.config".into()));
        assert_eq!(found(System::Unix, &[home, ("XDG_CONFIG_HOME", "/etc/avi")]), Some("/etc/avi".into()));
        assert_eq!(found(System::Unix, &[("LOCALAPPDATA", "/x"), ("USERPROFILE", "/y")]), None);
    }

    #[test]
    fn settings_of_windows_stay_on_the_machine_and_are_the_same_in_every_shell() {
        let profile = ("USERPROFILE", r"C:\Users\avi");
        let local = Path::new(profile.1).join("AppData").join("Local");
        assert_eq!(found(System::Windows, &[profile]), Some(local));
        let set = [profile, ("LOCALAPPDATA", r"D:\avi"), ("APPDATA", r"E:\avi"), ("HOME", "/c/Users/avi")];
        assert_eq!(found(System::Windows, &set), Some(r"D:\avi".into()));
        assert_eq!(found(System::Windows, &[("HOME", "/c/Users/avi"), ("XDG_CONFIG_HOME", "/c/x")]), None);
    }

    #[test]
    fn path_reads_back_from_its_bytes() {
        let path = Path::new("a").join("\u{5d0} b");
        assert_eq!(path_of(path.as_os_str().as_encoded_bytes()), Some(path));
    }

    #[test]
    fn full_path_is_of_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let full = full_path(folder.path()).unwrap();
        assert!(full.is_absolute() && full.is_dir());
        assert_eq!(full_path(&folder.path().join("gone")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn new_file_is_never_made_over_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("me.key");
        create_private(&path).unwrap();
        assert_eq!(create_public(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }

    #[cfg(unix)]
    #[test]
    fn files_and_folders_are_made_for_whom_they_are() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let [own, key, certificate] = ["own", "own/avi.key", "own/avi.crt"].map(|name| folder.path().join(name));
        make_private_folder(&own).unwrap();
        create_private(&key).unwrap();
        create_public(&certificate).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&own), mode(&key), mode(&certificate) & !0o644), (0o700, 0o600, 0));
        sync_folder(&own).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn mode_for_others_is_the_mode_of_a_file_that_is_not_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("avi.key");
        create_private(&path).unwrap();
        let of = |mode, credentials| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            mode_for_others(&path, &fs::metadata(&path).unwrap(), credentials)
        };
        assert_eq!(
            [0o600, 0o400, 0o640, 0o604, 0o620].map(|mode| of(mode, None)),
            [None, None, Some(0o640), Some(0o604), Some(0o620)]
        );
        let here = Some(folder.path());
        assert_eq!([0o440, 0o460, 0o444].map(|mode| of(mode, here)), [None, Some(0o460), Some(0o444)]);
        assert_eq!(of(0o440, Some(&folder.path().join("elsewhere"))), Some(0o440));
    }
}
