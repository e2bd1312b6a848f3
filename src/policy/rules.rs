//! Sets of policies ready to be asked, and who may be asked about what.
//!
//! A partner's policies are private to [`PartnerRules`]: its release side is handed out only for a proposal the partner owns,
//! its reader side only for a member of the partner. So one partner's policies can never widen, nor narrow, what another's say.

use super::{
    Action, PolicyName, Side, Verdict, VerdictReason,
    caches::{ResidualCache, SharedSets},
    facts::{MemberFacts, ProposalFacts},
    source::{self, PartnerSide, PolicyError, Sourced},
};
use crate::domain::{id::PartnerCode, policy::PolicyOwner};
use cedar_policy::{
    ActionConstraint, Authorizer, Decision, Entities, Policy, PolicyId, PolicySet, Request, ResourceConstraint, pst,
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, LazyLock},
};

/// Policies, cut by the action they apply to so that a decision looks at those few alone.
#[derive(Debug)]
pub(super) struct Ruleset {
    by_action: Vec<PolicySet>,
    named: Vec<Named>,
    words: HashMap<PolicyId, Words>,
    residual_cache: ResidualCache,
}

/// The attributes that policies name, of whatever kind of thing; `None` when that cannot be found out.
#[derive(Debug, Clone)]
pub(super) struct Named(Option<BTreeSet<String>>);

impl Named {
    fn of(policy: &Policy) -> Self {
        let mut names = BTreeSet::new();
        let Ok(pst) = policy.to_pst() else { return Self(None) };
        let mut clauses = pst.body().clauses().iter().map(|clause| match clause {
            pst::Clause::When(expr) | pst::Clause::Unless(expr) => expr,
        });
        let are_known = clauses.all(|clause| name(clause, &mut names).is_some());
        Self(are_known.then_some(names))
    }

    /// What any of them name.
    pub(super) fn any<'a>(all: impl Iterator<Item = &'a Self>) -> Self {
        let mut names = BTreeSet::new();
        for one in all {
            let Some(more) = &one.0 else { return Self(None) };
            names.extend(more.iter().cloned());
        }
        Self(Some(names))
    }

    pub(super) fn holds(&self, attribute: &str) -> bool {
        self.0.as_ref().is_none_or(|names| names.contains(attribute))
    }
}

/// Adds what an expression names; nothing if it is of a kind that [`super::lint`] refuses anyway.
fn name(expr: &pst::Expr, names: &mut BTreeSet<String>) -> Option<()> {
    use pst::Expr;
    match expr {
        Expr::Literal(_) | Expr::Var(_) => {}
        Expr::UnaryOp { expr, .. } | Expr::Like { expr, .. } | Expr::Is { expr, in_expr: None, .. } => {
            name(expr, names)?;
        }
        Expr::BinaryOp { left, right, .. } => {
            name(left, names)?;
            name(right, names)?;
        }
        Expr::GetAttr { expr, attr } => {
            name(expr, names)?;
            names.insert(attr.to_string());
        }
        Expr::HasAttr { expr, attrs } => {
            name(expr, names)?;
            names.extend(attrs.iter().map(ToString::to_string));
        }
        Expr::IfThenElse { cond, then_expr, else_expr } => {
            name(cond, names)?;
            name(then_expr, names)?;
            name(else_expr, names)?;
        }
        Expr::Set(members) => {
            for member in members {
                name(member, names)?;
            }
        }
        _ => return None,
    }
    Some(())
}

/// What an explanation says of a policy.
#[derive(Debug, Clone)]
struct Words {
    name: PolicyName,
    sentence: Arc<str>,
    text: Arc<str>,
}

impl Ruleset {
    pub(super) fn new<'a>(policies: impl Iterator<Item = &'a Sourced> + Clone) -> Self {
        let lean: Vec<(&Sourced, Policy, Named)> =
            policies.clone().map(|sourced| (sourced, lean(&sourced.policy), Named::of(&sourced.policy))).collect();
        let (by_action, named) = Action::ALL
            .iter()
            .map(|action| {
                let applicable = lean.iter().filter(|(sourced, ..)| applies(sourced, *action));
                let set = PolicySet::from_policies(applicable.clone().map(|(_, policy, _)| policy.clone()))
                    .expect("identifiers were found to be unique within the file");
                (set, Named::any(applicable.map(|(.., named)| named)))
            })
            .unzip();
        let words = policies
            .map(|sourced| {
                let Sourced { name, sentence, text, .. } = sourced.clone();
                (sourced.policy.id().clone(), Words { name, sentence, text })
            })
            .collect();
        Self { by_action, named, words, residual_cache: ResidualCache::default() }
    }

    /// Whether the policies let the request through. An error in any of them means no: Cedar would skip the policy, and a
    /// skipped `forbid` would permit.
    pub(super) fn permits(&self, request: &PolicyRequest<'_>) -> bool {
        let response = request.authorizer.is_authorized(
            &request.request,
            &self.by_action[request.action.index()],
            request.entities,
        );
        response.decision() == Decision::Allow && response.diagnostics().errors().next().is_none()
    }

    /// The same, with the policies that decided.
    pub(super) fn judge(&self, request: &PolicyRequest<'_>, side: Side) -> Verdict {
        let response = request.authorizer.is_authorized(
            &request.request,
            &self.by_action[request.action.index()],
            request.entities,
        );
        let diagnostics = response.diagnostics();
        let mut reasons: Vec<VerdictReason> = diagnostics
            .errors()
            .map(|error| {
                let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
                let words = self.words.get(error.policy_id());
                let (policy, text) = words.map(|words| (words.name.clone(), words.text.clone())).unzip();
                let sentence = format!("a policy could not be evaluated, so nothing is permitted: {}", error.inner());
                VerdictReason { side: side.clone(), policy, sentence: sentence.into(), text }
            })
            .collect();
        let permitted = response.decision() == Decision::Allow && reasons.is_empty();
        if permitted || response.decision() == Decision::Deny {
            let mut deciding: Vec<VerdictReason> = diagnostics
                .reason()
                .filter_map(|id| self.words.get(id))
                .map(|words| VerdictReason {
                    side: side.clone(),
                    policy: Some(words.name.clone()),
                    sentence: words.sentence.clone(),
                    text: Some(words.text.clone()),
                })
                .collect();
            // Cedar gives them in no order; people and tests want one.
            deciding.sort_by(|a, b| a.policy.cmp(&b.policy));
            reasons.append(&mut deciding);
        }
        if reasons.is_empty() {
            reasons.push(unpermitted(request.action, side.clone()));
        }
        Verdict { side, permitted, reasons }
    }

    /// The attributes that the policies about an action name.
    pub(super) fn named(&self, action: Action) -> &Named {
        &self.named[action.index()]
    }

    /// Caches what they leave open.
    pub(super) fn residual_cache(&self) -> &ResidualCache {
        &self.residual_cache
    }

    /// The policies that apply to an action.
    pub(super) fn slice(&self, action: Action) -> &PolicySet {
        &self.by_action[action.index()]
    }
}

/// A request on its way past the sides.
pub(super) struct PolicyRequest<'a> {
    pub(super) authorizer: &'a Authorizer,
    pub(super) action: Action,
    pub(super) request: Request,
    pub(super) entities: &'a Entities,
}

/// One partner's policies, checked and ready to be asked.
#[derive(Debug)]
pub struct PartnerRules {
    code: PartnerCode,
    release: Ruleset,
    reader: Ruleset,
}

impl PartnerRules {
    /// Reads a partner's policies. `place` is what errors call the text.
    ///
    /// # Errors
    /// When a policy is malformed, invalid under the schema, lacks an annotation or uses what no database could answer, with the
    /// line and the remedy.
    pub fn parse(place: &str, code: &PartnerCode, text: &str) -> Result<Self, PolicyError> {
        let policies = source::parse(place, text, &PolicyOwner::Partner(code.clone()))?;
        Ok(Self::new(code.clone(), &policies))
    }

    /// The same of policies that are to be used: those that something in this process uses already are not read again.
    ///
    /// # Errors
    /// As [`PartnerRules::parse`].
    pub fn shared(place: &str, code: &PartnerCode, text: &str) -> Result<Arc<Self>, PolicyError> {
        static SETS: LazyLock<SharedSets<PartnerRules>> = LazyLock::new(SharedSets::default);
        SETS.find_or(PolicyOwner::Partner(code.clone()), text, || Self::parse(place, code, text))
    }

    /// Whose they are.
    #[must_use]
    pub fn code(&self) -> &PartnerCode {
        &self.code
    }

    pub(super) fn new(code: PartnerCode, policies: &[Sourced]) -> Self {
        let on = |side| Ruleset::new(policies.iter().filter(move |sourced| sourced.side == Some(side)));
        Self { code, release: on(PartnerSide::Release), reader: on(PartnerSide::Reader) }
    }

    /// The attributes that either side's policies about an action name.
    pub(super) fn named(&self, action: Action) -> [&Named; 2] {
        [self.release.named(action), self.reader.named(action)]
    }

    /// Who may have the partner's proposals, for callers who then ask whether the partner owns the one in question.
    pub(super) fn release(&self) -> &Ruleset {
        &self.release
    }

    /// Who may have the proposal, if the partner owns it.
    pub(super) fn release_of(&self, proposal: &ProposalFacts) -> Option<&Ruleset> {
        proposal.parties.contains(&self.code).then_some(&self.release)
    }

    /// What the member may have, if they are the partner's.
    pub(super) fn reader_of(&self, member: &MemberFacts) -> Option<&Ruleset> {
        (*member.id.partner() == self.code).then_some(&self.reader)
    }
}

/// The verdict of a side that has no policies at all.
pub(super) fn without_policies(action: Action, side: Side) -> Verdict {
    Verdict { permitted: false, reasons: vec![unpermitted(action, side.clone())], side }
}

fn unpermitted(action: Action, side: Side) -> VerdictReason {
    let sentence = match &side {
        Side::Guardrails => format!("no guardrail permits {action} in this role or at this time"),
        Side::Release(code) => format!("no policy of {code} releases this to the caller for {action}"),
        Side::Reader(code) => format!("no policy of {code} lets this member of its own have it for {action}"),
    };
    VerdictReason { side, policy: None, sentence: sentence.into(), text: None }
}

/// Whether a policy's scope admits the action and the kind of thing the action is done on.
fn applies(sourced: &Sourced, action: Action) -> bool {
    let about = match sourced.policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(only) => only.id().unescaped() == action.as_str(),
        ActionConstraint::In(some) => some.iter().any(|one| one.id().unescaped() == action.as_str()),
    };
    about
        && match sourced.policy.resource_constraint() {
            ResourceConstraint::Is(kind) => kind.to_string() == action.kind().as_str(),
            _ => true,
        }
}

/// The policy without what its place in a slice says already, and without the source positions that Cedar would carry along
/// through every step of an evaluation. Unoptimised, this halved the cost of a decision.
fn lean(policy: &Policy) -> Policy {
    let rebuilt = || {
        let mut body = policy.to_pst().ok()?.body().clone();
        body.action = pst::ActionConstraint::Any;
        if matches!(body.resource, pst::ResourceConstraint::Is(_)) {
            body.resource = pst::ResourceConstraint::Any;
        }
        body.annotations.clear();
        Policy::from_pst(pst::Policy::Static(body.try_into().ok()?)).ok()
    };
    rebuilt().unwrap_or_else(|| policy.clone())
}
