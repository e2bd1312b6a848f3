//! `entente letter`: sealed letters from the call's officers to a proposal's parties, one at a time or by a template.

pub(super) mod many;

use super::{
    act::{self, DryRun, Question},
    context::{Context, whole},
    error::{CliError, Result, read_input},
    output::{Screen, Style},
    prompt::Consent,
    table::Table,
    time::Zone,
    titles::TitleArgs,
};
use crate::{
    client::{
        decisions::{LetterAbout, OpenedLetter},
        letters::{LetterWithReaders, is_template},
        naming::{CallName, FoundProposal, IdName, ProposalName},
        titles::Titles,
    },
    domain::{
        decision::Outcome,
        id::{DocumentId, PartnerCode},
        reference::ReferenceError,
    },
    reading,
    wire::{Time, decision::Letter},
};
use clap::Subcommand;
use many::ByTemplate;
use serde_json::json;
use std::{collections::BTreeMap, path::PathBuf};

/// A template of letters to fill in.
const EXAMPLE: &str = include_str!("letter/example.txt");

/// Send and open sealed letters to a proposal's parties
#[derive(Debug, Subcommand)]
pub enum LetterCommand {
    /// Seal a letter to the parties and send it (officers, once the decision is final)
    #[command(after_help = "Examples:
  entente letter send $PROPOSAL --file award.txt --dry-run
  entente letter send $PROPOSAL --file award.txt
  entente letter send $PROPOSAL --file award.txt --party ISR
      where the call's text says that letters are for one party alone
  entente letter send $PROPOSAL --file - --outcome fund --yes
      from standard input, in a script
  entente letter send $CALL --template letters.txt --dry-run
      every letter as it would be sent
  entente letter send $CALL --template letters.txt --dry-run --output look
  entente letter send $CALL --template letters.txt

Shows each letter and asks once: the parties can open a letter as soon as it is sent. `--outcome` says what your text is about, so that it \
is not sent where the verified decision is another one; a script that says `--yes` has to name it.

A template has a section for each outcome, or is a folder with `fund.txt`, `reserve.txt` and `decline.txt`; `entente letter example` prints \
one. The verified decision says which section a letter is made of. Each final decision gets one letter: done again, it sends \
those that are left.")]
    #[command(group = clap::ArgGroup::new("what").required(true).args(["file", "template"]))]
    Send {
        /// The proposal; with `--template` the call
        #[arg(value_name = "PROPOSAL|CALL")]
        subject: String,
        /// The text, UTF-8; `-` is standard input
        #[arg(long)]
        file: Option<PathBuf>,
        /// The party that it is for, under a call whose letters are for one party
        #[arg(long, value_name = "PARTNER", conflicts_with = "template")]
        party: Option<PartnerCode>,
        /// The outcome that the text is about; refused where the decision is another
        #[arg(long, conflicts_with = "template")]
        outcome: Option<Outcome>,
        /// Make a letter of this template for each final decision of the call
        #[arg(long, value_name = "FILE|FOLDER")]
        template: Option<PathBuf>,
        /// Write the letters of a dry run into this new folder
        #[arg(long, value_name = "FOLDER", requires = "template", requires = "dry_run")]
        output: Option<PathBuf>,
        #[command(flatten)]
        titles: TitleArgs,
        #[command(flatten)]
        dry_run: DryRun,
        #[command(flatten)]
        consent: Consent,
    },
    /// Print a template of letters to fill in
    #[command(after_help = "Examples:\n  entente letter example > letters.txt")]
    Example,
    /// List letters, and who fetched them
    #[command(after_help = "Examples:
  entente letter list $PROPOSAL
  entente letter list --call $CALL

With `--call` the log is asked who fetched each letter. Whether they read it, nobody knows.")]
    #[command(group = clap::ArgGroup::new("scope").required(true).args(["proposal", "call"]))]
    List {
        /// The proposal
        proposal: Option<ProposalName>,
        /// Every proposal of this call that you may see
        #[arg(long)]
        call: Option<CallName>,
        #[command(flatten)]
        titles: TitleArgs,
    },
    /// Verify and open a letter
    #[command(after_help = "Examples:
  entente letter open $PROPOSAL                 the latest
  entente letter open $PROPOSAL $LETTER > letter.txt")]
    Open {
        /// The proposal
        proposal: ProposalName,
        /// The letter, or the first letters of its identifier [default: the latest]
        letter: Option<IdName<DocumentId>>,
    },
    /// Take a letter back (officers); those who opened it keep what they read
    #[command(after_help = "Examples:
  entente letter withdraw $PROPOSAL             the only one
  entente letter withdraw $PROPOSAL $LETTER")]
    Withdraw {
        /// The proposal
        proposal: ProposalName,
        /// The letter, or the first letters of its identifier [default: the only one]
        letter: Option<IdName<DocumentId>>,
        #[command(flatten)]
        dry_run: DryRun,
    },
}

/// Runs the command.
pub(super) async fn run(command: LetterCommand, context: &Context) -> Result<()> {
    let client = context.client().await?;
    let zone = context.zone()?;
    match command {
        LetterCommand::Example => context.out.bytes(EXAMPLE.as_bytes()),
        LetterCommand::Send { subject, template: Some(template), output, titles, dry_run, consent, .. } => {
            let args = ByTemplate { call: subject, template, output, titles, dry_run, consent };
            many::run(args, &client, context).await
        }
        LetterCommand::Send { subject, file, party, outcome, dry_run, consent, .. } => {
            let file = file.unwrap_or_default();
            let content = read_input(&file, 1 << 20)?;
            let text =
                reading::text(&content).map_err(|fault| CliError::usage(format!("`{}`: {fault}", file.display())))?;
            if is_template(&text) {
                return Err(CliError::usage(format!("`{}` is a template, not a letter", file.display()))
                    .help("send what it makes with `--template` and the call"));
            }
            if consent.is_given() && !dry_run.is_meant() && outcome.is_none() {
                return Err(CliError::usage("with `--yes` nobody compares the letter with the decision")
                    .help("say which outcome the text is about: `--outcome fund`, say"));
            }
            let name: ProposalName =
                subject.parse().map_err(|error: ReferenceError| CliError::usage(error.to_string()))?;
            let found = client.find_proposal(&name).await?;
            let which = act::name_in_question(&client, &found, dry_run, consent).await;
            if !consent.is_given() {
                context.out.aside(|screen| {
                    screen.paragraph(&text);
                    screen.gap();
                });
            }
            let about = LetterAbout { party: party.as_ref(), outcome };
            let forecast = client.forecast_letter(found.id, about, &which, &text);
            if !act::goes_ahead(context, dry_run, Question::Always(consent), forecast).await? {
                return Ok(());
            }
            let letter = client.send_letter_about(found.id, about, &text).await?;
            context.out.answer(&letter, |screen| {
                screen.fields(&[
                    ("about", screen.named(&letter.reference, &letter.proposal)),
                    ("letter", letter.id.to_string()),
                    ("for", audience(&letter)),
                    ("sent", zone.both(letter.sent_at.0)),
                ]);
            })
        }
        LetterCommand::List { call: Some(call), titles, .. } => {
            let call = client.find_call(&call).await?;
            let letters = client.letters_of_call(call).await?;
            let titles = titles.of_call(context, &client, call).await;
            let items = letters.iter().map(|it| {
                let fetched: BTreeMap<_, _> = it.fetched_by.iter().map(|(who, at)| (who, Time(*at))).collect();
                let mut item = json!(it.letter);
                item["fetched_by"] = json!(fetched);
                item
            });
            let answer = json!({ "items": items.collect::<Vec<_>>() });
            context.out.answer(&answer, |screen| readers(screen, &letters, &titles, &zone))
        }
        LetterCommand::List { proposal, .. } => {
            let proposal = proposal.ok_or_else(|| CliError::usage("name a proposal, or a call with `--call`"))?;
            let found = client.find_proposal(&proposal).await?;
            let letters = client.api().letters(found.id).await?;
            let title = client.title_by_id(found.id).await;
            context.out.answer(&whole(&letters), |screen| lines(screen, title.as_deref(), &letters, &zone))
        }
        LetterCommand::Open { proposal, letter } => {
            let found = client.find_proposal(&proposal).await?;
            let id = match letter {
                Some(IdName::Id(id)) => id,
                Some(name) => name.among(&client.api().letters(found.id).await?)?,
                None => latest(&client.api().letters(found.id).await?, &found)?,
            };
            let OpenedLetter { letter, text, is_superseded, is_by_officer } = client.read_letter(found.id, id).await?;
            let title = client.title_by_id(found.id).await;
            let mut answer = json!({
                "letter": letter, "text": &*text, "is_superseded": is_superseded, "is_by_officer": is_by_officer,
            });
            if let Some(title) = &title {
                answer["title"] = json!(title);
            }
            context.out.answer(&answer, |screen: &mut Screen| {
                let verified = if is_by_officer {
                    "verified: an officer of the call"
                } else {
                    "signature verified; who the call's officers are is not shown to you"
                };
                let from = format!("{} at {}, {verified}", letter.sent_by, zone.both(letter.sent_at.0));
                screen.fields(&[
                    ("about", screen.named(&letter.reference, &letter.proposal)),
                    ("title", title.clone().unwrap_or_default()),
                    ("letter", letter.id.to_string()),
                    ("for", audience(&letter)),
                    ("from", from),
                ]);
                if is_superseded {
                    screen.styled(&[(
                        Style::Yellow,
                        "about a decision that was superseded since; see `entente decision show`",
                    )]);
                }
                screen.gap();
                screen.paragraph(&text);
            })
        }
        LetterCommand::Withdraw { proposal, letter, dry_run } => {
            let found = client.find_proposal(&proposal).await?;
            let letter = match letter {
                Some(IdName::Id(id)) => id,
                Some(name) => name.among(&client.api().letters(found.id).await?)?,
                None => only(&client.api().letters(found.id).await?, &found)?,
            };
            let forecast = client.forecast_withdrawn_letter(found.id, letter);
            if !act::goes_ahead(context, dry_run, Question::Never, forecast).await? {
                return Ok(());
            }
            client.api().withdraw_letter(found.id, letter).await?;
            context.out.done(&format!("the letter {letter} about {found} is taken back"))
        }
    }
}

/// Letters about a proposal, one a line.
pub(super) fn lines(screen: &mut Screen, title: Option<&str>, letters: &[Letter], zone: &Zone) {
    let about = letters.first().map(|letter| screen.named(&letter.reference, &letter.proposal));
    let heading: Vec<&str> = about.as_deref().into_iter().chain(title).collect();
    if !heading.is_empty() {
        screen.heading(&heading.join("  "));
    }
    let mut table = Table::new(["SENT", "SENT BY", "FOR", "ABOUT", "LETTER"]);
    for letter in letters {
        let about = if letter.is_superseded { "a superseded decision" } else { "the decision in force" };
        let (by, id) = (letter.sent_by.to_string(), letter.id.to_string());
        table.row([zone.cell(letter.sent_at.0), by.into(), audience(letter).into(), about.into(), id.into()]);
    }
    screen.table(&table, "no letters");
}

/// Whom a letter is for.
fn audience(letter: &Letter) -> String {
    letter.party.as_ref().map_or_else(|| "all parties".to_owned(), |party| format!("{party} alone"))
}

/// Letters of a call, and who fetched each.
pub(super) fn readers(screen: &mut Screen, letters: &[LetterWithReaders], titles: &Titles, zone: &Zone) {
    let mut table = Table::new(["PROPOSAL", "TITLE", "FOR", "SENT", "SENT BY", "FETCHED BY"]).cutting("TITLE");
    for LetterWithReaders { letter, fetched_by } in letters {
        let fetched = zone.cell_of(|said| {
            fetched_by.iter().map(|(who, at)| format!("{who} ({})", said(*at))).collect::<Vec<_>>().join(", ")
        });
        table.row([
            screen.named(&letter.reference, &letter.proposal).into(),
            titles.title(letter.proposal).unwrap_or_default().into(),
            audience(letter).into(),
            zone.cell(letter.sent_at.0),
            letter.sent_by.to_string().into(),
            fetched,
        ]);
    }
    screen.table(&table, "no letters");
}

fn only(letters: &[Letter], proposal: &FoundProposal) -> Result<DocumentId> {
    match letters {
        [letter] => Ok(letter.id),
        [] => Err(none_about(proposal)),
        _ => Err(CliError::usage(format!("several letters are about {proposal}"))
            .help("name the one that you mean; `entente letter list` shows them")),
    }
}

fn latest(letters: &[Letter], proposal: &FoundProposal) -> Result<DocumentId> {
    let latest = letters.iter().max_by_key(|letter| letter.sent_at).map(|letter| letter.id);
    latest.ok_or_else(|| none_about(proposal))
}

fn none_about(proposal: &FoundProposal) -> CliError {
    CliError::failed(format!("there is no letter about {proposal}"))
}
