//! Tables as CSV by RFC 4180, with a header: those that people write in an editor or a spreadsheet, and those that
//! commands print. What is not understood is refused with its line.
//!
//! Spreadsheets begin files with a byte order mark, write UTF-16, separate columns by semicolons and leave rows of separators behind; all of
//! that is read. What is written is RFC 4180 to the letter, in UTF-8.

use crate::{domain::text::counted, reading};
use std::borrow::Cow;

/// What a spreadsheet may take for the beginning of a formula, also in the wide form of East Asian keyboards.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
/// What separates cells and rows for spreadsheets of some countries, but for the comma, which takes quotes.
const SEPARATORS: [char; 4] = [';', '\t', '\r', '\n'];

/// A row under a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableRow {
    /// Its number, as an editor counts lines.
    pub(super) line: u64,
    cells: Vec<(&'static str, String)>,
}

impl TableRow {
    /// A cell of a column that every table has.
    pub(super) fn cell(&self, column: &str) -> &str {
        self.optional(column).unwrap_or_default()
    }

    /// A cell of a column that a table may lack.
    pub(super) fn optional(&self, column: &str) -> Option<&str> {
        self.cells.iter().find(|(name, _)| *name == column).map(|(_, cell)| cell.as_str())
    }
}

/// What the line above a header begins with that says how cells are separated.
pub(super) const SEPARATOR_LINE: &str = "sep=";

/// Whether a file whose first line is this holds a table.
pub(super) fn is_table(first: &str) -> bool {
    first.starts_with(SEPARATOR_LINE) || first.contains([',', ';', '\t'])
}

/// The rows of a table that has the columns `wanted` and may have the columns `taken`; other columns are passed over.
///
/// # Errors
/// What is wrong, and in which line.
pub(super) fn read(content: &[u8], wanted: &[&'static str], taken: &[&'static str]) -> Result<Vec<TableRow>, String> {
    let text = reading::text(content)?;
    // Spreadsheets write semicolons where a comma is the decimal sign, tabs into what they call Unicode text, and some say so in a line above.
    let first = text.lines().next().unwrap_or_default();
    let said = first.strip_prefix(SEPARATOR_LINE).filter(|rest| rest.len() == 1);
    let separator = match said {
        Some(said) => said.as_bytes()[0],
        None if first.contains('\t') => b'\t',
        None if first.contains(';') => b';',
        None => b',',
    };
    let mut reader = csv::ReaderBuilder::new();
    let reader = reader.delimiter(separator).has_headers(false).flexible(true).trim(csv::Trim::All);
    let mut lines = LineCount { text: text.as_bytes(), at: 0, line: 1 };
    let mut records = reader.from_reader(text.as_bytes()).into_records().map(|record| {
        let record = record.map_err(|error| error.to_string())?;
        let line = lines.of(record.position().map_or(0, csv::Position::byte));
        Ok::<_, String>((line, record))
    });
    if said.is_some() {
        records.next();
    }
    let (line, header) = records.next().ok_or("it is empty")??;
    let mut columns = Vec::new();
    for name in wanted.iter().chain(taken) {
        let mut at = (0..header.len()).filter(|at| header[*at].eq_ignore_ascii_case(name));
        match (at.next(), at.next()) {
            (Some(first), Some(second)) => {
                return Err(format!("line {line}: columns {} and {} are both `{name}`", first + 1, second + 1));
            }
            (Some(at), None) => columns.push((*name, at)),
            (None, _) if taken.contains(name) => {}
            (None, _) => {
                return Err(format!("line {line}: the header has no column `{name}`; wanted `{}`", wanted.join(",")));
            }
        }
    }
    let mut rows = Vec::new();
    for record in records {
        let (line, fields) = record?;
        if fields.iter().all(str::is_empty) {
            continue;
        }
        if fields.len() != header.len() {
            return Err(format!(
                "line {line}: {}, the header has {}",
                counted(fields.len(), "column", "columns"),
                header.len()
            ));
        }
        let cells = columns.iter().map(|(name, at)| (*name, fields[*at].to_owned())).collect();
        rows.push(TableRow { line, cells });
    }
    Ok(rows)
}

/// Rows as text: cells in quotes where they need them, each line ended by a carriage return and a line feed. A cell that a spreadsheet
/// would compute begins with an apostrophe, which makes it text.
pub(super) fn written<'t>(rows: impl IntoIterator<Item = Vec<&'t str>>) -> String {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).flexible(true).from_writer(Vec::new());
    for row in rows {
        let cells = row.into_iter().map(|cell| harmless(cell).into_owned());
        writer.write_record(cells).expect("writing to memory does not fail");
    }
    let bytes = writer.into_inner().expect("writing to memory does not fail");
    String::from_utf8(bytes).expect("text and separators are UTF-8")
}

/// A cell that no spreadsheet takes for a formula. Titles and names are written by others.
fn harmless(cell: &str) -> Cow<'_, str> {
    if is_number(cell) {
        return Cow::Borrowed(cell);
    }
    let is_formula = |text: &str| text.trim_start().starts_with(FORMULA);
    let mut harmless = String::with_capacity(cell.len());
    if cell.starts_with(SEPARATORS) || is_formula(cell) {
        harmless.push('\'');
    }
    // Where a semicolon or a tab separates cells, a part of this one is one of its own.
    for part in cell.split_inclusive(SEPARATORS) {
        if !harmless.is_empty() && harmless.ends_with(SEPARATORS) && is_formula(part) {
            harmless.push('\'');
        }
        harmless.push_str(part);
    }
    if harmless.len() == cell.len() { Cow::Borrowed(cell) } else { Cow::Owned(harmless) }
}

/// A text of a member's own, so that [`restored`] gives it back from a cell that was [`written`].
pub(super) fn kept(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    for part in text.split_inclusive(SEPARATORS) {
        // An apostrophe that stands there already is not one of ours.
        if part.starts_with('\'') && is_marked(part.trim_start_matches('\'')) {
            kept.push('\'');
        }
        kept.push_str(part);
    }
    kept
}

/// A cell without the apostrophes that [`written`] put before what a spreadsheet would compute.
pub(super) fn restored(cell: &str) -> String {
    let mut restored = String::with_capacity(cell.len());
    for part in cell.split_inclusive(SEPARATORS) {
        let bare = part.trim_start_matches('\'');
        restored.push_str(if bare.len() < part.len() && is_marked(bare) { &part[1..] } else { part });
    }
    restored
}

/// Whether an apostrophe belongs before a part of a cell: a formula, or a separator.
fn is_marked(part: &str) -> bool {
    part.starts_with(SEPARATORS) || part.trim_start().starts_with(FORMULA)
}

/// Whether it is a number as programs write it, which stays one: `-4.50`.
fn is_number(cell: &str) -> bool {
    let digits = cell.strip_prefix('-').unwrap_or(cell);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    [whole, part].iter().all(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Counts lines as an editor does; the reader's own count is one less after a carriage return, and it passes over empty lines.
struct LineCount<'t> {
    text: &'t [u8],
    at: usize,
    line: u64,
}

impl LineCount<'_> {
    /// The line of the row that begins at this byte or after the line ends there. Rows are asked for in their order.
    fn of(&mut self, byte: u64) -> u64 {
        let mut begin = usize::try_from(byte).unwrap_or(usize::MAX).min(self.text.len());
        begin += self.text[begin..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        self.line += self.text[self.at..begin].split(|byte| *byte == b'\n').skip(1).count() as u64;
        self.at = begin;
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(content: &[u8]) -> Result<Vec<(u64, String, String)>, String> {
        let rows = read(content, &["a", "b"], &["c"])?;
        Ok(rows
            .iter()
            .map(|row| (row.line, row.cell("a").to_owned(), row.optional("c").unwrap_or("-").to_owned()))
            .collect())
    }

    #[test]
    fn tables_of_editors_and_spreadsheets_are_read() {
        let wanted = [(2, "1, 2".to_owned(), "-".to_owned()), (4, "say \"x\"".to_owned(), "-".to_owned())];
        let text = "A,b\r\n\"1, 2\",x\r\n,\r\n\"say \"\"x\"\"\",y\r\n";
        let le: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let marked = format!("\u{feff}{text}");
        for content in
            [text.as_bytes(), marked.as_bytes(), &[&[0xff, 0xfe], &*le].concat(), &[&[0xfe, 0xff], &*be].concat()]
        {
            assert_eq!(rows(content).unwrap(), wanted);
        }
        assert_eq!(rows(b"b;c;a;d\nx;y;z;w\n").unwrap(), [(2, "z".to_owned(), "y".to_owned())]);
        assert_eq!(rows(b"b\ta, or so\ta\nx\ty, z; w\tv\n").unwrap(), [(2, "v".to_owned(), "-".to_owned())]);
        assert_eq!(rows(b"sep=;\r\nb;a\r\nx;1,5\r\n").unwrap(), [(3, "1,5".to_owned(), "-".to_owned())]);
    }

    #[test]
    fn table_is_written_as_rfc_4180_and_read_back() {
        let text = written([
            vec!["PROPOSAL", "TITLE", "NOTE"],
            vec!["BIRD26-48179", "Maps, \"fields\" and drones", "one\ntwo"],
            vec!["BIRD26-09268", "ניווט בלי לוויין", ""],
        ]);
        assert_eq!(
            text,
            "PROPOSAL,TITLE,NOTE\r\nBIRD26-48179,\"Maps, \"\"fields\"\" and drones\",\"one\ntwo\"\r\n\
             BIRD26-09268,ניווט בלי לוויין,\r\n"
        );
        let read = read(text.as_bytes(), &["proposal", "title"], &["note"]).unwrap();
        let cells = |at: usize| (read[at].cell("proposal"), read[at].cell("title"), read[at].cell("note"));
        assert_eq!(cells(0), ("BIRD26-48179", "Maps, \"fields\" and drones", "one\ntwo"));
        assert_eq!(cells(1), ("BIRD26-09268", "ניווט בלי לוויין", ""));
    }

    #[test]
    fn no_cell_is_a_formula_and_numbers_stay_numbers() {
        let formulas = [
            "=HYPERLINK(\"http://x\")",
            "+1+1",
            "-1+1",
            "@SUM(A1)",
            " =1",
            "＝1",
            "＋1",
            "－1",
            "＠x",
            "-",
            "-.",
            "+5",
        ];
        for formula in formulas {
            assert_eq!(harmless(formula), format!("'{formula}"));
        }
        // Where semicolons or tabs separate cells, each part of a cell is one.
        for (parts, kept) in [
            ("Maps;=1+1;x", "Maps;'=1+1;x"),
            ("a\t@b", "a\t'@b"),
            ("\t=1", "'\t'=1"),
            ("\r=1", "'\r'=1"),
            ("a\r\n -b", "a\r\n' -b"),
            ("a; b, =c", "a; b, =c"),
        ] {
            assert_eq!(harmless(parts), kept);
        }
        for plain in ["-4.50", "-1", "0", "", "a=b", "'=1", "2026-04-01T15:00:00Z"] {
            assert_eq!(harmless(plain), plain);
        }
    }

    proptest::proptest! {
        #[test]
        fn text_of_ones_own_comes_back_from_its_cell(text in "[-=+@＝' ;a\\n\\t1,\"]{0,14}") {
            let text = text.trim();
            let table = written([vec!["TEXT", "OTHER"], vec![&kept(text), "x"]]);
            let rows = read(table.as_bytes(), &["text", "other"], &[]).unwrap();
            proptest::prop_assert_eq!(restored(rows[0].cell("text")), text);
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_line() {
        for (content, fault) in [
            (&b""[..], "empty"),
            (b"a\n1\n", "no column `b`"),
            (b"a,b,a\n1,2,3\n", "columns 1 and 3 are both `a`"),
            (b"a,b\n1\n", "line 2: 1 column, the header has 2"),
            (b"a,b\n\xff,1\n", "save it as UTF-8"),
            (&[0xff, 0xfe, 0x41], "neither UTF-8 nor whole UTF-16"),
        ] {
            let refused = rows(content).unwrap_err();
            assert!(refused.contains(fault), "{refused}");
        }
    }
}
