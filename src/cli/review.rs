//! `entente review`: drafts kept sealed on this machine, reviews sealed to the panel, and what the others said.

pub(super) mod batch;
pub(super) mod form;
mod sheet;

use super::{
    act::{self, DryRun, Question},
    cell::TableCell,
    context::{Context, reason, whole},
    error::{CliError, Result, read_input},
    input::read as read_as,
    output::{Screen, Style},
    prompt::Consent,
    table::Table,
    time::Zone,
    titles::worded,
};
use crate::{
    client::{
        Client, ClientError,
        naming::{CallName, FoundProposal, FoundReview, ProposalName},
        reviews::{OpenedReview, OpenedReviews, ReviewBody},
        titles::Titles,
    },
    domain::{
        id::{MemberId, ProposalId, ReviewId, Slug},
        reference::ReferenceError,
        review::{Criterion, Points},
        text::counted,
    },
    wire::review::Review,
};
use clap::{Args, Subcommand};
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

/// Write, submit and open reviews
#[derive(Debug, Subcommand)]
pub enum ReviewCommand {
    /// Write a draft, kept sealed on this machine; what you give replaces that part of the draft
    #[command(after_help = "Examples:
  entente review draft $PROPOSAL --score excellence=4.5 --score impact=4
  entente review draft $PROPOSAL \\
      --comment impact='two markets, one product' --overall 'solid'
  entente review draft $PROPOSAL --file review.toml
  entente review draft $PROPOSAL --discard    asks first

review.toml (or the same as JSON):
  overall = \"…\"
  [scores]
  excellence = 4.5
  [comments]
  excellence = \"…\"")]
    Draft(Draft),
    /// Print one form for everything you have to review under a call, or save a filled one as drafts
    Form(form::FormArgs),
    /// List the proposals for which there is a draft on this machine
    #[command(after_help = "Examples:\n  entente review drafts")]
    Drafts,
    /// Show your draft, or your review if it is in
    #[command(after_help = "Examples:\n  entente review show $PROPOSAL")]
    Show {
        /// The proposal
        proposal: ProposalName,
    },
    /// Seal, sign and hand in your review: the draft, a file, or every complete draft of a call
    #[command(after_help = "Examples:
  entente review submit $PROPOSAL --dry-run              checks it
  entente review submit $PROPOSAL
  entente review submit $PROPOSAL --file review.json --yes    in a script
  entente review submit --call $CALL     every complete draft, asked once
  entente review submit --call $CALL --file reviews.md
      a form that was filled in: kept as drafts, then handed in

It is bound to the very version you read. Afterwards only an officer can reopen it, so it asks first.")]
    Submit {
        /// The proposal
        #[arg(required_unless_present = "call", conflicts_with = "call")]
        proposal: Option<ProposalName>,
        /// Every complete draft for proposals of this call
        #[arg(long)]
        call: Option<CallName>,
        /// The review, JSON or TOML, instead of the draft; with `--call` the form of `entente review form`
        #[arg(long)]
        file: Option<PathBuf>,
        #[command(flatten)]
        dry_run: DryRun,
        #[command(flatten)]
        consent: Consent,
    },
    /// List the reviews of a proposal, unopened
    #[command(after_help = "Examples:\n  entente review list $PROPOSAL")]
    List {
        /// The proposal
        proposal: ProposalName,
    },
    /// Verify and open the reviews of a proposal that are open to you
    #[command(after_help = "Examples:
  entente review open $PROPOSAL
  entente --json review open $PROPOSAL | jq '.items[].body.scores'")]
    Open {
        /// The proposal
        proposal: ProposalName,
    },
    /// Reopen a review, as an officer, so that its reviewer can hand in a new revision
    #[command(after_help = "Examples:
  entente review reopen $PROPOSAL GBR:grace \\
      --reason 'scored the wrong version' --dry-run
  entente review reopen $PROPOSAL GBR:grace --reason 'scored the wrong version'")]
    Reopen {
        /// The proposal, or a review's identifier
        review: ReviewedName,
        /// Whose review, where the proposal is named
        reviewer: Option<MemberId>,
        /// Why; logged
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Take a reopening back, as an officer: the review counts again as it was handed in
    #[command(after_help = "Examples:
  entente review reinstate $PROPOSAL GBR:grace \\
      --reason 'its reviewer is on leave until August'

Possible until its reviewer hands in another revision or the decision is final.")]
    Reinstate {
        /// The proposal, or a review's identifier
        review: ReviewedName,
        /// Whose review, where the proposal is named
        reviewer: Option<MemberId>,
        /// Why; logged
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        dry_run: DryRun,
    },
}

#[derive(Debug, Args)]
pub struct Draft {
    /// The proposal
    proposal: ProposalName,
    /// A score; may be given several times
    #[arg(long, value_name = "CRITERION=POINTS", value_parser = score)]
    score: Vec<(Slug, f64)>,
    /// A comment on a criterion; may be given several times
    #[arg(long, value_name = "CRITERION=TEXT", value_parser = comment)]
    comment: Vec<(Slug, String)>,
    /// The overall comment
    #[arg(long, value_name = "TEXT")]
    overall: Option<String>,
    /// What you recommend, in a word
    #[arg(long, value_name = "TEXT")]
    recommendation: Option<String>,
    /// Read the draft from a file first, JSON or TOML; `-` is standard input
    #[arg(long)]
    file: Option<PathBuf>,
    /// Throw the draft away
    #[arg(long, conflicts_with_all = ["score", "comment", "overall", "recommendation", "file"])]
    discard: bool,
    #[command(flatten)]
    consent: Consent,
}

/// Runs the command.
pub(super) async fn run(command: ReviewCommand, context: &Context) -> Result<()> {
    let client = context.client().await?;
    let zone = context.zone()?;
    match command {
        ReviewCommand::Draft(args) => draft(args, &client, context).await,
        ReviewCommand::Drafts => {
            let drafts = client.drafts()?;
            // They are on this machine: without an exchange they are shown all the same, without their titles.
            let (mut named, mut titles) = (Vec::new(), Titles::default());
            if !context.out.is_json() {
                named = found_drafts(&client, &drafts).await;
                if named.iter().any(|found| found.reference.is_some()) {
                    titles = client.titles_by_id(&drafts).await;
                }
            }
            context.out.answer(&whole(&drafts), |screen| {
                for found in &named {
                    screen.line(&worded(found, titles.title(found.id)));
                }
                if drafts.is_empty() {
                    screen.styled(&[(Style::Dim, "no drafts")]);
                }
            })
        }
        ReviewCommand::Show { proposal } => {
            let found = client.find_proposal(&proposal).await?;
            show_own(&client, context, &found, &zone).await
        }
        ReviewCommand::Form(args) => form::run(args, context, &client).await,
        ReviewCommand::Submit { call: Some(call), file, dry_run, consent, .. } => {
            batch::run((&call, file.as_deref()), (dry_run, consent), context, &client).await
        }
        ReviewCommand::Submit { proposal, file, dry_run, consent, .. } => {
            let proposal = proposal.ok_or_else(|| CliError::usage("name a proposal, or a call with `--call`"))?;
            let found = client.find_proposal(&proposal).await?;
            let body = match file {
                Some(file) => read(&file)?,
                None => client.draft(found.id).await?.ok_or_else(|| {
                    CliError::failed(format!("there is no draft for {found}"))
                        .help("write one with `entente review draft`, or name a file with `--file`")
                })?,
            };
            let which = act::name_in_question(&client, &found, dry_run, consent).await;
            let forecast = client.forecast_review(found.id, &which, &body);
            if !act::goes_ahead(context, dry_run, Question::Always(consent), forecast).await? {
                return Ok(());
            }
            let review = client.submit_review(found.id, &body).await?;
            context.out.answer(&review, |screen| {
                show_handed_in(screen, &review, &zone);
            })
        }
        ReviewCommand::List { proposal } => {
            let reviews = client.api().reviews(client.find_proposal(&proposal).await?.id).await?;
            context.out.answer(&whole(&reviews), |screen| lines(screen, &reviews, &zone))
        }
        ReviewCommand::Open { proposal } => {
            let id = client.find_proposal(&proposal).await?.id;
            open(&client, context, id, &zone).await
        }
        ReviewCommand::Reopen { review, reviewer, reason: why, dry_run } => {
            let why = reason(&why)?;
            let (found, named) = find_review(&client, &review, reviewer.as_ref()).await?;
            let forecast = client.forecast_reopened_review(found, &named);
            if !act::goes_ahead(context, dry_run, Question::Never, forecast).await? {
                return Ok(());
            }
            client.api().reopen_review(found.id, why).await?;
            context.out.done(&format!("{named} is reopened; its reviewer can hand in a new revision"))
        }
        ReviewCommand::Reinstate { review, reviewer, reason: why, dry_run } => {
            let why = reason(&why)?;
            let (found, named) = find_review(&client, &review, reviewer.as_ref()).await?;
            let forecast = client.forecast_reinstated_review(found, &named);
            if !act::goes_ahead(context, dry_run, Question::Never, forecast).await? {
                return Ok(());
            }
            client.api().reinstate_review(found.id, why).await?;
            context.out.done(&format!("{named} counts again as it was handed in"))?;
            context.out.note("give its reviewer the key to the others' reviews again: `entente key share --call CALL`");
            Ok(())
        }
    }
}

/// What is named where a review is meant.
#[derive(Debug, Clone)]
pub enum ReviewedName {
    Review(ReviewId),
    Proposal(ProposalName),
}

impl FromStr for ReviewedName {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        match text.parse() {
            Ok(id) => Ok(Self::Review(id)),
            Err(_) => text.parse().map(Self::Proposal),
        }
    }
}

/// The review that is meant, and how people are told of it.
async fn find_review(
    client: &Client,
    review: &ReviewedName,
    reviewer: Option<&MemberId>,
) -> Result<(FoundReview, String)> {
    match (review, reviewer) {
        (ReviewedName::Review(id), None) => Ok((FoundReview { id: *id, proposal: None }, format!("the review {id}"))),
        (ReviewedName::Proposal(proposal), Some(reviewer)) => {
            let found = client.find_proposal(proposal).await?;
            let id = client.find_review(found.id, reviewer).await?;
            let review = FoundReview { id, proposal: Some(found.id) };
            Ok((review, format!("the review of {found} by {reviewer}")))
        }
        (ReviewedName::Review(_), Some(_)) => {
            Err(CliError::usage("a review's identifier says already whose it is").help("leave the reviewer out"))
        }
        (ReviewedName::Proposal(_), None) => Err(CliError::usage("a proposal has several reviews")
            .help("say whose is meant, such as `GBR:grace`; `entente review list` shows them")),
    }
}

/// Drafts as people call what they are about. A draft stays here whatever is shown by now, and whether the exchange answers or not.
async fn found_drafts(client: &Client, drafts: &[ProposalId]) -> Vec<FoundProposal> {
    let (mut named, mut is_away) = (Vec::new(), false);
    for id in drafts {
        let found = if is_away { None } else { Some(client.api().proposal(*id).await) };
        is_away |= matches!(&found, Some(Err(error)) if error.is_passing());
        named.push(match found {
            Some(Ok(proposal)) => FoundProposal::from(&proposal),
            _ => FoundProposal { id: *id, reference: None },
        });
    }
    named
}

async fn draft(args: Draft, client: &Client, context: &Context) -> Result<()> {
    let found = client.find_proposal(&args.proposal).await?;
    let id = found.id;
    if args.discard {
        let act = format!("throwing the draft for {found} away");
        context.keyboard().consent(args.consent, &act, "it is on this machine alone").await?;
        let done = if client.discard_draft(id)? { "thrown away" } else { "was none" };
        return context.out.done(&format!("draft for {found}: {done}"));
    }
    let mut body = match &args.file {
        Some(file) => read(file)?,
        None => client.draft(id).await?.unwrap_or_default(),
    };
    body.scores.extend(args.score);
    body.comments.extend(args.comment);
    body.overall = args.overall.unwrap_or(body.overall);
    body.recommendation = args.recommendation.or(body.recommendation);
    let criteria = criteria(client, id).await?;
    let unknown = |name: &&Slug| !criteria.iter().any(|criterion| criterion.name == **name);
    if let Some(name) = body.scores.keys().chain(body.comments.keys()).find(unknown) {
        let known = criteria.iter().map(|criterion| format!("`{}`", criterion.name)).collect::<Vec<_>>().join(", ");
        return Err(CliError::usage(format!("the call has no criterion `{name}`")).help(format!("it has {known}")));
    }
    client.save_draft(id, &body).await?;
    context.out.answer(&body, |screen| show(screen, &body, &criteria, None))?;
    context.out.note("kept on this machine, sealed to you; hand it in with `entente review submit`");
    Ok(())
}

async fn show_own(client: &Client, context: &Context, found: &FoundProposal, zone: &Zone) -> Result<()> {
    let id = found.id;
    let criteria = criteria(client, id).await?;
    if let Some(body) = client.draft(id).await? {
        return context.out.answer(&json!({ "draft": body }), |screen| {
            screen.styled(&[(Style::Yellow, "draft, not handed in")]);
            show(screen, &body, &criteria, None);
        });
    }
    let me = client.member_id().await?;
    let mine = client.api().reviews(id).await?.into_iter().filter(|review| review.reviewer == me);
    let Some(review) = mine.max_by_key(|review| review.revision) else {
        return Err(CliError::failed(format!("you have neither a draft nor a review for {found}"))
            .help("write one with `entente review draft`"));
    };
    match client.open_review(review.id).await {
        Ok(opened) => context.out.answer(&opened_json(&opened), |screen| show_opened(screen, &opened, &criteria, zone)),
        // Sealed to the panel: until an officer shares the key it is closed to its own author too.
        Err(ClientError::Usage { help, .. } | ClientError::NotShown { help, .. } | ClientError::Local { help, .. }) => {
            context.out.answer(&json!({ "review": review }), |screen| show_handed_in(screen, &review, zone))?;
            context.out.note(&format!("sealed to the panel, and you hold no key yet: {help}"));
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

async fn open(client: &Client, context: &Context, id: ProposalId, zone: &Zone) -> Result<()> {
    let OpenedReviews { reviews, invalid, reopened } = client.open_reviews(id).await?;
    let criteria = criteria(client, id).await?;
    let faults: Vec<_> = invalid
        .iter()
        .map(|review| json!({ "id": review.id, "reviewer": review.reviewer, "fault": review.fault.to_string() }))
        .collect();
    let items: Vec<_> = reviews.iter().map(opened_json).collect();
    context.out.answer(&json!({ "items": items, "invalid": faults, "reopened": reopened }), |screen| {
        for review in &reviews {
            show_opened(screen, review, &criteria, zone);
        }
        for review in &reopened {
            show_reopened(screen, review, zone);
        }
        if reviews.is_empty() && invalid.is_empty() && reopened.is_empty() {
            screen.styled(&[(Style::Dim, "no reviews that are open to you")]);
        }
    })?;
    match invalid.first() {
        None => Ok(()),
        Some(first) => {
            let count = counted(invalid.len(), "review does not verify", "reviews do not verify");
            let fault = &first.fault;
            Err(CliError::unverified(format!("{count}; that by {}: {fault}", first.reviewer)).help(fault.help()))
        }
    }
}

async fn criteria(client: &Client, id: ProposalId) -> Result<Vec<Criterion>> {
    let call = client.api().proposal(id).await?.call;
    Ok(client.call(call).await?.rules.criteria.clone())
}

fn opened_json(opened: &OpenedReview) -> serde_json::Value {
    json!({ "review": opened.review, "body": opened.body })
}

fn show_handed_in(screen: &mut Screen, review: &Review, zone: &Zone) {
    screen.fields(&[
        ("review", screen.id(&review.id)),
        ("revision", review.revision.to_string()),
        ("of version", review.manifest_sha256.to_string()),
        ("handed in", zone.both(review.submitted_at.0)),
    ]);
}

/// Reviews that were handed in, one a line.
pub(super) fn lines(screen: &mut Screen, reviews: &[Review], zone: &Zone) {
    let mut table = Table::new(["REVIEWER", "REVISION", "HANDED IN", "REOPENED"]);
    for review in reviews {
        let reopened = review.reopened_at.map(|at| zone.cell_by(at.0, review.reopened_by.as_ref()));
        table.row([
            screen.named(&review.reviewer, &review.id).into(),
            review.revision.to_string().into(),
            zone.cell(review.submitted_at.0),
            reopened.unwrap_or_default(),
        ]);
    }
    screen.table(&table, "no reviews that you may see");
}

/// When a review was reopened and by whom, if it was.
fn reopened(review: &Review, zone: &Zone) -> Option<String> {
    review.reopened_at.map(|at| zone.both_by(at.0, review.reopened_by.as_ref()))
}

/// A review that is not in force, since it was reopened and no other revision is in.
pub(super) fn show_reopened(screen: &mut Screen, review: &Review, zone: &Zone) {
    let when = reopened(review, zone).unwrap_or_default();
    let sentence =
        format!("the review by {}, {when}; it counts for nothing until another revision is in", review.reviewer);
    screen.styled(&[(Style::Yellow, "reopened: "), (Style::Plain, &sentence)]);
}

/// A review that was opened.
pub(super) fn show_opened(screen: &mut Screen, opened: &OpenedReview, criteria: &[Criterion], zone: &Zone) {
    let OpenedReview { review, body } = opened;
    let reviewer = screen.named(&review.reviewer, &review.id);
    screen.heading(&format!("Review by {reviewer}, verified"));
    let revision = format!("{}, handed in {}", review.revision, zone.both(review.submitted_at.0));
    screen.fields(&[("revision", revision), ("reopened", reopened(review, zone).unwrap_or_default())]);
    if let Some(why) = review.set_aside {
        let sentence = format!("{} {}; it no longer counts", review.reviewer, why.sentence());
        screen.styled(&[(Style::Yellow, "set aside: "), (Style::Plain, &sentence)]);
    }
    show(screen, body, criteria, Some(&review.reviewer));
}

fn show(screen: &mut Screen, body: &ReviewBody, criteria: &[Criterion], by: Option<&MemberId>) {
    // As CSV several stand below one another without their headings: each line says whose it is.
    let by = by.filter(|_| screen.is_csv()).map(ToString::to_string);
    let whose = by.iter().map(|_| "REVIEWER");
    let mut table = Table::new(whose.chain(["CRITERION", "SCORE", "OF", "COMMENT"]));
    for criterion in criteria {
        let score = body.scores.get(&criterion.name).and_then(|score| Points::from_number(*score));
        let score = score.map(|score| score.to_string()).unwrap_or_default();
        let comment = body.comments.get(&criterion.name).map(String::as_str).unwrap_or_default();
        let comment = TableCell::new(comment.replace('\n', " "), comment);
        let scored = [criterion.name.to_string(), score, criterion.max.to_string()];
        table.row(by.iter().cloned().chain(scored).map(TableCell::from).chain([comment]));
    }
    screen.table(&table, "the call has no criteria");
    screen.fields(&[
        ("overall", body.overall.clone()),
        ("recommendation", body.recommendation.clone().unwrap_or_default()),
    ]);
}

fn read(file: &Path) -> Result<ReviewBody> {
    let content = read_input(file, 1 << 20)?;
    read_as(&content).map_err(|fault| {
        CliError::usage(format!("`{}`: {fault}", file.display())).help("see `entente review draft --help`")
    })
}

fn score(text: &str) -> Result<(Slug, f64), String> {
    let (name, points) = pair(text, "excellence=4.5")?;
    let number = points.trim().parse().ok().filter(|number| Points::from_number(*number).is_some());
    let wrong = || format!("`{points}` is not a number of points: wanted a multiple of 0.01 from 0 to 10000");
    Ok((name, number.ok_or_else(wrong)?))
}

fn comment(text: &str) -> Result<(Slug, String), String> {
    let (name, comment) = pair(text, "impact='two markets'")?;
    Ok((name, comment.to_owned()))
}

fn pair<'a>(text: &'a str, example: &str) -> Result<(Slug, &'a str), String> {
    let (name, rest) =
        text.split_once('=').ok_or_else(|| format!("wanted a criterion and `=`, such as `{example}`"))?;
    Ok((name.trim().parse().map_err(|error: crate::domain::id::IdError| error.to_string())?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn score_is_a_criterion_and_a_number() {
        assert_eq!(score("excellence=4.5").unwrap(), ("excellence".parse().unwrap(), 4.5));
        for text in ["excellence", "excellence=", "excellence=four", "=4", "excellence=NaN", "excellence=-1"] {
            assert!(score(text).is_err(), "{text}");
        }
    }

    #[test]
    fn comment_may_hold_an_equals_sign() {
        assert_eq!(comment("impact=a=b").unwrap().1, "a=b");
    }
}
