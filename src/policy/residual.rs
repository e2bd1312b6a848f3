//! What the policies leave open once the member and the action are known: one [`Predicate`] over the proposal.
//!
//! The only file that uses Cedar's type-aware partial evaluation, which is experimental and moves between versions. The
//! predicate says of each proposal what [`Engine::visible`] says, errors included: a policy that errs makes its side say no.
//! So each expression is translated twice, into when it holds and into when it errs; a well-guarded policy's errors simplify
//! away. It is for filtering: whoever shows a row asks the engine about it all the same.

use super::{
    Action, Engine, Extra, ResourceKind,
    facts::MemberFacts,
    predicate::{Atom, Flag, Members, Piece, Predicate, Set, Text, Value},
    rules::Ruleset,
    source,
};
use crate::domain::id::{MemberId, PartnerCode};
use cedar_policy::{
    Effect, Entities, EntityTypeName, PartialEntities, PartialEntityUid, PartialRequest, Schema,
    pst::{BinaryOp, Clause, EntityUID, Expr, Literal, PatternElem, UnaryOp, Var},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// Why no predicate could be made. [`super::lint`] refuses such policies when they are loaded.
#[derive(Debug, thiserror::Error)]
#[error("the policies cannot be put as a predicate: {0}")]
pub struct Untranslatable(String);

/// For whom and for what a predicate was made, and the facts it was made of.
type Kept = HashMap<(MemberId, Action), (MemberFacts, Arc<Predicate>)>;

/// Predicates already made. They belong to one engine, and so to one version of the policies.
#[derive(Debug, Default)]
pub(super) struct Made(Mutex<Kept>);

/// What one set of policies was found to leave open, for whom and for what. It belongs to a text, and so outlives the engines of
/// which the text is a part: when one nation's policies change, the others' need not be asked anew.
#[derive(Debug, Default)]
pub(super) struct Left(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    left: HashMap<(MemberId, Action), (Arc<MemberFacts>, Arc<Predicate>)>,
    /// Each once, for policies leave the same open for most members.
    distinct: HashSet<Arc<Predicate>>,
}

impl Left {
    fn get(&self, principal: &MemberFacts, action: Action) -> Option<Arc<Predicate>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (facts, left) = known.left.get(&(principal.id.clone(), action))?;
        (**facts == *principal).then(|| Arc::clone(left))
    }

    fn keep(&self, principal: &Arc<MemberFacts>, action: Action, left: Predicate) -> Arc<Predicate> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.left.len() >= REMEMBERED {
            *known = Known::default();
        }
        let left = known.distinct.get(&left).cloned().unwrap_or_else(|| Arc::new(left));
        known.distinct.insert(Arc::clone(&left));
        known.left.insert((principal.id.clone(), action), (Arc::clone(principal), Arc::clone(&left)));
        left
    }
}

/// How many members' predicates are remembered before all are forgotten.
const REMEMBERED: usize = 4096;

impl Engine {
    /// Which proposals `principal` may do `action` on, the action of knowing about them included.
    ///
    /// # Errors
    /// For an action that is not about proposals or has to be told more, and for policies that no predicate can say.
    pub fn predicate(&self, principal: &MemberFacts, action: Action) -> Result<Arc<Predicate>, Untranslatable> {
        let key = (principal.id.clone(), action);
        if let Some((facts, made)) = self.made().0.lock().unwrap_or_else(PoisonError::into_inner).get(&key)
            && facts == principal
        {
            return Ok(made.clone());
        }
        if action.kind() != ResourceKind::Proposal || action.extra() != Extra::None {
            return Err(Untranslatable(format!("`{action}` cannot be asked of proposals without more being told")));
        }
        let steps: BTreeSet<Action> = action.view().into_iter().chain([action]).collect();
        let steps =
            steps.into_iter().map(|step| self.step_predicate(principal, step)).collect::<Result<Vec<_>, _>>()?;
        let made = Arc::new(Predicate::all(steps));
        let mut all = self.made().0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED {
            all.clear();
        }
        all.insert(key, (principal.clone(), made.clone()));
        Ok(made)
    }

    fn step_predicate(&self, principal: &MemberFacts, action: Action) -> Result<Predicate, Untranslatable> {
        let mut asked = Asking { engine: self, principal: Arc::new(principal.clone()), action, residual: None };
        let mut sides = vec![(*asked.of(self.guardrails())?).clone()];
        if action.is_three_sided() {
            let owners: BTreeMap<&PartnerCode, &Ruleset> = self.releases().collect();
            sides.push(Atom::Within(Set::Parties, owners.keys().map(ToString::to_string).collect()).into());
            // Owners who release alike are asked once: that none of them owns it, or that they release it.
            let mut alike: Vec<(Arc<Predicate>, Vec<Predicate>)> = Vec::new();
            for (code, release) in owners {
                let owns_not = Predicate::IsNot(Atom::Contains(Set::Parties, Value::Written(code.to_string())));
                let release = asked.of(release)?;
                match alike.iter_mut().find(|(known, _)| *known == release) {
                    Some((_, owners)) => owners.push(owns_not),
                    None => alike.push((release, vec![owns_not])),
                }
            }
            for (release, owners) in alike {
                sides.push(Predicate::any([(*release).clone(), Predicate::all(owners)]));
            }
            let reader = self.reader(principal).map(|reader| asked.of(reader)).transpose()?;
            sides.push(reader.map_or(Predicate::Const(false), |reader| (*reader).clone()));
        }
        Ok(Predicate::all(sides))
    }
}

/// One member asking sides for one action; the request is made for the first side that was not asked before.
struct Asking<'a> {
    engine: &'a Engine,
    principal: Arc<MemberFacts>,
    action: Action,
    residual: Option<Residual<'a>>,
}

impl Asking<'_> {
    fn of(&mut self, rules: &Ruleset) -> Result<Arc<Predicate>, Untranslatable> {
        if let Some(left) = rules.left().get(&self.principal, self.action) {
            return Ok(left);
        }
        let residual = match &mut self.residual {
            Some(made) => made,
            none => none.insert(Residual::new(self.engine, &self.principal, self.action)?),
        };
        Ok(rules.left().keep(&self.principal, self.action, residual.of(rules)?))
    }
}

/// One member asking for one action, with the proposal unknown.
struct Residual<'a> {
    principal: String,
    action: Action,
    schema: &'a Schema,
    request: PartialRequest,
    entities: PartialEntities,
}

impl<'a> Residual<'a> {
    fn new(engine: &'a Engine, principal: &MemberFacts, action: Action) -> Result<Self, Untranslatable> {
        let schema = source::schema();
        let (uid, action_uid, entity) = engine.names().asking(principal, action).map_err(unknown)?;
        let kind: EntityTypeName = action.kind().as_str().parse().map_err(unknown)?;
        let request = PartialRequest::new(
            PartialEntityUid::from_concrete(uid),
            action_uid,
            PartialEntityUid::new(kind, None),
            Some(cedar_policy::Context::empty()),
            schema,
        )
        .map_err(unknown)?;
        let entities = Entities::from_entities([entity], Some(schema)).map_err(unknown)?;
        let entities = PartialEntities::from_concrete(entities, schema).map_err(unknown)?;
        Ok(Self { principal: principal.id.to_string(), action, schema, request, entities })
    }

    /// What one side says: some permit holds, no forbid does, and none of its policies errs.
    fn of(&self, rules: &Ruleset) -> Result<Predicate, Untranslatable> {
        let left = rules.slice(self.action).tpe(&self.request, &self.entities, self.schema).map_err(unknown)?;
        let (mut permits, mut forbids, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        for policy in left.policies() {
            let pst = policy.to_pst().map_err(unknown)?;
            let mut truth = Truth::known(true);
            for clause in pst.body().clauses() {
                let clause = match clause {
                    Clause::When(expr) => self.condition(expr)?,
                    Clause::Unless(expr) => self.condition(expr)?.not(),
                };
                truth = truth.and(clause);
            }
            if policy.effect() == Effect::Permit { &mut permits } else { &mut forbids }.push(truth.holds);
            errors.push(truth.errs);
        }
        // Cedar tells them in no order. In one order, sides that say the same are found to do so.
        for parts in [&mut permits, &mut forbids, &mut errors] {
            parts.sort_unstable();
        }
        let denied = Predicate::any(forbids.into_iter().chain(errors));
        Ok(Predicate::all([Predicate::any(permits), denied.negated()]))
    }

    fn condition(&self, expr: &Expr) -> Result<Truth, Untranslatable> {
        Ok(match expr {
            Expr::Literal(Literal::Bool(value)) => Truth::known(*value),
            Expr::UnaryOp { op: UnaryOp::Not, expr } => self.condition(expr)?.not(),
            Expr::BinaryOp { op: BinaryOp::And, left, right } => self.condition(left)?.and(self.condition(right)?),
            Expr::BinaryOp { op: BinaryOp::Or, left, right } => {
                self.condition(left)?.not().and(self.condition(right)?.not()).not()
            }
            Expr::BinaryOp { op: BinaryOp::Eq, left, right } => self.equal(left, right)?,
            Expr::BinaryOp { op: BinaryOp::NotEq, left, right } => self.equal(left, right)?.not(),
            Expr::BinaryOp { op: BinaryOp::Contains, left, right } => self.contains(left, right)?,
            Expr::BinaryOp { op: BinaryOp::ContainsAny, left, right } => match (written(left), written(right)) {
                (_, Some(values)) => self.some_of(left, &values)?,
                (Some(values), None) => self.some_of(right, &values)?,
                (None, None) => return Err(no(expr)),
            },
            Expr::BinaryOp { op: BinaryOp::ContainsAll, left, right } => match (written(left), written(right)) {
                (_, Some(values)) => {
                    let mut each = values.iter().map(|value| self.contains(left, value));
                    each.try_fold(Truth::known(true), |all, one| Ok(all.and(one?)))?
                }
                (Some(values), None) => {
                    let Place::Set(set) = self.place(right)? else { return Err(no(expr)) };
                    let values = values.iter().map(|value| literal(value)).collect::<Result<_, _>>()?;
                    Truth::of(Atom::Within(set, values))
                }
                (None, None) => return Err(no(expr)),
            },
            Expr::IfThenElse { cond, then_expr, else_expr } => {
                let (cond, then, other) =
                    (self.condition(cond)?, self.condition(then_expr)?, self.condition(else_expr)?);
                // Errors of the branch not taken do not count.
                Truth {
                    holds: Predicate::any([
                        Predicate::all([cond.holds.clone(), then.holds]),
                        Predicate::all([cond.holds.negated(), other.holds]),
                    ]),
                    errs: Predicate::any([
                        Predicate::all([cond.holds.clone(), then.errs]),
                        Predicate::all([cond.holds.negated(), other.errs]),
                        cond.errs,
                    ]),
                }
            }
            Expr::Like { expr: subject, pattern } => {
                let Place::Text(text) = self.place(subject)? else { return Err(no(expr)) };
                let pieces = pattern.iter().map(|piece| match piece {
                    PatternElem::Char(letter) => Piece::Letter(*letter),
                    PatternElem::Wildcard => Piece::Anything,
                });
                Truth::about(text, Atom::Like(text, pieces.collect()))
            }
            Expr::Is { expr: subject, entity_type, in_expr: None } => {
                let kind = match self.place(subject)? {
                    Place::Entity(kind) => kind,
                    Place::Text(Text::Lead) => "Partner",
                    _ => return Err(no(expr)),
                };
                Truth::known(entity_type.to_string() == kind)
            }
            Expr::HasAttr { expr: subject, attrs } => {
                let mut place = self.place(subject)?;
                let mut holds = Predicate::Const(true);
                for attr in attrs.iter() {
                    let Place::Entity(kind) = place else { return Err(no(expr)) };
                    place = attribute(kind, attr).ok_or_else(|| no(expr))?;
                    if let Place::Text(Text::Topic) = place {
                        holds = Atom::HasTopic.into();
                    }
                }
                Truth { holds, errs: Predicate::Const(false) }
            }
            Expr::GetAttr { .. } => match self.place(expr)? {
                Place::Flag(flag) => Truth::of(Atom::Flag(flag)),
                _ => return Err(no(expr)),
            },
            Expr::ResidualError => Truth { holds: Predicate::Const(false), errs: Predicate::Const(true) },
            _ => return Err(no(expr)),
        })
    }

    fn equal(&self, left: &Expr, right: &Expr) -> Result<Truth, Untranslatable> {
        match (left, right) {
            (Expr::Literal(Literal::Bool(_)), _) | (_, Expr::Literal(Literal::Bool(_))) => self.alike(left, right),
            (Expr::Literal(left), Expr::Literal(right)) => Ok(Truth::known(left == right)),
            (Expr::Literal(_), _) => self.equal(right, left),
            (_, Expr::Literal(_)) => match self.place(left) {
                Ok(Place::Text(text)) => Ok(Truth::about(text, Atom::Equals(text, literal(right)?))),
                _ => Err(no(left)),
            },
            _ => match (self.place(left), self.place(right)) {
                (Ok(Place::Text(left)), Ok(Place::Text(right))) if left == right => {
                    Ok(Truth { holds: Predicate::Const(true), errs: may_lack(left) })
                }
                (Ok(Place::Text(left)), Ok(Place::Text(right))) => {
                    let errs = Predicate::any([may_lack(left), may_lack(right)]);
                    Ok(Truth { holds: Atom::Same(left, right).into(), errs })
                }
                // There is one of each kind around a proposal, and the validator holds only those of one kind together.
                (Ok(Place::Entity(left)), Ok(Place::Entity(right))) => Ok(Truth::known(left == right)),
                _ => self.alike(left, right),
            },
        }
    }

    /// Two conditions that are both true or both false.
    fn alike(&self, left: &Expr, right: &Expr) -> Result<Truth, Untranslatable> {
        let (left, right) = (self.condition(left)?, self.condition(right)?);
        Ok(Truth { holds: Predicate::same(&left.holds, &right.holds), errs: Predicate::any([left.errs, right.errs]) })
    }

    fn contains(&self, set: &Expr, value: &Expr) -> Result<Truth, Untranslatable> {
        if let Some(values) = written(set) {
            let mut found = Truth::known(false);
            for written in values {
                found = found.not().and(self.equal(value, written)?.not()).not();
            }
            // Even of no values the value is taken, and may be lacking.
            if let Ok(Place::Text(text)) = self.place(value) {
                found.errs = Predicate::any([found.errs, may_lack(text)]);
            }
            return Ok(found);
        }
        match (self.place(set)?, value) {
            (Place::Members(members), Expr::Literal(Literal::EntityUID(EntityUID { ty, eid })))
                if ty.to_string() == "Member" && *eid == self.principal =>
            {
                Ok(Truth::of(Atom::Mine(members)))
            }
            (Place::Set(set), Expr::Literal(_)) => Ok(Truth::of(Atom::Contains(set, Value::Written(literal(value)?)))),
            (Place::Set(set), _) => match self.place(value)? {
                Place::Text(text) => Ok(Truth::about(text, Atom::Contains(set, Value::Of(text)))),
                _ => Err(no(value)),
            },
            _ => Err(no(set)),
        }
    }

    fn some_of(&self, set: &Expr, values: &[&Expr]) -> Result<Truth, Untranslatable> {
        let mut each = values.iter().map(|value| self.contains(set, value));
        Ok(each.try_fold(Truth::known(true), |none, one| Ok(none.and(one?.not())))?.not())
    }

    fn place(&self, expr: &Expr) -> Result<Place, Untranslatable> {
        match expr {
            Expr::Var(Var::Resource) => Ok(Place::Entity(self.action.kind().as_str())),
            Expr::GetAttr { expr: owner, attr } => match self.place(owner)? {
                Place::Entity(kind) => attribute(kind, attr).ok_or_else(|| no(expr)),
                _ => Err(no(expr)),
            },
            _ => Err(no(expr)),
        }
    }
}

/// What an attribute is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Entity(&'static str),
    Flag(Flag),
    Text(Text),
    Set(Set),
    Members(Members),
}

/// The attributes of the schema that a proposal leads to. What column each is, `storage::visible` knows.
const ATTRIBUTES: &[(&str, &str, Place)] = &[
    ("Proposal", "call", Place::Entity("Call")),
    ("Proposal", "parties", Place::Set(Set::Parties)),
    ("Proposal", "party_members", Place::Members(Members::PartyMembers)),
    ("Proposal", "organisations", Place::Set(Set::Organisations)),
    ("Proposal", "topic", Place::Text(Text::Topic)),
    ("Proposal", "status", Place::Text(Text::Status)),
    ("Proposal", "conflicts", Place::Members(Members::Conflicts)),
    ("Proposal", "assigned", Place::Members(Members::Assigned)),
    ("Proposal", "declared_clear", Place::Members(Members::DeclaredClear)),
    ("Proposal", "reviewed", Place::Members(Members::Reviewed)),
    ("Proposal", "decided", Place::Flag(Flag::Decided)),
    ("Proposal", "labelled", Place::Flag(Flag::Labelled)),
    ("Proposal", "releasable_to", Place::Set(Set::ReleasableTo)),
    ("Proposal", "caveats", Place::Set(Set::Caveats)),
    ("Call", "program", Place::Entity("Program")),
    ("Call", "draft", Place::Flag(Flag::Draft)),
    ("Call", "phase", Place::Text(Text::Phase)),
    ("Call", "opened", Place::Flag(Flag::Opened)),
    ("Call", "eligible", Place::Set(Set::Eligible)),
    ("Call", "funders", Place::Set(Set::Funders)),
    ("Call", "officer_partners", Place::Set(Set::OfficerPartners)),
    ("Call", "officers", Place::Members(Members::Officers)),
    ("Call", "reviewers", Place::Members(Members::Reviewers)),
    ("Call", "deciders", Place::Members(Members::Deciders)),
    ("Call", "observers", Place::Members(Members::Observers)),
    ("Program", "lead", Place::Text(Text::Lead)),
    ("Program", "partners", Place::Set(Set::Participants)),
];

fn attribute(of: &str, name: &str) -> Option<Place> {
    ATTRIBUTES.iter().find(|(kind, attr, _)| *kind == of && *attr == name).map(|(.., place)| *place)
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

    /// The right side counts only where the left one holds.
    fn and(self, right: Self) -> Self {
        Self {
            errs: Predicate::any([self.errs, Predicate::all([self.holds.clone(), right.errs])]),
            holds: Predicate::all([self.holds, right.holds]),
        }
    }
}

/// When taking the text is an error.
fn may_lack(text: Text) -> Predicate {
    if text == Text::Topic { Predicate::IsNot(Atom::HasTopic) } else { Predicate::Const(false) }
}

/// The members of a set that is written out.
fn written(expr: &Expr) -> Option<Vec<&Expr>> {
    let Expr::Set(values) = expr else { return None };
    values.iter().map(|value| matches!(**value, Expr::Literal(_)).then_some(&**value)).collect()
}

/// A literal as columns hold it; the validator has seen to it that like is compared with like.
fn literal(expr: &Expr) -> Result<String, Untranslatable> {
    match expr {
        Expr::Literal(Literal::String(text)) => Ok(text.to_string()),
        Expr::Literal(Literal::EntityUID(uid)) if uid.ty.to_string() == "Partner" => Ok(uid.eid.to_string()),
        _ => Err(no(expr)),
    }
}

fn no(expr: &Expr) -> Untranslatable {
    Untranslatable(format!("`{expr:?}`"))
}

fn unknown(error: impl fmt::Display) -> Untranslatable {
    Untranslatable(error.to_string())
}

#[cfg(test)]
mod tests;
