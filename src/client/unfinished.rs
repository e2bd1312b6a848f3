//! Files that are being written: documents on their way in the clear, sealed files, manifests. Each has a name of its own until
//! it is whole, and then the one it is meant for, or none.
//!
//! INVARIANT: whatever ends the work, nothing unfinished stays. An error removes it; so does an interruption ([`abandon`]); what a
//! kill or a crash leaves is noted beforehand in a journal, and goes at the next start of any command of the same folder
//! ([`sweep`]). A journal is locked while its process lives, so nobody sweeps what is still being written. It stays until its files are
//! gone for certain: a disk that is away can come back.

use super::{ClientError, Home, Result, files};
use crate::platform;
use std::{
    collections::{BTreeSet, HashMap},
    fs::{self, File, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};
use tempfile::NamedTempFile;

/// How the name of every unfinished file begins and ends; nothing else is ever swept.
const PREFIX: &str = ".entente-";
const SUFFIX: &str = ".part";
/// Begins the note of the device that the next file of a journal is on.
const DEVICE: &[u8] = b"device ";
/// The longest journal that is read, in bytes.
const MAX_JOURNAL: u64 = 4 << 20;

/// A signal reaches the process, so what it must remove is the process's.
static OPEN: LazyLock<Mutex<Open>> = LazyLock::new(Mutex::default);

/// A file that is not whole yet.
#[derive(Debug)]
pub(super) struct Unfinished {
    /// None once it has its name.
    file: Option<NamedTempFile>,
    journal: PathBuf,
}

/// What an interruption found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Abandoned {
    /// Unfinished files that were removed.
    pub removed: usize,
    /// Those that could not be.
    pub left: Vec<PathBuf>,
    /// Files that had their names already: whole, and kept.
    pub finished: Vec<PathBuf>,
}

/// The files that a sweep found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct SweptFiles {
    pub removed: Vec<PathBuf>,
    /// Those that could not be removed, and why. They are tried again at the next start.
    pub left: Vec<(PathBuf, String)>,
    /// Those whose folder or disk is not there, so that nobody can say whether they are. They are looked for at each start.
    pub away: BTreeSet<UnreachableFolder>,
}

/// A folder in which a part of a file may be that cannot be looked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnreachableFolder {
    pub folder: PathBuf,
    /// The journal that says so; without it nobody looks again.
    pub journal: PathBuf,
}

/// What a journal says of a file.
struct JournalEntry {
    path: PathBuf,
    /// The device that its folder was on, where that is known.
    device: Option<u64>,
}

#[derive(Debug, Default)]
struct Open {
    is_over: bool,
    /// Unfinished files, by the folder of their journal.
    files: BTreeSet<(PathBuf, PathBuf)>,
    journals: HashMap<PathBuf, Journal>,
    finished: Vec<PathBuf>,
}

/// The names of what a process is writing, on disk before the files are.
#[derive(Debug)]
struct Journal {
    /// Locked as long as it is open.
    file: File,
    path: PathBuf,
}

impl Unfinished {
    /// Begins a file in `folder`, readable by its owner alone.
    pub(super) fn begin(home: &Home, folder: &Path) -> Result<Self> {
        let mut open = open();
        if open.is_over {
            return Err(ClientError::local("interrupted", "run the same command again"));
        }
        let journals = home.root().join("unfinished");
        let failed = |error: io::Error| ClientError::io("write", folder, &error);
        // Another process sweeps from another folder, so the place is written in full.
        let folder = platform::full_path(folder).map_err(failed)?;
        if !open.journals.contains_key(&journals) {
            let journal = Journal::begin(&journals).map_err(|error| ClientError::io("write", &journals, &error))?;
            open.journals.insert(journals.clone(), journal);
        }
        let journal = open.journals.get_mut(&journals).expect("it was put there just now");
        let device = fs::metadata(&folder).ok().and_then(|metadata| platform::device_of(&metadata));
        let file = tempfile::Builder::new().prefix(PREFIX).suffix(SUFFIX).make_in(&folder, |path| {
            journal.note(path, device)?;
            platform::create_private(path)
        });
        let file = match file {
            Ok(file) => file,
            Err(error) => {
                open.settle(&journals);
                return Err(failed(error));
            }
        };
        open.files.insert((journals.clone(), file.path().to_owned()));
        Ok(Self { file: Some(file), journal: journals })
    }

    /// The file, to write into.
    pub(super) fn file(&mut self) -> &mut File {
        self.named().as_file_mut()
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.file.as_ref().expect("it has no name yet").path()
    }

    /// Gives it its name, unless there is such a file already; it is on disk then.
    pub(super) fn finish_new(self, path: &Path) -> io::Result<()> {
        self.finish(path, |file, path| file.persist_noclobber(path).map(drop).map_err(|error| error.error))
    }

    /// The same of a file that can be made again until [`files::sync`] was called for it: its name is on disk, its content may not be.
    pub(super) fn name_new(self, path: &Path) -> io::Result<()> {
        self.name(path, |file, path| file.persist_noclobber(path).map(drop).map_err(|error| error.error))
    }

    /// Gives it its name, in place of a file that has it; it is on disk then.
    pub(super) fn finish_over(self, path: &Path) -> io::Result<()> {
        self.finish(path, |file, path| file.persist(path).map(drop).map_err(|error| error.error))
    }

    fn finish(mut self, path: &Path, name: impl FnOnce(NamedTempFile, &Path) -> io::Result<()>) -> io::Result<()> {
        self.named().as_file().sync_all()?;
        self.name(path, name)
    }

    fn name(mut self, path: &Path, name: impl FnOnce(NamedTempFile, &Path) -> io::Result<()>) -> io::Result<()> {
        let mut open = open();
        if open.is_over {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let file = self.file.take().expect("it has no name yet");
        open.files.remove(&(self.journal.clone(), file.path().to_owned()));
        let named = name(file, path);
        // What is in the member's folder is ours to look after.
        if named.is_ok() && self.journal.parent().is_none_or(|home| !path.starts_with(home)) {
            open.finished.push(path.to_owned());
        }
        open.settle(&self.journal);
        named?;
        platform::sync_folder(folder_of(path))
    }

    fn named(&mut self) -> &mut NamedTempFile {
        self.file.as_mut().expect("it has no name yet")
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            let mut open = open();
            let path = file.path().to_owned();
            // What cannot be removed stays in the journal.
            if file.close().is_ok() || !path.exists() {
                open.files.remove(&(self.journal.clone(), path));
                open.settle(&self.journal);
            }
        }
    }
}

/// Removes everything unfinished at once, because the process is about to end: nothing gets its name from now on.
pub fn abandon() -> Abandoned {
    let mut open = open();
    open.is_over = true;
    let mut abandoned = Abandoned { finished: std::mem::take(&mut open.finished), ..Abandoned::default() };
    for (journal, path) in std::mem::take(&mut open.files) {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                abandoned.left.push(path.clone());
                open.files.insert((journal, path));
            }
            _ => abandoned.removed += 1,
        }
    }
    let journals: Vec<PathBuf> = open.journals.keys().cloned().collect();
    for journal in journals {
        open.settle(&journal);
    }
    abandoned
}

/// Removes what ended processes left unfinished.
pub fn sweep(home: &Home) -> Result<SweptFiles> {
    let folder = home.root().join("unfinished");
    let mut swept = SweptFiles::default();
    for name in files::names(&folder, "journal")? {
        let path = folder.join(format!("{name}.journal"));
        let failed = |error: io::Error| ClientError::io("read", &path, &error);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file.map_err(failed)?,
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => continue,
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let mut noted = Vec::new();
        (&file).take(MAX_JOURNAL).read_to_end(&mut noted).map_err(failed)?;
        let mut is_done = true;
        for noted in read_notes(&noted) {
            match fs::remove_file(&noted.path) {
                Ok(()) => swept.removed.push(noted.path),
                Err(error) if error.kind() == io::ErrorKind::NotFound && noted.is_away() => {
                    is_done = false;
                    swept
                        .away
                        .insert(UnreachableFolder { folder: folder_of(&noted.path).to_owned(), journal: path.clone() });
                }
                // It has its name by now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    is_done = false;
                    swept.left.push((noted.path, error.to_string()));
                }
            }
        }
        if is_done {
            files::remove(&path)?;
        }
    }
    Ok(swept)
}

impl Open {
    /// Takes a journal away that no longer names anything unfinished.
    fn settle(&mut self, journals: &Path) {
        if self.files.iter().any(|(journal, _)| journal == journals) {
            return;
        }
        if let Some(journal) = self.journals.remove(journals) {
            // One that cannot be removed is swept later.
            let _ = fs::remove_file(&journal.path);
        }
    }
}

impl Journal {
    fn begin(folder: &Path) -> io::Result<Self> {
        platform::make_private_folder(folder)?;
        let new = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
        // Locked before it can be found.
        new.as_file().lock()?;
        let name = new.path().file_name().and_then(|name| name.to_str()).unwrap_or_default().replace(".new-", "");
        let path = folder.join(format!("{name}.journal"));
        let file = new.persist_noclobber(&path).map_err(|error| error.error)?;
        platform::sync_folder(folder)?;
        Ok(Self { file, path })
    }

    /// Notes a file before it is made, and the device of its folder.
    fn note(&mut self, path: &Path, device: Option<u64>) -> io::Result<()> {
        let name = path.as_os_str().as_encoded_bytes();
        if path_of(name).is_none() {
            // A sweep could not find it.
            return Err(io::Error::new(io::ErrorKind::InvalidFilename, "the path is not Unicode text"));
        }
        let mut note = Vec::new();
        if let Some(device) = device {
            note.extend([DEVICE, device.to_string().as_bytes(), &[0]].concat());
        }
        note.extend([name, &[0]].concat());
        self.file.write_all(&note)?;
        self.file.sync_all()
    }
}

impl JournalEntry {
    /// Whether the folder, or the disk that it was on, is not there. The place of a disk that is away may be an empty folder.
    fn is_away(&self) -> bool {
        match fs::metadata(folder_of(&self.path)) {
            Ok(metadata) => self.device.is_some_and(|device| platform::device_of(&metadata) != Some(device)),
            Err(_) => true,
        }
    }
}

/// The files that a journal names. What was cut off while it was written names none.
fn read_notes(journal: &[u8]) -> Vec<JournalEntry> {
    let (mut notes, mut device) = (Vec::new(), None);
    for note in journal.split(|byte| *byte == 0) {
        if let Some(number) = note.strip_prefix(DEVICE) {
            device = str::from_utf8(number).ok().and_then(|number| number.parse().ok());
        } else if let Some(path) = path_of(note) {
            notes.push(JournalEntry { path, device: device.take() });
        }
    }
    notes
}

/// A noted place, if it can be one of ours.
fn path_of(bytes: &[u8]) -> Option<PathBuf> {
    let path = platform::path_of(bytes)?;
    let name = path.file_name()?.to_str()?;
    (path.is_absolute() && name.starts_with(PREFIX) && name.ends_with(SUFFIX)).then_some(path)
}

/// The folder that a file is in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn open() -> MutexGuard<'static, Open> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(&folder.path().join("home"))).unwrap();
        (folder, home)
    }

    fn entries(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut entries: Vec<String> = entries.collect();
        entries.sort();
        entries
    }

    #[test]
    fn file_has_its_name_once_it_is_whole_and_leaves_nothing_else() {
        let (folder, home) = home();
        let path = folder.path().join("plan.pdf");
        let begin = || {
            let mut unfinished = Unfinished::begin(&home, folder.path()).unwrap();
            unfinished.file().write_all(b"the plan").unwrap();
            unfinished
        };
        drop(begin());
        assert_eq!(entries(folder.path()), ["home"]);
        begin().finish_new(&path).unwrap();
        assert_eq!(begin().finish_new(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        begin().finish_over(&path).unwrap();
        assert_eq!(entries(folder.path()), ["home", "plan.pdf"]);
        assert_eq!(entries(&home.root().join("unfinished")), [""; 0]);
        assert_eq!(fs::read(&path).unwrap(), b"the plan");
    }

    #[test]
    fn sweep_leaves_alone_what_is_being_written_and_whatever_is_not_ours() {
        let (folder, home) = home();
        let unfinished = Unfinished::begin(&home, folder.path()).unwrap();
        assert_eq!(sweep(&home).unwrap(), SweptFiles::default());
        assert!(unfinished.path().exists());

        // Of a process that has ended: its lock went with it.
        let folder_of = fs::canonicalize(folder.path()).unwrap();
        let (dead, foreign) = (folder_of.join(".entente-dead.part"), folder_of.join("thesis.pdf"));
        let mut noted = Vec::new();
        for path in [&dead, &foreign, &folder_of.join(".entente-gone.part")] {
            fs::write(path, b"x").unwrap();
            noted.extend([path.as_os_str().as_encoded_bytes(), &[0]].concat());
        }
        fs::remove_file(folder_of.join(".entente-gone.part")).unwrap();
        // Cut off while it was written: an invalid name.
        noted.extend(b"/.ent");
        fs::write(home.root().join("unfinished/x.journal"), noted).unwrap();
        assert_eq!(sweep(&home).unwrap(), SweptFiles { removed: vec![dead.clone()], ..SweptFiles::default() });
        assert!(!dead.exists() && foreign.exists() && unfinished.path().exists());
        assert_eq!(sweep(&home).unwrap(), SweptFiles::default());
        drop(unfinished);
        assert_eq!(entries(&home.root().join("unfinished")), [""; 0]);
    }

    /// Leaves a part of a file in `folder` as a process does that is killed: the journal, without its lock, and the file.
    fn killed(home: &Home, folder: &Path) -> (PathBuf, PathBuf) {
        let unfinished = Unfinished::begin(home, folder).unwrap();
        let (journals, part) = (home.root().join("unfinished"), unfinished.path().to_owned());
        let noted = fs::read(journals.join(&entries(&journals)[0])).unwrap();
        drop(unfinished);
        let journal = journals.join("x.journal");
        fs::write(&journal, noted).unwrap();
        fs::write(&part, b"the plan").unwrap();
        (part, journal)
    }

    #[test]
    fn part_in_a_folder_that_is_away_is_looked_for_until_the_folder_is_back() {
        let (folder, home) = home();
        let folder = fs::canonicalize(folder.path()).unwrap();
        let (disk, elsewhere) = (folder.join("disk"), folder.join("elsewhere"));
        fs::create_dir(&disk).unwrap();
        let (part, journal) = killed(&home, &disk);
        fs::rename(&disk, &elsewhere).unwrap();
        let away = UnreachableFolder { folder: disk.clone(), journal };
        for _ in 0..2 {
            assert_eq!(sweep(&home).unwrap(), SweptFiles { away: [away.clone()].into(), ..SweptFiles::default() });
        }
        fs::rename(&elsewhere, &disk).unwrap();
        assert_eq!(sweep(&home).unwrap(), SweptFiles { removed: vec![part.clone()], ..SweptFiles::default() });
        assert!(!part.exists() && !away.journal.exists());
        assert_eq!(sweep(&home).unwrap(), SweptFiles::default());
    }

    #[cfg(unix)]
    #[test]
    fn part_on_a_disk_that_is_away_is_looked_for_although_its_place_is_there() {
        let (folder, home) = home();
        let folder = fs::canonicalize(folder.path()).unwrap();
        let (part, journal) = killed(&home, &folder);
        fs::remove_file(&part).unwrap();
        let present = platform::device_of(&fs::metadata(&folder).unwrap()).unwrap();
        let note = |device: u64| {
            [DEVICE, device.to_string().as_bytes(), &[0], part.as_os_str().as_encoded_bytes(), &[0]].concat()
        };
        assert_eq!(fs::read(&journal).unwrap(), note(present), "the device is noted before the file is made");
        fs::write(&journal, note(present + 1)).unwrap();
        let away = UnreachableFolder { folder: folder.clone(), journal: journal.clone() };
        assert_eq!(sweep(&home).unwrap(), SweptFiles { away: [away].into(), ..SweptFiles::default() });
        // A file that is there goes, whatever number the disk has by now.
        fs::write(&part, b"the plan").unwrap();
        assert_eq!(sweep(&home).unwrap(), SweptFiles { removed: vec![part], ..SweptFiles::default() });
        assert!(!journal.exists());
    }
}
