//! Copies a whole database out of an engine and into an empty one, by the engine's own means.
//!
//! A copy is one snapshot, taken while servers go on writing. SQLite gives another SQLite file (`VACUUM INTO`, which no writer
//! makes start over), PostgreSQL one file a table in the text form of `COPY`, of which each piece has a limit: a connection that
//! falls silent ends the copy. Nothing here may change the database that is
//! copied, and a copy goes only into a database that holds no table.

use super::{Db, Engine, PATIENCE, PostgresLimits, Tx, TxOf, WriteTx, postgres};
use crate::domain::{id::Sha256, text::counted};
use crate::storage::{
    StoreError,
    migrations::{self, Migration},
    postgres::within,
    statement::{Sql, args},
};
use aws_lc_rs::digest;
use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::{
    Connection as _, Sqlite, SqliteConnection,
    pool::PoolOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    str::FromStr as _,
    time::Duration,
};

/// The copy of a SQLite database.
const SQLITE_FILE: &str = "database.sqlite";

/// The bytes that are read from a file at a time.
const CHUNK: usize = 512 << 10;

/// A file of a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CopiedFile {
    /// Its name in the folder of the copy.
    pub name: String,
    pub bytes: u64,
    pub sha256: Sha256Text,
    /// The table that it holds; a SQLite file holds them all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<CopiedTable>,
}

/// The content of a table's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CopiedTable {
    pub name: String,
    /// In the order in which each line has them.
    pub columns: Vec<String>,
    pub rows: u64,
}

/// A digest as JSON has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sha256Text(pub Sha256);

impl Serialize for Sha256Text {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Sha256Text {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

impl Db {
    /// Opens a database that is there, to look at it: nothing is made and nothing migrated. `is_used` says that a server
    /// may run beside; a SQLite file without one is then not even given the files that go with it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] with the engine's own cause, when there is no database.
    pub async fn look(url: &str, is_used: bool) -> Result<Self, StoreError> {
        let Some(path) = sqlite_path(url)? else { return postgres(url, PostgresLimits::default()) };
        let options = SqliteConnectOptions::from_str(url)?.create_if_missing(false).busy_timeout(PATIENCE);
        let options = if is_used { options } else { options.read_only(true).immutable(!has_log(&path)) };
        let pool = PoolOptions::<Sqlite>::new()
            .max_connections(1)
            .acquire_timeout(PATIENCE)
            .connect_with(options.pragma("query_only", "ON"))
            .await?;
        Ok(Self::of(Engine::Sqlite { writer: pool.clone(), readers: pool }, PATIENCE))
    }

    /// `sqlite` or `postgresql`.
    #[must_use]
    pub fn engine(&self) -> &'static str {
        match &self.engine {
            Engine::Sqlite { .. } => "sqlite",
            Engine::Postgres { .. } => "postgresql",
        }
    }
}

/// The file of a SQLite database by its own name; none for another engine.
pub(in crate::storage) fn sqlite_path(url: &str) -> Result<Option<PathBuf>, StoreError> {
    if !url.starts_with("sqlite:") {
        return Ok(None);
    }
    Ok(Some(own_name(SqliteConnectOptions::from_str(url)?.get_filename())))
}

/// The file that SQLite means by a path, which may lead there by links: what belongs to the file lies beside it under its own name.
pub(in crate::storage) fn own_name(path: &Path) -> PathBuf {
    if let Ok(name) = fs::canonicalize(path) {
        return name;
    }
    // It is not there yet, and its folder mostly is.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (fs::canonicalize(folder), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

/// Whether writes wait in a log beside the file: a server runs, or was killed.
fn has_log(path: &Path) -> bool {
    fs::metadata(beside(path, "-wal")).is_ok_and(|metadata| metadata.len() > 0)
}

/// The right to serve a SQLite database, which one server has at a time; it ends when dropped, also with the process. Operators'
/// commands do not ask for it. Of PostgreSQL any number of servers may serve one database.
#[derive(Debug)]
pub struct Serving(#[expect(dead_code, reason = "held open for its lock")] Option<File>);

impl Serving {
    /// Takes the right, or says who has it.
    ///
    /// # Errors
    /// [`StoreError::InUse`].
    pub fn begin(url: &str) -> Result<Self, StoreError> {
        let Some(path) = sqlite_path(url)? else { return Ok(Self(None)) };
        let path = beside(&path, ".server");
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let mut process = String::new();
                file.read_to_string(&mut process)?;
                return Err(StoreError::InUse(process.trim().parse().ok()));
            }
            Err(fs::TryLockError::Error(error)) => return Err(error.into()),
        }
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self(Some(file)))
    }

    /// Whether a server runs on it, by the same sign.
    pub fn is_taken(url: &str) -> Result<Option<u32>, StoreError> {
        let Some(path) = sqlite_path(url)? else { return Ok(None) };
        let Ok(mut file) = File::open(beside(&path, ".server")) else { return Ok(None) };
        if file.try_lock_shared().is_ok() {
            return Ok(None);
        }
        let mut process = String::new();
        file.read_to_string(&mut process)?;
        Ok(Some(process.trim().parse().unwrap_or(0)))
    }
}

/// The path with an ending.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.to_owned();
    path.as_mut_os_string().push(ending);
    path
}

/// Copies the database into a folder that has none of it yet. Every byte is on the disk when this returns. `progress` is called with
/// how many bytes were written.
pub(in crate::storage) async fn copy_out(
    (url, limits): (&str, PostgresLimits),
    folder: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<CopiedFile>, StoreError> {
    if sqlite_path(url)?.is_some() {
        return Ok(vec![copy_sqlite(url, folder, progress).await?]);
    }
    let db = postgres(url, limits)?;
    let copied = copy_tables(&db, folder, progress).await;
    db.close().await;
    copied
}

async fn copy_sqlite(url: &str, folder: &Path, progress: &mut dyn FnMut(u64)) -> Result<CopiedFile, StoreError> {
    let options = SqliteConnectOptions::from_str(url)?.create_if_missing(false).busy_timeout(PATIENCE);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let place = folder.join(SQLITE_FILE);
    let target = place.to_str().ok_or(StoreError::Address("the folder of the copy has a name that is not UTF-8"))?;
    // Into an empty file, which has the right mode from the beginning.
    create(&place)?;
    {
        let copying = sqlx::query("VACUUM INTO $1").bind(target.to_owned()).execute(&mut connection);
        let mut copying = std::pin::pin!(copying);
        let mut ticks = tokio::time::interval(Duration::from_millis(500));
        loop {
            tokio::select! {
                done = &mut copying => {
                    done?;
                    break;
                }
                _ = ticks.tick() => progress(fs::metadata(&place).map_or(0, |metadata| metadata.len())),
            }
        }
    }
    connection.close().await?;
    File::options().write(true).open(&place)?.sync_all()?;
    let (sha256, bytes) = digest_of(&place)?;
    progress(bytes);
    Ok(CopiedFile { name: SQLITE_FILE.to_owned(), bytes, sha256: Sha256Text(sha256), table: None })
}

async fn copy_tables(db: &Db, folder: &Path, progress: &mut dyn FnMut(u64)) -> Result<Vec<CopiedFile>, StoreError> {
    let mut tx = db.read().await?;
    tx.take_your_time().await?;
    tx.execute("SET LOCAL bytea_output = 'hex'", args![]).await?;
    let (mut files, mut written) = (Vec::new(), 0);
    for (name, columns) in tables(&mut tx).await? {
        let file_name = format!("{name}.copy");
        let statement = copy_statement(&name, &columns, "TO STDOUT")?;
        let mut out = Hashed::create(&folder.join(&file_name))?;
        let mut rows = 0;
        if let TxOf::Postgres(session) = &mut tx.engine {
            let (connection, limit) = session.connection_for_pieces()?;
            let mut lines = within(limit, connection.copy_out_raw(&statement)).await?;
            while let Some(piece) = within(limit, lines.try_next()).await? {
                out.write(&piece)?;
                // A line feed within a value is written as `\n`.
                rows += piece.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
                written += piece.len() as u64;
                progress(written);
            }
        }
        let (sha256, bytes) = out.finish()?;
        let table = Some(CopiedTable { name, columns, rows });
        files.push(CopiedFile { name: file_name, bytes, sha256: Sha256Text(sha256), table });
    }
    Ok(files)
}

/// The tables of the schema with their columns, each after those that it refers to.
async fn tables(tx: &mut Tx) -> Result<Vec<(String, Vec<String>)>, StoreError> {
    let found = tx
        .fetch_all(
            "SELECT CAST(c.relname AS TEXT) AS name, string_agg(CAST(a.attname AS TEXT), ' ' ORDER BY a.attnum) AS columns \
             FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
             AND a.attgenerated = '' WHERE c.relkind = 'r' AND c.relname <> 'writer_turn' AND c.relnamespace = \
             to_regnamespace(quote_ident(current_schema())) GROUP BY c.relname ORDER BY c.relname",
            args![],
        )
        .await?;
    let mut left = BTreeMap::new();
    for row in found {
        let columns: Vec<String> = row.text("columns")?.split(' ').map(str::to_owned).collect();
        left.insert(row.text("name")?, columns);
    }
    let references = tx
        .fetch_all(
            "SELECT CAST(c.relname AS TEXT) AS child, CAST(p.relname AS TEXT) AS parent FROM pg_constraint k \
             JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class p ON p.oid = k.confrelid WHERE k.contype = 'f' \
             AND k.conrelid <> k.confrelid",
            args![],
        )
        .await?;
    let references: Result<BTreeSet<(String, String)>, StoreError> =
        references.iter().map(|row| Ok((row.text("child")?, row.text("parent")?))).collect();
    let references = references?;
    let mut ordered = Vec::new();
    while !left.is_empty() {
        let waits = |name: &String| references.iter().any(|(child, parent)| child == name && left.contains_key(parent));
        let ready: Vec<String> = left.keys().filter(|name| !waits(name)).cloned().collect();
        if ready.is_empty() {
            return Err(StoreError::corrupt("schema", "tables that do not refer to each other in a circle"));
        }
        ordered.extend(ready.into_iter().filter_map(|name| left.remove_entry(&name)));
    }
    Ok(ordered)
}

/// INVARIANT: names become part of a statement only as plain lower-case identifiers.
fn copy_statement(table: &str, columns: &[String], direction: &str) -> Result<String, StoreError> {
    if !is_plain(table) || columns.is_empty() || !columns.iter().all(|column| is_plain(column)) {
        return Err(StoreError::corrupt("schema", "tables and columns with plain names"));
    }
    Ok(format!("COPY \"{table}\" (\"{}\") {direction}", columns.join("\", \"")))
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Puts a copy into a database that is not there yet, or has no table. `finish` adds to it before it counts; until then the
/// database is as it was, whenever the machine stops.
///
/// # Errors
/// [`StoreError::NotEmpty`] when there is something; [`StoreError::Corrupt`] when the copy is not what it was.
pub(in crate::storage) async fn copy_in(
    (url, limits): (&str, PostgresLimits),
    folder: &Path,
    files: &[CopiedFile],
    (schema, now): (i64, Timestamp),
    finish: impl AsyncFnOnce(&mut WriteTx) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    if let Some(path) = sqlite_path(url)? {
        return restore_sqlite(&path, folder, files, finish).await;
    }
    let db = Db::open_with(url, limits).await?;
    let done = restore_tables(&db, folder, files, (schema, now), finish).await;
    db.close().await;
    done
}

/// The existing part of a database; none if a copy can be put in its place.
pub(in crate::storage) async fn occupied((url, limits): (&str, PostgresLimits)) -> Result<Option<String>, StoreError> {
    if let Some(path) = sqlite_path(url)? {
        return Ok(occupied_place(&path));
    }
    let db = postgres(url, limits)?;
    let found = tables(&mut *db.read().await?).await;
    db.close().await;
    let found = found?;
    Ok((!found.is_empty()).then(|| format!("{} in the database", counted(found.len(), "table", "tables"))))
}

fn occupied_place(path: &Path) -> Option<String> {
    let there = ["", "-wal", "-shm", "-journal"].map(|ending| beside(path, ending)).into_iter().find(|p| p.exists());
    there.map(|path| format!("the file `{}`", path.display()))
}

async fn restore_sqlite(
    path: &Path,
    folder: &Path,
    files: &[CopiedFile],
    finish: impl AsyncFnOnce(&mut WriteTx) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let [file] = files else { return Err(StoreError::corrupt("backup", "one file for a SQLite database")) };
    let unfinished = beside(path, ".restoring");
    for ending in ["", "-wal", "-shm", "-journal", ".opening"] {
        remove(&beside(&unfinished, ending))?;
    }
    let mut out = Hashed::create(&unfinished)?;
    let mut source = File::open(folder.join(&file.name))?;
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = source.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        out.write(&chunk[..read])?;
    }
    if out.finish()? != (file.sha256.0, file.bytes) {
        return Err(StoreError::corrupt(&file.name, "the bytes that were backed up"));
    }
    let url = format!("sqlite://{}", unfinished.display());
    let db = Db::open(&url).await?;
    let finished = async {
        let mut tx = db.write().await?;
        finish(&mut tx).await?;
        tx.commit().await
    };
    let finished = finished.await;
    db.close().await;
    finished?;
    // One file again, with nothing beside it: in the log of another mode it could not be given another name.
    let options = SqliteConnectOptions::from_str(&url)?.journal_mode(SqliteJournalMode::Delete);
    SqliteConnection::connect_with(&options).await?.close().await?;
    remove(&beside(&unfinished, ".opening"))?;
    if let Some(there) = occupied_place(path) {
        return Err(StoreError::NotEmpty(there));
    }
    File::options().write(true).open(&unfinished)?.sync_all()?;
    fs::rename(&unfinished, path)?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

async fn restore_tables(
    db: &Db,
    folder: &Path,
    files: &[CopiedFile],
    (schema, now): (i64, Timestamp),
    finish: impl AsyncFnOnce(&mut WriteTx) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut tx = db.write().await?;
    tx.take_your_time().await?;
    let there = tables(&mut tx).await?;
    if !there.is_empty() {
        return Err(StoreError::NotEmpty(format!("{} in the database", counted(there.len(), "table", "tables"))));
    }
    let steps: Vec<Migration> = migrations::ALL.iter().filter(|step| step.version <= schema).copied().collect();
    super::schema::apply_within(&mut tx, &steps, now).await?;
    let wanted: BTreeMap<&str, &CopiedFile> =
        files.iter().filter_map(|file| Some((&*file.table.as_ref()?.name, file))).collect();
    let made = tables(&mut tx).await?;
    if wanted.len() != files.len()
        || !made.iter().map(|(name, _)| &**name).collect::<BTreeSet<_>>().iter().eq(wanted.keys())
    {
        return Err(StoreError::corrupt("backup", "the tables of its schema, each once"));
    }
    for (name, _) in made {
        // What migrations put in gives way to what was there.
        let any = tx.fetch_optional(Sql::once(format!("SELECT 1 AS one FROM \"{name}\" LIMIT 1")), args![]).await?;
        if any.is_some() {
            tx.execute(Sql::once(format!("DELETE FROM \"{name}\"")), args![]).await?;
        }
        let file = wanted[&*name];
        fill(&mut tx, file, &folder.join(&file.name)).await?;
    }
    finish(&mut tx).await?;
    tx.commit().await
}

async fn fill(tx: &mut WriteTx, file: &CopiedFile, path: &Path) -> Result<(), StoreError> {
    let damaged = || StoreError::corrupt(&file.name, "the bytes that were backed up");
    let table = file.table.as_ref().ok_or_else(damaged)?;
    let statement = copy_statement(&table.name, &table.columns, "FROM STDIN")?;
    let TxOf::Postgres(session) = &mut tx.engine else { return Err(damaged()) };
    let (_, at_the_end) = session.connection().await?;
    let (connection, limit) = session.connection_for_pieces()?;
    let mut source = File::open(path)?;
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut copying = within(limit, connection.copy_in_raw(&statement)).await?;
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = source.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        hash.update(&chunk[..read]);
        within(limit, copying.send(&chunk[..read])).await?;
    }
    // The database may have rows to check and to index yet.
    let rows = within(at_the_end, copying.finish()).await?;
    if rows != table.rows || sha256(hash) != file.sha256.0 {
        return Err(damaged());
    }
    Ok(())
}

/// A file that is hashed as it is written.
pub(in crate::storage) struct Hashed {
    file: File,
    hash: digest::Context,
    bytes: u64,
}

impl Hashed {
    /// Makes the file, for the account alone.
    pub(in crate::storage) fn create(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { file: create(path)?, hash: digest::Context::new(&digest::SHA256), bytes: 0 })
    }

    pub(in crate::storage) fn write(&mut self, piece: &[u8]) -> Result<(), StoreError> {
        self.hash.update(piece);
        self.file.write_all(piece)?;
        self.bytes += piece.len() as u64;
        Ok(())
    }

    /// Digest and size, once every byte is on the disk.
    pub(in crate::storage) fn finish(self) -> Result<(Sha256, u64), StoreError> {
        self.file.sync_all()?;
        Ok((sha256(self.hash), self.bytes))
    }
}

fn create(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Digest and size of a file.
pub(in crate::storage) fn digest_of(path: &Path) -> Result<(Sha256, u64), StoreError> {
    let (mut file, mut hash, mut bytes) = (File::open(path)?, digest::Context::new(&digest::SHA256), 0);
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok((sha256(hash), bytes));
        }
        hash.update(&chunk[..read]);
        bytes += read as u64;
    }
}

fn sha256(hash: digest::Context) -> Sha256 {
    Sha256::from_bytes(hash.finish().as_ref().try_into().expect("SHA-256 has 32 bytes"))
}

/// Puts the names in a folder on the disk.
pub(in crate::storage) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    Ok(File::open(folder)?.sync_all()?)
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_that_is_no_plain_identifier_never_becomes_part_of_a_statement() {
        let columns = vec!["seq".to_owned()];
        assert_eq!(
            copy_statement("log_entries", &columns, "TO STDOUT").unwrap(),
            "COPY \"log_entries\" (\"seq\") TO STDOUT"
        );
        for (table, column) in [("a\" (b) TO PROGRAM 'x' --", "seq"), ("members", "a\"b"), ("", "seq")] {
            assert!(copy_statement(table, &[column.to_owned()], "FROM STDIN").is_err());
        }
    }
}
