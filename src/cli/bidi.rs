//! Text that is written from right to left, within lines that are not: Hebrew and Arabic names and titles.
//!
//! A terminal that knows such scripts puts neighbouring numbers and signs on their other side, so that a title could move a date out of its
//! column. An isolate (Unicode's FSI and PDI) keeps that within the title. It is for terminals alone: what programs read has none. What
//! others wrote brings no control characters of its own to this place ([`clean`](super::output::clean) has made them visible).

/// Begins an isolate that takes its direction from its first letter.
const FIRST_STRONG_ISOLATE: char = '\u{2068}';
/// Ends an isolate.
const POP_ISOLATE: char = '\u{2069}';

/// Whether a letter is written from right to left.
fn is_from_right(c: char) -> bool {
    matches!(
        c,
        '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}' | '\u{10800}'..='\u{10fff}'
        | '\u{1e800}'..='\u{1efff}'
    )
}

/// A text in an isolate, if it needs one: for a cell of a table.
pub(super) fn isolated(text: &str) -> String {
    if text.chars().any(is_from_right) { format!("{FIRST_STRONG_ISOLATE}{text}{POP_ISOLATE}") } else { text.to_owned() }
}

/// A sentence in which each stretch from right to left is in an isolate: from its first such letter to its last, with what is between.
pub(super) fn with_isolates(sentence: &str) -> String {
    if !sentence.chars().any(is_from_right) {
        return sentence.to_owned();
    }
    let mut written = String::with_capacity(sentence.len() + 16);
    let mut rest = sentence;
    while let Some(begin) = rest.find(is_from_right) {
        let (before, stretch) = rest.split_at(begin);
        // Up to the next letter that is written from left to right.
        let end = stretch.find(|c: char| c.is_alphabetic() && !is_from_right(c)).unwrap_or(stretch.len());
        let end =
            stretch[..end].char_indices().rfind(|(_, c)| is_from_right(*c)).map_or(end, |(at, c)| at + c.len_utf8());
        written.push_str(before);
        written.push_str(&isolated(&stretch[..end]));
        rest = &stretch[end..];
    }
    written.push_str(rest);
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_width::UnicodeWidthStr;

    #[test]
    fn stretches_from_right_to_left_are_isolated_and_all_else_is_left_as_it_is() {
        assert_eq!(with_isolates("signing 2 of 3: 한빛, Söhne"), "signing 2 of 3: 한빛, Söhne");
        assert_eq!(with_isolates("(ניווט 7 בלי לוויין) 2026-03"), "(\u{2068}ניווט 7 בלי לוויין\u{2069}) 2026-03");
        assert_eq!(with_isolates("א GPS ב"), "\u{2068}א\u{2069} GPS \u{2068}ב\u{2069}");
        assert_eq!(isolated("ניווט 7"), "\u{2068}ניווט 7\u{2069}");
        assert_eq!(isolated("GPS"), "GPS");
    }

    #[test]
    fn isolates_take_no_room() {
        assert_eq!(isolated("ניווט").width(), "ניווט".width());
    }
}
