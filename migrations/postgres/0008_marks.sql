-- Bytes that must survive: the mark that the database and its folder of documents have in common, which documents were found damaged,
-- how far the daily check of their bytes has come, and indexes that find one document among many of a proposal.

-- settled_at is empty between the making of a mark and the moment when the folder has it too.
CREATE TABLE blob_mark (
    one        BIGINT NOT NULL PRIMARY KEY CONSTRAINT blob_mark_one CHECK (one = 1),
    mark       TEXT COLLATE "C" NOT NULL,
    made_at    BIGINT NOT NULL,
    settled_at BIGINT
);

-- after_blob is the last key that was looked at; holder is the server that looks, until held_until.
CREATE TABLE blob_scrub (
    one        BIGINT NOT NULL PRIMARY KEY CONSTRAINT blob_scrub_one CHECK (one = 1),
    began_at   BIGINT NOT NULL,
    after_blob TEXT COLLATE "C" NOT NULL,
    ended_at   BIGINT,
    holder     TEXT COLLATE "C" NOT NULL,
    held_until BIGINT NOT NULL
);

ALTER TABLE documents ADD COLUMN damaged_at BIGINT;
CREATE INDEX documents_damaged ON documents (document_id) WHERE damaged_at IS NOT NULL;
CREATE INDEX documents_current ON documents (proposal_id, document_id) WHERE removed_at IS NULL;
CREATE INDEX documents_by_digest ON documents (proposal_id, sha256);
