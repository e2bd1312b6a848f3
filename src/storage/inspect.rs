//! Looks at a database before a server opens it: whether it can be reached, whose it is, and which schema it has. Changes nothing.

use super::{
    Db, StoreError, Tx, args,
    db::copy::sqlite_path,
    mark::{self, DatabaseMark},
    migrate,
    partners::{self, ListRecord, PartnerRow},
};
use crate::domain::id::{PartnerCode, Sha256};
use std::{collections::BTreeMap, fs};

/// The schema from which on there are records of revocation lists.
const LISTS_SINCE: i64 = 11;
/// The schema from which on partners can be suspended.
const SUSPENSIONS_SINCE: i64 = 27;

/// The findings at the address of a database.
#[derive(Debug)]
pub enum FoundDatabase {
    /// Nothing yet: the first start makes it.
    Nothing,
    /// Tables of something else, so many.
    Strange(usize),
    /// An exchange's; the mark if its schema has one.
    Exchange {
        schema: i64,
        partners: Vec<PartnerRow>,
        lists: BTreeMap<PartnerCode, ListRecord>,
        mark: Option<DatabaseMark>,
    },
}

/// Looks at the database.
///
/// # Errors
/// [`StoreError::Unavailable`] with the cause when it cannot be reached; [`StoreError::NewerSchema`] and
/// [`StoreError::ChangedMigration`] as a start would; [`StoreError::Corrupt`] when its file fails the engine's check, as at a start;
/// [`StoreError::Unfit`] when a start could not write.
pub async fn inspect(url: &str) -> Result<FoundDatabase, StoreError> {
    if let Some(path) = sqlite_path(url)? {
        match fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(FoundDatabase::Nothing),
            Err(error) => return Err(error.into()),
            Ok(metadata) if metadata.is_file() && metadata.len() == 0 => return Ok(FoundDatabase::Nothing),
            Ok(metadata) if !metadata.is_file() => return Err(StoreError::corrupt("database", "a file")),
            Ok(_) => {}
        }
    }
    let db = Db::look(url, false).await?;
    let found = look_at(&db).await;
    db.close().await;
    found
}

async fn look_at(db: &Db) -> Result<FoundDatabase, StoreError> {
    let mut tx = db.read().await?;
    can_serve(&mut tx).await?;
    is_sound(&mut tx).await?;
    let names = tx.choose(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'",
        "SELECT CAST(tablename AS TEXT) AS name FROM pg_tables WHERE schemaname = current_schema() \
         AND tablename <> 'writer_turn'",
    );
    let rows = tx.fetch_all(names, args![]).await?;
    let names: Vec<String> = rows.iter().map(|row| row.text("name")).collect::<Result<_, _>>()?;
    if names.is_empty() {
        return Ok(FoundDatabase::Nothing);
    }
    if !["schema_migrations", "log_entries"].iter().all(|ours| names.iter().any(|name| name == ours)) {
        return Ok(FoundDatabase::Strange(names.len()));
    }
    let known = migrate::ALL.last().map_or(0, |step| step.version);
    let mut schema = 0;
    for row in tx.fetch_all("SELECT version, sha256 FROM schema_migrations ORDER BY version", args![]).await? {
        schema = row.int("version")?;
        let Some(step) = migrate::ALL.iter().find(|step| step.version == schema) else {
            return Err(StoreError::NewerSchema { found: schema, known });
        };
        let text = tx.choose(step.sqlite, step.postgres);
        if row.parse::<Sha256>("sha256")? != Sha256::of(text.as_bytes()) {
            return Err(StoreError::ChangedMigration { version: schema });
        }
    }
    let has_mark = names.iter().any(|name| name == "blob_mark");
    let mark = if has_mark { mark::of_database(&mut tx).await? } else { None };
    let has_lists = schema >= LISTS_SINCE;
    let lists = if has_lists { partners::list_records(&mut tx).await? } else { BTreeMap::new() };
    let partners = if schema >= SUSPENSIONS_SINCE {
        partners::all(&mut tx).await?
    } else {
        partners::all_before_suspensions(&mut tx).await?
    };
    Ok(FoundDatabase::Exchange { schema, partners, lists, mark })
}

/// Whether the file passes the check that a start of SQLite makes; PostgreSQL has none.
async fn is_sound(tx: &mut Tx) -> Result<(), StoreError> {
    let sql = tx.choose("PRAGMA quick_check(1)", "SELECT 'ok' AS quick_check");
    if tx.fetch_one(sql, args![]).await?.text("quick_check")? == "ok" {
        return Ok(());
    }
    Err(StoreError::corrupt("database", "a SQLite file that passes `PRAGMA quick_check`"))
}

/// Whether the engine would let a server write.
async fn can_serve(tx: &mut Tx) -> Result<(), StoreError> {
    let sql = tx.choose(
        "SELECT 0 AS standby, 1 AS may_make, 'UTF8' AS encoding",
        "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' AS standby, \
         COALESCE(has_schema_privilege(current_schema(), 'CREATE'), FALSE) AS may_make, \
         current_setting('server_encoding') AS encoding",
    );
    let row = tx.fetch_one(sql, args![]).await?;
    if row.bool("standby")? {
        return Err(StoreError::Unfit("it is a standby or read-only: name the primary"));
    }
    if !row.bool("may_make")? {
        return Err(StoreError::Unfit("its account may not make tables there: let it own the database"));
    }
    if row.text("encoding")? != "UTF8" {
        return Err(StoreError::Unfit("its encoding is not UTF-8: make it with `createdb --encoding UTF8`"));
    }
    Ok(())
}
