//! Vaults on the member's machine: made, opened and wrapped to whoever may read, by this client's own judgement.
//!
//! Only a key holder can add a reader. The exchange asks for keys to be wrapped; this file wraps one only for a member whose
//! key card verifies, whom the policies in force let read what the vault protects (`enforce`), and not before the call's signed
//! schedule and this machine's clock say that it is open.

use super::{
    Client, ClientError, Result, blocking,
    calls::VerifiedCall,
    directory::lock,
    enforce::Admitted,
    verify::{VerifiedVault, check_wrap, invalid},
};
use crate::{
    domain::{
        id::{CallId, MemberId, PartnerCode, ProposalId, Sha256, VaultId},
        proposal::Status,
        vault::{VaultKind, WrapTarget},
    },
    policy::facts::ProposalFacts,
    sealing::{
        seal::SealError,
        statement::{VaultStatement, WrapStatement, sign_statement},
        vault::{VaultError, VaultSecret},
    },
    wire::proposal::{AddKeys, LostKey, MissingKey, NewVault, Proposal, Vault, WrappedKey, WrappedKeyIn},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// What was wrapped, and what was not and why.
#[derive(Debug, Default)]
pub struct Wrapped {
    pub done: Vec<MissingKey>,
    pub refused: Vec<(MissingKey, ClientError)>,
}

/// Which keys were removed and why, and which were not and why.
#[derive(Debug, Default)]
pub struct Removed {
    pub done: Vec<(LostKey, ClientError)>,
    pub kept: Vec<(LostKey, ClientError)>,
}

/// What was made ready for a panel.
#[derive(Debug, Default)]
pub struct Prepared {
    /// Proposals that got their deliberation vault now.
    pub vaults_made: Vec<ProposalId>,
    pub wrapped: Wrapped,
    /// Proposals that were left out, and why.
    pub skipped: Vec<(ProposalId, ClientError)>,
}

/// A vault to make, and for whom.
pub(super) struct VaultPlan {
    pub(super) kind: VaultKind,
    pub(super) proposal: ProposalId,
    pub(super) party: Option<PartnerCode>,
    pub(super) holders: Vec<Admitted>,
}

impl Client {
    /// Wraps what others may read but hold no key to, as far as this client agrees.
    pub async fn wrap_missing(&self, id: ProposalId) -> Result<Wrapped> {
        let missing = self.api().missing_keys(id).await?;
        let mut wrapped = Wrapped::default();
        self.wrap_for(id, missing, &mut wrapped).await?;
        Ok(wrapped)
    }

    /// Wraps these keys, as far as this client agrees. What was done before an error is in `wrapped`.
    pub(super) async fn wrap_for(&self, id: ProposalId, missing: Vec<MissingKey>, wrapped: &mut Wrapped) -> Result<()> {
        if missing.is_empty() {
            return Ok(());
        }
        let proposal = self.api().proposal(id).await?;
        let call = self.call(proposal.call).await?;
        let vaults = self.api().vaults(id).await?;
        // Found out with the first key that they are needed for; what cannot be found out stands in the way of each.
        let facts = OnceCell::new();
        for key in missing {
            let done = match self.wrap_one(&key, &proposal, &call, &vaults, &facts).await {
                Ok(keys) => self.api().add_keys(key.vault, &AddKeys { keys }).await,
                Err(error) => Err(error),
            };
            match done {
                Ok(()) => wrapped.done.push(key),
                Err(error) if error.is_passing() => return Err(error),
                // One that cannot be wrapped is no reason to leave the others without.
                Err(error) => wrapped.refused.push((key, error)),
            }
        }
        Ok(())
    }

    /// Removes these keys, whose holders policy does not admit any more: those of whom this client says the same. What was done
    /// before an error is in `removed`.
    pub(super) async fn remove_lost(&self, id: ProposalId, lost: Vec<LostKey>, removed: &mut Removed) -> Result<()> {
        if lost.is_empty() {
            return Ok(());
        }
        let proposal = self.api().proposal(id).await?;
        let call = self.call(proposal.call).await?;
        let vaults = self.api().vaults(id).await?;
        let facts = OnceCell::new();
        for key in lost {
            let judged = self.admit_to(key.vault, &key.holder, &proposal, &call, &vaults, &facts).await;
            let why = match judged {
                Ok(_) => {
                    let kept = invalid("the exchange has this key removed, but the policies in force admit its holder");
                    removed.kept.push((key, kept));
                    continue;
                }
                Err(error) if error.is_passing() => return Err(error),
                Err(why @ (ClientError::Unverified { .. } | ClientError::Problem { .. })) => why,
                // No judgement on the holder.
                Err(error) => {
                    removed.kept.push((key, error));
                    continue;
                }
            };
            match self.api().remove_key(key.vault, &key.holder).await {
                Ok(()) => removed.done.push((key, why)),
                Err(error) if error.is_passing() => return Err(error),
                // Somebody else removed it.
                Err(error) if error.is_not_found() => {}
                Err(error) => removed.kept.push((key, error)),
            }
        }
        Ok(())
    }

    /// Makes the deliberation vault of a proposal, as an officer; false when it has one.
    pub async fn make_deliberation_vault(&self, id: ProposalId) -> Result<bool> {
        let proposal = self.api().proposal(id).await?;
        let call = self.call(proposal.call).await?;
        call.require_opened(self.now())?;
        if self.api().vaults(id).await?.iter().any(|vault| vault.kind == VaultKind::Deliberation) {
            return Ok(false);
        }
        let plan = VaultPlan { kind: VaultKind::Deliberation, proposal: id, party: None, holders: Vec::new() };
        let (vault, _) = self.new_vault(&call, plan)?;
        match self.api().create_deliberation_vault(id, &vault).await {
            // Another officer was quicker.
            Err(error) if error.slug() == Some("exists") => Ok(false),
            made => made.map(|()| true),
        }
    }

    /// Makes every submitted proposal of a call ready for its panel: the deliberation vault, and keys for whoever may read by
    /// now. What an officer does after the opening, after assigning, and whenever reviews have come in.
    pub async fn prepare_panel(&self, call: CallId) -> Result<Prepared> {
        let mut prepared = Prepared::default();
        for proposal in self.api().all_proposals(Some(call)).await? {
            if proposal.status != Status::Submitted {
                continue;
            }
            match self.prepare_one(proposal.id).await {
                Ok((made, wrapped)) => {
                    prepared.vaults_made.extend(made.then_some(proposal.id));
                    prepared.wrapped.done.extend(wrapped.done);
                    prepared.wrapped.refused.extend(wrapped.refused);
                }
                Err(error @ ClientError::Transport { .. }) => return Err(error),
                // Also what does not verify: one party must not be able to hold up all the others.
                Err(error) => prepared.skipped.push((proposal.id, error)),
            }
        }
        Ok(prepared)
    }

    /// A vault made here, wrapped to its holders and to the call's vault.
    pub(super) fn new_vault(&self, call: &VerifiedCall, plan: VaultPlan) -> Result<(NewVault, Arc<VaultSecret>)> {
        let id = VaultId::new(&*self.ambient().clock, &*self.ambient().rng);
        let secret = Arc::new(VaultSecret::generate());
        let statement = VaultStatement {
            vault: id,
            kind: plan.kind,
            call: call.call.id,
            proposal: Some(plan.proposal),
            party: plan.party,
            recipient: secret.recipient().to_owned(),
        };
        // To the call's vault without asking anybody's policies: the signed call names it, everything sealed is wrapped to it, and who
        // may hold its own key is asked where that is wrapped.
        let to_call = WrapTarget::Vault(call.publication.vault);
        let mut keys = vec![self.wrap(id, &secret, to_call, &call.publication.recipient)?];
        for holder in &plan.holders {
            keys.extend(self.wrap_to_member(id, &secret, holder)?);
        }
        let statement = sign_statement(&*self.signing_key()?, &statement)?;
        lock(&self.0.vaults).insert(id, secret.clone());
        Ok((NewVault { statement, keys }, secret))
    }

    /// The vault of a kind among those of a proposal, verified; none if there is none.
    pub(super) async fn find_vault(
        &self,
        vaults: &[Vault],
        kind: VaultKind,
        party: Option<&PartnerCode>,
        proposal: &Proposal,
        call: &VerifiedCall,
    ) -> Result<Option<VerifiedVault>> {
        match vaults.iter().find(|vault| vault.kind == kind && vault.party.as_ref() == party) {
            Some(vault) => self.verify_vault(vault, proposal, call).await.map(Some),
            None => Ok(None),
        }
    }

    /// The identity of a vault, through the caller's own key or through the call's vault.
    pub(super) async fn open_vault(&self, vault: &VerifiedVault, call: &VerifiedCall) -> Result<Arc<VaultSecret>> {
        if let Some(secret) = lock(&self.0.vaults).get(&vault.vault.id) {
            return Ok(secret.clone());
        }
        let me = self.member_id().await?.to_string();
        let (own, through): (Vec<_>, Vec<_>) = vault.vault.keys.iter().cloned().partition(|key| key.holder == me);
        let secret = if !own.is_empty() {
            self.unwrap(own, vault.statement.clone()).await?
        } else if through.iter().any(|key| key.holder == call.publication.vault.to_string()) {
            let call_vault = self.call_vault(call).await?;
            unwrap_with(&through, &vault.statement, &[call_vault.identity()])?
        } else {
            return Err(ClientError::usage(
                format!("you hold no key to the {} vault of this proposal yet", vault.statement.kind),
                "ask somebody who holds one (a call officer, or a member of your party) to run `entente key share`",
            ));
        };
        let secret = Arc::new(secret);
        lock(&self.0.vaults).insert(vault.vault.id, secret.clone());
        Ok(secret)
    }

    /// The identity of a call's vault, for its officers.
    pub(super) async fn call_vault(&self, call: &VerifiedCall) -> Result<Arc<VaultSecret>> {
        if let Some(secret) = lock(&self.0.vaults).get(&call.publication.vault) {
            return Ok(secret.clone());
        }
        let vault = self.api().call_vault(call.call.id).await?;
        let statement = VaultStatement {
            vault: call.publication.vault,
            kind: VaultKind::Call,
            call: call.call.id,
            proposal: None,
            party: None,
            recipient: call.publication.recipient.clone(),
        };
        let me = self.member_id().await?.to_string();
        let own: Vec<WrappedKey> = vault.keys.into_iter().filter(|key| key.holder == me).collect();
        if own.is_empty() {
            return Err(ClientError::usage(
                "you hold no key to the call's vault",
                "ask another officer of the call to grant you the role again, which wraps it to you",
            ));
        }
        let secret = Arc::new(self.unwrap(own, statement).await?);
        lock(&self.0.vaults).insert(call.publication.vault, secret.clone());
        Ok(secret)
    }

    /// Wrapped keys for each recipient of a member that can be sealed to here; at least one.
    pub(super) fn wrap_to_member(
        &self,
        vault: VaultId,
        secret: &VaultSecret,
        holder: &Admitted,
    ) -> Result<Vec<WrappedKeyIn>> {
        let (mut keys, mut failed, member) = (Vec::new(), None, holder.member());
        for recipient in member.recipients() {
            match self.wrap(vault, secret, WrapTarget::Member(member.id().clone()), recipient) {
                Ok(key) => keys.push(key),
                // A plugin that only the holder has; another of their recipients will do.
                Err(error @ ClientError::Local { .. }) => failed = Some(error),
                Err(error) => return Err(error),
            }
        }
        match failed {
            Some(error) if keys.is_empty() => Err(error.about(format_args!("wrapping to `{}`", member.id()))),
            _ => Ok(keys),
        }
    }

    fn wrap(&self, vault: VaultId, secret: &VaultSecret, to: WrapTarget, recipient: &str) -> Result<WrappedKeyIn> {
        let ciphertext = secret.wrap(recipient)?;
        let statement = WrapStatement { vault, to, recipient: recipient.to_owned(), sha256: Sha256::of(&ciphertext) };
        let statement = sign_statement(&*self.signing_key()?, &statement)?;
        Ok(WrappedKeyIn { statement, ciphertext: BASE64_STANDARD.encode(ciphertext) })
    }

    async fn unwrap(&self, keys: Vec<WrappedKey>, statement: VaultStatement) -> Result<VaultSecret> {
        let keyring = self.keyring().await?;
        blocking(move || unwrap_with(&keys, &statement, &keyring.identities())).await
    }

    async fn prepare_one(&self, id: ProposalId) -> Result<(bool, Wrapped)> {
        let made = self.make_deliberation_vault(id).await?;
        Ok((made, self.wrap_missing(id).await?))
    }

    async fn wrap_one(
        &self,
        key: &MissingKey,
        proposal: &Proposal,
        call: &VerifiedCall,
        vaults: &[Vault],
        facts: &OnceCell<ProposalFacts>,
    ) -> Result<Vec<WrappedKeyIn>> {
        if !proposal.mine.is_party {
            // Whoever judges passes nothing on before the opening, not to a party either.
            call.require_opened(self.now())?;
        }
        let (vault, holder) = self.admit_to(key.vault, &key.holder, proposal, call, vaults, facts).await?;
        let secret = self.open_vault(&vault, call).await?;
        self.wrap_to_member(key.vault, &secret, &holder)
    }

    /// The vault, verified, and its reader, if the policies in force admit them to it.
    async fn admit_to(
        &self,
        vault: VaultId,
        reader: &MemberId,
        proposal: &Proposal,
        call: &VerifiedCall,
        vaults: &[Vault],
        facts: &OnceCell<ProposalFacts>,
    ) -> Result<(VerifiedVault, Admitted)> {
        let vault = vaults.iter().find(|shown| shown.id == vault);
        let vault = vault.ok_or_else(|| invalid("the exchange asks for a key to a vault that it does not show"))?;
        let vault = self.verify_vault(vault, proposal, call).await?;
        let VaultStatement { kind, party, .. } = &vault.statement;
        let holder = self.member(reader).await?;
        if !is_party(proposal, reader) {
            self.check_not_of_party(&holder.card, proposal).await?;
        }
        let facts = facts.get_or_try_init(|| self.proposal_facts(proposal, call, vaults)).await?;
        let holder = if *kind == VaultKind::Deliberation {
            let reviewed = self.reviewers(proposal).await?;
            let facts = ProposalFacts { reviewed, ..facts.clone() };
            self.admit(reader, *kind, party.as_ref(), &facts).await?
        } else {
            self.admit(reader, *kind, party.as_ref(), facts).await?
        };
        Ok((vault, holder))
    }
}

fn is_party(proposal: &Proposal, member: &MemberId) -> bool {
    proposal.parties.get(member.partner()).is_some_and(|members| members.contains(member))
}

/// The vault's identity out of the first of `keys` that opens and holds it.
fn unwrap_with(
    keys: &[WrappedKey],
    vault: &VaultStatement,
    identities: &[&dyn crate::sealing::identity::Identity],
) -> Result<VaultSecret> {
    let mut last = None;
    for key in keys {
        let ciphertext = BASE64_STANDARD.decode(&key.ciphertext).map_err(|_| invalid("a wrapped key is no base64"))?;
        check_wrap(key, vault, &ciphertext)?;
        match VaultSecret::unwrap(&ciphertext, identities, &vault.recipient) {
            Ok(secret) => return Ok(secret),
            // One for another of the member's identities.
            Err(VaultError::Seal(error @ SealError::NoMatchingIdentity)) => last = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    Err(last.unwrap_or(SealError::NoMatchingIdentity).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::testing::{Nation, proposal};
    use crate::sealing::identity::{Keyring, NoPrompt};

    fn statement(kind: VaultKind, party: Option<&str>) -> VaultStatement {
        VaultStatement {
            vault: "vault_01J9ZQ4N6M8V7X5T3R2P1K0HGA".parse().unwrap(),
            kind,
            call: "call_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap(),
            proposal: (kind != VaultKind::Call).then(|| proposal().id),
            party: party.map(|party| party.parse().unwrap()),
            recipient: VaultSecret::generate().recipient().to_owned(),
        }
    }

    #[test]
    fn wrapped_key_of_another_vault_or_file_is_refused() {
        let (avi, secret) = (Nation::new("ISR").member("avi"), VaultSecret::generate());
        let vault = VaultStatement { recipient: secret.recipient().to_owned(), ..statement(VaultKind::Panel, None) };
        let ciphertext = secret.wrap(&avi.card.recipients[0]).unwrap();
        let wrap = WrapStatement {
            vault: vault.vault,
            to: WrapTarget::Member(avi.card.member.clone()),
            recipient: avi.card.recipients[0].clone(),
            sha256: Sha256::of(&ciphertext),
        };
        let key = |wrap: &WrapStatement, ciphertext: &[u8]| WrappedKey {
            id: "key_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap(),
            holder: avi.card.member.to_string(),
            recipient: avi.card.recipients[0].clone(),
            statement: sign_statement(&avi.key, wrap).unwrap(),
            ciphertext: BASE64_STANDARD.encode(ciphertext),
            wrapped_by: avi.card.member.clone(),
        };
        let keyring = Keyring::parse(avi.identity.secret().expose().as_bytes(), "avi", &NoPrompt).unwrap();
        let unwrap = |key: WrappedKey| unwrap_with(&[key], &vault, &keyring.identities());
        assert_eq!(unwrap(key(&wrap, &ciphertext)).unwrap().recipient(), vault.recipient);
        let elsewhere = WrapStatement { vault: "vault_01J9ZQ4N6M8V7X5T3R2P1K0HGB".parse().unwrap(), ..wrap.clone() };
        assert_eq!(unwrap(key(&elsewhere, &ciphertext)).unwrap_err().class().code(), 4);
        let other = VaultSecret::generate().wrap(&avi.card.recipients[0]).unwrap();
        assert_eq!(unwrap(key(&wrap, &other)).unwrap_err().class().code(), 4, "other bytes than signed");
        let substituted = WrapStatement { sha256: Sha256::of(&other), ..wrap };
        assert_eq!(unwrap(key(&substituted, &other)).unwrap_err().class().code(), 4, "the identity of another vault");
    }
}
