//! `entente proposal check`: what is still missing, party by party, by whom, and what they type.

use super::place;
use crate::{
    cli::{
        context::{Context, joined},
        error::Result,
        output::{Screen, Style},
        table::Table,
        time::{Zone, left},
    },
    client::{
        Client,
        naming::ProposalName,
        proposal_check::{MissingKind, PartyCheck, ProposalCheck},
        version_changes::SlotChange,
    },
};
use jiff::Timestamp;

/// Runs the command.
pub(super) async fn run(proposal: &ProposalName, context: &Context, client: &Client) -> Result<()> {
    let id = client.find_proposal(proposal).await?.id;
    let check = client.check_proposal(id).await?;
    let (zone, now) = (context.zone()?, context.exchange_now());
    context.out.answer(&check, |screen| show(screen, &check, &zone, now))
}

/// What is missing.
pub(in crate::cli) fn show(screen: &mut Screen, check: &ProposalCheck, zone: &Zone, now: Timestamp) {
    screen.fields(&[
        ("proposal", screen.named(&check.reference, &check.proposal)),
        ("status", check.status.to_string()),
        ("deadline", format!("{}, {}", zone.both(check.deadline_at.0), left(check.deadline_at.0, now))),
        ("bytes until", zone.both(check.grace_until.0)),
    ]);
    for party in &check.parties {
        screen.heading(&heading(party, check.deadline_at.0));
        // As CSV they stand below one another without their headings: each line says whose it is.
        let whose = screen.is_csv().then(|| party.party.to_string());
        let mut table = Table::new(whose.iter().map(|_| "PARTY").chain(["MISSING", "BY", "COMMAND"]));
        for part in &party.missing {
            let by = if part.who.is_empty() { "nobody has joined yet".to_owned() } else { joined(&part.who) };
            table.row(whose.iter().cloned().chain([worded(&part.what), by, part.command.clone()]));
        }
        screen.table(&table, "nothing is missing");
    }
    screen.gap();
    if let Some(voided) = voided(check, zone) {
        screen.styled(&[(Style::Yellow, &voided)]);
    }
    for SlotChange { slot, party, before, after } in &check.unsigned {
        let what = match (before, after) {
            (None, _) => "was added",
            (_, None) => "was taken out",
            _ => "was replaced",
        };
        let sentence =
            format!("{} {what} since the newest version; no signature covers that", place(slot, party.as_ref()));
        screen.styled(&[(Style::Yellow, &sentence)]);
    }
    if check.is_complete {
        screen.styled(&[(Style::Green, "complete  "), (Style::Plain, "the version that stands has everything")]);
    }
}

/// A party with the deadline as its members see it.
fn heading(party: &PartyCheck, deadline: Timestamp) -> String {
    let zone = party.zone.as_deref().and_then(|name| Zone::named(name).ok());
    let deadline = zone.map_or_else(String::new, |zone| format!(", until {} {}", zone.here(deadline), zone.name()));
    format!("{}{deadline}", party.party)
}

fn worded(what: &MissingKind) -> String {
    let shared = |is_shared: &bool| if *is_shared { ", by any party" } else { "" };
    match what {
        MissingKind::Slot { slot, is_shared } => format!("document {slot}{}", shared(is_shared)),
        MissingKind::Signature { version: Some(version) } => format!("signature under version {version}"),
        MissingKind::Signature { version: None } => "signature under all that is put in".to_owned(),
        MissingKind::SignatureAgain { .. } => "signature again".to_owned(),
        MissingKind::Bytes { slot, is_shared } => format!("bytes of {slot}, as they were signed{}", shared(is_shared)),
        MissingKind::Acceptance => "answer to the invitation".to_owned(),
    }
}

/// Since when and why a version is void, once.
fn voided(check: &ProposalCheck, zone: &Zone) -> Option<String> {
    check.parties.iter().flat_map(|party| &party.missing).find_map(|part| match &part.what {
        MissingKind::SignatureAgain { version, since, reason } => {
            let because = reason.as_deref().map(|reason| format!(", because {reason}")).unwrap_or_default();
            Some(format!("version {version} is void since {}{because}", zone.both(since.0)))
        }
        _ => None,
    })
}
