//! Letters by a template: each looked at, all sent after one yes.

use super::super::{
    act::{self, DryRun, Question},
    context::Context,
    error::{CliError, Result, read_input},
    output::{Screen, Style},
    prompt::Consent,
    table::Table,
    titles::{TitleArgs, worded},
};
use crate::{
    client::{
        Client,
        letters::{LetterBatch, LetterTemplate, PlannedLetter, SentLetters},
        naming::CallName,
    },
    domain::{decision::Outcome, id::IdError, review::Criterion, text::counted},
    platform, reading,
};
use serde_json::{Value, json};
use std::{
    fs,
    future::ready,
    io::Write,
    path::{Path, PathBuf},
};

/// The longest template, in bytes.
const MAX_TEMPLATE: u64 = 1 << 20;

/// What somebody asked for.
pub(super) struct ByTemplate {
    pub(super) call: String,
    pub(super) template: PathBuf,
    pub(super) output: Option<PathBuf>,
    pub(super) titles: TitleArgs,
    pub(super) dry_run: DryRun,
    pub(super) consent: Consent,
}

/// Looks, asks and sends.
pub(super) async fn run(args: ByTemplate, client: &Client, context: &Context) -> Result<()> {
    let ByTemplate { call, template, output, titles, dry_run, consent } = args;
    let name: CallName = call.parse().map_err(|error: IdError| CliError::usage(error.to_string()))?;
    let id = client.find_call(&name).await?;
    let call = client.call(id).await?;
    let template = read(&template, &call.rules.criteria)?;
    let titles = titles.of_call(context, client, id).await;
    let batch = client.plan_letters(id, &template, &titles).await?;
    let code = &call.rules.code;
    if let Some(folder) = &output {
        write(folder, &batch)?;
    }
    if batch.letters.is_empty() {
        return nothing(&batch, context);
    }
    let forecast = client.forecast_letters(&batch, code);
    if dry_run.is_meant() {
        let zone = context.zone()?;
        let mut answer = serde_json::to_value(&forecast).map_err(CliError::failed)?;
        answer["letters"] = batch.letters.iter().map(as_json).collect();
        return act::shown(context, &answer, |screen| {
            if output.is_none() {
                batch.letters.iter().for_each(|letter| preview(screen, letter));
            }
            lines(screen, &batch);
            act::show(screen, &forecast, &zone);
        });
    }
    let is_asked = !consent.is_given();
    context.out.aside(|screen| {
        if is_asked {
            batch.letters.iter().for_each(|letter| preview(screen, letter));
        }
        lines(screen, &batch);
    });
    if !act::goes_ahead(context, dry_run, Question::Always(consent), ready(Ok(forecast))).await? {
        return Ok(());
    }
    let SentLetters { sent, failed } = client.send_letters(&batch).await?;
    let done = format!("{} sent", counted(sent.len(), "letter is", "letters are"));
    let held = batch.held.iter().map(|(proposal, error)| format!("{proposal}: {error}"));
    let faults: Vec<String> = failed.iter().map(|(letter, error)| format!("{letter}: {error}")).chain(held).collect();
    let answer = json!({ "done": done, "sent": sent, "before": batch.sent_before.len(), "faults": faults });
    context.out.answer(&answer, |screen| {
        screen.styled(&[(Style::Green, "done  "), (Style::Plain, &done)]);
        for fault in &faults {
            screen.styled(&[(Style::Yellow, fault)]);
        }
    })?;
    match faults.first() {
        None => Ok(()),
        Some(first) => Err(not_sent(faults.len(), first)),
    }
}

/// What is said where the template makes no letter.
fn nothing(batch: &LetterBatch, context: &Context) -> Result<()> {
    if let Some((proposal, error)) = batch.held.first() {
        return Err(not_sent(batch.held.len(), &format!("{proposal}: {error}")));
    }
    let before = counted(batch.sent_before.len(), "decision has its letter", "decisions have their letters");
    let undecided = counted(batch.undecided.len(), "proposal is not decided", "proposals are not decided");
    context.out.done(&format!("no letter is to be sent: {before}, {undecided}"))
}

fn not_sent(count: usize, first: &str) -> CliError {
    let what = counted(count, "letter is not sent", "letters are not sent");
    CliError::failed(format!("{what}; the first: {first}"))
        .help("run the command again once that is put right: what is sent is not sent twice")
}

/// The letters of a batch, one a line, and why others get none.
pub(in crate::cli) fn lines(screen: &mut Screen, batch: &LetterBatch) {
    let mut table = Table::new(["PROPOSAL", "TITLE", "DECISION", "TO"]).cutting("TITLE");
    for letter in &batch.letters {
        let to = letter.to.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let title = letter.title.clone().unwrap_or_default();
        table.row([screen.named(&letter.proposal, &letter.proposal.id), title, letter.outcome.to_string(), to]);
    }
    screen.table(&table, "no letters");
    for (proposal, error) in &batch.held {
        screen.styled(&[(Style::Yellow, &format!("{proposal}: no letter: {error}"))]);
    }
}

/// One letter as its readers will have it.
fn preview(screen: &mut Screen, letter: &PlannedLetter) {
    let to = letter.to.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    screen.heading(&format!("{}  `{}`, to {to}", worded(&letter.proposal, letter.title.as_deref()), letter.outcome));
    screen.gap();
    screen.paragraph(&letter.text);
}

fn as_json(letter: &PlannedLetter) -> Value {
    json!({
        "proposal": letter.proposal.id, "reference": letter.proposal.reference, "title": letter.title,
        "outcome": letter.outcome, "party": letter.party, "to": letter.to, "text": &*letter.text,
    })
}

/// A file with a section for each outcome, or a folder with a file for each.
fn read(path: &Path, criteria: &[Criterion]) -> Result<LetterTemplate> {
    let refused =
        |fault: String| CliError::usage(format!("`{}`: {fault}", path.display())).help("see `entente letter example`");
    let text = |path: &Path| -> Result<String> {
        let content = read_input(path, MAX_TEMPLATE)?;
        reading::text(&content)
            .map(|text| text.to_string())
            .map_err(|fault| CliError::usage(format!("`{}`: {fault}", path.display())))
    };
    if !path.is_dir() {
        return LetterTemplate::of_file(&text(path)?, criteria).map_err(refused);
    }
    let entries =
        fs::read_dir(path).map_err(|error| CliError::failed(format!("cannot read `{}`: {error}", path.display())))?;
    let mut files = Vec::new();
    for entry in entries {
        let file =
            entry.map_err(|error| CliError::failed(format!("cannot read `{}`: {error}", path.display())))?.path();
        let is_text = file.extension().is_some_and(|kind| kind == "txt" || kind == "md");
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if !is_text || stem.starts_with('.') {
            continue;
        }
        match stem.to_lowercase().parse() {
            Ok(outcome @ (Outcome::Fund | Outcome::Reserve | Outcome::Decline)) => files.push((outcome, file)),
            _ => return Err(refused(format!("`{}` is not named `fund`, `reserve` or `decline`", file.display()))),
        }
    }
    files.sort();
    let texts: Vec<(Outcome, String, String)> = files
        .iter()
        .map(|(outcome, file)| Ok((*outcome, text(file)?, file.display().to_string())))
        .collect::<Result<_>>()?;
    let files = texts.iter().map(|(outcome, text, name)| (*outcome, text.as_str(), name.clone()));
    LetterTemplate::of_files(files, criteria).map_err(refused)
}

/// Writes each letter into a folder that is not there yet, for its owner alone.
fn write(folder: &Path, batch: &LetterBatch) -> Result<()> {
    if fs::symlink_metadata(folder).is_ok() {
        return Err(CliError::usage(format!("`{}` exists already", folder.display()))
            .help("name a new folder; nothing is ever overwritten"));
    }
    let failed = |error: std::io::Error| CliError::failed(format!("cannot write into `{}`: {error}", folder.display()));
    platform::make_private_folder(folder).map_err(failed)?;
    for letter in &batch.letters {
        let party = letter.party.as_ref().map(|party| format!("{party}-")).unwrap_or_default();
        let path = folder.join(format!("{}-{party}{}.txt", letter.proposal, letter.outcome));
        let mut file = fs::File::options().write(true).create_new(true).open(path).map_err(failed)?;
        file.write_all(letter.text.as_bytes()).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_template_has_a_section_for_each_outcome_and_known_fields() {
        let template = LetterTemplate::of_file(super::super::EXAMPLE, &[]).unwrap();
        let short = "=== fund ===\nx\n=== reserve ===\nx\n=== decline ===\nx\n";
        assert_eq!(template.outcomes(), LetterTemplate::of_file(short, &[]).unwrap().outcomes());
    }

    #[test]
    fn folder_has_a_file_for_each_outcome_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        assert!(read(folder.path(), &[]).unwrap_err().message.contains("fund.txt"));
        write("fund.txt", "Yes, {title}.\n");
        write("Decline.md", "No.\n");
        write("notes.odt", "x");
        assert!(read(folder.path(), &[]).is_ok());
        write("declined.txt", "No.\n");
        assert!(read(folder.path(), &[]).unwrap_err().message.contains("declined.txt"));
    }
}
