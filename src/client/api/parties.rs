//! The routes of a proposal's parties: who is asked to join them, joins and leaves.

use super::{ApiClient, NOTHING, Result, of};
use crate::{
    domain::id::{MemberId, ProposalId},
    wire::proposal::{AcceptInvitation, AddMember, Joined, Proposal},
};
use http::Method;

impl ApiClient {
    pub async fn invite(&self, id: ProposalId, member: &MemberId, body: &AddMember) -> Result<Proposal> {
        self.witness.proposal(self.write(Method::PUT, &of(id, &format!("/members/{member}")), body).await?)
    }

    pub async fn accept_invitation(&self, id: ProposalId, body: &AcceptInvitation) -> Result<Proposal> {
        self.witness.proposal(self.write(Method::POST, &of(id, "/acceptance"), body).await?)
    }

    /// Takes a member out, an invitation back, or declines one's own.
    pub async fn remove_member(&self, id: ProposalId, member: &MemberId) -> Result<()> {
        self.done(Method::DELETE, &of(id, &format!("/members/{member}")), NOTHING).await
    }

    /// The invitations to the parties, and who accepted theirs.
    pub async fn joined(&self, id: ProposalId) -> Result<Vec<Joined>> {
        self.all(&of(id, "/joined"), &[]).await
    }

    pub async fn consent_to_join(&self, id: ProposalId, member: &MemberId) -> Result<()> {
        self.done(Method::PUT, &of(id, &format!("/members/{member}/consent")), NOTHING).await
    }

    pub async fn take_consent_back(&self, id: ProposalId, member: &MemberId) -> Result<()> {
        self.done(Method::DELETE, &of(id, &format!("/members/{member}/consent")), NOTHING).await
    }
}
