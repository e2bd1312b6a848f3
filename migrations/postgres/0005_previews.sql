-- What a member has fetched of a proposal is asked for when somebody is about to lose sight of it.
CREATE INDEX log_entries_by_proposal ON log_entries (proposal_id, actor);

-- What the approving officer was told the version would change, in canonical JSON; the approval names its digest.
ALTER TABLE policy_versions ADD COLUMN preview TEXT COLLATE "C";
