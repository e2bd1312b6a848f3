//! Whose keys go when a label takes effect: the keys of everybody outside it, and of everybody whom the policies let read with the label
//! before and not with this one.
//!
//! A proposal has up to a thousand holders of keys, so an act that may put a label in force decides about them before its turn, on the
//! proposal as the act would make it.

use super::{
    Exchange, Principal, Result,
    decided_readers::DecidedReaders,
    state::{self, ProposalState},
    unit::View,
    versions::{held, missing, of_version},
};
use crate::{
    domain::{
        id::{MemberId, ProposalId, Sha256, Slug},
        label::Label,
        proposal::Version,
    },
    policy::{Action, Engine, Resource, facts::MemberFacts},
    sealing::statement::{LabelStatement, Manifest, Signed},
    storage::{Tx, Whose, announced, labels, proposals, vaults, vaults::VaultRow},
};
use jiff::Timestamp;
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// The keys that members hold to the vaults of a proposal.
pub(super) struct ProposalKeys {
    /// Each holder, and how many keys to that vault.
    holding: Vec<(Arc<VaultRow>, MemberId, u64)>,
    /// The facts about those holders whom the label admits and whose key card is in force.
    inside: HashMap<MemberId, MemberFacts>,
}

impl ProposalKeys {
    /// The keys to the vaults of a proposal that gets this label. Of those outside nothing more needs to be known; the others are read at
    /// once.
    pub(super) async fn of(
        exchange: &Exchange,
        tx: &mut Tx,
        now: Timestamp,
        id: ProposalId,
        label: Option<&Label>,
    ) -> Result<Self> {
        let mut holding = Vec::new();
        for vault in vaults::of_proposal(tx, id).await? {
            let vault = Arc::new(vault);
            let holders = vaults::member_holders(tx, vault.id).await?;
            holding.extend(holders.into_iter().map(|(holder, count)| (Arc::clone(&vault), holder, count)));
        }
        let inside: BTreeSet<&MemberId> =
            holding.iter().map(|(_, holder, _)| holder).filter(|holder| !is_outside(label, holder)).collect();
        let inside: Vec<MemberId> = inside.into_iter().cloned().collect();
        let inside = state::members(exchange, tx, &inside, now).await?;
        Ok(Self { holding, inside })
    }

    /// Decides about the holders, off the threads that serve others.
    pub(super) async fn decided(
        &self,
        exchange: &Exchange,
        who: &MemberId,
        policies: &Arc<Engine>,
        before: &Arc<ProposalState>,
        after: &Arc<ProposalState>,
    ) -> Result<DecidedReaders> {
        let asked = self.holding.iter().filter_map(|(vault, holder, _)| {
            let facts = self.inside.get(holder)?;
            Some((facts.clone(), Arc::clone(vault)))
        });
        let (asked, mut decided): (Vec<_>, _) = (asked.collect(), DecidedReaders::default());
        let reads = decided.decide(exchange, who, policies, after, &asked).await?;
        // Most read with the new label as before, which settles it.
        let refused = asked.into_iter().zip(reads).filter(|(_, reads)| !reads).map(|(asked, _)| asked);
        decided.decide(exchange, who, policies, before, &refused.collect::<Vec<_>>()).await?;
        Ok(decided)
    }

    /// The holders who lose what their keys open, and how many keys.
    pub(super) fn lost(
        self,
        decided: &DecidedReaders,
        policies: &Engine,
        before: &ProposalState,
        after: &ProposalState,
    ) -> Result<Vec<(Arc<VaultRow>, MemberId, u64)>> {
        let (label, mut lost) = (after.row.label.as_ref(), Vec::new());
        let (before, after) = (decided.on(policies, before), decided.on(policies, after));
        for (vault, holder, count) in self.holding {
            let loses = match self.inside.get(&holder) {
                Some(facts) => !after.reads(facts, &vault)? && before.reads(facts, &vault)?,
                None => is_outside(label, &holder),
            };
            if loses {
                lost.push((vault, holder, count));
            }
        }
        Ok(lost)
    }
}

fn is_outside(label: Option<&Label>, holder: &MemberId) -> bool {
    label.is_some_and(|label| !label.admits(holder.partner()))
}

/// The proposal as it would be with this label.
pub(super) fn with_label(proposal: &ProposalState, label: Option<&Label>) -> ProposalState {
    let mut then = proposal.clone();
    then.facts.label = label.cloned();
    then.row.label = label.cloned();
    then
}

/// Decides before the turn of a signature under a relabelling, if it is the last one.
pub(super) async fn before_label(
    exchange: &Exchange,
    principal: &Principal,
    id: ProposalId,
    signed: &LabelStatement,
) -> Result<DecidedReaders> {
    let mut view = View::open(exchange, principal).await?;
    let Some(proposal) = state::proposal(&mut view.tx, id, view.now).await? else {
        return Ok(DecidedReaders::default());
    };
    let signatures = labels::signatures(&mut view.tx, id, signed.number).await?.len();
    if signatures + 1 != proposal.row.parties.len() {
        return Ok(DecidedReaders::default());
    }
    decided(view, Action::Sign, proposal, signed.label.as_ref()).await
}

/// The same of a signature under a version.
pub(super) async fn before_version(
    exchange: &Exchange,
    principal: &Principal,
    id: ProposalId,
    signed: &Signed<Manifest>,
) -> Result<DecidedReaders> {
    let (mut view, manifest) = (View::open(exchange, principal).await?, &signed.statement);
    let Some(proposal) = state::proposal(&mut view.tx, id, view.now).await? else {
        return Ok(DecidedReaders::default());
    };
    let signatures = proposals::signatures(&mut view.tx, id, manifest.version).await?.len();
    let stands = is_any_complete(&proposal);
    let is_next = signatures + 1 == proposal.row.parties.len() && manifest.label != proposal.row.label;
    // While one stands, the label of another takes effect once all of its documents are here.
    if !is_next || stands && missing(manifest, &held(&mut view.tx, id, manifest).await?).next().is_some() {
        return Ok(DecidedReaders::default());
    }
    let known = proposal.row.versions.iter().find(|version| version.number == manifest.version);
    let version = Version {
        number: manifest.version,
        manifest: signed.payload_sha256,
        call_version: known.map_or(proposal.call.row.version, |version| version.call_version),
        committed_at: Some(view.now),
        complete_at: stands.then_some(view.now),
    };
    let then = with_version(&proposal, version, view.now);
    decided(view, Action::Sign, then, manifest.label.as_ref()).await
}

/// The same of a document that is the last one of a version which every party has signed.
pub(super) async fn before_document(
    exchange: &Exchange,
    principal: &Principal,
    id: ProposalId,
    slot: &Slug,
    sha256: Sha256,
) -> Result<DecidedReaders> {
    // Nobody waits for most documents.
    let mut tx = exchange.db.read_for(Whose::Member(principal.member.clone())).await?;
    if !announced::is_awaited(&mut tx, id).await? {
        return Ok(DecidedReaders::default());
    }
    drop(tx);
    let mut view = View::open(exchange, principal).await?;
    let Some(proposal) = state::proposal(&mut view.tx, id, view.now).await? else {
        return Ok(DecidedReaders::default());
    };
    // The label of the first version took effect with the last signature.
    let Some(version) = proposal.versions.committed().filter(|_| is_any_complete(&proposal)).cloned() else {
        return Ok(DecidedReaders::default());
    };
    let manifest = of_version(&mut view.tx, id, version.number).await?;
    let held = held(&mut view.tx, id, &manifest).await?;
    let is_other = manifest.label != proposal.row.label;
    if !is_other || missing(&manifest, &held).any(|document| document.slot != *slot || document.sha256 != sha256) {
        return Ok(DecidedReaders::default());
    }
    let then = with_version(&proposal, Version { complete_at: Some(view.now), ..version }, view.now);
    decided(view, Action::Upload, then, manifest.label.as_ref()).await
}

fn is_any_complete(proposal: &ProposalState) -> bool {
    proposal.row.versions.iter().any(|version| version.complete_at.is_some())
}

/// The proposal as it would be with this version, or with this one in the place of that of its number.
fn with_version(proposal: &ProposalState, version: Version, now: Timestamp) -> ProposalState {
    let mut row = proposal.row.clone();
    row.versions.retain(|other| other.number != version.number);
    row.versions.push(version);
    state::proposal_state(row, Arc::clone(&proposal.call), now)
}

/// Decides about the holders of keys to a proposal that gets this label, if the caller may do the act. The snapshot ends before.
async fn decided(
    view: View<'_>,
    action: Action,
    before: ProposalState,
    label: Option<&Label>,
) -> Result<DecidedReaders> {
    let mut view = view;
    if before.row.label.as_ref() == label || !view.may(action, Resource::Proposal(&before.facts)) {
        return Ok(DecidedReaders::default());
    }
    let held = ProposalKeys::of(view.exchange, &mut view.tx, view.now, before.row.id, label).await?;
    let after = Arc::new(with_label(&before, label));
    let View { exchange, tx, asker, policies, .. } = view;
    drop(tx);
    held.decided(exchange, &asker, &policies, &Arc::new(before), &after).await
}
