//! Instants as programs write them: RFC 3339 in every form, and nothing else.
//!
//! JavaScript writes milliseconds, Python an offset, Go up to nine digits of a second; all of them are taken. A time without an offset is no
//! instant, and brackets with a zone (RFC 9557) can contradict the offset: both are refused.

use jiff::Timestamp;

/// How many digits of a second are kept; RFC 3339 allows any number.
const DIGITS: usize = 9;

/// A text that is no instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "wanted an instant with its offset, such as `2026-04-01T15:00:00Z` or `2026-04-01T17:00:00.000+02:00`{}",
    given.as_ref().map(|given| format!(", not `{given}`")).unwrap_or_default()
)]
pub struct InstantFault {
    /// What was written, where it has the letters of a time alone: anything else may be a name.
    given: Option<String>,
}

/// Reads an instant of RFC 3339: `T` or a blank between date and time, any fraction of a second, `Z` or an offset, capitals or not.
pub fn instant(text: &str) -> Result<Timestamp, InstantFault> {
    let fault = || InstantFault { given: looks_like_one(text).then(|| text.to_owned()) };
    plain(text).and_then(|plain| plain.parse().ok()).ok_or_else(fault)
}

/// Whether a text has only what instants are written with, so that it can be repeated.
#[must_use]
pub fn looks_like_one(text: &str) -> bool {
    text.len() <= 40 && text.bytes().all(|byte| byte.is_ascii_digit() || b"TtZz:+-. ".contains(&byte))
}

/// The same instant as each reader takes it: with `T`, at most nine digits of a second, and `Z` or an offset.
fn plain(text: &str) -> Option<String> {
    let (date_and_time, rest) = text.split_at_checked("2026-04-01T15:00:00".len())?;
    let is_shaped = date_and_time.bytes().zip("0000-00-00T00:00:00".bytes()).all(|(byte, shape)| match shape {
        b'0' => byte.is_ascii_digit(),
        b'T' => b"Tt ".contains(&byte),
        other => byte == other,
    });
    if !is_shaped {
        return None;
    }
    let (digits, offset) = match rest.strip_prefix('.') {
        Some(fraction) => {
            let (digits, offset) = fraction.split_at(fraction.find(|c: char| !c.is_ascii_digit())?);
            (Some(digits).filter(|digits| !digits.is_empty())?, offset)
        }
        None => ("", rest),
    };
    let offset = match offset.as_bytes() {
        b"Z" | b"z" | b"-00:00" => "Z",
        [b'+' | b'-', h1, h2, b':', m1, m2] if [h1, h2, m1, m2].iter().all(|byte| byte.is_ascii_digit()) => offset,
        _ => return None,
    };
    let (date, time) = (&date_and_time[..10], &date_and_time[11..]);
    let kept = &digits[..digits.len().min(DIGITS)];
    let point = if kept.is_empty() { "" } else { "." };
    Some(format!("{date}T{time}{point}{kept}{offset}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_rfc_3339_is_read() {
        for (text, same) in [
            ("2026-04-01T15:00:00Z", "2026-04-01T15:00:00Z"),
            ("2026-04-01T15:00:00.000Z", "2026-04-01T15:00:00Z"),
            ("2026-04-01T15:00:00+00:00", "2026-04-01T15:00:00Z"),
            ("2026-04-01T15:00:00-00:00", "2026-04-01T15:00:00Z"),
            ("2026-04-01t15:00:00z", "2026-04-01T15:00:00Z"),
            ("2026-04-01 17:00:00+02:00", "2026-04-01T15:00:00Z"),
            ("2026-04-01T17:00:00.25+02:00", "2026-04-01T15:00:00.25Z"),
            ("2026-04-01T09:30:00.123456-05:30", "2026-04-01T15:00:00.123456Z"),
            ("2026-04-01T15:00:00.123456789Z", "2026-04-01T15:00:00.123456789Z"),
            ("2026-04-01T15:00:00.1234567899999Z", "2026-04-01T15:00:00.123456789Z"),
        ] {
            assert_eq!(instant(text).unwrap().to_string(), same, "{text}");
        }
    }

    #[test]
    fn other_forms_are_refused_and_repeated_only_if_they_look_like_times() {
        for text in [
            "",
            "2026-04-01",
            "2026-04-01T15:00Z",
            "2026-04-01T15:00:00",
            "2026-04-01T15:00:00.Z",
            "20260401T150000Z",
            "2026-04-01T15:00:00+0200",
            "2026-04-01T15:00:00+02",
            "2026-02-30T15:00:00Z",
            "+002026-04-01T15:00:00Z",
        ] {
            let fault = instant(text).unwrap_err().to_string();
            assert!(fault.ends_with(&format!("not `{text}`")), "{fault}");
        }
        for text in [
            "2026-04-01T17:00:00+02:00[UTC]",
            "2026-04-01T15:00:00,5Z",
            "Quantum radar",
            "2026-04-01T15:00:0é0Z",
            // Letters of several bytes where the date ends.
            "2026-04-0é15:00:00Z",
            "2026-04-01é5:00:00Z",
            "ZZ\"\u{c5699}Ku\u{c5699}K,]` ZZ",
        ] {
            let fault = instant(text).unwrap_err().to_string();
            assert!(fault.ends_with("+02:00`"), "{fault}");
        }
    }
}
