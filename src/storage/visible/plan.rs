//! How to go about a question: which groups of proposals can be left out, and whether what is left is few enough to put in
//! order, few enough groups to merge, or so much that it is best walked past.
//!
//! A plan may be slow when it misjudges; it must never leave out a proposal that the condition holds for.

use super::{
    super::{Sql, StoreError, Tx},
    Classes, Question, Writer, own_sets,
};
use crate::{
    domain::id::CallId,
    policy::predicate::{Atom, Predicate, Set, Value},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

/// A place where to look, and what for: calls, with these parties or whichever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) calls: Vec<CallId>,
    pub(super) parties: Option<Vec<String>>,
    pub(super) holds: Predicate,
    /// Whether a good part of all proposals is in it.
    pub(super) is_large: bool,
}

/// How to bring what the scopes hold into order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// There is nothing.
    None,
    /// All at once, and sort.
    Sort,
    /// A page of each of these, and merge.
    Merge(Vec<Scope>),
    /// Past all proposals in order, this many at first.
    Walk(u32),
}

#[derive(Debug)]
pub(super) struct Plan {
    /// Where a row of the member's own can make the condition true, and what else it comes down to there.
    pub(super) own: Vec<Own>,
    /// Where it may hold without.
    pub(super) scopes: Vec<Scope>,
    pub(super) way: Way,
}

/// Calls under which rows of the member's own are looked at.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) calls: Vec<CallId>,
    /// The other way leads to those of these parties.
    pub(super) without: Vec<String>,
    pub(super) holds: Predicate,
}

/// A scope is large if it holds this part of all proposals.
const LARGE: u64 = 4;

/// Groups that one statement merges.
const GROUPS: usize = 24;

/// Groups that are looked up one by one to see how much is in them.
const KNOWN_GROUPS: u32 = 4_096;

/// Plans made already, by how many proposals are asked for and how many are few, each with how many there were.
#[derive(Debug, Default)]
pub(super) struct Plans(Mutex<Made>);

type Made = HashMap<(u64, u32), (u64, Arc<Plan>)>;

/// How many ways to ask are remembered before all are forgotten.
const REMEMBERED: usize = 8;

impl Plan {
    /// The plan for a question. What it goes by changes when a proposal is begun and at no other time: a group that it leaves out
    /// because nothing is in it would have something in it then.
    pub(super) async fn of(tx: &mut Tx, question: &Question<'_>, limit: u64) -> Result<Arc<Self>, StoreError> {
        let (plans, key) = (&question.classes.plans.0, (limit, question.few));
        if let Some((begun, plan)) = plans.lock().unwrap_or_else(PoisonError::into_inner).get(&key)
            && *begun == question.begun
        {
            return Ok(Arc::clone(plan));
        }
        let plan = Arc::new(Self::make(tx, question, limit).await?);
        let mut plans = plans.lock().unwrap_or_else(PoisonError::into_inner);
        if plans.len() >= REMEMBERED {
            plans.clear();
        }
        plans.insert(key, (question.begun, Arc::clone(&plan)));
        Ok(plan)
    }

    async fn make(tx: &mut Tx, question: &Question<'_>, limit: u64) -> Result<Self, StoreError> {
        let (mut own, mut scopes) = (Vec::new(), Vec::new());
        if question.classes.all().is_empty() {
            return Ok(Self { own, scopes, way: Way::None });
        }
        let tallies = Tallies::read(tx, question.classes).await?;
        for class in question.classes.all() {
            let calls: Vec<CallId> =
                class.calls.iter().filter(|call| tallies.calls.contains_key(call)).copied().collect();
            if calls.is_empty() {
                continue;
            }
            // Where no row of one's own is needed the condition could hold with each denied.
            let could = |key: &&String| {
                class.holds.could_hold(&mut |atom| if is_own(atom) { Some(false) } else { of_parties(atom, key) })
            };
            let (left, others): (Vec<&String>, Vec<&String>) = tallies.parties.keys().partition(could);
            let holds = settled(&class.holds, &others);
            if !others.is_empty() && !own_sets(&holds).is_empty() {
                let without = left.iter().copied().cloned().collect();
                own.push(Own { calls: calls.clone(), without, holds });
            }
            if !left.is_empty() {
                let holds = settled(&class.holds, &left);
                let parties = (!others.is_empty()).then(|| left.into_iter().cloned().collect());
                let mut scope = Scope { calls, parties, holds, is_large: false };
                scope.is_large = tallies.estimate(&scope) >= tallies.all / LARGE;
                scopes.push(scope);
            }
        }
        let way =
            if scopes.is_empty() { Way::None } else { way(tx, &tallies, &mut scopes, limit, question.few).await? };
        Ok(Self { own, scopes, way })
    }
}

/// What is left of a condition where all these parties settle a part of it alike.
fn settled(holds: &Predicate, parties: &[&String]) -> Predicate {
    holds.replaced(&mut |atom| {
        let mut values = parties.iter().map(|key| of_parties(atom, key));
        let first = values.next()??;
        values.all(|value| value == Some(first)).then_some(Predicate::Const(first))
    })
}

async fn way(tx: &mut Tx, tallies: &Tallies, scopes: &mut Vec<Scope>, limit: u64, few: u32) -> Result<Way, StoreError> {
    let estimate: u64 = scopes.iter().map(|scope| tallies.estimate(scope)).sum();
    let walk = |left: u64| limit.saturating_mul(tallies.all) / left.max(1);
    let window =
        |left: u64| Way::Walk(u32::try_from(walk(left).saturating_mul(2)).unwrap_or(u32::MAX).clamp(few + 24, 1 << 16));
    let whole_calls = scopes.iter().all(|scope| scope.parties.is_none());
    if walk(estimate) <= 3 * limit && !(whole_calls && one_call(scopes)) {
        return Ok(window(estimate));
    }
    let (mut groups, mut left) = (Vec::new(), 0);
    for scope in scopes.iter() {
        match &scope.parties {
            None => {
                left += tallies.estimate(scope);
                groups.extend(scope.calls.iter().map(|call| Scope { calls: vec![*call], ..scope.clone() }));
            }
            Some(parties) => match tallies.groups(tx, &scope.calls, parties).await? {
                Some(found) => {
                    left += found.iter().map(|(.., proposals)| proposals).sum::<u64>();
                    groups.extend(found.into_iter().map(|(call, key, _)| narrowed(scope, call, key)));
                }
                // Too many to look up: they are many proposals, too.
                None => return Ok(window(estimate)),
            },
        }
    }
    Ok(if groups.is_empty() {
        scopes.clear();
        Way::None
    } else if left <= u64::from(few) {
        Way::Sort
    } else if groups.len() <= GROUPS && groups.len() as u64 <= walk(left) / limit.max(1) + 1 {
        Way::Merge(if tx.dialect().indexed_by.is_some() { as_one(groups) } else { groups })
    } else if left <= walk(left) {
        Way::Sort
    } else {
        window(left)
    })
}

fn one_call(scopes: &[Scope]) -> bool {
    scopes.iter().map(|scope| scope.calls.len()).sum::<usize>() == 1
}

/// Groups of which the same is asked are one to an engine that leaves each where the rest comes too late.
fn as_one(groups: Vec<Scope>) -> Vec<Scope> {
    let mut merged: Vec<Scope> = Vec::new();
    for group in groups {
        match merged.iter_mut().find(|known| known.parties == group.parties && known.holds == group.holds) {
            Some(known) => known.calls.extend(group.calls),
            None => merged.push(group),
        }
    }
    merged
}

/// One group, with what is left of the condition there.
fn narrowed(scope: &Scope, call: CallId, key: String) -> Scope {
    let holds = scope.holds.replaced(&mut |atom| of_parties(atom, &key).map(Predicate::Const));
    Scope { calls: vec![call], parties: Some(vec![key]), holds, is_large: false }
}

/// What the tables count.
#[derive(Debug)]
struct Tallies {
    /// Proposals in all.
    all: u64,
    /// By parties.
    parties: BTreeMap<String, u64>,
    /// By call, of the calls asked about.
    calls: BTreeMap<CallId, u64>,
}

impl Tallies {
    async fn read(tx: &mut Tx, classes: &Classes) -> Result<Self, StoreError> {
        let asked: Vec<super::super::Arg> =
            classes.all().iter().flat_map(|class| &class.calls).map(super::super::Arg::text).collect();
        let marks = (1..=asked.len()).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ");
        let sql = format!(
            "SELECT call_id, parties_key, proposals FROM proposal_tallies \
             WHERE call_id = '' UNION ALL \
             SELECT call_id, parties_key, proposals FROM proposal_tallies WHERE parties_key = '' AND call_id IN ({marks})"
        );
        let (mut parties, mut calls) = (BTreeMap::new(), BTreeMap::new());
        for row in tx.fetch_all(Sql::built(sql), asked).await? {
            let (call, proposals) = (row.text("call_id")?, row.count("proposals")?);
            if call.is_empty() {
                parties.insert(row.text("parties_key")?, proposals);
            } else {
                calls.insert(row.parse("call_id")?, proposals);
            }
        }
        let all = parties.remove("").unwrap_or_default();
        Ok(Self { all, parties, calls })
    }

    /// How many proposals a scope holds if each call has the usual mixture of parties.
    fn estimate(&self, scope: &Scope) -> u64 {
        let of_calls: u64 = scope.calls.iter().filter_map(|call| self.calls.get(call)).sum();
        let Some(parties) = &scope.parties else { return of_calls };
        let share: u64 = parties.iter().filter_map(|key| self.parties.get(key)).sum();
        let estimate = u128::from(of_calls) * u128::from(share) / u128::from(self.all.max(1));
        u64::try_from(estimate).unwrap_or(u64::MAX).max(1)
    }

    /// The groups there are of these calls and parties, or nothing when there are too many to look at.
    async fn groups(
        &self,
        tx: &mut Tx,
        calls: &[CallId],
        parties: &[String],
    ) -> Result<Option<Vec<(CallId, String, u64)>>, StoreError> {
        let mut args: Vec<super::super::Arg> = calls.iter().map(super::super::Arg::text).collect();
        args.extend(parties.iter().map(super::super::Arg::text));
        let mark =
            |range: std::ops::RangeInclusive<usize>| range.map(|n| format!("${n}")).collect::<Vec<_>>().join(", ");
        let sql = format!(
            "SELECT call_id, parties_key, proposals FROM proposal_tallies WHERE call_id IN ({}) AND parties_key IN ({}) \
             LIMIT {}",
            mark(1..=calls.len()),
            mark(calls.len() + 1..=args.len()),
            KNOWN_GROUPS + 1
        );
        let found = tx.fetch_all(Sql::once(sql), args).await?;
        if found.len() > KNOWN_GROUPS as usize {
            return Ok(None);
        }
        let groups = found
            .iter()
            .map(|row| Ok((row.parse("call_id")?, row.text("parties_key")?, row.count("proposals")?)))
            .collect::<Result<_, StoreError>>()?;
        Ok(Some(groups))
    }
}

impl Writer<'_> {
    /// Being in the scope, whatever else.
    pub(super) fn place(&mut self, scope: &Scope) -> String {
        let calls = self.marks(&scope.calls);
        let calls = format!("p.call_id IN ({calls})");
        match &scope.parties {
            None => calls,
            Some(parties) => format!("{calls} AND p.parties_key IN ({})", self.marks(parties)),
        }
    }

    /// Being in the scope and satisfying its condition.
    pub(super) fn scope(&mut self, scope: &Scope) -> Result<String, StoreError> {
        let place = self.place(scope);
        Ok(match &scope.holds {
            Predicate::Const(true) => format!("({place})"),
            holds => format!("({place} AND {})", self.condition(holds)?),
        })
    }
}

fn is_own(atom: &Atom) -> bool {
    matches!(atom, Atom::Mine(members) if !members.is_of_call())
}

/// What the parties alone settle.
fn of_parties(atom: &Atom, key: &str) -> Option<bool> {
    match atom {
        Atom::Contains(Set::Parties, Value::Written(code)) => Some(key.split(' ').any(|party| party == code)),
        Atom::Within(Set::Parties, codes) => {
            Some(key.split(' ').filter(|party| !party.is_empty()).all(|party| codes.contains(party)))
        }
        _ => None,
    }
}
