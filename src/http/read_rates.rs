//! How often a member may read what leaves an entry in the log: each takes a turn at writing and stays on record for ever.

use super::{metrics, refusal::EdgeRefusal};
use crate::domain::id::MemberId;
use governor::{Quota, RateLimiter, clock::Clock as _, clock::DefaultClock, state::keyed::HashMapStateStore};
use std::{num::NonZeroU32, time::Duration};

/// Past as many members those are forgotten who have not read for a minute.
const REMEMBERED: usize = 4096;

/// Reads of each member within the last minute.
#[derive(Debug)]
pub(super) struct ReadRates {
    limit: u32,
    rates: RateLimiter<MemberId, HashMapStateStore<MemberId>, DefaultClock>,
}

impl ReadRates {
    /// So many a minute, all at once or one after another.
    pub(super) fn new(per_minute: u32) -> Self {
        let limit = NonZeroU32::new(per_minute).unwrap_or(NonZeroU32::MIN);
        Self { limit: limit.get(), rates: RateLimiter::hashmap(Quota::per_minute(limit)) }
    }

    /// Counts one more, or says when there can be one.
    pub(super) fn count(&self, member: &MemberId) -> Result<(), EdgeRefusal> {
        if self.rates.len() > REMEMBERED {
            self.rates.retain_recent();
        }
        self.rates.check_key(member).map_err(|early| {
            metrics::refused("reads");
            let wait = early.wait_time_from(DefaultClock::default().now());
            EdgeRefusal::TooManyReads { limit: self.limit, wait: Duration::from_secs(wait.as_secs() + 1) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn member_comes_to_an_end_and_others_do_not() {
        let rates = ReadRates::new(3);
        let (avi, bob): (MemberId, MemberId) = ("ISR:avi".parse().unwrap(), "USA:bob".parse().unwrap());
        for _ in 0..3 {
            rates.count(&avi).unwrap();
        }
        let Err(EdgeRefusal::TooManyReads { limit: 3, wait }) = rates.count(&avi) else { panic!("a fourth is given") };
        assert!(wait <= Duration::from_secs(21), "{wait:?}");
        rates.count(&bob).unwrap();
    }
}
