//! Partners that stop: what the host's operator is shown before one is suspended or removed, and the acts themselves. Each is on the log, where
//! every member reads it, and a suspension has its inverse (ADR 42).
//!
//! What others rely on stays: no signature, proposal or key is touched by any of them.

use super::{
    Exchange, Result, ServiceError,
    state::{self, CallState},
    time,
    unit::{Subject, new_entry},
};
use crate::{
    domain::{
        call::Phase,
        id::{CallId, PartnerCode, ProgramId},
        member::CallRole,
        proposal::Status,
        reference::CallCode,
        suspension::{Suspension, SuspensionReason},
    },
    storage::{
        Tx, calls, entries, members, partner_ties,
        partners::{self, PartnerRow},
        proposals,
    },
    wire::entry::payloads::{PartnerRemoved, PartnerResumed, PartnerSuspended},
};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    sync::Arc,
};

/// How many rows are read at once.
const AT_ONCE: u32 = 200;

/// What a partner has to do with the exchange at an instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartnerTies {
    /// Members with a key card in force.
    pub members_in_force: u64,
    /// Members with any key card, revoked ones included.
    pub members: u64,
    pub programs: Vec<ProgramTie>,
    /// Of drafts and cancelled calls too.
    pub calls: Vec<CallTie>,
    /// Labels that name it, replaced ones included. Every one is looked at, so they are counted before a removal alone, and only where nothing
    /// else keeps the partner.
    pub labels: u64,
}

/// A program that a partner takes part in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramTie {
    pub id: ProgramId,
    pub name: String,
    pub leads: bool,
}

/// A call that a partner has to do with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallTie {
    pub id: CallId,
    /// What people call it.
    pub code: CallCode,
    pub title: String,
    pub phase: Phase,
    /// Whether its program is led by the partner.
    pub leads: bool,
    /// Whether its members may propose.
    pub is_eligible: bool,
    /// Whether each decision needs its signature.
    pub funds: bool,
    /// Whether it has an officer in the call, and nobody else has.
    pub runs_alone: bool,
    /// Proposals with a party of it that can still be handed in.
    pub preparing: u64,
    /// Proposals with a party of it that were handed in.
    pub handed_in: u64,
    /// Decisions on the table that it has not signed.
    pub awaits_signature: u64,
}

impl CallTie {
    /// Whether anything of the call is still to come.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        !matches!(self.phase, Phase::Draft | Phase::Cancelled | Phase::Closed)
    }
}

impl PartnerTies {
    /// Whether nothing on the record depends on the partner. Policies may have named it before it was enrolled, so they do not count.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.members == 0 && self.programs.is_empty() && self.calls.is_empty() && self.labels == 0
    }
}

/// The suspensions that have not ended.
pub async fn suspensions(exchange: &Exchange) -> Result<BTreeMap<PartnerCode, Suspension>> {
    let rows = partners::all(&mut *exchange.db.read().await?).await?;
    Ok(rows.into_iter().filter_map(|row| Some((row.partner, row.suspension?))).collect())
}

/// What a partner has to do with the exchange now, for the operator alone.
pub async fn ties(exchange: &Exchange, code: &PartnerCode) -> Result<PartnerTies> {
    let mut tx = exchange.db.read().await?;
    let now = time::of_view(exchange, &mut tx).await?;
    ties_in(&mut tx, code, now).await
}

/// What keeps a partner from being removed, for the operator alone.
pub async fn ties_that_keep(exchange: &Exchange, code: &PartnerCode) -> Result<PartnerTies> {
    let mut tx = exchange.db.read().await?;
    let now = time::of_view(exchange, &mut tx).await?;
    ties_that_keep_in(&mut tx, code, now).await
}

async fn ties_that_keep_in(tx: &mut Tx, code: &PartnerCode, now: Timestamp) -> Result<PartnerTies> {
    let mut ties = ties_in(tx, code, now).await?;
    if ties.is_none() {
        ties.labels = partner_ties::labels_naming(tx, code).await?;
    }
    Ok(ties)
}

async fn ties_in(tx: &mut Tx, code: &PartnerCode, now: Timestamp) -> Result<PartnerTies> {
    let mut ties = PartnerTies {
        members_in_force: partner_ties::members_in_force(tx, code, now).await?,
        members: members::count(tx, code).await?,
        ..PartnerTies::default()
    };
    for id in partner_ties::programs(tx, code).await? {
        if let Some(program) = state::program(tx, id).await? {
            ties.programs.push(ProgramTie { id, name: program.row.name, leads: program.row.lead == *code });
        }
    }
    let mut unsigned: HashMap<CallId, u64> = HashMap::new();
    for call in partner_ties::unsigned_decisions(tx, code).await? {
        *unsigned.entry(call).or_default() += 1;
    }
    let mut counts = counted_proposals(tx, code, now).await?;
    let mut after = None;
    loop {
        let ids = calls::ids(tx, None, after, AT_ONCE).await?;
        for id in &ids {
            let Some(call) = state::call(tx, *id, now).await? else { continue };
            let (preparing, handed_in) = counts.remove(id).unwrap_or_default();
            let funds = call.text.funders.contains(code);
            let is_eligible = call.text.eligible.contains(code);
            let takes_part = call.program.row.partners.contains(code);
            if !(funds || is_eligible || takes_part) && (preparing, handed_in) == (0, 0) {
                continue;
            }
            let officers = || call.row.roles.iter().filter(|(_, roles)| roles.contains(&CallRole::Officer));
            ties.calls.push(CallTie {
                id: *id,
                code: call.text.code.clone(),
                title: call.text.title.clone(),
                phase: call.phase,
                leads: call.program.row.lead == *code,
                is_eligible,
                funds,
                runs_alone: officers().next().is_some() && officers().all(|(member, _)| member.partner() == code),
                preparing,
                handed_in,
                awaits_signature: if funds { unsigned.remove(id).unwrap_or_default() } else { 0 },
            });
        }
        after = ids.last().copied();
        if ids.len() < AT_ONCE as usize {
            return Ok(ties);
        }
    }
}

/// How many proposals with a party of the partner can still be handed in, and how many were, by call.
async fn counted_proposals(tx: &mut Tx, code: &PartnerCode, now: Timestamp) -> Result<HashMap<CallId, (u64, u64)>> {
    let mut counts: HashMap<CallId, (u64, u64)> = HashMap::new();
    let mut known: HashMap<CallId, Arc<CallState>> = HashMap::new();
    for ids in partner_ties::proposals(tx, code).await?.chunks(AT_ONCE as usize) {
        for row in proposals::some(tx, ids).await? {
            let of_call = row.call;
            if let Entry::Vacant(unknown) = known.entry(of_call) {
                unknown.insert(state::call(tx, of_call, now).await?.ok_or(ServiceError::Hidden)?.into());
            }
            let (preparing, handed_in) = counts.entry(of_call).or_default();
            match state::proposal_state(row, Arc::clone(&known[&of_call]), now).status {
                Status::Preparing | Status::Committed => *preparing += 1,
                Status::Submitted => *handed_in += 1,
                Status::Withdrawn | Status::Lapsed => {}
            }
        }
    }
    Ok(counts)
}

/// Suspends a partner, from now on, with the reason that everybody reads. One that is suspended stays so, with the reason that it has; false then.
///
/// # Errors
/// When it is the host, without which nobody could do anything, or not enrolled.
pub async fn suspend(exchange: &Exchange, code: &PartnerCode, reason: SuspensionReason) -> Result<bool> {
    require_guest(exchange, code)?;
    let mut tx = exchange.db.write().await?;
    let now = time::of_act(exchange, &mut tx).await?;
    if enrolled(&mut tx, code).await?.suspension.is_some() {
        return Ok(false);
    }
    partners::set_suspension(&mut tx, code, Some(Suspension { since: now, reason })).await?;
    let payload = PartnerSuspended { partner: code.clone(), reason }.into();
    entries::append(&mut tx, &new_entry(exchange, Subject::default(), None, now, &payload)).await?;
    tx.commit().await?;
    Ok(true)
}

/// Ends a suspension; false if there is none.
pub async fn resume(exchange: &Exchange, code: &PartnerCode) -> Result<bool> {
    let mut tx = exchange.db.write().await?;
    let now = time::of_act(exchange, &mut tx).await?;
    let Some(suspension) = enrolled(&mut tx, code).await?.suspension else { return Ok(false) };
    partners::set_suspension(&mut tx, code, None).await?;
    let payload = PartnerResumed { partner: code.clone(), suspended_at: suspension.since.into() }.into();
    entries::append(&mut tx, &new_entry(exchange, Subject::default(), None, now, &payload)).await?;
    tx.commit().await?;
    Ok(true)
}

/// Takes back an enrolment on which nothing depends; the log keeps its card. Its inverse is to enrol the partner again.
///
/// # Errors
/// When it is the host, not enrolled, or something on the record depends on it; nothing is removed then.
pub async fn remove(exchange: &Exchange, code: &PartnerCode) -> Result<()> {
    require_guest(exchange, code)?;
    let mut tx = exchange.db.write().await?;
    let now = time::of_act(exchange, &mut tx).await?;
    let row = enrolled(&mut tx, code).await?;
    if !ties_that_keep_in(&mut tx, code, now).await?.is_none() {
        return Err(ServiceError::Malformed(format!(
            "something on the record depends on `{code}`: suspend it instead"
        )));
    }
    partners::remove(&mut tx, code).await?;
    let payload = PartnerRemoved { partner: code.clone(), card_sha256: row.card_sha256 }.into();
    entries::append(&mut tx, &new_entry(exchange, Subject::default(), None, now, &payload)).await?;
    Ok(tx.commit().await?)
}

fn require_guest(exchange: &Exchange, code: &PartnerCode) -> Result<()> {
    if *code != exchange.host {
        return Ok(());
    }
    let why = format!("`{code}` hosts the exchange: without it nobody could write guardrails or set up programs");
    Err(ServiceError::Malformed(why))
}

async fn enrolled(tx: &mut Tx, code: &PartnerCode) -> Result<PartnerRow> {
    let found = partners::find(tx, code).await?;
    found.ok_or_else(|| ServiceError::Malformed(format!("no partner `{code}` is enrolled")))
}
