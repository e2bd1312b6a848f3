//! The key agent: what a key holder does again and again so that nobody has to wait for them. It wraps keys for readers whom
//! policy admits, and removes the keys of those whom it does not admit any more.
//!
//! It decides nothing that the client does not decide for a person at the keyboard: who lacks a key the exchange says, whether
//! they get one the signed policies say, asked on this machine (`enforce`). It never fetches a document. Each round begins with
//! a client of its own, so no identity of a vault stays in memory, and a renewed certificate counts from the next round on.

use super::{
    Client, ClientError, Result,
    vaults::{Removed, Wrapped},
};
use crate::{
    domain::{
        ambient::Rng,
        call::Phase,
        id::{CallId, MemberId, ProposalId, VaultId},
        member::CallRole,
        proposal::Status,
        vault::VaultKind,
    },
    wire::{
        call::Call,
        proposal::{LostKey, MissingKey, Proposal},
    },
};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// What could not be done is tried again after this time: each try fetches a key, and the log says so.
const AGAIN_AFTER: SignedDuration = SignedDuration::from_mins(15);
/// The first wait after a round that failed, and the longest.
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// What the agent did, or could not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
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

impl Act {
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

/// One act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    pub act: Act,
    pub proposal: ProposalId,
    #[serde(flatten)]
    pub key: Option<Key>,
    /// Why it was refused, removed, kept or left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// Which key to which vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Key {
    pub vault: VaultId,
    pub kind: VaultKind,
    pub holder: MemberId,
}

/// What a round came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub wrapped: usize,
    pub removed: usize,
    /// What could not be done, told before or not.
    pub not_done: usize,
}

/// A key agent, with what it remembers between two rounds.
#[derive(Debug)]
pub struct Agent<C> {
    connect: C,
    call: Option<CallId>,
    /// Proposals that have the vault for their reviews.
    has_vault: BTreeSet<ProposalId>,
    waiting: BTreeMap<ProposalId, Waiting>,
}

/// What could not be done about a proposal.
#[derive(Debug)]
struct Waiting {
    reasons: Reasons,
    again_at: Timestamp,
}

/// Why not, for a key, or for the proposal as a whole.
type Reasons = BTreeMap<Option<(VaultId, MemberId)>, String>;

/// What is asked for, for one proposal.
struct Wanted {
    vault: bool,
    lost: Vec<LostKey>,
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
        client.signing_key()?;
        client.keyring().await.map(drop)
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
    ) -> Result<Tally> {
        let client = (self.connect)()?;
        let proposals = client.api().all_proposals(self.call).await?;
        let present: BTreeSet<ProposalId> = proposals.iter().map(|proposal| proposal.id).collect();
        self.has_vault.retain(|id| present.contains(id));
        self.waiting.retain(|id, _| present.contains(id));
        let (mut calls, mut tally) = (BTreeMap::new(), Tally::default());
        for proposal in proposals {
            if is_stopped() {
                break;
            }
            match self.tend(&client, &proposal, &mut calls, &mut tally, report).await {
                Ok(()) => {}
                // A proposal that is gone, or hidden from the agent's member, since the list was made.
                Err(error) if error.is_not_found() => {}
                // One proposal must not hold up the others; what concerns them all ends the round.
                Err(error @ (ClientError::Unverified { .. } | ClientError::Problem { .. })) if !error.is_passing() => {
                    tally.not_done += 1;
                    self.leave(&client, proposal.id, [(Act::LeftOut, None, error)].into(), report);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(tally)
    }

    async fn tend(
        &mut self,
        client: &Client,
        proposal: &Proposal,
        calls: &mut BTreeMap<CallId, Call>,
        tally: &mut Tally,
        report: &mut (dyn FnMut(&Event) + Send),
    ) -> Result<()> {
        let id = proposal.id;
        let wanted = Wanted {
            vault: !self.has_vault.contains(&id) && is_panels_turn(client, proposal, calls).await?,
            lost: client.api().lost_keys(id).await?,
            missing: client.api().missing_keys(id).await?,
        };
        if let Some(waiting) = self.waiting.get(&id)
            && waiting.covers(&wanted)
            && client.now() < waiting.again_at
        {
            tally.not_done += waiting.reasons.len();
            return Ok(());
        }
        let Wanted { vault, lost, mut missing } = wanted;
        let mut not_done = Vec::new();

        let (mut removed, mut wrapped) = (Removed::default(), Wrapped::default());
        let done = client.remove_lost(id, lost, &mut removed).await;
        for (key, why) in removed.done {
            tally.removed += 1;
            report(&event(Act::Removed, id, Some(key.into()), Some(&why)));
        }
        not_done.extend(removed.kept.into_iter().map(|(key, why)| (Act::Kept, Some(Key::from(key)), why)));
        done?;

        if vault {
            match client.make_deliberation_vault(id).await {
                Ok(made) => {
                    self.has_vault.insert(id);
                    if made {
                        report(&event(Act::VaultMade, id, None, None));
                        missing = client.api().missing_keys(id).await?;
                    }
                }
                Err(error) if error.is_passing() => return Err(error),
                Err(error) => not_done.push((Act::LeftOut, None, error)),
            }
        }

        let done = client.wrap_for(id, missing, &mut wrapped).await;
        for key in wrapped.done {
            tally.wrapped += 1;
            report(&event(Act::Wrapped, id, Some(key.into()), None));
        }
        done?;
        let asked_still = if wrapped.refused.iter().any(|(_, why)| why.problem().is_some()) {
            client.api().missing_keys(id).await?
        } else {
            Vec::new()
        };
        for (key, why) in wrapped.refused {
            // Another agent, or a person, was quicker.
            if why.problem().is_some() && !asked_still.contains(&key) {
                continue;
            }
            not_done.push((Act::Refused, Some(key.into()), why));
        }
        tally.not_done += not_done.len();
        self.leave(client, id, not_done, report);
        Ok(())
    }

    /// Remembers what could not be done about a proposal, and tells what of it is new.
    fn leave(
        &mut self,
        client: &Client,
        id: ProposalId,
        not_done: Vec<(Act, Option<Key>, ClientError)>,
        report: &mut (dyn FnMut(&Event) + Send),
    ) {
        let before = self.waiting.remove(&id).map(|waiting| waiting.reasons).unwrap_or_default();
        let mut reasons = Reasons::new();
        for (act, key, why) in not_done {
            let about = key.as_ref().map(|key| (key.vault, key.holder.clone()));
            let event = event(act, id, key, Some(&why));
            // Of what the exchange answered, the number of the request is another one each time.
            let reason = why.problem().map_or_else(|| why.to_string(), |problem| problem.detail.clone());
            if before.get(&about) != Some(&reason) {
                report(&event);
            }
            reasons.insert(about, reason);
        }
        if !reasons.is_empty() {
            self.waiting.insert(id, Waiting { reasons, again_at: client.now() + AGAIN_AFTER });
        }
    }
}

impl Waiting {
    /// Whether nothing is asked for but what could not be done the last time.
    fn covers(&self, wanted: &Wanted) -> bool {
        let has = |vault, holder: &MemberId| self.reasons.contains_key(&Some((vault, holder.clone())));
        wanted.missing.iter().all(|key| has(key.vault, &key.holder))
            && wanted.lost.iter().all(|key| has(key.vault, &key.holder))
            && (!wanted.vault || self.reasons.contains_key(&None))
    }
}

/// How long to wait for the next round: about the interval after a good one, longer and longer after failures in a row. A little
/// by chance, so that agents that failed together do not come back together.
#[must_use]
pub fn pause(every: Duration, failures: u32, rng: &dyn Rng) -> Duration {
    let mut bytes = [0; 2];
    rng.fill(&mut bytes);
    let chance = f64::from(u16::from_le_bytes(bytes)) / f64::from(u16::MAX);
    match failures {
        0 => every.mul_f64(0.9 + 0.2 * chance),
        _ => {
            let doubled = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(failures - 1));
            doubled.min(LONGEST_WAIT).mul_f64(0.5 + 0.5 * chance)
        }
    }
}

/// Whether the member is an officer of the proposal's call, which is under review.
async fn is_panels_turn(client: &Client, proposal: &Proposal, calls: &mut BTreeMap<CallId, Call>) -> Result<bool> {
    if proposal.status != Status::Submitted || proposal.mine.is_party {
        return Ok(false);
    }
    let call = match calls.entry(proposal.call) {
        std::collections::btree_map::Entry::Occupied(call) => call.into_mut(),
        std::collections::btree_map::Entry::Vacant(place) => place.insert(client.api().call(proposal.call).await?.body),
    };
    Ok(call.phase == Phase::Review && call.my_roles.contains(&CallRole::Officer))
}

fn event(act: Act, proposal: ProposalId, key: Option<Key>, why: Option<&ClientError>) -> Event {
    let reason = why.map(ToString::to_string);
    // What was removed needs nobody to do anything.
    let help = why.filter(|_| act != Act::Removed).map(|why| why.help().to_owned());
    Event { act, proposal, key, reason, help }
}

impl From<MissingKey> for Key {
    fn from(MissingKey { vault, kind, holder }: MissingKey) -> Self {
        Self { vault, kind, holder }
    }
}

impl From<LostKey> for Key {
    fn from(LostKey { vault, kind, holder }: LostKey) -> Self {
        Self { vault, kind, holder }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Always(u8);

    impl Rng for Always {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    #[test]
    fn waits_grow_with_failures_and_stay_within_bounds() {
        let every = Duration::from_mins(1);
        let (least, most) = (Always(0), Always(255));
        assert_eq!((pause(every, 0, &least).as_secs(), pause(every, 0, &most).as_secs()), (54, 66));
        let after = |failures| (pause(every, failures, &least).as_millis(), pause(every, failures, &most).as_millis());
        assert_eq!(after(1), (2_500, 5_000));
        assert_eq!(after(3), (10_000, 20_000));
        for failures in [7, 40, u32::MAX] {
            assert_eq!(after(failures), (150_000, 300_000));
        }
    }
}
