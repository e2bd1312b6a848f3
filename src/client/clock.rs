//! What time it is at the exchange, by the `Date` of its answers: its clock decides about deadlines, not this machine's.
//!
//! The exchange's word and nothing more. It shows people how long they have and saves them work that would be refused; it
//! never makes the client do what its own clock forbids.

use super::zone::span;
use crate::domain::ambient::Clock;
use http::{HeaderMap, header};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822::DateTimeParser};
use std::sync::{Arc, Mutex, PoisonError};

/// HTTP dates are the older form of mail's (RFC 9110, 5.6.7).
const HTTP_DATES: DateTimeParser = DateTimeParser::new();

/// A clock that differs by more than this from the exchange's is worth a warning: deadlines are the exchange's.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(1);

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

    /// That this machine's clock is not the exchange's, and which of them is ahead, if they are far enough apart to say so.
    #[must_use]
    pub fn apart(&self) -> Option<String> {
        self.ahead().filter(|ahead| ahead.abs() > TOLERANCE).map(clocks_apart)
    }

    /// The instant at the exchange, or a little earlier; this machine's before the first answer.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let now = self.own.now();
        now.checked_add(self.ahead().unwrap_or_default()).unwrap_or(now)
    }
}

fn clocks_apart(ahead: SignedDuration) -> String {
    let apart = span(ahead.unsigned_abs().as_secs());
    let side = if ahead.is_negative() { "ahead of" } else { "behind" };
    format!("this machine's clock is {apart} {side} the exchange's; deadlines go by the exchange's, so set yours")
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

    #[test]
    fn clock_that_is_off_is_told_with_its_direction() {
        let said = clocks_apart(SignedDuration::from_secs(-3700));
        assert!(said.starts_with("this machine's clock is 1 h 1 min ahead of the exchange's"), "{said}");
        assert!(clocks_apart(SignedDuration::from_secs(90)).contains("1 min 30 s behind"));
        let clock = ExchangeClock::new(Arc::new(Still(at("2026-04-01T15:00:00Z"))));
        clock.hear(&headers("Wed, 01 Apr 2026 15:01:00 GMT"));
        assert_eq!(clock.apart(), None);
        clock.hear(&headers("Wed, 01 Apr 2026 15:01:01 GMT"));
        assert!(clock.apart().is_some());
    }
}
