//! Runs `policies/cases` with the code that authors try their policies with: small worlds, each with the answer it must get and
//! the policies that must be the reason. Every shipped policy that has conditions must be shown both ways.

use super::{
    Action, AuthorizationTrace, Engine, PolicyError, Standing,
    facts::{CallFacts, MemberFacts, ProposalFacts},
    source::Sourced,
    trial::{self, Case, Trial},
};
use crate::domain::{
    id::{MemberId, PartnerCode},
    policy::PolicyOwner,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

pub(super) fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")
}

/// Policies of every owner, as they were read.
#[derive(Debug, Clone)]
pub(super) struct Sources(Trial);

impl Sources {
    /// The built-in guardrails and the policies under `policies/partners`.
    pub(super) fn shipped() -> Self {
        let guardrails = super::GUARDRAILS;
        let mut sources =
            Self(Trial::new(&PolicyOwner::Guardrails, "guardrails", guardrails).unwrap().asking_everybody());
        for entry in fs::read_dir(shipped().join("partners")).unwrap() {
            let path = entry.unwrap().path();
            let code = path.file_stem().unwrap().to_str().unwrap().to_owned();
            sources.replace(&code, Some(&fs::read_to_string(&path).unwrap())).unwrap();
        }
        sources
    }

    /// Puts another text in the place of an owner's, or takes a partner's away.
    pub(super) fn replace(&mut self, owner: &str, text: Option<&str>) -> Result<(), PolicyError> {
        match text {
            Some(text) => self.0 = self.0.clone().with(&owner.parse().unwrap(), owner, text)?,
            None => drop(self.partners().remove(&owner.parse().unwrap())),
        }
        Ok(())
    }

    pub(super) fn guardrails(&mut self) -> &mut Vec<Sourced> {
        &mut self.0.guardrails
    }

    pub(super) fn partners(&mut self) -> &mut BTreeMap<PartnerCode, Vec<Sourced>> {
        &mut self.0.partners
    }

    pub(super) fn engine(&self) -> Engine {
        self.0.engine()
    }
}

/// The world that cases start from, with some facts replaced.
#[derive(Debug, Clone)]
pub(super) struct World(trial::TrialWorld);

impl World {
    pub(super) fn new() -> Self {
        Self(trial::TrialWorld::built_in())
    }

    /// Replaces facts of `program`, `call` or `proposal`.
    pub(super) fn with(self, part: &str, facts: &Value) -> Self {
        Self(self.0.with(part, facts.as_object().unwrap()).unwrap())
    }

    pub(super) fn member(&self, id: &str) -> MemberFacts {
        self.0.member(id).unwrap().clone()
    }

    pub(super) fn members(&self) -> Vec<MemberFacts> {
        self.0.members().cloned().collect()
    }

    pub(super) fn call(&self) -> CallFacts {
        (*self.0.proposal().call).clone()
    }

    pub(super) fn proposal(&self) -> ProposalFacts {
        self.0.proposal().clone()
    }
}

/// Every case, and whether it is in the folder of those that allow.
fn all() -> Vec<(bool, Case)> {
    let mut all = Vec::new();
    for (folder, allow) in [("allow", true), ("deny", false)] {
        for entry in fs::read_dir(shipped().join("cases").join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let place = format!("{folder}/{}", path.file_name().unwrap().display());
            let cases = Case::parse_all(&place, &fs::read_to_string(&path).unwrap(), &trial::TrialWorld::built_in());
            all.extend(cases.unwrap().into_iter().map(|case| (allow, case)));
        }
    }
    assert!(all.len() > 100);
    all
}

#[test]
fn every_case_is_decided_as_it_says_by_the_policies_it_names_and_for_want_of_the_conditions_it_names() {
    let (folders, cases): (Vec<bool>, Vec<Case>) = all().into_iter().unzip();
    for ((allow, case), tried) in folders.into_iter().zip(&cases).zip(Sources::shipped().0.run(&cases)) {
        let faults: Vec<String> = tried.faults.iter().map(ToString::to_string).collect();
        assert!(faults.is_empty(), "{}: {}: {}", case.place, case.name, faults.join("; "));
        assert_eq!(case.allows(), allow, "{}: {} is in the wrong folder", case.place, case.name);
    }
}

#[test]
fn trial_answers_as_the_exchange_does_and_lists_show_what_is_not_hidden() {
    let sources = Sources::shipped();
    let engine = sources.engine();
    for (_, case) in all() {
        let tried = sources.0.run(std::slice::from_ref(&case)).remove(0);
        let (standing, visible) = case.put_to(&engine);
        assert_eq!(standing, tried.standing, "{}: {}: one answer to one question", case.place, case.name);
        // Who may ask about a proposal need not see it in lists.
        let is_listed = visible == (standing != Standing::Hidden);
        assert!(is_listed || case.action() == Action::Explain, "{}: {}", case.place, case.name);
    }
}

#[test]
fn every_policy_is_shown_to_apply_and_to_hold_back() {
    let cases: Vec<Case> = all().into_iter().map(|(_, case)| case).collect();
    let mut sources = Sources::shipped();
    let mut policies = sources.guardrails().clone();
    policies.extend(sources.partners().values().flatten().cloned());
    let unshown: Vec<String> = trial::unshown(policies.iter(), &cases).iter().map(ToString::to_string).collect();
    assert!(unshown.is_empty(), "{}", unshown.join("\n"));
}

/// Members as other tests name them.
pub(super) fn members(ids: &[&str]) -> BTreeSet<MemberId> {
    ids.iter().map(|id| id.parse().unwrap()).collect()
}

/// What an action on the world's proposal comes to, with all that led to it.
pub(super) fn explain(world: &World, engine: &Engine, who: &str, action: Action) -> AuthorizationTrace {
    let proposal = world.proposal();
    engine.explain(&world.member(who), action, super::Resource::Proposal(&proposal))
}
