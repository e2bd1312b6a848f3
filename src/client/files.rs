//! Files of the member's folder: for their owner alone, and there whole or not at all.

use super::{ClientError, Result};
use std::{
    fmt::Display,
    fs,
    io::{self, Write},
    path::Path,
};

/// The content of a file, if it is there.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        content => content.map(Some).map_err(|error| ClientError::io("read", path, &error)),
    }
}

/// Writes a file; whoever reads it meanwhile finds the earlier one.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<()> {
    let write = || -> io::Result<()> {
        let folder = path.parent().expect("every file of ours stands in a folder of ours");
        make_private(folder)?;
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(|error| ClientError::io("write", path, &error))
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
