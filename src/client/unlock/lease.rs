//! How long keys are held: for a time in all, and for a time without use.
//!
//! Both times pass by two clocks, and the one that says that more has passed counts. The machine's clock goes on while the machine sleeps,
//! but can be set back; the steady one cannot be set, but stands still while the machine sleeps.

use crate::domain::ambient::Clock;
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// How long keys are held if nothing else is said.
pub const USUAL_LIMIT: Duration = Duration::from_hours(8);
/// The longest that they are held.
pub const LONGEST_LIMIT: Duration = Duration::from_hours(24);
/// How long they are held without use if nothing else is said.
pub const USUAL_IDLE: Duration = Duration::from_hours(4);

/// How long keys are to be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldLimits {
    /// In all; at most [`LONGEST_LIMIT`].
    pub total: Duration,
    /// Without use.
    pub idle: Duration,
}

/// An instant by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    wall: Timestamp,
    steady: Duration,
}

/// The time for which keys are held.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lease {
    limits: HoldLimits,
    began: Moment,
    used: Moment,
}

impl Moment {
    pub(super) fn of(clock: &dyn Clock) -> Self {
        Self { wall: clock.now(), steady: clock.steady().unwrap_or_default() }
    }

    /// What has passed since an earlier moment, by the clock that says more.
    fn since(self, earlier: Self) -> Duration {
        let wall = Duration::try_from(self.wall.duration_since(earlier.wall)).unwrap_or_default();
        wall.max(self.steady.saturating_sub(earlier.steady))
    }

    fn after(self, time: Duration) -> Timestamp {
        let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
        self.wall.checked_add(time).unwrap_or(Timestamp::MAX)
    }
}

impl Lease {
    /// A lease from now on.
    pub(super) fn new(limits: HoldLimits, now: Moment) -> Self {
        let total = limits.total.min(LONGEST_LIMIT);
        Self { limits: HoldLimits { total, idle: limits.idle.min(total) }, began: now, used: now }
    }

    /// Notes that the keys are used.
    pub(super) fn touch(&mut self, now: Moment) {
        self.used = now;
    }

    /// The time that is left; none once it has ended.
    pub(super) fn left(&self, now: Moment) -> Option<Duration> {
        let total = self.limits.total.checked_sub(now.since(self.began))?;
        let idle = self.limits.idle.checked_sub(now.since(self.used))?;
        Some(total.min(idle)).filter(|left| !left.is_zero())
    }

    /// When it ends at the latest.
    pub(super) fn until(&self) -> Timestamp {
        self.began.after(self.limits.total)
    }

    /// When it ends if nothing uses the keys.
    pub(super) fn idle_until(&self) -> Timestamp {
        self.used.after(self.limits.idle).min(self.until())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    /// So many minutes after the beginning by each clock.
    fn at(wall: i64, steady: u64) -> Moment {
        let wall = Timestamp::UNIX_EPOCH + SignedDuration::from_mins(wall);
        Moment { wall, steady: Duration::from_mins(steady) }
    }

    fn lease(total: Duration, idle: Duration) -> Lease {
        Lease::new(HoldLimits { total, idle }, at(0, 0))
    }

    #[test]
    fn lease_ends_at_its_limit_whether_it_is_used_or_not() {
        let mut lease = lease(2 * HOUR, 2 * HOUR);
        lease.touch(at(119, 119));
        assert_eq!(lease.left(at(119, 119)), Some(Duration::from_mins(1)));
        assert_eq!(lease.left(at(120, 120)), None);
        assert_eq!(lease.until(), at(120, 0).wall);
    }

    #[test]
    fn lease_ends_when_nothing_uses_it() {
        let mut lease = lease(8 * HOUR, HOUR);
        lease.touch(at(50, 50));
        assert_eq!(lease.left(at(60, 60)), Some(Duration::from_mins(50)));
        assert_eq!(lease.idle_until(), at(110, 0).wall);
        assert_eq!(lease.left(at(110, 110)), None);
    }

    #[test]
    fn time_in_which_the_machine_slept_counts() {
        let lease = lease(2 * HOUR, 2 * HOUR);
        assert_eq!(lease.left(at(125, 5)), None);
    }

    #[test]
    fn clock_that_is_set_back_prolongs_nothing() {
        let lease = lease(2 * HOUR, 2 * HOUR);
        assert_eq!(lease.left(at(-600, 60)), Some(HOUR));
        assert_eq!(lease.left(at(-600, 120)), None);
    }

    #[test]
    fn no_lease_is_longer_than_a_day() {
        let long = lease(100 * HOUR, 100 * HOUR);
        assert_eq!(long.until(), at(24 * 60, 0).wall);
        let short = lease(HOUR, 4 * HOUR);
        assert_eq!(short.idle_until(), at(60, 0).wall, "no use is longer than the whole");
    }
}
