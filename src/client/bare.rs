//! A bare age file: opened with identities of one's own choice, without a profile and without an exchange. So others can check by their own
//! files how this program reads the format.

use super::{ClientError, Home, Result, unfinished::Unfinished};
use crate::sealing::{
    identity::{Keyring, Prompt},
    seal::{Opened, SealError, open_bytes, open_signed},
};
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// More plaintext than this is written to a file and not kept in memory, in bytes.
pub const MAX_IN_MEMORY: usize = 64 << 20;

/// The identities of these files together.
///
/// # Errors
/// When one of them cannot be read, or `prompt` gives no passphrase for it.
pub fn keyring(files: &[PathBuf], prompt: &impl Prompt) -> Result<Keyring> {
    let mut keyring = Keyring::new();
    for file in files {
        keyring.add(Keyring::load(file, prompt)?);
    }
    Ok(keyring)
}

/// The plaintext, proven to its end.
///
/// # Errors
/// When it cannot be read or opened, or is longer than [`MAX_IN_MEMORY`].
pub fn open(keyring: &Keyring, sealed: &Path) -> Result<Zeroizing<Vec<u8>>> {
    // The header and the tags of chunks take less than as much again.
    let mut content = Vec::new();
    reader(sealed)?.take(2 * MAX_IN_MEMORY as u64).read_to_end(&mut content).map_err(|error| unread(sealed, &error))?;
    open_bytes(&keyring.identities(), &content, MAX_IN_MEMORY).map_err(unopened)
}

/// Writes the plaintext to a new file, which is there only once it is proven to its end.
///
/// # Errors
/// When it cannot be read, opened or written, or the file is there already.
pub fn open_into(home: &Home, keyring: &Keyring, sealed: &Path, output: &Path) -> Result<Opened> {
    let unwritten = |error: io::Error| {
        let what = format!("cannot write `{}`: {error}", output.display());
        ClientError::local(what, "choose a new name in a folder that you can write to")
    };
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut unfinished = Unfinished::begin(home, folder)?;
    let opened = open_signed(&keyring.identities(), reader(sealed)?, unfinished.file(), None, &mut |_| ());
    let opened = opened.map_err(unopened)?;
    unfinished.finish_new(output).map_err(unwritten)?;
    Ok(opened)
}

/// What to do next where there is neither a profile nor an exchange.
fn unopened(error: SealError) -> ClientError {
    let what = error.to_string();
    match error {
        SealError::NoMatchingIdentity => {
            ClientError::local(what, "name the identity that it is sealed to with `--identity`")
        }
        SealError::TooLarge(_) => ClientError::local(what, "write it into a file with `--output`"),
        SealError::Damaged | SealError::Truncated | SealError::Shape(_) => {
            ClientError::unverified(what, "nothing was written; get the file again from its sender")
        }
        other => other.into(),
    }
}

fn reader(sealed: &Path) -> Result<Box<dyn Read>> {
    if sealed.as_os_str() == "-" {
        return Ok(Box::new(io::stdin().lock()));
    }
    Ok(Box::new(File::open(sealed).map_err(|error| unread(sealed, &error))?))
}

fn unread(sealed: &Path, error: &io::Error) -> ClientError {
    ClientError::local(format!("cannot read `{}`: {error}", sealed.display()), "check the name and its permissions")
}
