//! A program of the nation's own that is called in place of sending mail. It gets a member, a number and an instant, and is not believed
//! to end, nor to say little.

use super::{TellFault, schedule::MemberLoad};
use crate::domain::id::MemberId;
use serde_json::json;
use std::{path::PathBuf, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::Command,
    time::timeout,
};

/// For the program, from its start to its end.
const PATIENCE: Duration = Duration::from_secs(30);
/// What is read of what it says on each of its outputs, in bytes; the rest is let go by.
const SAID: u64 = 64 << 10;
/// What of that is repeated when it fails, in characters.
const REPEATED: usize = 200;

/// A program to call.
#[derive(Debug, Clone)]
pub struct Hook {
    program: PathBuf,
    patience: Duration,
}

impl Hook {
    /// This program, by its path. It gets no arguments, and no shell reads them.
    #[must_use]
    pub fn new(program: PathBuf) -> Self {
        Self { program, patience: PATIENCE }
    }

    /// Tells it that something waits for a member: one line of JSON on its standard input. Exit code 0 means that the member was told.
    pub(super) async fn call(&self, member: &MemberId, load: &MemberLoad) -> Result<(), TellFault> {
        let told = json!({ "member": member, "items": load.items, "next_due_at": load.next_due_at });
        let started = Command::new(&self.program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = started
            .map_err(|error| TellFault::Away(format!("`{}` does not start: {error}", self.program.display())))?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let run = async {
            let write = async {
                if let Some(mut stdin) = stdin {
                    // One that does not read it may end as it likes.
                    let _ = stdin.write_all(format!("{told}\n").as_bytes()).await;
                }
            };
            let ((), _, said, ended) = tokio::join!(write, heard(stdout), heard(stderr), child.wait());
            (said, ended)
        };
        let Ok((said, ended)) = timeout(self.patience, run).await else {
            // Dropped, it is killed.
            return Err(TellFault::Passing(format!("it did not end within {} seconds", self.patience.as_secs())));
        };
        match ended {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => {
                let said: String = said.trim().chars().take(REPEATED).collect();
                let said = if said.is_empty() { String::new() } else { format!(": {said}") };
                Err(TellFault::Refused(format!("it ended with {status}{said}")))
            }
            Err(error) => Err(TellFault::Away(error.to_string())),
        }
    }
}

/// What it says, the beginning of it; all of it is read, so that it can go on.
async fn heard(output: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut output) = output else { return String::new() };
    let mut said = Vec::new();
    let _ = (&mut output).take(SAID).read_to_end(&mut said).await;
    let _ = tokio::io::copy(&mut output, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&said).into_owned()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt, path::Path};

    fn script(folder: &Path, text: &str) -> Hook {
        let path = folder.join("hook");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        Hook::new(path)
    }

    async fn call(hook: &Hook) -> Result<(), TellFault> {
        let load = MemberLoad { items: 3, next_due_at: Some("2026-04-01T15:00:00Z".parse().unwrap()) };
        hook.call(&"ISR:avi".parse().unwrap(), &load).await
    }

    #[tokio::test]
    async fn program_is_told_member_number_and_instant_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let told = folder.path().join("told");
        let hook = script(folder.path(), &format!("echo \"$#\" > '{0}'; cat >> '{0}'", told.display()));
        assert_eq!(call(&hook).await, Ok(()));
        let told = fs::read_to_string(told).unwrap();
        let (arguments, line) = told.split_once('\n').unwrap();
        assert_eq!(arguments, "0");
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line, json!({ "member": "ISR:avi", "items": 3, "next_due_at": "2026-04-01T15:00:00Z" }));
    }

    #[tokio::test]
    async fn program_that_fails_says_why_and_one_that_does_not_read_or_says_much_is_no_failure() {
        let folder = tempfile::tempdir().unwrap();
        let refused = call(&script(folder.path(), "echo 'no pager' >&2; exit 3")).await;
        assert!(matches!(&refused, Err(TellFault::Refused(why)) if why.contains("3: no pager")), "{refused:?}");
        assert_eq!(call(&script(folder.path(), "exit 0")).await, Ok(()));
        let much =
            "i=0; while [ $i -lt 4000 ]; do echo 'a line of some fifty characters, again and again'; i=$((i+1)); done";
        assert_eq!(call(&script(folder.path(), much)).await, Ok(()));
    }

    #[tokio::test]
    async fn program_that_does_not_end_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let hook = Hook { patience: Duration::from_millis(200), ..script(folder.path(), "exec sleep 600") };
        assert!(matches!(call(&hook).await, Err(TellFault::Passing(_))));
    }
}
