-- Where a member worked at the deadline of the proposal, if a key card of after it names another organisation: what counts for this proposal.
-- NULL: what the newest key card says.
ALTER TABLE proposal_members ADD COLUMN deadline_organisation TEXT COLLATE "C";
-- The same as policies compare it.
ALTER TABLE proposal_members ADD COLUMN deadline_organisation_folded TEXT COLLATE "C";
CREATE INDEX proposal_members_moved ON proposal_members (deadline_organisation_folded, proposal_id)
    WHERE deadline_organisation_folded IS NOT NULL;
-- What lists ask of each proposal, answered from the index alone.
CREATE INDEX proposal_members_employers ON proposal_members (proposal_id, member, deadline_organisation_folded);
