//! Wrapped keys that their holder has no use for: one that does not open, or one for a recipient that is on the key card no longer.
//!
//! The exchange does not know whether a key opens; its holder does. A discarded key is missing again for that recipient, so a colleague,
//! the counterpart or an officer wraps a new one. Nobody discards the key of another holder, even one that they wrapped themselves, and no
//! officer discards the last one to the call's vault.

use super::{
    Answer, Exchange, RequestContext, Result, ServiceError,
    unit::{Act, Subject},
    vault_access::{reading, require_other_key},
};
use crate::{
    domain::id::{VaultId, WrappedKeyId},
    policy::{Action, Resource},
    storage::vaults,
    wire::entry::payloads::{DiscardedKey, KeyRemoved},
};

/// Discards a wrapped key of the caller's own. Its inverse is that somebody wraps one: `service::vaults::add_keys`.
pub async fn discard(
    exchange: &Exchange,
    context: &RequestContext,
    vault: VaultId,
    key: WrappedKeyId,
) -> Result<Answer> {
    let mut act = Act::begin(exchange, context).await?;
    let vault = vaults::find(&mut act.tx, vault).await?.ok_or(ServiceError::Hidden)?;
    // A member who may use a key may throw it away.
    let (permit, subject) = if let Some(proposal) = vault.proposal {
        let proposal = act.proposal(proposal).await?;
        let (action, resource) = reading(&vault, &proposal, &act.me.id)?.ok_or(ServiceError::Hidden)?;
        (act.authorize(action, resource)?, Subject::proposal(&proposal))
    } else {
        let call = act.call(vault.call).await?;
        (act.authorize(Action::UseCallVault, Resource::Call(&call.facts))?, Subject::call(&call))
    };
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let found = vaults::find_key(&mut act.tx, key).await?;
    let mine = act.me.id.to_string();
    let key = found.filter(|key| key.vault == vault.id && key.holder == mine).ok_or(ServiceError::Hidden)?;
    require_other_key(&mut act.tx, &vault, |other, _| other == key.id).await?;
    vaults::discard_keys(&mut act.tx, &permit, &vault, &[key.id]).await?;
    let discarded = DiscardedKey { key: key.id, recipient: key.recipient, wrapped_by: key.wrapped_by };
    let payload = KeyRemoved { vault: vault.id, holder: key.holder, discarded: Some(discarded) };
    act.log(subject, payload).await?;
    act.finish(Answer::done()).await
}
