//! `entente assignment load`: a file of assignments, merged with what is there.

use super::{file, note_keys, show_lines};
use crate::{
    cli::{
        context::Context,
        error::{CliError, Exit, Result, read_input},
        output::Screen,
        preview::{PreviewArgs, rows, sums},
        prompt::Consent,
    },
    client::{
        Client,
        loading::{AssignmentLine, LoadPlan},
        naming::{CallName, FoundProposal},
        titles::Titles,
    },
    domain::{
        id::{MemberId, ProposalId},
        reference::CallCode,
        text::counted,
    },
    wire::problem::{Kind, Problem},
};
use clap::Args;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

#[derive(Debug, Args)]
pub struct Load {
    /// The call
    call: CallName,
    /// Its name ends in .csv or .json; `-` reads standard input
    file: PathBuf,
    /// Only say what it would do
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    shown: PreviewArgs,
    #[command(flatten)]
    consent: Consent,
}

/// Runs the command.
pub(super) async fn run(client: &Client, context: &Context, args: Load) -> Result<()> {
    let Load { call: named, file, dry_run, shown, consent } = args;
    shown.only_with(dry_run)?;
    let lines = file::read(&read_input(&file, 8 << 20)?).map_err(|fault| {
        CliError::usage(format!("`{}`: {fault}", file.display())).help("see `entente assignment load --help`")
    })?;
    let call = client.find_call(&named).await?;
    let names: Vec<_> = lines.iter().map(|line| line.proposal.clone()).collect();
    let found = client.find_proposals(&names).await?;
    let line = |(proposal, line): (FoundProposal, file::FileLine)| AssignmentLine {
        line: line.line,
        proposal,
        reviewer: line.reviewer,
    };
    let plan = client.plan_load(call, found.into_iter().zip(lines).map(line).collect()).await?;
    let summary = if dry_run {
        let pairs: Vec<(ProposalId, MemberId)> =
            plan.new.iter().map(|line| (line.proposal.id, line.reviewer.clone())).collect();
        Some(client.sum_assignments(call, &pairs, &plan.changes).await?)
    } else {
        None
    };
    // What cannot be done as a whole is not done at all, so there is nothing to sign for.
    if let Some(summary) = summary.as_ref().filter(|_| plan.faults.is_empty()) {
        shown.sign(client, summary).await?;
    }
    let is_done = !dry_run && plan.faults.is_empty();
    let faulty = plan.faults.iter().map(|(line, _)| line);
    let lines = plan.new.iter().chain(&plan.present).chain(faulty);
    let titles = client.kept_titles(&lines.map(|line| line.proposal.id).collect()).await;
    let done = if is_done && !plan.new.is_empty() {
        if !consent.is_given() {
            context.out.aside(|screen| show(screen, &plan, &titles, false));
        }
        context.keyboard().agree(consent, &what_it_does(&plan, &client.call(call).await?.rules.code)).await?;
        client.load(call, &plan).await?
    } else {
        0
    };
    context.out.answer(&answer(&plan, dry_run, done), |screen| {
        show(screen, &plan, &titles, is_done);
        if let Some(summary) = &summary {
            screen.heading("What it would change");
            sums(screen, &summary.sums);
            rows(screen, &plan.changes, shown.all);
            if plan.faults.is_empty() {
                shown.tell(screen);
            }
        }
    })?;
    let LoadPlan { new, present, faults, .. } = &plan;
    let skipped = match present.len() as u64 {
        0 => String::new(),
        there => format!("; {} there already and skipped", counted(there, "line is", "lines are")),
    };
    if !faults.is_empty() {
        let all = new.len() + present.len() + faults.len();
        let message = format!("{} of {} cannot be done", faults.len(), counted(all as u64, "line", "lines"));
        let problem = Problem {
            faults: faults.iter().map(|(_, fault)| fault.clone()).collect(),
            ..Problem::new(Kind::LinesRefused, message.clone())
        };
        let error = CliError { exit: Exit::Refused, problem: Some(Box::new(problem)), ..CliError::failed(message) };
        return Err(error.help("fix those lines or take them out: without a dry run all lines are accepted or none"));
    }
    if dry_run {
        let can = counted(new.len() as u64, "assignment", "assignments");
        context.out.note(&format!("dry run: nothing was done; {can} can be made{skipped}"));
    } else {
        let made = counted(done, "assignment was", "assignments were");
        context.out.note(&format!("{made} made{skipped}"));
        if done > 0 {
            note_keys(context, &named);
        }
    }
    Ok(())
}

/// What somebody is asked about before any line is assigned.
fn what_it_does(plan: &LoadPlan, call: &CallCode) -> String {
    let proposals: BTreeSet<ProposalId> = plan.new.iter().map(|line| line.proposal.id).collect();
    let mut load: BTreeMap<&MemberId, u64> = BTreeMap::new();
    for line in &plan.new {
        *load.entry(&line.reviewer).or_default() += 1;
    }
    let each: Vec<String> = load.iter().map(|(reviewer, lines)| format!("{reviewer} {lines}")).collect();
    format!(
        "making {} to {} of {call}: {}; each learns of it and gets keys, and `entente assignment remove` takes one back until the \
         review is in",
        counted(plan.new.len() as u64, "assignment", "assignments"),
        counted(proposals.len() as u64, "proposal", "proposals"),
        each.join(", ")
    )
}

fn answer(plan: &LoadPlan, dry_run: bool, done: u32) -> Value {
    let pair =
        |line: &AssignmentLine| json!({ "line": line.line, "proposal": line.proposal.id, "reviewer": line.reviewer });
    let faults: Vec<_> = plan.faults.iter().map(|(_, fault)| fault).collect();
    let skipped: Vec<_> = plan.present.iter().map(pair).collect();
    let accepted = if dry_run { plan.new.len() as u64 } else { done.into() };
    json!({ "dry_run": dry_run, "accepted": accepted, "skipped": skipped, "faults": faults, "changes": plan.changes })
}

/// Every line, as it stands in the file.
fn show(screen: &mut Screen, plan: &LoadPlan, titles: &Titles, is_done: bool) {
    let head = if is_done { "ASSIGNED" } else { "POSSIBLE" };
    let new = plan.new.iter().map(|line| (line, "yes".to_owned()));
    let present = plan.present.iter().map(|line| (line, "there already".to_owned()));
    let faults = plan.faults.iter().map(|(line, fault)| (line, format!("NO: {}", fault.detail)));
    let mut lines: Vec<_> = new.chain(present).chain(faults).collect();
    lines.sort_by_key(|(line, _)| line.line);
    let lines = lines.into_iter().map(|(line, state)| (line.line, &line.proposal, &line.reviewer, state));
    show_lines(screen, head, lines, titles);
}
