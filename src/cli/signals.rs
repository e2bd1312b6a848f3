//! Signals to stop: INT, TERM and HUP all end a command, and what it left unfinished goes first. INT and TERM stop the agent.
//!
//! A signal that the parent of the command had ignored, as `nohup` does, stays ignored on Linux; macOS does not say which those are. On
//! Windows the events of the console stand for them: Ctrl-C is INT, a closed window HUP, and Ctrl-Break and the end of the session TERM.
//! After all but the first Windows ends the process within seconds, whatever it does.

use super::{
    context::Context,
    error::{CliError, Result},
};
use crate::client::unfinished::{self, Abandoned, UnreachableFolder};
use std::path::Path;

/// A signal that ends a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    Hangup = 1,
    Interrupt = 2,
    Terminate = 15,
}

impl Signal {
    /// The exit code of a command that it ended, as shells know it.
    pub(super) fn code(self) -> u8 {
        128 + self as u8
    }
}

/// Completes with the first signal that ends a command. They are listened to from the call on.
#[cfg(unix)]
pub(super) fn ending_signal() -> Result<impl Future<Output = Signal>> {
    use tokio::signal::unix::{self, SignalKind};
    let ignored = ignored();
    let listen = |kind: SignalKind, signal: Signal| {
        let is_ignored = ignored & (1 << (signal as u64 - 1)) != 0;
        (!is_ignored).then(|| unix::signal(kind)).transpose()
    };
    let mut hangup = listen(SignalKind::hangup(), Signal::Hangup)?;
    let mut interrupt = listen(SignalKind::interrupt(), Signal::Interrupt)?;
    let mut terminate = listen(SignalKind::terminate(), Signal::Terminate)?;
    Ok(async move {
        tokio::select! {
            () = next(&mut hangup) => Signal::Hangup,
            () = next(&mut interrupt) => Signal::Interrupt,
            () = next(&mut terminate) => Signal::Terminate,
        }
    })
}

/// Completes with the next signal; never where it is not listened to.
#[cfg(unix)]
async fn next(signal: &mut Option<tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

#[cfg(windows)]
pub(super) fn ending_signal() -> Result<impl Future<Output = Signal>> {
    use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_logoff, ctrl_shutdown};
    let (mut interrupt, mut break_key, mut close) = (ctrl_c()?, ctrl_break()?, ctrl_close()?);
    let (mut end_of_session, mut shutdown) = (ctrl_logoff()?, ctrl_shutdown()?);
    Ok(async move {
        tokio::select! {
            _ = close.recv() => Signal::Hangup,
            _ = interrupt.recv() => Signal::Interrupt,
            _ = break_key.recv() => Signal::Terminate,
            _ = end_of_session.recv() => Signal::Terminate,
            _ = shutdown.recv() => Signal::Terminate,
        }
    })
}

/// Completes with the first signal that stops the agent. They are listened to from the call on.
#[cfg(unix)]
pub(super) fn stop_signal() -> Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(windows)]
pub(super) fn stop_signal() -> Result<impl Future<Output = ()>> {
    let ending = ending_signal()?;
    Ok(async {
        ending.await;
    })
}

/// The signals that were ignored when the process started, one bit each from 1 up; none where the system does not report them.
#[cfg(unix)]
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

/// Says how what the command left unfinished stands on the disk.
pub(super) fn end(context: &Context, abandoned: &Abandoned) {
    CliError::failed("interrupted").help(advice(abandoned, context.interrupted.advice())).print(&context.out);
}

fn advice(abandoned: &Abandoned, again: &str) -> String {
    let shown = |path: &Path| format!("`{}`", path.display());
    let mut said = vec![again.to_owned()];
    match abandoned.removed {
        0 => {}
        1 => said.push("the unfinished file was removed".to_owned()),
        files => said.push(format!("{files} unfinished files were removed")),
    }
    for path in &abandoned.left {
        said.push(format!("{} is unfinished and could not be removed: delete it, it may be readable", shown(path)));
    }
    for path in &abandoned.finished {
        said.push(format!("{} is whole and stays", shown(path)));
    }
    said.join("; ")
}

/// Removes what commands left unfinished that were killed, and says so.
pub(super) fn sweep(context: &Context) {
    let Ok(home) = context.home() else { return };
    match unfinished::sweep(&home) {
        Ok(swept) => {
            for path in &swept.removed {
                context.out.warn(&format!(
                    "an earlier command was cut off; what it had written of a file, `{}`, was removed now",
                    path.display()
                ));
            }
            for (path, why) in &swept.left {
                context.out.warn(&format!(
                    "an earlier command was cut off and left a part of a file, `{}`, which cannot be removed: {why}",
                    path.display()
                ));
            }
            for UnreachableFolder { folder, journal } in &swept.away {
                context.out.warn(&format!(
                    "an earlier command was cut off while it wrote into `{}`, which is not there now, or whose disk is not: a part of a \
                     file may be there unencrypted. It is removed by the next command once the folder is back; if that will never be, \
                     delete `{}` to end this warning",
                    folder.display(),
                    journal.display()
                ));
            }
        }
        Err(error) => context.out.warn(&format!("what earlier commands left unfinished was not looked for: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_say_what_is_on_the_disk() {
        let nothing = Abandoned::default();
        assert_eq!(advice(&nothing, "run the same command again"), "run the same command again");
        let some = Abandoned { removed: 1, left: vec!["/a".into()], finished: vec!["/b".into()] };
        assert_eq!(
            advice(&some, "again"),
            "again; the unfinished file was removed; `/a` is unfinished and could not be removed: delete it, it may be \
             readable; `/b` is whole and stays"
        );
    }

    #[test]
    fn exit_code_tells_the_signal() {
        assert_eq!([Signal::Hangup, Signal::Interrupt, Signal::Terminate].map(Signal::code), [129, 130, 143]);
    }
}
