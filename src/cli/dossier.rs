//! `entente dossier` and what `entente verify dossier` shows: all that was signed in a call, in one file for an auditor.

use super::{
    cell::TableCell,
    context::Context,
    error::{CliError, Result},
    handover::{Earlier, path_text, write_text},
    output::{Screen, Style},
    table::Table,
    time::Zone,
};
use crate::{
    client::{
        ProgressListener,
        dossier::{DossierReport, verify},
        naming::CallName,
        receipt::{TrustedCard, trusted},
    },
    domain::{member::CallRole, text::counted},
};
use clap::Args;
use serde_json::{Value, json};
use std::{path::PathBuf, sync::Arc};

/// Export what was signed in a call, and when, as far as you are shown it: one signed file for an auditor, without content
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  entente dossier BIRD26 --out bird26-dossier.json
  entente verify dossier bird26-dossier.json

For officers, deciders and observers of the call. It has the texts of the call, roles, extensions, signatures of parties, declarations, \
assignments, reviews and letters by their digests, decisions, the entries of the log with their times, and the key cards and partner cards \
that vouch for all of them: each as far as your nation's and the others' policies show it to you. You sign it as a whole, so nobody can take \
a line out afterwards without that being seen. A thousand proposals take some 40 MiB.")]
pub struct DossierArgs {
    /// The call
    call: CallName,
    /// Where to keep it; a file that is there stays
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Exports a dossier, and checks it as its reader will.
pub(super) async fn export(args: &DossierArgs, context: &Context) -> Result<()> {
    let place = args.out.display().to_string();
    if args.out.exists() {
        return Err(CliError::usage(format!("`{place}` exists already")).help("choose another place with `--out`"));
    }
    let client = context.client().await?;
    let id = client.find_call(&args.call).await?;
    let meter = context.meter("");
    let bytes = client.export_dossier(id, &meter).await?;
    let text = str::from_utf8(&bytes).map_err(CliError::failed)?;
    write_text(&args.out, text, Earlier::Stays).map_err(|error| error.help("choose another place with `--out`"))?;
    let pinned = client.home().pins()?.into_iter().map(|pinned| pinned.card);
    let report = check(bytes, trusted(pinned, Vec::new())?, meter).await?;
    if !report.is_sound() {
        context.out.warn(&format!(
            "not everything in it verifies; it is kept as the exchange shows it: see `entente verify dossier {place}`"
        ));
    }
    let answer = json!({
        "file": path_text(&args.out), "call": report.call, "code": report.code, "exported_at": report.exported_at,
        "exported_as": report.exported_as, "proposals": report.proposals, "entries": report.entries,
        "verified": report.verified(), "is_sound": report.is_sound(), "cannot_show": report.cannot_show,
    });
    let zone = context.zone()?;
    context.out.answer(&answer, |screen| {
        screen.fields(&[
            ("file", place.clone()),
            ("call", screen.named(&report.code, &report.call)),
            ("exported", exported(&report, &zone)),
            ("proposals", report.proposals.to_string()),
            ("statements", format!("{}, of which {} verify", report.statements(), report.verified())),
            ("entries of the log", report.entries.to_string()),
        ]);
    })
}

/// Checks a dossier away from the network's threads: it takes its time.
pub(super) async fn check(
    bytes: Vec<u8>,
    trusted: Vec<TrustedCard>,
    progress: Arc<dyn ProgressListener>,
) -> Result<DossierReport> {
    let checked = tokio::task::spawn_blocking(move || verify(&bytes, &trusted, &*progress)).await;
    Ok(checked.map_err(CliError::failed)??)
}

/// The report for programs.
pub(super) fn answer(report: &DossierReport) -> Value {
    let cards: Vec<_> = report
        .partner_cards
        .iter()
        .map(
            |(partner, card)| json!({ "partner": partner, "fingerprint": card.fingerprint, "is_given": card.is_given }),
        )
        .collect();
    json!({
        "verified": report.is_sound(), "call": report.call, "code": report.code, "exported_by": report.exported_by,
        "exporter": report.exporter, "exported_as": report.exported_as, "exported_at": report.exported_at,
        "proposals": report.proposals, "entries": report.entries, "parts": report.tallies, "faults": report.faults,
        "more_faults": report.more_faults, "cannot_show": report.cannot_show, "partner_cards": cards,
    })
}

/// The report for people.
pub(super) fn show(screen: &mut Screen, report: &DossierReport, zone: &Zone) {
    screen.fields(&[
        ("call", screen.named(&report.code, &report.call)),
        ("exported", exported(report, zone)),
        ("proposals", report.proposals.to_string()),
        ("entries of the log", report.entries.to_string()),
    ]);
    screen.heading("What was signed");
    let mut table = Table::new(["WHAT", "VERIFIED", "NOT"]);
    for (part, tally) in &report.tallies {
        table.row([part.in_words().into(), count(tally.verified), count(tally.failed)]);
    }
    screen.table(&table, "nothing");
    if !report.is_sound() {
        screen.heading("What does not verify");
        for fault in &report.faults {
            let further = fault.count.saturating_sub(fault.places.len() as u64);
            let more = if further == 0 { String::new() } else { format!(" and {further} more times") };
            screen.line(&format!("  {}: {}{more}", fault.places.join(", "), fault.what));
        }
        if report.more_faults > 0 {
            screen.line(&format!("  and {} of other kinds", counted(report.more_faults, "fault", "faults")));
        }
    }
    screen.heading("What it cannot show");
    for sentence in &report.cannot_show {
        screen.line(&format!("  {sentence}"));
    }
    screen.heading("Known by the partner cards");
    for (party, card) in &report.partner_cards {
        let why = if card.is_given { "given; compare it with your records" } else { "pinned on this machine" };
        screen.fields(&[(party.as_str(), card.fingerprint.to_string()), ("", why.to_owned())]);
    }
    screen.gap();
    if report.is_sound() {
        let what = "every statement in it, by key cards and certificates of its time";
        screen.styled(&[(Style::Green, "verified  "), (Style::Plain, what)]);
    } else {
        screen.styled(&[(Style::Red, "not verified  "), (Style::Plain, "not everything in it")]);
    }
}

/// Ends a check of which not everything verified.
pub(super) fn require_sound(report: &DossierReport) -> Result<()> {
    if report.is_sound() {
        return Ok(());
    }
    let count = report.faults.iter().map(|fault| fault.count).sum::<u64>() + report.more_faults;
    Err(CliError::unverified(format!("{} in the dossier", counted(count, "fault", "faults")))
        .help("ask its exporter for another one, and another member of the call for theirs; give a missing partner card with `--card`"))
}

fn count(number: u64) -> TableCell {
    if number == 0 { String::new().into() } else { number.to_string().into() }
}

fn exported(report: &DossierReport, zone: &Zone) -> String {
    let roles: Vec<&str> = report.exported_as.iter().copied().map(CallRole::as_str).collect();
    let by = format!("{} ({}), {}", report.exporter, report.exported_by, roles.join(" and "));
    format!("{} by {by}", zone.both(report.exported_at.0))
}
