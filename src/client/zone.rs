//! Instants as people read and write them: in the reader's own zone, which is named once; a single thing in UTC as well, deadlines with
//! the time left.
//!
//! Reads RFC 3339 or a date, a time and an IANA zone; refuses a local time that does not exist or exists twice there,
//! rather than choose a deadline silently.

use super::{ClientError, Home, Profile, Result};
use crate::domain::{
    id::{MemberId, PartnerCode},
    instant::instant as rfc_3339,
    text::counted,
};
use jiff::{Timestamp, ZonedDateTime, civil::DateTime, tz::TimeZone};

/// The reader's zone.
#[derive(Debug, Clone)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl Zone {
    /// A zone by its IANA name.
    ///
    /// # Errors
    /// When there is no such zone.
    pub fn named(name: &str) -> Result<Self> {
        let zone = TimeZone::get(name).map_err(|_| {
            ClientError::usage(format!("`{name}` is not an IANA time zone"), "write it like `Asia/Seoul` or `UTC`")
        })?;
        Ok(Self { name: name.to_owned(), zone })
    }

    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self { name: "UTC".into(), zone: TimeZone::UTC }
    }

    /// The zone itself.
    pub fn time_zone(&self) -> TimeZone {
        self.zone.clone()
    }

    /// An instant in this zone alone, whose name is said elsewhere: `2026-04-01 18:00`.
    pub fn here(&self, at: Timestamp) -> String {
        in_zone(at, &self.zone)
    }

    /// An instant in UTC and in this zone on one line: `2026-04-01 15:00 UTC (18:00 Asia/Jerusalem)`.
    pub fn both(&self, at: Timestamp) -> String {
        let utc = in_zone(at, &TimeZone::UTC);
        if self.is_utc(at) {
            return format!("{utc} UTC");
        }
        let here = at.to_zoned_datetime(self.zone.clone());
        let same_day = here.date() == at.to_zoned_datetime(TimeZone::UTC).date();
        let whole = in_zone(at, &self.zone);
        let here = if same_day { whole.rsplit(' ').next().unwrap_or(&whole) } else { &whole };
        format!("{utc} UTC ({here} {})", self.name)
    }

    /// The same of an act, with who did it where that is known.
    pub fn both_by(&self, at: Timestamp, by: Option<&MemberId>) -> String {
        format!("{}{}", self.both(at), by_whom(by))
    }

    /// The name of the zone.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// An instant in this zone, as short as it can be told: `1 Apr 18:00`, or `1 Apr 2027` where it is not of this year.
    pub fn short(&self, at: Timestamp, now: Timestamp) -> String {
        let (here, today) = (at.to_zoned_datetime(self.zone.clone()), now.to_zoned_datetime(self.zone.clone()));
        let format = if here.year() == today.year() { "%-d %b %H:%M" } else { "%-d %b %Y" };
        here.strftime(format).to_string()
    }

    /// A deadline over several lines: UTC with the time left, the reader's zone, and each party's zone once.
    pub fn deadline(&self, at: Timestamp, now: Timestamp, parties: &[(PartnerCode, String)]) -> String {
        let mut lines = vec![format!("{} UTC, {}", in_zone(at, &TimeZone::UTC), left(at, now))];
        if self.name != "UTC" {
            lines.push(format!("{} {} (you)", with_offset(at, &self.zone), self.name));
        }
        for (partner, name) in parties.iter().filter(|(_, name)| *name != self.name && name != "UTC") {
            if let Ok(zone) = TimeZone::get(name) {
                lines.push(format!("{} {name} ({partner})", with_offset(at, &zone)));
            }
        }
        lines.join("\n")
    }

    fn is_utc(&self, at: Timestamp) -> bool {
        self.zone.to_offset(at) == jiff::tz::Offset::UTC && self.name == "UTC"
    }
}

/// Who did something, after when it was done; nothing where it is not known.
pub fn by_whom(member: Option<&MemberId>) -> String {
    member.map(|member| format!(" by {member}")).unwrap_or_default()
}

/// How long until `at`, in the two largest units: `3 d 4 h left`, or how long ago it was.
pub fn left(at: Timestamp, now: Timestamp) -> String {
    let left = left_cell(at, now);
    if at.as_second() >= now.as_second() { format!("{left} left") } else { left }
}

/// The same under a heading that says what it is: `3 d 4 h`, or how long ago it was.
pub fn left_cell(at: Timestamp, now: Timestamp) -> String {
    let seconds = at.as_second() - now.as_second();
    let span = span(seconds.unsigned_abs());
    if seconds >= 0 { span } else { format!("{span} ago") }
}

/// How far an instant is, in its largest unit: `in 3 days`, `in 5 hours`, or `2 days ago`.
pub fn until(at: Timestamp, now: Timestamp) -> String {
    let seconds = at.as_second() - now.as_second();
    let far = seconds.unsigned_abs();
    let far = match (far / 86_400, far / 3600, far / 60) {
        (0, 0, minutes) => counted(minutes, "minute", "minutes"),
        (0, hours, _) => counted(hours, "hour", "hours"),
        (days, ..) => counted(days, "day", "days"),
    };
    if seconds >= 0 { format!("in {far}") } else { format!("{far} ago") }
}

/// A span of time in its two largest units.
pub fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// Reads an instant: RFC 3339 (`2026-04-01T15:00:00Z`) or local (`2026-04-01 17:00 Asia/Seoul`).
///
/// # Errors
/// When it is neither, when the local time does not exist or exists twice in that zone, or when an offset and a zone contradict each other.
pub fn instant(text: &str) -> Result<Timestamp> {
    let text = text.trim();
    if text.ends_with(']') {
        // `Timestamp` would go by the offset alone.
        let zoned = text.parse::<ZonedDateTime>().map_err(|_| {
            ClientError::usage(
                format!("`{text}` is not an instant in the zone in brackets; its offset may be another one"),
                "write the offset or the zone, not both: `2026-04-01T15:00:00Z` or `2026-04-01 17:00 Asia/Seoul`",
            )
        })?;
        return Ok(zoned.timestamp());
    }
    if let Ok(at) = rfc_3339(text).or_else(|_| text.parse()) {
        return Ok(at);
    }
    let shape = || {
        ClientError::usage(
            format!("`{text}` is not an instant"),
            "write it like `2026-04-01T15:00:00Z` or `2026-04-01 17:00 Asia/Seoul`",
        )
    };
    let (local, zone) = text.rsplit_once(' ').ok_or_else(shape)?;
    let local: DateTime = local.trim().parse().map_err(|_| shape())?;
    if !zone.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err(shape());
    }
    if zone.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit()) && !["UTC", "GMT"].contains(&zone) {
        // `EST` is five hours behind all the year, also in July.
        let fault = format!("`{zone}` is an abbreviation, which keeps no summer time or means more than one zone");
        return Err(ClientError::usage(fault, "name the zone by a city, like `America/New_York`"));
    }
    let zone = Zone::named(zone)?;
    let ambiguous = zone.zone.to_ambiguous_timestamp(local);
    if ambiguous.is_ambiguous() {
        let fault = format!("clocks change in {} then: `{local}` is not one instant there", zone.name);
        return Err(ClientError::usage(fault, "name another time, or write it in UTC with `Z`"));
    }
    ambiguous.unambiguous().map_err(|_| shape())
}

impl Home {
    /// The zone of who reads: the profile's, that of the reader's partner, else UTC.
    ///
    /// # Errors
    /// When the profile names a zone that there is not, or a pinned card is damaged.
    pub fn reader_zone(&self, profile: &Profile) -> Result<Zone> {
        if let Some(name) = &profile.zone {
            return Zone::named(name);
        }
        let pinned = match &profile.member {
            Some(member) => self.pinned(member.partner())?,
            None => None,
        };
        pinned.map_or(Ok(Zone::utc()), |pinned| Zone::named(&pinned.card.zone))
    }
}

fn in_zone(at: Timestamp, zone: &TimeZone) -> String {
    let zoned = at.to_zoned_datetime(zone.clone());
    // Seconds are shown where there are any: a deadline of 17:00:30 must not look like 17:00.
    let format = if zoned.second() == 0 { "%Y-%m-%d %H:%M" } else { "%Y-%m-%d %H:%M:%S" };
    zoned.strftime(format).to_string()
}

fn with_offset(at: Timestamp, zone: &TimeZone) -> String {
    format!("{} {}", in_zone(at, zone), at.to_zoned_datetime(zone.clone()).strftime("%:z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn nearness_is_told_in_its_largest_unit() {
        let now = at("2026-04-01T12:00:00Z");
        for (then, told) in [
            ("2026-04-04T12:00:00Z", "in 3 days"),
            ("2026-04-02T11:59:00Z", "in 23 hours"),
            ("2026-04-01T12:01:30Z", "in 1 minute"),
            ("2026-03-30T12:00:00Z", "2 days ago"),
        ] {
            assert_eq!(until(at(then), now), told);
        }
        let zone = Zone::named("Asia/Seoul").unwrap();
        assert_eq!(zone.short(at("2026-04-04T16:30:00Z"), now), "5 Apr 01:30");
        assert_eq!(zone.short(at("2027-04-04T12:00:00Z"), now), "4 Apr 2027");
    }

    #[test]
    fn deadline_is_shown_in_utc_for_the_reader_and_for_each_party() {
        let zone = Zone::named("Asia/Jerusalem").unwrap();
        let parties =
            [("ISR".parse().unwrap(), "Asia/Jerusalem".to_owned()), ("KOR".parse().unwrap(), "Asia/Seoul".to_owned())];
        let shown = zone.deadline(at("2026-04-01T15:00:00Z"), at("2026-03-29T10:30:00Z"), &parties);
        assert_eq!(
            shown,
            "2026-04-01 15:00 UTC, 3 d 4 h left\n\
             2026-04-01 18:00 +03:00 Asia/Jerusalem (you)\n\
             2026-04-02 00:00 +09:00 Asia/Seoul (KOR)"
        );
    }

    #[test]
    fn instant_is_shown_in_both_zones_with_the_date_when_it_differs() {
        let at = at("2026-04-01T15:00:00Z");
        assert_eq!(Zone::named("Europe/London").unwrap().both(at), "2026-04-01 15:00 UTC (16:00 Europe/London)");
        assert_eq!(Zone::named("Asia/Seoul").unwrap().both(at), "2026-04-01 15:00 UTC (2026-04-02 00:00 Asia/Seoul)");
        assert_eq!(Zone::utc().both(at), "2026-04-01 15:00 UTC");
        let odd = "2026-04-01T15:00:07Z".parse().unwrap();
        assert_eq!(Zone::named("Europe/London").unwrap().both(odd), "2026-04-01 15:00:07 UTC (16:00:07 Europe/London)");
    }

    #[test]
    fn time_left_names_its_two_largest_units() {
        let now = at("2026-04-01T15:00:00Z");
        assert_eq!(left(at("2026-04-01T15:00:09Z"), now), "9 s left");
        assert_eq!(left(at("2026-04-01T14:30:00Z"), now), "30 min 0 s ago");
        assert_eq!(left(at("2026-04-01T18:05:00Z"), now), "3 h 5 min left");
    }

    #[test]
    fn instant_is_read_in_utc_or_in_a_named_zone() {
        for text in ["2026-04-01T15:00:00Z", "2026-04-01T15:00:00.0000000000Z", "2026-04-01 17:00:00+02:00"] {
            assert_eq!(instant(text).unwrap(), at("2026-04-01T15:00:00Z"), "{text}");
        }
        assert_eq!(instant("2026-04-01 17:00 Asia/Seoul").unwrap(), at("2026-04-01T08:00:00Z"));
        for text in ["", "tomorrow", "2026-04-01", "2026-04-01 17:00", "2026-04-01 17:00 Mars/Olympus"] {
            assert!(instant(text).is_err(), "{text}");
        }
    }

    #[test]
    fn zone_by_an_abbreviation_or_against_its_offset_is_refused() {
        for zone in ["EST", "CET", "EST5EDT", "MST"] {
            let refused = instant(&format!("2026-07-05 23:59 {zone}")).unwrap_err();
            assert!(refused.to_string().contains("is an abbreviation"), "{refused}");
        }
        assert_eq!(instant("2026-07-05 23:59 UTC").unwrap(), at("2026-07-05T23:59:00Z"));
        let refused = instant("2026-12-05T23:59:59-05:00[Asia/Jerusalem]").unwrap_err();
        assert!(refused.to_string().contains("its offset may be another one"), "{refused}");
        assert_eq!(instant("2026-12-05T23:59:59+02:00[Asia/Jerusalem]").unwrap(), at("2026-12-05T21:59:59Z"));
    }

    #[test]
    fn local_time_that_does_not_exist_or_exists_twice_is_refused() {
        for text in ["2026-03-29 01:30 Europe/London", "2026-10-25 01:30 Europe/London"] {
            assert!(instant(text).unwrap_err().to_string().contains("clocks change"), "{text}");
        }
    }
}
