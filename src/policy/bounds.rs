//! How much a policy may ask of the program that reads it.
//!
//! Cedar reads and translates a text by recursion without a look at its stack, and a comparison of two conditions doubles when it
//! is put for a database. So a text is measured before Cedar sees it, and each condition before anybody's list asks for it. Both
//! measures are taken of the text alone: they hold for every member, and what exceeds them costs nothing to find out.

use super::fault::LintFault;
use cedar_policy::{
    Policy,
    pst::{BinaryOp, Clause, Expr},
};

/// How deep brackets of any kind may be nested.
pub(super) const MAX_DEPTH: usize = 16;
/// How many operators one policy may have: `&&`, `||`, `!`, comparisons, `if`, `has`, `like`, `is`.
pub(super) const MAX_OPERATORS: usize = 200;
/// How many attributes a path may have.
const MAX_PATH: usize = 16;
/// How many values one `[…]` may have.
const MAX_VALUES: usize = 200;
/// How long a pattern of `like` may be, in characters: as long as the longest name of an organisation. SQLite refuses long ones.
const MAX_PATTERN: usize = 200;
/// How many conditions on a column the policies of one owner may come to, for each list of each reader.
pub(super) const MAX_CONDITIONS: u64 = 4_000;

/// What ends a comment, as Cedar reads it.
pub(super) const ENDS_COMMENT: [char; 2] = ['\n', '\r'];

const SPLIT: &str = "say it with several policies, each with an `@id` and a `@reason` of its own";

/// Measures the text of one policy. The line is counted from the one on which the policy begins, from 0.
pub(super) fn check_text(policy: &str) -> Result<(), (usize, LintFault)> {
    let mut at = TextPosition::default();
    let mut rest = policy;
    while let Some(letter) = rest.chars().next() {
        let len = if rest.starts_with("//") {
            rest.find(ENDS_COMMENT).unwrap_or(rest.len())
        } else if letter == '"' {
            written(rest)
        } else if letter.is_ascii_digit() {
            // A number ends with its digits: `1then` is two words.
            rest.find(|other: char| !other.is_ascii_digit()).unwrap_or(rest.len())
        } else if letter.is_alphanumeric() || letter == '_' {
            rest.find(|other: char| !other.is_alphanumeric() && other != '_').unwrap_or(rest.len())
        } else if ["&&", "||", "==", "!=", "<=", ">=", "::"].iter().any(|two| rest.starts_with(two)) {
            2
        } else {
            letter.len_utf8()
        };
        let (token, after) = rest.split_at(len);
        at.pass(token).map_err(|refused| (at.line, refused))?;
        at.line += token.matches('\n').count();
        rest = after;
    }
    Ok(())
}

/// How long a written-out text is that begins here, both its marks included.
fn written(text: &str) -> usize {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// What has been passed of a policy.
#[derive(Default)]
struct TextPosition {
    line: usize,
    operators: usize,
    /// How many times `when` and `unless` stood: all but the first join what follows to what came before, as `&&` does.
    clauses: usize,
    open: Vec<Bracket>,
    path: usize,
    /// Whether a pattern comes next.
    follows_like: bool,
    /// Whether a value has just ended, so that a `[` takes an attribute of it and begins no set.
    follows_value: bool,
}

/// A bracket that is open.
struct Bracket {
    /// How many attributes were taken in a row outside of it.
    path: usize,
    /// How many commas have passed in it, if it is that of a set.
    commas: Option<usize>,
}

impl TextPosition {
    fn pass(&mut self, token: &str) -> Result<(), LintFault> {
        if token.trim().is_empty() || token.starts_with("//") {
            return Ok(());
        }
        let is_set = token == "[" && !self.follows_value;
        if token == "[" && self.follows_value {
            self.step()?;
        }
        // Its two marks are no part of it.
        if self.follows_like && token.chars().count() > MAX_PATTERN + 2 {
            let what = format!("a pattern of `like` is longer than {MAX_PATTERN} characters here");
            return Err(LintFault::new(what, "ask for a part of it between two `*`; no topic and no name is as long"));
        }
        self.follows_like = token == "like";
        self.follows_value = token.starts_with(|first: char| first.is_alphanumeric() || "_\")]}".contains(first))
            && !["if", "then", "else", "has", "like", "is", "in", "when", "unless"].contains(&token);
        match token {
            "(" | "[" | "{" => {
                self.open.push(Bracket { path: self.path, commas: is_set.then_some(0) });
                self.path = 0;
                if self.open.len() > MAX_DEPTH {
                    return Err(LintFault::new(
                        format!("brackets are nested more than {MAX_DEPTH} deep here"),
                        "leave out those that change nothing, or say it with several policies",
                    ));
                }
            }
            ")" | "]" | "}" => self.path = self.open.pop().map_or(0, |bracket| bracket.path),
            "." => self.step()?,
            "&&" | "||" | "!" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "+" | "-" | "*" | "if" | "has" | "like"
            | "is" | "in" => {
                self.operator()?;
            }
            "when" | "unless" => {
                self.clauses += 1;
                if self.clauses > 1 {
                    self.operator()?;
                }
            }
            "," => {
                self.path = 0;
                self.comma()?;
            }
            ";" | "then" | "else" => self.path = 0,
            _ => {}
        }
        Ok(())
    }

    fn operator(&mut self) -> Result<(), LintFault> {
        self.path = 0;
        self.operators += 1;
        if self.operators > MAX_OPERATORS {
            let what = format!("the policy has more than {MAX_OPERATORS} operators; this is the first too many");
            return Err(LintFault::new(what, SPLIT));
        }
        Ok(())
    }

    /// One more value of the set that is open, if one is.
    fn comma(&mut self) -> Result<(), LintFault> {
        if let Some(Bracket { commas: Some(commas), .. }) = self.open.last_mut() {
            *commas += 1;
            if *commas >= MAX_VALUES {
                let what = format!("one `[…]` here has more than {MAX_VALUES} values");
                let help = format!("write several sets of at most {MAX_VALUES} values and join them with `||`");
                return Err(LintFault::new(what, help));
            }
        }
        Ok(())
    }

    /// One more attribute of what stands before it.
    fn step(&mut self) -> Result<(), LintFault> {
        self.path += 1;
        if self.path > MAX_PATH {
            let what = format!("a path here has more than {MAX_PATH} attributes");
            return Err(LintFault::new(what, "the schema's longest path has four: `resource.call.program.lead`"));
        }
        Ok(())
    }
}

/// How many conditions on a column a policy comes to at most, for any caller.
pub(super) fn conditions(policy: &Policy) -> u64 {
    let Ok(pst) = policy.to_pst() else { return u64::MAX };
    let clauses = pst.body().clauses().iter().map(|clause| match clause {
        Clause::When(expr) | Clause::Unless(expr) => Size::of(expr),
    });
    let whole = clauses.fold(Size { holds: 1, errs: 0 }, Size::and);
    whole.holds.saturating_add(whole.errs)
}

/// Refuses policies of one owner that together come to too much.
pub(super) fn check_conditions(total: u64, id: &str) -> Result<(), LintFault> {
    if total <= MAX_CONDITIONS {
        return Ok(());
    }
    Err(LintFault::new(
        format!(
            "with policy `{id}` the policies come to more than {MAX_CONDITIONS} conditions, and each list of each reader evaluates all of them"
        ),
        "do not compare conditions with `==` or choose between them with `if`: say in `&&` and `||` what is meant, \
         and list topics or partners in `[…]`",
    ))
}

/// How many conditions it takes to say when an expression holds, and when it errs: as [`super::residual`] puts them, had nothing
/// become simpler.
#[derive(Clone, Copy)]
struct Size {
    holds: u64,
    errs: u64,
}

impl Size {
    const ONE: Self = Self { holds: 1, errs: 0 };

    fn of(expr: &Expr) -> Self {
        match expr {
            Expr::UnaryOp { expr, .. } => Self::of(expr),
            Expr::BinaryOp { op: BinaryOp::And | BinaryOp::Or, left, right } => Self::of(left).and(Self::of(right)),
            Expr::BinaryOp { op: BinaryOp::Eq | BinaryOp::NotEq, left, right } => {
                let are_values = is_value(left) && is_value(right);
                let (left, right) = (Self::of(left), Self::of(right));
                let holds = if are_values { 1 } else { left.holds.saturating_add(right.holds).saturating_mul(2) };
                Self { holds, errs: left.errs.saturating_add(right.errs) }
            }
            Expr::BinaryOp { left, right, .. } => {
                let (left, right) = (Self::of(left), Self::of(right));
                Self { holds: left.holds.max(right.holds), errs: left.errs.max(right.errs) }
            }
            Expr::IfThenElse { cond, then_expr, else_expr } => {
                let (cond, then, other) = (Self::of(cond), Self::of(then_expr), Self::of(else_expr));
                let branch = |errs: u64| if errs == 0 { 0 } else { cond.holds.saturating_add(errs) };
                Self {
                    holds: cond.holds.saturating_mul(2).saturating_add(then.holds).saturating_add(other.holds),
                    errs: cond.errs.saturating_add(branch(then.errs)).saturating_add(branch(other.errs)),
                }
            }
            Expr::Set(values) => Self { holds: (values.len() as u64).max(1), errs: 0 },
            Expr::Like { expr, .. } | Expr::Is { expr, .. } => Self { holds: 1, errs: Self::of(expr).errs },
            // The one attribute that a proposal may lack.
            Expr::GetAttr { attr, .. } => Self { holds: 1, errs: u64::from(attr.as_str() == "topic") },
            _ => Self::ONE,
        }
    }

    /// Both, the right one asked only where the left one holds.
    fn and(self, right: Self) -> Self {
        let errs = if right.errs == 0 { 0 } else { self.holds.saturating_add(right.errs) };
        Self { holds: self.holds.saturating_add(right.holds), errs: self.errs.saturating_add(errs) }
    }
}

/// Whether it is compared with another as one value, and not as a condition that is itself true or false.
fn is_value(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(_) | Expr::Var(_) | Expr::GetAttr { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{GUARDRAILS, PartnerRules, source};
    use proptest::prelude::{any, proptest};

    fn policy(condition: &str) -> String {
        format!(
            "@id(\"x\") @side(\"release\")\n@reason(\"a test of bounds\")\npermit(principal, action, resource is Proposal) when {{ {condition} }};"
        )
    }

    fn refused(condition: &str) -> String {
        PartnerRules::parse("ISR", &"ISR".parse().unwrap(), &policy(condition)).unwrap_err().to_string()
    }

    fn taken(condition: &str) {
        PartnerRules::parse("ISR", &"ISR".parse().unwrap(), &policy(condition)).unwrap();
    }

    const FUNDED: &str = "resource.call.funders.contains(Partner::\"ISR\")";

    fn equal(levels: usize) -> String {
        (0..levels).fold(FUNDED.to_owned(), |inner, _| format!("({FUNDED}) == ({inner})"))
    }

    #[test]
    fn brackets_are_taken_up_to_their_bound_and_refused_past_it_with_the_line() {
        // The condition's own brace and the call of `contains` are two of them.
        let nested = |depth: usize| format!("{}{FUNDED}{}", "(".repeat(depth), ")".repeat(depth));
        taken(&nested(MAX_DEPTH - 2));
        for depth in [MAX_DEPTH - 1, 200, 10_000] {
            let error = refused(&nested(depth));
            assert!(error.starts_with("ISR:3: ") && error.contains("more than 16 deep"), "{error}");
        }
        for open in ["[", "{", "!(", "-(", "if (", "true == ("] {
            assert!(refused(&open.repeat(200)).contains("deep"), "{open}");
        }
        let error = refused(&format!("\n\n{}", "(".repeat(20)));
        assert!(error.starts_with("ISR:5: "), "{error}");
    }

    #[test]
    fn operators_are_taken_up_to_their_bound_and_refused_past_it() {
        for join in [" && ", " || "] {
            taken(&vec![FUNDED; MAX_OPERATORS].join(join));
            for many in [MAX_OPERATORS + 2, 1_000, 2_000] {
                let error = refused(&vec!["true"; many].join(join));
                assert!(error.contains("more than 200 operators") && error.contains("several policies"), "{error}");
            }
        }
        let chain = |many: usize| format!("{}true{}", "if true then ".repeat(many), " else false".repeat(many));
        assert!(refused(&chain(1_000)).contains("operators"));
        assert!(refused(&"!".repeat(1_000)).contains("operators"));
        for attribute in [".call", "[\"call\"]", " [ \"call\" ]", "[\"call\"] // of it\n", ".call[\"program\"]"] {
            assert!(refused(&format!("resource{}", attribute.repeat(2_000))).contains("attributes"), "{attribute}");
        }
        assert!(refused(&format!("[1]{}", "[\"a\"]".repeat(1_000))).contains("attributes"));
        assert!(refused(&format!("(resource){}", "[\"a\"]".repeat(1_000))).contains("attributes"));
        let sets = "resource.topic in [\"a\"] ".repeat(MAX_PATH + 4);
        assert!(!refused(&sets).contains("attributes"), "sets are no paths");
        // Not those of a text or a remark.
        let written = format!(" && resource.topic like \"{}*\"", "!(&&".repeat(MAX_PATTERN / 4 - 1));
        taken(&format!("{FUNDED} // {}\n && resource has topic{}", "&& ((".repeat(500), written.repeat(3)));
    }

    #[test]
    fn sets_and_patterns_are_taken_up_to_their_bounds_and_refused_past_them() {
        let set = |many: usize| (0..many).map(|n| format!("\"t{n}\"")).collect::<Vec<_>>().join(", ");
        let topics = |many: usize| format!("resource has topic && [{}].contains(resource.topic)", set(many));
        taken(&topics(MAX_VALUES));
        for many in [MAX_VALUES + 1, 3_990] {
            let error = refused(&topics(many));
            assert!(error.starts_with("ISR:3: ") && error.contains("more than 200 values"), "{error}");
            assert!(error.contains("several sets of at most 200"), "{error}");
        }
        let like = |long: usize| format!("resource has topic && resource.topic like \"{}\"", "a".repeat(long));
        taken(&like(MAX_PATTERN));
        taken(&like(MAX_PATTERN).replace("like", "like // a pattern\n"));
        assert!(refused(&like(MAX_PATTERN + 1)).contains("longer than 200 characters"));
        assert!(refused(&like(MAX_PATTERN + 1).replace("like", "like // a pattern\n")).contains("longer than"));
        // In a scope, too, and not what stands between other brackets.
        let actions = vec!["Action::\"View\""; MAX_VALUES + 1].join(", ");
        let scope = policy("true").replace("action,", &format!("action in [{actions}],"));
        let error = PartnerRules::parse("ISR", &"ISR".parse().unwrap(), &scope).unwrap_err().to_string();
        assert!(error.contains("more than 200 values"), "{error}");
    }

    #[test]
    fn clauses_count_as_operators() {
        let clauses = |many: usize| vec![FUNDED; many].join(" } when { ");
        // The scope has one.
        taken(&clauses(MAX_OPERATORS));
        for many in [MAX_OPERATORS + 2, 4_000] {
            assert!(refused(&vec!["true"; many].join(" } unless { ")).contains("more than 200 operators"), "{many}");
        }
        assert!(refused(&clauses(MAX_OPERATORS + 2)).contains("more than 200 operators"));
    }

    #[test]
    fn conditions_that_double_are_refused_before_anybody_asks() {
        taken(&equal(8));
        for levels in [12, 13] {
            let error = refused(&equal(levels));
            assert!(error.contains("more than 4000 conditions"), "{error}");
        }
        let chosen = |levels: usize| {
            (0..levels).fold(FUNDED.to_owned(), |inner, _| format!("if ({inner}) then {FUNDED} else {FUNDED}"))
        };
        assert!(refused(&chosen(12)).contains("conditions"));
    }

    #[test]
    fn conditions_of_all_policies_count_together() {
        let one = |n: usize| policy(&equal(6)).replace("\"x\"", &format!("\"p{n}\""));
        let text = |many: usize| (0..many).map(|n| one(n) + "\n").collect::<String>();
        let code = "ISR".parse().unwrap();
        PartnerRules::parse("ISR", &code, &text(10)).unwrap();
        let error = PartnerRules::parse("ISR", &code, &text(30)).unwrap_err();
        assert!(error.to_string().contains("more than 4000 conditions"), "{error}");
        assert!(error.line().is_some_and(|line| line > 30));
    }

    #[test]
    fn guardrails_that_come_with_the_program_are_far_from_the_bounds() {
        let sum: u64 = source::chunks(GUARDRAILS)
            .into_iter()
            .map(|(_, chunk)| {
                check_text(chunk).unwrap_or_else(|(_, refused)| panic!("{}", refused.what));
                conditions(&Policy::parse(None, chunk).unwrap())
            })
            .sum();
        assert!(sum * 4 < MAX_CONDITIONS, "{sum}");
    }

    #[test]
    fn comment_ends_where_it_ends_for_cedar() {
        let deep = format!("{}true{}", "(".repeat(10_000), ")".repeat(10_000));
        for (end, fault) in [("\r", "U+000D"), ("\r\n", "more than 16 deep"), ("\n", "more than 16 deep")] {
            let error = refused(&format!("{FUNDED} // nothing{end}&& {deep}"));
            assert!(error.contains(fault), "{end:?}: {error}");
            // The measure by itself, whatever was looked at before.
            let text = policy(&format!("{FUNDED} // nothing{end}&& {deep}"));
            assert!(check_text(&text).unwrap_err().1.what.contains("more than 16 deep"), "{end:?}");
        }
        taken(&format!("{FUNDED} // in a comment nothing counts: {}\r\n", "(".repeat(100)));
    }

    #[test]
    fn number_ends_with_its_digits() {
        let values = vec!["\"a\""; MAX_VALUES + 1].join(",");
        let error = refused(&format!("if 1==1then[{values}].contains(resource.topic)else false"));
        assert!(error.contains(&format!("more than {MAX_VALUES}")), "{error}");
    }

    proptest! {
        #[test]
        fn whatever_the_text_measuring_ends_and_reading_does_not_break(text in any::<String>(), tail in "[\"(){}!&|=.a ;/\n\r\\\\-]{0,400}") {
            let _ = check_text(&text);
            let _ = PartnerRules::parse("ISR", &"ISR".parse().unwrap(), &(policy(&tail) + &text));
        }
    }
}
