//! The two things no rule may take from the air: the time and randomness.
//!
//! Everything that needs either is handed a [`Clock`] or a [`Rng`]; the ambient sources are banned by `clippy.toml`
//! everywhere but in the two implementations below, so a test can hold an hour still or replay an identifier.

use jiff::Timestamp;
use std::{
    fmt::Debug,
    sync::OnceLock,
    time::{Duration, Instant},
};

/// Gives the current instant.
pub trait Clock: Debug + Send + Sync {
    /// The current instant, UTC. Setting the clock makes it jump, either way.
    fn now(&self) -> Timestamp;

    /// The time that has passed since some instant by a clock that nobody can set, which shows whether [`Clock::now`] has jumped. `None`
    /// for a clock that is set on purpose, in a test or in a story: it is compared with no other.
    fn steady(&self) -> Option<Duration> {
        None
    }
}

/// Fills bytes that nobody can predict.
pub trait Rng: Debug + Send + Sync {
    /// Fills `bytes` completely; never returns short.
    fn fill(&self, bytes: &mut [u8]);
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the machine's clock is read")]
    fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        // Instants are kept in whole milliseconds; a finer one would differ from what was stored of it.
        Timestamp::from_millisecond(now.as_millisecond()).expect("a truncated instant is an instant")
    }

    fn steady(&self) -> Option<Duration> {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        Some(BEGAN.get_or_init(Instant::now).elapsed())
    }
}

/// The operating system's generator, through aws-lc.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRng;

impl Rng for SystemRng {
    #[expect(clippy::disallowed_methods, reason = "the one place where the machine's randomness is read")]
    fn fill(&self, bytes: &mut [u8]) {
        aws_lc_rs::rand::fill(bytes).expect("the operating system always has randomness to give");
    }
}
