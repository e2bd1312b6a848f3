//! What templates show that is not as it came: instants for a reader, failures in two sentences, texts that others wrote.

use crate::{
    client::{
        ClientError, Result,
        zone::{Zone, until},
    },
    domain::{id::Sha256, name::visible},
};
use jiff::Timestamp;

/// An instant for a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct When {
    /// For programs.
    pub(super) exact: String,
    /// In the reader's zone.
    pub(super) here: String,
    /// How far it is, such as `in 3 days`.
    pub(super) far: String,
    /// UTC, with the reader's zone.
    pub(super) both: String,
    /// Whether it is over.
    pub(super) is_past: bool,
}

impl When {
    /// An instant as the reader has it; `now` is by the exchange's clock.
    pub(super) fn new(at: Timestamp, now: Timestamp, zone: &Zone) -> Self {
        Self { exact: at.to_string(), here: zone.here(at), far: until(at, now), both: zone.both(at), is_past: at < now }
    }
}

/// A failure: what went wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) what: String,
    pub(super) help: String,
    /// The stable name of the exchange's problem, if it is one.
    pub(super) slug: Option<String>,
}

/// A failure in words.
pub(super) fn trouble(error: &ClientError) -> Trouble {
    Trouble { what: sentence(&error.to_string()), help: sentence(error.help()), slug: error.slug().map(visible) }
}

/// A part of a page that may be missing without the rest.
pub(super) type PagePart<T> = Result<T, Trouble>;

/// What was made of a part, or why there is none.
pub(super) fn part<T>(made: Result<T>) -> PagePart<T> {
    made.map_err(|error| trouble(&error))
}

/// A sentence of the program, as pages begin and end them.
pub(super) fn sentence(text: &str) -> String {
    let text = visible(text.trim());
    let mut letters = text.chars();
    let begun: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    if begun.is_empty() || begun.ends_with(['.', '!', '?', ':']) { begun } else { format!("{begun}.") }
}

/// A fingerprint as people compare it: groups of four digits.
pub(super) fn grouped(fingerprint: &Sha256) -> Vec<String> {
    let digits: Vec<char> = fingerprint.to_string().chars().collect();
    digits.chunks(4).map(|group| group.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_begin_with_a_capital_and_end_with_a_point() {
        assert_eq!(sentence("the file is gone"), "The file is gone.");
        assert_eq!(sentence("Is it?"), "Is it?");
        assert_eq!(sentence(""), "");
        assert_eq!(sentence("a\u{202e}b"), "A\\u{202e}b.");
    }

    #[test]
    fn fingerprint_is_in_groups_of_four() {
        let groups = grouped(&Sha256::of(b"card"));
        assert_eq!((groups.len(), groups.concat()), (16, Sha256::of(b"card").to_string()));
        assert!(groups.iter().all(|group| group.len() == 4));
    }

    #[test]
    fn instant_is_said_in_the_readers_zone_and_how_far_it_is() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let zone = Zone::named("Asia/Seoul").unwrap();
        let when = When::new(at("2026-04-04T15:00:00Z"), at("2026-04-01T15:00:00Z"), &zone);
        assert_eq!((when.here.as_str(), when.far.as_str(), when.is_past), ("2026-04-05 00:00", "in 3 days", false));
        assert_eq!(when.both, "2026-04-04 15:00 UTC (2026-04-05 00:00 Asia/Seoul)");
    }
}
