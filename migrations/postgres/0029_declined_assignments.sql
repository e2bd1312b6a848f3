-- Assignments that their reviewers declined. A row of `assignments` moves here as it is, and back if the reviewer reviews after all: it is
-- the officer's statement that counts, and what reads assignments knows nothing of it meanwhile.
CREATE TABLE declined_assignments (
    proposal_id TEXT COLLATE "C" NOT NULL REFERENCES proposals (proposal_id),
    reviewer    TEXT COLLATE "C" NOT NULL REFERENCES members (member),
    call_id     TEXT COLLATE "C" NOT NULL REFERENCES calls (call_id),
    assigned_by TEXT COLLATE "C" NOT NULL REFERENCES members (member),
    assigned_at BIGINT NOT NULL,
    statement   TEXT COLLATE "C",
    reason      TEXT COLLATE "C",
    declined_at BIGINT NOT NULL,
    -- When somebody else was assigned.
    replaced_at BIGINT,
    PRIMARY KEY (proposal_id, reviewer)
);

-- Those that wait for somebody else, for the officers of the call.
CREATE INDEX declined_assignments_waiting ON declined_assignments (call_id, proposal_id) WHERE replaced_at IS NULL;
