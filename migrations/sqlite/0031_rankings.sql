-- What an officer's ranking says of a proposal, sealed to its deliberation vault: one line stands for each proposal, and the log has every one
-- that was sent.
CREATE TABLE ranking_lines (
    proposal_id TEXT NOT NULL PRIMARY KEY REFERENCES proposals (proposal_id),
    sent_by     TEXT NOT NULL REFERENCES members (member),
    sent_at     INTEGER NOT NULL,
    statement   TEXT NOT NULL,
    ciphertext  BLOB NOT NULL
) STRICT;
