//! One word has one meaning, and one name one type.

use super::source::{everything, files, production, root};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

/// Words that mean something else here, or that a plain one says, and the word to use.
const WORDS: &[(&str, &str)] = &[
    ("tenant", "partner"),
    ("user account", "member"),
    ("user_id", "member"),
    ("audit row", "entry"),
    ("audit_log", "log"),
    ("error response", "problem"),
    (" mend", "fix"),
    ("\"mend ", "fix"),
    (" anew", "again"),
    ("_anew", "again"),
    (" whoever", "anyone who, or the name of the role"),
    (" whomever", "anyone"),
    (" bears ", "has"),
    (" bear a ", "has"),
    ("stands twice", "duplicate"),
    ("stands against", "why it is refused"),
    ("stood against", "why it was refused"),
    ("may stand several times", "may be given several times"),
    ("stands already", "already used, or duplicate"),
    (" tend(", "what it does"),
    ("no place in a policy", "not allowed in a policy"),
    ("held against", "compared with"),
    (" in vain", "without effect"),
    ("in force no more", "no longer in force"),
    ("is no base64", "is not base64"),
    ("are of versions that go together", "have compatible versions"),
    ("told apart", "distinguished"),
    ("is told of", "learns of, or reported"),
    ("that are none", "invalid, or unknown"),
];

/// Names that several public types share, and why.
const SHARED_NAMES: &[(&str, &str)] = &[
    ("CallText", "`wire` mirrors `domain`; the API description publishes the name"),
    ("Criterion", "`wire` mirrors `domain`; the API description publishes the name"),
    ("Decision", "`wire` mirrors `domain`; the API description publishes the name"),
    ("PartyRule", "`wire` mirrors `domain`; the API description publishes the name"),
    ("PolicyVersion", "`wire` mirrors `domain`; the API description publishes the name"),
    ("Result", "each layer has one error type and an alias for results with it"),
    ("Schedule", "`wire` mirrors `domain`; the API description publishes the name"),
    ("Slot", "`wire` mirrors `domain`; the API description publishes the name"),
];

#[test]
fn words_mean_one_thing() {
    let mut faults = Vec::new();
    let mut texts: Vec<(String, String)> = everything().into_iter().map(|source| (source.name, source.whole)).collect();
    for folder in ["policies", "migrations", "docs", "."] {
        let deep = folder != ".";
        texts.extend(files(&root().join(folder), &["md", "cedar", "sql"], deep).into_iter().map(|path| {
            (path.strip_prefix(root()).unwrap().display().to_string(), fs::read_to_string(&path).unwrap())
        }));
    }
    for (name, text) in texts {
        let text = text.to_lowercase();
        for (word, instead) in WORDS {
            if text.contains(word) {
                faults.push(format!("{name}: says `{word}`; here that is `{instead}`"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn public_types_have_names_of_their_own() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in production().into_iter().filter(|source| !source.name.starts_with("bin/")) {
        for (number, line) in source.lines() {
            if let Some(name) = public_type(line) {
                places.entry(name.to_owned()).or_default().push(format!("src/{}.rs:{number}", source.name));
            }
        }
    }
    places.retain(|_, places| places.len() > 1);
    let shared: BTreeSet<&str> = places.keys().map(String::as_str).collect();
    let allowed: BTreeSet<&str> = SHARED_NAMES.iter().map(|(name, _)| *name).collect();
    let faults =
        shared.difference(&allowed).map(|name| format!("`{name}` is declared in {}", places[*name].join(", ")));
    let faults: Vec<String> = faults
        .chain(allowed.difference(&shared).map(|name| format!("`{name}` needs no exception: only one type has it")))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The name of the type that a line declares for other modules.
fn public_type(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("pub")?;
    let rest = match rest.strip_prefix('(') {
        Some(scope) => scope.split_once(')')?.1,
        None => rest,
    };
    let rest = rest.strip_prefix(' ')?;
    let rest = ["struct ", "enum ", "trait ", "type "].iter().find_map(|keyword| rest.strip_prefix(keyword))?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    Some(&rest[..end]).filter(|name| !name.is_empty())
}

#[test]
fn reader_of_sources_finds_public_types() {
    for (line, name) in [
        ("pub struct Call {", Some("Call")),
        ("    pub(crate) enum Kind<'a> {", Some("Kind")),
        ("pub(in crate::storage) trait Rows: Send {", Some("Rows")),
        ("pub type Result<T, E = Error> = std::result::Result<T, E>;", Some("Result")),
        ("struct Private;", None),
        ("pub fn structure() {", None),
        ("pub struct $name(String);", None),
    ] {
        assert_eq!(public_type(line), name, "{line}");
    }
}
