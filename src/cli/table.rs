//! A small writer of aligned tables: columns as wide as their widest cell, two spaces between, nothing cut off.

use unicode_width::UnicodeWidthStr;

/// Rows under headings. Numbers stand right, all else left.
#[derive(Debug, Clone, Default)]
pub struct Table {
    heads: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these headings.
    pub fn new<S: Into<String>>(heads: impl IntoIterator<Item = S>) -> Self {
        Self { heads: heads.into_iter().map(Into::into).collect(), rows: Vec::new() }
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

    /// The lines, headings first, each cell passed through `clean`.
    pub(super) fn lines(&self, clean: impl Fn(&str) -> String) -> Vec<String> {
        let all: Vec<Vec<String>> = std::iter::once(&self.heads)
            .chain(&self.rows)
            .map(|row| row.iter().map(|cell| clean(cell)).collect())
            .collect();
        let columns = self.heads.len();
        let widths: Vec<usize> = (0..columns)
            .map(|column| all.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max().unwrap_or(0))
            .collect();
        let right: Vec<bool> = (0..columns).map(|column| self.is_numeric(column)).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).zip(&right).map(|((cell, &width), &right)| {
                if right { format!("{}{cell}", " ".repeat(width - cell.width())) } else { padded(cell, width) }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        all.iter().map(line).collect()
    }

    fn is_numeric(&self, column: usize) -> bool {
        let mut cells = self.rows.iter().filter_map(|row| row.get(column)).filter(|cell| *cell != "-").peekable();
        cells.peek().is_some() && cells.all(|cell| cell.parse::<f64>().is_ok())
    }
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
        let lines = table.lines(str::to_owned);
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
}
