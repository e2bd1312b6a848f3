//! One step of the schema within a unit of work, and the table that records which steps ran.

use super::unit::WriteTx;
use crate::{
    domain::id::Sha256,
    storage::{error::StoreError, migrations::Migration, statement::args},
};
use jiff::Timestamp;

/// The one table that no migration makes, since it records which ran.
pub(in crate::storage) const TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (\
    version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL, applied_at BIGINT NOT NULL)";

/// Applies those of `migrations` that are missing, as a part of a unit of work.
pub(in crate::storage) async fn apply_within(
    tx: &mut WriteTx,
    migrations: &[Migration],
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(TABLE, args![]).await?;
    for migration in migrations {
        apply_to(tx, migration, now).await?;
    }
    Ok(())
}

/// Whether it was missing.
pub(in crate::storage) async fn apply_to(
    tx: &mut WriteTx,
    migration: &Migration,
    now: Timestamp,
) -> Result<bool, StoreError> {
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
