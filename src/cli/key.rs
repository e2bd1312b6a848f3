//! `entente key share`: wraps vault keys for whom policy admits and who holds none yet. The client checks each reader's
//! key card before it wraps; what it refuses is listed with the reason.

use super::{
    context::Context,
    error::{CliError, Exit, Result},
    table::Table,
};
use crate::{
    client::{
        Client, ClientError,
        vaults::{Prepared, Wrapped},
    },
    domain::{
        call::Phase,
        id::{CallId, ProposalId},
        member::CallRole,
        proposal::Status,
    },
    wire::proposal::MissingKey,
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// Share vault keys with those whom policy admits
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Wrap keys for everybody whom policy admits and who holds none yet
    #[command(after_help = "Examples:
  entente key share $PROPOSAL
  entente key share --call $CALL      every submitted proposal, after the opening

Officers run it after the opening, after each assignment and after each review that came in. It also makes the vaults \
that reviews are sealed to.")]
    Share(Share),
    /// List who may read but holds no key yet
    #[command(after_help = "Examples:\n  entente key missing $PROPOSAL")]
    Missing {
        /// The proposal
        proposal: ProposalId,
    },
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("scope").required(true).args(["proposal", "call"]))]
pub struct Share {
    /// The proposal
    proposal: Option<ProposalId>,
    /// Every submitted proposal of this call
    #[arg(long)]
    call: Option<CallId>,
}

/// Runs the command.
pub(super) async fn run(command: Command, context: &Context) -> Result<()> {
    let client = context.client()?;
    match command {
        Command::Share(Share { call: Some(call), .. }) => show(context, &client.prepare_panel(call).await?),
        Command::Share(Share { proposal, .. }) => {
            let proposal = proposal.ok_or_else(|| CliError::usage("name a proposal or `--call`"))?;
            show(context, &share(&client, proposal).await?)
        }
        Command::Missing { proposal } => {
            let missing = client.api().missing_keys(proposal).await?;
            context.out.answer(&json!({ "items": missing }), |screen| {
                let mut table = Table::new(["VAULT", "KIND", "WHO LACKS A KEY"]);
                for key in &missing {
                    table.row(cells(key));
                }
                screen.table(&table, "nobody lacks a key");
            })
        }
    }
}

/// One proposal: as an officer also the vault for its reviews.
async fn share(client: &Client, id: ProposalId) -> Result<Prepared> {
    let proposal = client.api().proposal(id).await?;
    let call = client.api().call(proposal.call).await?.body;
    let is_panels_turn = call.phase == Phase::Review && proposal.status == Status::Submitted;
    let mut prepared = Prepared::default();
    if is_panels_turn && call.my_roles.contains(&CallRole::Officer) && client.make_deliberation_vault(id).await? {
        prepared.vaults_made.push(id);
    }
    prepared.wrapped = client.wrap_missing(id).await?;
    Ok(prepared)
}

fn show(context: &Context, prepared: &Prepared) -> Result<()> {
    let Prepared { vaults_made, wrapped: Wrapped { done, refused }, skipped } = prepared;
    let why = |error: &ClientError| error.to_string();
    let refused_json: Vec<Value> =
        refused.iter().map(|(key, error)| json!({ "key": key, "fault": why(error), "help": error.help() })).collect();
    let skipped_json: Vec<Value> = skipped
        .iter()
        .map(|(id, error)| json!({ "proposal": id, "fault": why(error), "help": error.help() }))
        .collect();
    let answer =
        json!({ "vaults_made": vaults_made, "wrapped": done, "refused": refused_json, "skipped": skipped_json });
    context.out.answer(&answer, |screen| {
        let mut table = Table::new(["VAULT", "KIND", "FOR", "KEY"]);
        for key in done {
            let [vault, kind, holder] = cells(key);
            table.row([vault, kind, holder, "wrapped".to_owned()]);
        }
        for (key, error) in refused {
            let [vault, kind, holder] = cells(key);
            table.row([vault, kind, holder, format!("REFUSED: {error}")]);
        }
        screen.table(&table, "nobody lacks a key");
        for id in vaults_made {
            screen.line(&format!("{id}: reviews can be sealed now"));
        }
        for (id, error) in skipped {
            screen.line(&format!("{id}: left out: {error}"));
        }
    })?;
    let first = refused.iter().map(|(_, error)| error).chain(skipped.iter().map(|(_, error)| error)).next();
    let Some(first) = first else { return Ok(()) };
    let exit = match first {
        ClientError::Problem { .. } => Exit::Refused,
        ClientError::Unverified { .. } => Exit::Unverified,
        ClientError::Transport { .. } => Exit::Unreachable,
        ClientError::Usage { .. } | ClientError::Local { .. } => Exit::Failed,
    };
    let message = format!("{} keys were not wrapped, {} proposals were left out", refused.len(), skipped.len());
    Err(CliError { exit, ..CliError::failed(message) }.help(first.help()))
}

fn cells(key: &MissingKey) -> [String; 3] {
    [key.vault.to_string(), key.kind.to_string(), key.holder.to_string()]
}
