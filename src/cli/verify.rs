//! `entente verify`: files that prove something by themselves, checked without the exchange.

use super::{
    context::Context,
    dossier,
    error::{Result, read_input},
    output::{Screen, Style},
    proposal::place,
    table::Table,
    time::Zone,
};
use crate::{
    cli::cell::TableCell,
    client::{
        dossier::MAX_DOSSIER,
        partner_cards::read_card,
        receipt::{MAX_RECEIPT, TrustedCard, VerifiedReceipt, trusted, verify},
    },
};
use clap::Subcommand;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Check files that prove something by themselves, without the exchange
#[derive(Debug, Subcommand)]
pub enum VerifyCommand {
    /// Check the receipt of a proposal: what was handed in, who signed it, and by which partner cards that is known
    #[command(after_help = "Examples:
  entente verify receipt receipt.json
  entente verify receipt receipt.json --card isr-card-2026.json

Needs no network and no profile. A partner card counts if it is pinned on this machine, or if you give it; compare the fingerprints \
that are shown with those that the officials confirmed then. The times are those that the exchange recorded.")]
    Receipt {
        /// The receipt, as `entente proposal receipt` wrote it; `-` is standard input
        file: PathBuf,
        /// The card of a partner as it was then; may be given several times
        #[arg(long, value_name = "FILE")]
        card: Vec<PathBuf>,
    },
    /// Check the dossier of a call: what was signed in it, by whom, when, and what it cannot show
    #[command(after_help = "Examples:
  entente verify dossier bird26-dossier.json
  entente verify dossier bird26-dossier.json --card isr-card-2026.json

Needs no network and no profile. A partner card counts if it is pinned on this machine, or if you give it. Each statement is judged by the \
key cards of its time. What was signed is compared with what was signed before: texts with publications, signers with the signed roles, \
reviews with declarations and assignments, decisions with the version that was handed in. The times are those that the exchange recorded.")]
    Dossier {
        /// The dossier, as `entente dossier` wrote it; `-` is standard input
        file: PathBuf,
        /// The card of a partner as it was then; may be given several times
        #[arg(long, value_name = "FILE")]
        card: Vec<PathBuf>,
    },
}

/// Runs the command.
pub(super) async fn run(command: VerifyCommand, context: &Context) -> Result<()> {
    match command {
        VerifyCommand::Receipt { file, card } => receipt(&file, &card, context),
        VerifyCommand::Dossier { file, card } => {
            let bytes = read_input(&file, MAX_DOSSIER as u64 + 1)?;
            let report = dossier::check(bytes, believed(&card, context)?, context.meter("")).await?;
            let zone = context.zone()?;
            context.out.answer(&dossier::answer(&report), |screen| dossier::show(screen, &report, &zone))?;
            dossier::require_sound(&report)
        }
    }
}

/// The partner cards that are given, and those that are pinned on this machine.
fn believed(cards: &[PathBuf], context: &Context) -> Result<Vec<TrustedCard>> {
    let mut given = Vec::new();
    for card in cards {
        given.push(read_card(&read_input(card, 1 << 20)?)?);
    }
    let pinned = context.home()?.pins()?.into_iter().map(|pinned| pinned.card);
    Ok(trusted(pinned, given)?)
}

fn receipt(file: &Path, cards: &[PathBuf], context: &Context) -> Result<()> {
    let bytes = read_input(file, MAX_RECEIPT as u64 + 1)?;
    let verified = verify(&bytes, &believed(cards, context)?)?;
    let zone = context.zone()?;
    let VerifiedReceipt { receipt, manifest, signers, trusted } = &verified;
    let signers: Vec<_> = signers
        .iter()
        .map(|(party, signer)| {
            json!({
                "party": party, "member": signer.member, "name": signer.name, "organisation": signer.organisation,
                "signed_at": signer.signed_at, "key_card": signer.serial,
            })
        })
        .collect();
    let cards: Vec<_> = trusted
        .iter()
        .map(|(party, card)| json!({ "partner": party, "fingerprint": card.fingerprint, "is_given": card.is_given }))
        .collect();
    let answer = json!({
        "verified": true, "reference": receipt.reference, "proposal": receipt.proposal, "version": receipt.version,
        "manifest_sha256": receipt.manifest_sha256, "committed_at": receipt.committed_at, "complete_at": receipt.complete_at,
        "made_by": receipt.made_by, "made_at": receipt.made_at, "signers": signers, "partner_cards": cards, "manifest": manifest,
    });
    context.out.answer(&answer, |screen| show(screen, &verified, &zone))
}

/// A receipt that verified.
pub(super) fn show(screen: &mut Screen, verified: &VerifiedReceipt, zone: &Zone) {
    let VerifiedReceipt { receipt, manifest, signers, trusted } = verified;
    let proposal = screen.named(&receipt.reference, &receipt.proposal);
    screen.fields(&[
        ("proposal", proposal),
        ("version", receipt.version.to_string()),
        ("manifest", receipt.manifest_sha256.to_string()),
        ("call text", manifest.call_text_sha256.to_string()),
        ("label", manifest.label.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("all had signed", zone.both(receipt.committed_at.0)),
        ("handed in", zone.both(receipt.complete_at.0)),
        ("receipt made", format!("{} by {}", zone.both(receipt.made_at.0), receipt.made_by)),
    ]);
    screen.heading("Signatures");
    let mut table = Table::new(["PARTY", "MEMBER", "NAME", "ORGANISATION", "SIGNED"]);
    for (party, signer) in signers {
        let cells = [party.to_string(), signer.member.to_string(), signer.name.clone(), signer.organisation.clone()];
        table.row(cells.map(TableCell::from).into_iter().chain([zone.cell(signer.signed_at)]));
    }
    screen.table(&table, "none");
    screen.heading("Documents");
    let mut table = Table::new(["SLOT", "SIZE", "MEDIA TYPE", "SHA-256 OF THE CIPHERTEXT"]);
    for document in &manifest.documents {
        let slot = place(&document.slot, document.party.as_ref());
        let (kind, sha256) = (document.media_type.as_str(), document.sha256.to_string());
        table.row([slot.into(), TableCell::bytes(document.size), kind.into(), sha256.into()]);
    }
    screen.table(&table, "none");
    screen.heading("Known by the partner cards");
    for (party, card) in trusted {
        let why = if card.is_given { "given; compare it with your records" } else { "pinned on this machine" };
        screen.fields(&[(party.as_str(), card.fingerprint.to_string()), ("", why.to_owned())]);
    }
    screen.gap();
    let what = "signatures, key cards of that time and certificates; the times are the exchange's word";
    screen.styled(&[(Style::Green, "verified  "), (Style::Plain, what)]);
}
