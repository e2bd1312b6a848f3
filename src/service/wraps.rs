//! The wrapped keys of a request: checked before its turn, accepted within it, each if policy lets its holder read the content of the
//! vault.
//!
//! Others wait while keys are written. So a request brings at most [`MOST`] of them, over all its vaults, and what each is by itself, its
//! signature and the shape of its file, is found out before the turn comes and off the threads that serve others. In the turn what decides
//! about them is read for all at once; then each is judged in its order, as if those before it were written; then all are written.

use super::{
    Exchange, RequestContext, Result, aside,
    decided_readers::{DecidedReaders, VaultReaders},
    sealed_bytes::Base64Ciphertext,
    state::{self, CallState, ProposalState},
    unit::{Act, Subject, View},
    vault_access::{last_key, may_name, opens_call_vault, reads, said, wrap_action, wrap_refused},
    verified::Verified,
};
use crate::{
    domain::{
        Refusal,
        id::{MemberId, PartnerCode, VaultId, WrappedKeyId},
        vault::VaultKind,
    },
    policy::{Action, Permit, Resource, facts::MemberFacts},
    sealing::statement::{Signed, VaultStatement, WrapStatement, WrapTarget},
    storage::{
        members, partners,
        vaults::{self, HeldKeyRow, VaultRow, WrappedKeyRow},
    },
    wire::{
        entry::payloads::{KeyWrapped, Payload},
        proposal::WrappedKeyIn,
    },
};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

/// Most keys in one request. A proposal begins with fewer, since its request writes invitations besides (`CreateProposal::MOST_KEYS`).
pub const MOST: usize = 128;
/// Largest wrapped key, in bytes; one for a post-quantum recipient has about 2 KiB.
pub const MAX_WRAPPED_KEY: usize = 16 << 10;

/// Wrapped keys to one vault, each with its own fault. Faults are reported in the turn, because a caller who may not add keys learns only
/// that.
#[derive(Debug)]
pub(super) struct Wraps {
    keys: Vec<Wrap>,
    /// What was decided about their holders before the turn.
    decided: DecidedReaders,
}

/// So many holders are decided on in the turn: to look at them before would take as long.
const FEW: usize = 2;

/// The vault that keys are for.
#[derive(Debug, Clone, Copy)]
pub(super) enum VaultSought<'s> {
    Kept(VaultId),
    /// The act makes it.
    Made(&'s Verified<VaultStatement>),
}

#[derive(Debug)]
struct Wrap {
    statement: Verified<WrapStatement>,
    ciphertext: Base64Ciphertext,
}

impl Wraps {
    /// Looks at the keys to one vault.
    pub(super) async fn of(keys: &[WrappedKeyIn]) -> Result<Self> {
        let all = Self::of_all(&[keys], MOST).await?;
        let keys = all.into_iter().flat_map(|wraps| wraps.keys).collect();
        Ok(Self { keys, decided: DecidedReaders::default() })
    }

    /// Decides about the holders of keys to a proposal's vault before the turn, for a caller who may wrap them.
    pub(super) async fn decided(
        mut self,
        exchange: &Exchange,
        context: &RequestContext,
        sought: VaultSought<'_>,
    ) -> Result<Self> {
        self.decided = DecidedReaders::of(self.holders_decided(exchange, context, sought)).await?;
        Ok(self)
    }

    async fn holders_decided(
        &self,
        exchange: &Exchange,
        context: &RequestContext,
        sought: VaultSought<'_>,
    ) -> Result<DecidedReaders> {
        let mut decided = DecidedReaders::default();
        let members = self.said().filter_map(|said| match &said.to {
            WrapTarget::Member(member) => Some(member.clone()),
            WrapTarget::Vault(_) => None,
        });
        let mut holders: BTreeSet<MemberId> = members.collect();
        if holders.len() <= FEW {
            return Ok(decided);
        }
        let mut view = View::open(exchange, &context.principal).await?;
        let vault = match sought {
            VaultSought::Kept(id) => vaults::find(&mut view.tx, id).await?,
            VaultSought::Made(made) => {
                made.statement().map(|statement| said(statement.clone(), String::new(), &view.me.id))
            }
        };
        // What is wrong with it is said in the turn.
        let Some((vault, id)) = vault.and_then(|vault| vault.proposal.map(|id| (vault, id))) else {
            return Ok(decided);
        };
        let Some(proposal) = state::proposal(&mut view.tx, id, view.now).await? else { return Ok(decided) };
        let may =
            [wrap_action(&vault), Action::Upload].map(|action| view.may(action, Resource::Proposal(&proposal.facts)));
        if !may.contains(&true) {
            return Ok(decided);
        }
        holders.retain(|holder| may_name(&view.me, &proposal, holder));
        let ids: Vec<MemberId> = holders.into_iter().collect();
        let facts = state::members(exchange, &mut view.tx, &ids, view.now).await?;
        let View { tx, asker, policies, .. } = view;
        drop(tx);
        let vault = Arc::new(vault);
        let asked: Vec<_> = facts.into_values().map(|facts| (facts, Arc::clone(&vault))).collect();
        decided.decide(exchange, &asker, &policies, &Arc::new(proposal), &asked).await?;
        Ok(decided)
    }

    /// Looks at the keys to several vaults, so many at most.
    pub(super) async fn of_all(keys: &[&[WrappedKeyIn]], most: usize) -> Result<Vec<Self>> {
        let count: usize = keys.iter().map(|keys| keys.len()).sum();
        if count > most {
            return Err(wrap_refused(&format!(
                "{count} keys came at once, at most {most} are taken; add the others in further requests, and ask those for \
                 whom they are once the proposal is begun"
            )));
        }
        let keys: Vec<Vec<WrappedKeyIn>> = keys.iter().map(|keys| keys.to_vec()).collect();
        let looked = |keys: &Vec<WrappedKeyIn>| Self {
            keys: keys.iter().map(Wrap::look).collect(),
            decided: DecidedReaders::default(),
        };
        aside(move || keys.iter().map(looked).collect()).await
    }

    /// Adds the keys to a proposal's vault.
    pub(super) async fn add(
        self,
        act: &mut Act<'_>,
        permit: &Permit,
        proposal: &ProposalState,
        vault: &VaultRow,
    ) -> Result<()> {
        let holders = Holders::of(act, std::slice::from_ref(&self), &proposal.call).await?;
        self.add_for(&holders, act, permit, proposal, vault, &[]).await
    }

    /// The same for holders who were read already.
    ///
    /// For members whom this very act invites to a party, keys are accepted as if they had joined. One that is of no use, since they run
    /// the call or judge, is dropped: answer and log are the same as for any other, so that a party does not learn who does.
    pub(super) async fn add_for(
        self,
        holders: &Holders,
        act: &mut Act<'_>,
        permit: &Permit,
        proposal: &ProposalState,
        vault: &VaultRow,
        asked: &[MemberId],
    ) -> Result<()> {
        // The holders who were judged, and whether a key is of use to them.
        let (mut keys, mut judged) = (VaultKeys::of(act, &self, vault).await?, HashMap::new());
        let policies = Arc::clone(&act.policies);
        let readers = self.decided.on(&policies, proposal);
        for wrap in self.keys {
            let (to, row) = wrap.for_vault(act, vault).await?;
            match to {
                WrapTarget::Vault(id) => {
                    let known = holders.call_vault.as_ref().filter(|known| known.id == id);
                    if known.is_none_or(|known| known.recipient != row.recipient) {
                        return Err(wrap_refused("the only vault that a proposal is wrapped to is its call's"));
                    }
                }
                WrapTarget::Member(holder) => {
                    let facts = holders.find(act, &holder, &row.recipient)?;
                    if !judged.contains_key(&holder) {
                        let is_asked = asked.contains(&holder);
                        check_reader(act, readers, vault, facts, is_asked)?;
                        let is_of_use = !is_asked || proposal.facts.invites(&holder) && readers.reads(facts, vault)?;
                        judged.insert(holder.clone(), is_of_use);
                    }
                    if !judged[&holder] {
                        keys.drop_useless(row)?;
                        continue;
                    }
                }
            }
            keys.take(act, row).await?;
        }
        keys.write(act, permit, Subject::proposal(proposal)).await
    }

    /// Adds the keys to a call's vault, each if its holder is an officer of the call.
    pub(super) async fn add_to_call(
        self,
        act: &mut Act<'_>,
        permit: &Permit,
        call: &CallState,
        vault: &VaultRow,
    ) -> Result<()> {
        let holders = Holders::of(act, std::slice::from_ref(&self), call).await?;
        let (mut keys, mut admitted) = (VaultKeys::of(act, &self, vault).await?, HashSet::new());
        for wrap in self.keys {
            let (to, row) = wrap.for_vault(act, vault).await?;
            let WrapTarget::Member(holder) = to else {
                return Err(wrap_refused("a call's vault is wrapped to members only"));
            };
            let facts = holders.find(act, &holder, &row.recipient)?;
            if !admitted.contains(&holder) {
                if !opens_call_vault(facts, &act.policies, call) {
                    return Err(wrap_refused(&format!("`{holder}` is not an officer of the call")));
                }
                admitted.insert(holder);
            }
            keys.take(act, row).await?;
        }
        keys.write(act, permit, Subject::call(call)).await
    }

    fn said(&self) -> impl Iterator<Item = &WrapStatement> {
        self.keys.iter().filter_map(|wrap| wrap.statement.statement())
    }
}

impl Wrap {
    fn look(key: &WrappedKeyIn) -> Self {
        Self {
            statement: Verified::look(&key.statement),
            ciphertext: Base64Ciphertext::look(&key.ciphertext, MAX_WRAPPED_KEY),
        }
    }

    /// The key as it is kept, if the caller signed it for this vault.
    async fn for_vault(self, act: &mut Act<'_>, vault: &VaultRow) -> Result<(WrapTarget, WrappedKeyRow)> {
        let Signed { statement, jws, .. } = act.signed(self.statement).await?;
        let (ciphertext, sha256) = self.ciphertext.checked()?;
        if statement.vault != vault.id || statement.sha256 != sha256 {
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

/// Those for whom the keys of one request are, read at once.
#[derive(Debug)]
pub(super) struct Holders {
    members: HashMap<MemberId, MemberFacts>,
    /// The recipients that their key cards in force name, of those that the keys are for.
    recipients: HashSet<(MemberId, String)>,
    /// The partners that take no part.
    suspended: BTreeSet<PartnerCode>,
    /// The call's vault, if some key is for it.
    call_vault: Option<VaultRow>,
}

impl Holders {
    /// Reads them, whatever is wrong with the keys.
    pub(super) async fn of(act: &mut Act<'_>, wraps: &[Wraps], call: &CallState) -> Result<Self> {
        let (mut sought, mut call_vault) = (BTreeSet::new(), None);
        for statement in wraps.iter().flat_map(Wraps::said) {
            match &statement.to {
                WrapTarget::Member(member) => {
                    sought.insert((member.clone(), statement.recipient.clone()));
                }
                WrapTarget::Vault(id) => call_vault = call_vault.or(call.row.vault.filter(|vault| vault == id)),
            }
        }
        let sought: Vec<(MemberId, String)> = sought.into_iter().collect();
        let mut ids: Vec<MemberId> = sought.iter().map(|(member, _)| member.clone()).collect();
        ids.dedup();
        Ok(Self {
            members: act.members(&ids).await?,
            recipients: members::named_recipients(&mut act.tx, &sought).await?,
            suspended: partners::suspended(&mut act.tx).await?,
            call_vault: match call_vault {
                Some(id) => vaults::find(&mut act.tx, id).await?,
                None => None,
            },
        })
    }

    /// A member whose key card in force names the recipient, and whose partner takes part.
    fn find(&self, act: &Act<'_>, holder: &MemberId, recipient: &str) -> Result<&MemberFacts> {
        let facts = act.known(&self.members, holder)?;
        if !self.recipients.contains(&(holder.clone(), recipient.to_owned())) {
            return Err(wrap_refused(&format!("the key card of `{holder}` does not name that recipient")));
        }
        // INVARIANT: a suspended partner's keys may be somebody else's. A thief could open what is wrapped for them once it is handed out.
        if self.suspended.contains(holder.partner()) {
            return Err(wrap_refused(&format!("`{holder}` gets no key now, since its partner is suspended")));
        }
        Ok(facts)
    }
}

/// Refuses a key for a member who may not read the content of the vault, or about whom the caller may not learn. A member who is invited in
/// this act is evaluated as if they had no other part: the inviting member must not learn of it.
fn check_reader(
    act: &Act<'_>,
    readers: VaultReaders<'_>,
    vault: &VaultRow,
    holder: &MemberFacts,
    is_asked: bool,
) -> Result<()> {
    let (id, proposal) = (&holder.id, readers.proposal());
    // A party that could wrap for the panel could find out, one try after another, who judges its proposal.
    let may_hear_of = may_name(&act.me, proposal, id) || is_asked;
    if let Some(label) = proposal.row.label.as_ref().filter(|label| may_hear_of && !label.admits(id.partner())) {
        // Whatever the policies in force say: no key is wrapped past the label that the owners signed.
        return Err(wrap_refused(&format!(
            "the proposal is `{label}`, so `{id}` gets no key; its parties can relabel it"
        )));
    }
    let would_read = || {
        if !is_asked {
            return readers.reads(holder, vault);
        }
        let alone = ProposalState { facts: proposal.facts.with_invitation_alone(id), ..proposal.clone() };
        reads(holder, &act.policies, vault, &alone)
    };
    if !may_hear_of || !would_read()? {
        return Err(wrap_refused(&format!("policy does not let `{id}` read what this vault protects")));
    }
    Ok(())
}

/// The keys to a vault as they stand with those of a request that were judged, and what is left to write.
struct VaultKeys<'v> {
    vault: &'v VaultRow,
    /// By holder and recipient, of those that the request names.
    present: HashMap<(String, String), Vec<HeldKeyRow>>,
    /// Those for a card in force, once the last one of a call's vault could go.
    in_force: Option<BTreeSet<WrappedKeyId>>,
    discarded: Vec<WrappedKeyId>,
    added: Vec<WrappedKeyRow>,
    /// By holder and recipient, of those that are logged and not kept.
    dropped: HashSet<(String, String)>,
    entries: Vec<Payload>,
}

impl<'v> VaultKeys<'v> {
    async fn of(act: &mut Act<'_>, wraps: &Wraps, vault: &'v VaultRow) -> Result<Self> {
        let places: BTreeSet<_> = wraps.said().map(|said| (said.to.to_string(), said.recipient.clone())).collect();
        let places: Vec<_> = places.into_iter().collect();
        let mut present: HashMap<_, Vec<HeldKeyRow>> = HashMap::new();
        for key in vaults::keys_for(&mut act.tx, vault.id, &places).await? {
            present.entry((key.holder.clone(), key.recipient.clone())).or_default().push(key);
        }
        let (discarded, added, dropped, entries) = (Vec::new(), Vec::new(), HashSet::new(), Vec::new());
        Ok(Self { vault, present, in_force: None, discarded, added, dropped, entries })
    }

    /// Logs a key of no use like any other, and does not keep it.
    fn drop_useless(&mut self, row: WrappedKeyRow) -> Result<()> {
        if !self.dropped.insert((row.holder.clone(), row.recipient.clone())) {
            return Err(Refusal::AlreadyWrapped { holder: row.holder }.into());
        }
        self.log(&row, None);
        Ok(())
    }

    fn log(&mut self, row: &WrappedKeyRow, replaces: Option<WrappedKeyId>) {
        let payload = KeyWrapped {
            vault: self.vault.id,
            key: row.id,
            holder: row.holder.clone(),
            recipient: row.recipient.clone(),
            statement: row.statement.clone(),
            replaces,
        };
        self.entries.push(payload.into());
    }

    /// Takes a key beside those that others wrapped for the same recipient.
    async fn take(&mut self, act: &mut Act<'_>, row: WrappedKeyRow) -> Result<()> {
        // INVARIANT: no key of another holder is ever replaced, not even by the member who wrapped it: what opens today opens tomorrow. Others
        // stand beside it, so that a key that does not open keeps nobody out.
        let me = act.me.id.clone();
        let is_mine = row.holder == me.to_string();
        let place = (row.holder.clone(), row.recipient.clone());
        let beside = self.present.get(&place).map(Vec::as_slice).unwrap_or_default();
        let earlier = beside.iter().find(|key| key.wrapped_by == me).map(|key| key.id);
        if !is_mine {
            if earlier.is_some() {
                return Err(Refusal::AlreadyWrapped { holder: row.holder }.into());
            }
            let of_others = beside.iter().filter(|key| key.wrapped_by.to_string() != row.holder);
            let of_partner = of_others.filter(|key| key.wrapped_by.partner() == me.partner()).count() as u64;
            // None at all would keep everybody from every proposal.
            let most = act.exchange.quotas.wrapped_keys_per_recipient_per_partner.max(1);
            if of_partner >= most {
                let (holder, partner) = (row.holder, me.partner().clone());
                return Err(Refusal::WrappedOften { holder, partner, most }.into());
            }
        }
        if let Some(earlier) = earlier {
            self.discard(act, earlier).await?;
        }
        self.log(&row, earlier);
        let beside = self.present.entry(place).or_default();
        beside.retain(|key| Some(key.id) != earlier);
        let (holder, recipient) = (row.holder.clone(), row.recipient.clone());
        beside.push(HeldKeyRow { id: row.id, holder, recipient, wrapped_by: me });
        if let Some(in_force) = &mut self.in_force {
            in_force.insert(row.id);
        }
        self.added.push(row);
        Ok(())
    }

    /// Lets a key of the caller's own go, in whose place another one comes. That one may not open, which the exchange cannot check.
    async fn discard(&mut self, act: &mut Act<'_>, key: WrappedKeyId) -> Result<()> {
        if self.vault.kind == VaultKind::Call {
            if self.in_force.is_none() {
                let stored = vaults::keys_in_force(&mut act.tx, self.vault.id).await?;
                let stored = stored.into_iter().map(|(key, _)| key);
                self.in_force = Some(stored.chain(self.added.iter().map(|row| row.id)).collect());
            }
            let in_force = self.in_force.get_or_insert_default();
            in_force.remove(&key);
            if in_force.is_empty() {
                return Err(last_key(self.vault));
            }
        }
        let before = self.added.len();
        self.added.retain(|row| row.id != key);
        if self.added.len() == before {
            self.discarded.push(key);
        }
        Ok(())
    }

    async fn write(self, act: &mut Act<'_>, permit: &Permit, subject: Subject) -> Result<()> {
        let now = act.now;
        vaults::discard_keys(&mut act.tx, permit, self.vault, &self.discarded).await?;
        vaults::add_keys(&mut act.tx, permit, self.vault, &self.added, now).await?;
        act.log_all(self.entries.into_iter().map(|payload| (subject, payload)).collect()).await
    }
}
