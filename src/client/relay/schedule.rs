//! When a member is told that something waits: decided by what waits, what was told before, and the instant. Nothing else goes in.
//!
//! A member is told once a day, from an hour of their own zone on, and once more whenever the next due instant has come nearer than one of
//! [`LEADS`] and nothing was said since. So a relay that was stopped tells everybody once when it is back, however much it has missed, and an
//! item that has ended is not spoken of: only what waits now counts.

use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, Time},
    tz::TimeZone,
};
use serde::{Deserialize, Serialize};

/// So long before the next due instant a member is reminded.
pub const LEADS: [SignedDuration; 5] = [
    SignedDuration::from_hours(14 * 24),
    SignedDuration::from_hours(7 * 24),
    SignedDuration::from_hours(2 * 24),
    SignedDuration::from_hours(24),
    SignedDuration::from_hours(4),
];

/// How much waits for a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberLoad {
    pub items: u32,
    /// The first instant after now at which one of them is due.
    pub next_due_at: Option<Timestamp>,
}

/// The hour from which on a member is told what waits today, and where it is that hour.
#[derive(Debug, Clone)]
pub struct Habit {
    pub digest_at: Time,
    pub zone: TimeZone,
}

/// What a member was told before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentNotices {
    /// When the member was last told.
    pub at: Option<Timestamp>,
    /// The due instant that was named then.
    pub due_at: Option<Timestamp>,
    /// The day in the member's zone to which the next field belongs.
    pub day: Option<Date>,
    /// Whether that day's digest is over: it was sent, or nothing waited when it would have been.
    pub has_digest: bool,
}

/// Why a member is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TellReason {
    /// What waits is told once a day.
    Digest,
    /// The next due instant has come near.
    Reminder,
}

/// What is to be done about a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TellDecision {
    /// Why the member is told now, if so.
    pub reason: Option<TellReason>,
    /// What the member will have been told: to be kept once that is done, or at once if there is nothing to do.
    pub told: SentNotices,
}

/// Decides whether a member is told now.
#[must_use]
pub fn decide(told: &SentNotices, load: &MemberLoad, now: Timestamp, habit: &Habit) -> TellDecision {
    let local = now.to_zoned_datetime(habit.zone.clone());
    let mut told = told.as_of(now, local.date());
    let is_digest_due = !told.has_digest && local.time() >= habit.digest_at;
    // Also when nothing waits: what comes later today is part of tomorrow's.
    told.has_digest |= is_digest_due;
    let due_at = load.next_due_at.filter(|due_at| *due_at > now);
    let has_come_near = due_at.is_some_and(|due_at| {
        let mut moments = LEADS.iter().filter_map(|lead| due_at.checked_sub(*lead).ok());
        moments.any(|moment| moment <= now && !told.covers(due_at, moment))
    });
    let reason = if is_digest_due { Some(TellReason::Digest) } else { has_come_near.then_some(TellReason::Reminder) };
    let reason = reason.filter(|_| load.items > 0);
    if reason.is_some() {
        told = SentNotices { at: Some(now), due_at, ..told };
    }
    TellDecision { reason, told }
}

impl SentNotices {
    /// As if the member had just been told all of this: of somebody of whom it is not known what they were told.
    #[must_use]
    pub fn just_now(load: &MemberLoad, now: Timestamp, habit: &Habit) -> Self {
        let day = now.to_zoned_datetime(habit.zone.clone()).date();
        Self { at: Some(now), due_at: load.next_due_at, day: Some(day), has_digest: true }
    }

    /// The same on that day. What lies ahead, because a clock was set back or a member's zone changed, counts as done now: nothing is told
    /// twice, and nothing has to wait until the clock is there again.
    fn as_of(self, now: Timestamp, today: Date) -> Self {
        let at = self.at.map(|at| at.min(now));
        match self.day {
            Some(day) if day == today => Self { at, ..self },
            Some(day) if day > today => Self { at, day: Some(today), has_digest: true, ..self },
            _ => Self { at, day: Some(today), has_digest: false, ..self },
        }
    }

    /// Whether the member has heard since that moment of something that is due then or before.
    fn covers(&self, due_at: Timestamp, moment: Timestamp) -> bool {
        self.at.is_some_and(|at| at >= moment) && self.due_at.is_some_and(|said| said <= due_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: SignedDuration = SignedDuration::from_mins(1);
    const HOUR: SignedDuration = SignedDuration::from_hours(1);
    const DAY: SignedDuration = SignedDuration::from_hours(24);

    fn habit() -> Habit {
        Habit { digest_at: Time::constant(8, 0, 0, 0), zone: TimeZone::get("Asia/Jerusalem").unwrap() }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn due(items: u32, next_due_at: Timestamp) -> MemberLoad {
        MemberLoad { items, next_due_at: Some(next_due_at) }
    }

    /// A member who is looked after every quarter of an hour, in UTC, with what is told noted.
    struct Followed {
        told: SentNotices,
        said: Vec<(Timestamp, TellReason)>,
    }

    impl Followed {
        fn new() -> Self {
            Self { told: SentNotices::default(), said: Vec::new() }
        }

        fn look(&mut self, load: &MemberLoad, now: Timestamp) -> Option<TellReason> {
            let utc = Habit { zone: TimeZone::UTC, ..habit() };
            let decision = decide(&self.told, load, now, &utc);
            self.told = decision.told;
            self.said.extend(decision.reason.map(|reason| (now, reason)));
            decision.reason
        }

        fn follow(&mut self, load: &MemberLoad, from: Timestamp, until: Timestamp) {
            let mut now = from;
            while now < until {
                self.look(load, now);
                now += MINUTE * 15;
            }
        }

        fn reminders(&self) -> Vec<Timestamp> {
            let reminders = self.said.iter().filter(|(_, reason)| *reason == TellReason::Reminder);
            reminders.map(|(at, _)| *at).collect()
        }
    }

    #[test]
    fn digest_comes_once_a_day_from_the_hour_of_the_members_zone_on() {
        let load = MemberLoad { items: 2, next_due_at: None };
        let before = decide(&SentNotices::default(), &load, at("2026-03-02T05:59:59Z"), &habit());
        assert_eq!(before.reason, None, "it is 7:59 in Jerusalem");
        let first = decide(&before.told, &load, at("2026-03-02T06:00:00Z"), &habit());
        assert_eq!(first.reason, Some(TellReason::Digest));
        assert_eq!(decide(&first.told, &load, at("2026-03-02T21:59:00Z"), &habit()).reason, None);
        // The day ends where the member is, and the next digest comes at its hour.
        assert_eq!(decide(&first.told, &load, at("2026-03-02T22:30:00Z"), &habit()).reason, None);
        assert_eq!(decide(&first.told, &load, at("2026-03-03T06:00:00Z"), &habit()).reason, Some(TellReason::Digest));
    }

    #[test]
    fn nothing_is_told_while_nothing_waits_and_what_comes_later_is_told_the_next_day() {
        let (mut member, morning) = (Followed::new(), at("2026-03-02T08:00:00Z"));
        assert_eq!(member.look(&due(0, morning + HOUR), morning), None, "of what has ended nobody is reminded");
        let load = MemberLoad { items: 1, next_due_at: None };
        assert_eq!(member.look(&load, morning + HOUR), None);
        assert_eq!(member.look(&load, morning + DAY), Some(TellReason::Digest));
    }

    #[test]
    fn reminders_come_when_the_due_instant_is_so_near_each_once() {
        let (mut member, deadline) = (Followed::new(), at("2026-03-20T15:00:00Z"));
        member.follow(&due(3, deadline), at("2026-03-01T07:00:00Z"), deadline + HOUR);
        let wanted: Vec<Timestamp> = LEADS.iter().map(|lead| deadline - *lead).collect();
        assert_eq!(member.reminders(), wanted);
        assert_eq!(member.said.len(), wanted.len() + 20, "and a digest a day");
    }

    #[test]
    fn relay_that_was_stopped_tells_once_what_it_has_missed() {
        let (mut member, deadline) = (Followed::new(), at("2026-03-20T15:00:00Z"));
        member.follow(&due(3, deadline), at("2026-03-01T07:00:00Z"), at("2026-03-02T00:00:00Z"));
        let before = member.said.len();
        // Three hours before the deadline it is back.
        member.follow(&due(3, deadline), at("2026-03-20T12:00:00Z"), deadline);
        assert_eq!(member.said.len(), before + 1, "{:?}", member.said);
    }

    #[test]
    fn instant_that_moves_is_told_by_its_own_leads() {
        let (mut member, first) = (Followed::new(), at("2026-03-20T15:00:00Z"));
        member.follow(&due(1, first), at("2026-03-10T07:00:00Z"), at("2026-03-15T12:00:00Z"));
        member.said.clear();
        // Later: nothing is said of it until it comes near again.
        let later = first + DAY * 10;
        member.follow(&due(1, later), at("2026-03-15T12:00:00Z"), at("2026-03-20T12:00:00Z"));
        assert_eq!(member.reminders(), [later - LEADS[0]]);
        member.said.clear();
        // Nearer than what was said: at once, and once.
        let nearer = at("2026-03-21T18:00:00Z");
        member.follow(&due(1, nearer), at("2026-03-20T12:00:00Z"), at("2026-03-20T17:45:00Z"));
        assert_eq!(member.reminders(), [at("2026-03-20T12:00:00Z")]);
    }

    #[test]
    fn next_item_is_not_spoken_of_because_another_was_done() {
        let (mut member, now) = (Followed::new(), at("2026-03-10T09:00:00Z"));
        member.look(&due(2, now + DAY * 5), now);
        assert_eq!(member.said.len(), 1);
        assert_eq!(member.look(&due(1, now + DAY * 6), now + HOUR), None);
        // But what is due within four hours is, if nothing was said since it came so near.
        assert_eq!(member.look(&due(1, now + HOUR * 12), now + HOUR * 10), Some(TellReason::Reminder));
    }

    #[test]
    fn clock_that_is_set_back_repeats_nothing_and_stops_nothing() {
        let (mut member, deadline) = (Followed::new(), at("2026-03-20T15:00:00Z"));
        member.follow(&due(1, deadline), at("2026-03-18T07:00:00Z"), at("2026-03-19T16:00:00Z"));
        let before = member.said.len();
        let back = at("2026-03-18T09:00:00Z");
        assert_eq!(member.look(&due(1, deadline), back), None);
        assert_eq!(member.said.len(), before);
        for day in ["2026-03-19T08:00:00Z", "2026-03-20T08:00:00Z"] {
            assert_eq!(member.look(&due(1, deadline), at(day)), Some(TellReason::Digest));
        }
        assert_eq!(member.look(&due(1, deadline), deadline - HOUR * 4), Some(TellReason::Reminder));
    }

    #[test]
    fn member_of_whom_nothing_is_known_is_told_nothing_twice() {
        let (load, now) = (due(4, at("2026-03-11T15:00:00Z")), at("2026-03-10T15:00:00Z"));
        let told = SentNotices::just_now(&load, now, &habit());
        assert_eq!(decide(&told, &load, now + MINUTE, &habit()).reason, None);
        assert_eq!(decide(&told, &load, now + HOUR * 16, &habit()).reason, Some(TellReason::Digest));
    }

    proptest! {
        #[test]
        fn nobody_is_told_of_nothing_or_twice_at_once(
            items in 0_u32..3,
            looks in prop::collection::vec((-3_000_i64..40_000, prop::option::of(-2_000_i64..60_000)), 1..60),
        ) {
            let began = at("2026-03-01T00:00:00Z");
            let minutes = |count: i64| SignedDuration::from_mins(count);
            let mut member = Followed::new();
            for (now, next_due) in looks {
                let now = began + minutes(now);
                let load = MemberLoad { items, next_due_at: next_due.map(|due| began + minutes(due)) };
                let said = member.look(&load, now);
                prop_assert!(said.is_none() || items > 0);
                prop_assert_eq!(member.look(&load, now), None, "the same look again");
            }
        }

        #[test]
        fn member_who_is_looked_after_hears_within_each_lead(days in 1_i64..30, hour in 0_i64..24, step in 1_i64..180) {
            let began = at("2026-03-01T00:00:00Z");
            let deadline = began + DAY * i32::try_from(days).unwrap() + SignedDuration::from_hours(hour);
            let step = SignedDuration::from_mins(step);
            let (mut member, mut now) = (Followed::new(), began);
            while now < deadline {
                member.look(&due(1, deadline), now);
                now += step;
            }
            for lead in LEADS {
                let from = (deadline - lead).max(began);
                let heard = member.said.iter().any(|(at, _)| *at >= from && *at < from + step);
                let is_in_time = from + step < deadline;
                prop_assert!(heard || !is_in_time, "{lead:?}: {:?}", member.said);
            }
            prop_assert!(member.reminders().len() <= LEADS.len());
        }
    }
}
