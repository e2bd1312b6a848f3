//! The commands that pages and units show are commands: their words are parsed as the programs parse them.

use clap::Parser as _;
use entente::{cli::Cli, http::arguments::Arguments};
use std::{fs, path::Path};

/// A command as somebody is shown it: the name of its program first.
type Words = Vec<String>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A line that goes on in the next one is one line.
fn joined(text: &str) -> String {
    let (mut joined, mut goes_on) = (String::new(), false);
    for line in text.lines() {
        let line = if goes_on { line.trim_start() } else { line };
        goes_on = line.ends_with('\\');
        joined.push_str(line.trim_end_matches('\\').trim_end());
        joined.push(if goes_on { ' ' } else { '\n' });
    }
    joined
}

/// The files of a folder that end so, with their texts.
fn texts(folder: &str, extension: &str) -> Vec<(String, String)> {
    let paths = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let paths = paths.filter(|path| path.extension().is_some_and(|found| found == extension));
    paths.map(|path| (path.display().to_string(), joined(&fs::read_to_string(&path).unwrap()))).collect()
}

/// The words of a line, those in quotes in one piece.
fn split(line: &str) -> Words {
    let quoted = |(at, part): (usize, &str)| match at % 2 {
        0 => part.split_whitespace().map(str::to_owned).collect(),
        _ => vec![part.to_owned()],
    };
    line.split('\'').enumerate().flat_map(quoted).collect()
}

/// The command of ours in a line of shell, if it has one: also behind `sudo -u NAME` and `kubectl … --`.
fn command(line: &str) -> Option<Words> {
    // Identifiers and digests are shortened for the eye.
    let line = line.replace("_01…", "_01J9ZQ4N6M8V7X5T3R2P1K0HGF").replace("3f9a…", &"3f9a".repeat(16));
    let mut words = split(&line);
    let start = match words.first()?.as_str() {
        "sudo" => 3,
        "kubectl" => words.iter().position(|word| word == "--")? + 1,
        _ => 0,
    };
    let mut words = words.split_off(start.min(words.len()));
    let program = words.first_mut()?;
    *program = program.trim_start_matches("/usr/bin/").to_owned();
    if !["entente", "entente-server"].contains(&program.as_str()) || words.len() == 1 {
        return None;
    }
    if let Some(end) = words.iter().position(|word| [">", "<", "|", "&&"].contains(&word.as_str())) {
        words.truncate(end);
    }
    Some(words)
}

/// The commands of a page: in blocks, without what is said beside them.
fn of_page(page: &str) -> Vec<Words> {
    let (mut is_block, mut found) = (false, Vec::new());
    for line in page.lines() {
        is_block ^= line.starts_with("```");
        let indented = line.strip_prefix("    ").filter(|rest| !rest.starts_with(' '));
        if let Some(line) = if is_block { Some(line) } else { indented } {
            let line = line.split("    #").next().unwrap_or_default();
            found.extend(command(line.split("   ").next().unwrap_or_default()));
        }
    }
    found
}

/// The commands that a unit of systemd starts, also by a shell.
fn of_unit(unit: &str) -> Vec<Words> {
    let started = unit.lines().filter_map(|line| line.strip_prefix("ExecStart="));
    let parts = started.flat_map(|line| line.split([';', '\'']));
    parts.filter_map(|part| command(part.trim().trim_start_matches("then "))).collect()
}

fn check(place: &str, words: &Words) {
    let parsed = match words[0].as_str() {
        "entente" => Cli::try_parse_from(words).map(drop),
        _ => Arguments::try_parse_from(words).map(drop),
    };
    parsed.unwrap_or_else(|error| panic!("{place}: `{}`: {error}", words.join(" ")));
}

#[test]
fn commands_that_pages_show_are_commands() {
    let (mut of_client, mut of_server) = (0, 0);
    for (place, page) in [texts(".", "md"), texts("docs", "md"), texts("certs-dev", "md")].concat() {
        for words in of_page(&page) {
            check(&place, &words);
            *(if words[0] == "entente" { &mut of_client } else { &mut of_server }) += 1;
        }
    }
    assert!(of_client > 90 && of_server > 20, "only {of_client} and {of_server} commands were found");
}

#[test]
fn commands_that_units_start_are_commands() {
    for (place, unit) in texts("examples/systemd", "service") {
        let found = of_unit(&unit);
        assert!(!found.is_empty(), "{place} starts nothing of ours");
        for words in &found {
            check(&place, words);
        }
    }
}

#[test]
fn reader_of_pages_finds_commands() {
    let page = "Text: entente no-command.\n\n    entente me          # who\n    sudo -u entente entente-server --check\n    \
                install -o entente x\n\n```sh\nentente policy show 'A B' > x\n```\n";
    let found = [&["entente", "me"][..], &["entente-server", "--check"], &["entente", "policy", "show", "A B"]];
    assert_eq!(of_page(page), found);
    let unit = "ExecStart=/bin/sh -eu -c 'a=b; entente --quiet me; if [ x ]; then entente todo; fi'\n";
    assert_eq!(of_unit(unit), [&["entente", "--quiet", "me"][..], &["entente", "todo"]]);
}
