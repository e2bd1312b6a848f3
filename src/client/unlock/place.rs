//! Where the holder of a profile's keys listens: one socket for each home folder and profile, so that nobody asks the holder of another one.

use crate::{
    client::{ClientError, Home, Result},
    domain::id::Sha256,
    platform::{self, holder},
};
use std::{
    env,
    fs::File,
    io,
    path::{Path, PathBuf},
};

/// The letters of a digest that name a socket: paths of sockets are short, and two profiles of one account have to differ.
const NAME: usize = 16;

/// Where the holder of a profile's keys listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SocketPlace {
    pub(super) socket: PathBuf,
}

impl SocketPlace {
    /// That of a profile: in the folder of the session if there is one, else in the home folder.
    pub(super) fn of(home: &Home, profile: &str) -> Result<Self> {
        let root = home.root();
        let full = platform::full_path(root).map_err(|error| ClientError::io("find", root, &error))?;
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = holder::session_folder(variable).unwrap_or_else(|| full.join("unlocked"));
        Ok(Self { socket: folder.join(format!("{}.sock", name(&full, profile))) })
    }

    /// The lock that the holder keeps as long as it lives.
    ///
    /// # Errors
    /// When the folder cannot be made, or is not for this account alone.
    pub(super) fn open_lock(&self) -> io::Result<File> {
        if let Some(folder) = self.socket.parent() {
            platform::make_private_folder(folder)?;
        }
        holder::open_lock(&self.lock_path())
    }

    /// The path of the lock.
    pub(super) fn lock_path(&self) -> PathBuf {
        self.socket.with_extension("lock")
    }
}

fn name(home: &Path, profile: &str) -> String {
    let whole = [home.as_os_str().as_encoded_bytes(), b"\0", profile.as_bytes()].concat();
    Sha256::of(&whole).to_string().chars().take(NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_and_homes_have_sockets_of_their_own() {
        let one = name(Path::new("/home/avi"), "work");
        assert_eq!(one.len(), NAME);
        assert_ne!(one, name(Path::new("/home/avi"), "other"));
        assert_ne!(one, name(Path::new("/home/noa"), "work"));
        assert_ne!(name(Path::new("/a"), "bc"), name(Path::new("/ab"), "c"));
    }
}
