-- Uploads that can be resumed: what was announced of a document, and where its bytes are kept until the last of them is here. How many are here is
-- the file's to say. A member has one for each slot of a proposal: another takes its place, its member takes it back, or it goes after a time.
CREATE TABLE uploads (
    upload_id   TEXT    NOT NULL PRIMARY KEY,
    proposal_id TEXT    NOT NULL REFERENCES proposals (proposal_id),
    slot        TEXT    NOT NULL,
    member      TEXT    NOT NULL REFERENCES members (member),
    partner     TEXT    NOT NULL REFERENCES partners (partner),
    size        INTEGER NOT NULL,
    media_type  TEXT    NOT NULL,
    -- Absent where the sender did not know it yet.
    sha256      TEXT,
    blob_key    TEXT    NOT NULL,
    begun_at    INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    -- The document that was made of it. It may have been dropped since.
    document_id TEXT,
    UNIQUE (proposal_id, slot, member),
    UNIQUE (blob_key)
) STRICT;
CREATE INDEX uploads_by_partner ON uploads (partner, upload_id) WHERE document_id IS NULL;
CREATE INDEX uploads_by_expiry ON uploads (expires_at, upload_id);
