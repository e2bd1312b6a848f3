//! A file of one profile in a folder of one kind, which commands in several terminals change in turns and write whole.

use super::{ClientError, Result, files};
use crate::platform;
use std::{
    fs::{self, File},
    io,
    path::PathBuf,
};

/// Where it is.
#[derive(Debug, Clone)]
pub(super) struct ProfileFile {
    pub(super) folder: PathBuf,
    pub(super) profile: String,
}

impl ProfileFile {
    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.json", self.profile))
    }

    /// How the names of files begin that are being written.
    pub(super) fn beginning(&self) -> String {
        format!(".new-{}-", self.profile)
    }

    pub(super) fn write(&self, content: &[u8]) -> Result<()> {
        files::write_by(&self.path(), &self.beginning(), content)
    }

    /// The only command on this machine that changes it, until what is returned is dropped.
    pub(super) fn turn(&self) -> Result<File> {
        // No profile has a name that begins like this.
        let path = self.folder.join(format!(".{}.lock", self.profile));
        let lock = || -> io::Result<File> {
            platform::make_private_folder(&self.folder)?;
            let file = File::options().create(true).truncate(false).write(true).open(&path)?;
            file.lock()?;
            Ok(file)
        };
        let turn = lock().map_err(|error| ClientError::io("lock", &path, &error))?;
        self.remove_unfinished();
        Ok(turn)
    }

    /// Removes what a kill left of files that were being written.
    pub(super) fn remove_unfinished(&self) {
        let beginning = self.beginning();
        let is_ours = |name: &str| {
            // Random letters follow; those of a profile whose name goes on have another `-`.
            let rest = name.strip_prefix(&*beginning);
            rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        };
        let files = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        for file in files.filter(|file| file.file_name().to_str().is_some_and(is_ours)) {
            // The next turn tries it again.
            let _ = fs::remove_file(file.path());
        }
    }
}
