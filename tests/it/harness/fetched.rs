//! What tests fetch from the registries of Node and Python: kept in the target folder, and fetched again only when pinned versions change.

use super::loud::loud;
use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Output,
};
use tokio::process::Command;

/// What is said where it cannot be had, and the variable that makes that a failure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Untried {
    pub(crate) required_by: &'static str,
    pub(crate) said: &'static str,
}

/// A folder that stays from one run to the next, held until the lock is dropped.
pub(crate) fn place(name: &str) -> (PathBuf, File) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    (folder, lock)
}

/// Copies the files of a folder of the repository that have one of these endings.
pub(crate) fn copy(from: &str, to: &Path, endings: &[&str]) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(root().join(from)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted)) {
            fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

/// Does what has to be done once for these pinned versions. `None` where a step fails, which is a failure if the gate says so.
pub(crate) async fn installed(folder: &Path, pinned: &str, steps: &[&[&str]], untried: Untried) -> Option<()> {
    let (pinned, mark) = (fs::read(folder.join(pinned)).unwrap(), folder.join("installed"));
    if fs::read(&mark).is_ok_and(|installed| installed == pinned) {
        return Some(());
    }
    for words in steps {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(folder);
        let fault = match command.kill_on_drop(true).output().await {
            Ok(Output { status, .. }) if status.success() => continue,
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        let Untried { required_by, said } = untried;
        assert!(
            env::var_os(required_by).is_none(),
            "`{required_by}` is set, and `{}` failed: {fault}",
            words.join(" ")
        );
        let last = fault.lines().last().unwrap_or_default();
        loud(&format!("`{}` FAILED ({last}): {said}", words.join(" ")));
        return None;
    }
    fs::write(mark, pinned).unwrap();
    Some(())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
