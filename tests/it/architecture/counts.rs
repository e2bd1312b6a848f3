//! A number agrees with its noun: what is formatted in front of a plural noun goes through `domain::text::counted`.

use super::source::{production, word};

/// Nouns that the program counts. Bytes and units of time are left out: they are mostly limits and sizes.
const PLURALS: &[&str] = &[
    "acts",
    "answers",
    "assignments",
    "calls",
    "cases",
    "certificates",
    "columns",
    "conditions",
    "connections",
    "copies",
    "documents",
    "downloads",
    "entries",
    "faults",
    "files",
    "invitations",
    "keys",
    "lines",
    "members",
    "migrations",
    "parties",
    "partners",
    "policies",
    "programs",
    "proposals",
    "reads",
    "requests",
    "reviews",
    "rows",
    "statements",
    "steps",
    "tables",
    "things",
    "uploads",
    "vaults",
    "versions",
];

/// Numbers that are never one, and why. A bound can be one where it is configured, and so can the whole of a part.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("{more} proposals", "the arm above it is for one"),
    ("{closed} proposals", "the arm above it is for one"),
    ("{required} parties", "more than a bound that is at least one"),
    ("{fewest} parties", "more than a bound that is larger than one"),
    ("{documents} documents", "more than a bound that is larger than one"),
    ("{0} certificates", "one is what is expected"),
    ("{descriptors} files", "the limit of a process"),
    ("{} connections", "what a process with few files must do without"),
    ("{} cases", "none, or more than a bound that is larger than one"),
    ("{count} keys", "more than a bound that is larger than one"),
    ("{select} proposals", "SQL"),
    ("{columns} columns", "for developers"),
    ("{most} assignments", "a bound that is larger than one"),
    ("{} invitations", "a bound that is larger than one"),
    ("{} reads", "a verb"),
];

/// The placeholder in front of a plural noun, with the noun, wherever a line has one that could be for one thing.
fn uncounted(line: &str) -> Vec<&str> {
    let found = line.match_indices("} ").filter_map(|(end, _)| {
        let start = line[..end].rfind('{')?;
        let (name, noun) = (&line[start + 1..end], word(&line[end + 2..]));
        let is_placeholder = name.chars().all(|c| c.is_alphanumeric() || "_.:".contains(c));
        let is_constant = !name.is_empty() && name.chars().all(|c| c.is_uppercase() || c == '_');
        let is_uncounted = is_placeholder && !is_constant && PLURALS.contains(&noun);
        is_uncounted.then_some(&line[start..end + 2 + noun.len()])
    });
    found.collect()
}

#[test]
fn numbers_agree_with_their_nouns() {
    let (mut faults, mut unused) = (Vec::new(), EXCEPTIONS.to_vec());
    for source in production() {
        for (number, line) in source.lines() {
            for found in uncounted(line) {
                if EXCEPTIONS.iter().any(|(exception, _)| *exception == found) {
                    unused.retain(|(exception, _)| *exception != found);
                } else {
                    faults.push(format!("src/{}.rs:{number}: wanted `counted` for `{found}`", source.name));
                }
            }
        }
    }
    faults.extend(unused.into_iter().map(|(exception, _)| format!("`{exception}` needs no exception: nothing has it")));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn reader_of_sentences_finds_numbers_before_plural_nouns() {
    for (line, found) in [
        (r#"format!("{left} keys do not open")"#, vec!["{left} keys"]),
        (r#"format!("{} of {} lines, {:.0} entries", a, b, c)"#, vec!["{} lines", "{:.0} entries"]),
        (r#"format!("at most {limit} documents and {MOST} reviews")"#, vec!["{limit} documents"]),
        (r#"format!("{call} is closed, {member} is out of it")"#, vec![]),
    ] {
        assert_eq!(uncounted(line), found, "{line}");
    }
}
