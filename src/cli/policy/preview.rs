//! `entente policy preview`: what a version would change before anybody approves it, for people and for scripts.

use super::super::{
    context::Context,
    error::Result,
    output::Screen,
    preview::{ENOUGH, proposals, rows, sums},
};
use crate::{
    client::{Client, preview::Sums},
    domain::{policy::PolicyOwner, text::counted},
    wire::policy::{PolicyVersion, PreviewSummary, PreviewedChange},
};
use serde_json::json;

/// After so many proposals it says how far it is.
const EACH: u64 = 10_000;

/// Shows what a version would change.
pub(super) async fn preview(owner: &PolicyOwner, number: u32, all: bool, context: &Context) -> Result<()> {
    let client = context.client().await?;
    let policy = client.policy_version(owner, number).await?;
    let is_for_programs = context.out.is_json() || context.out.is_csv();
    let most = if all || is_for_programs { usize::MAX } else { ENOUGH };
    let (changes, sum) = look(&client, &policy, most, context).await?;
    context.out.answer(&json!({ "summary": sum, "changes": changes }), |screen| {
        summary(screen, &sum);
        rows(screen, &changes, all);
    })
}

/// Shows what is about to be approved; the approval signs the summary.
pub(super) async fn before_approval(
    client: &Client,
    owner: &PolicyOwner,
    number: u32,
    context: &Context,
) -> Result<PreviewSummary> {
    let policy = client.policy_version(owner, number).await?;
    let (changes, sum) = look(client, &policy, ENOUGH, context).await?;
    context.out.aside(|screen| {
        summary(screen, &sum);
        rows(screen, &changes, false);
    });
    Ok(sum)
}

/// Looks, and says now and then how far it is.
async fn look(
    client: &Client,
    policy: &PolicyVersion,
    most: usize,
    context: &Context,
) -> Result<(Vec<PreviewedChange>, PreviewSummary)> {
    let mut reported = 0;
    let mut looked_at = |proposals: u64| {
        if proposals >= reported + EACH {
            reported = proposals;
            context.out.note(&format!("{} looked at", counted(proposals, "proposal", "proposals")));
        }
    };
    Ok(client.preview_policy_keeping(policy, most, &mut looked_at).await?)
}

fn summary(screen: &mut Screen, sum: &PreviewSummary) {
    screen.heading(&format!(
        "version {} of {} against what is in force, over {}",
        sum.version,
        sum.owner,
        proposals(sum.considered)
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
