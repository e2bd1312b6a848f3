//! What became of an act whose request failed: not sent, not done, not known, or done although its answer is lost.
//!
//! INVARIANT: nothing is said of an act that is not certain. Once one of its tries went out and was not answered, no later failure says
//! that nothing was done.

use super::tls::{is_about_certificate, tls_error};
use crate::{
    client::ClientError,
    wire::problem::{Kind, Problem},
};

/// What to do about an act that is in doubt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Advice {
    /// When it may have been done.
    unknown: &'static str,
    /// When it was done although its answer cannot be shown.
    done: &'static str,
}

/// Of an act with a key of its own: the same command is another act.
pub(super) const ANOTHER_ACT: Advice = Advice {
    unknown: "look first whether it is there, with the `show` or `list` that belongs to it; repeat the command only if it is not",
    done: "look at it with the `show` or `list` that belongs to it; do not repeat the command",
};
/// Of an act whose key is kept beside what is sent: the same command is the same act.
pub(super) const SAME_ACT: Advice = Advice {
    unknown: "run the same command again: nothing is stored twice",
    done: "run the same command again: nothing is stored twice; if it stays so, check that client and exchange have compatible versions",
};
/// The type of a refusal that does not come from the exchange.
pub(super) const FOREIGN: &str = "about:blank";

/// What is known, from its tries so far, of what became of a request. A later one never takes back what an earlier one left open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    /// Nothing reached the exchange.
    #[default]
    Unsent,
    /// The exchange refused it.
    NotDone,
    /// It was sent and not answered, or the exchange does not know itself.
    Unknown,
    /// It was answered as done.
    Done,
}

/// The tries of one request.
#[derive(Debug, Default)]
pub(super) struct Tries {
    /// Those that brought no whole answer.
    pub(super) broken: u32,
    /// Those after which the exchange named a time to wait.
    pub(super) waited: u32,
    pub(super) fate: Fate,
}

impl Fate {
    /// What to add to the advice to try again. Of an act that is in doubt more is said than this.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::Unsent => "nothing was sent",
            Self::NotDone => "nothing was done",
            Self::Unknown | Self::Done => "repeating is safe",
        }
    }
}

impl Tries {
    pub(super) fn learn(&mut self, fate: Fate) {
        self.fate = self.fate.max(fate);
    }
}

/// Whether the exchange does not know what became of the act.
pub(super) fn is_unknown(error: &ClientError) -> bool {
    error.slug() == Some(Kind::OutcomeUnknown.slug())
}

/// Whether a refusal leaves it open what became of the act: the exchange says so, or something in between answered, which may have
/// handed the act on and lost the answer.
pub(super) fn leaves_open(refused: &ClientError) -> bool {
    is_unknown(refused) || refused.problem().is_some_and(|problem| problem.status >= 500 && is_foreign(problem))
}

/// Whether a refusal is not one of the exchange's.
fn is_foreign(problem: &Problem) -> bool {
    problem.kind == FOREIGN
}

/// Whether something of a request may have reached the exchange. Of one whose certificate it does not accept it reads nothing.
pub(super) fn may_have_arrived(error: &reqwest::Error) -> bool {
    let is_refused =
        matches!(tls_error(error), Some(rustls::Error::AlertReceived(alert)) if is_about_certificate(*alert));
    !error.is_connect() && !error.is_builder() && !is_refused
}

/// What to say of an act that failed, by what its tries left open.
pub(super) fn in_doubt(error: ClientError, fate: Fate, advice: Advice) -> ClientError {
    match fate {
        Fate::Unsent | Fate::NotDone => error,
        Fate::Unknown => unknown(error, advice.unknown),
        Fate::Done => done(error, advice.done),
    }
}

/// The same, of an act of which it is not known whether it was done.
fn unknown(error: ClientError, advice: &str) -> ClientError {
    let in_doubt = |what: &str| format!("{what}; whether it was done is not known");
    match error {
        ClientError::Transport { what, .. } => {
            ClientError::Transport { what: in_doubt(&what), help: advice.to_owned() }
        }
        ClientError::Unverified { what, help } => {
            ClientError::Unverified { what: in_doubt(&what), help: format!("{help}. Then {advice}") }
        }
        // The exchange looks for what became of an act before any of its rules refuses it for the state that it meets.
        ClientError::Problem { problem, request_id } if problem.status == 409 && !is_foreign(&problem) => {
            ClientError::Problem { problem, request_id }
        }
        ClientError::Problem { problem, request_id } => {
            let detail =
                if problem.slug() == Kind::OutcomeUnknown.slug() { problem.detail } else { in_doubt(&problem.detail) };
            let problem = Problem { remedy: advice.to_owned(), ..Problem::new(Kind::OutcomeUnknown, detail) };
            ClientError::Problem { problem: Box::new(problem), request_id }
        }
        of_this_machine => of_this_machine,
    }
}

/// The same, of an act that was done.
fn done(error: ClientError, advice: &str) -> ClientError {
    let (what, help) = (format!("it was done, but its answer cannot be read: {error}"), advice.to_owned());
    match error {
        ClientError::Unverified { .. } => ClientError::Unverified { what, help },
        _ => ClientError::Transport { what, help },
    }
}
