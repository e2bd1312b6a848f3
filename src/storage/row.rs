//! A row of either engine, read by column name into the types the rest of the program uses.
//!
//! A value that does not read is damage, since this program wrote it: the error names the column and what it should
//! hold, never what it holds.

use super::error::StoreError;
use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, Visitor},
};
use sqlx::{Row as _, TypeInfo as _, ValueRef as _, postgres::PgRow, sqlite::SqliteRow};
use std::{any::type_name, fmt, marker::PhantomData, str::FromStr};

/// One row of an answer.
pub enum Row {
    /// Of SQLite.
    #[doc(hidden)]
    Sqlite(SqliteRow),
    /// Of PostgreSQL.
    #[doc(hidden)]
    Postgres(PgRow),
}

macro_rules! read {
    ($row:expr, $column:expr, $type:ty, $expected:literal) => {
        match $row {
            Row::Sqlite(row) => row.try_get::<$type, _>($column),
            Row::Postgres(row) => row.try_get::<$type, _>($column),
        }
        .map_err(|error| unreadable($column, $expected, error))
    };
}

impl Row {
    /// A TEXT column.
    pub fn text(&self, column: &str) -> Result<String, StoreError> {
        present(column, "text", self.opt_text(column)?)
    }

    /// A TEXT column that may be NULL.
    pub fn opt_text(&self, column: &str) -> Result<Option<String>, StoreError> {
        read!(self, column, Option<String>, "text or nothing")
    }

    /// A BIGINT column, `COUNT(*)` or an integer constant.
    pub fn int(&self, column: &str) -> Result<i64, StoreError> {
        present(column, "an integer", self.opt_int(column)?)
    }

    /// A BIGINT column that may be NULL.
    pub fn opt_int(&self, column: &str) -> Result<Option<i64>, StoreError> {
        if let Self::Postgres(row) = self {
            // An integer constant of PostgreSQL has 32 bits.
            let value = row.try_get_raw(column).map_err(|error| unreadable(column, "an integer", error))?;
            if value.type_info().name() == "INT4" {
                return read!(self, column, Option<i32>, "an integer or nothing").map(|value| value.map(i64::from));
            }
        }
        read!(self, column, Option<i64>, "an integer or nothing")
    }

    /// A BIGINT column that is never negative: a size, a count, a position.
    pub fn count(&self, column: &str) -> Result<u64, StoreError> {
        u64::try_from(self.int(column)?).map_err(|_| StoreError::corrupt(column, "an integer of zero or more"))
    }

    /// A BOOLEAN column (INTEGER in SQLite) or an expression such as `EXISTS (…)`.
    pub fn bool(&self, column: &str) -> Result<bool, StoreError> {
        present(column, "true or false", self.opt_bool(column)?)
    }

    /// A BOOLEAN column that may be NULL.
    pub fn opt_bool(&self, column: &str) -> Result<Option<bool>, StoreError> {
        read!(self, column, Option<bool>, "true, false or nothing")
    }

    /// A BLOB or BYTEA column.
    pub fn bytes(&self, column: &str) -> Result<Vec<u8>, StoreError> {
        present(column, "bytes", self.opt_bytes(column)?)
    }

    /// A BLOB or BYTEA column that may be NULL.
    pub fn opt_bytes(&self, column: &str) -> Result<Option<Vec<u8>>, StoreError> {
        read!(self, column, Option<Vec<u8>>, "bytes or nothing")
    }

    /// An instant, kept as epoch milliseconds.
    pub fn time(&self, column: &str) -> Result<Timestamp, StoreError> {
        present(column, "an instant", self.opt_time(column)?)
    }

    /// An instant that may be NULL.
    pub fn opt_time(&self, column: &str) -> Result<Option<Timestamp>, StoreError> {
        let millis = self.opt_int(column)?;
        let time = millis.map(Timestamp::from_millisecond).transpose();
        time.map_err(|_| StoreError::corrupt(column, "an instant between the years -9999 and 9999"))
    }

    /// The values of all rows that the statement gathered into this column; none if it is NULL.
    pub(super) fn gathered<T: DeserializeOwned>(&self, column: &str) -> Result<Vec<T>, StoreError> {
        let Some(text) = self.opt_text(column)? else { return Ok(Vec::new()) };
        serde_json::from_str(&text).map_err(|_| {
            let name = type_name::<T>();
            StoreError::corrupt(column, format!("gathered rows of `{name}`"))
        })
    }

    /// A TEXT column that is the text of a `T`: an identifier, a digest, a state.
    pub fn parse<T: FromStr>(&self, column: &str) -> Result<T, StoreError> {
        parse_text(column, &self.text(column)?)
    }

    /// A TEXT column that is the text of a `T`, or NULL.
    pub fn opt_parse<T: FromStr>(&self, column: &str) -> Result<Option<T>, StoreError> {
        self.opt_text(column)?.map(|text| parse_text(column, &text)).transpose()
    }
}

impl fmt::Debug for Row {
    /// Says nothing of the content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = match self {
            Self::Sqlite(row) => row.len(),
            Self::Postgres(row) => row.len(),
        };
        write!(f, "Row of {columns} columns")
    }
}

/// A gathered value that is the text of a `T`.
#[derive(Debug)]
pub(super) struct Parsed<T>(pub(super) T);

impl<'de, T: FromStr> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<T>(PhantomData<T>);

        impl<T: FromStr> Visitor<'_> for Text<T> {
            type Value = Parsed<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(type_name::<T>())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Parsed<T>, E> {
                text.parse().map(Parsed).map_err(|_| E::custom("the text of something else"))
            }
        }

        deserializer.deserialize_str(Text(PhantomData))
    }
}

/// INVARIANT: every column is read as one that may be NULL, then required; the SQLite driver reads NULL as an empty text, zero or false
/// unless an optional is read.
fn present<T>(column: &str, expected: &str, value: Option<T>) -> Result<T, StoreError> {
    value.ok_or_else(|| StoreError::corrupt(column, expected))
}

fn parse_text<T: FromStr>(column: &str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| {
        let name = type_name::<T>();
        StoreError::corrupt(column, format!("the text of a `{}`", name.rsplit("::").next().unwrap_or(name)))
    })
}

fn unreadable(column: &str, expected: &str, error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::ColumnNotFound(_) => StoreError::Statement(error.into()),
        _ => StoreError::corrupt(column, expected),
    }
}
