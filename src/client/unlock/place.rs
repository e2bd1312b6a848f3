//! Where the holder of a profile's keys listens: one socket for each home folder and profile, so that nobody asks the holder of another one.
//!
//! INVARIANT: the home folder alone says where that is. A holder listens in the folder of the session that it was started in, which another
//! command of the account need not have; so it writes its place into the home folder, and a command that looks for it reads that.

use crate::{
    client::{ClientError, Home, Result, files},
    domain::id::Sha256,
    platform::{self, holder},
};
use std::{
    env,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// The letters of a digest that name a socket: paths of sockets are short, and two profiles of one account have to differ.
const NAME: usize = 16;

/// Where the holder of a profile's keys listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SocketPlace {
    pub(super) socket: PathBuf,
    /// The file in the home folder that says so.
    pub(super) record: PathBuf,
}

impl SocketPlace {
    /// That of a new holder: in the folder of the session if there is one, else in the home folder.
    pub(super) fn new(home: &Home, profile: &str) -> Result<Self> {
        let (full, record) = (full_root(home)?, record(home, profile)?);
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = holder::session_folder(variable).unwrap_or_else(|| full.join("unlocked"));
        let socket = folder.join(format!("{}.sock", name(&full, profile)));
        if socket.to_str().is_none() || record.to_str().is_none() {
            let what = format!("the path `{}` is not text (UTF-8), so keys cannot be held there", socket.display());
            return Err(ClientError::local(what, "use a home folder whose path is text"));
        }
        Ok(Self { socket, record })
    }

    /// Where the holder is that wrote it down, if one did.
    ///
    /// # Errors
    /// When what stands there is nothing that a holder writes.
    pub(super) fn found(home: &Home, profile: &str) -> Result<Option<Self>> {
        let record = record(home, profile)?;
        let Some(written) = files::read(&record)? else { return Ok(None) };
        let socket = String::from_utf8(written).ok().map(PathBuf::from).filter(|socket| socket.is_absolute());
        let socket = socket.ok_or_else(|| {
            let what = format!("`{}` does not name the socket of what holds your keys", record.display());
            ClientError::local(what, "end the processes `entente unlock` of this account, then remove the file")
        })?;
        Ok(Some(Self { socket, record }))
    }

    /// Writes down where the holder is.
    pub(super) fn write_down(&self) -> Result<()> {
        files::write(&self.record, self.socket.as_os_str().as_encoded_bytes())
    }

    /// Whether commands find it.
    pub(super) fn is_written_down(&self) -> bool {
        !matches!(fs::metadata(&self.record), Err(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// Takes it back: with the lock, it is nobody else's.
    pub(super) fn forget(&self) {
        // What is left names a socket that does not answer.
        let _ = fs::remove_file(&self.record);
    }

    /// The lock that the holder keeps as long as it lives.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub(super) fn open_lock(&self) -> io::Result<File> {
        if let Some(folder) = self.record.parent() {
            platform::make_private_folder(folder)?;
        }
        holder::open_lock(&self.lock_path())
    }

    /// The path of the lock: in the home folder, so that there is one holder of a profile, wherever it listens.
    pub(super) fn lock_path(&self) -> PathBuf {
        self.record.with_extension("lock")
    }
}

fn full_root(home: &Home) -> Result<PathBuf> {
    let root = home.root();
    platform::full_path(root).map_err(|error| ClientError::io("find", root, &error))
}

fn record(home: &Home, profile: &str) -> Result<PathBuf> {
    let name = home.profile_name(Some(profile))?;
    Ok(full_root(home)?.join("unlocked").join(format!("{name}.where")))
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

    #[test]
    fn place_is_where_the_home_folder_says_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("home")).unwrap();
        let home = Home::locate(Some(&folder.path().join("home"))).unwrap();
        assert_eq!(SocketPlace::found(&home, "my.work").unwrap(), None);
        let socket = folder.path().join("elsewhere").join("s.sock");
        let place = SocketPlace { socket, ..SocketPlace::new(&home, "my.work").unwrap() };
        place.write_down().unwrap();
        assert_eq!(SocketPlace::found(&home, "my.work").unwrap().as_ref(), Some(&place));
        assert_eq!(place.lock_path().file_name().unwrap(), "my.work.lock");
        assert_eq!(SocketPlace::found(&home, "work").unwrap(), None);
        assert!(SocketPlace::found(&home, "../work").is_err());
        fs::write(&place.record, "s.sock").unwrap();
        assert!(SocketPlace::found(&home, "my.work").is_err());
        place.forget();
        assert!(!place.is_written_down());
    }
}
