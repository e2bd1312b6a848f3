//! How JSON and other files of people are read, for all layers: what is wrong is said with its place, in plain words, with the choices.
//!
//! Readers of a refusal know their request and no program. So none of the words by which the code names its types is shown, and nothing of
//! what was sent is repeated but the names of members: a value may be a title. What other readers would take in silence is refused: a member
//! that is given twice, a value that is twice in one list, the character U+0000, which no database keeps alike.

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};
use serde_path_to_error::Segment;
use std::{borrow::Cow, collections::HashSet, fmt};

/// The longest name of a member that is repeated.
const LONGEST_NAME: usize = 80;

/// What is wrong with a text that was read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadingFault {
    /// It is no JSON.
    #[error("{0}")]
    Json(String),
    /// A value is not what is wanted in its place, which is a JSON pointer (RFC 6901).
    #[error("{}{fault}", if place.is_empty() { String::new() } else { format!("`{place}`: ") })]
    Value { place: String, fault: String },
    /// A text, or the name of a member, has the character U+0000.
    #[error(
        "{} has the character U+0000, which no text may have",
        if place.is_empty() { "it".to_owned() } else { format!("`{place}`") }
    )]
    Nul { place: String },
}

/// Reads a value in any layout, without a member that is given twice.
pub fn value(bytes: &[u8]) -> Result<Value, ReadingFault> {
    serde_json::from_slice::<Unique>(bytes).map(|unique| unique.0).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        ReadingFault::Json(format!("{} (line {line}, column {column})", worded(&error.to_string())))
    })
}

/// Reads what is wanted.
pub fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ReadingFault> {
    typed(value(bytes)?)
}

/// Takes what is wanted from a value that was read.
pub fn typed<T: DeserializeOwned>(value: Value) -> Result<T, ReadingFault> {
    check(&value, &mut String::new(), true)?;
    taken(value)
}

/// The same of a value that somebody signed: whether a list may have a value twice is its statement's question.
pub fn typed_as_signed<T: DeserializeOwned>(value: Value) -> Result<T, ReadingFault> {
    check(&value, &mut String::new(), false)?;
    taken(value)
}

fn taken<T: DeserializeOwned>(value: Value) -> Result<T, ReadingFault> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let place = error.path().iter().fold(String::new(), |mut place, segment| {
            match segment {
                Segment::Seq { index } => step(&mut place, &index.to_string()),
                Segment::Map { key } => step(&mut place, key),
                Segment::Enum { .. } | Segment::Unknown => {}
            }
            place
        });
        ReadingFault::Value { place, fault: worded(&error.inner().to_string()) }
    })
}

/// Reads what is wanted from a file of JSON that an editor may have written.
pub fn file<T: DeserializeOwned>(content: &[u8]) -> Result<T, ReadingFault> {
    json(text(content).map_err(ReadingFault::Json)?.as_bytes())
}

/// The text of a file that an editor or a spreadsheet wrote: UTF-8, or UTF-16 with a byte order mark. The mark is left out.
pub fn text(content: &[u8]) -> Result<Cow<'_, str>, String> {
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| -> Result<String, String> {
        let (pairs, rest) = bytes.as_chunks::<2>();
        let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
        let text = String::from_utf16(&units).ok().filter(|_| rest.is_empty());
        text.ok_or_else(|| "it is neither UTF-8 nor whole UTF-16 text; save it as UTF-8".to_owned())
    };
    match content {
        [0xff, 0xfe, rest @ ..] => Ok(wide(rest, u16::from_le_bytes)?.into()),
        [0xfe, 0xff, rest @ ..] => Ok(wide(rest, u16::from_be_bytes)?.into()),
        _ => {
            let text = str::from_utf8(content).map_err(|_| "it is not UTF-8 text; save it as UTF-8".to_owned())?;
            Ok(text.strip_prefix('\u{feff}').unwrap_or(text).into())
        }
    }
}

/// Refuses what the types would take in silence.
fn check(value: &Value, place: &mut String, lists_are_sets: bool) -> Result<(), ReadingFault> {
    let whole = place.len();
    match value {
        Value::String(text) if text.contains('\0') => return Err(ReadingFault::Nul { place: place.clone() }),
        Value::Array(items) => {
            let mut seen = HashSet::new();
            for (index, item) in items.iter().enumerate() {
                step(place, &index.to_string());
                if lists_are_sets && item.as_str().is_some_and(|text| !seen.insert(text)) {
                    return Err(ReadingFault::Value {
                        place: place.clone(),
                        fault: "it is in this list before".into(),
                    });
                }
                check(item, place, lists_are_sets)?;
                place.truncate(whole);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                if name.contains('\0') {
                    return Err(ReadingFault::Nul { place: place.clone() });
                }
                step(place, name);
                check(member, place, lists_are_sets)?;
                place.truncate(whole);
            }
        }
        _ => {}
    }
    Ok(())
}

/// Goes one step down.
fn step(place: &mut String, name: &str) {
    place.push('/');
    for letter in name.chars().take(LONGEST_NAME) {
        match letter {
            '~' => place.push_str("~0"),
            '/' => place.push_str("~1"),
            other => place.push(other),
        }
    }
}

/// A message of a reader of JSON or of a query in plain words, without the place in the text and without values.
#[must_use]
pub fn worded(message: &str) -> String {
    let message = match message.rfind(" at line ") {
        Some(end) if message[end..].contains(" column ") => &message[..end],
        _ => message,
    };
    named(message).or_else(|| mistaken(message)).or_else(|| broken(message)).unwrap_or_else(|| {
        let is_of_the_code = ["::", "struct ", "enum ", "variant", "tuple", "deserialize", "usize"];
        if is_of_the_code.iter().any(|word| message.contains(word)) {
            "it cannot be read".to_owned()
        } else if message.starts_with("failed to parse") {
            // A time in a signed statement, whose reader explains itself at length.
            "wanted an instant such as `2026-04-01T15:00:00Z`".to_owned()
        } else {
            message.to_owned()
        }
    })
}

/// A message about a member or a word by its name.
fn named(message: &str) -> Option<String> {
    let after = |start: &str| message.strip_prefix(start)?.split_once('`');
    if let Some((name, _)) = after("missing field `") {
        return Some(format!("`{name}` is missing"));
    }
    if let Some((name, _)) = after("duplicate field `") {
        return Some(format!("`{name}` is given twice"));
    }
    if let Some((name, rest)) = after("unknown field `") {
        let name: String = name.chars().take(LONGEST_NAME).collect();
        let choices = choices(rest).map(|choices| format!("; it takes {choices}")).unwrap_or_default();
        return Some(format!("there is no `{name}` here{choices}"));
    }
    let (_, rest) = after("unknown variant `")?;
    Some(choices(rest).map_or_else(|| "wanted another word".to_owned(), |choices| format!("wanted one of {choices}")))
}

/// The choices at the end of a message.
fn choices(rest: &str) -> Option<String> {
    let (_, words) = rest.rsplit_once(", expected ")?;
    Some(words.strip_prefix("one of ").unwrap_or(words).replace(" or ", ", "))
}

/// A message about a value of another kind.
fn mistaken(message: &str) -> Option<String> {
    if let Some(rest) = message.strip_prefix("invalid length ") {
        let (_, wanted) = rest.rsplit_once(", expected ")?;
        let length = if wanted.starts_with("struct ") { "" } else { ", of another length" };
        return Some(format!("wanted {}{length}", kind_wanted(wanted)));
    }
    let rest = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "))?;
    let (given, wanted) = rest.rsplit_once(", expected ")?;
    let (given, wanted) = (kind_given(given), kind_wanted(wanted));
    let is_wanted = wanted.contains(given) || given == "a number" && wanted.contains("number");
    Some(if is_wanted { format!("wanted {wanted}") } else { format!("wanted {wanted}, not {given}") })
}

fn kind_given(given: &str) -> &'static str {
    match given.split([' ', '`']).next().unwrap_or_default() {
        "null" | "unit" => "nothing",
        "boolean" => "`true` or `false`",
        "integer" | "floating" | "number" => "a number",
        "string" | "character" => "text",
        "map" => "an object",
        "sequence" => "a list",
        _ => "another kind of value",
    }
}

fn kind_wanted(wanted: &str) -> String {
    let whole = |most: &str| format!("a whole number from 0 to {most}");
    match wanted {
        "a string" | "string" | "a borrowed string" | "a character" => "text".into(),
        "a boolean" | "bool" => "`true` or `false`".into(),
        "u8" => whole("255"),
        "u16" => whole("65535"),
        "u32" => whole("4294967295"),
        "u64" | "usize" => whole("18446744073709551615"),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".into(),
        "f32" | "f64" => "a number".into(),
        "a map" | "map" => "an object".into(),
        "a sequence" | "sequence" => "a list".into(),
        "a timestamp string" => "an instant such as `2026-04-01T15:00:00Z`".into(),
        "unit" | "null" => "nothing".into(),
        other if other.starts_with("struct ") => "an object".into(),
        other if ["tuple ", "an array of length "].iter().any(|start| other.starts_with(start)) => "a list".into(),
        other if ["enum ", "variant", "string or map"].iter().any(|start| other.starts_with(start)) => "a word".into(),
        other if ["struct", "enum", "variant", "::", "option"].iter().any(|word| other.contains(word)) => {
            "another kind of value".into()
        }
        other => other.into(),
    }
}

/// A message about a text that is not JSON, or about an invalid number or word.
fn broken(message: &str) -> Option<String> {
    let said = match message {
        "expected ident" => "wanted `true`, `false` or `null`",
        "expected value" => "a value is missing or is not JSON",
        "trailing characters" => "something follows after the end",
        "key must be a string" => "names are written in double quotes",
        "recursion limit exceeded" => "it is nested too deep",
        "lone leading surrogate in hex escape" | "unexpected end of hex escape" | "invalid unicode code point" => {
            "an escape `\\u…` names no character"
        }
        "invalid digit found in string" | "cannot parse integer from empty string" => "wanted a whole number",
        "number too large to fit in target type" => "the number is too large",
        "number too small to fit in target type" => "the number is too small",
        "provided string was not `true` or `false`" => "wanted `true` or `false`",
        "invalid float literal" | "cannot parse float from empty string" => "wanted a number",
        other if other.starts_with("EOF while parsing") => "it ends too early",
        other if other.starts_with("control character") => "a text has a control character; write it as an escape",
        other if other.starts_with("invalid unicode") || other.starts_with("invalid utf-8") => "it is not UTF-8",
        _ => return None,
    };
    Some(said.to_owned())
}

/// Where two values differ first, which should be the same, and how to write it. None: they are the same.
#[must_use]
pub fn difference(given: &Value, wanted: &Value) -> Option<String> {
    let (mut place, fault) = differing(given, wanted, String::new())?;
    if place.is_empty() {
        place.push('/');
    }
    Some(format!("`{place}`: {fault}"))
}

fn differing(given: &Value, wanted: &Value, place: String) -> Option<(String, String)> {
    let below = |name: &str| {
        let mut place = place.clone();
        step(&mut place, name);
        place
    };
    match (given, wanted) {
        (Value::Object(given), Value::Object(wanted)) => {
            let further = given.iter().find(|(name, _)| !wanted.contains_key(*name)).map(|(name, _)| name);
            if let Some(name) = further {
                return Some((below(name), "leave it out, since it is empty or says what holds without it".into()));
            }
            wanted.iter().find_map(|(name, wanted)| match given.get(name) {
                Some(given) => differing(given, wanted, below(name)),
                None => Some((below(name), "it is missing".into())),
            })
        }
        (Value::Array(given), Value::Array(wanted)) if given.len() == wanted.len() => {
            let is_sorted_alone = wanted.iter().all(|item| given.contains(item));
            if is_sorted_alone && given != wanted {
                return Some((place, "sort it".into()));
            }
            let mut pairs = given.iter().zip(wanted).enumerate();
            pairs.find_map(|(index, (given, wanted))| differing(given, wanted, below(&index.to_string())))
        }
        (Value::Array(_), Value::Array(_)) => Some((place, "name each once, and sort it".into())),
        (given, wanted) if given == wanted => None,
        // `5` and `5.0` are written alike.
        (Value::Number(given), Value::Number(wanted)) if given.as_f64() == wanted.as_f64() => None,
        (Value::String(given), Value::String(wanted)) if are_instants(given, wanted) => Some((
            place,
            format!("write `{wanted}`, not `{given}`: UTC with `Z`, and no digits of a second that are zero"),
        )),
        _ => Some((place, "it has another form than the one that this exchange would write".into())),
    }
}

fn are_instants(given: &str, wanted: &str) -> bool {
    let instant = crate::domain::instant::instant;
    instant(given).is_ok_and(|given| instant(wanted) == Ok(given))
}

/// A JSON value whose objects have no member twice.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Self)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Unique(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                let name: String = name.chars().take(LONGEST_NAME).collect();
                return Err(A::Error::custom(format_args!("member `{name}` appears twice")));
            }
            let Unique(value) = members.next_value()?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::id::PartnerCode,
        wire::{call::CallText, directory::CreateProgram, review::Assign},
    };
    use serde_json::json;
    use std::collections::BTreeSet;

    fn text() -> Value {
        json!({
            "title": "A call", "text": "What is wanted.", "topics": ["water"],
            "criteria": [{ "name": "merit", "title": "Merit", "max": 5, "step": 0.5 }],
            "slots": [{
                "name": "plan", "title": "Plan", "required": true, "media_types": ["application/pdf"],
                "max_bytes": 4_000_000, "audience": "panel",
            }],
            "code": "BIRD26", "eligible": ["ISR"], "parties": { "at_least": 1, "at_most": 1 }, "funders": ["USA"],
            "schedule": {
                "opens_at": "2027-01-01T00:00:00Z", "deadline_at": "2027-02-01T00:00:00Z", "grace_seconds": 3600,
                "reviews_due_at": "2027-03-01T00:00:00Z",
            },
        })
    }

    /// What is said of the text with one value in another way; none takes it out.
    fn said(place: &str, other: Option<Value>) -> String {
        let mut text = text();
        let (above, name) = place.rsplit_once('/').unwrap();
        let above = text.pointer_mut(above).unwrap();
        match (above, other) {
            (Value::Object(members), Some(other)) => drop(members.insert(name.to_owned(), other)),
            (Value::Object(members), None) => drop(members.remove(name)),
            (above, other) => above[name.parse::<usize>().unwrap()] = other.unwrap(),
        }
        json_fault::<CallText>(&text.to_string())
    }

    fn json_fault<T: DeserializeOwned + fmt::Debug>(text: &str) -> String {
        json::<T>(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn fault_names_its_place_and_the_choices_in_plain_words() {
        assert!(json::<CallText>(text().to_string().as_bytes()).is_ok());
        for (place, other, wanted) in [
            ("/title", Some(json!(7)), "`/title`: wanted text, not a number"),
            ("/title", Some(json!(null)), "`/title`: wanted text, not nothing"),
            ("/title", None, "`title` is missing"),
            ("/slots/0/required", Some(json!("yes")), "`/slots/0/required`: wanted `true` or `false`, not text"),
            ("/slots/0/max_bytes", Some(json!("25 MiB")), "`/slots/0/max_bytes`: wanted a whole number from 0 to 1844"),
            ("/slots/0/max_bytes", Some(json!(1.5)), "`/slots/0/max_bytes`: wanted a whole number from 0 to 1844"),
            ("/slots/0/audience", Some(json!("all")), "`/slots/0/audience`: `all` is not an audience, one of `panel`"),
            ("/slots/0", Some(json!([])), "`/slots/0`: wanted an object"),
            ("/slots", Some(json!({})), "`/slots`: wanted a list, not an object"),
            ("/parties/at_least", Some(json!(-1)), "wanted a whole number from 0 to 4294967295"),
            ("/parties/color", Some(json!(1)), "there is no `color` here; it takes `at_least`, `at_most`, `required`"),
            ("/criteria/0/max", Some(json!("5")), "`/criteria/0/max`: wanted a number, not text"),
            ("/schedule/opens_at", Some(json!("2027-01-01")), "such as `2026-04-01T15:00:00Z` or"),
            ("/schedule/opens_at", Some(json!(17)), "`/schedule/opens_at`: wanted text, not a number"),
            ("/eligible", Some(json!(["ISR", "USA", "ISR"])), "`/eligible/2`: it is in this list before"),
            ("/text", Some(json!("a\u{0}b")), "`/text` has the character U+0000, which no text may have"),
        ] {
            let said = said(place, other);
            assert!(said.contains(wanted), "{place}: {said}");
            for word in ["struct", "invalid", "expected", "u32", "u64", "f64", "field", "variant", "sequence", "string"]
            {
                assert!(!said.contains(word), "{said}");
            }
        }
    }

    #[test]
    fn text_that_is_no_json_is_refused_with_line_and_column() {
        for (text, wanted) in [
            ("{", "it ends too early (line 1, column 1)"),
            ("{\"name\": }", "a value is missing or is not JSON (line 1, column 10)"),
            ("{} {}", "something follows after the end (line 1, column 4)"),
            ("{\n name: 1}", "names are written in double quotes (line 2"),
            ("{\"a\": \"\u{1}\"}", "a text has a control character"),
            ("{\"a\": \"\\ud800\"}", "names no character"),
            ("{\"name\": \"P\", \"lead\": \"USA\", \"name\": \"Q\", \"partners\": []}", "member `name` appears twice"),
            (&"[".repeat(200), "it is nested too deep"),
        ] {
            let said = json_fault::<CreateProgram>(text);
            assert!(said.contains(wanted), "{text}: {said}");
        }
        assert_eq!(json_fault::<Assign>("{\"assignments\": [{}]}"), "`/assignments/0`: `proposal` is missing");
        assert_eq!(json_fault::<BTreeSet<PartnerCode>>("[\"ISR\", \"ISR\"]"), "`/1`: it is in this list before");
        assert!(matches!(json::<Value>(b"{\"a\\u0000\": 1}"), Err(ReadingFault::Nul { .. })));
        assert!(json::<Value>(br#"{"a": "\\u0000"}"#).is_ok(), "that is six letters");
    }

    #[test]
    fn query_of_numbers_and_words_is_refused_in_plain_words() {
        for (message, wanted) in [
            ("invalid digit found in string", "wanted a whole number"),
            ("number too large to fit in target type", "the number is too large"),
            ("provided string was not `true` or `false`", "wanted `true` or `false`"),
            ("duplicate field `limit`", "`limit` is given twice"),
            (
                "unknown field `colour`, expected `cursor` or `limit`",
                "there is no `colour` here; it takes `cursor`, `limit`",
            ),
            ("unknown field `colour`, there are no fields", "there is no `colour` here"),
            ("invalid type: newtype struct, expected enum Colour", "wanted a word, not another kind of value"),
            ("data did not match any variant of untagged enum Either", "it cannot be read"),
        ] {
            assert_eq!(worded(message), wanted);
        }
    }

    #[test]
    fn number_in_another_form_is_no_difference() {
        assert_eq!(difference(&json!({ "max": 5, "all": [5] }), &json!({ "max": 5.0, "all": [5.0] })), None);
        assert_eq!(difference(&json!([5]), &json!([6])).unwrap().split(':').next(), Some("`/0`"));
    }

    #[test]
    fn first_difference_is_found_with_how_to_write_it() {
        let wanted = json!({ "at": "2026-04-01T15:00:00Z", "set": ["a", "b"], "text": "x" });
        let said = |place: &str, other: Value| {
            let mut given = wanted.clone();
            given[place] = other;
            difference(&given, &wanted).unwrap()
        };
        assert_eq!(difference(&wanted, &wanted), None);
        let at = said("at", json!("2026-04-01T15:00:00.000Z"));
        assert!(at.starts_with("`/at`: write `2026-04-01T15:00:00Z`, not `2026-04-01T15:00:00.000Z`"), "{at}");
        assert_eq!(said("set", json!(["b", "a"])), "`/set`: sort it");
        assert_eq!(said("set", json!(["a", "b", "b"])), "`/set`: name each once, and sort it");
        assert!(said("more", json!([])).starts_with("`/more`: leave it out"));
        let text = said("text", json!("quantum radar"));
        assert!(text.starts_with("`/text`: it has another form") && !text.contains("quantum"), "{text}");
    }
}
