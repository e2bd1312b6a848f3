//! Files of one folder form no circle of imports. The folder's `mod.rs` stands above its files: it may hold what all of them take, and name
//! them.

use super::source::{Source, ends_a_path, items, production, word};
use std::collections::{BTreeMap, BTreeSet};

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
