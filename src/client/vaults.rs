//! stub
use super::{Client, Result, ClientError};
use crate::{domain::id::{CallId, ProposalId}, wire::proposal::MissingKey};

/// What was wrapped, and what was not and why.
#[derive(Debug, Default)]
pub struct Wrapped { pub done: Vec<MissingKey>, pub refused: Vec<(MissingKey, ClientError)> }

/// What was made ready for a panel.
#[derive(Debug, Default)]
pub struct Prepared { pub vaults_made: Vec<ProposalId>, pub wrapped: Wrapped, /** Proposals that were left out, and why. */ pub skipped: Vec<(ProposalId, ClientError)> }

impl Client {
    /// Wraps what others may read but hold no key to, as far as this client agrees.
    pub async fn wrap_missing(&self, _id: ProposalId) -> Result<Wrapped> { todo!() }
    /// Makes the deliberation vault of a proposal if there is none, as an officer; whether it was made.
    pub async fn make_deliberation_vault(&self, _id: ProposalId) -> Result<bool> { todo!() }
    /// Both, for every submitted proposal of a call: what an officer does after the opening and after each assignment.
    pub async fn prepare_panel(&self, _call: CallId) -> Result<Prepared> { todo!() }
}
