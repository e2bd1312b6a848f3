//! Statements that a request brings: each is verified by itself before the turn of its act, off the threads that serve others.
//!
//! The act reports a fault where it needs the statement: a caller who may not know of a thing gets the answer that it does not exist,
//! whatever they signed. Only [`Act::signed`](super::unit::Act::signed) finds out who signed.

use super::{Result, aside};
use crate::sealing::statement::{Signed, Statement, StatementError, verify_signed};

/// A statement whose signature was looked at.
#[derive(Debug, Clone)]
pub(super) struct Verified<S>(std::result::Result<Signed<S>, StatementError>);

impl<S: Statement> Verified<S> {
    /// Looks at a statement here and now: for several of a request, which go aside together.
    pub(super) fn look(jws: &str) -> Self {
        Self(verify_signed(jws))
    }

    /// Its content, if its signature is right.
    pub(super) fn statement(&self) -> Option<&S> {
        self.0.as_ref().ok().map(|signed| &signed.statement)
    }

    /// The statement, if its signature is right.
    pub(super) fn signed(self) -> Result<Signed<S>> {
        Ok(self.0?)
    }
}

impl<S: Statement + Send + 'static> Verified<S> {
    /// Looks at the statement of a request.
    pub(super) async fn of(jws: &str) -> Result<Self> {
        let jws = jws.to_owned();
        aside(move || Self::look(&jws)).await
    }

    /// The same of several.
    pub(super) async fn of_each<'j>(statements: impl Iterator<Item = &'j str>) -> Result<Vec<Self>> {
        let statements: Vec<String> = statements.map(ToOwned::to_owned).collect();
        aside(move || statements.iter().map(|jws| Self::look(jws)).collect()).await
    }

    /// The same where the request may come without one.
    pub(super) async fn of_some(jws: Option<&str>) -> Result<Option<Self>> {
        match jws {
            Some(jws) => Self::of(jws).await.map(Some),
            None => Ok(None),
        }
    }
}
