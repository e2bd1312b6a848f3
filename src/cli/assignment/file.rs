//! Assignments in a file: JSON, or CSV of two columns with a header. Refuses what it does not understand, with the line.

use crate::{
    domain::id::{MemberId, ProposalId},
    wire::review::Pair,
};
use serde_json::Value;

/// A proposal and who is to review it.
type Line = (ProposalId, MemberId);

/// Reads assignments from the content of a file; JSON is told by its first character.
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
    let mut lines =
        text.lines().enumerate().map(|(at, line)| (at + 1, line)).filter(|(_, line)| !line.trim().is_empty());
    let (number, header) = lines.next().ok_or("it is empty")?;
    let separator = if header.contains(';') { ';' } else { ',' };
    let header = fields(header, separator, number)?;
    let column = |name: &str| {
        let found = header.iter().position(|head| head.eq_ignore_ascii_case(name));
        found.ok_or_else(|| format!("line {number}: the header has no column `{name}`; wanted `proposal,reviewer`"))
    };
    let (proposal, reviewer) = (column("proposal")?, column("reviewer")?);
    let pairs = lines.map(|(number, line)| {
        let fields = fields(line, separator, number)?;
        if fields.len() != header.len() {
            return Err(format!("line {number}: {} columns, the header has {}", fields.len(), header.len()));
        }
        let at = |error: crate::domain::id::IdError| format!("line {number}: {error}");
        Ok((fields[proposal].parse().map_err(at)?, fields[reviewer].parse().map_err(at)?))
    });
    pairs.collect()
}

/// The fields of a line. Quotes may stand around a whole field; any other use of them is refused rather than guessed at,
/// since neither identifiers nor member names hold quotes or separators.
fn fields(line: &str, separator: char, number: usize) -> Result<Vec<&str>, String> {
    let field = |field: &'_ str| -> Option<()> { (!field.contains('"')).then_some(()) };
    line.split(separator)
        .map(|text| {
            let text = text.trim();
            let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
            field(inner).ok_or_else(|| format!("line {number}: quotes are understood around a whole field only"))?;
            Ok(inner)
        })
        .collect()
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
            (format!("proposal,reviewer\n{A}\n"), "line 2: 1 columns"),
            (format!("proposal,reviewer\n{A},\"GBR:\"\"grace\"\n"), "line 2: quotes"),
            ("[{\"proposal\":\"x\",\"reviewer\":\"GBR:grace\"}]".into(), "assignment 1"),
        ] {
            let found = pairs(&text).unwrap_err();
            assert!(found.contains(fault), "{text}: {found}");
        }
    }
}
