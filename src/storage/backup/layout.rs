//! The folder of backups: what is in it, and who may use it. Nothing is copied here.

use super::{Flaw, Site};
use crate::storage::{
    StoreError,
    db::copy::{CopiedFile, Hashed, sync_folder},
    folder::anything_in,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// The form of folder and manifest.
pub(super) const FORMAT: u32 = 1;

pub(super) const SIGN: &str = "entente-backups";
pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const UNFINISHED: &str = "unfinished";

/// The contents and the state of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupManifest {
    pub format: u32,
    /// Version of the program that took it.
    pub program: String,
    pub host: String,
    /// `sqlite` or `postgresql`.
    pub engine: String,
    /// Version of the schema.
    pub schema: i64,
    /// The mark of database and folder of documents; none before they had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    pub begun_at: Timestamp,
    pub ended_at: Timestamp,
    /// Number of the last entry of the log, 0 for none, and its instant.
    pub last_entry: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_entry_at: Option<Timestamp>,
    pub documents: u64,
    pub document_bytes: u64,
    /// Documents that were damaged or missing already when the backup was taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsound: Vec<String>,
    pub database: Vec<CopiedFile>,
}

/// Why there is no backup, or nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("`{}`: {error}", .path.display())]
    Path { path: PathBuf, error: io::Error },
    #[error("the note `{name}` beside the documents cannot be read or written: {why}")]
    Note { name: &'static str, why: String },
    #[error("`{}` is not a folder of backups, and it is not empty", .0.display())]
    NotBackups(PathBuf),
    #[error(
        "`{folder}` holds no backups, and the last one of these documents, `{1}`, is in another folder: is a disk not mounted?",
        folder = .0.display()
    )]
    NewFolder(PathBuf, String),
    #[error("there is no complete backup in `{}`", .0.display())]
    None(PathBuf),
    #[error("there is no backup `{1}` in `{folder}`", folder = .0.display())]
    Unknown(PathBuf, String),
    #[error("the manifest of `{0}` cannot be read: {1}")]
    Manifest(String, String),
    #[error("nothing was restored: `{1}` of the backup `{0}` {2}")]
    Damaged(String, String, Flaw),
    #[error("`{0}` was taken by a newer program: format {1}, this program knows {FORMAT}")]
    NewerFormat(String, u32),
    #[error("`{}` is in use by another backup, restore or verification", .0.display())]
    Busy(PathBuf),
    #[error("`{}` is inside the folder of documents, or holds it", .0.display())]
    Inside(PathBuf),
    #[error("the folder holds backups of the exchange that `{found}` hosts, and this one is hosted by `{wanted}`")]
    OtherHost { found: String, wanted: String },
    #[error(
        "the folder of documents has another mark than the database, or none: they do not belong together, or its disk is not mounted"
    )]
    OtherFolder,
    #[error("the backup is of {found}, and `database.url` names {wanted}")]
    OtherEngine { found: String, wanted: &'static str },
    #[error("nothing was restored, because the target is not empty: {0}")]
    Occupied(String),
    #[error("another restore, of the backup `{0}`, was begun here and is not done")]
    OtherRestore(String),
    #[error("a restore of the backup `{0}` was begun here and is not done")]
    HalfRestored(String),
}

impl BackupError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Store(_) | Self::Path { .. } | Self::Note { .. } => {
                "fix the cause and repeat the command: it goes on where it was"
            }
            Self::NotBackups(_) => "name an empty folder, one that is not there yet, or one that has backups already",
            Self::NewFolder(..) => "mount it; if the folder is meant to be a new one, say so with `--new-folder`",
            Self::None(_) => {
                "name the folder that `entente-server backup` was given; a backup that was broken off does not count"
            }
            Self::Unknown(..) => "see the folder for the names of its backups",
            Self::Manifest(..) | Self::Damaged(..) => "the backup is damaged: take another one of the same folder",
            Self::NewerFormat(..) => "use the program that took it, or a newer one",
            Self::Busy(_) => "wait for its end",
            Self::Inside(_) => "keep backups apart, best on another disk",
            Self::OtherHost { .. } => "give each exchange a folder of its own, and name that of this one",
            Self::OtherFolder => {
                "mount the disk of `blobs.folder`, or set it and `database.url` to a pair that belongs together"
            }
            Self::OtherEngine { .. } => "restore with the engine that it was taken of",
            Self::Occupied(_) => {
                "restore into an empty database and an empty folder: move away what is there, or name others"
            }
            Self::OtherRestore(_) => "repeat that one, or empty database and folder",
            Self::HalfRestored(_) => "repeat `entente-server restore` with the same backup",
        }
    }
}

/// Makes or takes up a folder of backups, and keeps others out of it.
pub(super) fn prepare(site: Site<'_>, folder: &Path) -> Result<File, BackupError> {
    apart(site, folder)?;
    make_folder(folder)?;
    let sign = folder.join(SIGN);
    if !sign.exists() {
        if at(folder, anything_in(folder))?.is_some() {
            return Err(BackupError::NotBackups(folder.to_owned()));
        }
        let mut file = Hashed::create(&sign)?;
        file.write(format!("{FORMAT}\n").as_bytes())?;
        file.finish()?;
        sync_folder(folder)?;
    }
    let lock = lock(folder)?;
    if let Some(name) = names(folder)?.pop() {
        of_this_host(site, &manifest(folder, &name)?)?;
    }
    Ok(lock)
}

/// Refuses a backup of an exchange that another partner hosts: who operates two has named the folder of the other.
pub(super) fn of_this_host(site: Site<'_>, manifest: &BackupManifest) -> Result<(), BackupError> {
    if manifest.host != site.host.as_str() {
        let (found, wanted) = (manifest.host.clone(), site.host.to_string());
        return Err(BackupError::OtherHost { found, wanted });
    }
    Ok(())
}

pub(super) fn choose(folder: &Path, name: Option<&str>) -> Result<(File, String, BackupManifest), BackupError> {
    if !folder.join(SIGN).exists() {
        return Err(BackupError::None(folder.to_owned()));
    }
    let lock = lock(folder)?;
    let names = names(folder)?;
    let name = match name {
        Some(name) if names.iter().any(|found| found == name) => name.to_owned(),
        Some(name) => return Err(BackupError::Unknown(folder.to_owned(), name.to_owned())),
        None => names.into_iter().next_back().ok_or_else(|| BackupError::None(folder.to_owned()))?,
    };
    let manifest = manifest(folder, &name)?;
    Ok((lock, name, manifest))
}

/// The complete backups of a folder, oldest first.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, BackupError> {
    let mut names = Vec::new();
    for entry in at(folder, fs::read_dir(folder))? {
        let name = at(folder, entry)?.file_name().into_string().unwrap_or_default();
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if name.as_bytes().get(6) == Some(&b'-') && name.get(..6).is_some_and(is_number) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn manifest(folder: &Path, name: &str) -> Result<BackupManifest, BackupError> {
    let path = folder.join(name).join(MANIFEST);
    let unreadable = |why: String| BackupError::Manifest(name.to_owned(), why);
    let bytes = fs::read(&path).map_err(|error| unreadable(error.to_string()))?;
    let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))?;
    match value["format"].as_u64() {
        Some(format) if format > u64::from(FORMAT) => {
            return Err(BackupError::NewerFormat(name.to_owned(), u32::try_from(format).unwrap_or(u32::MAX)));
        }
        _ => {}
    }
    let manifest: BackupManifest = serde_json::from_value(value).map_err(|error| unreadable(error.to_string()))?;
    let is_inside = |file: &CopiedFile| Path::new(&file.name).components().count() == 1 && !file.name.starts_with('.');
    if manifest.database.is_empty() || !manifest.database.iter().all(is_inside) {
        return Err(unreadable("it names files that are not beside it".to_owned()));
    }
    Ok(manifest)
}

fn lock(folder: &Path) -> Result<File, BackupError> {
    let sign = folder.join(SIGN);
    // Opened for reading: a folder that cannot be written can be verified and restored from.
    let file = at(&sign, File::open(&sign))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(BackupError::Busy(folder.to_owned())),
        Err(fs::TryLockError::Error(error)) => Err(BackupError::Path { path: sign, error }),
    }
}

/// Keeps backups out of a folder of documents, and documents out of one of backups.
pub(super) fn apart(site: Site<'_>, folder: &Path) -> Result<(), BackupError> {
    let Some(blobs) = site.blobs.folder() else { return Ok(()) };
    let whole = |path: &Path| fs::canonicalize(path).or_else(|_| std::path::absolute(path));
    let (blobs, folder) = (at(blobs, whole(blobs))?, at(folder, whole(folder))?);
    if folder.starts_with(&blobs) || blobs.starts_with(&folder) {
        return Err(BackupError::Inside(folder));
    }
    Ok(())
}

pub(super) fn make_folder(path: &Path) -> Result<(), BackupError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    at(path, builder.create(path))
}

pub(super) fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, BackupError> {
    result.map_err(|error| BackupError::Path { path: path.to_owned(), error })
}
