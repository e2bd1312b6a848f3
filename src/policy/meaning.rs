//! Whether a policy says what its author means: names that the schema has, and values that the attribute they are compared with can
//! ever have.
//!
//! Cedar itself refuses most unknown names, in words of its own, and takes any text: a `forbid` with a misspelt phase, a topic in
//! capitals or a nation by its full name would be in force and never forbid anything.

use super::{
    Action, Extra,
    fault::LintFault,
    vocabulary::{Holds, VOCABULARY},
};
use crate::domain::{
    call::Phase,
    id::{PartnerCode, Slug},
    member::{CallRole, PartnerRole},
    name::folded,
    proposal::Status,
};
use cedar_policy::{
    ActionConstraint, Policy, ResourceConstraint,
    pst::{BinaryOp, Clause, Expr, Literal, PatternElem, Var},
};
use std::collections::BTreeSet;

const NO_CLOCK: &str = "a policy knows the attributes of the schema and no time of day: ask `resource.call.opened` or \
    `resource.call.phase`, or let a version take effect later with `--active-at`";

/// What a policy is about, as far as its scope says so.
struct Scope {
    resources: BTreeSet<&'static str>,
    actions: Vec<Action>,
}

/// Checks every name and value in the conditions of a policy.
pub(super) fn check(policy: &Policy) -> Result<(), LintFault> {
    let Ok(pst) = policy.to_pst() else { return Ok(()) };
    let scope = Scope::of(policy);
    pst.body().clauses().iter().try_for_each(|clause| match clause {
        Clause::When(expr) | Clause::Unless(expr) => scope.check(expr),
    })
}

impl Scope {
    fn of(policy: &Policy) -> Self {
        let is_named = |action: &Action| match policy.action_constraint() {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(only) => only.id().unescaped() == action.as_str(),
            ActionConstraint::In(some) => some.iter().any(|one| one.id().unescaped() == action.as_str()),
        };
        let fits = |action: &&Action| match policy.resource_constraint() {
            ResourceConstraint::Is(kind) => kind.to_string() == action.kind().as_str(),
            _ => true,
        };
        // A nation is asked for proposals alone, whatever its scope leaves open.
        let is_of_a_nation = policy.annotation("side").is_some();
        let asked = |action: &&Action| !is_of_a_nation || action.is_three_sided();
        let actions: Vec<Action> =
            Action::ALL.iter().filter(|action| is_named(action)).filter(fits).filter(asked).copied().collect();
        Self { resources: actions.iter().map(|action| action.kind().as_str()).collect(), actions }
    }

    fn check(&self, expr: &Expr) -> Result<(), LintFault> {
        parts(expr).into_iter().try_for_each(|part| self.check(part))?;
        match expr {
            Expr::GetAttr { expr: owner, attr } => self.name(owner, attr),
            Expr::HasAttr { expr: owner, attrs } => self.name(owner, &attrs.head),
            Expr::Like { expr, pattern } => self.pattern(expr, pattern),
            Expr::BinaryOp {
                op: BinaryOp::Eq | BinaryOp::NotEq | BinaryOp::Contains | BinaryOp::ContainsAny | BinaryOp::ContainsAll,
                left,
                right,
            } => self.alike(left, right).and_then(|()| self.alike(right, left)),
            _ => Ok(()),
        }
    }

    /// The types of things that an expression can stand for; none when it is no thing.
    fn things(&self, expr: &Expr) -> BTreeSet<&str> {
        match expr {
            Expr::Var(Var::Principal) => BTreeSet::from(["Member"]),
            Expr::Var(Var::Resource) => self.resources.clone(),
            Expr::GetAttr { .. } => match self.holds(expr) {
                Some(Holds::One(name)) => VOCABULARY.type_name(&name).into_iter().collect(),
                _ => BTreeSet::new(),
            },
            _ => BTreeSet::new(),
        }
    }

    /// What an expression holds, if all that it can stand for holds the same.
    fn holds(&self, expr: &Expr) -> Option<Holds> {
        match expr {
            Expr::Var(Var::Principal) => Some(Holds::One("Member".into())),
            Expr::GetAttr { expr: owner, attr } => match (&**owner, attr.as_str()) {
                (Expr::Var(Var::Context), "owner") => Some(Holds::One("Partner".into())),
                (Expr::Var(Var::Context), "subject") => Some(Holds::One("Member".into())),
                (Expr::Var(Var::Context), "role") => Some(Holds::One("String".into())),
                _ => {
                    let things = self.things(owner);
                    let mut found = things.iter().filter_map(|of| VOCABULARY.holds(of, attr));
                    let first = found.next()?;
                    found.all(|other| other == first).then(|| first.clone())
                }
            },
            _ => None,
        }
    }

    /// Refuses an attribute that the thing does not have.
    fn name(&self, owner: &Expr, attr: &str) -> Result<(), LintFault> {
        if matches!(owner, Expr::Var(Var::Context)) {
            return self.context_attribute(attr);
        }
        let things = self.things(owner);
        // What some of the things have is for Cedar to judge, which goes through them one by one.
        if things.is_empty() || things.iter().any(|of| VOCABULARY.holds(of, attr).is_some()) {
            return Ok(());
        }
        let names: Vec<&str> = things.iter().flat_map(|of| VOCABULARY.attributes(of)).collect();
        let of: Vec<String> = things.iter().map(|of| of.to_lowercase()).collect();
        let of = of.join(" or ");
        let what = format!("a {of} has no `{attr}`");
        let way = written(owner);
        let start = things.iter().find_map(|of| VOCABULARY.nearest(&way, of, attr));
        let help = match (start, names.is_empty()) {
            (Some(near), _) => format!("write `{near}` if that is meant; a {of} has {}", names.join(", ")),
            (None, true) => format!("compare a {of} with one that is written out, as in `{way} == Partner::\"ISR\"`"),
            (None, false) => format!("ask what is known of a {of}: {}", names.join(", ")),
        };
        Err(LintFault::new(what, help))
    }

    /// Checks that every action of the policy comes with this context attribute.
    fn context_attribute(&self, attr: &str) -> Result<(), LintFault> {
        let tells = |extra: Extra| match attr {
            "owner" => extra == Extra::Owner,
            "subject" => matches!(extra, Extra::Subject | Extra::Role),
            "role" => extra == Extra::Role,
            _ => false,
        };
        let telling: Vec<&str> = Action::ALL.iter().filter(|one| tells(one.extra())).map(|one| one.as_str()).collect();
        if telling.is_empty() {
            return Err(LintFault::new(format!("no policy receives `context.{attr}`"), NO_CLOCK));
        }
        if !self.actions.is_empty() && self.actions.iter().all(|one| tells(one.extra())) {
            return Ok(());
        }
        let what = format!("`context.{attr}` is received with {} only", telling.join(", "));
        let help = format!("make it a policy of its own, with the scope `action == Action::\"{}\"`", telling[0]);
        Err(LintFault::new(what, help))
    }

    /// Refuses a value that the attribute which it is compared with can never have.
    fn alike(&self, path: &Expr, value: &Expr) -> Result<(), LintFault> {
        let Some(holds) = self.holds(path) else { return Ok(()) };
        if let Some(other) = self.holds(value)
            && holds.of() != other.of()
        {
            let (one, two) = (written(path), written(value));
            let help = match (holds.of(), other.of()) {
                ("Partner", "Member") => format!("take the member's partner: `{two}.partner`"),
                ("Member", "Partner") => format!("take the member's partner: `{one}.partner`"),
                _ => "compare values of the same kind".to_owned(),
            };
            let verb = |holds: &Holds| if matches!(holds, Holds::Many(_)) { "holds" } else { "is" };
            let what = format!("`{one}` {} {holds}, but `{two}` {} {other}", verb(&holds), verb(&other));
            return Err(LintFault::new(what, help));
        }
        literals(value).into_iter().try_for_each(|literal| fits(path, &holds, literal))
    }

    /// That a pattern can match.
    fn pattern(&self, path: &Expr, pattern: &[PatternElem]) -> Result<(), LintFault> {
        if self.holds(path).is_none() {
            return Ok(());
        }
        let capital = |part: &PatternElem| matches!(part, PatternElem::Char(c) if c.is_uppercase());
        if matches!(last(path), Some("organisation" | "topic")) && pattern.iter().any(capital) {
            let what = format!("`{}` never has a capital letter", written(path));
            return Err(LintFault::new(what, "write the pattern in lower case"));
        }
        if last(path) == Some("organisation") {
            // Between two wildcards stands what a name that is compared can hold, but for a blank that ends or begins it.
            let of = |part: &PatternElem| if let PatternElem::Char(c) = part { Some(*c) } else { None };
            let mut runs =
                pattern.split(|part| of(part).is_none()).map(|run| run.iter().filter_map(of).collect::<String>());
            if let Some(run) = runs.find(|run| folded(run) != without_outer_blank(run)) {
                let what = format!("`{}` never has \"{run}\" in it", written(path));
                return Err(LintFault::new(
                    what,
                    format!("organisations are compared in the form \"{}\"", folded(&run)),
                ));
            }
        }
        Ok(())
    }
}

/// Without the one blank that may begin or end what stands between two wildcards.
fn without_outer_blank(run: &str) -> &str {
    let run = run.strip_prefix(' ').unwrap_or(run);
    run.strip_suffix(' ').unwrap_or(run)
}

fn fits(path: &Expr, holds: &Holds, literal: &Literal) -> Result<(), LintFault> {
    let Literal::String(text) = literal else { return Ok(()) };
    let (way, is_set) = (written(path), matches!(holds, Holds::Many(_)));
    if holds.of() == "Partner" {
        let what = format!("`{way}` {} {holds}, not the text \"{text}\"", if is_set { "holds" } else { "is" });
        return Err(LintFault::new(what, "write partners as `Partner::\"ISR\"`"));
    }
    let unlike = |help: String| {
        let never = if is_set { "never holds" } else { "is never" };
        Err(LintFault::new(format!("`{way}` {never} \"{text}\""), help))
    };
    let one_of = |known: Vec<&str>| unlike(format!("write one of {}", known.join(", ")));
    match last(path) {
        Some("roles") if text.parse::<PartnerRole>().is_err() => {
            one_of(PartnerRole::ALL.iter().map(|word| word.as_str()).collect())
        }
        Some("role") if text.parse::<CallRole>().is_err() => {
            one_of(CallRole::ALL.iter().map(|word| word.as_str()).collect())
        }
        // For policies a closed call is in the phase `review`.
        Some("phase") if text.parse::<Phase>().is_ok_and(|phase| phase != Phase::Closed) => Ok(()),
        Some("phase") => {
            let phases = Phase::ALL.iter().filter(|phase| **phase != Phase::Closed);
            one_of(phases.map(|word| word.as_str()).collect())
        }
        Some("status") if text.parse::<Status>().is_err() => {
            one_of(Status::ALL.iter().map(|word| word.as_str()).collect())
        }
        Some("topic") if text.parse::<Slug>().is_err() => {
            unlike("topics are short names of `a-z 0-9 -`, as the call has them".into())
        }
        Some("caveats") if text.parse::<Slug>().is_err() => {
            unlike("caveats are short names of `a-z 0-9 -`, as in \"no-contractors\"".into())
        }
        Some("organisation" | "organisations") if *text != folded(text) => {
            unlike(format!("organisations are compared in the form \"{}\"", folded(text)))
        }
        _ => Ok(()),
    }
}

/// That a partner who is written out is one by the shape of the code.
pub(super) fn partner(code: &str) -> Result<(), LintFault> {
    if code.parse::<PartnerCode>().is_ok() {
        return Ok(());
    }
    let what = format!("`Partner::\"{code}\"` is not a partner's code");
    Err(LintFault::new(what, "write two to eight capital letters or digits, such as `Partner::\"ISR\"`"))
}

fn literals(expr: &Expr) -> Vec<&Literal> {
    match expr {
        Expr::Literal(literal) => vec![literal],
        Expr::Set(members) => members.iter().flat_map(|member| literals(member)).collect(),
        _ => Vec::new(),
    }
}

fn last(path: &Expr) -> Option<&str> {
    match path {
        Expr::GetAttr { attr, .. } => Some(attr),
        _ => None,
    }
}

/// A path as its author wrote it.
fn written(path: &Expr) -> String {
    match path {
        Expr::Var(Var::Principal) => "principal".into(),
        Expr::Var(Var::Resource) => "resource".into(),
        Expr::Var(Var::Context) => "context".into(),
        Expr::GetAttr { expr, attr } => format!("{}.{attr}", written(expr)),
        _ => "…".into(),
    }
}

/// What an expression is made of.
fn parts(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::UnaryOp { expr, .. }
        | Expr::GetAttr { expr, .. }
        | Expr::HasAttr { expr, .. }
        | Expr::Like { expr, .. }
        | Expr::Is { expr, .. } => vec![expr],
        Expr::BinaryOp { left, right, .. } => vec![left, right],
        Expr::IfThenElse { cond, then_expr, else_expr } => vec![cond, then_expr, else_expr],
        Expr::Set(members) => members.iter().map(|member| &**member).collect(),
        _ => Vec::new(),
    }
}
