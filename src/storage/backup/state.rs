//! The state of a database: schema, mark, and the end of its log.

use crate::storage::{
    StoreError,
    db::tables::{Cell, Cells, ColumnKind, Tables},
};
use jiff::Timestamp;

/// The state of a database.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DatabaseState {
    pub schema: i64,
    pub mark: Option<String>,
    pub last_entry: u64,
    pub last_entry_at: Option<Timestamp>,
    /// When a server was last well; none where none ever was, or it was not noted yet.
    pub last_beat: Option<Timestamp>,
    /// Entries that there are; fewer than the number of the last one if some are missing.
    pub entries: u64,
    /// Since when every assignment has a statement, in epoch milliseconds.
    pub assignments_signed_since: i64,
}

impl DatabaseState {
    /// The instant of the state in a copy that is begun at this one. A standby that replication no longer reaches is as old as its last
    /// change; so is a database on which no server has run since, and there nothing is missing.
    #[must_use]
    pub fn is_of(&self, begun_at: Timestamp) -> Timestamp {
        self.last_beat.max(self.last_entry_at).map_or(begun_at, |known| known.min(begun_at))
    }
}

/// The state of tables.
pub async fn state_of(tables: &Tables) -> Result<DatabaseState, StoreError> {
    let mut state = DatabaseState::default();
    let mut snapshot = tables.snapshot().await?;
    let int = |cells: &Cells, at: usize| match cells.get(at) {
        Some(Some(Cell::Int(value))) => *value,
        _ => 0,
    };
    let columns = [("version", ColumnKind::Int), ("applied_at", ColumnKind::Int)];
    let (schema, parts) = (&mut state.schema, &mut state.assignments_signed_since);
    snapshot
        .each("schema_migrations", &columns[..1], &columns, |cells| {
            *schema = (*schema).max(int(&cells, 0));
            if int(&cells, 0) == PARTS_SIGNED_SINCE {
                *parts = int(&cells, 1);
            }
            Ok::<_, StoreError>(())
        })
        .await?;
    if state.schema >= MARKED_SINCE {
        let mark = &mut state.mark;
        snapshot
            .each("blob_mark", &[("one", ColumnKind::Int)], &[("mark", ColumnKind::Text)], |cells| {
                *mark = cells.into_iter().next().flatten().and_then(|cell| match cell {
                    Cell::Text(text) => Some(text),
                    _ => None,
                });
                Ok::<_, StoreError>(())
            })
            .await?;
    }
    if state.schema >= TIMED_SINCE {
        let beat = &mut state.last_beat;
        snapshot
            .each("pulse", &[("pulse_id", ColumnKind::Int)], &[("at", ColumnKind::Int)], |cells| {
                *beat = Some(int(&cells, 0)).filter(|at| *at > 0).and_then(|at| Timestamp::from_millisecond(at).ok());
                Ok::<_, StoreError>(())
            })
            .await?;
    }
    let (mut last, mut last_at) = (0, 0);
    let columns = [("seq", ColumnKind::Int), ("at", ColumnKind::Int)];
    state.entries = snapshot
        .each("log_entries", &columns[..1], &columns, |cells| {
            if int(&cells, 0) > last {
                (last, last_at) = (int(&cells, 0), int(&cells, 1));
            }
            Ok::<_, StoreError>(())
        })
        .await?;
    state.last_entry = u64::try_from(last).map_err(|_| StoreError::corrupt("seq", "a number above zero"))?;
    state.last_entry_at = if last > 0 { Timestamp::from_millisecond(last_at).ok() } else { None };
    Ok(state)
}

/// The migration since which assignments are signed.
const PARTS_SIGNED_SINCE: i64 = 6;

/// The migration since which servers note that they are well.
const TIMED_SINCE: i64 = 10;

/// The migration that brought marks.
const MARKED_SINCE: i64 = 8;
