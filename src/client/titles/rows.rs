//! Lists with titles: rows joined with what their summaries say, put in order and searched on the member's machine.
//!
//! The exchange knows no title, so it can neither sort nor search by one. What it is asked for are whole lists; what is done with them here
//! shows nothing that the member was not shown.

use super::Titles;
use crate::{
    domain::{id::ProposalId, name::folded, proposal::Sort},
    wire::proposal::Proposal,
};
use serde::Serialize;
use std::{cmp::Ordering, fmt, str::FromStr};

/// Something about a proposal, with the proposal's title if it is known.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Titled<T> {
    #[serde(flatten)]
    pub item: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Where the team works, by the summary.
    #[serde(skip)]
    pub organisations: Vec<String>,
}

impl Titles {
    /// Rows with the titles of their proposals.
    #[must_use]
    pub fn joined<T>(&self, items: Vec<T>, proposal: impl Fn(&T) -> ProposalId) -> Vec<Titled<T>> {
        let with_title = |item: T| {
            let known = self.known(proposal(&item));
            let title = known.map(|known| known.title.clone());
            Titled { item, title, organisations: known.map(|known| known.organisations.clone()).unwrap_or_default() }
        };
        items.into_iter().map(with_title).collect()
    }
}

/// What people call a proposal: what a search finds it by and what an order by reference goes by. The one place that says so.
fn reference(proposal: &Proposal) -> String {
    proposal.reference.to_string()
}

/// By what a list of proposals is ordered, and in which direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowOrder {
    by: OrderedBy,
    is_backwards: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OrderedBy {
    Created,
    Title,
    Reference,
    Deadline,
}

/// Each order with its word.
const ORDERS: [(&str, OrderedBy); 4] = [
    ("created", OrderedBy::Created),
    ("title", OrderedBy::Title),
    ("reference", OrderedBy::Reference),
    ("deadline", OrderedBy::Deadline),
];

impl RowOrder {
    /// The order to ask the exchange for.
    #[must_use]
    pub fn at_the_exchange(self) -> Sort {
        if self.by == OrderedBy::Created && self.is_backwards { Sort::Newest } else { Sort::Created }
    }

    /// Whether the exchange gives the list in this order; otherwise it takes the whole list to put it in order here.
    #[must_use]
    pub fn is_of_the_exchange(self) -> bool {
        self.by == OrderedBy::Created
    }

    /// Whether rows are put in order by what their summaries say.
    #[must_use]
    pub fn is_by_title(self) -> bool {
        self.by == OrderedBy::Title
    }

    /// Puts rows in order that the exchange gave in the one that it was asked for. Those without a title come after those with one.
    pub fn sort(self, rows: &mut [Titled<Proposal>]) {
        let turned = |order: Ordering| if self.is_backwards { order.reverse() } else { order };
        match self.by {
            OrderedBy::Created => {}
            OrderedBy::Title => rows.sort_by_cached_key(|row| {
                let title = row.title.as_deref().map(folded);
                (title.is_none(), Directed { key: title, is_backwards: self.is_backwards })
            }),
            OrderedBy::Reference => {
                rows.sort_by(|one, other| turned(reference(&one.item).cmp(&reference(&other.item))));
            }
            OrderedBy::Deadline => rows.sort_by(|one, other| turned(one.item.deadline_at.cmp(&other.item.deadline_at))),
        }
    }
}

/// A key to sort by, in one of two directions.
#[derive(PartialEq, Eq)]
struct Directed<K> {
    key: K,
    is_backwards: bool,
}

impl<K: Ord> Ord for Directed<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        let order = self.key.cmp(&other.key);
        if self.is_backwards { order.reverse() } else { order }
    }
}

impl<K: Ord> PartialOrd for Directed<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for RowOrder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (is_backwards, word) = text.strip_prefix('-').map_or((false, text), |word| (true, word));
        let found = ORDERS.iter().find(|(name, _)| *name == word);
        let words = || ORDERS.map(|(name, _)| format!("`{name}`")).join(", ");
        let (_, by) = found.ok_or_else(|| format!("wanted one of {}, or the same with `-` in front", words()))?;
        Ok(Self { by: *by, is_backwards })
    }
}

impl fmt::Display for RowOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = ORDERS.iter().find(|(_, by)| *by == self.by).map_or("", |(name, _)| name);
        write!(f, "{}{word}", if self.is_backwards { "-" } else { "" })
    }
}

/// Words that a proposal is looked for by. Case, accents that are written in two ways and blanks make no difference, as in the comparison of
/// organisations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TitleSearch {
    words: Vec<String>,
}

impl TitleSearch {
    /// Whether each word is in the reference, the title or one of the organisations.
    #[must_use]
    pub fn finds(&self, row: &Titled<Proposal>) -> bool {
        let names = row.organisations.iter().chain(&row.item.organisations).map(|name| folded(name));
        let texts: Vec<String> =
            names.chain(row.title.as_deref().map(folded)).chain([folded(&reference(&row.item))]).collect();
        self.words.iter().all(|word| texts.iter().any(|text| text.contains(word)))
    }
}

impl FromStr for TitleSearch {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words: Vec<String> = folded(text).split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
        if words.is_empty() { Err("wanted a word to look for") } else { Ok(Self { words }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        client::{
            testing::{at, proposal},
            titles::KnownTitle,
        },
        domain::reference::Reference,
    };

    const IDS: [&str; 4] = [
        "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGA",
        "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGB",
        "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGC",
        "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGD",
    ];

    fn rows(titles: [Option<&str>; 4]) -> Vec<Titled<Proposal>> {
        let known: Titles = IDS
            .iter()
            .zip(titles)
            .filter_map(|(id, title)| Some((id.parse().unwrap(), KnownTitle::new(title?, ["Universität Bremen"]))))
            .collect();
        let code = "BIRD26".parse().unwrap();
        let reference = |id: &str| Reference::new(&code, if id.ends_with('B') { "9000" } else { "1000" });
        let rows = IDS.map(|id| Proposal { id: id.parse().unwrap(), reference: reference(id), ..proposal() });
        known.joined(rows.into(), |row| row.id)
    }

    fn order(mut rows: Vec<Titled<Proposal>>, order: &str) -> String {
        order.parse::<RowOrder>().unwrap().sort(&mut rows);
        rows.iter().map(|row| row.item.id.to_string().pop().unwrap()).collect()
    }

    #[test]
    fn rows_without_a_title_come_last_in_both_directions() {
        let listed = || rows([Some("lodestone"), None, Some("Quartz"), Some("KOMPASS")]);
        assert_eq!(order(listed(), "title"), "DACB");
        assert_eq!(order(listed(), "-title"), "CADB");
        assert_eq!((order(listed(), "created"), order(listed(), "reference")), ("ABCD".into(), "ACDB".into()));
        assert!(order(listed(), "-reference").starts_with('B'));
        let mut timed = listed();
        timed[0].item.deadline_at = at("2030-01-01T00:00:00Z").into();
        assert_eq!(order(timed, "deadline"), "BCDA");
    }

    #[test]
    fn order_that_the_exchange_gives_is_asked_of_it() {
        let order = |text: &str| text.parse::<RowOrder>().unwrap();
        assert_eq!(
            (order("-created").at_the_exchange(), order("-title").at_the_exchange()),
            (Sort::Newest, Sort::Created)
        );
        assert!(order("created").is_of_the_exchange() && !order("title").is_of_the_exchange());
        assert!(order("-title").is_by_title() && !order("reference").is_by_title());
        for text in ["created", "-title", "reference", "-deadline"] {
            assert_eq!(order(text).to_string(), text);
        }
        let refused = "status".parse::<RowOrder>().unwrap_err();
        assert_eq!(refused, "wanted one of `created`, `title`, `reference`, `deadline`, or the same with `-` in front");
    }

    #[test]
    fn search_finds_by_reference_title_and_organisation_however_they_are_typed() {
        let mut listed = rows([Some("Lodestone: navigation"), None, Some("측량 로봇"), None]);
        listed[3].item.organisations = ["Blue Ridge Navigation".to_owned()].into();
        let found = |text: &str| -> String {
            let search: TitleSearch = text.parse().unwrap();
            let found = listed.iter().filter(|row| search.finds(row));
            found.map(|row| row.item.id.to_string().pop().unwrap()).collect()
        };
        assert_eq!(found("NAVIGATION"), "AD", "a title and an organisation of a key card");
        assert_eq!(found("lodestone bremen"), "A", "each word, wherever it is");
        assert_eq!(found("UNIVERSITA\u{308}T"), "AC", "an organisation of the summary");
        assert_eq!(found("\u{ff32}idge"), "D", "the compatibility form");
        assert_eq!(found("로봇"), "C");
        assert_eq!(found("bird26-9000"), "B");
        assert_eq!(found("nothing of that"), "");
        assert!(" \u{200b}".parse::<TitleSearch>().is_err());
    }

    #[test]
    fn title_stands_beside_what_the_exchange_says() {
        let listed = rows([Some("Lodestone"), None, None, None]);
        let json = serde_json::to_value(&listed).unwrap();
        assert_eq!((json[0]["title"].as_str(), json[0]["id"].as_str()), (Some("Lodestone"), Some(IDS[0])));
        assert!(json[1].get("title").is_none());
    }
}
