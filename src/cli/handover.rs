//! Files that are made for somebody else: whole, and never over another one.

use super::error::{CliError, Result};
use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::Path,
};

/// Writes JSON that people can read.
pub(super) fn write_file(path: &Path, content: &impl serde::Serialize) -> Result<()> {
    let failed = |error: io::Error| {
        let help = "choose another name with `--to`";
        CliError::failed(format!("cannot write `{}`: {error}", path.display())).help(help)
    };
    let text = serde_json::to_string_pretty(content).map_err(CliError::failed)? + "\n";
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}
