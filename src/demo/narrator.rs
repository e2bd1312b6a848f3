//! Narrates the demonstration in words that a program officer understands.

use crate::{
    dev_pki::DevPki,
    domain::{id::ProposalId, review::Ranked},
};
use jiff::{Timestamp, tz::TimeZone};
use std::{io::Write, path::Path};

/// A line as it is.
pub(super) fn line(text: &str) {
    // A reader who went away is no reason to stop half-way through.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// A new day in the story.
pub(super) fn date(at: Timestamp, what: &str) {
    line(&format!("\n{}  {what}", at.strftime("%Y-%m-%d %H:%M UTC")));
}

/// Somebody does something.
pub(super) fn act(who: &str, what: &str) {
    line(&format!("  {who:<24} {what}"));
}

/// Somebody is refused something.
pub(super) fn refusal(who: &str, what: &str, why: &str) {
    line(&format!("  {who:<24} {what}\n  {:<24} ✗ {why}", ""));
}

/// A deadline in every partner's own time.
pub(super) fn deadline(at: Timestamp, pki: &DevPki) {
    let local = pki.partners.values().map(|partner| {
        let zone = TimeZone::get(&partner.card.zone).unwrap_or(TimeZone::UTC);
        format!("{} {}", partner.card.code, at.to_zoned_datetime(zone).strftime("%a %H:%M %Z"))
    });
    let local = local.collect::<Vec<_>>().join(" · ");
    line(&format!("  {:<24} deadline {}\n  {:<24} {local}", "", at.strftime("%Y-%m-%d %H:%M UTC"), ""));
}

/// A large file went up.
pub(super) fn stored(file: &Path) -> std::io::Result<()> {
    let mib = std::fs::metadata(file)?.len() >> 20;
    line(&format!("  {:<24} with {mib} MiB of measurement data, sealed here and streamed up", ""));
    Ok(())
}

/// A ranking, computed on the officer's machine.
pub(super) fn ranking(call: &str, lines: &[Ranked], names: &[(&'static str, ProposalId)]) {
    act("USA:dana", &format!("ranks the {call} on her own machine, from reviews that only the panel can open:"));
    line(&format!(
        "    {:<5} {:<14} {:>6} {:>7} {:>8}  below threshold",
        "rank", "proposal", "total", "spread", "reviews"
    ));
    for ranked in lines {
        let rank = ranked.rank.map_or_else(|| "–".to_owned(), |rank| rank.to_string());
        let total = ranked.total.map_or_else(|| "–".to_owned(), |total| total.to_string());
        let below = ranked.below.iter().cloned().collect::<Vec<_>>().join(", ");
        let name = name_of(names, ranked.proposal);
        line(&format!("    {rank:<5} {name:<14} {total:>6} {:>7} {:>8}  {below}", ranked.spread, ranked.reviews));
    }
}

pub(super) fn name_of(proposals: &[(&'static str, ProposalId)], id: ProposalId) -> &'static str {
    proposals.iter().find(|(_, proposal)| *proposal == id).map_or("?", |(name, _)| name)
}
