//! Ciphertext in a folder: the engine that every exchange has.
//!
//! ```text
//! entente-mark                 says whose folder it is
//! entente-….json               notes about backups
//! blobs/3f/3f…                 a published blob, under its key
//! blobs/3f/3f…#1               one that is being taken
//! resumable/3f…                one that is taken over several requests; locked while bytes are added
//! quarantine/3f…               one that no row named; its time is that of the move
//! ```
//!
//! Folders and files are for the account alone. All that presumes files is here and below: a name that is given when every byte is on the
//! disk, folders that are synced, the room that is left on the disk. The callers decide what is taken in, moved or removed.

mod incoming;

use self::incoming::{IncomingFile, PARTIAL};
use super::{
    blob_engine::{BlobEngine, IncomingBlob, ListedBlob, OpenedBlob, PutBack, ResumedBlob},
    blob_key::BlobKey,
    durable::{above, create_folder, sync_folder},
    error::StoreError,
    mark::{self, Mark},
    probe,
};
use jiff::Timestamp;
use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// The folder from which blobs are served.
const LIVE: &str = "blobs";

/// The folder for blobs that are taken over several requests.
const RESUMABLE: &str = "resumable";

/// The folder for blobs that no row names.
const QUARANTINE: &str = "quarantine";

/// A folder of ciphertext.
#[derive(Debug, Clone)]
pub struct BlobFolder {
    path: PathBuf,
    reserve: u64,
}

impl BlobFolder {
    /// A folder, there or not, that leaves so many bytes of its disk free: acts go on when uploads have filled the rest.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, reserve: u64) -> Self {
        Self { path: path.into(), reserve }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Refuses what would take the reserve of the disk.
    pub(super) fn leave_free(&self, coming: u64) -> io::Result<()> {
        leave_free(&self.path, self.reserve.saturating_add(coming))
    }

    /// The folder of published blobs whose keys begin with this byte.
    fn shard(&self, part: u8) -> PathBuf {
        self.path.join(LIVE).join(format!("{part:02x}"))
    }

    fn quarantine(&self) -> PathBuf {
        self.path.join(QUARANTINE)
    }
}

impl BlobEngine for BlobFolder {
    fn mark(&self) -> Result<Option<Mark>, StoreError> {
        mark::read(&self.path)
    }

    fn set_mark(&self, mark: &Mark) -> Result<(), StoreError> {
        mark::write(&self.path, mark)
    }

    fn note(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match fs::read(self.path.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(None),
            read => Ok(absent(read)?),
        }
    }

    fn set_note(&self, name: &str, text: Option<&[u8]>) -> Result<(), StoreError> {
        let place = self.path.join(name);
        if let Some(text) = text {
            create_folder(&self.path)?;
            return Ok(write_whole(&place, text)?);
        }
        absent(fs::remove_file(place))?;
        absent(sync_folder(&self.path))?;
        Ok(())
    }

    fn anything(&self) -> Result<Option<String>, StoreError> {
        Ok(anything_in(&self.path)?.map(|name| name.to_string_lossy().into_owned()))
    }

    fn describe(&self) -> String {
        format!("the folder `{}`", self.path.display())
    }

    fn folder(&self) -> Option<&Path> {
        Some(&self.path)
    }

    fn probe(&self) -> Result<(), StoreError> {
        Ok(probe::attempt(&self.path)?)
    }

    fn begin(&self, key: &BlobKey, announced: u64) -> Result<Box<dyn IncomingBlob>, StoreError> {
        self.leave_free(announced)?;
        Ok(Box::new(IncomingFile::create(live(&self.path, key), self.reserve)?))
    }

    fn resume(&self, key: &BlobKey, announced: u64) -> Result<Option<ResumedBlob>, StoreError> {
        self.leave_free(announced)?;
        let resumed = IncomingFile::resume(resumable(&self.path, key), self.reserve)?;
        Ok(resumed.map(|(at, file)| ResumedBlob { at, incoming: Box::new(file) }))
    }

    fn resumable_size(&self, key: &BlobKey) -> Result<u64, StoreError> {
        let path = resumable(&self.path, key);
        let Some(file) = absent(File::open(&path))? else { return Ok(0) };
        // Before the sync: bytes that come meanwhile may not be safe when it returns.
        let size = file.metadata()?.len();
        file.sync_all()?;
        sync_folder(above(&path))?;
        Ok(size)
    }

    fn open_resumable(&self, key: &BlobKey, from: u64) -> Result<Option<OpenedBlob>, StoreError> {
        opened(&resumable(&self.path, key), from)
    }

    fn publish_resumable(&self, key: &BlobKey, as_key: &BlobKey) -> Result<bool, StoreError> {
        let (from, to) = (resumable(&self.path, key), live(&self.path, as_key));
        let Some(file) = absent(File::open(&from))? else { return Ok(false) };
        file.sync_all()?;
        create_folder(above(&to))?;
        // A second name of the same file: its bytes are not written twice, and an attempt that fails after this leaves the first.
        let is_there = absent(fs::hard_link(from, &to))?.is_some();
        sync_folder(above(&to))?;
        Ok(is_there)
    }

    fn remove_resumable(&self, key: &BlobKey) -> Result<(), StoreError> {
        absent(fs::remove_file(resumable(&self.path, key)))?;
        Ok(())
    }

    fn resumables(&self) -> Result<Vec<ListedBlob>, StoreError> {
        listed(&self.path.join(RESUMABLE))
    }

    fn open(&self, key: &BlobKey, from: u64) -> Result<Option<OpenedBlob>, StoreError> {
        opened(&live(&self.path, key), from)
    }

    fn sync(&self) -> Result<(), StoreError> {
        for part in 0..=u8::MAX {
            absent(sync_folder(&self.shard(part)))?;
        }
        absent(sync_folder(&self.path.join(LIVE)))?;
        Ok(())
    }

    fn size(&self, key: &BlobKey) -> Result<Option<u64>, StoreError> {
        for place in [live(&self.path, key), quarantined(&self.path, key)] {
            if let Some(metadata) = absent(fs::metadata(place))? {
                return Ok(Some(metadata.len()));
            }
        }
        Ok(None)
    }

    fn delete(&self, key: &BlobKey) -> Result<(), StoreError> {
        absent(fs::remove_file(live(&self.path, key)))?;
        Ok(())
    }

    fn list(&self, part: u8) -> Result<Vec<ListedBlob>, StoreError> {
        listed(&self.shard(part))
    }

    fn remove_unfinished(&self, part: u8, before: Timestamp, is_dry: bool) -> Result<u64, StoreError> {
        let mut removed = 0;
        for file in files(&self.shard(part))? {
            let file = file?;
            if !file.file_name().as_encoded_bytes().contains(&PARTIAL) {
                continue;
            }
            let Some(metadata) = absent(file.metadata())? else { continue };
            if written_at(&metadata)? < before {
                removed += u64::from(is_dry || absent(fs::remove_file(file.path()))?.is_some());
            }
        }
        Ok(removed)
    }

    fn set_aside(&self, keys: &[BlobKey], now: Timestamp) -> Result<u64, StoreError> {
        create_folder(&self.quarantine())?;
        let millis = u64::try_from(now.as_millisecond()).expect("the clock stands after 1970");
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        let mut moved = 0;
        for key in keys {
            let place = live(&self.path, key);
            let Some(file) = absent(File::open(&place))? else { continue };
            // Before the move: what stays behind if the machine stops is a young blob without a row.
            file.set_modified(now)?;
            moved += u64::from(absent(fs::rename(place, quarantined(&self.path, key)))?.is_some());
        }
        sync_folder(&self.quarantine())?;
        Ok(moved)
    }

    fn open_quarantined(&self, key: &BlobKey) -> Result<Option<OpenedBlob>, StoreError> {
        opened(&quarantined(&self.path, key), 0)
    }

    fn put_back(&self, key: &BlobKey) -> Result<PutBack, StoreError> {
        let (from, to) = (quarantined(&self.path, key), live(&self.path, key));
        let is_there = || Ok::<_, StoreError>(absent(fs::metadata(&to))?.is_some());
        if is_there()? {
            return Ok(PutBack::IsThere);
        }
        if absent(fs::metadata(&from))?.is_some() {
            let shard = above(&to);
            create_folder(shard)?;
            let moved = absent(fs::rename(from, &to))?.is_some();
            sync_folder(shard)?;
            if moved {
                return Ok(PutBack::Moved);
            }
        }
        Ok(if is_there()? { PutBack::IsThere } else { PutBack::IsNowhere })
    }

    fn quarantined(&self) -> Result<Vec<ListedBlob>, StoreError> {
        listed(&self.quarantine())
    }

    fn remove_quarantined(&self, key: &BlobKey) -> Result<bool, StoreError> {
        Ok(absent(fs::remove_file(quarantined(&self.path, key)))?.is_some())
    }
}

/// The file of a blob that is served.
fn live(folder: &Path, key: &BlobKey) -> PathBuf {
    let name = key.to_string();
    // 256 folders, so that none grows past what file systems like.
    folder.join(LIVE).join(&name[..2]).join(name)
}

/// The file of a blob that is taken over several requests.
fn resumable(folder: &Path, key: &BlobKey) -> PathBuf {
    folder.join(RESUMABLE).join(key.to_string())
}

/// The file of a blob in quarantine.
fn quarantined(folder: &Path, key: &BlobKey) -> PathBuf {
    folder.join(QUARANTINE).join(key.to_string())
}

/// A file, to be read from its byte `from` on.
fn opened(path: &Path, from: u64) -> Result<Option<OpenedBlob>, StoreError> {
    let Some(mut file) = absent(File::open(path))? else { return Ok(None) };
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(from))?;
    Ok(Some(OpenedBlob { size, bytes: Box::new(file) }))
}

/// Something that is in a folder. A disk that was just mounted there has nothing but what its file system keeps for repairs.
pub(super) fn anything_in(folder: &Path) -> io::Result<Option<OsString>> {
    for file in files(folder)? {
        let name = file?.file_name();
        if name != "lost+found" {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Writes a file whole or not at all, in place of the one before. When this returns, the disk knows it.
pub(super) fn write_whole(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut fresh = path.to_owned();
    fresh.as_mut_os_string().push(".new");
    absent(fs::remove_file(&fresh))?;
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    sync_folder(above(path))
}

/// The whole blobs in a folder.
fn listed(folder: &Path) -> Result<Vec<ListedBlob>, StoreError> {
    let mut found = Vec::new();
    for file in files(folder)? {
        let file = file?;
        let Some(key) = file.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Some(metadata) = absent(file.metadata())? else { continue };
        found.push(ListedBlob { key, size: metadata.len(), at: written_at(&metadata)? });
    }
    Ok(found)
}

/// Every file in a folder; nothing when it is not there.
fn files(folder: &Path) -> io::Result<impl Iterator<Item = io::Result<fs::DirEntry>> + use<>> {
    Ok(absent(fs::read_dir(folder))?.into_iter().flatten())
}

/// When a file was last written to; an instant that cannot be is no reason to take it for old.
fn written_at(metadata: &fs::Metadata) -> io::Result<Timestamp> {
    Ok(Timestamp::try_from(metadata.modified()?).unwrap_or(Timestamp::MAX))
}

/// A missing file is none; any other failure is an error.
fn absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Refuses when less than this would be left of the disk. A disk that does not report it is tested by writing to it.
fn leave_free(folder: &Path, bytes: u64) -> io::Result<()> {
    let Ok(disk) = rustix::fs::statvfs(folder) else { return Ok(()) };
    if disk.f_bavail.saturating_mul(disk.f_frsize) >= bytes {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::StorageFull,
        "it would take what is kept in reserve on the disk (`blobs.reserve_bytes`)",
    ))
}
