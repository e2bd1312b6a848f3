//! Brings a database to the schema this program knows.
//!
//! Migrations are numbered, embedded and append-only: each runs once, in a transaction with the note that it ran and
//! the digest of its text. A database that was changed by another text, or that is ahead of this program, is refused;
//! nothing is ever undone. Two servers that start at once take turns, because a migration is a unit of work like any.

use super::{
    db::{
        Db,
        schema::{TABLE, apply_to},
    },
    error::StoreError,
    statement::args,
};
use jiff::Timestamp;

pub use super::migrations::{ALL, Migration};

/// Applies the migrations of [`ALL`] that are missing, and returns the version of the database after that.
///
/// # Errors
/// [`StoreError::NewerSchema`] and [`StoreError::ChangedMigration`]; the steps before a failing one stay applied.
pub async fn run(db: &Db, now: Timestamp) -> Result<i64, StoreError> {
    apply(db, ALL, now).await
}

/// Applies those of `migrations` that are missing, and returns the version of the database after that.
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

async fn apply_one(db: &Db, migration: &Migration, now: Timestamp) -> Result<(), StoreError> {
    let mut tx = db.write().await?;
    if apply_to(&mut tx, migration, now).await? {
        tx.commit().await?;
        tracing::info!(version = migration.version, name = migration.name, "migration applied");
    }
    Ok(())
}
