//! `entente ranking`: the ranking of a call, computed on the officer's machine from opened reviews, and sent sealed to those who decide. The
//! exchange never sees a score.

use super::{
    act::{self, DryRun, Question},
    cell::TableCell,
    context::{Context, joined},
    error::{CliError, Result},
    output::{Screen, Style},
    prompt::Consent,
    table::Table,
    time::Zone,
    titles::{TitleArgs, worded},
};
use crate::{
    client::{
        Client,
        naming::{CallName, ProposalName},
        ranking::{DoneByProposal, Ranking, SentLine, SentRanking},
        titles::Titles,
    },
    domain::{
        id::{CallId, ProposalId},
        member::CallRole,
        reference::Reference,
        reopening::Reopening,
        review::{Criterion, ExactPoints, Ranked},
        text::counted,
    },
    wire::Time,
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    future::ready,
};

/// Rank a call's proposals from the opened reviews, on this machine
#[derive(Debug, Subcommand)]
pub enum RankingCommand {
    /// Show the ranking
    #[command(after_help = "Examples:
  entente ranking show $CALL
  entente --csv ranking show $CALL > ranking.csv
  entente ranking show $CALL --sent        what the deciders see

An officer sees the ranking as it is now, computed here. A decider sees what an officer sent, with what changed since: `+` is a review that \
came, `-` one that no longer counts. The last column says what was never opened on this machine.

Total: the weighted average of the scores times the number of criteria. Totals are compared as they are, and rounded for reading \
only. `2=` says that others have the same total. Median: the reviewers' total in the middle. Spread: the highest reviewer's total less the \
lowest's. A proposal below a threshold has no rank. A review whose reviewer has declared a conflict since, works for a party now, \
or has lost the role, the assignment or the key card is set aside: shown with the reason, and in none of the numbers. A review that an officer reopened is shown with that officer and the \
time. It is in none of the numbers until its reviewer hands in another revision, or an officer takes the reopening back with \
`entente review reinstate`.")]
    Show(RankingShow),
    /// Seal the ranking to those who decide, and send it (officers)
    #[command(after_help = "Examples:
  entente ranking send $CALL --dry-run
  entente ranking send $CALL

Each proposal has a line of its own, which officers and deciders open who may read its reviews. Who has a conflict with one gets no line \
about it, and ranks among the others. Your notes go with the lines, and what another officer noted stays where you have none. Sent again, only what changed takes \
the place of what stands.")]
    Send {
        /// The call
        call: CallName,
        #[command(flatten)]
        dry_run: DryRun,
        #[command(flatten)]
        consent: Consent,
    },
    /// Take back the ranking that was sent (officers)
    #[command(after_help = "Examples:
  entente ranking withdraw $CALL --dry-run
  entente ranking withdraw $CALL")]
    Withdraw {
        /// The call
        call: CallName,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Keep a note on a proposal, sealed on this machine, for the ranking
    #[command(after_help = "Examples:
  entente ranking note $PROPOSAL 'strong team, high cost'
  entente ranking note $PROPOSAL --remove

A second note takes the place of the first. `--remove` also takes out what was sent on the proposal until then, when you send the \
ranking the next time.")]
    Note(Note),
}

#[derive(Debug, Args)]
pub struct RankingShow {
    /// The call
    call: CallName,
    /// Open what was sent to those who decide
    #[arg(long)]
    sent: bool,
    /// Compute it here, from the reviews that are open to you
    #[arg(long, conflicts_with = "sent")]
    computed: bool,
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
        RankingCommand::Send { call, dry_run, consent } => {
            let id = client.find_call(&call).await?;
            send(id, (dry_run, consent), &client, context).await
        }
        RankingCommand::Withdraw { call, dry_run } => {
            let id = client.find_call(&call).await?;
            let (lines, call) = (client.sent_lines(id).await?, client.call(id).await?);
            let code = &call.rules.code;
            if lines.is_empty() {
                return Err(CliError::failed(format!("no ranking of {code} stands that you may see"))
                    .help("`entente log` shows what was sent and taken back"));
            }
            let forecast = ready(Ok(client.forecast_withdrawn_ranking(lines.len(), code)));
            if !act::goes_ahead(context, dry_run, Question::Never, forecast).await? {
                return Ok(());
            }
            let came = client.withdraw_ranking(&lines).await?;
            let done =
                format!("{} of the ranking of {code} taken back", counted(came.done.len(), "line is", "lines are"));
            came_of(&came, &BTreeMap::new(), (&done, "taken back"), context)
        }
        RankingCommand::Note(Note { proposal, text, remove: _ }) => {
            let found = client.find_proposal(&proposal).await?;
            let Some(text) = text else {
                if client.remove_note(found.id)? {
                    return context.out.done(&format!("the note on {found} is removed"));
                }
                return context.out.done(&format!(
                    "this machine has no note on {found}; one that was sent until now goes when you send the ranking"
                ));
            };
            client.note_for_ranking(found.id, &text).await?;
            context.out.done(&format!("the note on {found} is kept on this machine, sealed to you"))
        }
    }
}

async fn shown(args: RankingShow, client: &Client, context: &Context) -> Result<()> {
    let id = client.find_call(&args.call).await?;
    let call = client.call(id).await?;
    let criteria = &call.rules.criteria;
    let is_officer = call.call.my_roles.contains(&CallRole::Officer);
    if args.sent || !args.computed && !is_officer {
        let sent = client.sent_ranking(id).await?;
        if args.sent || !sent.about.is_empty() || !sent.ranking.closed.is_empty() {
            return shown_sent(&sent, criteria, args.titles.of_call(context, client, id).await, context);
        }
        context.out.note(
            "no ranking was sent that you may see: this one is computed here, from the reviews that are open to you",
        );
    }
    let ranking = client.ranking(id).await?;
    let titles = args.titles.of_call(context, client, id).await;
    let zone = context.zone()?;
    let answer = as_json(&ranking, None, &titles);
    context.out.answer(&answer, |screen| show(screen, criteria, (&ranking, None, &titles), &zone))?;
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

fn shown_sent(sent: &SentRanking, criteria: &[Criterion], titles: Titles, context: &Context) -> Result<()> {
    let SentRanking { ranking, about, unsent } = sent;
    let zone = context.zone()?;
    let mut answer = as_json(ranking, Some(about), &titles);
    answer["unsent"] = json!(unsent);
    context.out.answer(&answer, |screen| {
        show(screen, criteria, (ranking, Some(about), &titles), &zone);
        for id in unsent {
            let which = worded(&named(screen, ranking, *id), titles.title(*id));
            screen.styled(&[(Style::Yellow, &format!("{which}: no line about it was sent"))]);
        }
    })?;
    match ranking.closed.first() {
        None => Ok(()),
        Some((_, first)) => Err(CliError::unverified(format!(
            "{} here: {first}",
            counted(ranking.closed.len(), "line does not verify or open", "lines do not verify or open")
        ))
        .help(first.help())),
    }
}

/// Seals and sends.
async fn send(id: CallId, (dry_run, consent): (DryRun, Consent), client: &Client, context: &Context) -> Result<()> {
    let plan = client.plan_ranking(id).await?;
    let code = &client.call(id).await?.rules.code;
    if plan.lines.is_empty() {
        return context.out.done(&format!("nothing is to be sent: the ranking of {code} was sent as it is"));
    }
    let forecast = ready(Ok(client.forecast_ranking(&plan, code)));
    if !act::goes_ahead(context, dry_run, Question::Always(consent), forecast).await? {
        return Ok(());
    }
    let came = client.send_ranking(id, &plan).await?;
    let done = format!("{} of the ranking of {code} sent", counted(came.done.len(), "line is", "lines are"));
    came_of(&came, &plan.ranking.references, (&done, "sent"), context)
}

/// What was done proposal by proposal, and what could not be.
fn came_of(
    came: &DoneByProposal,
    references: &BTreeMap<ProposalId, Reference>,
    (done, verb): (&str, &str),
    context: &Context,
) -> Result<()> {
    let name = |id: &ProposalId| references.get(id).map_or_else(|| id.to_string(), ToString::to_string);
    let failed = came.failed.iter().map(|(id, error)| json!({ "proposal": id, "fault": error.to_string() }));
    let answer = json!({ "done": done, "proposals": came.done, "failed": failed.collect::<Vec<_>>() });
    context.out.answer(&answer, |screen| {
        screen.styled(&[(Style::Green, "done  "), (Style::Plain, done)]);
        for (id, error) in &came.failed {
            screen.styled(&[(Style::Yellow, &format!("{}: not {verb}: {error}", name(id)))]);
        }
    })?;
    match came.failed.first() {
        None => Ok(()),
        Some((_, first)) => Err(CliError::failed(format!(
            "{} not {verb}; the first: {first}",
            counted(came.failed.len(), "line is", "lines are")
        ))
        .help("run the command again: it goes on with what is left")),
    }
}

/// The ranking, the best first; of one that was sent, with what is known of each line.
pub(super) fn show(
    screen: &mut Screen,
    criteria: &[Criterion],
    (ranking, about, titles): (&Ranking, Option<&BTreeMap<ProposalId, SentLine>>, &Titles),
    zone: &Zone,
) {
    let Ranking { lines, closed, .. } = ranking;
    let heads = ["RANK", "PROPOSAL", "TITLE", "TOTAL", "MEDIAN", "SPREAD"].map(str::to_owned).into_iter();
    let heads = heads.chain(criteria.iter().map(|criterion| criterion.name.to_string().to_uppercase()));
    let last = ["REVIEWS", "BELOW", "MISSING", "SET ASIDE", "REOPENED", "NOTE"].map(str::to_owned);
    let of_sent = ["SINCE", "UNOPENED"].map(str::to_owned).into_iter().filter(|_| about.is_some());
    // Officers send lines again that have changed, so there may be several.
    let sent: BTreeSet<_> = about.into_iter().flatten().map(|(_, sent)| (sent.sent_at, &sent.sent_by)).collect();
    for (at, by) in sent {
        screen.line(&format!("sent by {by} at {}", zone.both(at)));
    }
    let mut table = Table::new(heads.chain(last).chain(of_sent)).cutting("TITLE");
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
        if let Some(sent) = about.and_then(|about| about.get(&line.proposal)) {
            cells.extend([since(sent), unopened(sent)].map(TableCell::from));
        }
        table.row(cells);
    }
    screen.table(&table, "nothing to rank");
    for (id, error) in closed {
        let which = worded(&named(screen, ranking, *id), titles.title(*id));
        screen.styled(&[(Style::Yellow, &format!("{which}: left out: {error}"))]);
    }
}

/// What changed since a line was made: reviews that came, and those that no longer count.
fn since(sent: &SentLine) -> String {
    let came = sent.came_since.keys().map(|reviewer| format!("+{reviewer}"));
    came.chain(sent.gone_since.iter().map(|reviewer| format!("-{reviewer}"))).collect::<Vec<_>>().join(" ")
}

/// What was never opened here.
fn unopened(sent: &SentLine) -> String {
    let proposal = sent.is_unopened.then(|| "proposal".to_owned());
    let reviews = (sent.unopened_reviews > 0).then(|| counted(sent.unopened_reviews, "review", "reviews"));
    proposal.into_iter().chain(reviews).collect::<Vec<_>>().join(", ")
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

fn as_json(ranking: &Ranking, about: Option<&BTreeMap<ProposalId, SentLine>>, titles: &Titles) -> Value {
    let reference = |id: ProposalId| ranking.references.get(&id);
    let titled = |ranked: &Ranked| {
        let mut line = line(ranked, reference(ranked.proposal));
        if let Some(title) = titles.title(ranked.proposal) {
            line["title"] = json!(title);
        }
        if let Some(note) = ranking.notes.get(&ranked.proposal) {
            line["note"] = json!(note);
        }
        if let Some(sent) = about.and_then(|about| about.get(&ranked.proposal)) {
            line["sent_by"] = json!(sent.sent_by);
            line["sent_at"] = json!(Time(sent.sent_at));
            line["came_since"] = json!(sent.came_since);
            line["gone_since"] = json!(sent.gone_since);
            line["is_unopened"] = json!(sent.is_unopened);
            line["unopened_reviews"] = json!(sent.unopened_reviews);
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
