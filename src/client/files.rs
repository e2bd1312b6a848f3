//! Files of the member's folder: for their owner alone, and there whole or not at all.

use super::{ClientError, Result};
use crate::{platform, reading};
use std::{
    fmt::Display,
    fs,
    io::{self, Read, Write},
    path::Path,
};
use zeroize::Zeroizing;

/// The longest file with a private key, in bytes.
const MAX_KEY: u64 = 1 << 20;

/// The longest file with a password, in bytes.
const MAX_SECRET: usize = 4 << 10;

/// The content of a file, if it is there.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        content => content.map(Some).map_err(|error| ClientError::io("read", path, &error)),
    }
}

/// The content of a file with a private key, which nobody but its owner may be able to read: at this use, not only when the profile
/// was made. Windows does not show it by a mode, and there it is not checked.
pub(super) fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let failed = |error: io::Error| ClientError::io("read", path, &error);
    let file = fs::File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    check_private(path, &metadata, platform::service_credentials().as_deref())?;
    // Enough room from the start: growing would leave copies of the secret behind.
    let room = usize::try_from(metadata.len().min(MAX_KEY)).expect("a megabyte fits");
    let mut content = Zeroizing::new(Vec::with_capacity(room + 64));
    file.take(MAX_KEY + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 > MAX_KEY {
        let what = format!("`{}` is longer than 1 MiB; it is not a private key", path.display());
        return Err(ClientError::local(what, "check `private_key` of the profile"));
    }
    Ok(content)
}

fn check_private(path: &Path, metadata: &fs::Metadata, credentials: Option<&Path>) -> Result<()> {
    let Some(mode) = platform::mode_for_others(path, metadata, credentials) else { return Ok(()) };
    let what = format!("the private key `{}` can be read by others (mode {mode:04o})", path.display());
    let help =
        "run `chmod 600` on it; if others may have read it, have the certificate revoked and a new key certified";
    Err(ClientError::local(what, help))
}

/// The content of a small file with a password, which nobody but its owner may be able to read.
pub(super) fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let failed = |error: io::Error| ClientError::io("read", path, &error);
    let file = fs::File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if let Some(mode) = platform::mode_for_others(path, &metadata, platform::service_credentials().as_deref()) {
        let what = format!("`{}` holds a password and can be read by others (mode {mode:04o})", path.display());
        return Err(ClientError::local(what, "run `chmod 600` on it; if others may have read it, change the password"));
    }
    let mut content = Zeroizing::new(Vec::with_capacity(MAX_SECRET + 64));
    file.take(MAX_SECRET as u64 + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() > MAX_SECRET {
        let what = format!("`{}` is longer than {MAX_SECRET} bytes", path.display());
        return Err(ClientError::local(what, "name the file with the password"));
    }
    Ok(content)
}

/// Writes a file; a reader finds the earlier one meanwhile. It is on disk under its name then.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<()> {
    write_by(path, ".new-", content)
}

/// The same, by way of a file whose name begins like this, so that what a kill leaves of it is found.
pub(super) fn write_by(path: &Path, beginning: &str, content: &[u8]) -> Result<()> {
    let write = || -> io::Result<()> {
        let folder = path.parent().expect("every file of ours stands in a folder of ours");
        platform::make_private_folder(folder)?;
        let mut file = tempfile::Builder::new().prefix(beginning).tempfile_in(folder)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        platform::sync_folder(folder)
    };
    write().map_err(|error| ClientError::io("write", path, &error))
}

/// Refuses a path that is not UTF-8: a profile is text and cannot keep it.
pub(super) fn require_text(path: &Path) -> Result<()> {
    match path.to_str() {
        Some(_) => Ok(()),
        None => Err(ClientError::usage(
            format!("`{}` is not UTF-8, and a profile is text", path.display()),
            "choose another path, or rename the folder",
        )),
    }
}

/// Removes a file; whether there was one.
pub(super) fn remove(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(ClientError::io("remove", path, &error)),
    }
}

/// Puts the content of a file on the disk.
pub(super) fn sync(path: &Path) -> Result<()> {
    let synced = fs::File::options().write(true).open(path).and_then(|file| file.sync_all());
    synced.map_err(|error| ClientError::io("write", path, &error))
}

/// A file of ours that is not as we wrote it.
pub(super) fn damaged(path: &Path, error: &dyn Display) -> ClientError {
    let help = "somebody changed it; restore it from a copy, or remove it and confirm again what it held";
    ClientError::local(format!("`{}` is damaged: {}", path.display(), reading::worded(&error.to_string())), help)
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
