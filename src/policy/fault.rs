//! What the checks of policies find.

/// A fault in a policy, and how to fix it.
#[derive(Debug)]
pub(super) struct LintFault {
    pub(super) what: String,
    pub(super) help: String,
}

impl LintFault {
    pub(super) fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what: what.into(), help: help.into() }
    }
}
