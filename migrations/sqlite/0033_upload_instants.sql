-- Whether an upload was begun as the one that every party has signed for: its bytes are among those that are announced.
ALTER TABLE uploads ADD COLUMN is_awaited INTEGER NOT NULL DEFAULT 0;
-- When all of its bytes were here, and their digest once it was taken. NULL while not all are.
ALTER TABLE uploads ADD COLUMN whole_at INTEGER;
ALTER TABLE uploads ADD COLUMN whole_sha256 TEXT;
CREATE INDEX uploads_by_member ON uploads (member) WHERE document_id IS NULL;
