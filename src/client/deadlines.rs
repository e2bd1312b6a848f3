//! The deadlines ahead of a member, by the calls that the exchange shows.

use crate::{
    domain::{call::Phase, member::CallRole, reference::CallCode},
    wire::call::Call,
};
use jiff::Timestamp;

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeadlineOf {
    Proposals,
    Reviews,
}

/// A deadline that comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadline {
    pub at: Timestamp,
    pub of: DeadlineOf,
    pub code: CallCode,
    pub title: String,
}

/// The deadlines that come, the first one first: for proposals of calls that are announced or open, that of the member's own nation; for
/// reviews where the member reviews or runs the call.
#[must_use]
pub fn deadlines(calls: &[Call], now: Timestamp) -> Vec<Deadline> {
    let mut found: Vec<Deadline> = calls
        .iter()
        .filter_map(|call| {
            let (of, at) = match call.phase {
                Phase::Announced | Phase::Open => (DeadlineOf::Proposals, call.my_deadline_at.0),
                Phase::Review if judges(call) => (DeadlineOf::Reviews, call.reviews_due_at.0),
                _ => return None,
            };
            (at >= now).then(|| Deadline { at, of, code: call.text.code.clone(), title: call.text.title.clone() })
        })
        .collect();
    found.sort_by_key(|deadline| (deadline.at, deadline.of));
    found
}

fn judges(call: &Call) -> bool {
    call.my_roles.iter().any(|role| matches!(role, CallRole::Reviewer | CallRole::Officer))
}
