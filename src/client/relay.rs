//! The relay: a nation's own process that tells its members that something waits for them, by mail or by a program of the nation's own.
//!
//! It asks the exchange how many items wait for each member and when the next is due, and says that and nothing else. Where members are told
//! stands in a file of the nation's own, which the exchange never sees. The exchange is believed about the number and the instant alone:
//! whatever it says, members of other nations are told nothing, and nobody is told more than [`MOST_A_DAY`] times within 24 hours of this
//! machine's clock. Nobody is told twice: who may have been told counts as told.

pub mod contacts;
mod hook;
mod mail;
pub mod notice;
pub mod schedule;
mod state;
#[cfg(test)]
mod tests;

pub use hook::Hook;
pub use mail::{Mailer, SmtpServer};
pub use state::{MOST_A_DAY, RelayState};

use super::{Ambient, Client, ClientError, Result};
use crate::{
    domain::id::{MemberId, PartnerCode},
    wire::inbox::Waiting,
};
use contacts::{Contact, Contacts};
use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use schedule::{Habit, MemberLoad, SentNotices, TellReason, decide};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

/// How many members are told at a time.
const AT_ONCE: usize = 4;
/// Before and after so many the state is written: no more are left out that day if the machine fails.
const BATCH: usize = 16;
/// For so long a round goes by what it heard; then it asks again what waits.
const FRESH: SignedDuration = SignedDuration::from_mins(5);
/// After so many failures in a row that are nobody's own, the server of mail counts as away.
const AWAY_AFTER: usize = 4;
/// The waits before a member is tried again within one round.
const WAITS: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];

/// How members are told.
#[derive(Debug, Clone)]
pub enum Teller {
    Mail(Box<Mailer>),
    Hook(Hook),
}

/// Why a member was not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TellFault {
    /// This member cannot be told in this way.
    Refused(String),
    /// This member was not told; another try may do.
    Passing(String),
    /// A program was started and failed. Another try may do, and it may have told the member all the same.
    Failed(String),
    /// The member may have been told.
    Unknown(String),
    /// Nobody can be told now, and this member was not.
    Away(String),
    /// It was not tried: the relay stops, or nobody can be told.
    NotBegun,
}

/// Whom a relay tells, when and how.
#[derive(Debug, Clone)]
pub struct RelayPlan {
    /// The nation whose members they are.
    pub partner: PartnerCode,
    pub contacts: Contacts,
    /// For members who have no zone of their own.
    pub habit: Habit,
    pub teller: Teller,
}

/// What became of one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RelayAct {
    Told,
    /// It is not known whether it arrived. It counts as told.
    MaybeTold,
    /// In a dry run.
    WouldTell,
    NotTold,
    /// The list has no address for the member.
    NoAddress,
}

impl RelayAct {
    /// As it stands in a line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Told => "told",
            Self::MaybeTold => "maybe_told",
            Self::WouldTell => "would_tell",
            Self::NotTold => "not_told",
            Self::NoAddress => "no_address",
        }
    }
}

/// What a relay did, or could not do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RelayEvent {
    pub act: RelayAct,
    pub member: MemberId,
    pub why: TellReason,
    pub sentence: String,
    /// Why the member was not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The counts of one round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RelayTally {
    /// Those who may have been told included.
    pub told: usize,
    pub not_told: usize,
}

/// A member who is to be told.
#[derive(Debug)]
struct Telling {
    member: MemberId,
    contact: Contact,
    load: MemberLoad,
    why: TellReason,
    sentence: String,
    before: SentNotices,
    after: SentNotices,
}

/// What follows from what waits now.
#[derive(Debug, Default)]
struct RelayRound {
    tellings: Vec<Telling>,
    /// Members who are told nothing, and of whom something is to be noted all the same.
    notes: Vec<(MemberId, SentNotices)>,
    no_address: Vec<Telling>,
}

/// What the exchange said, and when.
#[derive(Debug)]
struct RelayLook {
    waiting: BTreeMap<MemberId, MemberLoad>,
    /// By the exchange's clock, which due instants go by.
    there: Timestamp,
    /// By this machine's, which the exchange cannot set.
    here: Timestamp,
}

/// How a round goes, and what ends it early.
struct Course<'s> {
    is_stopped: &'s (dyn Fn() -> bool + Sync),
    failing: AtomicUsize,
    is_away: AtomicBool,
}

/// A relay, with what it remembers.
#[derive(Debug)]
pub struct Relay<C> {
    connect: C,
    plan: RelayPlan,
    state: RelayState,
    ambient: Ambient,
    /// Members without an address of whom that was said.
    said: BTreeSet<MemberId>,
}

impl<C: Fn() -> Result<Client>> Relay<C> {
    /// A relay that goes on from this state. `connect` makes the client of a round.
    pub fn new(connect: C, plan: RelayPlan, state: RelayState, ambient: Ambient) -> Self {
        Self { connect, plan, state, ambient, said: BTreeSet::new() }
    }

    /// Asks what waits, and tells whom it is time to tell; asks again if that takes long. Ends early when it `is_stopped`.
    ///
    /// # Errors
    /// When the exchange, the server of mail or the state cannot be reached; the next round goes on.
    pub async fn round(
        &mut self,
        is_stopped: &(dyn Fn() -> bool + Sync),
        report: &mut (dyn FnMut(&RelayEvent) + Send),
    ) -> Result<RelayTally> {
        let course = Course::new(is_stopped);
        let mut tally = RelayTally::default();
        loop {
            let look = self.ask().await?;
            let RelayRound { tellings, notes, no_address } = self.plan(&look);
            for (member, told) in notes {
                self.state.note(&member, told);
            }
            for telling in &no_address {
                if self.said.insert(telling.member.clone()) {
                    report(&telling.event(RelayAct::NoAddress, None));
                }
            }
            let mut batches = tellings.chunks(BATCH).peekable();
            while self.is_fresh(&look) && !course.ends() {
                let Some(batch) = batches.next() else { break };
                self.tell_batch(batch, look.here, &course, &mut tally, report).await?;
            }
            if batches.peek().is_none() || course.ends() {
                self.state.retain(&look.waiting.keys().collect(), look.here);
                self.state.write()?;
                tally.not_told += no_address.len();
                return Ok(tally);
            }
        }
    }

    /// Tells some members, and notes and reports what became of it.
    async fn tell_batch(
        &mut self,
        batch: &[Telling],
        here: Timestamp,
        course: &Course<'_>,
        tally: &mut RelayTally,
        report: &mut (dyn FnMut(&RelayEvent) + Send),
    ) -> Result<()> {
        for telling in batch {
            self.state.begin(&telling.member, telling.after, here);
        }
        // INVARIANT: who may have been told counts as told, on the disk, too, before anything is sent. An answer that is lost, or a machine that
        // fails, leaves somebody out and tells nobody twice.
        if let Err(error) = self.state.write() {
            for telling in batch {
                self.state.take_back(&telling.member, telling.before);
            }
            return Err(error);
        }
        let done: Vec<_> = stream::iter(batch)
            .map(|telling| self.tell(telling, here, course))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut last = None;
        for (telling, fault) in done {
            let Telling { member, before, .. } = telling;
            let act = match &fault {
                None => RelayAct::Told,
                Some(TellFault::Unknown(_)) => RelayAct::MaybeTold,
                Some(TellFault::Refused(_) | TellFault::Passing(_)) => {
                    self.state.take_back(member, *before);
                    self.state.fail(member, *before, here);
                    RelayAct::NotTold
                }
                Some(TellFault::Failed(_)) => {
                    self.state.fail(member, *before, here);
                    RelayAct::NotTold
                }
                Some(TellFault::Away(_) | TellFault::NotBegun) => {
                    self.state.take_back(member, *before);
                    last = fault.and_then(TellFault::reason).or(last);
                    continue;
                }
            };
            if act == RelayAct::NotTold {
                tally.not_told += 1;
            } else {
                self.state.succeed(member);
                tally.told += 1;
            }
            let reason = fault.and_then(TellFault::reason);
            report(&telling.event(act, reason.clone()));
            last = reason.or(last);
        }
        self.state.write()?;
        if course.is_away() {
            let what = format!("members cannot be told: {}", last.unwrap_or_default());
            return Err(ClientError::local(what, "check `--smtp` and its files, or the program of `--hook`"));
        }
        Ok(())
    }

    /// Reports whom a round would tell now, and does nothing.
    ///
    /// # Errors
    /// When the exchange cannot be reached.
    pub async fn rehearse(&self, report: &mut (dyn FnMut(&RelayEvent) + Send)) -> Result<RelayTally> {
        let RelayRound { tellings, no_address, .. } = self.plan(&self.ask().await?);
        for telling in &no_address {
            report(&telling.event(RelayAct::NoAddress, None));
        }
        for telling in &tellings {
            report(&telling.event(RelayAct::WouldTell, None));
        }
        Ok(RelayTally { told: tellings.len(), not_told: no_address.len() })
    }

    /// What waits for the nation's members by the exchange's word, and the instant there and here.
    async fn ask(&self) -> Result<RelayLook> {
        let client = (self.connect)()?;
        let waiting = client.api().waiting().await?;
        let own = waiting.into_iter().filter(|waiting| *waiting.member.partner() == self.plan.partner);
        let loads = own.map(|Waiting { member, items, next_due_at, .. }| {
            (member, MemberLoad { items, next_due_at: next_due_at.map(|at| at.0) })
        });
        Ok(RelayLook { waiting: loads.collect(), there: client.exchange_now(), here: self.ambient.clock.now() })
    }

    /// Whether a round may still go by what it heard. A clock that was set back says no.
    fn is_fresh(&self, look: &RelayLook) -> bool {
        let since = self.ambient.clock.now().duration_since(look.here);
        !since.is_negative() && since < FRESH
    }

    fn plan(&self, look: &RelayLook) -> RelayRound {
        let (RelayLook { waiting, there: now, here }, mut round) = (look, RelayRound::default());
        for (member, load) in waiting {
            let contact = self.plan.contacts.get(member).cloned().unwrap_or_default();
            let zone = contact.zone.clone().unwrap_or_else(|| self.plan.habit.zone.clone());
            let habit = Habit { zone, ..self.plan.habit.clone() };
            let before = self.state.told(member, load, *now, &habit);
            let decision = decide(&before, load, *now, &habit);
            let Some(why) = decision.reason else {
                round.notes.push((member.clone(), decision.told));
                continue;
            };
            let sentence = notice::sentence(load, &habit.zone);
            let (has_address, after) = (contact.address.is_some(), decision.told);
            let telling = Telling { member: member.clone(), contact, load: *load, why, sentence, before, after };
            if !has_address && matches!(self.plan.teller, Teller::Mail(_)) {
                round.no_address.push(telling);
            } else if !self.state.waits(member, *here) && !self.state.has_enough(member, *here) {
                round.tellings.push(telling);
            }
        }
        round
    }

    /// Tells one member, with a few tries if need be. Returns why it could not be done.
    async fn tell<'t>(
        &self,
        telling: &'t Telling,
        here: Timestamp,
        course: &Course<'_>,
    ) -> (&'t Telling, Option<TellFault>) {
        if course.ends() {
            return (telling, Some(TellFault::NotBegun));
        }
        let mut waits = WAITS.iter();
        let fault = loop {
            let done = match (&self.plan.teller, &telling.contact.address) {
                (Teller::Hook(hook), _) => hook.call(&telling.member, &telling.load).await,
                (Teller::Mail(mailer), Some(address)) => {
                    let mut unique = [0; 16];
                    self.ambient.rng.fill(&mut unique);
                    mailer.send(address, &telling.sentence, here, unique).await
                }
                (Teller::Mail(_), None) => Err(TellFault::Refused("there is no address".to_owned())),
            };
            match (done, waits.next()) {
                (Err(TellFault::Passing(_)), Some(wait)) if !course.ends() => tokio::time::sleep(*wait).await,
                (done, _) => break done.err(),
            }
        };
        course.note(fault.as_ref());
        (telling, fault)
    }
}

impl TellFault {
    fn reason(self) -> Option<String> {
        match self {
            Self::Refused(why) | Self::Passing(why) | Self::Failed(why) | Self::Unknown(why) | Self::Away(why) => {
                Some(why)
            }
            Self::NotBegun => None,
        }
    }
}

impl<'s> Course<'s> {
    fn new(is_stopped: &'s (dyn Fn() -> bool + Sync)) -> Self {
        Self { is_stopped, failing: AtomicUsize::new(0), is_away: AtomicBool::new(false) }
    }

    /// Whether nobody else is to be told in this round.
    fn ends(&self) -> bool {
        (self.is_stopped)() || self.is_away()
    }

    /// Whether nobody can be told.
    fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Relaxed)
    }

    fn note(&self, fault: Option<&TellFault>) {
        let is_away = match fault {
            Some(TellFault::Away(_)) => true,
            Some(TellFault::Passing(_) | TellFault::Unknown(_)) => {
                self.failing.fetch_add(1, Ordering::Relaxed) + 1 >= AWAY_AFTER
            }
            _ => {
                self.failing.store(0, Ordering::Relaxed);
                false
            }
        };
        if is_away {
            self.is_away.store(true, Ordering::Relaxed);
        }
    }
}

impl Telling {
    fn event(&self, act: RelayAct, reason: Option<String>) -> RelayEvent {
        let Self { member, why, sentence, .. } = self;
        RelayEvent { act, member: member.clone(), why: *why, sentence: sentence.clone(), reason }
    }
}
