//! What an officer passes on to the panel of a call: the vaults that reviews are sealed to, and keys to every reader; what is still missing
//! before more of them can get one. Whether a reader gets a key is judged where it is wrapped.

use super::{
    Client, ClientError, Result,
    naming::FoundProposal,
    vaults::{KeyPass, VaultPlan, Wrapped},
    verified::VerifiedCall,
};
use crate::{
    domain::{
        call::Phase,
        id::{CallId, MemberId, ProposalId},
        member::CallRole,
        proposal::Status,
        vault::VaultKind,
    },
    wire::proposal::{MissingKey, Proposal},
};
use std::{collections::BTreeMap, sync::Arc};

/// What was made ready for a panel.
#[derive(Debug, Default)]
pub struct Prepared {
    /// Proposals that got their deliberation vault now.
    pub vaults_made: Vec<FoundProposal>,
    pub wrapped: Wrapped<PanelKey>,
    /// Proposals that were left out, and why.
    pub skipped: Vec<(FoundProposal, ClientError)>,
    /// What is missing before more keys can be passed on.
    pub lacking: LackingSteps,
}

/// What the panel has still to do before it gets keys, as the exchange has it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LackingSteps {
    /// Assigned reviewers who have not declared, and on how many proposals.
    pub undeclared: BTreeMap<MemberId, usize>,
    /// Proposals without a reviewer.
    pub unassigned: usize,
    /// Proposals on which the officer has not declared, who cannot pass their keys on.
    pub own_undeclared: usize,
}

/// A key that somebody lacks, and the proposal that it is for; none for a key to the vault of the call itself.
#[derive(Debug, Clone, PartialEq)]
pub struct PanelKey {
    pub proposal: Option<FoundProposal>,
    pub key: MissingKey,
}

impl Wrapped<PanelKey> {
    /// Adds the keys of a proposal, or of the call itself.
    fn add(&mut self, proposal: Option<&FoundProposal>, Wrapped { done, refused }: Wrapped) {
        let named = |key| PanelKey { proposal: proposal.cloned(), key };
        self.done.extend(done.into_iter().map(named));
        self.refused.extend(refused.into_iter().map(|(key, error)| (named(key), error)));
    }
}

impl Client {
    /// Makes the deliberation vault of a proposal, as an officer; false when it has one.
    pub async fn make_deliberation_vault(&self, id: ProposalId) -> Result<bool> {
        let Some(call) = self.call_without_deliberation(id).await? else { return Ok(false) };
        let plan = VaultPlan { kind: VaultKind::Deliberation, proposal: id, party: None, holders: Vec::new() };
        let (vault, _) = self.new_vault(&call, plan).await?;
        match self.api().create_deliberation_vault(id, &vault).await {
            // Another officer was quicker.
            Err(error) if error.slug() == Some("exists") => Ok(false),
            made => {
                made?;
                self.see_made(id, &vault).await?;
                Ok(true)
            }
        }
    }

    /// The call of a proposal that has no deliberation vault, and could have one by now; none if it has one.
    async fn call_without_deliberation(&self, id: ProposalId) -> Result<Option<Arc<VerifiedCall>>> {
        let proposal = self.api().proposal(id).await?;
        let call = self.call(proposal.call).await?;
        call.require_opened(self.now())?;
        let has_vault = self.api().vaults(id).await?.iter().any(|vault| vault.kind == VaultKind::Deliberation);
        Ok((!has_vault).then_some(call))
    }

    async fn pass_deliberation_vault(&self, id: ProposalId, pass: KeyPass) -> Result<bool> {
        match pass {
            KeyPass::Done => self.make_deliberation_vault(id).await,
            KeyPass::Foreseen => Ok(self.call_without_deliberation(id).await?.is_some()),
        }
    }

    /// Makes every submitted proposal of a call ready for its panel: the deliberation vault, and keys for everybody who may read by
    /// now. What an officer does after the opening, after assigning, and whenever reviews have come in.
    pub async fn prepare_panel(&self, call: CallId) -> Result<Prepared> {
        self.pass_to_panel(call, KeyPass::Done).await
    }

    /// The same, or what it would do.
    pub(super) async fn pass_to_panel(&self, call: CallId, pass: KeyPass) -> Result<Prepared> {
        let mut prepared = Prepared::default();
        if self.api().call(call).await?.body.my_roles.contains(&CallRole::Officer) {
            prepared.wrapped.add(None, self.pass_missing_of_call(call, pass).await?);
        }
        for proposal in self.api().all_proposals(Some(call)).await? {
            if proposal.status != Status::Submitted {
                continue;
            }
            self.look_for_steps(&proposal, &mut prepared.lacking).await?;
            let found = FoundProposal::from(&proposal);
            match self.prepare_one(proposal.id, pass).await {
                Ok((made, wrapped)) => {
                    prepared.wrapped.add(Some(&found), wrapped);
                    prepared.vaults_made.extend(made.then_some(found));
                }
                Err(error @ (ClientError::Transport { .. } | ClientError::NotSigned(_))) => return Err(error),
                // Also what does not verify: one party must not be able to hold up all the others.
                Err(error) => prepared.skipped.push((found, error)),
            }
        }
        Ok(prepared)
    }

    /// The same for one proposal, by anybody who holds keys to it.
    pub async fn prepare_proposal(&self, id: ProposalId) -> Result<Prepared> {
        self.pass_of_proposal(id, KeyPass::Done).await
    }

    /// The same, or what it would do.
    pub(super) async fn pass_of_proposal(&self, id: ProposalId, pass: KeyPass) -> Result<Prepared> {
        let proposal = self.api().proposal(id).await?;
        let (call, found) = (self.api().call(proposal.call).await?.body, FoundProposal::from(&proposal));
        let is_officer = call.my_roles.contains(&CallRole::Officer);
        let is_panels_turn = is_officer && call.phase == Phase::Review && proposal.status == Status::Submitted;
        let mut prepared = Prepared::default();
        if is_panels_turn && self.pass_deliberation_vault(id, pass).await? {
            prepared.vaults_made.push(found.clone());
        }
        if is_officer {
            prepared.wrapped.add(None, self.pass_missing_of_call(call.id, pass).await?);
        }
        if is_panels_turn {
            self.look_for_steps(&proposal, &mut prepared.lacking).await?;
        }
        prepared.wrapped.add(Some(&found), self.pass_missing(id, pass).await?);
        Ok(prepared)
    }

    /// Adds what is missing on one proposal.
    pub async fn look_for_steps(&self, proposal: &Proposal, lacking: &mut LackingSteps) -> Result<()> {
        if !proposal.mine.is_clear {
            lacking.own_undeclared += 1;
            return Ok(());
        }
        let assignments = match self.api().assignments(proposal.id).await {
            // Who judges may not be asked about; then nothing is said of it.
            Err(ClientError::Problem { .. }) => return Ok(()),
            assignments => assignments?,
        };
        let counting = assignments.iter().filter(|assignment| assignment.set_aside.is_none());
        lacking.unassigned += usize::from(counting.clone().next().is_none() && proposal.decided.is_none());
        for assignment in counting.filter(|assignment| assignment.conflict.is_none()) {
            *lacking.undeclared.entry(assignment.reviewer.clone()).or_default() += 1;
        }
        Ok(())
    }

    async fn prepare_one(&self, id: ProposalId, pass: KeyPass) -> Result<(bool, Wrapped)> {
        let made = self.pass_deliberation_vault(id, pass).await?;
        Ok((made, self.pass_missing(id, pass).await?))
    }
}
