//! `entente decision sheet`: what a decider decides by on one sheet, which is filled in and signed from; and the reviews beside it.

use super::super::{
    cell::TableCell,
    context::{Context, joined},
    error::{CliError, Result},
    output::{Screen, Style},
    rows,
    table::Table,
    titles::{TitleArgs, worded},
};
use crate::{
    client::{Client, decisions::DecisionSheet, naming::CallName, reviews::OpenedReviews, titles::Titles},
    domain::{id::ProposalId, review::Ranked, text::counted},
    platform,
};
use clap::Args;
use serde_json::{Value, json};
use std::{
    fmt::Write as _,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

#[derive(Debug, Args)]
pub struct DecisionSheetArgs {
    /// The call
    call: CallName,
    /// Write `sheet.csv` to fill in, and the reviews of each proposal, into this new folder
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    #[command(flatten)]
    titles: TitleArgs,
}

/// Runs the command.
pub(super) async fn run(args: DecisionSheetArgs, client: &Client, context: &Context) -> Result<()> {
    let call = client.find_call(&args.call).await?;
    let sheet = client.decision_sheet(call).await?;
    let titles = args.titles.of_call(context, client, call).await;
    if let Some(folder) = &args.output {
        written(folder, &sheet, &titles, client, context).await?;
    }
    let answer = as_json(&sheet, &titles);
    context.out.answer(&answer, |screen| show(screen, &sheet, &titles))?;
    if !sheet.is_sent {
        context
            .out
            .note("no ranking was sent to you: this one is computed here, from the reviews that are open to you");
    }
    Ok(())
}

/// The lines of the sheet, the best first, and then those without a line in the ranking.
fn lines(sheet: &DecisionSheet) -> impl Iterator<Item = (ProposalId, Option<&Ranked>)> {
    let ranked = sheet.ranking.lines.iter().map(|line| (line.proposal, Some(line)));
    let is_ranked = |id: &ProposalId| sheet.ranking.lines.iter().any(|line| line.proposal == *id);
    let others = sheet.signed.keys().copied().filter(move |id| !is_ranked(id)).map(|id| (id, None));
    ranked.chain(others)
}

/// The table that is filled in: the columns `PROPOSAL`, `OUTCOME`, `AMOUNT` and `REASON` are read again.
pub(in crate::cli) fn show(screen: &mut Screen, sheet: &DecisionSheet, titles: &Titles) {
    let (funders, rows) = cells(sheet, titles, |id| named(screen, sheet, id));
    let heads =
        HEADS.iter().copied().map(str::to_owned).chain(funders).chain(TO_FILL_IN.iter().copied().map(str::to_owned));
    let mut table = Table::new(heads).cutting("TITLE");
    for row in rows {
        table.row(row.into_iter().map(TableCell::from).collect::<Vec<_>>());
    }
    screen.table(&table, "nothing to decide on");
    for (id, error) in &sheet.ranking.closed {
        let which = worded(&named(screen, sheet, *id), titles.title(*id));
        screen.styled(&[(Style::Yellow, &format!("{which}: its line of the ranking is left out: {error}"))]);
    }
    for (id, error) in &sheet.closed {
        let which = worded(&named(screen, sheet, *id), titles.title(*id));
        screen.styled(&[(Style::Yellow, &format!("{which}: its decision does not verify: {error}"))]);
    }
}

const HEADS: [&str; 8] = ["RANK", "PROPOSAL", "TITLE", "TOTAL", "REVIEWS", "MISSING", "SET ASIDE", "NOTE"];
const TO_FILL_IN: [&str; 3] = ["OUTCOME", "AMOUNT", "REASON"];

/// The other funders, and the cells of each line.
fn cells(
    sheet: &DecisionSheet,
    titles: &Titles,
    named: impl Fn(ProposalId) -> String,
) -> (Vec<String>, Vec<Vec<String>>) {
    let others: Vec<_> = sheet.funders.iter().filter(|funder| **funder != sheet.own).collect();
    let rows = lines(sheet).map(|(id, line)| {
        let rank = line.and_then(|line| line.rank).map(|rank| rank.to_string()).unwrap_or_default();
        let total = line.and_then(|line| line.total).map(|total| total.to_string()).unwrap_or_default();
        let reviews = line.map(|line| line.reviews.to_string()).unwrap_or_default();
        let missing = line.map(|line| joined(&line.missing)).unwrap_or_default();
        let aside = line.map(|line| joined(line.set_aside.keys())).unwrap_or_default();
        let note = sheet.ranking.notes.get(&id).cloned().unwrap_or_default();
        let signed = sheet.signed.get(&id);
        let by =
            |partner| signed.and_then(|signed| signed.by.get(partner)).map(ToString::to_string).unwrap_or_default();
        let title = titles.title(id).unwrap_or_default().to_owned();
        let mut cells = vec![rank, named(id), title, total, reviews, missing, aside, note];
        cells.extend(others.iter().map(|funder| by(funder)));
        cells.extend([by(&sheet.own), String::new(), String::new()]);
        cells
    });
    (others.iter().map(ToString::to_string).collect(), rows.collect())
}

fn named(screen: &Screen, sheet: &DecisionSheet, id: ProposalId) -> String {
    sheet.ranking.references.get(&id).map_or_else(|| id.to_string(), |reference| screen.named(reference, &id))
}

fn as_json(sheet: &DecisionSheet, titles: &Titles) -> Value {
    let items = lines(sheet).map(|(id, line)| {
        let signed = sheet.signed.get(&id);
        json!({
            "proposal": id, "reference": sheet.ranking.references.get(&id), "title": titles.title(id),
            "rank": line.and_then(|line| line.rank),
            "total": line.and_then(|line| line.total).map(|total| total.rounded().to_number()),
            "reviews": line.map(|line| line.reviews),
            "missing": line.map(|line| &line.missing), "set_aside": line.map(|line| &line.set_aside),
            "note": sheet.ranking.notes.get(&id),
            "signed": signed.map(|signed| &signed.by), "is_final": signed.is_some_and(|signed| signed.is_final),
        })
    });
    json!({ "items": items.collect::<Vec<_>>(), "is_sent": sheet.is_sent })
}

/// Writes the sheet and the reviews into a folder that is not there yet, for its owner alone.
async fn written(
    folder: &Path,
    sheet: &DecisionSheet,
    titles: &Titles,
    client: &Client,
    context: &Context,
) -> Result<()> {
    let failed =
        |path: &Path, error: &std::io::Error| CliError::failed(format!("cannot write `{}`: {error}", path.display()));
    if fs::symlink_metadata(folder).is_ok() {
        return Err(CliError::usage(format!("`{}` exists already", folder.display()))
            .help("name a new folder; nothing is ever overwritten"));
    }
    platform::make_private_folder(folder).map_err(|error| failed(folder, &error))?;
    let write = |name: &str, content: &str| {
        let path = folder.join(name);
        let mut file =
            fs::File::options().write(true).create_new(true).open(&path).map_err(|error| failed(&path, &error))?;
        file.write_all(content.as_bytes()).map_err(|error| failed(&path, &error))
    };
    let reference =
        |id: ProposalId| sheet.ranking.references.get(&id).map_or_else(|| id.to_string(), ToString::to_string);
    let (funders, rows) = cells(sheet, titles, reference);
    let heads: Vec<&str> = HEADS.into_iter().chain(funders.iter().map(String::as_str)).chain(TO_FILL_IN).collect();
    let table = std::iter::once(heads).chain(rows.iter().map(|row| row.iter().map(String::as_str).collect()));
    write("sheet.csv", &rows::written(table))?;
    let mut closed = 0;
    for (id, _) in lines(sheet) {
        match client.open_reviews(id).await {
            Ok(reviews) => {
                write(&format!("{}.md", reference(id)), &reviews_worded(&reference(id), titles.title(id), &reviews))?;
            }
            Err(error) if error.is_passing() => return Err(error.into()),
            Err(error) => {
                closed += 1;
                context.out.warn(&format!("{}: its reviews do not open: {error}", reference(id)));
            }
        }
    }
    let left =
        if closed > 0 { format!(", but for {}", counted(closed, "proposal", "proposals")) } else { String::new() };
    context.out.note(&format!(
        "`{}` has the sheet and the reviews{left}, in clear; sign with: entente decision sign CALL --from {}",
        folder.display(),
        folder.join("sheet.csv").display()
    ));
    Ok(())
}

/// The reviews of a proposal as a page.
fn reviews_worded(reference: &str, title: Option<&str>, reviews: &OpenedReviews) -> String {
    let mut page = format!("# {reference}{}\n", title.map(|title| format!("  {title}")).unwrap_or_default());
    for opened in &reviews.reviews {
        let review = &opened.review;
        let aside = review.set_aside.map(|why| format!(", set aside: {why}")).unwrap_or_default();
        write!(page, "\n## {}, revision {}{aside}\n\n", review.reviewer, review.revision).expect("a string grows");
        for (criterion, score) in &opened.body.scores {
            let comment = opened.body.comments.get(criterion).map(|text| format!(": {text}")).unwrap_or_default();
            writeln!(page, "- {criterion} {score}{comment}").expect("a string grows");
        }
        if !opened.body.overall.is_empty() {
            write!(page, "\n{}\n", opened.body.overall).expect("a string grows");
        }
        if let Some(recommendation) = &opened.body.recommendation {
            write!(page, "\nRecommendation: {recommendation}\n").expect("a string grows");
        }
    }
    for invalid in &reviews.invalid {
        write!(page, "\n## {}: does not verify\n\n{}\n", invalid.reviewer, invalid.fault).expect("a string grows");
    }
    for reopened in &reviews.reopened {
        write!(page, "\n## {}: reopened, and not in force\n", reopened.reviewer).expect("a string grows");
    }
    page
}
