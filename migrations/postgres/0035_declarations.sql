-- Who declared on a proposal, and whether a conflict, is read without the rows themselves: of thousands when keys that somebody lacks are
-- looked for.
CREATE INDEX declarations_by_proposal ON declarations (proposal_id, member, conflict);
