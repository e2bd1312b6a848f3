//! Reads the sources as text: which files there are, what of them is compiled, and what they import. Knows no rule.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// A source file: its path below `src/` without the extension, and its text.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) whole: String,
}

impl Source {
    /// `bin/entente` is a module of its own, as is each folder; `lib` is not.
    pub(super) fn module(&self) -> String {
        if self.name.starts_with("bin/") {
            return self.name.clone();
        }
        self.name.split('/').next().unwrap().to_owned()
    }

    pub(super) fn is_in(&self, place: &str) -> bool {
        self.name == place || self.name.strip_prefix(place).is_some_and(|rest| rest.starts_with('/'))
    }

    /// Its lines without comments and without what is compiled for tests alone.
    pub(super) fn lines(&self) -> Vec<(usize, &str)> {
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

    pub(super) fn code(&self) -> String {
        self.lines().into_iter().map(|(_, line)| line).collect::<Vec<_>>().join("\n")
    }

    /// The modules of the library that it names, by `crate::` or, in a binary, by `entente::`.
    pub(super) fn imports(&self) -> BTreeSet<String> {
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
    pub(super) fn names_crate(&self, name: &str) -> bool {
        let code = self.code();
        code.match_indices(name).any(|(at, _)| {
            let before = &code[..at];
            let imported = before.ends_with("use ") && code[at + name.len()..].starts_with([';', ' ']);
            !ends_a_path(before) && (code[at + name.len()..].starts_with("::") || imported)
        })
    }
}

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file under `src/`.
pub(super) fn everything() -> Vec<Source> {
    let src = root().join("src");
    let found = files(&src, &["rs"], true).into_iter().map(|path| {
        let name = path.strip_prefix(&src).unwrap().with_extension("").display().to_string();
        Source { name, whole: fs::read_to_string(&path).unwrap() }
    });
    found.collect()
}

/// The files that the library and the binaries are made of, without those for tests alone: what `mod` declarations reach.
pub(super) fn production() -> Vec<Source> {
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

pub(super) fn files(folder: &Path, extensions: &[&str], deep: bool) -> Vec<PathBuf> {
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

/// Whether what follows is a part of a longer word or path.
pub(super) fn ends_a_path(before: &str) -> bool {
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
pub(super) fn word(text: &str) -> &str {
    &text[..text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())]
}

/// The parts of a group of imports, whose opening brace is read.
pub(super) fn items(group: &str) -> Vec<&str> {
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
