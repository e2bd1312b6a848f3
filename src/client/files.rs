//! Files of the member's folder: for their owner alone, and there whole or not at all.

use super::{ClientError, Result};
use std::{
    env,
    fmt::Display,
    fs,
    io::{self, Read, Write},
    path::Path,
};
use zeroize::Zeroizing;

/// The longest file with a private key, in bytes.
const MAX_KEY: u64 = 1 << 20;
/// The environment variable in which systemd names the folder with a service's credentials.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// The content of a file, if it is there.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        content => content.map(Some).map_err(|error| ClientError::io("read", path, &error)),
    }
}

/// The content of a file with a private key, which nobody but its owner may be able to read: at this use, not only when the profile
/// was made.
pub(super) fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let failed = |error: io::Error| ClientError::io("read", path, &error);
    let file = fs::File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    check_private(path, &metadata, env::var_os(CREDENTIALS).as_deref().map(Path::new))?;
    // Enough room from the start: growing would leave copies of the secret behind.
    let room = usize::try_from(metadata.len().min(MAX_KEY)).expect("a megabyte fits");
    let mut content = Zeroizing::new(Vec::with_capacity(room + 64));
    file.take(MAX_KEY + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 > MAX_KEY {
        let what = format!("`{}` is longer than 1 MiB; that is no private key", path.display());
        return Err(ClientError::local(what, "check `private_key` of the profile"));
    }
    Ok(content)
}

#[cfg(unix)]
fn check_private(path: &Path, metadata: &fs::Metadata, credentials: Option<&Path>) -> Result<()> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777;
    // systemd lets a service read its credentials by an access list, whose mask is shown as the bits of the group.
    let is_credential = credentials.is_some_and(|folder| folder.is_absolute() && path.parent() == Some(folder));
    let of_others = if is_credential { 0o037 } else { 0o077 };
    if mode & of_others == 0 {
        return Ok(());
    }
    let what = format!("the private key `{}` can be read by others (mode {mode:04o})", path.display());
    let help =
        "run `chmod 600` on it; if others may have read it, have the certificate revoked and a new key certified";
    Err(ClientError::local(what, help))
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere there are modes to look at")]
fn check_private(_path: &Path, _metadata: &fs::Metadata, _credentials: Option<&Path>) -> Result<()> {
    Ok(())
}

/// Writes a file; a reader finds the earlier one meanwhile. It is on disk under its name then.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<()> {
    let write = || -> io::Result<()> {
        let folder = path.parent().expect("every file of ours stands in a folder of ours");
        make_private(folder)?;
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        sync_folder(folder)
    };
    write().map_err(|error| ClientError::io("write", path, &error))
}

/// Has a folder on disk as it is, so that no name that a file got in it is lost with the power.
#[cfg(unix)]
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = match fs::File::open(folder) {
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

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere folders can be synced")]
pub(super) fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

/// Removes a file; whether there was one.
pub(super) fn remove(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(ClientError::io("remove", path, &error)),
    }
}

/// A file of ours that is not as we wrote it.
pub(super) fn damaged(path: &Path, error: &dyn Display) -> ClientError {
    let help = "somebody changed it; restore it from a copy, or remove it and confirm what it held anew";
    ClientError::local(format!("`{}` is damaged: {error}", path.display()), help)
}

/// Makes a folder, and those above it that are missing, for its owner alone.
pub(super) fn make_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// The names, without extension, of the files in a folder.
pub(super) fn names(folder: &Path, extension: &str) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| ClientError::io("read", folder, &error))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| ClientError::io("read", folder, &error))?.path();
        if path.extension().is_some_and(|found| found == extension)
            && let Some(stem) = path.file_stem().and_then(|stem| stem.to_str())
        {
            names.push(stem.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn private_key_is_read_while_nobody_else_can() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("avi.key");
        fs::write(&path, b"secret").unwrap();
        let set = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let check = |credentials| check_private(&path, &fs::metadata(&path).unwrap(), credentials);
        for mode in [0o640, 0o604, 0o620] {
            set(mode);
            let refused = read_private(&path).unwrap_err();
            assert!(refused.to_string().contains(&format!("mode {mode:04o}")), "{refused}");
        }
        set(0o440);
        assert!(check(None).is_err() && check(Some(folder.path())).is_ok(), "a credential of a service");
        set(0o600);
        assert_eq!(*read_private(&path).unwrap(), b"secret");
    }
}
