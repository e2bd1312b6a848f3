//! Combines the parts of one condition that test the same column: a list under a text with thousands of values takes a few steps.
//!
//! A combined condition must mean the same as its parts.

use crate::policy::predicate::{Atom, Flag, Predicate, Set, Text, Value};

/// A part of a condition: several values of one column are tested at once, since each lookup in another table is planned by itself.
pub(super) enum Part<'p> {
    One(&'p Predicate),
    Values { column: SoughtColumn, values: Vec<&'p str>, asks: Asks },
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum SoughtColumn {
    Topic,
    Caveat,
    Organisation,
}

/// The required ones of several values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    Some,
    None,
    All,
    NotAll,
}

impl<'p> Part<'p> {
    /// The parts that are joined by AND or by OR, those put together that name single values of one column.
    pub(super) fn of(parts: &'p [Predicate], all: bool) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::with_capacity(parts.len());
        // A column is asked in two ways at most under one of them.
        let mut places: Vec<((SoughtColumn, Asks), usize)> = Vec::new();
        for part in parts {
            let Some((column, value, asks)) = asked(part, all) else {
                found.push(Self::One(part));
                continue;
            };
            match places.iter().find(|(known, _)| *known == (column, asks)) {
                None => {
                    places.push(((column, asks), found.len()));
                    found.push(Self::One(part));
                }
                Some((_, place)) => match &mut found[*place] {
                    Self::Values { values, .. } => values.push(value),
                    Self::One(first) => {
                        let first: &'p Predicate = first;
                        let first = asked(first, all).map(|(_, first, _)| first);
                        let values = first.into_iter().chain([value]).collect();
                        found[*place] = Self::Values { column, values, asks };
                    }
                },
            }
        }
        found
    }

    pub(super) fn cost(&self) -> usize {
        match self {
            Self::One(predicate) => cost(predicate),
            Self::Values { column: SoughtColumn::Topic, .. } => 0,
            Self::Values { column: SoughtColumn::Caveat, .. } => 1,
            Self::Values { column: SoughtColumn::Organisation, .. } => 4,
        }
    }
}

/// For an atom that names one value of a column: the column, the value, and the combined test of several of them.
fn asked(part: &Predicate, all: bool) -> Option<(SoughtColumn, &str, Asks)> {
    let (atom, stands) = match part {
        Predicate::Is(atom) => (atom, true),
        Predicate::IsNot(atom) => (atom, false),
        _ => return None,
    };
    let (column, value) = match atom {
        Atom::Equals(Text::Topic, value) => (SoughtColumn::Topic, value),
        Atom::Contains(Set::Caveats, Value::Written(value)) => (SoughtColumn::Caveat, value),
        Atom::Contains(Set::Organisations, Value::Written(value)) => (SoughtColumn::Organisation, value),
        _ => return None,
    };
    let asks = match (stands, all) {
        (true, false) => Asks::Some,
        (false, true) => Asks::None,
        // No proposal has two topics.
        _ if column == SoughtColumn::Topic => return None,
        (true, true) => Asks::All,
        (false, false) => Asks::NotAll,
    };
    Some((column, value, asks))
}

/// How many of several values the column has.
pub(super) fn how_many(column: SoughtColumn, names: &str) -> String {
    match column {
        SoughtColumn::Topic => format!("CASE WHEN COALESCE(p.topic IN ({names}), FALSE) THEN 1 ELSE 0 END"),
        SoughtColumn::Caveat => format!(
            "(SELECT COUNT(DISTINCT s.caveat) FROM label_caveats s WHERE s.proposal_id = p.proposal_id AND s.caveat IN ({names}))"
        ),
        SoughtColumn::Organisation => format!(
            "(SELECT COUNT(DISTINCT s.employer_folded) FROM proposal_members s WHERE s.proposal_id = p.proposal_id \
             AND s.employer_folded <> '' AND s.employer_folded IN ({names}))"
        ),
    }
}

/// How many other rows it takes to evaluate the predicate.
fn cost(predicate: &Predicate) -> usize {
    let mut cost = 0;
    predicate.each_atom(&mut |atom, _| {
        cost += match atom {
            Atom::Flag(Flag::Labelled) => 0,
            Atom::Mine(_) | Atom::Flag(_) | Atom::Contains(Set::Caveats, _) => 1,
            Atom::Contains(Set::Organisations, _) | Atom::Within(..) => 4,
            _ => 0,
        };
    });
    cost
}
