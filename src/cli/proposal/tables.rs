//! How documents are shown: uploads that were interrupted, what a version holds, what was opened, and the summary.

use super::place;
use crate::{
    cli::{cell::TableCell, output::Screen, table::Table},
    client::{
        opening::OpenedDocument, proposals::Summary, records::UploadRecord, titles::Titles, verified::VerifiedManifest,
    },
};
use std::path::PathBuf;

/// Uploads that were interrupted, one a line.
pub(in crate::cli) fn interrupted(screen: &mut Screen, records: &[UploadRecord], titles: &Titles) {
    let mut table = Table::new(["PROPOSAL", "TITLE", "SLOT", "SIZE", "MEDIA TYPE"]).cutting("TITLE");
    for record in records {
        let slot = place(&record.slot, record.party.as_ref());
        let (proposal, kind) = (screen.named(&record.name(), &record.proposal), record.media_type.as_str());
        let title = titles.title(record.proposal).unwrap_or_default();
        table.row([proposal.into(), title.into(), slot.into(), TableCell::bytes(record.size), kind.into()]);
    }
    screen.table(&table, "no upload was interrupted");
}

/// A version as its parties signed it.
pub(in crate::cli) fn manifest(
    screen: &mut Screen,
    VerifiedManifest { manifest, sha256, signed_by, is_standing, .. }: &VerifiedManifest,
) {
    let signers = signed_by.iter().map(|(partner, member)| format!("{partner} by {member}"));
    screen.fields(&[
        ("proposal", screen.named(&manifest.reference, &manifest.proposal)),
        ("version", manifest.version.to_string()),
        ("manifest", sha256.to_string()),
        ("call text", manifest.call_text_sha256.to_string()),
        ("label", manifest.label.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("signed", signers.collect::<Vec<_>>().join("\n")),
        ("stands", if *is_standing { "yes" } else { "no" }.to_owned()),
    ]);
    screen.heading("Documents");
    let mut table = Table::new(["SLOT", "SIZE", "MEDIA TYPE", "SHA-256 OF THE CIPHERTEXT"]);
    for document in &manifest.documents {
        let slot = place(&document.slot, document.party.as_ref());
        let (kind, sha256) = (document.media_type.as_str(), document.sha256.to_string());
        table.row([slot.into(), TableCell::bytes(document.size), kind.into(), sha256.into()]);
    }
    screen.table(&table, "none");
}

/// What was opened, and where it is.
pub(in crate::cli) fn opened(screen: &mut Screen, opened: &[(OpenedDocument, PathBuf)]) {
    let mut table = Table::new(["SLOT", "SIZE", "SIGNED BY", "FILE"]);
    for (document, path) in opened {
        let slot = place(&document.document.slot, document.document.party.as_ref());
        let signers: Vec<String> = document.signed_by.values().map(ToString::to_string).collect();
        let signers = if signers.is_empty() { "nobody yet".to_owned() } else { signers.join(" ") };
        table.row([slot.into(), TableCell::bytes(document.size), signers.into(), path.display().to_string().into()]);
    }
    screen.table(&table, "nothing was opened");
}

/// The summary of a proposal.
pub(in crate::cli) fn summary(screen: &mut Screen, summary: &Summary) {
    screen.heading(&summary.title);
    screen.paragraph(&summary.abstract_text);
    if !summary.team.is_empty() {
        screen.heading("Team");
        let mut table = Table::new(["NAME", "ORGANISATION", "ROLE"]);
        for person in &summary.team {
            let role = person.role.clone().unwrap_or_default();
            table.row([person.name.clone(), person.organisation.clone(), role]);
        }
        screen.table(&table, "");
    }
    if !summary.budget.is_empty() {
        screen.heading("Budget");
        let mut table = Table::new(["ITEM", "PARTY", "AMOUNT", "CURRENCY"]);
        for line in &summary.budget {
            let party = line.party.as_ref().map(ToString::to_string).unwrap_or_default();
            table.row([line.item.clone(), party, line.amount.to_string(), line.currency.clone()]);
        }
        screen.table(&table, "");
    }
}
