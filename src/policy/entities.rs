//! Facts as Cedar entities, in the shapes of `policies/schema.cedarschema`.
//!
//! Of a set of members only those are given that a policy can ask about: the caller and the subject. That keeps a decision's cost
//! independent of how many reviewers a call has, and is sound because [`super::lint`] refuses every policy that could notice.
//! Attributes that no policy names are left out altogether. Should one be asked for after all, that is an error, and an error
//! permits nothing.

use super::{
    Action, Extra, ResourceKind,
    facts::{CallFacts, MemberFacts, ProgramFacts, ProposalFacts, Resource},
};
use crate::domain::{
    call::{LetterAudience, Phase},
    id::{MemberId, PartnerCode, Slug},
    label::Label,
    member::CallRole,
    name::folded,
    proposal::Status,
};
use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression as Value, Schema,
};
use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
};

/// The schema's names, parsed once.
#[derive(Debug)]
pub(super) struct SchemaNames {
    exchange: EntityTypeName,
    partner: EntityTypeName,
    member: EntityTypeName,
    program: EntityTypeName,
    call: EntityTypeName,
    proposal: EntityTypeName,
    actions: Vec<EntityUid>,
}

/// The world of one decision.
#[derive(Debug)]
pub(super) struct RequestEntities {
    principal: EntityUid,
    resource: EntityUid,
    subject: Option<EntityUid>,
    owner: Option<EntityUid>,
    role: Option<CallRole>,
    entities: Arc<Entities>,
}

impl RequestEntities {
    pub(super) fn entities(&self) -> &Entities {
        &self.entities
    }
}

type Failure = Box<dyn std::error::Error>;

/// Whether some policy names an attribute; only named attributes are built.
pub(super) type IsNamed<'a> = &'a dyn Fn(&str) -> bool;

/// Attributes by name, each made when it is asked for.
type Attributes<'a> = &'a [(&'a str, &'a dyn Fn() -> Value)];

impl SchemaNames {
    pub(super) fn known() -> &'static Self {
        static KNOWN: LazyLock<SchemaNames> = LazyLock::new(SchemaNames::new);
        &KNOWN
    }

    fn new() -> Self {
        let name = |text: &str| text.parse::<EntityTypeName>().expect("the names below are identifiers");
        let action = name("Action");
        Self {
            exchange: name("Exchange"),
            partner: name("Partner"),
            member: name("Member"),
            program: name("Program"),
            call: name("Call"),
            proposal: name("Proposal"),
            actions: Action::ALL.iter().map(|a| uid(&action, a.as_str())).collect(),
        }
    }

    /// Builds the entities around a caller and a resource.
    pub(super) fn world(
        &self,
        principal: &MemberFacts,
        resource: Resource<'_>,
        is_named: IsNamed<'_>,
    ) -> Result<RequestEntities, Failure> {
        let subject = resource.subject();
        let who = NamedMembers { principal: &principal.id, subject: subject.map(|subject| &subject.id), is_named };
        let mut entities = vec![self.member(principal, is_named)?];
        // The same member twice would be two entities of one name; the caller's own facts count.
        if let Some(subject) = subject.filter(|subject| subject.id != principal.id) {
            entities.push(self.member(subject, is_named)?);
        }
        let resource_uid = match resource {
            Resource::Exchange => uid(&self.exchange, "exchange"),
            Resource::Partner(code) => uid(&self.partner, code.as_str()),
            Resource::Program(program) => {
                entities.push(self.program(program, is_named)?);
                uid(&self.program, &program.id.to_string())
            }
            Resource::Call(call) | Resource::CallRole { call, .. } => {
                entities.push(self.program(&call.program, is_named)?);
                entities.push(self.call(call, &who)?);
                uid(&self.call, &call.id.to_string())
            }
            Resource::Proposal(proposal)
            | Resource::StaffSlots { proposal, .. }
            | Resource::ProposalMember { proposal, .. } => {
                entities.push(self.program(&proposal.call.program, is_named)?);
                entities.push(self.call(&proposal.call, &who)?);
                entities.push(self.proposal(proposal, &who)?);
                uid(&self.proposal, &proposal.id.to_string())
            }
        };
        Ok(RequestEntities {
            principal: uid(&self.member, &principal.id.to_string()),
            resource: resource_uid,
            subject: subject.map(|subject| uid(&self.member, &subject.id.to_string())),
            owner: resource.owner().map(|owner| uid(&self.partner, owner.as_str())),
            role: resource.role(),
            entities: Arc::new(Entities::from_entities(entities, None)?),
        })
    }

    /// The worlds of many proposals in one, so that what they share is put into words once.
    pub(super) fn worlds(
        &self,
        principal: &MemberFacts,
        proposals: &[&ProposalFacts],
        is_named: IsNamed<'_>,
    ) -> Result<Vec<RequestEntities>, Failure> {
        let who = NamedMembers { principal: &principal.id, subject: None, is_named };
        let mut entities = vec![self.member(principal, is_named)?];
        // Two states of one thing would be two entities of one name, which are refused below.
        let (mut programs, mut calls): (Vec<&Arc<ProgramFacts>>, Vec<&Arc<CallFacts>>) = (Vec::new(), Vec::new());
        for proposal in proposals {
            let (call, program) = (&proposal.call, &proposal.call.program);
            if !programs.contains(&program) {
                programs.push(program);
                entities.push(self.program(program, is_named)?);
            }
            if !calls.iter().any(|known| Arc::ptr_eq(known, call)) {
                calls.push(call);
                entities.push(self.call(call, &who)?);
            }
            entities.push(self.proposal(proposal, &who)?);
        }
        let entities = Arc::new(Entities::from_entities(entities, None)?);
        let principal = uid(&self.member, &principal.id.to_string());
        let world = |proposal: &&ProposalFacts| RequestEntities {
            principal: principal.clone(),
            resource: uid(&self.proposal, &proposal.id.to_string()),
            subject: None,
            owner: None,
            role: None,
            entities: Arc::clone(&entities),
        };
        Ok(proposals.iter().map(world).collect())
    }

    /// The request for one action in a world. Against a schema it is checked too; decisions go without, since [`probe`] did so.
    pub(super) fn request(
        &self,
        world: &RequestEntities,
        action: Action,
        schema: Option<&Schema>,
    ) -> Result<Request, Failure> {
        let missing = |name: &str| format!("`{action}` needs `context.{name}`");
        let named = |name: &str, value: &Option<EntityUid>| {
            let value = value.clone().ok_or_else(|| missing(name))?;
            Ok::<_, Failure>((name.to_owned(), Value::new_entity_uid(value)))
        };
        let context = match action.extra() {
            Extra::None => Context::empty(),
            Extra::Owner => Context::from_pairs([named("owner", &world.owner)?])?,
            Extra::Subject => Context::from_pairs([named("subject", &world.subject)?])?,
            Extra::Role => {
                let role = ("role".to_owned(), word(world.role.ok_or_else(|| missing("role"))?.as_str()));
                Context::from_pairs([named("subject", &world.subject)?, role])?
            }
        };
        let (principal, resource) = (world.principal.clone(), world.resource.clone());
        Ok(Request::new(principal, self.actions[action.index()].clone(), resource, context, schema)?)
    }

    /// The principal and the action of a request whose resource is unknown.
    pub(super) fn principal_and_action(
        &self,
        principal: &MemberFacts,
        action: Action,
    ) -> Result<(EntityUid, EntityUid, Entity), Failure> {
        let who = uid(&self.member, &principal.id.to_string());
        Ok((who, self.actions[action.index()].clone(), self.member(principal, &|_| true)?))
    }

    fn member(&self, member: &MemberFacts, is_named: IsNamed<'_>) -> Result<Entity, Failure> {
        entity(
            uid(&self.member, &member.id.to_string()),
            is_named,
            &[
                ("partner", &|| self.partner_value(member.id.partner())),
                ("organisation", &|| Value::new_string(folded(&member.organisation))),
                ("roles", &|| Value::new_set(member.roles.iter().map(|role| word(role.as_str())))),
                ("host", &|| Value::new_bool(member.host)),
            ],
        )
    }

    fn program(&self, program: &ProgramFacts, is_named: IsNamed<'_>) -> Result<Entity, Failure> {
        let partners =
            || program.partners.iter().chain((!program.partners.contains(&program.lead)).then_some(&program.lead));
        entity(
            uid(&self.program, &program.id.to_string()),
            is_named,
            &[
                ("lead", &|| self.partner_value(&program.lead)),
                ("partners", &|| Value::new_set(partners().map(|code| self.partner_value(code)))),
            ],
        )
    }

    fn call(&self, call: &CallFacts, who: &NamedMembers<'_>) -> Result<Entity, Failure> {
        let officer_partners = || call.officers().iter().map(|id| id.partner().clone()).collect();
        let facts: Attributes<'_> = &[
            ("program", &|| Value::new_entity_uid(uid(&self.program, &call.program.id.to_string()))),
            ("draft", &|| Value::new_bool(call.draft)),
            ("phase", &|| word(call.phase.as_str())),
            ("opened", &|| Value::new_bool(call.opened)),
            ("eligible", &|| self.partners(&call.eligible)),
            ("funders", &|| self.partners(&call.funders)),
            ("officer_partners", &|| self.partners(&officer_partners())),
        ];
        let with = |role: CallRole| move || self.members(call.with(role), who);
        let roles: Vec<_> = CallRole::ALL.iter().map(|role| (role.attribute(), with(*role))).collect();
        let roles = roles.iter().map(|(name, members)| (*name, members as &dyn Fn() -> Value));
        let attributes: Vec<_> = facts.iter().copied().chain(roles).collect();
        entity(uid(&self.call, &call.id.to_string()), who.is_named, &attributes)
    }

    fn proposal(&self, proposal: &ProposalFacts, who: &NamedMembers<'_>) -> Result<Entity, Failure> {
        if proposal.parties.is_empty() {
            return Err("the proposal has no party".into());
        }
        let organisations = || proposal.organisations.iter().map(|name| folded(name)).filter(|name| !name.is_empty());
        let label = proposal.label.as_ref();
        let releasable_to = || label.into_iter().flat_map(|label| &label.releasable_to);
        let caveats = || label.into_iter().flat_map(|label| &label.caveats);
        let topic = || word(proposal.topic.as_ref().map_or("", Slug::as_str));
        let (all, without_topic) =
            (|name: &str| (who.is_named)(name), |name: &str| name != "topic" && (who.is_named)(name));
        entity(
            uid(&self.proposal, &proposal.id.to_string()),
            if proposal.topic.is_some() { &all } else { &without_topic },
            &[
                ("call", &|| Value::new_entity_uid(uid(&self.call, &proposal.call.id.to_string()))),
                ("parties", &|| self.partners(&proposal.parties)),
                ("party_members", &|| self.members(&proposal.party_members, who)),
                ("organisations", &|| Value::new_set(organisations().map(Value::new_string))),
                ("topic", &topic),
                ("status", &|| word(proposal.status.as_str())),
                ("conflicts", &|| self.members(&proposal.conflicts, who)),
                ("assigned", &|| self.members(&proposal.assigned, who)),
                ("declared_clear", &|| self.members(&proposal.declared_clear, who)),
                ("reviewed", &|| self.members(&proposal.reviewed, who)),
                ("decided", &|| Value::new_bool(proposal.decided)),
                ("labelled", &|| Value::new_bool(proposal.label.is_some())),
                ("releasable_to", &|| Value::new_set(releasable_to().map(|code| self.partner_value(code)))),
                ("caveats", &|| Value::new_set(caveats().map(|name| word(name.as_str())))),
            ],
        )
    }

    fn partner_value(&self, code: &PartnerCode) -> Value {
        Value::new_entity_uid(uid(&self.partner, code.as_str()))
    }

    fn partners(&self, codes: &BTreeSet<PartnerCode>) -> Value {
        Value::new_set(codes.iter().map(|code| self.partner_value(code)))
    }

    fn members(&self, set: &BTreeSet<MemberId>, who: &NamedMembers<'_>) -> Value {
        let askable = [Some(who.principal), who.subject].into_iter().flatten().filter(|member| set.contains(member));
        Value::new_set(askable.map(|member| Value::new_entity_uid(uid(&self.member, &member.to_string()))))
    }
}

/// The members a policy can ask about, and for what it asks.
struct NamedMembers<'a> {
    principal: &'a MemberId,
    subject: Option<&'a MemberId>,
    is_named: IsNamed<'a>,
}

/// Checks that the shapes built here are those of the schema, for every action: what is decided later is not checked again.
pub(super) fn probe(schema: &Schema) -> Result<(), Failure> {
    let names = SchemaNames::known();
    let one: PartnerCode = "AA".parse()?;
    let member = |handle: &str| {
        Ok::<_, Failure>(MemberFacts {
            id: MemberId::new(one.clone(), handle)?,
            organisation: "one".into(),
            roles: crate::domain::member::PartnerRole::ALL.iter().copied().collect(),
            host: true,
        })
    };
    let (caller, subject) = (member("caller")?, member("subject")?);
    let members = BTreeSet::from([caller.id.clone(), subject.id.clone()]);
    let partners = BTreeSet::from([one.clone()]);
    let nil = "00000000000000000000000000";
    let program = ProgramFacts { id: format!("prog_{nil}").parse()?, lead: one.clone(), partners: partners.clone() };
    let call = CallFacts {
        id: format!("call_{nil}").parse()?,
        program: Arc::new(program),
        draft: false,
        phase: Phase::Open,
        opened: true,
        closed: false,
        letters: LetterAudience::AllParties,
        eligible: partners.clone(),
        funders: partners.clone(),
        roles: CallFacts::roles_by(|_| members.clone()),
    };
    let proposal = ProposalFacts {
        id: format!("prop_{nil}").parse()?,
        call: Arc::new(call.clone()),
        parties: partners,
        party_members: members.clone(),
        invited: BTreeSet::new(),
        organisations: BTreeSet::from(["one".to_owned()]),
        topic: Some("topic".parse()?),
        status: Status::Submitted,
        conflicts: members.clone(),
        assigned: members.clone(),
        declared_clear: members.clone(),
        reviewed: members,
        decided: true,
        label: Some(Label {
            releasable_to: BTreeSet::from([one.clone()]),
            caveats: BTreeSet::from(["caveat".parse()?]),
        }),
    };
    for action in Action::ALL {
        let resource = match (action.kind(), action.extra()) {
            (ResourceKind::Exchange, _) => Resource::Exchange,
            (ResourceKind::Partner, _) => Resource::Partner(&one),
            (ResourceKind::Program, _) => Resource::Program(&call.program),
            (ResourceKind::Call, _) => Resource::CallRole { call: &call, subject: &subject, role: CallRole::Decider },
            (ResourceKind::Proposal, Extra::Owner) => Resource::StaffSlots { proposal: &proposal, owner: &one },
            (ResourceKind::Proposal, _) => Resource::ProposalMember { proposal: &proposal, subject: &subject },
        };
        let world = names.world(&caller, resource, &|_| true)?;
        Entities::from_entities(world.entities.iter().cloned(), Some(schema))?;
        names.request(&world, *action, Some(schema))?;
    }
    Ok(())
}

fn entity(uid: EntityUid, is_named: IsNamed<'_>, attributes: Attributes<'_>) -> Result<Entity, Failure> {
    let named = attributes.iter().filter(|(name, _)| is_named(name)).map(|(name, value)| ((*name).to_owned(), value()));
    Ok(Entity::new_with_tags(uid, named, [], [])?)
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

fn word(text: &str) -> Value {
    Value::new_string(text.to_owned())
}
