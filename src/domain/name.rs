//! Names as people see them: which are the same, which nearly so, and which characters none may have.
//!
//! Organisations are compared here and nowhere else, by server and client alike: who works where a party member works is recused, however
//! the two registrars typed the name.

use icu_casemap::CaseMapper;
use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};

/// An organisation as it is compared and as policies write it: in the compatibility form of Unicode (NFKC) under full case folding, with one
/// blank between words and none around, without what nobody sees.
#[must_use]
pub fn folded(name: &str) -> String {
    if is_plain(name) {
        return name.trim().to_ascii_lowercase();
    }
    let mut text: String = name.chars().filter(|c| c.is_whitespace() || !is_unseen(*c)).collect();
    // Unicode's compatibility caseless match (D146): what folding a letter brings forth may decompose, and fold, once more.
    for _ in 0..2 {
        text = CaseMapper::new().fold_string(&decomposed(&text)).into_owned();
    }
    let text = ComposingNormalizerBorrowed::new_nfkc().normalize(&text).into_owned();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a name folds to the value; most need no new text for that.
#[must_use]
pub fn folds_to(name: &str, value: &str) -> bool {
    if is_plain(name) {
        name.trim().bytes().map(|byte| byte.to_ascii_lowercase()).eq(value.bytes())
    } else {
        folded(name) == value
    }
}

/// Whether the two are one organisation; false where one is not known.
#[must_use]
pub fn is_same(one: &str, other: &str) -> bool {
    let one = folded(one);
    !one.is_empty() && folds_to(other, &one)
}

/// Whether two that are not the same are so alike that one may be a slip for the other: the same letters, all words of one in the other,
/// or a letter or two that differ in a longer name.
#[must_use]
pub fn is_nearly_same(one: &str, other: &str) -> bool {
    if is_same(one, other) {
        return false;
    }
    let (one, other) = (words(one), words(other));
    let (long, short) = if one.len() < other.len() { (&other, &one) } else { (&one, &other) };
    if short.is_empty() {
        return false;
    }
    if long.windows(short.len()).any(|part| part == short.as_slice()) {
        return true;
    }
    let (one, other): (Vec<char>, Vec<char>) = (one.concat().chars().collect(), other.concat().chars().collect());
    let slips = match one.len().min(other.len()) {
        0..5 => 0,
        5..9 => 1,
        _ => 2,
    };
    one.len().abs_diff(other.len()) <= slips && distance(&one, &other) <= slips
}

/// The first character of a name that nobody sees, or that changes what is seen of the rest: control, invisible and bidirectional ones.
#[must_use]
pub fn unseen(name: &str) -> Option<char> {
    name.chars().find(|c| is_unseen(*c))
}

/// What is wrong with a name that has such a character.
#[must_use]
pub fn unseen_fault(what: &str, c: char) -> String {
    format!("the {what} has the character U+{:04X}, which nobody sees; write it without", u32::from(c))
}

/// What Unicode calls `Bidi_Control`: it changes the direction of text.
#[must_use]
pub fn directs(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a character could make a screen do or hide something: control characters, line and paragraph separators, and what Unicode calls
/// `Bidi_Control`.
#[must_use]
pub fn misleads(c: char) -> bool {
    directs(c) || c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// A text of others with what [`misleads`] escaped, so that a reader sees that it is there.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut seen = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => seen.push(' '),
            c if misleads(c) => seen.extend(c.escape_unicode()),
            c => seen.push(c),
        }
    }
    seen
}

/// Control characters, separators of lines, `Default_Ignorable_Code_Point` (soft hyphens, joiners, fillers, marks of direction, selectors,
/// tags), what interlinear notes begin and end with, and the blank of Braille.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || directs(c)
        || matches!(
            c,
            '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Printable ASCII without two blanks in a row, which folds letter by letter.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) && !name.contains("  ")
}

fn decomposed(text: &str) -> String {
    DecomposingNormalizerBorrowed::new_nfkd().normalize(text).into_owned()
}

/// The words of a name, of letters and digits alone and without accents.
fn words(name: &str) -> Vec<String> {
    let text = decomposed(&folded(name));
    // An accent stands behind its letter now, and parts no words.
    let bare: String = text.chars().filter(|c| !('\u{300}'..='\u{36f}').contains(c)).collect();
    bare.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// How many letters have to be put in, left out or replaced.
fn distance(one: &[char], other: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn organisations_compare_as_people_see_them() {
        for (one, other) in [
            ("Galil Optics", " galil  OPTICS\t"),
            ("Universit\u{e4}t", "Universita\u{308}t"),
            ("STRASSE 7", "Stra\u{df}e 7"),
            ("Stra\u{1e9e}e", "strasse"),
            ("\u{ff21}\u{ff43}\u{ff4d}\u{ff45}", "Acme"),
            ("\u{39f}\u{394}\u{39f}\u{3a3}", "\u{3bf}\u{3b4}\u{3bf}\u{3c2}"),
            ("Galil\u{a0}Optics", "Galil\u{3000}Optics"),
            ("Galil\u{2009}\u{2028}Optics", "Galil Optics"),
            ("o\u{fb03}ce", "Office"),
            ("Ac\u{200b}me\u{202e}", "Acme"),
            ("\u{1f80}", "\u{1f88}"),
            ("\u{2126}", "\u{3c9}"),
        ] {
            assert!(is_same(one, other) && is_same(other, one), "{one:?} {other:?}");
        }
        assert!(!is_same("Galil Optics", "GalilOptics") && !is_same("Cafe", "Caf\u{e9}"));
        assert!(!is_same("", "") && !is_same(" ", "\u{200b}"), "one that is not known is equal to none");
    }

    #[test]
    fn folding_in_place_is_folding_and_what_is_folded_stays() {
        let mut names: Vec<String> =
            ["Institute 7", " Galil Optics\t", "", "a\u{b}b", "\u{1f}x\u{c}", "Two  blanks", "\u{130}nci"]
                .map(str::to_owned)
                .into();
        names.extend((0..0x1_fb00).filter_map(char::from_u32).map(|c| format!("A{c}a")));
        for name in names {
            let fold = folded(&name);
            assert_eq!(folded(&fold), fold, "{name:?}");
            assert!(folds_to(&name, &fold) && folds_to(&fold, &fold), "{name:?}");
            assert!(!folds_to(&name, &format!("{fold}x")), "{name:?}");
        }
    }

    #[test]
    fn invisible_and_bidirectional_characters_are_found() {
        for c in [
            '\u{0}',
            '\n',
            '\u{7f}',
            '\u{ad}',
            '\u{200b}',
            '\u{200d}',
            '\u{202e}',
            '\u{2066}',
            '\u{feff}',
            '\u{e0041}',
            '\u{fe0f}',
        ] {
            assert_eq!(unseen(&format!("Galil{c}Optics")), Some(c));
        }
        for name in [
            "Galil Optics & Söhne (KR), 2–3",
            "Объединённый институт",
            "גליל אופטיקה",
            "한빛로보틱스",
            "المركز",
            "दिल्ली",
        ] {
            assert_eq!(unseen(name), None, "{name}");
        }
        assert_eq!(
            unseen_fault("name", '\u{200b}'),
            "the name has the character U+200B, which nobody sees; write it without"
        );
    }

    #[test]
    fn near_names_are_those_that_a_slip_would_make() {
        let near_to_it = [
            "Galil Optic",
            "Galil-Optics",
            "GalilOptics",
            "Galil Optics Ltd.",
            "The Galil Optics",
            "Gálil Optics",
            "Gailil Optics",
            "Galil Opticx",
        ];
        for other in near_to_it {
            assert!(is_nearly_same("Galil Optics", other) && is_nearly_same(other, "galil optics"), "{other}");
        }
        for other in ["Galil Optics", " GALIL optics ", "Golan Optics", "Kinneret Sensing", "MIT", ""] {
            assert!(!is_nearly_same("Galil Optics", other), "{other}");
        }
        assert!(
            is_nearly_same("MIT", "MIT Lincoln Laboratory")
                && !is_nearly_same("MIT", "Summit")
                && !is_nearly_same("MIT", "MIR")
        );
    }
}
