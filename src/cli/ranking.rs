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
    client::{naming::CallName, ranking::Ranking, titles::Titles},
    domain::{
        id::ProposalId,
        reference::Reference,
        reopening::Reopening,
        review::{Criterion, Points, Ranked},
        text::counted,
    },
    wire::Time,
};
use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  entente ranking $CALL
  entente --csv ranking $CALL > ranking.csv

Total: the weighted average of the scores times the number of criteria. Spread: the highest reviewer's total less the \
lowest's. A proposal below a threshold has no rank. A review whose reviewer has declared a conflict since, works for a party now, \
or has lost the role, the assignment or the key card is set aside: shown with the reason, and in none of the numbers. A review that an officer reopened is shown with that officer and the \
time. It is in none of the numbers until its reviewer hands in another revision, or an officer takes the reopening back with \
`entente review reinstate`.")]
pub struct RankingArgs {
    /// The call
    call: CallName,
    #[command(flatten)]
    titles: TitleArgs,
}

/// Runs the command.
pub(super) async fn run(args: RankingArgs, context: &Context) -> Result<()> {
    let client = context.client().await?;
    let call = client.find_call(&args.call).await?;
    let criteria = client.call(call).await?.rules.criteria.clone();
    let ranking = client.ranking(call).await?;
    let titles = args.titles.of_call(context, &client, call).await;
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
    let heads = ["RANK", "PROPOSAL", "TITLE", "TOTAL"].map(str::to_owned).into_iter();
    let heads = heads.chain(criteria.iter().map(|criterion| criterion.name.to_string().to_uppercase()));
    let last = ["BELOW", "MISSING", "SET ASIDE", "REOPENED", "SPREAD", "REVIEWS"].map(str::to_owned);
    let mut table = Table::new(heads.chain(last)).cutting("TITLE");
    for line in lines {
        let cell = |points: Option<Points>| points.map(|points| points.to_string()).unwrap_or_default();
        let rank = line.rank.map(|rank| rank.to_string()).unwrap_or_default();
        let title = titles.title(line.proposal).unwrap_or_default().to_owned();
        let first = [rank, named(screen, ranking, line.proposal), title, cell(line.total)];
        let mut cells: Vec<TableCell> = first.map(TableCell::from).into();
        cells.extend(criteria.iter().map(|criterion| cell(line.averages.get(&criterion.name).copied()).into()));
        let missing = joined(&line.missing);
        let aside = joined(line.set_aside.iter().map(|(reviewer, why)| format!("{reviewer} ({why})")));
        let reopened = zone.cell_of(|said| {
            let reopened = line.reopened.iter().map(|(reviewer, Reopening { at, by })| {
                let by = by.as_ref().map(|member| format!(", {member}")).unwrap_or_default();
                format!("{reviewer} ({}{by})", said(*at))
            });
            reopened.collect::<Vec<_>>().join(", ")
        });
        let below = joined(&line.below);
        cells.extend([below, missing, aside].map(TableCell::from).into_iter().chain([reopened]));
        cells.extend([line.spread.to_string(), line.reviews.to_string()].map(TableCell::from));
        table.row(cells);
    }
    screen.table(&table, "nothing to rank");
    for (id, error) in closed {
        let which = worded(&named(screen, ranking, *id), titles.title(*id));
        screen.styled(&[(Style::Yellow, &format!("{which}: left out: {error}"))]);
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
    json!({
        "proposal": line.proposal, "reference": reference, "rank": line.rank, "total": line.total.map(Points::to_number),
        "averages": averages, "spread": line.spread.to_number(), "below": line.below, "missing": line.missing,
        "reviews": line.reviews, "set_aside": line.set_aside, "reopened": reopened,
    })
}
