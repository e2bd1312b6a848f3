//! `entente policy preview`: what a version would change before anybody approves it, for people and for scripts.

use super::super::{
    context::Context,
    error::Result,
    output::Screen,
    preview::{rows, sums},
};
use crate::{
    client::{Client, preview::Sums},
    domain::policy::PolicyOwner,
    wire::policy::PreviewSummary,
};
use serde_json::json;

/// Shows what a version would change.
pub(super) async fn preview(owner: &PolicyOwner, number: u32, all: bool, context: &Context) -> Result<()> {
    let client = context.client()?;
    let policy = client.policy_version(owner, number).await?;
    let (changes, sum) = client.preview_policy(&policy).await?;
    context.out.answer(&json!({ "summary": sum, "changes": changes }), |screen| {
        summary(screen, &sum);
        rows(screen, &changes, all);
    })
}

/// Shows what is about to be approved; the summary is what is signed for.
pub(super) async fn before_approval(
    client: &Client,
    owner: &PolicyOwner,
    number: u32,
    context: &Context,
) -> Result<PreviewSummary> {
    let policy = client.policy_version(owner, number).await?;
    let (changes, sum) = client.preview_policy(&policy).await?;
    context.out.aside(|screen| {
        summary(screen, &sum);
        rows(screen, &changes, false);
    });
    Ok(sum)
}

fn summary(screen: &mut Screen, sum: &PreviewSummary) {
    screen.heading(&format!(
        "version {} of {} against what is in force, over {} proposals",
        sum.version, sum.owner, sum.considered
    ));
    sums(
        screen,
        &Sums {
            gains: sum.gains.clone(),
            losses: sum.losses.clone(),
            admits: sum.admits.clone(),
            keys_needed: sum.keys_needed,
            fetched_before: sum.fetched_before,
        },
    );
}
