//! The mark that a database and its folder of documents have in common: made together, compared before bytes are served, taken
//! or swept.
//!
//! A folder with another mark, or with none, is not this database's: it belongs to another exchange or another time, or its disk
//! is not mounted. What follows from that is decided in `service::marks`; here marks are only made, read and compared.

use super::{
    StoreError, Tx, WriteTx, args,
    durable::{create_folder, sync_folder},
};
use crate::domain::ambient::Rng;
use jiff::Timestamp;
use std::{
    fmt,
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    str::FromStr,
};

/// The file in the folder of documents that holds its mark.
pub const FILE: &str = "entente-mark";

/// What stands before the mark in the file.
const PREFIX: &str = "entente-documents ";

/// A mark: 32 hexadecimal digits that nobody can guess.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark(String);

impl Mark {
    /// A new mark.
    #[must_use]
    pub fn random(rng: &dyn Rng) -> Self {
        let mut random = [0; 16];
        rng.fill(&mut random);
        Self(format!("{:032x}", u128::from_be_bytes(random)))
    }

    /// The first eight digits: enough to distinguish marks by eye.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..8]
    }
}

impl FromStr for Mark {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        if text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(StoreError::corrupt("mark", "32 hexadecimal digits"))
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The mark of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseMark {
    pub mark: Mark,
    /// Whether the folder is known to have it too. It is not when the machine stopped between the one and the other.
    pub is_settled: bool,
}

/// The mark of a database, which must have this program's schema.
pub async fn of_database(tx: &mut Tx) -> Result<Option<DatabaseMark>, StoreError> {
    let found = tx.fetch_optional("SELECT mark, settled_at FROM blob_mark", args![]).await?;
    let read = |row: super::Row| {
        Ok(DatabaseMark { mark: row.parse("mark")?, is_settled: row.opt_time("settled_at")?.is_some() })
    };
    found.map(read).transpose()
}

/// Gives the database a mark that the folder does not have yet, in place of the one it had.
pub async fn begin(tx: &mut WriteTx, mark: &Mark, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO blob_mark (one, mark, made_at) VALUES (1, $1, $2) \
         ON CONFLICT (one) DO UPDATE SET mark = excluded.mark, made_at = excluded.made_at, settled_at = NULL",
        args![mark.to_string(), now],
    )
    .await?;
    Ok(())
}

/// Notes that the folder has the database's mark.
pub async fn settle(tx: &mut WriteTx, mark: &Mark, now: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE blob_mark SET settled_at = $2 WHERE mark = $1 AND settled_at IS NULL";
    tx.execute(sql, args![mark.to_string(), now]).await?;
    Ok(())
}

/// Gives a folder, made if absent, a mark in place of the one it had. When this returns, the disk knows it.
pub(super) fn write(folder: &Path, mark: &Mark) -> Result<(), StoreError> {
    create_folder(folder)?;
    let (place, fresh) = (folder.join(FILE), folder.join(format!("{FILE}.new")));
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    writeln!(file, "{PREFIX}{mark}")?;
    file.sync_all()?;
    match fs::rename(fresh, place) {
        // Another server that starts at the same moment gave the folder this same mark.
        Err(error) if error.kind() == io::ErrorKind::NotFound && read(folder)?.as_ref() == Some(mark) => {}
        renamed => renamed?,
    }
    Ok(sync_folder(folder)?)
}

/// The mark of a folder; none when the folder is not there either.
///
/// # Errors
/// [`StoreError::Corrupt`] when the file of the mark holds something else.
pub(super) fn read(folder: &Path) -> Result<Option<Mark>, StoreError> {
    let text = match fs::read(folder.join(FILE)) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let mark = std::str::from_utf8(&text).ok().and_then(|text| text.strip_prefix(PREFIX)?.strip_suffix('\n'));
    mark.ok_or_else(|| StoreError::corrupt(FILE, "the mark of a folder of documents"))?.parse().map(Some)
}
