-- What a member has begun under a call, for the quota of proposals and for roles, without looking at what others began there. The member comes
-- first: so no other question that names a call is tempted to go by it.
CREATE INDEX proposals_by_author ON proposals (created_by, call_id);
