//! The summary as a form in Markdown: title, abstract, and a line for each person of the team and each item of the budget.
//!
//! INVARIANT: what is in the present summary, which a counterpart may have written, never becomes structure when the form is read back.

use super::{
    Client, Result,
    form_lines::{FormFault, escaped, heading, normal_text, numbered, unescaped},
    proposals::{BudgetLine, MAX_SUMMARY, Summary, TeamMember},
    review_form::one_line,
    verified::VersionChoice,
};
use crate::domain::{
    call::SUMMARY_SLOT,
    id::{PartnerCode, ProposalId},
    text::counted,
};
use std::fmt::Write;

/// How a file of this form begins.
pub const BEGINS: &str = "# Summary";

/// The parts, each with what its lines are.
const TITLE: (&str, &str) = ("Title", "> One line.");
const ABSTRACT: (&str, &str) = (
    "Abstract",
    "> What it is about, in a few paragraphs. A line of yours that begins with `#` and a blank is written `\\#`.",
);
const TEAM: (&str, &str) = ("Team", "> A person a line: name | organisation | role. The role may be left out.");
const BUDGET: (&str, &str) =
    ("Budget", "> An item a line: item | party | amount in whole units | currency. The party may be left empty.");
const PARTS: [(&str, &str); 4] = [TITLE, ABSTRACT, TEAM, BUDGET];
const TEAM_HEAD: &str = "| name | organisation | role |\n|---|---|---|\n";
const BUDGET_HEAD: &str = "| item | party | amount | currency |\n|---|---|---|---|\n";

impl Client {
    /// What is put in as summary now, or an empty one.
    pub async fn present_summary(&self, id: ProposalId) -> Result<Summary> {
        let documents = self.api().documents(id).await?;
        if documents.iter().any(|document| document.slot.as_str() == SUMMARY_SLOT) {
            return self.read_summary(id, VersionChoice::Working).await;
        }
        Ok(Summary { title: String::new(), abstract_text: String::new(), team: Vec::new(), budget: Vec::new() })
    }
}

/// The form, filled with a summary.
#[must_use]
pub fn written(proposal: &str, summary: &Summary) -> String {
    let mut text = format!("{BEGINS} of {proposal}\n");
    let mut part = |(name, words): (&str, &str), content: &str| {
        // Writing to memory does not fail.
        let _ = write!(text, "\n## {name}\n\n{words}\n\n{content}");
    };
    part(TITLE, &format!("{}\n", escaped(&one_line(&summary.title))));
    let lines: Vec<String> = normal_text(&summary.abstract_text).split('\n').map(escaped).collect();
    part(ABSTRACT, &format!("{}\n", lines.join("\n")));
    let team = summary
        .team
        .iter()
        .map(|TeamMember { name, organisation, role }| row(&[name, organisation, role.as_deref().unwrap_or_default()]));
    part(TEAM, &format!("{TEAM_HEAD}{}", team.collect::<String>()));
    let budget = summary.budget.iter().map(|BudgetLine { item, party, amount, currency }| {
        let party = party.as_ref().map(ToString::to_string).unwrap_or_default();
        row(&[item, &party, &amount.to_string(), currency])
    });
    part(BUDGET, &format!("{BUDGET_HEAD}{}", budget.collect::<String>()));
    text
}

fn row(cells: &[&str]) -> String {
    let cells = cells.iter().map(|cell| one_line(cell).replace('\\', "\\\\").replace('|', "\\|"));
    format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

/// The summary that a form says.
///
/// # Errors
/// Every fault, by line.
pub fn read(text: &str) -> std::result::Result<Summary, Vec<FormFault>> {
    let mut summary =
        Summary { title: String::new(), abstract_text: String::new(), team: Vec::new(), budget: Vec::new() };
    let (mut part, mut seen, mut faults) = (None, Vec::new(), Vec::new());
    let mut title = Vec::new();
    for (number, line) in numbered(text) {
        let mut fault = |detail: String| faults.push(FormFault { line: number, detail });
        if let Some((level, name)) = heading(line) {
            let found = PARTS.iter().find(|(known, _)| level == 2 && known.eq_ignore_ascii_case(name));
            match found {
                Some((known, _)) if seen.contains(known) => fault(format!("`{known}` is a duplicate")),
                Some((known, _)) => seen.push(known),
                None if level == 1 && part.is_none() => {}
                None => fault("it begins like a heading; if it belongs to the abstract, write `\\` before it".into()),
            }
            part = found.map(|(known, _)| *known).or(part);
            continue;
        }
        let is_guide = PARTS.iter().any(|(_, words)| *words == line.trim_end());
        match part {
            _ if is_guide => {}
            Some("Abstract") => {
                summary.abstract_text.push_str(unescaped(line));
                summary.abstract_text.push('\n');
            }
            _ if line.trim().is_empty() => {}
            Some("Title") => title.push(unescaped(line).trim().to_owned()),
            Some("Team") => match cells(line).map(|cells| person(&cells)) {
                Some(Ok(person)) => summary.team.push(person),
                Some(Err(detail)) => fault(detail),
                None => {}
            },
            Some(_) => match cells(line).map(|cells| item(&cells)) {
                Some(Ok(item)) => summary.budget.push(item),
                Some(Err(detail)) => fault(detail),
                None => {}
            },
            None => fault("it belongs to no part of the form".into()),
        }
    }
    summary.title = one_line(&title.join(" "));
    summary.abstract_text = normal_text(&summary.abstract_text);
    if summary.title.is_empty() && faults.is_empty() {
        faults.push(FormFault { line: 1, detail: "a summary has a title".into() });
    }
    if faults.is_empty() { Ok(summary) } else { Err(faults) }
}

/// The cells of a line; none for what a table begins with.
fn cells(line: &str) -> Option<Vec<String>> {
    let line = line.trim();
    if line.chars().all(|c| "|-: ".contains(c)) {
        return None;
    }
    let (mut cells, mut cell, mut is_escaped) = (Vec::new(), String::new(), false);
    for c in line.strip_prefix('|').unwrap_or(line).chars() {
        match c {
            '\\' if !is_escaped => is_escaped = true,
            '|' if !is_escaped => cells.push(std::mem::take(&mut cell)),
            c => {
                if is_escaped && !matches!(c, '\\' | '|') {
                    cell.push('\\');
                }
                cell.push(c);
                is_escaped = false;
            }
        }
    }
    if is_escaped {
        cell.push('\\');
    }
    cells.push(cell);
    if cells.last().is_some_and(|last| last.trim().is_empty()) && cells.len() > 1 {
        cells.pop();
    }
    let cells: Vec<String> = cells.iter().map(|cell| one_line(cell)).collect();
    let is_head = matches!(cells.first().map(String::as_str), Some("name"))
        && cells.get(1).is_some_and(|c| c == "organisation")
        || matches!(cells.first().map(String::as_str), Some("item")) && cells.get(2).is_some_and(|c| c == "amount");
    (!is_head).then_some(cells)
}

fn person(cells: &[String]) -> std::result::Result<TeamMember, String> {
    let (name, organisation, role) = match cells {
        [name, organisation] => (name, organisation, None),
        [name, organisation, role] => (name, organisation, Some(role.clone()).filter(|role| !role.is_empty())),
        _ => return Err("wanted `name | organisation | role`".into()),
    };
    if name.is_empty() || organisation.is_empty() {
        return Err("a person has a name and an organisation".into());
    }
    Ok(TeamMember { name: name.clone(), organisation: organisation.clone(), role })
}

fn item(cells: &[String]) -> std::result::Result<BudgetLine, String> {
    let [item, party, amount, currency] = cells else {
        return Err("wanted `item | party | amount | currency`".into());
    };
    let party = match party.as_str() {
        "" => None,
        code => Some(code.to_uppercase().parse::<PartnerCode>().map_err(|error| error.to_string())?),
    };
    let digits: String = amount.chars().filter(|c| !matches!(c, ',' | '_' | '\'') && !c.is_whitespace()).collect();
    let amount = digits
        .parse()
        .map_err(|_| format!("`{amount}` is no amount: write whole units of the currency, such as `250000`"))?;
    if item.is_empty() || currency.is_empty() {
        return Err("an item has a name and a currency, such as `EUR`".into());
    }
    Ok(BudgetLine { item: item.clone(), party, amount, currency: currency.clone() })
}

/// How long a summary is, against what it may be.
#[must_use]
pub fn length_in_words(summary: &Summary) -> String {
    let text = &summary.abstract_text;
    let bytes = serde_json::to_vec(summary).map_or(0, |json| json.len());
    format!(
        "title: {}; abstract: {}, {}; in all {bytes} of {MAX_SUMMARY} bytes",
        counted(summary.title.chars().count(), "character", "characters"),
        counted(text.split_whitespace().count(), "word", "words"),
        counted(text.chars().count(), "character", "characters"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    #[test]
    fn form_is_read_as_people_write_it() {
        let text = "# Summary of BIRD26-48179\r\n\r\n## title\r\n> One line.\r\nLodestone\r\n\r\n## Abstract\r\n\
                    First.\r\n\r\n> quoted\r\n\\# not a heading\r\n\r\n## Team\r\n| name | organisation | role |\r\n|---|:--|---|\r\n\
                    | Avi Levi | Galil Optics |\r\nNoa | A\\|B | lead\r\n\r\n## Budget\r\n| Heads | isr | 250,000 | USD |\r\n|Staff||1|EUR|\r\n";
        let summary = read(text).unwrap();
        assert_eq!((&*summary.title, &*summary.abstract_text), ("Lodestone", "First.\n\n> quoted\n# not a heading"));
        assert_eq!(
            summary.team[1],
            TeamMember { name: "Noa".into(), organisation: "A|B".into(), role: Some("lead".into()) }
        );
        let party = |code: &str| Some(code.parse().unwrap());
        let line = |item: &str, party, amount, currency: &str| BudgetLine {
            item: item.into(),
            party,
            amount,
            currency: currency.into(),
        };
        assert_eq!(summary.budget, [line("Heads", party("ISR"), 250_000, "USD"), line("Staff", None, 1, "EUR")]);
        assert!(length_in_words(&summary).starts_with("title: 9 characters; abstract: 7 words, "));
    }

    #[test]
    fn every_fault_of_a_form_is_found_with_its_line() {
        let text = "lost\n## Title\n## Titel\n## Team\nAvi\n| Avi | | x |\n## Budget\n| Heads | ISR | 2.5 | USD |\n| Heads | Israel! | 2 | USD |\n## Title\n";
        let faults = read(text).unwrap_err();
        let lines: Vec<u64> = faults.iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [1, 3, 5, 6, 8, 9, 10], "{faults:#?}");
        assert!(read("# Summary\n## Title\n").unwrap_err()[0].detail.contains("has a title"));
    }

    proptest! {
        #[test]
        fn summary_comes_back_from_its_form(
            title in "[#>|a\\\\ \\n\u{202e}]{1,12}x",
            abstract_text in "[#>|a \\\\\\n\\r]{0,40}|## Team\n\\| x \\| y \\|",
            people in vec(("[a|\\\\#\\n ]{0,8}b", "[|a#> ]{0,6}b", proptest::option::of("[|\\\\a]{0,4}b")), 0..3),
            items in vec(("[a|\\\\#\\n ]{0,8}b", any::<u64>(), proptest::option::of(Just("ISR"))), 0..3),
        ) {
            let clean = |text: String| one_line(&text);
            let team = people.into_iter().map(|(name, organisation, role)| {
                TeamMember { name: clean(name), organisation: clean(organisation), role: role.map(clean) }
            });
            let budget = items.into_iter().map(|(item, amount, party)| BudgetLine {
                item: clean(item),
                party: party.map(|party| party.parse().unwrap()),
                amount,
                currency: "EUR".into(),
            });
            let summary = Summary {
                title: clean(title),
                abstract_text: normal_text(&abstract_text),
                team: team.collect(),
                budget: budget.collect(),
            };
            let read = read(&written("BIRD26-48179", &summary));
            prop_assert_eq!(read.map_err(|faults| TestCaseError::fail(format!("{faults:?}")))?, summary);
        }
    }
}
