//! The relay: a nation's own process that tells its members that something waits for them, by mail or by a program of the nation's own.
//!
//! It asks the exchange how many items wait for each member and when the next is due, and says that and nothing else. Where members are told
//! stands in a file of the nation's own, which the exchange never sees. The exchange is believed about the number and the instant alone:
//! whatever it says, members of other nations are told nothing, and nobody is told more than [`schedule::MOST_A_DAY`] times a day.

pub mod contacts;
mod hook;
mod mail;
pub mod notice;
pub mod schedule;
mod state;

pub use hook::Hook;
pub use mail::{Mailer, SmtpServer};
pub use state::RelayState;

use super::{Client, ClientError, Result};
use crate::{
    domain::{
        ambient::Rng,
        id::{MemberId, PartnerCode},
    },
    wire::inbox::Waiting,
};
use contacts::{Contact, Contacts};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use schedule::{Habit, MemberLoad, TellReason, Told, decide};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// How many members are told at a time.
const AT_ONCE: usize = 4;
/// After so many the state is written: no more are told twice if the machine fails.
const BATCH: usize = 16;
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
    /// Another try may do.
    Passing(String),
    /// Nobody can be told now.
    Away(String),
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
    before: Told,
    after: Told,
}

/// What follows from what waits now.
#[derive(Debug, Default)]
struct RelayRound {
    tellings: Vec<Telling>,
    /// Members who are told nothing, and of whom something is to be noted all the same.
    notes: Vec<(MemberId, Told)>,
    no_address: Vec<Telling>,
}

/// A relay, with what it remembers.
#[derive(Debug)]
pub struct Relay<C> {
    connect: C,
    plan: RelayPlan,
    state: RelayState,
    rng: Arc<dyn Rng>,
    /// Members without an address of whom that was said.
    said: BTreeSet<MemberId>,
}

impl<C: Fn() -> Result<Client>> Relay<C> {
    /// A relay that goes on from this state. `connect` makes the client of a round.
    pub fn new(connect: C, plan: RelayPlan, state: RelayState, rng: Arc<dyn Rng>) -> Self {
        Self { connect, plan, state, rng, said: BTreeSet::new() }
    }

    /// Asks once what waits, and tells whom it is time to tell. Ends early, between two batches, when it `is_stopped`.
    ///
    /// # Errors
    /// When the exchange, the server of mail or the state cannot be reached; the next round goes on.
    pub async fn round(
        &mut self,
        is_stopped: &(dyn Fn() -> bool + Sync),
        report: &mut (dyn FnMut(&RelayEvent) + Send),
    ) -> Result<RelayTally> {
        let (waiting, now) = self.ask().await?;
        let RelayRound { tellings, notes, no_address } = self.plan(&waiting, now);
        for (member, told) in notes {
            self.state.note(&member, told);
        }
        for telling in &no_address {
            if self.said.insert(telling.member.clone()) {
                report(&telling.event(RelayAct::NoAddress, None));
            }
        }
        let mut tally = RelayTally { told: 0, not_told: no_address.len() };
        for batch in tellings.chunks(BATCH) {
            if is_stopped() {
                break;
            }
            let done: Vec<_> =
                stream::iter(batch).map(|telling| self.tell(telling, now)).buffer_unordered(AT_ONCE).collect().await;
            let mut away = None;
            for (telling, fault) in done {
                match fault {
                    None => {
                        tally.told += 1;
                        self.state.keep(&telling.member, telling.after);
                        report(&telling.event(RelayAct::Told, None));
                    }
                    Some(TellFault::Refused(why) | TellFault::Passing(why)) => {
                        tally.not_told += 1;
                        self.state.fail(&telling.member, telling.before, now);
                        report(&telling.event(RelayAct::NotTold, Some(why)));
                    }
                    Some(TellFault::Away(why)) => away = Some(why),
                }
            }
            self.state.write()?;
            if let Some(why) = away {
                let what = format!("members cannot be told: {why}");
                return Err(ClientError::local(what, "check `--smtp` and its files, or the program of `--hook`"));
            }
        }
        self.state.retain(&waiting.keys().collect(), now);
        self.state.write()?;
        Ok(tally)
    }

    /// Reports whom a round would tell now, and does nothing.
    ///
    /// # Errors
    /// When the exchange cannot be reached.
    pub async fn rehearse(&self, report: &mut (dyn FnMut(&RelayEvent) + Send)) -> Result<RelayTally> {
        let (waiting, now) = self.ask().await?;
        let RelayRound { tellings, no_address, .. } = self.plan(&waiting, now);
        no_address.iter().for_each(|telling| report(&telling.event(RelayAct::NoAddress, None)));
        tellings.iter().for_each(|telling| report(&telling.event(RelayAct::WouldTell, None)));
        Ok(RelayTally { told: tellings.len(), not_told: no_address.len() })
    }

    /// What waits for the nation's members by the exchange's word, and the instant there.
    async fn ask(&self) -> Result<(BTreeMap<MemberId, MemberLoad>, Timestamp)> {
        let client = (self.connect)()?;
        let waiting = client.api().waiting().await?;
        let own = waiting.into_iter().filter(|waiting| *waiting.member.partner() == self.plan.partner);
        let loads = own.map(|Waiting { member, items, next_due_at, .. }| {
            (member, MemberLoad { items, next_due_at: next_due_at.map(|at| at.0) })
        });
        Ok((loads.collect(), client.exchange_now()))
    }

    fn plan(&self, waiting: &BTreeMap<MemberId, MemberLoad>, now: Timestamp) -> RelayRound {
        let mut round = RelayRound::default();
        for (member, load) in waiting {
            let contact = self.plan.contacts.get(member).cloned().unwrap_or_default();
            let zone = contact.zone.clone().unwrap_or_else(|| self.plan.habit.zone.clone());
            let habit = Habit { zone, ..self.plan.habit.clone() };
            let before = self.state.told(member, load, now, &habit);
            let decision = decide(&before, load, now, &habit);
            let Some(why) = decision.reason else {
                round.notes.push((member.clone(), decision.told));
                continue;
            };
            let sentence = notice::sentence(load, &habit.zone);
            let (has_address, after) = (contact.address.is_some(), decision.told);
            let telling = Telling { member: member.clone(), contact, load: *load, why, sentence, before, after };
            if !has_address && matches!(self.plan.teller, Teller::Mail(_)) {
                round.no_address.push(telling);
            } else if !self.state.waits(member, now) {
                round.tellings.push(telling);
            }
        }
        round
    }

    /// Tells one member, a few times if need be. Returns why it could not be done.
    async fn tell<'t>(&self, telling: &'t Telling, now: Timestamp) -> (&'t Telling, Option<TellFault>) {
        let mut waits = WAITS.iter();
        loop {
            let done = match (&self.plan.teller, &telling.contact.address) {
                (Teller::Hook(hook), _) => hook.call(&telling.member, &telling.load).await,
                (Teller::Mail(mailer), Some(address)) => {
                    let mut unique = [0; 16];
                    self.rng.fill(&mut unique);
                    mailer.send(address, &telling.sentence, now, unique).await
                }
                (Teller::Mail(_), None) => Err(TellFault::Refused("there is no address".to_owned())),
            };
            match (done, waits.next()) {
                (Ok(()), _) => return (telling, None),
                (Err(TellFault::Passing(_)), Some(wait)) => tokio::time::sleep(*wait).await,
                (Err(fault), _) => return (telling, Some(fault)),
            }
        }
    }
}

impl Telling {
    fn event(&self, act: RelayAct, reason: Option<String>) -> RelayEvent {
        let Self { member, why, sentence, .. } = self;
        RelayEvent { act, member: member.clone(), why: *why, sentence: sentence.clone(), reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ambient::SystemRng;
    use contacts::ContactRow;
    use jiff::{SignedDuration, civil::Time, tz::TimeZone};

    fn id(member: &str) -> MemberId {
        member.parse().unwrap()
    }

    fn nobody() -> Result<Client> {
        Err(ClientError::local("nobody is asked in this test", ""))
    }

    fn relay(teller: Teller) -> (tempfile::TempDir, Relay<impl Fn() -> Result<Client>>) {
        let folder = tempfile::tempdir().unwrap();
        let partner: PartnerCode = "ISR".parse().unwrap();
        let row = |handle, address| ContactRow { line: 2, handle, address, zone: "Asia/Jerusalem" };
        let rows = [row("avi", "avi@example.org"), row("gal", "")];
        let contacts = Contacts::of(&partner, rows).unwrap();
        let habit = Habit { digest_at: Time::constant(8, 0, 0, 0), zone: TimeZone::UTC };
        let (state, _) = RelayState::open(&folder.path().join("relay.json")).unwrap();
        let plan = RelayPlan { partner, contacts, habit, teller };
        (folder, Relay::new(nobody, plan, state, Arc::new(SystemRng)))
    }

    fn waiting() -> BTreeMap<MemberId, MemberLoad> {
        let load = |items| MemberLoad { items, next_due_at: None };
        [(id("ISR:avi"), load(2)), (id("ISR:gal"), load(1)), (id("ISR:tamar"), load(0))].into()
    }

    fn members(tellings: &[Telling]) -> Vec<String> {
        tellings.iter().map(|telling| telling.member.to_string()).collect()
    }

    #[test]
    fn members_are_told_at_their_own_hour_and_those_without_an_address_by_a_program_alone() {
        let mailer =
            Mailer::new(&"smtp+plain://127.0.0.1:1".parse().unwrap(), "relay@example.org", None, None).unwrap();
        let (_folder, relay) = relay(Teller::Mail(Box::new(mailer)));
        let at_seven: Timestamp = "2026-03-02T07:00:00Z".parse().unwrap();
        let round = relay.plan(&waiting(), at_seven);
        assert_eq!(
            (members(&round.tellings), members(&round.no_address)),
            (vec!["ISR:avi".into()], vec!["ISR:gal".into()])
        );
        assert_eq!(round.tellings[0].sentence, "2 items, none with a date; open your client");
        assert_eq!(round.notes.len(), 1, "nothing waits for Tamar");
        let at_five = at_seven - SignedDuration::from_hours(2);
        assert!(relay.plan(&waiting(), at_five).tellings.is_empty());
        let (_folder, hooked) = self::relay(Teller::Hook(Hook::new("/nowhere".into())));
        assert_eq!(members(&hooked.plan(&waiting(), at_seven).tellings), ["ISR:avi", "ISR:gal"]);
    }

    #[tokio::test]
    async fn program_that_does_not_start_ends_the_round() {
        let (_folder, relay) = relay(Teller::Hook(Hook::new("/nowhere/at/all".into())));
        let now = "2026-03-02T07:00:00Z".parse().unwrap();
        let round = relay.plan(&waiting(), now);
        let (_, fault) = relay.tell(&round.tellings[0], now).await;
        assert!(matches!(fault, Some(TellFault::Away(why)) if why.contains("does not start")));
    }
}
