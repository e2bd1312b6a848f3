//! `entente proposal member`: who takes part for one's own party.

use super::show;
use crate::{
    cli::{
        act::{self, DryRun, Question},
        context::Context,
        error::Result,
        prompt::Consent,
    },
    client::{Client, naming::ProposalName},
    domain::id::MemberId,
};
use clap::Subcommand;

/// Ask colleagues to join your own party, take members out, or consent to late joiners
#[derive(Debug, Subcommand)]
pub enum PartyMemberCommand {
    /// Ask a colleague to join your own party, with the keys that your party holds; if nobody has joined a party yet, the other parties ask
    #[command(after_help = "Examples:
  entente proposal member invite $PROPOSAL ISR:tamar

They can read what your party reads. They join the party with `entente proposal accept`.")]
    Invite {
        /// The proposal
        proposal: ProposalName,
        /// The colleague
        member: MemberId,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Consent to a member joining a party after the deadline from another organisation; for officers of other nations
    #[command(after_help = "Examples:
  entente proposal member consent $PROPOSAL ISR:tamar
  entente proposal member consent $PROPOSAL ISR:tamar --withdraw
      until they have joined

Once the member has joined, nobody of their organisation judges the proposal.")]
    Consent {
        /// The proposal
        proposal: ProposalName,
        /// Who is asked to join
        member: MemberId,
        /// Take the consent back
        #[arg(long)]
        withdraw: bool,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Remove a member of your own party, or take an invitation back; they keep only what they have downloaded
    #[command(after_help = "Examples:
  entente proposal member remove $PROPOSAL ISR:avi --dry-run
  entente proposal member remove $PROPOSAL ISR:avi

Asks before you take yourself out: only a colleague can ask you again.")]
    Remove {
        /// The proposal
        proposal: ProposalName,
        /// The member
        member: MemberId,
        #[command(flatten)]
        dry_run: DryRun,
        #[command(flatten)]
        consent: Consent,
    },
}

/// Runs the command.
pub(super) async fn run(command: PartyMemberCommand, context: &Context, client: &Client) -> Result<()> {
    match command {
        PartyMemberCommand::Invite { proposal, member, dry_run } => {
            let id = client.find_proposal(&proposal).await?.id;
            let forecast = client.forecast_invitation(id, &member);
            if !act::goes_ahead(context, dry_run, Question::Never, forecast).await? {
                return Ok(());
            }
            let proposal = client.invite(id, &member).await?;
            show::one(context, client, &proposal).await?;
            context.out.note(&format!("{member} joins with: entente proposal accept {}", proposal.reference));
            Ok(())
        }
        PartyMemberCommand::Consent { proposal, member, withdraw, dry_run } => {
            let found = client.find_proposal(&proposal).await?;
            let forecast = client.forecast_consent(found.id, &member, withdraw);
            if !act::goes_ahead(context, dry_run, Question::Never, forecast).await? {
                return Ok(());
            }
            if withdraw {
                client.api().take_consent_back(found.id, &member).await?;
                return context.out.done(&format!("the consent to {member} joining a party of {found} is taken back"));
            }
            client.api().consent_to_join(found.id, &member).await?;
            context.out.done(&format!("{member} may join a party of {found}"))
        }
        PartyMemberCommand::Remove { proposal, member, dry_run, consent } => {
            let found = client.find_proposal(&proposal).await?;
            let forecast = client.forecast_removal(found.id, &member);
            if !act::goes_ahead(context, dry_run, Question::IfFinal(consent), forecast).await? {
                return Ok(());
            }
            client.remove_member(found.id, &member).await?;
            context.out.done(&format!("{member} has no further access to {found}"))?;
            context.out.note("what was downloaded before stays readable with the keys of that time");
            Ok(())
        }
    }
}
