//! The instant of the exchange: never before anything that is on record or was shown, and by no clock that is plainly wrong.
//!
//! A machine's clock is set now and then, by a person or by a program. Small differences are bridged by standing still. Beyond the
//! tolerance nothing is written until somebody has looked: a clock that went back would reopen what was closed, one that
//! jumped ahead would close what is open. What is looked at meanwhile is shown at the instant that the steady clock leads to, or at the
//! database's where that is earlier: of two clocks that differ neither opens anything early. Only an instant that was compared with what is
//! on record and agreed with it is remembered, so that nothing of a wrong clock stays once it is set right. A clock that is set on purpose
//! (`Clock::steady` returns `None`) is compared with what is on record alone.

use super::{Exchange, Result};
use crate::{
    domain::ambient::Clock,
    storage::{
        Tx,
        pulse::{self, ClockMark},
    },
};
use jiff::{SignedDuration, Timestamp};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The difference that is bridged when nobody says otherwise. Machines that keep time by NTP differ by milliseconds and a leap second is one;
/// five seconds is far more than that and means nothing to a deadline.
pub const TOLERANCE: Duration = Duration::from_secs(5);

/// How far ahead of what is on record a program that just started takes its clock to be right: servers note that they are well many times
/// a minute.
const UNNOTED: SignedDuration = SignedDuration::from_mins(1);

/// How often the clock's own slow drift from the steady one is taken as given.
const TRUSTED_AGAIN: Duration = Duration::from_mins(1);

/// Why nothing may be written at this instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClockFault {
    /// It moved while this server ran, and not because time passed.
    #[error("the exchange's clock has jumped {} {}", seconds(.0), if .0.is_negative() { "back" } else { "ahead" })]
    Jumped(SignedDuration),
    /// Something on record happened later than it is.
    #[error("the exchange's clock is {} behind what is on record", seconds(.0))]
    Behind(SignedDuration),
    /// This machine and the database's do not agree on the time.
    #[error("the exchange's clock differs from its database's by {}", seconds(.0))]
    Differs(SignedDuration),
}

/// The exchange's time.
#[derive(Debug)]
pub struct ExchangeTime {
    clock: Arc<dyn Clock>,
    tolerance: SignedDuration,
    state: Mutex<TimeState>,
}

#[derive(Debug, Default)]
struct TimeState {
    /// The readings of both clocks when they last agreed.
    trusted: Option<(Timestamp, Duration)>,
    /// The latest instant that was used for an act or a look by a clock that did not differ from the database's.
    latest: Timestamp,
    /// How far the instant by the steady clock was ahead of the database's when it was last compared with that; nothing within the tolerance.
    ahead: SignedDuration,
    /// Whether it ever agreed with the database's. A jump after that moves one machine's clock or that of both, and nobody can know which.
    has_agreed: bool,
}

impl TimeState {
    /// The instant to show at when the steady clock leads to this one.
    fn shown(&self, expected: Timestamp) -> Timestamp {
        expected.checked_sub(self.ahead).unwrap_or(expected).max(self.latest)
    }
}

/// The reading of the clock, and the expected one by the steady clock.
#[derive(Debug, Clone, Copy)]
struct Reading {
    shown: Timestamp,
    expected: Timestamp,
}

impl ExchangeTime {
    /// The time by this clock. What it shows now is believed: there is nothing yet to hold it against.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, tolerance: Duration) -> Self {
        let tolerance = SignedDuration::try_from(tolerance).unwrap_or(SignedDuration::MAX);
        let time = Self { clock, tolerance, state: Mutex::default() };
        time.read(&mut time.state());
        time
    }

    /// The instant for what is on no record, as far as is known since the clock was last compared with the database's.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let mut state = self.state();
        let expected = self.read(&mut state).expected;
        state.shown(expected)
    }

    /// The instant at which what is on record is looked at.
    #[must_use]
    pub fn of_view(&self, mark: &ClockMark) -> Timestamp {
        let mut state = self.state();
        let expected = self.read(&mut state).expected;
        let agrees = self.compare(&mut state, expected, mark);
        let shown = state.shown(expected).max(mark.last);
        if agrees {
            state.latest = shown;
        }
        shown
    }

    /// The instant at which something is done.
    ///
    /// # Errors
    /// When the clock cannot be relied on.
    pub fn of_act(&self, mark: &ClockMark) -> Result<Timestamp, ClockFault> {
        let mut state = self.state();
        let mut reading = self.read(&mut state);
        let differs = self.ahead_of_database(reading.shown, mark).filter(|by| by.abs() > self.tolerance);
        let jumped = reading.shown.duration_since(reading.expected);
        let has_jumped = jumped.abs() > self.tolerance;
        // A clock that was wrong from the start and is set right is right if the database's says so, too. One that agreed with it has
        // jumped, and the database's with it where both are of one machine.
        let is_confirmed = !state.has_agreed && mark.database.is_some() && differs.is_none();
        if has_jumped && is_confirmed {
            state.trusted = self.clock.steady().map(|steady| (reading.shown, steady));
            reading.expected = reading.shown;
        }
        self.compare(&mut state, reading.expected, mark);
        if let Some(by) = differs {
            return Err(ClockFault::Differs(by));
        }
        if has_jumped && !is_confirmed {
            return Err(ClockFault::Jumped(jumped));
        }
        let behind = mark.last.max(state.latest).duration_since(reading.expected);
        // Another server may be as far ahead of the database's as this one is behind it.
        let bridged = if mark.database.is_some() { self.tolerance.saturating_mul(2) } else { self.tolerance };
        if behind > bridged && mark.last > mark.accepted_until {
            return Err(ClockFault::Behind(behind));
        }
        state.latest = state.latest.max(reading.expected).max(mark.last);
        Ok(state.latest)
    }

    fn state(&self) -> MutexGuard<'_, TimeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the instant that the steady clock leads to agrees with the database's; notes how far it is ahead if not.
    fn compare(&self, state: &mut TimeState, expected: Timestamp, mark: &ClockMark) -> bool {
        let against = self.ahead_of_database(expected, mark);
        let ahead = against.unwrap_or_default();
        let agrees = ahead.abs() <= self.tolerance;
        state.has_agreed |= agrees && against.is_some();
        state.ahead = if agrees { SignedDuration::ZERO } else { ahead.max(SignedDuration::ZERO) };
        agrees
    }

    /// How far an instant is ahead of the database's clock, where there is one to hold it against.
    fn ahead_of_database(&self, instant: Timestamp, mark: &ClockMark) -> Option<SignedDuration> {
        // A clock that is set on purpose shows another time than any machine.
        let database = mark.database.filter(|_| self.clock.steady().is_some())?;
        Some(instant.duration_since(database))
    }

    fn read(&self, state: &mut TimeState) -> Reading {
        let (shown, steady) = (self.clock.now(), self.clock.steady());
        let Some(steady) = steady else { return Reading { shown, expected: shown } };
        let (then, began) = *state.trusted.get_or_insert((shown, steady));
        let passed = SignedDuration::try_from(steady.saturating_sub(began)).unwrap_or(SignedDuration::MAX);
        let expected = then.saturating_add(passed).unwrap_or(Timestamp::MAX);
        if shown.duration_since(expected).abs() > self.tolerance {
            return Reading { shown, expected };
        }
        if steady.saturating_sub(began) > TRUSTED_AGAIN {
            state.trusted = Some((shown, steady));
        }
        Reading { shown, expected: shown }
    }
}

/// In words, without fractions.
fn seconds(by: &SignedDuration) -> String {
    format!("{:#}", SignedDuration::from_secs(by.as_secs().saturating_abs()))
}

/// The instant of a look at this snapshot.
pub(super) async fn of_view(exchange: &Exchange, tx: &mut Tx) -> Result<Timestamp> {
    Ok(exchange.time.of_view(&pulse::mark(tx).await?))
}

/// The instant of an act in this unit of work, read once it has its turn.
pub(super) async fn of_act(exchange: &Exchange, tx: &mut Tx) -> Result<Timestamp> {
    Ok(exchange.time.of_act(&pulse::mark(tx).await?)?)
}

/// Notes that this server is well, by an act that leaves nothing but its instant.
pub async fn beat(exchange: &Exchange) -> Result<()> {
    let mut tx = exchange.db.write().await?;
    let now = of_act(exchange, &mut tx).await?;
    pulse::beat(&mut tx, now).await?;
    Ok(tx.commit().await?)
}

/// A reading of the clock, and the instants on record to compare it with.
#[derive(Debug, Clone, Copy)]
pub struct ClockReading {
    pub clock: Timestamp,
    pub mark: ClockMark,
    /// Why nothing can be written now, if so.
    pub fault: Option<ClockFault>,
}

/// The latest instant on record, where this program's clock is plainly ahead of it and servers have run: the clock has jumped, or none has
/// run since. A program that just started has no other sign of it.
pub async fn left_behind(exchange: &Exchange) -> Result<Option<Timestamp>> {
    let mut tx = exchange.db.read().await?;
    let (mark, beat) = (pulse::mark(&mut tx).await?, pulse::last_beat(&mut tx).await?);
    let is_ahead = exchange.clock.now().duration_since(mark.last) > UNNOTED;
    Ok(Some(mark.last).filter(|_| is_ahead && beat.is_some() && exchange.clock.steady().is_some()))
}

/// A reading of the clock, and the instants on record to compare it with.
pub async fn show(exchange: &Exchange) -> Result<ClockReading> {
    let mark = pulse::mark(&mut *exchange.db.read().await?).await?;
    Ok(ClockReading { clock: exchange.clock.now(), mark, fault: exchange.time.of_act(&mark).err() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

    /// A machine with two clocks, in milliseconds: one that can be set, and one that cannot.
    #[derive(Debug, Default)]
    struct Machine {
        shown: AtomicI64,
        steady: AtomicU64,
    }

    impl Clock for Machine {
        fn now(&self) -> Timestamp {
            at(self.shown.load(Ordering::SeqCst))
        }

        fn steady(&self) -> Option<Duration> {
            Some(Duration::from_millis(self.steady.load(Ordering::SeqCst)))
        }
    }

    impl Machine {
        fn pass(&self, millis: u32) {
            self.shown.fetch_add(millis.into(), Ordering::SeqCst);
            self.steady.fetch_add(millis.into(), Ordering::SeqCst);
        }

        fn set(&self, by: i64) {
            self.shown.fetch_add(by, Ordering::SeqCst);
        }
    }

    const HOUR: i64 = 3_600_000;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + millis).unwrap()
    }

    fn mark(last: i64, database: Option<i64>) -> ClockMark {
        ClockMark { last: at(last), accepted_until: Timestamp::UNIX_EPOCH, database: database.map(at) }
    }

    fn time() -> (ExchangeTime, Arc<Machine>) {
        let machine = Arc::new(Machine::default());
        (ExchangeTime::new(machine.clone(), TOLERANCE), machine)
    }

    #[test]
    fn instant_is_never_before_the_last_entry_and_small_differences_are_bridged() {
        let (time, machine) = time();
        assert_eq!(time.of_act(&mark(4000, None)), Ok(at(4000)));
        machine.pass(1000);
        assert_eq!(time.of_act(&mark(4000, None)), Ok(at(4000)), "it stands still");
        machine.pass(5000);
        assert_eq!(time.of_act(&mark(4000, None)), Ok(at(6000)));
        machine.set(-3000);
        assert_eq!(time.of_act(&mark(6000, None)), Ok(at(6000)));
    }

    #[test]
    fn what_was_looked_at_later_is_not_looked_at_earlier() {
        let (time, machine) = time();
        machine.pass(4000);
        assert_eq!(time.of_view(&mark(0, None)), at(4000));
        machine.set(-3000);
        assert_eq!(time.of_view(&mark(0, None)), at(4000));
        assert_eq!(time.of_act(&mark(0, None)), Ok(at(4000)));
    }

    #[test]
    fn clock_that_goes_back_writes_nothing_and_shows_nothing_earlier() {
        let (time, machine) = time();
        machine.pass(10_000);
        assert_eq!(time.of_act(&mark(0, None)), Ok(at(10_000)));
        machine.set(-HOUR);
        assert_eq!(time.of_act(&mark(10_000, None)), Err(ClockFault::Jumped(SignedDuration::from_hours(-1))));
        machine.pass(1000);
        assert_eq!(time.of_view(&mark(10_000, None)), at(11_000), "time goes on for those who look");
        machine.set(HOUR);
        assert_eq!(time.of_act(&mark(10_000, None)), Ok(at(11_000)), "set right it is believed again");
    }

    #[test]
    fn clock_that_is_behind_what_is_on_record_from_the_start_writes_nothing_until_the_operator_accepts() {
        let (time, machine) = time();
        assert_eq!(time.of_act(&mark(HOUR, None)), Err(ClockFault::Behind(SignedDuration::from_hours(1))));
        assert_eq!(time.of_view(&mark(HOUR, None)), at(HOUR));
        let accepted = ClockMark { accepted_until: at(HOUR), ..mark(HOUR, None) };
        assert_eq!(time.of_act(&accepted), Ok(at(HOUR)), "it stands still at what is on record");
        machine.pass(60_000);
        assert_eq!(time.of_act(&accepted), Ok(at(HOUR)));
        let later = ClockMark { last: at(HOUR + 1), ..accepted };
        assert!(time.of_act(&later).is_err(), "no more than that was accepted");
        machine.pass(3_600_000);
        assert_eq!(time.of_act(&accepted), Ok(at(HOUR + 60_000)));
    }

    #[test]
    fn clock_that_jumps_ahead_writes_nothing_and_opens_nothing_to_those_who_look() {
        let (time, machine) = time();
        machine.set(24 * HOUR);
        let refused = time.of_act(&mark(0, None)).unwrap_err();
        assert_eq!(refused, ClockFault::Jumped(SignedDuration::from_hours(24)));
        assert_eq!(refused.to_string(), "the exchange's clock has jumped 24h ahead");
        machine.pass(2000);
        assert_eq!((time.of_view(&mark(0, None)), time.now()), (at(2000), at(2000)));
        // A new start believes it: that is how the operator says that it is right.
        assert_eq!(ExchangeTime::new(machine, TOLERANCE).of_act(&mark(0, None)), Ok(at(24 * HOUR + 2000)));
    }

    #[test]
    fn slow_drift_never_adds_up_to_a_jump() {
        let (time, machine) = time();
        for minute in 1..100 {
            machine.pass(61_000);
            machine.set(1000);
            assert_eq!(time.of_act(&mark(0, None)), Ok(at(minute * 62_000)));
        }
    }

    #[test]
    fn database_on_another_machine_is_asked_for_its_time() {
        let (time, _machine) = time();
        assert_eq!(time.of_act(&mark(0, Some(-4000))), Ok(at(0)));
        assert_eq!(time.of_act(&mark(0, Some(-HOUR))), Err(ClockFault::Differs(SignedDuration::from_hours(1))));
        let (time, machine) = self::time();
        machine.set(HOUR);
        assert_eq!(time.of_act(&mark(0, Some(HOUR))), Ok(at(HOUR)), "it was wrong at the start and is set right");
        assert_eq!(time.of_act(&mark(0, None)), Ok(at(HOUR)));
    }

    #[test]
    fn servers_on_either_side_of_their_database_both_go_on() {
        let (slow, fast) = (time().0, time().0);
        assert_eq!(fast.of_act(&mark(0, Some(-4000))), Ok(at(0)));
        assert_eq!(slow.of_act(&mark(8000, Some(4000))), Ok(at(8000)));
        let wrong = slow.of_act(&mark(10_001, Some(4000)));
        assert_eq!(wrong, Err(ClockFault::Behind(SignedDuration::from_millis(10_001))));
    }

    #[test]
    fn server_that_starts_ahead_of_its_database_shows_nothing_early_and_goes_on_once_it_is_set_right() {
        let machine = Arc::new(Machine::default());
        machine.set(24 * HOUR);
        let time = ExchangeTime::new(machine.clone(), TOLERANCE);
        assert_eq!(time.of_act(&mark(0, Some(0))), Err(ClockFault::Differs(SignedDuration::from_hours(24))));
        assert_eq!((time.now(), time.of_view(&mark(0, Some(0)))), (at(0), at(0)));
        machine.pass(60_000);
        assert_eq!((time.now(), time.of_view(&mark(0, Some(60_000)))), (at(60_000), at(60_000)));
        machine.set(-24 * HOUR);
        assert_eq!(time.of_view(&mark(0, Some(60_000))), at(60_000), "the steady clock still leads to the next day");
        assert_eq!(time.of_act(&mark(0, Some(60_000))), Ok(at(60_000)), "without a restart");
        machine.pass(1000);
        assert_eq!((time.now(), time.of_act(&mark(60_000, Some(61_000)))), (at(61_000), Ok(at(61_000))));
    }

    #[test]
    fn database_that_jumps_moves_nobody_and_leaves_nothing_behind() {
        for jump in [24 * HOUR, -24 * HOUR] {
            let (time, machine) = time();
            machine.pass(1000);
            assert_eq!(time.of_act(&mark(0, Some(1000))), Ok(at(1000)));
            machine.pass(1000);
            let wrong = mark(1000, Some(2000 + jump));
            assert_eq!(time.of_act(&wrong), Err(ClockFault::Differs(SignedDuration::from_millis(-jump))));
            // By the earlier of both, and never before what was shown.
            let shown = if jump > 0 { 2000 } else { 1000 };
            assert_eq!((time.of_view(&wrong), time.now()), (at(shown), at(shown)));
            machine.pass(1000);
            assert_eq!(time.of_view(&mark(1000, Some(3000))), at(3000));
            assert_eq!(time.of_act(&mark(1000, Some(3000))), Ok(at(3000)));
        }
    }

    #[test]
    fn machine_and_database_that_jump_together_move_nothing() {
        for jump in [24 * HOUR, -24 * HOUR] {
            let (time, machine) = time();
            assert_eq!(time.of_act(&mark(0, Some(0))), Ok(at(0)));
            machine.set(jump);
            let both = mark(0, Some(jump));
            assert_eq!((time.of_view(&both), time.now()), (at(0), at(0)), "the steady clock does not confirm it");
            assert_eq!(time.of_act(&both), Err(ClockFault::Jumped(SignedDuration::from_millis(jump))));
            machine.pass(1000);
            assert!(time.of_act(&mark(0, Some(jump + 1000))).is_err(), "nor does asking again");
            machine.set(-jump);
            assert_eq!(time.of_act(&mark(0, Some(1000))), Ok(at(1000)), "and nothing of it has stayed");
        }
    }

    #[test]
    fn clock_that_is_set_on_purpose_jumps_ahead_and_never_back() {
        #[derive(Debug)]
        struct Story(AtomicI64);
        impl Clock for Story {
            fn now(&self) -> Timestamp {
                at(self.0.load(Ordering::SeqCst))
            }
        }
        let story = Arc::new(Story(AtomicI64::new(0)));
        let time = ExchangeTime::new(story.clone(), TOLERANCE);
        story.0.store(24 * HOUR, Ordering::SeqCst);
        assert_eq!(time.of_act(&mark(0, Some(99 * HOUR))), Ok(at(24 * HOUR)));
        story.0.store(0, Ordering::SeqCst);
        assert_eq!(time.of_act(&mark(0, None)), Err(ClockFault::Behind(SignedDuration::from_hours(24))));
        assert_eq!(time.of_view(&mark(0, None)), at(24 * HOUR));
    }
}
