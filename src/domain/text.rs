//! Counts and choices in sentences: the one place that decides between a noun's singular and its plural, and how a choice is listed.

use std::fmt::Display;

/// The number before its noun: `1 review`, `2 reviews`. Verbs may stand behind the noun: `1 key does not open`.
pub fn counted<N: Display + PartialEq + From<u8>>(number: N, one: &str, many: &str) -> String {
    let noun = if number == N::from(1) { one } else { many };
    format!("{number} {noun}")
}

/// What a limit counts: its noun for one and for several, and what follows either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitNoun {
    one: &'static str,
    many: &'static str,
    rest: &'static str,
}

impl LimitNoun {
    #[must_use]
    pub const fn new(one: &'static str, many: &'static str, rest: &'static str) -> Self {
        Self { one, many, rest }
    }

    /// Bytes, and of what.
    #[must_use]
    pub const fn bytes(rest: &'static str) -> Self {
        Self::new("byte", "bytes", rest)
    }

    /// The limit with its noun: `1 document of one party in one slot`.
    #[must_use]
    pub fn counted(self, limit: u64) -> String {
        format!("{} {}", counted(limit, self.one, self.many), self.rest)
    }
}

/// The choices that there are: `sensing, robotics, water`, or `none`.
pub fn choices<T: Display>(among: impl IntoIterator<Item = T>) -> String {
    let words: Vec<String> = among.into_iter().map(|word| word.to_string()).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_listed() {
        assert_eq!((choices(["sensing", "water"]), choices::<&str>([])), ("sensing, water".into(), "none".into()));
    }

    #[test]
    fn noun_agrees_with_its_number() {
        let said = [0_usize, 1, 2, 11, 21].map(|number| counted(number, "review", "reviews"));
        assert_eq!(said, ["0 reviews", "1 review", "2 reviews", "11 reviews", "21 reviews"]);
        let noun = LimitNoun::new("document", "documents", "of one party");
        assert_eq!(noun.counted(1), "1 document of one party");
        assert_eq!(LimitNoun::bytes("of one party").counted(2), "2 bytes of one party");
        assert_eq!(counted(1_u64, "key does not open", "keys do not open"), "1 key does not open");
    }
}
