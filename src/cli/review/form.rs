//! `entente review form`: one file for everything that a reviewer has to review under a call, printed, and read back into drafts.

use super::sheet;
use crate::{
    cli::{
        context::{Context, joined},
        error::{CliError, Result, read_input},
        form_faults,
        output::{Screen, Style},
        rows,
        table::Table,
        titles::{TitleArgs, TitleUse},
    },
    client::{
        Client,
        naming::CallName,
        review_form::{FilledForm, FilledReview, FilledState, MAX_FORM, ReviewForm, markdown},
        titles::ListExtent,
    },
    domain::{score_total::ScoreTotal, text::counted},
    reading,
};
use clap::Args;
use serde_json::{Value, json};
use std::{
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  entente review form $CALL --output reviews.md     fill it in, offline
  entente review form $CALL --output reviews.csv    for a spreadsheet
  entente review form $CALL --file reviews.md       saves it as drafts
  entente review form $CALL --file reviews.md --replace
      also over drafts that were changed since

Every line is checked first, and each fault is shown with its line; nothing is saved while there is one. You can read the same \
file back as often as you like. What is left empty leaves the draft as it is.")]
pub struct FormArgs {
    /// The call
    call: CallName,
    /// Read this form back and save it as drafts; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "output")]
    file: Option<PathBuf>,
    /// Write the form to this new file; one that ends in .csv is a spreadsheet [default: Markdown on standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace drafts that were changed since the form was made
    #[arg(long, requires = "file")]
    replace: bool,
    #[command(flatten)]
    titles: TitleArgs,
}

/// Runs the command.
pub(super) async fn run(args: FormArgs, context: &Context, client: &Client) -> Result<()> {
    let content = match &args.file {
        Some(file) => Some(read_input(file, MAX_FORM)?),
        None => None,
    };
    let call = client.find_call(&args.call).await?;
    let assigned = client.assigned_proposals(call).await?;
    let titles = args.titles.of(context, client, &assigned, ListExtent::Part, TitleUse::Shown).await;
    let form = client.review_form(call, &assigned, &titles).await?;
    match (content, &args.file) {
        (Some(content), Some(file)) => save(context, client, &form, (&content, file), args.replace).await,
        _ => print(context, &form, args.output.as_deref()),
    }
}

/// Prints the form, or writes it to a new file.
fn print(context: &Context, form: &ReviewForm, output: Option<&Path>) -> Result<()> {
    if !form.undeclared.is_empty() {
        let which = joined(&form.undeclared);
        context.out.warn(&format!("left out until you declare, with `entente conflict declare`: {which}"));
    }
    if !form.handed_in.is_empty() {
        context.out.note(&format!("left out, since your review is in: {}", joined(&form.handed_in)));
    }
    if form.proposals.is_empty() {
        return Err(CliError::failed(format!("you have nothing to review under {}", form.code))
            .help("`entente proposal list --assigned` shows what is assigned to you"));
    }
    let Some(path) = output else { return context.out.bytes(markdown::written(form).as_bytes()) };
    let is_sheet = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
    let text = if is_sheet { sheet::written(form) } else { markdown::written(form) };
    // A file that is there may be filled in already.
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(|error| {
        CliError::failed(format!("cannot write `{}`: {error}", path.display()))
            .help("name a new file, or read the form in this one back with `--file`")
    })?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let count = counted(form.proposals.len(), "proposal", "proposals");
    context.out.done(&format!("the form for {count} is in `{}`", path.display()))?;
    context.out.note(&format!(
        "what you write into it is not sealed; read it back with `entente review form {} --file`, then remove it",
        form.code
    ));
    Ok(())
}

/// What a form that was filled in says, beside the drafts on this machine. Refuses it whole for a fault, or if it would take the place of a
/// newer draft that is not to be replaced.
pub(super) fn read_back(
    context: &Context,
    client: &Client,
    form: &ReviewForm,
    (content, path): (&[u8], &Path),
    replace: bool,
) -> Result<FilledForm> {
    let shown = path.display();
    let help = "see `entente review form --help`";
    let text = reading::text(content).map_err(|fault| CliError::usage(format!("`{shown}`: {fault}")).help(help))?;
    let first = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let (sections, faults) = if first.starts_with('#') || !rows::is_table(first) {
        markdown::read(&text)
    } else {
        let sections = sheet::read(content);
        (sections.map_err(|fault| CliError::usage(format!("`{shown}`: {fault}")).help(help))?, Vec::new())
    };
    let filled = form_faults::without(form.filled_by(sections, faults), context, path, "saved")?;
    let filled = client.compare_drafts(form, filled)?;
    let newer: Vec<&FilledReview> = filled.reviews.iter().filter(|review| review.state == FilledState::Newer).collect();
    if !newer.is_empty() && !replace {
        let which = joined(newer.iter().map(|review| &review.reference));
        let message = format!("drafts were changed since this form was made, and nothing was saved: {which}");
        return Err(CliError::failed(message).help(
            "print the form again and bring over what you wrote, or replace those drafts by it: `entente review form CALL --file FORM \
             --replace`",
        ));
    }
    Ok(filled)
}

/// Reads a form back and saves it as drafts.
async fn save(
    context: &Context,
    client: &Client,
    form: &ReviewForm,
    (content, path): (&[u8], &Path),
    replace: bool,
) -> Result<()> {
    let filled = read_back(context, client, form, (content, path), replace)?;
    client.save_filled(&filled, replace).await?;
    context.out.answer(&as_json(&filled), |screen| show(screen, &filled))?;
    if filled.reviews.iter().any(|review| review.state != FilledState::Empty && review.total.is_complete()) {
        context
            .out
            .note(&format!("drafts are sealed to you; hand them in with `entente review submit --call {}`", form.code));
    }
    Ok(())
}

fn as_json(filled: &FilledForm) -> Value {
    let items = filled.reviews.iter().map(|review| {
        let ScoreTotal { scored, criteria, total, best, below } = &review.total;
        json!({
            "proposal": review.id, "reference": review.reference, "state": review.state, "scored": scored, "criteria": criteria,
            "total": total.to_number(), "best": best.to_number(), "below": below,
        })
    });
    json!({ "items": items.collect::<Vec<_>>(), "handed_in": filled.handed_in })
}

/// What was saved, with the totals so far.
pub(in crate::cli) fn show(screen: &mut Screen, filled: &FilledForm) {
    let mut table = Table::new(["PROPOSAL", "TITLE", "DRAFT", "SCORED", "TOTAL", "OF", "BELOW"]).cutting("TITLE");
    for review in &filled.reviews {
        let state = match review.state {
            FilledState::Saved => "saved",
            FilledState::Newer => "replaced",
            FilledState::Unchanged => "as it was",
            FilledState::Empty => "empty",
        };
        let total = &review.total;
        table.row([
            screen.named(&review.reference, &review.id),
            review.title.clone().unwrap_or_default(),
            state.to_owned(),
            format!("{} of {}", total.scored, total.criteria),
            total.total.to_string(),
            total.best.to_string(),
            joined(&total.below),
        ]);
    }
    screen.table(&table, "nothing in the form is open for a review of yours");
    if !filled.handed_in.is_empty() {
        let which = joined(&filled.handed_in);
        screen.styled(&[(Style::Dim, &format!("passed over, since your review is in: {which}"))]);
    }
}
