//! A program of the nation's own that is called in place of sending mail. It gets a member, a number and an instant, and is not believed
//! to end, nor to say little.

use super::{TellFault, schedule::MemberLoad};
use crate::domain::id::MemberId;
use serde_json::json;
use std::{path::PathBuf, pin::pin, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::Command,
    time::timeout,
};

/// For the program, from its start to its end.
const PATIENCE: Duration = Duration::from_secs(30);
/// For what it said last, once it has ended.
const LAST_WORDS: Duration = Duration::from_millis(200);
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

    /// One that waits so long for the program.
    #[cfg(all(test, unix))]
    pub(super) fn waiting_for(self, patience: Duration) -> Self {
        Self { patience, ..self }
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
        let (mut unheard, mut said) = (Vec::new(), Vec::new());
        let talk = async {
            let write = async {
                if let Some(mut stdin) = stdin {
                    // One that does not read it may end as it likes.
                    let _ = stdin.write_all(format!("{told}\n").as_bytes()).await;
                }
            };
            tokio::join!(write, hear(stdout, &mut unheard), hear(stderr, &mut said));
        };
        let run = async {
            let mut talk = pin!(talk);
            tokio::select! {
                ended = child.wait() => {
                    // Its last words are still in the pipe, which something that it has started may hold open for as long as it likes.
                    let _ = timeout(LAST_WORDS, talk).await;
                    ended
                }
                () = &mut talk => child.wait().await,
            }
        };
        let Ok(ended) = timeout(self.patience, run).await else {
            // Dropped, it is killed.
            let why = format!("it did not end within {} seconds", self.patience.as_secs());
            return Err(TellFault::Unknown(why));
        };
        match ended {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => {
                let said: String = String::from_utf8_lossy(&said).trim().chars().take(REPEATED).collect();
                let said = if said.is_empty() { String::new() } else { format!(": {said}") };
                Err(TellFault::Failed(format!("it ended with {status}{said}")))
            }
            Err(error) => Err(TellFault::Unknown(error.to_string())),
        }
    }
}

/// Hears what it says, the beginning of it; all of it is read, so that it can go on.
async fn hear(output: Option<impl AsyncRead + Unpin>, said: &mut Vec<u8>) {
    let Some(mut output) = output else { return };
    let _ = (&mut output).take(SAID).read_to_end(said).await;
    let _ = tokio::io::copy(&mut output, &mut tokio::io::sink()).await;
}

#[cfg(test)]
#[cfg(unix)]
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
        assert!(matches!(&refused, Err(TellFault::Failed(why)) if why.contains("3: no pager")), "{refused:?}");
        assert_eq!(call(&script(folder.path(), "exit 0")).await, Ok(()));
        let much =
            "i=0; while [ $i -lt 4000 ]; do echo 'a line of some fifty characters, again and again'; i=$((i+1)); done";
        assert_eq!(call(&script(folder.path(), much)).await, Ok(()));
    }

    #[tokio::test]
    async fn program_that_does_not_end_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let hook = Hook { patience: Duration::from_millis(200), ..script(folder.path(), "exec sleep 600") };
        assert!(matches!(call(&hook).await, Err(TellFault::Unknown(_))), "it may have told the member before");
    }

    #[tokio::test]
    async fn program_has_ended_when_it_ends_and_not_when_what_it_started_does() {
        let folder = tempfile::tempdir().unwrap();
        // It keeps the outputs open for longer than the program may take.
        assert_eq!(call(&script(folder.path(), "sleep 40 & exit 0")).await, Ok(()));
        let failed = call(&script(folder.path(), "sleep 40 & echo 'no pager' >&2; exit 3")).await;
        assert!(matches!(&failed, Err(TellFault::Failed(why)) if why.contains("3: no pager")), "{failed:?}");
    }
}
