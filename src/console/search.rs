//! `/search`: proposals by reference, title and organisation, searched on this machine. The exchange knows no title.

use super::{
    fields::Fields,
    frame::{Frame, Section, Visit},
    words::When,
};
use crate::{
    client::{
        ClientError, Result,
        titles::{
            Titles,
            rows::{RowOrder, TitleSearch, Titled},
        },
        zone::Zone,
    },
    domain::{name::visible, text::counted},
    wire::proposal::Proposal,
};
use askama::Template;
use axum::response::Response;
use jiff::Timestamp;
use std::collections::BTreeSet;

/// So many rows are on a page.
const SHOWN: usize = 1_000;
/// The columns by which the table can be put in order.
const ORDERS: [(&str, &str); 3] = [("reference", "Reference"), ("title", "Title"), ("deadline", "Deadline")];

#[derive(Template)]
#[template(path = "search.html")]
struct SearchPage {
    frame: Frame,
    words: String,
    sort: String,
    zone: String,
    /// The calls and the statuses to choose from, with whether each is chosen.
    calls: Vec<(String, bool)>,
    statuses: Vec<(String, bool)>,
    rows: Vec<SearchRow>,
    /// How many were found, and how many there are in all.
    found: usize,
    all: usize,
    /// How many are not searched by their title.
    closed: String,
    is_opening: bool,
    /// Whether there is no such order as was asked for.
    is_unordered: bool,
}

struct SearchRow {
    reference: String,
    title: String,
    status: String,
    parties: String,
    organisations: Vec<String>,
    deadline: When,
    mine: String,
}

impl SearchPage {
    /// The order after another press on a column: the other way round where it is by that column already.
    fn other_order(&self, name: &str) -> String {
        if self.sort == name { format!("-{name}") } else { name.to_owned() }
    }

    fn direction(&self, name: &str) -> &'static str {
        match self.sort.strip_prefix('-') {
            Some(by) if by == name => "descending",
            None if self.sort == name => "ascending",
            _ => "none",
        }
    }

    /// Where a press on a column leads.
    fn column(&self, name: &str) -> String {
        self.ordered(&self.other_order(name))
    }

    fn again(&self) -> String {
        self.ordered(&self.sort)
    }

    /// The address of the same table in an order.
    fn ordered(&self, sort: &str) -> String {
        let chosen = |among: &[(String, bool)]| {
            among.iter().find(|(_, is_chosen)| *is_chosen).map(|(name, _)| name.clone()).unwrap_or_default()
        };
        let (call, status) = (chosen(&self.calls), chosen(&self.statuses));
        let pairs = [("q", self.words.as_str()), ("call", &call), ("status", &status), ("sort", sort)];
        let pairs = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        format!("/search?{}", form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish())
    }

    fn found(&self) -> String {
        let all = counted(self.all, "proposal", "proposals");
        let shown = if self.found > SHOWN { format!("; the first {SHOWN} are shown") } else { String::new() };
        format!("{} of {all}{shown}", self.found)
    }
}

/// Finds proposals.
pub(super) async fn show(visit: Visit, fields: Fields) -> Response {
    let made = search(&visit, &fields).await;
    visit.answer(Section::Search, made).await
}

async fn search(visit: &Visit, fields: &Fields) -> Result<SearchPage> {
    let field = |name: &str| fields.get(name).to_owned();
    let (words, sort, call, status) = (field("q"), field("sort"), field("call"), field("status"));
    let sort = if sort.is_empty() { "reference".to_owned() } else { sort };
    let client = &visit.unlocked.client;
    let rows = client.api().all_proposals(None).await?;
    client.saw_all(&rows)?;
    let titles = client.known_titles(&rows).await;
    if titles.closed() > 0 {
        visit.unlocked.open_titles();
    }
    let (all, closed) = (rows.len(), closed(&titles));
    let calls = choices(rows.iter().map(|row| row.reference.code().to_string()), &call);
    let statuses = choices(rows.iter().map(stands), &status);
    let mut rows = titles.joined(rows, |row| row.id);
    rows.retain(|row| call.is_empty() || row.item.reference.code().to_string() == call);
    rows.retain(|row| status.is_empty() || stands(&row.item) == status);
    if let Ok(search) = words.parse::<TitleSearch>() {
        rows.retain(|row| search.finds(row));
    }
    let (order, is_unknown) = match sort.parse::<RowOrder>() {
        Ok(order) => (order, false),
        Err(_) => ("reference".parse().map_err(|fault| ClientError::usage(fault, "choose a column"))?, true),
    };
    order.sort(&mut rows);
    let found = rows.len();
    rows.truncate(SHOWN);
    let now = client.exchange_now();
    Ok(SearchPage {
        frame: visit.frame(Section::Search, "Search").await,
        zone: visit.unlocked.zone.name().to_owned(),
        rows: rows.iter().map(|row| shown(row, now, &visit.unlocked.zone)).collect(),
        words,
        sort,
        all,
        found,
        closed,
        is_opening: visit.unlocked.is_opening_titles(),
        is_unordered: is_unknown,
        calls,
        statuses,
    })
}

/// Where a proposal stands, in a word.
fn stands(proposal: &Proposal) -> String {
    proposal.decided.as_ref().map_or_else(|| proposal.status.to_string(), ToString::to_string)
}

/// The different values of a column, with whether each is the chosen one.
fn choices(values: impl Iterator<Item = String>, chosen: &str) -> Vec<(String, bool)> {
    let values: BTreeSet<String> = values.collect();
    values.into_iter().map(|value| (value.clone(), value == chosen)).collect()
}

/// That titles are missing, for a search that goes by them.
fn closed(titles: &Titles) -> String {
    match titles.closed() {
        0 => String::new(),
        closed => counted(closed, "title is not open on this machine", "titles are not open on this machine"),
    }
}

fn shown(row: &Titled<Proposal>, now: Timestamp, zone: &Zone) -> SearchRow {
    let proposal = &row.item;
    let parties: Vec<String> = proposal.parties.keys().map(ToString::to_string).collect();
    let mut organisations: Vec<String> = proposal.organisations.iter().chain(&row.organisations).cloned().collect();
    organisations.sort();
    organisations.dedup();
    let mine = &proposal.mine;
    let parts = [(mine.is_party, "party"), (mine.is_invited, "invited"), (mine.is_assigned, "assigned")];
    let parts: Vec<&str> = parts.into_iter().filter_map(|(is_so, part)| is_so.then_some(part)).collect();
    SearchRow {
        reference: proposal.reference.to_string(),
        title: row.title.as_deref().map(visible).unwrap_or_default(),
        status: stands(proposal),
        parties: parties.join(", "),
        organisations: organisations.iter().map(|name| visible(name)).collect(),
        deadline: When::new(proposal.deadline_at.0, now, zone),
        mine: parts.join(", "),
    }
}
