//! Where tests keep what they write.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
    sync::OnceLock,
};
use tempfile::{Builder, TempDir};

/// What all of a run's folders start with; the number of its process follows.
const PREFIX: &str = "entente-tests-";

/// What the whole suite holds at a time is a tenth of it.
const ROOM: u64 = 4 << 30;

/// A folder of a test's own: in memory where that has room and no other place is named, for every act of an exchange waits
/// until its bytes are safe, and tests do hardly anything else.
pub(crate) fn scratch() -> TempDir {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    let place = PLACE.get_or_init(|| {
        let memory = Path::new("/dev/shm");
        if env::var_os("TMPDIR").is_some() || !rustix::fs::statvfs(memory).is_ok_and(|found| has_room(&found)) {
            return env::temp_dir();
        }
        sweep(memory);
        memory.to_owned()
    });
    Builder::new().prefix(&format!("{PREFIX}{}-", process::id())).tempdir_in(place).unwrap()
}

fn has_room(found: &rustix::fs::StatVfs) -> bool {
    found.f_bavail.saturating_mul(found.f_frsize) >= ROOM
}

/// Removes what runs left that were killed or interrupted.
fn sweep(place: &Path) {
    for entry in fs::read_dir(place).unwrap().flatten() {
        let name = entry.file_name();
        let run = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split_once('-')?.0.parse::<u32>().ok());
        if run.is_some_and(|run| !Path::new("/proc").join(run.to_string()).exists()) {
            // Another run may sweep at the same time, and somebody else's are theirs.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
