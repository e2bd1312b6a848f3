//! The searches for one page: by own rows, and without. Each looks at a bounded number of proposals.
//!
//! A search that stops early returns the position. A proposal that it skipped silently would be hidden from a member who may see it.

use super::{
    super::{Arg, Row, Sql, StoreError, Tx, blocking::blocking, db::Dialect},
    ListPosition, PageRequest, ProposalQuery,
    columns::{self, SqlBuilder},
    own_sets,
    plan::{OwnRows, Plan, ProposalScope, Strategy},
};
use crate::{
    domain::{id::MemberId, proposal::Sort},
    policy::predicate::Members,
};
use std::{collections::BTreeSet, sync::Arc};

/// The findings of one search, in any order.
#[derive(Debug, Default)]
pub(super) struct Stretch {
    found: Vec<ListPosition>,
    /// The position where it stopped before the page was full, if it reached its limit.
    until: Option<ListPosition>,
}

/// The page that several searches come to, in its order, and where to go on if it is not full and one of them stopped.
pub(super) fn joined(stretches: Vec<Stretch>, page: PageRequest) -> (Vec<ListPosition>, Option<ListPosition>) {
    let stopped = stretches.iter().filter_map(|stretch| stretch.until);
    let until = match page.sort {
        Sort::Created => stopped.min(),
        Sort::Newest => stopped.max(),
    };
    // Past the first that stopped nobody knows what else there is.
    let is_known = |position: &ListPosition| until.is_none_or(|until| !page.is_beyond(*position, until));
    let mut found: Vec<_> = stretches.into_iter().flat_map(|stretch| stretch.found).filter(is_known).collect();
    found.sort_unstable();
    if page.sort == Sort::Newest {
        found.reverse();
    }
    found.truncate(page.limit as usize);
    let until = until.filter(|_| found.len() < page.limit as usize);
    (found, until)
}

/// A statement of so many values is written on the present thread.
const WRITTEN_INLINE: usize = 2_000;

/// A statement and its values, written off the threads that serve others where there are many; nothing if there is nothing to ask.
pub(super) async fn written(
    dialect: &'static Dialect,
    me: &MemberId,
    plan: &Arc<Plan>,
    write: impl FnOnce(&mut SqlBuilder<'_>, &Plan) -> Result<Option<String>, StoreError> + Send + 'static,
) -> Result<Option<(String, Vec<Arg>)>, StoreError> {
    let write = move |me: &MemberId, plan: &Plan| -> Result<_, StoreError> {
        let mut builder = SqlBuilder::new(dialect, me);
        let sql = write(&mut builder, plan)?;
        Ok(sql.map(|sql| (sql, builder.args())))
    };
    if plan.values <= WRITTEN_INLINE {
        return write(me, plan);
    }
    let (me, plan) = (me.clone(), Arc::clone(plan));
    blocking(move || write(&me, &plan)).await
}

/// The proposals that own rows of the member lead to, without those of the other search.
pub(super) async fn by_own_rows(
    tx: &mut Tx,
    query: &ProposalQuery<'_>,
    plan: &Arc<Plan>,
    page: PageRequest,
) -> Result<Stretch, StoreError> {
    let statement = written(tx.dialect(), query.me, plan, move |builder, plan| {
        let Some(from) = own_rows_from(builder, plan)? else { return Ok(None) };
        Ok(Some(sorted(builder, &[format!("{UNSORTED} {from}")], page)))
    });
    let statement = statement.await?;
    Ok(Stretch { found: positions(tx, statement).await?, until: None })
}

pub(super) fn own_rows_from(builder: &mut SqlBuilder<'_>, plan: &Plan) -> Result<Option<String>, StoreError> {
    let sets: BTreeSet<Members> = plan.own_rows.iter().flat_map(|own| own_sets(&own.holds)).collect();
    let Some(rows) = builder.join_own_rows(&sets) else { return Ok(None) };
    let mut groups = Vec::new();
    for OwnRows { calls, without, holds } in &plan.own_rows {
        let calls = format!("p.call_id IN ({})", builder.bind_all(calls));
        let others = if without.is_empty() {
            String::new()
        } else {
            format!(" AND p.parties_key NOT IN ({})", builder.bind_all(without))
        };
        groups.push(format!("({calls}{others} AND {})", builder.condition(holds)?));
    }
    builder.join_own_rows(&BTreeSet::new());
    // The order of a cross join is the order of the loops in SQLite; PostgreSQL sees for itself that the rows are few.
    let holds = columns::balanced(&groups, " OR ");
    Ok(Some(format!("({rows}) o CROSS JOIN proposals p WHERE p.proposal_id = o.proposal_id AND {holds}")))
}

/// The proposals for which the condition holds without a row of the member's own.
pub(super) async fn without_own_rows(
    tx: &mut Tx,
    query: &ProposalQuery<'_>,
    plan: &Arc<Plan>,
    page: PageRequest,
) -> Result<Vec<Stretch>, StoreError> {
    let (dialect, me) = (tx.dialect(), query.me);
    let statement = match &plan.strategy {
        Strategy::None => None,
        Strategy::All => written(dialect, me, plan, move |builder, _| Ok(Some(first_of_all(builder, page)))).await?,
        Strategy::Sort => written(dialect, me, plan, move |builder, plan| sorted_scopes(builder, plan, page)).await?,
        Strategy::Merge { .. } => {
            written(dialect, me, plan, move |builder, plan| merged_buckets(builder, plan, page)).await?
        }
        Strategy::Walk(window) => return Ok(vec![walk(tx, query, plan, Walk::All(*window), page).await?]),
    };
    let mut stretches = vec![Stretch { found: positions(tx, statement).await?, until: None }];
    for bucket in 0..plan.walked_buckets().len() {
        stretches.push(walk(tx, query, plan, Walk::Bucket(bucket), page).await?);
    }
    Ok(stretches)
}

fn first_of_all(builder: &mut SqlBuilder<'_>, page: PageRequest) -> String {
    let after = indexed_after(builder, page, "WHERE");
    let (direction, limit) = (page.direction(), builder.bind(&page.limit));
    format!(
        "SELECT p.created_at, p.proposal_id FROM proposals p{after} \
         ORDER BY p.created_at {direction}, p.proposal_id {direction} LIMIT {limit}"
    )
}

fn sorted_scopes(builder: &mut SqlBuilder<'_>, plan: &Plan, page: PageRequest) -> Result<Option<String>, StoreError> {
    let mut parts = Vec::new();
    for scope in &plan.scopes {
        let (by, holds) = (by_buckets(builder, scope), builder.matches_scope(scope)?);
        let select = if by.is_empty() { UNSORTED } else { "SELECT p.created_at, p.proposal_id FROM" };
        parts.push(format!("{select} proposals p{by} WHERE {holds}"));
    }
    Ok(Some(sorted(builder, &parts, page)))
}

fn merged_buckets(builder: &mut SqlBuilder<'_>, plan: &Plan, page: PageRequest) -> Result<Option<String>, StoreError> {
    let mut parts = Vec::new();
    for bucket in plan.merged_buckets() {
        let (by, holds) = (by_buckets(builder, bucket), builder.matches_scope(bucket)?);
        let after = indexed_after(builder, page, "AND");
        let (direction, limit) = (page.direction(), builder.bind(&page.limit));
        parts.push(format!(
            "SELECT * FROM (SELECT p.created_at, p.proposal_id FROM proposals p{by} WHERE {holds}{after} \
             ORDER BY p.created_at {direction}, p.proposal_id {direction} LIMIT {limit}) g"
        ));
    }
    if parts.is_empty() {
        return Ok(None);
    }
    let (direction, limit) = (page.direction(), builder.bind(&page.limit));
    Ok(Some(format!(
        "SELECT u.created_at, u.proposal_id FROM ({}) u \
         ORDER BY u.created_at {direction}, u.proposal_id {direction} LIMIT {limit}",
        parts.join(" UNION ALL ")
    )))
}

/// The proposals that a walk passes.
#[derive(Debug, Clone, Copy)]
enum Walk {
    /// All proposals, this many at first.
    All(u32),
    /// Those of one of [`Plan::walked_buckets`].
    Bucket(usize),
}

impl Walk {
    fn bucket(self, plan: &Plan) -> Option<&ProposalScope> {
        match self {
            Self::All(_) => None,
            Self::Bucket(at) => plan.walked_buckets().get(at),
        }
    }

    /// How many it passes at first, and how many in all.
    fn bounds(self, query: &ProposalQuery<'_>, plan: &Plan, page: PageRequest) -> (u32, u32) {
        match self {
            Self::All(window) => (window, query.walked.max(1)),
            Self::Bucket(_) => {
                let buckets = u32::try_from(plan.walked_buckets().len()).unwrap_or(u32::MAX);
                (page.limit.saturating_mul(2), (query.walked / 2 / buckets.max(1)).max(page.limit).max(1))
            }
        }
    }

    /// The rows of it that follow the start of the page.
    fn rows(self, builder: &mut SqlBuilder<'_>, plan: &Plan, page: PageRequest) -> String {
        match self.bucket(plan) {
            None => format!("proposals p{}", indexed_after(builder, page, "WHERE")),
            Some(bucket) => {
                let (by, within) = (by_buckets(builder, bucket), builder.within_scope(bucket));
                format!("proposals p{by} WHERE {within}{}", indexed_after(builder, page, "AND"))
            }
        }
    }
}

/// Walks past proposals in order, a stretch at a time, so that neither engine can choose another strategy. A walk that finds none stops
/// after so many, whatever the plan expected.
async fn walk(
    tx: &mut Tx,
    query: &ProposalQuery<'_>,
    plan: &Arc<Plan>,
    walk: Walk,
    mut page: PageRequest,
) -> Result<Stretch, StoreError> {
    let mut found = Vec::new();
    let (mut window, mut left) = walk.bounds(query, plan, page);
    loop {
        window = window.min(left);
        let statement = written(tx.dialect(), query.me, plan, move |builder, plan| {
            let holds = match walk.bucket(plan) {
                Some(bucket) => builder.condition(&bucket.holds)?,
                None => {
                    let scopes = plan.scopes.iter().map(|scope| builder.matches_scope(scope));
                    columns::balanced(&scopes.collect::<Result<Vec<_>, _>>()?, " OR ")
                }
            };
            let rows = walk.rows(builder, plan, page);
            let (direction, limit, stretch) = (page.direction(), builder.bind(&page.limit), builder.bind(&window));
            Ok(Some(format!(
                "SELECT p.created_at, p.proposal_id FROM (SELECT p.* FROM {rows} \
                 ORDER BY p.created_at {direction}, p.proposal_id {direction} LIMIT {stretch}) p WHERE {holds} \
                 ORDER BY p.created_at {direction}, p.proposal_id {direction} LIMIT {limit}"
            )))
        });
        let statement = statement.await?;
        let part = positions(tx, statement).await?;
        let missing = page.limit - u32::try_from(part.len()).unwrap_or(page.limit);
        found.extend(part);
        if missing == 0 {
            return Ok(Stretch { found, until: None });
        }
        let mut builder = SqlBuilder::new(tx.dialect(), query.me);
        let (rows, last) = (walk.rows(&mut builder, plan, page), builder.bind(&(window - 1)));
        let direction = page.direction();
        let sql = format!(
            "SELECT p.created_at, p.proposal_id FROM {rows} \
             ORDER BY p.created_at {direction}, p.proposal_id {direction} LIMIT 1 OFFSET {last}"
        );
        let statement = Some((sql, builder.args()));
        let Some(end) = positions(tx, statement).await?.pop() else { return Ok(Stretch { found, until: None }) };
        left -= window;
        if left == 0 {
            return Ok(Stretch { found, until: Some(end) });
        }
        page = PageRequest { after: Some(end), limit: missing, ..page };
        window = window.saturating_mul(4).min(1 << 18);
    }
}

/// The longest statement that is kept prepared, in bytes.
pub(super) const MAX_KEPT: usize = 64 << 10;

/// Proposals whose order no index is to give: it would be walked from one end to the other.
const UNSORTED: &str = "SELECT p.created_at + 0 AS created_at, p.proposal_id FROM";

/// The hint to search a scope bucket by bucket, for an engine that takes hints. SQLite then leaves each where the rest
/// comes too late.
fn by_buckets(builder: &SqlBuilder<'_>, scope: &ProposalScope) -> String {
    let index = if scope.parties.is_some() { "proposals_by_parties" } else { "proposals_by_call_creation" };
    builder.dialect().indexed_by.map_or_else(String::new, |by| format!(" {by} {index}"))
}

/// Some proposals in order.
fn sorted(builder: &mut SqlBuilder<'_>, parts: &[String], page: PageRequest) -> String {
    let (direction, limit) = (page.direction(), builder.bind(&page.limit));
    let all = parts.join(" UNION ALL ");
    let after = page.after.map_or_else(String::new, |key| {
        let (at, id, after) = (builder.bind(&key.created_at), builder.bind(&key.id), page.beyond());
        format!(" WHERE u.created_at {after} {at} OR (u.created_at = {at} AND u.proposal_id {after} {id})")
    });
    format!(
        "SELECT u.created_at, u.proposal_id FROM ({all}) u{after} \
         ORDER BY u.created_at {direction}, u.proposal_id {direction} LIMIT {limit}"
    )
}

fn indexed_after(builder: &mut SqlBuilder<'_>, page: PageRequest, word: &str) -> String {
    let Some(key) = page.after else { return String::new() };
    let (created_at, id) = (builder.bind(&key.created_at), builder.bind(&key.id));
    format!(" {word} (p.created_at, p.proposal_id) {} ({created_at}, {id})", page.beyond())
}

/// The positions that a statement finds, if there is one.
async fn positions(tx: &mut Tx, statement: Option<(String, Vec<Arg>)>) -> Result<Vec<ListPosition>, StoreError> {
    let Some((sql, args)) = statement else { return Ok(Vec::new()) };
    // Kept prepared, for the same page is asked for again and reading its text takes longer than finding its rows. Of long ones each
    // connection would keep many MiB.
    let sql = if sql.len() <= MAX_KEPT { Sql::built(sql) } else { Sql::once(sql) };
    let found = tx.fetch_all(sql, args).await?;
    found
        .iter()
        .map(|row: &Row| Ok(ListPosition { created_at: row.time("created_at")?, id: row.parse("proposal_id")? }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> ListPosition {
        let created_at = jiff::Timestamp::from_second(second).unwrap();
        ListPosition { created_at, id: "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap() }
    }

    #[test]
    fn page_ends_where_the_first_search_stopped_unless_it_is_full() {
        let stretch = |found: &[i64], until: Option<i64>| Stretch {
            found: found.iter().copied().map(at).collect(),
            until: until.map(at),
        };
        let page = |sort, limit, stretches| {
            let (found, until) = joined(stretches, PageRequest { sort, after: None, limit });
            let second = |position: ListPosition| position.created_at.as_second();
            (found.into_iter().map(second).collect::<Vec<_>>(), until.map(second))
        };
        let stopped = || vec![stretch(&[5, 1, 9], None), stretch(&[2], Some(6)), stretch(&[], Some(8))];
        assert_eq!(page(Sort::Created, 9, stopped()), (vec![1, 2, 5], Some(6)));
        assert_eq!(page(Sort::Created, 3, stopped()), (vec![1, 2, 5], None));
        assert_eq!(
            page(Sort::Newest, 9, vec![stretch(&[5, 1, 9], None), stretch(&[7], Some(4))]),
            (vec![9, 7, 5], Some(4))
        );
        assert_eq!(page(Sort::Newest, 9, vec![stretch(&[5, 9], None)]), (vec![9, 5], None));
        assert_eq!(page(Sort::Created, 9, vec![stretch(&[], Some(3))]), (vec![], Some(3)));
    }
}
