-- What an officer's ranking says of a proposal, sealed to its deliberation vault: one line stands for each proposal, and the log has every one
-- that was sent.
CREATE TABLE ranking_lines (
    proposal_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES proposals (proposal_id),
    sent_by     TEXT COLLATE "C" NOT NULL REFERENCES members (member),
    sent_at     BIGINT NOT NULL,
    statement   TEXT COLLATE "C" NOT NULL,
    ciphertext  BYTEA NOT NULL
);
