//! From text to policies: reads one owner's text, and refuses whatever is not exactly what it should be, with line and what to do.
//!
//! Every policy has `@id` and `@reason`, and a partner's policy `@side("release")` or `@side("reader")`. Nothing is skipped and
//! nothing is repaired: policies that were taken were understood in full. Client and server read with this same code, so what one
//! refuses the other does too.

use super::{Action, PolicyName, bounds, entities, fault::LintFault, lint, meaning, vocabulary::SCHEMA};
use crate::domain::{
    id::Slug,
    name,
    policy::{MAX_POLICIES, MAX_POLICY_TEXT, PolicyOwner},
};
use cedar_policy::{
    ActionConstraint, Policy, PolicyId, PolicySet, Schema, ValidationError, ValidationMode, ValidationWarning,
    Validator,
};
use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, LazyLock},
};

/// The guardrails this version of the program comes with, in force until the host's policy officers put others in their place.
pub const GUARDRAILS: &str = include_str!("../../policies/guardrails.cedar");

static PARSED: LazyLock<Schema> =
    LazyLock::new(|| parse_schema(SCHEMA).expect("a test reads the schema that is built in"));

static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| Validator::new(PARSED.clone()));

/// The schema, read.
pub(super) fn schema() -> &'static Schema {
    &PARSED
}

/// Why policies cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct PolicyError {
    place: String,
    line: Option<usize>,
    what: String,
    help: String,
}

impl PolicyError {
    /// The file or the owner whose text it is in.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The line on which the policy begins, counted from 1.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.line
    }

    /// What is wrong.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> &str {
        &self.help
    }

    fn new(place: &str, line: impl Into<Option<usize>>, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { place: place.to_owned(), line: line.into(), what: what.into(), help: help.into() }
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}; {}", self.what, self.help)
    }
}

/// Which of a partner's two sets a policy belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PartnerSide {
    /// Who may have the partner's own proposals.
    Release,
    /// What the partner's own members may have.
    Reader,
}

/// One policy as it was read.
#[derive(Debug, Clone)]
pub(super) struct Sourced {
    pub(super) name: PolicyName,
    /// None in the guardrails.
    pub(super) side: Option<PartnerSide>,
    pub(super) sentence: Arc<str>,
    /// As it was written.
    pub(super) text: Arc<str>,
    pub(super) policy: Policy,
    /// Where it begins.
    line: usize,
}

/// Reads a schema, and checks that it names exactly the actions and the shapes this build knows.
pub(super) fn parse_schema(text: &str) -> Result<Schema, PolicyError> {
    let help = "take the schema that belongs to this version of the program";
    let fault = |what: String| PolicyError::new("schema", None, what, help);
    let (schema, mut warnings) =
        Schema::from_cedarschema_str(text).map_err(|error| fault(format!("the schema is malformed: {error}")))?;
    if let Some(warning) = warnings.next() {
        return Err(fault(format!("the schema is doubtful: {warning}")));
    }
    let named: BTreeSet<String> = schema.actions().map(|action| action.id().unescaped().to_owned()).collect();
    let known: BTreeSet<String> = Action::ALL.iter().map(|action| action.as_str().to_owned()).collect();
    if let Some(name) = known.difference(&named).next() {
        return Err(fault(format!("the schema lacks the action `{name}`")));
    }
    if let Some(name) = named.difference(&known).next() {
        return Err(fault(format!("the schema has an unknown action `{name}`")));
    }
    entities::probe(&schema).map_err(|error| fault(format!("the schema has other shapes: {error}")))?;
    Ok(schema)
}

/// Reads all policies of one owner. `place` is what errors call the text.
pub(super) fn parse(place: &str, text: &str, owner: &PolicyOwner) -> Result<Vec<Sourced>, PolicyError> {
    if text.len() > MAX_POLICY_TEXT {
        let what = format!("the text has {} bytes", text.len());
        return Err(PolicyError::new(place, None, what, format!("keep it within {MAX_POLICY_TEXT}")));
    }
    check_seen(place, text)?;
    let chunks = chunks(text);
    if let Some((line, _)) = chunks.get(MAX_POLICIES) {
        // Every list is filtered by all policies at once, and each costs every reader of the exchange.
        let help = "say more with one policy: list topics or partners in `[…]`, and speak of roles instead of members";
        return Err(PolicyError::new(place, *line, format!("there are more than {MAX_POLICIES} policies"), help));
    }
    let mut reader = OwnerReader {
        place,
        file: owner.to_string().into(),
        is_platform: *owner == PolicyOwner::Guardrails,
        found: Vec::new(),
        conditions: 0,
    };
    for (line, chunk) in chunks {
        reader.read(PolicyStart { place, line }, chunk)?;
    }
    validate(place, &reader.found)?;
    Ok(reader.found)
}

/// Where a policy begins.
#[derive(Clone, Copy)]
struct PolicyStart<'a> {
    place: &'a str,
    line: usize,
}

impl PolicyStart<'_> {
    fn fault(self, what: String, help: &str) -> PolicyError {
        PolicyError::new(self.place, self.line, what, help)
    }
}

/// Reads the policies of one owner, one after another.
struct OwnerReader<'a> {
    place: &'a str,
    file: Arc<str>,
    is_platform: bool,
    found: Vec<Sourced>,
    /// Of all policies so far, as [`bounds::conditions`] counts them.
    conditions: u64,
}

impl OwnerReader<'_> {
    fn read(&mut self, start: PolicyStart<'_>, text: &str) -> Result<(), PolicyError> {
        bounds::check_text(text)
            .map_err(|(below, refused)| PolicyError::new(self.place, start.line + below, refused.what, refused.help))?;
        let policy = Policy::parse(None, text).map_err(|error| {
            start.fault(
                format!("the policy that begins here is malformed: {error}"),
                "correct it; policies end with `;`",
            )
        })?;
        let policy = of_its_tree(&policy).map_err(|refused| start.fault(refused.what, &refused.help))?;
        self.check_annotations(&policy, start)?;
        let id = self.id(&policy, start)?;
        let sentence = sentence(&policy, id, start)?;
        let side = self.side(&policy, id, start)?;
        self.check_body(&policy, id, start)?;
        self.found.push(Sourced {
            name: PolicyName { file: self.file.clone(), id: id.into() },
            side,
            sentence: sentence.into(),
            text: text.into(),
            policy: policy.new_id(PolicyId::new(id)),
            line: start.line,
        });
        Ok(())
    }

    /// Refuses annotations that nothing reads.
    fn check_annotations(&self, policy: &Policy, start: PolicyStart<'_>) -> Result<(), PolicyError> {
        let known: &[&str] = if self.is_platform { &["id", "reason"] } else { &["id", "side", "reason"] };
        match policy.annotations().find(|(name, _)| !known.contains(name)) {
            Some((name, _)) => Err(start.fault(
                format!("`@{name}` is not an annotation of such a policy"),
                "remove it or correct its spelling",
            )),
            None => Ok(()),
        }
    }

    /// The policy's `@id`, which no policy before it has.
    fn id<'p>(&self, policy: &'p Policy, start: PolicyStart<'_>) -> Result<&'p str, PolicyError> {
        let id = policy.annotation("id").unwrap_or_default();
        if let Err(error) = id.parse::<Slug>() {
            let what = format!("the policy's `@id` is missing or unusable: {error}");
            return Err(start.fault(what, "give it `@id(\"short-name\")`"));
        }
        if let Some(twin) = self.found.iter().find(|other| &*other.name.id == id) {
            let what = format!("`@id(\"{id}\")` is already used on line {}", twin.line);
            return Err(start.fault(what, "give each policy of the file an `@id` of its own"));
        }
        Ok(id)
    }

    /// The policy's `@side`, which guardrails do not have.
    fn side(&self, policy: &Policy, id: &str, start: PolicyStart<'_>) -> Result<Option<PartnerSide>, PolicyError> {
        if self.is_platform {
            return Ok(None);
        }
        let what = match policy.annotation("side") {
            Some("release") => return Ok(Some(PartnerSide::Release)),
            Some("reader") => return Ok(Some(PartnerSide::Reader)),
            Some(other) => format!("policy `{id}` is on an unknown side `{other}`"),
            None => format!("policy `{id}` has no `@side`"),
        };
        let help = "write `@side(\"release\")` for who may have own proposals, `@side(\"reader\")` for what own members may have";
        Err(start.fault(what, help))
    }

    /// Refuses a policy that is never evaluated, that costs too much, or that may not mean what its author thinks.
    fn check_body(&mut self, policy: &Policy, id: &str, start: PolicyStart<'_>) -> Result<(), PolicyError> {
        let refused = |refused: LintFault| start.fault(format!("policy `{id}`: {}", refused.what), &refused.help);
        if !self.is_platform {
            asked_of_partners(policy).map_err(|action| {
                start.fault(
                    format!("policy `{id}` is about `{action}`, which no partner is asked for"),
                    "partners are asked for View, Read, ReadStaff and ViewDeliberation; the rest is for the guardrails",
                )
            })?;
        }
        lint::check(policy).map_err(refused)?;
        self.conditions = self.conditions.saturating_add(bounds::conditions(policy));
        bounds::check_conditions(self.conditions, id).map_err(|refused| start.fault(refused.what, &refused.help))?;
        meaning::check(policy).map_err(refused)?;
        if self.is_platform {
            lint::check_guardrail(policy).map_err(refused)?;
        }
        Ok(())
    }
}

/// The same policy, made of the tree that Cedar read. One that is made of its text is read again each time somebody asks for its tree, and
/// nearly every check does.
fn of_its_tree(policy: &Policy) -> Result<Policy, LintFault> {
    let tree = policy.to_pst().and_then(Policy::from_pst);
    tree.map_err(|error| {
        LintFault::new(format!("the policy that begins here cannot be read back: {error}"), lint::HELP)
    })
}

/// The policy's `@reason`.
fn sentence<'p>(policy: &'p Policy, id: &str, start: PolicyStart<'_>) -> Result<&'p str, PolicyError> {
    let sentence = policy.annotation("reason").unwrap_or_default().trim();
    if sentence.is_empty() {
        let what = format!("policy `{id}` has no `@reason`");
        return Err(start.fault(what, "say in `@reason(\"…\")` what a refused reader should know"));
    }
    Ok(sentence)
}

fn validate(place: &str, found: &[Sourced]) -> Result<(), PolicyError> {
    let set = PolicySet::from_policies(found.iter().map(|sourced| sourced.policy.clone()))
        .map_err(|error| PolicyError::new(place, None, error.to_string(), "correct the text"))?;
    let line = |id: &PolicyId| found.iter().find(|sourced| sourced.policy.id() == id).map(|sourced| sourced.line);
    let result = VALIDATOR.validate(&set, ValidationMode::Strict);
    let id = |id: &PolicyId| found.iter().find(|one| one.policy.id() == id).map_or("", |one| &*one.name.id);
    if let Some(error) = result.validation_errors().next() {
        let policy = id(error.policy_id());
        let (what, help) = match error {
            ValidationError::UnsafeOptionalAttributeAccess(error) => {
                let attr = error.to_string().split('`').nth(3).unwrap_or_default().to_owned();
                let what = format!("policy `{policy}`: not every proposal has a `{attr}`");
                (what, format!("ask first whether it has one: `resource has {attr} && resource.{attr} == …`"))
            }
            _ => (error.to_string(), "use the attributes and types of `schema.cedarschema`".to_owned()),
        };
        return Err(PolicyError::new(place, line(error.policy_id()), what, help));
    }
    // A policy that can never apply, or that hides look-alike letters, is not what its author meant.
    if let Some(warning) = result.validation_warnings().next() {
        let policy = id(warning.policy_id());
        let (what, help) = match warning {
            ValidationWarning::ImpossiblePolicy(_) => (
                format!("policy `{policy}` can never apply"),
                "what it asks for contradicts itself: say what is meant, or remove it",
            ),
            _ => (warning.to_string(), "say what is meant so that the policy can apply, or remove it"),
        };
        return Err(PolicyError::new(place, line(warning.policy_id()), what, help));
    }
    Ok(())
}

/// Refuses a partner's policy that could never be asked, naming the action.
fn asked_of_partners(policy: &Policy) -> Result<(), String> {
    let named = match policy.action_constraint() {
        ActionConstraint::Any => Vec::new(),
        ActionConstraint::Eq(action) => vec![action],
        ActionConstraint::In(actions) => actions,
    };
    let asked = |name: &str| Action::ALL.iter().any(|action| action.is_three_sided() && action.as_str() == name);
    named
        .iter()
        .map(|action| action.id().unescaped())
        .find(|name| !asked(name))
        .map_or(Ok(()), |name| Err(name.to_owned()))
}

/// Refuses characters that nobody sees: those who approve a text must see what Cedar reads. A carriage return alone ends a comment for Cedar, and
/// on a terminal it hides what stands before it.
fn check_seen(place: &str, text: &str) -> Result<(), PolicyError> {
    for (number, line) in (1..).zip(text.split('\n')) {
        let line = line.strip_suffix('\r').unwrap_or(line).replace('\t', " ");
        if let Some(letter) = name::unseen(&line) {
            let what = format!("the text has the character U+{:04X} here, which nobody sees", u32::from(letter));
            return Err(PolicyError::new(place, number, what, "write it without; lines end with a line feed"));
        }
    }
    Ok(())
}

/// Cuts a file into its policies, each with the line it begins on. Cedar's own parser numbers policies but gives no lines.
pub(super) fn chunks(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let (mut line, mut start, mut in_string, mut in_comment, mut escaped) = (1, None, false, false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if in_comment => in_comment = !bounds::ENDS_COMMENT.contains(&letter),
            _ if in_string => match letter {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => in_string = false,
                _ => {}
            },
            '/' if text[at..].starts_with("//") => in_comment = true,
            _ => {
                if start.is_none() && !letter.is_whitespace() {
                    start = Some((line, at));
                }
                in_string = letter == '"';
                if letter == ';' {
                    found.extend(start.take().map(|(line, start)| (line, &text[start..=at])));
                }
            }
        }
        line += usize::from(letter == '\n');
    }
    found.extend(start.map(|(line, start)| (line, &text[start..])));
    found
}
