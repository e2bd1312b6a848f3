//! Vaults and wrapped keys: who may hold a key to what.
//!
//! The server never sees an identity. It holds wrapped keys and hands each to its holder only; which ones it takes is said in `wraps`.

use super::{
    Answer, Exchange, RequestContext, Result, ServiceError,
    state::{CallState, ProposalState},
    unit::{Act, Subject, permit},
    vault_access::{may_wrap, reads, require_other_holder, said, wrap_action, wrap_refused},
    verified::Verified,
    wraps::{VaultSought, Wraps},
};
use crate::{
    domain::{
        Refusal,
        call::LetterAudience,
        id::{CallId, MemberId, ProposalId, VaultId},
    },
    policy::{Action, Permit, Resource},
    sealing::statement::{Signed, VaultKind, VaultStatement},
    storage::vaults::{self, VaultRow, WrappedKeyRow},
    wire::{
        entry::payloads::{KeyFetched, KeyRemoved, VaultCreated},
        page::Page,
        proposal::{AddKeys, NewVault, Vault, WrappedKey},
    },
};
use base64::{Engine, prelude::BASE64_STANDARD};

/// The vaults of a proposal that the caller may know of, with the keys the caller can use. Handing out keys leaves an entry.
pub async fn of_proposal(exchange: &Exchange, context: &RequestContext, id: ProposalId) -> Result<Page<Vault>> {
    let mut act = Act::begin_read(exchange, context).await?;
    let proposal = act.proposal(id).await?;
    act.authorize(Action::View, Resource::Proposal(&proposal.facts))?;
    let mut items = Vec::new();
    for vault in vaults::of_proposal(&mut act.tx, id).await? {
        let reads = reads(&act.me, &act.policies, &vault, &proposal)?;
        // A reviewer seals to the deliberation vault long before holding a key to it.
        let seals = vault.kind == VaultKind::Deliberation
            && permit(&act.policies, &act.me, Action::Review, Resource::Proposal(&proposal.facts)).is_ok();
        // Each party signs for the other's restricted documents too, so it sees where they are sealed to, and no key.
        let signs = vault.kind == VaultKind::Staff && proposal.facts.shows_as_party(&act.me.id);
        // Who writes to that party alone seals to it, whether or not its nation lets them read its restricted documents.
        let writes = vault.kind == VaultKind::Staff
            && proposal.call.text.letters == LetterAudience::OneParty
            && permit(&act.policies, &act.me, Action::SendLetter, Resource::Proposal(&proposal.facts)).is_ok();
        if !reads && !seals && !signs && !writes {
            continue;
        }
        let keys = if reads { usable_keys(&mut act, &vault, &proposal.call).await? } else { Vec::new() };
        if !keys.is_empty() {
            act.log(Subject::proposal(&proposal), fetched(&vault, &keys)).await?;
        }
        items.push(answer(vault, keys));
    }
    act.finish_read(Page { items, next: None }).await
}

fn fetched(vault: &VaultRow, keys: &[WrappedKeyRow]) -> KeyFetched {
    KeyFetched { vault: vault.id, keys: keys.iter().map(|key| key.id).collect() }
}

/// The call vault with the caller's own key to it; for officers.
pub async fn of_call(exchange: &Exchange, context: &RequestContext, id: CallId) -> Result<Vault> {
    let mut act = Act::begin_read(exchange, context).await?;
    let call = act.call(id).await?;
    act.authorize(Action::UseCallVault, Resource::Call(&call.facts))?;
    let vault = vaults::find(&mut act.tx, call.row.vault.ok_or(ServiceError::Hidden)?).await?;
    let vault = vault.ok_or(ServiceError::Hidden)?;
    let keys = own_keys(&mut act, &vault).await?;
    act.log(Subject::call(&call), fetched(&vault, &keys)).await?;
    act.finish_read(answer(vault, keys)).await
}

/// Makes the deliberation vault of a proposal, to which its reviews will be sealed.
pub async fn create_deliberation(
    exchange: &Exchange,
    context: &RequestContext,
    id: ProposalId,
    body: &NewVault,
) -> Result<Answer> {
    let made_vault = Verified::of(&body.statement).await?;
    let wraps = Wraps::of(&body.keys).await?.decided(exchange, context, VaultSought::Made(&made_vault)).await?;
    let mut act = Act::begin(exchange, context).await?;
    let proposal = act.proposal(id).await?;
    let permit = act.authorize(Action::WrapDeliberation, Resource::Proposal(&proposal.facts))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let vault = verified(&mut act, made_vault, VaultKind::Deliberation, proposal.row.call, Some(id)).await?;
    create(&mut act, &permit, Subject::proposal(&proposal), &vault).await?;
    wraps.add(&mut act, &permit, &proposal, &vault).await?;
    require_call_vault_key(&mut act, &vault, &proposal.call).await?;
    act.finish(Answer::created(format!("/v1/proposals/{id}/vaults"), &answer(vault, Vec::new()))).await
}

/// Adds wrapped keys to a vault.
pub async fn add_keys(exchange: &Exchange, context: &RequestContext, id: VaultId, body: &AddKeys) -> Result<Answer> {
    let wraps = Wraps::of(&body.keys).await?.decided(exchange, context, VaultSought::Kept(id)).await?;
    let mut act = Act::begin(exchange, context).await?;
    let vault = vaults::find(&mut act.tx, id).await?.ok_or(ServiceError::Hidden)?;
    if let Some(proposal) = vault.proposal {
        let proposal = act.proposal(proposal).await?;
        let permit = act.authorize(wrap_action(&vault), Resource::Proposal(&proposal.facts))?;
        if !may_wrap(&act.me, &act.policies, &vault, &proposal)? {
            return Err(ServiceError::Hidden);
        }
        if let Some(answer) = act.replayed()? {
            return Ok(answer);
        }
        wraps.add(&mut act, &permit, &proposal, &vault).await?;
    } else {
        let call = act.call(vault.call).await?;
        let permit = act.authorize(Action::UseCallVault, Resource::Call(&call.facts))?;
        if let Some(answer) = act.replayed()? {
            return Ok(answer);
        }
        wraps.add_to_call(&mut act, &permit, &call, &vault).await?;
    }
    act.finish(Answer::done()).await
}

/// Verifies a vault's statement: signed by the principal, of this kind, for this place, and by a name of the principal's own making.
pub(super) async fn verified(
    act: &mut Act<'_>,
    verified: Verified<VaultStatement>,
    kind: VaultKind,
    call: CallId,
    proposal: Option<ProposalId>,
) -> Result<VaultRow> {
    let Signed { statement, jws, .. } = act.signed(verified).await?;
    let (given, for_call, for_proposal) = (statement.kind, statement.call, statement.proposal);
    let vault = said(statement, jws, &act.me.id);
    if given != kind || for_call != call || for_proposal != proposal {
        let fault = "the vault's statement is for another kind, call or proposal".to_owned();
        return Err(Refusal::Statement { fault }.into());
    }
    // A member who uses an identifier that another member made gets the same answer whether there is a vault by that name or not.
    if !vault.id.is_of(&act.me.id) {
        let fault = format!("the identifier of a vault that `{}` makes ends with a check that says so", act.me.id);
        return Err(Refusal::Statement { fault }.into());
    }
    Ok(vault)
}

/// Stores a vault and logs it. Who meets a taken name or place knows of it: they made the one, and see the other.
pub(super) async fn create(act: &mut Act<'_>, permit: &Permit, subject: Subject, vault: &VaultRow) -> Result<()> {
    let now = act.now;
    vaults::create(&mut act.tx, permit, vault, now).await.map_err(|error| match error.constraint() {
        Some("vaults_place_key" | "vaults_pkey") => {
            ServiceError::Refused(Refusal::Exists { what: format!("{} vault", vault.kind) })
        }
        _ => error.into(),
    })?;
    let payload = VaultCreated {
        vault: vault.id,
        kind: vault.kind,
        party: vault.party.clone(),
        recipient: vault.recipient.clone(),
    };
    act.log(subject, payload).await?;
    Ok(())
}

/// Every vault of a proposal must be wrapped to the recipient of the call's, or nobody could ever open it for the panel.
pub(super) async fn require_call_vault_key(act: &mut Act<'_>, vault: &VaultRow, call: &CallState) -> Result<()> {
    let target = match call.row.vault {
        Some(id) => vaults::find(&mut act.tx, id).await?,
        None => None,
    };
    let is_wrapped = match target {
        Some(target) => {
            vaults::is_wrapped_for(&mut act.tx, vault.id, &target.id.to_string(), &target.recipient).await?
        }
        None => false,
    };
    if is_wrapped {
        Ok(())
    } else {
        Err(wrap_refused(&format!("the {} vault is not wrapped to the call's vault", vault.kind)))
    }
}

/// Removes the keys that a member holds to a vault.
pub(super) async fn remove_keys(
    act: &mut Act<'_>,
    permit: &Permit,
    subject: Subject,
    vault: &VaultRow,
    holder: &MemberId,
) -> Result<()> {
    require_other_holder(&mut act.tx, vault, holder).await?;
    if vaults::remove_keys(&mut act.tx, permit, vault, holder).await? > 0 {
        act.log(subject, removed(vault, holder)).await?;
    }
    Ok(())
}

/// The same of keys to proposals' vaults, each of which its holder holds: of many at once.
pub(super) async fn remove_held_keys(
    act: &mut Act<'_>,
    permit: &Permit,
    held: &[(Subject, VaultRow, MemberId)],
) -> Result<()> {
    let keys: Vec<_> = held.iter().map(|(_, vault, holder)| (vault, holder)).collect();
    assert!(keys.iter().all(|(vault, _)| vault.kind != VaultKind::Call), "the last one of those has to stay");
    vaults::remove_held_keys(&mut act.tx, permit, &keys).await?;
    let entries = held.iter().map(|(subject, vault, holder)| (*subject, removed(vault, holder).into()));
    act.log_all(entries.collect()).await
}

pub(super) fn removed(vault: &VaultRow, holder: &MemberId) -> KeyRemoved {
    KeyRemoved { vault: vault.id, holder: holder.to_string(), discarded: None }
}

/// Officers open proposals through the call vault; everybody else needs a key of their own.
pub(super) fn needs_own_key(kind: VaultKind, proposal: &ProposalState, member: &MemberId) -> bool {
    kind != VaultKind::Call && !proposal.call.facts.officers().contains(member)
}

async fn usable_keys(act: &mut Act<'_>, vault: &VaultRow, call: &CallState) -> Result<Vec<WrappedKeyRow>> {
    let is_officer = act.authorize(Action::UseCallVault, Resource::Call(&call.facts)).is_ok();
    let call_vault = call.row.vault.map(|id| id.to_string()).unwrap_or_default();
    let me = act.me.id.to_string();
    // Every reader of a proposal comes here, and a vault has the keys of all of them.
    let other = if is_officer { &*call_vault } else { &*me };
    Ok(vaults::keys_of(&mut act.tx, vault.id, [&*me, other]).await?)
}

async fn own_keys(act: &mut Act<'_>, vault: &VaultRow) -> Result<Vec<WrappedKeyRow>> {
    let me = act.me.id.to_string();
    Ok(vaults::keys_of(&mut act.tx, vault.id, [&*me, &*me]).await?)
}

fn answer(vault: VaultRow, keys: Vec<WrappedKeyRow>) -> Vault {
    let key = |key: WrappedKeyRow| WrappedKey {
        id: key.id,
        holder: key.holder,
        recipient: key.recipient,
        statement: key.statement,
        ciphertext: BASE64_STANDARD.encode(key.ciphertext),
        wrapped_by: key.wrapped_by,
    };
    Vault {
        id: vault.id,
        kind: vault.kind,
        party: vault.party,
        recipient: vault.recipient,
        statement: vault.statement,
        keys: keys.into_iter().map(key).collect(),
    }
}
