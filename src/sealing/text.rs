//! Serde by text: values that have one text form (`Display` and `FromStr`) travel as JSON strings.
//!
//! The domain knows nothing of serde, so the bodies of statements and of requests name these helpers:
//! `#[serde(with = "crate::sealing::text")]` for one value, [`option`], [`vec`](mod@vec) and [`set`] for several. A text
//! that does not parse is refused with the type's own error; a set with a repeated member is refused too.

use serde::{Deserialize, Deserializer, Serializer, de::Error};
use std::{fmt::Display, str::FromStr};

/// Writes `value` as its text.
pub fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Reads a value from its text.
pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

/// For `Option<T>`; add `default, skip_serializing_if = "Option::is_none"` so that absence has one form.
pub mod option {
    use super::{Deserialize, Deserializer, Display, Error, FromStr, Serializer};

    /// Writes the text, or `null`.
    pub fn serialize<T: Display, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_none(),
        }
    }

    /// Reads a text, or `null`.
    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}

/// For `Vec<T>`, order kept.
pub mod vec {
    use super::{Deserialize, Deserializer, Display, Error, FromStr, Serializer};

    /// Writes an array of texts.
    pub fn serialize<T: Display, S: Serializer>(values: &[T], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(ToString::to_string))
    }

    /// Reads an array of texts.
    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
    }
}

/// For `BTreeSet<T>`, written in order; a member that appears twice is refused when read.
pub mod set {
    use super::{Deserialize, Deserializer, Display, Error, FromStr, Serializer};
    use std::collections::BTreeSet;

    /// Writes an array of texts in the set's order.
    pub fn serialize<T: Display, S: Serializer>(values: &BTreeSet<T>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(ToString::to_string))
    }

    /// Reads an array of texts without repetition.
    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<BTreeSet<T>, D::Error>
    where
        T: FromStr<Err: Display> + Ord,
        D: Deserializer<'de>,
    {
        let mut values = BTreeSet::new();
        for text in Vec::<String>::deserialize(deserializer)? {
            if !values.insert(text.parse().map_err(D::Error::custom)?) {
                return Err(D::Error::custom(format_args!("`{text}` appears twice")));
            }
        }
        Ok(values)
    }
}

/// Gives a closed list of words `Display`, `FromStr` and serde by the same text.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident as $wanted:literal { $($(#[$item:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$item])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// Every value, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word that stands for it in statements and on the command line.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(format!("`{}` is not {}", text.chars().take(80).collect::<String>(), $wanted)),
                }
            }
        }
    };
}

pub(crate) use words;

#[cfg(test)]
mod tests {
    use crate::domain::id::{MemberId, PartnerCode, Slug};
    use serde::{Deserialize, Serialize};
    use std::collections::BTreeSet;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Body {
        #[serde(with = "crate::sealing::text")]
        member: MemberId,
        #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::sealing::text::option")]
        party: Option<PartnerCode>,
        #[serde(with = "crate::sealing::text::vec")]
        order: Vec<Slug>,
        #[serde(with = "crate::sealing::text::set")]
        nations: BTreeSet<PartnerCode>,
    }

    #[test]
    fn values_travel_as_their_text() {
        let json = r#"{"member":"ISR:avi","party":"KOR","order":["b","a"],"nations":["GBR","ISR"]}"#;
        let body: Body = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&body).unwrap(), json);
        let json = r#"{"member":"ISR:avi","order":[],"nations":[]}"#;
        assert_eq!(serde_json::to_string(&serde_json::from_str::<Body>(json).unwrap()).unwrap(), json);
    }

    #[test]
    fn malformed_text_is_refused_with_the_types_own_words() {
        let json = r#"{"member":"avi","order":[],"nations":[]}"#;
        let error = serde_json::from_str::<Body>(json).unwrap_err().to_string();
        assert!(error.starts_with("`avi` is not a member such as `ISR:avi.levi`"), "{error}");
    }

    #[test]
    fn repeated_member_of_a_set_is_refused() {
        let json = r#"{"member":"ISR:avi","order":[],"nations":["ISR","ISR"]}"#;
        let error = serde_json::from_str::<Body>(json).unwrap_err().to_string();
        assert!(error.starts_with("`ISR` appears twice"), "{error}");
    }
}
