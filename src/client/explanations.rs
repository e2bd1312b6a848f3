//! Why a member may or may not do something with a proposal: asked of the exchange, whose word it is.

use super::{Client, ClientError, Result, naming::ProposalName};
use crate::{
    domain::id::{MemberId, PartnerCode},
    wire::{explanation::Explanation, problem::Kind},
};

/// What is said where nothing in the call would make it permitted.
pub const NO_ACT_WOULD: &str = "no act of the call would change that; another policy of the sides that said no would";

/// What a member may be let at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExplainedAction {
    /// Know that the proposal exists.
    View,
    /// Read its documents.
    Read,
    /// Read the restricted slots of a party.
    ReadRestricted,
    /// Read the reviews.
    ReadReviews,
}

impl ExplainedAction {
    /// As policies call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::View => "View",
            Self::Read => "Read",
            Self::ReadRestricted => "ReadStaff",
            Self::ReadReviews => "ViewDeliberation",
        }
    }
}

impl Client {
    /// Why a member, or the caller, may or may not do something with a proposal; `owner` is the party whose restricted slots are meant.
    pub async fn explain(
        &self,
        proposal: &ProposalName,
        member: Option<&MemberId>,
        action: ExplainedAction,
        owner: Option<&PartnerCode>,
    ) -> Result<Explanation> {
        let proposal = self.find_proposal(proposal).await?.id;
        let found = self.api().explanation(proposal, member, action.as_str(), owner).await;
        found.map_err(|error| match error {
            ClientError::Problem { mut problem, request_id } if problem.slug() == Kind::NotFound.slug() => {
                "you learn about yourself, about members of your nation as far as they may know of the proposal, and about everybody on your \
                 nation's own proposals"
                    .clone_into(&mut problem.remedy);
                ClientError::Problem { problem, request_id }
            }
            error => error,
        })
    }
}
