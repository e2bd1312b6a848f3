//! Who may read the content of a proposal's vaults, decided before the turn of an act.
//!
//! What a decision costs is for the nations' policies to say, and everybody else waits while an act writes. So an act that decides on many
//! members does so before its turn, off the threads that serve others. In its turn it takes an answer where the policies, the facts about the
//! proposal and those about the member are the same as before: a decision follows from nothing else. Where one differs, it decides again.

use super::{Exchange, Result, ServiceError, evaluation, state::ProposalState, vault_access::reads};
use crate::{
    domain::{
        id::{MemberId, PartnerCode},
        vault::VaultKind,
    },
    policy::{Engine, facts::MemberFacts},
    share_table::LOOK_BEFORE_TURN,
    storage::vaults::VaultRow,
};
use std::{collections::HashMap, ptr, sync::Arc};
use tokio::time::timeout;

/// What was decided before a turn.
#[derive(Debug, Default)]
pub(super) struct DecidedReaders(Vec<OnProposal>);

/// What was decided on one proposal, by the policies of then.
#[derive(Debug)]
struct OnProposal {
    policies: Arc<Engine>,
    proposal: Arc<ProposalState>,
    known: KnownReaders,
}

/// Whether a member reads what is in a vault of that kind and party, with the facts about the member that it follows from.
type KnownReaders = HashMap<(MemberId, VaultKind, Option<PartnerCode>), (MemberFacts, bool)>;

/// Says who reads what is in the vaults of one proposal as it is now.
#[derive(Debug, Clone, Copy)]
pub(super) struct VaultReaders<'d> {
    policies: &'d Engine,
    proposal: &'d ProposalState,
    known: Option<&'d KnownReaders>,
}

impl DecidedReaders {
    /// What a look before a turn decided. INVARIANT: nobody is refused, or late, for a look that fails or takes long because others are busy:
    /// what it did not decide is decided in the turn.
    pub(super) async fn of(look: impl Future<Output = Result<Self>>) -> Result<Self> {
        match timeout(LOOK_BEFORE_TURN, Box::pin(look)).await {
            Ok(Err(ServiceError::Store(_))) | Err(_) => Ok(Self::default()),
            Ok(decided) => decided,
        }
    }

    /// Decides whether these members read what is in these vaults of the proposal: whether each does, in their order. They take turns of `who`.
    pub(super) async fn decide(
        &mut self,
        exchange: &Exchange,
        who: &MemberId,
        policies: &Arc<Engine>,
        proposal: &Arc<ProposalState>,
        asked: &[(MemberFacts, Arc<VaultRow>)],
    ) -> Result<Vec<bool>> {
        let decide = {
            let (policies, proposal) = (Arc::clone(policies), Arc::clone(proposal));
            move |some: Vec<(MemberFacts, Arc<VaultRow>)>| -> Vec<Result<bool>> {
                some.iter().map(|(member, vault)| reads(member, &policies, vault, &proposal)).collect()
            }
        };
        let decided = evaluation::decided(exchange, who, asked.to_vec(), |_| usize::MAX, decide).await?;
        let decided: Vec<bool> = decided.into_iter().collect::<Result<_>>()?;
        let known =
            asked.iter().zip(&decided).map(|((member, vault), reads)| (key(member, vault), (member.clone(), *reads)));
        let (policies, proposal) = (Arc::clone(policies), Arc::clone(proposal));
        self.0.push(OnProposal { policies, proposal, known: known.collect() });
        Ok(decided)
    }

    /// Who reads what is in the vaults of a proposal.
    pub(super) fn on<'d>(&'d self, policies: &'d Engine, proposal: &'d ProposalState) -> VaultReaders<'d> {
        let is_it = |decided: &&OnProposal| {
            ptr::eq(Arc::as_ptr(&decided.policies), policies) && decided.proposal.facts == proposal.facts
        };
        let known = self.0.iter().find(is_it).map(|decided| &decided.known);
        VaultReaders { policies, proposal, known }
    }
}

impl<'d> VaultReaders<'d> {
    pub(super) fn proposal(&self) -> &'d ProposalState {
        self.proposal
    }

    /// As [`reads`] decides.
    pub(super) fn reads(&self, member: &MemberFacts, vault: &VaultRow) -> Result<bool> {
        let known = self.known.and_then(|known| known.get(&key(member, vault))).filter(|(facts, _)| facts == member);
        known.map_or_else(|| reads(member, self.policies, vault, self.proposal), |(_, reads)| Ok(*reads))
    }
}

fn key(member: &MemberFacts, vault: &VaultRow) -> (MemberId, VaultKind, Option<PartnerCode>) {
    (member.id.clone(), vault.kind, vault.party.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::StoreError;
    use std::future::pending;

    #[tokio::test(start_paused = true)]
    async fn look_that_fails_or_takes_long_refuses_nobody() {
        let busy = async { Err(ServiceError::Store(StoreError::Unavailable("others read".into()))) };
        assert!(DecidedReaders::of(busy).await.unwrap().0.is_empty());
        assert!(DecidedReaders::of(pending()).await.unwrap().0.is_empty());
        let hidden = DecidedReaders::of(async { Err(ServiceError::Hidden) }).await;
        assert!(matches!(hidden, Err(ServiceError::Hidden)));
    }
}
