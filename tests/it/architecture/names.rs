//! One word has one meaning, and one name one type.

use super::source::{production, root};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
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
    ("bears_", "has"),
    ("stands twice", "duplicate"),
    ("stand twice", "duplicate"),
    ("stands in it twice", "duplicate, or a second line"),
    ("stands there twice", "duplicate, or in both lists"),
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
    ("that is none", "invalid, or unknown"),
    ("no label restricts", "there is no restriction"),
    ("newly admitted", "gains its first access"),
    ("whom the exchange takes", "which member the certificate belongs to"),
];

/// The folders whose texts keep to these words. Those beside them hold what is built, or nothing.
const FOLDERS: &[&str] = &[
    ".cargo",
    ".ci",
    ".github",
    "benches",
    "certs-dev",
    "docs",
    "examples",
    "fuzz",
    "migrations",
    "packaging",
    "policies",
    "scripts",
    "src",
    "tests",
];

/// What tools write, which is not ours to word.
const NOT_READ: &[&str] = &["Cargo.lock", "artifacts", "corpus", "coverage", "out", "target"];

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
    let (mut faults, mut all) = (Vec::new(), texts(root(), false));
    for folder in FOLDERS {
        let found = texts(&root().join(folder), true);
        assert!(!found.is_empty(), "there is no text in `{folder}`");
        all.extend(found);
    }
    // The list itself has them all.
    all.retain(|(name, _)| !name.ends_with("architecture/names.rs"));
    for (name, text) in all {
        // Examples of what is not to be written.
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("BAD:"));
        let text = lines.collect::<Vec<_>>().join("\n").to_lowercase();
        for (word, instead) in WORDS {
            if text.contains(word) {
                faults.push(format!("{name}: says `{word}`; here that is `{instead}`"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The files of a folder that are text, and their names.
fn texts(folder: &Path, deep: bool) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let entry = entry.unwrap();
        let path = entry.path();
        if NOT_READ.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        if path.is_dir() {
            if deep {
                found.extend(texts(&path, deep));
            }
        } else if let Ok(text) = fs::read_to_string(&path) {
            found.push((path.strip_prefix(root()).unwrap().display().to_string(), text));
        }
    }
    found
}

/// How many types a name can have, those included that only their own file knows: a reader who looks for it must not find a third meaning.
const MOST_MEANINGS: usize = 2;

#[test]
fn no_name_has_many_meanings() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in production() {
        for (number, line) in source.lines() {
            if let Some(name) = public_type(line).or_else(|| private_type(line)) {
                places.entry(name.to_owned()).or_default().push(format!("src/{}.rs:{number}", source.name));
            }
        }
    }
    places
        .retain(|name, places| places.len() > MOST_MEANINGS && !SHARED_NAMES.iter().any(|(shared, _)| shared == name));
    assert!(places.is_empty(), "{places:#?}");
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
    declared(rest.strip_prefix(' ')?, &["struct ", "enum ", "trait ", "type "])
}

/// The name of the type that a line declares for its own file. A `type` that is indented is one that a trait asks for.
fn private_type(line: &str) -> Option<&str> {
    declared(line, &["type "]).or_else(|| declared(line.trim_start(), &["struct ", "enum ", "trait "]))
}

fn declared<'a>(line: &'a str, keywords: &[&str]) -> Option<&'a str> {
    let rest = keywords.iter().find_map(|keyword| line.strip_prefix(keyword))?;
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
    assert_eq!(private_type("    struct Private;"), Some("Private"));
    assert_eq!(private_type("    type Err = ParseError;"), None);
}
