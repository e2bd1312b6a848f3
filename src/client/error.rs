//! The one error of the client: what went wrong, whose fault it can be, and what to do.
//!
//! Five classes, one exit code each, so that scripts can distinguish a refusal, a forgery and a broken cable. Content, names and
//! secrets never stand in an error; identifiers and paths of one's own do.

use crate::{
    domain::Refusal,
    sealing::{
        identity::{IdentityError, NOBODY_TO_ASK},
        jws::JwsError,
        seal::SealError,
        signer::SignerError,
        statement::StatementError,
        vault::VaultError,
    },
    wire::problem::Problem,
};
use std::{fmt, io, path::Path};

/// A result of the client.
pub type Result<T, E = ClientError> = std::result::Result<T, E>;

/// What kind of failure it was; its number is the exit code of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExitClass {
    /// Something on this machine: a file, a key, a passphrase.
    Failure = 1,
    /// It was asked for in a way that cannot be meant.
    Usage = 2,
    /// The exchange refused.
    Refused = 3,
    /// Something the exchange said does not verify.
    Unverified = 4,
    /// The exchange could not be reached, or the connection broke.
    Unreachable = 5,
}

impl ExitClass {
    /// The exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// Why the client did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The exchange said no, with a problem of the catalogue.
    #[error("{}{}", problem.detail, shown(request_id.as_deref()))]
    Problem { problem: Box<Problem>, request_id: Option<String> },
    /// What the exchange said is not proven; nothing of it was used.
    #[error("{what}")]
    Unverified { what: String, help: String },
    /// No answer, or not a whole one.
    #[error("{what}")]
    Transport { what: String, help: String },
    /// The caller asks for something that cannot be meant.
    #[error("{what}")]
    Usage { what: String, help: String },
    /// The exchange does not show it to the caller, or gives no key to it.
    #[error("{what}")]
    NotShown { what: String, help: String },
    /// The exchange shows nothing that has the name, whether there is something or not.
    #[error("{what}")]
    NothingNamed { what: String, help: String },
    /// Something on this machine.
    #[error("{what}")]
    Local { what: String, help: String },
    /// The member's signer did not sign, so the act was not sent.
    #[error(transparent)]
    NotSigned(#[from] SignerError),
}

impl ClientError {
    /// Something the exchange said that is not proven.
    pub fn unverified(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Unverified { what: what.into(), help: help.into() }
    }

    /// Something asked for that cannot be meant.
    pub fn usage(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Usage { what: what.into(), help: help.into() }
    }

    /// Something that the exchange does not show to the caller.
    pub fn not_shown(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self::NotShown { what: what.into(), help: help.into() }
    }

    /// Something that is named and that the exchange does not show.
    pub fn nothing_named(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self::NothingNamed { what: what.into(), help: help.into() }
    }

    /// Something on this machine.
    pub fn local(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Local { what: what.into(), help: help.into() }
    }

    /// A file that cannot be read or written.
    pub(super) fn io(verb: &str, path: &Path, error: &io::Error) -> Self {
        Self::local(format!("cannot {verb} `{}`: {error}", path.display()), "check that the file is there and yours")
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn class(&self) -> ExitClass {
        match self {
            Self::Problem { .. } | Self::NothingNamed { .. } => ExitClass::Refused,
            Self::Unverified { .. } => ExitClass::Unverified,
            Self::Transport { .. } => ExitClass::Unreachable,
            Self::Usage { .. } | Self::NotShown { .. } => ExitClass::Usage,
            Self::Local { .. } | Self::NotSigned(_) => ExitClass::Failure,
        }
    }

    /// What to do next.
    #[must_use]
    pub fn help(&self) -> &str {
        match self {
            Self::Problem { problem, .. } => &problem.remedy,
            Self::NotSigned(error) => error.help(),
            Self::Unverified { help, .. }
            | Self::Transport { help, .. }
            | Self::Usage { help, .. }
            | Self::NotShown { help, .. }
            | Self::NothingNamed { help, .. }
            | Self::Local { help, .. } => help,
        }
    }

    /// The problem, if the exchange refused.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem { problem, .. } => Some(problem),
            _ => None,
        }
    }

    /// The stable name of the problem, if the exchange refused.
    #[must_use]
    pub fn slug(&self) -> Option<&str> {
        self.problem().map(Problem::slug)
    }

    /// Whether the same may well succeed a little later: the exchange was not reached, or has trouble of its own.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Transport { .. }) || self.problem().is_some_and(|problem| problem.status >= 500)
    }

    /// Whether the same would fail for all that come after it, or must not be tried for them: the exchange is not reached, or the signer
    /// does not sign, and a third wrong PIN blocks a card.
    #[must_use]
    pub(super) fn ends_a_series(&self) -> bool {
        self.is_passing() || matches!(self, Self::NotSigned(_))
    }

    /// Whether something is withheld from the reader, as other parties' restricted documents are, rather than damaged or not to be had just
    /// now.
    #[must_use]
    pub fn is_withheld(&self) -> bool {
        matches!(self, Self::NotShown { .. }) || matches!(self.slug(), Some("not-found" | "denied"))
    }

    /// Whether the exchange said that there is no such thing, or none the caller may know of.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.slug() == Some("not-found")
    }

    /// Says what it was about, in front of what went wrong.
    #[must_use]
    pub(super) fn about(self, subject: impl fmt::Display) -> Self {
        match self {
            Self::Unverified { what, help } => Self::Unverified { what: format!("{subject}: {what}"), help },
            Self::Local { what, help } => Self::Local { what: format!("{subject}: {what}"), help },
            other => other,
        }
    }
}

impl From<StatementError> for ClientError {
    fn from(error: StatementError) -> Self {
        if let StatementError::Jws(JwsError::Signer(error)) = error {
            return error.into();
        }
        Self::unverified(
            error.to_string(),
            "do not go on; tell the call's officers and your partner's registrar what you saw",
        )
    }
}

impl From<SealError> for ClientError {
    fn from(error: SealError) -> Self {
        let what = error.to_string();
        match error {
            SealError::Digest { .. } | SealError::Damaged | SealError::Shape(_) => Self::unverified(
                what,
                "nothing was written; fetch it again, and if it stays so tell the call's officers",
            ),
            SealError::Truncated => Self::Transport { what, help: "nothing was written; try again".into() },
            SealError::NoMatchingIdentity => Self::local(
                what,
                "check `identities` of the profile; after a change of keys ask for the keys to be wrapped again",
            ),
            SealError::PluginMissing { .. } => Self::local(what, "install the plugin and try again"),
            _ => Self::local(what, "check the file and your identities"),
        }
    }
}

impl From<VaultError> for ClientError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Seal(error) => error.into(),
            other => Self::unverified(other.to_string(), "do not use this vault; tell the call's officers"),
        }
    }
}

impl From<IdentityError> for ClientError {
    fn from(error: IdentityError) -> Self {
        let help = match &error {
            IdentityError::NoPassphrase(_) => NOBODY_TO_ASK,
            IdentityError::WrongPassphrase(_) => "run the command again",
            IdentityError::PassphraseFile(fault) => fault.help.as_str(),
            _ => "see `entente keys --help`",
        };
        Self::local(error.to_string(), help)
    }
}

impl From<JwsError> for ClientError {
    fn from(error: JwsError) -> Self {
        Self::from(StatementError::from(error))
    }
}

impl From<Refusal> for ClientError {
    fn from(refusal: Refusal) -> Self {
        let problem = Problem::from(&refusal);
        Self::usage(problem.detail, problem.remedy)
    }
}

fn shown(request_id: Option<&str>) -> String {
    request_id.map(|id| format!(" (request {id})")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::problem::Kind;

    #[test]
    fn each_class_has_its_exit_code() {
        let problem = Box::new(Problem::new(Kind::Denied, "guardrails: embargo"));
        let refused = ClientError::Problem { problem, request_id: Some("r1".into()) };
        assert_eq!((refused.class().code(), refused.to_string().as_str()), (3, "guardrails: embargo (request r1)"));
        assert_eq!(refused.slug(), Some("denied"));
        assert_eq!(ClientError::local("x", "y").class().code(), 1);
        assert_eq!(ClientError::from(JwsError::from(SignerError::OtherKey)).class().code(), 1);
        assert_eq!(ClientError::usage("x", "y").class().code(), 2);
        assert_eq!(ClientError::unverified("x", "y").class().code(), 4);
        assert_eq!(ClientError::from(SealError::Truncated).class().code(), 5);
        assert_eq!(ClientError::from(SealError::Damaged).class().code(), 4);
    }
}
