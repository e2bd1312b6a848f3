//! `entente agent run`: the key agent as a process: a round, a pause, the next round, until a signal stops it. One line for each
//! act on standard output, one JSON object with `--json`.

use super::{
    context::Context,
    error::{CliError, Exit, Result},
    signals::stop_signal,
};
use crate::{
    client::{
        ClientError,
        agent::{Agent, AgentAct, AgentSubject, Event, RoundTally, pause},
        naming::CallName,
    },
    domain::text::counted,
    process::{State, tell_manager},
};
use clap::{Args, Subcommand};
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::{
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// Pass keys on without anybody at the keyboard
#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Wrap keys for members whom policy admits, and remove those of members whom it does not, again and again
    #[command(after_help = "Examples:
  entente agent run
  entente agent run --call $CALL --every 30s
  entente --json agent run --once                                     for cron
  entente --passphrase-file \"$CREDENTIALS_DIRECTORY/passphrase\" agent run

It acts as the member of the profile and does what `entente key share` does, whenever somebody lacks a key, and never reads \
a document. It goes on while the exchange is away, and stops at SIGTERM or SIGINT once the proposal at hand is done. With \
`--once`, the exit code says whether everything could be done. docs/agent.md says how to set it up and what it risks.")]
    Run(Run),
}

#[derive(Debug, Args)]
pub struct Run {
    /// Only the proposals of this call
    #[arg(long)]
    call: Option<CallName>,
    /// Look this often, such as `30s` or `5m`
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = interval_argument)]
    every: Duration,
    /// Look once and end
    #[arg(long, conflicts_with = "every")]
    once: bool,
}

/// Set by a signal, looked at between two proposals.
#[derive(Debug, Default)]
struct Stop(AtomicBool);

impl Stop {
    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Runs the command.
pub(super) async fn run(command: AgentCommand, context: &Context) -> Result<()> {
    let AgentCommand::Run(Run { call, every, once }) = command;
    // Each round reads its files again, and nobody sits there to type their passphrases again.
    let keyboard = context.keyboard().remembering();
    let connect = || {
        context.new_client(keyboard.clone()).map_err(|error| {
            let help = error.help.unwrap_or_default();
            ClientError::local(error.message, help)
        })
    };
    // What is wrong with the set-up is said with its own exit code.
    let client = context.client_asking(keyboard.clone()).await?;
    let call = match &call {
        Some(name) => Some(client.find_call(name).await?),
        None => None,
    };
    drop(client);
    let mut agent = Agent::new(connect, call);
    agent.check().await?;
    keyboard.asks_for_no_more_files();
    let stop = Stop::default();
    let mut stop_signal = pin!(stop_signal()?);
    tell_manager(State::Ready);
    state(context, "started", None)?;
    let mut failures = 0_u32;
    loop {
        let mut broken = None;
        let round = {
            let mut report = |event: &Event| {
                if let Err(error) = line(context, event) {
                    // The agent does not go on with acts that it cannot report.
                    stop.0.store(true, Ordering::Relaxed);
                    broken = Some(error);
                }
            };
            let is_stopped = || stop.is_set();
            let mut round = pin!(agent.round(&is_stopped, &mut report));
            tokio::select! {
                done = &mut round => done,
                () = &mut stop_signal, if !stop.is_set() => {
                    stop.0.store(true, Ordering::Relaxed);
                    tell_manager(State::Stopping);
                    round.await
                }
            }
        };
        if let Some(error) = broken {
            return Err(error);
        }
        // Each round has a client of its own, and what that has met goes with it.
        context.warn_of_exchange().await?;
        if once {
            return finished(round?);
        }
        match &round {
            Ok(_) if failures > 0 => state(context, "resumed", None)?,
            Err(error) if failures == 0 => state(context, "interrupted", Some(error))?,
            _ => {}
        }
        failures = if round.is_ok() { 0 } else { failures.saturating_add(1) };
        let wait = pause(every, failures, &*context.ambient.rng);
        if !stop.is_set() {
            tokio::select! {
                () = tokio::time::sleep(wait) => continue,
                () = &mut stop_signal => tell_manager(State::Stopping),
            }
        }
        return state(context, "stopped", None);
    }
}

/// Exit code 3 if something was left to do, as a script wants to know.
fn finished(RoundTally { wrapped, removed, not_done }: RoundTally) -> Result<()> {
    if not_done == 0 {
        return Ok(());
    }
    let (left, wrapped) = (counted(not_done, "thing", "things"), counted(wrapped, "key was", "keys were"));
    let message = format!("{left} could not be done; {wrapped} wrapped, {removed} removed");
    Err(CliError { exit: Exit::Refused, ..CliError::failed(message) }.help("the lines above say why"))
}

/// One act on one line.
fn line(context: &Context, event: &Event) -> Result<()> {
    context.out.answer(&context.stamped(event)?, |screen| {
        let Event { act, place, key, reason, help } = event;
        let place = match place {
            AgentSubject::Call(id) => format!("call={id}"),
            AgentSubject::Proposal(id) => format!("proposal={id}"),
        };
        let mut text = format!("{} {} {place}", context.now(), act.as_str());
        if let Some(key) = key {
            text = format!("{text} vault={} kind={} holder={}", key.vault, key.kind, key.holder);
        }
        if let Some(reason) = reason {
            text = format!("{text} reason={reason:?}");
        }
        if let Some(help) = help.as_ref().filter(|_| *act != AgentAct::Removed) {
            text = format!("{text} help={help:?}");
        }
        screen.line(&text);
    })
}

/// How the agent itself is.
fn state(context: &Context, what: &str, why: Option<&ClientError>) -> Result<()> {
    let mut value = json!({ "at": context.now(), "agent": what });
    if let (Value::Object(fields), Some(why)) = (&mut value, why) {
        fields.insert("reason".to_owned(), json!(why.to_string()));
        fields.insert("help".to_owned(), json!(why.help()));
    }
    context.out.answer(&value, |screen| {
        let why = why.map(|why| format!(" reason={:?} help={:?}", why.to_string(), why.help()));
        screen.line(&format!("{} agent {what}{}", context.now(), why.unwrap_or_default()));
    })
}

pub(super) fn interval_argument(text: &str) -> Result<Duration, String> {
    let wanted: SignedDuration = text.parse().map_err(|_| "write a time such as `30s` or `5m`".to_owned())?;
    let wanted = Duration::try_from(wanted).unwrap_or_default();
    if (Duration::from_secs(1)..=Duration::from_hours(1)).contains(&wanted) {
        Ok(wanted)
    } else {
        Err("give one from a second to an hour".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_is_a_time_within_bounds() {
        assert_eq!(interval_argument("30s").unwrap(), Duration::from_secs(30));
        assert_eq!(interval_argument("5m").unwrap(), Duration::from_mins(5));
        for wrong in ["0s", "2h", "-1m", "soon", "5"] {
            assert!(interval_argument(wrong).is_err(), "{wrong}");
        }
    }
}
