//! `entente console`: pages for the member's browser, from this machine and for it alone.

use super::{
    context::Context,
    error::{CliError, Result},
    prompt::is_attended,
    signals,
};
use crate::{
    client::unlock,
    console::{ConsoleName, ConsoleOptions, Doorkeeper, LONGEST_IDLE, RunningConsole, USUAL_IDLE},
    platform::browser::{has_screen, open_in_browser},
    process::{ServiceState, tell_manager},
};
use clap::Args;
use jiff::SignedDuration;
use serde_json::json;
use std::{io::BufRead, time::Duration};

/// Work in your browser: pages from this machine, for it alone
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  entente console
  entente console --idle 5m
  entente --profile officer console --no-open
  entente --json console --no-open   prints {\"address\": …}

It prints an address that works once, in one browser, and opens it. Press Enter for another one. The pages ask for your \
passphrase; your keys are forgotten after 15 minutes without use, by a button, and when the command ends. What \
`entente unlock` holds is not used. On Linux, other accounts of this machine get no answer; on other systems they need the \
address. SECURITY.md says what that protects from. One console is for one member: start another one with `--profile`.")]
pub struct ConsoleArgs {
    /// Print the address alone: no browser is opened
    #[arg(long)]
    no_open: bool,
    /// Forget the keys after this time without use, such as `5m`; `8h` at most [default: 15m]
    #[arg(long, value_name = "TIME", value_parser = idle_argument)]
    idle: Option<Duration>,
    /// Listen on this loopback port [default: a free one]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Use the address 127.0.0.1, for a browser that does not find names below `localhost`
    #[arg(long)]
    numeric: bool,
}

/// Runs the command until a signal ends it.
pub(super) async fn run(args: ConsoleArgs, context: &Context) -> Result<()> {
    let ending = signals::ending_signal()?;
    let home = context.home()?;
    let profile = home.profile_name(context.global.profile.as_deref())?;
    unlock::protect_memory();
    let console = RunningConsole::start(ConsoleOptions {
        home,
        profile: profile.clone(),
        ambient: context.ambient.clone(),
        port: args.port,
        name: if args.numeric { ConsoleName::Number } else { ConsoleName::Random },
        idle: args.idle.unwrap_or(USUAL_IDLE),
    })
    .await?;
    let doorkeeper = console.doorkeeper();
    let address = doorkeeper.new_address();
    context.out.answer(&json!({ "address": address, "profile": profile }), |screen| screen.line(&address))?;
    if !args.no_open && has_screen() {
        if let Err(error) = open_in_browser(&address) {
            context.out.note(&format!("no browser could be opened ({error}); open the address yourself"));
        }
    } else if !args.no_open {
        context.out.note("there is no screen here to open a browser on; open the address in a browser on this machine");
    }
    if is_attended() {
        context.out.note("press Enter for another address, Ctrl-C to end the console");
        give_addresses(context, doorkeeper);
    }
    tell_manager(ServiceState::Ready);
    console
        .run(async {
            ending.await;
        })
        .await?;
    tell_manager(ServiceState::Stopping);
    context.out.note("the console has ended, and the keys are forgotten");
    Ok(())
}

/// Prints another address each time that somebody presses Enter.
fn give_addresses(context: &Context, doorkeeper: Doorkeeper) {
    let out = context.out.clone();
    // A thread of its own, which ends with the process: nothing else reads the keyboard.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let address = doorkeeper.new_address();
            if line.is_err() || out.answer(&json!({ "address": address }), |screen| screen.line(&address)).is_err() {
                return;
            }
        }
    });
}

fn idle_argument(text: &str) -> Result<Duration, CliError> {
    let fault = || CliError::usage("give a time from a minute to 8 hours, such as `5m`");
    let wanted: SignedDuration = text.parse().map_err(|_| fault())?;
    let wanted = Duration::try_from(wanted).map_err(|_| fault())?;
    if (Duration::from_mins(1)..=LONGEST_IDLE).contains(&wanted) { Ok(wanted) } else { Err(fault()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_held_for_some_time_without_use() {
        assert_eq!(idle_argument("15m").unwrap(), USUAL_IDLE);
        assert_eq!(idle_argument("8h").unwrap(), LONGEST_IDLE);
        for wrong in ["30s", "9h", "-5m", "soon", "5"] {
            assert!(idle_argument(wrong).is_err(), "{wrong}");
        }
    }
}
