//! The plan of a query: which buckets of proposals can be left out, and whether the rest is few enough to sort, few
//! enough buckets to merge, or so much that walking past all is best. A bucket is the proposals of one call with the
//! same parties.
//!
//! A plan may be slow when it misjudges; it must never leave out a proposal that the condition holds for. Where the conditions name
//! more values than a statement takes, it finds more than those, and says that the condition is still to be evaluated.

use super::{
    super::{Arg, Sql, StoreError, Tx, blocking::blocking, many::marks},
    CallGroups, ProposalQuery, SqlBuilder, own_sets,
};
use crate::{
    domain::id::CallId,
    policy::predicate::{Atom, Predicate, Set, Value},
    remembered::Remembered,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The scope of a search: calls, with these parties or with any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProposalScope {
    pub(super) calls: Vec<CallId>,
    pub(super) parties: Option<Vec<String>>,
    pub(super) holds: Predicate,
    /// Whether a good part of all proposals is in it.
    pub(super) is_large: bool,
}

/// How to sort what the scopes contain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Strategy {
    /// There is nothing.
    None,
    /// All at once, and sort.
    Sort,
    /// A page of each of these, and merge. What is large is walked, each bucket by itself.
    Merge { merged: Vec<ProposalScope>, walked: Vec<ProposalScope> },
    /// Past all proposals in order, this many at first.
    Walk(u32),
    /// All proposals there are, in order: there are too many calls or parties to name.
    All,
}

#[derive(Debug)]
pub(super) struct Plan {
    /// The member's own rows that can make the condition true, each with the condition that remains there.
    pub(super) own_rows: Vec<OwnRows>,
    /// The scopes in which the condition may be true without such a row.
    pub(super) scopes: Vec<ProposalScope>,
    pub(super) strategy: Strategy,
    /// How many values a statement of it names.
    pub(super) values: usize,
    /// Whether what it finds is still to be put to the condition.
    pub(super) is_open: bool,
}

/// Calls under which rows of the member's own are looked at.
#[derive(Debug)]
pub(super) struct OwnRows {
    pub(super) calls: Vec<CallId>,
    /// The search without own rows finds those of these parties.
    pub(super) without: Vec<String>,
    pub(super) holds: Predicate,
}

/// A scope is large if it holds this part of all proposals.
const LARGE: u64 = 4;

/// How many buckets one statement merges.
const MERGED_BUCKETS: usize = 24;

/// The size of the conditions of all buckets that one statement merges: each is read and planned by itself.
const MERGED_SIZE: usize = 20_000;

/// Up to this product of atoms and parties is evaluated on the present thread.
const DIVIDED_INLINE: usize = 10_000;

/// How many buckets are looked up one by one to count their proposals.
const MAX_BUCKETS: u32 = 4_096;

/// The most calls and parties that a statement names to look up their buckets.
const MAX_NAMED: usize = 20_000;

/// The most calls that a statement names to look up the number of their proposals.
const MAX_CALLS: usize = 1_000;

/// The most proposals that are sorted, however many there are in all.
const MAX_SORTED: u64 = 20_000;

/// Caches plans by the limit and by the limits of [`ProposalQuery`], each with the number of proposals when it was made.
#[derive(Debug, Default)]
pub(super) struct PlanCache(Remembered<PlanKey, (u64, Arc<Plan>), CACHED_PLANS, CACHED_SIZE>);

type PlanKey = (u64, (u32, u32, usize));

/// How many plans a cache holds, and of conditions of which size together: of long ones, two.
const CACHED_PLANS: usize = 8;
const CACHED_SIZE: usize = 16_000;

impl Plan {
    /// The plan of a query. What it depends on changes only when a proposal is begun: a bucket that it leaves out as
    /// empty would have a proposal then.
    pub(super) async fn of(tx: &mut Tx, query: &ProposalQuery<'_>, limit: u64) -> Result<Arc<Self>, StoreError> {
        let (plans, key) = (&query.groups.plans.0, (limit, (query.few, query.walked, query.values)));
        if let Some(plan) = plans.get_at(&key, &query.begun) {
            return Ok(plan);
        }
        let plan = Arc::new(Self::make(tx, query, limit).await?);
        plans.insert_weighing(key, (query.begun, Arc::clone(&plan)), query.groups.size);
        Ok(plan)
    }

    /// The buckets of which a page each is merged by one statement.
    pub(super) fn merged_buckets(&self) -> &[ProposalScope] {
        if let Strategy::Merge { merged, .. } = &self.strategy { merged } else { &[] }
    }

    /// The buckets that are walked beside them.
    pub(super) fn walked_buckets(&self) -> &[ProposalScope] {
        if let Strategy::Merge { walked, .. } = &self.strategy { walked } else { &[] }
    }

    async fn make(tx: &mut Tx, query: &ProposalQuery<'_>, limit: u64) -> Result<Self, StoreError> {
        let (mut own_rows, mut scopes) = (Vec::new(), Vec::new());
        if query.groups.all().is_empty() {
            return Ok(Self { own_rows, scopes, strategy: Strategy::None, values: 0, is_open: false });
        }
        let tallies = Tallies::read(tx, query.groups).await?;
        let keys: Arc<[String]> = tallies.parties.keys().cloned().collect();
        for group in query.groups.all() {
            let calls: Vec<CallId> =
                group.calls.iter().filter(|call| tallies.calls.contains_key(call)).copied().collect();
            if calls.is_empty() {
                continue;
            }
            let Divided { left, others, holds_left, holds_elsewhere } = divided(&group.holds, &keys).await?;
            if !others.is_empty() && !own_sets(&holds_elsewhere).is_empty() {
                own_rows.push(OwnRows { calls: calls.clone(), without: left.clone(), holds: holds_elsewhere });
            }
            if !left.is_empty() {
                let parties = (!others.is_empty()).then_some(left);
                let mut scope = ProposalScope { calls, parties, holds: holds_left, is_large: false };
                scope.is_large = tallies.estimate(&scope) >= tallies.all / LARGE;
                scopes.push(scope);
            }
        }
        let is_open = values(&own_rows, &scopes) > query.values;
        if is_open {
            // The calls, the parties and the member's own rows are left of the conditions.
            for own in &mut own_rows {
                own.holds = leading(&own.holds);
            }
            for scope in &mut scopes {
                scope.holds = true.into();
            }
        }
        let values = values(&own_rows, &scopes);
        if values > query.values {
            return Ok(Self { own_rows: Vec::new(), scopes: Vec::new(), strategy: Strategy::All, values: 0, is_open });
        }
        let strategy = if scopes.is_empty() {
            Strategy::None
        } else {
            strategy(tx, &tallies, &mut scopes, limit, (query.few, query.walked)).await?
        };
        Ok(Self { own_rows, scopes, strategy, values, is_open })
    }
}

/// How many values the statements of a plan name at the most.
fn values(own_rows: &[OwnRows], scopes: &[ProposalScope]) -> usize {
    let own = own_rows.iter().map(|own| own.calls.len() + own.without.len() + own.holds.size());
    let without = scopes.iter().map(|scope| {
        let parties = scope.parties.as_ref().map_or(0, Vec::len);
        scope.calls.len() + parties + scope.holds.size()
    });
    own.chain(without).sum()
}

/// The remaining condition if everything but the member's own rows might be true.
fn leading(holds: &Predicate) -> Predicate {
    Predicate::any(own_sets(holds).into_iter().map(|members| Atom::Mine(members).into()))
}

/// The parties of all proposals, by whether a condition could hold without a row of the member's own.
struct Divided {
    left: Vec<String>,
    others: Vec<String>,
    /// The remaining condition for each of the two.
    holds_left: Predicate,
    holds_elsewhere: Predicate,
}

/// Off the threads that serve others where both the condition and the parties are many.
async fn divided(holds: &Predicate, keys: &Arc<[String]>) -> Result<Divided, StoreError> {
    if holds.size().saturating_mul(keys.len()) <= DIVIDED_INLINE {
        return Ok(Divided::of(holds, keys));
    }
    let (holds, keys) = (holds.clone(), Arc::clone(keys));
    blocking(move || Ok(Divided::of(&holds, &keys))).await
}

impl Divided {
    fn of(holds: &Predicate, keys: &[String]) -> Self {
        // Where no row of one's own is needed the condition could hold with each denied.
        let could = |(_, parties): &(&String, BTreeSet<&str>)| {
            holds.could_hold(&mut |atom| if is_own_row(atom) { Some(false) } else { settled_by_parties(atom, parties) })
        };
        let (left, others): (Vec<_>, Vec<_>) = keys.iter().map(|key| (key, parties_of(key))).partition(could);
        let (holds_left, holds_elsewhere) = (settled(holds, &left), settled(holds, &others));
        let names = |of: Vec<(&String, BTreeSet<&str>)>| of.into_iter().map(|(key, _)| key.clone()).collect();
        Self { left: names(left), others: names(others), holds_left, holds_elsewhere }
    }
}

/// The remaining condition where all these parties settle a part of it alike.
fn settled(holds: &Predicate, parties: &[(&String, BTreeSet<&str>)]) -> Predicate {
    holds.replaced(&mut |atom| {
        let mut values = parties.iter().map(|(_, parties)| settled_by_parties(atom, parties));
        let first = values.next()??;
        values.all(|value| value == Some(first)).then_some(Predicate::Const(first))
    })
}

/// Chooses how to sort, from estimates and then, where these do not decide, from the counts of the buckets.
async fn strategy(
    tx: &mut Tx,
    tallies: &Tallies,
    scopes: &mut Vec<ProposalScope>,
    limit: u64,
    (few, most): (u32, u32),
) -> Result<Strategy, StoreError> {
    // How many proposals a walk passes before it has found a page, if so many of all are to be found.
    let walked = |found: u64| limit.saturating_mul(tallies.all) / found.max(1);
    let walk = |found: u64| {
        let first = u32::try_from(walked(found).saturating_mul(2)).unwrap_or(u32::MAX);
        Strategy::Walk(first.clamp(few + 24, 1 << 16))
    };
    let estimate: u64 = scopes.iter().map(|scope| tallies.estimate(scope)).sum();
    let whole_calls = scopes.iter().all(|scope| scope.parties.is_none());
    if walked(estimate) <= 3 * limit && !(whole_calls && one_call(scopes)) {
        return Ok(walk(estimate));
    }
    let Some(Buckets { each, proposals }) = Buckets::of(tx, tallies, scopes).await? else {
        // Too many to look up: they are many proposals, too.
        return Ok(walk(estimate));
    };
    if each.is_empty() {
        drop(each);
        scopes.clear();
        return Ok(Strategy::None);
    }
    let are_few = each.len() <= MERGED_BUCKETS && each.len() as u64 <= walked(proposals) / limit.max(1) + 1;
    let size = || each.iter().map(|bucket| bucket.scope.holds.size()).sum::<usize>();
    Ok(if proposals <= u64::from(few) {
        Strategy::Sort
    } else if are_few && size() <= MERGED_SIZE {
        let (merged, walked) = by_size(each, u64::from(most));
        let [merged, walked] = [merged, walked].map(|of| of.into_iter().map(Bucket::alone).collect::<Vec<_>>());
        Strategy::Merge { merged: if tx.dialect().indexed_by.is_some() { as_one(merged) } else { merged }, walked }
    } else if proposals <= walked(proposals).min(MAX_SORTED) {
        Strategy::Sort
    } else {
        walk(proposals)
    })
}

/// The buckets of all scopes, and their proposals together.
struct Buckets<'a> {
    each: Vec<Bucket<'a>>,
    proposals: u64,
}

/// A bucket of a scope. A call whose parties the condition leaves open is one without parties.
struct Bucket<'a> {
    scope: &'a ProposalScope,
    call: CallId,
    key: Option<String>,
    proposals: u64,
}

impl<'a> Buckets<'a> {
    /// Nothing when there are too many to look up.
    async fn of(tx: &mut Tx, tallies: &Tallies, scopes: &'a [ProposalScope]) -> Result<Option<Self>, StoreError> {
        let (mut each, mut proposals) = (Vec::new(), 0);
        for scope in scopes {
            let Some(parties) = &scope.parties else {
                proposals += tallies.estimate(scope);
                let of = |call: &CallId| tallies.calls.get(call).copied().unwrap_or_default();
                let buckets =
                    scope.calls.iter().map(|call| Bucket { scope, call: *call, key: None, proposals: of(call) });
                each.extend(buckets);
                continue;
            };
            let Some(found) = tallies.buckets(tx, &scope.calls, parties).await? else { return Ok(None) };
            proposals += found.iter().map(|(.., proposals)| proposals).sum::<u64>();
            let bucket = |(call, key, proposals)| Bucket { scope, call, key: Some(key), proposals };
            each.extend(found.into_iter().map(bucket));
        }
        Ok(Some(Self { each, proposals }))
    }
}

fn one_call(scopes: &[ProposalScope]) -> bool {
    scopes.iter().map(|scope| scope.calls.len()).sum::<usize>() == 1
}

/// The buckets that one statement may merge, for it may pass all proposals of each, and the larger ones.
fn by_size(mut each: Vec<Bucket<'_>>, most: u64) -> (Vec<Bucket<'_>>, Vec<Bucket<'_>>) {
    if each.iter().map(|bucket| bucket.proposals).sum::<u64>() <= most {
        return (each, Vec::new());
    }
    each.sort_by_key(|bucket| bucket.proposals);
    let mut passed = 0;
    each.into_iter().partition(|bucket| {
        passed += bucket.proposals;
        passed <= most / 2
    })
}

/// Buckets with the same condition are merged for an engine that leaves each where the rest comes too late.
fn as_one(buckets: Vec<ProposalScope>) -> Vec<ProposalScope> {
    let mut merged: Vec<ProposalScope> = Vec::new();
    for bucket in buckets {
        match merged.iter_mut().find(|known| known.parties == bucket.parties && known.holds == bucket.holds) {
            Some(known) => known.calls.extend(bucket.calls),
            None => merged.push(bucket),
        }
    }
    merged
}

impl Bucket<'_> {
    /// By itself, with the part of the condition that remains there; a call with any parties where they are not known.
    fn alone(self) -> ProposalScope {
        let (scope, calls) = (self.scope, vec![self.call]);
        let Some(key) = self.key else { return ProposalScope { calls, ..scope.clone() } };
        let parties = parties_of(&key);
        let holds = scope.holds.replaced(&mut |atom| settled_by_parties(atom, &parties).map(Predicate::Const));
        ProposalScope { calls, parties: Some(vec![key]), holds, is_large: false }
    }
}

/// The counts of the tables.
#[derive(Debug)]
struct Tallies {
    /// Proposals in all.
    all: u64,
    /// By parties.
    parties: BTreeMap<String, u64>,
    /// By call, for the calls in question.
    calls: BTreeMap<CallId, u64>,
}

impl Tallies {
    async fn read(tx: &mut Tx, groups: &CallGroups) -> Result<Self, StoreError> {
        let mut asked: Vec<Arg> = groups.all().iter().flat_map(|group| &group.calls).map(Arg::text).collect();
        let among = if asked.len() <= MAX_CALLS {
            format!("call_id IN ({})", marks(1, asked.len()))
        } else {
            asked.clear();
            "call_id <> ''".to_owned()
        };
        let sql = format!(
            "SELECT call_id, parties_key, proposals FROM proposal_tallies \
             WHERE call_id = '' UNION ALL \
             SELECT call_id, parties_key, proposals FROM proposal_tallies WHERE parties_key = '' AND {among}"
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
    fn estimate(&self, scope: &ProposalScope) -> u64 {
        let of_calls: u64 = scope.calls.iter().filter_map(|call| self.calls.get(call)).sum();
        let Some(parties) = &scope.parties else { return of_calls };
        let share: u64 = parties.iter().filter_map(|key| self.parties.get(key)).sum();
        let estimate = u128::from(of_calls) * u128::from(share) / u128::from(self.all.max(1));
        u64::try_from(estimate).unwrap_or(u64::MAX).max(1)
    }

    /// The buckets of these calls and parties, or nothing when there are too many to look up.
    async fn buckets(
        &self,
        tx: &mut Tx,
        calls: &[CallId],
        parties: &[String],
    ) -> Result<Option<Vec<(CallId, String, u64)>>, StoreError> {
        if calls.len() + parties.len() > MAX_NAMED {
            return Ok(None);
        }
        let mut args: Vec<Arg> = calls.iter().map(Arg::text).collect();
        args.extend(parties.iter().map(Arg::text));
        let sql = format!(
            "SELECT call_id, parties_key, proposals FROM proposal_tallies WHERE call_id IN ({}) AND parties_key IN ({}) \
             LIMIT {}",
            marks(1, calls.len()),
            marks(calls.len() + 1, parties.len()),
            MAX_BUCKETS + 1
        );
        let found = tx.fetch_all(Sql::once(sql), args).await?;
        if found.len() > MAX_BUCKETS as usize {
            return Ok(None);
        }
        let buckets = found
            .iter()
            .map(|row| Ok((row.parse("call_id")?, row.text("parties_key")?, row.count("proposals")?)))
            .collect::<Result<_, StoreError>>()?;
        Ok(Some(buckets))
    }
}

impl SqlBuilder<'_> {
    /// Being in the scope.
    pub(super) fn within_scope(&mut self, scope: &ProposalScope) -> String {
        let calls = self.bind_all(&scope.calls);
        let calls = format!("p.call_id IN ({calls})");
        match &scope.parties {
            None => calls,
            Some(parties) => format!("{calls} AND p.parties_key IN ({})", self.bind_all(parties)),
        }
    }

    /// Being in the scope and satisfying its condition.
    pub(super) fn matches_scope(&mut self, scope: &ProposalScope) -> Result<String, StoreError> {
        let within = self.within_scope(scope);
        Ok(match &scope.holds {
            Predicate::Const(true) => format!("({within})"),
            holds => format!("({within} AND {})", self.condition(holds)?),
        })
    }
}

fn is_own_row(atom: &Atom) -> bool {
    matches!(atom, Atom::Mine(members) if !members.is_of_call())
}

/// The parties that a key joins.
fn parties_of(key: &str) -> BTreeSet<&str> {
    key.split(' ').filter(|party| !party.is_empty()).collect()
}

/// The part of a condition that the parties alone settle.
fn settled_by_parties(atom: &Atom, parties: &BTreeSet<&str>) -> Option<bool> {
    match atom {
        Atom::Contains(Set::Parties, Value::Written(code)) => Some(parties.contains(code.as_str())),
        Atom::Within(Set::Parties, codes) => Some(parties.iter().all(|party| codes.contains(*party))),
        _ => None,
    }
}
