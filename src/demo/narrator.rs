//! Narrates the demonstration in words that a program officer understands.

use crate::{
    dev_pki::DevPki,
    domain::{id::ProposalId, review::Ranked},
};
use jiff::{Timestamp, tz::TimeZone};
use std::{io::Write, path::Path};
use terminal_size::{Width, terminal_size_of};
use unicode_width::UnicodeWidthStr;

/// Where nobody knows how wide a line may be.
const WIDTH: usize = 80;
/// On a narrower terminal lines are not broken to its width: hardly a word would fit beside a name.
const LEAST_WIDTH: usize = 48;

/// A line as it is, such as a command to copy.
pub(super) fn line(text: &str) {
    // A reader who went away is no reason to stop half-way through.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// A sentence, broken between words where the terminal ends.
pub(super) fn text(text: &str) {
    after("", text);
}

/// A new day in the story.
pub(super) fn date(at: Timestamp, what: &str) {
    line("");
    after(&format!("{}  ", at.strftime("%Y-%m-%d %H:%M UTC")), what);
}

/// Somebody does something.
pub(super) fn act(who: &str, what: &str) {
    after(&beside(who), what);
}

/// What follows from it.
pub(super) fn consequence(what: &str) {
    after(&beside(""), what);
}

/// Somebody is refused something.
pub(super) fn refusal(who: &str, what: &str, why: &str) {
    act(who, what);
    after(&format!("{}✗ ", beside("")), why);
}

/// A text after its beginning, whose further lines begin beneath it.
pub(super) fn after(beginning: &str, text: &str) {
    let width = terminal_size_of(std::io::stdout()).map_or(WIDTH, |(Width(columns), _)| columns.into());
    for each in flowing(beginning, text, width.max(LEAST_WIDTH)) {
        line(&each);
    }
}

/// The column in which names stand.
fn beside(who: &str) -> String {
    format!("  {who:<24} ")
}

/// The lines of a text after its beginning; none is wider, but for a word that is.
fn flowing(beginning: &str, text: &str, width: usize) -> Vec<String> {
    let indent = beginning.width();
    let (mut lines, mut current, mut is_new) = (Vec::new(), beginning.to_owned(), true);
    for word in text.split(' ') {
        if !is_new && current.width() + 1 + word.width() > width {
            lines.push(std::mem::replace(&mut current, " ".repeat(indent)));
            is_new = true;
        }
        if !is_new {
            current.push(' ');
        }
        current.push_str(word);
        is_new = false;
    }
    lines.push(current.trim_end().to_owned());
    lines
}

/// A deadline in every partner's own time.
pub(super) fn deadline(at: Timestamp, pki: &DevPki) {
    let local = pki.partners.values().map(|partner| {
        let zone = TimeZone::get(&partner.card.zone).unwrap_or(TimeZone::UTC);
        format!("{} {}", partner.card.code, at.to_zoned_datetime(zone).strftime("%a %H:%M %Z"))
    });
    consequence(&format!("deadline {}", at.strftime("%Y-%m-%d %H:%M UTC")));
    consequence(&local.collect::<Vec<_>>().join(" · "));
}

/// A large file went up.
pub(super) fn stored(file: &Path) -> std::io::Result<()> {
    let mib = std::fs::metadata(file)?.len() >> 20;
    consequence(&format!("with {mib} MiB of measurement data, sealed here and streamed up"));
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
        let beginning = format!("    {rank:<5} {name:<14} {total:>6} {:>7} {:>8}  ", ranked.spread, ranked.reviews);
        after(&beginning, &below);
    }
}

pub(super) fn name_of(proposals: &[(&'static str, ProposalId)], id: ProposalId) -> &'static str {
    proposals.iter().find(|(_, proposal)| *proposal == id).map_or("?", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_on_beneath_itself_where_the_line_ends() {
        let told = flowing("  who  ", "says more than fits", 16);
        assert_eq!(told, ["  who  says more", "       than fits"]);
        assert_eq!(flowing("  ✗ ", "unbreakable", 8), ["  ✗ unbreakable"]);
        assert_eq!(flowing("  who", "", 8), ["  who"]);
    }
}
