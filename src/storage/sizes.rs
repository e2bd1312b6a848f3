//! How large the database is, for figures and for operators who plan its disk.

use super::{StoreError, Tx, args};

/// Bytes of the database, without a log beside it.
pub async fn of_database(tx: &mut Tx) -> Result<u64, StoreError> {
    let sql = tx.choose(
        "SELECT page_count * page_size AS bytes FROM pragma_page_count(), pragma_page_size()",
        "SELECT pg_database_size(current_database()) AS bytes",
    );
    tx.fetch_one(sql, args![]).await?.count("bytes")
}
