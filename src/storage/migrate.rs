//! Brings a database to the schema this program knows.
//!
//! Migrations are numbered, embedded and append-only: each runs once, in a transaction with the note that it ran and
//! the digest of its text. A database that was changed by another text, or that is ahead of this program, is refused;
//! nothing is ever undone. Two servers that start at once take turns, because a migration is a unit of work like any.

use super::{
    db::{Db, WriteTx},
    error::StoreError,
    statement::args,
};
use crate::domain::id::Sha256;
use jiff::Timestamp;

/// A step of the schema.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Its number; they rise without a gap from 1.
    pub version: i64,
    /// What it is about.
    pub name: &'static str,
    /// The statements for SQLite.
    pub sqlite: &'static str,
    /// The statements for PostgreSQL, with the same tables and columns.
    pub postgres: &'static str,
}

macro_rules! migration {
    ($version:literal, $name:literal, $file:literal) => {
        Migration {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!("../../migrations/sqlite/", $file, ".sql")),
            postgres: include_str!(concat!("../../migrations/postgres/", $file, ".sql")),
        }
    };
}

/// Every step there is.
pub const ALL: &[Migration] = &[
    migration!(1, "exchange", "0001_exchange"),
    migration!(2, "policies", "0002_policies"),
    migration!(3, "key_cards", "0003_key_cards"),
    migration!(4, "lists", "0004_lists"),
    migration!(5, "previews", "0005_previews"),
    migration!(6, "part_statements", "0006_part_statements"),
    migration!(7, "labels", "0007_labels"),
    migration!(8, "marks", "0008_marks"),
    migration!(9, "wrapped_keys", "0009_wrapped_keys"),
    migration!(10, "time", "0010_time"),
    migration!(11, "revocation_lists", "0011_revocation_lists"),
    migration!(12, "unreadable", "0012_unreadable"),
    migration!(13, "call_inverses", "0013_call_inverses"),
    migration!(14, "inverses", "0014_inverses"),
    migration!(15, "bytes_of_a_nation", "0015_bytes_of_a_nation"),
    migration!(16, "parties_by_consent", "0016_parties_by_consent"),
    migration!(17, "deadline_organisations", "0017_deadline_organisations"),
    migration!(18, "kinds_of_interests", "0018_kinds_of_interests"),
    migration!(19, "calls_of_an_author", "0019_calls_of_an_author"),
];

/// Applies what of [`ALL`] is missing; the version the database has then.
///
/// # Errors
/// [`StoreError::NewerSchema`] and [`StoreError::ChangedMigration`]; the steps before a failing one stay applied.
pub async fn run(db: &Db, now: Timestamp) -> Result<i64, StoreError> {
    apply(db, ALL, now).await
}

/// Applies what of `migrations` is missing; the version the database has then.
pub async fn apply(db: &Db, migrations: &[Migration], now: Timestamp) -> Result<i64, StoreError> {
    let known = migrations.last().map_or(0, |migration| migration.version);
    let mut tx = db.write().await?;
    tx.execute(TABLE, args![]).await?;
    let found = tx.fetch_one("SELECT COALESCE(MAX(version), 0) AS version FROM schema_migrations", args![]).await?;
    let found = found.int("version")?;
    if found > known {
        return Err(StoreError::NewerSchema { found, known });
    }
    tx.commit().await?;
    for migration in migrations {
        apply_one(db, migration, now).await?;
    }
    Ok(known)
}

/// The one table that no migration makes, since it must be there to tell which ran.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (\
    version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL, applied_at BIGINT NOT NULL)";

/// Applies what of `migrations` is missing, as a part of a unit of work.
pub(super) async fn apply_within(tx: &mut WriteTx, migrations: &[Migration], now: Timestamp) -> Result<(), StoreError> {
    tx.execute(TABLE, args![]).await?;
    for migration in migrations {
        apply_to(tx, migration, now).await?;
    }
    Ok(())
}

async fn apply_one(db: &Db, migration: &Migration, now: Timestamp) -> Result<(), StoreError> {
    let mut tx = db.write().await?;
    if apply_to(&mut tx, migration, now).await? {
        tx.commit().await?;
        tracing::info!(version = migration.version, name = migration.name, "migration applied");
    }
    Ok(())
}

/// Whether it was missing.
async fn apply_to(tx: &mut WriteTx, migration: &Migration, now: Timestamp) -> Result<bool, StoreError> {
    let version = migration.version;
    let sha256 = Sha256::of(tx.choose(migration.sqlite, migration.postgres).as_bytes());
    let applied = tx.fetch_optional("SELECT sha256 FROM schema_migrations WHERE version = $1", args![version]).await?;
    if let Some(applied) = applied {
        let same = applied.parse::<Sha256>("sha256")? == sha256;
        return if same { Ok(false) } else { Err(StoreError::ChangedMigration { version }) };
    }
    tx.take_your_time().await?;
    tx.script(migration.sqlite, migration.postgres).await?;
    tx.execute(
        "INSERT INTO schema_migrations (version, name, sha256, applied_at) VALUES ($1, $2, $3, $4)",
        args![version, migration.name, sha256, now],
    )
    .await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_rise_from_one_without_a_gap() {
        assert!(ALL.iter().map(|migration| migration.version).eq(1..=i64::try_from(ALL.len()).unwrap()));
    }
}
