//! The small world that cases are tried in: a few members, one program, one call, one proposal, read from JSON.
//!
//! Everything is parsed into the facts that the exchange decides on, with the same types; what does not fit them is refused by
//! name. Knows nothing of policies.

use super::{MAX_TEXT, TrialError};
use crate::{
    domain::{
        call::{LetterAudience, Phase},
        id::{MemberId, PartnerCode, Slug},
        label::Label,
        member::{CallRole, PartnerRole},
    },
    policy::{
        Action, Extra, ResourceKind,
        facts::{CallFacts, MemberFacts, ProgramFacts, ProposalFacts, Resource},
    },
    reading,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    str::FromStr,
    sync::Arc,
};

/// The world that this version of the program comes with, as JSON.
pub const WORLD: &str = include_str!("../../../policies/cases/world.json");

/// What cases start from.
#[derive(Debug, Clone)]
pub struct TrialWorld {
    /// As it was read, so that a case can replace single facts.
    given: Map<String, Value>,
    members: BTreeMap<MemberId, MemberFacts>,
    proposal: ProposalFacts,
}

/// What is asked of a world: the action, and what the action needs with it.
#[derive(Debug, Clone)]
pub(super) struct CaseQuestion {
    pub(super) action: Action,
    pub(super) subject: Option<MemberFacts>,
    /// The party whose restricted slots are meant, or the partner something is done to.
    pub(super) partner: Option<PartnerCode>,
    /// The role in the call that the subject gains or loses.
    pub(super) role: Option<CallRole>,
}

/// Facts of a proposal that a world may leave out.
const OPTIONAL: [&str; 4] = ["invited", "topic", "releasable_to", "caveats"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWorld {
    members: BTreeMap<String, RawMember>,
    program: RawProgram,
    call: RawCall,
    proposal: RawProposal,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMember {
    organisation: String,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    host: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProgram {
    id: String,
    lead: String,
    partners: Vec<String>,
}

#[derive(Deserialize)]
struct RawCall {
    id: String,
    draft: bool,
    phase: String,
    opened: bool,
    eligible: Vec<String>,
    funders: Vec<String>,
    /// The rest: the members with each role, by its attribute, and nothing else.
    #[serde(flatten)]
    roles: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProposal {
    id: String,
    parties: Vec<String>,
    party_members: Vec<String>,
    /// Who is asked to join a party.
    #[serde(default)]
    invited: Vec<String>,
    organisations: Vec<String>,
    topic: Option<String>,
    status: String,
    conflicts: Vec<String>,
    assigned: Vec<String>,
    declared_clear: Vec<String>,
    reviewed: Vec<String>,
    decided: bool,
    /// The nations of its label beside the owners; without, it has no label.
    #[serde(default)]
    releasable_to: Option<Vec<String>>,
    #[serde(default)]
    caveats: Vec<String>,
}

impl TrialWorld {
    /// The world that the program comes with.
    #[must_use]
    pub fn built_in() -> Self {
        Self::parse("world.json", WORLD).expect("a test reads the world that is built in")
    }

    /// Reads a world. `place` is what errors call the text.
    pub fn parse(place: &str, text: &str) -> Result<Self, TrialError> {
        let fault = |what: String| {
            TrialError::new(place, None, what, "compare it with a world that holds: `entente policy world`")
        };
        if text.len() > MAX_TEXT {
            return Err(fault(format!("the world is longer than {MAX_TEXT} bytes")));
        }
        let given =
            reading::json(text.as_bytes()).map_err(|error| fault(format!("the world is malformed: {error}")))?;
        Self::from_map(given).map_err(fault)
    }

    /// The same world with facts of `program`, `call` or `proposal` replaced.
    pub(in crate::policy) fn with(&self, part: &str, facts: &Map<String, Value>) -> Result<Self, String> {
        let mut given = self.given.clone();
        let known = given.get_mut(part).and_then(Value::as_object_mut).ok_or_else(|| format!("no `{part}`"))?;
        for (name, value) in facts {
            if !known.contains_key(name) && !OPTIONAL.contains(&name.as_str()) {
                let names: Vec<&str> = known.keys().map(String::as_str).collect();
                return Err(format!("`{part}` has no fact `{name}`, but {}", names.join(", ")));
            }
            known.insert(name.clone(), value.clone());
        }
        Self::from_map(given)
    }

    /// The members, by name.
    #[cfg(test)]
    pub(in crate::policy) fn members(&self) -> impl Iterator<Item = &MemberFacts> {
        self.members.values()
    }

    /// One member.
    pub(in crate::policy) fn member(&self, id: &str) -> Result<&MemberFacts, String> {
        let id: MemberId = parse("a member", id)?;
        self.members.get(&id).ok_or_else(|| {
            let names: Vec<String> = self.members.keys().map(ToString::to_string).collect();
            format!("no member `{id}` in the world, but {}", names.join(", "))
        })
    }

    /// The one proposal.
    pub(in crate::policy) fn proposal(&self) -> &ProposalFacts {
        &self.proposal
    }

    /// The thing that a question is about.
    pub(super) fn resource<'a>(&'a self, question: &'a CaseQuestion) -> Result<Resource<'a>, String> {
        let (proposal, call) = (&self.proposal, &*self.proposal.call);
        let CaseQuestion { action, subject, partner, role } = question;
        if matches!(action.extra(), Extra::Subject | Extra::Role) && subject.is_none() {
            return Err(format!("`{action}` is done to somebody: name the member as `subject`"));
        }
        if action.extra() == Extra::Owner && partner.is_none() {
            return Err(format!("`{action}` is about one party's restricted slots: name the party as `owner`"));
        }
        Ok(match (action.kind(), subject, partner) {
            (ResourceKind::Exchange, ..) => Resource::Exchange,
            (ResourceKind::Partner, _, Some(partner)) => Resource::Partner(partner),
            (ResourceKind::Partner, ..) => {
                return Err(format!("`{action}` is done to a partner: name its code as `partner`"));
            }
            (ResourceKind::Program, ..) => Resource::Program(&call.program),
            (ResourceKind::Call, Some(subject), _) => {
                let role = role.ok_or_else(|| format!("`{action}` is about a role in the call: name it as `role`"))?;
                Resource::CallRole { call, subject, role }
            }
            (ResourceKind::Call, ..) => Resource::Call(call),
            (ResourceKind::Proposal, Some(subject), _) => Resource::ProposalMember { proposal, subject },
            (ResourceKind::Proposal, _, Some(owner)) => Resource::StaffSlots { proposal, owner },
            (ResourceKind::Proposal, ..) => Resource::Proposal(proposal),
        })
    }

    fn from_map(given: Map<String, Value>) -> Result<Self, String> {
        let raw: RawWorld =
            reading::typed(Value::Object(given.clone())).map_err(|error| format!("in the world: {error}"))?;
        let mut members = BTreeMap::new();
        for (id, raw) in raw.members {
            let id: MemberId = parse("members", &id)?;
            let roles: BTreeSet<PartnerRole> = set(&format!("roles of `{id}`"), &raw.roles)?;
            let facts = MemberFacts { id: id.clone(), organisation: raw.organisation, roles, host: raw.host };
            members.insert(id, facts);
        }
        let program = ProgramFacts {
            id: parse("program.id", &raw.program.id)?,
            lead: parse("program.lead", &raw.program.lead)?,
            partners: set("program.partners", &raw.program.partners)?,
        };
        let roles = members_by_role(raw.call.roles)?;
        let call = CallFacts {
            id: parse("call.id", &raw.call.id)?,
            program: Arc::new(program),
            draft: raw.call.draft,
            phase: phase(&raw.call.phase)?,
            opened: raw.call.opened,
            closed: false,
            letters: LetterAudience::AllParties,
            eligible: set("call.eligible", &raw.call.eligible)?,
            funders: set("call.funders", &raw.call.funders)?,
            roles,
        };
        let raw = raw.proposal;
        let proposal = ProposalFacts {
            id: parse("proposal.id", &raw.id)?,
            call: Arc::new(call),
            parties: set("proposal.parties", &raw.parties)?,
            party_members: set("proposal.party_members", &raw.party_members)?,
            invited: set("proposal.invited", &raw.invited)?,
            organisations: raw.organisations.into_iter().collect(),
            topic: raw.topic.map(|topic| parse("proposal.topic", &topic)).transpose()?,
            status: parse("proposal.status", &raw.status)?,
            conflicts: set("proposal.conflicts", &raw.conflicts)?,
            assigned: set("proposal.assigned", &raw.assigned)?,
            declared_clear: set("proposal.declared_clear", &raw.declared_clear)?,
            reviewed: set("proposal.reviewed", &raw.reviewed)?,
            decided: raw.decided,
            label: None,
        };
        let label = raw.releasable_to.map(|codes| {
            let others: BTreeSet<PartnerCode> = set("proposal.releasable_to", &codes)?;
            let caveats: BTreeSet<Slug> = set("proposal.caveats", &raw.caveats)?;
            Ok::<_, String>(Label::of(&proposal.parties, others, caveats))
        });
        let label = label.transpose()?;
        if label.is_none() && !raw.caveats.is_empty() {
            return Err(
                "in the world: caveats stand on a label; give `releasable_to` too, `[]` for the owners alone".into()
            );
        }
        let proposal = ProposalFacts { label, ..proposal };
        Ok(Self { given, members, proposal })
    }
}

/// The members with each role, from those facts of a call that no field is for.
fn members_by_role(mut facts: Map<String, Value>) -> Result<BTreeMap<CallRole, BTreeSet<MemberId>>, String> {
    let mut roles = BTreeMap::new();
    for role in CallRole::ALL {
        let name = format!("call.{}", role.attribute());
        let members = facts.remove(role.attribute()).ok_or_else(|| format!("in the world: `{name}` is missing"))?;
        let members: Vec<String> =
            reading::typed(members).map_err(|error| format!("in the world: `{name}`: {error}"))?;
        roles.insert(*role, set(&name, &members)?);
    }
    match facts.keys().next() {
        Some(unknown) => Err(format!("in the world: there is no `{unknown}` in a `call`")),
        None => Ok(roles),
    }
}

/// The phase of a call as policies see it.
fn phase(text: &str) -> Result<Phase, String> {
    match parse("call.phase", text)? {
        Phase::Closed => Err("call.phase: `closed` is `review` for policies, since closing hides nothing".to_owned()),
        phase => Ok(phase),
    }
}

/// One value, or which fact it is that does not fit.
pub(super) fn parse<T: FromStr<Err: Display>>(fact: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("{fact}: {error}"))
}

fn set<T: FromStr<Err: Display> + Ord>(fact: &str, texts: &[String]) -> Result<BTreeSet<T>, String> {
    texts.iter().map(|text| parse(fact, text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_of_a_world_names_the_members_with_each_role_and_has_no_other_fact() {
        let refused = |change: &dyn Fn(&mut Map<String, Value>)| {
            let mut world: Value = serde_json::from_str(WORLD).unwrap();
            change(world["call"].as_object_mut().unwrap());
            TrialWorld::parse("world.json", &world.to_string()).unwrap_err().to_string()
        };
        for role in CallRole::ALL {
            let name = role.attribute();
            let without = refused(&|call| drop(call.remove(name)));
            assert!(without.contains(&format!("`call.{name}` is missing")), "{without}");
            let wrong = refused(&|call| drop(call.insert(name.to_owned(), "USA:officer".into())));
            assert!(wrong.contains(&format!("`call.{name}`: wanted")), "{wrong}");
        }
        let unknown = refused(&|call| drop(call.insert("reviewer".to_owned(), Value::Bool(true))));
        assert!(unknown.contains("there is no `reviewer` in a `call`"), "{unknown}");
    }
}
