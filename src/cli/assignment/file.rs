//! Assignments in a file: JSON, or CSV of two columns with a header. Refuses what it does not understand, with the line.

use crate::{
    domain::{
        id::{MemberId, ProposalId},
        text::counted,
    },
    wire::review::Pair,
};
use serde_json::Value;

/// A proposal and who is to review it.
type Line = (ProposalId, MemberId);

/// Reads assignments from the content of a file; JSON is recognised by its first character.
///
/// # Errors
/// What is wrong, and in which line.
pub(super) fn read(content: &[u8]) -> Result<Vec<Line>, String> {
    let text = str::from_utf8(content).map_err(|_| "it is not UTF-8 text".to_owned())?;
    // Spreadsheets begin their files with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let pairs = if text.trim_start().starts_with(['[', '{']) { json(text)? } else { csv(text)? };
    if pairs.is_empty() {
        return Err("it holds no assignments".into());
    }
    Ok(pairs)
}

/// A list of pairs, or an object with such a list under `assignments` or `items`.
fn json(text: &str) -> Result<Vec<Line>, String> {
    let mut value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    for name in ["assignments", "items"] {
        if let Some(list) = value.get_mut(name) {
            value = list.take();
        }
    }
    let Value::Array(items) = value else { return Err("wanted a list of assignments".into()) };
    let pairs = items.into_iter().enumerate().map(|(at, item)| {
        let pair: Pair = serde_json::from_value(item).map_err(|error| format!("assignment {}: {error}", at + 1))?;
        Ok((pair.proposal, pair.reviewer))
    });
    pairs.collect()
}

fn csv(text: &str) -> Result<Vec<Line>, String> {
    // Spreadsheets of many countries separate columns by semicolons.
    let separator = if text.lines().next().is_some_and(|header| header.contains(';')) { b';' } else { b',' };
    let mut reader = csv::ReaderBuilder::new();
    let reader = reader.delimiter(separator).has_headers(false).flexible(true).trim(csv::Trim::All);
    let mut records = reader.from_reader(text.as_bytes()).into_records().map(|record| {
        let record = record.map_err(|error| error.to_string())?;
        let line = record.position().map_or(1, csv::Position::line);
        Ok::<_, String>((line, record))
    });
    let (line, header) = records.next().ok_or("it is empty")??;
    let column = |name: &str| {
        let found = header.iter().position(|head| head.eq_ignore_ascii_case(name));
        found.ok_or_else(|| format!("line {line}: the header has no column `{name}`; wanted `proposal,reviewer`"))
    };
    let (proposal, reviewer) = (column("proposal")?, column("reviewer")?);
    let pairs = records.map(|record| {
        let (line, fields) = record?;
        if fields.len() != header.len() {
            return Err(format!(
                "line {line}: {}, the header has {}",
                counted(fields.len(), "column", "columns"),
                header.len()
            ));
        }
        let at = |error: crate::domain::id::IdError| format!("line {line}: {error}");
        Ok((fields[proposal].parse().map_err(at)?, fields[reviewer].parse().map_err(at)?))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF";
    const B: &str = "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGG";

    fn pairs(text: &str) -> Result<Vec<String>, String> {
        let pairs = read(text.as_bytes())?;
        Ok(pairs.iter().map(|(proposal, reviewer)| format!("{proposal} {reviewer}")).collect())
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
