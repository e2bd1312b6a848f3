//! `entente decision`: funding decisions, final once every funding partner has signed.

mod file;
pub(super) mod sheet;

use super::{
    act::{self, DryRun, Question},
    context::{Context, joined},
    error::{CliError, Result, read_input},
    output::{Screen, Style},
    prompt::Consent,
    table::Table,
    time::Zone,
    titles::worded,
};
use crate::{
    client::{
        Client, NoProgress,
        decisions::{DecisionBatch, DecisionLine, LineState, SignedBatch},
        naming::{CallName, ProposalName},
        titles::{PassphraseRule, Titles},
    },
    domain::{decision::Outcome, id::IdError, reference::ReferenceError, text::counted},
    wire::decision::Decision,
};
use clap::Subcommand;
use file::WrittenLine;
use serde_json::json;
use std::{
    future::ready,
    path::{Path, PathBuf},
    sync::Arc,
};

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
  entente decision sign $CALL --from sheet.csv --dry-run
  entente decision sign $CALL --from sheet.csv

The first signature proposes the outcome; the others must say the same. The last one makes it final for good. It asks first, unless a \
script says `--yes`: that yours is not the last one, nobody but the exchange says.

With `--from`, the lines of a file are signed after one look and one yes, each by a signature of its own. Done again, it goes on with the \
lines that are left. The file is one of these; a proposal is named by its reference:
  CSV       columns `proposal`, `outcome`, perhaps `amount`, and `reason` where
            a final decision is superseded: what `entente decision sheet`
            writes; a row without an outcome is left
  Markdown  a list under `fund:`, `reserve:` or `decline:`
  TOML      fund = [\"BIRD26-48179\"]
Amounts are summed up for you, and not signed. A signature whose signer has declared a conflict since, works for a party now, or has lost the \
role or the key card counts as missing: another decider of that partner signs in its place.

A final decision is undone by another one only: it names the one in force, says why, and every funder signs again. `rescind` leaves the \
proposal undecided. Until the last signature the earlier decision is in force. The exchange and the parties read the reason.")]
    Sign {
        /// The proposal; with `--from` the call
        #[arg(value_name = "PROPOSAL|CALL")]
        subject: String,
        /// fund, reserve, decline, or rescind for a final one; the host learns it, the reasons are in the sealed letter
        #[arg(required_unless_present = "from", conflicts_with = "from")]
        outcome: Option<Outcome>,
        /// Why a final decision is superseded; not sealed, the host and the parties read it
        #[arg(long, conflicts_with = "from")]
        reason: Option<String>,
        /// Sign the decisions of this file; `-` is standard input
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        #[command(flatten)]
        dry_run: DryRun,
        #[command(flatten)]
        consent: Consent,
    },
    /// Show on one sheet what to decide by: the ranking, what others signed, and a column to fill in
    #[command(after_help = "Examples:
  entente decision sheet $CALL
  entente decision sheet $CALL --output board     with all reviews in clear
  entente --csv decision sheet $CALL > sheet.csv

Fill in `OUTCOME` and sign with `entente decision sign $CALL --from`. Where no ranking was sent, it is computed here.")]
    Sheet(sheet::DecisionSheetArgs),
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
        DecisionCommand::Sheet(args) => sheet::run(args, &client, context).await,
        DecisionCommand::Sign { subject, from: Some(from), dry_run, consent, .. } => {
            many(&client, context, (&subject, &from), (dry_run, consent)).await
        }
        DecisionCommand::Sign { subject, outcome, reason, dry_run, consent, from: None } => {
            let outcome = outcome.ok_or_else(|| CliError::usage("the outcome is missing"))?;
            let reason = reason.as_deref().map(super::context::reason).transpose()?;
            let name: ProposalName =
                subject.parse().map_err(|error: ReferenceError| CliError::usage(error.to_string()))?;
            let found = client.find_proposal(&name).await?;
            let plan = client.plan_superseding(found.id, outcome, reason).await?;
            // Before anything is decided: what is asked for afterwards stands between a person and the answer.
            let title = if dry_run.is_meant() { None } else { client.title_by_id(found.id).await };
            let forecast = ready(Ok(client.forecast_decision(&plan, &worded(&found, title.as_deref()))));
            if !act::goes_ahead(context, dry_run, Question::Always(consent), forecast).await? {
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

/// Signs the lines of a file after one look.
async fn many(
    client: &Client,
    context: &Context,
    (call, from): (&str, &Path),
    (dry_run, consent): (DryRun, Consent),
) -> Result<()> {
    let content = read_input(from, 8 << 20)?;
    let written = file::read(&content).map_err(|fault| {
        CliError::usage(format!("`{}`: {fault}", from.display())).help("see `entente decision sign --help`")
    })?;
    let name: CallName = call.parse().map_err(|error: IdError| CliError::usage(error.to_string()))?;
    let id = client.find_call(&name).await?;
    let names: Vec<_> = written.iter().map(|line| line.proposal.clone()).collect();
    let found = client.find_proposals(&names).await?;
    let lines = found.into_iter().zip(written).map(|(proposal, WrittenLine { outcome, reason, amount, .. })| {
        DecisionLine { proposal, outcome, reason, amount }
    });
    let batch = client.plan_decisions(id, lines.collect()).await?;
    let call = client.call(id).await?;
    let code = &call.rules.code;
    let titles = client.titles_of_call(id, PassphraseRule::Never, Arc::new(NoProgress)).await.unwrap_or_default();
    let held = batch.held().count();
    if batch.plans().next().is_none() {
        if held == 0 {
            return context.out.done(&format!("nothing is to be signed: every line was signed before, under {code}"));
        }
        return Err(not_signed(held, batch.held().map(|(line, error)| format!("{}: {error}", line.proposal)).next()));
    }
    let forecast = client.forecast_decisions(&batch, code);
    if dry_run.is_meant() {
        let zone = context.zone()?;
        return act::shown(context, &forecast, |screen| {
            lines_shown(screen, &batch, &titles);
            act::show(screen, &forecast, &zone);
        });
    }
    context.out.aside(|screen| lines_shown(screen, &batch, &titles));
    if !act::goes_ahead(context, dry_run, Question::Always(consent), ready(Ok(forecast))).await? {
        return Ok(());
    }
    let SignedBatch { signed, failed } = client.decide_all(&batch).await?;
    let last = signed.iter().filter(|decision| decision.final_at.is_some()).count();
    let mut done = counted(signed.len(), "decision is signed", "decisions are signed");
    if last > 0 {
        done.push_str(", ");
        done.push_str(&counted(last, "of them is final", "of them are final"));
    }
    let faults: Vec<String> = failed
        .iter()
        .map(|(proposal, error)| format!("{proposal}: {error}"))
        .chain(batch.held().map(|(line, error)| format!("{}: {error}", line.proposal)))
        .collect();
    let answer = json!({ "done": done, "signed": signed, "before": batch.signed(), "faults": faults });
    context.out.answer(&answer, |screen| {
        screen.styled(&[(Style::Green, "done  "), (Style::Plain, &done)]);
        for fault in &faults {
            screen.styled(&[(Style::Yellow, fault)]);
        }
    })?;
    if faults.is_empty() { Ok(()) } else { Err(not_signed(faults.len(), faults.into_iter().next())) }
}

fn not_signed(count: usize, first: Option<String>) -> CliError {
    let first = first.map(|first| format!("; the first: {first}")).unwrap_or_default();
    CliError::failed(format!("{}{first}", counted(count, "line is not signed", "lines are not signed"))).help(
        "correct these lines, or agree with the other funders, and run the command again: what is signed stays signed",
    )
}

/// The lines of a batch, and where each stands.
pub(super) fn lines_shown(screen: &mut Screen, batch: &DecisionBatch, titles: &Titles) {
    let mut table = Table::new(["PROPOSAL", "TITLE", "OUTCOME", "AMOUNT", "SIGNATURE"]).cutting("TITLE");
    for (line, state) in &batch.lines {
        let state = match state {
            LineState::Sign(plan) if plan.is_last() => "the last one: final".to_owned(),
            LineState::Sign(_) => "to be signed".to_owned(),
            LineState::Signed => "signed before".to_owned(),
            LineState::Held(error) => format!("NOT SIGNED: {error}"),
        };
        let amount = line.amount.as_ref().map(ToString::to_string).unwrap_or_default();
        let title = titles.title(line.proposal.id).unwrap_or_default().to_owned();
        table.row([screen.named(&line.proposal, &line.proposal.id), title, line.outcome.to_string(), amount, state]);
    }
    screen.table(&table, "no lines");
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
