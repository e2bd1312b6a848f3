//! What is generated from the code and kept in the repository is what the code says now; and what the pages for people point
//! to is there.

use entente::{
    http::{api, problem, statements},
    wire::problem::Kind,
};
use std::{fs, path::Path};

#[test]
fn openapi_description_is_what_the_code_says() {
    same("docs/openapi.json", &api::openapi_json(), "openapi");
}

#[test]
fn catalogue_of_problems_is_what_the_code_says() {
    same("docs/problems.md", &problem::catalogue(), "problems");
}

#[test]
fn page_of_statements_is_what_the_code_says() {
    same("docs/statements.md", &statements::page(), "statements");
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut faults = Vec::new();
    for page in pages(
        root(),
        &[
            "docs",
            "docs/adr",
            "certs-dev",
            "examples/documents",
            "examples/python",
            "examples/typescript",
            "policies",
            ".",
        ],
    ) {
        let text = fs::read_to_string(&page).unwrap();
        for (_, rest) in text.match_indices("](").map(|(at, sign)| text.split_at(at + sign.len())) {
            let target = rest.split([')', '#']).next().unwrap();
            let is_ours = !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:");
            if is_ours && !page.parent().unwrap().join(target).exists() {
                faults.push(format!("{}: `{target}` is not there", page.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Paths that pages name although they are not there, and why.
const NOT_THERE: &[(&str, &str)] = &[("src/tlog/", "the guide says where a Merkle log would be")];

#[test]
fn files_that_pages_name_are_there() {
    let (mut faults, mut unnamed) = (Vec::new(), NOT_THERE.to_vec());
    // Decisions say where things were, or would be.
    for page in pages(root(), &["docs", "."]) {
        let text = fs::read_to_string(&page).unwrap();
        for word in text.split('`').skip(1).step_by(2) {
            let is_path = ["src/", "tests/", "benches/", "fuzz/", "examples/", "packaging/", "scripts/", "policies/"]
                .iter()
                .any(|folder| word.starts_with(folder));
            let is_plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
            if is_path && is_plain && !root().join(word).exists() {
                if NOT_THERE.iter().any(|(path, _)| *path == word) {
                    unnamed.retain(|(path, _)| *path != word);
                } else {
                    faults.push(format!("{}: `{word}` is not there", page.display()));
                }
            }
        }
    }
    faults.extend(
        unnamed.iter().map(|(path, _)| format!("`{path}` needs no exception: it is there, or no page names it")),
    );
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn problems_that_pages_name_are_in_the_catalogue() {
    for page in pages(root(), &["docs", "docs/adr", "."]) {
        let text = fs::read_to_string(&page).unwrap();
        for (at, sign) in text.match_indices("urn:entente:problem:") {
            let slug: String =
                text[at + sign.len()..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
            let known = slug.is_empty() || Kind::ALL.iter().any(|kind| kind.slug() == slug);
            assert!(known, "{}: there is no problem `{slug}`", page.display());
        }
    }
}

fn same(file: &str, generated: &str, command: &str) {
    let kept = fs::read_to_string(root().join(file)).unwrap_or_default();
    let line = kept.lines().zip(generated.lines()).position(|(kept, generated)| kept != generated);
    assert!(
        kept == generated,
        "`{file}` differs from line {}; run: cargo run --bin entente-server -- {command} > {file}",
        line.unwrap_or_else(|| kept.lines().count().min(generated.lines().count())) + 1
    );
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages(root: &Path, folders: &[&str]) -> Vec<std::path::PathBuf> {
    let entries = folders.iter().flat_map(|folder| fs::read_dir(root.join(folder)).into_iter().flatten());
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}
