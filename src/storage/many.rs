//! Many rows in one statement: one round trip, where a statement for each would hold the turn at writing as many times as long.
//!
//! Must never let texts that vary with the number of rows push out what connections keep prepared: of those that insert, only a full one and
//! one of a single row are kept, and of those that look or delete none.

use super::{Arg, Sql, StoreError, WriteTx};

/// How many rows one statement inserts.
const ROWS_AT_ONCE: usize = 32;

/// How many values or pairs of them a statement names: SQLite has room for some 32,000, and no planner likes as many.
pub(super) const AT_ONCE: usize = 250;

/// Inserts rows, each with a value for every column that the text names. `into` is the statement up to `VALUES`.
pub(super) async fn insert(tx: &mut WriteTx, into: &'static str, mut rows: Vec<Vec<Arg>>) -> Result<(), StoreError> {
    while !rows.is_empty() {
        let rest = rows.split_off(rows.len().min(ROWS_AT_ONCE));
        let part = std::mem::replace(&mut rows, rest);
        let (count, columns) = (part.len(), part[0].len());
        let text = format!("{into} VALUES {}", tuples(1, columns, count));
        let sql = if matches!(count, 1 | ROWS_AT_ONCE) { Sql::built(text) } else { Sql::once(text) };
        tx.execute(sql, part.into_iter().flatten().collect()).await?;
    }
    Ok(())
}

/// Placeholders for so many values, from this number on.
pub(super) fn marks(from: usize, count: usize) -> String {
    (from..from + count).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
}

/// Placeholders for so many rows of as many columns, from this number on.
pub(super) fn tuples(from: usize, columns: usize, rows: usize) -> String {
    let row = |row: usize| format!("({})", marks(from + row * columns, columns));
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

/// The values of pairs, in the order of their placeholders.
pub(super) fn pairs<A: ToString, B: ToString>(pairs: &[(A, B)]) -> impl Iterator<Item = Arg> {
    pairs.iter().flat_map(|(one, other)| [one.to_string(), other.to_string()]).map(|text| Arg::Text(Some(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Db, args};

    #[test]
    fn placeholders_count_through_all_rows() {
        assert_eq!(marks(3, 2), "$3, $4");
        assert_eq!(tuples(2, 2, 2), "($2, $3), ($4, $5)");
        assert_eq!(tuples(1, 3, 1), "($1, $2, $3)");
        let values = [("a", 1), ("b", 2)];
        assert_eq!(pairs(&values).collect::<Vec<_>>(), args!["a", "1", "b", "2"]);
    }

    #[tokio::test]
    async fn any_number_of_rows_is_inserted_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&format!("sqlite://{}/exchange.db", folder.path().display())).await.unwrap();
        let mut tx = db.write().await.unwrap();
        tx.execute("CREATE TABLE things (name TEXT NOT NULL, number INTEGER NOT NULL) STRICT", args![]).await.unwrap();
        let mut expected = 0;
        for count in [0, 1, 2, ROWS_AT_ONCE - 1, ROWS_AT_ONCE, ROWS_AT_ONCE + 1, 3 * ROWS_AT_ONCE] {
            let rows = (0..count as u64).map(|number| args![count.to_string(), number]);
            insert(&mut tx, "INSERT INTO things (name, number)", rows.collect()).await.unwrap();
            let sql = "SELECT number FROM things WHERE name = $1 ORDER BY rowid";
            let found = tx.fetch_all(sql, args![count.to_string()]).await.unwrap();
            let found: Vec<u64> = found.iter().map(|row| row.count("number").unwrap()).collect();
            assert_eq!(found, (0..count as u64).collect::<Vec<_>>());
            expected += count as u64;
        }
        let all = tx.fetch_one("SELECT COUNT(*) AS n FROM things", args![]).await.unwrap();
        assert_eq!(all.count("n").unwrap(), expected);
        drop(tx);
        db.close().await;
    }
}
