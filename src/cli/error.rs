//! What a command answers when it cannot: one line that says why, one that says what to do, and an exit code.
//!
//! Scripts rely on the codes: 0 done, 1 failed, 2 used wrongly, 3 refused by the exchange, 4 something did not verify,
//! 5 the exchange was not reached. Never prints a secret: what it is given never holds one.

use crate::{
    client::{ClientError, ExitClass},
    wire::problem::Problem,
};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Ok = 0,
    Failed = 1,
    Usage = 2,
    Refused = 3,
    Unverified = 4,
    Unreachable = 5,
}

impl Exit {
    /// The process exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    pub(super) fn slug(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Refused => "refused",
            Self::Unverified => "unverified",
            Self::Unreachable => "unreachable",
        }
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CliError {
    pub exit: Exit,
    pub message: String,
    pub help: Option<String>,
    /// What the exchange answered, if it was the exchange that said no.
    pub problem: Option<Box<Problem>>,
}

/// What commands answer with.
pub type Result<T, E = CliError> = std::result::Result<T, E>;

impl CliError {
    /// Something on this machine failed.
    pub fn failed(message: impl ToString) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// The command was used wrongly.
    pub fn usage(message: impl ToString) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Something did not verify.
    pub fn unverified(message: impl ToString) -> Self {
        Self::new(Exit::Unverified, message)
    }

    fn new(exit: Exit, message: impl ToString) -> Self {
        Self { exit, message: without_numbers(&message.to_string()), help: None, problem: None }
    }

    /// With what to do next.
    #[must_use]
    pub fn help(mut self, help: impl ToString) -> Self {
        self.help = Some(help.to_string());
        self
    }
}

/// A sentence without the numbers that the standard library puts behind what the system says of a file, ` (os error 2)`.
fn without_numbers(message: &str) -> String {
    let mut parts = message.split(" (os error ");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => plain += rest,
            _ => plain.extend([" (os error ", part]),
        }
    }
    plain
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        let exit = match error.class() {
            ExitClass::Failure => Exit::Failed,
            ExitClass::Usage => Exit::Usage,
            ExitClass::Refused => Exit::Refused,
            ExitClass::Unverified => Exit::Unverified,
            ExitClass::Unreachable => Exit::Unreachable,
        };
        let problem = error.problem().cloned().map(Box::new);
        Self { problem, help: Some(error.help().to_owned()), ..Self::new(exit, error) }
    }
}

impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error)
    }
}

impl From<crate::dev_pki::DevPkiError> for CliError {
    fn from(error: crate::dev_pki::DevPkiError) -> Self {
        Self::failed(error)
    }
}

impl From<crate::domain::id::IdError> for CliError {
    fn from(error: crate::domain::id::IdError) -> Self {
        Self::usage(error)
    }
}

/// Reads a whole file that a person named on the command line; `-` is standard input.
pub fn read_input(path: &std::path::Path, limit: u64) -> Result<Vec<u8>> {
    use std::io::Read;
    let cannot = |source: std::io::Error| {
        CliError::failed(format!("cannot read `{}`: {source}", path.display()))
            .help("check the name and its permissions")
    };
    let mut content = Vec::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(limit + 1).read_to_end(&mut content)
    } else {
        std::fs::File::open(path).map_err(cannot)?.take(limit + 1).read_to_end(&mut content)
    };
    read.map_err(cannot)?;
    if content.len() as u64 > limit {
        return Err(CliError::failed(format!("`{}` is longer than {limit} bytes", path.display())));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::output::Out, wire::problem::Kind};

    #[test]
    fn what_the_system_says_of_a_file_comes_without_its_number() {
        let missing = std::fs::read("/nowhere/at/all").unwrap_err();
        let said = CliError::failed(format!("cannot read `a`: {missing}; nor `b`: {missing}")).message;
        assert!(
            said.contains("cannot read `a`: ") && said.contains("; nor `b`: ") && !said.contains("os error"),
            "{said}"
        );
        assert_eq!(CliError::usage("`x (os error y)` is no name").message, "`x (os error y)` is no name");
    }

    #[test]
    fn error_is_two_lines_for_people() {
        let (out, _, stderr) = Out::captured(false);
        CliError::failed("cannot read `a`").help("check the name").print(&out);
        assert_eq!(stderr.text(), "error: cannot read `a`\nhelp:  check the name\n");
    }

    #[test]
    fn error_is_the_problem_body_for_programs() {
        let (out, _, stderr) = Out::captured(true);
        let problem = Problem::new(Kind::Denied, "no".to_owned());
        let error = CliError { problem: Some(Box::new(problem)), ..CliError::failed("no") };
        error.print(&out);
        let body: serde_json::Value = serde_json::from_str(&stderr.text()).unwrap();
        assert_eq!(body["type"], "urn:entente:problem:denied");
    }
}
