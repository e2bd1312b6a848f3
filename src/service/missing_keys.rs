//! Missing keys: who may use a vault and lacks a key to it for a recipient of their key card in force.
//!
//! A party gets those of the parties only, or it would learn who reviews. For one page so many members are examined, each once for each
//! vault; what a nation's policies say of them is decided in turns, while neither a snapshot nor a place at reading is held.

use super::{
    Exchange, Principal, Result, ServiceError,
    cursors::{EXAMINED, SealedCursors},
    evaluation,
    state::{self, ProposalState},
    unit::View,
    vault_access::{may_name, may_wrap, opens_call_vault, reads},
    vaults::needs_own_key,
};
use crate::{
    domain::{
        id::{CallId, MemberId, ProposalId, VaultId},
        member::CallRole,
        vault::VaultKind,
    },
    policy::{Action, Resource, facts::MemberFacts},
    storage::{
        partners,
        vaults::{self, VaultRow},
    },
    wire::{
        page::{Page, PageRoom},
        proposal::MissingKey,
    },
};
use std::{fmt, str::FromStr, sync::Arc};

/// The number of members that are decided on before it is looked whether the page is full.
const DECIDED_AT_ONCE: usize = 32;

/// A place in a list that goes by vault and, within one, by holder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct HolderPosition {
    vault: VaultId,
    holder: MemberId,
}

impl fmt::Display for HolderPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.vault, self.holder)
    }
}

impl FromStr for HolderPosition {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (vault, holder) = text.split_once(' ').ok_or(())?;
        Ok(Self { vault: vault.parse().map_err(|_| ())?, holder: holder.parse().map_err(|_| ())? })
    }
}

/// A member without a key, before it is known whether they may use it.
struct KeylessHolder {
    vault: Arc<VaultRow>,
    facts: MemberFacts,
    recipients: Vec<String>,
}

/// A page of the keys that the caller, who holds one, has to wrap: for each member who may read the content of a vault.
pub async fn of_proposal(
    exchange: &Exchange,
    principal: &Principal,
    id: ProposalId,
    cursor: Option<&str>,
    limit: u32,
) -> Result<Page<MissingKey>> {
    let cursors = SealedCursors::of(exchange, "missing keys", &principal.member).within("proposal", &id);
    let after: Option<HolderPosition> = cursors.open(cursor)?;
    let mut view = View::open(exchange, principal).await?;
    let proposal = Arc::new(view.proposal(id).await?);
    let mut holders = candidates(&proposal);
    holders.retain(|holder| may_name(&view.me, &proposal, holder));
    let mut rows = vaults::of_proposal(&mut view.tx, id).await?;
    rows.sort_by_key(|vault| vault.id);
    let (mut keyless, mut left, mut last, mut goes_on) = (Vec::new(), EXAMINED, None, false);
    for vault in rows {
        let follows =
            |holder: &MemberId| after.as_ref().is_none_or(|after| (after.vault, &after.holder) < (vault.id, holder));
        let mut some = holders.clone();
        some.retain(|holder| needs_own_key(vault.kind, &proposal, holder) && follows(holder));
        goes_on = some.len() > left;
        some.truncate(left);
        left -= some.len();
        let vault = Arc::new(vault);
        let found = without_key(&mut view, vault.id, &some).await?.into_iter();
        keyless.extend(found.map(|(facts, recipients)| KeylessHolder { vault: Arc::clone(&vault), facts, recipients }));
        last = some.pop().map(|holder| HolderPosition { vault: vault.id, holder }).or(last);
        if goes_on {
            break;
        }
    }
    // A place at reading is not kept while a turn is waited for.
    let View { tx, me, asker, policies, .. } = view;
    drop(tx);

    let mut sought: Vec<_> = keyless.iter().map(|one| Arc::clone(&one.vault)).collect();
    sought.dedup_by_key(|vault| vault.id);
    let (with, of) = (Arc::clone(&policies), Arc::clone(&proposal));
    let wraps = move |vault: &Arc<VaultRow>| may_wrap(&me, &with, vault, &of);
    let wrapped = those((exchange, &asker), sought, wraps).await?;
    keyless.retain(|one| wrapped.iter().any(|vault| vault.id == one.vault.id));

    let read = move |one: &KeylessHolder| reads(&one.facts, &policies, &one.vault, &proposal);
    let (mut keyless, mut items, mut room) = (keyless.into_iter(), Vec::<MissingKey>::new(), PageRoom::new(limit));
    loop {
        let some: Vec<_> = keyless.by_ref().take(DECIDED_AT_ONCE).collect();
        if some.is_empty() {
            return Ok(Page { items, next: last.filter(|_| goes_on).map(|last| cursors.seal(last)) });
        }
        for KeylessHolder { vault, facts, recipients } in those((exchange, &asker), some, read.clone()).await? {
            let item = MissingKey { vault: vault.id, kind: vault.kind, holder: facts.id, recipients };
            if !room.takes(&item) {
                let last = items.last().map(|item| HolderPosition { vault: item.vault, holder: item.holder.clone() });
                return Ok(Page { next: last.map(|last| cursors.seal(last)), items });
            }
            items.push(item);
        }
    }
}

/// A page of the officers of a call who lack a key to its vault; for officers.
pub async fn of_call(
    exchange: &Exchange,
    principal: &Principal,
    id: CallId,
    cursor: Option<&str>,
    limit: u32,
) -> Result<Page<MissingKey>> {
    let cursors = SealedCursors::of(exchange, "missing keys", &principal.member).within("call", &id);
    let after: Option<MemberId> = cursors.open(cursor)?;
    let mut view = View::open(exchange, principal).await?;
    let call = view.call(id).await?;
    view.authorize(Action::UseCallVault, Resource::Call(&call.facts))?;
    let vault = call.row.vault.ok_or(ServiceError::Hidden)?;
    let mut officers: Vec<MemberId> = call.facts.officers().iter().cloned().collect();
    officers.sort();
    officers.retain(|officer| after.as_ref().is_none_or(|after| after < officer));
    let goes_on = officers.len() > EXAMINED;
    officers.truncate(EXAMINED);
    let (mut items, mut room) = (Vec::<MissingKey>::new(), PageRoom::new(limit));
    for (facts, recipients) in without_key(&mut view, vault, &officers).await? {
        if !opens_call_vault(&facts, &view.policies, &call) {
            continue;
        }
        let item = MissingKey { vault, kind: VaultKind::Call, holder: facts.id, recipients };
        if !room.takes(&item) {
            return Ok(Page { next: items.last().map(|item| cursors.seal(&item.holder)), items });
        }
        items.push(item);
    }
    Ok(Page { items, next: officers.last().filter(|_| goes_on).map(|last| cursors.seal(last)) })
}

/// Those for which a decision says so. What each costs is for the nations' policies to say.
async fn those<A: Send + 'static>(
    (exchange, who): (&Exchange, &MemberId),
    all: Vec<A>,
    is_one: impl Fn(&A) -> Result<bool> + Clone + Send + 'static,
) -> Result<Vec<A>> {
    let decide = move |some: Vec<A>| -> Vec<Result<Option<A>>> {
        some.into_iter().map(|one| Ok(is_one(&one)?.then_some(one))).collect()
    };
    let decided = evaluation::decided(exchange, who, all, |_| usize::MAX, decide).await?;
    decided.into_iter().filter_map(Result::transpose).collect()
}

/// Those of these members with a key card in force who lack a key to a vault, in the order of their names, and the recipients for which they
/// do. Members of suspended partners are left out: for them no key is wrapped.
async fn without_key(
    view: &mut View<'_>,
    vault: VaultId,
    members: &[MemberId],
) -> Result<Vec<(MemberFacts, Vec<String>)>> {
    let mut lacking = vaults::recipients_without_key(&mut view.tx, vault, members).await?;
    if !lacking.is_empty() {
        let suspended = partners::suspended(&mut view.tx).await?;
        lacking.retain(|member, _| !suspended.contains(member.partner()));
    }
    let ids: Vec<MemberId> = lacking.keys().cloned().collect();
    let mut facts = state::members(view.exchange, &mut view.tx, &ids, view.now).await?;
    Ok(lacking.into_iter().filter_map(|(member, recipients)| Some((facts.remove(&member)?, recipients))).collect())
}

/// Everybody who could be permitted to read anything of a proposal, in the order of their names.
fn candidates(proposal: &ProposalState) -> Vec<MemberId> {
    let call = &proposal.call.facts;
    let mut all: Vec<MemberId> = proposal.facts.party_members.iter().cloned().collect();
    all.extend(call.officers().iter().chain(call.with(CallRole::Decider)).chain(&proposal.facts.assigned).cloned());
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_is_read_back_and_goes_by_vault_first() {
        let at = |vault: &str, holder: &str| HolderPosition {
            vault: vault.parse().unwrap(),
            holder: holder.parse().unwrap(),
        };
        let (first, second) = ("vault_01J9ZQ4N6M8V7X5T3R2P1K0HGF", "vault_01J9ZQ4N6M8V7X5T3R2P1K0HGG");
        let position = at(first, "USA:bob");
        assert_eq!(position.to_string().parse(), Ok(position.clone()));
        assert!(position < at(second, "ISR:avi") && position > at(first, "ISR:avi"));
        for wrong in ["", first, "USA:bob", "vault_x USA:bob"] {
            assert!(wrong.parse::<HolderPosition>().is_err(), "{wrong}");
        }
    }
}
