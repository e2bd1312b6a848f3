//! `entente review submit --call`: every complete draft of a call, shown once, agreed to once, handed in one after the other. What a form
//! says becomes the drafts at that moment.

use super::form;
use crate::{
    cli::{
        act::{self, DryRun, Question},
        context::{Context, joined},
        error::{CliError, Exit, Result, read_input},
        output::{Screen, Style},
        prompt::{Consent, is_attended},
        table::Table,
    },
    client::{
        Client, NoProgress,
        naming::CallName,
        review_batch::{LeftReview, ReadyReview, ReviewBatch},
        review_form::MAX_FORM,
        titles::{ListExtent, PassphraseRule},
    },
    domain::text::counted,
};
use serde_json::{Value, json};
use std::{future::ready, path::Path, sync::Arc};

/// Shows the drafts, asks, and hands them in.
pub(super) async fn run(
    (call, form): (&CallName, Option<&Path>),
    (dry_run, consent): (DryRun, Consent),
    context: &Context,
    client: &Client,
) -> Result<()> {
    // What cannot be read is said before the exchange is asked anything.
    let form = match form {
        Some(path) => Some((read_input(path, MAX_FORM)?, path)),
        None => None,
    };
    let call = client.find_call(call).await?;
    let assigned = client.assigned_proposals(call).await?;
    // The drafts themselves take the passphrase anyway.
    let titles = client.titles(&assigned, ListExtent::Part, PassphraseRule::Always, Arc::new(NoProgress)).await;
    let filled = match &form {
        Some((content, path)) => {
            let form = client.review_form(call, &assigned, &titles).await?;
            Some(form::read_back(context, client, &form, (content, path), false)?)
        }
        None => None,
    };
    let batch = client.plan_reviews(call, &assigned, &titles, filled.as_ref()).await?;
    if batch.ready.is_empty() {
        if !batch.left.is_empty() {
            context.out.aside(|screen| show(screen, &batch));
        }
        return Err(CliError::failed(format!("no draft of {} can be handed in", batch.code))
            .help(format!("write them with `entente review form {}`", batch.code)));
    }
    let (forecast, zone) = (client.forecast_reviews(&batch), context.zone()?);
    if dry_run.is_meant() {
        let mut answer = as_json(&batch);
        answer["forecast"] = json!(forecast);
        return act::shown(context, &answer, |screen| {
            show(screen, &batch);
            screen.gap();
            act::show(screen, &forecast, &zone);
        });
    }
    if is_attended() && !consent.is_given() {
        context.out.aside(|screen| show(screen, &batch));
    }
    if !act::goes_ahead(context, dry_run, Question::Always(consent), ready(Ok(forecast))).await? {
        return Ok(());
    }
    if let Some(filled) = &filled {
        // What is not handed in, whatever the reason, is a draft then.
        client.save_filled(filled, false).await?;
    }
    let outcomes = client.submit_reviews(&batch).await;
    let (mut reviews, mut failed) = (Vec::new(), Vec::new());
    for (review, outcome) in batch.ready.iter().zip(outcomes) {
        match outcome {
            Some(Ok(handed_in)) => reviews.push(handed_in),
            Some(Err(error)) => failed.push((review, CliError::from(error))),
            None => failed.push((review, CliError::failed("it was not tried after the one before it failed"))),
        }
    }
    context.out.answer(&json!({ "items": reviews, "left": left_json(&batch.left) }), |screen| {
        super::lines(screen, &reviews, &zone);
        left(screen, &batch.left);
    })?;
    ended(context, batch.ready.len(), failed)
}

/// Says which failed and why; the code is that of the failures if it is the same for all.
fn ended(context: &Context, of: usize, failed: Vec<(&ReadyReview, CliError)>) -> Result<()> {
    let Some((_, first)) = failed.first() else { return Ok(()) };
    let is_same = failed.iter().all(|(_, error)| error.exit == first.exit);
    let exit = if is_same { first.exit } else { Exit::Failed };
    let message =
        format!("{} of {} not handed in; the drafts are kept", failed.len(), counted(of, "review", "reviews"));
    for (review, error) in failed {
        let error = CliError { message: format!("{}: {}", review.reference, error.message), ..error };
        error.print(&context.out);
    }
    Err(CliError { exit, ..CliError::failed(message) }.help("the lines above say why; run the same command again"))
}

fn as_json(batch: &ReviewBatch) -> Value {
    let ready = batch.ready.iter().map(|review| {
        json!({
            "proposal": review.id, "reference": review.reference, "version": review.version, "revision": review.revision,
            "total": review.total.total.to_number(), "best": review.total.best.to_number(), "below": review.total.below,
        })
    });
    json!({ "items": ready.collect::<Vec<_>>(), "left": left_json(&batch.left) })
}

fn left_json(left: &[LeftReview]) -> Vec<Value> {
    left.iter().map(|left| json!({ "proposal": left.id, "reference": left.reference, "why": left.why })).collect()
}

/// The drafts as they would be handed in, and those that would not.
pub(in crate::cli) fn show(screen: &mut Screen, batch: &ReviewBatch) {
    let heads = ["PROPOSAL", "TITLE", "VERSION", "REVISION", "TOTAL", "OF", "BELOW", "RECOMMENDATION"];
    let mut table = Table::new(heads).cutting("TITLE");
    for review in &batch.ready {
        table.row([
            screen.named(&review.reference, &review.id),
            review.title.clone().unwrap_or_default(),
            review.version.to_string(),
            review.revision.to_string(),
            review.total.total.to_string(),
            review.total.best.to_string(),
            joined(&review.total.below),
            review.body.recommendation.clone().unwrap_or_default(),
        ]);
    }
    screen.table(&table, "no draft can be handed in");
    left(screen, &batch.left);
}

fn left(screen: &mut Screen, left: &[LeftReview]) {
    for LeftReview { reference, why, .. } in left {
        screen.styled(&[(Style::Yellow, &format!("{reference} is not among them: {why}"))]);
    }
}
