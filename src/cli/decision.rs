//! `entente decision`: funding decisions, final once every funding partner has signed.

use super::{
    act::{self, DryRun, Question},
    context::{Context, joined},
    error::{CliError, Result},
    output::{Screen, Style},
    prompt::Consent,
    time::Zone,
    titles::worded,
};
use crate::{client::naming::ProposalName, domain::decision::Outcome, wire::decision::Decision};
use clap::Subcommand;
use std::future::ready;

/// Decide on proposals, one signature per funding partner
#[derive(Debug, Subcommand)]
pub enum DecisionCommand {
    /// Sign a decision on the version that stands: propose it, or add your partner's signature
    #[command(after_help = "Examples:
  entente decision sign $PROPOSAL fund --dry-run    whether it would be final
  entente decision sign $PROPOSAL fund
  entente decision sign $PROPOSAL decline
  entente decision sign $PROPOSAL fund --reason 'money became free'
  entente decision sign $PROPOSAL rescind --reason 'a conflict came to light'

The first signature proposes the outcome; the others must say the same. The last one makes it final for good, so it asks \
first, unless a script says `--yes`. A signature whose signer has declared a conflict since, works for a party now, or has lost the \
role or the key card counts as missing: another decider of that partner signs in its place.

A final decision is undone by another one only: it names the one in force, says why, and every funder signs again. `rescind` leaves the \
proposal undecided. Until the last signature the earlier decision is in force. The exchange and the parties read the reason.")]
    Sign {
        /// The proposal
        proposal: ProposalName,
        /// fund, reserve, decline, or rescind for a final one; the host learns it, the reasons are in the sealed letter
        outcome: Outcome,
        /// Why a final decision is superseded; not sealed, the host and the parties read it
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        dry_run: DryRun,
        #[command(flatten)]
        consent: Consent,
    },
    /// Show the proposed or final decision, its signatures verified
    #[command(after_help = "Examples:\n  entente decision show $PROPOSAL")]
    Show {
        /// The proposal
        proposal: ProposalName,
    },
    /// Take your partner's signature back, as long as others are missing
    #[command(after_help = "Examples:\n  entente decision unsign $PROPOSAL")]
    Unsign {
        /// The proposal
        proposal: ProposalName,
        #[command(flatten)]
        dry_run: DryRun,
    },
}

/// Runs the command.
pub(super) async fn run(command: DecisionCommand, context: &Context) -> Result<()> {
    let client = context.client().await?;
    let zone = context.zone()?;
    match command {
        DecisionCommand::Sign { proposal, outcome, reason, dry_run, consent } => {
            let reason = reason.as_deref().map(super::context::reason).transpose()?;
            let found = client.find_proposal(&proposal).await?;
            let plan = client.plan_superseding(found.id, outcome, reason).await?;
            // Before anything is decided: what is asked for afterwards stands between a person and the answer.
            let title = if dry_run.is_meant() { None } else { client.title_by_id(found.id).await };
            let forecast = ready(Ok(client.forecast_decision(&plan, &worded(&found, title.as_deref()))));
            if !act::goes_ahead(context, dry_run, Question::IfFinal(consent), forecast).await? {
                return Ok(());
            }
            let decision = client.decide(&plan).await?;
            context.out.answer(&decision, |screen| show(screen, title.as_deref(), &decision, &zone))
        }
        DecisionCommand::Show { proposal } => {
            let found = client.find_proposal(&proposal).await?;
            let Some(decision) = client.decision(found.id).await? else {
                return Err(CliError::failed(format!("there is no decision on {found}"))
                    .help("deciders propose one with `entente decision sign`"));
            };
            let title = client.title_by_id(found.id).await;
            context.out.answer(&decision, |screen| show(screen, title.as_deref(), &decision, &zone))
        }
        DecisionCommand::Unsign { proposal, dry_run } => {
            let found = client.find_proposal(&proposal).await?;
            if !act::goes_ahead(context, dry_run, Question::Never, client.forecast_unsigning(found.id)).await? {
                return Ok(());
            }
            client.unsign_decision(found.id).await?;
            context.out.done(&format!("your partner's signature on the decision about {found} is taken back"))
        }
    }
}

/// A decision, what it is about, who signed it and who has to.
pub(super) fn show(screen: &mut Screen, title: Option<&str>, decision: &Decision, zone: &Zone) {
    let signatures = decision.signatures.iter().map(|(partner, signature)| {
        let set_aside = signature.set_aside.map(|why| {
            format!(", set aside: {} {}, so another decider of {partner} has to sign", signature.member, why.sentence())
        });
        let (member, at) = (&signature.member, zone.both(signature.signed_at.0));
        format!("{partner} by {member} at {at}{}", set_aside.unwrap_or_default())
    });
    screen.fields(&[
        ("proposal", screen.named(&decision.reference, &decision.proposal)),
        ("title", title.unwrap_or_default().to_owned()),
        ("outcome", decision.outcome.to_string()),
        ("version", decision.manifest_sha256.to_string()),
        ("signed", signatures.collect::<Vec<_>>().join("\n")),
        ("missing", joined(&decision.missing)),
        ("reason", decision.reason.clone().unwrap_or_default()),
    ]);
    match decision.final_at {
        Some(at) => screen.styled(&[(Style::Green, "final "), (Style::Plain, &format!("since {}", zone.both(at.0)))]),
        None => screen.styled(&[(Style::Yellow, "not final: signatures are missing")]),
    }
    for before in &decision.before {
        let at = before.final_at.map(|at| zone.both(at.0)).unwrap_or_default();
        screen.styled(&[(Style::Dim, &format!("superseded: `{}`, final since {at}", before.outcome))]);
    }
    if let Some(next) = &decision.next {
        screen.heading("To take its place");
        show(screen, None, next, zone);
    }
}
