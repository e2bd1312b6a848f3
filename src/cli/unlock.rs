//! `entente unlock` and `entente lock`: asks for passphrases once, has the opened keys held by a process of their own, and ends it.
//!
//! The process is this program again. What it is to hold it gets through a pipe, never as an argument or in the environment.

use super::{
    context::Context,
    error::{CliError, Result},
    output::Screen,
    signals,
    time::Zone,
};
use crate::{
    client::{
        Home, Profile,
        unlock::{
            self, HoldLimits, KeyHolder, LONGEST_LIMIT, OpenedKeys, USUAL_IDLE, USUAL_LIMIT, holder, link,
            protocol::{HeldKeys, HolderStatus},
        },
    },
    process::{ServiceState, tell_manager},
};
use clap::Args;
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::{env, process::Command, time::Duration};

/// Enter your passphrases once, for all commands of the next hours
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  entente unlock   for 8 hours, or until nothing used the keys for 4 hours
  entente unlock --for 30m
  entente unlock --status
  entente lock     forgets them at once

The opened keys are held in the memory of a process of their own, which commands of your account ask to open and to sign; it \
never gives a key out. Commands find it by themselves; `--no-unlock` and the variable ENTENTE_NO_UNLOCK make them ask as before. The \
key agent never uses it. SECURITY.md says what it protects from. Not available on Windows.")]
pub struct UnlockArgs {
    /// Hold the keys this long, such as `30m` or `8h`; `24h` at most [default: 8h]
    #[arg(long = "for", value_name = "TIME", value_parser = time_argument)]
    total: Option<Duration>,
    /// Forget them after this time without use [default: 4h]
    #[arg(long, value_name = "TIME", value_parser = time_argument)]
    idle: Option<Duration>,
    /// Hold the keys in this process, for a supervisor
    #[arg(long)]
    foreground: bool,
    /// Show what is held, and how long
    #[arg(long, conflicts_with_all = ["total", "idle", "foreground"])]
    status: bool,
    /// Hold what comes from standard input: the process that this command starts
    #[arg(long, hide = true, conflicts_with_all = ["foreground", "status"])]
    hold: bool,
}

impl UnlockArgs {
    /// Whether the keys are held by this process, which then ends by a signal.
    pub(super) fn holds(&self) -> bool {
        self.hold || self.foreground
    }

    /// Whether another `entente unlock` started it, and nobody reads what it says.
    pub(super) fn is_started(&self) -> bool {
        self.hold
    }
}

/// Runs `entente unlock`.
pub(super) async fn run(args: UnlockArgs, context: &Context) -> Result<()> {
    unlock::require_support()?;
    let clock = context.ambient.clock.clone();
    if args.hold {
        let ending = signals::ending_signal()?;
        return Ok(holder::run(clock, ended_by(ending)).await?);
    }
    let home = context.home()?;
    let name = home.profile_name(context.global.profile.as_deref())?;
    let zone = context.zone()?;
    let found = KeyHolder::find(&home, &name)?;
    if args.status {
        return show_found(found.as_deref(), &home, &name, context, &zone);
    }
    let profile = home.profile(Some(&name))?;
    if let Some(found) = found.as_deref().filter(|_| !args.foreground)
        && found.is_up_to_date(&profile)?
    {
        if args.total.is_some() || args.idle.is_some() {
            let until = zone.both(found.status().until);
            let what = format!("the keys are unlocked already, until {until}, and that is not changed");
            return Err(CliError::usage(what).help("run `entente lock` first"));
        }
        context.out.note("the keys are unlocked already; `entente lock` forgets them");
        return show(context, found.status(), &zone);
    }
    let limits = HoldLimits { total: args.total.unwrap_or(USUAL_LIMIT), idle: args.idle.unwrap_or(USUAL_IDLE) };
    unlock::protect_memory();
    let opened = open(&profile, context).await?;
    // The holder has the opened keys, and no passphrase.
    context.keyboard().forget();
    for sentence in &opened.left_out {
        context.out.note(&format!("not held: {sentence}"));
    }
    if let Some(found) = found
        && !args.foreground
    {
        context.out.note("other keys of this profile were unlocked, of files that have changed; they are forgotten");
        link::lock(&home, &found.status().profile)?;
    }
    if args.foreground {
        return hold_here(&home, opened, limits, context, &zone).await;
    }
    let program = env::current_exe().map_err(|error| CliError::failed(format!("cannot find this program: {error}")))?;
    let mut program = Command::new(program);
    program.args(["unlock", "--hold"]);
    let start = move || holder::start(program, &home, opened, limits);
    let status = tokio::task::spawn_blocking(start).await.map_err(CliError::failed)??;
    show(context, &status, &zone)
}

/// Runs `entente lock`.
pub(super) async fn lock(context: &Context) -> Result<()> {
    unlock::require_support()?;
    let home = context.home()?;
    // Its name is enough: keys are held on when the profile was removed or damaged since.
    let name = home.profile_name(context.global.profile.as_deref())?;
    // On a thread of its own: it waits for the end of the other process.
    let locked = name.clone();
    let lock = move || link::lock(&home, &locked);
    let was_held = tokio::task::spawn_blocking(lock).await.map_err(CliError::failed)??;
    context.out.done(&if was_held {
        format!("the keys of the profile `{name}` are forgotten; commands ask for passphrases again")
    } else {
        format!("no keys of the profile `{name}` were held")
    })
}

/// Asks for the passphrases, on a thread of its own: an interruption is heard meanwhile.
async fn open(profile: &Profile, context: &Context) -> Result<OpenedKeys> {
    let (profile, keyboard) = (profile.clone(), context.keyboard());
    let open = move || unlock::open(&profile, &keyboard);
    Ok(tokio::task::spawn_blocking(open).await.map_err(CliError::failed)??)
}

async fn hold_here(home: &Home, opened: OpenedKeys, limits: HoldLimits, context: &Context, zone: &Zone) -> Result<()> {
    let ending = signals::ending_signal()?;
    let ready = |status: &HolderStatus| {
        tell_manager(ServiceState::Ready);
        // A supervisor that reads nothing is no reason to stop.
        let _ = show(context, status, zone);
    };
    holder::hold(home, opened, limits, context.ambient.clock.clone(), ended_by(ending), ready).await?;
    tell_manager(ServiceState::Stopping);
    context.out.note("the keys are forgotten");
    Ok(())
}

/// Completes with a signal, whichever it is.
async fn ended_by(ending: impl Future<Output = signals::Signal>) {
    ending.await;
}

fn show_found(found: Option<&KeyHolder>, home: &Home, name: &str, context: &Context, zone: &Zone) -> Result<()> {
    let profile = home.profile(Some(name));
    let Some(found) = found else {
        profile?;
        return context.out.answer(&json!({ "unlocked": false, "profile": name }), |screen| {
            screen.line(&format!("the keys of the profile `{name}` are locked: commands ask for passphrases"));
        });
    };
    // What is held is shown, whatever became of the profile since.
    match profile.and_then(|profile| found.is_up_to_date(&profile)) {
        Ok(true) => {}
        Ok(false) => context.out.warn("a key file of the profile has changed since; run `entente unlock` again"),
        Err(error) => context.out.warn(&error.to_string()),
    }
    show(context, found.status(), zone)
}

fn show(context: &Context, status: &HolderStatus, zone: &Zone) -> Result<()> {
    let mut value = serde_json::to_value(status).map_err(CliError::failed)?;
    if let Value::Object(fields) = &mut value {
        fields.insert("unlocked".to_owned(), json!(true));
    }
    context.out.answer(&value, |screen| lines(screen, status, zone))?;
    for missing in &status.missing {
        context.out.note(missing);
    }
    Ok(())
}

fn lines(screen: &mut Screen, status: &HolderStatus, zone: &Zone) {
    let held = status.files.iter().map(|held| match &held.keys {
        HeldKeys::Identity { recipients } => format!("identity {}: {}", held.file, recipients.join(" ")),
        HeldKeys::PrivateKey { .. } => format!("private key {}", held.file),
    });
    screen.fields(&[
        ("profile", status.profile.clone()),
        ("holds", held.collect::<Vec<_>>().join("\n")),
        ("until", zone.both(status.until)),
        ("without use until", zone.both(status.idle_until)),
    ]);
}

fn time_argument(text: &str) -> Result<Duration, String> {
    let wanted: SignedDuration = text.parse().map_err(|_| "write a time such as `30m` or `8h`".to_owned())?;
    let wanted = Duration::try_from(wanted).unwrap_or_default();
    if (Duration::from_secs(1)..=LONGEST_LIMIT).contains(&wanted) {
        Ok(wanted)
    } else {
        Err("give one from a second to 24 hours".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_held_a_day_at_most() {
        assert_eq!(time_argument("30m").unwrap(), Duration::from_mins(30));
        assert_eq!(time_argument("24h").unwrap(), LONGEST_LIMIT);
        assert_eq!((time_argument("8h").unwrap(), time_argument("4h").unwrap()), (USUAL_LIMIT, USUAL_IDLE));
        for wrong in ["0s", "25h", "-1m", "tomorrow", "8"] {
            assert!(time_argument(wrong).is_err(), "{wrong}");
        }
    }
}
