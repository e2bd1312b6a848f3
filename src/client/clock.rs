//! What time it is at the exchange, by the `Date` of its answers: its clock decides about deadlines, not this machine's.
//!
//! The exchange's word and nothing more. It shows people how long they have and saves them work that would be refused; it
//! never makes the client do what its own clock forbids.

use crate::domain::ambient::Clock;
use http::{HeaderMap, header};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822::DateTimeParser};
use std::sync::{Arc, Mutex, PoisonError};

/// HTTP dates are the older form of mail's (RFC 9110, 5.6.7).
const HTTP_DATES: DateTimeParser = DateTimeParser::new();

/// The exchange's clock, as it was heard last.
#[derive(Debug, Clone)]
pub struct ExchangeClock {
    own: Arc<dyn Clock>,
    /// How far the exchange's clock is ahead; none before its first answer.
    ahead: Arc<Mutex<Option<SignedDuration>>>,
}

impl ExchangeClock {
    pub(super) fn new(own: Arc<dyn Clock>) -> Self {
        Self { own, ahead: Arc::default() }
    }

    /// Takes note of the `Date` of an answer that has just come.
    pub(super) fn hear(&self, headers: &HeaderMap) {
        let date = headers.get(header::DATE).and_then(|date| date.to_str().ok());
        if let Some(then) = date.and_then(|date| HTTP_DATES.parse_timestamp(date).ok()) {
            *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) = Some(then.duration_since(self.own.now()));
        }
    }

    /// How far the exchange's clock is ahead of this machine's, to a second or two; none before its first answer.
    #[must_use]
    pub fn ahead(&self) -> Option<SignedDuration> {
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The instant at the exchange, or a little earlier; this machine's before the first answer.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let now = self.own.now();
        now.checked_add(self.ahead().unwrap_or_default()).unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::testing::at;

    #[derive(Debug)]
    struct Still(Timestamp);

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            self.0
        }
    }

    fn headers(date: &str) -> HeaderMap {
        [(header::DATE, date.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn exchange_tells_its_time_with_each_answer() {
        let clock = ExchangeClock::new(Arc::new(Still(at("2026-04-01T15:00:00.250Z"))));
        assert_eq!((clock.ahead(), clock.now()), (None, at("2026-04-01T15:00:00.250Z")));
        clock.hear(&headers("Wed, 01 Apr 2026 14:30:00 GMT"));
        assert_eq!(clock.now(), at("2026-04-01T14:30:00Z"));
        for nonsense in ["yesterday", "", "Wed, 99 Apr 2026 14:30:00 GMT"] {
            clock.hear(&headers(nonsense));
            assert_eq!(clock.now(), at("2026-04-01T14:30:00Z"), "{nonsense}");
        }
        clock.hear(&headers("Wed, 01 Dec 9999 00:00:00 GMT"));
        assert!(clock.now() > at("9999-11-30T00:00:00Z"));
    }
}
