//! Files that are made for somebody else: there whole or not at all, and never over another one unless that is said.

use super::{
    context::Context,
    error::{CliError, Result},
};
use std::{io::Write, path::Path};

/// A path as an answer has it for programs. JSON is text: what of a name is none is shown by a sign in its place, for the act is done by then.
pub(super) fn path_text(path: &Path) -> String {
    path.display().to_string()
}

/// Whether a file of that name may be there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Earlier {
    Stays,
    IsReplaced,
}

/// Refuses a name under which a file is there already.
pub(super) fn require_new(path: &Path) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let message = format!("`{}` exists already", path.display());
    Err(CliError::usage(message).help("give it to its member, remove it, or choose another place with `--to`"))
}

/// Writes JSON that people can read.
pub(super) fn write_file(path: &Path, content: &impl serde::Serialize, earlier: Earlier) -> Result<()> {
    let text = serde_json::to_string_pretty(content).map_err(CliError::failed)? + "\n";
    write_text(path, &text, earlier)
}

/// Writes text.
pub(super) fn write_text(path: &Path, text: &str, earlier: Earlier) -> Result<()> {
    let failed = |error: &dyn std::fmt::Display| {
        CliError::failed(format!("cannot write `{}`: {error}", path.display())).help("choose another place with `--to`")
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder).map_err(|error| failed(&error))?;
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(|error| failed(&error))?;
    match earlier {
        Earlier::Stays => file.persist_noclobber(path).map(drop).map_err(|error| failed(&error.error)),
        Earlier::IsReplaced => file.persist(path).map(drop).map_err(|error| failed(&error.error)),
    }
}

/// Writes text to a new file, or prints it where none is named.
pub(super) fn write_or_print(context: &Context, text: &str, to: Option<&Path>) -> Result<()> {
    match to {
        Some(file) => {
            write_text(file, text, Earlier::Stays)?;
            context.out.done(&format!("wrote {}", file.display()))
        }
        None => context.out.bytes(text.as_bytes()),
    }
}
