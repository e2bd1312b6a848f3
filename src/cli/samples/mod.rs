//! Every table that a command prints, as a terminal of eighty columns shows it: made from the data here, by the functions that print it.
//!
//! `tests/golden/tables.txt` keeps them for those who review what users read. `ENTENTE_BLESS=1` writes it again; read each changed
//! line as a program officer would. A table without a sample here fails a test.

mod calls;
mod judging;
mod log;
mod people;
mod policies;
mod proposals;
mod submitting;

use super::{
    Cli,
    output::{Screen, ShownTables},
    time::Zone,
};
use crate::domain::id::{CallId, ProgramId, ProposalId, ReviewId, VaultId};
use clap::CommandFactory;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};
use unicode_width::UnicodeWidthStr;

/// The terminal's width.
const WIDTH: usize = 80;
/// A wide one, on which every column stands beside the others.
const WIDE: usize = 200;

const PROGRAM: &str = "prog_01J9ZQ4N6M8V7X5T3R2P1K0HGF";
const CALL: &str = "call_01J9ZQ4N6M8V7X5T3R2P1K0HGF";
const PROPOSAL: &str = "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF";
const REFERENCE: &str = "BIRD26-48179";
const OTHER: &str = "prop_01J9ZR8C2D4E6F8G0H2J4K6M8N";
const THIRD: &str = "prop_01J9ZS1T3V5W7X9Y1Z3A5B7C9D";
const VAULT: &str = "vault_01J9ZQ4N6M8V7X5T3R2P1K0HGF";
const DIGEST: &str = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
const OTHER_DIGEST: &str = "fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9";
const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

/// What people call each of these proposals.
fn reference_of(proposal: &str) -> &'static str {
    match proposal {
        PROPOSAL => REFERENCE,
        OTHER => "BIRD26-09268",
        _ => "BIRD26-77534",
    }
}

/// What the screens show, and where in the sources their tables are made.
#[derive(Debug, Default)]
struct Pages {
    width: usize,
    text: String,
    /// As CSV, which has no width.
    csv: String,
    made_at: BTreeSet<(&'static str, u32)>,
    /// The tables as a pipe has them, and those that the terminal has no room for.
    tables: Vec<String>,
    cramped: Vec<String>,
    /// The commands that showed a table.
    tabular: BTreeSet<String>,
}

impl Pages {
    /// What `command` shows.
    fn show(&mut self, command: &str, show: impl FnOnce(&mut Screen)) {
        let (text, shown) = Screen::shown_at(self.width, show);
        write!(self.text, "$ entente {command}\n\n{}\n\n\n", text.trim_end()).unwrap();
        self.note(command, shown);
    }

    /// What `--csv` has `command` print, on a terminal that shows it as it is.
    fn show_csv(&mut self, command: &str, show: impl FnOnce(&mut Screen)) {
        let (text, shown) = Screen::shown_as_csv(show);
        write!(self.csv, "$ entente --csv {command}\n\n{}\n\n", text.replace("\r\n", "\n")).unwrap();
        self.note(command, shown);
    }

    fn note(&mut self, command: &str, ShownTables { made_at, tables, cramped }: ShownTables) {
        if !made_at.is_empty() {
            self.tabular.insert(command.to_owned());
        }
        self.made_at.extend(made_at);
        self.tables.extend(tables);
        self.cramped.extend(cramped);
    }
}

fn all() -> Pages {
    all_at(WIDTH)
}

fn all_at(width: usize) -> Pages {
    let mut pages = Pages { width, ..Pages::default() };
    people::show(&mut pages);
    policies::show(&mut pages);
    calls::show(&mut pages);
    proposals::show(&mut pages);
    submitting::show(&mut pages);
    judging::show(&mut pages);
    log::show(&mut pages);
    pages
}

/// A value of the API or of a statement, as it travels.
fn of<T: DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).unwrap()
}

fn read<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn zone() -> Zone {
    Zone::named("Asia/Jerusalem").unwrap()
}

/// The instant at which everything is shown.
fn now() -> Timestamp {
    read("2026-03-02T09:30:00Z")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn tables_of_every_command() {
    let Pages { text, csv, .. } = all();
    let text = text + &csv;
    let path = root().join("tests/golden/tables.txt");
    if std::env::var_os("ENTENTE_BLESS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let first = kept.lines().zip(text.lines()).find(|(kept, now)| kept != now);
    assert!(kept == text, "tables.txt differs, first in {first:?}; if it should, run with ENTENTE_BLESS=1");
}

#[test]
fn what_has_a_reference_or_a_name_is_shown_without_its_identifier() {
    let Pages { text, csv, .. } = all();
    let prefixes = [ProgramId::PREFIX, CallId::PREFIX, ProposalId::PREFIX, ReviewId::PREFIX, VaultId::PREFIX];
    let lines = text.lines().chain(csv.lines());
    let with: Vec<&str> = lines.filter(|line| prefixes.iter().any(|prefix| line.contains(prefix))).collect();
    assert!(with.is_empty(), "show identifiers with `screen.named` or `screen.id`: {with:#?}");
}

#[test]
fn tables_fit_a_terminal_of_eighty_columns() {
    let Pages { text, .. } = all();
    let wide: Vec<&str> = text.lines().filter(|line| line.width() > WIDTH).collect();
    assert!(wide.is_empty(), "{wide:#?}");
}

#[test]
fn wide_terminal_has_a_line_for_each_row_and_only_titles_can_be_cut() {
    let Pages { cramped, .. } = all_at(WIDE);
    assert!(cramped.is_empty(), "{}", cramped.join("\n\n"));
}

#[test]
fn commands_that_show_a_table_take_it_as_csv() {
    let words = |command: &str| -> String {
        let is_word = |word: &&str| word.starts_with(|c: char| c.is_ascii_lowercase());
        command.split(' ').take_while(is_word).collect::<Vec<_>>().join(" ")
    };
    let takes = super::tabular::commands();
    let is_known = |command: &String| {
        takes.iter().any(|known| words(command) == *known || words(command).starts_with(&format!("{known} ")))
    };
    let missing: Vec<_> = all().tabular.into_iter().filter(|command| !is_known(command)).collect();
    assert!(missing.is_empty(), "name them in `src/cli/tabular.rs`: {missing:?}");
    for command in takes {
        let mut found = &Cli::command();
        for word in command.split(' ') {
            found = found.find_subcommand(word).unwrap_or_else(|| panic!("there is no `entente {command}`"));
        }
        assert!(!found.has_subcommands(), "{command}");
    }
}

#[test]
fn times_in_tables_are_in_one_zone_and_in_utc_for_programs() {
    let mixed: Vec<_> = all().tables.into_iter().filter(|table| table.contains(" UTC")).collect();
    assert!(mixed.is_empty(), "make the cells by `Zone::cell`: {}", mixed.join("\n\n"));
}

#[test]
fn every_table_has_a_sample() {
    let mut folders = vec![root().join("src/cli")];
    let mut made = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if !(path.ends_with("table.rs") || path.ends_with("mod.rs") || path.ends_with("tests.rs")) {
                made.extend(tables_in(&path));
            }
        }
    }
    assert!(made.len() > 30, "{made:?}");
    let shown: BTreeSet<(PathBuf, u32)> =
        all().made_at.into_iter().map(|(file, line)| (PathBuf::from(file), line)).collect();
    let missing: Vec<_> = made.difference(&shown).collect();
    assert!(missing.is_empty(), "show them in `src/cli/samples`: {missing:#?}");
}

/// The lines of a source in which tables are made.
fn tables_in(path: &Path) -> Vec<(PathBuf, u32)> {
    let name = path.strip_prefix(root()).unwrap();
    let text = fs::read_to_string(path).unwrap();
    let lines = (1..).zip(text.lines()).filter(|(_, line)| line.contains("Table::new("));
    lines.map(|(at, _)| (name.to_owned(), at)).collect()
}
