//! The text of age recipients, checked without the age library: `age1…`, `ssh-ed25519 …` and `ssh-rsa …`.
//!
//! Decides whether a text has the shape of a recipient, so that server and clients refuse the same ones. It cannot say
//! whose the recipient is: a key card does.

use base64::{Engine, engine::general_purpose::STANDARD};
use bech32::{Bech32, primitives::decode::CheckedHrpstring};

/// The longest recipient taken, in bytes; a native hybrid one (`age1pq1…`) has 1,959.
pub const MAX_RECIPIENT_LEN: usize = 4096;
const X25519_BYTES: usize = 32;
/// A key of ML-KEM-768 and one of X25519.
const HYBRID_BYTES: usize = 1184 + 32;

/// Why a text is not an age recipient.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecipientError {
    /// Longer than [`MAX_RECIPIENT_LEN`].
    #[error("the recipient is longer than {MAX_RECIPIENT_LEN} characters")]
    TooLong,
    /// Somebody pasted the secret half.
    #[error("this is a secret identity, not a recipient; keep it and give the line that begins with `age1`")]
    Secret,
    /// None of the three kinds.
    #[error(
        "`{0}` is not an age recipient; wanted `age1…`, `ssh-ed25519 …` or `ssh-rsa …`, on one line without a comment"
    )]
    Shape(String),
    /// A letter was lost, added or changed on the way.
    #[error("`{0}` is not a whole age recipient: a letter of it was lost, added or changed; copy it again")]
    Checksum(String),
}

/// Bech32 as age takes it: the checksum of BIP 173 without its limit of length.
enum LongBech32 {}

impl bech32::Checksum for LongBech32 {
    type MidstateRepr = <Bech32 as bech32::Checksum>::MidstateRepr;
    const CODE_LENGTH: usize = MAX_RECIPIENT_LEN;
    const CHECKSUM_LENGTH: usize = Bech32::CHECKSUM_LENGTH;
    const GENERATOR_SH: [u32; 5] = Bech32::GENERATOR_SH;
    const TARGET_RESIDUE: u32 = Bech32::TARGET_RESIDUE;
}

/// The bytes that a Bech32 text with this human-readable part holds, if its checksum is right.
#[must_use]
pub fn bech32_bytes(part: &str, text: &str) -> Option<Vec<u8>> {
    let decoded = CheckedHrpstring::new::<LongBech32>(text).ok()?;
    (decoded.hrp().as_str().eq_ignore_ascii_case(part)).then(|| decoded.byte_iter().collect())
}

/// Checks that `text` has the shape of one age recipient.
pub fn check(text: &str) -> Result<(), RecipientError> {
    if text.len() > MAX_RECIPIENT_LEN {
        return Err(RecipientError::TooLong);
    }
    let upper = text.to_ascii_uppercase();
    if upper.contains("AGE-SECRET-KEY-") || upper.contains("AGE-PLUGIN-") || upper.contains("PRIVATE KEY") {
        return Err(RecipientError::Secret);
    }
    let shaped = match text.split_once(' ') {
        Some((kind @ ("ssh-ed25519" | "ssh-rsa"), key)) => is_ssh_key(kind, key),
        Some(_) => false,
        None => is_age_recipient(text),
    };
    if shaped { Ok(()) } else { Err(RecipientError::Shape(shown(text))) }
}

/// Checks in addition that something can be sealed to it: checksum and length. A card that is published is held to this; what was published
/// before stays readable.
pub fn check_whole(text: &str) -> Result<(), RecipientError> {
    check(text)?;
    let Some((part, _)) = text.rsplit_once('1').filter(|_| !text.contains(' ')) else { return Ok(()) };
    let length = bech32_bytes(part, text).map(|bytes| bytes.len());
    let is_whole = match part {
        "age" => length == Some(X25519_BYTES),
        "age1pq" => length == Some(HYBRID_BYTES),
        _ => length.is_some(),
    };
    if is_whole { Ok(()) } else { Err(RecipientError::Checksum(shown(text))) }
}

/// The text is shown again, so only a short and harmless beginning of it is.
fn shown(text: &str) -> String {
    text.chars().take(40).map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}

/// Bech32 in lower case (BIP 173 without the length limit): `age1` data, or `age1<plugin>1` data.
fn is_age_recipient(text: &str) -> bool {
    let Some((prefix, data)) = text.rsplit_once('1') else { return false };
    let plugin = prefix == "age" || prefix.strip_prefix("age1").is_some_and(is_plugin_name);
    plugin && data.len() >= 6 && data.bytes().all(|b| b"qpzry9x8gf2tvdw0s3jn54khce6mua7l".contains(&b))
}

fn is_plugin_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-._".contains(&b))
}

/// The body is base64 of SSH wire format, whose first string repeats the kind (RFC 4253 section 6.6).
fn is_ssh_key(kind: &str, key: &str) -> bool {
    let Ok(blob) = STANDARD.decode(key) else { return false };
    let Some((length, rest)) = blob.split_first_chunk::<4>() else { return false };
    let announced = usize::try_from(u32::from_be_bytes(*length)) == Ok(kind.len());
    announced && rest.starts_with(kind.as_bytes()) && (kind == "ssh-rsa" || blob.len() == 51)
}

#[cfg(test)]
mod tests {
    use super::*;

    const X25519: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
    const SSH: &str = include_str!("testdata/id_ed25519.pub");

    #[test]
    fn recipients_of_every_kind_are_accepted() {
        let hybrid = format!("age1pq1{}", "q".repeat(1952));
        for text in
            [X25519, SSH.trim(), "age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t", &hybrid]
        {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn recipient_with_a_letter_too_few_or_too_many_or_another_one_is_refused() {
        let hybrid = bech32::encode::<LongBech32>(bech32::Hrp::parse_unchecked("age1pq"), &[7; HYBRID_BYTES]).unwrap();
        let short = bech32::encode::<LongBech32>(bech32::Hrp::parse_unchecked("age"), &[7; 31]).unwrap();
        for text in [X25519, SSH.trim(), &hybrid] {
            assert_eq!(check_whole(text), Ok(()), "{text}");
        }
        let last = &X25519[..X25519.len() - 1];
        let swapped = X25519.replace("t7r", "tr7");
        for text in [last, &format!("{X25519}q"), &swapped, &short, "age1qyqszqgp"] {
            assert_eq!(check(text), Ok(()), "{text}");
            assert!(matches!(check_whole(text), Err(RecipientError::Checksum(_))), "{text}");
        }
    }

    #[test]
    fn other_text_is_refused() {
        let commented = format!("{} avi@example", SSH.trim());
        let two_lines = format!("{X25519}\n{X25519}");
        for text in ["", "age1", "age1b", "AGE1QQQQQQ", "ssh-rsa AAAA", "ssh-dss AAAA", &commented, &two_lines] {
            assert!(matches!(check(text), Err(RecipientError::Shape(_))), "{text}");
        }
        assert_eq!(check(&format!("age1{}", "q".repeat(4100))), Err(RecipientError::TooLong));
    }

    #[test]
    fn secret_identity_is_refused_without_repeating_it() {
        let error = check("AGE-SECRET-KEY-1QQQQQQQQQQ").unwrap_err();
        assert_eq!(error, RecipientError::Secret);
        assert!(!error.to_string().contains("QQQ"));
    }
}
