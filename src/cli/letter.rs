//! `entente letter`: sealed letters from the call's officers to a proposal's parties.

use super::{
    act::{self, DryRun, Question},
    context::{Context, whole},
    error::{CliError, Result, read_input},
    output::{Screen, Style},
    prompt::Consent,
    table::Table,
    time::Zone,
};
use crate::{
    client::{
        decisions::OpenedLetter,
        naming::{FoundProposal, IdName, ProposalName},
    },
    domain::id::DocumentId,
    reading,
    wire::decision::Letter,
};
use clap::Subcommand;
use serde_json::json;
use std::path::PathBuf;

/// Send and open sealed letters to a proposal's parties
#[derive(Debug, Subcommand)]
pub enum LetterCommand {
    /// Seal a letter to the parties and send it (officers, once the decision is final)
    #[command(after_help = "Examples:
  entente letter send $PROPOSAL --file award.txt --dry-run
  entente letter send $PROPOSAL --file award.txt
  entente letter send $PROPOSAL --file - --yes
      from standard input, in a script

Asks first: the parties can open a letter as soon as it is sent.")]
    Send {
        /// The proposal
        proposal: ProposalName,
        /// The text, UTF-8; `-` is standard input
        #[arg(long)]
        file: PathBuf,
        #[command(flatten)]
        dry_run: DryRun,
        #[command(flatten)]
        consent: Consent,
    },
    /// List the letters of a proposal
    #[command(after_help = "Examples:\n  entente letter list $PROPOSAL")]
    List {
        /// The proposal
        proposal: ProposalName,
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
        LetterCommand::Send { proposal, file, dry_run, consent } => {
            let content = read_input(&file, 1 << 20)?;
            let text =
                reading::text(&content).map_err(|fault| CliError::usage(format!("`{}`: {fault}", file.display())))?;
            let found = client.find_proposal(&proposal).await?;
            let which = act::name_in_question(&client, &found, dry_run, consent).await;
            let forecast = client.forecast_letter(found.id, &which, &text);
            if !act::goes_ahead(context, dry_run, Question::Always(consent), forecast).await? {
                return Ok(());
            }
            let letter = client.send_letter(found.id, &text).await?;
            context.out.answer(&letter, |screen| {
                screen.fields(&[
                    ("about", screen.named(&letter.reference, &letter.proposal)),
                    ("letter", letter.id.to_string()),
                    ("sent", zone.both(letter.sent_at.0)),
                ]);
            })
        }
        LetterCommand::List { proposal } => {
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
    let mut table = Table::new(["SENT", "SENT BY", "ABOUT", "LETTER"]);
    for letter in letters {
        let about = if letter.is_superseded { "a superseded decision" } else { "the decision in force" };
        let (by, id) = (letter.sent_by.to_string(), letter.id.to_string());
        table.row([zone.cell(letter.sent_at.0), by.into(), about.into(), id.into()]);
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
