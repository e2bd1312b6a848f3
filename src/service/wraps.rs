//! The wrapped keys that a request brings: looked at before its turn, taken within it, each if policy lets its holder read what the
//! vault protects.
//!
//! Others wait while keys are written. So a request brings at most [`MOST`] of them, over all its vaults, and what each is by itself, its
//! signature and the shape of its file, is found out before the turn comes and off the threads that serve others.

use super::{
    Result, aside, sealed_bytes,
    state::{CallState, ProposalState},
    unit::{Act, Subject},
    vault_access::{may_name, opens_call_vault, reads, require_other_key, wrap_refused},
};
use crate::{
    domain::{
        Refusal,
        id::{MemberId, Sha256, WrappedKeyId},
    },
    policy::{Action, Permit, facts::MemberFacts},
    sealing::statement::{Signed, StatementError, WrapStatement, WrapTarget, verify_signed},
    storage::{
        members,
        vaults::{self, VaultRow, WrappedKeyRow},
    },
    wire::{entry::payloads::KeyWrapped, proposal::WrappedKeyIn},
};
use std::collections::HashMap;

/// Most keys in one request: a proposal of twenty-four members with two recipients on each key card begins with 103.
pub(super) const MOST: usize = 128;
/// Largest wrapped key, in bytes; one for a post-quantum recipient has about 2 KiB.
const MAX_WRAPPED_KEY: usize = 16 << 10;

/// Wrapped keys to one vault, each with what is wrong with it by itself. That is said in its turn, since who may not add keys hears that
/// alone.
#[derive(Debug)]
pub(super) struct Wraps(Vec<Wrap>);

#[derive(Debug)]
struct Wrap {
    statement: std::result::Result<Signed<WrapStatement>, StatementError>,
    ciphertext: Result<Vec<u8>>,
}

impl Wraps {
    /// Looks at the keys to one vault.
    pub(super) async fn of(keys: &[WrappedKeyIn]) -> Result<Self> {
        let all = Self::of_all(&[keys]).await?;
        Ok(Self(all.into_iter().flat_map(|wraps| wraps.0).collect()))
    }

    /// Looks at the keys to several vaults.
    pub(super) async fn of_all(keys: &[&[WrappedKeyIn]]) -> Result<Vec<Self>> {
        let count: usize = keys.iter().map(|keys| keys.len()).sum();
        if count > MOST {
            return Err(wrap_refused(&format!(
                "{count} keys came at once, at most {MOST} are taken; add the others in further requests, and ask those for \
                 whom they are once the proposal is begun"
            )));
        }
        let keys: Vec<Vec<WrappedKeyIn>> = keys.iter().map(|keys| keys.to_vec()).collect();
        aside(move || keys.iter().map(|keys| Self(keys.iter().map(Wrap::look).collect())).collect()).await
    }

    /// Adds the keys to a proposal's vault.
    pub(super) async fn add(
        self,
        act: &mut Act<'_>,
        permit: &Permit,
        proposal: &ProposalState,
        vault: &VaultRow,
    ) -> Result<()> {
        let mut holders = Holders::default();
        for wrap in self.0 {
            let (to, row) = wrap.for_vault(act, vault).await?;
            match &to {
                WrapTarget::Vault(_) => {
                    let call_vault = match proposal.call.row.vault {
                        Some(id) if WrapTarget::Vault(id) == to => vaults::find(&mut act.tx, id).await?,
                        _ => None,
                    };
                    if call_vault.is_none_or(|found| found.recipient != row.recipient) {
                        return Err(wrap_refused("the only vault that a proposal is wrapped to is its call's"));
                    }
                }
                WrapTarget::Member(holder) => {
                    let facts = holders.find(act, holder, &row.recipient).await?;
                    check_reader(act, permit, proposal, vault, facts)?;
                }
            }
            store(act, permit, Subject::proposal(proposal), vault, &row).await?;
        }
        Ok(())
    }

    /// Adds the keys to a call's vault, each if its holder is an officer of the call.
    pub(super) async fn add_to_call(
        self,
        act: &mut Act<'_>,
        permit: &Permit,
        call: &CallState,
        vault: &VaultRow,
    ) -> Result<()> {
        let mut holders = Holders::default();
        for wrap in self.0 {
            let (to, row) = wrap.for_vault(act, vault).await?;
            let WrapTarget::Member(holder) = &to else {
                return Err(wrap_refused("a call's vault is wrapped to members only"));
            };
            let facts = holders.find(act, holder, &row.recipient).await?;
            if !opens_call_vault(facts, &act.policies, call) {
                return Err(wrap_refused(&format!("`{holder}` is no officer of the call")));
            }
            store(act, permit, Subject::call(call), vault, &row).await?;
        }
        Ok(())
    }
}

impl Wrap {
    fn look(key: &WrappedKeyIn) -> Self {
        Self {
            statement: verify_signed(&key.statement),
            ciphertext: sealed_bytes::from_base64(&key.ciphertext, MAX_WRAPPED_KEY),
        }
    }

    /// The key as it is kept, if the caller signed it for this vault.
    async fn for_vault(self, act: &mut Act<'_>, vault: &VaultRow) -> Result<(WrapTarget, WrappedKeyRow)> {
        let Signed { statement, jws, .. } = act.signed_by_me(self.statement?).await?;
        let ciphertext = self.ciphertext?;
        if statement.vault != vault.id || statement.sha256 != Sha256::of(&ciphertext) {
            return Err(wrap_refused("the statement is for another vault or another file"));
        }
        let row = WrappedKeyRow {
            id: WrappedKeyId::new(&*act.exchange.clock, &*act.exchange.rng),
            vault: vault.id,
            holder: statement.to.to_string(),
            recipient: statement.recipient,
            statement: jws,
            ciphertext,
            wrapped_by: act.me.id.clone(),
        };
        Ok((statement.to, row))
    }
}

/// Those for whom keys of one request are, each read once.
#[derive(Default)]
struct Holders(HashMap<MemberId, MemberFacts>);

impl Holders {
    /// A member whose key card in force names the recipient.
    async fn find(&mut self, act: &mut Act<'_>, holder: &MemberId, recipient: &str) -> Result<&MemberFacts> {
        if !self.0.contains_key(holder) {
            let facts = act.member(holder).await?;
            self.0.insert(holder.clone(), facts);
        }
        if !members::has_recipient(&mut act.tx, holder, recipient).await? {
            return Err(wrap_refused(&format!("the key card of `{holder}` does not name that recipient")));
        }
        Ok(&self.0[holder])
    }
}

/// Refuses a key for somebody who may not read what the vault protects, or of whom the caller is not to hear.
fn check_reader(
    act: &Act<'_>,
    permit: &Permit,
    proposal: &ProposalState,
    vault: &VaultRow,
    holder: &MemberFacts,
) -> Result<()> {
    let id = &holder.id;
    // A party that could wrap for the panel could find out, one try after another, who judges its proposal.
    let may_hear_of = may_name(&act.me, proposal, id) || is_inviting(permit, proposal) && proposal.facts.invites(id);
    if let Some(label) = proposal.row.label.as_ref().filter(|label| may_hear_of && !label.admits(id.partner())) {
        // Whatever the policies in force say: no key is wrapped past the label that the owners signed.
        return Err(wrap_refused(&format!(
            "the proposal is `{label}`, so `{id}` gets no key; its parties can relabel it"
        )));
    }
    if !may_hear_of || !reads(holder, &act.policies, vault, proposal)? {
        return Err(wrap_refused(&format!("policy does not let `{id}` read what this vault protects")));
    }
    Ok(())
}

/// Whether keys are wrapped in the act that asks their holder to join. Any other would reveal, again and again, whether somebody who was
/// asked takes a part in the call by now.
fn is_inviting(permit: &Permit, proposal: &ProposalState) -> bool {
    permit.covers_proposal(&[Action::AddMember, Action::Edit], proposal.row.id)
        || permit.covers_call(&[Action::CreateProposal], proposal.row.call)
}

/// Keeps a key beside those that others wrapped for the same recipient.
async fn store(
    act: &mut Act<'_>,
    permit: &Permit,
    subject: Subject,
    vault: &VaultRow,
    row: &WrappedKeyRow,
) -> Result<()> {
    // INVARIANT: no key of another holder is ever replaced, not even by the member who wrapped it: what opens today opens tomorrow. Others
    // stand beside it, so that a key that does not open keeps nobody out.
    let me = act.me.id.clone();
    let is_mine = row.holder == me.to_string();
    let beside = vaults::keys_for(&mut act.tx, vault.id, &row.holder, &row.recipient).await?;
    let earlier = beside.iter().find(|key| key.wrapped_by == me);
    if let Some(earlier) = earlier {
        if !is_mine {
            return Err(Refusal::AlreadyWrapped { holder: row.holder.clone() }.into());
        }
        // The key that comes in its place may not open, which the exchange cannot check.
        require_other_key(&mut act.tx, vault, |key, _| key == earlier.id).await?;
        vaults::discard_key(&mut act.tx, permit, vault, earlier).await?;
    }
    let of_others = beside.iter().filter(|key| key.wrapped_by.to_string() != row.holder);
    let of_partner = of_others.filter(|key| key.wrapped_by.partner() == me.partner()).count() as u64;
    // None at all would keep everybody from every proposal.
    let most = act.exchange.quotas.wrapped_keys_per_recipient_per_partner.max(1);
    if !is_mine && of_partner >= most {
        let (holder, partner) = (row.holder.clone(), me.partner().clone());
        return Err(Refusal::WrappedOften { holder, partner, most }.into());
    }
    let now = act.now;
    vaults::add_key(&mut act.tx, permit, vault, row, now).await?;
    let payload = KeyWrapped {
        vault: vault.id,
        key: row.id,
        holder: row.holder.clone(),
        recipient: row.recipient.clone(),
        statement: row.statement.clone(),
        replaces: earlier.map(|earlier| earlier.id),
    };
    act.log(subject, payload).await?;
    Ok(())
}
