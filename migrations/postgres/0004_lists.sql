-- What lists are filtered and planned by. Nothing here is a status: inputs of it, and counts of what was begun.

-- The partners of the parties in order, a blank around each; they never change. Highest text of the call under which a version
-- was signed by every party, and under which one was complete; 0 for none.
ALTER TABLE proposals ADD COLUMN parties_key     TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE proposals ADD COLUMN committed_under BIGINT NOT NULL DEFAULT 0;
ALTER TABLE proposals ADD COLUMN complete_under  BIGINT NOT NULL DEFAULT 0;
UPDATE proposals SET
    parties_key = COALESCE((SELECT ' ' || string_agg(s.partner, ' ' ORDER BY s.partner) || ' ' FROM
        (SELECT DISTINCT m.partner FROM proposal_members m WHERE m.proposal_id = proposals.proposal_id) s), ''),
    committed_under = COALESCE((SELECT MAX(m.call_version) FROM manifests m
        WHERE m.proposal_id = proposals.proposal_id AND m.committed_at IS NOT NULL), 0),
    complete_under = COALESCE((SELECT MAX(m.call_version) FROM manifests m
        WHERE m.proposal_id = proposals.proposal_id AND m.complete_at IS NOT NULL), 0);
-- Nothing goes by identifier within a call any more.
DROP INDEX proposals_by_call;
CREATE INDEX proposals_by_creation ON proposals (created_at, proposal_id);
CREATE INDEX proposals_by_call_creation ON proposals (call_id, created_at, proposal_id);
CREATE INDEX proposals_by_parties ON proposals (call_id, parties_key, created_at, proposal_id);

-- How many proposals were begun: by call and parties, by either alone (the other ''), and in all.
CREATE TABLE proposal_tallies (
    call_id     TEXT COLLATE "C" NOT NULL,
    parties_key TEXT COLLATE "C" NOT NULL,
    proposals   BIGINT NOT NULL,
    PRIMARY KEY (call_id, parties_key)
);
INSERT INTO proposal_tallies (call_id, parties_key, proposals)
    SELECT call_id, parties_key, COUNT(*) FROM proposals GROUP BY call_id, parties_key
    UNION ALL SELECT call_id, '', COUNT(*) FROM proposals GROUP BY call_id
    UNION ALL SELECT '', parties_key, COUNT(*) FROM proposals GROUP BY parties_key
    UNION ALL SELECT '', '', COUNT(*) FROM proposals;

-- The organisation as policies compare it. Folding letters is the program's: it fills in what is NULL when it starts.
ALTER TABLE members ADD COLUMN organisation_folded TEXT COLLATE "C";
CREATE INDEX members_unfolded ON members (member) WHERE organisation_folded IS NULL;

CREATE INDEX reviews_by_reviewer ON reviews (reviewer, proposal_id);
