//! Items of the code that pages name are there.

use super::source::{Source, everything, files, root};
use std::fs;

/// Whether a text declares an item of this name.
fn declares(text: &str, item: &str) -> bool {
    ["fn ", "struct ", "enum ", "trait ", "type ", "const ", "static ", "mod "].iter().any(|keyword| {
        text.match_indices(&format!("{keyword}{item}")).any(|(at, found)| {
            let ends = text[at + found.len()..].chars().next().is_none_or(|c| !c.is_alphanumeric() && c != '_');
            ends && !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
        })
    })
}

/// Whether a file is a module of this path, or below one: `policy::caches` is `policy/caches.rs`.
fn is_below(source: &Source, path: &[&str]) -> bool {
    let place: Vec<&str> = source.name.split('/').filter(|part| *part != "mod").collect();
    path.is_empty() || place.windows(path.len()).any(|part| part == path)
}

/// Whether there is such an item: a module's, or what belongs to a type.
fn exists(sources: &[Source], name: &str) -> bool {
    let mut path: Vec<&str> = name.split("::").filter(|part| *part != "entente").collect();
    let item = path.pop().unwrap_or_default();
    let owner = path.pop_if(|part| part.starts_with(|c: char| c.is_uppercase()));
    let mut below = sources.iter().filter(|source| is_below(source, &path));
    match owner {
        Some(owner) => {
            let texts: Vec<&str> = below.map(|source| source.whole.as_str()).collect();
            let is_declared = texts.iter().any(|text| declares(text, owner));
            // Methods and variants: the latter are not declared by a word.
            is_declared && texts.iter().any(|text| text.contains(owner) && text.contains(item))
        }
        None => below.any(|source| declares(&source.whole, item) || source.name.ends_with(&format!("/{item}"))),
    }
}

#[test]
fn items_that_pages_name_are_there() {
    let mut sources = everything();
    for path in files(&root().join("tests"), &["rs"], true) {
        let name = path.strip_prefix(root()).unwrap().with_extension("").display().to_string();
        sources.push(Source { name, whole: fs::read_to_string(&path).unwrap() });
    }
    let (mut faults, mut count) = (Vec::new(), 0);
    for path in [files(&root().join("docs"), &["md"], true), files(root(), &["md"], false)].concat() {
        let page = fs::read_to_string(&path).unwrap();
        for (number, line) in page.lines().enumerate() {
            for name in line.split('`').skip(1).step_by(2) {
                let name = name.split('(').next().unwrap_or_default();
                let is_path = name.contains("::") && name.chars().all(|c| c.is_alphanumeric() || "_:".contains(c));
                count += usize::from(is_path);
                if is_path && !exists(&sources, name) {
                    faults.push(format!("{}:{}: there is no `{name}`", path.display(), number + 1));
                }
            }
        }
    }
    assert!(count > 100, "only {count} names were found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
