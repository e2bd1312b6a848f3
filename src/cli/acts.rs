//! Every command that does something, with whom it affects, what takes it back, when it asks and how one looks ahead: a new command does not
//! come without a decision about each.

use super::Cli;
use clap::{Command, CommandFactory};
use std::collections::{BTreeMap, BTreeSet};

/// Whom a command affects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Affects {
    /// Files and records of one's own, or what nobody else goes by.
    Oneself,
    Others,
}
use Affects::{Oneself, Others};

/// The look ahead that the command itself offers.
const DRY_RUN: &str = "--dry-run";

/// The command; whom it affects; what takes it back, or nothing; when it asks, or never; how one looks ahead.
type Act = (&'static str, Affects, &'static str, &'static str, &'static str);

const ACTS: &[Act] = &[
    ("keys new", Oneself, "removing the file", "", ""),
    ("profile add", Oneself, "profile remove", "", ""),
    ("profile use", Oneself, "profile use", "", ""),
    ("profile remove", Oneself, "profile add: the files stay", "", ""),
    ("join", Oneself, "join --again: nothing counts before the registrar approves it", "", ""),
    ("unlock", Oneself, "lock", "", ""),
    ("lock", Oneself, "unlock", "", ""),
    ("console", Oneself, "ending it: what is done in its pages asks there", "", ""),
    ("trust add", Oneself, "trust remove", "", ""),
    ("trust fetch", Oneself, "trust remove", "", ""),
    ("trust export", Oneself, "removing the file", "", ""),
    ("trust import", Oneself, "trust remove", "which cards it pins", ""),
    ("trust remove", Oneself, "trust fetch", "", ""),
    ("partner card key", Oneself, "removing the files", "", ""),
    ("partner card new", Oneself, "removing the file: nothing counts before the host enrols it", "", ""),
    ("partner card renew", Oneself, "removing the file: nothing counts before the host enrols it", "always", DRY_RUN),
    (
        "member invite",
        Others,
        "nothing counts before `member approve`",
        "an organisation that is nearly another",
        DRY_RUN,
    ),
    ("member approve", Others, "key-card revoke", "always", DRY_RUN),
    ("member replace", Others, "nothing counts before `member approve`", "", DRY_RUN),
    ("member move", Others, "member move", "others go by the card at once", DRY_RUN),
    ("member renew", Oneself, "member renew --again: nothing counts before `member approve`", "", DRY_RUN),
    ("key-card issue", Others, "key-card issue", "an organisation that is nearly another", DRY_RUN),
    ("key-card revoke", Others, "", "always", DRY_RUN),
    ("policy propose", Others, "policy withdraw", "", DRY_RUN),
    ("policy approve", Others, "", "always: what is read because of it stays read", DRY_RUN),
    ("policy withdraw", Others, "policy restore", "", DRY_RUN),
    ("policy restore", Others, "policy withdraw", "", DRY_RUN),
    ("program create", Others, "", "always: nobody deletes one", DRY_RUN),
    ("call draft", Oneself, "call delete: only officers see a draft", "", ""),
    ("call edit", Oneself, "call edit: only officers see a draft", "", ""),
    ("call publish", Others, "", "always: it stays published", DRY_RUN),
    ("call amend", Others, "call amend", "when it voids what was handed in", DRY_RUN),
    ("call extend", Others, "call withdraw-extension, with 72 hours left", "always", DRY_RUN),
    ("call withdraw-extension", Others, "call extend", "", DRY_RUN),
    ("call cancel", Others, "call reopen", "others go by it at once", DRY_RUN),
    ("call close", Others, "call reopen", "nothing else is done from then on", DRY_RUN),
    ("call reopen", Others, "call cancel; call close", "", DRY_RUN),
    ("call delete", Others, "", "always", DRY_RUN),
    ("call role add", Others, "call role remove", "", DRY_RUN),
    ("call role remove", Others, "call role add", "when a nation loses its last officer or decider", DRY_RUN),
    ("call role set", Others, "call role set", "when a nation loses its last officer or decider", DRY_RUN),
    ("proposal create", Others, "proposal withdraw", "", DRY_RUN),
    (
        "proposal summary",
        Others,
        "proposal summary",
        "",
        "nothing counts before `proposal sign`, which shows all of it",
    ),
    ("proposal put", Others, "proposal put", "", "nothing counts before `proposal sign`, which shows all of it"),
    ("proposal remove", Others, "proposal put", "", "nothing counts before `proposal sign`, which shows all of it"),
    ("proposal resume", Oneself, "proposal put", "", "proposal resume --list"),
    ("proposal sign", Others, "a newer version, until the deadline", "at a terminal", DRY_RUN),
    ("proposal label", Others, "another label; what was read stays read", "always", DRY_RUN),
    (
        "proposal withdraw",
        Others,
        "proposal reinstate, until the deadline",
        "always: the deadline is as shown",
        DRY_RUN,
    ),
    ("proposal reinstate", Others, "proposal withdraw", "", DRY_RUN),
    ("proposal accept", Others, "proposal member remove, by oneself", "", DRY_RUN),
    ("proposal decline", Others, "", "always: somebody else has to ask again", DRY_RUN),
    ("proposal member invite", Others, "proposal member remove", "", DRY_RUN),
    ("proposal member consent", Others, "proposal member consent --withdraw, until they join", "", DRY_RUN),
    ("proposal member remove", Others, "proposal member invite", "when one takes oneself out", DRY_RUN),
    ("proposal hand-over", Others, "proposal member remove, until one is out", "when it takes oneself out", DRY_RUN),
    ("conflict declare", Others, "conflict lift, by an officer of another nation", "a conflict", DRY_RUN),
    ("conflict sheet", Others, "conflict lift, by an officer of another nation", "always, once for all", DRY_RUN),
    ("conflict lift", Others, "conflict declare, by the member", "", DRY_RUN),
    ("assignment add", Others, "assignment remove", "", DRY_RUN),
    ("assignment load", Others, "assignment remove", "when something is new in it", DRY_RUN),
    ("assignment remove", Others, "assignment add", "", DRY_RUN),
    ("assignment decline", Others, "assignment decline --withdraw, until somebody else is assigned", "", DRY_RUN),
    ("key share", Others, "the key agent removes keys of members whom policy no longer admits", "", DRY_RUN),
    ("key check", Oneself, "key share, by somebody who holds the key", "", "without options it only tries them"),
    ("agent run", Others, "the same: it does what `key share` does, by policy alone", "", "key missing"),
    ("relay run", Others, "a service: it says one sentence that names nothing", "", DRY_RUN),
    ("review draft", Oneself, "review draft", "when it is thrown away", ""),
    ("review form", Oneself, "review draft; newer drafts stay, unless they are to be replaced", "", ""),
    ("review submit", Others, "review reopen, by an officer", "always", DRY_RUN),
    ("review reopen", Others, "review reinstate", "", DRY_RUN),
    ("review reinstate", Others, "review reopen", "", DRY_RUN),
    ("ranking send", Others, "ranking withdraw", "always: who decides opens it at once", DRY_RUN),
    ("ranking withdraw", Others, "ranking send", "", DRY_RUN),
    ("ranking note", Oneself, "ranking note --remove", "", ""),
    ("decision sign", Others, "decision unsign, until it is final", "always: who else signed is as shown", DRY_RUN),
    ("decision unsign", Others, "decision sign", "", DRY_RUN),
    ("letter send", Others, "", "always: who it is for can open it at once", DRY_RUN),
    ("letter withdraw", Others, "letter send", "", DRY_RUN),
    ("api", Others, "the route's own inverse, for those who write programs", "", "the route's own dry run or preview"),
    ("demo", Oneself, "it is an exchange of its own", "", ""),
    ("dev-pki", Oneself, "removing the files", "", ""),
];

/// Commands that show something, or write a file of what they show.
const READS: &[&str] = &[
    "keys show",
    "profile list",
    "profile show",
    "trust list",
    "trust show",
    "me",
    "todo",
    "partner list",
    "partner show",
    "partner status",
    "partner card show",
    "member list",
    "member show",
    "member preview",
    "member refusals",
    "policy check",
    "policy test",
    "policy example",
    "policy world",
    "policy list",
    "policy show",
    "policy history",
    "policy preview",
    "policy summary",
    "policy explain",
    "policy who",
    "policy visibility",
    "policy diff",
    "policy visibility-diff",
    "program list",
    "program show",
    "call new",
    "call list",
    "call show",
    "call print",
    "call role list",
    "call progress",
    "call chase",
    "proposal status",
    "proposal check",
    "proposal compare",
    "proposal receipt",
    "proposal list",
    "proposal open",
    "proposal verify",
    "assignment list",
    "assignment suggest",
    "key missing",
    "review drafts",
    "review show",
    "review list",
    "review open",
    "ranking show",
    "decision show",
    "decision sheet",
    "letter example",
    "letter list",
    "letter open",
    "log",
    "dossier",
    "verify receipt",
    "verify dossier",
    "open",
    "completions",
];

/// Each command without commands beneath it, by its name.
fn leaves(command: &Command, path: &str, found: &mut BTreeMap<String, Command>) {
    for sub in command.get_subcommands() {
        let path = format!("{path} {}", sub.get_name()).trim().to_owned();
        if sub.has_subcommands() {
            leaves(sub, &path, found);
        } else {
            found.insert(path, sub.clone());
        }
    }
}

fn takes(command: &Command, option: &str) -> bool {
    command.get_arguments().any(|argument| argument.get_long() == Some(option))
}

#[test]
fn every_command_is_known_to_act_or_to_read() {
    let mut found = BTreeMap::new();
    leaves(&Cli::command(), "", &mut found);
    let decided: BTreeSet<&str> = ACTS.iter().map(|act| act.0).chain(READS.iter().copied()).collect();
    assert_eq!(decided.len(), ACTS.len() + READS.len(), "a command is in both lists, or has two lines");
    let is: BTreeSet<&str> = found.keys().map(String::as_str).collect();
    let undecided: Vec<_> = is.difference(&decided).collect();
    assert!(undecided.is_empty(), "whom do they affect, what takes them back, do they ask? {undecided:?}");
    let gone: Vec<_> = decided.difference(&is).collect();
    assert!(gone.is_empty(), "there are no such commands: {gone:?}");
    for read in READS {
        assert!(!takes(&found[*read], "yes") && !takes(&found[*read], "dry-run"), "`{read}` is said only to read");
    }
}

#[test]
fn commands_ask_and_look_ahead_as_was_decided() {
    let mut found = BTreeMap::new();
    leaves(&Cli::command(), "", &mut found);
    for (name, affects, undo, asks, ahead) in ACTS {
        let command = &found[*name];
        assert_eq!(takes(command, "yes"), !asks.is_empty(), "`{name}` takes `--yes` where it asks");
        assert_eq!(takes(command, "dry-run"), *ahead == DRY_RUN, "`{name}` has the look ahead that was decided");
        assert!(!undo.is_empty() || !asks.is_empty(), "`{name}` cannot be undone, so it asks");
        assert!(*affects == Oneself || !ahead.is_empty(), "`{name}` affects others, so one can look ahead");
    }
}

/// What others are affected by and has no dry run: a later act shows all of it, or it is a service that acts by policy alone, or any request.
const LOOKED_AT_ELSEWHERE: [&str; 5] = ["proposal summary", "proposal put", "proposal remove", "agent run", "api"];

#[test]
fn only_what_a_later_act_shows_has_another_look_ahead() {
    let others = ACTS.iter().filter(|(_, affects, _, _, ahead)| *affects == Others && *ahead != DRY_RUN);
    let without: Vec<&str> = others.map(|act| act.0).collect();
    assert_eq!(without, LOOKED_AT_ELSEWHERE);
}

#[test]
fn options_of_acts_are_said_in_one_way() {
    let mut found = BTreeMap::new();
    leaves(&Cli::command(), "", &mut found);
    let mut said: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for command in found.values() {
        for argument in command.get_arguments().filter(|argument| argument.get_long() == Some("yes")) {
            assert_eq!(argument.get_short(), Some('y'), "{}", command.get_name());
            said.entry("yes").or_default().insert(argument.get_help().map(ToString::to_string).unwrap_or_default());
        }
    }
    assert_eq!(said["yes"].len(), 1, "{said:?}");
}
