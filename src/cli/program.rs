//! `entente program`: the agreements and forums that calls run under.

use super::{
    act::{self, DryRun, Question},
    context::{Context, ListArgs, joined},
    error::Result,
    output::Screen,
    prompt::Consent,
    table::Table,
    time::Zone,
};
use crate::{
    client::naming::ProgramName,
    domain::id::PartnerCode,
    wire::directory::{CreateProgram, Program},
};
use clap::{Args, Subcommand};
use std::collections::BTreeSet;

/// Set up and look at programs, the agreements that calls run under
#[derive(Debug, Subcommand)]
pub enum ProgramCommand {
    /// Create a program (program officers of the host)
    #[command(after_help = "Examples:
  entente program create --name 'US-Israel Industrial R&D' --lead USA \\
      --partner ISR --dry-run
  entente program create --name 'US-Israel Industrial R&D' --lead USA \\
      --partner USA --partner ISR

Asks first: nobody deletes a program. In a script, give it `--yes`.")]
    Create(CreateProgramArgs),
    /// List the programs you take part in
    #[command(
        after_help = "Examples:\n  entente program list\n  entente --json program list --all | jq -r '.items[].id'"
    )]
    List(ListArgs),
    /// Show a program
    #[command(after_help = "Examples:\n  entente program show 'US-Israel Industrial R&D'")]
    Show {
        /// Its name, or the beginning of that or of its identifier
        program: ProgramName,
    },
}

#[derive(Debug, Args)]
pub struct CreateProgramArgs {
    /// What people call it; seen by every participating partner
    #[arg(long)]
    name: String,
    /// The partner that leads it and whose officers sign its calls
    #[arg(long, value_name = "PARTNER")]
    lead: PartnerCode,
    /// A participating partner; the lead is one without being named
    #[arg(long, value_name = "PARTNER", required = true)]
    partner: Vec<PartnerCode>,
    #[command(flatten)]
    dry_run: DryRun,
    #[command(flatten)]
    consent: Consent,
}

/// Runs the command.
pub(super) async fn run(command: ProgramCommand, context: &Context) -> Result<()> {
    let client = context.client().await?;
    match command {
        ProgramCommand::Create(CreateProgramArgs { name, lead, partner, dry_run, consent }) => {
            let partners: BTreeSet<PartnerCode> = partner.into_iter().chain([lead.clone()]).collect();
            let new = CreateProgram { name, lead, partners };
            if !act::goes_ahead(context, dry_run, Question::Always(consent), client.forecast_program(&new)).await? {
                return Ok(());
            }
            let program = client.api().create_program(&new).await?;
            let zone = context.zone()?;
            context.out.answer(&program, |screen| show(screen, &program, &zone))
        }
        ProgramCommand::List(list) => {
            let programs = list.collect(async |paging| client.api().programs(&paging).await).await?;
            context.out.answer(&programs, |screen| lines(screen, &programs.items))?;
            list.note_more(&context.out, &programs);
            Ok(())
        }
        ProgramCommand::Show { program } => {
            let program = client.api().program(client.find_program(&program).await?).await?;
            let zone = context.zone()?;
            context.out.answer(&program, |screen| show(screen, &program, &zone))
        }
    }
}

/// Programs, one a line.
pub(super) fn lines(screen: &mut Screen, programs: &[Program]) {
    let mut table = Table::new(["PROGRAM", "LEAD", "PARTNERS"]);
    for Program { id, name, lead, partners, .. } in programs {
        table.row([screen.named(name, id), lead.to_string(), joined(partners)]);
    }
    screen.table(&table, "you take part in no program");
}

fn show(screen: &mut Screen, program: &Program, zone: &Zone) {
    screen.fields(&[
        ("program", screen.named(&program.name, &program.id)),
        ("lead", program.lead.to_string()),
        ("partners", joined(&program.partners)),
        ("created", format!("{} by {}", zone.both(program.created_at.0), program.created_by)),
    ]);
}
