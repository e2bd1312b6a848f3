-- Where the member works as far as this proposal goes, as policies compare it: at the deadline, if that is kept, or where the newest key card
-- says; '' is nowhere. Lists ask this of each proposal, so it is kept with the row and not looked for at the member.
ALTER TABLE proposal_members ADD COLUMN employer_folded TEXT NOT NULL DEFAULT '';
UPDATE proposal_members SET employer_folded = COALESCE(deadline_organisation_folded,
    (SELECT m.organisation_folded FROM members m WHERE m.member = proposal_members.member), '');
DROP INDEX proposal_members_employers;
CREATE INDEX proposal_members_employers ON proposal_members (proposal_id, employer_folded);
CREATE INDEX proposal_members_by_employer ON proposal_members (employer_folded, proposal_id);
