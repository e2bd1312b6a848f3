//! Lines of forms in Markdown that people fill in an editor: recognises headings, and escapes text that begins like a heading, so that it
//! is read back as text.

use serde::Serialize;

/// What is wrong in a line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct FormFault {
    /// As an editor counts lines.
    pub line: u64,
    pub detail: String,
}

/// The lines of a text, counted from 1, without their ends.
pub(super) fn numbered(text: &str) -> impl Iterator<Item = (u64, &str)> {
    (1..).zip(text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)))
}

/// The level of a heading and its text.
pub(super) fn heading(line: &str) -> Option<(usize, &str)> {
    let text = line.trim_start_matches('#');
    let level = line.len() - text.len();
    (level > 0 && (text.is_empty() || text.starts_with([' ', '\t']))).then(|| (level, text.trim()))
}

/// A line of somebody's own, as a form has it.
pub(super) fn escaped(line: &str) -> String {
    if is_structure(line.trim_start_matches('\\')) { format!("\\{line}") } else { line.to_owned() }
}

/// The line that was written so.
pub(super) fn unescaped(line: &str) -> &str {
    let rest = line.trim_start_matches('\\');
    if rest.len() < line.len() && is_structure(rest) { &line[1..] } else { line }
}

fn is_structure(line: &str) -> bool {
    line.starts_with(['#', '>', '|'])
}

/// A text as forms bring it back: without blanks around it, with line feeds alone.
pub(super) fn normal_text(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n").trim().to_owned()
}
