//! Decisions in a file: a table as CSV, or lists of references by outcome in TOML or Markdown. Refuses what it does not understand, with the
//! line.

use crate::{
    cli::rows,
    client::{decisions::GrantAmount, naming::ProposalName},
    domain::{decision::Outcome, reference::ReferenceError},
    reading,
};
use std::{collections::BTreeMap, fmt::Display};

/// What an item of a Markdown list begins with.
const ITEM_SIGNS: [&str; 3] = ["- ", "* ", "+ "];

/// A decision as somebody wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WrittenLine {
    pub(super) proposal: ProposalName,
    pub(super) outcome: Outcome,
    pub(super) reason: Option<String>,
    pub(super) amount: Option<GrantAmount>,
}

/// Reads decisions from the content of a file. A row of a table without an outcome is passed over: its proposal is not decided on here.
///
/// # Errors
/// What is wrong, and in which line.
pub(super) fn read(content: &[u8]) -> Result<Vec<WrittenLine>, String> {
    let text = reading::text(content)?;
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#')).unwrap_or_default();
    let lines = if ITEM_SIGNS.iter().any(|sign| first.starts_with(sign)) {
        markdown(&text)?
    } else if first.starts_with(rows::SEPARATOR_LINE) {
        csv(content)?
    } else if first.contains('=') && !first.contains(',') || is_list_in_toml(first) {
        toml(&text)?
    } else if rows::is_table(first) {
        csv(content)?
    } else {
        markdown(&text)?
    };
    if lines.is_empty() {
        return Err(
            "it holds no decisions: fill in `outcome`, or list references under `fund:`, `reserve:` or `decline:`"
                .into(),
        );
    }
    Ok(lines)
}

/// `fund = ["BIRD26-48179", …]`, also where several stand on the first line.
fn is_list_in_toml(line: &str) -> bool {
    line.split_once('=').is_some_and(|(name, list)| outcome(name).is_ok() && list.trim_start().starts_with('['))
}

fn csv(content: &[u8]) -> Result<Vec<WrittenLine>, String> {
    let mut lines = Vec::new();
    for row in rows::read(content, &["proposal", "outcome"], &["reason", "amount"])? {
        let at = |error: &dyn Display| format!("line {}: {error}", row.line);
        if row.cell("outcome").is_empty() {
            continue;
        }
        let amount = row.optional("amount").filter(|cell| !cell.is_empty());
        lines.push(WrittenLine {
            proposal: name(row.cell("proposal")).map_err(|error| at(&error))?,
            outcome: outcome(row.cell("outcome")).map_err(|error| at(&error))?,
            reason: row.optional("reason").filter(|reason| !reason.is_empty()).map(str::to_owned),
            amount: amount.map(str::parse).transpose().map_err(|error| at(&error))?,
        });
    }
    Ok(lines)
}

fn toml(text: &str) -> Result<Vec<WrittenLine>, String> {
    let lists: BTreeMap<String, Vec<String>> = ::toml::from_str(text).map_err(|error| {
        let above = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        format!("line {}: {}", above.matches('\n').count() + 1, reading::worded(error.message()))
    })?;
    let mut lines = Vec::new();
    for (word, names) in lists {
        let outcome = outcome(&word)?;
        for written in names {
            let proposal = name(&written).map_err(|error| format!("`{word}`: {error}"))?;
            lines.push(WrittenLine { proposal, outcome, reason: None, amount: None });
        }
    }
    Ok(lines)
}

/// Lists under `fund:` or a heading `# Fund`: of each item the first word is the reference, and the rest is for people.
fn markdown(text: &str) -> Result<Vec<WrittenLine>, String> {
    let (mut lines, mut under) = (Vec::new(), None);
    for (at, line) in (1..).zip(text.lines()) {
        let fault = |error: &dyn Display| format!("line {at}: {error}");
        let line = line.trim();
        let item = ITEM_SIGNS.iter().find_map(|sign| line.strip_prefix(sign));
        match (item, under) {
            _ if line.is_empty() => {}
            (Some(item), Some(outcome)) => {
                let first = item.split_whitespace().next().unwrap_or_default().trim_end_matches([',', ':', ';']);
                let proposal = name(first).map_err(|error| fault(&error))?;
                lines.push(WrittenLine { proposal, outcome, reason: None, amount: None });
            }
            (Some(_), None) => return Err(fault(&"no outcome stands above this list: begin it with `fund:`, say")),
            (None, _) => {
                let word = line.trim_start_matches('#').trim().trim_end_matches(':').trim();
                under = Some(outcome(word).map_err(|error| fault(&error))?);
            }
        }
    }
    Ok(lines)
}

fn name(text: &str) -> Result<ProposalName, ReferenceError> {
    text.parse()
}

/// An outcome in any case.
fn outcome(word: &str) -> Result<Outcome, String> {
    let word = word.trim();
    word.to_lowercase().parse().map_err(|_| {
        let words = Outcome::ALL.iter().map(|outcome| format!("`{outcome}`")).collect::<Vec<_>>().join(", ");
        format!("`{word}` is not an outcome, one of {words}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Result<Vec<String>, String> {
        let worded = |line: &WrittenLine| {
            let reason = line.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            let amount = line.amount.as_ref().map(|amount| format!(" {amount}")).unwrap_or_default();
            format!("{} {}{amount}{reason}", line.proposal, line.outcome)
        };
        Ok(read(text.as_bytes())?.iter().map(worded).collect())
    }

    #[test]
    fn table_lists_and_headings_are_read() {
        let wanted = ["BIRD26-48179 fund", "BIRD26-09268 decline"];
        for text in [
            "proposal,outcome\nBIRD26-48179,fund\nBIRD26-09268,Decline\n",
            "\u{feff}RANK;PROPOSAL;TITLE;ISR;OUTCOME;REASON\r\n1;bird26-48179;Lodestone;fund;FUND;\r\n2;BIRD26-77534;;;;\r\n3;BIRD26-09268;;;decline;\r\n",
            "sep=;\r\nproposal;outcome\r\nBIRD26-48179;fund\r\nBIRD26-09268;decline\r\n",
            "proposal\toutcome\nBIRD26-48179\tfund\nBIRD26-09268\tdecline\n",
            "fund:\n- BIRD26-48179  Lodestone, navigation\n\ndecline:\n- BIRD26-09268: not now\n",
            "# Fund\n* BIRD26-48179\n## Decline\n\n* BIRD26-09268\n",
            "# Fund\n- BIRD26-48179, Lodestone = navigation\n# Decline\n- BIRD26-09268\n",
        ] {
            assert_eq!(lines(text).unwrap(), wanted, "{text}");
        }
        let toml = lines("fund = [\"BIRD26-48179\"]\ndecline = [\n  \"BIRD26-09268\",\n]\n").unwrap();
        assert_eq!(toml, ["BIRD26-09268 decline", "BIRD26-48179 fund"]);
        let more = lines("proposal,outcome,reason,amount\nBIRD26-48179,fund,money became free,250000 USD\n").unwrap();
        assert_eq!(more, ["BIRD26-48179 fund 250000.00 USD (money became free)"]);
    }

    #[test]
    fn fault_names_its_line() {
        for (text, fault) in [
            ("", "no decisions"),
            ("proposal,outcome\nBIRD26-48179,\n", "no decisions"),
            ("proposal,outcome\nBIRD26-48179,fond\n", "line 2: `fond` is not an outcome, one of `fund`"),
            ("proposal,outcome\nBIRD26-48719,fund\n", "line 2: `BIRD26-48719` is mistyped"),
            ("proposal,result\nBIRD26-48179,fund\n", "no column `outcome`"),
            ("proposal,outcome,amount\nBIRD26-48179,fund,a lot\n", "line 2: wanted an amount"),
            ("- BIRD26-48179\n", "line 1: no outcome stands above"),
            ("fund:\n- BIRD26-48719\n", "line 2: `BIRD26-48719` is mistyped"),
            ("fund:\n- BIRD26-48179\nmaybe:\n", "line 3: `maybe` is not an outcome"),
            ("fund = [\"BIRD26-48719\"]\n", "`fund`: `BIRD26-48719` is mistyped"),
            ("fund = [\"BIRD26-48179\"\n", "line "),
        ] {
            let refused = lines(text).unwrap_err();
            assert!(refused.contains(fault), "{text}: {refused}");
        }
    }
}
