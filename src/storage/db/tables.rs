//! Reads tables wherever they are kept: in an engine, or in the files of a copy. A page of rows at a time, so that memory does not
//! grow with them and no connection waits in the middle of an answer.
//!
//! The callers check the values; a file with another content than a table is damaged.

use super::{Db, ReadTx, Tx, TxOf, copy::CopiedFile};
use crate::storage::{
    StoreError,
    row::Row,
    statement::{Arg, Sql, args},
};
use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
};

/// The bytes that are read from a file at a time.
const CHUNK: usize = 512 << 10;

/// Rows of a page.
const PAGE: u32 = 500;

/// Rows of a page with sealed bytes, of which each has up to a megabyte.
const PAGE_WITH_BYTES: u32 = 20;

/// How a column is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    Text,
    Int,
    Bytes,
}

/// A column to be read.
pub type Column = (&'static str, ColumnKind);

/// A value of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    Text(String),
    Int(i64),
    Bytes(Vec<u8>),
}

/// Tables, wherever they are kept.
#[derive(Debug)]
pub enum Tables {
    /// In an engine.
    In(Db),
    /// In the files of a copy of PostgreSQL.
    Copied { folder: PathBuf, files: Vec<CopiedFile> },
}

/// One state of tables, whatever is written meanwhile.
#[derive(Debug)]
pub enum Snapshot<'a> {
    In(Box<ReadTx>),
    Copied { folder: &'a Path, files: &'a [CopiedFile] },
}

/// A row's columns in the order asked for; NULL is `None`.
pub type Cells = Vec<Option<Cell>>;

impl Tables {
    /// The tables of a copy.
    pub(in crate::storage) async fn of_copy(folder: &Path, files: &[CopiedFile]) -> Result<Self, StoreError> {
        match files {
            [file] if file.table.is_none() => {
                let url = format!("sqlite://{}", folder.join(&file.name).display());
                Ok(Self::In(Db::look(&url, false).await?))
            }
            files => Ok(Self::Copied { folder: folder.to_owned(), files: files.to_vec() }),
        }
    }

    /// Begins to read one state. While it is open the engine keeps that state, so it is not for what takes hours.
    pub async fn snapshot(&self) -> Result<Snapshot<'_>, StoreError> {
        Ok(match self {
            Self::In(db) => Snapshot::In(Box::new(db.read().await?)),
            Self::Copied { folder, files } => Snapshot::Copied { folder, files },
        })
    }

    /// Hands every row of a table to `each` in the order of its key, one at a time; how many there were. Nothing is open in the
    /// engine while `each` works or waits, however long it takes: each page is of the state at its own moment.
    pub async fn each_in_pages<E: From<StoreError>>(
        &self,
        table: &str,
        key: &[Column],
        columns: &[Column],
        mut each: impl AsyncFnMut(Cells) -> Result<(), E>,
    ) -> Result<u64, E> {
        let mut rows = 0;
        match self {
            Self::In(db) => {
                let mut pages = TablePages::new(table, key, columns);
                loop {
                    let page = pages.next(&mut *db.read().await?).await?;
                    if page.is_empty() {
                        break;
                    }
                    for cells in page {
                        each(cells).await?;
                        rows += 1;
                    }
                }
            }
            Self::Copied { folder, files } => {
                let mut lines = RowLines::of_table(folder, files, table, columns)?;
                while let Some(cells) = lines.next()? {
                    each(cells).await?;
                    rows += 1;
                }
            }
        }
        Ok(rows)
    }

    /// Has SQLite look through all that it keeps; what it finds amiss, if anything. PostgreSQL has no such look to ask for.
    pub async fn engine_check(&self) -> Result<Vec<String>, StoreError> {
        let Self::In(db) = self else { return Ok(Vec::new()) };
        let mut tx = db.read().await?;
        let mut faults = Vec::new();
        if matches!(tx.engine, TxOf::Sqlite(_)) {
            for row in tx.fetch_all("PRAGMA integrity_check(100)", args![]).await? {
                faults.extend(Some(row.text("integrity_check")?).filter(|said| said != "ok"));
            }
            let broken = "SELECT DISTINCT \"table\" AS name FROM pragma_foreign_key_check";
            for row in tx.fetch_all(broken, args![]).await? {
                faults.push(format!("a row of `{}` refers to one that is not there", row.text("name")?));
            }
        }
        Ok(faults)
    }

    /// Whether [`Tables::engine_check`] looks at anything.
    #[must_use]
    pub fn has_engine_check(&self) -> bool {
        matches!(self, Self::In(db) if db.engine() == "sqlite")
    }

    /// Closes what was opened.
    pub async fn close(self) {
        if let Self::In(db) = self {
            db.close().await;
        }
    }
}

impl Snapshot<'_> {
    /// Hands every row of a table to `each`, one at a time; how many there were.
    pub async fn each<E: From<StoreError>>(
        &mut self,
        table: &str,
        key: &[Column],
        columns: &[Column],
        mut each: impl FnMut(Cells) -> Result<(), E>,
    ) -> Result<u64, E> {
        let mut rows = 0;
        match self {
            Self::In(tx) => {
                let mut pages = TablePages::new(table, key, columns);
                loop {
                    let page = pages.next(tx).await?;
                    if page.is_empty() {
                        break;
                    }
                    for cells in page {
                        each(cells)?;
                        rows += 1;
                    }
                }
            }
            Self::Copied { folder, files } => {
                let mut lines = RowLines::of_table(folder, files, table, columns)?;
                while let Some(cells) = lines.next()? {
                    each(cells)?;
                    rows += 1;
                }
            }
        }
        Ok(rows)
    }
}

/// Reads a table page by page, each after the last key of the one before: by the index of the key, however long the table is.
struct TablePages<'a> {
    table: &'a str,
    key: &'a [Column],
    columns: &'a [Column],
    size: u32,
    /// The last key that was read; empty before the first page.
    after: Vec<Arg>,
}

impl<'a> TablePages<'a> {
    fn new(table: &'a str, key: &'a [Column], columns: &'a [Column]) -> Self {
        let has_bytes = columns.iter().any(|(_, kind)| *kind == ColumnKind::Bytes);
        Self { table, key, columns, size: if has_bytes { PAGE_WITH_BYTES } else { PAGE }, after: Vec::new() }
    }

    /// The next page; empty after the last one.
    async fn next(&mut self, tx: &mut Tx) -> Result<Vec<Cells>, StoreError> {
        let names = |columns: &[Column]| columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let mut wanted = self.key.to_vec();
        wanted.extend(self.columns.iter().filter(|column| !self.key.contains(column)));
        let (key, table, size) = (names(self.key), self.table, self.size);
        let condition = if self.after.is_empty() {
            String::new()
        } else {
            let marks: Vec<String> = (1..=self.key.len()).map(|n| format!("${n}")).collect();
            format!("WHERE ({key}) > ({})", marks.join(", "))
        };
        let sql = format!("SELECT {} FROM {table} {condition} ORDER BY {key} LIMIT {size}", names(&wanted));
        let rows = tx.fetch_all(Sql::once(sql), self.after.clone()).await?;
        if let Some(last) = rows.last() {
            self.after = cells(last, self.key)?.into_iter().zip(self.key).map(key_value).collect::<Result<_, _>>()?;
        }
        rows.iter().map(|row| cells(row, self.columns)).collect()
    }
}

fn key_value((cell, (name, _)): (Option<Cell>, &Column)) -> Result<Arg, StoreError> {
    match cell {
        Some(Cell::Text(text)) => Ok(Arg::Text(Some(text))),
        Some(Cell::Int(value)) => Ok(Arg::Int(Some(value))),
        _ => Err(StoreError::corrupt(name, "the key of a row")),
    }
}

fn cells(row: &Row, columns: &[Column]) -> Result<Cells, StoreError> {
    let read = |(name, kind): &Column| {
        Ok(match kind {
            ColumnKind::Text => row.opt_text(name)?.map(Cell::Text),
            ColumnKind::Int => row.opt_int(name)?.map(Cell::Int),
            ColumnKind::Bytes => row.opt_bytes(name)?.map(Cell::Bytes),
        })
    };
    columns.iter().map(read).collect()
}

/// Reads the text form of `COPY`, <https://www.postgresql.org/docs/current/sql-copy.html>: a line a row, tabs between columns, `\N`
/// for NULL, a backslash before what would be read otherwise.
struct RowLines {
    name: String,
    source: BufReader<File>,
    /// Where each wanted column stands in a line.
    places: Vec<(usize, ColumnKind)>,
    width: usize,
}

impl RowLines {
    fn of_table(folder: &Path, files: &[CopiedFile], table: &str, columns: &[Column]) -> Result<Self, StoreError> {
        let of_table = |file: &&CopiedFile| file.table.as_ref().is_some_and(|found| found.name == table);
        let file = files.iter().find(of_table);
        let file = file.ok_or_else(|| StoreError::corrupt(table, "a table that was backed up"))?;
        Self::open(&folder.join(&file.name), file, columns)
    }

    fn open(path: &Path, file: &CopiedFile, columns: &[Column]) -> Result<Self, StoreError> {
        let has: &[String] = file.table.as_ref().map_or(&[], |table| &table.columns);
        let place = |(name, kind): &Column| {
            let at = has.iter().position(|column| column == name);
            at.map(|at| (at, *kind)).ok_or_else(|| StoreError::corrupt(name, "a column that was backed up"))
        };
        let places = columns.iter().map(place).collect::<Result<_, _>>()?;
        let source = BufReader::with_capacity(CHUNK, File::open(path)?);
        Ok(Self { name: file.name.clone(), source, places, width: has.len() })
    }

    fn next(&mut self) -> Result<Option<Cells>, StoreError> {
        let mut line = Vec::new();
        if self.source.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        let damaged = || StoreError::corrupt(&self.name, "lines of a table");
        if line.pop() != Some(b'\n') {
            return Err(damaged());
        }
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b'\t').collect();
        if fields.len() != self.width {
            return Err(damaged());
        }
        let read = |(at, kind): &(usize, ColumnKind)| {
            if fields[*at] == br"\N" {
                return Ok(None);
            }
            let text = String::from_utf8(unescaped(fields[*at])).map_err(|_| damaged())?;
            Ok(Some(match kind {
                ColumnKind::Text => Cell::Text(text),
                ColumnKind::Int => Cell::Int(text.parse().map_err(|_| damaged())?),
                ColumnKind::Bytes => Cell::Bytes(from_hex(&text).ok_or_else(damaged)?),
            }))
        };
        self.places.iter().map(read).collect::<Result<_, _>>().map(Some)
    }
}

fn unescaped(field: &[u8]) -> Vec<u8> {
    let (mut plain, mut bytes) = (Vec::with_capacity(field.len()), field.iter());
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'b') => 8,
                Some(b'f') => 12,
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(b'v') => 11,
                Some(other) => *other,
                None => b'\\',
            },
            byte => *byte,
        });
    }
    plain
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("\\x")?.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let pair = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?);
    digits.chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::db::copy::{CopiedTable, Sha256Text, digest_of};
    use std::fs;

    #[test]
    fn line_of_a_copied_table_reads_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letters.copy");
        fs::write(&path, b"l1\ta\\tb\\\\c\\nd\t\\N\t\\\\x00ff\t-7\n").unwrap();
        let columns = ["id", "note", "gone", "ciphertext", "at"].map(str::to_owned).to_vec();
        let (sha256, bytes) = digest_of(&path).unwrap();
        let table = Some(CopiedTable { name: "letters".into(), columns, rows: 1 });
        let file = CopiedFile { name: "letters.copy".into(), bytes, sha256: Sha256Text(sha256), table };
        let wanted = [
            ("ciphertext", ColumnKind::Bytes),
            ("note", ColumnKind::Text),
            ("gone", ColumnKind::Text),
            ("at", ColumnKind::Int),
        ];
        let mut lines = RowLines::open(&path, &file, &wanted).unwrap();
        let cells = lines.next().unwrap().unwrap();
        let wanted =
            [Some(Cell::Bytes(vec![0, 255])), Some(Cell::Text("a\tb\\c\nd".into())), None, Some(Cell::Int(-7))];
        assert_eq!(cells, wanted);
        assert_eq!(lines.next().unwrap(), None);
    }
}
