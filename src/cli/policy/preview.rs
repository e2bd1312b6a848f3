//! `entente policy preview`: what a version would change before anybody approves it, for people and for scripts.

use super::super::{
    context::Context,
    error::Result,
    output::{Screen, Style},
    table::Table,
};
use crate::{
    client::Client,
    domain::{
        id::{MemberId, PartnerCode, ProposalId},
        policy::PolicyOwner,
    },
    wire::policy::{PreviewSummary, PreviewedChange, Tally},
};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Rows of the table without `--all`.
const SHOWN: usize = 40;

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
    let nations: BTreeSet<&PartnerCode> = sum.gains.keys().chain(sum.losses.keys()).collect();
    let mut table = Table::new([
        "NATION",
        "MEMBERS GAIN",
        "KNOW OF",
        "READ",
        "MEMBERS LOSE",
        "NO LONGER KNOW OF",
        "NO LONGER READ",
    ]);
    for nation in nations {
        let of = |tallies: &BTreeMap<PartnerCode, Tally>| {
            let tally = tallies.get(nation);
            [tally.map_or(0, |t| t.members), tally.map_or(0, |t| t.sights), tally.map_or(0, |t| t.readings)]
                .map(|n| n.to_string())
        };
        let ([gain, know, read], [lose, unknown, unread]) = (of(&sum.gains), of(&sum.losses));
        table.row([nation.to_string(), gain, know, read, lose, unknown, unread]);
    }
    screen.table(&table, "nobody gains or loses sight of anything");
    for (nation, proposals) in &sum.admits {
        let line = format!("newly admitted: {nation}, to {proposals} proposals that nobody of theirs could know of");
        screen.styled(&[(Style::Yellow, &line)]);
    }
    if sum.keys_needed > 0 {
        screen.line(&format!("{} keys would have to be wrapped before they can read", sum.keys_needed));
    }
    if sum.fetched_before > 0 {
        screen.line(&format!(
            "{} of those who lose it have fetched content already: what was read stays read",
            sum.fetched_before
        ));
    }
}

/// One line for each member and proposal.
fn rows(screen: &mut Screen, changes: &[PreviewedChange], all: bool) {
    if changes.is_empty() {
        return;
    }
    let mut found: BTreeMap<(ProposalId, &MemberId, bool), Vec<&PreviewedChange>> = BTreeMap::new();
    for change in changes {
        found.entry((change.proposal, &change.member, change.gains)).or_default().push(change);
    }
    screen.gap();
    let mut table = Table::new(["PROPOSAL", "MEMBER", "CHANGE", "NOTE"]);
    let count = found.len();
    for ((proposal, member, gains), changes) in found.into_iter().take(if all { usize::MAX } else { SHOWN }) {
        let acts: Vec<&str> =
            changes.iter().map(|change| if change.action == "View" { "sight" } else { "content" }).collect();
        let word = if gains { "gains" } else { "loses" };
        let notes = [
            (changes.iter().any(|change| change.admits_nation), "first of the nation"),
            (changes.iter().any(|change| change.needs_key), "needs a key"),
            (changes.iter().any(|change| change.has_fetched), "has fetched it"),
        ];
        let notes: Vec<&str> = notes.into_iter().filter(|(is_so, _)| *is_so).map(|(_, note)| note).collect();
        table.row([
            proposal.to_string(),
            member.to_string(),
            format!("{word} {}", acts.join(" and ")),
            notes.join(", "),
        ]);
    }
    screen.table(&table, "");
    if !all && count > SHOWN {
        screen.line(&format!("and {} more; `entente policy preview --all` shows them", count - SHOWN));
    }
}
