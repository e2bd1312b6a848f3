//! One case: a question put to a world, and the answer that its author expects. Read from JSON, a list to a file.

use super::{
    MAX_CASES, MAX_TEXT, TrialError,
    world::{CaseQuestion, TrialWorld, parse},
};
use crate::{
    domain::{id::PartnerCode, policy::PolicyOwner},
    policy::{Action, Side, Standing, facts::MemberFacts},
    reading,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// A case, checked against its world.
#[derive(Debug, Clone)]
pub struct Case {
    /// The file it is from.
    pub place: String,
    pub name: String,
    /// Why the answer is right, in its author's words.
    pub reason: String,
    pub expected: Standing,
    /// The only side whose verdict is asked; none: all of them together.
    pub alone: Option<OwnerSide>,
    pub(super) world: TrialWorld,
    pub(super) principal: MemberFacts,
    pub(super) question: CaseQuestion,
    pub(super) deciding: BTreeSet<String>,
    pub(super) unmet: BTreeSet<String>,
}

/// One side of the owner whose policies are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerSide {
    Release,
    Reader,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCase {
    name: String,
    reason: String,
    principal: String,
    action: String,
    side: Option<String>,
    program: Option<Map<String, Value>>,
    call: Option<Map<String, Value>>,
    proposal: Option<Map<String, Value>>,
    owner: Option<String>,
    subject: Option<String>,
    role: Option<String>,
    partner: Option<String>,
    outcome: String,
    #[serde(default)]
    deciding: BTreeSet<String>,
    #[serde(default)]
    unmet: BTreeSet<String>,
}

impl Case {
    /// Reads a list of cases that start from `world`. `place` is what errors call the text.
    pub fn parse_all(place: &str, text: &str, world: &TrialWorld) -> Result<Vec<Self>, TrialError> {
        let fault = |what: String| {
            let help =
                "write a list, `[{\"name\": …, \"reason\": …, \"principal\": …, \"action\": …, \"outcome\": …}]`";
            TrialError::new(place, None, what, help)
        };
        if text.len() > MAX_TEXT {
            return Err(fault(format!("the file is longer than {MAX_TEXT} bytes")));
        }
        let given: Vec<Value> =
            reading::json(text.as_bytes()).map_err(|error| fault(format!("the cases are malformed: {error}")))?;
        if given.is_empty() || given.len() > MAX_CASES {
            return Err(fault(format!("the file has {} cases; it should have 1 to {MAX_CASES}", given.len())));
        }
        let mut names = BTreeSet::new();
        let mut cases = Vec::with_capacity(given.len());
        for (at, given) in (1..).zip(given) {
            let name = given["name"].as_str().map_or_else(|| format!("number {at}"), str::to_owned);
            let fault = |what: String| {
                TrialError::new(place, Some(&name), what, "`docs/policies.md` says what a case can hold")
            };
            let raw = reading::typed(given).map_err(|error| fault(error.to_string()))?;
            cases.push(Self::read(place, raw, world).map_err(fault)?);
            if !names.insert(name.clone()) {
                return Err(fault("another case of the file has the same name".into()));
            }
        }
        Ok(cases)
    }

    fn read(place: &str, raw: RawCase, world: &TrialWorld) -> Result<Self, String> {
        if raw.name.trim().is_empty() || raw.reason.trim().is_empty() {
            return Err("a case has a name, and a reason why its outcome is right".into());
        }
        let mut world = world.clone();
        for (part, facts) in [("program", &raw.program), ("call", &raw.call), ("proposal", &raw.proposal)] {
            if let Some(facts) = facts {
                world = world.with(part, facts)?;
            }
        }
        let action = Action::ALL.iter().find(|action| action.as_str() == raw.action);
        let action = *action.ok_or_else(|| {
            let asked: Vec<&str> = Action::ALL.iter().filter(|a| a.is_three_sided()).map(|a| a.as_str()).collect();
            format!("no action `{}`; nations are asked for {}", raw.action, asked.join(", "))
        })?;
        let standings = [Standing::Permitted, Standing::Denied, Standing::Hidden];
        let expected = standings.into_iter().find(|standing| standing.to_string() == raw.outcome);
        let expected = expected
            .ok_or_else(|| format!("`{}` is not an outcome; write permitted, denied or hidden", raw.outcome))?;
        let alone = match raw.side.as_deref() {
            None => None,
            Some("release") => Some(OwnerSide::Release),
            Some("reader") => Some(OwnerSide::Reader),
            Some(other) => {
                return Err(format!("`{other}` is not a side; write release or reader, or leave `side` out"));
            }
        };
        if alone.is_some() && !action.is_three_sided() {
            return Err(format!("no nation is asked for `{action}`, so none of its sides can be asked alone"));
        }
        if let Some(name) = raw.deciding.iter().chain(&raw.unmet).find(|name| !name.contains('/')) {
            return Err(format!("`{name}` names no policy; write owner and `@id`, as in `ISR/owners`"));
        }
        let subject = raw.subject.map(|id| world.member(&id).cloned()).transpose()?;
        let partner = raw.owner.or(raw.partner).map(|code| parse::<PartnerCode>("owner", &code)).transpose()?;
        let role = raw.role.map(|role| parse("role", &role)).transpose()?;
        let question = CaseQuestion { action, subject, partner, role };
        world.resource(&question)?;
        Ok(Self {
            place: place.to_owned(),
            name: raw.name,
            reason: raw.reason,
            expected,
            alone,
            principal: world.member(&raw.principal)?.clone(),
            world,
            question,
            deciding: raw.deciding,
            unmet: raw.unmet,
        })
    }

    /// What is asked for.
    #[must_use]
    pub fn action(&self) -> Action {
        self.question.action
    }

    /// The nations that have a say: the proposal's and the principal's.
    pub(super) fn nations(&self) -> BTreeSet<PartnerCode> {
        let parties = self.world.proposal().parties.iter();
        parties.chain([self.principal.id.partner()]).cloned().collect()
    }

    /// The policies whose conditions must matter.
    pub fn unmet(&self) -> impl Iterator<Item = &String> {
        self.unmet.iter()
    }

    /// Whether it is one in which something is permitted.
    #[must_use]
    pub fn allows(&self) -> bool {
        self.expected == Standing::Permitted
    }

    /// What an engine answers to the question, and whether its lists show the thing.
    #[cfg(test)]
    pub(in crate::policy) fn put_to(&self, engine: &crate::policy::Engine) -> (Standing, bool) {
        let resource = self.world.resource(&self.question).unwrap();
        let standing = engine.authorize(&self.principal, self.action(), resource).standing();
        (standing, engine.visible(&self.principal, resource))
    }

    /// The side that is asked alone, if this case can ask it of `owner`.
    pub(super) fn only_side(&self, owner: &PolicyOwner) -> Result<Option<Side>, String> {
        let Some(alone) = self.alone else { return Ok(None) };
        let PolicyOwner::Partner(code) = owner else {
            return Err("guardrails have no release or reader side; leave `side` out".into());
        };
        match alone {
            OwnerSide::Release if !self.world.proposal().parties.contains(code) => {
                Err(format!("{code} is not among the proposal's parties, so nobody asks for its release"))
            }
            OwnerSide::Reader if self.principal.id.partner() != code => {
                Err(format!("`{}` is not a member of {code}, so its reader side is not asked", self.principal.id))
            }
            OwnerSide::Release => Ok(Some(Side::Release(code.clone()))),
            OwnerSide::Reader => Ok(Some(Side::Reader(code.clone()))),
        }
    }
}
