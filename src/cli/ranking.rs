//! `entente ranking`: the ranking of a call, computed on the officer's machine from opened reviews. The exchange never
//! sees a score.

use super::{
    cell::TableCell,
    context::{Context, joined},
    error::{CliError, Result},
    output::{Screen, Style},
    table::Table,
    time::Zone,
    titles::{TitleArgs, worded},
};
use crate::{
    client::{
        Client,
        naming::{CallName, ProposalName},
        ranking::Ranking,
        titles::Titles,
    },
    domain::{
        id::ProposalId,
        reference::Reference,
        reopening::Reopening,
        review::{Criterion, ExactPoints, Ranked},
        text::counted,
    },
    wire::Time,
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fmt::Display};

/// Rank a call's proposals from the opened reviews, on this machine
#[derive(Debug, Subcommand)]
pub enum RankingCommand {
    /// Show the ranking
    #[command(after_help = "Examples:
  entente ranking show $CALL
  entente --csv ranking show $CALL > ranking.csv

Total: the weighted average of the scores times the number of criteria. Totals are compared as they are, and rounded for reading \
only. `2=` says that others have the same total. Median: the reviewers' total in the middle. Spread: the highest reviewer's total less the \
lowest's. A proposal below a threshold has no rank. A review whose reviewer has declared a conflict since, works for a party now, \
or has lost the role, the assignment or the key card is set aside: shown with the reason, and in none of the numbers. A review that an officer reopened is shown with that officer and the \
time. It is in none of the numbers until its reviewer hands in another revision, or an officer takes the reopening back with \
`entente review reinstate`.")]
    Show(Show),
    /// Keep a note on a proposal, sealed on this machine, for the ranking
    #[command(after_help = "Examples:
  entente ranking note $PROPOSAL 'strong team, high cost'
  entente ranking note $PROPOSAL --remove

A second note takes the place of the first.")]
    Note(Note),
}

#[derive(Debug, Args)]
pub struct Show {
    /// The call
    call: CallName,
    #[command(flatten)]
    titles: TitleArgs,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["text", "remove"]))]
pub struct Note {
    /// The proposal
    proposal: ProposalName,
    /// The note, one line
    text: Option<String>,
    /// Remove the note on the proposal
    #[arg(long)]
    remove: bool,
}

/// Runs the command.
pub(super) async fn run(command: RankingCommand, context: &Context) -> Result<()> {
    let client = context.client().await?;
    match command {
        RankingCommand::Show(args) => shown(args, &client, context).await,
        RankingCommand::Note(Note { proposal, text, remove: _ }) => {
            let found = client.find_proposal(&proposal).await?;
            let Some(text) = text else {
                if client.remove_note(found.id)? {
                    return context.out.done(&format!("the note on {found} is removed"));
                }
                return Err(CliError::failed(format!("there is no note on {found}"))
                    .help("`entente ranking show` shows the notes that there are"));
            };
            client.note_for_ranking(found.id, &text).await?;
            context.out.done(&format!("the note on {found} is kept on this machine, sealed to you"))
        }
    }
}

async fn shown(args: Show, client: &Client, context: &Context) -> Result<()> {
    let call = client.find_call(&args.call).await?;
    let criteria = client.call(call).await?.rules.criteria.clone();
    let ranking = client.ranking(call).await?;
    let titles = args.titles.of_call(context, client, call).await;
    let zone = context.zone()?;
    let answer = as_json(&ranking, &titles);
    context.out.answer(&answer, |screen| show(screen, &criteria, (&ranking, &titles), &zone))?;
    let invalid = &ranking.invalid;
    match invalid.first() {
        None => Ok(()),
        Some(first) => Err(CliError::unverified(format!(
            "{} missing; {} of {}: {}",
            counted(invalid.len(), "review does not verify and counts as", "reviews do not verify and count as"),
            first.id,
            first.reviewer,
            first.fault
        ))
        .help(first.fault.help())),
    }
}

/// The ranking, the best first.
pub(super) fn show(screen: &mut Screen, criteria: &[Criterion], (ranking, titles): (&Ranking, &Titles), zone: &Zone) {
    let Ranking { lines, closed, .. } = ranking;
    let heads = ["RANK", "PROPOSAL", "TITLE", "TOTAL", "MEDIAN", "SPREAD"].map(str::to_owned).into_iter();
    let heads = heads.chain(criteria.iter().map(|criterion| criterion.name.to_string().to_uppercase()));
    let last = ["REVIEWS", "BELOW", "MISSING", "SET ASIDE", "REOPENED", "NOTE"].map(str::to_owned);
    let mut table = Table::new(heads.chain(last)).cutting("TITLE");
    for line in lines {
        let title = titles.title(line.proposal).unwrap_or_default().to_owned();
        let mut cells = vec![rank_cell(line), named(screen, ranking, line.proposal).into(), title.into()];
        // Nobody's totals are no distance apart.
        let spread = line.total.map(|_| line.spread);
        cells.extend([line.total, line.median, spread].map(|points| said(points).into()));
        cells.extend(criteria.iter().map(|criterion| said(line.averages.get(&criterion.name)).into()));
        let missing = joined(&line.missing);
        let aside = joined(line.set_aside.iter().map(|(reviewer, why)| format!("{reviewer} ({why})")));
        let reopened = zone.cell_of(|said| {
            let reopened = line.reopened.iter().map(|(reviewer, Reopening { at, by })| {
                let by = by.as_ref().map(|member| format!(", {member}")).unwrap_or_default();
                format!("{reviewer} ({}{by})", said(*at))
            });
            reopened.collect::<Vec<_>>().join(", ")
        });
        let (reviews, below) = (line.reviews.to_string(), joined(&line.below));
        cells.extend([reviews, below, missing, aside].map(TableCell::from).into_iter().chain([reopened]));
        cells.push(ranking.notes.get(&line.proposal).cloned().unwrap_or_default().into());
        table.row(cells);
    }
    screen.table(&table, "nothing to rank");
    for (id, error) in closed {
        let which = worded(&named(screen, ranking, *id), titles.title(*id));
        screen.styled(&[(Style::Yellow, &format!("{which}: left out: {error}"))]);
    }
}

/// Points as people read them; nothing where there are none.
fn said(points: Option<impl Display>) -> String {
    points.map(|points| points.to_string()).unwrap_or_default()
}

/// The rank, with a mark where others have the same one. Programs see that in the numbers.
fn rank_cell(line: &Ranked) -> TableCell {
    match line.rank {
        Some(rank) if line.is_tied => TableCell::new(format!("{rank}="), rank.to_string()),
        rank => said(rank).into(),
    }
}

/// What people call a proposal of the ranking.
fn named(screen: &Screen, ranking: &Ranking, id: ProposalId) -> String {
    ranking.references.get(&id).map_or_else(|| id.to_string(), |reference| screen.named(reference, &id))
}

fn as_json(ranking: &Ranking, titles: &Titles) -> Value {
    let reference = |id: ProposalId| ranking.references.get(&id);
    let titled = |ranked: &Ranked| {
        let mut line = line(ranked, reference(ranked.proposal));
        if let Some(title) = titles.title(ranked.proposal) {
            line["title"] = json!(title);
        }
        if let Some(note) = ranking.notes.get(&ranked.proposal) {
            line["note"] = json!(note);
        }
        line
    };
    let items: Vec<Value> = ranking.lines.iter().map(titled).collect();
    let invalid: Vec<Value> = ranking
        .invalid
        .iter()
        .map(|review| {
            let (id, proposal, reviewer) = (review.id, review.proposal, &review.reviewer);
            let fault = review.fault.to_string();
            let reference = reference(proposal);
            json!({ "id": id, "proposal": proposal, "reference": reference, "reviewer": reviewer, "fault": fault })
        })
        .collect();
    let closed = ranking
        .closed
        .iter()
        .map(|(id, error)| json!({ "proposal": id, "reference": reference(*id), "fault": error.to_string() }));
    json!({ "items": items, "invalid": invalid, "closed": closed.collect::<Vec<_>>() })
}

fn line(line: &Ranked, reference: Option<&Reference>) -> Value {
    let averages: BTreeMap<String, f64> =
        line.averages.iter().map(|(name, points)| (name.to_string(), points.to_number())).collect();
    let reopened = |Reopening { at, by }: &Reopening| json!({ "reopened_at": Time(*at), "reopened_by": by });
    let reopened: BTreeMap<String, Value> =
        line.reopened.iter().map(|(reviewer, reopening)| (reviewer.to_string(), reopened(reopening))).collect();
    let number = |points: ExactPoints| points.rounded().to_number();
    json!({
        "proposal": line.proposal, "reference": reference, "rank": line.rank, "is_tied": line.is_tied,
        "total": line.total.map(number), "median": line.median.map(number), "averages": averages,
        "spread": number(line.spread), "below": line.below, "missing": line.missing,
        "reviews": line.reviews, "set_aside": line.set_aside, "reopened": reopened,
    })
}
