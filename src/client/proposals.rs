//! stub
use super::{Client, Result};
use crate::{
    domain::{
        id::{CallId, MemberId, ProposalId, Slug},
        proposal::Parties,
    },
    wire::proposal::Proposal,
};
use serde::{Deserialize, Serialize};

/// A proposal to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewProposal {
    pub call: CallId,
    pub topic: Option<Slug>,
    pub parties: Parties,
}

/// The sealed summary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    pub title: String,
    #[serde(rename = "abstract")]
    pub abstract_text: String,
    #[serde(default)]
    pub team: Vec<TeamMember>,
    #[serde(default)]
    pub budget: Vec<BudgetLine>,
}
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamMember {
    pub name: String,
    pub organisation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}
/// Amounts in whole units of the currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetLine {
    pub item: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<crate::domain::id::PartnerCode>,
    pub amount: u64,
    pub currency: String,
}

impl Client {
    /// Makes the vaults, wraps them to every party member and to the call's vault, and begins the proposal.
    pub async fn create_proposal(&self, _new: &NewProposal) -> Result<Proposal> {
        todo!()
    }
    /// Adds a colleague to one's own party, with keys to all vaults the party holds.
    pub async fn add_member(&self, _id: ProposalId, _member: &MemberId) -> Result<Proposal> {
        todo!()
    }
    /// Adds the colleague and takes oneself out.
    pub async fn hand_over(&self, _id: ProposalId, _to: &MemberId) -> Result<Proposal> {
        todo!()
    }
}
