//! Paths in answers for programs. JSON is text and a path need not be: `json!` panics over a name that JSON cannot have, once the act is done.

use super::source::{Source, production};
use std::collections::BTreeSet;

/// How a field, a parameter or a binding says that it is a path.
const OWNED: [&str; 3] = [": PathBuf", ": Option<PathBuf>", ": Vec<PathBuf>"];
const BORROWED: [&str; 3] = [": &PathBuf", ": &Path", ": Option<&Path>"];

/// Fields that are no paths, though a field of that name is one elsewhere.
const OTHERS: [&str; 1] = ["letter.to"];

#[test]
fn paths_stand_in_answers_as_text() {
    let sources = production();
    let of_client = sources.iter().filter(|source| source.is_in("client"));
    let fields: BTreeSet<&str> = of_client.flat_map(|source| declared(source, &OWNED)).collect();
    let mut faults = Vec::new();
    for source in sources.iter().filter(|source| source.is_in("cli")) {
        let declared = declared(source, &OWNED).chain(declared(source, &BORROWED));
        let own: BTreeSet<&str> = declared.chain(joined(source)).chain(["path"]).collect();
        for (number, line) in source.lines() {
            for value in values(line) {
                let is_path = match value.rsplit_once('.') {
                    Some((_, field)) => (fields.contains(field) || own.contains(field)) && !OTHERS.contains(&value),
                    None => own.contains(value),
                };
                if is_path {
                    faults.push(format!("src/{}.rs:{number}: wanted `path_text` around `{value}`", source.name));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The names that are declared in one of these ways.
fn declared<'s>(source: &'s Source, ways: &'static [&'static str]) -> impl Iterator<Item = &'s str> {
    let ends_there = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '<' | ':'));
    source.lines().into_iter().flat_map(move |(_, line)| {
        ways.iter().flat_map(move |way| {
            let found = line.match_indices(way).filter(move |(at, _)| ends_there(&line[at + way.len()..]));
            found.map(move |(at, _)| last_word(&line[..at]))
        })
    })
}

/// The names that are bound to a path below another one.
fn joined(source: &Source) -> impl Iterator<Item = &str> {
    source.lines().into_iter().filter_map(|(_, line)| {
        let (name, value) = line.trim_start().strip_prefix("let ")?.split_once(" = ")?;
        (value.contains(".join(") && !value.contains(".join(\"")).then_some(name)
    })
}

fn last_word(text: &str) -> &str {
    let begins = text.rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |at| at + 1);
    &text[begins..]
}

/// The plain values of the members that a line has in JSON: `"name": value`.
fn values(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("\": ").map(|(at, sign)| {
        let value = &line[at + sign.len()..];
        let ends = value.find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '.'));
        match ends {
            Some(end) if value[end..].starts_with(['(', ':', '!', '[', '"']) => "",
            Some(end) => &value[..end],
            None => value,
        }
    })
}

#[test]
fn value_that_is_a_path_is_found() {
    let source = |text: &str| Source { name: "cli/any".to_owned(), whole: text.to_owned() };
    let file =
        source("fn a(to: &Path, given: Option<PathBuf>, text: &PathText) {\n    let card = dir.join(name);\n}\n");
    assert_eq!(declared(&file, &OWNED).collect::<Vec<_>>(), ["given"]);
    assert_eq!(declared(&file, &BORROWED).collect::<Vec<_>>(), ["to"]);
    assert_eq!(joined(&file).collect::<Vec<_>>(), ["card"]);
    let line = r#"json!({ "file": to, "out": args.out, "shown": path_text(to), "words": "to", "size": size });"#;
    assert_eq!(values(line).collect::<Vec<_>>(), ["to", "args.out", "", "", "size"]);
}
