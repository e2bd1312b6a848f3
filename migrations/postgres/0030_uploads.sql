-- Uploads that can be resumed: what was announced of a document, and where its bytes are kept until the last of them is here. How many are here is
-- the file's to say. A member has one for each slot of a proposal: another takes its place, its member takes it back, or it goes after a time.
CREATE TABLE uploads (
    upload_id   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    proposal_id TEXT COLLATE "C" NOT NULL REFERENCES proposals (proposal_id),
    slot        TEXT COLLATE "C" NOT NULL,
    member      TEXT COLLATE "C" NOT NULL REFERENCES members (member),
    partner     TEXT COLLATE "C" NOT NULL REFERENCES partners (partner),
    size        BIGINT NOT NULL,
    media_type  TEXT COLLATE "C" NOT NULL,
    -- Absent where the sender did not know it yet.
    sha256      TEXT COLLATE "C",
    blob_key    TEXT COLLATE "C" NOT NULL,
    begun_at    BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    -- The document that was made of it. It may have been dropped since.
    document_id TEXT COLLATE "C",
    UNIQUE (proposal_id, slot, member),
    UNIQUE (blob_key)
);
CREATE INDEX uploads_by_partner ON uploads (partner, upload_id) WHERE document_id IS NULL;
CREATE INDEX uploads_by_expiry ON uploads (expires_at, upload_id);
