//! What every source file looks like, and what none has in it.

use super::source::{everything, files, production, root};
use std::{collections::BTreeSet, fs};

/// The longest a source file may be: past this it holds two things.
const MAX_LINES: usize = 600;

/// The longest a line of Markdown may be, in letters; tables, code and lines with a link may be longer.
const MAX_WIDTH: usize = 120;

#[test]
fn files_are_short_and_say_what_they_are_for() {
    let mut faults = Vec::new();
    for source in everything() {
        let lines = source.whole.lines().count();
        if lines > MAX_LINES {
            faults.push(format!("{}: {lines} lines; past {MAX_LINES} it holds two things", source.name));
        }
        if !source.whole.starts_with("//! ") {
            faults.push(format!("{}: begins without saying what it decides", source.name));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn pages_are_wrapped_like_the_code() {
    let folders =
        [("docs", true), (".github", true), ("tests", true), ("examples", true), ("policies", true), (".", false)];
    let mut faults = Vec::new();
    for path in folders.iter().flat_map(|(folder, deep)| files(&root().join(folder), &["md"], *deep)) {
        let (page, mut is_code) = (fs::read_to_string(&path).unwrap(), false);
        for (number, line) in page.lines().enumerate() {
            is_code ^= line.trim_start().starts_with("```");
            let is_free = is_code || line.starts_with('|') || line.starts_with("    ") || line.contains("](");
            if !is_free && line.chars().count() > MAX_WIDTH {
                faults.push(format!("{}:{}: wrap it at {MAX_WIDTH}", path.display(), number + 1));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn nothing_is_unwrapped_unsafe_or_allowed_in_silence() {
    let unwrap = concat!(".un", "wrap()");
    let mut faults = Vec::new();
    for source in production() {
        for (number, line) in source.lines() {
            for (sign, instead) in [
                (unwrap, "`expect` that states the proof"),
                ("unsafe ", "safe code"),
                ("#[allow(", "`#[expect(…, reason = \"…\")]`"),
                ("#![allow(", "`#![expect(…, reason = \"…\")]`"),
                ("todo!(", "the thing itself"),
                ("unimplemented!(", "the thing itself"),
            ] {
                if line.contains(sign) {
                    faults.push(format!("{}:{number}: wanted {instead} instead of `{sign}`", source.name));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn signatures_of_requests_are_verified_before_their_turn() {
    // What is kept is verified when it is read, and a first key card by its registrar's own signature.
    let others = ["service/rules", "service/directory", "service/decisions", "service/verified"];
    let in_turn: Vec<String> = production()
        .into_iter()
        .filter(|source| source.name.starts_with("service/") && !source.is_in("service/verify"))
        .filter(|source| source.code().contains("verify_signed") && !others.contains(&&*source.name))
        .map(|source| source.name)
        .collect();
    assert!(in_turn.is_empty(), "wanted `Verified` before `Act::begin` in {}", in_turn.join(", "));
}

#[test]
fn statements_have_types_of_their_own_and_are_fuzzed() {
    let fuzzed = fs::read_to_string(root().join("fuzz/fuzz_targets/statements.rs")).unwrap();
    let (mut types, mut faults) = (BTreeSet::new(), Vec::new());
    for source in production() {
        for (number, line) in source.lines() {
            let (line, place) = (line.trim_start(), format!("src/{}.rs:{number}", source.name));
            if let Some(typ) = line.strip_prefix("const TYP: &'static str = ") {
                if !(typ.starts_with("\"entente-") && typ.ends_with("+jws\";")) {
                    faults.push(format!("{place}: {typ} is no type of ours"));
                }
                if !types.insert(typ.to_owned()) {
                    faults.push(format!("{place}: another statement has the type {typ}"));
                }
            }
            let statement = line.strip_prefix("impl Statement for ").and_then(|rest| rest.strip_suffix(" {"));
            if let Some(name) = statement.filter(|name| !fuzzed.contains(&format!("read::<{name}>("))) {
                faults.push(format!("{place}: `{name}` is missing in fuzz/fuzz_targets/statements.rs"));
            }
        }
    }
    assert!(types.len() > 15, "{types:?}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
