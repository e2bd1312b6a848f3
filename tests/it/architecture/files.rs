//! What every source file looks like, and what none has in it.

use super::source::{Source, everything, files, production, root};
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
fn pages_are_wrapped() {
    let folders =
        [("docs", true), (".github", true), ("tests", true), ("examples", true), ("policies", true), (".", false)];
    let mut faults = Vec::new();
    for path in folders.iter().flat_map(|(folder, deep)| files(&root().join(folder), &["md"], *deep)) {
        let (page, mut is_code) = (fs::read_to_string(&path).unwrap(), false);
        for (number, line) in page.lines().enumerate() {
            is_code ^= line.trim_start().starts_with("```");
            let is_free = is_code || line.starts_with('|') || line.starts_with("    ");
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

/// Where `verify_signed` may stand: what is kept is verified when it is read, and a first key card by its registrar's own signature.
const VERIFIERS: [&str; 5] =
    ["service/rules", "service/directory", "service/decisions", "service/verified", "service/verify"];

/// The functions of the service that verify a signature while their act has its turn, each with its place.
fn verified_in_turn(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (number, function) in functions(source) {
        let mut faults = Vec::new();
        if function.contains("verify_signed") && !VERIFIERS.iter().any(|place| source.is_in(place)) {
            faults.push("calls `verify_signed`; wanted `Verified`");
        }
        // From where on the turn is there: who is given an act has it from the start.
        let is_given =
            ["act: &mut Act", "act: &Act", "mut act: Act", " act: Act"].iter().any(|act| function.contains(act));
        let turn = if is_given { Some(0) } else { function.find("Act::begin") };
        let verifies = |text: &str| text.contains("Verified::of") || text.contains("Verified::look");
        if turn.is_some_and(|turn| verifies(&function[turn..])) {
            faults.push("verifies a signature after its turn has come; wanted `Verified` before `Act::begin`");
        }
        found.extend(faults.into_iter().map(|fault| format!("src/{}.rs:{number}: {fault}", source.name)));
    }
    found
}

/// The functions of a file, each from its first line to that of the next.
fn functions(source: &Source) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    for (number, line) in source.lines() {
        let words = line.trim_start();
        let begins = words.split(" fn ").next().is_some_and(|before| {
            before != words
                && before.split(' ').all(|word| word.starts_with("pub") || ["async", "const"].contains(&word))
                || words.starts_with("fn ")
        });
        if begins {
            found.push((number, String::new()));
        }
        if let Some((_, text)) = found.last_mut() {
            text.push_str(line);
            text.push('\n');
        }
    }
    found
}

#[test]
fn signatures_of_requests_are_verified_before_their_turn() {
    let sources: Vec<Source> = production().into_iter().filter(|source| source.name.starts_with("service/")).collect();
    let faults: Vec<String> = sources.iter().flat_map(verified_in_turn).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // The rule is about something: functions do both.
    let both = sources.iter().flat_map(functions);
    let both = both.filter(|(_, text)| text.contains("Verified::of") && text.contains("Act::begin")).count();
    assert!(both >= 3, "{both} functions verify a signature and begin an act");
}

#[test]
fn signature_that_is_verified_in_its_turn_is_found() {
    let faults = |name: &str, text: &str| {
        let found = verified_in_turn(&Source { name: name.into(), whole: text.into() });
        found.into_iter().map(|fault| fault.split(':').nth(1).unwrap().parse().unwrap()).collect::<Vec<usize>>()
    };
    let (before, turn) = (
        "    let verified = Verified::of(&body.statement).await?;\n",
        "    let mut act = Act::begin(exchange).await?;\n",
    );
    let function =
        |lines: &[&str]| format!("pub async fn sign(exchange: &Exchange) -> Result<()> {{\n{}}}\n", lines.concat());
    let (right, wrong) = (function(&[before, turn]), function(&[turn, before]));
    assert!(faults("service/x", &right).is_empty());
    assert_eq!(faults("service/x", &wrong), [1]);
    assert_eq!(faults("service/x", &format!("{right}\n{wrong}{right}")), [6]);
    // One of another function comes neither before nor after.
    let other = function(&[before]).replace("sign", "other");
    assert!(faults("service/x", &format!("{}{other}{}", function(&[turn]), function(&[turn]))).is_empty());
    // Who is given an act is in its turn, and a comment calls nothing.
    let given = "    pub(super) async fn keep(self, act: &mut Act<'_>) {\n        Verified::look(jws);\n    }\n";
    assert_eq!(faults("service/x", given), [1]);
    assert!(faults("service/x", &function(&[turn, "    // Verified::of is too late here.\n"])).is_empty());
    let calls = "fn look(jws: &str) {\n    verify_signed(jws);\n}\n";
    assert_eq!(faults("service/x", calls), [1]);
    for place in VERIFIERS {
        assert!(faults(place, calls).is_empty(), "{place}");
    }
    assert!(faults("service/verify/signed", calls).is_empty());
}

/// The types that `change_bodies!` and its sisters name: by a path that begins with a module.
fn bodies_of_changes(text: &str) -> BTreeSet<&str> {
    let blocks =
        text.split("change_bodies! {").skip(1).filter_map(|rest| rest.split_once("\n}")).map(|(block, _)| block);
    let paths = blocks.flat_map(|block| block.split(|c: char| !(c.is_alphanumeric() || c == ':' || c == '_')));
    let in_modules = paths.filter(|path| path.starts_with(|first: char| first.is_ascii_lowercase()));
    in_modules.filter_map(|path| path.trim_end_matches(':').split_once("::")).map(|(_, name)| name).collect()
}

#[test]
fn bodies_of_changes_are_fuzzed() {
    let text = fs::read_to_string(root().join("src/http/change_request.rs")).unwrap();
    let fuzzed = fs::read_to_string(root().join("fuzz/fuzz_targets/bodies.rs")).unwrap();
    let bodies = bodies_of_changes(&text);
    assert!(bodies.len() > 20 && bodies.contains("NewVault"), "{bodies:?}");
    let missing: Vec<_> = bodies.iter().filter(|name| !fuzzed.contains(&format!("read::<{name}>("))).collect();
    assert!(missing.is_empty(), "missing in fuzz/fuzz_targets/bodies.rs: {missing:?}");
}

/// Key cards, beside the partner cards that they are issued under; and what the exchange itself signs.
const STATEMENTS_ELSEWHERE: [&str; 2] = ["sealing/card", "sealing/visibility"];

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
            if statement.is_some()
                && !source.name.starts_with("sealing/statement/")
                && !STATEMENTS_ELSEWHERE.contains(&&*source.name)
            {
                faults.push(format!("{place}: give it a file in `src/sealing/statement/`"));
            }
            if let Some(name) = statement.filter(|name| !fuzzed.contains(&format!("read::<{name}>("))) {
                faults.push(format!("{place}: `{name}` is missing in fuzz/fuzz_targets/statements.rs"));
            }
        }
    }
    assert!(types.len() > 15, "{types:?}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
