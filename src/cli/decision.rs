//! `entente decision`: funding decisions, final once every funding partner has signed.

use super::{
    context::{Context, joined},
    error::{CliError, Result},
    output::{Screen, Style},
    prompt::Consent,
    time::Zone,
};
use crate::{
    domain::{decision::Outcome, id::ProposalId},
    wire::decision::Decision,
};
use clap::Subcommand;

/// Decide on proposals, one signature per funding partner
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sign a decision on the version that stands: propose it, or add your partner's signature
    #[command(after_help = "Examples:
  entente decision sign $PROPOSAL fund
  entente decision sign $PROPOSAL decline

The first signature proposes the outcome; the others must say the same. The last one makes it final for good, so it asks \
first, unless a script says `--yes`. A signature whose signer has declared a conflict since, works for a party now, or has lost the \
role or the key card counts as missing: another decider of that partner signs in its place.")]
    Sign {
        /// The proposal
        proposal: ProposalId,
        /// fund, reserve or decline; the host learns it, the reasons stand in the sealed letter
        outcome: Outcome,
        #[command(flatten)]
        consent: Consent,
    },
    /// Show the decision on the table, its signatures verified
    #[command(after_help = "Examples:\n  entente decision show $PROPOSAL")]
    Show {
        /// The proposal
        proposal: ProposalId,
    },
    /// Take your partner's signature back, as long as others are missing
    #[command(after_help = "Examples:\n  entente decision unsign $PROPOSAL")]
    Unsign {
        /// The proposal
        proposal: ProposalId,
    },
}

/// Runs the command.
pub(super) async fn run(command: Command, context: &Context) -> Result<()> {
    let client = context.client()?;
    let zone = context.zone()?;
    match command {
        Command::Sign { proposal, outcome, consent } => {
            let plan = client.plan_decision(proposal, outcome).await?;
            if plan.is_last() {
                let act = format!("signing last for `{outcome}` on {proposal}");
                let consequence = "the decision is final then, and nobody can take a signature back";
                context.keyboard().consent(consent, &act, consequence).await?;
            }
            let decision = client.decide(&plan).await?;
            context.out.answer(&decision, |screen| show(screen, &decision, &zone))
        }
        Command::Show { proposal } => {
            let Some(decision) = client.decision(proposal).await? else {
                return Err(CliError::failed(format!("there is no decision on {proposal}"))
                    .help("deciders propose one with `entente decision sign`"));
            };
            context.out.answer(&decision, |screen| show(screen, &decision, &zone))
        }
        Command::Unsign { proposal } => {
            client.unsign_decision(proposal).await?;
            context.out.done(&format!("your partner's signature on the decision about {proposal} is taken back"))
        }
    }
}

fn show(screen: &mut Screen, decision: &Decision, zone: &Zone) {
    let signatures = decision.signatures.iter().map(|(partner, signature)| {
        let set_aside = signature.set_aside.map(|why| {
            format!(", set aside: {} {}, so another decider of {partner} has to sign", signature.member, why.sentence())
        });
        let (member, at) = (&signature.member, zone.both(signature.signed_at.0));
        format!("{partner} by {member} at {at}{}", set_aside.unwrap_or_default())
    });
    screen.fields(&[
        ("proposal", decision.proposal.to_string()),
        ("outcome", decision.outcome.to_string()),
        ("version", decision.manifest_sha256.to_string()),
        ("signed", signatures.collect::<Vec<_>>().join("\n")),
        ("missing", joined(&decision.missing)),
    ]);
    match decision.final_at {
        Some(at) => screen.styled(&[(Style::Green, "final "), (Style::Plain, &format!("since {}", zone.both(at.0)))]),
        None => screen.styled(&[(Style::Yellow, "not final: signatures are missing")]),
    }
}
