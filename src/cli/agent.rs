//! `entente agent run`: the key agent as a process. One line for each act on standard output, one JSON object with `--json`.

use super::{
    context::{Context, joined},
    error::{CliError, Exit, Result},
    rounds::{Rounds, connector, interval_argument},
};
use crate::{
    client::{
        agent::{Agent, AgentAct, AgentSubject, Event, RoundTally},
        naming::CallName,
    },
    domain::text::counted,
};
use clap::{Args, Subcommand};
use std::time::Duration;

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

/// Runs the command.
pub(super) async fn run(command: AgentCommand, context: &Context) -> Result<()> {
    let AgentCommand::Run(Run { call, every, once }) = command;
    let keyboard = context.keyboard().remembering();
    // What is wrong with the set-up is said with its own exit code.
    let client = context.client_asking(keyboard.clone()).await?;
    let call = match &call {
        Some(name) => Some(client.find_call(name).await?),
        None => None,
    };
    drop(client);
    let mut agent = Agent::new(connector(context, &keyboard), call);
    agent.check().await?;
    keyboard.asks_for_no_more_files();
    let rounds = Rounds { name: "agent", every, is_single: once };
    rounds
        .run(context, async |is_stopped, report| Box::pin(agent.round(is_stopped, report)).await, line, finished)
        .await
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
        let Event { act, place, name, key, reason, help } = event;
        let (kind, id) = match place {
            AgentSubject::Call(id) => ("call", id.to_string()),
            AgentSubject::Proposal(id) => ("proposal", id.to_string()),
        };
        let name = name.as_ref().unwrap_or(&id);
        let mut text = format!("{} {} {kind}={name}", context.now(), act.as_str());
        // Beside the names where `--ids` wants them.
        for (what, id) in [("id", screen.id(&id)), ("vault", screen.id(&joined(key.as_ref().map(|key| key.vault))))] {
            if !id.is_empty() {
                text = format!("{text} {what}={id}");
            }
        }
        if let Some(key) = key {
            text = format!("{text} kind={} holder={}", key.kind, key.holder);
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
