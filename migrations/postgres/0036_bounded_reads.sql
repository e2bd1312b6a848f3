-- The versions of policies that can be in force now or later are found without the others, and without texts. Those that were taken back
-- grow without an end.
CREATE INDEX policy_versions_by_effect
    ON policy_versions (owner, version, approved_at, active_at, proposed_by, statement_sha256) WHERE withdrawn_at IS NULL;

-- The method and the address of the request that an answer was for; none in rows of before.
ALTER TABLE idempotency_keys ADD COLUMN address_sha256 TEXT;
