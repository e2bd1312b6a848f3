//! A clock that can stand in the past: the demonstration plays a cycle of months and ends in the present.

use crate::domain::ambient::{Clock, SystemClock};
use jiff::{SignedDuration, Timestamp};
use std::sync::atomic::{AtomicI64, Ordering};

/// The machine's clock, set back by so many milliseconds.
#[derive(Debug, Default)]
pub(super) struct StoryClock {
    behind: AtomicI64,
}

impl StoryClock {
    /// A clock that now shows `at`, and goes on from there.
    #[must_use]
    pub(super) fn starting_at(at: Timestamp) -> Self {
        let clock = Self::default();
        clock.jump_to(at);
        clock
    }

    /// Sets the clock; time goes on from there.
    pub(super) fn jump_to(&self, at: Timestamp) {
        self.behind.store(SystemClock.now().as_millisecond() - at.as_millisecond(), Ordering::SeqCst);
    }

    /// Goes on by the machine's own clock from here.
    pub(super) fn join_the_present(&self) {
        self.behind.store(0, Ordering::SeqCst);
    }
}

impl Clock for StoryClock {
    fn now(&self) -> Timestamp {
        let behind = SignedDuration::from_millis(self.behind.load(Ordering::SeqCst));
        SystemClock.now().checked_sub(behind).expect("a story is set within the calendar")
    }
}
