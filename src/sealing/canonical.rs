//! Canonical JSON (RFC 8785): the one byte sequence of a value, so that digests and signatures mean the same everywhere.
//!
//! Writing refuses numbers that other implementations would round; reading refuses repeated members and, in
//! [`parse`], every byte sequence but the canonical one.

use crate::{domain::id::Sha256, reading};
use serde::Serialize;
use serde_json::Value;

/// The largest integer every JSON reader keeps exactly (RFC 8785 section 3.2.2.3, RFC 7493 section 2.2): 2^53 - 1.
pub const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// Why a value has no canonical form, or bytes are not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// The bytes are not JSON, or repeat a member; or the value cannot be written as JSON.
    #[error("malformed JSON: {0}")]
    Json(String),
    /// An integer past 2^53 - 1.
    #[error("the number `{0}` is too large to be written exactly; the largest is 9007199254740991")]
    Number(String),
    /// JSON, but with other spacing, order, escapes or number forms than RFC 8785 prescribes.
    #[error("not canonical JSON (RFC 8785): spacing, member order, escapes or number forms differ")]
    NotCanonical,
}

/// The canonical bytes of `value`.
pub fn to_vec(value: &impl Serialize) -> Result<Vec<u8>, CanonicalError> {
    let value = serde_json::to_value(value).map_err(|error| CanonicalError::Json(error.to_string()))?;
    check_numbers(&value)?;
    serde_json_canonicalizer::to_vec(&value).map_err(|error| CanonicalError::Json(error.to_string()))
}

/// SHA-256 of the canonical bytes of `value`.
pub fn digest(value: &impl Serialize) -> Result<Sha256, CanonicalError> {
    to_vec(value).map(|bytes| Sha256::of(&bytes))
}

/// Reads JSON in any layout; a member that appears twice in one object is refused.
pub fn parse_unique(bytes: &[u8]) -> Result<Value, CanonicalError> {
    reading::value(bytes).map_err(|fault| CanonicalError::Json(fault.to_string()))
}

/// Reads JSON that must be in canonical form already.
pub fn parse(bytes: &[u8]) -> Result<Value, CanonicalError> {
    let value = parse_unique(bytes)?;
    if to_vec(&value)? == bytes { Ok(value) } else { Err(CanonicalError::NotCanonical) }
}

fn check_numbers(value: &Value) -> Result<(), CanonicalError> {
    match value {
        Value::Number(number) => {
            let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            match magnitude {
                Some(magnitude) if magnitude > MAX_SAFE_INTEGER => Err(CanonicalError::Number(number.to_string())),
                _ => Ok(()),
            }
        }
        Value::Array(items) => items.iter().try_for_each(check_numbers),
        Value::Object(members) => members.values().try_for_each(check_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_are_sorted_and_numbers_shortened() {
        let value = json!({"b": [1.0, 0.5, -0.0, 1e21], "a": "\u{20ac}\n\u{1}", "A": null});
        let bytes = to_vec(&value).unwrap();
        let expected = "{\"A\":null,\"a\":\"\u{20ac}\\n\\u0001\",\"b\":[1,0.5,0,1e+21]}";
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
        assert_eq!(to_vec(&parse(expected.as_bytes()).unwrap()).unwrap(), expected.as_bytes());
    }

    #[test]
    fn repeated_member_is_refused_at_any_depth() {
        for text in [r#"{"a":1,"a":1}"#, r#"[{"x":{"a":1,"b":2,"a":3}}]"#, r#"{"a":1,"\u0061":2}"#] {
            let error = parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("member `a` appears twice"), "{error}");
        }
    }

    #[test]
    fn other_layouts_are_not_canonical() {
        for text in [r#"{"a": 1}"#, r#"{"b":1,"a":1}"#, r#"["\u0061"]"#, "[1.0]", "[1]\n", "[1E2]"] {
            assert_eq!(parse(text.as_bytes()), Err(CanonicalError::NotCanonical), "{text}");
        }
        assert!(parse_unique(br#"{ "b": 1, "a": 1 }"#).is_ok());
    }

    #[test]
    fn integer_that_would_be_rounded_is_refused() {
        assert!(to_vec(&MAX_SAFE_INTEGER).is_ok());
        for text in ["9007199254740992", "-9007199254740993", "18446744073709551615"] {
            assert_eq!(parse(text.as_bytes()), Err(CanonicalError::Number(text.to_owned())));
        }
    }
}
