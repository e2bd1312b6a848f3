//! A small writer of aligned tables: columns as wide as their widest cell, two spaces between, nothing cut off but titles.
//!
//! Where a terminal is narrower than a table, titles are cut to what is left beside the other columns. If that is not enough, the
//! last columns go below each row, as `name: value`: a terminal would break the lines wherever its edge is. Identifiers and digests stay in
//! one piece, so that they can be copied.
//!
//! The same rows are CSV for programs: every column, nothing cut, instants in UTC.

use super::{
    bidi::{isolated, with_isolates},
    cell::TableCell,
    rows,
};
use unicode_width::UnicodeWidthStr;

/// Between two columns.
const GAP: usize = 2;
/// Before what goes below a row.
const INDENT: usize = 4;
/// Between two values below a row.
const APART: &str = "   ";
/// A last column is broken into lines only if it has so much room; otherwise it goes below.
const ROOM: usize = 24;
/// A column that is cut keeps so much.
const LEAST: usize = 24;

/// Rows under headings. Numbers stand right, all else left.
#[derive(Debug, Clone)]
pub struct Table {
    heads: Vec<String>,
    rows: Vec<Vec<TableCell>>,
    /// The column that is cut on a narrow terminal.
    cut: Option<usize>,
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
            cut: None,
            #[cfg(test)]
            made_at: std::panic::Location::caller(),
        }
    }

    /// Has the column under this heading cut where a terminal has no room for all of it.
    #[must_use]
    pub fn cutting(mut self, head: &str) -> Self {
        self.cut = self.heads.iter().position(|other| other == head);
        self
    }

    /// Adds a row; people see an empty cell as `-`.
    pub fn row<C: Into<TableCell>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The zone of the instants that people see in it; none where it has no instants.
    pub(super) fn zone(&self) -> Option<&str> {
        self.rows.iter().flatten().find_map(TableCell::zone)
    }

    /// The table as CSV, headings first.
    pub(super) fn csv(&self) -> String {
        let heads = self.heads.iter().map(String::as_str).collect();
        let rows = self.rows.iter().map(|row| row.iter().map(TableCell::exact).collect());
        rows::written(std::iter::once(heads).chain(rows))
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines, headings first, each cell passed through `clean`; none wider than `width` but for what cannot be broken.
    pub(super) fn lines(&self, width: Option<usize>, clean: impl Fn(&str) -> String) -> Vec<String> {
        let heads = self.heads.iter().map(|head| clean(head)).collect();
        let rows = self.rows.iter().map(|row| row.iter().map(|cell| clean(cell.shown())).collect());
        let mut all: Vec<Vec<String>> = std::iter::once(heads).chain(rows).collect();
        let columns = self.heads.len();
        let mut widths: Vec<usize> = (0..columns)
            .map(|column| all.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max().unwrap_or(0))
            .collect();
        if let (Some(width), Some(column)) = (width, self.cut) {
            let room = room_of(column, &widths, width);
            for cell in all.iter_mut().filter_map(|row| row.get_mut(column)) {
                *cell = cut(cell, room);
            }
            widths[column] = widths[column].min(room);
        }
        // A terminal may put what is beside a text from right to left on its other side.
        let held = |cell: &str| if width.is_some() { isolated(cell) } else { cell.to_owned() };
        let right: Vec<bool> = (0..columns).map(|column| self.is_numeric(column)).collect();
        let upto = |count: usize| widths[..count].iter().sum::<usize>() + GAP * count.saturating_sub(1);
        let line = |cells: &[String]| {
            let cells = cells.iter().zip(&widths).zip(&right).map(|((cell, &width), &right)| {
                if right { format!("{}{cell}", " ".repeat(width - cell.width())) } else { padded(&held(cell), width) }
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
                let further = parts.into_iter().skip(1);
                let further = further.map(|part| format!("{}{}", " ".repeat(upto(kept) + GAP), held(&part)));
                std::iter::once(line(&whole)).chain(further).collect::<Vec<_>>()
            });
            return lines.collect();
        }
        let mut lines = vec![line(&all[0][..kept])];
        for row in &all[1..] {
            lines.push(line(&row[..kept.min(row.len())]));
            let below = all[0].iter().zip(row).skip(kept).filter(|(_, cell)| *cell != "-");
            let below = below.map(|(head, cell)| format!("{}: {cell}", head.to_lowercase()));
            lines.extend(packed(below, width.saturating_sub(INDENT)).iter().map(|line| with_isolates(line)));
        }
        lines
    }

    fn is_numeric(&self, column: usize) -> bool {
        let cells = self.rows.iter().filter_map(|row| row.get(column)).map(TableCell::shown);
        let mut cells = cells.filter(|cell| *cell != "-").peekable();
        cells.peek().is_some() && cells.all(|cell| cell.parse::<f64>().is_ok())
    }
}

/// How wide a column that can be cut is on a terminal: so that all others have room beside it, or else as many as can be.
fn room_of(column: usize, widths: &[usize], terminal: usize) -> usize {
    let (whole, least) = (widths[column], LEAST.min(widths[column]));
    let without = |count: usize| widths[..count].iter().sum::<usize>() + GAP * (count - 1) - whole;
    let beside = (column + 1..=widths.len()).rev().find(|count| without(*count) + least <= terminal);
    // Where not even that fits, it goes below its row as it is.
    beside.map_or(whole, |count| (terminal - without(count)).clamp(least, whole))
}

/// A text cut to so many columns of a terminal, with an ellipsis where something is missing.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
    // A letter of no width stays with the one before it.
    let end = ends.take_while(|end| text[..*end].width() < width).last().unwrap_or(0);
    format!("{}…", text[..end].trim_end())
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

/// `text` with spaces after it up to `width` columns of a terminal.
pub(super) fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn title_is_cut_to_what_the_other_columns_leave_of_a_terminal() {
        let mut table = Table::new(["ID", "TITLE", "STATUS"]).cutting("TITLE");
        table.row(["a", "한빛로보틱스 무인 항법 자기 센서 지도", "submitted"]);
        table.row(["b", "Navigation without satellites, by magnetic maps", "submitted"]);
        table.row(["c", "", "withdrawn"]);
        let lines = table.lines(Some(45), str::to_owned);
        assert_eq!(
            lines,
            [
                "ID  TITLE                           STATUS",
                "a   한빛로보틱스 무인 항법 자기…    submitted",
                "b   Navigation without satellites…  submitted",
                "c   -                               withdrawn",
            ]
        );
        assert!(lines.iter().all(|line| line.width() <= 45), "{lines:#?}");
        assert!(table.lines(None, str::to_owned)[2].contains("by magnetic maps  submitted"), "a pipe has no edge");
        // Less is not cut: other columns go below, and the title has what they leave.
        let lines = table.lines(Some(34), str::to_owned);
        assert_eq!(lines[3..5], ["b   Navigation without satellites…", "    status: submitted"]);
    }

    #[test]
    fn text_from_right_to_left_moves_nothing_beside_it() {
        let mut table = Table::new(["ID", "TITLE", "AT"]).cutting("TITLE");
        table.row(["a", "ניווט בלי לוויין", "2026-03-01"]);
        table.row(["b", "Compass", "2026-03-02"]);
        let lines = table.lines(Some(80), str::to_owned);
        assert_eq!(lines[1], "a   \u{2068}ניווט בלי לוויין\u{2069}  2026-03-01");
        assert_eq!(lines[1].width(), lines[2].width());
        assert!(!table.lines(None, str::to_owned)[1].contains('\u{2068}'), "a program gets the bare text");
        let lines = table.lines(Some(20), str::to_owned);
        assert!(lines.contains(&"    at: 2026-03-01".to_owned()), "{lines:#?}");
    }

    #[test]
    fn cut_text_is_never_wider_than_its_room() {
        for text in ["Lodestone", "한빛로보틱스", "e\u{301}te\u{301} en mer", "a\u{5d0}\u{5b8}b", "👩‍🔬 lab"]
        {
            for width in 1..12 {
                let cut = cut(text, width);
                assert!(cut.width() <= width, "{text} {width}: {cut}");
                assert!(cut == text || cut.ends_with('…'), "{cut}");
            }
        }
        assert_eq!(cut("e\u{301}te\u{301} en mer", 4), "e\u{301}te\u{301}…");
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
