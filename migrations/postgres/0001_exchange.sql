-- The first schema. Columns: TEXT COLLATE "C", BIGINT (also for instants in epoch milliseconds), BOOLEAN, BYTEA.
-- Unique indexes are named <table>_<columns>_key; the other engine's file has the same tables and columns.

CREATE TABLE idempotency_keys (
    member TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    request_sha256 TEXT COLLATE "C" NOT NULL,
    status BIGINT NOT NULL,
    content_type TEXT COLLATE "C",
    body BYTEA NOT NULL,
    etag TEXT COLLATE "C",
    location TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    PRIMARY KEY (member, key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

CREATE TABLE log_entries (
    position BIGINT NOT NULL PRIMARY KEY,
    recorded_at BIGINT NOT NULL,
    entry BYTEA NOT NULL
);
CREATE FUNCTION log_entries_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'entries of the log stay as they are'
        USING ERRCODE = '23000', CONSTRAINT = 'log_entries_append_only';
END $$;
CREATE TRIGGER log_entries_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON log_entries
    FOR EACH STATEMENT EXECUTE FUNCTION log_entries_append_only();
