//! Which commands answer with a table, and so take `--csv`. The others are refused before they do anything.

use super::{
    context::Context,
    error::{CliError, Result},
};

/// Their words. Some have a table only with certain options, and say so when they have none.
const COMMANDS: &[&str] = &[
    "assignment add",
    "assignment list",
    "assignment load",
    "assignment remove",
    "assignment suggest",
    "call cancel",
    "call chase",
    "call close",
    "call draft",
    "call edit",
    "call list",
    "call publish",
    "call reopen",
    "call role add",
    "call role list",
    "call role remove",
    "call role set",
    "call show",
    "call withdraw-extension",
    "conflict sheet",
    "dev-pki",
    "decision sheet",
    "decision sign",
    "key check",
    "key missing",
    "key share",
    "letter list",
    "letter send",
    "log",
    "member invite",
    "member list",
    "member preview",
    "member refusals",
    "partner list",
    "partner status",
    "policy example",
    "policy history",
    "policy list",
    "policy preview",
    "policy show",
    "policy summary",
    "policy visibility-diff",
    "policy who",
    "profile list",
    "program list",
    "proposal accept",
    "proposal check",
    "proposal compare",
    "proposal create",
    "proposal label",
    "proposal list",
    "proposal member invite",
    "proposal open",
    "proposal reinstate",
    "proposal resume",
    "proposal sign",
    "proposal status",
    "proposal summary",
    "proposal verify",
    "proposal withdraw",
    "ranking show",
    "review draft",
    "review form",
    "review list",
    "review open",
    "review show",
    "review submit",
    "todo",
    "trust list",
    "verify dossier",
    "verify receipt",
];

/// Refuses `--csv` beside `--json`, and of a command whose answer has no table.
///
/// # Errors
/// When it is wanted and cannot be.
pub(super) fn check(command: &str, context: &Context) -> Result<()> {
    if !context.out.is_csv() {
        return Ok(());
    }
    if context.out.is_json() {
        return Err(CliError::usage("an answer is JSON or CSV, not both").help("leave `--json` or `--csv` out"));
    }
    if COMMANDS.contains(&command) {
        return Ok(());
    }
    Err(CliError::usage(format!("the answer of `entente {command}` has no table"))
        .help("leave `--csv` out; `--json` prints the answer for programs"))
}

#[cfg(test)]
pub(super) fn commands() -> &'static [&'static str] {
    COMMANDS
}
