//! What a change would do to who sees what, for people and for scripts: the same tables for every kind of change, and the signature
//! under what they sum up to.

use super::{
    context::{Context, joined, label_worded},
    error::{CliError, Result, read_input},
    handover::path_text,
    output::{Screen, Style},
    table::Table,
};
use crate::{
    client::{
        Client,
        preview::{ChangeSummary, PreviewedAct, SignedSummary, Sums},
    },
    domain::{
        id::{MemberId, PartnerCode, ProposalId},
        text::counted,
    },
    wire::policy::{PreviewedChange, Tally},
};
use clap::Args;
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    fs,
    path::PathBuf,
};

/// Rows of the table without `--all`.
const SHOWN: usize = 40;
/// So many changes are enough for that table, with a line more.
pub(super) const ENOUGH: usize = 2 * (SHOWN + 1);

/// How a preview is shown and kept.
#[derive(Debug, Clone, Default, Args)]
pub struct PreviewArgs {
    /// With a dry run: every change, however many
    #[arg(long)]
    pub(super) all: bool,
    /// With a dry run: sign the summary and keep it here
    #[arg(long, value_name = "FILE")]
    signed_summary: Option<PathBuf>,
}

impl PreviewArgs {
    /// Refuses what has a meaning only for a look ahead.
    ///
    /// # Errors
    /// When the change itself is asked for.
    pub(super) fn only_with(&self, dry_run: bool) -> Result<()> {
        if dry_run || !self.all && self.signed_summary.is_none() {
            return Ok(());
        }
        Err(CliError::usage("`--all` and `--signed-summary` go with `--dry-run`")
            .help("look first, then make the change without them"))
    }

    /// Shows what a change would do, and signs the sum if that was asked for.
    pub(super) async fn show(
        &self,
        context: &Context,
        client: &Client,
        (changes, summary): (&[PreviewedChange], &ChangeSummary),
    ) -> Result<()> {
        self.sign(client, summary).await?;
        let answer = json!({
            "summary": summary, "changes": changes, "signed": self.signed_summary.as_deref().map(path_text),
        });
        let subject = subject(context, client, &summary.change).await;
        context.out.answer(&answer, |screen| {
            let change = worded(screen, &summary.change, subject.as_deref());
            screen.heading(&format!("{change}, over {}", proposals(summary.considered)));
            sums(screen, &summary.sums);
            rows(screen, changes, self.all);
            self.tell(screen);
        })?;
        context.out.note("dry run: nothing was done");
        Ok(())
    }

    /// Signs the sum if that was asked for.
    pub(super) async fn sign(&self, client: &Client, summary: &ChangeSummary) -> Result<()> {
        let Some(file) = &self.signed_summary else { return Ok(()) };
        let signed = client.sign_summary(summary).await?;
        let text = serde_json::to_string_pretty(&signed).map_err(|error| CliError::failed(error.to_string()))?;
        fs::write(file, text + "\n").map_err(|error| CliError::failed(format!("`{}`: {error}", file.display())))
    }

    /// Where the signed sum is.
    pub(super) fn tell(&self, screen: &mut Screen) {
        if let Some(file) = &self.signed_summary {
            screen.line(&format!("signed: {}", file.display()));
        }
    }
}

/// Verifies a signed sum and shows it.
pub(super) async fn verify(file: &std::path::Path, context: &Context) -> Result<()> {
    let client = context.client().await?;
    let content = read_input(file, 1 << 20)?;
    let signed: SignedSummary = serde_json::from_slice(&content)
        .map_err(|_| crate::client::ClientError::no_summary(&file.display().to_string()))?;
    let verified = client.verify_summary(&signed).await?;
    let (summary, zone) = (&verified.summary, context.zone()?);
    let answer = json!({ "summary": summary, "is_policy_officer": verified.is_policy_officer });
    let subject = subject(context, &client, &summary.change).await;
    context.out.answer(&answer, |screen| {
        let change = worded(screen, &summary.change, subject.as_deref());
        let office = if verified.is_policy_officer { "a policy officer" } else { "no policy officer" };
        screen.fields(&[
            ("change", change),
            ("signed by", format!("{}, {office} of {}", summary.by, summary.by.partner())),
            ("looked at", format!("{}, {}", proposals(summary.considered), zone.both(summary.made_at.0))),
        ]);
        sums(screen, &summary.sums);
    })
}

/// What people call the call or the proposal that a change is about, if the exchange shows it. A signed sum names it by its identifier.
async fn subject(context: &Context, client: &Client, change: &PreviewedAct) -> Option<String> {
    if context.out.is_json() {
        return None;
    }
    match change {
        PreviewedAct::Assign { call, .. } | PreviewedAct::Roles { call, .. } => {
            Some(client.api().call(*call).await.ok()?.body.text.code.to_string())
        }
        PreviewedAct::Unassign { proposal, .. } | PreviewedAct::Label { proposal, .. } => {
            Some(client.api().proposal(*proposal).await.ok()?.reference.to_string())
        }
        PreviewedAct::KeyCard { .. } | PreviewedAct::KeyCardRevoked { .. } => None,
    }
}

/// A change for people; `subject` is their name for the call or proposal that it is about.
fn worded(screen: &Screen, change: &PreviewedAct, subject: Option<&str>) -> String {
    let named = |id: &dyn Display| subject.map_or_else(|| id.to_string(), |name| screen.named(&name, &id));
    match change {
        PreviewedAct::Assign { call, assignments } => {
            format!("{} under {}", counted(assignments.len(), "assignment", "assignments"), named(call))
        }
        PreviewedAct::Unassign { proposal, reviewer } => format!("taking {} back from {reviewer}", named(proposal)),
        PreviewedAct::Roles { call, member, roles } if roles.is_empty() => {
            format!("{member} without a role in {}", named(call))
        }
        PreviewedAct::Roles { call, member, roles } => format!("{member} as {} of {}", joined(roles), named(call)),
        PreviewedAct::KeyCard { member, organisation, roles } => {
            let organisation = organisation.iter().map(|name| format!("at `{name}`"));
            let roles = roles.iter().map(|roles| {
                if roles.is_empty() { "without an office".to_owned() } else { format!("as {}", joined(roles)) }
            });
            format!("{member} {}", organisation.chain(roles).collect::<Vec<_>>().join(", "))
        }
        PreviewedAct::KeyCardRevoked { member } => format!("{member} without a key card"),
        PreviewedAct::Label { proposal, label } => {
            format!("{} with {}", named(proposal), label_worded(label.as_ref()))
        }
    }
}

/// Who gains and who loses, by nation, and what goes with it.
pub(super) fn sums(screen: &mut Screen, sums: &Sums) {
    let nations: BTreeSet<&PartnerCode> = sums.gains.keys().chain(sums.losses.keys()).collect();
    let mut table =
        Table::new(["NATION", "MEMBERS GAINING", "KNOW OF", "READ", "LOSING", "NO LONGER KNOW", "NO LONGER READ"]);
    for nation in nations {
        let of = |tallies: &BTreeMap<PartnerCode, Tally>| {
            let tally = tallies.get(nation);
            [tally.map_or(0, |t| t.members), tally.map_or(0, |t| t.views), tally.map_or(0, |t| t.readings)]
                .map(|n| n.to_string())
        };
        let ([gain, know, read], [lose, unknown, unread]) = (of(&sums.gains), of(&sums.losses));
        table.row([nation.to_string(), gain, know, read, lose, unknown, unread]);
    }
    screen.table(&table, "nobody gains or loses access to anything");
    for (nation, count) in &sums.admits {
        let line = format!("{nation} gains its first access, to {}", proposals(*count));
        screen.styled(&[(Style::Yellow, &line)]);
    }
    if sums.keys_needed > 0 {
        let keys = counted(sums.keys_needed, "key", "keys");
        screen.line(&format!("{keys} would have to be wrapped before they can read"));
    }
    if sums.fetched_before > 0 {
        screen.line(&format!(
            "have fetched content that they may no longer read: {}; what was read stays read",
            sums.fetched_before
        ));
    }
}

/// How many, in words.
pub(super) fn proposals(count: u64) -> String {
    counted(count, "proposal", "proposals")
}

/// One line for each member and proposal.
pub(super) fn rows(screen: &mut Screen, changes: &[PreviewedChange], all: bool) {
    if changes.is_empty() {
        return;
    }
    let mut found: BTreeMap<(ProposalId, &MemberId, bool), Vec<&PreviewedChange>> = BTreeMap::new();
    for change in changes {
        found.entry((change.proposal, &change.member, change.gains)).or_default().push(change);
    }
    // What is cut for people is not for programs.
    let all = all || screen.is_csv();
    screen.gap();
    let mut table = Table::new(["PROPOSAL", "MEMBER", "CHANGE", "NOTE"]);
    let count = found.len();
    for ((proposal, member, gains), changes) in found.into_iter().take(if all { usize::MAX } else { SHOWN }) {
        let acts: Vec<&str> =
            changes.iter().map(|change| if change.action == "View" { "view" } else { "read" }).collect();
        let word = if gains { "may now" } else { "may no longer" };
        let notes = [
            (changes.iter().any(|change| change.admits_nation), "first of the nation"),
            (changes.iter().any(|change| change.needs_key), "needs a key"),
            (changes.iter().any(|change| change.has_fetched), "has fetched it"),
        ];
        let notes: Vec<&str> = notes.into_iter().filter(|(is_so, _)| *is_so).map(|(_, note)| note).collect();
        let named = changes.first().map(|change| screen.named(&change.reference, &proposal));
        table.row([
            named.unwrap_or_default(),
            member.to_string(),
            format!("{word} {}", acts.join(" and ")),
            notes.join(", "),
        ]);
    }
    screen.table(&table, "");
    if !all && count > SHOWN {
        screen.line("and more; `--all` shows them");
    }
}
