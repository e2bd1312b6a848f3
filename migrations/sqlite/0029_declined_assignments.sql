-- Assignments that their reviewers declined. A row of `assignments` moves here as it is, and back if the reviewer reviews after all: it is
-- the officer's statement that counts, and what reads assignments knows nothing of it meanwhile.
CREATE TABLE declined_assignments (
    proposal_id TEXT NOT NULL REFERENCES proposals (proposal_id),
    reviewer    TEXT NOT NULL REFERENCES members (member),
    call_id     TEXT NOT NULL REFERENCES calls (call_id),
    assigned_by TEXT NOT NULL REFERENCES members (member),
    assigned_at INTEGER NOT NULL,
    statement   TEXT,
    reason      TEXT,
    declined_at INTEGER NOT NULL,
    -- When somebody else was assigned.
    replaced_at INTEGER,
    PRIMARY KEY (proposal_id, reviewer)
) STRICT;

-- Those that wait for somebody else, for the officers of the call.
CREATE INDEX declined_assignments_waiting ON declined_assignments (call_id, proposal_id) WHERE replaced_at IS NULL;
