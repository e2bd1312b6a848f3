//! Vaults on the member's machine: made, opened and wrapped to members who may read, by this client's own judgement.
//!
//! Only a key holder can add a reader. The exchange asks for keys to be wrapped; this file wraps one only for a member whose
//! key card verifies, whom the policies in force let read what the vault protects (`enforce`), and not before the call's signed
//! schedule and this machine's clock say that it is open.

use super::{
    Client, ClientError, Result,
    enforce::Admitted,
    own_keys::{KeyTrial, Opening, call_vault_statement},
    verified::{VerifiedCall, VerifiedVault},
    verify::invalid,
};
use crate::{
    domain::{
        id::{CallId, MemberId, PartnerCode, ProposalId, Sha256, VaultId},
        vault::{VaultKind, WrapTarget},
    },
    policy::facts::ProposalFacts,
    sealing::{
        statement::{VaultStatement, WrapStatement},
        vault::VaultSecret,
    },
    wire::proposal::{AddKeys, MissingKey, NewVault, Proposal, SurplusKey, Vault, WrappedKeyIn},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// What was wrapped, and what was not and why.
#[derive(Debug)]
pub struct Wrapped<K = MissingKey> {
    pub done: Vec<K>,
    pub refused: Vec<(K, ClientError)>,
}

/// Which keys were removed and why, and which were not and why.
#[derive(Debug, Default)]
pub struct Removed {
    pub done: Vec<(SurplusKey, ClientError)>,
    pub kept: Vec<(SurplusKey, ClientError)>,
}

/// Whether keys are passed on, or only judged as they would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyPass {
    Done,
    Foreseen,
}

/// A vault to make, and for whom.
pub(super) struct VaultPlan {
    pub(super) kind: VaultKind,
    pub(super) proposal: ProposalId,
    pub(super) party: Option<PartnerCode>,
    pub(super) holders: Vec<Admitted>,
}

impl<K> Default for Wrapped<K> {
    fn default() -> Self {
        Self { done: Vec::new(), refused: Vec::new() }
    }
}

impl Client {
    /// Wraps what others may read but lack a key to, as far as this client agrees.
    pub async fn wrap_missing(&self, id: ProposalId) -> Result<Wrapped> {
        self.pass_missing(id, KeyPass::Done).await
    }

    pub(super) async fn pass_missing(&self, id: ProposalId, pass: KeyPass) -> Result<Wrapped> {
        let missing = self.api().missing_keys(id).await?;
        let mut wrapped = Wrapped::default();
        self.wrap_for(id, missing, pass, &mut wrapped).await?;
        Ok(wrapped)
    }

    /// Wraps these keys, as far as this client agrees. What was done before an error is in `wrapped`.
    pub(super) async fn wrap_for(
        &self,
        id: ProposalId,
        missing: Vec<MissingKey>,
        pass: KeyPass,
        wrapped: &mut Wrapped,
    ) -> Result<()> {
        if missing.is_empty() {
            return Ok(());
        }
        let proposal = self.api().proposal(id).await?;
        let call = self.call(proposal.call).await?;
        let vaults = self.api().vaults(id).await?;
        // Fetched with the first key that needs them. While that fails, each key that needs them is refused for the same reason.
        let facts = OnceCell::new();
        for key in missing {
            match self.wrap_one(&key, (&proposal, &call, &vaults), &facts, pass).await {
                Ok(()) => wrapped.done.push(key),
                Err(error) if error.ends_a_series() => return Err(error),
                // A key that cannot be wrapped keeps none of the others from being wrapped.
                Err(error) => wrapped.refused.push((key, error)),
            }
        }
        Ok(())
    }

    /// Wraps a call's vault for its officers who lack a key to it, as one of them.
    pub async fn wrap_missing_of_call(&self, id: CallId) -> Result<Wrapped> {
        self.pass_missing_of_call(id, KeyPass::Done).await
    }

    pub(super) async fn pass_missing_of_call(&self, id: CallId, pass: KeyPass) -> Result<Wrapped> {
        let mut wrapped = Wrapped::default();
        self.wrap_call_for(id, self.api().missing_call_keys(id).await?, pass, &mut wrapped).await?;
        Ok(wrapped)
    }

    /// Wraps a call's vault for these officers. What was done before an error is in `wrapped`.
    pub(super) async fn wrap_call_for(
        &self,
        id: CallId,
        missing: Vec<MissingKey>,
        pass: KeyPass,
        wrapped: &mut Wrapped,
    ) -> Result<()> {
        if missing.is_empty() {
            return Ok(());
        }
        let call = self.call(id).await?;
        let facts = self.call_facts(&call).await?;
        for key in missing {
            let wrap = async {
                self.look_for(&key.holder, &key.recipients).await?;
                let holder = self.admit_officer(&key.holder, &facts).await?;
                let secret = self.call_vault(&call).await?;
                self.pass_key(call.publication.vault, &secret, &holder, &key.recipients, pass).await
            };
            match wrap.await {
                Ok(()) => wrapped.done.push(key),
                Err(error) if error.ends_a_series() => return Err(error),
                Err(error) => wrapped.refused.push((key, error)),
            }
        }
        Ok(())
    }

    /// Wraps what this member can open of a proposal to the call's vault, beside the keys that are there: when the officers say that
    /// those do not open. How many were wrapped.
    pub async fn wrap_to_call(&self, id: ProposalId) -> Result<usize> {
        self.pass_to_call(id, KeyPass::Done).await
    }

    /// The same; or how many vaults this member could wrap so.
    pub(super) async fn pass_to_call(&self, id: ProposalId, pass: KeyPass) -> Result<usize> {
        let proposal = self.api().proposal(id).await?;
        let call = self.call(proposal.call).await?;
        let me = self.member_id().await?.to_string();
        let mut wrapped = 0;
        for vault in self.api().vaults(id).await? {
            if vault.keys.iter().all(|key| key.holder != me) {
                continue;
            }
            let vault = self.verify_vault(&vault, &proposal, &call).await?;
            let secret = self.open_vault(&vault, &call).await?;
            if pass == KeyPass::Foreseen {
                wrapped += 1;
                continue;
            }
            let to_call = WrapTarget::Vault(call.publication.vault);
            let key = self.wrap(vault.vault.id, &secret, to_call, &call.publication.recipient).await?;
            match self.api().add_keys(vault.vault.id, &AddKeys { keys: vec![key] }).await {
                Err(error) if error.slug() == Some("already-wrapped") => {}
                done => {
                    done?;
                    wrapped += 1;
                }
            }
        }
        Ok(wrapped)
    }

    /// Removes these keys, whose holders policy no longer admits: those of whom this client says the same. A holder whose key
    /// card is out of its time keeps theirs: once it is renewed they are good again, and nobody else may be left to wrap new ones.
    /// What was done before an error is in `removed`.
    pub(super) async fn remove_surplus(
        &self,
        id: ProposalId,
        surplus: Vec<SurplusKey>,
        removed: &mut Removed,
    ) -> Result<()> {
        if surplus.is_empty() {
            return Ok(());
        }
        let proposal = self.api().proposal(id).await?;
        let call = self.call(proposal.call).await?;
        let vaults = self.api().vaults(id).await?;
        let facts = OnceCell::new();
        for key in surplus {
            let judged = async {
                self.require_timely(&key.holder).await?;
                self.admit_to(key.vault, &key.holder, &proposal, &call, &vaults, &facts).await
            };
            let why = match judged.await {
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

    /// A vault made here, wrapped to its holders and to the call's vault.
    pub(super) async fn new_vault(&self, call: &VerifiedCall, plan: VaultPlan) -> Result<(NewVault, Arc<VaultSecret>)> {
        let me = self.member_id().await?;
        let id = VaultId::new_of(&me, &*self.ambient().clock, &*self.ambient().rng);
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
        let mut keys = vec![self.wrap(id, &secret, to_call, &call.publication.recipient).await?];
        for holder in &plan.holders {
            match self.wrap_to_member(id, &secret, holder).await {
                // A colleague's recipient can need a program that is not on this machine: their own nation passes the key on.
                Err(ClientError::Local { .. })
                    if plan.kind == VaultKind::Staff && holder.member().card.member != me => {}
                wrapped => keys.extend(wrapped?),
            }
        }
        let statement = self.signed(&statement).await?;
        self.0.vaults.insert(id, secret.clone());
        Ok((NewVault { statement, keys }, secret))
    }

    /// The vault of a kind among those of a proposal, verified; `None` if the proposal has no such vault.
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
        if let Some(secret) = self.0.vaults.get(&vault.vault.id) {
            return Ok(secret);
        }
        let me = self.member_id().await?.to_string();
        let call_vault = call.publication.vault.to_string();
        let (own, others): (Vec<_>, Vec<_>) = vault.vault.keys.iter().cloned().partition(|key| key.holder == me);
        let through: Vec<_> = others.into_iter().filter(|key| key.holder == call_vault).collect();
        if own.is_empty() && through.is_empty() {
            return Err(ClientError::not_shown(
                format!("you hold no key to the {} vault of this proposal yet", vault.statement.kind),
                "ask somebody who holds one (a call officer, or a member of your party) to run `entente key share`",
            ));
        }
        let mut opening = Opening::default();
        if !own.is_empty() {
            opening = self.open_own(own, vault.statement.clone()).await?;
        }
        // A member who wraps an officer a key that does not open must not shut them out.
        if opening.secret.is_none() && !through.is_empty() {
            let call_vault = self.call_vault(call).await?;
            let recipients = [call_vault.recipient().to_owned()];
            let trying = KeyTrial { identities: &[call_vault.identity()], recipients: &recipients };
            opening = opening.or(trying.open(&through, &vault.statement));
        }
        self.keep_opened(&vault.statement, opening)
    }

    /// The identity of a call's vault, for its officers.
    pub(super) async fn call_vault(&self, call: &VerifiedCall) -> Result<Arc<VaultSecret>> {
        if let Some(secret) = self.0.vaults.get(&call.publication.vault) {
            return Ok(secret);
        }
        let vault = self.api().call_vault(call.call.id).await?;
        let me = self.member_id().await?.to_string();
        let own: Vec<_> = vault.keys.into_iter().filter(|key| key.holder == me).collect();
        if own.is_empty() {
            return Err(ClientError::not_shown(
                "you hold no key to the call's vault",
                "ask another officer of the call to run `entente key share --call`, which wraps it to you",
            ));
        }
        let statement = call_vault_statement(call);
        let opening = self.open_own(own, statement.clone()).await?;
        self.keep_opened(&statement, opening)
    }

    /// Remembers a vault's identity, and reports keys that did not open beside the one that did.
    fn keep_opened(&self, vault: &VaultStatement, mut opening: Opening) -> Result<Arc<VaultSecret>> {
        if opening.secret.is_some() {
            self.tell_broken(&std::mem::take(&mut opening.broken));
        }
        let secret = Arc::new(opening.into_secret(vault.kind)?);
        self.0.vaults.insert(vault.vault, secret.clone());
        Ok(secret)
    }

    /// Wrapped keys for each recipient of a member that can be sealed to here; at least one.
    pub(super) async fn wrap_to_member(
        &self,
        vault: VaultId,
        secret: &VaultSecret,
        holder: &Admitted,
    ) -> Result<Vec<WrappedKeyIn>> {
        self.wrap_to_recipients(vault, secret, holder, holder.member().recipients()).await
    }

    /// The same for some of the recipients, which must be the member's.
    pub(super) async fn wrap_to_recipients(
        &self,
        vault: VaultId,
        secret: &VaultSecret,
        holder: &Admitted,
        recipients: &[String],
    ) -> Result<Vec<WrappedKeyIn>> {
        let (mut keys, mut failed, member) = (Vec::new(), None, holder.member());
        check_named(recipients, holder)?;
        for recipient in recipients {
            match self.wrap(vault, secret, WrapTarget::Member(member.id().clone()), recipient).await {
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

    async fn wrap(
        &self,
        vault: VaultId,
        secret: &VaultSecret,
        to: WrapTarget,
        recipient: &str,
    ) -> Result<WrappedKeyIn> {
        let ciphertext = secret.wrap(recipient)?;
        let statement = WrapStatement { vault, to, recipient: recipient.to_owned(), sha256: Sha256::of(&ciphertext) };
        let statement = self.signed(&statement).await?;
        Ok(WrappedKeyIn { statement, ciphertext: BASE64_STANDARD.encode(ciphertext) })
    }

    async fn wrap_one(
        &self,
        key: &MissingKey,
        (proposal, call, vaults): (&Proposal, &VerifiedCall, &[Vault]),
        facts: &OnceCell<ProposalFacts>,
        pass: KeyPass,
    ) -> Result<()> {
        if !proposal.mine.is_party {
            // A member who judges passes nothing on before the opening, not to a party either.
            call.require_opened(self.now())?;
        }
        self.look_for(&key.holder, &key.recipients).await?;
        let (vault, holder) = self.admit_to(key.vault, &key.holder, proposal, call, vaults, facts).await?;
        let secret = self.open_vault(&vault, call).await?;
        self.pass_key(key.vault, &secret, &holder, &key.recipients, pass).await
    }

    /// Wraps a key to these recipients of a member and adds it. Foreseen, nothing is signed or sent.
    async fn pass_key(
        &self,
        vault: VaultId,
        secret: &VaultSecret,
        holder: &Admitted,
        recipients: &[String],
        pass: KeyPass,
    ) -> Result<()> {
        if pass == KeyPass::Foreseen {
            return check_named(recipients, holder);
        }
        let keys = self.wrap_to_recipients(vault, secret, holder, recipients).await?;
        self.api().add_keys(vault, &AddKeys { keys }).await
    }

    /// Asks for a member's newest key card if the one at hand does not name all of these recipients.
    async fn look_for(&self, member: &MemberId, recipients: &[String]) -> Result<()> {
        let known = self.member(member).await?;
        if recipients.iter().any(|recipient| !known.recipients().contains(recipient)) {
            self.fetch_member(member).await?;
        }
        Ok(())
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
            self.check_not_of_party(&holder.card, proposal, call).await?;
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

/// That the key card of a member names these recipients.
fn check_named(recipients: &[String], holder: &Admitted) -> Result<()> {
    let member = holder.member();
    match recipients.iter().find(|recipient| !member.recipients().contains(recipient)) {
        None => Ok(()),
        Some(foreign) => Err(invalid(format!(
            "the exchange asks for a key to `{foreign}`, which the key card of `{}` does not name",
            member.id()
        ))),
    }
}

fn is_party(proposal: &Proposal, member: &MemberId) -> bool {
    proposal.parties.get(member.partner()).is_some_and(|members| members.contains(member))
}
