//! `entente assignment`: who reviews what. Bulk assignments are all or nothing, with a dry run.

mod file;
pub(super) mod load;
pub(super) mod suggest;

use super::{
    act::{self, DryRun, Question},
    context::{Context, whole},
    error::{CliError, Exit, Result},
    output::Screen,
    preview::{PreviewArgs, rows, sums},
    table::Table,
    time::{Zone, by_whom},
    titles::{TitleArgs, TitleUse, named},
};
use crate::{
    client::{
        Client,
        naming::{CallName, FoundProposal, ProposalName},
        titles::{ListExtent, Titles, rows::Titled},
    },
    domain::{
        id::{CallId, MemberId},
        member::DeclineReason,
        text::counted,
    },
    wire::review::{Assigned, Assignment, DeclineAssignment},
};
use clap::{Args, Subcommand};
use std::fmt::Display;

/// Assign reviewers to proposals (officers)
#[derive(Debug, Subcommand)]
pub enum AssignmentCommand {
    /// Assign reviewers to a proposal, all or none
    #[command(after_help = "Examples:
  entente assignment add $PROPOSAL GBR:grace KOR:jiwoo
  entente assignment add $PROPOSAL GBR:grace --dry-run

First declare that you have no conflict: `entente conflict declare $PROPOSAL --none`. Afterwards `entente key share` gives \
the reviewers their keys.")]
    Add {
        /// The proposal
        proposal: ProposalName,
        /// Reviewers of the call
        #[arg(required = true)]
        reviewer: Vec<MemberId>,
        /// Only say what it would do
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        shown: PreviewArgs,
    },
    /// Assign many at once from a CSV or JSON file, all or none; what is there already is skipped
    #[command(after_help = "Examples:
  entente assignment load $CALL assignments.csv --dry-run
  entente assignment load $CALL assignments.json

Every line is tried out first; if one is refused, nothing is done, and if none is, it asks once for all. Lines are numbered as an editor does: the header is line 1. What is \
assigned already is skipped and said, so a file can grow and be loaded again; nobody is taken out by it.

More than 20 lines are sent in several requests. Each request is carried out in full or not at all. If one of them fails, load the \
same file again: it goes on with the rest.

The file is either of these:
  CSV   a header `proposal,reviewer` (or with `;`), then a line each
  JSON  [{\"proposal\": \"BIRD26-48179\", \"reviewer\": \"GBR:grace\"}]

A proposal is named by its reference, its identifier or the beginning of that.")]
    Load(load::Load),
    /// Suggest who could review what, for you to look at and load; changes nothing
    #[command(after_help = "Examples:
  entente assignment suggest $CALL
  entente assignment suggest $CALL --each 3 --most 6 --out assignments.csv
  entente assignment load $CALL assignments.csv --dry-run

Each proposal gets a reviewer of each nation that funds or takes part, as far as there are any, and as many reviewers as `--each` says. \
Who is assigned already counts. Nobody is suggested whom you could not assign: for a declared conflict, the same organisation, a \
policy; nor one who declined. The load is even, and nobody has more than `--most`. The same call gives the same suggestion.

Key cards do not say what somebody knows about. If you know it, name a CSV file with `--topics`: columns `reviewer` and `topics`, \
several topics of the call with blanks between. Declare your own interests first: you assign only where you are clear.")]
    Suggest(suggest::Suggest),
    /// List who is assigned and where they stand
    #[command(after_help = "Examples:
  entente assignment list $PROPOSAL
  entente assignment list --call $CALL")]
    List(List),
    /// Take an assignment back; the reviewer's keys go too
    #[command(after_help = "Examples:
  entente assignment remove $PROPOSAL GBR:grace
  entente assignment remove $PROPOSAL GBR:grace --dry-run
      what they would lose access to")]
    Remove {
        /// The proposal
        proposal: ProposalName,
        /// The reviewer
        reviewer: MemberId,
        /// Only say what it would change
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        shown: PreviewArgs,
    },
    /// Decline an assignment of your own, or take that back
    #[command(after_help = "Examples:
  entente assignment decline $PROPOSAL --reason time --dry-run
  entente assignment decline $PROPOSAL --reason time
  entente assignment decline $PROPOSAL --withdraw
      review it after all, until somebody else is assigned

No time is no conflict of interest: it does not count against you, and you can be assigned again. You lose your keys to the proposal, and \
the call's officers are told. For a conflict of interest use `entente conflict declare`.")]
    Decline(Decline),
}

#[derive(Debug, Args)]
pub struct Decline {
    /// The proposal
    proposal: ProposalName,
    /// Why, for the call's officers: time, field, absence or other
    #[arg(long)]
    reason: Option<DeclineReason>,
    /// Review it after all
    #[arg(long, conflicts_with = "reason")]
    withdraw: bool,
    #[command(flatten)]
    dry_run: DryRun,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("scope").required(true).args(["proposal", "call"]))]
pub struct List {
    /// The proposal
    proposal: Option<ProposalName>,
    /// Every proposal of this call that you may see
    #[arg(long)]
    call: Option<CallName>,
    #[command(flatten)]
    titles: TitleArgs,
}

/// Runs the command.
pub(super) async fn run(command: AssignmentCommand, context: &Context) -> Result<()> {
    let client = context.client().await?;
    match command {
        AssignmentCommand::Add { proposal, reviewer, dry_run, shown } => {
            shown.only_with(dry_run)?;
            let id = client.find_proposal(&proposal).await?.id;
            let shown_proposal = client.api().proposal(id).await?;
            let (call, found) = (shown_proposal.call, FoundProposal::from(&shown_proposal));
            let pairs = reviewer.into_iter().map(|reviewer| (found.clone(), reviewer)).collect();
            assign(&client, context, call, pairs, dry_run.then_some(&shown)).await
        }
        AssignmentCommand::Load(args) => load::run(&client, context, args).await,
        AssignmentCommand::Suggest(args) => suggest::run(&client, context, args).await,
        AssignmentCommand::Decline(args) => decline(&client, context, args).await,
        AssignmentCommand::List(args) => list(&client, context, args).await,
        AssignmentCommand::Remove { proposal, reviewer, dry_run, shown } => {
            shown.only_with(dry_run)?;
            let found = client.find_proposal(&proposal).await?;
            if dry_run {
                let (changes, summary) = client.preview_unassignment(found.id, &reviewer).await?;
                return shown.show(context, &client, (&changes, &summary)).await;
            }
            client.api().unassign(found.id, &reviewer).await?;
            context.out.done(&format!("{reviewer} is no longer assigned to {found}"))
        }
    }
}

async fn decline(client: &Client, context: &Context, args: Decline) -> Result<()> {
    let Decline { proposal, reason, withdraw, dry_run } = args;
    // A nation may show it to those alone who are assigned.
    let found = if withdraw {
        client.find_proposal_shown_before(&proposal).await?
    } else {
        client.find_proposal(&proposal).await?
    };
    let which = if dry_run.is_meant() { found.to_string() } else { named(client, &found).await };
    if withdraw {
        let forecast = client.forecast_resumed_assignment(found.id, &which);
        if !act::goes_ahead(context, dry_run, Question::Never, forecast).await? {
            return Ok(());
        }
        client.api().resume_assignment(found.id).await?;
        return context.out.done(&format!("you review {which} after all"));
    }
    if !act::goes_ahead(context, dry_run, Question::Never, client.forecast_decline(found.id, &which)).await? {
        return Ok(());
    }
    client.api().decline_assignment(found.id, &DeclineAssignment { reason }).await?;
    context.out.done(&format!("declined to review {which}; the call's officers are told"))?;
    context.out.note(&format!(
        "`entente assignment decline {found} --withdraw` takes it back until somebody else is assigned"
    ));
    Ok(())
}

async fn assign(
    client: &Client,
    context: &Context,
    call: CallId,
    meant: Vec<(FoundProposal, MemberId)>,
    dry_run: Option<&PreviewArgs>,
) -> Result<()> {
    let pairs: Vec<_> = meant.iter().map(|(found, reviewer)| (found.id, reviewer.clone())).collect();
    let answer = client.assign(call, &pairs, dry_run.is_some()).await?;
    let Assigned { dry_run: _, accepted, faults, changes } = &answer;
    let foreseen = match dry_run {
        Some(shown) => Some((shown, client.sum_assignments(call, &pairs, changes).await?)),
        None => None,
    };
    // What cannot be done as a whole is not done at all, so there is nothing to sign for.
    if let Some((shown, summary)) = foreseen.as_ref().filter(|_| faults.is_empty()) {
        shown.sign(client, summary).await?;
    }
    let titles = client.kept_titles(&pairs.iter().map(|(proposal, _)| *proposal).collect()).await;
    context.out.answer(&answer, |screen| {
        let head = if dry_run.is_some() { "POSSIBLE" } else { "ASSIGNED" };
        let state = |at: u32| faults.iter().find(|fault| fault.line == at).map(|fault| format!("NO: {}", fault.detail));
        let lines = (1..).zip(&meant).map(|(at, (proposal, reviewer))| {
            let state = state(at).unwrap_or_else(|| "yes".to_owned());
            (at.into(), proposal, reviewer, state)
        });
        show_lines(screen, head, lines, &titles);
        if let Some((shown, summary)) = &foreseen {
            screen.heading("What it would change");
            sums(screen, &summary.sums);
            rows(screen, changes, shown.all);
            if faults.is_empty() {
                shown.tell(screen);
            }
        }
    })?;
    if !faults.is_empty() {
        let message = format!("{} of {} cannot be done", faults.len(), counted(pairs.len(), "line", "lines"));
        let error = CliError { exit: Exit::Refused, ..CliError::failed(message) };
        return Err(error.help("fix those lines: without a dry run all lines are accepted or none"));
    }
    if dry_run.is_some() {
        context.out.note(&format!("dry run: nothing was done; all {accepted} can be"));
    } else {
        let reference = meant.first().and_then(|(found, _)| found.reference.as_ref());
        let call = reference.map_or_else(|| call.to_string(), |reference| reference.code().to_string());
        note_keys(context, &call);
    }
    Ok(())
}

/// How the reviewers get their keys.
pub(super) fn note_keys(context: &Context, call: &impl Display) {
    context.out.note(&format!(
        "your key agent gives them their keys once they have declared; without one: entente key share --call {call}"
    ));
}

async fn list(client: &Client, context: &Context, List { proposal, call, titles }: List) -> Result<()> {
    let (mut proposals, mut assignments, mut extent): (_, Vec<Assignment>, _) =
        (Vec::new(), Vec::new(), ListExtent::Part);
    if let Some(proposal) = proposal {
        proposals.push(client.api().proposal(client.find_proposal(&proposal).await?.id).await?);
    }
    if let Some(call) = call {
        let call = client.find_call(&call).await?;
        (proposals, extent) = (client.api().all_proposals(Some(call)).await?, ListExtent::Call(call));
    }
    for proposal in &proposals {
        assignments.extend(client.api().assignments_and_declined(proposal.id).await?);
    }
    let titles = titles.of(context, client, &proposals, extent, TitleUse::Shown).await;
    let (assignments, zone) = (titles.joined(assignments, |line| line.proposal), context.zone()?);
    context.out.answer(&whole(&assignments), |screen| lines(screen, &assignments, &zone))
}

/// What can be assigned, or was, and what cannot: each with its line.
pub(super) fn show_lines<'l>(
    screen: &mut Screen,
    head: &str,
    lines: impl Iterator<Item = (u64, &'l FoundProposal, &'l MemberId, String)>,
    titles: &Titles,
) {
    let mut table = Table::new(["LINE", "PROPOSAL", "TITLE", "REVIEWER", head]).cutting("TITLE");
    for (line, proposal, reviewer, state) in lines {
        let title = titles.title(proposal.id).unwrap_or_default().to_owned();
        table.row([line.to_string(), screen.named(proposal, &proposal.id), title, reviewer.to_string(), state]);
    }
    screen.table(&table, "no assignments");
}

/// Assignments, one a line.
pub(super) fn lines(screen: &mut Screen, assignments: &[Titled<Assignment>], zone: &Zone) {
    let mut table = Table::new(["PROPOSAL", "TITLE", "REVIEWER", "CONFLICT", "REVIEW", "ASSIGNED"]).cutting("TITLE");
    for Titled { item: line, title, .. } in assignments {
        let conflict = match line.conflict {
            None => "not declared",
            Some(true) => "CONFLICT",
            Some(false) => "none",
        };
        let by = by_whom(line.reopened_by.as_ref());
        let review = zone.cell_of(|said| {
            if let Some(declined) = &line.declined {
                let reason = declined.reason.map(|reason| format!(" ({})", reason.in_words())).unwrap_or_default();
                let replaced = if declined.replaced_at.is_some() { ", replaced" } else { "" };
                return format!("declined {}{reason}{replaced}", said(declined.declined_at.0));
            }
            let reopened = line.reopened_at.map(|at| format!("reopened {}{by}", said(at.0)));
            match (line.set_aside, reopened, line.has_reviewed) {
                (Some(why), None, true) => format!("set aside: {why}"),
                (Some(why), None, false) => format!("not asked for: {why}"),
                (Some(why), Some(reopened), _) => format!("{reopened}, not asked for: {why}"),
                (None, Some(reopened), _) => reopened,
                (None, None, true) => "in".to_owned(),
                (None, None, false) => "missing".to_owned(),
            }
        });
        table.row([
            screen.named(&line.reference, &line.proposal).into(),
            title.as_deref().unwrap_or_default().into(),
            line.reviewer.to_string().into(),
            conflict.into(),
            review,
            zone.cell(line.assigned_at.0),
        ]);
    }
    screen.table(&table, "nobody is assigned");
}
