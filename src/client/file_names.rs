//! Names of files and folders made of what others wrote, which Linux, macOS and Windows all take, and which lead nowhere else.
//!
//! INVARIANT: a name has no separator, no character that nobody sees, is no device and is not hidden, whatever it is made of.

use crate::domain::name::unseen;

/// The most bytes of a name. File systems take 255; Windows counts the folders above it, too.
const MOST_BYTES: usize = 96;
/// Names that are devices on Windows, with any extension.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];
/// The same with a digit, which may be a superscript.
const NUMBERED: [&str; 2] = ["com", "lpt"];

/// A name for a file or a folder. What cannot be in one becomes a blank; nothing left gives `_`.
#[must_use]
pub fn safe(text: &str) -> String {
    let is_kept = |c: char| unseen(c.encode_utf8(&mut [0; 4])).is_none() && !"/\\:*?\"<>|\u{2044}\u{2215}".contains(c);
    let blanked: String = text.chars().map(|c| if is_kept(c) { c } else { ' ' }).collect();
    let joined = blanked.split_whitespace().collect::<Vec<_>>().join(" ");
    let name = bare(cut(bare(&joined)));
    let stem = name.split('.').next().unwrap_or_default().trim_end();
    match (name.is_empty(), is_device(stem)) {
        (true, _) => "_".to_owned(),
        (false, true) => format!("{stem}_{}", &name[stem.len()..]),
        (false, false) => name.to_owned(),
    }
}

/// Without what Windows drops at the end and what hides a name at the beginning.
fn bare(name: &str) -> &str {
    name.trim_matches(|c: char| c == '.' || c.is_whitespace())
}

/// As much as fits, in whole characters.
fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(MOST_BYTES)]
}

fn is_device(stem: &str) -> bool {
    let stem = stem.to_lowercase();
    let is_digit = |c: char| c.is_ascii_digit() || matches!(c, '¹' | '²' | '³');
    let is_numbered = |device: &str| {
        let mut rest = stem.strip_prefix(device).unwrap_or_default().chars();
        matches!((rest.next(), rest.next()), (Some(digit), None) if is_digit(digit))
    };
    DEVICES.contains(&stem.as_str()) || NUMBERED.iter().any(|device| is_numbered(device))
}

/// The name, or with a number behind it the first that none of `taken` is on a file system to which upper and lower case are the same.
#[must_use]
pub fn distinct(name: &str, taken: &[String]) -> String {
    let is_taken = |name: &str| taken.iter().any(|other| other.to_lowercase() == name.to_lowercase());
    if !is_taken(name) {
        return name.to_owned();
    }
    let (stem, extension) = name.split_once('.').map_or((name, String::new()), |(stem, end)| (stem, format!(".{end}")));
    let mut numbers = 2_u32..;
    loop {
        let other = format!("{stem} ({}){extension}", numbers.next().unwrap_or(u32::MAX));
        if !is_taken(&other) {
            return other;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn name_is_one_that_every_system_takes() {
        for (text, name) in [
            ("BIRD26-48179 Lodestone: maps / fields", "BIRD26-48179 Lodestone maps fields"),
            ("../../etc/passwd", "etc passwd"),
            ("..", "_"),
            ("", "_"),
            (".hidden", "hidden"),
            ("a\u{202e}fdp.exe", "a fdp.exe"),
            ("con", "con_"),
            ("NUL.txt", "NUL_.txt"),
            ("com1", "com1_"),
            ("LPT³.pdf", "LPT³_.pdf"),
            ("com10", "com10"),
            ("console", "console"),
            ("trailing. . ", "trailing"),
            ("line\nbreak\ttab\0nul", "line break tab nul"),
            ("ניווט בלי לוויין", "ניווט בלי לוויין"),
            ("C:\\Windows\\a?b*c|d\"e<f>", "C Windows a b c d e f"),
        ] {
            assert_eq!(safe(text), name, "{text:?}");
        }
        let long = safe(&"문".repeat(400));
        assert!(long.len() <= MOST_BYTES && long.chars().all(|c| c == '문'));
    }

    #[test]
    fn names_that_differ_in_case_alone_are_kept_apart() {
        let taken = ["owners-isr.pdf".to_owned(), "Owners-ISR (2).pdf".to_owned()];
        assert_eq!(distinct("owners-ISR.pdf", &taken), "owners-ISR (3).pdf");
        assert_eq!(distinct("plan.pdf", &taken), "plan.pdf");
    }

    proptest! {
        #[test]
        fn no_text_gives_a_name_that_leads_elsewhere(text in "\\PC{0,40}|[./\\\\:\\x00-\\x20conNUL0-9\u{202e}\u{200b}]{0,40}") {
            let name = safe(&text);
            prop_assert!(!name.is_empty() && name.len() <= MOST_BYTES + 1);
            prop_assert!(!name.contains(['/', '\\', ':', '\0']) && name != "." && name != "..");
            prop_assert!(unseen(&name).is_none() && !name.starts_with('.'));
            prop_assert!(!name.ends_with(['.', ' ']));
            prop_assert!(!is_device(name.split('.').next().unwrap()), "{}", name);
            prop_assert_eq!(safe(&name), name);
        }
    }
}
