//! Errors of storage, reported the same way by every engine.
//!
//! Never carries a stored value: a message may reach a log that more people read than may read the row.
//!
//! # Names of constraints
//!
//! Services turn a violated constraint into a domain error by its name, so the name must not depend on the engine.
//! PostgreSQL reports names; SQLite reports the table and columns of a unique index and the name of a check. The
//! migrations therefore use PostgreSQL's own defaults as the rule, and the SQLite side is rebuilt from it:
//!
//! | violated | name |
//! |---|---|
//! | primary key of `t` | `t_pkey` |
//! | `UNIQUE (a, b)` or `CREATE UNIQUE INDEX` of `t`, partial ones too | `t_a_b_key` |
//! | `NOT NULL` of `t.a` | `t_a_not_null` |
//! | `CONSTRAINT name CHECK (…)`, always named in the migrations | `name` |
//! | a trigger: `RAISE(ABORT, 'name')`, or `RAISE … USING ERRCODE = '23000', CONSTRAINT = 'name'` | `name` |
//! | any foreign key | `foreign_key`: SQLite does not say which, so look before you write |

use std::{error::Error, io};

/// Any error, as the cause of ours.
pub type BoxedCause = Box<dyn Error + Send + Sync>;

/// A failure of the database or of the folder of ciphertext.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The engine cannot be reached, is shutting down, or is too busy; trying later may succeed.
    #[error("the store is not available")]
    Unavailable(#[source] BoxedCause),
    /// A commit got no answer: its unit of work was kept or not, as a whole. Look on another connection, or repeat under the same
    /// idempotency key.
    #[error("the store did not confirm whether it committed the transaction")]
    OutcomeUnknown(#[source] BoxedCause),
    /// The disk (or its quota) is full. Nothing of the failed unit of work remains.
    #[error("the disk of the store is full")]
    Full(#[source] BoxedCause),
    /// A file could not be read or written for another reason than lack of space.
    #[error("a file of the store cannot be read or written")]
    Io(#[source] BoxedCause),
    /// The value that was read cannot have been written by this program. `place` is a column, the database or a blob.
    #[error("`{place}` is damaged: expected {expected}")]
    Corrupt {
        /// Where the damage is.
        place: String,
        /// The expected form; never the value.
        expected: String,
    },
    /// A named rule of the schema refused the change; see the module's table of names.
    #[error("the constraint `{name}` refuses the change")]
    Constraint {
        /// The name, the same on both engines.
        name: String,
    },
    /// The ciphertext with this key is not there.
    #[error("the blob `{0}` is not in the store")]
    NoSuchBlob(String),
    /// The ciphertext with this key is not what its row says.
    #[error("the blob `{blob}` has another {what} than its row says")]
    DamagedBlob {
        /// Its key.
        blob: String,
        /// `size` or `digest`.
        what: &'static str,
    },
    /// The folder of ciphertext has another mark than the database, or none. Both in their short form.
    #[error(
        "the folder of sealed documents {}, but the database has the mark `{database}`: they do not belong together",
        .folder.as_ref().map_or_else(|| "has no mark".to_owned(), |mark| format!("has the mark `{mark}`"))
    )]
    OtherFolder {
        /// The mark of the database.
        database: String,
        /// That of the folder.
        folder: Option<String>,
    },
    /// The database was brought to a newer schema than this program knows.
    #[error("the schema of the database is version {found}, this program knows {known}: start a newer program")]
    NewerSchema {
        /// The version of the database.
        found: i64,
        /// The newest version this program carries.
        known: i64,
    },
    /// A migration that was applied has another text now.
    #[error("migration {version} was changed after it was applied: migrations are append-only")]
    ChangedMigration {
        /// The number of the migration.
        version: i64,
    },
    /// The database can be reached, but no server can work on it.
    #[error("the database cannot be used: {0}")]
    Unfit(&'static str),
    /// Another server has the SQLite file, the process with this number.
    #[error("another server runs on this database{}", .0.map(|process| format!(": process {process}")).unwrap_or_default())]
    InUse(Option<u32>),
    /// There is something where nothing may be yet.
    #[error("the target is not empty: {0}")]
    NotEmpty(String),
    /// The address of the database is not one.
    #[error("the database address is invalid: {0}")]
    Address(&'static str),
    /// A unit of work that is rehearsed came to the first thing that it would write.
    #[error("nothing is written in a rehearsal")]
    Rehearsed,
    /// The engine refused a statement that this program should not have sent.
    #[error("the database refuses a statement")]
    Statement(#[source] BoxedCause),
}

impl StoreError {
    /// The name of the constraint that refused the change, if one did.
    #[must_use]
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Constraint { name } => Some(name),
            _ => None,
        }
    }

    /// The same failure, for another who shared what failed.
    pub(super) fn shared(&self) -> Self {
        let text = |cause: &BoxedCause| BoxedCause::from(cause.to_string());
        match self {
            Self::OutcomeUnknown(cause) => Self::OutcomeUnknown(text(cause)),
            Self::Full(cause) => Self::Full(text(cause)),
            Self::Io(cause) => Self::Io(text(cause)),
            Self::Statement(cause) => Self::Statement(text(cause)),
            Self::Unavailable(cause) => Self::Unavailable(text(cause)),
            Self::Corrupt { place, expected } => Self::Corrupt { place: place.clone(), expected: expected.clone() },
            Self::Constraint { name } => Self::Constraint { name: name.clone() },
            other => Self::Unavailable(other.to_string().into()),
        }
    }

    pub(super) fn damaged(blob: &impl ToString, what: &'static str) -> Self {
        Self::DamagedBlob { blob: blob.to_string(), what }
    }

    pub(super) fn corrupt(place: &str, expected: impl Into<String>) -> Self {
        Self::Corrupt { place: place.to_owned(), expected: expected.into() }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        match error {
            E::Database(error) => {
                if let Some(found) = error.try_downcast_ref::<sqlx::sqlite::SqliteError>() {
                    let code = sqlx::error::DatabaseError::code(found).and_then(|code| code.parse().ok()).unwrap_or(0);
                    from_sqlite(code, error)
                } else {
                    from_postgres(error)
                }
            }
            E::Io(error) => from_io(error, |error| Self::Unavailable(error.into())),
            E::PoolTimedOut => Self::Unavailable("no connection became free in time".into()),
            E::Tls(_) | E::Protocol(_) | E::PoolClosed | E::WorkerCrashed => Self::Unavailable(error.into()),
            E::Configuration(_) => Self::Address("it cannot be parsed"),
            other => Self::Statement(other.into()),
        }
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        from_io(error, |error| Self::Io(error.into()))
    }
}

fn from_io(error: io::Error, otherwise: impl FnOnce(io::Error) -> StoreError) -> StoreError {
    if is_full(&error) { StoreError::Full(error.into()) } else { otherwise(error) }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// By the extended result code, <https://www.sqlite.org/rescode.html>; its low byte is the primary code.
fn from_sqlite(code: u32, error: Box<dyn sqlx::error::DatabaseError>) -> StoreError {
    const CONSTRAINT: u32 = 19;
    match code & 0xff {
        5 | 6 | 9 | 14 => StoreError::Unavailable(error.into()), // busy, locked, past its time, cannot open
        8 | 10 => StoreError::Io(error.into()),                  // read-only, input or output
        11 | 26 => StoreError::corrupt("database", "a well-formed SQLite file"),
        13 => StoreError::Full(error.into()),
        CONSTRAINT => StoreError::Constraint { name: sqlite_constraint(code, error.message()) },
        _ => StoreError::Statement(error.into()),
    }
}

fn sqlite_constraint(code: u32, message: &str) -> String {
    const PRIMARY_KEY: u32 = 1555;
    const ROWID: u32 = 2579;
    if let Some(columns) = message.strip_prefix("UNIQUE constraint failed: ") {
        if let Some(index) = columns.strip_prefix("index '") {
            return index.trim_end_matches('\'').to_owned();
        }
        let table = columns.split('.').next().unwrap_or_default();
        if code == PRIMARY_KEY || code == ROWID {
            return format!("{table}_pkey");
        }
        let columns: Vec<&str> = columns.split(", ").filter_map(|column| column.split('.').nth(1)).collect();
        return format!("{table}_{}_key", columns.join("_"));
    }
    if let Some(column) = message.strip_prefix("NOT NULL constraint failed: ") {
        return format!("{}_not_null", column.replace('.', "_"));
    }
    if message == "FOREIGN KEY constraint failed" {
        return "foreign_key".to_owned();
    }
    message.strip_prefix("CHECK constraint failed: ").unwrap_or(message).to_owned()
}

/// By SQLSTATE, <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn from_postgres(error: Box<dyn sqlx::error::DatabaseError>) -> StoreError {
    let code = error.code().unwrap_or_default().into_owned();
    match (code.get(..2).unwrap_or_default(), code.as_str()) {
        (_, "53100") => StoreError::Full(error.into()),
        (_, "58030") => StoreError::Io(error.into()),
        // Connection, resources, operator intervention (with a statement past its time), locks, failed serialization;
        // then a wrong password and no such database: for the operator to fix, no statement of ours.
        // Then a standby, which takes no writes, and a session that was silent in its turn for too long.
        ("08" | "53" | "55" | "57" | "40" | "28" | "3D", _) | (_, "25006" | "25P03") => {
            StoreError::Unavailable(error.into())
        }
        ("XX", _) => StoreError::corrupt("database", "consistent PostgreSQL pages"),
        ("23", "23503") => StoreError::Constraint { name: "foreign_key".to_owned() },
        ("23", _) => match postgres_constraint(error.as_ref()) {
            Some(name) => StoreError::Constraint { name },
            None => StoreError::Statement(error.into()),
        },
        _ => StoreError::Statement(error.into()),
    }
}

fn postgres_constraint(error: &dyn sqlx::error::DatabaseError) -> Option<String> {
    if let Some(name) = error.constraint() {
        return Some(name.to_owned());
    }
    let error = error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>()?;
    Some(format!("{}_{}_not_null", error.table()?, error.column()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_constraint_has_the_name_postgres_would_give() {
        let name = sqlite_constraint;
        assert_eq!(name(2067, "UNIQUE constraint failed: calls.program_id, calls.slug"), "calls_program_id_slug_key");
        assert_eq!(name(1555, "UNIQUE constraint failed: calls.call_id"), "calls_pkey");
        assert_eq!(name(2067, "UNIQUE constraint failed: index 'calls_lower_key'"), "calls_lower_key");
        assert_eq!(name(1299, "NOT NULL constraint failed: calls.title"), "calls_title_not_null");
        assert_eq!(name(275, "CHECK constraint failed: calls_close_after_open"), "calls_close_after_open");
        assert_eq!(name(787, "FOREIGN KEY constraint failed"), "foreign_key");
        assert_eq!(name(1811, "log_entries_append_only"), "log_entries_append_only");
    }

    #[test]
    fn lack_of_space_is_distinguished_from_other_failures() {
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            assert!(matches!(StoreError::from(io::Error::from(kind)), StoreError::Full(_)));
        }
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert!(matches!(StoreError::from(denied), StoreError::Io(_)));
    }
}
