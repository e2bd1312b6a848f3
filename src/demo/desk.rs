//! What people do for a whole call at once: interests by one sheet, reviewers as suggested, reviews by one form, decisions by one sheet,
//! letters by a template. Each is looked at first and agreed to once; here the story agrees.

use super::{
    documents::Documents,
    world::{DemoWorld, Error},
};
use crate::{
    client::{
        ProgressListener,
        decisions::DecisionLine,
        interests::{DeclaredInterests, StatedInterest},
        letters::LetterTemplate,
        naming::{FoundProposal, ProposalName},
        review_form::markdown,
        suggest::SuggestionRules,
        titles::{ListExtent, PassphraseRule, Titles},
        verified::VersionChoice,
    },
    domain::{
        decision::Outcome,
        id::{CallId, MemberId, ProposalId},
        text::counted,
    },
};
use std::{collections::BTreeMap, sync::Arc};

/// Declares to have no conflict with anything that a call shows to the member.
pub(super) async fn declare_clear(world: &DemoWorld, member: &str, call: CallId) -> Result<(), Error> {
    let client = world.client(member);
    let sheet = client.interest_sheet(call).await?;
    let clear = (1..).zip(&sheet.proposals).map(|(line, proposal)| StatedInterest {
        line,
        proposal: ProposalName::Id(proposal.id),
        ground: None,
    });
    let plan = sheet.plan(&clear.collect::<Vec<_>>())?;
    let mut done = DeclaredInterests::default();
    client.declare_planned(&plan, &mut done).await?;
    match done.refused.into_iter().next() {
        Some((_, error)) => Err(error.into()),
        None => Ok(()),
    }
}

/// Whom an officer gets suggested, so many for each proposal, in pairs as they are assigned.
pub(super) async fn suggested(
    world: &DemoWorld,
    officer: &str,
    call: CallId,
    each: u32,
) -> Result<Vec<(ProposalId, MemberId)>, Error> {
    let rules = SuggestionRules { each, most: None, topics: BTreeMap::new() };
    let suggestion = world.client(officer).suggest_assignments(call, &rules).await?;
    let pairs = suggestion.panels.into_iter().flat_map(|panel| {
        panel.chosen.into_iter().map(move |chosen| (panel.proposal, chosen.reviewer)).collect::<Vec<_>>()
    });
    Ok(pairs.collect())
}

/// Opens what is to be reviewed.
pub(super) async fn read(
    world: &DemoWorld,
    documents: &Documents,
    proposal: ProposalId,
    reviewer: &str,
    progress: &Arc<dyn ProgressListener>,
) -> Result<(), Error> {
    let client = world.client(reviewer);
    let out = world.plan.dir.join("reading").join(format!("{}-{proposal}.pdf", reviewer.replace(':', ".")));
    std::fs::create_dir_all(out.parent().expect("joined to a folder"))?;
    client
        .open_document(proposal, &"work-plan".parse()?, None, VersionChoice::Standing, &out, progress.clone())
        .await?;
    let same = std::fs::read(&out)? == std::fs::read(&documents.work_plan)?;
    if same { Ok(()) } else { Err("what is opened is not what was handed in, byte for byte".into()) }
}

/// Fills in one form for all that a reviewer has to review, with these scores in the order of the criteria, and hands all of it in.
pub(super) async fn review_by_form(
    world: &DemoWorld,
    reviewer: &str,
    call: CallId,
    scores: &BTreeMap<ProposalId, [f64; 3]>,
    progress: &Arc<dyn ProgressListener>,
) -> Result<usize, Error> {
    let client = world.client(reviewer);
    let assigned = client.assigned_proposals(call).await?;
    let titles = client.titles(&assigned, ListExtent::Part, PassphraseRule::Never, progress.clone()).await;
    let form = client.review_form(call, &assigned, &titles).await?;
    let mut written = String::new();
    let mut left = [0.0; 3].into_iter();
    for line in markdown::written(&form).lines() {
        if let Some(proposal) = form.proposals.iter().find(|proposal| line == format!("## {}", proposal.reference)) {
            left = scores.get(&proposal.id).copied().unwrap_or_default().into_iter();
        }
        written.push_str(line);
        match line {
            "score:" => written.extend([" ", &left.next().unwrap_or_default().to_string(), "\n"]),
            "comment:" => written.push_str("\nSound and well argued.\n"),
            _ => written.push('\n'),
        }
    }
    let (sections, faults) = markdown::read(&written);
    let filled = form.filled_by(sections, faults).map_err(|faults| format!("the form has faults: {faults:?}"))?;
    let filled = client.compare_drafts(&form, filled)?;
    client.save_filled(&filled, false).await?;
    let batch = client.plan_reviews(call, &assigned, &titles, Some(&filled)).await?;
    let handed_in = client.submit_reviews(&batch).await;
    let count = handed_in.len();
    for review in handed_in {
        review.ok_or("a review was not handed in after the one before it failed")??;
    }
    Ok(count)
}

/// Signs for these outcomes, all lines of a sheet after one look.
pub(super) async fn decide_by_sheet(
    world: &DemoWorld,
    decider: &str,
    call: CallId,
    outcomes: &[(ProposalId, Outcome)],
) -> Result<(), Error> {
    let client = world.client(decider);
    let lines = outcomes.iter().map(|(id, outcome)| DecisionLine {
        proposal: FoundProposal { id: *id, reference: None },
        outcome: *outcome,
        reason: None,
        amount: None,
    });
    let batch = client.plan_decisions(call, lines.collect()).await?;
    let signed = client.decide_all(&batch).await?;
    if signed.signed.len() < outcomes.len() {
        let lines = counted(outcomes.len(), "line", "lines");
        return Err(format!("{decider} signed {} of {lines}", signed.signed.len()).into());
    }
    Ok(())
}

const LETTERS: &str = "=== fund ===\nWe are glad to fund your joint proposal {reference} ({title}): {total} points.\n\n\
                       === decline ===\nYour joint proposal {reference} ({title}) is not funded.\n\n{comments}\n";

/// Sends a letter about each final decision of a call; how many.
pub(super) async fn letters_by_template(
    world: &DemoWorld,
    officer: &str,
    call: CallId,
    progress: &Arc<dyn ProgressListener>,
) -> Result<usize, Error> {
    let client = world.client(officer);
    let criteria = client.call(call).await?.rules.criteria.clone();
    let template = LetterTemplate::of_file(LETTERS, &criteria)?;
    let titles: Titles = client.titles_of_call(call, PassphraseRule::Never, progress.clone()).await?;
    let batch = client.plan_letters(call, &template, &titles).await?;
    let sent = client.send_letters(&batch).await?;
    if let Some((proposal, error)) = batch.held.first() {
        return Err(format!("{proposal} gets no letter: {error}").into());
    }
    if let Some((letter, error)) = sent.failed.first() {
        return Err(format!("the letter about {letter} is not sent: {error}").into());
    }
    Ok(sent.sent.len())
}
