//! When people are warned that keys, cards and certificates end: 60, 30 and 7 days before.

use jiff::Timestamp;

/// So many days before something ends its holder is warned, the earliest warning first.
pub const WARNED_DAYS: [u16; 3] = [60, 30, 7];

/// From so many days before the end on there is a warning.
pub const FIRST_DAYS: u16 = WARNED_DAYS[0];

/// From so many days before the end on the warning says what follows.
pub const LAST_DAYS: u16 = WARNED_DAYS[2];

/// The end of something that lasts for so few days more that its holder is warned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NearEnd {
    /// Which warning it is: the least of [`WARNED_DAYS`] within which it ends.
    pub within: u16,
    /// Whole days that are left.
    pub days_left: u16,
}

impl NearEnd {
    /// Whether it is the last warning.
    #[must_use]
    pub fn is_last(self) -> bool {
        self.within == LAST_DAYS
    }
}

/// Whether something that ends then has to be warned of. What has ended is past warning: see [`has_ended`].
#[must_use]
pub fn near_end(end: Timestamp, now: Timestamp) -> Option<NearEnd> {
    if has_ended(end, now) {
        return None;
    }
    let hours = end.duration_since(now).as_hours();
    let within = WARNED_DAYS.into_iter().rev().find(|days| end.duration_since(now) <= days_of(*days))?;
    Some(NearEnd { within, days_left: u16::try_from(hours / 24).unwrap_or(within) })
}

/// Whether it has ended; the last instant counts as for certificates and key cards.
#[must_use]
pub fn has_ended(end: Timestamp, now: Timestamp) -> bool {
    now > end
}

/// The instant until which what ends then is warned of so many days ahead.
#[must_use]
pub fn horizon(now: Timestamp, days: u16) -> Timestamp {
    now.checked_add(days_of(days)).unwrap_or(Timestamp::MAX)
}

fn days_of(days: u16) -> jiff::SignedDuration {
    jiff::SignedDuration::from_hours(24 * i64::from(days))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    #[test]
    fn warnings_come_60_30_and_7_days_before_the_end() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let end = |hours: i64| now + SignedDuration::from_hours(hours);
        for (hours, wanted) in [
            (60 * 24 + 1, None),
            (60 * 24, Some((60, 60))),
            (30 * 24 + 1, Some((60, 30))),
            (30 * 24, Some((30, 30))),
            (7 * 24 + 1, Some((30, 7))),
            (7 * 24, Some((7, 7))),
            (23, Some((7, 0))),
            (0, Some((7, 0))),
            (-1, None),
        ] {
            let near = near_end(end(hours), now).map(|near| (near.within, near.days_left));
            assert_eq!(near, wanted, "{hours} hours before the end");
        }
        assert!(has_ended(end(-1), now) && !has_ended(now, now));
        assert!(WARNED_DAYS.iter().all(|days| near_end(horizon(now, *days), now).unwrap().within == *days));
    }
}
