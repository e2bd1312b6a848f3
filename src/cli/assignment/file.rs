//! Assignments in a file: JSON, or CSV of two columns with a header. Refuses what it does not understand, with the line.

use crate::{
    cli::rows,
    client::naming::ProposalName,
    domain::{
        id::{IdError, MemberId},
        reference::ReferenceError,
    },
    reading,
};
use serde::Deserialize;
use serde_json::Value;
use std::fmt::Display;

/// A proposal and who is to review it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileLine {
    /// As an editor counts; in JSON the place in the list, from 1.
    pub(super) line: u64,
    pub(super) proposal: ProposalName,
    pub(super) reviewer: MemberId,
}

/// The same in JSON.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedPair {
    proposal: String,
    reviewer: MemberId,
}

/// Reads assignments from the content of a file; JSON is recognised by its first character.
///
/// # Errors
/// What is wrong, and in which line.
pub(super) fn read(content: &[u8]) -> Result<Vec<FileLine>, String> {
    let text = reading::text(content)?;
    let pairs = if text.trim_start().starts_with(['[', '{']) { json(&text)? } else { csv(content)? };
    if pairs.is_empty() {
        return Err("it holds no assignments".into());
    }
    Ok(pairs)
}

/// A list of pairs, or an object with such a list under `assignments` or `items`.
fn json(text: &str) -> Result<Vec<FileLine>, String> {
    let mut value = reading::value(text.as_bytes()).map_err(|fault| fault.to_string())?;
    for name in ["assignments", "items"] {
        if let Some(list) = value.get_mut(name) {
            value = list.take();
        }
    }
    let Value::Array(items) = value else { return Err("wanted a list of assignments".into()) };
    let lines = (1..).zip(items).map(|(line, item)| {
        let fault = |error: &dyn Display| format!("assignment {line}: {error}");
        let NamedPair { proposal, reviewer } = reading::typed(item).map_err(|error| fault(&error))?;
        let proposal = proposal.parse().map_err(|error: ReferenceError| fault(&error))?;
        Ok(FileLine { line, proposal, reviewer })
    });
    lines.collect()
}

fn csv(content: &[u8]) -> Result<Vec<FileLine>, String> {
    let lines = rows::read(content, &["proposal", "reviewer"], &[])?.into_iter().map(|row| {
        let at = |error: &dyn Display| format!("line {}: {error}", row.line);
        let proposal = row.cell("proposal").parse().map_err(|error: ReferenceError| at(&error))?;
        let reviewer = row.cell("reviewer").parse().map_err(|error: IdError| at(&error))?;
        Ok(FileLine { line: row.line, proposal, reviewer })
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF";
    const B: &str = "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGG";

    fn pairs(text: &str) -> Result<Vec<String>, String> {
        let pairs = read(text.as_bytes())?;
        Ok(pairs.iter().map(|line| format!("{} {}", line.proposal, line.reviewer)).collect())
    }

    #[test]
    fn csv_of_editors_and_spreadsheets_is_read() {
        let wanted = vec![format!("{A} GBR:grace"), format!("{B} KOR:jiwoo")];
        for text in [
            format!("proposal,reviewer\n{A},GBR:grace\n{B},KOR:jiwoo\n"),
            format!("\u{feff}Reviewer;Proposal\r\nGBR:grace;{A}\r\n\r\nKOR:jiwoo;{B}\r\n"),
            format!("\"proposal\",\"note\",\"reviewer\"\n\"{A}\",\"\",\"GBR:grace\"\n{B}, ,KOR:jiwoo"),
            format!("proposal,title,reviewer\n{A},\"Sensors, \"\"cold\"\" ones\",GBR:grace\n{B},Fog,KOR:jiwoo\n"),
        ] {
            assert_eq!(pairs(&text).unwrap(), wanted, "{text}");
        }
    }

    #[test]
    fn proposals_are_named_as_people_call_them() {
        let text = format!("proposal,reviewer\nbird26-48179,GBR:grace\n{},KOR:jiwoo\n", &A[..14]);
        assert_eq!(pairs(&text).unwrap(), ["BIRD26-48179 GBR:grace", &format!("{} KOR:jiwoo", &A[..14])]);
        let mistyped = pairs("proposal,reviewer\nBIRD26-48719,GBR:grace\n").unwrap_err();
        assert!(mistyped.starts_with("line 2: `BIRD26-48719` is mistyped"), "{mistyped}");
    }

    #[test]
    fn lines_are_numbered_as_an_editor_does() {
        let text = format!("proposal,reviewer\n\n{A},GBR:grace\n,\n{B},KOR:jiwoo\n");
        let lines: Vec<u64> = read(text.as_bytes()).unwrap().iter().map(|line| line.line).collect();
        assert_eq!(lines, [3, 5]);
    }

    #[test]
    fn json_list_is_read_bare_or_wrapped() {
        let list = format!("[{{\"proposal\":\"{A}\",\"reviewer\":\"GBR:grace\"}}]");
        assert_eq!(pairs(&list).unwrap(), [format!("{A} GBR:grace")]);
        assert_eq!(pairs(&format!("{{\"assignments\":{list}}}")).unwrap(), [format!("{A} GBR:grace")]);
    }

    #[test]
    fn fault_names_its_line() {
        for (text, fault) in [
            (String::new(), "empty"),
            ("proposal,reviewer\n".into(), "no assignments"),
            ("proposal,member\n".into(), "line 1: the header has no column `reviewer`"),
            (format!("proposal,reviewer\n{A},GBR:grace\nprop_1,GBR:grace\n"), "line 3: `prop_1`"),
            (format!("proposal,reviewer\n{A}\n"), "line 2: 1 column,"),
            (
                format!("proposal,title,reviewer\n{A},\"two\nlines\",GBR:grace\n{A},x,GBR grace\n"),
                "line 4: `GBR grace`",
            ),
            ("[{\"proposal\":\"x\",\"reviewer\":\"GBR:grace\"}]".into(), "assignment 1"),
        ] {
            let found = pairs(&text).unwrap_err();
            assert!(found.contains(fault), "{text}: {found}");
        }
    }
}
