//! Tries policies in small worlds before anybody signs them: cases with the answer each must get and the policies that must be
//! the reason, decided by the very [`Engine`] of the exchange.
//!
//! A case starts from a [`TrialWorld`] and replaces some facts. `deciding` names policies that decide it. `unmet` names
//! policies whose conditions do not hold in it and matter: without its conditions the policy would turn its side's
//! verdict around.
//!
//! A nation's author has not the texts of all others, so a nation whose text is not given is not asked, unless everybody is to be:
//! then it says no, as it would on the exchange. Nothing that is decided here permits anything anywhere.

mod case;
mod world;

pub use case::{Case, OwnerSide};
pub use world::{TrialWorld, WORLD};

use super::{
    AuthorizationStep, AuthorizationTrace, Engine, GUARDRAILS, Guardrails, PartnerRules, PolicyError, Side, Standing,
    source::{self, Sourced},
};
use crate::domain::{id::PartnerCode, policy::PolicyOwner};
use cedar_policy::{Effect, Policy, pst};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

/// The longest text of a world or of cases, in bytes.
pub const MAX_TEXT: usize = 1 << 20;

/// The most cases of one file.
pub const MAX_CASES: usize = 1000;

/// Why a world or cases cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {}{what}", case.as_ref().map_or_else(String::new, |case| format!("case `{case}`: ")))]
pub struct TrialError {
    place: String,
    case: Option<String>,
    what: String,
    help: &'static str,
}

impl TrialError {
    fn new(place: &str, case: Option<&str>, what: String, help: &'static str) -> Self {
        Self { place: place.to_owned(), case: case.map(str::to_owned), what, help }
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        self.help
    }
}

/// Texts to be tried: those of one owner, and of others as far as they are given.
#[derive(Debug, Clone)]
pub struct Trial {
    owner: PolicyOwner,
    pub(super) guardrails: Vec<Sourced>,
    pub(super) partners: BTreeMap<PartnerCode, Vec<Sourced>>,
    asks_everybody: bool,
}

/// What came of one case.
#[derive(Debug)]
pub struct CaseResult {
    pub standing: Standing,
    /// The policies that led to it; none when the side that the case asks is not evaluated.
    pub decision: Option<AuthorizationTrace>,
    /// Names of the policies that made it so.
    pub deciding: BTreeSet<String>,
    /// What is otherwise than the case says; empty when it passes.
    pub faults: Vec<CaseFault>,
}

/// In what a case was disappointed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaseFault {
    /// The outcome is another.
    Outcome { expected: Standing, found: Standing, why: String },
    /// A policy that should decide does not.
    NotDeciding { policy: String, deciding: BTreeSet<String> },
    /// The conditions of a policy that should matter do not.
    NoDifference { policy: String },
    /// A policy that the case names is in none of the texts.
    NotGiven { policy: String },
    /// The side that the case asks has no say in it.
    NotAsked { why: String },
}

/// What the cases do not show of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UncoveredPolicy {
    /// No case is decided by it.
    Applies(String),
    /// No case shows what its conditions are for.
    Conditions { policy: String, wanted: &'static str },
}

impl Trial {
    /// Reads the text to be tried; the guardrails are those that the program comes with, unless they are what is tried. `place` is
    /// what errors call the text.
    pub fn new(owner: &PolicyOwner, place: &str, text: &str) -> Result<Self, PolicyError> {
        let built_in = source::parse("guardrails", GUARDRAILS, &PolicyOwner::Guardrails);
        let guardrails = built_in.expect("a test reads the guardrails that are built in");
        let nothing = Self { owner: owner.clone(), guardrails, partners: BTreeMap::new(), asks_everybody: false };
        nothing.with(owner, place, text)
    }

    /// Puts a text in the place of an owner's.
    pub fn with(mut self, owner: &PolicyOwner, place: &str, text: &str) -> Result<Self, PolicyError> {
        let policies = source::parse(place, text, owner)?;
        match owner {
            PolicyOwner::Guardrails => self.guardrails = policies,
            PolicyOwner::Partner(code) => drop(self.partners.insert(code.clone(), policies)),
        }
        Ok(self)
    }

    /// Asks nations without a text too, which then release nothing and read nothing.
    #[must_use]
    pub fn asking_everybody(mut self) -> Self {
        self.asks_everybody = true;
        self
    }

    /// Whose text is tried.
    #[must_use]
    pub fn owner(&self) -> &PolicyOwner {
        &self.owner
    }

    /// The nations whose texts are there.
    pub fn given(&self) -> impl Iterator<Item = &PartnerCode> {
        self.partners.keys()
    }

    /// The engine that decides, made of these texts.
    #[must_use]
    pub fn engine(&self) -> Engine {
        let rules =
            |(code, policies): (&PartnerCode, &Vec<Sourced>)| Arc::new(PartnerRules::new(code.clone(), policies));
        Engine::new(Arc::new(Guardrails::new(&self.guardrails)), self.partners.iter().map(rules))
    }

    /// Tries cases, in their order.
    #[must_use]
    pub fn run(&self, cases: &[Case]) -> Vec<CaseResult> {
        let engine = self.engine();
        let mut bare = BTreeMap::new();
        cases.iter().map(|case| self.try_one(case, &engine, &mut bare)).collect()
    }

    /// The policies of the owner under trial of which the cases do not show that they apply, and that their conditions hold back.
    #[must_use]
    pub fn unshown(&self, cases: &[Case]) -> Vec<UncoveredPolicy> {
        let own = match &self.owner {
            PolicyOwner::Guardrails => Some(&self.guardrails),
            PolicyOwner::Partner(code) => self.partners.get(code),
        };
        unshown(own.into_iter().flatten(), cases)
    }

    /// The nations that the exchange would ask in these cases, and whose texts are not there.
    #[must_use]
    pub fn unasked(&self, cases: &[Case]) -> BTreeSet<PartnerCode> {
        let whole = cases.iter().filter(|case| case.alone.is_none() && case.action().is_three_sided());
        whole.flat_map(Case::nations).filter(|code| !self.partners.contains_key(code)).collect()
    }

    /// The same texts without one policy; none when there is no such policy.
    #[must_use]
    pub fn without(&self, name: &str) -> Option<Self> {
        let mut trial = self.clone();
        let found = trial.policies_mut().find(|policies| policies.iter().any(|one| one.name.to_string() == name))?;
        found.retain(|one| one.name.to_string() != name);
        Some(trial)
    }

    /// The same texts, one policy without its conditions; none when there is no such policy.
    fn unconditional(&self, name: &str) -> Option<Self> {
        let mut trial = self.clone();
        let found = trial.policies_mut().flatten().find(|one| one.name.to_string() == name)?;
        found.policy = without_conditions(&found.policy)?;
        Some(trial)
    }

    fn policies_mut(&mut self) -> impl Iterator<Item = &mut Vec<Sourced>> {
        std::iter::once(&mut self.guardrails).chain(self.partners.values_mut())
    }

    fn try_one(&self, case: &Case, engine: &Engine, bare: &mut BTreeMap<String, Option<Engine>>) -> CaseResult {
        let before = match self.decide(engine, case) {
            Ok(decision) => decision,
            Err(why) => {
                let faults = vec![CaseFault::NotAsked { why }];
                return CaseResult { standing: Standing::Hidden, decision: None, deciding: BTreeSet::new(), faults };
            }
        };
        let deciding = deciding(&before);
        let mut faults = Vec::new();
        if before.standing != case.expected {
            let why = why(&before);
            faults.push(CaseFault::Outcome { expected: case.expected, found: before.standing, why });
        }
        for policy in case.deciding.difference(&deciding).cloned() {
            faults.push(if self.has(&policy) {
                CaseFault::NotDeciding { policy, deciding: deciding.clone() }
            } else {
                CaseFault::NotGiven { policy }
            });
        }
        for policy in &case.unmet {
            let engine = bare.entry(policy.clone()).or_insert_with(|| self.unconditional(policy).map(|t| t.engine()));
            let after = engine.as_ref().map(|engine| self.decide(engine, case));
            match after {
                None => faults.push(CaseFault::NotGiven { policy: policy.clone() }),
                Some(Ok(after)) if turned(&before.steps, &after.steps) => {}
                Some(_) => faults.push(CaseFault::NoDifference { policy: policy.clone() }),
            }
        }
        CaseResult { standing: before.standing, decision: Some(before), deciding, faults }
    }

    fn decide(&self, engine: &Engine, case: &Case) -> Result<AuthorizationTrace, String> {
        let only = case.only_side(&self.owner)?;
        let resource = case.world.resource(&case.question)?;
        let is_asked = |side: &Side| match (&only, side) {
            (Some(only), side) => only == side,
            (None, Side::Guardrails) => true,
            (None, Side::Release(code) | Side::Reader(code)) => self.asks_everybody || self.partners.contains_key(code),
        };
        Ok(engine.explain_among(&case.principal, case.action(), resource, &is_asked))
    }

    fn has(&self, name: &str) -> bool {
        self.guardrails.iter().chain(self.partners.values().flatten()).any(|one| one.name.to_string() == name)
    }
}

impl fmt::Display for CaseFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outcome { expected, found, why } => write!(f, "should be {expected}, is {found}: {why}"),
            Self::NotDeciding { policy, deciding } if deciding.is_empty() => {
                write!(f, "`{policy}` does not decide, nor does any other policy")
            }
            Self::NotDeciding { policy, deciding } => {
                let deciding: Vec<&str> = deciding.iter().map(String::as_str).collect();
                write!(f, "`{policy}` does not decide, but {}", deciding.join(", "))
            }
            Self::NoDifference { policy } => {
                write!(f, "the conditions of `{policy}` make no difference: without them every side says the same")
            }
            Self::NotGiven { policy } => write!(f, "there is no policy `{policy}` in the texts that were given"),
            Self::NotAsked { why } => f.write_str(why),
        }
    }
}

impl fmt::Display for UncoveredPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Applies(policy) => write!(f, "no case is decided by `{policy}`"),
            Self::Conditions { policy, wanted } => {
                write!(f, "no {wanted} case has `{policy}` in `unmet`, so nothing shows what its conditions are for")
            }
        }
    }
}

/// A `permit` is shown by a case it decides and by a refused one that names it as `unmet`; a `forbid` the other way round.
pub(super) fn unshown<'a>(policies: impl Iterator<Item = &'a Sourced>, cases: &[Case]) -> Vec<UncoveredPolicy> {
    let named = |allows: bool, names: fn(&Case) -> &BTreeSet<String>, policy: &String| {
        cases.iter().any(|case| case.allows() == allows && names(case).contains(policy))
    };
    let mut found = Vec::new();
    for one in policies {
        let policy = one.name.to_string();
        let is_permit = one.policy.effect() == Effect::Permit;
        let has_conditions = one.policy.to_pst().is_ok_and(|pst| !pst.body().clauses().is_empty());
        if !named(is_permit, |case| &case.deciding, &policy) {
            found.push(UncoveredPolicy::Applies(policy.clone()));
        }
        if has_conditions && !named(!is_permit, |case| &case.unmet, &policy) {
            found.push(UncoveredPolicy::Conditions { policy, wanted: if is_permit { "refused" } else { "permitted" } });
        }
    }
    found
}

/// The policies behind the verdicts that made the decision what it is.
fn deciding(decision: &AuthorizationTrace) -> BTreeSet<String> {
    let permitted = decision.standing == Standing::Permitted;
    let verdicts = decision.steps.iter().flat_map(|step| &step.verdicts).filter(|one| one.permitted == permitted);
    let policies = verdicts.flat_map(|one| one.reasons.iter().filter_map(|reason| reason.policy.as_ref()));
    policies.map(ToString::to_string).collect()
}

/// The last action that was asked, and what the sides said to it.
fn why(decision: &AuthorizationTrace) -> String {
    let action = decision.steps.last().map(|step| step.action);
    let reasons = decision.reasons();
    action.map_or_else(|| reasons.to_string(), |action| format!("{action}: {reasons}"))
}

/// Whether some side's verdict on the same action differs.
fn turned(before: &[AuthorizationStep], after: &[AuthorizationStep]) -> bool {
    let verdicts = |step: &AuthorizationStep| step.verdicts.iter().map(|verdict| verdict.permitted).collect::<Vec<_>>();
    before.iter().zip(after).any(|(before, after)| verdicts(before) != verdicts(after))
}

fn without_conditions(policy: &Policy) -> Option<Policy> {
    let body = policy.to_pst().ok()?.body().clone().try_with_clauses([]).ok()?;
    Policy::from_pst(pst::Policy::Static(body.try_into().ok()?)).ok()
}
