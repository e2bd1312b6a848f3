//! The text of age recipients, checked without the age library: `age1…`, `ssh-ed25519 …` and `ssh-rsa …`.
//!
//! Decides whether a text has the shape of a recipient, so that server and clients refuse the same ones. It cannot say
//! whose the recipient is: a key card does.

use base64::{Engine, engine::general_purpose::STANDARD};

/// The longest recipient taken, in bytes; a native hybrid one (`age1pq1…`) has 1,959.
pub const MAX_RECIPIENT_LEN: usize = 4096;

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
    // The text is shown again, so only a short and harmless beginning of it is.
    let shown = || text.chars().take(40).map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
    if shaped { Ok(()) } else { Err(RecipientError::Shape(shown())) }
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
