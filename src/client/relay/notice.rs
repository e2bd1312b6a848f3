//! The one sentence that a relay says: how many items wait and when the next is due. It is said where the nation has no seal, so it names
//! nothing else.

use super::schedule::MemberLoad;
use crate::domain::text::counted;
use jiff::tz::TimeZone;

/// The sentence for a member whose zone that is.
#[must_use]
pub fn sentence(load: &MemberLoad, zone: &TimeZone) -> String {
    let items = counted(load.items, "item", "items");
    let due = match load.next_due_at {
        None => "none with a date".to_owned(),
        Some(due_at) => {
            let local = due_at.to_zoned_datetime(zone.clone());
            // Seconds are shown where there are any: what is due at 17:00:30 must not look due at 17:00.
            let format = if local.second() == 0 { "%Y-%m-%d %H:%M" } else { "%Y-%m-%d %H:%M:%S" };
            let name = zone.iana_name().unwrap_or("UTC");
            format!("the next due {} {name}", local.strftime(format))
        }
    };
    format!("{items}, {due}; open your client")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentence_has_a_number_and_an_instant_in_the_members_zone() {
        let zone = TimeZone::get("Asia/Seoul").unwrap();
        let said = |items, due: Option<&str>| {
            sentence(&MemberLoad { items, next_due_at: due.map(|due| due.parse().unwrap()) }, &zone)
        };
        assert_eq!(
            said(3, Some("2026-04-01T15:00:00Z")),
            "3 items, the next due 2026-04-02 00:00 Asia/Seoul; open your client"
        );
        assert_eq!(
            said(1, Some("2026-04-01T15:00:30Z")),
            "1 item, the next due 2026-04-02 00:00:30 Asia/Seoul; open your client"
        );
        assert_eq!(said(2, None), "2 items, none with a date; open your client");
    }
}
