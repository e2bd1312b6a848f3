-- The first schema. Columns: TEXT, INTEGER (also for instants in epoch milliseconds and for booleans), BLOB.
-- Unique indexes are named <table>_<columns>_key; the other engine's file has the same tables and columns.

CREATE TABLE idempotency_keys (
    member TEXT NOT NULL,
    key TEXT NOT NULL,
    request_sha256 TEXT NOT NULL,
    status INTEGER NOT NULL,
    content_type TEXT,
    body BLOB NOT NULL,
    etag TEXT,
    location TEXT,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (member, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

CREATE TABLE log_entries (
    position INTEGER NOT NULL PRIMARY KEY,
    recorded_at INTEGER NOT NULL,
    entry BLOB NOT NULL
) STRICT;
CREATE TRIGGER log_entries_are_kept BEFORE DELETE ON log_entries
BEGIN SELECT RAISE(ABORT, 'log_entries_append_only'); END;
CREATE TRIGGER log_entries_are_final BEFORE UPDATE ON log_entries
BEGIN SELECT RAISE(ABORT, 'log_entries_append_only'); END;
