//! What the policies leave open once the member and the action are known: one [`Predicate`] over the proposal.
//!
//! The only file that uses Cedar's type-aware partial evaluation, which is experimental and moves between versions. The
//! predicate says of each proposal what [`Engine::visible`] says, errors included: a policy that errs makes its side say no.
//! So each expression is translated twice, into when it holds and into when it errs; a well-guarded policy's errors simplify
//! away. It is for filtering: the code that shows a row asks the engine about it all the same.

use super::{
    Action, Engine, Extra, ResourceKind,
    engine::is_kept_from,
    entities::SchemaNames,
    facts::MemberFacts,
    predicate::{Atom, Flag, Members, Piece, Predicate, Set, Text, Value},
    rules::Ruleset,
    small_map::SmallMap,
    source,
};
use crate::domain::{id::PartnerCode, member::CallRole};
use cedar_policy::{
    Effect, Entities, EntityTypeName, PartialEntities, PartialEntityUid, PartialRequest, Schema,
    pst::{BinaryOp, Clause, EntityUID, Expr, Literal, PatternElem, UnaryOp, Var},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

/// Why no predicate could be made. [`super::lint`] refuses such policies when they are loaded.
#[derive(Debug, thiserror::Error)]
#[error("the policies cannot be translated into a condition: {0}")]
pub struct Untranslatable(String);

impl Engine {
    /// Which proposals `principal` may do `action` on, the action of knowing about them included.
    ///
    /// # Errors
    /// For an action that is not about proposals or needs more facts, and for policies that no predicate can say.
    pub fn predicate(&self, principal: &MemberFacts, action: Action) -> Result<Arc<Predicate>, Untranslatable> {
        if let Some(known) = self.known_predicate(principal, action) {
            return Ok(known);
        }
        if action.kind() != ResourceKind::Proposal || action.extra() != Extra::None {
            return Err(Untranslatable(format!("`{action}` needs more than a proposal, so lists cannot use it")));
        }
        let steps: BTreeSet<Action> = action.view().into_iter().chain([action]).collect();
        let steps = if steps.iter().any(|step| is_kept_from(principal, *step)) {
            vec![Predicate::Const(false)]
        } else {
            steps.into_iter().map(|step| self.step_predicate(principal, step)).collect::<Result<Vec<_>, _>>()?
        };
        let predicate = Arc::new(Predicate::all(steps));
        self.predicate_cache().insert(principal, action, predicate.clone());
        Ok(predicate)
    }

    /// The same, if it was made before.
    #[must_use]
    pub fn known_predicate(&self, principal: &MemberFacts, action: Action) -> Option<Arc<Predicate>> {
        self.predicate_cache().get(principal, action)
    }

    fn step_predicate(&self, principal: &MemberFacts, action: Action) -> Result<Predicate, Untranslatable> {
        let mut rulesets = RulesetEvaluator::new(Arc::new(principal.clone()), action);
        let mut sides = vec![(*rulesets.residual(self.guardrails())?).clone()];
        if action.is_three_sided() {
            let owners: BTreeMap<&PartnerCode, &Ruleset> = self.releases().collect();
            sides.push(Atom::Within(Set::Parties, owners.keys().map(ToString::to_string).collect()).into());
            // Owners with the same release condition share it: none of them owns the proposal, or the condition holds.
            let mut alike: Vec<(Arc<Predicate>, Vec<Predicate>)> = Vec::new();
            let mut places: HashMap<Arc<Predicate>, usize> = HashMap::new();
            for (code, release) in owners {
                let owns_not = Predicate::IsNot(Atom::Contains(Set::Parties, Value::Written(code.to_string())));
                let release = rulesets.residual(release)?;
                let place = *places.entry(Arc::clone(&release)).or_insert(alike.len());
                match alike.get_mut(place) {
                    Some((_, owners)) => owners.push(owns_not),
                    None => alike.push((release, vec![owns_not])),
                }
            }
            for (release, owners) in alike {
                sides.push(Predicate::any([(*release).clone(), Predicate::all(owners)]));
            }
            let reader = self.reader(principal).map(|reader| rulesets.residual(reader)).transpose()?;
            sides.push(reader.map_or(Predicate::Const(false), |reader| (*reader).clone()));
        }
        Ok(Predicate::all(sides))
    }
}

/// Evaluates rulesets for one member and one action. The request is built for the first ruleset that is not cached.
struct RulesetEvaluator {
    principal: Arc<MemberFacts>,
    action: Action,
    request: Option<ResidualRequest>,
}

impl RulesetEvaluator {
    fn new(principal: Arc<MemberFacts>, action: Action) -> Self {
        Self { principal, action, request: None }
    }

    /// What a ruleset leaves open, cached or evaluated.
    fn residual(&mut self, rules: &Ruleset) -> Result<Arc<Predicate>, Untranslatable> {
        let cache = rules.residual_cache();
        if let Some(residual) = cache.get(&self.principal, self.action) {
            return Ok(residual);
        }
        let request = match &mut self.request {
            Some(request) => request,
            none => none.insert(ResidualRequest::new(&self.principal, self.action)?),
        };
        Ok(cache.insert(&self.principal, self.action, request.evaluate(rules)?))
    }
}

/// One member's request for one action, with the proposal unknown.
struct ResidualRequest {
    principal: String,
    action: Action,
    schema: &'static Schema,
    request: PartialRequest,
    entities: PartialEntities,
}

impl ResidualRequest {
    fn new(principal: &MemberFacts, action: Action) -> Result<Self, Untranslatable> {
        let schema = source::schema();
        let (uid, action_uid, entity) =
            SchemaNames::known().principal_and_action(principal, action).map_err(cedar_error)?;
        let kind: EntityTypeName = action.kind().as_str().parse().map_err(cedar_error)?;
        let request = PartialRequest::new(
            PartialEntityUid::from_concrete(uid),
            action_uid,
            PartialEntityUid::new(kind, None),
            Some(cedar_policy::Context::empty()),
            schema,
        )
        .map_err(cedar_error)?;
        let entities = Entities::from_entities([entity], Some(schema)).map_err(cedar_error)?;
        let entities = PartialEntities::from_concrete(entities, schema).map_err(cedar_error)?;
        Ok(Self { principal: principal.id.to_string(), action, schema, request, entities })
    }

    /// When one side permits: some permit holds, no forbid does, and none of its policies errs.
    fn evaluate(&self, rules: &Ruleset) -> Result<Predicate, Untranslatable> {
        let partial = rules.slice(self.action).tpe(&self.request, &self.entities, self.schema).map_err(cedar_error)?;
        let (mut permits, mut forbids, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        for policy in partial.policies() {
            let pst = policy.to_pst().map_err(cedar_error)?;
            let clauses = pst.body().clauses().iter().map(|clause| match clause {
                Clause::When(expr) => self.condition(expr),
                Clause::Unless(expr) => self.condition(expr).map(Truth::not),
            });
            let truth = Truth::all(clauses.collect::<Result<_, _>>()?);
            if policy.effect() == Effect::Permit { &mut permits } else { &mut forbids }.push(truth.holds);
            errors.push(truth.errs);
        }
        // Cedar returns them in no fixed order. Sorted, equal sides compare equal.
        for parts in [&mut permits, &mut forbids, &mut errors] {
            parts.sort_unstable();
        }
        let denied = Predicate::any(forbids.into_iter().chain(errors));
        Ok(Predicate::all([Predicate::any(permits), denied.negated()]))
    }

    /// When an expression of truth value holds, and when it errs.
    fn condition(&self, expr: &Expr) -> Result<Truth, Untranslatable> {
        match expr {
            Expr::Literal(Literal::Bool(value)) => Ok(Truth::known(*value)),
            Expr::UnaryOp { op: UnaryOp::Not, expr } => Ok(self.condition(expr)?.not()),
            Expr::BinaryOp { op: op @ (BinaryOp::And | BinaryOp::Or), .. } => self.joined(expr, *op),
            Expr::BinaryOp { op: BinaryOp::Eq, left, right } => self.equal(left, right),
            Expr::BinaryOp { op: BinaryOp::NotEq, left, right } => Ok(self.equal(left, right)?.not()),
            Expr::BinaryOp { op: BinaryOp::Contains, left, right } => self.contains(left, right),
            Expr::BinaryOp { op: BinaryOp::ContainsAny, left, right } => self.contains_any(expr, left, right),
            Expr::BinaryOp { op: BinaryOp::ContainsAll, left, right } => self.contains_all(expr, left, right),
            Expr::IfThenElse { cond, then_expr, else_expr } => self.either_branch(cond, then_expr, else_expr),
            Expr::Like { expr: subject, pattern } => match self.attribute_at(subject)? {
                Attribute::Text(text) => {
                    let pieces = pattern.iter().map(|piece| match piece {
                        PatternElem::Char(letter) => Piece::Letter(*letter),
                        PatternElem::Wildcard => Piece::Anything,
                    });
                    Ok(Truth::about(text, Atom::Like(text, pieces.collect())))
                }
                _ => Err(untranslatable(expr)),
            },
            Expr::Is { expr: subject, entity_type, in_expr: None } => match self.attribute_at(subject)? {
                Attribute::Entity(kind) => Ok(Truth::known(entity_type.to_string() == kind)),
                Attribute::Text(Text::Lead) => Ok(Truth::known(entity_type.to_string() == "Partner")),
                _ => Err(untranslatable(expr)),
            },
            Expr::HasAttr { .. } => self.has_attributes(expr),
            Expr::GetAttr { .. } => match self.attribute_at(expr)? {
                Attribute::Flag(flag) => Ok(Truth::of(Atom::Flag(flag))),
                _ => Err(untranslatable(expr)),
            },
            Expr::ResidualError => Ok(Truth { holds: Predicate::Const(false), errs: Predicate::Const(true) }),
            _ => Err(untranslatable(expr)),
        }
    }

    /// A chain of `&&` or of `||`.
    fn joined(&self, expr: &Expr, op: BinaryOp) -> Result<Truth, Untranslatable> {
        let mut operands = Vec::new();
        add_operands(expr, op, &mut operands);
        let truths = operands.into_iter().map(|operand| self.condition(operand)).collect::<Result<_, _>>()?;
        Ok(if op == BinaryOp::And { Truth::all(truths) } else { Truth::any(truths) })
    }

    /// `if … then … else …`. Errors of the branch not taken do not count.
    fn either_branch(&self, cond: &Expr, then: &Expr, other: &Expr) -> Result<Truth, Untranslatable> {
        let (cond, then, other) = (self.condition(cond)?, self.condition(then)?, self.condition(other)?);
        Ok(Truth {
            holds: Predicate::any([
                Predicate::all([cond.holds.clone(), then.holds]),
                Predicate::all([cond.holds.negated(), other.holds]),
            ]),
            errs: Predicate::any([
                Predicate::all([cond.holds.clone(), then.errs]),
                Predicate::all([cond.holds.negated(), other.errs]),
                cond.errs,
            ]),
        })
    }

    /// `has`, of one attribute or several in a row. Of all attributes that a proposal leads to only the topic may be absent.
    fn has_attributes(&self, expr: &Expr) -> Result<Truth, Untranslatable> {
        let Expr::HasAttr { expr: subject, attrs } = expr else { return Err(untranslatable(expr)) };
        let mut attribute = self.attribute_at(subject)?;
        let mut holds = Predicate::Const(true);
        for attr in attrs.iter() {
            let Attribute::Entity(kind) = attribute else { return Err(untranslatable(expr)) };
            attribute = attribute_named(kind, attr).ok_or_else(|| untranslatable(expr))?;
            if attribute == Attribute::Text(Text::Topic) {
                holds = Atom::HasTopic.into();
            }
        }
        Ok(Truth { holds, errs: Predicate::Const(false) })
    }

    fn equal(&self, left: &Expr, right: &Expr) -> Result<Truth, Untranslatable> {
        match (left, right) {
            (Expr::Literal(Literal::Bool(_)), _) | (_, Expr::Literal(Literal::Bool(_))) => self.equivalent(left, right),
            (Expr::Literal(left), Expr::Literal(right)) => Ok(Truth::known(left == right)),
            (Expr::Literal(_), _) => self.equal(right, left),
            (_, Expr::Literal(_)) => match self.attribute_at(left) {
                Ok(Attribute::Text(text)) => Ok(Truth::about(text, Atom::Equals(text, literal(right)?))),
                _ => Err(untranslatable(left)),
            },
            _ => match (self.attribute_at(left), self.attribute_at(right)) {
                (Ok(Attribute::Text(left)), Ok(Attribute::Text(right))) if left == right => {
                    Ok(Truth { holds: Predicate::Const(true), errs: may_lack(left) })
                }
                (Ok(Attribute::Text(left)), Ok(Attribute::Text(right))) => {
                    let errs = Predicate::any([may_lack(left), may_lack(right)]);
                    Ok(Truth { holds: Atom::Same(left, right).into(), errs })
                }
                // There is one of each kind around a proposal, and the validator holds only those of one kind together.
                (Ok(Attribute::Entity(left)), Ok(Attribute::Entity(right))) => Ok(Truth::known(left == right)),
                _ => self.equivalent(left, right),
            },
        }
    }

    /// Two conditions that are both true or both false.
    fn equivalent(&self, left: &Expr, right: &Expr) -> Result<Truth, Untranslatable> {
        let (left, right) = (self.condition(left)?, self.condition(right)?);
        Ok(Truth { holds: Predicate::same(&left.holds, &right.holds), errs: Predicate::any([left.errs, right.errs]) })
    }

    fn contains(&self, set: &Expr, value: &Expr) -> Result<Truth, Untranslatable> {
        if let Some(values) = literals(set) {
            let has = |wanted| {
                values.iter().any(|one| matches!(one, Expr::Literal(Literal::Bool(value)) if *value == wanted))
            };
            let mut found = match (has(true), has(false)) {
                (false, false) => {
                    let each = values.iter().map(|written| self.equal(value, written));
                    Truth::of_values(each.collect::<Result<_, _>>()?, Predicate::any)
                }
                (true, true) => Truth { holds: Predicate::Const(true), errs: self.condition(value)?.errs },
                (true, false) => self.condition(value)?,
                (false, true) => self.condition(value)?.not(),
            };
            // Even of no values the value is taken, and may be lacking.
            if let Ok(Attribute::Text(text)) = self.attribute_at(value) {
                found.errs = Predicate::any([found.errs, may_lack(text)]);
            }
            return Ok(found);
        }
        match (self.attribute_at(set)?, value) {
            (Attribute::Members(members), Expr::Literal(Literal::EntityUID(EntityUID { ty, eid })))
                if ty.to_string() == "Member" && *eid == self.principal =>
            {
                Ok(Truth::of(Atom::Mine(members)))
            }
            (Attribute::Set(set), Expr::Literal(_)) => {
                Ok(Truth::of(Atom::Contains(set, Value::Written(literal(value)?))))
            }
            (Attribute::Set(set), _) => match self.attribute_at(value)? {
                Attribute::Text(text) => Ok(Truth::about(text, Atom::Contains(set, Value::Of(text)))),
                _ => Err(untranslatable(value)),
            },
            _ => Err(untranslatable(set)),
        }
    }

    /// `containsAny`, of which one side is written out.
    fn contains_any(&self, expr: &Expr, left: &Expr, right: &Expr) -> Result<Truth, Untranslatable> {
        let (set, values) = match (literals(left), literals(right)) {
            (_, Some(values)) => (left, values),
            (Some(values), None) => (right, values),
            (None, None) => return Err(untranslatable(expr)),
        };
        Ok(Truth::of_values(self.each_in(set, &values)?, Predicate::any))
    }

    /// `containsAll`, of which one side is written out.
    fn contains_all(&self, expr: &Expr, left: &Expr, right: &Expr) -> Result<Truth, Untranslatable> {
        match (literals(left), literals(right)) {
            (_, Some(values)) => Ok(Truth::of_values(self.each_in(left, &values)?, Predicate::all)),
            (Some(values), None) => match self.attribute_at(right)? {
                Attribute::Set(set) => {
                    let values = values.iter().map(|value| literal(value)).collect::<Result<_, _>>()?;
                    Ok(Truth::of(Atom::Within(set, values)))
                }
                _ => Err(untranslatable(expr)),
            },
            (None, None) => Err(untranslatable(expr)),
        }
    }

    /// Of each value, that the set holds it.
    fn each_in(&self, set: &Expr, values: &[&Expr]) -> Result<Vec<Truth>, Untranslatable> {
        values.iter().map(|value| self.contains(set, value)).collect()
    }

    fn attribute_at(&self, expr: &Expr) -> Result<Attribute, Untranslatable> {
        match expr {
            Expr::Var(Var::Resource) => Ok(Attribute::Entity(self.action.kind().as_str())),
            Expr::GetAttr { expr: owner, attr } => match self.attribute_at(owner)? {
                Attribute::Entity(kind) => attribute_named(kind, attr).ok_or_else(|| untranslatable(expr)),
                _ => Err(untranslatable(expr)),
            },
            _ => Err(untranslatable(expr)),
        }
    }
}

/// An attribute, by the kind of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attribute {
    Entity(&'static str),
    Flag(Flag),
    Text(Text),
    Set(Set),
    Members(Members),
}

/// The attributes of the schema that a proposal leads to, beside those that have the members with a role in the call
/// ([`CallRole::attribute`]). What column each is, `storage::visible` knows.
const ATTRIBUTES: &[(&str, &str, Attribute)] = &[
    ("Proposal", "call", Attribute::Entity("Call")),
    ("Proposal", "parties", Attribute::Set(Set::Parties)),
    ("Proposal", "party_members", Attribute::Members(Members::PartyMembers)),
    ("Proposal", "organisations", Attribute::Set(Set::Organisations)),
    ("Proposal", "topic", Attribute::Text(Text::Topic)),
    ("Proposal", "status", Attribute::Text(Text::Status)),
    ("Proposal", "conflicts", Attribute::Members(Members::Conflicts)),
    ("Proposal", "assigned", Attribute::Members(Members::Assigned)),
    ("Proposal", "declared_clear", Attribute::Members(Members::DeclaredClear)),
    ("Proposal", "reviewed", Attribute::Members(Members::Reviewed)),
    ("Proposal", "decided", Attribute::Flag(Flag::Decided)),
    ("Proposal", "labelled", Attribute::Flag(Flag::Labelled)),
    ("Proposal", "releasable_to", Attribute::Set(Set::ReleasableTo)),
    ("Proposal", "caveats", Attribute::Set(Set::Caveats)),
    ("Call", "program", Attribute::Entity("Program")),
    ("Call", "draft", Attribute::Flag(Flag::Draft)),
    ("Call", "phase", Attribute::Text(Text::Phase)),
    ("Call", "opened", Attribute::Flag(Flag::Opened)),
    ("Call", "eligible", Attribute::Set(Set::Eligible)),
    ("Call", "funders", Attribute::Set(Set::Funders)),
    ("Call", "officer_partners", Attribute::Set(Set::OfficerPartners)),
    ("Program", "lead", Attribute::Text(Text::Lead)),
    ("Program", "partners", Attribute::Set(Set::Participants)),
];

fn attribute_named(of: &str, name: &str) -> Option<Attribute> {
    let role = || CallRole::of_attribute(name).filter(|_| of == "Call");
    let listed = ATTRIBUTES.iter().find(|(kind, attr, _)| *kind == of && *attr == name);
    listed.map(|(.., attribute)| *attribute).or_else(|| role().map(|role| Attribute::Members(Members::With(role))))
}

/// When an expression holds, and when it errs instead; where it errs, `holds` says nothing.
struct Truth {
    holds: Predicate,
    errs: Predicate,
}

impl Truth {
    fn known(value: bool) -> Self {
        Self { holds: Predicate::Const(value), errs: Predicate::Const(false) }
    }

    fn of(atom: Atom) -> Self {
        Self { holds: atom.into(), errs: Predicate::Const(false) }
    }

    /// An atom about a text that may be absent.
    fn about(text: Text, atom: Atom) -> Self {
        Self { holds: atom.into(), errs: may_lack(text) }
    }

    fn not(self) -> Self {
        Self { holds: self.holds.negated(), errs: self.errs }
    }

    /// Each counts only where those before it hold.
    fn all(each: Vec<Self>) -> Self {
        let (holds, errs): (Vec<_>, Vec<_>) = each.into_iter().map(|truth| (truth.holds, truth.errs)).unzip();
        // Where an earlier one errs in the same case, so does the whole: the first of them counts.
        let mut seen = SmallMap::new();
        seen.insert(&Predicate::Const(false), ());
        let first = errs.iter().enumerate().filter(|(_, errs)| seen.insert(*errs, ()).is_none());
        let errs = first.map(|(before, errs)| Predicate::all(holds[..before].iter().chain([errs]).cloned()));
        let errs = Predicate::any(errs.collect::<Vec<_>>());
        Self { holds: Predicate::all(holds), errs }
    }

    /// Each counts only where none before it holds.
    fn any(each: Vec<Self>) -> Self {
        Self::all(each.into_iter().map(Self::not).collect()).not()
    }

    /// Of one value compared with several, which is evaluated before any of them.
    fn of_values(each: Vec<Self>, joined: fn(Vec<Predicate>) -> Predicate) -> Self {
        let (holds, errs): (Vec<_>, Vec<_>) = each.into_iter().map(|truth| (truth.holds, truth.errs)).unzip();
        Self { holds: joined(holds), errs: Predicate::any(errs) }
    }
}

/// When taking the text is an error.
fn may_lack(text: Text) -> Predicate {
    if text == Text::Topic { Predicate::IsNot(Atom::HasTopic) } else { Predicate::Const(false) }
}

/// What is joined by one operator, however it is grouped, in order.
fn add_operands<'e>(expr: &'e Expr, of: BinaryOp, operands: &mut Vec<&'e Expr>) {
    match expr {
        Expr::BinaryOp { op, left, right } if *op == of => {
            add_operands(left, of, operands);
            add_operands(right, of, operands);
        }
        other => operands.push(other),
    }
}

/// The members of a set that is written out.
fn literals(expr: &Expr) -> Option<Vec<&Expr>> {
    let Expr::Set(values) = expr else { return None };
    values.iter().map(|value| matches!(**value, Expr::Literal(_)).then_some(&**value)).collect()
}

/// A literal as columns hold it; the validator has seen to it that like is compared with like.
fn literal(expr: &Expr) -> Result<String, Untranslatable> {
    match expr {
        Expr::Literal(Literal::String(text)) => Ok(text.to_string()),
        Expr::Literal(Literal::EntityUID(uid)) if uid.ty.to_string() == "Partner" => Ok(uid.eid.to_string()),
        _ => Err(untranslatable(expr)),
    }
}

fn untranslatable(expr: &Expr) -> Untranslatable {
    Untranslatable(format!("`{expr:?}`"))
}

fn cedar_error(error: impl fmt::Display) -> Untranslatable {
    Untranslatable(error.to_string())
}

#[cfg(test)]
mod tests;
