//! The proposals that a member has to review under a call: listed by the exchange, and each checked against what its parties signed.

use super::{Client, Result, api::Paging, pages::Pages};
use crate::{
    domain::{
        id::CallId,
        proposal::{Relation, Sort, Status},
    },
    wire::{
        page::{MAX_PAGE, Page},
        proposal::{Filter, Proposal},
    },
};

impl Client {
    /// What is assigned to the member under a call and stands, by its reference. That each is known by the reference which its parties
    /// signed is checked: a file that is named by references must not put one proposal under the name of another.
    pub async fn assigned_proposals(&self, id: CallId) -> Result<Vec<Proposal>> {
        let call = self.call(id).await?;
        let filter = Filter { call: Some(id), mine: Some(Relation::Assigned), ..Filter::default() };
        let (mut assigned, mut pages) = (Vec::new(), Pages::default());
        let mut paging = Paging { cursor: None, limit: Some(MAX_PAGE) };
        loop {
            let Page { items, next } = self.api().proposals(&filter, Sort::Created, &paging).await?;
            assigned.extend(items.into_iter().filter(|proposal: &Proposal| {
                proposal.call == id && proposal.mine.is_assigned && proposal.status == Status::Submitted
            }));
            paging.cursor = pages.follow(next)?;
            if paging.cursor.is_none() {
                break;
            }
        }
        for proposal in &assigned {
            self.meant(proposal, &call).await?;
        }
        assigned.sort_by(|one, other| one.reference.cmp(&other.reference));
        Ok(assigned)
    }
}
