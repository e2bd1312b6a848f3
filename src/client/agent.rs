//! The key agent: what a key holder does again and again so that nobody has to wait for them. It wraps keys for readers whom
//! policy admits, as an officer also for the other officers of a call, and removes the keys of those whom it no longer admits.
//!
//! It decides nothing that the client does not decide for a person at the keyboard: who lacks a key the exchange says, whether
//! they get one the signed policies say, asked on this machine (`enforce`). It never fetches a document. Each round begins with
//! a client of its own, so no identity of a vault stays in memory, and a renewed certificate counts from the next round on.

use super::{
    Client, ClientError, Result,
    vaults::{KeyPass, Removed, Wrapped},
};
use crate::{
    domain::{
        call::Phase,
        id::{CallId, MemberId, ProposalId, VaultId},
        member::CallRole,
        proposal::Status,
        vault::VaultKind,
    },
    wire::{
        call::Call,
        proposal::{MissingKey, Proposal, SurplusKey},
    },
};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What could not be done is tried again after this time: each try fetches a key, and the log says so.
const AGAIN_AFTER: SignedDuration = SignedDuration::from_mins(15);

/// What the agent did, or could not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentAct {
    /// A key was wrapped for its holder.
    Wrapped,
    /// The exchange asks for a key, and this machine refuses or cannot wrap it.
    Refused,
    /// A key was removed: neither the exchange nor this machine admits its holder.
    Removed,
    /// The exchange has a key removed, and this machine does not agree or cannot.
    Kept,
    /// The vault that reviews are sealed to was made.
    VaultMade,
    /// Something about a proposal stands in the way of all of the above.
    LeftOut,
}

impl AgentAct {
    /// As it stands in a line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wrapped => "wrapped",
            Self::Refused => "refused",
            Self::Removed => "removed",
            Self::Kept => "kept",
            Self::VaultMade => "vault_made",
            Self::LeftOut => "left_out",
        }
    }
}

/// What an act is about: a proposal, or a call and its vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentSubject {
    Call(CallId),
    Proposal(ProposalId),
}

/// One act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    pub act: AgentAct,
    #[serde(flatten)]
    pub place: AgentSubject,
    /// What people call the call or the proposal: its code or its reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(flatten)]
    pub key: Option<AgentKey>,
    /// Why it was refused, removed, kept or left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// Which key to which vault.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct AgentKey {
    pub vault: VaultId,
    pub kind: VaultKind,
    pub holder: MemberId,
    /// The recipients that lack a key; of a key that is removed, none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
}

/// The counts of one round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RoundTally {
    pub wrapped: usize,
    pub removed: usize,
    /// What could not be done, whether reported before or not.
    pub not_done: usize,
}

/// A key agent, with what it remembers between two rounds.
#[derive(Debug)]
pub struct Agent<C> {
    connect: C,
    call: Option<CallId>,
    /// Proposals that have the vault for their reviews.
    has_vault: BTreeSet<ProposalId>,
    waiting: BTreeMap<AgentSubject, Waiting>,
}

/// What could not be done about a proposal or a call.
#[derive(Debug)]
struct Waiting {
    reasons: Reasons,
    again_at: Timestamp,
}

/// Why not, for a key, or for the proposal or call as a whole.
type Reasons = BTreeMap<Option<AgentKey>, String>;

/// What could not be done: each key, or the proposal or call as a whole, and why.
type NotDone = Vec<(AgentAct, Option<AgentKey>, ClientError)>;

/// What the exchange asks for, for one proposal or call.
#[derive(Default)]
struct Wanted {
    vault: bool,
    surplus: Vec<SurplusKey>,
    missing: Vec<MissingKey>,
}

impl<C: Fn() -> Result<Client>> Agent<C> {
    /// An agent for one call, or for everything that its member may wrap. `connect` makes the client of a round.
    pub fn new(connect: C, call: Option<CallId>) -> Self {
        Self { connect, call, has_vault: BTreeSet::new(), waiting: BTreeMap::new() }
    }

    /// Checks what would stand in the way of every round: certificate, key, identity, passphrase.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub async fn check(&self) -> Result<()> {
        let client = (self.connect)()?;
        client.signer()?;
        if client.keyring().await?.has_rsa() {
            return Err(ClientError::local(
                "a key agent opens what others choose, again and again, and the time that takes can reveal an `ssh-rsa` identity \
                 (RUSTSEC-2023-0071)",
                "give the agent an identity of its own with `entente keys new`, and have the registrar name it in the key card",
            ));
        }
        Ok(())
    }

    /// Looks at every proposal once. Each act is reported when it is done; what could not be done, when it is new. Ends early,
    /// between two proposals, when it `is_stopped`.
    ///
    /// # Errors
    /// When the exchange cannot be reached or has trouble of its own, or this machine has; the next round goes on.
    pub async fn round(
        &mut self,
        is_stopped: &(dyn Fn() -> bool + Sync),
        report: &mut (dyn FnMut(&Event) + Send),
    ) -> Result<RoundTally> {
        let client = (self.connect)()?;
        let calls = self.calls(&client).await?;
        let proposals = client.api().all_proposals(self.call).await?;
        let mut present: BTreeSet<AgentSubject> =
            proposals.iter().map(|proposal| AgentSubject::Proposal(proposal.id)).collect();
        present.extend(calls.keys().copied().map(AgentSubject::Call));
        self.has_vault.retain(|id| present.contains(&AgentSubject::Proposal(*id)));
        self.waiting.retain(|place, _| present.contains(place));
        let names: BTreeMap<AgentSubject, String> = proposals
            .iter()
            .map(|proposal| (AgentSubject::Proposal(proposal.id), proposal.reference.to_string()))
            .chain(calls.values().map(|call| (AgentSubject::Call(call.id), call.text.code.to_string())))
            .collect();
        let report: &mut (dyn FnMut(&Event) + Send) =
            &mut |event| report(&Event { name: names.get(&event.place).cloned(), ..event.clone() });
        let mut tally = RoundTally::default();
        for call in calls.values().filter(|call| runs(call)) {
            if is_stopped() {
                return Ok(tally);
            }
            let done = self.update_call(&client, call.id, &mut tally, report).await;
            self.set_failure_aside(&client, AgentSubject::Call(call.id), done, &mut tally, report)?;
        }
        for proposal in proposals {
            if is_stopped() {
                break;
            }
            let done = self.update_proposal(&client, &proposal, &calls, &mut tally, report).await;
            self.set_failure_aside(&client, AgentSubject::Proposal(proposal.id), done, &mut tally, report)?;
        }
        Ok(tally)
    }

    /// The calls that the agent looks after.
    async fn calls(&self, client: &Client) -> Result<BTreeMap<CallId, Call>> {
        let calls = match self.call {
            Some(call) => vec![client.api().call(call).await?.body],
            None => client.api().all_calls().await?,
        };
        Ok(calls.into_iter().map(|call| (call.id, call)).collect())
    }

    /// Remembers a failure that concerns this proposal or call alone, so that it does not hold up the others. One that concerns
    /// them all ends the round.
    fn set_failure_aside(
        &mut self,
        client: &Client,
        place: AgentSubject,
        done: Result<()>,
        tally: &mut RoundTally,
        report: &mut (dyn FnMut(&Event) + Send),
    ) -> Result<()> {
        match done {
            // One that is gone, or hidden from the agent's member, since the list was made.
            Err(error) if error.is_not_found() => Ok(()),
            Err(error @ (ClientError::Unverified { .. } | ClientError::Problem { .. })) if !error.is_passing() => {
                self.remember(client, place, [(AgentAct::LeftOut, None, error)].into(), tally, report);
                Ok(())
            }
            done => done,
        }
    }

    /// The officers' keys to a call's vault.
    async fn update_call(
        &mut self,
        client: &Client,
        id: CallId,
        tally: &mut RoundTally,
        report: &mut (dyn FnMut(&Event) + Send),
    ) -> Result<()> {
        let wanted = Wanted { missing: client.api().missing_call_keys(id).await?, ..Wanted::default() };
        if self.waits(client, AgentSubject::Call(id), &wanted, tally) {
            return Ok(());
        }
        let mut wrapped = Wrapped::default();
        let done = client.wrap_call_for(id, wanted.missing, KeyPass::Done, &mut wrapped).await;
        let not_done = report_wrapped(client, AgentSubject::Call(id), wrapped, done, tally, report).await?;
        self.remember(client, AgentSubject::Call(id), not_done, tally, report);
        Ok(())
    }

    /// Whether nothing is asked for but what could not be done a short while ago.
    fn waits(&self, client: &Client, place: AgentSubject, wanted: &Wanted, tally: &mut RoundTally) -> bool {
        let waiting = self.waiting.get(&place);
        let waiting = waiting.filter(|waiting| waiting.covers(wanted) && client.now() < waiting.again_at);
        tally.not_done += waiting.map_or(0, |waiting| waiting.reasons.len());
        waiting.is_some()
    }

    /// The keys to a proposal's vaults, surplus ones first, and the vault for its reviews.
    async fn update_proposal(
        &mut self,
        client: &Client,
        proposal: &Proposal,
        calls: &BTreeMap<CallId, Call>,
        tally: &mut RoundTally,
        report: &mut (dyn FnMut(&Event) + Send),
    ) -> Result<()> {
        let (id, place) = (proposal.id, AgentSubject::Proposal(proposal.id));
        let wanted = Wanted {
            vault: !self.has_vault.contains(&id) && is_panels_turn(proposal, calls),
            surplus: client.api().surplus_keys(id).await?,
            missing: client.api().missing_keys(id).await?,
        };
        if self.waits(client, place, &wanted, tally) {
            return Ok(());
        }
        let Wanted { vault, surplus, mut missing } = wanted;
        let mut not_done = remove_surplus(client, id, surplus, tally, report).await?;

        if vault {
            match client.make_deliberation_vault(id).await {
                Ok(is_new) => {
                    self.has_vault.insert(id);
                    if is_new {
                        report(&event(AgentAct::VaultMade, place, None, None));
                        missing = client.api().missing_keys(id).await?;
                    }
                }
                Err(error) if error.ends_a_series() => return Err(error),
                Err(error) => not_done.push((AgentAct::LeftOut, None, error)),
            }
        }

        let mut wrapped = Wrapped::default();
        let done = client.wrap_for(id, missing, KeyPass::Done, &mut wrapped).await;
        not_done.extend(report_wrapped(client, place, wrapped, done, tally, report).await?);
        self.remember(client, place, not_done, tally, report);
        Ok(())
    }

    /// Counts and remembers what could not be done about a proposal or call, and reports what of it is new.
    fn remember(
        &mut self,
        client: &Client,
        place: AgentSubject,
        not_done: NotDone,
        tally: &mut RoundTally,
        report: &mut (dyn FnMut(&Event) + Send),
    ) {
        tally.not_done += not_done.len();
        let before = self.waiting.remove(&place).map(|waiting| waiting.reasons).unwrap_or_default();
        let mut reasons = Reasons::new();
        for (act, key, why) in not_done {
            let event = event(act, place, key, Some(&why));
            // Of what the exchange answered, the number of the request is another one each time.
            let reason = why.problem().map_or_else(|| why.to_string(), |problem| problem.detail.clone());
            if before.get(&event.key) != Some(&reason) {
                report(&event);
            }
            reasons.insert(event.key, reason);
        }
        if !reasons.is_empty() {
            self.waiting.insert(place, Waiting { reasons, again_at: client.now() + AGAIN_AFTER });
        }
    }
}

impl Waiting {
    /// Whether nothing is asked for but what could not be done the last time.
    fn covers(&self, wanted: &Wanted) -> bool {
        wanted.missing.iter().all(|key| self.reasons.contains_key(&Some(key.clone().into())))
            && wanted.surplus.iter().all(|key| self.reasons.contains_key(&Some(key.clone().into())))
            && (!wanted.vault || self.reasons.contains_key(&None))
    }
}

/// Removes keys and reports those that are gone; returns those that this machine kept.
async fn remove_surplus(
    client: &Client,
    id: ProposalId,
    surplus: Vec<SurplusKey>,
    tally: &mut RoundTally,
    report: &mut (dyn FnMut(&Event) + Send),
) -> Result<NotDone> {
    let mut removed = Removed::default();
    let done = client.remove_surplus(id, surplus, &mut removed).await;
    for (key, why) in removed.done {
        tally.removed += 1;
        report(&event(AgentAct::Removed, AgentSubject::Proposal(id), Some(key.into()), Some(&why)));
    }
    done?;
    Ok(removed.kept.into_iter().map(|(key, why)| (AgentAct::Kept, Some(key.into()), why)).collect())
}

/// Reports the keys that were wrapped; returns those that were not and that the exchange still asks for.
async fn report_wrapped(
    client: &Client,
    place: AgentSubject,
    wrapped: Wrapped,
    done: Result<()>,
    tally: &mut RoundTally,
    report: &mut (dyn FnMut(&Event) + Send),
) -> Result<NotDone> {
    for key in wrapped.done {
        tally.wrapped += 1;
        report(&event(AgentAct::Wrapped, place, Some(key.into()), None));
    }
    done?;
    let still_missing = if wrapped.refused.iter().all(|(_, why)| why.problem().is_none()) {
        Vec::new()
    } else {
        match place {
            AgentSubject::Call(id) => client.api().missing_call_keys(id).await?,
            AgentSubject::Proposal(id) => client.api().missing_keys(id).await?,
        }
    };
    let not_done = wrapped.refused.into_iter().filter(|(key, why)| {
        // Else another agent, or a person, was quicker.
        why.problem().is_none() || still_missing.contains(key)
    });
    Ok(not_done.map(|(key, why)| (AgentAct::Refused, Some(key.into()), why)).collect())
}

/// Whether the member is an officer of the call, which is published.
fn runs(call: &Call) -> bool {
    call.publication.is_some() && call.my_roles.contains(&CallRole::Officer)
}

/// Whether the member is an officer of the proposal's call, which is under review.
fn is_panels_turn(proposal: &Proposal, calls: &BTreeMap<CallId, Call>) -> bool {
    let is_open = |call: &Call| call.phase == Phase::Review && runs(call);
    proposal.status == Status::Submitted && !proposal.mine.is_party && calls.get(&proposal.call).is_some_and(is_open)
}

fn event(act: AgentAct, place: AgentSubject, key: Option<AgentKey>, why: Option<&ClientError>) -> Event {
    let reason = why.map(ToString::to_string);
    // What was removed needs nobody to do anything.
    let help = why.filter(|_| act != AgentAct::Removed).map(|why| why.help().to_owned());
    Event { act, place, name: None, key, reason, help }
}

impl From<MissingKey> for AgentKey {
    fn from(MissingKey { vault, kind, holder, recipients }: MissingKey) -> Self {
        Self { vault, kind, holder, recipients }
    }
}

impl From<SurplusKey> for AgentKey {
    fn from(SurplusKey { vault, kind, holder }: SurplusKey) -> Self {
        Self { vault, kind, holder, recipients: Vec::new() }
    }
}
