//! Which Cedar a policy may be written in: only what can also be asked of a database as a predicate over columns.
//!
//! A list of proposals is filtered by the very policies that decide on one proposal (ADR 12), so what cannot be translated
//! is refused when a policy is loaded and not when somebody asks. The same restriction lets [`super::entities`] leave members
//! out of sets that no policy can ask about: a set is only ever asked whether it contains one value, or values written out in
//! the policy, and no policy may write out a member.

use super::{Action, ResourceKind, fault::LintFault, meaning};
use crate::domain::member::CallRole;
use cedar_policy::{
    ActionConstraint, Effect, Policy,
    pst::{BinaryOp, Clause, Expr, Literal, PrincipalConstraint, ResourceConstraint, UnaryOp, Var},
};

/// Attributes that are sets, beside the members with each role in a call; a set can be asked for members, not compared.
const SETS: [&str; 14] = [
    "roles",
    "partners",
    "eligible",
    "funders",
    "officer_partners",
    "parties",
    "party_members",
    "organisations",
    "conflicts",
    "assigned",
    "declared_clear",
    "reviewed",
    "releasable_to",
    "caveats",
];

pub(super) const HELP: &str =
    "use == != < <= && || ! contains containsAny containsAll has like is if, on attributes and written-out values";

const ASK_SETS: &str =
    "ask whether it holds something: `resource.parties.contains(Partner::\"ISR\")`, or containsAny, or containsAll";

/// Checks scope and conditions of one policy.
pub(super) fn check(policy: &Policy) -> Result<(), LintFault> {
    let pst = policy.to_pst().map_err(|error| no(format!("the policy cannot be read back: {error}"), HELP))?;
    let body = pst.body();
    if !matches!(body.principal, PrincipalConstraint::Any | PrincipalConstraint::Is(_)) {
        return Err(no(
            "the scope names a principal".into(),
            "write `principal` alone and say in `when` who is meant, as in `principal.partner == Partner::\"ISR\"`",
        ));
    }
    if !matches!(body.resource, ResourceConstraint::Any | ResourceConstraint::Is(_)) {
        return Err(no(
            "the scope names a resource".into(),
            "write `resource` or `resource is Proposal` and say the rest in `when`",
        ));
    }
    body.clauses().iter().try_for_each(|clause| match clause {
        Clause::When(expr) | Clause::Unless(expr) => condition(expr),
    })
}

/// Checks that a guardrail only forbids, or lets the holders of the platform's own roles in: a permit for what is done to a
/// proposal asks first for a role that the caller has there.
pub(super) fn check_guardrail(policy: &Policy) -> Result<(), LintFault> {
    let pst = policy.to_pst().map_err(|error| no(format!("the policy cannot be read back: {error}"), HELP))?;
    let body = pst.body();
    let about_proposals = Action::ALL.iter().any(|action| {
        action.kind() == ResourceKind::Proposal
            && match policy.action_constraint() {
                ActionConstraint::Any => true,
                ActionConstraint::Eq(only) => only.id().unescaped() == action.as_str(),
                ActionConstraint::In(some) => some.iter().any(|one| one.id().unescaped() == action.as_str()),
            }
    });
    let asks = |clause: &Clause| matches!(clause, Clause::When(expr) if asks_for_a_role(expr));
    if policy.effect() == Effect::Forbid || !about_proposals || body.clauses().iter().any(asks) {
        return Ok(());
    }
    Err(no(
        "a guardrail permits actions on proposals without asking for a role".into(),
        "say in `when` which role the member has, as in `resource.call.officers.contains(principal)`",
    ))
}

/// Whether an attribute is a set.
fn is_set(attribute: &str) -> bool {
    SETS.contains(&attribute) || CallRole::of_attribute(attribute).is_some()
}

/// Whether an attribute is a set of members who are something on a proposal or its call.
fn is_role(attribute: &str) -> bool {
    ["party_members", "assigned"].contains(&attribute) || CallRole::of_attribute(attribute).is_some()
}

/// Whether the condition is false for everybody who has none of the roles.
fn asks_for_a_role(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryOp { op: BinaryOp::And, left, right } => {
            let both = |one: &Expr, other: &Expr| has_a_partner_role(one) && is_of_an_owner(other);
            asks_for_a_role(left) || asks_for_a_role(right) || both(left, right) || both(right, left)
        }
        Expr::BinaryOp { op: BinaryOp::Or, left, right } => asks_for_a_role(left) && asks_for_a_role(right),
        Expr::BinaryOp { op: BinaryOp::Contains, left, right } => {
            let asks = matches!(&**left, Expr::GetAttr { attr, .. } if is_role(attr.as_str()));
            asks && matches!(&**right, Expr::Var(Var::Principal))
        }
        _ => false,
    }
}

/// `principal.roles.contains("…")`: a role that a partner's registrar vouches for.
fn has_a_partner_role(expr: &Expr) -> bool {
    let Expr::BinaryOp { op: BinaryOp::Contains, left, right } = expr else { return false };
    matches!(&**left, Expr::GetAttr { expr, attr } if attr.as_str() == "roles" && matches!(**expr, Expr::Var(Var::Principal)))
        && matches!(&**right, Expr::Literal(Literal::String(_)))
}

/// `resource.parties.contains(principal.partner)`.
fn is_of_an_owner(expr: &Expr) -> bool {
    let Expr::BinaryOp { op: BinaryOp::Contains, left, right } = expr else { return false };
    matches!(&**left, Expr::GetAttr { attr, .. } if attr.as_str() == "parties")
        && matches!(&**right, Expr::GetAttr { expr, attr } if attr.as_str() == "partner" && matches!(**expr, Expr::Var(Var::Principal)))
}

/// Something that is true or false.
fn condition(expr: &Expr) -> Result<(), LintFault> {
    match expr {
        Expr::Literal(Literal::Bool(_)) => Ok(()),
        Expr::UnaryOp { op: UnaryOp::Not, expr } => condition(expr),
        Expr::BinaryOp { op: BinaryOp::And | BinaryOp::Or, left, right } => {
            condition(left).and_then(|()| condition(right))
        }
        Expr::BinaryOp {
            op:
                BinaryOp::Eq | BinaryOp::NotEq | BinaryOp::Less | BinaryOp::LessEq | BinaryOp::Greater | BinaryOp::GreaterEq,
            left,
            right,
        } => scalar(left).and_then(|()| scalar(right)),
        Expr::BinaryOp { op: BinaryOp::Contains, left, right } => set(left).and_then(|_| scalar(right)),
        Expr::BinaryOp { op: BinaryOp::ContainsAny | BinaryOp::ContainsAll, left, right } => {
            if set(left)? || set(right)? {
                Ok(())
            } else {
                let help = "write one of the two sets out: `resource.parties.containsAny([Partner::\"ISR\"])`";
                Err(no("two sets of the resource are compared with each other".into(), help))
            }
        }
        Expr::IfThenElse { cond, then_expr, else_expr } => {
            [cond, then_expr, else_expr].into_iter().try_for_each(|part| condition(part))
        }
        Expr::Like { expr, .. } | Expr::Is { expr, in_expr: None, .. } | Expr::HasAttr { expr, .. } => {
            path(expr).map(|_| ())
        }
        Expr::GetAttr { .. } => scalar(expr),
        Expr::Is { in_expr: Some(_), .. } => Err(inside()),
        Expr::BinaryOp { op, .. } => Err(binary(*op)),
        Expr::UnaryOp { op, .. } => Err(unary(*op)),
        _ => Err(no("an expression is not allowed in a policy".into(), HELP)),
    }
}

/// A single value: a literal, or an attribute that is no set.
fn scalar(expr: &Expr) -> Result<(), LintFault> {
    match expr {
        Expr::Literal(literal) => written_out(literal),
        Expr::Var(_) | Expr::GetAttr { .. } => match path(expr)? {
            Some(attr) if is_set(attr) => Err(no(format!("the set `{attr}` is compared"), ASK_SETS)),
            _ => Ok(()),
        },
        Expr::Set(_) => Err(no("a set is compared".into(), ASK_SETS)),
        _ => condition(expr),
    }
}

/// A set: written out, or an attribute. True when its members are known before the resource is.
fn set(expr: &Expr) -> Result<bool, LintFault> {
    match expr {
        Expr::Set(members) => {
            for member in members {
                match &**member {
                    Expr::Literal(literal) => written_out(literal)?,
                    _ => {
                        return Err(no(
                            "a written-out set holds more than literals".into(),
                            "list only literals in `[…]`",
                        ));
                    }
                }
            }
            Ok(true)
        }
        // INVARIANT: only `roles` is a set of the principal's; no member can be reached through the principal or the context.
        Expr::GetAttr { expr: owner, .. } => path(expr).map(|_| matches!(**owner, Expr::Var(Var::Principal))),
        _ => Err(no("a set is neither written out nor an attribute".into(), HELP)),
    }
}

/// A variable or a chain of attributes; its last attribute, if any.
fn path(expr: &Expr) -> Result<Option<&str>, LintFault> {
    match expr {
        Expr::Var(Var::Principal | Var::Resource | Var::Context) => Ok(None),
        Expr::GetAttr { expr, attr } => path(expr).map(|_| Some(attr.as_str())),
        _ => Err(no(
            "an attribute is taken of more than a variable".into(),
            "write attributes as `resource.call.funders`",
        )),
    }
}

fn written_out(literal: &Literal) -> Result<(), LintFault> {
    match literal {
        Literal::Bool(_) | Literal::Long(_) | Literal::String(_) => Ok(()),
        Literal::EntityUID(uid) if uid.ty.to_string() == "Partner" => meaning::partner(&uid.eid),
        Literal::EntityUID(uid)
            if ResourceKind::of(&uid.ty.to_string()).is_none() && uid.ty.to_string() != "Member" =>
        {
            Err(no(
                format!("`{uid}` is of no known kind"),
                "write partners as `Partner::\"ISR\"`; nothing else can be named",
            ))
        }
        Literal::EntityUID(uid) => Err(no(
            format!("`{uid}` is named"),
            "name partners only; for one member or one proposal use a role, an assignment or a conflict",
        )),
        _ => Err(no("a literal is not allowed in a policy".into(), HELP)),
    }
}

fn binary(op: BinaryOp) -> LintFault {
    match op {
        BinaryOp::In => inside(),
        BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul => calculates(&op.to_string()),
        BinaryOp::GetTag | BinaryOp::HasTag => {
            no("nothing here has tags".into(), "ask an attribute instead, such as `resource.topic`")
        }
        BinaryOp::Offset | BinaryOp::DurationSince => timeless(&op.to_string()),
        _ => no(format!("`{op}` is not allowed in a policy"), HELP),
    }
}

fn unary(op: UnaryOp) -> LintFault {
    match op {
        UnaryOp::Neg => calculates("-"),
        UnaryOp::IsEmpty => no(
            "`isEmpty` cannot be asked of a set".into(),
            "ask whether the set contains somebody, as in `resource.assigned.contains(principal)`",
        ),
        UnaryOp::Datetime | UnaryOp::Duration | UnaryOp::ToDate | UnaryOp::ToTime => timeless(&op.to_string()),
        _ => no(format!("`{op}` is not allowed in a policy"), HELP),
    }
}

fn inside() -> LintFault {
    let help = "compare with `==`, or ask a list: `[Partner::\"GBR\", Partner::\"CAN\"].contains(principal.partner)`";
    no("nothing here is inside another thing, so `in` never holds".into(), help)
}

fn calculates(op: &str) -> LintFault {
    no(format!("a policy cannot calculate with `{op}`"), "compare an attribute with a value that is written out")
}

fn timeless(function: &str) -> LintFault {
    let help =
        "ask `resource.call.opened` or `resource.call.phase`, or let a version take effect later with `--active-at`";
    no(format!("a policy has no clock, so `{function}` is not allowed in it"), help)
}

fn no(what: String, help: &str) -> LintFault {
    LintFault::new(what, help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_condition(condition: &str) -> Result<(), LintFault> {
        check(&Policy::parse(None, format!("permit(principal, action, resource) when {{ {condition} }};")).unwrap())
    }

    #[test]
    fn what_columns_can_answer_is_accepted() {
        for condition in [
            r#"resource has topic && ["ai", "space"].contains(resource.topic)"#,
            r#"resource.party_members.contains(principal) || !(resource.status == "submitted")"#,
            r#"[Partner::"USA", Partner::"GBR"].containsAll(resource.parties)"#,
            r#"resource.parties.containsAny([Partner::"USA"]) && principal.roles.contains("registrar")"#,
            r#"if resource.decided then resource.call.phase like "re*" else resource.call.funders.contains(principal.partner)"#,
            r#"principal is Member && resource.call.opened && context.owner == Partner::"ISR""#,
        ] {
            check_condition(condition).unwrap();
        }
    }

    #[test]
    fn what_columns_cannot_answer_is_refused() {
        for (condition, word) in [
            (r#"resource in Call::"call_1""#, "`in`"),
            (r#"principal == Member::"USA:dana""#, "is named"),
            (r#"resource.conflicts.contains(Member::"USA:dana")"#, "is named"),
            ("resource.officers == resource.reviewers", "compared"),
            (r#"resource.parties == [Partner::"USA"]"#, "compared"),
            ("resource.parties.containsAny(resource.call.funders)", "compared with each other"),
            ("resource.conflicts.isEmpty()", "`isEmpty` cannot be asked"),
            (r#"resource.hasTag("x")"#, "has tags"),
            ("resource.count + 1 > 2", "cannot calculate with `+`"),
            ("resource.count < -resource.other", "cannot calculate with `-`"),
            (r#"datetime("2027-01-01") < context.now"#, "no clock, so `datetime`"),
            (r#"principal.partner == Partner::"Israel""#, "not a partner's code"),
            (r#"principal.partner == Nation::"ISR""#, "no known kind"),
            (r#"principal is Member in Partner::"ISR""#, "`in`"),
            (r#"ip("10.0.0.1").isLoopback()"#, "is not allowed in a policy"),
            ("[principal.partner].contains(resource.call.program.lead)", "more than literals"),
        ] {
            let refused = check_condition(condition).expect_err(condition);
            assert!(refused.what.contains(word), "{condition}: {}", refused.what);
        }
        for scope in [
            r#"principal == Member::"USA:dana", action, resource"#,
            r#"principal in Partner::"USA", action, resource"#,
            r#"principal, action, resource == Proposal::"prop_1""#,
        ] {
            assert!(check(&Policy::parse(None, format!("permit({scope});")).unwrap()).is_err(), "{scope}");
        }
    }

    #[test]
    fn every_set_of_the_schema_is_known_as_one() {
        let schema = include_str!("../../policies/schema.cedarschema");
        let named: std::collections::BTreeSet<&str> = schema
            .lines()
            .filter(|line| line.contains(": Set<"))
            .filter_map(|line| line.trim().split(':').next())
            .collect();
        let roles = CallRole::ALL.iter().map(|role| role.attribute());
        assert_eq!(named, SETS.into_iter().chain(roles).collect());
    }
}
