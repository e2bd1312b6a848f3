//! A small writer of aligned tables: columns as wide as their widest cell, two spaces between, nothing cut off.
//!
//! Where a terminal is narrower than a table, its last columns go below each row, as `name: value`: a terminal would break the
//! lines wherever its edge is. Identifiers and digests stay in one piece, so that they can be copied.

use unicode_width::UnicodeWidthStr;

/// Between two columns.
const GAP: usize = 2;
/// Before what goes below a row.
const INDENT: usize = 4;
/// Between two values below a row.
const APART: &str = "   ";
/// A last column is broken into lines only if it has so much room; otherwise it goes below.
const ROOM: usize = 24;

/// Rows under headings. Numbers stand right, all else left.
#[derive(Debug, Clone)]
pub struct Table {
    heads: Vec<String>,
    rows: Vec<Vec<String>>,
    /// Where it was made: a test asks each place for a sample.
    #[cfg(test)]
    pub(super) made_at: &'static std::panic::Location<'static>,
}

impl Table {
    /// An empty table with these headings.
    #[cfg_attr(test, track_caller)]
    pub fn new<S: Into<String>>(heads: impl IntoIterator<Item = S>) -> Self {
        Self {
            heads: heads.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
            #[cfg(test)]
            made_at: std::panic::Location::caller(),
        }
    }

    /// Adds a row; an empty cell shows as `-`.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let dash = |cell: String| if cell.is_empty() { "-".to_owned() } else { cell };
        self.rows.push(cells.into_iter().map(|cell| dash(cell.into())).collect());
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines, headings first, each cell passed through `clean`; none wider than `width` but for what cannot be broken.
    pub(super) fn lines(&self, width: Option<usize>, clean: impl Fn(&str) -> String) -> Vec<String> {
        let all: Vec<Vec<String>> = std::iter::once(&self.heads)
            .chain(&self.rows)
            .map(|row| row.iter().map(|cell| clean(cell)).collect())
            .collect();
        let columns = self.heads.len();
        let widths: Vec<usize> = (0..columns)
            .map(|column| all.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max().unwrap_or(0))
            .collect();
        let right: Vec<bool> = (0..columns).map(|column| self.is_numeric(column)).collect();
        let upto = |count: usize| widths[..count].iter().sum::<usize>() + GAP * count.saturating_sub(1);
        let line = |cells: &[String]| {
            let cells = cells.iter().zip(&widths).zip(&right).map(|((cell, &width), &right)| {
                if right { format!("{}{cell}", " ".repeat(width - cell.width())) } else { padded(cell, width) }
            });
            cells.collect::<Vec<_>>().join(&" ".repeat(GAP)).trim_end().to_owned()
        };
        let Some(width) = width.filter(|width| *width < upto(columns)) else {
            return all.iter().map(|row| line(row)).collect();
        };
        let kept = (1..columns).rev().find(|count| upto(*count) <= width).unwrap_or(1).min(columns);
        let room = width.saturating_sub(upto(kept) + GAP);
        let is_breakable =
            || all.iter().filter_map(|row| row.get(kept)).all(|cell| cell.split(' ').all(|word| word.width() <= room));
        if kept + 1 == columns && room >= ROOM && is_breakable() {
            let lines = all.iter().flat_map(|row| {
                let (first, last) = row.split_at(kept.min(row.len()));
                let parts = broken(last.first().map_or("", String::as_str), room);
                let whole = [first, &parts[..1]].concat();
                let further = parts.into_iter().skip(1).map(|part| format!("{}{part}", " ".repeat(upto(kept) + GAP)));
                std::iter::once(line(&whole)).chain(further).collect::<Vec<_>>()
            });
            return lines.collect();
        }
        let mut lines = vec![line(&all[0][..kept])];
        for row in &all[1..] {
            lines.push(line(&row[..kept.min(row.len())]));
            let below = all[0].iter().zip(row).skip(kept).filter(|(_, cell)| *cell != "-");
            let below = below.map(|(head, cell)| format!("{}: {cell}", head.to_lowercase()));
            lines.extend(packed(below, width.saturating_sub(INDENT)));
        }
        lines
    }

    fn is_numeric(&self, column: usize) -> bool {
        let mut cells = self.rows.iter().filter_map(|row| row.get(column)).filter(|cell| *cell != "-").peekable();
        cells.peek().is_some() && cells.all(|cell| cell.parse::<f64>().is_ok())
    }
}

/// Values below a row, as many on a line as there is room for; one that is longer goes on under itself.
fn packed(values: impl Iterator<Item = String>, room: usize) -> Vec<String> {
    let mut packed: Vec<String> = Vec::new();
    for value in values {
        match packed.last_mut() {
            Some(last) if last.width() + APART.len() + value.width() <= room => *last = format!("{last}{APART}{value}"),
            _ => packed.push(value),
        }
    }
    let lines = packed.into_iter().flat_map(|line| {
        if line.width() <= room {
            return vec![format!("{}{line}", " ".repeat(INDENT))];
        }
        let indented =
            |(at, part): (usize, String)| format!("{}{part}", " ".repeat(if at == 0 { INDENT } else { INDENT + GAP }));
        broken(&line, room.saturating_sub(GAP)).into_iter().enumerate().map(indented).collect()
    });
    lines.collect()
}

/// A text in lines of at most `width` columns, broken between words; a longer word stands alone. One line at least.
fn broken(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => word.clone_into(line),
            Some(line) if line.width() + 1 + word.width() <= width => *line = format!("{line} {word}"),
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A number of bytes in the unit that suits it: `370 B`, `25 MiB`, `1.5 GiB`.
pub(super) fn size(bytes: u64) -> String {
    let (mut unit, mut units) = ("B", ["KiB", "MiB", "GiB", "TiB"].into_iter());
    let mut tenths = u128::from(bytes) * 10;
    while tenths >= 10_240 {
        let Some(larger) = units.next() else { break };
        (unit, tenths) = (larger, tenths / 1024);
    }
    match (tenths / 10, tenths % 10) {
        (whole, 0) => format!("{whole} {unit}"),
        (whole, tenth) => format!("{whole}.{tenth} {unit}"),
    }
}

/// `text` with spaces after it up to `width` columns of a terminal.
pub(super) fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_said_in_the_unit_that_suits_them() {
        let sizes = [(370, "370 B"), (25 << 20, "25 MiB"), (3 << 29, "1.5 GiB"), (1_048_575, "1023.9 KiB")];
        for (bytes, said) in sizes {
            assert_eq!(size(bytes), said);
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["ID", "NAME", "TOTAL"]);
        table.row(["a", "연구재단", "4.5"]);
        table.row(["longer", "x", "12"]);
        table.row(["b", "", ""]);
        let lines = table.lines(None, str::to_owned);
        assert_eq!(
            lines,
            [
                "ID      NAME      TOTAL",
                "a       연구재단    4.5",
                "longer  x            12",
                "b       -             -"
            ]
        );
    }

    #[test]
    fn columns_that_do_not_fit_go_below_each_row() {
        let mut table = Table::new(["PROPOSAL", "STATUS", "DEADLINE", "YOU"]);
        table.row(["prop_1", "submitted", "2026-04-01 15:00 UTC", "party"]);
        table.row(["prop_2", "preparing", "2026-04-01 15:00 UTC", ""]);
        table.row(["prop_3", "withdrawn", "2026-04-01", "party"]);
        assert_eq!(
            table.lines(Some(40), str::to_owned),
            [
                "PROPOSAL  STATUS",
                "prop_1    submitted",
                "    deadline: 2026-04-01 15:00 UTC",
                "    you: party",
                "prop_2    preparing",
                "    deadline: 2026-04-01 15:00 UTC",
                "prop_3    withdrawn",
                "    deadline: 2026-04-01   you: party",
            ]
        );
        assert_eq!(table.lines(Some(48), str::to_owned), table.lines(None, str::to_owned));
    }

    #[test]
    fn last_column_is_broken_between_words_where_it_has_room() {
        let mut table = Table::new(["NO", "COMMENT"]);
        table.row(["1", "clear and well argued, with two markets"]);
        table.row(["2", "short"]);
        let lines = table.lines(Some(30), str::to_owned);
        assert_eq!(lines, ["NO  COMMENT", " 1  clear and well argued,", "    with two markets", " 2  short"]);
        // A digest is never broken: it goes below.
        table.row(["3", &"a".repeat(64)]);
        let lines = table.lines(Some(30), str::to_owned);
        assert_eq!(lines[6..], [" 3".to_owned(), "    comment:".to_owned(), format!("      {}", "a".repeat(64))]);
    }
}
