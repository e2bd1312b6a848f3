//! Which proposals a condition holds for: pages in the order of their creation, and counts, without reading the others.
//!
//! A condition is asked of classes of calls, each with what is left of it once those calls are known. Two ways lead to a
//! proposal. *Mine*: a row keyed by the member (of a party, assigned) makes the condition true; there are few, and an index by
//! member finds them. *Anybody's*: it would hold without such a row, too. For that way whole groups of proposals (a call, its
//! parties) are left out for which it could not. The two ways share no proposal. [`plan`] chooses how to go the second.
//!
//! What is returned satisfies the whole condition. Nothing here decides who may know of a proposal: whoever shows a row asks
//! the policies about it once more.

mod columns;
mod plan;
mod upkeep;

use super::{Row, Sql, StoreError, Tx, decisions::DECIDES};
use crate::{
    domain::{
        id::{CallId, MemberId, ProposalId},
        proposal::Sort,
    },
    policy::predicate::{Atom, Members, Predicate},
};
use columns::Writer;
use jiff::Timestamp;
use plan::{Own, Plan, Plans, Scope, Way};
use std::{collections::BTreeSet, fmt, str::FromStr};
pub use upkeep::{fold_organisations, reindex};
pub(super) use upkeep::{note_versions, parties_key, tally};

/// Calls of which the same condition is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    pub calls: Vec<CallId>,
    /// Speaks of the proposal alone.
    pub holds: Predicate,
}

/// All classes of one condition, and how to go about them, which is found out once.
#[derive(Debug, Default)]
pub struct Classes {
    all: Vec<Class>,
    plans: Plans,
}

impl From<Vec<Class>> for Classes {
    fn from(all: Vec<Class>) -> Self {
        Self { all, plans: Plans::default() }
    }
}

impl Classes {
    /// Each of them.
    #[must_use]
    pub fn all(&self) -> &[Class] {
        &self.all
    }
}

/// What is asked for, and by whom.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    pub me: &'a MemberId,
    pub classes: &'a Classes,
    /// How many proposals there are, as [`calls`] says in the same snapshot. A plan counts while no more are begun.
    pub begun: u64,
    /// So many proposals are put in order without looking for a better way.
    pub few: u32,
}

impl<'a> Question<'a> {
    /// A question, to be answered the usual way.
    #[must_use]
    pub fn new(me: &'a MemberId, classes: &'a Classes, begun: u64) -> Self {
        Self { me, classes, begun, few: 1_000 }
    }
}

/// Which calls a condition can hold under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    One(CallId),
    /// Those in which the member has a role, if roles help, and those of the member's own proposals and assignments.
    Own {
        roles: bool,
    },
    /// Any.
    All,
}

/// Where a proposal stands in the order of creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub created_at: Timestamp,
    pub id: ProposalId,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.created_at.as_millisecond(), self.id)
    }
}

/// The text is not of a place in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no place in a list")]
pub struct NoKey;

impl FromStr for Key {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        let (millis, id) = text.split_once('.').ok_or(NoKey)?;
        let millis = millis.parse().map_err(|_| NoKey)?;
        let created_at = Timestamp::from_millisecond(millis).map_err(|_| NoKey)?;
        Ok(Self { created_at, id: id.parse().map_err(|_| NoKey)? })
    }
}

/// A part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    pub sort: Sort,
    pub after: Option<Key>,
    pub limit: u32,
}

impl Cut {
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
pub async fn calls(tx: &mut Tx, me: &MemberId, own: &BTreeSet<Members>, reach: Reach) -> Result<Calls, StoreError> {
    let mut writer = Writer::new(tx.dialect(), me);
    let which = match reach {
        Reach::One(call) => writer.mark(&call),
        Reach::All => "SELECT t.call_id FROM proposal_tallies t WHERE t.parties_key = ''".to_owned(),
        Reach::Own { roles } => {
            let role = format!("SELECT r.call_id FROM call_roles r WHERE r.member = {}", writer.me());
            let mut ways = if roles { vec![role] } else { Vec::new() };
            for rows in own_rows(&mut writer, own) {
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
    let row = tx.fetch_one(Sql::built(sql), writer.args()).await?;
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
pub async fn page(tx: &mut Tx, question: &Question<'_>, cut: Cut) -> Result<Vec<Key>, StoreError> {
    let plan = Plan::of(tx, question, u64::from(cut.limit)).await?;
    let mut found = mine(tx, question, &plan, cut).await?;
    found.extend(anybodys(tx, question, &plan, cut).await?);
    found.sort_unstable();
    if cut.sort == Sort::Newest {
        found.reverse();
    }
    found.truncate(cut.limit as usize);
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
pub async fn count(tx: &mut Tx, question: &Question<'_>) -> Result<u64, StoreError> {
    sums(tx, question, &[("proposals", "1".to_owned())]).await?.map_or(Ok(0), |row| row.count("proposals"))
}

/// What there is to the proposals that the condition holds for.
pub async fn totals(tx: &mut Tx, question: &Question<'_>) -> Result<Totals, StoreError> {
    let Some(row) = sums(tx, question, &each_total()).await? else { return Ok(Totals::default()) };
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
async fn sums(tx: &mut Tx, question: &Question<'_>, of: &[(&str, String)]) -> Result<Option<Row>, StoreError> {
    // Each is looked at whatever the plan, so none is chosen by what a page would cost.
    let plan = Plan::of(tx, question, u64::from(u32::MAX)).await?;
    let mut writer = Writer::new(tx.dialect(), question.me);
    let mut from = Vec::new();
    from.extend(mine_from(&mut writer, &plan)?);
    for scope in &plan.scopes {
        // Joined are all rows of a kind, whatever proposals they are of: too many for the few of a small scope.
        from.push(if scope.is_large {
            writer.all(|writer| writer.scope(scope))?
        } else {
            format!("proposals p WHERE {}", writer.scope(scope)?)
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
    Ok(Some(tx.fetch_one(Sql::once(sql), writer.args()).await?))
}

/// Those that a row of the member's own leads to, without those of the other way.
async fn mine(tx: &mut Tx, question: &Question<'_>, plan: &Plan, cut: Cut) -> Result<Vec<Key>, StoreError> {
    let mut writer = Writer::new(tx.dialect(), question.me);
    let Some(from) = mine_from(&mut writer, plan)? else { return Ok(Vec::new()) };
    let sql = sorted(&mut writer, &[format!("{UNSORTED} {from}")], cut);
    keys(tx, sql, writer).await
}

fn mine_from(writer: &mut Writer<'_>, plan: &Plan) -> Result<Option<String>, StoreError> {
    let sets: BTreeSet<Members> = plan.own.iter().flat_map(|own| own_sets(&own.holds)).collect();
    let Some(rows) = writer.lead(&sets) else { return Ok(None) };
    let mut classes = Vec::new();
    for Own { calls, without, holds } in &plan.own {
        let place = format!("p.call_id IN ({})", writer.marks(calls));
        let others = if without.is_empty() {
            String::new()
        } else {
            format!(" AND p.parties_key NOT IN ({})", writer.marks(without))
        };
        classes.push(format!("({place}{others} AND {})", writer.condition(holds)?));
    }
    writer.lead(&BTreeSet::new());
    // The order of a cross join is the order of the loops in SQLite; PostgreSQL sees for itself that the rows are few.
    let holds = columns::balanced(&classes, " OR ");
    Ok(Some(format!("({rows}) o CROSS JOIN proposals p WHERE p.proposal_id = o.proposal_id AND {holds}")))
}

fn own_rows(writer: &mut Writer<'_>, own: &BTreeSet<Members>) -> Vec<String> {
    let rows = own.iter().filter_map(|members| writer.mine(*members));
    rows.map(|rows| format!("SELECT s.proposal_id FROM {rows}")).collect()
}

/// Those for which the condition holds without a row of the member's own.
async fn anybodys(tx: &mut Tx, question: &Question<'_>, plan: &Plan, cut: Cut) -> Result<Vec<Key>, StoreError> {
    let mut writer = Writer::new(tx.dialect(), question.me);
    match &plan.way {
        Way::None => Ok(Vec::new()),
        Way::Sort => {
            let mut parts = Vec::new();
            for scope in &plan.scopes {
                let (by, holds) = (by_groups(&writer, scope), writer.scope(scope)?);
                let select = if by.is_empty() { UNSORTED } else { "SELECT p.created_at, p.proposal_id FROM" };
                parts.push(format!("{select} proposals p{by} WHERE {holds}"));
            }
            let sql = sorted(&mut writer, &parts, cut);
            keys(tx, sql, writer).await
        }
        Way::Merge(groups) => {
            let mut parts = Vec::new();
            for group in groups {
                let (by, holds) = (by_groups(&writer, group), writer.scope(group)?);
                let after = indexed_after(&mut writer, cut, "AND");
                let (direction, limit) = (cut.direction(), writer.mark(&cut.limit));
                parts.push(format!(
                    "SELECT * FROM (SELECT p.created_at, p.proposal_id FROM proposals p{by} WHERE {holds}{after} \
                     ORDER BY p.created_at {direction}, p.proposal_id {direction} LIMIT {limit}) g"
                ));
            }
            let (direction, limit) = (cut.direction(), writer.mark(&cut.limit));
            let sql = format!(
                "SELECT u.created_at, u.proposal_id FROM ({}) u \
                 ORDER BY u.created_at {direction}, u.proposal_id {direction} LIMIT {limit}",
                parts.join(" UNION ALL ")
            );
            keys(tx, sql, writer).await
        }
        Way::Walk(window) => walk(tx, question, plan, cut, *window).await,
    }
}

/// Walks past the proposals in order, a stretch at a time, so that neither engine can think of another way.
async fn walk(
    tx: &mut Tx,
    question: &Question<'_>,
    plan: &Plan,
    mut cut: Cut,
    mut window: u32,
) -> Result<Vec<Key>, StoreError> {
    let mut found = Vec::new();
    loop {
        let mut writer = Writer::new(tx.dialect(), question.me);
        let mut scopes = Vec::new();
        for scope in &plan.scopes {
            scopes.push(writer.scope(scope)?);
        }
        let holds = columns::balanced(&scopes, " OR ");
        let after = indexed_after(&mut writer, cut, "WHERE");
        let (direction, limit, stretch) = (cut.direction(), writer.mark(&cut.limit), writer.mark(&window));
        let sql = format!(
            "SELECT p.created_at, p.proposal_id FROM (SELECT p.* FROM proposals p{after} \
             ORDER BY p.created_at {direction}, p.proposal_id {direction} LIMIT {stretch}) p WHERE {holds} \
             ORDER BY p.created_at {direction}, p.proposal_id {direction} LIMIT {limit}"
        );
        let part = keys(tx, sql, writer).await?;
        let missing = cut.limit - u32::try_from(part.len()).unwrap_or(cut.limit);
        found.extend(part);
        if missing == 0 {
            return Ok(found);
        }
        let mut writer = Writer::new(tx.dialect(), question.me);
        let (after, last) = (indexed_after(&mut writer, cut, "WHERE"), writer.mark(&(window - 1)));
        let sql = format!(
            "SELECT p.created_at, p.proposal_id FROM proposals p{after} \
             ORDER BY p.created_at {direction}, p.proposal_id {direction} LIMIT 1 OFFSET {last}"
        );
        let Some(end) = keys(tx, sql, writer).await?.pop() else { return Ok(found) };
        cut = Cut { after: Some(end), limit: missing, ..cut };
        window = window.saturating_mul(4).min(1 << 18);
    }
}

/// Proposals whose order no index is to give: it would be walked from one end to the other.
const UNSORTED: &str = "SELECT p.created_at + 0 AS created_at, p.proposal_id FROM";

/// That a scope is looked through group by group, for an engine that lets itself be told. SQLite then leaves each where the rest
/// comes too late.
fn by_groups(writer: &Writer<'_>, scope: &Scope) -> String {
    let index = if scope.parties.is_some() { "proposals_by_parties" } else { "proposals_by_call_creation" };
    writer.dialect().indexed_by.map_or_else(String::new, |by| format!(" {by} {index}"))
}

/// Some proposals in order.
fn sorted(writer: &mut Writer<'_>, parts: &[String], cut: Cut) -> String {
    let (direction, limit) = (cut.direction(), writer.mark(&cut.limit));
    let all = parts.join(" UNION ALL ");
    let after = cut.after.map_or_else(String::new, |key| {
        let (at, id, after) = (writer.mark(&key.created_at), writer.mark(&key.id), cut.beyond());
        format!(" WHERE u.created_at {after} {at} OR (u.created_at = {at} AND u.proposal_id {after} {id})")
    });
    format!(
        "SELECT u.created_at, u.proposal_id FROM ({all}) u{after} \
         ORDER BY u.created_at {direction}, u.proposal_id {direction} LIMIT {limit}"
    )
}

fn indexed_after(writer: &mut Writer<'_>, cut: Cut, word: &str) -> String {
    let Some(key) = cut.after else { return String::new() };
    let (created_at, id) = (writer.mark(&key.created_at), writer.mark(&key.id));
    format!(" {word} (p.created_at, p.proposal_id) {} ({created_at}, {id})", cut.beyond())
}

async fn keys(tx: &mut Tx, sql: String, writer: Writer<'_>) -> Result<Vec<Key>, StoreError> {
    // Kept prepared, for the same page is asked for again and reading its text takes longer than finding its rows.
    let found = tx.fetch_all(Sql::built(sql), writer.args()).await?;
    found
        .iter()
        .map(|row: &Row| Ok(Key { created_at: row.time("created_at")?, id: row.parse("proposal_id")? }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_list_reads_back_and_nothing_else_does() {
        let text = "1772366400123.prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF";
        let key: Key = text.parse().unwrap();
        assert_eq!(key.created_at, "2026-03-01T12:00:00.123Z".parse().unwrap());
        assert_eq!(key.to_string(), text);
        for wrong in [
            "",
            ".",
            "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF",
            "1.call_01J9ZQ4N6M8V7X5T3R2P1K0HGF",
            "99999999999999999.prop_x",
        ] {
            assert_eq!(wrong.parse::<Key>(), Err(NoKey), "{wrong}");
        }
    }

    #[test]
    fn only_a_row_of_ones_own_that_helps_is_a_way_to_a_proposal() {
        let mine = |members| Predicate::from(Atom::Mine(members));
        let holds = Predicate::all([
            Predicate::any([mine(Members::Officers), mine(Members::Assigned)]),
            mine(Members::Conflicts).negated(),
        ]);
        assert_eq!(own_sets(&holds), BTreeSet::from([Members::Assigned]));
    }
}
