//! Joint proposals: begun with vaults made here, handed over with keys wrapped anew.

use super::{
    Client, ClientError, Result,
    facts::{Told, Verified, proposal_facts},
    parts::Interests,
    vaults::VaultPlan,
};
use crate::{
    domain::{
        id::{CallId, MemberId, PartnerCode, ProposalId, Slug},
        proposal::{Parties, Status},
        vault::VaultKind,
    },
    wire::proposal::{AddMember, CreateProposal, Proposal},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::OnceCell;

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

impl Client {
    /// Begins a joint proposal: makes its vaults here and wraps them to every party member and to the call's vault.
    pub async fn create_proposal(&self, new: &NewProposal) -> Result<Proposal> {
        let call = self.call(new.call).await?;
        let me = self.member_id().await?;
        call.rules.parties.check(&call.rules.eligible, &new.parties)?;
        if !new.parties.get(me.partner()).is_some_and(|members| members.contains(&me)) {
            return Err(ClientError::usage(
                format!("`{me}` is not among the members of its party"),
                "name yourself among the members; whoever begins a proposal takes part in it",
            ));
        }
        let id = ProposalId::new_of(&me, &*self.ambient().clock, &*self.ambient().rng);
        let members: BTreeSet<MemberId> = new.parties.values().flatten().cloned().collect();
        let verified = Verified {
            call: self.party_call_facts(&call).await?,
            assigned: BTreeSet::new(),
            interests: Interests::default(),
            owners: new.parties.keys().cloned().collect(),
            organisations: self.organisations(&members).await?,
            decided: false,
            label: None,
        };
        let told = Told { topic: new.topic.clone(), party_members: members, reviewed: BTreeSet::new() };
        let facts = proposal_facts(id, Status::Preparing, verified, told);
        let mut vaults = Vec::new();
        for (kind, party) in
            [(VaultKind::Panel, None), (VaultKind::Parties, None), (VaultKind::Staff, Some(me.partner().clone()))]
        {
            let mut holders = Vec::new();
            for member in &facts.party_members {
                if party.as_ref().is_none_or(|party| member.partner() == party) {
                    holders.push(self.admit(member, kind, party.as_ref(), &facts).await?);
                }
            }
            vaults.push(self.new_vault(&call, VaultPlan { kind, proposal: id, party, holders }).await?.0);
        }
        let (topic, parties) = (new.topic.clone(), new.parties.clone());
        let body = CreateProposal { id, call: new.call, topic, parties, vaults };
        let created = self.api().create_proposal(&body).await?;
        for vault in &body.vaults {
            self.see_made(id, vault).await?;
        }
        Ok(created)
    }

    /// Adds a colleague to one's own party, with keys to all that the party holds.
    pub async fn add_member(&self, id: ProposalId, member: &MemberId) -> Result<Proposal> {
        let proposal = self.api().proposal(id).await?;
        let call = self.call(proposal.call).await?;
        let me = self.member_id().await?;
        if member.partner() != me.partner() {
            return Err(ClientError::usage(
                format!("`{member}` belongs to another partner than you"),
                "each party names its own members; ask the counterpart",
            ));
        }
        let colleague = self.member(member).await?;
        let vaults = self.api().vaults(id).await?;
        // As if they had joined; found out only if there is something to wrap.
        let facts = OnceCell::new();
        let joined = || async {
            let mut facts = self.proposal_facts(&proposal, &call, &vaults).await?;
            facts.party_members.insert(member.clone());
            facts.organisations.insert(colleague.card.organisation.clone());
            Ok::<_, ClientError>(facts)
        };
        let mut keys = BTreeMap::new();
        for (kind, party) in
            [(VaultKind::Panel, None), (VaultKind::Parties, None), (VaultKind::Staff, Some(me.partner()))]
        {
            if let Some(vault) = self.find_vault(&vaults, kind, party, &proposal, &call).await? {
                let colleague = self.admit(member, kind, party, facts.get_or_try_init(joined).await?).await?;
                let secret = self.open_vault(&vault, &call).await?;
                keys.insert(vault.vault.id, self.wrap_to_member(vault.vault.id, &secret, &colleague)?);
            }
        }
        self.api().add_member(id, member, &AddMember { keys }).await
    }

    /// Hands over: adds the colleague, then takes oneself out.
    pub async fn hand_over(&self, id: ProposalId, to: &MemberId) -> Result<()> {
        let me = self.member_id().await?;
        if me == *to {
            return Err(ClientError::usage("you cannot hand over to yourself", "name a colleague"));
        }
        let proposal = self.api().proposal(id).await?;
        if !proposal.parties.values().any(|members| members.contains(to)) {
            self.add_member(id, to).await?;
        }
        self.remove_member(id, &me).await
    }

    /// Takes a member out of a proposal; who leaves it does not look for it any more.
    pub async fn remove_member(&self, id: ProposalId, member: &MemberId) -> Result<()> {
        let me = self.member_id().await?;
        self.api().remove_member(id, member).await?;
        if me == *member {
            self.api().witness().left(id)?;
        }
        Ok(())
    }

    /// Notes that a list has everything that the member may know of, so that what is missing of their own is noticed.
    pub fn saw_all(&self, shown: &[Proposal]) -> Result<()> {
        self.api().witness().whole(shown)
    }
}
