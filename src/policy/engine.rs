//! The one function: puts an action to the sides that have a say, and draws the outcome from what they answer.
//!
//! First whether the caller may know of the thing at all, then the action itself. For a proposal's content every owner and the
//! caller's own partner are asked beside the guardrails. Nothing is permitted that some side did not permit.

use super::{
    Action, Authorization, AuthorizationStep, AuthorizationTrace, Extra, Permit, PolicyError, Side, Standing, Verdict,
    VerdictReason,
    caches::{DecisionCache, PredicateCache, SharedSets},
    entities::{RequestEntities, SchemaNames},
    facts::{MemberFacts, ProposalFacts, Resource},
    rules::{Named, PartnerRules, PolicyRequest, Ruleset, without_policies},
    source::{self, Sourced},
};
use crate::domain::{id::PartnerCode, member::PartnerRole, policy::PolicyOwner};
use cedar_policy::Authorizer;
use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// All that a relay can be permitted, whatever the guardrails in force say: those of before there were relays forbid it nothing.
const OF_RELAYS: &[Action] = &[Action::ReadDirectory, Action::ReadPolicies, Action::CountWaiting];

/// The platform's policies, checked and ready to be asked.
#[derive(Debug)]
pub struct Guardrails(Ruleset);

impl Guardrails {
    /// Reads guardrails. `place` is what errors call the text.
    ///
    /// # Errors
    /// As [`PartnerRules::parse`], and when a policy lets somebody at a proposal who has no role.
    pub fn parse(place: &str, text: &str) -> Result<Self, PolicyError> {
        Ok(Self::new(&source::parse(place, text, &PolicyOwner::Guardrails)?))
    }

    /// The same of guardrails that are to be used: those that something in this process uses already are not read again.
    ///
    /// # Errors
    /// As [`Guardrails::parse`].
    pub fn shared(place: &str, text: &str) -> Result<Arc<Self>, PolicyError> {
        static SETS: LazyLock<SharedSets<Guardrails>> = LazyLock::new(SharedSets::default);
        SETS.find_or(PolicyOwner::Guardrails, text, || Self::parse(place, text))
    }

    /// Those that this version of the program comes with.
    #[must_use]
    pub fn built_in() -> Self {
        Self::parse("guardrails", source::GUARDRAILS).expect("a test reads the guardrails that are built in")
    }

    /// None at all, which permit nobody anything.
    #[must_use]
    pub fn none() -> Self {
        Self::new(&[])
    }

    pub(super) fn new(policies: &[Sourced]) -> Self {
        Self(Ruleset::new(policies.iter()))
    }
}

/// The policies of an exchange, ready to be asked.
pub struct Engine {
    authorizer: Authorizer,
    guardrails: Arc<Guardrails>,
    partners: BTreeMap<PartnerCode, Arc<PartnerRules>>,
    /// The attributes that anybody's policies about an action name.
    named: Vec<Named>,
    predicate_cache: PredicateCache,
    decision_cache: DecisionCache,
    decisions: AtomicU64,
}

impl Engine {
    /// Puts together what was read; of two sets of one partner the later one counts.
    #[must_use]
    pub fn new(guardrails: Arc<Guardrails>, partners: impl IntoIterator<Item = Arc<PartnerRules>>) -> Self {
        let partners: BTreeMap<_, _> = partners.into_iter().map(|rules| (rules.code().clone(), rules)).collect();
        let named = Action::ALL.iter().map(|action| {
            let theirs = partners.values().flat_map(|rules| rules.named(*action));
            Named::any(theirs.chain([guardrails.0.named(*action)]))
        });
        Self {
            authorizer: Authorizer::new(),
            named: named.collect(),
            guardrails,
            partners,
            predicate_cache: PredicateCache::default(),
            decision_cache: DecisionCache::default(),
            decisions: AtomicU64::new(0),
        }
    }

    /// The same with other guardrails.
    #[must_use]
    pub fn with_guardrails(&self, guardrails: Arc<Guardrails>) -> Self {
        Self::new(guardrails, self.partners.values().cloned())
    }

    /// The same with other policies of one partner.
    #[must_use]
    pub fn with_partner(&self, rules: Arc<PartnerRules>) -> Self {
        Self::new(Arc::clone(&self.guardrails), self.partners.values().cloned().chain([rules]))
    }

    /// The partners whose policies are loaded; every other partner releases nothing and reads nothing.
    pub fn partners(&self) -> impl Iterator<Item = &PartnerCode> {
        self.partners.keys()
    }

    /// How often these policies were evaluated to decide on something. What may take no time of others is shown by it to decide nothing.
    pub fn decisions_made(&self) -> u64 {
        self.decisions.load(Ordering::Relaxed)
    }

    /// Decides whether `principal` may do `action` on `resource`.
    ///
    /// Hidden when they may not even know of the resource, denied when that is all they may, permitted otherwise. A resource
    /// that does not fit the action, or facts that cannot be decided on, are never permitted.
    pub fn authorize(&self, principal: &MemberFacts, action: Action, resource: Resource<'_>) -> Authorization {
        let decision = self.explain(principal, action, resource);
        match decision.standing {
            Standing::Permitted => Authorization::Permitted(Permit {
                action,
                principal: principal.id.clone(),
                resource: resource.id(),
                // Only what the decision was about: a subject that no policy received is left out.
                subject: matches!(action.extra(), Extra::Subject | Extra::Role)
                    .then(|| resource.subject().map(|subject| subject.id.clone()))
                    .flatten(),
                owner: (action.extra() == Extra::Owner).then(|| resource.owner().cloned()).flatten(),
            }),
            Standing::Denied => Authorization::Denied(decision.reasons()),
            Standing::Hidden => Authorization::Hidden(decision.reasons()),
        }
    }

    /// Whether `principal` may know that `resource` exists: the filter of every list and count.
    pub fn visible(&self, principal: &MemberFacts, resource: Resource<'_>) -> bool {
        let Some(view) = resource.kind().view() else { return true };
        let joined = resource.proposal().and_then(|proposal| proposal.as_joined(&principal.id));
        let resource = joined.as_ref().map_or(resource, |joined| resource.of(joined));
        let world = SchemaNames::known().world(principal, resource, &|name| self.is_named(view, name));
        world.is_ok_and(|world| self.permits(principal, view, resource, &world))
    }

    /// Which of these proposals `principal` may know of, in their order: [`Engine::visible`] for a page at a time. Decided is on those that
    /// were not decided on before from the same facts.
    pub fn visible_among(&self, principal: &MemberFacts, proposals: &[&ProposalFacts]) -> Vec<bool> {
        let known: Vec<Option<bool>> =
            proposals.iter().map(|proposal| self.known_decision(principal, Action::View, proposal)).collect();
        let open: Vec<&ProposalFacts> =
            proposals.iter().zip(&known).filter(|(_, known)| known.is_none()).map(|(proposal, _)| *proposal).collect();
        let mut decided = if open.is_empty() { Vec::new() } else { self.sees_among(principal, &open) }.into_iter();
        let each = |(proposal, known): (&&ProposalFacts, Option<bool>)| {
            known.unwrap_or_else(|| {
                let is_permitted = decided.next().unwrap_or_default();
                self.decision_cache.insert(principal, Action::View, proposal, is_permitted);
                is_permitted
            })
        };
        proposals.iter().zip(known).map(each).collect()
    }

    fn sees_among<'p>(&self, principal: &MemberFacts, proposals: &[&'p ProposalFacts]) -> Vec<bool> {
        let looks = |proposal: &&'p ProposalFacts| match proposal.as_joined(&principal.id) {
            Some(joined) => Cow::Owned(joined),
            None => Cow::Borrowed(*proposal),
        };
        let looked: Vec<Cow<'p, ProposalFacts>> = proposals.iter().map(looks).collect();
        let proposals = &looked.iter().map(|proposal| &**proposal).collect::<Vec<_>>()[..];
        let Ok(worlds) = SchemaNames::known().worlds(principal, proposals, &|name| self.is_named(Action::View, name))
        else {
            // One that cannot be decided on is no reason to hide the others.
            return proposals.iter().map(|proposal| self.visible(principal, Resource::Proposal(proposal))).collect();
        };
        let permits = |(world, proposal): (&RequestEntities, &&ProposalFacts)| {
            self.permits(principal, Action::View, Resource::Proposal(proposal), world)
        };
        worlds.iter().zip(proposals).map(permits).collect()
    }

    /// Whether `principal` may do `action` on a proposal, if that was decided before from the same facts.
    pub fn known_decision(&self, principal: &MemberFacts, action: Action, proposal: &ProposalFacts) -> Option<bool> {
        self.decision_cache.get(principal, action, proposal)
    }

    /// Whether `principal` may do `action` on a proposal, as [`Engine::authorize`] decides: remembered for those who ask the same again and
    /// again, and no permit.
    pub fn decides(&self, principal: &MemberFacts, action: Action, proposal: &ProposalFacts) -> bool {
        if let Some(known) = self.known_decision(principal, action, proposal) {
            return known;
        }
        let is_permitted =
            self.explain(principal, action, Resource::Proposal(proposal)).standing == Standing::Permitted;
        self.decision_cache.insert(principal, action, proposal, is_permitted);
        is_permitted
    }

    fn permits(
        &self,
        principal: &MemberFacts,
        action: Action,
        resource: Resource<'_>,
        world: &RequestEntities,
    ) -> bool {
        if is_kept_from(principal, action) {
            return false;
        }
        self.decisions.fetch_add(1, Ordering::Relaxed);
        let Some(request) = self.ask(action, world) else { return false };
        self.sides(principal, action, resource).all(|(_, rules)| rules.is_some_and(|rules| rules.permits(&request)))
    }

    /// Decides as [`Engine::authorize`] does, and reports what every side said and by which policies. This is the same code.
    pub fn explain(&self, principal: &MemberFacts, action: Action, resource: Resource<'_>) -> AuthorizationTrace {
        self.explain_among(principal, action, resource, &|_| true)
    }

    /// Decides as if only these sides had a say.
    // INVARIANT: for trials alone, which permit nothing: whatever makes a permit asks every side.
    pub(super) fn explain_among(
        &self,
        principal: &MemberFacts,
        action: Action,
        resource: Resource<'_>,
        is_asked: &dyn Fn(&Side) -> bool,
    ) -> AuthorizationTrace {
        self.decisions.fetch_add(1, Ordering::Relaxed);
        let refusal = if action.view().is_some() { Standing::Hidden } else { Standing::Denied };
        if !resource.fits(action) {
            return undecidable(action, refusal, &"the action cannot be asked of such a resource");
        }
        let steps = action.view().into_iter().chain([action]);
        let is_named = |name: &str| steps.clone().any(|step| self.is_named(step, name));
        // A member who is asked to join a party looks as if they had joined, and does nothing else so but answer.
        let joined = resource.proposal().and_then(|proposal| proposal.as_joined(&principal.id));
        let looked = joined.as_ref().map_or(resource, |joined| resource.of(joined));
        let mut world = match SchemaNames::known().world(principal, looked, &is_named) {
            Ok(world) => world,
            Err(error) => return undecidable(action, refusal, &error),
        };
        let mut steps = Vec::with_capacity(2);
        if let Some(view) = action.view() {
            steps.push(self.step(principal, view, resource, &world, is_asked));
            if !steps[0].permitted() {
                return AuthorizationTrace { standing: Standing::Hidden, steps };
            }
        }
        if action.view() != Some(action) {
            if joined.is_some() && !action.is_for_invited() {
                world = match SchemaNames::known().world(principal, resource, &is_named) {
                    Ok(world) => world,
                    Err(error) => return undecidable(action, Standing::Denied, &error),
                };
            }
            let step = self.step(principal, action, resource, &world, is_asked);
            let permitted = step.permitted();
            steps.push(step);
            if !permitted {
                return AuthorizationTrace { standing: Standing::Denied, steps };
            }
        }
        AuthorizationTrace { standing: Standing::Permitted, steps }
    }

    fn step(
        &self,
        principal: &MemberFacts,
        action: Action,
        resource: Resource<'_>,
        world: &RequestEntities,
        is_asked: &dyn Fn(&Side) -> bool,
    ) -> AuthorizationStep {
        let Some(request) = self.ask(action, world) else {
            return broken(action, &"the request cannot be expressed");
        };
        let verdicts = self
            .sides(principal, action, resource)
            .filter(|(side, _)| is_asked(side))
            .map(|(side, rules)| match rules {
                Some(rules) => rules.judge(&request, side),
                None => without_policies(action, side),
            })
            .collect();
        let step = AuthorizationStep { action, verdicts };
        if step.permitted() && is_kept_from(principal, action) { refused(action, FOR_RELAYS.into()) } else { step }
    }

    pub(super) fn is_named(&self, action: Action, attribute: &str) -> bool {
        self.named[action.index()].holds(attribute)
    }

    fn ask<'a>(&'a self, action: Action, world: &'a RequestEntities) -> Option<PolicyRequest<'a>> {
        let request = SchemaNames::known().request(world, action, None).ok()?;
        Some(PolicyRequest { authorizer: &self.authorizer, action, request, entities: world.entities() })
    }

    /// Who has a say in `action`: the guardrails always; for a proposal's content each owner and the caller's own partner. A side
    /// without policies has a say too, and it is no.
    fn sides<'a>(
        &'a self,
        principal: &'a MemberFacts,
        action: Action,
        resource: Resource<'a>,
    ) -> impl Iterator<Item = (Side, Option<&'a Ruleset>)> {
        let proposal = resource.proposal().filter(|_| action.is_three_sided());
        let releases = proposal.into_iter().flat_map(move |proposal| {
            proposal.parties.iter().map(move |code| {
                let rules = self.partners.get(code).and_then(|partner| partner.release_of(proposal));
                (Side::Release(code.clone()), rules)
            })
        });
        let reader = proposal.map(move |_| {
            let code = principal.id.partner();
            let rules = self.partners.get(code).and_then(|partner| partner.reader_of(principal));
            (Side::Reader(code.clone()), rules)
        });
        std::iter::once((Side::Guardrails, Some(&self.guardrails.0))).chain(releases).chain(reader)
    }

    pub(super) fn guardrails(&self) -> &Ruleset {
        &self.guardrails.0
    }

    /// Every partner's release side, for a proposal whose owners are not known yet.
    pub(super) fn releases(&self) -> impl Iterator<Item = (&PartnerCode, &Ruleset)> {
        self.partners.iter().map(|(code, rules)| (code, rules.release()))
    }

    /// The reader side that is asked about the member.
    pub(super) fn reader(&self, principal: &MemberFacts) -> Option<&Ruleset> {
        self.partners.get(principal.id.partner()).and_then(|partner| partner.reader_of(principal))
    }

    pub(super) fn predicate_cache(&self) -> &PredicateCache {
        &self.predicate_cache
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("partners", &self.partners.keys()).finish_non_exhaustive()
    }
}

/// What a relay is told that the guardrails in force would let it do.
const FOR_RELAYS: &str = "a relay asks how much waits for its nation's members, reads what every member reads (the directory, the policies in force and \
                          the log that is for all), and does nothing else";

/// Whether the member is a relay, and the action none of those that a relay can be permitted.
pub(super) fn is_kept_from(principal: &MemberFacts, action: Action) -> bool {
    principal.roles.contains(&PartnerRole::Relay) && !OF_RELAYS.contains(&action)
}

fn undecidable(action: Action, standing: Standing, why: &dyn fmt::Display) -> AuthorizationTrace {
    AuthorizationTrace { standing, steps: vec![broken(action, why)] }
}

fn broken(action: Action, why: &dyn fmt::Display) -> AuthorizationStep {
    refused(action, format!("it cannot be decided, so it is not permitted: {why}").into())
}

fn refused(action: Action, sentence: Arc<str>) -> AuthorizationStep {
    let reasons = vec![VerdictReason { side: Side::Guardrails, policy: None, sentence, text: None }];
    AuthorizationStep { action, verdicts: vec![Verdict { side: Side::Guardrails, permitted: false, reasons }] }
}
