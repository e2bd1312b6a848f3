//! The rules of `ARCHITECTURE.md` that a compiler does not hold: which module may import which, which crate is used where,
//! and what every source file looks like. Reads the sources as text; a rule is a row of a table here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// What each module may import besides itself. A module that is not here may not exist.
const IMPORTS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("process", &[]),
    ("remembered", &[]),
    ("platform", &[]),
    ("wire", &["domain"]),
    ("policy", &["domain", "remembered"]),
    ("sealing", &["domain", "platform"]),
    ("storage", &["domain", "remembered", "policy"]),
    ("service", &["domain", "remembered", "wire", "policy", "sealing", "storage"]),
    ("metrics", &["domain", "storage", "service"]),
    ("jobs", &["domain", "storage", "service", "metrics"]),
    ("http", &["domain", "process", "wire", "policy", "sealing", "storage", "service", "metrics", "jobs"]),
    ("client", &["domain", "platform", "remembered", "wire", "policy", "sealing"]),
    ("dev_pki", &["domain", "platform", "sealing"]),
    ("demo", &["domain", "wire", "policy", "sealing", "storage", "service", "http", "client", "dev_pki"]),
    ("cli", &["domain", "process", "platform", "wire", "policy", "sealing", "client", "dev_pki", "demo"]),
    ("bin/entente-server", &["domain", "http", "policy", "process", "sealing", "service", "storage", "wire"]),
    ("bin/entente", &["cli"]),
];

/// Crates that only these modules or files may name.
const CRATES: &[(&str, &[&str])] = &[
    ("age", &["sealing/identity", "sealing/seal", "sealing/vault", "sealing/testing"]),
    ("age_core", &[]),
    ("anstyle_query", &["platform"]),
    ("axum", &["http"]),
    ("cedar_policy", &["policy"]),
    ("governor", &["http"]),
    ("hyper", &["http"]),
    ("hyper_util", &["http"]),
    ("icu_casemap", &["domain/name"]),
    ("icu_normalizer", &["domain/name"]),
    ("indicatif", &["cli"]),
    ("jsonwebtoken", &["sealing"]),
    ("rcgen", &["dev_pki"]),
    ("reqwest", &["client"]),
    ("rpassword", &["cli"]),
    ("rustix", &["http", "jobs", "storage"]),
    ("socket2", &["http/listener"]),
    ("sqlx", &["storage"]),
    ("terminal_size", &["cli/output"]),
    ("tokio_rustls", &["http"]),
    ("utoipa", &["http", "wire"]),
];

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
    ("stands twice", "duplicate"),
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

/// The longest a source file may be: past this it holds two things.
const MAX_LINES: usize = 600;

#[test]
fn imports_go_in_one_direction() {
    let mut faults = Vec::new();
    for source in production() {
        let module = source.module();
        let Some((_, allowed)) = IMPORTS.iter().find(|(name, _)| *name == module) else {
            faults.push(format!("{}: module `{module}` is not in the table of imports", source.name));
            continue;
        };
        let allowed: BTreeSet<&str> = allowed.iter().copied().chain([module.as_str()]).collect();
        for import in source.imports() {
            if MODULES.contains(&import.as_str()) && !allowed.contains(import.as_str()) {
                faults.push(format!("{}: `{module}` may not import `{import}`", source.name));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn modules_of_a_folder_form_no_circle() {
    let mut faults = Vec::new();
    for (folder, imports) in imports_between_siblings(&production()) {
        for circle in circles(&imports) {
            let instead = "what two of them need belongs into a file of its own";
            faults.push(format!("src/{}: {} import each other: {instead}", folder.join("/"), circle.join(", ")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn each_library_has_its_place() {
    let mut faults = Vec::new();
    for source in production() {
        for (name, places) in CRATES {
            if source.names_crate(name) && !places.iter().any(|place| source.is_in(place)) {
                faults.push(format!("{}: `{name}` is for {places:?} only", source.name));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn systems_differ_in_one_place() {
    let places =
        ["platform", "cli/signals", "process", "storage", "service", "metrics", "jobs", "http", "bin/entente-server"];
    let mut faults = Vec::new();
    for source in production().iter().filter(|source| !places.iter().any(|place| source.is_in(place))) {
        for (number, line) in source.lines() {
            if ["os::unix", "os::windows", "(unix", "(windows)", "target_os"].iter().any(|sign| line.contains(sign)) {
                faults.push(format!("{}:{number}: what differs between systems belongs into `platform`", source.name));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn server_has_nothing_that_opens() {
    let opening = fs::read_to_string(root().join("src/sealing/mod.rs")).unwrap();
    for name in ["identity", "seal", "vault"] {
        let gated = format!("#[cfg(feature = \"client\")]\npub mod {name};");
        assert!(opening.contains(&gated), "`sealing::{name}` must exist with the feature `client` only");
    }
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let (_, server) = manifest.split_once("\nserver = [").unwrap();
    let (server, _) = server.split_once(']').unwrap();
    assert!(!server.contains("age"), "the feature `server` must not bring the age library");
}

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

#[test]
fn reader_of_sources_finds_imports_however_they_are_written() {
    let text = "use crate::{\n    domain::{Refusal, id::X},\n    policy::Engine,\n};\nfn f() { crate::storage::db(); }\n\
                // crate::http in a comment\nuse sqlx::Row;\n#[cfg(test)]\n#[path = \"t.rs\"]\nmod more;\n#[cfg(test)]\nmod tests {\n    use crate::cli;\n}\nuse crate::wire;\n";
    let source = Source { name: "service/x".into(), whole: text.into() };
    let found: Vec<String> = source.imports().into_iter().collect();
    assert_eq!(found, ["domain", "policy", "storage", "wire"]);
    assert!(source.names_crate("sqlx") && !source.names_crate("sql"));
    assert!(!Source { name: "x".into(), whole: "use storage::x; // age::x\n\"message::\"".into() }.names_crate("age"));
    let server = Source { name: "bin/entente-server".into(), whole: "use entente::{http, service::Exchange};".into() };
    assert_eq!(server.imports().into_iter().collect::<Vec<_>>(), ["http", "service"]);
}

#[test]
fn reader_of_sources_finds_circles_however_imports_are_written() {
    let source = |(name, whole): (&str, &str)| Source { name: name.into(), whole: whole.into() };
    let sources = [
        ("x/mod", "mod a;\nmod b;\nmod c;\nmod d;\npub use b::Exported;\nuse a::Unused;\n"),
        ("x/a", "use super::{c, *};\nfn f() { super::Exported::new(); }\n"),
        ("x/b", "use crate::{\n    x::c::{self, deep::Noun},\n    y,\n};\n"),
        ("x/c", "mod deep;\n#[cfg(test)]\nmod tests {\n    use super::super::d;\n}\n"),
        ("x/c/deep", "use super::{super::a::Verb, Other};\npub struct Noun;\n"),
        ("x/d", "use crate::x::a; // use crate::x::d\n"),
    ];
    let imports = imports_between_siblings(&sources.map(source));
    let siblings = &imports[&vec!["x".to_owned()]];
    let arrows: Vec<String> =
        siblings.iter().flat_map(|(from, to)| to.iter().map(move |to| format!("{from}→{to}"))).collect();
    assert_eq!(arrows, ["a→b", "a→c", "b→c", "c→a", "d→a"]);
    assert_eq!(circles(siblings), [["a", "b", "c"]]);
}

/// The names that are modules of the library.
const MODULES: &[&str] = &[
    "domain",
    "process",
    "platform",
    "remembered",
    "wire",
    "policy",
    "sealing",
    "storage",
    "service",
    "metrics",
    "jobs",
    "http",
    "client",
    "cli",
    "console",
];

/// A source file: its path below `src/` without the extension, and its text.
#[derive(Debug)]
struct Source {
    name: String,
    whole: String,
}

impl Source {
    /// `bin/entente` is a module of its own, as is each folder; `lib` is not.
    fn module(&self) -> String {
        if self.name.starts_with("bin/") {
            return self.name.clone();
        }
        self.name.split('/').next().unwrap().to_owned()
    }

    fn is_in(&self, place: &str) -> bool {
        self.name == place || self.name.strip_prefix(place).is_some_and(|rest| rest.starts_with('/'))
    }

    /// Its lines without comments and without what is compiled for tests alone.
    fn lines(&self) -> Vec<(usize, &str)> {
        let (mut code, mut lines) = (Vec::new(), self.whole.lines().enumerate());
        while let Some((at, line)) = lines.next() {
            let trimmed = line.trim_start();
            if trimmed.starts_with("#[cfg(") && trimmed.contains("test") && !trimmed.contains("not(test") {
                let end = format!("{}}}", &line[..line.len() - trimmed.len()]);
                let mut item =
                    lines.by_ref().map(|(_, line)| line).skip_while(|line| line.trim_start().starts_with("#["));
                let first = item.next().unwrap_or_default();
                if !first.ends_with([';', ',', '}']) {
                    item.find(|line| line.starts_with(&end));
                }
            } else if !trimmed.starts_with("//") {
                code.push((at + 1, line.split(" // ").next().unwrap()));
            }
        }
        code
    }

    fn code(&self) -> String {
        self.lines().into_iter().map(|(_, line)| line).collect::<Vec<_>>().join("\n")
    }

    /// The modules of the library that it names, by `crate::` or, in a binary, by `entente::`.
    fn imports(&self) -> BTreeSet<String> {
        let code = self.code();
        let mut found = BTreeSet::new();
        for start in ["crate::", "entente::"] {
            for (at, _) in code.match_indices(start) {
                if !ends_a_path(&code[..at]) {
                    names_at(&code[at + start.len()..], &mut found);
                }
            }
        }
        found
    }

    /// Whether it names the crate, as a path or in an import.
    fn names_crate(&self, name: &str) -> bool {
        let code = self.code();
        code.match_indices(name).any(|(at, _)| {
            let before = &code[..at];
            let imported = before.ends_with("use ") && code[at + name.len()..].starts_with([';', ' ']);
            !ends_a_path(before) && (code[at + name.len()..].starts_with("::") || imported)
        })
    }
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

/// Whether what follows is a part of a longer word or path.
fn ends_a_path(before: &str) -> bool {
    before.ends_with("::") || before.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '"')
}

/// The first names of what follows `crate::`: one, or those directly inside braces.
fn names_at(rest: &str, found: &mut BTreeSet<String>) {
    match rest.strip_prefix('{') {
        None => found.extend([word(rest).to_owned()]),
        Some(group) => found.extend(items(group).into_iter().map(|item| word(item).to_owned())),
    }
}

/// The word that a text begins with.
fn word(text: &str) -> &str {
    &text[..text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())]
}

/// The parts of a group of imports, whose opening brace is read.
fn items(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0_usize, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' | ',' if depth == 0 => {
                found.extend(Some(group[start..at].trim()).filter(|item| !item.is_empty()));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    found
}

/// A module or an item, by the names that lead to it from the root of the library.
type ItemPath = Vec<String>;

/// Which modules of a folder import which others of it, by folder.
type Siblings = BTreeMap<String, BTreeSet<String>>;

/// What the modules of each folder import from each other: by `use`, or by a path in the code. A file and the folder of
/// its name are one module, and what a folder's `mod.rs` passes on counts as an import of the module that declares it.
fn imports_between_siblings(sources: &[Source]) -> BTreeMap<ItemPath, Siblings> {
    let sources = sources.iter().filter(|source| !source.name.starts_with("bin/"));
    let modules: BTreeMap<ItemPath, String> = sources
        .map(|source| {
            let name = source.name.strip_suffix("/mod").unwrap_or(&source.name);
            (name.split('/').map(str::to_owned).collect(), source.code())
        })
        .collect();
    let passed_on: BTreeMap<ItemPath, ItemPath> = modules
        .iter()
        .flat_map(|(module, code)| {
            let children = child_paths(module, code).into_iter();
            children
                .filter(|path| path.len() > module.len() + 1 && modules.contains_key(&path[..=module.len()]))
                .map(|path| ([module.as_slice(), &path[path.len() - 1..]].concat(), path))
        })
        .collect();
    let mut found: BTreeMap<ItemPath, Siblings> = BTreeMap::new();
    for (module, code) in &modules {
        for path in paths(module, code) {
            let declared = (0..=path.len()).find_map(|end| {
                let target = passed_on.get(&path[..end]).filter(|_| !modules.contains_key(&path[..end]))?;
                Some([target, &path[end..]].concat())
            });
            let path = declared.unwrap_or(path);
            let shared = module.iter().zip(&path).take_while(|(one, other)| one == other).count();
            if shared > 0 && module.len() > shared && modules.contains_key(&path[..path.len().min(shared + 1)]) {
                let siblings = found.entry(module[..shared].to_vec()).or_default();
                if path.len() > shared {
                    siblings.entry(module[shared].clone()).or_default().insert(path[shared].clone());
                }
            }
        }
    }
    found
}

/// Everything that the code names by a path from `crate`, `super` or `self`.
fn paths(module: &[String], code: &str) -> Vec<ItemPath> {
    let mut found = Vec::new();
    for (start, base) in [("crate::", &[][..]), ("self::", module), ("super::", &module[..module.len() - 1])] {
        for (at, _) in code.match_indices(start).filter(|(at, _)| !ends_a_path(&code[..*at])) {
            let (mut rest, mut base) = (&code[at + start.len()..], base);
            while let Some(further) = rest.strip_prefix("super::") {
                (rest, base) = (further, &base[..base.len() - 1]);
            }
            expand(rest, base, &mut found);
        }
    }
    found
}

/// What a module imports from its own children.
fn child_paths(module: &[String], code: &str) -> Vec<ItemPath> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("use ") {
        if code[..at].rsplit('\n').next().is_some_and(|before| before.is_empty() || before.starts_with("pub")) {
            let rest = &code[at + "use ".len()..];
            expand(rest.strip_prefix("self::").unwrap_or(rest), module, &mut found);
        }
    }
    found
}

/// The paths of an import, whose beginning is read.
fn expand(rest: &str, base: &[String], found: &mut Vec<ItemPath>) {
    if let Some(group) = rest.strip_prefix('{') {
        return items(group).into_iter().for_each(|item| expand(item, base, found));
    }
    let name = word(rest);
    let path = match name {
        "" | "self" => base.to_vec(),
        "super" => base[..base.len() - 1].to_vec(),
        _ => [base, &[name.to_owned()]].concat(),
    };
    match rest[name.len()..].strip_prefix("::") {
        Some(rest) => expand(rest, &path, found),
        None => found.push(path),
    }
}

/// The groups of modules that reach each other, from the smallest.
fn circles(imports: &Siblings) -> Vec<Vec<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        imports.keys().map(|name| (name, reached(imports, name))).collect();
    let mut found: BTreeSet<Vec<String>> = BTreeSet::new();
    for (name, further) in reached.iter().filter(|(name, further)| further.contains(*name)) {
        let back = |other: &&&String| reached.get(**other).is_some_and(|further| further.contains(name));
        found.insert(further.iter().filter(back).map(|other| (*other).clone()).collect());
    }
    let mut found: Vec<Vec<String>> = found.into_iter().collect();
    found.sort_by_key(Vec::len);
    found
}

fn reached<'a>(imports: &'a Siblings, start: &'a String) -> BTreeSet<&'a String> {
    let (mut found, mut open) = (BTreeSet::new(), vec![start]);
    while let Some(module) = open.pop() {
        open.extend(imports.get(module).into_iter().flatten().filter(|next| found.insert(*next)));
    }
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file under `src/`.
fn everything() -> Vec<Source> {
    let src = root().join("src");
    let found = files(&src, &["rs"], true).into_iter().map(|path| {
        let name = path.strip_prefix(&src).unwrap().with_extension("").display().to_string();
        Source { name, whole: fs::read_to_string(&path).unwrap() }
    });
    found.collect()
}

/// The files that the library and the binaries are made of, without those for tests alone: what `mod` declarations reach.
fn production() -> Vec<Source> {
    let all: BTreeMap<String, Source> = everything().into_iter().map(|source| (source.name.clone(), source)).collect();
    let mut reached: BTreeSet<String> = all.keys().filter(|name| name.starts_with("bin/")).cloned().collect();
    let mut ways = vec!["lib".to_owned()];
    while let Some(name) = ways.pop() {
        let source = all.get(&name).unwrap_or_else(|| panic!("`{name}` is declared and not there"));
        let folder = match name.rsplit_once('/') {
            _ if name == "lib" => String::new(),
            Some((folder, "mod")) => format!("{folder}/"),
            _ => format!("{name}/"),
        };
        for (_, line) in source.lines() {
            let declared = line.split_once("mod ").filter(|(before, _)| before.is_empty() || before.starts_with("pub"));
            if let Some(child) = declared.and_then(|(_, rest)| rest.strip_suffix(';')) {
                let beside = format!("{folder}{child}");
                ways.push(if all.contains_key(&beside) { beside } else { format!("{folder}{child}/mod") });
            }
        }
        if name != "lib" {
            reached.insert(name);
        }
    }
    all.into_iter().filter(|(name, _)| reached.contains(name)).map(|(_, source)| source).collect()
}

fn files(folder: &Path, extensions: &[&str], deep: bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if deep {
                found.extend(files(&path, extensions, deep));
            }
        } else if path.extension().is_some_and(|extension| extensions.iter().any(|wanted| extension == *wanted)) {
            found.push(path);
        }
    }
    found.sort();
    found
}
