//! The routes of who may know of a proposal, and why.

use super::{ApiClient, Result};
use crate::{
    domain::id::{MemberId, PartnerCode, ProposalId},
    wire::explanation::{Explanation, Reader},
};

impl ApiClient {
    /// Why a member, or the caller, may or may not do `action` on a proposal. The exchange's word.
    pub async fn explanation(
        &self,
        proposal: ProposalId,
        member: Option<&MemberId>,
        action: &str,
        owner: Option<&PartnerCode>,
    ) -> Result<Explanation> {
        let query = [
            ("member", member.map(ToString::to_string)),
            ("action", Some(action.to_owned())),
            ("owner", owner.map(ToString::to_string)),
        ];
        let query: Vec<_> = query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let path = format!("/v1/proposals/{proposal}/explanation");
        self.transport.get(&path, &query).await.map(|tagged| tagged.body)
    }

    /// Everybody who may know of a proposal. The exchange's word.
    pub async fn readers(&self, proposal: ProposalId) -> Result<Vec<Reader>> {
        self.all(&format!("/v1/proposals/{proposal}/readers"), &[]).await
    }
}
