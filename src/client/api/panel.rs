//! Routes about who reviews what.

use super::{ApiClient, NOTHING, of};
use crate::{
    client::Result,
    domain::id::{CallId, ProposalId},
    wire::review::{Assignment, DeclineAssignment, PanelLine},
};
use http::Method;

impl ApiClient {
    /// The panel of each submitted proposal of a call, with every reviewer who could be assigned, if that is wanted.
    pub async fn panel(&self, id: CallId, with_candidates: bool) -> Result<Vec<PanelLine>> {
        let candidates = with_candidates.then(|| true.to_string());
        self.all(&format!("/v1/calls/{id}/panel"), &[("candidates", candidates)]).await
    }

    /// The assignments in force.
    pub async fn assignments(&self, id: ProposalId) -> Result<Vec<Assignment>> {
        let mut assignments = self.assignments_and_declined(id).await?;
        assignments.retain(|assignment| assignment.declined.is_none());
        Ok(assignments)
    }

    /// The same with those that their reviewers declined.
    pub async fn assignments_and_declined(&self, id: ProposalId) -> Result<Vec<Assignment>> {
        self.all(&of(id, "/assignments"), &[]).await
    }

    pub async fn decline_assignment(&self, id: ProposalId, body: &DeclineAssignment) -> Result<()> {
        self.done(Method::POST, &of(id, "/assignment/decline"), Some(body)).await?;
        // Nations may show it to nobody who is not assigned.
        self.witness.left(id)
    }

    pub async fn resume_assignment(&self, id: ProposalId) -> Result<()> {
        self.done(Method::POST, &of(id, "/assignment/resume"), NOTHING).await?;
        self.witness.is_back(id)
    }
}
