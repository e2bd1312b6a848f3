//! `entente assignment suggest`: who could review what, and a file of it that `assignment load` takes. It changes nothing.

use crate::{
    cli::{
        context::{Context, joined},
        error::{CliError, Result, read_input},
        output::{Screen, Style},
        rows,
        table::Table,
        titles::TitleArgs,
    },
    client::{
        Client,
        naming::CallName,
        suggest::{SuggestedPanel, Suggestion, SuggestionRules},
        titles::Titles,
    },
    domain::{
        id::{IdError, MemberId, Slug},
        text::{choices, counted},
    },
};
use clap::Args;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
};

#[derive(Debug, Args)]
pub struct Suggest {
    /// The call
    call: CallName,
    /// Reviewers for each proposal, those who are assigned already included
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20))]
    each: u32,
    /// Proposals for each reviewer at most, those that they have already included
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    most: Option<u32>,
    /// What reviewers know about, as you have it: CSV with the columns `reviewer` and `topics`
    #[arg(long, value_name = "FILE")]
    topics: Option<PathBuf>,
    /// Write what is suggested to this new file, for `assignment load`
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    titles: TitleArgs,
}

/// Runs the command.
pub(super) async fn run(client: &Client, context: &Context, args: Suggest) -> Result<()> {
    let topics = match &args.topics {
        Some(file) => {
            let faulty = |fault: String| {
                CliError::usage(format!("`{}`: {fault}", file.display()))
                    .help("see `entente assignment suggest --help`")
            };
            topics(&read_input(file, 8 << 20)?).map_err(faulty)?
        }
        None => BTreeMap::new(),
    };
    let id = client.find_call(&args.call).await?;
    check_topics(&topics, &client.call(id).await?.rules.topics)?;
    let rules = SuggestionRules { each: args.each, most: args.most, topics };
    let suggestion = client.suggest_assignments(id, &rules).await?;
    let titles = args.titles.of_call(context, client, id).await;
    if let Some(file) = &args.out {
        write(file, &file_of(&suggestion, &titles))?;
    }
    context.out.answer(&suggestion, |screen| show(screen, &suggestion, &titles))?;
    let suggested: usize = suggestion.panels.iter().map(|panel| panel.chosen.len()).sum();
    let unmet = suggestion.panels.iter().filter(|panel| !panel.unmet.is_empty()).count();
    let suggested = counted(suggested as u64, "assignment", "assignments");
    let lacks = counted(unmet as u64, "proposal lacks", "proposals lack");
    context.out.note(&format!("{suggested} suggested; {lacks} something that is wanted; nothing was assigned"));
    if let Some(file) = &args.out {
        let file = file.display();
        context
            .out
            .note(&format!("look at `{file}`, then: entente assignment load {} {file} --dry-run", suggestion.code));
    }
    Ok(())
}

/// What reviewers know about.
fn topics(content: &[u8]) -> Result<BTreeMap<MemberId, BTreeSet<Slug>>, String> {
    let mut topics: BTreeMap<MemberId, BTreeSet<Slug>> = BTreeMap::new();
    for row in rows::read(content, &["reviewer", "topics"], &[])? {
        let at = |error: IdError| format!("line {}: {error}", row.line);
        let known = topics.entry(row.cell("reviewer").parse().map_err(at)?).or_default();
        let words = row.cell("topics").split([' ', ',', ';', '\n']).filter(|word| !word.is_empty());
        for word in words {
            known.insert(word.to_lowercase().parse().map_err(at)?);
        }
    }
    Ok(topics)
}

/// Refuses topics that no proposal of the call can have: a slip would count for nothing, unsaid.
fn check_topics(topics: &BTreeMap<MemberId, BTreeSet<Slug>>, of_call: &BTreeSet<Slug>) -> Result<()> {
    match topics.values().flatten().find(|topic| !of_call.contains(*topic)) {
        Some(topic) => Err(CliError::usage(format!("the call has no topic `{topic}`"))
            .help(format!("its topics: {}", choices(of_call)))),
        None => Ok(()),
    }
}

/// The file that `assignment load` takes; what is beside the first two columns is for its reader.
fn file_of(suggestion: &Suggestion, titles: &Titles) -> String {
    let mut lines = vec![["proposal", "reviewer", "why", "title"].map(str::to_owned)];
    for panel in &suggestion.panels {
        let title = titles.title(panel.proposal).unwrap_or_default();
        for chosen in &panel.chosen {
            let (proposal, reviewer) = (panel.reference.to_string(), chosen.reviewer.to_string());
            lines.push([proposal, reviewer, chosen.why.clone(), title.to_owned()]);
        }
    }
    rows::written(lines.iter().map(|line| line.iter().map(String::as_str).collect()))
}

/// Writes a file that is not there yet: an officer may have changed the one that is.
fn write(file: &Path, text: &str) -> Result<()> {
    let new = OpenOptions::new().write(true).create_new(true).open(file);
    new.and_then(|mut new| new.write_all(text.as_bytes())).map_err(|error| {
        CliError::failed(format!("cannot write `{}`: {error}", file.display()))
            .help("name a file that is not there yet, in a folder of yours")
    })
}

/// Who and why, what is missing, who cannot and why not, and what each reviewer has.
pub(in crate::cli) fn show(screen: &mut Screen, suggestion: &Suggestion, titles: &Titles) {
    let mut table = Table::new(["PROPOSAL", "TITLE", "TOPIC", "REVIEWER", "WHY"]).cutting("TITLE");
    let title = |panel: &SuggestedPanel| titles.title(panel.proposal).unwrap_or_default().to_owned();
    for panel in &suggestion.panels {
        let topic = panel.topic.as_ref().map(ToString::to_string).unwrap_or_default();
        for chosen in &panel.chosen {
            let proposal = screen.named(&panel.reference, &panel.proposal);
            table.row([proposal, title(panel), topic.clone(), chosen.reviewer.to_string(), chosen.why.clone()]);
        }
    }
    screen.table(&table, "nobody is suggested");
    let mut table = Table::new(["PROPOSAL", "ASSIGNED", "MISSING"]);
    for panel in &suggestion.panels {
        for unmet in &panel.unmet {
            let proposal = screen.named(&panel.reference, &panel.proposal);
            table.row([proposal, joined(&panel.assigned), unmet.clone()]);
        }
    }
    if !table.is_empty() {
        screen.heading("What is missing");
        screen.table(&table, "");
    }
    let mut table = Table::new(["PROPOSAL", "REVIEWER", "WHY NOT"]);
    for panel in &suggestion.panels {
        for barred in &panel.barred {
            let proposal = screen.named(&panel.reference, &panel.proposal);
            table.row([proposal, barred.reviewer.to_string(), barred.why.clone()]);
        }
    }
    if !table.is_empty() {
        screen.heading("Who cannot be assigned");
        screen.table(&table, "");
    }
    let mut table = Table::new(["REVIEWER", "HAS", "MORE", "TOGETHER"]);
    for load in &suggestion.loads {
        let numbers = [load.assigned, load.suggested, load.assigned + load.suggested].map(|n| n.to_string());
        table.row(std::iter::once(load.reviewer.to_string()).chain(numbers));
    }
    screen.heading("Load");
    screen.table(&table, "the call has no reviewers");
    if suggestion.panels.is_empty() {
        screen.styled(&[(Style::Dim, "no submitted proposals that you may know of wait for a decision")]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_as_a_spreadsheet_has_them() {
        let known = topics(b"Reviewer;Topics\r\nISR:maya;energy, Navigation\r\nUSA:carol;\r\n").unwrap();
        let of = |member: &str| known[&member.parse().unwrap()].iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(of("ISR:maya"), ["energy", "navigation"]);
        assert!(of("USA:carol").is_empty());
        assert!(topics(b"reviewer,topics\nmaya,energy\n").unwrap_err().starts_with("line 2: "));
    }

    #[test]
    fn topic_that_the_call_lacks_is_refused_with_those_that_it_has() {
        let known = topics(b"reviewer,topics\nISR:maya,enrgy\n").unwrap();
        let refused = check_topics(&known, &["energy".parse().unwrap()].into()).unwrap_err();
        assert_eq!(refused.message, "the call has no topic `enrgy`");
        assert_eq!(refused.help.as_deref(), Some("its topics: energy"));
    }
}
