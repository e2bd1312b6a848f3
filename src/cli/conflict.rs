//! `entente conflict`: declarations of interest. A member who judges declares before anything opens.

pub(super) mod sheet;

use super::{
    act::{self, DryRun, Question},
    context::{Context, reason},
    error::Result,
    prompt::Consent,
};
use crate::{
    client::naming::ProposalName,
    domain::{id::MemberId, member::ConflictGround},
};
use clap::{Args, Subcommand};

/// Declare conflicts of interest, before anything opens
#[derive(Debug, Subcommand)]
pub enum ConflictCommand {
    /// Declare that you have a conflict of interest with a proposal, or that you have none
    #[command(after_help = "Examples:
  entente conflict declare $PROPOSAL --none
  entente conflict declare $PROPOSAL --ground employment
  entente conflict declare $PROPOSAL --ground employment --yes    in a script

A conflict is asked about first. Once you declare a conflict, you no longer see the proposal, not even in a count, and you lose your keys to it. Only \
an officer from another nation can lift the conflict. `entente proposal show` lists the organisations concerned.")]
    Declare(Declare),
    /// Declare on all proposals of a call at once: you tick those with a conflict
    #[command(after_help = "Examples:
  entente conflict sheet $CALL                          at a terminal
  entente --csv conflict sheet $CALL > sheet.csv
  entente conflict sheet $CALL --file sheet.csv --dry-run
  entente conflict sheet $CALL --file sheet.csv

For officers, reviewers and deciders. The list shows who takes part in each proposal. At a terminal you type the numbers of those with \
which you have a conflict, and the ground of each; the others are declared to be without.

In a file, fill in the column `conflict`: leave it empty (or write `none`) for no conflict, or write the ground: employment, family, \
collaboration, financial, competition or other. Only the columns `proposal` and `conflict` are read. A proposal that the file does not \
name stays as it is; take its line out if you cannot say yet.

What would be declared is shown first, and asked about once. Each declaration is a statement that you sign. Run again after an \
interruption, it goes on with what is left.")]
    Sheet(sheet::InterestSheetArgs),
    /// Take a member's conflict off the record, as an officer of another nation; the member declares again
    #[command(after_help = "Examples:
  entente conflict lift $PROPOSAL GBR:grace \\
      --reason 'mistook the company for its namesake' --dry-run
  entente conflict lift $PROPOSAL GBR:grace \\
      --reason 'mistook the company for its namesake'")]
    Lift {
        /// The proposal
        proposal: ProposalName,
        /// The member who declared it
        member: MemberId,
        /// Why; logged
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        dry_run: DryRun,
    },
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["none", "ground"]))]
pub struct Declare {
    /// The proposal
    proposal: ProposalName,
    /// You have no conflict
    #[arg(long)]
    none: bool,
    /// You have one: employment, family, collaboration, financial, competition or other
    #[arg(long)]
    ground: Option<ConflictGround>,
    #[command(flatten)]
    dry_run: DryRun,
    #[command(flatten)]
    consent: Consent,
}

/// Runs the command.
pub(super) async fn run(command: ConflictCommand, context: &Context) -> Result<()> {
    let client = context.client().await?;
    match command {
        ConflictCommand::Declare(Declare { proposal, ground, none: _, dry_run, consent }) => {
            let found = client.find_proposal(&proposal).await?;
            let which = act::name_in_question(&client, &found, dry_run, consent).await;
            let forecast = client.forecast_declaration(found.id, &which, ground);
            if !act::goes_ahead(context, dry_run, Question::IfFinal(consent), forecast).await? {
                return Ok(());
            }
            client.declare(found.id, ground).await?;
            match ground {
                None => context.out.done(&format!("declared that you have no conflict with {found}")),
                Some(ground) => {
                    context.out.done(&format!("declared a conflict ({ground}); {found} is closed to you from now on"))
                }
            }
        }
        ConflictCommand::Sheet(args) => sheet::run(args, context, &client).await,
        ConflictCommand::Lift { proposal, member, reason: why, dry_run } => {
            let (why, proposal) = (reason(&why)?, client.find_proposal(&proposal).await?.id);
            let forecast = client.forecast_lifting(proposal, &member);
            if !act::goes_ahead(context, dry_run, Question::Never, forecast).await? {
                return Ok(());
            }
            client.lift_conflict(proposal, &member, why).await?;
            context.out.done(&format!("the conflict of {member} is off the record; {member} declares again"))
        }
    }
}
