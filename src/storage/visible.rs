//! Which proposals a condition holds for: pages in the order of their creation, and counts, without reading the others.
//!
//! A query has groups of calls, each with the part of the condition that remains once those calls are known. Two
//! searches find the proposals. *By own rows*: a row keyed by the member (of a party, assigned) makes the condition
//! true; there are few, and an index by member finds them. *Without own rows*: the condition holds without such a row,
//! too. This search leaves out whole buckets of proposals (one call, the same parties) for which the condition cannot
//! hold. The two searches share no proposal. [`plan`] chooses the strategy of the second.
//!
//! What is returned satisfies the whole condition. Nothing here decides who may know of a proposal: the service that
//! shows a row evaluates the policies for it once more.

mod columns;
mod plan;
mod upkeep;
mod values;

use super::{Row, Sql, StoreError, Tx, decisions::DECIDES};
use crate::{
    domain::{
        id::{CallId, MemberId, ProposalId},
        proposal::Sort,
    },
    policy::predicate::{Atom, Members, Predicate},
};
use columns::SqlBuilder;
use jiff::Timestamp;
use plan::{OwnRows, Plan, PlanCache, ProposalScope, Strategy};
use std::{collections::BTreeSet, fmt, str::FromStr};
pub use upkeep::{fold_organisations, reindex};
pub(super) use upkeep::{note_employer, note_versions, parties_key, tally};

/// Calls under which the same part of a condition remains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallGroup {
    pub calls: Vec<CallId>,
    /// Speaks of the proposal alone.
    pub holds: Predicate,
}

/// All groups of calls of one condition, with the plans made for them.
#[derive(Debug, Default)]
pub struct CallGroups {
    all: Vec<CallGroup>,
    plans: PlanCache,
}

impl From<Vec<CallGroup>> for CallGroups {
    fn from(all: Vec<CallGroup>) -> Self {
        Self { all, plans: PlanCache::default() }
    }
}

impl CallGroups {
    /// Each of them.
    #[must_use]
    pub fn all(&self) -> &[CallGroup] {
        &self.all
    }
}

/// A condition, and the member who asks for its proposals.
#[derive(Debug, Clone)]
pub struct ProposalQuery<'a> {
    pub me: &'a MemberId,
    pub groups: &'a CallGroups,
    /// How many proposals there are, as [`calls`] says in the same snapshot. A plan counts while no more are begun.
    pub begun: u64,
    /// So many proposals are sorted without looking for a better strategy.
    pub few: u32,
}

impl<'a> ProposalQuery<'a> {
    /// A query with the usual limit for sorting.
    #[must_use]
    pub fn new(me: &'a MemberId, groups: &'a CallGroups, begun: u64) -> Self {
        Self { me, groups, begun, few: 1_000 }
    }
}

/// Which calls a condition can hold under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallScope {
    One(CallId),
    /// Those in which the member has a role, if roles help, and those of the member's own proposals and assignments.
    Own {
        roles: bool,
    },
    /// Any.
    All,
}

/// The position of a proposal in the order of creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListPosition {
    pub created_at: Timestamp,
    pub id: ProposalId,
}

impl fmt::Display for ListPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.created_at.as_millisecond(), self.id)
    }
}

/// The text is not a position in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no place in a list")]
pub struct InvalidPosition;

impl FromStr for ListPosition {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let (millis, id) = text.split_once('.').ok_or(InvalidPosition)?;
        let millis = millis.parse().map_err(|_| InvalidPosition)?;
        let created_at = Timestamp::from_millisecond(millis).map_err(|_| InvalidPosition)?;
        Ok(Self { created_at, id: id.parse().map_err(|_| InvalidPosition)? })
    }
}

/// One page of a list: its order, the position it follows, and its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    pub sort: Sort,
    pub after: Option<ListPosition>,
    pub limit: u32,
}

impl PageRequest {
    fn direction(self) -> &'static str {
        match self.sort {
            Sort::Created => "ASC",
            Sort::Newest => "DESC",
        }
    }

    fn beyond(self) -> &'static str {
        match self.sort {
            Sort::Created => ">",
            Sort::Newest => "<",
        }
    }
}

/// The sets in which the member's own row can make the condition true.
#[must_use]
pub fn own_sets(holds: &Predicate) -> BTreeSet<Members> {
    let mut sets = BTreeSet::new();
    holds.each_atom(&mut |atom, stands| {
        if let Atom::Mine(members) = atom
            && stands
            && !members.is_of_call()
        {
            sets.insert(*members);
        }
    });
    sets
}

/// Calls, and how many proposals the exchange holds under whichever.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Calls {
    /// Each with its revision: whatever is known of a call changes with that.
    pub found: Vec<(CallId, u64)>,
    pub begun: u64,
}

/// The calls to ask about, in their order.
pub async fn calls(tx: &mut Tx, me: &MemberId, own: &BTreeSet<Members>, scope: CallScope) -> Result<Calls, StoreError> {
    let mut builder = SqlBuilder::new(tx.dialect(), me);
    let which = match scope {
        CallScope::One(call) => builder.bind(&call),
        CallScope::All => "SELECT t.call_id FROM proposal_tallies t WHERE t.parties_key = ''".to_owned(),
        CallScope::Own { roles } => {
            let role = format!("SELECT r.call_id FROM call_roles r WHERE r.member = {}", builder.me());
            let mut ways = if roles { vec![role] } else { Vec::new() };
            for rows in own_row_selects(&mut builder, own) {
                ways.push(format!(
                    "SELECT p.call_id FROM ({rows}) o CROSS JOIN proposals p WHERE p.proposal_id = o.proposal_id"
                ));
            }
            if ways.is_empty() {
                return Ok(Calls::default());
            }
            ways.join(" UNION ")
        }
    };
    // All of them in one text, for rows cost more to hand over than to find.
    let joined = tx.dialect().joined;
    let sql = format!(
        "SELECT COALESCE({joined}(c.call_id || ' ' || CAST(c.revision AS TEXT), ','), '') AS found, \
         COALESCE((SELECT t.proposals FROM proposal_tallies t WHERE t.call_id = '' AND t.parties_key = ''), 0) AS begun \
         FROM calls c WHERE c.call_id IN ({which})"
    );
    let row = tx.fetch_one(Sql::built(sql), builder.args()).await?;
    let text = row.text("found")?;
    let call = |pair: &str| {
        let (call, revision) = pair.split_once(' ')?;
        Some((call.parse().ok()?, revision.parse().ok()?))
    };
    let mut found = text
        .split(',')
        .filter(|pair| !pair.is_empty())
        .map(|pair| call(pair).ok_or_else(|| StoreError::corrupt("found", "calls and revisions")))
        .collect::<Result<Vec<_>, _>>()?;
    found.sort_unstable();
    Ok(Calls { found, begun: row.count("begun")? })
}

/// The proposals of one part of the list, in its order.
pub async fn page(tx: &mut Tx, query: &ProposalQuery<'_>, page: PageRequest) -> Result<Vec<ListPosition>, StoreError> {
    let plan = Plan::of(tx, query, u64::from(page.limit)).await?;
    let mut found = by_own_rows(tx, query, &plan, page).await?;
    found.extend(without_own_rows(tx, query, &plan, page).await?);
    found.sort_unstable();
    if page.sort == Sort::Newest {
        found.reverse();
    }
    found.truncate(page.limit as usize);
    Ok(found)
}

/// What there is to the proposals that a condition holds for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    pub proposals: u64,
    /// Those that are not set aside.
    pub assignments: u64,
    /// Reviewers whose latest review is in, not reopened and not set aside.
    pub reviews: u64,
    /// Proposals with a decision in force.
    pub decided: u64,
}

/// How many proposals the condition holds for.
pub async fn count(tx: &mut Tx, query: &ProposalQuery<'_>) -> Result<u64, StoreError> {
    sums(tx, query, &[("proposals", "1".to_owned())]).await?.map_or(Ok(0), |row| row.count("proposals"))
}

/// What there is to the proposals that the condition holds for.
pub async fn totals(tx: &mut Tx, query: &ProposalQuery<'_>) -> Result<Totals, StoreError> {
    let Some(row) = sums(tx, query, &each_total()).await? else { return Ok(Totals::default()) };
    Ok(Totals {
        proposals: row.count("proposals")?,
        assignments: row.count("assignments")?,
        reviews: row.count("reviews")?,
        decided: row.count("decided")?,
    })
}

/// Names, and what each proposal adds. Assignments and reviews that are set aside add nothing.
fn each_total() -> [(&'static str, String); 4] {
    let counts = columns::counts();
    [
        ("proposals", "1".to_owned()),
        (
            "assignments",
            format!("(SELECT COUNT(*) FROM assignments s WHERE s.proposal_id = p.proposal_id AND {counts})"),
        ),
        (
            "reviews",
            format!(
                "(SELECT COUNT(*) FROM reviews s WHERE s.proposal_id = p.proposal_id AND s.reopened_at IS NULL AND s.revision = \
                 (SELECT MAX(l.revision) FROM reviews l WHERE l.proposal_id = s.proposal_id AND l.reviewer = s.reviewer) \
                 AND {counts})"
            ),
        ),
        (
            "decided",
            format!(
                "CASE WHEN EXISTS (SELECT 1 FROM decisions s WHERE s.proposal_id = p.proposal_id AND {DECIDES}) THEN 1 ELSE 0 END"
            ),
        ),
    ]
}

/// The sums over all proposals that the condition holds for; nothing if it can hold for none.
async fn sums(tx: &mut Tx, query: &ProposalQuery<'_>, of: &[(&str, String)]) -> Result<Option<Row>, StoreError> {
    // Each is looked at whatever the plan, so none is chosen by what a page would cost.
    let plan = Plan::of(tx, query, u64::from(u32::MAX)).await?;
    let mut builder = SqlBuilder::new(tx.dialect(), query.me);
    let mut from = Vec::new();
    from.extend(own_rows_from(&mut builder, &plan)?);
    for scope in &plan.scopes {
        // Joined are all rows of a kind, whatever proposals they are of: too many for the few of a small scope.
        from.push(if scope.is_large {
            builder.all_proposals(|builder| builder.matches_scope(scope))?
        } else {
            format!("proposals p WHERE {}", builder.matches_scope(scope)?)
        });
    }
    if from.is_empty() {
        return Ok(None);
    }
    // Text by text, for a sum of BIGINT is no BIGINT in PostgreSQL.
    let each = |sum: &str, name: &str| format!("CAST(COALESCE(SUM({sum}), 0) AS BIGINT) AS {name}");
    let inner: Vec<String> = of.iter().map(|(name, adds)| each(adds, name)).collect();
    let outer: Vec<String> = of.iter().map(|(name, _)| each(&format!("u.{name}"), name)).collect();
    let parts: Vec<String> = from.iter().map(|from| format!("SELECT {} FROM {from}", inner.join(", "))).collect();
    let sql = format!("SELECT {} FROM ({}) u", outer.join(", "), parts.join(" UNION ALL "));
    Ok(Some(tx.fetch_one(Sql::once(sql), builder.args()).await?))
}

/// The proposals that own rows of the member lead to, without those of the other search.
async fn by_own_rows(
    tx: &mut Tx,
    query: &ProposalQuery<'_>,
    plan: &Plan,
    page: PageRequest,
) -> Result<Vec<ListPosition>, StoreError> {
    let mut builder = SqlBuilder::new(tx.dialect(), query.me);
    let Some(from) = own_rows_from(&mut builder, plan)? else { return Ok(Vec::new()) };
    let sql = sorted(&mut builder, &[format!("{UNSORTED} {from}")], page);
    positions(tx, sql, builder).await
}

fn own_rows_from(builder: &mut SqlBuilder<'_>, plan: &Plan) -> Result<Option<String>, StoreError> {
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

fn own_row_selects(builder: &mut SqlBuilder<'_>, own: &BTreeSet<Members>) -> Vec<String> {
    let rows = own.iter().filter_map(|members| builder.own_rows(*members));
    rows.map(|rows| format!("SELECT s.proposal_id FROM {rows}")).collect()
}

/// The proposals for which the condition holds without a row of the member's own.
async fn without_own_rows(
    tx: &mut Tx,
    query: &ProposalQuery<'_>,
    plan: &Plan,
    page: PageRequest,
) -> Result<Vec<ListPosition>, StoreError> {
    let mut builder = SqlBuilder::new(tx.dialect(), query.me);
    match &plan.strategy {
        Strategy::None => Ok(Vec::new()),
        Strategy::Sort => {
            let mut parts = Vec::new();
            for scope in &plan.scopes {
                let (by, holds) = (by_buckets(&builder, scope), builder.matches_scope(scope)?);
                let select = if by.is_empty() { UNSORTED } else { "SELECT p.created_at, p.proposal_id FROM" };
                parts.push(format!("{select} proposals p{by} WHERE {holds}"));
            }
            let sql = sorted(&mut builder, &parts, page);
            positions(tx, sql, builder).await
        }
        Strategy::Merge(buckets) => {
            let mut parts = Vec::new();
            for bucket in buckets {
                let (by, holds) = (by_buckets(&builder, bucket), builder.matches_scope(bucket)?);
                let after = indexed_after(&mut builder, page, "AND");
                let (direction, limit) = (page.direction(), builder.bind(&page.limit));
                parts.push(format!(
                    "SELECT * FROM (SELECT p.created_at, p.proposal_id FROM proposals p{by} WHERE {holds}{after} \
                     ORDER BY p.created_at {direction}, p.proposal_id {direction} LIMIT {limit}) g"
                ));
            }
            let (direction, limit) = (page.direction(), builder.bind(&page.limit));
            let sql = format!(
                "SELECT u.created_at, u.proposal_id FROM ({}) u \
                 ORDER BY u.created_at {direction}, u.proposal_id {direction} LIMIT {limit}",
                parts.join(" UNION ALL ")
            );
            positions(tx, sql, builder).await
        }
        Strategy::Walk(window) => walk(tx, query, plan, page, *window).await,
    }
}

/// Walks past the proposals in order, a stretch at a time, so that neither engine can choose another strategy.
async fn walk(
    tx: &mut Tx,
    query: &ProposalQuery<'_>,
    plan: &Plan,
    mut page: PageRequest,
    mut window: u32,
) -> Result<Vec<ListPosition>, StoreError> {
    let mut found = Vec::new();
    loop {
        let mut builder = SqlBuilder::new(tx.dialect(), query.me);
        let mut scopes = Vec::new();
        for scope in &plan.scopes {
            scopes.push(builder.matches_scope(scope)?);
        }
        let holds = columns::balanced(&scopes, " OR ");
        let after = indexed_after(&mut builder, page, "WHERE");
        let (direction, limit, stretch) = (page.direction(), builder.bind(&page.limit), builder.bind(&window));
        let sql = format!(
            "SELECT p.created_at, p.proposal_id FROM (SELECT p.* FROM proposals p{after} \
             ORDER BY p.created_at {direction}, p.proposal_id {direction} LIMIT {stretch}) p WHERE {holds} \
             ORDER BY p.created_at {direction}, p.proposal_id {direction} LIMIT {limit}"
        );
        let part = positions(tx, sql, builder).await?;
        let missing = page.limit - u32::try_from(part.len()).unwrap_or(page.limit);
        found.extend(part);
        if missing == 0 {
            return Ok(found);
        }
        let mut builder = SqlBuilder::new(tx.dialect(), query.me);
        let (after, last) = (indexed_after(&mut builder, page, "WHERE"), builder.bind(&(window - 1)));
        let sql = format!(
            "SELECT p.created_at, p.proposal_id FROM proposals p{after} \
             ORDER BY p.created_at {direction}, p.proposal_id {direction} LIMIT 1 OFFSET {last}"
        );
        let Some(end) = positions(tx, sql, builder).await?.pop() else { return Ok(found) };
        page = PageRequest { after: Some(end), limit: missing, ..page };
        window = window.saturating_mul(4).min(1 << 18);
    }
}

/// The longest statement that is kept prepared, in bytes.
const MAX_KEPT: usize = 64 << 10;

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

async fn positions(tx: &mut Tx, sql: String, builder: SqlBuilder<'_>) -> Result<Vec<ListPosition>, StoreError> {
    // Kept prepared, for the same page is asked for again and reading its text takes longer than finding its rows. Of long ones each
    // connection would keep many MiB.
    let sql = if sql.len() <= MAX_KEPT { Sql::built(sql) } else { Sql::once(sql) };
    let found = tx.fetch_all(sql, builder.args()).await?;
    found
        .iter()
        .map(|row: &Row| Ok(ListPosition { created_at: row.time("created_at")?, id: row.parse("proposal_id")? }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::member::CallRole;

    #[test]
    fn a_position_in_a_list_reads_back_and_nothing_else_does() {
        let text = "1772366400123.prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF";
        let key: ListPosition = text.parse().unwrap();
        assert_eq!(key.created_at, "2026-03-01T12:00:00.123Z".parse().unwrap());
        assert_eq!(key.to_string(), text);
        for wrong in [
            "",
            ".",
            "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF",
            "1.call_01J9ZQ4N6M8V7X5T3R2P1K0HGF",
            "99999999999999999.prop_x",
        ] {
            assert_eq!(wrong.parse::<ListPosition>(), Err(InvalidPosition), "{wrong}");
        }
    }

    #[test]
    fn only_a_row_of_ones_own_that_helps_is_a_way_to_a_proposal() {
        let mine = |members| Predicate::from(Atom::Mine(members));
        let holds = Predicate::all([
            Predicate::any([mine(Members::With(CallRole::Officer)), mine(Members::Assigned)]),
            mine(Members::Conflicts).negated(),
        ]);
        assert_eq!(own_sets(&holds), BTreeSet::from([Members::Assigned]));
    }
}
