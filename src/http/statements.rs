//! What members sign, as a page: `docs/statements.md`. The members of each payload and what is said of them come from the types
//! that the code reads statements with; the samples are read by the same types in a test.

pub(super) mod samples;

use crate::sealing::{
    canonical,
    card::KeyCard,
    statement::{
        AcceptanceStatement, AssignmentStatement, CallPublication, DecisionStatement, DeclarationStatement,
        DossierStatement, InvitationStatement, JoinRequest, LabelStatement, LetterStatement, Manifest,
        ManifestDocument, MemberInvitation, PolicyApproval, PolicyStatement, PossessionChallenge, PreviewStatement,
        RankingStatement, RenewalStatement, ReviewStatement, RoleStatement, RollStatement, Statement, TrustList,
        VaultStatement, WrapStatement,
    },
    visibility::VisibilityStatement,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::fmt::Write as _;
use utoipa::PartialSchema;

/// How long a line of a page may be.
const WIDTH: usize = 120;

/// Where statements of joining and renewing are sent.
const IN_A_FILE: &str = "nowhere: it passes between registrar and member in a file";

/// A type of statement as the page shows it.
struct Page {
    /// The `typ` of its JWS.
    typ: &'static str,
    /// The form of its payload.
    schema: Value,
    sample: Value,
    signed_by: &'static str,
    sent_to: &'static str,
    /// Whether it reads as the type says, keeps the rules within itself and is written the same again.
    #[cfg(test)]
    is_read: fn(&Value) -> bool,
}

impl Page {
    fn of<T: Statement + PartialSchema>(signed_by: &'static str, sent_to: &'static str, sample: Value) -> Self {
        Self {
            typ: T::TYP,
            schema: schema::<T>(),
            sample,
            signed_by,
            sent_to,
            #[cfg(test)]
            is_read: |sample| {
                let read: T = serde_json::from_value(sample.clone()).expect("the sample has the members of its type");
                read.validate().expect("the sample keeps its own rules");
                serde_json::to_value(&read).is_ok_and(|written| written == *sample)
            },
        }
    }
}

fn schema<T: PartialSchema>() -> Value {
    serde_json::to_value(T::schema()).expect("a schema has string keys")
}

/// Every type, in the order in which a call's life meets them.
fn pages() -> Vec<Page> {
    let versions = "`POST /v1/policies/{owner}/versions`";
    vec![
        Page::of::<TrustList>("a registrar, for their own nation", IN_A_FILE, samples::trust_list()),
        Page::of::<MemberInvitation>("a registrar of the member's partner", IN_A_FILE, samples::member_invitation()),
        Page::of::<JoinRequest>("the new key of the member", IN_A_FILE, samples::join_request()),
        Page::of::<RenewalStatement>("the key of the member that is in force", IN_A_FILE, samples::renewal()),
        Page::of::<KeyCard>(
            "a registrar of the member's partner",
            "`PUT /v1/members/{member}/key-card`",
            samples::key_card(),
        ),
        Page::of::<PolicyStatement>("a policy officer", versions, samples::policy()),
        Page::of::<PolicyApproval>(
            "a second policy officer",
            "`POST /v1/policies/{owner}/versions/{version}/approve`",
            samples::policy_approval(),
        ),
        Page::of::<CallPublication>(
            "an officer of the call, of the nation that leads its program",
            "`POST /v1/calls/{call}/publish` and `…/amend`",
            samples::call(),
        ),
        Page::of::<RollStatement>(
            "the officer who publishes the call",
            "`POST /v1/calls/{call}/publish`",
            samples::roll(),
        ),
        Page::of::<RoleStatement>(
            "an officer of the call, or the member who lays down their own roles",
            "`PUT /v1/calls/{call}/roles/{member}`",
            samples::role(),
        ),
        Page::of::<VaultStatement>("the member who makes the vault", "wherever a new vault is sent", samples::vault()),
        Page::of::<WrapStatement>("the member who wraps the key", "wherever wrapped keys are sent", samples::wrap()),
        Page::of::<InvitationStatement>(
            "a member of one of the proposal's parties",
            "`POST /v1/proposals` and `PUT /v1/proposals/{proposal}/members/{member}`",
            samples::invitation(),
        ),
        Page::of::<AcceptanceStatement>(
            "the invited member",
            "`POST /v1/proposals/{proposal}/acceptance`",
            samples::acceptance(),
        ),
        Page::of::<Manifest>(
            "a member of each party",
            "`POST /v1/proposals/{proposal}/manifests`",
            samples::manifest(),
        ),
        Page::of::<LabelStatement>(
            "a member of each party",
            "`POST /v1/proposals/{proposal}/labels`",
            samples::label(),
        ),
        Page::of::<DeclarationStatement>(
            "the member, or the officer who lifts a conflict",
            "`PUT /v1/proposals/{proposal}/declaration` and `POST …/declarations/{member}/lift`",
            samples::declaration(),
        ),
        Page::of::<AssignmentStatement>(
            "an officer of the call",
            "`POST /v1/calls/{call}/assignments`",
            samples::assignment(),
        ),
        Page::of::<ReviewStatement>("the reviewer", "`POST /v1/proposals/{proposal}/reviews`", samples::review()),
        Page::of::<RankingStatement>(
            "an officer of the call",
            "`PUT /v1/proposals/{proposal}/ranking`",
            samples::ranking(),
        ),
        Page::of::<DecisionStatement>(
            "a decider of each funding partner",
            "`PUT /v1/proposals/{proposal}/decision`",
            samples::decision(),
        ),
        Page::of::<LetterStatement>(
            "an officer of the call",
            "`POST /v1/proposals/{proposal}/letters`",
            samples::letter(),
        ),
        Page::of::<PreviewStatement>("the member who asked", "nowhere: it is kept in a file", samples::preview()),
        Page::of::<DossierStatement>(
            "the officer, decider or observer who exports it",
            "nowhere: it is the end of the file of a dossier",
            samples::dossier(),
        ),
        Page::of::<VisibilityStatement>(
            "the exchange, by the key of its own certificate",
            "nowhere: it is the last line of `GET /v1/partners/{partner}/visibility`",
            samples::visibility(),
        ),
    ]
}

/// A JWS of this type as it looks, for samples of bodies: header and payload can be decoded, certificate and signature are made up.
pub(super) fn sample_jws(typ: &str) -> String {
    let page = pages().into_iter().find(|page| page.typ == typ);
    let payload = page.unwrap_or_else(|| panic!("there is no statement of type `{typ}`")).sample;
    let header = json!({ "alg": "ES256", "typ": typ, "x5c": ["MIIB"] });
    let part = |value: &Value| {
        BASE64_URL_SAFE_NO_PAD.encode(canonical::to_vec(value).expect("a sample has string keys and small numbers"))
    };
    format!("{}.{}.{}", part(&header), part(&payload), BASE64_URL_SAFE_NO_PAD.encode([0x5a; 64]))
}

/// The page.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(INTRODUCTION);
    let pages = pages();
    page.push_str("\n| type | signed by | sent to |\n|---|---|---|\n");
    for Page { typ, signed_by, sent_to, .. } in &pages {
        writeln!(page, "| [`{typ}`](#{}) | {signed_by} | {sent_to} |", typ.replace('+', "")).expect("a string grows");
    }
    for Page { typ, schema, sample, .. } in &pages {
        write!(page, "\n## `{typ}`\n\n{}\n\n", wrapped(&described(schema))).expect("a string grows");
        members(&mut page, schema);
        if *typ == Manifest::TYP {
            page.push_str("\nEach of `documents`:\n\n");
            members(&mut page, &self::schema::<ManifestDocument>());
        }
        if *typ == MemberInvitation::TYP {
            page.push_str("\nIts `challenge`:\n\n");
            members(&mut page, &self::schema::<PossessionChallenge>());
        }
        let pretty = serde_json::to_string_pretty(&sorted(sample)).expect("a sample has string keys");
        let digest = canonical::digest(sample).expect("a sample has string keys and small numbers");
        write!(page, "\n```json\n{pretty}\n```\n\nSHA-256 of its canonical form: `{digest}`\n")
            .expect("a string grows");
    }
    page
}

/// A table of the members of a payload.
fn members(page: &mut String, schema: &Value) {
    page.push_str("| member | is | needed | says |\n|---|---|---|---|\n");
    let required = schema["required"].as_array();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let is_needed = required.is_some_and(|required| required.iter().any(|needed| needed == name));
        let needed = if is_needed { "yes" } else { "no" };
        let (kind, said) = (kind(property), described(property).replace('\n', " ").replace('|', "\\|"));
        writeln!(page, "| `{name}` | {kind} | {needed} | {said} |").expect("a string grows");
    }
}

/// What the doc comment says, without the brackets by which it links.
fn described(schema: &Value) -> String {
    let choices = schema["oneOf"].as_array().into_iter().flatten();
    let said = choices.chain([schema]).find_map(|schema| schema["description"].as_str());
    let mut text = said.unwrap_or_default().replace("[`", "`").replace("`]", "`");
    while let Some((before, rest)) = text.split_once("`(super::") {
        let after = rest.split_once(')').map_or("", |(_, after)| after);
        text = format!("{before}`{after}");
    }
    text
}

/// The paragraphs of a text, each wrapped like the page around it.
fn wrapped(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(|paragraph| {
        let mut lines = vec![String::new()];
        for word in paragraph.split_whitespace() {
            let line = lines.last_mut().expect("there is one from the start");
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
                lines.push(word.to_owned());
            } else {
                line.push_str(if line.is_empty() { "" } else { " " });
                line.push_str(word);
            }
        }
        lines.join("\n")
    });
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

/// What a value is, in the words of the description.
fn kind(schema: &Value) -> String {
    if let Some(choices) = schema["oneOf"].as_array() {
        return choices.iter().find(|choice| choice["type"] != "null").map(kind).unwrap_or_default();
    }
    if let Some(name) = schema["$ref"].as_str().and_then(|place| place.rsplit('/').next()) {
        return name.to_owned();
    }
    let (text, list) = (schema["type"].as_str(), schema["type"].as_array());
    let name = text.or_else(|| list?.iter().filter_map(Value::as_str).find(|name| *name != "null"));
    match (name, schema["format"].as_str()) {
        (Some("array"), _) => format!("list of {}", kind(&schema["items"])),
        (Some("object"), _) if schema["additionalProperties"].is_object() => {
            format!("map to {}", kind(&schema["additionalProperties"]))
        }
        (Some("string"), Some("date-time")) => "Time".to_owned(),
        (Some(name), _) => name.to_owned(),
        (None, _) => "any".to_owned(),
    }
}

/// The same with members in the order of their names, as in the canonical form.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().map(|(name, value)| (name.clone(), sorted(value))).collect();
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
            Value::Object(members.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

const INTRODUCTION: &str = "<!-- Made by `entente-server statements > docs/statements.md`. Do not edit. -->

# Statements

A statement is a compact JWS (RFC 7515). Its header has three members and no others: `alg` (`ES256`, `ES384` or
`EdDSA`), `typ` (the type, as below) and `x5c` with the one certificate of the key that signed. The payload is
canonical JSON (RFC 8785) of at most 1 MiB, without members that the type does not know. Other statements and the
exchange refer to it by the SHA-256 of the payload.

One content has one byte form, and every other is refused: times are in UTC with `Z` and without a fraction that is
zero (`2026-04-01T15:00:00Z`, with at most milliseconds where the type says so), lists that are sets are sorted, and
what is not needed is left out where it is empty. Whole numbers are below 2^53. Forms of identifiers, digests and
words are those of the schemas of the same names in [openapi.json](openapi.json).

The samples below show payloads, with members in canonical order and with blanks for the eye. What is sent nowhere is
kept in a file or passes between a registrar and a member in one ([ADR 36](adr/0036-joining-by-files.md)).
";

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_sample_is_read_by_its_type_and_written_the_same_again() {
        for Page { typ, sample, is_read, .. } in pages() {
            assert!(is_read(&sample), "{typ}");
        }
    }

    #[test]
    fn every_member_says_what_it_is_and_every_needed_one_is_in_the_sample() {
        for Page { typ, schema, sample, .. } in pages() {
            assert!(!described(&schema).is_empty(), "{typ}");
            for (name, property) in schema["properties"].as_object().unwrap() {
                assert!(!kind(property).is_empty(), "`{name}` of {typ}");
            }
            for name in schema["required"].as_array().unwrap() {
                assert!(sample.get(name.as_str().unwrap()).is_some(), "{name} of {typ}");
            }
        }
    }

    #[test]
    fn page_has_every_statement_of_the_sources_once() {
        let typs: Vec<_> = pages().iter().map(|page| page.typ.to_owned()).collect();
        let pages: BTreeSet<String> = typs.iter().cloned().collect();
        assert_eq!(pages.len(), typs.len(), "one has two pages: {typs:?}");
        let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        let mut written = BTreeSet::new();
        while let Some(folder) = folders.pop() {
            for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(path).unwrap();
                let sign = concat!("const TYP: &'static str", " = \"");
                let found = text.match_indices(sign).map(|(at, _)| text[at + sign.len()..].split('"').next().unwrap());
                written.extend(found.map(str::to_owned));
            }
        }
        assert_eq!(pages, written);
    }

    #[test]
    fn page_of_conventions_names_every_statement() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/API-DESIGN.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (_, section) = text.split_once("\n## Statements\n").unwrap();
        let section = section.split("\n## ").next().unwrap();
        for Page { typ, .. } in pages() {
            let name = typ.strip_prefix("entente-").and_then(|rest| rest.strip_suffix("+jws")).unwrap();
            assert!(section.contains(&format!("`{name}`")), "{typ}");
        }
    }
}
