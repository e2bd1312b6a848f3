//! Alerts, dashboard and documentation speak of figures that there are, each alert says what to do, and the unit of the server keeps its
//! data to itself.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

#[cfg(feature = "client")]
mod series;

#[test]
fn every_alert_names_figures_that_there_are_and_has_its_entry_in_the_runbook() {
    let rules = read("examples/prometheus/entente-alerts.yml");
    let operations = read("docs/operations.md");
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let expressions: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).collect();
    assert!(!alerts.is_empty() && alerts.len() == expressions.len());
    assert_eq!(alerts.iter().collect::<BTreeSet<_>>().len(), alerts.len(), "an alert has its name for itself");
    for (alert, expression) in alerts.iter().zip(&expressions) {
        assert!(operations.contains(&format!("### {alert}\n")), "no entry for {alert} in docs/operations.md");
        let named = named(expression);
        assert!(!named.is_empty() || expression.starts_with("up{"), "{alert} asks for no figure of ours");
        assert_there(&named, alert);
    }
    // An age reported by the server would freeze together with its job; computed from the instant of the last success it grows by itself.
    let backup = alerts.iter().position(|alert| *alert == "EntenteBackupOld").unwrap();
    assert_eq!(expressions[backup], "time() - entente_backup_completed_timestamp_seconds > 129600");
    for line in operations.lines().filter_map(|line| line.strip_prefix("### Entente")) {
        assert!(
            alerts.contains(&format!("Entente{line}").as_str()),
            "the runbook has an entry for no alert: Entente{line}"
        );
    }
}

#[test]
fn dashboard_and_documentation_name_figures_that_there_are() {
    let dashboard: serde_json::Value = serde_json::from_str(&read("examples/grafana/entente.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(!panels.is_empty());
    for panel in panels {
        let targets = panel["targets"].as_array().unwrap();
        for expression in targets.iter().map(|target| target["expr"].as_str().unwrap()) {
            let named = named(expression);
            assert!(!named.is_empty(), "{expression}");
            assert_there(&named, &panel["title"].to_string());
        }
    }
    for document in ["docs/operations.md", "docs/policies.md", "SECURITY.md", "README.md"] {
        assert_there(&named(&read(document)), document);
    }
}

#[test]
fn unit_of_the_server_keeps_its_data_to_itself() {
    let unit = read("examples/systemd/entente-server.service");
    for setting in [
        "StateDirectoryMode=0700",
        "UMask=0077",
        "LimitNOFILE=65536",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "CapabilityBoundingSet=",
        "MemoryDenyWriteExecute=yes",
        "ExecReload=/bin/kill -HUP $MAINPID",
    ] {
        assert!(unit.lines().any(|line| line == setting), "{setting}");
    }
}

/// The service manager opens to the unit only what is there before it starts.
#[test]
fn folder_that_the_unit_of_backups_writes_to_is_made_by_its_instructions() {
    let unit = read("examples/systemd/entente-backup.service");
    let open = unit.lines().find_map(|line| line.strip_prefix("ReadWritePaths=")).unwrap();
    let own =
        open.split(' ').find(|path| path.starts_with("/backup")).expect("one that must be there: no `-` before it");
    let command = format!("install -d -o entente -g entente -m 0700 {own}");
    assert!(unit.lines().any(|line| line == format!("#   {command}")), "{command}");
    assert!(read("docs/operations.md").lines().any(|line| line == format!("    {command}")), "{command}");
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn assert_there(named: &BTreeSet<String>, place: &str) {
    let there = figures();
    for name in named {
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|ending| name.strip_suffix(ending));
        assert!(
            there.contains(name) || of_histogram.is_some_and(|name| there.contains(name)),
            "{place}: no figure `{name}`"
        );
    }
}

/// The names of figures in a text.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
    let ours = |word: &&str| word.starts_with("entente_") || word.starts_with("process_");
    words.filter(ours).map(str::to_owned).collect()
}

/// The figures of the program: constants that hold a name.
fn figures() -> BTreeSet<String> {
    let (mut found, mut folders) = (BTreeSet::new(), vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")]);
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(path).unwrap();
                let constants = text.lines().filter_map(|line| line.split_once(": &str = \"")?.1.strip_suffix("\";"));
                found.extend(constants.filter(|name| named(name).contains(*name)).map(str::to_owned));
            }
        }
    }
    assert!(found.len() > 30, "{found:?}");
    found
}
