//! `entente policy visibility` and `visibility-diff`: what a nation's members see and who sees what is its own, as the exchange signed it, and
//! what changed between two days.

use super::super::{
    context::Context,
    error::{CliError, Result},
    handover::path_text,
    output::Screen,
    table::Table,
};
use crate::{
    client::visibility::{AccessCause, AccessChange, VisibilityManifest, compare},
    domain::{id::PartnerCode, proposal::Status},
};
use clap::Args;
use serde_json::json;
use std::{collections::BTreeSet, path::PathBuf};

#[derive(Debug, Args)]
pub struct Visibility {
    /// Where to keep it
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Of this partner [default: your own; the exchange shows no other]
    #[arg(long, value_name = "PARTNER")]
    partner: Option<PartnerCode>,
}

#[derive(Debug, Args)]
pub struct VisibilityDiff {
    /// The earlier manifest
    old: PathBuf,
    /// The later one
    new: PathBuf,
}

/// Fetches, verifies and keeps a manifest.
pub(super) async fn fetch(args: &Visibility, context: &Context) -> Result<()> {
    let client = context.client().await?;
    let partner = match &args.partner {
        Some(partner) => partner.clone(),
        None => client.member_id().await?.partner().clone(),
    };
    let VisibilityManifest { head, proposals, members, .. } = client.fetch_visibility(&partner, &args.out).await?;
    let (own, others) = proposals.values().partition::<Vec<_>, _>(|proposal| proposal.is_own);
    let answer = json!({
        "file": path_text(&args.out), "partner": head.partner, "at": head.at, "seq": head.seq, "own_proposals": own.len(),
        "other_proposals": others.len(), "members": members.len(),
    });
    context.out.answer(&answer, |screen| {
        let zone = context.zone();
        let at = zone.map_or_else(|_| head.at.0.to_string(), |zone| zone.both(head.at.0));
        screen.fields(&[
            ("file", args.out.display().to_string()),
            ("partner", head.partner.to_string()),
            ("at", format!("{at}, entry {} of the log", head.seq)),
            ("own proposals", format!("{}, with everybody who sees them", own.len())),
            ("of others", format!("{}, with your members who see them", others.len())),
        ]);
    })
}

/// Compares two manifests, both verified.
pub(super) async fn diff(args: &VisibilityDiff, context: &Context) -> Result<()> {
    let client = context.client().await?;
    let (old, new) = (client.read_visibility(&args.old)?, client.read_visibility(&args.new)?);
    if old.head.partner != new.head.partner || old.head.host != new.head.host {
        return Err(CliError::usage("the two manifests are of different partners or exchanges")
            .help("name two of one partner, which `entente policy visibility` wrote"));
    }
    if old.head.at.0 > new.head.at.0 {
        return Err(CliError::usage("the second manifest is older than the first").help("name the older one first"));
    }
    let changes = compare(&old, &new);
    if old.head.by != new.head.by {
        let (then, now) = (&old.head.by, &new.head.by);
        context.out.note(&format!(
            "`{then}` asked then and `{now}` now: what one of them is in conflict with is missing in theirs"
        ));
    }
    let answer = json!({ "old": old.head, "new": new.head, "items": changes });
    context.out.answer(&answer, |screen| show(screen, &changes))
}

pub(in crate::cli) fn show(screen: &mut Screen, changes: &[AccessChange]) {
    let mut table = Table::new(["PROPOSAL", "MEMBER", "WHAT", "NOW", "BECAUSE"]);
    for AccessChange { proposal, reference, member, what, gains, causes } in changes {
        let causes: Vec<String> = causes.iter().map(cause_text).collect();
        let now = if *gains { "gained" } else { "lost" };
        let named = reference.as_ref().map_or_else(|| proposal.to_string(), |name| screen.named(name, proposal));
        table.row([&named, &member.to_string(), what, now, &causes.join("; ")]);
    }
    screen.table(&table, "nobody gained or lost access to anything");
}

/// A cause as people read it.
fn cause_text(cause: &AccessCause) -> String {
    let number = |number: &Option<u64>| number.map_or_else(|| "none".to_owned(), |number| number.to_string());
    let list = |words: &BTreeSet<String>| {
        if words.is_empty() { "none".to_owned() } else { words.iter().cloned().collect::<Vec<_>>().join(", ") }
    };
    match cause {
        AccessCause::Policy { owner, from, to } => {
            let (from, to) = (number(&from.map(u64::from)), number(&to.map(u64::from)));
            format!("policy: version of `{owner}` {from} -> {to}")
        }
        AccessCause::Membership { from, to } => format!("membership: key card {} -> {}", number(from), number(to)),
        AccessCause::Role { from, to } => format!("membership: {} -> {}", list(from), list(to)),
        AccessCause::Assignment { assigned: true } => "assignment: assigned".to_owned(),
        AccessCause::Assignment { assigned: false } => "assignment: taken back".to_owned(),
        AccessCause::Declaration { conflict: Some(true) } => "conflict: declared".to_owned(),
        AccessCause::Declaration { conflict: Some(false) } => "conflict: declared to have none".to_owned(),
        AccessCause::Declaration { conflict: None } => "conflict: declaration gone".to_owned(),
        AccessCause::Review { is_in: true } => "review: handed in".to_owned(),
        AccessCause::Review { is_in: false } => "review: reopened".to_owned(),
        AccessCause::Label { from, to } => format!("label: {} -> {}", list(from), list(to)),
        AccessCause::Phase { from, to } => format!("phase: {from} -> {to}"),
        AccessCause::Status { from, to } => {
            let word = |status: &Option<Status>| status.map_or_else(|| "not shown".to_owned(), |it| it.to_string());
            format!("status: {} -> {}", word(from), word(to))
        }
        AccessCause::Decision { decided: true } => "decision: final".to_owned(),
        AccessCause::Decision { decided: false } => "decision: open again".to_owned(),
        AccessCause::Undisclosed => "nothing that you may know of, such as another nation's declaration".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cause_names_whose_policies_changed() {
        let cause = AccessCause::Policy { owner: "ISR".parse().unwrap(), from: Some(1), to: Some(2) };
        assert_eq!(cause_text(&cause), "policy: version of `ISR` 1 -> 2");
    }
}
