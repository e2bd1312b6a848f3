//! Runs `policies/cases`: small worlds, each with the answer it must get and the policies that must be the reason.
//!
//! A case starts from `world.json` and replaces some facts. `deciding` names policies that decide it. `unmet` names policies
//! whose conditions do not hold in it and matter: without its conditions the policy would turn its side's verdict around. Every
//! policy that has conditions must be shown both ways.

use super::{
    Action, Decision, Engine, GUARDRAILS, Guardrails, PartnerRules, PolicyError, Standing, Step,
    facts::{CallFacts, MemberFacts, ProgramFacts, ProposalFacts, Resource},
    source::{self, Sourced},
};
use crate::domain::{
    id::{MemberId, PartnerCode},
    policy::PolicyOwner,
};
use cedar_policy::{Effect, Policy};
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

pub(super) fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")
}

/// Policies of every owner, as they were read.
#[derive(Debug, Clone)]
pub(super) struct Sources {
    pub(super) guardrails: Vec<Sourced>,
    pub(super) partners: BTreeMap<PartnerCode, Vec<Sourced>>,
}

impl Sources {
    /// The built-in guardrails and the policies under `policies/partners`.
    pub(super) fn shipped() -> Self {
        let guardrails = source::parse("guardrails", GUARDRAILS, &PolicyOwner::Guardrails).unwrap();
        let mut sources = Self { guardrails, partners: BTreeMap::new() };
        for entry in fs::read_dir(shipped().join("partners")).unwrap() {
            let path = entry.unwrap().path();
            let code = path.file_stem().unwrap().to_str().unwrap().to_owned();
            sources.replace(&code, Some(&fs::read_to_string(&path).unwrap())).unwrap();
        }
        sources
    }

    /// Puts another text in the place of an owner's, or takes a partner's away.
    pub(super) fn replace(&mut self, owner: &str, text: Option<&str>) -> Result<(), PolicyError> {
        let parsed: PolicyOwner = owner.parse().unwrap();
        let policies = text.map(|text| source::parse(owner, text, &parsed)).transpose()?;
        match (parsed, policies) {
            (PolicyOwner::Guardrails, policies) => self.guardrails = policies.unwrap_or_default(),
            (PolicyOwner::Partner(code), Some(policies)) => drop(self.partners.insert(code, policies)),
            (PolicyOwner::Partner(code), None) => drop(self.partners.remove(&code)),
        }
        Ok(())
    }

    pub(super) fn engine(&self) -> Engine {
        let rules =
            |(code, policies): (&PartnerCode, &Vec<Sourced>)| Arc::new(PartnerRules::new(code.clone(), policies));
        Engine::new(Arc::new(Guardrails::new(&self.guardrails)), self.partners.iter().map(rules))
    }
}

/// The world that cases start from, with some facts replaced.
#[derive(Debug, Clone)]
pub(super) struct World(Value);

impl World {
    pub(super) fn new() -> Self {
        Self(json(&shipped().join("cases/world.json")))
    }

    /// Replaces facts of `program`, `call` or `proposal`.
    pub(super) fn with(mut self, part: &str, facts: &Value) -> Self {
        let known = self.0[part].as_object_mut().unwrap();
        for (name, value) in facts.as_object().unwrap() {
            assert!(known.contains_key(name), "`{part}` has no fact `{name}`");
            known.insert(name.clone(), value.clone());
        }
        self
    }

    pub(super) fn member(&self, id: &str) -> MemberFacts {
        let facts = self.0["members"].get(id).unwrap_or_else(|| panic!("no member `{id}` in the world"));
        MemberFacts {
            id: id.parse().unwrap(),
            organisation: text(&facts["organisation"]).to_owned(),
            roles: facts.get("roles").map(set).unwrap_or_default(),
            host: facts.get("host").is_some(),
        }
    }

    pub(super) fn members(&self) -> Vec<MemberFacts> {
        self.0["members"].as_object().unwrap().keys().map(|id| self.member(id)).collect()
    }

    pub(super) fn program(&self) -> ProgramFacts {
        let facts = &self.0["program"];
        ProgramFacts { id: parse(&facts["id"]), lead: parse(&facts["lead"]), partners: set(&facts["partners"]) }
    }

    pub(super) fn call(&self) -> CallFacts {
        let facts = &self.0["call"];
        CallFacts {
            id: parse(&facts["id"]),
            program: Arc::new(self.program()),
            draft: facts["draft"].as_bool().unwrap(),
            phase: parse(&facts["phase"]),
            opened: facts["opened"].as_bool().unwrap(),
            eligible: set(&facts["eligible"]),
            funders: set(&facts["funders"]),
            officers: set(&facts["officers"]),
            reviewers: set(&facts["reviewers"]),
            deciders: set(&facts["deciders"]),
            observers: set(&facts["observers"]),
        }
    }

    pub(super) fn proposal(&self) -> ProposalFacts {
        let facts = &self.0["proposal"];
        ProposalFacts {
            id: parse(&facts["id"]),
            call: Arc::new(self.call()),
            parties: set(&facts["parties"]),
            party_members: set(&facts["party_members"]),
            organisations: set(&facts["organisations"]),
            topic: (!facts["topic"].is_null()).then(|| parse(&facts["topic"])),
            status: parse(&facts["status"]),
            conflicts: set(&facts["conflicts"]),
            assigned: set(&facts["assigned"]),
            declared_clear: set(&facts["declared_clear"]),
            reviewed: set(&facts["reviewed"]),
            decided: facts["decided"].as_bool().unwrap(),
        }
    }

    /// Asks for `action` on this world's thing of the right kind, with `subject` or `owner` where one is told.
    pub(super) fn explain(&self, engine: &Engine, who: &str, action: Action, extra: &Map<String, Value>) -> Decision {
        let (program, call, proposal) = (self.program(), self.call(), self.proposal());
        let subject = extra.get("subject").map(|id| self.member(text(id)));
        let partner: Option<PartnerCode> = extra.get("owner").or(extra.get("partner")).map(parse);
        let resource = match (action.kind(), &subject, &partner) {
            (super::ResourceKind::Exchange, ..) => Resource::Exchange,
            (super::ResourceKind::Partner, _, Some(partner)) => Resource::Partner(partner),
            (super::ResourceKind::Partner, ..) => panic!("`{action}` needs a `partner`"),
            (super::ResourceKind::Program, ..) => Resource::Program(&program),
            (super::ResourceKind::Call, Some(subject), _) => {
                Resource::CallRole { call: &call, subject, role: parse(&extra["role"]) }
            }
            (super::ResourceKind::Call, ..) => Resource::Call(&call),
            (super::ResourceKind::Proposal, Some(subject), _) => {
                Resource::ProposalMember { proposal: &proposal, subject }
            }
            (super::ResourceKind::Proposal, _, Some(owner)) => Resource::StaffSlots { proposal: &proposal, owner },
            (super::ResourceKind::Proposal, ..) => Resource::Proposal(&proposal),
        };
        let principal = self.member(who);
        let decision = engine.explain(&principal, action, resource);
        assert_eq!(
            engine.authorize(&principal, action, resource).standing(),
            decision.standing,
            "one answer to one question"
        );
        // Who may ask about a proposal need not see it in lists.
        assert!(
            action == Action::Explain
                || engine.visible(&principal, resource) == (decision.standing != Standing::Hidden),
            "lists show what is not hidden"
        );
        decision
    }
}

/// One case.
struct Case {
    name: String,
    allow: bool,
    facts: Map<String, Value>,
}

impl Case {
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for (folder, allow) in [("allow", true), ("deny", false)] {
            for entry in fs::read_dir(shipped().join("cases").join(folder)).unwrap() {
                let path = entry.unwrap().path();
                for facts in json(&path).as_array().unwrap() {
                    let facts = facts.as_object().unwrap().clone();
                    for key in facts.keys() {
                        let known = "name reason principal action program call proposal owner subject role partner outcome deciding unmet";
                        assert!(known.split(' ').any(|name| name == key), "{}: unknown key `{key}`", path.display());
                    }
                    assert!(!text(&facts["reason"]).is_empty(), "a case names its reason");
                    let file = path.file_stem().unwrap().to_string_lossy();
                    all.push(Self { name: format!("{folder}/{file}/{}", text(&facts["name"])), allow, facts });
                }
            }
        }
        assert!(!all.is_empty());
        all
    }

    fn decide(&self, engine: &Engine) -> Decision {
        let mut world = World::new();
        for part in ["program", "call", "proposal"] {
            if let Some(facts) = self.facts.get(part) {
                world = world.with(part, facts);
            }
        }
        world.explain(engine, text(&self.facts["principal"]), self.action(), &self.facts)
    }

    fn action(&self) -> Action {
        let name = text(&self.facts["action"]);
        *Action::ALL.iter().find(|action| action.as_str() == name).unwrap_or_else(|| panic!("no action `{name}`"))
    }

    fn policies(&self, key: &str) -> BTreeSet<String> {
        self.facts.get(key).map(set).unwrap_or_default()
    }
}

#[test]
fn every_case_is_decided_as_it_says_and_by_the_policies_it_names() {
    let engine = Sources::shipped().engine();
    for case in Case::all() {
        let decision = case.decide(&engine);
        assert_eq!(
            decision.standing.to_string(),
            text(&case.facts["outcome"]),
            "{}: {}",
            case.name,
            decision.reasons()
        );
        assert_eq!(decision.standing == Standing::Permitted, case.allow, "{} is in the wrong folder", case.name);
        let deciding: BTreeSet<String> = decision
            .steps
            .iter()
            .flat_map(|step| &step.verdicts)
            .filter(|verdict| verdict.permitted == case.allow)
            .flat_map(|verdict| verdict.reasons.iter().filter_map(|reason| reason.policy.as_ref()))
            .map(ToString::to_string)
            .collect();
        let missing: Vec<_> = case.policies("deciding").difference(&deciding).cloned().collect();
        assert!(missing.is_empty(), "{}: {missing:?} do not decide, but {deciding:?}", case.name);
    }
}

#[test]
fn conditions_named_as_unmet_are_what_makes_the_difference() {
    let sources = Sources::shipped();
    let engine = sources.engine();
    for case in Case::all() {
        let before = case.decide(&engine);
        for name in case.policies("unmet") {
            let after = case.decide(&unconditional(&sources, &name).engine());
            assert!(
                turned(&before.steps, &after.steps),
                "{}: the conditions of `{name}` make no difference",
                case.name
            );
        }
    }
}

#[test]
fn every_policy_is_shown_to_apply_and_to_hold_back() {
    let sources = Sources::shipped();
    let named = |allow: bool, key: &str| -> BTreeSet<String> {
        Case::all().iter().filter(|case| case.allow == allow).flat_map(|case| case.policies(key)).collect()
    };
    let (permits, forbids) = (named(true, "deciding"), named(false, "deciding"));
    let (withheld, spared) = (named(false, "unmet"), named(true, "unmet"));
    for sourced in all(&sources) {
        let name = sourced.name.to_string();
        let unconditional = sourced.policy.to_pst().unwrap().body().clauses().is_empty();
        let (applies, holds_back) = match sourced.policy.effect() {
            Effect::Permit => (permits.contains(&name), withheld.contains(&name)),
            Effect::Forbid => (forbids.contains(&name), spared.contains(&name)),
        };
        assert!(applies, "no case is decided by `{name}`");
        assert!(holds_back || unconditional, "no case shows what the conditions of `{name}` are for");
    }
}

fn all(sources: &Sources) -> impl Iterator<Item = &Sourced> {
    sources.guardrails.iter().chain(sources.partners.values().flatten())
}

/// Whether some side's verdict on the same action differs.
fn turned(before: &[Step], after: &[Step]) -> bool {
    let verdicts = |step: &Step| step.verdicts.iter().map(|verdict| verdict.permitted).collect::<Vec<_>>();
    before.iter().zip(after).any(|(before, after)| verdicts(before) != verdicts(after))
}

/// The same policies, but one without its conditions.
fn unconditional(sources: &Sources, name: &str) -> Sources {
    let mut sources = sources.clone();
    let found = sources
        .guardrails
        .iter_mut()
        .chain(sources.partners.values_mut().flatten())
        .find(|sourced| sourced.name.to_string() == name)
        .unwrap_or_else(|| panic!("no policy `{name}`"));
    let text = found.policy.to_cedar().unwrap();
    let start = text.find("\npermit(").or_else(|| text.find("\nforbid(")).unwrap();
    let end = start
        + text[start..]
            .find(")\nwhen")
            .or_else(|| text[start..].find(") when"))
            .or_else(|| text[start..].find(")\nunless"))
            .unwrap();
    found.policy = Policy::parse(Some(found.policy.id().clone()), format!("{});", &text[..end])).unwrap();
    sources
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap())
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn parse<T: FromStr>(value: &Value) -> T
where
    T::Err: std::fmt::Debug,
{
    text(value).parse().unwrap()
}

fn set<T: FromStr + Ord>(value: &Value) -> BTreeSet<T>
where
    T::Err: std::fmt::Debug,
{
    value.as_array().unwrap().iter().map(parse).collect()
}

/// Members as other tests name them.
pub(super) fn members(ids: &[&str]) -> BTreeSet<MemberId> {
    ids.iter().map(|id| id.parse().unwrap()).collect()
}
