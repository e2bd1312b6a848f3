//! Joint proposals: begun with vaults made here, and with invitations to everybody else who is to take part.

use super::{
    Client, ClientError, Result,
    facts::{UnverifiedFacts, VerifiedFacts, proposal_facts},
    participation::Interests,
    vaults::VaultPlan,
    verify::check_reference,
};
use crate::{
    domain::{
        id::{CallId, MemberId, PartnerCode, ProposalId, Slug},
        name,
        proposal::{Parties, Status},
        vault::VaultKind,
    },
    wire::proposal::{CreateProposal, Proposal},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The longest summary, in bytes of plaintext.
pub const MAX_SUMMARY: usize = 1_000_000;

/// A proposal to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewProposal {
    pub call: CallId,
    /// One of the call's topics, if it has any.
    pub topic: Option<Slug>,
    /// The members of each party, oneself among them.
    pub parties: Parties,
}

/// The sealed summary, the document that every proposal has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    pub title: String,
    /// What it is about, in a few paragraphs.
    #[serde(rename = "abstract")]
    pub abstract_text: String,
    #[serde(default)]
    pub team: Vec<TeamMember>,
    #[serde(default)]
    pub budget: Vec<BudgetLine>,
}

/// Somebody who will work on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeamMember {
    pub name: String,
    pub organisation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

/// What something will cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetLine {
    pub item: String,
    /// Whose cost it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<PartnerCode>,
    /// In whole units of the currency.
    pub amount: u64,
    /// Such as `EUR`.
    pub currency: String,
}

impl Summary {
    /// What is wrong with the title or a name in it that has a character nobody sees. The exchange sees none of them.
    #[must_use]
    pub fn unseen_fault(&self) -> Option<String> {
        let team = self.team.iter().flat_map(|member| {
            [("name of a team member", &member.name), ("organisation of a team member", &member.organisation)]
        });
        let lines = self.budget.iter().map(|line| ("item of the budget", &line.item));
        let mut names = std::iter::once(("title", &self.title)).chain(team).chain(lines);
        names.find_map(|(what, text)| Some(name::unseen_fault(what, name::unseen(text)?)))
    }
}

impl Client {
    /// Begins a joint proposal: makes its vaults here, wraps them to everybody named and to the call's vault, and asks everybody but
    /// oneself to join.
    pub async fn create_proposal(&self, new: &NewProposal) -> Result<Proposal> {
        let call = self.call(new.call).await?;
        let me = self.member_id().await?;
        call.rules.parties.check(&call.rules.eligible, &new.parties)?;
        if !new.parties.get(me.partner()).is_some_and(|members| members.contains(&me)) {
            return Err(ClientError::usage(
                format!("`{me}` is not among the members of its party"),
                "name yourself among the members; the member who begins a proposal takes part in it",
            ));
        }
        let id = ProposalId::new_of(&me, &*self.ambient().clock, &*self.ambient().rng);
        let members: BTreeSet<MemberId> = new.parties.values().flatten().cloned().collect();
        let verified = VerifiedFacts {
            call: self.party_call_facts(&call).await?,
            assigned: BTreeSet::new(),
            interests: Interests::default(),
            owners: new.parties.keys().cloned().collect(),
            organisations: self.organisations(&members).await?,
            decided: false,
            label: None,
        };
        let mut invited = members;
        invited.remove(&me);
        let party_members = BTreeSet::from([me.clone()]);
        let unverified = UnverifiedFacts { topic: new.topic.clone(), party_members, reviewed: BTreeSet::new() };
        let mut facts = proposal_facts(id, Status::Preparing, verified, unverified);
        facts.invited = invited;
        let mut vaults = Vec::new();
        for (kind, party) in
            [(VaultKind::Panel, None), (VaultKind::Parties, None), (VaultKind::Staff, Some(me.partner().clone()))]
        {
            let mut holders = Vec::new();
            for member in facts.party_members.iter().chain(&facts.invited) {
                if party.as_ref().is_none_or(|party| member.partner() == party) {
                    holders.push(self.admit(member, kind, party.as_ref(), &facts).await?);
                }
            }
            vaults.push(self.new_vault(&call, VaultPlan { kind, proposal: id, party, holders }).await?.0);
        }
        let mut invitations = BTreeMap::new();
        for member in &facts.invited {
            invitations.insert(member.clone(), self.invitation(id, member).await?);
        }
        let (topic, parties) = (new.topic.clone(), new.parties.clone());
        let body = CreateProposal { id, call: new.call, topic, parties, invitations, vaults };
        let created = self.api().create_proposal(&body).await?;
        check_reference(&created, &call)?;
        for vault in &body.vaults {
            self.see_made(id, vault).await?;
        }
        Ok(created)
    }

    /// Notes that a list has everything that the member may know of, so that what is missing of their own is noticed.
    pub fn saw_all(&self, shown: &[Proposal]) -> Result<()> {
        self.api().witness().whole(shown)
    }
}
