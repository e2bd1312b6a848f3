//! Maps each attribute of a predicate to tables and columns, once for both engines.
//!
//! Every condition made here is true or false and never NULL, so that it may stand under a NOT. Values are arguments; a text
//! put together here holds constants of this program and placeholders alone.

use super::{
    super::{Arg, StoreError, ToArg, db::Dialect, decisions::DECIDES},
    values::{Asks, Part, SoughtColumn, how_many},
};
use crate::{
    domain::id::{MemberId, ProposalId},
    policy::predicate::{Atom, Flag, Members, Piece, Predicate, RowFact, Set, Text, Value},
};
use std::collections::{BTreeSet, HashMap};

/// A statement in the making: its text, and each value once.
#[derive(Debug)]
pub(super) struct SqlBuilder<'a> {
    dialect: &'static Dialect,
    me: &'a MemberId,
    args: Vec<Arg>,
    placeholders: HashMap<String, usize>,
    /// The sets whose rows `o` led to the proposal, each with a column there that says which of them did.
    joined_own_sets: Vec<Members>,
    /// The joined rows, `j0` and so on, when all proposals are examined.
    left_joins: Option<Vec<String>>,
}

/// The most kinds of rows that are joined: both engines bound how many tables they bring into the best order.
const MAX_LEFT_JOINS: usize = 6;

/// More parts than this are put in brackets by halves, for SQLite bounds how deep an expression may be.
const MAX_FLAT_PARTS: usize = 40;

impl<'a> SqlBuilder<'a> {
    pub(super) fn new(dialect: &'static Dialect, me: &'a MemberId) -> Self {
        Self {
            dialect,
            me,
            args: Vec::new(),
            placeholders: HashMap::new(),
            joined_own_sets: Vec::new(),
            left_joins: None,
        }
    }

    pub(super) fn dialect(&self) -> &'static Dialect {
        self.dialect
    }

    pub(super) fn args(self) -> Vec<Arg> {
        self.args
    }

    /// A placeholder for the value.
    pub(super) fn bind(&mut self, value: &(impl ToArg + ?Sized)) -> String {
        let arg = value.to_arg();
        let next = self.args.len() + 1;
        let number = *self.placeholders.entry(format!("{arg:?}")).or_insert(next);
        if number == next {
            self.args.push(arg);
        }
        format!("${number}")
    }

    /// Placeholders for the values, with commas.
    pub(super) fn bind_all<T: ToArg>(&mut self, values: impl IntoIterator<Item = T>) -> String {
        values.into_iter().map(|value| self.bind(&value)).collect::<Vec<_>>().join(", ")
    }

    /// The member who lists.
    pub(super) fn me(&mut self) -> String {
        let me = self.me;
        self.bind(me)
    }

    /// The condition on the row `p` of `proposals`.
    pub(super) fn condition(&mut self, predicate: &Predicate) -> Result<String, StoreError> {
        Ok(match predicate {
            Predicate::Const(value) => if *value { "TRUE" } else { "FALSE" }.to_owned(),
            Predicate::Is(atom) => self.atom(atom)?,
            Predicate::IsNot(atom) => format!("NOT ({})", self.atom(atom)?),
            Predicate::All(parts) => balanced(&self.conditions(parts, true)?, " AND "),
            Predicate::Any(parts) => balanced(&self.conditions(parts, false)?, " OR "),
        })
    }

    fn conditions(&mut self, parts: &[Predicate], all: bool) -> Result<Vec<String>, StoreError> {
        // What the row itself says comes first, for PostgreSQL asks in the order of cost alone.
        let mut parts = Part::of(parts, all);
        parts.sort_by_cached_key(Part::cost);
        parts.iter().map(|part| self.part(part)).collect()
    }

    fn part(&mut self, part: &Part<'_>) -> Result<String, StoreError> {
        let (column, values, asks) = match part {
            Part::One(predicate) => return self.condition(predicate),
            Part::Values { column, values, asks } => (*column, values, *asks),
        };
        let (names, count) = (self.bind_all(values.iter().copied()), values.len());
        Ok(match (asks, column) {
            (Asks::Some, _) => self.some_value(column, &names),
            (Asks::None, _) => format!("NOT ({})", self.some_value(column, &names)),
            (Asks::All, _) => format!("{} = {count}", how_many(column, &names)),
            (Asks::NotAll, _) => format!("{} < {count}", how_many(column, &names)),
        })
    }

    /// The condition that the column has one of several values.
    fn some_value(&mut self, column: SoughtColumn, names: &str) -> String {
        match column {
            SoughtColumn::Topic => format!("COALESCE(p.topic IN ({names}), FALSE)"),
            SoughtColumn::Caveat => self.has_row(&format!("label_caveats s WHERE s.caveat IN ({names})")),
            SoughtColumn::Organisation => self.works_at_one(&format!("IN ({names})")),
        }
    }

    /// The condition that some party member works at a matching organisation.
    fn works_at_one(&mut self, fits: &str) -> String {
        self.has_row(&format!("proposal_members s WHERE s.employer_folded <> '' AND s.employer_folded {fits}"))
    }

    fn atom(&mut self, atom: &Atom) -> Result<String, StoreError> {
        Ok(match atom {
            Atom::HasTopic => "p.topic IS NOT NULL".to_owned(),
            Atom::Equals(Text::Topic, value) => format!("COALESCE(p.topic = {}, FALSE)", self.bind(value)),
            Atom::Like(Text::Topic, pattern) => {
                let (operator, suffix) = (self.dialect.like.operator, self.dialect.like.suffix);
                let pattern = self.pattern(pattern);
                format!("COALESCE(p.topic {operator} {}{suffix}, FALSE)", self.bind(&pattern))
            }
            Atom::Contains(Set::Parties, Value::Written(code)) => self.is_among("parties_key", code),
            Atom::Contains(Set::ReleasableTo, Value::Written(code)) => self.is_among("releasable_key", code),
            Atom::Contains(Set::Caveats, Value::Written(name)) => {
                let rows = format!("label_caveats s WHERE s.caveat = {}", self.bind(name));
                self.has_row(&rows)
            }
            Atom::Contains(Set::Caveats, Value::Of(Text::Topic)) => has_caveat("s.caveat = p.topic"),
            Atom::Contains(Set::Organisations, Value::Written(name)) => {
                let name = self.bind(name);
                self.works_at_one(&format!("= {name}"))
            }
            Atom::Contains(Set::Organisations, Value::Of(Text::Topic)) => {
                works_at(|employer| format!("{employer} = p.topic"))
            }
            Atom::Within(Set::Parties, codes) if codes.is_empty() => "FALSE".to_owned(),
            Atom::Within(Set::Parties, codes) => {
                let codes = self.bind_all(codes);
                format!(
                    "NOT EXISTS (SELECT 1 FROM proposal_parties s WHERE s.proposal_id = p.proposal_id \
                     AND s.partner NOT IN ({codes}))"
                )
            }
            Atom::Within(Set::ReleasableTo, codes) if codes.is_empty() => "p.releasable_key = ''".to_owned(),
            Atom::Within(Set::ReleasableTo, codes) => {
                let codes = self.bind_all(codes);
                format!(
                    "NOT EXISTS (SELECT 1 FROM label_partners s WHERE s.proposal_id = p.proposal_id \
                     AND s.partner NOT IN ({codes}))"
                )
            }
            Atom::Within(Set::Caveats, names) if names.is_empty() => format!("NOT {}", has_caveat("TRUE")),
            Atom::Within(Set::Caveats, names) => {
                let names = self.bind_all(names);
                format!("NOT {}", has_caveat(&format!("s.caveat NOT IN ({names})")))
            }
            Atom::Within(Set::Organisations, names) if names.is_empty() => works_nowhere(|_| "TRUE".to_owned()),
            Atom::Within(Set::Organisations, names) => {
                let names = self.bind_all(names);
                works_nowhere(|employer| format!("{employer} NOT IN ({names})"))
            }
            Atom::Mine(members) if let Some(index) = self.joined_own_sets.iter().position(|set| set == members) => {
                format!("o.m{index} = 1")
            }
            Atom::Mine(members) => {
                let rows = self.own_rows(*members).ok_or_else(|| unmapped(atom))?;
                self.has_row(&rows)
            }
            Atom::Flag(Flag::Decided) => self.has_row(&format!("decisions s WHERE {DECIDES}")),
            Atom::Flag(Flag::Labelled) => "p.releasable_key <> ''".to_owned(),
            Atom::Row(RowFact::Withdrawn) => "p.withdrawn_at IS NOT NULL".to_owned(),
            Atom::Row(RowFact::CommittedSince(version)) => format!("p.committed_under >= {}", self.bind(version)),
            Atom::Row(RowFact::CompleteSince(version)) => format!("p.complete_under >= {}", self.bind(version)),
            Atom::Row(RowFact::OneOf(ids)) if ids.is_empty() => "FALSE".to_owned(),
            Atom::Row(RowFact::OneOf(ids)) => format!("p.proposal_id IN ({})", self.bind_all(ids)),
            // One after the last letter of base 32, so that the identifiers are one stretch of the index.
            Atom::Row(RowFact::Begins(beginning)) => {
                let first = format!("{}{beginning}", ProposalId::PREFIX);
                let (from, to) = (self.bind(&first), self.bind(&format!("{first}[")));
                format!("(p.proposal_id >= {from} AND p.proposal_id < {to})")
            }
            // The call is known before its proposals are asked for.
            Atom::Flag(_)
            | Atom::Equals(..)
            | Atom::Same(..)
            | Atom::Like(..)
            | Atom::Contains(..)
            | Atom::Within(..) => {
                return Err(unmapped(atom));
            }
        })
    }

    /// The proposals that own rows in these sets lead to, each once, to be joined as `o`. Conditions written after this
    /// read the columns of `o`; without such rows they read the tables.
    pub(super) fn join_own_rows(&mut self, sets: &BTreeSet<Members>) -> Option<String> {
        self.joined_own_sets.clear();
        let rows: Vec<(Members, String)> =
            sets.iter().filter_map(|members| Some((*members, self.own_rows(*members)?))).collect();
        let flags = |of: &dyn Fn(usize) -> String| (0..rows.len()).map(of).collect::<Vec<_>>().join(", ");
        let parts = rows.iter().enumerate().map(|(index, (_, rows))| {
            let each = flags(&|other| format!("{} AS m{other}", u8::from(other == index)));
            format!("SELECT s.proposal_id, {each} FROM {rows}")
        });
        let parts: Vec<String> = parts.collect();
        let each = flags(&|index| format!("MAX(u.m{index}) AS m{index}"));
        self.joined_own_sets = rows.iter().map(|(members, _)| *members).collect();
        let all = parts.join(" UNION ALL ");
        (!rows.is_empty()).then(|| format!("SELECT u.proposal_id, {each} FROM ({all}) u GROUP BY u.proposal_id"))
    }

    /// The rows `s` that make the listing member a member of the set; to be followed by more conditions.
    pub(super) fn own_rows(&mut self, members: Members) -> Option<String> {
        let me = self.me();
        Some(match members {
            // Who is asked to join, too: as `policy::facts` has it, nobody who runs the call, reviews, decides or is assigned.
            Members::PartyMembers => format!(
                "(SELECT q.proposal_id FROM proposal_members q WHERE q.member = {me} UNION ALL \
                 SELECT i.proposal_id FROM party_invitations i JOIN proposals c ON c.proposal_id = i.proposal_id \
                 WHERE i.member = {me} AND i.acceptance IS NULL \
                 AND NOT EXISTS (SELECT 1 FROM call_roles r WHERE r.call_id = c.call_id AND r.member = i.member \
                                 AND r.role <> 'observer') \
                 AND NOT EXISTS (SELECT 1 FROM assignments a WHERE a.proposal_id = i.proposal_id AND a.reviewer = i.member)) s \
                 WHERE TRUE"
            ),
            Members::Assigned => format!("assignments s WHERE s.reviewer = {me}"),
            Members::Conflicts => format!("declarations s WHERE s.member = {me} AND s.conflict"),
            Members::DeclaredClear => format!("declarations s WHERE s.member = {me} AND NOT s.conflict"),
            Members::Reviewed => format!(
                "reviews s WHERE s.reviewer = {me} AND s.reopened_at IS NULL AND s.revision = \
                 (SELECT MAX(l.revision) FROM reviews l WHERE l.proposal_id = s.proposal_id AND l.reviewer = s.reviewer)"
            ),
            Members::With(_) => return None,
        })
    }

    /// Whether the proposal has one of the rows `s`, which do not depend on the proposal.
    fn has_row(&mut self, rows: &str) -> String {
        let asked = || format!("EXISTS (SELECT 1 FROM {rows} AND s.proposal_id = p.proposal_id)");
        self.left_join(rows).unwrap_or_else(asked)
    }

    /// The same by a left join, if rows are joined and there is room for more.
    fn left_join(&mut self, rows: &str) -> Option<String> {
        let joined = self.left_joins.as_mut()?;
        let index = joined.iter().position(|known| known == rows).unwrap_or(joined.len());
        if index == MAX_LEFT_JOINS {
            return None;
        }
        if index == joined.len() {
            joined.push(rows.to_owned());
        }
        Some(format!("j{index}.proposal_id IS NOT NULL"))
    }

    /// All proposals that satisfy `what`, each once. Other tables are joined: a lookup for each proposal would take longer, and PostgreSQL
    /// would not run it on several cores.
    pub(super) fn all_proposals(
        &mut self,
        what: impl FnOnce(&mut Self) -> Result<String, StoreError>,
    ) -> Result<String, StoreError> {
        self.left_joins = Some(Vec::new());
        let holds = what(self)?;
        let joined = self.left_joins.take().unwrap_or_default();
        let join = |(index, rows): (usize, String)| {
            format!(
                " LEFT JOIN (SELECT DISTINCT s.proposal_id FROM {rows}) j{index} ON j{index}.proposal_id = p.proposal_id"
            )
        };
        let joins: String = joined.into_iter().enumerate().map(join).collect();
        Ok(format!("proposals p{joins} WHERE {holds}"))
    }

    /// Being one of the partners that a column holds as one text.
    fn is_among(&mut self, column: &'static str, code: &str) -> String {
        let position = self.dialect.position;
        format!("{position}(p.{column}, {}) > 0", self.bind(&format!(" {code} ")))
    }

    fn pattern(&self, pieces: &[Piece]) -> String {
        let like = &self.dialect.like;
        let mut pattern = String::new();
        for piece in pieces {
            match piece {
                Piece::Anything => pattern.push(like.anything),
                Piece::Letter(letter) if like.special.contains(letter) => {
                    pattern.push_str(like.escape.0);
                    pattern.push(*letter);
                    pattern.push_str(like.escape.1);
                }
                Piece::Letter(letter) => pattern.push(*letter),
            }
        }
        pattern
    }
}

/// Parts in brackets, by halves where they are many.
pub(super) fn balanced(parts: &[String], between: &str) -> String {
    if parts.len() <= MAX_FLAT_PARTS {
        return format!("({})", parts.join(between));
    }
    let (left, right) = parts.split_at(parts.len() / 2);
    format!("({}{between}{})", balanced(left, between), balanced(right, between))
}

fn unmapped(atom: &Atom) -> StoreError {
    StoreError::Statement(format!("no column says `{atom:?}`").into())
}

/// The condition that the label has a caveat of this kind.
fn has_caveat(which: &str) -> String {
    format!("EXISTS (SELECT 1 FROM label_caveats s WHERE s.proposal_id = p.proposal_id AND {which})")
}

/// The condition that a row `s` of its own table, keyed by the reviewer in its column `reviewer`, counts:
/// [`crate::policy::counts::review_set_aside`] for all rows at once.
pub(super) fn counts() -> String {
    let works_elsewhere = works_nowhere(|employer| format!("{employer} = w.organisation_folded"));
    format!(
        "NOT EXISTS (SELECT 1 FROM declarations d WHERE d.proposal_id = p.proposal_id AND d.member = s.reviewer AND d.conflict) \
         AND EXISTS (SELECT 1 FROM call_roles r WHERE r.call_id = p.call_id AND r.member = s.reviewer AND r.role = 'reviewer') \
         AND EXISTS (SELECT 1 FROM assignments a WHERE a.proposal_id = p.proposal_id AND a.reviewer = s.reviewer) \
         AND NOT EXISTS (SELECT 1 FROM proposal_members q WHERE q.proposal_id = p.proposal_id AND q.member = s.reviewer) \
         AND EXISTS (SELECT 1 FROM members w WHERE w.member = s.reviewer AND w.status = 'active' AND {works_elsewhere})"
    )
}

/// The condition that some party member works at an organisation of this kind, as it counts for this proposal.
fn works_at(which: impl Fn(&str) -> String) -> String {
    let which = which("s.employer_folded");
    format!(
        "EXISTS (SELECT 1 FROM proposal_members s WHERE s.proposal_id = p.proposal_id \
         AND s.employer_folded <> '' AND {which})"
    )
}

/// The contrary of [`works_at`].
fn works_nowhere(which: impl Fn(&str) -> String) -> String {
    format!("NOT {}", works_at(which))
}

#[cfg(test)]
mod tests {
    use super::{super::super::db::SQLITE, *};

    fn said(predicate: &Predicate) -> (String, usize) {
        let me = "ISR:avi".parse().unwrap();
        let mut builder = SqlBuilder::new(&SQLITE, &me);
        let text = builder.condition(predicate).unwrap();
        (text, builder.args().len())
    }

    #[test]
    fn values_of_one_column_are_looked_for_at_once() {
        let values = |atom: fn(String) -> Atom| (0..200).map(move |n| Predicate::from(atom(format!("v{n}"))));
        let caveats = || values(|value| Atom::Contains(Set::Caveats, Value::Written(value)));
        let employers = || values(|value| Atom::Contains(Set::Organisations, Value::Written(value)));
        let topics = || values(|value| Atom::Equals(Text::Topic, value));
        for (condition, looks) in [
            (Predicate::any(caveats()), 1),
            (Predicate::any(caveats()).negated(), 1),
            (Predicate::all(caveats()), 1),
            (Predicate::all(caveats()).negated(), 1),
            (Predicate::any(employers()), 1),
            (Predicate::any(employers()).negated(), 1),
            (Predicate::all(employers()), 1),
            (Predicate::any(topics()), 0),
            (Predicate::any(topics()).negated(), 0),
            (Predicate::any(caveats().chain(topics())), 1),
        ] {
            let (text, args) = said(&condition);
            assert_eq!((text.matches("SELECT ").count(), args), (looks, 200), "{text}");
        }
    }
}
