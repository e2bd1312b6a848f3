//! What templates show that is not as it came: instants for a reader, failures in two sentences, texts that others wrote.

use crate::{
    client::{
        ClientError, Result,
        zone::{Zone, until},
    },
    domain::{id::Sha256, name::visible},
};
use jiff::{SignedDuration, Timestamp};

/// What is due within so long is marked.
const NEAR: SignedDuration = SignedDuration::from_hours(72);

/// An instant for a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct When {
    /// For programs.
    pub(super) exact: String,
    /// In the reader's zone.
    pub(super) here: String,
    /// How far it is, such as `in 3 days`.
    pub(super) far: String,
    /// In UTC, where the reader's zone is another one.
    pub(super) utc: String,
    /// UTC, with the reader's zone.
    pub(super) both: String,
    /// Whether it comes within three days.
    pub(super) is_near: bool,
    /// Whether it is over.
    pub(super) is_past: bool,
}

impl When {
    /// An instant as the reader has it; `now` is by the exchange's clock.
    pub(super) fn new(at: Timestamp, now: Timestamp, zone: &Zone) -> Self {
        Self {
            exact: at.to_string(),
            here: zone.here(at),
            far: until(at, now),
            utc: if zone.name() == "UTC" { String::new() } else { format!("{} UTC", Zone::utc().here(at)) },
            both: zone.both(at),
            is_near: at >= now && at.duration_since(now) <= NEAR,
            is_past: at < now,
        }
    }
}

/// A failure: what went wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) what: Vec<SentencePiece>,
    pub(super) help: Vec<SentencePiece>,
    /// The stable name of the exchange's problem, if it is one.
    pub(super) slug: Option<String>,
}

/// A failure in words.
pub(super) fn trouble(error: &ClientError) -> Trouble {
    Trouble { what: pieces(&error.to_string()), help: pieces(error.help()), slug: error.slug().map(visible) }
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

/// A piece of a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SentencePiece {
    pub(super) text: String,
    /// Whether it is something that is typed or named: what stands between backticks in a terminal.
    pub(super) is_code: bool,
}

/// A sentence in the pieces that a page shows in another type.
pub(super) fn pieces(text: &str) -> Vec<SentencePiece> {
    let said = sentence(text);
    let parts: Vec<&str> = said.split('`').collect();
    // One that does not end is a backtick and nothing else.
    if parts.len().is_multiple_of(2) {
        return vec![SentencePiece { text: said, is_code: false }];
    }
    let pieces = parts.into_iter().enumerate().filter(|(_, text)| !text.is_empty());
    pieces.map(|(at, text)| SentencePiece { text: text.to_owned(), is_code: at % 2 == 1 }).collect()
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
    fn what_is_typed_is_shown_in_another_type() {
        let code = |text: &str| -> Vec<String> {
            pieces(text).into_iter().filter(|piece| piece.is_code).map(|piece| piece.text).collect()
        };
        assert_eq!(pieces("run `entente me`").len(), 3, "with the point at the end");
        assert_eq!(code("`a` and `b`"), ["a", "b"]);
        assert_eq!(code("a single ` is none"), [""; 0]);
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
        assert_eq!((when.utc.as_str(), when.is_near), ("2026-04-04 15:00 UTC", true));
        assert_eq!(when.both, "2026-04-04 15:00 UTC (2026-04-05 00:00 Asia/Seoul)");
    }
}
