//! `entente proposal compare`: what changed between two versions, for somebody who signed the one and is asked to sign the other.

use super::place;
use crate::{
    cli::{
        cell::TableCell,
        context::{Context, joined, label_worded},
        error::Result,
        output::{Screen, Style},
        table::Table,
        time::Zone,
    },
    client::{
        Client,
        naming::ProposalName,
        verified::VersionChoice,
        version_changes::{ComparedVersion, SlotContent, SummaryChange, VersionComparison},
    },
    domain::text::counted,
};

/// Runs the command.
pub(super) async fn run(
    proposal: &ProposalName,
    (before, after): (VersionChoice, VersionChoice),
    context: &Context,
    client: &Client,
) -> Result<()> {
    let id = client.find_proposal(proposal).await?.id;
    let comparison = client.compare_versions(id, before, after).await?;
    let zone = context.zone()?;
    context.out.answer(&comparison, |screen| show(screen, &comparison, &zone))
}

/// What changed.
pub(in crate::cli) fn show(screen: &mut Screen, comparison: &VersionComparison, zone: &Zone) {
    let VersionComparison { reference, proposal, before, after, slots, unchanged, label, summary } = comparison;
    let label = label
        .as_ref()
        .map(|label| format!("{}, now {}", label_worded(label.before.as_ref()), label_worded(label.after.as_ref())));
    let text = if before.call_text_sha256 == after.call_text_sha256 { "" } else { "another" };
    screen.fields(&[
        ("proposal", screen.named(reference, proposal)),
        ("from", version(before)),
        ("to", version(after)),
        ("call text", text.to_owned()),
        ("label", label.unwrap_or_default()),
    ]);
    screen.heading("Documents");
    let mut table = Table::new(["SLOT", "STATE", "SIZE", "PUT IN BY", "AT", "SHA-256 OF THE CIPHERTEXT"]);
    for change in slots {
        let slot = place(&change.slot, change.party.as_ref());
        for (word, content) in [("before", &change.before), ("after", &change.after)] {
            table.row(row(&slot, word, content.as_ref(), zone));
        }
    }
    screen.table(&table, "no slot holds anything else");
    if !slots.is_empty() {
        let same = counted(*unchanged, "slot is unchanged", "slots are unchanged");
        let sentence = format!("{same}; the same file sealed again has another digest");
        screen.styled(&[(Style::Dim, &sentence)]);
    }
    match summary {
        SummaryChange::Same => {}
        SummaryChange::Closed { why } => screen.styled(&[(Style::Yellow, why)]),
        SummaryChange::Changed { fields } => {
            screen.heading("Summary");
            for change in fields {
                screen.styled(&[(Style::Bold, &change.field)]);
                screen.fields(&[("  before", shown(&change.before)), ("  after", shown(&change.after))]);
            }
        }
    }
}

fn version(version: &ComparedVersion) -> String {
    match version.version {
        None => "what is uploaded, signed by nobody".to_owned(),
        Some(number) => {
            let signers = version.signed_by.iter().map(|(party, member)| format!("{party} by {member}"));
            format!("version {number}, signed for {}", joined(signers))
        }
    }
}

fn row(slot: &str, word: &str, content: Option<&SlotContent>, zone: &Zone) -> Vec<TableCell> {
    let Some(SlotContent { sha256, size, put, .. }) = content else {
        return [slot, word, "empty", "", "", ""].map(TableCell::from).into();
    };
    let (by, at) = match put {
        Some(put) => (put.by.to_string().into(), zone.cell(put.at.0)),
        None => (TableCell::default(), TableCell::default()),
    };
    vec![slot.into(), word.into(), TableCell::bytes(*size), by, at, sha256.to_string().into()]
}

fn shown(text: &str) -> String {
    if text.is_empty() { "nothing".to_owned() } else { text.to_owned() }
}
