//! Finds the proposals that satisfy a condition: pages in the order of creation, and counts, without reading the others.
//!
//! A query has groups of calls, each with the part of the condition that remains once those calls are known. Two
//! searches find the proposals. *By own rows*: a row keyed by the member (of a party, assigned) makes the condition
//! true; there are few, and an index by member finds them. *Without own rows*: the condition holds without such a row,
//! too. This search leaves out whole buckets of proposals (one call, the same parties) for which the condition cannot
//! hold. The two searches share no proposal. [`plan`] chooses the strategy of the second.
//!
//! A page looks at a bounded number of proposals and says where to go on. What is returned satisfies the whole condition, unless
//! the condition names more values than a statement takes: then the caller evaluates it for what is returned. Nothing here decides
//! who may know of a proposal: the service that shows a row evaluates the policies for it once more.

mod columns;
mod plan;
mod search;
mod ties;
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
use plan::{Plan, PlanCache};
use search::{own_rows_from, written};
use std::{collections::BTreeSet, fmt, str::FromStr, sync::Arc};
pub use ties::{Tie, is_tied};
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
    /// Of all their conditions together.
    size: usize,
    plans: PlanCache,
}

impl From<Vec<CallGroup>> for CallGroups {
    fn from(all: Vec<CallGroup>) -> Self {
        let size = all.iter().map(|group| group.holds.size()).sum();
        Self { all, size, plans: PlanCache::default() }
    }
}

impl CallGroups {
    /// Each of them.
    #[must_use]
    pub fn all(&self) -> &[CallGroup] {
        &self.all
    }
}

/// A condition, and the member who lists its proposals.
#[derive(Debug, Clone)]
pub struct ProposalQuery<'a> {
    pub me: &'a MemberId,
    pub groups: &'a CallGroups,
    /// How many proposals there are, as [`calls`] says in the same snapshot. A plan counts while no more are begun.
    pub begun: u64,
    /// Up to this many proposals are sorted without a search for a better strategy.
    pub few: u32,
    /// How many proposals one page walks past.
    pub walked: u32,
    /// How many values one statement may name.
    pub values: usize,
}

/// How many values a page compares at the most while it walks, some for each proposal that it passes: a second or two.
const COMPARED: usize = 10_000_000;

/// SQLite takes 32,766 values in a statement and PostgreSQL 65,535. Besides those of a plan there are few.
const MOST_VALUES: usize = 20_000;

impl<'a> ProposalQuery<'a> {
    /// A query with the usual limits.
    #[must_use]
    pub fn new(me: &'a MemberId, groups: &'a CallGroups, begun: u64) -> Self {
        let walked = u32::try_from(COMPARED / groups.size.max(1)).unwrap_or(u32::MAX).clamp(2_000, 50_000);
        Self { me, groups, begun, few: 1_000, walked, values: MOST_VALUES }
    }
}

/// The calls under which a condition can be true.
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

    fn is_beyond(self, one: ListPosition, other: ListPosition) -> bool {
        match self.sort {
            Sort::Created => one > other,
            Sort::Newest => one < other,
        }
    }
}

/// The result of the search for a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageSearch {
    /// In the order of the page.
    pub found: Vec<ListPosition>,
    /// The position from which the search goes on, if it reached its limit before the page was full.
    pub until: Option<ListPosition>,
    /// Whether the condition is still to be evaluated for each that was found: it has more values than a statement takes.
    pub is_open: bool,
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

/// The proposals of one part of the list, in its order: as many as the page takes, or those up to where the search stopped.
pub async fn page(tx: &mut Tx, query: &ProposalQuery<'_>, page: PageRequest) -> Result<PageSearch, StoreError> {
    let plan = Plan::of(tx, query, u64::from(page.limit)).await?;
    let mut stretches = vec![search::by_own_rows(tx, query, &plan, page).await?];
    stretches.extend(search::without_own_rows(tx, query, &plan, page).await?);
    let (found, until) = search::joined(stretches, page);
    Ok(PageSearch { found, until, is_open: plan.is_open })
}

/// Totals over the proposals that satisfy a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    pub proposals: u64,
    /// Those that are not set aside.
    pub assignments: u64,
    /// Reviewers whose latest review is in, not reopened and not set aside.
    pub reviews: u64,
    /// Reviewers whose latest review is reopened and not set aside.
    pub reopened: u64,
    /// Proposals with a decision in force.
    pub decided: u64,
}

impl Totals {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            proposals: row.count("proposals")?,
            assignments: row.count("assignments")?,
            reviews: row.count("reviews")?,
            reopened: row.count("reopened")?,
            decided: row.count("decided")?,
        })
    }
}

/// How many proposals the condition holds for; nothing if it has more values than a statement takes.
pub async fn count(tx: &mut Tx, query: &ProposalQuery<'_>) -> Result<Option<u64>, StoreError> {
    let plan = whole(tx, query).await?;
    if plan.is_open {
        return Ok(None);
    }
    let row = sums(tx, query, &plan, vec![("proposals", "1".to_owned())]).await?;
    row.map_or(Ok(0), |row| row.count("proposals")).map(Some)
}

/// Totals over the proposals that satisfy the condition; none if it has more values than a statement takes.
pub async fn totals(tx: &mut Tx, query: &ProposalQuery<'_>) -> Result<Option<Totals>, StoreError> {
    let plan = whole(tx, query).await?;
    if plan.is_open {
        return Ok(None);
    }
    let row = sums(tx, query, &plan, each_total().into()).await?;
    row.map_or(Ok(Totals::default()), |row| Totals::read(&row)).map(Some)
}

/// Totals over these proposals, which are a few hundred at most.
pub async fn totals_of(tx: &mut Tx, me: &MemberId, ids: &[ProposalId]) -> Result<Totals, StoreError> {
    if ids.is_empty() {
        return Ok(Totals::default());
    }
    let mut builder = SqlBuilder::new(tx.dialect(), me);
    let which = builder.bind_all(ids);
    let each: Vec<String> = each_total().iter().map(|(name, adds)| summed(adds, name)).collect();
    let sql = format!("SELECT {} FROM proposals p WHERE p.proposal_id IN ({which})", each.join(", "));
    let args = builder.args();
    Totals::read(&tx.fetch_one(Sql::once(sql), args).await?)
}

/// Each is looked at whatever the plan, so none is chosen by what a page would cost.
async fn whole(tx: &mut Tx, query: &ProposalQuery<'_>) -> Result<Arc<Plan>, StoreError> {
    Plan::of(tx, query, u64::from(u32::MAX)).await
}

/// Names, and what each proposal adds. Assignments and reviews that are set aside add nothing.
fn each_total() -> [(&'static str, String); 5] {
    let counts = columns::counts();
    let latest_reviews = |which: &str| {
        format!(
            "(SELECT COUNT(*) FROM reviews s WHERE s.proposal_id = p.proposal_id AND {which} AND s.revision = \
             (SELECT MAX(l.revision) FROM reviews l WHERE l.proposal_id = s.proposal_id AND l.reviewer = s.reviewer) \
             AND {counts})"
        )
    };
    [
        ("proposals", "1".to_owned()),
        (
            "assignments",
            format!("(SELECT COUNT(*) FROM assignments s WHERE s.proposal_id = p.proposal_id AND {counts})"),
        ),
        ("reviews", latest_reviews("s.reopened_at IS NULL")),
        ("reopened", latest_reviews("s.reopened_at IS NOT NULL")),
        (
            "decided",
            format!(
                "CASE WHEN EXISTS (SELECT 1 FROM decisions s WHERE s.proposal_id = p.proposal_id AND {DECIDES}) THEN 1 ELSE 0 END"
            ),
        ),
    ]
}

/// The sums over all proposals that the condition holds for; nothing if it can hold for none.
async fn sums(
    tx: &mut Tx,
    query: &ProposalQuery<'_>,
    plan: &Arc<Plan>,
    of: Vec<(&'static str, String)>,
) -> Result<Option<Row>, StoreError> {
    let statement = written(tx.dialect(), query.me, plan, move |builder, plan| {
        let mut from = Vec::new();
        from.extend(own_rows_from(builder, plan)?);
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
        let inner: Vec<String> = of.iter().map(|(name, adds)| summed(adds, name)).collect();
        let outer: Vec<String> = of.iter().map(|(name, _)| summed(&format!("u.{name}"), name)).collect();
        let parts: Vec<String> = from.iter().map(|from| format!("SELECT {} FROM {from}", inner.join(", "))).collect();
        Ok(Some(format!("SELECT {} FROM ({}) u", outer.join(", "), parts.join(" UNION ALL "))))
    });
    let Some((sql, args)) = statement.await? else { return Ok(None) };
    Ok(Some(tx.fetch_one(Sql::once(sql), args).await?))
}

/// Cast, for a sum of BIGINT is no BIGINT in PostgreSQL.
fn summed(sum: &str, name: &str) -> String {
    format!("CAST(COALESCE(SUM({sum}), 0) AS BIGINT) AS {name}")
}

fn own_row_selects(builder: &mut SqlBuilder<'_>, own: &BTreeSet<Members>) -> Vec<String> {
    let rows = own.iter().filter_map(|members| builder.own_rows(*members));
    rows.map(|rows| format!("SELECT s.proposal_id FROM {rows}")).collect()
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
