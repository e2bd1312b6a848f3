//! The names that policies can use, as the built-in schema has them: which attributes a thing has, what they hold, and which known
//! name is nearest to one that is not known.
//!
//! Refuses nothing itself; [`super::lint`] asks it, so that an author learns what to write in words of the schema.

use cedar_policy::SchemaFragment;
use serde_json::Value;
use std::{collections::BTreeMap, fmt, sync::LazyLock};

/// What policies can speak of; belongs to this version of the program.
pub const SCHEMA: &str = include_str!("../../policies/schema.cedarschema");

/// What an attribute holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Holds {
    /// One value of this type.
    One(String),
    /// A set of values of this type.
    Many(String),
}

impl Holds {
    /// The type of the value, or of those in the set.
    pub(super) fn of(&self) -> &str {
        let (Self::One(name) | Self::Many(name)) = self;
        name
    }
}

/// Attributes by type of thing.
#[derive(Debug)]
pub(super) struct Vocabulary(BTreeMap<String, BTreeMap<String, Holds>>);

/// The vocabulary of the built-in schema.
pub(super) static VOCABULARY: LazyLock<Vocabulary> =
    LazyLock::new(|| Vocabulary::read(SCHEMA).expect("a test reads the names of the schema that is built in"));

impl Vocabulary {
    fn read(schema: &str) -> Option<Self> {
        let json = SchemaFragment::from_cedarschema_str(schema).ok()?.0.to_json_value().ok()?;
        let types = json[""]["entityTypes"].as_object()?;
        let attributes = |shape: &Value| -> Option<BTreeMap<String, Holds>> {
            let Some(shape) = shape["shape"]["attributes"].as_object() else { return Some(BTreeMap::new()) };
            shape.iter().map(|(name, declared)| Some((name.clone(), holds(declared)?))).collect()
        };
        types.iter().map(|(name, shape)| Some((name.clone(), attributes(shape)?))).collect::<Option<_>>().map(Self)
    }

    /// The name of a type of things, if it is one.
    pub(super) fn type_name(&self, name: &str) -> Option<&str> {
        self.0.get_key_value(name).map(|(name, _)| name.as_str())
    }

    /// What an attribute of a thing of this type holds, if there is one of this name.
    pub(super) fn holds(&self, of: &str, attribute: &str) -> Option<&Holds> {
        self.0.get(of)?.get(attribute)
    }

    /// The attributes of a thing of this type.
    pub(super) fn attributes(&self, of: &str) -> Vec<&str> {
        self.0.get(of).map(|known| known.keys().map(String::as_str).collect()).unwrap_or_default()
    }

    /// The way from `start`, a thing of this type, to the attribute that is named most alike; none when no name is alike.
    pub(super) fn nearest(&self, start: &str, of: &str, attribute: &str) -> Option<String> {
        let mut ways = Vec::new();
        self.walk(start, of, 0, &mut ways);
        let far = |way: &(usize, String)| {
            let name = way.1.rsplit('.').next().unwrap_or_default();
            (distance(name, attribute), way.0)
        };
        let near = ways.iter().min_by_key(|way| far(way))?;
        (far(near).0 <= attribute.chars().count().div_ceil(3)).then(|| near.1.clone())
    }

    fn walk(&self, way: &str, of: &str, depth: usize, ways: &mut Vec<(usize, String)>) {
        for (name, holds) in self.0.get(of).into_iter().flatten() {
            let way = format!("{way}.{name}");
            ways.push((depth, way.clone()));
            // Things lead to each other in one direction, three deep; the limit states it.
            if let Holds::One(of) = holds
                && depth < 3
            {
                self.walk(&way, of, depth + 1, ways);
            }
        }
    }
}

impl fmt::Display for Holds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.of() {
            "String" => "text",
            "Bool" | "Boolean" => "yes or no",
            "Long" => "a number",
            "Partner" => "a partner",
            "Member" => "a member",
            other => return write!(f, "a {}", other.to_lowercase()),
        };
        match (self, word) {
            (Self::One(_), word) => f.write_str(word),
            (Self::Many(_), "a partner") => f.write_str("partners"),
            (Self::Many(_), "a member") => f.write_str("members"),
            (Self::Many(_), "text") => f.write_str("texts"),
            (Self::Many(_), word) => write!(f, "several of {word}"),
        }
    }
}

fn holds(declared: &Value) -> Option<Holds> {
    let name = |declared: &Value| {
        let kind = declared["type"].as_str()?;
        Some(declared["name"].as_str().unwrap_or(kind).to_owned())
    };
    if declared["type"] == "Set" { name(&declared["element"]).map(Holds::Many) } else { name(declared).map(Holds::One) }
}

/// How many letters must be put in, left out or changed to make one word of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.chars().enumerate() {
        let mut before = row[0];
        row[0] = at + 1;
        for (place, wanted) in other.iter().enumerate() {
            let changed = before + usize::from(letter != *wanted);
            before = row[place + 1];
            row[place + 1] = changed.min(before + 1).min(row[place] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_schema_are_known_with_what_they_hold() {
        let known = &*VOCABULARY;
        assert_eq!(known.holds("Proposal", "topic"), Some(&Holds::One("String".into())));
        assert_eq!(known.holds("Proposal", "assigned"), Some(&Holds::Many("Member".into())));
        assert_eq!(known.holds("Call", "opened").map(ToString::to_string).as_deref(), Some("yes or no"));
        assert_eq!(known.holds("Member", "organisation").map(ToString::to_string).as_deref(), Some("text"));
        assert_eq!(known.holds("Proposal", "title"), None);
        assert!(known.attributes("Partner").is_empty());
    }

    #[test]
    fn nearest_name_is_found_where_it_belongs() {
        for (attribute, expected) in [
            ("topics", Some("resource.topic")),
            ("phase", Some("resource.call.phase")),
            ("party_member", Some("resource.party_members")),
            ("lead", Some("resource.call.program.lead")),
            ("classification", None),
        ] {
            assert_eq!(VOCABULARY.nearest("resource", "Proposal", attribute).as_deref(), expected, "{attribute}");
        }
        assert_eq!(VOCABULARY.nearest("principal", "Member", "role").as_deref(), Some("principal.roles"));
    }

    #[test]
    fn distance_counts_letters() {
        for (one, other, expected) in [("", "ab", 2), ("role", "roles", 1), ("kitten", "sitting", 3), ("a", "a", 0)] {
            assert_eq!((distance(one, other), distance(other, one)), (expected, expected));
        }
    }
}
